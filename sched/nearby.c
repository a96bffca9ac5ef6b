// See nearby.h. Called by sched/runq.c and unit tests. No locks, no globals.
#include "sched/nearby.h"

// How many numbers XORed with one below `count` give all of them: the next power of two.
u32 nearby_span(u32 count) {
    u32 span = 1;
    while (span < count) span *= 2;
    return span;
}

static bool is_free(const struct nearby *v, u32 cpu) { return !v->runs(cpu) && !v->length(cpu); }

// Where a process that becomes ready goes: to the CPU it ran on last, where its cache lines may
// still be, if that is free; else to the free one that is nearest to who woke it, which has just
// written what it will read; else to the shorter of its last one's queue and the shortest.
//   last, waker  below v->count
u32 nearby_wake(const struct nearby *v, u32 last, u32 waker) {
    if (is_free(v, last)) return last;
    const u32 span = nearby_span(v->count);
    u32 best = last, least = v->length(last);
    for (u32 n = 0; n < span; n++) {
        const u32 i = nearby_nth(waker, n);
        if (i >= v->count) continue;
        if (is_free(v, i)) return i;
        const u32 length = v->length(i);
        if (length >= least) continue;
        least = length;
        best = i;
    }
    return best;
}

// Whether somebody of that CPU's queue would wait for a process that runs there. The only one of
// a CPU that runs nothing is its next: it was put there for what lies in that CPU's caches, and
// the CPU, which is being woken for it, would find nothing.
static bool can_spare(const struct nearby *v, u32 cpu) {
    const u32 length = v->length(cpu);
    return length > 1 || (length == 1 && v->runs(cpu));
}

// Whose queue a CPU without work takes from: the nearest one that can spare any. v->count: none.
u32 nearby_victim(const struct nearby *v, u32 cpu) {
    const u32 span = nearby_span(v->count);
    for (u32 n = 1; n < span; n++) {
        const u32 i = nearby_nth(cpu, n);
        if (i < v->count && can_spare(v, i)) return i;
    }
    return v->count;
}
