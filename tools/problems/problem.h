/* Problems for kernels: the parameters of a family, and what its operands are. Tests and benchmarks take them from
 * here: random ones that reach every corner of a family, and the table of those that real networks pose.
 *
 * A file a family (problems/NAME.c); problems.def lists them. */
#ifndef INFER_TOOLS_PROBLEMS_PROBLEM_H
#define INFER_TOOLS_PROBLEMS_PROBLEM_H

#include "kernels/pointwise.h"
#include "tools/problems/random.h"

#include <math.h>

#define MOST_INPUTS 16
#define MOST_OUTPUTS 4
#define STRIDED_AXES (2 * MAX_RANK)

/* The elements that an operand has: those at offset + i * strides[0] + j * strides[1] + ... of its pointer. */
struct strided {
    int rank;
    int64_t offset, dims[STRIDED_AXES], strides[STRIDED_AXES];
};

enum fill {
    FILL_NUMBERS, /* numbers in [low, high); integers, where both are 0: any, and often the least and the greatest */
    FILL_WHOLE,   /* whole numbers in [low, high] */
    FILL_SPECIAL, /* FILL_NUMBERS, but one in `odd_in` a NaN, an infinity, a zero of either sign or a denormal */
    FILL_EXTREME, /* finite numbers of any exponent */
    FILL_BITS,    /* any bits */
    FILL_GIVEN    /* `given` */
};

/* How far a result may be from the oracle's. All zero: not at all (but 0 equals -0, and a NaN equals a NaN). `sum`,
 * `relative` and `largest` count units in the last place of 1 of the output's type. */
struct bound {
    bool bits;       /* the same bits: what is moved or counted, not computed */
    double sum;      /* times what the same problem gives with the magnitudes of its inputs: of sums of products */
    double divisor;  /* of a mean: what its sum, which may pass the type's range, is divided by */
    double relative; /* times the magnitude of the element itself */
    double largest;  /* times the largest magnitude of the output */
    double absolute;
    bool root; /* of a sum of squares, which may pass the type's range where the root does not */
    /* Of kernels that mix neighbours (kernel.mixes), in place of `sum`: times the largest of what `sum` multiplies,
     * were all constants as large as their largest element, at positions up to `near` away along the last three axes.
     */
    double mixed;
    int64_t near;
};

/* The bound on sums of so many products: roundings of different terms cancel out for the most part, those of a term
 * that repeats may all go the same way. */
static inline double sum_of_products(int64_t terms, bool repeat)
{
    return repeat ? 4 + (double)terms / 2 : 4 + 2 * sqrt((double)terms);
}

struct operand {
    const char *name;
    enum dtype dtype; /* of copies and the like: any of the size */
    bool absent;      /* a NULL pointer */
    struct strided at;
    /* Inputs. */
    bool constant; /* it is one in practice: weights */
    bool factor;   /* of sums of products, which some kernels may round (CUDA_TF32, CUDA_HALF, CUDA_BF16) */
    enum fill fill;
    double low, high;
    int odd_in;
    const void *given; /* as many bytes as the operand spans */
    /* Outputs. */
    bool sized_by_run; /* output_dims says its true size, within `at`; the elements lie in C order then */
    struct bound bound;
};

struct problem {
    enum kernel_family family;
    const void *params;
    int input_count, output_count;
    struct operand inputs[MOST_INPUTS], outputs[MOST_OUTPUTS];
    uint32_t in_place; /* bit i: input i may lie where output 0 does */
    /* Where an epilogue rides along: the program, how many inputs are the family's own, and the same problem without
     * it, whose output 0 is what the program takes, in the order in which it takes it. */
    const struct pointwise_params *epilogue;
    int own_inputs;
    const void *plain_params;
    struct operand results;
    char name[80];  /* of the table's problems */
    char text[900]; /* all its parameters */
};

struct maker;
struct family_problems {
    enum kernel_family family;
    void (*make)(struct maker *maker); /* a random one, in maker->problem, which is zero but for its family */
    /* Problems of real networks. */
    size_t table_count;
    void (*make_listed)(struct maker *maker, size_t index);
    int share; /* how many problems, for one of other families, it takes to see all of it; 0: 1 */
};
/* NULL past the last. */
const struct family_problems *family_problems_at(size_t index);
/* NULL: there are none. */
const struct family_problems *family_problems_of(enum kernel_family family);

/* Random problem `index` of a family, from a seed. What it points to goes in the region. */
void problem_make(const struct family_problems *family, uint64_t seed, uint64_t index, struct region *region,
                  struct problem *problem);
/* The table of real problems, of all families. */
size_t listed_problem_count(void);
void listed_problem_make(size_t index, struct region *region, struct problem *problem);

/* --- operands ------------------------------------------------------------------------------------------------ */

int64_t strided_count(const struct strided *at);
/* Element `index`, counted in C order. */
int64_t strided_offset(const struct strided *at, int64_t index);
/* Its indices along the axes. */
void strided_indices(const struct strided *at, int64_t index, int64_t *indices);
/* Offsets that it reaches: [*least, *most]. False: it is empty. */
bool strided_reach(const struct strided *at, int64_t *least, int64_t *most);

/* Bytes from its first to its last element, and where in them its pointer points, which may lie outside. */
size_t operand_bytes(const struct operand *operand);
int64_t operand_pointer(const struct operand *operand);
/* Fills what an input spans: `memory` has operand_bytes. The same numbers for the same seed everywhere. */
void operand_fill(const struct operand *operand, void *memory, uint64_t seed);
/* Inputs that a problem has as constants. */
uint32_t problem_constants(const struct problem *problem);
/* The problem without its epilogue; itself where it has none. */
void problem_without_epilogue(const struct problem *problem, struct problem *plain);
/* Bytes of all operands. */
double problem_bytes(const struct problem *problem);

#endif
