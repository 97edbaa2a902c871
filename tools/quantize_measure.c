#include "tools/quantize_measure.h"

#include "graph/op.h"
#include "runtime/infer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum status no_memory(struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while measuring");
}

/* --- which samples --------------------------------------------------------------------------------------- */

static bool is_held(const struct study *study, int64_t sample)
{
    return study->held == 0 || sample % study->held == study->held - 1;
}

static bool calibrates(const struct study *study, int64_t sample)
{
    return study->held == 0 || !is_held(study, sample);
}

#define IMAGE_RANK 4

/* --- calibration ----------------------------------------------------------------------------------------- */

/* Images have their channels in axis 1, what products read in the last. */
static void add_channels(struct study *study, int i, const infer_tensor *tensor)
{
    struct channel_sums *sums = study->facts[i].sums;
    int axis = study->plan.layers[i].kind == LAYER_CONV ? 1 : tensor->rank - 1;
    int64_t inner = 1, elements = (int64_t)(tensor->bytes / sizeof(float));
    if (axis < 0 || axis >= tensor->rank || elements == 0)
        return;
    for (int k = axis + 1; k < tensor->rank; k++)
        inner *= tensor->dims[k];
    if (sums->channels == 0) {
        sums->channels = tensor->dims[axis];
        sums->sums = region_array(study->plan.region, (size_t)sums->channels + 1, sizeof *sums->sums);
        sums->reach = region_array(study->plan.region, (size_t)sums->channels + 1, sizeof *sums->reach);
    }
    if (!sums->sums || !sums->reach || sums->channels != tensor->dims[axis])
        return;
    for (int64_t k = 0; k < elements; k++) {
        const double number = (double)((const float *)tensor->data)[k];
        double *reach = &sums->reach[k / inner % sums->channels];
        sums->sums[k / inner % sums->channels] += number;
        *reach = fmax(*reach, fabs(number));
    }
    sums->count += (double)(elements / sums->channels);
}

static void see_point(struct study *study, int i, const infer_tensor *tensor)
{
    int64_t positions = 1;
    for (int k = 2; k < tensor->rank; k++)
        positions *= tensor->dims[k];
    study->point_facts[i].image = tensor->rank >= IMAGE_RANK && positions > 1;
    observe_numbers(&study->point_facts[i].seen, tensor->data, (int64_t)(tensor->bytes / sizeof(float)));
}

static void see(struct study *study, const char *name, const infer_tensor *tensor)
{
    for (int i = 0; i < study->plan.point_count && tensor->dtype == INFER_FLOAT32; i++)
        if (strcmp(study->plan.points[i].value->name, name) == 0) {
            see_point(study, i, tensor);
            return; /* no layer reads it */
        }
    for (int i = 0; i < study->plan.count; i++) {
        const struct value *input = study->plan.layers[i].input;
        if (!input || strcmp(input->name, name) != 0 || tensor->dtype != INFER_FLOAT32)
            continue;
        observe_numbers(study->facts[i].seen, tensor->data, (int64_t)(tensor->bytes / sizeof(float)));
        add_channels(study, i, tensor);
        return; /* the others share it */
    }
}

static void see_value(void *user, const char *name, const infer_tensor *tensor)
{
    see(user, name, tensor);
}

/* Work by the operator's own count; of a node of several steps, that of the largest. */
static void see_step(void *user, const infer_step *step)
{
    struct study *study = user;
    for (int i = 0; i < study->plan.count; i++)
        if (study->plan.layers[i].node && strcmp(study->plan.layers[i].name, step->node) == 0)
            study->facts[i].flops = fmax(study->facts[i].flops, step->flops);
}

