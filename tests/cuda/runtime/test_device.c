/* Sessions on a device against sessions on the host, under the emulation: bits, faults, memory. */
#include "formats/model_file.h"
#include "runtime/session.h"
#include "tests/cuda/emulation/emulation.h"
#include "tests/cuda/runtime/stand_ins.h"
#include "tests/cuda/runtime/test_cublas.h"
#include "tests/cuda/runtime/test_factors.h"
#include "tests/cuda/runtime/test_limits.h"
#include "tests/cuda/runtime/test_tensors.h"
#include "tests/model_maker.h"
#include "tests/random_graph.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GRAPHS 150 /* a batch */
#define BATCHES 4
#define RUNS 4 /* one enqueued, one captured, two replayed */

/* --- random graphs --------------------------------------------------------------------------------------- */

struct opened {
    struct region region;
    infer_model *model;
};

static struct opened open_graph(const struct graph *graph)
{
    struct opened opened = {.model = NULL};
    struct error error = {0};
    infer_error opening = {0};
    void *file;
    size_t size;
    region_init(&opened.region, &default_allocator);
    ck_assert_msg(model_write(graph, NULL, &opened.region, &file, &size, &error) == STATUS_OK, "%s", error.text);
    ck_assert_msg(infer_model_open_memory(file, size, "random", NULL, &opened.model, &opening) == INFER_OK, "%s",
                  opening.message);
    return opened;
}

static infer_session *make_session(infer_model *model, bool optimise, infer_device device, uint64_t choice)
{
    infer_session *session;
    infer_error error = {0};
    infer_session_options options = {
        .threads = 2, .no_optimize = !optimise, .isa = INFER_ISA_REFERENCE, .device = device};
    ck_assert_msg(infer_session_create(model, &options, &session, &error) == INFER_OK, "%s", error.message);
    session->facts.kernels = stand_ins(choice); /* the host has the same list, of which nothing stands in */
    return session;
}

struct ran {
    infer_session *session;
    infer_context *context;
    infer_error error;
    infer_tensor outputs[RANDOM_MOST_VALUES];
};

static void run_graph(struct ran *ran, const struct random_graph *random)
{
    const struct graph *graph = random->graph;
    infer_tensor inputs[2] = {{0}};
    for (int i = 0; i < 2; i++)
        inputs[i] = infer_input(random->inputs[i], INFER_FLOAT32, graph->inputs[i]->rank, graph->inputs[i]->dims);
    memset(ran->outputs, 0, sizeof ran->outputs);
    ran->error = (infer_error){0};
    infer_run(ran->context, inputs, 2, ran->outputs, (size_t)graph->output_count, &ran->error);
}

static struct ran begin(infer_model *model, bool optimise, infer_device device, uint64_t choice)
{
    struct ran ran = {.session = make_session(model, optimise, device, choice)};
    ck_assert_int_eq(infer_context_create(ran.session, &ran.context, NULL), INFER_OK);
    return ran;
}

static void end(struct ran *ran)
{
    infer_context_release(ran->context);
    infer_session_release(ran->session);
}

static void expect_same(const struct ran *a, const struct ran *b, int count, const char *label)
{
    ck_assert_msg(a->error.status == b->error.status && strcmp(a->error.message, b->error.message) == 0,
                  "%s: '%s' on the host, '%s' on the device", label, a->error.message, b->error.message);
    for (int i = 0; i < count && a->error.status == INFER_OK; i++) {
        const infer_tensor *x = &a->outputs[i], *y = &b->outputs[i];
        ck_assert_msg(x->dtype == y->dtype && x->bytes == y->bytes, "%s: output %d has another type or shape", label,
                      i);
        ck_assert_msg(memcmp(x->data, y->data, x->bytes) == 0, "%s: output %d has other bits", label, i);
    }
}

/* The same with tensors on the device, those that the bits say: the first two of inputs, the others of outputs. */
static void run_there(struct ran *ran, const struct random_graph *random, unsigned there)
{
    const struct graph *graph = random->graph;
    infer_tensor inputs[2] = {{0}};
    void *memory[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        inputs[i] = infer_input(random->inputs[i], INFER_FLOAT32, graph->inputs[i]->rank, graph->inputs[i]->dims);
        if (there >> i & 1)
            inputs[i] = tensor_there(ran->session, &inputs[i], &memory[i]);
    }
    memset(ran->outputs, 0, sizeof ran->outputs);
    for (int i = 0; i < graph->output_count; i++)
        ran->outputs[i].device = (infer_device)(there >> (2 + i % 8) & 1);
    ran->error = (infer_error){0};
    infer_run(ran->context, inputs, 2, ran->outputs, (size_t)graph->output_count, &ran->error);
    for (int i = 0; i < 2; i++)
        infer_device_free(ran->session, memory[i], inputs[i].bytes);
}

