// SPDX-License-Identifier: Apache-2.0
//
// A counter-based random-number generator: the n-th number of a stream is a pure function of
// (key, n), so any worker can begin anywhere, and a resumed run draws what an undisturbed one
// would. Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
// Any thread; an Rng is a plain value.
#ifndef AUSCULT_BASE_RNG_H
#define AUSCULT_BASE_RNG_H

#include <stdint.h>

typedef struct Rng {
    uint32_t key[2];      // which stream
    uint64_t stream;      // which sub-stream: the upper half of the counter
    uint64_t position;    // 32-bit words drawn so far
    uint32_t block[4];    // the words of the current counter
    uint64_t block_index; // counter of `block` plus 1; 0 before the first
} Rng;

// The generator of (seed, purpose, a, b): e.g. rng_of(13711, "permutation", epoch, shard).
// Different purposes never share numbers (but for a hash collision of 64 bits).
Rng rng_of(uint64_t seed, const char *purpose, uint64_t a, uint64_t b);

// The Philox4x32-10 block function itself, for the golden test.
void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

uint32_t rng_u32(Rng *rng);
// Uniform in [0, 1), 53 bits.
double rng_uniform(Rng *rng);
// Uniform in 0 .. bound-1 without bias; bound >= 1.
uint32_t rng_below(Rng *rng, uint32_t bound);
// Standard normal, by Marsaglia's polar method with a logarithm of our own: the same bits on every
// processor, which libm's do not promise. Takes as many words as the rejection needs.
double rng_normal(Rng *rng);
// Fills 0 .. count-1 and shuffles it (Fisher-Yates).
void rng_permutation(Rng *rng, uint32_t *out, uint32_t count);

#endif
