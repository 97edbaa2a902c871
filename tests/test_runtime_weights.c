/* What is derived from weights exists once a model, whatever the shapes, sessions and contexts; is told; and is refused
 * by the limit before it is made. */
#include "tests/counting_allocator.h"
#include "tests/model_maker.h"
#include "tests/suites.h"

#include "runtime/session.h"

#include <pthread.h>
#include <string.h>

#define LAYERS 8
#define LARGE 256 /* channels: 4.7 MB of int8 in 8 layers of 3 x 3, 9.4 MB of float16 */
#define SMALL 16

/* --- models -------------------------------------------------------------------------------------------------- */

static const void *numbers(struct maker *maker, size_t bytes, int least, int most)
{
    int8_t *data = region_buffer(&maker->region, bytes);
    unsigned random = 1;
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < bytes; i++) {
        random = random * 1103515245 + 12345;
        data[i] = (int8_t)(least + (int)(random >> 16) % (most - least + 1));
    }
    return data;
}

static struct value *constant(struct maker *maker, enum dtype dtype, int rank, const int64_t *dims, const void *data)
{
    const char *name = region_format(&maker->region, "constant %d", maker->graph->value_count);
    return graph_add_constant(maker->graph, name, dtype, rank, dims, data);
}

static struct value *image(struct maker *maker, enum dtype dtype, int64_t channels)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "layers");
    int64_t dims[4] = {1, channels, graph_symbol(graph, "H"), graph_symbol(graph, "W")};
    return graph_add_value(graph, "x", dtype, 4, dims);
}

static struct value *layer(struct maker *maker, const char *op, int number, int count, struct value *const *inputs)
{
    static const int64_t pads[4] = {1, 1, 1, 1};
    const struct attribute attribute = {.name = "pads", .kind = ATTRIBUTE_INTS, .count = 4, .ints = pads};
    const char *name = region_format(&maker->region, "layer %d", number);
    return make_node(maker->graph, op, name, count, inputs, 1, &attribute);
}

/* QLinearConv after QLinearConv, with a zero point for each channel. */
static infer_model *quantised(struct maker *maker, int64_t channels, const infer_model_options *options)
{
    static const float scale = 0.05f, weight_scale = 0.002f;
    static const uint8_t zero = 128;
    struct value *x = image(maker, DTYPE_U8, channels), *y = x;
    struct value *scales = constant(maker, DTYPE_F32, 0, NULL, &scale);
    struct value *weight_scales = constant(maker, DTYPE_F32, 0, NULL, &weight_scale);
    struct value *zeros = constant(maker, DTYPE_U8, 0, NULL, &zero);
    const int64_t dims[4] = {channels, channels, 3, 3};
    for (int i = 0; i < LAYERS; i++) {
        const char *data = numbers(maker, (size_t)(channels * channels * 9 + i), -127, 127);
        struct value *weights = constant(maker, DTYPE_I8, 4, dims, data + i); /* no two are the same */
        struct value *centres = constant(maker, DTYPE_I8, 1, dims, numbers(maker, (size_t)channels, -3, 3));
        y = layer(maker, "QLinearConv", i, 8,
                  (struct value *[]){y, scales, zeros, weights, weight_scales, centres, scales, zeros});
    }
    return maker_finish(maker, 1, &x, 1, &y, options);
}

/* Conv after Conv, of float16: sums of powers of two around 1/64. */
static infer_model *half(struct maker *maker, int64_t channels, const infer_model_options *options)
{
    struct value *x = image(maker, DTYPE_F16, channels), *y = x;
    const int64_t dims[4] = {channels, channels, 3, 3};
    for (int i = 0; i < LAYERS; i++) {
        size_t count = (size_t)(channels * channels * 9);
        const uint8_t *low = numbers(maker, count + (size_t)i, -128, 127);
        uint16_t *data = region_array(&maker->region, count, sizeof *data);
        ck_assert_ptr_nonnull(data);
        for (size_t k = 0; k < count; k++)
            data[k] = (uint16_t)(0x2400 | low[k + (size_t)i] | (low[k + (size_t)i] & 1) << 15);
        y = layer(maker, "Conv", i, 2, (struct value *[]){y, constant(maker, DTYPE_F16, 4, dims, data)});
    }
    return maker_finish(maker, 1, &x, 1, &y, options);
}