/* Outputs that lie on the device are brought to the host, for as long as they are compared. */
static void expect_same_there(const struct ran *host, struct ran *device, int count, const char *label)
{
    void *fetched[RANDOM_MOST_VALUES] = {NULL};
    for (int i = 0; i < count && device->error.status == INFER_OK; i++) {
        infer_tensor *output = &device->outputs[i];
        if (output->device == INFER_DEVICE_CPU || output->bytes == 0)
            continue;
        fetched[i] = malloc(output->bytes);
        ck_assert_int_eq(infer_device_copy(device->session, fetched[i], output->data, output->bytes, NULL), INFER_OK);
        output->data = fetched[i];
    }
    expect_same(host, device, count, label);
    for (int i = 0; i < count; i++)
        free(fetched[i]);
}

static void compare_graph(uint64_t seed)
{
    struct dice dice = {.state = seed};
    struct random_graph random;
    char label[80];
    random_graph_make_wider(&random, &dice);
    struct opened opened = open_graph(random.graph);
    uint64_t choice = seed % 5 == 0 ? UINT64_MAX : (seed * UINT64_C(0x9e3779b97f4a7c15)) ^ seed;
    for (int optimise = 0; optimise < 2; optimise++) {
        emulation_seed(seed);
        struct ran host = begin(opened.model, optimise, INFER_DEVICE_CPU, choice);
        struct ran device = begin(opened.model, optimise, INFER_DEVICE_CUDA, choice);
        run_graph(&host, &random);
        for (int run = 0; run < RUNS; run++) {
            snprintf(label, sizeof label, "graph %llu, %s passes, run %d", (unsigned long long)seed,
                     optimise ? "with" : "without", run);
            run_graph(&device, &random);
            expect_same(&host, &device, random.graph->output_count, label);
            snprintf(label, sizeof label, "graph %llu, %s passes, run %d, tensors on the device",
                     (unsigned long long)seed, optimise ? "with" : "without", run);
            run_there(&device, &random, (unsigned)(seed * 2654435761u >> 7));
            expect_same_there(&host, &device, random.graph->output_count, label);
        }
        end(&host);
        end(&device);
        stand_ins_forget();
    }
    infer_model_release(opened.model);
    region_free(&opened.region);
    random_graph_free(&random);
}

/* What the device keeps for as long as the process lives: a stream for uploads. */
#define OBJECTS_KEPT 1

START_TEST(random_graphs_give_the_bits_of_the_host)
{
    emulation_abort_on_complaint(true);
    for (int i = 0; i < GRAPHS; i++)
        compare_graph((uint64_t)(1 + _i * GRAPHS + i));
    ck_assert_int_gt(stand_ins_ran(), 1000);
    ck_assert_uint_eq(emulation_bytes(), 0);
    ck_assert_int_eq(emulation_objects(), OBJECTS_KEPT);
}
END_TEST

/* --- a model of our own ---------------------------------------------------------------------------------- */

#define WIDTH 8

/* y = Gather(Relu(x * w), i): constants on the device, an index that may be wrong. */
struct gathering {
    struct maker maker;
    infer_model *model;
};

static void make_gathering(struct gathering *g)
{
    static const float weights[WIDTH * WIDTH] = {1, 2, 3, 4, 5, 6, 7, 8, [20] = 1, [30] = -1, [63] = 2};
    g->maker = maker_start();
    struct graph *graph = g->maker.graph = graph_create(&g->maker.region, "gathering");
    int64_t n = graph_symbol(graph, "n");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){n, WIDTH});
    struct value *i = graph_add_value(graph, "i", DTYPE_I64, 1, (int64_t[]){-1});
    i->dims[0] = graph_symbol(graph, "k");
    struct value *w = graph_add_constant(graph, "w", DTYPE_F32, 2, (int64_t[]){WIDTH, WIDTH}, weights);
    struct value *y =
        make_node2(graph, "Gather", "y", make_node1(graph, "Relu", "r", make_node2(graph, "MatMul", "p", x, w)), i);
    g->model = maker_finish(&g->maker, 2, (struct value *[]){x, i}, 1, &y, NULL);
}

