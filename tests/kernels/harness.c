/* All kernels on random problems of their families. */
#include "tests/kernels/harness.h"

#include "kernels/convert.h"
#include "tests/kernels/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What has been done with a kernel so far. */
struct tally {
    const struct kernel *kernel;
    int problems, several; /* of those, the ones that gave it several tasks */
    bool failed;
};

#define MOST_KERNELS 64     /* of a family */
#define MOST_DEFINED 1000   /* elements of an output that are computed by definition */
#define MOST_OPERATIONS 1e6 /* that it takes */

struct family_run {
    struct harness *harness;
    const struct family_problems *family;
    struct tally tallies[MOST_KERNELS];
    int count, wanted;
    unsigned rounding; /* of the kernels whose turn it is: bits of CUDA_TF32, CUDA_HALF and CUDA_BF16 */
    int64_t problems, runs, compared, open;
};

static void report(struct family_run *run, const char *kernel, const struct problem *problem, uint64_t index,
                   const char *text)
{
    run->harness->failed++;
    snprintf(run->harness->last, sizeof run->harness->last, "%s", text);
    if (run->harness->silent)
        return;
    printf("FAILED %s: %s\n    %s\n    again: --seed %llu --filter %s --problem %llu\n", kernel, text, problem->text,
           (unsigned long long)run->harness->seed, kernel, (unsigned long long)index);
}

static void no_memory(void)
{
    fputs("check-kernels: out of memory\n", stderr);
    exit(1);
}

static unsigned rounding_of(const struct kernel *kernel)
{
    return kernel->requires & (CUDA_TF32 | CUDA_HALF | CUDA_BF16);
}

static bool any_needs(const struct family_run *run, const struct problem *problem)
{
    struct kernel_facts facts = {.cpu = run->harness->cpu, .threads = 1, .constant_inputs = problem_constants(problem)};
    for (int i = 0; i < run->count; i++)
        if (run->tallies[i].problems < run->wanted && !run->tallies[i].failed &&
            rounding_of(run->tallies[i].kernel) == run->rounding &&
            kernel_fits(run->tallies[i].kernel, problem->family, problem->params, &facts))
            return true;
    return false;
}

/* What kernels have made of a problem so far. */
struct findings {
    const struct kernel *kernels[MOST_KERNELS];
    struct finding list[MOST_KERNELS];
    int count;
};

static bool agrees_with_twins(const struct problem *problem, const struct findings *findings, struct finding *last)
{
    const struct kernel *kernel = findings->kernels[findings->count - 1];
    for (int i = 0; i + 1 < findings->count; i++) {
        const char *different = !kernels_are_twins(findings->kernels[i], kernel)
                                    ? NULL
                                    : finding_difference(problem, &findings->list[i], last);
        if (!different)
            continue;
        snprintf(last->text, sizeof last->text, "%s has other bits than that of %s", different,
                 findings->kernels[i]->name);
        return false;
    }
    return true;
}

static void try_kernels(struct family_run *run, const struct expectation *expectation, struct region *region,
                        uint64_t index)
{
    const struct problem *problem = expectation->problem;
    struct kernel_facts facts = {.cpu = run->harness->cpu, .threads = 1, .constant_inputs = problem_constants(problem)};
    struct findings *findings = region_allocate(region, sizeof *findings);
    if (!findings)
        no_memory();
    for (int i = 0; i < run->count; i++) {
        struct tally *tally = &run->tallies[i];
        struct finding *finding = &findings->list[findings->count];
        if (tally->problems >= run->wanted || tally->failed || rounding_of(tally->kernel) != run->rounding ||
            !kernel_fits(tally->kernel, problem->family, problem->params, &facts))
            continue;
        findings->kernels[findings->count++] = tally->kernel;
        bool right = harness_try(tally->kernel, expectation, run->harness->fences, index, region, finding) &&
                     agrees_with_twins(problem, findings, finding);
        tally->problems++;
        tally->several += finding->most_tasks > 1;
        tally->failed = !right;
        run->runs += finding->runs;
        run->compared += finding->compared;
        run->open += finding->open;
        if (right)
            run->harness->passed++;
        else
            report(run, tally->kernel->name, problem, index, finding->text);
    }
}

static void check_element(const struct definition *define, const struct expectation *e, int output, int64_t index,
                          struct verdict *verdict)
{
    int64_t at[STRIDED_AXES];
    strided_indices(&e->plain.outputs[output].at, index, at);
    expectation_check_oracle(e, output, index, define->element(&e->plain, e->operands, output, at), verdict);
}

