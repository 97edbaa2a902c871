#include "tests/kernels/trial.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define SECONDS_A_TRIAL 60

/* --- signals ------------------------------------------------------------------------------------------------- */

static _Thread_local sigjmp_buf *landing;
static _Thread_local struct {
    int signal;
    uintptr_t address;
    bool writes;
} crash;
static const char *volatile subject = "nothing";

static bool was_write(const void *context)
{
#if defined(__x86_64__)
    return (((const ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 2) != 0; /* of the page fault's error code */
#else
    (void)context;
    return false;
#endif
}

static void on_crash(int signal, siginfo_t *info, void *context)
{
    if (!landing) { /* ours, not a kernel's */
        struct sigaction usual = {.sa_handler = SIG_DFL};
        sigaction(signal, &usual, NULL);
        return;
    }
    crash.signal = signal;
    crash.address = (uintptr_t)info->si_addr;
    crash.writes = was_write(context);
    siglongjmp(*landing, 1);
}

static void write_out(const char *text)
{
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
}

static void on_alarm(int signal)
{
    (void)signal;
    write_out("check-kernels: a kernel does not end: ");
    write_out(subject);
    write_out("\n");
    _exit(1);
}

void trial_watch(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_NODEFER};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaction(signals[i], &action, NULL);
    struct sigaction alarm_action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &alarm_action, NULL);
}

void trial_set_subject(const char *text)
{
    subject = text;
}

static void say(struct trial *trial, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct trial *trial, const char *format, ...)
{
    va_list arguments;
    if (trial->outcome->bad)
        return;
    trial->outcome->bad = true;
    va_start(arguments, format);
    vsnprintf(trial->outcome->text, sizeof trial->outcome->text, format, arguments);
    va_end(arguments);
}

/* Of the thread that it happened in. */
static void describe_crash(const struct trial *trial, const char *doing, char *text, size_t room)
{
    char where[160] = "an address that is near no operand";
    for (int i = 0; i < trial->part_count; i++)
        if (fence_explain(&trial->parts[i], crash.address, where, sizeof where))
            break;
    if (crash.signal == SIGFPE || crash.signal == SIGILL)
        snprintf(text, room, "%s: %s", doing, strsignal(crash.signal));
    else
        snprintf(text, room, "%s it %s %s", doing, crash.writes ? "writes" : "reads", where);
}

/* --- memory -------------------------------------------------------------------------------------------------- */

static struct fence *add_part(struct trial *trial, const char *name, size_t bytes, size_t alignment)
{
    if (trial->part_count == MOST_PARTS) {
        fprintf(stderr, "check-kernels: more than %d buffers\n", MOST_PARTS);
        exit(1);
    }
    struct fence *part = &trial->parts[trial->part_count++];
    trial->fences->make(part, name, bytes, alignment, trial->setting->side);
    memset(part->data, trial->setting->rubbish, bytes);
    return part;
}

static size_t element_alignment(const struct operand *operand)
{
    size_t bytes = dtype_bits(operand->dtype) / 8;
    return bytes < 1 ? 1 : bytes > 8 ? 8 : bytes;
}

static void *pointer_into(const struct operand *operand, const struct fence *part)
{
    return operand->absent ? NULL : (void *)((uintptr_t)part->data + (uintptr_t)operand_pointer(operand));
}

static void make_outputs(struct trial *trial)
{
    const struct problem *problem = trial->problem;
    for (int i = 0; i < problem->output_count; i++) {
        const struct operand *output = &problem->outputs[i];
        trial->outputs[i] = add_part(trial, output->name, operand_bytes(output), element_alignment(output));
        trial->output_pointers[i] = pointer_into(output, trial->outputs[i]);
        operands_set_dims(problem, i, &trial->outcome->operands);
        trial->dims[i] = output->sized_by_run ? trial->outcome->operands.dims[i] : NULL;
    }
}

