// The trace families of the placement simulator: what one process asks of which node, from
// a seed. The cruel ones run sched/place.c beside them and ask for what hurts it most.
#include <string.h>

#include "tests/place/sim.h"

const char *const family_name[FAMILIES] = {
    "phases", "bursts", "zipf", "pipe", "make", "sqlite", "scan", "diurnal", "busy", "cruel",
    "cruel-back", "cruel-load",
};

// SplitMix64.
u64 sim_random(struct sim_rng *r) {
    u64 z = r->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

u32 sim_below(struct sim_rng *r, u32 limit) {
    return (u32)((sim_random(r) >> 32) * limit >> 32);
}

void sim_rng_fill(void *ctx, void *to, size_t len) {
    for (size_t i = 0; i < len; i++) ((u8 *)to)[i] = (u8)sim_random(ctx);
}

static u8 other(struct sim_rng *r, u32 n, u8 than) {
    u8 node = (u8)sim_below(r, n - 1);
    return node >= than ? (u8)(node + 1) : node;
}

// Phases of mean length p->length; in each, p->share of 100 go to its node.
static void phases(struct trace *t, const struct params *p, struct sim_rng *r) {
    u8 home = (u8)sim_below(r, p->n);
    for (u32 i = 0; i < t->ops; i++) {
        if (sim_below(r, p->length) == 0) home = other(r, p->n, home);
        t->node[i] = sim_below(r, 100) < p->share ? home : other(r, p->n, home);
    }
}

// Home for `length` operations, then as long on some other node, and back.
static void bursts(struct trace *t, const struct params *p, struct sim_rng *r, u8 home) {
    u8 away = home;
    for (u32 i = 0; i < t->ops; i++) {
        if (i % (2 * p->length) == 0) away = other(r, p->n, home);
        t->node[i] = i / p->length % 2 == 0 ? home : away;
    }
}

// The k-th favourite with chance 1/k; every `length` operations (0: never) the favourites
// move on by one node.
static void zipf(struct trace *t, const struct params *p, struct sim_rng *r, u32 first) {
    u32 total = 0, weight[SIM_NODES_MAX];
    for (u32 k = 0; k < p->n; k++) total += weight[k] = 720720 / (k + 1);
    for (u32 i = 0; i < t->ops; i++) {
        u32 x = sim_below(r, total), k = 0;
        while (x >= weight[k]) x -= weight[k++];
        u32 drift = p->length ? i / p->length : 0;
        t->node[i] = (u8)((first + k + drift) % p->n);
    }
}

// Copies from A to B in chunks of 16; another pair after `length` operations on average.
static void pipeline(struct trace *t, const struct params *p, struct sim_rng *r) {
    u8 from = (u8)sim_below(r, p->n), to = other(r, p->n, from);
    for (u32 i = 0; i < t->ops; i++) {
        if (sim_below(r, p->length) == 0) {
            from = (u8)sim_below(r, p->n);
            to = other(r, p->n, from);
        }
        t->node[i] = i / 16 % 2 == 0 ? from : to;
    }
}

// Compilers: sources on one drive, headers on another, objects on a third; a job reads
// and writes 8 to 40 operations of each.
static void make_jobs(struct trace *t, const struct params *p, struct sim_rng *r, u32 first) {
    u32 i = 0;
    while (i < t->ops)
        for (u32 part = 0; part < 3; part++) {
            u32 count = 8 + sim_below(r, 33);
            for (u32 k = 0; k < count && i < t->ops; k++)
                t->node[i++] = (u8)((first + part) % p->n);
        }
}

// Transactions: 12 operations on the database's drive, 4 on the log's; another database
// after `length` operations on average.
static void sqlite(struct trace *t, const struct params *p, struct sim_rng *r) {
    u8 db = (u8)sim_below(r, p->n), log = other(r, p->n, db);
    for (u32 i = 0; i < t->ops; i++) {
        if (sim_below(r, p->length) == 0) db = other(r, p->n, log);
        t->node[i] = i % 16 < 12 ? db : log;
    }
}

static void scan(struct trace *t, const struct params *p, struct sim_rng *r) {
    u32 first = sim_below(r, p->n);
    for (u32 i = 0; i < t->ops; i++) t->node[i] = (u8)((first + i / p->length) % p->n);
}

// Loads that wander over the nodes like the day over the earth: a queue of up to 4.
static void diurnal_loads(struct trace *t, const struct params *p) {
    u32 day = 16 * p->length / SIM_WINDOW;
    for (u32 w = 0; w <= t->ops / SIM_WINDOW; w++)
        for (u32 i = 0; i < p->n; i++) {
            u32 hour = (w + day * i / p->n) % day;
            u32 up = hour < day / 2 ? hour : day - hour;
            t->load[w][i] = (u8)(up * 9 / day);
        }
    t->loads = true;
}

// Queues of 0 to 4 that walk at random.
static void busy_loads(struct trace *t, const struct params *p, struct sim_rng *r) {
    for (u32 w = 0; w <= t->ops / SIM_WINDOW; w++)
        for (u32 i = 0; i < p->n; i++) {
            u32 load = w ? t->load[w - 1][i] : sim_below(r, 5), step = sim_below(r, 8);
            if (step == 0 && load < 4) load++;
            if (step == 1 && load > 0) load--;
            t->load[w][i] = (u8)load;
        }
    t->loads = true;
}

// Asks, each time, for what the rule at alpha = 1 does not have: a random other node, the
// node it has just left, or the CPU of the node where it is.
static void cruel(struct trace *t, const struct params *p, struct sim_rng *r) {
    struct place rule;
    struct place_world world = {.members = (1ull << p->n) - 1};
    u8 left = 1;
    u64 ties;
    place_init(&rule, 0, SIM_MOVE);
    for (u32 i = 0; i < t->ops; i++) {
        if (p->family == CRUEL_LOAD) {
            struct place_cost hot = {t->hot[i] = rule.at, 1};
            place_load(&rule, world.members, &hot, 1);
        } else {
            t->node[i] = p->family == CRUEL_BACK ? left : other(r, p->n, rule.at);
            place_access(&rule, world.members, t->node[i], 1);
        }
        if (place_decide(&rule, &world, &ties, NULL) != PLACE_MOVE) continue;
        left = rule.at;
        place_moved(&rule, place_draw(ties, NULL));
    }
}

void trace_make(struct trace *t, const struct params *p, u64 layout, u64 run) {
    struct sim_rng fixed = {layout * 1000003 + 17}, random = {run * 7919 + layout + 1};
    u32 first = sim_below(&fixed, p->n), long_ops = 8 * p->length;
    t->n = p->n;
    t->ops = long_ops > 8192 ? long_ops : 8192;
    t->loads = false;
    memset(t->node, SIM_NO_NODE, t->ops);
    memset(t->hot, SIM_NO_NODE, t->ops);
    switch (p->family) {
    case PHASES: phases(t, p, &random); break;
    case BURSTS: bursts(t, p, &random, (u8)first); break;
    case ZIPF: zipf(t, p, &random, first); break;
    case PIPE: pipeline(t, p, &random); break;
    case MAKE: make_jobs(t, p, &random, first); break;
    case SQLITE: sqlite(t, p, &random); break;
    case SCAN: scan(t, p, &random); break;
    case DIURNAL:
        zipf(t, &(struct params){.n = p->n}, &random, first);
        diurnal_loads(t, p);
        break;
    case BUSY:
        phases(t, p, &random);
        busy_loads(t, p, &random);
        break;
    default: cruel(t, p, &random); break;
    }
}
