// The exact worst case of sched/place.c: every state that the rule and the true work
// function can reach together is a vertex, every request an edge with two prices, what the
// rule pays and by how much the optimum grows; the largest ratio over all cycles is the
// competitive ratio. Found by Dinkelbach's iteration over Bellman-Ford in whole numbers.
// Usage: exact [--long] [--mutant]; prints TAP. tests/place/mutants.sh links it with
// damaged copies of place.c, which must fail.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sched/place.h"

#define N_MAX 4
#define STATES_MAX 400000
#define VALUE_MAX_OF_D 4       // a rule without a cap is followed only so far

struct key {
    u16 value[N_MAX], rest;    // the rule's
    u16 opt[N_MAX];            // the true work function, less its minimum
    u8 at, last;
};

struct edge { u32 from, to, paid, grown; };

struct game {
    const char *name;
    u32 n, d;
    bool loads;                // any set of nodes may cost 1, not accesses alone
    bool advice;               // an adviser that may say anything
    u32 bound;                 // the ratio that is claimed, in thousandths
    u32 batch;                 // requests cost 1 or this
};

static struct place *rule;     // of each state
static struct key *keys;
static struct edge *edges;
static u32 *table;             // hash of keys; 0: free, else index + 1
static u32 n_states, n_edges, edges_max, n_cut;
static u32 tie_faults, target_faults;

_Noreturn void panic(const char *format, ...) {
    fprintf(stderr, "panic: %s\n", format);
    exit(2);
}

static u32 hash_of(const struct key *k) {
    const u8 *b = (const u8 *)k;
    u64 h = 1469598103934665603ull;
    for (size_t i = 0; i < sizeof *k; i++) h = (h ^ b[i]) * 1099511628211ull;
    return (u32)(h >> 20) & (2097152 - 1);
}

// The state's index; a new one is added unless it lies beyond what is followed.
static bool state_of(const struct game *g, const struct place *p, const u32 *opt, u32 *index) {
    struct key k;
    memset(&k, 0, sizeof k);
    for (u32 i = 0; i < g->n; i++) {
        u64 v = place_value(p, (u8)i);
        if (v > VALUE_MAX_OF_D * g->d) return false;
        k.value[i] = (u16)v;
        k.opt[i] = (u16)opt[i];
    }
    k.rest = (u16)(p->rest > VALUE_MAX_OF_D * g->d ? VALUE_MAX_OF_D * g->d : p->rest);
    k.at = p->at;
    k.last = g->loads ? p->last : 0;
    u32 slot = hash_of(&k);
    for (; table[slot]; slot = (slot + 1) & (2097152 - 1))
        if (memcmp(&keys[table[slot] - 1], &k, sizeof k) == 0) {
            *index = table[slot] - 1;
            return true;
        }
    if (n_states == STATES_MAX) return false;
    table[slot] = n_states + 1;
    keys[n_states] = k;
    rule[n_states] = *p;
    *index = n_states++;
    return true;
}

static void edge_add(const struct game *g, u32 from, const struct place *p, const u32 *opt,
                     struct edge e) {
    e.from = from;
    if (!state_of(g, p, opt, &e.to)) {
        n_cut++;
        return;
    }
    if (n_edges == edges_max) {
        edges_max = edges_max ? edges_max * 2 : 65536;
        edges = realloc(edges, edges_max * sizeof *edges);
        ASSERT(edges);
    }
    edges[n_edges++] = e;
}

// The true work function after costs of `price` on `set`, by its definition; returns how much
// its minimum, the optimum's cost, grew.
static u32 opt_step(const struct game *g, const struct key *k, u32 set, u32 price, u32 *opt) {
    u32 raw[N_MAX], min = UINT32_MAX;
    for (u32 i = 0; i < g->n; i++) raw[i] = k->opt[i] + (set >> i & 1) * price;
    for (u32 i = 0; i < g->n; i++) {
        opt[i] = raw[i];
        for (u32 j = 0; j < g->n; j++)
            if (raw[j] + g->d < opt[i]) opt[i] = raw[j] + g->d;
        if (opt[i] < min) min = opt[i];
    }
    for (u32 i = 0; i < g->n; i++) opt[i] -= min;
    return min;
}

