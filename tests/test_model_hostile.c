/* Model files made to do harm: every checksum is right, and something else is not. */
#include "tests/model_seal.h"
#include "tests/suites.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST_BYTES 400000

/* A model file in pieces, to be changed and put together again. */
struct draft {
    uint8_t *bytes[SECTION_COUNT];
    size_t size[SECTION_COUNT];
};

static struct draft draft;
static uint8_t *file; /* MOST_BYTES * 2 */
static size_t file_size;

/* The model of docs/model-format.md: y = LeakyRelu(x + w), in which x is [N, 2]. Its values are x, w, sum, y. */
static void take_apart(void)
{
    struct file_map map;
    struct error error = {0};
    struct section_record record;
    ck_assert_msg(file_map_path(&map, "tests/data/tiny_model.bin", SIZE_MAX, &default_allocator, &error) == STATUS_OK,
                  "%s", error.text);
    uint32_t count = ((const struct model_header *)map.bytes)->section_count;
    for (int i = 0; i < SECTION_COUNT; i++) {
        draft.bytes[i] = calloc(1, MOST_BYTES);
        draft.size[i] = 0;
        ck_assert_ptr_nonnull(draft.bytes[i]);
        if (!model_find_section(map.bytes, map.size, count, (enum model_section)i, &record))
            continue;
        draft.size[i] = (size_t)record.bytes;
        memcpy(draft.bytes[i], (const uint8_t *)map.bytes + record.offset, record.bytes);
    }
    draft.size[SECTION_PASSES] = sizeof(uint32_t); /* one, whose name is string 0 */
    /* Of the two elements of w: of both 70 bytes, and 8 of the second. */
    struct pack_record packs[2] = {
        {.set = 9, .family = 6, .form = 1, .dtype = DTYPE_F32, .rank = 1, .dims = {2}, .bytes = 70},
        {.set = 9, .family = 6, .dtype = DTYPE_F32, .source_offset = 4, .offset = 128, .bytes = 8},
    };
    draft.size[SECTION_PACKS] = sizeof packs;
    memcpy(draft.bytes[SECTION_PACKS], packs, sizeof packs);
    draft.size[SECTION_PACKED] = 136;
    file_unmap(&map);
    file = allocate(&default_allocator, (size_t)MOST_BYTES * 2, ALIGNMENT);
    ck_assert_ptr_nonnull(file);
}

static void throw_away(void)
{
    for (int i = 0; i < SECTION_COUNT; i++)
        free(draft.bytes[i]);
    release(&default_allocator, file, (size_t)MOST_BYTES * 2);
}

static void put_together(void)
{
    struct model_header header = {.format_version = MODEL_FORMAT_VERSION, .section_count = SECTION_COUNT};
    size_t end = sizeof header + SECTION_COUNT * sizeof(struct section_record);
    memset(file, 0, (size_t)MOST_BYTES * 2);
    memcpy(file, &header, sizeof header);
    for (int i = 0; i < SECTION_COUNT; i++) {
        const struct model_section_type *type = &model_section_types[i];
        struct section_record record = {.version = type->version, .flags = type->flags, .bytes = draft.size[i]};
        memcpy(record.type, type->type, sizeof record.type);
        record.offset = align_up(end, ALIGNMENT);
        memcpy(file + sizeof header + (size_t)i * sizeof record, &record, sizeof record);
        memcpy(file + record.offset, draft.bytes[i], draft.size[i]);
        end = (size_t)(record.offset + record.bytes);
    }
    file_size = end;
    model_seal(file, file_size);
}

static enum status read_file(struct error *error)
{
    struct region region;
    struct graph *graph;
    struct model_metadata metadata;
    /* In memory of its own size, so that a sanitizer sees a read beyond it. */
    uint8_t *exact = allocate(&default_allocator, file_size, ALIGNMENT);
    memcpy(exact, file, file_size);
    *error = (struct error){0};
    region_init(&region, &default_allocator);
    enum status status = model_read("model.bin", exact, file_size, NULL, &region, &graph, &metadata, error);
    ck_assert_uint_le(region.total, 64 * 1024 + 16 * file_size);
    region_free(&region);
    release(&default_allocator, exact, file_size);
    return status;
}

static void assert_error(const char *text)
{
    struct error error;
    enum status status = read_file(&error);
    ck_assert_msg(status == STATUS_INVALID_MODEL || status == STATUS_UNSUPPORTED, "status %d", status);
    ck_assert_msg(strncmp(error.text, "model.bin: ", 11) == 0 && strstr(error.text, text) != NULL,
                  "expected '%s' in '%s'", text, error.text);
}

static void assert_fine(void)
{
    struct error error;
    ck_assert_msg(read_file(&error) == STATUS_OK, "%s", error.text);
}

