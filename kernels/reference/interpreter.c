#include "kernels/reference/interpreter.h"

#include "kernels/convert.h"

#include <math.h>
#include <string.h>

typedef void instruction_function(void *target, const void *a, const void *b, const void *c, int n, const double *p);

/* One function an opcode and class; T is the class's C type, M(f) the math function of that width. */
#define UNARY(name, expression)                                                                \
    static void SUFFIX(name)(void *target, const void *a, const void *b, const void *c, int n, \
                             const double *immediate)                                          \
    {                                                                                          \
        (void)b, (void)c;                                                                      \
        T *out = target;                                                                       \
        const T *xs = a;                                                                       \
        const T p = FROM_DOUBLE(immediate[0]), q = FROM_DOUBLE(immediate[1]);                  \
        (void)p, (void)q;                                                                      \
        for (int i = 0; i < n; i++) {                                                          \
            const T x = xs[i];                                                                 \
            (void)x;                                                                           \
            out[i] = (T)(expression);                                                          \
        }                                                                                      \
    }
#define BINARY(name, expression)                                                               \
    static void SUFFIX(name)(void *target, const void *a, const void *b, const void *c, int n, \
                             const double *immediate)                                          \
    {                                                                                          \
        (void)c, (void)immediate;                                                              \
        T *out = target;                                                                       \
        const T *xs = a, *ys = b;                                                              \
        for (int i = 0; i < n; i++) {                                                          \
            const T x = xs[i], y = ys[i];                                                      \
            out[i] = (T)(expression);                                                          \
        }                                                                                      \
    }
/* From the class's type into another. */
#define CONVERSION(name, type, expression)                                                     \
    static void SUFFIX(name)(void *target, const void *a, const void *b, const void *c, int n, \
                             const double *immediate)                                          \
    {                                                                                          \
        (void)b, (void)c;                                                                      \
        type *out = target;                                                                    \
        const T *xs = a;                                                                       \
        const double p = immediate[0], q = immediate[1];                                       \
        (void)p, (void)q;                                                                      \
        for (int i = 0; i < n; i++) {                                                          \
            const T x = xs[i];                                                                 \
            out[i] = (type)(expression);                                                       \
        }                                                                                      \
    }
#define COMPARISON(name, expression)                                                           \
    static void SUFFIX(name)(void *target, const void *a, const void *b, const void *c, int n, \
                             const double *immediate)                                          \
    {                                                                                          \
        (void)c, (void)immediate;                                                              \
        int64_t *out = target;                                                                 \
        const T *xs = a, *ys = b;                                                              \
        for (int i = 0; i < n; i++) {                                                          \
            const T x = xs[i], y = ys[i];                                                      \
            out[i] = (expression);                                                             \
        }                                                                                      \
    }

/* x is I64 whatever the class. */
#define SELECTION(name)                                                                        \
    static void SUFFIX(name)(void *target, const void *a, const void *b, const void *c, int n, \
                             const double *immediate)                                          \
    {                                                                                          \
        (void)immediate;                                                                       \
        T *out = target;                                                                       \
        const int64_t *choose = a;                                                             \
        const T *ys = b, *zs = c;                                                              \
        for (int i = 0; i < n; i++)                                                            \
            out[i] = choose[i] ? ys[i] : zs[i];                                                \
    }
#define HELPER static

#define NEGATIVE(x) (IS_SIGNED && (int64_t)(x) < 0)
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define SUFFIX(name) JOIN(name, CLASS)

#define T float
#define CLASS f32
#define FROM_DOUBLE(x) (T)(x)
#define M(function) function##f
#include "kernels/reference/pointwise_float.inc"
#undef T
#undef CLASS
#undef M
#define T double
#define CLASS f64
#define M(function) function
#include "kernels/reference/pointwise_float.inc"
#undef T
#undef CLASS
#undef M
#undef FROM_DOUBLE
#define T int64_t
#define CLASS i64
#define FROM_DOUBLE(x) f64_to_i64(x)
#define IS_SIGNED 1
#include "kernels/reference/pointwise_integer.inc"
#undef T
#undef CLASS
#undef IS_SIGNED
#undef FROM_DOUBLE
#define T uint64_t
#define CLASS u64
#define FROM_DOUBLE(x) f64_to_u64(x)
#define IS_SIGNED 0
#include "kernels/reference/pointwise_integer.inc"
#undef T
#undef CLASS
#undef IS_SIGNED
#undef FROM_DOUBLE

