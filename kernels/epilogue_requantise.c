/* Which forms are a requantisation, and what is to be done to a sum. */
#include "kernels/epilogue.h"

#include <math.h>

struct reading {
    const struct epilogue_form *form;
    struct epilogue_requantisation *to;
    int at; /* the next operation */
};

static const struct epilogue_operation *next(struct reading *r, enum pointwise_opcode opcode)
{
    const struct epilogue_operation *operation = &r->form->operations[r->at];
    bool found = r->at < r->form->operation_count && operation->opcode == opcode;
    r->at += found;
    return found ? operation : NULL;
}

static bool is_number(const struct epilogue_operation *operation)
{
    return !operation->on_side && operation->input > 0 && operation->row == 0 && operation->column == 0 &&
           !operation->reversed;
}

static bool is_byte(enum dtype dtype)
{
    return dtype == DTYPE_U8 || dtype == DTYPE_I8;
}

/* x operand: a number in float32, or one for each element of a line. */
static int8_t take_operand(struct reading *r, enum pointwise_opcode opcode)
{
    int at = r->at;
    const struct epilogue_operation *operation = next(r, opcode);
    if (operation && operation->input > 0 && !operation->on_side && operation->dtype == DTYPE_F32 &&
        !(operation->row != 0 && operation->column != 0))
        return (int8_t)(at + 1);
    r->at = at;
    return 0;
}

static int8_t take_number(struct reading *r, enum pointwise_opcode opcode, bool byte)
{
    int at = r->at;
    const struct epilogue_operation *operation = next(r, opcode);
    if (operation && is_number(operation) &&
        (byte ? is_byte((enum dtype)operation->dtype) : operation->dtype == DTYPE_F32))
        return operation->input;
    r->at = at;
    return 0;
}

/* What x is, times an operand, is added to it. */
static int8_t take_gate(struct reading *r)
{
    int at = r->at;
    const struct epilogue_operation *begin = next(r, POINTWISE_MOVE);
    int8_t gate = begin && begin->on_side && begin->input == 0 ? take_operand(r, POINTWISE_MUL) : 0;
    const struct epilogue_operation *sum = gate ? next(r, POINTWISE_ADD) : NULL;
    if (sum && !sum->on_side && sum->input == EPILOGUE_SIDE)
        return gate;
    r->at = at;
    return 0;
}

/* (bytes - zero) scale, added. False: something of the kind that it is not. */
static bool take_residual(struct reading *r)
{
    const struct epilogue_operation *bytes = next(r, POINTWISE_MOVE);
    if (!bytes)
        return true;
    const struct epilogue_operation *zero = next(r, POINTWISE_SUB), *scale = next(r, POINTWISE_MUL),
                                    *sum = next(r, POINTWISE_ADD);
    if (!bytes->on_side || bytes->input <= 0 || !is_byte((enum dtype)bytes->dtype) || !scale || !sum ||
        !scale->on_side || scale->input <= 0 || scale->dtype != DTYPE_F32 || scale->row != 0 || scale->column != 0 ||
        sum->on_side || sum->input != EPILOGUE_SIDE)
        return false;
    if (zero && (!zero->on_side || zero->reversed || zero->input <= 0 || zero->row != 0 || zero->column != 0 ||
                 !is_byte((enum dtype)zero->dtype)))
        return false;
    r->to->residual = (int8_t)(bytes - r->form->operations + 1);
    r->to->residual_zero = zero ? zero->input : 0;
    r->to->residual_scale = scale->input;
    return true;
}

/* Bounds with numbers that are known now or at a call. */
static void take_bounds(struct reading *r, struct epilogue_bounds *bounds)
{
    *bounds = (struct epilogue_bounds){.low = -INFINITY, .high = INFINITY};
    if (next(r, POINTWISE_RELU))
        bounds->low = 0;
    bounds->low_input = take_number(r, POINTWISE_MAX, false);
    bounds->high_input = take_number(r, POINTWISE_MIN, false);
    const struct epilogue_operation *clamp = &r->form->operations[r->at];
    if (r->at + 1 < r->form->operation_count && clamp->opcode == POINTWISE_CLAMP && !clamp->on_side &&
        !bounds->low_input && !bounds->high_input) {
        bounds->low = fmaxf(bounds->low, clamp->p);
        bounds->high = fminf(bounds->high, clamp->q);
        r->at++;
    }
}

static bool is_whole_byte(const struct epilogue_form *form, const struct epilogue_operation *clamp)
{
    float low = form->to == DTYPE_I8 ? -128 : 0;
    return clamp && !clamp->on_side && clamp->p == low && clamp->q == low + 255;
}

bool epilogue_requantises(const struct epilogue_form *form, struct epilogue_requantisation *to)
{
    struct reading r = {.form = form, .to = to};
    *to = (struct epilogue_requantisation){.factor = 0};
    if (form->from != DTYPE_I32 || !is_byte(form->to))
        return false;
    to->factor = take_operand(&r, POINTWISE_MUL);
    to->addend = take_operand(&r, POINTWISE_ADD);
    to->gate = take_gate(&r);
    if (!take_residual(&r))
        return false;
    take_bounds(&r, &to->first);
    to->hard_swish = next(&r, POINTWISE_HARD_SWISH) != NULL;
    to->second_factor = take_number(&r, POINTWISE_MUL, false);
    to->second_addend = take_number(&r, POINTWISE_ADD, false);
    take_bounds(&r, &to->second);
    to->divisor = take_number(&r, POINTWISE_DIV, false);
    const struct epilogue_operation *round = next(&r, POINTWISE_ROUND);
    to->zero = take_number(&r, POINTWISE_ADD, true);
    return round && is_whole_byte(form, next(&r, POINTWISE_CLAMP)) && r.at == form->operation_count;
}
