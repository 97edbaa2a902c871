/* Kernels that are wrong on purpose, one way each, and right ones that use all that a plan can hold. */
#include "tests/kernels/harness.h"

#include "kernels/copy.h"
#include "kernels/matmul.h"
#include "kernels/softmax.h"
#include "tests/kernels/trial.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum bug {
#define PRODUCT(bug, finds) bug,
#include "tests/kernels/planted.def"
#undef PRODUCT
};

/* --- a product in two phases --------------------------------------------------------------------------------- */

/* A is copied to the shared workspace by rows, then each task takes some columns, of B or of its transposed pack. */
struct product {
    enum bug bug;
    int threads;
    bool packed;
};

static bool has(const struct kernel_plan *plan, enum bug bug)
{
    return ((const struct product *)plan->state)->bug == bug;
}

static bool is_packed(const struct kernel_plan *plan)
{
    return ((const struct product *)plan->state)->packed;
}

static bool product_supports(const void *params)
{
    const struct matmul_params *p = params;
    return p->dtype == DTYPE_F32 && !matmul_is_scaled(p) && p->batch_rank == 0 && p->k > 0 &&
           p->m * p->n * p->k < 60000;
}

static bool plan_product(enum bug bug, const void *params, const struct kernel_facts *facts, struct region *region,
                         struct kernel_plan *plan)
{
    const struct matmul_params *p = params;
    struct product *product = region_allocate(region, sizeof *product);
    if (!product)
        return false;
    *product = (struct product){bug, facts->threads, facts->constant_inputs & 2u};
    plan->state = product;
    plan->phases = 2;
    plan->tasks[0] = p->m < facts->threads ? (int)p->m : facts->threads;
    plan->tasks[1] = p->n < 3 * facts->threads ? (int)p->n : 3 * facts->threads;
    struct epilogue epilogue = matmul_epilogue(p);
    plan->task_bytes = align_up((size_t)p->m * sizeof(float), ALIGNMENT) + epilogue_workspace(&epilogue);
    plan->shared_bytes = (size_t)(p->m * p->k + 1) * sizeof(float);
    plan->pack_count = product->packed;
    plan->packs[0] = (struct kernel_pack){
        .input = 1,
        .bytes = (size_t)(p->n * p->k - (bug == PACK_TOO_SMALL) + (bug == PACK_OF_THREADS)) * sizeof(float),
        .tasks = p->n < 3 ? 1 : 3};
    return true;
}

static void pack_product(const struct kernel_plan *plan, int which, const void *from, void *to, int task)
{
    const struct matmul_params *p = plan->params;
    const float *b = from;
    float *packed = to;
    int64_t first, last;
    task_range(p->n, plan->packs[which].tasks, task, &first, &last);
    for (int64_t j = first; j < last; j++)
        for (int64_t k = 0; k < p->k - (j + 1 == p->n && (has(plan, PACK_TOO_SMALL) || has(plan, PACK_UNSET))); k++)
            packed[j * p->k + k] = b[k * p->b.row + j * p->b.column];
    if (has(plan, PACK_WRITES_PAST) && last == p->n)
        packed[p->n * p->k] = 0;
    if (has(plan, PACK_OF_THREADS) && task == 0)
        packed[p->n * p->k] = (float)((const struct product *)plan->state)->threads;
}

/* The last float of the shared workspace is for ORDER_COUNTS. */
static float *turns(const struct kernel_plan *plan, const struct kernel_call *call)
{
    const struct matmul_params *p = plan->params;
    return (float *)call->shared + p->m * p->k;
}

static void read_astray(const struct kernel_plan *plan, const struct kernel_call *call, bool is_first, bool is_last)
{
    const struct matmul_params *p = plan->params;
    const volatile float *a = call->inputs[0];
    float *shared = call->shared;
    if (has(plan, READS_PAST) && is_last)
        shared[0] += 0 * a[(p->m - 1) * p->a.row + p->k * p->a.column];
    if (has(plan, READS_BEFORE) && is_first)
        shared[0] += 0 * a[-1];
    if (has(plan, READS_ALIGNED) && p->k >= 4)
        __asm__ volatile("movaps (%0), %%xmm0" : : "r"(a) : "xmm0", "memory");
    if (has(plan, PHASE_TOO_EARLY) && is_first)
        shared[0] += (float)*(const volatile unsigned char *)call->outputs[0];
}

