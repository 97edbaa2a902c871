/* Runs a node or a step at once, on the calling thread: how constants are folded. */
#include "graph/op.h"
#include "graph/steps/passes.h"

static void *memory_of(struct value *value)
{
    size_t offset;
    struct value *root = value ? value_root(value, &offset) : NULL;
    /* Cast away const: only values that this evaluation allocated are ever written. */
    return root && root->data ? (char *)(uintptr_t)root->data + offset : NULL;
}

static bool is_output(const struct node *node, const struct value *value)
{
    for (int i = 0; i < node->output_count; i++)
        if (node->outputs[i] == value)
            return true;
    return false;
}

/* What a node needs beside its results: values between two steps, and workspace. */
struct scratch {
    struct region region;
    size_t limit;
    size_t made; /* bytes of results, which are not scratch */
};

static enum status scratch_buffer(struct op_context *c, struct scratch *scratch, size_t bytes, void **buffer)
{
    if (bytes > scratch->limit)
        return op_error(c, STATUS_MEMORY_LIMIT, "computing its constant result takes %zu bytes, past the limit of %zu",
                        bytes, scratch->limit);
    scratch->limit -= bytes;
    *buffer = region_buffer(&scratch->region, bytes + ALIGNMENT);
    return *buffer ? STATUS_OK : op_no_memory(c);
}

/* Results stay with the graph. */
static enum status provide_memory(struct op_context *c, struct step *step, struct scratch *scratch)
{
    for (int i = 0; i < step->output_count; i++) {
        struct value *root = step->outputs[i] ? value_root(step->outputs[i], NULL) : NULL;
        if (!root || root->data)
            continue;
        void *buffer;
        root->bytes = value_bytes(root);
        if (!is_output(c->node, root))
            TRY(scratch_buffer(c, scratch, root->bytes, &buffer));
        else if (!(buffer = region_buffer(c->graph->region, root->bytes + 1)))
            return op_no_memory(c);
        else
            scratch->made += root->bytes;
        root->data = buffer;
    }
    return STATUS_OK;
}

static enum status run_step(struct op_context *c, struct step *step, struct scratch *scratch)
{
    step_finish(step);
    TRY(select_kernel(step, c->facts, &scratch->region, c->error));
    const void **inputs = region_array(&scratch->region, (size_t)step->input_count + 1, sizeof *inputs);
    void **outputs = region_array(&scratch->region, (size_t)step->output_count + 1, sizeof *outputs);
    int64_t **dims = region_array(&scratch->region, (size_t)step->output_count + 1, sizeof *dims);
    void *workspace, *shared;
    TRY(scratch_buffer(c, scratch, step->plan.task_bytes, &workspace));
    TRY(scratch_buffer(c, scratch, step->plan.shared_bytes, &shared));
    if (!inputs || !outputs || !dims)
        return op_no_memory(c);
    for (int i = 0; i < step->input_count; i++) {
        inputs[i] = memory_of(step->inputs[i]);
        if (step->inputs[i] && !inputs[i]) /* an empty tensor, which no step makes: any address will do */
            inputs[i] = workspace;
    }
    for (int i = 0; i < step->output_count; i++) {
        outputs[i] = memory_of(step->outputs[i]);
        dims[i] = step->outputs[i] && step->outputs[i]->dims_at_run ? step->outputs[i]->dims : NULL;
    }
    struct fault fault = {0};
    struct kernel_call call = {.inputs = inputs,
                               .outputs = outputs,
                               .workspace = workspace,
                               .shared = shared,
                               .fault = &fault,
                               .output_dims = dims};
    kernel_run_alone(step->kernel, &step->plan, &call);
    return fault.set ? op_error(c, STATUS_FAULT, "%s", fault.text) : STATUS_OK;
}

static enum status run_steps(struct op_context *c, struct scratch *scratch)
{
    struct step_list steps = step_list_in(&scratch->region);
    TRY(lower_node(c->graph, c->node, c->facts, &steps, c->error));
    for (int i = 0; i < steps.count; i++) {
        TRY(provide_memory(c, steps.steps[i], scratch));
        TRY(run_step(c, steps.steps[i], scratch));
    }
    for (int i = 0; i < c->node->output_count; i++) {
        struct value *output = c->node->outputs[i];
        if (!output)
            continue;
        const void *data = memory_of(output);
        if (!data) /* nothing to compute: an empty tensor */
            data = region_allocate(c->graph->region, ALIGNMENT);
        if (!data)
            return op_no_memory(c);
        output->alias = NULL;
        output->data = data;
        output->dims_at_run = false;
        output->bytes = value_bytes(output);
    }
    return STATUS_OK;
}

