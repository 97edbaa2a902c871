#include "tools/problems/interval_parts.h"

#include "kernels/convert.h"

#include <math.h>

#define PI 3.14159265358979323846264338327950288L
#define SQRT_HALF 0.70710678118654752440084436210484904L

const struct interval interval_open = {.open = true};

struct interval interval_of(number value)
{
    return (struct interval){.low = value, .high = value};
}

struct interval interval_about(number value, number error)
{
    return isfinite(value) ? (struct interval){.low = value - error, .high = value + error} : interval_of(value);
}

bool interval_is_point(const struct interval *x)
{
    return x->low == x->high;
}

static bool is_nan(const struct interval *x)
{
    return isnan(x->low) && isnan(x->high);
}

struct interval interval_hull(struct interval a, struct interval b)
{
    if (a.open || b.open || is_nan(&a) != is_nan(&b))
        return interval_open;
    return (struct interval){.low = fminl(a.low, b.low), .high = fmaxl(a.high, b.high)};
}

/* Takes in one more value. */
static void widen(struct interval *x, number value)
{
    *x = interval_hull(*x, interval_of(value));
}

/* --- the meaning of instructions on numbers ------------------------------------------------------------------ */

static number sign_of(number x)
{
    return x > 0 ? 1 : x < 0 ? -1 : x;
}

static number softplus(number x)
{
    return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x));
}

static number sigmoid(number x)
{
    return x >= 0 ? 1 / (1 + expl(-x)) : expl(x) / (1 + expl(x));
}

static number unary_activation(enum pointwise_opcode opcode, number x, number p, number q)
{
    number hard;
    switch (opcode) {
    case POINTWISE_RELU:
        return x < 0 ? 0 : x;
    case POINTWISE_LEAKY_RELU:
        return x < 0 ? p * x : x;
    case POINTWISE_ELU:
        return x < 0 ? p * expm1l(x) : x;
    case POINTWISE_SELU:
        return q * (x <= 0 ? p * expm1l(x) : x);
    case POINTWISE_CELU:
        return x < 0 ? p * expm1l(x / p) : x;
    case POINTWISE_SIGMOID:
        return sigmoid(x);
    case POINTWISE_HARD_SIGMOID:
        hard = p * x + q;
        return hard < 0 ? 0 : hard > 1 ? 1 : hard;
    case POINTWISE_HARD_SWISH:
        hard = x / 6 + 0.5L;
        return x * (hard < 0 ? 0 : hard > 1 ? 1 : hard);
    case POINTWISE_SWISH:
        return x * sigmoid(p * x);
    case POINTWISE_MISH:
        return x * tanhl(softplus(x));
    case POINTWISE_SOFTPLUS:
        return softplus(x);
    case POINTWISE_SOFTSIGN:
        return x / (1 + fabsl(x));
    case POINTWISE_THRESHOLDED_RELU:
        return x > p ? x : 0;
    case POINTWISE_SHRINK:
        return x < -p ? x + q : x > p ? x - q : 0;
    case POINTWISE_GELU:
        return x / 2 * erfcl(-x * SQRT_HALF);
    default: /* GELU_TANH: (1 + tanh u) / 2 is the sigmoid of 2 u */
        return x * sigmoid(2 * sqrtl(2 / PI) * (x + 0.044715L * x * x * x));
    }
}

static number unary(enum pointwise_opcode opcode, number x, number p, number q)
{
    switch (opcode) {
    case POINTWISE_MOVE:
        return x;
    case POINTWISE_NEG:
        return -x;
    case POINTWISE_ABS:
        return fabsl(x);
    case POINTWISE_SIGN:
        return sign_of(x);
    case POINTWISE_CLAMP:
        return (x < p ? p : x) > q ? q : x < p ? p : x;
    case POINTWISE_FLOOR:
        return floorl(x);
    case POINTWISE_CEIL:
        return ceill(x);
    case POINTWISE_ROUND:
        return rintl(x);
    case POINTWISE_ROUND_F16:
        return (number)f16_to_f32(f32_to_f16((float)x));
    case POINTWISE_ROUND_BF16:
        return (number)bf16_to_f32(f32_to_bf16((float)x));
    case POINTWISE_SQRT:
        return sqrtl(x);
    case POINTWISE_RECIPROCAL:
        return 1 / x;
    case POINTWISE_EXP:
        return expl(x);
    case POINTWISE_LOG:
        return logl(x);
    case POINTWISE_SIN:
        return sinl(x);
    case POINTWISE_COS:
        return cosl(x);
    case POINTWISE_TAN:
        return tanl(x);
    case POINTWISE_ASIN:
        return asinl(x);
    case POINTWISE_ACOS:
        return acosl(x);
    case POINTWISE_ATAN:
        return atanl(x);
    case POINTWISE_SINH:
        return sinhl(x);
    case POINTWISE_COSH:
        return coshl(x);
    case POINTWISE_TANH:
        return tanhl(x);
    case POINTWISE_ASINH:
        return asinhl(x);
    case POINTWISE_ACOSH:
        return acoshl(x);
    case POINTWISE_ATANH:
        return atanhl(x);
    case POINTWISE_ERF:
        return erfl(x);
    default:
        return unary_activation(opcode, x, p, q);
    }
}

