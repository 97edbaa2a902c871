#include "formats/file.h"
#include "formats/npy.h"
#include "formats/npy_header.h"
#include "kernels/convert.h"
#include "tests/failing_allocator.h"
#include "tests/suites.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DATA "tests/data/npy/"

/* --- reading and writing what NumPy wrote --------------------------------------------------------------------------
 */

static struct npy_array read_file(const char *path)
{
    struct npy_array array;
    struct error error = {0};
    ck_assert_msg(npy_read(&array, path, &default_allocator, &error) == STATUS_OK, "%s", error.text);
    ck_assert_uint_eq((uintptr_t)array.data % ALIGNMENT, 0);
    return array;
}

/* The real part of element i. */
static double element(const struct npy_array *array, int64_t i)
{
    const void *data = array->data;
    switch (array->dtype) {
#define CASE(name, type) \
    case name:           \
        return (double)((const type *)data)[i];
        CASE(DTYPE_BOOL, uint8_t)
        CASE(DTYPE_I8, int8_t)
        CASE(DTYPE_I16, int16_t)
        CASE(DTYPE_I32, int32_t)
        CASE(DTYPE_I64, int64_t)
        CASE(DTYPE_U8, uint8_t)
        CASE(DTYPE_U16, uint16_t)
        CASE(DTYPE_U32, uint32_t)
        CASE(DTYPE_U64, uint64_t)
        CASE(DTYPE_F32, float)
        CASE(DTYPE_F64, double)
#undef CASE
    case DTYPE_F16:
        return f16_to_f32(((const uint16_t *)data)[i]);
    case DTYPE_BF16:
        return bf16_to_f32(((const uint16_t *)data)[i]);
    case DTYPE_C64:
        ck_assert_float_eq(((const float *)data)[2 * i], -((const float *)data)[2 * i + 1]);
        return ((const float *)data)[2 * i];
    case DTYPE_C128:
        ck_assert_double_eq(((const double *)data)[2 * i], -((const double *)data)[2 * i + 1]);
        return ((const double *)data)[2 * i];
    case DTYPE_U4:
    case DTYPE_I4: {
        int nibble = ((const uint8_t *)data)[i / 2] >> 4 * (i % 2) & 15;
        return array->dtype == DTYPE_I4 && nibble > 7 ? nibble - 16 : nibble;
    }
    default:
        return small_float_to_f32(array->dtype, ((const uint8_t *)data)[i]);
    }
}

static void assert_counted(const struct npy_array *array, enum dtype dtype, double first)
{
    ck_assert_str_eq(dtype_name(array->dtype), dtype_name(dtype));
    ck_assert_uint_eq(array->raw_bytes, 0);
    ck_assert_uint_eq(array->bytes, dtype_bytes(dtype, array->elements));
    for (int64_t i = 0; i < array->elements; i++)
        ck_assert_double_eq(element(array, i), first + (double)i);
}

static void assert_shape(const struct npy_array *array, int rank, const int64_t *dims)
{
    ck_assert_int_eq(array->rank, rank);
    int64_t elements = 1;
    for (int i = 0; i < rank; i++) {
        ck_assert_int_eq(array->dims[i], dims[i]);
        elements *= dims[i];
    }
    ck_assert_int_eq(array->elements, elements);
}

/* A file of each test's own. */
static char written[64];

static void make_path(void)
{
    strcpy(written, "/tmp/infer-npy-XXXXXX");
    int descriptor = mkstemp(written);
    ck_assert_int_ge(descriptor, 0);
    close(descriptor);
}

static void remove_path(void)
{
    unlink(written);
}

static void assert_same_bytes(const char *path, const char *expected)
{
    struct file_map a, b;
    ck_assert_int_eq(file_map_path(&a, path, SIZE_MAX, &default_allocator, NULL), STATUS_OK);
    ck_assert_int_eq(file_map_path(&b, expected, SIZE_MAX, &default_allocator, NULL), STATUS_OK);
    ck_assert_uint_eq(a.size, b.size);
    ck_assert_msg(memcmp(a.bytes, b.bytes, a.size) == 0, "%s", expected);
    file_unmap(&a);
    file_unmap(&b);
}

