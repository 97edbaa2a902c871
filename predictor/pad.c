/* Padding: dimensions of requests' inputs grow to declared sizes, and those of their results shrink again. */
#include "predictor/predictor.h"

#include "kernels/convert.h"

#include <string.h>

/* An element of an input that is not there. */
struct pad_value {
    unsigned char bytes[16];
};

/* --- what is declared --------------------------------------------------------------------------------------------- */

static bool is_real(infer_dtype dtype)
{
    return dtype == INFER_FLOAT64 || dtype == INFER_FLOAT32 || dtype == INFER_FLOAT16 || dtype == INFER_BFLOAT16;
}

static bool is_integer(infer_dtype dtype)
{
    return (dtype >= INFER_UINT8 && dtype <= INFER_INT64) || dtype == INFER_BOOL || dtype == INFER_UINT32 ||
           dtype == INFER_UINT64;
}

static struct pad_value encode(infer_dtype dtype, double number)
{
    struct pad_value value = {{0}};
    const float single = (float)number;
    const uint16_t half = dtype == INFER_FLOAT16 ? f32_to_f16(f64_to_f32_odd(number)) : f32_to_bf16(single);
    const int64_t integer = dtype == INFER_BOOL ? 1 : f64_to_i64(nearbyint(number)); /* 0 is not encoded */
    const void *from = dtype == INFER_FLOAT64                            ? (const void *)&number
                       : dtype == INFER_FLOAT32                          ? (const void *)&single
                       : infer_dtype_bits(dtype) == 16 && is_real(dtype) ? (const void *)&half
                                                                         : (const void *)&integer;
    memcpy(value.bytes, from, infer_dtype_bits(dtype) / 8 < 8 ? infer_dtype_bits(dtype) / 8 : 8);
    return value;
}

/* Again: another bucket has padded the input. */
static infer_status set_value(struct infer_predictor *predictor, const infer_bucket *bucket, size_t input, bool again,
                              infer_error *error)
{
    const infer_value *value = &predictor->input_values[input];
    double pad = bucket->mask && strcmp(bucket->mask, value->name) == 0 ? 0 : bucket->pad;
    if (infer_dtype_bits(value->dtype) < 8 || (pad != 0 && !is_real(value->dtype) && !is_integer(value->dtype)))
        return fail(error, INFER_UNSUPPORTED, "input '%s' is %s, which is not padded with %g",
                    legible(value->name).text, infer_dtype_name(value->dtype), pad);
    const struct pad_value wanted = pad != 0 ? encode(value->dtype, pad) : (struct pad_value){{0}};
    struct pad_value *known = &predictor->padding.values[input];
    if (again && memcmp(known, &wanted, sizeof wanted) != 0)
        return fail(error, INFER_INVALID_ARGUMENT, "buckets pad input '%s' with different numbers",
                    legible(value->name).text);
    *known = wanted;
    return INFER_OK;
}

/* Marks the dimensions of that name; how many there are. */
static size_t mark_axes(struct axes *axes, const infer_value *value, const char *name, size_t bucket)
{
    size_t count = 0;
    for (int i = 0; i < value->rank; i++)
        if (value->dims[i] < 0 && value->dim_names[i] && strcmp(value->dim_names[i], name) == 0) {
            axes->bucket[i] = (unsigned char)(bucket + 1);
            count++;
        }
    return count;
}

static infer_status mark_inputs(struct infer_predictor *predictor, const infer_bucket *bucket, size_t index,
                                infer_error *error)
{
    static const struct axes none;
    size_t count = 0;
    bool mask = !bucket->mask;
    for (size_t i = 0; i < predictor->input_count; i++) {
        const infer_value *value = &predictor->input_values[i];
        struct axes *axes = &predictor->padding.inputs[i];
        bool again = memcmp(axes, &none, sizeof none) != 0;
        size_t here = mark_axes(axes, value, bucket->dimension, index);
        infer_status status = here ? set_value(predictor, bucket, i, again, error) : INFER_OK;
        if (status != INFER_OK)
            return status;
        if (predictor->batches && value->rank > 0 && axes->bucket[0])
            return fail(error, INFER_INVALID_ARGUMENT,
                        "bucket %zu is of dimension '%s', along which requests share a batch", index,
                        legible(bucket->dimension).text);
        mask = mask || (here && strcmp(value->name, bucket->mask) == 0);
        count += here;
    }
    if (!count)
        return fail(error, INFER_INVALID_ARGUMENT, "bucket %zu is of dimension '%s', which no input has", index,
                    legible(bucket->dimension).text);
    if (!mask)
        return fail(error, INFER_INVALID_ARGUMENT, "no input with dimension '%s' has the name '%s' of its mask",
                    legible(bucket->dimension).text, legible(bucket->mask).text);
    return INFER_OK;
}

static infer_status mark_outputs(struct infer_predictor *predictor, const char *dimension, size_t index)
{
    for (size_t i = 0; i < predictor->output_count; i++) {
        infer_value value;
        infer_status status = infer_model_output(predictor->model, i, &value);
        if (status != INFER_OK)
            return status;
        mark_axes(&predictor->padding.outputs[i], &value, dimension, index);
    }
    return INFER_OK;
}

