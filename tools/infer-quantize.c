/* infer-quantize MODEL OUT.bin --precision int8|fp16 */
#include "graph/passes/passes.h"
#include "graph/steps/step.h"
#include "runtime/model.h"
#include "tools/common.h"
#include "tools/quantize_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "Usage: infer-quantize MODEL OUT.bin --precision int8|fp16 [--calibrate FILE|DIR ...] [options]\n"
    "Makes a float32 model smaller, and with int8 faster: MODEL is a .bin or an .onnx, OUT.bin the result. '-' means\n"
    "stdin or stdout.\n"
    "\n"
    "  --precision int8|fp16   int8: weights and activations of convolutions and products, with scales that are found\n"
    "                          by running the model on samples; fp16: weights alone\n"
    "  --calibrate FILE|DIR    samples: FILE.npy of a model with one input, FILE.npz with an array for each input, or "
    "a\n"
    "                          folder of such; several may follow, and the option may be given more than once. Arrays\n"
    "                          may hold many samples along a first axis\n"
    "  --method auto|minmax|percentile|entropy|mse   how the range of an activation follows from what was seen; auto\n"
    "                          tries all and takes what is nearest float32 on the samples\n"
    "  --dynamic               int8 without samples: the scales of activations are found in each run. With samples "
    "what is\n"
    "                          slower so, here and now, stays float32\n"
    "  --weights-only int8|int4   weights alone, in int8 or in blocks of int4; --block N: of so many weights (32)\n"
    "  --full-range            the finest scales of weights: by a fifth to a third finer, but CPUs without VNNI "
    "multiply them at\n"
    "                          three quarters of the speed\n"
    "  --equalise              scale channels between layers such that activations and weights have like magnitudes\n"
    "  --max-error E           keep in float32 what is needed for a relative error of at most E of the outputs; needs\n"
    "                          samples, of which every fourth is held out for it\n"
    "  --keep NODE             keep this node in float32; may be given more than once\n"
    "  --report FILE           a row a layer, as CSV ('-': stdout): ranges, signal to noise in dB, precision, times\n"
    "  --help, --version\n"
    "\n"
    "Example: infer-quantize resnet50.bin resnet50-int8.bin --precision int8 --calibrate images/ --max-error 0.02\n"
    "Exit codes: 0 done, 1 the model could not be made, 2 wrong usage.\n";

static const struct option options[] = {{"precision", required_argument, NULL, 'p'},
                                        {"calibrate", required_argument, NULL, 'c'},
                                        {"method", required_argument, NULL, 'M'},
                                        {"dynamic", no_argument, NULL, 'd'},
                                        {"weights-only", required_argument, NULL, 'w'},
                                        {"block", required_argument, NULL, 'B'},
                                        {"full-range", no_argument, NULL, 'F'},
                                        {"equalise", no_argument, NULL, 'E'},
                                        {"max-error", required_argument, NULL, 'e'},
                                        {"keep", required_argument, NULL, 'k'},
                                        {"report", required_argument, NULL, 'r'},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, 'V'},
                                        {NULL, 0, NULL, 0}};

static const struct tool tool = {.name = "infer-quantize", .help = help, .options = options, .short_options = ":hV"};

#define HELD_OUT 4 /* every so many samples one is held out */

struct request {
    const char *from, *to, *report, *precision;
    enum quantize_form form;
    bool dynamic, weights_only, has_block, any_method, full_range, equalise;
    int bits;
    int64_t block;
    enum range_method method;
    double most_error; /* below 0: any */
    char **calibrate, **keep;
    int calibrate_count, keep_count;
};

/* --- the command line ------------------------------------------------------------------------------------ */

static void parse_number(struct request *request, int found, const char *text)
{
    char *end;
    if (found == 'B') {
        request->has_block = true;
        if (!parse_integer(text, 2, 1 << 20, &request->block))
            exit(tool_usage(&tool, "--block takes a number from 2 to 1048576, not '%s'", text));
        return;
    }
    request->most_error = strtod(text, &end);
    if (end == text || *end || !isfinite(request->most_error) || request->most_error < 0)
        exit(tool_usage(&tool, "--max-error takes a number such as 0.01, not '%s'", text));
}

static void parse_word(struct request *request, int found, const char *text)
{
    if (found == 'p') {
        request->precision = text;
        if (strcmp(text, "int8") != 0 && strcmp(text, "fp16") != 0)
            exit(tool_usage(&tool, "--precision takes int8 or fp16, not '%s'", text));
    } else if (found == 'M') {
        request->any_method = strcmp(text, "auto") == 0;
        if (!request->any_method && !range_method_from_name(text, &request->method))
            exit(tool_usage(&tool, "--method takes auto, minmax, percentile, entropy or mse, not '%s'", text));
    } else {
        request->weights_only = true;
        request->bits = strcmp(text, "int4") == 0 ? 4 : 8;
        if (strcmp(text, "int4") != 0 && strcmp(text, "int8") != 0)
            exit(tool_usage(&tool, "--weights-only takes int8 or int4, not '%s'", text));
    }
}

