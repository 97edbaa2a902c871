#include "tests/decisions.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MOST_KERNELS 512

/* --- tables ---------------------------------------------------------------------------------------------- */

void decisions_begin(struct decisions *decisions, const char *name)
{
    *decisions = (struct decisions){.name = name};
    decisions->file = open_memstream(&decisions->text, &decisions->bytes);
    ck_assert_ptr_nonnull(decisions->file);
}

static void path_of(const struct decisions *decisions, char *path, size_t bytes)
{
    snprintf(path, bytes, "tests/data/decisions/%s.txt", decisions->name);
}

static void record(const struct decisions *decisions)
{
    char path[200];
    path_of(decisions, path, sizeof path);
    FILE *file = fopen(path, "w");
    ck_assert_msg(file != NULL, "cannot write '%s'", path);
    ck_assert_uint_eq(fwrite(decisions->text, 1, decisions->bytes, file), decisions->bytes);
    ck_assert_int_eq(fclose(file), 0);
}

static char *read_table(const struct decisions *decisions)
{
    char path[200], *text = NULL;
    size_t bytes = 0;
    path_of(decisions, path, sizeof path);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "cannot read '%s': tests run where the sources are", path);
    if (getdelim(&text, &bytes, '\0', file) < 0)
        text = calloc(1, 1);
    fclose(file);
    return text;
}

/* Cuts the first line off; "" past the last. */
static const char *next_line(char **text)
{
    char *line = *text, *end = line + strcspn(line, "\n");
    *text = *end ? end + 1 : end;
    *end = '\0';
    return line;
}

static void compare(const struct decisions *decisions)
{
    char *table = read_table(decisions), *kept = table, *made = decisions->text, first[4000] = "";
    int differ = 0;
    for (int number = 1; *kept || *made; number++) {
        const char *was = next_line(&kept), *is = next_line(&made);
        if (strcmp(was, is) != 0 && differ++ == 0)
            snprintf(first, sizeof first, "line %d was\n%s\nand is\n%s", number, was, is);
    }
    free(table);
    ck_assert_msg(differ == 0,
                  "%d decisions are not those of tests/data/decisions/%s.txt; %s\nwhere that is meant: make decisions",
                  differ, decisions->name, first);
}

void decisions_end(struct decisions *decisions)
{
    ck_assert_int_eq(fclose(decisions->file), 0);
    if (getenv("INFER_RECORD_DECISIONS"))
        record(decisions);
    else
        compare(decisions);
    free(decisions->text);
}

/* --- machines -------------------------------------------------------------------------------------------- */

#define VECTOR_KERNEL(name) extern const struct kernel name##_plain;
#include "kernels/vector_kernels.def"
#undef VECTOR_KERNEL
static const struct kernel *const plain[] = {
#define VECTOR_KERNEL(name) &name##_plain,
#include "kernels/vector_kernels.def"
#undef VECTOR_KERNEL
};

static void add_kernels(const struct kernel **list, size_t *count, const char *set)
{
    for (size_t i = 0; kernel_at(i); i++)
        if (strstr(kernel_at(i)->name, set)) {
            ck_assert_uint_lt(*count, MOST_KERNELS - 1);
            list[(*count)++] = kernel_at(i);
        }
}

/* The bits are those of AVX2 in both: what else asks for them takes it that there are vectors. */
struct kernel_facts facts_of_16_lanes(int threads)
{
    static const struct kernel *list[MOST_KERNELS];
    size_t count = sizeof plain / sizeof *plain;
    if (!list[0]) {
        memcpy(list, plain, sizeof plain);
        add_kernels(list, &count, "_reference");
    }
    return (struct kernel_facts){.cpu = CPU_AVX2 | CPU_FMA | CPU_F16C, .threads = threads, .kernels = list};
}

struct kernel_facts facts_of_8_lanes(int threads)
{
    static const struct kernel *list[MOST_KERNELS];
    size_t count = 0;
    if (!list[0]) {
        add_kernels(list, &count, "_avx2");
        add_kernels(list, &count, "_reference");
    }
    return (struct kernel_facts){.cpu = CPU_AVX2 | CPU_FMA | CPU_F16C, .threads = threads, .kernels = list};
}

bool have_8_lanes(void)
{
    return !(facts_of_8_lanes(1).cpu & ~cpu_detect());
}
