#include "kernels/conv.h"
#include "tools/bench.h"
#include "tools/json.h"
#include "tools/problems/expect.h"
#include "tools/report.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    double peak_flops[ISA_AVX512 + 1], peak_products[ISA_AVX512 + 1], peak_bytes;
    FILE *json;
    int measured_count, failed_count;
};

/* --- one problem --------------------------------------------------------------------------------------------- */

static void run_once(void *user)
{
    prepared_run(user);
}

/* Inputs that networks have as constants are what a kernel may pack. */
static struct kernel_facts facts_of(const struct problem *problem, enum isa isa)
{
    return (struct kernel_facts){
        .cpu = cpu_detect() & isa_bits(isa), .threads = 1, .constant_inputs = problem_constants(problem)};
}

/* Other threads may take the tasks in any order. */
static void run_backwards(struct prepared *prepared)
{
    struct kernel_call *call = &prepared->call;
    for (call->phase = 0; call->phase < prepared->plan.phases; call->phase++)
        for (call->round = 0; call->round < kernel_rounds(&prepared->plan, call->phase); call->round++)
            for (int task = prepared->plan.tasks[call->phase] - 1; task >= 0; task--)
                prepared->kernel->run(&prepared->plan, call, task);
}

static void fill_outputs(const struct problem *problem, struct operands *operands)
{
    for (int i = 0; i < problem->output_count; i++)
        if (operands->outputs[i])
            memset(operands->outputs[i], 0xff, operand_bytes(&problem->outputs[i]));
}

/* False where it is wrong; the verdict says how. */
static bool check(const struct expectation *expectation, struct prepared *prepared, struct operands *operands,
                  void *scratch, struct verdict *verdict)
{
    const struct problem *problem = expectation->problem;
    size_t bytes = operand_bytes(&problem->outputs[0]);
    fill_outputs(problem, operands);
    prepared_run(prepared);
    *verdict = (struct verdict){.wrong = prepared->fault.set};
    if (prepared->fault.set)
        memcpy(verdict->text, prepared->fault.text, sizeof prepared->fault.text);
    else
        expectation_check(expectation, prepared->kernel, operands, verdict);
    if (verdict->wrong)
        return false;
    memcpy(scratch, operands->outputs[0], bytes);
    fill_outputs(problem, operands);
    run_backwards(prepared);
    verdict->wrong = memcmp(scratch, operands->outputs[0], bytes) != 0;
    if (verdict->wrong)
        snprintf(verdict->text, sizeof verdict->text, "the bits depend on the order of the tasks");
    return !verdict->wrong;
}

/* What the CPU could do of a problem's additions and multiplications, with the instructions of the kernel's set. */
static double peak_of(const struct bench *bench, const struct measured *m)
{
    enum isa isa = isa_of(m->kernel->requires);
    const struct matmul_params *product = m->problem->params;
    const struct conv_params *conv = m->problem->params;
    bool narrow = (m->problem->family == FAMILY_matmul && matmul_is_narrow(product)) ||
                  (m->problem->family == FAMILY_conv && conv_is_narrow(conv));
    return narrow && isa > ISA_REFERENCE ? bench->peak_products[isa] : bench->peak_flops[isa];
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
                    m->flops / m->seconds / peak_of(bench, m));
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
    double peak = counted ? peak_of(bench, m) : bench->peak_bytes;
    printf(" %10.1f us %9.2f %s", m->seconds * 1e6, rate * 1e-9, counted ? "GFLOP/s" : "GB/s   ");
    if (peak > 0)
        printf(" %6.1f %%", 100 * rate / peak);
    if (m->blas_seconds > 0)
        printf("  %.2f of OpenBLAS", m->blas_seconds / m->seconds);
    putchar('\n');
}

/* --- all of them --------------------------------------------------------------------------------------------- */

static double measure_blas(const struct problem *problem, const struct operands *operands)
{
    const void *inputs[MOST_INPUTS];
    void *outputs[MOST_OUTPUTS];
    operands_point(problem, operands, inputs, outputs);
    const struct matmul_params *params = problem->params;
    return problem->family == FAMILY_matmul && params->dtype == DTYPE_F32 && !matmul_is_scaled(params)
               ? blas_seconds(problem->params, inputs[0], inputs[1], outputs[0])
               : 0;
}

