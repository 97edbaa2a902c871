/* XXH64: the checksum of model files and the key of caches. Not for anything an adversary may gain from. */
#ifndef INFER_FORMATS_HASH_H
#define INFER_FORMATS_HASH_H

#include <stddef.h>
#include <stdint.h>

/* `data` may be NULL where `bytes` is 0, and need not be aligned. */
uint64_t xxh64(const void *data, size_t bytes, uint64_t seed);

#endif
