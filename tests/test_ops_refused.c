/* Attributes and inputs that an operator refuses, with the sentence; beside many, the nearest that it takes. */
#include "tests/op_test.h"
#include "tests/suites.h"

#include <string.h>

#define ML "ai.onnx.ml"
#define MICROSOFT "com.microsoft"

struct trial {
    const char *text; /* that the sentence holds; NULL: it runs */
    const char *op, *domain;
    enum status status; /* 0: INVALID_MODEL where there is a text */
    int version, outputs;
    int input_count, attribute_count;
    struct test_tensor inputs[9];
    struct attribute attributes[8];
    uint64_t constants;
};

static const double zeros[1 << 12];
static const int64_t eight_ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};

#define F32(rank, ...) TENSOR(DTYPE_F32, zeros, rank, __VA_ARGS__)
#define F64(rank, ...) TENSOR(DTYPE_F64, zeros, rank, __VA_ARGS__)
#define I64(rank, ...) TENSOR(DTYPE_I64, zeros, rank, __VA_ARGS__)
#define I32(rank, ...) TENSOR(DTYPE_I32, zeros, rank, __VA_ARGS__)
#define U8(rank, ...) TENSOR(DTYPE_U8, zeros, rank, __VA_ARGS__)
#define RANK_8 F32(8, 1, 1, 1, 1, 1, 1, 1, 1)
#define ARRAY(...) ((const int64_t[]){__VA_ARGS__})
#define COUNT(...) (sizeof ARRAY(__VA_ARGS__) / sizeof(int64_t))
#define VECTOR(...) TENSOR(DTYPE_I64, ARRAY(__VA_ARGS__), 1, COUNT(__VA_ARGS__))
#define NUMBER(number) TENSOR(DTYPE_I64, ARRAY(number), 0, 0)
#define FLOAT(number) TENSOR(DTYPE_F32, ((const float[]){number}), 0, 0)
#define TRUE_VALUE TENSOR(DTYPE_BOOL, "\1", 0, 0)
#define LIST(name, ...) ATTRIBUTE_LIST(name, COUNT(__VA_ARGS__), ARRAY(__VA_ARGS__))
#define FLOATS(text, ...)                                                                                        \
    {                                                                                                            \
        .name = (text), .kind = ATTRIBUTE_FLOATS, .count = sizeof((const float[]){__VA_ARGS__}) / sizeof(float), \
        .floats = (const float[])                                                                                \
        {                                                                                                        \
            __VA_ARGS__                                                                                          \
        }                                                                                                        \
    }
#define IN(...)                                                                                           \
    .input_count = (int)(sizeof((const struct test_tensor[]){__VA_ARGS__}) / sizeof(struct test_tensor)), \
    .inputs = {__VA_ARGS__}
#define WITH(...)                                                                                         \
    .attribute_count = (int)(sizeof((const struct attribute[]){__VA_ARGS__}) / sizeof(struct attribute)), \
    .attributes = {__VA_ARGS__}

static void try_all(const struct trial *trials, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct trial *t = &trials[i];
        struct test_tensor outputs[8];
        struct error error = {0};
        const struct op_call call = {.domain = t->domain,
                                     .op = t->op,
                                     .version = t->version  ? t->version
                                                : t->domain ? 1
                                                            : 0,
                                     .input_count = t->input_count,
                                     .output_count = t->outputs ? t->outputs : 1,
                                     .attribute_count = t->attribute_count,
                                     .inputs = t->inputs,
                                     .outputs = outputs,
                                     .attributes = t->attributes,
                                     .constants = t->constants};
        enum status wanted = !t->text ? STATUS_OK : t->status ? t->status : STATUS_INVALID_MODEL;
        enum status status = run_op_status(&call, &error);
        ck_assert_msg(status == wanted && strstr(error.text, t->text ? t->text : ""), "%s, trial %zu: %d, '%s'", t->op,
                      i, (int)status, error.text);
    }
}

#define TRY_ALL(trials) try_all(trials, sizeof(trials) / sizeof *(trials))

#define ARGUMENT .status = STATUS_INVALID_ARGUMENT
#define UNSUPPORTED .status = STATUS_UNSUPPORTED

/* --- attention ------------------------------------------------------------------------------------------- */

#define HEADS F32(4, 1, 2, 3, 4)
#define PACKED F32(3, 1, 3, 4)

