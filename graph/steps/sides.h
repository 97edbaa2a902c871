/* Steps of one segment on two sides: the host, and a device with memory of its own. A value lies on one of them
 * (struct value, `on_device`), and a step has all its operands on the side it runs on; a copy, which is a step like any
 * other, makes the twin of a value on the other side. */
#ifndef INFER_GRAPH_STEPS_SIDES_H
#define INFER_GRAPH_STEPS_SIDES_H

#include "graph/steps/step.h"

struct sides {
    unsigned device;                                   /* DEVICE_... and CUDA_... bits of kernels that may be used */
    const struct kernel *to_device, *to_host, *within; /* of family copy: a value's bytes, whole */
    const bool *outputs; /* by output of the graph: whether it is wanted on the device; NULL: none is */
};

static inline bool output_is_wanted_there(const struct sides *sides, int output)
{
    return sides->outputs && sides->outputs[output];
}

static inline bool step_is_on_device(const struct step *step)
{
    return step->kernel && kernel_is_of_device(step->kernel);
}

static inline bool step_is_transfer(const struct sides *sides, const struct step *step)
{
    return step->kernel &&
           (step->kernel == sides->to_device || step->kernel == sides->to_host || step->kernel == sides->within);
}

/* Once each step has the kernel it would like best: those on a device that must not be there get one of the host
 * (`facts` are the host's). What stays on the host: control steps and what has no kernel for the device; outputs whose
 * size the run tells; all writers of a value that one of these writes; and arithmetic on a few integers that comes from
 * the host, which is shapes as a rule. */
enum status choose_sides(struct segment *segment, const struct kernel_facts *facts, struct error *error);

/* In the order that the steps have now: says which values lie on the device, and copies what is read on the other side,
 * once a value and direction: to the host right behind the last step that writes it, so that the copy is under way
 * early; to the device right before the first that reads it. The graph's outputs are on the sides where they are wanted
 * afterwards, but for those that no step here makes on the host; and the value that the rest needs (`needed_copy`) is
 * on the host. Constants of steps on the device are left as they are: they lie on both sides. */
enum status place_copies(struct segment *segment, const struct sides *sides, struct error *error);

/* A step, in the graph's region, that copies the bytes of a value to another one, for `node`, by the side that each is
 * on. NULL: no memory. */
struct step *make_transfer(struct graph *graph, const struct sides *sides, struct value *from, struct value *to,
                           const struct node *node);

#endif