START_TEST(a_draft_put_together_is_a_model)
{
    put_together();
    assert_fine();
}
END_TEST

/* --- one field, anywhere in a section ----------------------------------------------------------------------------- */

struct edit {
    enum model_section section;
    size_t offset, bytes;
    uint64_t number;
    const char *error;
};

#define FIELD(section, record, index, field)                                             \
    SECTION_##section, (index) * sizeof(struct record) + offsetof(struct record, field), \
        sizeof(((struct record *)0)->field)
#define ITEM(section, type, index) SECTION_##section, (index) * sizeof(type), sizeof(type)

static const struct edit edits[] = {
    {ITEM(STRINGS, uint32_t, 0), UINT32_MAX, "section 'strs' of 118 bytes cannot hold 4,294,967,295 strings"},
    {ITEM(STRINGS, uint32_t, 0), 13, "string 0 is not terminated"},
    {ITEM(STRINGS, uint32_t, 3), UINT32_MAX, "string 2 ends at byte 4,294,967,295 of its section's text, which has 58"},
    {ITEM(STRINGS, uint32_t, 3), 5, "string 2 ends at byte 5"},
    {ITEM(STRINGS, uint32_t, 3), 14, "string 2 is not terminated"},
    {ITEM(STRINGS, uint32_t, 14), 57, "string 13 is not terminated"},
    {SECTION_STRINGS, 61, 1, 'Z', "string 2 is not after the one before it in order"},
    {SECTION_STRINGS, 117, 1, 'x', "string 13 is not terminated"},
    {FIELD(METADATA, metadata_record, 0, description), 14, "metadata: refers to string 14 of 14"},
    {ITEM(PASSES, uint32_t, 0), 14, "passes: refers to string 14 of 14"},
    {FIELD(OPERATORS, operator_record, 1, name), 99, "graph 0 'main': node 1 'relu': refers to string 99 of 14"},
    {FIELD(OPERATORS, operator_record, 1, name), 3, "graph 0 'main': node 1 'relu': there is no operator 'N' here"},
    {FIELD(OPERATORS, operator_record, 0, domain), 3, "node 0 'add': there is no operator 'N.Add' here"},
    {FIELD(OPERATORS, operator_record, 0, version), 0, "node 0 'add': has version 0 of its operator"},
    {FIELD(OPERATORS, operator_record, 0, version), 99, "node 0 'add': needs Add of operator set 99; the newest"},
    {FIELD(OPERATORS, operator_record, 0, version), UINT32_MAX, "node 0 'add': has version 4294967295"},
    {ITEM(SYMBOLS, uint32_t, 0), 1000, "graph 0: refers to string 1,000 of 14"},
    {FIELD(GRAPHS, graph_record, 0, name), UINT32_MAX, "graph 0: refers to string 4,294,967,295 of 14"},
    {FIELD(GRAPHS, graph_record, 0, symbols), 2, "graph 0: takes 2 records of section 'syms', which has 1 left"},
    {FIELD(GRAPHS, graph_record, 0, symbols), 0, "value 0 'x': has symbol 0 as dimension 0; its graph has 0"},
    {FIELD(GRAPHS, graph_record, 0, values), 5, "graph 0: has 5 values, more than section 'vals' has left"},
    {FIELD(GRAPHS, graph_record, 0, values), UINT32_MAX, "graph 0: has 4,294,967,295 values"},
    {FIELD(GRAPHS, graph_record, 0, values), 3, "value 3 'y': has symbol 0 as dimension 0; its graph has 0"},
    {FIELD(GRAPHS, graph_record, 0, inputs), UINT32_MAX, "takes 4,294,967,295 records of section 'refs', which has 9"},
    {FIELD(GRAPHS, graph_record, 0, inputs), 2, "graph 0 'main': node 0 'add': refers to value 4; its graph has 4"},
    {FIELD(GRAPHS, graph_record, 0, outputs), 0, "graph 0 'main': node 1 'relu': refers to value 4; its graph has 4"},
    {FIELD(GRAPHS, graph_record, 0, nodes), 1, "the last 24 bytes of section 'node' belong to nothing"},
    {FIELD(GRAPHS, graph_record, 0, nodes), 3, "takes 3 records of section 'node', which has 2 left"},
    {FIELD(VALUES, value_record, 2, name), 13, "value 3 'y' has the name of another"},
    {FIELD(VALUES, value_record, 2, name), 14, "value 2 '': refers to string 14 of 14"},
    {FIELD(VALUES, value_record, 0, dtype), DTYPE_COUNT, "value 0 'x': has type 27, which no type has"},
    {FIELD(VALUES, value_record, 0, dtype), UINT32_MAX, "value 0 'x': has type 4294967295"},
    {FIELD(VALUES, value_record, 0, rank), 9, "value 0 'x': has rank 9; at most 8 is supported"},
    {FIELD(VALUES, value_record, 0, rank), (uint32_t)-2, "value 0 'x': has rank -2"},
    {FIELD(VALUES, value_record, 0, rank), 8, "value 0 'x': takes 8 records of section 'dims', which has 5 left"},
    {FIELD(VALUES, value_record, 0, rank), INT32_MAX, "value 0 'x': has rank 2147483647"},
    {FIELD(VALUES, value_record, 0, tensor), 0, "constant 'x' has no valid shape"},
    {FIELD(VALUES, value_record, 1, tensor), 1, "value 1 'w': refers to tensor 1 of 1"},
    {FIELD(VALUES, value_record, 1, tensor), MODEL_NONE, "node 'add' (Add) reads 'w' before anything has made it"},
    {FIELD(VALUES, value_record, 1, rank), (uint32_t)-1, "the last 8 bytes of section 'dims' belong to nothing"},
    {FIELD(VALUES, value_record, 1, dtype), DTYPE_F64, "constant 'w' holds 8 bytes; its shape needs 16"},
    {FIELD(VALUES, value_record, 1, dtype), DTYPE_STRING, "constant 'w' has type string, which is not supported"},
    {FIELD(VALUES, value_record, 1, dtype), DTYPE_BOOL,
     "value 1 'w': is bool and holds bytes that are neither 0 nor 1"},
    {ITEM(DIMS, int64_t, 0), (uint64_t)-2, "value 0 'x': has symbol 1 as dimension 0; its graph has 1"},
    {ITEM(DIMS, int64_t, 0), (uint64_t)INT64_MIN, "value 0 'x': has symbol 9,223,372,036,854,775,807 as"},
    {ITEM(DIMS, int64_t, 1), INT64_MAX, "value 0 'x': has a shape of too many elements"},
    {ITEM(DIMS, int64_t, 2), (uint64_t)-1, "constant 'w' has no valid shape"},
    {ITEM(DIMS, int64_t, 2), 3, "constant 'w' holds 8 bytes; its shape needs 12"},
    {FIELD(TENSORS, tensor_record, 0, offset), 4, "tensor 0 'w' begins at byte 4 of the weights"},
    {FIELD(TENSORS, tensor_record, 0, offset), (uint64_t)-64, "tensor 0 'w' of 8 bytes at byte 18,446,744,073,709,551"},
    {FIELD(TENSORS, tensor_record, 0, bytes), UINT64_MAX, "goes past their end (8)"},
    {FIELD(TENSORS, tensor_record, 0, bytes), 9,
     "tensor 0 'w' of 9 bytes at byte 0 of the weights goes past their end"},
    {FIELD(TENSORS, tensor_record, 0, bytes), 4, "section 'wgts' has 8 bytes; its tensors end at 4"},
    {FIELD(PACKS, pack_record, 0, set), 14, "pack 0: refers to string 14 of 14"},
    {FIELD(PACKS, pack_record, 1, family), 14, "pack 1: refers to string 14 of 14"},
    {FIELD(PACKS, pack_record, 0, tensor), 1, "pack 0: is made of tensor 1 of 1"},
    {FIELD(PACKS, pack_record, 0, tensor), UINT32_MAX, "pack 0: is made of tensor 4,294,967,295 of 1"},
    {FIELD(PACKS, pack_record, 0, dtype), 0, "pack 0: has type 0, which no constant has"},
    {FIELD(PACKS, pack_record, 0, dtype), DTYPE_COUNT, "pack 0: has type 27, which no constant has"},
    {FIELD(PACKS, pack_record, 0, dtype), DTYPE_F64, "pack 0: is made of what goes past the end of tensor 0"},
    {FIELD(PACKS, pack_record, 0, dtype), DTYPE_STRING, "pack 0: has type 8, which no constant has"},
    {FIELD(PACKS, pack_record, 0, rank), 9, "pack 0: has rank 9"},
    {FIELD(PACKS, pack_record, 0, rank), (uint32_t)-1, "pack 0: has rank -1"},
    {FIELD(PACKS, pack_record, 0, rank), 0, "pack 0: has dimension 2 at place 0, with rank 0"},
    {SECTION_PACKS, offsetof(struct pack_record, dims), sizeof(int64_t), 3,
     "pack 0: is made of what goes past the end of tensor 0"},
    {SECTION_PACKS, offsetof(struct pack_record, dims), sizeof(int64_t), (uint64_t)-1,
     "pack 0: has dimension -1 at place 0"},
    {SECTION_PACKS, offsetof(struct pack_record, dims), sizeof(int64_t), INT64_MAX,
     "pack 0: has a shape of too many elements"},
    {FIELD(PACKS, pack_record, 0, source_offset), 4, "pack 0: is made of what goes past the end of tensor 0"},
    {FIELD(PACKS, pack_record, 0, source_offset), UINT64_MAX, "pack 0: is made of what goes past the end of tensor 0"},
    {FIELD(PACKS, pack_record, 0, offset), 64, "pack 0: begins at byte 64 of section 'pckd', not at 0"},
    {FIELD(PACKS, pack_record, 1, offset), 0, "pack 1: begins at byte 0 of section 'pckd', not at 128"},
    {FIELD(PACKS, pack_record, 1, offset), (uint64_t)-64, "pack 1: begins at byte 18,446,744,073,709,551,552 of"},
    {FIELD(PACKS, pack_record, 0, bytes), 0, "pack 0: has 0 bytes at byte 0 of section 'pckd'"},
    {FIELD(PACKS, pack_record, 0, bytes), UINT64_MAX, "pack 0: has 18,446,744,073,709,551,615 bytes at byte 0"},
    {FIELD(PACKS, pack_record, 0, bytes), 60, "pack 1: begins at byte 128 of section 'pckd', not at 64"},
    {FIELD(PACKS, pack_record, 1, bytes), 9, "pack 1: has 9 bytes at byte 128 of section 'pckd', which has 136"},
    {FIELD(PACKS, pack_record, 1, bytes), 7, "section 'pckd' has 136 bytes; its packs end at 135"},
    {FIELD(NODES, node_record, 0, op), 2, "node 0 'add': refers to operator 2 of 2"},
    {FIELD(NODES, node_record, 0, name), 77, "node 0 '': refers to string 77 of 14"},
    {FIELD(NODES, node_record, 0, inputs), 1, "graph 0 'main': node 1 'relu': refers to value 4; its graph has 4"},
    {FIELD(NODES, node_record, 0, inputs), UINT32_MAX, "node 0 'add': takes 4,294,967,295 records of section 'refs'"},
    {FIELD(NODES, node_record, 1, sources), 0, "the last 4 bytes of section 'refs' belong to nothing"},
    {FIELD(NODES, node_record, 1, attributes), 0, "the last 16 bytes of section 'attr' belong to nothing"},
    {FIELD(NODES, node_record, 0, attributes), 2, "node 0 'add': takes 2 records of section 'attr', which has 1 left"},
    /* x, y | x, w -> sum, "add" | sum -> y, "relu" */
    {ITEM(REFERENCES, uint32_t, 0), MODEL_NONE, "graph 0 'main': refers to value 4,294,967,295; its graph has 4"},
    {ITEM(REFERENCES, uint32_t, 0), 1, "input 0 'w' is listed twice or is a constant"},
    {ITEM(REFERENCES, uint32_t, 2), 4, "node 0 'add': refers to value 4; its graph has 4"},
    {ITEM(REFERENCES, uint32_t, 2), 2, "node 'add' (Add) reads 'sum' before anything has made it"},
    {ITEM(REFERENCES, uint32_t, 4), 1, "node 'add' (Add) makes 'w', which exists already"},
    {ITEM(REFERENCES, uint32_t, 4), 0, "node 'add' (Add) makes 'x', which exists already"},
    {ITEM(REFERENCES, uint32_t, 7), 2, "node 'relu' (LeakyRelu) makes 'sum', which exists already"},
    {ITEM(REFERENCES, uint32_t, 8), 14, "node 1 'relu': refers to string 14 of 14"},
    {FIELD(ATTRIBUTES, attribute_record, 0, name), 14, "node 1 'relu': attribute 0: refers to string 14 of 14"},
    {FIELD(ATTRIBUTES, attribute_record, 0, kind), 0, "attribute 'alpha' is of kind 0, which none is"},
    {FIELD(ATTRIBUTES, attribute_record, 0, kind), 9, "attribute 'alpha' is of kind 9, which none is"},
    {FIELD(ATTRIBUTES, attribute_record, 0, content), UINT64_MAX, "attribute 'alpha': has bytes set behind its float"},
    {FIELD(ATTRIBUTES, attribute_record, 0, kind), ATTRIBUTE_STRING,
     "attribute 'alpha': refers to string 1,056,964,608"},
    {FIELD(ATTRIBUTES, attribute_record, 0, kind), ATTRIBUTE_TENSOR, "the tensors of attributes are values 4 to 4"},
    {FIELD(ATTRIBUTES, attribute_record, 0, kind), ATTRIBUTE_GRAPH,
     "attribute 'alpha': holds graph 1,056,964,608 of 1"},
    {FIELD(ATTRIBUTES, attribute_record, 0, kind), ATTRIBUTE_INTS, "takes 1,056,964,608 records of section 'ints'"},
    {FIELD(ATTRIBUTES, attribute_record, 0, kind), ATTRIBUTE_FLOATS, "takes 1,056,964,608 records of section 'flts'"},
    {FIELD(ATTRIBUTES, attribute_record, 0, kind), ATTRIBUTE_STRINGS, "takes 1,056,964,608 records of section 'refs'"},
};