static void write_array(const char *path, const struct npy_array *array)
{
    struct error error = {0};
    ck_assert_msg(npy_write(path, array->dtype, array->rank, array->dims, array->data, &default_allocator, &error) ==
                      STATUS_OK,
                  "%s", error.text);
}

static const struct {
    const char *file;
    enum dtype dtype;
    double first;
} plain[] = {{"i1", DTYPE_I8, -2},   {"i2", DTYPE_I16, -2}, {"i4", DTYPE_I32, -2}, {"i8", DTYPE_I64, -2},
             {"u1", DTYPE_U8, 0},    {"u2", DTYPE_U16, 0},  {"u4", DTYPE_U32, 0},  {"u8", DTYPE_U64, 0},
             {"f2", DTYPE_F16, -2},  {"f4", DTYPE_F32, -2}, {"f8", DTYPE_F64, -2}, {"c8", DTYPE_C64, -2},
             {"c16", DTYPE_C128, -2}};

START_TEST(plain_types_are_read_and_written_to_the_byte)
{
    char path[64];
    snprintf(path, sizeof path, DATA "%s.npy", plain[_i].file);
    struct npy_array array = read_file(path);
    assert_shape(&array, 2, (int64_t[]){2, 3});
    assert_counted(&array, plain[_i].dtype, plain[_i].first);
    write_array(written, &array);
    assert_same_bytes(written, path);
    npy_free(&array);
}
END_TEST

START_TEST(bools_are_read_and_written_to_the_byte)
{
    struct npy_array array = read_file(DATA "bool.npy");
    ck_assert_int_eq(array.dtype, DTYPE_BOOL);
    ck_assert_mem_eq(array.data, ((uint8_t[]){0, 1, 1, 1, 0, 1}), 6);
    write_array(written, &array);
    assert_same_bytes(written, DATA "bool.npy");
    npy_free(&array);
}
END_TEST

static const struct {
    const char *file;
    enum dtype dtype;
    double first;
    bool same_bytes; /* ml_dtypes writes what we write */
} raw[] = {{"bfloat16", DTYPE_BF16, -2, true},
           {"float8_e4m3fn", DTYPE_F8E4M3FN, -2, true},
           {"float8_e4m3fnuz", DTYPE_F8E4M3FNUZ, -2, true},
           {"float8_e5m2", DTYPE_F8E5M2, -2, false},
           {"float8_e5m2fnuz", DTYPE_F8E5M2FNUZ, -2, true},
           {"int4", DTYPE_I4, -2, false},
           {"uint4", DTYPE_U4, 0, false}};

START_TEST(raw_items_get_their_type)
{
    char path[64];
    struct error error = {0};
    snprintf(path, sizeof path, DATA "%s.npy", raw[_i].file);
    struct npy_array array = read_file(path);
    if (raw[_i].dtype != DTYPE_F8E5M2) {
        ck_assert_int_eq(array.dtype, DTYPE_NONE);
        ck_assert_uint_eq(array.raw_bytes, raw[_i].dtype == DTYPE_BF16 ? 2 : 1);
    }
    ck_assert_msg(npy_reinterpret(&array, "a", raw[_i].dtype, &error) == STATUS_OK, "%s", error.text);
    assert_shape(&array, 2, (int64_t[]){2, 3});
    assert_counted(&array, raw[_i].dtype, raw[_i].first);

    write_array(written, &array);
    if (raw[_i].same_bytes)
        assert_same_bytes(written, path);
    struct npy_array again = read_file(written);
    ck_assert_int_eq(npy_reinterpret(&again, "a", raw[_i].dtype, &error), STATUS_OK);
    assert_counted(&again, raw[_i].dtype, raw[_i].first);
    npy_free(&again);
    npy_free(&array);
}
END_TEST

