// Many CPU-bound processes at once, each placed by sched/place.c, on nodes that share their
// CPU, with loads that are known late: they must spread out, without a herd, and stop.
// Usage: herd [--seeds N]; prints TAP. The same without reservation is shown beside it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/place/sim.h"

#define TICK_NS 10000000ull
#define MOVE_NS (20 * TICK_NS)
#define TICKS_HALF 4000        // the load ends, in part, after so many
#define PROCESSES_MAX 64
#define NODES SIM_NODES_MAX

struct herd {
    u32 n, count, delay;       // nodes, processes, ticks between two looks at the loads
    bool reserve;
    struct sim_rng random;
    struct place p[PROCESSES_MAX];
    bool alive[PROCESSES_MAX];
    u32 here[NODES];
    u64 word[NODES];           // capacity words
    struct place_load known[NODES];
    u32 moves, last_move, overfull;
};

_Noreturn void panic(const char *format, ...) {
    fprintf(stderr, "panic: %s\n", format);
    abort();
}

static void look_around(struct herd *h) {
    for (u8 i = 0; i < h->n; i++) h->known[i] = (struct place_load){i, h->here[i]};
    for (u32 i = 0; i < h->n; i++)
        h->word[i] += place_capacity_set(h->word[i], place_capacity_fair(h->known, h->n));
}

// Takes a unit at one of `ties`, by the adds that the machine asks for.
static bool reserve(struct herd *h, const struct place *p, u64 ties, u8 *to) {
    struct rng rng = {sim_rng_fill, &h->random};
    struct place_reserve r;
    enum place_reserve_next next = place_reserve_begin(&r, p, ties, &rng);
    while (next == PLACE_RESERVE_ADD) {
        u64 found = h->word[r.node];
        h->word[r.node] += r.addend;
        next = place_reserve_step(&r, S_OK, found);
    }
    *to = r.node;
    if (next != PLACE_RESERVE_GOT) return false;
    u64 word = h->word[r.node];
    h->overfull += FIELD_GET(PLACE_CAPACITY_USED, word) > FIELD_GET(PLACE_CAPACITY_MAX, word);
    return true;
}

// One process, one tick: what its share of the CPU cost, and would have cost elsewhere.
static void live(struct herd *h, struct place *p, u32 tick) {
    struct rng rng = {sim_rng_fill, &h->random};
    struct place_world world = {tick * TICK_NS, (1ull << h->n) - 1, 4 * TICK_NS, &rng};
    struct place_cost cost[NODES];
    u64 ties, cpu_ns = TICK_NS / h->here[p->at];
    for (u8 i = 0; i < h->n; i++) {
        u32 queue = i == p->at ? h->here[i] - 1 : h->known[i].queue_len;
        cost[i] = (struct place_cost){i, place_price_load(queue, cpu_ns)};
    }
    place_load(p, world.members, cost, h->n);
    if (place_decide(p, &world, &ties, NULL) != PLACE_MOVE) return;
    u8 to = place_draw(ties, &rng);
    if (h->reserve && !reserve(h, p, ties, &to)) {
        place_not_moved(p, &world);
        return;
    }
    h->word[p->at]--;
    h->here[p->at]--;
    h->here[to]++;
    place_moved(p, to);
    h->moves++;
    h->last_move = tick;
}

static void run(struct herd *h, u32 from, u32 to) {
    for (u32 tick = from; tick < to; tick++) {
        if (tick % h->delay == 0) look_around(h);
        u32 first = sim_below(&h->random, h->count);
        for (u32 i = 0; i < h->count; i++) {
            u32 k = (first + i) % h->count;
            if (h->alive[k]) live(h, &h->p[k], tick);
        }
    }
}

static u32 unevenness(const struct herd *h) {
    u32 most = 0, least = UINT32_MAX;
    for (u32 i = 0; i < h->n; i++) {
        if (h->here[i] > most) most = h->here[i];
        if (h->here[i] < least) least = h->here[i];
    }
    return most - least;
}

struct outcome { u32 uneven, late, overfull, moves_max; u64 moves; };

// All start on node 0; half-way every process but a quarter ends. Counts runs that end a
// half unevenly (by more than one process) or still move in its last quarter, and units
// given beyond a node's room.
static struct outcome many(u32 n, u32 count, u32 delay, bool with_reserve, u32 seeds) {
    static struct herd h;
    struct outcome o = {0, 0, 0, 0, 0};
    for (u32 seed = 1; seed <= seeds; seed++) {
        h = (struct herd){.n = n, .count = count, .delay = delay, .reserve = with_reserve,
                          .random = {seed}};
        h.here[0] = count;
        h.word[0] = place_capacity_word(1, count);
        for (u32 i = 0; i < count; i++) {
            place_init(&h.p[i], 0, MOVE_NS);
            h.alive[i] = true;
        }
        for (u32 half = 0; half < 2; half++) {
            run(&h, half * TICKS_HALF, (half + 1) * TICKS_HALF);
            o.uneven += unevenness(&h) > 1;
            o.late += h.last_move >= half * TICKS_HALF + TICKS_HALF * 3 / 4;
            for (u32 i = 0; half == 0 && i < count; i++) {
                if (sim_below(&h.random, 4) == 0) continue;
                h.alive[i] = false;
                h.here[h.p[i].at]--;
                h.word[h.p[i].at]--;
            }
        }
        o.moves += h.moves;
        o.overfull += h.overfull;
        if (h.moves > o.moves_max) o.moves_max = h.moves;
    }
    return o;
}

int main(int argc, char **argv) {
    static const struct { u32 n, count, delay; } cases[] = {
        {4, 8, 1}, {4, 8, 16}, {4, 8, 64}, {2, 7, 16}, {8, 32, 16}, {16, 64, 64},
    };
    u32 seeds = argc == 3 && strcmp(argv[1], "--seeds") == 0 ? (u32)atoi(argv[2]) : 20;
    bool all = true;
    for (u32 i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome with = many(cases[i].n, cases[i].count, cases[i].delay, true, seeds);
        struct outcome without = many(cases[i].n, cases[i].count, cases[i].delay, false, seeds);
        bool ok = with.uneven == 0 && with.late == 0 && with.overfull == 0;
        printf("%sok %u - herd: %u processes, %u nodes, loads %u ticks old, %u seeds: uneven %u, "
               "late moves %u, overfull %u, moves %.1f a run, most %u (without reservation: "
               "uneven %u, late %u, moves %.1f)\n", ok ? "" : "not ", i + 1, cases[i].count,
               cases[i].n, cases[i].delay, seeds, with.uneven, with.late, with.overfull,
               (double)with.moves / seeds, with.moves_max, without.uneven, without.late,
               (double)without.moves / seeds);
        all &= ok;
    }
    return !all;
}