START_TEST(a_wrong_field_is_named)
{
    const struct edit *edit = &edits[_i];
    memcpy(draft.bytes[edit->section] + edit->offset, &edit->number, edit->bytes);
    put_together();
    assert_error(edit->error);
}
END_TEST

/* --- sections ----------------------------------------------------------------------------------------------------- */

static const struct {
    enum model_section section;
    size_t cut, add; /* bytes at its end */
    const char *error;
} resizes[] = {
    {SECTION_STRINGS, 116, 0, "section 'strs' has 2 bytes, too few for a count"},
    {SECTION_STRINGS, 118, 0, "metadata: refers to string 10 of 0"},
    {SECTION_STRINGS, 0, 1, "section 'strs' goes on after its last string"},
    {SECTION_METADATA, 1, 0, "section 'meta' has 11 bytes, not 12 and a multiple of 8"},
    {SECTION_METADATA, 0, 4, "section 'meta' has 16 bytes"},
    {SECTION_PASSES, 2, 0, "section 'pass' has 2 bytes, not a multiple of its records' 4"},
    {SECTION_PASSES, 0, 1, "section 'pass' has 5 bytes, not a multiple of its records' 4"},
    {SECTION_OPERATORS, 12, 0, "refers to operator 1 of 1"},
    {SECTION_SYMBOLS, 0, 4, "the last 4 bytes of section 'syms' belong to nothing"},
    {SECTION_GRAPHS, 24, 0, "holds no graph"},
    {SECTION_GRAPHS, 1, 0, "section 'grph' has 23 bytes, not a multiple of its records' 24"},
    {SECTION_GRAPHS, 0, 24, "has 2 graphs, of which attributes hold 0"},
    {SECTION_VALUES, 0, 16, "value 4 '' is of no graph, and no attribute holds it"},
    {SECTION_DIMS, 8, 0, "value 3 'y': takes 2 records of section 'dims', which has 1 left"},
    {SECTION_DIMS, 0, 8, "the last 8 bytes of section 'dims' belong to nothing"},
    {SECTION_TENSORS, 24, 0, "section 'wgts' has 8 bytes; its tensors end at 0"},
    {SECTION_TENSORS, 0, 24, "tensor 1 '' begins at byte 0 of the weights; the next free multiple of 64 is 64"},
    {SECTION_NODES, 0, 24, "the last 24 bytes of section 'node' belong to nothing"},
    {SECTION_REFERENCES, 0, 400, "the last 400 bytes of section 'refs' belong to nothing"},
    {SECTION_INTS, 0, 8, "the last 8 bytes of section 'ints' belong to nothing"},
    {SECTION_FLOATS, 0, 4, "the last 4 bytes of section 'flts' belong to nothing"},
    {SECTION_DEFAULTS, 0, 4, "input 0 'x' is float32 [N, 2], and its default float32 [N, 2]"},
    {SECTION_DEFAULTS, 0, 8, "has defaults for 2 inputs of 1"},
    {SECTION_WEIGHTS, 8, 0, "tensor 0 'w' of 8 bytes at byte 0 of the weights goes past their end (0)"},
    {SECTION_PACKS, sizeof(struct pack_record), 0, "section 'pckd' has 136 bytes; its packs end at 70"},
    {SECTION_PACKS, 0, sizeof(struct pack_record), "pack 2: has type 0, which no constant has"},
    {SECTION_PACKS, 1, 0, "section 'pack' has 623 bytes, not a multiple of its records' 312"},
    {SECTION_PACKED, 1, 0, "pack 1: has 8 bytes at byte 128 of section 'pckd', which has 135"},
    {SECTION_PACKED, 136, 0, "pack 0: has 70 bytes at byte 0 of section 'pckd', which has 0"},
    {SECTION_PACKED, 0, 1, "section 'pckd' has 137 bytes; its packs end at 136"},
    {SECTION_WEIGHTS, 0, 1, "section 'wgts' has 9 bytes; its tensors end at 8"},
};

