/* infer as one of the engines that bench_peers.py measures: `bench_worker MODEL.bin THREADS [NAME=FILE.npy]...` opens
 * the model, runs it once, and then does what it is told on stdin, a line each, through the public interface alone.
 * With `--without KERNEL` before MODEL.bin it does without a kernel, which no public interface offers: bench_choice.py
 * sees so what another one would have made of its steps.
 *
 *     at the start      ready LOAD FIRST   seconds to open it, and of the first run
 *     run N             times T...         seconds of each of N runs
 *     memory            memory BYTES       that the process grew by at its peak, since before it opened the model
 *     save DIRECTORY    saved              the outputs as output_0.npy, ...
 *     profile N FILE    profiled           a Chrome trace of N runs
 *
 * Where something fails it says why on stderr and ends with 1. */
#include "runtime/session.h"
#include "tools/arrays.h"
#include "tools/report.h"
#include "tools/run_profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_KERNELS 1024

struct worker {
    infer_model *model;
    infer_session *session;
    infer_context *context;
    struct input_set inputs;
    infer_tensor *outputs;
    size_t output_count, start_bytes;
    const struct kernel *kernels[MOST_KERNELS]; /* where one is left out: the others */
};

static bool failed(const char *message)
{
    fprintf(stderr, "bench_worker: %s\n", message);
    return false;
}

/* --- memory -------------------------------------------------------------------------------------------------- */

/* The most that this process ever had in memory. */
static size_t peak_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    unsigned long long kilobytes = 0;
    char line[256];
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return (size_t)kilobytes * 1024;
}

/* The peak becomes what there is now. */
static void forget_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file)
        return;
    fputs("5", file);
    fclose(file);
}

/* --- runs ---------------------------------------------------------------------------------------------------- */

static bool run_once(struct worker *worker, double *seconds)
{
    infer_error error = {0};
    memset(worker->outputs, 0, worker->output_count * sizeof *worker->outputs);
    double start = seconds_now();
    infer_status status = infer_run(worker->context, worker->inputs.tensors, worker->inputs.count, worker->outputs,
                                    worker->output_count, &error);
    *seconds = seconds_now() - start;
    return status == INFER_OK || failed(error.message);
}

static bool run_times(struct worker *worker, int count)
{
    double *seconds = calloc((size_t)count + 1, sizeof *seconds);
    bool done = seconds || failed("out of memory");
    for (int i = 0; done && i < count; i++)
        done = run_once(worker, &seconds[i]);
    if (done) {
        fputs("times", stdout);
        for (int i = 0; i < count; i++)
            printf(" %.9f", seconds[i]);
        putchar('\n');
    }
    free(seconds);
    return done;
}

static bool save(struct worker *worker, const char *directory)
{
    struct error error = {0};
    for (size_t i = 0; i < worker->output_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "output_%zu", i);
        if (write_tensor(directory, name, &worker->outputs[i], &error) != STATUS_OK)
            return failed(error.text);
    }
    puts("saved");
    return true;
}

static bool profile_runs(struct worker *worker, int count, const char *path)
{
    struct error error = {0};
    struct profile profile;
    infer_observer observer = {.before = profile_before, .after = profile_after, .user = &profile};
    double seconds;
    bool done = true;
    profile_start(&profile);
    infer_context_observe(worker->context, &observer);
    for (int i = 0; done && i < count; i++)
        done = run_once(worker, &seconds);
    infer_context_observe(worker->context, NULL);
    if (done && profile_write(&profile, path, "runs", &error) != STATUS_OK)
        done = failed(error.text);
    profile_free(&profile);
    if (done)
        puts("profiled");
    return done;
}

/* --- all of it ----------------------------------------------------------------------------------------------- */

static bool leave_out(struct worker *worker, const char *name)
{
    const struct kernel *kernel;
    size_t count = 0, all = 0;
    for (; (kernel = kernel_at(all)); all++)
        if (strcmp(kernel->name, name) != 0 && count + 1 < MOST_KERNELS)
            worker->kernels[count++] = kernel;
    worker->session->facts.kernels = worker->kernels;
    return count + 1 == all || failed("no kernel has the name that is to be left out");
}

static bool start(struct worker *worker, int argc, char **argv, const char *without)
{
    infer_error error = {0};
    struct error from = {0};
    double first, begun;
    forget_peak();
    worker->start_bytes = peak_bytes();
    begun = seconds_now();
    if (infer_model_open(argv[1], NULL, &worker->model, &error) != INFER_OK ||
        infer_session_create(worker->model, &(infer_session_options){.threads = atoi(argv[2])}, &worker->session,
                             &error) != INFER_OK)
        return failed(error.message);
    if (without && !leave_out(worker, without))
        return false;
    if (infer_context_create(worker->session, &worker->context, &error) != INFER_OK)
        return failed(error.message);
    double load = seconds_now() - begun;
    if (read_inputs(worker->model, argc - 3, argv + 3, &worker->inputs, &from) != STATUS_OK)
        return failed(from.text);
    worker->output_count = infer_model_output_count(worker->model);
    worker->outputs = calloc(worker->output_count + 1, sizeof *worker->outputs);
    if (!worker->outputs)
        return failed("out of memory");
    if (!run_once(worker, &first))
        return false;
    printf("ready %.9f %.9f\n", load, first);
    return true;
}

static bool obey(struct worker *worker, const char *line)
{
    char path[1024];
    int count;
    if (sscanf(line, "run %d", &count) == 1)
        return run_times(worker, count);
    if (sscanf(line, "profile %d %1023[^\n]", &count, path) == 2)
        return profile_runs(worker, count, path);
    if (sscanf(line, "save %1023[^\n]", path) == 1)
        return save(worker, path);
    if (strcmp(line, "memory\n") == 0)
        return printf("memory %zu\n", peak_bytes() - worker->start_bytes) > 0;
    return failed("unknown command");
}

static bool work(struct worker *worker, int argc, char **argv, const char *without)
{
    char line[2048];
    bool done = start(worker, argc, argv, without);
    fflush(stdout);
    while (done && fgets(line, sizeof line, stdin)) {
        done = obey(worker, line);
        fflush(stdout);
    }
    return done;
}

int main(int argc, char **argv)
{
    static struct worker worker;
    const char *without = argc > 2 && strcmp(argv[1], "--without") == 0 ? argv[2] : NULL;
    int skipped = without ? 2 : 0;
    if (argc - skipped < 3)
        return fputs("bench_worker: [--without KERNEL] MODEL.bin THREADS [NAME=FILE.npy]...\n", stderr) < 0 ? 1 : 2;
    bool done = work(&worker, argc - skipped, argv + skipped, without);
    free_inputs(&worker.inputs);
    free(worker.outputs);
    infer_context_release(worker.context);
    infer_session_release(worker.session);
    infer_model_release(worker.model);
    return done ? 0 : 1;
}
