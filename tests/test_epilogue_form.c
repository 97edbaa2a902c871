/* What an epilogue means: the same program as a pointwise step, by tile and by form, to the bit. */
#include "kernels/epilogue.h"
#include "kernels/reciprocal.h"
#include "tests/kernel_run.h"
#include "tests/step_test.h"
#include "tests/suites.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OWN_INPUTS 2
#define RUBBISH 0x5a

static int64_t up_to(uint64_t *state, int64_t most)
{
    return 1 + (int64_t)(next_random(state) % (uint64_t)most);
}

static bool chance(uint64_t *state, uint64_t one_in)
{
    return next_random(state) % one_in == 0;
}

/* A program that rides on results of a random space, and memory for its operands. */
struct rider {
    struct pointwise_builder builder;
    struct pointwise_room room;
    struct epilogue epilogue;
    int axes[EPILOGUE_AXES + 1];       /* of the program, by axis of the space */
    int expected[EPILOGUE_OPERATIONS]; /* opcodes */
    int expected_count;
    uint8_t x; /* register */
    void *memory[POINTWISE_MAX_OPERANDS];
    size_t bytes[POINTWISE_MAX_OPERANDS];
};

/* --- random spaces and operands -------------------------------------------------------------------------- */

/* Each axis of the space becomes one of the program, or two, or none. */
static void make_space(struct rider *r, uint64_t *state)
{
    const int64_t most[EPILOGUE_AXES] = {2, 9, 40};
    struct pointwise_builder *b = &r->builder;
    *r = (struct rider){.epilogue = {.own_inputs = OWN_INPUTS}};
    for (int i = 0; i < EPILOGUE_AXES; i++) {
        int64_t inner = chance(state, 2) ? up_to(state, 4) : 1, outer = up_to(state, chance(state, 4) ? 1 : most[i]);
        r->axes[i] = b->rank;
        r->epilogue.dims[i] = inner * outer;
        if (outer > 1)
            b->dims[b->rank++] = outer;
        if (inner > 1)
            b->dims[b->rank++] = inner;
    }
    r->axes[EPILOGUE_AXES] = b->rank;
    b->input_count = 1;
    b->output_count = 1;
}

/* Gives axes a place one after the other, in a random order and with gaps; those left out repeat. */
static void place_axes(const struct rider *r, const bool *along, int64_t *strides, uint64_t *state)
{
    int64_t reach = up_to(state, 2);
    bool rows_inside = chance(state, 2);
    for (int k = EPILOGUE_AXES - 1; k >= 0; k--) {
        int i = k > 0 && rows_inside ? EPILOGUE_AXES - k : k;
        for (int axis = r->axes[i + 1] - 1; axis >= r->axes[i]; axis--) {
            strides[axis] = along[i] ? reach : 0;
            reach *= along[i] ? r->builder.dims[axis] : 1;
        }
        reach += chance(state, 3);
    }
}

/* Makes an operand repeat whole runs of the rows or columns, where an axis of these is made of two. Which it was;
 * EPILOGUE_BATCH: none. */
static enum epilogue_axis bend(const struct rider *r, int64_t *strides)
{
    for (int i = EPILOGUE_ROWS; i < EPILOGUE_AXES; i++)
        if (r->axes[i + 1] - r->axes[i] == 2 && strides[r->axes[i + 1] - 1] != 0) {
            strides[r->axes[i]] = 0;
            return (enum epilogue_axis)i;
        }
    return EPILOGUE_BATCH;
}

static enum epilogue_axis bend_one(struct rider *r)
{
    enum epilogue_axis axis = EPILOGUE_BATCH;
    for (int i = 1; i < r->builder.input_count && axis == EPILOGUE_BATCH; i++)
        axis = bend(r, r->builder.operands[i].strides);
    return axis;
}

