/* One kernel on one problem. */
#include "tests/kernels/harness.h"

#include "tests/kernels/trial.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- plans --------------------------------------------------------------------------------------------------- */

#define MOST_PLANS 30
#define OVERLAP_BYTES (8 << 20) /* tasks times bytes that are looked at for overlap */

struct plans {
    struct kernel_plan list[MOST_PLANS];
    int count;
};

static bool same_key(const struct kernel_pack *a, const struct kernel_pack *b)
{
    return a->input == b->input && a->form == b->form && a->bytes == b->bytes &&
           memcmp(a->geometry, b->geometry, sizeof a->geometry) == 0;
}

/* As far as it shows; what lies in the state does not. */
static bool alike(const struct kernel_plan *a, const struct kernel_plan *b)
{
    bool same = a->phases == b->phases && a->rounds == b->rounds && a->task_bytes == b->task_bytes &&
                a->shared_bytes == b->shared_bytes && a->pack_count == b->pack_count;
    for (int i = 0; i < a->phases && same; i++)
        same = a->tasks[i] == b->tasks[i];
    for (int i = 0; i < a->pack_count && same; i++)
        same = same_key(&a->packs[i], &b->packs[i]) && a->packs[i].tasks == b->packs[i].tasks;
    return same;
}

static bool same_plan(const struct kernel_plan *a, const struct kernel_plan *b)
{
    return !a->state && !b->state && alike(a, b);
}

static const char *plan_fault(const struct kernel *kernel, const struct kernel_plan *plan, uint32_t constants)
{
    if (plan->phases < 1 || plan->phases > KERNEL_PHASES)
        return "the plan has no phase, or too many";
    for (int i = 0; i < plan->phases; i++)
        if (plan->tasks[i] < 1)
            return "a phase of the plan has no task";
    if (plan->pack_count < 0 || plan->pack_count > KERNEL_PACKS || (plan->pack_count > 0 && !kernel->pack))
        return "the plan has too many packs, or nobody to make them";
    for (int i = 0; i < plan->pack_count; i++)
        if (!(constants & 1u << plan->packs[i].input) || plan->packs[i].tasks < 1)
            return "the plan packs an input that is no constant, or by no task";
    return NULL;
}

static const char *add_plan(const struct kernel *kernel, const struct problem *problem,
                            const struct kernel_facts *facts, struct region *region, struct plans *plans)
{
    struct kernel_plan plan;
    if (!kernel_fits(kernel, problem->family, problem->params, facts))
        return NULL;
    if (!kernel_make_plan(kernel, problem->params, facts, region, &plan))
        return "it makes no plan";
    const char *wrong = plan_fault(kernel, &plan, facts->constant_inputs);
    for (int i = 0; i < plans->count; i++)
        if (same_plan(&plans->list[i], &plan) || (facts->memory_saving && alike(&plans->list[i], &plan)))
            return wrong;
    if (!wrong)
        plans->list[plans->count++] = plan;
    return wrong;
}

/* With and without the constants; the device's abilities are those that the kernel asks for. */
static const char *make_device_plans(const struct kernel *kernel, const struct problem *problem, struct region *region,
                                     struct plans *plans)
{
    const char *wrong = NULL;
    for (int i = 0; i < 2 && !wrong; i++) {
        struct kernel_facts facts = {
            .cpu = kernel->requires, .threads = 1, .constant_inputs = i ? problem_constants(problem) : 0};
        wrong = add_plan(kernel, problem, &facts, region, plans);
    }
    return wrong;
}

/* Of few kernels is a plan another one for being told to save memory. */
static const char *make_saving_plans(const struct kernel *kernel, const struct problem *problem, unsigned cpu,
                                     struct region *region, struct plans *plans)
{
    const char *wrong = NULL;
    for (int threads = 1; threads <= 3 && !wrong; threads += 2) {
        struct kernel_facts facts = {
            .cpu = cpu, .threads = threads, .constant_inputs = problem_constants(problem), .memory_saving = true};
        wrong = add_plan(kernel, problem, &facts, region, plans);
    }
    return wrong;
}

/* Every plan that differs, of all that sets of CPU bits, numbers of threads, constants and the saving of memory lead
 * to. */
