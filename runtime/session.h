#ifndef INFER_RUNTIME_SESSION_H
#define INFER_RUNTIME_SESSION_H

#include "runtime/executor.h"
#include "runtime/model.h"
#include "runtime/program_cache.h"

#include <pthread.h>

/* What a context comes to take that runs some programs of the model's graph: the largest of each. */
struct needs {
    size_t arena_bytes, lower_bound_bytes, workspace_bytes, result_bytes, key_bytes;
    size_t device_arena_bytes, device_result_bytes, staging_bytes; /* where there is a device; as are its events */
    int events;
    int steps, operands, slots, awaited;
    enum isa isa;
    bool arena_is_least; /* proven, of the program that has the largest */
    bool complete;       /* nothing of them depends on data; false where there is no program */
};

/* INVALID_ARGUMENT in a process that forked off from the one that made the session. */
enum status session_check_process(const struct infer_session *session, struct error *error);

struct infer_session {
    atomic_int references;
    struct infer_model *model;
    struct budget budget; /* of the session, its programs and contexts, and what it has of the model */
    struct region region; /* the graph below and constants folded once for all shapes */
    struct graph *graph;
    size_t constant_bytes;         /* in the region */
    struct derived derived;        /* constants beyond these: in the model's store */
    struct weight_account account; /* of the session and of its programs */
    struct session_device *device; /* NULL: it runs on the host alone */
    enum isa isa;
    struct kernel_facts facts;       /* of this CPU and the options */
    struct infer_executor *executor; /* a reference */
    bool owns_executor;              /* it is this session's alone, and counts among its memory */
    int threads;                     /* lanes of a run */
    infer_run_limits run_limits;     /* that its contexts begin with */
    bool no_optimize, memory_saving;
    bool whole_programs; /* for tools, set before the first program: see struct program_options */
    bool channels_last;  /* for tests, between creation and the first run: see struct specialise_options */
    int cached_programs;
    struct program_totals totals;
    pthread_mutex_t mutex; /* of all below; never held while a program is made or runs */
    struct program_cache cache;
    struct making *making; /* programs on their way into the cache */
    pthread_cond_t made;   /* one of them is there, or failed */
    uint64_t next_id;      /* one more than the programs that were begun */
    struct needs needs;    /* of every program made for the model's graph, also where it has left the cache */
    size_t *result_bytes;  /* the largest of each output on the host, then of each on the device; in the region */
};

typedef enum status program_maker(void *user, const struct program_options *options, struct program **program,
                                  struct error *error);

struct program_wanted {
    struct program_key key;
    program_maker *make;
    void *user;
    const struct interrupt *interrupt; /* of making it; NULL: nothing interrupts */
    bool on_host;                      /* whatever device the session has */
};

/* Finds or makes a program by key; the result carries a reference for the caller. `make` is called without the lock,
 * and by one thread: others that come for the same key meanwhile wait, and get its program or its error; where it was
 * interrupted, one of them makes it. What is found costs no allocation. */
enum status session_program(struct infer_session *session, const struct program_wanted *wanted,
                            struct program **program, struct error *error);

/* Makes room: drops a program that nobody uses. false: there is none. Not under the session's lock. */
bool session_drop_program(struct infer_session *session);

struct needs program_needs(const struct program *program);
/* The larger of each. Results are the session's to add up: the largest of each output may come from different
 * programs. */
void needs_add(struct needs *all, const struct needs *one);
/* `tables` and `constants` are of programs, `packed` of the session too. */
infer_memory session_memory_of(const struct infer_session *session, const struct needs *needs, size_t tables,
                               size_t constants, size_t packed);
/* A model whose input shapes are all given in its file needs nobody to name them. */
bool session_is_fixed(const struct infer_session *session);
enum status session_prepare_fixed(struct infer_session *session, struct error *error);
/* Counts a program of the model's graph among what the session needs. */
void session_note(struct infer_session *session, const struct program *program);
struct needs session_needs(struct infer_session *session);
size_t session_result_bytes(struct infer_session *session, int output, bool on_device);

/* What model and session hold beside weights and constants. */
size_t session_table_bytes(const struct infer_session *session);

/* What a context takes beside its arena and its results. */
size_t context_table_bytes(const struct infer_session *session, const struct needs *needs);

#endif
