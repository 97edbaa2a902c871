/* Where the items of a stream come from, one after another: files, a folder, an archive, standard input. */
#ifndef INFER_TOOLS_ITEM_SOURCE_H
#define INFER_TOOLS_ITEM_SOURCE_H

#include "formats/npz.h"
#include "tools/arrays.h"

struct item_source {
    const infer_model *model;
    size_t next, count; /* count: SIZE_MAX where only the end will tell */
    char **names;       /* of files; not its own where `borrowed` */
    bool borrowed;
    const char *folder; /* that they lie in; NULL: none */
    struct npz npz;
    bool is_archive, is_stdin;
};

/* `source`: a folder, whose .npy and .npz files are items, by name; an .npz, whose arrays are; "-": arrays as
 * numpy.save writes them, one after another, on standard input. NULL: the files given. An array is the input of a model
 * that needs only one. */
enum status item_source_open(struct item_source *items, const infer_model *model, const char *source, int file_count,
                             char **files, struct error *error);
/* The next item, its name into PATH_MAX bytes; *end: there is none. An error that is of this item alone leaves the
 * source at the next one; *broken says that it does not. */
enum status item_source_next(struct item_source *items, char *name, struct input_set *inputs, bool *end, bool *broken,
                             struct error *error);
void item_source_close(struct item_source *items);

#endif
