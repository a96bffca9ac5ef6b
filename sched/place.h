// Where a process should run: the capped work-function rule, one `struct place` a process.
// Pure: uses and loads, priced in one currency (nanoseconds), in; stay or move out. The
// kernel keeps the struct beside the process's descriptor, guarded by that process's
// lock; tests/place runs the same source against the offline optimum. The rule, what it
// guarantees and what it cannot: docs/reference/placement.md.
#pragma once

#include "base/owner.h"
#include "base/rng.h"
#include "base/status.h"

#define PLACE_TOUCHED_MAX 16             // nodes with a value of their own
#define PLACE_NONE NODE_ANY
#define PLACE_PRICE_MAX (1ull << 56)     // prices and costs are cut to it
#define PLACE_ALPHA_ONE 4                // alpha is counted in quarters
#define PLACE_ALPHA_ADVISED 2            // where an adviser agrees: still 4-competitive

// What things cost now, measured by the host.
struct place_prices {
    u64 round_trip_ns;       // one one-sided operation and its answer
    u64 message_ns;          // one message to a server, its handling included
    u64 kib_ns;              // 1024 bytes on the wire
    u64 move_fixed_ns;       // a move without its pages
    u64 page_ns;             // one page pulled after a move
    u64 exec_move_ns;        // a move at exec, when there is no memory to copy
};

// What a process used of one node since the last update; sched/account.c counts it.
struct place_use {
    u8 node;
    u32 round_trips;
    u32 messages;
    u64 bytes;
};

struct place_cost {
    u8 node;
    u64 cost_ns;
};

// What a node says of its load. The price of running there for t: (queue + 1) * t.
struct place_load {
    u8 node;
    u32 queue_len;           // runnable processes a CPU, this one not counted
};

struct place {
    u64 price_move_ns;       // D
    u64 w[PLACE_TOUCHED_MAX];// work function of node[i], less the smallest: 0..D
    u64 rest;                // the same of each node not listed
    u64 listed;              // bit n: node n has an entry
    u64 allowed;             // bit n: the process can run on node n (CPU features, pins)
    u64 not_before_ns;       // no move before this time: one was refused or just done
    u64 visits;              // entries looked at, in all: the cost of deciding
    u64 updates;
    u8 node[PLACE_TOUCHED_MAX];
    u8 touched;
    u8 at;                   // where the process is
    u8 last;                 // the last requester: node last used
    u8 alpha;                // in quarters; PLACE_ALPHA_ONE
    u8 advice;               // node that the adviser believes in, or PLACE_NONE
    bool moving;             // one move in flight a process
    bool pinned;
};

enum place_verdict { PLACE_STAY, PLACE_MOVE, PLACE_QUEUE };

enum place_reason {
    PLACE_R_BELOW,           // staying has cost less than a move
    PLACE_R_PAID,            // the regret of staying has paid for the move
    PLACE_R_ADVISED,         // the same, sooner, since the adviser agrees
    PLACE_R_PINNED, PLACE_R_MOVING, PLACE_R_BACKOFF,
    PLACE_R_NO_NODE,         // no other node may run it
    PLACE_R_FULL,            // no sampled target had room
    PLACE_R_EXEC_HOME,       // exec: the last profile names one best node
    PLACE_R_EXEC_HERE,       // exec: this node is the best, or nearly
    PLACE_R_EXEC_SMALL,      // exec: all it will do costs less than a move
    PLACE_R_EXEC_UNCLEAR,    // exec: no node is clearly better: the shared queue
    PLACE_R_EXEC_UNKNOWN,    // exec: never ran before: the shared queue
    PLACE_REASONS,
};

// The figures behind the last decision, for `why PID`.
struct place_why {
    u64 time_ns;
    u64 price_move_ns;
    u64 regret_ns;           // w[at] - min; exec: cost here - cost at the best
    u64 threshold_ns;
    u64 rest;
    u64 w[PLACE_TOUCHED_MAX];
    u8 node[PLACE_TOUCHED_MAX];
    u8 touched;
    u8 verdict;              // enum place_verdict
    u8 reason;               // enum place_reason
    u8 at, target, last;
};