static const struct {
    const char *file;
    enum dtype dtype;
    int rank;
    int64_t dims[MAX_RANK];
} rearranged[] = {{"big_i2", DTYPE_I16, 2, {2, 3}},           {"big_i4", DTYPE_I32, 2, {2, 3}},
                  {"big_i8", DTYPE_I64, 2, {2, 3}},           {"big_f2", DTYPE_F16, 2, {2, 3}},
                  {"big_f4", DTYPE_F32, 2, {2, 3}},           {"big_f8", DTYPE_F64, 2, {2, 3}},
                  {"big_c8", DTYPE_C64, 2, {2, 3}},           {"big_c16", DTYPE_C128, 2, {2, 3}},
                  {"fortran_i1", DTYPE_I8, 3, {2, 3, 4}},     {"fortran_i2", DTYPE_I16, 3, {2, 3, 4}},
                  {"fortran_f4", DTYPE_F32, 3, {2, 3, 4}},    {"fortran_f8", DTYPE_F64, 3, {2, 3, 4}},
                  {"fortran_c16", DTYPE_C128, 3, {2, 3, 4}},  {"fortran_big_i4", DTYPE_I32, 3, {2, 3, 4}},
                  {"empty_fortran", DTYPE_F32, 3, {3, 0, 2}}, {"version_2", DTYPE_F32, 2, {2, 3}},
                  {"version_3", DTYPE_F32, 2, {2, 3}}};

START_TEST(byte_order_element_order_and_version_do_not_matter)
{
    char path[64];
    snprintf(path, sizeof path, DATA "%s.npy", rearranged[_i].file);
    struct npy_array array = read_file(path);
    assert_shape(&array, rearranged[_i].rank, rearranged[_i].dims);
    assert_counted(&array, rearranged[_i].dtype, -2);
    npy_free(&array);
}
END_TEST

static const struct {
    const char *file;
    enum dtype dtype;
    int rank;
    int64_t dims[MAX_RANK];
} shaped[] = {{"scalar", DTYPE_F32, 0, {0}},
              {"vector", DTYPE_I16, 1, {5}},
              {"empty", DTYPE_F32, 2, {0, 3}},
              {"rank_8", DTYPE_I8, 8, {1, 2, 1, 2, 1, 2, 1, 2}},
              {"long_header", DTYPE_I8, 8, {0, 1, 10, 100, 1000, 10000, 100000, 99}}};

START_TEST(every_rank_is_read_and_written_to_the_byte)
{
    char path[64];
    snprintf(path, sizeof path, DATA "%s.npy", shaped[_i].file);
    struct npy_array array = read_file(path);
    assert_shape(&array, shaped[_i].rank, shaped[_i].dims);
    assert_counted(&array, shaped[_i].dtype, -2);
    ck_assert_ptr_nonnull(array.data);
    write_array(written, &array);
    assert_same_bytes(written, path);
    npy_free(&array);
}
END_TEST

START_TEST(what_follows_the_array_is_left_alone)
{
    struct npy_array array = read_file(DATA "two.npy");
    assert_shape(&array, 1, (int64_t[]){3});
    assert_counted(&array, DTYPE_I8, -2);
    npy_free(&array);
}
END_TEST

START_TEST(dash_is_standard_input_and_output)
{
    int descriptor = open(DATA "f4.npy", O_RDONLY);
    ck_assert_int_ge(dup2(descriptor, STDIN_FILENO), 0);
    struct npy_array array = read_file("-");
    assert_counted(&array, DTYPE_F32, -2);
    int saved = dup(STDOUT_FILENO), output = open(written, O_WRONLY | O_TRUNC);
    ck_assert_int_ge(dup2(output, STDOUT_FILENO), 0);
    write_array("-", &array);
    ck_assert_int_ge(dup2(saved, STDOUT_FILENO), 0);
    assert_same_bytes(written, DATA "f4.npy");
    npy_free(&array);

    struct error error = {0};
    ck_assert_int_ge(dup2(open("/dev/null", O_RDONLY), STDIN_FILENO), 0);
    ck_assert_int_ne(npy_read(&array, "-", &default_allocator, &error), STATUS_OK);
    ck_assert_ptr_eq(strstr(error.text, "standard input: "), error.text);
}
END_TEST

