/* Kinds of what moves and folds elements, where memory is the limit. */
#include "kernels/copy.h"
#include "kernels/gather.h"
#include "kernels/normalize.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"

#include "tools/problems/programs.h"
#include "tools/problems/sweep.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* --- softmax ------------------------------------------------------------------------------------------------- */

static const struct softmax_shape {
    const char *kind;
    int64_t outer, axis, inner;
} softmaxes[] = {
    {"plain", 1536, 128, 1}, {"plain", 196, 768, 1},    {"odd", 1182, 197, 1},    {"odd", 77, 333, 1},
    {"short", 20000, 2, 1},  {"short", 4000, 10, 1},    {"long", 80, 6625, 1},    {"long", 1, 50000, 1},
    {"columns", 4, 81, 400}, {"columns", 1, 21, 10000}, {"columns", 1000, 4, 16},
};

static const char *make_softmax(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    (void)facts;
    const struct softmax_shape *s = &softmaxes[index];
    const int64_t dims[] = {s->outer, s->axis, s->inner};
    struct softmax_params *p = make_params(maker, sizeof *p);
    maker->problem->family = FAMILY_softmax;
    *p = (struct softmax_params){
        .dtype = DTYPE_F32, .kind = SOFTMAX, .outer = s->outer, .axis = s->axis, .inner = s->inner};
    strided_contiguous(&add_input(maker, "x", DTYPE_F32)->at, 3, dims);
    strided_contiguous(&add_output(maker, "y", DTYPE_F32)->at, 3, dims);
    sweep_name(maker, "%lldx%lldx%lld", (long long)s->outer, (long long)s->axis, (long long)s->inner);
    return s->kind;
}

const struct sweep_group sweep_softmax = {"softmax", COUNT(softmaxes), make_softmax};

/* --- normalisation ------------------------------------------------------------------------------------------- */

/* Groups and the elements of one, and where both lie in x. */
static const struct fold_shape {
    const char *kind;
    int64_t kept, folded, kept_stride, folded_stride;
} normalizes[] = {
    {"layer", 128, 384, 384, 1},     {"layer", 1500, 512, 512, 1},       {"odd", 197, 77, 77, 1},
    {"odd", 333, 1001, 1001, 1},     {"short", 8000, 20, 20, 1},         {"long", 4, 60000, 60000, 1},
    {"instance", 64, 3136, 3136, 1}, {"channels last", 64, 3136, 1, 64}, {"channels last", 17, 2000, 1, 17},
};

static const char *make_normalize(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    (void)facts;
    const struct fold_shape *s = &normalizes[index];
    bool rows = s->folded_stride == 1 && s->folded < 3000;
    struct normalize_params *p = make_params(maker, sizeof *p);
    maker->problem->family = FAMILY_normalize;
    *p = (struct normalize_params){.dtype = DTYPE_F32,
                                   .centred = true,
                                   .epsilon = 1e-5,
                                   .kept_rank = 1,
                                   .folded_rank = 1,
                                   .kept = {s->kept},
                                   .folded = {s->folded},
                                   .x = {.kept = {s->kept_stride}, .folded = {s->folded_stride}},
                                   .scale = {.kept = {!rows}, .folded = {rows}},
                                   .bias = {.kept = {!rows}, .folded = {rows}}};
    int64_t count = s->kept * s->folded, numbers = rows ? s->folded : s->kept;
    strided_contiguous(&add_input(maker, "x", DTYPE_F32)->at, 1, &count);
    for (int i = 0; i < 2; i++) {
        struct operand *operand = add_input(maker, i ? "bias" : "scale", DTYPE_F32);
        strided_contiguous(&operand->at, 1, &numbers);
        operand->constant = true;
    }
    strided_contiguous(&add_output(maker, "y", DTYPE_F32)->at, 1, &count);
    add_absent(maker, "mean", true);
    add_absent(maker, "factor", true);
    sweep_name(maker, "%lld groups of %lld%s", (long long)s->kept, (long long)s->folded,
               s->folded_stride == 1 ? "" : ", channels last");
    return s->kind;
}

const struct sweep_group sweep_normalize = {"normalize", COUNT(normalizes), make_normalize};

/* --- reductions ---------------------------------------------------------------------------------------------- */

static const struct fold_shape reduces[] = {
    {"rows", 1024, 768, 768, 1},   {"rows", 200, 4000, 4000, 1},    {"columns", 768, 1024, 1, 768},
    {"columns", 96, 3136, 1, 96},  {"odd", 333, 777, 777, 1},       {"odd", 77, 2001, 1, 77},
    {"images", 1280, 49, 49, 1},   {"images", 96, 12544, 12544, 1}, {"short", 30000, 3, 3, 1},
    {"short", 30000, 2, 1, 30000}, {"all", 1, 500000, 500000, 1},
};

