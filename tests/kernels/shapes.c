/* The problems of tools/problems/sweep.h are timed, not checked; here the kernels that are chosen for them, of each set
 * of instructions, run behind fences, so that it is known that their operands are as large as their parameters say. */
#include "tests/kernels/harness.h"
#include "tests/kernels/trial.h"
#include "tools/problems/sweep.h"

#include <stdio.h>

#define MOST_FLOPS 2e8 /* of the reference kernels, which take their time */

static void try_set(struct harness *harness, const struct sweep_group *group, size_t index, enum isa isa)
{
    struct kernel_facts facts = {.cpu = cpu_detect() & isa_bits(isa), .threads = 1};
    struct region region;
    struct problem problem;
    struct operands operands;
    char text[600];
    region_init(&region, &default_allocator);
    const char *kind = sweep_make(group, index, &facts, &region, &problem);
    const struct kernel *kernel = kernel_select(problem.family, problem.params, &facts);
    bool wanted = kernel->requires || kernel_flops(problem.family, problem.params) < MOST_FLOPS;
    if (wanted && operands_make(&problem, 1, &region, &operands)) {
        bool right = harness_survives(kernel, &problem, &operands, harness->fences, &region, text, sizeof text);
        harness->passed += right;
        harness->failed += !right;
        if (!right)
            printf("FAILED %s: %s, %s, %s: %s\n", kernel->name, group->name, kind, problem.name, text);
    }
    region_free(&region);
}

void shapes_run(struct harness *harness)
{
    const struct sweep_group *group;
    trial_watch();
    for (size_t g = 0; (group = sweep_group_at(g)); g++)
        for (size_t i = 0; i < group->count; i++)
            for (int isa = ISA_REFERENCE; isa <= (int)isa_of(cpu_detect()); isa++)
                try_set(harness, group, i, (enum isa)isa);
}
