#include "kernels/pointwise.h"

#include "kernels/reference/interpreter.h"
#include "kernels/walk.h"
#include "kernels/x86/passes.h"
#include "kernels/x86/transpose.h"

#include <string.h>

/* --- lines of elements, `step` apart, into a slot and back ------------------------------------------------------ */

static void load_floats(float *to, const void *from, int64_t step, int64_t n, enum dtype dtype)
{
    int64_t i = 0;
    if (step == 1 && dtype == DTYPE_F32) {
        memcpy(to, from, (size_t)n * sizeof *to);
        return;
    }
    if (step == 0 && n > 0) { /* one for all */
        interpreter_load(to, from, 0, 0, 1, dtype);
        for (i = 1; i < n; i++)
            to[i] = to[0];
        return;
    }
    if (step == 1 && dtype == DTYPE_F16)
        for (; i + LANES <= n; i += LANES)
            vf_store(to + i, vf_load_f16((const uint16_t *)from + i));
    if (step == 1 && dtype == DTYPE_BF16)
        for (; i + LANES <= n; i += LANES)
            vf_store(to + i, vi_as_floats(vi_shift_left(vi_load_u16((const uint16_t *)from + i), 16)));
    interpreter_load(to + i, from, i * step, step, (int)(n - i), dtype);
}

#define LINE(storage, load, expression)                 \
    {                                                   \
        const storage *line = from;                     \
        int64_t i = 0;                                  \
        for (; step == 1 && i + LANES <= n; i += LANES) \
            vi_store(to + i, load(line + i));           \
        for (; i < n; i++) {                            \
            const storage x = line[i * step];           \
            to[i] = (expression);                       \
        }                                               \
        break;                                          \
    }
static inline vi load_truth(const uint8_t *from)
{
    return vi_select(vi_equal(vi_load_u8(from), vi_set(0)), vi_set(0), vi_set(1));
}
static inline vi load_i16(const int16_t *from)
{
    vi x = vi_load_u16((const uint16_t *)from); /* the sign goes to the bits above by way of a borrow */
    return vi_sub(x, vi_shift_left(vi_and(x, vi_set(0x8000)), 1));
}
static void load_integers(int32_t *to, const void *from, int64_t step, int64_t n, enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_U8:
        LINE(uint8_t, vi_load_u8, x)
    case DTYPE_I8:
        LINE(int8_t, vi_load_i8, x)
    case DTYPE_U16:
        LINE(uint16_t, vi_load_u16, x)
    case DTYPE_I16:
        LINE(int16_t, load_i16, x)
    case DTYPE_BOOL:
        LINE(uint8_t, load_truth, x != 0)
    default:
        LINE(int32_t, vi_load, x)
    }
}
#undef LINE

static void store_floats(const float *from, void *to, int64_t step, int64_t n, const struct pointwise_operand *operand)
{
    enum dtype dtype = (enum dtype)operand->dtype;
    int64_t i = 0;
    if (step == 1 && dtype == DTYPE_F32) {
        memcpy(to, from, (size_t)n * sizeof *from);
        return;
    }
    if (step == 1 && dtype == DTYPE_F16)
        for (; i + LANES <= n; i += LANES)
            vf_store_f16((uint16_t *)to + i, vf_load(from + i));
    if (step == 1 && dtype == DTYPE_BF16)
        for (; i + LANES <= n; i += LANES)
            vi_store_u16((uint16_t *)to + i, vf_to_bf16(vf_load(from + i)));
    interpreter_store(from + i, to, i * step, step, (int)(n - i), operand);
}

#define LINE(storage, vectors)                 \
    {                                          \
        storage *line = to;                    \
        int64_t i = 0;                         \
        vectors;                               \
        for (; i < n; i++)                     \
            line[i * step] = (storage)from[i]; \
        break;                                 \
    }
#define VECTORS(store, type)                        \
    for (; step == 1 && i + LANES <= n; i += LANES) \
    store((type *)(void *)(line + i), vi_load(from + i))
static void store_integers(const int32_t *from, void *to, int64_t step, int64_t n, enum dtype dtype)
{
    switch (dtype_bits(dtype)) {
    case 8:
        LINE(uint8_t, VECTORS(vi_store_u8, uint8_t))
    case 16:
        LINE(uint16_t, VECTORS(vi_store_u16, uint16_t))
    case 32:
        LINE(uint32_t, VECTORS(vi_store, int32_t))
    default:
        LINE(int64_t, (void)0)
    }
}
#undef LINE

/* Columns become rows of bytes, `step` apart. */
static void store_turned(const int32_t *from, int64_t rows, int64_t n, uint8_t *to, int64_t step)
{
    uint8_t bytes[PASS_BLOCK];
    store_integers(from, bytes, 1, rows * n, DTYPE_U8);
    SET_NAME(transpose)(1, bytes, n, to, step, rows, n);
}

