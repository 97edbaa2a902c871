#include "kernels/base.h"
#include "tests/suites.h"

#include "kernels/sort.h"

#include <check.h>
#include <string.h>

START_TEST(the_first_failure_stays)
{
    struct error error = {0};
    ck_assert_int_eq(error_set(&error, STATUS_IO, "file %d", 7), STATUS_IO);
    ck_assert_int_eq(error_set(&error, STATUS_FAULT, "later"), STATUS_FAULT);
    ck_assert_str_eq(error.text, "file 7");
    ck_assert_int_eq(error_prefix(&error, "model %s", "m"), STATUS_IO);
    ck_assert_str_eq(error.text, "model m: file 7");
}
END_TEST

START_TEST(an_error_is_one_line)
{
    struct error error = {0};
    error_set(&error, STATUS_IO, "node 'a\nb\033[2J\177'");
    ck_assert_str_eq(error.text, "node 'a?b?[2J?'");
}
END_TEST

START_TEST(names_are_made_legible)
{
    ck_assert_str_eq(legible("conv1/weight \303\251 \342\202\254 \360\237\230\200").text,
                     "conv1/weight \303\251 \342\202\254 \360\237\230\200");
    ck_assert_str_eq(legible("a\033[2J\n\t\177b").text, "a?[2J???b");
    ck_assert_str_eq(legible("\302\205|\302\233|\302\240").text, "?|?|\302\240"); /* C1; a space that does not break */
    ck_assert_str_eq(legible("\330\234|\342\200\216|\342\200\217|\342\200\220").text, "?|?|?|\342\200\220");
    ck_assert_str_eq(legible("\342\200\250|\342\200\256|\342\200\257").text, "?|?|\342\200\257");
    ck_assert_str_eq(legible("\342\201\245|\342\201\246|\342\201\251|\342\201\252").text,
                     "\342\201\245|?|?|\342\201\252");
    /* The first and the last of each length, and what lies just outside. */
    ck_assert_str_eq(legible("\340\240\200|\355\237\277|\356\200\200|\360\220\200\200|\364\217\277\277").text,
                     "\340\240\200|\355\237\277|\356\200\200|\360\220\200\200|\364\217\277\277");
    ck_assert_str_eq(legible("\301\277|\340\237\277|\360\217\277\277|\364\220\200\200|\365\200\200\200").text,
                     "??|???|????|????|????");
    ck_assert_str_eq(legible("\233|\300\200|\355\240\200|\342\200").text, "?|??|???|??"); /* no UTF-8 */
    char many[400] = {0};
    for (int i = 0; i < 130; i++)
        strcat(many, "\342\202\254");
    struct legible cut = legible(many);
    ck_assert_uint_eq(strlen(cut.text), 255);
    ck_assert_str_eq(cut.text + 252, "...");
    many[0] = many[1] = many[2] = 'a';
    many[3] = '\0';
    for (int i = 0; i < 99; i++)
        strcat(many, "\342\202\254");
    memmove(many, many + 1, strlen(many));
    ck_assert_uint_eq(strlen(legible(many).text), 254); /* no character is cut in two */
    struct error error = {0};
    error_set(&error, STATUS_IO, "'a\302\205\342\200\256b'");
    ck_assert_str_eq(error.text, "'a??b'");
}
END_TEST

START_TEST(numbers_are_grouped)
{
    ck_assert_str_eq(grouped(0).text, "0");
    ck_assert_str_eq(grouped(999).text, "999");
    ck_assert_str_eq(grouped(901120).text, "901,120");
    ck_assert_str_eq(grouped(UINT64_MAX).text, "18,446,744,073,709,551,615");
}
END_TEST

START_TEST(shapes_that_do_not_fit_are_refused)
{
    int64_t elements;
    ck_assert(shape_elements(0, NULL, &elements));
    ck_assert_int_eq(elements, 1);
    ck_assert(shape_elements(3, (int64_t[]){2, 3, 4}, &elements));
    ck_assert_int_eq(elements, 24);
    ck_assert(shape_elements(2, (int64_t[]){5, 0}, &elements));
    ck_assert_int_eq(elements, 0);
    ck_assert(!shape_elements(2, (int64_t[]){5, -1}, &elements));
    ck_assert(!shape_elements(2, (int64_t[]){INT64_MAX / 2, 3}, &elements));
    /* A zero does not hide dimensions that would overflow once it is gone. */
    ck_assert(!shape_elements(3, (int64_t[]){0, INT64_MAX, INT64_MAX}, &elements));
}
END_TEST

START_TEST(small_types_round_up_to_bytes)
{
    ck_assert_uint_eq(dtype_bytes(DTYPE_I4, 3), 2);
    ck_assert_uint_eq(dtype_bytes(DTYPE_U2, 5), 2);
    ck_assert_uint_eq(dtype_bytes(DTYPE_F64, 3), 24);
    ck_assert_str_eq(dtype_name(DTYPE_BF16), "bfloat16");
    ck_assert_str_eq(dtype_name((enum dtype)99), "unknown");
}
END_TEST

