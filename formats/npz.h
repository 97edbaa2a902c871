/* NPZ, NumPy's archive of named arrays: a ZIP file whose members are NPY files. */
#ifndef INFER_FORMATS_NPZ_H
#define INFER_FORMATS_NPZ_H

#include "formats/file.h"
#include "formats/npy.h"

/* An open archive. Zero-initialise, or fill by one of the functions below. */
struct npz {
    const char *name; /* what errors call it */
    int count;        /* of its arrays: the members whose name ends in ".npy"; others are passed over */
    const struct npz_member *members;
    struct file_map map;
    bool borrowed; /* the bytes of the map are the caller's */
    struct region region;
};

/* Opens the archive at `path` ("-": standard input) and reads its directory, not its arrays. ZIP64 is understood, and
 * the directory has to fit the file: members that overlap, reach out of it or have two names are INVALID_ARGUMENT.
 * `path` must outlive the archive. On an error `npz` is left zeroed. */
enum status npz_open(struct npz *npz, const char *path, const struct allocator *allocator, struct error *error);
/* The same from memory, which must outlive the archive too. `name` is what errors call it. */
enum status npz_open_memory(struct npz *npz, const char *name, const void *bytes, size_t size,
                            const struct allocator *allocator, struct error *error);
/* Also right for a zeroed one. Leaves it zeroed; arrays that were read stay. */
void npz_close(struct npz *npz);

/* The name of array `index`, without ".npy"; in the order of the directory. */
const char *npz_name(const struct npz *npz, int index);
/* -1 where there is none; the last where there are several, as NumPy does. */
int npz_find(const struct npz *npz, const char *name);

/* Reads an array, stored or deflated, and checks its CRC-32. What its member claims to unpack to is allocated only
 * where that many bytes can come of it. Errors are those of npy_read. Many threads may read from one archive. */
enum status npz_read(const struct npz *npz, int index, struct npy_array *array, const struct allocator *allocator,
                     struct error *error);

#endif
