#include "tools/run_watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void scan_inputs(struct watch *watch);

void watch_start(struct watch *watch, const infer_model *model, const struct input_set *inputs)
{
    *watch = (struct watch){.model = model, .inputs = inputs};
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

/* --- who wrote what ------------------------------------------------------------------------------------------ */

static size_t overlap(uintptr_t a, size_t a_bytes, uintptr_t b, size_t b_bytes)
{
    uintptr_t start = a > b ? a : b, a_end = a + a_bytes, b_end = b + b_bytes, end = a_end < b_end ? a_end : b_end;
    return end > start ? end - start : 0;
}

const struct watched_value *watch_writer(const struct watch *watch, const infer_tensor *tensor, size_t *at,
                                         size_t *left)
{
    while (*left > 0 && *at > 0) {
        const struct watched_value *value = &watch->written[--*at];
        size_t shared = overlap((uintptr_t)tensor->data, tensor->bytes, value->start, value->bytes);
        if (shared > 0) {
            *left -= shared < *left ? shared : *left;
            return value;
        }
    }
    return NULL;
}

const char *watch_input(const struct watch *watch, const infer_tensor *tensor)
{
    for (size_t i = 0; i < watch->inputs->count; i++) {
        const infer_tensor *input = &watch->inputs->tensors[i];
        infer_value about;
        if (overlap((uintptr_t)tensor->data, tensor->bytes, (uintptr_t)input->data, input->bytes) > 0 &&
            infer_model_input(watch->model, i, &about) == INFER_OK)
            return about.name;
    }
    return NULL;
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

static void write_down(struct watch *watch, const char *name, const infer_tensor *tensor)
{
    const char *copy = region_string(&watch->region, name);
    watch->written =
        grown(watch, watch->written, watch->written_count, &watch->written_capacity, sizeof *watch->written);
    watch->no_memory = watch->no_memory || !copy;
    if (!watch->no_memory)
        watch->written[watch->written_count++] = (struct watched_value){
            .name = copy, .start = (uintptr_t)tensor->data, .bytes = tensor->bytes, .step = (int)watch->step_count - 1};
}

/* --- NaN and infinity ---------------------------------------------------------------------------------------- */

/* The first place of each, or -1. */
static void find_specials(const infer_tensor *tensor, int64_t place[2])
{
    int64_t count;
    infer_tensor numbers = tensor_numbers(tensor, &count);
    place[SPECIAL_NAN] = place[SPECIAL_INFINITY] = -1;
    bool complex = numbers.dtype != tensor->dtype;
    if (!tensor->data)
        return;
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
                .value = about.name, .step = -1, .from_outside = true, .tensor = *tensor, .place = place[kind]};
            if (place[kind] >= 0)
                found_source(watch, kind, &source);
        }
    }
}

/* A node may be several steps, with others between them. */
static bool node_had(const struct watch *watch, int kind, int step)
{
    for (int i = step; i >= 0; i--)
        if (watch->steps[i].had_special[kind] && strcmp(watch->steps[i].node, watch->steps[step].node) == 0)
            return true;
    return false;
}

static void made_special(struct watch *watch, int kind, int step, const char *name, const infer_tensor *tensor,
                         int64_t place)
{
    struct special_source source = {.value = name, .step = step, .tensor = *tensor, .place = place};
    if (!node_had(watch, kind, step))
        found_source(watch, kind, &source);
}

/* A value without a name that another node made has not been judged when it was written: inside a node it may be meant,
 * as an infinity that a softmax then takes away. */
static void read_special(struct watch *watch, int kind, int step, const infer_tensor *tensor, int64_t place)
{
    size_t at = watch->steps[step].written_before, left = tensor->bytes;
    const struct watched_value *value;
    bool own = false, outside = true;
    while ((value = watch_writer(watch, tensor, &at, &left))) {
        bool unnamed = !*value->name && value->step >= 0;
        bool same_node = value->step >= 0 && strcmp(watch->steps[value->step].node, watch->steps[step].node) == 0;
        outside = false;
        own = own || (unnamed && same_node);
        if (unnamed && !same_node)
            made_special(watch, kind, value->step, "", tensor, place);
    }
    watch->steps[step].had_special[kind] = watch->steps[step].had_special[kind] || !own;
    struct special_source source = {.value = "", .step = step, .from_outside = true, .tensor = *tensor, .place = place};
    if (outside && kind == SPECIAL_NAN)
        found_source(watch, kind, &source);
}

/* --- steps --------------------------------------------------------------------------------------------------- */

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

static bool all_found(const struct watch *watch)
{
    return watch->first[SPECIAL_NAN].found && watch->first[SPECIAL_INFINITY].found;
}

/* Before the step, because it may write over what it reads. */
void watch_before(void *user, const infer_step *step)
{
    struct watch *watch = user;
    watch->steps = grown(watch, watch->steps, watch->step_count, &watch->step_capacity, sizeof *watch->steps);
    if (watch->no_memory || !copy_step(watch, step, &watch->steps[watch->step_count])) {
        watch->no_memory = true;
        return;
    }
    int index = (int)watch->step_count++;
    for (size_t i = 0; i < step->input_count && !all_found(watch); i++) {
        int64_t place[2];
        find_specials(&step->inputs[i], place);
        for (int kind = 0; kind < 2; kind++)
            if (place[kind] >= 0)
                read_special(watch, kind, index, &step->inputs[i], place[kind]);
    }
}

void watch_after(void *user, const infer_step *step)
{
    struct watch *watch = user;
    for (size_t i = 0; i < step->output_count && !watch->no_memory; i++)
        if (step->outputs[i].dtype != INFER_NONE)
            write_down(watch, step->output_names[i], &step->outputs[i]);
}

/* What the step under way wrote by this name; NULL: the name is that of a view. */
static const struct watched_value *just_written(const struct watch *watch, const char *name)
{
    int step = (int)watch->step_count - 1;
    for (size_t i = watch->written_count; step >= 0 && i > 0 && watch->written[i - 1].step == step; i--)
        if (strcmp(watch->written[i - 1].name, name) == 0)
            return &watch->written[i - 1];
    return NULL;
}

/* Judged here, because only now it is whole: several steps may write a value. */
void watch_value(void *user, const char *name, const infer_tensor *tensor)
{
    struct watch *watch = user;
    int64_t place[2];
    if (watch->no_memory)
        return;
    const struct watched_value *value = just_written(watch, name);
    if (!value) {
        write_down(watch, name, tensor);
        return;
    }
    if (all_found(watch))
        return;
    find_specials(tensor, place);
    for (int kind = 0; kind < 2; kind++)
        if (place[kind] >= 0)
            made_special(watch, kind, value->step, value->name, tensor, place[kind]);
}