#define ARITHMETIC(name) [POINTWISE_##name] = {name##_f32, name##_f64, name##_i64, name##_u64}
#define FLOATING(name) [POINTWISE_##name] = {name##_f32, name##_f64, NULL, NULL}
#define INTEGRAL(name) [POINTWISE_##name] = {NULL, NULL, name##_i64, name##_u64}

static instruction_function *const functions[POINTWISE_OPCODE_COUNT][CLASS_COUNT] = {
    ARITHMETIC(MOVE),       ARITHMETIC(TO_F32),     ARITHMETIC(TO_F64),    ARITHMETIC(TO_I64),
    ARITHMETIC(TO_U64),     ARITHMETIC(TO_BOOL),    ARITHMETIC(CONSTANT),  ARITHMETIC(NEG),
    ARITHMETIC(ABS),        ARITHMETIC(SIGN),       ARITHMETIC(ADD),       ARITHMETIC(SUB),
    ARITHMETIC(MUL),        ARITHMETIC(DIV),        ARITHMETIC(MOD),       ARITHMETIC(FMOD),
    ARITHMETIC(POW),        ARITHMETIC(MIN),        ARITHMETIC(MAX),       ARITHMETIC(CLAMP),
    ARITHMETIC(RELU),       ARITHMETIC(PRELU),      ARITHMETIC(EQUAL),     ARITHMETIC(LESS),
    ARITHMETIC(LESS_EQUAL), ARITHMETIC(SELECT),     FLOATING(FLOOR),       FLOATING(CEIL),
    FLOATING(ROUND),        FLOATING(SQRT),         FLOATING(ROUND_F16),   FLOATING(ROUND_BF16),
    FLOATING(RECIPROCAL),   FLOATING(EXP),          FLOATING(LOG),         FLOATING(SIN),
    FLOATING(COS),          FLOATING(TAN),          FLOATING(ASIN),        FLOATING(ACOS),
    FLOATING(ATAN),         FLOATING(SINH),         FLOATING(COSH),        FLOATING(TANH),
    FLOATING(ASINH),        FLOATING(ACOSH),        FLOATING(ATANH),       FLOATING(ERF),
    FLOATING(LEAKY_RELU),   FLOATING(ELU),          FLOATING(SELU),        FLOATING(CELU),
    FLOATING(SIGMOID),      FLOATING(HARD_SIGMOID), FLOATING(HARD_SWISH),  FLOATING(SWISH),
    FLOATING(MISH),         FLOATING(SOFTPLUS),     FLOATING(SOFTSIGN),    FLOATING(THRESHOLDED_RELU),
    FLOATING(SHRINK),       FLOATING(GELU),         FLOATING(GELU_TANH),   FLOATING(IS_NAN),
    FLOATING(IS_INF),       INTEGRAL(LOGICAL_NOT),  INTEGRAL(LOGICAL_AND), INTEGRAL(LOGICAL_OR),
    INTEGRAL(LOGICAL_XOR),  INTEGRAL(BIT_NOT),      INTEGRAL(BIT_AND),     INTEGRAL(BIT_OR),
    INTEGRAL(BIT_XOR),      INTEGRAL(SHIFT_LEFT),   INTEGRAL(SHIFT_RIGHT),
};

/* --- loads and stores ------------------------------------------------------------------------------------ */

#define LOAD(case_dtype, storage, class_type, expression)     \
    case case_dtype: {                                        \
        class_type *out = reg;                                \
        const storage *in = (const storage *)memory + offset; \
        for (int i = 0; i < n; i++) {                         \
            const storage x = in[i * step];                   \
            out[i] = (class_type)(expression);                \
        }                                                     \
        break;                                                \
    }

/* The element at a position counted in elements, of a type that is packed several a byte. */
static uint8_t packed_get(const uint8_t *bytes, int64_t position, unsigned bits)
{
    unsigned each = 8 / bits;
    return (uint8_t)(bytes[position / each] >> (unsigned)(position % each) * bits & ((1u << bits) - 1));
}

/* Elements are stored in rising order: what lies above in the byte is cleared, and so are the bits past the last one.
 */
static void packed_set(uint8_t *bytes, int64_t position, unsigned bits, uint8_t element)
{
    unsigned each = 8 / bits, shift = (unsigned)(position % each) * bits;
    uint8_t *byte = &bytes[position / each];
    unsigned below = shift ? *byte & ((1u << shift) - 1) : 0;
    *byte = (uint8_t)(below | (element & ((1u << bits) - 1)) << shift);
}

