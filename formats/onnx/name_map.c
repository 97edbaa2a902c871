#include "formats/onnx/name_map.h"

#include <string.h>

/* A branch tells names apart by one bit, a leaf holds a name. */
struct name_branch {
    bool leaf;
    unsigned char rest; /* branch: every bit set but the one that decides */
    union {
        struct {
            size_t byte; /* which byte of a name decides; past its end counts as 0 */
            struct name_branch *child[2];
        };
        struct {
            const char *name;
            void *pointer;
        };
    };
};

static int side(const struct name_branch *branch, const char *name, size_t length)
{
    unsigned byte = branch->byte < length ? (unsigned char)name[branch->byte] : 0;
    return (int)((1 + (branch->rest | byte)) >> 8); /* 256 where the deciding bit is set, less where it is not */
}

static struct name_branch *closest(const struct name_map *map, const char *name, size_t length)
{
    struct name_branch *at = map->root;
    while (!at->leaf)
        at = at->child[side(at, name, length)];
    return at;
}

void **name_map_find(const struct name_map *map, const char *name)
{
    if (!map->root)
        return NULL;
    struct name_branch *leaf = closest(map, name, strlen(name));
    return strcmp(leaf->name, name) == 0 ? &leaf->pointer : NULL;
}

static struct name_branch *make_leaf(struct name_map *map, const char *name)
{
    struct name_branch *leaf = region_allocate(map->region, sizeof *leaf);
    if (leaf) {
        leaf->leaf = true;
        leaf->name = name;
    }
    return leaf;
}

/* Every bit set but the highest in which a and b differ. */
static unsigned char all_but_highest_difference(unsigned char a, unsigned char b)
{
    unsigned different = a ^ b;
    different |= different >> 1;
    different |= different >> 2;
    different |= different >> 4;
    return (unsigned char)(~different | different >> 1);
}

/* Bits are ordered by byte, then from the highest bit down. */
static bool decides_before(const struct name_branch *a, const struct name_branch *b)
{
    return a->byte < b->byte || (a->byte == b->byte && a->rest < b->rest);
}

void **name_map_add(struct name_map *map, const char *name, bool *added)
{
    size_t length = strlen(name), byte = 0;
    *added = false;
    if (!map->root) {
        map->root = make_leaf(map, name);
        *added = map->root != NULL;
        return map->root ? &map->root->pointer : NULL;
    }
    struct name_branch *leaf = closest(map, name, length);
    while (leaf->name[byte] == name[byte]) {
        if (name[byte] == 0)
            return &leaf->pointer;
        byte++;
    }
    struct name_branch *branch = region_allocate(map->region, sizeof *branch), *fresh = make_leaf(map, name);
    if (!branch || !fresh)
        return NULL;
    branch->byte = byte;
    branch->rest = all_but_highest_difference((unsigned char)name[byte], (unsigned char)leaf->name[byte]);
    struct name_branch **at = &map->root;
    while (!(*at)->leaf && decides_before(*at, branch))
        at = &(*at)->child[side(*at, name, length)];
    int own = side(branch, name, length);
    branch->child[own] = fresh;
    branch->child[1 - own] = *at;
    *at = branch;
    *added = true;
    return &fresh->pointer;
}
