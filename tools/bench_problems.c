#include "tools/bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- convolution and pooling: square images and windows ------------------------------------------------------ */

struct image_case {
    const char *name;
    int64_t channels, outputs, size, kernel, stride, groups;
};

/* ResNet-50, MobileNetV2, a detector's head. */
static const struct image_case conv_cases[] = {
    {"7x7/2 3>64 224", 3, 64, 224, 7, 2, 1},           {"3x3 64>64 56", 64, 64, 56, 3, 1, 1},
    {"3x3 256>256 14", 256, 256, 14, 3, 1, 1},         {"1x1 256>64 56", 256, 64, 56, 1, 1, 1},
    {"1x1 512>2048 7", 512, 2048, 7, 1, 1, 1},         {"3x3/2 128>128 56", 128, 128, 56, 3, 2, 1},
    {"3x3 depthwise 144 56", 144, 144, 56, 3, 1, 144}, {"5x5 depthwise 96 28", 96, 96, 28, 5, 1, 96},
};
static const struct image_case pool_cases[] = {
    {"max 3x3/2 64 112", 64, 64, 112, 3, 2, 1},
    {"average 7x7 2048 7", 2048, 2048, 7, 7, 7, 1},
};

static struct window square_window(const struct image_case *from)
{
    int64_t pad = from->kernel == from->size ? 0 : from->kernel / 2;
    int64_t output = (from->size + 2 * pad - from->kernel) / from->stride + 1;
    return (struct window){
        .input = {1, from->size, from->size},
        .output = {1, output, output},
        .kernel = {1, from->kernel, from->kernel},
        .stride = {1, from->stride, from->stride},
        .dilation = {1, 1, 1},
        .spread = {1, 1, 1},
        .pad = {0, pad, pad},
        .pad_after = {0, pad, pad},
    };
}

static struct image_strides image_strides(int64_t channels, int64_t size, bool channels_last)
{
    int64_t area = size * size;
    return channels_last ? (struct image_strides){area * channels, 1, {area * channels, size * channels, channels}}
                         : (struct image_strides){area * channels, area, {area, size, 1}};
}

static void make_conv(const struct image_case *from, bool channels_last, struct problem *problem)
{
    struct conv_params *p = &problem->params.conv;
    int64_t taps = from->kernel * from->kernel, inputs = from->channels / from->groups;
    *p = (struct conv_params){
        .dtype = DTYPE_F32,
        .batch = 1,
        .groups = from->groups,
        .input_channels = inputs,
        .output_channels = from->outputs / from->groups,
        .window = square_window(from),
        .x = image_strides(from->channels, from->size, channels_last),
        .weight_group = from->outputs / from->groups * inputs * taps,
        .weight_output = inputs * taps,
        .weight_input = taps,
        .weight_spatial = {taps, from->kernel, 1},
    };
    p->y = image_strides(from->outputs, p->window.output[1], channels_last);
    problem->family = FAMILY_conv;
    problem->input_count = 3;
    problem->output_count = 1;
    problem->elements[0] = p->x.batch;
    problem->elements[1] = from->outputs * inputs * taps;
    problem->elements[2] = from->outputs;
    problem->elements[3] = p->y.batch;
    snprintf(problem->name, sizeof problem->name, "conv %s %s", from->name, channels_last ? "nhwc" : "nchw");
}

static void make_pool(const struct image_case *from, bool channels_last, struct problem *problem)
{
    struct pool_params *p = &problem->params.pool;
    *p = (struct pool_params){
        .dtype = DTYPE_F32,
        .kind = strncmp(from->name, "max", 3) == 0 ? POOL_MAX : POOL_AVERAGE,
        .batch = 1,
        .channels = from->channels,
        .window = square_window(from),
        .x = image_strides(from->channels, from->size, channels_last),
    };
    p->y = image_strides(from->channels, p->window.output[1], channels_last);
    problem->family = FAMILY_pool;
    problem->input_count = 1;
    problem->output_count = 1;
    problem->elements[0] = p->x.batch;
    problem->elements[1] = p->y.batch;
    snprintf(problem->name, sizeof problem->name, "pool %s %s", from->name, channels_last ? "nhwc" : "nchw");
}

/* --- matrix products ----------------------------------------------------------------------------------------- */

struct matmul_case {
    int64_t batch, m, n, k;
    bool transposed; /* B lies as [n, k] */
};

/* MiniLM's layers and attention, a classifier, ResNet's 1x1 convolutions, a square one, one row. */
static const struct matmul_case matmul_cases[] = {
    {1, 128, 384, 384, false}, {1, 128, 1536, 384, false}, {1, 128, 384, 1536, false},   {12, 128, 128, 32, true},
    {12, 128, 32, 128, false}, {1, 3136, 64, 256, false},  {1, 1024, 1024, 1024, false}, {1, 1, 1000, 2048, true},
};

