/* Lists that attributes hold. parse.c leaves them in the file, and only counts their entries: here they are read, each
 * in the form in which its node wants it. */
#include "formats/onnx/import.h"
#include "formats/onnx/wire.h"

#include <string.h>

/* An empty list points here: NULL would be an absent one. */
static const uint64_t nothing;

/* A list, entry by entry. What is read was found well-formed by parse.c. */
struct list {
    unsigned field;          /* of the entries, in the attribute */
    const uint8_t *at, *end; /* the rest of the attribute */
    struct wire_field entry;
    const uint8_t *packed, *packed_end; /* the rest of the entries that came together */
};

enum { NUMBERS = 7, INTEGERS = 8, STRINGS = 9 };

static const ProtobufCMessageUnknownField *place_of(const Onnx__Attribute *attribute)
{
    return attribute->base.unknown_fields;
}

static struct list list_of(const Onnx__Attribute *attribute, unsigned field)
{
    const ProtobufCMessageUnknownField *place = place_of(attribute);
    return (struct list){.field = field, .at = place->data, .end = place->data + place->len};
}

/* A number is then in entry.number; of a string, that is the length. */
static bool next_entry(struct list *list)
{
    while (list->packed == list->packed_end) {
        if (list->at == list->end)
            return false;
        wire_next(&onnx__attribute__descriptor, &list->at, list->end, &list->entry);
        if (!list->entry.type || list->entry.type->id != list->field)
            continue;
        if (!wire_is_packed(&list->entry))
            return true;
        list->packed = list->entry.bytes;
        list->packed_end = list->packed + list->entry.number;
    }
    enum wire wire = wire_of(list->entry.type->type);
    list->packed = wire_number(wire, list->packed, list->packed_end, &list->entry.number);
    return true;
}

/* Room for a list, which a function has anew each time that it is called. */
static enum status make_room(struct scope *s, const Onnx__Attribute *attribute, size_t count, size_t each, void **room)
{
    struct import *im = s->import;
    size_t bytes;
    if (!multiply_size(count, each, &bytes))
        return onnx_no_memory(im);
    if (s->inlined)
        TRY(onnx_charge(im, place_of(attribute)->len + bytes));
    *room = count ? region_buffer(im->region, bytes) : (void *)(uintptr_t)&nothing;
    return *room ? STATUS_OK : onnx_no_memory(im);
}

/* The lowest `each` bytes of every number, which are its first: see formats/model_file_layout.h. */
static void copy_numbers(const Onnx__Attribute *attribute, unsigned field, size_t each, void *room)
{
    struct list list = list_of(attribute, field);
    for (char *to = room; next_entry(&list); to += each)
        memcpy(to, &list.entry.number, each);
}

enum status onnx_read_ints(struct scope *s, const Onnx__Attribute *attribute, const int64_t **ints)
{
    void *room;
    TRY(make_room(s, attribute, attribute->n_integers, sizeof **ints, &room));
    copy_numbers(attribute, INTEGERS, sizeof **ints, room);
    *ints = room;
    return STATUS_OK;
}

enum status onnx_read_floats(struct scope *s, const Onnx__Attribute *attribute, const float **floats)
{
    void *room;
    TRY(make_room(s, attribute, attribute->n_numbers, sizeof **floats, &room));
    copy_numbers(attribute, NUMBERS, sizeof **floats, room);
    *floats = room;
    return STATUS_OK;
}

static enum status copy_string(struct import *im, const uint8_t *bytes, size_t length, const char **copy)
{
    *copy = region_text(im->region, (const char *)bytes, length);
    return *copy ? STATUS_OK : onnx_no_memory(im);
}

enum status onnx_read_strings(struct scope *s, const Onnx__Attribute *attribute, struct attribute *to)
{
    struct list list = list_of(attribute, STRINGS);
    void *room;
    TRY(make_room(s, attribute, attribute->n_strings, sizeof *to->strings, &room));
    for (const char **next = room; next_entry(&list); next++)
        TRY(copy_string(s->import, list.entry.bytes, (size_t)list.entry.number, next));
    to->kind = ATTRIBUTE_STRINGS;
    to->count = attribute->n_strings;
    to->strings = room;
    return STATUS_OK;
}

/* --- as tensors --------------------------------------------------------------------------------------------------- */

