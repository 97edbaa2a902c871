/* Model files: what is written is what is read, and nothing that was damaged is. */
#include "formats/model_file.h"
#include "graph/op.h"
#include "tests/same_graph.h"
#include "tests/suites.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- graphs to write ---------------------------------------------------------------------------------------------- */

static const int64_t sixteen_dims[] = {2, 8};
static unsigned char content[256]; /* of every constant: zeros and ones, so that it is good for bool too */

static void fill_content(void)
{
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = i % 3 == 0;
}

static struct value *add_value(struct graph *graph, const char *name, int rank, const int64_t *dims)
{
    struct value *value = graph_add_value(graph, name, DTYPE_F32, rank, dims);
    ck_assert_ptr_nonnull(value);
    return value;
}

static void add_node(struct graph *graph, const char *op, const char *name, int input_count,
                     struct value *const *inputs, struct value *output, int attribute_count,
                     const struct attribute *attributes)
{
    ck_assert_ptr_nonnull(op_find("", op));
    ck_assert_ptr_nonnull(
        graph_add_node(graph, op_find("", op), 13, name, input_count, inputs, 1, &output, attribute_count, attributes));
}

/* y = Clip(x, absent, c), in which c is a constant. */
static struct graph *clip_graph(struct region *region, const char *name, int attribute_count,
                                const struct attribute *attributes)
{
    struct graph *graph = graph_create(region, name);
    int64_t dims[] = {graph_symbol(graph, "N"), graph_symbol(graph, ""), 3};
    struct value *x = add_value(graph, "x", 3, dims), *y = add_value(graph, "y", -1, NULL);
    struct value *c = graph_add_constant(graph, "c", DTYPE_F32, 0, NULL, content);
    add_node(graph, "Clip", "clip", 3, (struct value *[]){x, NULL, c}, y, attribute_count, attributes);
    graph_set_inputs(graph, 1, &x);
    graph_set_outputs(graph, 1, &y);
    return graph;
}

static struct value *loose_tensor(struct region *region, const char *name, enum dtype dtype, int rank,
                                  const int64_t *dims)
{
    int64_t elements;
    struct value *tensor = region_allocate(region, sizeof *tensor);
    ck_assert(shape_elements(rank, dims, &elements));
    *tensor = (struct value){.name = name, .dtype = dtype, .rank = rank, .data = content, .id = -1};
    tensor->bytes = dtype_bytes(dtype, elements);
    if (rank)
        memcpy(tensor->dims, dims, (size_t)rank * sizeof *dims);
    return tensor;
}

/* An attribute of every kind; those with a tensor and a graph are there twice, and the graphs have graphs inside. */
static struct graph *attributes_graph(struct region *region)
{
    static const int64_t ints[] = {INT64_MIN, -1, 0, INT64_MAX};
    static const float floats[] = {0.0f, -0.0f, INFINITY, -INFINITY, 1e-45f, NAN};
    static const char *const strings[] = {"", "two", "zwei", "two"};
    int64_t empty_dims[] = {3, 0};
    struct graph *leaf = clip_graph(region, "leaf", 0, NULL);
    struct attribute inner[] = {
        {.name = "body", .kind = ATTRIBUTE_GRAPH, .graph = leaf},
        {.name = "value", .kind = ATTRIBUTE_TENSOR, .tensor = loose_tensor(region, "inner", DTYPE_I8, 0, NULL)}};
    struct attribute all[] = {
        {.name = "int", .kind = ATTRIBUTE_INT, .i = -42},
        {.name = "float", .kind = ATTRIBUTE_FLOAT, .f = -0.0f},
        {.name = "string", .kind = ATTRIBUTE_STRING, .count = 5, .string = "a\0b\0c"},
        {.name = "empty", .kind = ATTRIBUTE_STRING, .count = 0, .string = ""},
        {.name = "tensor", .kind = ATTRIBUTE_TENSOR, .tensor = loose_tensor(region, "t", DTYPE_I4, 2, sixteen_dims)},
        {.name = "then", .kind = ATTRIBUTE_GRAPH, .graph = clip_graph(region, "then", 2, inner)},
        {.name = "else", .kind = ATTRIBUTE_GRAPH, .graph = clip_graph(region, "else", 1, inner)},
        {.name = "void", .kind = ATTRIBUTE_TENSOR, .tensor = loose_tensor(region, "t", DTYPE_F64, 2, empty_dims)},
        {.name = "ints", .kind = ATTRIBUTE_INTS, .count = 4, .ints = ints},
        {.name = "floats", .kind = ATTRIBUTE_FLOATS, .count = 6, .floats = floats},
        {.name = "strings", .kind = ATTRIBUTE_STRINGS, .count = 4, .strings = strings},
        {.name = "no_ints", .kind = ATTRIBUTE_INTS},
        {.name = "no_strings", .kind = ATTRIBUTE_STRINGS},
    };
    return clip_graph(region, "main", sizeof all / sizeof all[0], all);
}

