/* Instructions of the integer classes. */
#include "tools/problems/interval_parts.h"

#include <math.h>

/* Towards zero, within 64 bits; NaN is 0. */
number interval_truncated(number x, bool is_signed)
{
    number low = -0x1p63L, high = is_signed ? 0x1p63L - 1 : 0x1p64L - 1;
    if (isnan(x))
        return 0;
    x = truncl(x) + 0; /* no integer is -0 */
    x = x < low ? low : x > high ? high : x;
    return !is_signed && x < 0 ? (number)number_to_bits(x) : x;
}

static number number_of(uint64_t bits, bool is_signed)
{
    return is_signed ? number_of_signed(bits) : (number)bits;
}

static uint64_t integer_power(uint64_t base, uint64_t exponent, bool is_signed)
{
    if (is_signed && (int64_t)exponent < 0)
        return base == 1 ? 1 : base == ~0ull ? (exponent & 1 ? ~0ull : 1) : 0;
    uint64_t result = 1;
    for (int bit = 63; bit >= 0; bit--) {
        result *= result;
        if (exponent >> bit & 1)
            result *= base;
    }
    return result;
}

/* Division of magnitudes, which never overflows; y is not 0. */
static uint64_t divide(enum pointwise_opcode opcode, uint64_t x, uint64_t y, bool is_signed)
{
    bool x_negative = is_signed && (int64_t)x < 0, y_negative = is_signed && (int64_t)y < 0;
    uint64_t a = x_negative ? 0 - x : x, b = y_negative ? 0 - y : y;
    if (opcode == POINTWISE_DIV)
        return x_negative != y_negative ? 0 - a / b : a / b;
    uint64_t rest = x_negative ? 0 - a % b : a % b;
    return opcode == POINTWISE_MOD && rest != 0 && x_negative != y_negative ? rest + y : rest;
}

static uint64_t shifted(enum pointwise_opcode opcode, uint64_t x, uint64_t count, bool negative)
{
    if (opcode == POINTWISE_SHIFT_LEFT)
        return count > 63 ? 0 : x << count;
    if (count > 63)
        return negative ? ~0ull : 0;
    return negative ? ~(~x >> count) : x >> count;
}

static uint64_t integer_binary(enum pointwise_opcode opcode, uint64_t x, uint64_t y, bool is_signed)
{
    number a = number_of(x, is_signed), b = number_of(y, is_signed);
    switch (opcode) {
    case POINTWISE_ADD:
        return x + y;
    case POINTWISE_SUB:
        return x - y;
    case POINTWISE_MUL:
        return x * y;
    case POINTWISE_POW:
        return integer_power(x, y, is_signed);
    case POINTWISE_PRELU:
        return a < 0 ? x * y : x;
    case POINTWISE_MIN:
        return a < b ? x : y;
    case POINTWISE_MAX:
        return a > b ? x : y;
    case POINTWISE_EQUAL:
        return a == b;
    case POINTWISE_LESS:
        return a < b;
    case POINTWISE_LESS_EQUAL:
        return a <= b;
    case POINTWISE_LOGICAL_AND:
        return x != 0 && y != 0;
    case POINTWISE_LOGICAL_OR:
        return x != 0 || y != 0;
    case POINTWISE_LOGICAL_XOR:
        return (x != 0) != (y != 0);
    case POINTWISE_BIT_AND:
        return x & y;
    case POINTWISE_BIT_OR:
        return x | y;
    case POINTWISE_BIT_XOR:
        return x ^ y;
    case POINTWISE_SHIFT_LEFT:
    case POINTWISE_SHIFT_RIGHT:
        return shifted(opcode, x, y, is_signed && (int64_t)x < 0);
    default:
        return divide(opcode, x, y, is_signed);
    }
}

