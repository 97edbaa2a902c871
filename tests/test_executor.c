#include "runtime/executor.h"
#include "runtime/float_environment.h"
#include "tests/failing_allocator.h"
#include "tests/suites.h"

#include <check.h>
#include <fenv.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
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
#define MOST_LANES 8

static struct infer_executor *make_executor(int threads)
{
    struct infer_executor *executor;
    struct error error = {0};
    ck_assert_msg(executor_create(&default_allocator, threads, &executor, &error) == STATUS_OK, "%s", error.text);
    ck_assert_int_eq(infer_executor_threads(executor), threads);
    return executor;
}

/* What each task leaves: its lane and how often it ran. Nothing is atomic: no two threads may touch one place. */
struct record {
    int lanes[MOST_TASKS], times[MOST_TASKS];
    int last[MOST_LANES];  /* task of each lane, plus 1 */
    int falls[MOST_LANES]; /* how often a lane went on to an earlier task: to those of another lane, that is */
    pthread_t threads[MOST_LANES];
    useconds_t delay; /* of all lanes but the caller's, in microseconds */
};

static void record_tasks(void *user, int first, int last, int lane)
{
    struct record *record = user;
    if (record->delay && lane > 0)
        usleep(record->delay);
    ck_assert_int_lt(first, last);
    ck_assert(!record->last[lane] || pthread_equal(record->threads[lane], pthread_self()));
    record->falls[lane] += first < record->last[lane];
    record->threads[lane] = pthread_self();
    record->last[lane] = last;
    for (int task = first; task < last; task++) {
        record->lanes[task] = lane;
        record->times[task]++;
    }
}

static void check_run(struct infer_executor *executor, int lanes, int tasks, useconds_t delay)
{
    struct record record = {.delay = delay};
    executor_run(executor, lanes, tasks, record_tasks, &record);
    int most = infer_executor_threads(executor) < tasks ? infer_executor_threads(executor) : tasks;
    most = lanes < most ? lanes : most;
    for (int i = 0; i < MOST_TASKS; i++) {
        ck_assert_int_eq(record.times[i], i < tasks);
        ck_assert_msg(i >= tasks || record.lanes[i] < most, "task %d of %d ran in lane %d of %d", i, tasks,
                      record.lanes[i], most);
    }
    for (int lane = 0; lane < MOST_LANES; lane++)
        ck_assert_int_le(record.falls[lane], lane > 0 && lane < most);
}

START_TEST(each_task_runs_once_in_a_lane_that_there_is)
{
    for (int threads = 1; threads <= 6; threads++) {
        struct infer_executor *executor = make_executor(threads);
        for (int tasks = 0; tasks <= MOST_TASKS; tasks++)
            for (int lanes = 1; lanes <= MOST_LANES; lanes++)
                check_run(executor, lanes, tasks, 0);
        infer_executor_release(executor);
    }
}
END_TEST

static void remember_caller(void *user, int first, int last, int lane)
{
    ck_assert_int_eq(lane, 0);
    ck_assert_int_eq(last - first, 1);
    *(pthread_t *)user = pthread_self();
}

START_TEST(one_task_or_one_lane_runs_in_the_caller)
{
    struct infer_executor *executor = make_executor(4);
    for (int lanes = 0; lanes <= 4; lanes++) {
        pthread_t caller;
        memset(&caller, 0, sizeof caller);
        executor_run(executor, lanes, lanes > 1 ? 1 : 9, remember_caller, &caller);
        ck_assert(pthread_equal(caller, pthread_self()));
    }
    infer_executor_release(executor);
    infer_executor_release(NULL);
    ck_assert_int_eq(infer_executor_threads(NULL), 0);
}
END_TEST

/* Every way two sides can meet: workers that sleep when tasks come, a caller that sleeps when they are done, and runs
 * of few lanes in between, which some workers see and some do not. */
START_TEST(sleepers_wake)
{
    for (int threads = 2; threads <= 4; threads++) {
        struct infer_executor *executor = make_executor(threads);
        for (int i = 0; i < 20; i++) {
            usleep(2000);
            check_run(executor, threads, 2 + i % 7, i % 2 ? 2000 : 0);
            check_run(executor, threads, 2 + i % 3, 0);
        }
        infer_executor_release(executor);
    }
}
END_TEST

