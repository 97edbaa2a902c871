/* Runs a node or a step at once, on the calling thread: how constants are folded. */
#include "graph/op.h"
#include "graph/steps/step.h"

static void *memory_of(struct value *value)
{
    size_t offset;
    struct value *root = value ? value_root(value, &offset) : NULL;
    /* Cast away const: only values that this evaluation allocated are ever written. */
    return root && root->data ? (char *)(uintptr_t)root->data + offset : NULL;
}

/* A node, or a step, whose results are wanted. */
struct evaluating {
    struct op_context c;
    const struct evaluation *how;
    struct step *const *steps;
    int step_count;
    struct value **results; /* that take memory: neither empty nor views */
    int result_count;
    size_t bytes; /* of these: see struct derivation */
    bool dims_at_run;
    struct region scratch;
    size_t limit; /* on what is allocated from here on */
};

/* --- running --------------------------------------------------------------------------------------------- */

static enum status scratch_buffer(struct evaluating *e, size_t bytes, void **buffer)
{
    if (bytes > e->limit)
        return op_error(&e->c, STATUS_MEMORY_LIMIT,
                        "computing its constant result takes %zu bytes, past the limit of %zu", bytes, e->limit);
    e->limit -= bytes;
    *buffer = region_buffer(&e->scratch, bytes + ALIGNMENT);
    return *buffer ? STATUS_OK : op_no_memory(&e->c);
}

/* For values between two steps; the results have their memory. */
static enum status provide_memory(struct evaluating *e, const struct step *step)
{
    for (int i = 0; i < step->output_count; i++) {
        struct value *root = step->outputs[i] ? value_root(step->outputs[i], NULL) : NULL;
        if (!root || root->data)
            continue;
        void *buffer;
        root->bytes = value_bytes(root);
        TRY(scratch_buffer(e, root->bytes, &buffer));
        root->data = buffer;
    }
    return STATUS_OK;
}

static enum status count_work(struct evaluating *e, const struct step *step)
{
    struct constant_work *work = e->how->work;
    if (!work || work->most <= 0)
        return STATUS_OK;
    work->done += kernel_work(step->family, step->params);
    if (work->done <= work->most)
        return STATUS_OK;
    return op_error(
        &e->c, STATUS_WORK_LIMIT,
        "folding its constant result brings the work of all that is folded to %.3g multiply-adds; the limit is %.3g",
        work->done, work->most);
}

static enum status run_step(struct evaluating *e, struct step *step)
{
    struct region *region = &e->scratch;
    TRY(count_work(e, step));
    step_finish(step);
    TRY(select_kernel(step, e->how->facts, 0, region, e->c.error));
    const void **inputs = region_array(region, (size_t)step->input_count, sizeof *inputs);
    void **outputs = region_array(region, (size_t)step->output_count, sizeof *outputs);
    int64_t **dims = region_array(region, (size_t)step->output_count, sizeof *dims);
    void *workspace, *shared;
    TRY(scratch_buffer(e, step->plan->task_bytes, &workspace));
    TRY(scratch_buffer(e, step->plan->shared_bytes, &shared));
    if (!inputs || !outputs || !dims)
        return op_no_memory(&e->c);
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
    kernel_run_alone(step->kernel, step->plan, &call);
    return fault.set ? op_error(&e->c, STATUS_FAULT, "%s", fault.text) : STATUS_OK;
}

static enum status run_steps(struct evaluating *e)
{
    for (int i = 0; i < e->step_count; i++) {
        TRY(provide_memory(e, e->steps[i]));
        TRY(run_step(e, e->steps[i]));
    }
    return STATUS_OK;
}

/* --- where results lie ----------------------------------------------------------------------------------- */

static enum status add_result(struct evaluating *e, struct value *value)
{
    if (!add_size(align_up(e->bytes, ALIGNMENT), value_bytes(value), &e->bytes))
        return op_no_memory(&e->c);
    e->results[e->result_count++] = value;
    e->dims_at_run = e->dims_at_run || value->dims_at_run;
    return STATUS_OK;
}

static void place_results(struct evaluating *e, const void *memory)
{
    size_t offset = 0;
    for (int i = 0; i < e->result_count; i++) {
        struct value *result = e->results[i];
        result->bytes = value_bytes(result);
        offset = align_up(offset, ALIGNMENT);
        result->data = (const char *)memory + offset;
        offset += result->bytes;
    }
}

static enum status make_results(void *user, void *results, struct error *error)
{
    struct evaluating *e = user;
    (void)error; /* it is e->c.error */
    place_results(e, results);
    return run_steps(e);
}

static enum status evaluate_here(struct evaluating *e, size_t *made)
{
    if (e->bytes > e->limit)
        return op_error(&e->c, STATUS_MEMORY_LIMIT, "its constant result takes %zu bytes, past the limit of %zu",
                        e->bytes, e->limit);
    void *memory = region_buffer(e->c.graph->region, e->bytes);
    if (!memory)
        return op_no_memory(&e->c);
    *made += e->bytes;
    e->limit -= e->bytes;
    return make_results(e, memory, e->c.error);
}

