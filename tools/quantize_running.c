/* Runs of a plan's graph, and what they take. */
#include "runtime/infer.h"
#include "tools/quantize_measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum status no_memory(struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while measuring");
}

static enum status take(struct error *error, const infer_error *from)
{
    return error_set(error, (enum status)from->status, "%s", from->message);
}

/* --- a graph that runs ----------------------------------------------------------------------------------- */

void study_close(struct running *running)
{
    infer_context_release(running->context);
    infer_session_release(running->session);
    infer_model_release(running->model);
    free(running->outputs);
    region_free(&running->region);
    memset(running, 0, sizeof *running);
}

static enum status open_graph(struct running *running, const struct study *study, const struct graph *graph,
                              bool optimise, struct error *error)
{
    infer_error from = {0};
    void *bytes;
    size_t size;
    const infer_model_options trusted = {.trust_weights = true};
    const infer_session_options options = {.no_optimize = !optimise};
    enum status status = model_write(graph, &study->metadata, &running->region, &bytes, &size, error);
    if (status != STATUS_OK)
        return status;
    if (infer_model_open_memory(bytes, size, "the model", &trusted, &running->model, &from) != INFER_OK ||
        infer_session_create(running->model, &options, &running->session, &from) != INFER_OK ||
        infer_context_create(running->session, &running->context, &from) != INFER_OK)
        return take(error, &from);
    running->output_count = infer_model_output_count(running->model);
    running->outputs = calloc(running->output_count + 1, sizeof *running->outputs);
    return running->outputs ? STATUS_OK : no_memory(error);
}

enum status study_open(struct running *running, struct study *study, bool small, bool optimise, struct error *error)
{
    *running = (struct running){.model = NULL};
    region_init(&running->region, &default_allocator);
    struct graph *graph = NULL;
    enum status status = small ? quantize_apply(&study->plan, &running->region, &graph, error) : STATUS_OK;
    if (status == STATUS_OK)
        status = open_graph(running, study, small ? graph : study->plan.graph, optimise, error);
    if (status != STATUS_OK)
        study_close(running);
    return status;
}

enum status study_run(struct running *running, const infer_tensor *inputs, struct error *error)
{
    infer_error from = {0};
    for (size_t i = 0; i < running->output_count; i++)
        running->outputs[i] = infer_output(NULL, 0);
    if (infer_run(running->context, inputs, infer_model_input_count(running->model), running->outputs,
                  running->output_count, &from) != INFER_OK)
        return take(error, &from);
    return STATUS_OK;
}

/* --- times ----------------------------------------------------------------------------------------------- */

#define TIMED_RUNS 12 /* of each */
#define LEAST_RUNS 3  /* however long they take */
#define TIMED_SECONDS 4

/* Seconds of each layer in the run before, and of all steps: where less than before, or nothing was known. */
static void least_times(struct study *study, const infer_step_time *times, size_t count, bool after, double *seconds,
                        double *sums)
{
    double all = 0;
    memset(sums, 0, ((size_t)study->plan.count + 1) * sizeof *sums);
    for (size_t k = 0; k < count; k++) {
        all += (double)times[k].nanoseconds / 1e9;
        for (int i = 0; i < study->plan.count; i++)
            if (study->plan.layers[i].node && strcmp(study->plan.layers[i].name, times[k].node) == 0) {
                sums[i] += (double)times[k].nanoseconds / 1e9;
                break;
            }
    }
    for (int i = 0; i < study->plan.count; i++) {
        double *least = after ? &study->facts[i].after : &study->facts[i].before;
        *least = *least > 0 ? fmin(*least, sums[i]) : sums[i];
    }
    *seconds = *seconds > 0 ? fmin(*seconds, all) : all;
}

/* One run, whose times are the only ones that the context has. */
static enum status time_run(struct study *study, struct running *running, const infer_tensor *inputs, bool after,
                            double *seconds, struct error *error)
{
    infer_context_time_steps(running->context, false);
    infer_context_time_steps(running->context, true);
    enum status status = study_run(running, inputs, error);
    size_t count = infer_context_step_times(running->context, NULL, 0);
    infer_step_time *times = calloc(count + 1, sizeof *times);
    double *sums = calloc((size_t)study->plan.count + 1, sizeof *sums);
    if (status == STATUS_OK && (!times || !sums))
        status = no_memory(error);
    if (status == STATUS_OK) {
        infer_context_step_times(running->context, times, count);
        least_times(study, times, count, after, seconds, sums);
    }
    free(times);
    free(sums);
    return status;
}

static enum status time_both(struct study *study, struct running *before, struct running *after, struct error *error)
{
    const infer_tensor *inputs;
    enum status status = samples_get(study->samples, 0, &inputs, error);
    if (status == STATUS_OK)
        status = study_run(before, inputs, error);
    if (status == STATUS_OK)
        status = study_run(after, inputs, error);
    for (int i = 0; i < TIMED_RUNS && status == STATUS_OK; i++) {
        if (i >= LEAST_RUNS && i * (study->seconds_before + study->seconds_after) > TIMED_SECONDS)
            break;
        status = time_run(study, before, inputs, false, &study->seconds_before, error);
        if (status == STATUS_OK)
            status = time_run(study, after, inputs, true, &study->seconds_after, error);
    }
    return status;
}

