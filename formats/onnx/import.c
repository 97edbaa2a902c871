#include "formats/onnx/import.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum status onnx_no_memory(struct import *im)
{
    return error_set(im->error, STATUS_OUT_OF_MEMORY, "out of memory");
}

/* Most that may be made; the base is enough for models of a few ten thousand nodes. */
#define EXPANDED_BASE ((size_t)128 << 20)
#define EXPANDED_FACTOR 8

enum status onnx_charge(struct import *im, size_t bytes)
{
    size_t most = EXPANDED_BASE + EXPANDED_FACTOR * im->file_size;
    if (bytes > most - im->expanded_bytes)
        return error_set(im->error, STATUS_UNSUPPORTED,
                         "its functions and subgraphs, written out, take more than %s bytes", grouped(most).text);
    im->expanded_bytes += bytes;
    return STATUS_OK;
}

void onnx_refuse(struct import *im, const char *format, ...)
{
    char sentence[sizeof im->refusal.text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    error_set(&im->refusal, STATUS_UNSUPPORTED, "%s", sentence);
}

const char *onnx_node_label(const Onnx__Node *node)
{
    if (*text(node->name))
        return node->name;
    return node->n_outputs ? node->outputs[0] : "";
}

enum status onnx_node_error(struct import *im, const Onnx__Node *node, enum status status, const char *format, ...)
{
    char sentence[sizeof im->error->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return error_set(im->error, status, "node '%s' (%s): %s", onnx_node_label(node), text(node->op_type), sentence);
}

/* --- metadata ----------------------------------------------------------------------------------------------------- */

static enum status read_metadata(struct import *im, const Onnx__Model *model, struct model_metadata *metadata)
{
    const char *producer = text(model->producer_name), *version = text(model->producer_version);
    const char *description = text(model->description);
    const char **keys = region_array(im->region, model->n_properties, sizeof *keys);
    const char **values = region_array(im->region, model->n_properties, sizeof *values);
    metadata->name = text(model->graph->name);
    metadata->producer =
        *version ? region_format(im->region, "%s%s%s", producer, *producer ? " " : "", version) : producer;
    metadata->description = *description ? description : text(model->graph->description);
    if (!keys || !values || !metadata->producer)
        return onnx_no_memory(im);
    for (size_t i = 0; i < model->n_properties; i++) {
        keys[i] = text(model->properties[i]->key);
        values[i] = text(model->properties[i]->value);
    }
    metadata->keys = keys;
    metadata->values = values;
    metadata->count = (int)model->n_properties;
    return STATUS_OK;
}

/* --- options ------------------------------------------------------------------------------------------------------ */

static enum status check_options(struct import *im)
{
    for (int i = 0; i < im->options->dimension_count; i++)
        if (im->options->dimensions[i].size <= 0)
            return error_set(im->error, STATUS_INVALID_ARGUMENT, "dimension '%s' cannot be fixed to %lld",
                             im->options->dimensions[i].name, (long long)im->options->dimensions[i].size);
    for (int i = 0; i < im->options->element_count; i++)
        if (im->options->elements[i].count < ONNX_ABSENT || im->options->elements[i].count > ANY_COUNT)
            return error_set(im->error, STATUS_INVALID_ARGUMENT, "'%s' cannot be %d tensors",
                             im->options->elements[i].name, im->options->elements[i].count);
    im->dimension_met = region_array(&im->scratch, (size_t)im->options->dimension_count, sizeof(bool));
    im->elements_met = region_array(&im->scratch, (size_t)im->options->element_count, sizeof(bool));
    return im->dimension_met && im->elements_met ? STATUS_OK : onnx_no_memory(im);
}

/* A dimension to fix that the model does not have is a slip of the pen: what it does have helps to mend it. */
static enum status check_dimensions_met(struct import *im, const struct graph *graph)
{
    char others[200] = "";
    size_t used = 0;
    for (int i = 0; i < graph->symbol_count; i++)
        if (*graph->symbols[i] && used < sizeof others)
            used += (size_t)snprintf(others + used, sizeof others - used, "%s'%s'", used ? ", " : "; it has ",
                                     graph->symbols[i]);
    for (int i = 0; i < im->options->dimension_count; i++)
        if (!im->dimension_met[i])
            return error_set(im->error, STATUS_INVALID_ARGUMENT, "the model has no dimension '%s'%s",
                             im->options->dimensions[i].name, others);
    return STATUS_OK;
}

/* --- the import --------------------------------------------------------------------------------------------------- */

static enum status build_model(struct import *im, const Onnx__Model *message, struct graph **graph)
{
    struct region *scratch = &im->scratch;
    *graph = graph_create(im->region, text(message->graph->name));
    struct place place = {
        .graph = *graph, .taken = {.region = scratch}, .types = {.region = scratch}, .positions = {.region = scratch}};
    struct scope scope = {
        .import = im,
        .place = &place,
        .values = {.region = scratch},
        .results = {.region = scratch},
        .prefix = "",
        .opsets = &im->opsets,
    };
    return *graph ? onnx_build_graph(&scope, message->graph, 0, NULL) : onnx_no_memory(im);
}

static enum status import(struct import *im, const void *bytes, struct onnx_model *model)
{
    Onnx__Model *message;
    const char *foreign = file_foreign_kind(bytes, im->file_size);
    if (foreign)
        return error_set(im->error, STATUS_INVALID_MODEL, "%s", foreign);
    TRY(check_options(im));
    TRY(onnx_parse(im, bytes, &message));
    if (!message->graph)
        return error_set(im->error, STATUS_INVALID_MODEL, "not an ONNX model: the file holds no graph");
    if (message->n_opsets == 0)
        return error_set(im->error, STATUS_INVALID_MODEL, "the model does not say which opset it uses");
    TRY(onnx_read_opsets(im, message->n_opsets, message->opsets, &im->opsets));
    im->ir_version = message->ir_version;
    TRY(onnx_read_functions(im, message));
    TRY(onnx_settle(im, message));
    TRY(build_model(im, message, &model->graph));
    TRY(read_metadata(im, message, &model->metadata));
    TRY(onnx_add_labels(im, model->graph, &model->metadata));
    TRY(onnx_report_unsupported(im));
    if (im->refusal.status != STATUS_OK)
        return error_set(im->error, im->refusal.status, "%s", im->refusal.text);
    TRY(check_dimensions_met(im, model->graph));
    TRY(onnx_check_elements_met(im));
    return graph_validate(model->graph, im->error);
}

enum status onnx_import_bytes(const char *name, const void *bytes, size_t size, const char *folder,
                              const struct onnx_import_options *options, struct region *region,
                              struct onnx_model *model, struct error *error)
{
    static const struct onnx_import_options none;
    struct error unread = {0};
    struct import im = {
        .error = error ? error : &unread,
        .region = region,
        .options = options ? options : &none,
        .file_size = size,
        .folder = folder,
        .unsupported_end = &im.unsupported,
    };
    *model = (struct onnx_model){0};
    region_init(&im.scratch, region->allocator);
    im.file_names.region = im.opsets.region = im.functions.region = &im.scratch;
    im.node_names.region = im.unsupported_names.region = im.free_names.region = &im.scratch;
    enum status status = import(&im, bytes, model);
    model->files = im.files;
    region_free(&im.scratch);
    if (status == STATUS_OK)
        return STATUS_OK;
    onnx_close(model);
    return error_prefix(im.error, "%s", name);
}

/* The tag of a field that ONNX's ModelProto has: a number or bytes. */
bool onnx_begins(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    unsigned tag = at[0] < 0x80 || size < 2 ? at[0] : (at[0] & 0x7fu) | (unsigned)at[1] << 7, field = tag >> 3;
    bool number = field == 1 || field == 5;
    bool has = number || (field >= 2 && field <= 8) || field == 14 || field == 20 || field == 25 || field == 26;
    return has && (tag & 7) == (number ? 0 : 2);
}

enum status onnx_import(const char *path, const struct onnx_import_options *options, struct region *region,
                        struct onnx_model *model, struct error *error)
{
    struct file_map map;
    *model = (struct onnx_model){0};
    TRY(file_open_path(&map, path, &(struct file_rules){.limit = SIZE_MAX, .plausible = onnx_begins}, region->allocator,
                       error));
    const char *slash = strrchr(path, '/'), *folder = ".";
    if (slash)
        folder = slash == path ? "/" : region_text(region, path, (size_t)(slash - path));
    if (strcmp(path, "-") == 0)
        folder = NULL;
    else if (!folder) {
        file_unmap(&map);
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s: out of memory", path);
    }
    enum status status = onnx_import_bytes(path, map.bytes, map.size, folder, options, region, model, error);
    file_unmap(&map);
    return status;
}

void onnx_close(struct onnx_model *model)
{
    for (struct onnx_file *file = model->files; file; file = file->next)
        file_unmap(&file->map);
    *model = (struct onnx_model){0};
}