START_TEST(a_section_of_another_size_is_named)
{
    draft.size[resizes[_i].section] += resizes[_i].add;
    draft.size[resizes[_i].section] -= resizes[_i].cut;
    put_together();
    assert_error(resizes[_i].error);
}
END_TEST

/* Fields of the table: of section `section`, at `offset` of its record. */
static const struct {
    enum model_section section;
    size_t offset, bytes;
    uint64_t number;
    const char *error;
} table_edits[] = {
#define ENTRY(section, field) \
    SECTION_##section, offsetof(struct section_record, field), sizeof(((struct section_record *)0)->field)
    {ENTRY(VALUES, offset), 1, "section 'vals' begins at byte 1, not a multiple of 64"},
    {ENTRY(VALUES, offset), 0, "section 'vals' begins at byte 0, inside what ends at byte"},
    {ENTRY(VALUES, offset), 640, "section 'vals' begins at byte 640, inside what ends at byte"},
    {ENTRY(VALUES, offset), (uint64_t)-64, "goes past the end of the file"},
    {ENTRY(VALUES, bytes), UINT64_MAX, "section 'vals' of 18,446,744,073,709,551,615 bytes"},
    {ENTRY(VALUES, bytes), 1 << 20, "section 'vals' of 1,048,576 bytes"},
    {ENTRY(VALUES, bytes), 128, "begins at byte"},
    {ENTRY(VALUES, bytes), 48, "there are stray bytes before section 'dims'"},
    {ENTRY(VALUES, flags), 0x80000001, "section 'vals' has flags that this version does not know"},
    {ENTRY(VALUES, flags), 3, "section 'vals' has the flags of another"},
    {ENTRY(WEIGHTS, flags), 1, "section 'wgts' has the flags of another"},
    {ENTRY(VALUES, zero), 1, "section 'vals' has flags that this version does not know"},
    {ENTRY(VALUES, version), 2, "needs section 'vals' version 2, which this build does not know"},
    {ENTRY(VALUES, type), 0x73646f6d, "needs section 'mods' version 1, which this build does not know"},
    {ENTRY(VALUES, type), 0x736d6964, "section 'dims' is there twice"},
    {ENTRY(DIMS, type), 0x736c6176, "section 'vals' is there twice"},
};

