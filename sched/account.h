// What a process used of which node, and what things cost as measured here. One struct
// account a process, in a frame of its descriptor, so that it moves with it; the prices
// are the node's. Pure: events in, uses for sched/place.c out. docs/reference/placement.md.
#pragma once

#include "sched/place.h"

#define ACCOUNT_BLOCK_BYTES 512u             // of a drive
#define ACCOUNT_NODES 16             // nodes with a line of their own
#define ACCOUNT_BATCH 8u             // uses after which the rule is to be told

enum account_kind { ACCOUNT_FILE, ACCOUNT_DRIVE, ACCOUNT_PIPE, ACCOUNT_KINDS };

// All since the last exec. `new_*`: not yet told to the rule.
struct account_node {
    u64 messages, round_trips, bytes;
    u64 drive_blocks, pipe_bytes;    // of those bytes: blocks of 512 bytes; of pipes
    u64 pages;                       // pulled from that node's images of it
    u64 wait_ns, cpu_ns;             // waited for that node; run there
    u64 new_bytes;
    u32 new_messages, new_trips;
    u8 node;
    u8 unused[7];
};
struct account {
    struct account_node node[ACCOUNT_NODES];
    u32 count;
    u32 new_uses;
    u64 since_ns;                    // when the counts began, by the clock of this node
    u64 forgotten;                   // lines that made room for others
};

void account_reset(struct account *a, u64 now_ns);
struct account_node *account_line_of(struct account *a, u8 node);
// The line of `node`. Most use the first alone, on the shortest ways.
static inline struct account_node *account_line(struct account *a, u8 node) {
    return a->count != 0 && a->node[0].node == node ? &a->node[0] : account_line_of(a, node);
}

// The process called a server of `node` and moved `bytes` with the call. True: a batch is full,
// tell the rule now.
static inline bool account_message(struct account *a, u8 node, enum account_kind kind, u64 bytes) {
    struct account_node *n = account_line(a, node);
    n->messages++;
    n->new_messages++;
    n->bytes += bytes;
    n->new_bytes += bytes;
    if (kind == ACCOUNT_DRIVE)
        n->drive_blocks += (bytes + ACCOUNT_BLOCK_BYTES - 1) / ACCOUNT_BLOCK_BYTES;
    else if (kind == ACCOUNT_PIPE) n->pipe_bytes += bytes;
    return ++a->new_uses >= ACCOUNT_BATCH;
}
// One one-sided use of its memory. True: as above.
bool account_one_sided(struct account *a, u8 node, u32 round_trips, u64 bytes);
void account_page(struct account *a, u8 node);
void account_wait(struct account *a, u8 node, u64 wait_ns);
static inline void account_cpu(struct account *a, u8 node, u64 cpu_ns) {
    account_line(a, node)->cpu_ns += cpu_ns;
}
u64 account_cpu_all(const struct account *a);
// The uses since the last take, one a node. Returns how many.
u32 account_take(struct account *a, struct place_use use[ACCOUNT_NODES]);
// What all uses since exec cost from elsewhere, one line a node. Returns how many.
u32 account_costs(const struct account *a, const struct place_prices *prices,
                  struct place_cost cost[ACCOUNT_NODES]);

// --- prices --------------------------------------------------------------------------------

enum price { PRICE_ROUND_TRIP, PRICE_MESSAGE, PRICE_KIB, PRICE_PAGE, PRICE_MOVE, PRICES };

// A moving average; nothing measured: a multiple of the others until then.
struct price_measured { u64 ns; u64 samples; };
struct prices { struct price_measured of[PRICES]; };

#define PRICE_ROUND_TRIP_DEFAULT_NS 100000u  // until the first READ has come back

void prices_sample(struct prices *p, enum price which, u64 ns);
// What a price is now; the same for the struct that the rule is fed with.
u64 prices_now(const struct prices *p, enum price which);
struct place_prices prices_for_place(const struct prices *p);
const char *price_name(enum price which);
