/* Sums in int32 that become bytes (kernels/epilogue.h, epilogue_requantisation): the same bits as the program gives,
 * several times as fast as operation by operation. */
#ifndef INFER_KERNELS_X86_REQUANTISE_H
#define INFER_KERNELS_X86_REQUANTISE_H

#include "kernels/reciprocal.h"
#include "kernels/x86/epilogue.h"
#include "kernels/x86/vector.h"
#include "kernels/x86/vector_math.h"

/* What is known of one batch index. Lines are what elements lie next to each other along: columns of the epilogue's
 * space, or its rows. */
struct requantiser {
    const struct epilogue *epilogue;
    int64_t batch;
    bool down;
    /* Operands lie evenly along so many lines, and so many elements of a line; then somewhere else. */
    int64_t line_run, element_run;
    const float *factors, *addends, *gates;   /* of the first element of a line; NULL: none */
    bool factor_each, addend_each, gate_each; /* every element of a line has its own */
    const uint8_t *residual;                  /* of the first element of the first line; NULL: none */
    int residual_input;                       /* of the program */
    uint8_t *to;
    int64_t residual_step, to_step; /* from line to line */
    int64_t residual_base, to_base; /* of the elements that the first ones are, epilogue_offset */
    bool to_even;                   /* the output lies evenly throughout */
    bool signed_residual, has_second, hard_swish, divides;
    int32_t residual_zero; /* a byte */
    float residual_scale;
    float first_low, first_high, second_factor, second_addend, divisor;
    float low, high; /* of the quotient */
    bool bounded;    /* it is a number of 32 bits whatever the sums are */
    bool inverts;    /* then the quotient's nearest integer may be found without a division */
    struct reciprocal reciprocal;
    struct requantised_bytes {
        vi addend, low, high, turn;
        bool are_done; /* neither bounds nor turns change what has become bytes */
    } bytes; /* of what is rounded: words of the zero point; bounds; what turns bytes into those of a signed type */
};

/* down: lines go along the rows of the space. False: the form is for those who take any, because of how its operands
 * lie or what numbers they hold. */
bool SET_NAME(requantise_begin)(const struct epilogue *epilogue, const struct epilogue_form *form,
                                const struct kernel_call *call, int64_t batch, bool down, struct requantiser *to);
/* Stores `count` elements from `first` on of each of `lines` lines from `line` on; their sums are `step` apart from one
 * line to the next. */
void SET_NAME(requantise)(const struct requantiser *requantiser, const int32_t *sums, int64_t step, int64_t line,
                          int64_t lines, int64_t first, int64_t count);

/* --- for those who have sums in registers ------------------------------------------------------------------------ */

/* Whether so many lines of so many elements go to to + line to_step + element, and have neither gate nor residual. */
static inline bool requantise_is_even(const struct requantiser *q, int64_t lines, int64_t elements)
{
    return !q->residual && !q->gates && q->line_run >= lines && q->element_run >= elements;
}
/* What `count` elements of a line, at most LANES, are multiplied by, or is added to them. identity: where there is no
 * such operand. */
INLINE vf requantise_operand(const float *from, bool each, int64_t first, int64_t count, float identity)
{
    return from && each ? vf_load_part(from + first, count) : vf_set(from ? *from : identity);
}
/* The quotient, for what inverts. */
INLINE vf requantise_quotient(const struct reciprocal *reciprocal, vf x)
{
    return vf_fma(x, vf_set(reciprocal->high), vf_mul(x, vf_set(reciprocal->low)));
}
/* What has been multiplied and added to, rounded. plain: the requantiser is, see below. */
INLINE vi requantise_round(const struct requantiser *q, vf x, const bool plain)
{
    if (plain)
        return vf_to_nearest(x);
    if (q->has_second) {
        x = vf_min(vf_set(q->first_high), vf_max(vf_set(q->first_low), x));
        x = q->hard_swish ? vf_hard_swish(x) : x;
        x = vf_add(vf_mul(x, vf_set(q->second_factor)), vf_set(q->second_addend));
    }
    if (q->divides)
        x = vf_div(x, vf_set(q->divisor));
    return vf_to_nearest(q->bounded ? x : vf_min(vf_set(q->high), vf_max(vf_set(q->low), x)));
}
/* Nothing is left to do but to round: bounds are kept as bytes, since rounding leaves the order of numbers. */
static inline bool requantise_is_plain(const struct requantiser *q)
{
    return q->bounded && !q->has_second && !q->divides && !q->gates;
}
/* Four vectors that have been rounded, as bytes. */
INLINE vi requantise_pack(const struct requantised_bytes *to, const vi *rounded)
{
    vi bytes = vi_pack_bytes(rounded, to->addend);
    return to->are_done ? bytes : vi_xor(vi_max_bytes(vi_min_bytes(bytes, to->high), to->low), to->turn);
}

/* Two vectors of elements of lines, for those who have the sums of both. */
struct requantised_columns {
    vf factors[2], addends[2];
    struct requantised_bytes ends;
    uint8_t *to; /* of line 0 */
    int64_t step;
};
/* Those from `first` on, of `lines` lines of `elements`. False: there is more to do than these say. */
static inline bool requantise_columns(const struct requantiser *q, int64_t lines, int64_t elements, int64_t first,
                                      struct requantised_columns *columns)
{
    if (!requantise_is_plain(q) || !requantise_is_even(q, lines, elements))
        return false;
    for (int v = 0; v < 2; v++) {
        columns->factors[v] = requantise_operand(q->factors, q->factor_each, first + v * LANES, LANES, 1);
        columns->addends[v] = requantise_operand(q->addends, q->addend_each, first + v * LANES, LANES, -0.0F);
    }
    columns->ends = q->bytes;
    columns->to = q->to + first;
    columns->step = q->to_step;
    return true;
}

#endif
