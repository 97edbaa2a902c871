#include "tools/run_watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- who wrote what ------------------------------------------------------------------------------------------ */

static size_t overlap(uintptr_t a, size_t a_bytes, uintptr_t b, size_t b_bytes)
{
    uintptr_t start = a > b ? a : b, a_end = a + a_bytes, b_end = b + b_bytes, end = a_end < b_end ? a_end : b_end;
    return end > start ? end - start : 0;
}

/* The name of the model's input that these bytes lie in; NULL: none. */
static const char *input_at(const struct watch *watch, uintptr_t start, size_t bytes)
{
    for (size_t i = 0; i < watch->inputs->count; i++) {
        const infer_tensor *input = &watch->inputs->tensors[i];
        infer_value about;
        if (overlap(start, bytes, (uintptr_t)input->data, input->bytes) > 0 &&
            infer_model_input(watch->model, i, &about) == INFER_OK)
            return about.name;
    }
    return NULL;
}

/* Whether something wrote a part of these bytes among the first `count`. */
static bool is_written(const struct watch *watch, uintptr_t start, size_t bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (overlap(start, bytes, watch->written[i].start, watch->written[i].bytes) > 0)
            return true;
    return false;
}

/* Parts of one tensor without a name: each is shown as all of it. */
static bool same_parts(const struct watched_value *a, const struct watched_value *b)
{
    return !*a->name && !*b->name && a->start == b->start && a->bytes == b->bytes;
}

/* From the latest of the first `count` writings back, until all of these bytes are accounted for. What is a view was
 * written under other names before. Returns the bytes that nothing wrote. */
static size_t trace_bytes(const struct watch *watch, uintptr_t start, size_t bytes, size_t count,
                          const struct tracer *tracer, bool *steps)
{
    const struct watched_value *last = NULL;
    size_t accounted = 0;
    for (size_t i = count; i > 0; i--) {
        const struct watched_value *value = &watch->written[i - 1];
        size_t shared = overlap(start, bytes, value->start, value->bytes);
        if (shared == 0)
            continue;
        bool part = last && same_parts(last, value);
        if (accounted >= bytes && !part)
            break;
        bool stops = tracer->stop(tracer->user, value);
        if (value->view && !stops)
            continue;
        if (!stops && value->step >= 0)
            steps[value->step] = true;
        accounted += part ? 0 : shared;
        last = value;
    }
    return bytes > accounted ? bytes - accounted : 0;
}

static void trace_step(const struct watch *watch, int index, const struct tracer *tracer, bool *steps)
{
    const struct watched_step *step = &watch->steps[index];
    for (size_t k = 0; k < step->input_count; k++) {
        uintptr_t start = (uintptr_t)step->inputs[k].data;
        size_t bytes = step->inputs[k].bytes;
        if (trace_bytes(watch, start, bytes, step->written_before, tracer, steps) > 0)
            tracer->outside(tracer->user, input_at(watch, start, bytes), step);
    }
    for (int i = 0; i < index; i++) /* a node of several steps is one */
        if (strcmp(watch->steps[i].node, step->node) == 0)
            steps[i] = true;
}

/* A step reads what earlier ones wrote, so one pass backwards meets all of them. */
void watch_trace(const struct watch *watch, size_t index, const struct tracer *tracer, bool *steps)
{
    const struct watched_value *value = &watch->written[index];
    const char *input = value->view ? input_at(watch, value->start, value->bytes) : NULL;
    if (value->view && trace_bytes(watch, value->start, value->bytes, index, tracer, steps) > 0 && input)
        tracer->outside(tracer->user, input, NULL);
    else if (!value->view)
        steps[value->step] = true;
    for (int i = value->step; i >= 0; i--)
        if (steps[i])
            trace_step(watch, i, tracer, steps);
}

bool watch_find(const struct watch *watch, const char *name, size_t *index)
{
    for (*index = watch->written_count; *index > 0;)
        if (strcmp(watch->written[--*index].name, name) == 0)
            return true;
    return false;
}

/* --- NaN and infinity ---------------------------------------------------------------------------------------- */

