#include "graph/op.h"
#include "tools/common.h"
#include "tools/inspect.h"

#include <string.h>

const char *typed_shape(const struct graph *graph, const struct value *value, char *buffer, size_t bytes)
{
    char shape[320];
    snprintf(buffer, bytes, "%s %s", value->dtype == DTYPE_NONE ? "?" : dtype_name(value->dtype),
             value_shape_text(graph, value, shape, sizeof shape));
    return buffer;
}

const char *step_kernel(const struct step *step)
{
    if (step->kernel)
        return step->kernel->name;
    return step->control->kind == CONTROL_LOOP ? "loop" : "scan";
}

static int widest_name(int count, struct value *const *values, int width)
{
    for (int i = 0; i < count; i++)
        width = (int)strlen(legible(values[i]->name).text) > width ? (int)strlen(legible(values[i]->name).text) : width;
    return width;
}

/* `defaults` as in struct graph. */
static void print_values(FILE *file, const struct graph *graph, const char *what, int count,
                         struct value *const *values, struct value *const *defaults, int width)
{
    char text[400];
    for (int i = 0; i < count; i++)
        fprintf(file, "%-11s %-*s  %s%s\n", i ? "" : what, width, legible(values[i]->name).text,
                typed_shape(graph, values[i], text, sizeof text), defaults && defaults[i] ? ", has a default" : "");
}

static void print_operators(FILE *file, const struct inspection *inspection)
{
    int column = 0;
    fprintf(file, "%-11s", "operators");
    for (int i = 0; i < inspection->operator_count; i++) {
        const struct operator_use *use = &inspection->operators[i];
        if (column > 90)
            column = 0, fprintf(file, "\n%-11s", "");
        column += fprintf(file, " %s %d%s", use->op->name, use->count, i + 1 < inspection->operator_count ? "," : "");
    }
    fputc('\n', file);
}

static void print_text(FILE *file, const char *label, const char *text)
{
    if (text && *text)
        fprintf(file, "%-11s %s\n", label, legible(text).text);
}

/* The model's own, under their keys. */
static void print_pairs(FILE *file, const struct model_metadata *metadata)
{
    for (int i = 0; i < metadata->count; i++)
        fprintf(file, "%-11s %s: %s\n", i ? "" : "metadata", legible(metadata->keys[i]).text,
                legible(metadata->values[i]).text);
}

static void print_bytes(FILE *file, const char *label, size_t bytes, const char *about)
{
    fprintf(file, "%-11s %14s bytes%s%s\n", label, grouped(bytes).text, *about ? "  " : "", about);
}

/* What need not run again when the file is opened. */
static void print_passes(FILE *file, const struct model_metadata *metadata)
{
    for (int i = 0; i < metadata->pass_count; i++)
        fprintf(file, i ? ", %s" : "optimised   %s", metadata->passes[i]);
    if (metadata->pass_count)
        fputc('\n', file);
}

static void print_model(FILE *file, const struct inspection *inspection)
{
    const struct graph *graph = inspection->graph;
    char sets[80], about[120];
    fprintf(file, "%-11s %s, %s bytes, %s\n", "model", legible(inspection->path).text,
            grouped(inspection->file_bytes).text, inspection->converted ? "converted in memory" : "checksums right");
    print_text(file, "name", infer_model_metadata(inspection->model, "name"));
    print_text(file, "producer", infer_model_metadata(inspection->model, "producer"));
    print_text(file, "description", infer_model_metadata(inspection->model, "description"));
    print_pairs(file, &inspection->model->metadata);
    int width = widest_name(graph->output_count, graph->outputs, widest_name(graph->input_count, graph->inputs, 0));
    print_values(file, graph, "inputs", graph->input_count, graph->inputs, graph->defaults, width);
    print_values(file, graph, "outputs", graph->output_count, graph->outputs, NULL, width);
    print_passes(file, &inspection->model->metadata);
    fprintf(file, "%-11s %d\n", "nodes", inspection->node_count);
    print_operators(file, inspection);
    fprintf(file, "%-11s %s in %d tensors\n", "parameters", grouped((uint64_t)inspection->parameter_count).text,
            inspection->constant_count);
    print_bytes(file, "weights", infer_model_weight_bytes(inspection->model), "");
    if (*packed_sets(inspection->model, sets, sizeof sets)) {
        snprintf(about, sizeof about, "of these, packed for %s", sets);
        print_bytes(file, "packs", stored_packs_bytes(&inspection->model->stored), about);
    }
}

/* --- the program ----------------------------------------------------------------------------------------- */

