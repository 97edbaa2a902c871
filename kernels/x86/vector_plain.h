/* vector.h for any CPU: 16 lanes of plain C. Each function does what the instruction of the other sets does, NaN and
 * range included. */
#ifndef INFER_KERNELS_X86_VECTOR_PLAIN_H
#define INFER_KERNELS_X86_VECTOR_PLAIN_H

#include <math.h>
#include <string.h>

/* Vectors of the compiler's: it makes of them what the CPU has. */
typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef vi vm; /* 0 or -1 */

/* --- masks --- */
static inline vm vm_first(int64_t n)
{
    vm m;
    for (int i = 0; i < LANES; i++)
        m[i] = i < n ? -1 : 0;
    return m;
}
static inline vm vm_and(vm a, vm b)
{
    return a & b;
}
static inline vm vm_or(vm a, vm b)
{
    return a | b;
}
static inline vm vm_not(vm a)
{
    return ~a;
}
static inline bool vm_any(vm a)
{
    int any = 0;
    for (int i = 0; i < LANES; i++)
        any |= a[i];
    return any != 0;
}

/* --- floats --- */
static inline vf vf_set(float x)
{
    return x - (vf){0}; /* a sum would make -0 a 0 */
}
static inline vf vf_load(const float *from)
{
    vf x;
    memcpy(&x, from, sizeof x);
    return x;
}
static inline void vf_store(float *to, vf x)
{
    memcpy(to, &x, sizeof x);
}
/* Past the caches, to a multiple of a vector's bytes: for what nobody reads soon. Before another thread may see it,
 * stream_end. */
static inline void vf_stream(float *to, vf x)
{
    memcpy(to, &x, sizeof x);
}
static inline void stream_end(void)
{
}
/* The lower half; what the upper one holds is anybody's guess. */
static inline vf vf_set_half(float x)
{
    return vf_set(x);
}
static inline vf vf_load_half(const float *from)
{
    vf x;
    memset(&x, 0x5a, sizeof x);
    memcpy(&x, from, sizeof x / 2);
    return x;
}
static inline void vf_store_half(float *to, vf x)
{
    memcpy(to, &x, sizeof x / 2);
}
static inline vf vf_load_part(const float *from, int64_t n)
{
    vf x = {0};
    memcpy(&x, from, (size_t)n * sizeof *from);
    return x;
}
static inline void vf_store_part(float *to, vf x, int64_t n)
{
    memcpy(to, &x, (size_t)n * sizeof *to);
}
static inline vf vf_add(vf a, vf b)
{
    return a + b;
}
static inline vf vf_sub(vf a, vf b)
{
    return a - b;
}
static inline vf vf_mul(vf a, vf b)
{
    return a * b;
}
static inline vf vf_div(vf a, vf b)
{
    return a / b;
}
static inline vf vf_fma(vf a, vf b, vf c)
{
    for (int i = 0; i < LANES; i++)
        c[i] = fmaf(a[i], b[i], c[i]);
    return c;
}
static inline vf vf_fma_half(vf a, vf b, vf c)
{
    for (int i = 0; i < LANES / 2; i++)
        c[i] = fmaf(a[i], b[i], c[i]);
    return c;
}
static inline vf vf_fnma(vf a, vf b, vf c)
{
    for (int i = 0; i < LANES; i++)
        c[i] = fmaf(-a[i], b[i], c[i]);
    return c;
}
static inline vf vf_max(vf a, vf b)
{
    for (int i = 0; i < LANES; i++)
        b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
}
static inline vf vf_min(vf a, vf b)
{
    for (int i = 0; i < LANES; i++)
        b[i] = a[i] < b[i] ? a[i] : b[i];
    return b;
}
static inline vf vf_sqrt(vf a)
{
    for (int i = 0; i < LANES; i++)
        a[i] = sqrtf(a[i]);
    return a;
}
static inline vf vf_abs(vf a)
{
    for (int i = 0; i < LANES; i++)
        a[i] = fabsf(a[i]);
    return a;
}
static inline vf vf_neg(vf a)
{
    return -a;
}
/* The magnitude of a with the sign of b. */
static inline vf vf_copysign(vf a, vf b)
{
    for (int i = 0; i < LANES; i++)
        a[i] = copysignf(a[i], b[i]);
    return a;
}
static inline vf vf_round(vf a)
{
    for (int i = 0; i < LANES; i++)
        a[i] = rintf(a[i]);
    return a;
}
static inline vf vf_floor(vf a)
{
    for (int i = 0; i < LANES; i++)
        a[i] = floorf(a[i]);
    return a;
}
static inline vf vf_ceil(vf a)
{
    for (int i = 0; i < LANES; i++)
        a[i] = ceilf(a[i]);
    return a;
}
static inline vm vf_less(vf a, vf b)
{
    return a < b;
}
static inline vm vf_less_equal(vf a, vf b)
{
    return a <= b;
}
static inline vm vf_equal(vf a, vf b)
{
    return a == b;
}
static inline vm vf_is_nan(vf a)
{
    return a != a;
}
static inline vf vf_select(vm m, vf a, vf b)
{
    return (vf)((m & (vi)a) | (~m & (vi)b));
}
/* Elements 0, 2, 4, ...; what lies between them is read too, but nothing past the last. */
static inline vf vf_load_every_second(const float *from)
{
    vf x;
    for (int i = 0; i < LANES; i++)
        x[i] = from[2 * i];
    return x;
}
/* Elements `step` apart. */
static inline vf vf_load_apart(const float *from, int64_t step)
{
    vf x;
    for (int i = 0; i < LANES; i++)
        x[i] = from[i * step];
    return x;
}
/* base[index], lane by lane. */
static inline vf vf_gather(const float *base, vi index)
{
    vf x;
    for (int i = 0; i < LANES; i++)
        x[i] = base[index[i]];
    return x;
}
/* Lane i < n has lane i + n, for n a power of two below LANES; the others anything. */
static inline vf vf_upper(vf a, int n)
{
    for (int i = 0; i < n; i++)
        a[i] = a[i + n];
    return a;
}
static inline float vf_first(vf a)
{
    return a[0];
}

