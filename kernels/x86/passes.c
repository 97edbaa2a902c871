#include "kernels/x86/passes.h"

#include "kernels/reference/interpreter.h"
#include "kernels/x86/vector_math.h"

/* One function a pass. `n` elements in whole vectors, and then what is left. Loops of what models of floats are full of
 * are unrolled, which is a few per cent of it. */
#define UNROLLED _Pragma("GCC unroll 2")

#define HEADER(name) static bool run_##name(const struct pass *pass, const struct pass_places *at, int64_t n)
#define EACH_VECTOR(unrolled, full, part)       \
    int64_t i = 0;                              \
    unrolled for (; i + LANES <= n; i += LANES) \
    {                                           \
        full;                                   \
    }                                           \
    if (i < n) {                                \
        const int64_t left = n - i;             \
        part;                                   \
    }                                           \
    return true;

static inline vi truth(vm m)
{
    return vi_select(m, vi_set(1), vi_set(0));
}

static inline vm is_true(vi x)
{
    return vm_not(vi_equal(x, vi_set(0)));
}

static inline vi truncated(vf x)
{
    return vi_select(vf_is_nan(x), vi_set(0), vf_truncate(x));
}

/* --- any number of elements --------------------------------------------------------------------------------- */

/* Whole vectors of elements of 4 bytes. From one vector to the next an operand goes on by `step` elements, none where
 * it is one number; of functions of one operand, b is two floats, their immediate operands. */
typedef void vectors_function(void *target, const void *a, int64_t step_a, const void *b, int64_t step_b,
                              int64_t vectors);

/* One number is spread out in a vector's place, so that there is one loop for all, and what is no whole vector is
 * copied to where there is one. numbers: NULL, or what stands for b. */
static bool run_vectors(const struct pass_places *at, const float *numbers, int64_t n, vectors_function *function)
{
    const int32_t *a = at->a;
    const void *b = numbers ? (const void *)numbers : at->b;
    int32_t spread_a[LANES], spread_b[LANES], result[LANES], *to = at->target;
    const int64_t step_a = at->scalar & 1 ? 0 : LANES, step_b = numbers || at->scalar & 2 ? 0 : LANES, left = n % LANES;
    if (!step_a) {
        vi_store(spread_a, vi_set(*a));
        a = spread_a;
    }
    if (!step_b && !numbers) {
        vi_store(spread_b, vi_set(*(const int32_t *)b));
        b = spread_b;
    }
    function(to, a, step_a, b, step_b, n / LANES);
    if (left == 0)
        return true;
    if (step_a) {
        vi_store(spread_a, vi_load_part(a + n - left, left));
        a = spread_a;
    }
    if (step_b) {
        vi_store(spread_b, vi_load_part((const int32_t *)b + n - left, left));
        b = spread_b;
    }
    function(result, a, 0, b, 0, 1);
    vi_store_part(to + n - left, vi_load(result), left);
    return true;
}

#define VECTORS(name)                                                                                      \
    static void vectors_##name(void *target, const void *a, int64_t step_a, const void *b, int64_t step_b, \
                               int64_t vectors)
/* For what has no immediate operands. */
static const float no_numbers[2];

/* --- one operand ------------------------------------------------------------------------------------------------ */

