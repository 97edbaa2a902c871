#include "formats/file.h"
#include "tests/suites.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static void make_folder(void)
{
    strcpy(folder, "/tmp/infer-file-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

/* The path of a file in the folder; a few are alive at a time. */
static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_text(const char *path, const char *text)
{
    struct error error = {0};
    ck_assert_msg(file_write(path, text, strlen(text), &error) == STATUS_OK, "%s", error.text);
}

static void assert_text(const char *path, const char *text)
{
    struct file_map map;
    struct error error = {0};
    ck_assert_msg(file_map_path(&map, path, SIZE_MAX, &default_allocator, &error) == STATUS_OK, "%s", error.text);
    ck_assert_uint_eq((uintptr_t)map.bytes % ALIGNMENT, 0);
    ck_assert_uint_eq(map.size, strlen(text));
    ck_assert_mem_eq(map.bytes, text, map.size);
    file_unmap(&map);
    ck_assert_ptr_null(map.bytes);
}

static void assert_map_error(const char *path, size_t limit, enum status status, const char *text)
{
    struct file_map map;
    struct error error = {0};
    ck_assert_int_eq(file_map_path(&map, path, limit, &default_allocator, &error), status);
    ck_assert_msg(strstr(error.text, text) != NULL, "%s", error.text);
    ck_assert_ptr_null(map.bytes);
    file_unmap(&map);
}

/* No file but `name` is left in the folder. */
static void assert_only(const char *name)
{
    char command[256];
    snprintf(command, sizeof command, "test \"$(ls -A '%s')\" = '%s'", folder, name);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(a_file_written_is_the_file_mapped)
{
    const char *path = in_folder("a");
    write_text(path, "first");
    assert_text(path, "first");
    ck_assert_int_eq(chmod(path, 0640), 0);
    struct error error = {0};
    struct file_part parts[] = {{"sec", 3}, {NULL, 0}, {"ond", 3}};
    ck_assert_int_eq(file_write_parts(path, 3, parts, &error), STATUS_OK);
    assert_text(path, "second");
    struct stat info;
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0640);
    assert_only("a");
}
END_TEST

/* Calls that wrote something; -1: the system does not tell. */
static long write_calls(void)
{
    FILE *file = fopen("/proc/self/io", "r");
    char line[128];
    long calls = -1;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "syscw: %ld", &calls) == 1)
            break;
    if (file)
        fclose(file);
    return calls;
}

START_TEST(many_parts_are_written_in_few_calls)
{
    enum { PARTS = 1000 };
    struct file_part parts[PARTS];
    char *expected = calloc(PARTS * (PARTS + 1), 1);
    size_t bytes = 0;
    for (int i = 0; i < PARTS; i++) { /* of 0 to 999 bytes, some of the empty ones at the end */
        size_t size = i > PARTS - 300 ? 0 : (size_t)(i * 7 % PARTS);
        parts[i] = (struct file_part){memset(expected + bytes, i, size), size};
        bytes += size;
    }
    long before = write_calls();
    ck_assert_int_eq(file_write_parts(in_folder("a"), PARTS, parts, NULL), STATUS_OK);
    long calls = write_calls() - before;
    struct file_map map;
    ck_assert_int_eq(file_map_path(&map, in_folder("a"), 0, &default_allocator, NULL), STATUS_OK);
    ck_assert_uint_eq(map.size, bytes);
    ck_assert_mem_eq(map.bytes, expected, bytes);
    file_unmap(&map);
    free(expected);
    if (before >= 0)
        ck_assert_int_le(calls, PARTS / 100);
}
END_TEST

static void be_interrupted(int signal_number)
{
    (void)signal_number;
}

