#include "tools/report.h"

#include "tools/arrays.h"
#include "tools/common.h"
#include "tools/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The high-water mark of this process alone: ru_maxrss also counts what it was before it became this program. */
static size_t peak_rss_bytes(void)
{
    char line[200];
    size_t kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "VmHWM: %zu", &kilobytes) != 1)
        continue;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

void report_start(struct report *report, const char *model_path)
{
    report->model_path = model_path;
    report->started = seconds_now();
    report->start_rss_bytes = peak_rss_bytes();
}

void report_loaded(struct report *report)
{
    report->load_ms = (seconds_now() - report->started) * 1e3;
}

bool report_run(struct report *report, double ms)
{
    if (report->run_count == report->run_capacity) {
        size_t capacity = report->run_capacity ? report->run_capacity * 2 : 64;
        double *larger = realloc(report->runs_ms, capacity * sizeof *larger);
        if (!larger)
            return false;
        report->runs_ms = larger;
        report->run_capacity = capacity;
    }
    report->runs_ms[report->run_count++] = ms;
    return true;
}

void report_free(struct report *report)
{
    free(report->runs_ms);
    *report = (struct report){0};
}

/* --- latency --------------------------------------------------------------------------------------------- */

struct latency {
    double min, median, p90, p99, max, mean;
};

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The nearest-rank percentile of sorted times. */
static double percentile(const double *sorted, size_t count, double share)
{
    size_t rank = (size_t)ceil(share * (double)count);
    return sorted[rank ? rank - 1 : 0];
}

static struct latency summarise(const struct report *report)
{
    size_t count = report->run_count;
    double *sorted = malloc((count ? count : 1) * sizeof *sorted);
    if (!sorted || count == 0) {
        free(sorted);
        return (struct latency){0};
    }
    memcpy(sorted, report->runs_ms, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_doubles);
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += sorted[i];
    struct latency latency = {
        .min = sorted[0],
        .median = count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2,
        .p90 = percentile(sorted, count, 0.90),
        .p99 = percentile(sorted, count, 0.99),
        .max = sorted[count - 1],
        .mean = sum / (double)count,
    };
    free(sorted);
    return latency;
}

/* --- JSON ------------------------------------------------------------------------------------------------ */

static void json_tensor(FILE *file, const char *name, const infer_tensor *tensor)
{
    fputs("{\"name\":", file);
    json_text(file, name);
    fprintf(file, ",\"dtype\":\"%s\",\"shape\":", infer_dtype_name(tensor->dtype));
    json_dims(file, tensor->rank, tensor->dims);
    fputc('}', file);
}

static void json_tensors(FILE *file, const struct report_subject *subject, bool inputs)
{
    size_t count = inputs ? infer_model_input_count(subject->model) : infer_model_output_count(subject->model);
    fprintf(file, ",\"%s\":[", inputs ? "inputs" : "outputs");
    for (size_t i = 0; i < count; i++) {
        infer_value value = {.name = ""};
        if (inputs)
            infer_model_input(subject->model, i, &value);
        else
            infer_model_output(subject->model, i, &value);
        fputs(i ? "," : "", file);
        json_tensor(file, value.name, inputs ? &subject->inputs[i] : &subject->outputs[i]);
    }
    fputc(']', file);
}

static void json_latency(FILE *file, const struct report *report)
{
    struct latency latency = summarise(report);
    fprintf(file, ",\"load_ms\":%.3f,\"first_run_ms\":%.3f", report->load_ms, report->first_run_ms);
    fprintf(file, ",\"latency_ms\":{\"min\":%.4f,\"median\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"max\":%.4f,\"mean\":%.4f}",
            latency.min, latency.median, latency.p90, latency.p99, latency.max, latency.mean);
    fprintf(file, ",\"runs\":%zu,\"throughput_per_s\":%.2f", report->run_count,
            latency.mean > 0 ? 1e3 / latency.mean : 0.0);
}

/* Of the runs, which all had one shape; it makes no program, so it does not fail. */
static infer_memory memory_of_runs(const struct report_subject *subject)
{
    infer_memory memory = {.isa = INFER_ISA_REFERENCE};
    infer_session_memory(subject->session, &memory, NULL);
    return memory;
}

