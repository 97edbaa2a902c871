/* Loads the models that tests/onnx/make_models.py writes; shared by the suites of the importer. */
#ifndef INFER_TESTS_ONNX_MODELS_H
#define INFER_TESTS_ONNX_MODELS_H

#include "formats/onnx/onnx_import.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define DATA "tests/data/onnx/"

static struct region region;
static struct onnx_model model;
static struct error error;

static inline void open_region(void)
{
    region_init(&region, &default_allocator);
}

static inline void close_region(void)
{
    onnx_close(&model);
    region_free(&region);
    error = (struct error){0};
}

static inline const char *model_path(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, DATA "%s.onnx", name);
    return path;
}

static inline const struct graph *load_with(const char *name, const struct onnx_import_options *options)
{
    enum status status = onnx_import(model_path(name), options, &region, &model, &error);
    ck_assert_msg(status == STATUS_OK, "%s", error.text);
    return model.graph;
}

static inline const struct graph *load(const char *name)
{
    return load_with(name, NULL);
}

static inline void assert_refused(const char *name, enum status status, const char *sentence)
{
    error = (struct error){0};
    enum status got = onnx_import(model_path(name), NULL, &region, &model, &error);
    ck_assert_msg(got != STATUS_OK, "%s is imported", name);
    ck_assert_msg(strncmp(error.text, model_path(name), strlen(model_path(name))) == 0, "%s", error.text);
    ck_assert_str_eq(error.text + strlen(model_path(name)), sentence);
    ck_assert_int_eq(got, status);
    ck_assert_ptr_null(model.graph);
}

static inline const struct value *find_value(const struct graph *graph, const char *name)
{
    for (int i = 0; i < graph->value_count; i++)
        if (strcmp(graph->values[i]->name, name) == 0)
            return graph->values[i];
    ck_abort_msg("graph '%s' has no value '%s'", graph->name, name);
}

static inline const char *shape_of(const struct graph *graph, const char *name)
{
    static char text[120];
    return value_shape_text(graph, find_value(graph, name), text, sizeof text);
}

static inline void assert_constant(const struct graph *graph, const char *name, enum dtype dtype, const char *shape,
                                   const void *bytes)
{
    const struct value *value = find_value(graph, name);
    ck_assert_ptr_nonnull(value->data);
    ck_assert_str_eq(dtype_name(value->dtype), dtype_name(dtype));
    ck_assert_str_eq(shape_of(graph, name), shape);
    ck_assert_mem_eq(value->data, bytes, value->bytes);
}

#endif