static void write_while_interrupted(const char *path, size_t count, const struct file_part *parts)
{
    struct sigaction action = {.sa_handler = be_interrupted};
    struct itimerval often = {{0, 2000}, {0, 2000}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    _exit(file_write_parts(path, count, parts, NULL) == STATUS_OK ? 0 : 1);
}

/* The pipe holds less than a part, and nobody reads it at first: a signal ends the call in the middle. */
START_TEST(what_a_call_leaves_over_is_written)
{
    static char first[300000], second[100000];
    const struct file_part parts[] = {{first, sizeof first}, {NULL, 0}, {second, sizeof second}};
    memset(first, 'a', sizeof first);
    memset(second, 'b', sizeof second);
    ck_assert_int_eq(mkfifo(in_folder("pipe"), 0600), 0);
    pid_t writer = fork();
    if (writer == 0)
        write_while_interrupted(in_folder("pipe"), 3, parts);
    int descriptor = open(in_folder("pipe"), O_RDONLY), status;
    struct file_map map;
    usleep(20000);
    ck_assert_int_eq(file_map_descriptor(&map, "pipe", descriptor, SIZE_MAX, &default_allocator, NULL), STATUS_OK);
    ck_assert_int_eq(waitpid(writer, &status, 0), writer);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_uint_eq(map.size, sizeof first + sizeof second);
    ck_assert_mem_eq(map.bytes, first, sizeof first);
    ck_assert_mem_eq((const char *)map.bytes + sizeof first, second, sizeof second);
    file_unmap(&map);
    close(descriptor);
}
END_TEST

/* Whether the system was asked for large pages where an address is mapped. */
static bool has_large_pages(const void *address)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[512];
    bool here = false, large = false;
    while (file && fgets(line, sizeof line, file)) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            here = (uintptr_t)address >= start && (uintptr_t)address < end;
        large = large || (here && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " hg"));
    }
    if (file)
        fclose(file);
    return large;
}

START_TEST(a_large_file_is_cached_in_large_blocks)
{
    static const char block[LARGE_PAGE];
    const struct file_part parts[] = {{block, sizeof block}, {block, sizeof block}};
    bool known = access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) == 0;
    for (size_t count = 1; count <= 2; count++) {
        struct file_map map;
        ck_assert_int_eq(file_write_parts(in_folder("a"), count, parts, NULL), STATUS_OK);
        ck_assert_int_eq(file_map_path(&map, in_folder("a"), 0, &default_allocator, NULL), STATUS_OK);
        ck_assert(!known || has_large_pages(map.bytes));
        file_unmap(&map);
    }
    struct file_map small;
    write_text(in_folder("b"), "small");
    ck_assert_int_eq(file_map_path(&small, in_folder("b"), 0, &default_allocator, NULL), STATUS_OK);
    ck_assert(!has_large_pages(small.bytes));
    file_unmap(&small);
}
END_TEST

START_TEST(a_map_outlives_a_file_that_is_replaced)
{
    const char *path = in_folder("a");
    write_text(path, "old");
    struct file_map map;
    ck_assert_int_eq(file_map_path(&map, path, 0, &default_allocator, NULL), STATUS_OK);
    write_text(path, "new");
    ck_assert_mem_eq(map.bytes, "old", 3);
    file_unmap(&map);
    assert_text(path, "new");
}
END_TEST

START_TEST(links_are_followed_and_devices_written_to)
{
    write_text(in_folder("a"), "old");
    ck_assert_int_eq(symlink("a", in_folder("link")), 0);
    write_text(in_folder("link"), "new");
    assert_text(in_folder("a"), "new");
    struct stat info;
    ck_assert_int_eq(lstat(in_folder("link"), &info), 0);
    ck_assert(S_ISLNK(info.st_mode));
    write_text("/dev/null", "gone");
    ck_assert_int_eq(stat("/dev/null", &info), 0);
    ck_assert(S_ISCHR(info.st_mode));
}
END_TEST

START_TEST(what_is_no_file_is_refused_by_name)
{
    assert_map_error(in_folder("none"), SIZE_MAX, STATUS_IO, "/none: cannot open: No such file");
    assert_map_error(folder, SIZE_MAX, STATUS_IO, ": is a directory");
    write_text(in_folder("empty"), "");
    assert_map_error(in_folder("empty"), SIZE_MAX, STATUS_IO, "/empty: is empty");
    write_text(in_folder("secret"), "x");
    ck_assert_int_eq(chmod(in_folder("secret"), 0), 0);
    if (geteuid() != 0)
        assert_map_error(in_folder("secret"), SIZE_MAX, STATUS_IO, "Permission denied");
    struct error error = {0};
    ck_assert_int_eq(file_write(folder, "x", 1, &error), STATUS_IO);
    ck_assert_msg(strstr(error.text, "is a directory") != NULL, "%s", error.text);
    error = (struct error){0};
    ck_assert_int_eq(file_write(in_folder("no/where"), "x", 1, &error), STATUS_IO);
    struct file_map map;
    error = (struct error){0};
    ck_assert_int_eq(file_map_descriptor(&map, "closed", -1, SIZE_MAX, &default_allocator, &error), STATUS_IO);
    ck_assert_str_eq(error.text, "closed: cannot read: Bad file descriptor");
}
END_TEST