static enum status make_facts(struct study *study, struct error *error)
{
    study->facts = region_array(study->plan.region, (size_t)study->plan.count + 1, sizeof *study->facts);
    study->point_facts =
        region_array(study->plan.region, (size_t)study->plan.point_count + 1, sizeof *study->point_facts);
    if (!study->facts || !study->point_facts)
        return no_memory(error);
    for (int i = 0; i < study->plan.count; i++) {
        const struct value *input = study->plan.layers[i].input;
        study->facts[i].error = -1;
        for (int k = 0; k < i && input && !study->facts[i].seen; k++)
            if (study->plan.layers[k].input == input) {
                study->facts[i].seen = study->facts[k].seen;
                study->facts[i].sums = study->facts[k].sums;
            }
        if (!input || study->facts[i].seen)
            continue;
        study->facts[i].seen = region_allocate(study->plan.region, sizeof *study->facts[i].seen);
        study->facts[i].sums = region_allocate(study->plan.region, sizeof *study->facts[i].sums);
        if (!study->facts[i].seen || !study->facts[i].sums)
            return no_memory(error);
    }
    return STATUS_OK;
}

void study_choose(struct study *study, enum range_method method)
{
    for (int i = 0; i < study->plan.count; i++) {
        struct layer *layer = &study->plan.layers[i];
        struct layer_facts *facts = &study->facts[i];
        if (!layer->input || !layer->chosen)
            continue;
        layer->why = facts->seen->unusable > 0 ? "its input held NaN or infinity"
                     : facts->seen->count == 0 ? "its input was not computed for any sample"
                                               : NULL;
        layer->chosen = !layer->why;
        facts->range = choose_range(facts->seen, method);
        layer->quantum = quantum_of(facts->range);
    }
    for (int i = 0; i < study->plan.point_count; i++) {
        struct point *point = &study->plan.points[i];
        const struct point_facts *facts = &study->point_facts[i];
        point->chosen = facts->image && facts->seen.count > 0 && facts->seen.unusable == 0;
        if (point->chosen)
            point->quantum = quantum_of(choose_range(&facts->seen, method));
    }
}

/* Where all numbers were finite. */
static enum status take_means(struct study *study, struct error *error)
{
    for (int i = 0; i < study->plan.count; i++) {
        struct layer *layer = &study->plan.layers[i];
        const struct channel_sums *sums = study->facts[i].sums;
        if (!sums || !sums->sums || sums->count <= 0 || study->facts[i].seen->unusable > 0)
            continue;
        double *means = region_array(study->plan.region, (size_t)sums->channels + 1, sizeof *means);
        if (!means)
            return no_memory(error);
        for (int64_t k = 0; k < sums->channels; k++)
            means[k] = sums->sums[k] / sums->count;
        layer->means = means;
        layer->reach = sums->reach;
        layer->mean_count = sums->channels;
    }
    return STATUS_OK;
}

enum status study_calibrate(struct study *study, struct error *error)
{
    struct running running;
    const infer_tensor *inputs;
    enum status status = make_facts(study, error);
    if (status != STATUS_OK || !study->samples)
        return status;
    status = study_open(&running, study, false, false, error);
    if (status != STATUS_OK)
        return status;
    const infer_observer observer = {.value = see_value, .after = see_step, .user = study};
    infer_context_observe(running.context, &observer);
    for (int64_t i = 0; i < study->samples->count && status == STATUS_OK; i++) {
        if (!calibrates(study, i))
            continue;
        status = samples_get(study->samples, i, &inputs, error);
        for (int k = 0; k < study->plan.graph->input_count && status == STATUS_OK; k++)
            if (inputs[k].dtype != INFER_NONE)
                see(study, study->plan.graph->inputs[k]->name, &inputs[k]);
        if (status == STATUS_OK && (status = study_run(&running, inputs, error)) != STATUS_OK)
            error_prefix(error, "%s", samples_path(study->samples, i));
    }
    study_close(&running);
    return status == STATUS_OK ? take_means(study, error) : status;
}

/* --- the error of the whole ------------------------------------------------------------------------------ */

#define MOST_MEASURED 16 /* samples */

/* What is compared: floating outputs; all, where none is. */
static bool compares(const struct running *running, size_t output)
{
    bool any = false;
    for (size_t i = 0; i < running->output_count; i++)
        any = any || dtype_is_float((enum dtype)running->outputs[i].dtype);
    return !any || dtype_is_float((enum dtype)running->outputs[output].dtype);
}

