/* Short-time Fourier transforms that are written as a convolution of a signal by a windowed basis.
 *
 * A convolution adds up N products in float32, each weight of which was itself rounded: its result is known no better
 * than to gamma_N sum |x_n w_n|, where gamma_N = N 2^-24 / (1 - N 2^-24). A basis that differs from window cos and
 * window sin by at most 2^-22 of the window's largest factor moves the sum by no more than 2^-22 max |w| sum |x_n|,
 * which is the rounding of four of its terms at their largest, so the sum of that basis and the transform by the window
 * are one number for all that the convolution can tell. A fast transform adds up log2 N times where the convolution
 * does N times, and its own error stays below that bound. What differs by more is a convolution that was meant to be
 * one: trained weights, another transform. */
#include "graph/ops/tools.h"
#include "graph/ops/window.h"
#include "graph/passes/match.h"
#include "kernels/stft.h"

#include <math.h>

#define PI 3.14159265358979323846
#define TOLERANCE 0x1p-22 /* of a weight, of the window's largest factor */
#define LEAST_LENGTH 32
#define MOST_LENGTH 32768

/* --- bases --------------------------------------------------------------------------------------------------- */

enum wave { COSINE, SINE, MINUS_SINE };

/* Rows of `length` weights; row 0 is the window. */
struct basis {
    const float *rows;
    int64_t count, length;
    double tolerance;
    const double *cosines, *sines; /* over one turn */
};

/* Row `row` is the window times the wave of `bin`. */
static bool is_wave(const struct basis *basis, const float *row, int64_t bin, enum wave wave)
{
    const double *turn = wave == COSINE ? basis->cosines : basis->sines;
    double sign = wave == MINUS_SINE ? -1 : 1;
    for (int64_t n = 0, at = 0; n < basis->length; n++, at += at + bin < basis->length ? bin : bin - basis->length)
        if (!(fabs((double)row[n] - sign * (double)basis->rows[n] * turn[at]) <= basis->tolerance))
            return false;
    return true;
}

/* `count` rows from `first` on, `step` apart, are those of the bins in turn. */
static bool are_waves(const struct basis *basis, const float *first, int64_t step, int64_t count, enum wave wave)
{
    for (int64_t k = 0; k < count; k++)
        if (!is_wave(basis, first + k * step * basis->length, k, wave))
            return false;
    return true;
}

/* Those of an imaginary part, of either sign. */
static bool are_sines(const struct basis *basis, const float *first, int64_t step, int64_t count, bool *conjugate)
{
    *conjugate = !are_waves(basis, first, step, count, MINUS_SINE);
    return !*conjugate || are_waves(basis, first, step, count, SINE);
}

static bool is_smooth(int64_t n)
{
    static const int64_t primes[] = {2, 3, 5, 7};
    for (size_t i = 0; i < sizeof primes / sizeof primes[0]; i++)
        while (n % primes[i] == 0)
            n /= primes[i];
    return n == 1;
}

/* Weights of one input channel with two rows a bin, for an even number of samples, of which fast transforms are made.
 */
static bool is_candidate(const struct value *weights)
{
    if (!weights->data || weights->dtype != DTYPE_F32 || weights->rank < 3 || weights->dims[1] != 1 ||
        weights->dims[0] < 2 || weights->dims[0] % 2 != 0)
        return false;
    int64_t length = weights->dims[weights->rank - 1];
    return length >= LEAST_LENGTH && length <= MOST_LENGTH && length % 2 == 0 && is_smooth(length);
}

/* Of a candidate. False: its first row is no window. */
static bool begin_basis(struct region *scratch, const struct value *weights, struct basis *basis)
{
    int64_t length = weights->dims[weights->rank - 1];
    *basis = (struct basis){.rows = weights->data, .count = weights->dims[0], .length = length};
    double most = 0, *turn = region_array(scratch, (size_t)length * 2, sizeof *turn);
    for (int64_t n = 0; n < length; n++)
        most = fmax(most, fabs((double)basis->rows[n]));
    if (!turn || !(most > 0) || most > (double)INFINITY / 2)
        return false;
    for (int64_t n = 0; n < length; n++) {
        turn[n] = cos(2 * PI * (double)n / (double)length);
        turn[length + n] = sin(2 * PI * (double)n / (double)length);
    }
    basis->tolerance = most * TOLERANCE;
    basis->cosines = turn;
    basis->sines = turn + length;
    return true;
}