static const char *make_reduce(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    (void)facts;
    const struct fold_shape *s = &reduces[index];
    int64_t count = s->kept * s->folded;
    struct reduce_params *p = make_params(maker, sizeof *p);
    maker->problem->family = FAMILY_reduce;
    *p = (struct reduce_params){.dtype = DTYPE_F32,
                                .kind = index % 2 ? REDUCE_MAX : REDUCE_MEAN,
                                .kept_rank = 1,
                                .folded_rank = 1,
                                .kept = {s->kept},
                                .kept_strides = {s->kept_stride},
                                .folded = {s->folded},
                                .folded_strides = {s->folded_stride}};
    strided_contiguous(&add_input(maker, "x", DTYPE_F32)->at, 1, &count);
    strided_contiguous(&add_output(maker, "y", DTYPE_F32)->at, 1, &s->kept);
    sweep_name(maker, "%s of %lld by %lld%s", index % 2 ? "max" : "mean", (long long)s->kept, (long long)s->folded,
               s->folded_stride == 1 ? "" : ", columns");
    return s->kind;
}

const struct sweep_group sweep_reduce = {"reduce", COUNT(reduces), make_reduce};

/* --- elementwise --------------------------------------------------------------------------------------------- */

/* x + y, then an activation; y has the strides given. */
static const struct pointwise_shape {
    const char *kind, *name;
    int64_t dims[3], other[3];
    enum pointwise_opcode activation;
} pointwises[] = {
    {"plain", "add relu", {1, 1, 196608}, {0, 0, 1}, POINTWISE_RELU},
    {"plain", "add relu", {1, 1, 20000}, {0, 0, 1}, POINTWISE_RELU},
    {"function", "add sigmoid", {1, 1, 196608}, {0, 0, 1}, POINTWISE_SIGMOID},
    {"function", "add tanh", {1, 1, 196608}, {0, 0, 1}, POINTWISE_TANH},
    {"function", "add gelu", {1, 1, 196608}, {0, 0, 1}, POINTWISE_GELU},
    {"function", "add hswish", {1, 1, 196608}, {0, 0, 1}, POINTWISE_HARD_SWISH},
    {"row repeated", "add relu", {1, 512, 384}, {0, 0, 1}, POINTWISE_RELU},
    {"column repeated", "add relu", {1, 256, 784}, {0, 1, 0}, POINTWISE_RELU},
    {"short rows", "add relu", {1, 3136, 24}, {0, 0, 1}, POINTWISE_RELU},
    {"short rows", "add relu", {1, 30000, 3}, {0, 1, 0}, POINTWISE_RELU},
    {"odd", "add relu", {1, 77, 333}, {0, 0, 1}, POINTWISE_RELU},
    {"turned", "add relu", {1, 784, 256}, {0, 1, 784}, POINTWISE_RELU},
    {"middle", "add relu", {16, 49, 64}, {64, 0, 1}, POINTWISE_RELU},
};

static const char *make_pointwise(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    (void)facts;
    const struct pointwise_shape *s = &pointwises[index];
    const int64_t strides[] = {s->dims[1] * s->dims[2], s->dims[2], 1};
    struct program program = program_begin(maker, 3, s->dims);
    int x = program_input(&program, DTYPE_F32, strides), y = program_input(&program, DTYPE_F32, s->other);
    int sum = program_code(&program, POINTWISE_ADD, CLASS_F32, x, y, 0, 0, 0);
    program_output(&program, DTYPE_F32, program_code(&program, s->activation, CLASS_F32, sum, 0, 0, 0, 0), strides);
    const struct pointwise_params *params = program_build(&program, true);
    program_operands(maker, params, 0);
    for (int i = 0; i < maker->problem->input_count; i++)
        maker->problem->inputs[i].fill = FILL_NUMBERS;
    maker->problem->family = FAMILY_pointwise;
    maker->problem->params = params;
    sweep_name(maker, "%s %lldx%lldx%lld", s->name, (long long)s->dims[0], (long long)s->dims[1],
               (long long)s->dims[2]);
    return s->kind;
}

const struct sweep_group sweep_pointwise = {"pointwise", COUNT(pointwises), make_pointwise};

/* --- copies -------------------------------------------------------------------------------------------------- */