#define UNARY(name, expression)                                                    \
    VECTORS(name)                                                                  \
    {                                                                              \
        float *to = target;                                                        \
        const float *from = a, *numbers = b;                                       \
        const vf p = vf_set(numbers[0]), q = vf_set(numbers[1]), zero = vf_set(0); \
        (void)p, (void)q, (void)zero, (void)step_b;                                \
        UNROLLED for (int64_t i = 0; i < vectors; i++, from += step_a)             \
        {                                                                          \
            const vf x = vf_load(from);                                            \
            vf_store(to + i * LANES, expression);                                  \
        }                                                                          \
    }                                                                              \
    HEADER(name)                                                                   \
    {                                                                              \
        const double *immediate = pass->instruction->immediate;                    \
        const float numbers[] = {(float)immediate[0], (float)immediate[1]};        \
        return run_vectors(at, numbers, n, vectors_##name);                        \
    }
/* Of long expressions there is one for both kinds of vectors. */
#define LONG_UNARY(name, expression)                                                                        \
    HEADER(name)                                                                                            \
    {                                                                                                       \
        float *to = at->target;                                                                             \
        const float *from = at->a;                                                                          \
        const float p = (float)pass->instruction->immediate[0], q = (float)pass->instruction->immediate[1]; \
        (void)p, (void)q;                                                                                   \
        for (int64_t i = 0; i < n; i += LANES) {                                                            \
            bool full = i + LANES <= n;                                                                     \
            const vf x = full ? vf_load(from + i) : vf_load_part(from + i, n - i);                          \
            const vf y = (expression);                                                                      \
            if (full)                                                                                       \
                vf_store(to + i, y);                                                                        \
            else                                                                                            \
                vf_store_part(to + i, y, n - i);                                                            \
        }                                                                                                   \
        return true;                                                                                        \
    }

UNARY(NEG, vf_neg(x))
UNARY(ABS, vf_abs(x))
UNARY(SIGN, vf_select(vf_less(zero, x), vf_set(1), vf_select(vf_less(x, zero), vf_set(-1), x)))
UNARY(CLAMP, vf_min(q, vf_max(p, x)))
UNARY(CLAMP_TRUNCATE, vi_as_floats(truncated(vf_min(q, vf_max(p, x)))))
UNARY(FLOOR, vf_floor(x))
UNARY(CEIL, vf_ceil(x))
UNARY(ROUND, vf_round(x))
UNARY(ROUND_F16, vf_round_f16(x))
UNARY(ROUND_BF16, vf_round_bf16(x))
UNARY(SQRT, vf_sqrt(x))
UNARY(RECIPROCAL, vf_div(vf_set(1), x))
UNARY(RELU, vf_max(zero, x))
UNARY(LEAKY_RELU, vf_select(vf_less(x, zero), vf_mul(p, x), x))
UNARY(HARD_SIGMOID, vf_min(vf_set(1), vf_max(zero, vf_fma(p, x, q))))
UNARY(HARD_SWISH, vf_hard_swish(x))
UNARY(SOFTSIGN, vf_div(x, vf_add(vf_set(1), vf_abs(x))))
UNARY(THRESHOLDED_RELU, vf_select(vf_less(p, x), x, zero))
UNARY(SHRINK, vf_select(vf_less(x, vf_neg(p)), vf_add(x, q), vf_select(vf_less(p, x), vf_sub(x, q), zero)))
LONG_UNARY(EXP, vf_exp(x))
LONG_UNARY(LOG, vf_log(x))
LONG_UNARY(SIN, vf_sin(x))
LONG_UNARY(COS, vf_cos(x))
LONG_UNARY(TANH, vf_tanh(x))
LONG_UNARY(ERF, vf_erf(x))
LONG_UNARY(ELU, vf_elu(x, p))
LONG_UNARY(SELU, vf_mul(vf_set(q), vf_elu(x, p)))
LONG_UNARY(CELU, vf_celu(x, p))
LONG_UNARY(SIGMOID, vf_sigmoid(x))
LONG_UNARY(SWISH, vf_mul_sigmoid(x, vf_mul(vf_set(p), x)))
LONG_UNARY(MISH, vf_mish(x))
LONG_UNARY(SOFTPLUS, vf_softplus(x))
LONG_UNARY(GELU, vf_gelu(x))
LONG_UNARY(GELU_TANH, vf_gelu_tanh(x))

/* --- two operands, either of which may be one number ---------------------------------------------------------- */

#define BINARY(name, unrolled, vector, type, store, result, expression)                    \
    VECTORS(name)                                                                          \
    {                                                                                      \
        result *to = target;                                                               \
        const type *from_a = a, *from_b = b;                                               \
        unrolled for (int64_t i = 0; i < vectors; i++, from_a += step_a, from_b += step_b) \
        {                                                                                  \
            const vector##_t x = vector##_load(from_a), y = vector##_load(from_b);         \
            store(to + i * LANES, expression);                                             \
        }                                                                                  \
    }                                                                                      \
    HEADER(name)                                                                           \
    {                                                                                      \
        (void)pass;                                                                        \
        return run_vectors(at, NULL, n, vectors_##name);                                   \
    }
typedef vf vf_t;
typedef vi vi_t;
#define FLOATS(name, expression) BINARY(name, UNROLLED, vf, float, vf_store, float, expression)
#define COMPARISON(name, expression) BINARY(name, , vf, float, vi_store, int32_t, truth(expression))
#define INTEGERS(name, expression) BINARY(name, , vi, int32_t, vi_store, int32_t, expression)

FLOATS(ADD, vf_add(x, y))
FLOATS(SUB, vf_sub(x, y))
FLOATS(MUL, vf_mul(x, y))
FLOATS(DIV, vf_div(x, y))
FLOATS(DIV_ROUND, vf_round(vf_div(x, y)))
FLOATS(MIN, vf_smaller(x, y))
FLOATS(MAX, vf_larger(x, y))
FLOATS(PRELU, vf_select(vf_less(x, vf_set(0)), vf_mul(x, y), x))
COMPARISON(EQUAL, vf_equal(x, y))
COMPARISON(LESS, vf_less(x, y))
COMPARISON(LESS_EQUAL, vf_less_equal(x, y))
INTEGERS(ADD_I32, vi_add(x, y))
INTEGERS(SUB_I32, vi_sub(x, y))
INTEGERS(MUL_I32, vi_mul(x, y))
INTEGERS(MIN_I32, vi_min(x, y))
INTEGERS(MAX_I32, vi_max(x, y))
INTEGERS(EQUAL_I32, truth(vi_equal(x, y)))
INTEGERS(LESS_I32, truth(vi_less(x, y)))
INTEGERS(LESS_EQUAL_I32, truth(vm_not(vi_less(y, x))))
INTEGERS(LOGICAL_AND, truth(vm_and(is_true(x), is_true(y))))
INTEGERS(LOGICAL_OR, truth(is_true(vi_or(x, y))))
INTEGERS(LOGICAL_XOR, truth(vm_not(vi_equal(truth(is_true(x)), truth(is_true(y))))))

/* --- from one type to another ----------------------------------------------------------------------------------- */

#define CONVERSION(name, vector, type, store, result, expression) \
    VECTORS(name)                                                 \
    {                                                             \
        result *to = target;                                      \
        const type *from = a;                                     \
        (void)b, (void)step_b;                                    \
        for (int64_t i = 0; i < vectors; i++, from += step_a) {   \
            const vector##_t x = vector##_load(from);             \
            store(to + i * LANES, expression);                    \
        }                                                         \
    }                                                             \
    HEADER(name)                                                  \
    {                                                             \
        (void)pass;                                               \
        return run_vectors(at, no_numbers, n, vectors_##name);    \
    }
CONVERSION(IS_NAN, vf, float, vi_store, int32_t, truth(vf_is_nan(x)))
CONVERSION(TO_BOOL, vf, float, vi_store, int32_t, truth(vm_not(vf_equal(x, vf_set(0)))))
CONVERSION(TRUNCATE, vf, float, vi_store, int32_t, truncated(x))
CONVERSION(TO_BOOL_I32, vi, int32_t, vi_store, int32_t, truth(is_true(x)))
CONVERSION(LOGICAL_NOT, vi, int32_t, vi_store, int32_t, truth(vi_equal(x, vi_set(0))))
CONVERSION(TO_F32, vi, int32_t, vf_store, float, vi_to_floats(x))

#define SCALAR_LOOP(name, type, result, expression) \
    HEADER(name)                                    \
    {                                               \
        (void)pass;                                 \
        result *to = at->target;                    \
        const type *from = at->a;                   \
        for (int64_t i = 0; i < n; i++)             \
            to[i] = (result)(expression);           \
        return true;                                \
    }
SCALAR_LOOP(WIDEN, int32_t, int64_t, from[i])
SCALAR_LOOP(NARROW, int64_t, int32_t, from[i])
SCALAR_LOOP(TEST, int64_t, int32_t, from[i] != 0)
SCALAR_LOOP(EXPAND_64, int64_t, int64_t, *from)

HEADER(EXPAND_32)
{
    (void)pass;
    int32_t *to = at->target;
    const vi x = vi_set(*(const int32_t *)at->a);
    EACH_VECTOR(, vi_store(to + i, x), vi_store_part(to + i, x, left))
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

HEADER(CONSTANT)
{
    (void)n;
    *(float *)at->target = (float)pass->instruction->immediate[0];
    return true;
}

HEADER(CONSTANT_I32)
{
    (void)n;
    *(int32_t *)at->target = (int32_t)pass->instruction->immediate[0];
    return true;
}

HEADER(SELECT)
{
    (void)pass;
    float *to = at->target;
    const int32_t *choice = at->a;
    const float *a = at->b, *b = at->c;
    const vi all = vi_set(*choice);
    const vf x = vf_set(*a), y = vf_set(*b);
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t count = n - i < LANES ? n - i : LANES;
        vi chosen = at->scalar & 1 ? all : vi_load_part(choice + i, count);
        vf then = at->scalar & 2 ? x : vf_load_part(a + i, count);
        vf otherwise = at->scalar & 4 ? y : vf_load_part(b + i, count);
        vf_store_part(to + i, vf_select(is_true(chosen), then, otherwise), count);
    }
    return true;
}

static inline vf operand_at(const float *from, bool scalar, int64_t i, int64_t count)
{
    return scalar ? vf_set(*from) : vf_load_part(from + i, count);
}

static inline vf mul_add(vf x, vf y, vf z)
{
    return vf_add(vf_mul(x, y), z);
}

HEADER(MUL_ADD)
{
    (void)pass;
    float *to = at->target;
    const float *a = at->a, *b = at->b, *c = at->c;
    int64_t i = 0;
    if (at->scalar == 6) { /* the numbers of a channel */
        const vf y = vf_set(*b), z = vf_set(*c);
        for (; i + LANES <= n; i += LANES)
            vf_store(to + i, mul_add(vf_load(a + i), y, z));
    }
    for (; at->scalar == 0 && i + LANES <= n; i += LANES)
        vf_store(to + i, mul_add(vf_load(a + i), vf_load(b + i), vf_load(c + i)));
    for (; i < n; i += LANES) {
        int64_t count = n - i < LANES ? n - i : LANES;
        vf x = operand_at(a, at->scalar & 1, i, count), y = operand_at(b, at->scalar & 2, i, count);
        vf_store_part(to + i, mul_add(x, y, operand_at(c, at->scalar & 4, i, count)), count);
    }
    return true;
}

/* Powers that roots and products give: of a vector, and of one number, to the same bits. Infinity below 0 is what a
 * root cannot tell; and a root of -0 is -0, where the power is 0. */
static bool is_easy(float power)
{
    return power == 0.25f || power == 0.5f || power == 0.75f || power == 2 || power == 3;
}
static vf raised(vf x, float power)
{
    if (power >= 2)
        return power == 2 ? vf_mul(x, x) : vf_mul(vf_mul(x, x), x);
    vf root = vf_select(vf_equal(x, vf_set(-INFINITY)), vf_set(INFINITY), vf_sqrt(vf_add(x, vf_set(0))));
    return power == 0.5f ? root : power == 0.25f ? vf_sqrt(root) : vf_mul(root, vf_sqrt(root));
}

HEADER(POW)
{
    (void)pass;
    float *to = at->target;
    const float *a = at->a, *b = at->b;
    bool scalar_a = at->scalar & 1, scalar_b = at->scalar & 2;
    if (scalar_b && is_easy(*b)) {
        for (int64_t i = 0; i < n; i += LANES) {
            int64_t count = n - i < LANES ? n - i : LANES;
            vf_store_part(to + i, raised(operand_at(a, scalar_a, i, count), *b), count);
        }
        return true;
    }
    for (int64_t i = 0; i < n; i++) {
        float x = scalar_a ? *a : a[i], power = scalar_b ? *b : b[i];
        to[i] = is_easy(power) ? vf_first(raised(vf_set(x), power)) : powf(x, power);
    }
    return true;
}

HEADER(REFERENCE)
{
    return interpreter_instruct(pass->instruction, at->target, at->a, at->b, at->c, (int)n);
}

pass_function *const SET_NAME(pass_functions)[PASS_COUNT] = {
#define PASS(name) run_##name,
#include "kernels/passes.def"
#undef PASS
};