/* --- integers: they wrap, which signed ones may not in C --- */
typedef uint32_t vu __attribute__((vector_size(64)));
static inline vi vi_set(int32_t x)
{
    return (vi){0} + x;
}
static inline vi vi_load(const int32_t *from)
{
    vi x;
    memcpy(&x, from, sizeof x);
    return x;
}
static inline void vi_store(int32_t *to, vi x)
{
    memcpy(to, &x, sizeof x);
}
static inline vi vi_load_part(const int32_t *from, int64_t n)
{
    vi x = {0};
    memcpy(&x, from, (size_t)n * sizeof *from);
    return x;
}
static inline void vi_store_part(int32_t *to, vi x, int64_t n)
{
    memcpy(to, &x, (size_t)n * sizeof *to);
}
static inline vi vi_add(vi a, vi b)
{
    return (vi)((vu)a + (vu)b);
}
static inline vi vi_sub(vi a, vi b)
{
    return (vi)((vu)a - (vu)b);
}
static inline vi vi_mul(vi a, vi b)
{
    return (vi)((vu)a * (vu)b);
}
/* Lanes are two int16 each: the sum of their products. */
static inline vi vi_mul_pairs(vi a, vi b)
{
    vu low = (vu)((vi)((vu)a << 16) >> 16) * (vu)((vi)((vu)b << 16) >> 16);
    return (vi)(low + (vu)(a >> 16) * (vu)(b >> 16));
}
static inline vi vi_and(vi a, vi b)
{
    return a & b;
}
static inline vi vi_xor(vi a, vi b)
{
    return a ^ b;
}
static inline vi vi_or(vi a, vi b)
{
    return a | b;
}
static inline vi vi_max(vi a, vi b)
{
    for (int i = 0; i < LANES; i++)
        a[i] = a[i] > b[i] ? a[i] : b[i];
    return a;
}
static inline vi vi_min(vi a, vi b)
{
    for (int i = 0; i < LANES; i++)
        a[i] = a[i] < b[i] ? a[i] : b[i];
    return a;
}
static inline vi vi_shift_left(vi a, int n)
{
    return (vi)((vu)a << n);
}
/* Zeros come in. */
static inline vi vi_shift_right(vi a, int n)
{
    return (vi)((vu)a >> n);
}
static inline vm vi_less(vi a, vi b)
{
    return a < b;
}
static inline vm vi_equal(vi a, vi b)
{
    return a == b;
}
static inline vi vi_select(vm m, vi a, vi b)
{
    return (m & a) | (~m & b);
}