/* Input number, its values as f32 in a register. */
static uint8_t add_operand(struct rider *r, uint64_t *state, uint8_t *input)
{
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F32, DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_I8,
                                        DTYPE_U8,  DTYPE_I16, DTYPE_U16, DTYPE_I32, DTYPE_U32};
    struct pointwise_builder *b = &r->builder;
    struct pointwise_operand *operand = &b->operands[b->input_count];
    bool whole = chance(state, 4), along[EPILOGUE_AXES];
    for (int i = 0; i < EPILOGUE_AXES; i++)
        along[i] = whole || chance(state, 3);
    operand->dtype = (uint8_t)dtypes[next_random(state) % (sizeof dtypes / sizeof *dtypes)];
    place_axes(r, along, operand->strides, state);
    *input = (uint8_t)b->input_count;
    return (uint8_t)b->input_count++;
}

/* --- random programs ------------------------------------------------------------------------------------- */

static void emit(struct rider *r, uint8_t opcode, uint8_t class, uint8_t target, uint8_t a, uint8_t b)
{
    r->builder.code[r->builder.instruction_count++] =
        (struct pointwise_instruction){.opcode = opcode, .register_class = class, .target = target, .a = a, .b = b};
}

static double *immediates(struct rider *r)
{
    return r->builder.code[r->builder.instruction_count - 1].immediate;
}

static void expect_operation(struct rider *r, uint8_t opcode)
{
    r->expected[r->expected_count++] = opcode;
}

#define MOST_INPUTS 6

/* A register that x may move to: one of two. */
static uint8_t other_register(const struct rider *r)
{
    return r->x == MOST_INPUTS ? MOST_INPUTS + 1 : MOST_INPUTS;
}

#define SIDE_REGISTER (2 * MOST_INPUTS + 2)

static uint8_t add_single(struct rider *r, uint64_t *state)
{
    uint8_t input, operand = add_operand(r, state, &input);
    if (pointwise_class_of((enum dtype)r->builder.operands[input].dtype) == CLASS_F32)
        return operand;
    emit(r, POINTWISE_TO_F32, CLASS_I64, (uint8_t)(MOST_INPUTS + 1 + input), operand, 0);
    return (uint8_t)(MOST_INPUTS + 1 + input);
}

/* A value made of two operands, and of the first once more. */
static uint8_t add_side(struct rider *r, uint64_t *state)
{
    uint8_t first = add_single(r, state), second = add_single(r, state);
    emit(r, POINTWISE_SUB, CLASS_F32, SIDE_REGISTER, first, second);
    emit(r, POINTWISE_HARD_SIGMOID, CLASS_F32, SIDE_REGISTER, SIDE_REGISTER, 0);
    emit(r, POINTWISE_DIV, CLASS_F32, SIDE_REGISTER + 1, first, SIDE_REGISTER);
    expect_operation(r, POINTWISE_MOVE);
    expect_operation(r, POINTWISE_SUB);
    expect_operation(r, POINTWISE_HARD_SIGMOID);
    expect_operation(r, POINTWISE_DIV);
    return SIDE_REGISTER + 1;
}

static void add_binary(struct rider *r, uint8_t opcode, uint64_t *state)
{
    bool side = r->builder.input_count + 2 <= MOST_INPUTS && r->expected_count < 5 && chance(state, 4);
    uint8_t operand = side ? add_side(r, state) : add_single(r, state), target = other_register(r);
    bool reversed = chance(state, 2);
    emit(r, opcode, CLASS_F32, target, reversed ? operand : r->x, reversed ? r->x : operand);
    r->x = target;
    expect_operation(r, opcode);
}

/* x (x + operand), or x - x operand. */
static void add_kept(struct rider *r, uint64_t *state)
{
    uint8_t before = r->x, operand = add_single(r, state), target = other_register(r);
    bool first = chance(state, 2);
    emit(r, first ? POINTWISE_ADD : POINTWISE_MUL, CLASS_F32, target, before, operand);
    emit(r, first ? POINTWISE_MUL : POINTWISE_SUB, CLASS_F32, before, before, target);
    expect_operation(r, POINTWISE_MOVE);
    expect_operation(r, first ? POINTWISE_ADD : POINTWISE_MUL);
    expect_operation(r, first ? POINTWISE_MUL : POINTWISE_SUB);
}

