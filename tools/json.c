#include "tools/json.h"

#include "kernels/base.h"

/* Those that this is for are two or three bytes long. */
static unsigned code_point(const char *text, int length)
{
    const unsigned char *c = (const unsigned char *)text;
    return length == 1   ? *c
           : length == 2 ? (c[0] & 0x1fu) << 6 | (c[1] & 0x3fu)
                         : (c[0] & 0xfu) << 12 | (c[1] & 0x3fu) << 6 | (c[2] & 0x3fu);
}

void json_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (const char *c = text; *c;) {
        int length = utf8_length(c);
        if (*c == '"' || *c == '\\')
            fprintf(file, "\\%c", *c);
        else if (length == 0)
            fputs("\\ufffd", file);
        else if (utf8_is_obeyed(c, length))
            fprintf(file, "\\u%04x", code_point(c, length));
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
