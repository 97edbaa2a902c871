/* A program: a graph made concrete for one set of input shapes. A flat list of kernel calls whose every operand has a
 * place, known before the first run. Immutable once made; shared by reference count. */
#ifndef INFER_RUNTIME_COMPILE_PROGRAM_H
#define INFER_RUNTIME_COMPILE_PROGRAM_H

#include "graph/planner/planner.h"
#include "graph/steps/sides.h"
#include "runtime/compile/specialise.h"

#include <stdatomic.h>

/* Where an operand lies. */
enum space {
    SPACE_NONE,     /* absent */
    SPACE_ARENA,    /* offset in the context's arena */
    SPACE_CONSTANT, /* index in program->constants */
    SPACE_INPUT,    /* the caller's input */
    SPACE_OUTPUT,   /* the caller's, or the context's, output */
    SPACE_SLOT,     /* a buffer of the context whose size only the run tells (outputs of Loop and Scan) */
    SPACE_DEVICE,   /* offset in the context's arena on the device */
};

struct operand {
    enum space space;
    uint32_t index;
    size_t offset; /* bytes */
};

struct program_step {
    const struct step *step;
    const struct operand *operands; /* inputs, then outputs */
    size_t workspace_offset; /* in the arena: what the step shares, then a part for each task that runs at once */
};

/* What the runner of a program on two sides knows of a step. */
struct device_step {
    bool on_stream; /* its work is enqueued: it runs on the device, or copies */
    bool transfer;  /* it copies from one side to the other */
    bool captures;  /* it has the same addresses in each run, so it may be part of a graph */
    int waits;      /* a step of the host: the last step of the stream that it must wait for; -1: none */
    int event;      /* number of the event behind a step that others wait for; -1: none does */
    size_t staging; /* of a copy from or to the caller's memory: where its bytes lie in the staging buffer */
};

/* Of a program on two sides. */
struct device_program {
    struct sides sides; /* the session's, and what outputs are wanted on the device */
    struct device_step *steps;
    int event_count;
    size_t arena_bytes, lower_bound_bytes, workspace_bytes; /* on the device */
    size_t staging_bytes;
    struct weight_holder holder; /* constants on the device */
    uint64_t unnamed;            /* of these, those that no name lasts for */
};

/* An output that this program is the first to write: the runner gives it memory before the first step. */
struct output_binding {
    int index;
    const struct value *value;
};

/* A value that keeps an ONNX name, as an observer is shown it: after which step (-1: before the first), and where it
 * lies then. */
struct shown {
    const struct value *value;
    int step;
    struct operand place;
};

/* What the planner placed in the arena. */
struct arena_plan {
    struct buffer *buffers; /* time is the index of a step */
    int *owners;            /* value id, or -1 - step for a workspace */
    size_t *offsets;
    size_t count;
};

/* Of the programs of a session that exist: in its table, or held by a run. */
struct program_totals {
    atomic_size_t table_bytes, constant_bytes;
    _Atomic uint64_t clock; /* of their uses */
};

/* What a program is remembered by, by those who do not keep it: it outlives the program as long as they hold it. */
struct program_handle {
    atomic_int holders;    /* of the handle: the program is one */
    atomic_int references; /* to the program; 0: it is gone */
    struct program *program;
    struct budget *budget;         /* that the handle comes from */
    struct program_totals *totals; /* NULL: not registered */
};

/* What programs are found by: a graph and what is known of its inputs, or a parent and what was learned. */
struct program_key {
    const void *bytes;
    size_t count;
    uint64_t hash; /* of the bytes */
};

bool program_key_equal(const struct program_key *a, const struct program_key *b);