START_TEST(attention)
{
    const struct trial trials[] = {
        {NULL, "Attention", IN(HEADS, HEADS, HEADS)},
        {"qk_matmul_output_mode is 4", "Attention", IN(HEADS, HEADS, HEADS),
         WITH(ATTRIBUTE_I("qk_matmul_output_mode", 4))},
        {"qk_matmul_output_mode is -1", "Attention", IN(HEADS, HEADS, HEADS),
         WITH(ATTRIBUTE_I("qk_matmul_output_mode", -1))},
        {NULL, "Attention", IN(HEADS, HEADS, HEADS), WITH(ATTRIBUTE_I("qk_matmul_output_mode", 3))},
        {"softmax_precision 7", "Attention", IN(HEADS, HEADS, HEADS), WITH(ATTRIBUTE_I("softmax_precision", 7))},
        {"softmax_precision -1", "Attention", IN(HEADS, HEADS, HEADS), WITH(ATTRIBUTE_I("softmax_precision", -1))},
        {"softmax_precision 99", "Attention", IN(HEADS, HEADS, HEADS), WITH(ATTRIBUTE_I("softmax_precision", 99))},
        {NULL, "Attention", IN(HEADS, HEADS, HEADS), WITH(ATTRIBUTE_I("softmax_precision", 1))},
        {"a window size is negative", "Attention", IN(HEADS, HEADS, HEADS), WITH(ATTRIBUTE_I("left_window_size", -2))},
        {"a window size is negative", "Attention", IN(HEADS, HEADS, HEADS), WITH(ATTRIBUTE_I("right_window_size", -2))},
        {NULL, "Attention", IN(HEADS, HEADS, HEADS),
         WITH(ATTRIBUTE_I("left_window_size", -1), ATTRIBUTE_I("right_window_size", -1))},
        {"come together", "Attention", IN(HEADS, HEADS, HEADS, ABSENT, F32(4, 1, 2, 1, 4))},
        {"come together", "Attention", IN(HEADS, HEADS, HEADS, ABSENT, ABSENT, F32(4, 1, 2, 1, 4))},
        {NULL, "Attention", IN(HEADS, HEADS, HEADS, ABSENT, F32(4, 1, 2, 1, 4), F32(4, 1, 2, 1, 4)), .outputs = 3},
        {"the cache, input 4", "Attention", IN(HEADS, HEADS, HEADS, ABSENT, F32(4, 1, 1, 1, 4), F32(4, 1, 2, 1, 4)),
         ARGUMENT, .outputs = 3},
        {"the cache, input 4", "Attention", IN(HEADS, HEADS, HEADS, ABSENT, F32(4, 2, 2, 1, 4), F32(4, 1, 2, 1, 4)),
         ARGUMENT, .outputs = 3},
        {"the cache, input 4", "Attention", IN(HEADS, HEADS, HEADS, ABSENT, F32(4, 1, 2, 1, 3), F32(4, 1, 2, 1, 4)),
         ARGUMENT, .outputs = 3},
        {"the cache, input 5", "Attention", IN(HEADS, HEADS, HEADS, ABSENT, F32(4, 1, 2, 1, 4), F32(4, 1, 2, 2, 4)),
         ARGUMENT, .outputs = 3},
        {"cannot be cut into 3 heads", "Attention", IN(PACKED, PACKED, PACKED),
         WITH(ATTRIBUTE_I("q_num_heads", 3), ATTRIBUTE_I("kv_num_heads", 2))},
        {"cannot be cut into 0 heads", "Attention", IN(PACKED, PACKED, PACKED),
         WITH(ATTRIBUTE_I("q_num_heads", 0), ATTRIBUTE_I("kv_num_heads", 2))},
        {NULL, "Attention", IN(PACKED, PACKED, PACKED),
         WITH(ATTRIBUTE_I("q_num_heads", 4), ATTRIBUTE_I("kv_num_heads", 4))},
        {"do not fit", "Attention", IN(HEADS, F32(4, 1, 3, 3, 4), F32(4, 1, 3, 3, 4)), ARGUMENT},
        {"do not fit", "Attention", IN(HEADS, HEADS, F32(4, 1, 2, 2, 4)), ARGUMENT},
        {"do not fit", "Attention", IN(HEADS, F32(4, 1, 2, 3, 5), HEADS), ARGUMENT},
        {"do not fit", "Attention", IN(HEADS, F32(4, 2, 2, 3, 4), F32(4, 2, 2, 3, 4)), ARGUMENT},
        {NULL, "Attention", IN(HEADS, F32(4, 1, 1, 5, 4), F32(4, 1, 1, 5, 6))},
        {"a mask of shape 2x3", "Attention", IN(HEADS, HEADS, HEADS, F32(2, 2, 3)), ARGUMENT},
        {"a mask of shape 3x4", "Attention", IN(HEADS, HEADS, HEADS, F32(2, 3, 4)), ARGUMENT},
        {NULL, "Attention", IN(HEADS, HEADS, HEADS, F32(2, 1, 3))},
        {NULL, "Attention", IN(HEADS, HEADS, HEADS, F32(2, 3, 2))},
        {NULL, "Attention", IN(HEADS, HEADS, HEADS, ABSENT, ABSENT, ABSENT, VECTOR(2))},
        {"one count of valid keys", "Attention", IN(HEADS, HEADS, HEADS, ABSENT, ABSENT, ABSENT, VECTOR(2, 2)),
         ARGUMENT},
        {"one count of valid keys", "Attention", IN(HEADS, HEADS, HEADS, ABSENT, ABSENT, ABSENT, NUMBER(2)), ARGUMENT},
    };
    TRY_ALL(trials);
}
END_TEST

/* One head of four, without a past. */
#define GROUPED(...) IN(F32(3, 1, 2, 4), F32(3, 1, 2, 4), F32(3, 1, 2, 4), __VA_ARGS__)
#define LENGTHS TENSOR(DTYPE_I32, ((const int32_t[]){1}), 1, 1), TENSOR(DTYPE_I32, ((const int32_t[]){2}), 0, 0)
#define ONE_HEAD ATTRIBUTE_I("num_heads", 1), ATTRIBUTE_I("kv_num_heads", 1)

