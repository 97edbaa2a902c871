#include "kernels/x86/requantise.h"

#include "kernels/walk.h"

#include <math.h>
#include <string.h>

#define WIDTH (2 * LANES) /* elements of a line at a time */
/* With no number beyond this, and no divisor below its reciprocal, no infinity is ever subtracted from another. */
#define LARGEST 1e20F
#define LARGEST_FACTOR 1e8F
#define LARGEST_SUM 2147483648.0F
#define LARGEST_BOUNDED 1e9F /* rounding on the way there does not reach 2^31 */

struct request {
    const struct epilogue *epilogue;
    const struct epilogue_form *form;
    const struct kernel_call *call;
    int64_t batch;
    bool down;
};

/* --- operands ---------------------------------------------------------------------------------------------------- */

/* The first element of an operand. */
static const void *operand_at(const struct request *r, int input)
{
    const struct pointwise_params *program = r->epilogue->program;
    const void *memory =
        input == program->input_count ? r->call->outputs[0] : r->call->inputs[r->epilogue->own_inputs + input - 1];
    int64_t offset = epilogue_offset(r->epilogue, input, r->batch, 0, 0);
    return (const char *)memory + offset * (dtype_bits((enum dtype)program->operands[input].dtype) / 8);
}

static float number_of(const struct request *r, int input, float otherwise)
{
    if (!input)
        return otherwise;
    const void *at = operand_at(r, input);
    switch (r->epilogue->program->operands[input].dtype) {
    case DTYPE_U8:
        return (float)*(const uint8_t *)at;
    case DTYPE_I8:
        return (float)*(const int8_t *)at;
    default:
        return *(const float *)at;
    }
}

/* Of numbers without their sign; a NaN if there is one, whose bits are larger than those of any number. */
static float largest_of(const float *numbers, int64_t count)
{
    vi largest = vi_set(0);
    int32_t bits[LANES], most = 0;
    float number;
    for (int64_t i = 0; i < count; i += LANES)
        largest =
            vi_max(largest, vi_and(vf_bits(vf_load_part(numbers + i, least(count - i, LANES))), vi_set(INT32_MAX)));
    vi_store(bits, largest);
    for (int i = 0; i < LANES; i++)
        most = bits[i] > most ? bits[i] : most;
    memcpy(&number, &most, sizeof number);
    return number;
}

static bool is_small(float number, float most)
{
    return fabsf(number) <= most; /* which no NaN is */
}

/* Whether the operand goes along an axis of the space in steps of `stride` all the way. */
static bool goes_evenly(const struct request *r, int input, enum epilogue_axis axis, int64_t stride)
{
    const struct pointwise_params *program = r->epilogue->program;
    int first[EPILOGUE_AXES + 1];
    epilogue_axes(r->epilogue, first);
    for (int i = first[axis + 1] - 1; i >= first[axis]; stride *= program->dims[i--])
        if (program->dims[i] != 1 && program->operands[input].strides[i] != stride)
            return false;
    return true;
}

/* Of an operand of a line, where it begins, whether each element has its own, and the largest without its sign; without
 * an operand that is left as it is. False: lines differ, or a number is larger than `most`. */
static bool read_operand(const struct request *r, int operation, float most, const float **from, bool *each,
                         float *largest)
{
    const struct epilogue_operation *of = operation ? &r->form->operations[operation - 1] : NULL;
    enum epilogue_axis along = r->down ? EPILOGUE_ROWS : EPILOGUE_COLUMNS,
                       across = r->down ? EPILOGUE_COLUMNS : EPILOGUE_ROWS;
    int64_t step = !of ? 0 : r->down ? of->row : of->column;
    *from = of ? operand_at(r, of->input) : NULL;
    *each = step == 1;
    if (!of)
        return true;
    if (step < 0 || step > 1 || !goes_evenly(r, of->input, along, step) || !goes_evenly(r, of->input, across, 0))
        return false;
    *largest = largest_of(*from, step ? r->epilogue->dims[along] : 1);
    return is_small(*largest, most);
}