static void add_unary(struct rider *r, uint8_t opcode, double p, double q)
{
    emit(r, opcode, CLASS_F32, other_register(r), r->x, 0);
    immediates(r)[0] = p;
    immediates(r)[1] = q;
    r->x = other_register(r);
    expect_operation(r, opcode);
}

static void add_operation(struct rider *r, uint64_t *state)
{
    static const uint8_t binary[] = {POINTWISE_ADD, POINTWISE_ADD, POINTWISE_MUL, POINTWISE_SUB,
                                     POINTWISE_DIV, POINTWISE_MIN, POINTWISE_MAX, POINTWISE_PRELU};
    static const struct {
        uint8_t opcode;
        double p, q;
    } unary[] = {{POINTWISE_CLAMP, 0, 6},
                 {POINTWISE_ROUND, 0, 0},
                 {POINTWISE_ROUND_F16, 0, 0},
                 {POINTWISE_ROUND_BF16, 0, 0},
                 {POINTWISE_RELU, 0, 0},
                 {POINTWISE_LEAKY_RELU, 0.1, 0},
                 {POINTWISE_HARD_SIGMOID, 1. / 6, 0.5},
                 {POINTWISE_HARD_SWISH, 0, 0},
                 {POINTWISE_SIGMOID, 0, 0},
                 {POINTWISE_SWISH, 1.702, 0},
                 {POINTWISE_TANH, 0, 0},
                 {POINTWISE_GELU, 0, 0},
                 {POINTWISE_GELU_TANH, 0, 0},
                 {POINTWISE_NEG, 0, 0},
                 {POINTWISE_ABS, 0, 0},
                 {POINTWISE_ELU, 0.7, 0},
                 {POINTWISE_SELU, 1.7, 1.1},
                 {POINTWISE_CELU, 0.7, 0},
                 {POINTWISE_MISH, 0, 0},
                 {POINTWISE_SOFTPLUS, 0, 0},
                 {POINTWISE_SOFTSIGN, 0, 0}};
    size_t which = (size_t)(next_random(state) % (sizeof unary / sizeof *unary));
    if (chance(state, 5)) {
        emit(r, POINTWISE_MOVE, CLASS_F32, other_register(r), r->x, 0);
        r->x = other_register(r);
    }
    if (r->x >= MOST_INPUTS && r->builder.input_count < MOST_INPUTS && r->expected_count < 8 && chance(state, 6))
        add_kept(r, state);
    else if (r->builder.input_count < MOST_INPUTS && chance(state, 2))
        add_binary(r, binary[next_random(state) % sizeof binary], state);
    else
        add_unary(r, unary[which].opcode, unary[which].p, unary[which].q);
}

static void finish_integer(struct rider *r, enum dtype dtype)
{
    double low = dtype_is_signed_integer(dtype) ? -ldexp(1, (int)dtype_bits(dtype) - 1) : 0;
    add_unary(r, POINTWISE_CLAMP, low, low + ldexp(1, (int)dtype_bits(dtype)) - 1);
    emit(r, POINTWISE_TO_I64, CLASS_F32, other_register(r), r->x, 0);
    r->x = other_register(r);
}

