/* Col2Im and TfIdfVectorizer. */
#include "graph/ops/tools.h"
#include "graph/ops/window.h"
#include "kernels/col2im.h"
#include "kernels/ngrams.h"
#include "kernels/sort.h"

#include <string.h>

/* --- Col2Im ------------------------------------------------------------------------------------------------------- */

/* The window that the kernel wants: blocks are what pixels of the image are made from. */
static enum status read_col2im(struct op_context *c, int *rank, struct window *w)
{
    int64_t image[SPATIAL_AXES], block[SPATIAL_AXES], strides[SPATIAL_AXES], dilations[SPATIAL_AXES];
    int64_t pads[2 * SPATIAL_AXES];
    int count;
    TRY(op_ints(c, 1, SPATIAL_AXES, image, rank));
    TRY(op_ints(c, 2, SPATIAL_AXES, block, &count));
    if (*rank < 1 || count != *rank)
        return op_error(c, STATUS_INVALID_MODEL, "the image has %d axes, the blocks %d", *rank, count);
    TRY(op_window_list(c, "strides", *rank, 1, 1, strides));
    TRY(op_window_list(c, "dilations", *rank, 1, 1, dilations));
    TRY(op_window_list(c, "pads", 2 * *rank, 0, 0, pads));
    *w = op_unit_window();
    for (int i = 0; i < *rank; i++) {
        int axis = SPATIAL_AXES - *rank + i;
        if (image[i] < 1 || block[i] < 1 || image[i] > INT32_MAX || block[i] > INT32_MAX)
            return op_error(c, STATUS_INVALID_ARGUMENT, "axis %d of the image or the blocks is not positive", i);
        int64_t room = image[i] + pads[i] + pads[*rank + i] - dilations[i] * (block[i] - 1) - 1;
        w->input[axis] = room < 0 ? 0 : room / strides[i] + 1;
        w->output[axis] = image[i];
        w->kernel[axis] = block[i];
        w->spread[axis] = strides[i];
        w->dilation[axis] = -dilations[i];
        w->pad[axis] = -pads[i];
    }
    return STATUS_OK;
}

static enum status shapes_col2im(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    struct window w;
    int rank;
    int64_t taps, blocks, dims[2 + SPATIAL_AXES];
    TRY(op_require(c, 0, TYPES_NUMERIC));
    TRY(op_require_rank(c, 0, 3, 3));
    TRY(read_col2im(c, &rank, &w));
    if (!shape_elements(SPATIAL_AXES, w.kernel, &taps) || !shape_elements(SPATIAL_AXES, w.input, &blocks) ||
        input->dims[1] % taps != 0 || input->dims[2] != blocks)
        return op_error(c, STATUS_INVALID_ARGUMENT, "%lld x %lld columns do not make up the blocks of the image",
                        (long long)input->dims[1], (long long)input->dims[2]);
    dims[0] = input->dims[0];
    dims[1] = input->dims[1] / taps;
    memcpy(dims + 2, w.output + SPATIAL_AXES - rank, (size_t)rank * sizeof *dims);
    return op_set_output(c, 0, input->dtype, rank + 2, dims);
}

static enum status lower_col2im(struct op_context *c)
{
    struct value *input = op_input(c, 0), *output = op_output(c, 0);
    struct col2im_params params = {.planes = output->dims[0] * output->dims[1], .dtype = (uint8_t)input->dtype};
    int rank;
    TRY(read_col2im(c, &rank, &params.window));
    if (value_elements(output) == 0)
        return STATUS_OK;
    return op_emit(c, FAMILY_col2im, &params, sizeof params, 1, &input, 1, &output, 0);
}

OPERATOR(Col2Im, 3, 3, 1, 1, shapes_col2im, .lower = lower_col2im)

/* --- TfIdfVectorizer ---------------------------------------------------------------------------------------------- */

static enum status read_ngrams(struct op_context *c, struct ngrams_params *p)
{
    int pool, sizes, places, weights;
    const int64_t *starts = op_int_list(c, "ngram_counts", &sizes), *indices = op_int_list(c, "ngram_indexes", &places);
    int64_t shortest = op_int(c, "min_gram_length"), longest = op_int(c, "max_gram_length");
    memset(p, 0, sizeof *p);
    op_float_list(c, "weights", &weights);
    if (!op_int_list(c, "pool_int64s", &pool))
        return op_error(c, STATUS_UNSUPPORTED, "its pool holds strings, which are not supported");
    if (shortest < 1 || longest < shortest || longest > NGRAMS_MAX_LENGTH || sizes < longest)
        return op_error(c, STATUS_UNSUPPORTED, "n-grams of %lld to %lld are not among those of 1 to %d in the pool",
                        (long long)shortest, (long long)longest, sizes < NGRAMS_MAX_LENGTH ? sizes : NGRAMS_MAX_LENGTH);
    int64_t total = 0;
    for (int n = 1; n <= sizes; n++) {
        int64_t start = starts[n - 1], end = n < sizes ? starts[n] : pool;
        if (start < 0 || end < start || end > pool || (end - start) % n != 0)
            return op_error(c, STATUS_INVALID_MODEL, "ngram_counts does not divide the pool into n-grams");
        int64_t numbers = end - start;
        if (n <= NGRAMS_MAX_LENGTH)
            p->counts[n - 1] = numbers / n;
        total += numbers / n;
    }
    if (total != places || sizes > NGRAMS_MAX_LENGTH)
        return op_error(c, STATUS_INVALID_MODEL, "the pool has %lld n-grams, ngram_indexes %d", (long long)total,
                        places);
    for (int i = 0; i < places; i++) {
        if (indices[i] < 0 || indices[i] > INT32_MAX)
            return op_error(c, STATUS_INVALID_MODEL, "ngram_indexes has the entry %lld", (long long)indices[i]);
        p->columns = indices[i] >= p->columns ? indices[i] + 1 : p->columns;
    }
    if (weights >= 0 && weights < p->columns)
        return op_error(c, STATUS_INVALID_MODEL, "there are %d weights for %lld columns", weights,
                        (long long)p->columns);
    p->shortest = (int)shortest;
    p->longest = (int)longest;
    p->skips = op_int(c, "max_skip_count");
    if (p->skips < 0 || p->skips > INT32_MAX)
        return op_error(c, STATUS_INVALID_MODEL, "max_skip_count is %lld", (long long)p->skips);
    return STATUS_OK;
}