/* False: one is a NaN, or they are not in order. */
static bool read_bounds(const struct request *r, const struct epilogue_bounds *bounds, float *low, float *high)
{
    *low = fmaxf(bounds->low, number_of(r, bounds->low_input, -INFINITY));
    *high = fminf(bounds->high, number_of(r, bounds->high_input, INFINITY));
    return *low <= *high && !isnan(number_of(r, bounds->low_input, 0)) && !isnan(number_of(r, bounds->high_input, 0));
}

/* A byte in all four of a lane. */
static int32_t four_times(int32_t byte)
{
    return (int32_t)(0x01010101u * (uint32_t)byte);
}

static bool read_numbers(const struct request *r, struct requantiser *to)
{
    const struct epilogue_requantisation *q = &r->form->requantisation;
    float low, high, least = r->form->to == DTYPE_I8 ? -128 : 0, zero = number_of(r, q->zero, 0);
    to->hard_swish = q->hard_swish;
    to->has_second = q->hard_swish || q->second_factor || q->second_addend;
    to->divides = q->divisor > 0;
    to->residual_zero = (int32_t)number_of(r, q->residual_zero, 0);
    to->residual_scale = number_of(r, q->residual_scale, 1);
    to->second_factor = number_of(r, q->second_factor, 1);
    to->second_addend = number_of(r, q->second_addend, -0.0F);
    to->divisor = number_of(r, q->divisor, 1);
    if (!read_bounds(r, &q->first, &to->first_low, &to->first_high) || !read_bounds(r, &q->second, &low, &high) ||
        !is_small(to->residual_scale, LARGEST) || !is_small(to->second_factor, LARGEST_FACTOR) ||
        !is_small(to->second_addend, LARGEST) || !(to->divisor >= 1 / LARGEST && to->divisor <= LARGEST))
        return false;
    if (!to->has_second) {
        low = fmaxf(low, to->first_low);
        high = fminf(high, to->first_high);
    }
    to->low = fmaxf(low / to->divisor, least - zero);
    to->high = fminf(high / to->divisor, least + 255 - zero);
    if (!(to->low <= to->high))
        return false;
    int32_t shift = (int32_t)(zero - least), word = shift & UINT16_MAX;
    int32_t lowest = (int32_t)nearbyintf(to->low) + shift, highest = (int32_t)nearbyintf(to->high) + shift;
    to->bytes = (struct requantised_bytes){.addend = vi_set(word | word << 16),
                                           .low = vi_set(four_times(lowest)),
                                           .high = vi_set(four_times(highest)),
                                           .turn = vi_set(least < 0 ? (int32_t)0x80808080 : 0),
                                           .are_done = lowest == 0 && highest == UINT8_MAX && least == 0};
    return true;
}

/* The largest that a quotient may be, with what sums are at most multiplied by, and what is added to them. */
static float largest_quotient(const struct requantiser *q, float factor, float addend, float gate)
{
    float most = (LARGEST_SUM * factor + addend) * (1 + gate) + 512 * fabsf(q->residual_scale);
    if (q->has_second)
        most = (most + 3) * fabsf(q->second_factor) + fabsf(q->second_addend);
    return most / q->divisor;
}

bool SET_NAME(requantise_begin)(const struct epilogue *epilogue, const struct epilogue_form *form,
                                const struct kernel_call *call, int64_t batch, bool down, struct requantiser *to)
{
    const struct request r = {epilogue, form, call, batch, down};
    const struct epilogue_requantisation *q = &form->requantisation;
    const struct epilogue_operation *residual =
        form->requantises && q->residual ? &form->operations[q->residual - 1] : NULL;
    *to = (struct requantiser){.epilogue = epilogue,
                               .batch = batch,
                               .down = down,
                               .line_run = down ? form->column_run : form->row_run,
                               .element_run = down ? form->row_run : form->column_run};
    float factor = 1, addend = 0, gate = 0;
    if (!form->requantises || (down ? form->row : form->column) != 1 ||
        (residual && (down ? residual->row : residual->column) != 1) || !read_numbers(&r, to) ||
        !read_operand(&r, q->factor, LARGEST, &to->factors, &to->factor_each, &factor) ||
        !read_operand(&r, q->addend, LARGEST, &to->addends, &to->addend_each, &addend) ||
        !read_operand(&r, q->gate, LARGEST_FACTOR, &to->gates, &to->gate_each, &gate) || (to->gates && to->has_second))
        return false;
    to->bounded = largest_quotient(to, factor, addend, gate) < LARGEST_BOUNDED;
    to->inverts = to->bounded && find_reciprocal(to->divisor, &to->reciprocal);
    to->to = (uint8_t *)(uintptr_t)operand_at(&r, epilogue->program->input_count);
    to->to_step = down ? form->column : form->row;
    to->to_base = epilogue_offset(epilogue, epilogue->program->input_count, batch, 0, 0);
    to->to_even = goes_evenly(&r, epilogue->program->input_count, down ? EPILOGUE_ROWS : EPILOGUE_COLUMNS, 1) &&
                  goes_evenly(&r, epilogue->program->input_count, down ? EPILOGUE_COLUMNS : EPILOGUE_ROWS, to->to_step);
    if (residual) {
        to->residual_input = residual->input;
        to->residual = operand_at(&r, residual->input);
        to->residual_step = down ? residual->column : residual->row;
        to->residual_base = epilogue_offset(epilogue, residual->input, batch, 0, 0);
        to->signed_residual = residual->dtype == DTYPE_I8;
    }
    return true;
}

