/* infer-convert MODEL.onnx MODEL.bin */
#include "formats/onnx/onnx_import.h"
#include "graph/passes/passes.h"
#include "graph/steps/step.h"
#include "runtime/compile/trial.h"
#include "tools/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: infer-convert MODEL.onnx MODEL.bin [options]\n"
    "Imports an ONNX model (any opset, external data too) into infer's own format.\n"
    "'-' as a name means stdin or stdout. A model with operators that infer does not run is refused, with the\n"
    "name of every one of them and of its nodes.\n"
    "\n"
    "  --set-dim NAME=N   fix the symbolic dimension NAME; may be given more than once\n"
    "  --elements NAME=N  a sequence that the model takes or gives has N tensors, which become inputs or outputs of "
    "their\n"
    "                     own, NAME[0], NAME[1], ...; NAME=none: an optional input is not there. May be given more "
    "than\n"
    "                     once\n"
    "  --optimize         run the passes that need no shapes now and write folded weights: opening the file then "
    "costs\n"
    "                     little more than reading it. Nodes and intermediates that are merged away have no name any\n"
    "                     more, but what stands for them knows the nodes' names\n"
    "  --memory-limit BYTES   refuse, before allocating, what needs more (suffixes K, M, G)\n"
    "  --help, --version\n"
    "\n"
    "Example: infer-convert resnet50.onnx resnet50.bin --set-dim batch=1\n"
    "Exit codes: 0 done, 1 the model could not be converted, 2 wrong usage.\n";

static const struct option options[] = {{"set-dim", required_argument, NULL, 'd'},
                                        {"elements", required_argument, NULL, 'e'},
                                        {"optimize", no_argument, NULL, 'O'},
                                        {"memory-limit", required_argument, NULL, 'm'},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, 'V'},
                                        {NULL, 0, NULL, 0}};

static const struct tool tool = {.name = "infer-convert", .help = help, .options = options, .short_options = ":hV"};

#define MOST_DIMENSIONS 64
#define MOST_SEQUENCES 64

struct request {
    struct onnx_dimension dimensions[MOST_DIMENSIONS];
    struct onnx_elements elements[MOST_SEQUENCES];
    struct onnx_import_options import;
    bool optimize;
    size_t memory_limit; /* 0: none */
    const char *from, *to;
};

static void add_dimension(struct request *request, char *text)
{
    char *equals = strchr(text, '=');
    int64_t size;
    if (!equals || equals == text || !parse_integer(equals + 1, 0, INT32_MAX, &size))
        exit(tool_usage(&tool, "--set-dim takes NAME=N, not '%s'", text));
    if (request->import.dimension_count == MOST_DIMENSIONS)
        exit(tool_usage(&tool, "--set-dim can be given at most %d times", MOST_DIMENSIONS));
    *equals = '\0';
    request->dimensions[request->import.dimension_count++] = (struct onnx_dimension){text, size};
}

static void add_elements(struct request *request, char *text)
{
    char *equals = strrchr(text, '=');
    int64_t count = ONNX_ABSENT;
    if (!equals || equals == text ||
        (strcmp(equals + 1, "none") != 0 && !parse_integer(equals + 1, 0, ANY_COUNT, &count)))
        exit(tool_usage(&tool, "--elements takes NAME=N or NAME=none, not '%s'", text));
    if (request->import.element_count == MOST_SEQUENCES)
        exit(tool_usage(&tool, "--elements can be given at most %d times", MOST_SEQUENCES));
    *equals = '\0';
    request->elements[request->import.element_count++] = (struct onnx_elements){text, (int)count};
}

static void report_unsupported(void *user, const char *operator_name, const char *node_name)
{
    (void)user;
    fprintf(stderr, "%s: unsupported operator %s: node '%s'\n", tool.name, legible(operator_name).text,
            legible(node_name).text);
}

static void parse(struct request *request, int argc, char **argv)
{
    for (int found; (found = tool_option(&tool, argc, argv)) != -1;)
        if (found == 'd')
            add_dimension(request, optarg);
        else if (found == 'e')
            add_elements(request, optarg);
        else if (found == 'O')
            request->optimize = true;
        else if (!parse_bytes(optarg, &request->memory_limit) || request->memory_limit == 0)
            exit(tool_usage(&tool, "--memory-limit takes bytes such as 500M, not '%s'", optarg));
    if (argc - optind != 2)
        exit(tool_usage(&tool, "two file names are needed, MODEL.onnx and MODEL.bin"));
    request->from = argv[optind];
    request->to = argv[optind + 1];
    request->import.dimensions = request->dimensions;
    request->import.elements = request->elements;
    request->import.unsupported = report_unsupported;
    request->import.external_limit = request->memory_limit;
}

/* On kernels that every machine has, so that it gives the same bytes everywhere. */
static enum status optimise(struct onnx_model *model, struct error *error)
{
    const struct kernel_facts facts = {.threads = 1};
    const struct evaluation plain = {.facts = &facts};
    struct model_metadata *metadata = &model->metadata;
    return optimise_once(model->graph, evaluator_of(&plain), &metadata->passes, &metadata->pass_count, error);
}

static enum status convert(const struct request *request, struct region *region, struct error *error)
{
    struct onnx_model model = {0};
    enum status status = onnx_import(request->from, &request->import, region, &model, error);
    if (status == STATUS_OK && try_graph(model.graph, region->allocator, error) != STATUS_OK)
        status = error_prefix(error, "%s", request->from);
    if (status == STATUS_OK && request->optimize && optimise(&model, error) != STATUS_OK)
        status = error_prefix(error, "%s", request->from);
    if (status == STATUS_OK)
        status = model_save(request->to, model.graph, &model.metadata, region->allocator, error);
    onnx_close(&model);
    return status;
}

int main(int argc, char **argv)
{
    static struct request request;
    struct error error = {0};
    struct budget budget;
    struct region region;
    parse(&request, argc, argv);
    budget_init(&budget, NULL, &default_allocator, request.memory_limit ? request.memory_limit : SIZE_MAX);
    region_init(&region, &budget.allocator);
    enum status status = convert(&request, &region, &error);
    budget_explain(&budget, &error);
    region_free(&region);
    return status == STATUS_OK ? EXIT_DONE : tool_failed(&tool, "%s", error.text);
}
