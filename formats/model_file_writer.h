/* Between the halves of the writer of model files: what a graph becomes, and how that is put together. */
#ifndef INFER_FORMATS_MODEL_FILE_WRITER_H
#define INFER_FORMATS_MODEL_FILE_WRITER_H

#include "formats/model_file_layout.h"

/* A growing array in the writer's scratch region. */
struct model_list {
    char *items;
    size_t bytes, capacity;
};

struct model_text {
    const char *text;
    size_t length;
};

/* A constant, each time that one is met. */
struct tensor_use {
    const void *data;
    size_t bytes;
    uint64_t checksum;
    uint32_t same_as; /* the first use of the same bytes: itself, where they are new */
    bool packed;      /* there is a pack of all of it */
    uint32_t index;   /* among the tensors of the file */
};

/* The graphs are walked twice by the same code. The first walk collects strings and tensors, which are then sorted and
 * numbered; the second makes the records, which hold those numbers. */
struct model_writer {
    struct region *scratch;
    struct error *error;
    bool collecting;
    bool out_of_memory; /* some list could not grow */
    struct model_list sections[SECTION_COUNT];
    struct model_list strings;     /* struct model_text, sorted after the first walk */
    struct model_list tensor_uses; /* struct tensor_use */
    uint32_t next_use;             /* in the second walk */
    struct model_list tensors;     /* const void *: the bytes of each tensor of the file */
    struct model_list packs;       /* const void *: the bytes of each pack */
    struct name_scope names;
};

static inline size_t section_count(const struct model_writer *w, enum model_section kind)
{
    return w->sections[kind].bytes / model_section_types[kind].record_bytes;
}
void model_append(struct model_writer *w, struct model_list *list, const void *item, size_t bytes);
/* The string's index; 0 while collecting. */
uint32_t model_string_index(struct model_writer *w, const char *text, size_t length);
uint32_t model_tensor_index(struct model_writer *w, const void *data, size_t bytes);
/* After all tensors: the one that these bytes, which a pack is made of, lie in, and where; MODEL_NONE: none. While
 * collecting, it has no number yet: 0. */
uint32_t model_tensor_around(struct model_writer *w, const void *data, size_t bytes, uint64_t *offset);
/* A record that is complete but for the place of its data, and the data. Nothing while collecting. */
void model_append_pack(struct model_writer *w, struct pack_record *record, const void *data, size_t bytes);
/* Between the walks: numbers what was collected, empties the sections, and fills those of strings and tensors. */
enum status model_number(struct model_writer *w);
/* After the walks: the file, in parts. The first is header, table and all sections but those that are in parts
 * themselves: packs and weights. */
enum status model_assemble(struct model_writer *w, struct file_part **parts, size_t *part_count);

#endif