START_TEST(attention_of_microsoft)
{
    const struct trial trials[] = {
        {NULL, "GroupQueryAttention", MICROSOFT, GROUPED(ABSENT, ABSENT, LENGTHS), WITH(ONE_HEAD), .constants = 64,
         .outputs = 3},
        {"a quantised past", "GroupQueryAttention", MICROSOFT, UNSUPPORTED, GROUPED(ABSENT, ABSENT, LENGTHS),
         WITH(ONE_HEAD, ATTRIBUTE_TEXT("k_quant_type", "PER_TENSOR")), .constants = 64, .outputs = 3},
        {"sliding_window_cache", "GroupQueryAttention", MICROSOFT, UNSUPPORTED, GROUPED(ABSENT, ABSENT, LENGTHS),
         WITH(ONE_HEAD, ATTRIBUTE_I("sliding_window_cache", 1)), .constants = 64, .outputs = 3},
        {"scores as its output 3", "GroupQueryAttention", MICROSOFT, UNSUPPORTED, GROUPED(ABSENT, ABSENT, LENGTHS),
         WITH(ONE_HEAD, ATTRIBUTE_I("qk_output", 1)), .constants = 64, .outputs = 3},
        {"scores as its output 3", "GroupQueryAttention", MICROSOFT, UNSUPPORTED, GROUPED(ABSENT, ABSENT, LENGTHS),
         WITH(ONE_HEAD), .constants = 64, .outputs = 4},
        {"a window needs causal attention", "GroupQueryAttention", MICROSOFT, GROUPED(ABSENT, ABSENT, LENGTHS),
         WITH(ONE_HEAD, ATTRIBUTE_I("causal", 0), ATTRIBUTE_I("local_window_size", 2)), .constants = 64, .outputs = 3},
        {NULL, "GroupQueryAttention", MICROSOFT, GROUPED(ABSENT, ABSENT, LENGTHS),
         WITH(ONE_HEAD, ATTRIBUTE_I("local_window_size", 2)), .constants = 64, .outputs = 3},
        {"come together", "GroupQueryAttention", MICROSOFT, GROUPED(F32(4, 1, 1, 2, 4), ABSENT, LENGTHS),
         WITH(ONE_HEAD), .constants = 64, .outputs = 3},
        {"the past, input 3, does not fit", "GroupQueryAttention", MICROSOFT, ARGUMENT,
         GROUPED(F32(4, 1, 2, 2, 4), F32(4, 1, 1, 2, 4), LENGTHS), WITH(ONE_HEAD), .constants = 64, .outputs = 3},
        {"the past, input 4, does not fit", "GroupQueryAttention", MICROSOFT, ARGUMENT,
         GROUPED(F32(4, 1, 1, 2, 4), F32(4, 1, 1, 2, 3), LENGTHS), WITH(ONE_HEAD), .constants = 64, .outputs = 3},
        {NULL, "GroupQueryAttention", MICROSOFT, GROUPED(F32(4, 1, 1, 2, 4), F32(4, 1, 1, 2, 4), LENGTHS),
         WITH(ONE_HEAD), .constants = 64, .outputs = 3},
        {"cannot share 0 of keys", "GroupQueryAttention", MICROSOFT, GROUPED(ABSENT, ABSENT, LENGTHS),
         WITH(ATTRIBUTE_I("num_heads", 1), ATTRIBUTE_I("kv_num_heads", 0)), .constants = 64, .outputs = 3},
        {"3 heads of queries cannot share 2", "GroupQueryAttention", MICROSOFT, GROUPED(ABSENT, ABSENT, LENGTHS),
         WITH(ATTRIBUTE_I("num_heads", 3), ATTRIBUTE_I("kv_num_heads", 2)), .constants = 64, .outputs = 3},
        {"cannot be cut into 3 heads", "GroupQueryAttention", MICROSOFT, ARGUMENT, GROUPED(ABSENT, ABSENT, LENGTHS),
         WITH(ATTRIBUTE_I("num_heads", 3), ATTRIBUTE_I("kv_num_heads", 1)), .constants = 64, .outputs = 3},
        {"input 1 does not fit", "GroupQueryAttention", MICROSOFT, ARGUMENT,
         IN(F32(3, 1, 2, 4), F32(3, 1, 3, 4), F32(3, 1, 2, 4), ABSENT, ABSENT, LENGTHS), WITH(ONE_HEAD),
         .constants = 64, .outputs = 3},
        {NULL, "MultiHeadAttention", MICROSOFT, IN(F32(3, 1, 2, 4), F32(3, 1, 2, 4), F32(3, 1, 2, 4)),
         WITH(ATTRIBUTE_I("num_heads", 2))},
        {NULL, "MultiHeadAttention", MICROSOFT, IN(F32(3, 1, 2, 4), F32(4, 1, 2, 3, 2), F32(4, 1, 2, 3, 2)),
         WITH(ATTRIBUTE_I("num_heads", 2))},
        {"do not fit 2 heads", "MultiHeadAttention", MICROSOFT, ARGUMENT,
         IN(F32(3, 1, 2, 4), F32(4, 1, 2, 3, 2), F32(4, 1, 3, 3, 2)), WITH(ATTRIBUTE_I("num_heads", 2))},
        {"do not fit 2 heads", "MultiHeadAttention", MICROSOFT, ARGUMENT,
         IN(F32(3, 1, 2, 4), F32(4, 1, 2, 3, 2), F32(4, 1, 2, 4, 2)), WITH(ATTRIBUTE_I("num_heads", 2))},
        {"do not fit 2 heads", "MultiHeadAttention", MICROSOFT, ARGUMENT,
         IN(F32(3, 1, 2, 4), F32(4, 1, 1, 3, 2), F32(4, 1, 2, 3, 2)), WITH(ATTRIBUTE_I("num_heads", 2))},
        {"do not fit 2 heads", "MultiHeadAttention", MICROSOFT, ARGUMENT,
         IN(F32(3, 1, 2, 4), F32(4, 2, 2, 3, 2), F32(4, 2, 2, 3, 2)), WITH(ATTRIBUTE_I("num_heads", 2))},
        {"come together", "MultiHeadAttention", MICROSOFT,
         IN(F32(3, 1, 2, 4), F32(3, 1, 2, 4), F32(3, 1, 2, 4), ABSENT, ABSENT, ABSENT, F32(4, 1, 2, 1, 2)),
         WITH(ATTRIBUTE_I("num_heads", 2)), .outputs = 3},
        {"the past, input 6, does not fit", "MultiHeadAttention", MICROSOFT, ARGUMENT,
         IN(F32(3, 1, 2, 4), F32(3, 1, 2, 4), F32(3, 1, 2, 4), ABSENT, ABSENT, ABSENT, F32(4, 1, 1, 1, 2),
            F32(4, 1, 2, 1, 2)),
         WITH(ATTRIBUTE_I("num_heads", 2)), .outputs = 3},
        {NULL, "Attention", MICROSOFT, IN(F32(3, 1, 2, 4), F32(2, 4, 12), F32(1, 12)),
         WITH(ATTRIBUTE_I("num_heads", 4))},
        {"4 elements cannot be cut into 3 heads", "Attention", MICROSOFT,
         IN(F32(3, 1, 2, 4), F32(2, 4, 12), F32(1, 12)), WITH(ATTRIBUTE_I("num_heads", 3))},
        {"cannot be cut into 0 heads", "Attention", MICROSOFT, IN(F32(3, 1, 2, 4), F32(2, 4, 12), F32(1, 12)),
         WITH(ATTRIBUTE_I("num_heads", 0))},
        {"input, weights and bias do not fit", "Attention", MICROSOFT, IN(F32(3, 1, 2, 4), F32(2, 3, 12), F32(1, 12)),
         WITH(ATTRIBUTE_I("num_heads", 2))},
        {"input, weights and bias do not fit", "Attention", MICROSOFT, IN(F32(3, 1, 2, 4), F32(2, 4, 12), F32(1, 9)),
         WITH(ATTRIBUTE_I("num_heads", 2))},
        {"the past does not fit 1 sequences", "Attention", MICROSOFT, ARGUMENT,
         IN(F32(3, 1, 2, 4), F32(2, 4, 12), F32(1, 12), ABSENT, F32(4, 2, 1, 2, 1)), WITH(ATTRIBUTE_I("num_heads", 2)),
         .outputs = 2},
        {"the past does not fit 1 sequences", "Attention", MICROSOFT, ARGUMENT,
         IN(F32(3, 1, 2, 4), F32(2, 4, 12), F32(1, 12), ABSENT, F32(5, 2, 1, 2, 1, 3)),
         WITH(ATTRIBUTE_I("num_heads", 2)), .outputs = 2},
        {NULL, "Attention", MICROSOFT, IN(F32(3, 1, 2, 4), F32(2, 4, 12), F32(1, 12), ABSENT, F32(5, 2, 1, 2, 1, 2)),
         WITH(ATTRIBUTE_I("num_heads", 2)), .outputs = 2},
    };
    TRY_ALL(trials);
}
END_TEST

#define CAUSAL(name) WITH(ATTRIBUTE_TEXT("activation", name))
#define LINEAR(rule) \
    WITH(ATTRIBUTE_I("q_num_heads", 2), ATTRIBUTE_I("kv_num_heads", 1), ATTRIBUTE_TEXT("update_rule", rule))
#define Q F32(3, 1, 2, 8)
#define K F32(3, 1, 2, 4)

