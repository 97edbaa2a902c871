/* What epilogues are recognised to be: the operations of their forms, and which of these make bytes of integer sums;
 * and of forms that differ from those in one place, which are still taken for such. */
#include "formats/hash.h"
#include "graph/steps/step.h"
#include "tests/decisions.h"
#include "tests/suites.h"
#include "tools/problems/problem.h"

#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PROBLEMS 160 /* of a family */

static void add_bounds(FILE *file, const struct epilogue_bounds *bounds)
{
    fprintf(file, " [%g %g %d %d]", (double)bounds->low, (double)bounds->high, bounds->low_input, bounds->high_input);
}

static void add_requantisation(FILE *file, const struct epilogue_requantisation *r)
{
    fprintf(file, " =%s %d,%d,%d,%d %d,%d,%d,%d,%d,%d", r->hard_swish ? " swish" : "", r->factor, r->addend, r->gate,
            r->residual, r->residual_zero, r->residual_scale, r->second_factor, r->second_addend, r->divisor, r->zero);
    add_bounds(file, &r->first);
    add_bounds(file, &r->second);
}

static void add_operation(FILE *file, const struct epilogue_operation *o)
{
    fprintf(file, " %s%s%s", o->on_side ? "~" : "", o->reversed ? "\\" : "",
            pointwise_name((enum pointwise_opcode)o->opcode));
    if (o->input)
        fprintf(file, ":%d:%s:%" PRId64 ":%" PRId64, o->input, dtype_name((enum dtype)o->dtype), o->row, o->column);
}

static void add_form(FILE *file, const struct epilogue_form *form)
{
    fprintf(file, "%s>%s %" PRId64 ":%" PRId64 "/%" PRId64 ":%" PRId64, dtype_name(form->from), dtype_name(form->to),
            form->row, form->column, form->row_run, form->column_run);
    for (int i = 0; i < form->operation_count; i++)
        add_operation(file, &form->operations[i]);
    if (form->requantises)
        add_requantisation(file, &form->requantisation);
}

/* --- damage ---------------------------------------------------------------------------------------------- */

static void judge(FILE *verdicts, const struct epilogue_form *form)
{
    struct epilogue_requantisation to;
    memset(&to, 0, sizeof to);
    if (epilogue_requantises(form, &to))
        add_requantisation(verdicts, &to);
    else
        fputs(" no", verdicts);
}

static void damage_operation(FILE *verdicts, const struct epilogue_form *form, int at)
{
    static const float immediates[] = {-INFINITY, -1, -0.0f, 0.5f, 1, 6, INFINITY, NAN};
    static const int8_t inputs[] = {EPILOGUE_SIDE, 0, 1, 3};
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_I8, DTYPE_U8, DTYPE_I32};
    struct epilogue_form damaged = *form;
    struct epilogue_operation *o = &damaged.operations[at];
    const struct epilogue_operation was = *o;
#define TRY_WITH(change) (*o = was, (change), judge(verdicts, &damaged))
    for (int opcode = 0; opcode < POINTWISE_OPCODE_COUNT; opcode++)
        TRY_WITH(o->opcode = (uint8_t)opcode);
    for (size_t i = 0; i < sizeof immediates / sizeof *immediates; i++) {
        TRY_WITH(o->p = immediates[i]);
        TRY_WITH(o->q = immediates[i]);
    }
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        TRY_WITH(o->input = inputs[i]);
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        TRY_WITH(o->dtype = (uint8_t)dtypes[i]);
    TRY_WITH(o->on_side = !was.on_side);
    TRY_WITH(o->reversed = !was.reversed);
    TRY_WITH(o->row = !was.row);
    TRY_WITH(o->column = !was.column);
#undef TRY_WITH
}

/* Without the operation; and where it and the next have changed places. */
static void damage_order(FILE *verdicts, const struct epilogue_form *form, int at)
{
    struct epilogue_form damaged = *form;
    damaged.operation_count--;
    memmove(damaged.operations + at, damaged.operations + at + 1,
            (size_t)(damaged.operation_count - at) * sizeof *damaged.operations);
    judge(verdicts, &damaged);
    damaged = *form;
    if (at + 1 < form->operation_count) {
        damaged.operations[at] = form->operations[at + 1];
        damaged.operations[at + 1] = form->operations[at];
        judge(verdicts, &damaged);
    }
}

/* A hash of all verdicts. */
static void add_damaged(FILE *file, const struct epilogue_form *form)
{
    char *text;
    size_t bytes;
    FILE *verdicts = open_memstream(&text, &bytes);
    for (int i = 0; i < form->operation_count; i++) {
        damage_operation(verdicts, form, i);
        damage_order(verdicts, form, i);
    }
    static const enum dtype ends[] = {DTYPE_F32, DTYPE_I8, DTYPE_U8, DTYPE_I16, DTYPE_I32};
    struct epilogue_form damaged = *form;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        damaged.to = ends[i];
        damaged.from = form->from;
        judge(verdicts, &damaged);
        damaged.to = form->to;
        damaged.from = ends[i];
        judge(verdicts, &damaged);
    }
    fclose(verdicts);
    fprintf(file, " %08" PRIx32, (uint32_t)xxh64(text, bytes, 0));
    free(text);
}

/* --- problems -------------------------------------------------------------------------------------------- */

static void add_problem(FILE *file, const struct problem *problem, int number)
{
    struct step step = {.family = problem->family, .params = (void *)(uintptr_t)problem->params};
    struct epilogue epilogue;
    struct epilogue_form form;
    memset(&form, 0, sizeof form);
    if (!step_epilogue(&step, &epilogue))
        return;
    fprintf(file, "%s %d: ", kernel_family_name(problem->family), number);
    if (epilogue_recognise(&epilogue, &form)) {
        add_form(file, &form);
        if (form.requantises)
            add_damaged(file, &form);
    } else {
        fputs("none", file);
    }
    fputc('\n', file);
}

START_TEST(of_random_problems)
{
    static const enum kernel_family families[] = {FAMILY_conv, FAMILY_matmul, FAMILY_pool, FAMILY_reduce,
                                                  FAMILY_normalize};
    struct decisions decisions;
    decisions_begin(&decisions, "forms");
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (int i = 0; i < PROBLEMS; i++) {
            struct region region;
            struct problem problem;
            region_init(&region, &default_allocator);
            problem_make(family_problems_of(families[f]), 3, (uint64_t)i, &region, &problem);
            if (problem.epilogue)
                add_problem(decisions.file, &problem, i);
            region_free(&region);
        }
    decisions_end(&decisions);
}
END_TEST

Suite *decisions_forms_suite(void)
{
    Suite *suite = suite_create("decisions_forms");
    TCase *tests = tcase_create("decisions");
    tcase_add_test(tests, of_random_problems);
    suite_add_tcase(suite, tests);
    return suite;
}