/* What goes with what. */
static void check_request(struct request *request)
{
    bool half = request->precision && strcmp(request->precision, "fp16") == 0;
    if (!request->precision && !request->dynamic && !request->weights_only)
        exit(tool_usage(&tool, "--precision is needed: int8 or fp16"));
    if (half && (request->dynamic || request->weights_only))
        exit(tool_usage(&tool, "--precision fp16 goes without --dynamic and --weights-only"));
    if (request->dynamic && request->weights_only)
        exit(tool_usage(&tool, "--dynamic goes without --weights-only"));
    if (request->has_block && !(request->weights_only && request->bits == 4))
        exit(tool_usage(&tool, "--block goes with --weights-only int4"));
    if (request->full_range && (half || request->weights_only))
        exit(tool_usage(&tool, "--full-range goes with --precision int8 and --dynamic"));
    request->form = half                    ? QUANTIZE_HALF
                    : request->dynamic      ? QUANTIZE_DYNAMIC
                    : request->weights_only ? QUANTIZE_WEIGHTS
                                            : QUANTIZE_STATIC;
    if (request->form == QUANTIZE_STATIC && request->calibrate_count == 0)
        exit(tool_usage(&tool, "--precision int8 needs --calibrate, or --dynamic or --weights-only"));
    if (request->equalise && request->form != QUANTIZE_STATIC)
        exit(tool_usage(&tool, "--equalise goes with --precision int8 --calibrate alone"));
    if (request->most_error >= 0 && request->calibrate_count == 0)
        exit(tool_usage(&tool, "--max-error needs samples: --calibrate"));
}

static void parse(struct request *request, int argc, char **argv)
{
    *request = (struct request){.bits = 8, .block = 32, .any_method = true, .most_error = -1};
    request->calibrate = calloc((size_t)argc + 1, sizeof *request->calibrate);
    request->keep = calloc((size_t)argc + 1, sizeof *request->keep);
    if (!request->calibrate || !request->keep)
        exit(tool_failed(&tool, "out of memory"));
    for (int found; (found = tool_option(&tool, argc, argv)) != -1;)
        if (found == 'c')
            request->calibrate[request->calibrate_count++] = optarg;
        else if (found == 'k')
            request->keep[request->keep_count++] = optarg;
        else if (found == 'r')
            request->report = optarg;
        else if (found == 'd')
            request->dynamic = true;
        else if (found == 'F')
            request->full_range = true;
        else if (found == 'E')
            request->equalise = true;
        else if (found == 'e' || found == 'B')
            parse_number(request, found, optarg);
        else
            parse_word(request, found, optarg);
    if (argc - optind < 2)
        exit(tool_usage(&tool, "two file names are needed, MODEL and OUT.bin"));
    request->from = argv[optind];
    request->to = argv[optind + 1];
    for (int i = optind + 2; i < argc; i++)
        request->calibrate[request->calibrate_count++] = argv[i];
    check_request(request);
}

/* --- what people see ------------------------------------------------------------------------------------- */

static void say(const char *text)
{
    fprintf(stderr, "%s: %s\n", tool.name, text);
}

static void show_progress(void)
{
    static int tries;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%s: %d models tried", tool.name, ++tries);
}

static void end_progress(void)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
}

static void warn_of_samples(const struct request *request, const struct study *study)
{
    const struct samples *samples = study->samples;
    if (!samples)
        return;
    if (samples->constant)
        say("warning: the samples hold one number throughout: ranges that follow from it fit nothing else");
    else if (samples->count == 1)
        say("warning: there is one sample: ranges fit it, and perhaps nothing else");
    if (request->most_error >= 0 && study->held == 0)
        say("warning: fewer than four samples: the error is measured on those that the ranges come from");
}

static void print_summary(FILE *file, const struct study *study, double relative, size_t before, size_t after)
{
    int chosen = 0, weights_only = 0;
    for (int i = 0; i < study->plan.count; i++) {
        const struct layer *layer = &study->plan.layers[i];
        chosen += layer->chosen;
        weights_only += layer->chosen && layer->weights_only && layer->input;
    }
    fprintf(file, "layers      %d of %d are made small", chosen, study->plan.count);
    fprintf(file, weights_only ? ", %d of them only their weights: integers would be slower here\n" : "\n",
            weights_only);
    if (before > 0 && after > 0)
        fprintf(file, "file        %zu bytes, %.1f %% of the weights' %zu\n", after,
                100.0 * (double)after / (double)before, before);
    if (study->plan.form == QUANTIZE_STATIC)
        fprintf(file, "ranges      by %s\n", range_method_name(study->method));
    if (relative >= 0)
        fprintf(file, "error       %.3g, relative to float32's outputs\n", relative);
    if (study->seconds_after > 0)
        fprintf(file, "time        %.3f ms, float32 %.3f ms\n", 1e3 * study->seconds_after,
                1e3 * study->seconds_before);
}