static void add_tasks(void *user, int first, int last, int lane)
{
    (void)lane;
    for (int task = first; task < last; task++)
        ((long *)user)[task]++;
}

START_TEST(many_short_runs_lose_nothing)
{
    long counts[5] = {0};
    struct infer_executor *executor = make_executor(3);
    for (int i = 0; i < 5000; i++)
        executor_run(executor, 3, 1 + i % 5, add_tasks, counts);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(counts[i], 5000 - 1000 * i);
    infer_executor_release(executor);
}
END_TEST

#define CALLERS 6
#define ROUNDS 2000

struct caller {
    struct infer_executor *executor;
    pthread_t thread;
    long counts[MOST_TASKS], by_lane[MOST_LANES];
};

/* A lane's memory is its own for a whole run. */
static void count_tasks(void *user, int first, int last, int lane)
{
    struct caller *caller = user;
    for (int task = first; task < last; task++) {
        caller->counts[task]++;
        caller->by_lane[lane]++;
    }
}

static void *call_often(void *user)
{
    struct caller *caller = user;
    for (int i = 0; i < ROUNDS; i++)
        executor_run(caller->executor, MOST_LANES, 1 + i % MOST_TASKS, count_tasks, caller);
    return NULL;
}

/* With workers that spin, on two cores and more, and with workers that sleep at once. */
START_TEST(many_callers_share_an_executor)
{
    struct caller callers[CALLERS] = {0};
    struct infer_executor *executor = make_executor(_i);
    for (int i = 0; i < CALLERS; i++) {
        callers[i].executor = executor;
        ck_assert_int_eq(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        long tasks = 0, expected[MOST_TASKS] = {0};
        pthread_join(callers[i].thread, NULL);
        for (int k = 0; k < ROUNDS; k++)
            for (int task = 0; task < 1 + k % MOST_TASKS; task++, tasks++)
                expected[task]++;
        for (int task = 0; task < MOST_TASKS; task++)
            ck_assert_int_eq(callers[i].counts[task], expected[task]);
        for (int lane = 0; lane < MOST_LANES; lane++)
            tasks -= callers[i].by_lane[lane];
        ck_assert_int_eq(tasks, 0);
        ck_assert_int_eq(callers[i].by_lane[_i], 0);
    }
    infer_executor_release(executor);
}
END_TEST

/* Both threads of the executor are kept until another run has ended, which therefore goes on without them. */
struct blockade {
    struct infer_executor *executor;
    atomic_int inside;
    atomic_bool open;
};

static void wait_inside(void *user, int first, int last, int lane)
{
    struct blockade *blockade = user;
    (void)lane;
    for (int task = first; task < last; task++) {
        atomic_fetch_add(&blockade->inside, 1);
        while (!atomic_load(&blockade->open))
            usleep(100);
    }
}

static void *run_blockade(void *user)
{
    struct blockade *blockade = user;
    executor_run(blockade->executor, 2, 2, wait_inside, blockade);
    return NULL;
}

START_TEST(busy_workers_hold_up_nobody)
{
    struct blockade blockade = {.executor = make_executor(2)};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, run_blockade, &blockade), 0);
    while (atomic_load(&blockade.inside) < 2)
        usleep(100);
    for (int tasks = 0; tasks < 20; tasks++)
        check_run(blockade.executor, 2, tasks, 0);
    atomic_store(&blockade.open, true);
    pthread_join(thread, NULL);
    infer_executor_release(blockade.executor);
}
END_TEST

