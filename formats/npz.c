/* ZIP as PKWARE's APPNOTE.TXT 6.3.10 describes it; sections are cited by number. */
#include "formats/npz.h"
#include "kernels/sort.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ZIP is little-endian");

/* Sizes of the records without their names, extra fields and comments. */
#define LOCAL_BYTES 30          /* 4.3.7 */
#define ENTRY_BYTES 46          /* 4.3.12 */
#define END_64_BYTES 56         /* 4.3.14 */
#define END_64_LOCATOR_BYTES 20 /* 4.3.15 */
#define END_BYTES 22            /* 4.3.16 */

#define METHOD_STORED 0
#define METHOD_DEFLATED 8
#define FLAG_ENCRYPTED 1
#define EXTRA_ZIP64 1

/* The most that deflate unpacks one byte to: two bits can stand for a run of 258. */
#define DEFLATE_MOST 1032

struct npz_member {
    const char *name;
    bool is_array;
    unsigned method, flags;
    uint32_t crc;
    uint64_t start, end; /* what it takes of the file: its local header, then its data */
    uint64_t packed, size;
    const unsigned char *data;
};

static unsigned get_16(const unsigned char *p)
{
    uint16_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static uint32_t get_32(const unsigned char *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static uint64_t get_64(const unsigned char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* --- the directory ------------------------------------------------------------------------------------------------ */

static enum status malformed(const struct npz *npz, struct error *error, const char *what)
{
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s: is a damaged NPZ file: %s", npz->name, what);
}

/* `bytes` at `offset`, or NULL where the file does not reach so far. */
static const unsigned char *part(const struct npz *npz, uint64_t offset, uint64_t bytes)
{
    if (offset > npz->map.size || bytes > npz->map.size - offset)
        return NULL;
    return (const unsigned char *)npz->map.bytes + offset;
}

static const unsigned char *record(const struct npz *npz, uint64_t offset, uint64_t bytes, const char signature[4])
{
    const unsigned char *p = part(npz, offset, bytes);
    return p && memcmp(p, signature, 4) == 0 ? p : NULL;
}

/* The record that ends the file: nothing follows it but its comment, of at most 65,535 bytes. */
static const unsigned char *find_end(const struct npz *npz, uint64_t *offset)
{
    for (uint64_t back = END_BYTES; back <= npz->map.size && back <= END_BYTES + UINT16_MAX; back++) {
        *offset = npz->map.size - back;
        const unsigned char *end = record(npz, *offset, END_BYTES, "PK\5\6");
        if (end && get_16(end + 20) == back - END_BYTES)
            return end;
    }
    return NULL;
}

struct directory {
    uint64_t offset, bytes, count;
    uint64_t limit; /* where it must end at the latest */
};

static enum status find_directory(const struct npz *npz, struct directory *directory, struct error *error)
{
    uint64_t offset;
    const unsigned char *end = find_end(npz, &offset);
    if (!end)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: is no NPZ file, or cut short: its directory is missing",
                         npz->name);
    unsigned disk = get_16(end + 4), first_disk = get_16(end + 6);
    *directory = (struct directory){get_32(end + 16), get_32(end + 12), get_16(end + 10), offset};
    if (directory->offset == UINT32_MAX || directory->bytes == UINT32_MAX || directory->count == UINT16_MAX) {
        const unsigned char *locator = offset < END_64_LOCATOR_BYTES
                                           ? NULL
                                           : record(npz, offset - END_64_LOCATOR_BYTES, END_64_LOCATOR_BYTES, "PK\6\7");
        const unsigned char *end_64 = locator ? record(npz, get_64(locator + 8), END_64_BYTES, "PK\6\6") : NULL;
        if (!end_64)
            return malformed(npz, error, "its ZIP64 directory is missing");
        disk = get_32(end_64 + 16) != 0;
        first_disk = get_32(end_64 + 20) != 0;
        *directory =
            (struct directory){get_64(end_64 + 48), get_64(end_64 + 40), get_64(end_64 + 32), get_64(locator + 8)};
    }
    if (disk || first_disk)
        return error_set(error, STATUS_UNSUPPORTED, "%s: is one part of an archive in several files", npz->name);
    if (directory->offset > directory->limit || directory->bytes > directory->limit - directory->offset)
        return malformed(npz, error, "its directory reaches past its end");
    if (directory->count > directory->bytes / ENTRY_BYTES || directory->count > INT_MAX)
        return malformed(npz, error, "its directory is too small for what it counts");
    return STATUS_OK;
}

/* 4.5.3: the fields that did not fit 32 bits, in this order, and only those. */
static bool read_zip64(struct npz_member *member, const unsigned char *extra, size_t length)
{
    uint64_t *fields[] = {&member->size, &member->packed, &member->start};
    while (length >= 4) {
        unsigned kind = get_16(extra), bytes = get_16(extra + 2);
        extra += 4;
        length -= 4;
        if (bytes > length)
            return false;
        for (int i = 0; kind == EXTRA_ZIP64 && i < 3; i++) {
            if (*fields[i] != UINT32_MAX)
                continue;
            if (bytes < 8)
                return false;
            *fields[i] = get_64(extra);
            extra += 8;
            bytes -= 8;
            length -= 8;
        }
        if (kind == EXTRA_ZIP64)
            return true;
        extra += bytes;
        length -= bytes;
    }
    return member->size != UINT32_MAX && member->packed != UINT32_MAX && member->start != UINT32_MAX;
}

/* The header in front of the data repeats the name; where two readers see two names, something is wrong. */
static enum status locate(const struct npz *npz, struct npz_member *member, const unsigned char *name, unsigned length,
                          uint64_t limit, struct error *error)
{
    const unsigned char *local = record(npz, member->start, LOCAL_BYTES, "PK\3\4");
    if (!local || member->start > limit)
        return error_set(error, STATUS_INVALID_ARGUMENT,
                         "%s: is a damaged NPZ file: member '%s' is not where the "
                         "directory says",
                         npz->name, member->name);
    uint64_t head = LOCAL_BYTES + (uint64_t)get_16(local + 26) + get_16(local + 28), room = limit - member->start;
    if (head > room || member->packed > room - head)
        return error_set(error, STATUS_INVALID_ARGUMENT,
                         "%s: is a damaged NPZ file: member '%s' reaches into the directory", npz->name, member->name);
    if (get_16(local + 26) != length || memcmp(local + LOCAL_BYTES, name, length) != 0)
        return error_set(error, STATUS_INVALID_ARGUMENT,
                         "%s: is a damaged NPZ file: member '%s' has another name at its data", npz->name,
                         member->name);
    member->data = local + head;
    member->end = member->start + head + member->packed;
    return STATUS_OK;
}

static enum status read_entry(struct npz *npz, struct npz_member *member, const struct directory *directory,
                              uint64_t *offset, struct error *error)
{
    uint64_t left = directory->offset + directory->bytes - *offset;
    const unsigned char *entry = record(npz, *offset, ENTRY_BYTES, "PK\1\2");
    if (!entry || left < ENTRY_BYTES)
        return malformed(npz, error, "its directory has no entry where one should be");
    unsigned name_length = get_16(entry + 28), extra_length = get_16(entry + 30);
    uint64_t bytes = ENTRY_BYTES + (uint64_t)name_length + extra_length + get_16(entry + 32);
    if (bytes > left)
        return malformed(npz, error, "an entry of its directory reaches past the directory's end");
    const unsigned char *name = entry + ENTRY_BYTES;
    if (memchr(name, '\0', name_length))
        return malformed(npz, error, "the name of a member has a NUL");
    bool is_array = name_length >= 4 && memcmp(name + name_length - 4, ".npy", 4) == 0;
    *member = (struct npz_member){
        .name = region_text(&npz->region, (const char *)name, is_array ? name_length - 4 : name_length),
        .is_array = is_array,
        .flags = get_16(entry + 8),
        .method = get_16(entry + 10),
        .crc = get_32(entry + 16),
        .packed = get_32(entry + 20),
        .size = get_32(entry + 24),
        .start = get_32(entry + 42),
    };
    if (!member->name)
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s: no memory for its directory", npz->name);
    if (!read_zip64(member, name + name_length, extra_length))
        return malformed(npz, error, "an entry of its directory lacks its ZIP64 sizes");
    *offset += bytes;
    return locate(npz, member, name, name_length, directory->offset, error);
}

static int compare_starts(const void *a, const void *b)
{
    const struct npz_member *x = *(const struct npz_member *const *)a, *y = *(const struct npz_member *const *)b;
    return (x->start > y->start) - (x->start < y->start);
}

/* A few bytes that many members share are how small files unpack to petabytes. */
static enum status refuse_overlap(struct npz *npz, const struct npz_member *members, size_t count, struct error *error)
{
    const struct npz_member **sorted = region_array(&npz->region, count, sizeof *sorted);
    if (!sorted)
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s: no memory for its directory", npz->name);
    for (size_t i = 0; i < count; i++)
        sorted[i] = &members[i];
    sort_items(sorted, count, sizeof *sorted, compare_starts);
    for (size_t i = 1; i < count; i++)
        if (sorted[i]->start < sorted[i - 1]->end)
            return error_set(error, STATUS_INVALID_ARGUMENT, "%s: is a damaged NPZ file: members '%s' and '%s' overlap",
                             npz->name, sorted[i - 1]->name, sorted[i]->name);
    return STATUS_OK;
}

static enum status read_directory(struct npz *npz, struct error *error)
{
    struct directory directory = {0};
    enum status status = find_directory(npz, &directory, error);
    if (status != STATUS_OK)
        return status;
    size_t count = (size_t)directory.count;
    struct npz_member *members = region_array(&npz->region, count, sizeof *members);
    if (!members)
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s: no memory for its directory", npz->name);
    uint64_t offset = directory.offset;
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = read_entry(npz, &members[i], &directory, &offset, error);
    if (status == STATUS_OK && offset != directory.offset + directory.bytes)
        return malformed(npz, error, "its directory has more than it counts");
    if (status == STATUS_OK)
        status = refuse_overlap(npz, members, count, error);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        if (members[i].is_array)
            members[npz->count++] = members[i];
    npz->members = members;
    return STATUS_OK;
}

static enum status open_map(struct npz *npz, const char *name, const struct allocator *allocator, struct error *error)
{
    npz->name = name;
    region_init(&npz->region, allocator);
    enum status status = read_directory(npz, error);
    if (status != STATUS_OK)
        npz_close(npz);
    return status;
}

enum status npz_open(struct npz *npz, const char *path, const struct allocator *allocator, struct error *error)
{
    *npz = (struct npz){0};
    enum status status = file_map_path(&npz->map, path, SIZE_MAX, allocator, error);
    if (status != STATUS_OK)
        return status;
    return open_map(npz, strcmp(path, "-") == 0 ? "standard input" : path, allocator, error);
}

enum status npz_open_memory(struct npz *npz, const char *name, const void *bytes, size_t size,
                            const struct allocator *allocator, struct error *error)
{
    *npz = (struct npz){.map = {.bytes = bytes, .size = size}, .borrowed = true};
    return open_map(npz, name, allocator, error);
}

void npz_close(struct npz *npz)
{
    if (!npz->borrowed)
        file_unmap(&npz->map);
    region_free(&npz->region);
    *npz = (struct npz){0};
}

const char *npz_name(const struct npz *npz, int index)
{
    return npz->members[index].name;
}

int npz_find(const struct npz *npz, const char *name)
{
    for (int i = npz->count - 1; i >= 0; i--)
        if (strcmp(npz->members[i].name, name) == 0)
            return i;
    return -1;
}

/* --- an array ----------------------------------------------------------------------------------------------------- */

/* zlib's memory comes from our allocator, which wants to know sizes when it gets memory back. */
static void *inflate_allocate(void *user, unsigned count, unsigned bytes_each)
{
    size_t bytes = (size_t)count * bytes_each + ALIGNMENT;
    size_t *block = allocate(user, bytes, ALIGNMENT);
    if (!block)
        return NULL;
    *block = bytes;
    return (char *)block + ALIGNMENT;
}

static void inflate_release(void *user, void *memory)
{
    size_t *block = (size_t *)((char *)memory - ALIGNMENT);
    release(user, block, *block);
}

struct inflater {
    const char *name;
    const struct npz_member *member;
    z_stream stream;
    uint64_t unread; /* packed bytes that zlib has not been given */
    uint64_t made;
    uint32_t crc;
    bool ended;
};

static enum status inflate_error(struct inflater *inflater, int code, struct error *error)
{
    const char *message = inflater->stream.msg ? inflater->stream.msg : "no reason given";
    if (code == Z_MEM_ERROR)
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s: no memory to unpack it", inflater->name);
    if (code == Z_BUF_ERROR)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: its compressed data ends after %s of %s bytes",
                         inflater->name, grouped(inflater->made).text, grouped(inflater->member->size).text);
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s: its compressed data is damaged: %s", inflater->name, message);
}

/* One call of inflate, for at most `size` bytes; zlib counts in 32 bits. */
static enum status inflate_some(struct inflater *inflater, unsigned char *to, size_t size, size_t *made,
                                struct error *error)
{
    z_stream *stream = &inflater->stream;
    if (stream->avail_in == 0) {
        stream->avail_in = inflater->unread > UINT_MAX ? UINT_MAX : (unsigned)inflater->unread;
        inflater->unread -= stream->avail_in;
    }
    unsigned room = size > UINT_MAX ? UINT_MAX : (unsigned)size;
    stream->next_out = to;
    stream->avail_out = room;
    int code = inflate(stream, Z_NO_FLUSH);
    *made = room - stream->avail_out;
    inflater->made += *made;
    inflater->ended = code == Z_STREAM_END;
    return code == Z_OK || code == Z_STREAM_END ? STATUS_OK : inflate_error(inflater, code, error);
}

static enum status inflate_read(void *user, void *to, size_t size, struct error *error)
{
    struct inflater *inflater = user;
    unsigned char *p = to;
    for (size_t made; size > 0; size -= made, p += made) {
        if (inflater->ended)
            return error_set(error, STATUS_INVALID_ARGUMENT, "%s: unpacks to %s bytes, not to %s as declared",
                             inflater->name, grouped(inflater->made).text, grouped(inflater->member->size).text);
        enum status status = inflate_some(inflater, p, size, &made, error);
        if (status != STATUS_OK)
            return status;
        inflater->crc = (uint32_t)crc32_z(inflater->crc, p, made);
    }
    return STATUS_OK;
}

static enum status check_crc(const char *name, const struct npz_member *member, uint32_t crc, struct error *error)
{
    if (crc == member->crc)
        return STATUS_OK;
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s: is damaged: its CRC-32 is %08x, not %08x", name,
                     (unsigned)crc, (unsigned)member->crc);
}

