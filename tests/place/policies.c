// Who places one process in the simulator: sched/place.c at several alphas, and what other
// systems do, reduced to one process that sees its own uses and the nodes' loads. All
// begin on node 0 and pay SIM_MOVE for each move, the first placement too.
#include <string.h>

#include "tests/place/sim.h"

const char *const policy_name[POLICIES] = {
    "never", "fixed", "exec", "random", "least", "mosix", "nu", "greedy", "elastic", "ewma",
    "coin", "counters", "a=.5", "a=.75", "a=1", "advised", "D/2",
    "2D",
};

struct state {
    const struct trace *t;
    u32 op;
    u8 at, first;
    struct sim_rng rng;
    u32 count[SIM_NODES_MAX], total;
    u32 share[SIM_NODES_MAX];      // EWMA, in 1/65536
    struct place place;
};

bool policy_is_baseline(enum policy policy) { return policy < ALPHA_50 && policy != BEST_FIXED; }

// What operation `op` costs a process on `at`, moves aside.
u64 cost_at(const struct trace *t, u32 op, u8 at) {
    u64 cost = t->node[op] != SIM_NO_NODE && t->node[op] != at;
    if (t->hot[op] == at) cost++;
    if (t->loads) cost += t->load[op / SIM_WINDOW][at];
    return cost;
}

// The offline optimum: the work function over all nodes, by its definition.
u64 optimum(const struct trace *t) {
    u32 w[SIM_NODES_MAX], best = 0;
    for (u32 i = 0; i < SIM_NODES_MAX; i++) w[i] = i == 0 ? 0 : SIM_MOVE;
    for (u32 i = t->n; i < SIM_NODES_MAX; i++) w[i] = UINT32_MAX / 2;   // no such node
    for (u32 op = 0; op < t->ops; op++) {
        const u8 *load = t->load[op / SIM_WINDOW];
        u32 used = t->node[op] != SIM_NO_NODE;
        for (u32 i = 0; i < SIM_NODES_MAX; i++) w[i] += used;
        if (used) w[t->node[op]]--;
        if (t->hot[op] != SIM_NO_NODE) w[t->hot[op]]++;
        for (u32 i = 0; t->loads && i < t->n; i++) w[i] += load[i];
        best = UINT32_MAX;
        for (u32 i = 0; i < SIM_NODES_MAX; i++) best = w[i] < best ? w[i] : best;
        for (u32 i = 0; i < SIM_NODES_MAX; i++)
            w[i] = w[i] > best + SIM_MOVE ? best + SIM_MOVE : w[i];
        for (u32 i = t->n; i < SIM_NODES_MAX; i++) w[i] = UINT32_MAX / 2;
    }
    return best;
}

static u64 search(const struct trace *t, u32 op, u8 at) {
    if (op == t->ops) return 0;
    u64 best = UINT64_MAX;
    for (u8 i = 0; i < t->n; i++) {
        u64 cost = (i != at ? SIM_MOVE : 0) + cost_at(t, op, i) + search(t, op + 1, i);
        if (cost < best) best = cost;
    }
    return best;
}

u64 optimum_by_search(const struct trace *t) { return search(t, 0, 0); }

// What it costs to stay on each node for ever.
void fixed_costs(const struct trace *t, u64 *cost) {
    u64 uses = 0;
    memset(cost, 0, SIM_NODES_MAX * sizeof *cost);
    for (u32 op = 0; op < t->ops; op++) {
        if (t->hot[op] != SIM_NO_NODE) cost[t->hot[op]]++;
        for (u32 i = 0; t->loads && i < t->n; i++) cost[i] += t->load[op / SIM_WINDOW][i];
        if (t->node[op] == SIM_NO_NODE) continue;
        cost[t->node[op]]--;      // wraps; made good below
        uses++;
    }
    for (u32 i = 0; i < t->n; i++) cost[i] += uses;
}

static u8 best_fixed(const struct trace *t, const u64 *fixed) {
    u8 best = 0;
    for (u8 i = 1; i < t->n; i++)
        if (fixed[i] + SIM_MOVE < fixed[best] + (best ? SIM_MOVE : 0)) best = i;
    return best;
}

static u8 least_loaded(const struct state *s) {
    const u8 *load = s->t->load[s->op / SIM_WINDOW];
    u8 best = 0;
    for (u8 i = 1; s->t->loads && i < s->t->n; i++)
        if (load[i] < load[best]) best = i;
    return best;
}

// Where place_exec sends it, from what the run before used.
static u8 exec_target(const struct trace *t, const struct trace *before) {
    static struct place_profiles table;
    struct place_cost use[SIM_NODES_MAX];
    struct place_load load[SIM_NODES_MAX];
    struct place_exec e = {.allowed = ~0ull, .exec_move_ns = SIM_MOVE, .load = load,
                           .n_loads = t->loads ? t->n : 0};
    struct place_world world = {.members = (1ull << t->n) - 1};
    struct place_why why;
    u64 ties;
    memset(&table, 0, sizeof table);
    for (u8 i = 0; i < t->n; i++) {
        use[i] = (struct place_cost){i, 0};
        load[i] = (struct place_load){i, t->load[0][i]};
    }
    for (u32 op = 0; op < before->ops; op++)
        if (before->node[op] != SIM_NO_NODE) use[before->node[op]].cost_ns++;
    place_profile_learn(&table, 1, use, t->n, t->loads ? before->ops : 0);
    if (place_exec(place_profile_find(&table, 1), &e, &world, &ties, &why) != PLACE_MOVE) return 0;
    return why.target;
}

