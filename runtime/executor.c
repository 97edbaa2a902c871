#include "runtime/executor.h"

#include "runtime/clock.h"
#include "runtime/cores.h"
#include "runtime/float_environment.h"
#include "runtime/model.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How long a thread looks for something to do before it sleeps. The next step of a program mostly comes sooner, and
 * waking a thread takes about as long. */
#define SPIN_NANOSECONDS 50000
#define YIELD_NANOSECONDS 10000 /* before that it offers the processor to others: the steps of a run follow sooner */
#define SPINS_A_LOOK 64         /* between two looks at the clock */

/* Chunks for each lane of a phase: so few that taking them costs nothing, so many that the lanes end together. */
#define CHUNKS_A_LANE 8

/* Neighbouring tasks, which a lane takes before it helps others with theirs. What it wrote in one step is mostly what
 * it reads in the next one, since tasks of both go through an image in the same direction: it finds that in its own
 * cache.
 */
struct stretch {
    _Alignas(ALIGNMENT) _Atomic int next; /* the first task that nobody has taken */
    int end;
};
#define MOST_STRETCHES 16 /* where there are more lanes, several have one in common */

/* A phase under way. It lies on the stack of the thread that runs it, which waits for every worker that has begun. */
struct job {
    executor_work *work;
    void *user;
    int chunk, stretch_count;
    struct stretch stretches[MOST_STRETCHES];
    _Alignas(ALIGNMENT) _Atomic uint32_t working; /* workers hired and not done; JOB_SLEEPS: the caller sleeps on it */
};
#define JOB_SLEEPS UINT32_C(0x80000000)

/* A caller takes an idle worker from IDLE or ASLEEP to HIRING, says what for, and goes on to HIRED; the worker goes
 * from there to BUSY and, when it finds no more tasks, to IDLE. A caller that is done takes back whom it hired and who
 * has not begun, so nobody waits for a thread that the system has not woken yet. The word of a worker is its state and,
 * above, the number of the hire, or a caller might take back what another one has hired meanwhile. */
enum worker_state { IDLE, ASLEEP, HIRING, HIRED, BUSY, STOP, STATE_MASK = 7 };
#define NEXT_HIRE 8u

static uint32_t in_state(uint32_t word, enum worker_state state)
{
    return (word & ~(uint32_t)STATE_MASK) | (uint32_t)state;
}

static enum worker_state state_of(uint32_t word)
{
    return (enum worker_state)(word & STATE_MASK);
}

struct worker {
    _Alignas(ALIGNMENT) _Atomic uint32_t word; /* in a line of its own, which its worker watches */
    int lane;
    struct job *job;
    struct infer_executor *executor;
    pthread_t thread;
};

struct infer_executor {
    atomic_int references;
    struct allocator allocator;
    size_t bytes;
    int threads; /* the caller's among them */
    pid_t process;
    bool spins;
    infer_thread_pool pool; /* the caller's own; run NULL: the workers below */
    struct worker workers[];
};

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static void sleep_while(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

/* The word may be gone by now: of a job, once it says that all are done. The system only compares the address. */
static void wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Counts the turns of a waiting loop; false once it is time to sleep. The thread that is waited for may be on the same
 * processor, where the others are taken: hence the yield. */
struct spin {
    int turns;
    int64_t until;
};

static bool spin(struct spin *spin)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#endif
    if (++spin->turns % SPINS_A_LOOK)
        return true;
    int64_t time = clock_now();
    if (!spin->until)
        spin->until = time + SPIN_NANOSECONDS;
    if (time > spin->until - (SPIN_NANOSECONDS - YIELD_NANOSECONDS))
        sched_yield();
    return time < spin->until;
}

/* --- workers ------------------------------------------------------------------------------------------------------ */

static void take_stretch(struct job *job, struct stretch *stretch, int lane)
{
    while (atomic_load_explicit(&stretch->next, memory_order_relaxed) < stretch->end) {
        int first = atomic_fetch_add_explicit(&stretch->next, job->chunk, memory_order_relaxed), end = stretch->end;
        if (first >= end)
            return;
        job->work(job->user, first, end - first < job->chunk ? end : first + job->chunk, lane);
    }
}

static void take_chunks(struct job *job, int lane)
{
    for (int i = 0; i < job->stretch_count; i++)
        take_stretch(job, &job->stretches[(lane + i) % job->stretch_count], lane);
}

/* The word once it says HIRED or STOP. A worker that finds itself awake and ASLEEP was woken and taken back: it says
 * that it is awake, and looks for something to do once more, since what woke it is likely to need it soon. */
