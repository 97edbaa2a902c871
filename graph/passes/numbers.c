#include "graph/passes/numbers.h"

#include <float.h>
#include <math.h>

void numbers_read(const struct value *value, int64_t first, int64_t count, double *numbers)
{
    const float *floats = value->data;
    const uint16_t *halves = value->data;
    switch (value->dtype) {
    case DTYPE_F32:
        for (int64_t i = 0; i < count; i++)
            numbers[i] = (double)floats[first + i];
        break;
    case DTYPE_F16:
        for (int64_t i = 0; i < count; i++)
            numbers[i] = (double)f16_to_f32(halves[first + i]);
        break;
    case DTYPE_BF16:
        for (int64_t i = 0; i < count; i++)
            numbers[i] = (double)bf16_to_f32(halves[first + i]);
        break;
    default:
        memcpy(numbers, (const double *)value->data + first, (size_t)count * sizeof *numbers);
    }
}

void numbers_write(enum dtype dtype, void *data, int64_t first, int64_t count, const double *numbers)
{
    float *floats = data;
    uint16_t *halves = data;
    switch (dtype) {
    case DTYPE_F32:
        for (int64_t i = 0; i < count; i++)
            floats[first + i] = (float)numbers[i];
        break;
    case DTYPE_F16:
        for (int64_t i = 0; i < count; i++)
            halves[first + i] = f32_to_f16(f64_to_f32_odd(numbers[i]));
        break;
    case DTYPE_BF16:
        for (int64_t i = 0; i < count; i++)
            halves[first + i] = f32_to_bf16(f64_to_f32_odd(numbers[i]));
        break;
    default:
        memcpy((double *)data + first, numbers, (size_t)count * sizeof *numbers);
    }
}

/* Magnitudes of floats are ordered as their bits are, and compilers make vectors of integers. */
static float largest_of_floats(const float *floats, int64_t count)
{
    static const int32_t infinity = 0x7f800000;
    int32_t most = 0;
    float largest;
    for (int64_t i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, &floats[i], sizeof bits);
        bits &= INT32_MAX;
        bits = bits < infinity ? bits : 0;
        most = bits > most ? bits : most;
    }
    memcpy(&largest, &most, sizeof largest);
    return largest;
}

static void scale_floats(const float *from, int64_t count, double factor, float *to)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = (float)((double)from[i] * factor);
}

/* With AVX2, whole steps of so many floats, in less than half of the instructions; the same bits, since each element is
 * computed alone. */
#define WIDE_STEP 16
#ifdef __x86_64__
#include "kernels/cpu.h"

#include <immintrin.h>
#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i magnitudes(const float *floats)
{
    return _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(const void *)floats), _mm256_set1_epi32(INT32_MAX));
}

/* Where all are finite, which it finds out by the largest. */
AVX2 static float wide_largest(const float *floats, int64_t count)
{
    __m256i most[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int64_t i = 0; i < count; i += WIDE_STEP) {
        most[0] = _mm256_max_epi32(most[0], magnitudes(floats + i));
        most[1] = _mm256_max_epi32(most[1], magnitudes(floats + i + 8));
    }
    most[0] = _mm256_max_epi32(most[0], most[1]);
    if (_mm256_movemask_epi8(_mm256_cmpgt_epi32(most[0], _mm256_set1_epi32(0x7f7fffff))))
        return largest_of_floats(floats, count);
    float lanes[8];
    _mm256_storeu_si256((__m256i *)(void *)lanes, most[0]);
    return largest_of_floats(lanes, 8);
}

AVX2 static inline void scale_four(const float *from, __m256d factors, float *to)
{
    _mm_storeu_ps(to, _mm256_cvtpd_ps(_mm256_mul_pd(_mm256_cvtps_pd(_mm_loadu_ps(from)), factors)));
}