static void copy_rows(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct matmul_params *p = plan->params;
    const float *a = call->inputs[0];
    float *shared = call->shared;
    int64_t column = has(plan, WRONG_STRIDE) ? 1 : p->a.column, first, last;
    task_range(p->m, plan->tasks[0], task, &first, &last);
    for (int64_t i = first; i < last; i++)
        for (int64_t k = 0; k < p->k - (i + 1 == p->m && has(plan, SHARED_UNSET)); k++)
            shared[i * p->k + k] = a[i * p->a.row + k * column];
    if (first == 0)
        *turns(plan, call) = 0;
    if (has(plan, SHARED_PAST))
        turns(plan, call)[1] = 0;
    if (has(plan, WRITES_INPUT))
        *(float *)(uintptr_t)a = 1;
    read_astray(plan, call, first == 0, last == p->m);
}

/* Sums of column j for all rows. */
static void sum_column(const struct kernel_plan *plan, const struct kernel_call *call, int64_t j, float *sums)
{
    const struct matmul_params *p = plan->params;
    const float *shared = call->shared, *d = call->inputs[2], *b = call->inputs[1];
    const float *column = is_packed(plan) ? (const float *)call->packed[0] + j * p->k : b + j * p->b.column;
    int64_t step = is_packed(plan) ? 1 : p->b.row;
    if (has(plan, READS_PACKED_INPUT))
        __asm__ volatile("movss (%0), %%xmm0" : : "r"(b) : "xmm0", "memory"); /* out of sight of sanitizers */
    int64_t parts = has(plan, THREADS_COUNT) ? ((const struct product *)plan->state)->threads : 1;
    for (int64_t i = 0; i < p->m; i++) {
        sums[i] = has(plan, WORKSPACE_UNSET) ? sums[i] : 0;
        for (int64_t part = 0; part < parts; part++) {
            float sum = 0;
            for (int64_t k = part; k < p->k; k += parts)
                sum += shared[i * p->k + k] * column[k * step];
            sums[i] += sum;
        }
        sums[i] += d ? d[i * p->d.row + j * p->d.column] : 0;
        sums[i] = has(plan, LAST_BIT) && isfinite(sums[i]) ? nextafterf(sums[i], 0) : sums[i];
    }
}

static void finish(const struct kernel_plan *plan, const struct kernel_call *call, const float *result, int64_t row,
                   int64_t column)
{
    const struct matmul_params *p = plan->params;
    const void *inputs[MOST_INPUTS];
    struct kernel_call swapped = *call;
    memcpy(inputs, call->inputs, (size_t)(MATMUL_INPUTS + p->epilogue->input_count - 1) * sizeof *inputs);
    /* Of the same type: an address that is no multiple of the element's size would end a build with sanitizers. */
    bool alike = p->epilogue->input_count > 2 && p->epilogue->operands[1].dtype == p->epilogue->operands[2].dtype;
    if (has(plan, WRONG_EPILOGUE_OPERAND) && alike) {
        inputs[MATMUL_INPUTS] = call->inputs[MATMUL_INPUTS + 1];
        inputs[MATMUL_INPUTS + 1] = call->inputs[MATMUL_INPUTS];
    }
    swapped.inputs = inputs;
    struct epilogue epilogue = matmul_epilogue(p);
    struct epilogue_tile tile = {.results = result, .row = row, .rows = 1, .column = column, .columns = 1};
    epilogue_run(&epilogue, &swapped, &tile,
                 (char *)call->workspace + align_up((size_t)p->m * sizeof(float), ALIGNMENT));
}

static void store_column(const struct kernel_plan *plan, const struct kernel_call *call, int64_t j, const float *sums)
{
    const struct matmul_params *p = plan->params;
    float *c = call->outputs[0];
    for (int64_t i = 0; i < p->m; i++) {
        if (p->epilogue)
            finish(plan, call, &sums[i], i, j);
        else
            c[i * p->c.row + j * p->c.column] = sums[i];
    }
    if (p->epilogue)
        return;
    if (has(plan, WRITES_PAST) && j + 1 == p->n)
        c[(p->m - 1) * p->c.row + p->n * p->c.column] = 0;
    if (has(plan, WRITES_BETWEEN) && p->m > 1 && p->c.column > 0 && p->c.row > p->n * p->c.column)
        c[p->c.row - 1] = 0;
    if (has(plan, WRITES_BETWEEN) && p->n > 1 && p->c.row > 0 && p->c.column > p->m * p->c.row)
        c[p->c.column - 1] = 0;
}

