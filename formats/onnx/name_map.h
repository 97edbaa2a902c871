/* A map from names to pointers. Names and how many there are come from files that may be hostile, so no order of
 * insertion and no choice of names makes it slow: a crit-bit tree, whose paths are no longer than a name has bits. */
#ifndef INFER_FORMATS_ONNX_NAME_MAP_H
#define INFER_FORMATS_ONNX_NAME_MAP_H

#include "kernels/base.h"

struct name_map {
    struct region *region; /* holds the tree; names and values stay the caller's */
    struct name_branch *root;
};

/* NULL where the name is not there; else where its pointer is kept, to be read or replaced. */
void **name_map_find(const struct name_map *map, const char *name);
/* The same, but a name that is not there is added with a NULL pointer, and *added set. NULL: out of memory. */
void **name_map_add(struct name_map *map, const char *name, bool *added);
/* True for a name that is there, whatever its pointer. */
static inline bool name_map_has(const struct name_map *map, const char *name)
{
    return name_map_find(map, name) != NULL;
}

#endif