/* What the store says of its own failures does not say where. */
static enum status say_where(struct evaluating *e, enum status status, const struct error *from)
{
    return status == STATUS_OK || e->c.error->status != STATUS_OK ? status : op_error(&e->c, status, "%s", from->text);
}

/* Dimensions that the steps find out are not in the store. */
static enum status evaluate(struct evaluating *e, const struct step *step, size_t *made)
{
    struct result_store *store = e->how->store;
    const void *results = NULL;
    if (store && e->result_count > 0 && !e->dims_at_run) {
        struct error from = {0};
        struct derivation derivation = {.graph = e->c.graph,
                                        .node = e->c.node,
                                        .step = step,
                                        .facts = e->how->facts,
                                        .bytes = e->bytes,
                                        .limit = e->limit,
                                        .make = make_results,
                                        .user = e};
        e->limit -= e->bytes < e->limit ? e->bytes : e->limit;
        TRY(say_where(e, store->obtain(store, &derivation, &results, made, &from), &from));
        e->limit = derivation.limit;
    }
    if (!results)
        return evaluate_here(e, made);
    place_results(e, results);
    return STATUS_OK;
}

/* --- nodes ----------------------------------------------------------------------------------------------- */

static bool writes(const struct step *step, const struct value *value)
{
    for (int i = 0; i < step->output_count; i++)
        if (step->outputs[i] && value_root(step->outputs[i], NULL) == value)
            return true;
    return false;
}

/* An output that no step writes is empty, or a view. */
static enum status find_results(struct evaluating *e)
{
    const struct node *node = e->c.node;
    e->results = region_array(&e->scratch, (size_t)node->output_count, sizeof(struct value *));
    if (!e->results)
        return op_no_memory(&e->c);
    for (int i = 0; i < node->output_count; i++) {
        struct value *output = node->outputs[i];
        bool written = false;
        for (int s = 0; output && s < e->step_count && !written; s++)
            written = writes(e->steps[s], output);
        if (written)
            TRY(add_result(e, output));
    }
    return STATUS_OK;
}

static enum status set_outputs(struct evaluating *e)
{
    for (int i = 0; i < e->c.node->output_count; i++) {
        struct value *output = e->c.node->outputs[i];
        if (!output)
            continue;
        const void *data = memory_of(output);
        if (!data) /* nothing to compute: an empty tensor */
            data = region_allocate(e->c.graph->region, ALIGNMENT);
        if (!data)
            return op_no_memory(&e->c);
        output->alias = NULL;
        output->data = data;
        output->dims_at_run = false;
        output->bytes = value_bytes(output);
    }
    return STATUS_OK;
}

static enum status evaluate_node(struct evaluating *e, size_t *made)
{
    struct step_list steps = step_list_in(&e->scratch);
    TRY(lower_node(e->c.graph, e->c.node, e->how->facts, &steps, e->c.error));
    e->steps = steps.steps;
    e->step_count = steps.count;
    TRY(find_results(e));
    TRY(evaluate(e, NULL, made));
    return set_outputs(e);
}

static enum status evaluate_for_graph(void *user, struct graph *graph, struct node *node, size_t limit, size_t *made,
                                      struct error *error)
{
    const struct evaluation *how = user;
    struct evaluating e = {
        .c = {.graph = graph, .node = node, .error = error, .facts = how->facts}, .how = how, .limit = limit};
    region_init(&e.scratch, graph->region->allocator);
    enum status status = evaluate_node(&e, made);
    region_free(&e.scratch);
    return status;
}

struct evaluator evaluator_of(const struct evaluation *evaluation)
{
    return (struct evaluator){evaluate_for_graph, (void *)(uintptr_t)evaluation};
}

/* --- steps ----------------------------------------------------------------------------------------------- */

static enum status evaluate_alone(struct evaluating *e, struct step *step, size_t *made)
{
    e->results = region_array(&e->scratch, (size_t)step->output_count, sizeof(struct value *));
    if (!e->results)
        return op_no_memory(&e->c);
    for (int i = 0; i < step->output_count; i++)
        if (step->outputs[i])
            TRY(add_result(e, step->outputs[i]));
    return evaluate(e, step, made);
}

enum status evaluate_step(struct graph *graph, struct step *step, const struct evaluation *evaluation, size_t limit,
                          size_t *made, struct error *error)
{
    struct evaluating e = {
        .c = {.graph = graph, .node = (struct node *)(uintptr_t)step->node, .error = error, .facts = evaluation->facts},
        .how = evaluation,
        .steps = &step,
        .step_count = 1,
        .limit = limit};
    region_init(&e.scratch, graph->region->allocator);
    enum status status = evaluate_alone(&e, step, made);
    region_free(&e.scratch);
    return status;
}
