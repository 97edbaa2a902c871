#include "tools/bench.h"
#include "tools/contest.h"
#include "tools/problems/sweep.h"

#include <stdio.h>
#include <string.h>

#define SECONDS_EACH 0.03
#define MARGIN 1.05 /* what one measurement of a kernel may differ from the next */

struct choice {
    const struct tool *tool;
    const struct kernels_request *request;
    struct kernel_facts facts;
    int contests, wrong;
    double chosen_seconds, least_seconds, worst;
    char worst_name[80];
};

static void tell(struct choice *choice, const struct problem *problem, const char *source,
                 const struct contest *contest, int winner)
{
    const struct contestant *first = &contest->contestants[0], *best = &contest->contestants[winner];
    printf("%-7s %-46s", source, problem->name);
    printf(" %-34s %10.1f us, %-34s %.2f of it", first->prepared.kernel->name, first->seconds * 1e6,
           best->prepared.kernel->name, best->ratio);
    if (strcmp(source, "random") == 0)
        printf("  %s", problem->text);
    putchar('\n');
    fflush(stdout);
    choice->wrong++;
    if (1 / best->ratio > choice->worst) {
        choice->worst = 1 / best->ratio;
        memcpy(choice->worst_name, problem->name, sizeof choice->worst_name);
    }
}

/* Numbers that a network would have: denormal ones take their own time. */
static void tame(struct problem *problem)
{
    for (int i = 0; i < problem->input_count; i++)
        if (problem->inputs[i].fill == FILL_SPECIAL || problem->inputs[i].fill == FILL_EXTREME)
            problem->inputs[i].fill = FILL_NUMBERS;
}

static bool hold_contest(struct choice *choice, struct problem *problem, const char *source, struct region *region)
{
    static struct contest contest;
    struct operands operands;
    struct kernel_facts facts = choice->facts;
    facts.constant_inputs = problem_constants(problem);
    tame(problem);
    contest = (struct contest){.count = 0};
    if (!operands_make(problem, 1, region, &operands) || !contest_add_all(&contest, problem, &facts, &operands, region))
        return false;
    if (contest.count < 2 || !contest_time(&contest, SECONDS_EACH))
        return true;
    int winner = contest_winner(&contest, MARGIN);
    choice->contests++;
    choice->chosen_seconds += contest.contestants[0].seconds;
    choice->least_seconds += contest.contestants[0].seconds * contest.contestants[winner].ratio;
    if (winner > 0)
        tell(choice, problem, source, &contest, winner);
    return true;
}

/* --- where problems come from -------------------------------------------------------------------------------- */

static bool wanted(const struct choice *choice, enum kernel_family family)
{
    const char *filter = choice->request->filter;
    return !filter || strstr(kernel_family_name(family), filter);
}

static bool try_listed(struct choice *choice)
{
    bool done = true;
    for (size_t i = 0; done && i < listed_problem_count(); i++) {
        struct problem problem;
        struct region region;
        region_init(&region, &default_allocator);
        listed_problem_make(i, &region, &problem);
        done = !wanted(choice, problem.family) || hold_contest(choice, &problem, "listed", &region);
        region_free(&region);
    }
    return done;
}

static bool try_sweep(struct choice *choice)
{
    const struct sweep_group *group;
    bool done = true;
    for (size_t g = 0; done && (group = sweep_group_at(g)); g++)
        for (size_t i = 0; done && i < group->count; i++) {
            struct problem problem;
            struct region region;
            region_init(&region, &default_allocator);
            sweep_make(group, i, &choice->facts, &region, &problem);
            done = !wanted(choice, problem.family) || hold_contest(choice, &problem, "shape", &region);
            region_free(&region);
        }
    return done;
}

static bool try_random(struct choice *choice)
{
    const struct family_problems *family;
    bool done = true;
    for (size_t f = 0; done && (family = family_problems_at(f)); f++)
        for (int i = 0; done && wanted(choice, family->family) && i < choice->request->random_problems; i++) {
            struct problem problem;
            struct region region;
            region_init(&region, &default_allocator);
            problem_make(family, 1, (uint64_t)i, &region, &problem);
            done = hold_contest(choice, &problem, "random", &region);
            region_free(&region);
        }
    return done;
}

int bench_choice(const struct tool *tool, const struct kernels_request *request)
{
    struct choice choice = {.tool = tool, .request = request, .facts = {.threads = 1}, .worst = 1};
    if (!requested_cpu(tool, request, &choice.facts.cpu))
        return EXIT_FAILED;
    if (!try_listed(&choice) || !try_sweep(&choice) || !try_random(&choice))
        return tool_failed(tool, "out of memory");
    if (choice.contests == 0)
        return tool_failed(tool, "no family with '%s' in its name has a choice", request->filter);
    printf("%d problems with a choice, %d wrong; time lost %.1f %%", choice.contests, choice.wrong,
           100 * (choice.chosen_seconds / choice.least_seconds - 1));
    if (choice.wrong)
        printf("; worst %.2f times as slow (%s)", choice.worst, choice.worst_name);
    putchar('\n');
    return EXIT_DONE;
}
