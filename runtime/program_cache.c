#include "runtime/program_cache.h"

#include <string.h>

static enum status no_memory(int capacity, struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for a table of %d programs", capacity);
}

/* --- a session's ----------------------------------------------------------------------------------------- */

size_t program_cache_bytes(int capacity)
{
    return (size_t)capacity * sizeof(struct program *);
}

enum status program_cache_init(struct program_cache *cache, const struct allocator *allocator, int capacity,
                               struct error *error)
{
    *cache = (struct program_cache){.allocator = allocator, .capacity = capacity};
    cache->programs = allocate(allocator, program_cache_bytes(capacity), ALIGNMENT);
    return cache->programs ? STATUS_OK : no_memory(capacity, error);
}

void program_cache_free(struct program_cache *cache)
{
    for (int i = 0; i < cache->count; i++)
        program_release(cache->programs[i]);
    release(cache->allocator, cache->programs, program_cache_bytes(cache->capacity));
    *cache = (struct program_cache){0};
}

struct program *program_cache_find(const struct program_cache *cache, const struct program_key *key)
{
    for (int i = 0; i < cache->count; i++)
        if (program_key_equal(&cache->programs[i]->key, key))
            return cache->programs[i];
    return NULL;
}

bool program_cache_add(struct program_cache *cache, struct program *program)
{
    if (cache->count == cache->capacity)
        return false;
    program_retain(program);
    cache->programs[cache->count++] = program;
    return true;
}

struct program *program_cache_take(struct program_cache *cache)
{
    struct program **oldest = NULL;
    for (int i = 0; i < cache->count; i++) {
        struct program **at = &cache->programs[i];
        if (program_is_held_once(*at) && (!oldest || program_last_used(*at) < program_last_used(*oldest)))
            oldest = at;
    }
    if (!oldest)
        return NULL;
    struct program *taken = *oldest;
    *oldest = cache->programs[--cache->count];
    return taken;
}

/* --- a context's ----------------------------------------------------------------------------------------- */

size_t program_memory_bytes(int capacity)
{
    return (size_t)capacity * sizeof(struct remembered_program);
}

enum status program_memory_init(struct program_memory *memory, const struct allocator *allocator, int capacity,
                                struct error *error)
{
    *memory = (struct program_memory){.allocator = allocator, .capacity = capacity};
    memory->entries = allocate(allocator, program_memory_bytes(capacity), ALIGNMENT);
    return memory->entries ? STATUS_OK : no_memory(capacity, error);
}

void program_memory_free(struct program_memory *memory)
{
    for (int i = 0; i < memory->count; i++)
        program_handle_release(memory->entries[i].handle);
    release(memory->allocator, memory->entries, program_memory_bytes(memory->capacity));
    *memory = (struct program_memory){0};
}

struct program *program_memory_find(struct program_memory *memory, const struct program_key *key)
{
    for (int i = 0; i < memory->count; i++) {
        struct remembered_program *entry = &memory->entries[i];
        struct program *program = entry->hash == key->hash ? program_of(entry->handle) : NULL;
        if (!program)
            continue;
        if (program_key_equal(&program->key, key)) {
            entry->used = ++memory->clock;
            return program;
        }
        program_release(program);
    }
    return NULL;
}

/* The entry to be written over: a full table's. */
static struct remembered_program *replaceable(const struct program_memory *memory)
{
    struct remembered_program *oldest = memory->entries;
    for (int i = 0; i < memory->count; i++) {
        struct remembered_program *entry = &memory->entries[i];
        if (program_is_gone(entry->handle))
            return entry;
        if (entry->used < oldest->used)
            oldest = entry;
    }
    return oldest;
}

void program_memory_add(struct program_memory *memory, struct program *program)
{
    struct remembered_program *place;
    if (memory->count < memory->capacity) {
        place = &memory->entries[memory->count++];
    } else {
        place = replaceable(memory);
        program_handle_release(place->handle);
    }
    *place = (struct remembered_program){
        .hash = program->key.hash, .used = ++memory->clock, .handle = program_handle_retain(program->handle)};
}