START_TEST(a_region_gives_zeroed_aligned_memory)
{
    struct region region;
    region_init(&region, &default_allocator);
    for (size_t bytes = 1; bytes < 100000; bytes = bytes * 3 + 1) {
        unsigned char *memory = region_allocate(&region, bytes);
        ck_assert_ptr_nonnull(memory);
        ck_assert_uint_eq((uintptr_t)memory % (bytes >= ALIGNMENT ? ALIGNMENT : 16), 0);
        for (size_t i = 0; i < bytes; i++)
            ck_assert_uint_eq(memory[i], 0);
        memset(memory, 0xff, bytes);
    }
    ck_assert_str_eq(region_format(&region, "%s-%d", "a", 5), "a-5");
    ck_assert_ptr_null(region_array(&region, SIZE_MAX / 2, 3));
    ck_assert_ptr_null(region_allocate(&region, SIZE_MAX - 8));
    region_free(&region);
    ck_assert_uint_eq(region.total, 0);
}
END_TEST

START_TEST(a_map_of_a_region_says_what_it_holds)
{
    struct region regions[2], scratch;
    struct region_map maps[2];
    char *places[2][400];
    region_init(&scratch, &default_allocator);
    for (int r = 0; r < 2; r++)
        region_init(&regions[r], &default_allocator);
    ck_assert(region_map_make(&regions[0], &scratch, &maps[0]));
    ck_assert(!region_map_holds(&maps[0], &scratch));
    for (int i = 0; i < 400; i++)
        for (int r = 0; r < 2; r++)
            places[r][i] = region_allocate(&regions[r], (size_t)(1 + i * 7919 % 20011));
    for (int r = 0; r < 2; r++)
        ck_assert(region_map_make(&regions[r], &scratch, &maps[r]));
    for (int i = 0; i < 400; i++)
        for (int r = 0; r < 2; r++) {
            const char *last = places[r][i] + i * 7919 % 20011;
            ck_assert(region_map_holds(&maps[r], places[r][i]) && region_map_holds(&maps[r], last));
            ck_assert(!region_map_holds(&maps[1 - r], places[r][i]) && !region_map_holds(&maps[1 - r], last));
            ck_assert(region_holds(&regions[r], last) && !region_holds(&regions[1 - r], last));
        }
    ck_assert(!region_map_holds(&maps[0], NULL) && !region_map_holds(&maps[0], (void *)UINTPTR_MAX));
    for (int r = 0; r < 2; r++)
        region_free(&regions[r]);
    region_free(&scratch);
}
END_TEST

/* --- sorting ------------------------------------------------------------------------------------------------- */

struct item {
    int key;
    unsigned place;    /* before */
    char filling[100]; /* longer than what is swapped at once */
};

static int compare_keys(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

START_TEST(items_are_sorted_and_equal_ones_keep_their_order)
{
    static struct item items[700];
    uint32_t random = (uint32_t)_i;
    for (size_t count = 0; count <= sizeof items / sizeof items[0]; count += count / 7 + 1) {
        for (unsigned i = 0; i < count; i++) {
            random = random * 1664525 + 1013904223;
            int keys[] = {(int)(random >> 24), (int)(random >> 30), (int)i, -(int)i, 0};
            items[i] = (struct item){.key = keys[_i], .place = i};
            memset(items[i].filling, items[i].key, sizeof items[i].filling);
        }
        sort_items(items, count, sizeof items[0], compare_keys);
        for (size_t i = 0; i < count; i++) {
            ck_assert_int_eq(items[i].filling[99], (char)items[i].key);
            if (i > 0)
                ck_assert(items[i - 1].key < items[i].key ||
                          (items[i - 1].key == items[i].key && items[i - 1].place < items[i].place));
        }
    }
}
END_TEST

Suite *base_suite(void)
{
    Suite *suite = suite_create("base");
    TCase *tests = tcase_create("base");
    tcase_add_test(tests, the_first_failure_stays);
    tcase_add_test(tests, an_error_is_one_line);
    tcase_add_test(tests, names_are_made_legible);
    tcase_add_test(tests, numbers_are_grouped);
    tcase_add_test(tests, shapes_that_do_not_fit_are_refused);
    tcase_add_test(tests, small_types_round_up_to_bytes);
    tcase_add_test(tests, a_region_gives_zeroed_aligned_memory);
    tcase_add_test(tests, a_map_of_a_region_says_what_it_holds);
    tcase_add_loop_test(tests, items_are_sorted_and_equal_ones_keep_their_order, 0, 5);
    suite_add_tcase(suite, tests);
    return suite;
}