START_TEST(linear_attention_and_its_convolution)
{
    const struct trial trials[] = {
        {NULL, "CausalConvWithState", IN(F32(3, 1, 2, 5), F32(3, 2, 1, 3)), CAUSAL("silu"), .outputs = 2},
        {"activation is 'relu'", "CausalConvWithState", IN(F32(3, 1, 2, 5), F32(3, 2, 1, 3)), CAUSAL("relu"),
         .outputs = 2},
        {"do not fit 2 channels", "CausalConvWithState", IN(F32(3, 1, 2, 5), F32(3, 3, 1, 3)), CAUSAL("none"),
         .outputs = 2},
        {"do not fit 2 channels", "CausalConvWithState", IN(F32(3, 1, 2, 5), F32(3, 2, 2, 3)), CAUSAL("none"),
         .outputs = 2},
        {"the bias does not fit 2 channels", "CausalConvWithState", IN(F32(3, 1, 2, 5), F32(3, 2, 1, 1), F32(1, 3)),
         CAUSAL("none"), .outputs = 2},
        {NULL, "CausalConvWithState", IN(F32(3, 1, 2, 5), F32(3, 2, 1, 1), F32(1, 2)), CAUSAL("none"), .outputs = 2},
        {NULL, "LinearAttention", IN(Q, K, K), LINEAR("linear"), .outputs = 2},
        {"update_rule is 'none'", "LinearAttention", IN(Q, K, K), LINEAR("none"), .outputs = 2},
        {"takes a decay and does not take a beta", "LinearAttention", IN(Q, K, K), LINEAR("gated"), .outputs = 2},
        {"does not take a decay and does not take a beta", "LinearAttention", IN(Q, K, K, ABSENT, F32(3, 1, 2, 1)),
         LINEAR("linear"), .outputs = 2},
        {"does not take a decay and takes a beta", "LinearAttention", IN(Q, K, K), LINEAR("delta"), .outputs = 2},
        {NULL, "LinearAttention", IN(Q, K, K, ABSENT, F32(3, 1, 2, 1)), LINEAR("gated"), .outputs = 2},
        {NULL, "LinearAttention", IN(Q, K, K, ABSENT, F32(3, 1, 2, 4)), LINEAR("gated"), .outputs = 2},
        {"input 4 must be 1x2x1 or 1x2x4", "LinearAttention", IN(Q, K, K, ABSENT, F32(3, 1, 2, 2)), LINEAR("gated"),
         ARGUMENT, .outputs = 2},
        {"input 4 must be 1x2x1 or 1x2x4", "LinearAttention", IN(Q, K, K, ABSENT, F32(3, 1, 1, 4)), LINEAR("gated"),
         ARGUMENT, .outputs = 2},
        {"input 4 must be 1x2x1 or 1x2x4", "LinearAttention", IN(Q, K, K, ABSENT, F32(3, 2, 2, 4)), LINEAR("gated"),
         ARGUMENT, .outputs = 2},
        {"the past state does not fit", "LinearAttention", IN(Q, K, K, F32(4, 1, 1, 4, 3)), LINEAR("linear"), ARGUMENT,
         .outputs = 2},
        {"the past state does not fit", "LinearAttention", IN(Q, K, K, F32(3, 1, 4, 4)), LINEAR("linear"), ARGUMENT,
         .outputs = 2},
        {NULL, "LinearAttention", IN(Q, K, K, F32(4, 1, 1, 4, 4)), LINEAR("linear"), .outputs = 2},
        {"query heads cannot share 3 heads", "LinearAttention", IN(Q, K, K),
         WITH(ATTRIBUTE_I("q_num_heads", 2), ATTRIBUTE_I("kv_num_heads", 3)), .outputs = 2},
        {"0 query heads", "LinearAttention", IN(Q, K, K),
         WITH(ATTRIBUTE_I("q_num_heads", 0), ATTRIBUTE_I("kv_num_heads", 1)), .outputs = 2},
        {"the sizes of query, key and value", "LinearAttention", IN(Q, F32(3, 1, 2, 5), K), LINEAR("linear"), ARGUMENT,
         .outputs = 2},
        {"the sizes of query, key and value", "LinearAttention", IN(Q, K, F32(3, 1, 3, 4)), LINEAR("linear"), ARGUMENT,
         .outputs = 2},
    };
    TRY_ALL(trials);
}
END_TEST

/* --- what moves ------------------------------------------------------------------------------------------ */