/* --- lanes as four bytes or two words --- */
/* sum + the products of a's bytes, unsigned, with b's, signed. */
#define DOT_TARGET
#define DOT_REQUIRES SET_REQUIRES
static inline int32_t byte_product(vi a, vi b, int lane, int byte)
{
    return (int32_t)((uint32_t)a[lane] >> 8 * byte & 255) * (int8_t)((uint32_t)b[lane] >> 8 * byte & 255);
}
static inline vi vi_add_dot(vi sum, vi a, vi b)
{
    for (int i = 0; i < LANES; i++)
        sum[i] = (int32_t)((uint32_t)sum[i] + (uint32_t)(byte_product(a, b, i, 0) + byte_product(a, b, i, 1) +
                                                         byte_product(a, b, i, 2) + byte_product(a, b, i, 3)));
    return sum;
}
/* The same, where no two products of neighbours, added, leave 16 bits: there they would stay. */
static inline int32_t byte_pair(vi a, vi b, int lane, int byte)
{
    int32_t pair = byte_product(a, b, lane, byte) + byte_product(a, b, lane, byte + 1);
    return pair < INT16_MIN ? INT16_MIN : pair > INT16_MAX ? INT16_MAX : pair;
}
static inline vi vi_add_pairs(vi sum, vi a, vi b)
{
    for (int i = 0; i < LANES; i++)
        sum[i] = (int32_t)((uint32_t)sum[i] + (uint32_t)(byte_pair(a, b, i, 0) + byte_pair(a, b, i, 2)));
    return sum;
}
/* sum + the products of words, signed. */
static inline vi vi_add_words(vi sum, vi a, vi b)
{
    for (int i = 0; i < LANES; i++) {
        int32_t low = (int16_t)((uint32_t)a[i] & 65535) * (int16_t)((uint32_t)b[i] & 65535);
        int32_t high = (int16_t)((uint32_t)a[i] >> 16) * (int16_t)((uint32_t)b[i] >> 16);
        sum[i] = (int32_t)((uint32_t)sum[i] + (uint32_t)low + (uint32_t)high);
    }
    return sum;
}
/* Bytes 0 and 2 of each lane, and bytes 1 and 3, signed, as words. */
static inline vi vi_even_bytes(vi a)
{
    for (int i = 0; i < LANES; i++) {
        uint32_t low = (uint32_t)(int8_t)((uint32_t)a[i] & 255), high = (uint32_t)(int8_t)((uint32_t)a[i] >> 16 & 255);
        a[i] = (int32_t)((low & 65535) | high << 16);
    }
    return a;
}
static inline vi vi_odd_bytes(vi a)
{
    return vi_even_bytes((vi)((vu)a >> 8));
}

/* Of each byte, unsigned. */
static inline vi vi_max_bytes(vi a, vi b)
{
    uint8_t x[4 * LANES], y[4 * LANES];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    for (int i = 0; i < 4 * LANES; i++)
        x[i] = x[i] > y[i] ? x[i] : y[i];
    memcpy(&a, x, sizeof x);
    return a;
}
static inline vi vi_min_bytes(vi a, vi b)
{
    uint8_t x[4 * LANES], y[4 * LANES];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    for (int i = 0; i < 4 * LANES; i++)
        x[i] = x[i] < y[i] ? x[i] : y[i];
    memcpy(&a, x, sizeof x);
    return a;
}

/* Four times LANES bytes from each of a, b, c and d: lane i of to[j] has those of place j LANES + i. */
static inline void vi_load_quads(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d, vi *to)
{
    for (int i = 0; i < 4 * LANES; i++)
        to[i / LANES][i % LANES] = (int32_t)(a[i] | (uint32_t)b[i] << 8 | (uint32_t)c[i] << 16 | (uint32_t)d[i] << 24);
}

