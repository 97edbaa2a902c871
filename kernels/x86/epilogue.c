#include "kernels/x86/epilogue.h"

#include "kernels/reference/interpreter.h"
#include "kernels/x86/passes.h"
#include "kernels/x86/vector_math.h"

#include <string.h>

/* A block of the tile is taken through all operations in registers: SLOTS vectors, one after the other along the inner
 * axis, or one below the other where a line of the tile is short. */
#define SLOTS 4
/* Unrolled, so that an array of vectors is in registers. */
#define FOR_SLOTS(s) _Pragma("GCC unroll 4") for (int s = 0; s < SLOTS; s++)

/* Lines taken together at most where they are uneven. */
#define MOST_LINES 64

/* Along the inner axis: floats without a gap, one float, int32 or bytes without a gap, anything else. */
enum gait { DENSE, CONSTANT, INTEGERS, BYTES, OTHER };

/* An operand, the results or the output, as the tile walks it. */
struct path {
    char *base; /* the first element of the tile */
    enum dtype dtype;
    enum gait gait;
    int64_t step;               /* of the inner axis in elements */
    int64_t inner, outer, slot; /* strides in bytes */
    bool across;                /* slots are lines */
    const int64_t *lines;       /* where each line begins, in bytes, which then counts instead of outer; or NULL */
};

struct chain {
    const struct epilogue_form *form;
    const struct pointwise_operand *output;
    struct path results, stored, operands[EPILOGUE_OPERATIONS];
    float numbers[EPILOGUE_OPERATIONS]; /* operands that are one number for the whole tile, and no float */
    bool summed; /* nothing but sums and products of floats that have no gaps along the inner axis, or are one there */
};

/* Where a block is, and how many elements each of its slots has. */
struct place {
    int64_t inner, outer;
    int64_t count[SLOTS];
};

static char *at_place(const struct path *path, const struct place *place)
{
    return path->base + place->inner * path->inner + place->outer * path->outer;
}

/* The same of a slot, where lines are uneven; those that are not there are not asked for. */
static char *at_line(const struct path *path, const struct place *place, int slot)
{
    int64_t line = path->across ? path->lines[place->outer + slot] : path->lines[place->outer] + slot * path->slot;
    return path->base + place->inner * path->inner + line;
}

/* --- loads ------------------------------------------------------------------------------------------------------ */

static vf fetch_floats(const float *from, int64_t step, int64_t count)
{
    float floats[LANES] = {0};
    if (count == LANES)
        return vf_load_apart(from, step);
    for (int64_t i = 0; i < count; i++)
        floats[i] = from[i * step];
    return vf_load(floats);
}

/* Elements of any type, any distance apart. */
static __attribute__((noinline)) vf fetch(const struct path *path, const char *from, int64_t count)
{
    union {
        float singles[LANES];
        int64_t integers[LANES];
    } elements = {{0}};
    float floats[LANES] = {0};
    if (path->dtype == DTYPE_F32)
        return fetch_floats((const void *)from, path->step, count);
    interpreter_load(&elements, from, 0, path->step, (int)count, path->dtype);
    bool single = pointwise_class_of(path->dtype) == CLASS_F32;
    for (int i = 0; i < count; i++)
        floats[i] = single ? elements.singles[i] : (float)elements.integers[i];
    return vf_load(floats);
}

static __attribute__((noinline)) vf load_narrow(const struct path *path, const char *from, int64_t count)
{
    if (path->step != 1 || count < LANES)
        return fetch(path, from, count);
    switch (path->dtype) {
    case DTYPE_F16:
        return vf_load_f16((const void *)from);
    case DTYPE_BF16:
        return vi_as_floats(vi_shift_left(vi_load_u16((const void *)from), 16));
    case DTYPE_I32:
        return vi_to_floats(vi_load((const void *)from));
    case DTYPE_U8:
        return vi_to_floats(vi_load_u8((const void *)from));
    case DTYPE_I8:
        return vi_to_floats(vi_load_i8((const void *)from));
    default:
        return fetch(path, from, count);
    }
}

