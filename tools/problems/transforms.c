/* Determinants and Fourier transforms. */
#include "kernels/det.h"
#include "kernels/dft.h"
#include "kernels/stft.h"
#include "tools/problems/images.h"
#include "tools/problems/make.h"

#include <math.h>
#include <stdio.h>

static void make_det(struct maker *maker)
{
    struct det_params *p = make_params(maker, sizeof *p);
    p->dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F64));
    p->n = random_between(&maker->random, 1, 7);
    p->batch = make_size(maker, 40);
    make_fit_tasks(maker, 1, (int64_t *const[]){&p->batch}, 1 + p->n * p->n * p->n, 18000);
    struct operand *x = add_input(maker, "x", p->dtype), *y = add_output(maker, "y", p->dtype);
    strided_contiguous(&x->at, 3, (int64_t[]){p->batch, p->n, p->n});
    strided_contiguous(&y->at, 1, &p->batch);
    /* Elements lie in [-2, 2): Hadamard's bound of the determinant, about. */
    double unit = p->dtype == DTYPE_F32 ? 0x1p-23 : 0x1p-52, n = (double)p->n;
    y->bound.absolute = unit * 16 * n * pow(1.5 * sqrt(n), n);
    describe(maker, " %s batch=%lld n=%lld", dtype_name(p->dtype), (long long)p->batch, (long long)p->n);
}

const struct family_problems det_problems = {.family = FAMILY_det, .make = make_det};

/* exp(-2 pi i k / length) */
static void give_roots(struct maker *maker, int64_t length)
{
    struct operand *roots = add_input(maker, "roots", DTYPE_F64);
    double *given = make_room(maker, (size_t)length * 2, sizeof *given);
    for (int64_t k = 0; k < length; k++) {
        double angle = 2 * 3.14159265358979323846 * (double)k / (double)length;
        given[2 * k] = cos(angle);
        given[2 * k + 1] = -sin(angle);
    }
    strided_contiguous(&roots->at, 2, (int64_t[]){length, 2});
    roots->constant = true;
    roots->fill = FILL_GIVEN;
    roots->given = given;
}

static void add_dft_operands(struct maker *maker, const struct dft_params *p)
{
    enum dtype dtype = (enum dtype)p->dtype;
    struct operand *x = add_input(maker, "x", dtype);
    strided_contiguous(&x->at, 4, (int64_t[]){p->outer, p->count, p->inner, p->parts});
    give_roots(maker, p->length);
    struct operand *y = add_output(maker, "y", dtype);
    strided_contiguous(&y->at, 4, (int64_t[]){p->outer, p->bins, p->inner, p->parts_out});
    y->bound.largest = 32;
    y->bound.absolute = dtype == DTYPE_F32 ? 1e-5 : 1e-14;
}

static void make_dft(struct maker *maker)
{
    struct dft_params *p = make_params(maker, sizeof *p);
    enum dtype dtype = make_dtype(maker, DTYPES(DTYPE_F32, DTYPE_F64));
    p->dtype = (uint8_t)dtype;
    p->outer = make_size(maker, 20);
    p->inner = random_once_in(&maker->random, 2) ? 1 : make_size(maker, 10);
    p->length = make_size(maker, 130);
    make_fit_tasks(maker, 3, (int64_t *const[]){&p->outer, &p->inner, &p->length}, 1, 4600);
    p->inverse = random_once_in(&maker->random, 2);
    p->half = random_once_in(&maker->random, 4);
    p->parts = p->half ? 2 : (int)random_between(&maker->random, 1, 2);
    p->parts_out = p->half ? 1 : 2;
    p->count = p->half ? p->length / 2 + 1 : p->length;
    if (random_once_in(&maker->random, 3))
        p->count = random_between(&maker->random, 1, 2 * p->length);
    p->bins = random_once_in(&maker->random, 2) ? p->length : p->length / 2 + 1;
    add_dft_operands(maker, p);
    describe(maker, " %s outer=%lld count=%lld inner=%lld length=%lld bins=%lld parts=%d,%d inverse=%d half=%d",
             dtype_name(dtype), (long long)p->outer, (long long)p->count, (long long)p->inner, (long long)p->length,
             (long long)p->bins, p->parts, p->parts_out, p->inverse, p->half);
}

/* --- short-time spectra -------------------------------------------------------------------------------------- */

static void add_stft_operands(struct maker *maker, const struct stft_params *p)
{
    const int64_t positions[SPATIAL_AXES] = {1, 1, p->frames};
    struct operand *x = add_input(maker, "x", DTYPE_F32), *window = add_input(maker, "window", DTYPE_F32);
    strided_axis(&x->at, p->batch, p->x_batch);
    strided_axis(&x->at, p->samples, 1);
    strided_contiguous(&window->at, 1, &p->length);
    give_roots(maker, p->length);
    struct operand *y = add_output(maker, "y", DTYPE_F32);
    strided_image(&y->at, p->batch, stft_channels(p), positions, &p->y);
    y->bound.largest = 32;
    y->bound.absolute = 1e-5;
}