/* --- lines ------------------------------------------------------------------------------------------------------- */

/* Some elements of some lines: WIDTH of each, or at most LANES. */
struct part {
    const int32_t *sums;
    int64_t step, lines, count;
    const uint8_t *residual;
    uint8_t *to;
    vf factors[2], addends[2], gates[2];
};

/* What a residual is made a number by. */
struct residual_scale {
    vi zero;
    vf scale;
    bool has_sign;
};

INLINE struct residual_scale residual_scale_of(const struct requantiser *q)
{
    return (struct residual_scale){vi_set(q->residual_zero), vf_set(q->residual_scale), q->signed_residual};
}

INLINE vf residual_of(const struct residual_scale *by, const uint8_t *from, int64_t count)
{
    vi x = count < LANES ? vi_load_u8_part(from, count) : vi_load_u8(from);
    if (by->has_sign)
        x = vi_sub(vi_xor(x, vi_set(0x80)), vi_set(0x80));
    return vf_mul(vi_to_floats(vi_sub(x, by->zero)), by->scale);
}

static void store_ends(uint8_t *const *to, int64_t count, vi bytes)
{
    uint8_t lines[4][LANES];
    vi_store_quarters((uint8_t *const[]){lines[0], lines[1], lines[2], lines[3]}, bytes);
    for (int l = 0; l < 4; l++)
        memcpy(to[l], lines[l], (size_t)count);
}

/* What is done to sums after their factor and addend: PLAIN rounding, maybe of a sum with a residual; the SUM with a
 * residual divided by what has a reciprocal; or ANYTHING. */
enum work { PLAIN, SUM, ANYTHING };

/* Four vectors at a time, of two lines or of four: where there are no more, of the last one again. */
INLINE void run_part(const struct requantiser *q, const struct part *part, const int vectors, const bool full,
                     const enum work work)
{
    const struct requantised_bytes ends = q->bytes;
    const struct residual_scale scale = residual_scale_of(q);
    const struct reciprocal reciprocal = q->reciprocal;
    const int lines = 4 / vectors;
    for (int64_t i = 0; i < part->lines; i += lines) {
        uint8_t *to[4];
        vi rounded[4];
        UNROLL
        for (int l = 0; l < lines; l++) {
            int64_t line = least(i + l, part->lines - 1);
            const int32_t *sums = part->sums + line * part->step;
            to[l] = part->to + line * q->to_step;
            UNROLL
            for (int v = 0; v < vectors; v++) {
                vf x = vi_to_floats(full ? vi_load(sums + v * LANES) : vi_load_part(sums, part->count));
                x = vf_add(vf_mul(x, part->factors[v]), part->addends[v]);
                if (work == ANYTHING && q->gates)
                    x = vf_add(vf_mul(x, part->gates[v]), x);
                if (work == SUM || part->residual)
                    x = vf_add(x, residual_of(&scale, part->residual + line * q->residual_step + v * LANES,
                                              full ? LANES : part->count));
                rounded[l * vectors + v] = work == SUM ? vf_to_nearest(requantise_quotient(&reciprocal, x))
                                                       : requantise_round(q, x, work == PLAIN);
            }
        }
        vi bytes = requantise_pack(&ends, rounded);
        if (vectors == 2)
            vi_store_halves(to, bytes);
        else if (full)
            vi_store_quarters(to, bytes);
        else
            store_ends(to, part->count, bytes);
    }
}

