/* Family ngrams: how often n-grams of a pool occur in rows of tokens. */
#ifndef INFER_KERNELS_NGRAMS_H
#define INFER_KERNELS_NGRAMS_H

#include "kernels/kernel.h"

#define NGRAMS_MAX_LENGTH 16

enum ngrams_weighting { NGRAMS_COUNT, NGRAMS_PRESENCE, NGRAMS_WEIGHTED_COUNT };

/* inputs: tokens [rows, length]; the pool, int64: all 1-grams in order, then all 2-grams in order, ...; int32 the
 * column that counts each of them; f32 a weight a column, or absent. output: f32 [rows, columns]. The tokens of an
 * n-gram stand next to one another, or 1 ... skips other tokens apart. */
struct ngrams_params {
    int64_t rows, length, columns, skips;
    int64_t counts[NGRAMS_MAX_LENGTH]; /* [n - 1]: how many n-grams the pool has */
    int shortest, longest;
    uint8_t weighting;
    uint8_t token_dtype; /* DTYPE_I32 or DTYPE_I64 */
};

#endif
