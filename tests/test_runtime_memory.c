/* Memory that is known before the run and does not grow: what infer_session_memory tells is what is allocated. */
#include "tests/counting_allocator.h"
#include "tests/model_maker.h"
#include "tests/suites.h"

#include "formats/model_file.h"
#include "runtime/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHANNELS 4
#define LARGEST 64 /* height and width */
#define SHAPES 50

/* --- a model ------------------------------------------------------------------------------------------------ */

static struct value *convolve(struct graph *graph, const char *name, struct value *x, const struct value *weights)
{
    static const int64_t pads[4] = {1, 1, 1, 1};
    const struct attribute attribute = {.name = "pads", .kind = ATTRIBUTE_INTS, .count = 4, .ints = pads};
    struct value *in[] = {x, (struct value *)(uintptr_t)weights};
    return make_node(graph, "Conv", name, 2, in, 1, &attribute);
}

/* Two convolutions with a residual, and the mean of it beside: 1 x 4 x height x width. -1: a symbol. */
static void draw_network(struct maker *maker, int64_t height, int64_t width, struct value **x, struct value **outputs)
{
    static float numbers[CHANNELS * CHANNELS * 9];
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        numbers[i] = (float)(i % 7) / 20 - 0.1f;
    struct graph *graph = maker->graph = graph_create(&maker->region, "network");
    int64_t dims[4] = {1, CHANNELS, height < 0 ? graph_symbol(graph, "H") : height,
                       width < 0 ? graph_symbol(graph, "W") : width};
    *x = graph_add_value(graph, "x", DTYPE_F32, 4, dims);
    struct value *flat =
        graph_add_constant(graph, "flat", DTYPE_F32, 1, (int64_t[]){sizeof numbers / sizeof numbers[0]}, numbers);
    struct value *weights = /* folds to a view of the other, which takes no memory */
        make_node2(graph, "Reshape", "weights", flat,
                   make_ints(graph, "shape", 4, (int64_t[]){CHANNELS, CHANNELS, 3, 3}));
    struct value *once = make_node1(graph, "Relu", "once", convolve(graph, "first", *x, weights));
    struct value *twice = convolve(graph, "second", once, weights);
    outputs[0] = make_node2(graph, "Add", "y", make_node1(graph, "Tanh", "tanh", twice), *x);
    outputs[1] = make_node1(graph, "GlobalAveragePool", "mean", outputs[0]);
}

static infer_model *network(struct maker *maker, int64_t height, int64_t width, const infer_allocator *allocator)
{
    struct value *x, *outputs[2];
    infer_model_options options = {.allocator = allocator};
    draw_network(maker, height, width, &x, outputs);
    return maker_finish(maker, 1, &x, 2, outputs, &options);
}

struct size {
    int64_t height, width;
};

/* Number i of SHAPES: each different, the largest neither first nor last. */
static struct size numbered(int i)
{
    return (struct size){8 + i * 17 % 50, LARGEST - i * 29 % 50};
}

static infer_tensor picture(struct size size)
{
    static float data[CHANNELS * LARGEST * LARGEST];
    for (size_t i = 0; i < sizeof data / sizeof data[0]; i++)
        data[i] = (float)(i % 97) / 50 - 1;
    infer_tensor tensor = {
        .data = data, .dtype = INFER_FLOAT32, .rank = 4, .dims = {1, CHANNELS, size.height, size.width}};
    tensor.bytes = infer_tensor_bytes(tensor.dtype, tensor.rank, tensor.dims);
    return tensor;
}

static void run_size(infer_context *context, struct size size)
{
    infer_tensor in = picture(size), out[2] = {{0}, {0}};
    run_well(context, &in, 1, out, 2);
}

static infer_memory prepare(infer_session *session, struct size size)
{
    infer_tensor in = picture(size);
    infer_error error = {0};
    infer_memory memory = {0};
    in.data = NULL;
    ck_assert_msg(infer_session_prepare(session, &in, 1, &memory, &error) == INFER_OK, "%s", error.message);
    return memory;
}

static infer_memory ask(infer_session *session)
{
    infer_error error = {0};
    infer_memory memory = {0};
    ck_assert_msg(infer_session_memory(session, &memory, &error) == INFER_OK, "%s", error.message);
    return memory;
}