/* Of a pipe the first bytes, which may come alone, say whether the rest is worth waiting for. */
START_TEST(pipes_are_read_where_they_begin_well)
{
    unsigned char bytes[4096];
    int ends[2];
    struct npy_array array;
    struct error error = {0};
    FILE *file = fopen(DATA "f4.npy", "rb");
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    ck_assert_int_eq(pipe(ends), 0);
    pid_t writer = fork();
    if (writer == 0) {
        bool written_all = write(ends[1], bytes, 16) == 16;
        usleep(50000);
        written_all = written_all && write(ends[1], bytes + 16, size - 16) == (ssize_t)(size - 16);
        _exit(!written_all);
    }
    close(ends[1]);
    ck_assert_int_ge(dup2(ends[0], STDIN_FILENO), 0);
    ck_assert_msg(npy_read(&array, "-", &default_allocator, &error) == STATUS_OK, "%s", error.text);
    assert_counted(&array, DTYPE_F32, -2);
    npy_free(&array);
    ck_assert_int_eq(waitpid(writer, NULL, 0), writer);
    ck_assert_int_eq(npy_read(&array, "/dev/zero", &default_allocator, &error), STATUS_INVALID_ARGUMENT);
}
END_TEST

/* --- refusing ------------------------------------------------------------------------------------------------------
 */

static const struct {
    const char *file, *text;
} refused[] = {
    {"unicode", "holds Unicode strings ('<U5')"}, {"bytes", "holds byte strings ('|S5')"},
    {"object", "holds Python objects ('|O')"},    {"date", "holds dates ('<M8[D]')"},
    {"span", "holds time spans ('<m8[s]')"},      {"record", "holds records"},
    {"longdouble", "cannot be read, '<f16'"},     {"rank_9", "has more than 8 dimensions"},
    {"raw_3", "cannot be read, '|V3'"},
};

START_TEST(what_nothing_here_runs_is_refused_by_name)
{
    char path[64];
    struct npy_array array;
    struct error error = {0};
    snprintf(path, sizeof path, DATA "refused_%s.npy", refused[_i].file);
    ck_assert_int_eq(npy_read(&array, path, &default_allocator, &error), STATUS_UNSUPPORTED);
    ck_assert_msg(strstr(error.text, path) == error.text && strstr(error.text, refused[_i].text), "%s", error.text);
    ck_assert_ptr_null(array.data);
}
END_TEST

/* A file of version 1.0 with this dictionary and `data` bytes behind it. */
static size_t make_file(unsigned char file[1024], const char *dictionary, size_t data)
{
    size_t length = strlen(dictionary);
    memcpy(file, NPY_MAGIC "\x01\x00", NPY_PREAMBLE_BYTES);
    file[8] = (unsigned char)(length & 255);
    file[9] = (unsigned char)(length >> 8);
    memcpy(file + 10, dictionary, length);
    memset(file + 10 + length, 2, data);
    return 10 + length + data;
}

static void assert_dictionary_error(const char *dictionary, const char *text)
{
    unsigned char file[1024];
    size_t size = make_file(file, dictionary, 24);
    struct npy_array array;
    struct error error = {0};
    ck_assert_int_ne(npy_read_memory(&array, "x.npy", file, size, &default_allocator, &error), STATUS_OK);
    ck_assert_msg(strstr(error.text, "x.npy: ") == error.text && strstr(error.text, text), "'%s' does not have '%s'",
                  error.text, text);
    ck_assert_ptr_null(array.data);
}

