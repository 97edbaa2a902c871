/* Which programs have a form, and when the axes of one come to those of an epilogue's space. */
#include "kernels/epilogue.h"
#include "tests/step_test.h"
#include "tests/suites.h"

#include <math.h>
#include <string.h>

/* A program that is written by hand. */
struct chain {
    struct pointwise_builder builder;
    struct pointwise_room room;
    struct epilogue epilogue;
};

static void emit(struct chain *c, uint8_t opcode, uint8_t class, uint8_t target, uint8_t a, uint8_t b)
{
    c->builder.code[c->builder.instruction_count++] =
        (struct pointwise_instruction){.opcode = opcode, .register_class = class, .target = target, .a = a, .b = b};
}

/* --- what is no form ------------------------------------------------------------------------------------- */

/* x of type f32, and operands 1 and 2 of f32, over one row of 4. */
static void begin_refusal(struct chain *c)
{
    *c = (struct chain){.epilogue = {.own_inputs = 2, .dims = {1, 1, 4}}};
    c->builder = (struct pointwise_builder){.rank = 1, .dims = {4}, .input_count = 3, .output_count = 1};
    for (int i = 0; i < 4; i++)
        c->builder.operands[i] = (struct pointwise_operand){.dtype = DTYPE_F32, .strides = {1}};
}

static bool is_form(struct chain *c, uint8_t result)
{
    struct epilogue_form form;
    c->builder.operands[3].reg = result;
    c->epilogue.program = pointwise_build(&c->builder, &c->room);
    return epilogue_recognise(&c->epilogue, &form);
}

START_TEST(what_is_no_chain_has_no_form)
{
    struct chain c;
    begin_refusal(&c);
    ck_assert(is_form(&c, 0)); /* nothing is done at all */
    ck_assert(!is_form(&c, 1));
    emit(&c, POINTWISE_ADD, CLASS_F32, 3, 0, 1);
    ck_assert(is_form(&c, 3));
    ck_assert(!is_form(&c, 0));                  /* what x was before */
    emit(&c, POINTWISE_MUL, CLASS_F32, 4, 3, 0); /* with what it was before */
    ck_assert(is_form(&c, 4));
    emit(&c, POINTWISE_MUL, CLASS_F32, 5, 4, 3); /* and in between, which would have to be kept as well */
    ck_assert(!is_form(&c, 5));
    begin_refusal(&c);
    emit(&c, POINTWISE_ADD, CLASS_F32, 3, 0, 1);
    emit(&c, POINTWISE_RELU, CLASS_F32, 4, 0, 0); /* of what it was before */
    ck_assert(!is_form(&c, 4));
    begin_refusal(&c);
    emit(&c, POINTWISE_MUL, CLASS_F32, 3, 0, 0);
    ck_assert(is_form(&c, 3));
    begin_refusal(&c);
    emit(&c, POINTWISE_MUL, CLASS_F32, 3, 1, 2); /* of operands alone */
    ck_assert(!is_form(&c, 3));
    emit(&c, POINTWISE_ADD, CLASS_F32, 4, 0, 3);
    ck_assert(is_form(&c, 4));
    emit(&c, POINTWISE_ADD, CLASS_F32, 5, 2, 1); /* another one on the side */
    emit(&c, POINTWISE_ADD, CLASS_F32, 6, 4, 5);
    ck_assert(is_form(&c, 6));
    emit(&c, POINTWISE_ADD, CLASS_F32, 7, 6, 3); /* the first one is gone */
    ck_assert(!is_form(&c, 7));
    begin_refusal(&c);
    emit(&c, POINTWISE_SIN, CLASS_F32, 3, 0, 0);
    ck_assert(!is_form(&c, 3));
    begin_refusal(&c);
    for (int i = 0; i < EPILOGUE_OPERATIONS; i++)
        emit(&c, POINTWISE_RELU, CLASS_F32, 0, 0, 0);
    ck_assert(is_form(&c, 0));
    emit(&c, POINTWISE_RELU, CLASS_F32, 0, 0, 0);
    ck_assert(!is_form(&c, 0)); /* too long */
}
END_TEST

START_TEST(other_types_have_no_form)
{
    static const enum dtype dtypes[] = {DTYPE_F64, DTYPE_I64, DTYPE_U64, DTYPE_BOOL, DTYPE_U4, DTYPE_F8E4M3FN};
    struct chain c;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        uint8_t class = (uint8_t)pointwise_class_of(dtypes[i]);
        begin_refusal(&c);
        c.builder.operands[0].dtype = (uint8_t)dtypes[i];
        if (class != CLASS_F32)
            emit(&c, POINTWISE_TO_F32, class, 0, 0, 0);
        ck_assert(!is_form(&c, 0));
        begin_refusal(&c);
        c.builder.operands[1].dtype = (uint8_t)dtypes[i];
        if (class != CLASS_F32)
            emit(&c, POINTWISE_TO_F32, class, 1, 1, 0);
        emit(&c, POINTWISE_ADD, CLASS_F32, 0, 0, 1);
        ck_assert(!is_form(&c, 0));
        begin_refusal(&c);
        c.builder.operands[3].dtype = (uint8_t)dtypes[i];
        ck_assert(!is_form(&c, 0));
    }
    begin_refusal(&c); /* but for this one */
    c.builder.operands[0].dtype = DTYPE_I32;
    emit(&c, POINTWISE_TO_F32, CLASS_I64, 0, 0, 0);
    ck_assert(is_form(&c, 0));
    begin_refusal(&c); /* integer arithmetic */
    c.builder.operands[0].dtype = c.builder.operands[1].dtype = DTYPE_I32;
    emit(&c, POINTWISE_ADD, CLASS_I64, 0, 0, 1);
    emit(&c, POINTWISE_TO_F32, CLASS_I64, 0, 0, 0);
    ck_assert(!is_form(&c, 0));
    begin_refusal(&c); /* an integer that is read as it lies */
    c.builder.operands[0].dtype = DTYPE_I32;
    ck_assert(!is_form(&c, 0));
}
END_TEST

