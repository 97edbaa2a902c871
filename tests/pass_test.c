#include "tests/pass_test.h"

#include "graph/passes/numbers.h"
#include "graph/passes/passes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const struct evaluation plain_evaluation = {.facts = &plain_facts};

/* --- making ---------------------------------------------------------------------------------------------- */

void rig_begin(struct rig *rig)
{
    *rig = (struct rig){.maker = maker_start(), .dtype = DTYPE_F32, .reach = 1, .seed = 1};
    rig->graph = rig->maker.graph = graph_create(&rig->maker.region, "test");
}

static const char *name_of(struct rig *rig, char letter)
{
    return region_format(&rig->maker.region, "%c%d", letter, rig->graph->value_count);
}

static double next_number(struct rig *rig)
{
    rig->seed = rig->seed * 1103515245u + 12345u;
    return (double)(rig->seed >> 8 & 0xffff) / 32768 - 1;
}

struct value *rig_input(struct rig *rig, int rank, const int64_t *dims)
{
    struct value *input = graph_add_value(rig->graph, name_of(rig, 'i'), rig->dtype, rank, dims);
    memcpy(rig->input_dims[rig->input_count], input->dims, sizeof input->dims);
    ck_assert_int_lt(rig->input_count, RIG_MOST);
    return rig->inputs[rig->input_count++] = input;
}

struct value *rig_open_input(struct rig *rig, int rank, const int64_t *dims)
{
    struct value *input = rig_input(rig, rank, dims);
    for (int i = 0; i < rank; i++)
        input->dims[i] = graph_symbol(rig->graph, "");
    return input;
}

/* Integers are as the number is, or 100 times as large as a random one. */
static void store(enum dtype dtype, void *data, int64_t i, double number, bool random)
{
    int64_t integer = (int64_t)(random ? 100 * number : number);
    size_t bytes = dtype_bytes(dtype, 1);
    if (dtype == DTYPE_BOOL)
        ((uint8_t *)data)[i] = number > -0.3;
    else if (dtype_is_integer(dtype))
        memcpy((char *)data + (size_t)i * bytes, &integer, bytes);
    else
        numbers_write(dtype, data, i, 1, &number);
}

/* All of the same number, or of others between -reach and reach. */
static struct value *make_constant(struct rig *rig, enum dtype dtype, int rank, const int64_t *dims, double reach,
                                   const double *number)
{
    int64_t elements;
    ck_assert(shape_elements(rank, dims, &elements));
    void *data = region_allocate(&rig->maker.region, dtype_bytes(dtype, elements));
    for (int64_t i = 0; i < elements; i++)
        store(dtype, data, i, number ? *number : reach * next_number(rig), !number);
    return graph_add_constant(rig->graph, name_of(rig, 'c'), dtype, rank, dims, data);
}

struct value *rig_weights(struct rig *rig, int rank, const int64_t *dims)
{
    return make_constant(rig, rig->dtype, rank, dims, 1, NULL);
}

struct value *rig_number(struct rig *rig, int rank, const int64_t *dims, double number)
{
    return make_constant(rig, rig->dtype, rank, dims, 1, &number);
}

struct value *rig_ints(struct rig *rig, int count, const int64_t *ints)
{
    return make_ints(rig->graph, name_of(rig, 'c'), count, ints);
}

struct value *rig_node(struct rig *rig, const char *op, int input_count, struct value *const *inputs,
                       int attribute_count, const struct attribute *attributes)
{
    struct attribute *copies = region_array(rig->graph->region, (size_t)attribute_count + 1, sizeof *copies);
    for (int i = 0; i < attribute_count; i++) {
        copies[i] = attributes[i];
        if (attributes[i].kind != ATTRIBUTE_INTS)
            continue;
        int64_t *list = region_array(rig->graph->region, attributes[i].count + 1, sizeof *list);
        for (size_t k = 0; k < attributes[i].count; k++)
            list[k] = attributes[i].ints[k];
        copies[i].ints = list; /* the caller's may be gone before the graph is */
    }
    return make_node(rig->graph, op, name_of(rig, 'v'), input_count, inputs, attribute_count, copies);
}

struct value *rig_op1(struct rig *rig, const char *op, struct value *a)
{
    return rig_node(rig, op, 1, &a, 0, NULL);
}

struct value *rig_op2(struct rig *rig, const char *op, struct value *a, struct value *b)
{
    return rig_node(rig, op, 2, (struct value *[]){a, b}, 0, NULL);
}

struct value *rig_with(struct rig *rig, const char *op, struct value *x, double number)
{
    return rig_op2(rig, op, x, rig_number(rig, SCALAR_DIMS, number));
}

