/* The bill of memory: a limit bounds the sum over model, session and contexts, whatever it is that grows; and a call
 * gets by with little stack. */
#include "tests/counting_allocator.h"
#include "tests/failing_allocator.h"
#include "tests/model_maker.h"
#include "tests/random_graph.h"
#include "tests/small_stack.h"
#include "tests/suites.h"

#include "formats/model_file.h"
#include "kernels/budget.h"

#include <stdio.h>
#include <string.h>

#define LIMIT ((size_t)16 << 20)

/* --- budgets ------------------------------------------------------------------------------------------------ */

START_TEST(a_budget_refuses_what_would_pass_its_limit)
{
    struct budget outer, inner;
    struct error error = {0};
    budget_init(&outer, NULL, &default_allocator, 1000);
    budget_init(&inner, &outer, NULL, SIZE_MAX);
    void *first = allocate(&inner.allocator, 600, ALIGNMENT);
    ck_assert_ptr_nonnull(first);
    ck_assert(budget_reserve(&outer, 300));
    ck_assert_ptr_null(allocate(&inner.allocator, 101, ALIGNMENT));
    ck_assert_uint_eq(atomic_load(&inner.held), 600);
    ck_assert_uint_eq(atomic_load(&outer.held), 900);
    error_set(&error, STATUS_OUT_OF_MEMORY, "node 'x': out of memory for a table");
    budget_explain(&inner, &error);
    ck_assert_int_eq(error.status, STATUS_MEMORY_LIMIT);
    ck_assert_str_eq(error.text, "node 'x': 101 bytes more, beside 900 in use, are past the limit of 1000 for a table");
    error = (struct error){0};
    error_set(&error, STATUS_OUT_OF_MEMORY, "out of memory");
    budget_explain(&inner, &error); /* told already */
    ck_assert_int_eq(error.status, STATUS_OUT_OF_MEMORY);
    ck_assert(!budget_reserve(&outer, SIZE_MAX));
    budget_return(&outer, 300);
    ck_assert(budget_reserve(&inner, 400));
    budget_return(&inner, 400);
    release(&inner.allocator, first, 600);
    ck_assert_uint_eq(atomic_load(&outer.held), 0);
}
END_TEST

struct hoard {
    struct budget *budget;
    int left;
};

static bool let_go_of_some(void *user)
{
    struct hoard *hoard = user;
    if (hoard->left-- <= 0)
        return false;
    budget_return(hoard->budget, 100);
    return true;
}

/* What the limit refused before, or refuses another thread meanwhile, is not why the allocator has nothing. */
START_TEST(a_failure_is_told_by_its_own_cause)
{
    struct failing failing = {.allowed = 1};
    struct allocator from = failing_allocator(&failing);
    struct budget budget;
    struct error error = {0};
    budget_init(&budget, NULL, &from, 1000);
    void *all = budget_take(&budget, 900, "for a table", &error);
    ck_assert_ptr_nonnull(all);
    ck_assert(!budget_reserve(&budget, 101)); /* its caller knows why, and nobody else is told */
    ck_assert_ptr_null(budget_take(&budget, 100, "for a table", &error));
    ck_assert_int_eq(error.status, STATUS_OUT_OF_MEMORY);
    ck_assert_str_eq(error.text, "out of memory for a table");
    error = (struct error){0};
    ck_assert_ptr_null(budget_take(&budget, 101, "for a table", &error));
    ck_assert_int_eq(error.status, STATUS_MEMORY_LIMIT);
    ck_assert_str_eq(error.text, "101 bytes more, beside 900 in use, are past the limit of 1000 for a table");
    ck_assert_ptr_null(budget_take(&budget, 101, "for a table", NULL));
    ck_assert_ptr_null(allocate(&budget.allocator, 101, ALIGNMENT));
    ck_assert_ptr_null(allocate(&budget.allocator, 100, ALIGNMENT));
    error = (struct error){0};
    error_set(&error, STATUS_OUT_OF_MEMORY, "out of memory");
    budget_explain(&budget, &error);
    ck_assert_int_eq(error.status, STATUS_OUT_OF_MEMORY);
    release(&budget.allocator, all, 900);
    ck_assert_uint_eq(atomic_load(&budget.held), 0);
}
END_TEST

