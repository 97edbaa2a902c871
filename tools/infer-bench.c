/* infer-bench kernels|shapes|choice|model|serve: how fast, and is it right. */
#include "tools/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: infer-bench kernels|shapes|choice [options]\n"
    "       infer-bench model MODEL [options]\n"
    "       infer-bench serve MODEL --rate R[,R...] [options]\n"
    "kernels: each kernel, on problems of real networks, against the reference kernel and then timed on one thread:\n"
    "GFLOP/s or GB/s, the share of what this machine can do (measured first), and the ratio to OpenBLAS where it is\n"
    "built in.\n"
    "  --filter SUBSTRING    only problems whose name holds it, such as 'conv 3x3'\n"
    "  --check-only          do not time them\n"
    "shapes: the kernel chosen for problems of every kind of shape (odd sizes, few channels, 1-D, batches, ...): the "
    "share\n"
    "of what one core's multiply-adds and memory allow; what is below half of its group's median is listed at the "
    "end.\n"
    "  --filter SUBSTRING    only groups whose name holds it, such as 'conv depthwise'\n"
    "choice: every kernel that could solve a problem, timed in turns on the problems of `kernels`, of `shapes` and on\n"
    "random ones: where another one than the one chosen is faster, and by how much.\n"
    "  --filter SUBSTRING    only families whose name holds it\n"
    "  --random N            random problems of each family (20)\n"
    "model: MODEL, a .bin or an .onnx, on random inputs: latency and throughput over threads, and over batches of 1, "
    "4\n"
    "and 16 where only the first dimension of its inputs is free.\n"
    "  --shape NAME=1x3x224x224   shape of an input, or NAME=3, a symbol of their shapes\n"
    "  --threads N           the most to try (the cores this process may use)\n"
    "  --device cpu|cuda     where to run (cpu)\n"
    "  --gemm native|cublas  who computes large products on a GPU (native)\n"
    "  --factors f32|tf32|f16|bf16  to what a GPU rounds the factors of products of float32 (f32)\n"
    "serve: MODEL, with --shape, --threads and --device as above, in a predictor that requests come to whether or not "
    "the ones\n"
    "before have ended (Poisson arrivals): latency, from when a request was due, against the rate of arrivals.\n"
    "  --rate R[,R...]       requests a second, one measurement each\n"
    "  --seconds S           of each (5)\n"
    "  --batch N, --delay MS   up to N requests in a run, and how long one waits for others (1, 0)\n"
    "  --contexts N          runs at once (1)\n"
    "  --svg FILE            latency against rate, drawn\n"
    "All of them, but for --json of choice:\n"
    "  --isa auto|reference|avx2|avx512   highest kernel set to use\n"
    "  --json FILE           a report ('-': stdout, and nothing else there)\n"
    "  --help, --version\n"
    "\n"
    "Example: infer-bench kernels --filter matmul\n"
    "Exit codes: 0 done, 1 a kernel is wrong or the work failed, 2 wrong usage.\n";

static const struct option options[] = {{"filter", required_argument, NULL, 'f'},
                                        {"check-only", no_argument, NULL, 'c'},
                                        {"random", required_argument, NULL, 'r'},
                                        {"shape", required_argument, NULL, 's'},
                                        {"threads", required_argument, NULL, 't'},
                                        {"isa", required_argument, NULL, 'i'},
                                        {"json", required_argument, NULL, 'j'},
                                        {"rate", required_argument, NULL, 'R'},
                                        {"seconds", required_argument, NULL, 'S'},
                                        {"batch", required_argument, NULL, 'B'},
                                        {"delay", required_argument, NULL, 'D'},
                                        {"contexts", required_argument, NULL, 'C'},
                                        {"device", required_argument, NULL, 'd'},
                                        {"gemm", required_argument, NULL, 'g'},
                                        {"factors", required_argument, NULL, 'F'},
                                        {"svg", required_argument, NULL, 'v'},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, 'V'},
                                        {NULL, 0, NULL, 0}};

static const struct tool tool = {.name = "infer-bench", .help = help, .options = options, .short_options = ":hV"};

enum { NOT_GIVEN = -1, RANDOM_PROBLEMS = 20 };

struct request {
    struct kernels_request kernels;
    struct model_request model;
    struct serve_request serve;
    const char *of_serve; /* an option given that only `serve` takes; NULL: none */
};

static double positive(const char *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value <= 0)
        exit(tool_usage(&tool, "--%s takes a number above 0, not '%s'", option, text));
    return value;
}

static void take_rates(struct serve_request *serve, char *text)
{
    for (char *rest = text, *rate; (rate = strsep(&rest, ",")) != NULL;) {
        if (serve->rate_count == MOST_RATES)
            exit(tool_usage(&tool, "--rate takes at most %d rates", MOST_RATES));
        serve->rates[serve->rate_count++] = positive("rate", rate);
    }
}

static int whole(const char *option, const char *text, int64_t most)
{
    int64_t number;
    if (!parse_integer(text, 1, most, &number))
        exit(tool_usage(&tool, "--%s takes a number from 1 to %lld, not '%s'", option, (long long)most, text));
    return (int)number;
}