static number python_mod(number x, number y)
{
    number rest = fmodl(x, y);
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

static number binary(enum pointwise_opcode opcode, number x, number y)
{
    switch (opcode) {
    case POINTWISE_ADD:
        return x + y;
    case POINTWISE_SUB:
        return x - y;
    case POINTWISE_MUL:
        return x * y;
    case POINTWISE_DIV:
        return x / y;
    case POINTWISE_MOD:
        return python_mod(x, y);
    case POINTWISE_FMOD:
        return fmodl(x, y);
    case POINTWISE_POW:
        return powl(x, y);
    case POINTWISE_PRELU:
        return x < 0 ? x * y : x;
    case POINTWISE_MIN:
        return isnan(x) || x < y ? x : y;
    default:
        return isnan(x) || x > y ? x : y;
    }
}

/* --- on intervals of floating numbers ------------------------------------------------------------------------ */

/* Where a function of one variable turns or jumps, so that its values between two ends are not between its values
 * there. Those that jump are listed on both sides of the jump. */
static int turning_points(enum pointwise_opcode opcode, number p, number *points)
{
    points[0] = 0;
    switch (opcode) {
    case POINTWISE_ABS:
    case POINTWISE_SIGN:
    case POINTWISE_COSH:
    case POINTWISE_LEAKY_RELU:
    case POINTWISE_ELU:
    case POINTWISE_SELU:
    case POINTWISE_CELU:
        return 1;
    case POINTWISE_SWISH:
        points[0] = -1.27846454276107379L / p;
        return 1;
    case POINTWISE_MISH:
        points[0] = -1.19236500602346L;
        return 1;
    case POINTWISE_GELU:
        points[0] = -0.75179152890218L;
        return 1;
    case POINTWISE_GELU_TANH:
        points[0] = -0.75246142238869L;
        return 1;
    case POINTWISE_HARD_SWISH:
        points[0] = -1.5L;
        return 1;
    case POINTWISE_THRESHOLDED_RELU:
    case POINTWISE_SHRINK:
        points[0] = p;
        points[1] = nextafterl(p, (number)INFINITY);
        points[2] = -p;
        points[3] = nextafterl(-p, -(number)INFINITY);
        return 4;
    default:
        return 0;
    }
}

static struct interval of_turns(enum pointwise_opcode opcode, struct interval result, const struct interval *x)
{
    number first = ceill(x->low / (PI / 2));
    if (x->high - x->low > 7)
        return interval_hull(result, (struct interval){.low = -1, .high = 1});
    for (number k = first; k * (PI / 2) <= x->high; k++)
        widen(&result, unary(opcode, k * (PI / 2), 0, 0));
    return result;
}

/* A pole, or the end of where it is defined, within the interval. */
static bool breaks(enum pointwise_opcode opcode, const struct interval *x)
{
    if (opcode == POINTWISE_RECIPROCAL)
        return x->low <= 0 && x->high >= 0;
    if (opcode == POINTWISE_TAN)
        return floorl(x->low / PI - 0.5L) != floorl(x->high / PI - 0.5L);
    if (opcode == POINTWISE_ASIN || opcode == POINTWISE_ACOS || opcode == POINTWISE_ATANH)
        return x->low < -1 && x->high > 1; /* NaN at both ends, and numbers between them */
    return false;
}

/* A zero of either sign, whose reciprocal is an infinity of either sign. */
static bool is_either_zero(const struct interval *x)
{
    return x->low == 0 && x->high == 0 && !signbit(x->low) != !signbit(x->high);
}

static struct interval float_unary(enum pointwise_opcode opcode, const struct interval *x, number p, number q)
{
    struct interval result = interval_of(unary(opcode, x->low, p, q));
    if (opcode == POINTWISE_RECIPROCAL && is_either_zero(x))
        return interval_open;
    if (interval_is_point(x) || is_nan(x))
        return result;
    if (breaks(opcode, x))
        return interval_open;
    number points[4];
    widen(&result, unary(opcode, x->high, p, q));
    int count = turning_points(opcode, p, points);
    for (int i = 0; i < count; i++)
        if (points[i] > x->low && points[i] < x->high)
            widen(&result, unary(opcode, points[i], p, q));
    return opcode == POINTWISE_SIN || opcode == POINTWISE_COS ? of_turns(opcode, result, x) : result;
}

static bool holds(const struct interval *x, number value)
{
    return x->low <= value && x->high >= value;
}

/* Of a product: 0 times an infinity is NaN, and neither need be an end of its interval. */
static bool may_be_zero_times_infinity(const struct interval *x, const struct interval *y)
{
    return (holds(x, 0) && (isinf(y->low) || isinf(y->high))) || (holds(y, 0) && (isinf(x->low) || isinf(x->high)));
}

/* One of the two is NaN, and the result is too, but where it does not depend on that one. */
static struct interval with_nan(enum pointwise_opcode opcode, const struct interval *x, const struct interval *y)
{
    if (opcode == POINTWISE_PRELU && is_nan(y) && x->low >= 0)
        return *x;
    if ((opcode == POINTWISE_PRELU && x->low < 0 && x->high >= 0) || (opcode == POINTWISE_POW && holds(x, 1)) ||
        (opcode == POINTWISE_POW && holds(y, 0)))
        return interval_open;
    return interval_of(binary(opcode, x->low, y->low));
}

static struct interval float_binary(enum pointwise_opcode opcode, const struct interval *x, const struct interval *y)
{
    if ((opcode == POINTWISE_DIV && is_either_zero(y)) || (opcode == POINTWISE_POW && is_either_zero(x)))
        return interval_open;
    if (interval_is_point(x) && interval_is_point(y))
        return interval_of(binary(opcode, x->low, y->low));
    if (is_nan(x) || is_nan(y))
        return with_nan(opcode, x, y);
    if (opcode == POINTWISE_MOD || opcode == POINTWISE_FMOD || (opcode == POINTWISE_DIV && holds(y, 0)) ||
        ((opcode == POINTWISE_MUL || opcode == POINTWISE_PRELU) && may_be_zero_times_infinity(x, y)) ||
        (opcode == POINTWISE_POW && !(x->low > 0)))
        return interval_open;
    struct interval result = interval_of(binary(opcode, x->low, y->low));
    widen(&result, binary(opcode, x->low, y->high));
    widen(&result, binary(opcode, x->high, y->low));
    widen(&result, binary(opcode, x->high, y->high));
    if (opcode == POINTWISE_PRELU && x->low < 0 && x->high > 0)
        widen(&result, 0);
    return result;
}

/* How far a right implementation may be off: `ulps` of the result, and `absolute` units in the last place of 1. */
struct slack {
    number ulps, absolute;
    bool flushes; /* what is about as small as a denormal may become 0 */
};

static struct slack slack_of(enum pointwise_opcode opcode, number x, number p, number q)
{
    number size = fabsl(x);
    switch (opcode) {
    case POINTWISE_MOVE:
    case POINTWISE_CONSTANT:
    case POINTWISE_NEG:
    case POINTWISE_ABS:
    case POINTWISE_SIGN:
    case POINTWISE_MIN:
    case POINTWISE_MAX:
    case POINTWISE_CLAMP:
    case POINTWISE_FLOOR:
    case POINTWISE_CEIL:
    case POINTWISE_ROUND:
    case POINTWISE_ROUND_F16:
    case POINTWISE_ROUND_BF16:
    case POINTWISE_RELU:
    case POINTWISE_THRESHOLDED_RELU:
    case POINTWISE_FMOD:
    case POINTWISE_SELECT:
        return (struct slack){0, 0, false};
    case POINTWISE_ADD:
    case POINTWISE_SUB:
    case POINTWISE_MUL:
    case POINTWISE_DIV:
    case POINTWISE_MOD:
    case POINTWISE_SQRT:
    case POINTWISE_RECIPROCAL:
    case POINTWISE_LEAKY_RELU:
    case POINTWISE_PRELU:
    case POINTWISE_SHRINK:
        return (struct slack){1, 0, false};
    case POINTWISE_SIN:
    case POINTWISE_COS:
        return (struct slack){4, 2, true};
    case POINTWISE_ELU:
    case POINTWISE_CELU:
        return (struct slack){6, fabsl(p), true};
    case POINTWISE_SELU:
        return (struct slack){6, fabsl(p * q), true};
    case POINTWISE_HARD_SIGMOID:
        return (struct slack){2, fabsl(p * x) + fabsl(q), false};
    case POINTWISE_HARD_SWISH:
        return (struct slack){3, size < 4 ? size : 0, false};
    case POINTWISE_SWISH:
        return (struct slack){6 + (fabsl(p * x) < 1000 ? fabsl(p * x) : 0), 0, true};
    case POINTWISE_GELU:
    case POINTWISE_GELU_TANH:
        return (struct slack){8, size < 40 ? 4 * size : 0, true};
    default:
        return (struct slack){5, 0, true};
    }
}

static number rounded_to(enum pointwise_class class, number x)
{
    return class == CLASS_F32 ? (number)(float)x : (number)(double)x;
}

static struct interval loosen(struct interval result, enum pointwise_class class, const struct slack *slack)
{
    enum dtype dtype = class == CLASS_F32 ? DTYPE_F32 : DTYPE_F64;
    number epsilon = number_epsilon(dtype), least = number_smallest_normal(dtype);
    if (result.open || is_nan(&result))
        return result;
    number floor = slack->ulps > 0 ? least * (slack->flushes ? 128 : epsilon) : 0;
    number size = fmaxl(fabsl(result.low), fabsl(result.high));
    if (isfinite(size)) {
        result.low -= fabsl(result.low) * epsilon * slack->ulps + epsilon * slack->absolute + floor;
        result.high += fabsl(result.high) * epsilon * slack->ulps + epsilon * slack->absolute + floor;
    }
    result.low = rounded_to(class, result.low);
    result.high = rounded_to(class, result.high);
    return result;
}

static struct interval truth(bool can_be_false, bool can_be_true)
{
    return (struct interval){.low = can_be_false ? 0 : 1, .high = can_be_true ? 1 : 0};
}

static struct interval compare(enum pointwise_opcode opcode, const struct interval *x, const struct interval *y)
{
    if (is_nan(x) || is_nan(y))
        return interval_of(0);
    if (opcode == POINTWISE_EQUAL)
        return truth(!(interval_is_point(x) && interval_is_point(y) && x->low == y->low),
                     x->low <= y->high && y->low <= x->high);
    if (opcode == POINTWISE_LESS)
        return truth(!(x->high < y->low), x->low < y->high);
    return truth(!(x->high <= y->low), x->low <= y->high);
}

static struct interval convert_float(enum pointwise_opcode opcode, const struct interval *x, number p, number q)
{
    bool infinite = interval_is_point(x) && isinf(x->low), may_be_infinite = isinf(x->low) || isinf(x->high);
    switch (opcode) {
    case POINTWISE_TO_F32:
        return (struct interval){.low = (number)(float)x->low, .high = (number)(float)x->high};
    case POINTWISE_TO_F64:
        return *x;
    case POINTWISE_TO_U64:
        if (x->low < 0 && !interval_is_point(x))
            return interval_open;
        return (struct interval){.low = interval_truncated(x->low, false), .high = interval_truncated(x->high, false)};
    case POINTWISE_TO_I64:
        return (struct interval){.low = interval_truncated(x->low, true), .high = interval_truncated(x->high, true)};
    case POINTWISE_TO_BOOL:
        return is_nan(x) ? interval_of(1) : truth(x->low <= 0 && x->high >= 0, x->low != 0 || x->high != 0);
    case POINTWISE_IS_NAN:
        return interval_of(is_nan(x));
    default: /* IS_INF */
        if (may_be_infinite && !infinite)
            return interval_open;
        return interval_of(infinite && (x->low > 0 ? p : q) != 0);
    }
}

static struct interval run_float(const struct pointwise_instruction *code, const struct interval *x,
                                 const struct interval *y, const struct interval *z)
{
    enum pointwise_opcode opcode = (enum pointwise_opcode)code->opcode;
    enum pointwise_class class = (enum pointwise_class)code->register_class;
    number p = rounded_to(class, (number)code->immediate[0]), q = rounded_to(class, (number)code->immediate[1]);
    if (opcode == POINTWISE_CONSTANT)
        return interval_of(p);
    if (opcode == POINTWISE_SELECT)
        return x->low > 0 || x->high < 0 ? *y : interval_is_point(x) ? *z : interval_hull(*y, *z);
    if (opcode == POINTWISE_EQUAL || opcode == POINTWISE_LESS || opcode == POINTWISE_LESS_EQUAL)
        return compare(opcode, x, y);
    if ((opcode >= POINTWISE_TO_F32 && opcode <= POINTWISE_TO_BOOL) || opcode == POINTWISE_IS_NAN ||
        opcode == POINTWISE_IS_INF)
        return convert_float(opcode, x, p, q);
    struct slack slack = slack_of(opcode, fmaxl(fabsl(x->low), fabsl(x->high)), p, q);
    struct interval result = pointwise_arity(opcode) == 2 ? float_binary(opcode, x, y) : float_unary(opcode, x, p, q);
    result = loosen(result, class, &slack);
    if (opcode == POINTWISE_HARD_SIGMOID && !result.open && !is_nan(&result))
        result = (struct interval){.low = fmaxl(result.low, 0), .high = fminl(result.high, 1)};
    return result;
}

/* --- programs ------------------------------------------------------------------------------------------------ */

static bool divides(const struct pointwise_instruction *code)
{
    return code->register_class >= CLASS_I64 &&
           (code->opcode == POINTWISE_DIV || code->opcode == POINTWISE_MOD || code->opcode == POINTWISE_FMOD);
}

enum run interval_run(const struct pointwise_params *program, struct interval *registers)
{
    enum run outcome = RUN_WELL;
    for (int i = 0; i < program->instruction_count; i++) {
        const struct pointwise_instruction *code = &pointwise_code(program)[i];
        const struct interval *operands[] = {&registers[code->a], &registers[code->b], &registers[code->c]};
        int arity = pointwise_arity((enum pointwise_opcode)code->opcode);
        bool open = false, selects = code->opcode == POINTWISE_SELECT;
        for (int j = 0; j < arity; j++)
            open = open || (operands[j]->open && !(selects && j > 0));
        if (divides(code) && (operands[1]->open || (operands[1]->low <= 0 && operands[1]->high >= 0))) {
            if (!operands[1]->open && interval_is_point(operands[1]))
                return RUN_FAULTS;
            outcome = RUN_UNKNOWN;
            open = true;
        }
        if (open)
            registers[code->target] = interval_open;
        else
            registers[code->target] = (code->register_class <= CLASS_F64 ? run_float : interval_run_integer)(
                code, operands[0], operands[1], operands[2]);
    }
    return outcome;
}

/* --- elements ------------------------------------------------------------------------------------------------ */

static number stored(const struct pointwise_operand *as, number value)
{
    enum dtype dtype = (enum dtype)as->dtype;
    if (dtype != DTYPE_F8E8M0)
        return number_rounded(dtype, value, as->saturate);
    return (number)small_float_to_f32(dtype, f32_to_e8m0((float)value, as->saturate, (enum e8m0_rounding)as->rounding));
}

bool interval_holds(const struct interval *interval, const struct pointwise_operand *as, number got)
{
    if (interval->open || (got >= interval->low && got <= interval->high))
        return true;
    number low = stored(as, interval->low), high = stored(as, interval->high);
    if (isnan(low) || isnan(high))
        return isnan(got) || (isnan(low) != isnan(high));
    if (dtype_is_float((enum dtype)as->dtype))
        return got >= low && got <= high;
    uint64_t span = number_to_bits(interval->high) - number_to_bits(interval->low);
    uint64_t past = number_to_bits(got) - number_to_bits(low), bits = dtype_bits((enum dtype)as->dtype);
    return (bits < 64 ? past & ((1ull << bits) - 1) : past) <= span;
}

bool interval_holds_plain(const struct interval *interval, enum dtype dtype, number got)
{
    const struct pointwise_operand as = {.dtype = (uint8_t)dtype, .rounding = E8M0_UP, .saturate = false};
    return interval_holds(interval, &as, got);
}
