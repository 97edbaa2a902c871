#include "formats/model_file_reader.h"

#include <string.h>

/* Graphs while they are read. Every table is read once from front to back, so nothing is shared between two owners and
 * the work is linear in the file. */
struct graph_reader {
    struct model_reader *r;
    uint32_t graph_count;
    struct graph **graphs; /* all made at first, so that an attribute can point to one that is read later */
    const uint8_t *graph_records;
    uint8_t *depths;       /* of the graphs: 0 for the first */
    uint32_t next_graph;   /* the one that the next graph attribute holds */
    uint32_t value_index;  /* of the next record among all values */
    struct value *tensors; /* of tensor attributes: the values after those of the graphs */
    uint32_t tensor_count, next_tensor;
    uint32_t first_tensor; /* its index among all values */
    const struct op **ops; /* of the operator table, each looked up when a node first uses it */
    bool *bools_checked;   /* for each tensor: it was found to hold zeros and ones */
};

static enum status no_memory(const struct model_reader *r)
{
    return error_set(r->error, STATUS_OUT_OF_MEMORY, "out of memory while reading it");
}

static enum status read_names(const struct model_reader *r, const uint8_t *indices, size_t count,
                              const char *const **result)
{
    const char **names = region_array(r->region, count, sizeof *names);
    if (!names)
        return no_memory(r);
    for (size_t i = 0; i < count; i++)
        TRY(model_name(r, load_u32(indices + i * sizeof(uint32_t)), &names[i]));
    *result = names;
    return STATUS_OK;
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static enum status read_dims(struct model_reader *r, struct value *value, int symbol_count)
{
    if (value->rank > MAX_RANK)
        return NOT_SUPPORTED(r, "has rank %d; at most %d is supported", value->rank, MAX_RANK);
    if (value->rank < -1)
        return INVALID(r, "has rank %d", value->rank);
    if (value->rank < 1)
        return STATUS_OK;
    const uint8_t *dims;
    TRY(model_take(r, SECTION_DIMS, (uint64_t)value->rank, &dims));
    memcpy(value->dims, dims, (size_t)value->rank * sizeof value->dims[0]);
    for (int i = 0; i < value->rank; i++)
        if (value->dims[i] < -symbol_count)
            return INVALID(r, "has symbol %s as dimension %d; its graph has %d",
                           grouped((uint64_t)(-1 - value->dims[i])).text, i, symbol_count);
    if (!model_dims_fit(value->rank, value->dims))
        return INVALID(r, "has a shape of too many elements");
    return STATUS_OK;
}

static enum status read_value_record(struct graph_reader *g, const struct value_record *record, int symbol_count,
                                     struct value *value)
{
    struct model_reader *r = g->r;
    TRY(model_name(r, record->name, &value->name));
    if (record->dtype >= DTYPE_COUNT)
        return INVALID(r, "has type %u, which no type has", record->dtype);
    value->dtype = (enum dtype)record->dtype;
    value->rank = record->rank;
    TRY(read_dims(r, value, symbol_count));
    if (record->tensor == MODEL_NONE)
        return STATUS_OK;
    if (record->tensor >= section_records(r, SECTION_TENSORS))
        return INVALID(r, "refers to tensor %s of %s", grouped(record->tensor).text,
                       grouped(section_records(r, SECTION_TENSORS)).text);
    struct tensor_record tensor = tensor_at(r, record->tensor);
    value->data = r->sections[SECTION_WEIGHTS].bytes + tensor.offset;
    value->bytes = (size_t)tensor.bytes;
    /* Once a tensor, not once a value: many values may share one. */
    if (value->dtype == DTYPE_BOOL && !g->bools_checked[record->tensor]) {
        if (!model_all_bools(value->data, value->bytes))
            return INVALID(r, "is bool and holds bytes that are neither 0 nor 1");
        g->bools_checked[record->tensor] = true;
    }
    return STATUS_OK;
}

static enum status read_value(struct graph_reader *g, int symbol_count, struct value *value)
{
    struct model_reader *r = g->r;
    const uint8_t *bytes;
    struct value_record record;
    TRY(model_take(r, SECTION_VALUES, 1, &bytes));
    memcpy(&record, bytes, sizeof record);
    if (read_value_record(g, &record, symbol_count, value) != STATUS_OK)
        return error_prefix(r->error, "value %u '%s'", g->value_index, value->name ? value->name : "");
    if (*value->name && !name_is_new(&r->names, record.name))
        return INVALID(r, "value %u '%s' has the name of another", g->value_index, value->name);
    g->value_index++;
    return STATUS_OK;
}

static enum status read_symbols(struct model_reader *r, struct graph *graph, uint32_t count)
{
    const uint8_t *strings;
    TRY(model_take(r, SECTION_SYMBOLS, count, &strings));
    graph->symbols = region_array(r->region, count + (size_t)1, sizeof *graph->symbols);
    if (!graph->symbols)
        return no_memory(r);
    r->names.scope++;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t string = load_u32(strings + i * sizeof string);
        TRY(model_name(r, string, &graph->symbols[i]));
        if (*graph->symbols[i] && !name_is_new(&r->names, string))
            return INVALID(r, "symbol %u '%s' has the name of another", i, graph->symbols[i]);
    }
    graph->symbol_count = graph->symbol_capacity = (int)count;
    return STATUS_OK;
}

