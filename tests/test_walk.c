/* Steps whose operands have been relocated: on moved data they compute what the step does, bit for bit. */
#include "graph/steps/walk.h"
#include "tests/step_test.h"
#include "tests/suites.h"

#include <stdlib.h>
#include <string.h>

#define MOST_OPERANDS 16
#define TRIES 60 /* random relocations of an operand */

/* --- random relocations ---------------------------------------------------------------------------------- */

/* Where the elements of a tensor in C order are in a larger one, as a copy between the two has it. */
struct move {
    struct copy_params params; /* input: the larger tensor; output: that in C order */
    int64_t elements;          /* of the larger tensor */
};

static void add_axis(struct copy_params *p, int64_t dim)
{
    if (dim != 1)
        p->dims[p->rank++] = dim;
}

/* The axes of the tensor, of which some may be cut in two. */
static void choose_axes(struct copy_params *p, int64_t parts, const struct value *value, bool cuts, uint64_t *state)
{
    add_axis(p, parts);
    for (int i = 0; i < value->rank; i++) {
        int64_t dim = value->dims[i], inner = 1 + (int64_t)next_random(state) % dim;
        bool cut = cuts && dim % inner == 0 && p->rank + value->rank - i < MAX_RANK && next_random(state) % 2;
        if (cut)
            add_axis(p, dim / inner);
        add_axis(p, cut ? inner : dim);
    }
}

/* A random order of axes in the larger tensor, in which each may leave gaps, run backwards, or (only where it is read)
 * repeat. */
static struct move random_move(int64_t parts, const struct value *value, bool cuts, bool read, uint64_t *state)
{
    struct move move = {.params = {.element_bytes = dtype_bits(value->dtype) / 8}, .elements = 1};
    struct copy_params *p = &move.params;
    bool left[MAX_RANK];
    choose_axes(p, parts, value, cuts, state);
    contiguous_strides(p->rank, p->dims, p->output_strides);
    memset(left, true, sizeof left);
    for (int k = 0; k < p->rank; k++) {
        int axis = (int)(next_random(state) % (uint64_t)p->rank);
        while (!left[axis])
            axis = (axis + 1) % p->rank;
        left[axis] = false;
        if (read && next_random(state) % 8 == 0)
            continue;
        int64_t spread = 1 + (int64_t)next_random(state) % 2, gap = (int64_t)next_random(state) % 3;
        bool backwards = next_random(state) % 6 == 0;
        p->input_strides[axis] = (backwards ? -spread : spread) * move.elements;
        p->input_offset += (backwards ? (p->dims[axis] - 1) * spread + gap : 0) * move.elements;
        move.elements *= p->dims[axis] * spread + gap;
    }
    return move;
}

/* The same copy the other way. */
static struct copy_params turned(const struct copy_params *p)
{
    struct copy_params back = *p;
    back.input_offset = p->output_offset;
    back.output_offset = p->input_offset;
    memcpy(back.input_strides, p->output_strides, sizeof back.input_strides);
    memcpy(back.output_strides, p->input_strides, sizeof back.output_strides);
    return back;
}

static void run_copy(struct copy_params params, const void *from, void *to)
{
    run_problem(FAMILY_copy, &params, &plain_facts, (const void *[]){from}, (void *[]){to});
}

static struct relocation relocation_of(struct copy_params params, bool from_output)
{
    struct relocation relocation;
    ck_assert(relocation_of_copy(&(struct step){.params = &params}, from_output, &relocation));
    return relocation;
}

/* --- a step and its data --------------------------------------------------------------------------------- */

struct bench {
    struct rig rig;
    const struct step *step;
    const void *inputs[MOST_OPERANDS];
    void *outputs[4]; /* of the step as it was, after it has run */
    uint64_t state;
};

static void *room(struct bench *bench, enum dtype dtype, int64_t elements)
{
    void *data = region_buffer(&bench->rig.maker.region, dtype_bytes(dtype, elements));
    ck_assert_ptr_nonnull(data);
    memset(data, 0xa5, dtype_bytes(dtype, elements));
    return data;
}

