// The capped work-function rule: for each process the least that any schedule could have
// paid so far and end at node j, for every j at once; a move when staying has come to
// cost as much more as the move. Called by the kernel's housekeeping under the process's
// lock and by tests/place. Values are kept less their minimum, so that they lie in 0..D
// and never overflow. Spec: Borodin, Linial, Saks (JACM 1992) for the rule; Black and
// Sleator (CMU-CS-89-201) for the bound on accesses. docs/reference/placement.md.
#include "base/assert.h"
#include "sched/place.h"

static u64 least(u64 a, u64 b) { return a < b ? a : b; }

static u64 price_times(u64 price, u64 count) {
    u64 product;
    if (__builtin_mul_overflow(price, count, &product)) return PLACE_PRICE_MAX;
    return least(product, PLACE_PRICE_MAX);
}

static u64 price_plus(u64 a, u64 b) { return least(a + b, PLACE_PRICE_MAX); }

// What `use` costs a process that is elsewhere, in nanoseconds.
u64 place_price_use(const struct place_prices *prices, const struct place_use *use) {
    u64 trips = price_times(prices->round_trip_ns, use->round_trips);
    u64 messages = price_times(prices->message_ns, use->messages);
    u64 bytes = price_plus(price_times(prices->kib_ns, use->bytes / 1024),
                           price_times(prices->kib_ns, use->bytes % 1024) / 1024);
    return price_plus(price_plus(trips, messages), bytes);
}

// What cpu_ns of work costs on a node where queue_len others want the same CPU.
u64 place_price_load(u32 queue_len, u64 cpu_ns) {
    return price_times(cpu_ns, (u64)queue_len + 1);
}

// D: what moving costs now. pages_likely: pages it will need again, of all it has. Pages
// are pulled after the move, so this is an upper bound, and errs to staying.
u64 place_price_move(const struct place_prices *prices, u64 pages_likely) {
    return price_plus(prices->move_fixed_ns, price_times(prices->page_ns, pages_likely));
}

static bool in_set(u64 set, u8 node) { return node < NODES_MAX && (set >> node & 1) != 0; }

static u32 entry_of(const struct place *p, u8 node) {
    u32 i = 0;
    while (i < p->touched && p->node[i] != node) i++;
    return i;
}

static void entry_drop(struct place *p, u32 i) {
    p->touched--;
    p->listed &= ~(1ull << p->node[i]);
    p->node[i] = p->node[p->touched];
    p->w[i] = p->w[p->touched];
}

// The entry of `node`, a new one if it has none. With all places taken the least likely
// target goes; it counts as one of the rest from then on.
static u32 entry_make(struct place *p, u8 node) {
    u32 i = entry_of(p, node);
    if (i < p->touched) return i;
    if (p->touched == PLACE_TOUCHED_MAX) {
        u32 worst = PLACE_TOUCHED_MAX;
        for (u32 k = 0; k < p->touched; k++)
            if (p->node[k] != p->at && (worst == PLACE_TOUCHED_MAX || p->w[k] > p->w[worst]))
                worst = k;
        entry_drop(p, worst);
    }
    i = p->touched++;
    p->listed |= 1ull << node;
    p->node[i] = node;
    p->w[i] = p->rest;
    return i;
}

// Brings the values back to 0..D: takes off the minimum over `eligible`, caps at D, drops
// entries that say no more than the rest does.
static void settle(struct place *p, u64 eligible) {
    u64 min = UINT64_MAX, d = p->price_move_ns;
    for (u32 i = p->touched; (p->listed & ~eligible) != 0 && i-- > 0;)
        if (!in_set(eligible, p->node[i])) entry_drop(p, i);
    for (u32 i = 0; i < p->touched; i++) min = least(min, p->w[i]);
    if ((eligible & ~p->listed) != 0) min = least(min, p->rest);
    if (min == UINT64_MAX) return;
    p->visits += p->touched;
    p->rest = least(p->rest < min ? 0 : p->rest - min, d);
    for (u32 i = p->touched; i-- > 0;) {
        p->w[i] = least(p->w[i] - min, d);
        if (p->w[i] == p->rest) entry_drop(p, i);
    }
}

// A process that begins on node `at`, with D = price_move_ns (at least 1).
void place_init(struct place *p, u8 at, u64 price_move_ns) {
    ASSERT(at < NODES_MAX);
    *p = (struct place){.allowed = ~0ull, .at = at, .last = at, .advice = PLACE_NONE,
                        .alpha = PLACE_ALPHA_ONE};
    p->price_move_ns = least(price_move_ns ? price_move_ns : 1, PLACE_PRICE_MAX);
    p->rest = p->price_move_ns;
    (void)entry_make(p, at);
    p->w[0] = 0;
}

// D has changed: values above the new one are capped, the rest stand.
void place_set_price(struct place *p, u64 price_move_ns) {
    p->price_move_ns = least(price_move_ns ? price_move_ns : 1, PLACE_PRICE_MAX);
    settle(p, ~0ull);
}

// A node left the cluster: what is known of it is forgotten.
void place_node_gone(struct place *p, u8 node) {
    u32 i = entry_of(p, node);
    if (i < p->touched) entry_drop(p, i);
    if (p->last == node) p->last = PLACE_NONE;
    if (p->advice == node) p->advice = PLACE_NONE;
}

