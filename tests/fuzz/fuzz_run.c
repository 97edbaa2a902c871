/* Whole runs of small models that nobody meant: any operator, any version, any tensors and attributes. */
#include "formats/model_file.h"
#include "graph/op.h"
#include "tests/fuzz/attributes.h"
#include "tests/fuzz/run_twice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_INPUTS 16
#define MOST_OPERANDS 9
#define MOST_ATTRIBUTES 6
#define MOST_ELEMENTS 4096
#define MOST_VALUES MOST_OUTPUTS
#define DEEPEST_BODY 2

/* --- the fuzzer's bytes ---------------------------------------------------------------------------------- */

struct source {
    const uint8_t *at, *end;
};

static unsigned draw(struct source *s, unsigned below)
{
    unsigned byte = s->at < s->end ? *s->at++ : 0;
    return byte % below;
}

static int64_t draw_int(struct source *s)
{
    static const int64_t extremes[] = {INT64_MAX,        INT64_MIN,        INT32_MAX,     INT32_MIN,
                                       (int64_t)1 << 31, (int64_t)1 << 40, 65536,         -65537,
                                       1000000,          INT64_MAX / 64,   INT64_MIN + 1, 255};
    switch (draw(s, 10)) {
    case 0:
        return extremes[draw(s, sizeof extremes / sizeof *extremes)];
    case 1:
        return (int8_t)draw(s, 256);
    case 2:
        return -(int64_t)draw(s, 5);
    case 3:
        return 1;
    default:
        return draw(s, 5);
    }
}

static double draw_float(struct source *s)
{
    static const double extremes[] = {
        __builtin_inf(), -__builtin_inf(), __builtin_nan(""), 1e30, -1e30, 1e-40, -0.0, 3e9, -3e9, 1e19, -1e19, 65536};
    if (draw(s, 6) == 0)
        return extremes[draw(s, sizeof extremes / sizeof *extremes)];
    return (double)draw_int(s) / (double)(1 + draw(s, 4));
}

/* --- tensors --------------------------------------------------------------------------------------------- */

/* A graph under construction: its values so far, and sizes that its shapes like, so that some of them agree. */
struct maker {
    struct source *source;
    struct graph *graph;
    struct value *values[MOST_VALUES];
    int count;
    int64_t sizes[4];
    enum dtype dtype; /* of most tensors */
    int depth;
    bool failed, random;
};

static enum dtype draw_dtype(struct source *s)
{
    static const uint8_t usual[] = {DTYPE_F32, DTYPE_F32, DTYPE_F32, DTYPE_I64,  DTYPE_I64, DTYPE_I32, DTYPE_U8,
                                    DTYPE_I8,  DTYPE_F64, DTYPE_F16, DTYPE_BOOL, DTYPE_F32, DTYPE_I64};
    unsigned choice = draw(s, sizeof usual + 2);
    if (choice < sizeof usual)
        return (enum dtype)usual[choice];
    enum dtype dtype = (enum dtype)(1 + draw(s, DTYPE_COUNT - 1));
    return dtype == DTYPE_STRING ? DTYPE_BF16 : dtype;
}

static int draw_shape(struct maker *m, int64_t *dims)
{
    struct source *s = m->source;
    static const uint8_t ranks[] = {0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 8};
    int rank = ranks[draw(s, sizeof ranks)];
    int64_t elements;
    for (int i = 0; i < rank; i++)
        dims[i] = draw(s, 5) ? m->sizes[draw(s, 4)] : draw(s, 6);
    for (int i = 0; i < rank && shape_elements(rank, dims, &elements) && elements > MOST_ELEMENTS; i++)
        dims[i] = 1;
    bool empty = shape_elements(rank, dims, &elements) && elements == 0;
    if (empty && draw(s, 4) == 0)
        for (int i = 0; i < rank; i++)
            dims[i] = dims[i] ? (int64_t)1 << 28 : 0;
    return shape_elements(rank, dims, &elements) ? rank : 0;
}

