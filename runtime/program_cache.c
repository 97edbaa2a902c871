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

static void drop(struct program_cache *cache, struct cached_program *entry)
{
    program_release(entry->program);
    release(cache->allocator, entry->key, entry->key_bytes);
}

void program_cache_free(struct program_cache *cache)
{
    for (int i = 0; i < cache->count; i++)
        drop(cache, &cache->entries[i]);
    release(cache->allocator, cache->entries, (size_t)cache->capacity * sizeof *cache->entries);
    *cache = (struct program_cache){0};
}

struct program *program_cache_find(struct program_cache *cache, const void *key, size_t key_bytes, uint64_t hash)
{
    for (int i = 0; i < cache->count; i++) {
        struct cached_program *entry = &cache->entries[i];
        if (entry->hash != hash || entry->key_bytes != key_bytes || memcmp(entry->key, key, key_bytes) != 0)
            continue;
        entry->used = ++cache->clock;
        return entry->program;
    }
    return NULL;
}

enum status program_cache_add(struct program_cache *cache, const void *key, size_t key_bytes, uint64_t hash,
                              struct program *program, struct error *error)
{
    void *copy = allocate(cache->allocator, key_bytes, ALIGNMENT);
    if (!copy)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for the key of a program");
    memcpy(copy, key, key_bytes);
    struct cached_program *place = cache->entries;
    if (cache->count < cache->capacity) {
        place = &cache->entries[cache->count++];
    } else {
        for (int i = 1; i < cache->count; i++)
            if (cache->entries[i].used < place->used)
                place = &cache->entries[i];
        drop(cache, place);
    }
    program_retain(program);
    *place = (struct cached_program){
        .hash = hash, .used = ++cache->clock, .key = copy, .key_bytes = key_bytes, .program = program};
    return STATUS_OK;
}
