#include "tools/run_stream.h"

#include "runtime/cores.h"
#include "runtime/infer_predictor.h"
#include "tools/item_source.h"
#include "tools/json.h"
#include "tools/report.h"
#include "tools/watch_metrics.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MOST_WAITING (1 << 20) /* the longest queue that a predictor has */

/* An item on its way. */
struct flight {
    char *name;
    struct input_set inputs;
    infer_prediction *prediction;
};

struct stream {
    const struct tool *tool;
    const struct stream_request *request;
    infer_predictor *predictor;
    struct item_source items;
    struct metrics_watch watch;
    struct flight *flights; /* a ring */
    size_t most, first, count;
    size_t done, failed;
    bool broken; /* nothing more can be read or written */
};

static bool to_stdout(const struct stream *stream)
{
    const struct stream_request *request = stream->request;
    return !request->output && !(request->json && strcmp(request->json, "-") == 0);
}

/* Not through a bar. */
static void complain(struct stream *stream, const char *name, const char *sentence)
{
    if (stream->watch.is_terminal)
        fputs("\r\033[J", stderr);
    if (name[0])
        tool_failed(stream->tool, "%s: %s", legible(name).text, sentence);
    else
        tool_failed(stream->tool, "%s", sentence);
    stream->failed++;
}

/* --- what comes of an item ---------------------------------------------------------------------------------------- */

/* NAME  output 0  float32 1x10, and the largest of its elements, with its place. */
static void show_result(const char *name, size_t index, const infer_tensor *tensor)
{
    int64_t count, place = 0;
    infer_tensor numbers = tensor_numbers(tensor, &count);
    printf("%s  output %zu  %s ", legible(name).text, index, infer_dtype_name(tensor->dtype));
    if (tensor->rank == 0)
        printf("scalar");
    for (int i = 0; i < tensor->rank; i++)
        printf("%s%lld", i ? "x" : "", (long long)tensor->dims[i]);
    for (int64_t i = 1; i < count; i++)
        place = tensor_element(&numbers, i) > tensor_element(&numbers, place) ? i : place;
    if (count > 0)
        printf("  largest %.6g at %lld", tensor_element(&numbers, place), (long long)place);
    putchar('\n');
}

/* DIR/NAME/output_0.npy */
static enum status write_result(const char *folder, size_t index, const infer_tensor *tensor, struct error *error)
{
    char file[40];
    snprintf(file, sizeof file, "output_%zu", index);
    return write_tensor(folder, file, tensor, error);
}

static enum status item_folder(const char *output, const char *name, char *folder, struct error *error)
{
    enum status status = tensor_path(output, name, folder, error);
    if (status != STATUS_OK)
        return status;
    folder[strlen(folder) - strlen(".npy")] = '\0';
    return make_directory(folder, error);
}

static enum status take_results(struct stream *stream, struct flight *flight, struct error *error)
{
    const char *output = stream->request->output;
    char folder[PATH_MAX];
    enum status status = output ? item_folder(output, flight->name, folder, error) : STATUS_OK;
    for (size_t i = 0; status == STATUS_OK; i++) {
        const infer_tensor *result = infer_prediction_result(flight->prediction, i);
        if (!result)
            break;
        if (output)
            status = write_result(folder, i, result, error);
        else if (to_stdout(stream))
            show_result(flight->name, i, result);
    }
    if (status == STATUS_OK && to_stdout(stream))
        status = text_close(stdout, "-", error);
    return status;
}

static void end_first(struct stream *stream)
{
    struct flight *flight = &stream->flights[stream->first];
    infer_error failure;
    struct error error = {0};
    while (!infer_prediction_wait(flight->prediction, 0.1))
        metrics_watch_step(&stream->watch, stream->done);
    if (infer_prediction_status(flight->prediction, &failure) != INFER_OK) {
        complain(stream, flight->name, failure.message);
    } else if (!stream->broken && take_results(stream, flight, &error) != STATUS_OK) {
        complain(stream, "", error.text);
        stream->broken = true;
    }
    infer_prediction_release(flight->prediction);
    free_inputs(&flight->inputs);
    free(flight->name);
    stream->first = (stream->first + 1) % stream->most;
    stream->count--;
    stream->done++;
    metrics_watch_step(&stream->watch, stream->done);
}

/* --- the stream --------------------------------------------------------------------------------------------------- */

