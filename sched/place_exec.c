// Placement at exec, when there is no memory to copy: the table of what each executable
// used when it ran last, the choice by expected cost, and the unit of capacity that is
// taken at the target before any move. Called by the kernel's exec and housekeeping under
// its `proc` lock, and by tests. Pure, like place.c.
#include "base/string.h"
#include "sched/place.h"

static bool in_set(u64 set, u8 node) { return node < NODES_MAX && (set >> node & 1) != 0; }

static u64 plus(u64 a, u64 b) {
    u64 sum = a + b;
    return sum > PLACE_PRICE_MAX ? PLACE_PRICE_MAX : sum;
}

static struct place_profile *set_of(struct place_profiles *table, u64 key) {
    u64 mixed = (key ^ key >> 32) * 0x9e3779b97f4a7c15ull;
    return table->set[mixed >> 58];
}
_Static_assert(PLACE_PROFILE_SETS == 64, "the top six bits of the mixed key choose the set");

// The last profile of the executable `key` (not 0), or NULL.
const struct place_profile *place_profile_find(struct place_profiles *table, u64 key) {
    struct place_profile *set = set_of(table, key);
    for (u32 i = 0; i < PLACE_PROFILE_WAYS && key != 0; i++) {
        if (set[i].key != key) continue;
        set[i].stamp = ++table->stamp;
        return &set[i];
    }
    return NULL;
}

// The place of `key` in the table: its own, or that of the profile longest not used.
static struct place_profile *profile_claim(struct place_profiles *table, u64 key) {
    struct place_profile *set = set_of(table, key), *oldest = set;
    for (u32 i = 0; i < PLACE_PROFILE_WAYS; i++) {
        if (set[i].key == key) return &set[i];
        if (set[i].stamp < oldest->stamp) oldest = &set[i];
    }
    if (oldest->key != 0) table->replaced++;
    *oldest = (struct place_profile){.key = key};
    return oldest;
}

static void profile_add(struct place_profile *profile, struct place_cost use) {
    u32 cheapest = 0;
    for (u32 i = 0; i < profile->count; i++) {
        if (profile->node[i] == use.node) {
            profile->cost_ns[i] = plus(profile->cost_ns[i], use.cost_ns / 2);
            return;
        }
        if (profile->cost_ns[i] < profile->cost_ns[cheapest]) cheapest = i;
    }
    if (profile->count < PLACE_PROFILE_NODES) cheapest = profile->count++;
    else if (profile->cost_ns[cheapest] >= use.cost_ns) return;
    profile->node[cheapest] = use.node;
    profile->cost_ns[cheapest] = use.cost_ns;
}

// A run of the executable `key` (0: not recorded) ended: use[i].cost_ns is the price, from
// elsewhere, of what it used of use[i].node (n entries, each node once); cpu_ns its CPU
// time. Earlier runs count for half, so that one odd run does not rule the next.
void place_profile_learn(struct place_profiles *table, u64 key, const struct place_cost *use,
                         u32 n, u64 cpu_ns) {
    if (key == 0) return;
    struct place_profile *profile = profile_claim(table, key);
    bool known = profile->stamp != 0;
    for (u32 i = 0; i < profile->count; i++) profile->cost_ns[i] /= 2;
    for (u32 i = 0; i < n; i++)
        if (use[i].node < NODES_MAX) profile_add(profile, use[i]);
    profile->cpu_ns = known ? profile->cpu_ns / 2 + cpu_ns / 2 : cpu_ns;
    profile->stamp = ++table->stamp;
    table->learnt++;
}

// What running all of `profile` on `node` is expected to cost.
static u64 expected(const struct place_profile *profile, const struct place_exec *e, u8 node) {
    u64 sum = 0;
    u32 queue_len = 0;
    for (u32 i = 0; i < profile->count; i++)
        if (profile->node[i] != node) sum = plus(sum, profile->cost_ns[i]);
    for (u32 i = 0; i < e->n_loads; i++)
        if (e->load[i].node == node) queue_len = e->load[i].queue_len;
    return plus(sum, place_price_load(queue_len, profile->cpu_ns));
}

struct outlook {
    u64 here, best, worst;
    u64 best_nodes;
};

static struct outlook look(const struct place_profile *profile, const struct place_exec *e,
                           u64 eligible, struct place_why *why) {
    struct outlook o = {expected(profile, e, e->at), UINT64_MAX, 0, 0};
    for (u64 left = eligible; left != 0; left &= left - 1) {
        u8 node = (u8)__builtin_ctzll(left);
        u64 cost = expected(profile, e, node);
        if (cost < o.best) {
            o.best = cost;
            o.best_nodes = 0;
        }
        if (cost == o.best) o.best_nodes |= 1ull << node;
        if (cost > o.worst) o.worst = cost;
        if (why->touched < PLACE_TOUCHED_MAX) {
            why->node[why->touched] = node;
            why->w[why->touched++] = cost;
        }
    }
    return o;
}

