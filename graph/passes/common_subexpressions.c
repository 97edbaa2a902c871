/* Nodes that compute the same from the same inputs are one. */
#include "graph/passes/rewrite.h"

/* Constants up to so many bytes are compared by what they hold; larger ones are the same where they are one value. */
#define LARGEST_COMPARED 4096

struct table {
    struct node **nodes; /* open addressing; NULL: free */
    uint64_t *hashes;
    size_t mask;
};

/* --- hashes ---------------------------------------------------------------------------------------------- */

/* FNV-1a, on whole words where the bytes allow it. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 29;
}

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *from = data;
    uint64_t word;
    for (; bytes >= sizeof word; bytes -= sizeof word, from += sizeof word) {
        memcpy(&word, from, sizeof word);
        hash = mix(hash, word);
    }
    for (; bytes > 0; bytes--)
        hash = mix(hash, *from++);
    return hash;
}

static bool is_compared(const struct value *value)
{
    return value->data && value->bytes <= LARGEST_COMPARED;
}

static uint64_t hash_input(const struct value *value)
{
    if (!value)
        return 1;
    if (!is_compared(value))
        return mix(2, (uint64_t)value->id);
    uint64_t hash = mix(mix(3, value->dtype), (uint64_t)value->rank);
    return hash_bytes(hash, value->data, value->bytes);
}

/* By name and kind alone; `same_attribute` looks closer. */
static uint64_t hash_attribute(const struct attribute *attribute)
{
    return hash_bytes(mix(4, attribute->kind), attribute->name, strlen(attribute->name));
}

static uint64_t hash_node(const struct node *node)
{
    uint64_t hash = hash_bytes(mix(5, (uint64_t)node->version), &node->op, sizeof node->op), attributes = 0;
    for (int i = 0; i < node->input_count; i++)
        hash = mix(hash, hash_input(node->inputs[i]));
    for (int i = 0; i < node->attribute_count; i++)
        attributes += hash_attribute(&node->attributes[i]); /* in any order */
    return mix(hash, attributes);
}

/* --- comparison ------------------------------------------------------------------------------------------ */

static bool same_content(const struct value *a, const struct value *b)
{
    return a->dtype == b->dtype && a->rank == b->rank && a->bytes == b->bytes &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0 &&
           memcmp(a->data, b->data, a->bytes) == 0;
}

static bool same_input(const struct value *a, const struct value *b)
{
    return a == b || (a && b && is_compared(a) && is_compared(b) && same_content(a, b));
}

static bool same_strings(const struct attribute *a, const struct attribute *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->strings[i], b->strings[i]) != 0)
            return false;
    return true;
}

static bool same_attribute(const struct attribute *a, const struct attribute *b)
{
    if (!b || a->kind != b->kind)
        return false;
    switch (a->kind) {
    case ATTRIBUTE_INT:
        return a->i == b->i;
    case ATTRIBUTE_FLOAT:
        return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case ATTRIBUTE_STRING:
        return a->count == b->count && memcmp(a->string, b->string, a->count) == 0;
    case ATTRIBUTE_TENSOR:
        return same_content(a->tensor, b->tensor);
    case ATTRIBUTE_INTS:
        return a->count == b->count && (a->count == 0 || memcmp(a->ints, b->ints, a->count * sizeof *a->ints) == 0);
    case ATTRIBUTE_FLOATS:
        return a->count == b->count &&
               (a->count == 0 || memcmp(a->floats, b->floats, a->count * sizeof *a->floats) == 0);
    case ATTRIBUTE_STRINGS:
        return a->count == b->count && same_strings(a, b);
    case ATTRIBUTE_GRAPH:
        return false;
    }
    return false;
}

/* Every output that `node` makes, `other` makes too. */
static bool same_outputs(const struct node *node, const struct node *other)
{
    for (int i = 0; i < node->output_count; i++)
        if (node->outputs[i] && !other->outputs[i])
            return false;
    return true;
}

static bool same_node(const struct node *node, const struct node *other)
{
    /* The number of outputs is an operand too: Split makes as many parts. */
    if (node->op != other->op || node->version != other->version || node->input_count != other->input_count ||
        node->attribute_count != other->attribute_count || node->output_count != other->output_count)
        return false;
    for (int i = 0; i < node->input_count; i++)
        if (!same_input(node->inputs[i], other->inputs[i]))
            return false;
    for (int i = 0; i < node->attribute_count; i++)
        if (!same_attribute(&node->attributes[i], node_attribute(other, node->attributes[i].name)))
            return false;
    return same_outputs(node, other);
}

/* --- the pass -------------------------------------------------------------------------------------------- */

/* The slot of a node that is the same, or the free one where this belongs. */
static size_t find(const struct table *table, const struct node *node, uint64_t hash)
{
    size_t slot = (size_t)hash & table->mask;
    while (table->nodes[slot] && (table->hashes[slot] != hash || !same_node(node, table->nodes[slot])))
        slot = (slot + 1) & table->mask;
    return slot;
}

static bool is_pinned(const struct rewriter *r, const struct node *node)
{
    for (int i = 0; i < node->output_count; i++)
        if (node->outputs[i] && pass_pins(r->context, node->outputs[i]))
            return true;
    return false;
}

static enum status visit(struct rewriter *r, struct node *node)
{
    struct table *table = r->user;
    if (node->op->flags & OP_RANDOM)
        return STATUS_OK;
    uint64_t hash = hash_node(node);
    size_t slot = find(table, node, hash);
    struct node *same = table->nodes[slot];
    if (!same) {
        table->nodes[slot] = node;
        table->hashes[slot] = hash;
        return STATUS_OK;
    }
    if (is_pinned(r, node) && node->output_count > 1)
        return STATUS_OK;
    TRY(rewrite_absorb(r, same, node));
    return is_pinned(r, node) ? rewrite_forward(r, node, same->outputs[0]) : rewrite_merge(r, node, same);
}

enum status merge_common_subexpressions(struct graph *graph, struct pass_context *context, struct error *error)
{
    size_t slots = 64;
    while (slots < 2 * (size_t)graph->node_count)
        slots *= 2;
    struct table table = {.mask = slots - 1};
    table.nodes = region_array(&context->scratch, slots, sizeof *table.nodes);
    table.hashes = region_array(&context->scratch, slots, sizeof *table.hashes);
    if (!table.nodes || !table.hashes)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while optimising graph '%s'", graph->name);
    return rewrite_graph_with(graph, context, visit, &table, error);
}
