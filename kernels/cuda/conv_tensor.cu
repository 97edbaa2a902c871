/* Family conv by tensor cores: the input is staged with channels last, a whole number of 16-byte chunks of them a
 * position and group, so that a chunk of k never leaves its tap. Bytes that lie so already are read where they are. */
#include "kernels/cuda/conv.h"
#include "kernels/cuda/tensor.h"

#define TAPS_FORM 0x74617073 /* of the pack; the form of staging is added */

/* --- the input through the window -------------------------------------------------------------------------------- */

/* Chunks of the staged input; those of padding are chunks of a row that holds what padding counts as. */
struct tensor_window {
    struct row {
        int64_t offset;
        int at[SPATIAL_AXES];
    };
    enum { TABLE_ROWS = sizeof(row) };
    const unsigned char *data, *padding;
    conv_window window;                          /* whose channels are bytes of a tap */
    int64_t batch, group, spatial[SPATIAL_AXES]; /* in bytes */

    struct rows {
        const unsigned char *data;
        const row *table;
    };
    typedef conv_tap tap;
    template <int ROWS> __device__ __forceinline__ rows enter(int64_t matrix, int first, int count, void *shared) const
    {
        row *table = (row *)shared;
        for (int r = threadIdx.x; r < ROWS; r += blockDim.x) {
            conv_position p = conv_position_at(window, (uint32_t)(first + r < count ? first + r : 0));
            table[r].offset = p.image * batch;
            for (int i = 0; i < SPATIAL_AXES; i++)
                table[r].at[i] = p.at[i];
        }
        return {data + matrix * group, table};
    }
    __device__ __forceinline__ conv_tap tap_at(int k) const
    {
        return conv_tap_at(window, (uint32_t)k);
    }
    __device__ __forceinline__ const unsigned char *chunk(const rows &from, int r, const conv_tap &t) const
    {
        const row &at = from.table[r];
        int z = at.at[0] + t.at[0], y = at.at[1] + t.at[1], x = at.at[2] + t.at[2];
        bool inside = conv_inside(window, 0, &z) && conv_inside(window, 1, &y) && conv_inside(window, 2, &x);
        const unsigned char *position = from.data + at.offset + z * spatial[0] + y * spatial[1] + x * spatial[2];
        return (inside ? position : padding) + t.channel;
    }
};

struct padding_arguments {
    unsigned char *to;
    const uint8_t *zero; /* NULL: none */
    int channels, bytes;
};

static __global__ void fill_padding(padding_arguments a)
{
    for (int i = threadIdx.x; i < a.bytes; i += blockDim.x)
        a.to[i] = i < a.channels && a.zero ? *a.zero : 0;
}

/* --- what is where ----------------------------------------------------------------------------------------------- */

/* Whether bytes of x can be read where they are. */
static bool reads_in_place(const struct conv_params *p)
{
    bool is = conv_is_narrow(p) && p->x.channel == 1 && p->input_channels % CHUNK == 0 && p->x.batch % CHUNK == 0;
    for (int i = 0; i < SPATIAL_AXES; i++)
        is = is && p->x.spatial[i] % CHUNK == 0;
    return is;
}

/* The step's workspace: weights and their sums if they are no pack, the row of padding, x, and what slices leave. */
struct layout {
    staging x, weights;
    product_sizes sizes;
    size_t weight_rows, weight_bytes, padding_bytes, x_bytes, partial_bytes;
};

