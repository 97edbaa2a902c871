#include "tests/random_graph_runs.h"

#include "formats/hash.h"
#include "formats/model_file.h"
#include "graph/passes/passes.h"
#include "runtime/session.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define THREADS 2

/* A graph whose numbers are out of proportion is refused. */
#define MOST_MEMORY ((size_t)64 << 20)

struct run {
    infer_session *session;
    infer_context *context;
    infer_tensor outputs[RANDOM_MOST_VALUES];
    infer_error error;
};

enum way { UNOPTIMISED, OPTIMISED, IN_STRIPS, CHANNELS_LAST, ON_REFERENCE };
static const char *const way_names[] = {"--no-optimize", "default", "--memory-saving", "channels-last"};

static void run_start(struct run *run, infer_model *model, const struct random_graph *random, enum way way)
{
    const struct graph *graph = random->graph;
    infer_session_options options = {.no_optimize = way == UNOPTIMISED,
                                     .memory_saving = way == IN_STRIPS,
                                     .isa = way == ON_REFERENCE ? INFER_ISA_REFERENCE : INFER_ISA_AUTO,
                                     .threads = THREADS,
                                     .memory_limit = MOST_MEMORY};
    infer_tensor inputs[2] = {{0}};
    for (int i = 0; i < 2; i++) {
        inputs[i] = (infer_tensor){.data = random->inputs[i], .dtype = INFER_FLOAT32, .rank = graph->inputs[i]->rank};
        memcpy(inputs[i].dims, graph->inputs[i]->dims, sizeof inputs[i].dims);
        inputs[i].bytes = infer_tensor_bytes(inputs[i].dtype, inputs[i].rank, inputs[i].dims);
    }
    if (infer_session_create(model, &options, &run->session, &run->error) != INFER_OK)
        return;
    run->session->channels_last = way == CHANNELS_LAST;
    if (infer_context_create(run->session, &run->context, &run->error) == INFER_OK)
        infer_run(run->context, inputs, 2, run->outputs, infer_model_output_count(model), &run->error);
}

static void run_end(struct run *run)
{
    infer_context_release(run->context);
    infer_session_release(run->session);
}

/* --- the model of a graph ---------------------------------------------------------------------------------- */

struct opened {
    struct region region;
    infer_model *model; /* NULL where it cannot be opened; then `text` says why */
    char text[600];
};

static void open_file_of(struct opened *opened, const struct graph *graph, const struct model_metadata *metadata,
                         struct error *error)
{
    infer_error opening = {0};
    void *file;
    size_t size;
    if (error->status != STATUS_OK || model_write(graph, metadata, &opened->region, &file, &size, error) != STATUS_OK ||
        infer_model_open_memory(file, size, "random", NULL, &opened->model, &opening) != INFER_OK)
        snprintf(opened->text, sizeof opened->text, "%s", *error->text ? error->text : opening.message);
}

static void open_model_of(struct opened *opened, const struct random_graph *random)
{
    struct error error = {0};
    *opened = (struct opened){.model = NULL};
    region_init(&opened->region, &default_allocator);
    open_file_of(opened, random->graph, NULL, &error);
}

/* The same from a file that was optimised when it was made. */
static void open_optimised(struct opened *opened, const struct random_graph *random, struct error *error)
{
    struct model_metadata metadata = {.name = "", .producer = "", .description = ""};
    const struct kernel_facts facts = {.threads = 1};
    const struct evaluation plain = {.facts = &facts};
    *opened = (struct opened){.model = NULL};
    region_init(&opened->region, &default_allocator);
    struct graph *graph = graph_clone(random->graph, &opened->region);
    optimise_once(graph, evaluator_of(&plain), &metadata.passes, &metadata.pass_count, error);
    open_file_of(opened, graph, &metadata, error);
}

static void close_model(struct opened *opened)
{
    infer_model_release(opened->model);
    region_free(&opened->region);
}

/* --- what is compared with what -------------------------------------------------------------------------- */

/* The graph without passes, all of whose values are its outputs. */
struct reference {
    struct run run;
    int outputs[RANDOM_MOST_VALUES]; /* of the run, by output of the graph */
    bool wild[RANDOM_MOST_VALUES];   /* by output of the graph: made of numbers that are not tame */
};

/* Past this, or not finite, only the kind of number is compared. */
#define HUGE_MAGNITUDE 1e6

static bool is_tame(float x)
{
    return fabs((double)x) < HUGE_MAGNITUDE;
}

