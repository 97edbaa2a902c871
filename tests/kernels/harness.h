/* Takes kernels to problems. */
#ifndef INFER_TESTS_KERNELS_HARNESS_H
#define INFER_TESTS_KERNELS_HARNESS_H

#include "tests/kernels/fence.h"
#include "tools/problems/expect.h"

struct harness {
    const struct kernel *const *kernels; /* those to try, ended by NULL */
    const struct fences *fences;
    unsigned cpu;       /* CPU_... bits that kernels may ask for */
    const char *filter; /* of kernels, by a part of their name; NULL: all */
    uint64_t seed;
    int64_t only; /* the one problem to try; -1: all */
    int problems; /* a kernel */
    bool quiet;   /* about what is right */
    bool silent;  /* about what is wrong too */
    int64_t passed, failed;
    char last[400]; /* what was last found wrong */
};

/* Options that programs around a harness share, as getopt_long knows them, and their lines of help. */
#define HARNESS_OPTIONS                                                               \
    {"filter", required_argument, NULL, 'f'}, {"seed", required_argument, NULL, 's'}, \
        {"problems", required_argument, NULL, 'n'},                                   \
    {                                                                                 \
        "problem", required_argument, NULL, 'o'                                       \
    }
#define HARNESS_HELP                                            \
    "  --filter SUBSTRING   only kernels whose name holds it\n" \
    "  --seed N             of the problems (1)\n"              \
    "  --problems N         a kernel (24)\n"                    \
    "  --problem N          only that one, as a failure names it\n"
/* False: it is none of them. Ends the program where a number is none. */
bool harness_option(struct harness *harness, int option, const char *text);
/* Prints the seed and the sums; the program's exit code. */
int harness_finish(const struct harness *harness);

/* A kernel on one problem: every plan that facts lead to, operands behind fences on either side, tasks in different
 * orders and threads, with different rubbish in the workspace, in place. All must give the same bits, and what
 * is expected. False: wrong, and the text says how. */
struct finding {
    char text[1000];
    int most_tasks; /* of a phase of any of its plans */
    int64_t runs, compared, open;
    struct fault fault; /* of the first run, and its outputs, in the region */
    struct operands results;
};
bool harness_try(const struct kernel *kernel, const struct expectation *expectation, const struct fences *fences,
                 uint64_t seed, struct region *region, struct finding *finding);

/* Whether it touches nothing that is not its own, on either side of its operands; the text says what. */
bool harness_survives(const struct kernel *kernel, const struct problem *problem, const struct operands *operands,
                      const struct fences *fences, struct region *region, char *text, size_t room);

/* Kernels that are one code built for several sets of instructions: names that agree up to their last part, which is
 * not `reference`. They must give the same bits. */
bool kernels_are_twins(const struct kernel *a, const struct kernel *b);
/* NULL, or the name of what differs. */
const char *finding_difference(const struct problem *problem, const struct finding *a, const struct finding *b);

/* All kernels on random problems of their families, and on the oracle itself what its definition says. */
void harness_run(struct harness *harness);

/* The kernels chosen for the problems that are timed, behind fences. */
void shapes_run(struct harness *harness);

/* What an output of a problem without epilogue is, by the words of its family's header, in plain loops. Either an
 * element at a time (`at`: its indices along the operand's axes), of which some are asked for where there are many; or
 * all elements of all outputs, each in C order (NULL: nobody asks), and dimensions of outputs that the run sizes. */
struct definition {
    number (*element)(const struct problem *problem, const struct operands *operands, int output, const int64_t *at);
    void (*whole)(const struct problem *problem, const struct operands *operands, number *const *values,
                  int64_t (*dims)[MAX_RANK]);
    double (*cost)(const struct problem *problem); /* operations an element; NULL: few */
    bool (*covers)(const struct problem *problem); /* NULL: all */
};
/* NULL where nobody has written it down. */
const struct definition *definition_of(enum kernel_family family);

/* Kernels with a bug each, to see that the harness finds it. Counts what it finds and what it misses. */
void planted_run(struct harness *harness);

#endif