template <enum tensor_kind KIND> static layout layout_of(const struct conv_params *p)
{
    const struct window *w = &p->window;
    layout l = {};
    l.x.form = tensor_form<KIND>(false, p->x_dtype);
    staging_axis(&l.x, p->batch, p->x.batch);
    for (int i = 0; i < SPATIAL_AXES; i++)
        staging_axis(&l.x, w->input[i], p->x.spatial[i]);
    staging_axis(&l.x, p->groups, p->input_channels * p->x.channel);
    staging_depth(&l.x, p->input_channels, p->x.channel);
    l.weights.form = tensor_form<KIND>(true, p->w_dtype);
    staging_axis(&l.weights, p->groups, p->weight_group);
    staging_axis(&l.weights, p->output_channels, p->weight_output);
    for (int i = 0; i < SPATIAL_AXES; i++)
        staging_axis(&l.weights, w->kernel[i], p->weight_spatial[i]);
    staging_depth(&l.weights, p->input_channels, p->weight_input);
    l.sizes = conv_sizes(p, conv_taps(p) * staging_pitch(&l.weights), STAGE_BYTES);
    size_t sums = (size_t)(p->groups * p->output_channels) * 4;
    l.weight_rows = align_up(staging_bytes(&l.weights), ALIGNMENT);
    l.weight_bytes = l.weight_rows + (tensor_sums<KIND>::IS_BYTES ? align_up(sums, ALIGNMENT) : 0);
    l.padding_bytes = align_up((size_t)staging_pitch(&l.x), ALIGNMENT);
    l.x_bytes = reads_in_place(p) ? 0 : align_up(staging_bytes(&l.x), ALIGNMENT);
    l.partial_bytes = product_partial_bytes(&l.sizes, 4);
    return l;
}

/* --- running ----------------------------------------------------------------------------------------------------- */

template <enum tensor_kind KIND>
static const unsigned char *staged_weights(const struct kernel_plan *plan, const struct kernel_call *call, layout *l)
{
    const struct conv_params *p = (const struct conv_params *)plan->params;
    if (plan->pack_count)
        return (const unsigned char *)call->packed[0];
    l->weights.from = (const char *)call->inputs[1] + p->weight_offset * (tensor_sums<KIND>::IS_BYTES ? 1 : 4);
    l->weights.to = call->shared;
    staging_enqueue(call, l->weights);
    if (tensor_sums<KIND>::IS_BYTES)
        row_sums_enqueue(call, l->weights.to, (int32_t *)((char *)call->shared + l->weight_rows),
                         p->groups * p->output_channels, conv_taps(p) * staging_pitch(&l->weights));
    return (const unsigned char *)call->shared;
}

static tensor_window staged_x(const struct conv_params *p, const struct kernel_call *call, layout *l, char *room)
{
    int64_t bytes = staging_pitch(&l->x), size = p->groups * bytes;
    tensor_window x = {};
    padding_arguments padding = {(unsigned char *)room, (const uint8_t *)call->inputs[3], (int)p->input_channels,
                                 (int)bytes};
    x.window = conv_window_of(p, bytes);
    x.padding = (const unsigned char *)room;
    cuda_launch(call, fill_padding, 1, 128, 0, padding);
    if (reads_in_place(p)) {
        x.data = (const unsigned char *)call->inputs[0];
        x.batch = p->x.batch;
        x.group = p->input_channels;
        for (int i = 0; i < SPATIAL_AXES; i++)
            x.spatial[i] = p->x.spatial[i];
        return x;
    }
    l->x.from = call->inputs[0];
    l->x.to = room + l->padding_bytes;
    staging_enqueue(call, l->x);
    x.data = (const unsigned char *)l->x.to;
    x.group = bytes;
    for (int i = SPATIAL_AXES - 1; i >= 0; i--) {
        x.spatial[i] = size;
        size *= p->window.input[i];
    }
    x.batch = size;
    return x;
}

static tensor_zeros zeros_of(const struct conv_params *p, const struct kernel_call *call, const layout *l,
                             const unsigned char *weights)
{
    tensor_zeros zeros = {};
    zeros.a = (const uint8_t *)call->inputs[3];
    zeros.b = (const uint8_t *)call->inputs[4];
    zeros.a_signed = p->x_dtype == DTYPE_I8;
    zeros.b_signed = p->w_dtype == DTYPE_I8;
    zeros.b_column = p->w_zero;
    zeros.b_batch = {1, {p->groups}, {p->output_channels * p->w_zero}};
    zeros.b_sums = (const int32_t *)(weights + l->weight_rows);
    zeros.b_sums_matrix = p->output_channels;
    zeros.depth = (int)(conv_taps(p) * p->input_channels);
    return zeros;
}