START_TEST(moves)
{
    const struct trial trials[] = {
        {NULL, "Gather", IN(RANK_8, I64(1, 1))},
        {"the result has rank 9", "Gather", IN(RANK_8, I64(2, 1, 1)), UNSUPPORTED},
        {"the result has rank 14", "GatherND", IN(RANK_8, I64(8, 1, 1, 1, 1, 1, 1, 1, 1)), UNSUPPORTED},
        {NULL, "GatherND", IN(RANK_8, I64(2, 1, 1))},
        {"reduction is 'sum'", "ScatterElements", IN(F32(1, 2), I64(1, 2), F32(1, 2)),
         WITH(ATTRIBUTE_TEXT("reduction", "sum"))},
        {"axis is 0, which is the batch", "TensorScatter", IN(F32(3, 1, 4, 2), F32(3, 1, 2, 2)),
         WITH(ATTRIBUTE_I("axis", 0))},
        {NULL, "TensorScatter", IN(F32(3, 1, 4, 2), F32(3, 1, 4, 2), VECTOR(0)), WITH(ATTRIBUTE_I("axis", 1))},
        {"an update of 5 elements along axis 1", "TensorScatter", IN(F32(3, 1, 4, 2), F32(3, 1, 5, 2)), ARGUMENT,
         WITH(ATTRIBUTE_I("axis", 1))},
        {"an update of 1 elements along axis 2", "TensorScatter", IN(F32(3, 1, 4, 2), F32(3, 1, 2, 1)), ARGUMENT,
         WITH(ATTRIBUTE_I("axis", 1))},
        {"one write index for each of 1", "TensorScatter", IN(F32(3, 1, 4, 2), F32(3, 1, 2, 2), VECTOR(0, 0)), ARGUMENT,
         WITH(ATTRIBUTE_I("axis", 1))},
        {"mode is 'ring'", "TensorScatter", IN(F32(3, 1, 4, 2), F32(3, 1, 2, 2)),
         WITH(ATTRIBUTE_I("axis", 1), ATTRIBUTE_TEXT("mode", "ring"))},
        {"batch_axis and time_axis are both 0", "ReverseSequence", IN(F32(2, 2, 2), VECTOR(1, 1)),
         WITH(ATTRIBUTE_I("batch_axis", 0), ATTRIBUTE_I("time_axis", 0))},
        {"mode is 'DRC'", "DepthToSpace", IN(F32(4, 1, 4, 2, 2)),
         WITH(ATTRIBUTE_I("blocksize", 2), ATTRIBUTE_TEXT("mode", "DRC"))},
        {"4 channels do not divide", "DepthToSpace", IN(F32(4, 1, 4, 2, 2)), ARGUMENT,
         WITH(ATTRIBUTE_I("blocksize", 3))},
        {"blocksize is 0", "DepthToSpace", IN(F32(4, 1, 4, 2, 2)), WITH(ATTRIBUTE_I("blocksize", 0))},
        {NULL, "DepthToSpace", IN(F32(4, 1, 4, 2, 2)), WITH(ATTRIBUTE_I("blocksize", 1))},
        {"2 x 3 does not divide", "SpaceToDepth", IN(F32(4, 1, 1, 2, 3)), ARGUMENT, WITH(ATTRIBUTE_I("blocksize", 2))},
        {"3 x 2 does not divide", "SpaceToDepth", IN(F32(4, 1, 1, 3, 2)), ARGUMENT, WITH(ATTRIBUTE_I("blocksize", 2))},
        {"num_outputs is 1, yet there are 2", "Split", IN(F32(1, 4)), WITH(ATTRIBUTE_I("num_outputs", 1)),
         .outputs = 2},
        {NULL, "Split", IN(F32(1, 4)), WITH(ATTRIBUTE_I("num_outputs", 2)), .outputs = 2},
        {"the parts leave 1 elements over", "Split", IN(F32(1, 4), VECTOR(1, 2)), ARGUMENT, .outputs = 2},
        {"part 1 has 4 elements, 3 are left", "Split", IN(F32(1, 4), VECTOR(1, 4)), ARGUMENT, .outputs = 2},
        {"part 0 has -1 elements", "Split", IN(F32(1, 4), VECTOR(-1, 5)), ARGUMENT, .outputs = 2},
        {NULL, "Split", IN(F32(1, 4), VECTOR(0, 4)), .outputs = 2},
        {"starts has 9 entries", "Slice", IN(F32(1, 4)), .version = 1,
         WITH(ATTRIBUTE_LIST("starts", 9, eight_ones), ATTRIBUTE_LIST("ends", 9, eight_ones))},
        {"mode is 'mirror'", "Pad", IN(F32(1, 4), VECTOR(1, 1)), WITH(ATTRIBUTE_TEXT("mode", "mirror"))},
        {"must be a scalar", "Pad", IN(F32(1, 4), VECTOR(1, 1), F32(1, 2))},
        {"the shape has 1 entries", "CenterCropPad", IN(F32(2, 2, 2), VECTOR(1))},
        {"the shape has 2 entries", "CenterCropPad", IN(F32(2, 2, 2), VECTOR(1, 1)), WITH(LIST("axes", 1))},
        {NULL, "CenterCropPad", IN(F32(2, 2, 2), VECTOR(1)), WITH(LIST("axes", 1))},
        {"a negative dimension", "Reshape", IN(F32(1, 4), VECTOR(-2))},
        {"-1 twice", "Reshape", IN(F32(1, 4), VECTOR(-1, -1))},
        {"the new shape is too large", "Reshape", IN(F32(1, 4), VECTOR(INT64_C(1) << 40, INT64_C(1) << 40, -1))},
        {"input 1 is missing", "Reshape", IN(F32(1, 4), ABSENT)},
        {"8 more axes would pass rank 8", "Unsqueeze", IN(F32(1, 4), I64(1, 8)), UNSUPPORTED},
        {NULL, "Unsqueeze", IN(F32(1, 4), VECTOR(0, 1, 2, 3, 4, 5, 6))},
        {"axis 0 of the image or the blocks", "Col2Im", IN(F32(3, 1, 4, 4), VECTOR(4, 4), VECTOR(0, 2)), ARGUMENT},
        {"axis 1 of the image or the blocks", "Col2Im", IN(F32(3, 1, 4, 4), VECTOR(4, 0), VECTOR(2, 2)), ARGUMENT},
        {"the image has 2 axes, the blocks 1", "Col2Im", IN(F32(3, 1, 4, 4), VECTOR(4, 4), VECTOR(2))},
        {"the depth must be one number", "OneHot", IN(I64(1, 2), I64(1, 0), VECTOR(0, 1)), ARGUMENT},
        {"the depth must be one number", "OneHot", IN(I64(1, 2), NUMBER(-1), VECTOR(0, 1)), ARGUMENT},
        {NULL, "OneHot", IN(I64(1, 2), NUMBER(0), VECTOR(0, 1))},
        {"would pass rank 8", "OneHot", IN(I64(8, 1, 1, 1, 1, 1, 1, 1, 1), NUMBER(2), VECTOR(0, 1)), UNSUPPORTED},
        {"the axis must be one number", "CumSum", IN(F32(1, 3), I64(1, 0))},
        {"the step is zero", "Range", IN(FLOAT(0), FLOAT(1), FLOAT(0)), ARGUMENT},
        {"has no sensible length", "Range", IN(FLOAT(0), FLOAT(1e30F), FLOAT(1e-8F)), ARGUMENT},
        {"input 2 must be a scalar", "Range", IN(FLOAT(0), FLOAT(1), F32(1, 2))},
        {NULL, "Range", IN(FLOAT(0), FLOAT(1), FLOAT(2))},
    };
    TRY_ALL(trials);
}
END_TEST

/* --- numbers --------------------------------------------------------------------------------------------- */

#define BATCH F32(4, 1, 2, 2, 2), F32(1, 2), F32(1, 2), F32(1, 2), F32(1, 2)
#define IMAGE F32(4, 1, 2, 5, 5)

