// Time and chance: a heap of events by (time, order of posting), and the seed's numbers.
#include <stdlib.h>

#include "tests/sim/sim.h"

struct sim sim;

// 0 .. below - 1, or any u64 for 0. splitmix64.
u64 sim_random(u64 below) {
    u64 z = (sim.rng_state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;
    return below == 0 ? z : z % below;
}

bool sim_chance(u32 of_10000) { return of_10000 != 0 && sim_random(10000) < of_10000; }

static bool before(const struct event *a, const struct event *b) {
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->seq < b->seq;
}

// Puts *ev at i of the heap or above.
static void rise(u32 i, const struct event *ev) {
    while (i > 0 && before(ev, &sim.event[(i - 1) / 2])) {
        sim.event[i] = sim.event[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    sim.event[i] = *ev;
}

void event_push(struct event *ev, u64 at_ns) {
    if (sim.event_count == SIM_EVENTS) sim_fail("too many events under way");
    ev->at_ns = at_ns;
    ev->seq = sim.seq++;
    rise(sim.event_count++, ev);
}

// Moves a node's poll that is under way to an earlier time.
void event_hurry_poll(u8 node, u64 at_ns) {
    for (u32 i = 0; i < sim.event_count; i++) {
        struct event ev = sim.event[i];
        if (ev.kind != EV_POLL || ev.node != node || ev.b != (u32)sim.node[node].incarnation)
            continue;
        ev.at_ns = at_ns;
        rise(i, &ev);
        return;
    }
    sim_fail("node %u has no poll under way", node);
}

bool event_pop(struct event *ev) {
    if (sim.event_count == 0) return false;
    *ev = sim.event[0];
    struct event last = sim.event[--sim.event_count];
    u32 i = 0;
    for (u32 k = 1; k < sim.event_count; k = 2 * i + 1) {
        if (k + 1 < sim.event_count && before(&sim.event[k + 1], &sim.event[k])) k++;
        if (!before(&sim.event[k], &last)) break;
        sim.event[i] = sim.event[k];
        i = k;
    }
    sim.event[i] = last;
    return true;
}

// Throws away what is left at the end of a seed.
void events_drop(void) {
    for (u32 i = 0; i < sim.event_count; i++) free(sim.event[i].frame);
    sim.event_count = 0;
}
