#include "runtime/compile/specialise.h"

#include "graph/op.h"
#include "graph/steps/liveness.h"

#include <string.h>

static enum status no_memory(const struct graph *graph, struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while preparing graph '%s'", graph->name);
}

/* --- nodes ----------------------------------------------------------------------------------------------- */

static struct evaluation evaluation_of(const struct specialise_options *options)
{
    return (struct evaluation){
        .facts = &options->facts, .store = options->derived ? &options->derived->store : NULL, .work = options->work};
}

static struct resolve_options resolve_options_of(const struct specialise_options *options,
                                                 const struct evaluation *evaluation)
{
    return (struct resolve_options){.evaluator = evaluator_of(evaluation),
                                    .interrupt = options->interrupt,
                                    .constant_limit = options->constant_limit};
}

/* Resolves what is kept already. */
static enum status resolve_again(struct resolution *result, const struct resolve_options *options, struct error *error)
{
    struct node **nodes = result->kept;
    int count = result->kept_count;
    result->kept = NULL;
    result->kept_count = result->kept_capacity = 0;
    return resolve(result, options, nodes, count, error);
}

/* Runs the passes over the kept nodes. What they put in may be composite or constant: it is resolved as any node is. */
static enum status run_shaped_passes(struct resolution *result, const struct specialise_options *options,
                                     struct error *error)
{
    struct graph *graph = result->graph;
    const unsigned char *live = resolution_needs(result);
    if (!live)
        return no_memory(graph, error);
    struct evaluation evaluation = evaluation_of(options);
    struct resolve_options given = resolve_options_of(options, &evaluation);
    struct pass_context context = {
        .resolve = given,
        .memory_saving = options->memory_saving,
        .strip_threads = options->facts.cpu & CPU_AVX2 && !options->sides ? options->facts.threads : 0,
        .observer = options->observer,
        .shaped = true,
        .on_host = !options->sides,
    };
    context.resolve.constant_limit -= result->constant_bytes;
    graph->nodes = result->kept;
    graph->node_count = result->kept_count;
    graph->node_capacity = result->kept_capacity;
    TRY(run_passes(graph, &context, live, error));
    result->constant_bytes += context.constant_bytes;
    result->kept = graph->nodes;
    result->kept_count = graph->node_count;
    result->kept_capacity = graph->node_capacity;
    if (!context.changed)
        return STATUS_OK;
    TRY(resolve_again(result, &given, error));
    return resolution_drop_dead(result, error);
}

static bool any_needs_f32(const struct resolution *result)
{
    for (int i = 0; i < result->kept_count; i++)
        if (op_needs_f32(result->kept[i]))
            return true;
    return false;
}

static enum status resolve_nodes(struct resolution *result, const struct specialise_options *options,
                                 struct error *error)
{
    struct evaluation evaluation = evaluation_of(options);
    struct resolve_options given = resolve_options_of(options, &evaluation);
    TRY(resolve(result, &given, result->graph->nodes, result->graph->node_count, error));
    TRY(resolution_drop_dead(result, error));
    if (options->fuse && result->kept_count > 0)
        TRY(run_shaped_passes(result, options, error));
    given.half_as_f32 = true;
    return any_needs_f32(result) ? resolve_again(result, &given, error) : STATUS_OK;
}

/* --- steps ----------------------------------------------------------------------------------------------- */

/* Those of the session's graph. What is folded is computed on the host, by its facts. */
static struct kernel_facts facts_of_steps(const struct specialise_options *options)
{
    struct kernel_facts facts = options->facts;
    facts.cpu |= DEVICE_BUILT && options->sides ? options->sides->device : 0;
    return facts;
}

static enum status make_steps(struct segment *segment, const struct specialise_options *options, struct error *error)
{
    const struct kernel_facts best = facts_of_steps(options);
    struct step_pass_options pass = {.facts = &options->facts,
                                     .store = evaluation_of(options).store,
                                     .work = options->work,
                                     .channels_last = options->channels_last,
                                     .constant_limit = options->constant_limit};
    for (int i = 0; i < segment->kept_count; i++) {
        TRY(interrupt_check(options->interrupt, error));
        TRY(check_results(segment->kept[i], options->constant_limit, error));
        TRY(lower_node(segment->graph, segment->kept[i], &options->facts, &segment->steps, error));
    }
    if (options->fuse) {
        TRY(fold_steps(segment, &pass, error));
        TRY(fuse_steps(segment, error));
        TRY(interrupt_check(options->interrupt, error));
        TRY(absorb_copies(segment, &pass, error));
        TRY(interrupt_check(options->interrupt, error));
        pass.facts = &best;
        TRY(choose_layouts(segment, &pass, error));
        TRY(scale_inputs(segment, &pass, error));
    }
    for (int i = 0; i < segment->steps.count; i++)
        step_finish(segment->steps.steps[i]);
    return STATUS_OK;
}