START_TEST(a_budget_takes_back_what_is_not_in_use)
{
    struct budget budget;
    budget_init(&budget, NULL, &default_allocator, 1000);
    struct hoard hoard = {&budget, 5};
    budget.reclaim = let_go_of_some;
    budget.user = &hoard;
    ck_assert(budget_reserve(&budget, 1000));
    ck_assert(budget_reserve(&budget, 250));
    ck_assert_int_eq(hoard.left, 2);
    ck_assert(!budget_reserve(&budget, 1001)); /* nothing helps */
    ck_assert_int_eq(hoard.left, 2);
    ck_assert(!budget_reserve(&budget, 400));
    ck_assert_uint_eq(atomic_load(&budget.held), 750);
}
END_TEST

/* --- what grows --------------------------------------------------------------------------------------------- */

typedef infer_model *grower(struct maker *maker, const infer_model_options *options);

/* A table a tap, as long as the result is wide. */
static infer_model *wide_resize(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "resize");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 4, (int64_t[]){1, 1, 1, 3});
    struct value *in[] = {x, NULL, NULL, make_ints(graph, "sizes", 4, (int64_t[]){1, 1, 1, 700000})};
    const struct attribute mode = {.name = "mode", .kind = ATTRIBUTE_STRING, .count = 5, .string = "cubic"};
    struct value *y = make_node1(graph, "GlobalMaxPool", "y", make_node(graph, "Resize", "wide", 4, in, 1, &mode));
    return maker_finish(maker, 1, &x, 1, &y, options);
}

/* Constants that the content of n decides, of a program each. */
static infer_model *wide_constant(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "constant");
    struct value *n = graph_add_value(graph, "n", DTYPE_I64, 1, (int64_t[]){1});
    struct value *zeros = make_node1(graph, "ConstantOfShape", "zeros", n);
    struct value *y = make_node1(graph, "Shape", "y", make_node1(graph, "HannWindow", "window", n));
    struct value *outputs[] = {y, make_node1(graph, "Shape", "z", zeros), zeros};
    return maker_finish(maker, 1, &n, 3, outputs, options);
}

/* Results in memory of the context. */
static infer_model *wide_results(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "results");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){1}), *outputs[8];
    struct value *shape = make_ints(graph, "shape", 1, (int64_t[]){600000});
    for (int i = 0; i < 8; i++) {
        char name[8];
        snprintf(name, sizeof name, "y%d", i);
        outputs[i] = make_node2(graph, "Expand", region_string(&maker->region, name), x, shape);
    }
    return maker_finish(maker, 1, &x, 8, outputs, options);
}

static grower *const growers[] = {wide_resize, wide_constant, wide_results};

static infer_status run_grower(infer_model *model, infer_context *context, int64_t number, infer_error *error)
{
    static const float x[3] = {1, 2, 3};
    infer_value value;
    infer_tensor outputs[8] = {{0}};
    infer_model_input(model, 0, &value);
    const void *data = value.dtype == INFER_INT64 ? (const void *)&number : x;
    infer_tensor in = infer_input(data, value.dtype, value.rank, value.dims);
    return infer_run(context, &in, 1, outputs, infer_model_output_count(model), error);
}

/* Under the limit all is refused in time, or done; without it far more is held. */
START_TEST(the_limit_bounds_whatever_grows)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    infer_error error = {0};
    for (int limited = 0; limited < 2; limited++) {
        struct maker maker = maker_start();
        infer_model *model = growers[_i](&maker, &(infer_model_options){.allocator = &allocator});
        infer_session_options options = {.memory_limit = limited ? LIMIT : 0, .threads = 1};
        struct running r = running_begin(infer_model_retain(model), &options);
        int refused = 0;
        atomic_store(&counting.peak, 0);
        for (int64_t k = 0; k < 12; k++) {
            infer_status status = run_grower(model, r.context, 1000000 + k, &error);
            refused += status != INFER_OK;
            ck_assert(status == INFER_OK || (limited && status == INFER_MEMORY_LIMIT));
            ck_assert(status == INFER_OK || strstr(error.message, "limit"));
        }
        size_t peak = (size_t)atomic_load(&counting.peak) + infer_model_weight_bytes(model);
        if (limited)
            ck_assert(peak <= LIMIT && refused > 0);
        else
            ck_assert(peak > LIMIT && refused == 0);
        running_end(&r, &maker);
        infer_model_release(model);
        ck_assert_int_eq(atomic_load(&counting.bytes), 0);
    }
}
END_TEST

/* --- a shape that finds no room ------------------------------------------------------------------------------ */

/* As many floats in the arena as the input has, and as many in the result. */
static infer_model *two_rows(struct maker *maker, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "rows");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){1, graph_symbol(graph, "N")});
    struct value *once = make_node1(graph, "Softmax", "once", x);
    struct value *y = make_node2(graph, "Add", "y", make_node1(graph, "Softmax", "twice", once), once);
    return maker_finish(maker, 1, &x, 1, &y, options);
}

