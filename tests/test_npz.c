#include "formats/hash.h"
#include "formats/npz.h"
#include "tests/failing_allocator.h"
#include "tests/suites.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA "tests/data/npz/"

static struct npz open_file(const char *path)
{
    struct npz npz;
    struct error error = {0};
    ck_assert_msg(npz_open(&npz, path, &default_allocator, &error) == STATUS_OK, "%s", error.text);
    return npz;
}

static struct npy_array read_array(const struct npz *npz, const char *name)
{
    struct npy_array array;
    struct error error = {0};
    int index = npz_find(npz, name);
    ck_assert_int_ge(index, 0);
    ck_assert_str_eq(npz_name(npz, index), name);
    ck_assert_msg(npz_read(npz, index, &array, &default_allocator, &error) == STATUS_OK, "%s", error.text);
    return array;
}

static void assert_arrays(const struct npz *npz)
{
    struct npy_array a = read_array(npz, "a"), b = read_array(npz, "b"), scalar = read_array(npz, "scalar");
    ck_assert_int_eq(a.dtype, DTYPE_F32);
    ck_assert(a.rank == 2 && a.dims[0] == 2 && a.dims[1] == 3);
    ck_assert_mem_eq(a.data, ((float[]){0, 1, 2, 3, 4, 5}), 6 * sizeof(float));
    ck_assert_int_eq(b.dtype, DTYPE_I16);
    ck_assert(b.rank == 2 && b.dims[0] == 3 && b.dims[1] == 2);
    ck_assert_mem_eq(b.data, ((int16_t[]){0, 1, 2, 3, 4, 5}), 6 * sizeof(int16_t));
    ck_assert_int_eq(scalar.dtype, DTYPE_I64);
    ck_assert_int_eq(scalar.rank, 0);
    ck_assert_int_eq(*(int64_t *)scalar.data, 0);
    npy_free(&a);
    npy_free(&b);
    npy_free(&scalar);
}

START_TEST(stored_deflated_and_zip64_archives_are_read)
{
    static const char *const files[] = {DATA "stored.npz", DATA "deflated.npz", DATA "zip64.npz"};
    struct npz npz = open_file(files[_i]);
    ck_assert_int_eq(npz.count, _i == 1 ? 4 : 3);
    ck_assert_str_eq(npz_name(&npz, 0), "a");
    ck_assert_int_eq(npz_find(&npz, "a.npy"), -1);
    ck_assert_int_eq(npz_find(&npz, ""), -1);
    assert_arrays(&npz);
    npz_close(&npz);
    ck_assert_int_eq(npz.count, 0);
}
END_TEST

START_TEST(a_large_array_is_unpacked)
{
    struct npz npz = open_file(DATA "deflated.npz");
    struct npy_array zeros = read_array(&npz, "zeros");
    ck_assert_uint_eq(zeros.bytes, 50000);
    for (size_t i = 0; i < zeros.bytes; i++)
        ck_assert_uint_eq(((uint8_t *)zeros.data)[i], 0);
    npy_free(&zeros);
    npz_close(&npz);
}
END_TEST

START_TEST(other_members_are_passed_over)
{
    struct npz npz = open_file(DATA "mixed.npz");
    ck_assert_int_eq(npz.count, 2);
    ck_assert_str_eq(npz_name(&npz, 0), "folder/a");
    struct npy_array a = read_array(&npz, "folder/a"), b;
    npy_free(&a);
    struct error error = {0};
    ck_assert_int_eq(npz_read(&npz, 1, &b, &default_allocator, &error), STATUS_INVALID_ARGUMENT);
    ck_assert_str_eq(error.text, DATA "mixed.npz: array 'b': is no NPY file: it does not begin with \\x93NUMPY");
    ck_assert_ptr_null(b.data);
    npz_close(&npz);

    npz = open_file(DATA "empty.npz");
    ck_assert_int_eq(npz.count, 0);
    npz_close(&npz);
}
END_TEST

START_TEST(an_archive_comes_from_standard_input)
{
    int descriptor = open(DATA "stored.npz", O_RDONLY);
    ck_assert_int_ge(dup2(descriptor, STDIN_FILENO), 0);
    struct npz npz = open_file("-");
    assert_arrays(&npz);
    npz_close(&npz);
}
END_TEST

/* --- damage --------------------------------------------------------------------------------------------------------
 */

/* A file's bytes, to be changed, and where its directory begins. */
struct image {
    unsigned char bytes[1024];
    size_t size, directory;
};

static struct image load(const char *path)
{
    struct image image = {0};
    struct file_map map;
    ck_assert_int_eq(file_map_path(&map, path, SIZE_MAX, &default_allocator, NULL), STATUS_OK);
    ck_assert_uint_le(map.size, sizeof image.bytes);
    memcpy(image.bytes, map.bytes, map.size);
    image.size = map.size;
    file_unmap(&map);
    const unsigned char *end = image.bytes + image.size - 22;
    image.directory = end[16] | (size_t)end[17] << 8;
    return image;
}

static void put_32(unsigned char *p, uint32_t value)
{
    memcpy(p, &value, sizeof value);
}

