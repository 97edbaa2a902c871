#include "tools/problems/make.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const enum dtype numeric_dtypes[12] = {DTYPE_F32, DTYPE_F64, DTYPE_I8,  DTYPE_I16, DTYPE_I32, DTYPE_I64,
                                       DTYPE_U8,  DTYPE_U16, DTYPE_U32, DTYPE_U64, DTYPE_F16, DTYPE_BF16};

void *make_room(struct maker *maker, size_t count, size_t bytes_each)
{
    void *room = region_array(maker->region, count ? count : 1, bytes_each);
    if (room)
        return room;
    fputs("out of memory for a problem\n", stderr);
    exit(1);
}

void *make_params(struct maker *maker, size_t bytes)
{
    void *params = make_room(maker, 1, bytes);
    maker->problem->params = params;
    return params;
}

int64_t make_size(struct maker *maker, int64_t most)
{
    struct random *random = &maker->random;
    int64_t size = 1;
    switch (random_below(random, 8)) {
    case 0:
        break;
    case 1:
    case 2:
    case 3:
        size = random_between(random, 2, 9);
        break;
    case 4:
    case 5: /* about a multiple of 4, 8, 16, 32 or 64 */
        size = (4ll << random_below(random, 5)) * random_between(random, 1, 3) + random_between(random, -1, 1);
        break;
    default:
        size = random_between(random, 1, most);
    }
    return size > most ? random_between(random, 1, most) : size;
}

void make_fit(struct maker *maker, int count, int64_t *const *sizes, int64_t each, int64_t least, int64_t most)
{
    for (int tries = 0; tries < 200; tries++) {
        double product = (double)each;
        for (int i = 0; i < count; i++)
            product *= (double)*sizes[i];
        int64_t *size = sizes[random_below(&maker->random, count)];
        if (product > (double)most)
            *size = *size > 1 ? *size / 2 : 1;
        else if (product < (double)least)
            *size = *size * 2 + random_below(&maker->random, 2);
        else
            return;
    }
}

void make_fit_tasks(struct maker *maker, int count, int64_t *const *sizes, int64_t each, int64_t grain)
{
    if (maker->large)
        make_fit(maker, count, sizes, each, 2 * grain, 6 * grain);
    else
        make_fit(maker, count, sizes, each, 0, grain / 4);
}

/* Strides of axes that lie in `order`, outermost first, with up to `gap` elements left out after each of them. */
static void strides_in_order(struct maker *maker, int rank, const int64_t *dims, const int *order, int64_t gap,
                             int64_t *strides)
{
    int64_t next = gap > 0 && random_once_in(&maker->random, 4) ? random_between(&maker->random, 2, 3) : 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[order[i]] = next;
        next *= dims[order[i]] > 0 ? dims[order[i]] : 1;
        if (gap > 0 && random_once_in(&maker->random, 3))
            next += random_between(&maker->random, 1, gap);
    }
}

