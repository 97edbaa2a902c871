#include "tests/cuda/on_device.h"

#include "tests/cuda/emulation/emulation.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>

/* Where a buffer of the host has its twin. */
struct twin {
    const struct fence *fence;
    unsigned char *device;
};

struct device_run {
    const struct trial *trial;
    const struct kernel_call *host;
    cudaStream_t stream;
    struct twin twins[MOST_PARTS];
    int twin_count;
    bool failed;
    const void *inputs[MOST_INPUTS], *packed[KERNEL_PACKS];
    void *outputs[MOST_OUTPUTS];
    void *workspace, *shared, *fault;
};

static void check(struct device_run *run, cudaError_t error, const char *call)
{
    if (error == cudaSuccess || run->failed)
        return;
    const char *complaint = emulation_complaint();
    run->failed = true;
    kernel_fault(run->host, "%s: %s", complaint ? "GPU" : call, complaint ? complaint : cudaGetErrorString(error));
}

/* Memory of the device for a buffer, with its content. */
static unsigned char *twin_of(struct device_run *run, const struct fence *fence)
{
    for (int i = 0; i < run->twin_count; i++)
        if (run->twins[i].fence == fence)
            return run->twins[i].device;
    void *memory = NULL;
    check(run, cudaMalloc(&memory, fence->bytes ? fence->bytes : 1), "cudaMalloc");
    run->twins[run->twin_count++] = (struct twin){fence, memory};
    if (memory && fence->bytes)
        check(run, cudaMemcpyAsync(memory, fence->data, fence->bytes, cudaMemcpyHostToDevice, run->stream),
              "cudaMemcpyAsync");
    return memory;
}

static void *translate(struct device_run *run, const struct fence *fence, const void *host)
{
    return host && fence ? twin_of(run, fence) + ((const unsigned char *)host - fence->data) : NULL;
}

static void make_twins(struct device_run *run)
{
    const struct trial *trial = run->trial;
    const struct kernel_call *host = run->host;
    for (int i = 0; i < trial->problem->output_count; i++)
        run->outputs[i] = translate(run, trial->outputs[i], host->outputs[i]);
    for (int i = 0; i < trial->problem->input_count; i++)
        run->inputs[i] = translate(run, trial->inputs[i], host->inputs[i]);
    for (int i = 0; i < trial->plan->pack_count; i++)
        run->packed[i] = translate(run, trial->packs[i], host->packed[i]);
    run->shared = translate(run, trial->shared, host->shared);
    run->workspace = translate(run, trial->workspaces[0], host->workspace);
    check(run, cudaMalloc(&run->fault, sizeof(struct device_fault)), "cudaMalloc");
    if (run->fault)
        check(run, cudaMemsetAsync(run->fault, 0, sizeof(struct device_fault), run->stream), "cudaMemsetAsync");
}

static void explain_fault(struct device_run *run)
{
    struct device_fault record;
    check(run, cudaMemcpyAsync(&record, run->fault, sizeof record, cudaMemcpyDeviceToHost, run->stream),
          "cudaMemcpyAsync");
    if (run->failed || record.step == 0)
        return;
    if (run->trial->kernel->explain)
        run->trial->kernel->explain(run->trial->plan, &record, run->host->fault);
    else
        kernel_fault(run->host, "the kernel records a fault and cannot explain it");
}

static void take_outputs(struct device_run *run)
{
    const struct trial *trial = run->trial;
    for (int i = 0; i < trial->problem->output_count && !run->failed; i++) {
        const struct fence *fence = trial->outputs[i];
        if (fence->bytes)
            check(run,
                  cudaMemcpyAsync(fence->data, twin_of(run, fence), fence->bytes, cudaMemcpyDeviceToHost, run->stream),
                  "cudaMemcpyAsync");
    }
}

static void run_phases(struct device_run *run)
{
    const struct trial *trial = run->trial;
    struct kernel_call call = *run->host;
    call.inputs = run->inputs;
    call.outputs = run->outputs;
    call.packed = run->packed;
    call.workspace = run->workspace;
    call.shared = run->shared;
    call.stream = run->stream;
    call.device_fault = run->fault;
    for (call.phase = 0; call.phase < trial->plan->phases && !run->failed; call.phase++) {
        trial->kernel->run(trial->plan, &call, 0);
        run->failed = call.fault->set;
    }
}

void run_on_device(const struct trial *trial, const struct kernel_call *call)
{
    struct device_run run = {.trial = trial, .host = call};
    emulation_seed(trial->setting->seed + trial->setting->rubbish);
    check(&run, cudaStreamCreateWithFlags(&run.stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    if (!run.failed)
        make_twins(&run);
    if (!run.failed)
        run_phases(&run);
    check(&run, cudaStreamSynchronize(run.stream), "cudaStreamSynchronize");
    if (!run.failed)
        explain_fault(&run);
    if (!run.failed)
        take_outputs(&run);
    emulation_reset();
    cudaStreamDestroy(run.stream);
    for (int i = 0; i < run.twin_count; i++)
        cudaFree(run.twins[i].device);
    cudaFree(run.fault);
}
