#include "runtime/step_times.h"

#include "graph/op.h"

#include <string.h>

struct timed_program {
    struct timed_program *next;
    struct program *program; /* retained */
    size_t bytes;
    uint64_t runs;
    uint64_t nanoseconds[]; /* by step */
};

static void forget(struct step_times *times, struct timed_program **from)
{
    while (*from) {
        struct timed_program *gone = *from;
        *from = gone->next;
        program_release(gone->program);
        release(times->allocator, gone, gone->bytes);
    }
}

void step_times_want(struct step_times *times, bool on)
{
    times->wanted = on;
    times->anew = times->anew || on;
}

void step_times_begin(struct step_times *times)
{
    times->on = times->wanted;
    if (times->anew)
        step_times_clear(times);
    times->anew = false;
    times->next = &times->first;
}

enum status step_times_enter(struct step_times *times, struct program *program, uint64_t **nanoseconds,
                             struct error *error)
{
    struct timed_program *timed = *times->next;
    if (!timed || timed->program != program) {
        forget(times, times->next);
        size_t bytes = sizeof *timed + (size_t)program->step_count * sizeof *timed->nanoseconds;
        timed = allocate(times->allocator, bytes, ALIGNMENT);
        if (!timed)
            return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for the times of %d steps",
                             program->step_count);
        memset(timed, 0, bytes);
        timed->program = program;
        timed->bytes = bytes;
        program_retain(program);
        *times->next = timed;
    }
    timed->runs++;
    times->next = &timed->next;
    *nanoseconds = timed->nanoseconds;
    return STATUS_OK;
}

void step_times_end(struct step_times *times)
{
    if (times->on)
        forget(times, times->next);
}

void step_times_clear(struct step_times *times)
{
    forget(times, &times->first);
}

size_t step_times_read(const struct step_times *times, infer_step_time *to, size_t count)
{
    size_t total = 0;
    for (const struct timed_program *timed = times->anew ? NULL : times->first; timed; timed = timed->next)
        for (int i = 0; i < timed->program->step_count; i++, total++) {
            const struct step *step = timed->program->steps[i].step;
            if (total < count)
                to[total] = (infer_step_time){.kernel = step_kernel_name(step),
                                              .node = step->node->name,
                                              .op = step->node->op->name,
                                              .nanoseconds = timed->nanoseconds[i],
                                              .runs = timed->runs};
        }
    return total;
}
