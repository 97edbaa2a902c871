#include "runtime/cores.h"
#include "tools/bench.h"
#include "tools/json.h"
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

/* --- inputs -------------------------------------------------------------------------------------------------- */

/* Numbers between -1 and 1; zeros and ones where they may be indices, lengths or truths. */
static void fill(infer_tensor *tensor)
{
    uint64_t state = 1;
    unsigned width = infer_dtype_bits(tensor->dtype) / 8;
    memset(tensor->data, 0, tensor->bytes);
    for (size_t i = 0; width && i < tensor->bytes / width; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
        double number = (double)(int32_t)(state >> 32) * 0x1p-31;
        if (tensor->dtype == INFER_FLOAT32)
            ((float *)tensor->data)[i] = (float)number;
        else if (tensor->dtype == INFER_FLOAT64)
            ((double *)tensor->data)[i] = number;
        else if (tensor->dtype == INFER_FLOAT16 || tensor->dtype == INFER_BFLOAT16) /* one: 0x3c00 and 0x3f80 */
            ((uint16_t *)tensor->data)[i] = number < 0 ? 0 : tensor->dtype == INFER_FLOAT16 ? 0x3c00 : 0x3f80;
        else
            ((uint8_t *)tensor->data)[i * width] = number > 0; /* little-endian: the lowest byte */
    }
}

static void free_data(struct bench *bench)
{
    for (size_t i = 0; bench->inputs && i < infer_model_input_count(bench->model); i++)
        free(bench->inputs[i].data);
    free(bench->inputs);
    bench->inputs = NULL;
}

/* Whether the first dimension of every input is free and nothing else is: then it is the batch. */
static bool has_batch(const infer_model *model)
{
    for (size_t i = 0; i < infer_model_input_count(model); i++) {
        infer_value value;
        infer_model_input(model, i, &value);
        if (value.rank < 1 || value.dims[0] >= 0)
            return false;
        for (int k = 1; k < value.rank; k++)
            if (value.dims[k] < 0)
                return false;
    }
    return infer_model_input_count(model) > 0;
}

static enum status batch_inputs(struct bench *bench, int64_t batch, struct error *error)
{
    size_t count = infer_model_input_count(bench->model);
    bench->inputs = calloc(count, sizeof *bench->inputs);
    if (!bench->inputs)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for %zu inputs", count);
    for (size_t i = 0; i < count; i++) {
        infer_value value;
        infer_model_input(bench->model, i, &value);
        bench->inputs[i].dtype = value.dtype;
        bench->inputs[i].rank = value.rank;
        memcpy(bench->inputs[i].dims, value.dims, sizeof value.dims);
        bench->inputs[i].dims[0] = batch;
    }
    return STATUS_OK;
}

static int make_inputs(struct bench *bench, int64_t batch)
{
    struct error error = {0};
    enum status status = batch ? batch_inputs(bench, batch, &error)
                               : shaped_inputs(bench->model, &bench->request->shapes, &bench->inputs, &error);
    if (status != STATUS_OK)
        return tool_failed(bench->tool, "%s: %s", bench->request->path, error.text);
    for (size_t i = 0; i < infer_model_input_count(bench->model); i++) {
        infer_tensor *tensor = &bench->inputs[i];
        tensor->bytes = infer_tensor_bytes(tensor->dtype, tensor->rank, tensor->dims);
        tensor->data = tensor->bytes < SIZE_MAX ? malloc(tensor->bytes + 1) : NULL;
        if (!tensor->data)
            return tool_failed(bench->tool, "%s: out of memory for input %zu", bench->request->path, i);
        fill(tensor);
    }
    return EXIT_DONE;
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
    free_data(bench);
    return status;
}

static int run_all(struct bench *bench)
{
    static const int64_t batches[] = {1, 4, 16};
    if (bench->request->shapes.count > 0 || !has_batch(bench->model))
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
