#include "runtime/session.h"

#include "graph/op.h"
#include "runtime/float_environment.h"
#include "runtime/run_control.h"
#include "runtime/session_device.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_PROGRAMS 64

/* INFER_ISA lowers what AUTO chooses; a set the CPU lacks is refused either way. */
static enum status choose_isa(infer_isa wanted, enum isa *isa, struct error *error)
{
    enum isa have = isa_of(cpu_detect());
    const char *name = getenv("INFER_ISA");
    *isa = have;
    if (wanted != INFER_ISA_AUTO)
        *isa = (enum isa)(wanted - INFER_ISA_REFERENCE);
    else if (name && *name && strcmp(name, "auto") != 0 && !isa_from_name(name, isa))
        return error_set(error, STATUS_INVALID_ARGUMENT,
                         "INFER_ISA is '%s'; it must be auto, reference, avx2 or avx512", name);
    if ((unsigned)*isa > ISA_AVX512)
        return error_set(error, STATUS_INVALID_ARGUMENT, "ISA number %d does not exist", (int)wanted);
    if (*isa > have)
        return error_set(error, STATUS_UNSUPPORTED, "this CPU has no %s; the best it has is %s", isa_name(*isa),
                         isa_name(have));
    return STATUS_OK;
}

/* A run has as many lanes as threads were asked for, and no more than the executor has threads. */
static enum status choose_executor(struct infer_session *session, const infer_session_options *options,
                                   struct error *error)
{
    if (options->threads < 0 || options->threads > EXECUTOR_MOST)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%d threads were asked for; it can be 1 to %d, or 0 for all",
                         options->threads, EXECUTOR_MOST);
    session->owns_executor = !options->executor;
    if (options->executor && executor_is_foreign(options->executor))
        return error_set(error, STATUS_INVALID_ARGUMENT,
                         "the executor belongs to the process that this one forked off from; here it can only be "
                         "released");
    if (options->executor)
        session->executor = infer_executor_retain(options->executor);
    else
        TRY(executor_create(&session->budget.allocator, options->threads, &session->executor, error));
    int most = infer_executor_threads(session->executor);
    session->threads = options->threads && options->threads < most ? options->threads : most;
    return STATUS_OK;
}

static enum status choose_device(struct infer_session *session, const infer_session_options *options,
                                 struct error *error)
{
    struct device *none;
    if (options->gemm != INFER_GEMM_NATIVE && options->gemm != INFER_GEMM_CUBLAS)
        return error_set(error, STATUS_INVALID_ARGUMENT, "gemm number %d does not exist", (int)options->gemm);
    if (options->device == INFER_DEVICE_CPU && options->gemm != INFER_GEMM_NATIVE)
        return error_set(error, STATUS_INVALID_ARGUMENT, "cuBLAS computes on a GPU; the session runs on the CPU alone");
    if ((unsigned)options->factors > INFER_FACTORS_BF16)
        return error_set(error, STATUS_INVALID_ARGUMENT, "factors number %d do not exist", (int)options->factors);
    if (options->factors != INFER_FACTORS_F32 &&
        (options->device == INFER_DEVICE_CPU || options->gemm != INFER_GEMM_NATIVE))
        return error_set(error, STATUS_INVALID_ARGUMENT,
                         "factors are rounded on a GPU, by the library's own kernels; the session runs %s",
                         options->device == INFER_DEVICE_CPU ? "on the CPU alone" : "with cuBLAS");
    if (options->device == INFER_DEVICE_CPU)
        return STATUS_OK;
    if (options->device != INFER_DEVICE_CUDA)
        return error_set(error, STATUS_INVALID_ARGUMENT, "device number %d does not exist", (int)options->device);
    if (DEVICE_BUILT)
        return session_open_device(session, options, error);
    device_open(&none, error);
    return error_prefix(error, "device cuda");
}

static enum status read_options(struct infer_session *session, const infer_session_options *options,
                                struct error *error)
{
    static const infer_session_options defaults = {0};
    const infer_session_options *chosen = options ? options : &defaults;
    if (chosen->cached_programs < 0 || chosen->cached_programs > 65536)
        return error_set(error, STATUS_INVALID_ARGUMENT, "cached_programs is %d; it can be 0 to 65536",
                         chosen->cached_programs);
    session->no_optimize = chosen->no_optimize;
    session->memory_saving = chosen->memory_saving;
    session->cached_programs = chosen->cached_programs ? chosen->cached_programs : DEFAULT_PROGRAMS;
    TRY(run_limits_check(&chosen->run_limits, error));
    session->run_limits = chosen->run_limits;
    TRY(choose_isa(chosen->isa, &session->isa, error));
    TRY(choose_executor(session, chosen, error));
    session->facts = (struct kernel_facts){.cpu = cpu_detect() & isa_bits(session->isa),
                                           .threads = session->threads,
                                           .memory_saving = session->memory_saving};
    return choose_device(session, chosen, error);
}