static void shuffle(struct random *random, int count, int *order)
{
    for (int i = count - 1; i > 0; i--) {
        int j = (int)random_below(random, i + 1), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

void make_strides(struct maker *maker, enum layout_choice choice, int rank, const int64_t *dims, int64_t *strides)
{
    int order[STRIDED_AXES];
    struct random *random = &maker->random;
    for (int i = 0; i < rank; i++)
        order[i] = i;
    if (choice != LAYOUT_C && random_once_in(random, 2))
        shuffle(random, rank, order);
    bool gaps = choice <= LAYOUT_READ && random_once_in(random, 3);
    if (gaps && random_once_in(random, 4) && rank > 0)
        strides_in_order(maker, rank, dims, order, 2 * dims[order[rank - 1]], strides);
    else
        strides_in_order(maker, rank, dims, order, gaps ? 5 : 0, strides);
    for (int i = 0; i < rank && choice == LAYOUT_READ; i++)
        strides[i] *= random_once_in(random, 12) ? 0 : random_once_in(random, 12) ? -1 : 1;
}

static struct operand *add_operand(struct operand *list, int *count, int most, const char *name, enum dtype dtype)
{
    if (*count == most) {
        fprintf(stderr, "a problem with more than %d operands\n", most);
        exit(1);
    }
    struct operand *operand = &list[(*count)++];
    *operand = (struct operand){.name = name, .dtype = dtype, .low = -2, .high = 2, .odd_in = 30};
    if (!dtype_is_float(dtype))
        operand->low = operand->high = 0;
    return operand;
}

struct operand *add_input(struct maker *maker, const char *name, enum dtype dtype)
{
    return add_operand(maker->problem->inputs, &maker->problem->input_count, MOST_INPUTS, name, dtype);
}

struct operand *add_output(struct maker *maker, const char *name, enum dtype dtype)
{
    return add_operand(maker->problem->outputs, &maker->problem->output_count, MOST_OUTPUTS, name, dtype);
}

struct operand *add_absent(struct maker *maker, const char *name, bool output)
{
    struct operand *operand = output ? add_output(maker, name, DTYPE_U8) : add_input(maker, name, DTYPE_U8);
    operand->absent = true;
    return operand;
}

enum dtype make_byte(struct maker *maker)
{
    return random_once_in(&maker->random, 2) ? DTYPE_U8 : DTYPE_I8;
}

void make_bytes(struct maker *maker, struct operand *operand)
{
    if (random_once_in(&maker->random, 3))
        return;
    int64_t reach = random_between(&maker->random, 1, 3) + 62, middle = operand->dtype == DTYPE_U8 ? 128 : 0;
    operand->fill = FILL_WHOLE;
    operand->low = (double)(middle - reach);
    operand->high = (double)(middle + reach);
}

struct operand *add_zeros(struct maker *maker, const char *name, enum dtype dtype)
{
    if (random_once_in(&maker->random, 3)) {
        add_absent(maker, name, false);
        return NULL;
    }
    struct operand *zeros = add_input(maker, name, dtype);
    zeros->constant = random_once_in(&maker->random, 2);
    if (random_once_in(&maker->random, 3)) { /* the type's middle, with which unsigned numbers are as good as signed */
        zeros->fill = FILL_WHOLE;
        zeros->low = zeros->high = dtype == DTYPE_U8 ? 128 : 0;
    }
    return zeros;
}

void strided_axis(struct strided *at, int64_t dim, int64_t stride)
{
    at->dims[at->rank] = dim;
    at->strides[at->rank++] = stride;
}

void strided_contiguous(struct strided *at, int rank, const int64_t *dims)
{
    int64_t stride = 1;
    at->rank = rank;
    for (int i = rank - 1; i >= 0; i--) {
        at->dims[i] = dims[i];
        at->strides[i] = stride;
        stride *= dims[i] > 0 ? dims[i] : 1;
    }
}

enum dtype moved_dtype(unsigned element_bytes)
{
    static const enum dtype dtypes[] = {DTYPE_U8, DTYPE_U16, DTYPE_U32, DTYPE_U64, DTYPE_U64};
    return dtypes[__builtin_ctz(element_bytes)];
}

void strided_pairs(struct strided *at, unsigned element_bytes)
{
    if (element_bytes < 16)
        return;
    at->offset *= 2;
    for (int i = 0; i < at->rank; i++)
        at->strides[i] *= 2;
    strided_axis(at, 2, 1);
}

void make_numbers(struct maker *maker, struct operand *operand)
{
    bool plain = !dtype_is_float(operand->dtype) || random_once_in(&maker->random, 3);
    operand->fill = plain ? FILL_NUMBERS : maker->numbers;
}

enum dtype make_dtype(struct maker *maker, int count, const enum dtype *dtypes)
{
    return dtypes[random_below(&maker->random, count)];
}

void describe(struct maker *maker, const char *format, ...)
{
    char *text = maker->problem->text;
    size_t length = strlen(text), room = sizeof maker->problem->text - length;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + length, room, format, arguments);
    va_end(arguments);
}

void describe_numbers(struct maker *maker, const char *name, int count, const int64_t *numbers)
{
    describe(maker, " %s=", name);
    for (int i = 0; i < count; i++)
        describe(maker, "%s%lld", i ? "," : "", (long long)numbers[i]);
}
