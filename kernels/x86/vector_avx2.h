/* vector.h for AVX2: 8 lanes. A truth value is a lane of ones or zeros. */
#ifndef INFER_KERNELS_X86_VECTOR_AVX2_H
#define INFER_KERNELS_X86_VECTOR_AVX2_H

#include <immintrin.h>

typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;

/* --- masks --- */
static inline __m256i lanes_below(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vm vm_first(int64_t n)
{
    return _mm256_castsi256_ps(lanes_below(n));
}
static inline vm vm_and(vm a, vm b)
{
    return _mm256_and_ps(a, b);
}
static inline vm vm_or(vm a, vm b)
{
    return _mm256_or_ps(a, b);
}
static inline vm vm_not(vm a)
{
    return _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1)));
}
static inline bool vm_any(vm a)
{
    return _mm256_movemask_ps(a) != 0;
}

/* --- floats --- */
static inline vf vf_set(float x)
{
    return _mm256_set1_ps(x);
}
static inline vf vf_load(const float *from)
{
    return _mm256_loadu_ps(from);
}
static inline void vf_store(float *to, vf x)
{
    _mm256_storeu_ps(to, x);
}
/* Past the caches, to a multiple of a vector's bytes: for what nobody reads soon. Before another thread may see it,
 * stream_end. */
static inline void vf_stream(float *to, vf x)
{
    _mm256_stream_ps(to, x);
}
static inline void stream_end(void)
{
    _mm_sfence();
}
/* The lower half; what the upper one holds is anybody's guess. */
static inline vf vf_set_half(float x)
{
    return _mm256_castps128_ps256(_mm_set1_ps(x));
}
static inline vf vf_load_half(const float *from)
{
    return _mm256_castps128_ps256(_mm_loadu_ps(from));
}
static inline void vf_store_half(float *to, vf x)
{
    _mm_storeu_ps(to, _mm256_castps256_ps128(x));
}
static inline vf vf_fma_half(vf a, vf b, vf c)
{
    return _mm256_castps128_ps256(
        _mm_fmadd_ps(_mm256_castps256_ps128(a), _mm256_castps256_ps128(b), _mm256_castps256_ps128(c)));
}
static inline vf vf_load_part(const float *from, int64_t n)
{
    return _mm256_maskload_ps(from, lanes_below(n));
}
/* Not by a mask: such a store takes tens of cycles on Zen. */
static inline void vf_store_part(float *to, vf x, int64_t n)
{
    __m128 rest = _mm256_castps256_ps128(x);
    if (n == 8) {
        _mm256_storeu_ps(to, x);
        return;
    }
    if (n & 4) {
        _mm_storeu_ps(to, rest);
        rest = _mm256_extractf128_ps(x, 1);
        to += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)to, rest);
        rest = _mm_movehl_ps(rest, rest);
        to += 2;
    }
    if (n & 1)
        _mm_store_ss(to, rest);
}
static inline vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
static inline vf vf_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
static inline vf vf_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
static inline vf vf_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
static inline vf vf_fnma(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
}
static inline vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
static inline vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
static inline vf vf_sqrt(vf a)
{
    return _mm256_sqrt_ps(a);
}
static inline vf vf_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
static inline vf vf_neg(vf a)
{
    return _mm256_xor_ps(_mm256_set1_ps(-0.0f), a);
}
/* The magnitude of a with the sign of b. */
static inline vf vf_copysign(vf a, vf b)
{
    vf sign = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, b));
}
static inline vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vf vf_floor(vf a)
{
    return _mm256_floor_ps(a);
}
static inline vf vf_ceil(vf a)
{
    return _mm256_ceil_ps(a);
}
static inline vm vf_less(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
static inline vm vf_less_equal(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_LE_OQ);
}
static inline vm vf_equal(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}
static inline vm vf_is_nan(vf a)
{
    return _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
}
static inline vf vf_select(vm m, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, m);
}
/* Elements 0, 2, 4, ...; what lies between them is read too, but nothing past the last. */
static inline vf vf_load_every_second(const float *from)
{
    __m256 parts = _mm256_shuffle_ps(_mm256_loadu_ps(from), _mm256_loadu_ps(from + 7), _MM_SHUFFLE(3, 1, 2, 0));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(parts), _MM_SHUFFLE(3, 1, 2, 0)));
}
/* Elements `step` apart. */
static inline vf vf_load_apart(const float *from, int64_t step)
{
    const float *fourth = from + 4 * step;
    return _mm256_setr_ps(from[0], from[step], from[2 * step], from[3 * step], fourth[0], fourth[step],
                          fourth[2 * step], fourth[3 * step]);
}
/* base[index], lane by lane. */
static inline vf vf_gather(const float *base, vi index)
{
    return _mm256_i32gather_ps(base, index, 4);
}
/* Lane i < n has lane i + n, for n a power of two below LANES; the others anything. */
static inline vf vf_upper(vf a, int n)
{
    if (n == 4)
        return _mm256_permute2f128_ps(a, a, 1);
    return n == 2 ? _mm256_permute_ps(a, 0x4e) : _mm256_permute_ps(a, 0xb1);
}
static inline float vf_first(vf a)
{
    return _mm256_cvtss_f32(a);
}

