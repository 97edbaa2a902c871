/* What a kernel may ask of the runtime: phases with a barrier between, workspace that the tasks of a step share, and
 * packs of constant inputs, which exist once a model. The kernel is a product made for this; its results must be those
 * of the reference kernel, which sums in the same order. */
#include "kernels/matmul.h"
#include "tests/counting_allocator.h"
#include "tests/model_maker.h"
#include "tests/suites.h"

#include "runtime/session.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 40
#define COLUMNS 24
#define FORM 4000
#define PACK_MARK 7.5f /* stands before the packed matrix: only what `pack` wrote is read */

static bool packing_supports(const void *params)
{
    const struct matmul_params *p = params;
    return p->dtype == DTYPE_F32 && !p->epilogue && p->batch_rank == 0 && p->a.column == 1;
}

static bool packing_plan(const void *params, const struct kernel_facts *facts, struct region *region,
                         struct kernel_plan *plan)
{
    const struct matmul_params *p = params;
    (void)facts, (void)region;
    plan->phases = 2;
    plan->tasks[0] = plan->tasks[1] = (int)p->m;
    plan->task_bytes = (size_t)p->n * sizeof(float);
    plan->shared_bytes = (size_t)(p->m * p->k) * sizeof(float);
    plan->pack_count = 1;
    plan->packs[0] = (struct kernel_pack){
        .input = 1,
        .form = FORM,
        .storable = true,
        .tasks = (int)p->k,
        .geometry = {p->n, p->b.row, p->b.column},
        .bytes = (size_t)(p->k * p->n + 1) * sizeof(float),
    };
    return true;
}

static void packing_pack(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct matmul_params *p = plan->params;
    float *packed = to;
    (void)which;
    if (task == 0)
        packed[0] = PACK_MARK;
    for (int64_t j = 0; j < p->n; j++)
        packed[1 + task * p->n + j] = ((const float *)from)[task * p->b.row + j * p->b.column];
}

/* Phase 0 puts A's rows, last one first, where all tasks see them; phase 1 multiplies. */
static void packing_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct matmul_params *p = plan->params;
    const float *packed = call->packed[0];
    float *rows = call->shared, *sums = call->workspace;
    if (call->phase == 0) {
        memcpy(rows + (p->m - 1 - task) * p->k, (const float *)call->inputs[0] + task * p->a.row,
               (size_t)p->k * sizeof *rows);
        return;
    }
    ck_assert_ptr_null(call->inputs[1]);
    ck_assert(packed[0] == PACK_MARK);
    memset(sums, 0, plan->task_bytes);
    for (int64_t k = 0; k < p->k; k++)
        for (int64_t j = 0; j < p->n; j++)
            sums[j] += rows[(p->m - 1 - task) * p->k + k] * packed[1 + k * p->n + j];
    for (int64_t j = 0; j < p->n; j++)
        ((float *)call->outputs[0])[task * p->c.row + j * p->c.column] =
            sums[j] + (call->inputs[2] ? ((const float *)call->inputs[2])[task * p->d.row + j * p->d.column] : 0);
}

static const struct kernel packing_kernel = {
    .name = "matmul_packing_test",
    .family = FAMILY_matmul,
    .constant_inputs = 1u << 1,
    .supports = packing_supports,
    .plan = packing_plan,
    .pack = packing_pack,
    .run = packing_run,
};

/* Before all others. */
static const struct kernel *const *kernels_with_it(void)
{
    static const struct kernel *list[512] = {&packing_kernel};
    size_t count = 1;
    for (size_t i = 0; kernel_at(i); i++)
        list[count++] = kernel_at(i);
    ck_assert_uint_lt(count, sizeof list / sizeof list[0]);
    return list;
}

/* y = Softmax(x B), where B lies as it is or transposed. */
static infer_model *product(struct maker *maker, bool turned, const infer_model_options *options)
{
    struct graph *graph = maker->graph = graph_create(&maker->region, "product");
    int64_t dims[2] = {graph_symbol(graph, "rows"), DEPTH},
            weights[2] = {turned ? COLUMNS : DEPTH, turned ? DEPTH : COLUMNS};
    float *data = region_array(&maker->region, DEPTH * COLUMNS, sizeof *data);
    for (int i = 0; i < DEPTH * COLUMNS; i++)
        data[i] = (float)((i * 37 + i / 11) % 101) / 64 - 0.75f;
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 2, dims);
    struct value *b = graph_add_constant(graph, "b", DTYPE_F32, 2, weights, data);
    const struct attribute turn = {.name = "transB", .kind = ATTRIBUTE_INT, .i = turned};
    struct value *z = make_node(graph, "Gemm", "z", 2, (struct value *[]){x, b}, 1, &turn);
    struct value *y = make_node1(graph, "Softmax", "y", z);
    return maker_finish(maker, 1, &x, 1, &y, options);
}