static enum place_verdict answer(struct place_why *why, enum place_verdict verdict,
                                 enum place_reason reason) {
    why->verdict = (u8)verdict;
    why->reason = (u8)reason;
    return verdict;
}

// Where an exec on e->at should run. profile: of the executable, or NULL when it never
// ran. STAY; MOVE: to one of *ties, all equally good; QUEUE: no clear home, any kernel
// may take it from the shared queue. why->w holds each node's expected cost.
enum place_verdict place_exec(const struct place_profile *profile, const struct place_exec *e,
                              const struct place_world *world, u64 *ties, struct place_why *why) {
    u64 eligible = world->members & e->allowed;
    *ties = 0;
    *why = (struct place_why){.time_ns = world->now_ns, .price_move_ns = e->exec_move_ns,
                              .threshold_ns = e->exec_move_ns, .at = e->at,
                              .target = PLACE_NONE, .last = PLACE_NONE};
    if ((eligible & ~(1ull << e->at)) == 0) return answer(why, PLACE_STAY, PLACE_R_NO_NODE);
    if (!profile) return answer(why, PLACE_QUEUE, PLACE_R_EXEC_UNKNOWN);
    struct outlook o = look(profile, e, eligible, why);
    why->regret_ns = o.here > o.best ? o.here - o.best : 0;
    if (o.worst <= e->exec_move_ns) return answer(why, PLACE_STAY, PLACE_R_EXEC_SMALL);
    if (o.worst - o.best <= e->exec_move_ns)
        return answer(why, PLACE_QUEUE, PLACE_R_EXEC_UNCLEAR);
    if (in_set(eligible, e->at) && why->regret_ns <= e->exec_move_ns)
        return answer(why, PLACE_STAY, PLACE_R_EXEC_HERE);
    *ties = o.best_nodes;
    why->target = place_draw(o.best_nodes, world->rng);
    return answer(why, PLACE_MOVE, PLACE_R_EXEC_HOME);
}

// A node's capacity word: room for `capacity` processes, `used` of it taken.
u64 place_capacity_word(u32 capacity, u32 used) {
    return FIELD_PREP(PLACE_CAPACITY_MAX, capacity) | FIELD_PREP(PLACE_CAPACITY_USED, used);
}

// How many CPU-bound processes a node should take: its share of all that are known, rounded
// up, at least 1. load: one entry a node, its own included; queue_len: runnable there.
u32 place_capacity_fair(const struct place_load *load, u32 n) {
    u64 sum = 0;
    for (u32 i = 0; i < n; i++) sum += load[i].queue_len;
    return sum == 0 || n == 0 ? 1 : (u32)((sum + n - 1) / n);
}

// The addend by which a node gives its own word (`word`: as read) another capacity, and
// leaves the units alone, whatever peers add meanwhile.
u64 place_capacity_set(u64 word, u32 capacity) {
    return ((u64)capacity - FIELD_GET(PLACE_CAPACITY_MAX, word)) << 32;
}

static enum place_reserve_next reserve_next(struct place_reserve *r) {
    r->undo = false;
    if (r->next == r->count) {
        r->node = PLACE_NONE;
        return PLACE_RESERVE_FAILED;
    }
    r->node = r->sample[r->next++];
    r->addend = 1;
    return PLACE_RESERVE_ADD;
}

// Starts to take a unit at one of `ties`: at most PLACE_SAMPLES_MAX of them, drawn by rng,
// the last requester first where it is one. p: the process, only read; NULL at exec.
enum place_reserve_next place_reserve_begin(struct place_reserve *r, const struct place *p,
                                            u64 ties, const struct rng *rng) {
    *r = (struct place_reserve){.node = PLACE_NONE};
    if (p && in_set(ties, p->last)) {
        r->sample[r->count++] = p->last;
        ties &= ~(1ull << p->last);
    }
    while (ties != 0 && r->count < PLACE_SAMPLES_MAX) {
        u8 node = place_draw(ties, rng);
        r->sample[r->count++] = node;
        ties &= ~(1ull << node);
    }
    return reserve_next(r);
}

// The add completed: status S_OK and the word found, or the target's death. A full target
// gets its unit back first; a dead one needs none.
enum place_reserve_next place_reserve_step(struct place_reserve *r, status_t status, u64 found) {
    if (status != S_OK || r->undo) return reserve_next(r);
    if (FIELD_GET(PLACE_CAPACITY_USED, found) < FIELD_GET(PLACE_CAPACITY_MAX, found))
        return PLACE_RESERVE_GOT;
    r->undo = true;
    r->addend = ~0ull;
    return PLACE_RESERVE_ADD;
}

// Units of this node's own word that no process stands behind: `present` are here or known
// to be on their way. After a peer died, what is still lost when every move that was under
// way must have ended is given back by an add of minus that number.
u64 place_capacity_lost(u64 word, u32 present) {
    u64 used = FIELD_GET(PLACE_CAPACITY_USED, word);
    return used > present ? used - present : 0;
}
