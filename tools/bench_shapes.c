#include "tools/bench.h"
#include "tools/contest.h"
#include "tools/json.h"
#include "tools/problems/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_EACH 0.03
#define MOST_PROBLEMS 512
#define SLOW 0.5 /* of its neighbours' share */

struct shape_result {
    const char *group, *kind, *kernel;
    char name[80];
    double seconds, share;
    enum isa isa;
};

struct shapes {
    const struct tool *tool;
    struct kernel_facts facts;
    double peak_flops[ISA_AVX512 + 1], peak_bytes;
    struct shape_result results[MOST_PROBLEMS];
    int count;
};

/* Of a table from which some rows are gathered, only those count. */
static double moved_bytes(const struct problem *problem)
{
    if (problem->family != FAMILY_gather)
        return problem_bytes(problem);
    return (double)operand_bytes(&problem->inputs[1]) + 2 * (double)operand_bytes(&problem->outputs[0]);
}

/* Of what the multiply-adds and the memory of one core allow; above 1 where operands stay in a cache. What a kernel is
 * held to is the best set that may be used, whichever its own is. */
static double share_of_limit(const struct shapes *shapes, const struct problem *problem, double seconds)
{
    double arithmetic = kernel_flops(problem->family, problem->params) / shapes->peak_flops[isa_of(shapes->facts.cpu)];
    double memory = shapes->peak_bytes > 0 ? moved_bytes(problem) / shapes->peak_bytes : 0;
    return (arithmetic > memory ? arithmetic : memory) / seconds;
}

static bool measure_problem(struct shapes *shapes, const struct sweep_group *group, size_t index, struct region *region)
{
    struct problem problem;
    struct operands operands;
    static struct contest contest;
    struct shape_result *result = &shapes->results[shapes->count];
    const char *kind = sweep_make(group, index, &shapes->facts, region, &problem);
    struct kernel_facts facts = shapes->facts;
    facts.constant_inputs = problem_constants(&problem);
    const struct kernel *kernel = kernel_select(problem.family, problem.params, &facts);
    contest = (struct contest){.count = 0};
    if (!operands_make(&problem, 1, region, &operands) ||
        !contest_add(&contest, kernel, &problem, &facts, &operands, region))
        return false;
    contest_time(&contest, SECONDS_EACH); /* no kernel meets a fault here */
    *result = (struct shape_result){.group = group->name,
                                    .kind = kind,
                                    .kernel = kernel->name,
                                    .seconds = contest.contestants[0].seconds,
                                    .isa = isa_of(kernel->requires)};
    memcpy(result->name, problem.name, sizeof result->name);
    result->share = share_of_limit(shapes, &problem, result->seconds);
    shapes->count++;
    return true;
}

/* --- telling ------------------------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_share(const struct shape_result *results, int count)
{
    double shares[MOST_PROBLEMS];
    for (int i = 0; i < count; i++)
        shares[i] = results[i].share;
    qsort(shares, (size_t)count, sizeof *shares, compare_doubles);
    return shares[count / 2];
}

/* The geometric mean of a kind's shares. */
static double kind_share(const struct shape_result *results, int count, const char *kind)
{
    double sum = 0;
    int members = 0;
    for (int i = 0; i < count; i++)
        if (strcmp(results[i].kind, kind) == 0) {
            sum += log(results[i].share);
            members++;
        }
    return exp(sum / members);
}

static bool is_first_of_kind(const struct shape_result *results, int index)
{
    for (int i = 0; i < index; i++)
        if (strcmp(results[i].kind, results[index].kind) == 0)
            return false;
    return true;
}

static void tell_group(const struct shape_result *results, int count)
{
    double median = median_share(results, count);
    printf("%s: %.0f %% of the limit in the median\n", results[0].group, 100 * median);
    for (int i = 0; i < count; i++)
        printf("  %-17s %-48s %-34s %10.1f us %6.1f %%%s\n", results[i].kind, results[i].name, results[i].kernel,
               results[i].seconds * 1e6, 100 * results[i].share, results[i].share < SLOW * median ? "  slow" : "");
    printf("  by kind:");
    for (int i = 0; i < count; i++)
        if (is_first_of_kind(results, i))
            printf("%s %s %.0f %%", i ? "," : "", results[i].kind, 100 * kind_share(results, count, results[i].kind));
    puts("\n");
}