/* --- asking --------------------------------------------------------------------------------------------------- */

static infer_status try_shape(infer_session *session, infer_dtype dtype, int64_t channels, int64_t size,
                              infer_memory *memory, infer_error *error)
{
    infer_tensor in = {.dtype = dtype, .rank = 4, .dims = {1, channels, size, size + 1}};
    return infer_session_prepare(session, &in, 1, memory, error);
}

static infer_memory prepare(infer_session *session, infer_dtype dtype, int64_t channels, int64_t size)
{
    infer_memory memory;
    infer_error error = {0};
    ck_assert_msg(try_shape(session, dtype, channels, size, &memory, &error) == INFER_OK, "%s", error.message);
    return memory;
}

static infer_memory ask(infer_session *session)
{
    infer_memory memory;
    ck_assert_int_eq(infer_session_memory(session, &memory, NULL), INFER_OK);
    return memory;
}

/* With the reference kernels, which pack nothing: what is counted here is what the graph's weights become. */
static infer_session *open_session(infer_model *model, const infer_session_options *options)
{
    infer_session *session;
    infer_error error = {0};
    infer_session_options plain = options ? *options : (infer_session_options){.threads = 0};
    plain.isa = INFER_ISA_REFERENCE;
    ck_assert_msg(infer_session_create(model, &plain, &session, &error) == INFER_OK, "%s", error.message);
    return session;
}

/* Weights of these models lie in memory of the test. */
static long told(infer_memory memory)
{
    return (long)(memory.constant_bytes + memory.packed_bytes + memory.table_bytes);
}

/* --- once a model ----------------------------------------------------------------------------------------------- */

/* Bytes of the f32 copies of f16 weights. */
static size_t copies(int64_t channels)
{
    return (size_t)(LAYERS * channels * channels * 9 * 4);
}

/* Products of 8-bit integers read weights of 8 bits as they are. */
START_TEST(quantised_weights_are_not_widened)
{
    struct maker maker = maker_start();
    infer_model *model = quantised(&maker, SMALL, NULL);
    infer_session *session = open_session(model, NULL);
    infer_memory memory = prepare(session, INFER_UINT8, SMALL, 6);
    ck_assert_uint_eq(memory.packed_bytes, 0);
    ck_assert_uint_le(memory.constant_bytes, 1024);
    infer_session_release(session);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

START_TEST(further_shapes_add_no_weights)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    infer_model *model = half(&maker, LARGE, &(infer_model_options){.allocator = &allocator});
    infer_session *session = open_session(model, NULL);
    infer_memory none = ask(session), first = prepare(session, INFER_FLOAT16, LARGE, 6);
    size_t table = first.table_bytes - none.table_bytes;
    ck_assert_uint_eq(none.packed_bytes, 0);
    ck_assert_uint_ge(first.packed_bytes, copies(LARGE));
    ck_assert_uint_le(first.packed_bytes, copies(LARGE) + LAYERS * 1024); /* keys, and no second copy */
    ck_assert_uint_le(first.constant_bytes, 1024);
    ck_assert_uint_le(table, 400 * 1024);
    for (int shape = 1; shape <= 3; shape++) {
        prepare(session, INFER_FLOAT16, LARGE, 5 + shape);
        infer_memory now = ask(session);
        ck_assert_uint_eq(now.packed_bytes, first.packed_bytes);
        ck_assert_uint_le(now.constant_bytes, first.constant_bytes * (size_t)shape);
        ck_assert_uint_le(now.table_bytes, none.table_bytes + (table + 1024) * (size_t)shape);
        ck_assert_int_eq(atomic_load(&counting.bytes), told(now));
    }
    infer_session_release(session);
    infer_model_release(model);
    ck_assert_int_eq(atomic_load(&counting.bytes), 0);
    region_free(&maker.region);
}
END_TEST

