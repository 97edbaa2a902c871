#include "runtime/cores.h"
#include "runtime/thread_pool.h"
#include "tests/failing_allocator.h"
#include "tests/suites.h"

#include <check.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || HAS_FEATURE(address_sanitizer) || \
    HAS_FEATURE(thread_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define MOST_TASKS 64

static struct thread_pool *make_pool(int threads)
{
    struct thread_pool *pool;
    struct error error = {0};
    ck_assert_msg(thread_pool_create(&default_allocator, threads, &pool, &error) == STATUS_OK, "%s", error.text);
    ck_assert_int_eq(thread_pool_threads(pool), threads);
    return pool;
}

/* What each task leaves: which thread ran it, and how often. Not atomic: nothing else may touch it. */
struct record {
    int threads[MOST_TASKS], times[MOST_TASKS];
    useconds_t delay; /* of all threads but the caller's, in microseconds */
};

static void record_task(void *user, int task, int thread)
{
    struct record *record = user;
    if (record->delay && thread > 0)
        usleep(record->delay);
    record->threads[task] = thread;
    record->times[task]++;
}

static void check_run(struct thread_pool *pool, int tasks, useconds_t delay)
{
    struct record record = {.delay = delay};
    thread_pool_run(pool, tasks, record_task, &record);
    int threads = thread_pool_threads(pool) < tasks ? thread_pool_threads(pool) : tasks;
    for (int t = 0; t < threads; t++)
        for (int i = t * tasks / threads; i < (t + 1) * tasks / threads; i++)
            ck_assert_msg(record.threads[i] == t, "task %d of %d ran on thread %d, not %d of %d", i, tasks,
                          record.threads[i], t, threads);
    for (int i = 0; i < MOST_TASKS; i++)
        ck_assert_int_eq(record.times[i], i < tasks);
}

START_TEST(each_task_runs_once_on_its_thread)
{
    for (int threads = 1; threads <= 6; threads++) {
        struct thread_pool *pool = make_pool(threads);
        for (int tasks = 0; tasks <= MOST_TASKS; tasks++)
            check_run(pool, tasks, 0);
        thread_pool_destroy(pool);
    }
}
END_TEST

static void remember_caller(void *user, int task, int thread)
{
    (void)task;
    ck_assert_int_eq(thread, 0);
    *(pthread_t *)user = pthread_self();
}

START_TEST(one_task_runs_in_the_caller)
{
    struct thread_pool *pool = make_pool(4);
    pthread_t caller;
    thread_pool_run(pool, 1, remember_caller, &caller);
    ck_assert(pthread_equal(caller, pthread_self()));
    thread_pool_destroy(pool);
    thread_pool_destroy(NULL);
}
END_TEST

/* Every way two sides can meet: workers that sleep when a job comes, a caller that sleeps when it is done, and jobs of
 * few threads in between, which some workers see and some do not. */
START_TEST(sleepers_wake)
{
    for (int threads = 2; threads <= 4; threads++) {
        struct thread_pool *pool = make_pool(threads);
        for (int i = 0; i < 20; i++) {
            usleep(2000);
            check_run(pool, 2 + i % 7, i % 2 ? 2000 : 0);
            check_run(pool, 2 + i % 3, 0);
        }
        thread_pool_destroy(pool);
    }
}
END_TEST

static void add_task(void *user, int task, int thread)
{
    (void)thread;
    ((long *)user)[task]++;
}

START_TEST(many_short_runs_lose_nothing)
{
    long counts[5] = {0};
    struct thread_pool *pool = make_pool(3);
    for (int i = 0; i < 5000; i++)
        thread_pool_run(pool, 1 + i % 5, add_task, counts);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(counts[i], 5000 - 1000 * i);
    thread_pool_destroy(pool);
}
END_TEST

static void *use_own_pool(void *counts)
{
    struct thread_pool *pool;
    if (thread_pool_create(&default_allocator, 2, &pool, NULL) != STATUS_OK)
        return NULL;
    for (int i = 0; i < 200; i++)
        thread_pool_run(pool, MOST_TASKS, add_task, counts);
    thread_pool_destroy(pool);
    return NULL;
}

START_TEST(pools_do_not_meet)
{
    pthread_t threads[3];
    long counts[3][MOST_TASKS] = {{0}};
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_own_pool, counts[i]), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        for (int task = 0; task < MOST_TASKS; task++)
            ck_assert_int_eq(counts[i][task], 200);
    }
}
END_TEST

START_TEST(impossible_pools_are_refused)
{
    static const int counts[] = {INT_MIN, -1, 0, THREAD_POOL_MOST + 1, INT_MAX};
    struct thread_pool *pool;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct error error = {0};
        ck_assert_int_eq(thread_pool_create(&default_allocator, counts[i], &pool, &error), STATUS_INVALID_ARGUMENT);
        ck_assert_ptr_nonnull(strstr(error.text, "threads were asked for; 1 to 1024 are possible"));
        ck_assert_ptr_null(pool);
    }
    struct failing failing = {.allowed = 0};
    const struct allocator none = failing_allocator(&failing);
    ck_assert_int_eq(thread_pool_create(&none, 2, &pool, NULL), STATUS_OUT_OF_MEMORY);
    ck_assert_ptr_null(pool);
    failing.allowed = 1;
    ck_assert_int_eq(thread_pool_create(&none, 2, &pool, NULL), STATUS_OK);
    thread_pool_run(pool, 0, NULL, NULL);
    thread_pool_destroy(pool);
    ck_assert_int_eq(failing.held, 0);
    ck_assert_uint_eq(failing.bytes, 0);
}
END_TEST

