/* Runs the programs of one graph: the model's, or the body of a Loop. Owns the memory of a run. */
#ifndef INFER_RUNTIME_RUNNER_H
#define INFER_RUNTIME_RUNNER_H

#include "runtime/run_control.h"
#include "runtime/session.h"
#include "runtime/step_times.h"

/* A buffer that grows and never shrinks, so that a repeated run allocates nothing. */
struct slot {
    void *data;
    size_t capacity;
    struct known_input shape; /* dims points to the array below */
    int64_t dims[MAX_RANK];
};

/* A dimension of an input; `input` counts from 1, and 0 is none. */
struct symbol_place {
    int input, axis;
};

struct loop_state;

/* The first fault that a lane has met, and in which task. */
struct lane_fault {
    struct fault fault;
    int task;
};

struct runner {
    struct infer_session *session;
    const struct allocator *allocator;
    const struct graph *graph;
    struct program_memory recent;
    struct program *held; /* the program under way, or the last one found; NULL: none */
    char *arena;
    struct device_run *device;   /* NULL: it runs on the host alone */
    uint64_t device_nanoseconds; /* that the step under observation took there; 0: it was the host's */
    size_t arena_bytes;
    infer_tensor *inputs, *outputs; /* of the run under way; the graph's counts */
    struct slot *results;           /* memory of outputs whose data the caller left NULL */
    struct slot *slots;
    int slot_count;
    struct slot *awaited; /* dimensions only */
    int awaited_count;
    struct known_input *known;    /* shapes of the inputs */
    struct symbol_place *symbols; /* for each symbol of the graph, where the inputs of the run first have it */
    struct known_input *learned;  /* of the awaited values; awaited_count of them */
    char *key;
    size_t key_bytes, key_capacity;
    struct loop_state *loops; /* one a Loop or Scan met */
    const infer_observer *observer;
    struct step_times *times;    /* the context's; NULL: this runner's steps are part of another's */
    struct run_control *control; /* the context's; NULL: this runner only finds programs */

    /* Pointers of the step under way, and what an observer sees of it. */
    const void **operand_pointers;
    int64_t **dims_pointers;
    infer_tensor *operand_tensors;
    const char **operand_names;
    int operand_capacity;
    struct lane_fault *faults; /* one a lane */
};

/* Zeroes the runner first, so that runner_free is right after a failure. */
enum status runner_init(struct runner *runner, struct infer_session *session, const struct graph *graph,
                        const struct allocator *allocator, struct error *error);
void runner_free(struct runner *runner);
/* Beside arena, results and loops: what a runner comes to allocate that has run what `needs` counts. */
size_t runner_table_bytes(const struct infer_session *session, const struct graph *graph, const struct needs *needs);

/* Checks and takes the inputs of a run. with_data: every input needs its bytes; else those that have any data. */
enum status runner_bind_inputs(struct runner *runner, const infer_tensor *inputs, size_t count, bool with_data,
                               struct error *error);
/* INVALID_ARGUMENT for more outputs than the graph has. */
enum status runner_check_outputs(const struct runner *runner, size_t count, struct error *error);
/* The program for the inputs bound; runner->held, so not the caller's. */
enum status runner_first_program(struct runner *runner, struct program **program, struct error *error);
/* The rest of a program, whose awaited values lie where it says; runner->held as well. */
enum status runner_next_program(struct runner *runner, struct program *parent, struct program **program,
                                struct error *error);
/* Room for a key of so many bytes; the ones that it has stay. */
enum status runner_reserve_key(struct runner *runner, size_t bytes, struct error *error);
/* Room for all that a program writes but its outputs. What its parent has left in the arena stays. */
enum status runner_reserve(struct runner *runner, const struct program *program, struct error *error);
/* A step, done on return. */
enum status runner_step(struct runner *runner, const struct program *program, size_t index, struct error *error);
enum status runner_step_on_host(struct runner *runner, const struct program *program, size_t index,
                                struct error *error);
/* All steps of a program, one after another, timed where that is wanted; those that are marked. */
enum status runner_run_steps(struct runner *runner, struct program *program, struct error *error);
enum status runner_run_some(struct runner *runner, const struct program *program, const bool *marked,
                            struct error *error);
/* Runs. outputs as in infer_run; NULL entries of data are given memory of the runner. */
enum status runner_run(struct runner *runner, infer_tensor *outputs, size_t count, struct error *error);

/* Between runs a context holds no program: the session may drop any. Bodies of loops keep theirs from one iteration to
 * the next, until the run is over. */
void runner_let_go(struct runner *runner);

/* It runs the model's graph, not the body of a loop: what it needs is what the session counts. */
static inline bool runner_is_outermost(const struct runner *runner)
{
    return runner->graph == runner->session->graph;
}

/* An output as the caller gave it: what a context lent is NULL again, and the caller's memory has its capacity. */
infer_tensor runner_taken_output(const infer_tensor *given);
bool runner_leaves_out(const infer_tensor *output);
/* Gives an output memory, of the caller or of the runner. It may not be an input's. */
enum status runner_bind_output(struct runner *runner, const struct output_binding *binding, struct error *error);

/* For the observer, if there is one: values that are there before the first step of a program; a step, before and after
 * it has run. */
void runner_show_given(struct runner *runner, const struct program *program);
void runner_show_before(struct runner *runner, const struct program *program, size_t index);
void runner_show_after(struct runner *runner, const struct program *program, size_t index);

/* For runtime/loop.c. */
void *runner_pointer(struct runner *runner, const struct program *program, struct operand operand);
/* Room for `bytes`, within the session's limit; the content is kept. */
enum status slot_reserve(struct runner *runner, struct slot *slot, size_t bytes, struct error *error);
void slot_free(const struct allocator *allocator, struct slot *slot);
/* The tensor a value of `program` is now. */
infer_tensor runner_tensor(struct runner *runner, const struct program *program, const struct value *value,
                           struct operand operand);
/* Runs a control step; its outputs go to their slots. */
enum status runner_loop(struct runner *runner, const struct program *program, const struct program_step *step,
                        struct error *error);
void loops_free(struct runner *runner);
void loops_let_go(struct runner *runner);

#endif