static vf load_slot(const struct path *path, const char *from, int64_t count)
{
    if (count == 0)
        return vf_set(0);
    if (path->gait == CONSTANT)
        return vf_set(*(const float *)(const void *)from);
    if (path->gait > CONSTANT)
        return load_narrow(path, from, count);
    return count < LANES ? vf_load_part((const void *)from, count) : vf_load((const void *)from);
}

static inline __attribute__((always_inline)) void load(const struct path *path, const struct place *place, bool full,
                                                       vf *x)
{
    const char *from = at_place(path, place);
    int64_t slot = path->slot;
    if (path->lines)
        FOR_SLOTS(s)
        {
            x[s] = load_slot(path, at_line(path, place, s), full ? LANES : place->count[s]);
        }
    else if (path->gait == DENSE)
        FOR_SLOTS(s)
        {
            const float *floats = (const void *)(from + s * slot);
            x[s] = full ? vf_load(floats) : vf_load_part(floats, place->count[s]);
        }
    else if (path->gait == CONSTANT)
        FOR_SLOTS(s)
        {
            x[s] = vf_set(full || place->count[s] > 0 ? *(const float *)(const void *)(from + s * slot) : 0);
        }
    else if (path->gait == INTEGERS)
        FOR_SLOTS(s)
        {
            const int32_t *integers = (const void *)(from + s * slot);
            x[s] = vi_to_floats(full ? vi_load(integers) : vi_load_part(integers, place->count[s]));
        }
    else
        FOR_SLOTS(s)
        {
            x[s] = load_narrow(path, from + s * slot, full ? LANES : place->count[s]);
        }
}

/* --- stores ----------------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void store_any(const struct chain *chain, char *to, vf x, int64_t count)
{
    float floats[LANES];
    int64_t integers[LANES];
    bool single = pointwise_class_of(chain->stored.dtype) == CLASS_F32;
    vf_store(floats, x);
    for (int i = 0; i < count && !single; i++)
        integers[i] = f64_to_i64((double)floats[i]);
    interpreter_store(single ? (const void *)floats : (const void *)integers, to, 0, chain->stored.step, (int)count,
                      chain->output);
}

/* Of numbers in the range of an integer type, and of NaN, which becomes 0: what it has in the low bits. */
static inline vi whole_bits(vf x)
{
    return vf_truncate(x); /* a NaN gives the highest bit alone */
}

static void store_bytes(char *to, vf x, int64_t count)
{
    uint8_t bytes[LANES];
    if (count == LANES) {
        vi_store_u8((uint8_t *)to, whole_bits(x));
        return;
    }
    vi_store_u8(bytes, whole_bits(x));
    memcpy(to, bytes, (size_t)count);
}

static __attribute__((noinline)) void store_narrow(const struct chain *chain, char *to, vf x, int64_t count)
{
    enum dtype dtype = chain->stored.dtype;
    if (chain->stored.gait == BYTES)
        store_bytes(to, x, count);
    else if (chain->stored.step != 1 || count < LANES)
        store_any(chain, to, x, count);
    else if (dtype == DTYPE_F16)
        vf_store_f16((uint16_t *)(void *)to, x);
    else if (dtype == DTYPE_BF16)
        vi_store_u16((uint16_t *)(void *)to, vf_to_bf16(x));
    else if (dtype == DTYPE_U16 || dtype == DTYPE_I16)
        vi_store_u16((uint16_t *)(void *)to, whole_bits(x));
    else
        store_any(chain, to, x, count);
}

static void store_slot(const struct chain *chain, char *to, vf x, int64_t count)
{
    if (chain->stored.gait != DENSE)
        store_narrow(chain, to, x, count);
    else if (count < LANES)
        vf_store_part((void *)to, x, count);
    else
        vf_store((void *)to, x);
}

