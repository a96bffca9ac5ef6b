// The simulator of placement: traces from seeds, policies that place one process, the
// offline optimum, a table. See main in sim.c and docs/reference/placement.md.
#pragma once

#include "sched/place.h"

#define SIM_NODES_MAX 16
#define SIM_OPS_MAX 40000
#define SIM_WINDOW 64          // operations for which the loads stand still
#define SIM_MOVE 64            // D: the price of a move, in remote operations
#define SIM_NO_NODE 0xff

// One process's life. Each operation may use one node (price 1 from elsewhere), may find
// one node hot (price 1 there), and waits for the CPU as long as the load says.
struct trace {
    u32 n, ops;
    bool loads;
    u8 node[SIM_OPS_MAX];
    u8 hot[SIM_OPS_MAX];
    u8 load[SIM_OPS_MAX / SIM_WINDOW + 1][SIM_NODES_MAX];
};

enum family {
    PHASES, BURSTS, ZIPF, PIPE, MAKE, SQLITE, SCAN, DIURNAL, BUSY, CRUEL, CRUEL_BACK, CRUEL_LOAD,
    FAMILIES,
};
struct params {
    enum family family;
    u32 n;
    u32 length;                // mean operations of a phase, or of a burst
    u32 share;                 // of 100 that go to the phase's node
};
extern const char *const family_name[FAMILIES];

// A generator of its own, so that a seed means the same trace everywhere.
struct sim_rng { u64 state; };
u64 sim_random(struct sim_rng *r);
u32 sim_below(struct sim_rng *r, u32 limit);
void sim_rng_fill(void *ctx, void *to, size_t len);

// `layout` seeds what stays the same from run to run, `run` this run.
void trace_make(struct trace *t, const struct params *p, u64 layout, u64 run);

struct result { u64 cost, moves, returns; };

enum policy {
    NEVER, BEST_FIXED, EXEC_ONLY, RANDOM, LEAST_LOADED, MOSIX, NU, GREEDY, ELASTIC, EWMA, COIN,
    COUNTERS, ALPHA_50, ALPHA_75, ALPHA_100, ADVISED, D_HALF, D_TWICE, POLICIES,
};
extern const char *const policy_name[POLICIES];
bool policy_is_baseline(enum policy policy);   // online, and not the rule itself

// before: an earlier run of the same program, for who learns from it.
void policy_run(enum policy policy, const struct trace *t, const struct trace *before,
                const u64 *fixed, u64 seed, struct result *out);
void fixed_costs(const struct trace *t, u64 *cost);
u64 optimum(const struct trace *t);
u64 optimum_by_search(const struct trace *t);   // all schedules; tiny traces only
u64 cost_at(const struct trace *t, u32 op, u8 at);