/* Frames may begin before the signal and end after it; where it is mirrored, no further away than its other end. */
static void place_frames(struct random *random, struct stft_params *p)
{
    int64_t reach = p->length + (p->frames - 1) * p->hop, outside = p->mirrored ? 0 : 3;
    p->start = random_once_in(random, 2) ? 0 : random_between(random, -p->length - outside, outside);
    p->samples = random_between(random, 1, reach + outside);
    if (!p->mirrored)
        return;
    while (p->start <= -p->samples || p->start + reach >= 2 * p->samples)
        p->samples++;
}

static void make_stft(struct maker *maker)
{
    struct stft_params *p = make_params(maker, sizeof *p);
    struct random *random = &maker->random;
    p->batch = make_size(maker, 5);
    p->frames = make_size(maker, 20);
    p->length = make_size(maker, 100);
    make_fit_tasks(maker, 3, (int64_t *const[]){&p->batch, &p->frames, &p->length}, 1, 4600);
    p->length *= 1 + random_below(random, 2);
    p->hop = make_size(maker, p->length);
    p->bins = random_once_in(random, 3) ? random_between(random, 1, p->length / 2 + 1) : p->length / 2 + 1;
    p->result = (enum stft_result)random_below(random, STFT_MAGNITUDE + 1);
    p->mirrored = random_once_in(random, 2);
    p->conjugate = random_once_in(random, 2);
    place_frames(random, p);
    p->x_batch = p->samples + random_below(random, 3);
    p->y = make_image(maker, LAYOUT_ANY, p->batch, stft_channels(p), (const int64_t[]){1, 1, p->frames});
    add_stft_operands(maker, p);
    describe(maker,
             " batch=%lld samples=%lld frames=%lld hop=%lld start=%lld length=%lld bins=%lld result=%d mirrored=%d",
             (long long)p->batch, (long long)p->samples, (long long)p->frames, (long long)p->hop, (long long)p->start,
             (long long)p->length, (long long)p->bins, (int)p->result, p->mirrored);
    describe_image(maker, "y", &p->y);
}

/* The front ends of Silero VAD, 32 chunks and one; Whisper's and NeMo's, of ten seconds. */
static const struct {
    int64_t batch, frames, length, hop;
    enum stft_result result;
} spectra[] = {{32, 4, 256, 128, STFT_MAGNITUDE},
               {1, 4, 256, 128, STFT_MAGNITUDE},
               {1, 1001, 400, 160, STFT_POWER},
               {1, 1001, 512, 160, STFT_PARTS}};

static void make_listed_stft(struct maker *maker, size_t index)
{
    struct stft_params *p = make_params(maker, sizeof *p);
    *p = (struct stft_params){.batch = spectra[index].batch,
                              .frames = spectra[index].frames,
                              .length = spectra[index].length,
                              .hop = spectra[index].hop,
                              .result = spectra[index].result,
                              .bins = spectra[index].length / 2 + 1,
                              .start = -spectra[index].length / 2,
                              .mirrored = true};
    p->samples = p->x_batch = (p->frames - 1) * p->hop + 1;
    int64_t channels = stft_channels(p);
    p->y = (struct image_strides){channels * p->frames, 1, {1, 1, channels}};
    add_stft_operands(maker, p);
    snprintf(maker->problem->name, sizeof maker->problem->name, "stft %lldx%lldx%lld", (long long)p->batch,
             (long long)p->frames, (long long)p->length);
}

const struct family_problems stft_problems = {
    .family = FAMILY_stft,
    .make = make_stft,
    .table_count = sizeof spectra / sizeof spectra[0],
    .make_listed = make_listed_stft,
};

/* --- real ones ----------------------------------------------------------------------------------------------- */

/* Short-time spectra of speech: those of NeMo and Kaldi, Whisper's, one of music; a long line; and one back. */
static const struct {
    int64_t lines, length;
    bool inverse;
} cases[] = {{100, 512, false}, {3001, 400, false}, {400, 2048, false}, {1, 16000, false}, {200, 1024, true}};

static void make_listed_dft(struct maker *maker, size_t index)
{
    struct dft_params *p = make_params(maker, sizeof *p);
    bool inverse = cases[index].inverse;
    int64_t length = cases[index].length;
    *p = (struct dft_params){.outer = cases[index].lines,
                             .count = inverse ? length / 2 + 1 : length,
                             .inner = 1,
                             .length = length,
                             .bins = inverse ? length : length / 2 + 1,
                             .parts = inverse ? 2 : 1,
                             .parts_out = inverse ? 1 : 2,
                             .inverse = inverse,
                             .half = inverse,
                             .dtype = DTYPE_F32};
    add_dft_operands(maker, p);
    snprintf(maker->problem->name, sizeof maker->problem->name, "dft %lldx %lld%s", (long long)p->outer,
             (long long)length, inverse ? " inverse" : "");
}

const struct family_problems dft_problems = {
    .family = FAMILY_dft,
    .make = make_dft,
    .table_count = sizeof cases / sizeof cases[0],
    .make_listed = make_listed_dft,
};
