/* BERT's tokens: text in small letters without accents, cut at blanks and punctuation, and each word into the longest
 * pieces that the vocabulary has. Of letters beyond ASCII, the Latin ones lose their accents. */
#include "words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wctype.h>

enum { MOST_WORD = 100, MOST_BYTES = 4 * MOST_WORD };

struct entry {
    const char *text;
    int64_t id;
};

struct vocabulary {
    struct entry *entries; /* sorted by text */
    size_t count;
    char *bytes;
    int64_t unknown, begin, end;
};

/* --- the vocabulary ----------------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->text, ((const struct entry *)b)->text);
}

static int64_t find(const struct vocabulary *vocabulary, const char *text)
{
    const struct entry key = {text, 0};
    const struct entry *found = bsearch(&key, vocabulary->entries, vocabulary->count, sizeof key, by_text);
    return found ? found->id : -1;
}

struct vocabulary *vocabulary_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct vocabulary *v = calloc(1, sizeof *v);
    long size = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (v && size > 0 && (v->bytes = calloc((size_t)size + 2, 1)) != NULL) {
        rewind(file);
        size_t got = fread(v->bytes, 1, (size_t)size, file), lines = 1;
        for (size_t i = 0; i < got; i++)
            lines += v->bytes[i] == '\n' || v->bytes[i] == '\0';
        v->entries = calloc(lines, sizeof *v->entries);
        for (char *at = v->bytes, *end; v->entries && *at; at = end + 1) {
            end = at + strcspn(at, "\n");
            *end = '\0';
            v->entries[v->count] = (struct entry){at, (int64_t)v->count};
            v->count++;
        }
        qsort(v->entries, v->count, sizeof *v->entries, by_text);
        v->unknown = find(v, "[UNK]"), v->begin = find(v, "[CLS]"), v->end = find(v, "[SEP]");
    }
    if (file)
        fclose(file);
    if (v && v->count > 0 && v->unknown >= 0 && v->begin >= 0 && v->end >= 0)
        return v;
    vocabulary_free(v);
    return NULL;
}

void vocabulary_free(struct vocabulary *vocabulary)
{
    if (vocabulary)
        free(vocabulary->entries), free(vocabulary->bytes);
    free(vocabulary);
}

/* --- characters --------------------------------------------------------------------------------------------------- */

/* The next code point of UTF-8, and *at behind it; U+FFFD for bytes that are none. */
static uint32_t next_character(const unsigned char **at, const unsigned char *end)
{
    uint32_t c = *(*at)++;
    int more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xF0 && c < 0xF5 ? 3 : -1;
    if (more < 0)
        return 0xFFFD;
    for (c &= more ? 0x3Fu >> more : 0x7F; more > 0; more--) {
        if (*at == end || (**at & 0xC0) != 0x80)
            return 0xFFFD;
        c = c << 6 | (*(*at)++ & 0x3F);
    }
    return c;
}

static size_t put_character(char *to, uint32_t c)
{
    if (c < 0x80)
        return to[0] = (char)c, 1;
    size_t bytes = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = bytes - 1; i > 0; i--, c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3F));
    to[0] = (char)((0xF00u >> bytes & 0xFF) | c);
    return bytes;
}

static int within(uint32_t c, const uint32_t (*ranges)[2], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return 1;
    return 0;
}
#define WITHIN(c, ...) \
    within(c, (const uint32_t[][2]){__VA_ARGS__}, sizeof(uint32_t[][2]){__VA_ARGS__} / sizeof(uint32_t[2]))

static int is_blank(uint32_t c)
{
    return WITHIN(c, {9, 10}, {13, 13}, {32, 32}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029},
                  {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000});
}

/* Control and format characters, marks that stand on letters, and what was no character. */
static int is_left_out(uint32_t c)
{
    return WITHIN(c, {0, 31}, {127, 159}, {0xAD, 0xAD}, {0x300, 0x36F}, {0x200B, 0x200F}, {0x202A, 0x202E},
                  {0x2060, 0x206F}, {0xE000, 0xF8FF}, {0xFEFF, 0xFEFF}, {0xFFFD, 0xFFFD});
}

