/* An allocator whose blocks share large pages. A page of 4 KB costs more than a microsecond when it is touched for the
 * first time, its share of a page of 2 MB a fifth of that; and most of what a model needs comes in blocks far below
 * 2 MB. */
#ifndef INFER_KERNELS_PAGE_POOL_H
#define INFER_KERNELS_PAGE_POOL_H

#include "kernels/base.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

struct page_span {
    char *start;
    size_t bytes;
};

/* Mapped memory. */
struct page_area {
    struct page_area *older;
    struct page_span span;
};

/* For any number of threads. It may not move, for `allocator` points back to it. Blocks below 2 KB are the default
 * allocator's, and so are all where memory is searched for faults (AddressSanitizer), which must know each block.
 *
 * Address space comes 16 MB at a time, or as much as a larger block needs, and goes back when the pool is freed; memory
 * goes back as soon as two large pages side by side hold no block. A process that forked off while another thread held
 * the lock gets blocks of the default allocator, and releases none of before the fork. */
struct page_pool {
    struct allocator allocator; /* hand this on */
    pid_t process;
    _Atomic(struct page_area *) areas; /* the newest; changed under the lock, read without it */
    pthread_mutex_t mutex;             /* of all below */
    size_t area_count;
    struct page_span *free; /* what no block has, by address, no two adjacent */
    size_t free_count, free_capacity;
    size_t blocks;
};

void page_pool_init(struct page_pool *pool);
void page_pool_free(struct page_pool *pool); /* whose blocks have been released */

#endif
