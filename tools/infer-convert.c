/* infer-convert MODEL.onnx MODEL.bin */
#include "formats/onnx/onnx_import.h"
#include "graph/passes/passes.h"
#include "graph/steps/step.h"
#include "runtime/compile/trial.h"
#include "tools/common.h"
#include "tools/convert_pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: infer-convert MODEL.onnx MODEL.bin [options]\n"
    "Imports an ONNX model (any opset, external data too) into infer's own format. Takes a model in that format as "
    "well,\n"
    "to optimise or to pack it.\n"
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
    "  --pack avx2|avx512   with --optimize: store weights packed for the kernels of that set as well, which this CPU\n"
    "                     must have; for both, give it twice. Elsewhere the file runs as one without\n"
    "  --shape NAME=1x3x224x224   with --pack: the shape of an input to pack for, or NAME=3, a symbol of their "
    "shapes;\n"
    "                     may be given more than once\n"
    "  --memory-limit BYTES   refuse, before allocating, what needs more (suffixes K, M, G)\n"
    "  --help, --version\n"
    "\n"
    "Example: infer-convert resnet50.onnx resnet50.bin --set-dim batch=1\n"
    "Exit codes: 0 done, 1 the model could not be converted, 2 wrong usage.\n";

static const struct option options[] = {{"set-dim", required_argument, NULL, 'd'},
                                        {"elements", required_argument, NULL, 'e'},
                                        {"optimize", no_argument, NULL, 'O'},
                                        {"pack", required_argument, NULL, 'p'},
                                        {"shape", required_argument, NULL, 's'},
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
    struct pack_order pack;
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

static void add_set(struct pack_order *order, const char *text)
{
    infer_isa set;
    if (!parse_isa(text, &set) || (set != INFER_ISA_AVX2 && set != INFER_ISA_AVX512))
        exit(tool_usage(&tool, "--pack takes avx2 or avx512, not '%s'", text));
    for (int i = 0; i < order->count; i++)
        if (order->sets[i] == set)
            exit(tool_usage(&tool, "--pack %s is given twice", text));
    order->sets[order->count++] = set;
}

static void add_shape(struct shape_list *shapes, const char *text)
{
    if (!strchr(text, '='))
        exit(tool_usage(&tool, "--shape takes NAME=1x3x224x224, not '%s'", text));
    if (!shape_list_add(shapes, text))
        exit(tool_usage(&tool, "--shape can be given at most %d times", MOST_SHAPES));
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
        else if (found == 'p')
            add_set(&request->pack, optarg);
        else if (found == 's')
            add_shape(&request->pack.shapes, optarg);
        else if (!parse_bytes(optarg, &request->memory_limit) || request->memory_limit == 0)
            exit(tool_usage(&tool, "--memory-limit takes bytes such as 500M, not '%s'", optarg));
    if (argc - optind != 2)
        exit(tool_usage(&tool, "two file names are needed, MODEL.onnx and MODEL.bin"));
    if (request->pack.count && !request->optimize)
        exit(tool_usage(&tool, "--pack needs --optimize: what is packed are the weights as that leaves them"));
    if (request->pack.shapes.count && !request->pack.count)
        exit(tool_usage(&tool, "--shape is for --pack"));
    request->from = argv[optind];
    request->to = argv[optind + 1];
    request->import.dimensions = request->dimensions;
    request->import.elements = request->elements;
    request->import.unsupported = report_unsupported;
    request->import.external_limit = request->pack.memory_limit = request->memory_limit;
}

/* On kernels that every machine has, so that it gives the same bytes everywhere. */
static enum status optimise(struct graph *graph, struct model_metadata *metadata, struct error *error)
{
    const struct kernel_facts facts = {.threads = 1};
    const struct evaluation plain = {.facts = &facts};
    return optimise_once(graph, evaluator_of(&plain), &metadata->passes, &metadata->pass_count, error);
}

static enum status write(const struct request *request, const struct graph *graph,
                         const struct model_metadata *metadata, struct region *region, struct error *error)
{
    if (request->pack.count)
        return pack_and_save(request->to, request->from, graph, metadata, &request->pack, region, error);
    return model_save(request->to, graph, metadata, region->allocator, error);
}

static enum status finish(const struct request *request, struct graph *graph, struct model_metadata *metadata,
                          struct region *region, struct error *error)
{
    if (try_graph(graph, region->allocator, error) != STATUS_OK)
        return error_prefix(error, "%s", request->from);
    if (request->optimize && optimise(graph, metadata, error) != STATUS_OK)
        return error_prefix(error, "%s", request->from);
    return write(request, graph, metadata, region, error);
}

static enum status convert_onnx(const struct request *request, struct region *region, struct error *error)
{
    struct onnx_model model = {0};
    enum status status = onnx_import(request->from, &request->import, region, &model, error);
    if (status == STATUS_OK)
        status = finish(request, model.graph, &model.metadata, region, error);
    onnx_close(&model);
    return status;
}

/* A file of ours, without the packs that it may have: they are made anew. */
static enum status convert_model(const struct request *request, struct region *region, struct error *error)
{
    struct file_map map;
    struct graph *graph;
    struct model_metadata metadata;
    if (request->import.dimension_count)
        return error_set(error, STATUS_INVALID_ARGUMENT,
                         "%s: --set-dim fixes dimensions of ONNX models; this is a model.bin", request->from);
    if (request->import.element_count)
        return error_set(error, STATUS_INVALID_ARGUMENT,
                         "%s: --elements is for sequences of ONNX models; this is a model.bin", request->from);
    TRY(file_map_path(&map, request->from, SIZE_MAX, region->allocator, error));
    enum status status = model_read(request->from, map.bytes, map.size, NULL, region, &graph, &metadata, error);
    metadata.pack_count = 0;
    if (status == STATUS_OK)
        status = finish(request, graph, &metadata, region, error);
    file_unmap(&map);
    return status;
}

static enum status convert(const struct request *request, struct region *region, struct error *error)
{
    return is_model_file(request->from) ? convert_model(request, region, error) : convert_onnx(request, region, error);
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