/* --- integers --- */
static inline vi vi_set(int32_t x)
{
    return _mm256_set1_epi32(x);
}
static inline vi vi_load(const int32_t *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}
static inline void vi_store(int32_t *to, vi x)
{
    _mm256_storeu_si256((__m256i *)to, x);
}
static inline vi vi_load_part(const int32_t *from, int64_t n)
{
    return _mm256_maskload_epi32(from, lanes_below(n));
}
static inline void vi_store_part(int32_t *to, vi x, int64_t n)
{
    vf_store_part((float *)(void *)to, _mm256_castsi256_ps(x), n);
}
static inline vi vi_add(vi a, vi b)
{
    return _mm256_add_epi32(a, b);
}
static inline vi vi_sub(vi a, vi b)
{
    return _mm256_sub_epi32(a, b);
}
static inline vi vi_mul(vi a, vi b)
{
    return _mm256_mullo_epi32(a, b);
}
/* Lanes are two int16 each: the sum of their products. */
static inline vi vi_mul_pairs(vi a, vi b)
{
    return _mm256_madd_epi16(a, b);
}
static inline vi vi_and(vi a, vi b)
{
    return _mm256_and_si256(a, b);
}
static inline vi vi_xor(vi a, vi b)
{
    return _mm256_xor_si256(a, b);
}
static inline vi vi_or(vi a, vi b)
{
    return _mm256_or_si256(a, b);
}
static inline vi vi_max(vi a, vi b)
{
    return _mm256_max_epi32(a, b);
}
static inline vi vi_min(vi a, vi b)
{
    return _mm256_min_epi32(a, b);
}
static inline vi vi_shift_left(vi a, int n)
{
    return _mm256_slli_epi32(a, n);
}
/* Zeros come in. */
static inline vi vi_shift_right(vi a, int n)
{
    return _mm256_srli_epi32(a, n);
}
static inline vm vi_less(vi a, vi b)
{
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(b, a));
}
static inline vm vi_equal(vi a, vi b)
{
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b));
}
static inline vi vi_select(vm m, vi a, vi b)
{
    return _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(b), _mm256_castsi256_ps(a), m));
}

/* --- lanes as four bytes or two words --- */
/* sum + the products of a's bytes, unsigned, with b's, signed. Only in a function that has DOT_TARGET, on a CPU that
 * has DOT_REQUIRES. By hand, since gcc 12 copies the sum before the instruction that changes it. */
#define DOT_TARGET __attribute__((target("avxvnni")))
#define DOT_REQUIRES (SET_REQUIRES | CPU_AVX_VNNI)
static inline __attribute__((always_inline)) vi vi_add_dot(vi sum, vi a, vi b)
{
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
    return sum;
}
/* The same, where no two products of neighbours, added, leave 16 bits. */
static inline vi vi_add_pairs(vi sum, vi a, vi b)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)));
}
/* sum + the products of words, signed. */
static inline vi vi_add_words(vi sum, vi a, vi b)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}
/* Bytes 0 and 2 of each lane, and bytes 1 and 3, signed, as words. */
static inline vi vi_even_bytes(vi a)
{
    return _mm256_srai_epi16(_mm256_slli_epi16(a, 8), 8);
}
static inline vi vi_odd_bytes(vi a)
{
    return _mm256_srai_epi16(a, 8);
}

/* Of each byte, unsigned. */
static inline vi vi_max_bytes(vi a, vi b)
{
    return _mm256_max_epu8(a, b);
}
static inline vi vi_min_bytes(vi a, vi b)
{
    return _mm256_min_epu8(a, b);
}

