/* Products of quantised operands, for what passes make of them. */
#include "tests/random_graph_maker.h"

#include <math.h>

static struct value *zero_point(struct random_maker *m, enum dtype dtype, int64_t zero)
{
    int8_t *data = region_allocate(m->graph->region, 1);
    *data = (int8_t)(uint8_t)zero;
    return graph_add_constant(m->graph, "", dtype, 0, NULL, data);
}

/* An input of the graph by 8 bits and back: nothing before it can have rounded otherwise. */
static struct value *there_and_back(struct random_maker *m)
{
    struct graph *graph = m->graph;
    struct value *x = m->values[roll(m->dice, 2)];
    struct value *integers = graph_add_value(graph, "", DTYPE_NONE, -1, NULL);
    struct value *inputs[3] = {x, random_scalar(m, 0.01 * (double)(1 + roll(m->dice, 2))),
                               zero_point(m, DTYPE_U8, 110 + roll(m->dice, 40))};
    struct error error = {0};
    struct node *made =
        graph_add_node(graph, op_find("", "QuantizeLinear"), 22, "quantize", 3, inputs, 1, &integers, 0, NULL);
    struct op_context c = {.graph = graph, .node = made, .error = &error};
    made->op->shapes(&c);
    inputs[0] = integers;
    return random_node(m, "DequantizeLinear", 3, inputs, 1, 0, NULL);
}

/* Weights of int8 with a scale, or one for each place along an axis. */
static struct value *small_weights(struct random_maker *m, int rank, const int64_t *dims, int64_t axis)
{
    int64_t elements;
    if (!shape_elements(rank, dims, &elements) || elements > RANDOM_MOST_ELEMENTS)
        return NULL;
    int8_t *data = region_allocate(m->graph->region, (size_t)elements);
    for (int64_t i = 0; i < elements; i++)
        data[i] = (int8_t)(roll(m->dice, 255) - 127);
    struct value *inputs[2] = {graph_add_constant(m->graph, "", DTYPE_I8, rank, dims, data), random_scalar(m, 0.01)};
    if (roll(m->dice, 2)) {
        inputs[1] = random_constant(m, 1, &dims[axis]);
        for (int64_t i = 0; i < dims[axis]; i++)
            ((float *)(uintptr_t)inputs[1]->data)[i] = 0.005f + 0.01f * fabsf(((const float *)inputs[1]->data)[i]);
    }
    return random_node(m, "DequantizeLinear", 2, inputs, 1, 1, (struct attribute[]){ATTRIBUTE_I("axis", axis)});
}

void random_integers(struct random_maker *m)
{
    struct value *x = there_and_back(m);
    if (x && x->rank == 4 && roll(m->dice, 2)) {
        const int64_t order[] = {0, 1, 3, 2};
        x = random_node(m, "Transpose", 1, &x, 1, 1, (struct attribute[]){ATTRIBUTE_LIST("perm", 4, order)});
    }
    if (!x)
        return;
    if (x->rank == 4) {
        int64_t dims[4] = {1 + roll(m->dice, 5), x->dims[1], 1 + roll(m->dice, 2), 1 + roll(m->dice, 2)};
        const int64_t pads[] = {0, roll(m->dice, 2), roll(m->dice, 2), 1};
        struct value *inputs[3] = {x, small_weights(m, 4, dims, 0), random_constant(m, 1, dims)};
        random_node(m, "Conv", 2 + (int)roll(m->dice, 2), inputs, 1, 1,
                    (struct attribute[]){ATTRIBUTE_LIST("pads", 4, pads)});
        return;
    }
    int64_t k = x->dims[x->rank - 1], n = 1 + roll(m->dice, 9), dims[2] = {k, n}, turned[2] = {n, k};
    if (x->rank == 2 && roll(m->dice, 2)) {
        float alpha = roll(m->dice, 2) ? 1 : 0.5f;
        random_node(m, "Gemm", 3, (struct value *[]){x, small_weights(m, 2, turned, 0), random_constant(m, 1, &n)}, 1,
                    2, (struct attribute[]){ATTRIBUTE_I("transB", 1), ATTRIBUTE_F("alpha", alpha)});
    } else {
        random_node2(m, "MatMul", x, small_weights(m, 2, dims, 1));
    }
}