static void run_plain(struct bench *bench)
{
    for (int i = 0; i < bench->step->output_count; i++)
        if (bench->step->outputs[i])
            bench->outputs[i] = room(bench, bench->step->outputs[i]->dtype, value_elements(bench->step->outputs[i]));
    run_tasks(bench->step, bench->inputs, bench->outputs);
}

/* The graph of the rig must be one step, and what is fused into it. */
static void bench_begin(struct bench *bench)
{
    struct segment segment = rig_lower(&bench->rig, FUSE);
    ck_assert_int_eq(segment.steps.count, 1);
    bench->step = segment.steps.steps[0];
    bench->state = 1;
    for (int i = 0; i < bench->step->input_count; i++) {
        const struct value *value = bench->step->inputs[i];
        if (!value || value->data) {
            bench->inputs[i] = value ? value->data : NULL;
            continue;
        }
        void *data = room(bench, value->dtype, value_elements(value));
        fill_random(value->dtype, data, value_elements(value), true, &bench->state);
        bench->inputs[i] = data;
    }
    run_plain(bench);
}

/* --- relocating one operand ------------------------------------------------------------------------------ */

static void expect_outputs(const struct bench *bench, void *const *outputs, int operand)
{
    for (int i = 0; i < bench->step->output_count; i++)
        ck_assert_msg(!outputs[i] || same_elements(bench->step->outputs[i]->dtype, outputs[i], bench->outputs[i],
                                                   value_elements(bench->step->outputs[i])),
                      "operand %d: output %d differs", operand, i);
}

/* The operand is one of `parts` of a tensor that has moved. Whether the step can go along. */
static bool relocate_input(struct bench *bench, int operand, int64_t parts, bool cuts)
{
    const struct value *value = bench->step->inputs[operand];
    struct move move = random_move(parts, value, cuts, true, &bench->state);
    struct relocation relocation = relocation_of(move.params, true);
    int64_t base = (int64_t)next_random(&bench->state) % parts * value_elements(value);
    int64_t begin = base + step_walk_start(bench->step, operand);
    struct step *step =
        step_relocated(bench->step, operand, &relocation, begin, &plain_facts, &bench->rig.maker.region);
    if (!step)
        return false;
    size_t each = dtype_bits(value->dtype) / 8;
    char *larger = room(bench, value->dtype, move.elements);
    char *ordered = room(bench, value->dtype, parts * value_elements(value));
    const void *kept = bench->inputs[operand], *inputs[MOST_OPERANDS];
    void *outputs[4] = {0};
    fill_random(value->dtype, larger, move.elements, next_random(&bench->state) % 2, &bench->state);
    run_copy(move.params, larger, ordered);
    bench->inputs[operand] = ordered + (size_t)base * each;
    run_plain(bench);
    memcpy(inputs, bench->inputs, sizeof inputs);
    inputs[operand] = larger + (size_t)relocated_offset(&relocation, begin) * each;
    for (int i = 0; i < step->output_count; i++)
        if (step->outputs[i])
            outputs[i] = room(bench, step->outputs[i]->dtype, value_elements(step->outputs[i]));
    step_finish(step);
    run_tasks(step, inputs, outputs);
    expect_outputs(bench, outputs, operand);
    bench->inputs[operand] = kept;
    return true;
}

/* Output 0 goes to a part of something larger, the rest of which stays as it was. */
static bool relocate_output(struct bench *bench, bool cuts)
{
    const struct value *value = bench->step->outputs[0];
    struct move move = random_move(1, value, cuts, false, &bench->state);
    struct copy_params out = turned(&move.params);
    struct relocation relocation = relocation_of(out, false);
    int64_t begin = step_walk_start(bench->step, bench->step->input_count);
    struct step *step = step_relocated(bench->step, bench->step->input_count, &relocation, begin, &plain_facts,
                                       &bench->rig.maker.region);
    if (!step)
        return false;
    size_t each = dtype_bits(value->dtype) / 8;
    char *expected = room(bench, value->dtype, move.elements), *larger = room(bench, value->dtype, move.elements);
    void *outputs[4] = {larger + (size_t)relocated_offset(&relocation, begin) * each};
    run_plain(bench);
    run_copy(out, bench->outputs[0], expected);
    for (int i = 1; i < step->output_count; i++)
        outputs[i] = step->outputs[i] ? room(bench, step->outputs[i]->dtype, value_elements(step->outputs[i])) : NULL;
    step_finish(step);
    run_tasks(step, bench->inputs, outputs);
    ck_assert_msg(same_elements(value->dtype, larger, expected, move.elements), "the output differs");
    return true;
}