START_TEST(a_wrong_place_in_the_table_is_named)
{
    put_together();
    size_t entry = sizeof(struct model_header) + (size_t)table_edits[_i].section * sizeof(struct section_record);
    memcpy(file + entry + table_edits[_i].offset, &table_edits[_i].number, table_edits[_i].bytes);
    model_seal(file, file_size);
    assert_error(table_edits[_i].error);
}
END_TEST

/* Packs in the wrong order are of no harm but to those who look for them. */
START_TEST(packs_out_of_order_are_named)
{
    struct pack_record *packs = (struct pack_record *)(void *)draft.bytes[SECTION_PACKS];
    packs[0].source_offset = 4;
    packs[0].rank = 0;
    packs[0].dims[0] = 0;
    packs[1].source_offset = 0;
    put_together();
    assert_error("pack 1: is not after the one before it in order");
}
END_TEST

START_TEST(an_unknown_section_that_is_optional_is_skipped)
{
    put_together();
    /* Metadata are optional: a type or a version of it that is not known leaves a model without them. */
    uint8_t *entry = file + sizeof(struct model_header) + SECTION_METADATA * sizeof(struct section_record);
    memcpy(entry, "next", 4);
    model_seal(file, file_size);
    assert_fine();
    memcpy(entry, "meta\2", 5);
    model_seal(file, file_size);
    assert_fine();
    entry[sizeof(struct section_record) - 1] ^= 1; /* its checksum holds all the same */
    struct model_header *header = (struct model_header *)(void *)file;
    header->table_checksum = xxh3(file + sizeof *header, SECTION_COUNT * sizeof(struct section_record));
    header->header_checksum = xxh3(header, offsetof(struct model_header, header_checksum));
    assert_error("section 'meta' (bytes");
}
END_TEST

