/* Which kernel problems get and what it plans for them: tasks, rounds, workspaces and packs. Random problems of every
 * family, those of real networks, and those of every kind of shape. No kernel runs. */
#include "formats/hash.h"
#include "tests/decisions.h"
#include "tests/suites.h"
#include "tools/problems/sweep.h"

#include <check.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define RANDOM_PROBLEMS 24 /* of a family */

struct text {
    char text[900];
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void append(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text->used += (size_t)vsnprintf(text->text + text->used, sizeof text->text - text->used, format, arguments);
    va_end(arguments);
    ck_assert_uint_lt(text->used, sizeof text->text);
}

static struct text describe_plan(const struct kernel *kernel, const struct kernel_plan *plan)
{
    struct text text = {.used = 0};
    append(&text, "%s ", kernel->name);
    for (int i = 0; i < plan->phases; i++)
        append(&text, "%s%d", i ? "," : "", plan->tasks[i]);
    if (plan->rounds)
        append(&text, "x%" PRId64, plan->rounds);
    append(&text, " w%zu+%zu", plan->task_bytes, plan->shared_bytes);
    for (int i = 0; i < plan->pack_count; i++) {
        const struct kernel_pack *pack = &plan->packs[i];
        append(&text, " p%d:%zu/%d:%" PRIu32 "%s:%08" PRIx32, pack->input, pack->bytes, pack->tasks, pack->form,
               pack->storable ? "s" : "", (uint32_t)xxh64(pack->geometry, sizeof pack->geometry, pack->form));
    }
    return text;
}

static struct text describe_choice(const struct problem *problem, const struct kernel_facts *facts)
{
    struct text text = {.text = "none"};
    struct region region;
    struct kernel_plan plan;
    const struct kernel *kernel = kernel_select(problem->family, problem->params, facts);
    region_init(&region, &default_allocator);
    if (kernel) {
        ck_assert(kernel_make_plan(kernel, problem->params, facts, &region, &plan));
        text = describe_plan(kernel, &plan);
    }
    region_free(&region);
    return text;
}

/* With one thread, with four, with four where memory is saved, and with three where nothing is constant; "=": as
 * before. */
static void add_choices(struct decisions *decisions, const char *label, const struct problem *problem,
                        struct kernel_facts facts)
{
    static const struct {
        int threads;
        bool saving, constants;
    } ways[] = {{1, false, true}, {4, false, true}, {4, true, true}, {3, false, false}};
    struct text before = {.used = 0};
    fprintf(decisions->file, "%s:", label);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        facts.threads = ways[i].threads;
        facts.memory_saving = ways[i].saving;
        facts.constant_inputs = ways[i].constants ? problem_constants(problem) : 0;
        struct text text = describe_choice(problem, &facts);
        fprintf(decisions->file, "%s%s", i ? " | " : " ", i && strcmp(text.text, before.text) == 0 ? "=" : text.text);
        before = text;
    }
    fputc('\n', decisions->file);
}

static bool has_vector_kernels(enum kernel_family family)
{
    for (const struct kernel *const *kernel = facts_of_16_lanes(1).kernels; *kernel; kernel++)
        if ((*kernel)->family == family)
            return !strstr((*kernel)->name, "_reference");
    return false;
}

static void add_random(struct decisions *decisions, const struct kernel_facts *facts)
{
    for (size_t f = 0; family_problems_at(f); f++) {
        int count = has_vector_kernels(family_problems_at(f)->family) ? RANDOM_PROBLEMS : 0;
        for (int i = 0; i < count; i++) {
            struct region region;
            struct problem problem;
            char label[80];
            region_init(&region, &default_allocator);
            problem_make(family_problems_at(f), 1, (uint64_t)i, &region, &problem);
            snprintf(label, sizeof label, "%s %d", kernel_family_name(problem.family), i);
            add_choices(decisions, label, &problem, *facts);
            region_free(&region);
        }
    }
}

static void add_listed(struct decisions *decisions, const struct kernel_facts *facts)
{
    for (size_t i = 0; i < listed_problem_count(); i++) {
        struct region region;
        struct problem problem;
        region_init(&region, &default_allocator);
        listed_problem_make(i, &region, &problem);
        add_choices(decisions, problem.name, &problem, *facts);
        region_free(&region);
    }
}

static void add_sweep(struct decisions *decisions, const struct kernel_facts *facts)
{
    for (size_t g = 0; sweep_group_at(g); g++)
        for (size_t i = 0; i < sweep_group_at(g)->count; i++) {
            struct region region;
            struct problem problem;
            char label[200];
            region_init(&region, &default_allocator);
            sweep_make(sweep_group_at(g), i, facts, &region, &problem);
            snprintf(label, sizeof label, "%s %s", sweep_group_at(g)->name, problem.name);
            add_choices(decisions, label, &problem, *facts);
            region_free(&region);
        }
}

START_TEST(vectors_of_16_lanes)
{
    const struct kernel_facts facts = facts_of_16_lanes(1);
    struct decisions decisions;
    decisions_begin(&decisions, "kernels_16_lanes");
    add_random(&decisions, &facts);
    add_listed(&decisions, &facts);
    add_sweep(&decisions, &facts);
    decisions_end(&decisions);
}
END_TEST

START_TEST(vectors_of_8_lanes)
{
    const struct kernel_facts facts = facts_of_8_lanes(1);
    struct decisions decisions;
    if (!have_8_lanes())
        return;
    decisions_begin(&decisions, "kernels_8_lanes");
    add_random(&decisions, &facts);
    decisions_end(&decisions);
}
END_TEST

/* Reference kernels, and what problems are said to take: kernel_flops and kernel_work. */
START_TEST(no_vectors)
{
    const struct kernel_facts facts = {.threads = 4};
    struct decisions decisions;
    decisions_begin(&decisions, "kernels_reference");
    for (size_t f = 0; family_problems_at(f); f++)
        for (int i = 0; i < RANDOM_PROBLEMS; i++) {
            struct region region;
            struct problem problem;
            region_init(&region, &default_allocator);
            problem_make(family_problems_at(f), 2, (uint64_t)i, &region, &problem);
            fprintf(decisions.file, "%s %d: %s %.10g %.10g\n", kernel_family_name(problem.family), i,
                    describe_choice(&problem, &facts).text, kernel_flops(problem.family, problem.params),
                    kernel_work(problem.family, problem.params));
            region_free(&region);
        }
    decisions_end(&decisions);
}
END_TEST

Suite *decisions_kernels_suite(void)
{
    Suite *suite = suite_create("decisions_kernels");
    TCase *tests = tcase_create("decisions");
    tcase_add_test(tests, vectors_of_16_lanes);
    tcase_add_test(tests, vectors_of_8_lanes);
    tcase_add_test(tests, no_vectors);
    suite_add_tcase(suite, tests);
    return suite;
}