START_TEST(sessions_share_and_the_last_takes_it_along)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    infer_model *model = half(&maker, SMALL, &(infer_model_options){.allocator = &allocator});
    long empty = atomic_load(&counting.bytes);
    infer_session *first = open_session(model, NULL);
    size_t packed = prepare(first, INFER_FLOAT16, SMALL, 6).packed_bytes;
    ck_assert_uint_ge(packed, copies(SMALL));
    infer_session *second = open_session(model, &(infer_session_options){.no_optimize = true});
    ck_assert_uint_eq(prepare(second, INFER_FLOAT16, SMALL, 9).packed_bytes, packed);
    infer_session *strips = open_session(model, &(infer_session_options){.memory_saving = true});
    ck_assert_uint_eq(prepare(strips, INFER_FLOAT16, SMALL, 40).packed_bytes, packed);
    infer_session_release(strips);
    ck_assert_uint_eq(atomic_load(&model->weights.bytes), packed);
    infer_session_release(first);
    ck_assert_uint_eq(ask(second).packed_bytes, packed);
    infer_session_release(second);
    ck_assert_int_eq(atomic_load(&counting.bytes), empty);
    for (int i = 0; i < 3; i++) { /* what comes again takes what it took */
        infer_session *again = open_session(model, NULL);
        ck_assert_uint_eq(prepare(again, INFER_FLOAT16, SMALL, 6).packed_bytes, packed);
        infer_session_release(again);
        ck_assert_int_eq(atomic_load(&counting.bytes), empty);
    }
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

