#include "kernels/x86/fold.h"

FOLD(add, vf_add(s, x))
const struct fold SET_NAME(fold_sum) = {add_along, add_across, NULL, 0};

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

#define ROW (STRIPES * LANES)

/* Adds `rows` rows of ROW bytes, each `down` after the one before. */
static __attribute__((noinline)) void add_rows(int32_t *sums, const uint8_t *from, int64_t rows, int64_t down, vi turn)
{
    vi stripes[STRIPES];
    _Pragma("GCC unroll 4") for (int k = 0; k < STRIPES; k++) stripes[k] = vi_load(sums + k * LANES);
    for (int64_t i = 0; i < rows; i++, from += down)
        _Pragma("GCC unroll 4") for (int k = 0; k < STRIPES; k++) stripes[k] =
            vi_add(stripes[k], vi_xor(vi_load_u8(from + k * LANES), turn));
    _Pragma("GCC unroll 4") for (int k = 0; k < STRIPES; k++) vi_store(sums + k * LANES, stripes[k]);
}

/* Adds rows of n bytes `step` apart. */
static void add_bytes(int32_t *sums, const uint8_t *from, int64_t n, int64_t step, int64_t rows, int64_t down,
                      uint8_t turn)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++)
            sums[j] += from[i * down + j * step] ^ turn;
}

/* Rows whose ROW bytes reach into no more than the rows after them; what they find there goes into sums that nobody
 * reads. */
static int64_t wide_rows(int64_t n, int64_t step, int64_t rows, int64_t down)
{
    const int64_t last = ROW > n ? (ROW - n - 1) / (down > 0 ? down : 1) + 1 : 0;
    return step == 1 && down > 0 && rows > last ? rows - last : 0;
}

/* Small rather than fast: add_rows takes the time. */
__attribute__((cold)) void SET_NAME(mean_bytes)(const struct folded *f, const uint8_t *from, bool is_signed, int64_t n,
                                                int64_t step, float *means)
{
    const int outer = f->rank - 1;
    const int64_t count = elements(f->rank, f->dims), inner = f->dims[outer], down = f->strides[outer];
    const int64_t wide = wide_rows(n, step, inner, down);
    const uint8_t turn = is_signed ? TURN : 0;
    int32_t sums[ROW] = {0};
    for (int64_t i = 0; count > 0 && i < elements(outer, f->dims); i++) {
        const uint8_t *at = from + offset_at(outer, f->dims, f->strides, i);
        add_rows(sums, at, wide, down, vi_set(turn));
        add_bytes(sums, at + wide * down, n, step, inner - wide, down, turn);
    }
    for (int k = 0; k < STRIPES; k++) {
        const vi sum = vi_sub(vi_load(sums + k * LANES), vi_set((int32_t)(turn * count)));
        vf_store(means + k * LANES, vf_div(vi_to_floats(sum), vf_set((float)count)));
    }
}
