#include "tools/graph_text.h"

#include "graph/op.h"

#include <stdlib.h>

#define LONGEST_LIST 8  /* more numbers of an attribute, or of a constant, are cut short */
#define LONGEST_TEXT 60 /* bytes of a string shown */

const char *value_label(const struct value *value, char *buffer, size_t bytes)
{
    if (*value->name)
        return value->name;
    snprintf(buffer, bytes, "%%%d", value->id);
    return buffer;
}

static void print_typed(FILE *file, const struct graph *graph, const struct value *value)
{
    char label[24], shape[320];
    fputs(legible(value_label(value, label, sizeof label)).text, file);
    if (value->dtype != DTYPE_NONE)
        fprintf(file, " %s", dtype_name(value->dtype));
    if (value->rank >= 0)
        fprintf(file, " %s", value_shape_text(graph, value, shape, sizeof shape));
}

static void print_list_end(FILE *file, size_t count)
{
    if (count > LONGEST_LIST)
        fprintf(file, ",... %zu in all", count);
    fputc(']', file);
}

static void print_attribute(FILE *file, const struct attribute *attribute)
{
    size_t shown = attribute->count < LONGEST_LIST ? attribute->count : LONGEST_LIST;
    char shape[160];
    fprintf(file, " %s=", legible(attribute->name).text);
    switch (attribute->kind) {
    case ATTRIBUTE_INT:
        fprintf(file, "%lld", (long long)attribute->i);
        break;
    case ATTRIBUTE_FLOAT:
        fprintf(file, "%.9g", (double)attribute->f);
        break;
    case ATTRIBUTE_STRING:
        fprintf(file, "\"%.*s\"", LONGEST_TEXT, legible(attribute->string).text);
        break;
    case ATTRIBUTE_TENSOR:
        fprintf(file, "<%s %s>", dtype_name(attribute->tensor->dtype),
                value_shape_text(NULL, attribute->tensor, shape, sizeof shape));
        break;
    case ATTRIBUTE_GRAPH:
        fprintf(file, "{%d nodes}", attribute->graph->node_count);
        break;
    case ATTRIBUTE_INTS:
        for (size_t i = 0; i < shown; i++)
            fprintf(file, "%c%lld", i ? ',' : '[', (long long)attribute->ints[i]);
        break;
    case ATTRIBUTE_FLOATS:
        for (size_t i = 0; i < shown; i++)
            fprintf(file, "%c%.9g", i ? ',' : '[', (double)attribute->floats[i]);
        break;
    case ATTRIBUTE_STRINGS:
        for (size_t i = 0; i < shown; i++)
            fprintf(file, "%c\"%.*s\"", i ? ',' : '[', LONGEST_TEXT, legible(attribute->strings[i]).text);
        break;
    }
    if (attribute->kind >= ATTRIBUTE_INTS) {
        fputs(shown == 0 ? "[" : "", file);
        print_list_end(file, attribute->count);
    }
}

static void print_node(FILE *file, const struct graph *graph, const struct node *node, int indent)
{
    char label[24];
    fprintf(file, "%*s", indent, "");
    for (int i = 0; i < node->output_count; i++) {
        fputs(i ? ", " : "", file);
        if (node->outputs[i])
            print_typed(file, graph, node->outputs[i]);
        else
            fputc('_', file);
    }
    fprintf(file, " = %s%s%s(", node->op->domain, *node->op->domain ? "." : "", node->op->name);
    for (int i = 0; i < node->input_count; i++)
        fprintf(file, "%s%s", i ? ", " : "",
                node->inputs[i] ? legible(value_label(node->inputs[i], label, sizeof label)).text : "_");
    fputc(')', file);
    for (int i = 0; i < node->attribute_count; i++)
        print_attribute(file, &node->attributes[i]);
    fprintf(file, "  # %s", legible(node->name).text);
    for (int i = 0; i < node->source_count; i++)
        if (strcmp(node->sources[i], node->name) != 0)
            fprintf(file, " + %s", legible(node->sources[i]).text);
    fputc('\n', file);
}

static void print_values(FILE *file, const struct graph *graph, const char *what, int count,
                         struct value *const *values, int indent)
{
    for (int i = 0; i < count; i++) {
        fprintf(file, "%*s%s ", indent, "", what);
        print_typed(file, graph, values[i]);
        fputc('\n', file);
    }
}