static infer_status check_bucket(const infer_bucket *buckets, size_t index, infer_error *error)
{
    const infer_bucket *bucket = &buckets[index];
    if (!bucket->dimension || !bucket->sizes || !bucket->size_count)
        return fail(error, INFER_INVALID_ARGUMENT, "bucket %zu has no %s", index,
                    bucket->dimension ? "sizes" : "dimension");
    for (size_t i = 0; i < bucket->size_count; i++)
        if (bucket->sizes[i] <= (i ? bucket->sizes[i - 1] : 0))
            return fail(error, INFER_INVALID_ARGUMENT, "size %zu of bucket %zu is %lld; sizes are above 0 and rise", i,
                        index, (long long)bucket->sizes[i]);
    for (size_t i = 0; i < index; i++)
        if (strcmp(buckets[i].dimension, bucket->dimension) == 0)
            return fail(error, INFER_INVALID_ARGUMENT, "buckets %zu and %zu are of the same dimension", i, index);
    return INFER_OK;
}

static infer_status take_tables(struct infer_predictor *predictor, const infer_predictor_options *options,
                                infer_error *error)
{
    struct padding *padding = &predictor->padding;
    for (size_t i = 0; i < options->bucket_count; i++)
        if (!add_size(padding->size_count, options->buckets[i].size_count, &padding->size_count))
            return fail(error, INFER_INVALID_ARGUMENT, "there are too many sizes of buckets");
    padding->inputs = predictor_take(predictor, predictor->input_count, sizeof *padding->inputs, error);
    padding->outputs = predictor_take(predictor, predictor->output_count, sizeof *padding->outputs, error);
    padding->values = predictor_take(predictor, predictor->input_count, sizeof *padding->values, error);
    padding->sizes = predictor_take(predictor, padding->size_count, sizeof *padding->sizes, error);
    return padding->inputs && padding->outputs && padding->values && padding->sizes ? INFER_OK : INFER_OUT_OF_MEMORY;
}

infer_status padding_take(struct infer_predictor *predictor, const infer_predictor_options *options, infer_error *error)
{
    struct padding *padding = &predictor->padding;
    if (!options->bucket_count)
        return INFER_OK;
    if (!options->buckets)
        return fail_missing(error, "buckets");
    if (options->bucket_count > MOST_BUCKETS)
        return fail(error, INFER_INVALID_ARGUMENT, "there are %zu buckets; there can be %d", options->bucket_count,
                    MOST_BUCKETS);
    infer_status status = INFER_OK;
    for (size_t i = 0; i < options->bucket_count && status == INFER_OK; i++)
        status = check_bucket(options->buckets, i, error);
    if (status == INFER_OK)
        status = take_tables(predictor, options, error);
    int64_t *sizes = padding->sizes;
    for (size_t i = 0; i < options->bucket_count && status == INFER_OK; i++) {
        const infer_bucket *bucket = &options->buckets[i];
        memcpy(sizes, bucket->sizes, bucket->size_count * sizeof *sizes);
        padding->buckets[padding->count++] = (struct bucket){sizes, bucket->size_count};
        sizes += bucket->size_count;
        status = mark_inputs(predictor, bucket, i, error);
        if (status == INFER_OK)
            status = mark_outputs(predictor, bucket->dimension, i);
    }
    return status;
}

void padding_free(struct infer_predictor *predictor)
{
    struct padding *padding = &predictor->padding;
    predictor_give(predictor, padding->sizes, padding->size_count, sizeof *padding->sizes);
    predictor_give(predictor, padding->values, predictor->input_count, sizeof *padding->values);
    predictor_give(predictor, padding->outputs, predictor->output_count, sizeof *padding->outputs);
    predictor_give(predictor, padding->inputs, predictor->input_count, sizeof *padding->inputs);
}

/* --- of a request ------------------------------------------------------------------------------------------------- */

static int64_t size_of(const struct bucket *bucket, int64_t size)
{
    for (size_t i = 0; i < bucket->size_count; i++)
        if (bucket->sizes[i] >= size)
            return bucket->sizes[i];
    return size;
}

/* False: inputs that should be of one length are not, which the model will say. */
static bool find_sizes(infer_prediction *prediction)
{
    const struct padding *padding = &prediction->predictor->padding;
    for (size_t b = 0; b < padding->count; b++)
        prediction->sizes[b] = -1;
    for (size_t i = 0; i < prediction->predictor->input_count; i++) {
        const infer_tensor *input = &prediction->inputs[i];
        for (int a = 0; a < input->rank && input->dtype != INFER_NONE; a++) {
            size_t b = padding->inputs[i].bucket[a];
            if (!b)
                continue;
            if (prediction->sizes[b - 1] >= 0 && prediction->sizes[b - 1] != input->dims[a])
                return false;
            prediction->sizes[b - 1] = input->dims[a];
        }
    }
    return true;
}