enum status report_json(const struct report *report, const struct report_subject *subject, const char *path,
                        struct error *error)
{
    infer_memory memory = memory_of_runs(subject);
    FILE *file = text_open(path, error);
    if (!file)
        return error->status;
    fputs("{\"model\":", file);
    json_text(file, report->model_path);
    bool cuda = infer_session_device(subject->session) == INFER_DEVICE_CUDA;
    fprintf(file, ",\"device\":\"%s\",\"isa\":\"%s\",\"threads\":%d,\"threads_wanted\":%d,\"precision\":\"fp32\"",
            cuda ? "cuda" : "cpu", isa_text(memory.isa), infer_session_threads(subject->session),
            subject->threads_wanted);
    json_latency(file, report);
    fprintf(
        file,
        ",\"weight_bytes\":%zu,\"stored_bytes\":%zu,\"constant_bytes\":%zu,\"packed_bytes\":%zu,\"table_bytes\":%zu",
        memory.weight_bytes, memory.stored_bytes, memory.constant_bytes, memory.packed_bytes, memory.table_bytes);
    fprintf(file, ",\"activation_bytes\":%zu,\"activation_lower_bound_bytes\":%zu,\"activation_is_least\":%s",
            infer_context_arena_bytes(subject->context), memory.lower_bound_bytes,
            memory.arena_is_least ? "true" : "false");
    fprintf(file, ",\"workspace_bytes\":%zu,\"result_bytes\":%zu,\"context_bytes\":%zu", memory.workspace_bytes,
            memory.result_bytes, memory.context_bytes);
    if (cuda)
        fprintf(file, ",\"device_weight_bytes\":%zu,\"device_arena_bytes\":%zu", memory.device_weight_bytes,
                memory.device_arena_bytes);
    fprintf(file, ",\"peak_rss_bytes\":%zu,\"steps\":%zu", peak_rss_bytes() - report->start_rss_bytes, memory.steps);
    json_tensors(file, subject, true);
    json_tensors(file, subject, false);
    fputs("}\n", file);
    return text_close(file, path, error);
}

/* --- for people ------------------------------------------------------------------------------------------ */

#define MOST_SHOWN 5

/* One list of 2 to 100,000 floating point numbers: a row of class scores, as far as anyone can tell. */
static int64_t score_count(const infer_tensor *tensor)
{
    bool floating = tensor->dtype == INFER_FLOAT32 || tensor->dtype == INFER_FLOAT64 ||
                    tensor->dtype == INFER_FLOAT16 || tensor->dtype == INFER_BFLOAT16;
    int64_t count = tensor->rank > 0 ? tensor->dims[0] : 0, longest = count;
    for (int i = 1; i < tensor->rank; i++) {
        count *= tensor->dims[i];
        longest = tensor->dims[i] > longest ? tensor->dims[i] : longest;
    }
    return floating && count == longest && count > 1 && count <= 100000 ? count : 0;
}

struct labels {
    char *text;
    char **lines;
    size_t count;
};

/* Cuts the text, which the labels own from then on, into lines; an empty one is the label of its class too. */
static enum status cut_labels(struct labels *labels, struct error *error)
{
    size_t count = 0;
    for (const char *c = labels->text; *c; c++)
        count += *c == '\n';
    labels->lines = calloc(count + 2, sizeof *labels->lines);
    if (!labels->lines)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for labels");
    for (char *line = labels->text, *end; *line; line = end) {
        labels->lines[labels->count++] = line;
        end = line + strcspn(line, "\n");
        if (end > line && end[-1] == '\r')
            end[-1] = '\0';
        if (*end)
            *end++ = '\0';
    }
    return STATUS_OK;
}

static enum status read_labels(const char *path, struct labels *labels, struct error *error)
{
    *labels = (struct labels){0};
    if (!path)
        return STATUS_OK;
    FILE *file = fopen(path, "r");
    if (!file)
        return error_set(error, STATUS_IO, "%s: cannot open: %s", path, strerror(errno));
    size_t capacity = 0;
    ssize_t length = getdelim(&labels->text, &capacity, '\0', file);
    fclose(file);
    if (length <= 0)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%s: no labels in it", path);
    return cut_labels(labels, error);
}

/* Those that the model has for an output; none where it has none. */
static enum status model_labels(const infer_model *model, const char *output, struct labels *labels,
                                struct error *error)
{
    char key[300];
    *labels = (struct labels){0};
    if (snprintf(key, sizeof key, "labels:%s", output) >= (int)sizeof key)
        return STATUS_OK;
    const char *text = infer_model_metadata(model, key);
    if (!text)
        return STATUS_OK;
    labels->text = strdup(text);
    return labels->text ? cut_labels(labels, error)
                        : error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for labels");
}

static void free_labels(struct labels *labels)
{
    free(labels->text);
    free(labels->lines);
}

