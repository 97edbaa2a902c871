#include "graph/op.h"
#include "graph/steps/passes.h"

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

enum status fold_steps(struct segment *segment, const struct step_pass_options *options, struct error *error)
{
    struct step_list *steps = &segment->steps;
    struct evaluation evaluation = {.facts = options->facts, .store = options->store, .work = options->work};
    int *writers = region_array(steps->region, (size_t)segment->graph->value_count, sizeof *writers);
    if (!writers)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while folding graph '%s'", segment->graph->name);
    for (int s = 0; s < steps->count; s++)
        for (int i = 0; i < steps->steps[s]->output_count; i++)
            if (steps->steps[s]->outputs[i])
                writers[value_root(steps->steps[s]->outputs[i], NULL)->id]++;
    int kept = 0;
    for (int s = 0; s < steps->count; s++) {
        struct step *step = steps->steps[s];
        size_t bytes = 0, limit = options->constant_limit - segment->constant_bytes;
        for (int i = 0; i < step->output_count; i++)
            bytes += step->outputs[i] && !step->control ? value_bytes(step->outputs[i]) : 0;
        bool foldable = !step->control && !(step->node->op->flags & OP_RANDOM) && reads_constants_only(step) &&
                        is_sole_writer(step, writers) && bytes <= limit;
        if (!foldable) {
            steps->steps[kept++] = step;
            continue;
        }
        TRY(evaluate_step(segment->graph, step, &evaluation, limit, &segment->constant_bytes, error));
    }
    steps->count = kept;
    return STATUS_OK;
}