/* What the limit leaves beside the weights and the constants that the session has folded already. */
static size_t constant_limit(const struct infer_session *session)
{
    size_t held = session->model->weight_bytes + session->constant_bytes + session->derived.holder.bytes;
    return session->budget.limit > held ? session->budget.limit - held : 0;
}

static struct constant_work constant_work(const struct infer_session *session)
{
    return (struct constant_work){.most = (double)session->run_limits.multiply_adds};
}

/* Lets go of constants that only others were folded from. */
static enum status drop_unread(struct infer_session *session, struct error *error)
{
    const struct graph *graph = session->graph;
    struct derived *derived = &session->derived;
    unsigned char *marks = derived_marks(derived, &session->region);
    if (!marks)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while making a session");
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i]->input_count; k++)
            derived_mark(derived, marks, graph->nodes[i]->inputs[k]);
    for (int i = 0; i < graph->output_count; i++)
        derived_mark(derived, marks, graph->outputs[i]);
    derived_keep_marked(derived, marks, graph);
    return STATUS_OK;
}

/* Runs the passes that need no shapes. */
static enum status optimise(struct infer_session *session, struct error *error)
{
    struct constant_work work = constant_work(session);
    struct evaluation evaluation = {.facts = &session->facts, .store = &session->derived.store, .work = &work};
    struct pass_context context = {
        .resolve = {.evaluator = evaluator_of(&evaluation), .constant_limit = constant_limit(session)},
        .done = session->model->metadata.passes,
        .done_count = session->model->metadata.pass_count,
        .on_host = !session->device,
    };
    TRY(run_passes(session->graph, &context, NULL, error));
    session->constant_bytes = context.constant_bytes - session->derived.holder.bytes;
    return drop_unread(session, error);
}

static enum status session_start(struct infer_session *session, const infer_session_options *options,
                                 struct error *error)
{
    TRY(read_options(session, options, error));
    TRY(program_cache_init(&session->cache, &session->budget.allocator, session->cached_programs, error));
    session->graph = graph_clone(session->model->graph, &session->region);
    if (!session->graph)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while making a session");
    if (!session->no_optimize)
        TRY(optimise(session, error));
    session->result_bytes =
        region_array(&session->region, 2 * (size_t)session->graph->output_count, sizeof *session->result_bytes);
    if (!session->result_bytes)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory while making a session");
    return STATUS_OK;
}

/* Where the limit is met, programs that nobody uses make room: allocations must not be made under the lock. */
static bool drop_a_program(void *user)
{
    return session_drop_program(user);
}

bool session_drop_program(struct infer_session *session)
{
    pthread_mutex_lock(&session->mutex);
    struct program *dropped = program_cache_take(&session->cache);
    pthread_mutex_unlock(&session->mutex);
    program_release(dropped);
    return dropped != NULL;
}

/* What is there already, and the session itself, count as well. */
static enum status check_model(const struct infer_model *model, size_t limit, size_t *bytes, struct error *error)
{
    size_t tables = model_table_bytes(model) + sizeof(struct infer_session);
    if (add_size(model->weight_bytes, tables, bytes) && *bytes <= limit)
        return STATUS_OK;
    return error_set(error, STATUS_MEMORY_LIMIT,
                     "the model's weights of %zu bytes and tables of %zu are past the limit of %zu",
                     model->weight_bytes, tables, limit);
}

/* Programs are made by threads that run no task. */
static void pack_with_threads(void *user, int tasks, executor_work *work, void *work_user)
{
    const struct infer_session *session = user;
    executor_run(session->executor, session->threads, tasks, work, work_user);
}

