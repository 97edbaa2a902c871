#include "tools/run_bisect.h"

#include "graph/op.h"
#include "runtime/model.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status no_memory(struct error *error)
{
    return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for the comparison");
}

/* --- names of the imported graph ------------------------------------------------------------------------------ */

static void count_names(const struct graph *graph, size_t *nodes, size_t *values)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = graph->nodes[i];
        for (int k = 0; k < node->attribute_count; k++)
            if (node->attributes[k].kind == ATTRIBUTE_GRAPH)
                count_names(node->attributes[k].graph, nodes, values);
        *nodes += 1;
        *values += (size_t)node->output_count;
    }
}

/* An If becomes the nodes of its branch, so these come first. */
static void collect_names(struct bisect *bisect, const struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = graph->nodes[i];
        for (int k = 0; k < node->attribute_count; k++)
            if (node->attributes[k].kind == ATTRIBUTE_GRAPH)
                collect_names(bisect, node->attributes[k].graph);
        bisect->nodes[bisect->node_count++] = node;
        for (int k = 0; k < node->output_count; k++) {
            struct bisect_value *value = &bisect->values[bisect->value_count];
            if (!node->outputs[k])
                continue;
            *value = (struct bisect_value){.name = node->outputs[k]->name,
                                           .node = node->name,
                                           .op = node->op->name,
                                           .expected_step = -1,
                                           .step = -1};
            bisect->by_name[bisect->value_count++] = value;
        }
    }
}

static int nodes_by_name(const void *a, const void *b)
{
    return strcmp((*(const struct node *const *)a)->name, (*(const struct node *const *)b)->name);
}

static int values_by_name(const void *a, const void *b)
{
    return strcmp((*(const struct bisect_value *const *)a)->name, (*(const struct bisect_value *const *)b)->name);
}

/* Two branches may use one name, of which a run meets one: either entry serves. */
static enum status learn_names(struct bisect *bisect, const struct graph *graph, struct error *error)
{
    size_t nodes = 0, values = 0;
    count_names(graph, &nodes, &values);
    bisect->nodes = region_array(&bisect->region, nodes + 1, sizeof *bisect->nodes);
    bisect->values = region_array(&bisect->region, values + 1, sizeof *bisect->values);
    bisect->by_name = region_array(&bisect->region, values + 1, sizeof *bisect->by_name);
    if (!bisect->nodes || !bisect->values || !bisect->by_name)
        return no_memory(error);
    collect_names(bisect, graph);
    qsort(bisect->nodes, bisect->node_count, sizeof *bisect->nodes, nodes_by_name);
    qsort(bisect->by_name, bisect->value_count, sizeof *bisect->by_name, values_by_name);
    return STATUS_OK;
}

const char *bisect_op(const struct bisect *bisect, const char *node)
{
    const struct node key = {.name = node}, *wanted = &key;
    const struct node *const *found =
        bsearch(&wanted, bisect->nodes, bisect->node_count, sizeof *bisect->nodes, nodes_by_name);
    return found ? (*found)->op->name : NULL;
}

static struct bisect_value *find_value(const struct bisect *bisect, const char *name)
{
    const struct bisect_value key = {.name = name}, *wanted = &key;
    struct bisect_value *const *found =
        bsearch(&wanted, bisect->by_name, bisect->value_count, sizeof *bisect->by_name, values_by_name);
    return found ? *found : NULL;
}

const struct bisect_value *bisect_value(const struct bisect *bisect, const char *name)
{
    return find_value(bisect, name);
}

/* --- start and end --------------------------------------------------------------------------------------------- */

static enum status check_folder(const char *folder, struct error *error)
{
    struct stat about;
    if (stat(folder, &about) == 0 && !S_ISDIR(about.st_mode))
        errno = ENOTDIR;
    else if (access(folder, R_OK | X_OK) == 0)
        return STATUS_OK;
    return error_set(error, STATUS_IO, "%s: cannot open: %s", folder, strerror(errno));
}

enum status bisect_start(struct bisect *bisect, const infer_model *model, const struct input_set *inputs,
                         const char *folder, double tolerance, bool plain, struct error *error)
{
    *bisect = (struct bisect){.folder = folder, .tolerance = tolerance};
    region_init(&bisect->region, &default_allocator);
    watch_start(&bisect->expected, model, inputs, true, NULL);
    watch_start(&bisect->run, model, inputs, plain, folder ? NULL : &bisect->expected);
    if (folder && check_folder(folder, error) != STATUS_OK)
        return error->status;
    return learn_names(bisect, model->graph, error);
}

void bisect_free(struct bisect *bisect)
{
    for (size_t i = 0; i < bisect->value_count; i++)
        free(bisect->values[i].expected.data);
    watch_free(&bisect->expected);
    watch_free(&bisect->run);
    if (bisect->region.allocator)
        region_free(&bisect->region);
    *bisect = (struct bisect){0};
}

/* --- the run that says what is expected ----------------------------------------------------------------------- */

static void keep_value(struct bisect *bisect, const char *name, const infer_tensor *tensor, int step)
{
    struct bisect_value *value = find_value(bisect, name);
    if (!value || value->known || bisect->error.status != STATUS_OK)
        return;
    void *copy = malloc(tensor->bytes ? tensor->bytes : 1);
    if (!copy) {
        error_set(&bisect->error, STATUS_OUT_OF_MEMORY, "out of memory for a copy of '%s', %s bytes", name,
                  grouped(tensor->bytes).text);
        return;
    }
    if (tensor->bytes)
        memcpy(copy, tensor->data, tensor->bytes);
    value->known = true;
    value->expected = *tensor;
    value->expected.data = copy;
    value->expected_step = step;
}