START_TEST(malformed_headers_are_refused)
{
#define F4 "{'descr': '<f4', 'fortran_order': False, "
    assert_dictionary_error("", "character 0: it is no dictionary");
    assert_dictionary_error("[1, 2]", "it is no dictionary");
    assert_dictionary_error("{", "a string is missing");
    assert_dictionary_error("{'descr", "a string has no end");
    assert_dictionary_error("{'descr': '", "a string has no end");
    assert_dictionary_error("{'descr' '<f4'}", "a ':' is missing");
    assert_dictionary_error("{'descr': '<f4' 'shape': ()}", "a comma or '}' is missing");
    assert_dictionary_error("{'descr': '<f4', 'color': 3}", "an unknown key 'color'");
    assert_dictionary_error("{'descr': '<f4', 'descr': '<f4'}", "a key stands twice");
    assert_dictionary_error("{'descr': 4}", "a string is missing");
    assert_dictionary_error("{'descr': ''}", "cannot be read, ''");
    assert_dictionary_error("{'descr': '<'}", "cannot be read, '<'");
    assert_dictionary_error("{'descr': '<f'}", "cannot be read, '<f'");
    assert_dictionary_error("{'descr': '<f3'}", "cannot be read, '<f3'");
    assert_dictionary_error("{'descr': '<f44444444444444444444'}", "cannot be read, ");
    assert_dictionary_error("{'descr': '<f4x'}", "cannot be read, '<f4x'");
    assert_dictionary_error("{'descr': '|V0'}", "cannot be read, '|V0'");
    assert_dictionary_error("{'fortran_order': 0}", "neither True nor False");
    assert_dictionary_error(F4 "}", "lacks 'shape'");
    assert_dictionary_error("{'descr': '<f4', 'shape': (3,)}", "lacks 'fortran_order'");
    assert_dictionary_error(F4 "'shape': 3}", "the shape is no tuple");
    assert_dictionary_error(F4 "'shape': (3)}", "not a tuple");
    assert_dictionary_error(F4 "'shape': (,)}", "a dimension is missing");
    assert_dictionary_error(F4 "'shape': (3 4)}", "a comma or ')' is missing");
    assert_dictionary_error(F4 "'shape': (3, 4", "a comma or ')' is missing");
    assert_dictionary_error(F4 "'shape': (3, -4)}", "a dimension is negative");
    assert_dictionary_error(F4 "'shape': (3, 1.5)}", "a comma or ')' is missing");
    assert_dictionary_error(F4 "'shape': (9223372036854775808,)}", "a dimension is too large");
    assert_dictionary_error(F4 "'shape': (9223372036854775807,)}", "its shape 9223372036854775807 is too large");
    assert_dictionary_error(F4 "'shape': (4294967296, 4294967296)}", "its shape 4294967296x4294967296 is too large");
    assert_dictionary_error(F4 "'shape': (3, 4)}", "its shape 3x4 of float32 needs 48 bytes of data, and it has 24");
    assert_dictionary_error(F4 "'shape': (3, 2)} nonsense", "the dictionary ended before");
#undef F4
}
END_TEST

START_TEST(headers_that_python_may_write_are_read)
{
    static const char *const dictionaries[] = {
        "{\"descr\":\"<i1\",\"fortran_order\":False,\"shape\":(2,3)}",
        "{'shape': (2L, 3L), 'fortran_order': True, 'descr': '|i1'}",
        " { 'shape' : ( 2 , 3 , ) , 'descr' : 'i1' , 'fortran_order' : False , } \n",
    };
    for (size_t i = 0; i < 3; i++) {
        unsigned char file[1024];
        size_t size = make_file(file, dictionaries[i], 6);
        struct npy_array array;
        struct error error = {0};
        ck_assert_msg(npy_read_memory(&array, "x", file, size, &default_allocator, &error) == STATUS_OK, "%s",
                      error.text);
        assert_shape(&array, 2, (int64_t[]){2, 3});
        ck_assert_mem_eq(array.data, "\2\2\2\2\2\2", 6);
        npy_free(&array);
    }
}
END_TEST

