/* What generators of problems are made of. */
#ifndef INFER_TOOLS_PROBLEMS_MAKE_H
#define INFER_TOOLS_PROBLEMS_MAKE_H

#include "tools/problems/problem.h"

/* A problem in the making. */
struct maker {
    struct random random;
    struct region *region;
    uint64_t index;    /* of the problem */
    bool large;        /* work for several tasks is wanted */
    enum fill numbers; /* of make_numbers: one kind of odd ones, since an overflow must not pass for an infinity */
    struct problem *problem;
};

/* The share of a family one of whose kernels takes all numeric types. */
#define NUMERIC_TYPES 12

/* Zeroed memory that lives as long as the problem. A program that makes problems and has no memory ends here. */
void *make_room(struct maker *maker, size_t count, size_t bytes_each);
/* The parameter struct; what it points to. */
void *make_params(struct maker *maker, size_t bytes);

/* 1 to `most`: often small, often near a multiple of a vector's length. */
int64_t make_size(struct maker *maker, int64_t most);
/* Doubles and halves sizes, at random, until their product times `each` is within bounds, or no size can shrink. */
void make_fit(struct maker *maker, int count, int64_t *const *sizes, int64_t each, int64_t least, int64_t most);
/* What a problem's work should come to, where one task takes `grain` at most: several tasks, or less than one. */
void make_fit_tasks(struct maker *maker, int count, int64_t *const *sizes, int64_t each, int64_t grain);

enum layout_choice {
    LAYOUT_ANY,   /* C order, another order, with gaps */
    LAYOUT_READ,  /* also repeated and backwards */
    LAYOUT_DENSE, /* any order, without gaps */
    LAYOUT_C
};
/* Strides for axes. */
void make_strides(struct maker *maker, enum layout_choice choice, int rank, const int64_t *dims, int64_t *strides);

/* Adds an operand; its axes, outermost first, by strided_axis. */
struct operand *add_input(struct maker *maker, const char *name, enum dtype dtype);
struct operand *add_output(struct maker *maker, const char *name, enum dtype dtype);
struct operand *add_absent(struct maker *maker, const char *name, bool output);
void strided_axis(struct strided *at, int64_t dim, int64_t stride);
/* The axes of a tensor in C order. */
void strided_contiguous(struct strided *at, int rank, const int64_t *dims);

/* The type of elements that are only moved. Those of 16 bytes are pairs of 8: strided_pairs, after the other axes, says
 * so. */
enum dtype moved_dtype(unsigned element_bytes);
void strided_pairs(struct strided *at, unsigned element_bytes);

/* Numbers for an input that is summed, as the maker has chosen; integers are of the whole range. */
void make_numbers(struct maker *maker, struct operand *operand);
/* A type of 8 bits. */
enum dtype make_byte(struct maker *maker);
/* Numbers for weights of that type: any, or near the type's middle, so that pairs of products fit 16 bits or just do
 * not. */
void make_bytes(struct maker *maker, struct operand *operand);
/* An operand of zero points; more often than not there is one. Its axes are still to be added. NULL: it is absent. */
struct operand *add_zeros(struct maker *maker, const char *name, enum dtype dtype);
/* One of a list of types. */
enum dtype make_dtype(struct maker *maker, int count, const enum dtype *dtypes);
#define DTYPES(...)                                                                             \
    (int)(sizeof((const enum dtype[]){__VA_ARGS__}) / sizeof(enum dtype)), (const enum dtype[]) \
    {                                                                                           \
        __VA_ARGS__                                                                             \
    }
extern const enum dtype numeric_dtypes[12];

/* Appends to the problem's text. */
void describe(struct maker *maker, const char *format, ...) __attribute__((format(printf, 2, 3)));
void describe_numbers(struct maker *maker, const char *name, int count, const int64_t *numbers);

/* --- programs (programs.c) ----------------------------------------------------------------------------------- */

/* A random epilogue for results in the order of `dims`, whose axis `channel` counts channels (-1: none); `space`: the
 * three axes of kernels/epilogue.h, which make up as many. The plain problem is there already; this adds inputs,
 * replaces output 0, and keeps the plain one beside it. The program then belongs in the parameters. */
const struct pointwise_params *make_epilogue(struct maker *maker, int rank, const int64_t *dims, int channel,
                                             const int64_t *space);
/* The same for results of images with groups of channels, axes 1 and 2, which are stored last and in turns. */
const struct pointwise_params *make_shuffled_epilogue(struct maker *maker, int rank, const int64_t *dims,
                                                      const int64_t *space);
/* The one of a layer whose results are bytes: a scale for each channel, and a zero point. Output 0 of the problem says
 * how they lie. */
const struct pointwise_params *make_requantisation(struct maker *maker, int rank, const int64_t *dims, int channel,
                                                   const int64_t *space);
/* Whether a problem gets one. */
bool wants_epilogue(struct maker *maker);
void describe_program(struct maker *maker, const struct pointwise_params *program);

#endif