/* One letter an input, then one for output 0: '-' where its walk is fixed, 'w' where it can be another along the
 * operand's own axes, 'c' where moreover axes can be cut; '.' for an input that is not there. Ends the rig. */
static void expect_walks(struct bench *bench, const char *walks)
{
    bench_begin(bench);
    char found[MOST_OPERANDS + 2] = "";
    for (int i = 0; i <= bench->step->input_count; i++) {
        bool output = i == bench->step->input_count;
        int moved = 0, cut = 0;
        found[i] = '.';
        if (!output && !bench->step->inputs[i])
            continue;
        for (int t = 0; t < TRIES; t++) {
            moved += output ? relocate_output(bench, false) : relocate_input(bench, i, 1 + t % 3, false);
            cut += output ? relocate_output(bench, true) : relocate_input(bench, i, 1 + t % 3, true);
        }
        found[i] = moved == 0 ? '-' : moved == TRIES && cut == TRIES ? 'c' : 'w';
    }
    ck_assert_str_eq(found, walks);
    region_free(&bench->rig.maker.region);
}

/* --- the families ---------------------------------------------------------------------------------------- */

static struct value *begin(struct bench *bench, enum dtype dtype, int rank, const int64_t *dims)
{
    memset(bench, 0, sizeof *bench);
    rig_begin(&bench->rig);
    bench->rig.dtype = dtype;
    return rig_input(&bench->rig, rank, dims);
}

static void end(struct bench *bench, struct value *output, const char *walks)
{
    rig_output(&bench->rig, output);
    expect_walks(bench, walks);
}

START_TEST(pointwise_walks)
{
    struct bench bench;
    struct value *x = begin(&bench, DTYPE_F32, DIMS(2, 3, 4, 6)), *y = rig_input(&bench.rig, DIMS(3, 1, 6));
    end(&bench, rig_op1(&bench.rig, "Exp", rig_op2(&bench.rig, "Add", x, y)), "ccc");
    static const enum dtype dtypes[] = {DTYPE_F64, DTYPE_I64, DTYPE_I32, DTYPE_F16, DTYPE_U8};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        x = begin(&bench, dtypes[i], DIMS(5, 4));
        end(&bench, rig_op2(&bench.rig, "Add", x, rig_input(&bench.rig, DIMS(4))), "ccc");
    }
}
END_TEST

START_TEST(copy_walks)
{
    struct bench bench;
    struct rig *rig = &bench.rig;
    struct value *x = begin(&bench, DTYPE_F32, DIMS(2, 3, 4));
    end(&bench,
        rig_node(rig, "Transpose", 1, &x, 1, (struct attribute[]){ATTRIBUTE_LIST("perm", 3, ((int64_t[]){2, 0, 1}))}),
        "cc");
    x = begin(&bench, DTYPE_F64, DIMS(4, 6)); /* some of it, backwards */
    struct value *inputs[] = {x, rig_ints(rig, 2, (int64_t[]){-2, 1}), rig_ints(rig, 2, (int64_t[]){0, 6}),
                              rig_ints(rig, 2, (int64_t[]){0, 1}), rig_ints(rig, 2, (int64_t[]){-1, 2})};
    end(&bench, rig_node(rig, "Slice", 5, inputs, 0, NULL), "wc");
    x = begin(&bench, DTYPE_U8, DIMS(3, 1)); /* repeated */
    end(&bench, rig_op2(rig, "Expand", x, rig_ints(rig, 2, (int64_t[]){3, 4})), "cc");
}
END_TEST