/* The weights of these models lie in memory of the test, which the library did not allocate. */
static long told(const infer_memory *memory, size_t contexts)
{
    return (long)(memory->constant_bytes + memory->packed_bytes + memory->table_bytes +
                  contexts * (memory->arena_bytes + memory->result_bytes + memory->context_bytes));
}

#define expect_told(session, counting, contexts)                                          \
    do {                                                                                  \
        infer_memory now = ask(session);                                                  \
        ck_assert_int_eq(atomic_load(&(counting).bytes), told(&now, (size_t)(contexts))); \
    } while (0)

static struct running begin(struct maker *maker, struct counting *counting, const infer_session_options *options)
{
    infer_allocator allocator = counting_allocator(counting);
    return running_begin(network(maker, -1, -1, &allocator), options);
}

/* --- known before ------------------------------------------------------------------------------------------- */

START_TEST(a_fixed_model_tells_its_memory_before_anything_runs)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    struct running r = running_begin(network(&maker, 32, 48, &allocator), &(infer_session_options){.threads = 3});
    infer_context *second;
    infer_error error = {0};
    infer_memory before = ask(r.session), again = ask(r.session);
    ck_assert_mem_eq(&before, &again, sizeof before);
    ck_assert(before.complete);
    ck_assert_uint_eq(before.constant_bytes, 0);
    ck_assert_uint_ge(before.arena_bytes, sizeof(float) * CHANNELS * 32 * 48);
    ck_assert_uint_ge(before.arena_bytes, before.lower_bound_bytes);
    ck_assert_uint_eq(before.result_bytes, sizeof(float) * (CHANNELS * 32 * 48 + CHANNELS));
    ck_assert_uint_ge(before.weight_bytes, sizeof(float) * CHANNELS * CHANNELS * 9);
    ck_assert_uint_gt(before.steps, 0);
    run_size(r.context, (struct size){32, 48});
    ck_assert_int_eq(atomic_load(&counting.bytes), told(&before, 1));
    ck_assert_int_eq(infer_context_create(r.session, &second, &error), INFER_OK);
    run_size(second, (struct size){32, 48});
    ck_assert_int_eq(atomic_load(&counting.bytes), told(&before, 2));
    infer_context_release(second);
    expect_told(r.session, counting, 1);
    running_end(&r, &maker);
    ck_assert_int_eq(atomic_load(&counting.bytes), 0);
}
END_TEST

START_TEST(the_kernels_are_told)
{
    for (infer_isa isa = INFER_ISA_REFERENCE; isa <= INFER_ISA_AVX512; isa++) {
        struct maker maker = maker_start();
        infer_model *model = network(&maker, 8, 8, NULL);
        const infer_session_options options = {.isa = isa, .threads = 1};
        infer_session *session;
        infer_error error = {0};
        if (infer_session_create(model, &options, &session, &error) == INFER_OK) {
            ck_assert_int_eq(ask(session).isa, isa);
            infer_session_release(session);
        }
        infer_model_release(model);
        region_free(&maker.region);
    }
}
END_TEST

START_TEST(a_model_of_open_shapes_tells_what_was_prepared)
{
    struct counting counting = {.fail_at = -1};
    struct maker maker = maker_start();
    struct running r = begin(&maker, &counting, NULL);
    infer_memory none = ask(r.session);
    ck_assert(!none.complete);
    ck_assert_uint_eq(none.arena_bytes, 0);
    ck_assert_uint_eq(none.steps, 0);
    infer_memory wide = prepare(r.session, (struct size){8, 64}), high = prepare(r.session, (struct size){64, 16});
    infer_memory both = ask(r.session);
    ck_assert(both.complete);
    ck_assert_uint_lt(wide.arena_bytes, high.arena_bytes);
    ck_assert_uint_eq(both.arena_bytes, high.arena_bytes);
    ck_assert_uint_eq(both.lower_bound_bytes, high.lower_bound_bytes);
    ck_assert_uint_eq(both.result_bytes, high.result_bytes);
    ck_assert_uint_eq(both.table_bytes, wide.table_bytes + high.table_bytes - none.table_bytes);
    ck_assert_uint_eq(both.constant_bytes, wide.constant_bytes + high.constant_bytes - none.constant_bytes);
    for (int i = 0; i < 2; i++) {
        run_size(r.context, (struct size){64, 16});
        run_size(r.context, (struct size){8, 64});
    }
    ck_assert_int_eq(atomic_load(&counting.bytes), told(&both, 1));
    running_end(&r, &maker);
}
END_TEST

