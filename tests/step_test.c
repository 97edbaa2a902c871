#include "tests/step_test.h"

#include "graph/passes/passes.h"
#include "graph/steps/liveness.h"
#include "kernels/conv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- contents -------------------------------------------------------------------------------------------- */

uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* One element's bits. */
static uint64_t odd_bits(enum dtype dtype, uint64_t choice)
{
    static const uint32_t f32[] = {0x7fc00000, 0x7f800000, 0xff800000, 1, 0x80000000, 0x7f7fffff, 0x007fffff, 0};
    static const uint64_t f64[] = {0x7ff8000000000000, 0x7ff0000000000000, 0xfff0000000000000, 1,
                                   0x8000000000000000, 0x7fefffffffffffff, 0x000fffffffffffff, 0};
    static const uint16_t f16[] = {0x7e00, 0x7c00, 0xfc00, 1, 0x8000, 0x7bff, 0x03ff, 0};
    switch (dtype) {
    case DTYPE_F32:
        return f32[choice % 8];
    case DTYPE_F64:
        return f64[choice % 8];
    case DTYPE_F16:
        return f16[choice % 8];
    case DTYPE_BF16:
        return f32[choice % 8] >> 16;
    default: /* integers: the greatest, the least, all ones, zero */
        return (const uint64_t[]){0x7f7f7f7f7f7f7f7f, 0x8080808080808080, UINT64_MAX, 0}[choice % 4];
    }
}

/* A small number of few digits. */
static uint64_t tame_bits(enum dtype dtype, uint64_t choice)
{
    double number = (double)(choice % 251) / 64 - 2;
    float single = (float)number;
    uint64_t bits = 0;
    if (dtype == DTYPE_F64)
        memcpy(&bits, &number, sizeof number);
    else if (dtype == DTYPE_F32)
        memcpy(&bits, &single, sizeof single);
    else if (dtype == DTYPE_F16)
        bits = f32_to_f16(single);
    else if (dtype == DTYPE_BF16)
        bits = f32_to_bf16(single);
    else
        bits = choice % 251;
    return bits;
}

void fill_random(enum dtype dtype, void *data, int64_t elements, bool adversarial, uint64_t *state)
{
    size_t each = dtype_bits(dtype) / 8;
    for (int64_t i = 0; i < elements; i++) {
        bool odd = adversarial && next_random(state) % 9 == 0;
        uint64_t choice = next_random(state), bits = odd ? odd_bits(dtype, choice) : tame_bits(dtype, choice);
        if (dtype == DTYPE_BOOL)
            bits = choice % 2;
        memcpy((char *)data + (size_t)i * each, &bits, each); /* least significant bytes first */
    }
}

static bool is_nan(enum dtype dtype, const void *element)
{
    float single;
    double number;
    uint16_t half;
    switch (dtype) {
    case DTYPE_F32:
        memcpy(&single, element, sizeof single);
        return isnan(single);
    case DTYPE_F64:
        memcpy(&number, element, sizeof number);
        return isnan(number);
    case DTYPE_F16:
        memcpy(&half, element, sizeof half);
        return isnan(f16_to_f32(half));
    case DTYPE_BF16:
        memcpy(&half, element, sizeof half);
        return isnan(bf16_to_f32(half));
    default:
        return false;
    }
}

bool same_elements(enum dtype dtype, const void *a, const void *b, int64_t elements)
{
    size_t each = dtype_bits(dtype) / 8;
    for (int64_t i = 0; i < elements; i++) {
        const char *x = (const char *)a + (size_t)i * each, *y = (const char *)b + (size_t)i * each;
        if (memcmp(x, y, each) != 0 && !(is_nan(dtype, x) && is_nan(dtype, y)))
            return false;
    }
    return true;
}

/* --- graphs ---------------------------------------------------------------------------------------------- */

struct value *rig_random(struct rig *rig, int rank, const int64_t *dims)
{
    int64_t elements;
    uint64_t state = ++rig->seed;
    ck_assert(shape_elements(rank, dims, &elements));
    void *data = region_allocate(&rig->maker.region, dtype_bytes(rig->dtype, elements));
    fill_random(rig->dtype, data, elements, false, &state);
    return graph_add_constant(rig->graph, region_format(&rig->maker.region, "c%d", rig->graph->value_count), rig->dtype,
                              rank, dims, data);
}