START_TEST(convolution_walks)
{
    struct bench bench;
    struct rig *rig = &bench.rig;
    for (int fused = 0; fused < 2; fused++) {
        struct value *x = begin(&bench, DTYPE_F32, DIMS(2, 4, 5, 6));
        struct value *inputs[] = {x, rig_random(rig, DIMS(6, 2, 3, 2)), rig_random(rig, DIMS(6))};
        struct value *y = rig_node(rig, "Conv", 3, inputs, 1, (struct attribute[]){ATTRIBUTE_I("group", 2)});
        if (fused)
            y = rig_op2(rig, "Mul", rig_op2(rig, "Add", y, rig_random(rig, DIMS(2, 6, 3, 5))),
                        rig_random(rig, DIMS(6, 1, 1)));
        end(&bench, y, fused ? "w--..ccc" : "w--..w");
        x = begin(&bench, DTYPE_F64, DIMS(1, 3, 4));
        end(&bench, rig_op2(rig, "ConvTranspose", x, rig_random(rig, DIMS(3, 2, 3))), "w-...w");
    }
}
END_TEST

START_TEST(pool_walks)
{
    static const char *const names[] = {"MaxPool", "AveragePool", "LpPool"};
    struct bench bench;
    int64_t kernel[2] = {2, 3};
    for (int i = 0; i < 6; i++) {
        struct value *x = begin(&bench, DTYPE_F32, DIMS(2, 3, 5, 6));
        struct value *y = rig_node(&bench.rig, names[i / 2], 1, &x, 1,
                                   (struct attribute[]){ATTRIBUTE_LIST("kernel_shape", 2, kernel)});
        if (i % 2)
            y = rig_op2(&bench.rig, "Add", y, rig_input(&bench.rig, DIMS(2, 3, 4, 4)));
        end(&bench, y, i % 2 ? "wcc" : "ww");
    }
    struct value *x = begin(&bench, DTYPE_F32, DIMS(2, 3, 5, 6)), *outputs[2]; /* indices lie as y */
    rig_node_many(&bench.rig, "MaxPool", 1, &x, 2, outputs, 1,
                  (struct attribute[]){ATTRIBUTE_LIST("kernel_shape", 2, kernel)});
    rig_output(&bench.rig, outputs[1]);
    end(&bench, outputs[0], "--");
}
END_TEST

START_TEST(product_walks)
{
    struct bench bench;
    struct rig *rig = &bench.rig;
    struct value *x = begin(&bench, DTYPE_F32, DIMS(2, 4, 3, 5));
    end(&bench, rig_op2(rig, "MatMul", x, rig_input(rig, DIMS(4, 5, 6))), "cw.w");
    x = begin(&bench, DTYPE_I64, DIMS(2, 4, 3, 5));
    struct value *y = rig_op2(rig, "MatMul", x, rig_input(rig, DIMS(4, 5, 6)));
    end(&bench, rig_op2(rig, "Add", y, rig_input(rig, DIMS(3, 1))), "cw...cc");
    x = begin(&bench, DTYPE_F64, DIMS(4, 3));
    struct value *inputs[] = {x, rig_input(rig, DIMS(4, 5)), rig_input(rig, DIMS(5))};
    end(&bench, rig_node(rig, "Gemm", 3, inputs, 1, (struct attribute[]){ATTRIBUTE_I("transA", 1)}), "wwcc");
}
END_TEST

START_TEST(attention_walks)
{
    struct bench bench;
    struct rig *rig = &bench.rig;
    struct value *q = begin(&bench, DTYPE_F32, DIMS(2, 4, 5, 3)), *k = rig_input(rig, DIMS(2, 2, 6, 3));
    struct value *v = rig_input(rig, DIMS(2, 2, 6, 2)), *mask = rig_input(rig, DIMS(2, 4, 5, 6));
    struct value *y = graph_add_value(rig->graph, "y", DTYPE_NONE, -1, NULL);
    graph_add_node(rig->graph, op_find(OWN_DOMAIN, "ScaledDotProductAttention"), 1, "y", 4,
                   (struct value *[]){q, k, v, mask}, 1, &y, 0, NULL);
    end(&bench, y, "wwwww");
}
END_TEST

