/* infer-run MODEL [INPUT...]: runs a model on arrays from files. */
#include "runtime/cores.h"
#include "tools/arrays.h"
#include "tools/common.h"
#include "tools/report.h"
#include "tools/run_bisect.h"
#include "tools/run_compare.h"
#include "tools/run_dump.h"
#include "tools/run_profile.h"
#include "tools/run_stream.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: infer-run MODEL [INPUT...] [options]\n"
    "Runs MODEL, a .bin or an .onnx (converted in memory). INPUT is FILE.npy, in the model's order, or NAME=FILE.npy;\n"
    "FILE.npz gives the inputs that its arrays are named after, or the next one. '-' as MODEL is stdin.\n"
    "\n"
    "  -o, --output DIR      write outputs as DIR/output_0.npy, output_1.npy, ... (DIR is made)\n"
    "  --labels FILE         names of the classes, one a line, for outputs that look like class scores\n"
    "  --device cpu|cuda     where to run (cpu)\n"
    "  --gemm native|cublas  who computes large products on a GPU (native)\n"
    "  --factors f32|tf32|f16|bf16  to what a GPU rounds the factors of products of float32 (f32)\n"
    "  --precision fp32|fp16|int8   (as the model file says)\n"
    "  --isa auto|reference|avx2|avx512   highest kernel set allowed; the same as INFER_ISA\n"
    "  --threads N           (the cores this process may use)\n"
    "  --warmup N, --repeat N   runs before, and runs that are timed (0 and 1)\n"
    "  --json FILE           a report ('-': stdout, and nothing else there)\n"
    "  --profile FILE        a Chrome trace of one more run (opens in Perfetto): a slice a step ('-': stdout)\n"
    "  --compare DIR         compare with DIR/output_0.npy, ...; exit 1 where an output is past the tolerance\n"
    "  --tolerance T         largest |a - b| allowed: T * max|b| + T / 10 (T is 1e-4)\n"
    "  --dump DIR            every intermediate of one more run as DIR/NAME.npy, '/' as '_'; those without a file\n"
    "                        (fused with others, or not needed) are listed on stderr\n"
    "  --bisect              name the first node whose output differs from the unoptimised program's past the "
    "tolerance,\n"
    "                        and where the first NaN and infinity come from; exit 1 where one differs\n"
    "  --against reference|DIR   what --bisect expects: the unoptimised program on the reference kernels; or\n"
    "                        DIR/NAME.npy, as --dump writes them\n"
    "  --no-optimize         the graph as it was imported\n"
    "  --memory-saving       large intermediates in strips, where 5 % more arithmetic lowers the peak by 20 % or "
    "more;\n"
    "                        weights of 3x3 convolutions as they are, transformed each time that they are used\n"
    "  --copy                read the model into memory instead of mapping it, where others may cut the file "
    "meanwhile\n"
    "  --memory-limit BYTES  refuse, before allocating, what needs more (suffixes K, M, G)\n"
    "  --deadline SECONDS    end a run, between two steps or within a long one, once it has taken so long\n"
    "Many inputs, each INPUT an item of its own, through the predictor; -o has a folder for each:\n"
    "  --batch N             up to N items in a run, where the first dimension of the model is free\n"
    "  --async               several runs at once, a thread each\n"
    "  --stream DIR|FILE.npz|-   items are the files of a folder, the arrays of an archive, or those that come on\n"
    "                        standard input, as numpy.save writes them one after another\n"
    "  --watch               a live table of the metrics on stderr\n"
    "  --help, --version\n"
    "\n"
    "Example: infer-run digits.bin digit.npy --labels labels.txt\n"
    "Exit codes: 0 done, 1 the work failed, 2 wrong usage.\n";

static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                        {"labels", required_argument, NULL, 'l'},
                                        {"device", required_argument, NULL, 'd'},
                                        {"gemm", required_argument, NULL, 'g'},
                                        {"factors", required_argument, NULL, 'f'},
                                        {"precision", required_argument, NULL, 'p'},
                                        {"isa", required_argument, NULL, 'i'},
                                        {"threads", required_argument, NULL, 't'},
                                        {"warmup", required_argument, NULL, 'w'},
                                        {"repeat", required_argument, NULL, 'r'},
                                        {"json", required_argument, NULL, 'j'},
                                        {"profile", required_argument, NULL, 'P'},
                                        {"compare", required_argument, NULL, 'c'},
                                        {"tolerance", required_argument, NULL, 'T'},
                                        {"dump", required_argument, NULL, 'D'},
                                        {"bisect", no_argument, NULL, 'b'},
                                        {"against", required_argument, NULL, 'a'},
                                        {"no-optimize", no_argument, NULL, 'n'},
                                        {"memory-saving", no_argument, NULL, 's'},
                                        {"memory-limit", required_argument, NULL, 'm'},
                                        {"deadline", required_argument, NULL, 'e'},
                                        {"copy", no_argument, NULL, 'C'},
                                        {"batch", required_argument, NULL, 'B'},
                                        {"async", no_argument, NULL, 'A'},
                                        {"stream", required_argument, NULL, 'S'},
                                        {"watch", no_argument, NULL, 'W'},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, 'V'},
                                        {NULL, 0, NULL, 0}};