static void make_program(struct rider *r, uint64_t *state)
{
    static const enum dtype outputs[] = {DTYPE_F32, DTYPE_F32, DTYPE_F16, DTYPE_BF16,
                                         DTYPE_U8,  DTYPE_I8,  DTYPE_U16, DTYPE_I16};
    struct pointwise_builder *b = &r->builder;
    enum dtype to = outputs[next_random(state) % 8];
    const bool whole[EPILOGUE_AXES] = {true, true, true};
    make_space(r, state);
    b->operands[0].dtype = chance(state, 4) ? DTYPE_I32 : DTYPE_F32;
    contiguous_strides(b->rank, b->dims, b->operands[0].strides);
    r->x = 0;
    if (b->operands[0].dtype == DTYPE_I32) {
        emit(r, POINTWISE_TO_F32, CLASS_I64, MOST_INPUTS, 0, 0);
        r->x = MOST_INPUTS;
    }
    for (int64_t i = up_to(state, 8); i > 0 && r->expected_count < EPILOGUE_OPERATIONS - 1; i--)
        add_operation(r, state);
    if (pointwise_class_of(to) != CLASS_F32)
        finish_integer(r, to);
    struct pointwise_operand *output = &b->operands[b->input_count];
    *output = (struct pointwise_operand){.dtype = (uint8_t)to, .reg = r->x};
    place_axes(r, whole, output->strides, state);
}

/* --- memory ---------------------------------------------------------------------------------------------- */

static void make_memory(struct rider *r, uint64_t *state)
{
    const struct pointwise_params *p = pointwise_build(&r->builder, &r->room);
    r->epilogue.program = p;
    for (int i = 0; i < pointwise_operand_count(p); i++) {
        int64_t elements = 1;
        for (int axis = 0; axis < p->rank; axis++)
            elements += (p->dims[axis] - 1) * p->operands[i].strides[axis];
        r->bytes[i] = dtype_bytes((enum dtype)p->operands[i].dtype, elements);
        r->memory[i] = malloc(r->bytes[i]);
        fill_random((enum dtype)p->operands[i].dtype, r->memory[i], elements, chance(state, 2), state);
    }
}

static void *fresh_output(const struct rider *r)
{
    size_t bytes = r->bytes[r->builder.input_count];
    return memset(malloc(bytes), RUBBISH, bytes);
}

static void free_rider(struct rider *r)
{
    for (int i = 0; i <= r->builder.input_count; i++)
        free(r->memory[i]);
}

static void expect_same(const struct rider *r, const void *a, const void *b, const char *what)
{
    enum dtype dtype = (enum dtype)r->builder.operands[r->builder.input_count].dtype;
    int64_t elements = (int64_t)(r->bytes[r->builder.input_count] * 8 / dtype_bits(dtype));
    ck_assert_msg(same_elements(dtype, a, b, elements), "%s differs", what);
}

/* --- three ways ------------------------------------------------------------------------------------------ */

typedef void store_tile(const struct rider *r, const struct kernel_call *call, const struct epilogue_tile *tile);

static void by_program(const struct rider *r, const struct kernel_call *call, const struct epilogue_tile *tile)
{
    size_t bytes = epilogue_workspace(&r->epilogue);
    void *workspace = aligned_alloc(ALIGNMENT, bytes);
    memset(workspace, RUBBISH, bytes);
    epilogue_run(&r->epilogue, call, tile, workspace);
    free(workspace);
}

static void by_form(const struct rider *r, const struct kernel_call *call, const struct epilogue_tile *tile)
{
    struct epilogue_form form;
    ck_assert(epilogue_recognise(&r->epilogue, &form));
    epilogue_apply_form(&r->epilogue, &form, call, tile);
}

/* The vector code, built for each set. */
#define SET(suffix)                                                                                                  \
    void epilogue_store_##suffix(const struct epilogue *, const struct epilogue_form *, const struct kernel_call *,  \
                                 const struct epilogue_tile *, void *);                                              \
    static void by_##suffix(const struct rider *r, const struct kernel_call *call, const struct epilogue_tile *tile) \
    {                                                                                                                \
        struct epilogue_form form;                                                                                   \
        ck_assert(epilogue_recognise(&r->epilogue, &form));                                                          \
        epilogue_store_##suffix(&r->epilogue, &form, call, tile, NULL);                                              \
    }
