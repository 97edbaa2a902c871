/* One run of a kernel under close watch: operands, packs and workspace behind fences, whatever they hold before that
 * the kernel must not depend on, tasks in an order of our choice. */
#ifndef INFER_TESTS_KERNELS_TRIAL_H
#define INFER_TESTS_KERNELS_TRIAL_H

#include "tests/kernels/fence.h"
#include "tools/problems/expect.h"

enum order { ORDER_FORWARDS, ORDER_BACKWARDS, ORDER_SHUFFLED, ORDER_THREADS };

struct setting {
    enum order order;
    int threads; /* of ORDER_THREADS */
    enum fence_side side;
    unsigned char rubbish; /* what fills workspaces, packs and outputs before */
    int in_place;          /* the input that lies where output 0 does; -1: none */
    uint64_t seed;         /* of the shuffling */
};

#define MOST_PARTS 64

/* What came of it. `text`: what the kernel did that it must not. */
struct outcome {
    bool bad;
    char text[600];
    struct fault fault; /* the first by phase and task */
    struct operands operands;
};

/* Everything a kernel touches: its inputs, outputs, packs, shared and task workspaces. */
struct trial {
    const struct kernel *kernel;
    const struct kernel_plan *plan;
    const struct problem *problem;
    const struct setting *setting;
    struct outcome *outcome;
    const struct fences *fences;
    struct fence parts[MOST_PARTS];
    int part_count;
    struct fence *inputs[MOST_INPUTS], *outputs[MOST_OUTPUTS], *packs[KERNEL_PACKS], *shared, *workspaces[8];
    const void *input_pointers[MOST_INPUTS], *packed[KERNEL_PACKS];
    void *output_pointers[MOST_OUTPUTS];
    int64_t *dims[MOST_OUTPUTS];
    int fault_phase, fault_task; /* of outcome->fault */
};

/* How a device's kernel is run: inputs, outputs, packs and workspaces of the call are the host's, and what comes of the
 * run is to lie there. Whoever tests such kernels sets it. */
struct trial;
extern void (*trial_run_on_device)(const struct trial *trial, const struct kernel_call *call);

/* Signals that a kernel's wrong accesses raise are caught from here on. */
void trial_watch(void);

/* Results go into the region, if the kernel lives. */
void trial_run(const struct kernel *kernel, const struct kernel_plan *plan, const struct problem *problem,
               const struct operands *operands, const struct setting *setting, const struct fences *fences,
               struct region *region, struct outcome *outcome);

/* Each task by itself, from what the phases before it have left: bad where two tasks of a phase write the same byte. */
void trial_find_overlap(const struct kernel *kernel, const struct kernel_plan *plan, const struct problem *problem,
                        const struct operands *operands, const struct fences *fences, struct outcome *outcome);

/* Says what it was about when the process is ended by something that cannot be caught; the text must stay. */
void trial_set_subject(const char *text);

#endif
