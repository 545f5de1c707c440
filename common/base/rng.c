// SPDX-License-Identifier: Apache-2.0
#include "common/base/rng.h"

#include <math.h>
#include <string.h>

#include "common/base/digest.h"

void rng_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = (uint64_t)0xD2511F53u * c0;
        uint64_t product1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static uint64_t first_u64(Digest digest) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value = value << 8 | digest.bytes[i];
    }
    return value;
}

Rng rng_of(uint64_t seed, const char *purpose, uint64_t a, uint64_t b) {
    unsigned char text[64 + 24] = {0};
    size_t size = strlen(purpose);
    size = size < 64 ? size : 64;
    memcpy(text, purpose, size);
    uint64_t words[3] = {seed, a, b};
    for (int w = 0; w < 3; w++) {
        for (int i = 0; i < 8; i++) {
            text[64 + 8 * w + i] = (unsigned char)(words[w] >> (8 * i));
        }
    }
    Digest digest = digest_of(text, sizeof text);
    Rng rng = {0};
    uint64_t key = first_u64(digest);
    rng.key[0] = (uint32_t)key;
    rng.key[1] = (uint32_t)(key >> 32);
    memcpy(&rng.stream, digest.bytes + 8, 8);
    return rng;
}

uint32_t rng_u32(Rng *rng) {
    uint64_t index = rng->position / 4;
    if (rng->block_index != index + 1) {
        uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)rng->stream,
                               (uint32_t)(rng->stream >> 32)};
        rng_philox(counter, rng->key, rng->block);
        rng->block_index = index + 1;
    }
    return rng->block[rng->position++ % 4];
}

double rng_uniform(Rng *rng) {
    uint64_t high = rng_u32(rng);
    uint64_t low = rng_u32(rng);
    return (double)((high << 32 | low) >> 11) * 0x1p-53;
}

// Lemire's method: the multiply maps to the range, the rejected few remove the bias.
uint32_t rng_below(Rng *rng, uint32_t bound) {
    for (;;) {
        uint64_t product = (uint64_t)rng_u32(rng) * bound;
        uint32_t low = (uint32_t)product;
        // The division is for the few that may be among the rejected.
        if (low >= bound || low >= (uint32_t)(-bound) % bound) {
            return (uint32_t)(product >> 32);
        }
    }
}

// Natural logarithm of x > 0: x = m * 2^e with m in [sqrt(1/2), sqrt(2)), log m = 2 artanh t with
// t = (m - 1) / (m + 1), |t| < 0.172, where eleven terms of the series reach double precision.
static double natural_log(double x) {
    int exponent;
    double m = frexp(x, &exponent);
    if (m < 0.70710678118654752) {
        m *= 2.0;
        exponent--;
    }
    double t = (m - 1.0) / (m + 1.0);
    double square = t * t;
    double sum = 0.0;
    for (int odd = 21; odd >= 1; odd -= 2) {
        sum = sum * square + 1.0 / odd;
    }
    return 0.69314718055994531 * exponent + 2.0 * t * sum;
}

double rng_normal(Rng *rng) {
    for (;;) {
        double u = 2.0 * rng_uniform(rng) - 1.0;
        double v = 2.0 * rng_uniform(rng) - 1.0;
        double s = u * u + v * v;
        if (s > 0.0 && s < 1.0) {
            return u * sqrt(-2.0 * natural_log(s) / s);
        }
    }
}

void rng_permutation(Rng *rng, uint32_t *out, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        out[i] = i;
    }
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = rng_below(rng, i);
        uint32_t kept = out[i - 1];
        out[i - 1] = out[j];
        out[j] = kept;
    }
}