START_TEST(dropped_programs_let_go)
{
    struct maker maker = maker_start();
    infer_model *model = half(&maker, SMALL, NULL);
    infer_session *session = open_session(model, &(infer_session_options){.cached_programs = 1});
    size_t packed = prepare(session, INFER_FLOAT16, SMALL, 4).packed_bytes;
    for (int size = 5; size < 9; size++) {
        prepare(session, INFER_FLOAT16, SMALL, size);
        ck_assert_uint_eq(ask(session).packed_bytes, packed);
    }
    infer_session_release(session);
    ck_assert_uint_eq(atomic_load(&model->weights.bytes), 0);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* --- limits ---------------------------------------------------------------------------------------------------------
 */

START_TEST(twelve_megabytes_are_not_enough)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    infer_model *model = half(&maker, LARGE, &(infer_model_options){.allocator = &allocator});
    const size_t limit = 12 << 20;
    infer_session *session = open_session(model, &(infer_session_options){.memory_limit = limit});
    infer_memory memory;
    infer_error error = {0};
    long before = atomic_load(&counting.bytes);
    atomic_store(&counting.peak, before);
    for (int size = 6; size < 9; size++) {
        ck_assert_int_eq(try_shape(session, INFER_FLOAT16, LARGE, size, &memory, &error), INFER_MEMORY_LIMIT);
        ck_assert_msg(strstr(error.message, "past the limit") && strstr(error.message, "(Cast)"), "%s", error.message);
        ck_assert_int_eq(atomic_load(&counting.bytes), before);
    }
    ck_assert_uint_lt((size_t)atomic_load(&counting.peak), limit);
    infer_session_release(session);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* What a session held at its most, as an allocator sees it, is just enough; what it holds in the end is the least that
 * could be. That another session has made what this one needs makes no difference. */
START_TEST(the_limit_bounds_the_sum_and_is_a_session_s_own)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    infer_model *model = half(&maker, SMALL, &(infer_model_options){.allocator = &allocator});
    infer_session *free_session = open_session(model, NULL);
    infer_memory memory = prepare(free_session, INFER_FLOAT16, SMALL, 20), again;
    infer_error error = {0};
    size_t peak = (size_t)atomic_load(&counting.peak) + memory.weight_bytes + memory.arena_bytes;
    size_t least = memory.weight_bytes + memory.constant_bytes + memory.packed_bytes + memory.table_bytes;
    for (int shared = 1; shared >= 0; shared--) {
        infer_session *session = open_session(model, &(infer_session_options){.memory_limit = peak});
        ck_assert_int_eq(try_shape(session, INFER_FLOAT16, SMALL, 20, &again, &error), INFER_OK);
        infer_session_release(session);
        session = open_session(model, &(infer_session_options){.memory_limit = least - 1});
        ck_assert_int_eq(try_shape(session, INFER_FLOAT16, SMALL, 20, &again, &error), INFER_MEMORY_LIMIT);
        infer_session_release(session);
        error = (infer_error){0};
        if (shared)
            infer_session_release(free_session);
    }
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

START_TEST(making_them_may_run_out_of_memory)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    infer_model *model = half(&maker, SMALL, &(infer_model_options){.allocator = &allocator});
    infer_session *session = open_session(model, NULL);
    infer_memory memory;
    long held = atomic_load(&counting.bytes), allowed = 0;
    for (;; allowed++) {
        counting.fail_at = atomic_load(&counting.calls) + allowed;
        infer_status status = try_shape(session, INFER_FLOAT16, SMALL, 6, &memory, NULL);
        counting.fail_at = -1;
        if (status == INFER_OK)
            break;
        ck_assert_int_eq(status, INFER_OUT_OF_MEMORY);
        ck_assert_int_eq(atomic_load(&counting.bytes), held);
    }
    ck_assert_int_gt(allowed, 2 * LAYERS);
    ck_assert_int_eq(atomic_load(&counting.bytes), told(memory));
    infer_session_release(session);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* --- threads --------------------------------------------------------------------------------------------------------
 */

#define THREADS 8

struct cold {
    infer_session *session;
    pthread_barrier_t *barrier;
    int number;
    infer_memory memory;
    bool failed;
};

static void *prepare_cold(void *user)
{
    struct cold *cold = user;
    pthread_barrier_wait(cold->barrier);
    cold->failed =
        try_shape(cold->session, INFER_FLOAT16, SMALL, 4 + cold->number % 4, &cold->memory, NULL) != INFER_OK;
    return NULL;
}

/* Two sessions, four shapes, one store. */
START_TEST(cold_threads_share_what_they_make)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    infer_model *model = half(&maker, SMALL, &(infer_model_options){.allocator = &allocator});
    infer_session *sessions[2] = {open_session(model, NULL), open_session(model, NULL)};
    pthread_t threads[THREADS];
    struct cold cold[THREADS];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        cold[i] = (struct cold){.session = sessions[i % 2], .barrier = &barrier, .number = i / 2};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, prepare_cold, &cold[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    size_t packed = atomic_load(&model->weights.bytes);
    ck_assert_uint_le(packed, copies(SMALL) + LAYERS * 1024);
    for (int i = 0; i < THREADS; i++) {
        ck_assert(!cold[i].failed);
        ck_assert_uint_eq(cold[i].memory.packed_bytes, packed);
    }
    ck_assert_uint_eq(ask(sessions[0]).packed_bytes, packed);
    infer_session_release(sessions[0]);
    infer_session_release(sessions[1]);
    infer_model_release(model);
    ck_assert_int_eq(atomic_load(&counting.bytes), 0);
    pthread_barrier_destroy(&barrier);
    region_free(&maker.region);
}
END_TEST

/* --- what is kept
 * ----------------------------------------------------------------------------------------------------- */

/* Of a chain of constants only the end stays, and a view of it takes nothing. */
START_TEST(what_others_were_folded_from_is_let_go)
{
    struct maker maker = maker_start();
    struct graph *graph = maker.graph = graph_create(&maker.region, "chain");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){graph_symbol(graph, "N"), 64});
    const int64_t dims[2] = {32, 64};
    struct value *weights = constant(&maker, DTYPE_I8, 2, dims, numbers(&maker, 32 * 64, -9, 9));
    const struct attribute to = ATTRIBUTE_I("to", DTYPE_F32);
    struct value *wide = make_node(graph, "Cast", "wide", 1, &weights, 1, &to);
    struct value *turned = make_node1(graph, "Transpose", "turned", wide);
    struct value *negative = make_node1(graph, "Neg", "negative", turned);
    struct value *seen =
        make_node2(graph, "Reshape", "seen", negative, make_ints(graph, "shape", 2, (int64_t[]){64, 32}));
    struct value *outputs[2] = {make_node2(graph, "MatMul", "y", x, seen),
                                make_node2(graph, "MatMul", "z", x, negative)};
    infer_model *model = maker_finish(&maker, 1, &x, 2, outputs, NULL);
    for (int plain = 0; plain < 2; plain++) {
        infer_session *session = open_session(model, &(infer_session_options){.no_optimize = plain});
        infer_tensor in = {.dtype = INFER_FLOAT32, .rank = 2, .dims = {3, 64}};
        infer_memory memory;
        ck_assert_int_eq(infer_session_prepare(session, &in, 1, &memory, NULL), INFER_OK);
        size_t copies =
            memory.packed_bytes / (32 * 64 * 4); /* without passes all stay, for who wants to look at them */
        ck_assert_uint_eq(copies, plain ? 3 : 1);
        infer_session_release(session);
    }
    ck_assert_uint_eq(atomic_load(&model->weights.bytes), 0);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

