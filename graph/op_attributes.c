/* The attributes of every operator (ops.def), and how a node's are read. */
#include "graph/op.h"

#include <float.h>
#include <string.h>

#define ALWAYS OPSETS(1, OPSET_END)
#define SINCE(first) OPSETS(first, OPSET_END)
#define BEFORE(end) OPSETS(1, end)
#define OPSETS(first, end) (first, end)
#define FIRST_OF(first, end) first
#define END_OF(first, end) end

#define ROW(opsets, attribute_presence, ...) \
    {__VA_ARGS__, .since = FIRST_OF opsets, .until = END_OF opsets, .presence = (attribute_presence)},
#define OPTIONAL(type, key, opsets) ROW(opsets, ATTRIBUTE_OPTIONAL, .name = #key, .kind = ATTRIBUTE_##type)
#define REQUIRED(type, key, opsets) ROW(opsets, ATTRIBUTE_REQUIRED, .name = #key, .kind = ATTRIBUTE_##type)
#define INT(key, opsets, number) ROW(opsets, ATTRIBUTE_DEFAULT, .name = #key, .kind = ATTRIBUTE_INT, .i = (number))
#define FLOAT(key, opsets, number) ROW(opsets, ATTRIBUTE_DEFAULT, .name = #key, .kind = ATTRIBUTE_FLOAT, .f = (number))
#define TEXT(key, opsets, text) ROW(opsets, ATTRIBUTE_DEFAULT, .name = #key, .kind = ATTRIBUTE_STRING, .string = (text))
#define ENTRIES(type, ...) (sizeof((const type[]){__VA_ARGS__}) / sizeof(type))
#define LIST(key, opsets, ...)                                                                                   \
    ROW(opsets, ATTRIBUTE_DEFAULT, .name = #key, .kind = ATTRIBUTE_INTS, .count = ENTRIES(int64_t, __VA_ARGS__), \
        .ints = (const int64_t[]){__VA_ARGS__})
#define WORDS(key, opsets, ...)                                                                                    \
    ROW(opsets, ATTRIBUTE_DEFAULT, .name = #key, .kind = ATTRIBUTE_STRINGS, .count = ENTRIES(char *, __VA_ARGS__), \
        .strings = (const char *const[]){__VA_ARGS__})

#define OP(op_name, rows) rows
const struct op_attribute op_attributes[] = {
#include "graph/ops.def"
};
#undef OP
_Static_assert(sizeof op_attributes / sizeof *op_attributes == OP_ATTRIBUTE_COUNT, "a row is none or several");

const struct op_attribute *op_attribute(const struct op *op, int version, const char *name)
{
    const struct op_attribute *nearest = NULL;
    for (const struct op_attribute *row = op_first_attribute(op); row < op_attributes_end(op); row++) {
        if (strcmp(row->name, name) != 0)
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

/* The operator's default, of that kind; NULL: it has none. */
static const struct op_attribute *default_of(const struct node *node, const char *name, enum attribute_kind kind)
{
    const struct op_attribute *row = op_attribute(node->op, node->version, name);
    return row && row->presence == ATTRIBUTE_DEFAULT && row->kind == kind ? row : NULL;
}

static int64_t int_or(const struct node *node, const char *name, int64_t fallback)
{
    const struct attribute *given = node_attribute_of(node, name, ATTRIBUTE_INT);
    const struct op_attribute *row = given ? NULL : default_of(node, name, ATTRIBUTE_INT);
    return given ? given->i : row ? row->i : fallback;
}

static float float_or(const struct node *node, const char *name, float fallback)
{
    const struct attribute *given = node_attribute_of(node, name, ATTRIBUTE_FLOAT);
    const struct op_attribute *row = given ? NULL : default_of(node, name, ATTRIBUTE_FLOAT);
    return given ? given->f : row ? row->f : fallback;
}

static const char *string_or(const struct node *node, const char *name, const char *fallback)
{
    const struct attribute *given = node_attribute_of(node, name, ATTRIBUTE_STRING);
    const struct op_attribute *row = given ? NULL : default_of(node, name, ATTRIBUTE_STRING);
    return given ? given->string : row ? row->string : fallback;
}

int64_t node_int(const struct node *node, const char *name)
{
    return int_or(node, name, 0);
}

float node_float(const struct node *node, const char *name)
{
    return float_or(node, name, 0);
}

const char *node_string(const struct node *node, const char *name)
{
    return string_or(node, name, "");
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
    return node_string(c->node, name);
}

int64_t op_int_or(const struct op_context *c, const char *name, int64_t fallback)
{
    return int_or(c->node, name, fallback);
}

float op_float_or(const struct op_context *c, const char *name, float fallback)
{
    return float_or(c->node, name, fallback);
}

const char *op_string_or(const struct op_context *c, const char *name, const char *fallback)
{
    return string_or(c->node, name, fallback);
}

const int64_t *op_int_list(const struct op_context *c, const char *name, int *count)
{
    const struct attribute *given = node_attribute_of(c->node, name, ATTRIBUTE_INTS);
    const struct op_attribute *row = given ? NULL : default_of(c->node, name, ATTRIBUTE_INTS);
    *count = given ? (int)given->count : row ? row->count : -1;
    return given ? given->ints : row ? row->ints : NULL;
}

const float *op_float_list(const struct op_context *c, const char *name, int *count)
{
    const struct attribute *given = node_attribute_of(c->node, name, ATTRIBUTE_FLOATS);
    *count = given ? (int)given->count : -1;
    return given ? given->floats : NULL;
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
