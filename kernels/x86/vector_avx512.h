/* vector.h for AVX-512: 16 lanes. */
#ifndef INFER_KERNELS_X86_VECTOR_AVX512_H
#define INFER_KERNELS_X86_VECTOR_AVX512_H

#include <immintrin.h>

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

/* --- masks --- */
static inline vm vm_first(int64_t n)
{
    return (vm)((1u << n) - 1);
}
static inline vm vm_and(vm a, vm b)
{
    return _kand_mask16(a, b);
}
static inline vm vm_or(vm a, vm b)
{
    return _kor_mask16(a, b);
}
static inline vm vm_not(vm a)
{
    return _knot_mask16(a);
}
static inline bool vm_any(vm a)
{
    return a != 0;
}

/* --- floats --- */
static inline vf vf_set(float x)
{
    return _mm512_set1_ps(x);
}
static inline vf vf_load(const float *from)
{
    return _mm512_loadu_ps(from);
}
static inline void vf_store(float *to, vf x)
{
    _mm512_storeu_ps(to, x);
}
/* Past the caches, to a multiple of a vector's bytes: for what nobody reads soon. Before another thread may see it,
 * stream_end. */
static inline void vf_stream(float *to, vf x)
{
    _mm512_stream_ps(to, x);
}
static inline void stream_end(void)
{
    _mm_sfence();
}
/* The lower half; what the upper one holds is anybody's guess. */
static inline vf vf_set_half(float x)
{
    return _mm512_castps256_ps512(_mm256_set1_ps(x));
}
static inline vf vf_load_half(const float *from)
{
    return _mm512_castps256_ps512(_mm256_loadu_ps(from));
}
static inline void vf_store_half(float *to, vf x)
{
    _mm256_storeu_ps(to, _mm512_castps512_ps256(x));
}
/* Not by the intrinsic for 8 lanes: gcc does not see that a sum stays in its register and moves it twice. */
static inline vf vf_fma_half(vf a, vf b, vf c)
{
    __asm__("vfmadd231ps %t2, %t1, %t0" : "+v"(c) : "v"(a), "v"(b));
    return c;
}
static inline vf vf_load_part(const float *from, int64_t n)
{
    return _mm512_maskz_loadu_ps(vm_first(n), from);
}
static inline void vf_store_part(float *to, vf x, int64_t n)
{
    _mm512_mask_storeu_ps(to, vm_first(n), x);
}
static inline vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
static inline vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
static inline vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
static inline vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline vf vf_fnma(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}
static inline vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
static inline vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
static inline vf vf_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}
static inline vf vf_abs(vf a)
{
    return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a);
}
static inline vf vf_neg(vf a)
{
    return _mm512_xor_ps(_mm512_set1_ps(-0.0f), a);
}
/* The magnitude of a with the sign of b. */
static inline vf vf_copysign(vf a, vf b)
{
    vf sign = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, b));
}
static inline vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vf vf_floor(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
static inline vf vf_ceil(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
}
static inline vm vf_less(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
static inline vm vf_less_equal(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ);
}
static inline vm vf_equal(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}
static inline vm vf_is_nan(vf a)
{
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
}
static inline vf vf_select(vm m, vf a, vf b)
{
    return _mm512_mask_blend_ps(m, b, a);
}
/* Elements 0, 2, 4, ...; what lies between them is read too, but nothing past the last. */
static inline vf vf_load_every_second(const float *from)
{
    const vi places = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(_mm512_loadu_ps(from), places, _mm512_loadu_ps(from + 15));
}
/* Elements `step` apart. */
static inline __m128 four_apart(const float *from, int64_t step)
{
    return _mm_setr_ps(from[0], from[step], from[2 * step], from[3 * step]);
}
static inline vf vf_load_apart(const float *from, int64_t step)
{
    __m256 low = _mm256_set_m128(four_apart(from + 4 * step, step), four_apart(from, step));
    __m256 high = _mm256_set_m128(four_apart(from + 12 * step, step), four_apart(from + 8 * step, step));
    return _mm512_castpd_ps(
        _mm512_insertf64x4(_mm512_castps_pd(_mm512_castps256_ps512(low)), _mm256_castps_pd(high), 1));
}
/* base[index], lane by lane. */
static inline vf vf_gather(const float *base, vi index)
{
    return _mm512_i32gather_ps(index, base, 4);
}
/* Lane i < n has lane i + n, for n a power of two below LANES; the others anything. */
static inline vf vf_upper(vf a, int n)
{
    if (n == 8)
        return _mm512_shuffle_f32x4(a, a, 0x4e);
    if (n == 4)
        return _mm512_shuffle_f32x4(a, a, 0xb1);
    return n == 2 ? _mm512_permute_ps(a, 0x4e) : _mm512_permute_ps(a, 0xb1);
}
static inline float vf_first(vf a)
{
    return _mm512_cvtss_f32(a);
}

/* --- integers --- */
static inline vi vi_set(int32_t x)
{
    return _mm512_set1_epi32(x);
}
static inline vi vi_load(const int32_t *from)
{
    return _mm512_loadu_si512(from);
}
static inline void vi_store(int32_t *to, vi x)
{
    _mm512_storeu_si512(to, x);
}
static inline vi vi_load_part(const int32_t *from, int64_t n)
{
    return _mm512_maskz_loadu_epi32(vm_first(n), from);
}
static inline void vi_store_part(int32_t *to, vi x, int64_t n)
{
    _mm512_mask_storeu_epi32(to, vm_first(n), x);
}
static inline vi vi_add(vi a, vi b)
{
    return _mm512_add_epi32(a, b);
}
static inline vi vi_sub(vi a, vi b)
{
    return _mm512_sub_epi32(a, b);
}
static inline vi vi_mul(vi a, vi b)
{
    return _mm512_mullo_epi32(a, b);
}
/* Lanes are two int16 each: the sum of their products. */
static inline vi vi_mul_pairs(vi a, vi b)
{
    return _mm512_madd_epi16(a, b);
}
static inline vi vi_and(vi a, vi b)
{
    return _mm512_and_si512(a, b);
}
static inline vi vi_xor(vi a, vi b)
{
    return _mm512_xor_si512(a, b);
}
static inline vi vi_or(vi a, vi b)
{
    return _mm512_or_si512(a, b);
}
static inline vi vi_max(vi a, vi b)
{
    return _mm512_max_epi32(a, b);
}
static inline vi vi_min(vi a, vi b)
{
    return _mm512_min_epi32(a, b);
}
static inline vi vi_shift_left(vi a, int n)
{
    return _mm512_slli_epi32(a, (unsigned)n);
}
/* Zeros come in. */
static inline vi vi_shift_right(vi a, int n)
{
    return _mm512_srli_epi32(a, (unsigned)n);
}
static inline vm vi_less(vi a, vi b)
{
    return _mm512_cmplt_epi32_mask(a, b);
}
static inline vm vi_equal(vi a, vi b)
{
    return _mm512_cmpeq_epi32_mask(a, b);
}
static inline vi vi_select(vm m, vi a, vi b)
{
    return _mm512_mask_blend_epi32(m, b, a);
}

/* --- lanes as four bytes or two words --- */
/* sum + the products of a's bytes, unsigned, with b's, signed. Only in a function that has DOT_TARGET, on a CPU that
 * has DOT_REQUIRES. By hand, since gcc 12 copies the sum before the instruction that changes it. */
#define DOT_TARGET __attribute__((target("avx512vnni")))
#define DOT_REQUIRES (SET_REQUIRES | CPU_AVX512_VNNI)
static inline __attribute__((always_inline)) vi vi_add_dot(vi sum, vi a, vi b)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}
/* The same, where no two products of neighbours, added, leave 16 bits. */
static inline vi vi_add_pairs(vi sum, vi a, vi b)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1)));
}
/* sum + the products of words, signed. */
static inline vi vi_add_words(vi sum, vi a, vi b)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
}
/* Bytes 0 and 2 of each lane, and bytes 1 and 3, signed, as words. */
static inline vi vi_even_bytes(vi a)
{
    return _mm512_srai_epi16(_mm512_slli_epi16(a, 8), 8);
}
static inline vi vi_odd_bytes(vi a)
{
    return _mm512_srai_epi16(a, 8);
}