START_TEST(memory_of_a_copied_model_counts_its_file)
{
    struct model_metadata metadata = {.name = "test", .producer = "", .description = ""};
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    infer_model_options options = {.allocator = &allocator};
    struct maker maker = maker_start();
    struct value *x, *outputs[2];
    void *bytes;
    size_t size;
    infer_model *model;
    draw_network(&maker, 16, 16, &x, outputs);
    graph_set_inputs(maker.graph, 1, &x);
    graph_set_outputs(maker.graph, 2, outputs);
    ck_assert_int_eq(model_write(maker.graph, &metadata, &maker.region, &bytes, &size, NULL), STATUS_OK);
    char *shifted = region_buffer(&maker.region, size + 1);
    ck_assert_ptr_nonnull(shifted);
    memcpy(shifted + 1, bytes, size);
    ck_assert_int_eq(infer_model_open_memory(shifted + 1, size, "test.bin", &options, &model, NULL), INFER_OK);
    struct running r = running_begin(model, NULL);
    infer_memory memory = ask(r.session);
    run_size(r.context, (struct size){16, 16});
    ck_assert_int_eq(atomic_load(&counting.bytes), told(&memory, 1) + (long)memory.weight_bytes);
    running_end(&r, &maker);
}
END_TEST

static void write_model(struct maker *maker, const char *path)
{
    struct model_metadata metadata = {.name = "test", .producer = "", .description = ""};
    struct value *x, *outputs[2];
    draw_network(maker, 16, 16, &x, outputs);
    graph_set_inputs(maker->graph, 1, &x);
    graph_set_outputs(maker->graph, 2, outputs);
    ck_assert_int_eq(model_save(path, maker->graph, &metadata, &default_allocator, NULL), STATUS_OK);
}

/* Cutting a file that is mapped would end the run in SIGBUS. */
START_TEST(a_copied_file_may_be_cut)
{
    char path[] = "/tmp/infer-test-XXXXXX";
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    infer_model_options options = {.allocator = &allocator, .copy_file = true};
    struct maker maker = maker_start();
    infer_model *model;
    infer_error error = {0};
    int descriptor = mkstemp(path);
    ck_assert_int_ge(descriptor, 0);
    close(descriptor);
    write_model(&maker, path);
    ck_assert_msg(infer_model_open(path, &options, &model, &error) == INFER_OK, "%s", error.message);
    ck_assert_int_eq(truncate(path, 0), 0);
    struct running r = running_begin(model, NULL);
    infer_memory memory = ask(r.session);
    run_size(r.context, (struct size){16, 16});
    ck_assert_int_eq(atomic_load(&counting.bytes), told(&memory, 1) + (long)memory.weight_bytes);
    ck_assert_uint_eq(ask(r.session).held_bytes, (size_t)atomic_load(&counting.bytes));
    running_end(&r, &maker);
    ck_assert_int_eq(atomic_load(&counting.bytes), 0);
    unlink(path);
}
END_TEST

/* The limit is on weights, and on what is allocated beside them; not on the file. */
START_TEST(the_limit_of_a_model_is_on_its_weights)
{
    char path[] = "/tmp/infer-test-XXXXXX";
    struct maker maker = maker_start();
    infer_model *model;
    infer_error error = {0};
    infer_session *session;
    int descriptor = mkstemp(path);
    ck_assert_int_ge(descriptor, 0);
    close(descriptor);
    static float numbers[40000];
    struct graph *graph = maker.graph = graph_create(&maker.region, "heavy");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){40000});
    struct value *weights = graph_add_constant(graph, "weights", DTYPE_F32, 1, (int64_t[]){40000}, numbers);
    struct value *y = make_node2(graph, "Add", "y", x, weights);
    graph_set_inputs(graph, 1, &x);
    graph_set_outputs(graph, 1, &y);
    ck_assert_int_eq(model_save(path, graph, NULL, &default_allocator, NULL), STATUS_OK);
    infer_model_options options = {.memory_limit = sizeof numbers};
    ck_assert_msg(infer_model_open(path, &options, &model, &error) == INFER_OK, "%s", error.message);
    ck_assert_uint_eq(infer_model_weight_bytes(model), sizeof numbers);
    ck_assert_int_eq(
        infer_session_create(model, &(infer_session_options){.memory_limit = sizeof numbers - 1}, &session, &error),
        INFER_MEMORY_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.message, "weights of 160000 bytes"));
    infer_model_release(model);
    options.memory_limit--;
    ck_assert_int_eq(infer_model_open(path, &options, &model, &error), INFER_MEMORY_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.message, "past the limit of 159,999"));
    unlink(path);
    region_free(&maker.region);
}
END_TEST