size_t epilogue_store_bytes_plain(const struct epilogue *, const struct epilogue_form *);
extern const struct kernel pointwise_plain;
SET(plain)
SET(avx2)
SET(avx512)

/* Whether vector code gives the program's results to the bit. */
static bool is_exact(const struct rider *r)
{
    for (int i = 0; i < r->expected_count; i++)
        if (r->expected[i] >= POINTWISE_ELU || r->expected[i] == POINTWISE_TANH)
            return false;
    return true;
}

#define MOST_GAP 2

/* Rows and columns of the results, so many bytes an element, moved to where the tile has them. */
static void gather_tile(const struct rider *r, struct epilogue_tile *tile, char *to, uint64_t *state)
{
    const int64_t *dims = r->epilogue.dims;
    size_t each = dtype_bits((enum dtype)r->builder.operands[0].dtype) / 8;
    bool down = chance(state, 2);
    int64_t gap = (int64_t)(next_random(state) % (MOST_GAP + 1));
    tile->row_stride = down ? 1 : tile->columns + gap;
    tile->column_stride = down ? tile->rows + gap : 1;
    tile->results = to;
    for (int64_t i = 0; i < tile->rows; i++)
        for (int64_t j = 0; j < tile->columns; j++) {
            int64_t from = (tile->batch * dims[1] + tile->row + i) * dims[2] + tile->column + j;
            memcpy(to + (size_t)(i * tile->row_stride + j * tile->column_stride) * each,
                   (const char *)r->memory[0] + (size_t)from * each, each);
        }
}

/* The whole space, in tiles of random sizes. */
static void store_all(const struct rider *r, store_tile *store, void *output, uint64_t *state)
{
    const void *inputs[OWN_INPUTS + POINTWISE_MAX_OPERANDS] = {NULL};
    void *outputs[1] = {output};
    struct fault fault = {0};
    struct kernel_call call = {.inputs = inputs, .outputs = outputs, .fault = &fault};
    const int64_t *dims = r->epilogue.dims;
    int64_t rows = up_to(state, dims[1]), columns = up_to(state, dims[2]);
    void *results = malloc((size_t)((rows + MOST_GAP) * (columns + MOST_GAP)) * sizeof(float));
    for (int i = 1; i < r->builder.input_count; i++)
        inputs[OWN_INPUTS + i - 1] = r->memory[i];
    for (int64_t batch = 0; batch < dims[0]; batch++)
        for (int64_t row = 0; row < dims[1]; row += rows)
            for (int64_t column = 0; column < dims[2]; column += columns) {
                struct epilogue_tile tile = {.batch = batch,
                                             .row = row,
                                             .rows = dims[1] - row < rows ? dims[1] - row : rows,
                                             .column = column,
                                             .columns = dims[2] - column < columns ? dims[2] - column : columns,
                                             .down = chance(state, 2)};
                gather_tile(r, &tile, results, state);
                store(r, &call, &tile);
            }
    free(results);
}

static void *as_pointwise(const struct rider *r)
{
    void *output = fresh_output(r);
    run_problem(FAMILY_pointwise, r->epilogue.program, &plain_facts, (const void *const *)r->memory,
                (void *[]){output});
    return output;
}

static void compare_with(const struct rider *r, store_tile *store, const void *expected, const char *what,
                         uint64_t *state)
{
    void *output = fresh_output(r);
    store_all(r, store, output, state);
    expect_same(r, expected, output, what);
    free(output);
}

static void without_form(const struct rider *r, const struct kernel_call *call, const struct epilogue_tile *tile)
{
    size_t bytes = epilogue_store_bytes_plain(&r->epilogue, NULL);
    void *workspace = aligned_alloc(ALIGNMENT, bytes);
    memset(workspace, RUBBISH, bytes);
    epilogue_store_plain(&r->epilogue, NULL, call, tile, workspace);
    free(workspace);
}