static infer_status run_row(infer_context *context, int64_t count, infer_error *error)
{
    static const float row[1 << 21];
    infer_tensor in = f32_tensor(row, 2, 1, count), out = {0};
    return infer_run(context, &in, 1, &out, 1, error);
}

/* One context has room for the long row, and two have not: the arena of the second finds none, or its result. */
START_TEST(a_refused_shape_leaves_contexts_that_run)
{
    static const int64_t rows[] = {1500000, 1100000};
    enum { SHORT = 1000 };
    const int64_t row = rows[_i];
    struct maker maker = maker_start();
    infer_error error = {0};
    infer_context *other;
    struct running r =
        running_begin(two_rows(&maker, NULL), &(infer_session_options){.memory_limit = LIMIT, .threads = 1});
    ck_assert_int_eq(infer_context_create(r.session, &other, NULL), INFER_OK);
    ck_assert_int_eq(run_row(other, SHORT, NULL), INFER_OK);
    ck_assert_int_eq(run_row(r.context, row, NULL), INFER_OK);
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(run_row(other, row, &error), INFER_MEMORY_LIMIT);
        ck_assert_msg(run_row(other, SHORT + again, &error) == INFER_OK, "%s", error.message);
        ck_assert_msg(run_row(r.context, row, &error) == INFER_OK, "%s", error.message);
    }
    infer_context_release(r.context);
    r.context = NULL;
    ck_assert_msg(run_row(other, row, &error) == INFER_OK, "%s", error.message);
    infer_context_release(other);
    running_end(&r, &maker);
}
END_TEST

/* --- random graphs ------------------------------------------------------------------------------------------- */

static infer_model *open_random(const struct random_graph *random, struct region *region,
                                const infer_model_options *options)
{
    void *bytes;
    size_t size;
    infer_model *model = NULL;
    if (model_write(random->graph, NULL, region, &bytes, &size, NULL) == STATUS_OK)
        infer_model_open_memory(bytes, size, "random", options, &model, NULL);
    return model;
}

static infer_status run_random(infer_context *context, const struct random_graph *random, size_t outputs)
{
    infer_tensor inputs[2], results[RANDOM_MOST_VALUES] = {{0}};
    for (int i = 0; i < 2; i++)
        inputs[i] = infer_input(random->inputs[i], INFER_FLOAT32, random->graph->inputs[i]->rank,
                                random->graph->inputs[i]->dims);
    return infer_run(context, inputs, 2, results, outputs, NULL);
}

/* What came of runs under a limit. */
struct holding {
    size_t most; /* held at once, with the weights */
    int done, refused;
};

static void note(struct holding *holding, infer_status status)
{
    ck_assert_msg(status == INFER_OK || status == INFER_MEMORY_LIMIT, "status %d", status);
    holding->done += status == INFER_OK;
    holding->refused += status != INFER_OK;
}

/* A run in each of so many contexts that live at once. */
static struct holding hold(infer_model *model, const struct random_graph *random, struct counting *counting,
                           size_t limit, int contexts)
{
    struct holding holding = {0};
    infer_session *session;
    infer_context *made[8] = {NULL};
    infer_session_options options = {.memory_limit = limit, .threads = 1};
    atomic_store(&counting->peak, atomic_load(&counting->bytes));
    infer_status status = infer_session_create(model, &options, &session, NULL);
    if (status != INFER_OK)
        note(&holding, status);
    for (int c = 0; c < contexts && session; c++) {
        status = infer_context_create(session, &made[c], NULL);
        note(&holding, made[c] ? run_random(made[c], random, infer_model_output_count(model)) : status);
    }
    for (int c = 0; c < contexts; c++)
        infer_context_release(made[c]);
    infer_session_release(session);
    holding.most = (size_t)atomic_load(&counting->peak) + infer_model_weight_bytes(model);
    return holding;
}

#define GRAPHS 300
#define BATCHES 4