START_TEST(a_bool_is_0_or_1)
{
    unsigned char file[1024];
    size_t size = make_file(file, "{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}", 3);
    file[size - 2] = 0;
    struct npy_array array;
    ck_assert_int_eq(npy_read_memory(&array, "x", file, size, &default_allocator, NULL), STATUS_OK);
    ck_assert_mem_eq(array.data, "\1\0\1", 3);
    npy_free(&array);
}
END_TEST

static void assert_preamble_error(const char *bytes, size_t size, const char *text)
{
    struct npy_array array;
    struct error error = {0};
    ck_assert_int_ne(npy_read_memory(&array, "x.npy", bytes, size, &default_allocator, &error), STATUS_OK);
    ck_assert_msg(strstr(error.text, text), "%s", error.text);
}

START_TEST(what_is_no_npy_file_is_refused)
{
    assert_preamble_error("", 0, "is no NPY file: it has only 0 bytes");
    assert_preamble_error("PK\3\4..........", 14, "is no NPY file: it does not begin with \\x93NUMPY");
    assert_preamble_error(NPY_MAGIC "\x04\x00......", 14, "has NPY version 4.0");
    assert_preamble_error(NPY_MAGIC "\x01\x01......", 14, "has NPY version 1.1");
    assert_preamble_error(NPY_MAGIC "\x02\x00..", 10, "ends within its NPY header");
    assert_preamble_error(NPY_MAGIC "\x02\x00\xff\xff\xff\xff{}", 14, "header of 4,294,967,295 bytes ends past");
    static char large[20000] = NPY_MAGIC "\x02\x00\x20\x4e\x00\x00{}";
    assert_preamble_error(large, sizeof large, "ends past the end of the file");
    large[NPY_PREAMBLE_BYTES + 1] = 0x30;
    assert_preamble_error(large, sizeof large, "has 12,320 bytes; at most 10,000 are read");

    struct npy_array array;
    struct error error = {0};
    ck_assert_int_eq(npy_read(&array, DATA "absent.npy", &default_allocator, &error), STATUS_IO);
    ck_assert_ptr_eq(strstr(error.text, DATA "absent.npy: "), error.text);
}
END_TEST

/* Each beginning of a file is an error, and any byte changed is an error or another array: never a crash, which the
 * sanitizers would see, as each read is from a block of just its size. */
START_TEST(cut_and_flipped_files_do_no_harm)
{
    struct file_map map;
    ck_assert_int_eq(file_map_path(&map, DATA "fortran_c16.npy", SIZE_MAX, &default_allocator, NULL), STATUS_OK);
    for (size_t size = 0; size < map.size; size++) {
        struct npy_array array;
        unsigned char *copy = malloc(size + 1);
        memcpy(copy + 1, map.bytes, size);
        ck_assert_int_eq(npy_read_memory(&array, "x", copy + 1, size, &default_allocator, NULL),
                         STATUS_INVALID_ARGUMENT);
        free(copy);
    }
    for (size_t i = 0; i < 128; i++)
        for (unsigned change = 1; change < 256; change = change * 2 + 1) {
            struct npy_array array;
            unsigned char *copy = malloc(map.size);
            memcpy(copy, map.bytes, map.size);
            copy[i] ^= (unsigned char)change;
            npy_read_memory(&array, "x", copy, map.size, &default_allocator, NULL);
            npy_free(&array);
            free(copy);
        }
    file_unmap(&map);
}
END_TEST

/* --- memory, other sources, reinterpretation, writing's errors ------------------------------------------------------
 */

struct stream {
    const unsigned char *bytes;
    size_t most; /* what it gives before it fails */
};

