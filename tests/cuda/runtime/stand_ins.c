#include "tests/cuda/runtime/stand_ins.h"

#include "kernels/pointwise.h"

#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MOST_TEXTS 64

/* One call of a reference kernel, which may run any number of times. */
struct work {
    struct work *next;
    const struct kernel *kernel;
    const struct kernel_plan *plan;
    struct kernel_call call;
    int task;
    const void *packed[KERNEL_PACKS];
    const void *operands[]; /* inputs, then outputs */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct work *made;
static atomic_long ran;
static char texts[MOST_TEXTS][sizeof((struct fault){0}.text)];
static int text_count;

/* The text of a fault stays on the host; the record says which it is. */
static void note_fault(const struct work *work, const struct fault *fault)
{
    struct device_fault *record = work->call.device_fault;
    if (!fault->set || record->step != 0)
        return;
    pthread_mutex_lock(&mutex);
    int index = text_count++ % MOST_TEXTS;
    memcpy(texts[index], fault->text, sizeof texts[index]);
    pthread_mutex_unlock(&mutex);
    record->step = work->call.step + 1;
    record->details[0] = index;
}

static void explain(const struct kernel_plan *plan, const struct device_fault *record, struct fault *fault)
{
    (void)plan;
    fault->set = true;
    memcpy(fault->text, texts[record->details[0]], sizeof fault->text);
}

static void run_work(void *user)
{
    struct work *work = user;
    static int64_t *const no_dims[8];
    struct fault fault = {0};
    struct kernel_call call = work->call;
    call.fault = &fault;
    call.output_dims = no_dims;
    work->kernel->run(work->plan, &call, work->task);
    note_fault(work, &fault);
    ran++;
}

/* Of the families below. */
static size_t outputs_of(const struct kernel *kernel, const struct kernel_plan *plan)
{
    const struct pointwise_params *program = plan->params;
    return kernel->family == FAMILY_pointwise ? (size_t)program->output_count : 1;
}

static void enqueue(const struct kernel *kernel, const struct kernel_plan *plan, const struct kernel_call *call,
                    int task)
{
    size_t inputs = (size_t)((const void *const *)call->outputs - call->inputs);
    size_t operands = inputs + outputs_of(kernel, plan);
    struct work *work = calloc(1, sizeof *work + operands * sizeof *work->operands);
    if (!work)
        abort();
    *work = (struct work){.kernel = kernel, .plan = plan, .call = *call, .task = task};
    memcpy(work->operands, call->inputs, operands * sizeof *work->operands);
    if (call->packed)
        memcpy(work->packed, call->packed, (size_t)plan->pack_count * sizeof *work->packed);
    work->call.inputs = work->operands;
    work->call.outputs = (void *const *)(uintptr_t)(work->operands + inputs);
    work->call.packed = work->packed;
    pthread_mutex_lock(&mutex);
    work->next = made;
    made = work;
    pthread_mutex_unlock(&mutex);
    cudaError_t error = cudaLaunchHostFunc(call->stream, run_work, work);
    if (error != cudaSuccess)
        kernel_fault(call, "cudaLaunchHostFunc: %s", cudaGetErrorString(error));
}

void stand_ins_forget(void)
{
    while (made) {
        struct work *gone = made;
        made = gone->next;
        free(gone);
    }
}

long stand_ins_ran(void)
{
    return ran;
}

/* --- the list -------------------------------------------------------------------------------------------- */

#define KERNEL(name)                                                                                 \
    extern const struct kernel name;                                                                 \
    static void run_##name(const struct kernel_plan *plan, const struct kernel_call *call, int task) \
    {                                                                                                \
        enqueue(&name, plan, call, task);                                                            \
    }
#include "kernels/kernels.def"
#undef KERNEL

static const struct {
    const struct kernel *kernel;
    void (*run)(const struct kernel_plan *plan, const struct kernel_call *call, int task);
} references[] = {
#define KERNEL(name) {&name, run_##name},
#include "kernels/kernels.def"
#undef KERNEL
};

#define REFERENCES (sizeof references / sizeof references[0])

/* Whose outputs are known, and without anything that outlives a call. */
static bool can_stand_in(enum kernel_family family)
{
    static const enum kernel_family families[] = {FAMILY_argmax,     FAMILY_attention, FAMILY_conv,     FAMILY_copy,
                                                  FAMILY_cumulative, FAMILY_gather,    FAMILY_lookup,   FAMILY_matmul,
                                                  FAMILY_pointwise,  FAMILY_reduce,    FAMILY_resample, FAMILY_scatter,
                                                  FAMILY_softmax};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (families[i] == family)
            return true;
    return false;
}

const struct kernel *const *stand_ins(uint64_t choice)
{
    static struct kernel kernels[REFERENCES];
    static const struct kernel *list[2 * REFERENCES + 1];
    size_t count = 0;
    for (size_t i = 0; i < REFERENCES; i++) {
        if (!can_stand_in(references[i].kernel->family) || !(choice >> references[i].kernel->family % 64 & 1))
            continue;
        kernels[i] = *references[i].kernel;
        kernels[i].requires = DEVICE_CUDA;
        kernels[i].run = references[i].run;
        kernels[i].explain = explain;
        list[count++] = &kernels[i];
    }
    for (size_t i = 0; i < REFERENCES; i++)
        list[count++] = references[i].kernel;
    list[count] = NULL;
    return list;
}