START_TEST(a_fixed_model_past_the_limit_is_refused)
{
    struct maker maker = maker_start();
    struct running r = running_begin(network(&maker, 64, 64, NULL), &(infer_session_options){.memory_limit = 120000});
    infer_error error = {0};
    infer_memory memory = {.steps = 77};
    ck_assert_int_eq(infer_session_memory(r.session, &memory, &error), INFER_MEMORY_LIMIT);
    ck_assert_ptr_nonnull(strstr(error.message, "past the limit of"));
    ck_assert_uint_eq(memory.steps, 77);
    running_end(&r, &maker);
}
END_TEST

START_TEST(asking_may_run_out_of_memory)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    struct running r = running_begin(network(&maker, 16, 16, &allocator), NULL);
    infer_memory memory;
    long held = atomic_load(&counting.bytes), allowed = 0;
    for (;; allowed++) {
        counting.fail_at = atomic_load(&counting.calls) + allowed;
        infer_status status = infer_session_memory(r.session, &memory, NULL);
        counting.fail_at = -1;
        if (status == INFER_OK)
            break;
        ck_assert_int_eq(status, INFER_OUT_OF_MEMORY);
        ck_assert_int_eq(atomic_load(&counting.bytes), held);
    }
    ck_assert_int_gt(allowed, 5);
    run_size(r.context, (struct size){16, 16});
    ck_assert_int_eq(atomic_load(&counting.bytes), told(&memory, 1));
    running_end(&r, &maker);
}
END_TEST

/* What is positive in x: how much memory it takes only the run tells. */
START_TEST(memory_that_data_decide_is_not_called_complete)
{
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "select");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 1, (int64_t[]){6});
    struct value *places = make_node1(graph, "NonZero", "places", make_node1(graph, "Relu", "positive", x));
    struct value *y = make_node2(graph, "Add", "y", places, places);
    struct running r = running_begin(maker_finish(&maker, 1, &x, 1, &y, NULL), NULL);
    const float numbers[6] = {-1, 2, 0, 3, -4, 5};
    infer_tensor in = f32_tensor(numbers, 1, 6, 0), out[1] = {{0}};
    ck_assert(!ask(r.session).complete);
    run_well(r.context, &in, 1, out, 1);
    ck_assert(!ask(r.session).complete);
    running_end(&r, &maker);
}
END_TEST

/* --- one arena ---------------------------------------------------------------------------------------------- */

START_TEST(the_first_run_takes_what_the_largest_shape_prepared_needs)
{
    struct counting counting = {.fail_at = -1};
    struct maker maker = maker_start();
    struct running r = begin(&maker, &counting, NULL);
    size_t largest = 0;
    for (int i = 0; i < SHAPES; i++) {
        size_t bytes = prepare(r.session, numbered(i)).arena_bytes;
        largest = bytes > largest ? bytes : largest;
    }
    ck_assert_uint_eq(infer_context_arena_bytes(r.context), 0);
    run_size(r.context, numbered(0));
    ck_assert_uint_eq(infer_context_arena_bytes(r.context), largest);
    ck_assert_uint_gt(largest, prepare(r.session, numbered(0)).arena_bytes);
    long calls = atomic_load(&counting.calls);
    for (int i = 1; i < SHAPES; i++)
        run_size(r.context, numbered(i));
    ck_assert_int_eq(atomic_load(&counting.calls), calls); /* not even for a shape this context has never run */
    expect_told(r.session, counting, 1);
    running_end(&r, &maker);
}
END_TEST

START_TEST(a_small_arena_is_gone_before_a_large_one_comes)
{
    struct counting counting = {.fail_at = -1};
    struct maker maker = maker_start();
    struct running r = begin(&maker, &counting, NULL);
    run_size(r.context, (struct size){40, 40});
    prepare(r.session, (struct size){64, 64});
    atomic_store(&counting.peak, atomic_load(&counting.bytes));
    run_size(r.context, (struct size){64, 64});
    ck_assert_int_eq(atomic_load(&counting.peak), atomic_load(&counting.bytes));
    expect_told(r.session, counting, 1);
    running_end(&r, &maker);
}
END_TEST

