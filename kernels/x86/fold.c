#include "kernels/x86/fold.h"

#include <string.h>

#define MOST_TERMS 1024 /* of a sum of which others are made; a multiple of 16 */

/* A way through all that is folded, in pieces of its last axis, none longer than what may be added up at a time. */
struct pieces {
    const struct folded *folded;
    const float *from;
    int64_t run, done; /* the run under way, and how much of it has been gone through */
    int64_t terms;     /* since sums were put away */
};

/* Whether there is a piece; `count` elements of it at `at`. full: sums are to be put away before it. */
static bool next_piece(struct pieces *pieces, const float **at, int64_t *count, bool *full)
{
    const struct folded *f = pieces->folded;
    int outer = f->rank - 1;
    if (pieces->done == f->dims[outer]) {
        pieces->done = 0;
        pieces->run++;
    }
    if (pieces->run == elements(outer, f->dims) || f->dims[outer] == 0)
        return false;
    *at = pieces->from + offset_at(outer, f->dims, f->strides, pieces->run) + pieces->done * f->strides[outer];
    *count = least(f->dims[outer] - pieces->done, MOST_TERMS);
    *full = pieces->terms + *count > MOST_TERMS;
    pieces->terms = *full ? *count : pieces->terms + *count;
    pieces->done += *count;
    return true;
}

float SET_NAME(fold_along)(const struct fold *fold, const struct folded *folded, const float *from, float shift)
{
    struct pieces pieces = {folded, from, 0, 0, 0};
    struct wide partial = wide_set(fold->start);
    bool adds = !fold->join, full;
    double total = 0;
    const float *at;
    for (int64_t n; next_piece(&pieces, &at, &n, &full);) {
        if (adds && full) {
            total += (double)wide_sum(partial);
            partial = wide_set(0);
        }
        fold->along(&partial, at, n, folded->strides[folded->rank - 1], shift);
    }
    return adds ? (float)(total + (double)wide_sum(partial)) : fold->join(partial);
}

void SET_NAME(fold_across)(const struct fold *fold, const struct folded *folded, const float *from, int64_t n,
                           int64_t step, const vf *shifts, vf *results)
{
    struct pieces pieces = {folded, from, 0, 0, 0};
    vf stripes[STRIPES], totals[STRIPES];
    bool adds = !fold->join, full;
    const float *at;
    for (int k = 0; k < STRIPES; k++) {
        totals[k] = vf_set(0);
        stripes[k] = vf_set(fold->start);
    }
    for (int64_t rows; next_piece(&pieces, &at, &rows, &full);) {
        for (int k = 0; adds && full && k < STRIPES; k++) {
            totals[k] = vf_add(totals[k], stripes[k]);
            stripes[k] = vf_set(0);
        }
        fold->across(stripes, at, n, step, rows, folded->strides[folded->rank - 1], shifts);
    }
    for (int k = 0; k < STRIPES; k++)
        results[k] = adds ? vf_add(totals[k], stripes[k]) : stripes[k];
}

/* --- bytes ------------------------------------------------------------------------------------------------------- */

/* What makes signed bytes unsigned ones that are larger by 128: 0x80. */
#define TURN 0x80

/* Adds `rows` rows of `vectors` vectors, each row `down` after the one before. */
static inline __attribute__((always_inline)) void add_rows(vi *sums, const uint8_t *from, int64_t rows, int64_t down,
                                                           vi turn, int vectors)
{
    vi stripes[STRIPES];
    for (int k = 0; k < vectors; k++)
        stripes[k] = sums[k];
    for (int64_t i = 0; i < rows; i++)
        for (int k = 0; k < vectors; k++)
            stripes[k] = vi_add(stripes[k], vi_xor(vi_load_u8(from + i * down + k * LANES), turn));
    for (int k = 0; k < vectors; k++)
        sums[k] = stripes[k];
}

/* Adds rows of n bytes side by side. The last vector of a row may reach into the next one; what it finds there goes
 * into sums that nobody reads. The last rows are copied. */
static void sum_across(vi *sums, const uint8_t *from, int64_t n, int64_t rows, int64_t down, vi turn)
{
    const int64_t vectors = (n + LANES - 1) / LANES, over = vectors * LANES - n;
    const int64_t copied = over == 0  ? 0
                           : down > 0 ? least(rows, (over + down - 1) / down)
                                      : rows,
                  whole = rows - copied;
    switch (vectors) {
    case 1:
        add_rows(sums, from, whole, down, turn, 1);
        break;
    case 2:
        add_rows(sums, from, whole, down, turn, 2);
        break;
    case 3:
        add_rows(sums, from, whole, down, turn, 3);
        break;
    default:
        add_rows(sums, from, whole, down, turn, STRIPES);
    }
    for (int64_t i = whole; i < rows; i++) {
        uint8_t bytes[STRIPES * LANES] = {0};
        memcpy(bytes, from + i * down, (size_t)n);
        add_rows(sums, bytes, 1, 0, turn, STRIPES);
    }
}

static int32_t sum_along(const uint8_t *from, int64_t n, int64_t step, uint8_t turn)
{
    int32_t lanes[LANES], sum = 0;
    int64_t i = 0;
    vi vectors = vi_set(0);
    for (; step == 1 && i + LANES <= n; i += LANES)
        vectors = vi_add(vectors, vi_xor(vi_load_u8(from + i), vi_set(turn)));
    vi_store(lanes, vectors);
    for (int k = 0; k < LANES; k++)
        sum += lanes[k];
    for (; i < n; i++)
        sum += from[i * step] ^ turn;
    return sum;
}

void SET_NAME(mean_bytes)(const struct folded *f, const uint8_t *from, bool is_signed, int64_t n, int64_t step,
                          vf *results)
{
    const int outer = f->rank - 1;
    const int64_t count = elements(f->rank, f->dims), inner = f->dims[outer], down = f->strides[outer];
    const uint8_t turn = is_signed ? TURN : 0;
    int32_t sums[STRIPES * LANES] = {0};
    vi stripes[STRIPES];
    for (int k = 0; k < STRIPES; k++)
        stripes[k] = vi_set(0);
    for (int64_t i = 0; count > 0 && i < elements(outer, f->dims); i++) {
        const uint8_t *at = from + offset_at(outer, f->dims, f->strides, i);
        if (step == 1)
            sum_across(stripes, at, n, inner, down, vi_set(turn));
        for (int64_t j = 0; step != 1 && j < n; j++)
            sums[j] += sum_along(at + j * step, inner, down, turn);
    }
    for (int k = 0; k < STRIPES; k++) {
        const vi sum = vi_sub(vi_add(stripes[k], vi_load(sums + k * LANES)), vi_set((int32_t)(turn * count)));
        results[k] = vf_div(vi_to_floats(sum), vf_set((float)count));
    }
}