static uint64_t integer_unary(const struct pointwise_instruction *code, uint64_t x, bool is_signed)
{
    number p = interval_truncated((number)code->immediate[0], is_signed),
           q = interval_truncated((number)code->immediate[1], is_signed);
    bool negative = is_signed && (int64_t)x < 0;
    number a = number_of(x, is_signed);
    switch ((enum pointwise_opcode)code->opcode) {
    case POINTWISE_CONSTANT:
        return number_to_bits(p);
    case POINTWISE_NEG:
        return 0 - x;
    case POINTWISE_ABS:
        return negative ? 0 - x : x;
    case POINTWISE_SIGN:
        return negative ? ~(uint64_t)0 : (uint64_t)(x != 0);
    case POINTWISE_CLAMP:
        return number_to_bits((a < p ? p : a) > q ? q : a < p ? p : a);
    case POINTWISE_RELU:
        return negative ? 0 : x;
    case POINTWISE_LOGICAL_NOT:
        return x == 0;
    case POINTWISE_BIT_NOT:
        return ~x;
    case POINTWISE_TO_BOOL:
        return x != 0;
    default: /* MOVE, TO_I64, TO_U64 */
        return x;
    }
}

/* Where an operand is only known to lie between two numbers: what requantisation does. */
static struct interval integer_range(const struct pointwise_instruction *code, const struct interval *x,
                                     const struct interval *y)
{
    enum pointwise_opcode opcode = (enum pointwise_opcode)code->opcode;
    bool is_signed = code->register_class == CLASS_I64;
    number p = interval_truncated((number)code->immediate[0], is_signed);
    number q = interval_truncated((number)code->immediate[1], is_signed);
    struct interval result = interval_open;
    if (opcode == POINTWISE_MOVE)
        return *x;
    if (opcode == POINTWISE_CLAMP)
        result = (struct interval){.low = fminl(fmaxl(x->low, p), q), .high = fminl(fmaxl(x->high, p), q)};
    if (opcode == POINTWISE_RELU)
        result = (struct interval){.low = fmaxl(x->low, 0), .high = fmaxl(x->high, 0)};
    if (opcode == POINTWISE_ADD)
        result = (struct interval){.low = x->low + y->low, .high = x->high + y->high};
    if (opcode == POINTWISE_MIN)
        result = (struct interval){.low = fminl(x->low, y->low), .high = fminl(x->high, y->high)};
    if (opcode == POINTWISE_MAX)
        result = (struct interval){.low = fmaxl(x->low, y->low), .high = fmaxl(x->high, y->high)};
    bool wraps = result.low < -0x1p63L || result.high >= 0x1p63L;
    return wraps ? interval_open : result;
}

struct interval interval_run_integer(const struct pointwise_instruction *code, const struct interval *x,
                                     const struct interval *y, const struct interval *z)
{
    enum pointwise_opcode opcode = (enum pointwise_opcode)code->opcode;
    bool is_signed = code->register_class == CLASS_I64;
    int arity = pointwise_arity(opcode);
    if (opcode == POINTWISE_TO_F32 || opcode == POINTWISE_TO_F64) {
        enum dtype dtype = opcode == POINTWISE_TO_F32 ? DTYPE_F32 : DTYPE_F64;
        return (struct interval){.low = number_rounded(dtype, x->low, false),
                                 .high = number_rounded(dtype, x->high, false)};
    }
    if (opcode == POINTWISE_SELECT)
        return x->low > 0 || x->high < 0 ? *y : interval_is_point(x) ? *z : interval_hull(*y, *z);
    if ((arity > 0 && !interval_is_point(x)) || (arity > 1 && !interval_is_point(y)))
        return integer_range(code, x, y);
    bool result_signed = opcode == POINTWISE_TO_I64 || opcode == POINTWISE_TO_BOOL || opcode == POINTWISE_EQUAL ||
                         opcode == POINTWISE_LESS || opcode == POINTWISE_LESS_EQUAL ||
                         (is_signed && opcode != POINTWISE_TO_U64);
    uint64_t bits = arity == 2 ? integer_binary(opcode, number_to_bits(x->low), number_to_bits(y->low), is_signed)
                               : integer_unary(code, arity ? number_to_bits(x->low) : 0, is_signed);
    return interval_of(number_of(bits, result_signed));
}