START_TEST(reduction_walks)
{
    struct bench bench;
    struct rig *rig = &bench.rig;
    for (int fused = 0; fused < 2; fused++) {
        struct value *x = begin(&bench, DTYPE_F32, DIMS(4, 3, 2, 5));
        struct value *y = rig_op2(rig, "ReduceSum", x, rig_ints(rig, 2, (int64_t[]){1, 3}));
        end(&bench, fused ? rig_op2(rig, "Mul", y, rig_input(rig, DIMS(4, 1, 2, 1))) : y, fused ? "ccc" : "c-");
    }
}
END_TEST

/* Of whole tensors: what depends on the order of its terms keeps it. */
START_TEST(extremes_walk)
{
    static const char *const ops[] = {"ReduceMax", "ReduceMin", "ReduceSum"};
    for (int i = 0; i < 3; i++) {
        struct bench bench;
        struct value *x = begin(&bench, DTYPE_F32, DIMS(4, 3, 2, 5));
        const struct attribute scalar = ATTRIBUTE_I("keepdims", 0);
        end(&bench, rig_node(&bench.rig, ops[i], 1, &x, 1, &scalar), i < 2 ? "c-" : "--");
    }
}
END_TEST

START_TEST(normalization_walks)
{
    struct bench bench;
    struct rig *rig = &bench.rig;
    for (int fused = 0; fused < 2; fused++) {
        struct value *x = begin(&bench, DTYPE_F32, DIMS(4, 3, 5));
        struct value *inputs[] = {x, rig_input(rig, DIMS(3, 5)), rig_input(rig, DIMS(3, 5))};
        struct value *y =
            rig_node(rig, "LayerNormalization", 3, inputs, 1, (struct attribute[]){ATTRIBUTE_I("axis", 1)});
        end(&bench, fused ? rig_op2(rig, "Mul", y, rig_input(rig, DIMS(3, 1))) : y, fused ? "c--cc" : "----");
    }
}
END_TEST

START_TEST(normalization_of_channels_walks)
{
    struct bench bench;
    struct rig *rig = &bench.rig;
    struct value *x = begin(&bench, DTYPE_F32, DIMS(4, 6, 5));
    struct value *inputs[] = {x, rig_input(rig, DIMS(6)), rig_input(rig, DIMS(6))};
    struct value *y = rig_node(rig, "InstanceNormalization", 3, inputs, 0, NULL);
    end(&bench, rig_op1(rig, "Exp", y), "c--c");
}
END_TEST

START_TEST(gather_walks)
{
    struct bench bench;
    struct rig *rig = &bench.rig;
    struct value *x = begin(&bench, DTYPE_F32, DIMS(4, 6, 5));
    end(&bench,
        rig_node(rig, "Gather", 2, (struct value *[]){x, rig_ints(rig, 4, (int64_t[]){5, 0, -1, 2})}, 1,
                 (struct attribute[]){ATTRIBUTE_I("axis", 1)}),
        "w-c");
    x = begin(&bench, DTYPE_F32, DIMS(4, 3, 5));
    int64_t *pairs = region_array(&rig->maker.region, 6, sizeof *pairs);
    memcpy(pairs, (int64_t[]){0, 2, 3, -1, 1, 1}, 6 * sizeof *pairs);
    end(&bench, rig_op2(rig, "GatherND", x, graph_add_constant(rig->graph, "pairs", DTYPE_I64, DIMS(3, 2), pairs)),
        "w-c");
}
END_TEST

START_TEST(other_families_do_not)
{
    struct bench bench;
    struct value *x = begin(&bench, DTYPE_F32, DIMS(4, 6));
    end(&bench, rig_op1(&bench.rig, "Softmax", x), "--");
}
END_TEST

/* --- what is no relocation ------------------------------------------------------------------------------- */

static bool covers(struct copy_params params, bool from_output)
{
    struct relocation relocation;
    return relocation_of_copy(&(struct step){.params = &params}, from_output, &relocation);
}