/* A pipe that holds `size` bytes, all of them written by a child. */
static int pipe_of(size_t size)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    if (fork() == 0) {
        char bytes[4096];
        memset(bytes, 'p', sizeof bytes);
        while (size > 0) {
            ssize_t written = write(ends[1], bytes, size < sizeof bytes ? size : sizeof bytes);
            if (written < 0)
                break;
            size -= (size_t)written;
        }
        _exit(0);
    }
    close(ends[1]);
    return ends[0];
}

START_TEST(a_pipe_is_read_to_its_end_or_the_limit)
{
    static const size_t sizes[] = {1, 65535, 65536, 65537, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t limit = sizes[i] - 1; limit <= sizes[i] + 1; limit++) {
            int descriptor = pipe_of(sizes[i]);
            struct file_map map;
            struct error error = {0};
            enum status status = file_map_descriptor(&map, "pipe", descriptor, limit, &default_allocator, &error);
            ck_assert_int_eq(status, limit < sizes[i] ? STATUS_MEMORY_LIMIT : STATUS_OK);
            if (status == STATUS_OK) {
                ck_assert_uint_eq(map.size, sizes[i]);
                ck_assert_int_eq(((const char *)map.bytes)[map.size - 1], 'p');
            } else {
                ck_assert_msg(strstr(error.text, "more than the limit of") != NULL, "%s", error.text);
            }
            file_unmap(&map);
            close(descriptor);
        }
}
END_TEST

START_TEST(a_file_that_says_it_is_empty_is_read)
{
    struct file_map map;
    ck_assert_int_eq(file_map_path(&map, "/proc/self/status", SIZE_MAX, &default_allocator, NULL), STATUS_OK);
    ck_assert_uint_gt(map.size, 100);
    file_unmap(&map);
}
END_TEST

START_TEST(a_descriptor_is_taken_whole)
{
    write_text(in_folder("a"), "whole");
    int descriptor = open(in_folder("a"), O_RDONLY);
    ck_assert_int_eq(lseek(descriptor, 3, SEEK_SET), 3);
    struct file_map map;
    ck_assert_int_eq(file_map_descriptor(&map, "a", descriptor, SIZE_MAX, &default_allocator, NULL), STATUS_OK);
    close(descriptor);
    ck_assert_uint_eq(map.size, 5);
    ck_assert_mem_eq(map.bytes, "whole", 5);
    file_unmap(&map);
}
END_TEST

static void *no_memory(void *user, size_t bytes, size_t alignment)
{
    (void)user, (void)bytes, (void)alignment;
    return NULL;
}

START_TEST(no_memory_for_a_pipe_is_an_error)
{
    struct allocator none = {no_memory, default_allocator.release, NULL};
    int descriptor = pipe_of(10);
    struct file_map map;
    struct error error = {0};
    ck_assert_int_eq(file_map_descriptor(&map, "pipe", descriptor, SIZE_MAX, &none, &error), STATUS_OUT_OF_MEMORY);
    close(descriptor);
}
END_TEST

START_TEST(a_full_disk_is_an_error_and_leaves_the_old_file)
{
    struct error error = {0};
    char block[8192] = {0};
    ck_assert_int_eq(file_write("/dev/full", block, sizeof block, &error), STATUS_IO);
    ck_assert_str_eq(error.text, "/dev/full: cannot write: No space left on device");
    write_text(in_folder("a"), "old");
    /* A limit on file sizes stops a write part-way, as a disk does that fills up. */
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, before.rlim_max}), 0);
    error = (struct error){0};
    enum status status = file_write(in_folder("a"), block, sizeof block, &error);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(status, STATUS_IO);
    ck_assert_msg(strstr(error.text, "/a: cannot write: File too large") != NULL, "%s", error.text);
    assert_text(in_folder("a"), "old");
    assert_only("a");
}
END_TEST

