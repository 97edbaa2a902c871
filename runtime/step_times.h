/* What the steps of a context's latest runs have taken. */
#ifndef INFER_RUNTIME_STEP_TIMES_H
#define INFER_RUNTIME_STEP_TIMES_H

#include "runtime/compile/program.h"
#include "runtime/infer.h"

struct timed_program;

/* The programs of the latest run, one after another. Zero-initialise, but for the allocator. */
struct step_times {
    const struct allocator *allocator;
    bool on;     /* of the run under way */
    bool wanted; /* of the next one */
    bool anew;   /* the next one drops what was counted before, which nobody is shown any more */
    struct timed_program *first;
    struct timed_program **next; /* where the next program of the run under way is expected */
};

/* For the runs that follow; switching on begins anew. */
void step_times_want(struct step_times *times, bool on);
/* The beginning of a run. */
void step_times_begin(struct step_times *times);
/* Where the steps of the run's next program add up their nanoseconds. What was expected instead is forgotten. */
enum status step_times_enter(struct step_times *times, struct program *program, uint64_t **nanoseconds,
                             struct error *error);
/* The end of a run: what earlier ones had beyond it is forgotten. */
void step_times_end(struct step_times *times);

void step_times_clear(struct step_times *times);
size_t step_times_read(const struct step_times *times, infer_step_time *to, size_t count);

#endif