static inline __attribute__((always_inline)) void store(const struct chain *chain, const struct place *place, bool full,
                                                        const vf *x)
{
    char *to = at_place(&chain->stored, place);
    int64_t slot = chain->stored.slot;
    if (chain->stored.lines)
        FOR_SLOTS(s)
        {
            store_slot(chain, at_line(&chain->stored, place, s), x[s], full ? LANES : place->count[s]);
        }
    else if (chain->stored.gait == DENSE)
        FOR_SLOTS(s)
        {
            float *floats = (void *)(to + s * slot);
            if (full)
                vf_store(floats, x[s]);
            else
                vf_store_part(floats, x[s], place->count[s]);
        }
    else if (chain->stored.gait == BYTES)
        FOR_SLOTS(s)
        {
            store_bytes(to + s * slot, x[s], full ? LANES : place->count[s]);
        }
    else
        FOR_SLOTS(s)
        {
            store_narrow(chain, to + s * slot, x[s], full ? LANES : place->count[s]);
        }
}

/* --- operations ------------------------------------------------------------------------------------------------- */

#define EACH(expression)             \
    FOR_SLOTS(s)                     \
    {                                \
        const vf a = x[s], b = y[s]; \
        (void)b;                     \
        x[s] = (expression);         \
    }                                \
    break

/* What there is less of has no code here: it goes through memory. */
static __attribute__((noinline)) void apply_pass(const struct epilogue_operation *operation, float *values)
{
    const struct pointwise_instruction code = {.opcode = operation->opcode,
                                               .register_class = CLASS_F32,
                                               .immediate = {(double)operation->p, (double)operation->q}};
    const struct pass pass = {.code = (uint8_t)passes_float_code(&code), .instruction = &code};
    const struct pass_places at = {.target = values, .a = values};
    SET_NAME(pass_functions)[pass.code](&pass, &at, SLOTS * LANES);
}

static inline __attribute__((always_inline)) void apply(const struct epilogue_operation *operation, vf *x, vf *y)
{
    const vf p = vf_set(operation->p), q = vf_set(operation->q), zero = vf_set(0), one = vf_set(1);
    if (operation->reversed)
        FOR_SLOTS(s)
        {
            vf operand = y[s];
            y[s] = x[s];
            x[s] = operand;
        }
    switch ((enum pointwise_opcode)operation->opcode) {
    case POINTWISE_ADD:
        EACH(vf_add(a, b));
    case POINTWISE_MUL:
        EACH(vf_mul(a, b));
    case POINTWISE_SUB:
        EACH(vf_sub(a, b));
    case POINTWISE_DIV:
        EACH(vf_div(a, b));
    case POINTWISE_MIN: /* of two zeros the second */
        EACH(vf_smaller(a, b));
    case POINTWISE_MAX:
        EACH(vf_larger(a, b));
    case POINTWISE_PRELU:
        EACH(vf_select(vf_less(a, zero), vf_mul(a, b), a));
    case POINTWISE_CLAMP:
        EACH(vf_min(q, vf_max(p, a)));
    case POINTWISE_ROUND:
        EACH(vf_round(a));
    case POINTWISE_ROUND_F16:
        EACH(vf_round_f16(a));
    case POINTWISE_RELU:
        EACH(vf_max(zero, a));
    case POINTWISE_LEAKY_RELU:
        EACH(vf_select(vf_less(a, zero), vf_mul(p, a), a));
    case POINTWISE_HARD_SIGMOID:
        EACH(vf_min(one, vf_max(zero, vf_fma(p, a, q))));
    case POINTWISE_HARD_SWISH:
        EACH(vf_hard_swish(a));
    case POINTWISE_SIGMOID:
        EACH(vf_sigmoid(a));
    case POINTWISE_SWISH:
        EACH(vf_mul_sigmoid(a, vf_mul(p, a)));
    case POINTWISE_TANH:
        EACH(vf_tanh(a));
    case POINTWISE_GELU:
        EACH(vf_gelu(a));
    case POINTWISE_GELU_TANH:
        EACH(vf_gelu_tanh(a));
    default: {
        float values[SLOTS * LANES];
        FOR_SLOTS(s)
        {
            vf_store(values + s * LANES, x[s]);
        }
        apply_pass(operation, values);
        FOR_SLOTS(s)
        {
            x[s] = vf_load(values + s * LANES);
        }
    }
    }
}