static void put_element(void *data, enum dtype dtype, size_t i, double number, int64_t integer)
{
    switch (dtype_bits(dtype)) {
    case 64:
        if (dtype == DTYPE_F64)
            ((double *)data)[i] = number;
        else
            ((int64_t *)data)[i] = integer;
        return;
    case 32:
        if (dtype == DTYPE_F32)
            ((float *)data)[i] = (float)number;
        else
            ((int32_t *)data)[i] = (int32_t)(uint32_t)(uint64_t)integer;
        return;
    case 16:
        if (dtype == DTYPE_F16)
            ((uint16_t *)data)[i] = f32_to_f16((float)number);
        else if (dtype == DTYPE_BF16)
            ((uint16_t *)data)[i] = f32_to_bf16((float)number);
        else
            ((int16_t *)data)[i] = (int16_t)(uint16_t)(uint64_t)integer;
        return;
    default:
        return;
    }
}

static void fill(struct source *s, enum dtype dtype, void *data, size_t bytes)
{
    unsigned mode = draw(s, 4), count = 1 + draw(s, 8);
    int64_t integers[8];
    double numbers[8];
    uint8_t *octets = data;
    for (unsigned k = 0; k < count; k++) {
        numbers[k] = draw_float(s);
        integers[k] = draw_int(s);
    }
    for (size_t i = 0; i < bytes; i++)
        octets[i] = mode == 0 ? (uint8_t)draw(s, 256) : (uint8_t)(uint64_t)integers[i % count];
    size_t width = dtype_bits(dtype) / 8;
    for (size_t i = 0; mode != 0 && width > 1 && i < bytes / width; i++)
        put_element(data, dtype, i, mode == 1 ? (double)(i % count) : numbers[i % count],
                    mode == 1 ? (int64_t)(i % count) : integers[i % count]);
    for (size_t i = 0; dtype == DTYPE_BOOL && i < bytes; i++)
        octets[i] &= 1;
}

static void *need(struct maker *m, void *pointer)
{
    m->failed = m->failed || !pointer;
    return pointer;
}

static struct value *make_constant(struct maker *m, enum dtype dtype, int rank, const int64_t *dims)
{
    int64_t elements;
    if (!shape_elements(rank, dims, &elements))
        return NULL;
    size_t bytes = dtype_bytes(dtype, elements);
    void *data = need(m, region_allocate(m->graph->region, align_up(bytes + 1, ALIGNMENT)));
    char name[24];
    snprintf(name, sizeof name, "c%d", m->graph->value_count);
    struct value *value = data ? need(m, graph_add_constant(m->graph, name, dtype, rank, dims, data)) : NULL;
    if (value)
        fill(m->source, dtype, data, bytes);
    return value;
}

static struct value *make_value(struct maker *m, enum dtype dtype, int rank, const int64_t *dims)
{
    char name[24];
    snprintf(name, sizeof name, "v%d", m->graph->value_count);
    return need(m, graph_add_value(m->graph, name, dtype, rank, dims));
}

static struct value *remember(struct maker *m, struct value *value)
{
    if (value && m->count < MOST_VALUES)
        m->values[m->count++] = value;
    return value;
}

/* A new input of the graph, whose dimensions the model may leave open. */
static struct value *make_input(struct maker *m, enum dtype dtype, int rank, const int64_t *dims)
{
    struct value *inputs[MOST_INPUTS];
    int count = m->graph->input_count;
    if (count == MOST_INPUTS || m->depth > 0)
        return make_constant(m, dtype, rank, dims);
    struct value *value = make_value(m, dtype, rank, dims);
    for (int i = 0; i < count; i++)
        inputs[i] = m->graph->inputs[i];
    inputs[count] = value;
    m->failed = m->failed || !graph_set_inputs(m->graph, count + 1, inputs);
    return value;
}

