#include "runtime/cores.h"
#include "tools/bench.h"
#include "tools/json.h"
#include "tools/random_inputs.h"
#include "tools/report.h"

#include <stdlib.h>
#include <string.h>

#define SECONDS_EACH 0.5

struct cell {
    int64_t batch; /* 0: as the shapes say */
    int threads;
    double seconds;
    size_t arena_bytes;
};

struct bench {
    const struct tool *tool;
    const struct model_request *request;
    infer_model *model;
    infer_tensor *inputs;
    infer_context *context; /* of the cell under way */
    infer_error error;
    FILE *json;
    int cell_count;
};

static int make_inputs(struct bench *bench, int64_t batch)
{
    struct error error = {0};
    if (random_inputs(bench->model, &bench->request->shapes, batch, &bench->inputs, &error) == STATUS_OK)
        return EXIT_DONE;
    return tool_failed(bench->tool, "%s: %s", bench->request->path, error.text);
}

/* --- cells --------------------------------------------------------------------------------------------------- */

static void run_once(void *user)
{
    struct bench *bench = user;
    if (bench->error.status == INFER_OK)
        infer_run(bench->context, bench->inputs, infer_model_input_count(bench->model), NULL, 0, &bench->error);
}

static void tell(struct bench *bench, const struct cell *cell)
{
    double items = (double)(cell->batch ? cell->batch : 1) / cell->seconds;
    if (bench->json)
        fprintf(bench->json,
                "%s\n{\"batch\":%lld,\"threads\":%d,\"latency_ms\":%.4f,\"throughput_per_s\":%.2f,"
                "\"activation_bytes\":%zu}",
                bench->cell_count ? "," : "", (long long)(cell->batch ? cell->batch : 1), cell->threads,
                cell->seconds * 1e3, items, cell->arena_bytes);
    if (bench->json != stdout && bench->cell_count == 0)
        printf("%5s %7s %12s %14s %16s\n", "batch", "threads", "latency", "throughput", "arena");
    if (bench->json != stdout)
        printf("%5lld %7d %9.3f ms %12.1f/s %10s bytes\n", (long long)(cell->batch ? cell->batch : 1), cell->threads,
               cell->seconds * 1e3, items, grouped(cell->arena_bytes).text);
    bench->cell_count++;
}

static int run_cell(struct bench *bench, struct cell *cell)
{
    infer_session *session = NULL;
    infer_session_options options = bench->request->session;
    options.threads = cell->threads;
    bench->error = (infer_error){0};
    if (infer_session_create(bench->model, &options, &session, &bench->error) == INFER_OK &&
        infer_context_create(session, &bench->context, &bench->error) == INFER_OK) {
        run_once(bench); /* makes the program */
        cell->seconds = median_seconds(run_once, bench, SECONDS_EACH);
        cell->arena_bytes = infer_context_arena_bytes(bench->context);
    }
    infer_context_release(bench->context);
    infer_session_release(session);
    bench->context = NULL;
    if (bench->error.status != INFER_OK)
        return tool_model_failed(bench->tool, bench->request->path, &bench->error);
    tell(bench, cell);
    return EXIT_DONE;
}

/* 1, 2, 4, ... and all of them. */
static int run_threads(struct bench *bench, int64_t batch)
{
    int most = bench->request->session.threads ? bench->request->session.threads : usable_cores();
    int status = make_inputs(bench, batch);
    for (int threads = 1; status == EXIT_DONE; threads = threads * 2 < most ? threads * 2 : most) {
        struct cell cell = {.batch = batch, .threads = threads};
        status = run_cell(bench, &cell);
        if (threads == most)
            break;
    }
    free_random_inputs(bench->model, bench->inputs);
    bench->inputs = NULL;
    return status;
}

static int run_all(struct bench *bench)
{
    static const int64_t batches[] = {1, 4, 16};
    if (bench->request->shapes.count > 0 || !has_free_batch(bench->model))
        return run_threads(bench, 0);
    int status = EXIT_DONE;
    for (size_t i = 0; status == EXIT_DONE && i < sizeof batches / sizeof batches[0]; i++)
        status = run_threads(bench, batches[i]);
    return status;
}

int bench_model(const struct tool *tool, const struct model_request *request)
{
    struct bench bench = {.tool = tool, .request = request};
    struct model_storage storage;
    struct error error = {0};
    if (open_model(request->path, NULL, &storage, &bench.model, &bench.error) != INFER_OK) {
        model_storage_free(&storage);
        return tool_model_failed(tool, request->path, &bench.error);
    }
    bench.json = request->json ? text_open(request->json, &error) : NULL;
    if (bench.json) {
        fputs("{\"model\":", bench.json);
        json_text(bench.json, request->path);
        fputs(",\"runs\":[", bench.json);
    }
    int status = error.status == STATUS_OK ? run_all(&bench) : EXIT_DONE;
    if (bench.json) {
        fputs("\n]}\n", bench.json);
        text_close(bench.json, request->json, &error);
    }
    text_close(stdout, "-", &error);
    infer_model_release(bench.model);
    model_storage_free(&storage);
    return error.status == STATUS_OK ? status : tool_failed(tool, "%s", error.text);
}