static void tell_slow(const struct shape_result *results, int count, int *slow)
{
    double median = median_share(results, count);
    for (int i = 0; i < count; i++) {
        if (results[i].share >= SLOW * median)
            continue;
        if ((*slow)++ == 0)
            puts("below half of their neighbours:");
        printf("  %.2f  %s, %s: %s, %s\n", results[i].share / median, results[i].group, results[i].kind,
               results[i].name, results[i].kernel);
    }
}

/* How many of the results from one on are of its group. */
static int group_size(const struct shapes *shapes, int first)
{
    int count = 1;
    while (first + count < shapes->count && shapes->results[first + count].group == shapes->results[first].group)
        count++;
    return count;
}

static enum status write_json(const struct shapes *shapes, const char *path, struct error *error)
{
    FILE *file = text_open(path, error);
    if (!file)
        return error->status;
    fprintf(file, "{\"isa\":\"%s\",\"peak_gflop_per_s\":%.2f,\"peak_gb_per_s\":%.2f,\"shapes\":[",
            isa_name(isa_of(shapes->facts.cpu)), shapes->peak_flops[isa_of(shapes->facts.cpu)] * 1e-9,
            shapes->peak_bytes * 1e-9);
    for (int i = 0; i < shapes->count; i++) {
        const struct shape_result *r = &shapes->results[i];
        fprintf(file, "%s\n{\"group\":\"%s\",\"kind\":\"%s\",\"problem\":", i ? "," : "", r->group, r->kind);
        json_text(file, r->name);
        fprintf(file, ",\"kernel\":\"%s\",\"microseconds\":%.2f,\"share\":%.4f}", r->kernel, r->seconds * 1e6,
                r->share);
    }
    fputs("\n]}\n", file);
    return text_close(file, path, error);
}

static int measure_groups(struct shapes *shapes, const char *filter)
{
    const struct sweep_group *group;
    for (size_t g = 0; (group = sweep_group_at(g)); g++) {
        int first = shapes->count;
        for (size_t i = 0; i < group->count && shapes->count < MOST_PROBLEMS; i++) {
            struct region region;
            if (filter && !strstr(group->name, filter))
                continue;
            region_init(&region, &default_allocator);
            bool done = measure_problem(shapes, group, i, &region);
            region_free(&region);
            if (!done)
                return tool_failed(shapes->tool, "%s: out of memory", group->name);
        }
        if (shapes->count > first)
            tell_group(&shapes->results[first], shapes->count - first);
        fflush(stdout);
    }
    return EXIT_DONE;
}

int bench_shapes(const struct tool *tool, const struct kernels_request *request)
{
    static struct shapes shapes;
    struct error error = {0};
    int slow = 0;
    shapes = (struct shapes){.tool = tool, .facts = {.threads = 1}};
    if (!requested_cpu(tool, request, &shapes.facts.cpu))
        return EXIT_FAILED;
    for (int isa = ISA_REFERENCE; isa <= (int)isa_of(shapes.facts.cpu); isa++)
        shapes.peak_flops[isa] = measure_peak_flops((enum isa)isa);
    shapes.peak_bytes = measure_peak_bytes();
    printf("one core, %s: %.1f GFLOP/s, %.1f GB/s\n\n", isa_name(isa_of(shapes.facts.cpu)),
           shapes.peak_flops[isa_of(shapes.facts.cpu)] * 1e-9, shapes.peak_bytes * 1e-9);
    int status = measure_groups(&shapes, request->filter);
    if (status != EXIT_DONE)
        return status;
    if (shapes.count == 0)
        return tool_failed(tool, "no group's name has '%s' in it", request->filter);
    for (int i = 0; i < shapes.count; i += group_size(&shapes, i))
        tell_slow(&shapes.results[i], group_size(&shapes, i), &slow);
    printf("%d of %d below half of their neighbours\n", slow, shapes.count);
    if (request->json && write_json(&shapes, request->json, &error) != STATUS_OK)
        return tool_failed(tool, "%s", error.text);
    return EXIT_DONE;
}
