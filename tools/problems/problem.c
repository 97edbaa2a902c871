#include "tools/problems/make.h"

#include "tools/problems/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FAMILY_PROBLEMS(name) extern const struct family_problems name##_problems;
#include "tools/problems/problems.def"
#undef FAMILY_PROBLEMS

static const struct family_problems *const families[] = {
#define FAMILY_PROBLEMS(name) &name##_problems,
#include "tools/problems/problems.def"
#undef FAMILY_PROBLEMS
};

/* --- all of them --------------------------------------------------------------------------------------------- */

const struct family_problems *family_problems_at(size_t index)
{
    return index < sizeof families / sizeof families[0] ? families[index] : NULL;
}

const struct family_problems *family_problems_of(enum kernel_family family)
{
    const struct family_problems *problems;
    for (size_t i = 0; (problems = family_problems_at(i)) && problems->family != family;)
        i++;
    return problems;
}

void problem_make(const struct family_problems *family, uint64_t seed, uint64_t index, struct region *region,
                  struct problem *problem)
{
    static const enum fill fills[] = {FILL_SPECIAL, FILL_EXTREME};
    const char *name = kernel_family_name(family->family);
    struct maker maker = {.random = random_for(random_for(seed, random_number_of(name)).state, index),
                          .region = region,
                          .index = index,
                          .problem = problem};
    *problem = (struct problem){.family = family->family};
    maker.large = random_once_in(&maker.random, 4);
    if (random_once_in(&maker.random, 2))
        maker.numbers = fills[random_below(&maker.random, 2)];
    describe(&maker, "%s", name);
    family->make(&maker);
    snprintf(problem->name, sizeof problem->name, "%s %llu", name, (unsigned long long)index);
}

size_t listed_problem_count(void)
{
    size_t count = 0;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        count += families[i]->table_count;
    return count;
}

void listed_problem_make(size_t index, struct region *region, struct problem *problem)
{
    size_t i = 0;
    for (; index >= families[i]->table_count; i++)
        index -= families[i]->table_count;
    struct maker maker = {.random = random_for(0, index), .region = region, .problem = problem};
    *problem = (struct problem){.family = families[i]->family};
    families[i]->make_listed(&maker, index);
}

uint32_t problem_constants(const struct problem *problem)
{
    uint32_t bits = 0;
    for (int i = 0; i < problem->input_count; i++)
        bits |= problem->inputs[i].constant ? 1u << i : 0;
    return bits;
}

void problem_without_epilogue(const struct problem *problem, struct problem *plain)
{
    *plain = *problem;
    if (!problem->epilogue)
        return;
    plain->params = problem->plain_params;
    plain->input_count = problem->own_inputs;
    plain->outputs[0] = problem->results;
    plain->output_count = problem->output_count;
    plain->in_place = 0;
    plain->epilogue = NULL;
}

double problem_bytes(const struct problem *problem)
{
    double bytes = 0;
    for (int i = 0; i < problem->input_count; i++)
        bytes += (double)operand_bytes(&problem->inputs[i]);
    for (int i = 0; i < problem->output_count; i++)
        bytes += (double)operand_bytes(&problem->outputs[i]);
    return bytes;
}

/* --- operands ------------------------------------------------------------------------------------------------ */

int64_t strided_count(const struct strided *at)
{
    int64_t count = 1;
    for (int i = 0; i < at->rank; i++)
        count *= at->dims[i];
    return count;
}

int64_t strided_offset(const struct strided *at, int64_t index)
{
    int64_t offset = at->offset;
    for (int i = at->rank - 1; i >= 0; i--) {
        offset += index % at->dims[i] * at->strides[i];
        index /= at->dims[i];
    }
    return offset;
}

void strided_indices(const struct strided *at, int64_t index, int64_t *indices)
{
    for (int i = at->rank - 1; i >= 0; i--) {
        indices[i] = index % at->dims[i];
        index /= at->dims[i];
    }
}