START_TEST(integers_are_stored_within_their_range_alone)
{
    static const struct {
        enum dtype to;
        double low, high;
        bool fits;
    } cases[] = {{DTYPE_U8, 0, 255, true},         {DTYPE_U8, 0, 256, false},   {DTYPE_U8, -1, 255, false},
                 {DTYPE_I8, -128, 127, true},      {DTYPE_I8, -10, 10, true},   {DTYPE_I8, -129, 127, false},
                 {DTYPE_I16, -32768, 32767, true}, {DTYPE_U16, 0, 65535, true}, {DTYPE_U16, 0, 65536, false},
                 {DTYPE_U8, NAN, 255, false},      {DTYPE_I32, 0, 255, false},  {DTYPE_F32, 0, 255, false}};
    struct chain c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin_refusal(&c);
        emit(&c, POINTWISE_CLAMP, CLASS_F32, 3, 0, 0);
        memcpy(c.builder.code[0].immediate, (const double[]){cases[i].low, cases[i].high}, 2 * sizeof(double));
        emit(&c, POINTWISE_TO_I64, CLASS_F32, 4, 3, 0);
        c.builder.operands[3].dtype = (uint8_t)cases[i].to;
        ck_assert_msg(is_form(&c, 4) == cases[i].fits, "case %zu", i);
    }
    begin_refusal(&c);
    emit(&c, POINTWISE_TO_I64, CLASS_F32, 4, 0, 0);
    c.builder.operands[3].dtype = DTYPE_U8;
    ck_assert(!is_form(&c, 4)); /* not clamped: wraps */
}
END_TEST

/* --- axes ------------------------------------------------------------------------------------------------ */

/* Where each operand's elements lie, in C order of the axes. */
static void list_offsets(const struct pointwise_params *p, int operand, int64_t *offsets, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i;
        offsets[i] = 0;
        for (int axis = p->rank - 1; axis >= 0; axis--) {
            offsets[i] += rest % p->dims[axis] * p->operands[operand].strides[axis];
            rest /= p->dims[axis];
        }
    }
}

/* Whether an axis of the program begins where each axis of the space does. */
static bool makes_up(const struct pointwise_params *p, const int64_t *dims)
{
    int64_t behind = 1, wanted = 1;
    int axis = p->rank;
    for (int i = EPILOGUE_AXES - 1; i > 0; i--) {
        wanted *= dims[i];
        while (behind < wanted)
            behind *= p->dims[--axis];
        if (behind != wanted)
            return false;
    }
    return true;
}

/* Programs of any axes over the same elements: where they come to the axes of the space, no walk has changed. */
START_TEST(axes_change_and_walks_do_not)
{
    int64_t before[240], after[240];
    uint64_t state = (uint64_t)_i;
    int fitting = 0, others = 0;
    for (int i = 0; i < 2000; i++) {
        static const int64_t cuts[][3] = {{2, 10, 12}, {240, 1, 1}, {1, 1, 240}, {4, 5, 12}, {15, 4, 4}, {3, 16, 5}};
        struct pointwise_builder b = {.input_count = 2, .output_count = 1};
        struct pointwise_room room;
        struct epilogue epilogue = {.own_inputs = 1};
        int64_t left = 240;
        while (left > 1 && b.rank < 5) {
            int64_t dim = b.rank == 4 ? left : 1 + (int64_t)(next_random(&state) % 6);
            if (left % dim == 0)
                left /= b.dims[b.rank++] = dim;
        }
        if (left > 1)
            continue;
        for (int k = 0; k < 3; k++) {
            int64_t stride = 1;
            b.operands[k].dtype = DTYPE_F32;
            for (int axis = b.rank - 1; axis >= 0; axis--) {
                bool repeats = k == 1 && next_random(&state) % 2 == 0;
                b.operands[k].strides[axis] = repeats ? 0 : stride;
                stride *= repeats ? 1 : b.dims[axis];
            }
        }
        struct pointwise_params *p = pointwise_build(&b, &room);
        memcpy(epilogue.dims, cuts[next_random(&state) % 6], sizeof epilogue.dims);
        list_offsets(p, 1, before, 240);
        bool fits = epilogue_fit(&epilogue, p);
        list_offsets(p, 1, after, 240);
        ck_assert_mem_eq(before, after, sizeof before);
        ck_assert(!fits || makes_up(p, epilogue.dims));
        fitting += fits;
        others += !fits;
    }
    ck_assert_int_gt(fitting, 100);
    ck_assert_int_gt(others, 100);
}
END_TEST

Suite *epilogue_recognise_suite(void)
{
    Suite *suite = suite_create("epilogue_recognise");
    TCase *tests = tcase_create("which programs have a form");
    tcase_add_test(tests, what_is_no_chain_has_no_form);
    tcase_add_test(tests, other_types_have_no_form);
    tcase_add_test(tests, integers_are_stored_within_their_range_alone);
    tcase_add_loop_test(tests, axes_change_and_walks_do_not, 0, 4);
    suite_add_tcase(suite, tests);
    return suite;
}
