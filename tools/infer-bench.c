/* infer-bench kernels|shapes|choice|model: how fast, and is it right. */
#include "tools/bench.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: infer-bench kernels|shapes|choice [options]\n"
    "       infer-bench model MODEL [options]\n"
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
    "All of them, but for --json of choice:\n"
    "  --isa auto|reference|avx2|avx512   highest kernel set to use\n"
    "  --json FILE           a report ('-': stdout, and nothing else there)\n"
    "  --help, --version\n"
    "\n"
    "Example: infer-bench kernels --filter matmul\n"
    "Exit codes: 0 done, 1 a kernel is wrong or the work failed, 2 wrong usage.\n";

static const struct option options[] = {
    {"filter", required_argument, NULL, 'f'},  {"check-only", no_argument, NULL, 'c'},
    {"random", required_argument, NULL, 'r'},  {"shape", required_argument, NULL, 's'},
    {"threads", required_argument, NULL, 't'}, {"isa", required_argument, NULL, 'i'},
    {"json", required_argument, NULL, 'j'},    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},       {NULL, 0, NULL, 0}};

static const struct tool tool = {.name = "infer-bench", .help = help, .options = options, .short_options = ":hV"};

enum { NOT_GIVEN = -1, RANDOM_PROBLEMS = 20 };

struct request {
    struct kernels_request kernels;
    struct model_request model;
};

static void take_option(struct request *request, int found)
{
    int64_t number = 0;
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
    if (count != 1 || request->model.shapes.count > 0 || request->model.session.threads > 0)
        return tool_usage(&tool, "%s takes no model, --shape or --threads", bench->name);
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

int main(int argc, char **argv)
{
    static struct request request = {.kernels = {.random_problems = NOT_GIVEN}};
    for (int found; (found = tool_option(&tool, argc, argv)) != -1;)
        take_option(&request, found);
    int count = argc - optind;
    const char *what = count > 0 ? argv[optind] : "";
    for (size_t i = 0; i < sizeof kernel_benches / sizeof kernel_benches[0]; i++)
        if (strcmp(what, kernel_benches[i].name) == 0)
            return run_kernel_bench(&kernel_benches[i], &request, count);
    if (strcmp(what, "model") != 0)
        return tool_usage(&tool, "say what to measure, kernels, shapes, choice or model, not '%s'", what);
    if (count != 2 || request.kernels.filter || request.kernels.check_only ||
        request.kernels.random_problems != NOT_GIVEN)
        return tool_usage(&tool, "model takes one model, and no --filter, --check-only or --random");
    request.model.path = argv[optind + 1];
    return bench_model(&tool, &request.model);
}