static void make_inputs(struct trial *trial, const struct operands *operands)
{
    const struct problem *problem = trial->problem;
    for (int i = 0; i < problem->input_count; i++) {
        const struct operand *input = &problem->inputs[i];
        bool in_place = i == trial->setting->in_place;
        size_t bytes = operand_bytes(input);
        trial->inputs[i] = in_place ? trial->outputs[0] : add_part(trial, input->name, bytes, element_alignment(input));
        if (bytes)
            memcpy(trial->inputs[i]->data, operands->inputs[i], bytes);
        if (!in_place)
            trial->fences->close(trial->inputs[i], true);
        trial->input_pointers[i] = pointer_into(input, trial->inputs[i]);
    }
}

/* Where a crash lands: runs `work`, or says why it could not. */
static bool survive(void (*work)(void *), void *user)
{
    sigjmp_buf here;
    bool lives = false;
    landing = &here;
    if (sigsetjmp(here, 1) == 0) {
        work(user);
        lives = true;
    }
    landing = NULL;
    return lives;
}

struct packing {
    struct trial *trial;
    int which, task;
    const void *from;
};

static void pack_task(void *user)
{
    const struct packing *p = user;
    const struct trial *trial = p->trial;
    trial->kernel->pack(trial->plan, p->which, p->from, trial->packs[p->which]->data, p->task);
}

static void make_packs(struct trial *trial)
{
    const struct kernel_plan *plan = trial->plan;
    bool backwards = trial->setting->order != ORDER_FORWARDS;
    for (int i = 0; i < plan->pack_count && !trial->outcome->bad; i++) {
        int tasks = plan->packs[i].tasks, input = plan->packs[i].input;
        trial->packs[i] = add_part(trial, "the packed operand", plan->packs[i].bytes, ALIGNMENT);
        trial->packed[i] = trial->packs[i]->data;
        for (int j = 0; j < tasks && !trial->outcome->bad; j++) {
            struct packing packing = {trial, i, backwards ? tasks - 1 - j : j, trial->input_pointers[input]};
            char text[300];
            if (survive(pack_task, &packing))
                continue;
            describe_crash(trial, "while packing", text, sizeof text);
            say(trial, "%s, in task %d of %d of pack %d", text, packing.task, tasks, i);
        }
        trial->fences->close(trial->packs[i], true);
    }
    for (int i = 0; i < plan->pack_count; i++) /* the kernel reads the pack alone */
        trial->input_pointers[plan->packs[i].input] = NULL;
}

static void make_workspaces(struct trial *trial, int count)
{
    trial->shared = add_part(trial, "the shared workspace", trial->plan->shared_bytes, ALIGNMENT);
    for (int i = 0; i < count; i++)
        trial->workspaces[i] = add_part(trial, "the task's workspace", trial->plan->task_bytes, ALIGNMENT);
}

static void begin(struct trial *trial, const struct operands *operands, int workspaces)
{
    *trial->outcome = (struct outcome){.bad = false};
    trial->fault_task = -1;
    make_outputs(trial);
    make_inputs(trial, operands);
    make_packs(trial);
    make_workspaces(trial, workspaces);
}

static void end(struct trial *trial)
{
    for (int i = 0; i < trial->part_count; i++)
        trial->fences->drop(&trial->parts[i]);
}

/* --- tasks --------------------------------------------------------------------------------------------------- */

void (*trial_run_on_device)(const struct trial *trial, const struct kernel_call *call);

/* The tasks of one phase that one thread runs, in turn. */
struct lane {
    struct trial *trial;
    int phase, index, lanes;
    int64_t round;
    const int *order;
    int task; /* under way */
    struct fault fault;
    int fault_task;
    bool lives;
    char text[300];
};