static enum status expect(struct study *study, const struct running *running, size_t *room, struct error *error)
{
    for (size_t i = 0; i < running->output_count; i++) {
        int64_t count;
        infer_tensor numbers = tensor_numbers(&running->outputs[i], &count);
        if (!compares(running, i))
            continue;
        if (study->expected_count + (size_t)count > *room) {
            *room = 2 * (study->expected_count + (size_t)count);
            float *larger = realloc(study->expected, *room * sizeof *larger);
            if (!larger)
                return no_memory(error);
            study->expected = larger;
        }
        for (int64_t k = 0; k < count; k++)
            study->expected[study->expected_count++] = (float)tensor_element(&numbers, k);
    }
    return STATUS_OK;
}

struct sums {
    double difference, square;
};

/* Adds what the outputs differ by from the expected numbers at *at on. False: there are more or fewer of them. */
static bool compare(const struct study *study, const struct running *running, size_t *at, struct sums *sums)
{
    for (size_t i = 0; i < running->output_count; i++) {
        int64_t count;
        infer_tensor numbers = tensor_numbers(&running->outputs[i], &count);
        if (!compares(running, i))
            continue;
        if ((size_t)count > study->expected_count - *at)
            return false;
        for (int64_t k = 0; k < count; k++) {
            double want = (double)study->expected[(*at)++], have = tensor_element(&numbers, k);
            if (!isfinite(want))
                continue;
            sums[i].difference += isfinite(have) ? (have - want) * (have - want) : INFINITY;
            sums[i].square += want * want;
        }
    }
    return true;
}

/* Runs the samples held out, and either keeps the results or compares them. */
static enum status run_held(struct study *study, struct running *running, bool keep, struct sums *sums, bool *alike,
                            struct error *error)
{
    const infer_tensor *inputs;
    size_t room = 0, at = 0;
    int measured = 0;
    enum status status = STATUS_OK;
    *alike = true;
    for (int64_t i = 0; i < study->samples->count && measured < MOST_MEASURED && status == STATUS_OK; i++) {
        if (!is_held(study, i))
            continue;
        measured++;
        status = samples_get(study->samples, i, &inputs, error);
        if (status == STATUS_OK)
            status = study_run(running, inputs, error);
        if (status == STATUS_OK && keep)
            status = expect(study, running, &room, error);
        else if (status == STATUS_OK)
            *alike = *alike && compare(study, running, &at, sums);
    }
    return status;
}

static double largest_error(const struct sums *sums, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        if (sums[i].difference > 0)
            largest = fmax(largest, sums[i].square > 0 ? sqrt(sums[i].difference / sums[i].square) : INFINITY);
    return largest;
}

static enum status keep_expected(struct study *study, struct error *error)
{
    struct running running;
    bool alike;
    enum status status = study_open(&running, study, false, true, error);
    if (status != STATUS_OK)
        return status;
    status = run_held(study, &running, true, NULL, &alike, error);
    study_close(&running);
    return status;
}

enum status study_error(struct study *study, double *relative, struct error *error)
{
    struct running running;
    enum status status = study->expected ? STATUS_OK : keep_expected(study, error);
    if (status == STATUS_OK)
        status = study_open(&running, study, true, true, error);
    if (status != STATUS_OK)
        return status;
    bool alike = true;
    struct sums *sums = calloc(running.output_count + 1, sizeof *sums);
    status = sums ? run_held(study, &running, false, sums, &alike, error) : no_memory(error);
    if (status == STATUS_OK)
        *relative = alike ? largest_error(sums, running.output_count) : INFINITY;
    free(sums);
    study_close(&running);
    return status;
}

enum status study_choose_best(struct study *study, enum range_method *method, struct error *error)
{
    double least = INFINITY, found;
    *method = RANGE_MSE;
    for (int i = 0; i < RANGE_METHODS; i++) {
        study_choose(study, (enum range_method)i);
        TRY(study_error(study, &found, error));
        if (found < least) {
            least = found;
            *method = (enum range_method)i;
        }
    }
    study_choose(study, *method);
    return STATUS_OK;
}