/* --- blocks ------------------------------------------------------------------------------------------------------- */

/* A block that is being run. */
struct block {
    const struct passes *passes;
    const struct kernel_call *call;
    int64_t outer[POINTWISE_MAX_OPERANDS]; /* offsets of operands along all axes but the last two */
    int64_t row, rows, column, columns;
    /* What is in the slot of an input: where it came from. */
    const char *loaded[POINTWISE_MAX_OPERANDS];
    int64_t loaded_rows[POINTWISE_MAX_OPERANDS], loaded_columns[POINTWISE_MAX_OPERANDS];
};

static void *slot_of(const struct block *block, const struct pass_value *value)
{
    return (char *)block->call->workspace + (size_t)value->slot * block->passes->slot_bytes;
}

static char *memory_of(const struct block *block, int operand, const void *memory)
{
    const struct pointwise_params *p = block->passes->program;
    const int64_t *strides = p->operands[operand].strides + p->rank - 2;
    int64_t offset = block->outer[operand] + block->row * strides[0] + block->column * strides[1];
    return (char *)(uintptr_t)memory + offset * (dtype_bits((enum dtype)p->operands[operand].dtype) / 8);
}

static void load_rows(const struct block *block, const struct pass_value *value, const char *from, int64_t rows,
                      int64_t columns)
{
    const struct pointwise_params *p = block->passes->program;
    const struct pointwise_operand *operand = &p->operands[value->input];
    const int64_t *strides = operand->strides + p->rank - 2;
    enum dtype dtype = (enum dtype)operand->dtype;
    int64_t bytes = dtype_bits(dtype) / 8;
    char *slot = slot_of(block, value);
    if (dtype == DTYPE_F32 && strides[0] == 1 && strides[1] > 1 && rows > 1) { /* columns become rows */
        SET_NAME(transpose)(bytes, from, strides[1] * bytes, slot, columns * bytes, columns, rows);
        return;
    }
    if (strides[1] == 1 && strides[0] == columns) { /* short rows without a gap are one */
        columns *= rows;
        rows = 1;
    }
    bool apart = rows > 1 && strides[1] == 1 && columns < p->dims[p->rank - 1];
    for (int64_t i = 0; i < rows; i++) {
        const char *row = from + i * strides[0] * bytes;
        for (int64_t next = columns * bytes; apart && next < 2 * columns * bytes; next += ALIGNMENT)
            __builtin_prefetch(row + next); /* of the next block: rows are too short for the CPU to foresee it */
        if (value->format == FORMAT_F32)
            load_floats((float *)(void *)slot + i * columns, row, strides[1], columns, dtype);
        else if (value->format == FORMAT_I32)
            load_integers((int32_t *)(void *)slot + i * columns, row, strides[1], columns, dtype);
        else
            interpreter_load((int64_t *)(void *)slot + i * columns, row, 0, strides[1], (int)columns, dtype);
    }
}

static void load_input(struct block *block, int input)
{
    const struct pass_value *value = &block->passes->values[input];
    int64_t rows = value->scalar ? 1 : block->rows, columns = value->scalar ? 1 : block->columns;
    const char *from = memory_of(block, input, block->call->inputs[input]);
    if (value->direct ||
        (block->loaded[input] == from && block->loaded_rows[input] == rows && block->loaded_columns[input] == columns))
        return;
    load_rows(block, value, from, rows, columns);
    block->loaded[input] = from;
    block->loaded_rows[input] = rows;
    block->loaded_columns[input] = columns;
}

static const void *place_of(const struct block *block, int index)
{
    const struct pass_value *value = &block->passes->values[index];
    return value->direct ? memory_of(block, value->input, block->call->inputs[value->input]) : slot_of(block, value);
}

static bool run_passes(const struct block *block)
{
    const struct passes *passes = block->passes;
    for (int i = 0; i < passes->pass_count; i++) {
        const struct pass *pass = &passes->passes[i];
        const struct pass_value *values = passes->values;
        struct pass_places at = {.a = place_of(block, pass->a),
                                 .b = place_of(block, pass->b),
                                 .c = place_of(block, pass->c),
                                 .scalar = (unsigned)values[pass->a].scalar | (unsigned)values[pass->b].scalar << 1 |
                                           (unsigned)values[pass->c].scalar << 2};
        int output = passes->program->input_count;
        bool scalar = values[pass->target].scalar;
        at.target = passes->direct_output && i == passes->pass_count - 1
                        ? memory_of(block, output, block->call->outputs[0])
                        : slot_of(block, &values[pass->target]);
        if (scalar)
            at.scalar = 0;
        if (!SET_NAME(pass_functions)[pass->code](pass, &at, scalar ? 1 : block->rows * block->columns))
            return false;
    }
    return true;
}

