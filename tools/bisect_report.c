/* What --bisect says: the first difference, what stands between it and the last equal values, and where NaN and
 * infinity came from. */
#include "graph/graph.h"
#include "tools/common.h"
#include "tools/run_bisect.h"

#include <stdlib.h>
#include <string.h>

static void print_node(const struct bisect *bisect, FILE *file, const char *name)
{
    const char *op = bisect_op(bisect, name);
    if (op)
        fprintf(file, "%s (%s)", name, op);
    else
        fputs(name, file);
}

/* "[0,3,1]"; "[]" for a scalar. A complex element has two numbers. */
static void print_place(FILE *file, const infer_tensor *tensor, int64_t place)
{
    int64_t at[INFER_MAX_RANK];
    bool complex = tensor->dtype == INFER_COMPLEX64 || tensor->dtype == INFER_COMPLEX128;
    int64_t left = complex ? place / 2 : place;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        at[i] = left % tensor->dims[i];
        left /= tensor->dims[i];
    }
    fputs("element [", file);
    for (int i = 0; i < tensor->rank; i++)
        fprintf(file, "%s%lld", i ? "," : "", (long long)at[i]);
    fputs(complex ? place % 2 ? "], imaginary part" : "], real part" : "]", file);
}

static void print_type(FILE *file, const infer_tensor *tensor)
{
    char text[200];
    fprintf(file, "%s %s", infer_dtype_name(tensor->dtype),
            shape_text(NULL, tensor->rank, tensor->dims, text, sizeof text));
}

/* --- what stands between ------------------------------------------------------------------------------------- */

/* Steps that lead to a value, back to values that were compared and are equal. */
struct between {
    const struct bisect *bisect;
    bool *steps;        /* by step of the run */
    const char **equal; /* names */
    size_t equal_count, equal_capacity;
    bool no_memory;
};

static void add_equal(struct between *between, const char *name)
{
    for (size_t i = 0; i < between->equal_count; i++)
        if (strcmp(between->equal[i], name) == 0)
            return;
    if (between->equal_count == between->equal_capacity) {
        size_t capacity = between->equal_capacity ? between->equal_capacity * 2 : 8;
        const char **larger = realloc(between->equal, capacity * sizeof *larger);
        if (!larger) {
            between->no_memory = true;
            return;
        }
        between->equal = larger;
        between->equal_capacity = capacity;
    }
    between->equal[between->equal_count++] = name;
}

static void follow_input(struct between *between, const struct watched_step *step, const infer_tensor *input)
{
    const struct watch *run = &between->bisect->run;
    size_t at = step->written_before, left = input->bytes;
    const struct watched_value *writer;
    while ((writer = watch_writer(run, input, &at, &left))) {
        const struct bisect_value *value = bisect_value(between->bisect, writer->name);
        if (value && value->compared && !value->differs)
            add_equal(between, value->name);
        else if (writer->step >= 0)
            between->steps[writer->step] = true;
    }
    if (left > 0 && watch_input(run, input))
        add_equal(between, watch_input(run, input));
}

static void follow_step(struct between *between, int index)
{
    const struct watch *run = &between->bisect->run;
    const struct watched_step *step = &run->steps[index];
    for (size_t k = 0; k < step->input_count; k++)
        follow_input(between, step, &step->inputs[k]);
    for (int i = 0; i < index; i++) /* a node of several steps is one */
        if (strcmp(run->steps[i].node, step->node) == 0)
            between->steps[i] = true;
}

/* A step reads what earlier ones wrote, so one pass backwards meets all of them. */
static void follow(struct between *between, int last)
{
    between->steps[last] = true;
    for (int i = last; i >= 0; i--)
        if (between->steps[i])
            follow_step(between, i);
}

static bool listed_before(const struct between *between, int step, const char *node)
{
    for (int i = 0; i < step; i++)
        for (size_t k = 0; between->steps[i] && k < between->bisect->run.steps[i].source_count; k++)
            if (strcmp(between->bisect->run.steps[i].sources[k], node) == 0)
                return true;
    return false;
}

static void print_between(const struct between *between, FILE *file, const char *name, int last)
{
    const struct watch *run = &between->bisect->run;
    const char *separator = ": ";
    fputs("  between   ", file);
    for (size_t i = 0; i < between->equal_count; i++)
        fprintf(file, "%s%s", i ? ", " : "", between->equal[i]);
    fprintf(file, "%s and %s",
            between->equal_count == 0   ? "constants"
            : between->equal_count == 1 ? ", the last equal value,"
                                        : ", the last equal values,",
            name);
    for (int i = 0; i <= last; i++) {
        for (size_t k = 0; between->steps[i] && k < run->steps[i].source_count; k++) {
            if (listed_before(between, i, run->steps[i].sources[k]))
                continue;
            fputs(separator, file);
            print_node(between->bisect, file, run->steps[i].sources[k]);
            separator = ", ";
        }
    }
    fputc('\n', file);
}

static enum status report_between(const struct bisect *bisect, const struct bisect_value *value, FILE *file,
                                  struct error *error)
{
    struct between between = {.bisect = bisect};
    if (value->step < 0)
        return STATUS_OK;
    between.steps = calloc(bisect->run.step_count, sizeof *between.steps);
    between.no_memory = !between.steps;
    if (between.steps)
        follow(&between, value->step);
    if (!between.no_memory)
        print_between(&between, file, value->name, value->step);
    free(between.equal);
    free(between.steps);
    return between.no_memory ? error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for the report") : STATUS_OK;
}

/* --- the difference ------------------------------------------------------------------------------------------ */