/* Sums and products with floats that lie as the block does, or with one float for each slot: what there is most of, and
 * here no operand waits in a register. */
static inline __attribute__((always_inline)) bool apply_fast(const struct epilogue_operation *operation,
                                                             const struct path *path, const struct place *place, vf *x)
{
    const char *from = at_place(path, place);
    int64_t slot = path->slot;
    bool adds = operation->opcode == POINTWISE_ADD;
    if (path->lines || path->gait > CONSTANT || (!adds && operation->opcode != POINTWISE_MUL))
        return false;
    if (path->gait == CONSTANT)
        FOR_SLOTS(s)
        {
            vf y = vf_set(*(const float *)(const void *)(from + s * slot));
            x[s] = adds ? vf_add(x[s], y) : vf_mul(x[s], y);
        }
    else if (adds)
        FOR_SLOTS(s)
        {
            x[s] = vf_add(x[s], vf_load((const void *)(from + s * slot)));
        }
    else
        FOR_SLOTS(s)
        {
            x[s] = vf_mul(x[s], vf_load((const void *)(from + s * slot)));
        }
    return true;
}

INLINE void copy_slots(const vf *from, vf *to)
{
    FOR_SLOTS(s)
    {
        to[s] = from[s];
    }
}

INLINE void swap_slots(vf *a, vf *b)
{
    FOR_SLOTS(s)
    {
        vf kept = a[s];
        a[s] = b[s];
        b[s] = kept;
    }
}

/* full: all slots are; what is not has fewer elements in some. */
static __attribute__((noinline)) void run_block(const struct chain *chain, const struct place *place, bool full)
{
    const struct epilogue_form *form = chain->form;
    vf x[SLOTS], y[SLOTS] = {{0}}, side[SLOTS] = {{0}};
    load(&chain->results, place, full, x);
    for (int i = 0; i < form->operation_count; i++) {
        const struct epilogue_operation *operation = &form->operations[i];
        bool on_side = operation->on_side;
        if (operation->input > 0) {
            if (full && !on_side && apply_fast(operation, &chain->operands[i], place, x))
                continue;
            load(&chain->operands[i], place, full, y);
        } else if (operation->input == EPILOGUE_SIDE || on_side) {
            FOR_SLOTS(s)
            {
                y[s] = on_side ? x[s] : side[s];
            }
        }
        if (operation->opcode == POINTWISE_MOVE) {
            copy_slots(y, side);
            continue;
        }
        if (on_side)
            swap_slots(x, side);
        apply(operation, x, y);
        if (on_side)
            swap_slots(x, side);
    }
    store(chain, place, full, x);
}

/* Where a slot of an operand of `summed` lies. */
INLINE const float *slot_at(const struct path *path, const struct place *place, const char *first, int slot)
{
    return (const void *)(path->lines ? at_line(path, place, slot) : first + slot * path->slot);
}

INLINE void sum_slots(const struct epilogue_operation *operation, const vf *y, vf *x)
{
    if (operation->opcode == POINTWISE_ADD)
        FOR_SLOTS(s)
        {
            x[s] = vf_add(x[s], y[s]);
        }
    else
        FOR_SLOTS(s)
        {
            x[s] = vf_mul(x[s], y[s]);
        }
}