template <enum tensor_kind KIND>
static void run_kind(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    typedef typename tensor_sums<KIND>::result result;
    const struct conv_params *p = (const struct conv_params *)plan->params;
    layout l = layout_of<KIND>(p);
    char *room = (char *)call->shared + (plan->pack_count ? 0 : l.weight_bytes);
    (void)task;
    if (p->groups * (int64_t)l.sizes.m * p->output_channels == 0)
        return;
    const unsigned char *weights = staged_weights<KIND>(plan, call, &l);
    int64_t pitch = conv_taps(p) * staging_pitch(&l.weights);
    tensor_arguments<KIND, tensor_window, conv_finish<result>> a = {
        l.sizes,
        staged_x(p, call, &l, room),
        weights,
        p->output_channels * pitch,
        pitch,
        zeros_of(p, call, &l, weights),
        conv_finish_of<result>(plan, call),
        l.sizes.slices > 1 ? (result *)(room + l.padding_bytes + l.x_bytes) : nullptr,
    };
    tensor_enqueue<false>(call, a);
    struct epilogue epilogue = conv_epilogue(p);
    cuda_epilogue_finish(&epilogue, plan, call);
}

static void run_bytes(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct conv_params *p = (const struct conv_params *)plan->params;
    if (p->x_dtype == DTYPE_U8)
        run_kind<TENSOR_U8>(plan, call, task);
    else
        run_kind<TENSOR_I8>(plan, call, task);
}

/* --- packs ------------------------------------------------------------------------------------------------------- */

template <enum tensor_kind KIND>
static bool plan_kind(const void *params, const struct kernel_facts *facts, struct region *region,
                      struct kernel_plan *plan)
{
    const struct conv_params *p = (const struct conv_params *)params;
    layout l = layout_of<KIND>(p);
    (void)region;
    plan->phases = 1;
    plan->tasks[0] = 1;
    plan->shared_bytes = l.padding_bytes + l.x_bytes + l.partial_bytes;
    if (facts->constant_inputs & 1u << 1) {
        plan->pack_count = 1;
        conv_pack_key(p, TAPS_FORM + (uint32_t)l.weights.form, l.weight_bytes, &plan->packs[0]);
    } else {
        plan->shared_bytes += l.weight_bytes;
    }
    struct epilogue epilogue = conv_epilogue(p);
    cuda_epilogue_reserve(&epilogue, plan);
    return true;
}

template <enum tensor_kind KIND>
static void pack_kind(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct conv_params *p = (const struct conv_params *)plan->params;
    layout l = layout_of<KIND>(p);
    (void)which, (void)task;
    l.weights.from = (const char *)from + p->weight_offset * (tensor_sums<KIND>::IS_BYTES ? 1 : 4);
    l.weights.to = to;
    memset(to, 0, l.weight_bytes);
    staging_pack(&l.weights);
    if (tensor_sums<KIND>::IS_BYTES)
        row_sums_pack(to, (int32_t *)((char *)to + l.weight_rows), p->groups * p->output_channels,
                      conv_taps(p) * staging_pitch(&l.weights));
}

/* --- the kernels ------------------------------------------------------------------------------------------------- */

/* Groups of few channels would be staged with more zeros than numbers. */
static bool is_worth_it(const struct conv_params *p)
{
    bool deep = p->input_channels >= 8 || p->groups == 1;
    return deep && p->output_channels >= 8 && conv_taps(p) * p->input_channels >= 8 && conv_fits(p);
}

static bool supports_floats(const void *params)
{
    const struct conv_params *p = (const struct conv_params *)params;
    return p->dtype == DTYPE_F32 && is_worth_it(p);
}

static bool supports_bytes(const void *params)
{
    const struct conv_params *p = (const struct conv_params *)params;
    return conv_is_narrow(p) && is_worth_it(p);
}

TENSOR_KERNEL(conv, f16, CUDA_HALF, TENSOR_F16, supports_floats, run_kind<TENSOR_F16>);
TENSOR_KERNEL(conv, bf16, CUDA_SM80 | CUDA_BF16, TENSOR_BF16, supports_floats, run_kind<TENSOR_BF16>);
TENSOR_KERNEL(conv, tf32, CUDA_SM80 | CUDA_TF32, TENSOR_TF32, supports_floats, run_kind<TENSOR_TF32>);
TENSOR_KERNEL(conv, i8, 0u, TENSOR_I8, supports_bytes, run_bytes);