/* The rows are those of both parts of `bins` bins: all of one part and then all of the other, or in pairs. */
static bool has_parts(const struct basis *basis, int64_t bins, bool pairs, bool *conjugate)
{
    int64_t apart = pairs ? basis->length : bins * basis->length, step = 1 + pairs;
    return are_sines(basis, basis->rows + apart, step, bins, conjugate) &&
           are_waves(basis, basis->rows, step, bins, COSINE);
}

bool is_fourier_basis(const struct value *weights, struct region *scratch)
{
    struct basis basis;
    bool conjugate;
    if (!is_candidate(weights) || !begin_basis(scratch, weights, &basis))
        return false;
    int64_t bins = weights->dims[0] / 2;
    return bins <= basis.length / 2 + 1 && value_elements(weights) == weights->dims[0] * basis.length &&
           (has_parts(&basis, bins, false, &conjugate) || has_parts(&basis, bins, true, &conjugate));
}

/* --- what becomes of it -------------------------------------------------------------------------------------- */

/* A FrameSpectrum. */
struct spectrum {
    struct value *signal, *window;
    int64_t bins, frames, hop, start;
    bool conjugate, mirrored;
};

#define SPECTRUM_ATTRIBUTES 7

static const struct op *spectrum_op(void)
{
    return op_find(OWN_DOMAIN, "FrameSpectrum");
}

static void attributes_of(const struct spectrum *s, enum stft_result result, struct attribute *attributes)
{
    const struct attribute results[] = {ATTRIBUTE_TEXT("result", "parts"), ATTRIBUTE_TEXT("result", "pairs"),
                                        ATTRIBUTE_TEXT("result", "power"), ATTRIBUTE_TEXT("result", "magnitude")};
    const struct attribute all[SPECTRUM_ATTRIBUTES] = {ATTRIBUTE_I("bins", s->bins),
                                                       ATTRIBUTE_I("frames", s->frames),
                                                       ATTRIBUTE_I("hop", s->hop),
                                                       ATTRIBUTE_I("start", s->start),
                                                       ATTRIBUTE_I("mirrored", s->mirrored),
                                                       ATTRIBUTE_I("conjugate", s->conjugate),
                                                       results[result]};
    memcpy(attributes, all, sizeof all);
}

static enum status become_spectrum(struct rewriter *r, struct node *node, const struct spectrum *s,
                                   enum stft_result result)
{
    struct attribute attributes[SPECTRUM_ATTRIBUTES];
    attributes_of(s, result, attributes);
    return rewrite_as(r, node, spectrum_op(), 2, (struct value *[]){s->signal, s->window}, SPECTRUM_ATTRIBUTES,
                      attributes);
}

/* The node that makes the value is a FrameSpectrum with this result. */
static struct node *spectrum_maker(const struct rewriter *r, const struct value *value, const char *result,
                                   struct spectrum *s)
{
    struct node *node = !value->data && value->id < r->capacity ? r->makers[value->id] : NULL;
    if (!node || node->op != spectrum_op() || strcmp(node_string(node, "result"), result) != 0)
        return NULL;
    *s = (struct spectrum){.signal = node->inputs[0],
                           .window = node->inputs[1],
                           .bins = node_int(node, "bins"),
                           .frames = node_int(node, "frames"),
                           .hop = node_int(node, "hop"),
                           .start = node_int(node, "start"),
                           .conjugate = node_int(node, "conjugate") != 0,
                           .mirrored = node_int(node, "mirrored") != 0};
    return node;
}

/* --- the padding before it ----------------------------------------------------------------------------------- */

/* What becomes the value by axes of 1 alone; the last axis stays. */
static const struct value *without_axes(const struct rewriter *r, const struct value *value)
{
    const struct node *view = rewrite_sole_maker(r, value, "Unsqueeze");
    view = view ? view : rewrite_sole_maker(r, value, "Reshape");
    if (!view)
        return value;
    const struct value *from = view->inputs[0];
    bool same = from->rank > 0 && from->dims[from->rank - 1] == value->dims[value->rank - 1];
    return same && value_elements(from) == value_elements(value) ? from : value;
}

/* The Pad mirrors along the last axis, and does no more. */
static bool read_mirror(struct rewriter *r, struct node *pad, struct padding *padding)
{
    struct op_context c = r->c;
    struct error ignored = {0};
    c.node = pad;
    c.error = &ignored;
    int last = pad->inputs[0]->rank - 1;
    if (strcmp(node_string(pad, "mode"), "reflect") != 0 || op_padding(&c, padding) != STATUS_OK)
        return false;
    for (int i = 0; i < last; i++)
        if (padding->begin[i] != 0 || padding->end[i] != 0)
            return false;
    int64_t samples = pad->inputs[0]->dims[last];
    return padding->begin[last] >= 0 && padding->end[last] >= 0 && padding->begin[last] < samples &&
           padding->end[last] < samples;
}