static void measure(struct bench *bench, const struct problem *problem, const struct operands *operands,
                    struct prepared *prepared)
{
    struct measured m = {.problem = problem, .kernel = prepared->kernel};
    if (!bench->request->check_only) {
        m.seconds = median_seconds(run_once, prepared, SECONDS_EACH);
        m.flops = kernel_flops(problem->family, problem->params);
        m.bytes = problem_bytes(problem);
        m.blas_seconds = measure_blas(problem, operands);
    }
    tell(bench, &m);
}

/* Each kernel that fits, the best first, against what is expected. False: no memory. */
static bool bench_problem(struct bench *bench, const struct problem *problem, struct region *region)
{
    struct kernel_facts facts = facts_of(problem, bench->highest);
    struct expectation expectation;
    struct operands operands, got;
    struct prepared prepared;
    struct verdict verdict;
    const struct kernel *kernel;
    void *scratch = region_buffer(region, operand_bytes(&problem->outputs[0]));
    if (!scratch || !operands_make(problem, 1, region, &operands) || !operands_make(problem, 1, region, &got) ||
        !expectation_make(problem, &operands, region, &expectation))
        return false;
    for (size_t i = 0; (kernel = kernel_at(i)); i++) {
        if (!kernel_fits(kernel, problem->family, problem->params, &facts))
            continue;
        if (!prepare(kernel, problem, &facts, &got, region, &prepared))
            return false;
        bool right = check(&expectation, &prepared, &got, scratch, &verdict);
        bench->failed_count += !right;
        if (right)
            measure(bench, problem, &got, &prepared);
        else
            tool_failed(bench->tool, "%s: %s: %s", problem->name, kernel->name, verdict.text);
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
    size_t count = listed_problem_count();
    for (size_t i = 0; i < count; i++) {
        struct problem problem;
        struct region region;
        bool done = true;
        region_init(&region, &default_allocator);
        listed_problem_make(i, &region, &problem);
        if (!bench->request->filter || strstr(problem.name, bench->request->filter)) {
            progress(i, count);
            done = bench_problem(bench, &problem, &region);
        }
        region_free(&region);
        if (!done)
            return tool_failed(bench->tool, "%s: out of memory", problem.name);
    }
    return EXIT_DONE;
}

static void measure_peaks(struct bench *bench, bool show)
{
    for (int isa = ISA_REFERENCE; isa <= (int)isa_of(cpu_detect()); isa++) {
        bench->peak_flops[isa] = measure_peak_flops((enum isa)isa);
        bench->peak_products[isa] = measure_peak_products((enum isa)isa);
    }
    bench->peak_bytes = measure_peak_bytes();
    for (int isa = ISA_REFERENCE; show && isa <= (int)isa_of(cpu_detect()); isa++)
        printf("one core's peak, %-9s %8.1f GFLOP/s, %8.1f G/s with operands of 8 bits\n", isa_name((enum isa)isa),
               bench->peak_flops[isa] * 1e-9, bench->peak_products[isa] * 1e-9);
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

bool requested_cpu(const struct tool *tool, const struct kernels_request *request, unsigned *cpu)
{
    enum isa highest = isa_of(cpu_detect());
    *cpu = cpu_detect();
    if (request->isa == INFER_ISA_AUTO)
        return true;
    if ((int)request->isa - INFER_ISA_REFERENCE > (int)highest) {
        tool_failed(tool, "this CPU has no %s; the best it has is %s", isa_text(request->isa), isa_name(highest));
        return false;
    }
    *cpu &= isa_bits((enum isa)(request->isa - INFER_ISA_REFERENCE));
    return true;
}

int bench_kernels(const struct tool *tool, const struct kernels_request *request)
{
    struct bench bench = {.tool = tool, .request = request};
    struct error error = {0};
    unsigned cpu;
    if (!requested_cpu(tool, request, &cpu))
        return EXIT_FAILED;
    bench.highest = isa_of(cpu);
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
