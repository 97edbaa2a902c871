#ifndef INFER_RUNTIME_SESSION_H
#define INFER_RUNTIME_SESSION_H

#include "runtime/model.h"
#include "runtime/program_cache.h"

#include <pthread.h>

struct infer_session {
    atomic_int references;
    struct infer_model *model;
    const struct allocator *allocator; /* the model's */
    struct region region;              /* the graph below and constants folded once for all shapes */
    struct graph *graph;
    size_t constant_bytes;
    enum isa isa;
    int threads;
    bool no_optimize;
    size_t memory_limit; /* SIZE_MAX: none */
    int cached_programs;
    pthread_mutex_t mutex; /* of the two below; never held while a program runs */
    struct program_cache cache;
    uint64_t next_id;
};

/* Finds or makes a program by key; the result carries a reference for the caller. `make` is called without the lock. */
typedef enum status program_maker(void *user, const struct program_options *options, struct program **program,
                                  struct error *error);
enum status session_program(struct infer_session *session, const void *key, size_t key_bytes, uint64_t hash,
                            program_maker *make, void *user, struct program **program, struct error *error);

#endif