START_TEST(impossible_executors_are_refused)
{
    static const int counts[] = {INT_MIN, -1, EXECUTOR_MOST + 1, INT_MAX};
    struct infer_executor *executor;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        infer_error error = {0};
        infer_executor_options options = {.threads = counts[i]};
        ck_assert_int_eq(infer_executor_create(&options, &executor, &error), INFER_INVALID_ARGUMENT);
        ck_assert_ptr_nonnull(strstr(error.message, "threads were asked for; it can be 1 to 1024, or 0 for all"));
        ck_assert_ptr_null(executor);
    }
    infer_allocator lame = {.release = default_allocator.release};
    infer_error error = {0};
    ck_assert_int_eq(infer_executor_create(&(infer_executor_options){.allocator = &lame}, &executor, &error),
                     INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "the allocator has no function to allocate memory");
    ck_assert_ptr_null(executor);
    ck_assert_int_eq(infer_executor_create(NULL, NULL, NULL), INFER_INVALID_ARGUMENT);

    struct failing failing = {.allowed = 0};
    const struct allocator none = failing_allocator(&failing);
    ck_assert_int_eq(executor_create(&none, 2, &executor, NULL), STATUS_OUT_OF_MEMORY);
    ck_assert_ptr_null(executor);
    failing.allowed = 1;
    ck_assert_int_eq(executor_create(&none, 2, &executor, NULL), STATUS_OK);
    ck_assert_uint_eq(failing.bytes, executor_bytes(executor));
    executor_run(executor, 2, 0, NULL, NULL);
    ck_assert_ptr_eq(infer_executor_retain(executor), executor);
    infer_executor_release(executor);
    ck_assert_int_eq(failing.held, 1);
    infer_executor_release(executor);
    ck_assert_int_eq(failing.held, 0);
    ck_assert_uint_eq(failing.bytes, 0);
}
END_TEST

/* Where addresses end after a few stacks, the threads that did start do the work. */
START_TEST(threads_that_do_not_start_are_done_without)
{
    unsigned long pages;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert(file && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    rlim_t most = pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)40 << 20);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &(struct rlimit){most, most}), 0);
    struct infer_executor *executor;
    ck_assert_int_eq(executor_create(&default_allocator, 1000, &executor, NULL), STATUS_OK);
    ck_assert_int_ge(infer_executor_threads(executor), 1);
    ck_assert_int_lt(infer_executor_threads(executor), 100);
    check_run(executor, MOST_LANES, MOST_TASKS, 0);
    infer_executor_release(executor);
}
END_TEST

START_TEST(more_threads_than_cores_do_not_spin)
{
    cpu_set_t all, one;
    size_t core = 0;
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    while (!CPU_ISSET(core, &all))
        core++;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    struct infer_executor *executor = make_executor(3);
    for (int tasks = 0; tasks < 10; tasks++)
        check_run(executor, 3, tasks, tasks % 2 ? 2000 : 0);
    infer_executor_release(executor);
    ck_assert_int_eq(executor_create(&default_allocator, 0, &executor, NULL), STATUS_OK);
    ck_assert_int_eq(infer_executor_threads(executor), 1);
    infer_executor_release(executor);
}
END_TEST

/* Calls that read something; -1: the system does not tell. */
static long read_calls(void)
{
    FILE *file = fopen("/proc/self/io", "r");
    long calls = -1;
    if (file && fscanf(file, "rchar: %*d wchar: %*d syscr: %ld", &calls) != 1)
        calls = -1;
    if (file)
        fclose(file);
    return calls;
}

START_TEST(one_thread_needs_no_look_at_the_cores)
{
    long first = read_calls(), before = read_calls();
    struct infer_executor *executor = make_executor(1);
    ck_assert_int_eq(read_calls() - before, before - first);
    infer_executor_release(executor);
}
END_TEST

/* --- the caller's own pool ---------------------------------------------------------------------------------------- */

struct own_pool {
    int share; /* of the calls that are made; 1: all */
    bool threads;
    atomic_int asked;
};

struct own_call {
    void (*work)(void *argument, int index);
    void *argument;
    int index;
};

static void *own_thread(void *user)
{
    struct own_call *call = user;
    fesetround(FE_UPWARD);
    call->work(call->argument, call->index);
    return fegetround() == FE_UPWARD ? NULL : user;
}

static void own_run(void *user, int count, void (*work)(void *argument, int index), void *argument)
{
    struct own_pool *pool = user;
    pthread_t threads[MOST_LANES];
    struct own_call calls[MOST_LANES];
    atomic_fetch_add(&pool->asked, count);
    int made = count / pool->share;
    for (int i = 0; i < made; i++) {
        calls[i] = (struct own_call){work, argument, i};
        if (pool->threads)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, own_thread, &calls[i]), 0);
        else
            work(argument, i);
    }
    for (int i = 0; pool->threads && i < made; i++) {
        void *changed;
        pthread_join(threads[i], &changed);
        ck_assert_ptr_null(changed);
    }
}

