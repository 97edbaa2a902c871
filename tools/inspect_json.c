#include "graph/op.h"
#include "tools/common.h"
#include "tools/inspect.h"
#include "tools/json.h"

/* Known sizes are numbers, symbols their names. */
static void json_value(FILE *file, const struct graph *graph, const struct value *value)
{
    fputs("{\"name\":", file);
    json_text(file, value->name);
    fprintf(file, ",\"dtype\":\"%s\",\"shape\":", value->dtype == DTYPE_NONE ? "?" : dtype_name(value->dtype));
    if (value->rank < 0)
        fputs("null", file);
    else
        fputc('[', file);
    for (int i = 0; i < value->rank; i++) {
        fputs(i ? "," : "", file);
        if (value->dims[i] >= 0)
            fprintf(file, "%lld", (long long)value->dims[i]);
        else
            json_text(file, graph_symbol_name(graph, value->dims[i]));
    }
    fputs(value->rank < 0 ? "" : "]", file);
}

/* `defaults` as in struct graph. */
static void json_values(FILE *file, const struct graph *graph, const char *key, int count, struct value *const *values,
                        struct value *const *defaults)
{
    json_key(file, key);
    for (int i = 0; i < count; i++) {
        fputc(i ? ',' : '[', file);
        json_value(file, graph, values[i]);
        fputs(defaults && defaults[i] ? ",\"has_default\":true}" : "}", file);
    }
    fputs(count ? "]" : "[]", file);
}

static void json_operands(FILE *file, const char *key, const struct graph *graph, int count,
                          struct value *const *values, const struct operand *operands)
{
    static const char *const spaces[] = {"none", "arena", "constant", "input", "output", "slot", "device"};
    json_key(file, key);
    fputc('[', file);
    for (int i = 0; i < count; i++) {
        fputs(i ? "," : "", file);
        if (!values[i]) {
            fputs("null", file);
            continue;
        }
        json_value(file, graph, values[i]);
        if (values[i]->rank >= 0)
            fprintf(file, ",\"bytes\":%zu", value_bytes(values[i]));
        fprintf(file, ",\"space\":\"%s\",\"offset\":%zu}", spaces[operands[i].space], operands[i].offset);
    }
    fputc(']', file);
}

static void json_step(FILE *file, const struct program *program, const struct program_step *step)
{
    const struct step *from = step->step;
    const struct graph *graph = program->segment.graph;
    fputs("{\"kernel\":", file);
    json_text(file, step_kernel(from));
    json_key(file, "node");
    json_text(file, from->node->name);
    json_key(file, "op");
    json_text(file, from->node->op->name);
    json_key(file, "sources");
    fputc('[', file);
    for (int i = 0; i < from->node->source_count; i++) {
        fputs(i ? "," : "", file);
        json_text(file, from->node->sources[i]);
    }
    fprintf(file, "],\"tasks\":%d,\"workspace_bytes\":%zu,\"shared_bytes\":%zu,\"workspace_offset\":%zu",
            from->plan ? from->plan->tasks[0] : 1, from->plan ? from->plan->task_bytes : 0,
            from->plan ? from->plan->shared_bytes : 0, step->workspace_offset);
    json_operands(file, "inputs", graph, from->input_count, from->inputs, step->operands);
    json_operands(file, "outputs", graph, from->output_count, from->outputs, step->operands + from->input_count);
    fputc('}', file);
}

static void json_program(FILE *file, const struct inspection *inspection)
{
    const struct program *program = inspection->program;
    json_key(file, "program");
    if (!program) {
        fputs("null", file);
        return;
    }
    const infer_memory *memory = &inspection->memory;
    fprintf(file,
            "{\"isa\":\"%s\",\"stored_bytes\":%zu,\"constant_bytes\":%zu,\"packed_bytes\":%zu,\"table_bytes\":%zu",
            isa_name(program_isa(program)), memory->stored_bytes, memory->constant_bytes, memory->packed_bytes,
            memory->table_bytes);
    fprintf(file, ",\"activation_bytes\":%zu,\"activation_lower_bound_bytes\":%zu,\"activation_is_least\":%s",
            memory->arena_bytes, memory->lower_bound_bytes, memory->arena_is_least ? "true" : "false");
    if (program->device)
        fprintf(file, ",\"device_arena_bytes\":%zu,\"device_weight_bytes\":%zu", memory->device_arena_bytes,
                memory->device_weight_bytes);
    fprintf(file, ",\"workspace_bytes\":%zu,\"result_bytes\":%zu,\"context_bytes\":%zu,\"complete\":%s,\"steps\":[",
            memory->workspace_bytes, memory->result_bytes, memory->context_bytes, memory->complete ? "true" : "false");
    for (int i = 0; i < program->step_count; i++) {
        fputs(i ? "," : "", file);
        json_step(file, program, &program->steps[i]);
    }
    fputs("]}", file);
}

static void json_metadata(FILE *file, const struct inspection *inspection, const char *key)
{
    const char *text = infer_model_metadata(inspection->model, key);
    json_key(file, key);
    json_text(file, text ? text : "");
}

static void json_passes(FILE *file, const struct model_metadata *metadata)
{
    json_key(file, "passes");
    fputc('[', file);
    for (int i = 0; i < metadata->pass_count; i++) {
        fputs(i ? "," : "", file);
        json_text(file, metadata->passes[i]);
    }
    fputc(']', file);
}

static void json_pairs(FILE *file, const struct model_metadata *metadata)
{
    fputs(",\"metadata\":[", file);
    for (int i = 0; i < metadata->count; i++) {
        fputs(i ? ",{\"key\":" : "{\"key\":", file);
        json_text(file, metadata->keys[i]);
        json_key(file, "value");
        json_text(file, metadata->values[i]);
        fputc('}', file);
    }
    fputc(']', file);
}

void inspect_json(FILE *file, const struct inspection *inspection)
{
    fputs("{\"model\":", file);
    json_text(file, inspection->path);
    fprintf(file, ",\"file_bytes\":%zu", inspection->file_bytes);
    json_metadata(file, inspection, "name");
    json_metadata(file, inspection, "producer");
    json_metadata(file, inspection, "description");
    json_pairs(file, &inspection->model->metadata);
    json_passes(file, &inspection->model->metadata);
    json_values(file, inspection->graph, "inputs", inspection->graph->input_count, inspection->graph->inputs,
                inspection->graph->defaults);
    json_values(file, inspection->graph, "outputs", inspection->graph->output_count, inspection->graph->outputs, NULL);
    fprintf(file, ",\"nodes\":%d,\"operators\":{", inspection->node_count);
    for (int i = 0; i < inspection->operator_count; i++)
        fprintf(file, "%s\"%s\":%d", i ? "," : "", inspection->operators[i].op->name, inspection->operators[i].count);
    char sets[80];
    fprintf(file, "},\"parameters\":%lld,\"weight_bytes\":%zu,\"pack_bytes\":%zu,\"packed_for\":",
            (long long)inspection->parameter_count, infer_model_weight_bytes(inspection->model),
            stored_packs_bytes(&inspection->model->stored));
    json_text(file, packed_sets(inspection->model, sets, sizeof sets));
    json_program(file, inspection);
    fputs("}\n", file);
}