/* --- the run under test ------------------------------------------------------------------------------------------ */

/* Integers and truth values are equal, or they differ. */
static double tolerance_of(const struct bisect *bisect, infer_dtype dtype)
{
    bool whole = dtype_is_integer((enum dtype)dtype) || dtype == INFER_BOOL;
    return whole ? 0.0 : bisect->tolerance;
}

static void compare_with_copy(struct bisect *bisect, struct bisect_value *value, const infer_tensor *tensor)
{
    value->compared = true;
    if (same_tensor(tensor, &value->expected)) {
        compare_tensors(tensor, &value->expected, tolerance_of(bisect, tensor->dtype), &value->difference);
        value->differs = !value->difference.within;
    } else {
        value->differs = true;
    }
    free(value->expected.data);
    value->expected.data = NULL;
}

static bool has_file(const struct bisect *bisect, const char *name, char *path)
{
    struct error ignored = {0};
    return tensor_path(bisect->folder, name, path, &ignored) == STATUS_OK && access(path, F_OK) == 0;
}

static void compare_with_file(struct bisect *bisect, struct bisect_value *value, const infer_tensor *tensor)
{
    char path[PATH_MAX];
    if (!has_file(bisect, value->name, path))
        return;
    value->known = true;
    value->expected = *tensor; /* or it is an error */
    value->expected.data = NULL;
    value->compared = compare_tensor(path, tensor, tolerance_of(bisect, tensor->dtype), &value->difference,
                                     &bisect->error) == STATUS_OK;
    value->differs = value->compared && !value->difference.within;
}

static void test_value(struct bisect *bisect, const char *name, const infer_tensor *tensor, int step)
{
    struct bisect_value *value = find_value(bisect, name);
    if (!value || value->shown || bisect->error.status != STATUS_OK)
        return;
    value->shown = true;
    value->got = *tensor;
    value->got.data = NULL;
    value->step = step;
    if (bisect->folder)
        compare_with_file(bisect, value, tensor);
    else if (value->known)
        compare_with_copy(bisect, value, tensor);
}

/* --- observers --------------------------------------------------------------------------------------------------- */

static void expect_before(void *user, const infer_step *step)
{
    struct bisect *bisect = user;
    watch_before(&bisect->expected, step);
}

static void expect_after(void *user, const infer_step *step)
{
    struct bisect *bisect = user;
    watch_after(&bisect->expected, step);
}

static void expect_value(void *user, const char *name, const infer_tensor *tensor)
{
    struct bisect *bisect = user;
    watch_value(&bisect->expected, name, tensor);
    keep_value(bisect, name, tensor, (int)bisect->expected.step_count - 1);
}

static void test_before(void *user, const infer_step *step)
{
    struct bisect *bisect = user;
    watch_before(&bisect->run, step);
}

static void test_after(void *user, const infer_step *step)
{
    struct bisect *bisect = user;
    watch_after(&bisect->run, step);
}

static void show_value(void *user, const char *name, const infer_tensor *tensor)
{
    struct bisect *bisect = user;
    watch_value(&bisect->run, name, tensor);
    test_value(bisect, name, tensor, (int)bisect->run.step_count - 1);
}

infer_observer bisect_expect(struct bisect *bisect)
{
    return (infer_observer){.before = expect_before, .after = expect_after, .value = expect_value, .user = bisect};
}

infer_observer bisect_test(struct bisect *bisect)
{
    return (infer_observer){.before = test_before, .after = test_after, .value = show_value, .user = bisect};
}

/* --- after the runs ---------------------------------------------------------------------------------------------- */

static enum status finish(struct bisect *bisect, const struct watch *watch, const infer_tensor *outputs,
                          void (*take)(struct bisect *, const char *, const infer_tensor *, int), struct error *error)
{
    for (size_t i = 0; i < infer_model_output_count(watch->model); i++) {
        infer_value about;
        if (infer_model_output(watch->model, i, &about) == INFER_OK)
            take(bisect, about.name, &outputs[i], -1);
    }
    if (bisect->error.status != STATUS_OK)
        return error_set(error, bisect->error.status, "%s", bisect->error.text);
    return watch->no_memory ? no_memory(error) : STATUS_OK;
}

enum status bisect_expected(struct bisect *bisect, const infer_tensor *outputs, struct error *error)
{
    return finish(bisect, &bisect->expected, outputs, keep_value, error);
}

/* With a folder, what has a file but was not made is expected as well. */
static void find_other_files(struct bisect *bisect)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < bisect->value_count; i++)
        bisect->values[i].known = bisect->values[i].known || has_file(bisect, bisect->values[i].name, path);
}

enum status bisect_tested(struct bisect *bisect, const infer_tensor *outputs, struct error *error)
{
    enum status status = finish(bisect, &bisect->run, outputs, test_value, error);
    bool any = !bisect->folder;
    if (status != STATUS_OK || any)
        return status;
    for (size_t i = 0; i < bisect->value_count; i++)
        any = any || bisect->values[i].compared;
    if (!any)
        return error_set(error, STATUS_INVALID_ARGUMENT,
                         "%s: no file in it is named after a value of this run; see --dump", bisect->folder);
    find_other_files(bisect);
    return STATUS_OK;
}

const struct bisect_value *bisect_first(const struct bisect *bisect)
{
    for (size_t i = 0; i < bisect->value_count; i++)
        if (bisect->values[i].differs)
            return &bisect->values[i];
    return NULL;
}
