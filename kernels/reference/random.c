#include "kernels/random.h"

#include <math.h>

/* Philox 4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. */
static void philox(uint64_t counter, uint64_t seed, uint32_t out[4])
{
    uint32_t x0 = (uint32_t)counter, x1 = (uint32_t)(counter >> 32), x2 = 0, x3 = 0;
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = (uint64_t)0xD2511F53u * x0, product1 = (uint64_t)0xCD9E8D57u * x2;
        uint32_t next0 = (uint32_t)(product1 >> 32) ^ x1 ^ key0, next2 = (uint32_t)(product0 >> 32) ^ x3 ^ key1;
        x1 = (uint32_t)product1;
        x3 = (uint32_t)product0;
        x0 = next0;
        x2 = next2;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

/* 53 random bits as a number in [0, 1). */
static double unit(uint32_t high, uint32_t low)
{
    return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}

/* Numbers 2 pair and 2 pair + 1. Normal ones by Box and Muller. */
static void draw(const struct random_params *p, int64_t pair, double out[2])
{
    uint32_t bits[4];
    philox((uint64_t)pair, p->seed, bits);
    double u = unit(bits[0], bits[1]), v = unit(bits[2], bits[3]);
    if (p->normal) {
        double radius = p->b * sqrt(-2 * log(1 - u)), angle = 2 * 3.14159265358979323846 * v;
        out[0] = p->a + radius * cos(angle);
        out[1] = p->a + radius * sin(angle);
        return;
    }
    out[0] = p->a + (p->b - p->a) * u;
    out[1] = p->a + (p->b - p->a) * v;
}

static int random_tasks(const void *params)
{
    const struct random_params *p = params;
    return task_count((p->count + 1) / 2, 2048);
}

static void random_run(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    const struct random_params *p = plan->params;
    int64_t first, last;
    task_range((p->count + 1) / 2, plan->tasks[0], task, &first, &last);
    for (int64_t pair = first; pair < last; pair++) {
        double numbers[2];
        draw(p, pair, numbers);
        for (int64_t i = 2 * pair; i < 2 * pair + 2 && i < p->count; i++) {
            if (p->dtype == DTYPE_F64)
                ((double *)call->outputs[0])[i] = numbers[i & 1];
            else
                ((float *)call->outputs[0])[i] = (float)numbers[i & 1];
        }
    }
}

static bool random_supports(const void *params)
{
    const struct random_params *p = params;
    return p->dtype == DTYPE_F32 || p->dtype == DTYPE_F64;
}

const struct kernel random_reference = {
    .name = "random_reference",
    .family = FAMILY_random,
    .supports = random_supports,
    .tasks = random_tasks,
    .run = random_run,
};
