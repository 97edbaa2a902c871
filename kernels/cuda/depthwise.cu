/* Family conv where each group has one input channel: a filter of a few taps slides over each channel, which is a
 * matter of memory, not of products. A thread makes STRIP outputs in a line along which neighbouring threads do not
 * lie, so that what it has loaded for one output serves the next ones too, and neighbours load neighbours. */
#include "kernels/cuda/conv.h"

#define STRIP 4
#define THREADS 128

struct depthwise_arguments {
    conv_window window;
    const float *x, *w;
    int64_t batch, channel, spatial[SPATIAL_AXES]; /* of x */
    conv_weights weights;
    conv_finish<float> finish;
    int output[SPATIAL_AXES];
    int axis; /* that strips lie along; `other` is the other one of the last two */
    int other;
    bool channels_first; /* neighbouring threads have neighbouring channels, not positions */
    int64_t images, channels, strips, count;
};

/* Which strip a thread has. */
struct depthwise_strip {
    int64_t image, channel;
    int z, other, first;
};

static __device__ __forceinline__ int64_t take(int64_t *index, int64_t size)
{
    int64_t rest = *index % size;
    *index /= size;
    return rest;
}

static __device__ __forceinline__ depthwise_strip strip_at(const depthwise_arguments &a, int64_t index)
{
    depthwise_strip s;
    s.channel = a.channels_first ? take(&index, a.channels) : 0;
    s.other = (int)take(&index, a.output[a.other]);
    s.first = (int)take(&index, a.strips) * STRIP;
    s.z = (int)take(&index, a.output[0]);
    if (!a.channels_first)
        s.channel = take(&index, a.channels);
    s.image = index;
    return s;
}

/* What a tap's position along an axis is in the input; -1: padding. */
static __device__ __forceinline__ int source(const conv_window &w, int axis, int position, int tap)
{
    int at = position * w.stride[axis] - w.pad[axis] + tap * w.dilation[axis];
    return conv_inside(w, axis, &at) ? at : -1;
}

/* The taps of a line, TAPS of them at a stride of STRIDE; 0: as the window says. */
template <int TAPS, int STRIDE>
static __device__ __forceinline__ void add_line(const depthwise_arguments &a, const float *x, const float *w, int first,
                                                float (&sums)[STRIP])
{
    int axis = a.axis;
    int64_t step = a.spatial[axis], tap_step = a.weights.spatial[axis];
    if (TAPS == 0) {
        for (int t = 0; t < a.weights.kernel[axis]; t++) {
            float weight = w[t * tap_step];
            UNROLL
            for (int i = 0; i < STRIP; i++) {
                int at = source(a.window, axis, first + i, t);
                sums[i] = fmaf(at < 0 ? 0 : x[at * step], weight, sums[i]);
            }
        }
        return;
    }
    const int wide = (STRIP - 1) * (TAPS ? STRIDE : 1) + (TAPS ? TAPS : 1);
    float line[wide];
    int begin = first * STRIDE - a.window.pad[axis];
    UNROLL
    for (int i = 0; i < wide; i++)
        line[i] = (unsigned)(begin + i) < (unsigned)a.window.input[axis] ? x[(begin + i) * step] : 0;
    UNROLL
    for (int t = 0; t < TAPS; t++) {
        float weight = w[t * tap_step];
        UNROLL
        for (int i = 0; i < STRIP; i++)
            sums[i] = fmaf(line[i * STRIDE + t], weight, sums[i]);
    }
}