static const char *make_plans(const struct kernel *kernel, const struct problem *problem, struct region *region,
                              struct plans *plans)
{
    static const int threads[] = {1, 2, 3, 7};
    unsigned before = ~0u;
    plans->count = 0;
    if (kernel_is_of_device(kernel))
        return make_device_plans(kernel, problem, region, plans);
    for (int isa = ISA_REFERENCE; isa <= ISA_AVX512; isa++) {
        unsigned cpu = cpu_detect() & isa_bits((enum isa)isa);
        if (cpu == before)
            continue;
        before = cpu;
        for (int i = 0; i < 8; i++) {
            struct kernel_facts facts = {
                .cpu = cpu, .threads = threads[i / 2], .constant_inputs = i % 2 ? problem_constants(problem) : 0};
            const char *wrong = add_plan(kernel, problem, &facts, region, plans);
            if (wrong)
                return wrong;
        }
        const char *wrong = make_saving_plans(kernel, problem, cpu, region, plans);
        if (wrong)
            return wrong;
    }
    return NULL;
}

/* --- the same bits ------------------------------------------------------------------------------------------- */

static bool both_nan(const struct operand *operand, const unsigned char *a, const unsigned char *b)
{
    if (!dtype_is_float(operand->dtype) || operand->bound.bits)
        return false;
    return isnan(number_get(operand->dtype, a, 0)) && isnan(number_get(operand->dtype, b, 0));
}

static bool same_output(const struct operand *operand, const int64_t *dims, const void *a, const void *b)
{
    int64_t least = 0, most = 0, count = output_count(operand, dims);
    size_t each = dtype_bits(operand->dtype) / 8;
    if (operand->absent || count == 0)
        return true;
    if (each == 0)
        return memcmp(a, b, operand_bytes(operand)) == 0;
    strided_reach(&operand->at, &least, &most);
    for (int64_t i = 0; i < count; i++) {
        size_t at = (size_t)(operand->sized_by_run ? i : strided_offset(&operand->at, i) - least) * each;
        const unsigned char *x = (const unsigned char *)a + at, *y = (const unsigned char *)b + at;
        if (memcmp(x, y, each) != 0 && !both_nan(operand, x, y))
            return false;
    }
    return true;
}

const char *finding_difference(const struct problem *problem, const struct finding *a, const struct finding *b)
{
    if (a->fault.set != b->fault.set || strcmp(a->fault.text, b->fault.text) != 0)
        return "the fault";
    for (int i = 0; i < problem->output_count && !a->fault.set; i++) {
        const struct operand *output = &problem->outputs[i];
        if (output->sized_by_run &&
            memcmp(a->results.dims[i], b->results.dims[i], (size_t)output->at.rank * sizeof(int64_t)) != 0)
            return "the size of an output";
        if (!same_output(output, a->results.dims[i], a->results.outputs[i], b->results.outputs[i]))
            return output->name;
    }
    return NULL;
}

bool kernels_are_twins(const struct kernel *a, const struct kernel *b)
{
    const char *a_last = strrchr(a->name, '_'), *b_last = strrchr(b->name, '_');
    if (!a_last || !b_last || a_last - a->name != b_last - b->name || a == b)
        return false;
    return strncmp(a->name, b->name, (size_t)(a_last - a->name)) == 0 && strcmp(a_last, "_reference") != 0 &&
           strcmp(b_last, "_reference") != 0;
}

/* --- one kernel, one problem --------------------------------------------------------------------------------- */

static const struct setting settings[] = {
    {.order = ORDER_FORWARDS, .side = FENCE_AFTER, .rubbish = 0xff, .in_place = -1},
    {.order = ORDER_BACKWARDS, .side = FENCE_BEFORE, .rubbish = 0x3f, .in_place = -1},
    {.order = ORDER_SHUFFLED, .side = FENCE_AFTER, .rubbish = 0x7f, .in_place = -1},
    {.order = ORDER_THREADS, .threads = 2, .side = FENCE_AFTER, .rubbish = 0x00, .in_place = -1},
    {.order = ORDER_THREADS, .threads = 3, .side = FENCE_BEFORE, .rubbish = 0xc1, .in_place = -1},
};
#define SETTINGS (int)(sizeof settings / sizeof settings[0])

static void describe_setting(const struct setting *setting, const struct kernel_plan *plan, char *text, size_t room)
{
    static const char *const orders[] = {"in order", "backwards", "shuffled", "in threads"};
    snprintf(text, room, "(tasks %s, %d of them; operands end%s; rubbish %02x; %s)", orders[setting->order],
             plan->tasks[0], setting->side == FENCE_AFTER ? " at the fence" : " past the fence before them",
             setting->rubbish, setting->in_place >= 0 ? "in place" : "not in place");
}