/* Both take turns, so that what else the machine does meets both. What float32 took before counts as well. */
enum status study_times(struct study *study, struct error *error)
{
    struct running before, after;
    enum status status = study_open(&before, study, false, true, error);
    if (status != STATUS_OK)
        return status;
    status = study_open(&after, study, true, true, error);
    study->seconds_after = 0;
    for (int i = 0; i < study->plan.count; i++)
        study->facts[i].after = 0;
    if (status == STATUS_OK) {
        status = time_both(study, &before, &after, error);
        study_close(&after);
    }
    study_close(&before);
    return status;
}

/* What counts as slower: more than times vary by. */
#define SLOWER 1.1        /* of a layer */
#define SLOWER_MODEL 1.03 /* of all of them */
#define SURE_LOSS 20e-6   /* seconds that count in any model, */
#define LEAST_SHARE 0.02  /* or so much of its time, where that is less */
#define LEAST_LOSS 5e-6   /* but what a busy machine adds to any time does not */
#define ROUNDS 3          /* a layer that changes may change what its neighbours take */

static const char slow_layer[] = "it is slower on integers here",
                  slow_model[] = "the model is no faster on integers here",
                  slow_weights[] = "its weights in int8 make it slower here";

static bool is_slower(const struct study *study, double before, double after, double by)
{
    double least = fmax(LEAST_LOSS, fmin(SURE_LOSS, LEAST_SHARE * study->seconds_before));
    return after > by * before && after - before > least;
}

/* What has been decided about a layer. */
struct decision {
    bool chosen, weights_only;
    const char *why;
};

static void note(const struct study *study, struct decision *decisions)
{
    for (int i = 0; i < study->plan.count; i++) {
        const struct layer *layer = &study->plan.layers[i];
        decisions[i] = (struct decision){layer->chosen, layer->weights_only, layer->why};
    }
}

static void take_back(struct study *study, const struct decision *decisions)
{
    for (int i = 0; i < study->plan.count; i++) {
        struct layer *layer = &study->plan.layers[i];
        layer->chosen = decisions[i].chosen;
        layer->weights_only = decisions[i].weights_only;
        layer->why = decisions[i].why;
    }
}

static bool is_slower_model(const struct study *study)
{
    return is_slower(study, study->seconds_before, study->seconds_after, SLOWER_MODEL);
}

/* Weights in int8 can cost time as well: what passes recognise by its weights is not what it was. Where the model is
 * slower, that has to go. Whether a layer changed. */
static bool drop_slow_weights(struct study *study)
{
    bool changed = false;
    for (int i = 0; i < study->plan.count && is_slower_model(study); i++) {
        struct layer *layer = &study->plan.layers[i];
        const struct layer_facts *facts = &study->facts[i];
        if (!layer->chosen || !layer->weights_only || !is_slower(study, facts->before, facts->after, SLOWER))
            continue;
        layer->chosen = layer->weights_only = false;
        layer->why = slow_weights;
        changed = true;
    }
    return changed;
}

/* Whether a layer changed. */
static bool drop_slow(struct study *study)
{
    bool changed = drop_slow_weights(study);
    for (int i = 0; i < study->plan.count; i++) {
        struct layer *layer = &study->plan.layers[i];
        const struct layer_facts *facts = &study->facts[i];
        bool slow = is_slower(study, facts->before, facts->after, SLOWER);
        if (!layer->chosen || layer->weights_only || !layer->input || !slow)
            continue;
        layer->weights_only = true;
        layer->why = slow_layer;
        changed = true;
    }
    return changed;
}

/* What the layers of float32 cost beside themselves, at their borders, only the whole tells: of all that was tried, the
 * fastest stays, and float32 where none was faster. */
static enum status try_rounds(struct study *study, bool all, struct decision *best, struct error *error)
{
    double least = INFINITY;
    for (int round = 0; round <= ROUNDS; round++) {
        enum status status = study_times(study, error);
        if (status != STATUS_OK)
            return status;
        if (round == 0 && !all && !is_slower_model(study))
            return STATUS_OK;
        if (study->seconds_after < least)
            note(study, best);
        least = fmin(least, study->seconds_after);
        if (!drop_slow(study))
            break;
    }
    take_back(study, best);
    for (int i = 0; i < study->plan.count && least >= study->seconds_before; i++) {
        struct layer *layer = &study->plan.layers[i];
        if (!layer->chosen || layer->weights_only || !layer->input)
            continue;
        layer->weights_only = true;
        layer->why = slow_model;
    }
    return STATUS_OK;
}

static enum status keep_slow_weights(struct study *study, struct error *error)
{
    bool any = false;
    for (int i = 0; i < study->plan.count; i++)
        any = any || (study->plan.layers[i].chosen && study->plan.layers[i].weights_only);
    enum status status = any ? study_times(study, error) : STATUS_OK;
    if (any && status == STATUS_OK)
        drop_slow_weights(study);
    return status;
}

enum status study_speed(struct study *study, bool all, struct error *error)
{
    struct decision *best = calloc((size_t)study->plan.count + 1, sizeof *best);
    enum status status = best ? try_rounds(study, all, best, error) : no_memory(error);
    free(best);
    return status == STATUS_OK ? keep_slow_weights(study, error) : status;
}
