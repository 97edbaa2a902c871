#include "kernels/page_pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GRAIN ((size_t)256) /* of a block's bytes, and its alignment */
#define LEAST_BLOCK ((size_t)2 * 1024)
#define AREA (8 * LARGE_PAGE) /* address space, of which only what is touched is memory; larger for a larger block */

#ifdef ADDRESSES_CHECKED
#define POOLS false
#else
#define POOLS true
#endif

static bool takes(size_t bytes, size_t alignment)
{
    return POOLS && bytes >= LEAST_BLOCK && bytes <= SIZE_MAX / 2 && alignment <= GRAIN;
}

/* --- tables ---------------------------------------------------------------------------------------------------- */

static bool reserve_free(struct page_pool *pool, size_t count)
{
    if (count <= pool->free_capacity)
        return true;
    struct page_span *larger = realloc(pool->free, 2 * count * sizeof *larger);
    if (!larger)
        return false;
    pool->free = larger;
    pool->free_capacity = 2 * count;
    return true;
}

/* The first free span at or behind an address. */
static size_t rank_of(const struct page_pool *pool, const char *start)
{
    size_t low = 0, high = pool->free_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uintptr_t)pool->free[middle].start < (uintptr_t)start)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void remove_free(struct page_pool *pool, size_t index)
{
    pool->free_count--;
    memmove(pool->free + index, pool->free + index + 1, (pool->free_count - index) * sizeof *pool->free);
}

/* Joins it with its neighbours and returns the whole. There is room in the table. */
static struct page_span add_free(struct page_pool *pool, struct page_span span)
{
    size_t rank = rank_of(pool, span.start);
    struct page_span *at = pool->free + rank;
    if (rank < pool->free_count && span.start + span.bytes == at->start) {
        span.bytes += at->bytes;
        remove_free(pool, rank);
    }
    if (rank > 0 && at[-1].start + at[-1].bytes == span.start) {
        at[-1].bytes += span.bytes;
        return at[-1];
    }
    memmove(at + 1, at, (pool->free_count - rank) * sizeof *at);
    pool->free_count++;
    return *at = span;
}

/* --- areas ----------------------------------------------------------------------------------------------------- */

/* Address space that begins and ends with a large page; start NULL: there is none. */
static struct page_span map_area(size_t bytes)
{
    size_t whole;
    if (!add_size(bytes, LARGE_PAGE, &whole))
        return (struct page_span){NULL, 0};
    char *map = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return (struct page_span){NULL, 0};
    size_t before = align_up((uintptr_t)map, LARGE_PAGE) - (uintptr_t)map;
    if (before)
        munmap(map, before);
    if (before < LARGE_PAGE)
        munmap(map + before + bytes, LARGE_PAGE - before);
    madvise(map + before, bytes, MADV_HUGEPAGE);
    return (struct page_span){map + before, bytes};
}

/* Far more than most blocks: those of a small model, its arena too, then lie side by side, and what would be left over
 * at the ends of several areas is no large page of its own. */
static bool add_area(struct page_pool *pool, size_t bytes)
{
    size_t needed = align_up(bytes, LARGE_PAGE);
    struct page_area *area = malloc(sizeof *area);
    if (!area)
        return false;
    *area = (struct page_area){atomic_load(&pool->areas), map_area(needed > AREA ? needed : AREA)};
    if (!area->span.start && needed < AREA)
        area->span = map_area(needed);
    if (!area->span.start) {
        free(area);
        return false;
    }
    atomic_store(&pool->areas, area);
    pool->area_count++;
    add_free(pool, area->span);
    return true;
}

static bool is_pooled(struct page_pool *pool, const char *memory)
{
    const struct page_area *area = atomic_load(&pool->areas);
    while (area && (uintptr_t)memory - (uintptr_t)area->span.start >= area->span.bytes)
        area = area->older;
    return area != NULL;
}

/* --- blocks ---------------------------------------------------------------------------------------------------- */

/* From the lowest addresses, so that high ones become free. */
static char *take_free(struct page_pool *pool, size_t bytes)
{
    for (size_t i = 0; i < pool->free_count; i++) {
        struct page_span *span = &pool->free[i];
        if (span->bytes < bytes)
            continue;
        char *block = span->start;
        span->start += bytes;
        span->bytes -= bytes;
        if (span->bytes == 0)
            remove_free(pool, i);
        return block;
    }
    return NULL;
}

/* False: in a process that forked off, where another thread held the lock, so that the tables may be half changed; here
 * they stay as they are. Otherwise the child has a whole copy of the pool. */
static bool lock(struct page_pool *pool)
{
    if (pthread_mutex_trylock(&pool->mutex) == 0)
        return true;
    return pool->process == getpid() && pthread_mutex_lock(&pool->mutex) == 0;
}

static void *pool_allocate(void *user, size_t bytes, size_t alignment)
{
    struct page_pool *pool = user;
    if (!takes(bytes, alignment) || !lock(pool))
        return allocate(&default_allocator, bytes, alignment);
    bytes = align_up(bytes, GRAIN);
    /* As many spans may be free one day as there are blocks and areas between them: releasing cannot fail. */
    bool room = reserve_free(pool, pool->blocks + pool->area_count + 3);
    char *block = room ? take_free(pool, bytes) : NULL;
    if (room && !block && add_area(pool, bytes))
        block = take_free(pool, bytes);
    pool->blocks += block != NULL;
    pthread_mutex_unlock(&pool->mutex);
    return block;
}

/* Of a free span, the large pages that hold a part of the block that has just been released. A page alone stays, for
 * who releases a small block often wants another; so one beside the block may have been kept until now. */
static void give_back(struct page_span span, struct page_span block)
{
    uintptr_t page = LARGE_PAGE, block_end = (uintptr_t)block.start + block.bytes;
    uintptr_t first = align_up((uintptr_t)span.start, page), end = ((uintptr_t)span.start + span.bytes) / page * page;
    if (end < first + 2 * page)
        return;
    uintptr_t from = (uintptr_t)block.start / page * page, to = align_up(block_end, page);
    from = from <= first + page ? first : from;
    to = to + page >= end ? end : to;
    if (from < to)
        madvise(span.start + (from - (uintptr_t)span.start), to - from, MADV_DONTNEED);
}

static void pool_release(void *user, void *memory, size_t bytes)
{
    struct page_pool *pool = user;
    bool pooled = takes(bytes, 1) && is_pooled(pool, memory);
    if (!pooled)
        release(&default_allocator, memory, bytes);
    else if (lock(pool)) {
        struct page_span block = {memory, align_up(bytes, GRAIN)};
        pool->blocks--;
        give_back(add_free(pool, block), block);
        pthread_mutex_unlock(&pool->mutex);
    }
}

void page_pool_init(struct page_pool *pool)
{
    *pool = (struct page_pool){.allocator = {pool_allocate, pool_release, pool}, .process = getpid()};
    pthread_mutex_init(&pool->mutex, NULL);
}

void page_pool_free(struct page_pool *pool)
{
    for (struct page_area *area = atomic_load(&pool->areas), *older; area; area = older) {
        older = area->older;
        munmap(area->span.start, area->span.bytes);
        free(area);
    }
    free(pool->free);
    if (pool->process == getpid())
        pthread_mutex_destroy(&pool->mutex);
}