struct program {
    struct program_handle *handle;
    struct budget budget; /* within the session's: of the region, and of what making it takes */
    struct region region;
    struct program_key key;        /* its bytes in the region, as nothing changes once it is registered */
    _Atomic uint64_t used;         /* when last, by the totals' clock */
    uint64_t id;                   /* unique in the session; names the program in the keys of its continuations */
    struct program *parent;        /* a continuation's; retained */
    const struct graph *source;    /* what it was made of, value by value; outlives it */
    struct segment segment;        /* of a complete program, unless it is whole, only what its constants take */
    struct device_program *device; /* NULL: all of it is the host's */
    struct derived derived;        /* constants in the model's store; those of its parent and its session not again */
    struct program_step *steps;
    int step_count;
    const void **constants;
    int constant_count;
    struct output_binding *outputs;
    int output_count;
    struct shown *shown;
    int shown_count;
    struct arena_plan plan; /* of a program that is whole */
    size_t arena_bytes, lower_bound_bytes, workspace_bytes;
    size_t constant_bytes; /* beside those in the store; the parent's too */
    bool arena_is_least;   /* proven: no plan in this order of steps is lower */
    int slot_count;        /* including the parent's */

    /* Of a program that is whole, or not complete. Places of values by id (SPACE_NONE: not placed yet); of roots, see
     * value_root. */
    struct operand *places;
    int place_count;
    int *makers; /* by value id: the step that writes it, -1: none (a view, an input, made by the parent) */

    /* What the rest waits for. Nothing when `complete`. */
    bool complete;
    struct value **awaited; /* their dims (and for slots their rank) are known once the steps have run */
    int awaited_count;
};

/* The device that programs may use. */
struct program_device {
    struct sides sides;
    struct weights *weights;        /* the model's, in memory of the device */
    struct weight_account *account; /* of the session, within its limit of that memory */
    size_t limit;                   /* SIZE_MAX: none */
    enum status (*copy)(void *user, void *to, const void *from, size_t bytes, struct error *error); /* to the device */
    /* Says how much memory was asked for, and how much there is; returns OUT_OF_MEMORY. */
    enum status (*no_memory)(void *user, size_t bytes, struct error *error);
    void *user;
    /* Makes room on the device; false: there is none to be made. */
    bool (*reclaim)(void *owner);
    void *owner;
};

struct program_options {
    struct budget *budget; /* the session's */
    struct specialise_options specialise;
    const struct derived *derived; /* the session's */
    size_t weight_bytes;           /* and constants of the session, but for those in the store */
    size_t table_bytes;            /* of model and session */
    uint64_t id;
    const struct program_device *device; /* NULL: all runs on the host */
    const bool
        *outputs_there; /* of the graph: those that are wanted on the device; NULL: none. Read by program_create */
    bool whole;         /* keep the graph and the plan of the arena also where the program is complete: for tools */
};

struct known_input {
    enum dtype dtype;
    int rank;
    const int64_t *dims;
    bool on_device; /* an input's memory is the device's */
};

/* The program for a graph and its input shapes, which have been checked against it. `graph` must outlive it. */
enum status program_create(const struct program_options *options, const struct graph *graph,
                           const struct known_input *inputs, struct program **program, struct error *error);

/* The rest of `parent`, once what it waits for is known: `content` of the needed value (copied), or the dimensions of
 * the awaited ones. */
enum status program_continue(const struct program_options *options, struct program *parent, const void *content,
                             const struct known_input *awaited, struct program **program, struct error *error);

/* Gives a program its key, a copy, and adds it to the totals until it is freed. */
enum status program_register(struct program *program, const struct program_key *key, struct program_totals *totals,
                             struct error *error);

void program_retain(struct program *program);
void program_release(struct program *program); /* NULL is fine */
/* Notes that a registered program is used now. */
void program_touch(struct program *program);
uint64_t program_last_used(const struct program *program);
/* By the one who asks: no run, no continuation and nobody else has a reference at this moment. */
bool program_is_held_once(const struct program *program);

/* A reference to the program, or NULL where it is gone. Takes no lock. */
struct program *program_of(struct program_handle *handle);
bool program_is_gone(const struct program_handle *handle);
struct program_handle *program_handle_retain(struct program_handle *handle); /* returns it */
void program_handle_release(struct program_handle *handle);

/* All that it alone holds, but for its constants. */
size_t program_table_bytes(const struct program *program);
/* Of the step that has the most, inputs and outputs. */
int program_most_operands(const struct program *program);

/* The highest that one of its kernels is made for. */
enum isa program_isa(const struct program *program);

/* The place of a value of the program. */
struct operand program_place(const struct program *program, struct value *value);

#endif