/* --- the graph ------------------------------------------------------------------------------------------- */

/* Passes that need no shapes have run, and every value has a name, by which a run is observed; names that were made up
 * for that begin so. */
#define MADE_UP "value:"

static void drop_made_up_names(struct graph *graph)
{
    for (int i = 0; i < graph->value_count; i++)
        if (strncmp(graph->values[i]->name, MADE_UP, sizeof MADE_UP - 1) == 0)
            graph->values[i]->name = "";
}

static enum status prepare(const infer_model *model, enum quantize_form form, struct region *region,
                           struct graph **graph, struct error *error)
{
    const struct kernel_facts facts = {.threads = 1};
    const struct evaluation plain = {.facts = &facts};
    const char *const *names;
    int count;
    *graph = graph_clone(model->graph, region);
    if (!*graph)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while preparing the model");
    enum status status = optimise_once(*graph, evaluator_of(&plain), &names, &count, error);
    if (status == STATUS_OK && form == QUANTIZE_STATIC)
        status = run_pass_alone(convolve_upsampling, *graph, evaluator_of(&plain), error);
    for (int i = 0; status == STATUS_OK && i < (*graph)->value_count; i++) {
        struct value *value = (*graph)->values[i];
        if (!*value->name && !value->data)
            value->name = region_format(region, MADE_UP "%d", i);
        if (!value->name)
            return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while preparing the model");
    }
    return status;
}

static bool stands_for(const struct layer *layer, const char *name)
{
    if (strcmp(layer->name, name) == 0)
        return true;
    for (int i = 0; layer->node && i < layer->node->source_count; i++)
        if (strcmp(layer->node->sources[i], name) == 0)
            return true;
    return false;
}

static enum status keep_nodes(const struct request *request, struct quantize_plan *plan, struct error *error)
{
    for (int k = 0; k < request->keep_count; k++) {
        bool found = false;
        for (int i = 0; i < plan->count; i++) {
            if (!stands_for(&plan->layers[i], request->keep[k]))
                continue;
            plan->layers[i].chosen = false;
            plan->layers[i].why = "--keep";
            found = true;
        }
        if (!found)
            return error_set(error, STATUS_INVALID_ARGUMENT,
                             "--keep '%s': no layer that would be made small has this name", request->keep[k]);
    }
    return STATUS_OK;
}

/* Runs make fast transforms of convolutions that are transforms, as long as their weights are what they were. Where
 * nothing is measured, nobody else would tell. */
static void keep_transforms(struct quantize_plan *plan)
{
    for (int i = 0; i < plan->count && plan->form == QUANTIZE_DYNAMIC; i++) {
        struct layer *layer = &plan->layers[i];
        if (layer->kind != LAYER_CONV || !is_fourier_basis(layer->weights, plan->region))
            continue;
        layer->chosen = layer->weights_only = false;
        layer->why = "it is a Fourier transform, which is faster than a convolution";
    }
}

static void warn_of_error(const struct request *request, double relative)
{
    char text[160];
    if (request->most_error < 0 || relative <= request->most_error)
        return;
    snprintf(text, sizeof text, "warning: the error is %.3g, %.3g more than was asked for; this is the best found",
             relative, relative - request->most_error);
    say(text);
}

static bool has_slow_layers(const struct study *study)
{
    for (int i = 0; i < study->plan.count; i++)
        if (study->plan.layers[i].chosen && study->plan.layers[i].weights_only && study->plan.layers[i].input)
            return study->samples != NULL;
    return false;
}

/* No model comes out slower than it was. Where it is measured in full, layers that lose by integers or spoil the model
 * stay as they are. */
static enum status decide(const struct request *request, struct study *study, double *relative, struct error *error)
{
    bool full = request->most_error >= 0 || request->report;
    bool on_integers = study->plan.form == QUANTIZE_STATIC || study->plan.form == QUANTIZE_DYNAMIC;
    enum status status = study->samples && on_integers ? study_speed(study, full, error) : STATUS_OK;
    if (!study->samples || !full || status != STATUS_OK)
        return status == STATUS_OK && has_slow_layers(study) ? study_times(study, error) : status;
    status =
        study_search(study, request->most_error >= 0 ? request->most_error : INFINITY, relative, show_progress, error);
    end_progress();
    if (status != STATUS_OK)
        return status;
    warn_of_error(request, *relative);
    if (request->report && study_layers(study, error) != STATUS_OK)
        return error->status;
    return study_times(study, error);
}