static void make_matmul(const struct matmul_case *from, struct problem *problem)
{
    struct matmul_params *p = &problem->params.matmul;
    *p = (struct matmul_params){
        .dtype = DTYPE_F32,
        .batch_rank = 1,
        .batch = {from->batch},
        .m = from->m,
        .n = from->n,
        .k = from->k,
        .a = {{from->m * from->k}, from->k, 1},
        .b = {{from->k * from->n}, from->transposed ? 1 : from->n, from->transposed ? from->k : 1},
        .c = {{from->m * from->n}, from->n, 1},
    };
    problem->family = FAMILY_matmul;
    problem->input_count = 3; /* D is absent */
    problem->output_count = 1;
    problem->elements[0] = from->batch * from->m * from->k;
    problem->elements[1] = from->batch * from->k * from->n;
    problem->elements[3] = from->batch * from->m * from->n;
    char batch[24] = "";
    if (from->batch > 1)
        snprintf(batch, sizeof batch, "%lld of ", (long long)from->batch);
    snprintf(problem->name, sizeof problem->name, "matmul %s%lldx%lldx%lld%s", batch, (long long)from->m,
             (long long)from->n, (long long)from->k, from->transposed ? " b^t" : "");
}

/* --- attention ------------------------------------------------------------------------------------------------- */

struct attention_case {
    const char *name;
    int64_t heads, group, queries, keys, head;
    bool causal, packed; /* packed: heads lie next to each other in a row, as projections leave them */
};

/* MiniLM, a vision transformer, a language model's prompt and its next token with shared keys. */
static const struct attention_case attention_cases[] = {
    {"12 heads 128x128x32", 12, 1, 128, 128, 32, false, false},
    {"12 heads 128x128x32 packed", 12, 1, 128, 128, 32, false, true},
    {"6 heads 197x197x64 packed", 6, 1, 197, 197, 64, false, true},
    {"8 heads 1024x1024x64 causal", 8, 1, 1024, 1024, 64, true, false},
    {"32 heads 1x2048x64 of 8", 32, 4, 1, 2048, 64, false, false},
};

static struct attention_strides head_strides(int64_t heads, int64_t rows, int64_t columns, bool packed)
{
    return (struct attention_strides){.batch = heads * rows * columns,
                                      .head = packed ? columns : rows * columns,
                                      .row = packed ? heads * columns : columns,
                                      .column = 1};
}

static void make_attention(size_t index, struct problem *problem)
{
    const struct attention_case *from = &attention_cases[index];
    struct attention_params *p = &problem->params.attention;
    int64_t own = from->heads / from->group;
    *p = (struct attention_params){
        .dtype = DTYPE_F32,
        .batch = 1,
        .heads = from->heads,
        .group = from->group,
        .queries = from->queries,
        .keys = from->keys,
        .head = from->head,
        .v_head = from->head,
        .scale = 1 / sqrt((double)from->head),
        .first = -from->queries,
        .last = from->causal ? 0 : from->keys,
        .q = head_strides(from->heads, from->queries, from->head, from->packed),
        .k = head_strides(own, from->keys, from->head, from->packed),
        .v = head_strides(own, from->keys, from->head, from->packed),
        .y = head_strides(from->heads, from->queries, from->head, from->packed),
    };
    problem->family = FAMILY_attention;
    problem->input_count = 4; /* the mask is absent */
    problem->output_count = 1;
    problem->elements[0] = problem->elements[4] = p->q.batch;
    problem->elements[1] = problem->elements[2] = p->k.batch;
    snprintf(problem->name, sizeof problem->name, "attention %s", from->name);
}

