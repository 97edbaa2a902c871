#include "tools/json.h"

/* Bytes of the UTF-8 character at `c`, 0 where none is. The second byte has a narrower range after some first ones:
 * table 3-7 of the Unicode standard. */
static int utf8_length(const unsigned char *c)
{
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

void json_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        int length = utf8_length(c);
        if (*c == '"' || *c == '\\')
            fprintf(file, "\\%c", *c);
        else if (*c < 0x20)
            fprintf(file, "\\u%04x", *c);
        else if (length == 0)
            fputs("\\ufffd", file);
        else
            fwrite(c, 1, (size_t)length, file);
        c += length > 0 ? length : 1;
    }
    fputc('"', file);
}

void json_key(FILE *file, const char *key)
{
    fputc(',', file);
    json_text(file, key);
    fputc(':', file);
}

void json_dims(FILE *file, int rank, const int64_t *dims)
{
    fputc('[', file);
    for (int i = 0; i < rank; i++)
        fprintf(file, "%s%lld", i ? "," : "", (long long)dims[i]);
    fputc(']', file);
}
