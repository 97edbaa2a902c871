#include "tests/kept_cases.h"

#include "formats/file.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const uint8_t *take(struct reader *r, size_t bytes)
{
    ck_assert_uint_le(bytes, (size_t)(r->end - r->at));
    r->at += bytes;
    return r->at - bytes;
}

static uint32_t take_number(struct reader *r)
{
    uint32_t number;
    memcpy(&number, take(r, sizeof number), sizeof number);
    return number;
}

static double take_double(struct reader *r)
{
    double number;
    memcpy(&number, take(r, sizeof number), sizeof number);
    return number;
}

static struct reader take_block(struct reader *r)
{
    uint32_t bytes = take_number(r);
    const uint8_t *at = take(r, bytes);
    return (struct reader){at, at + bytes};
}

/* In memory of its own, aligned for all types, so that a sanitizer sees what reads past it. */
static infer_tensor take_tensor(struct reader *r)
{
    infer_tensor tensor = {.dtype = (infer_dtype)take_number(r), .rank = (int)take_number(r)};
    ck_assert_int_le(tensor.rank, INFER_MAX_RANK);
    memcpy(tensor.dims, take(r, (size_t)tensor.rank * 8), (size_t)tensor.rank * 8);
    struct reader data = take_block(r);
    tensor.bytes = (size_t)(data.end - data.at);
    tensor.data = malloc(tensor.bytes + !tensor.bytes);
    if (tensor.bytes)
        memcpy(tensor.data, data.at, tensor.bytes);
    return tensor;
}

static uint32_t take_count(struct reader *r)
{
    uint32_t count = take_number(r);
    ck_assert_uint_le(count, KEPT_MOST);
    return count;
}

static void take_case(struct reader *r, struct kept_case *c)
{
    c->name = (const char *)take_block(r).at;
    c->model = take_block(r);
    c->element_count = (int)take_count(r);
    for (int i = 0; i < c->element_count; i++) {
        c->elements[i].name = (const char *)take_block(r).at;
        c->elements[i].count = (int)take_number(r);
    }
    c->input_count = take_count(r);
    for (size_t i = 0; i < c->input_count; i++)
        c->inputs[i] = take_tensor(r);
    c->output_count = take_count(r);
    for (size_t i = 0; i < c->output_count; i++) {
        struct expected *e = &c->expected[i];
        e->rtol = take_double(r);
        e->atol = take_double(r);
        e->most = take_number(r);
        e->tensor = take_tensor(r);
    }
}

static struct graph *import_case(const struct kept_case *c, struct region *region)
{
    struct onnx_model imported;
    struct error error = {0};
    const struct onnx_import_options options = {.elements = c->elements, .element_count = c->element_count};
    enum status status = onnx_import_bytes(c->name, c->model.at, (size_t)(c->model.end - c->model.at), NULL, &options,
                                           region, &imported, &error);
    ck_assert_msg(status == STATUS_OK, "%s", error.text);
    struct graph *graph = imported.graph;
    onnx_close(&imported);
    return graph;
}

static void try_case(struct reader *r, case_attempt *attempt, void *user)
{
    static struct kept_case c;
    struct region region;
    region_init(&region, &default_allocator);
    take_case(r, &c);
    attempt(&c, import_case(&c, &region), user);
    for (size_t i = 0; i < c.input_count; i++)
        free(c.inputs[i].data);
    for (size_t i = 0; i < c.output_count; i++)
        free(c.expected[i].tensor.data);
    region_free(&region);
}

void try_kept_cases(const char *path, int share, int shares, case_attempt *attempt, void *user)
{
    struct file_map map;
    struct error error = {0};
    ck_assert_int_eq(file_map_path(&map, path, SIZE_MAX, &default_allocator, &error), STATUS_OK);
    struct reader packed = {map.bytes, (const uint8_t *)map.bytes + map.size};
    int count = (int)take_number(&packed);
    uLongf bytes = take_number(&packed);
    uint8_t *content = malloc(bytes);
    ck_assert_int_eq(uncompress(content, &bytes, packed.at, (uLong)(packed.end - packed.at)), Z_OK);
    struct reader all = {content, content + bytes};
    for (int i = 0; i < count; i++) {
        struct reader record = take_block(&all);
        if (i % shares == share)
            try_case(&record, attempt, user);
    }
    ck_assert_ptr_eq(all.at, all.end);
    free(content);
    file_unmap(&map);
}