// openMosix's rule for one process: leave when the best other node's load with one process
// more, and a quarter for stability, is still less than here.
static u8 mosix(const struct state *s) {
    const u8 *load = s->t->load[s->op / SIM_WINDOW];
    if (!s->t->loads || s->op % SIM_WINDOW != 0) return s->at;
    u8 to = least_loaded(s);
    return 4u * (load[to] + 1u) + 1u < 4u * load[s->at] ? to : s->at;
}

// Nu: under pressure (a queue of 2) evict at once to the least loaded node.
static u8 nu(const struct state *s) {
    const u8 *load = s->t->load[s->op / SIM_WINDOW];
    return s->t->loads && load[s->at] >= 2 ? least_loaded(s) : s->at;
}

// ElasticOS: jump to a node when 32 faults went there since the last jump.
static u8 elastic(struct state *s, u8 node) {
    if (node == s->at || ++s->count[node] < 32) return s->at;
    memset(s->count, 0, sizeof s->count);
    return node;
}

// Shares of the last 64 uses or so; leave when another has a tenth more.
static u8 ewma(struct state *s, u8 node) {
    u8 best = s->at;
    for (u8 i = 0; i < s->t->n; i++) {
        s->share[i] -= s->share[i] / 64;
        if (i == node) s->share[i] += 1024;
        if (s->share[i] > s->share[best]) best = i;
    }
    return s->share[best] > s->share[s->at] + 6554 ? best : s->at;
}

// Westbrook: follow a remote use with chance 1 / 2D.
static u8 coin(struct state *s, u8 node) {
    return node != s->at && sim_below(&s->rng, 2 * SIM_MOVE) == 0 ? node : s->at;
}

// Black and Sleator: counters that sum to 2D; who has them all has the process.
static u8 counters(struct state *s, u8 node) {
    if (s->total == 0) s->count[s->at] = s->total = 2 * SIM_MOVE;
    if (s->count[node] == 2 * SIM_MOVE) return node;
    u8 from = s->at;
    if (from == node || s->count[from] == 0)
        for (u8 i = 0; i < s->t->n; i++)
            if (i != node && (from == node || s->count[i] > s->count[from])) from = i;
    s->count[from]--;
    return ++s->count[node] == 2 * SIM_MOVE ? node : s->at;
}

static u8 place(struct state *s, u8 node, bool advised) {
    struct place_world world = {.members = (1ull << s->t->n) - 1};
    struct place_cost cost[SIM_NODES_MAX];
    u64 ties;
    s->place.advice = PLACE_NONE;
    if (advised && node != SIM_NO_NODE) s->place.advice = ewma(s, node);
    if (node != SIM_NO_NODE) place_access(&s->place, world.members, node, 1);
    if (s->t->hot[s->op] != SIM_NO_NODE) {
        cost[0] = (struct place_cost){s->t->hot[s->op], 1};
        place_load(&s->place, world.members, cost, 1);
    }
    if (s->t->loads) {
        for (u8 i = 0; i < s->t->n; i++)
            cost[i] = (struct place_cost){i, s->t->load[s->op / SIM_WINDOW][i]};
        place_load(&s->place, world.members, cost, s->t->n);
    }
    if (place_decide(&s->place, &world, &ties, NULL) != PLACE_MOVE) return s->at;
    place_moved(&s->place, place_draw(ties, NULL));
    return s->place.at;
}

static u8 step(enum policy policy, struct state *s) {
    u8 node = s->t->node[s->op];
    bool used = node != SIM_NO_NODE;
    switch (policy) {
    case MOSIX: return mosix(s);
    case NU: return nu(s);
    case GREEDY: return used ? node : s->at;
    case ELASTIC: return used ? elastic(s, node) : s->at;
    case EWMA: return used ? ewma(s, node) : s->at;
    case COIN: return used ? coin(s, node) : s->at;
    case COUNTERS: return used ? counters(s, node) : s->at;
    case ALPHA_50: case ALPHA_75: case ALPHA_100: case D_HALF: case D_TWICE:
        return place(s, node, false);
    case ADVISED: return place(s, node, true);
    default: return s->first;
    }
}

// Runs `policy` over a trace. fixed: of fixed_costs. A return: back to the node left by the
// move before, fewer than 2D operations after it.
void policy_run(enum policy policy, const struct trace *t, const struct trace *before,
                const u64 *fixed, u64 seed, struct result *out) {
    struct state s = {.t = t, .rng = {seed ^ 0x5eed}};
    u32 moved_op = 0;
    u8 left = SIM_NO_NODE;
    place_init(&s.place, 0, SIM_MOVE);
    if (policy == D_HALF) place_init(&s.place, 0, SIM_MOVE / 2);
    if (policy == D_TWICE) place_init(&s.place, 0, SIM_MOVE * 2);
    if (policy == ALPHA_50) s.place.alpha = 2;
    if (policy == ALPHA_75) s.place.alpha = 3;
    if (policy == BEST_FIXED) s.first = best_fixed(t, fixed);
    if (policy == EXEC_ONLY) s.first = exec_target(t, before);
    if (policy == RANDOM) s.first = (u8)sim_below(&s.rng, t->n);
    if (policy == LEAST_LOADED) s.first = least_loaded(&s);
    *out = (struct result){0, 0, 0};
    if (policy < MOSIX || (policy <= NU && !t->loads)) {   // stays where it begins
        *out = (struct result){fixed[s.first] + (s.first ? SIM_MOVE : 0), s.first != 0, 0};
        return;
    }
    for (s.op = 0; s.op < t->ops; s.op++) {
        out->cost += cost_at(t, s.op, s.at);
        u8 to = step(policy, &s);
        if (to == s.at) continue;
        out->cost += SIM_MOVE;
        out->moves++;
        if (to == left && s.op - moved_op < 2 * SIM_MOVE) out->returns++;
        moved_op = s.op;
        left = s.at;
        s.at = to;
    }
}