START_TEST(windows_and_norms)
{
    const struct trial trials[] = {
        {"output 1 exists in training mode", "BatchNormalization", IN(BATCH), UNSUPPORTED, .outputs = 2},
        {"output 3 exists in training mode", "BatchNormalization", IN(BATCH), UNSUPPORTED, .outputs = 4,
         WITH(ATTRIBUTE_I("training_mode", 1))},
        {NULL, "BatchNormalization", IN(BATCH), .outputs = 3, WITH(ATTRIBUTE_I("training_mode", 1))},
        {"size is 0", "LRN", IN(IMAGE), WITH(ATTRIBUTE_I("size", 0))},
        {NULL, "LRN", IN(IMAGE), WITH(ATTRIBUTE_I("size", 1))},
        {"size is 2147483648", "LRN", IN(IMAGE), WITH(ATTRIBUTE_I("size", INT64_C(1) << 31))},
        {"a higher rank than the input", "PRelu", IN(F32(1, 2), F32(2, 1, 2))},
        {NULL, "PRelu", IN(F32(2, 1, 2), F32(2, 1, 2))},
        {"p is 0", "LpPool", IN(IMAGE), WITH(LIST("kernel_shape", 2, 2), ATTRIBUTE_I("p", 0))},
        {NULL, "LpPool", IN(IMAGE), WITH(LIST("kernel_shape", 2, 2), ATTRIBUTE_I("p", 1))},
        {"p is 0", "GlobalLpPool", IN(IMAGE), WITH(ATTRIBUTE_I("p", 0))},
        {NULL, "GlobalLpPool", IN(IMAGE), WITH(ATTRIBUTE_I("p", 1))},
        {"a height and a width", "MaxRoiPool", IN(IMAGE, F32(2, 1, 5)), WITH(LIST("pooled_shape", 2))},
        {"it must be positive", "MaxRoiPool", IN(IMAGE, F32(2, 1, 5)), WITH(LIST("pooled_shape", 2, 0))},
        {NULL, "MaxRoiPool", IN(IMAGE, F32(2, 1, 5)), WITH(LIST("pooled_shape", 1, 1))},
        {"output_height is 0", "RoiAlign", IN(IMAGE, F32(2, 1, 4), I64(1, 1)), WITH(ATTRIBUTE_I("output_height", 0))},
        {"mode is 'sum'", "RoiAlign", IN(IMAGE, F32(2, 1, 4), I64(1, 1)), WITH(ATTRIBUTE_TEXT("mode", "sum"))},
        {"'align' is not one", "RoiAlign", IN(IMAGE, F32(2, 1, 4), I64(1, 1)),
         WITH(ATTRIBUTE_TEXT("coordinate_transformation_mode", "align"))},
        {"auto_pad is 'SAME'", "MaxPool", IN(IMAGE),
         WITH(LIST("kernel_shape", 2, 2), ATTRIBUTE_TEXT("auto_pad", "SAME"))},
        {"it must be 3 to 5", "MaxPool", IN(F32(6, 1, 1, 2, 2, 2, 2)), WITH(LIST("kernel_shape", 1, 1, 1, 1))},
        {"kernel_shape is missing", "AveragePool", IN(IMAGE)},
        {"do not fit weights of 2", "ConvTranspose", IN(IMAGE, F32(4, 2, 4, 1, 1)),
         WITH(ATTRIBUTE_I("group", INT64_C(1) << 62))},
        {"antialias does not go with mode nearest", "Resize", IN(IMAGE, ABSENT, ABSENT, VECTOR(1, 2, 3, 3)),
         WITH(ATTRIBUTE_I("antialias", 1))},
        {"mode is 'area', which is not supported", "Resize", IN(IMAGE, ABSENT, ABSENT, VECTOR(1, 2, 3, 3)), UNSUPPORTED,
         WITH(ATTRIBUTE_TEXT("mode", "area"))},
        {"which is not among its values", "GridSample", IN(IMAGE, F32(4, 1, 2, 2, 2)),
         WITH(ATTRIBUTE_TEXT("padding_mode", "wrap"))},
        {"hidden_size is 0, but R has rows of 1", "LSTM", IN(F32(3, 1, 1, 2), F32(3, 1, 4, 2), F32(3, 1, 4, 1)),
         WITH(ATTRIBUTE_I("hidden_size", 0))},
        {"frame_step must be one positive", "STFT", IN(F32(3, 1, 8, 1), NUMBER(0), F32(1, 4)), ARGUMENT},
        {"the window has 4 elements, a frame 3", "STFT", IN(F32(3, 1, 8, 1), NUMBER(2), F32(1, 4), NUMBER(3)),
         ARGUMENT},
        {"frames of 9 do not fit a signal of 8", "STFT", IN(F32(3, 1, 8, 1), NUMBER(2), ABSENT, NUMBER(9)), ARGUMENT},
        {NULL, "STFT", IN(F32(3, 1, 8, 1), NUMBER(1), F32(1, 8), NUMBER(8))},
        {"the size must be one number", "HannWindow", IN(I64(1, 0))},
        {"a result of type string", "HannWindow", IN(NUMBER(4)), UNSUPPORTED, WITH(ATTRIBUTE_I("output_datatype", 8))},
        {"input 0 must be a scalar", "MelWeightMatrix", IN(I64(1, 0), NUMBER(8), NUMBER(8000), FLOAT(0), FLOAT(4000))},
        {"make no sense", "MelWeightMatrix", IN(NUMBER(2), NUMBER(8), NUMBER(0), FLOAT(0), FLOAT(4000)), ARGUMENT},
        {"make no sense", "MelWeightMatrix", IN(NUMBER(2), NUMBER(8), NUMBER(8000), FLOAT(4000), FLOAT(0)), ARGUMENT},
        {"make no sense", "MelWeightMatrix", IN(NUMBER(2), NUMBER(-1), NUMBER(8000), FLOAT(0), FLOAT(4000)), ARGUMENT},
        {"make no sense", "MelWeightMatrix", IN(NUMBER(-1), NUMBER(8), NUMBER(8000), FLOAT(0), FLOAT(4000)), ARGUMENT},
        {"make no sense", "MelWeightMatrix", IN(NUMBER(2), NUMBER(8), NUMBER(8000), FLOAT(-1), FLOAT(4000)), ARGUMENT},
        {NULL, "MelWeightMatrix", IN(NUMBER(2), NUMBER(8), NUMBER(1), FLOAT(0), FLOAT(0.25F))},
        {"does not fit its inputs", "Einsum", IN(F32(2, 2, 2), F32(2, 2, 2)), WITH(ATTRIBUTE_TEXT("equation", "ij"))},
        {"does not fit its inputs", "Einsum", IN(F32(2, 2, 2), F32(2, 2, 2)),
         WITH(ATTRIBUTE_TEXT("equation", "ij,jk-ik"))},
        {"does not fit its inputs", "Einsum", IN(F32(2, 2, 2)), WITH(ATTRIBUTE_TEXT("equation", "i1->i"))},
        {"the result has more than 8 axes", "Einsum", IN(RANK_8, F32(1, 2)), UNSUPPORTED,
         WITH(ATTRIBUTE_TEXT("equation", "abcdefgh,i"))},
        {NULL, "Einsum", IN(RANK_8, F32(1, 1)), WITH(ATTRIBUTE_TEXT("equation", "abcdefgh,a"))},
        {"reduction is 'all'", "NegativeLogLikelihoodLoss", IN(F32(2, 2, 3), I64(1, 2)),
         WITH(ATTRIBUTE_TEXT("reduction", "all"))},
        {"one weight for each of 3 classes", "NegativeLogLikelihoodLoss", IN(F32(2, 2, 3), I64(1, 2), F32(1, 2))},
        {"axis 0 of the targets has size 3", "NegativeLogLikelihoodLoss", IN(F32(2, 2, 3), I64(1, 3)), ARGUMENT},
    };
    TRY_ALL(trials);
}
END_TEST

START_TEST(random_numbers)
{
    const struct trial trials[] = {
        {"attribute 'shape' is missing", "RandomNormal", .version = 1},
        {"random numbers of type int64", "RandomNormal", WITH(LIST("shape", 2), ATTRIBUTE_I("dtype", 7))},
        {"random numbers of type", "RandomUniform", WITH(LIST("shape", 2), ATTRIBUTE_I("dtype", 99))},
        {NULL, "RandomUniform", WITH(LIST("shape", 2), ATTRIBUTE_I("dtype", 11), ATTRIBUTE_F("seed", 3))},
        {"a result of type string", "Bernoulli", IN(F32(1, 3)), UNSUPPORTED, WITH(ATTRIBUTE_I("dtype", 8))},
        {"a result of type", "Bernoulli", IN(F32(1, 3)), UNSUPPORTED, WITH(ATTRIBUTE_I("dtype", 99))},
        {"the samples are to be float32", "Multinomial", IN(F32(2, 1, 3)), WITH(ATTRIBUTE_I("dtype", 1))},
        {NULL, "Multinomial", IN(F32(2, 1, 3)), WITH(ATTRIBUTE_I("dtype", 7))},
        {"no classes to choose from", "Multinomial", IN(F32(2, 1, 0)), ARGUMENT},
        {"the ratio is 1;", "Dropout", IN(F32(1, 3), FLOAT(1), TRUE_VALUE), ARGUMENT},
        {"the ratio is -0.5;", "Dropout", IN(F32(1, 3), FLOAT(-0.5F), TRUE_VALUE), ARGUMENT},
        {NULL, "Dropout", IN(F32(1, 3), FLOAT(0), TRUE_VALUE)},
        {NULL, "Dropout", IN(F32(1, 3), FLOAT(0.5F), TRUE_VALUE)},
    };
    TRY_ALL(trials);
}
END_TEST