static infer_session *open_session(infer_model *model, bool packing, const infer_session_options *options)
{
    infer_session *session;
    infer_error error = {0};
    ck_assert_msg(infer_session_create(model, options, &session, &error) == INFER_OK, "%s", error.message);
    if (packing)
        session->facts.kernels = kernels_with_it();
    return session;
}

static void run(infer_session *session, int64_t rows, float *results)
{
    float x[12 * DEPTH];
    infer_context *context;
    infer_error error = {0};
    for (int i = 0; i < 12 * DEPTH; i++)
        x[i] = (float)((i * 53 + 7) % 97) / 48 - 1;
    infer_tensor in = f32_tensor(x, 2, rows, DEPTH);
    infer_tensor out = {.data = results, .capacity = (size_t)rows * COLUMNS * sizeof *results};
    ck_assert_int_eq(infer_context_create(session, &context, &error), INFER_OK);
    ck_assert_msg(infer_run(context, &in, 1, &out, 1, &error) == INFER_OK, "%s", error.message);
    infer_context_release(context);
}

static infer_memory ask(infer_session *session)
{
    infer_memory memory;
    ck_assert_int_eq(infer_session_memory(session, &memory, NULL), INFER_OK);
    return memory;
}

START_TEST(phases_packs_and_shared_workspace_give_the_same_product)
{
    float expected[12 * COLUMNS], got[12 * COLUMNS];
    struct maker maker = maker_start();
    infer_model *model = product(&maker, _i % 2, NULL);
    const infer_session_options options = {
        .threads = _i / 2 % 2 ? 3 : 1, .isa = INFER_ISA_REFERENCE, .no_optimize = _i / 4};
    infer_session *plain = open_session(model, false, &options), *packing = open_session(model, true, &options);
    for (int64_t rows = 1; rows <= 12; rows += 5) {
        run(plain, rows, expected);
        run(packing, rows, got);
        ck_assert_mem_eq(got, expected, (size_t)rows * COLUMNS * sizeof *got);
    }
    ck_assert_uint_eq(ask(plain).packed_bytes, 0);
    ck_assert_uint_gt(ask(packing).packed_bytes, 0);
    infer_session_release(plain);
    infer_session_release(packing);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* Shapes and sessions share one pack; other strides over the same weights are another one. */
START_TEST(a_pack_exists_once_a_model)
{
    float got[12 * COLUMNS];
    const size_t pack = (DEPTH * COLUMNS + 1) * sizeof(float);
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    infer_model *model = product(&maker, false, &(infer_model_options){.allocator = &allocator});
    long empty = atomic_load(&counting.bytes);
    infer_session *first = open_session(model, true, NULL), *second = open_session(model, true, NULL);
    run(first, 2, got);
    size_t packed = ask(first).packed_bytes;
    ck_assert_uint_ge(packed, pack);
    ck_assert_uint_le(packed, pack + 1024);
    for (int64_t rows = 3; rows < 6; rows++) {
        run(first, rows, got);
        run(second, rows, got);
    }
    ck_assert_uint_eq(ask(first).packed_bytes, packed);
    ck_assert_uint_eq(ask(second).packed_bytes, packed);
    ck_assert_uint_eq(atomic_load(&model->weights.bytes), packed);
    infer_session_release(first);
    infer_session_release(second);
    ck_assert_int_eq(atomic_load(&counting.bytes), empty);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* Whatever the limit is: what is held stays below it, and what is refused leaves nothing. */
START_TEST(a_pack_past_the_limit_is_refused_before_it_is_made)
{
    struct counting counting = {.fail_at = -1};
    infer_allocator allocator = counting_allocator(&counting);
    struct maker maker = maker_start();
    infer_model *model = product(&maker, false, &(infer_model_options){.allocator = &allocator});
    const long empty = atomic_load(&counting.bytes);
    infer_tensor in = {.dtype = INFER_FLOAT32, .rank = 2, .dims = {2, DEPTH}};
    infer_status status = INFER_MEMORY_LIMIT;
    int refused = 0;
    for (size_t limit = (size_t)empty + model->weight_bytes; status != INFER_OK; limit += 500) {
        infer_session *session;
        infer_memory memory;
        infer_error error = {0};
        atomic_store(&counting.peak, empty);
        status = infer_session_create(model, &(infer_session_options){.memory_limit = limit}, &session, &error);
        if (status == INFER_OK) {
            session->facts.kernels = kernels_with_it();
            status = infer_session_prepare(session, &in, 1, &memory, &error);
        }
        ck_assert_uint_le((size_t)atomic_load(&counting.peak) + model->weight_bytes, limit);
        if (status != INFER_OK) {
            refused++;
            ck_assert_int_eq(status, INFER_MEMORY_LIMIT);
            ck_assert_msg(strstr(error.message, "limit"), "%s", error.message);
            ck_assert_uint_eq(atomic_load(&model->weights.bytes), 0);
        }
        infer_session_release(session);
        ck_assert_int_eq(atomic_load(&counting.bytes), empty);
    }
    ck_assert_int_gt(refused, 20);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* --- packs that lie in the file ---------------------------------------------------------------------------- */

static struct model_pack seen;

static void see(void *user, const struct stored_wanted *wanted, const void *data)
{
    (*(int *)user)++;
    seen = stored_pack_of(wanted, "test", data);
}

/* The model again, with the pack that its kernel made. */
static infer_model *packed(struct maker *maker, const infer_model_options *options, void (*change)(struct model_pack *))
{
    float got[COLUMNS];
    int count = 0;
    struct error error = {0};
    infer_error failure = {0};
    infer_model *model = product(maker, true, NULL), *result = NULL;
    infer_session *session = open_session(model, true, NULL);
    const struct pack_observer observer = {see, &count};
    struct model_metadata metadata = {.name = "", .producer = "", .description = "", .pack_count = 1, .packs = &seen};
    void *bytes;
    size_t size;
    session->derived.observer = &observer;
    run(session, 1, got);
    ck_assert_int_eq(count, 1);
    if (change)
        change(&seen);
    ck_assert_msg(model_write(model->graph, &metadata, &maker->region, &bytes, &size, &error) == STATUS_OK, "%s",
                  error.text);
    infer_session_release(session);
    infer_model_release(model);
    ck_assert_msg(infer_model_open_memory(bytes, size, "packed", options, &result, &failure) == INFER_OK, "%s",
                  failure.message);
    return result;
}

static void expect_used(infer_model *model, bool used)
{
    float expected[5 * COLUMNS], got[5 * COLUMNS];
    const size_t pack = (DEPTH * COLUMNS + 1) * sizeof(float);
    infer_session *session = open_session(model, true, NULL);
    struct maker maker = maker_start();
    infer_model *other = product(&maker, true, NULL);
    infer_session *plain = open_session(other, true, NULL);
    run(session, 5, got);
    run(plain, 5, expected);
    ck_assert_mem_eq(got, expected, sizeof got);
    infer_memory memory = ask(session);
    ck_assert_uint_eq(memory.stored_bytes, used ? pack : 0);
    ck_assert_uint_eq(memory.packed_bytes == 0, used);
    ck_assert_uint_eq(memory.weight_bytes, DEPTH * COLUMNS * sizeof(float) + model->stored.packs[0].bytes);
    ck_assert_uint_eq(atomic_load(&model->weights.bytes) == 0, used);
    infer_session_release(plain);
    infer_session_release(session);
    infer_model_release(other);
    region_free(&maker.region);
}

static void another_form(struct model_pack *pack)
{
    pack->form++;
}
static void another_geometry(struct model_pack *pack)
{
    pack->geometry[KERNEL_GEOMETRY - 1]++;
}
static void another_size(struct model_pack *pack)
{
    pack->bytes--;
}
static void another_family(struct model_pack *pack)
{
    pack->family = "conv";
}
static void another_shape(struct model_pack *pack)
{
    pack->dims[0]--;
}
static void another_type(struct model_pack *pack)
{
    pack->dtype = DTYPE_I32;
}
static void another_source(struct model_pack *pack)
{
    pack->source = (const char *)pack->source + sizeof(float);
    pack->dims[0]--;
}

START_TEST(a_stored_pack_is_read_where_it_lies)
{
    struct maker maker = maker_start();
    infer_model *model = packed(&maker, NULL, NULL);
    expect_used(model, true);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

START_TEST(a_stored_pack_of_another_kind_is_made_again)
{
    static void (*const changes[])(struct model_pack *) = {
        another_form, another_geometry, another_size, another_family, another_shape, another_type, another_source};
    struct maker maker = maker_start();
    infer_model *model = packed(&maker, NULL, changes[_i]);
    ck_assert_int_eq(model->stored.count, 1);
    expect_used(model, false);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* Found when it is used, unless the model is trusted; what does not use it does not mind. */
START_TEST(a_damaged_pack_is_refused)
{
    struct maker maker = maker_start();
    const infer_model_options trusting = {.trust_weights = _i};
    infer_model *model = packed(&maker, &trusting, NULL);
    infer_tensor in = {.dtype = INFER_FLOAT32, .rank = 2, .dims = {2, DEPTH}};
    infer_error error = {0};
    infer_session *plain = open_session(model, false, &(infer_session_options){.isa = INFER_ISA_REFERENCE});
    infer_session *session = open_session(model, true, NULL);
    ((unsigned char *)(uintptr_t)model->stored.packs[0].data)[100] ^= 1;
    ck_assert_int_eq(infer_session_prepare(plain, &in, 1, NULL, &error), INFER_OK);
    infer_status status = infer_session_prepare(session, &in, 1, NULL, &error);
    ck_assert_int_eq(status, _i ? INFER_OK : INFER_INVALID_MODEL);
    if (!_i)
        ck_assert_str_eq(error.message,
                         "packed: pack 0, made of 'b' for test, does not match its checksum: the file is "
                         "damaged");
    infer_session_release(plain);
    infer_session_release(session);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

/* Whoever reads weights as their stored pack alone does not mind them; others do, unless the model is trusted. */
START_TEST(damaged_weights_are_refused_where_they_are_read)
{
    static const struct {
        bool reference, trusted; /* reference: kernels that read them as they are */
        void (*change)(struct model_pack *);
        infer_status status;
    } cases[] = {
        {.status = INFER_OK},
        {.change = another_form, .status = INFER_INVALID_MODEL}, /* a pack is made of them */
        {.reference = true, .status = INFER_INVALID_MODEL},
        {.reference = true, .trusted = true, .status = INFER_OK},
    };
    struct maker maker = maker_start();
    const infer_model_options options = {.trust_weights = cases[_i].trusted};
    infer_model *model = packed(&maker, &options, cases[_i].change);
    const infer_session_options plain = {.isa = INFER_ISA_REFERENCE};
    infer_session *session = open_session(model, !cases[_i].reference, cases[_i].reference ? &plain : NULL);
    infer_tensor in = {.dtype = INFER_FLOAT32, .rank = 2, .dims = {2, DEPTH}};
    infer_error error = {0};
    ((unsigned char *)(uintptr_t)model->stored.packs[0].source)[100] ^= 1;
    ck_assert_int_eq(infer_session_prepare(session, &in, 1, NULL, &error), cases[_i].status);
    if (cases[_i].status != INFER_OK)
        ck_assert_str_eq(error.message, "packed: tensor 0 does not match its checksum: the file is damaged");
    infer_session_release(session);
    infer_model_release(model);
    region_free(&maker.region);
}
END_TEST

START_TEST(each_allocation_fails_once)
{
    float got[12 * COLUMNS];
    for (int at = 0;; at++) {
        struct counting counting = {.fail_at = -1};
        infer_allocator allocator = counting_allocator(&counting);
        struct maker maker = maker_start();
        infer_model *model = product(&maker, true, &(infer_model_options){.allocator = &allocator});
        infer_session *session = open_session(model, true, NULL);
        infer_tensor in = {.dtype = INFER_FLOAT32, .rank = 2, .dims = {2, DEPTH}};
        infer_memory memory;
        infer_error error = {0};
        counting.fail_at = atomic_load(&counting.calls) + at;
        infer_status status = infer_session_prepare(session, &in, 1, &memory, &error);
        counting.fail_at = -1;
        ck_assert(status == INFER_OK || status == INFER_OUT_OF_MEMORY);
        run(session, 2, got);
        infer_session_release(session);
        infer_model_release(model);
        ck_assert_int_eq(atomic_load(&counting.bytes), 0);
        region_free(&maker.region);
        if (status == INFER_OK)
            break;
    }
}
END_TEST

Suite *runtime_packs_suite(void)
{
    Suite *suite = suite_create("runtime_packs");
    TCase *tests = tcase_create("packs");
    tcase_add_loop_test(tests, phases_packs_and_shared_workspace_give_the_same_product, 0, 8);
    tcase_add_test(tests, a_pack_exists_once_a_model);
    tcase_add_test(tests, a_pack_past_the_limit_is_refused_before_it_is_made);
    tcase_add_test(tests, a_stored_pack_is_read_where_it_lies);
    tcase_add_loop_test(tests, a_stored_pack_of_another_kind_is_made_again, 0, 7);
    tcase_add_loop_test(tests, a_damaged_pack_is_refused, 0, 2);
    tcase_add_loop_test(tests, damaged_weights_are_refused_where_they_are_read, 0, 4);
    tcase_add_test(tests, each_allocation_fails_once);
    suite_add_tcase(suite, tests);
    return suite;
}
