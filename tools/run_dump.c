#include "tools/run_dump.h"

#include "graph/op.h"
#include "runtime/runner.h"
#include "tools/arrays.h"

#include <stdlib.h>
#include <string.h>

enum status dump_start(struct dump *dump, const char *directory, const infer_model *model, struct error *error)
{
    *dump = (struct dump){.directory = directory, .graph = model->graph};
    dump->shown = calloc((size_t)dump->graph->value_count + 1, sizeof *dump->shown);
    return dump->shown ? make_directory(directory, error) : error_set(error, STATUS_OUT_OF_MEMORY, "out of memory");
}

void dump_free(struct dump *dump)
{
    free(dump->shown);
    *dump = (struct dump){0};
}

/* Whether two names give one file: '/' and '_' are the same there. */
static bool same_file(const char *a, const char *b)
{
    while (*a && (*a == '/' ? '_' : *a) == (*b == '/' ? '_' : *b))
        a++, b++;
    return *a == *b;
}

static enum status mark(struct dump *dump, const char *name)
{
    for (int i = 0; i < dump->graph->value_count; i++) {
        const char *other = dump->graph->values[i]->name;
        if (strcmp(other, name) == 0)
            dump->shown[i] = true;
        else if (dump->shown[i] && same_file(other, name))
            return error_set(&dump->error, STATUS_UNSUPPORTED, "%s: '%s' and '%s' would be one file", dump->directory,
                             other, name);
    }
    return STATUS_OK;
}

void dump_value(void *user, const char *name, const infer_tensor *tensor)
{
    struct dump *dump = user;
    if (dump->error.status == STATUS_OK && mark(dump, name) == STATUS_OK)
        write_tensor(dump->directory, name, tensor, &dump->error);
}

/* A name that a node of the imported graph gave; weights and inputs are known to the caller. */
static bool is_intermediate(const struct graph *graph, const struct value *value)
{
    for (int i = 0; i < graph->input_count; i++)
        if (graph->inputs[i] == value)
            return false;
    return *value->name && !value->data;
}

/* Specialisation keeps the ids of the imported graph, so the folded value has its name still. */
static void write_folded(struct dump *dump, const struct program *program)
{
    for (int i = 0; i < dump->graph->value_count; i++) {
        const struct value *value = program->segment.graph->values[i];
        if (dump->shown[i] || !value->data || !is_intermediate(dump->graph, dump->graph->values[i]))
            continue;
        infer_tensor tensor = {.data = (void *)(uintptr_t)value->data,
                               .bytes = value->bytes,
                               .dtype = (infer_dtype)value->dtype,
                               .rank = value->rank};
        memcpy(tensor.dims, value->dims, sizeof tensor.dims);
        dump_value(dump, value->name, &tensor);
    }
}

enum status dump_finish(struct dump *dump, infer_session *session, const infer_tensor *inputs,
                        void (*missing)(void *user, const char *name), void *user, struct error *error)
{
    struct runner runner;
    struct program *program;
    enum status status = runner_init(&runner, session, session->graph, error);
    if (status == STATUS_OK)
        status = runner_bind_inputs(&runner, inputs, infer_model_input_count(session->model), false, error);
    if (status == STATUS_OK)
        status = runner_first_program(&runner, &program, error);
    if (status == STATUS_OK)
        write_folded(dump, program);
    runner_free(&runner);
    if (status != STATUS_OK)
        return status;
    if (dump->error.status != STATUS_OK)
        return error_set(error, dump->error.status, "%s", dump->error.text);
    for (int i = 0; i < dump->graph->value_count; i++)
        if (!dump->shown[i] && is_intermediate(dump->graph, dump->graph->values[i]))
            missing(user, dump->graph->values[i]->name);
    return STATUS_OK;
}
