#include "tools/quantize_samples.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static enum status no_memory(struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for calibration data");
}

/* --- shapes ---------------------------------------------------------------------------------------------- */

/* Every input and output has the same axis of any size first. */
static bool is_batched(const infer_model *model)
{
    const char *name = NULL;
    size_t inputs = infer_model_input_count(model), outputs = infer_model_output_count(model);
    for (size_t i = 0; i < inputs + outputs; i++) {
        infer_value value;
        if (i < inputs)
            infer_model_input(model, i, &value);
        else
            infer_model_output(model, i - inputs, &value);
        if (value.rank < 1 || value.dims[0] >= 0 || (i < inputs && value.rank < 2))
            return false;
        const char *own = value.dim_names[0];
        if (own && name && strcmp(own, name) != 0)
            return false;
        name = own ? own : name;
    }
    return true;
}

/* Axes [from, rank) of the array are those of the value from `at` on. */
static bool fits(const struct npy_array *array, int from, const infer_value *value, int at)
{
    for (int i = from; i < array->rank; i++)
        if (value->dims[at + i - from] >= 0 && value->dims[at + i - from] != array->dims[i])
            return false;
    return true;
}

/* How the array holds samples: *rows of them (0: it is one, for all), with or without an axis for the rows. */
static bool read_rows(const struct npy_array *array, const infer_value *value, bool batched, int64_t *rows, bool *extra)
{
    *rows = 0;
    *extra = false;
    if (value->rank < 0)
        return true;
    if (array->rank == value->rank + 1 && fits(array, 1, value, 0)) {
        *extra = true;
        *rows = array->dims[0];
        return true;
    }
    if (array->rank != value->rank)
        return false;
    bool all = fits(array, 0, value, 0);
    bool rows_of_one = array->rank > 0 && value->dims[0] == 1 && fits(array, 1, value, 1);
    if (array->rank > 0 && ((all && batched) || (!all && rows_of_one)))
        *rows = array->dims[0];
    return all || rows_of_one;
}

static const char *array_shape(const struct npy_array *array, char *text, size_t room)
{
    size_t used = (size_t)snprintf(text, room, array->rank ? "" : "scalar");
    for (int i = 0; i < array->rank && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%lld", i ? "x" : "", (long long)array->dims[i]);
    return text;
}

static const char *value_shape(const infer_value *value, char *text, size_t room)
{
    size_t used = (size_t)snprintf(text, room, value->rank ? "" : "scalar");
    for (int i = 0; i < value->rank && used < room; i++)
        used += value->dims[i] >= 0
                    ? (size_t)snprintf(text + used, room - used, "%s%lld", i ? "x" : "", (long long)value->dims[i])
                    : (size_t)snprintf(text + used, room - used, "%s%s", i ? "x" : "",
                                       value->dim_names[i] ? value->dim_names[i] : "?");
    return text;
}

/* --- files ----------------------------------------------------------------------------------------------- */

static void unload(struct samples *samples)
{
    if (samples->loaded >= 0)
        free_inputs(&samples->arrays);
    samples->loaded = -1;
}

static enum status load(struct samples *samples, int file, struct error *error)
{
    if (samples->loaded == file)
        return STATUS_OK;
    unload(samples);
    enum status status = read_inputs(samples->model, 1, &samples->files[file].path, &samples->arrays, error);
    if (status == STATUS_OK)
        samples->loaded = file;
    else
        free_inputs(&samples->arrays);
    if (status != STATUS_OK && !strstr(error->text, samples->files[file].path))
        error_prefix(error, "%s", samples->files[file].path);
    return status;
}

/* Rows of the loaded file. */
static enum status count_rows(struct samples *samples, struct sample_file *file, struct error *error)
{
    bool batched = is_batched(samples->model);
    file->count = -1;
    for (size_t i = 0; i < samples->arrays.count; i++) {
        const struct npy_array *array = &samples->arrays.arrays[i];
        infer_value value;
        int64_t rows;
        bool extra;
        char have[120], want[160];
        infer_model_input(samples->model, i, &value);
        if (!array->data) /* left to its default */
            continue;
        if (!read_rows(array, &value, batched, &rows, &extra))
            return error_set(error, STATUS_INVALID_ARGUMENT, "%s: its shape is %s, that of input '%s' is %s",
                             file->path, array_shape(array, have, sizeof have), value.name,
                             value_shape(&value, want, sizeof want));
        if (array->elements == 0)
            return error_set(error, STATUS_INVALID_ARGUMENT, "%s: input '%s' is empty: there is no sample", file->path,
                             value.name);
        if (array->dtype != (enum dtype)value.dtype)
            return error_set(error, STATUS_INVALID_ARGUMENT, "%s: its type is %s, that of input '%s' is %s", file->path,
                             dtype_name(array->dtype), value.name, infer_dtype_name(value.dtype));
        if (rows > 0 && file->count > 0 && rows != file->count)
            return error_set(error, STATUS_INVALID_ARGUMENT, "%s: input '%s' has %lld samples, another %lld",
                             file->path, value.name, (long long)rows, (long long)file->count);
        file->count = rows > 0 ? rows : file->count;
    }
    file->count = file->count < 0 ? 1 : file->count;
    return STATUS_OK;
}

/* Numbers that are none, and whether all are the same. */
static enum status check_numbers(struct samples *samples, const struct sample_file *file, float *first, bool *seen,
                                 struct error *error)
{
    for (size_t i = 0; i < samples->arrays.count; i++) {
        const struct npy_array *array = &samples->arrays.arrays[i];
        infer_value value;
        infer_model_input(samples->model, i, &value);
        if (!array->data || array->dtype != DTYPE_F32) {
            samples->constant = samples->constant && !array->data;
            continue;
        }
        const float *numbers = array->data;
        for (int64_t k = 0; k < array->elements; k++) {
            if (!isfinite(numbers[k]))
                return error_set(error, STATUS_INVALID_ARGUMENT, "%s: element %lld of input '%s' is %s", file->path,
                                 (long long)k, value.name, isnan(numbers[k]) ? "NaN" : "infinite");
            *first = *seen ? *first : numbers[k];
            *seen = true;
            samples->constant = samples->constant && numbers[k] == *first;
        }
    }
    return STATUS_OK;
}

/* --- paths ----------------------------------------------------------------------------------------------- */

static enum status add_file(struct samples *samples, char *path, struct error *error)
{
    struct sample_file *files =
        path ? realloc(samples->files, (size_t)(samples->file_count + 1) * sizeof *samples->files) : NULL;
    if (!files) {
        free(path);
        return no_memory(error);
    }
    samples->files = files;
    samples->files[samples->file_count++] = (struct sample_file){.path = path};
    return STATUS_OK;
}

static int is_array(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    const char *end = length > 4 ? entry->d_name + length - 4 : "";
    return strcmp(end, ".npy") == 0 || strcmp(end, ".npz") == 0;
}

static enum status add_folder(struct samples *samples, const char *folder, struct error *error)
{
    struct dirent **entries;
    enum status status = STATUS_OK;
    int count = scandir(folder, &entries, is_array, alphasort);
    if (count < 0)
        return error_set(error, STATUS_IO, "%s: cannot read the folder: %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        size_t room = strlen(folder) + strlen(entries[i]->d_name) + 2;
        char *path = malloc(room);
        if (path)
            snprintf(path, room, "%s/%s", folder, entries[i]->d_name);
        if (status == STATUS_OK)
            status = add_file(samples, path, error);
        else
            free(path);
        free(entries[i]);
    }
    free(entries);
    if (status == STATUS_OK && count == 0)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: the folder holds no .npy and no .npz: there is no sample",
                         folder);
    return status;
}

