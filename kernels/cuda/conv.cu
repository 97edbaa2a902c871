/* Family conv by multiplications and additions of any type: a product whose left operand is fetched through the window.
 * Its weights lie as [group][k][output channel], rows a multiple of 16 bytes: made once where they are constant, else
 * in each run. */
#include "kernels/cuda/conv.h"

#define WEIGHTS_FORM 0x636f6e76 /* of the pack */

/* --- the input through the window -------------------------------------------------------------------------------- */

template <typename READER> struct seen_source {
    typedef typename READER::element element;
    /* A row of the panel, in shared memory. */
    struct row {
        int64_t offset;
        int at[SPATIAL_AXES];
    };
    struct tap {
        int at[SPATIAL_AXES];
        int64_t offset;
    };
    struct rows {
        const typename READER::memory *data;
        const row *table;
    };
    enum { TABLE_ROWS = sizeof(row) };
    READER reader;
    const typename READER::memory *data;
    conv_window window;
    int64_t batch, group, channel, spatial[SPATIAL_AXES], depth;
    panel_way way;

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
    __device__ __forceinline__ tap tap_at(int k) const
    {
        conv_tap t = conv_tap_at(window, (uint32_t)k);
        return {{t.at[0], t.at[1], t.at[2]}, t.channel * channel};
    }
    __device__ __forceinline__ void copy(element *to, const rows &from, int r, const tap &t, bool valid) const
    {
        const row &at = from.table[r];
        int z = at.at[0] + t.at[0], y = at.at[1] + t.at[1], x = at.at[2] + t.at[2];
        valid = valid && conv_inside(window, 0, &z) && conv_inside(window, 1, &y) && conv_inside(window, 2, &x);
        int64_t offset = at.offset + t.offset + z * spatial[0] + y * spatial[1] + x * spatial[2];
        reader.copy(to, from.data + (valid ? offset : 0), valid, reader.zeros, 0);
    }
};

template <typename READER> static seen_source<READER> seen_source_of(const struct conv_params *p, const void *x)
{
    seen_source<READER> source = {};
    source.data = (const typename READER::memory *)x;
    source.window = conv_window_of(p, p->input_channels);
    source.batch = p->x.batch;
    source.group = p->input_channels * p->x.channel;
    source.channel = p->x.channel;
    for (int i = 0; i < SPATIAL_AXES; i++)
        source.spatial[i] = p->x.spatial[i];
    source.way = p->x.channel == 1 && p->input_channels >= DEPTH ? WAY_ALONG_DEPTH : WAY_ALONG_ROWS;
    return source;
}

/* --- weights ----------------------------------------------------------------------------------------------------- */

static size_t weight_bytes(const struct conv_params *p)
{
    return conv_is_narrow(p) ? 1 : product_element_bytes(p->dtype);
}

static int64_t weights_pitch(const struct conv_params *p)
{
    return divide_up(p->output_channels, 16) * 16;
}

static int64_t weights_count(const struct conv_params *p)
{
    return p->groups * conv_taps(p) * p->input_channels * weights_pitch(p);
}

struct weights_arguments {
    conv_weights weights;
    const void *from;
    void *to;
    int64_t pitch, count;
};

/* Element i of the order that the product reads. */
template <typename T> static __host__ __device__ void order_weight(const weights_arguments &a, int64_t i)
{
    const conv_weights &w = a.weights;
    int64_t output = i % a.pitch, rest = i / a.pitch, input = rest % w.inputs;
    rest /= w.inputs;
    int64_t at = conv_weight_at(w, rest / w.taps, output, rest % w.taps, input);
    ((T *)a.to)[i] = output < w.outputs ? ((const T *)a.from)[at] : (T)0;
}

template <typename T> static __global__ void order_weights(weights_arguments a)
{
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < a.count; i += (int64_t)gridDim.x * blockDim.x)
        order_weight<T>(a, i);
}

static weights_arguments weights_arguments_of(const struct conv_params *p, const void *from, void *to)
{
    return {conv_weights_of(p), from, to, weights_pitch(p), weights_count(p)};
}

static void conv_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct conv_params *p = (const struct conv_params *)plan->params;
    weights_arguments a = weights_arguments_of(p, from, to);
    size_t bytes = weight_bytes(p);
    (void)which, (void)task;
    for (int64_t i = 0; i < a.count; i++)
        bytes == 1   ? order_weight<uint8_t>(a, i)
        : bytes == 4 ? order_weight<uint32_t>(a, i)
                     : order_weight<uint64_t>(a, i);
}

