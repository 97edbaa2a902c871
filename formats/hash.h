/* The checksums of model files and the keys of caches. Not for anything an adversary may gain from. */
#ifndef INFER_FORMATS_HASH_H
#define INFER_FORMATS_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `data` may be NULL where `bytes` is 0, and need not be aligned. */
uint64_t xxh64(const void *data, size_t bytes, uint64_t seed);

/* XXH3 of 64 bits, seed 0: for much data, on a CPU with AVX2, a third of the time. */
uint64_t xxh3(const void *data, size_t bytes);
/* 128 bits. For more than 240 bytes they are XXH3's own, in the time that 64 take; for fewer, two hashes of 64 bits. */
struct hash_128 {
    uint64_t low, high;
};
struct hash_128 hash_128(const void *data, size_t bytes);
/* xxh3 without wide vectors, or with those of AVX2, which this CPU must have: for tests. */
uint64_t xxh3_with(const void *data, size_t bytes, bool vectors);
bool xxh3_has_vectors(void);

#endif