static uint32_t next_order(struct worker *worker)
{
    struct spin wait = {0};
    for (;;) {
        uint32_t word = atomic_load_explicit(&worker->word, memory_order_acquire);
        enum worker_state state = state_of(word);
        if (state == HIRED || state == STOP)
            return word;
        if (state == ASLEEP)
            atomic_compare_exchange_strong(&worker->word, &word, in_state(word, IDLE));
        else if (worker->executor->spins && spin(&wait))
            continue;
        else if (state != IDLE)
            sched_yield(); /* it is being hired */
        else if (atomic_compare_exchange_strong(&worker->word, &word, in_state(word, ASLEEP))) {
            sleep_while(&worker->word, in_state(word, ASLEEP));
            wait = (struct spin){0};
        }
    }
}

/* Idle first and then done, so that the caller finds this worker for its next phase. */
static void do_job(struct worker *worker, uint32_t order)
{
    struct job *job = worker->job;
    take_chunks(job, worker->lane);
    atomic_store(&worker->word, in_state(order, IDLE));
    if (atomic_fetch_sub(&job->working, 1) == (JOB_SLEEPS | 1))
        wake(&job->working);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    float_environment_enter();
    for (uint32_t order; state_of(order = next_order(worker)) != STOP;)
        if (atomic_compare_exchange_strong(&worker->word, &order, in_state(order, BUSY)))
            do_job(worker, order);
    return NULL;
}

/* --- the caller --------------------------------------------------------------------------------------------------- */

/* Whom a caller hired, the word that says so, and whether that worker slept. */
struct hired {
    uint32_t order;
    int16_t worker;
    bool asleep;
};

static bool hire(struct worker *worker, struct job *job, int lane, struct hired *hired)
{
    uint32_t word = atomic_load_explicit(&worker->word, memory_order_relaxed);
    enum worker_state state = state_of(word);
    hired->order = in_state(word + NEXT_HIRE, HIRED);
    hired->asleep = state == ASLEEP;
    if ((state != IDLE && state != ASLEEP) ||
        !atomic_compare_exchange_strong(&worker->word, &word, in_state(hired->order, HIRING)))
        return false;
    worker->job = job;
    worker->lane = lane;
    atomic_fetch_add_explicit(&job->working, 1, memory_order_relaxed);
    atomic_store(&worker->word, hired->order);
    if (hired->asleep)
        wake(&worker->word);
    return true;
}

static void take_back(struct infer_executor *executor, struct job *job, const struct hired *hired)
{
    uint32_t order = hired->order;
    if (atomic_compare_exchange_strong(&executor->workers[hired->worker].word, &order,
                                       in_state(order, hired->asleep ? ASLEEP : IDLE)))
        atomic_fetch_sub_explicit(&job->working, 1, memory_order_relaxed);
}

static void wait_for_workers(const struct infer_executor *executor, struct job *job)
{
    struct spin wait = {0};
    while (atomic_load_explicit(&job->working, memory_order_acquire) != 0)
        if (!executor->spins || !spin(&wait))
            break;
    uint32_t working = atomic_load_explicit(&job->working, memory_order_acquire);
    while ((working & ~JOB_SLEEPS) != 0) {
        if (working & JOB_SLEEPS)
            sleep_while(&job->working, working);
        else
            atomic_fetch_or(&job->working, JOB_SLEEPS);
        working = atomic_load_explicit(&job->working, memory_order_acquire);
    }
}

static void run_with_workers(struct infer_executor *executor, struct job *job, int lanes)
{
    struct hired hired[EXECUTOR_MOST];
    int count = 0;
    for (int i = 0; i < executor->threads - 1 && count < lanes - 1; i++) {
        hired[count].worker = (int16_t)i;
        count += hire(&executor->workers[i], job, count + 1, &hired[count]);
    }
    take_chunks(job, 0);
    for (int i = 0; i < count; i++)
        take_back(executor, job, &hired[i]);
    wait_for_workers(executor, job);
}

/* On a thread of the caller's pool, whose floating-point environment is anything. */
static void run_lane(void *argument, int lane)
{
    struct float_environment outside = float_environment_enter();
    take_chunks(argument, lane);
    float_environment_leave(outside);
}

/* What the pool has left undone, if it was called for less than it was asked for, the caller does. */
static void run_with_pool(const struct infer_executor *executor, struct job *job, int lanes)
{
    executor->pool.run(executor->pool.user, lanes, run_lane, job);
    take_chunks(job, 0);
}

/* Where stretch i of so many begins. */
static int part_of(int tasks, int i, int count)
{
    return (int)((int64_t)tasks * i / count);
}

