// Weighted fair sharing of one CPU; see sched/fair.h. O(log n) in the number of ready ones,
// which the heap's capacity bounds. Called by sched/runq.c under the queue's lock.
#include "sched/fair.h"

#include "base/assert.h"
#include "base/bits.h"

// Makes an empty queue.
//   heap      room for `capacity` pointers, the queue's own from now on
//   capacity  how many entities there are at most
void fair_init(struct fair_queue *q, struct fair_entity **heap, u32 capacity) {
    *q = (struct fair_queue){.heap = heap, .capacity = capacity};
}

// The weight of a nice value (beyond the range: that of its end). A step of nice is a factor of
// 5/4: two that differ by one share a CPU 5 to 4.
u32 fair_weight(i32 nice) {
    const i32 n = MAX(FAIR_NICE_MIN, MIN(FAIR_NICE_MAX, nice));
    u64 weight = (u64)FAIR_WEIGHT_0 << 16;
    for (i32 i = 0; i < n; i++) weight = weight * 4 / 5;
    for (i32 i = 0; i > n; i--) weight = weight * 5 / 4;
    return (u32)(weight >> 16);
}

static bool before(const struct fair_entity *a, const struct fair_entity *b) {
    if (a->virtual_ns != b->virtual_ns) return a->virtual_ns < b->virtual_ns;
    return a->order < b->order;
}

static void set_place(struct fair_queue *q, u32 at, struct fair_entity *e) {
    q->heap[at] = e;
    e->place = at + 1;
}

static void sift_up(struct fair_queue *q, u32 at, struct fair_entity *e) {
    for (; at != 0 && before(e, q->heap[(at - 1) / 2]); at = (at - 1) / 2)
        set_place(q, at, q->heap[(at - 1) / 2]);
    set_place(q, at, e);
}

static void sift_down(struct fair_queue *q, u32 at, struct fair_entity *e) {
    for (u32 child = 2 * at + 1; child < q->count; at = child, child = 2 * at + 1) {
        if (child + 1 < q->count && before(q->heap[child + 1], q->heap[child])) child++;
        if (!before(q->heap[child], e)) break;
        set_place(q, at, q->heap[child]);
    }
    set_place(q, at, e);
}

// Takes e's virtual time over into q's: what it was ahead of or behind its last queue, it is of
// this one. Who slept, or never ran, is at most FAIR_CATCH_UP_NS behind.
static void settle_time(struct fair_queue *q, struct fair_entity *e) {
    if (!e->home) e->virtual_ns = q->floor_ns;
    else if (e->home != q) e->virtual_ns += q->floor_ns - e->home->floor_ns;
    e->home = q;
    const u64 least = q->floor_ns - MIN(q->floor_ns, FAIR_CATCH_UP_NS);
    // Signed: one of another queue may be behind by more than this one's time is old.
    if ((i64)(e->virtual_ns - least) < 0) e->virtual_ns = least;
}

// e, which waited, runs on q's CPU at once: another hands it what is left of its turn.
//   weight  fair_weight of what it is now
void fair_join(struct fair_queue *q, struct fair_entity *e, u32 weight) {
    ASSERT(e->place == 0 && weight != 0);
    e->weight = weight;
    e->yields = false;
    settle_time(q, e);
}

// Puts e, which is ready and in no queue, into q.
void fair_put(struct fair_queue *q, struct fair_entity *e) {
    ASSERT(e->place == 0 && e->weight != 0 && q->count < q->capacity);
    settle_time(q, e);
    if (e->yields && q->count != 0) e->virtual_ns = MAX(e->virtual_ns, q->heap[0]->virtual_ns);
    e->yields = false;
    e->order = q->puts++;
    sift_up(q, q->count++, e);
}

// Takes e out of q, in which it is.
void fair_remove(struct fair_queue *q, struct fair_entity *e) {
    ASSERT(e->place != 0 && q->heap[e->place - 1] == e);
    const u32 at = e->place - 1;
    struct fair_entity *last = q->heap[--q->count];
    e->place = 0;
    if (last == e) return;
    if (before(last, e)) sift_up(q, at, last);
    else sift_down(q, at, last);
}

// Takes the one that is to run next; NULL: none is ready.
struct fair_entity *fair_take(struct fair_queue *q) {
    if (q->count == 0) return NULL;
    struct fair_entity *e = q->heap[0];
    fair_remove(q, e);
    q->floor_ns = MAX(q->floor_ns, e->virtual_ns);
    return e;
}

// As fair_take, from another CPU's queue for the CPU that q belongs to.
struct fair_entity *fair_steal(struct fair_queue *q, struct fair_queue *from) {
    struct fair_entity *e = fair_take(from);
    if (!e) return NULL;
    settle_time(q, e);
    q->floor_ns = MAX(q->floor_ns, e->virtual_ns);
    return e;
}

// Whether `woken`, in the same queue, is so far behind the one that runs that it goes first.
//   running_for_ns  how long that one has run and not been charged for
bool fair_preempts(const struct fair_entity *woken, const struct fair_entity *running,
                   u64 running_for_ns) {
    if (woken->home != running->home) return false;
    const u64 at = running->virtual_ns + fair_weighed(running, running_for_ns);
    return (i64)(at - woken->virtual_ns) > (i64)FAIR_PREEMPT_NS;
}
