// Cuts and pauses, over RoCE: for a while no frame passes between some nodes, or a node stands
// still. They are drawn by a generator of their own, so that a seed without them runs as it
// did. What they explain: processes that had something on both ends while it lasted, and a
// little longer, until both ends have noticed.
#include "tests/sim/sim.h"

#define NOTICE_NS (5 * NS_PER_S)     // the longest bound, a probe's period and the retries
#define FIRST_NS (1 * NS_PER_S)
#define LAST_NS (8 * NS_PER_S)
#define LENGTH_MAX_NS (12 * NS_PER_S)

static u64 state;

static u64 draw(u64 below) {         // splitmix64
    u64 z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (z ^ (z >> 31)) % below;
}

static void link_cut(u32 a, u32 b) {
    sim.cut.links[a] |= BIT(b);
    sim.cut.links[b] |= BIT(a);
}

// A third of the seeds over RoCE: two sides, one link, or one node that stands still.
void cuts_begin(void) {
    state = sim.seed * 0x632be59bd9b4e019ull + 1;
    struct sim_cut *c = &sim.cut;
    if (!sim.roce || (draw(3) != 0 && !c->always)) return;
    c->any = true;
    c->from_ns = FIRST_NS + draw(LAST_NS - FIRST_NS);
    c->until_ns = c->from_ns + 100 * NS_PER_MS + draw(LENGTH_MAX_NS);
    const u32 kind = (u32)draw(3), a = (u32)draw(sim.nodes);
    if (kind == 2) {
        c->stopped = BIT(a);
        for (u32 b = 0; b < sim.nodes; b++)
            if (b != a) link_cut(a, b);
    } else if (kind == 1) {
        link_cut(a, (a + 1 + (u32)draw(sim.nodes - 1)) % sim.nodes);
    } else {
        const u64 side = 1 + draw(BIT(sim.nodes) - 2);   // neither none nor all
        for (u32 x = 0; x < sim.nodes; x++)
            for (u32 y = 0; y < x; y++)
                if ((side >> x ^ side >> y) & 1) link_cut(x, y);
    }
    sim.stats.cuts++;
}

static bool lasts(u64 more_ns) {
    return sim.cut.any && sim.now_ns >= sim.cut.from_ns &&
           sim.now_ns < sim.cut.until_ns + more_ns;
}

bool cut_between(u8 a, u8 b) {
    return lasts(0) && sim.cut.stopped == 0 && (sim.cut.links[a] & BIT(b));
}

// When a node that stands still goes on; 0: it does not stand still.
u64 cut_stopped_until(u8 node) {
    return lasts(0) && (sim.cut.stopped & BIT(node)) ? sim.cut.until_ns : 0;
}

// A node may lose one that is well: by a cut, or since one side joins as new after it.
bool cut_may_part(void) { return sim.cut.any && sim.now_ns >= sim.cut.from_ns; }

// After every event: who has something at both ends of a link that is cut may be lost.
void cuts_explain(void) {
    if (!lasts(NOTICE_NS)) return;
    for (u32 k = 0; k < sim.nodes; k++) {
        u64 beyond = 0;
        for (u32 b = 0; b < sim.nodes; b++)
            if (sim.cut.links[k] & BIT(b)) beyond |= sim.node[b].held;
        for (u64 both = sim.node[k].held & beyond; both != 0; both &= both - 1) {
            struct sim_proc *p = &sim.proc[__builtin_ctzll(both)];
            if (!p->exited) p->explained = true;
        }
    }
}