/* graph_validate has bounded the depth: DEEPEST_SUBGRAPH. */
static void print_graph(FILE *file, const struct graph *graph, int indent)
{
    fprintf(file, "%*sgraph %s\n", indent, "", *graph->name ? legible(graph->name).text : "(no name)");
    indent += 2;
    for (int i = 0; i < graph->input_count; i++)
        print_values(file, graph, graph->defaults && graph->defaults[i] ? "optional input" : "input", 1,
                     &graph->inputs[i], indent);
    for (int i = 0; i < graph->value_count; i++)
        if (graph->values[i]->data)
            print_values(file, graph, "constant", 1, &graph->values[i], indent);
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = graph->nodes[i];
        print_node(file, graph, node, indent);
        for (int k = 0; k < node->attribute_count; k++)
            if (node->attributes[k].kind == ATTRIBUTE_GRAPH)
                print_graph(file, node->attributes[k].graph, indent + 2);
    }
    print_values(file, graph, "output", graph->output_count, graph->outputs, indent);
}

void graph_print(FILE *file, const struct graph *graph)
{
    print_graph(file, graph, 0);
}

/* --- Graphviz -------------------------------------------------------------------------------------------- */

static void dot_text(FILE *file, const char *text)
{
    const struct legible plain = legible(text);
    for (const char *c = plain.text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fputc('\\', file);
        fputc(*c, file);
    }
}

static void dot_value(FILE *file, const struct graph *graph, const struct value *value, const char *kind)
{
    char shape[320], label[24];
    fprintf(file, "  %s%d [shape=ellipse, label=\"", kind, value->id);
    dot_text(file, value_label(value, label, sizeof label));
    fprintf(file, "\\n%s ", dtype_name(value->dtype));
    dot_text(file, value_shape_text(graph, value, shape, sizeof shape));
    fputs("\"];\n", file);
}

/* An edge for each value that a node makes or the graph is given; constants would only be clutter. */
static void dot_edges(FILE *file, const struct graph *graph, const int *makers, int count, struct value *const *inputs,
                      const char *target)
{
    char shape[320];
    for (int i = 0; i < count; i++) {
        const struct value *value = inputs[i];
        if (!value || value->data || makers[value->id] == 0)
            continue;
        if (makers[value->id] > 0)
            fprintf(file, "  node%d -> %s [label=\"", makers[value->id] - 1, target);
        else
            fprintf(file, "  input%d -> %s [label=\"", value->id, target);
        dot_text(file, value_shape_text(graph, value, shape, sizeof shape));
        fputs("\"];\n", file);
    }
}

static void dot_nodes(FILE *file, const struct graph *graph, const int *makers)
{
    char target[24];
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = graph->nodes[i];
        fprintf(file, "  node%d [label=\"%s\\n", i, node->op->name);
        dot_text(file, node->name);
        fputs("\"];\n", file);
        snprintf(target, sizeof target, "node%d", i);
        dot_edges(file, graph, makers, node->input_count, node->inputs, target);
    }
}

static void dot_graph(FILE *file, const struct graph *graph, int *makers)
{
    fputs("digraph \"", file);
    dot_text(file, graph->name);
    fputs("\" {\n  node [shape=box, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n", file);
    for (int i = 0; i < graph->input_count; i++) {
        makers[graph->inputs[i]->id] = -1;
        dot_value(file, graph, graph->inputs[i], "input");
    }
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i]->output_count; k++)
            if (graph->nodes[i]->outputs[k])
                makers[graph->nodes[i]->outputs[k]->id] = i + 1;
    dot_nodes(file, graph, makers);
    for (int i = 0; i < graph->output_count; i++) {
        char target[24];
        snprintf(target, sizeof target, "output%d", graph->outputs[i]->id);
        dot_value(file, graph, graph->outputs[i], "output");
        dot_edges(file, graph, makers, 1, &graph->outputs[i], target);
    }
    fputs("}\n", file);
}

bool graph_dot(FILE *file, const struct graph *graph)
{
    /* By value id: 0 nothing, node + 1, or -1 for an input of the graph. */
    int *makers = calloc((size_t)graph->value_count + 1, sizeof *makers);
    if (makers)
        dot_graph(file, graph, makers);
    free(makers);
    return makers != NULL;
}