/* Where addresses end after a few stacks, the threads that did start are stopped again. */
START_TEST(a_thread_that_does_not_start_is_an_error)
{
    unsigned long pages;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert(file && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    rlim_t most = pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)40 << 20);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &(struct rlimit){most, most}), 0);
    struct failing failing = {.allowed = 1};
    const struct allocator allocator = failing_allocator(&failing);
    struct thread_pool *pool;
    struct error error = {0};
    ck_assert_int_eq(thread_pool_create(&allocator, 1000, &pool, &error), STATUS_OUT_OF_MEMORY);
    ck_assert_msg(strstr(error.text, "cannot start thread ") == error.text, "%s", error.text);
    ck_assert_int_eq(failing.held, 0);
}
END_TEST

/* --- cores ---------------------------------------------------------------------------------------------------------
 */

static char folder[64];

static void make_folder(void)
{
    strcpy(folder, "/tmp/infer-cores-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *slash = strchr(path + strlen(folder) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static int quota(const char *list)
{
    char path[128];
    put("list", list);
    snprintf(path, sizeof path, "%s/list", folder);
    return quota_cores(path, folder);
}

START_TEST(quotas_of_version_2_are_found)
{
    ck_assert_int_eq(quota("0::/a/b\n"), INT_MAX);
    put("a/b/cpu.max", "max 100000\n");
    ck_assert_int_eq(quota("0::/a/b\n"), INT_MAX);
    put("a/b/cpu.max", "150000 100000\n");
    ck_assert_int_eq(quota("0::/a/b\n"), 2);
    ck_assert_int_eq(quota("0::/a\n"), INT_MAX);
    put("a/cpu.max", "100000 100000\n");
    ck_assert_int_eq(quota("0::/a/b\n"), 1);
    put("cpu.max", "50000 100000\n");
    ck_assert_int_eq(quota("0::/\n"), 1);
    ck_assert_int_eq(quota("0::/../outside\n"), 1);
    put("cpu.max", "nonsense\n");
    ck_assert_int_eq(quota("0::/\n"), INT_MAX);
    put("cpu.max", "1 0\n");
    ck_assert_int_eq(quota("0::/\n"), INT_MAX);
}
END_TEST

START_TEST(quotas_of_version_1_are_found)
{
    static const char list[] = "5:memory:/m\n4:cpu,cpuacct:/a\n3:cpuset:/s\n";
    put("cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
    put("cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    put("cpuset/s/cpu.cfs_quota_us", "100000\n");
    put("cpuset/s/cpu.cfs_period_us", "100000\n");
    ck_assert_int_eq(quota(list), INT_MAX);
    put("cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
    ck_assert_int_eq(quota(list), 3);
    put("cpu,cpuacct/cpu.cfs_quota_us", "200000\n");
    put("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    ck_assert_int_eq(quota(list), 2);
    ck_assert_int_eq(quota("4:cpuacct,cpu:/a\n"), INT_MAX);
    ck_assert_int_eq(quota("nonsense\n:\n::\n"), INT_MAX);
    ck_assert_int_eq(quota(""), INT_MAX);
}
END_TEST

START_TEST(affinity_is_respected)
{
    cpu_set_t all, one;
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    ck_assert_int_ge(usable_cores(), 1);
    ck_assert_int_le(usable_cores(), CPU_COUNT(&all));
    size_t core = 0;
    while (!CPU_ISSET(core, &all))
        core++;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_int_eq(usable_cores(), 1);
    struct thread_pool *pool = make_pool(3); /* more threads than cores: nobody spins */
    for (int tasks = 0; tasks < 10; tasks++)
        check_run(pool, tasks, 0);
    thread_pool_destroy(pool);
}
END_TEST

Suite *thread_pool_suite(void)
{
    Suite *suite = suite_create("thread_pool");
    TCase *tests = tcase_create("pool"), *cores = tcase_create("cores");
    tcase_set_timeout(tests, 30);
    tcase_set_timeout(cores, 30);
    tcase_add_test(tests, each_task_runs_once_on_its_thread);
    tcase_add_test(tests, one_task_runs_in_the_caller);
    tcase_add_test(tests, sleepers_wake);
    tcase_add_test(tests, many_short_runs_lose_nothing);
    tcase_add_test(tests, pools_do_not_meet);
    tcase_add_test(tests, impossible_pools_are_refused);
    if (!SANITIZED) /* whose shadow memory needs addresses without end */
        tcase_add_test(tests, a_thread_that_does_not_start_is_an_error);
    suite_add_tcase(suite, tests);
    tcase_add_checked_fixture(cores, make_folder, remove_folder);
    tcase_add_test(cores, quotas_of_version_2_are_found);
    tcase_add_test(cores, quotas_of_version_1_are_found);
    tcase_add_test(cores, affinity_is_respected);
    suite_add_tcase(suite, cores);
    return suite;
}