/* Where a value lies: its offset in the arena, or what else it is. */
static const char *place_text(struct operand place, char *buffer, size_t bytes)
{
    static const char *const names[] = {"-", "", "constant", "input", "output", "sized at run", ""};
    if (place.space == SPACE_DEVICE)
        snprintf(buffer, bytes, "device %s", grouped(place.offset).text);
    else if (place.space == SPACE_ARENA)
        snprintf(buffer, bytes, "%s", grouped(place.offset).text);
    else if (place.space == SPACE_INPUT || place.space == SPACE_OUTPUT)
        snprintf(buffer, bytes, "%s %u", names[place.space], place.index);
    else
        snprintf(buffer, bytes, "%s", names[place.space]);
    return buffer;
}

static int widest_kernel(const struct program *program)
{
    int width = 6;
    for (int i = 0; i < program->step_count; i++) {
        int length = (int)strlen(step_kernel(program->steps[i].step));
        width = length > width ? length : width;
    }
    return width;
}

static void print_step(FILE *file, const struct program *program, int index, int width)
{
    const struct program_step *step = &program->steps[index];
    const struct step *from = step->step;
    char shape[400], place[40], workspace[40] = "";
    size_t workspace_bytes = from->plan ? from->plan->shared_bytes + from->plan->task_bytes : 0;
    if (workspace_bytes)
        snprintf(workspace, sizeof workspace, "%s", grouped(workspace_bytes).text);
    for (int i = 0; i < from->output_count; i++) {
        const struct value *value = from->outputs[i];
        if (!value)
            continue;
        size_t bytes = value->rank >= 0 ? value_bytes(value) : 0;
        if (i == 0)
            fprintf(file, "%5d  %-*s", index, width, step_kernel(from));
        else
            fprintf(file, "%5s  %-*s", "", width, "");
        fprintf(file, "  %-28s %14s %14s %12s", typed_shape(program->segment.graph, value, shape, sizeof shape),
                grouped(bytes).text, place_text(step->operands[from->input_count + i], place, sizeof place),
                i ? "" : workspace);
        fprintf(file, i ? "\n" : "  %s (%s)\n", legible(from->node->name).text, from->node->op->name);
    }
}

static void print_steps(FILE *file, const struct program *program)
{
    int width = widest_kernel(program);
    fprintf(file, "\n%5s  %-*s  %-28s %14s %14s %12s  %s\n", "step", width, "kernel", "output", "bytes", "offset",
            "workspace", "node");
    for (int i = 0; i < program->step_count; i++)
        print_step(file, program, i, width);
}

/* Of a program on two sides, how many steps go where. */
static void print_device(FILE *file, const struct program *program, const infer_memory *memory)
{
    int on_device = 0, copies = 0;
    size_t copied = 0;
    for (int i = 0; i < program->step_count; i++) {
        const struct device_step *step = &program->device->steps[i];
        copies += step->transfer;
        on_device += step->on_stream && !step->transfer;
        copied += step->transfer ? value_bytes(program->steps[i].step->outputs[0]) : 0;
    }
    print_bytes(file, "on device", memory->device_arena_bytes, "arena");
    print_bytes(file, "", memory->device_weight_bytes, "constants");
    fprintf(file, "%-11s %d steps on the device, %d on the host, %d copies of %s bytes between them\n", "", on_device,
            program->step_count - on_device - copies, copies, grouped(copied).text);
}

static void print_program(FILE *file, const struct inspection *inspection)
{
    const struct program *program = inspection->program;
    char about[80];
    const infer_memory *memory = &inspection->memory;
    print_bytes(file, "constants", memory->constant_bytes, "folded when the program is made");
    if (inspection->model->stored.count)
        print_bytes(file, "stored", memory->stored_bytes, "of the packs in the file, used by these kernels");
    print_bytes(file, "packed", memory->packed_bytes, "made of weights, once a model");
    print_bytes(file, "tables", memory->table_bytes, "graphs, steps, parameters, names");
    snprintf(about, sizeof about, "lower bound %s%s", grouped(memory->lower_bound_bytes).text,
             memory->arena_is_least ? "; none can be smaller" : "");
    print_bytes(file, "arena", memory->arena_bytes, about);
    print_bytes(file, "workspace", memory->workspace_bytes, "the most a step uses, within the arena");
    print_bytes(file, "results", memory->result_bytes, "where the caller gives no room for the outputs");
    if (program->device)
        print_device(file, program, memory);
    print_bytes(file, "context", memory->context_bytes, "each context, beside its arena and its results");
    fprintf(file, "%-11s %s\n", "isa", isa_name(program_isa(program)));
    fprintf(file, "%-11s %d\n", "steps", program->step_count);
    if (!program->complete)
        fprintf(file, "%-11s %d nodes are prepared during the run: their shapes depend on its data\n", "",
                program->segment.rest_count);
    if (inspection->show_steps)
        print_steps(file, program);
}

void inspect_print(FILE *file, const struct inspection *inspection)
{
    print_model(file, inspection);
    if (inspection->program)
        print_program(file, inspection);
    else
        fprintf(file, "%-11s %s\n", "arena", "depends on the shapes of the inputs: name them with --shape");
}