static infer_session *session_of(infer_model *model, const infer_session_options *options)
{
    infer_session *session;
    infer_error error = {0};
    ck_assert_msg(infer_session_create(model, options, &session, &error) == INFER_OK, "%s", error.message);
    session->facts.kernels = stand_ins(UINT64_MAX);
    return session;
}

static const float row[4 * WIDTH] = {1, -1, 2, 0.5f, 3, 1, 1, 2, 4, [17] = 1, [25] = -2};

static infer_status run_gathering(infer_context *context, int64_t rows, int64_t index, float *out, infer_error *error)
{
    infer_tensor inputs[] = {f32_tensor(row, 2, rows, WIDTH), i64_tensor(&index, 1, 1)};
    infer_tensor output = infer_output(out, WIDTH * sizeof *out);
    return infer_run(context, inputs, 2, &output, 1, error);
}

START_TEST(a_fault_is_told_as_on_the_host)
{
    infer_error errors[2] = {{0}};
    float out[2][WIDTH];
    for (int side = 0; side < 2; side++) {
        struct gathering g;
        make_gathering(&g);
        infer_session *session = session_of(g.model, &(infer_session_options){.device = (infer_device)side});
        infer_context *context;
        ck_assert_int_eq(infer_context_create(session, &context, NULL), INFER_OK);
        for (int turn = 0; turn < 3; turn++) { /* directly, in the run that captures, and in one that replays */
            ck_assert_int_eq(run_gathering(context, 4, 9, out[side], &errors[side]), INFER_FAULT);
            ck_assert_int_eq(run_gathering(context, 4, 2, out[side], NULL), INFER_OK);
        }
        infer_context_release(context);
        infer_session_release(session);
        infer_model_release(g.model);
        region_free(&g.maker.region);
    }
    ck_assert_str_eq(errors[0].message, errors[1].message);
    ck_assert(memcmp(out[0], out[1], sizeof out[0]) == 0);
}
END_TEST

static double seconds_since(const struct timespec *from)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - from->tv_sec) + (double)(now.tv_nsec - from->tv_nsec) * 1e-9;
}

/* A shape whose stretches have been captured is right again after a larger one has moved the context's memory; so it is
 * after a run that was cancelled, or had no time. */
START_TEST(what_was_captured_goes_with_its_memory)
{
    struct gathering g;
    make_gathering(&g);
    infer_session *session = session_of(g.model, &(infer_session_options){.device = INFER_DEVICE_CUDA});
    infer_context *context;
    infer_error error = {0};
    struct timespec begun;
    float first[WIDTH], out[WIDTH];
    emulation_abort_on_complaint(true);
    ck_assert_int_eq(infer_context_create(session, &context, NULL), INFER_OK);
    ck_assert_int_eq(run_gathering(context, 1, 0, first, NULL), INFER_OK);
    for (int turn = 0; turn < 3; turn++)
        ck_assert_int_eq(run_gathering(context, 1, 0, out, NULL), INFER_OK);
    ck_assert_int_eq(run_gathering(context, 4, 3, out, NULL), INFER_OK);
    for (int turn = 0; turn < 3; turn++) {
        memset(out, 0, sizeof out);
        ck_assert_int_eq(run_gathering(context, 1, 0, out, NULL), INFER_OK);
        ck_assert(memcmp(out, first, sizeof out) == 0);
    }
    infer_context_cancel(context);
    ck_assert_int_eq(run_gathering(context, 1, 0, out, &error), INFER_CANCELLED);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    ck_assert_int_eq(infer_context_limit(context, &(infer_run_limits){.seconds = 1e-9}, NULL), INFER_OK);
    ck_assert_int_eq(run_gathering(context, 1, 0, out, &error), INFER_DEADLINE);
    ck_assert_double_le(seconds_since(&begun), 5);
    ck_assert_int_eq(infer_context_limit(context, NULL, NULL), INFER_OK);
    ck_assert_int_eq(run_gathering(context, 1, 0, out, NULL), INFER_OK);
    ck_assert(memcmp(out, first, sizeof out) == 0);
    infer_context_release(context);
    infer_session_release(session);
    infer_model_release(g.model);
    region_free(&g.maker.region);
    ck_assert_uint_eq(emulation_bytes(), 0);
}
END_TEST