/* Opens an archive and, where it opens, reads all of its arrays: the first error there is, and a hash of the data. */
static enum status read_all(const void *bytes, size_t size, const struct allocator *allocator, uint64_t *hash,
                            struct error *error)
{
    struct npz npz;
    enum status status = npz_open_memory(&npz, "x.npz", bytes, size, allocator, error);
    *hash = (uint64_t)npz.count;
    for (int i = 0; i < npz.count; i++) {
        struct npy_array array;
        enum status found = npz_read(&npz, i, &array, allocator, error);
        status = status == STATUS_OK ? found : status;
        *hash = xxh64(array.data, array.bytes, *hash);
        npy_free(&array);
    }
    npz_close(&npz);
    return status;
}

static void assert_error(const struct image *image, enum status status, const char *text)
{
    uint64_t hash;
    struct error error = {0};
    ck_assert_int_eq(read_all(image->bytes, image->size, &default_allocator, &hash, &error), status);
    ck_assert_msg(strstr(error.text, "x.npz: ") == error.text && strstr(error.text, text), "'%s' does not have '%s'",
                  error.text, text);
}

/* Fields of an entry of the directory, by APPNOTE 4.3.12. */
enum { FLAGS = 8, METHOD = 10, CRC = 16, PACKED = 20, SIZE = 24, START = 42, NAME = 46 };

START_TEST(damaged_arrays_are_refused)
{
    struct image stored = load(DATA "stored.npz"), deflated = load(DATA "deflated.npz"), image = stored;
    image.bytes[image.directory + CRC] ^= 1;
    assert_error(&image, STATUS_INVALID_ARGUMENT, "array 'a': is damaged: its CRC-32 is ");
    image = deflated;
    image.bytes[image.directory + CRC] ^= 1;
    assert_error(&image, STATUS_INVALID_ARGUMENT, "array 'a': is damaged: its CRC-32 is ");
    image = stored;
    image.bytes[image.directory + FLAGS] |= 1;
    assert_error(&image, STATUS_UNSUPPORTED, "array 'a': is encrypted");
    image = stored;
    put_32(image.bytes + image.directory + SIZE, 1000);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "array 'a': cannot have 1,000 bytes, from 152 in the file");
    image = deflated;
    put_32(image.bytes + image.directory + SIZE, 4000000000u);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "array 'a': cannot have 4,000,000,000 bytes");
    image = deflated;
    put_32(image.bytes + image.directory + SIZE, 153);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "array 'a': unpacks to 152 bytes, not to 153 as declared");
    put_32(image.bytes + image.directory + SIZE, 151);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "array 'a': is cut short");
    image = deflated;
    put_32(image.bytes + image.directory + PACKED, 50);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "array 'a': its compressed data ends after ");
    image = deflated;
    image.bytes[30 + image.bytes[26] + image.bytes[28]] = 7; /* the first block is of no type there is */
    assert_error(&image, STATUS_INVALID_ARGUMENT, "array 'a': its compressed data is damaged: invalid block type");
}
END_TEST

/* An array may end before its member does: the rest is unpacked too, for the CRC. */
START_TEST(what_follows_an_array_is_checked_and_left_alone)
{
    uint64_t hash;
    struct image whole = load(DATA "trailing.npz"), image = whole;
    ck_assert_int_eq(read_all(image.bytes, image.size, &default_allocator, &hash, NULL), STATUS_OK);
    put_32(image.bytes + image.directory + SIZE, 152 + 11);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "array 'a': unpacks to more than the 163 bytes declared");
    put_32(image.bytes + image.directory + SIZE, 152 + 13);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "array 'a': unpacks to 164 bytes, not to 165 as declared");
    image = whole;
    image.bytes[image.directory + CRC] ^= 1;
    assert_error(&image, STATUS_INVALID_ARGUMENT, "array 'a': is damaged: its CRC-32 is ");
}
END_TEST