static void round_down_and_up(void *user, int first, int last, int lane)
{
    const volatile double one = 1, tiny = 1e-300;
    for (int task = first; task < last; task++)
        ck_assert(one + tiny == one);
    record_tasks(user, first, last, lane);
}

START_TEST(the_callers_pool_is_asked)
{
    static const struct own_pool kinds[] = {{1, false, 0}, {1, true, 0}, {2, false, 0}, {2, true, 0}, {100, false, 0}};
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        struct own_pool pool = {.share = kinds[kind].share, .threads = kinds[kind].threads};
        struct failing failing = {.allowed = 1};
        const struct allocator allocator = failing_allocator(&failing);
        infer_executor_options options = {.allocator =
                                              &(infer_allocator){allocator.allocate, allocator.release, allocator.user},
                                          .threads = 4,
                                          .pool = {own_run, &pool}};
        infer_executor *executor;
        ck_assert_int_eq(infer_executor_create(&options, &executor, NULL), INFER_OK);
        ck_assert_int_eq(infer_executor_threads(executor), 4);
        executor_run(executor, 4, 1, remember_caller, &(pthread_t){0});
        ck_assert_int_eq(atomic_load(&pool.asked), 0);
        for (int tasks = 2; tasks <= MOST_TASKS; tasks += 3) {
            struct record record = {0};
            atomic_store(&pool.asked, 0);
            executor_run(executor, 3, tasks, round_down_and_up, &record);
            ck_assert_int_eq(atomic_load(&pool.asked), tasks < 3 ? tasks : 3);
            for (int i = 0; i < MOST_TASKS; i++)
                ck_assert_int_eq(record.times[i], i < tasks);
        }
        infer_executor_release(executor);
        ck_assert_int_eq(failing.held, 0);
    }
}
END_TEST

/* A worker starts with what its creator had. */
START_TEST(workers_round_to_nearest)
{
    struct record record = {0};
    fesetround(FE_UPWARD);
    struct infer_executor *executor = make_executor(4);
    fesetround(FE_TONEAREST);
    for (int i = 0; i < 20; i++) {
        memset(&record, 0, sizeof record);
        record.delay = 100;
        executor_run(executor, 4, 16, round_down_and_up, &record);
    }
    infer_executor_release(executor);
}
END_TEST

START_TEST(a_child_lets_go_of_its_parents_executor)
{
    struct infer_executor *executor = make_executor(3);
    check_run(executor, 3, 9, 0);
    ck_assert(!executor_is_foreign(executor));
    pid_t child = fork();
    if (child == 0) {
        alarm(5);
        if (!executor_is_foreign(executor))
            _exit(1);
        infer_executor_release(executor);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %d", status);
    check_run(executor, 3, 9, 0);
    infer_executor_release(executor);
}
END_TEST

Suite *executor_suite(void)
{
    Suite *suite = suite_create("executor");
    TCase *tests = tcase_create("executor");
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, each_task_runs_once_in_a_lane_that_there_is);
    tcase_add_test(tests, one_task_or_one_lane_runs_in_the_caller);
    tcase_add_test(tests, sleepers_wake);
    tcase_add_test(tests, many_short_runs_lose_nothing);
    tcase_add_loop_test(tests, many_callers_share_an_executor, 2, 5);
    tcase_add_test(tests, busy_workers_hold_up_nobody);
    tcase_add_test(tests, impossible_executors_are_refused);
    if (!SANITIZED) /* whose shadow memory needs addresses without end */
        tcase_add_test(tests, threads_that_do_not_start_are_done_without);
    tcase_add_test(tests, more_threads_than_cores_do_not_spin);
    tcase_add_test(tests, one_thread_needs_no_look_at_the_cores);
    tcase_add_test(tests, the_callers_pool_is_asked);
    tcase_add_test(tests, workers_round_to_nearest);
    tcase_add_test(tests, a_child_lets_go_of_its_parents_executor);
    suite_add_tcase(suite, tests);
    return suite;
}