static bool all_tame(const infer_tensor *tensor)
{
    const float *x = tensor->data;
    for (size_t i = 0; tensor->dtype == INFER_FLOAT32 && i < tensor->bytes / sizeof *x; i++)
        if (!is_tame(x[i]))
            return false;
    return true;
}

/* The graph with all that its nodes make as outputs; by value id, *index is where. NULL: no memory, or too many. */
static struct graph *with_all_outputs(const struct graph *graph, struct region *region, int **index)
{
    struct graph *all = graph_clone(graph, region);
    struct value *outputs[RANDOM_MOST_VALUES];
    int count = 0;
    *index = region_array(region, (size_t)graph->value_count + 1, sizeof **index);
    if (!all || !*index)
        return NULL;
    for (int i = 0; i < graph->value_count; i++)
        (*index)[i] = -1;
    for (int i = 0; i < all->node_count; i++)
        for (int k = 0; k < all->nodes[i]->output_count; k++) {
            struct value *output = all->nodes[i]->outputs[k];
            if (!output || (*index)[output->id] >= 0)
                continue;
            if (count == RANDOM_MOST_VALUES)
                return NULL;
            (*index)[output->id] = count;
            outputs[count++] = output;
        }
    return graph_set_outputs(all, count, outputs) ? all : NULL;
}

/* Marks the outputs that are made, along whatever way, of numbers that are not tame. */
static void find_wild(struct reference *reference, const struct graph *graph, const int *index, bool *tainted)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = graph->nodes[i];
        bool wild = false;
        for (int k = 0; k < node->input_count; k++) {
            const struct value *input = node->inputs[k];
            if (input && !input->data && index[input->id] >= 0)
                wild = wild || tainted[input->id] || !all_tame(&reference->run.outputs[index[input->id]]);
        }
        for (int k = 0; k < node->output_count; k++)
            if (node->outputs[k])
                tainted[node->outputs[k]->id] = wild;
    }
    for (int i = 0; i < graph->output_count; i++) {
        reference->outputs[i] = index[graph->outputs[i]->id];
        reference->wild[i] = tainted[graph->outputs[i]->id];
    }
}

/* False where it makes no model; then `text` says why. */
static bool reference_start(struct reference *reference, const struct random_graph *random, char *text, size_t bytes)
{
    struct opened opened = {.model = NULL};
    struct error error = {0};
    int *index;
    region_init(&opened.region, &default_allocator);
    const struct graph *all = with_all_outputs(random->graph, &opened.region, &index);
    bool *tainted = region_array(&opened.region, (size_t)random->graph->value_count + 1, sizeof *tainted);
    if (all && tainted)
        open_file_of(&opened, all, NULL, &error);
    bool is_open = opened.model != NULL;
    snprintf(text, bytes, "%s", opened.text);
    if (is_open)
        run_start(&reference->run, opened.model, random, UNOPTIMISED);
    if (is_open && reference->run.error.status == INFER_OK)
        find_wild(reference, random->graph, index, tainted);
    close_model(&opened);
    return is_open;
}

/* --- comparing ------------------------------------------------------------------------------------------- */

static const char *compare_output(const infer_tensor *a, const infer_tensor *b, bool wild, const char *name, char *text,
                                  size_t bytes)
{
    if (a->rank != b->rank || a->dtype != b->dtype ||
        memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) != 0) {
        snprintf(text, bytes, "%s has another shape or type", name);
        return text;
    }
    const float *x = a->data, *y = b->data;
    double largest = 1;
    size_t count = wild || a->dtype != INFER_FLOAT32 ? 0 : a->bytes / sizeof *x;
    for (size_t i = 0; i < count; i++)
        if (is_tame(y[i]) && fabs((double)y[i]) > largest)
            largest = fabs((double)y[i]);
    for (size_t i = 0; i < count; i++) {
        bool near = is_tame(x[i]) && is_tame(y[i]) ? fabs((double)x[i] - (double)y[i]) <= 1e-4 * largest
                                                   : !is_tame(x[i]) && !is_tame(y[i]);
        if (near)
            continue;
        snprintf(text, bytes, "%s[%zu] is %.9g with passes and %.9g without", name, i, (double)x[i], (double)y[i]);
        return text;
    }
    return "";
}

static const char *compare_runs(const struct run *with, const struct reference *without,
                                const struct random_graph *random, char *text, size_t bytes)
{
    const struct graph *graph = random->graph;
    infer_status expected = without->run.error.status;
    /* Passes drop what nobody reads, and with it what is wrong there. */
    if (random->damaged && expected != INFER_OK)
        return "";
    if (with->error.status != expected) {
        snprintf(text, bytes, "with passes: %s; without: %s", with->error.message, without->run.error.message);
        return text;
    }
    for (int i = 0; i < graph->output_count && expected == INFER_OK; i++) {
        if (without->outputs[i] < 0) /* an input, handed through */
            continue;
        const char *difference = compare_output(&with->outputs[i], &without->run.outputs[without->outputs[i]],
                                                without->wild[i], graph->outputs[i]->name, text, bytes);
        if (*difference)
            return difference;
    }
    return "";
}

