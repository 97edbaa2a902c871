/* Which of a file's packs is the one wanted. */
#include "formats/hash.h"
#include "runtime/weights/stored.h"
#include "tests/suites.h"

#include <check.h>
#include <string.h>

#define PACKS 5
#define BYTES 64

static const char sources[3];                                 /* two packs of the first, none of the second */
static _Alignas(ALIGNMENT) uint8_t content[PACKS + 1][BYTES]; /* the first: zeros that stand before */

struct file {
    struct region region;
    struct model_pack packs[PACKS];
    struct stored_packs stored;
};

static void begin(struct file *file, bool trusted)
{
    static const int source_of[PACKS] = {0, 0, 2, 2, 2};
    region_init(&file->region, &default_allocator);
    for (int i = 0; i < PACKS; i++) {
        memset(content[1 + i], 1 + i, BYTES);
        file->packs[i] = (struct model_pack){.set = "avx2",
                                             .family = kernel_family_name(FAMILY_matmul),
                                             .form = (uint32_t)(1 + i),
                                             .source = &sources[source_of[i]],
                                             .dtype = DTYPE_F32,
                                             .rank = 2,
                                             .dims = {3, 4},
                                             .geometry = {5, 6},
                                             .data = content[1 + i],
                                             .bytes = BYTES,
                                             .checksum = xxh3(content[1 + i], BYTES)};
    }
    const struct model_metadata metadata = {.pack_count = PACKS, .packs = file->packs};
    ck_assert(stored_packs_init(&file->stored, "model.bin", &metadata, trusted, &file->region));
}

static const void *find(const struct file *file, int source, uint32_t form, bool storable, struct error *error)
{
    const struct kernel_pack pack = {.form = form, .storable = storable, .geometry = {5, 6}, .bytes = BYTES};
    const struct value input = {.name = "w", .dtype = DTYPE_F32, .rank = 2, .dims = {3, 4}};
    const struct stored_wanted wanted = {FAMILY_matmul, &pack, &input, &sources[source]};
    const void *data = content;
    enum status status = stored_packs_find(&file->stored, &wanted, &data, error);
    ck_assert_int_eq(status, error->status);
    return data;
}

START_TEST(the_one_that_is_wanted)
{
    static const int source_of[PACKS] = {0, 0, 2, 2, 2};
    struct file file;
    struct error error = {0};
    begin(&file, false);
    ck_assert_uint_eq(stored_packs_bytes(&file.stored), PACKS * BYTES);
    ck_assert_uint_eq(stored_packs_used(&file.stored), 0);
    for (int i = 0; i < PACKS; i++)
        for (int source = 0; source < 3; source++) {
            const void *found = find(&file, source, (uint32_t)(1 + i), true, &error);
            ck_assert_ptr_eq(found, source == source_of[i] ? content[1 + i] : NULL);
        }
    ck_assert_uint_eq(stored_packs_used(&file.stored), PACKS * BYTES);
    ck_assert_ptr_null(find(&file, 0, 1, false, &error));
    ck_assert_ptr_null(find(&file, 0, PACKS + 1, true, &error));
    region_free(&file.region);
}
END_TEST

START_TEST(each_field_counts)
{
    struct file file;
    begin(&file, true);
    const struct model_pack *a = &file.packs[0];
    for (int i = 0; i < 9; i++) {
        struct model_pack b = *a;
        b.set = "avx512"; /* neither this nor the data */
        b.data = NULL;
        ck_assert(stored_packs_equal(a, &b));
        b.source = i == 0 ? &sources[1] : b.source;
        b.form += i == 1;
        b.bytes += i == 2;
        b.dtype = i == 3 ? DTYPE_I8 : b.dtype;
        b.rank -= i == 4;
        b.dims[0] += i == 5;
        b.dims[1] += i == 6;
        b.geometry[KERNEL_GEOMETRY - 1] += i == 7;
        b.family = i == 8 ? kernel_family_name(FAMILY_conv) : b.family;
        ck_assert_msg(!stored_packs_equal(a, &b), "field %d", i);
    }
    region_free(&file.region);
}
END_TEST

/* What is damaged is refused when it is first wanted, unless the file is trusted. */
START_TEST(damaged_packs)
{
    for (int damage = 0; damage < 3; damage++)
        for (int trusted = 0; trusted < 2; trusted++) {
            struct file file;
            struct error error = {0};
            begin(&file, trusted);
            file.packs[0].padding = BYTES;
            content[1][BYTES - 1] ^= damage == 1;
            content[0][0] = damage == 2;
            const void *found = find(&file, 0, 1, true, &error);
            ck_assert_ptr_eq(found, damage == 0 || trusted ? content[1] : NULL);
            ck_assert_int_eq(error.status, damage == 0 || trusted ? STATUS_OK : STATUS_INVALID_MODEL);
            if (error.status != STATUS_OK)
                ck_assert_str_eq(error.text, "model.bin: pack 0, made of 'w' for avx2, does not match its checksum: "
                                             "the file is damaged");
            content[0][0] = 0;
            region_free(&file.region);
        }
}
END_TEST

START_TEST(a_file_without_packs)
{
    struct file file;
    struct error error = {0};
    const struct model_metadata metadata = {.pack_count = 0};
    region_init(&file.region, &default_allocator);
    ck_assert(stored_packs_init(&file.stored, "model.bin", &metadata, false, &file.region));
    ck_assert_ptr_null(find(&file, 0, 1, true, &error));
    ck_assert_uint_eq(stored_packs_bytes(&file.stored), 0);
    region_free(&file.region);
}
END_TEST

Suite *stored_packs_suite(void)
{
    Suite *suite = suite_create("stored_packs");
    TCase *tests = tcase_create("stored packs");
    tcase_add_test(tests, the_one_that_is_wanted);
    tcase_add_test(tests, each_field_counts);
    tcase_add_test(tests, damaged_packs);
    tcase_add_test(tests, a_file_without_packs);
    suite_add_tcase(suite, tests);
    return suite;
}