static void take_columns(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct matmul_params *p = plan->params;
    float *sums = call->workspace, *c = call->outputs[0];
    int64_t first, last;
    task_range(p->n, plan->tasks[1], task, &first, &last);
    int64_t end = last < p->n && (has(plan, TASKS_DISAGREE) || has(plan, TASKS_REPEAT)) ? last + 1 : last;
    for (int64_t j = first; j < end; j++) {
        sum_column(plan, call, j, sums);
        if (has(plan, TASKS_DISAGREE) && j == last)
            sums[0] += 1;
        if (has(plan, ORDER_COUNTS))
            sums[0] += *turns(plan, call);
        store_column(plan, call, j, sums);
    }
    if (has(plan, ORDER_COUNTS))
        *turns(plan, call) = (float)task;
    if (has(plan, TASKS_ADD_UP) && !p->epilogue)
        c[0] = task == 0 ? c[0] : c[0] + (float)task;
    if (has(plan, WORKSPACE_PAST))
        memset((char *)call->workspace + plan->task_bytes, 0, sizeof(float));
}

static void run_product(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    if (call->phase == 0)
        copy_rows(plan, call, task);
    else
        take_columns(plan, call, task);
}

#define PRODUCT(bug, finds)                                                                             \
    static bool plan_##bug(const void *params, const struct kernel_facts *facts, struct region *region, \
                           struct kernel_plan *plan)                                                    \
    {                                                                                                   \
        return plan_product(bug, params, facts, region, plan);                                          \
    }
#include "tests/kernels/planted.def"
#undef PRODUCT

static const struct kernel products[] = {
#define PRODUCT(bug, finds)        \
    {.name = "product_" #bug,      \
     .family = FAMILY_matmul,      \
     .supports = product_supports, \
     .plan = plan_##bug,           \
     .pack = pack_product,         \
     .run = run_product},
#include "tests/kernels/planted.def"
#undef PRODUCT
};

/* One kernel built for two sets of instructions, as their names say. */
static const struct kernel twins[] = {
    {.name = "product_avx2",
     .family = FAMILY_matmul,
     .supports = product_supports,
     .plan = plan_NO_BUG,
     .pack = pack_product,
     .run = run_product},
    {.name = "product_avx512",
     .family = FAMILY_matmul,
     .supports = product_supports,
     .plan = plan_LAST_BIT,
     .pack = pack_product,
     .run = run_product},
};

/* --- bugs of other kinds ------------------------------------------------------------------------------------- */

/* Elements are moved as numbers, which loses what a NaN says and the sign of a zero. */
static void copy_as_numbers(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct copy_params *p = plan->params;
    const float *from = (const float *)call->inputs[0] + p->input_offset;
    float *to = (float *)call->outputs[0] + p->output_offset;
    const volatile float nothing = 0;
    (void)task;
    for (int64_t i = 0; i < p->dims[0]; i++)
        to[i * p->output_strides[0]] = from[i * p->input_strides[0]] + nothing;
}

static bool copies_a_row(const void *params)
{
    const struct copy_params *p = params;
    return p->rank == 1 && p->element_bytes == 4;
}

static const struct kernel copy_numbers = {
    .name = "copy_numbers", .family = FAMILY_copy, .supports = copies_a_row, .run = copy_as_numbers};

/* Reads x again when y is written, which may lie where x does. */
static void softmax_twice(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct softmax_params *p = plan->params;
    const float *x = call->inputs[0];
    float *y = call->outputs[0];
    (void)task;
    for (int64_t row = 0; row < p->outer; row++, x += p->axis, y += p->axis) {
        float most = x[0];
        double sum = 0;
        for (int64_t i = 1; i < p->axis; i++)
            most = x[i] > most || isnan(x[i]) ? x[i] : most;
        for (int64_t i = 0; i < p->axis; i++)
            sum += (double)(y[i] = expf(x[i] - most));
        for (int64_t i = 0; i < p->axis; i++)
            y[i] = (float)((double)expf(x[i] - most) / sum);
    }
}