/* The first place of each, or -1. */
static void find_specials(const infer_tensor *tensor, int64_t place[2])
{
    int64_t count;
    infer_tensor numbers = tensor_numbers(tensor, &count);
    bool complex = numbers.dtype != tensor->dtype;
    place[SPECIAL_NAN] = place[SPECIAL_INFINITY] = -1;
    if (!complex && !dtype_is_float((enum dtype)tensor->dtype))
        return;
    for (int64_t i = 0; i < count; i++) {
        double number = tensor_element(&numbers, i);
        if (isfinite(number))
            continue;
        int64_t *first = &place[isnan(number) ? SPECIAL_NAN : SPECIAL_INFINITY];
        *first = *first < 0 ? i : *first;
    }
}

static void found_source(struct watch *watch, int kind, const struct special_source *source)
{
    if (watch->first[kind].found)
        return;
    watch->first[kind] = *source;
    watch->first[kind].found = true;
    watch->first[kind].tensor.data = NULL;
}

static void scan_inputs(struct watch *watch)
{
    for (size_t i = 0; i < watch->inputs->count; i++) {
        const infer_tensor *tensor = &watch->inputs->tensors[i];
        infer_value about = {.name = ""};
        int64_t place[2];
        infer_model_input(watch->model, i, &about);
        find_specials(tensor, place);
        for (int kind = 0; kind < 2; kind++) {
            struct special_source source = {
                .value = about.name, .from_outside = true, .step = -1, .tensor = *tensor, .place = place[kind]};
            if (place[kind] >= 0)
                found_source(watch, kind, &source);
        }
    }
}

static void scan_constants(struct watch *watch, int index)
{
    struct watched_step *step = &watch->steps[index];
    for (size_t i = 0; i < step->input_count; i++) {
        const infer_tensor *tensor = &step->inputs[i];
        uintptr_t start = (uintptr_t)tensor->data;
        int64_t place[2];
        if (is_written(watch, start, tensor->bytes, step->written_before) || input_at(watch, start, tensor->bytes))
            continue;
        find_specials(tensor, place);
        for (int kind = 0; kind < 2; kind++)
            step->constant_special[kind] = step->constant_special[kind] || place[kind] >= 0;
        struct special_source source = {
            .value = "", .from_outside = true, .step = index, .tensor = *tensor, .place = place[SPECIAL_NAN]};
        if (place[SPECIAL_NAN] >= 0)
            found_source(watch, SPECIAL_NAN, &source);
    }
}

/* What led to a value, of one kind. */
struct ancestry {
    int kind;
    bool has;     /* something has one */
    bool unmeant; /* and it is not, or does not come from, a constant */
};

static bool stop_at_known(void *user, const struct watched_value *value)
{
    struct ancestry *ancestry = user;
    if (!value->known)
        return false;
    ancestry->has = ancestry->has || value->special[ancestry->kind];
    ancestry->unmeant = ancestry->unmeant || (value->special[ancestry->kind] && !value->meant[ancestry->kind]);
    return true;
}

/* Of an input nothing is to be known: where one has it, the source has been found. */
static void note_constant(void *user, const char *input, const struct watched_step *reader)
{
    struct ancestry *ancestry = user;
    ancestry->has = ancestry->has || (!input && reader->constant_special[ancestry->kind]);
}

static struct ancestry ancestry_of(struct watch *watch, size_t index, int kind)
{
    struct ancestry ancestry = {.kind = kind};
    struct tracer tracer = {.stop = stop_at_known, .outside = note_constant, .user = &ancestry};
    bool *steps = calloc(watch->step_count + 1, sizeof *steps);
    watch->no_memory = watch->no_memory || !steps;
    if (steps)
        watch_trace(watch, index, &tracer, steps);
    free(steps);
    return ancestry;
}

/* The unoptimised run had it as well, and saw that constants brought it. */
static bool was_meant(const struct watch *watch, const char *name, int kind)
{
    size_t index;
    return watch->before && watch_find(watch->before, name, &index) && watch->before->written[index].meant[kind];
}

static void judge_value(struct watch *watch, size_t index, const infer_tensor *tensor)
{
    struct watched_value *value = &watch->written[index];
    int64_t place[2];
    find_specials(tensor, place);
    for (int kind = 0; kind < 2; kind++) {
        if (place[kind] < 0)
            continue;
        struct special_source source = {
            .value = value->name, .written = index, .step = value->step, .tensor = *tensor, .place = place[kind]};
        struct ancestry ancestry = ancestry_of(watch, index, kind);
        value->special[kind] = true;
        value->meant[kind] = was_meant(watch, value->name, kind) || (ancestry.has && !ancestry.unmeant);
        if (!ancestry.has && !value->meant[kind])
            found_source(watch, kind, &source);
    }
    value->known = true;
}