#define MOST_PACKS 8 /* with keys of their own, of all plans of a kernel for a problem */

struct made_pack {
    struct kernel_pack key;
    const unsigned char *bytes;
};

struct attempt {
    const struct kernel *kernel;
    const struct expectation *expectation;
    const struct fences *fences;
    struct region *region;
    struct finding *finding;
    bool has_first;
    struct made_pack packs[MOST_PACKS];
    int pack_count;
};

static bool wrong(struct attempt *attempt, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct attempt *attempt, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(attempt->finding->text, sizeof attempt->finding->text, format, arguments);
    va_end(arguments);
    return false;
}

/* The first run of all is compared with what is expected. */
static bool judge_first(struct attempt *attempt, const char *how)
{
    const struct expectation *e = attempt->expectation;
    struct finding *finding = attempt->finding;
    struct verdict verdict = {.wrong = false};
    if (e->fault.set != finding->fault.set || strcmp(e->fault.text, finding->fault.text) != 0)
        return wrong(attempt, "its fault is '%s', the reference's is '%s' %s", finding->fault.text, e->fault.text, how);
    if (!finding->fault.set)
        expectation_check(e, attempt->kernel, &finding->results, &verdict);
    finding->compared += verdict.compared;
    finding->open += verdict.open;
    return verdict.wrong ? wrong(attempt, "%s %s", verdict.text, how) : true;
}

static bool judge(struct attempt *attempt, const struct outcome *outcome, const char *how)
{
    const struct finding now = {.fault = outcome->fault, .results = outcome->operands};
    if (outcome->bad)
        return wrong(attempt, "%s %s", outcome->text, how);
    const char *different = finding_difference(attempt->expectation->problem, attempt->finding, &now);
    return different ? wrong(attempt, "%s differs from that of the first run %s", different, how) : true;
}

static bool try_setting(struct attempt *attempt, const struct kernel_plan *plan, const struct setting *setting)
{
    const struct expectation *e = attempt->expectation;
    struct outcome outcome;
    struct region region;
    char how[200];
    describe_setting(setting, plan, how, sizeof how);
    attempt->finding->runs++;
    if (!attempt->has_first) {
        attempt->has_first = true;
        trial_run(attempt->kernel, plan, e->problem, e->operands, setting, attempt->fences, attempt->region, &outcome);
        attempt->finding->fault = outcome.fault;
        attempt->finding->results = outcome.operands;
        return judge(attempt, &outcome, how) && judge_first(attempt, how);
    }
    region_init(&region, &default_allocator);
    trial_run(attempt->kernel, plan, e->problem, e->operands, setting, attempt->fences, &region, &outcome);
    bool right = judge(attempt, &outcome, how);
    region_free(&region);
    return right;
}

static int tasks_of(const struct kernel_plan *plan)
{
    int most = 0;
    for (int i = 0; i < plan->phases; i++)
        most = plan->tasks[i] > most ? plan->tasks[i] : most;
    return most;
}

static bool try_plan(struct attempt *attempt, const struct kernel_plan *plan, int index, uint64_t seed)
{
    const struct problem *problem = attempt->expectation->problem;
    bool all = index == 0;
    for (int i = 0; i < (all ? SETTINGS : 2); i++) {
        struct setting setting = settings[all ? i : (2 * index + i) % SETTINGS];
        setting.seed = seed + (uint64_t)i;
        if (setting.order >= ORDER_SHUFFLED && tasks_of(plan) == 1 && i > 0 && setting.side == FENCE_AFTER)
            continue; /* nothing to shuffle or to share, and the rest has been */
        if (!try_setting(attempt, plan, &setting))
            return false;
    }
    for (int i = 0; i < problem->input_count; i++) {
        struct setting setting = settings[i % 3];
        setting.in_place = i;
        if (problem->in_place & 1u << i && !try_setting(attempt, plan, &setting))
            return false;
    }
    return true;
}

/* Programs share a pack by its key, so plans that agree on the key must make the same bytes. */
static bool pack_follows_key(struct attempt *attempt, const struct kernel_plan *plan, int which)
{
    const struct expectation *e = attempt->expectation;
    const struct kernel_pack *key = &plan->packs[which];
    const void *inputs[MOST_INPUTS];
    void *outputs[MOST_OUTPUTS];
    unsigned char *bytes = region_allocate(attempt->region, key->bytes);
    if (!bytes)
        return wrong(attempt, "out of memory");
    operands_point(e->problem, e->operands, inputs, outputs);
    for (int task = 0; task < key->tasks; task++)
        attempt->kernel->pack(plan, which, inputs[key->input], bytes, task);
    for (int i = 0; i < attempt->pack_count; i++)
        if (same_key(&attempt->packs[i].key, key) && memcmp(attempt->packs[i].bytes, bytes, key->bytes) != 0)
            return wrong(attempt, "pack %d has another content under the same key", which);
    if (attempt->pack_count < MOST_PACKS)
        attempt->packs[attempt->pack_count++] = (struct made_pack){*key, bytes};
    return true;
}