/* The checksums of a version are no other's. */
START_TEST(a_version_has_its_own_checksums)
{
    put_together();
    struct model_header *header = (struct model_header *)(void *)file;
    header->format_version = 1;
    assert_error("its header does not match its checksum");
    header->header_checksum = model_checksum(1, header, offsetof(struct model_header, header_checksum));
    assert_error("its table of sections does not match its checksum");
    model_seal(file, file_size);
    assert_fine();
    struct section_record weights;
    ck_assert(model_find_section(file, file_size, SECTION_COUNT, SECTION_WEIGHTS, &weights));
    file[weights.offset + weights.bytes - 1] ^= 1;
    assert_error("tensor 0 'w' (bytes");
}
END_TEST

/* Of what is large and may be of no use to a reader, not a byte is read. */
START_TEST(an_unknown_section_in_parts_is_skipped_unread)
{
    put_together();
    uint8_t *entry = file + sizeof(struct model_header) + SECTION_METADATA * sizeof(struct section_record);
    struct section_record record;
    memcpy(&record, entry, sizeof record);
    memcpy(record.type, "huge", 4);
    record.flags = SECTION_IN_PARTS;
    memcpy(entry, &record, sizeof record);
    model_seal(file, file_size);
    assert_fine();
    file[record.offset] ^= 1;
    assert_fine();
    record.flags |= SECTION_REQUIRED;
    memcpy(entry, &record, sizeof record);
    model_seal(file, file_size);
    assert_error("needs section 'huge' version 1, which this build does not know");
}
END_TEST