struct ask {
    u32 node, set, price;      // an access of node, or loads of `set` (node = n)
    u8 advice;
};

// One request: costs of a.price on a.set.
static void request(const struct game *g, u32 from, struct ask a) {
    struct place p = rule[from];
    struct key k = keys[from];
    struct place_world world = {.members = (1ull << g->n) - 1};
    struct place_cost cost[N_MAX];
    u32 opt[N_MAX], n = 0;
    u64 ties;
    struct edge e = {.paid = (a.set >> p.at & 1) * a.price,
                     .grown = opt_step(g, &k, a.set, a.price, opt)};
    for (u32 i = 0; i < g->n; i++)
        if (a.set >> i & 1) cost[n++] = (struct place_cost){(u8)i, a.price};
    if (a.node < g->n) place_access(&p, world.members, (u8)a.node, a.price);
    else place_load(&p, world.members, cost, n);
    p.advice = a.advice;
    if (place_decide(&p, &world, &ties, NULL) != PLACE_MOVE) {
        edge_add(g, from, &p, opt, e);
        return;
    }
    if (p.last < g->n && opt[p.last] == 0 && ties != 1ull << p.last) tie_faults++;
    for (; ties != 0; ties &= ties - 1) {
        struct place q = p;
        u8 to = (u8)__builtin_ctzll(ties);
        if (to >= g->n || opt[to] != 0) target_faults++;
        if (to >= g->n) continue;
        place_moved(&q, to);
        struct edge moved = {.paid = e.paid + g->d, .grown = e.grown};
        edge_add(g, from, &q, opt, moved);
    }
}

// Every request there is, in state s.
static void ask_all(const struct game *g, u32 s) {
    u32 all = (1u << g->n) - 1;
    for (u32 big = 0; big <= (g->batch > 1); big++)
        for (u32 a = 0; a <= (g->advice ? g->n : 0); a++) {
            struct ask ask = {.price = big ? g->batch : 1};
            ask.advice = a < g->n && g->advice ? (u8)a : PLACE_NONE;
            for (ask.node = 0; ask.node < g->n; ask.node++) {
                ask.set = all & ~(1u << ask.node);
                request(g, s, ask);
            }
            for (ask.set = 1; g->loads && ask.set <= all; ask.set++) request(g, s, ask);
        }
}

static void explore(const struct game *g) {
    struct place p;
    u32 opt[N_MAX], index;
    n_states = n_edges = n_cut = tie_faults = target_faults = 0;
    memset(table, 0, 2097152 * sizeof *table);
    place_init(&p, 0, g->d);
    for (u32 i = 0; i < g->n; i++) opt[i] = i ? g->d : 0;
    state_of(g, &p, opt, &index);
    for (u32 s = 0; s < n_states; s++) ask_all(g, s);
}

// A cycle whose paid * den > grown * num, or false: Bellman-Ford on the longest walk.
static bool better_cycle(u64 *num, u64 *den) {
    i64 *far = calloc(n_states, sizeof *far);
    u32 *by = malloc(n_states * sizeof *by), *mark = calloc(n_states, sizeof *mark);
    ASSERT(far && by && mark);
    bool found = false;
    memset(by, 0xff, n_states * sizeof *by);
    for (u32 pass = 0; pass <= n_states && !found; pass++) {
        bool changed = false;
        for (u32 i = 0; i < n_edges; i++) {
            const struct edge *e = &edges[i];
            i64 far_to = far[e->from] + (i64)(e->paid * *den) - (i64)(e->grown * *num);
            if (far_to <= far[e->to]) continue;
            far[e->to] = far_to;
            by[e->to] = i;
            changed = true;
        }
        if (!changed) break;
        memset(mark, 0, n_states * sizeof *mark);
        for (u32 s = 0; s < n_states && !found; s++) {
            u32 v = s;
            while (by[v] != UINT32_MAX && mark[v] == 0) {
                mark[v] = s + 1;
                v = edges[by[v]].from;
            }
            if (by[v] == UINT32_MAX || mark[v] != s + 1) continue;
            u32 stop = v;
            u64 paid = 0, grown = 0;
            do {
                paid += edges[by[v]].paid;
                grown += edges[by[v]].grown;
                v = edges[by[v]].from;
            } while (v != stop);
            if (paid * *den <= grown * *num) continue;
            *num = paid;
            *den = grown;
            found = true;
        }
    }
    free(far);
    free(by);
    free(mark);
    return found;
}