/* The weights in their order, wherever they are. */
static const void *ordered_weights(const struct kernel_plan *plan, const struct kernel_call *call)
{
    const struct conv_params *p = (const struct conv_params *)plan->params;
    weights_arguments a = weights_arguments_of(p, call->inputs[1], call->shared);
    size_t bytes = weight_bytes(p);
    if (plan->pack_count)
        return call->packed[0];
    cuda_launch(call,
                bytes == 1   ? order_weights<uint8_t>
                : bytes == 4 ? order_weights<uint32_t>
                             : order_weights<uint64_t>,
                grid_for(a.count, 256), 256, 0, a);
    return call->shared;
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

static product_sizes sizes_of(const struct conv_params *p)
{
    return conv_sizes(p, conv_taps(p) * p->input_channels, DEPTH);
}

/* Of the step's workspace: the weights' part comes first. */
static size_t weights_room(const struct conv_params *p)
{
    return align_up((size_t)weights_count(p) * weight_bytes(p), ALIGNMENT);
}

template <typename READER>
static product_arguments<seen_source<READER>, matrix_source<READER>, conv_finish<typename READER::element>>
arguments_of(const struct kernel_plan *plan, const struct kernel_call *call)
{
    const struct conv_params *p = (const struct conv_params *)plan->params;
    product_arguments<seen_source<READER>, matrix_source<READER>, conv_finish<typename READER::element>> a = {
        sizes_of(p),
        seen_source_of<READER>(p, call->inputs[0]),
        {},
        conv_finish_of<typename READER::element>(plan, call),
        nullptr};
    a.b.data = (const typename READER::memory *)ordered_weights(plan, call);
    a.b.batch = {1, {p->groups}, {conv_taps(p) * p->input_channels * weights_pitch(p)}};
    a.b.row = 1;
    a.b.depth = weights_pitch(p);
    a.b.way = READER::COPIES_FOURS ? WAY_FOURS : WAY_ALONG_ROWS;
    if (a.sizes.slices > 1)
        a.partial = (typename READER::element *)((char *)call->shared + (plan->pack_count ? 0 : weights_room(p)));
    return a;
}

static void run_narrow(const struct kernel_plan *plan, const struct kernel_call *call)
{
    const struct conv_params *p = (const struct conv_params *)plan->params;
    auto a = arguments_of<byte_reader>(plan, call);
    a.a.reader = {p->x_dtype == DTYPE_I8, (const uint8_t *)call->inputs[3], 0};
    a.b.reader = {p->w_dtype == DTYPE_I8, (const uint8_t *)call->inputs[4], p->w_zero};
    a.b.zero_batch = {1, {p->groups}, {p->output_channels * p->w_zero}};
    product_enqueue(call, a);
}

static void conv_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct conv_params *p = (const struct conv_params *)plan->params;
    (void)task;
    if (p->batch * p->groups * p->output_channels * conv_positions(p) == 0)
        return;
    if (conv_is_narrow(p))
        run_narrow(plan, call);
    else if (p->dtype == DTYPE_F32)
        product_enqueue(call, arguments_of<plain_reader<float>>(plan, call));
    else if (p->dtype == DTYPE_F64)
        product_enqueue(call, arguments_of<plain_reader<double>>(plan, call));
    else
        product_enqueue(call, arguments_of<plain_reader<uint32_t>>(plan, call));
    struct epilogue epilogue = conv_epilogue(p);
    cuda_epilogue_finish(&epilogue, plan, call);
}

static bool conv_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                      struct kernel_plan *plan)
{
    const struct conv_params *p = (const struct conv_params *)params;
    product_sizes sizes = sizes_of(p);
    (void)region;
    plan->phases = 1;
    plan->tasks[0] = 1;
    plan->shared_bytes = product_partial_bytes(&sizes, product_element_bytes(p->dtype));
    if (facts->constant_inputs & 1u << 1) {
        plan->pack_count = 1;
        conv_pack_key(p, WEIGHTS_FORM, (size_t)weights_count(p) * weight_bytes(p), &plan->packs[0]);
    } else {
        plan->shared_bytes += weights_room(p);
    }
    struct epilogue epilogue = conv_epilogue(p);
    cuda_epilogue_reserve(&epilogue, plan);
    return true;
}

static bool conv_supports(const void *params)
{
    const struct conv_params *p = (const struct conv_params *)params;
    bool same = p->x_dtype == p->dtype && p->w_dtype == p->dtype;
    bool known = p->dtype == DTYPE_F32 || p->dtype == DTYPE_F64 || p->dtype == DTYPE_I32;
    return conv_fits(p) && ((same && known) || conv_is_narrow(p));
}

extern "C" const struct kernel conv_cuda = {
    .name = "conv_cuda",
    .family = FAMILY_conv,
    .requires = DEVICE_CUDA,
    .supports = conv_supports,
    .plan = conv_plan,
    .pack = conv_pack,
    .run = conv_run,
    .explain = cuda_program_explain,
};