void executor_run(struct infer_executor *executor, int lanes, int tasks, executor_work *work, void *user)
{
    lanes = lanes < tasks ? lanes : tasks;
    lanes = lanes < executor->threads ? lanes : executor->threads;
    lanes = lanes < 1 ? 1 : lanes;
    int chunk = tasks / (lanes * CHUNKS_A_LANE);
    struct job job;
    job.work = work;
    job.user = user;
    job.chunk = chunk ? chunk : 1;
    job.stretch_count = lanes < MOST_STRETCHES ? lanes : MOST_STRETCHES;
    for (int i = 0; i < job.stretch_count; i++) {
        atomic_init(&job.stretches[i].next, part_of(tasks, i, job.stretch_count));
        job.stretches[i].end = part_of(tasks, i + 1, job.stretch_count);
    }
    atomic_init(&job.working, 0);
    if (lanes == 1)
        take_chunks(&job, 0);
    else if (executor->pool.run)
        run_with_pool(executor, &job, lanes);
    else
        run_with_workers(executor, &job, lanes);
}

/* --- beginning and end -------------------------------------------------------------------------------------------- */

/* Signals are the program's own affair: its handlers must not run on our threads. */
static bool start_quietly(struct worker *worker, int number)
{
    sigset_t all, before;
    char name[16]; /* as long as the system allows */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0)
        return false;
    snprintf(name, sizeof name, "infer-%hd", (short)number);
    pthread_setname_np(worker->thread, name);
    return true;
}

static void start_workers(struct infer_executor *executor)
{
    int started = 0;
    for (int i = 0; i < executor->threads - 1; i++)
        executor->workers[i].executor = executor;
    while (started < executor->threads - 1 && start_quietly(&executor->workers[started], started + 1))
        started++;
    executor->threads = started + 1;
}

static void stop_workers(struct infer_executor *executor)
{
    for (int i = 0; i < executor->threads - 1; i++)
        if (state_of(atomic_exchange(&executor->workers[i].word, STOP)) == ASLEEP)
            wake(&executor->workers[i].word);
    for (int i = 0; i < executor->threads - 1; i++)
        pthread_join(executor->workers[i].thread, NULL);
}

static enum status create(const struct allocator *allocator, int threads, const infer_thread_pool *pool,
                          struct infer_executor **result, struct error *error)
{
    *result = NULL;
    if (threads < 0 || threads > EXECUTOR_MOST)
        return error_set(error, STATUS_INVALID_ARGUMENT, "%d threads were asked for; it can be 1 to %d, or 0 for all",
                         threads, EXECUTOR_MOST);
    int cores = threads == 1 ? 1 : usable_cores(); /* which reads a dozen files: 0.15 ms of a session's start */
    threads = threads ? threads : cores < EXECUTOR_MOST ? cores : EXECUTOR_MOST;
    size_t workers = pool ? 0 : (size_t)threads - 1, bytes = sizeof(struct infer_executor);
    bytes = align_up(bytes + workers * sizeof(struct worker), ALIGNMENT);
    struct infer_executor *executor = allocate(allocator, bytes, ALIGNMENT);
    if (!executor)
        return error_set(error, STATUS_OUT_OF_MEMORY, "no memory for an executor of %d threads", threads);
    memset(executor, 0, bytes);
    atomic_init(&executor->references, 1);
    executor->allocator = *allocator;
    executor->bytes = bytes;
    executor->threads = threads;
    executor->process = getpid();
    executor->spins = threads <= cores; /* where threads share a core, one that spins keeps others from running */
    if (pool)
        executor->pool = *pool;
    else
        start_workers(executor);
    *result = executor;
    return STATUS_OK;
}

enum status executor_create(const struct allocator *allocator, int threads, struct infer_executor **executor,
                            struct error *error)
{
    return create(allocator, threads, NULL, executor, error);
}

size_t executor_bytes(const struct infer_executor *executor)
{
    return executor->bytes;
}

bool executor_is_foreign(const struct infer_executor *executor)
{
    return executor->process != getpid();
}

infer_status infer_executor_create(const infer_executor_options *options, infer_executor **executor, infer_error *error)
{
    static const infer_executor_options defaults = {0};
    struct error from = {0};
    struct allocator allocator;
    const infer_executor_options *chosen = options ? options : &defaults;
    const infer_thread_pool *pool = chosen->pool.run ? &chosen->pool : NULL;
    if (!executor)
        return missing_argument(error, "place for the executor");
    if (choose_allocator(chosen->allocator, &allocator, &from) == STATUS_OK)
        create(&allocator, chosen->threads, pool, executor, &from);
    else
        *executor = NULL;
    return publish_error(error, &from);
}

infer_executor *infer_executor_retain(infer_executor *executor)
{
    if (executor)
        atomic_fetch_add(&executor->references, 1);
    return executor;
}

/* In a process that forked off there are no workers to stop. */
void infer_executor_release(infer_executor *executor)
{
    if (!executor || atomic_fetch_sub(&executor->references, 1) != 1)
        return;
    if (!executor->pool.run && !executor_is_foreign(executor))
        stop_workers(executor);
    struct allocator allocator = executor->allocator;
    release(&allocator, executor, executor->bytes);
}

int infer_executor_threads(const infer_executor *executor)
{
    return executor ? executor->threads : 0;
}