static enum status make_tensor(struct scope *s, const Onnx__Attribute *attribute, enum dtype dtype, size_t count,
                               struct attribute *to, void **room)
{
    struct value *value = region_allocate(s->import->region, sizeof *value);
    if (!value)
        return onnx_no_memory(s->import);
    TRY(make_room(s, attribute, count, dtype_bits(dtype) / 8, room));
    *value = (struct value){.name = to->name, .dtype = dtype, .rank = 1, .dims = {(int64_t)count}, .id = -1};
    value->data = *room;
    value->bytes = dtype_bytes(dtype, (int64_t)count);
    to->kind = ATTRIBUTE_TENSOR;
    to->tensor = value;
    return STATUS_OK;
}

static enum dtype narrowest(int64_t least, int64_t most)
{
    if (least >= 0 && most <= UINT32_MAX)
        return most <= UINT8_MAX ? DTYPE_U8 : most <= UINT16_MAX ? DTYPE_U16 : DTYPE_U32;
    if (least >= INT16_MIN && most <= INT16_MAX)
        return least >= INT8_MIN && most <= INT8_MAX ? DTYPE_I8 : DTYPE_I16;
    return least >= INT32_MIN && most <= INT32_MAX ? DTYPE_I32 : DTYPE_I64;
}

enum status onnx_ints_tensor(struct scope *s, const Onnx__Attribute *attribute, struct attribute *to)
{
    struct list list = list_of(attribute, INTEGERS);
    int64_t least = 0, most = 0;
    while (next_entry(&list)) {
        int64_t number = (int64_t)list.entry.number;
        least = number < least ? number : least;
        most = number > most ? number : most;
    }
    enum dtype dtype = narrowest(least, most);
    void *room;
    TRY(make_tensor(s, attribute, dtype, attribute->n_integers, to, &room));
    copy_numbers(attribute, INTEGERS, dtype_bits(dtype) / 8, room);
    return STATUS_OK;
}

enum status onnx_floats_tensor(struct scope *s, const Onnx__Attribute *attribute, struct attribute *to)
{
    void *room;
    TRY(make_tensor(s, attribute, DTYPE_F32, attribute->n_numbers, to, &room));
    copy_numbers(attribute, NUMBERS, sizeof(float), room);
    return STATUS_OK;
}

/* Strings that are met so far, by number. */
#define MOST_WORDS 64
struct words {
    unsigned count, latest;
    const uint8_t *bytes[MOST_WORDS];
    size_t lengths[MOST_WORDS];
};

static bool is_word(const struct words *words, unsigned i, const struct wire_field *entry)
{
    return words->lengths[i] == entry->number && memcmp(words->bytes[i], entry->bytes, words->lengths[i]) == 0;
}

/* Makes the entry the latest word; false where it would be one too many. */
static bool find_word(struct words *words, const struct wire_field *entry)
{
    unsigned i = words->latest;
    if (i < words->count && is_word(words, i, entry))
        return true;
    for (i = 0; i < words->count && !is_word(words, i, entry);)
        i++;
    if (i == MOST_WORDS)
        return false;
    words->bytes[i] = entry->bytes;
    words->lengths[i] = (size_t)entry->number;
    words->latest = i;
    words->count += i == words->count;
    return true;
}

enum status onnx_strings_tensor(struct scope *s, const Onnx__Attribute *attribute, struct attribute *to,
                                struct attribute *words)
{
    struct import *im = s->import;
    struct words met = {0};
    struct list list = list_of(attribute, STRINGS);
    void *room;
    TRY(make_tensor(s, attribute, DTYPE_U8, attribute->n_strings, to, &room));
    for (uint8_t *next = room; next_entry(&list); *next++ = (uint8_t)met.latest)
        if (!find_word(&met, &list.entry))
            return onnx_read_strings(s, attribute, to);
    const char **strings = region_array(im->region, met.count + (size_t)1, sizeof *strings);
    *words = (struct attribute){.name = region_format(im->region, "%s" OP_WORDS, to->name), .strings = strings};
    if (!strings || !words->name)
        return onnx_no_memory(im);
    for (unsigned i = 0; i < met.count; i++)
        TRY(copy_string(im, met.bytes[i], met.lengths[i], &strings[i]));
    words->kind = ATTRIBUTE_STRINGS;
    words->count = met.count;
    return STATUS_OK;
}
