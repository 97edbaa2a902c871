/* XXH3, 64 bits and 128 of long inputs, without a seed, as its specification states it (xxHash fast digest algorithm,
 * version 0.2.0, sections "XXH3 algorithm description"); secret, offsets and steps are the specification's. */
#include "formats/hash.h"

#include <string.h>
#ifdef __x86_64__
#include "kernels/cpu.h"

#include <immintrin.h>
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "XXH3 reads its input as little-endian words");

#define PRIME32_1 0x9E3779B1u
#define PRIME32_2 0x85EBCA77u
#define PRIME32_3 0xC2B2AE3Du
#define PRIME64_1 0x9E3779B185EBCA87u
#define PRIME64_2 0xC2B2AE3D27D4EB4Fu
#define PRIME64_3 0x165667B19E3779F9u
#define PRIME64_4 0x85EBCA77C2B2AE63u
#define PRIME64_5 0x27D4EB2F165667C5u
#define PRIME_MX1 0x165667919E3779F9u
#define PRIME_MX2 0x9FB21C651E98DF25u

#define LANES 8 /* words of a stripe: one for each accumulator */
#define STRIPE 64
#define STRIPES 16 /* of a block: the secret moves on by a word a stripe */
#define SECRET_BYTES 192

static const unsigned char secret[SECRET_BYTES] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4,
    0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e,
    0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43,
    0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb,
    0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19,
    0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8, 0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7,
    0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78,
    0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16,
    0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f,
    0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