#define ROWS 40
#define WIDTH 32
#define PART 8

/* y = x * |(n * -w)[n : n + PART]|' for n rows of x: constants that depend on the shape by one small number, and by
 * where a part of another begins. */
static infer_model *shaped(struct maker *maker)
{
    static float table[ROWS * WIDTH];
    for (int i = 0; i < ROWS * WIDTH; i++)
        table[i] = (float)(i % 251) - 125;
    struct graph *graph = maker->graph = graph_create(&maker->region, "shaped");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){graph_symbol(graph, "N"), WIDTH});
    struct value *weights = constant(maker, DTYPE_F32, 2, (int64_t[]){ROWS, WIDTH}, table);
    struct value *zero = make_ints(graph, "zero", 1, (int64_t[]){0}), *one = make_ints(graph, "one", 1, (int64_t[]){1});
    struct value *more = make_ints(graph, "more", 1, (int64_t[]){PART});
    struct value *shape = make_node1(graph, "Shape", "shape", x);
    struct value *rows = make_node(graph, "Slice", "rows", 3, (struct value *[]){shape, zero, one}, 0, NULL);
    const struct attribute to = ATTRIBUTE_I("to", DTYPE_F32);
    struct value *factor = make_node(graph, "Cast", "factor", 1, &rows, 1, &to);
    struct value *scaled = make_node2(graph, "Mul", "scaled", make_node1(graph, "Neg", "negative", weights), factor);
    struct value *end = make_node2(graph, "Add", "end", rows, more);
    struct value *part = make_node(graph, "Slice", "part", 4, (struct value *[]){scaled, rows, end, zero}, 0, NULL);
    struct value *turned = make_node1(graph, "Transpose", "turned", make_node1(graph, "Abs", "positive", part));
    struct value *y = make_node2(graph, "MatMul", "y", x, turned);
    return maker_finish(maker, 1, &x, 1, &y, NULL);
}

