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