static void run_lane(void *user)
{
    struct lane *lane = user;
    struct trial *trial = lane->trial;
    struct kernel_call call = {
        .inputs = trial->input_pointers,
        .outputs = trial->output_pointers,
        .packed = trial->packed,
        .workspace = trial->workspaces[lane->index]->data,
        .shared = trial->shared->data,
        .phase = lane->phase,
        .round = lane->round,
        .output_dims = trial->dims,
    };
    for (int i = lane->index; i < trial->plan->tasks[lane->phase]; i += lane->lanes) {
        struct fault fault = {0};
        call.fault = &fault;
        lane->task = lane->order[i];
        memset(call.workspace, trial->setting->rubbish, trial->plan->task_bytes);
        if (kernel_is_of_device(trial->kernel))
            trial_run_on_device(trial, &call);
        else
            trial->kernel->run(trial->plan, &call, lane->task);
        if (fault.set && (lane->fault_task < 0 || lane->task < lane->fault_task)) {
            lane->fault = fault;
            lane->fault_task = lane->task;
        }
    }
}

static void *run_thread(void *user)
{
    struct lane *lane = user;
    lane->lives = survive(run_lane, lane);
    if (!lane->lives)
        describe_crash(lane->trial, "it crashes:", lane->text, sizeof lane->text);
    return NULL;
}

