/* The attributes of every operator (ops.def), and how a node's are read. */
#include "graph/op.h"

#include <float.h>
#include <string.h>

#define ALWAYS OPSETS(1, INT16_MAX)
#define SINCE(first) OPSETS(first, INT16_MAX)
#define BEFORE(end) OPSETS(1, end)
#define OPSETS(first, end) (first, end)
#define FIRST_OF(first, end) first
#define END_OF(first, end) end

#define ROW(opsets, attribute_presence, ...) \
    {.content = {__VA_ARGS__}, .since = FIRST_OF opsets, .until = END_OF opsets, .presence = (attribute_presence)},
#define OPTIONAL(type, key, opsets) ROW(opsets, ATTRIBUTE_OPTIONAL, .name = #key, .kind = ATTRIBUTE_##type)
#define REQUIRED(type, key, opsets) ROW(opsets, ATTRIBUTE_REQUIRED, .name = #key, .kind = ATTRIBUTE_##type)
#define INT(key, opsets, number) ROW(opsets, ATTRIBUTE_DEFAULT, .name = #key, .kind = ATTRIBUTE_INT, .i = (number))
#define FLOAT(key, opsets, number) ROW(opsets, ATTRIBUTE_DEFAULT, .name = #key, .kind = ATTRIBUTE_FLOAT, .f = (number))
#define TEXT(key, opsets, text) \
    ROW(opsets, ATTRIBUTE_DEFAULT, .name = #key, .kind = ATTRIBUTE_STRING, .count = sizeof(text) - 1, .string = (text))
#define ENTRIES(type, ...) (sizeof((const type[]){__VA_ARGS__}) / sizeof(type))
#define LIST(key, opsets, ...)                                                                                   \
    ROW(opsets, ATTRIBUTE_DEFAULT, .name = #key, .kind = ATTRIBUTE_INTS, .count = ENTRIES(int64_t, __VA_ARGS__), \
        .ints = (const int64_t[]){__VA_ARGS__})
#define WORDS(key, opsets, ...)                                                                                    \
    ROW(opsets, ATTRIBUTE_DEFAULT, .name = #key, .kind = ATTRIBUTE_STRINGS, .count = ENTRIES(char *, __VA_ARGS__), \
        .strings = (const char *const[]){__VA_ARGS__})

#define OP(op_name, rows) const struct op_attribute attributes_of_##op_name[] = {rows{.content = {.name = NULL}}};
#include "graph/ops.def"
#undef OP

const struct op_attribute *op_attribute(const struct op *op, int version, const char *name)
{
    const struct op_attribute *nearest = NULL;
    for (const struct op_attribute *row = op->attributes; row && row->content.name; row++) {
        if (strcmp(row->content.name, name) != 0)
            continue;
        nearest = row; /* the rows of a name are in order of opsets */
        if (version < row->until)
            break;
    }
    return nearest;
}

const char *attribute_kind_name(int kind)
{
    static const char *const names[] = {
        [ATTRIBUTE_INT] = "INT",       [ATTRIBUTE_FLOAT] = "FLOAT", [ATTRIBUTE_STRING] = "STRING",
        [ATTRIBUTE_TENSOR] = "TENSOR", [ATTRIBUTE_GRAPH] = "GRAPH", [ATTRIBUTE_INTS] = "INTS",
        [ATTRIBUTE_FLOATS] = "FLOATS", [ATTRIBUTE_TYPE] = "TYPE",   [ATTRIBUTE_STRINGS] = "STRINGS",
    };
    return (size_t)kind < sizeof names / sizeof *names && names[kind] ? names[kind] : "UNKNOWN";
}

const struct attribute *node_attribute_or_default(const struct node *node, const char *name, enum attribute_kind kind)
{
    const struct attribute *given = node_attribute_of(node, name, kind);
    if (given)
        return given;
    const struct op_attribute *row = op_attribute(node->op, node->version, name);
    return row && row->presence == ATTRIBUTE_DEFAULT && row->content.kind == kind ? &row->content : NULL;
}

int64_t node_int(const struct node *node, const char *name)
{
    const struct attribute *attribute = node_attribute_or_default(node, name, ATTRIBUTE_INT);
    return attribute ? attribute->i : 0;
}

float node_float(const struct node *node, const char *name)
{
    const struct attribute *attribute = node_attribute_or_default(node, name, ATTRIBUTE_FLOAT);
    return attribute ? attribute->f : 0;
}

int64_t op_int(const struct op_context *c, const char *name)
{
    return node_int(c->node, name);
}

float op_float(const struct op_context *c, const char *name)
{
    return node_float(c->node, name);
}

const char *op_string(const struct op_context *c, const char *name)
{
    return op_string_or(c, name, "");
}

int64_t op_int_or(const struct op_context *c, const char *name, int64_t fallback)
{
    const struct attribute *attribute = node_attribute_or_default(c->node, name, ATTRIBUTE_INT);
    return attribute ? attribute->i : fallback;
}

float op_float_or(const struct op_context *c, const char *name, float fallback)
{
    const struct attribute *attribute = node_attribute_or_default(c->node, name, ATTRIBUTE_FLOAT);
    return attribute ? attribute->f : fallback;
}

const char *op_string_or(const struct op_context *c, const char *name, const char *fallback)
{
    const struct attribute *attribute = node_attribute_or_default(c->node, name, ATTRIBUTE_STRING);
    return attribute ? attribute->string : fallback;
}

const int64_t *op_int_list(const struct op_context *c, const char *name, int *count)
{
    const struct attribute *attribute = node_attribute_or_default(c->node, name, ATTRIBUTE_INTS);
    *count = attribute ? (int)attribute->count : -1;
    return attribute ? attribute->ints : NULL;
}

const float *op_float_list(const struct op_context *c, const char *name, int *count)
{
    const struct attribute *attribute = node_attribute_or_default(c->node, name, ATTRIBUTE_FLOATS);
    *count = attribute ? (int)attribute->count : -1;
    return attribute ? attribute->floats : NULL;
}

const struct graph *op_graph(const struct op_context *c, const char *name)
{
    const struct attribute *attribute = node_attribute_of(c->node, name, ATTRIBUTE_GRAPH);
    return attribute ? attribute->graph : NULL;
}

bool op_has(const struct op_context *c, const char *name)
{
    return node_attribute(c->node, name) != NULL;
}