/* y = (-(x * w)) * w, of which the negation is the host's, so that copies to and from its arena are captured; z =
 * relu(-q) takes as much of that arena as q is long, and nothing of the device. */
static infer_model *make_mixed(struct maker *maker)
{
    static const float weights[WIDTH * WIDTH] = {1, 2, 3, 4, 5, 6, 7, 8, [20] = 1, [30] = -1, [63] = 2};
    *maker = maker_start();
    struct graph *graph = maker->graph = graph_create(&maker->region, "mixed");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, (int64_t[]){1, WIDTH});
    struct value *q = graph_add_value(graph, "q", DTYPE_F32, 1, (int64_t[]){-1});
    q->dims[0] = graph_symbol(graph, "m");
    struct value *w = graph_add_constant(graph, "w", DTYPE_F32, 2, (int64_t[]){WIDTH, WIDTH}, weights);
    struct value *n = make_node1(graph, "Neg", "n", make_node2(graph, "MatMul", "p", x, w));
    struct value *y = make_node2(graph, "MatMul", "y", n, w);
    struct value *z = make_node1(graph, "Relu", "z", make_node1(graph, "Neg", "s", q));
    return maker_finish(maker, 2, (struct value *[]){x, q}, 2, (struct value *[]){y, z}, NULL);
}

#define LONG 100000

static void run_mixed(infer_context *context, const float *x, int64_t m, float *y)
{
    static const float zeros[LONG];
    infer_tensor inputs[] = {f32_tensor(x, 2, 1, WIDTH), f32_tensor(zeros, 1, m, 0)};
    infer_tensor outputs[] = {infer_output(y, WIDTH * sizeof *y), {0}};
    infer_error error = {0};
    ck_assert_msg(infer_run(context, inputs, 2, outputs, 2, &error) == INFER_OK, "%s", error.message);
}

/* A stretch that was captured has addresses of the host's arena as well, which may move while nothing else does. */
START_TEST(what_was_captured_goes_with_the_hosts_arena)
{
    struct maker maker;
    infer_model *model = make_mixed(&maker);
    infer_session *session = make_session(model, false, INFER_DEVICE_CUDA, ~(UINT64_C(1) << FAMILY_pointwise % 64));
    infer_context *context;
    float first[WIDTH], other[WIDTH], out[WIDTH];
    emulation_abort_on_complaint(true);
    ck_assert_int_eq(infer_context_create(session, &context, NULL), INFER_OK);
    run_mixed(context, row + WIDTH, 1, other);
    for (int turn = 0; turn < 3; turn++)
        run_mixed(context, row, 1, first);
    ck_assert(memcmp(first, other, sizeof first) != 0);
    size_t before = infer_context_arena_bytes(context);
    run_mixed(context, row, LONG, out);
    ck_assert_uint_gt(infer_context_arena_bytes(context), before);
    run_mixed(context, row + WIDTH, 1, out);
    ck_assert(memcmp(out, other, sizeof out) == 0);
    infer_context_release(context);
    infer_session_release(session);
    infer_model_release(model);
    region_free(&maker.region);
    ck_assert_uint_eq(emulation_bytes(), 0);
}
END_TEST

/* Whatever memory there is, a run succeeds or says that there is too little; and then there is enough again. */
START_TEST(too_little_memory_is_survived)
{
    struct gathering g;
    make_gathering(&g);
    infer_session *session = session_of(g.model, &(infer_session_options){.device = INFER_DEVICE_CUDA});
    infer_context *context;
    infer_error error = {0};
    float out[WIDTH];
    int refused = 0;
    ck_assert_int_eq(infer_context_create(session, &context, NULL), INFER_OK);
    for (size_t capacity = 0;; capacity += 32) {
        emulation_set_capacity(capacity);
        infer_status status = run_gathering(context, 4, 1, out, &error);
        if (status == INFER_OK)
            break;
        refused++;
        ck_assert_msg(status == INFER_OUT_OF_MEMORY, "%s", error.message);
        ck_assert_msg(strstr(error.message, "are free"), "%s", error.message);
    }
    ck_assert_int_gt(refused, 4);
    infer_context_release(context);
    infer_session_release(session);
    infer_model_release(g.model);
    region_free(&g.maker.region);
    ck_assert_uint_eq(emulation_bytes(), 0);
    ck_assert_int_eq(emulation_objects(), OBJECTS_KEPT);
}
END_TEST