/* --- between them --- */
static inline vi vf_bits(vf a)
{
    return (vi)a;
}
static inline vf vi_as_floats(vi a)
{
    return (vf)a;
}
static inline int32_t float_to_i32(float x)
{
    return x >= -0x1p31f && x < 0x1p31f ? (int32_t)x : INT32_MIN;
}
/* Halves to even; 2^31 and more, and NaN, give INT32_MIN. */
static inline vi vf_to_nearest(vf a)
{
    vi x;
    for (int i = 0; i < LANES; i++)
        x[i] = float_to_i32(rintf(a[i]));
    return x;
}
/* Towards zero; the rest as above. */
static inline vi vf_truncate(vf a)
{
    vi x;
    for (int i = 0; i < LANES; i++)
        x[i] = float_to_i32(a[i]);
    return x;
}
static inline vf vi_to_floats(vi a)
{
    vf x;
    for (int i = 0; i < LANES; i++)
        x[i] = (float)a[i];
    return x;
}

/* x 2^n, rounded once, for whole n with |n| <= 250. n is no NaN unless x is. */
static inline vf vf_scale(vf x, vf n)
{
    for (int i = 0; i < LANES; i++)
        x[i] = n[i] == n[i] ? ldexpf(x[i], (int)n[i]) : n[i];
    return x;
}

/* --- narrower types in memory --- */
static inline vf vf_load_f16(const uint16_t *from)
{
    vf x;
    for (int i = 0; i < LANES; i++)
        x[i] = f16_to_f32(from[i]);
    return x;
}
static inline void vf_store_f16(uint16_t *to, vf x)
{
    for (int i = 0; i < LANES; i++)
        to[i] = f32_to_f16(x[i]);
}
static inline vf vf_round_f16(vf x)
{
    for (int i = 0; i < LANES; i++)
        x[i] = f16_to_f32(f32_to_f16(x[i]));
    return x;
}
static inline vi vi_load_u8(const uint8_t *from)
{
    vi x;
    for (int i = 0; i < LANES; i++)
        x[i] = from[i];
    return x;
}
static inline vi vi_load_u8_part(const uint8_t *from, int64_t n)
{
    vi x = {0};
    for (int i = 0; i < n; i++)
        x[i] = from[i];
    return x;
}
static inline vi vi_load_i8(const int8_t *from)
{
    vi x;
    for (int i = 0; i < LANES; i++)
        x[i] = from[i];
    return x;
}
static inline vi vi_load_u16(const uint16_t *from)
{
    vi x;
    for (int i = 0; i < LANES; i++)
        x[i] = from[i];
    return x;
}
/* The low bits of each lane. */
static inline void vi_store_u8(uint8_t *to, vi x)
{
    for (int i = 0; i < LANES; i++)
        to[i] = (uint8_t)x[i];
}
/* Bytes of four vectors in their order: of each lane cut to 16 bits, plus a word of `addend`, cut to 0 ... 255. */
static inline vi vi_pack_bytes(const vi *x, vi addend)
{
    uint8_t bytes[4 * LANES];
    vi packed;
    for (int i = 0; i < 4 * LANES; i++) {
        int32_t lane = x[i / LANES][i % LANES], word = lane < INT16_MIN   ? INT16_MIN
                                                       : lane > INT16_MAX ? INT16_MAX
                                                                          : lane;
        int32_t sum = word + (int16_t)(addend[0] >> i % 2 * 16);
        bytes[i] = (uint8_t)(sum < 0 ? 0 : sum > UINT8_MAX ? UINT8_MAX : sum);
    }
    memcpy(&packed, bytes, sizeof packed);
    return packed;
}
/* Bytes of both halves, each to a place of its own; and of the four quarters. */
static inline void vi_store_halves(uint8_t *const *to, vi x)
{
    for (int i = 0; i < 2; i++)
        memcpy(to[i], (const char *)&x + i * 2 * LANES, 2 * LANES);
}
static inline void vi_store_quarters(uint8_t *const *to, vi x)
{
    for (int i = 0; i < 4; i++)
        memcpy(to[i], (const char *)&x + i * LANES, LANES);
}
static inline void vi_store_u16(uint16_t *to, vi x)
{
    for (int i = 0; i < LANES; i++)
        to[i] = (uint16_t)x[i];
}

#endif