infer_status infer_session_create(infer_model *model, const infer_session_options *options, infer_session **result,
                                  infer_error *error)
{
    struct error from = {0};
    if (result)
        *result = NULL;
    if (!model || !result)
        return missing_argument(error, model ? "place for the session" : "model");
    size_t bytes, limit = options && options->memory_limit ? options->memory_limit : SIZE_MAX;
    if (check_model(model, limit, &bytes, &from) != STATUS_OK)
        return publish_error(error, &from);
    struct infer_session *session = allocate(&model->allocator, sizeof *session, ALIGNMENT);
    if (!session) {
        error_set(&from, STATUS_OUT_OF_MEMORY, "out of memory while making a session");
        return publish_error(error, &from);
    }
    memset(session, 0, sizeof *session);
    atomic_init(&session->references, 1);
    session->model = infer_model_retain(model);
    session->next_id = 1;
    budget_init(&session->budget, NULL, &model->allocator, limit);
    budget_reserve(&session->budget, bytes);
    session->budget.reclaim = drop_a_program;
    session->budget.user = session;
    session->account.budget = &session->budget;
    region_init(&session->region, &session->budget.allocator);
    derived_init(&session->derived, &model->weights, &session->account, model->constants, model->constant_bytes,
                 &session->region);
    session->derived.stored = &model->stored;
    session->derived.threads = (struct pack_threads){pack_with_threads, session};
    pthread_mutex_init(&session->mutex, NULL);
    pthread_cond_init(&session->made, NULL);
    struct float_environment outside = float_environment_enter();
    session_start(session, options, &from);
    budget_explain(&session->budget, &from);
    if (from.status == STATUS_OK)
        *result = session;
    else
        infer_session_release(session);
    float_environment_leave(outside);
    return publish_error(error, &from);
}

enum status session_check_process(const struct infer_session *session, struct error *error)
{
    if (!executor_is_foreign(session->executor))
        return STATUS_OK;
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "the session belongs to the process that this one forked off from; here it can only be released");
}

infer_session *infer_session_retain(infer_session *session)
{
    if (session)
        atomic_fetch_add(&session->references, 1);
    return session;
}

void infer_session_release(infer_session *session)
{
    if (!session || atomic_fetch_sub(&session->references, 1) != 1)
        return;
    program_cache_free(&session->cache);
    weight_holder_free(&session->derived.holder);
    region_free(&session->region);
    if (!session->executor || !executor_is_foreign(session->executor)) {
        pthread_cond_destroy(&session->made);
        pthread_mutex_destroy(&session->mutex);
    }
    infer_executor_release(session->executor);
    struct infer_model *model = session->model;
    release(&model->allocator, session, sizeof *session);
    infer_model_release(model);
}

infer_isa infer_session_isa(const infer_session *session)
{
    return session ? (infer_isa)((int)session->isa + INFER_ISA_REFERENCE) : INFER_ISA_AUTO;
}

infer_device infer_session_device(const infer_session *session)
{
    return session && session->device ? INFER_DEVICE_CUDA : INFER_DEVICE_CPU;
}

int infer_session_threads(const infer_session *session)
{
    return session ? session->threads : 0;
}

/* --- programs -------------------------------------------------------------------------------------------- */

/* A program that one thread makes, and that others may wait for. Belongs to all of them: the last one frees it. */
struct making {
    struct making *next;
    int threads;
    struct program_key key; /* the maker's, so only to be read while this is among session->making */
    bool done;
    enum status status;
    struct program *program; /* a reference to it, once done well */
    struct error error;
};

static struct making *find_making(struct infer_session *session, const struct program_key *key)
{
    struct making *making = session->making;
    while (making && !program_key_equal(&making->key, key))
        making = making->next;
    return making;
}

/* What was made, to one of the threads. The same session would have come to the same end for each of them, so an error
 * is theirs as well. The session is locked. */
static enum status take_made(struct infer_session *session, struct making *making, struct program **program,
                             struct error *error)
{
    enum status status = making->status;
    *program = making->program;
    if (status == STATUS_OK)
        program_retain(making->program);
    else
        error_set(error, status, "%s", making->error.text);
    if (--making->threads == 0) {
        program_release(making->program);
        release(&session->budget.allocator, making, sizeof *making);
    }
    return status;
}

static struct making *new_making(struct infer_session *session, const struct program_key *key, struct error *error)
{
    struct making *making = budget_take(&session->budget, sizeof *making, "while making a program", error);
    if (making)
        *making = (struct making){.key = *key};
    return making;
}