static struct graph_record graph_record_at(const struct graph_reader *g, uint32_t index)
{
    struct graph_record record;
    memcpy(&record, g->graph_records + index * sizeof record, sizeof record);
    return record;
}

static enum status read_graph_values(struct graph_reader *g, uint32_t index)
{
    struct model_reader *r = g->r;
    struct graph_record record = graph_record_at(g, index);
    struct graph *graph = g->graphs[index];
    graph->region = r->region;
    TRY(model_name(r, record.name, &graph->name));
    TRY(read_symbols(r, graph, record.symbols));
    if (record.values > section_records(r, SECTION_VALUES) - g->value_index)
        return INVALID(r, "has %s values, more than section 'vals' has left", grouped(record.values).text);
    graph->values = region_array(r->region, record.values + (size_t)1, sizeof *graph->values);
    struct value *block = region_array(r->region, record.values + (size_t)1, sizeof *block);
    if (!graph->values || !block)
        return no_memory(r);
    r->names.scope++;
    for (uint32_t i = 0; i < record.values; i++) {
        TRY(read_value(g, graph->symbol_count, &block[i]));
        block[i].id = (int)i;
        graph->values[i] = &block[i];
    }
    graph->value_count = graph->value_capacity = (int)record.values;
    return STATUS_OK;
}

/* What the graphs leave of the values are the tensors of attributes. */
static enum status read_attribute_tensors(struct graph_reader *g)
{
    struct model_reader *r = g->r;
    g->first_tensor = g->value_index;
    g->tensor_count = (uint32_t)section_records(r, SECTION_VALUES) - g->value_index;
    g->tensors = region_array(r->region, g->tensor_count + (size_t)1, sizeof *g->tensors);
    if (!g->tensors)
        return no_memory(r);
    for (uint32_t i = 0; i < g->tensor_count; i++) {
        r->names.scope++; /* they may share names */
        TRY(read_value(g, 0, &g->tensors[i]));
        g->tensors[i].id = -1;
    }
    return STATUS_OK;
}

/* --- attributes --------------------------------------------------------------------------------------------------- */

static enum status read_strings_attribute(struct model_reader *r, uint64_t count, struct attribute *attribute)
{
    const uint8_t *indices;
    TRY(model_take(r, SECTION_REFERENCES, count, &indices));
    const char **strings = region_array(r->region, (size_t)count, sizeof *strings);
    if (!strings)
        return no_memory(r);
    for (size_t i = 0; i < count; i++)
        TRY(model_name(r, load_u32(indices + i * 4), &strings[i]));
    attribute->count = (size_t)count;
    attribute->strings = strings;
    return STATUS_OK;
}