static __attribute__((noinline)) void run_plain(const struct requantiser *q, const struct part *part)
{
    run_part(q, part, 2, true, PLAIN);
}

static __attribute__((noinline)) void run_sum(const struct requantiser *q, const struct part *part)
{
    run_part(q, part, 2, true, SUM);
}

static __attribute__((noinline)) void run_full(const struct requantiser *q, const struct part *part)
{
    run_part(q, part, 2, true, ANYTHING);
}

static __attribute__((noinline)) void run_vector(const struct requantiser *q, const struct part *part)
{
    run_part(q, part, 1, true, ANYTHING);
}

static __attribute__((noinline)) void run_rest(const struct requantiser *q, const struct part *part)
{
    run_part(q, part, 1, false, ANYTHING);
}

static inline int64_t lanes_left(int64_t count, int vector)
{
    int64_t left = count - vector * LANES;
    return left < 0 ? 0 : least(left, LANES);
}

INLINE void load_operand(const float *from, bool each, int64_t first, int64_t count, float identity, vf *vectors)
{
    UNROLL
    for (int v = 0; v < 2; v++)
        vectors[v] = requantise_operand(from, each, first + v * LANES, lanes_left(count, v), identity);
}

/* Where the residual or the output has an element, from the first one on. */
static int64_t residual_offset(const struct requantiser *q, int64_t line, int64_t element)
{
    if (line < q->line_run && element < q->element_run)
        return line * q->residual_step + element;
    return epilogue_offset(q->epilogue, q->residual_input, q->batch, q->down ? element : line,
                           q->down ? line : element) -
           q->residual_base;
}

static int64_t output_offset(const struct requantiser *q, int64_t line, int64_t element)
{
    if (q->to_even || (line < q->line_run && element < q->element_run))
        return line * q->to_step + element;
    return epilogue_offset(q->epilogue, q->epilogue->program->input_count, q->batch, q->down ? element : line,
                           q->down ? line : element) -
           q->to_base;
}

/* Lines that lie evenly, and elements of them that do. */
static void run_even(const struct requantiser *q, const int32_t *sums, int64_t step, int64_t line, int64_t lines,
                     int64_t first, int64_t count)
{
    struct part part = {.step = step, .lines = lines};
    const uint8_t *residual = q->residual ? q->residual + residual_offset(q, line, first) : NULL;
    uint8_t *to = q->to + output_offset(q, line, first);
    bool plain = requantise_is_plain(q), sum = residual && q->inverts && q->divides && !q->has_second && !q->gates;
    for (int64_t i = 0; i < count; i += part.count) {
        part.count = count - i >= WIDTH ? WIDTH : least(LANES, count - i);
        part.sums = sums + i;
        part.residual = residual ? residual + i : NULL;
        part.to = to + i;
        load_operand(q->factors, q->factor_each, first + i, part.count, 1, part.factors);
        load_operand(q->addends, q->addend_each, first + i, part.count, -0.0F, part.addends);
        load_operand(q->gates, q->gate_each, first + i, part.count, 0, part.gates);
        if (part.count == WIDTH && plain)
            run_plain(q, &part);
        else if (part.count == WIDTH && sum)
            run_sum(q, &part);
        else if (part.count == WIDTH)
            run_full(q, &part);
        else if (part.count == LANES)
            run_vector(q, &part);
        else
            run_rest(q, &part);
    }
}

void SET_NAME(requantise)(const struct requantiser *q, const int32_t *sums, int64_t step, int64_t line, int64_t lines,
                          int64_t first, int64_t count)
{
    for (int64_t i = 0, height; i < lines; i += height) {
        height = least(lines - i, q->line_run - (line + i) % q->line_run);
        for (int64_t k = 0, width; k < count; k += width) {
            width = least(count - k, q->element_run - (first + k) % q->element_run);
            run_even(q, sums + i * step + k, step, line + i, height, first + k, width);
        }
    }
}
