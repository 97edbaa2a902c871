/* FrameSpectrum of our own domain: spectra of overlapping frames of signals in one step, for passes that recognise
 * them.
 *
 * inputs: signals f32 [batch, 1, samples] or [batch, 1, 1, samples], a window f32 [length]; output
 * [batch, channels, frames] or [batch, channels, 1, frames].
 *
 * bins: how many, from that of frequency 0 on, at most length / 2 + 1; hop: from frame to frame; start (0): where the
 * first frame begins, which may be outside of the signal; mirrored (0): the signal goes on there, mirrored, rather than
 * with zeros; conjugate (0): bins are sums times exp(+2 pi i k n / length); result ("parts"): channels are the real
 * parts of all bins and then the imaginary ones; "pairs": the same, bin by bin; "power", "magnitude": of each bin.
 * kernels/stft.h has them to the letter. */
#include "graph/ops/tools.h"
#include "graph/ops/window.h"
#include "kernels/stft.h"

static enum status read_result(struct op_context *c, enum stft_result *result)
{
    static const char *const names[] = {"parts", "pairs", "power", "magnitude"};
    const char *given = op_string(c, "result");
    for (int i = STFT_PARTS; i <= STFT_MAGNITUDE; i++)
        if (strcmp(given, names[i]) == 0) {
            *result = (enum stft_result)i;
            return STATUS_OK;
        }
    return op_error(c, STATUS_INVALID_MODEL, "result is '%s'", given);
}

/* A mirrored signal reaches to its other end and no further. */
static bool reaches_frames(const struct stft_params *p)
{
    int64_t end = p->start + (p->frames - 1) * p->hop + p->length;
    return !p->mirrored || (p->start > -p->samples && end < 2 * p->samples);
}

static enum status read_params(struct op_context *c, struct stft_params *p)
{
    const struct value *x = op_input(c, 0), *window = op_input(c, 1);
    TRY(op_require(c, 0, TYPE(DTYPE_F32)));
    TRY(op_require(c, 1, TYPE(DTYPE_F32)));
    TRY(op_require_rank(c, 0, 3, 4));
    TRY(op_require_rank(c, 1, 1, 1));
    *p = (struct stft_params){
        .batch = x->dims[0],
        .samples = x->dims[x->rank - 1],
        .x_batch = x->dims[x->rank - 1],
        .frames = op_int(c, "frames"),
        .hop = op_int(c, "hop"),
        .start = op_int(c, "start"),
        .length = window->dims[0],
        .bins = op_int(c, "bins"),
        .mirrored = op_int(c, "mirrored") != 0,
        .conjugate = op_int(c, "conjugate") != 0,
    };
    if (x->dims[1] != 1 || x->dims[x->rank - 2] != 1)
        return op_error(c, STATUS_INVALID_ARGUMENT, "a signal must have one channel");
    const int64_t numbers[] = {p->frames, p->hop, p->length, p->bins,
                               p->start < 0 ? -(p->start + 1) + 1 : p->start + 1};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i] < 1 || numbers[i] > INT32_MAX)
            return op_error(c, STATUS_INVALID_MODEL, "frames, hop, window, bins or start are out of range");
    if (p->bins > p->length / 2 + 1)
        return op_error(c, STATUS_INVALID_MODEL, "%lld bins are more than a real frame of %lld samples has",
                        (long long)p->bins, (long long)p->length);
    if (!reaches_frames(p))
        return op_error(c, STATUS_INVALID_ARGUMENT, "the frames reach further than a mirrored signal of %lld samples",
                        (long long)p->samples);
    return read_result(c, &p->result);
}

static enum status shapes_frame_spectrum(struct op_context *c)
{
    struct stft_params p;
    TRY(read_params(c, &p));
    int rank = op_input(c, 0)->rank;
    int64_t dims[4] = {p.batch, stft_channels(&p), 1};
    dims[rank - 1] = p.frames;
    return op_set_output(c, 0, DTYPE_F32, rank, dims);
}

static enum status lower_frame_spectrum(struct op_context *c)
{
    struct stft_params p;
    TRY(read_params(c, &p));
    if (p.batch == 0)
        return STATUS_OK;
    p.y = op_image_strides(op_output(c, 0));
    struct value *inputs[3] = {op_input(c, 0), op_input(c, 1), op_roots_of_unity(c, p.length)};
    if (!inputs[2])
        return op_no_memory(c);
    return op_emit(c, FAMILY_stft, &p, sizeof p, 3, inputs, 1, c->node->outputs, 0);
}

const struct op op_infer_FrameSpectrum = {
    .domain = OWN_DOMAIN,
    .name = "FrameSpectrum",
    .min_inputs = 2,
    .max_inputs = 2,
    .min_outputs = 1,
    .max_outputs = 1,
    ATTRIBUTES_OF(infer_FrameSpectrum),
    .shapes = shapes_frame_spectrum,
    .lower = lower_frame_spectrum,
};
