// Where random numbers come from: the kernel passes its cryptographic generator
// (kernel/random.c), tests and the simulator a seeded one.
#pragma once

#include "base/types.h"

struct rng {
    void (*fill)(void *ctx, void *to, size_t len_bytes);
    void *ctx;
};

static inline u64 rng_u64(const struct rng *r) {
    u64 v;
    r->fill(r->ctx, &v, sizeof v);
    return v;
}
static inline u32 rng_u32(const struct rng *r) { return (u32)rng_u64(r); }
