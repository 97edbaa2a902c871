/* What it costs until a model could run, for a profiler to count: `open_model MODEL.bin [NAME=1x3x224x224]...` opens
 * it, makes a session on one thread and prepares the program for these shapes. */
#include "tools/shapes.h"

#include <stdio.h>
#include <stdlib.h>

static infer_status prepare(infer_model *model, const struct shape_list *shapes, infer_error *error)
{
    infer_session *session;
    infer_tensor *inputs;
    infer_memory memory;
    struct error from = {0};
    infer_status status = infer_session_create(model, &(infer_session_options){.threads = 1}, &session, error);
    if (status != INFER_OK)
        return status;
    status = (infer_status)shaped_inputs(model, shapes, &inputs, &from);
    if (status == INFER_OK)
        status = infer_session_prepare(session, inputs, infer_model_input_count(model), &memory, error);
    else
        snprintf(error->message, sizeof error->message, "%s", from.text);
    free(inputs);
    infer_session_release(session);
    return status;
}

int main(int argc, char **argv)
{
    struct shape_list shapes = {0};
    infer_model *model;
    infer_error error = {0};
    for (int i = 2; i < argc; i++)
        if (!shape_list_add(&shapes, argv[i]))
            return fprintf(stderr, "open_model: at most %d shapes\n", MOST_SHAPES) < 0 ? 1 : 2;
    if (argc < 2)
        return fprintf(stderr, "open_model: MODEL.bin [NAME=1x3x224x224]...\n") < 0 ? 1 : 2;
    infer_status status = infer_model_open(argv[1], NULL, &model, &error);
    if (status == INFER_OK)
        status = prepare(model, &shapes, &error);
    infer_model_release(model);
    if (status != INFER_OK)
        fprintf(stderr, "open_model: %s\n", error.message);
    return status == INFER_OK ? 0 : 1;
}