/* A constant of every type that can be one, of several shapes, and nodes that use them. */
static struct graph *dtypes_graph(struct region *region)
{
    struct graph *graph = graph_create(region, "dtypes");
    struct value *outputs[64];
    int count = 0;
    for (int dtype = 1; dtype < DTYPE_COUNT; dtype++) {
        if (dtype_bits((enum dtype)dtype) == 0)
            continue;
        for (int rank = 0; rank <= 2; rank += 2) {
            char name[64];
            snprintf(name, sizeof name, "%s_%d", dtype_name((enum dtype)dtype), rank);
            outputs[count] = graph_add_constant(graph, name, (enum dtype)dtype, rank, sixteen_dims, content);
            ck_assert_ptr_nonnull(outputs[count++]);
        }
    }
    struct value *none = graph_add_value(graph, "not inferred", DTYPE_NONE, -1, NULL);
    struct value *text = graph_add_value(graph, "text", DTYPE_STRING, 1, (int64_t[]){0});
    struct value *inputs[] = {none, text};
    graph_set_inputs(graph, 2, inputs);
    graph_set_outputs(graph, count, outputs);
    return graph;
}

/* A chain long enough to need many blocks of memory; every value is anonymous, and every node has two sources. */
static struct graph *chain_graph(struct region *region, int length)
{
    struct graph *graph = graph_create(region, "chain");
    struct value *value = add_value(graph, "", 1, (int64_t[]){7});
    graph_set_inputs(graph, 1, &value);
    for (int i = 0; i < length; i++) {
        struct value *next = add_value(graph, "", 1, (int64_t[]){7});
        char name[32];
        snprintf(name, sizeof name, "node %d", i);
        add_node(graph, "Relu", name, 1, &value, next, 0, NULL);
        static const char *const sources[] = {"conv", "relu"};
        graph->nodes[i]->sources = sources;
        graph->nodes[i]->source_count = 2;
        value = next;
    }
    graph_set_outputs(graph, 1, &value);
    return graph;
}

/* --- round trips -------------------------------------------------------------------------------------------------- */

struct image {
    void *bytes;
    size_t size;
};

static struct region region;

static void make_region(void)
{
    fill_content();
    region_init(&region, &default_allocator);
}

static void free_region(void)
{
    region_free(&region);
}

static struct image write_model(const struct graph *graph, const struct model_metadata *metadata)
{
    struct image image;
    struct error error = {0};
    ck_assert_msg(model_write(graph, metadata, &region, &image.bytes, &image.size, &error) == STATUS_OK, "%s",
                  error.text);
    return image;
}

static struct graph *read_model(struct image image, struct model_metadata *metadata)
{
    struct graph *graph;
    struct error error = {0};
    ck_assert_msg(model_read("m", image.bytes, image.size, NULL, &region, &graph, metadata, &error) == STATUS_OK, "%s",
                  error.text);
    return graph;
}

static void assert_round_trip(const struct graph *graph)
{
    static const char *const keys[] = {"license", "author", "license"}, *const values[] = {"", "the same", "MIT"};
    static const char *const passes[] = {"first", "of a build to come", "first"};
    struct model_metadata metadata = {"name", "", "two\nlines", 3, keys, values, 3, passes, 0, NULL, 0, NULL}, read;
    struct image first = write_model(graph, &metadata);
    struct graph *copy = read_model(first, &read);
    assert_same_graph(graph, copy);
    ck_assert_str_eq(read.name, "name");
    ck_assert_str_eq(read.producer, "");
    ck_assert_str_eq(read.description, "two\nlines");
    ck_assert_int_eq(read.count, 3);
    ck_assert_int_eq(read.pass_count, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert_str_eq(read.keys[i], keys[i]);
        ck_assert_str_eq(read.values[i], values[i]);
        ck_assert_str_eq(read.passes[i], passes[i]);
    }
    struct image second = write_model(copy, &read);
    ck_assert_uint_eq(first.size, second.size);
    ck_assert_mem_eq(first.bytes, second.bytes, first.size);
}