/* run_block for a full block of a chain that is `summed`: without a call in it, all is in registers. */
static __attribute__((noinline)) void sum_block(const struct chain *chain, const struct place *place)
{
    const struct epilogue_form *form = chain->form;
    const char *first = at_place(&chain->results, place);
    vf x[SLOTS], y[SLOTS], side[SLOTS];
    FOR_SLOTS(s)
    {
        x[s] = side[s] = vf_load(slot_at(&chain->results, place, first, s));
    }
    for (int i = 0; i < form->operation_count; i++) {
        const struct epilogue_operation *operation = &form->operations[i];
        const struct path *path = &chain->operands[i];
        if (operation->input > 0) {
            first = at_place(path, place);
            if (path->gait == CONSTANT)
                FOR_SLOTS(s)
                {
                    y[s] = vf_set(*slot_at(path, place, first, s));
                }
            else
                FOR_SLOTS(s)
                {
                    y[s] = vf_load(slot_at(path, place, first, s));
                }
        } else if (operation->on_side) {
            copy_slots(x, y);
        } else {
            copy_slots(side, y);
        }
        if (operation->opcode == POINTWISE_MOVE)
            copy_slots(y, side);
        else if (operation->on_side)
            sum_slots(operation, y, side);
        else
            sum_slots(operation, y, x);
    }
    first = at_place(&chain->stored, place);
    FOR_SLOTS(s)
    {
        vf_store((float *)(uintptr_t)slot_at(&chain->stored, place, first, s), x[s]);
    }
}

static int64_t within(int64_t count, int64_t most)
{
    return count < 0 ? 0 : count > most ? most : count;
}

static void run_full(const struct chain *chain, const struct place *place)
{
    if (chain->summed)
        sum_block(chain, place);
    else
        run_block(chain, place, true);
}

/* Lines one after the other, each in blocks along it. */
static void run_along(const struct chain *chain, int64_t lines, int64_t line)
{
    struct place place = {0};
    for (place.outer = 0; place.outer < lines; place.outer++) {
        for (place.inner = 0; place.inner + SLOTS * LANES <= line; place.inner += SLOTS * LANES)
            run_full(chain, &place);
        if (place.inner == line)
            continue;
        for (int s = 0; s < SLOTS; s++)
            place.count[s] = within(line - place.inner - s * LANES, LANES);
        run_block(chain, &place, false);
    }
}

/* Some lines at once, a vector of each. */
static void run_across(const struct chain *chain, int64_t lines, int64_t line)
{
    struct place place = {0};
    for (place.inner = 0; place.inner < line; place.inner += LANES)
        for (place.outer = 0; place.outer < lines; place.outer += SLOTS) {
            int64_t count = within(line - place.inner, LANES);
            if (count == LANES && place.outer + SLOTS <= lines) {
                run_full(chain, &place);
                continue;
            }
            for (int s = 0; s < SLOTS; s++)
                place.count[s] = place.outer + s < lines ? count : 0;
            run_block(chain, &place, false);
        }
}

/* --- tiles ------------------------------------------------------------------------------------------------------ */

static enum gait gait_of(enum dtype dtype, int64_t step)
{
    if (dtype == DTYPE_F32)
        return step == 1 ? DENSE : step == 0 ? CONSTANT : OTHER;
    bool bytes = dtype == DTYPE_U8 || dtype == DTYPE_I8;
    return step != 1 ? OTHER : dtype == DTYPE_I32 ? INTEGERS : bytes ? BYTES : OTHER;
}

static struct path path_along(const void *base, enum dtype dtype, int64_t row_stride, int64_t column_stride, bool down,
                              bool across)
{
    int64_t bytes = dtype_bits(dtype) / 8, step = down ? row_stride : column_stride;
    struct path path = {.base = (char *)(uintptr_t)base,
                        .dtype = dtype,
                        .gait = gait_of(dtype, step),
                        .step = step,
                        .inner = step * bytes,
                        .outer = (down ? column_stride : row_stride) * bytes,
                        .across = across};
    path.slot = across ? path.outer : path.inner * LANES;
    return path;
}

/* A tile, and how its lines go. */
struct lie {
    const struct epilogue_tile *tile;
    int first[EPILOGUE_AXES + 1]; /* see epilogue_axes */
    bool across, uneven;          /* uneven: lines are not the same way apart for all operands */
};

/* Whether lines of an operand are the same way apart, though those of others are not. */
static bool is_even(const struct pointwise_params *program, const struct lie *lie, int operand)
{
    enum epilogue_axis along = lie->tile->down ? EPILOGUE_COLUMNS : EPILOGUE_ROWS;
    const int64_t *dims = program->dims, *strides = program->operands[operand].strides;
    for (int axis = lie->first[along] + 1; axis < lie->first[along + 1]; axis++)
        if (strides[axis - 1] != strides[axis] * dims[axis])
            return false;
    return true;
}

