/* Takes every kernel there is to random problems: check-kernels [--seed N] [--problems N] [--filter SUBSTRING]. */
#include "tests/kernels/harness.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: check-kernels [options]\n"
    "Each kernel on random problems, against the reference kernel and the definition of its family, behind guard "
    "pages,\n"
    "in every order of its tasks; and before that, kernels with a bug each, which must be found.\n" HARNESS_HELP
    "  --planted            only the kernels with bugs, and what is said of each\n";

static const struct option options[] = {
    HARNESS_OPTIONS, {"planted", no_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

/* Vector code built for 16 lanes of plain C: what AVX-512 does, on any machine. */
#define VECTOR_KERNEL(name) extern const struct kernel name##_plain;
#include "kernels/vector_kernels.def"
#undef VECTOR_KERNEL
static const struct kernel *const plain[] = {
#define VECTOR_KERNEL(name) &name##_plain,
#include "kernels/vector_kernels.def"
#undef VECTOR_KERNEL
};

static const struct kernel *const *all_kernels(void)
{
    static const struct kernel *list[1024];
    size_t plain_count = sizeof plain / sizeof plain[0];
    for (size_t i = 0; i + plain_count < sizeof list / sizeof list[0]; i++)
        if (!(list[i] = kernel_at(i))) {
            memcpy(list + i, plain, sizeof plain);
            return list;
        }
    fputs("check-kernels: too many kernels\n", stderr);
    exit(1);
}

int main(int argc, char **argv)
{
    struct harness harness = {
        .kernels = all_kernels(), .fences = &page_fences, .cpu = cpu_detect(), .seed = 1, .only = -1, .problems = 24};
    bool planted_only = false;
    int found;
    while ((found = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (found == 'p') {
            planted_only = true;
        } else if (!harness_option(&harness, found, optarg)) {
            fputs(usage, found == 'h' ? stdout : stderr);
            return found == 'h' ? 0 : 2;
        }
    }
    harness.quiet = !planted_only;
    if (planted_only || (!harness.filter && harness.only < 0))
        planted_run(&harness);
    harness.quiet = false;
    if (!planted_only)
        harness_run(&harness);
    if (!planted_only && !harness.filter && harness.only < 0)
        shapes_run(&harness);
    return harness_finish(&harness);
}
