/* What ends a run before its time: a cancel, a deadline, a limit on its work. */
#ifndef INFER_RUNTIME_RUN_CONTROL_H
#define INFER_RUNTIME_RUN_CONTROL_H

#include "graph/steps/step.h"
#include "runtime/infer.h"

#include <stdatomic.h>

/* Of a context. The bodies of its loops share it. */
struct run_control {
    atomic_bool cancelled; /* the run under way is to end, or the next one; by any thread */
    atomic_bool stops;     /* a lane has found that the step under way is to end */
    infer_run_limits limits;
    bool prepares; /* no run is under way: what is made may take any time */
    /* Of the run under way. */
    int64_t deadline; /* by runtime/clock.h; NEVER: none */
    double multiply_adds;
    uint64_t loop_turns;
};

/* INVALID_ARGUMENT for a time that is no number, or negative. */
enum status run_limits_check(const infer_run_limits *limits, struct error *error);

/* The beginning of a run, and its end: a cancel that came too late for it is not the next one's. */
void run_control_begin(struct run_control *control);
void run_control_end(struct run_control *control);

/* While something is made for it: CANCELLED or DEADLINE. `control` is a struct run_control, as struct interrupt takes
 * it. */
enum status run_control_making(void *control, struct error *error);

/* Before a step, and once it has ended: CANCELLED, DEADLINE, or WORK_LIMIT where the step would pass it. */
enum status run_control_before(struct run_control *control, const struct step *step, struct error *error);
enum status run_control_after(struct run_control *control, const struct step *step, struct error *error);
/* Once work is done that was handed over with no look at the clock since; `step` is the last of it. CANCELLED,
 * DEADLINE. */
enum status run_control_caught_up(const struct run_control *control, const struct step *step, struct error *error);
/* Before a turn of a Loop or a Scan, which is a step of its own. */
enum status run_control_turn(struct run_control *control, const struct step *step, struct error *error);

/* Between chunks of a step's tasks, by any lane: whether the step is to end without doing the rest. `control` is a
 * struct run_control, as kernel_call.ended takes it. */
bool run_control_ends(void *control);

#endif
