#include "tools/bench.h"
#include "tools/json.h"
#include "tools/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A kernel and its reference sum in different orders; the error grows with the magnitude of what they sum. */
#define TOLERANCE 1e-4
#define SECONDS_EACH 0.2

struct measured {
    const struct problem *problem;
    const struct kernel *kernel;
    double seconds; /* of one call on one thread; 0: only checked */
    double flops, bytes, blas_seconds;
};

struct bench {
    const struct tool *tool;
    const struct kernels_request *request;
    enum isa highest;
    double peak_flops[ISA_AVX512 + 1], peak_bytes;
    FILE *json;
    int measured_count, failed_count;
};

/* --- one problem --------------------------------------------------------------------------------------------- */

struct trial {
    const struct problem *problem;
    const struct kernel *kernel;
    struct kernel_plan plan;
    void *memory[MOST_OPERANDS];
    void *workspace, *shared;
    const void *packed[KERNEL_PACKS];
    struct fault fault;
    int64_t dims[MAX_RANK];
    bool backwards; /* the order of the tasks, which must not matter */
};

static void trial_run(void *user)
{
    struct trial *trial = user;
    int64_t *dims[MOST_OPERANDS] = {NULL};
    struct kernel_call call = {
        .inputs = (const void *const *)trial->memory,
        .outputs = trial->memory + trial->problem->input_count,
        .workspace = trial->workspace,
        .shared = trial->shared,
        .packed = trial->packed,
        .fault = &trial->fault,
        .output_dims = dims,
    };
    for (call.phase = 0; call.phase < trial->plan.phases; call.phase++) {
        int tasks = trial->plan.tasks[call.phase];
        for (int i = 0; i < tasks; i++)
            trial->kernel->run(&trial->plan, &call, trial->backwards ? tasks - 1 - i : i);
    }
}

/* The same numbers on every machine: between -1 and 1, from a linear congruential generator (Knuth, MMIX). */
static void fill(float *to, int64_t count, uint64_t seed)
{
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        to[i] = (float)(int32_t)(seed >> 32) * 0x1p-31f;
    }
}

static bool trial_start(struct trial *trial, const struct problem *problem, struct region *region)
{
    *trial = (struct trial){.problem = problem};
    for (int i = 0; i < problem->input_count + problem->output_count; i++) {
        if (problem->elements[i] == 0)
            continue;
        trial->memory[i] = region_buffer(region, (size_t)problem->elements[i] * sizeof(float));
        if (!trial->memory[i])
            return false;
        if (i < problem->input_count)
            fill(trial->memory[i], problem->elements[i], (uint64_t)i + 1);
    }
    return true;
}

/* Inputs that networks have as constants: what a kernel may pack. */
static struct kernel_facts facts_of(const struct problem *problem, enum isa isa)
{
    bool weights = problem->family == FAMILY_conv || problem->family == FAMILY_matmul;
    return (struct kernel_facts){
        .cpu = cpu_detect() & isa_bits(isa), .threads = 1, .constant_inputs = weights ? 1u << 1 : 0};
}

/* What the kernel wants besides its operands. */
static bool trial_kernel(struct trial *trial, const struct kernel *kernel, struct region *region)
{
    struct kernel_facts facts = facts_of(trial->problem, ISA_AVX512);
    trial->kernel = kernel;
    if (!kernel_make_plan(kernel, &trial->problem->params, &facts, region, &trial->plan))
        return false;
    trial->workspace = region_buffer(region, trial->plan.task_bytes + 1);
    trial->shared = region_buffer(region, trial->plan.shared_bytes + 1);
    for (int i = 0; i < trial->plan.pack_count; i++) {
        const struct kernel_pack *pack = &trial->plan.packs[i];
        void *packed = region_buffer(region, pack->bytes + 1);
        if (!packed)
            return false;
        for (int task = 0; task < pack->tasks; task++)
            kernel->pack(&trial->plan, i, trial->memory[pack->input], packed, task);
        trial->packed[i] = packed;
    }
    return trial->workspace && trial->shared;
}

/* Runs it over NaNs, so that what it leaves unwritten shows. */
static void run_over_nans(struct trial *trial, bool backwards)
{
    const struct problem *problem = trial->problem;
    for (int i = problem->input_count; i < problem->input_count + problem->output_count; i++)
        memset(trial->memory[i], 0xff, (size_t)problem->elements[i] * sizeof(float));
    trial->backwards = backwards;
    trial_run(trial);
    trial->backwards = false;
}