START_TEST(attributes_of_every_kind_come_back)
{
    assert_round_trip(attributes_graph(&region));
}
END_TEST

START_TEST(constants_of_every_type_come_back)
{
    assert_round_trip(dtypes_graph(&region));
}
END_TEST

START_TEST(long_graphs_come_back)
{
    assert_round_trip(chain_graph(&region, 1000));
}
END_TEST

START_TEST(a_graph_of_nothing_comes_back)
{
    struct graph *graph = graph_create(&region, "");
    graph_set_inputs(graph, 0, NULL);
    graph_set_outputs(graph, 0, NULL);
    assert_round_trip(graph);
    struct model_metadata metadata;
    struct image image = write_model(graph, NULL);
    assert_same_graph(graph, read_model(image, &metadata));
    ck_assert_str_eq(metadata.name, "");
    ck_assert_int_eq(metadata.count, 0);
    ck_assert_int_eq(metadata.pass_count, 0);
}
END_TEST

START_TEST(outputs_that_nobody_asked_for_come_back)
{
    struct graph *graph = graph_create(&region, "loop"), *body = graph_create(&region, "body");
    struct value *of_body[] = {graph_add_value(body, "i", DTYPE_I64, 0, NULL),
                               graph_add_value(body, "go", DTYPE_BOOL, 0, NULL), add_value(body, "v", 0, NULL),
                               add_value(body, "w", 0, NULL)};
    graph_set_inputs(body, 4, of_body);
    graph_set_outputs(body, 3, of_body + 1);
    struct value *inputs[] = {graph_add_value(graph, "count", DTYPE_I64, 0, NULL), NULL, add_value(graph, "a", 0, NULL),
                              add_value(graph, "b", 0, NULL)};
    struct value *outputs[] = {NULL, add_value(graph, "y", 0, NULL)};
    struct attribute attribute = {.name = "body", .kind = ATTRIBUTE_GRAPH, .graph = body};
    graph_add_node(graph, op_find("", "Loop"), 13, "loop", 4, inputs, 2, outputs, 1, &attribute);
    graph_set_inputs(graph, 3, (struct value *[]){inputs[0], inputs[2], inputs[3]});
    graph_set_outputs(graph, 1, outputs + 1);
    assert_round_trip(graph);
}
END_TEST

START_TEST(defaults_of_inputs_come_back)
{
    static const float numbers[] = {1, 2, 3};
    const int64_t dims[] = {3}, open[] = {-1};
    struct graph *graph = graph_create(&region, "optional");
    ck_assert_int_eq(graph_symbol(graph, "N"), -1);
    struct value *inputs[] = {add_value(graph, "x", 1, open), add_value(graph, "w", 1, open)};
    struct value *defaults[] = {NULL, graph_add_constant(graph, "", DTYPE_F32, 1, dims, numbers)};
    graph_set_inputs(graph, 2, inputs);
    graph_set_outputs(graph, 2, inputs);
    graph_set_defaults(graph, defaults);
    assert_round_trip(graph);
    graph_drop_unused(graph);
    struct graph *copy = graph_clone(graph, &region);
    ck_assert_ptr_eq(copy->defaults[1], copy->values[defaults[1]->id]);
    ck_assert_ptr_null(copy->defaults[0]);
    defaults[1]->rank = 0;
    struct error error = {0};
    graph->defaults[1]->bytes = 4;
    ck_assert_int_eq(graph_validate(graph, &error), STATUS_INVALID_MODEL);
    ck_assert_str_eq(error.text, "input 1 'w' is float32 [N], and its default float32 scalar");
}
END_TEST