/* --- words and features ---------------------------------------------------------------------------------- */

#define POOL LIST("pool_int64s", 2, 3)
#define GRAMS(least, most, skips) \
    ATTRIBUTE_I("min_gram_length", least), ATTRIBUTE_I("max_gram_length", most), ATTRIBUTE_I("max_skip_count", skips)
#define PLACES LIST("ngram_indexes", 0, 1)
#define TF ATTRIBUTE_TEXT("mode", "TF")
#define FROM(start) LIST("ngram_counts", start)

START_TEST(grams)
{
    const struct trial trials[] = {
        {NULL, "TfIdfVectorizer", IN(I64(1, 6)), WITH(TF, GRAMS(1, 1, 0), FROM(0), PLACES, POOL)},
        {"n-grams of 0 to 1", "TfIdfVectorizer", IN(I64(1, 6)), UNSUPPORTED,
         WITH(TF, GRAMS(0, 1, 0), FROM(0), PLACES, POOL)},
        {"n-grams of 1 to 2", "TfIdfVectorizer", IN(I64(1, 6)), UNSUPPORTED,
         WITH(TF, GRAMS(1, 2, 0), FROM(0), PLACES, POOL)},
        {"n-grams of 2 to 1", "TfIdfVectorizer", IN(I64(1, 6)), UNSUPPORTED,
         WITH(TF, GRAMS(2, 1, 0), FROM(0), PLACES, POOL)},
        {NULL, "TfIdfVectorizer", IN(I64(1, 6)), WITH(TF, GRAMS(1, 2, 0), LIST("ngram_counts", 0, 2), PLACES, POOL)},
        {NULL, "TfIdfVectorizer", IN(I64(1, 6)),
         WITH(TF, GRAMS(2, 2, 0), LIST("ngram_counts", 0, 0), LIST("ngram_indexes", 0), POOL)},
        {"does not divide the pool", "TfIdfVectorizer", IN(I64(1, 6)), WITH(TF, GRAMS(1, 1, 0), FROM(3), PLACES, POOL)},
        {"does not divide the pool", "TfIdfVectorizer", IN(I64(1, 6)),
         WITH(TF, GRAMS(1, 1, 0), FROM(-1), PLACES, POOL)},
        {"does not divide the pool", "TfIdfVectorizer", IN(I64(1, 6)),
         WITH(TF, GRAMS(1, 1, 0), LIST("ngram_counts", 0, 1), PLACES, POOL)},
        {"the pool has 2 n-grams, ngram_indexes 1", "TfIdfVectorizer", IN(I64(1, 6)),
         WITH(TF, GRAMS(1, 1, 0), FROM(0), LIST("ngram_indexes", 0), POOL)},
        {"the entry -1", "TfIdfVectorizer", IN(I64(1, 6)),
         WITH(TF, GRAMS(1, 1, 0), FROM(0), LIST("ngram_indexes", 0, -1), POOL)},
        {"max_skip_count is -1", "TfIdfVectorizer", IN(I64(1, 6)), WITH(TF, GRAMS(1, 1, -1), FROM(0), PLACES, POOL)},
        {"mode is 'XY'", "TfIdfVectorizer", IN(I64(1, 6)),
         WITH(ATTRIBUTE_TEXT("mode", "XY"), GRAMS(1, 1, 0), FROM(0), PLACES, POOL)},
        {"its pool holds strings", "TfIdfVectorizer", IN(I64(1, 6)), UNSUPPORTED,
         WITH(TF, GRAMS(1, 1, 0), FROM(0), PLACES)},
        {NULL, "TfIdfVectorizer", IN(I32(1, 6)),
         WITH(ATTRIBUTE_TEXT("mode", "TFIDF"), GRAMS(1, 1, 0), FROM(0), PLACES, POOL, FLOATS("weights", 1, 2))},
        {"there are 1 weights for 2 columns", "TfIdfVectorizer", IN(I64(1, 6)),
         WITH(TF, GRAMS(1, 1, 0), FROM(0), PLACES, POOL, FLOATS("weights", 1))},
    };
    TRY_ALL(trials);
}
END_TEST

#define LABELS LIST("classlabels_ints", 0, 1, 2)

