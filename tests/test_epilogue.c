/* Programs that ride on kernels: the results are those of the kernel and then of the program, bit for bit, whatever the
 * numbers, the sizes and the threads. */
#include "tests/step_test.h"
#include "tests/suites.h"

#include <stdlib.h>
#include <string.h>

/* What makes the results, of a random size. */
enum source {
    CONV,
    CONV_GROUPS,
    CONV_TRANSPOSE,
    MATMUL,
    GEMM,
    MAX_POOL,
    AVERAGE_POOL,
    LP_POOL,
    REDUCE_LAST,
    REDUCE_FIRST,
    REDUCE_ALL,
    LAYER_NORM,
    RMS_NORM,
    INSTANCE_NORM,
    SOURCES
};

static int64_t size_to(uint64_t *state, int64_t most)
{
    return 1 + (int64_t)(next_random(state) % (uint64_t)most);
}

static struct value *make_convolution(struct rig *rig, enum source source, uint64_t *state)
{
    int64_t groups = source == CONV_GROUPS ? 3 : 1, from = groups * size_to(state, 9), to = groups * size_to(state, 40);
    int64_t kernel[2] = {size_to(state, 3), size_to(state, 3)};
    struct value *x = rig_input(rig, DIMS(size_to(state, 2), from, 3 + size_to(state, 9), 3 + size_to(state, 30)));
    const struct attribute attributes[] = {ATTRIBUTE_I("group", groups)};
    struct value *weights = source == CONV_TRANSPOSE ? rig_random(rig, DIMS(from, to, kernel[0], kernel[1]))
                                                     : rig_random(rig, DIMS(to, from / groups, kernel[0], kernel[1]));
    return rig_node(rig, source == CONV_TRANSPOSE ? "ConvTranspose" : "Conv", 3,
                    (struct value *[]){x, weights, rig_random(rig, DIMS(to))}, 1, attributes);
}

static struct value *make_product(struct rig *rig, enum source source, uint64_t *state)
{
    int64_t m = size_to(state, 70), k = size_to(state, 70), n = size_to(state, 140), batch = size_to(state, 3);
    if (source == GEMM)
        return rig_node(
            rig, "Gemm", 3,
            (struct value *[]){rig_input(rig, DIMS(m, k)), rig_random(rig, DIMS(k, n)), rig_random(rig, DIMS(n))}, 0,
            NULL);
    return rig_op2(rig, "MatMul", rig_input(rig, DIMS(batch, m, k)), rig_input(rig, DIMS(batch, k, n)));
}

static struct value *make_pool(struct rig *rig, enum source source, uint64_t *state)
{
    static const char *const names[] = {"MaxPool", "AveragePool", "LpPool"};
    int64_t *kernel = region_array(&rig->maker.region, 2, sizeof *kernel);
    kernel[0] = size_to(state, 3);
    kernel[1] = size_to(state, 3);
    struct value *x =
        rig_input(rig, DIMS(size_to(state, 2), size_to(state, 5), 2 + size_to(state, 9), 2 + size_to(state, 300)));
    return rig_node(rig, names[source - MAX_POOL], 1, &x, 1,
                    (struct attribute[]){ATTRIBUTE_LIST("kernel_shape", 2, kernel)});
}