/* Passes build them, and what stands for a node keeps its names. */
START_TEST(operators_of_our_own_domain_come_back)
{
    const struct op *op = op_find(OWN_DOMAIN, "ScaledDotProductAttention");
    struct graph *graph = graph_create(&region, "attention");
    const char *const names[] = {"q", "k", "v"}, *const sources[] = {"/MatMul", "/Softmax", "/MatMul_1"};
    struct value *inputs[3], *output = add_value(graph, "y", -1, NULL);
    for (int i = 0; i < 3; i++)
        inputs[i] = add_value(graph, names[i], 4, (int64_t[]){1, 2, 3, 4});
    struct attribute scale = {.name = "scale", .kind = ATTRIBUTE_FLOAT, .f = 0.5f};
    struct node *node = graph_add_node(graph, op, NEWEST_OPSET, "attention", 3, inputs, 1, &output, 1, &scale);
    ck_assert_ptr_nonnull(node);
    node->sources = sources;
    node->source_count = 3;
    graph_set_inputs(graph, 3, inputs);
    graph_set_outputs(graph, 1, &output);
    assert_round_trip(graph);
}
END_TEST

START_TEST(the_same_model_gives_the_same_bytes)
{
    struct image first = write_model(attributes_graph(&region), NULL);
    struct region other;
    region_init(&other, &default_allocator);
    ck_assert_ptr_nonnull(region_allocate(&other, 12345)); /* so that nothing lies where it lay before */
    struct image second = write_model(attributes_graph(&other), NULL);
    region_free(&other);
    ck_assert_uint_eq(first.size, second.size);
    ck_assert_mem_eq(first.bytes, second.bytes, first.size);
}
END_TEST

START_TEST(weights_lie_aligned_in_the_file_and_equal_ones_once)
{
    static const float first[3] = {1, 2, 3}, equal[3] = {1, 2, 3}, other[3] = {1, 2, 4};
    struct graph *graph = graph_create(&region, "w");
    struct value *weights[3];
    const float *data[] = {first, equal, other};
    for (int i = 0; i < 3; i++)
        weights[i] =
            graph_add_constant(graph, (const char *[]){"a", "b", "c"}[i], DTYPE_F32, 1, (int64_t[]){3}, data[i]);
    graph_set_inputs(graph, 0, NULL);
    graph_set_outputs(graph, 3, weights);
    struct image image = write_model(graph, NULL);
    struct model_metadata metadata;
    struct graph *copy = read_model(image, &metadata);
    ck_assert_ptr_eq(copy->values[0]->data, copy->values[1]->data);
    ck_assert_ptr_ne(copy->values[0]->data, copy->values[2]->data);
    for (int i = 0; i < 3; i++) {
        size_t offset = (size_t)((const char *)copy->values[i]->data - (const char *)image.bytes);
        ck_assert_uint_le(offset + sizeof first, image.size);
        ck_assert_uint_eq(offset % ALIGNMENT, 0);
        ck_assert_uint_eq((uintptr_t)copy->values[i]->data % ALIGNMENT, 0);
    }
}
END_TEST

START_TEST(a_saved_model_is_the_written_one)
{
    char path[] = "/tmp/infer-model-XXXXXX";
    int descriptor = mkstemp(path);
    ck_assert_int_ge(descriptor, 0);
    close(descriptor);
    struct graph *graph = attributes_graph(&region);
    struct image image = write_model(graph, NULL);
    struct error error = {0};
    ck_assert_msg(model_save(path, graph, NULL, &default_allocator, &error) == STATUS_OK, "%s", error.text);
    struct file_map map;
    ck_assert_int_eq(file_map_path(&map, path, SIZE_MAX, &default_allocator, NULL), STATUS_OK);
    ck_assert_uint_eq(map.size, image.size);
    ck_assert_mem_eq(map.bytes, image.bytes, map.size);
    file_unmap(&map);
    unlink(path);
}
END_TEST

/* y = LeakyRelu(x + w): the model that docs/model-format.md takes apart. */
static struct graph *tiny_graph(void)
{
    static const float weights[] = {1, -1};
    struct graph *graph = graph_create(&region, "main");
    int64_t dims[] = {graph_symbol(graph, "N"), 2};
    struct value *x = add_value(graph, "x", 2, dims);
    struct value *w = graph_add_constant(graph, "w", DTYPE_F32, 1, dims + 1, weights);
    struct value *sum = add_value(graph, "sum", -1, NULL), *y = add_value(graph, "y", 2, dims);
    struct attribute alpha = {.name = "alpha", .kind = ATTRIBUTE_FLOAT, .f = 0.5f};
    add_node(graph, "Add", "add", 2, (struct value *[]){x, w}, sum, 0, NULL);
    add_node(graph, "LeakyRelu", "relu", 1, &sum, y, 1, &alpha);
    graph_set_inputs(graph, 1, &x);
    graph_set_outputs(graph, 1, &y);
    return graph;
}