static enum status read_graph_attribute(struct graph_reader *g, uint32_t inside, uint64_t index,
                                        struct attribute *attribute)
{
    /* Each graph but the first is held by one attribute, of a graph before it: so graphs make a tree. */
    if (index != g->next_graph || index <= inside || index >= g->graph_count)
        return INVALID(g->r, "holds graph %s of %s, inside graph %u; the next is %u", grouped(index).text,
                       grouped(g->graph_count).text, inside, g->next_graph);
    if (g->depths[inside] == DEEPEST_SUBGRAPH)
        return INVALID(g->r, "nests graphs more than %d deep", DEEPEST_SUBGRAPH);
    g->depths[index] = (uint8_t)(g->depths[inside] + 1);
    attribute->graph = g->graphs[index];
    g->next_graph++;
    return STATUS_OK;
}

static enum status read_tensor_attribute(struct graph_reader *g, uint64_t index, struct attribute *attribute)
{
    if (g->next_tensor == g->tensor_count || index != g->first_tensor + g->next_tensor)
        return INVALID(g->r, "holds value %s; the tensors of attributes are values %u to %u, and the next is %u",
                       grouped(index).text, g->first_tensor, g->first_tensor + g->tensor_count,
                       g->first_tensor + g->next_tensor);
    attribute->tensor = &g->tensors[g->next_tensor++];
    if (!attribute->tensor->data)
        return INVALID(g->r, "holds value %s '%s', which is no constant", grouped(index).text, attribute->tensor->name);
    return STATUS_OK;
}

static enum status read_content(struct graph_reader *g, uint32_t inside, uint64_t content, struct attribute *attribute)
{
    struct model_reader *r = g->r;
    const uint8_t *list;
    switch (attribute->kind) {
    case ATTRIBUTE_INT:
        memcpy(&attribute->i, &content, sizeof attribute->i);
        return STATUS_OK;
    case ATTRIBUTE_FLOAT:
        if (content > UINT32_MAX)
            return INVALID(r, "has bytes set behind its float");
        memcpy(&attribute->f, &content, sizeof attribute->f);
        return STATUS_OK;
    case ATTRIBUTE_STRING:
        return model_string(r, content, &attribute->string, &attribute->count);
    case ATTRIBUTE_TENSOR:
        return read_tensor_attribute(g, content, attribute);
    case ATTRIBUTE_GRAPH:
        return read_graph_attribute(g, inside, content, attribute);
    case ATTRIBUTE_INTS:
        TRY(model_take(r, SECTION_INTS, content, &list));
        attribute->count = (size_t)content;
        attribute->ints = (const void *)list;
        return STATUS_OK;
    case ATTRIBUTE_FLOATS:
        TRY(model_take(r, SECTION_FLOATS, content, &list));
        attribute->count = (size_t)content;
        attribute->floats = (const void *)list;
        return STATUS_OK;
    case ATTRIBUTE_STRINGS:
        return read_strings_attribute(r, content, attribute);
    }
    return STATUS_OK;
}

static enum status read_attributes(struct graph_reader *g, uint32_t inside, uint32_t count, struct node *node)
{
    struct model_reader *r = g->r;
    const uint8_t *records;
    TRY(model_take(r, SECTION_ATTRIBUTES, count, &records));
    struct attribute *attributes = region_array(r->region, count + (size_t)1, sizeof *attributes);
    if (!attributes)
        return no_memory(r);
    node->attributes = attributes;
    node->attribute_count = (int)count;
    r->names.scope++;
    for (uint32_t i = 0; i < count; i++) {
        struct attribute_record record;
        memcpy(&record, records + i * sizeof record, sizeof record);
        if (model_name(r, record.name, &attributes[i].name) != STATUS_OK)
            return error_prefix(r->error, "attribute %u", i);
        if (!name_is_new(&r->names, record.name))
            return INVALID(r, "attribute '%s' is there twice", attributes[i].name);
        if (record.kind < ATTRIBUTE_INT || record.kind > ATTRIBUTE_STRINGS)
            return INVALID(r, "attribute '%s' is of kind %u, which none is", attributes[i].name, record.kind);
        attributes[i].kind = (enum attribute_kind)record.kind;
        if (read_content(g, inside, record.content, &attributes[i]) != STATUS_OK)
            return error_prefix(r->error, "attribute '%s'", attributes[i].name);
    }
    return STATUS_OK;
}

