/* A lowered step: one kernel call with its parameters and the values it reads and writes; or one control step, which
 * runs a subgraph some number of times. */
#ifndef INFER_GRAPH_STEPS_STEP_H
#define INFER_GRAPH_STEPS_STEP_H

#include "graph/control.h"
#include "graph/op.h"
#include "graph/resolve.h"
#include "kernels/epilogue.h"

struct step {
    enum kernel_family family;
    const struct control *control; /* NULL: a kernel's step */
    void *params;                  /* the step's own */
    size_t params_bytes;
    struct value **inputs;
    int input_count;
    struct value **outputs;
    int output_count;
    const struct node *node; /* whose name and sources errors and traces speak of */
    /* Bit i: output 0 may be written where input i lies, element for element. */
    uint32_t in_place;
    /* Chosen once, when passes have settled the parameters (select.c); NULL before, and without a kernel. Steps with
     * the same parameters may share a plan. */
    const struct kernel *kernel;
    const struct kernel_plan *plan;
    const void **packed; /* by pack of the plan; the program's */
};

/* All that a step reads of a value, or of a part of one, is written before it, by one step or several; other parts may
 * be written after it. */
struct step_list {
    struct receiver receiver; /* what lowering hands its steps to: see step_list_receive */
    struct region *region;    /* while a segment is in the making: freed once its steps are done, and copied */
    struct step **steps;
    int count, capacity;
};

/* A stretch of a graph whose shapes are known, as steps. What a resolution (graph/resolve.h) leaves for later stays. */
struct segment {
    struct graph *graph; /* every value of a kept node has its type and shape */
    struct step_list steps;
    struct node **rest; /* nodes still to come; their inputs may be values of this segment */
    int rest_count;
    struct value *needed;      /* see struct resolution */
    struct value *needed_copy; /* where the host reads it: its twin where it lies on a device */
    struct node **kept;
    int kept_count;
    size_t constant_bytes; /* folded here */
};

/* The node whose outputs with dims_at_run the rest waits for. NULL: it waits for `needed`, or for nothing. */
static inline const struct node *segment_awaited(const struct segment *segment)
{
    return segment->needed || segment->kept_count == 0 ? NULL : segment->kept[segment->kept_count - 1];
}

static inline bool is_family(const struct step *step, enum kernel_family family)
{
    return step && !step->control && step->family == family;
}

/* An empty list, whose steps and tables go in the region. */
struct step_list step_list_in(struct region *region);
struct step *step_list_append(struct step_list *list, const struct step *step); /* copied; NULL: no memory */
/* Drops the NULL entries of a list. */
void step_list_compact(struct step_list *list);

/* A step of its own in `region`, with operands, parameters and epilogue; the node, and what a control step runs, are
 * shared. It has no plan. NULL: no memory. */
struct step *step_copy(const struct step *step, struct region *region);

/* Where the step's family keeps its epilogue, and what there is to know of it; NULL: it takes none. */
const struct pointwise_params **step_epilogue(const struct step *step, struct epilogue *epilogue);

/* Bytes of an output, of known size, that the step writes: of a copy the box, of any other step all of it. */
size_t step_bytes_written(const struct step *step, int output);

/* Of its kernel, "control" for a control step. */
const char *step_kernel_name(const struct step *step);

/* Sets the bits of in_place for the inputs of the step's program: those that lie as its output does. */
void step_mark_in_place(struct step *step);

/* The last thing done to a step before its kernel is chosen: pointwise and copy kernels get as few axes as can be. */
void step_finish(struct step *step);

/* A node for the copy of a value that no node of the graph copies. NULL: no memory. */
struct node *node_for_copy(struct region *region, const struct value *value);

/* Appends the steps of one node; of one that computes half precision as f32, those of its expansion. */
enum status lower_node(struct graph *graph, struct node *node, const struct kernel_facts *facts,
                       struct step_list *steps, struct error *error);

/* Bit i: input i is a constant. */
uint32_t step_constant_inputs(const struct step *step);
/* Chooses the kernel of a finished step and makes its plan, in `region`. constant_inputs: those that it may pack. */
enum status select_kernel(struct step *step, const struct kernel_facts *facts, uint32_t constant_inputs,
                          struct region *region, struct error *error);

/* --- constants ------------------------------------------------------------------------------------------- */

/* What is to be computed: all that a node makes, or one step of it. */
struct derivation {
    const struct graph *graph;
    const struct node *node;
    const struct step *step; /* NULL: the node */
    const struct kernel_facts *facts;
    size_t bytes; /* of the results, one after the other, each at a multiple of ALIGNMENT */
    size_t limit; /* that they may take */
    enum status (*make)(void *user, void *results, struct error *error);
    void *user;
};

/* Keeps the results of derivations for all who compute the same. */
struct result_store {
    /* Finds the results, or makes them. *results NULL: these are not kept, and nothing was done. Adds to *made what
     * they take that was not there for the asker before. Results outlive the asker's graph. */
    enum status (*obtain)(struct result_store *store, const struct derivation *derivation, const void **results,
                          size_t *made, struct error *error);
};

/* The kernel_work of all steps that are computed while one program, or the graph of a session, is made. */
struct constant_work {
    double most; /* 0: any */
    double done;
};

/* How constants are computed. */
struct evaluation {
    const struct kernel_facts *facts;
    struct result_store *store; /* NULL: results lie in the region of their graph, all of them */
    struct constant_work *work; /* NULL: nobody counts */
};

/* See struct evaluator; the evaluation is its `user`, which must outlive it. */
struct evaluator evaluator_of(const struct evaluation *evaluation);
/* Computes a step whose inputs are all constants, and makes constants of its outputs, into which nothing else writes.
 * The limit and *made as in struct evaluator. */
enum status evaluate_step(struct graph *graph, struct step *step, const struct evaluation *evaluation, size_t limit,
                          size_t *made, struct error *error);

#endif
