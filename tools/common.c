#include "tools/common.h"

#include "formats/model_file.h"
#include "formats/onnx/onnx_import.h"
#include "runtime/model.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* What is said where a mapped file has become shorter than it was: nothing else can be, in a signal handler. */
static char cut_short[120];

static void say_cut_short(int signal)
{
    (void)signal;
    if (write(STDERR_FILENO, cut_short, strlen(cut_short)) < 0)
        _exit(EXIT_FAILED);
    _exit(EXIT_FAILED);
}

static void watch_mapped_files(const struct tool *tool)
{
    struct sigaction action = {.sa_handler = say_cut_short};
    snprintf(cut_short, sizeof cut_short, "%s: a file was cut short, or its disk failed, while it was in use\n",
             tool->name);
    sigaction(SIGBUS, &action, NULL);
}

int tool_option(const struct tool *tool, int argc, char **argv)
{
    if (!*cut_short)
        watch_mapped_files(tool);
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

infer_device parse_device(const struct tool *tool, const char *text)
{
    infer_device_info info;
    infer_error error = {0};
    if (strcmp(text, "cpu") == 0)
        return INFER_DEVICE_CPU;
    if (strcmp(text, "cuda") != 0)
        exit(tool_usage(tool, "--device takes cpu or cuda, not '%s'", text));
    if (infer_device_query(INFER_DEVICE_CUDA, &info, &error) != INFER_OK)
        exit(tool_failed(tool, "--device cuda: %s", error.message));
    return INFER_DEVICE_CUDA;
}

infer_gemm parse_gemm(const struct tool *tool, const char *text)
{
    if (strcmp(text, "native") != 0 && strcmp(text, "cublas") != 0)
        exit(tool_usage(tool, "--gemm takes native or cublas, not '%s'", text));
    return strcmp(text, "cublas") == 0 ? INFER_GEMM_CUBLAS : INFER_GEMM_NATIVE;
}

infer_factors parse_factors(const struct tool *tool, const char *text)
{
    static const char *const names[] = {"f32", "tf32", "f16", "bf16"};
    for (int i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0)
            return (infer_factors)i;
    exit(tool_usage(tool, "--factors takes f32, tf32, f16 or bf16, not '%s'", text));
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

void xml_text(FILE *file, const char *text, size_t most)
{
    for (size_t i = 0; text[i] && i < most; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '<')
            fputs("&lt;", file);
        else if (c == '&')
            fputs("&amp;", file);
        else if (c == '>')
            fputs("&gt;", file);
        else if (c >= 0x20 && c < 0x7f)
            fputc(c, file);
        else
            fputc('?', file);
    }
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

static bool either_begins(const void *bytes, size_t size)
{
    return model_begins(bytes, size) || onnx_begins(bytes, size);
}

/* The first bytes of a regular file; 0 of what can be read only once. */
static size_t peek(const char *path, char *bytes, size_t room)
{
    struct stat info;
    if (strcmp(path, "-") == 0 || stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return 0;
    FILE *file = fopen(path, "rb");
    size_t count = file ? fread(bytes, 1, room, file) : 0;
    if (file)
        fclose(file);
    return count;
}

bool is_model_file(const char *path)
{
    char first[16];
    size_t count = peek(path, first, sizeof first);
    return count == sizeof first && model_begins(first, count);
}

static bool is_once(const char *path)
{
    struct stat info;
    return strcmp(path, "-") == 0 || (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode));
}

/* From the file, or what was read of a pipe. What the import makes goes again: only the file that is written of it
 * stays. */
static enum status convert_in_memory(const char *path, struct model_storage *storage, void **bytes, size_t *size,
                                     struct error *error)
{
    size_t limit = storage->budget.limit;
    struct onnx_import_options options = {.external_limit = limit < SIZE_MAX ? limit : 0};
    struct onnx_model model = {0};
    struct region imported;
    region_init(&imported, &storage->budget.allocator);
    enum status status = storage->map.bytes ? onnx_import_bytes(path, storage->map.bytes, storage->map.size, NULL,
                                                                &options, &imported, &model, error)
                                            : onnx_import(path, &options, &imported, &model, error);
    if (status == STATUS_OK)
        status = model_write(model.graph, &model.metadata, &storage->region, bytes, size, error);
    onnx_close(&model);
    region_free(&imported);
    budget_explain(&storage->budget, error);
    return error->status;
}

static infer_status open_converted(const char *path, const infer_model_options *options, struct model_storage *storage,
                                   infer_model **model, infer_error *error)
{
    struct error from = {0};
    void *bytes;
    size_t size;
    budget_init(&storage->budget, NULL, &default_allocator,
                options && options->memory_limit ? options->memory_limit : SIZE_MAX);
    region_init(&storage->region, &storage->budget.allocator);
    storage->used = true;
    if (convert_in_memory(path, storage, &bytes, &size, &from) != STATUS_OK) {
        error->status = (infer_status)from.status;
        snprintf(error->message, sizeof error->message, "%s", from.text);
        return error->status;
    }
    infer_model_options trusted = options ? *options : (infer_model_options){0};
    storage->bytes = size;
    trusted.trust_weights = true; /* written a moment ago */
    return infer_model_open_memory(bytes, size, path, &trusted, model, error);
}

infer_status open_model(const char *path, const infer_model_options *options, struct model_storage *storage,
                        infer_model **model, infer_error *error)
{
    char first[16];
    struct error from = {0};
    const struct file_rules rules = {.limit = options && options->memory_limit ? options->memory_limit : SIZE_MAX,
                                     .plausible = either_begins};
    *storage = (struct model_storage){0};
    *model = NULL;
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    if (is_once(path) && file_open_path(&storage->map, path, &rules, &default_allocator, &from) != STATUS_OK) {
        error->status = (infer_status)from.status;
        snprintf(error->message, sizeof error->message, "%s", from.text);
        return error->status;
    }
    size_t count = storage->map.bytes ? storage->map.size : peek(path, first, sizeof first);
    const void *bytes = storage->map.bytes ? storage->map.bytes : first;
    if (count > 0 ? !model_begins(bytes, count) && (onnx_begins(bytes, count) || ends_with(path, ".onnx"))
                  : ends_with(path, ".onnx"))
        return open_converted(storage->map.bytes ? name : path, options, storage, model, error);
    if (storage->map.bytes)
        return infer_model_open_memory(storage->map.bytes, storage->map.size, name, options, model, error);
    return infer_model_open(path, options, model, error);
}

/* Those of one set need not stand together. */
const char *packed_sets(const infer_model *model, char *buffer, size_t bytes)
{
    buffer[0] = '\0';
    for (int i = 0; i < model->stored.count; i++) {
        struct legible set = legible(model->stored.packs[i].set);
        size_t used = strlen(buffer);
        if (!strstr(buffer, set.text))
            snprintf(buffer + used, bytes - used, used ? ", %s" : "%s", set.text);
    }
    return buffer;
}

void model_storage_free(struct model_storage *storage)
{
    if (storage->used)
        region_free(&storage->region);
    storage->used = false;
    file_unmap(&storage->map);
}

int tool_model_failed(const struct tool *tool, const char *path, const infer_error *error)
{
    bool named = strncmp(error->message, path, strlen(path)) == 0;
    return named ? tool_failed(tool, "%s", error->message) : tool_failed(tool, "%s: %s", path, error->message);
}