/* False: not an option of `serve`. */
static bool take_serve_option(struct serve_request *serve, int found)
{
    if (found == 'R')
        take_rates(serve, optarg);
    else if (found == 'S')
        serve->seconds = positive("seconds", optarg);
    else if (found == 'B')
        serve->batch = whole("batch", optarg, 65536);
    else if (found == 'D')
        serve->delay = positive("delay", optarg) * 1e-3;
    else if (found == 'C')
        serve->contexts = whole("contexts", optarg, 1024);
    else if (found == 'v')
        serve->svg = optarg;
    else
        return false;
    return true;
}

static void take_option(struct request *request, int found)
{
    int64_t number = 0;
    if (take_serve_option(&request->serve, found)) {
        for (const struct option *option = options; option->name; option++)
            request->of_serve = option->val == found ? option->name : request->of_serve;
        return;
    }
    switch (found) {
    case 'f':
        request->kernels.filter = optarg;
        break;
    case 'c':
        request->kernels.check_only = true;
        break;
    case 'r':
        if (!parse_integer(optarg, 0, 100000, &number))
            exit(tool_usage(&tool, "--random takes a number from 0 to 100000, not '%s'", optarg));
        request->kernels.random_problems = (int)number;
        break;
    case 's':
        if (!strchr(optarg, '='))
            exit(tool_usage(&tool, "--shape takes NAME=1x3x224x224, not '%s'", optarg));
        if (!shape_list_add(&request->model.shapes, optarg))
            exit(tool_usage(&tool, "--shape can be given at most %d times", MOST_SHAPES));
        break;
    case 't':
        if (!parse_integer(optarg, 1, 1024, &number))
            exit(tool_usage(&tool, "--threads takes a number from 1 to 1024, not '%s'", optarg));
        request->model.session.threads = (int)number;
        break;
    case 'd':
        request->model.session.device = parse_device(&tool, optarg);
        break;
    case 'g':
        request->model.session.gemm = parse_gemm(&tool, optarg);
        break;
    case 'F':
        request->model.session.factors = parse_factors(&tool, optarg);
        break;
    case 'i':
        if (!parse_isa(optarg, &request->kernels.isa))
            exit(tool_usage(&tool, "--isa takes auto, reference, avx2 or avx512, not '%s'", optarg));
        request->model.session.isa = request->kernels.isa;
        break;
    default: /* 'j' */
        request->kernels.json = request->model.json = optarg;
    }
}

static const struct kernel_bench {
    const char *name;
    int (*run)(const struct tool *tool, const struct kernels_request *request);
    bool checks_only, draws, reports; /* --check-only, --random and --json mean something to it */
} kernel_benches[] = {{.name = "kernels", .run = bench_kernels, .checks_only = true, .reports = true},
                      {.name = "shapes", .run = bench_shapes, .reports = true},
                      {.name = "choice", .run = bench_choice, .draws = true}};

static int run_kernel_bench(const struct kernel_bench *bench, struct request *request, int count)
{
    struct kernels_request *kernels = &request->kernels;
    if (count != 1 || request->model.shapes.count > 0 || request->model.session.threads > 0 ||
        request->model.session.device != INFER_DEVICE_CPU)
        return tool_usage(&tool, "%s takes no model, --shape, --threads or --device", bench->name);
    if (kernels->check_only && !bench->checks_only)
        return tool_usage(&tool, "%s takes no --check-only", bench->name);
    if (kernels->random_problems != NOT_GIVEN && !bench->draws)
        return tool_usage(&tool, "%s takes no --random", bench->name);
    if (kernels->json && !bench->reports)
        return tool_usage(&tool, "%s writes no report", bench->name);
    if (kernels->random_problems == NOT_GIVEN)
        kernels->random_problems = RANDOM_PROBLEMS;
    return bench->run(&tool, kernels);
}

static int run_serve(struct request *request)
{
    struct serve_request *serve = &request->serve;
    if (serve->rate_count == 0)
        return tool_usage(&tool, "serve takes --rate R[,R...], in requests a second");
    serve->path = request->model.path;
    serve->json = request->model.json;
    serve->shapes = request->model.shapes;
    serve->session = request->model.session;
    return bench_serve(&tool, serve);
}

int main(int argc, char **argv)
{
    static struct request request = {.kernels = {.random_problems = NOT_GIVEN}};
    for (int found; (found = tool_option(&tool, argc, argv)) != -1;)
        take_option(&request, found);
    int count = argc - optind;
    bool is_serve = count > 0 && strcmp(argv[optind], "serve") == 0;
    if (request.of_serve && !is_serve)
        return tool_usage(&tool, "only serve takes --%s", request.of_serve);
    const char *what = count > 0 ? argv[optind] : "";
    for (size_t i = 0; i < sizeof kernel_benches / sizeof kernel_benches[0]; i++)
        if (strcmp(what, kernel_benches[i].name) == 0)
            return run_kernel_bench(&kernel_benches[i], &request, count);
    if (!is_serve && strcmp(what, "model") != 0)
        return tool_usage(&tool, "say what to measure, kernels, shapes, choice, model or serve, not '%s'", what);
    if (count != 2 || request.kernels.filter || request.kernels.check_only ||
        request.kernels.random_problems != NOT_GIVEN)
        return tool_usage(&tool, "%s takes one model, and no --filter, --check-only or --random", what);
    request.model.path = argv[optind + 1];
    return is_serve ? run_serve(&request) : bench_model(&tool, &request.model);
}