/* --- nodes -------------------------------------------------------------------------------------------------------- */

static enum status read_operator(struct graph_reader *g, uint32_t index, struct node *node)
{
    struct model_reader *r = g->r;
    if (index >= section_records(r, SECTION_OPERATORS))
        return INVALID(r, "refers to operator %s of %s", grouped(index).text,
                       grouped(section_records(r, SECTION_OPERATORS)).text);
    struct operator_record record;
    memcpy(&record, r->sections[SECTION_OPERATORS].bytes + index * sizeof record, sizeof record);
    if (!g->ops[index]) {
        const char *domain, *name;
        TRY(model_name(r, record.domain, &domain));
        TRY(model_name(r, record.name, &name));
        g->ops[index] = op_find(domain, name);
        if (!g->ops[index])
            return NOT_SUPPORTED(r, "there is no operator '%s%s%s' here", domain, *domain ? "." : "", name);
    }
    node->op = g->ops[index];
    if (record.version == 0 || record.version > INT32_MAX)
        return INVALID(r, "has version %u of its operator", record.version);
    if (!*node->op->domain && record.version > NEWEST_OPSET)
        return NOT_SUPPORTED(r, "needs %s of operator set %u; the newest here is %d", node->op->name, record.version,
                             NEWEST_OPSET);
    node->version = (int)record.version;
    return STATUS_OK;
}

/* The next `count` value references. absent: a reference to nothing is allowed. */
static enum status read_values(struct model_reader *r, enum model_section section, const struct graph *graph,
                               uint32_t count, bool absent, struct value ***values)
{
    const uint8_t *indices;
    TRY(model_take(r, section, count, &indices));
    *values = region_array(r->region, count + (size_t)1, sizeof **values);
    if (!*values)
        return no_memory(r);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = load_u32(indices + i * sizeof index);
        if (index == MODEL_NONE && absent)
            continue;
        if (index >= (uint32_t)graph->value_count)
            return INVALID(r, "refers to value %s; its graph has %s", grouped(index).text,
                           grouped((uint64_t)graph->value_count).text);
        (*values)[i] = graph->values[index];
    }
    return STATUS_OK;
}

static enum status read_references(struct graph_reader *g, const struct graph *graph, uint32_t count, bool absent,
                                   struct value ***values, int *value_count)
{
    TRY(read_values(g->r, SECTION_REFERENCES, graph, count, absent, values));
    *value_count = (int)count;
    return STATUS_OK;
}

/* Of the model's own inputs: none has one, or there is an entry for each. */
static enum status read_defaults(struct graph_reader *g)
{
    struct graph *graph = g->graphs[0];
    size_t count = section_records(g->r, SECTION_DEFAULTS);
    if (count == 0)
        return STATUS_OK;
    if (count != (size_t)graph->input_count)
        return INVALID(g->r, "has defaults for %s inputs of %d", grouped(count).text, graph->input_count);
    if (read_values(g->r, SECTION_DEFAULTS, graph, (uint32_t)count, true, &graph->defaults) != STATUS_OK)
        return error_prefix(g->r->error, "defaults");
    return STATUS_OK;
}

static enum status read_sources(struct model_reader *r, uint32_t count, struct node *node)
{
    const uint8_t *indices;
    TRY(model_take(r, SECTION_REFERENCES, count, &indices));
    node->source_count = (int)count;
    return read_names(r, indices, count, &node->sources);
}

