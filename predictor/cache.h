/* Results of requests that have been, by what was given: found by a hash of 128 bits, and then compared to the last
 * byte. The least recently used go first. */
#ifndef INFER_PREDICTOR_CACHE_H
#define INFER_PREDICTOR_CACHE_H

#include "formats/hash.h"
#include "kernels/base.h"
#include "predictor/queue.h"
#include "runtime/infer.h"

/* What was given and what came of it, in one block. Whoever holds a reference may read it without the mutex. */
struct cache_entry {
    struct queue_link use;     /* first: a link is its entry. In no queue: only held by those who are given it */
    struct cache_entry *chain; /* of its bucket */
    struct hash_128 key;
    int references;
    size_t bytes;
    infer_status status; /* other than OK: there are no results, and it is never in the cache */
    size_t given_count;
    infer_tensor tensors[]; /* given, then results */
};

/* The predictor's mutex guards it, but where it is said. */
struct cache {
    const struct allocator *allocator;
    size_t most_bytes, most_count; /* most_bytes 0: there is no cache */
    size_t bytes;
    struct queue uses; /* entries, the least recently used first */
    struct cache_entry **buckets;
    size_t bucket_count; /* a power of two */
    uint64_t lookups, hits, shared, evictions;
    /* Hits in the window of lookups under way; where the last one had hardly any, most requests go past the cache. */
    unsigned window_lookups, window_hits, passed;
    bool backs_off;
};

enum status cache_init(struct cache *cache, const struct allocator *allocator, size_t most_bytes, size_t most_count);
void cache_free(struct cache *cache); /* with no reference left */

/* Whether the next request is to be looked for at all. */
bool cache_is_asked(struct cache *cache);
void cache_note(struct cache *cache, bool hit);

/* Without the mutex. */
struct hash_128 cache_key(const infer_tensor *given, size_t count);
bool cache_same(const infer_tensor *a, const infer_tensor *b, size_t count); /* types, shapes, bytes */
/* A copy with one reference; NULL: no memory, or more than the cache could hold. */
struct cache_entry *cache_make(const struct cache *cache, struct hash_128 key, const infer_tensor *given,
                               size_t given_count, const infer_tensor *results, size_t result_count);

/* With a new reference; its content may still differ from what is looked for. NULL: none. */
struct cache_entry *cache_find(struct cache *cache, struct hash_128 key);
void cache_use(struct cache *cache, struct cache_entry *entry); /* it is the most recently used now */
void cache_insert(struct cache *cache, struct cache_entry *entry);
void cache_drop(struct cache *cache, struct cache_entry *entry); /* a reference */
void cache_clear(struct cache *cache);

#endif