static struct value *draw_operand(struct maker *m, bool optional)
{
    struct source *s = m->source;
    unsigned kind = draw(s, 12);
    int64_t dims[MAX_RANK];
    if (kind == 0 && optional)
        return NULL;
    if (kind < 5 && m->count)
        return m->values[draw(s, (unsigned)m->count)];
    enum dtype dtype = draw(s, 3) ? m->dtype : draw_dtype(s);
    int rank = draw_shape(m, dims);
    return remember(m, kind < 9 ? make_constant(m, dtype, rank, dims) : make_input(m, dtype, rank, dims));
}

/* --- attributes ------------------------------------------------------------------------------------------ */

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return true;
    return false;
}

/* The index-th word, modulo their number. */
static char *pick_word(struct maker *m, const char *list, unsigned index)
{
    unsigned words = 1;
    for (const char *at = list; *at; at++)
        words += *at == ' ';
    for (index %= words; index > 0; index--)
        list = strchr(list, ' ') + 1;
    return need(m, region_text(m->graph->region, list, strcspn(list, " ")));
}

static const char *draw_text(struct maker *m, const char *name)
{
    for (size_t i = 0; i < sizeof attribute_texts / sizeof *attribute_texts; i++)
        if (strcmp(attribute_texts[i].of, name) == 0 && draw(m->source, 16))
            return pick_word(m, attribute_texts[i].words, draw(m->source, 256));
    char text[12];
    size_t length = draw(m->source, sizeof text);
    for (size_t i = 0; i < length; i++)
        text[i] = (char)(' ' + draw(m->source, 95));
    return need(m, region_text(m->graph->region, text, length));
}

static const struct graph *make_body(struct maker *outer, const struct op *op, int input_count, int output_count);

static void draw_list(struct maker *m, struct attribute *attribute)
{
    struct source *s = m->source;
    size_t count = attribute->count = draw(s, 9);
    int64_t *ints = need(m, region_array(m->graph->region, count + 1, sizeof *ints));
    float *floats = need(m, region_array(m->graph->region, count + 1, sizeof *floats));
    const char **texts = need(m, region_array(m->graph->region, count + 1, sizeof *texts));
    bool tame = draw(s, 2) != 0;
    for (size_t i = 0; i < count && !m->failed; i++) {
        if (attribute->kind == ATTRIBUTE_INTS)
            ints[i] = tame ? draw(s, 4) : draw_int(s);
        else if (attribute->kind == ATTRIBUTE_FLOATS)
            floats[i] = (float)draw_float(s);
        else
            texts[i] = draw_text(m, attribute->name);
    }
    if (attribute->kind == ATTRIBUTE_INTS)
        attribute->ints = ints;
    else if (attribute->kind == ATTRIBUTE_FLOATS)
        attribute->floats = floats;
    else
        attribute->strings = texts;
}

static void draw_scalar(struct maker *m, struct attribute *attribute)
{
    int64_t dims[MAX_RANK];
    switch (attribute->kind) {
    case ATTRIBUTE_INT:
        attribute->i = draw_int(m->source);
        return;
    case ATTRIBUTE_FLOAT:
        attribute->f = (float)draw_float(m->source);
        return;
    case ATTRIBUTE_STRING:
        attribute->string = draw_text(m, attribute->name);
        attribute->count = attribute->string ? strlen(attribute->string) : 0;
        return;
    default:
        attribute->tensor = make_constant(m, draw_dtype(m->source), draw(m->source, 3) ? 0 : draw_shape(m, dims), dims);
        return;
    }
}

struct arity {
    int inputs, outputs;
};

/* Of a word such as "I:pads". */
static void draw_attribute(struct maker *m, const struct op *op, struct arity arity, const char *word,
                           struct attribute *attribute)
{
    static const char kinds[] = "?ifstgIFS";
    attribute->name = word + 2;
    attribute->kind = (enum attribute_kind)(strchr(kinds, *word) - kinds);
    if (attribute->kind == ATTRIBUTE_GRAPH)
        attribute->graph = make_body(m, op, arity.inputs, arity.outputs);
    else if (attribute->kind >= ATTRIBUTE_INTS)
        draw_list(m, attribute);
    else
        draw_scalar(m, attribute);
}