static void fill_order(const struct setting *setting, int tasks, int *order)
{
    struct random random = {setting->seed};
    for (int i = 0; i < tasks; i++)
        order[i] = setting->order == ORDER_BACKWARDS ? tasks - 1 - i : i;
    for (int i = tasks - 1; i > 0 && setting->order >= ORDER_SHUFFLED; i--) {
        int j = (int)random_below(&random, i + 1), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

static void take_lane(struct trial *trial, const struct lane *lane)
{
    if (!lane->lives)
        say(trial, "%s, in task %d of %d of phase %d", lane->text, lane->task, trial->plan->tasks[lane->phase],
            lane->phase);
    if (lane->fault_task < 0 ||
        (trial->fault_task >= 0 && (trial->fault_phase < lane->phase || trial->fault_task < lane->fault_task)))
        return;
    trial->outcome->fault = lane->fault;
    trial->fault_phase = lane->phase;
    trial->fault_task = lane->fault_task;
}

static void run_round(struct trial *trial, int phase, int64_t round, const int *order, int lanes)
{
    struct lane all[8];
    pthread_t threads[8];
    bool started[8] = {false};
    for (int i = 0; i < lanes; i++)
        all[i] = (struct lane){.trial = trial,
                               .phase = phase,
                               .round = round,
                               .index = i,
                               .lanes = lanes,
                               .order = order,
                               .fault_task = -1};
    for (int i = 1; i < lanes; i++)
        started[i] = pthread_create(&threads[i], NULL, run_thread, &all[i]) == 0;
    run_thread(&all[0]);
    for (int i = 1; i < lanes; i++) {
        if (started[i])
            pthread_join(threads[i], NULL);
        else
            run_thread(&all[i]);
    }
    for (int i = 0; i < lanes; i++)
        take_lane(trial, &all[i]);
}

static bool goes_on(const struct trial *trial)
{
    return !trial->outcome->bad && !trial->outcome->fault.set;
}

static int *make_order(const struct kernel_plan *plan, const struct setting *setting, int phase)
{
    int *order = calloc((size_t)plan->tasks[phase] + 1, sizeof *order);
    if (!order) {
        perror("check-kernels");
        exit(1);
    }
    fill_order(setting, plan->tasks[phase], order);
    return order;
}

static void run_phases(struct trial *trial, int lanes)
{
    for (int phase = 0; phase < trial->plan->phases && goes_on(trial); phase++) {
        int *order = make_order(trial->plan, trial->setting, phase);
        for (int64_t i = 0; i < kernel_rounds(trial->plan, phase) && goes_on(trial); i++)
            run_round(trial, phase, i, order, lanes);
        free(order);
    }
}

/* --- afterwards ---------------------------------------------------------------------------------------------- */

/* Bytes that the operand's strides reach are 1. */
static unsigned char *reached_bytes(const struct operand *operand)
{
    int64_t least = 0, most = 0, count = strided_count(&operand->at);
    size_t each = dtype_bits(operand->dtype) / 8, bytes = operand_bytes(operand);
    unsigned char *reached = calloc(bytes + 1, 1);
    if (!reached) {
        perror("check-kernels");
        exit(1);
    }
    strided_reach(&operand->at, &least, &most);
    if (operand->sized_by_run || each == 0) {
        memset(reached, 1, bytes);
        return reached;
    }
    for (int64_t i = 0; i < count; i++)
        memset(reached + (size_t)(strided_offset(&operand->at, i) - least) * each, 1, each);
    return reached;
}

/* What lies between the elements of an output is as it was. */
static void check_between(struct trial *trial, const struct operand *operand, const struct fence *part,
                          const unsigned char *before)
{
    unsigned char *reached = reached_bytes(operand);
    for (size_t i = 0; i < part->bytes && !trial->outcome->bad; i++)
        if (!reached[i] && part->data[i] != (before ? before[i] : trial->setting->rubbish))
            say(trial, "it writes byte %zu of %s, which lies between its elements", i, operand->name);
    free(reached);
}

static void check_memory(struct trial *trial, const struct operands *operands)
{
    const struct problem *problem = trial->problem;
    for (int i = 0; i < trial->part_count; i++)
        if (trial->fences->is_broken(&trial->parts[i]))
            say(trial, "it writes beside %s", trial->parts[i].name);
    for (int i = 0; i < problem->output_count; i++) {
        int in_place = i == 0 ? trial->setting->in_place : -1;
        if (!problem->outputs[i].absent)
            check_between(trial, &problem->outputs[i], trial->outputs[i],
                          in_place >= 0 ? operands->inputs[in_place] : NULL);
    }
    for (int i = 0; i < problem->input_count; i++)
        if (i != trial->setting->in_place && operands->inputs[i] &&
            memcmp(trial->inputs[i]->data, operands->inputs[i], trial->inputs[i]->bytes) != 0)
            say(trial, "%s has changed", problem->inputs[i].name);
}

static void keep_outputs(struct trial *trial, struct region *region)
{
    for (int i = 0; i < trial->problem->output_count; i++) {
        const struct fence *part = trial->outputs[i];
        void *kept = part->bytes ? region_buffer(region, part->bytes) : NULL;
        trial->outcome->operands.outputs[i] = kept;
        if (kept)
            memcpy(kept, part->data, part->bytes);
    }
}

/* Dimensions that the run tells must lie within those that the program was made for. */
static void check_dims(struct trial *trial)
{
    for (int i = 0; i < trial->problem->output_count; i++) {
        const struct operand *output = &trial->problem->outputs[i];
        const int64_t *dims = trial->outcome->operands.dims[i];
        if (!output->sized_by_run || output->absent || trial->outcome->fault.set)
            continue;
        for (int k = 0; k < output->at.rank; k++)
            if (dims[k] < 0 || dims[k] > output->at.dims[k])
                say(trial, "it says that dimension %d of %s is %lld, of at most %lld", k, output->name,
                    (long long)dims[k], (long long)output->at.dims[k]);
    }
}

void trial_run(const struct kernel *kernel, const struct kernel_plan *plan, const struct problem *problem,
               const struct operands *operands, const struct setting *setting, const struct fences *fences,
               struct region *region, struct outcome *outcome)
{
    struct trial trial = {
        .kernel = kernel, .plan = plan, .problem = problem, .setting = setting, .outcome = outcome, .fences = fences};
    int lanes = setting->order == ORDER_THREADS ? setting->threads : 1;
    alarm(SECONDS_A_TRIAL);
    begin(&trial, operands, lanes);
    run_phases(&trial, lanes);
    if (!outcome->bad)
        check_memory(&trial, operands);
    if (!outcome->bad)
        check_dims(&trial);
    if (!outcome->bad)
        keep_outputs(&trial, region);
    end(&trial);
    alarm(0);
}

/* --- whether tasks overlap ----------------------------------------------------------------------------------- */

/* Buffers that tasks share, as they were before a phase; and who has written each byte, by task + 1. */
struct ownership {
    struct fence *part;
    unsigned char *before;
    int *owners;
};

static void find_owner(struct trial *trial, struct ownership *owned, int task, int phase)
{
    for (size_t i = 0; i < owned->part->bytes && !trial->outcome->bad; i++) {
        if (owned->part->data[i] == owned->before[i])
            continue;
        if (owned->owners[i] && owned->owners[i] != task + 1)
            say(trial, "tasks %d and %d of phase %d both write byte %zu of %s", owned->owners[i] - 1, task, phase, i,
                owned->part->name);
        owned->owners[i] = task + 1;
    }
    memcpy(owned->part->data, owned->before, owned->part->bytes);
}

static void own_round(struct trial *trial, int phase, int64_t round, struct ownership *owned, int count)
{
    int tasks = trial->plan->tasks[phase];
    for (int i = 0; i < count; i++)
        memcpy(owned[i].before, owned[i].part->data, owned[i].part->bytes);
    for (int task = 0; task < tasks && !trial->outcome->bad; task++) {
        struct lane lane = {
            .trial = trial, .phase = phase, .round = round, .lanes = tasks, .order = &task, .fault_task = -1};
        run_thread(&lane);
        take_lane(trial, &lane);
        for (int i = 0; i < count; i++)
            find_owner(trial, &owned[i], task, phase);
    }
    for (int task = 0; task < tasks && !trial->outcome->bad; task++) {
        struct lane lane = {
            .trial = trial, .phase = phase, .round = round, .lanes = tasks, .order = &task, .fault_task = -1};
        run_thread(&lane);
    }
}

static void own_all(struct trial *trial, struct ownership *owned, int count)
{
    for (int phase = 0; phase < trial->plan->phases && goes_on(trial); phase++) {
        for (int64_t round = 0; round < kernel_rounds(trial->plan, phase) && goes_on(trial); round++) {
            own_round(trial, phase, round, owned, count);
            for (int i = 0; i < count; i++)
                memset(owned[i].owners, 0, (owned[i].part->bytes + 1) * sizeof(int));
        }
    }
}

/* A byte that a task writes with what is there already shows on other rubbish. */
void trial_find_overlap(const struct kernel *kernel, const struct kernel_plan *plan, const struct problem *problem,
                        const struct operands *operands, const struct fences *fences, struct outcome *outcome)
{
    for (int pass = 0; pass < 2; pass++) {
        struct setting setting = {.rubbish = pass ? 0x5a : 0xff, .in_place = -1};
        struct trial trial = {.kernel = kernel,
                              .plan = plan,
                              .problem = problem,
                              .setting = &setting,
                              .outcome = outcome,
                              .fences = fences};
        struct ownership owned[MOST_OUTPUTS + 1];
        int count = 0;
        begin(&trial, operands, 1);
        for (int i = 0; i < problem->output_count; i++)
            owned[count++].part = trial.outputs[i];
        owned[count++].part = trial.shared;
        for (int i = 0; i < count; i++) {
            owned[i].before = calloc(owned[i].part->bytes + 1, 1);
            owned[i].owners = calloc(owned[i].part->bytes + 1, sizeof(int));
            if (!owned[i].before || !owned[i].owners) {
                perror("check-kernels");
                exit(1);
            }
        }
        own_all(&trial, owned, count);
        for (int i = 0; i < count; i++) {
            free(owned[i].before);
            free(owned[i].owners);
        }
        end(&trial);
        if (outcome->bad)
            return;
    }
}