static struct value *make_reduction(struct rig *rig, enum source source, uint64_t *state)
{
    static const char *const names[] = {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2", "ReduceLogSumExp"};
    struct value *x = rig_input(rig, DIMS(size_to(state, 20), size_to(state, 300), size_to(state, 20)));
    int64_t axis = source == REDUCE_LAST ? 2 : 0;
    const char *name = names[next_random(state) % 5];
    return source == REDUCE_ALL ? rig_op1(rig, name, x) : rig_op2(rig, name, x, rig_ints(rig, 1, &axis));
}

static struct value *make_normalization(struct rig *rig, enum source source, uint64_t *state)
{
    int64_t channels = size_to(state, 20), n = size_to(state, 600);
    struct value *x = rig_input(rig, DIMS(size_to(state, 3), channels, n));
    int64_t of = source == INSTANCE_NORM ? channels : n;
    struct value *inputs[] = {x, rig_random(rig, DIMS(of)), rig_random(rig, DIMS(of))};
    const char *name = source == LAYER_NORM ? "LayerNormalization"
                       : source == RMS_NORM ? "RMSNormalization"
                                            : "InstanceNormalization";
    return rig_node(rig, name, source == RMS_NORM ? 2 : 3, inputs, 0, NULL);
}

static struct value *make_results(struct rig *rig, enum source source, uint64_t *state)
{
    if (source <= CONV_TRANSPOSE)
        return make_convolution(rig, source, state);
    if (source <= GEMM)
        return make_product(rig, source, state);
    if (source <= LP_POOL)
        return make_pool(rig, source, state);
    return source <= REDUCE_ALL ? make_reduction(rig, source, state) : make_normalization(rig, source, state);
}

/* An operand for results of a shape: one of all of it, or of some axes. The shape is told by lowering what there is. */
static struct value *add_operand(struct rig *rig, const struct value *results, bool whole, uint64_t *state)
{
    int64_t dims[MAX_RANK];
    for (int i = 0; i < results->rank; i++)
        dims[i] = whole || next_random(state) % 2 ? results->dims[i] : 1;
    return rig_random(rig, results->rank, dims);
}

static void infer_shape(struct rig *rig, struct value *value)
{
    struct error error = {0};
    struct op_context c = {.graph = rig->graph, .node = rig->graph->nodes[rig->graph->node_count - 1], .error = &error};
    ck_assert_msg(c.node->op->shapes(&c) == STATUS_OK, "%s", error.text);
    ck_assert_int_ge(value->rank, 0);
}

/* A chain of a few operators. */
static struct value *add_program(struct rig *rig, struct value *y, uint64_t *state)
{
    static const char *const unary[] = {"Sigmoid", "Relu", "Neg", "Tanh", "HardSwish"};
    static const char *const binary[] = {"Add", "Mul", "Sub", "Max"};
    infer_shape(rig, y);
    const struct value results = *y;
    for (int i = size_to(state, 4) > 2 ? 2 : 1; i > 0; i--) {
        struct value *operand = add_operand(rig, &results, i == 2, state);
        y = rig_op2(rig, binary[next_random(state) % 4], y, operand);
        y = rig_op1(rig, unary[next_random(state) % 5], y);
    }
    if (next_random(state) % 3 == 0)
        y = rig_node(rig, "Cast", 1, &y, 1, (struct attribute[]){ATTRIBUTE_I("to", DTYPE_F16)});
    return y;
}

/* All steps became one. */
START_TEST(a_program_rides_bit_for_bit)
{
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F64};
    uint64_t state = (uint64_t)_i;
    for (int i = 0; i < 6; i++) {
        struct rig rig;
        rig_begin(&rig);
        rig.dtype = dtypes[i % 2];
        rig.seed = (unsigned)next_random(&state);
        struct value *y = make_results(&rig, (enum source)_i, &state);
        rig_output(&rig, add_program(&rig, y, &state));
        rig_expect_steps(&rig, NULL, NULL);
        ck_assert_int_eq(rig_lower(&rig, FUSE).steps.count, 1);
        ck_assert_int_gt(rig_lower(&rig, NO_PASSES).steps.count, 1);
        rig_end(&rig);
    }
}
END_TEST

/* --- threads --------------------------------------------------------------------------------------------- */

static void run_with(const struct rig *rig, infer_model *model, int threads, const infer_tensor *inputs,
                     infer_tensor *output)
{
    struct running running = running_begin(model, &(infer_session_options){.threads = threads});
    infer_tensor result = {0};
    run_well(running.context, inputs, (size_t)rig->input_count, &result, 1);
    if (!output->data) {
        *output = result;
        output->data = malloc(result.bytes);
        memcpy(output->data, result.data, result.bytes);
    }
    ck_assert_uint_eq(result.bytes, output->bytes);
    ck_assert(same_elements((enum dtype)result.dtype, result.data, output->data,
                            (int64_t)(result.bytes * 8 / dtype_bits((enum dtype)result.dtype))));
    infer_context_release(running.context);
    infer_session_release(running.session);
}

START_TEST(threads_change_no_bit)
{
    uint64_t state = (uint64_t)_i + 100;
    struct rig rig;
    rig_begin(&rig);
    struct value *y = make_results(&rig, (enum source)_i, &state);
    rig_output(&rig, add_program(&rig, y, &state));
    infer_tensor inputs[4] = {{0}}, output = {0};
    for (int i = 0; i < rig.input_count; i++) {
        const struct value *input = rig.inputs[i];
        inputs[i] =
            (infer_tensor){.dtype = (infer_dtype)input->dtype, .rank = input->rank, .bytes = value_bytes(input)};
        memcpy(inputs[i].dims, input->dims, sizeof input->dims);
        inputs[i].data = region_allocate(&rig.maker.region, inputs[i].bytes);
        fill_random(input->dtype, inputs[i].data, value_elements(input), true, &state);
    }
    for (int threads = 1; threads <= 3; threads++) {
        infer_model *model = maker_finish(&rig.maker, rig.input_count, rig.inputs, 1, rig.outputs, NULL);
        run_with(&rig, model, threads, inputs, &output);
    }
    free(output.data);
    rig_end(&rig);
}
END_TEST

Suite *epilogue_suite(void)
{
    Suite *suite = suite_create("epilogue");
    TCase *tests = tcase_create("epilogue");
    tcase_add_loop_test(tests, a_program_rides_bit_for_bit, 0, SOURCES);
    tcase_add_loop_test(tests, threads_change_no_bit, 0, SOURCES);
    suite_add_tcase(suite, tests);
    return suite;
}