/* --- steps --------------------------------------------------------------------------------------------------- */

void watch_start(struct watch *watch, const infer_model *model, const struct input_set *inputs, bool plain,
                 const struct watch *before)
{
    *watch = (struct watch){.model = model, .inputs = inputs, .plain = plain, .before = before};
    region_init(&watch->region, &default_allocator);
    scan_inputs(watch);
}

void watch_free(struct watch *watch)
{
    free(watch->steps);
    free(watch->written);
    if (watch->region.allocator)
        region_free(&watch->region);
    *watch = (struct watch){0};
}

static void *grown(struct watch *watch, void *items, size_t count, size_t *capacity, size_t bytes_each)
{
    if (count < *capacity)
        return items;
    size_t more = *capacity ? *capacity * 2 : 256;
    void *larger = realloc(items, more * bytes_each);
    if (larger)
        *capacity = more;
    else
        watch->no_memory = true;
    return larger ? larger : items;
}

/* The step is only there during the call. */
static bool copy_step(struct watch *watch, const infer_step *step, struct watched_step *copy)
{
    struct region *region = &watch->region;
    *copy = (struct watched_step){.node = region_string(region, step->node),
                                  .op = region_string(region, step->op),
                                  .kernel = region_string(region, step->kernel),
                                  .sources = region_array(region, step->source_count + 1, sizeof *copy->sources),
                                  .source_count = step->source_count,
                                  .inputs = region_array(region, step->input_count + 1, sizeof *copy->inputs),
                                  .input_count = step->input_count,
                                  .written_before = watch->written_count};
    if (!copy->node || !copy->op || !copy->kernel || !copy->sources || !copy->inputs)
        return false;
    memcpy(copy->inputs, step->inputs, step->input_count * sizeof *copy->inputs);
    for (size_t i = 0; i < step->source_count; i++)
        if (!(copy->sources[i] = region_string(region, step->sources[i])))
            return false;
    return true;
}

void watch_before(void *user, const infer_step *step)
{
    struct watch *watch = user;
    watch->steps = grown(watch, watch->steps, watch->step_count, &watch->step_capacity, sizeof *watch->steps);
    if (watch->no_memory || !copy_step(watch, step, &watch->steps[watch->step_count])) {
        watch->no_memory = true;
        return;
    }
    watch->step_count++;
    if (watch->plain)
        scan_constants(watch, (int)watch->step_count - 1);
}

static bool write_down(struct watch *watch, const char *name, const infer_tensor *tensor, bool view)
{
    const char *copy = region_string(&watch->region, name);
    watch->written =
        grown(watch, watch->written, watch->written_count, &watch->written_capacity, sizeof *watch->written);
    watch->no_memory = watch->no_memory || !copy;
    if (!watch->no_memory)
        watch->written[watch->written_count++] = (struct watched_value){.name = copy,
                                                                        .start = (uintptr_t)tensor->data,
                                                                        .bytes = tensor->bytes,
                                                                        .step = (int)watch->step_count - 1,
                                                                        .view = view};
    return !watch->no_memory;
}

void watch_after(void *user, const infer_step *step)
{
    struct watch *watch = user;
    for (size_t i = 0; i < step->output_count && !watch->no_memory; i++)
        if (step->outputs[i].dtype != INFER_NONE)
            write_down(watch, step->output_names[i], &step->outputs[i], false);
}

/* Several steps may write a value: it is whole only when it is shown. */
void watch_value(void *user, const char *name, const infer_tensor *tensor)
{
    struct watch *watch = user;
    int step = (int)watch->step_count - 1;
    size_t i = watch->written_count;
    if (watch->no_memory)
        return;
    while (i > 0 && watch->written[i - 1].step == step && strcmp(watch->written[i - 1].name, name) != 0)
        i--;
    bool direct = step >= 0 && i > 0 && watch->written[i - 1].step == step;
    if (!direct && !write_down(watch, name, tensor, true))
        return;
    judge_value(watch, direct ? i - 1 : watch->written_count - 1, tensor);
}
