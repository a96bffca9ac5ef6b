// A word that a peer may change by RDMA atomics. It is opaque: only the three
// calls below touch it, through a table that the provider hands out, so that a
// card whose atomics are not coherent with the CPU's can send local operations
// through itself. Plain stores to such a word are a bug (the simulator finds them).
#pragma once

#include "base/types.h"

typedef struct { u64 private_value; } __attribute__((aligned(8))) shared64_t;

struct word_ops {
    // True: the CPU's LOCK and the card's atomics agree, and cas and add may be
    // called. False: only read may; the caller posts the atomic to the loopback QP
    // and goes on at its completion. Machines treat both as "action, completion".
    bool coherent;
    u64 (*read)(void *ctx, const shared64_t *word);
    // Returns the value found; the swap took place where that equals expected.
    u64 (*cas)(void *ctx, shared64_t *word, u64 expected, u64 desired);
    // Returns the value before the addition.
    u64 (*add)(void *ctx, shared64_t *word, u64 addend);
    void *ctx;
};

static inline u64 word_read(const struct word_ops *ops, const shared64_t *w) {
    return ops->read(ops->ctx, w);
}
static inline u64 word_cas(const struct word_ops *ops, shared64_t *w, u64 expected, u64 desired) {
    return ops->cas(ops->ctx, w, expected, desired);
}
static inline u64 word_add(const struct word_ops *ops, shared64_t *w, u64 addend) {
    return ops->add(ops->ctx, w, addend);
}