static void load_packed(void *reg, const void *memory, int64_t offset, int64_t step, int n, enum dtype dtype)
{
    unsigned bits = dtype_bits(dtype);
    for (int i = 0; i < n; i++) {
        uint8_t element = packed_get(memory, offset + i * step, bits);
        if (dtype == DTYPE_F4E2M1)
            ((float *)reg)[i] = small_float_to_f32(dtype, element);
        else if (dtype_is_signed_integer(dtype))
            ((int64_t *)reg)[i] = (int64_t)element - ((element >> (bits - 1)) ? (1 << bits) : 0);
        else
            ((int64_t *)reg)[i] = element;
    }
}

void interpreter_load(void *reg, const void *memory, int64_t offset, int64_t step, int n, enum dtype dtype)
{
    switch (dtype) {
        LOAD(DTYPE_F32, float, float, x)
        LOAD(DTYPE_F64, double, double, x)
        LOAD(DTYPE_F16, uint16_t, float, f16_to_f32(x))
        LOAD(DTYPE_BF16, uint16_t, float, bf16_to_f32(x))
        LOAD(DTYPE_U8, uint8_t, int64_t, x)
        LOAD(DTYPE_I8, int8_t, int64_t, x)
        LOAD(DTYPE_U16, uint16_t, int64_t, x)
        LOAD(DTYPE_I16, int16_t, int64_t, x)
        LOAD(DTYPE_U32, uint32_t, int64_t, x)
        LOAD(DTYPE_I32, int32_t, int64_t, x)
        LOAD(DTYPE_I64, int64_t, int64_t, x)
        LOAD(DTYPE_U64, uint64_t, uint64_t, x)
        LOAD(DTYPE_BOOL, uint8_t, int64_t, x != 0)
        LOAD(DTYPE_F8E4M3FN, uint8_t, float, small_float_to_f32(dtype, x))
        LOAD(DTYPE_F8E4M3FNUZ, uint8_t, float, small_float_to_f32(dtype, x))
        LOAD(DTYPE_F8E5M2, uint8_t, float, small_float_to_f32(dtype, x))
        LOAD(DTYPE_F8E5M2FNUZ, uint8_t, float, small_float_to_f32(dtype, x))
        LOAD(DTYPE_F8E8M0, uint8_t, float, small_float_to_f32(dtype, x))
    default:
        load_packed(reg, memory, offset, step, n, dtype);
    }
}

#define STORE(case_dtype, storage, class_type, expression) \
    case case_dtype: {                                     \
        storage *out = (storage *)memory + offset;         \
        const class_type *in = reg;                        \
        for (int i = 0; i < n; i++) {                      \
            const class_type x = in[i];                    \
            out[i * step] = (storage)(expression);         \
        }                                                  \
        break;                                             \
    }

static void store_packed(const void *reg, void *memory, int64_t offset, int64_t step, int n, enum dtype dtype)
{
    for (int i = 0; i < n; i++) {
        uint8_t element = dtype == DTYPE_F4E2M1 ? f32_to_small_float(dtype, ((const float *)reg)[i], true)
                                                : (uint8_t)((const int64_t *)reg)[i];
        packed_set(memory, offset + i * step, dtype_bits(dtype), element);
    }
}

void interpreter_store(const void *reg, void *memory, int64_t offset, int64_t step, int n,
                       const struct pointwise_operand *operand)
{
    enum dtype dtype = (enum dtype)operand->dtype;
    bool saturate = operand->saturate;
    switch (dtype) {
        STORE(DTYPE_F32, float, float, x)
        STORE(DTYPE_F64, double, double, x)
        STORE(DTYPE_F16, uint16_t, float, f32_to_f16(x))
        STORE(DTYPE_BF16, uint16_t, float, f32_to_bf16(x))
        STORE(DTYPE_U8, uint8_t, int64_t, x)
        STORE(DTYPE_I8, int8_t, int64_t, x)
        STORE(DTYPE_U16, uint16_t, int64_t, x)
        STORE(DTYPE_I16, int16_t, int64_t, x)
        STORE(DTYPE_U32, uint32_t, int64_t, x)
        STORE(DTYPE_I32, int32_t, int64_t, x)
        STORE(DTYPE_I64, int64_t, int64_t, x)
        STORE(DTYPE_U64, uint64_t, uint64_t, x)
        STORE(DTYPE_BOOL, uint8_t, int64_t, x)
        STORE(DTYPE_F8E4M3FN, uint8_t, float, f32_to_small_float(dtype, x, saturate))
        STORE(DTYPE_F8E4M3FNUZ, uint8_t, float, f32_to_small_float(dtype, x, saturate))
        STORE(DTYPE_F8E5M2, uint8_t, float, f32_to_small_float(dtype, x, saturate))
        STORE(DTYPE_F8E5M2FNUZ, uint8_t, float, f32_to_small_float(dtype, x, saturate))
        STORE(DTYPE_F8E8M0, uint8_t, float, f32_to_e8m0(x, saturate, (enum e8m0_rounding)operand->rounding))
    default:
        store_packed(reg, memory, offset, step, n, dtype);
    }
}