static void report_kernels(const struct bisect *bisect, const struct bisect_value *value, FILE *file)
{
    if (value->step >= 0)
        fprintf(file, "  kernel    %s, step %d of %s\n", bisect->run.steps[value->step].kernel, value->step,
                bisect->run_name);
    if (bisect->folder)
        fprintf(file, "  expected  from %s\n", bisect->folder);
    else if (value->expected_step >= 0)
        fprintf(file, "  expected  from %s, step %d of %s\n", bisect->expected.steps[value->expected_step].kernel,
                value->expected_step, bisect->expected_name);
}

static enum status report_difference(const struct bisect *bisect, const struct bisect_value *value, FILE *file,
                                     struct error *error)
{
    const struct difference *difference = &value->difference;
    fprintf(file, "first difference  %s, output of node %s (%s), ", value->name, value->node, value->op);
    print_type(file, &value->got);
    fputs("\n  ", file);
    if (same_tensor(&value->got, &value->expected)) {
        print_place(file, &value->got, difference->place);
        fprintf(file, ": %.9g, expected %.9g; absolute %.3g, relative %.3g\n", difference->got, difference->expected,
                difference->absolute, difference->relative);
    } else {
        fputs("expected  ", file);
        print_type(file, &value->expected);
        fputc('\n', file);
    }
    report_kernels(bisect, value, file);
    return report_between(bisect, value, file, error);
}

/* --- what was compared --------------------------------------------------------------------------------------- */

/* Whether a step of the other run that stands for one of the same nodes used the same kernel. */
static bool same_kernel(const struct bisect *bisect, const struct watched_step *step)
{
    for (size_t i = 0; i < bisect->expected.step_count; i++) {
        const struct watched_step *other = &bisect->expected.steps[i];
        if (strcmp(other->kernel, step->kernel) != 0)
            continue;
        for (size_t k = 0; k < step->source_count; k++)
            if (strcmp(step->sources[k], other->node) == 0)
                return true;
    }
    return false;
}

static void report_counts(const struct bisect *bisect, FILE *file)
{
    size_t compared = 0, differ = 0, gone = 0, unknown = 0, kernels = 0;
    for (size_t i = 0; i < bisect->value_count; i++) {
        const struct bisect_value *value = &bisect->values[i];
        compared += value->compared;
        differ += value->differs;
        gone += value->known && !value->shown;
        unknown += value->shown && !value->known;
    }
    for (size_t i = 0; i < bisect->run.step_count; i++)
        kernels += !same_kernel(bisect, &bisect->run.steps[i]);
    fprintf(file, "%zu values compared, %zu differ, %zu fused away or folded", compared, differ, gone);
    if (bisect->folder)
        fprintf(file, ", %zu without a file\n", unknown);
    else
        fprintf(file, "; %zu of %zu steps use another kernel than %s\n", kernels, bisect->run.step_count,
                bisect->expected_name);
}

/* --- NaN and infinity ---------------------------------------------------------------------------------------- */

static void report_sources(const struct bisect *bisect, const struct watched_step *step, FILE *file)
{
    if (step->source_count == 1 && strcmp(step->sources[0], step->node) == 0)
        return;
    for (size_t i = 0; i < step->source_count; i++) {
        fputs(i ? ", " : ", which stands for ", file);
        print_node(bisect, file, step->sources[i]);
    }
}

static void report_special(const struct bisect *bisect, const struct watch *watch, int kind, const char *program,
                           FILE *file)
{
    const struct special_source *source = &watch->first[kind];
    const struct watched_step *step = source->step >= 0 ? &watch->steps[source->step] : NULL;
    fprintf(file, "first %s  ", kind == SPECIAL_NAN ? "NaN     " : "infinity");
    print_place(file, &source->tensor, source->place);
    if (!step)
        fprintf(file, " of input %s", source->value);
    else if (source->from_outside)
        fprintf(file, " of a constant that node %s (%s) reads", step->node, step->op);
    else if (*source->value)
        fprintf(file, " of %s, output of node %s (%s)", source->value, step->node, step->op);
    else
        fprintf(file, " of what node %s (%s) makes", step->node, step->op);
    if (step)
        report_sources(bisect, step, file);
    fprintf(file, "; in %s\n", program);
}

/* Whether both runs name one place, with nothing that one of them has to add. */
static bool same_source(const struct bisect *bisect, int kind)
{
    const struct special_source *a = &bisect->expected.first[kind], *b = &bisect->run.first[kind];
    if (!a->found || !b->found || a->place != b->place || strcmp(a->value, b->value) != 0 ||
        (a->step < 0) != (b->step < 0))
        return false;
    if (a->step < 0)
        return true;
    const struct watched_step *ours = &bisect->run.steps[b->step];
    return strcmp(bisect->expected.steps[a->step].node, ours->node) == 0 && ours->source_count == 1;
}

/* The run that stands for the imported graph says it best, so it comes first. */
static void report_specials(const struct bisect *bisect, FILE *file)
{
    for (int kind = 0; kind < 2; kind++) {
        if (same_source(bisect, kind)) {
            report_special(bisect, &bisect->run, kind, "both programs", file);
            continue;
        }
        if (bisect->expected.first[kind].found)
            report_special(bisect, &bisect->expected, kind, bisect->expected_name, file);
        if (bisect->run.first[kind].found)
            report_special(bisect, &bisect->run, kind, bisect->run_name, file);
    }
}

enum status bisect_report(const struct bisect *bisect, FILE *file, struct error *error)
{
    const struct bisect_value *first = bisect_first(bisect);
    enum status status = first ? report_difference(bisect, first, file, error) : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    report_counts(bisect, file);
    report_specials(bisect, file);
    return text_close(file, "-", error);
}