AVX2 static void wide_scale(const float *from, int64_t count, double factor, float *to)
{
    __m256d factors = _mm256_set1_pd(factor);
    for (int64_t i = 0; i < count; i += WIDE_STEP) {
        scale_four(from + i, factors, to + i);
        scale_four(from + i + 4, factors, to + i + 4);
        scale_four(from + i + 8, factors, to + i + 8);
        scale_four(from + i + 12, factors, to + i + 12);
    }
}
#else
#define cpu_has_avx2() false
#define wide_largest largest_of_floats
#define wide_scale scale_floats
#endif

/* So many at a time are in hand where the elements are no f32. */
#define AT_ONCE 64

static double largest_float(const float *floats, int64_t count)
{
    int64_t wide = cpu_has_avx2() ? count / WIDE_STEP * WIDE_STEP : 0;
    float rest = largest_of_floats(floats + wide, count - wide), most = wide ? wide_largest(floats, wide) : 0;
    return (double)(rest > most ? rest : most);
}

double numbers_largest(const struct value *value, int64_t first, int64_t count)
{
    double numbers[AT_ONCE], most = 0;
    const float *floats = (const float *)value->data + first;
    if (value->dtype == DTYPE_F32)
        return largest_float(floats, count);
    for (int64_t i = 0; i < count; i += AT_ONCE) {
        int64_t length = count - i < AT_ONCE ? count - i : AT_ONCE;
        numbers_read(value, first + i, length, numbers);
        for (int64_t k = 0; k < length; k++)
            most = fabs(numbers[k]) > most && fabs(numbers[k]) <= DBL_MAX ? fabs(numbers[k]) : most;
    }
    return most;
}

void numbers_scale(const struct value *value, int64_t first, int64_t count, double factor, void *data)
{
    const float *from = (const float *)value->data + first;
    double numbers[AT_ONCE];
    if (value->dtype == DTYPE_F32) {
        float *to = (float *)data + first;
        int64_t wide = cpu_has_avx2() ? count / WIDE_STEP * WIDE_STEP : 0;
        if (wide)
            wide_scale(from, wide, factor, to);
        scale_floats(from + wide, count - wide, factor, to + wide);
        return;
    }
    for (int64_t i = 0; i < count; i += AT_ONCE) {
        int64_t length = count - i < AT_ONCE ? count - i : AT_ONCE;
        numbers_read(value, first + i, length, numbers);
        for (int64_t k = 0; k < length; k++)
            numbers[k] *= factor;
        numbers_write(value->dtype, data, first + i, length, numbers);
    }
}

/* Four rows at a time: each has a sum of its own, in the order of its elements. */
static void dots_of_floats(const float *floats, int64_t rows, int64_t length, const double *t, double *sums)
{
    int64_t a = 0;
    for (; a + 4 <= rows; a += 4) {
        const float *row = floats + a * length;
        double sum[4] = {sums[a], sums[a + 1], sums[a + 2], sums[a + 3]};
        for (int64_t i = 0; i < length; i++, row++) {
            sum[0] += (double)row[0] * t[i];
            sum[1] += (double)row[length] * t[i];
            sum[2] += (double)row[2 * length] * t[i];
            sum[3] += (double)row[3 * length] * t[i];
        }
        memcpy(&sums[a], sum, sizeof sum);
    }
    for (; a < rows; a++)
        for (int64_t i = 0; i < length; i++)
            sums[a] += (double)floats[a * length + i] * t[i];
}

bool numbers_dots(const struct value *value, int64_t rows, int64_t length, const double *t, double *sums)
{
    if (value->dtype == DTYPE_F32)
        dots_of_floats(value->data, rows, length, t, sums);
    return value->dtype == DTYPE_F32;
}

double number_greatest(enum dtype dtype)
{
    return dtype == DTYPE_F16    ? 65504
           : dtype == DTYPE_BF16 ? 0x1.fep127
           : dtype == DTYPE_F32  ? (double)FLT_MAX
                                 : DBL_MAX;
}

double number_least_normal(enum dtype dtype)
{
    return dtype == DTYPE_F16 ? 0x1p-14 : dtype == DTYPE_F64 ? DBL_MIN : (double)FLT_MIN;
}