/* Of each byte, unsigned. */
static inline vi vi_max_bytes(vi a, vi b)
{
    return _mm512_max_epu8(a, b);
}
static inline vi vi_min_bytes(vi a, vi b)
{
    return _mm512_min_epu8(a, b);
}

/* Four times LANES bytes from each of a, b, c and d: lane i of to[j] has those of place j LANES + i. */
static inline void vi_load_quads(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d, vi *to)
{
    const __m512i x = _mm512_loadu_si512(a), y = _mm512_loadu_si512(b);
    const __m512i z = _mm512_loadu_si512(c), w = _mm512_loadu_si512(d);
    const __m512i xy = _mm512_unpacklo_epi8(x, y), zw = _mm512_unpacklo_epi8(z, w);
    const __m512i xy_high = _mm512_unpackhi_epi8(x, y), zw_high = _mm512_unpackhi_epi8(z, w);
    const __m512i p = _mm512_unpacklo_epi16(xy, zw), q = _mm512_unpackhi_epi16(xy, zw);
    const __m512i r = _mm512_unpacklo_epi16(xy_high, zw_high), s = _mm512_unpackhi_epi16(xy_high, zw_high);
    const __m512i even = _mm512_shuffle_i32x4(p, q, 0x88), odd = _mm512_shuffle_i32x4(p, q, 0xdd);
    const __m512i even_high = _mm512_shuffle_i32x4(r, s, 0x88), odd_high = _mm512_shuffle_i32x4(r, s, 0xdd);
    to[0] = _mm512_shuffle_i32x4(even, even_high, 0x88);
    to[1] = _mm512_shuffle_i32x4(odd, odd_high, 0x88);
    to[2] = _mm512_shuffle_i32x4(even, even_high, 0xdd);
    to[3] = _mm512_shuffle_i32x4(odd, odd_high, 0xdd);
}

