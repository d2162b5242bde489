#include "sample.h"

#include <stdbool.h>

/* The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t sq_sample_rank(uint64_t seed, const char *name)
{
    /* FNV-1a, started from the mixed seed. */
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ mix(seed + UINT64_C(0x9e3779b97f4a7c15));
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
    return mix(hash);
}

size_t sq_sample_share(double percent, size_t candidates)
{
    if (!(percent > 0) || candidates == 0)
        return 0;
    if (percent >= 100)
        return candidates;
    /* The addition makes 29 % of 100 count 29 where the product is 28.999999999999996. */
    double exact = percent * (double)candidates / 100 + 1e-9;
    size_t share = (size_t)exact;
    return share == 0 ? 1 : share;
}
