/* Tables of programs by key. A session's holds its programs; a context's remembers those that it has run, which the
 * session may drop meanwhile. Not thread-safe: a session guards its own with a mutex, a context has one to itself. */
#ifndef INFER_RUNTIME_PROGRAM_CACHE_H
#define INFER_RUNTIME_PROGRAM_CACHE_H

#include "runtime/compile/program.h"

/* A reference to each. */
struct program_cache {
    const struct allocator *allocator;
    struct program **programs;
    int count, capacity;
};

enum status program_cache_init(struct program_cache *cache, const struct allocator *allocator, int capacity,
                               struct error *error);
void program_cache_free(struct program_cache *cache);
size_t program_cache_bytes(int capacity);
/* NULL: not there. The cache's reference, not the caller's. */
struct program *program_cache_find(const struct program_cache *cache, const struct program_key *key);
/* Takes a reference of its own. False where it is full. */
bool program_cache_add(struct program_cache *cache, struct program *program);
/* Takes out the one least lately used of those that nobody else holds: no run, and no continuation. NULL: there is
 * none. The reference is the caller's. */
struct program *program_cache_take(struct program_cache *cache);

struct remembered_program {
    uint64_t hash, used; /* used: when, by the memory's clock */
    struct program_handle *handle;
};

struct program_memory {
    const struct allocator *allocator;
    struct remembered_program *entries;
    int count, capacity;
    uint64_t clock;
};

enum status program_memory_init(struct program_memory *memory, const struct allocator *allocator, int capacity,
                                struct error *error);
void program_memory_free(struct program_memory *memory);
size_t program_memory_bytes(int capacity);
/* NULL: not there, or gone. The reference is the caller's. */
struct program *program_memory_find(struct program_memory *memory, const struct program_key *key);
/* In the place of one that is gone, or of the one least lately used, where it is full. */
void program_memory_add(struct program_memory *memory, struct program *program);

#endif