static void show_scores(const infer_tensor *tensor, int64_t count, const struct labels *labels)
{
    int64_t best[MOST_SHOWN];
    int shown = 0;
    for (int64_t i = 0; i < count; i++) {
        int place = shown;
        while (place > 0 && tensor_element(tensor, i) > tensor_element(tensor, best[place - 1]))
            place--;
        if (place == MOST_SHOWN)
            continue;
        shown += shown < MOST_SHOWN;
        memmove(&best[place + 1], &best[place], (size_t)(shown - 1 - place) * sizeof *best);
        best[place] = i;
    }
    for (int i = 0; i < shown; i++)
        printf("  %10.6g  %s%lld%s%s\n", tensor_element(tensor, best[i]), "class ", (long long)best[i],
               (size_t)best[i] < labels->count ? "  " : "",
               (size_t)best[i] < labels->count ? legible(labels->lines[best[i]]).text : "");
}

/* The first ones of an output that is no list of scores. */
static void show_first(const infer_tensor *tensor)
{
    int64_t count;
    infer_tensor numbers = tensor_numbers(tensor, &count);
    int64_t shown = count < MOST_SHOWN ? count : MOST_SHOWN;
    for (int64_t i = 0; i < shown; i++)
        printf("%s%.6g", i ? ", " : "  ", tensor_element(&numbers, i));
    if (count > 0)
        printf(shown < count ? ", ...\n" : "\n");
}

/* The first elements of a list that counts among the labels. */
static void show_classes(const infer_tensor *tensor, const struct labels *labels)
{
    const int64_t *classes = tensor->data;
    int64_t shown = tensor->dims[0] < MOST_SHOWN ? tensor->dims[0] : MOST_SHOWN;
    for (int64_t i = 0; i < shown; i++)
        if (classes[i] >= 0 && (uint64_t)classes[i] < labels->count)
            printf("  class %lld  %s\n", (long long)classes[i], legible(labels->lines[classes[i]]).text);
}

static enum status show_output(const struct report_subject *subject, size_t index, const struct labels *given,
                               struct error *error)
{
    infer_value value = {.name = ""};
    const infer_tensor *tensor = &subject->outputs[index];
    struct labels own;
    infer_model_output(subject->model, index, &value);
    enum status status = model_labels(subject->model, value.name, &own, error);
    const struct labels *labels = given->count ? given : &own;
    printf("output %zu  %s  %s ", index, legible(value.name).text, infer_dtype_name(tensor->dtype));
    if (tensor->rank == 0)
        printf("scalar");
    for (int i = 0; i < tensor->rank; i++)
        printf("%s%lld", i ? "x" : "", (long long)tensor->dims[i]);
    putchar('\n');
    int64_t count = score_count(tensor);
    if (count)
        show_scores(tensor, count, labels);
    else if (own.count && tensor->dtype == INFER_INT64 && tensor->rank == 1)
        show_classes(tensor, &own);
    else
        show_first(tensor);
    free_labels(&own);
    return status;
}

/* Of a GPU, its name too. */
static void show_device(const infer_session *session)
{
    infer_device_info info;
    if (infer_session_device(session) == INFER_DEVICE_CUDA &&
        infer_device_query(INFER_DEVICE_CUDA, &info, NULL) == INFER_OK)
        printf("cuda (%s), ", info.name);
}

/* Whether what the file holds packed is of use here. */
static void print_packs(const struct report_subject *subject)
{
    char sets[80];
    infer_memory memory = memory_of_runs(subject);
    if (!*packed_sets(subject->model, sets, sizeof sets))
        return;
    if (memory.stored_bytes && !memory.packed_bytes)
        printf("weights packed in the file for %s\n", sets);
    else if (memory.packed_bytes)
        printf("weights packed in the file for %s; %s packed again for these kernels and shapes\n", sets,
               memory.stored_bytes ? "some were" : "they were");
}

enum status report_text(const struct report *report, const struct report_subject *subject, struct error *error)
{
    struct labels labels;
    enum status status = read_labels(subject->labels, &labels, error);
    if (status == STATUS_OK) {
        struct latency latency = summarise(report);
        int threads = infer_session_threads(subject->session);
        show_device(subject->session);
        printf("cpu, %s kernels, %d thread%s", isa_text(memory_of_runs(subject).isa), threads, threads == 1 ? "" : "s");
        if (threads < subject->threads_wanted)
            printf(" (%d were asked for; the system started no more)", subject->threads_wanted);
        putchar('\n');
        print_packs(subject);
        for (size_t i = 0; i < infer_model_output_count(subject->model) && status == STATUS_OK; i++)
            status = show_output(subject, i, &labels, error);
        printf("latency  %.3f ms", latency.median);
        if (report->run_count > 1)
            printf(" median of %zu runs (%.3f to %.3f)", report->run_count, latency.min, latency.max);
        putchar('\n');
        status = status == STATUS_OK ? text_close(stdout, "-", error) : status;
    }
    free_labels(&labels);
    return status;
}