START_TEST(a_wrong_header_is_named)
{
    put_together();
    struct model_header *header = (struct model_header *)(void *)file;
    struct model_header good = *header;
    header->section_count = UINT32_MAX;
    model_seal(file, file_size);
    assert_error("its table of 4,294,967,295 sections goes past the end of the file");
    *header = good;
    header->section_count = 0;
    model_seal(file, file_size);
    assert_error("goes on after its last section, from byte 64");
    *header = good;
    header->zero[2] = 1;
    model_seal(file, file_size);
    assert_error("its header has bytes set that this version leaves zero");
    *header = good;
    header->format_version = MODEL_FORMAT_VERSION + 1;
    model_seal(file, file_size);
    assert_error("has format version 3; this build reads versions 1 to 2");
    *header = good;
    header->format_version = 0;
    model_seal(file, file_size);
    assert_error("has format version 0; this build reads versions 1 to 2");
    *header = good;
    memcpy(header->magic, "\x89INF\n\x1a\n\0", 8);
    assert_error("was damaged on its way, as by a transfer in text mode");
    memcpy(header->magic, "\x08\x08\x12\x07pyto", 8);
    assert_error("is not a model file");
    *header = good;
    file_size -= 100;
    assert_error("was cut to");
    file_size += 101;
    file[file_size - 1] = 0;
    assert_error("bytes; its header says");
}
END_TEST

START_TEST(bytes_where_there_should_be_none_are_found)
{
    put_together();
    struct section_record first;
    memcpy(&first, file + sizeof(struct model_header), sizeof first);
    ck_assert_uint_ne((first.offset + first.bytes) % ALIGNMENT, 0);
    file[first.offset + first.bytes] = 1;
    assert_error("there are stray bytes before section 'meta', between");
    /* The same between two tensors. */
    struct tensor_record second = {.offset = 64, .bytes = 0};
    memcpy(draft.bytes[SECTION_TENSORS] + draft.size[SECTION_TENSORS], &second, sizeof second);
    draft.size[SECTION_TENSORS] += sizeof second;
    draft.size[SECTION_WEIGHTS] = 64;
    put_together();
    assert_fine();
    draft.bytes[SECTION_WEIGHTS][63] = 1;
    put_together();
    assert_error("there are stray bytes before tensor 1 '', between");
}
END_TEST

START_TEST(memory_that_is_not_aligned_is_refused)
{
    put_together();
    struct error error = {0};
    struct region region;
    region_init(&region, &default_allocator);
    struct graph *graph;
    struct model_metadata metadata;
    memmove(file + 8, file, file_size);
    ck_assert_int_eq(model_read("m", file + 8, file_size, NULL, &region, &graph, &metadata, &error),
                     STATUS_INVALID_ARGUMENT);
    ck_assert_str_eq(error.text, "m: lies in memory at an address that is no multiple of 64");
    /* Without anyone to tell, it is refused as well. */
    ck_assert_int_eq(model_read("m", file, 10, NULL, &region, &graph, &metadata, NULL), STATUS_INVALID_MODEL);
    region_free(&region);
}
END_TEST

/* --- graphs inside graphs ----------------------------------------------------------------------------------------- */

static void put(enum model_section section, const void *record, size_t bytes)
{
    ck_assert_uint_le(draft.size[section] + bytes, MOST_BYTES);
    memcpy(draft.bytes[section] + draft.size[section], record, bytes);
    draft.size[section] += bytes;
}

/* Empties all but strings and operators. */
static void clear_graphs(void)
{
    for (int i = 0; i < SECTION_COUNT; i++)
        if (i != SECTION_STRINGS && i != SECTION_OPERATORS)
            draft.size[i] = 0;
}

/* A graph of two values, x and y, and a node y = LeakyRelu(x), in an attribute of which graph `held` is: MODEL_NONE for
 * none. All names are one string. */
static void put_graph(uint32_t name, uint32_t held)
{
    struct graph_record graph = {.name = name, .values = 2, .inputs = 1, .outputs = 1, .nodes = 1};
    struct value_record value = {.name = 0, .rank = -1, .tensor = MODEL_NONE}, other = value;
    struct node_record node = {.op = 1, .name = name, .inputs = 1, .outputs = 1, .sources = 1};
    uint32_t references[] = {0, 1, 0, 1, name};
    struct attribute_record attribute = {.name = name, .kind = ATTRIBUTE_GRAPH, .content = held};
    other.name = 1;
    node.attributes = held != MODEL_NONE;
    put(SECTION_GRAPHS, &graph, sizeof graph);
    put(SECTION_VALUES, &value, sizeof value);
    put(SECTION_VALUES, &other, sizeof other);
    put(SECTION_NODES, &node, sizeof node);
    put(SECTION_REFERENCES, references, sizeof references);
    if (node.attributes)
        put(SECTION_ATTRIBUTES, &attribute, sizeof attribute);
}