/* Where each line of an operand begins, from the tile's first element on; in bytes. */
static void find_lines(const struct epilogue *epilogue, const struct lie *lie, int operand, int64_t *lines)
{
    const struct pointwise_params *program = epilogue->program;
    const struct epilogue_tile *tile = lie->tile;
    const int64_t *dims = program->dims, *strides = program->operands[operand].strides;
    enum epilogue_axis along = tile->down ? EPILOGUE_COLUMNS : EPILOGUE_ROWS;
    int64_t bytes = dtype_bits((enum dtype)program->operands[operand].dtype) / 8, index[MAX_RANK], offset = 0;
    int64_t first = tile->down ? tile->column : tile->row, count = tile->down ? tile->columns : tile->rows;
    for (int axis = lie->first[along + 1] - 1; axis >= lie->first[along]; axis--) {
        index[axis] = first % dims[axis];
        first /= dims[axis];
    }
    for (int64_t i = 0; i < count; i++) {
        lines[i] = offset * bytes;
        for (int axis = lie->first[along + 1] - 1; axis >= lie->first[along]; axis--) {
            offset += strides[axis];
            if (++index[axis] < dims[axis])
                break;
            offset -= dims[axis] * strides[axis];
            index[axis] = 0;
        }
    }
    for (int64_t i = count; i < count + SLOTS; i++)
        lines[i] = 0;
}

/* Of an operand of the program; lines: room for where they begin. */
static struct path path_of(const struct epilogue *epilogue, const struct lie *lie, int operand, const void *memory,
                           int64_t row_stride, int64_t column_stride, int64_t *lines)
{
    const struct epilogue_tile *tile = lie->tile;
    enum dtype dtype = (enum dtype)epilogue->program->operands[operand].dtype;
    int64_t offset = epilogue_offset(epilogue, operand, tile->batch, tile->row, tile->column);
    struct path path = path_along((const char *)memory + offset * (dtype_bits(dtype) / 8), dtype, row_stride,
                                  column_stride, tile->down, lie->across);
    if (lie->uneven && !is_even(epilogue->program, lie, operand)) {
        find_lines(epilogue, lie, operand, lines);
        path.lines = lines;
    }
    return path;
}

/* One number for the whole tile is made a float once. */
static void settle_number(struct path *path, float *number)
{
    if (path->dtype == DTYPE_F32 || path->inner != 0 || path->outer != 0 || path->lines)
        return;
    float floats[LANES];
    vf_store(floats, fetch(path, path->base, 1));
    *number = floats[0];
    *path = (struct path){.base = (char *)number, .dtype = DTYPE_F32, .gait = CONSTANT};
}

static bool is_summed(const struct chain *chain)
{
    bool summed = chain->results.gait == DENSE && chain->stored.gait == DENSE;
    for (int i = 0; i < chain->form->operation_count; i++) {
        const struct epilogue_operation *operation = &chain->form->operations[i];
        bool moves = operation->opcode == POINTWISE_MOVE;
        summed = summed && (moves || operation->opcode == POINTWISE_ADD || operation->opcode == POINTWISE_MUL) &&
                 (operation->input <= 0 || chain->operands[i].gait <= CONSTANT);
    }
    return summed;
}

