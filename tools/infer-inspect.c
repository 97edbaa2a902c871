/* infer-inspect MODEL: what a model is made of, and what running it would take. */
#include "graph/op.h"
#include "graph/passes/passes.h"
#include "runtime/runner.h"
#include "tools/common.h"
#include "tools/graph_text.h"
#include "tools/inspect.h"
#include "tools/shapes.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: infer-inspect MODEL [options]\n"
    "Shows the inputs, outputs, operators and sizes of MODEL, a .bin (its checksums are verified) or an .onnx\n"
    "(converted in memory); and, once the shapes of its inputs are known, what a run needs.\n"
    "\n"
    "  --shape NAME=1x3x224x224   shape of an input, or NAME=3, a symbol of their shapes; may be given more than "
    "once.\n"
    "                     Shows each step as well:\n"
    "                     kernel, output, bytes, offset in the arena, workspace\n"
    "  --dot FILE         the graph for Graphviz, with the shapes that are known ('-': stdout)\n"
    "  --memory FILE.svg  the memory plan: time across, bytes up ('-': stdout)\n"
    "  --json[=FILE]      everything as JSON, on stdout or to a file\n"
    "  --dump-after PASS  the graph after a pass, or after 'import'; with --shape again when a pass runs with shapes "
    "known\n"
    "  --device cpu|cuda, --gemm native|cublas, --factors f32|tf32|f16|bf16, --isa auto|reference|avx2|avx512, "
    "--threads "
    "N,\n"
    "  --no-optimize, --memory-saving   as infer-run has them\n"
    "  --help, --version\n"
    "\n"
    "Example: infer-inspect digits.bin --shape image=1x1x8x8\n"
    "Exit codes: 0 done, 1 the work failed, 2 wrong usage.\n";

static const struct option options[] = {{"shape", required_argument, NULL, 's'},
                                        {"dot", required_argument, NULL, 'd'},
                                        {"memory", required_argument, NULL, 'm'},
                                        {"json", optional_argument, NULL, 'j'},
                                        {"dump-after", required_argument, NULL, 'a'},
                                        {"isa", required_argument, NULL, 'i'},
                                        {"threads", required_argument, NULL, 't'},
                                        {"no-optimize", no_argument, NULL, 'n'},
                                        {"memory-saving", no_argument, NULL, 'S'},
                                        {"device", required_argument, NULL, 'D'},
                                        {"gemm", required_argument, NULL, 'g'},
                                        {"factors", required_argument, NULL, 'F'},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, 'V'},
                                        {NULL, 0, NULL, 0}};

static const struct tool tool = {.name = "infer-inspect", .help = help, .options = options, .short_options = ":hV"};

struct request {
    const char *path, *dot, *memory, *json, *dump_after;
    struct shape_list shapes;
    infer_session_options session;
};

static void take_option(struct request *request, int found)
{
    int64_t number = 0;
    switch (found) {
    case 's':
        if (!strchr(optarg, '='))
            exit(tool_usage(&tool, "--shape takes NAME=1x3x224x224, not '%s'", optarg));
        if (!shape_list_add(&request->shapes, optarg))
            exit(tool_usage(&tool, "--shape can be given at most %d times", MOST_SHAPES));
        break;
    case 'd':
        request->dot = optarg;
        break;
    case 'm':
        request->memory = optarg;
        break;
    case 'j':
        request->json = optarg ? optarg : "-";
        break;
    case 'a':
        request->dump_after = optarg;
        break;
    case 'i':
        if (!parse_isa(optarg, &request->session.isa))
            exit(tool_usage(&tool, "--isa takes auto, reference, avx2 or avx512, not '%s'", optarg));
        break;
    case 't':
        if (!parse_integer(optarg, 1, 1024, &number))
            exit(tool_usage(&tool, "--threads takes a number from 1 to 1024, not '%s'", optarg));
        request->session.threads = (int)number;
        break;
    case 'D':
        request->session.device = parse_device(&tool, optarg);
        break;
    case 'g':
        request->session.gemm = parse_gemm(&tool, optarg);
        break;
    case 'F':
        request->session.factors = parse_factors(&tool, optarg);
        break;
    case 'n':
        request->session.no_optimize = true;
        break;
    default: /* 'S' */
        request->session.memory_saving = true;
    }
}

static bool is_pass(const char *name)
{
    if (strcmp(name, "import") == 0)
        return true;
    for (const struct pass *pass = passes; pass->name; pass++)
        if (strcmp(name, pass->name) == 0)
            return true;
    return false;
}

static int unknown_pass(const char *name)
{
    char known[400] = "import";
    for (const struct pass *pass = passes; pass->name; pass++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, ", %s", pass->name);
    }
    return tool_usage(&tool, "there is no pass '%s'; the passes are %s", name, known);
}