static bool softens_rows(const void *params)
{
    const struct softmax_params *p = params;
    return p->dtype == DTYPE_F32 && p->kind == SOFTMAX && p->inner == 1;
}

static const struct kernel softmax_not_in_place = {
    .name = "softmax_not_in_place", .family = FAMILY_softmax, .supports = softens_rows, .run = softmax_twice};

/* --- what the harness says ----------------------------------------------------------------------------------- */

struct planted {
    const struct kernel *kernel;
    const char *finds; /* a part of what is said, or of several; NULL: nothing, the kernel is right */
};

static const struct planted all[] = {
#define PRODUCT(bug, finds) {&products[bug], finds},
#include "tests/kernels/planted.def"
#undef PRODUCT
    {&copy_numbers, "has the bytes"},
    {&softmax_not_in_place, "in place"},
};

#define MOST_TRIES 1600 /* problems */
#define PLANTED_SEED 1

/* Tries one problem; false where the harness finds something. */
static bool try_one(const struct harness *harness, const struct kernel *kernel, uint64_t index, struct finding *finding)
{
    struct region region;
    struct problem problem;
    struct operands operands;
    struct expectation expectation;
    bool right = true;
    region_init(&region, &default_allocator);
    problem_make(family_problems_of(kernel->family), PLANTED_SEED, index, &region, &problem);
    if (kernel->supports(problem.params) && operands_make(&problem, index, &region, &operands) &&
        expectation_make(&problem, &operands, &region, &expectation))
        right = harness_try(kernel, &expectation, harness->fences, index, &region, finding);
    region_free(&region);
    return right;
}

/* Parts are separated by bars. */
static bool says(const char *text, const char *parts)
{
    char part[80];
    for (size_t length; *parts; parts += length + (parts[length] == '|')) {
        length = strcspn(parts, "|");
        snprintf(part, sizeof part, "%.*s", (int)length, parts);
        if (strstr(text, part))
            return true;
    }
    return false;
}

static void try_planted(struct harness *harness, const struct planted *planted)
{
    struct finding finding = {.runs = 0};
    bool right = true;
    for (uint64_t i = 0; i < MOST_TRIES && right; i++)
        right = try_one(harness, planted->kernel, i, &finding);
    bool as_expected = planted->finds ? !right && says(finding.text, planted->finds) : right;
    *(as_expected ? &harness->passed : &harness->failed) += 1;
    if (!as_expected)
        printf("FAILED planted %s: %s, should be '%s'\n", planted->kernel->name, right ? "nothing" : finding.text,
               planted->finds ? planted->finds : "nothing");
    else if (!harness->quiet)
        printf("%-32s %s\n", planted->kernel->name, right ? "right" : finding.text);
}

static bool find_twins(const struct harness *harness)
{
    static const struct kernel *const list[] = {&twins[0], &twins[1], NULL};
    struct harness planted = {.kernels = list,
                              .fences = harness->fences,
                              .seed = PLANTED_SEED,
                              .only = -1,
                              .problems = 8,
                              .quiet = true,
                              .silent = true};
    harness_run(&planted);
    bool found = planted.failed == 1 && strstr(planted.last, "has other bits than that of product_avx2");
    if (!found)
        printf("FAILED planted twins: %s\n", planted.failed ? planted.last : "nothing");
    else if (!harness->quiet)
        printf("%-32s %s\n", "product_avx512", planted.last);
    return found;
}

void planted_run(struct harness *harness)
{
    enum { PLANTED = sizeof all / sizeof all[0] };
    int bugs = 0, found = 0;
    trial_watch();
    for (size_t i = 0; i < PLANTED; i++) {
        int64_t before = harness->passed;
        try_planted(harness, &all[i]);
        bugs += all[i].finds != NULL;
        found += all[i].finds && harness->passed > before;
    }
    bool twins_found = find_twins(harness);
    *(twins_found ? &harness->passed : &harness->failed) += 1;
    printf("%d of %d planted bugs found\n", found + twins_found, bugs + 1);
}
