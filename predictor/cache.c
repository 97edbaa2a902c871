#include "predictor/cache.h"

#include <string.h>

#define DEFAULT_COUNT 65536
#define MOST_BUCKETS 65536

/* One hit in RARE lookups of a WINDOW is the least that pays for copying what was given; below it one request in
 * SAMPLE is looked for, to see whether that has changed. */
#define WINDOW 256
#define RARE 32
#define SAMPLE 16

enum status cache_init(struct cache *cache, const struct allocator *allocator, size_t most_bytes, size_t most_count)
{
    *cache = (struct cache){
        .allocator = allocator, .most_bytes = most_bytes, .most_count = most_count ? most_count : DEFAULT_COUNT};
    if (!most_bytes)
        return STATUS_OK;
    cache->bucket_count = 16;
    while (cache->bucket_count < cache->most_count && cache->bucket_count < MOST_BUCKETS)
        cache->bucket_count *= 2;
    cache->buckets = allocate(allocator, cache->bucket_count * sizeof(struct cache_entry *), ALIGNMENT);
    if (!cache->buckets)
        return STATUS_OUT_OF_MEMORY;
    memset(cache->buckets, 0, cache->bucket_count * sizeof(struct cache_entry *));
    return STATUS_OK;
}

void cache_free(struct cache *cache)
{
    if (!cache->buckets)
        return;
    cache_clear(cache);
    release(cache->allocator, cache->buckets, cache->bucket_count * sizeof(struct cache_entry *));
    cache->buckets = NULL;
}

/* --- whether to look ---------------------------------------------------------------------------------------------- */

bool cache_is_asked(struct cache *cache)
{
    return cache->buckets && (!cache->backs_off || ++cache->passed % SAMPLE == 0);
}

void cache_note(struct cache *cache, bool hit)
{
    cache->lookups++;
    cache->hits += hit;
    cache->window_hits += hit;
    if (++cache->window_lookups < WINDOW)
        return;
    cache->backs_off = cache->window_hits < WINDOW / RARE;
    cache->window_lookups = cache->window_hits = 0;
}

/* --- keys and copies ---------------------------------------------------------------------------------------------- */

static size_t bytes_of(const infer_tensor *tensor)
{
    return tensor->dtype == INFER_NONE ? 0 : infer_tensor_bytes(tensor->dtype, tensor->rank, tensor->dims);
}

struct hash_128 cache_key(const infer_tensor *given, size_t count)
{
    struct hash_128 key = {0, 0};
    for (size_t i = 0; i < count; i++) {
        const infer_tensor *tensor = &given[i];
        struct hash_128 data = hash_128(tensor->data, bytes_of(tensor));
        int64_t words[4 + INFER_MAX_RANK] = {(int64_t)key.low ^ (int64_t)data.high, (int64_t)key.high,
                                             (int64_t)data.low, (int64_t)tensor->dtype << 8 | tensor->rank};
        int rank = tensor->dtype == INFER_NONE ? 0 : tensor->rank;
        memcpy(words + 4, tensor->dims, (size_t)rank * sizeof *words);
        key = (struct hash_128){xxh64(words, sizeof words, 1), xxh64(words, sizeof words, 2)};
    }
    return key;
}

bool cache_same(const infer_tensor *a, const infer_tensor *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (a[i].dtype != b[i].dtype)
            return false;
        if (a[i].dtype == INFER_NONE)
            continue;
        size_t bytes = bytes_of(&a[i]);
        if (a[i].rank != b[i].rank || memcmp(a[i].dims, b[i].dims, (size_t)a[i].rank * sizeof *a[i].dims) != 0 ||
            (bytes && memcmp(a[i].data, b[i].data, bytes) != 0))
            return false;
    }
    return true;
}

static bool add_tensors(size_t *total, const infer_tensor *tensors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!add_size(*total, align_up(bytes_of(&tensors[i]), ALIGNMENT), total))
            return false;
    return true;
}

static char *copy_tensors(infer_tensor *to, const infer_tensor *from, size_t count, char *memory)
{
    for (size_t i = 0; i < count; i++) {
        size_t bytes = bytes_of(&from[i]);
        to[i] = from[i];
        to[i].bytes = bytes;
        to[i].data = memory;
        to[i].capacity = 0;
        to[i].lent = NULL;
        if (bytes)
            memcpy(memory, from[i].data, bytes);
        memory += align_up(bytes, ALIGNMENT);
    }
    return memory;
}

struct cache_entry *cache_make(const struct cache *cache, struct hash_128 key, const infer_tensor *given,
                               size_t given_count, const infer_tensor *results, size_t result_count)
{
    size_t tables =
        align_up(sizeof(struct cache_entry) + (given_count + result_count) * sizeof(infer_tensor), ALIGNMENT);
    size_t bytes = tables;
    if (!add_tensors(&bytes, given, given_count) || !add_tensors(&bytes, results, result_count) ||
        bytes > cache->most_bytes)
        return NULL;
    struct cache_entry *entry = allocate(cache->allocator, bytes, ALIGNMENT);
    if (!entry)
        return NULL;
    *entry = (struct cache_entry){.key = key, .references = 1, .bytes = bytes, .given_count = given_count};
    char *memory = copy_tensors(entry->tensors, given, given_count, (char *)entry + tables);
    copy_tensors(entry->tensors + given_count, results, result_count, memory);
    return entry;
}

/* --- the list ----------------------------------------------------------------------------------------------------- */

static struct cache_entry **bucket_of(const struct cache *cache, struct hash_128 key)
{
    return &cache->buckets[key.low & (cache->bucket_count - 1)];
}

/* The least recently used; NULL: there is none. */
static struct cache_entry *oldest(const struct cache *cache)
{
    return (struct cache_entry *)queue_first(&cache->uses);
}

static void remove_entry(struct cache *cache, struct cache_entry *entry)
{
    struct cache_entry **place = bucket_of(cache, entry->key);
    while (*place != entry)
        place = &(*place)->chain;
    *place = entry->chain;
    queue_remove(&entry->use);
    cache->bytes -= entry->bytes;
    cache_drop(cache, entry);
}

struct cache_entry *cache_find(struct cache *cache, struct hash_128 key)
{
    for (struct cache_entry *entry = *bucket_of(cache, key); entry; entry = entry->chain)
        if (entry->key.low == key.low && entry->key.high == key.high) {
            entry->references++;
            return entry;
        }
    return NULL;
}

void cache_use(struct cache *cache, struct cache_entry *entry)
{
    if (!entry->use.queue)
        return;
    queue_remove(&entry->use);
    queue_push(&cache->uses, &entry->use, 0);
}

void cache_insert(struct cache *cache, struct cache_entry *entry)
{
    struct cache_entry *same = cache_find(cache, entry->key);
    if (same) { /* its request ran twice: the later one is as good */
        cache_drop(cache, same);
        remove_entry(cache, same);
    }
    struct cache_entry **bucket = bucket_of(cache, entry->key);
    entry->chain = *bucket;
    *bucket = entry;
    queue_push(&cache->uses, &entry->use, 0);
    entry->references++;
    cache->bytes += entry->bytes;
    while (cache->bytes > cache->most_bytes || cache->uses.length > cache->most_count) {
        cache->evictions++;
        remove_entry(cache, oldest(cache));
    }
}

void cache_drop(struct cache *cache, struct cache_entry *entry)
{
    if (--entry->references == 0)
        release(cache->allocator, entry, entry->bytes);
}

void cache_clear(struct cache *cache)
{
    for (struct cache_entry *entry; (entry = oldest(cache)) != NULL;)
        remove_entry(cache, entry);
}
