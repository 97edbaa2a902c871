/* Takes every kernel for CUDA to random problems, under the emulation: check-cuda-kernels [--seed N] [--problems N]
 * [--filter SUBSTRING]. */
#include "kernels/cublas.h"
#include "tests/cuda/emulation/emulation.h"
#include "tests/cuda/on_device.h"
#include "tests/kernels/harness.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "Usage: check-cuda-kernels [options]\n"
    "Each kernel for CUDA on random problems against the reference kernel, in the emulation of a GPU.\n" HARNESS_HELP
    "  --counters           what kernels did: conflicts of banks, sectors of memory\n";

static const struct option options[] = {
    HARNESS_OPTIONS, {"counters", no_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

static const struct kernel *const *device_kernels(void)
{
    static const struct kernel *list[256];
    const struct kernel *kernel;
    size_t count = 0;
    for (size_t i = 0; (kernel = kernel_at(i)); i++)
        if (kernel_is_of_device(kernel) && count + 1 < sizeof list / sizeof list[0])
            list[count++] = kernel;
    return list;
}

static void print_counters(void)
{
    struct emulation_counters c = emulation_take_counters();
    printf("%llu launches, %llu blocks, %llu threads, %llu products of tensor cores\n", (unsigned long long)c.launches,
           (unsigned long long)c.blocks, (unsigned long long)c.threads, (unsigned long long)c.matrix_products);
    printf("shared memory: %llu cycles, %llu without conflicts of banks\n", (unsigned long long)c.shared_cycles,
           (unsigned long long)c.shared_least_cycles);
    printf("device memory: %llu sectors of 32 bytes, %llu if all of their bytes were used\n",
           (unsigned long long)c.global_sectors, (unsigned long long)c.global_least_sectors);
}

int main(int argc, char **argv)
{
    struct harness harness = {.kernels = device_kernels(),
                              .fences = &page_fences,
                              .cpu = ~(unsigned)CUDA_CUBLAS,
                              .seed = 1,
                              .only = -1,
                              .problems = 24};
    char why[300];
    bool counters = false;
    int found;
    while ((found = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (found == 'c') {
            counters = true;
        } else if (!harness_option(&harness, found, optarg)) {
            fputs(usage, found == 'h' ? stdout : stderr);
            return found == 'h' ? 0 : 2;
        }
    }
    if (cublas_open(why, sizeof why))
        harness.cpu |= CUDA_CUBLAS;
    else
        puts(why);
    trial_run_on_device = run_on_device;
    emulation_abort_on_complaint(false);
    emulation_count(counters);
    harness_run(&harness);
    if (counters)
        print_counters();
    return harness_finish(&harness);
}
