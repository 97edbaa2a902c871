/* Packs that a model's file holds beside its weights (infer-convert --pack): read where they lie, in the place of those
 * that would be made. The weights that they are made of may then be read by nobody, so nobody looks at those before a
 * program reads them: as they are, as another pack, or made into something else. */
#ifndef INFER_RUNTIME_WEIGHTS_STORED_H
#define INFER_RUNTIME_WEIGHTS_STORED_H

#include "formats/model_file.h"

#include <stdatomic.h>

struct stored_packs {
    int count;
    const struct model_pack *packs; /* as the file has them */
    atomic_uchar *checked;          /* by pack: its checksum was found right */
    bool trusted;                   /* nobody looks at the checksums */
    int unread_count;
    const struct model_tensor *unread; /* weights, as the file has them */
    atomic_uchar *whole;               /* by these: its checksum was found right */
    const char *file;                  /* its name, for errors */
};

/* False: no memory in the region. The packs must last as long as it. */
bool stored_packs_init(struct stored_packs *stored, const char *file, const struct model_metadata *metadata,
                       bool trusted, struct region *region);

/* A pack as a kernel wants it. */
struct stored_wanted {
    enum kernel_family family;
    const struct kernel_pack *pack;
    const struct value *input; /* its type and shape count */
    const void *source;        /* the input's content */
};

/* The stored pack that is the one wanted; *data NULL: there is none. Its bytes are looked at when it is first found.
 * Any thread. INVALID_MODEL: they are not those that were written. */
enum status stored_packs_find(const struct stored_packs *stored, const struct stored_wanted *wanted, const void **data,
                              struct error *error);
/* The same as a file is to hold it; `set` and the pack's `data` are the caller's. */
struct model_pack stored_pack_of(const struct stored_wanted *wanted, const char *set, const void *data);
/* One that is as good as the other, data apart. */
bool stored_packs_equal(const struct model_pack *a, const struct model_pack *b);
/* Looks at the weights that `data` lies in, unless somebody has. INVALID_MODEL: they are not those that were written.
 */
enum status stored_check_source(const struct stored_packs *stored, const void *data, struct error *error);
/* What a program does with weights that nobody has looked at: it reads the packs of some, and others as they are.
 * `uses` has an entry for each of them, zero at first. */
enum stored_use { STORED_UNUSED, STORED_LATER, STORED_AS_PACK, STORED_AS_IT_IS };
void stored_use_pack(const struct stored_packs *stored, unsigned char *uses, const void *pack);
void stored_use_source(const struct stored_packs *stored, unsigned char *uses, const void *data, enum stored_use use);
/* Looks at all that is neither used as a pack alone nor by a later program. */
enum status stored_check_rest(const struct stored_packs *stored, const unsigned char *uses, struct error *error);
/* Of the packs that were found so far. */
size_t stored_packs_used(const struct stored_packs *stored);
size_t stored_packs_bytes(const struct stored_packs *stored); /* of all */

#endif
