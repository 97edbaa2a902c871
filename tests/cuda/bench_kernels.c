/* Times kernels for CUDA on the problems of real networks and, where the library is there, cuBLAS on the same products.
 * bench-cuda-kernels [--filter SUBSTRING] [--seconds N] prints a JSON object. */
#include "kernels/cublas.h"
#include "tools/problems/expect.h"
#include "tools/problems/make.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS 10   /* between two events */
#define REPEATS 7 /* of which the median is told */

static void must(cudaError_t error, const char *call)
{
    if (error == cudaSuccess)
        return;
    fprintf(stderr, "bench-cuda-kernels: %s: %s\n", call, cudaGetErrorString(error));
    exit(1);
}
#define MUST(call, ...) must(call(__VA_ARGS__), #call)

/* --- a problem on the device ----------------------------------------------------------------------------------- */

struct on_device {
    struct prepared host;
    const void *inputs[MOST_INPUTS], *packed[KERNEL_PACKS];
    void *outputs[MOST_OUTPUTS];
    void *memory[MOST_INPUTS + MOST_OUTPUTS + KERNEL_PACKS + 3];
    int memory_count;
    struct kernel_call call;
    struct fault fault;
};

static void *allocate_on_device(struct on_device *d, const void *content, size_t bytes)
{
    void *memory;
    MUST(cudaMalloc, &memory, bytes ? bytes : 1);
    if (content && bytes)
        MUST(cudaMemcpy, memory, content, bytes, cudaMemcpyHostToDevice);
    d->memory[d->memory_count++] = memory;
    return memory;
}

static void *take_operand(struct on_device *d, const struct operand *operand, const void *content)
{
    if (operand->absent)
        return NULL;
    return (char *)allocate_on_device(d, content, operand_bytes(operand)) + operand_pointer(operand);
}

static void take_problem(struct on_device *d, const struct problem *problem, const struct operands *operands,
                         cudaStream_t stream)
{
    const struct kernel_plan *plan = &d->host.plan;
    for (int i = 0; i < problem->input_count; i++)
        d->inputs[i] = take_operand(d, &problem->inputs[i], operands->inputs[i]);
    for (int i = 0; i < problem->output_count; i++)
        d->outputs[i] = take_operand(d, &problem->outputs[i], NULL);
    for (int i = 0; i < plan->pack_count; i++)
        d->packed[i] = allocate_on_device(d, d->host.packed[i], plan->packs[i].bytes);
    d->call = (struct kernel_call){
        .inputs = d->inputs,
        .outputs = d->outputs,
        .packed = d->packed,
        .workspace = allocate_on_device(d, NULL, plan->task_bytes),
        .shared = allocate_on_device(d, NULL, plan->shared_bytes),
        .fault = &d->fault,
        .stream = stream,
        .device_fault = allocate_on_device(d, &(struct device_fault){0}, sizeof(struct device_fault)),
    };
}

static void run(struct on_device *d)
{
    for (d->call.phase = 0; d->call.phase < d->host.plan.phases; d->call.phase++)
        d->host.kernel->run(&d->host.plan, &d->call, 0);
    if (d->fault.set) {
        fprintf(stderr, "bench-cuda-kernels: %s: %s\n", d->host.kernel->name, d->fault.text);
        exit(1);
    }
}