START_TEST(the_limit_is_of_the_devices_memory)
{
    struct gathering g;
    make_gathering(&g);
    infer_session_options options = {.device = INFER_DEVICE_CUDA, .device_memory_limit = 600};
    infer_session *session = session_of(g.model, &options);
    infer_context *context;
    infer_error error = {0};
    infer_memory memory;
    float out[WIDTH];
    ck_assert_int_eq(infer_context_create(session, &context, NULL), INFER_OK);
    ck_assert_int_eq(run_gathering(context, 1, 0, out, &error), INFER_MEMORY_LIMIT);
    ck_assert_msg(strstr(error.message, "600"), "%s", error.message);
    ck_assert_uint_le(emulation_bytes(), 600);
    infer_context_release(context);
    infer_session_release(session);
    options.device_memory_limit = 0;
    session = session_of(g.model, &options);
    ck_assert_int_eq(infer_context_create(session, &context, NULL), INFER_OK);
    ck_assert_int_eq(run_gathering(context, 4, 0, out, &error), INFER_OK);
    ck_assert_int_eq(infer_session_memory(session, &memory, NULL), INFER_OK);
    ck_assert_uint_gt(memory.device_arena_bytes, 0);
    ck_assert_uint_ge(memory.device_weight_bytes, WIDTH * WIDTH * sizeof(float));
    ck_assert_uint_le(emulation_bytes(),
                      memory.device_arena_bytes + memory.device_weight_bytes + sizeof(struct device_fault));
    infer_context_release(context);
    infer_session_release(session);
    infer_model_release(g.model);
    region_free(&g.maker.region);
}
END_TEST

/* Two sessions, and all programs of both, have one copy of a constant. */
START_TEST(constants_are_uploaded_once)
{
    struct gathering g;
    make_gathering(&g);
    infer_session *sessions[2];
    infer_context *contexts[2];
    size_t bytes[2][2];
    float out[WIDTH];
    for (int s = 0; s < 2; s++) {
        sessions[s] = session_of(g.model, &(infer_session_options){.device = INFER_DEVICE_CUDA});
        ck_assert_int_eq(infer_context_create(sessions[s], &contexts[s], NULL), INFER_OK);
        for (int rows = 0; rows < 2; rows++) {
            ck_assert_int_eq(run_gathering(contexts[s], 4, 1, out, NULL), INFER_OK);
            ck_assert_int_eq(run_gathering(contexts[s], 3 - rows, 1, out, NULL), INFER_OK);
            bytes[s][rows] = emulation_bytes();
        }
    }
    const size_t constant = WIDTH * WIDTH * sizeof(float);
    ck_assert_uint_eq(bytes[0][0], bytes[0][1]);
    ck_assert_uint_eq(bytes[1][0] - bytes[0][1], bytes[0][0] - constant);
    for (int s = 0; s < 2; s++) {
        infer_context_release(contexts[s]);
        infer_session_release(sessions[s]);
    }
    infer_model_release(g.model);
    region_free(&g.maker.region);
    ck_assert_uint_eq(emulation_bytes(), 0);
}
END_TEST

struct client {
    infer_session *session;
    int64_t rows;
    float out[WIDTH];
    bool well;
    infer_error error;
    atomic_bool done;
};

static void *run_client(void *argument)
{
    struct client *client = argument;
    infer_context *context;
    client->well = infer_context_create(client->session, &context, NULL) == INFER_OK;
    for (int i = 0; i < 30 && client->well; i++)
        client->well = run_gathering(context, client->rows, 0, client->out, NULL) == INFER_OK;
    infer_context_release(context);
    return NULL;
}

