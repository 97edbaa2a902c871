/* Opens a model, or a generated graph, and makes its program: what bench_compile.py counts the instructions of.
 *
 *     bench-compile GRAPH STEPS               one of the generated graphs
 *     bench-compile MODEL.bin NAME=1x3x224x224...
 *
 * Prints the number of steps of the program. */
#include "formats/model_file.h"
#include "graph/op.h"
#include "runtime/infer.h"
#include "tests/compile/graphs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_INPUTS 8

static int fail(const char *message)
{
    fprintf(stderr, "bench-compile: %s\n", message);
    return 1;
}

static infer_model *open_generated(const char *name, int steps, struct region *region, infer_error *error)
{
    struct graph *graph = generate_graph(name, steps, region);
    struct model_metadata metadata = {.name = name, .producer = "", .description = ""};
    struct error from = {0};
    void *bytes;
    size_t size;
    infer_model *model = NULL;
    if (!graph)
        snprintf(error->message, sizeof error->message, "there is no graph '%s', or no memory for it", name);
    else if (model_write(graph, &metadata, region, &bytes, &size, &from) != STATUS_OK)
        snprintf(error->message, sizeof error->message, "%s", from.text);
    else
        infer_model_open_memory(bytes, size, name, NULL, &model, error);
    return model;
}

/* "1x3x224x224" */
static bool parse_dims(const char *text, infer_tensor *tensor)
{
    char *end = NULL;
    for (tensor->rank = 0; tensor->rank < INFER_MAX_RANK; text = end + 1) {
        tensor->dims[tensor->rank++] = strtoll(text, &end, 10);
        if (end == text || (*end && *end != 'x'))
            return false;
        if (!*end)
            return true;
    }
    return false;
}

/* The inputs as the model has them, but for those that are named. */
static bool read_shapes(const infer_model *model, int count, char **shapes, infer_tensor *inputs)
{
    if (infer_model_input_count(model) > MOST_INPUTS)
        return false;
    for (size_t i = 0; i < infer_model_input_count(model); i++) {
        infer_value value;
        infer_model_input(model, i, &value);
        inputs[i] = (infer_tensor){.dtype = value.dtype, .rank = value.rank};
        for (int k = 0; k < value.rank; k++)
            inputs[i].dims[k] = value.dims[k];
        for (int k = 0; k < count; k++) {
            size_t length = strlen(value.name);
            bool named = strncmp(shapes[k], value.name, length) == 0 && shapes[k][length] == '=';
            if (named && !parse_dims(shapes[k] + length + 1, &inputs[i]))
                return false;
        }
    }
    return true;
}

static int prepare(infer_model *model, int count, char **shapes)
{
    infer_error error = {INFER_OK, ""};
    infer_tensor inputs[MOST_INPUTS];
    infer_session *session = NULL;
    infer_memory memory;
    if (!read_shapes(model, count, shapes, inputs))
        return fail("too many inputs, or a shape that is none");
    if (infer_session_create(model, &(infer_session_options){.threads = 2}, &session, &error) != INFER_OK)
        return fail(error.message);
    infer_status status = infer_session_prepare(session, inputs, infer_model_input_count(model), &memory, &error);
    infer_session_release(session);
    if (status != INFER_OK)
        return fail(error.message);
    printf("%zu steps\n", memory.steps);
    return 0;
}

int main(int argc, char **argv)
{
    infer_error error = {INFER_OK, ""};
    infer_model *model = NULL;
    struct region region;
    if (argc < 2)
        return fail("a model and its shapes, or a graph and its number of steps, are needed");
    region_init(&region, &default_allocator);
    bool generated = !strchr(argv[1], '.') && argc == 3;
    if (generated)
        model = open_generated(argv[1], atoi(argv[2]), &region, &error);
    else
        infer_model_open(argv[1], NULL, &model, &error);
    int result = model ? prepare(model, generated ? 0 : argc - 2, argv + 2) : fail(error.message);
    infer_model_release(model);
    region_free(&region);
    return result;
}