bool strided_reach(const struct strided *at, int64_t *least, int64_t *most)
{
    *least = *most = at->offset;
    for (int i = 0; i < at->rank; i++) {
        int64_t reach = at->strides[i] * (at->dims[i] - 1);
        *(reach < 0 ? least : most) += reach;
    }
    return strided_count(at) > 0;
}

size_t operand_bytes(const struct operand *operand)
{
    int64_t least, most;
    if (operand->absent || !strided_reach(&operand->at, &least, &most))
        return 0;
    return dtype_bytes(operand->dtype, most - least + 1);
}

int64_t operand_pointer(const struct operand *operand)
{
    int64_t least, most;
    if (operand->absent || !strided_reach(&operand->at, &least, &most))
        return 0;
    return -least * (int64_t)dtype_bits(operand->dtype) / 8;
}

static void fill_bits(void *memory, size_t bytes, struct random *random)
{
    unsigned char *to = memory;
    for (size_t i = 0; i < bytes; i++)
        to[i] = (unsigned char)(random_bits(random) >> 32);
}

static number special_number(enum dtype dtype, struct random *random)
{
    number denormal = number_smallest_normal(dtype) * (number)random_real(random, 0.01, 0.9);
    switch (random_below(random, 7)) {
    case 0:
        return (number)NAN;
    case 1:
        return (number)INFINITY;
    case 2:
        return -(number)INFINITY;
    case 3:
        return 0;
    case 4:
        return -(number)0.0;
    case 5:
        return denormal;
    default:
        return -denormal;
    }
}

/* The exponent is uniform too: from the smallest denormal to the largest number. */
static number extreme_number(enum dtype dtype, struct random *random)
{
    number sign = random_once_in(random, 2) ? 1 : -1;
    if (random_once_in(random, 8))
        return sign * number_largest(dtype);
    double least = log2((double)number_smallest_normal(dtype)) + log2((double)number_epsilon(dtype));
    double most = log2((double)number_largest(dtype));
    return sign * (number)exp2(random_real(random, least, most));
}

static number any_integer(enum dtype dtype, struct random *random)
{
    unsigned bits = dtype_bits(dtype);
    uint64_t chosen = random_bits(random) >> (64 - bits);
    if (dtype == DTYPE_BOOL)
        return (number)(chosen & 1);
    if (random_once_in(random, 4)) {
        bool is_signed = dtype_is_signed_integer(dtype);
        uint64_t top = 1ull << (bits - 1), all = ~0ull >> (64 - bits);
        const uint64_t ends[] = {0, 1, is_signed ? 0 - top : all, is_signed ? top - 1 : all, is_signed ? ~0ull : all};
        chosen = ends[random_below(random, 5)];
    }
    return dtype_is_signed_integer(dtype) ? number_of_signed(chosen) : (number)chosen;
}

static number fill_number(const struct operand *operand, struct random *random)
{
    enum dtype dtype = operand->dtype;
    bool floating = dtype_is_float(dtype);
    if (operand->fill == FILL_WHOLE)
        return (number)random_between(random, (int64_t)operand->low, (int64_t)operand->high);
    if (floating && operand->fill == FILL_EXTREME)
        return extreme_number(dtype, random);
    if (floating && operand->fill == FILL_SPECIAL && random_once_in(random, operand->odd_in))
        return special_number(dtype, random);
    if (!floating && operand->low == 0 && operand->high == 0)
        return any_integer(dtype, random);
    number value = (number)random_real(random, operand->low, operand->high);
    return floating ? value : floorl(value);
}

void operand_fill(const struct operand *operand, void *memory, uint64_t seed)
{
    size_t bytes = operand_bytes(operand);
    struct random random = {seed};
    if (bytes == 0)
        return;
    if (operand->fill == FILL_GIVEN)
        memcpy(memory, operand->given, bytes);
    if (operand->fill == FILL_BITS)
        fill_bits(memory, bytes, &random);
    if (operand->fill == FILL_GIVEN || operand->fill == FILL_BITS)
        return;
    int64_t count = (int64_t)(bytes * 8 / dtype_bits(operand->dtype));
    for (int64_t i = 0; i < count; i++)
        number_put(operand->dtype, memory, i, fill_number(operand, &random));
}