static double largest_error(const float *got, const float *expected, int64_t count)
{
    double error = 0, largest = 0;
    for (int64_t i = 0; i < count; i++) {
        double distance = fabs((double)got[i] - (double)expected[i]), size = fabs((double)expected[i]);
        error = distance <= error ? error : isnan(distance) ? INFINITY : distance;
        largest = size > largest ? size : largest;
    }
    return largest > 0 ? error / largest : error;
}

/* NULL where it is right. `expected` holds output 0 of the reference kernel. */
static const char *check(struct trial *trial, const float *expected, float *scratch)
{
    int output = trial->problem->input_count;
    int64_t count = trial->problem->elements[output];
    run_over_nans(trial, false);
    if (trial->fault.set)
        return trial->fault.text;
    if (!(largest_error(trial->memory[output], expected, count) <= TOLERANCE))
        return "differs from the reference kernel";
    memcpy(scratch, trial->memory[output], (size_t)count * sizeof(float));
    run_over_nans(trial, true);
    return memcmp(scratch, trial->memory[output], (size_t)count * sizeof(float)) == 0
               ? NULL
               : "gives other bits when its tasks run in another order";
}

/* --- telling ------------------------------------------------------------------------------------------------- */

static void tell_json(struct bench *bench, const struct measured *m)
{
    fprintf(bench->json, "%s\n{\"problem\":", bench->measured_count ? "," : "");
    json_text(bench->json, m->problem->name);
    json_key(bench->json, "kernel");
    json_text(bench->json, m->kernel->name);
    fprintf(bench->json, ",\"isa\":\"%s\"", isa_name(isa_of(m->kernel->requires)));
    if (m->seconds > 0) {
        fprintf(bench->json, ",\"microseconds\":%.2f,\"gb_per_s\":%.3f", m->seconds * 1e6,
                m->bytes / m->seconds * 1e-9);
        if (m->flops > 0)
            fprintf(bench->json, ",\"gflop_per_s\":%.3f,\"share_of_peak\":%.4f", m->flops / m->seconds * 1e-9,
                    m->flops / m->seconds / bench->peak_flops[isa_of(m->kernel->requires)]);
        else if (bench->peak_bytes > 0)
            fprintf(bench->json, ",\"share_of_peak\":%.4f", m->bytes / m->seconds / bench->peak_bytes);
        if (m->blas_seconds > 0)
            fprintf(bench->json, ",\"ratio_to_openblas\":%.3f", m->blas_seconds / m->seconds);
    }
    fputc('}', bench->json);
}

static void tell(struct bench *bench, const struct measured *m)
{
    if (bench->json)
        tell_json(bench, m);
    bench->measured_count++;
    if (bench->json == stdout)
        return;
    printf("%-36s %-28s", m->problem->name, m->kernel->name);
    if (m->seconds <= 0) {
        puts(" right");
        return;
    }
    bool counted = m->flops > 0;
    double rate = (counted ? m->flops : m->bytes) / m->seconds;
    double peak = counted ? bench->peak_flops[isa_of(m->kernel->requires)] : bench->peak_bytes;
    printf(" %10.1f us %9.2f %s", m->seconds * 1e6, rate * 1e-9, counted ? "GFLOP/s" : "GB/s   ");
    if (peak > 0)
        printf(" %6.1f %%", 100 * rate / peak);
    if (m->blas_seconds > 0)
        printf("  %.2f of OpenBLAS", m->blas_seconds / m->seconds);
    putchar('\n');
}

/* --- all of them --------------------------------------------------------------------------------------------- */

static void measure(struct bench *bench, struct trial *trial)
{
    const struct problem *problem = trial->problem;
    struct measured m = {.problem = problem, .kernel = trial->kernel};
    if (!bench->request->check_only) {
        m.seconds = median_seconds(trial_run, trial, SECONDS_EACH);
        m.flops = kernel_flops(problem->family, &problem->params);
        m.bytes = problem_bytes(problem);
        if (problem->family == FAMILY_matmul)
            m.blas_seconds =
                blas_seconds(&problem->params.matmul, trial->memory[0], trial->memory[1], trial->memory[3]);
    }
    tell(bench, &m);
}