/* A signal that was mirrored at its ends is read as if it were. */
static enum status take_in_mirror(struct rewriter *r, struct node *node, struct spectrum *s)
{
    const struct value *x = s->signal, *padded = without_axes(r, x);
    struct node *pad = rewrite_sole_maker(r, padded, "Pad");
    int64_t end = s->start + (s->frames - 1) * s->hop + s->window->dims[0];
    struct padding padding;
    if (!pad || s->start < 0 || end > x->dims[x->rank - 1] || !read_mirror(r, pad, &padding))
        return STATUS_OK;
    const struct value *from = pad->inputs[0];
    int64_t dims[4], rank = x->rank;
    memcpy(dims, x->dims, sizeof dims);
    dims[rank - 1] = from->dims[from->rank - 1];
    struct value *shape = rewrite_constant(r, DTYPE_I64, 1, &rank, dims);
    if (!shape)
        return op_built(&r->c);
    TRY(rewrite_absorb(r, node, pad));
    if (padded != x)
        TRY(rewrite_absorb(r, node, r->makers[x->id]));
    s->signal = rewrite_build(r, op_find("", "Reshape"), 2, (struct value *[]){pad->inputs[0], shape}, 0, NULL);
    s->start -= padding.begin[from->rank - 1];
    s->mirrored = true;
    return s->signal ? STATUS_OK : r->c.error->status;
}

/* --- convolutions -------------------------------------------------------------------------------------------- */

/* The frames that a convolution of one channel along the last axis looks at. False: it is another one. */
static bool read_frames(struct rewriter *r, struct node *conv, struct spectrum *s)
{
    const struct value *x = conv->inputs[0], *weights = conv->inputs[1];
    struct op_context c = r->c;
    struct error ignored = {0};
    struct window w;
    int64_t groups;
    const int last = SPATIAL_AXES - 1;
    c.node = conv;
    c.error = &ignored;
    bool flat = x->rank == 3 || (x->rank == 4 && x->dims[2] == 1 && weights->dims[2] == 1);
    bool biased = conv->input_count > 2 && conv->inputs[2];
    if (!flat || biased || x->dtype != DTYPE_F32 || x->dims_at_run || x->dims[1] != 1 || x->dims[0] == 0 ||
        op_conv_window(&c, &w, &groups) != STATUS_OK || groups != 1)
        return false;
    *s = (struct spectrum){
        .signal = conv->inputs[0], .frames = w.output[last], .hop = w.stride[last], .start = -w.pad[last]};
    return w.dilation[last] == 1 && w.output[last - 1] == 1 && w.pad[last - 1] == 0 && w.pad_after[last - 1] == 0 &&
           s->frames > 0 && s->frames <= INT32_MAX;
}

/* Multiply-adds of the convolution against those of the transform and of moving frames to its lanes, which weigh as
 * much: a group of lanes costs the same whether all have a frame. Measured on Zen 4. */
static bool pays(const struct spectrum *s, int64_t length)
{
    const double lanes = 16, groups = ceil((double)s->frames / lanes);
    double direct = fmax((double)s->frames, 2) * 2 * (double)s->bins;
    return direct > groups * lanes * 4 * log2((double)length);
}

static struct value *window_of(struct rewriter *r, const struct basis *basis)
{
    return rewrite_constant(r, DTYPE_F32, 1, &basis->length, basis->rows);
}

/* Both parts by one convolution. */
static enum status try_parts(struct rewriter *r, struct node *conv, struct spectrum *s, const struct basis *basis,
                             bool pairs)
{
    if (!has_parts(basis, s->bins, pairs, &s->conjugate))
        return STATUS_OK;
    if (!(s->window = window_of(r, basis)))
        return op_built(&r->c);
    TRY(take_in_mirror(r, conv, s));
    return become_spectrum(r, conv, s, pairs ? STFT_PAIRS : STFT_PARTS);
}

static enum status visit_conv(struct rewriter *r, struct node *conv)
{
    const struct value *weights = conv->inputs[1];
    struct basis basis;
    struct spectrum s;
    if (!is_candidate(weights) || !rewrite_fits(r, (size_t)weights->dims[weights->rank - 1] * sizeof(float) + 64) ||
        !read_frames(r, conv, &s) || !begin_basis(&r->context->scratch, weights, &basis))
        return STATUS_OK;
    s.bins = weights->dims[0] / 2;
    if (s.bins > basis.length / 2 + 1 || !pays(&s, basis.length))
        return STATUS_OK;
    TRY(try_parts(r, conv, &s, &basis, false));
    return is_op(conv, "Conv") ? try_parts(r, conv, &s, &basis, true) : STATUS_OK;
}

