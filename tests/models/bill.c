/* The bill of memory, held to what an allocator counts: `bill MODEL.bin INPUT.npy... [/ INPUT.npy...]` runs the sets of
 * inputs in turn. What a session says that it holds must be what was allocated; a second round must allocate nothing;
 * and under any limit the sum must stay below it, in one context and in eight, where a run succeeds or is refused. All
 * of it happens in a thread with as little stack as infer.h asks for. */
#include "runtime/infer.h"
#include "tests/small_stack.h"
#include "tools/arrays.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SETS 8
#define MOST_CONTEXTS 8
#define MOST_OUTPUTS 64

struct counting {
    atomic_size_t held, peak;
    atomic_long calls;
};

static void *count_allocate(void *user, size_t bytes, size_t alignment)
{
    struct counting *counting = user;
    size_t held = atomic_fetch_add(&counting->held, bytes) + bytes, peak = atomic_load(&counting->peak);
    while (held > peak && !atomic_compare_exchange_weak(&counting->peak, &peak, held)) {
    }
    atomic_fetch_add(&counting->calls, 1);
    return default_allocator.allocate(NULL, bytes, alignment);
}

static void count_release(void *user, void *memory, size_t bytes)
{
    struct counting *counting = user;
    atomic_fetch_sub(&counting->held, bytes);
    default_allocator.release(NULL, memory, bytes);
}

struct job {
    const char *path;
    struct counting counting;
    infer_allocator allocator;
    infer_model *model;
    struct input_set sets[MOST_SETS];
    int set_count;
    size_t most; /* without a limit: the most that was held at once, with the weights */
    infer_tensor outputs[MOST_OUTPUTS];
    char fault[600], refusal[480]; /* the last one's sentence */
};

static bool fail(struct job *job, const char *text, const char *more)
{
    if (!*job->fault)
        snprintf(job->fault, sizeof job->fault, "%s%s%s", text, *more ? ": " : "", more);
    return false;
}

/* Contexts that run; false where one does what it must not. */
struct runs {
    infer_session *session;
    infer_context *contexts[MOST_CONTEXTS];
    int done, refused;
};

static bool run_round(struct job *job, struct runs *runs, int contexts, bool limited)
{
    infer_error error = {0};
    for (int c = 0; c < contexts; c++) {
        if (!runs->contexts[c] && infer_context_create(runs->session, &runs->contexts[c], &error) != INFER_OK) {
            if (!limited || error.status != INFER_MEMORY_LIMIT)
                return fail(job, "a context cannot be made", error.message);
            runs->refused++;
            continue;
        }
        for (int s = 0; s < job->set_count; s++) {
            const struct input_set *set = &job->sets[s];
            memset(job->outputs, 0, sizeof job->outputs);
            infer_status status = infer_run(runs->contexts[c], set->tensors, set->count, job->outputs,
                                            infer_model_output_count(job->model), &error);
            if (status != INFER_OK && (!limited || status != INFER_MEMORY_LIMIT))
                return fail(job, "a run fails", error.message);
            runs->done += status == INFER_OK;
            runs->refused += status != INFER_OK;
            if (status != INFER_OK)
                memcpy(job->refusal, error.message, sizeof job->refusal);
        }
    }
    return true;
}

static void end_runs(struct runs *runs)
{
    for (int c = 0; c < MOST_CONTEXTS; c++)
        infer_context_release(runs->contexts[c]);
    infer_session_release(runs->session);
}

static bool check_bill(struct job *job, const struct runs *runs)
{
    infer_memory memory;
    if (infer_session_memory(runs->session, &memory, NULL) != INFER_OK)
        return fail(job, "it does not tell its memory", "");
    size_t held = atomic_load(&job->counting.held);
    if (memory.held_bytes != held + memory.weight_bytes)
        return fail(job, "what is held is not what was allocated", "");
    size_t told = memory.constant_bytes + memory.packed_bytes + memory.table_bytes + memory.arena_bytes +
                  memory.result_bytes + memory.context_bytes;
    return !memory.complete || told == held || fail(job, "the kinds do not add up to what is held", "");
}

