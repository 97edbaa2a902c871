/* XXH64 as its specification states it (xxHash fast digest algorithm, version 0.2.0, section "XXH64 algorithm
 * description"); the steps below bear the specification's names. */
#include "formats/hash.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "XXH64 reads its input as little-endian words");

#define PRIME_1 0x9E3779B185EBCA87u
#define PRIME_2 0xC2B2AE3D27D4EB4Fu
#define PRIME_3 0x165667B19E3779F9u
#define PRIME_4 0x85EBCA77C2B2AE63u
#define PRIME_5 0x27D4EB2F165667C5u

#define STRIPE 32 /* bytes: one word for each of the four lanes */

static inline uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline uint64_t load_64(const unsigned char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline uint32_t load_32(const unsigned char *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline uint64_t round_lane(uint64_t accumulator, uint64_t lane)
{
    return rotate(accumulator + lane * PRIME_2, 31) * PRIME_1;
}

static inline uint64_t merge_lane(uint64_t accumulator, uint64_t lane)
{
    return (accumulator ^ round_lane(0, lane)) * PRIME_1 + PRIME_4;
}

/* Steps 1 to 3 for input of a stripe or more. The lanes are independent, so their multiplications overlap. */
static uint64_t consume_stripes(const unsigned char *p, size_t stripes, uint64_t seed)
{
    uint64_t a = seed + PRIME_1 + PRIME_2, b = seed + PRIME_2, c = seed, d = seed - PRIME_1;
    for (; stripes > 0; stripes--, p += STRIPE) {
        a = round_lane(a, load_64(p));
        b = round_lane(b, load_64(p + 8));
        c = round_lane(c, load_64(p + 16));
        d = round_lane(d, load_64(p + 24));
    }
    uint64_t hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    return merge_lane(merge_lane(merge_lane(merge_lane(hash, a), b), c), d);
}

/* Step 5: what is left after the last stripe. */
static uint64_t consume_rest(uint64_t hash, const unsigned char *p, size_t bytes)
{
    for (; bytes >= 8; bytes -= 8, p += 8)
        hash = rotate(hash ^ round_lane(0, load_64(p)), 27) * PRIME_1 + PRIME_4;
    if (bytes >= 4) {
        hash = rotate(hash ^ load_32(p) * PRIME_1, 23) * PRIME_2 + PRIME_3;
        bytes -= 4;
        p += 4;
    }
    for (; bytes > 0; bytes--, p++)
        hash = rotate(hash ^ *p * PRIME_5, 11) * PRIME_1;
    return hash;
}

/* Step 6: every input bit gets its chance to reach every output bit. */
static uint64_t avalanche(uint64_t hash)
{
    hash = (hash ^ hash >> 33) * PRIME_2;
    hash = (hash ^ hash >> 29) * PRIME_3;
    return hash ^ hash >> 32;
}

uint64_t xxh64(const void *data, size_t bytes, uint64_t seed)
{
    const unsigned char *p = data;
    size_t stripes = bytes / STRIPE;
    uint64_t hash = stripes ? consume_stripes(p, stripes, seed) : seed + PRIME_5;
    hash += bytes;
    if (bytes % STRIPE)
        hash = consume_rest(hash, p + stripes * STRIPE, bytes % STRIPE);
    return avalanche(hash);
}