/* --- power and magnitude behind it --------------------------------------------------------------------------- */

/* Some channels and frames of a spectrum. */
struct part {
    struct value *whole;
    int64_t channel, channels, frame, frames;
};

/* value = (a part of a spectrum)^2 */
static bool match_part(struct match *m, struct value *value, struct part *part)
{
    struct op_context c = m->r->c;
    struct error ignored = {0};
    struct slice slice;
    struct value *x;
    struct node *node = match_square(m, value, &x) ? match_maker(m, x, "Slice") : NULL;
    c.node = node;
    c.error = &ignored;
    if (!node || op_slice(&c, &slice) != STATUS_OK)
        return false;
    int last = node->inputs[0]->rank - 1;
    for (int i = 0; i <= last; i++)
        if (slice.step[i] != 1 || (i != 1 && i != last && slice.count[i] != node->inputs[0]->dims[i]))
            return false;
    *part = (struct part){node->inputs[0], slice.start[1], slice.count[1], slice.start[last], slice.count[last]};
    return true;
}

/* re^2 + im^2, of all bins and the same frames of both; nobody else reads the parts. */
static enum status visit_sum(struct rewriter *r, struct node *sum)
{
    struct match m = match_begin(r);
    struct part a, b;
    struct spectrum s;
    if (!match_part(&m, sum->inputs[0], &a) || !match_part(&m, sum->inputs[1], &b) || a.whole != b.whole ||
        a.frame != b.frame || a.frames != b.frames || a.frames == 0 || a.channel == b.channel ||
        r->readers[a.whole->id] != 2 || !match_closed(&m))
        return STATUS_OK;
    const struct node *parts = spectrum_maker(r, a.whole, "parts", &s);
    if (!parts || a.channels != s.bins || b.channels != s.bins || a.channel + b.channel != s.bins)
        return STATUS_OK;
    s.frames = a.frames;
    s.start += a.frame * s.hop;
    TRY(match_absorb(&m));
    TRY(rewrite_absorb(r, sum, parts));
    return become_spectrum(r, sum, &s, STFT_POWER);
}

/* The parts of each bin lie along axis 1 of a view, and their squares are summed up. */
static enum status visit_squares(struct rewriter *r, struct node *sum)
{
    const struct node *view = rewrite_sole_maker(r, sum->inputs[0], "Reshape");
    struct op_context c = r->c;
    struct spectrum s;
    int axes[MAX_RANK], count;
    if (!view || view->inputs[0]->rank != 3 || !rewrite_sole(r, view->inputs[0]) || node_int(sum, "keepdims") != 0)
        return STATUS_OK;
    const struct node *parts = spectrum_maker(r, view->inputs[0], "parts", &s);
    const struct value *halves = sum->inputs[0];
    TRY(op_axes(&c, "axes", 1, halves->rank, axes, &count));
    if (!parts || halves->rank != 4 || count != 1 || axes[0] != 1 || halves->dims[1] != 2 ||
        halves->dims[2] != s.bins || halves->dims[3] != s.frames)
        return STATUS_OK;
    TRY(rewrite_absorb(r, sum, parts));
    TRY(rewrite_absorb(r, sum, view));
    return become_spectrum(r, sum, &s, STFT_POWER);
}

static enum status visit_root(struct rewriter *r, struct node *root)
{
    const struct value *power = root->inputs[0];
    struct spectrum s;
    const struct node *node = rewrite_sole(r, power) ? spectrum_maker(r, power, "power", &s) : NULL;
    if (!node)
        return STATUS_OK;
    TRY(rewrite_absorb(r, root, node));
    return become_spectrum(r, root, &s, STFT_MAGNITUDE);
}

static enum status visit(struct rewriter *r, struct node *node)
{
    if (is_op(node, "Conv"))
        return visit_conv(r, node);
    if (is_op(node, "Add"))
        return visit_sum(r, node);
    if (is_op(node, "ReduceSumSquare"))
        return visit_squares(r, node);
    return is_op(node, "Sqrt") ? visit_root(r, node) : STATUS_OK;
}

/* Most graphs have none, and are spared the walk. */
static bool has_candidate(const struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++)
        if (is_op(graph->nodes[i], "Conv") && is_candidate(graph->nodes[i]->inputs[1]))
            return true;
    return false;
}

enum status recognise_stft(struct graph *graph, struct pass_context *context, struct error *error)
{
    return context->on_host && has_candidate(graph) ? rewrite_graph(graph, context, visit, error) : STATUS_OK;
}