START_TEST(damaged_directories_are_refused)
{
    struct image whole = load(DATA "two.npz"), image = whole;
    size_t first = whole.directory, second = first + NAME + 5;
    ck_assert_mem_eq(whole.bytes + second + NAME, "c.npy", 5);
    image.bytes[second + NAME] = 'a';
    put_32(image.bytes + second + START, 0);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "members 'a' and 'a' overlap");
    image = whole;
    put_32(image.bytes + second + START, 0);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "member 'c' has another name at its data");
    image = whole;
    put_32(image.bytes + second + START, 1);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "member 'c' is not where the directory says");
    image = whole;
    put_32(image.bytes + second + START, 0x7fffffff);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "member 'c' is not where the directory says");
    image = whole;
    put_32(image.bytes + second + PACKED, 160);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "member 'c' reaches into the directory");
    image = whole;
    put_32(image.bytes + second + PACKED, UINT32_MAX);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "an entry of its directory lacks its ZIP64 sizes");
    image = whole;
    image.bytes[second + NAME] = 0;
    assert_error(&image, STATUS_INVALID_ARGUMENT, "the name of a member has a NUL");
    image = whole;
    image.bytes[second]++;
    assert_error(&image, STATUS_INVALID_ARGUMENT, "its directory has no entry where one should be");
    image = whole;
    image.bytes[second + 29] = 1; /* a name of 261 bytes */
    assert_error(&image, STATUS_INVALID_ARGUMENT, "an entry of its directory reaches past the directory's end");
    image = whole;
    image.bytes[image.size - 22 + 10] = 1;
    assert_error(&image, STATUS_INVALID_ARGUMENT, "its directory has more than it counts");
    image.bytes[image.size - 22 + 10] = 3;
    assert_error(&image, STATUS_INVALID_ARGUMENT, "its directory is too small for what it counts");
    image = whole;
    image.bytes[image.size - 22 + 17]++;
    assert_error(&image, STATUS_INVALID_ARGUMENT, "its directory reaches past its end");
    image = whole;
    image.bytes[image.size - 22 + 4] = 1;
    assert_error(&image, STATUS_UNSUPPORTED, "is one part of an archive in several files");
    image = whole;
    put_32(image.bytes + image.size - 22 + 16, UINT32_MAX);
    assert_error(&image, STATUS_INVALID_ARGUMENT, "its ZIP64 directory is missing");
}
END_TEST

START_TEST(other_files_and_methods_are_refused)
{
    struct npz npz;
    struct error error = {0};
    ck_assert_int_eq(npz_open_memory(&npz, "x", NULL, 0, &default_allocator, NULL), STATUS_INVALID_ARGUMENT);
    ck_assert_int_eq(npz_open(&npz, DATA "absent.npz", &default_allocator, NULL), STATUS_IO);
    ck_assert_int_eq(npz_open(&npz, DATA "make.py", &default_allocator, &error), STATUS_INVALID_ARGUMENT);
    ck_assert_str_eq(error.text, DATA "make.py: is no NPZ file, or cut short: its directory is missing");
    struct image image = load(DATA "bzip2.npz");
    assert_error(&image, STATUS_UNSUPPORTED, "array 'a': is compressed by method 12; only deflate can be read");
}
END_TEST

static const char *const whole_files[] = {DATA "stored.npz", DATA "deflated.npz", DATA "zip64.npz"};

/* Every beginning is an error. Every change is one too, or is to a field that nothing reads, such as a date, and then
 * the arrays are the same. The sanitizers see to it that no byte outside the block is read. */
START_TEST(cut_and_flipped_files_do_no_harm)
{
    struct image image = load(whole_files[_i]);
    uint64_t whole, hash;
    ck_assert_int_eq(read_all(image.bytes, image.size, &default_allocator, &whole, NULL), STATUS_OK);
    for (size_t size = 0; size < image.size; size++) {
        unsigned char *copy = malloc(size ? size : 1);
        memcpy(copy, image.bytes, size);
        ck_assert_int_eq(read_all(copy, size, &default_allocator, &hash, NULL), STATUS_INVALID_ARGUMENT);
        free(copy);
    }
    for (size_t i = 0; i < image.size; i++)
        for (unsigned change = 1; change < 256; change = change * 2 + 1) {
            unsigned char *copy = malloc(image.size);
            memcpy(copy, image.bytes, image.size);
            copy[i] ^= (unsigned char)change;
            enum status status = read_all(copy, image.size, &default_allocator, &hash, NULL);
            ck_assert_msg(status != STATUS_OK || hash == whole, "byte %zu", i);
            free(copy);
        }
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
    struct image image = load(whole_files[_i]);
    enum status status = STATUS_OUT_OF_MEMORY;
    for (int allowed = 0; status != STATUS_OK; allowed++) {
        struct failing failing = {.allowed = allowed};
        const struct allocator allocator = failing_allocator(&failing);
        uint64_t hash;
        status = read_all(image.bytes, image.size, &allocator, &hash, NULL);
        ck_assert(status == STATUS_OUT_OF_MEMORY || (status == STATUS_OK && allowed > 3));
        ck_assert_int_eq(failing.held, 0);
        ck_assert_uint_eq(failing.bytes, 0);
    }
}
END_TEST

Suite *npz_suite(void)
{
    Suite *suite = suite_create("npz");
    TCase *tests = tcase_create("npz");
    tcase_add_loop_test(tests, stored_deflated_and_zip64_archives_are_read, 0, 3);
    tcase_add_test(tests, a_large_array_is_unpacked);
    tcase_add_test(tests, other_members_are_passed_over);
    tcase_add_test(tests, an_archive_comes_from_standard_input);
    tcase_add_test(tests, damaged_arrays_are_refused);
    tcase_add_test(tests, what_follows_an_array_is_checked_and_left_alone);
    tcase_add_test(tests, damaged_directories_are_refused);
    tcase_add_test(tests, other_files_and_methods_are_refused);
    tcase_add_loop_test(tests, cut_and_flipped_files_do_no_harm, 0, 3);
    tcase_add_loop_test(tests, memory_may_end_anywhere, 0, 3);
    suite_add_tcase(suite, tests);
    return suite;
}
