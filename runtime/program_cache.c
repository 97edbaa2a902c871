#include "runtime/program_cache.h"

#include <string.h>

enum status program_cache_init(struct program_cache *cache, const struct allocator *allocator, int capacity,
                               struct error *error)
{
    size_t bytes = (size_t)capacity * sizeof *cache->entries;
    *cache = (struct program_cache){.allocator = allocator, .capacity = capacity};
    cache->entries = allocate(allocator, bytes, ALIGNMENT);
    if (!cache->entries)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for a table of %d programs", capacity);
    return STATUS_OK;
}

void program_cache_free(struct program_cache *cache)
{
    for (int i = 0; i < cache->count; i++)
        program_release(cache->entries[i].program);
    release(cache->allocator, cache->entries, (size_t)cache->capacity * sizeof *cache->entries);
    *cache = (struct program_cache){0};
}

struct program *program_cache_find(struct program_cache *cache, const void *key, size_t key_bytes, uint64_t hash)
{
    for (int i = 0; i < cache->count; i++) {
        struct cached_program *entry = &cache->entries[i];
        const struct program *program = entry->program;
        if (entry->hash != hash || program->key_bytes != key_bytes || memcmp(program->key, key, key_bytes) != 0)
            continue;
        entry->used = ++cache->clock;
        return entry->program;
    }
    return NULL;
}

void program_cache_add(struct program_cache *cache, uint64_t hash, struct program *program)
{
    struct cached_program *place = cache->entries;
    if (cache->count < cache->capacity) {
        place = &cache->entries[cache->count++];
    } else {
        for (int i = 1; i < cache->count; i++)
            if (cache->entries[i].used < place->used)
                place = &cache->entries[i];
        program_release(place->program);
    }
    program_retain(program);
    *place = (struct cached_program){.hash = hash, .used = ++cache->clock, .program = program};
}