void rig_split(struct rig *rig, struct value *a, int64_t axis, int count, struct value **outputs)
{
    struct attribute attributes[] = {ATTRIBUTE_I("axis", axis), ATTRIBUTE_I("num_outputs", count)};
    for (int i = 0; i < count; i++)
        outputs[i] = graph_add_value(rig->graph, name_of(rig, 'v'), DTYPE_NONE, -1, NULL);
    graph_add_node(rig->graph, op_find("", "Split"), NEWEST_OPSET, outputs[0]->name, 1, &a, count, outputs, 2,
                   attributes);
}

void rig_output(struct rig *rig, struct value *output)
{
    ck_assert_int_lt(rig->output_count, RIG_MOST);
    rig->outputs[rig->output_count++] = output;
}

/* --- what the passes leave ------------------------------------------------------------------------------- */

static void list_nodes(struct node *const *nodes, int count, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i ? " " : "", nodes[i]->op->name);
    ck_assert_uint_lt(used, bytes);
}

static struct graph *optimised(struct rig *rig, size_t limit)
{
    struct error error = {0};
    struct pass_context context = {.resolve = {.evaluator = evaluator_of(&plain_evaluation), .constant_limit = limit},
                                   .on_host = true};
    graph_set_inputs(rig->graph, rig->input_count, rig->inputs);
    graph_set_outputs(rig->graph, rig->output_count, rig->outputs);
    struct graph *copy = graph_clone(rig->graph, &rig->maker.region);
    ck_assert_msg(run_passes(copy, &context, NULL, &error) == STATUS_OK, "%s", error.text);
    ck_assert_uint_le(context.constant_bytes, limit);
    ck_assert_msg(graph_validate(copy, &error) == STATUS_OK, "%s", error.text);
    return copy;
}

static struct segment specialised(struct rig *rig, struct graph *graph)
{
    struct error error = {0};
    struct segment segment;
    struct specialise_options options = {.facts = plain_facts, .fuse = true, .constant_limit = SIZE_MAX};
    for (int i = 0; i < graph->input_count; i++)
        memcpy(graph->inputs[i]->dims, rig->input_dims[i], sizeof rig->input_dims[i]);
    ck_assert_msg(specialise(graph, &options, &segment, &error) == STATUS_OK, "%s", error.text);
    return segment;
}

static void expect_same(const infer_tensor *a, const infer_tensor *b, double tolerance)
{
    ck_assert_int_eq(a->dtype, b->dtype);
    ck_assert_int_eq(a->rank, b->rank);
    ck_assert_uint_eq(a->bytes, b->bytes);
    ck_assert_mem_eq(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]);
    if (tolerance == 0) {
        ck_assert_mem_eq(a->data, b->data, a->bytes);
        return;
    }
    const struct value first = {.dtype = (enum dtype)a->dtype, .data = a->data};
    const struct value second = {.dtype = (enum dtype)b->dtype, .data = b->data};
    int64_t elements;
    double greatest = 0, x, y;
    shape_elements(a->rank, a->dims, &elements);
    for (int64_t i = 0; i < elements; i++)
        if (value_number_at(&second, i, &y))
            greatest = fmax(greatest, fabs(y));
    for (int64_t i = 0; i < elements; i++)
        ck_assert_msg(value_number_at(&first, i, &x) && value_number_at(&second, i, &y) &&
                          ((isnan(x) && isnan(y)) || x == y || fabs(x - y) <= tolerance * greatest),
                      "element %d is %g with passes, %g without", (int)i, x, y);
}

static void run_both(struct rig *rig, double tolerance)
{
    infer_tensor inputs[RIG_MOST], outputs[2][RIG_MOST];
    struct running running[2];
    memset(inputs, 0, sizeof inputs);
    memset(outputs, 0, sizeof outputs);
    for (int i = 0; i < rig->input_count; i++) {
        const struct value *input = rig->inputs[i];
        const struct value *data = make_constant(rig, input->dtype, input->rank, rig->input_dims[i], rig->reach, NULL);
        inputs[i] = (infer_tensor){.data = (void *)(uintptr_t)data->data,
                                   .dtype = (infer_dtype)data->dtype,
                                   .rank = data->rank,
                                   .bytes = data->bytes};
        memcpy(inputs[i].dims, data->dims, sizeof data->dims);
    }
    for (int way = 0; way < 2; way++) {
        infer_model *model =
            maker_finish(&rig->maker, rig->input_count, rig->inputs, rig->output_count, rig->outputs, NULL);
        running[way] = begin_way(model, way);
        run_well(running[way].context, inputs, (size_t)rig->input_count, outputs[way], (size_t)rig->output_count);
    }
    for (int i = 0; i < rig->output_count; i++)
        expect_same(&outputs[0][i], &outputs[1][i], tolerance);
    for (int way = 0; way < 2; way++) {
        infer_context_release(running[way].context);
        infer_session_release(running[way].session);
    }
}