void rig_node_many(struct rig *rig, const char *op, int input_count, struct value *const *inputs, int output_count,
                   struct value **outputs, int attribute_count, const struct attribute *attributes)
{
    for (int i = 0; i < output_count; i++)
        outputs[i] = graph_add_value(rig->graph, region_format(&rig->maker.region, "v%d", rig->graph->value_count),
                                     DTYPE_NONE, -1, NULL);
    graph_add_node(rig->graph, op_find("", op), NEWEST_OPSET, outputs[0]->name, input_count, inputs, output_count,
                   outputs, attribute_count, attributes);
}

struct value *rig_reshape(struct rig *rig, struct value *x, int rank, const int64_t *dims)
{
    return rig_op2(rig, "Reshape", x, rig_ints(rig, rank, dims));
}

struct value *rig_convolve(struct rig *rig, struct value *x, int64_t from, int64_t to)
{
    return rig_node(rig, "Conv", 2, (struct value *[]){x, rig_random(rig, DIMS(to, from, 1, 1))}, 0, NULL);
}

struct value *rig_transpose(struct rig *rig, struct value *x, int rank, const int64_t *order)
{
    return rig_node(rig, "Transpose", 1, &x, 1, (struct attribute[]){ATTRIBUTE_LIST("perm", rank, order)});
}

struct value *rig_slice(struct rig *rig, struct value *x, int64_t axis, int64_t start, int64_t end, int64_t step)
{
    struct value *inputs[] = {x, rig_ints(rig, 1, &start), rig_ints(rig, 1, &end), rig_ints(rig, 1, &axis),
                              rig_ints(rig, 1, &step)};
    return rig_node(rig, "Slice", 5, inputs, 0, NULL);
}

void rig_end(struct rig *rig)
{
    region_free(&rig->maker.region);
}

static void check(enum status status, const struct error *error)
{
    ck_assert_msg(status == STATUS_OK, "%s", error->text);
}

/* No step writes again what one before it has read: of such a value no byte is written twice. */
static void check_order(const struct segment *segment, struct region *region)
{
    size_t values = (size_t)segment->graph->value_count + 1;
    bool *read = region_array(region, values, sizeof *read), *grows = region_array(region, values, sizeof *grows);
    size_t *written = region_array(region, values, sizeof *written);
    for (int s = 0; s < segment->steps.count; s++) {
        const struct step *step = segment->steps.steps[s];
        for (int i = 0; i < step->output_count; i++) {
            const struct value *root = step->outputs[i] ? value_root(step->outputs[i], NULL) : NULL;
            if (!root)
                continue;
            grows[root->id] = grows[root->id] || read[root->id];
            written[root->id] += step_bytes_written(step, i);
        }
        for (int i = 0; i < step->input_count; i++)
            if (step->inputs[i])
                read[value_root(step->inputs[i], NULL)->id] = true;
    }
    for (int i = 0; i < segment->graph->value_count; i++)
        ck_assert(!grows[i] || written[i] == value_bytes(segment->graph->values[i]));
}

struct segment rig_lower(struct rig *rig, enum step_passes which)
{
    struct region *region = &rig->maker.region;
    struct error error = {0};
    graph_set_inputs(rig->graph, rig->input_count, rig->inputs);
    graph_set_outputs(rig->graph, rig->output_count, rig->outputs);
    struct graph *graph = graph_clone(rig->graph, region);
    struct step_pass_options options = {.facts = &plain_facts, .constant_limit = SIZE_MAX};
    struct segment segment = {.graph = graph, .steps = step_list_in(region)};
    for (int i = 0; i < graph->node_count; i++) {
        struct op_context c = {.graph = graph, .node = graph->nodes[i], .error = &error};
        check(c.node->op->shapes(&c), &error);
        ck_assert_msg(c.node->op->lower != NULL, "%s has no steps of its own", c.node->op->name);
        check(lower_node(graph, c.node, &plain_facts, &segment.steps, &error), &error);
    }
    if (which != NO_PASSES)
        check(fuse_steps(&segment, &error), &error);
    if (which == FUSE_AND_ABSORB)
        check(absorb_copies(&segment, &options, &error), &error);
    check_order(&segment, region);
    return segment;
}

