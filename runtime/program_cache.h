/* A small LRU table of programs by key. Holds a reference to each. Not thread-safe: a session guards its own with a
 * mutex, a context has one to itself. */
#ifndef INFER_RUNTIME_PROGRAM_CACHE_H
#define INFER_RUNTIME_PROGRAM_CACHE_H

#include "runtime/compile/program.h"

struct cached_program {
    uint64_t hash, used; /* used: when, by the cache's clock */
    struct program *program;
};

struct program_cache {
    const struct allocator *allocator;
    struct cached_program *entries;
    int count, capacity;
    uint64_t clock;
};

enum status program_cache_init(struct program_cache *cache, const struct allocator *allocator, int capacity,
                               struct error *error);
void program_cache_free(struct program_cache *cache);
/* NULL: not there. The cache's reference, not the caller's. */
struct program *program_cache_find(struct program_cache *cache, const void *key, size_t key_bytes, uint64_t hash);
/* Under the program's own key. Takes a reference of its own; drops the entry least lately used where it is full. */
void program_cache_add(struct program_cache *cache, uint64_t hash, struct program *program);

#endif