static int by_time(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Seconds of one run: the median of repeats, each of several runs in a row. */
static double seconds_of(void (*work)(void *), void *user, cudaStream_t stream)
{
    float times[REPEATS];
    cudaEvent_t first, last;
    MUST(cudaEventCreateWithFlags, &first, cudaEventDefault);
    MUST(cudaEventCreateWithFlags, &last, cudaEventDefault);
    work(user);
    for (int i = 0; i < REPEATS; i++) {
        MUST(cudaEventRecord, first, stream);
        for (int k = 0; k < RUNS; k++)
            work(user);
        MUST(cudaEventRecord, last, stream);
        MUST(cudaEventSynchronize, last);
        MUST(cudaEventElapsedTime, &times[i], first, last);
    }
    MUST(cudaEventDestroy, first);
    MUST(cudaEventDestroy, last);
    qsort(times, REPEATS, sizeof times[0], by_time);
    return times[REPEATS / 2] * 1e-3 / RUNS;
}

static void run_kernel(void *user)
{
    run(user);
}

/* --- cuBLAS ------------------------------------------------------------------------------------------------------ */

/* A product of cuBLAS' with what another kernel has for operands. */
struct cublas_call {
    const struct matmul_params *params;
    const struct on_device *on;
    enum cublas_compute compute;
};

static void run_cublas(void *user)
{
    const struct cublas_call *blas = user;
    const struct matmul_params *p = blas->params;
    const struct on_device *on = blas->on;
    int status = cublas_multiply(p, on->inputs[0], on->inputs[1], on->outputs[0], p->c.row,
                                 p->batch_rank ? p->c.batch[0] : 0, blas->compute, on->call.stream, NULL, 0);
    if (status != 0) {
        fprintf(stderr, "bench-cuda-kernels: cublasGemmStridedBatchedEx fails with status %d\n", status);
        exit(1);
    }
}

static double cublas_seconds(const struct problem *problem, const struct on_device *on)
{
    const struct matmul_params *p = problem->params;
    if (problem->family != FAMILY_matmul || p->epilogue || p->c.column != 1 || p->c.row < p->n ||
        on->host.plan.pack_count || !on->inputs[1] || !cublas_takes(p))
        return 0;
    unsigned needs = on->host.kernel->requires;
    struct cublas_call blas = {p, on, CUBLAS_COMPUTE_F32};
    if (needs & CUDA_HALF)
        blas.compute = CUBLAS_COMPUTE_F16;
    else if (needs & CUDA_BF16)
        blas.compute = CUBLAS_COMPUTE_BF16;
    else if (needs & CUDA_TF32)
        blas.compute = CUBLAS_COMPUTE_TF32;
    return seconds_of(run_cublas, &blas, on->call.stream);
}

/* --- all of them ---------------------------------------------------------------------------------------------------
 */

struct bench {
    const char *filter;
    struct kernel_facts facts;
    cudaStream_t stream;
    bool compares; /* cuBLAS is there */
    bool comma;
    double until; /* by the clock: what has not begun by then is left out */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void bench_kernel(struct bench *bench, const struct kernel *kernel, const struct problem *problem,
                         struct operands *operands, struct region *region)
{
    struct on_device d = {.memory_count = 0};
    d.host.kernel = kernel;
    if (!prepare(kernel, problem, &bench->facts, operands, region, &d.host)) {
        fputs("bench-cuda-kernels: out of memory\n", stderr);
        exit(1);
    }
    take_problem(&d, problem, operands, bench->stream);
    double seconds = seconds_of(run_kernel, &d, bench->stream), flops = kernel_flops(problem->family, problem->params);
    double blas = bench->compares ? cublas_seconds(problem, &d) : 0;
    printf("%s\n  {\"problem\":\"%s\",\"kernel\":\"%s\",\"microseconds\":%.2f", bench->comma ? "," : "", problem->name,
           kernel->name, seconds * 1e6);
    printf(",\"gflop_per_s\":%.1f,\"gb_per_s\":%.1f", flops / seconds * 1e-9, problem_bytes(problem) / seconds * 1e-9);
    if (blas > 0)
        printf(",\"ratio_to_cublas\":%.3f", blas / seconds);
    putchar('}');
    bench->comma = true;
    for (int i = 0; i < d.memory_count; i++)
        MUST(cudaFree, d.memory[i]);
}

static void bench_problem(struct bench *bench, const struct problem *problem, struct region *region)
{
    struct operands operands;
    const struct kernel *kernel;
    if ((bench->filter && !strstr(problem->name, bench->filter)) || now() > bench->until)
        return;
    if (!operands_make(problem, 1, region, &operands)) {
        fputs("bench-cuda-kernels: out of memory\n", stderr);
        exit(1);
    }
    for (size_t i = 0; (kernel = kernel_at(i)); i++)
        if (kernel_is_of_device(kernel) && kernel_fits(kernel, problem->family, problem->params, &bench->facts))
            bench_kernel(bench, kernel, problem, &operands, region);
}

/* What products are compared by. */
static void square_product(int64_t n, struct region *region, struct problem *problem)
{
    struct matmul_params *p = region_allocate(region, sizeof *p);
    if (!p)
        exit(1);
    *p = (struct matmul_params){.dtype = DTYPE_F32, .a_dtype = DTYPE_F32, .b_dtype = DTYPE_F32, .m = n, .n = n, .k = n};
    p->a = p->b = p->c = (struct matrix_strides){.row = n, .column = 1};
    *problem = (struct problem){
        .family = FAMILY_matmul, .params = p, .input_count = MATMUL_INPUTS, .output_count = 1, .plain_params = p};
    for (int i = 0; i < MATMUL_INPUTS; i++)
        problem->inputs[i] = (struct operand){.name = "-", .dtype = DTYPE_F32, .absent = i > 1, .low = -1, .high = 1};
    problem->outputs[0] = (struct operand){.name = "c", .dtype = DTYPE_F32};
    const int64_t dims[] = {n, n};
    strided_contiguous(&problem->inputs[0].at, 2, dims);
    strided_contiguous(&problem->inputs[1].at, 2, dims);
    strided_contiguous(&problem->outputs[0].at, 2, dims);
    snprintf(problem->name, sizeof problem->name, "product %lldx%lldx%lld", (long long)n, (long long)n, (long long)n);
}

static void bench_all(struct bench *bench)
{
    for (size_t i = 0; i < listed_problem_count() + 2; i++) {
        struct problem problem;
        struct region region;
        region_init(&region, &default_allocator);
        if (i < 2)
            square_product(i ? 1024 : 4096, &region, &problem);
        else
            listed_problem_make(i - 2, &region, &problem);
        bench_problem(bench, &problem, &region);
        region_free(&region);
    }
}

int main(int argc, char **argv)
{
    struct bench bench = {.until = now() + 120};
    struct cudaDeviceProp gpu;
    int count = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--filter") == 0)
            bench.filter = argv[i + 1];
        else if (strcmp(argv[i], "--seconds") == 0)
            bench.until = now() + atof(argv[i + 1]);
    }
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
        fputs("bench-cuda-kernels: there is no GPU here that CUDA can use\n", stderr);
        return 0;
    }
    MUST(cudaGetDeviceProperties, &gpu, 0);
    MUST(cudaStreamCreateWithFlags, &bench.stream, cudaStreamNonBlocking);
    bench.facts = (struct kernel_facts){
        .cpu = DEVICE_CUDA | CUDA_TF32 | CUDA_HALF | CUDA_BF16 | (gpu.major >= 8 ? CUDA_SM80 : 0), .threads = 1};
    char why[160];
    bench.compares = cublas_open(why, sizeof why);
    if (!bench.compares)
        fprintf(stderr, "bench-cuda-kernels: %s\n", why);
    printf("{\"gpu\":\"%s\",\"multiprocessors\":%d,\"cublas\":%s,\"kernels\":[", gpu.name, gpu.multiProcessorCount,
           bench.compares ? "true" : "false");
    bench_all(&bench);
    printf("\n]}\n");
    return 0;
}