/* --- layer by layer -------------------------------------------------------------------------------------- */

#define MOST_KEPT 65536 /* elements of a layer's output, evenly spread over it */

struct comparison {
    struct study *study;
    float **kept;    /* by layer, of float32; NULL: not seen yet */
    int64_t *counts; /* elements of the outputs that they are from */
    bool second;
    bool failed;
};

static void compare_layer(struct comparison *comparison, int i, const infer_tensor *tensor)
{
    int64_t count = (int64_t)(tensor->bytes / sizeof(float)), step = count / MOST_KEPT + 1, at = 0;
    const float *numbers = tensor->data;
    struct layer_facts *facts = &comparison->study->facts[i];
    float **kept = &comparison->kept[i];
    if (comparison->second && count != comparison->counts[i]) /* a size that follows from numbers, which have changed */
        return;
    if (!comparison->second) {
        comparison->counts[i] = count;
        free(*kept);
        *kept = malloc(((size_t)(count / step) + 2) * sizeof(float));
        comparison->failed = comparison->failed || !*kept;
    }
    for (int64_t k = 0; *kept && k < count; k += step, at++) {
        double x = (double)numbers[k], was = (double)(*kept)[at];
        if (!comparison->second) {
            (*kept)[at] = numbers[k];
        } else if (isfinite(was) && isfinite(x)) {
            facts->signal += was * was;
            facts->noise += (x - was) * (x - was);
        }
    }
}

/* A recurrent layer may have others than the first alone. NULL: LAYER_CONSTANT. */
static const struct value *output_of(const struct layer *layer)
{
    const struct value *output = NULL;
    for (int i = 0; layer->node && i < layer->node->output_count && !output; i++)
        output = layer->node->outputs[i];
    return output;
}

static void compare_value(void *user, const char *name, const infer_tensor *tensor)
{
    struct comparison *comparison = user;
    const struct quantize_plan *plan = &comparison->study->plan;
    for (int i = 0; i < plan->count && tensor->dtype == INFER_FLOAT32; i++) {
        const struct value *output = output_of(&plan->layers[i]);
        if (output && strcmp(output->name, name) == 0)
            compare_layer(comparison, i, tensor);
    }
}

#define MOST_COMPARED 4 /* samples */

static enum status compare_layers(struct study *study, struct comparison *comparison, struct error *error)
{
    struct running running[2];
    const infer_tensor *inputs;
    enum status status = study_open(&running[0], study, false, false, error);
    if (status != STATUS_OK)
        return status;
    status = study_open(&running[1], study, true, false, error);
    int compared = 0;
    for (int64_t i = 0; status == STATUS_OK && i < study->samples->count && compared < MOST_COMPARED; i++) {
        if (!is_held(study, i))
            continue;
        compared++;
        status = samples_get(study->samples, i, &inputs, error);
        for (int way = 0; way < 2 && status == STATUS_OK; way++) {
            comparison->second = way > 0;
            const infer_observer observer = {.value = compare_value, .user = comparison};
            infer_context_observe(running[way].context, &observer);
            status = study_run(&running[way], inputs, error);
        }
    }
    study_close(&running[0]);
    study_close(&running[1]);
    return status == STATUS_OK && comparison->failed ? no_memory(error) : status;
}

enum status study_layers(struct study *study, struct error *error)
{
    struct comparison comparison = {.study = study};
    comparison.kept = calloc((size_t)study->plan.count + 1, sizeof *comparison.kept);
    comparison.counts = calloc((size_t)study->plan.count + 1, sizeof *comparison.counts);
    bool room = comparison.kept && comparison.counts;
    enum status status = room ? compare_layers(study, &comparison, error) : no_memory(error);
    for (int i = 0; comparison.kept && i < study->plan.count; i++)
        free(comparison.kept[i]);
    free(comparison.kept);
    free(comparison.counts);
    return status;
}

void study_free(struct study *study)
{
    free(study->expected);
    study->expected = NULL;
}