static const struct copy_shape {
    const char *kind, *name;
    int64_t dims[4], from[4], to[4];
    unsigned bytes;
} copies[] = {
    {"straight", "whole", {1, 1, 1, 200704}, {0, 0, 0, 1}, {0, 0, 0, 1}, 4},
    {"transpose", "planes to channels last", {1, 1, 3136, 64}, {0, 0, 1, 3136}, {0, 0, 64, 1}, 4},
    {"transpose", "channels last to planes", {1, 1, 64, 3136}, {0, 0, 1, 64}, {0, 0, 3136, 1}, 4},
    {"transpose", "3 planes to channels last", {1, 1, 50176, 3}, {0, 0, 1, 50176}, {0, 0, 3, 1}, 4},
    {"transpose", "odd", {1, 1, 333, 177}, {0, 0, 1, 333}, {0, 0, 177, 1}, 4},
    {"transpose", "bytes", {1, 1, 3136, 64}, {0, 0, 1, 3136}, {0, 0, 64, 1}, 1},
    {"heads", "rows of heads", {1, 12, 128, 32}, {0, 32, 384, 1}, {0, 4096, 32, 1}, 4},
    {"heads", "small heads", {1, 8, 240, 15}, {0, 15, 120, 1}, {0, 3600, 15, 1}, 4},
    {"slice", "half of the channels", {1, 1, 3136, 32}, {0, 0, 64, 1}, {0, 0, 32, 1}, 4},
    {"slice", "every second", {1, 64, 56, 28}, {0, 3136, 56, 2}, {0, 1568, 28, 1}, 4},
    {"slice", "focus", {1, 3, 160, 160}, {0, 102400, 640, 2}, {0, 25600, 160, 1}, 4},
    {"concat", "24 into 96 channels", {1, 1, 3136, 24}, {0, 0, 24, 1}, {0, 0, 96, 1}, 4},
    {"concat", "58 into 116 planes", {1, 1, 58, 784}, {0, 0, 784, 1}, {0, 0, 784, 1}, 4},
    {"shuffle", "channels of 2 groups", {1, 784, 58, 2}, {0, 116, 1, 58}, {0, 116, 2, 1}, 4},
    {"enlarge", "twice each", {80, 2, 80, 2}, {80, 0, 1, 0}, {320, 160, 2, 1}, 4},
    {"pad", "rows of 56 into 58", {1, 64, 56, 56}, {0, 3136, 56, 1}, {0, 3364, 58, 1}, 4},
};

static int64_t reach(const int64_t *dims, const int64_t *strides)
{
    int64_t most = 1;
    for (int i = 0; i < 4; i++)
        most += (dims[i] - 1) * strides[i];
    return most;
}

static const char *make_copy(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    (void)facts;
    const struct copy_shape *s = &copies[index];
    struct copy_params *p = make_params(maker, sizeof *p);
    maker->problem->family = FAMILY_copy;
    *p = (struct copy_params){.rank = 4, .element_bytes = s->bytes};
    for (int i = 0; i < 4; i++) {
        p->dims[i] = s->dims[i];
        p->input_strides[i] = s->from[i];
        p->output_strides[i] = s->to[i];
    }
    int64_t from = reach(s->dims, s->from), to = reach(s->dims, s->to);
    copy_merge_axes(p);
    struct operand *x = add_input(maker, "x", moved_dtype(s->bytes)),
                   *y = add_output(maker, "y", moved_dtype(s->bytes));
    strided_contiguous(&x->at, 1, &from);
    strided_contiguous(&y->at, 1, &to);
    x->fill = FILL_BITS;
    sweep_name(maker, "%s %lldx%lldx%lldx%lld", s->name, (long long)s->dims[0], (long long)s->dims[1],
               (long long)s->dims[2], (long long)s->dims[3]);
    return s->kind;
}

const struct sweep_group sweep_copy = {"copy", COUNT(copies), make_copy};

/* --- gathering ----------------------------------------------------------------------------------------------- */

static const struct gather_shape {
    const char *kind;
    int64_t rows, outer, inner, count; /* of the table; of a row, before and after the axis; indices */
} gathers[] = {
    {"rows", 30522, 1, 384, 128},      {"rows", 512, 1, 384, 128},       {"odd rows", 5000, 1, 77, 200},
    {"elements", 100000, 1, 1, 20000}, {"short rows", 8400, 1, 4, 4000}, {"middle", 80, 64, 80, 160},
    {"columns", 80, 5120, 1, 160},
};

static const char *make_gather(struct maker *maker, const struct kernel_facts *facts, size_t index)
{
    (void)facts;
    const struct gather_shape *s = &gathers[index];
    struct gather_params *p = make_params(maker, sizeof *p);
    maker->problem->family = FAMILY_gather;
    *p = (struct gather_params){.rank = 3,
                                .dims = {s->outer, s->count, s->inner},
                                .data_strides = {s->rows * s->inner, 0, 1},
                                .index_strides = {0, 1, 0},
                                .block_strides = {s->count * s->inner, s->inner, 1},
                                .components = 1,
                                .axis_dims = {s->rows},
                                .axis_strides = {s->inner},
                                .element_bytes = 4,
                                .index_dtype = DTYPE_I64};
    gather_merge_axes(p);
    strided_contiguous(&add_input(maker, "data", DTYPE_F32)->at, 3, (int64_t[]){s->outer, s->rows, s->inner});
    struct operand *indices = add_input(maker, "indices", DTYPE_I64);
    strided_contiguous(&indices->at, 1, &s->count);
    indices->fill = FILL_WHOLE;
    indices->high = (double)(s->rows - 1);
    strided_contiguous(&add_output(maker, "block", DTYPE_F32)->at, 3, (int64_t[]){s->outer, s->count, s->inner});
    sweep_name(maker, "%lldx %lld of %lld rows of %lld", (long long)s->outer, (long long)s->count, (long long)s->rows,
               (long long)s->inner);
    return s->kind;
}

const struct sweep_group sweep_gather = {"gather", COUNT(gathers), make_gather};