static enum status stream_read(void *user, void *to, size_t size, struct error *error)
{
    struct stream *stream = user;
    if (size > stream->most)
        return error_set(error, STATUS_IO, "the stream broke");
    memcpy(to, stream->bytes, size);
    stream->bytes += size;
    stream->most -= size;
    return STATUS_OK;
}

START_TEST(a_stream_may_break_and_memory_may_end_anywhere)
{
    struct file_map map;
    ck_assert_int_eq(file_map_path(&map, DATA "fortran_big_i4.npy", SIZE_MAX, &default_allocator, NULL), STATUS_OK);
    for (int allowed = 0; allowed <= 2; allowed++)
        for (size_t most = 0; most <= map.size; most++) {
            struct failing failing = {.allowed = allowed};
            const struct allocator allocator = failing_allocator(&failing);
            struct stream stream = {map.bytes, most};
            struct npy_source source = {.name = "x", .left = map.size, .read = stream_read, .user = &stream};
            struct npy_array array;
            struct error error = {0};
            enum status status = npy_read_source(&array, &source, &allocator, &error);
            if (allowed == 2 && most == map.size) {
                ck_assert_int_eq(status, STATUS_OK);
                assert_counted(&array, DTYPE_I32, -2);
                ck_assert_uint_eq(source.left, 0);
                npy_free(&array);
            } else {
                ck_assert(status == STATUS_IO || (allowed < 2 && status == STATUS_OUT_OF_MEMORY));
                ck_assert_ptr_null(array.data);
            }
            ck_assert_int_eq(failing.held, 0);
            ck_assert_uint_eq(failing.bytes, 0);
        }
    file_unmap(&map);
}
END_TEST

