#include "tools/item_source.h"

#include "tools/common.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length > tail && strcmp(text + length - tail, ending) == 0;
}

static int is_array_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && (ends_with(entry->d_name, ".npy") || ends_with(entry->d_name, ".npz"));
}

static enum status open_folder(struct item_source *items, const char *path, struct error *error)
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_array_file, alphasort);
    if (count < 0)
        return error_set(error, STATUS_IO, "%s: cannot list this folder: %s", path, strerror(errno));
    items->folder = path;
    items->names = calloc((size_t)count + 1, sizeof *items->names);
    bool complete = items->names != NULL;
    for (int i = 0; i < count; i++) {
        if (items->names)
            complete = (items->names[i] = strdup(entries[i]->d_name)) != NULL && complete;
        free(entries[i]);
    }
    free(entries);
    items->count = items->names ? (size_t)count : 0;
    if (!complete)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for the names in %s", path);
    if (count == 0)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: there is no .npy and no .npz file in this folder", path);
    return STATUS_OK;
}

/* An array alone can only be the input of a model that needs no other. */
static enum status needs_one_input(const infer_model *model, const char *source, struct error *error)
{
    size_t needed = 0;
    for (size_t i = 0; i < infer_model_input_count(model); i++) {
        infer_value value;
        infer_model_input(model, i, &value);
        needed += i == 0 || !value.has_default;
    }
    if (needed == 1)
        return STATUS_OK;
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "%s: the model needs %zu inputs for each item: give a folder with an .npz for each", source,
                     needed);
}

enum status item_source_open(struct item_source *items, const infer_model *model, const char *source, int file_count,
                             char **files, struct error *error)
{
    struct stat info;
    *items = (struct item_source){.model = model};
    if (!source) {
        items->names = files;
        items->borrowed = true;
        items->count = (size_t)file_count;
        return STATUS_OK;
    }
    if (strcmp(source, "-") == 0) {
        items->is_stdin = true;
        items->count = SIZE_MAX;
        return needs_one_input(model, "standard input", error);
    }
    if (stat(source, &info) != 0)
        return error_set(error, STATUS_IO, "%s: %s", source, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return open_folder(items, source, error);
    items->is_archive = true;
    enum status status = npz_open(&items->npz, source, &default_allocator, error);
    if (status != STATUS_OK)
        return status;
    items->count = (size_t)items->npz.count;
    return needs_one_input(model, source, error);
}

/* --- one item ----------------------------------------------------------------------------------------------------- */

static enum status read_stdin(void *user, void *to, size_t size, struct error *error)
{
    (void)user;
    if (fread(to, 1, size, stdin) == size)
        return STATUS_OK;
    return error_set(error, STATUS_INVALID_ARGUMENT, "standard input: ends within an array");
}

static enum status next_of_stdin(struct item_source *items, struct input_set *inputs, bool *end, bool *broken,
                                 struct error *error)
{
    int first = getc(stdin);
    *end = first == EOF;
    if (*end)
        return ferror(stdin) ? error_set(error, STATUS_IO, "standard input: %s", strerror(errno)) : STATUS_OK;
    ungetc(first, stdin);
    struct npy_array array;
    struct npy_source source = {.name = "standard input", .left = SIZE_MAX / 2, .read = read_stdin};
    *broken = npy_read_source(&array, &source, &default_allocator, error) != STATUS_OK;
    return *broken ? error->status : inputs_of_array(items->model, "standard input", &array, inputs, error);
}

static enum status next_of_archive(struct item_source *items, char *name, struct input_set *inputs, struct error *error)
{
    struct npy_array array;
    int index = (int)items->next - 1;
    snprintf(name, PATH_MAX, "%s", npz_name(&items->npz, index));
    enum status status = npz_read(&items->npz, index, &array, &default_allocator, error);
    return status == STATUS_OK ? inputs_of_array(items->model, name, &array, inputs, error) : status;
}

static enum status next_of_files(struct item_source *items, char *name, struct input_set *inputs, struct error *error)
{
    char path[PATH_MAX], *argument = path;
    const char *file = items->names[items->next - 1];
    int length = items->folder ? snprintf(path, sizeof path, "%s/%s", items->folder, file)
                               : snprintf(path, sizeof path, "%s", file);
    const char *base = items->folder || !strrchr(file, '/') ? file : strrchr(file, '/') + 1;
    snprintf(name, PATH_MAX, "%s", base);
    if (ends_with(name, ".npy") || ends_with(name, ".npz"))
        name[strlen(name) - 4] = '\0';
    if (length < 0 || (size_t)length >= sizeof path)
        return error_set(error, STATUS_IO, "the path to '%.200s' is too long", file);
    return read_inputs(items->model, 1, &argument, inputs, error);
}

enum status item_source_next(struct item_source *items, char *name, struct input_set *inputs, bool *end, bool *broken,
                             struct error *error)
{
    *inputs = (struct input_set){0};
    *broken = false;
    *end = items->next == items->count;
    if (*end)
        return STATUS_OK;
    items->next++;
    enum status status;
    if (items->is_stdin) {
        snprintf(name, PATH_MAX, "%06zu", items->next - 1);
        status = next_of_stdin(items, inputs, end, broken, error);
    } else {
        status =
            items->is_archive ? next_of_archive(items, name, inputs, error) : next_of_files(items, name, inputs, error);
    }
    if (status != STATUS_OK)
        free_inputs(inputs);
    return status;
}

void item_source_close(struct item_source *items)
{
    for (size_t i = 0; i < items->count && items->names && !items->borrowed; i++)
        free(items->names[i]);
    if (!items->borrowed)
        free(items->names);
    npz_close(&items->npz);
    *items = (struct item_source){0};
}