/* Four times LANES bytes from each of a, b, c and d: lane i of to[j] has those of place j LANES + i. */
static inline void vi_load_quads(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d, vi *to)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)a), y = _mm256_loadu_si256((const __m256i *)b);
    const __m256i z = _mm256_loadu_si256((const __m256i *)c), w = _mm256_loadu_si256((const __m256i *)d);
    const __m256i xy = _mm256_unpacklo_epi8(x, y), zw = _mm256_unpacklo_epi8(z, w);
    const __m256i xy_high = _mm256_unpackhi_epi8(x, y), zw_high = _mm256_unpackhi_epi8(z, w);
    const __m256i p = _mm256_unpacklo_epi16(xy, zw), q = _mm256_unpackhi_epi16(xy, zw);
    const __m256i r = _mm256_unpacklo_epi16(xy_high, zw_high), s = _mm256_unpackhi_epi16(xy_high, zw_high);
    to[0] = _mm256_permute2x128_si256(p, q, 0x20);
    to[1] = _mm256_permute2x128_si256(r, s, 0x20);
    to[2] = _mm256_permute2x128_si256(p, q, 0x31);
    to[3] = _mm256_permute2x128_si256(r, s, 0x31);
}

/* --- between them --- */
static inline vi vf_bits(vf a)
{
    return _mm256_castps_si256(a);
}
static inline vf vi_as_floats(vi a)
{
    return _mm256_castsi256_ps(a);
}
/* Halves to even; 2^31 and more, and NaN, give INT32_MIN. */
static inline vi vf_to_nearest(vf a)
{
    return _mm256_cvtps_epi32(a);
}
/* Towards zero; the rest as above. */
static inline vi vf_truncate(vf a)
{
    return _mm256_cvttps_epi32(a);
}
static inline vf vi_to_floats(vi a)
{
    return _mm256_cvtepi32_ps(a);
}

/* x 2^n, rounded once, for whole n with |n| <= 250. n is no NaN unless x is. */
static inline vf vf_scale(vf x, vf n)
{
    /* In two factors, so that neither leaves the range. */
    vi sum = vi_add(vf_to_nearest(n), vi_set(2 * 127)), half = vi_shift_right(sum, 1);
    vf a = vi_as_floats(vi_shift_left(half, 23)), b = vi_as_floats(vi_shift_left(vi_sub(sum, half), 23));
    return vf_mul(vf_mul(x, a), b);
}

/* --- narrower types in memory --- */
static inline vf vf_load_f16(const uint16_t *from)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from));
}
static inline void vf_store_f16(uint16_t *to, vf x)
{
    _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline vf vf_round_f16(vf x)
{
    return _mm256_cvtph_ps(_mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline vi vi_load_u8(const uint8_t *from)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)from));
}
static inline vi vi_load_u8_part(const uint8_t *from, int64_t n)
{
    uint64_t bytes = 0;
    for (int64_t i = 0; i < n; i++)
        bytes |= (uint64_t)from[i] << 8 * i;
    return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)bytes));
}
static inline vi vi_load_i8(const int8_t *from)
{
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)from));
}
static inline vi vi_load_u16(const uint16_t *from)
{
    return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)from));
}
/* The low bits of each lane. */
static inline void vi_store_u8(uint8_t *to, vi x)
{
    __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(0xff));
    __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(words, words));
}
/* Bytes of four vectors in their order: of each lane cut to 16 bits, plus a word of `addend`, cut to 0 ... 255. */
static inline vi vi_pack_bytes(const vi *x, vi addend)
{
    const __m256i ab = _mm256_adds_epi16(_mm256_packs_epi32(x[0], x[1]), addend);
    const __m256i cd = _mm256_adds_epi16(_mm256_packs_epi32(x[2], x[3]), addend);
    return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(ab, cd), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
/* Bytes of both halves, each to a place of its own; and of the four quarters. */
static inline void vi_store_halves(uint8_t *const *to, vi x)
{
    _mm_storeu_si128((__m128i *)to[0], _mm256_castsi256_si128(x));
    _mm_storeu_si128((__m128i *)to[1], _mm256_extracti128_si256(x, 1));
}
static inline void vi_store_quarters(uint8_t *const *to, vi x)
{
    const __m128i first = _mm256_castsi256_si128(x), second = _mm256_extracti128_si256(x, 1);
    _mm_storel_epi64((__m128i *)to[0], first);
    _mm_storeh_pi((__m64 *)(void *)to[1], _mm_castsi128_ps(first));
    _mm_storel_epi64((__m128i *)to[2], second);
    _mm_storeh_pi((__m64 *)(void *)to[3], _mm_castsi128_ps(second));
}
static inline void vi_store_u16(uint16_t *to, vi x)
{
    __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
    _mm_storeu_si128((__m128i *)to, _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)));
}

#endif
