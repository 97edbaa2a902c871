/* Sessions and contexts that share threads. */
#include "tests/counting_allocator.h"
#include "tests/model_maker.h"
#include "tests/suites.h"

#include "runtime/session.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define CONTEXTS 64
#define SIDE 128 /* of a square product: of so many rows that it is cut into tasks */

/* relu(x x) + tanh(x) */
static infer_model *square_model(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "square");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){SIDE, SIDE});
    struct value *y = make_node1(graph, "Relu", "r", make_node2(graph, "MatMul", "xx", x, x));
    y = make_node2(graph, "Add", "y", y, make_node1(graph, "Tanh", "t", x));
    return maker_finish(maker, 1, &x, 1, &y, options);
}

static const float *input_of(int seed)
{
    static _Thread_local float data[SIDE * SIDE];
    uint32_t state = (uint32_t)seed;
    for (int i = 0; i < SIDE * SIDE; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (float)(state >> 8) / (float)(1 << 24) - 0.5f;
    }
    return data;
}

static void run_square(infer_context *context, int seed, float *result)
{
    infer_tensor in = f32_tensor(input_of(seed), 2, SIDE, SIDE), out = f32_tensor(result, 2, SIDE, SIDE);
    run_well(context, &in, 1, &out, 1);
}

static int threads_now(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static infer_executor *make_executor(int threads)
{
    infer_executor *executor;
    infer_error error = {0};
    infer_executor_create(&(infer_executor_options){.threads = threads}, &executor, &error);
    ck_assert_msg(executor != NULL, "%s", error.message);
    return executor;
}

/* Without our threads. The sanitizer of threads starts one of its own along with the first. */
static int threads_before(void)
{
    infer_executor_release(make_executor(2));
    return threads_now();
}

START_TEST(contexts_share_threads)
{
    int before = threads_before();
    struct maker maker = maker_start();
    struct running r = running_begin(square_model(&maker, NULL), &(infer_session_options){.threads = 3});
    infer_context *contexts[CONTEXTS];
    for (int i = 0; i < CONTEXTS; i++)
        ck_assert_int_eq(infer_context_create(r.session, &contexts[i], NULL), INFER_OK);
    ck_assert_int_eq(threads_now(), before + 2);
    static float first[SIDE * SIDE], other[SIDE * SIDE];
    for (int i = 0; i < CONTEXTS; i++) {
        run_square(contexts[i], 1, i ? other : first);
        ck_assert(i == 0 || memcmp(first, other, sizeof first) == 0);
        infer_context_release(contexts[i]);
    }
    running_end(&r, &maker);
    ck_assert_int_eq(threads_now(), before);
}
END_TEST

START_TEST(sessions_share_an_executor)
{
    static float expected[SIDE * SIDE], result[SIDE * SIDE];
    int before = threads_before();
    infer_executor *executor = make_executor(3);
    for (int threads = 0; threads <= 5; threads++) {
        struct maker maker = maker_start();
        struct running r = running_begin(square_model(&maker, NULL),
                                         &(infer_session_options){.threads = threads, .executor = executor});
        ck_assert_int_eq(infer_session_threads(r.session), threads && threads < 3 ? threads : 3);
        ck_assert_int_eq(threads_now(), before + 2);
        run_square(r.context, 7, threads ? result : expected);
        ck_assert(threads == 0 || memcmp(expected, result, sizeof result) == 0);
        if (threads == 5) { /* the session is the last to hold it */
            infer_executor_release(executor);
            run_square(r.context, 7, result);
            ck_assert_int_eq(memcmp(expected, result, sizeof result), 0);
        }
        running_end(&r, &maker);
    }
    ck_assert_int_eq(threads_now(), before);
}
END_TEST

struct server {
    infer_session *session;
    pthread_t thread;
    int seed;
    bool right;
};

#define RUNS 20
static float answers[CONTEXTS][SIDE * SIDE];

static void *serve(void *user)
{
    static _Thread_local float result[SIDE * SIDE];
    struct server *server = user;
    infer_context *context;
    if (infer_context_create(server->session, &context, NULL) != INFER_OK)
        return NULL;
    server->right = true;
    for (int i = 0; i < RUNS; i++) {
        run_square(context, server->seed, result);
        server->right = server->right && memcmp(result, answers[server->seed], sizeof result) == 0;
    }
    infer_context_release(context);
    return NULL;
}

START_TEST(runs_at_once_give_the_same_bits)
{
    struct maker maker[2] = {maker_start(), maker_start()};
    infer_executor *executor = make_executor(4);
    struct running r[2];
    for (int i = 0; i < 2; i++)
        r[i] = running_begin(square_model(&maker[i], NULL), &(infer_session_options){.executor = executor});
    infer_executor_release(executor);
    struct server servers[8];
    for (int i = 0; i < 8; i++)
        run_square(r[0].context, i, answers[i]);
    for (int i = 0; i < 8; i++) {
        servers[i] = (struct server){.session = r[i % 2].session, .seed = i};
        ck_assert_int_eq(pthread_create(&servers[i].thread, NULL, serve, &servers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(servers[i].thread, NULL);
        ck_assert(servers[i].right);
    }
    for (int i = 0; i < 2; i++)
        running_end(&r[i], &maker[i]);
}
END_TEST

/* A session's own executor is among its tables; one that was given is not. */
START_TEST(an_executor_is_counted_where_it_belongs)
{
    size_t tables[2];
    infer_executor *executor = make_executor(8);
    for (int given = 0; given < 2; given++) {
        struct counting counting = {.fail_at = -1};
        infer_allocator allocator = counting_allocator(&counting);
        struct maker maker = maker_start();
        infer_model *model = square_model(&maker, &(infer_model_options){.allocator = &allocator});
        struct running r =
            running_begin(model, &(infer_session_options){.threads = 8, .executor = given ? executor : NULL});
        infer_memory memory;
        static float result[SIDE * SIDE];
        run_square(r.context, 1, result);
        ck_assert_int_eq(infer_session_memory(r.session, &memory, NULL), INFER_OK);
        ck_assert_uint_eq(memory.weight_bytes + memory.constant_bytes + memory.packed_bytes + memory.table_bytes +
                              memory.arena_bytes + memory.context_bytes,
                          (size_t)atomic_load(&counting.bytes));
        tables[given] = memory.table_bytes;
        running_end(&r, &maker);
        ck_assert_int_eq(atomic_load(&counting.bytes), 0);
    }
    ck_assert_uint_eq(tables[0], tables[1] + executor_bytes(executor));
    infer_executor_release(executor);
}
END_TEST

START_TEST(impossible_threads_are_refused)
{
    struct maker maker = maker_start();
    infer_executor *executor = make_executor(2);
    infer_model *model = square_model(&maker, NULL);
    infer_session *session;
    infer_error error;
    for (int given = 0; given < 2; given++) {
        infer_session_options options = {.threads = 1025, .executor = given ? executor : NULL};
        ck_assert_int_eq(infer_session_create(model, &options, &session, &error), INFER_INVALID_ARGUMENT);
        ck_assert_str_eq(error.message, "1025 threads were asked for; it can be 1 to 1024, or 0 for all");
        ck_assert_ptr_null(session);
    }
    infer_model_release(model);
    infer_executor_release(executor);
    region_free(&maker.region);
}
END_TEST

#define INDICES 100000 /* rows of 64 elements: so many that there are tasks to share */
#define FIRST_FAULT (INDICES / 5 + 7)

/* A pool whose two lanes begin at the same time, so that both meet faults, now one in the calling thread, now the
 * other. */
struct both {
    pthread_barrier_t barrier;
    int runs;
    void (*work)(void *argument, int index);
    void *argument;
};

static void *run_other(void *user)
{
    struct both *both = user;
    pthread_barrier_wait(&both->barrier);
    both->work(both->argument, both->runs % 2);
    return NULL;
}

static void run_both(void *user, int count, void (*work)(void *argument, int index), void *argument)
{
    struct both *both = user;
    pthread_t thread;
    both->runs++;
    both->work = work;
    both->argument = argument;
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_other, both), 0);
    pthread_barrier_wait(&both->barrier);
    work(argument, 1 - both->runs % 2);
    pthread_join(thread, NULL);
}

/* From one place on every index is wrong: told is the first of them, whoever meets it when. */
START_TEST(the_first_fault_is_told)
{
    static int64_t indices[INDICES];
    static const float rows[4 * 64] = {1, 2, 3};
    for (int64_t i = FIRST_FAULT; i < INDICES; i++)
        indices[i] = i;
    struct both both = {.runs = 0};
    pthread_barrier_init(&both.barrier, NULL, 2);
    infer_executor *pool;
    infer_executor_options own = {.threads = 2, .pool = {run_both, &both}};
    ck_assert_int_eq(infer_executor_create(&own, &pool, NULL), INFER_OK);
    for (int threads = 0; threads <= 4; threads++) {
        struct maker maker = maker_start();
        struct graph *graph = maker.graph = graph_create(&maker.region, "gather");
        struct value *in[] = {graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){4, 64}),
                              graph_add_value(graph, "i", DTYPE_I64, 1, (int64_t[]){INDICES})};
        struct value *y = make_node2(graph, "Gather", "y", in[0], in[1]);
        infer_session_options options = {.threads = threads, .executor = threads ? NULL : pool};
        struct running r = running_begin(maker_finish(&maker, 2, in, 1, &y, NULL), &options);
        char expected[128];
        snprintf(expected, sizeof expected, "node 'y' (Gather): index %d is outside an axis of 4", FIRST_FAULT);
        for (int round = 0; round < 60; round++) {
            infer_error error = {0};
            infer_tensor tensors[2] = {f32_tensor(rows, 2, 4, 64), i64_tensor(indices, 1, INDICES)}, out = {0};
            ck_assert_int_eq(infer_run(r.context, tensors, 2, &out, 1, &error), INFER_FAULT);
            ck_assert_str_eq(error.message, expected);
        }
        running_end(&r, &maker);
    }
    infer_executor_release(pool);
    ck_assert_int_ge(both.runs, 60);
    pthread_barrier_destroy(&both.barrier);
}
END_TEST

Suite *runtime_executor_suite(void)
{
    Suite *suite = suite_create("runtime_executor");
    TCase *tests = tcase_create("runtime_executor");
    tcase_add_test(tests, contexts_share_threads);
    tcase_add_test(tests, sessions_share_an_executor);
    tcase_add_test(tests, runs_at_once_give_the_same_bits);
    tcase_add_test(tests, an_executor_is_counted_where_it_belongs);
    tcase_add_test(tests, the_first_fault_is_told);
    tcase_add_test(tests, impossible_threads_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}
