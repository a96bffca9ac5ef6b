// Weighted fair sharing of one CPU: who runs next, for how long in relation to the others. Each
// entity has a virtual run time that grows by the time it ran, the slower the heavier it is;
// the one with the least runs next. Pure: base alone; no locks (the caller's), no clock (times
// are passed in).
#pragma once

#include "base/types.h"
#include "base/units.h"

#define FAIR_NICE_MIN (-20)
#define FAIR_NICE_MAX 19
#define FAIR_WEIGHT_0 1024u              // of nice 0; each step of nice is a quarter more or less
#define FAIR_WEIGHT_IDLE 3u              // of SCHED_IDLE
#define FAIR_SLICE_NS (10 * NS_PER_MS)
#define FAIR_CATCH_UP_NS (10 * NS_PER_MS)     // virtual: what one who slept may be behind at most
#define FAIR_PREEMPT_NS (3 * NS_PER_MS)       // virtual: how far behind a woken one goes first

struct fair_queue;

// What one process or thread is to the queues. All zero but for `weight`: a new one.
struct fair_entity {
    u64 virtual_ns;                      // in `home`'s virtual time
    u64 order;                           // of those with equal times, the first put goes first
    struct fair_queue *home;             // the queue that virtual_ns belongs to; NULL: a new one
    u32 weight;                          // fair_weight
    u32 place;                           // 1 + its place in the heap; 0: in none
    bool yields;                         // at its next put, the next one goes first
};

// The ready ones of one CPU, but for the one that runs: a binary heap.
struct fair_queue {
    struct fair_entity **heap;
    u32 count, capacity;
    u64 floor_ns;                        // virtual time of the queue; never goes back
    u64 puts;
};

void fair_init(struct fair_queue *q, struct fair_entity **heap, u32 capacity);
u32 fair_weight(i32 nice);
void fair_put(struct fair_queue *q, struct fair_entity *e);
void fair_join(struct fair_queue *q, struct fair_entity *e, u32 weight);
struct fair_entity *fair_take(struct fair_queue *q);
struct fair_entity *fair_steal(struct fair_queue *q, struct fair_queue *from);
void fair_remove(struct fair_queue *q, struct fair_entity *e);
bool fair_preempts(const struct fair_entity *woken, const struct fair_entity *running,
                   u64 running_for_ns);

static inline u64 fair_weighed(const struct fair_entity *e, u64 ran_ns) {
    return ran_ns * FAIR_WEIGHT_0 / e->weight;
}

// Charges e, which leaves the CPU that q belongs to, with the time it ran.
//   ran_ns  nanoseconds, of one stay on the CPU: below 2^53
static inline void fair_charge(struct fair_queue *q, struct fair_entity *e, u64 ran_ns) {
    e->virtual_ns += fair_weighed(e, ran_ns);
    // Alone on its CPU it is the one that has least, so the queue's time goes on with it.
    if (e->home == q && q->count == 0 && q->floor_ns < e->virtual_ns) q->floor_ns = e->virtual_ns;
}