static enum status look_at_files(struct samples *samples, struct error *error)
{
    float first = 0;
    bool seen = false;
    for (int i = 0; i < samples->file_count; i++) {
        struct sample_file *file = &samples->files[i];
        enum status status = load(samples, i, error);
        if (status == STATUS_OK)
            status = count_rows(samples, file, error);
        if (status == STATUS_OK)
            status = check_numbers(samples, file, &first, &seen, error);
        if (status != STATUS_OK)
            return status;
        samples->count += file->count;
    }
    return STATUS_OK;
}

enum status samples_open(struct samples *samples, const infer_model *model, int count, char **paths,
                         struct error *error)
{
    *samples = (struct samples){.model = model, .loaded = -1, .constant = true};
    samples->tensors = calloc(infer_model_input_count(model) + 1, sizeof *samples->tensors);
    enum status status = samples->tensors ? STATUS_OK : no_memory(error);
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        struct stat info;
        bool folder = stat(paths[i], &info) == 0 && S_ISDIR(info.st_mode);
        status = folder ? add_folder(samples, paths[i], error) : add_file(samples, strdup(paths[i]), error);
    }
    return status == STATUS_OK ? look_at_files(samples, error) : status;
}

void samples_close(struct samples *samples)
{
    unload(samples);
    for (int i = 0; i < samples->file_count; i++)
        free(samples->files[i].path);
    free(samples->files);
    free(samples->tensors);
    *samples = (struct samples){.loaded = -1};
}

/* --- one sample ------------------------------------------------------------------------------------------ */

static infer_tensor row_of(const struct npy_array *array, const infer_value *value, bool batched, int64_t row)
{
    infer_tensor tensor = array_tensor(array);
    int64_t rows;
    bool extra;
    read_rows(array, value, batched, &rows, &extra);
    if (rows == 0)
        return tensor;
    tensor.bytes = array->bytes / (size_t)rows;
    tensor.data = (char *)array->data + (size_t)row * tensor.bytes;
    tensor.dims[0] = 1;
    if (extra) {
        tensor.rank--;
        memmove(tensor.dims, tensor.dims + 1, (size_t)tensor.rank * sizeof *tensor.dims);
    }
    return tensor;
}

/* The file with sample *i, which becomes its row there. */
static int find_file(const struct samples *samples, int64_t *i)
{
    int file = 0;
    for (; *i >= samples->files[file].count; file++)
        *i -= samples->files[file].count;
    return file;
}

const char *samples_path(const struct samples *samples, int64_t i)
{
    return samples->files[find_file(samples, &i)].path;
}

enum status samples_get(struct samples *samples, int64_t i, const infer_tensor **tensors, struct error *error)
{
    int file = find_file(samples, &i);
    enum status status = load(samples, file, error);
    if (status != STATUS_OK)
        return status;
    bool batched = is_batched(samples->model);
    for (size_t k = 0; k < samples->arrays.count; k++) {
        infer_value value;
        infer_model_input(samples->model, k, &value);
        const struct npy_array *array = &samples->arrays.arrays[k];
        samples->tensors[k] = array->data ? row_of(array, &value, batched, i) : (infer_tensor){.dtype = INFER_NONE};
    }
    *tensors = samples->tensors;
    return STATUS_OK;
}
