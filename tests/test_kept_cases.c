/* Small cases with what must come of them: ONNX's node tests, and operators of com.microsoft and ai.onnx.ml as ONNX
 * Runtime has them. On the kernels that this CPU has, and on the reference kernels without passes. */
#include "formats/model_file.h"
#include "kernels/convert.h"
#include "tests/kept_cases.h"
#include "tests/suites.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHARES 32 /* a process for so many shares of the cases */

static double element(const infer_tensor *tensor, int64_t i)
{
    const char *at = (const char *)tensor->data + (size_t)i * (size_t)infer_dtype_bits(tensor->dtype) / 8;
    switch ((enum dtype)tensor->dtype) {
#define NUMBER(name, type)                  \
    case name: {                            \
        type number;                        \
        memcpy(&number, at, sizeof number); \
        return (double)number;              \
    }
        NUMBER(DTYPE_F32, float)
        NUMBER(DTYPE_F64, double)
        NUMBER(DTYPE_I8, int8_t)
        NUMBER(DTYPE_I16, int16_t)
        NUMBER(DTYPE_I32, int32_t)
        NUMBER(DTYPE_I64, int64_t)
        NUMBER(DTYPE_U8, uint8_t)
        NUMBER(DTYPE_BOOL, uint8_t)
        NUMBER(DTYPE_U16, uint16_t)
        NUMBER(DTYPE_U32, uint32_t)
        NUMBER(DTYPE_U64, uint64_t)
#undef NUMBER
    case DTYPE_F16:
    case DTYPE_BF16: {
        uint16_t half;
        memcpy(&half, at, sizeof half);
        return (double)(tensor->dtype == INFER_FLOAT16 ? f16_to_f32(half) : bf16_to_f32(half));
    }
    default:
        return (double)small_float_to_f32((enum dtype)tensor->dtype, *(const uint8_t *)at);
    }
}

static void expect_output(const struct kept_case *c, size_t at, const infer_tensor *got)
{
    const struct expected *e = &c->expected[at];
    const infer_tensor *want = &e->tensor;
    int64_t count = 1;
    uint32_t off = 0;
    ck_assert_msg(got->dtype == want->dtype && got->rank == want->rank, "%s: output %zu is %s of rank %d", c->name, at,
                  infer_dtype_name(got->dtype), got->rank);
    for (int i = 0; i < want->rank; count *= want->dims[i++])
        ck_assert_msg(got->dims[i] == want->dims[i], "%s: output %zu: dimension %d is %lld", c->name, at, i,
                      (long long)got->dims[i]);
    for (int64_t i = 0; i < count; i++) {
        double a = element(got, i), b = element(want, i);
        bool same = a == b || (isnan(a) && isnan(b)), near = same || fabs(a - b) <= e->atol + e->rtol * fabs(b);
        off += !same;
        ck_assert_msg(near && off <= e->most, "%s: output %zu, element %lld is %.9g, not %.9g", c->name, at,
                      (long long)i, a, b);
    }
}

static enum status run_graph(const struct kept_case *c, const struct graph *graph, const infer_tensor *inputs,
                             const infer_session_options *options, bool expected)
{
    const struct model_metadata metadata = {.name = c->name, .producer = "", .description = ""};
    struct region region;
    struct error unwritten = {0};
    infer_error error = {0};
    infer_tensor outputs[KEPT_MOST] = {{0}};
    infer_model *model = NULL;
    infer_session *session = NULL;
    infer_context *context = NULL;
    void *bytes = NULL;
    size_t size = 0;
    region_init(&region, &default_allocator);
    infer_status status = (infer_status)model_write(graph, &metadata, &region, &bytes, &size, &unwritten);
    if (status == INFER_OK)
        status = infer_model_open_memory(bytes, size, c->name, NULL, &model, &error);
    if (status == INFER_OK)
        status = infer_session_create(model, options, &session, &error);
    if (status == INFER_OK)
        status = infer_context_create(session, &context, &error);
    if (status == INFER_OK)
        status = infer_run(context, inputs, c->input_count, outputs, c->output_count, &error);
    ck_assert_msg(status == INFER_OK || !expected, "%s: %s%s", c->name, unwritten.text, error.message);
    for (size_t i = 0; i < c->output_count && expected; i++)
        expect_output(c, i, &outputs[i]);
    infer_context_release(context);
    infer_session_release(session);
    infer_model_release(model);
    region_free(&region);
    return (enum status)status;
}