/* With what it takes without a limit the first context runs; with less it is refused, if with nothing else to spare. */
START_TEST(random_graphs_keep_to_any_limit)
{
    int refused = 0, done = 0;
    for (int i = _i; i < GRAPHS; i += BATCHES) {
        struct counting counting = {.fail_at = -1};
        infer_allocator allocator = counting_allocator(&counting);
        struct dice dice = {.state = 5000000 + (uint64_t)i};
        struct random_graph random;
        struct region region;
        region_init(&region, &default_allocator);
        random_graph_make_wider(&random, &dice);
        infer_model *model = open_random(&random, &region, &(infer_model_options){.allocator = &allocator});
        size_t least = model ? (size_t)atomic_load(&counting.bytes) + infer_model_weight_bytes(model) : 0;
        struct holding free = {0};
        if (model)
            free = hold(model, &random, &counting, 0, 1);
        ck_assert(!model || (free.done == 1 && free.most > least));
        for (int part = 1; part <= 8 && model; part++) {
            size_t limit = part == 8 ? free.most : least + (free.most - least) / 8 * (size_t)part;
            struct holding held = hold(model, &random, &counting, limit, part == 8 ? 8 : 1);
            ck_assert_msg(held.most <= limit, "graph %d: %zu bytes are held under a limit of %zu", i, held.most, limit);
            ck_assert(part < 8 || held.done > 0);
            refused += held.refused;
            done += held.done;
        }
        infer_model_release(model);
        ck_assert_int_eq(atomic_load(&counting.bytes), 0);
        random_graph_free(&random);
        region_free(&region);
    }
    ck_assert_int_gt(refused, 100);
    ck_assert_int_gt(done, 100);
}
END_TEST

/* --- stack --------------------------------------------------------------------------------------------------- */

#define NESTED 20 /* loops */

/* One more loop around a body, as many times as `depth` says. */
static const struct graph *nested_body(struct region *region, int depth)
{
    struct graph *body = graph_create(region, "body");
    struct value *in[] = {graph_add_value(body, "i", DTYPE_I64, 0, NULL),
                          graph_add_value(body, "go", DTYPE_BOOL, 0, NULL),
                          graph_add_value(body, "s", DTYPE_F32, 1, (int64_t[]){2})};
    struct value *next = make_node1(body, "Neg", "next", in[2]), *go = make_node1(body, "Identity", "still", in[1]);
    if (depth > 0) {
        struct value *operands[] = {make_ints(body, "trip", 1, (int64_t[]){1}), NULL, next};
        const struct attribute inner = {
            .name = "body", .kind = ATTRIBUTE_GRAPH, .graph = nested_body(region, depth - 1)};
        next = make_node(body, "Loop", "inner", 3, operands, 1, &inner);
    }
    go->dtype = DTYPE_BOOL;
    next->dtype = DTYPE_F32;
    graph_set_inputs(body, 3, in);
    graph_set_outputs(body, 2, (struct value *[]){go, next});
    return body;
}

static infer_model *nested_loops(struct maker *maker)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "nested");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){2});
    const struct attribute body = {
        .name = "body", .kind = ATTRIBUTE_GRAPH, .graph = nested_body(&maker->region, NESTED - 1)};
    struct value *operands[] = {make_ints(graph, "trip", 1, (int64_t[]){1}), NULL, x};
    struct value *y = make_node(graph, "Loop", "y", 3, operands, 1, &body);
    return maker_finish(maker, 1, &x, 1, &y, NULL);
}

static void *run_nested(void *user)
{
    infer_model *model = user;
    infer_session *session;
    infer_context *context;
    const float x[2] = {3, -4};
    infer_tensor in = f32_tensor(x, 1, 2, 0), out = {0};
    void *wrong = user;
    if (infer_session_create(model, &(infer_session_options){.threads = 1}, &session, NULL) == INFER_OK &&
        infer_context_create(session, &context, NULL) == INFER_OK) {
        if (infer_run(context, &in, 1, &out, 1, NULL) == INFER_OK && ((const float *)out.data)[0] == 3)
            wrong = NULL;
        infer_context_release(context);
    }
    infer_session_release(session);
    return wrong;
}

START_TEST(loops_in_loops_get_by_with_little_stack)
{
    struct maker maker = maker_start();
    infer_model *model = nested_loops(&maker);
    ck_assert_ptr_null(small_stack_run(run_nested, model));
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

Suite *bill_suite(void)
{
    Suite *suite = suite_create("bill");
    TCase *tests = tcase_create("bill");
    tcase_add_test(tests, a_budget_refuses_what_would_pass_its_limit);
    tcase_add_test(tests, a_failure_is_told_by_its_own_cause);
    tcase_add_test(tests, a_budget_takes_back_what_is_not_in_use);
    tcase_add_loop_test(tests, the_limit_bounds_whatever_grows, 0, sizeof growers / sizeof growers[0]);
    tcase_add_loop_test(tests, a_refused_shape_leaves_contexts_that_run, 0, 2);
    tcase_add_loop_test(tests, random_graphs_keep_to_any_limit, 0, BATCHES);
    tcase_add_test(tests, loops_in_loops_get_by_with_little_stack);
    suite_add_tcase(suite, tests);
    return suite;
}
