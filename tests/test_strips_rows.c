/* Which operators are made some rows at a time, and which rows of their input those need, against all taps one by one.
 */
#include "graph/passes/strips_rows.h"
#include "tests/suites.h"

#include <check.h>
#include <string.h>

static struct region region;

/* A node of two inputs at most, whose shapes are known; no name: no attribute. */
struct cut_case {
    const char *op;
    int64_t input[4], second[4], output[4];
    struct attribute attributes[3];
    int rank, second_rank; /* 0: 4; -1: there is no second input */
    bool constant;         /* the second input */
    bool cut;
};

static struct node *make(struct graph *graph, const struct cut_case *c, int attribute_count)
{
    static const float numbers[256];
    int rank = c->rank ? c->rank : 4, second = c->second_rank ? c->second_rank : 4;
    struct value *inputs[2] = {graph_add_value(graph, "x", DTYPE_F32, rank, c->input)}, *output;
    output = graph_add_value(graph, "y", DTYPE_F32, rank, c->output);
    if (second > 0)
        inputs[1] = c->constant ? graph_add_constant(graph, "w", DTYPE_F32, second, c->second, numbers)
                                : graph_add_value(graph, "w", DTYPE_F32, second, c->second);
    return graph_add_node(graph, op_find("", c->op), NEWEST_OPSET, "node", second > 0 ? 2 : 1, inputs, 1, &output,
                          attribute_count, c->attributes);
}

static const int64_t threes[] = {3, 3}, twos[] = {2, 2};

#define IMAGE      \
    {              \
        1, 2, 6, 4 \
    }
#define THREE_BY_THREE ATTRIBUTE_LIST("kernel_shape", 2, threes)
#define NEAREST ATTRIBUTE_TEXT("mode", "nearest")
#define AS(coordinates) ATTRIBUTE_TEXT("coordinate_transformation_mode", coordinates)
#define ALONE .second_rank = -1