static inline uint64_t load_64(const unsigned char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline uint64_t load_32(const unsigned char *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* The halves of the whole product, one upon the other. */
static inline uint64_t multiply_fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 u128;
    u128 product = (u128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t avalanche(uint64_t x)
{
    x = (x ^ x >> 37) * PRIME_MX1;
    return x ^ x >> 32;
}

static inline uint64_t avalanche_xxh64(uint64_t x)
{
    x = (x ^ x >> 33) * PRIME64_2;
    x = (x ^ x >> 29) * PRIME64_3;
    return x ^ x >> 32;
}

/* --- small: up to 16 bytes ---------------------------------------------------------------------------------------- */

static uint64_t hash_1_to_3(const unsigned char *p, size_t bytes)
{
    uint64_t combined = p[bytes - 1] | (uint64_t)bytes << 8 | (uint64_t)p[0] << 16 | (uint64_t)p[bytes >> 1] << 24;
    return avalanche_xxh64(load_32(secret) ^ load_32(secret + 4) ^ combined);
}

static uint64_t hash_4_to_8(const unsigned char *p, size_t bytes)
{
    uint64_t combined = load_32(p + bytes - 4) | load_32(p) << 32;
    uint64_t x = load_64(secret + 8) ^ load_64(secret + 16) ^ combined;
    x ^= (x << 49 | x >> 15) ^ (x << 24 | x >> 40);
    x *= PRIME_MX2;
    x ^= (x >> 35) + bytes;
    x *= PRIME_MX2;
    return x ^ x >> 28;
}

static uint64_t hash_9_to_16(const unsigned char *p, size_t bytes)
{
    uint64_t low = load_64(secret + 24) ^ load_64(secret + 32) ^ load_64(p);
    uint64_t high = load_64(secret + 40) ^ load_64(secret + 48) ^ load_64(p + bytes - 8);
    return avalanche(bytes + __builtin_bswap64(low) + high + multiply_fold(low, high));
}

static uint64_t hash_small(const unsigned char *p, size_t bytes)
{
    return bytes > 8   ? hash_9_to_16(p, bytes)
           : bytes > 3 ? hash_4_to_8(p, bytes)
           : bytes > 0 ? hash_1_to_3(p, bytes)
                       : avalanche_xxh64(load_64(secret + 56) ^ load_64(secret + 64));
}

/* --- medium: up to 240 bytes -------------------------------------------------------------------------------------- */

static inline uint64_t mix(const unsigned char *p, size_t at)
{
    return multiply_fold(load_64(p) ^ load_64(secret + at), load_64(p + 8) ^ load_64(secret + at + 8));
}

static uint64_t hash_17_to_128(const unsigned char *p, size_t bytes)
{
    uint64_t sum = bytes * PRIME64_1;
    for (size_t i = 0; i <= (bytes - 1) / 32; i++)
        sum += mix(p + i * 16, i * 32) + mix(p + bytes - i * 16 - 16, i * 32 + 16);
    return avalanche(sum);
}

static uint64_t hash_129_to_240(const unsigned char *p, size_t bytes)
{
    uint64_t sum = bytes * PRIME64_1;
    for (size_t i = 0; i < 8; i++)
        sum += mix(p + i * 16, i * 16);
    sum = avalanche(sum);
    for (size_t i = 8; i < bytes / 16; i++)
        sum += mix(p + i * 16, (i - 8) * 16 + 3);
    return avalanche(sum + mix(p + bytes - 16, 119));
}

/* --- large -------------------------------------------------------------------------------------------------------- */

static inline void accumulate(uint64_t *sums, const unsigned char *stripe, const unsigned char *key)
{
    for (int i = 0; i < LANES; i++) {
        uint64_t word = load_64(stripe + 8 * i), mixed = word ^ load_64(key + 8 * i);
        sums[i ^ 1] += word;
        sums[i] += (mixed & UINT32_MAX) * (mixed >> 32);
    }
}

static inline void scramble(uint64_t *sums)
{
    for (int i = 0; i < LANES; i++)
        sums[i] = (sums[i] ^ sums[i] >> 47 ^ load_64(secret + SECRET_BYTES - STRIPE + 8 * i)) * PRIME32_1;
}

/* All stripes but the last, which is the last 64 bytes wherever they begin. */
static void consume(uint64_t *sums, const unsigned char *p, size_t stripes)
{
    uint64_t own[LANES]; /* that the input cannot be, so that they stay in registers */
    memcpy(own, sums, sizeof own);
    for (size_t n = 0; n < stripes; n++) {
        accumulate(own, p + n * STRIPE, secret + n % STRIPES * 8);
        if (n % STRIPES == STRIPES - 1)
            scramble(own);
    }
    memcpy(sums, own, sizeof own);
}

#ifdef __x86_64__
#define AVX2 __attribute__((target("avx2")))

static inline AVX2 __m256i load_vector(const void *p)
{
    return _mm256_loadu_si256(p);
}

static inline AVX2 __m256i accumulate_vector(__m256i sums, const unsigned char *p, const unsigned char *key)
{
    __m256i words = load_vector(p), mixed = _mm256_xor_si256(words, load_vector(key));
    __m256i products = _mm256_mul_epu32(mixed, _mm256_srli_epi64(mixed, 32));
    __m256i neighbours = _mm256_shuffle_epi32(words, _MM_SHUFFLE(1, 0, 3, 2));
    return _mm256_add_epi64(_mm256_add_epi64(sums, neighbours), products);
}

static inline AVX2 __m256i scramble_vector(__m256i sums, const unsigned char *key)
{
    const __m256i prime = _mm256_set1_epi64x(PRIME32_1);
    __m256i mixed = _mm256_xor_si256(_mm256_xor_si256(sums, _mm256_srli_epi64(sums, 47)), load_vector(key));
    __m256i low = _mm256_mul_epu32(mixed, prime), high = _mm256_mul_epu32(_mm256_srli_epi64(mixed, 32), prime);
    return _mm256_add_epi64(low, _mm256_slli_epi64(high, 32));
}

/* The same, four lanes an instruction: checking weights is then bound by memory. */
static AVX2 void consume_avx2(uint64_t *sums, const unsigned char *p, size_t stripes)
{
    __m256i a = load_vector(sums), b = load_vector(sums + 4);
    for (size_t count; stripes > 0; stripes -= count) {
        count = stripes < STRIPES ? stripes : STRIPES;
#pragma GCC unroll 4
        for (size_t n = 0; n < count; n++, p += STRIPE) {
            a = accumulate_vector(a, p, secret + n * 8);
            b = accumulate_vector(b, p + 32, secret + n * 8 + 32);
        }
        if (count == STRIPES) {
            a = scramble_vector(a, secret + SECRET_BYTES - STRIPE);
            b = scramble_vector(b, secret + SECRET_BYTES - STRIPE + 32);
        }
    }
    _mm256_storeu_si256((void *)sums, a);
    _mm256_storeu_si256((void *)(sums + 4), b);
}

bool xxh3_has_vectors(void)
{
    return cpu_has_avx2();
}
#else
#define consume_avx2 consume

bool xxh3_has_vectors(void)
{
    return false;
}
#endif

static void sum_large(uint64_t *sums, const unsigned char *p, size_t bytes, bool vectors)
{
    const uint64_t first[LANES] = {PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3,
                                   PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1};
    memcpy(sums, first, sizeof first);
    (vectors ? consume_avx2 : consume)(sums, p, (bytes - 1) / STRIPE);
    accumulate(sums, p + bytes - STRIPE, secret + SECRET_BYTES - 71);
}

static uint64_t merge(const uint64_t *sums, const unsigned char *key, uint64_t hash)
{
    for (int i = 0; i < LANES; i += 2)
        hash += multiply_fold(sums[i] ^ load_64(key + 8 * i), sums[i + 1] ^ load_64(key + 8 * i + 8));
    return avalanche(hash);
}

static uint64_t hash_large(const unsigned char *p, size_t bytes, bool vectors)
{
    uint64_t sums[LANES];
    sum_large(sums, p, bytes, vectors);
    return merge(sums, secret + 11, bytes * PRIME64_1);
}

struct hash_128 hash_128(const void *data, size_t bytes)
{
    if (bytes <= 240)
        return (struct hash_128){xxh3(data, bytes), xxh64(data, bytes, PRIME64_5)};
    uint64_t sums[LANES];
    sum_large(sums, data, bytes, xxh3_has_vectors());
    return (struct hash_128){merge(sums, secret + 11, bytes * PRIME64_1),
                             merge(sums, secret + SECRET_BYTES - STRIPE - 11, ~(bytes * PRIME64_2))};
}

uint64_t xxh3_with(const void *data, size_t bytes, bool vectors)
{
    return bytes > 240   ? hash_large(data, bytes, vectors)
           : bytes > 128 ? hash_129_to_240(data, bytes)
           : bytes > 16  ? hash_17_to_128(data, bytes)
                         : hash_small(data, bytes);
}

uint64_t xxh3(const void *data, size_t bytes)
{
    return xxh3_with(data, bytes, bytes > 240 && xxh3_has_vectors());
}