/* The program as a step of its own, by vector code. */
static void *as_vector_step(const struct rider *r)
{
    void *output = fresh_output(r);
    struct region region;
    struct kernel_plan plan;
    region_init(&region, &default_allocator);
    ck_assert(kernel_make_plan(&pointwise_plain, r->epilogue.program, &plain_facts, &region, &plan));
    run_planned(&pointwise_plain, &plan, (const void *const *)r->memory, (void *[]){output}, false);
    region_free(&region);
    return output;
}

/* Whether a program rides along or is a step of its own, has a form or not: vector code gives the same bits. */
static void compare_sets(const struct rider *r, const void *expected, uint64_t *state)
{
    unsigned cpu = cpu_detect();
    void *step = as_vector_step(r);
    if (is_exact(r))
        expect_same(r, expected, step, "vector code");
    compare_with(r, by_plain, step, "the form by vector code", state);
    compare_with(r, without_form, step, "the tile by vector code", state);
    if ((cpu & CPU_AVX2) && (cpu & CPU_F16C))
        compare_with(r, by_avx2, step, "AVX2", state);
    if (cpu & CPU_AVX512)
        compare_with(r, by_avx512, step, "AVX-512", state);
    free(step);
}

#define BATCHES 8
#define RIDERS 400

START_TEST(tile_and_form_mean_the_program)
{
    uint64_t state = (uint64_t)_i;
    int bent = 0;
    for (int i = 0; i < RIDERS; i++) {
        struct rider r;
        struct epilogue_form form;
        make_program(&r, &state);
        enum epilogue_axis axis = chance(&state, 2) ? bend_one(&r) : EPILOGUE_BATCH;
        make_memory(&r, &state);
        ck_assert(epilogue_recognise(&r.epilogue, &form));
        ck_assert_int_eq(form.operation_count, r.expected_count);
        for (int k = 0; k < form.operation_count; k++)
            ck_assert_int_eq(form.operations[k].opcode, r.expected[k]);
        ck_assert((form.row_run < r.epilogue.dims[EPILOGUE_ROWS]) == (axis == EPILOGUE_ROWS));
        ck_assert((form.column_run < r.epilogue.dims[EPILOGUE_COLUMNS]) == (axis == EPILOGUE_COLUMNS));
        void *expected = as_pointwise(&r);
        compare_with(&r, by_program, expected, "the tile", &state);
        compare_with(&r, by_form, expected, "the form", &state);
        compare_sets(&r, expected, &state);
        free(expected);
        free_rider(&r);
        bent += axis != EPILOGUE_BATCH;
    }
    ck_assert_int_gt(bent, RIDERS / 20);
}
END_TEST

/* Around all numbers where the nearest integer changes. */
START_TEST(quotients_without_a_division)
{
    uint64_t state = 1;
    int trusted = 0, wrong = 0;
    struct reciprocal reciprocal;
    for (int i = 0; i < 500; i++) {
        float divisor = ldexpf(1 + (float)(next_random(&state) % 0x800000) * 0x1p-23F, (int)up_to(&state, 40) - 20);
        if (!find_reciprocal(divisor, &reciprocal))
            continue;
        trusted++;
        for (int half = -511; half < 512; half += 2) {
            float x = nextafterf(nextafterf((float)half / 2 * divisor, -INFINITY), -INFINITY);
            for (int k = 0; k < 5; k++, x = nextafterf(x, INFINITY))
                wrong += lrintf(x / divisor) != lrintf(fmaf(x, reciprocal.high, x * reciprocal.low));
        }
    }
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_gt(trusted, 490);
    ck_assert(!find_reciprocal(1.5F, &reciprocal));
}
END_TEST

Suite *epilogue_form_suite(void)
{
    Suite *suite = suite_create("epilogue_form");
    TCase *tests = tcase_create("epilogue forms");
    tcase_add_loop_test(tests, tile_and_form_mean_the_program, 0, BATCHES);
    tcase_add_test(tests, quotients_without_a_division);
    suite_add_tcase(suite, tests);
    return suite;
}
