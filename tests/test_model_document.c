/* The listing in docs/model-format.md is that of the file it says it is. */
#include "formats/file.h"
#include "tests/suites.h"

#include <check.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static struct file_map map_file(const char *path)
{
    struct file_map map;
    struct error error = {0};
    ck_assert_msg(file_map_path(&map, path, SIZE_MAX, &default_allocator, &error) == STATUS_OK, "%s", error.text);
    return map;
}

/* Clears the bytes of `model` that a line "    01f0  95 61 ...  what they mean" lists, after comparing them. */
static void strike_out(const char *line, unsigned char *model, size_t size)
{
    char *at;
    size_t offset = strtoul(line, &at, 16);
    if (at - line != 8 || strncmp(line, "    ", 4) != 0 || strncmp(at, "  ", 2) != 0)
        return;
    at += 2;
    for (; isxdigit((unsigned char)at[0]) && isxdigit((unsigned char)at[1]); at += 3) {
        ck_assert_uint_lt(offset, size);
        ck_assert_msg(strtoul(at, NULL, 16) == model[offset], "byte %#zx of '%.60s'", offset, line);
        model[offset++] = 0;
        if (at[2] != ' ')
            break;
    }
}

START_TEST(the_listing_is_the_file)
{
    struct file_map document = map_file("docs/model-format.md"), map = map_file("tests/data/tiny_model.bin");
    unsigned char *model = malloc(map.size);
    char *text = calloc(1, document.size + 1);
    ck_assert(model && text);
    memcpy(model, map.bytes, map.size);
    memcpy(text, document.bytes, document.size);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        strike_out(line, model, map.size);
    for (size_t i = 0; i < map.size; i++)
        ck_assert_msg(model[i] == 0, "byte %#zx is not listed", i);
    free(text);
    free(model);
    file_unmap(&map);
    file_unmap(&document);
}
END_TEST

Suite *model_document_suite(void)
{
    Suite *suite = suite_create("model_document");
    TCase *tests = tcase_create("model_document");
    tcase_add_test(tests, the_listing_is_the_file);
    suite_add_tcase(suite, tests);
    return suite;
}