START_TEST(constants_of_one_shape_are_not_those_of_another)
{
    static float x[8 * WIDTH];
    struct maker maker = maker_start();
    infer_model *model = shaped(&maker);
    for (int i = 0; i < 8 * WIDTH; i++)
        x[i] = (float)(i % 17) - 8;
    struct running r = running_begin(infer_model_retain(model),
                                     &(infer_session_options){.isa = INFER_ISA_REFERENCE, .cached_programs = 3});
    size_t most = 0;
    for (int round = 0; round < 20; round++) {
        int rows = 1 + round * 5 % 8;
        infer_tensor in = f32_tensor(x, 2, rows, WIDTH), got[1] = {{0}};
        run_well(r.context, &in, 1, got, 1);
        ck_assert_uint_eq(got[0].bytes, sizeof(float) * (size_t)(rows * PART));
        for (int i = 0; i < rows * PART; i++) {
            float sum = 0;
            for (int k = 0; k < WIDTH; k++) {
                int weight = ((rows + i % PART) * WIDTH + k) % 251 - 125;
                sum += x[i / PART * WIDTH + k] * (float)(rows * (weight < 0 ? -weight : weight));
            }
            ck_assert_float_eq(((float *)got[0].data)[i], sum);
        }
        /* The session's negative, and the last constant of each program: not what that was made of. */
        size_t packed = ask(r.session).packed_bytes;
        most = packed > most ? packed : most;
    }
    ck_assert_uint_lt(most, sizeof(float) * (ROWS + 4 * PART) * WIDTH + 8 * 1024);
    infer_context_release(r.context);
    infer_session_release(r.session);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* What the session has in the store leaves so much less for its programs, before they make anything. */
START_TEST(what_a_session_has_in_the_store_counts_in_time)
{
    struct maker maker = maker_start();
    const int64_t dims[4] = {LARGE, LARGE, 3, 3};
    struct value *x = image(&maker, DTYPE_F16, LARGE);
    struct value *weights = constant(&maker, DTYPE_I16, 4, dims, numbers(&maker, LARGE * LARGE * 9 * 2, 0, 9));
    const struct attribute to = ATTRIBUTE_I("to", DTYPE_F16);
    struct value *y =
        layer(&maker, "Conv", 0, 2, (struct value *[]){x, make_node(maker.graph, "Cast", "cast", 1, &weights, 1, &to)});
    infer_model *model = maker_finish(&maker, 1, &x, 1, &y, NULL);
    const size_t elements = LARGE * LARGE * 9, room = elements * (2 + 2 + 4); /* without the entries' own tables */
    infer_session *unlimited = open_session(model, NULL);
    infer_memory held = ask(unlimited);
    const size_t limit = held.table_bytes + room;
    infer_session_release(unlimited);
    infer_session *session = open_session(model, &(infer_session_options){.memory_limit = limit});
    size_t packed = ask(session).packed_bytes;
    ck_assert_uint_ge(packed, elements * 2);
    infer_memory memory;
    infer_error error = {0};
    ck_assert_int_eq(try_shape(session, INFER_FLOAT16, LARGE, 4, &memory, &error), INFER_MEMORY_LIMIT);
    ck_assert_msg(strstr(error.message, "(Cast)") != NULL, "%s", error.message);
    infer_session_release(session);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

START_TEST(what_a_session_folds_is_a_source_too)
{
    struct maker maker = maker_start();
    struct value *x = image(&maker, DTYPE_F16, SMALL);
    const int64_t dims[4] = {SMALL, SMALL, 3, 3};
    static uint16_t data[SMALL * SMALL * 9], scales[SMALL];
    for (int i = 0; i < SMALL * SMALL * 9; i++)
        data[i] = (uint16_t)(0x2400 + i % 1000);
    for (int i = 0; i < SMALL; i++)
        scales[i] = (uint16_t)(0x3c00 + i);
    struct value *made = layer(&maker, "Conv", 0, 2, (struct value *[]){x, constant(&maker, DTYPE_F16, 4, dims, data)});
    struct value *factor = constant(&maker, DTYPE_F16, 3, (int64_t[]){SMALL, 1, 1}, scales);
    struct value *y = make_node2(maker.graph, "Mul", "y", made, factor);
    infer_model *model = maker_finish(&maker, 1, &x, 1, &y, NULL);
    infer_session *sessions[2] = {open_session(model, NULL), open_session(model, NULL)};
    size_t one = prepare(sessions[0], INFER_FLOAT16, SMALL, 4).packed_bytes;
    ck_assert_uint_ge(ask(sessions[0]).constant_bytes, sizeof data);
    ck_assert_uint_ge(one, sizeof data * 2);
    prepare(sessions[0], INFER_FLOAT16, SMALL, 5);
    ck_assert_uint_eq(ask(sessions[0]).packed_bytes, one);
    ck_assert_uint_eq(prepare(sessions[1], INFER_FLOAT16, SMALL, 4).packed_bytes, one);
    ck_assert_uint_eq(atomic_load(&model->weights.bytes), 2 * one);
    infer_session_release(sessions[0]);
    ck_assert_uint_eq(atomic_load(&model->weights.bytes), one);
    infer_session_release(sessions[1]);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* --- memory saving --------------------------------------------------------------------------------------------------
 */

#define FILTERS 96
#define EDGE 16

#define FILTERED 3
#define TRANSFORMED (FILTERS * FILTERS * 36 * sizeof(float))

/* Convolutions in float32 whose weights kernels transform; several, so that channels come to lie next to each other. */
static infer_model *filtered(struct maker *maker)
{
    const int64_t dims[4] = {FILTERS, FILTERS, 3, 3};
    size_t count = FILTERS * FILTERS * 9;
    const int8_t *from = numbers(maker, count + FILTERED, -100, 100);
    struct value *x = image(maker, DTYPE_F32, FILTERS), *y = x;
    for (int i = 0; i < FILTERED; i++) {
        float *data = region_array(&maker->region, count, sizeof *data);
        ck_assert_ptr_nonnull(data);
        for (size_t k = 0; k < count; k++)
            data[k] = (float)from[k + (size_t)i] / 300;
        y = layer(maker, "Conv", i, 2, (struct value *[]){y, constant(maker, DTYPE_F32, 4, dims, data)});
    }
    return maker_finish(maker, 1, &x, 1, &y, NULL);
}

/* Returns the bytes of its packs. */
static size_t run_filtered(infer_model *model, const infer_session_options *options, const float *x, float *y)
{
    infer_session *session;
    infer_context *context;
    infer_error error = {0};
    infer_tensor in = infer_input(x, INFER_FLOAT32, 4, (int64_t[]){1, FILTERS, EDGE, EDGE});
    infer_tensor out = infer_output(y, FILTERS * EDGE * EDGE * sizeof *y);
    ck_assert_msg(infer_session_create(model, options, &session, &error) == INFER_OK, "%s", error.message);
    ck_assert_msg(infer_context_create(session, &context, &error) == INFER_OK, "%s", error.message);
    ck_assert_msg(infer_run(context, &in, 1, &out, 1, &error) == INFER_OK, "%s", error.message);
    size_t packed = ask(session).packed_bytes;
    infer_context_release(context);
    infer_session_release(session);
    return packed;
}

/* Four times the weights where they are kept transformed; nothing where memory is to be saved, and the same bits. The
 * first layer reads channels that lie apart, and is computed otherwise. */
START_TEST(transformed_weights_need_not_be_kept)
{
    static float x[FILTERS * EDGE * EDGE], kept[FILTERS * EDGE * EDGE], fresh[FILTERS * EDGE * EDGE];
    if (!(cpu_detect() & CPU_AVX2))
        return;
    struct maker maker = maker_start();
    infer_model *model = filtered(&maker);
    const int8_t *from = numbers(&maker, sizeof x / sizeof *x, -100, 100);
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (float)from[i] / 100;
    for (int threads = 1; threads <= 3; threads++) {
        infer_session_options options = {.threads = threads};
        size_t bytes = run_filtered(model, &options, x, kept);
        ck_assert_uint_ge(bytes, 2 * TRANSFORMED);
        options.memory_saving = true;
        ck_assert_uint_le(run_filtered(model, &options, x, fresh), bytes - 2 * TRANSFORMED);
        ck_assert_mem_eq(kept, fresh, sizeof kept);
    }
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

Suite *runtime_weights_suite(void)
{
    Suite *suite = suite_create("runtime_weights");
    TCase *tests = tcase_create("runtime_weights");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, quantised_weights_are_not_widened);
    tcase_add_test(tests, further_shapes_add_no_weights);
    tcase_add_test(tests, sessions_share_and_the_last_takes_it_along);
    tcase_add_test(tests, dropped_programs_let_go);
    tcase_add_test(tests, twelve_megabytes_are_not_enough);
    tcase_add_test(tests, the_limit_bounds_the_sum_and_is_a_session_s_own);
    tcase_add_test(tests, making_them_may_run_out_of_memory);
    tcase_add_test(tests, cold_threads_share_what_they_make);
    tcase_add_test(tests, what_others_were_folded_from_is_let_go);
    tcase_add_test(tests, constants_of_one_shape_are_not_those_of_another);
    tcase_add_test(tests, what_a_session_has_in_the_store_counts_in_time);
    tcase_add_test(tests, what_a_session_folds_is_a_source_too);
    tcase_add_test(tests, transformed_weights_need_not_be_kept);
    suite_add_tcase(suite, tests);
    return suite;
}