static void store_output(const struct block *block, int output)
{
    const struct pointwise_params *p = block->passes->program;
    int index = p->input_count + output;
    const struct pointwise_operand *operand = &p->operands[index];
    const struct pass_value *value = &block->passes->values[block->passes->outputs[output]];
    const int64_t *strides = operand->strides + p->rank - 2;
    const char *from = place_of(block, block->passes->outputs[output]);
    char *to = memory_of(block, index, block->call->outputs[output]);
    int64_t bytes = dtype_bits((enum dtype)operand->dtype) / 8, n = block->columns, rows = block->rows;
    if (bytes == 1 && value->format == FORMAT_I32 && strides[0] == 1 && strides[1] > 1 && rows > 1) {
        store_turned((const int32_t *)(const void *)from, rows, n, (uint8_t *)to, strides[1]);
        return;
    }
    if (strides[1] == 1 && strides[0] == n) { /* short rows without a gap are one */
        n *= rows;
        rows = 1;
    }
    for (int64_t i = 0; i < rows; i++, to += strides[0] * bytes) {
        if (value->format == FORMAT_F32)
            store_floats((const float *)(const void *)from + i * n, to, strides[1], n, operand);
        else if (value->format == FORMAT_I32)
            store_integers((const int32_t *)(const void *)from + i * n, to, strides[1], n, (enum dtype)operand->dtype);
        else
            interpreter_store((const int64_t *)(const void *)from + i * n, to, 0, strides[1], (int)n, operand);
    }
}

static bool run_block(struct block *block)
{
    const struct pointwise_params *p = block->passes->program;
    for (int i = 0; i < p->input_count; i++)
        load_input(block, i);
    if (!run_passes(block)) {
        kernel_fault(block->call, "integer division by zero");
        return false;
    }
    for (int i = 0; i < p->output_count && !block->passes->direct_output; i++)
        store_output(block, i);
    return true;
}

/* --- the kernel --------------------------------------------------------------------------------------------------- */

/* Where operands begin for the outer axes' index `outer`, counted in C order. */
static void enter_outer(struct block *block, int64_t outer)
{
    const struct pointwise_params *p = block->passes->program;
    for (int i = 0; i < pointwise_operand_count(p); i++)
        block->outer[i] = 0;
    for (int axis = p->rank - 3; axis >= 0; axis--) {
        int64_t along = outer % p->dims[axis];
        outer /= p->dims[axis];
        for (int i = 0; i < pointwise_operand_count(p); i++)
            block->outer[i] += along * p->operands[i].strides[axis];
    }
}

static void pointwise_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct passes *passes = plan->state;
    const struct pointwise_params *p = passes->program;
    struct block block = {.passes = passes, .call = call};
    int64_t down = p->dims[p->rank - 2], along = p->dims[p->rank - 1], first, last;
    int64_t across = (along + passes->columns - 1) / passes->columns;
    int64_t each = across * ((down + passes->rows - 1) / passes->rows); /* blocks of an outer index */
    task_range(passes->blocks, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++) {
        if (i == first || i % each == 0)
            enter_outer(&block, i / each);
        block.row = i % each / across * passes->rows;
        block.column = i % across * passes->columns;
        block.rows = least(passes->rows, down - block.row);
        block.columns = least(passes->columns, along - block.column);
        if (!run_block(&block))
            return;
    }
}

/* What a pass takes, in units of the shortest. */
static int64_t weight_of(enum pass_code code)
{
    switch (code) {
    case PASS_REFERENCE:
    case PASS_POW:
        return 30;
    case PASS_EXP:
    case PASS_LOG:
    case PASS_TANH:
    case PASS_ERF:
    case PASS_ELU:
    case PASS_SELU:
    case PASS_CELU:
    case PASS_SIGMOID:
    case PASS_SWISH:
    case PASS_MISH:
    case PASS_SOFTPLUS:
    case PASS_GELU:
    case PASS_GELU_TANH:
        return 10;
    default:
        return 1;
    }
}

COLD bool pointwise_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                         struct kernel_plan *plan)
{
    (void)facts;
    struct passes *passes = passes_make(params, region);
    int64_t weight = 3;
    if (!passes)
        return false;
    for (int i = 0; i < passes->pass_count; i++)
        weight += weight_of((enum pass_code)passes->passes[i].code);
    plan->state = passes;
    plan->phases = 1;
    plan->tasks[0] = task_count(passes->blocks, 1 + 131072 / weight / (passes->rows * passes->columns));
    plan->task_bytes = passes_workspace(passes);
    return true;
}

COLD bool pointwise_supports(const void *params)
{
    return passes_support(params);
}

const struct kernel SET_NAME(pointwise) = {
    .name = SET_TEXT(pointwise),
    .family = FAMILY_pointwise,
    .requires = SET_REQUIRES,
    .supports = pointwise_supports,
    .plan = pointwise_plan,
    .run = pointwise_run,
};