/* A word of its own: punctuation, and Chinese characters. */
static int stands_alone(uint32_t c)
{
    return WITHIN(c, {33, 47}, {58, 64}, {91, 96}, {123, 126}, {0xA1, 0xA1}, {0xA7, 0xA7}, {0xAB, 0xAB}, {0xB6, 0xB7},
                  {0xBB, 0xBB}, {0xBF, 0xBF}, {0x2010, 0x2027}, {0x2030, 0x2043}, {0x2045, 0x2051}, {0x2053, 0x205E},
                  {0x3001, 0x3003}, {0x3008, 0x3011}, {0x3014, 0x301F}, {0x3400, 0x4DBF}, {0x4E00, 0x9FFF},
                  {0xF900, 0xFAFF}, {0x20000, 0x2CEAF});
}

static uint32_t plain_letter(uint32_t c)
{
    static const char bare[] = "AAAAAA.CEEEEIIII.NOOOOO..UUUUY..aaaaaa.ceeeeiiii.nooooo..uuuuy.y"
                               "AaAaAaCcCcCcCcDd..EeEeEeEeEeGgGgGgGgHh..IiIiIiIiI...JjKk.LlLlLl."
                               "...NnNnNn...OoOoOo..RrRrRrSsSsSsSsTtTt..UuUuUuUuUuUuWwYyYZzZzZz.";
    if (c >= 0xC0 && c <= 0x17F && bare[c - 0xC0] != '.')
        c = (uint32_t)bare[c - 0xC0];
    return (uint32_t)towlower((wint_t)c);
}

/* --- words -------------------------------------------------------------------------------------------------------- */

/* The pieces of a word of `bytes` bytes, which lies behind two of room for the mark of a piece that continues one. */
static int64_t cut_word(const struct vocabulary *vocabulary, char *word, size_t bytes, int64_t *ids, int64_t room)
{
    int64_t count = 0;
    for (size_t at = 0, end; at < bytes; at = end) {
        int64_t id = -1;
        char before[2] = {word[at - 2], word[at - 1]};
        if (at > 0)
            memcpy(word + at - 2, "##", 2);
        for (end = bytes; end > at && id < 0; end--) {
            char after = word[end];
            word[end] = '\0';
            id = find(vocabulary, at > 0 ? word + at - 2 : word);
            word[end] = after;
        }
        end++;
        memcpy(word + at - 2, before, 2);
        if (id < 0)
            return ids[0] = vocabulary->unknown, 1;
        if (count < room)
            ids[count++] = id;
    }
    return count;
}

int64_t tokenize(const struct vocabulary *vocabulary, const char *text, size_t bytes, int64_t *ids, int64_t most)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + bytes;
    char room[2 + MOST_BYTES + 5], *word = room + 2;
    size_t length = 0, characters = 0;
    int64_t count = 0;
    room[0] = room[1] = ' ';
    ids[count++] = vocabulary->begin;
    while ((at < end || length > 0) && count < most - 1) {
        const unsigned char *from = at;
        uint32_t c = at < end ? next_character(&at, end) : ' ';
        int alone = stands_alone(c), ends = alone || is_blank(c);
        if (ends && length > 0) {
            if (characters > MOST_WORD)
                ids[count++] = vocabulary->unknown;
            else
                count += cut_word(vocabulary, word, length, ids + count, most - 1 - count);
            length = characters = 0;
            at = from; /* again, now that the word before it is done */
        } else if (!is_blank(c) && !is_left_out(c) && ++characters <= MOST_WORD) {
            length += put_character(word + length, plain_letter(c));
            if (alone)
                count += cut_word(vocabulary, word, length, ids + count, most - 1 - count), length = characters = 0;
        }
    }
    ids[count++] = vocabulary->end;
    return count;
}
