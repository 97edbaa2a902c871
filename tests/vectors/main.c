/* Functions of vectors against those of libm in double, over floats of every kind, and one set against the other. */
#include "kernels/convert.h"
#include "kernels/kernel.h"
#include "tests/vectors/functions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "Usage: check-vectors [--all]\n"
                            "Functions of kernels/x86/vector_math.h on every 257th float, and on all near the edges;\n"
                            "--all: on every float.\n";

#define SQRT_HALF 0.70710678118654752440
#define GELU_SLOPE (2 * 0.79788456080286535588)

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

#define FUNCTION(name, argument, definition, ulps, absolute) \
    static double true_##name(double x)                      \
    {                                                        \
        return definition;                                   \
    }
#include "tests/vectors/functions.def"
#undef FUNCTION

static const struct {
    const char *name;
    double (*truth)(double x);
    double ulps, absolute;
} functions[] = {
#define FUNCTION(name, argument, definition, ulps, absolute) {#name, true_##name, ulps, absolute},
#include "tests/vectors/functions.def"
#undef FUNCTION
};

static const struct vector_set *const sets[] = {&vector_functions_plain, &vector_functions_avx2,
                                                &vector_functions_avx512};
#define SET_COUNT (sizeof sets / sizeof sets[0])
#define BLOCK 4096

/* In units in the last place of the float nearest to the truth; infinite where one is a NaN and the other is not. */
static double distance(float got, double truth)
{
    float nearest = (float)truth;
    if (isnan(got) || isnan(nearest))
        return isnan(got) && isnan(nearest) ? 0 : (double)INFINITY;
    if (got == nearest)
        return signbit(got) == signbit(nearest) || got != 0 ? 0 : (double)INFINITY;
    if (isinf(nearest)) { /* as if floats went on */
        truth = truth > 0 ? 0x1p128 : -0x1p128;
        nearest = truth > 0 ? 0x1.fffffep127f : -0x1.fffffep127f;
    }
    if (isinf(got))
        return fabs((got > 0 ? 0x1p128 : -0x1p128) - truth) / 0x1p104;
    float size = fabsf(nearest);
    return fabs((double)got - truth) / ((double)nextafterf(size, INFINITY) - (double)size);
}

struct worst {
    double distance;
    float at, got;
    long apart; /* results that differ from those of the first set */
};

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static void try_block(enum vector_function function, const float *x, size_t n, unsigned cpu, struct worst *worst)
{
    static float results[SET_COUNT][BLOCK];
    for (size_t set = 0; set < SET_COUNT; set++) {
        if (sets[set]->requires & ~cpu)
            continue;
        sets[set]->functions[function](x, results[set], n);
        for (size_t i = 0; i < n; i++)
            worst->apart += !same_bits(results[set][i], results[0][i]);
    }
    for (size_t i = 0; i < n; i++) {
        double truth = functions[function].truth((double)x[i]);
        double off = distance(results[0][i], truth);
        if (off > worst->distance && !(fabs((double)results[0][i] - truth) <= functions[function].absolute))
            *worst = (struct worst){off, x[i], results[0][i], worst->apart};
    }
}

/* Floats by their bits: every step-th of all, which takes in every exponent. */
static void try_floats(enum vector_function function, uint64_t step, unsigned cpu, struct worst *worst)
{
    static float block[BLOCK];
    size_t n = 0;
    for (uint64_t bits = 0; bits < 1ull << 32; bits += step) {
        block[n++] = bits_to_f32((uint32_t)bits);
        if (n == BLOCK) {
            try_block(function, block, n, cpu, worst);
            n = 0;
        }
    }
    try_block(function, block, n, cpu, worst);
}

/* The neighbours of floats where something begins or ends. */
static void try_edges(enum vector_function function, unsigned cpu, struct worst *worst)
{
    static const float edges[] = {
        0,         0x1p-149f, 0x1p-126f, 1,       0.41421356f, 0.625f,          0.9277f,    1.3119659f, 4,
        6,         10.34375f, 9.0109f,   20,      87.336545f,  88.3763f,        88.722839f, 90,         103.2789f,
        103.9721f, 105,       0x1p15f,   0x1p20f, 0x1p31f,     0x1.fffffep127f, INFINITY};
    static float near[2 * 64];
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        for (uint32_t j = 0; j < 64; j++) {
            uint32_t bits = f32_to_bits(edges[i]) + j - 32;
            near[j] = bits_to_f32(bits & 0x7fffffffu);
            near[64 + j] = -near[j];
        }
        for (size_t n = 1; n <= sizeof near / sizeof near[0]; n += 42) /* parts of vectors too */
            try_block(function, near, n, cpu, worst);
    }
}

int main(int argc, char **argv)
{
    bool all = argc == 2 && strcmp(argv[1], "--all") == 0;
    int failed = 0;
    if (argc > 1 && !all) {
        fputs(usage, stderr);
        return 2;
    }
    for (int i = 0; i < VECTOR_FUNCTION_COUNT; i++) {
        struct worst worst = {0};
        try_edges((enum vector_function)i, cpu_detect(), &worst);
        try_floats((enum vector_function)i, all ? 1 : 257, cpu_detect(), &worst);
        bool good = worst.distance <= functions[i].ulps && worst.apart == 0;
        failed += !good;
        printf("%-6s %-16s %.3f ulp at %.9g (%a gives %a); %ld results differ between sets\n", good ? "ok" : "FAILED",
               functions[i].name, worst.distance, (double)worst.at, (double)worst.at, (double)worst.got, worst.apart);
    }
    printf("%d passed, %d failed\n", VECTOR_FUNCTION_COUNT - failed, failed);
    return failed != 0;
}