static const struct tool tool = {.name = "infer-run", .help = help, .options = options, .short_options = ":o:hV"};

struct request {
    const char *model_path, *output, *labels, *json, *profile, *compare, *dump, *against;
    bool bisect, copy;
    struct stream_request stream;
    const char *of_many;           /* an option given that is for many inputs; NULL: none */
    const char *other_than_many;   /* one that goes with the runs of one input */
    const char *other_than_bisect; /* an option given that goes with other runs than --bisect's */
    double tolerance;
    int64_t warmup, repeat;
    infer_session_options session;
    int input_count;
    char **inputs;
};

static int64_t number(const char *option, const char *text, int64_t least, int64_t most)
{
    int64_t value;
    if (!parse_integer(text, least, most, &value))
        exit(tool_usage(&tool, "--%s takes a number from %lld to %lld, not '%s'", option, (long long)least,
                        (long long)most, text));
    return value;
}

static double tolerance_option(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < 0)
        exit(tool_usage(&tool, "--tolerance takes a number such as 1e-4, not '%s'", text));
    return value;
}

static double deadline_option(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value <= 0)
        exit(tool_usage(&tool, "--deadline takes seconds such as 0.5, not '%s'", text));
    return value;
}

static void precision_option(const char *text)
{
    if (strcmp(text, "fp16") == 0 || strcmp(text, "int8") == 0)
        exit(tool_failed(&tool, "--precision %s: this build runs models in the precision they were written in", text));
    if (strcmp(text, "fp32") != 0)
        exit(tool_usage(&tool, "--precision takes fp32, fp16 or int8, not '%s'", text));
}

static void take_option(struct request *request, int found)
{
    switch (found) {
    case 'o':
        request->output = optarg;
        break;
    case 'l':
        request->labels = optarg;
        break;
    case 'd':
        request->session.device = parse_device(&tool, optarg);
        break;
    case 'g':
        request->session.gemm = parse_gemm(&tool, optarg);
        break;
    case 'f':
        request->session.factors = parse_factors(&tool, optarg);
        break;
    case 'p':
        precision_option(optarg);
        break;
    case 'i':
        if (!parse_isa(optarg, &request->session.isa))
            exit(tool_usage(&tool, "--isa takes auto, reference, avx2 or avx512, not '%s'", optarg));
        break;
    case 't':
        request->session.threads = (int)number("threads", optarg, 1, 1024);
        break;
    case 'w':
        request->warmup = number("warmup", optarg, 0, 1000000);
        break;
    case 'r':
        request->repeat = number("repeat", optarg, 1, 1000000);
        break;
    case 'j':
        request->json = optarg;
        break;
    case 'P':
        request->profile = optarg;
        break;
    case 'c':
        request->compare = optarg;
        break;
    case 'T':
        request->tolerance = tolerance_option(optarg);
        break;
    case 'e':
        request->session.run_limits.seconds = deadline_option(optarg);
        break;
    case 'D':
        request->dump = optarg;
        break;
    case 'b':
        request->bisect = true;
        break;
    case 'a':
        request->against = optarg;
        break;
    case 'n':
        request->session.no_optimize = true;
        break;
    case 'C':
        request->copy = true;
        break;
    case 's':
        request->session.memory_saving = true;
        break;
    case 'B':
        request->stream.batch = (int)number("batch", optarg, 1, 65536);
        break;
    case 'A':
        request->stream.async = true;
        break;
    case 'S':
        request->stream.source = optarg;
        break;
    case 'W':
        request->stream.watch = true;
        break;
    default: /* 'm' */
        if (!parse_bytes(optarg, &request->session.memory_limit) || request->session.memory_limit == 0)
            exit(tool_usage(&tool, "--memory-limit takes bytes such as 500M, not '%s'", optarg));
    }
}

