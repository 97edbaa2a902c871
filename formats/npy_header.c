#include "formats/npy_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LONGEST_STRING 64 /* of a key or a type */

/* --- types -------------------------------------------------------------------------------------------------------- */

/* What NumPy calls our types: a letter and the bytes of an element. `float8_e5m2` of ml_dtypes calls itself f1. */
static const struct {
    char kind;
    unsigned char bytes;
    unsigned char dtype;
} types[] = {
    {'b', 1, DTYPE_BOOL}, {'i', 1, DTYPE_I8},  {'i', 2, DTYPE_I16}, {'i', 4, DTYPE_I32},   {'i', 8, DTYPE_I64},
    {'u', 1, DTYPE_U8},   {'u', 2, DTYPE_U16}, {'u', 4, DTYPE_U32}, {'u', 8, DTYPE_U64},   {'f', 2, DTYPE_F16},
    {'f', 4, DTYPE_F32},  {'f', 8, DTYPE_F64}, {'c', 8, DTYPE_C64}, {'c', 16, DTYPE_C128}, {'f', 1, DTYPE_F8E5M2},
};

static const struct {
    char kind;
    const char *what;
} refused[] = {
    {'U', "Unicode strings"},         {'S', "byte strings"}, {'a', "byte strings"},
    {'O', "Python objects"},          {'M', "dates"},        {'m', "time spans"},
    {'T', "variable-length strings"},
};

/* The size in "<f4" from its second character on; 0 where it is none, or larger than any we know. */
static unsigned type_bytes(const char *digits)
{
    unsigned bytes = 0;
    for (; *digits >= '0' && *digits <= '9'; digits++)
        if ((bytes = bytes * 10 + (unsigned)(*digits - '0')) > 16)
            return 0;
    return *digits ? 0 : bytes;
}

static enum status set_type(struct npy_header *header, const char *name, const char *descr, struct error *error)
{
    const char *type = descr;
    if (*type && strchr("<>=|", *type))
        header->swapped = *type++ == '>';
    header->item_bytes = *type ? type_bytes(type + 1) : 0;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (*type == refused[i].kind)
            return error_set(error, STATUS_UNSUPPORTED,
                             "%s: holds %s ('%s'); only numbers, booleans and raw bytes can be read", name,
                             refused[i].what, descr);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (*type == types[i].kind && header->item_bytes == types[i].bytes) {
            header->dtype = (enum dtype)types[i].dtype;
            return STATUS_OK;
        }
    /* Raw items are of use only as a type of ours, and those have 1, 2, 4, 8 or 16 bytes. */
    bool raw = *type == 'V' && header->item_bytes && (header->item_bytes & (header->item_bytes - 1)) == 0;
    header->dtype = DTYPE_NONE;
    return raw ? STATUS_OK
               : error_set(error, STATUS_UNSUPPORTED, "%s: holds elements of a type that cannot be read, '%s'", name,
                           descr);
}

static void format_type(char descr[8], enum dtype dtype)
{
    unsigned bytes = (dtype_bits(dtype) + 7) / 8;
    char kind = 'V';
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].dtype == dtype && dtype != DTYPE_F8E5M2) /* NumPy itself cannot read f1 back */
            kind = types[i].kind;
    snprintf(descr, 8, "%c%c%u", bytes > 1 || kind == 'V' ? '<' : '|', kind, bytes & 31);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct cursor {
    const char *name;
    const char *text;
    size_t length, at;
    struct error *error;
};

static enum status malformed(const struct cursor *cursor, const char *what)
{
    return error_set(cursor->error, STATUS_INVALID_ARGUMENT, "%s: its NPY header is malformed at character %zu: %s",
                     cursor->name, cursor->at, what);
}

static char peek(const struct cursor *cursor)
{
    return cursor->at < cursor->length ? cursor->text[cursor->at] : '\0';
}

static void skip_spaces(struct cursor *cursor)
{
    while (peek(cursor) && strchr(" \t\r\n", peek(cursor)))
        cursor->at++;
}

static bool take(struct cursor *cursor, char wanted)
{
    skip_spaces(cursor);
    if (peek(cursor) != wanted)
        return false;
    cursor->at++;
    return true;
}

static bool take_word(struct cursor *cursor, const char *word)
{
    skip_spaces(cursor);
    size_t length = strlen(word);
    if (cursor->length - cursor->at < length || memcmp(cursor->text + cursor->at, word, length) != 0)
        return false;
    cursor->at += length;
    return true;
}

/* A Python string without escapes: no key and no type has any. */
static enum status parse_string(struct cursor *cursor, char string[LONGEST_STRING + 1])
{
    skip_spaces(cursor);
    char quote = peek(cursor);
    if (quote != '\'' && quote != '"')
        return malformed(cursor, "a string is missing");
    const char *start = cursor->text + cursor->at + 1;
    const char *end = memchr(start, quote, cursor->length - cursor->at - 1);
    size_t length = end ? (size_t)(end - start) : 0;
    if (!end || length > LONGEST_STRING || memchr(start, '\0', length))
        return malformed(cursor, "a string has no end in sight");
    memcpy(string, start, length);
    string[length] = '\0';
    cursor->at += length + 2;
    return STATUS_OK;
}

static enum status parse_dimension(struct cursor *cursor, int64_t *dim)
{
    skip_spaces(cursor);
    if (peek(cursor) == '-')
        return malformed(cursor, "a dimension is negative");
    if (peek(cursor) < '0' || peek(cursor) > '9')
        return malformed(cursor, "a dimension is missing");
    for (*dim = 0; peek(cursor) >= '0' && peek(cursor) <= '9'; cursor->at++)
        if (__builtin_mul_overflow(*dim, 10, dim) || __builtin_add_overflow(*dim, peek(cursor) - '0', dim))
            return malformed(cursor, "a dimension is too large");
    if (peek(cursor) == 'L') /* Python 2 wrote 3L */
        cursor->at++;
    return STATUS_OK;
}

