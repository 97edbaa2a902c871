#include "kernels/base.h"

#include "kernels/sort.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --- text ------------------------------------------------------------------------------------------------ */

/* The second byte has a narrower range after some first ones: table 3-7 of the Unicode standard. */
int utf8_length(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    if (*c < 0x80)
        return 1;
    if (*c < 0xc2 || *c > 0xf4)
        return 0;
    int length = *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;
    unsigned char least = *c == 0xe0 ? 0xa0 : *c == 0xf0 ? 0x90 : 0x80;
    unsigned char most = *c == 0xed ? 0x9f : *c == 0xf4 ? 0x8f : 0xbf;
    if (c[1] < least || c[1] > most)
        return 0;
    for (int i = 2; i < length; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

bool utf8_is_obeyed(const char *text, int length)
{
    const unsigned char *c = (const unsigned char *)text;
    if (length == 1)
        return *c < 0x20 || *c == 0x7f;
    if (length == 2)
        return (c[0] == 0xc2 && c[1] < 0xa0) || (c[0] == 0xd8 && c[1] == 0x9c); /* C1; U+061C */
    if (length != 3 || c[0] != 0xe2)
        return false;
    bool lines_and_marks = c[1] == 0x80 && (c[2] == 0x8e || c[2] == 0x8f || (c[2] >= 0xa8 && c[2] <= 0xae));
    return lines_and_marks || (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9); /* U+200E ... U+202E, U+2066 ... */
}

/* It only becomes shorter. */
void make_legible(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        int length = utf8_length(from);
        if (length == 0 || utf8_is_obeyed(from, length)) {
            *to++ = '?';
            from += length ? length : 1;
            continue;
        }
        for (int i = 0; i < length; i++)
            *to++ = *from++;
    }
    *to = '\0';
}

struct legible legible(const char *text)
{
    struct legible result;
    static const char more[] = "...";
    size_t length = strlen(text), room = sizeof result.text - sizeof more;
    if (length < sizeof result.text)
        memcpy(result.text, text, length + 1);
    else {
        while (((unsigned char)text[room] & 0xc0) == 0x80 && room > sizeof result.text - 8)
            room--; /* between two characters */
        memcpy(result.text, text, room);
        memcpy(result.text + room, more, sizeof more);
    }
    make_legible(result.text);
    return result;
}

/* --- errors ---------------------------------------------------------------------------------------------- */

enum status error_set(struct error *error, enum status status, const char *format, ...)
{
    if (error && error->status == STATUS_OK) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
        make_legible(error->text);
        error->status = status;
    }
    return status;
}

enum status error_prefix(struct error *error, const char *format, ...)
{
    char rest[sizeof error->text];
    memcpy(rest, error->text, sizeof rest);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    size_t used = length < 0 ? 0 : (size_t)length;
    if (used + 2 < sizeof error->text) /* what does not fit is cut off */
        snprintf(error->text + used, sizeof error->text - used, ": %.*s", (int)(sizeof error->text - used - 3), rest);
    make_legible(error->text);
    return error->status;
}

struct grouped grouped(uint64_t number)
{
    struct grouped result;
    char *at = result.text + sizeof result.text;
    *--at = '\0';
    for (int digits = 0; digits == 0 || number > 0; digits++) {
        if (digits > 0 && digits % 3 == 0)
            *--at = ',';
        *--at = (char)('0' + number % 10);
        number /= 10;
    }
    memmove(result.text, at, (size_t)(result.text + sizeof result.text - at));
    return result;
}