/* The limit on file sizes ends the writer in the middle of its work. */
START_TEST(a_kill_leaves_nothing_behind)
{
    write_text(in_folder("a"), "old");
    pid_t writer = fork();
    if (writer == 0) {
        static char block[8192];
        signal(SIGXFSZ, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, 4096});
        struct file_part parts[] = {{block, 4000}, {block, 4000}};
        file_write_parts(in_folder("a"), 2, parts, NULL);
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(writer, &status, 0), writer);
    ck_assert(WIFSIGNALED(status));
    assert_text(in_folder("a"), "old");
    assert_only("a");
}
END_TEST

static bool begins_with_a(const void *bytes, size_t size)
{
    return size > 0 && *(const char *)bytes == 'a';
}

START_TEST(what_cannot_be_right_is_read_no_further)
{
    struct file_rules rules = {.limit = SIZE_MAX, .plausible = begins_with_a};
    struct file_map map;
    struct error error = {0};
    ck_assert_int_eq(file_open_path(&map, "/dev/zero", &rules, &default_allocator, &error), STATUS_OK);
    ck_assert_uint_ge(map.size, 16);
    ck_assert_uint_le(map.size, 1 << 20);
    file_unmap(&map);
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], "a", 1), 1);
    ck_assert_int_eq(write(ends[1], "bcdefghijklmnopqrstuvwxyz", 25), 25);
    close(ends[1]);
    ck_assert_int_eq(file_open_descriptor(&map, "pipe", ends[0], &rules, &default_allocator, &error), STATUS_OK);
    ck_assert_uint_eq(map.size, 26);
    file_unmap(&map);
    close(ends[0]);
}
END_TEST

START_TEST(a_copy_does_not_mind_what_becomes_of_the_file)
{
    struct file_rules rules = {.limit = SIZE_MAX, .copy = true};
    struct file_map map;
    struct error error = {0};
    write_text(in_folder("a"), "content");
    ck_assert_int_eq(file_open_path(&map, in_folder("a"), &rules, &default_allocator, &error), STATUS_OK);
    ck_assert_int_eq(truncate(in_folder("a"), 0), 0);
    ck_assert_uint_eq(map.size, 7);
    ck_assert_mem_eq(map.bytes, "content", 7);
    file_unmap(&map);
}
END_TEST

static void assert_foreign(const char *bytes, size_t size, const char *words)
{
    const char *kind = file_foreign_kind(bytes, size);
    ck_assert_msg(words ? kind && strstr(kind, words) : !kind, "%s", kind);
}

START_TEST(files_of_other_kinds_are_known)
{
    assert_foreign("version https://git-lfs.github.com/spec/v1\n", 43, "a Git LFS pointer");
    assert_foreign("\r\n\t <!doctype HTML>", 19, "an HTML page");
    assert_foreign("<HTML>", 6, "an HTML page");
    assert_foreign("PK\3\4", 4, "a zip archive");
    assert_foreign("\x1f\x8b", 2, "gzip");
    assert_foreign("PK\3", 3, NULL);
    assert_foreign("<htm", 4, NULL);
    assert_foreign("   ", 3, NULL);
    assert_foreign("\x08\x07", 2, NULL);
}
END_TEST

Suite *file_suite(void)
{
    Suite *suite = suite_create("file");
    TCase *tests = tcase_create("file");
    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, a_file_written_is_the_file_mapped);
    tcase_add_test(tests, many_parts_are_written_in_few_calls);
    tcase_add_test(tests, what_a_call_leaves_over_is_written);
    tcase_add_test(tests, a_large_file_is_cached_in_large_blocks);
    tcase_add_test(tests, a_map_outlives_a_file_that_is_replaced);
    tcase_add_test(tests, links_are_followed_and_devices_written_to);
    tcase_add_test(tests, what_is_no_file_is_refused_by_name);
    tcase_add_test(tests, a_pipe_is_read_to_its_end_or_the_limit);
    tcase_add_test(tests, a_file_that_says_it_is_empty_is_read);
    tcase_add_test(tests, a_descriptor_is_taken_whole);
    tcase_add_test(tests, no_memory_for_a_pipe_is_an_error);
    tcase_add_test(tests, a_kill_leaves_nothing_behind);
    tcase_add_test(tests, what_cannot_be_right_is_read_no_further);
    tcase_add_test(tests, a_copy_does_not_mind_what_becomes_of_the_file);
    tcase_add_test(tests, files_of_other_kinds_are_known);
    tcase_add_test(tests, a_full_disk_is_an_error_and_leaves_the_old_file);
    suite_add_tcase(suite, tests);
    return suite;
}