// The worst ratio num / den over all cycles; den 0: unbounded.
static void worst_ratio(u64 *num, u64 *den) {
    *num = 1;
    *den = 1;
    while (*den != 0 && better_cycle(num, den)) {}
}

// Plays one game to its end and prints a line of TAP; false when a claim fails.
static bool play(u32 number, const struct game *g) {
    u64 num, den;
    explore(g);
    worst_ratio(&num, &den);
    // At most bound + 0.001, in whole numbers.
    bool within = den != 0 && num * 1000 <= (g->bound + 1ull) * den;
    bool ok = within && tie_faults == 0 && target_faults == 0 && n_cut == 0;
    printf("%sok %u - exact: %s, %u nodes, move %u: worst %.3f of at most %.3f (%u states, %u edges"
           "%s%s%s)\n", ok ? "" : "not ", number, g->name, g->n, g->d,
           den ? (double)num / (double)den : 1.0 / 0.0, g->bound / 1000.0, n_states, n_edges,
           tie_faults ? "; a tie not to the last requester" : "",
           target_faults ? "; a move to a node that is not the best" : "",
           n_cut ? "; states without end" : "");
    fflush(stdout);
    return ok;
}

static const struct game games[] = {
    {"accesses", 2, 4, false, false, 3000, 1},
    {"accesses", 2, 64, false, false, 3000, 1},
    {"accesses", 3, 4, false, false, 3000, 1},
    {"accesses", 3, 8, false, false, 3000, 1},
    {"accesses", 4, 4, false, false, 3000, 1},
    {"loads and accesses", 2, 4, true, false, 3000, 1},
    {"loads and accesses", 2, 16, true, false, 3000, 1},
    {"loads and accesses", 3, 4, true, false, 5000, 1},
    {"loads and accesses", 4, 4, true, false, 7000, 1},
    {"accesses, any advice", 2, 8, false, true, 4000, 1},
    {"accesses, any advice", 3, 4, false, true, 4000, 1},
    // Batches of up to c: 3 + (c - 1) / D, and 2N - 1 + (N - 1)(c - 1) / D with loads.
    {"accesses of 1 and 4", 2, 8, false, false, 3375, 4},
    {"accesses of 1 and 4", 3, 8, false, false, 3375, 4},
    // From here on in the long test alone.
    {"accesses, any advice", 4, 4, false, true, 4000, 1},
    {"accesses", 4, 8, false, false, 3000, 1},
    {"loads and accesses", 3, 8, true, false, 5000, 1},
    {"loads and accesses", 4, 6, true, false, 7000, 1},
    {"loads and accesses, any advice", 3, 4, true, true, 7000, 1},
    {"accesses of 1 and 8", 3, 8, false, false, 3875, 8},
    {"accesses of 1 and 2", 3, 8, false, false, 3125, 2},
    {"accesses of 1 and 32", 2, 8, false, false, 6875, 32},
    {"loads and accesses of 1 and 2", 3, 4, true, false, 5500, 2},
    {"loads and accesses of 1 and 4", 2, 8, true, false, 3375, 4},
};
#define GAMES_SHORT 13

int main(int argc, char **argv) {
    u32 count = GAMES_SHORT, failed = 0, number = 1;
    bool mutant = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--long") == 0) count = sizeof games / sizeof games[0];
        if (strcmp(argv[i], "--mutant") == 0) mutant = true;
    }
    rule = malloc(STATES_MAX * sizeof *rule);
    keys = malloc(STATES_MAX * sizeof *keys);
    table = malloc(2097152 * sizeof *table);
    ASSERT(rule && keys && table);
    for (u32 i = 0; i < count; i++) {
        if (mutant && (games[i].n > 3 || games[i].d > 8)) continue;
        failed += !play(number++, &games[i]);
        if (mutant && failed) break;
    }
    return failed != 0;
}