static const struct {
    const char *name;
    unsigned char bits;
    char kind; /* f float, i signed, u unsigned, o other */
} dtypes[DTYPE_COUNT] = {
    [DTYPE_NONE] = {"none", 0, 'o'},
    [DTYPE_F32] = {"float32", 32, 'f'},
    [DTYPE_U8] = {"uint8", 8, 'u'},
    [DTYPE_I8] = {"int8", 8, 'i'},
    [DTYPE_U16] = {"uint16", 16, 'u'},
    [DTYPE_I16] = {"int16", 16, 'i'},
    [DTYPE_I32] = {"int32", 32, 'i'},
    [DTYPE_I64] = {"int64", 64, 'i'},
    [DTYPE_STRING] = {"string", 0, 'o'},
    [DTYPE_BOOL] = {"bool", 8, 'o'},
    [DTYPE_F16] = {"float16", 16, 'f'},
    [DTYPE_F64] = {"float64", 64, 'f'},
    [DTYPE_U32] = {"uint32", 32, 'u'},
    [DTYPE_U64] = {"uint64", 64, 'u'},
    [DTYPE_C64] = {"complex64", 64, 'o'},
    [DTYPE_C128] = {"complex128", 128, 'o'},
    [DTYPE_BF16] = {"bfloat16", 16, 'f'},
    [DTYPE_F8E4M3FN] = {"float8e4m3fn", 8, 'f'},
    [DTYPE_F8E4M3FNUZ] = {"float8e4m3fnuz", 8, 'f'},
    [DTYPE_F8E5M2] = {"float8e5m2", 8, 'f'},
    [DTYPE_F8E5M2FNUZ] = {"float8e5m2fnuz", 8, 'f'},
    [DTYPE_U4] = {"uint4", 4, 'u'},
    [DTYPE_I4] = {"int4", 4, 'i'},
    [DTYPE_F4E2M1] = {"float4e2m1", 4, 'f'},
    [DTYPE_F8E8M0] = {"float8e8m0", 8, 'f'},
    [DTYPE_U2] = {"uint2", 2, 'u'},
    [DTYPE_I2] = {"int2", 2, 'i'},
};

static bool known(enum dtype dtype)
{
    return (unsigned)dtype < DTYPE_COUNT;
}

const char *dtype_name(enum dtype dtype)
{
    return known(dtype) ? dtypes[dtype].name : "unknown";
}

unsigned dtype_bits(enum dtype dtype)
{
    return known(dtype) ? dtypes[dtype].bits : 0;
}

bool dtype_is_float(enum dtype dtype)
{
    return known(dtype) && dtypes[dtype].kind == 'f';
}

bool dtype_is_signed_integer(enum dtype dtype)
{
    return known(dtype) && dtypes[dtype].kind == 'i';
}

bool dtype_is_unsigned_integer(enum dtype dtype)
{
    return known(dtype) && dtypes[dtype].kind == 'u';
}

bool shape_elements(int rank, const int64_t *dims, int64_t *elements)
{
    int64_t product = 1;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0)
            return false;
        if (dims[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(product, dims[i], &product) || product > INT64_MAX / 32)
            return false;
    }
    *elements = empty ? 0 : product;
    return true;
}

size_t dtype_bytes(enum dtype dtype, int64_t elements)
{
    return ((size_t)elements * dtype_bits(dtype) + 7) / 8;
}

/* What fills large pages, as arenas and packed weights may, is put in them where the system has some: walks through it
 * then wait for fewer look-ups of addresses. What is left over stays in small ones, so no memory is added. */
