#include "kernels/page_pool.h"

#include "tests/random_graph.h"
#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS 200

struct block {
    unsigned char *start;
    size_t bytes;
    unsigned char content;
};

static void block_make(struct page_pool *pool, struct block *block, size_t bytes, unsigned char content)
{
    *block = (struct block){allocate(&pool->allocator, bytes, ALIGNMENT), bytes, content};
    ck_assert_ptr_nonnull(block->start);
    ck_assert_uint_eq((uintptr_t)block->start % ALIGNMENT, 0);
    memset(block->start, content, bytes);
}

static void block_end(struct page_pool *pool, struct block *block)
{
    ck_assert_msg(block->start[0] == block->content && memcmp(block->start, block->start + 1, block->bytes - 1) == 0,
                  "a block of %zu bytes was written over", block->bytes);
    release(&pool->allocator, block->start, block->bytes);
    block->start = NULL;
}

/* Of all orders of magnitude, up to a few large pages. */
static size_t any_size(struct dice *dice)
{
    return 1 + (size_t)roll(dice, (int64_t)64 << roll(dice, 17));
}

START_TEST(blocks_are_apart)
{
    struct dice dice = {.state = 1};
    struct page_pool pool;
    struct block blocks[BLOCKS] = {{NULL, 0, 0}};
    page_pool_init(&pool);
    for (int i = 0; i < 4000; i++) {
        struct block *block = &blocks[roll(&dice, BLOCKS)];
        if (block->start)
            block_end(&pool, block);
        else
            block_make(&pool, block, any_size(&dice), (unsigned char)i);
    }
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i].start)
            block_end(&pool, &blocks[i]);
    ck_assert_uint_eq(pool.blocks, 0);
    size_t free_bytes = 0, area_bytes = 0;
    for (size_t i = 0; i < pool.free_count; i++)
        free_bytes += pool.free[i].bytes;
    for (const struct page_area *area = pool.areas; area; area = area->older)
        area_bytes += area->span.bytes;
    ck_assert_uint_eq(free_bytes, area_bytes);
    page_pool_free(&pool);
}
END_TEST

START_TEST(what_was_released_is_given_out_again)
{
    struct page_pool pool;
    struct block a, b, c, both;
    page_pool_init(&pool);
    block_make(&pool, &a, 100000, 1);
    block_make(&pool, &b, 200000, 2);
    block_make(&pool, &c, 300000, 3);
    unsigned char *first = a.start;
    block_end(&pool, &b);
    block_end(&pool, &a);
    block_make(&pool, &both, 300000, 4);
#ifndef ADDRESSES_CHECKED
    ck_assert_ptr_eq(both.start, first);
#endif
    block_end(&pool, &c);
    block_end(&pool, &both);
    page_pool_free(&pool);
    (void)first;
}
END_TEST

#ifndef ADDRESSES_CHECKED
static size_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%*u %lu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

START_TEST(blocks_of_2_kb_and_more_share_pages)
{
    static const struct {
        size_t bytes, alignment, pooled;
    } cases[] = {{2047, 64, 0}, {2048, 64, 1}, {2048, 256, 1}, {2048, 512, 0}, {SIZE_MAX / 2 + 1, 64, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct page_pool pool;
        page_pool_init(&pool);
        void *block = allocate(&pool.allocator, cases[i].bytes, cases[i].alignment);
        ck_assert_uint_eq(pool.blocks, cases[i].pooled);
        if (block)
            release(&pool.allocator, block, cases[i].bytes);
        ck_assert_uint_eq(pool.blocks, 0);
        page_pool_free(&pool);
    }
}
END_TEST

/* Tables and the arena of a small model, so that no page is begun for the end of either. */
START_TEST(blocks_lie_side_by_side)
{
    static const size_t bytes[] = {1500 << 10, 6300 << 10, 3100 << 10};
    struct page_pool pool;
    struct block blocks[3];
    page_pool_init(&pool);
    for (int i = 0; i < 3; i++)
        block_make(&pool, &blocks[i], bytes[i], (unsigned char)i);
    for (int i = 1; i < 3; i++)
        ck_assert_ptr_eq(blocks[i].start, blocks[i - 1].start + bytes[i - 1]);
    for (int i = 0; i < 3; i++)
        block_end(&pool, &blocks[i]);
    page_pool_free(&pool);
}
END_TEST

/* Whether it was one large block or many small ones. */
START_TEST(memory_goes_back)
{
    const size_t all = (size_t)64 << 20, piece = (size_t)100 << 10;
    struct page_pool pool;
    struct block large, small[640], anchor;
    page_pool_init(&pool);
    block_make(&pool, &anchor, 5000, 9);
    size_t before = resident_bytes();
    block_make(&pool, &large, all, 1);
    ck_assert_uint_ge(resident_bytes(), before + all / 2);
    block_end(&pool, &large);
    ck_assert_uint_le(resident_bytes(), before + all / 8);
    for (int i = 0; i < 640; i++)
        block_make(&pool, &small[i], piece, (unsigned char)i);
    ck_assert_uint_ge(resident_bytes(), before + all / 2);
    for (int i = 0; i < 640; i += 2)
        block_end(&pool, &small[i]);
    for (int i = 1; i < 640; i += 2)
        block_end(&pool, &small[i]);
    ck_assert_uint_le(resident_bytes(), before + all / 8);
    block_end(&pool, &anchor);
    page_pool_free(&pool);
}
END_TEST

START_TEST(a_request_too_large_is_refused)
{
    struct page_pool pool;
    page_pool_init(&pool);
    ck_assert_ptr_null(allocate(&pool.allocator, SIZE_MAX / 2, ALIGNMENT));
    ck_assert_ptr_null(allocate(&pool.allocator, SIZE_MAX - 4096, ALIGNMENT));
    struct block block;
    block_make(&pool, &block, 3000, 1);
    block_end(&pool, &block);
    page_pool_free(&pool);
}
END_TEST

#endif

/* The lock may be another thread's that is not there. */
START_TEST(a_child_does_not_wait_for_the_lock) /* _i: whether it is locked */
{
    struct page_pool pool;
    struct block old, own;
    page_pool_init(&pool);
    block_make(&pool, &old, 10000, 1);
    if (_i)
        pthread_mutex_lock(&pool.mutex);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        block_make(&pool, &own, 20000, 2);
        block_end(&pool, &own);
        block_end(&pool, &old);
        page_pool_free(&pool);
        _exit(0);
    }
    if (_i)
        pthread_mutex_unlock(&pool.mutex);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    block_end(&pool, &old);
    page_pool_free(&pool);
}
END_TEST

Suite *page_pool_suite(void)
{
    Suite *suite = suite_create("page_pool");
    TCase *tests = tcase_create("page_pool");
    tcase_add_test(tests, blocks_are_apart);
    tcase_add_test(tests, what_was_released_is_given_out_again);
#ifndef ADDRESSES_CHECKED
    tcase_add_test(tests, blocks_of_2_kb_and_more_share_pages);
    tcase_add_test(tests, blocks_lie_side_by_side);
    tcase_add_test(tests, memory_goes_back);
    tcase_add_test(tests, a_request_too_large_is_refused);
#endif
    tcase_add_loop_test(tests, a_child_does_not_wait_for_the_lock, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
