/* Files as bytes in memory: mapped where that can be, read where it cannot; and written whole or not at all. */
#ifndef INFER_FORMATS_FILE_H
#define INFER_FORMATS_FILE_H

#include "kernels/base.h"

/* The content of a file. Zero-initialise, or fill by one of the functions below; the fields after `size` are theirs. */
struct file_map {
    const void *bytes; /* aligned to ALIGNMENT; never empty after success */
    size_t size;
    const struct allocator *allocator; /* NULL: mapped */
    size_t allocated;
};

struct file_rules {
    size_t limit; /* most bytes that are read into memory; SIZE_MAX: any number */
    bool copy;    /* read it into memory even where it could be mapped: then others may cut or change it */
    /* Looks at the first bytes, at least 16 where there are as many. False: what cannot be mapped is read no further (a
     * device never ends), and `bytes` is what came so far. NULL: everything will do. */
    bool (*plausible)(const void *bytes, size_t size);
};

/* Maps the file at `path` ("-": standard input), private and read-only: processes that map one file share its memory.
 * What cannot be mapped (a pipe, a terminal, /proc) is read to its end into memory of `allocator`, at most `limit`
 * bytes of it (SIZE_MAX: no limit) or MEMORY_LIMIT. A mapped file must not be cut short or written over while it is in
 * use: replace it by renaming another over it, as file_write does.
 * Errors: IO (missing, no permission, a directory, empty, unreadable), MEMORY_LIMIT, OUT_OF_MEMORY. On an error `map`
 * is left zeroed. */
enum status file_map_path(struct file_map *map, const char *path, size_t limit, const struct allocator *allocator,
                          struct error *error);
/* As file_map_path for an open descriptor, which stays the caller's and may be closed at once. A regular file is taken
 * whole, wherever the descriptor stands; anything else from where it stands. `name` is what errors call it. */
enum status file_map_descriptor(struct file_map *map, const char *name, int descriptor, size_t limit,
                                const struct allocator *allocator, struct error *error);
/* The same by rules. */
enum status file_open_path(struct file_map *map, const char *path, const struct file_rules *rules,
                           const struct allocator *allocator, struct error *error);
enum status file_open_descriptor(struct file_map *map, const char *name, int descriptor, const struct file_rules *rules,
                                 const struct allocator *allocator, struct error *error);
/* What a file is that was taken for another, to go after its name: "is an HTML page, ..."; NULL: nothing that is
 * known here. */
const char *file_foreign_kind(const void *bytes, size_t size);
/* Also right for a zeroed map. Leaves it zeroed. */
void file_unmap(struct file_map *map);

struct file_part {
    const void *bytes;
    size_t size;
};

/* Writes the parts, one after another, to the file at `path` ("-": standard output). They go to a new file beside it
 * which is then renamed, so that a failure (a full disk, a kill) leaves whatever was there, and no reader sees half a
 * file. Where the file system can, the new file has no name until it is whole, and a kill leaves nothing of it.
 * Symbolic links are followed; what is no regular file (a pipe, a device) is written to as it is. A file that is
 * replaced keeps its mode, and is replaced only once the new bytes are on the disk. */
enum status file_write_parts(const char *path, size_t count, const struct file_part *parts, struct error *error);
enum status file_write(const char *path, const void *bytes, size_t size, struct error *error);

#endif