static bool find_overlap(struct attempt *attempt, const struct kernel_plan *plan)
{
    const struct problem *problem = attempt->expectation->problem;
    size_t bytes = plan->shared_bytes;
    struct outcome outcome;
    for (int i = 0; i < problem->output_count; i++)
        bytes += operand_bytes(&problem->outputs[i]);
    if (tasks_of(plan) < 2 || bytes * (size_t)tasks_of(plan) > OVERLAP_BYTES)
        return true;
    trial_find_overlap(attempt->kernel, plan, problem, attempt->expectation->operands, attempt->fences, &outcome);
    return outcome.bad ? wrong(attempt, "%s", outcome.text) : true;
}

/* The results of a reference kernel with an epilogue have the very bits of two steps, one after the other. */
static bool rides_bit_for_bit(struct attempt *attempt)
{
    const struct expectation *e = attempt->expectation;
    const struct problem *problem = e->problem;
    if (!problem->epilogue || attempt->kernel != oracle_of(&e->plain) || attempt->finding->fault.set)
        return true;
    struct problem step = {.family = FAMILY_pointwise, .params = problem->epilogue, .output_count = 1};
    struct operands operands = {{NULL}, {NULL}, {{0}}};
    struct prepared prepared;
    const struct kernel_facts facts = {.threads = 1};
    step.inputs[step.input_count] = problem->results;
    operands.inputs[step.input_count++] = e->results.outputs[0];
    for (int i = problem->own_inputs; i < problem->input_count; i++) {
        step.inputs[step.input_count] = problem->inputs[i];
        operands.inputs[step.input_count++] = e->operands->inputs[i];
    }
    step.outputs[0] = problem->outputs[0];
    operands.outputs[0] = region_buffer(attempt->region, operand_bytes(&step.outputs[0]));
    if (!operands.outputs[0] || !prepare(oracle_of(&step), &step, &facts, &operands, attempt->region, &prepared))
        return wrong(attempt, "out of memory");
    prepared_run(&prepared);
    if (same_output(&step.outputs[0], NULL, operands.outputs[0], attempt->finding->results.outputs[0]))
        return true;
    return wrong(attempt, "an epilogue gives other bits than the program run by itself");
}

bool harness_try(const struct kernel *kernel, const struct expectation *expectation, const struct fences *fences,
                 uint64_t seed, struct region *region, struct finding *finding)
{
    struct attempt attempt = {
        .kernel = kernel, .expectation = expectation, .fences = fences, .region = region, .finding = finding};
    struct plans plans;
    *finding = (struct finding){.runs = 0};
    const char *bad = make_plans(kernel, expectation->problem, region, &plans);
    if (bad)
        return wrong(&attempt, "%s", bad);
    for (int i = 0; i < plans.count; i++) {
        int tasks = tasks_of(&plans.list[i]);
        finding->most_tasks = tasks > finding->most_tasks ? tasks : finding->most_tasks;
        if (!try_plan(&attempt, &plans.list[i], i, seed) || (i == 0 && !find_overlap(&attempt, &plans.list[i])))
            return false;
        for (int k = 0; k < plans.list[i].pack_count; k++)
            if (!pack_follows_key(&attempt, &plans.list[i], k))
                return false;
    }
    return rides_bit_for_bit(&attempt);
}

bool harness_survives(const struct kernel *kernel, const struct problem *problem, const struct operands *operands,
                      const struct fences *fences, struct region *region, char *text, size_t room)
{
    static const struct kernel_facts plain = {.threads = 1};
    struct kernel_plan plan;
    struct outcome outcome = {.bad = false};
    if (!kernel_make_plan(kernel, problem->params, &plain, region, &plan)) {
        snprintf(text, room, "it makes no plan");
        return false;
    }
    for (int i = 0; i < 2 && !outcome.bad; i++)
        trial_run(kernel, &plan, problem, operands, &settings[i], fences, region, &outcome);
    snprintf(text, room, "%s", outcome.text);
    return !outcome.bad;
}