// What the host knows at a decision. `members`: bit n: node n is up.
struct place_world {
    u64 now_ns;
    u64 members;
    u64 backoff_ns;          // after a refusal: once to twice this
    const struct rng *rng;
};

// Prices. All saturate at PLACE_PRICE_MAX.
u64 place_price_use(const struct place_prices *prices, const struct place_use *use);
u64 place_price_load(u32 queue_len, u64 cpu_ns);
u64 place_price_move(const struct place_prices *prices, u64 pages_likely);

void place_init(struct place *p, u8 at, u64 price_move_ns);
void place_set_price(struct place *p, u64 price_move_ns);   // D as re-estimated now
void place_node_gone(struct place *p, u8 node);

// Uses and loads. Charge often: batches of up to c make the guarantee 3 + (c - 1) / D.
void place_access(struct place *p, u64 members, u8 node, u64 cost_ns);
void place_load(struct place *p, u64 members, const struct place_cost *cost, u32 n);

// The decision, and what became of it. Nodes that are equally good: *ties.
enum place_verdict place_decide(const struct place *p, const struct place_world *world, u64 *ties,
                                struct place_why *why);
void place_moved(struct place *p, u8 to);
void place_not_moved(struct place *p, const struct place_world *world);
u8 place_draw(u64 set, const struct rng *rng);
u64 place_value(const struct place *p, u8 node);            // w[node] - min

// `why PID`: text of at most `size` bytes, always ended by 0; returns its length.
u32 place_why_format(const struct place_why *why, char *to, u32 size);

// exec, the cheap moment: what an executable used of which node when it ran last.
#define PLACE_PROFILE_NODES 8
#define PLACE_PROFILE_WAYS 4
#define PLACE_PROFILE_SETS 64

struct place_profile {
    u64 key;                 // hash of the executable's name and node; 0: free
    u64 stamp;               // order of last use
    u64 cpu_ns;
    u64 cost_ns[PLACE_PROFILE_NODES];   // price of what it used of node[i] from elsewhere
    u8 node[PLACE_PROFILE_NODES];
    u8 count;
};
struct place_profiles {
    u64 stamp;
    u64 learnt, replaced;
    struct place_profile set[PLACE_PROFILE_SETS][PLACE_PROFILE_WAYS];
};

void place_profile_learn(struct place_profiles *table, u64 key, const struct place_cost *use,
                         u32 n, u64 cpu_ns);
const struct place_profile *place_profile_find(struct place_profiles *table, u64 key);

// An exec on node `at`. loads: those known; a node not listed counts as idle.
struct place_exec {
    u8 at;
    u64 allowed;
    u64 exec_move_ns;
    const struct place_load *load;
    u32 n_loads;
};
enum place_verdict place_exec(const struct place_profile *profile, const struct place_exec *e,
                              const struct place_world *world, u64 *ties, struct place_why *why);

// A unit of the target's capacity, taken before a move. One registered word a node:
// bits 63..32 how many processes it takes, 31..0 how many it has and expects. Taken by
// fetch-and-add of 1; where that found it full, given back by an add of -1.
#define PLACE_SAMPLES_MAX 3
#define PLACE_CAPACITY_MAX GENMASK(63, 32)
#define PLACE_CAPACITY_USED GENMASK(31, 0)

enum place_reserve_next {
    PLACE_RESERVE_ADD,       // fetch-and-add ->addend to the word of ->node, then _step
    PLACE_RESERVE_GOT,       // a unit of ->node is ours: move there
    PLACE_RESERVE_FAILED,    // no sampled target had room; stay
};
struct place_reserve {
    u8 sample[PLACE_SAMPLES_MAX];
    u8 count, next;
    u8 node;
    bool undo;               // the add under way gives a unit back
    u64 addend;
};
u64 place_capacity_word(u32 capacity, u32 used);
u32 place_capacity_fair(const struct place_load *load, u32 n);      // a node's share of all
u64 place_capacity_set(u64 word, u32 capacity);     // what to add to give it that capacity
enum place_reserve_next place_reserve_begin(struct place_reserve *r, const struct place *p,
                                            u64 ties, const struct rng *rng);
enum place_reserve_next place_reserve_step(struct place_reserve *r, status_t status, u64 found);
u64 place_capacity_lost(u64 word, u32 present);   // units that no process stands behind