static void *default_allocate(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    void *memory = NULL;
    bool large = bytes >= LARGE_PAGE && alignment <= LARGE_PAGE;
    size_t least = large ? LARGE_PAGE : alignment < sizeof(void *) ? sizeof(void *) : alignment;
    if (posix_memalign(&memory, least, bytes ? bytes : 1) != 0)
        return NULL;
    if (large)
        madvise(memory, bytes / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
    return memory;
}

static void default_release(void *user, void *memory, size_t bytes)
{
    (void)user;
    (void)bytes;
    free(memory);
}

const struct allocator default_allocator = {default_allocate, default_release, NULL};

void *allocate(const struct allocator *allocator, size_t bytes, size_t alignment)
{
    return allocator->allocate(allocator->user, bytes, alignment);
}

void release(const struct allocator *allocator, void *memory, size_t bytes)
{
    if (memory)
        allocator->release(allocator->user, memory, bytes);
}

struct region_block {
    struct region_block *older;
    size_t bytes; /* of the whole block */
    size_t used;
};

/* AddressSanitizer knows blocks of the allocator alone. It is told which bytes of them have been given out, and between
 * two of those there are always some that have not. */
#ifdef ADDRESSES_CHECKED
#include <sanitizer/asan_interface.h>
#define REGION_GAP 16
#define REGION_FORBID(memory, bytes) ASAN_POISON_MEMORY_REGION(memory, bytes)
#define REGION_PERMIT(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#else
#define REGION_GAP 0
#define REGION_FORBID(memory, bytes) ((void)(memory), (void)(bytes))
#define REGION_PERMIT(memory, bytes) ((void)(memory), (void)(bytes))
#endif

#define BLOCK_BYTES ((size_t)16 * 1024)
#define REGION_HEADER (align_up(sizeof(struct region_block), ALIGNMENT))

void region_init(struct region *region, const struct allocator *allocator)
{
    *region = (struct region){.allocator = allocator, .block_bytes = BLOCK_BYTES};
}

void region_free(struct region *region)
{
    while (region->newest) {
        struct region_block *older = region->newest->older;
        REGION_PERMIT(region->newest, region->newest->bytes);
        release(region->allocator, region->newest, region->newest->bytes);
        region->newest = older;
    }
    region->total = 0;
}

static struct region_block *region_grow(struct region *region, size_t bytes)
{
    size_t whole;
    if (!add_size(bytes, REGION_HEADER + ALIGNMENT, &whole))
        return NULL;
    if (whole < region->block_bytes)
        whole = region->block_bytes;
    struct region_block *block = allocate(region->allocator, whole, ALIGNMENT);
    if (!block)
        return NULL;
    *block = (struct region_block){.older = region->newest, .bytes = whole, .used = REGION_HEADER};
    if (whole > region->block_bytes && region->newest) { /* it is full; what is left of the newest stays in use */
        block->older = region->newest->older;
        region->newest->older = block;
    } else {
        region->newest = block;
    }
    region->total += whole;
    REGION_FORBID((char *)block + REGION_HEADER, whole - REGION_HEADER);
    return block;
}

/* Bytes from `start` of the block on. */
static void *give_out(struct region_block *block, size_t start, size_t bytes)
{
    block->used = start + bytes;
    REGION_PERMIT((char *)block + start, bytes);
    return (char *)block + start;
}

void *region_buffer(struct region *region, size_t bytes)
{
    size_t alignment = bytes >= ALIGNMENT ? ALIGNMENT : 16;
    struct region_block *block = region->newest;
    if (block) {
        size_t start = align_up(block->used + REGION_GAP, alignment), end;
        if (add_size(start, bytes, &end) && end <= block->bytes)
            return give_out(block, start, bytes);
    }
    block = region_grow(region, bytes);
    return block ? give_out(block, REGION_HEADER, bytes) : NULL;
}

void *region_allocate(struct region *region, size_t bytes)
{
    void *memory = region_buffer(region, bytes);
    return memory ? memset(memory, 0, bytes) : NULL;
}

void *region_array(struct region *region, size_t count, size_t bytes_each)
{
    size_t bytes;
    return multiply_size(count, bytes_each, &bytes) ? region_allocate(region, bytes) : NULL;
}

void *region_items(struct region *region, size_t count, size_t bytes_each)
{
    size_t bytes;
    return multiply_size(count, bytes_each, &bytes) ? region_buffer(region, bytes) : NULL;
}

bool region_holds(const struct region *region, const void *pointer)
{
    const struct region_block *block = region->newest;
    while (block && (uintptr_t)pointer - (uintptr_t)block >= block->bytes)
        block = block->older;
    return block != NULL;
}

static int compare_spans(const void *a, const void *b)
{
    uintptr_t x = ((const struct region_span *)a)->start, y = ((const struct region_span *)b)->start;
    return (x > y) - (x < y);
}

bool region_map_make(const struct region *region, struct region *where, struct region_map *map)
{
    *map = (struct region_map){0};
    for (const struct region_block *block = region->newest; block; block = block->older)
        map->count++;
    map->spans = region_array(where, map->count, sizeof *map->spans);
    if (!map->spans)
        return false;
    size_t i = 0;
    for (const struct region_block *block = region->newest; block; block = block->older)
        map->spans[i++] = (struct region_span){(uintptr_t)block, block->bytes};
    sort_items(map->spans, map->count, sizeof *map->spans, compare_spans);
    return true;
}

bool region_map_holds(const struct region_map *map, const void *pointer)
{
    size_t first = 0, last = map->count; /* the span that the pointer may be in is the last that starts before it */
    while (first < last) {
        size_t middle = first + (last - first) / 2;
        if (map->spans[middle].start <= (uintptr_t)pointer)
            first = middle + 1;
        else
            last = middle;
    }
    return first > 0 && (uintptr_t)pointer - map->spans[first - 1].start < map->spans[first - 1].bytes;
}

char *region_text(struct region *region, const char *text, size_t length)
{
    char *copy = length < SIZE_MAX ? region_allocate(region, length + 1) : NULL;
    if (copy)
        memcpy(copy, text, length);
    return copy;
}

char *region_string(struct region *region, const char *text)
{
    return region_text(region, text, strlen(text));
}

char *region_format(struct region *region, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : region_allocate(region, (size_t)length + 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}
