#include "formats/model_file_writer.h"
#include "graph/op.h"
#include "kernels/sort.h"

#include <string.h>

struct graph_writer {
    struct model_writer w;
    struct model_list graphs;  /* const struct graph *: breadth first, so a graph comes before those inside it */
    size_t value_count;        /* of all graphs */
    struct model_list ops;     /* struct versioned_op, beside the section of operators */
    struct model_list tensors; /* const struct value *: those of attributes, met in this walk */
    uint64_t next_graph;       /* the one that the next graph attribute holds */
};

struct versioned_op {
    const struct op *op;
    int version;
};

static void put(struct model_writer *w, enum model_section kind, const void *record, size_t bytes)
{
    model_append(w, &w->sections[kind], record, bytes);
}

static uint32_t string_index(struct model_writer *w, const char *text)
{
    return model_string_index(w, text, strlen(text));
}

/* Equal names have equal indices once the strings are numbered. */
static bool is_taken(struct model_writer *w, const char *name, uint32_t index)
{
    return !w->collecting && *name && !name_is_new(&w->names, index);
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static enum status write_value(struct model_writer *w, const struct value *value, int symbol_count)
{
    if (value->alias || value->dims_at_run || value->strided || value->strides)
        return error_set(w->error, STATUS_INVALID_ARGUMENT, "value '%s' belongs to a graph made for certain shapes",
                         value->name);
    struct value_record record = {
        .name = string_index(w, value->name),
        .dtype = (uint32_t)value->dtype,
        .rank = value->rank < 0 ? -1 : value->rank,
        .tensor = MODEL_NONE,
    };
    if (is_taken(w, value->name, record.name))
        return error_set(w->error, STATUS_INVALID_MODEL, "two values have the name '%s'", value->name);
    for (int i = 0; i < value->rank; i++)
        if (value->dims[i] < -symbol_count)
            return error_set(w->error, STATUS_INVALID_MODEL,
                             "value '%s' has a symbol as dimension %d that is not "
                             "among its graph's",
                             value->name, i);
    if (!model_dims_fit(value->rank, value->dims))
        return error_set(w->error, STATUS_INVALID_MODEL, "value '%s' has a shape of too many elements", value->name);
    if (value->data) {
        if (value->dtype == DTYPE_BOOL && !model_all_bools(value->data, value->bytes))
            return error_set(w->error, STATUS_INVALID_MODEL,
                             "constant '%s' is bool and holds bytes that are neither 0 "
                             "nor 1",
                             value->name);
        record.tensor = model_tensor_index(w, value->data, value->bytes);
    }
    put(w, SECTION_VALUES, &record, sizeof record);
    if (value->rank > 0)
        put(w, SECTION_DIMS, value->dims, (size_t)value->rank * sizeof value->dims[0]);
    return STATUS_OK;
}

static enum status write_graph_values(struct model_writer *w, const struct graph *graph)
{
    struct graph_record record = {
        .name = string_index(w, graph->name),
        .symbols = (uint32_t)graph->symbol_count,
        .values = (uint32_t)graph->value_count,
        .inputs = (uint32_t)graph->input_count,
        .outputs = (uint32_t)graph->output_count,
        .nodes = (uint32_t)graph->node_count,
    };
    put(w, SECTION_GRAPHS, &record, sizeof record);
    w->names.scope++;
    for (int i = 0; i < graph->symbol_count; i++) {
        uint32_t index = string_index(w, graph->symbols[i]);
        if (is_taken(w, graph->symbols[i], index))
            return error_set(w->error, STATUS_INVALID_MODEL, "two symbols have the name '%s'", graph->symbols[i]);
        put(w, SECTION_SYMBOLS, &index, sizeof index);
    }
    w->names.scope++;
    for (int i = 0; i < graph->value_count; i++)
        TRY(write_value(w, graph->values[i], graph->symbol_count));
    return STATUS_OK;
}

/* --- nodes -------------------------------------------------------------------------------------------------------- */

static enum status write_values(struct model_writer *w, enum model_section section, const struct graph *graph,
                                const char *of, int count, struct value *const *values)
{
    for (int i = 0; i < count; i++) {
        const struct value *value = values[i];
        if (value && (value->id < 0 || value->id >= graph->value_count || graph->values[value->id] != value))
            return error_set(w->error, STATUS_INVALID_MODEL, "'%s' uses value '%s', which its graph '%s' does not have",
                             of, value->name, graph->name);
        uint32_t index = value ? (uint32_t)value->id : MODEL_NONE;
        put(w, section, &index, sizeof index);
    }
    return STATUS_OK;
}

static enum status write_references(struct model_writer *w, const struct graph *graph, const char *of, int count,
                                    struct value *const *values)
{
    return write_values(w, SECTION_REFERENCES, graph, of, count, values);
}

static void write_attribute(struct graph_writer *g, const struct attribute *attribute)
{
    struct model_writer *w = &g->w;
    struct attribute_record record = {
        .name = string_index(w, attribute->name), .kind = (uint32_t)attribute->kind, .content = attribute->count};
    switch (attribute->kind) {
    case ATTRIBUTE_INT:
        memcpy(&record.content, &attribute->i, sizeof attribute->i);
        break;
    case ATTRIBUTE_FLOAT:
        record.content = 0;
        memcpy(&record.content, &attribute->f, sizeof attribute->f);
        break;
    case ATTRIBUTE_STRING:
        record.content = model_string_index(w, attribute->string, attribute->count);
        break;
    case ATTRIBUTE_TENSOR: /* the graphs' values come first; these follow in the order of the attributes */
        record.content = g->value_count + g->tensors.bytes / sizeof attribute->tensor;
        model_append(w, &g->tensors, &attribute->tensor, sizeof attribute->tensor);
        break;
    case ATTRIBUTE_GRAPH:
        record.content = g->next_graph++;
        break;
    case ATTRIBUTE_INTS:
        put(w, SECTION_INTS, attribute->ints, attribute->count * sizeof *attribute->ints);
        break;
    case ATTRIBUTE_FLOATS:
        put(w, SECTION_FLOATS, attribute->floats, attribute->count * sizeof *attribute->floats);
        break;
    case ATTRIBUTE_STRINGS:
        for (size_t i = 0; i < attribute->count; i++) {
            uint32_t index = string_index(w, attribute->strings[i]);
            put(w, SECTION_REFERENCES, &index, sizeof index);
        }
        break;
    }
    put(w, SECTION_ATTRIBUTES, &record, sizeof record);
}

static uint32_t operator_index(struct graph_writer *g, const struct node *node)
{
    struct model_writer *w = &g->w;
    const struct versioned_op *ops = (const void *)g->ops.items;
    uint32_t count = (uint32_t)(g->ops.bytes / sizeof *ops);
    for (uint32_t i = 0; i < count; i++)
        if (ops[i].op == node->op && ops[i].version == node->version)
            return i;
    struct versioned_op op = {node->op, node->version};
    struct operator_record record = {string_index(w, op.op->domain), string_index(w, op.op->name),
                                     (uint32_t)op.version};
    model_append(w, &g->ops, &op, sizeof op);
    put(w, SECTION_OPERATORS, &record, sizeof record);
    return count;
}

static enum status write_node(struct graph_writer *g, const struct graph *graph, const struct node *node)
{
    struct model_writer *w = &g->w;
    if (node->version < 1 || (!*node->op->domain && node->version > NEWEST_OPSET))
        return error_set(w->error, STATUS_UNSUPPORTED, "node '%s' needs %s of operator set %d; known are 1 to %d",
                         node->name, node->op->name, node->version, NEWEST_OPSET);
    struct node_record record = {
        .op = operator_index(g, node),
        .name = string_index(w, node->name),
        .inputs = (uint32_t)node->input_count,
        .outputs = (uint32_t)node->output_count,
        .sources = (uint32_t)node->source_count,
        .attributes = (uint32_t)node->attribute_count,
    };
    put(w, SECTION_NODES, &record, sizeof record);
    TRY(write_references(w, graph, node->name, node->input_count, node->inputs));
    TRY(write_references(w, graph, node->name, node->output_count, node->outputs));
    for (int i = 0; i < node->source_count; i++) {
        uint32_t index = string_index(w, node->sources[i]);
        put(w, SECTION_REFERENCES, &index, sizeof index);
    }
    w->names.scope++;
    for (int i = 0; i < node->attribute_count; i++) {
        const char *name = node->attributes[i].name;
        if (is_taken(w, name, string_index(w, name)))
            return error_set(w->error, STATUS_INVALID_MODEL, "node '%s' has two attributes '%s'", node->name, name);
        write_attribute(g, &node->attributes[i]);
    }
    return STATUS_OK;
}

static enum status write_graph_edges(struct graph_writer *g, const struct graph *graph)
{
    TRY(write_references(&g->w, graph, "inputs", graph->input_count, graph->inputs));
    TRY(write_references(&g->w, graph, "outputs", graph->output_count, graph->outputs));
    if (graph->defaults)
        TRY(write_values(&g->w, SECTION_DEFAULTS, graph, "defaults", graph->input_count, graph->defaults));
    for (int i = 0; i < graph->node_count; i++)
        TRY(write_node(g, graph, graph->nodes[i]));
    return STATUS_OK;
}

/* --- the model ---------------------------------------------------------------------------------------------------- */

static void write_metadata(struct model_writer *w, const struct model_metadata *metadata)
{
    if (!*metadata->name && !*metadata->producer && !*metadata->description && metadata->count == 0)
        return;
    struct metadata_record record = {string_index(w, metadata->name), string_index(w, metadata->producer),
                                     string_index(w, metadata->description)};
    put(w, SECTION_METADATA, &record, sizeof record);
    for (int i = 0; i < metadata->count; i++) {
        uint32_t pair[] = {string_index(w, metadata->keys[i]), string_index(w, metadata->values[i])};
        put(w, SECTION_METADATA, pair, sizeof pair);
    }
}

static void write_passes(struct model_writer *w, const struct model_metadata *metadata)
{
    for (int i = 0; i < metadata->pass_count; i++) {
        uint32_t index = string_index(w, metadata->passes[i]);
        put(w, SECTION_PASSES, &index, sizeof index);
    }
}

struct sorted_pack {
    const struct model_pack *pack;
    uint32_t tensor;
    uint64_t offset;
};

static int compare_packs(const void *a_pointer, const void *b_pointer)
{
    const struct sorted_pack *a = a_pointer, *b = b_pointer;
    if (a->tensor != b->tensor)
        return a->tensor < b->tensor ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static void write_pack(struct model_writer *w, const struct sorted_pack *sorted)
{
    const struct model_pack *pack = sorted->pack;
    struct pack_record record = {
        .set = string_index(w, pack->set),
        .family = string_index(w, pack->family),
        .form = pack->form,
        .tensor = sorted->tensor,
        .dtype = (uint32_t)pack->dtype,
        .rank = pack->rank,
        .source_offset = sorted->offset,
    };
    memcpy(record.dims, pack->dims, (size_t)pack->rank * sizeof record.dims[0]);
    memcpy(record.geometry, pack->geometry, sizeof record.geometry);
    model_append_pack(w, &record, pack->data, pack->bytes);
}

/* After all tensors. */
static enum status write_packs(struct model_writer *w, const struct model_metadata *metadata)
{
    struct sorted_pack *sorted = region_array(w->scratch, (size_t)metadata->pack_count, sizeof *sorted);
    size_t count = 0;
    if (!sorted)
        return error_set(w->error, STATUS_OUT_OF_MEMORY, "out of memory while writing the model");
    for (int i = 0; i < metadata->pack_count; i++) {
        const struct model_pack *pack = &metadata->packs[i];
        int64_t elements;
        struct sorted_pack *next = &sorted[count];
        next->pack = pack;
        if (shape_elements(pack->rank, pack->dims, &elements) &&
            (next->tensor = model_tensor_around(w, pack->source, dtype_bytes(pack->dtype, elements), &next->offset)) !=
                MODEL_NONE)
            count++;
    }
    if (count)
        sort_items(sorted, count, sizeof *sorted, compare_packs);
    for (size_t i = 0; i < count; i++)
        write_pack(w, &sorted[i]);
    return STATUS_OK;
}

static const struct graph *graph_at(const struct graph_writer *g, size_t index)
{
    return ((const struct graph *const *)(const void *)g->graphs.items)[index];
}

static size_t graph_count(const struct graph_writer *g)
{
    return g->graphs.bytes / sizeof(const struct graph *);
}

static void list_graphs(struct graph_writer *g, const struct graph *root)
{
    model_append(&g->w, &g->graphs, &root, sizeof root);
    for (size_t i = 0; i < graph_count(g); i++) {
        const struct graph *graph = graph_at(g, i);
        g->value_count += (size_t)graph->value_count;
        for (int n = 0; n < graph->node_count; n++)
            for (int a = 0; a < graph->nodes[n]->attribute_count; a++) {
                const struct attribute *attribute = &graph->nodes[n]->attributes[a];
                if (attribute->kind == ATTRIBUTE_GRAPH)
                    model_append(&g->w, &g->graphs, &attribute->graph, sizeof attribute->graph);
            }
    }
}

static enum status walk(struct graph_writer *g, const struct model_metadata *metadata)
{
    struct model_writer *w = &g->w;
    g->ops.bytes = g->tensors.bytes = 0;
    g->next_graph = 1;
    write_metadata(w, metadata);
    write_passes(w, metadata);
    for (size_t i = 0; i < graph_count(g); i++)
        TRY(write_graph_values(w, graph_at(g, i)));
    for (size_t i = 0; i < graph_count(g); i++)
        TRY(write_graph_edges(g, graph_at(g, i)));
    const struct value *const *tensors = (const void *)g->tensors.items;
    for (size_t i = 0; i < g->tensors.bytes / sizeof *tensors; i++) {
        w->names.scope++; /* they may share names */
        TRY(write_value(w, tensors[i], 0));
    }
    return metadata->pack_count ? write_packs(w, metadata) : STATUS_OK;
}

static enum status make_parts(const struct graph *graph, const struct model_metadata *metadata, struct region *scratch,
                              struct file_part **parts, size_t *part_count, struct error *error)
{
    static const struct model_metadata none = {.name = "", .producer = "", .description = ""};
    struct graph_writer g = {.w = {.scratch = scratch, .error = error, .collecting = true}};
    if (!metadata)
        metadata = &none;
    TRY(graph_validate(graph, error));
    list_graphs(&g, graph);
    TRY(walk(&g, metadata));
    TRY(model_number(&g.w));
    TRY(walk(&g, metadata));
    return model_assemble(&g.w, parts, part_count);
}

enum status model_write(const struct graph *graph, const struct model_metadata *metadata, struct region *region,
                        void **bytes, size_t *size, struct error *error)
{
    struct error unread = {0};
    struct region scratch;
    struct file_part *parts;
    size_t part_count;
    error = error ? error : &unread;
    region_init(&scratch, region->allocator);
    enum status status = make_parts(graph, metadata, &scratch, &parts, &part_count, error);
    if (status == STATUS_OK) {
        size_t total = 0;
        for (size_t i = 0; i < part_count; i++)
            total += parts[i].size;
        char *at = *bytes = region_buffer(region, total);
        *size = total;
        if (!at)
            status =
                error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for a model of %s bytes", grouped(total).text);
        for (size_t i = 0; at && i < part_count; at += parts[i++].size)
            memcpy(at, parts[i].bytes, parts[i].size);
    }
    region_free(&scratch);
    return status;
}

enum status model_save(const char *path, const struct graph *graph, const struct model_metadata *metadata,
                       const struct allocator *allocator, struct error *error)
{
    struct error unread = {0};
    struct region scratch;
    struct file_part *parts;
    size_t part_count;
    error = error ? error : &unread;
    region_init(&scratch, allocator);
    enum status status = make_parts(graph, metadata, &scratch, &parts, &part_count, error);
    if (status == STATUS_OK)
        status = file_write_parts(path, part_count, parts, error);
    region_free(&scratch);
    return status;
}