START_TEST(small_integers_are_packed_and_unpacked)
{
    static const struct {
        enum dtype from, to;
        int8_t least, most;
    } cases[] = {{DTYPE_I8, DTYPE_I4, -8, 7},
                 {DTYPE_U8, DTYPE_U4, 0, 15},
                 {DTYPE_I8, DTYPE_I2, -2, 1},
                 {DTYPE_U8, DTYPE_U2, 0, 3},
                 {DTYPE_I8, DTYPE_U2, 0, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error error = {0};
        int8_t bytes[5] = {cases[i].least, cases[i].most, 1, 0, cases[i].least};
        struct npy_array array = {
            .dtype = cases[i].from, .rank = 1, .dims = {5}, .elements = 5, .bytes = 5, .data = bytes};
        ck_assert_int_eq(npy_reinterpret(&array, "a", cases[i].to, &error), STATUS_OK);
        ck_assert_uint_eq(array.bytes, dtype_bytes(cases[i].to, 5));
        write_array(written, &array);
        struct npy_array again = read_file(written);
        ck_assert_int_eq(again.dtype, dtype_is_signed_integer(cases[i].to) ? DTYPE_I8 : DTYPE_U8);
        ck_assert_mem_eq(again.data, ((int8_t[]){cases[i].least, cases[i].most, 1, 0, cases[i].least}), 5);
        ((int8_t *)again.data)[3] = (int8_t)(cases[i].most + 1);
        ck_assert_int_eq(npy_reinterpret(&again, "a.npy", cases[i].to, &error), STATUS_INVALID_ARGUMENT);
        ck_assert_ptr_nonnull(strstr(error.text, "a.npy: element 3 is "));
        npy_free(&again);
    }
}
END_TEST

START_TEST(only_what_fits_is_reinterpreted)
{
    struct npy_array array = read_file(DATA "bfloat16.npy");
    struct error error = {0};
    ck_assert_int_eq(npy_reinterpret(&array, "a", DTYPE_F32, &error), STATUS_INVALID_ARGUMENT);
    ck_assert_str_eq(error.text, "a: holds raw items of 2 bytes, not float32");
    ck_assert_int_eq(npy_reinterpret(&array, "a", DTYPE_I4, NULL), STATUS_INVALID_ARGUMENT);
    ck_assert_int_eq(npy_reinterpret(&array, "a", DTYPE_NONE, NULL), STATUS_INVALID_ARGUMENT);
    ck_assert_int_eq(npy_reinterpret(&array, "a", DTYPE_BF16, NULL), STATUS_OK);
    ck_assert_int_eq(npy_reinterpret(&array, "a", DTYPE_BF16, NULL), STATUS_OK);
    error = (struct error){0};
    ck_assert_int_eq(npy_reinterpret(&array, "a", DTYPE_F16, &error), STATUS_INVALID_ARGUMENT);
    ck_assert_str_eq(error.text, "a: holds bfloat16, not float16");
    npy_free(&array);
}
END_TEST

START_TEST(what_cannot_be_written_is_an_error)
{
    struct error error = {0};
    uint8_t data[8] = {0};
    struct failing failing = {.allowed = 0};
    const struct allocator none = failing_allocator(&failing);
    ck_assert_int_eq(npy_write("/dev/full", DTYPE_U8, 1, (int64_t[]){8}, data, &none, &error), STATUS_IO);
    ck_assert_ptr_eq(strstr(error.text, "/dev/full: "), error.text);
    ck_assert_int_eq(npy_write("/absent/x.npy", DTYPE_U8, 1, (int64_t[]){8}, data, &none, NULL), STATUS_IO);
    ck_assert_int_eq(npy_write(written, DTYPE_STRING, 1, (int64_t[]){8}, data, &none, NULL), STATUS_UNSUPPORTED);
    ck_assert_int_eq(npy_write(written, DTYPE_U8, 1, (int64_t[]){-8}, data, &none, NULL), STATUS_INVALID_ARGUMENT);
    ck_assert_int_eq(npy_write(written, DTYPE_U8, 9, NULL, data, &none, NULL), STATUS_INVALID_ARGUMENT);
    ck_assert_int_eq(npy_write(written, DTYPE_U4, 1, (int64_t[]){8}, data, &none, NULL), STATUS_OUT_OF_MEMORY);
    ck_assert_int_eq(npy_write(written, DTYPE_U8, 1, (int64_t[]){8}, data, &none, NULL), STATUS_OK);
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tests, test, 0, (int)(sizeof(table) / sizeof(table)[0]))

Suite *npy_suite(void)
{
    Suite *suite = suite_create("npy");
    TCase *tests = tcase_create("npy");
    tcase_add_checked_fixture(tests, make_path, remove_path);
    LOOP(plain_types_are_read_and_written_to_the_byte, plain);
    tcase_add_test(tests, bools_are_read_and_written_to_the_byte);
    LOOP(raw_items_get_their_type, raw);
    LOOP(byte_order_element_order_and_version_do_not_matter, rearranged);
    LOOP(every_rank_is_read_and_written_to_the_byte, shaped);
    tcase_add_test(tests, what_follows_the_array_is_left_alone);
    tcase_add_test(tests, dash_is_standard_input_and_output);
    tcase_add_test(tests, pipes_are_read_where_they_begin_well);
    LOOP(what_nothing_here_runs_is_refused_by_name, refused);
    tcase_add_test(tests, malformed_headers_are_refused);
    tcase_add_test(tests, headers_that_python_may_write_are_read);
    tcase_add_test(tests, a_bool_is_0_or_1);
    tcase_add_test(tests, what_is_no_npy_file_is_refused);
    tcase_add_test(tests, cut_and_flipped_files_do_no_harm);
    tcase_add_test(tests, a_stream_may_break_and_memory_may_end_anywhere);
    tcase_add_test(tests, small_integers_are_packed_and_unpacked);
    tcase_add_test(tests, only_what_fits_is_reinterpreted);
    tcase_add_test(tests, what_cannot_be_written_is_an_error);
    suite_add_tcase(suite, tests);
    return suite;
}
