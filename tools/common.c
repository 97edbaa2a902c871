#include "tools/common.h"

#include "formats/onnx/onnx_import.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One line, whatever is in the arguments. */
static void complain(const struct tool *tool, const char *format, va_list arguments, const char *end)
{
    char text[2 * sizeof((struct error *)0)->text];
    vsnprintf(text, sizeof text, format, arguments);
    make_legible(text);
    fprintf(stderr, "%s: %s%s\n", tool->name, text, end);
}

int tool_usage(const struct tool *tool, const char *format, ...)
{
    char end[80];
    va_list arguments;
    snprintf(end, sizeof end, " (see %s --help)", tool->name);
    va_start(arguments, format);
    complain(tool, format, arguments, end);
    va_end(arguments);
    return EXIT_USAGE;
}

int tool_failed(const struct tool *tool, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(tool, format, arguments, "");
    va_end(arguments);
    return EXIT_FAILED;
}

/* What --help and --version print must arrive, or the tool has failed. */
static void finish_output(const struct tool *tool)
{
    exit(fflush(stdout) == 0 ? EXIT_DONE : tool_failed(tool, "standard output: cannot write: %s", strerror(errno)));
}

int tool_option(const struct tool *tool, int argc, char **argv)
{
    opterr = 0;
    int at = optind ? optind : 1, found = getopt_long(argc, argv, tool->short_options, tool->options, NULL);
    /* An option may stand behind arguments, which getopt_long has then moved after it. */
    const char *text = optind > at ? argv[optind - 1] : at < argc ? argv[at] : "";
    switch (found) {
    case 'h':
        fputs(tool->help, stdout);
        finish_output(tool);
        break;
    case 'V':
        printf("%s %s\n", tool->name, infer_version());
        finish_output(tool);
        break;
    case ':':
        exit(tool_usage(tool, "option '%s' needs a value", text));
    case '?':
        exit(tool_usage(tool, "option '%s' is unknown, ambiguous or takes no value", text));
    default:
        break;
    }
    return found;
}

bool parse_integer(const char *text, int64_t least, int64_t most, int64_t *number)
{
    char *end;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    if (errno || end == text || *end || parsed < least || parsed > most)
        return false;
    *number = parsed;
    return true;
}

bool parse_bytes(const char *text, size_t *bytes)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno || end == text || *text == '-' || (*end && end[1]))
        return false;
    size_t unit = *end == '\0' ? 1 : *end == 'K' ? (size_t)1 << 10 : *end == 'M' ? (size_t)1 << 20 : (size_t)1 << 30;
    if (*end && !strchr("KMG", *end))
        return false;
    return multiply_size((size_t)number, unit, bytes);
}

static const char *const isa_names[] = {"auto", "reference", "avx2", "avx512"};

bool parse_isa(const char *text, infer_isa *isa)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, isa_names[i]) == 0) {
            *isa = (infer_isa)i;
            return true;
        }
    }
    return false;
}

const char *isa_text(infer_isa isa)
{
    return isa_names[isa];
}

static enum status cannot_write(const char *path, struct error *error)
{
    return error_set(error, STATUS_IO, "%s: cannot write: %s", strcmp(path, "-") == 0 ? "standard output" : path,
                     strerror(errno));
}

FILE *text_open(const char *path, struct error *error)
{
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    if (!file)
        cannot_write(path, error);
    return file;
}

enum status text_close(FILE *file, const char *path, struct error *error)
{
    bool done = fflush(file) == 0 && !ferror(file);
    if (!done)
        cannot_write(path, error);
    if (file != stdout && fclose(file) != 0 && done)
        return cannot_write(path, error);
    return done ? STATUS_OK : STATUS_IO;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

static enum status convert_in_memory(const char *path, struct region *region, void **bytes, size_t *size,
                                     struct error *error)
{
    static const struct onnx_import_options none = {0};
    struct onnx_model model = {0};
    enum status status = onnx_import(path, &none, region, &model, error);
    if (status == STATUS_OK)
        status = model_write(model.graph, &model.metadata, region, bytes, size, error);
    onnx_close(&model);
    return status;
}

infer_status open_model(const char *path, const infer_model_options *options, struct model_storage *storage,
                        infer_model **model, infer_error *error)
{
    *storage = (struct model_storage){0};
    *model = NULL;
    if (!ends_with(path, ".onnx"))
        return infer_model_open(path, options, model, error);
    struct error from = {0};
    void *bytes;
    size_t size;
    region_init(&storage->region, &default_allocator);
    storage->used = true;
    if (convert_in_memory(path, &storage->region, &bytes, &size, &from) != STATUS_OK) {
        error->status = (infer_status)from.status;
        snprintf(error->message, sizeof error->message, "%s", from.text);
        return error->status;
    }
    infer_model_options trusted = options ? *options : (infer_model_options){0};
    storage->bytes = size;
    trusted.trust_weights = true; /* written a moment ago */
    return infer_model_open_memory(bytes, size, path, &trusted, model, error);
}

void model_storage_free(struct model_storage *storage)
{
    if (storage->used)
        region_free(&storage->region);
    storage->used = false;
}

int tool_model_failed(const struct tool *tool, const char *path, const infer_error *error)
{
    bool named = strncmp(error->message, path, strlen(path)) == 0;
    return named ? tool_failed(tool, "%s", error->message) : tool_failed(tool, "%s: %s", path, error->message);
}
