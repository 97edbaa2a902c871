/* Tensors that come again: what a run has filled in is given to the next as it is. */
#include "tests/counting_allocator.h"
#include "tests/model_maker.h"
#include "tests/suites.h"

#include <string.h>

#define COLUMNS 4
#define ROWS 128

/* y = -x, of any number of rows. */
static infer_model *negation(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "negation");
    const int64_t dims[2] = {graph_symbol(graph, "rows"), COLUMNS};
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, dims);
    struct value *y = make_node1(graph, "Neg", "y", x);
    return maker_finish(maker, 1, &x, 1, &y, options);
}

static infer_tensor rows_of(int64_t rows)
{
    static float numbers[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++)
        numbers[i] = (float)i;
    return f32_tensor(numbers, 2, rows, COLUMNS);
}

static void expect_negated(const infer_tensor *tensor, int64_t rows)
{
    ck_assert_int_eq(tensor->rank, 2);
    ck_assert_int_eq(tensor->dims[0], rows);
    ck_assert_uint_eq(tensor->bytes, (size_t)rows * COLUMNS * sizeof(float));
    for (int64_t i = 0; i < rows * COLUMNS; i++)
        ck_assert(((const float *)tensor->data)[i] == -(float)i);
}

static void run_rows(infer_context *context, int64_t rows, infer_tensor *output)
{
    infer_tensor in = rows_of(rows);
    run_well(context, &in, 1, output, 1);
    expect_negated(output, rows);
}

/* The context's memory moves as it grows: what it lent before is never written to again. */
START_TEST(a_lent_result_may_be_given_again)
{
    struct maker maker = maker_start();
    struct running r = running_begin(negation(&maker, NULL), NULL);
    infer_tensor first = {0}, second = {0};
    run_rows(r.context, 8, &first);
    ck_assert_ptr_eq(first.data, first.lent);
    ck_assert_uint_eq(first.capacity, 0);
    run_rows(r.context, 16, &first);
    run_rows(r.context, ROWS, &second);
    run_rows(r.context, 8, &first);
    run_rows(r.context, 8, &second);
    ck_assert_ptr_eq(first.data, second.data);
    running_end(&r, &maker);
}
END_TEST

START_TEST(a_lent_result_may_go_to_another_context)
{
    struct maker maker = maker_start();
    struct running r = running_begin(negation(&maker, NULL), NULL);
    infer_context *other;
    infer_tensor out = {0};
    ck_assert_int_eq(infer_context_create(r.session, &other, NULL), INFER_OK);
    run_rows(r.context, 8, &out);
    const void *before = out.data;
    run_rows(other, 8, &out);
    ck_assert_ptr_ne(out.data, before);
    infer_context_release(other);
    run_rows(r.context, 16, &out); /* what the released one lent is not looked at */
    running_end(&r, &maker);
}
END_TEST

/* bit 0: the room in `bytes`, as in a tensor that only ever holds as much; bit 1: an error between. */
START_TEST(the_caller_s_memory_keeps_its_room)
{
    static float room[ROWS * COLUMNS];
    struct maker maker = maker_start();
    struct running r = running_begin(negation(&maker, NULL), NULL);
    infer_tensor out = {.data = room};
    *(_i & 1 ? &out.bytes : &out.capacity) = sizeof room;
    for (int64_t rows = 8; rows <= ROWS; rows *= 2) {
        run_rows(r.context, rows, &out);
        ck_assert_ptr_eq(out.data, room);
        ck_assert_ptr_null(out.lent);
        ck_assert_uint_eq(out.capacity, sizeof room);
        infer_tensor wrong = f32_tensor(room, 1, 8, 0), before = out;
        if (_i & 2) {
            ck_assert_int_eq(infer_run(r.context, &wrong, 1, &out, 1, NULL), INFER_INVALID_ARGUMENT);
            ck_assert_mem_eq(&out, &before, sizeof out);
        }
    }
    running_end(&r, &maker);
}
END_TEST

START_TEST(a_buffer_that_is_too_small_is_refused_with_its_room)
{
    float room[8 * COLUMNS];
    struct maker maker = maker_start();
    struct running r = running_begin(negation(&maker, NULL), NULL);
    infer_tensor in = rows_of(9), out = {.data = room, .capacity = sizeof room};
    infer_error error = {0};
    run_rows(r.context, 4, &out);
    ck_assert_int_eq(infer_run(r.context, &in, 1, &out, 1, &error), INFER_INVALID_ARGUMENT);
    ck_assert_str_eq(error.message, "output 'y' needs 144 bytes; 128 are given");
    run_rows(r.context, 8, &out);
    running_end(&r, &maker);
}
END_TEST

/* A tensor changes from lent memory to the caller's, even where that lies at the same address, and back. */
START_TEST(whose_memory_it_is_may_change)
{
    static float room[ROWS * COLUMNS];
    struct maker maker = maker_start();
    struct running r = running_begin(negation(&maker, NULL), NULL);
    infer_tensor out = {0};
    run_rows(r.context, 8, &out);
    out.data = room;
    out.capacity = sizeof room;
    run_rows(r.context, 16, &out);
    ck_assert_ptr_eq(out.data, room);
    out.lent = room; /* as if a context that is gone had lent it before the caller got it */
    run_rows(r.context, 8, &out);
    ck_assert_ptr_eq(out.data, room);
    ck_assert_ptr_null(out.lent);
    out = (infer_tensor){0};
    run_rows(r.context, 16, &out);
    ck_assert_ptr_ne(out.data, room);
    running_end(&r, &maker);
}
END_TEST

Suite *runtime_tensors_suite(void)
{
    Suite *suite = suite_create("runtime_tensors");
    TCase *tests = tcase_create("runtime_tensors");
    tcase_add_test(tests, a_lent_result_may_be_given_again);
    tcase_add_test(tests, a_lent_result_may_go_to_another_context);
    tcase_add_loop_test(tests, the_caller_s_memory_keeps_its_room, 0, 4);
    tcase_add_test(tests, a_buffer_that_is_too_small_is_refused_with_its_room);
    tcase_add_test(tests, whose_memory_it_is_may_change);
    suite_add_tcase(suite, tests);
    return suite;
}