static const char *compare_ways(infer_model *model, const struct random_graph *random,
                                const struct reference *reference, char *text, size_t bytes)
{
    const char *result = "";
    for (enum way way = OPTIMISED; way <= CHANNELS_LAST && !*result; way++) {
        struct run with = {0};
        run_start(&with, model, random, way);
        result = compare_runs(&with, reference, random, text, bytes);
        run_end(&with);
    }
    return result;
}

static const char *compare_bits(const struct run *stored, const struct run *loaded, const struct graph *graph,
                                char *text, size_t bytes)
{
    for (int i = 0; i < graph->output_count; i++)
        if (stored->outputs[i].bytes != loaded->outputs[i].bytes ||
            memcmp(stored->outputs[i].data, loaded->outputs[i].data, loaded->outputs[i].bytes) != 0) {
            snprintf(text, bytes, "%s has other bits from an optimised file", graph->outputs[i]->name);
            return text;
        }
    return "";
}

/* Passes that ran when a file was made give each bit that they give when it is opened, on the same kernels. */
static const char *compare_stored(const struct random_graph *random, infer_model *model, char *text, size_t bytes)
{
    struct opened opened;
    struct error error = {0};
    struct run loaded = {0}, stored = {0};
    const char *result = text;
    run_start(&loaded, model, random, ON_REFERENCE);
    open_optimised(&opened, random, &error);
    stored.error.status = (infer_status)error.status;
    if (opened.model)
        run_start(&stored, opened.model, random, ON_REFERENCE);
    if (random->damaged && loaded.error.status != INFER_OK)
        result = "";
    else if (stored.error.status != loaded.error.status)
        snprintf(text, bytes, "from an optimised file: %s%s; else: %s", opened.text, stored.error.message,
                 loaded.error.message);
    else
        result = loaded.error.status == INFER_OK ? compare_bits(&stored, &loaded, random->graph, text, bytes) : "";
    run_end(&loaded);
    run_end(&stored);
    close_model(&opened);
    return result;
}

const char *random_graph_compare(const struct random_graph *random, char *text, size_t bytes)
{
    struct opened opened;
    struct reference reference = {.run = {0}};
    const char *result = text;
    open_model_of(&opened, random);
    snprintf(text, bytes, "%s", opened.text);
    if (!opened.model)
        result = random->damaged ? "" : text;
    else if (reference_start(&reference, random, text, bytes))
        result = compare_ways(opened.model, random, &reference, text, bytes);
    if (opened.model && !*result)
        result = compare_stored(random, opened.model, text, bytes);
    run_end(&reference.run);
    close_model(&opened);
    return result;
}

/* --- hashing ------------------------------------------------------------------------------------------------- */

static void print_hash(const char *label, enum way way, int output, const infer_tensor *tensor, FILE *file)
{
    fprintf(file, "%s\t%s\t%d\t%d\t%s\t", label, way_names[way], THREADS, output, infer_dtype_name(tensor->dtype));
    for (int i = 0; i < tensor->rank; i++)
        fprintf(file, "%s%" PRId64, i ? "x" : "", tensor->dims[i]);
    fprintf(file, "%s\t%016" PRIx64 "\n", tensor->rank ? "" : "scalar", xxh64(tensor->data, tensor->bytes, 0));
}

static void hash_run(const struct random_graph *random, infer_model *model, enum way way, const char *label, FILE *file)
{
    struct run run = {0};
    run_start(&run, model, random, way);
    if (run.error.status != INFER_OK)
        fprintf(file, "%s\t%s\t%d\t-\t-\t-\t%s\n", label, way_names[way], THREADS, infer_status_name(run.error.status));
    for (int i = 0; i < random->graph->output_count && run.error.status == INFER_OK; i++)
        print_hash(label, way, i, &run.outputs[i], file);
    run_end(&run);
}

bool random_graph_hash(const struct random_graph *random, const char *label, FILE *file)
{
    struct opened opened;
    open_model_of(&opened, random);
    bool is_open = opened.model != NULL;
    for (enum way way = UNOPTIMISED; way <= CHANNELS_LAST && is_open; way++)
        hash_run(random, opened.model, way, label, file);
    close_model(&opened);
    return is_open;
}