void pad_describe(infer_prediction *prediction)
{
    const struct padding *padding = &prediction->predictor->padding;
    prediction->pads = false;
    if (!padding->count || !find_sizes(prediction))
        return;
    for (size_t b = 0; b < padding->count; b++) {
        int64_t size = prediction->sizes[b];
        prediction->padded[b] = size < 0 ? size : size_of(&padding->buckets[b], size);
        prediction->pads = prediction->pads || prediction->padded[b] != size;
    }
}

infer_tensor pad_input(const infer_prediction *prediction, size_t index)
{
    infer_tensor input = prediction->inputs[index];
    if (prediction->pads && input.dtype != INFER_NONE)
        for (int a = 0; a < input.rank; a++) {
            size_t b = prediction->predictor->padding.inputs[index].bucket[a];
            input.dims[a] = b ? prediction->padded[b - 1] : input.dims[a];
        }
    return input;
}

/* --- tensors within tensors --------------------------------------------------------------------------------------- */

/* A smaller tensor, laid into the corner of a larger one or taken out of it. */
struct corner {
    const int64_t *small, *large; /* dimensions */
    int whole;                    /* from this one on they are the same */
    size_t element;
    size_t bytes[INFER_MAX_RANK + 1]; /* of the large one, from each dimension on */
    char *to;
    const char *from;
    const unsigned char *pad; /* an element; NULL: the small one is taken out */
};

/* Copies of the element, and of what there is of them by then. */
static void fill(char *to, size_t bytes, const unsigned char *element, size_t element_bytes)
{
    if (bytes)
        memcpy(to, element, element_bytes);
    for (size_t done = element_bytes, more; done < bytes; done += more) {
        more = done < bytes - done ? done : bytes - done;
        memcpy(to + done, to, more);
    }
}

static void move(struct corner *corner, int axis)
{
    if (axis == corner->whole) {
        memcpy(corner->to, corner->from, corner->bytes[axis]);
        corner->to += corner->bytes[axis];
        corner->from += corner->bytes[axis];
        return;
    }
    for (int64_t i = 0; i < corner->small[axis]; i++)
        move(corner, axis + 1);
    size_t rest = (size_t)(corner->large[axis] - corner->small[axis]) * corner->bytes[axis + 1];
    if (corner->pad) {
        fill(corner->to, rest, corner->pad, corner->element);
        corner->to += rest;
    } else {
        corner->from += rest;
    }
}

/* Moves all; the bytes of the large tensor fit a size. */
static void move_corner(struct corner *corner, infer_dtype dtype, int rank)
{
    corner->element = infer_dtype_bits(dtype) / 8;
    corner->bytes[rank] = corner->element;
    for (int a = rank; a-- > 0;)
        corner->bytes[a] = corner->bytes[a + 1] * (size_t)corner->large[a];
    corner->whole = rank;
    while (corner->whole > 0 && corner->small[corner->whole - 1] == corner->large[corner->whole - 1])
        corner->whole--;
    if (corner->bytes[0])
        move(corner, 0);
}

size_t pad_copy(const infer_prediction *prediction, size_t index, void *to)
{
    const infer_tensor *input = &prediction->inputs[index], padded = pad_input(prediction, index);
    size_t bytes = infer_tensor_bytes(padded.dtype, padded.rank, padded.dims);
    if (memcmp(padded.dims, input->dims, (size_t)padded.rank * sizeof *padded.dims) == 0) {
        if (bytes)
            memcpy(to, input->data, bytes);
        return bytes;
    }
    struct corner corner = {.small = input->dims,
                            .large = padded.dims,
                            .to = to,
                            .from = input->data,
                            .pad = prediction->predictor->padding.values[index].bytes};
    move_corner(&corner, padded.dtype, padded.rank);
    return bytes;
}

infer_status pad_cut(infer_prediction *prediction, size_t index, struct buffer *memory, infer_tensor *output)
{
    struct infer_predictor *predictor = prediction->predictor;
    infer_tensor cut = *output;
    if (!prediction->pads || infer_dtype_bits(output->dtype) < 8)
        return INFER_OK;
    for (int a = 0; a < cut.rank; a++) {
        size_t b = predictor->padding.outputs[index].bucket[a];
        if (b && cut.dims[a] == prediction->padded[b - 1])
            cut.dims[a] = prediction->sizes[b - 1];
    }
    if (memcmp(cut.dims, output->dims, (size_t)cut.rank * sizeof *cut.dims) == 0)
        return INFER_OK;
    cut.bytes = infer_tensor_bytes(cut.dtype, cut.rank, cut.dims);
    if (!buffer_reserve(memory, &predictor->budget.allocator, cut.bytes))
        return fail(&prediction->error, INFER_OUT_OF_MEMORY, "out of memory to cut result %zu of %s bytes", index,
                    grouped(cut.bytes).text);
    cut.data = memory->data;
    struct corner corner = {.small = cut.dims, .large = output->dims, .to = cut.data, .from = output->data};
    move_corner(&corner, cut.dtype, cut.rank);
    *output = cut;
    return INFER_OK;
}
