#include "tests/kernel_run.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define RUBBISH 0xa5

const struct kernel_facts plain_facts = {.threads = 1};

static void *rubbish(size_t bytes)
{
    size_t whole = align_up(bytes ? bytes : 1, ALIGNMENT);
    void *memory = aligned_alloc(ALIGNMENT, whole);
    ck_assert_ptr_nonnull(memory);
    return memset(memory, RUBBISH, whole);
}

static void run_task(const struct kernel *kernel, const struct kernel_plan *plan, struct kernel_call *call, int task)
{
    call->workspace = rubbish(plan->task_bytes);
    kernel->run(plan, call, task);
    free(call->workspace);
    ck_assert_msg(!call->fault->set, "%s", call->fault->text);
}

static const void *make_pack(const struct kernel *kernel, const struct kernel_plan *plan, int which,
                             const void *const *inputs)
{
    const struct kernel_pack *pack = &plan->packs[which];
    void *packed = rubbish(pack->bytes);
    for (int i = 0; i < pack->tasks; i++)
        kernel->pack(plan, which, inputs[pack->input], packed, i);
    return packed;
}

void run_planned(const struct kernel *kernel, const struct kernel_plan *plan, const void *const *inputs,
                 void *const *outputs, bool backwards)
{
    int64_t *dims[8] = {0};
    struct fault fault = {0};
    const void *packed[KERNEL_PACKS] = {NULL};
    for (int i = 0; i < plan->pack_count; i++)
        packed[i] = make_pack(kernel, plan, i, inputs);
    struct kernel_call call = {.inputs = inputs,
                               .outputs = outputs,
                               .packed = packed,
                               .shared = rubbish(plan->shared_bytes),
                               .fault = &fault,
                               .output_dims = dims};
    for (call.phase = 0; call.phase < plan->phases; call.phase++)
        for (call.round = 0; call.round < kernel_rounds(plan, call.phase); call.round++) {
            int tasks = plan->tasks[call.phase];
            for (int i = 0; i < tasks; i++)
                run_task(kernel, plan, &call, backwards ? tasks - 1 - i : i);
        }
    free(call.shared);
    for (int i = 0; i < plan->pack_count; i++)
        free((void *)(uintptr_t)packed[i]);
}

void run_problem(enum kernel_family family, const void *params, const struct kernel_facts *facts,
                 const void *const *inputs, void *const *outputs)
{
    struct region region;
    struct kernel_plan plan;
    const struct kernel *kernel = kernel_select(family, params, facts);
    ck_assert_ptr_nonnull(kernel);
    region_init(&region, &default_allocator);
    ck_assert(kernel_make_plan(kernel, params, facts, &region, &plan));
    run_planned(kernel, &plan, inputs, outputs, true);
    region_free(&region);
}
