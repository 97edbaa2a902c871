/* Specialisation: a graph whose input shapes are known becomes a list of kernel calls. Nodes are resolved
 * (graph/resolve.h), passes run over them, they are lowered to steps, passes run over those, and each step gets its
 * kernel and its plan. */
#ifndef INFER_RUNTIME_COMPILE_SPECIALISE_H
#define INFER_RUNTIME_COMPILE_SPECIALISE_H

#include "graph/passes/passes.h"
#include "graph/steps/passes.h"
#include "graph/steps/sides.h"
#include "runtime/weights/derive.h"

struct specialise_options {
    struct kernel_facts facts;  /* of the machine: no inputs are said to be constant */
    struct derived *derived;    /* where constants go that the store can keep; NULL: all go in the graph's region */
    struct constant_work *work; /* that goes into them; NULL: any */
    const struct interrupt *interrupt; /* NULL: nothing interrupts */
    bool fuse;                         /* run the passes */
    bool memory_saving;    /* and cut what takes most memory into strips, where little more work saves much */
    size_t constant_limit; /* most bytes that folded constants may take together, or any one result of a node */
    const struct pass_observer *observer; /* NULL: nobody looks */
    const struct sides *sides;            /* NULL: the host alone; facts are the host's either way */
    bool channels_last;                   /* images lie so wherever they can, whatever the kernels prefer */
};

/* `graph` is private to the caller and is changed: its nodes are consumed. Inputs have known types and shapes. The
 * segment lives in graph->region. */
enum status specialise(struct graph *graph, const struct specialise_options *options, struct segment *segment,
                       struct error *error);

#endif