/* The rest of the member: what follows the array, and the end of the compressed data just there. */
static enum status inflate_rest(struct inflater *inflater, size_t left, struct error *error)
{
    unsigned char rest[4096];
    while (left > 0) {
        size_t some = left < sizeof rest ? left : sizeof rest;
        enum status status = inflate_read(inflater, rest, some, error);
        if (status != STATUS_OK)
            return status;
        left -= some;
    }
    size_t made = 0;
    while (!inflater->ended && made == 0) {
        enum status status = inflate_some(inflater, rest, 1, &made, error);
        if (status != STATUS_OK)
            return status;
    }
    if (made > 0)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: unpacks to more than the %s bytes declared",
                         inflater->name, grouped(inflater->member->size).text);
    return check_crc(inflater->name, inflater->member, inflater->crc, error);
}

static enum status read_deflated(const char *name, const struct npz_member *member, struct npy_array *array,
                                 const struct allocator *allocator, struct error *error)
{
    struct inflater inflater = {.name = name, .member = member, .unread = member->packed};
    inflater.stream = (z_stream){.zalloc = inflate_allocate,
                                 .zfree = inflate_release,
                                 .opaque = (void *)allocator,
                                 .next_in = (unsigned char *)member->data};
    int code = inflateInit2(&inflater.stream, -MAX_WBITS); /* negative: without zlib's own header */
    if (code != Z_OK)
        return inflate_error(&inflater, code, error);
    struct npy_source source = {.name = name, .left = (size_t)member->size, .read = inflate_read, .user = &inflater};
    enum status status = npy_read_source(array, &source, allocator, error);
    if (status == STATUS_OK)
        status = inflate_rest(&inflater, source.left, error);
    inflateEnd(&inflater.stream);
    return status;
}

