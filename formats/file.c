#include "formats/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_READ_BYTES ((size_t)64 * 1024)
#define SNIFFED_BYTES 16

static enum status cannot(struct error *error, const char *name, const char *what)
{
    if (errno == ENOMEM)
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s: cannot %s: out of memory", name, what);
    return error_set(error, STATUS_IO, "%s: cannot %s: %s", name, what, strerror(errno));
}

/* Moves what was read into a block of `bytes`; the old block is released. */
static bool resize(struct file_map *map, const struct allocator *allocator, size_t bytes)
{
    void *block = allocate(allocator, bytes, ALIGNMENT);
    if (!block)
        return false;
    if (map->size)
        memcpy(block, map->bytes, map->size);
    release(allocator, (void *)map->bytes, map->allocated);
    map->bytes = block;
    map->allocated = bytes;
    return true;
}

/* Room for one byte past the limit is what tells a file of just that size from a longer one. */
static enum status make_room(struct file_map *map, const char *name, size_t limit, struct error *error)
{
    size_t bytes = map->allocated ? map->allocated : FIRST_READ_BYTES / 2;
    size_t most = limit < SIZE_MAX ? limit + 1 : limit;
    if (!multiply_size(bytes, 2, &bytes) || bytes > most)
        bytes = most;
    if (!resize(map, map->allocator, bytes))
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s: out of memory after reading %s bytes", name,
                         grouped(map->size).text);
    return STATUS_OK;
}

/* All of a file at once, and a byte more, which is what its end is seen by. */
static bool room_for(struct file_map *map, uintmax_t size, size_t limit)
{
    size_t most = limit < SIZE_MAX ? limit + 1 : limit;
    return resize(map, map->allocator, size < most ? (size_t)size + 1 : most);
}

/* Reads to the end. `whole`: from the file's beginning, not from where the descriptor stands. */
static enum status read_all(struct file_map *map, const char *name, int descriptor, bool whole,
                            const struct file_rules *rules, struct error *error)
{
    bool sniffed = !rules->plausible;
    for (;;) {
        if (map->size == map->allocated) {
            enum status status = make_room(map, name, rules->limit, error);
            if (status != STATUS_OK)
                return status;
        }
        char *end = (char *)map->bytes + map->size;
        size_t room = map->allocated - map->size;
        ssize_t got = whole ? pread(descriptor, end, room, (off_t)map->size) : read(descriptor, end, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cannot(error, name, "read");
        if (got == 0)
            break;
        map->size += (size_t)got;
        if (map->size > rules->limit)
            return error_set(error, STATUS_MEMORY_LIMIT, "%s: holds more than the limit of %s bytes", name,
                             grouped(rules->limit).text);
        if (!sniffed && map->size >= SNIFFED_BYTES && !rules->plausible(map->bytes, map->size))
            break;
        sniffed = sniffed || map->size >= SNIFFED_BYTES;
    }
    if (map->size == 0)
        return error_set(error, STATUS_IO, "%s: is empty", name);
    return STATUS_OK;
}

/* What is not in the page cache yet is to be read in blocks of 2 MB. A map takes one page fault for such a block, 32
 * and more for small ones, in this process and all later ones. */
static void cache_in_large_blocks(void *bytes, size_t size)
{
    if (size >= LARGE_PAGE)
        madvise(bytes, size, MADV_HUGEPAGE);
}

enum status file_open_descriptor(struct file_map *map, const char *name, int descriptor, const struct file_rules *rules,
                                 const struct allocator *allocator, struct error *error)
{
    *map = (struct file_map){0};
    struct stat info;
    if (fstat(descriptor, &info) != 0)
        return cannot(error, name, "read");
    if (S_ISDIR(info.st_mode))
        return error_set(error, STATUS_IO, "%s: is a directory", name);
    bool regular = S_ISREG(info.st_mode);
    if (regular && info.st_size > 0 && !rules->copy) {
        if ((uintmax_t)info.st_size > SIZE_MAX)
            return error_set(error, STATUS_IO, "%s: is too large for this machine's addresses", name);
        void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (bytes != MAP_FAILED) {
            cache_in_large_blocks(bytes, (size_t)info.st_size);
            *map = (struct file_map){.bytes = bytes, .size = (size_t)info.st_size};
            return STATUS_OK;
        }
        if (errno == ENOMEM || errno == EACCES)
            return cannot(error, name, "map");
    }
    map->allocator = allocator;
    if (regular && rules->copy && !room_for(map, (uintmax_t)info.st_size, rules->limit))
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s: out of memory for its %s bytes", name,
                         grouped((uintmax_t)info.st_size).text);
    enum status status = read_all(map, name, descriptor, regular, rules, error);
    if (status != STATUS_OK)
        file_unmap(map);
    return status;
}

enum status file_open_path(struct file_map *map, const char *path, const struct file_rules *rules,
                           const struct allocator *allocator, struct error *error)
{
    if (strcmp(path, "-") == 0)
        return file_open_descriptor(map, "standard input", STDIN_FILENO, rules, allocator, error);
    *map = (struct file_map){0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return cannot(error, path, "open");
    enum status status = file_open_descriptor(map, path, descriptor, rules, allocator, error);
    close(descriptor);
    return status;
}

enum status file_map_descriptor(struct file_map *map, const char *name, int descriptor, size_t limit,
                                const struct allocator *allocator, struct error *error)
{
    return file_open_descriptor(map, name, descriptor, &(struct file_rules){.limit = limit}, allocator, error);
}

enum status file_map_path(struct file_map *map, const char *path, size_t limit, const struct allocator *allocator,
                          struct error *error)
{
    return file_open_path(map, path, &(struct file_rules){.limit = limit}, allocator, error);
}

static bool begins(const char *bytes, size_t size, const char *text)
{
    return size >= strlen(text) && strncasecmp(bytes, text, strlen(text)) == 0;
}

const char *file_foreign_kind(const void *bytes, size_t size)
{
    const char *at = bytes;
    if (size >= 4 && memcmp(at, "PK\3\4", 4) == 0)
        return "is a zip archive: unpack it first";
    if (size >= 2 && memcmp(at, "\x1f\x8b", 2) == 0)
        return "is compressed by gzip: unpack it first";
    if (begins(at, size, "version https://git-lfs"))
        return "is a Git LFS pointer, which stands for a file that is still to be fetched (git lfs pull)";
    for (; size > 0 && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'); at++)
        size--;
    if (begins(at, size, "<!doctype html") || begins(at, size, "<html"))
        return "is an HTML page, as a download leaves that went to the wrong address";
    return NULL;
}

void file_unmap(struct file_map *map)
{
    if (map->allocator)
        release(map->allocator, (void *)map->bytes, map->allocated);
    else if (map->bytes)
        munmap((void *)map->bytes, map->size);
    *map = (struct file_map){0};
}