static enum status read_node_record(struct graph_reader *g, uint32_t inside, const struct node_record *record,
                                    struct node *node)
{
    const struct graph *graph = g->graphs[inside];
    TRY(model_name(g->r, record->name, &node->name));
    TRY(read_operator(g, record->op, node));
    TRY(read_references(g, graph, record->inputs, true, &node->inputs, &node->input_count));
    TRY(read_references(g, graph, record->outputs, true, &node->outputs, &node->output_count));
    TRY(read_sources(g->r, record->sources, node));
    return read_attributes(g, inside, record->attributes, node);
}

static enum status read_graph_edges(struct graph_reader *g, uint32_t index)
{
    struct model_reader *r = g->r;
    struct graph_record record = graph_record_at(g, index);
    struct graph *graph = g->graphs[index];
    const uint8_t *records;
    TRY(read_references(g, graph, record.inputs, false, &graph->inputs, &graph->input_count));
    TRY(read_references(g, graph, record.outputs, false, &graph->outputs, &graph->output_count));
    TRY(model_take(r, SECTION_NODES, record.nodes, &records));
    graph->nodes = region_array(r->region, record.nodes + (size_t)1, sizeof *graph->nodes);
    struct node *block = region_array(r->region, record.nodes + (size_t)1, sizeof *block);
    if (!graph->nodes || !block)
        return no_memory(r);
    for (uint32_t i = 0; i < record.nodes; i++) {
        struct node_record node;
        memcpy(&node, records + i * sizeof node, sizeof node);
        if (read_node_record(g, index, &node, &block[i]) != STATUS_OK)
            return error_prefix(r->error, "node %u '%s'", i, block[i].name ? block[i].name : "");
        graph->nodes[i] = &block[i];
    }
    graph->node_count = graph->node_capacity = (int)record.nodes;
    return STATUS_OK;
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

static enum status begin_graphs(struct graph_reader *g)
{
    struct model_reader *r = g->r;
    g->graph_count = (uint32_t)section_records(r, SECTION_GRAPHS);
    g->next_graph = 1;
    if (g->graph_count == 0)
        return INVALID(r, "holds no graph");
    TRY(model_take(r, SECTION_GRAPHS, g->graph_count, &g->graph_records));
    g->graphs = region_array(r->scratch, g->graph_count, sizeof *g->graphs);
    g->depths = region_array(r->scratch, g->graph_count, sizeof *g->depths);
    struct graph *block = region_array(r->region, g->graph_count, sizeof *block);
    g->ops = region_array(r->scratch, section_records(r, SECTION_OPERATORS), sizeof *g->ops);
    g->bools_checked = region_array(r->scratch, section_records(r, SECTION_TENSORS), sizeof *g->bools_checked);
    if (!g->graphs || !g->depths || !block || !g->ops || !g->bools_checked)
        return no_memory(r);
    for (uint32_t i = 0; i < g->graph_count; i++)
        g->graphs[i] = &block[i];
    return STATUS_OK;
}

/* Sections of which not all belongs to something: left-overs of a writer's mistake, or something hidden. */
static enum status check_ends(const struct model_reader *r)
{
    static const enum model_section read_in_order[] = {SECTION_SYMBOLS, SECTION_VALUES,     SECTION_DIMS,
                                                       SECTION_NODES,   SECTION_REFERENCES, SECTION_ATTRIBUTES,
                                                       SECTION_INTS,    SECTION_FLOATS};
    for (size_t i = 0; i < sizeof read_in_order / sizeof read_in_order[0]; i++) {
        const struct section *section = &r->sections[read_in_order[i]];
        if (section->used != section->size)
            return INVALID(r, "the last %s bytes of section '%s' belong to nothing",
                           grouped(section->size - section->used).text, model_section_types[read_in_order[i]].type);
    }
    return STATUS_OK;
}

static enum status read_graphs(struct model_reader *r, struct graph **graph)
{
    struct graph_reader g = {.r = r};
    TRY(begin_graphs(&g));
    for (uint32_t i = 0; i < g.graph_count; i++)
        if (read_graph_values(&g, i) != STATUS_OK)
            return error_prefix(r->error, "graph %u", i);
    TRY(read_attribute_tensors(&g));
    for (uint32_t i = 0; i < g.graph_count; i++)
        if (read_graph_edges(&g, i) != STATUS_OK)
            return error_prefix(r->error, "graph %u '%s'", i, g.graphs[i]->name);
    TRY(read_defaults(&g));
    if (g.next_graph != g.graph_count)
        return INVALID(r, "has %u graphs, of which attributes hold %u", g.graph_count, g.next_graph - 1);
    if (g.next_tensor != g.tensor_count)
        return INVALID(r, "value %u '%s' is of no graph, and no attribute holds it", g.first_tensor + g.next_tensor,
                       g.tensors[g.next_tensor].name);
    TRY(check_ends(r));
    *graph = g.graphs[0];
    return graph_validate(*graph, r->error);
}

static enum status read_passes(struct model_reader *r, struct model_metadata *metadata)
{
    const uint8_t *indices;
    size_t count = section_records(r, SECTION_PASSES);
    TRY(model_take(r, SECTION_PASSES, count, &indices));
    metadata->pass_count = (int)count;
    return read_names(r, indices, count, &metadata->passes);
}

static enum status read_metadata(const struct model_reader *r, struct model_metadata *metadata)
{
    const struct section *section = &r->sections[SECTION_METADATA];
    if (section->size == 0)
        return STATUS_OK;
    struct metadata_record record;
    if (section->size < sizeof record || (section->size - sizeof record) % 8 != 0)
        return INVALID(r, "section 'meta' has %s bytes, not 12 and a multiple of 8", grouped(section->size).text);
    memcpy(&record, section->bytes, sizeof record);
    TRY(model_name(r, record.name, &metadata->name));
    TRY(model_name(r, record.producer, &metadata->producer));
    TRY(model_name(r, record.description, &metadata->description));
    size_t count = (section->size - sizeof record) / 8;
    if (count > INT32_MAX)
        return NOT_SUPPORTED(r, "has %s pairs; at most %d are supported", grouped(count).text, INT32_MAX);
    const char **keys = region_array(r->region, count, sizeof *keys);
    const char **values = region_array(r->region, count, sizeof *values);
    if (!keys || !values)
        return no_memory(r);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *pair = section->bytes + sizeof record + i * 8;
        TRY(model_name(r, load_u32(pair), &keys[i]));
        TRY(model_name(r, load_u32(pair + 4), &values[i]));
    }
    metadata->count = (int)count;
    metadata->keys = keys;
    metadata->values = values;
    return STATUS_OK;
}

