/* What a run did, as an observer sees it: its steps, what led to a value, and where the first NaN and the first
 * infinity came from. Only the content of named values is looked at: what a step reads and writes may lie in memory any
 * way. */
#ifndef INFER_TOOLS_RUN_WATCH_H
#define INFER_TOOLS_RUN_WATCH_H

#include "kernels/base.h"
#include "tools/arrays.h"

enum special { SPECIAL_NAN, SPECIAL_INFINITY };

struct watched_step {
    const char *node, *op, *kernel;
    const char **sources; /* the ONNX nodes it stands for */
    size_t source_count;
    infer_tensor *inputs; /* their content is gone */
    size_t input_count;
    size_t written_before;    /* length of watch.written when it began */
    bool constant_special[2]; /* by enum special: whether a constant that it reads has one */
};

/* Bytes that a step wrote. */
struct watched_value {
    const char *name; /* "" for what has none */
    uintptr_t start;
    size_t bytes;
    int step;        /* -1: before the first one */
    bool view;       /* no step wrote it by this name: it was written as something else, or in parts */
    bool known;      /* whether its content was seen */
    bool special[2]; /* by enum special; where known */
    bool meant[2];   /* whether only constants brought it */
};

struct special_source {
    bool found;
    const char *value; /* "" for a constant */
    size_t written;    /* index in watch.written; of no use where from_outside */
    bool from_outside; /* an input of the model or a constant */
    int step;          /* that reads the constant; -1: none */
    infer_tensor tensor;
    int64_t place; /* in the numbers of the tensor */
};

/* Sources are values that have a NaN while nothing that they were computed from has one; and likewise for infinities.
 * An input of the model may be one too, and a constant with a NaN. A constant with an infinity is none: masks have. */
struct watch {
    struct region region;
    const struct input_set *inputs;
    const infer_model *model;
    bool plain;                 /* no passes: all that a step reads lies there whole, so constants can be looked at */
    const struct watch *before; /* of an unoptimised run, whose judgement of constants holds here too; NULL: none */
    struct watched_step *steps;
    size_t step_count, step_capacity;
    struct watched_value *written;
    size_t written_count, written_capacity;
    struct special_source first[2]; /* by enum special */
    bool no_memory;
};

void watch_start(struct watch *watch, const infer_model *model, const struct input_set *inputs, bool plain,
                 const struct watch *before);
void watch_free(struct watch *watch);
/* The observer; `user` is the watch. */
void watch_before(void *user, const infer_step *step);
void watch_after(void *user, const infer_step *step);
void watch_value(void *user, const char *name, const infer_tensor *tensor);

/* What led to a value is followed back to values at which `stop` says true; then `outside` hears of what was there
 * before the run: an input of the model, or a constant (NULL) and which step reads it. */
struct tracer {
    bool (*stop)(void *user, const struct watched_value *value);
    void (*outside)(void *user, const char *input, const struct watched_step *reader); /* reader NULL: a view does */
    void *user;
};

/* Marks the steps that led to watch->written[index] in `steps`, which has an entry for each. */
void watch_trace(const struct watch *watch, size_t index, const struct tracer *tracer, bool *steps);
/* The last value of that name; false: none. */
bool watch_find(const struct watch *watch, const char *name, size_t *index);

#endif