/* A Python tuple: (), (3,), (3, 4) or (3, 4,). */
static enum status parse_shape(struct cursor *cursor, struct npy_header *header)
{
    if (!take(cursor, '('))
        return malformed(cursor, "the shape is no tuple");
    header->rank = 0;
    bool comma = true;
    while (!take(cursor, ')')) {
        int64_t dim = 0;
        if (!comma)
            return malformed(cursor, "a comma or ')' is missing in the shape");
        enum status status = parse_dimension(cursor, &dim);
        if (status != STATUS_OK)
            return status;
        if (header->rank == MAX_RANK)
            return error_set(cursor->error, STATUS_UNSUPPORTED, "%s: has more than %d dimensions", cursor->name,
                             MAX_RANK);
        header->dims[header->rank++] = dim;
        comma = take(cursor, ',');
    }
    if (header->rank == 1 && !comma)
        return malformed(cursor, "the shape is a number in parentheses, not a tuple");
    return STATUS_OK;
}

static enum status parse_type(struct cursor *cursor, struct npy_header *header)
{
    char descr[LONGEST_STRING + 1];
    skip_spaces(cursor);
    if (peek(cursor) == '[')
        return error_set(cursor->error, STATUS_UNSUPPORTED, "%s: holds records; only plain elements can be read",
                         cursor->name);
    enum status status = parse_string(cursor, descr);
    return status == STATUS_OK ? set_type(header, cursor->name, descr, cursor->error) : status;
}

static enum status parse_order(struct cursor *cursor, struct npy_header *header)
{
    header->fortran = take_word(cursor, "True");
    if (!header->fortran && !take_word(cursor, "False"))
        return malformed(cursor, "fortran_order is neither True nor False");
    return STATUS_OK;
}

static const struct {
    const char *key;
    enum status (*parse)(struct cursor *cursor, struct npy_header *header);
} entries[] = {{"descr", parse_type}, {"fortran_order", parse_order}, {"shape", parse_shape}};

#define ENTRIES (sizeof entries / sizeof entries[0])

static enum status parse_entry(struct cursor *cursor, struct npy_header *header, bool seen[ENTRIES])
{
    char key[LONGEST_STRING + 1];
    enum status status = parse_string(cursor, key);
    if (status != STATUS_OK)
        return status;
    if (!take(cursor, ':'))
        return malformed(cursor, "a ':' is missing");
    for (size_t i = 0; i < ENTRIES; i++) {
        if (strcmp(key, entries[i].key) != 0)
            continue;
        if (seen[i])
            return malformed(cursor, "a key stands twice");
        seen[i] = true;
        return entries[i].parse(cursor, header);
    }
    return error_set(cursor->error, STATUS_INVALID_ARGUMENT, "%s: its NPY header has an unknown key '%s'", cursor->name,
                     key);
}

enum status npy_header_parse(struct npy_header *header, const char *name, const char *text, size_t length,
                             struct error *error)
{
    struct cursor cursor = {.name = name, .text = text, .length = length, .error = error};
    bool seen[ENTRIES] = {false}, comma = true;
    *header = (struct npy_header){.dtype = DTYPE_NONE};
    if (!take(&cursor, '{'))
        return malformed(&cursor, "it is no dictionary");
    while (!take(&cursor, '}')) {
        if (!comma)
            return malformed(&cursor, "a comma or '}' is missing");
        enum status status = parse_entry(&cursor, header, seen);
        if (status != STATUS_OK)
            return status;
        comma = take(&cursor, ',');
    }
    skip_spaces(&cursor);
    if (cursor.at < length)
        return malformed(&cursor, "the dictionary ended before");
    for (size_t i = 0; i < ENTRIES; i++)
        if (!seen[i])
            return error_set(error, STATUS_INVALID_ARGUMENT, "%s: its NPY header lacks '%s'", name, entries[i].key);
    return STATUS_OK;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

#define GROWTH_DIGITS 21

/* NumPy leaves room for the first dimension to grow to 21 digits, then pads with spaces and a last newline. */
size_t npy_header_format(char buffer[NPY_HEADER_MOST_BYTES], enum dtype dtype, int rank, const int64_t *dims)
{
    char descr[8], shape[MAX_RANK * 21 + 1] = "";
    int used = 0, first_digits = GROWTH_DIGITS;
    for (int i = 0; i < rank; i++) {
        used += snprintf(shape + used, sizeof shape - (size_t)used, i ? ", %" PRId64 : "%" PRId64, dims[i]);
        first_digits = i ? first_digits : used;
    }
    format_type(descr, dtype);
    int length = snprintf(buffer, NPY_HEADER_MOST_BYTES,
                          NPY_MAGIC "\x01%c%c%c{'descr': '%s', 'fortran_order': False, 'shape': (%s%s), }%*s", 0, 0, 0,
                          descr, shape, rank == 1 ? "," : "", GROWTH_DIGITS - first_digits, "");
    size_t whole = ((size_t)length + 1) / 64 * 64 + 64, after = whole - NPY_PREAMBLE_BYTES - 2;
    memset(buffer + length, ' ', whole - (size_t)length);
    buffer[whole - 1] = '\n';
    buffer[NPY_PREAMBLE_BYTES] = (char)(after & 255);
    buffer[NPY_PREAMBLE_BYTES + 1] = (char)(after >> 8);
    return whole;
}