static bool is_named(const struct attribute *attributes, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(attributes[i].name, name) == 0)
            return true;
    return false;
}

static int draw_attributes(struct maker *m, const struct op *op, struct arity arity, struct attribute *attributes)
{
    const char *list = NULL;
    for (size_t i = 0; i < sizeof attribute_words / sizeof *attribute_words && !list; i++)
        list = has_word(attribute_words[i].of, op->name) ? attribute_words[i].words : NULL;
    int wanted = list ? (int)draw(m->source, MOST_ATTRIBUTES + 1) : 0, count = 0;
    bool has_graph = list && strstr(list, "g:");
    for (int i = 0; (i < wanted || (has_graph && i < 2)) && count < MOST_ATTRIBUTES && !m->failed; i++) {
        const char *word = pick_word(m, list, has_graph ? (unsigned)i : draw(m->source, 256));
        if (!word || is_named(attributes, count, word + 2))
            continue;
        attributes[count] = (struct attribute){0};
        draw_attribute(m, op, arity, word, &attributes[count]);
        count++;
    }
    return count;
}

/* --- graphs ---------------------------------------------------------------------------------------------- */

static const struct op *draw_op(struct source *s)
{
    size_t count = 0;
    while (op_at(count))
        count++;
    unsigned high = draw(s, 2), low = draw(s, 256);
    return op_at((high * 256 + low) % count);
}

/* How often a model loops is its own business: here, at most three times. */
static struct value *draw_trips(struct maker *m)
{
    int64_t *trips = need(m, region_allocate(m->graph->region, sizeof *trips));
    if (!trips)
        return NULL;
    *trips = (int64_t)draw(m->source, 4);
    char name[24];
    snprintf(name, sizeof name, "c%d", m->graph->value_count);
    return need(m, graph_add_constant(m->graph, name, DTYPE_I64, 0, NULL, trips));
}

static int draw_count(struct source *s, int least, int most)
{
    int extra = most - least > 4 ? 4 : most - least;
    int count = least + (int)draw(s, (unsigned)extra + 1);
    return count > MOST_OPERANDS ? MOST_OPERANDS : count;
}

static void add_node(struct maker *m)
{
    struct source *s = m->source;
    struct value *inputs[MOST_OPERANDS], *outputs[MOST_OPERANDS];
    struct attribute attributes[MOST_ATTRIBUTES];
    const struct op *op = draw_op(s);
    struct arity arity = {draw_count(s, op->min_inputs, op->max_inputs),
                          draw_count(s, op->min_outputs, op->max_outputs)};
    int version = draw(s, 2) ? NEWEST_OPSET : 7 + (int)draw(s, NEWEST_OPSET - 6);
    char name[24];
    for (int i = 0; i < arity.inputs; i++)
        inputs[i] = i == 0 && strcmp(op->name, "Loop") == 0 ? draw_trips(m) : draw_operand(m, true);
    int count = draw_attributes(m, op, arity, attributes);
    for (int i = 0; i < arity.outputs; i++)
        outputs[i] = arity.outputs > 1 && draw(s, 6) == 0 ? NULL : make_value(m, DTYPE_NONE, -1, NULL);
    snprintf(name, sizeof name, "n%d", m->graph->node_count);
    if (m->failed)
        return;
    need(m,
         graph_add_node(m->graph, op, version, name, arity.inputs, inputs, arity.outputs, outputs, count, attributes));
    m->random = m->random || (op->flags & OP_RANDOM);
    for (int i = 0; i < arity.outputs; i++)
        remember(m, outputs[i]);
}