static void expect_case(const struct kept_case *c, struct graph *graph, void *user)
{
    static const infer_session_options ways[] = {{.threads = 1},
                                                 {.threads = 1, .isa = INFER_ISA_REFERENCE, .no_optimize = true}};
    (void)user;
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++)
        run_graph(c, graph, c->inputs, &ways[way], true);
}

/* --- other shapes ------------------------------------------------------------------------------------------------- */

/* Another shape for an input: an axis fewer, one more, or the axis `which` longer or empty. False: there is none. */
static bool reshape(const infer_tensor *from, int which, infer_tensor *to)
{
    *to = *from;
    if (which == 0) {
        to->rank--;
    } else if (which == 1) {
        to->dims[to->rank++] = 2;
    } else {
        int axis = (which - 2) / 2;
        if (axis >= from->rank)
            return false;
        to->dims[axis] = which % 2 ? 0 : to->dims[axis] + 1;
    }
    return to->rank >= 0 && to->rank <= INFER_MAX_RANK;
}

/* With the numbers of the input again and again, in a block of just that size. */
static void fill(const infer_tensor *from, infer_tensor *to)
{
    to->bytes = infer_tensor_bytes(to->dtype, to->rank, to->dims);
    to->data = malloc(to->bytes + !to->bytes);
    for (size_t i = 0; i < to->bytes; i++)
        ((uint8_t *)to->data)[i] = from->bytes ? ((const uint8_t *)from->data)[i % from->bytes] : 0;
}

/* What does not fit is refused, or is computed; nothing reads or writes what is not its own. */
static void survive_case(const struct kept_case *c, struct graph *graph, void *user)
{
    (void)user;
    const infer_session_options options = {
        .threads = 1, .memory_limit = (size_t)64 << 20, .run_limits = {.multiply_adds = 100000000, .loop_turns = 1000}};
    for (int i = 0; i < graph->output_count; i++)
        if (!graph->outputs[i]->data)
            graph->outputs[i]->rank = -1;
    for (size_t i = 0; i < c->input_count; i++) {
        struct value *declared = graph->inputs[i];
        const struct value before = *declared;
        infer_tensor inputs[KEPT_MOST];
        memcpy(inputs, c->inputs, sizeof inputs);
        for (int which = 0; which < 2 + 2 * c->inputs[i].rank; which++) {
            if (!reshape(&c->inputs[i], which, &inputs[i]))
                continue;
            fill(&c->inputs[i], &inputs[i]);
            declared->rank = inputs[i].rank;
            memcpy(declared->dims, inputs[i].dims, sizeof declared->dims);
            run_graph(c, graph, inputs, &options, false);
            free(inputs[i].data);
        }
        *declared = before;
    }
}

START_TEST(nodes_of_onnx)
{
    try_kept_cases("tests/data/cases/onnx.zlib", _i, SHARES, expect_case, NULL);
}
END_TEST

START_TEST(contributed_operators)
{
    try_kept_cases("tests/data/cases/contrib.zlib", _i, SHARES, expect_case, NULL);
}
END_TEST

START_TEST(survive_other_shapes)
{
    try_kept_cases("tests/data/cases/onnx.zlib", _i, SHARES, survive_case, NULL);
    try_kept_cases("tests/data/cases/contrib.zlib", _i, SHARES, survive_case, NULL);
}
END_TEST

Suite *kept_cases_suite(void)
{
    Suite *suite = suite_create("kept_cases");
    TCase *tests = tcase_create("kept_cases");
    tcase_add_loop_test(tests, nodes_of_onnx, 0, SHARES);
    tcase_add_loop_test(tests, contributed_operators, 0, SHARES);
    TCase *shapes = tcase_create("shapes");
    tcase_set_timeout(shapes, 30);
    tcase_add_loop_test(shapes, survive_other_shapes, 0, SHARES);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, shapes);
    return suite;
}