static bool run_free(struct job *job)
{
    struct runs runs = {0};
    infer_session_options options = {.threads = 1};
    atomic_store(&job->counting.peak, atomic_load(&job->counting.held));
    bool good =
        infer_session_create(job->model, &options, &runs.session, NULL) == INFER_OK || fail(job, "no session", "");
    good = good && run_round(job, &runs, 1, false);
    long calls = atomic_load(&job->counting.calls);
    good = good && run_round(job, &runs, 1, false);
    if (good && atomic_load(&job->counting.calls) != calls)
        good = fail(job, "the second round allocates", "");
    good = good && check_bill(job, &runs);
    end_runs(&runs);
    job->most = atomic_load(&job->counting.peak) + infer_model_weight_bytes(job->model);
    return good;
}

static bool run_limited(struct job *job, size_t limit, int contexts, bool must_do)
{
    struct runs runs = {0};
    infer_error error = {0};
    infer_session_options options = {.threads = 1, .memory_limit = limit};
    size_t weights = infer_model_weight_bytes(job->model), before = atomic_load(&job->counting.held);
    atomic_store(&job->counting.peak, before);
    bool good = true;
    if (infer_session_create(job->model, &options, &runs.session, &error) == INFER_OK)
        good = run_round(job, &runs, contexts, true);
    else if (error.status != INFER_MEMORY_LIMIT)
        good = fail(job, "a session cannot be made", error.message);
    size_t peak = atomic_load(&job->counting.peak);
    if (good && peak > before && peak + weights > limit)
        good = fail(job, "more is held than the limit", "");
    if (good && must_do && runs.done != job->set_count)
        good = fail(job, "what is enough without a limit is refused with one", job->refusal);
    end_runs(&runs);
    return good;
}

/* Where strips are looked for, plans are searched deepest. */
static bool prepare_strips(struct job *job)
{
    infer_session *session;
    infer_error error = {0};
    infer_session_options options = {.threads = 1, .memory_saving = true};
    infer_status status = infer_session_create(job->model, &options, &session, &error);
    for (int s = 0; s < job->set_count && status == INFER_OK; s++)
        status = infer_session_prepare(session, job->sets[s].tensors, job->sets[s].count, NULL, &error);
    infer_session_release(session);
    return status == INFER_OK || fail(job, "strips cannot be prepared", error.message);
}

static void *work(void *user)
{
    static const int percents[] = {20, 50, 80, 95, 100};
    struct job *job = user;
    bool good = prepare_strips(job) && run_free(job);
    for (size_t i = 0; good && i < sizeof percents / sizeof percents[0]; i++)
        good = run_limited(job, job->most / 100 * (size_t)percents[i] + (percents[i] == 100 ? 100 : 0), 1,
                           percents[i] == 100);
    return good && run_limited(job, job->most + job->most / 4, MOST_CONTEXTS, false) ? NULL : user;
}

static bool read_sets(struct job *job, int count, char **paths, struct error *error)
{
    for (int first = 0, i = 0; i <= count; i++) {
        if (i < count && strcmp(paths[i], "/") != 0)
            continue;
        if (job->set_count == MOST_SETS ||
            read_inputs(job->model, i - first, paths + first, &job->sets[job->set_count++], error) != STATUS_OK)
            return false;
        first = i + 1;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct job job;
    struct error error = {0};
    infer_error opening = {0};
    if (argc < 3)
        return fprintf(stderr, "bill MODEL.bin INPUT.npy... [/ INPUT.npy...]\n") < 0 ? 1 : 2;
    job.path = argv[1];
    job.allocator = (infer_allocator){count_allocate, count_release, &job.counting};
    infer_model_options options = {.allocator = &job.allocator};
    bool good =
        infer_model_open(job.path, &options, &job.model, &opening) == INFER_OK || fail(&job, opening.message, "");
    good = good && (read_sets(&job, argc - 2, argv + 2, &error) || fail(&job, error.text, ""));
    good = good && (!small_stack_run(work, &job) || fail(&job, "a thread cannot be made", ""));
    infer_model_release(job.model);
    if (good && atomic_load(&job.counting.held) != 0)
        good = fail(&job, "not all of it is given back", "");
    for (int s = 0; s < job.set_count; s++)
        free_inputs(&job.sets[s]);
    if (good)
        printf("%zu\n", job.most);
    else
        fprintf(stderr, "bill: %s: %s\n", job.path, job.fault);
    return good ? 0 : 1;
}