/* All elements, or the first, the last and some between. */
static void check_elements(const struct definition *define, const struct expectation *e, int output,
                           struct verdict *verdict)
{
    int64_t count = strided_count(&e->plain.outputs[output].at);
    double cost = define->cost ? define->cost(&e->plain) : 1;
    int64_t most = MOST_OPERATIONS / cost > MOST_DEFINED ? MOST_DEFINED : 20 + (int64_t)(MOST_OPERATIONS / cost);
    struct random random = {(uint64_t)count};
    if (count > most) {
        check_element(define, e, output, 0, verdict);
        check_element(define, e, output, count - 1, verdict);
    }
    for (int64_t i = 0; i < count && i < most && !verdict->wrong; i++)
        check_element(define, e, output, count > most ? random_below(&random, count) : i, verdict);
}

static void check_whole(const struct definition *define, const struct expectation *e, struct region *region,
                        struct verdict *verdict)
{
    number *values[MOST_OUTPUTS] = {NULL};
    for (int i = 0; i < e->plain.output_count; i++) {
        size_t count = e->plain.outputs[i].absent ? 0 : (size_t)strided_count(&e->plain.outputs[i].at);
        values[i] = count ? region_buffer(region, count * sizeof(number)) : NULL;
    }
    struct operands sized = {{NULL}, {NULL}, {{0}}};
    for (int i = 0; i < e->plain.output_count; i++)
        operands_set_dims(&e->plain, i, &sized);
    define->whole(&e->plain, e->operands, values, sized.dims);
    for (int i = 0; i < e->plain.output_count; i++) {
        const struct operand *output = &e->plain.outputs[i];
        int64_t count = output_count(output, e->results.dims[i]);
        if (output->sized_by_run && memcmp(sized.dims[i], e->results.dims[i], sizeof sized.dims[i]) != 0) {
            verdict->wrong = true;
            snprintf(verdict->text, sizeof verdict->text, "%s has %lld elements, not %lld", output->name,
                     (long long)count, (long long)output_count(output, sized.dims[i]));
        }
        for (int64_t k = 0; values[i] && k < count && !verdict->wrong; k++)
            expectation_check_oracle(e, i, k, values[i][k], verdict);
    }
}

/* The oracle's plain results against the definition. */
static bool oracle_is_right(struct family_run *run, const struct expectation *e, struct region *region, uint64_t index)
{
    const struct definition *define = definition_of(e->plain.family);
    struct verdict verdict = {.wrong = false};
    if (!define || e->fault.set || (define->covers && !define->covers(&e->plain)))
        return true;
    if (define->whole)
        check_whole(define, e, region, &verdict);
    for (int i = 0; define->element && i < e->plain.output_count && !verdict.wrong; i++)
        if (!e->plain.outputs[i].absent)
            check_elements(define, e, i, &verdict);
    if (verdict.wrong) {
        snprintf(verdict.text + strlen(verdict.text), sizeof verdict.text - strlen(verdict.text), " by definition");
        report(run, oracle_of(&e->plain)->name, e->problem, index, verdict.text);
    }
    return !verdict.wrong;
}

/* --- rounded factors ----------------------------------------------------------------------------------------- */

/* Of kernels that round the factors of products the oracle multiplies the rounded factors: what they make of the
 * factors themselves must be as exact as anything, so they round to nearest, and once. */

static float round_factor(float x, unsigned rounding)
{
    uint32_t bits;
    if (rounding == CUDA_HALF)
        return f16_to_f32(f32_to_f16(x));
    if (rounding == CUDA_BF16)
        return bf16_to_f32(f32_to_bf16(x));
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7f800000) != 0x7f800000)
        bits = (bits + 0x1000) & ~0x1fffu;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The operands with factors that are rounded; the others are shared. False: no memory. */
static bool round_factors(const struct problem *problem, unsigned rounding, const struct operands *operands,
                          struct region *region, struct operands *rounded)
{
    *rounded = *operands;
    for (int i = 0; i < problem->input_count && rounding; i++) {
        const struct operand *input = &problem->inputs[i];
        const float *numbers = operands->inputs[i];
        size_t bytes = operand_bytes(input);
        if (!input->factor || input->dtype != DTYPE_F32 || !bytes)
            continue;
        float *to = rounded->inputs[i] = region_buffer(region, bytes);
        if (!to)
            return false;
        for (size_t k = 0; k < bytes / sizeof(float); k++)
            to[k] = round_factor(numbers[k], rounding);
    }
    return true;
}

/* --- one problem --------------------------------------------------------------------------------------------- */