START_TEST(graphs_make_a_tree)
{
    static const struct {
        uint32_t held[3];
        const char *error;
    } cases[] = {
        {{1, 2, MODEL_NONE}, NULL},
        {{0, 1, 2}, "holds graph 0 of 3, inside graph 0; the next is 1"},
        {{1, 1, MODEL_NONE}, "holds graph 1 of 3, inside graph 1; the next is 2"},
        {{1, 0, MODEL_NONE}, "holds graph 0 of 3, inside graph 1; the next is 2"},
        {{MODEL_NONE, 1, 2}, "holds graph 1 of 3, inside graph 1; the next is 1"},
        {{1, 2, 3}, "holds graph 3 of 3, inside graph 2; the next is 3"},
        {{2, 1, MODEL_NONE}, "holds graph 2 of 3, inside graph 0; the next is 1"},
        {{1, MODEL_NONE, MODEL_NONE}, "has 3 graphs, of which attributes hold 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        clear_graphs();
        for (int graph = 0; graph < 3; graph++)
            put_graph(0, cases[i].held[graph]);
        put_together();
        if (cases[i].error)
            assert_error(cases[i].error);
        else
            assert_fine();
    }
}
END_TEST

START_TEST(graphs_nest_only_so_deep)
{
    for (uint32_t count = 2; count <= 2000; count = count < 40 ? count + 1 : count * 2) {
        clear_graphs();
        for (uint32_t i = 0; i < count; i++)
            put_graph(5, i + 1 < count ? i + 1 : MODEL_NONE);
        put_together();
        if (count <= 33)
            assert_fine();
        else
            assert_error("graph 32 'alpha': node 0 'alpha': attribute 'alpha': nests graphs more than 32 deep");
    }
}
END_TEST

/* Adds a last string, "zz...z". */
static uint32_t put_long_string(uint32_t bytes)
{
    uint8_t *strings = draft.bytes[SECTION_STRINGS];
    uint32_t count = load_u32(strings), more = count + 1;
    uint8_t *text = strings + 4 + (size_t)count * 4;
    uint32_t end = load_u32(text - 4) + bytes;
    memmove(text + 4, text, draft.size[SECTION_STRINGS] - (size_t)(text - strings));
    memcpy(text, &end, 4);
    memcpy(strings, &more, 4);
    draft.size[SECTION_STRINGS] += 4 + bytes;
    memset(strings + draft.size[SECTION_STRINGS] - bytes, 'z', bytes - 1);
    strings[draft.size[SECTION_STRINGS] - 1] = 0;
    return count;
}

/* Nothing may cost more than its size in the file: here one long name is that of many graphs and nodes. */
START_TEST(shared_names_are_not_copied)
{
    clear_graphs();
    uint32_t name = put_long_string(100000);
    for (uint32_t i = 0; i < 30; i++)
        put_graph(name, i + 1 < 30 ? i + 1 : MODEL_NONE);
    put_together();
    assert_fine();
}
END_TEST

static int count_of(size_t bytes, size_t each)
{
    return (int)(bytes / each);
}

Suite *model_hostile_suite(void)
{
    Suite *suite = suite_create("model_hostile");
    TCase *tests = tcase_create("model_hostile");
    tcase_add_checked_fixture(tests, take_apart, throw_away);
    tcase_add_test(tests, a_draft_put_together_is_a_model);
    tcase_add_loop_test(tests, a_wrong_field_is_named, 0, count_of(sizeof edits, sizeof edits[0]));
    tcase_add_loop_test(tests, a_section_of_another_size_is_named, 0, count_of(sizeof resizes, sizeof resizes[0]));
    tcase_add_loop_test(tests, a_wrong_place_in_the_table_is_named, 0,
                        count_of(sizeof table_edits, sizeof table_edits[0]));
    tcase_add_test(tests, an_unknown_section_that_is_optional_is_skipped);
    tcase_add_test(tests, packs_out_of_order_are_named);
    tcase_add_test(tests, an_unknown_section_in_parts_is_skipped_unread);
    tcase_add_test(tests, a_version_has_its_own_checksums);
    tcase_add_test(tests, a_wrong_header_is_named);
    tcase_add_test(tests, bytes_where_there_should_be_none_are_found);
    tcase_add_test(tests, memory_that_is_not_aligned_is_refused);
    tcase_add_test(tests, graphs_make_a_tree);
    tcase_add_test(tests, graphs_nest_only_so_deep);
    tcase_add_test(tests, shared_names_are_not_copied);
    suite_add_tcase(suite, tests);
    return suite;
}