template <int TAPS, int STRIDE>
static __global__ void __launch_bounds__(THREADS) depthwise(const __grid_constant__ depthwise_arguments a)
{
    const conv_weights &weights = a.weights;
    for (int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x; index < a.count;
         index += (int64_t)gridDim.x * THREADS) {
        depthwise_strip s = strip_at(a, index);
        int64_t group = s.channel / weights.outputs, output = s.channel % weights.outputs;
        const float *x = a.x + s.image * a.batch + group * a.channel;
        const float *w = a.w + weights.offset + group * weights.group + output * weights.output;
        float sums[STRIP] = {};
        for (int tz = 0; tz < weights.kernel[0]; tz++) {
            int z = source(a.window, 0, s.z, tz);
            for (int t = 0; z >= 0 && t < weights.kernel[a.other]; t++) {
                int other = source(a.window, a.other, s.other, t);
                if (other >= 0)
                    add_line<TAPS, STRIDE>(a, x + z * a.spatial[0] + other * a.spatial[a.other],
                                           w + tz * weights.spatial[0] + t * weights.spatial[a.other], s.first, sums);
            }
        }
        int row = (int)((s.image * a.output[0] + s.z) * a.output[1] * a.output[2]);
        ROLLED
        for (int i = 0; i < STRIP && s.first + i < a.output[a.axis]; i++) {
            int y = a.axis == 1 ? s.first + i : s.other, at = a.axis == 1 ? s.other : s.first + i;
            const float one[1] = {i == 0 ? sums[0] : i == 1 ? sums[1] : i == 2 ? sums[2] : sums[3]};
            a.finish.store(a.finish.at(group, row + y * a.output[2] + at), (int)output, 1, one);
        }
    }
}

/* --- the kernel -------------------------------------------------------------------------------------------------- */

static depthwise_arguments arguments_of(const struct kernel_plan *plan, const struct kernel_call *call)
{
    const struct conv_params *p = (const struct conv_params *)plan->params;
    depthwise_arguments a = {};
    a.window = conv_window_of(p, 1);
    a.x = (const float *)call->inputs[0];
    a.w = (const float *)call->inputs[1];
    a.batch = p->x.batch;
    a.channel = p->x.channel;
    a.weights = conv_weights_of(p);
    a.finish = conv_finish_of<float>(plan, call);
    for (int i = 0; i < SPATIAL_AXES; i++) {
        a.spatial[i] = p->x.spatial[i];
        a.output[i] = (int)p->window.output[i];
    }
    a.channels_first = p->x.channel == 1;
    a.axis = a.channels_first ? 2 : 1;
    a.other = 3 - a.axis;
    a.images = p->batch;
    a.channels = p->groups * p->output_channels;
    a.strips = divide_up(a.output[a.axis], STRIP);
    a.count = a.images * a.channels * a.output[0] * a.strips * a.output[a.other];
    return a;
}

static void conv_depthwise_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct conv_params *p = (const struct conv_params *)plan->params;
    depthwise_arguments a = arguments_of(plan, call);
    const struct window *w = &p->window;
    int64_t taps = w->kernel[a.axis], stride = w->stride[a.axis];
    bool plain = w->dilation[a.axis] == 1 && w->spread[a.axis] == 1;
    (void)task;
    if (a.count == 0)
        return;
    cuda_launch(call,
                plain && taps == 3 && stride == 1   ? depthwise<3, 1>
                : plain && taps == 3 && stride == 2 ? depthwise<3, 2>
                : plain && taps == 5 && stride == 1 ? depthwise<5, 1>
                                                    : depthwise<0, 1>,
                grid_for(a.count, THREADS), THREADS, 0, a);
    struct epilogue epilogue = conv_epilogue(p);
    cuda_epilogue_finish(&epilogue, plan, call);
}

static bool conv_depthwise_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                                struct kernel_plan *plan)
{
    struct epilogue epilogue = conv_epilogue((const struct conv_params *)params);
    (void)facts, (void)region;
    plan->phases = 1;
    plan->tasks[0] = 1;
    cuda_epilogue_reserve(&epilogue, plan);
    return true;
}

static bool conv_depthwise_supports(const void *params)
{
    const struct conv_params *p = (const struct conv_params *)params;
    return p->dtype == DTYPE_F32 && p->input_channels == 1 && p->groups > 1 && conv_fits(p);
}

extern "C" const struct kernel conv_depthwise_cuda = {
    .name = "conv_depthwise_cuda",
    .family = FAMILY_conv,
    .requires = DEVICE_CUDA,
    .supports = conv_depthwise_supports,
    .plan = conv_depthwise_plan,
    .run = conv_depthwise_run,
    .explain = cuda_program_explain,
};