/* Moves the steps to the graph's region. Lowering and the passes make several times as many, which nobody needs any
 * more: a session keeps a program for each shape it has seen. */
static enum status keep_steps(struct segment *segment, struct error *error)
{
    struct step_list *steps = &segment->steps;
    struct region *region = segment->graph->region;
    struct step **kept = region_array(region, (size_t)steps->count + 1, sizeof *kept);
    if (!kept)
        return no_memory(segment->graph, error);
    for (int i = 0; i < steps->count; i++) {
        kept[i] = step_copy(steps->steps[i], region);
        if (!kept[i])
            return no_memory(segment->graph, error);
    }
    int count = steps->count;
    *steps = step_list_in(region);
    steps->steps = kept;
    steps->count = count;
    steps->capacity = count + 1;
    return STATUS_OK;
}

static enum status select_kernels(struct segment *segment, const struct kernel_facts *facts, struct error *error)
{
    for (int i = 0; i < segment->steps.count; i++)
        TRY(select_kernel(segment->steps.steps[i], facts, step_constant_inputs(segment->steps.steps[i]),
                          segment->graph->region, error));
    return STATUS_OK;
}

static enum status specialise_as_told(struct graph *graph, const struct specialise_options *options,
                                      struct segment *segment, struct error *error)
{
    struct resolution result = {.graph = graph};
    TRY(resolve_nodes(&result, options, error));
    struct region scratch;
    region_init(&scratch, graph->region->allocator);
    *segment = (struct segment){
        .graph = graph,
        .steps = step_list_in(&scratch),
        .rest = result.rest,
        .rest_count = result.rest_count,
        .needed = result.needed,
        .needed_copy = result.needed,
        .kept = result.kept,
        .kept_count = result.kept_count,
        .constant_bytes = result.constant_bytes,
    };
    enum status status = make_steps(segment, options, error);
    if (status == STATUS_OK)
        status = keep_steps(segment, error);
    region_free(&scratch);
    TRY(status);
    const struct kernel_facts best = facts_of_steps(options);
    TRY(select_kernels(segment, &best, error));
    TRY(interrupt_check(options->interrupt, error));
    if (DEVICE_BUILT && options->sides)
        TRY(choose_sides(segment, &options->facts, error));
    if (options->fuse)
        TRY(schedule_steps(segment, options->facts.threads, error));
    return DEVICE_BUILT && options->sides ? place_copies(segment, options->sides, error) : STATUS_OK;
}

/* The peak of a program that is thrown away. */
static enum status measure_peak(const struct graph *graph, struct specialise_options options, bool memory_saving,
                                size_t *peak, struct error *error)
{
    struct region scratch;
    struct segment segment;
    struct derived derived; /* counted anew, as what is made here is not there yet for the program that stays */
    options.memory_saving = memory_saving;
    options.observer = NULL;
    region_init(&scratch, graph->region->allocator);
    if (options.derived) {
        derived_init_within(&derived, options.derived, &scratch);
        options.derived = &derived;
    }
    struct graph *copy = graph_clone(graph, &scratch);
    enum status status =
        copy ? specialise_as_told(copy, &options, &segment, error)
             : error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while preparing graph '%s'", graph->name);
    if (status == STATUS_OK)
        *peak = segment_peak(&segment, options.facts.threads);
    if (options.derived)
        weight_holder_free(&derived.holder);
    region_free(&scratch);
    return status;
}

/* The pass that cuts strips goes by a model of what fusion will do; whether that paid is seen when it is done. */
static enum status check_saving(const struct graph *graph, struct specialise_options *options, struct error *error)
{
    size_t whole = 0, strips = 0;
    TRY(measure_peak(graph, *options, false, &whole, error));
    TRY(measure_peak(graph, *options, true, &strips, error));
    options->memory_saving = (double)strips <= (1 - STRIPS_LEAST_GAIN) * (double)whole;
    return STATUS_OK;
}

enum status specialise(struct graph *graph, const struct specialise_options *options, struct segment *segment,
                       struct error *error)
{
    struct specialise_options chosen = *options;
    if (DEVICE_BUILT && chosen.sides) /* it goes by the host's caches, and by one arena */
        chosen.memory_saving = false;
    if (chosen.memory_saving && chosen.fuse)
        TRY(check_saving(graph, &chosen, error));
    return specialise_as_told(graph, &chosen, segment, error);
}
