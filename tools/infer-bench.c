/* infer-bench kernels|model: how fast, and is it right. */
#include "tools/bench.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: infer-bench kernels [options]\n"
    "       infer-bench model MODEL [options]\n"
    "kernels: each kernel, on problems of real networks, against the reference kernel and then timed on one thread:\n"
    "GFLOP/s or GB/s, the share of what this machine can do (measured first), and the ratio to OpenBLAS where it is\n"
    "built in.\n"
    "  --filter SUBSTRING    only problems whose name holds it, such as 'conv 3x3'\n"
    "  --check-only          do not time them\n"
    "model: MODEL, a .bin or an .onnx, on random inputs: latency and throughput over threads, and over batches of 1, "
    "4\n"
    "and 16 where only the first dimension of its inputs is free.\n"
    "  --shape NAME=1x3x224x224   shape of an input, or NAME=3, a symbol of their shapes\n"
    "  --threads N           the most to try (the cores this process may use)\n"
    "Both:\n"
    "  --isa auto|reference|avx2|avx512   highest kernel set to use\n"
    "  --json FILE           a report ('-': stdout, and nothing else there)\n"
    "  --help, --version\n"
    "\n"
    "Example: infer-bench kernels --filter matmul\n"
    "Exit codes: 0 done, 1 a kernel is wrong or the work failed, 2 wrong usage.\n";

static const struct option options[] = {{"filter", required_argument, NULL, 'f'},
                                        {"check-only", no_argument, NULL, 'c'},
                                        {"shape", required_argument, NULL, 's'},
                                        {"threads", required_argument, NULL, 't'},
                                        {"isa", required_argument, NULL, 'i'},
                                        {"json", required_argument, NULL, 'j'},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, 'V'},
                                        {NULL, 0, NULL, 0}};

static const struct tool tool = {.name = "infer-bench", .help = help, .options = options, .short_options = ":hV"};

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

int main(int argc, char **argv)
{
    static struct request request;
    for (int found; (found = tool_option(&tool, argc, argv)) != -1;)
        take_option(&request, found);
    int count = argc - optind;
    const char *what = count > 0 ? argv[optind] : "";
    if (strcmp(what, "kernels") == 0) {
        if (count != 1 || request.model.shapes.count > 0 || request.model.session.threads > 0)
            return tool_usage(&tool, "kernels takes no model, --shape or --threads");
        return bench_kernels(&tool, &request.kernels);
    }
    if (strcmp(what, "model") != 0)
        return tool_usage(&tool, "say what to measure, kernels or model, not '%s'", what);
    if (count != 2 || request.kernels.filter || request.kernels.check_only)
        return tool_usage(&tool, "model takes one model, and no --filter or --check-only");
    request.model.path = argv[optind + 1];
    return bench_model(&tool, &request.model);
}
