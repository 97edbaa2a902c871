/* External data: a tensor's bytes in another file, which a model names by its place in the model's own folder. Nothing
 * outside of that folder is ever opened: the path is walked name by name, `..` and symbolic links are refused, and no
 * name is looked up twice. */
#include "formats/onnx/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Data that lies unaligned in its file is copied. Tensors may share bytes, but not to make more than this many copies
 * of a file. */
#define MOST_COPIES 4

struct place_in_file {
    const char *location;
    uint64_t offset, length;
    bool has_length;
};

static enum status bad_location(struct import *im, const char *name, const char *location, const char *why)
{
    return error_set(im->error, STATUS_INVALID_MODEL, "%s: external data '%s' %s", name, location, why);
}

static enum status read_number(struct import *im, const char *name, const Onnx__Property *entry, uint64_t *number)
{
    const char *digits = text(entry->value);
    *number = 0;
    bool good = *digits != 0;
    for (const char *c = digits; good && *c; c++)
        good = *c >= '0' && *c <= '9' && !__builtin_mul_overflow(*number, 10u, number) &&
               !__builtin_add_overflow(*number, (unsigned)(*c - '0'), number);
    return good ? STATUS_OK
                : error_set(im->error, STATUS_INVALID_MODEL, "%s: external data has the %s '%s', which is no number",
                            name, entry->key, digits);
}

static enum status read_entries(struct import *im, const char *name, const Onnx__Tensor *tensor,
                                struct place_in_file *place)
{
    *place = (struct place_in_file){0};
    for (size_t i = 0; i < tensor->n_external_data; i++) {
        const Onnx__Property *entry = tensor->external_data[i];
        if (strcmp(text(entry->key), "location") == 0)
            place->location = text(entry->value);
        else if (strcmp(text(entry->key), "offset") == 0)
            TRY(read_number(im, name, entry, &place->offset));
        else if (strcmp(text(entry->key), "length") == 0) {
            TRY(read_number(im, name, entry, &place->length));
            place->has_length = true;
        }
    }
    if (!place->location || !*place->location)
        return error_set(im->error, STATUS_INVALID_MODEL, "%s: external data without a location", name);
    return STATUS_OK;
}

/* Opens what one name in a folder stands for, itself and not what it may link to. Closes the folder. */
static int descend(int folder, const char *name, int flags)
{
    int descriptor = openat(folder, name, flags | O_NOFOLLOW | O_CLOEXEC);
    int failure = errno;
    close(folder);
    errno = failure;
    return descriptor;
}

static enum status cannot_open(struct import *im, const char *name, const char *location)
{
    if (errno == ELOOP || errno == ENOTDIR)
        return bad_location(im, name, location, "goes through a symbolic link or a file that is no folder");
    return error_set(im->error, STATUS_IO, "%s: external data '%s' cannot be opened in '%s': %s", name, location,
                     im->folder, strerror(errno));
}

/* `path` is a copy that is cut up. */
static enum status open_below(struct import *im, const char *name, const char *location, char *path, int *descriptor)
{
    int at = open(im->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (char *rest = path, *part; at >= 0 && (part = strsep(&rest, "/"));) {
        if (strcmp(part, "..") == 0) {
            close(at);
            return bad_location(im, name, location, "leads out of the model's folder");
        }
        if (rest && (!*part || strcmp(part, ".") == 0))
            continue;
        /* O_NONBLOCK: a named pipe must not keep us waiting. */
        at = descend(at, part, rest ? O_PATH | O_DIRECTORY : O_RDONLY | O_NONBLOCK | O_NOCTTY);
    }
    *descriptor = at;
    return at >= 0 ? STATUS_OK : cannot_open(im, name, location);
}

static enum status map_file(struct import *im, const char *name, const char *location, struct onnx_file **file)
{
    int descriptor = -1;
    struct stat info;
    if (!im->folder)
        return bad_location(im, name, location, "cannot be found, since the model does not come from a file");
    if (*location == '/')
        return bad_location(im, name, location, "is an absolute path; only the model's own folder is read");
    char *path = region_string(&im->scratch, location);
    struct onnx_file *made = *file = region_allocate(im->region, sizeof *made);
    if (!path || !made)
        return onnx_no_memory(im);
    TRY(open_below(im, name, location, path, &descriptor));
    enum status status =
        fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode)
            ? file_map_descriptor(&made->map, location, descriptor, SIZE_MAX, im->region->allocator, im->error)
            : bad_location(im, name, location, "is not a regular file");
    close(descriptor);
    TRY(status);
    made->next = im->files;
    im->files = made;
    im->mapped_bytes += made->map.size;
    return STATUS_OK;
}

static enum status find_file(struct import *im, const char *name, const char *location, struct onnx_file **file)
{
    bool added;
    void **slot = name_map_add(&im->file_names, location, &added);
    if (!slot)
        return onnx_no_memory(im);
    if (added) {
        TRY(map_file(im, name, location, file));
        *slot = *file;
    }
    *file = *slot;
    return STATUS_OK;
}

static enum status copy_unaligned(struct import *im, const char *name, const void **data, size_t bytes)
{
    if (bytes > MOST_COPIES * im->mapped_bytes - im->copied_bytes)
        return error_set(im->error, STATUS_INVALID_MODEL, "%s: tensors share external data more than %d times over",
                         name, MOST_COPIES);
    void *copy = region_buffer(im->region, bytes);
    if (!copy)
        return onnx_no_memory(im);
    im->copied_bytes += bytes;
    *data = memcpy(copy, *data, bytes);
    return STATUS_OK;
}

static enum status check_limit(struct import *im, const char *name, size_t bytes)
{
    size_t limit = im->options->external_limit;
    if (add_size(im->external_bytes, bytes, &im->external_bytes) && (limit == 0 || im->external_bytes <= limit))
        return STATUS_OK;
    return error_set(im->error, STATUS_MEMORY_LIMIT, "%s: with its %s bytes, external data go past the limit of %s",
                     name, grouped(bytes).text, grouped(limit).text);
}

enum status onnx_read_external(struct import *im, const char *name, const Onnx__Tensor *tensor, size_t bytes,
                               const void **data)
{
    struct place_in_file place;
    struct onnx_file *file = NULL;
    TRY(read_entries(im, name, tensor, &place));
    if (place.has_length && place.length != bytes)
        return error_set(im->error, STATUS_INVALID_MODEL, "%s: external data has the length %s; its shape needs %s",
                         name, grouped(place.length).text, grouped(bytes).text);
    *data = NULL;
    if (bytes == 0)
        return STATUS_OK;
    TRY(check_limit(im, name, bytes));
    TRY(find_file(im, name, place.location, &file));
    if (place.offset > file->map.size || bytes > file->map.size - place.offset)
        return error_set(im->error, STATUS_INVALID_MODEL,
                         "%s: %s bytes from byte %s on pass the end of external data '%s' (%s bytes)", name,
                         grouped(bytes).text, grouped(place.offset).text, place.location, grouped(file->map.size).text);
    *data = (const uint8_t *)file->map.bytes + place.offset;
    return (uintptr_t)*data % ALIGNMENT == 0 ? STATUS_OK : copy_unaligned(im, name, data, bytes);
}