static void parse(struct request *request, int argc, char **argv)
{
    for (int found; (found = tool_option(&tool, argc, argv)) != -1;)
        take_option(request, found);
    if (argc - optind != 1)
        exit(tool_usage(&tool, "one model is needed"));
    if (request->dump_after && !is_pass(request->dump_after))
        exit(unknown_pass(request->dump_after));
    request->path = argv[optind];
}

/* --- what the graph holds -------------------------------------------------------------------------------- */

static void count_operator(struct inspection *inspection, const struct op *op)
{
    int i = 0;
    while (i < inspection->operator_count && inspection->operators[i].op != op)
        i++;
    inspection->operator_count += i == inspection->operator_count;
    inspection->operators[i].op = op;
    inspection->operators[i].count++;
}

static void count_graph(struct inspection *inspection, const struct graph *graph)
{
    inspection->node_count += graph->node_count;
    for (int i = 0; i < graph->value_count; i++) {
        if (!graph->values[i]->data)
            continue;
        inspection->constant_count++;
        inspection->parameter_count += value_elements(graph->values[i]);
    }
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = graph->nodes[i];
        count_operator(inspection, node->op);
        for (int k = 0; k < node->attribute_count; k++)
            if (node->attributes[k].kind == ATTRIBUTE_GRAPH)
                count_graph(inspection, node->attributes[k].graph);
    }
}

static int by_count(const void *a, const void *b)
{
    const struct operator_use *x = a, *y = b;
    return x->count != y->count ? y->count - x->count : strcmp(x->op->name, y->op->name);
}

static bool count_all(struct inspection *inspection)
{
    size_t known = 0;
    while (op_at(known))
        known++;
    inspection->operators = calloc(known + 1, sizeof *inspection->operators);
    if (!inspection->operators)
        return false;
    count_graph(inspection, inspection->graph);
    qsort(inspection->operators, (size_t)inspection->operator_count, sizeof *inspection->operators, by_count);
    return true;
}

/* --- the work -------------------------------------------------------------------------------------------- */

struct job {
    struct model_storage storage;
    infer_model *model;
    infer_session *session;
    struct runner runner; /* holds the program */
    infer_tensor *inputs;
    struct inspection inspection;
};

static void job_free(struct job *job)
{
    if (job->session)
        runner_free(&job->runner);
    free(job->inputs);
    free(job->inspection.operators);
    infer_session_release(job->session);
    infer_model_release(job->model);
    model_storage_free(&job->storage);
}

/* What a session that only runs holds: this one keeps the graphs of its programs. */
static infer_status tell_memory(struct job *job, const struct request *request, infer_error *error)
{
    infer_session *session;
    infer_memory *memory = &job->inspection.memory;
    infer_status status = infer_session_create(job->model, &request->session, &session, error);
    if (status == INFER_OK)
        status = infer_session_prepare(session, job->inputs, infer_model_input_count(job->model), memory, error);
    if (status == INFER_OK)
        status = infer_session_memory(session, memory, error);
    infer_session_release(session);
    return status;
}

static enum status make_program(struct job *job, const struct request *request, struct error *error)
{
    struct program *program = NULL;
    TRY(runner_init(&job->runner, job->session, job->session->graph, &job->session->budget.allocator, error));
    TRY(runner_bind_inputs(&job->runner, job->inputs, infer_model_input_count(job->model), false, error));
    TRY(runner_first_program(&job->runner, &program, error));
    job->inspection.program = program;
    job->inspection.show_steps = request->shapes.count > 0;
    return STATUS_OK;
}

/* Which those who run a model leave until they use one. */
static int check_packs(const infer_model *model, const char *path)
{
    for (int i = 0; i < model->stored.count; i++)
        if (!model_pack_is_whole(&model->stored.packs[i]))
            return tool_failed(&tool, "%s: pack %d does not match its checksum: the file is damaged", path, i);
    for (int i = 0; i < model->stored.unread_count; i++)
        if (!model_tensor_is_whole(&model->stored.unread[i]))
            return tool_failed(&tool, "%s: tensor %u does not match its checksum: the file is damaged", path,
                               model->stored.unread[i].index);
    return EXIT_DONE;
}

/* Memory is told before this session is there: what it has made of weights would be shared. */
static infer_status open_session(struct job *job, const struct request *request, bool wanted, infer_error *error)
{
    struct error from = {0};
    if (wanted && shaped_inputs(job->model, &request->shapes, &job->inputs, &from) != STATUS_OK)
        return publish_error(error, &from);
    infer_status status = wanted ? tell_memory(job, request, error) : INFER_OK;
    if (status == INFER_OK)
        status = infer_session_create(job->model, &request->session, &job->session, error);
    if (status != INFER_OK)
        return status;
    job->session->whole_programs = true;
    return wanted && make_program(job, request, &from) != STATUS_OK ? publish_error(error, &from) : INFER_OK;
}