START_TEST(a_copy_that_does_not_cover_a_tensor)
{
    const struct copy_params slice = {.rank = 2, .dims = {3, 2}, .input_strides = {5, 1}, .output_strides = {2, 1}};
    const struct copy_params repeat = {.rank = 2, .dims = {3, 2}, .input_strides = {0, 1}, .output_strides = {2, 1}};
    const struct copy_params later = {
        .rank = 1, .dims = {4}, .input_strides = {1}, .output_strides = {1}, .output_offset = 1};
    ck_assert(covers(slice, true) && !covers(slice, false));
    ck_assert(covers(repeat, true) && !covers(repeat, false));
    ck_assert(!covers(later, true) && covers(later, false));
    struct relocation relocation = relocation_of(turned(&later), true);
    ck_assert_int_eq(relocation.rank, 1);
    ck_assert_int_eq(relocated_offset(&relocation, 2), 3);
}
END_TEST

START_TEST(neighbours_are_one_axis)
{
    const struct copy_params p = {.rank = 4,
                                  .dims = {2, 3, 1, 4},
                                  .input_offset = 7,
                                  .input_strides = {24, 8, 99, 2},
                                  .output_strides = {12, 4, 50, 1}};
    struct relocation relocation = relocation_of(p, true);
    ck_assert_int_eq(relocation.rank, 1);
    ck_assert_int_eq(relocation.dims[0], 24);
    ck_assert_int_eq(relocation.strides[0], 2);
    ck_assert_int_eq(relocated_offset(&relocation, 5), 17);
    const struct copy_params one = {.rank = 0, .input_offset = 3};
    relocation = relocation_of(one, true);
    ck_assert_int_eq(relocation.rank, 0);
    ck_assert_int_eq(relocated_offset(&relocation, 0), 3);
}
END_TEST

/* A walk that leaves a row of the relocated tensor goes on in the next one, which is elsewhere. */
START_TEST(a_walk_across_rows)
{
    struct bench bench;
    struct value *x = begin(&bench, DTYPE_F32, DIMS(6));
    rig_output(&bench.rig, rig_op1(&bench.rig, "Exp", x));
    bench_begin(&bench);
    struct relocation rows = {.rank = 2, .dims = {4, 6}, .strides = {1, 4}},
                      narrow = {.rank = 2, .dims = {6, 4}, .strides = {1, 6}};
    struct region *region = &bench.rig.maker.region;
    ck_assert_ptr_nonnull(step_relocated(bench.step, 0, &rows, 0, &plain_facts, region));
    ck_assert_ptr_nonnull(step_relocated(bench.step, 0, &rows, 6, &plain_facts, region));
    ck_assert_ptr_null(step_relocated(bench.step, 0, &rows, 1, &plain_facts, region));
    ck_assert_ptr_null(step_relocated(bench.step, 0, &narrow, 0, &plain_facts, region)); /* 4 does not divide 6 */
    ck_assert_ptr_null(step_relocated(bench.step, 2, &rows, 0, &plain_facts, region));   /* no such operand */
    region_free(region);
}
END_TEST

Suite *walk_suite(void)
{
    Suite *suite = suite_create("walk");
    TCase *families = tcase_create("families");
    tcase_add_test(families, pointwise_walks);
    tcase_add_test(families, copy_walks);
    tcase_add_test(families, convolution_walks);
    tcase_add_test(families, pool_walks);
    tcase_add_test(families, product_walks);
    tcase_add_test(families, attention_walks);
    tcase_add_test(families, reduction_walks);
    tcase_add_test(families, extremes_walk);
    tcase_add_test(families, normalization_walks);
    tcase_add_test(families, normalization_of_channels_walks);
    tcase_add_test(families, gather_walks);
    tcase_add_test(families, other_families_do_not);
    suite_add_tcase(suite, families);
    TCase *relocations = tcase_create("relocations");
    tcase_add_test(relocations, a_copy_that_does_not_cover_a_tensor);
    tcase_add_test(relocations, neighbours_are_one_axis);
    tcase_add_test(relocations, a_walk_across_rows);
    suite_add_tcase(suite, relocations);
    return suite;
}