static enum status make_program(struct infer_session *session, uint64_t id, const struct program_wanted *wanted,
                                struct program **program, struct error *error)
{
    struct constant_work work = constant_work(session);
    struct program_options options = {
        .budget = &session->budget,
        .specialise = {.facts = session->facts,
                       .work = &work,
                       .interrupt = wanted->interrupt,
                       .fuse = !session->no_optimize,
                       .channels_last = session->channels_last,
                       .memory_saving = session->memory_saving,
                       .constant_limit = constant_limit(session)},
        .derived = &session->derived,
        .weight_bytes = session->model->weight_bytes + session->constant_bytes,
        .table_bytes = session_table_bytes(session),
        .id = id,
        .device = DEVICE_BUILT && session->device && !wanted->on_host ? &session->device->program : NULL,
        .whole = session->whole_programs,
    };
    TRY(wanted->make(wanted->user, &options, program, error));
    enum status status = program_register(*program, &wanted->key, &session->totals, error);
    if (status != STATUS_OK) {
        program_release(*program);
        *program = NULL;
    }
    return status;
}

/* Into the table, in the place of one that is not in use. Where all are, it lives only as long as it is held. */
static void keep_program(struct infer_session *session, struct program *program)
{
    if (program_cache_add(&session->cache, program))
        return;
    struct program *dropped = program_cache_take(&session->cache);
    if (!dropped)
        return;
    program_release(dropped);
    program_cache_add(&session->cache, program);
}

/* The session is locked, but not while the program is made. */
static enum status make_alone(struct infer_session *session, struct making *making, const struct program_wanted *wanted,
                              struct program **program, struct error *error)
{
    making->threads = 1;
    making->next = session->making;
    session->making = making;
    uint64_t id = session->next_id++;
    pthread_mutex_unlock(&session->mutex);
    making->status = make_program(session, id, wanted, program, &making->error);
    pthread_mutex_lock(&session->mutex);
    if (*program)
        keep_program(session, *program);
    struct making **link = &session->making;
    while (*link != making)
        link = &(*link)->next;
    *link = making->next;
    making->program = *program;
    making->done = true;
    pthread_cond_broadcast(&session->made);
    return take_made(session, making, program, error);
}

static enum status wait_for(struct infer_session *session, struct making *making, struct program **program,
                            struct error *error)
{
    making->threads++;
    while (!making->done)
        pthread_cond_wait(&session->made, &session->mutex);
    return take_made(session, making, program, error);
}

/* Its end is that of one run alone, and not of those that wait for its program. */
static bool was_interrupted(enum status status)
{
    return status == STATUS_CANCELLED || status == STATUS_DEADLINE;
}

/* True where the program is there already, or another thread makes it. The session is locked. */
static bool find_or_await(struct infer_session *session, const struct program_key *key, struct program **program,
                          enum status *status, struct error *error)
{
    for (;;) {
        *program = program_cache_find(&session->cache, key);
        if (*program) {
            program_retain(*program);
            program_touch(*program);
            *status = STATUS_OK;
            return true;
        }
        struct making *other = find_making(session, key);
        if (!other)
            return false;
        struct error met = {0};
        *status = wait_for(session, other, program, &met);
        if (was_interrupted(*status))
            continue;
        if (*status != STATUS_OK)
            error_set(error, *status, "%s", met.text);
        return true;
    }
}

enum status session_program(struct infer_session *session, const struct program_wanted *wanted,
                            struct program **program, struct error *error)
{
    enum status status;
    pthread_mutex_lock(&session->mutex);
    bool found = find_or_await(session, &wanted->key, program, &status, error);
    pthread_mutex_unlock(&session->mutex);
    if (found)
        return status;
    struct making *making = new_making(session, &wanted->key, error); /* not under the lock: see drop_a_program */
    if (!making)
        return error->status;
    pthread_mutex_lock(&session->mutex);
    if (!find_or_await(session, &wanted->key, program, &status, error)) {
        status = make_alone(session, making, wanted, program, error);
        making = NULL;
    }
    pthread_mutex_unlock(&session->mutex);
    release(&session->budget.allocator, making, sizeof *making);
    return status;
}

/* --- untrusted models ------------------------------------------------------------------------------------ */

void infer_options_hostile(infer_model_options *model, infer_session_options *session)
{
    const size_t memory = (size_t)1 << 30;
    if (model)
        *model = (infer_model_options){.memory_limit = memory};
    if (session)
        *session = (infer_session_options){
            .memory_limit = memory,
            .run_limits = {.seconds = 10, .multiply_adds = UINT64_C(1000000000000), .loop_turns = 1000000},
        };
}