START_TEST(contexts_run_side_by_side)
{
    struct gathering g;
    make_gathering(&g);
    infer_session *session = session_of(g.model, &(infer_session_options){.device = INFER_DEVICE_CUDA});
    struct client clients[3];
    pthread_t threads[3];
    emulation_abort_on_complaint(true);
    for (int i = 0; i < 3; i++) {
        clients[i] = (struct client){.session = session, .rows = 1 + i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_client, &clients[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 3; i++) {
        ck_assert(clients[i].well);
        ck_assert(memcmp(clients[i].out, clients[0].out, sizeof clients[0].out) == 0);
    }
    infer_session_release(session);
    infer_model_release(g.model);
    region_free(&g.maker.region);
    ck_assert_uint_eq(emulation_bytes(), 0);
    ck_assert_int_eq(emulation_objects(), OBJECTS_KEPT);
}
END_TEST

static void *run_once(void *argument)
{
    struct client *client = argument;
    infer_context *context;
    client->well = infer_context_create(client->session, &context, NULL) == INFER_OK &&
                   run_gathering(context, client->rows, 0, client->out, &client->error) == INFER_OK;
    infer_context_release(context);
    atomic_store(&client->done, true);
    return NULL;
}

/* While a kernel of one context takes its time, others bring up their inputs, compute, and bring back their outputs:
 * directly, in the run that captures, and in those that replay. */
START_TEST(a_batch_is_copied_while_another_is_computed)
{
    struct gathering g;
    make_gathering(&g);
    infer_session *session = session_of(g.model, &(infer_session_options){.device = INFER_DEVICE_CUDA});
    struct client first = {.session = session, .rows = 3};
    pthread_t thread;
    emulation_abort_on_complaint(true);
    emulation_hold_kernel();
    ck_assert_int_eq(pthread_create(&thread, NULL, run_once, &first), 0);
    while (!emulation_holds() && !atomic_load(&first.done))
        sched_yield();
    ck_assert_msg(emulation_holds(), "no kernel was met: %s", first.error.message);
    infer_context *context;
    float out[WIDTH];
    ck_assert_int_eq(infer_context_create(session, &context, NULL), INFER_OK);
    for (int i = 0; i < 30; i++)
        ck_assert_int_eq(run_gathering(context, 2, 0, out, NULL), INFER_OK);
    ck_assert(emulation_holds() && !atomic_load(&first.done));
    emulation_let_go();
    pthread_join(thread, NULL);
    ck_assert_msg(first.well, "%s", first.error.message);
    ck_assert(memcmp(first.out, out, sizeof out) == 0);
    infer_context_release(context); /* that waits for the whole device */
    infer_session_release(session);
    infer_model_release(g.model);
    region_free(&g.maker.region);
}
END_TEST

START_TEST(a_device_says_what_it_is)
{
    infer_device_info info;
    infer_error error = {0};
    ck_assert_int_eq(infer_device_query(INFER_DEVICE_CUDA, &info, &error), INFER_OK);
    ck_assert_uint_gt(strlen(info.name), 0);
    ck_assert_uint_ge(info.memory_bytes, info.free_bytes);
    ck_assert_int_eq(infer_device_query((infer_device)7, &info, &error), INFER_INVALID_ARGUMENT);
}
END_TEST

START_TEST(an_old_gpu_is_refused_by_name)
{
    infer_device_info info;
    infer_error error = {0};
    emulation_set_capability(61);
    ck_assert_int_eq(infer_device_query(INFER_DEVICE_CUDA, &info, &error), INFER_UNSUPPORTED);
    ck_assert_msg(strstr(error.message, "6.1"), "%s", error.message);
    emulation_set_capability(80);
    ck_assert_int_eq(infer_device_query(INFER_DEVICE_CUDA, &info, &error), INFER_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device");
    TCase *random = tcase_create("random graphs"), *tests = tcase_create("sessions");
    tcase_set_timeout(random, 60);
    tcase_add_loop_test(random, random_graphs_give_the_bits_of_the_host, 0, BATCHES);
    tcase_add_test(tests, a_fault_is_told_as_on_the_host);
    tcase_add_test(tests, what_was_captured_goes_with_its_memory);
    tcase_add_test(tests, what_was_captured_goes_with_the_hosts_arena);
    tcase_add_test(tests, too_little_memory_is_survived);
    tcase_add_test(tests, the_limit_is_of_the_devices_memory);
    tcase_add_test(tests, constants_are_uploaded_once);
    tcase_add_test(tests, contexts_run_side_by_side);
    tcase_add_test(tests, a_batch_is_copied_while_another_is_computed);
    tcase_add_test(tests, a_device_says_what_it_is);
    tcase_add_test(tests, an_old_gpu_is_refused_by_name);
    suite_add_tcase(suite, random);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, tensor_tests());
    suite_add_tcase(suite, cublas_tests());
    suite_add_tcase(suite, factors_tests());
    suite_add_tcase(suite, limit_tests());
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