/* --- the rest ------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    enum pointwise_opcode opcode;
} pointwise_cases[] = {
    {"add", POINTWISE_ADD},   {"mul", POINTWISE_MUL},         {"relu", POINTWISE_RELU},
    {"exp", POINTWISE_EXP},   {"sigmoid", POINTWISE_SIGMOID}, {"hswish", POINTWISE_HARD_SWISH},
    {"gelu", POINTWISE_GELU}, {"tanh", POINTWISE_TANH},
};
#define POINTWISE_ELEMENTS (128 * 1536)

static void make_pointwise(size_t index, struct problem *problem)
{
    enum pointwise_opcode opcode = pointwise_cases[index].opcode;
    int inputs = pointwise_arity(opcode);
    struct pointwise_builder builder = {
        .rank = 1, .dims = {POINTWISE_ELEMENTS}, .input_count = inputs, .output_count = 1, .instruction_count = 1};
    builder.code[0] = (struct pointwise_instruction){
        .opcode = (uint8_t)opcode, .class = CLASS_F32, .target = (uint8_t)inputs, .a = 0, .b = 1};
    for (int i = 0; i <= inputs; i++) {
        builder.operands[i] = (struct pointwise_operand){.dtype = DTYPE_F32, .reg = (uint8_t)i, .strides = {1}};
        problem->elements[i] = POINTWISE_ELEMENTS;
    }
    pointwise_build(&builder, &problem->params.pointwise);
    problem->family = FAMILY_pointwise;
    problem->input_count = inputs;
    problem->output_count = 1;
    snprintf(problem->name, sizeof problem->name, "pointwise %s", pointwise_cases[index].name);
}

static void make_softmax(size_t index, struct problem *problem)
{
    static const struct softmax_params cases[] = {{DTYPE_F32, SOFTMAX, 12 * 128, 128, 1},
                                                  {DTYPE_F32, SOFTMAX, 80, 6625, 1}};
    const struct softmax_params *p = &cases[index];
    problem->params.softmax = *p;
    problem->family = FAMILY_softmax;
    problem->input_count = 1;
    problem->output_count = 1;
    problem->elements[0] = problem->elements[1] = p->outer * p->axis * p->inner;
    snprintf(problem->name, sizeof problem->name, "softmax %lldx%lld", (long long)p->outer, (long long)p->axis);
}

static void make_reduce(size_t index, struct problem *problem)
{
    static const struct {
        const char *name;
        int64_t kept, kept_stride, folded, folded_stride;
    } cases[] = {{"rows 1024x768", 1024, 768, 768, 1}, {"columns 1024x768", 768, 1, 1024, 768}};
    problem->params.reduce = (struct reduce_params){
        .dtype = DTYPE_F32,
        .kind = REDUCE_MEAN,
        .kept_rank = 1,
        .folded_rank = 1,
        .kept = {cases[index].kept},
        .kept_strides = {cases[index].kept_stride},
        .folded = {cases[index].folded},
        .folded_strides = {cases[index].folded_stride},
    };
    problem->family = FAMILY_reduce;
    problem->input_count = 1;
    problem->output_count = 1;
    problem->elements[0] = cases[index].kept * cases[index].folded;
    problem->elements[1] = cases[index].kept;
    snprintf(problem->name, sizeof problem->name, "reduce mean of %s", cases[index].name);
}

static void make_copy(size_t index, struct problem *problem)
{
    enum { CHANNELS = 64, AREA = 56 * 56 };
    static const char *const names[] = {"straight", "nchw to nhwc", "half of the channels"};
    struct copy_params *p = &problem->params.copy;
    *p = (struct copy_params){.rank = 2,
                              .dims = {AREA, index == 2 ? CHANNELS / 2 : CHANNELS},
                              .input_strides = {CHANNELS, 1},
                              .output_strides = {index == 2 ? CHANNELS / 2 : CHANNELS, 1},
                              .element_bytes = 4};
    if (index == 1) {
        p->input_strides[0] = 1;
        p->input_strides[1] = AREA;
    }
    copy_merge_axes(p);
    problem->family = FAMILY_copy;
    problem->input_count = 1;
    problem->output_count = 1;
    problem->elements[0] = CHANNELS * AREA;
    problem->elements[1] = index == 2 ? CHANNELS / 2 * AREA : CHANNELS * AREA;
    snprintf(problem->name, sizeof problem->name, "copy %s", names[index]);
}

/* --- all of them ----------------------------------------------------------------------------------------------- */

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static void make_conv_at(size_t index, struct problem *problem)
{
    make_conv(&conv_cases[index / 2], index % 2 == 1, problem);
}

static void make_pool_at(size_t index, struct problem *problem)
{
    make_pool(&pool_cases[index / 2], index % 2 == 1, problem);
}

static void make_matmul_at(size_t index, struct problem *problem)
{
    make_matmul(&matmul_cases[index], problem);
}

static const struct {
    size_t count;
    void (*make)(size_t index, struct problem *problem);
} makers[] = {
    {2 * COUNT(conv_cases), make_conv_at},
    {COUNT(matmul_cases), make_matmul_at},
    {COUNT(attention_cases), make_attention},
    {2 * COUNT(pool_cases), make_pool_at},
    {COUNT(pointwise_cases), make_pointwise},
    {2, make_softmax},
    {2, make_reduce},
    {3, make_copy},
};

size_t problem_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < COUNT(makers); i++)
        count += makers[i].count;
    return count;
}

void problem_make(size_t index, struct problem *problem)
{
    memset(problem, 0, sizeof *problem);
    size_t i = 0;
    for (; index >= makers[i].count; i++)
        index -= makers[i].count;
    makers[i].make(index, problem);
}

double problem_bytes(const struct problem *problem)
{
    double elements = 0;
    for (int i = 0; i < problem->input_count + problem->output_count; i++)
        elements += (double)problem->elements[i];
    return elements * sizeof(float);
}