static int open_all(struct job *job, const struct request *request)
{
    infer_error error = {0};
    if (open_model(request->path, NULL, &job->storage, &job->model, &error) != INFER_OK)
        return tool_model_failed(&tool, request->path, &error);
    if (!job->storage.used && check_packs(job->model, request->path) != EXIT_DONE)
        return EXIT_FAILED;
    job->inspection = (struct inspection){
        .path = request->path,
        .file_bytes = job->storage.used ? job->storage.bytes : job->model->file.size,
        .converted = job->storage.used,
        .model = job->model,
        .graph = job->model->graph,
    };
    if (!count_all(&job->inspection))
        return tool_failed(&tool, "out of memory");
    bool wanted = request->shapes.count > 0 || request->memory || shapes_known(job->model);
    if (open_session(job, request, wanted, &error) != INFER_OK)
        return tool_model_failed(&tool, request->path, &error);
    return EXIT_DONE;
}

/* With the program's shapes where there is one. */
static enum status write_dot(const struct inspection *inspection, const char *path, struct error *error)
{
    struct graph graph = *inspection->graph;
    const struct program *program = inspection->program;
    if (program) {
        graph = *program->segment.graph;
        graph.nodes = program->segment.kept;
        graph.node_count = program->segment.kept_count;
    }
    FILE *file = text_open(path, error);
    if (!file)
        return error->status;
    bool drawn = graph_dot(file, &graph);
    enum status status = text_close(file, path, error);
    return drawn ? status : error_set(error, STATUS_OUT_OF_MEMORY, "%s: out of memory for the graph", path);
}

static void print_after(void *user, const char *pass, const struct graph *graph)
{
    if (strcmp(user, pass) == 0)
        graph_print(stdout, graph);
}

/* The passes of a program for the input shapes of another. */
static enum status run_shaped_passes(struct graph *graph, const struct graph *shaped, struct specialise_options given,
                                     struct error *error)
{
    struct segment segment;
    given.fuse = true;
    given.facts.threads = 1;
    for (int i = 0; i < graph->input_count; i++) {
        struct value *input = graph->inputs[i];
        input->dtype = shaped->inputs[i]->dtype;
        input->rank = shaped->inputs[i]->rank;
        memcpy(input->dims, shaped->inputs[i]->dims, sizeof input->dims);
    }
    return specialise(graph, &given, &segment, error);
}

static enum status dump_after(const struct job *job, const char *pass, struct error *error)
{
    struct region region;
    struct pass_observer observer = {.after = print_after, .user = (void *)(uintptr_t)pass};
    const struct kernel_facts *facts = &job->session->facts;
    struct specialise_options given = {.facts = *facts, .constant_limit = SIZE_MAX, .observer = &observer};
    struct evaluation evaluation = {.facts = facts};
    struct pass_context context = {.resolve = {.evaluator = evaluator_of(&evaluation), .constant_limit = SIZE_MAX},
                                   .done = job->model->metadata.passes,
                                   .done_count = job->model->metadata.pass_count,
                                   .on_host = !job->session->device,
                                   .observer = &observer};
    region_init(&region, &default_allocator);
    struct graph *graph = graph_clone(job->model->graph, &region);
    enum status status = graph ? STATUS_OK : error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for the graph");
    if (graph && strcmp(pass, "import") == 0)
        graph_print(stdout, graph);
    else if (graph)
        status = run_passes(graph, &context, NULL, error);
    if (status == STATUS_OK && job->inspection.program && strcmp(pass, "import") != 0)
        status = run_shaped_passes(graph, job->inspection.program->segment.graph, given, error);
    region_free(&region);
    return status == STATUS_OK ? text_close(stdout, "-", error) : status;
}

static bool to_stdout(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

static enum status write_json(const struct inspection *inspection, const char *path, struct error *error)
{
    FILE *file = text_open(path, error);
    if (!file)
        return error->status;
    inspect_json(file, inspection);
    return text_close(file, path, error);
}

/* The table comes last, and only where nothing else was sent to stdout. */
static enum status tell(const struct job *job, const struct request *request, struct error *error)
{
    if (request->dot)
        TRY(write_dot(&job->inspection, request->dot, error));
    if (request->memory)
        TRY(inspect_memory(request->memory, &job->inspection, error));
    if (request->json)
        TRY(write_json(&job->inspection, request->json, error));
    if (request->dump_after)
        return dump_after(job, request->dump_after, error);
    if (to_stdout(request->dot) || to_stdout(request->memory) || to_stdout(request->json))
        return STATUS_OK;
    inspect_print(stdout, &job->inspection);
    return text_close(stdout, "-", error);
}

int main(int argc, char **argv)
{
    static struct request request;
    static struct job job;
    parse(&request, argc, argv);
    int status = open_all(&job, &request);
    struct error error = {0};
    if (status == EXIT_DONE && tell(&job, &request, &error) != STATUS_OK)
        status = tool_failed(&tool, "%s", error.text);
    job_free(&job);
    return status;
}
