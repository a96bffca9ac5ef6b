// The one ring: free-running 32-bit indices over a power-of-two array. One side
// advances tail (produces), the other head (consumes); nothing else in the tree
// does index arithmetic on a ring. Same-CPU or under the owner's lock; the
// acquire/release pair makes single-producer single-consumer use safe as well.
#pragma once

#include "base/assert.h"
#include "base/types.h"

struct ring {
    u32 size;  // entries, a power of two
    u32 head;  // consumer's: next entry to take
    u32 tail;  // producer's: next entry to fill
};

static inline void ring_init(struct ring *r, u32 size) {
    ASSERT(size != 0 && (size & (size - 1)) == 0);
    *r = (struct ring){.size = size};
}

static inline u32 ring_count(const struct ring *r) {
    return __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) -
           __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
}
static inline u32 ring_space(const struct ring *r) { return r->size - ring_count(r); }
static inline bool ring_empty(const struct ring *r) { return ring_count(r) == 0; }
static inline bool ring_full(const struct ring *r) { return ring_count(r) == r->size; }

// Array index of the entry that the producer fills next / `ahead` entries later.
static inline u32 ring_tail_index(const struct ring *r) { return r->tail & (r->size - 1); }
// Array index of the entry that is `offset` entries behind the head.
static inline u32 ring_peek_index(const struct ring *r, u32 offset) {
    ASSERT(offset < r->size);
    return (r->head + offset) & (r->size - 1);
}

static inline void ring_produce(struct ring *r) {
    ASSERT(!ring_full(r));
    __atomic_store_n(&r->tail, r->tail + 1, __ATOMIC_RELEASE);
}
static inline void ring_consume(struct ring *r) {
    ASSERT(!ring_empty(r));
    __atomic_store_n(&r->head, r->head + 1, __ATOMIC_RELEASE);
}
