/* Takes every kernel for CUDA to random problems, under the emulation: check-cuda-kernels [--seed N] [--problems N]
 * [--filter SUBSTRING]. */
#include "kernels/cublas.h"
#include "tests/cuda/emulation/emulation.h"
#include "tests/cuda/on_device.h"
#include "tests/kernels/harness.h"

#include <cuda_runtime_api.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
    "Usage: check-cuda-kernels [options]\n"
    "Each kernel for CUDA on random problems against the reference kernel, in the emulation of a GPU.\n" HARNESS_HELP
    "  --counters FILE      what each kernel did: conflicts of banks, sectors of memory\n";

static const struct option options[] = {
    HARNESS_OPTIONS, {"counters", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

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

/* A GPU that lacks it would trap. */
static bool has_sm80(void)
{
    int major = 0;
    return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess && major >= 8;
}

/* A line a kernel, of numbers with tabs between, for tests/cuda/check_counters.py. */
static bool write_counters(const char *path)
{
    static struct emulation_counters kernels[1000];
    size_t count = emulation_take_counters(kernels, sizeof kernels / sizeof kernels[0]);
    FILE *file = fopen(path, "w");
    for (size_t i = 0; file && i < count; i++) {
        const struct emulation_counters *c = &kernels[i];
        fprintf(file, "%" PRIxPTR, c->kernel);
        const uint64_t numbers[] = {c->launches,
                                    c->blocks,
                                    c->matrix_products,
                                    c->shared_cycles,
                                    c->shared_least_cycles,
                                    c->global_sectors,
                                    c->global_least_sectors};
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
            fprintf(file, "\t%" PRIu64, numbers[k]);
        putc('\n', file);
    }
    return file && fclose(file) == 0;
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
    const char *counters = NULL;
    int found;
    while ((found = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (found == 'c') {
            counters = optarg;
        } else if (!harness_option(&harness, found, optarg)) {
            fputs(usage, found == 'h' ? stdout : stderr);
            return found == 'h' ? 0 : 2;
        }
    }
    if (cublas_open(why, sizeof why))
        harness.cpu |= CUDA_CUBLAS;
    else
        puts(why);
    if (!has_sm80())
        harness.cpu &= ~(unsigned)CUDA_SM80;
    trial_run_on_device = run_on_device;
    emulation_abort_on_complaint(false);
    emulation_count(counters != NULL);
    harness_run(&harness);
    if (counters && !write_counters(counters)) {
        perror(counters);
        return 1;
    }
    return harness_finish(&harness);
}