/* --- the interpreter ------------------------------------------------------------------------------------- */

static bool is_divide(const struct pointwise_instruction *instruction)
{
    return (instruction->opcode == POINTWISE_DIV || instruction->opcode == POINTWISE_MOD ||
            instruction->opcode == POINTWISE_FMOD) &&
           instruction->register_class >= CLASS_I64;
}

static bool has_zero(const uint64_t *divisors, int n)
{
    for (int i = 0; i < n; i++)
        if (divisors[i] == 0)
            return true;
    return false;
}

/* The result is of another class than f32, or is made of another. */
static bool leaves_f32(const struct pointwise_instruction *code)
{
    switch (code->opcode) {
    case POINTWISE_TO_F64:
    case POINTWISE_TO_I64:
    case POINTWISE_TO_U64:
    case POINTWISE_TO_BOOL:
    case POINTWISE_EQUAL:
    case POINTWISE_LESS:
    case POINTWISE_LESS_EQUAL:
    case POINTWISE_IS_NAN:
    case POINTWISE_IS_INF:
        return true;
    default:
        return code->register_class != CLASS_F32;
    }
}

/* Of one element. Programs of f32 alone, which most are, get by with half. */
static size_t register_bytes(const struct pointwise_params *p)
{
    for (int i = 0; i < p->input_count; i++)
        if (pointwise_class_of((enum dtype)p->operands[i].dtype) != CLASS_F32)
            return 8;
    for (int i = 0; i < p->instruction_count; i++)
        if (leaves_f32(&pointwise_code(p)[i]))
            return 8;
    return 4;
}

/* Registers that the program touches. */
static int register_count(const struct pointwise_params *p)
{
    int count = p->input_count;
    for (int i = 0; i < p->instruction_count; i++) {
        int target = pointwise_code(p)[i].target;
        count = target >= count ? target + 1 : count;
    }
    return count;
}

size_t interpreter_bytes(const struct pointwise_params *p, int64_t longest)
{
    return (size_t)register_count(p) * align_up((size_t)longest * register_bytes(p), ALIGNMENT);
}

bool interpreter_supports(const struct pointwise_params *p)
{
    for (int i = 0; i < pointwise_operand_count(p); i++) {
        enum dtype dtype = (enum dtype)p->operands[i].dtype;
        if (dtype_bits(dtype) == 0 || dtype_bits(dtype) > 64 || dtype == DTYPE_C64)
            return false;
    }
    for (int i = 0; i < p->instruction_count; i++)
        if (!functions[pointwise_code(p)[i].opcode][pointwise_code(p)[i].register_class])
            return false;
    return true;
}

bool interpreter_instruct(const struct pointwise_instruction *instruction, void *target, const void *a, const void *b,
                          const void *c, int n)
{
    if (is_divide(instruction) && has_zero(b, n))
        return false;
    functions[instruction->opcode][instruction->register_class](target, a, b, c, n, instruction->immediate);
    return true;
}

float interpreter_f32(enum pointwise_opcode opcode, float x, float y, const double *immediate)
{
    float result;
    functions[opcode][CLASS_F32](&result, &x, &y, NULL, 1, immediate);
    return result;
}

void interpreter_run(const struct pointwise_params *p, const struct kernel_call *call, const int64_t *offsets,
                     const int64_t *steps, int n, instruct_function *instruct)
{
    const struct pointwise_instruction *code = pointwise_code(p);
    size_t each = align_up((size_t)n * register_bytes(p), ALIGNMENT);
    void *registers[POINTWISE_MAX_REGISTERS];
    for (int i = 0; i < POINTWISE_MAX_REGISTERS; i++)
        registers[i] = (char *)call->workspace + (size_t)i * each;
    for (int i = 0; i < p->input_count; i++)
        interpreter_load(registers[i], call->inputs[i], offsets[i], steps[i], n, (enum dtype)p->operands[i].dtype);
    for (int i = 0; i < p->instruction_count; i++) {
        if (!instruct(&code[i], registers[code[i].target], registers[code[i].a], registers[code[i].b],
                      registers[code[i].c], n)) {
            kernel_fault(call, "integer division by zero");
            return;
        }
    }
    for (int i = 0; i < p->output_count; i++) {
        int k = p->input_count + i;
        const struct pointwise_operand *out = &p->operands[k];
        interpreter_store(registers[out->reg], call->outputs[i], offsets[k], steps[k], n, out);
    }
}