enum status evaluate_node(struct graph *graph, struct node *node, const struct kernel_facts *facts,
                          size_t scratch_limit, size_t *made, struct error *error)
{
    struct op_context c = {.graph = graph, .node = node, .error = error, .facts = facts};
    struct scratch scratch = {.limit = scratch_limit};
    region_init(&scratch.region, graph->region->allocator);
    enum status status = run_steps(&c, &scratch);
    region_free(&scratch.region);
    *made += scratch.made;
    return status;
}

static enum status evaluate_plainly(void *user, struct graph *graph, struct node *node, size_t scratch_limit,
                                    size_t *made, struct error *error)
{
    return evaluate_node(graph, node, user, scratch_limit, made, error);
}

struct evaluator plain_evaluator(const struct kernel_facts *facts)
{
    return (struct evaluator){evaluate_plainly, (void *)(uintptr_t)facts};
}

/* --- steps ----------------------------------------------------------------------------------------------- */

static bool reads_constants_only(const struct step *step)
{
    for (int i = 0; i < step->input_count; i++)
        if (step->inputs[i] && !value_root(step->inputs[i], NULL)->data)
            return false;
    return true;
}

/* Every output is this step's alone: nothing else writes into the same memory. */
static bool is_sole_writer(const struct step *step, const int *writers)
{
    for (int i = 0; i < step->output_count; i++)
        if (step->outputs[i] &&
            (step->outputs[i]->alias || step->outputs[i]->dims_at_run || writers[step->outputs[i]->id] != 1))
            return false;
    return true;
}

static enum status fold_step(struct segment *segment, struct step *step, const struct kernel_facts *facts,
                             size_t scratch_limit, struct error *error)
{
    struct op_context c = {
        .graph = segment->graph, .node = (struct node *)(uintptr_t)step->node, .error = error, .facts = facts};
    struct scratch scratch = {.limit = scratch_limit};
    region_init(&scratch.region, segment->graph->region->allocator);
    enum status status = STATUS_OK;
    for (int i = 0; i < step->output_count && status == STATUS_OK; i++) {
        struct value *output = step->outputs[i];
        if (!output)
            continue;
        output->bytes = value_bytes(output);
        output->data = region_buffer(segment->graph->region, output->bytes + 1);
        segment->constant_bytes += output->bytes;
        status = output->data ? STATUS_OK : op_no_memory(&c);
    }
    if (status == STATUS_OK)
        status = run_step(&c, step, &scratch);
    region_free(&scratch.region);
    return status;
}

enum status fold_steps(struct segment *segment, const struct step_pass_options *options, struct error *error)
{
    struct step_list *steps = &segment->steps;
    int *writers = region_array(steps->region, (size_t)segment->graph->value_count + 1, sizeof *writers);
    if (!writers)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while folding graph '%s'", segment->graph->name);
    for (int s = 0; s < steps->count; s++)
        for (int i = 0; i < steps->steps[s]->output_count; i++)
            if (steps->steps[s]->outputs[i])
                writers[value_root(steps->steps[s]->outputs[i], NULL)->id]++;
    int kept = 0;
    for (int s = 0; s < steps->count; s++) {
        struct step *step = steps->steps[s];
        size_t bytes = 0;
        for (int i = 0; i < step->output_count; i++)
            bytes += step->outputs[i] && !step->control ? value_bytes(step->outputs[i]) : 0;
        bool foldable = !step->control && !(step->node->op->flags & OP_RANDOM) && reads_constants_only(step) &&
                        is_sole_writer(step, writers) && bytes <= options->constant_limit - segment->constant_bytes;
        if (!foldable) {
            steps->steps[kept++] = step;
            continue;
        }
        TRY(fold_step(segment, step, options->facts, options->constant_limit - segment->constant_bytes - bytes, error));
    }
    steps->count = kept;
    return STATUS_OK;
}