static enum status save(const struct request *request, struct study *study, double relative, size_t weights,
                        struct error *error)
{
    struct region region;
    struct graph *graph;
    size_t bytes = 0;
    region_init(&region, &default_allocator);
    enum status status = quantize_apply(&study->plan, &region, &graph, error);
    if (status == STATUS_OK)
        drop_made_up_names(graph);
    if (status == STATUS_OK)
        status = model_save(request->to, graph, &study->metadata, &default_allocator, error);
    struct stat info;
    if (status == STATUS_OK && strcmp(request->to, "-") != 0 && stat(request->to, &info) == 0)
        bytes = (size_t)info.st_size;
    if (status == STATUS_OK && request->report)
        status = report_write(study, request->report, error);
    bool apart = strcmp(request->to, "-") == 0 || (request->report && strcmp(request->report, "-") == 0);
    if (status == STATUS_OK)
        print_summary(apart ? stderr : stdout, study, relative, weights, bytes);
    region_free(&region);
    return status;
}

/* What calibration has seen is not so any more. */
static enum status equalise(struct study *study, struct graph *graph, struct error *error)
{
    int pairs;
    enum status status = quantize_equalise(&study->plan, graph, &pairs, error);
    if (status == STATUS_OK && pairs == 0)
        say("warning: no two layers have channels between them that could be scaled");
    return status == STATUS_OK && pairs > 0 ? study_calibrate(study, error) : status;
}

static enum status choose_ranges(const struct request *request, struct study *study, struct error *error)
{
    study->method = request->method;
    if (request->any_method)
        return study_choose_best(study, &study->method, error);
    study_choose(study, study->method);
    return STATUS_OK;
}

static enum status work(const struct request *request, const infer_model *model, struct region *region,
                        struct study *study, struct error *error)
{
    struct graph *graph;
    double relative = -1;
    enum status status = prepare(model, request->form, region, &graph, error);
    study->metadata = model->metadata;
    study->metadata.pass_count = study->metadata.pack_count = 0;
    study->plan = (struct quantize_plan){.graph = graph,
                                         .region = region,
                                         .form = request->form,
                                         .bits = request->bits,
                                         .block = request->block,
                                         .in_pairs = !request->full_range};
    if (status == STATUS_OK)
        status = quantize_find(&study->plan, error);
    if (status == STATUS_OK)
        status = keep_nodes(request, &study->plan, error);
    if (status == STATUS_OK)
        keep_transforms(&study->plan);
    if (status != STATUS_OK)
        return status;
    if (study->plan.count == 0)
        say("warning: the model has no layer that could be made small");
    bool measured = study->samples && (request->most_error >= 0 || request->report);
    study->held = measured && study->samples->count >= HELD_OUT ? HELD_OUT : 0;
    warn_of_samples(request, study);
    status = study_calibrate(study, error);
    if (status == STATUS_OK && request->equalise)
        status = equalise(study, graph, error);
    if (status == STATUS_OK && request->form == QUANTIZE_STATIC)
        status = choose_ranges(request, study, error);
    if (status == STATUS_OK)
        status = decide(request, study, &relative, error);
    return status == STATUS_OK ? save(request, study, relative, infer_model_weight_bytes(model), error) : status;
}

static int quantise(const struct request *request, const infer_model *model)
{
    struct study study = {.metadata = {.name = ""}};
    struct samples samples = {.loaded = -1};
    struct region region;
    struct error error = {0};
    region_init(&region, &default_allocator);
    enum status status = STATUS_OK;
    if (request->calibrate_count > 0) {
        status = samples_open(&samples, model, request->calibrate_count, request->calibrate, &error);
        study.samples = &samples;
    }
    if (status == STATUS_OK)
        status = work(request, model, &region, &study, &error);
    study_free(&study);
    samples_close(&samples);
    region_free(&region);
    return status == STATUS_OK ? EXIT_DONE : tool_failed(&tool, "%s", error.text);
}

int main(int argc, char **argv)
{
    static struct request request;
    struct model_storage storage;
    infer_model *model;
    infer_error error = {0};
    parse(&request, argc, argv);
    int result = open_model(request.from, NULL, &storage, &model, &error) == INFER_OK
                     ? quantise(&request, model)
                     : tool_model_failed(&tool, request.from, &error);
    infer_model_release(model);
    model_storage_free(&storage);
    free(request.calibrate);
    free(request.keep);
    return result;
}