START_TEST(a_failed_growth_leaves_a_context_that_runs)
{
    struct counting counting = {.fail_at = -1};
    struct maker maker = maker_start();
    struct running r = begin(&maker, &counting, NULL);
    infer_tensor in = picture((struct size){64, 64}), out[2] = {{0}, {0}};
    run_size(r.context, (struct size){8, 8});
    prepare(r.session, (struct size){64, 64});
    for (long allowed = 0;; allowed++) {
        counting.fail_at = atomic_load(&counting.calls) + allowed;
        infer_status status = infer_run(r.context, &in, 1, out, 2, NULL);
        counting.fail_at = -1;
        if (status == INFER_OK)
            break;
        ck_assert_int_eq(status, INFER_OUT_OF_MEMORY);
        run_size(r.context, (struct size){8, 8});
        ck_assert_int_lt(allowed, 20);
        memset(out, 0, sizeof out);
    }
    expect_told(r.session, counting, 1);
    running_end(&r, &maker);
}
END_TEST

/* --- it does not grow --------------------------------------------------------------------------------------- */

START_TEST(a_thousand_runs_over_fifty_shapes_hold_the_largest_alone)
{
    struct counting counting = {.fail_at = -1};
    struct maker maker = maker_start();
    struct running r = begin(&maker, &counting, NULL);
    long calls = 0;
    for (int i = 0; i < 1000; i++) {
        if (i == SHAPES)
            calls = atomic_load(&counting.calls);
        run_size(r.context, numbered(i * 7 % SHAPES));
    }
    ck_assert_int_eq(atomic_load(&counting.calls), calls);
    size_t largest = 0;
    for (int i = 0; i < SHAPES; i++) {
        size_t bytes = prepare(r.session, numbered(i)).arena_bytes;
        largest = bytes > largest ? bytes : largest;
    }
    ck_assert_uint_eq(infer_context_arena_bytes(r.context), largest);
    ck_assert_uint_eq(ask(r.session).arena_bytes, largest);
    expect_told(r.session, counting, 1);
    running_end(&r, &maker);
}
END_TEST

START_TEST(a_hundred_shapes_through_a_table_of_eight_stay_within_it)
{
    struct counting counting = {.fail_at = -1};
    struct maker maker = maker_start();
    struct running r = begin(&maker, &counting, &(infer_session_options){.cached_programs = 8});
    size_t most = 0;
    for (int i = 0; i < 300; i++) {
        run_size(r.context, (struct size){8 + i % 10 * 5, 64 - i / 10 % 10 * 5});
        expect_told(r.session, counting, 1);
        size_t tables = ask(r.session).table_bytes;
        if (i < 100)
            most = tables > most ? tables : most;
        ck_assert_uint_le(tables, most);
    }
    running_end(&r, &maker);
}
END_TEST

/* The table bounds the programs of all contexts together, and what one context has made the others find. */
START_TEST(contexts_hold_no_more_programs_than_the_session)
{
    enum { CONTEXTS = 8, KEPT = 6 };
    struct counting counting = {.fail_at = -1};
    struct maker maker = maker_start();
    struct running r = begin(&maker, &counting, &(infer_session_options){.cached_programs = KEPT});
    infer_context *contexts[CONTEXTS] = {r.context};
    size_t most = 0, without = ask(r.session).table_bytes;
    for (int i = 0; i < KEPT; i++)
        most += prepare(r.session, numbered(i)).table_bytes - without;
    for (int k = 1; k < CONTEXTS; k++)
        ck_assert_int_eq(infer_context_create(r.session, &contexts[k], NULL), INFER_OK);
    for (int k = 0; k < CONTEXTS; k++)
        for (int i = 0; i < KEPT; i++)
            run_size(contexts[k], numbered(i));
    ck_assert_uint_eq(r.session->next_id, 1 + KEPT);
    for (int i = 0; i < SHAPES; i++) {
        run_size(contexts[i % CONTEXTS], numbered(i)); /* handles of those that are gone are small */
        ck_assert_uint_le(ask(r.session).table_bytes, without + most + CONTEXTS * KEPT * sizeof(struct program_handle));
        infer_memory now = ask(r.session);
        ck_assert_uint_eq(now.held_bytes, (size_t)atomic_load(&counting.bytes) + now.weight_bytes);
    }
    for (int k = 1; k < CONTEXTS; k++)
        infer_context_release(contexts[k]);
    run_size(r.context, (struct size){LARGEST, LARGEST});
    expect_told(r.session, counting, 1);
    running_end(&r, &maker);
}
END_TEST