START_TEST(features)
{
    const struct trial trials[] = {
        {NULL, "FeatureVectorizer", ML, IN(F32(2, 2, 3), F32(1, 2)), WITH(LIST("inputdimensions", 0, 1))},
        {"inputdimensions has -1 for input 0", "FeatureVectorizer", ML, IN(F32(2, 2, 3), F32(1, 2)),
         WITH(LIST("inputdimensions", -1, 1))},
        {"has 1 entries for 2 inputs", "FeatureVectorizer", ML, IN(F32(2, 2, 3), F32(1, 2)),
         WITH(LIST("inputdimensions", 3))},
        {"input 1 has 3 rows, the first 2", "FeatureVectorizer", ML, IN(F32(2, 2, 3), F32(1, 3)), ARGUMENT,
         WITH(LIST("inputdimensions", 3, 1))},
        {"norm is 'L3'", "Normalizer", ML, IN(F32(2, 2, 3)), WITH(ATTRIBUTE_TEXT("norm", "L3"))},
        {NULL, "OneHotEncoder", ML, IN(I64(1, 3)), WITH(LIST("cats_int64s", 0, 1))},
        {"zeros = 0", "OneHotEncoder", ML, IN(I64(1, 3)), UNSUPPORTED,
         WITH(LIST("cats_int64s", 0, 1), ATTRIBUTE_I("zeros", 0))},
        {"would pass rank 8", "OneHotEncoder", ML, IN(RANK_8), UNSUPPORTED, WITH(LIST("cats_int64s", 0, 1))},
        {"its categories are strings", "OneHotEncoder", ML, IN(I64(1, 3)), UNSUPPORTED},
        {"offset has 2 entries", "Scaler", ML, IN(F32(2, 2, 3)),
         WITH(FLOATS("offset", 1, 2), FLOATS("scale", 1, 2, 3))},
        {"scale has 2 entries", "Scaler", ML, IN(F32(2, 2, 3)), WITH(FLOATS("offset", 1), FLOATS("scale", 1, 2))},
        {NULL, "Scaler", ML, IN(F32(2, 2, 3)), WITH(FLOATS("offset", 1), FLOATS("scale", 1, 2, 3))},
        {"there are 2 keys and 1 values", "LabelEncoder", ML, IN(I64(1, 3)), .version = 2,
         WITH(LIST("keys_int64s", 1, 2), LIST("values_int64s", 1))},
        {"3 coefficients do not make 1 outputs of 2", "LinearRegressor", ML, IN(F32(2, 2, 2)),
         WITH(FLOATS("coefficients", 1, 2, 3))},
        {"0 outputs of 2 features", "LinearRegressor", ML, IN(F32(2, 2, 2)),
         WITH(FLOATS("coefficients", 1, 2), ATTRIBUTE_I("targets", 0))},
        {"there are 3 intercepts for 2 outputs", "LinearRegressor", ML, IN(F32(2, 2, 2)),
         WITH(FLOATS("coefficients", 1, 2, 3, 4), ATTRIBUTE_I("targets", 2), FLOATS("intercepts", 1, 2, 3))},
        {NULL, "LinearRegressor", ML, IN(F32(2, 2, 2)),
         WITH(FLOATS("coefficients", 1, 2, 3, 4), ATTRIBUTE_I("targets", 2), FLOATS("intercepts", 1))},
        {"it has no class labels", "LinearClassifier", ML, IN(F32(2, 2, 2)), .outputs = 2,
         WITH(FLOATS("coefficients", 1, 2), FLOATS("intercepts", 1))},
        {"there are 3 labels for 1 scores", "LinearClassifier", ML, IN(F32(2, 2, 2)), .outputs = 2,
         WITH(FLOATS("coefficients", 1, 2), FLOATS("intercepts", 1), LABELS)},
        {NULL, "LinearClassifier", ML, IN(F32(2, 2, 2)), .outputs = 2,
         WITH(FLOATS("coefficients", 1, 2, 3, 4, 5, 6), FLOATS("intercepts", 1, 2, 3), LABELS)},
        {"kernel_params has 2 entries", "SVMRegressor", ML, IN(F32(2, 2, 2)),
         WITH(FLOATS("coefficients", 1, 2), FLOATS("rho", 0), FLOATS("kernel_params", 1, 2))},
        {"do not match", "SVMRegressor", ML, IN(F32(2, 2, 2)),
         WITH(FLOATS("coefficients", 1, 2), FLOATS("rho", 0), ATTRIBUTE_I("n_supports", 1))},
        {"do not match", "SVMRegressor", ML, IN(F32(2, 2, 2)), WITH(FLOATS("coefficients", 1, 2, 3), FLOATS("rho", 0))},
        {"do not match", "SVMRegressor", ML, IN(F32(2, 2, 2)), WITH(FLOATS("coefficients", 1, 2))},
        {NULL, "SVMRegressor", ML, IN(F32(2, 2, 2)), WITH(FLOATS("coefficients", 1, 2), FLOATS("rho", 0))},
    };
    TRY_ALL(trials);
}
END_TEST

#define BITS(rows, depth, bits, size) \
    WITH(ATTRIBUTE_I("N", rows), ATTRIBUTE_I("K", depth), ATTRIBUTE_I("bits", bits), ATTRIBUTE_I("block_size", size))
#define WEIGHTS F32(2, 1, 32), U8(3, 2, 2, 8), F32(1, 4)

START_TEST(weights_of_few_bits)
{
    const struct trial trials[] = {
        {NULL, "MatMulNBits", MICROSOFT, IN(WEIGHTS), BITS(2, 32, 4, 16)},
        {"N and K are 0 and 32", "MatMulNBits", MICROSOFT, IN(WEIGHTS), BITS(0, 32, 4, 16)},
        {"N and K are 2 and 0", "MatMulNBits", MICROSOFT, IN(WEIGHTS), BITS(2, 0, 4, 16)},
        {"block_size is 8", "MatMulNBits", MICROSOFT, IN(WEIGHTS), BITS(2, 32, 4, 8)},
        {"block_size is 24", "MatMulNBits", MICROSOFT, IN(WEIGHTS), BITS(2, 32, 4, 24)},
        {"weights of 3 bits", "MatMulNBits", MICROSOFT, IN(WEIGHTS), UNSUPPORTED, BITS(2, 32, 3, 16)},
        {"packed for another device", "MatMulNBits", MICROSOFT, IN(WEIGHTS), UNSUPPORTED,
         WITH(ATTRIBUTE_I("N", 2), ATTRIBUTE_I("K", 32), ATTRIBUTE_I("bits", 4), ATTRIBUTE_I("block_size", 16),
              ATTRIBUTE_I("weight_prepacked", 1))},
        {"must have 2 x 2", "MatMulNBits", MICROSOFT, IN(F32(2, 1, 32), U8(3, 2, 2, 8), F32(1, 3)), BITS(2, 32, 4, 16)},
        {"uint8 do not hold weights of 3 bits", "GatherBlockQuantized", MICROSOFT,
         IN(U8(2, 2, 8), I64(1, 1), F32(2, 2, 1)), WITH(ATTRIBUTE_I("bits", 3), ATTRIBUTE_I("block_size", 16))},
        {"block_size is 8", "GatherBlockQuantized", MICROSOFT, IN(U8(2, 2, 8), I64(1, 1), F32(2, 2, 1)),
         WITH(ATTRIBUTE_I("bits", 4), ATTRIBUTE_I("block_size", 8))},
        {"bytes must be gathered along the first axis", "GatherBlockQuantized", MICROSOFT, UNSUPPORTED,
         IN(U8(2, 2, 8), I64(1, 1), F32(2, 2, 1)),
         WITH(ATTRIBUTE_I("bits", 4), ATTRIBUTE_I("block_size", 16), ATTRIBUTE_I("gather_axis", 1))},
        {NULL, "GatherBlockQuantized", MICROSOFT, IN(U8(2, 2, 8), I64(1, 1), F32(2, 2, 1)),
         WITH(ATTRIBUTE_I("bits", 4), ATTRIBUTE_I("block_size", 16), ATTRIBUTE_I("quantize_axis", 1))},
    };
    TRY_ALL(trials);
}
END_TEST

Suite *ops_refused_suite(void)
{
    Suite *suite = suite_create("ops_refused");
    TCase *tests = tcase_create("refused");
    tcase_add_test(tests, attention);
    tcase_add_test(tests, attention_of_microsoft);
    tcase_add_test(tests, linear_attention_and_its_convolution);
    tcase_add_test(tests, moves);
    tcase_add_test(tests, windows_and_norms);
    tcase_add_test(tests, random_numbers);
    tcase_add_test(tests, grams);
    tcase_add_test(tests, features);
    tcase_add_test(tests, weights_of_few_bits);
    suite_add_tcase(suite, tests);
    return suite;
}
