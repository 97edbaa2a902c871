/* Running a problem, and what comes of it when a kernel is right. */
#ifndef INFER_TOOLS_PROBLEMS_EXPECT_H
#define INFER_TOOLS_PROBLEMS_EXPECT_H

#include "tools/problems/number.h"
#include "tools/problems/problem.h"

#include <float.h>

/* Operands as they lie in memory: from the first to the last byte that their strides reach; NULL: absent or empty. */
struct operands {
    void *inputs[MOST_INPUTS], *outputs[MOST_OUTPUTS];
    int64_t dims[MOST_OUTPUTS][MAX_RANK]; /* of outputs that the run sizes */
};

/* Room for all operands in the region, inputs filled from the seed. False: no memory. */
bool operands_make(const struct problem *problem, uint64_t seed, struct region *region, struct operands *operands);
/* Dimensions of an output that the run sizes, before it does: those that the program was made for. */
void operands_set_dims(const struct problem *problem, int output, struct operands *operands);
/* What kernels are given: pointers that strides count from. */
void operands_point(const struct problem *problem, const struct operands *operands, const void **inputs,
                    void **outputs);

/* A kernel about to run, with all that it asks for in the region. */
struct prepared {
    const struct kernel *kernel;
    struct kernel_plan plan;
    struct kernel_call call;
    const void *inputs[MOST_INPUTS], *packed[KERNEL_PACKS];
    void *outputs[MOST_OUTPUTS];
    int64_t *dims[MOST_OUTPUTS];
    struct fault fault;
};
/* Packs constants too. False: no memory. */
bool prepare(const struct kernel *kernel, const struct problem *problem, const struct kernel_facts *facts,
             struct operands *operands, struct region *region, struct prepared *prepared);
void prepared_run(struct prepared *prepared);

/* The plainest kernel of the table that solves the problem: the last that needs nothing. */
const struct kernel *oracle_of(const struct problem *problem);

struct expectation {
    const struct problem *problem;
    /* That kernels are given. Who has kernels round them puts the unrounded ones here once it is made. */
    const struct operands *operands;
    struct problem plain;        /* without the epilogue */
    struct operands results;     /* what the oracle makes of it */
    struct operands magnitudes;  /* and of the magnitudes of its inputs, where a bound asks for it */
    double *mixed[MOST_OUTPUTS]; /* what bound.mixed multiplies, in C order; NULL where there is no such bound */
    number largest[MOST_OUTPUTS];
    struct fault fault; /* the oracle's */
    bool finite;        /* all inputs are */
};
/* `operands` and `problem` must stay. False: no memory. */
bool expectation_make(const struct problem *problem, const struct operands *operands, struct region *region,
                      struct expectation *expectation);

struct verdict {
    bool wrong;
    int64_t compared, open; /* elements; of those, the ones of which anything is right */
    char text[400];
};
/* The outputs of a kernel, where the oracle has no fault. */
void expectation_check(const struct expectation *expectation, const struct kernel *kernel, const struct operands *got,
                       struct verdict *verdict);
/* A truth that is larger than any number of any type: what is right cannot be said. */
#define ANYTHING LDBL_MAX
/* An element of the oracle's own plain output, counted in C order, against the truth. */
void expectation_check_oracle(const struct expectation *expectation, int output, int64_t index, number truth,
                              struct verdict *verdict);
/* Elements of an output that count: all, or as many as the run says. */
int64_t output_count(const struct operand *output, const int64_t *dims);

#endif