/* A subgraph for If, Loop, Scan, FlexAttention with the arity that they want, or nearly. */
static const struct graph *make_body(struct maker *outer, const struct op *op, int input_count, int output_count)
{
    bool loop = strcmp(op->name, "Loop") == 0, branch = strcmp(op->name, "If") == 0;
    bool function = strcmp(op->name, "FlexAttention") == 0;
    struct maker m = {.source = outer->source, .graph = graph_create(outer->graph->region, "body")};
    struct value *operands[MOST_OPERANDS + 1];
    if (!need(outer, m.graph))
        return NULL;
    memcpy(m.sizes, outer->sizes, sizeof m.sizes);
    m.dtype = outer->dtype;
    m.depth = outer->depth + 1;
    int inputs = function ? 1 : input_count - branch, outputs = function ? 1 : output_count + loop;
    for (int i = 0; i < inputs; i++)
        operands[i] = remember(&m, make_value(&m, DTYPE_NONE, -1, NULL));
    m.failed = m.failed || !graph_set_inputs(m.graph, inputs, operands);
    for (int i = (int)draw(m.source, 3); i > 0 && m.depth < DEEPEST_BODY; i--)
        add_node(&m);
    if (m.count == 0)
        draw_operand(&m, false);
    for (int i = 0; i < outputs && m.count; i++)
        operands[i] = m.values[(unsigned)m.count - 1 - draw(m.source, (unsigned)m.count)];
    m.failed = m.failed || m.count == 0 || !graph_set_outputs(m.graph, outputs, operands);
    outer->failed = outer->failed || m.failed;
    outer->random = outer->random || m.random;
    return m.graph;
}

static void make_graph(struct maker *m)
{
    struct source *s = m->source;
    for (int i = 0; i < 4; i++)
        m->sizes[i] = 1 + draw(s, 5);
    m->dtype = draw(s, 2) ? DTYPE_F32 : draw_dtype(s);
    m->failed = !graph_set_inputs(m->graph, 0, NULL);
    int nodes = 1 + (int)draw(s, 4) % 3;
    for (int i = 0; i < nodes && !m->failed; i++)
        add_node(m);
    struct value *outputs[MOST_VALUES];
    int count = 0;
    for (int i = 0; !m->failed && i < m->graph->node_count; i++)
        for (int k = 0; k < m->graph->nodes[i]->output_count; k++)
            if (m->graph->nodes[i]->outputs[k] && count < MOST_VALUES)
                outputs[count++] = m->graph->nodes[i]->outputs[k];
    m->failed = m->failed || !graph_set_outputs(m->graph, count, outputs);
}

/* What the run is given; afterwards the model forgets some of it. */
static void draw_inputs(struct maker *m, infer_tensor *tensors)
{
    for (int i = 0; i < m->graph->input_count && !m->failed; i++) {
        struct value *value = m->graph->inputs[i];
        infer_tensor *tensor = &tensors[i];
        *tensor = (infer_tensor){.dtype = (infer_dtype)value->dtype, .rank = value->rank};
        memcpy(tensor->dims, value->dims, sizeof tensor->dims);
        tensor->bytes = value_bytes(value);
        tensor->data = need(m, malloc(tensor->bytes + (tensor->bytes == 0)));
        if (tensor->data)
            fill(m->source, value->dtype, tensor->data, tensor->bytes);
        if (draw(m->source, 4) == 0)
            value->rank = -1;
        for (int k = 0; k < value->rank; k++)
            if (draw(m->source, 4) == 0)
                value->dims[k] = graph_symbol(m->graph, "");
    }
}

/* --- runs ------------------------------------------------------------------------------------------------ */

static void run(struct maker *m, const infer_tensor *inputs)
{
    struct error error = {0};
    void *bytes;
    size_t size;
    if (model_write(m->graph, NULL, m->graph->region, &bytes, &size, &error) == STATUS_OK)
        run_twice(bytes, size, inputs, (size_t)m->graph->input_count, (size_t)m->graph->output_count, m->random);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct region region;
    infer_tensor inputs[MOST_INPUTS] = {0};
    struct source source = {data, data + size};
    region_init(&region, &default_allocator);
    struct maker m = {.source = &source, .graph = graph_create(&region, "fuzzed")};
    if (m.graph) {
        make_graph(&m);
        draw_inputs(&m, inputs);
    }
    if (m.graph && !m.failed)
        run(&m, inputs);
    for (int i = 0; i < MOST_INPUTS; i++)
        free(inputs[i].data);
    region_free(&region);
    return 0;
}