/* False: there is no further item. */
static bool begin_next(struct stream *stream)
{
    struct flight *flight = &stream->flights[(stream->first + stream->count) % stream->most];
    char name[PATH_MAX] = "";
    struct error error = {0};
    infer_error failure = {.message = "out of memory for its name"};
    bool end;
    enum status status = item_source_next(&stream->items, name, &flight->inputs, &end, &stream->broken, &error);
    if (end && status == STATUS_OK)
        return false;
    if (status != STATUS_OK) {
        complain(stream, strstr(error.text, name) ? "" : name, error.text);
        stream->done++;
        return !stream->broken && !end;
    }
    flight->name = strdup(name);
    if (!flight->name || infer_predict_async(stream->predictor, flight->inputs.tensors, flight->inputs.count, NULL, 0,
                                             NULL, &flight->prediction, &failure) != INFER_OK) {
        complain(stream, name, failure.message);
        free(flight->name);
        free_inputs(&flight->inputs);
        stream->done++;
        return true;
    }
    stream->count++;
    return true;
}

static void run_items(struct stream *stream)
{
    bool more = true;
    while (more || stream->count > 0) {
        while (more && !stream->broken && stream->count < stream->most)
            more = begin_next(stream);
        more = more && !stream->broken;
        if (stream->count > 0)
            end_first(stream);
    }
}

static enum status write_json(struct stream *stream, struct error *error)
{
    infer_metrics metrics;
    char text[16384];
    FILE *file = text_open(stream->request->json, error);
    if (!file)
        return error->status;
    infer_metrics_snapshot(stream->predictor, &metrics, NULL);
    infer_metrics_json(&metrics, text, sizeof text);
    fputs("{\"model\":", file);
    json_text(file, stream->request->model_path);
    fprintf(file, ",\"items\":%zu,\"failed\":%zu,\"metrics\":%s}\n", stream->done, stream->failed, text);
    return text_close(file, stream->request->json, error);
}

/* Several runs at once take a thread each; one after another they have all of them. */
static infer_predictor_options predictor_options(const struct stream_request *request, infer_model *model)
{
    infer_predictor_options options = {
        .model = model, .session_options = request->session, .contexts = 1, .batch_size = request->batch};
    if (request->async) {
        options.contexts = request->session.threads ? request->session.threads : usable_cores();
        options.session_options.threads = 1;
    }
    options.max_delay = request->batch > 1 ? 0.005 : 0;                        /* reading the next item takes less */
    int wanted = 4 * (request->batch ? request->batch : 1) * options.contexts; /* at most 4 * 65,536 * 1,024 */
    options.queue_length = wanted < MOST_WAITING ? wanted : MOST_WAITING;
    options.when_full = INFER_FULL_BLOCK;
    return options;
}

static int run_all(struct stream *stream)
{
    struct error error = {0};
    const struct stream_request *request = stream->request;
    if (request->output && make_directory(request->output, &error) != STATUS_OK)
        return tool_failed(stream->tool, "%s", error.text);
    if (item_source_open(&stream->items, infer_predictor_model(stream->predictor), request->source, request->file_count,
                         request->files, &error) != STATUS_OK)
        return tool_failed(stream->tool, "%s", error.text);
    metrics_watch_begin(&stream->watch, stream->predictor, request->watch, stream->items.count);
    run_items(stream);
    metrics_watch_end(&stream->watch, stream->done);
    if (request->json && write_json(stream, &error) != STATUS_OK)
        return tool_failed(stream->tool, "%s", error.text);
    return stream->failed ? EXIT_FAILED : EXIT_DONE;
}

int run_stream(const struct tool *tool, const struct stream_request *request, infer_model *model)
{
    infer_error failure = {0};
    struct stream stream = {.tool = tool, .request = request};
    infer_predictor_options options = predictor_options(request, model);
    stream.most = (size_t)options.queue_length;
    if (infer_predictor_create(&options, &stream.predictor, &failure) != INFER_OK)
        return tool_model_failed(tool, request->model_path, &failure);
    stream.flights = calloc(stream.most, sizeof *stream.flights);
    int status = stream.flights ? run_all(&stream) : tool_failed(tool, "out of memory for %zu items", stream.most);
    item_source_close(&stream.items);
    free(stream.flights);
    infer_predictor_release(stream.predictor);
    return status;
}