void rig_expect(struct rig *rig, const char *once, const char *shaped, double tolerance)
{
    char text[600];
    struct graph *graph = optimised(rig, SIZE_MAX);
    list_nodes(graph->nodes, graph->node_count, text, sizeof text);
    if (once)
        ck_assert_str_eq(text, once);
    struct segment segment = specialised(rig, graph);
    list_nodes(segment.kept, segment.kept_count, text, sizeof text);
    if (shaped)
        ck_assert_str_eq(text, shaped);
    run_both(rig, tolerance);
    region_free(&rig->maker.region);
}

void rig_expect_limited(struct rig *rig, size_t limit, const char *once)
{
    char text[600];
    struct graph *graph = optimised(rig, limit);
    list_nodes(graph->nodes, graph->node_count, text, sizeof text);
    ck_assert_str_eq(text, once);
    region_free(&rig->maker.region);
}

void rig_expect_sources(struct rig *rig, int node, const char *sources)
{
    char text[600] = "";
    size_t used = 0;
    struct segment segment = specialised(rig, optimised(rig, SIZE_MAX));
    ck_assert_int_lt(node, segment.kept_count);
    for (int i = 0; i < segment.kept[node]->source_count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? " " : "", segment.kept[node]->sources[i]);
    ck_assert_str_eq(text, sources);
}

struct graph *rig_shaped(struct rig *rig)
{
    struct graph *graph = optimised(rig, SIZE_MAX);
    struct segment segment = specialised(rig, graph);
    graph->nodes = segment.kept;
    graph->node_count = graph->node_capacity = segment.kept_count;
    return graph;
}

/* --- one pass -------------------------------------------------------------------------------------------- */

static bool stands_for(const struct graph *graph, const char *name)
{
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i]->source_count; k++)
            if (strcmp(graph->nodes[i]->sources[k], name) == 0)
                return true;
    return false;
}

/* Every shape is known, as passes of PASS_SHAPED find it. */
static void make_shaped(struct graph *graph)
{
    struct specialise_options options = {.facts = plain_facts, .constant_limit = SIZE_MAX};
    struct segment segment;
    struct error error = {0};
    ck_assert_msg(specialise(graph, &options, &segment, &error) == STATUS_OK, "%s", error.text);
    ck_assert_int_eq(segment.rest_count, 0);
    graph->nodes = segment.kept;
    graph->node_count = graph->node_capacity = segment.kept_count;
}

/* Runs the pass; every node that was there must be among the sources then. */
static void run_one(struct graph *graph, pass_function *pass, enum pass_time time)
{
    struct pass_context context = {
        .resolve = {.evaluator = evaluator_of(&plain_evaluation), .constant_limit = SIZE_MAX},
        .shaped = time == PASS_SHAPED,
        .on_host = true};
    unsigned char pins[256] = {0};
    const char *names[64];
    struct error error = {0};
    if (context.shaped)
        make_shaped(graph);
    int count = graph->node_count;
    ck_assert(graph->value_count <= (int)sizeof pins && count <= 64);
    for (int i = 0; i < graph->output_count; i++)
        pins[graph->outputs[i]->id] = 1;
    context.pins = pins;
    context.pin_count = graph->value_count;
    for (int i = 0; i < count; i++)
        names[i] = graph->nodes[i]->name;
    ck_assert_msg(run_pass(pass, graph, &context, &error) == STATUS_OK, "%s", error.text);
    for (int i = 0; i < count; i++)
        ck_assert_msg(stands_for(graph, names[i]), "no node stands for '%s'", names[i]);
}

void rig_expect_pass(struct rig *rig, pass_function *pass, enum pass_time time, const char *nodes, double tolerance)
{
    char text[600];
    graph_set_inputs(rig->graph, rig->input_count, rig->inputs);
    graph_set_outputs(rig->graph, rig->output_count, rig->outputs);
    struct graph *graph = graph_clone(rig->graph, &rig->maker.region);
    run_one(graph, pass, time);
    list_nodes(graph->nodes, graph->node_count, text, sizeof text);
    ck_assert_str_eq(text, nodes);
    run_both(rig, tolerance);
    region_free(&rig->maker.region);
}
