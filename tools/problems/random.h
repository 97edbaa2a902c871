/* Repeatable choices for the generators of problems. */
#ifndef INFER_TOOLS_PROBLEMS_RANDOM_H
#define INFER_TOOLS_PROBLEMS_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

/* SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. */
static inline uint64_t random_bits(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* In [0, below); 0 where that is empty. */
static inline int64_t random_below(struct random *random, int64_t below)
{
    return below > 0 ? (int64_t)(random_bits(random) % (uint64_t)below) : 0;
}

/* In [low, high]. */
static inline int64_t random_between(struct random *random, int64_t low, int64_t high)
{
    return low + random_below(random, high - low + 1);
}

/* True once in `in` times. */
static inline bool random_once_in(struct random *random, int64_t in)
{
    return random_below(random, in) == 0;
}

/* In [low, high). */
static inline double random_real(struct random *random, double low, double high)
{
    return low + (high - low) * ((double)(random_bits(random) >> 11) * 0x1p-53);
}

/* A state of its own for thing number `index` of the one that `seed` stands for. */
static inline struct random random_for(uint64_t seed, uint64_t index)
{
    struct random random = {seed ^ (index + 1) * 0xd1342543de82ef95u};
    random.state = random_bits(&random);
    return random;
}

/* FNV-1a: a number for a name that no other name's coming and going changes. */
static inline uint64_t random_number_of(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

#endif