static bool is_stdout(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

/* --bisect makes runs of its own, and says what came of them; so do those of many inputs. */
static void note_other_run(struct request *request, int found)
{
    for (const struct option *option = options; option->name; option++)
        if (option->val == found) {
            if (strchr("olwrjPcD", found))
                request->other_than_bisect = option->name;
            if (strchr("lwrPcTDba", found))
                request->other_than_many = option->name;
            if (strchr("BASW", found))
                request->of_many = option->name;
        }
}

static void check_many(const struct request *request)
{
    if (!request->of_many)
        return;
    if (request->other_than_many)
        exit(tool_usage(&tool, "--%s takes no --%s", request->of_many, request->other_than_many));
    if (request->stream.source && request->input_count > 0)
        exit(tool_usage(&tool, "--stream takes no further input"));
    if (!request->stream.source && request->input_count == 0)
        exit(tool_usage(&tool, "--%s takes inputs, or --stream", request->of_many));
    if (is_stdout(request->stream.source) && is_stdout(request->model_path))
        exit(tool_usage(&tool, "only one of the model and --stream can come from stdin"));
}

static void check_bisect(const struct request *request)
{
    if (request->against && !request->bisect)
        exit(tool_usage(&tool, "--against goes with --bisect"));
    if (request->bisect && request->other_than_bisect)
        exit(tool_usage(&tool, "--bisect takes no --%s", request->other_than_bisect));
    if (request->bisect && request->session.no_optimize && !request->against)
        exit(tool_usage(&tool, "--bisect expects what --no-optimize gives; to test that, say what it is --against"));
}

static void parse(struct request *request, int argc, char **argv)
{
    request->repeat = 1;
    request->tolerance = DEFAULT_TOLERANCE;
    for (int found; (found = tool_option(&tool, argc, argv)) != -1;) {
        take_option(request, found);
        note_other_run(request, found);
    }
    check_bisect(request);
    if (optind == argc)
        exit(tool_usage(&tool, "a model is needed"));
    if (request->output && request->compare && strcmp(request->output, request->compare) == 0)
        exit(tool_usage(&tool, "--output and --compare cannot be the same folder"));
    if (is_stdout(request->json) && is_stdout(request->profile))
        exit(tool_usage(&tool, "only one of --json and --profile can go to stdout"));
    request->model_path = argv[optind];
    request->inputs = argv + optind + 1;
    request->input_count = argc - optind - 1;
    check_many(request);
}

/* Everything a run holds, so that there is one place that lets go of it. */
struct job {
    struct model_storage storage;
    infer_model *model;
    infer_session *session;
    infer_context *context;
    struct input_set inputs;
    infer_tensor *outputs;
    size_t output_count;
    struct report report;
};

static void job_free(struct job *job)
{
    free_inputs(&job->inputs);
    free(job->outputs);
    report_free(&job->report);
    infer_context_release(job->context);
    infer_session_release(job->session);
    infer_model_release(job->model);
    model_storage_free(&job->storage);
}

static int open_all(const struct request *request, struct job *job)
{
    infer_error error = {0};
    infer_model_options limits = {.memory_limit = request->session.memory_limit, .copy_file = request->copy};
    report_start(&job->report, request->model_path);
    if (open_model(request->model_path, &limits, &job->storage, &job->model, &error) != INFER_OK ||
        infer_session_create(job->model, &request->session, &job->session, &error) != INFER_OK ||
        infer_context_create(job->session, &job->context, &error) != INFER_OK)
        return tool_model_failed(&tool, request->model_path, &error);
    if (request->dump)
        dump_session(job->session);
    report_loaded(&job->report);
    struct error from = {0};
    if (read_inputs(job->model, request->input_count, request->inputs, &job->inputs, &from) != STATUS_OK)
        return tool_failed(&tool, "%s", from.text);
    job->output_count = infer_model_output_count(job->model);
    job->outputs = calloc(job->output_count + 1, sizeof *job->outputs);
    return job->outputs ? EXIT_DONE : tool_failed(&tool, "out of memory");
}

static infer_status run_in(struct job *job, infer_context *context, infer_error *error)
{
    memset(job->outputs, 0, job->output_count * sizeof *job->outputs);
    return infer_run(context, job->inputs.tensors, job->inputs.count, job->outputs, job->output_count, error);
}

static infer_status run_once(struct job *job, infer_error *error)
{
    return run_in(job, job->context, error);
}

/* The very first run, which makes the program, is timed on its own; it is a timed run only where there is no other. */
static int run_all(const struct request *request, struct job *job)
{
    infer_error error = {0};
    int64_t runs = request->warmup + request->repeat;
    for (int64_t i = 0; i < runs; i++) {
        double start = seconds_now();
        if (run_once(job, &error) != INFER_OK)
            return tool_model_failed(&tool, request->model_path, &error);
        double elapsed = seconds_now() - start;
        if (i == 0)
            job->report.first_run_ms = elapsed * 1e3;
        if (i >= request->warmup && !report_run(&job->report, elapsed * 1e3))
            return tool_failed(&tool, "out of memory for the times of %lld runs", (long long)request->repeat);
    }
    return EXIT_DONE;
}

/* Profile and dump watch runs of their own, so that the times reported are those of unwatched ones. */
static int profile_run(const struct request *request, struct job *job)
{
    infer_error error = {0};
    struct error from = {0};
    struct profile profile;
    infer_observer observer = {.before = profile_before, .after = profile_after, .user = &profile};
    profile_start(&profile);
    infer_context_observe(job->context, &observer);
    infer_status status = run_once(job, &error);
    infer_context_observe(job->context, NULL);
    if (status == INFER_OK)
        profile_write(&profile, request->profile, request->model_path, &from);
    profile_free(&profile);
    if (status != INFER_OK)
        return tool_model_failed(&tool, request->model_path, &error);
    return from.status == STATUS_OK ? EXIT_DONE : tool_failed(&tool, "%s", from.text);
}

static void report_missing(void *user, const char *name)
{
    fprintf(stderr, "%s: no file in %s for '%s': fused with others, or not needed\n", tool.name, legible(user).text,
            legible(name).text);
}

static int dump_run(const struct request *request, struct job *job)
{
    infer_error error = {0};
    struct error from = {0};
    struct dump dump;
    infer_observer observer = {.value = dump_value, .user = &dump};
    infer_status status = INFER_OK;
    if (dump_start(&dump, request->dump, job->model, &from) == STATUS_OK) {
        infer_context_observe(job->context, &observer);
        status = run_once(job, &error);
        infer_context_observe(job->context, NULL);
        if (status == INFER_OK)
            dump_finish(&dump, job->session, job->inputs.tensors, report_missing, (void *)(uintptr_t)request->dump,
                        &from);
    }
    dump_free(&dump);
    if (status != INFER_OK)
        return tool_model_failed(&tool, request->model_path, &error);
    return from.status == STATUS_OK ? EXIT_DONE : tool_failed(&tool, "%s", from.text);
}

static int watch(const struct request *request, struct job *job)
{
    int status = request->profile ? profile_run(request, job) : EXIT_DONE;
    return status == EXIT_DONE && request->dump ? dump_run(request, job) : status;
}

/* --- bisect -------------------------------------------------------------------------------------------------- */

static bool against_folder(const struct request *request)
{
    return request->against && strcmp(request->against, "reference") != 0;
}

/* The run that says what is expected has a session of its own, which goes before the other run begins. */
static int expected_run(const struct request *request, struct job *job, struct bisect *bisect)
{
    infer_error error = {0};
    struct error from = {0};
    infer_session *session = NULL;
    infer_context *context = NULL;
    infer_session_options plain = request->session;
    infer_observer observer = bisect_expect(bisect);
    plain.no_optimize = true;
    plain.isa = request->against ? INFER_ISA_REFERENCE : plain.isa;
    if (infer_session_create(job->model, &plain, &session, &error) == INFER_OK &&
        infer_context_create(session, &context, &error) == INFER_OK) {
        infer_context_observe(context, &observer);
        if (run_in(job, context, &error) == INFER_OK)
            bisect_expected(bisect, job->outputs, &from);
    }
    infer_context_release(context);
    infer_session_release(session);
    if (error.status != INFER_OK)
        return tool_model_failed(&tool, request->model_path, &error);
    return from.status == STATUS_OK ? EXIT_DONE : tool_failed(&tool, "%s", from.text);
}

static int tested_run(const struct request *request, struct job *job, struct bisect *bisect)
{
    infer_error error = {0};
    struct error from = {0};
    infer_observer observer = bisect_test(bisect);
    infer_context_observe(job->context, &observer);
    infer_status status = run_once(job, &error);
    infer_context_observe(job->context, NULL);
    if (status != INFER_OK)
        return tool_model_failed(&tool, request->model_path, &error);
    if (bisect_tested(bisect, job->outputs, &from) != STATUS_OK || bisect_report(bisect, stdout, &from) != STATUS_OK)
        return tool_failed(&tool, "%s", from.text);
    const struct bisect_value *first = bisect_first(bisect);
    if (!first)
        return EXIT_DONE;
    return tool_failed(&tool, "%s: node '%s' (%s) is the first whose output differs past --tolerance %g",
                       request->model_path, first->node, first->op, request->tolerance);
}

static int bisect_runs(const struct request *request, struct job *job)
{
    struct bisect bisect;
    struct error error = {0};
    const char *folder = against_folder(request) ? request->against : NULL;
    int status = EXIT_DONE;
    if (bisect_start(&bisect, job->model, &job->inputs, folder, request->tolerance, request->session.no_optimize,
                     &error) != STATUS_OK)
        status = tool_failed(&tool, "%s", error.text);
    bisect.run_name = request->session.no_optimize ? "the unoptimised program" : "the optimised program";
    bisect.expected_name = request->against ? "the reference" : "the unoptimised program";
    if (status == EXIT_DONE && !folder)
        status = expected_run(request, job, &bisect);
    if (status == EXIT_DONE)
        status = tested_run(request, job, &bisect);
    bisect_free(&bisect);
    return status;
}

/* --- all of it ----------------------------------------------------------------------------------------------- */

/* What was sent to stdout is alone there. */
static bool quiet(const struct request *request)
{
    return is_stdout(request->json) || is_stdout(request->profile);
}

static int compare(const struct request *request, const struct job *job)
{
    struct error error = {0};
    struct difference difference = {0};
    size_t past;
    if (!request->compare)
        return EXIT_DONE;
    if (compare_outputs(request->compare, job->model, job->outputs, request->tolerance, quiet(request) ? NULL : stdout,
                        &past, &difference, &error) != STATUS_OK ||
        text_close(stdout, "-", &error) != STATUS_OK)
        return tool_failed(&tool, "%s", error.text);
    if (past == job->output_count)
        return EXIT_DONE;
    return tool_failed(&tool,
                       "%s/output_%zu.npy: element %lld differs by %.3g, %.3g of the largest; past --tolerance %g",
                       request->compare, past, (long long)difference.place, difference.absolute, difference.relative,
                       request->tolerance);
}

static int write_outputs(const struct request *request, struct job *job)
{
    struct error error = {0};
    if (!request->output)
        return EXIT_DONE;
    if (make_directory(request->output, &error) != STATUS_OK)
        return tool_failed(&tool, "%s", error.text);
    for (size_t i = 0; i < job->output_count; i++) {
        char name[40];
        snprintf(name, sizeof name, "output_%zu", i);
        if (write_tensor(request->output, name, &job->outputs[i], &error) != STATUS_OK)
            return tool_failed(&tool, "%s", error.text);
    }
    return EXIT_DONE;
}

static int show(const struct request *request, struct job *job)
{
    struct error error = {0};
    struct report_subject subject = {
        .model = job->model,
        .session = job->session,
        .context = job->context,
        .inputs = job->inputs.tensors,
        .outputs = job->outputs,
        .labels = request->labels,
        .threads_wanted = request->session.threads ? request->session.threads : usable_cores(),
    };
    if (request->json && report_json(&job->report, &subject, request->json, &error) != STATUS_OK)
        return tool_failed(&tool, "%s", error.text);
    if (!quiet(request) && !request->output && report_text(&job->report, &subject, &error) != STATUS_OK)
        return tool_failed(&tool, "%s", error.text);
    return EXIT_DONE;
}

static int timed_runs(const struct request *request, struct job *job)
{
    int status = run_all(request, job);
    if (status == EXIT_DONE)
        status = watch(request, job);
    if (status == EXIT_DONE)
        status = write_outputs(request, job);
    if (status == EXIT_DONE)
        status = show(request, job);
    return status == EXIT_DONE ? compare(request, job) : status;
}

/* Each input is an item of its own. */
static int run_many(const struct request *request)
{
    struct stream_request stream = request->stream;
    struct model_storage storage;
    infer_model *model;
    infer_error error = {0};
    infer_model_options limits = {.memory_limit = request->session.memory_limit, .copy_file = request->copy};
    stream.model_path = request->model_path;
    stream.file_count = request->input_count;
    stream.files = request->inputs;
    stream.output = request->output;
    stream.json = request->json;
    stream.session = request->session;
    int status = open_model(request->model_path, &limits, &storage, &model, &error) == INFER_OK
                     ? run_stream(&tool, &stream, model)
                     : tool_model_failed(&tool, request->model_path, &error);
    infer_model_release(model);
    model_storage_free(&storage);
    return status;
}

int main(int argc, char **argv)
{
    struct request request = {0};
    struct job job = {0};
    parse(&request, argc, argv);
    if (request.of_many)
        return run_many(&request);
    int status = open_all(&request, &job);
    if (status == EXIT_DONE)
        status = request.bisect ? bisect_runs(&request, &job) : timed_runs(&request, &job);
    job_free(&job);
    return status;
}