static enum status shapes_tfidf(struct op_context *c)
{
    const struct value *input = op_input(c, 0);
    struct ngrams_params p;
    TRY(op_require(c, 0, TYPES_INDEX));
    TRY(op_require_rank(c, 0, 0, 2));
    TRY(read_ngrams(c, &p));
    int64_t dims[2] = {input->dims[0], p.columns};
    return input->rank == 2 ? op_set_output(c, 0, DTYPE_F32, 2, dims) : op_set_output(c, 0, DTYPE_F32, 1, dims + 1);
}

struct pool {
    const int64_t *numbers; /* n-grams one after the other */
    int n;
};

static int compare_ngrams(const void *context, int64_t a, int64_t b)
{
    const struct pool *pool = context;
    for (int i = 0; i < pool->n; i++) {
        int64_t x = pool->numbers[a * pool->n + i], y = pool->numbers[b * pool->n + i];
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

/* The pool with the n-grams of each length in order, which the kernel searches by halves, and their columns. */
static enum status sort_pool(struct op_context *c, const struct ngrams_params *p, struct value **pool,
                             struct value **columns)
{
    struct region *region = c->graph->region;
    int numbers, places, sizes;
    const int64_t *from = op_int_list(c, "pool_int64s", &numbers), *indices = op_int_list(c, "ngram_indexes", &places);
    const int64_t *starts = op_int_list(c, "ngram_counts", &sizes);
    int64_t *sorted = region_array(region, (size_t)numbers, sizeof *sorted);
    int32_t *places_sorted = region_array(region, (size_t)places, sizeof *places_sorted);
    int64_t *order = region_array(region, (size_t)places, 2 * sizeof *order);
    if (!sorted || !places_sorted || !order)
        return op_no_memory(c);
    int64_t *next = sorted, done = 0;
    for (int n = 1; n <= sizes; n++) {
        struct pool part = {from + starts[n - 1], n};
        int64_t *ranks = sort_numbers(p->counts[n - 1], order, order + places, compare_ngrams, &part);
        for (int64_t i = 0; i < p->counts[n - 1]; i++, next += n) {
            memcpy(next, part.numbers + ranks[i] * n, (size_t)n * sizeof *next);
            places_sorted[done + i] = (int32_t)indices[done + ranks[i]];
        }
        done += p->counts[n - 1];
    }
    *pool = graph_add_constant(c->graph, "", DTYPE_I64, 1, (int64_t[]){numbers}, sorted);
    *columns = graph_add_constant(c->graph, "", DTYPE_I32, 1, (int64_t[]){places}, places_sorted);
    return *pool && *columns ? STATUS_OK : op_no_memory(c);
}

static enum status lower_tfidf(struct op_context *c)
{
    static const char *const modes[] = {
        [NGRAMS_COUNT] = "TF", [NGRAMS_PRESENCE] = "IDF", [NGRAMS_WEIGHTED_COUNT] = "TFIDF"};
    struct value *input = op_input(c, 0), *output = op_output(c, 0), *inputs[4] = {input};
    struct ngrams_params params;
    int weights;
    const float *weight = op_float_list(c, "weights", &weights);
    const char *mode = op_string(c, "mode");
    TRY(read_ngrams(c, &params));
    while (params.weighting < 3 && strcmp(mode, modes[params.weighting]) != 0)
        params.weighting++;
    if (params.weighting == 3)
        return op_error(c, STATUS_INVALID_MODEL, "mode is '%s'; it must be TF, IDF or TFIDF", mode);
    params.rows = input->rank == 2 ? input->dims[0] : 1;
    params.length = input->rank == 0 ? 1 : input->dims[input->rank - 1];
    params.token_dtype = (uint8_t)input->dtype;
    if (value_elements(output) == 0)
        return STATUS_OK;
    TRY(sort_pool(c, &params, &inputs[1], &inputs[2]));
    if (weight && !(inputs[3] = op_constant(c, DTYPE_F32, 1, (int64_t[]){weights}, weight)))
        return op_no_memory(c);
    return op_emit(c, FAMILY_ngrams, &params, sizeof params, 4, inputs, 1, &output, 0);
}

OPERATOR(TfIdfVectorizer, 1, 1, 1, 1, shapes_tfidf, .lower = lower_tfidf)