/* A file of version 1, committed: it is readable for ever, and what is written today is the same to the byte. */
START_TEST(the_file_of_the_document_is_still_read_and_written)
{
    struct model_metadata metadata = {.name = "tiny", .producer = "infer", .description = ""};
    struct image image = write_model(tiny_graph(), &metadata);
    struct file_map map;
    struct error error = {0};
    ck_assert_msg(file_map_path(&map, "tests/data/tiny_model.bin", SIZE_MAX, &default_allocator, &error) == STATUS_OK,
                  "%s", error.text);
    ck_assert_uint_eq(image.size, map.size);
    ck_assert_mem_eq(image.bytes, map.bytes, map.size);
    assert_same_graph(tiny_graph(), read_model((struct image){(void *)map.bytes, map.size}, &metadata));
    file_unmap(&map);
}
END_TEST

/* --- damage ------------------------------------------------------------------------------------------------------- */

/* The bytes in memory of just their size, so that a sanitizer sees a read beyond them. */
static void *exact_copy(const void *bytes, size_t size)
{
    void *copy = allocate(&default_allocator, size, ALIGNMENT);
    ck_assert_ptr_nonnull(copy);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

static enum status try_read(const void *bytes, size_t size, const struct model_read_options *options,
                            struct error *error)
{
    struct region own;
    struct graph *graph;
    struct model_metadata metadata;
    *error = (struct error){0};
    region_init(&own, &default_allocator);
    enum status status = model_read("model.bin", bytes, size, options, &own, &graph, &metadata, error);
    for (int i = 0; status == STATUS_OK && i < metadata.pack_count; i++)
        if (!model_pack_is_whole(&metadata.packs[i]))
            status = error_set(error, STATUS_INVALID_MODEL, "model.bin: pack %d is damaged", i);
    for (int i = 0; status == STATUS_OK && i < metadata.unread_count; i++)
        if (!model_tensor_is_whole(&metadata.unread[i]))
            status =
                error_set(error, STATUS_INVALID_MODEL, "model.bin: tensor %u is damaged", metadata.unread[i].index);
    region_free(&own);
    return status;
}

static void assert_refused(const void *bytes, size_t size)
{
    for (int leaves = 0; leaves < 2; leaves++) {
        const struct model_read_options options = {.leaves_packed = leaves};
        struct error error;
        enum status status = try_read(bytes, size, &options, &error);
        ck_assert_msg(status == STATUS_INVALID_MODEL || status == STATUS_UNSUPPORTED, "status %d", status);
        ck_assert_int_eq(status, error.status);
        ck_assert_msg(strncmp(error.text, "model.bin: ", 11) == 0 && strlen(error.text) > 20, "%s", error.text);
    }
}

/* Packs of two constants of a graph, in the wrong order for the graphs here, and one of what is no constant of it. */
#define PACKS 3
static const struct model_pack *some_packs(const struct graph *graph)
{
    static const char text[150] = "packed as a kernel likes it";
    struct model_pack *packs = region_array(&region, PACKS, sizeof *packs);
    const struct value *first = NULL, *last = NULL;
    for (int i = 0; i < graph->value_count; i++) {
        const struct value *value = graph->values[i];
        first = !first && value->bytes ? value : first;
        last = first && value->bytes > first->bytes ? value : last;
    }
    ck_assert(packs && first && last);
    packs[0] = (struct model_pack){.set = "avx2",
                                   .family = "conv",
                                   .form = 7,
                                   .source = last->data,
                                   .dtype = last->dtype,
                                   .rank = last->rank,
                                   .geometry = {-1, 5},
                                   .data = text,
                                   .bytes = 149};
    memcpy(packs[0].dims, last->dims, (size_t)last->rank * sizeof last->dims[0]);
    packs[1] = packs[2] = (struct model_pack){.set = "avx512",
                                              .family = "matmul",
                                              .source = (const char *)first->data,
                                              .dtype = DTYPE_U8,
                                              .rank = 1,
                                              .dims = {1},
                                              .data = text,
                                              .bytes = 1};
    packs[2].source = text;
    return packs;
}

/* Two small models, to have every section, and one with packs. */
#define SAMPLES 3
static struct image damage_sample(int number)
{
    static const char *const key = "key";
    struct model_metadata metadata = {"n", "p", "d", 1, &key, &key, 1, &key, 0, NULL, 0, NULL};
    struct graph *graph = number ? dtypes_graph(&region) : attributes_graph(&region);
    metadata.packs = number == 2 ? some_packs(graph) : NULL;
    metadata.pack_count = number == 2 ? PACKS : 0;
    return write_model(graph, &metadata);
}

START_TEST(packs_stand_in_the_order_of_what_they_are_made_of)
{
    struct graph *graph = dtypes_graph(&region);
    const struct model_pack *packs = some_packs(graph);
    struct model_metadata metadata = {
        .name = "", .producer = "", .description = "", .pack_count = PACKS, .packs = packs};
    struct model_metadata read;
    struct image image = write_model(graph, &metadata);
    struct graph *copy = read_model(image, &read);
    ck_assert_int_eq(read.pack_count, PACKS - 1);
    for (int i = 0; i < read.pack_count; i++) {
        const struct model_pack *pack = &read.packs[i], *from = &packs[1 - i];
        ck_assert_str_eq(pack->set, from->set);
        ck_assert_str_eq(pack->family, from->family);
        ck_assert_uint_eq(pack->form, from->form);
        ck_assert_int_eq(pack->dtype, from->dtype);
        ck_assert_int_eq(pack->rank, from->rank);
        ck_assert_mem_eq(pack->dims, from->dims, sizeof pack->dims);
        ck_assert_mem_eq(pack->geometry, from->geometry, sizeof pack->geometry);
        ck_assert_uint_eq(pack->bytes, from->bytes);
        ck_assert_mem_eq(pack->data, from->data, pack->bytes);
        ck_assert_mem_eq(pack->source, from->source, 1);
        ck_assert_uint_eq((uintptr_t)pack->data % ALIGNMENT, 0);
        ck_assert(model_pack_is_whole(pack));
    }
    struct image again = write_model(copy, &read);
    ck_assert_uint_eq(again.size, image.size);
    ck_assert_mem_eq(again.bytes, image.bytes, image.size);
    read_model(again, &read);
    ((char *)(uintptr_t)read.packs[1].data)[read.packs[1].bytes - 1] ^= 1;
    ck_assert(model_pack_is_whole(&read.packs[0]) && !model_pack_is_whole(&read.packs[1]));
}
END_TEST

/* Of two packs one is made of a whole tensor, the largest. */
START_TEST(weights_that_are_packed_may_be_left_unread)
{
    const struct model_read_options leaving = {.leaves_packed = true};
    struct graph *graph = dtypes_graph(&region);
    const struct value *largest = graph->values[0];
    for (int i = 1; i < graph->value_count; i++)
        largest = graph->values[i]->bytes > largest->bytes ? graph->values[i] : largest;
    struct model_pack packs[PACKS];
    memcpy(packs, some_packs(graph), sizeof packs);
    packs[0].source = largest->data;
    packs[0].dtype = largest->dtype;
    packs[0].rank = largest->rank;
    memcpy(packs[0].dims, largest->dims, sizeof packs[0].dims);
    struct model_metadata metadata = {
        .name = "", .producer = "", .description = "", .pack_count = PACKS, .packs = packs};
    struct model_metadata read;
    struct error error = {0};
    struct image image = write_model(graph, &metadata);
    for (int damaged = 0; damaged < 2; damaged++) {
        enum status status = model_read("model.bin", image.bytes, image.size, &leaving, &region, &graph, &read, &error);
        ck_assert_int_eq(status, STATUS_OK);
        ck_assert_int_eq(read.unread_count, 1);
        ck_assert_ptr_eq(read.unread[0].data, read.packs[1].source);
        ck_assert_uint_eq(read.unread[0].bytes, largest->bytes);
        ck_assert_int_eq(model_tensor_is_whole(&read.unread[0]), !damaged);
        ck_assert_int_eq(try_read(image.bytes, image.size, NULL, &error), damaged ? STATUS_INVALID_MODEL : STATUS_OK);
        ((char *)(uintptr_t)read.unread[0].data)[largest->bytes - 1] ^= 1;
    }
}
END_TEST

/* What is read is not to lie among it. */
START_TEST(weights_that_are_packed_come_last)
{
    struct graph *graph = dtypes_graph(&region), *copy;
    struct model_pack pack = some_packs(graph)[1];
    const struct value *first = graph->values[0];
    for (int i = 0; !first->bytes || first->rank < 1; i++)
        first = graph->values[i];
    pack.source = first->data;
    pack.dtype = first->dtype;
    pack.rank = first->rank;
    memcpy(pack.dims, first->dims, sizeof pack.dims);
    struct model_metadata metadata = {.name = "", .producer = "", .description = "", .pack_count = 1, .packs = &pack};
    struct model_metadata read;
    struct error error = {0};
    struct image image = write_model(graph, &metadata);
    ck_assert_int_eq(model_read("model.bin", image.bytes, image.size,
                                &(struct model_read_options){.leaves_packed = true}, &region, &copy, &read, &error),
                     STATUS_OK);
    ck_assert_int_eq(read.unread_count, 1);
    for (int i = 0; i < copy->value_count; i++) {
        const struct value *value = copy->values[i];
        ck_assert(!value->bytes || value->data == read.unread[0].data ||
                  (const char *)value->data + value->bytes <= (const char *)read.unread[0].data);
    }
}
END_TEST

START_TEST(every_changed_byte_is_refused)
{
    struct image image = damage_sample(_i);
    uint8_t *bytes = exact_copy(image.bytes, image.size);
    for (size_t i = 0; i < image.size; i++)
        for (int change = 0; change < 3; change++) {
            uint8_t before = bytes[i];
            bytes[i] = (uint8_t)(before ^ (change == 0 ? 1 : change == 1 ? 0x80 : 0xff));
            assert_refused(bytes, image.size);
            bytes[i] = before;
        }
    struct error error;
    ck_assert_int_eq(try_read(bytes, image.size, NULL, &error), STATUS_OK);
    release(&default_allocator, bytes, image.size);
}
END_TEST

START_TEST(every_cut_is_refused)
{
    struct image image = damage_sample(_i);
    for (size_t size = 0; size < image.size; size++) {
        void *cut = exact_copy(image.bytes, size);
        assert_refused(cut, size);
        release(&default_allocator, cut, size);
    }
    uint8_t *longer = allocate(&default_allocator, image.size + 1, ALIGNMENT);
    memcpy(longer, image.bytes, image.size);
    longer[image.size] = 0;
    assert_refused(longer, image.size + 1);
    release(&default_allocator, longer, image.size + 1);
}
END_TEST

START_TEST(trusted_weights_are_not_read)
{
    struct image image = damage_sample(1);
    struct model_read_options trusted = {.skip_weight_checksum = true};
    struct error error;
    uint8_t *bytes = image.bytes;
    bytes[image.size - 1] ^= 1; /* in the last tensor */
    ck_assert_int_eq(try_read(bytes, image.size, &trusted, &error), STATUS_OK);
    ck_assert_int_eq(try_read(bytes, image.size, NULL, &error), STATUS_INVALID_MODEL);
    ck_assert_msg(strstr(error.text, "does not match its checksum") != NULL, "%s", error.text);
    bytes[200] ^= 1; /* in the table */
    ck_assert_int_eq(try_read(bytes, image.size, &trusted, &error), STATUS_INVALID_MODEL);
}
END_TEST

START_TEST(what_no_file_can_hold_is_not_written)
{
    struct image image;
    struct error error = {0};
    struct graph *graph = clip_graph(&region, "g", 0, NULL);
    graph->values[1]->name = "x";
    ck_assert_int_eq(model_write(graph, NULL, &region, &image.bytes, &image.size, &error), STATUS_INVALID_MODEL);
    ck_assert_str_eq(error.text, "two values have the name 'x'");

    error = (struct error){0};
    graph = clip_graph(&region, "g", 0, NULL);
    graph->values[0]->dims[1] = -3;
    ck_assert_int_eq(model_write(graph, NULL, &region, &image.bytes, &image.size, &error), STATUS_INVALID_MODEL);

    error = (struct error){0};
    graph = clip_graph(&region, "g", 0, NULL);
    graph->values[0]->dims[2] = INT64_MAX / 2;
    ck_assert_int_eq(model_write(graph, NULL, &region, &image.bytes, &image.size, &error), STATUS_INVALID_MODEL);

    error = (struct error){0};
    graph = clip_graph(&region, "g", 0, NULL);
    graph->nodes[0]->version = NEWEST_OPSET + 1;
    ck_assert_int_eq(model_write(graph, NULL, &region, &image.bytes, &image.size, &error), STATUS_UNSUPPORTED);

    error = (struct error){0};
    graph = clip_graph(&region, "g", 0, NULL);
    graph->outputs[0] = clip_graph(&region, "other", 0, NULL)->values[1];
    ck_assert_int_eq(model_write(graph, NULL, &region, &image.bytes, &image.size, &error), STATUS_INVALID_MODEL);
    ck_assert_msg(strstr(error.text, "which its graph 'g' does not have") != NULL, "%s", error.text);

    static const unsigned char two = 2;
    error = (struct error){0};
    graph = clip_graph(&region, "g", 0, NULL);
    graph_add_constant(graph, "b", DTYPE_BOOL, 0, NULL, &two);
    ck_assert_int_eq(model_write(graph, NULL, &region, &image.bytes, &image.size, &error), STATUS_INVALID_MODEL);
}
END_TEST

/* --- memory ------------------------------------------------------------------------------------------------------- */

struct failing {
    int left;  /* allocations until one fails */
    int alive; /* blocks not released */
};

static void *failing_allocate(void *user, size_t bytes, size_t alignment)
{
    struct failing *failing = user;
    if (failing->left-- == 0)
        return NULL;
    failing->alive++;
    return allocate(&default_allocator, bytes, alignment);
}

static void failing_release(void *user, void *memory, size_t bytes)
{
    ((struct failing *)user)->alive--;
    release(&default_allocator, memory, bytes);
}

START_TEST(no_memory_is_an_error_wherever_it_happens)
{
    struct graph *graph = _i ? chain_graph(&region, 700) : attributes_graph(&region);
    struct image image = write_model(graph, NULL);
    for (int mode = 0; mode < 2; mode++) {
        enum status status = STATUS_OUT_OF_MEMORY;
        int points = 0;
        for (; status != STATUS_OK; points++) {
            struct failing failing = {.left = points};
            struct allocator allocator = {failing_allocate, failing_release, &failing};
            struct region own;
            struct error error = {0};
            struct model_metadata metadata;
            struct graph *read;
            struct image written;
            region_init(&own, &allocator);
            status = mode ? model_write(graph, NULL, &own, &written.bytes, &written.size, &error)
                          : model_read("m", image.bytes, image.size, NULL, &own, &read, &metadata, &error);
            region_free(&own);
            ck_assert_int_eq(failing.alive, 0);
            ck_assert_msg(status == STATUS_OK || status == STATUS_OUT_OF_MEMORY, "%s", error.text);
            ck_assert_int_eq(status, error.status);
            ck_assert_int_eq(strstr(error.text, "out of memory") != NULL, status != STATUS_OK);
        }
        ck_assert_int_gt(points, _i ? 8 : 2);
    }
}
END_TEST

Suite *model_file_suite(void)
{
    Suite *suite = suite_create("model_file");
    TCase *tests = tcase_create("model_file");
    tcase_add_checked_fixture(tests, make_region, free_region);
    tcase_add_test(tests, attributes_of_every_kind_come_back);
    tcase_add_test(tests, constants_of_every_type_come_back);
    tcase_add_test(tests, long_graphs_come_back);
    tcase_add_test(tests, a_graph_of_nothing_comes_back);
    tcase_add_test(tests, outputs_that_nobody_asked_for_come_back);
    tcase_add_test(tests, defaults_of_inputs_come_back);
    tcase_add_test(tests, operators_of_our_own_domain_come_back);
    tcase_add_test(tests, the_same_model_gives_the_same_bytes);
    tcase_add_test(tests, weights_lie_aligned_in_the_file_and_equal_ones_once);
    tcase_add_test(tests, a_saved_model_is_the_written_one);
    tcase_add_test(tests, the_file_of_the_document_is_still_read_and_written);
    tcase_add_loop_test(tests, every_changed_byte_is_refused, 0, SAMPLES);
    tcase_add_loop_test(tests, every_cut_is_refused, 0, SAMPLES);
    tcase_add_test(tests, packs_stand_in_the_order_of_what_they_are_made_of);
    tcase_add_test(tests, weights_that_are_packed_may_be_left_unread);
    tcase_add_test(tests, weights_that_are_packed_come_last);
    tcase_add_test(tests, trusted_weights_are_not_read);
    tcase_add_test(tests, what_no_file_can_hold_is_not_written);
    tcase_add_loop_test(tests, no_memory_is_an_error_wherever_it_happens, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}