/* Each kernel that fits, the best first, against the reference. False: no memory. */
static bool bench_problem(struct bench *bench, const struct problem *problem, struct region *region)
{
    struct trial trial;
    struct kernel_facts plain = facts_of(problem, ISA_REFERENCE), facts = facts_of(problem, bench->highest);
    const struct kernel *reference = kernel_select(problem->family, &problem->params, &plain), *kernel;
    size_t bytes = (size_t)problem->elements[problem->input_count] * sizeof(float);
    float *expected = region_buffer(region, bytes), *scratch = region_buffer(region, bytes);
    if (!expected || !scratch || !trial_start(&trial, problem, region) || !trial_kernel(&trial, reference, region))
        return false;
    run_over_nans(&trial, false);
    memcpy(expected, trial.memory[problem->input_count], bytes);
    for (size_t i = 0; (kernel = kernel_at(i)); i++) {
        if (!kernel_fits(kernel, problem->family, &problem->params, &facts))
            continue;
        if (!trial_kernel(&trial, kernel, region))
            return false;
        const char *wrong = check(&trial, expected, scratch);
        bench->failed_count += wrong != NULL;
        if (wrong)
            tool_failed(bench->tool, "%s: %s %s", problem->name, kernel->name, wrong);
        else
            measure(bench, &trial);
    }
    return true;
}

static void progress(size_t done, size_t count)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "%zu of %zu\r", done, count);
}

static int bench_all(struct bench *bench)
{
    for (size_t i = 0; i < problem_count(); i++) {
        struct problem problem;
        struct region region;
        problem_make(i, &problem);
        if (bench->request->filter && !strstr(problem.name, bench->request->filter))
            continue;
        progress(i, problem_count());
        region_init(&region, &default_allocator);
        bool done = bench_problem(bench, &problem, &region);
        region_free(&region);
        if (!done)
            return tool_failed(bench->tool, "%s: out of memory", problem.name);
    }
    return EXIT_DONE;
}

static void measure_peaks(struct bench *bench, bool show)
{
    for (int isa = ISA_REFERENCE; isa <= (int)isa_of(cpu_detect()); isa++)
        bench->peak_flops[isa] = measure_peak_flops((enum isa)isa);
    bench->peak_bytes = measure_peak_bytes();
    for (int isa = ISA_REFERENCE; show && isa <= (int)isa_of(cpu_detect()); isa++)
        printf("one core's peak, %-9s %8.1f GFLOP/s\n", isa_name((enum isa)isa), bench->peak_flops[isa] * 1e-9);
    if (show)
        printf("one core's copy of 128 MB %8.1f GB/s, read and written; what fits a cache passes 100 %%\n\n",
               bench->peak_bytes * 1e-9);
}

static int finish(struct bench *bench, int status)
{
    struct error error = {0};
    if (bench->json) {
        fputs("\n]}\n", bench->json);
        if (text_close(bench->json, bench->request->json, &error) != STATUS_OK)
            return tool_failed(bench->tool, "%s", error.text);
    }
    if (text_close(stdout, "-", &error) != STATUS_OK)
        return tool_failed(bench->tool, "%s", error.text);
    if (status != EXIT_DONE)
        return status;
    if (bench->measured_count + bench->failed_count == 0)
        return tool_failed(bench->tool, "no problem's name has '%s' in it", bench->request->filter);
    return bench->failed_count ? EXIT_FAILED : EXIT_DONE;
}

int bench_kernels(const struct tool *tool, const struct kernels_request *request)
{
    struct bench bench = {.tool = tool, .request = request, .highest = isa_of(cpu_detect())};
    struct error error = {0};
    if (request->isa != INFER_ISA_AUTO && (int)request->isa - INFER_ISA_REFERENCE > (int)bench.highest)
        return tool_failed(tool, "this CPU has no %s; the best it has is %s", isa_text(request->isa),
                           isa_name(bench.highest));
    if (request->isa != INFER_ISA_AUTO)
        bench.highest = (enum isa)(request->isa - INFER_ISA_REFERENCE);
    bench.json = request->json ? text_open(request->json, &error) : NULL;
    if (error.status != STATUS_OK)
        return tool_failed(tool, "%s", error.text);
    if (!request->check_only)
        measure_peaks(&bench, bench.json != stdout);
    if (bench.json)
        fprintf(bench.json, "{\"isa\":\"%s\",\"peak_gflop_per_s\":%.2f,\"peak_gb_per_s\":%.2f,\"kernels\":[",
                isa_name(bench.highest), bench.peak_flops[bench.highest] * 1e-9, bench.peak_bytes * 1e-9);
    return finish(&bench, bench_all(&bench));
}
