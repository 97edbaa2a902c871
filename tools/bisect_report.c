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
        fprintf(file, "%s (%s)", legible(name).text, op);
    else
        fputs(legible(name).text, file);
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
    const struct watch *watch;
    bool *steps;
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

static bool stop_at_equal(void *user, const struct watched_value *written)
{
    struct between *between = user;
    const struct bisect_value *value = bisect_value(between->bisect, written->name);
    bool equal = value && value->compared && !value->differs;
    if (equal)
        add_equal(between, value->name);
    return equal;
}

static bool stop_at_seen(void *user, const struct watched_value *written)
{
    (void)user;
    return written->known;
}

static void note_input(void *user, const char *input, const struct watched_step *reader)
{
    struct between *between = user;
    (void)reader;
    if (input)
        add_equal(between, input);
}

static bool listed_before(const struct between *between, size_t step, const char *node)
{
    for (size_t i = 0; i < step; i++)
        for (size_t k = 0; between->steps[i] && k < between->watch->steps[i].source_count; k++)
            if (strcmp(between->watch->steps[i].sources[k], node) == 0)
                return true;
    return false;
}

/* The nodes, but for `without`; the first after `separator`. Returns what to put before one more. */
static const char *print_nodes(const struct between *between, FILE *file, const char *separator, const char *without)
{
    const struct watch *watch = between->watch;
    for (size_t i = 0; i < watch->step_count; i++) {
        for (size_t k = 0; between->steps[i] && k < watch->steps[i].source_count; k++) {
            const char *node = watch->steps[i].sources[k];
            if (strcmp(node, without) == 0 || listed_before(between, i, node))
                continue;
            fputs(separator, file);
            print_node(between->bisect, file, node);
            separator = ", ";
        }
    }
    return separator;
}

static void print_equal(const struct between *between, FILE *file)
{
    fputs("  between   ", file);
    for (size_t i = 0; i < between->equal_count; i++)
        fprintf(file, "%s%s", i ? ", " : "", legible(between->equal[i]).text);
    fputs(between->equal_count == 0   ? "constants"
          : between->equal_count == 1 ? ", the last equal value,"
                                      : ", the last equal values,",
          file);
}

/* False: no memory. */
static bool between_start(struct between *between, const struct bisect *bisect, const struct watch *watch,
                          size_t written, bool (*stop)(void *user, const struct watched_value *value))
{
    struct tracer tracer = {.stop = stop, .outside = note_input, .user = between};
    *between = (struct between){.bisect = bisect, .watch = watch};
    between->steps = calloc(watch->step_count + 1, sizeof *between->steps);
    if (!between->steps)
        return false;
    watch_trace(watch, written, &tracer, between->steps);
    return !between->no_memory;
}

static void between_free(struct between *between)
{
    free(between->equal);
    free(between->steps);
}

static enum status no_memory(struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for the report");
}

static enum status report_between(const struct bisect *bisect, const struct bisect_value *value, FILE *file,
                                  struct error *error)
{
    struct between between;
    size_t written;
    if (!watch_find(&bisect->run, value->name, &written))
        return STATUS_OK;
    bool done = between_start(&between, bisect, &bisect->run, written, stop_at_equal);
    if (done) {
        print_equal(&between, file);
        fprintf(file, " and %s: ", legible(value->name).text);
        fprintf(file, "%s%s (%s)\n", print_nodes(&between, file, "", value->node), legible(value->node).text,
                value->op);
    }
    between_free(&between);
    return done ? STATUS_OK : no_memory(error);
}

/* --- the difference ------------------------------------------------------------------------------------------ */

static void report_kernels(const struct bisect *bisect, const struct bisect_value *value, FILE *file)
{
    if (value->step >= 0)
        fprintf(file, "  kernel    %s, step %d of %s\n", bisect->run.steps[value->step].kernel, value->step,
                bisect->run_name);
    if (bisect->folder)
        fprintf(file, "  expected  from %s\n", legible(bisect->folder).text);
    else if (value->expected_step >= 0)
        fprintf(file, "  expected  from %s, step %d of %s\n", bisect->expected.steps[value->expected_step].kernel,
                value->expected_step, bisect->expected_name);
}

static enum status report_difference(const struct bisect *bisect, const struct bisect_value *value, FILE *file,
                                     struct error *error)
{
    const struct difference *difference = &value->difference;
    fprintf(file, "first difference  %s, output of node %s (%s), ", legible(value->name).text,
            legible(value->node).text, value->op);
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

static void report_outside(const struct special_source *source, const struct watch *watch, FILE *file)
{
    if (source->step < 0)
        fprintf(file, " of input %s", legible(source->value).text);
    else
        fprintf(file, " of a constant that node %s (%s) reads", legible(watch->steps[source->step].node).text,
                watch->steps[source->step].op);
}

/* What lies between it and the values that were seen, where that is more than its own node. */
static bool report_made(const struct bisect *bisect, const struct special_source *source, const struct watch *watch,
                        FILE *file)
{
    const struct bisect_value *value = bisect_value(bisect, source->value);
    struct between between;
    fprintf(file, " of %s", legible(source->value).text);
    if (value)
        fprintf(file, ", output of node %s (%s)", legible(value->node).text, value->op);
    bool done = between_start(&between, bisect, watch, source->written, stop_at_seen);
    if (done)
        print_nodes(&between, file, ", with ", value ? value->node : "");
    between_free(&between);
    return done;
}

static enum status report_special(const struct bisect *bisect, const struct watch *watch, int kind, const char *program,
                                  FILE *file, struct error *error)
{
    const struct special_source *source = &watch->first[kind];
    bool done = true;
    if (!source->found)
        return STATUS_OK;
    fprintf(file, "first %s  ", kind == SPECIAL_NAN ? "NaN     " : "infinity");
    print_place(file, &source->tensor, source->place);
    if (source->from_outside)
        report_outside(source, watch, file);
    else
        done = report_made(bisect, source, watch, file);
    fprintf(file, "; in %s\n", program);
    return done ? STATUS_OK : no_memory(error);
}

/* Whether both runs name one value and place. */
static bool same_source(const struct bisect *bisect, int kind)
{
    const struct special_source *a = &bisect->expected.first[kind], *b = &bisect->run.first[kind];
    return a->found && b->found && a->place == b->place && strcmp(a->value, b->value) == 0;
}

/* The run that stands for the imported graph says it best, so it comes first. */
static enum status report_specials(const struct bisect *bisect, FILE *file, struct error *error)
{
    for (int kind = 0; kind < 2; kind++) {
        bool both = same_source(bisect, kind);
        enum status status = report_special(bisect, &bisect->expected, kind,
                                            both ? "both programs" : bisect->expected_name, file, error);
        if (status == STATUS_OK && !both)
            status = report_special(bisect, &bisect->run, kind, bisect->run_name, file, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status bisect_report(const struct bisect *bisect, FILE *file, struct error *error)
{
    const struct bisect_value *first = bisect_first(bisect);
    enum status status = first ? report_difference(bisect, first, file, error) : STATUS_OK;
    if (status == STATUS_OK) {
        report_counts(bisect, file);
        status = report_specials(bisect, file, error);
    }
    return status == STATUS_OK ? text_close(file, "-", error) : status;
}