/* A tile along whose lines strides hold. */
static void store_lines(const struct epilogue *epilogue, const struct epilogue_form *form,
                        const struct kernel_call *call, const struct lie *lie)
{
    const struct epilogue_tile *tile = lie->tile;
    int output = epilogue->program->input_count;
    int64_t lines = tile->down ? tile->columns : tile->rows, line = tile->down ? tile->rows : tile->columns;
    int64_t begins[POINTWISE_MAX_OPERANDS][MOST_LINES + SLOTS];
    struct chain chain;
    chain.form = form;
    chain.output = &epilogue->program->operands[output];
    chain.results =
        path_along(tile->results, form->from, tile->row_stride, tile->column_stride, tile->down, lie->across);
    chain.stored = path_of(epilogue, lie, output, call->outputs[0], form->row, form->column, begins[0]);
    for (int i = 0; i < form->operation_count; i++) {
        const struct epilogue_operation *operation = &form->operations[i];
        if (operation->input <= 0)
            continue;
        chain.operands[i] =
            path_of(epilogue, lie, operation->input, call->inputs[epilogue->own_inputs + operation->input - 1],
                    operation->row, operation->column, begins[operation->input]);
        settle_number(&chain.operands[i], &chain.numbers[i]);
    }
    chain.summed = is_summed(&chain);
    (lie->across ? run_across : run_along)(&chain, lines, line);
}

/* The part of [first, first + count) that lies in one run. */
static int64_t run_part(int64_t first, int64_t count, int64_t run)
{
    int64_t left = run - first % run;
    return count < left ? count : left;
}

/* Lines are cut where a run along them ends, and taken together though they be in several runs. */
static void store_form(const struct epilogue *epilogue, const struct epilogue_form *form,
                       const struct kernel_call *call, const struct epilogue_tile *tile)
{
    struct epilogue_tile part = *tile;
    struct lie lie = {.tile = &part};
    epilogue_axes(epilogue, lie.first);
    int64_t across = tile->down ? form->column_run : form->row_run,
            along = tile->down ? form->row_run : form->column_run;
    int64_t first_line = tile->down ? tile->column : tile->row, lines = tile->down ? tile->columns : tile->rows;
    int64_t first = tile->down ? tile->row : tile->column, line = tile->down ? tile->rows : tile->columns;
    int64_t *part_lines = tile->down ? &part.columns : &part.rows, *part_line = tile->down ? &part.rows : &part.columns;
    for (int64_t i = 0; i < lines; i += *part_lines) {
        *part_lines = run_part(first_line + i, lines - i, across);
        lie.uneven = *part_lines < lines - i && *part_lines < MOST_LINES;
        if (lie.uneven)
            *part_lines = lines - i < MOST_LINES ? lines - i : MOST_LINES;
        for (int64_t j = 0; j < line; j += *part_line) {
            *part_line = run_part(first + j, line - j, along);
            int64_t down = tile->down ? j : i, right = tile->down ? i : j;
            part.results = (const char *)tile->results + 4 * (down * tile->row_stride + right * tile->column_stride);
            part.row = tile->row + down;
            part.column = tile->column + right;
            lie.across = *part_line <= 2 * LANES && *part_lines > 1;
            store_lines(epilogue, form, call, &lie);
        }
    }
}

/* --- programs without a form ------------------------------------------------------------------------------------ */

/* Functions of floats by vectors, so that a program gives the same bits here as in a step of its own. */
static bool instruct(const struct pointwise_instruction *code, void *target, const void *a, const void *b,
                     const void *c, int n)
{
    enum pass_code pass = code->register_class == CLASS_F32 ? passes_float_code(code) : PASS_REFERENCE;
    const struct pass of = {.code = (uint8_t)pass, .instruction = code};
    const struct pass_places at = {.target = target, .a = a, .b = b, .c = c};
    /* Truths have 64 bits here, and a constant all places. */
    if (pass < PASS_NEG || pass >= PASS_SELECT)
        return interpreter_instruct(code, target, a, b, c, n);
    return SET_NAME(pass_functions)[pass](&of, &at, n);
}

size_t SET_NAME(epilogue_store_bytes)(const struct epilogue *epilogue, const struct epilogue_form *form)
{
    return form ? 0 : epilogue_workspace(epilogue);
}

void SET_NAME(epilogue_store)(const struct epilogue *epilogue, const struct epilogue_form *form,
                              const struct kernel_call *call, const struct epilogue_tile *tile, void *workspace)
{
    if (form)
        store_form(epilogue, form, call, tile);
    else
        interpreter_epilogue(epilogue, call, tile, workspace, instruct);
}