static enum status read_stored(const char *name, const struct npz_member *member, struct npy_array *array,
                               const struct allocator *allocator, struct error *error)
{
    size_t size = (size_t)member->packed;
    enum status status = check_crc(name, member, (uint32_t)crc32_z(0, member->data, size), error);
    return status == STATUS_OK ? npy_read_memory(array, name, member->data, size, allocator, error) : status;
}

enum status npz_read(const struct npz *npz, int index, struct npy_array *array, const struct allocator *allocator,
                     struct error *error)
{
    char name[sizeof error->text];
    const struct npz_member *member = &npz->members[index];
    snprintf(name, sizeof name, "%s: array '%s'", npz->name, member->name);
    *array = (struct npy_array){0};
    if (member->flags & FLAG_ENCRYPTED)
        return error_set(error, STATUS_UNSUPPORTED, "%s: is encrypted", name);
    if (member->method != METHOD_STORED && member->method != METHOD_DEFLATED)
        return error_set(error, STATUS_UNSUPPORTED, "%s: is compressed by method %u; only deflate can be read", name,
                         member->method);
    bool deflated = member->method == METHOD_DEFLATED;
    if (deflated ? member->size / DEFLATE_MOST > member->packed : member->size != member->packed)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: cannot have %s bytes, from %s in the file", name,
                         grouped(member->size).text, grouped(member->packed).text);
    enum status status = deflated ? read_deflated(name, member, array, allocator, error)
                                  : read_stored(name, member, array, allocator, error);
    if (status != STATUS_OK)
        npy_free(array);
    return status;
}
