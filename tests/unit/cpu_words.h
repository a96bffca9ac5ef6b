// Shared words by the CPU's own atomics, as the kernel has them, for tests of the queue.
#pragma once

#include "base/shared64.h"

static u64 w_read(void *ctx, const shared64_t *w) {
    (void)ctx;
    return __atomic_load_n((const u64 *)(const void *)w, __ATOMIC_SEQ_CST);
}
static u64 w_cas(void *ctx, shared64_t *w, u64 expected, u64 desired) {
    (void)ctx;
    __atomic_compare_exchange_n((u64 *)(void *)w, &expected, desired, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
    return expected;
}
static u64 w_add(void *ctx, shared64_t *w, u64 v) {
    (void)ctx;
    return __atomic_fetch_add((u64 *)(void *)w, v, __ATOMIC_SEQ_CST);
}
static const struct word_ops words = {true, w_read, w_cas, w_add, NULL};