/* Whatever is expected is the oracle's work, so it goes behind the fences first. */
static bool oracle_survives(struct family_run *run, const struct problem *problem, const struct operands *operands,
                            struct region *region, uint64_t index)
{
    const struct kernel *oracle = oracle_of(problem);
    char text[400];
    if (harness_survives(oracle, problem, operands, run->harness->fences, region, text, sizeof text))
        return true;
    report(run, oracle->name, problem, index, text);
    return false;
}

static void try_rounded(struct family_run *run, uint64_t index)
{
    struct region region;
    struct problem problem, plain;
    struct operands operands, rounded;
    struct expectation expectation;
    uint64_t seed = random_for(run->harness->seed, index).state;
    region_init(&region, &default_allocator);
    problem_make(run->family, run->harness->seed, index, &region, &problem);
    if (any_needs(run, &problem)) {
        run->problems++;
        trial_set_subject(problem.text);
        problem_without_epilogue(&problem, &plain);
        if (!operands_make(&problem, seed, &region, &operands) ||
            !round_factors(&problem, run->rounding, &operands, &region, &rounded))
            no_memory();
        bool survives = oracle_survives(run, &plain, &rounded, &region, index);
        if (survives && !expectation_make(&problem, &rounded, &region, &expectation))
            no_memory();
        if (survives && oracle_is_right(run, &expectation, &region, index)) {
            expectation.operands = &operands; /* what kernels are given */
            try_kernels(run, &expectation, &region, index);
        }
    }
    region_free(&region);
}

/* Kernels that round alike share operands and what is expected. */
static void try_problem(struct family_run *run, uint64_t index)
{
    static const unsigned roundings[] = {0, CUDA_TF32, CUDA_HALF, CUDA_BF16};
    for (size_t i = 0; i < sizeof roundings / sizeof roundings[0]; i++) {
        run->rounding = roundings[i];
        try_rounded(run, index);
    }
}

static bool all_done(const struct family_run *run)
{
    for (int i = 0; i < run->count; i++)
        if (run->tallies[i].problems < run->wanted && !run->tallies[i].failed)
            return false;
    return true;
}

static void take_kernels(struct family_run *run)
{
    const struct harness *harness = run->harness;
    for (int i = 0; harness->kernels[i]; i++) {
        const struct kernel *kernel = harness->kernels[i];
        bool chosen = !harness->filter || strstr(kernel->name, harness->filter);
        if (kernel->family != run->family->family || !chosen || (kernel->requires & ~harness->cpu))
            continue;
        if (run->count == MOST_KERNELS) {
            fprintf(stderr, "check-kernels: a family has more than %d kernels\n", MOST_KERNELS);
            exit(1);
        }
        run->tallies[run->count++].kernel = kernel;
    }
}

static void finish_family(struct family_run *run)
{
    int64_t problems = 0, several = 0;
    for (int i = 0; i < run->count; i++) {
        problems += run->tallies[i].problems;
        several += run->tallies[i].several;
        if (run->tallies[i].problems > 0 || run->harness->only >= 0)
            continue;
        run->harness->failed++;
        printf("FAILED %s: no problem fits it\n", run->tallies[i].kernel->name);
    }
    if (!run->harness->quiet)
        printf("%-17s %2d kernels %4lld problems %5lld taken, %4lld in several tasks, %6lld runs, %9lld elements, "
               "%lld free\n",
               kernel_family_name(run->family->family), run->count, (long long)run->problems, (long long)problems,
               (long long)several, (long long)run->runs, (long long)run->compared, (long long)run->open);
    fflush(stdout);
}

static void run_family(struct harness *harness, const struct family_problems *family)
{
    int share = family->share ? family->share : 1;
    struct family_run run = {.harness = harness, .family = family, .wanted = harness->problems * share};
    take_kernels(&run);
    if (run.count == 0)
        return;
    if (harness->only >= 0)
        try_problem(&run, (uint64_t)harness->only);
    for (int index = 0; harness->only < 0 && index < 60 * run.wanted && !all_done(&run); index++)
        try_problem(&run, (uint64_t)index);
    finish_family(&run);
}

/* Kernels that this machine cannot run, and families that nobody makes problems for. */
static void tell_left_out(struct harness *harness)
{
    for (int i = 0; harness->kernels[i]; i++) {
        const struct kernel *kernel = harness->kernels[i];
        if (kernel->requires & ~harness->cpu)
            printf("%s is not run: this CPU lacks what it needs\n", kernel->name);
        if (family_problems_of(kernel->family))
            continue;
        harness->failed++;
        printf("FAILED %s: nobody makes problems of its family\n", kernel->name);
    }
}

void harness_run(struct harness *harness)
{
    const struct family_problems *family;
    trial_watch();
    tell_left_out(harness);
    for (size_t i = 0; (family = family_problems_at(i)); i++)
        run_family(harness, family);
}
