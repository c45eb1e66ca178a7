// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3), the one
// generator of netc: plain C, header only, included by the interpreter and by the runtime.
//
// A draw is a function of (seed, step, draw, element); see compiler/graph/op.def. key = the seed's
// words; counter = element low, element high, draw, step.
#pragma once

#include <stdint.h>

struct philox_block {
    uint32_t word[4];
};

static inline struct philox_block philox_draw(uint64_t seed, uint32_t step, uint32_t draw,
                                              uint64_t element) {
    uint32_t c[4] = {(uint32_t)element, (uint32_t)(element >> 32), draw, step};
    uint32_t k[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)0xD2511F53u * c[0], q = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t next[4] = {(uint32_t)(q >> 32) ^ c[1] ^ k[0], (uint32_t)q,
                            (uint32_t)(p >> 32) ^ c[3] ^ k[1], (uint32_t)p};
        for (int j = 0; j < 4; j++)
            c[j] = next[j];
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    return (struct philox_block){{c[0], c[1], c[2], c[3]}};
}

// In [0, 1): 24 bits, exact in float.
static inline double philox_unit(uint32_t word) { return (double)(word >> 8) * 0x1p-24; }
