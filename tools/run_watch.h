/* What a run did, as an observer sees it: its steps, which of them wrote what another one reads, and where the first
 * NaN and the first infinity came from. */
#ifndef INFER_TOOLS_RUN_WATCH_H
#define INFER_TOOLS_RUN_WATCH_H

#include "kernels/base.h"
#include "tools/arrays.h"

struct watched_step {
    const char *node, *op, *kernel;
    const char **sources; /* the ONNX nodes it stands for */
    size_t source_count;
    infer_tensor *inputs; /* their content is gone */
    size_t input_count;
    size_t written_before; /* length of watch.written when it began */
    bool had_special[2];   /* by enum special: whether something came in with one that its own node had not made */
};

/* A value that a step wrote, or a view of one that has a name of its own. */
struct watched_value {
    const char *name; /* "" for one between two steps of a node */
    uintptr_t start;
    size_t bytes;
    int step; /* -1: a view of what was there before the first one */
};

enum special { SPECIAL_NAN, SPECIAL_INFINITY };

struct special_source {
    bool found;
    const char *value; /* "" for one that has no name */
    int step;          /* that made it; where from_outside, the first that read it, or -1 */
    bool from_outside; /* an input of the model (which `value` names) or a constant */
    infer_tensor tensor;
    int64_t place; /* in the numbers of the tensor */
};

/* Sources are of nodes: what has a NaN while nothing that its node reads has one; and what has an infinity, likewise.
 * An input of the model may be one too, and a constant with a NaN. A constant with an infinity is none: masks have. */
struct watch {
    struct region region;
    const struct input_set *inputs;
    const infer_model *model;
    struct watched_step *steps;
    size_t step_count, step_capacity;
    struct watched_value *written;
    size_t written_count, written_capacity;
    struct special_source first[2]; /* by enum special */
    bool no_memory;
};

void watch_start(struct watch *watch, const infer_model *model, const struct input_set *inputs);
void watch_free(struct watch *watch);
/* The observer; `user` is the watch. */
void watch_before(void *user, const infer_step *step);
void watch_after(void *user, const infer_step *step);
void watch_value(void *user, const char *name, const infer_tensor *tensor);

/* One after another, what was written last at the bytes that a step reads. Begin with *at = step->written_before and
 * *left = tensor->bytes. NULL: all of it is known, or the rest was there before the run. */
const struct watched_value *watch_writer(const struct watch *watch, const infer_tensor *tensor, size_t *at,
                                         size_t *left);
/* The name of the model's input that a tensor lies in; NULL: none. */
const char *watch_input(const struct watch *watch, const infer_tensor *tensor);

#endif
