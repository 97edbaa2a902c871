/* Passes over the steps of a segment, once a program, in this order. */
#ifndef INFER_GRAPH_STEPS_PASSES_H
#define INFER_GRAPH_STEPS_PASSES_H

#include "graph/steps/step.h"

struct step_pass_options {
    const struct kernel_facts *facts;
    struct result_store *store; /* for what is folded; may be NULL: see struct evaluation */
    struct constant_work *work; /* of the same; may be NULL */
    bool channels_last;         /* images lie so wherever they can, whatever the kernels prefer */
    size_t constant_limit;      /* most bytes that folded constants may take together */
};

/* Runs the steps that read only constants now, and drops them; a node with one run-time input may have such steps too.
 */
enum status fold_steps(struct segment *segment, const struct step_pass_options *options, struct error *error);
enum status fuse_steps(struct segment *segment, struct error *error);
enum status absorb_copies(struct segment *segment, const struct step_pass_options *options, struct error *error);
enum status choose_layouts(struct segment *segment, const struct step_pass_options *options, struct error *error);
/* Once layouts are chosen. */
enum status scale_inputs(struct segment *segment, const struct step_pass_options *options, struct error *error);
/* Last, when the steps have their plans; `threads` is how many tasks of a step run at once. */
enum status schedule_steps(struct segment *segment, int threads, struct error *error);

#endif