/* Programs that nobody runs make room for those that come. */
START_TEST(under_a_limit_old_programs_go)
{
    struct counting counting = {.fail_at = -1};
    struct maker maker = maker_start();
    struct running r = begin(&maker, &counting, NULL);
    infer_memory memory = prepare(r.session, (struct size){LARGEST, LARGEST});
    run_size(r.context, (struct size){LARGEST, LARGEST});
    const size_t limit = (size_t)atomic_load(&counting.peak) + memory.weight_bytes + 100000;
    running_end(&r, &maker);
    maker = maker_start();
    r = begin(&maker, &counting, &(infer_session_options){.memory_limit = limit});
    atomic_store(&counting.peak, 0);
    for (int i = 0; i < 2 * SHAPES; i++) {
        run_size(r.context, numbered(i % SHAPES));
        infer_memory now = ask(r.session);
        ck_assert_uint_eq(now.held_bytes, (size_t)atomic_load(&counting.bytes) + now.weight_bytes);
    }
    ck_assert_uint_gt(r.session->next_id, 1 + SHAPES);
    ck_assert_uint_le((size_t)atomic_load(&counting.peak) + memory.weight_bytes, limit);
    running_end(&r, &maker);
    ck_assert_int_eq(atomic_load(&counting.bytes), 0);
}
END_TEST

static long resident_pages(void)
{
    long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%ld %ld", &size, &resident), 2);
    fclose(file);
    return resident;
}

/* What comes in late though no run keeps it: a sanitizer's notes (20 pages seen; without one 0), code that is first
 * reached now. A run that kept one page would be at 900. */
#define LATE_PAGES 64

START_TEST(the_process_does_not_grow)
{
    struct maker maker = maker_start();
    struct running r = running_begin(network(&maker, -1, -1, NULL), &(infer_session_options){.threads = 2});
    infer_status status = INFER_OK;
    long before = 0;
    for (int i = 0; i < 1000 && status == INFER_OK; i++) {
        if (i == 100)
            before = resident_pages();
        infer_tensor in = picture(numbered(i % SHAPES)), out[2] = {{0}, {0}};
        status = infer_run(r.context, &in, 1, out, 2, NULL); /* not run_well: an assertion allocates */
    }
    ck_assert_int_eq(status, INFER_OK);
    ck_assert_int_le(resident_pages(), before + LATE_PAGES);
    running_end(&r, &maker);
}
END_TEST

Suite *runtime_memory_suite(void)
{
    Suite *suite = suite_create("runtime_memory");
    TCase *tests = tcase_create("runtime_memory");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_fixed_model_tells_its_memory_before_anything_runs);
    tcase_add_test(tests, the_kernels_are_told);
    tcase_add_test(tests, a_model_of_open_shapes_tells_what_was_prepared);
    tcase_add_test(tests, memory_of_a_copied_model_counts_its_file);
    tcase_add_test(tests, a_copied_file_may_be_cut);
    tcase_add_test(tests, the_limit_of_a_model_is_on_its_weights);
    tcase_add_test(tests, a_fixed_model_past_the_limit_is_refused);
    tcase_add_test(tests, asking_may_run_out_of_memory);
    tcase_add_test(tests, memory_that_data_decide_is_not_called_complete);
    tcase_add_test(tests, the_first_run_takes_what_the_largest_shape_prepared_needs);
    tcase_add_test(tests, a_small_arena_is_gone_before_a_large_one_comes);
    tcase_add_test(tests, a_failed_growth_leaves_a_context_that_runs);
    tcase_add_test(tests, a_thousand_runs_over_fifty_shapes_hold_the_largest_alone);
    tcase_add_test(tests, a_hundred_shapes_through_a_table_of_eight_stay_within_it);
    tcase_add_test(tests, contexts_hold_no_more_programs_than_the_session);
    tcase_add_test(tests, under_a_limit_old_programs_go);
    tcase_add_test(tests, the_process_does_not_grow);
    suite_add_tcase(suite, tests);
    return suite;
}
