/* Many threads that come for one program at once: one makes it, the others wait. */
#include "tests/model_maker.h"
#include "tests/suites.h"

#include "runtime/session.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define THREADS 16
#define SHAPES 20
#define LENGTH 400 /* so many nodes that the threads meet while the program is made */

/* tanh(relu(tanh(... x))), x of any length. */
static infer_model *long_model(struct maker *maker)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "long");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){graph_symbol(graph, "N")}), *y = x;
    for (int i = 0; i < LENGTH; i++) {
        char name[16];
        snprintf(name, sizeof name, "y%d", i);
        y = make_node1(graph, i % 2 ? "Relu" : "Tanh", region_string(&maker->region, name), y);
    }
    return maker_finish(maker, 1, &x, 1, &y, NULL);
}

struct cold {
    struct infer_session *session;
    pthread_barrier_t *barrier;
    bool failed;
};

static void *start_cold(void *user)
{
    struct cold *cold = user;
    for (int shape = 1; shape <= SHAPES; shape++) {
        infer_tensor in = f32_tensor(NULL, 1, shape, 0);
        infer_memory memory;
        pthread_barrier_wait(cold->barrier);
        if (infer_session_prepare(cold->session, &in, 1, &memory, NULL) != INFER_OK)
            cold->failed = true;
    }
    return NULL;
}

START_TEST(cold_threads_on_one_shape_make_one_program)
{
    struct maker maker = maker_start();
    struct running r = running_begin(long_model(&maker), NULL);
    pthread_t threads[THREADS];
    struct cold cold[THREADS];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        cold[i] = (struct cold){.session = r.session, .barrier = &barrier};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, start_cold, &cold[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(!cold[i].failed);
    }
    ck_assert_uint_eq(r.session->next_id, 1 + SHAPES);
    pthread_barrier_destroy(&barrier);
    running_end(&r, &maker);
}
END_TEST

/* Threads that ask for one program, whose maker lets the others come before it goes on. */
struct asking {
    struct infer_session *session;
    bool succeeds;
    int cancelled; /* the first makers, before any other outcome */
    atomic_int arrived, made, gave_up;
};

static enum status make_slowly(void *user, const struct program_options *options, struct program **program,
                               struct error *error)
{
    struct asking *asking = user;
    while (atomic_load(&asking->arrived) < THREADS)
        usleep(1000);
    usleep(20000);
    int number = atomic_fetch_add(&asking->made, 1);
    if (number < asking->cancelled) {
        *program = NULL;
        return error_set(error, STATUS_CANCELLED, "try number %d was cancelled", number);
    }
    if (!asking->succeeds) {
        *program = NULL;
        return error_set(error, STATUS_MEMORY_LIMIT, "try number %d failed", number);
    }
    struct known_input input = {.dtype = DTYPE_F32, .rank = 1, .dims = (int64_t[]){3}};
    return program_create(options, asking->session->graph, &input, program, error);
}

static void *ask_for_one(void *user)
{
    struct asking *asking = user;
    struct program *program;
    struct error error = {0};
    atomic_fetch_add(&asking->arrived, 1);
    const struct program_wanted wanted = {.key = {"key", 3, 1}, .make = make_slowly, .user = asking};
    enum status status = session_program(asking->session, &wanted, &program, &error);
    if (status == STATUS_CANCELLED) {
        atomic_fetch_add(&asking->gave_up, 1);
        return program ? user : NULL;
    }
    bool right = asking->succeeds ? error.status == STATUS_OK && status == STATUS_OK && program
                                  : status == STATUS_MEMORY_LIMIT && error.status == status && !program &&
                                        strcmp(error.text, "try number 0 failed") == 0;
    program_release(program);
    return right ? NULL : user;
}

START_TEST(threads_that_wait_get_the_program_or_its_error)
{
    struct maker maker = maker_start();
    struct running r = running_begin(long_model(&maker), &(infer_session_options){.cached_programs = 1});
    struct asking asking = {.session = r.session, .succeeds = _i == 1};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_for_one, &asking), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
    ck_assert_int_eq(atomic_load(&asking.made), 1);
    running_end(&r, &maker);
}
END_TEST

/* Where a maker's own run is ended, another of those that wait makes the program. */
START_TEST(threads_that_wait_are_not_cancelled_with_a_maker)
{
    struct maker maker = maker_start();
    struct running r = running_begin(long_model(&maker), NULL);
    struct asking asking = {.session = r.session, .succeeds = true, .cancelled = 2};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_for_one, &asking), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
    ck_assert_int_eq(atomic_load(&asking.gave_up), 2);
    ck_assert_int_eq(atomic_load(&asking.made), 3);
    running_end(&r, &maker);
}
END_TEST

/* Contexts that remember programs which the session drops at the same time. */
static void *run_shapes(void *user)
{
    struct cold *cold = user;
    infer_context *context;
    float x[SHAPES] = {0};
    if (infer_context_create(cold->session, &context, NULL) != INFER_OK)
        return user;
    pthread_barrier_wait(cold->barrier);
    for (int i = 0; i < 3 * SHAPES && !cold->failed; i++) {
        int shape = 1 + (i * 7 + (int)((uintptr_t)user / sizeof *cold % 5)) % 5;
        infer_tensor in = f32_tensor(x, 1, shape, 0), out = {0};
        cold->failed = infer_run(context, &in, 1, &out, 1, NULL) != INFER_OK || out.dims[0] != shape;
    }
    infer_context_release(context);
    return NULL;
}

START_TEST(threads_share_a_table_that_is_too_small)
{
    struct maker maker = maker_start();
    infer_session_options options = {.cached_programs = 1 + _i, .threads = 1};
    struct running r = running_begin(long_model(&maker), &options);
    pthread_t threads[4];
    struct cold cold[4];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 4; i++) {
        cold[i] = (struct cold){.session = r.session, .barrier = &barrier};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_shapes, &cold[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(!cold[i].failed);
    }
    ck_assert_int_le(r.session->cache.count, 1 + _i);
    pthread_barrier_destroy(&barrier);
    running_end(&r, &maker);
}
END_TEST

Suite *runtime_threads_suite(void)
{
    Suite *suite = suite_create("runtime_threads");
    TCase *tests = tcase_create("runtime_threads");
    tcase_add_test(tests, cold_threads_on_one_shape_make_one_program);
    tcase_add_loop_test(tests, threads_that_wait_get_the_program_or_its_error, 0, 2);
    tcase_add_test(tests, threads_that_wait_are_not_cancelled_with_a_maker);
    tcase_add_loop_test(tests, threads_share_a_table_that_is_too_small, 0, 3);
    suite_add_tcase(suite, tests);
    return suite;
}