/* --- descriptions ---------------------------------------------------------------------------------------- */

static void append(char *text, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void append(char *text, size_t bytes, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    ck_assert_int_lt(vsnprintf(text + used, bytes - used, format, arguments), (int)(bytes - used));
    va_end(arguments);
}

static void append_code(char *text, size_t bytes, const struct pointwise_params *program, const char *before)
{
    for (int i = 0; i < program->instruction_count; i++) {
        append(text, bytes, "%s%s", before, pointwise_name((enum pointwise_opcode)pointwise_code(program)[i].opcode));
        before = "+";
    }
    if (program->instruction_count == 0)
        append(text, bytes, "%sstore", before); /* a cast between types of one class */
}

const char *describe_steps(const struct segment *segment, struct region *region)
{
    char text[1000] = "";
    for (int s = 0; s < segment->steps.count; s++) {
        const struct step *step = segment->steps.steps[s];
        struct epilogue space;
        const struct pointwise_params **epilogue = step_epilogue(step, &space);
        append(text, sizeof text, "%s", s ? " " : "");
        if (step->family == FAMILY_pointwise) {
            append_code(text, sizeof text, step->params, "");
            continue;
        }
        bool scales = step->family == FAMILY_conv && ((const struct conv_params *)step->params)->x_scaled;
        append(text, sizeof text, "%s%s", kernel_family_name(step->family), scales ? "(scaled)" : "");
        if (epilogue && *epilogue)
            append_code(text, sizeof text, *epilogue, "+");
    }
    return region_string(region, text);
}

/* --- running --------------------------------------------------------------------------------------------- */

#define RUBBISH 0xa5

/* By value id, of roots. */
struct memory {
    const struct graph *graph;
    struct life *lives;
    char **buffers;
    struct value **owners; /* whose buffer it is: another's where a step wrote in place */
};

static char *place_of(const struct memory *memory, struct value *value)
{
    size_t offset;
    const struct value *root = value_root(value, &offset);
    char *base = root->data ? (char *)(uintptr_t)root->data : memory->buffers[root->id];
    ck_assert_msg(base != NULL, "value '%s' is read before it is written, or after it died", root->name);
    return base + offset;
}

static void begin_value(struct memory *memory, struct value *root)
{
    if (root->data || memory->buffers[root->id])
        return;
    size_t bytes = value_bytes(root);
    memory->buffers[root->id] = malloc(bytes);
    memory->owners[root->id] = root;
    ck_assert_ptr_nonnull(memory->buffers[root->id]);
    memset(memory->buffers[root->id], RUBBISH, bytes);
}

static void end_value(struct memory *memory, struct value *value, int s)
{
    struct value *root = value ? value_root(value, NULL) : NULL;
    const struct life *life = root ? &memory->lives[root->id] : NULL;
    if (!root || root->data || life->last != s || life->carried || life->foreign || !memory->buffers[root->id])
        return;
    if (memory->owners[root->id] == root)
        free(memory->buffers[root->id]);
    memory->buffers[root->id] = NULL;
}

void run_tasks(const struct step *step, const void *const *inputs, void *const *outputs)
{
    run_problem(step->family, step->params, &plain_facts, inputs, outputs);
}

static void run_step(struct memory *memory, const struct step *step)
{
    const void *inputs[32] = {0};
    void *outputs[8] = {0};
    for (int i = 0; i < step->input_count; i++)
        inputs[i] = step->inputs[i] ? place_of(memory, step->inputs[i]) : NULL;
    for (int i = 0; i < step->output_count; i++)
        outputs[i] = step->outputs[i] ? place_of(memory, step->outputs[i]) : NULL;
    run_tasks(step, inputs, outputs);
}

/* Places for what the step writes: where an input lies that it may overwrite, or fresh ones. */
static void begin_outputs(struct memory *memory, const struct step *step, int s)
{
    struct value *overwritten = overwritten_root(memory->lives, step, s);
    if (overwritten) {
        int id = step->outputs[0]->id;
        memory->buffers[id] = memory->buffers[overwritten->id];
        memory->owners[id] = step->outputs[0];
        memory->owners[overwritten->id] = step->outputs[0];
    }
    for (int i = 0; i < step->output_count; i++)
        if (step->outputs[i])
            begin_value(memory, value_root(step->outputs[i], NULL));
}

void run_steps(const struct segment *segment, const void *const *inputs, void *const *outputs)
{
    const struct graph *graph = segment->graph;
    size_t count = (size_t)graph->value_count + 1;
    struct memory memory = {.graph = graph,
                            .lives = calloc(count, sizeof(struct life)),
                            .buffers = calloc(count, sizeof(char *)),
                            .owners = calloc(count, sizeof(struct value *))};
    segment_lives(segment, memory.lives);
    for (int i = 0; i < graph->input_count; i++) {
        begin_value(&memory, graph->inputs[i]);
        memcpy(memory.buffers[graph->inputs[i]->id], inputs[i], value_bytes(graph->inputs[i]));
    }
    for (int s = 0; s < segment->steps.count; s++) {
        struct step *step = segment->steps.steps[s];
        step_finish(step);
        begin_outputs(&memory, step, s);
        run_step(&memory, step);
        for (int i = 0; i < step->input_count; i++)
            end_value(&memory, step->inputs[i], s);
        for (int i = 0; i < step->output_count; i++)
            end_value(&memory, step->outputs[i], s);
    }
    for (int i = 0; i < graph->output_count; i++)
        memcpy(outputs[i], place_of(&memory, graph->outputs[i]), value_bytes(graph->outputs[i]));
    for (size_t i = 0; i + 1 < count; i++)
        if (memory.buffers[i] && memory.owners[i] == graph->values[i])
            free(memory.buffers[i]);
    free(memory.lives);
    free(memory.buffers);
    free(memory.owners);
}

/* --- before and after ------------------------------------------------------------------------------------ */

#define RUNS 3 /* the last with odd numbers */

static void compare_runs(const struct segment *before, const struct segment *after, struct region *region, int run)
{
    const struct graph *graph = before->graph;
    void *inputs[RIG_MOST], *outputs[2][RIG_MOST];
    uint64_t state = (uint64_t)run;
    for (int i = 0; i < graph->input_count; i++) {
        const struct value *input = graph->inputs[i];
        inputs[i] = region_allocate(region, value_bytes(input));
        fill_random(input->dtype, inputs[i], value_elements(input), run == RUNS - 1, &state);
    }
    for (int i = 0; i < graph->output_count; i++)
        for (int way = 0; way < 2; way++)
            outputs[way][i] = region_allocate(region, value_bytes(graph->outputs[i]));
    run_steps(before, (const void *const *)inputs, outputs[0]);
    run_steps(after, (const void *const *)inputs, outputs[1]);
    for (int i = 0; i < graph->output_count; i++)
        ck_assert_msg(
            same_elements(graph->outputs[i]->dtype, outputs[0][i], outputs[1][i], value_elements(graph->outputs[i])),
            "run %d: output %d differs", run, i);
}

void compare_segments(const struct segment *before, const struct segment *after, struct region *region)
{
    for (int run = 0; run < RUNS; run++)
        compare_runs(before, after, region, run);
}

void rig_expect_steps(struct rig *rig, const char *before, const char *after)
{
    struct region *region = &rig->maker.region;
    struct segment plain = rig_lower(rig, NO_PASSES), passed = rig_lower(rig, FUSE_AND_ABSORB);
    if (before)
        ck_assert_str_eq(describe_steps(&plain, region), before);
    if (after)
        ck_assert_str_eq(describe_steps(&passed, region), after);
    struct segment fused = rig_lower(rig, FUSE);
    ck_assert_uint_le(segment_peak(&passed, 1), segment_peak(&fused, 1));
    compare_segments(&plain, &passed, region);
}

void rig_expect_step_sources(struct rig *rig, int step, const char *nodes)
{
    char text[200] = "";
    struct segment segment = rig_lower(rig, FUSE_AND_ABSORB);
    ck_assert_int_lt(step, segment.steps.count);
    const struct node *node = segment.steps.steps[step]->node;
    for (int i = 0; i < node->source_count; i++)
        for (int k = 0; k < rig->graph->node_count; k++)
            if (strcmp(node->sources[i], rig->graph->nodes[k]->name) == 0)
                append(text, sizeof text, "%s%d", *text ? " " : "", k);
    ck_assert_str_eq(text, nodes);
}