static enum status read_file(struct model_reader *r, struct graph **graph, struct model_metadata *metadata)
{
    if ((uintptr_t)r->bytes % ALIGNMENT != 0)
        return error_set(r->error, STATUS_INVALID_ARGUMENT, "lies in memory at an address that is no multiple of %d",
                         ALIGNMENT);
    TRY(model_open_sections(r));
    TRY(model_read_strings(r));
    *metadata = (struct model_metadata){.name = "", .producer = "", .description = ""};
    if (read_metadata(r, metadata) != STATUS_OK)
        return error_prefix(r->error, "metadata");
    if (read_passes(r, metadata) != STATUS_OK)
        return error_prefix(r->error, "passes");
    TRY(model_check_tensors(r));
    TRY(model_read_packs(r, metadata));
    TRY(model_check_contents(r, metadata));
    return read_graphs(r, graph);
}

enum status model_read(const char *name, const void *bytes, size_t size, const struct model_read_options *options,
                       struct region *region, struct graph **graph, struct model_metadata *metadata,
                       struct error *error)
{
    struct error unread = {0};
    struct region scratch;
    region_init(&scratch, region->allocator);
    static const struct model_read_options defaults = {0};
    struct model_reader r = {
        .bytes = bytes,
        .size = size,
        .options = options ? options : &defaults,
        .region = region,
        .scratch = &scratch,
        .error = error ? error : &unread,
    };
    enum status status = read_file(&r, graph, metadata);
    region_free(&scratch);
    return status == STATUS_OK ? status : error_prefix(r.error, "%s", name);
}