START_TEST(what_is_cut)
{
    const struct cut_case cases[] = {
        {"Relu", IMAGE, .output = IMAGE, ALONE, .cut = true},
        {"Relu", {1, 2, 2, 4}, .output = {1, 2, 2, 4}, ALONE, .cut = true},
        {"Relu", {1, 2, 1, 4}, .output = {1, 2, 1, 4}, ALONE, .cut = false},
        {"Relu", {1, 2, 6}, .output = {1, 2, 6}, .rank = 3, ALONE, .cut = true},
        {"Relu", {2, 6}, .output = {2, 6}, .rank = 2, ALONE, .cut = false},
        {"Add", IMAGE, IMAGE, IMAGE, .cut = true},
        {"Add", IMAGE, {1, 2, 1, 4}, IMAGE, .cut = true},
        {"Add", IMAGE, {1, 2, 1, 4}, IMAGE, .constant = true, .cut = true},
        {"Add", IMAGE, IMAGE, IMAGE, .constant = true, .cut = false},
        {"Add", IMAGE, {2, 6, 4}, IMAGE, .second_rank = 3, .cut = false},
        {"Add", IMAGE, {2, 1, 4}, IMAGE, .second_rank = 3, .cut = true},
        {"Add", IMAGE, {4}, IMAGE, .second_rank = 1, .cut = true},
        {"Concat", IMAGE, IMAGE, {1, 4, 6, 4}, {ATTRIBUTE_I("axis", 1)}, .cut = true},
        {"Concat", IMAGE, IMAGE, {1, 2, 12, 4}, {ATTRIBUTE_I("axis", 2)}, .cut = false},
        {"Concat", IMAGE, IMAGE, {1, 2, 12, 4}, {ATTRIBUTE_I("axis", -2)}, .cut = false},
        {"Concat", IMAGE, IMAGE, {1, 2, 6, 8}, {ATTRIBUTE_I("axis", -1)}, .cut = true},
        {"LRN", IMAGE, .output = IMAGE, .attributes = {ATTRIBUTE_I("size", 3)}, ALONE, .cut = true},
        {"Softmax", IMAGE, .output = IMAGE, ALONE, .cut = false},
        {"MaxPool", IMAGE, .output = {1, 2, 4, 2}, .attributes = {THREE_BY_THREE}, ALONE, .cut = true},
        {"MaxPool", {1, 2, 3, 4}, .output = {1, 2, 1, 2}, .attributes = {THREE_BY_THREE}, ALONE, .cut = false},
        {"Conv", IMAGE, {3, 2, 3, 3}, {1, 3, 4, 2}, .constant = true, .cut = true},
        {"Conv", {1, 2, 1, 4}, {3, 2, 1, 3}, {1, 3, 1, 2}, .constant = true, .cut = false},
        {"ConvInteger", IMAGE, {3, 2, 3, 3}, {1, 3, 4, 2}, .constant = true, .cut = true},
        {"QuantizeLinear", IMAGE, {1}, IMAGE, .second_rank = 1, .constant = true, .cut = true},
        {"QuantizeLinear", IMAGE, {6}, IMAGE, {ATTRIBUTE_I("axis", 2)}, .second_rank = 1, .constant = true},
        {"DequantizeLinear", IMAGE, {1}, IMAGE, .second_rank = 1, .cut = true},
        {"DequantizeLinear", IMAGE, {2}, IMAGE, {ATTRIBUTE_I("axis", -3)}, .second_rank = 1, .cut = false},
        {"ConvTranspose", IMAGE, {2, 3, 3, 3}, {1, 3, 8, 6}, .constant = true, .cut = true},
        {"Upsample", IMAGE, .output = {1, 2, 12, 4}, .attributes = {NEAREST}, ALONE, .cut = false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rows_map map;
        int attributes = 0;
        region_init(&region, &default_allocator);
        while (attributes < 3 && cases[i].attributes[attributes].name)
            attributes++;
        struct graph *graph = graph_create(&region, "rows");
        ck_assert_msg(rows_map_of(graph, make(graph, &cases[i], attributes), &map) == cases[i].cut, "case %zu, %s", i,
                      cases[i].op);
        region_free(&region);
    }
}
END_TEST

/* Resize by sizes that are constant: x, no region, no scales, sizes. */
static bool repeats(const char *coordinates, const char *nearest, int64_t rows, int64_t *factor)
{
    const int64_t sizes[] = {1, 2, rows, 8}, four = 4;
    struct attribute attributes[] = {NEAREST, AS(""), ATTRIBUTE_TEXT("nearest_mode", "")};
    struct rows_map map;
    attributes[1].string = coordinates;
    attributes[1].count = strlen(coordinates);
    attributes[2].string = nearest;
    attributes[2].count = strlen(nearest);
    region_init(&region, &default_allocator);
    struct graph *graph = graph_create(&region, "rows");
    struct value *x = graph_add_value(graph, "x", DTYPE_F32, 4, (int64_t[])IMAGE);
    struct value *y = graph_add_value(graph, "y", DTYPE_F32, 4, sizes);
    struct value *inputs[] = {x, NULL, NULL, graph_add_constant(graph, "sizes", DTYPE_I64, 1, &four, sizes)};
    struct node *node =
        graph_add_node(graph, op_find("", "Resize"), NEWEST_OPSET, "node", 4, inputs, 1, &y, 3, attributes);
    bool cut = rows_map_of(graph, node, &map);
    *factor = map.factors[ROW_AXIS];
    ck_assert(!cut || map.kind == ROWS_REPEAT);
    region_free(&region);
    return cut;
}

START_TEST(rows_that_are_repeated)
{
    int64_t factor;
    ck_assert(repeats("asymmetric", "floor", 12, &factor));
    ck_assert_int_eq(factor, 2);
    ck_assert(repeats("half_pixel", "round_prefer_floor", 18, &factor));
    ck_assert_int_eq(factor, 3);
    ck_assert(repeats("asymmetric", "floor", 6, &factor));
    ck_assert_int_eq(factor, 1);
    ck_assert(!repeats("asymmetric", "floor", 9, &factor));
    ck_assert(!repeats("asymmetric", "floor", 3, &factor));
    ck_assert(!repeats("asymmetric", "ceil", 12, &factor));
    ck_assert(!repeats("align_corners", "round_prefer_floor", 24, &factor));
}
END_TEST

/* --- rows of windows ------------------------------------------------------------------------------------- */

/* The rows of the input under the taps of output rows `made`: of a convolution, or of a transposed one. */
static struct rows under_taps(const struct rows_map *map, struct rows made)
{
    const struct window *w = &map->window;
    const int axis = map->axis;
    struct rows seen = {w->input[axis], 0};
    int64_t taken = (w->kernel[axis] - 1) * w->dilation[axis] - w->pad[axis];
    for (int64_t o = made.first; o < made.end; o++)
        for (int64_t k = 0; k < w->kernel[axis]; k++)
            for (int64_t i = 0; i < w->input[axis]; i++) {
                bool tap = map->kind == ROWS_WINDOW ? i == o * w->stride[axis] - w->pad[axis] + k * w->dilation[axis]
                                                    : o + taken == i * w->spread[axis] + k * w->dilation[axis];
                if (tap && i < seen.first)
                    seen.first = i;
                if (tap && i >= seen.end)
                    seen.end = i + 1;
            }
    return seen;
}

static void check_rows(const char *op, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad)
{
    const int64_t strides[] = {stride, 1}, dilations[] = {dilation, 1}, pads[] = {pad, 0, pad, 0};
    const int64_t extent = (kernel - 1) * dilation + 1;
    bool spread = strcmp(op, "ConvTranspose") == 0;
    const int64_t rows = spread ? (7 - 1) * stride + extent - 2 * pad : (7 + 2 * pad - extent) / stride + 1;
    const struct cut_case c = {.op = op,
                               .input = {1, 2, 7, 4},
                               .second = {2, 2, kernel, 1},
                               .output = {1, 2, rows, 4},
                               .attributes = {ATTRIBUTE_LIST("strides", 2, strides),
                                              ATTRIBUTE_LIST("dilations", 2, dilations),
                                              ATTRIBUTE_LIST("pads", 4, pads)},
                               .constant = true};
    struct rows_map map;
    region_init(&region, &default_allocator);
    struct graph *graph = graph_create(&region, "rows");
    if (rows > 1 && rows_map_of(graph, make(graph, &c, 3), &map))
        for (struct rows made = {0}; made.first < rows; made.first++)
            for (made.end = made.first + 1; made.end <= rows; made.end++) {
                struct rows needed, seen = under_taps(&map, made), whole = rows_made(&map, made);
                ck_assert(whole.first == made.first && whole.end == made.end);
                bool found = rows_needed(&map, made, &needed);
                bool any = seen.first < seen.end;
                ck_assert_msg(!found || (needed.first >= 0 && needed.end <= 7 && needed.first < needed.end),
                              "%s: rows %d to %d", op, (int)needed.first, (int)needed.end);
                if (!spread && found && dilation == 1)
                    ck_assert(needed.first == seen.first && needed.end == seen.end);
                if (found && any)
                    ck_assert(needed.first <= seen.first && needed.end >= seen.end);
                if (spread && any) /* one row more where a tap would lie in front */
                    ck_assert(needed.first >= seen.first - 1);
                ck_assert(found || !spread);
            }
    region_free(&region);
}

START_TEST(rows_under_windows)
{
    for (int64_t kernel = 1; kernel <= 4; kernel++)
        for (int64_t stride = 1; stride <= 3; stride++)
            for (int64_t dilation = 1; dilation <= 2; dilation++)
                for (int64_t pad = 0; pad <= (kernel - 1) * dilation; pad++) {
                    check_rows("Conv", kernel, stride, dilation, pad);
                    check_rows("ConvTranspose", kernel, stride, dilation, pad);
                }
}
END_TEST

/* Rows that a repetition makes are whole groups of it. */
START_TEST(rows_of_repetitions)
{
    const struct rows_map map = {.kind = ROWS_REPEAT, .factors = {1, 1, 3, 1}};
    for (struct rows wanted = {0}; wanted.first < 9; wanted.first++)
        for (wanted.end = wanted.first + 1; wanted.end <= 9; wanted.end++) {
            struct rows made = rows_made(&map, wanted), needed;
            ck_assert(made.first % 3 == 0 && made.end % 3 == 0);
            ck_assert(made.first <= wanted.first && wanted.first - made.first < 3);
            ck_assert(made.end >= wanted.end && made.end - wanted.end < 3);
            ck_assert(rows_needed(&map, made, &needed));
            ck_assert(needed.first == made.first / 3 && needed.end == made.end / 3);
        }
}
END_TEST

/* What says how the whole is padded is replaced, all else stays. */
START_TEST(attributes_of_some_rows)
{
    const int64_t pads[] = {1, 1, 1, 1};
    const struct cut_case c = {
        .op = "MaxPool",
        .input = IMAGE,
        .output = {1, 2, 3, 2},
        .attributes = {THREE_BY_THREE, ATTRIBUTE_LIST("strides", 2, twos), ATTRIBUTE_LIST("pads", 4, pads)},
        ALONE};
    static const int64_t expected[3][4] = {{1, 1, 0, 1}, {0, 1, 0, 1}, {0, 1, 0, 1}};
    struct rows_map map;
    int count;
    region_init(&region, &default_allocator);
    struct graph *graph = graph_create(&region, "rows");
    struct node *node = make(graph, &c, 3);
    ck_assert(rows_map_of(graph, node, &map));
    for (int64_t row = 0; row < 3; row++) {
        const struct attribute *list = rows_attributes(graph, node, &map, (struct rows){row, row + 1}, &count);
        ck_assert_int_eq(count, 3);
        ck_assert_str_eq(list[0].name, "kernel_shape");
        ck_assert_str_eq(list[1].name, "strides");
        ck_assert_str_eq(list[2].name, "pads");
        ck_assert_mem_eq(list[2].ints, expected[row], sizeof expected[row]);
    }
    region_free(&region);
}
END_TEST

Suite *strips_rows_suite(void)
{
    Suite *suite = suite_create("strips_rows");
    TCase *tests = tcase_create("rows");
    tcase_add_test(tests, what_is_cut);
    tcase_add_test(tests, rows_that_are_repeated);
    tcase_add_test(tests, rows_under_windows);
    tcase_add_test(tests, rows_of_repetitions);
    tcase_add_test(tests, attributes_of_some_rows);
    suite_add_tcase(suite, tests);
    return suite;
}
