/* Asserts that two graphs are the same in everything but where they lie. */
#ifndef INFER_TESTS_SAME_GRAPH_H
#define INFER_TESTS_SAME_GRAPH_H

#include "graph/graph.h"

#include <check.h>

static inline void assert_same_value(const struct value *a, const struct value *b)
{
    ck_assert_str_eq(a->name, b->name);
    ck_assert_int_eq(a->id, b->id);
    ck_assert_int_eq(a->dtype, b->dtype);
    ck_assert_int_eq(a->rank, b->rank);
    for (int i = 0; i < a->rank; i++)
        ck_assert_int_eq(a->dims[i], b->dims[i]);
    ck_assert_int_eq(a->data != NULL, b->data != NULL);
    ck_assert_uint_eq(a->bytes, b->bytes);
    if (a->bytes)
        ck_assert_mem_eq(a->data, b->data, a->bytes);
}

static inline void assert_same_graph(const struct graph *a, const struct graph *b);

static inline void assert_same_attribute(const struct attribute *a, const struct attribute *b)
{
    ck_assert_str_eq(a->name, b->name);
    ck_assert_int_eq(a->kind, b->kind);
    ck_assert_uint_eq(a->count, b->count);
    if (a->kind == ATTRIBUTE_TENSOR) {
        assert_same_value(a->tensor, b->tensor);
    } else if (a->kind == ATTRIBUTE_GRAPH) {
        assert_same_graph(a->graph, b->graph);
    } else if (a->kind == ATTRIBUTE_STRING) {
        ck_assert_mem_eq(a->string, b->string, a->count + 1);
    } else if (a->kind == ATTRIBUTE_STRINGS) {
        for (size_t i = 0; i < a->count; i++)
            ck_assert_str_eq(a->strings[i], b->strings[i]);
    } else if (a->kind == ATTRIBUTE_INT) {
        ck_assert_int_eq(a->i, b->i);
    } else if (a->kind == ATTRIBUTE_FLOAT) {
        ck_assert_mem_eq(&a->f, &b->f, sizeof a->f);
    } else if (a->count) {
        size_t each = a->kind == ATTRIBUTE_INTS ? sizeof *a->ints : sizeof *a->floats;
        ck_assert_mem_eq(a->ints, b->ints, a->count * each);
    }
}

static inline void assert_same_values(int count, struct value *const *a, struct value *const *b)
{
    for (int i = 0; i < count; i++)
        ck_assert_int_eq(a[i] ? a[i]->id : -1, b[i] ? b[i]->id : -1);
}

static inline void assert_same_node(const struct node *a, const struct node *b)
{
    ck_assert_ptr_eq(a->op, b->op);
    ck_assert_int_eq(a->version, b->version);
    ck_assert_str_eq(a->name, b->name);
    ck_assert_int_eq(a->input_count, b->input_count);
    ck_assert_int_eq(a->output_count, b->output_count);
    assert_same_values(a->input_count, a->inputs, b->inputs);
    assert_same_values(a->output_count, a->outputs, b->outputs);
    ck_assert_int_eq(a->source_count, b->source_count);
    for (int i = 0; i < a->source_count; i++)
        ck_assert_str_eq(a->sources[i], b->sources[i]);
    ck_assert_int_eq(a->attribute_count, b->attribute_count);
    for (int i = 0; i < a->attribute_count; i++)
        assert_same_attribute(&a->attributes[i], &b->attributes[i]);
}

static inline void assert_same_graph(const struct graph *a, const struct graph *b)
{
    ck_assert_str_eq(a->name, b->name);
    ck_assert_int_eq(a->value_count, b->value_count);
    ck_assert_int_eq(a->symbol_count, b->symbol_count);
    ck_assert_int_eq(a->node_count, b->node_count);
    ck_assert_int_eq(a->input_count, b->input_count);
    ck_assert_int_eq(a->output_count, b->output_count);
    for (int i = 0; i < a->value_count; i++)
        assert_same_value(a->values[i], b->values[i]);
    for (int i = 0; i < a->symbol_count; i++)
        ck_assert_str_eq(a->symbols[i], b->symbols[i]);
    for (int i = 0; i < a->node_count; i++)
        assert_same_node(a->nodes[i], b->nodes[i]);
    assert_same_values(a->input_count, a->inputs, b->inputs);
    assert_same_values(a->output_count, a->outputs, b->outputs);
    ck_assert_int_eq(a->defaults != NULL, b->defaults != NULL);
    if (a->defaults)
        assert_same_values(a->input_count, a->defaults, b->defaults);
}

#endif