/* --- between them --- */
static inline vi vf_bits(vf a)
{
    return _mm512_castps_si512(a);
}
static inline vf vi_as_floats(vi a)
{
    return _mm512_castsi512_ps(a);
}
/* Halves to even; 2^31 and more, and NaN, give INT32_MIN. */
static inline vi vf_to_nearest(vf a)
{
    return _mm512_cvtps_epi32(a);
}
/* Towards zero; the rest as above. */
static inline vi vf_truncate(vf a)
{
    return _mm512_cvttps_epi32(a);
}
static inline vf vi_to_floats(vi a)
{
    return _mm512_cvtepi32_ps(a);
}

/* x 2^n, rounded once, for whole n with |n| <= 250. n is no NaN unless x is. */
static inline vf vf_scale(vf x, vf n)
{
    return _mm512_scalef_ps(x, n);
}

/* --- narrower types in memory --- */
static inline vf vf_load_f16(const uint16_t *from)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from));
}
static inline void vf_store_f16(uint16_t *to, vf x)
{
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline vf vf_round_f16(vf x)
{
    return _mm512_cvtph_ps(_mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline vi vi_load_u8(const uint8_t *from)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)from));
}
static inline vi vi_load_u8_part(const uint8_t *from, int64_t n)
{
    return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(vm_first(n), from));
}
static inline vi vi_load_i8(const int8_t *from)
{
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)from));
}
static inline vi vi_load_u16(const uint16_t *from)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from));
}
/* The low bits of each lane. */
static inline void vi_store_u8(uint8_t *to, vi x)
{
    _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8(x));
}
/* Bytes of four vectors in their order: of each lane cut to 16 bits, plus a word of `addend`, cut to 0 ... 255. */
static inline vi vi_pack_bytes(const vi *x, vi addend)
{
    const __m512i ab = _mm512_adds_epi16(_mm512_packs_epi32(x[0], x[1]), addend);
    const __m512i cd = _mm512_adds_epi16(_mm512_packs_epi32(x[2], x[3]), addend);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(ab, cd));
}
/* Bytes of both halves, each to a place of its own; and of the four quarters. */
static inline void vi_store_halves(uint8_t *const *to, vi x)
{
    _mm256_storeu_si256((__m256i *)to[0], _mm512_castsi512_si256(x));
    _mm256_storeu_si256((__m256i *)to[1], _mm512_extracti64x4_epi64(x, 1));
}
static inline void vi_store_quarters(uint8_t *const *to, vi x)
{
    _mm_storeu_si128((__m128i *)to[0], _mm512_castsi512_si128(x));
    _mm_storeu_si128((__m128i *)to[1], _mm512_extracti32x4_epi32(x, 1));
    _mm_storeu_si128((__m128i *)to[2], _mm512_extracti32x4_epi32(x, 2));
    _mm_storeu_si128((__m128i *)to[3], _mm512_extracti32x4_epi32(x, 3));
}
static inline void vi_store_u16(uint16_t *to, vi x)
{
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtepi32_epi16(x));
}

#endif