// The process used `node` at a price of cost_ns from anywhere else. members: bit n: node
// n is up. A node that may not hold the process favours no other, so changes nothing.
void place_access(struct place *p, u64 members, u8 node, u64 cost_ns) {
    u64 eligible = members & p->allowed;
    u64 cost = least(cost_ns, PLACE_PRICE_MAX);
    p->updates++;
    if (!in_set(eligible, node)) return;
    // The usual case, in constant time: it uses what it has used for long.
    if (p->touched == 1 && p->node[0] == node && p->rest == p->price_move_ns && p->w[0] == 0) {
        p->last = node;
        return;
    }
    u32 here = entry_make(p, node);
    for (u32 i = 0; i < p->touched; i++)
        if (i != here) p->w[i] += cost;
    p->rest += cost;
    p->last = node;
    settle(p, eligible);
}

// Running cost or would have cost cost[i].cost_ns on cost[i].node (n entries, each node
// once) and nothing on nodes not listed: list every node whose load is known.
void place_load(struct place *p, u64 members, const struct place_cost *cost, u32 n) {
    u64 eligible = members & p->allowed;
    p->updates++;
    for (u32 i = 0; i < n; i++) {
        if (!in_set(eligible, cost[i].node)) continue;
        u32 k = entry_make(p, cost[i].node);
        p->w[k] += least(cost[i].cost_ns, PLACE_PRICE_MAX);
    }
    settle(p, eligible);
}

// How much more the best schedule that ends on `node` has paid than the best of all.
u64 place_value(const struct place *p, u8 node) {
    u32 i = entry_of(p, node);
    return i < p->touched ? p->w[i] : p->rest;
}

// The nodes of `eligible` with the smallest value.
static u64 best_nodes(const struct place *p, u64 eligible) {
    u64 ties = 0;
    for (u32 i = 0; i < p->touched; i++)
        if (p->w[i] == 0) ties |= 1ull << p->node[i];
    if (p->rest == 0) ties |= eligible & ~p->listed;
    return ties & eligible;
}

static enum place_reason reason_to_stay(const struct place *p, const struct place_world *world,
                                        u64 ties) {
    if (p->pinned) return PLACE_R_PINNED;
    if (p->moving) return PLACE_R_MOVING;
    if (world->now_ns < p->not_before_ns) return PLACE_R_BACKOFF;
    if (ties == 0 || in_set(ties, p->at)) return PLACE_R_NO_NODE;
    return PLACE_R_BELOW;
}

static void explain(const struct place *p, struct place_why *why) {
    why->price_move_ns = p->price_move_ns;
    why->rest = p->rest;
    why->touched = p->touched;
    for (u32 i = 0; i < p->touched; i++) {
        why->node[i] = p->node[i];
        why->w[i] = p->w[i];
    }
    why->at = p->at;
    why->last = p->last;
}

// The regret that pays for a move, rounded up.
static u64 price_of_regret(const struct place *p, u64 alpha) {
    return (p->price_move_ns * alpha + PLACE_ALPHA_ONE - 1) / PLACE_ALPHA_ONE;
}

// Stay or move. *ties: the nodes to move to, all equally good: the last requester alone
// where it is one of them. why: filled in either case, unless NULL. The values change only
// with place_moved, so a move that fails is offered again.
enum place_verdict place_decide(const struct place *p, const struct place_world *world, u64 *ties,
                                struct place_why *why) {
    u64 best = 0, regret = place_value(p, p->at);
    if (regret >= price_of_regret(p, least(p->alpha, PLACE_ALPHA_ADVISED)))
        best = best_nodes(p, world->members & p->allowed);
    bool advised = in_set(best, p->advice);
    u64 alpha = advised ? least(p->alpha, PLACE_ALPHA_ADVISED) : p->alpha;
    u64 threshold = price_of_regret(p, alpha);
    enum place_reason reason = p->pinned ? PLACE_R_PINNED : PLACE_R_BELOW;
    *ties = 0;
    if (regret >= threshold) reason = reason_to_stay(p, world, best);
    if (regret >= threshold && reason == PLACE_R_BELOW) {
        *ties = best;
        if (in_set(best, p->last)) *ties = 1ull << p->last;
        else if (advised) *ties = 1ull << p->advice;
        reason = advised ? PLACE_R_ADVISED : PLACE_R_PAID;
    }
    enum place_verdict verdict = *ties != 0 ? PLACE_MOVE : PLACE_STAY;
    if (why) {
        explain(p, why);
        why->time_ns = world->now_ns;
        why->regret_ns = regret;
        why->threshold_ns = threshold;
        why->reason = (u8)reason;
        why->verdict = (u8)verdict;
        why->target = verdict == PLACE_MOVE ? place_draw(*ties, world->rng) : PLACE_NONE;
    }
    return verdict;
}

// One node of `set` (not empty), each with the same chance; without rng the lowest.
u8 place_draw(u64 set, const struct rng *rng) {
    u32 count = 0;
    for (u64 left = set; left != 0; left &= left - 1) count++;
    u32 skip = rng && count > 1 ? rng_u32(rng) % count : 0;
    for (; skip > 0; skip--) set &= set - 1;
    return (u8)__builtin_ctzll(set);
}

// The process runs on `to` now, by this rule or by another's hand.
void place_moved(struct place *p, u8 to) {
    p->at = to;
    p->moving = false;
}

// A move was refused or failed: not again for once to twice world->backoff_ns.
void place_not_moved(struct place *p, const struct place_world *world) {
    u64 jitter = world->backoff_ns ? rng_u64(world->rng) % world->backoff_ns : 0;
    p->moving = false;
    p->not_before_ns = world->now_ns + world->backoff_ns + jitter;
}
