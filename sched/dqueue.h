// The distributed run queue: one shard a node, a bag of 64 slots that any node puts
// into and takes from by compare-and-swap alone. Here are the shard's layout, the
// inbox's, and the machines of put, take, mark-hungry and wake. Each is stepped:
// dqueue_step says POST (the host posts op->chain and steps again when it is back)
// or DONE. Base only: it links into kernel, tests, stress and simulator alike.
#pragma once

#include "base/chain.h"
#include "base/owner.h"
#include "base/rng.h"
#include "base/shared64.h"

#define DQ_SLOTS 64
#define DQ_TRIES_MAX 128        // CASes that one operation may lose before it gives up
#define DQ_STAMP_SPREAD 63      // newest stamp minus oldest in one window never exceeds it
#define DQ_INBOX_ENTRIES 64     // directed entries a sender may have unread; see dqueue.c

// Registered, READ and atomics for every peer.
struct dq_shard {
    shared64_t slot[DQ_SLOTS];
    shared64_t hungry;          // bit n: node n is idle and wants to be rung
    shared64_t capacity;        // units of room for processes: sched/place.h
    shared64_t spare[6];        // zero; keeps the shard at whole cache lines
};
_Static_assert(sizeof(struct dq_shard) == 576, "nine cache lines");

// One per sender, registered for WRITE by that sender alone: directed entries.
struct dq_inbox { u64 entry[DQ_INBOX_ENTRIES]; };

// The immediate of a WRITE_WITH_IMM into an inbox.
#define DQ_IMM_KIND 0xf0000000u
#define DQ_IMM_SHARD 0x0000ff00u    // LOOK: the node whose shard has work
#define DQ_IMM_ENTRY 0x000000ffu    // TAKE: which entry of the inbox was written
enum dq_imm_kind { DQ_IMM_LOOK = 1, DQ_IMM_TAKE = 2 };

struct dq_counters {
    u64 puts_local, puts_remote, takes_local, takes_remote;
    u64 full, empty, stale, lost_race, rings, rings_failed, marks, tries_exceeded;
};

struct dqueue {
    u8 self;
    u64 members;                 // bit n: node n is up, its shard may be used
    struct dq_shard *shard;      // this node's
    u8 *owner_base;              // owner word of place i: owner_base + i * owner_stride
    u32 owner_stride;
    u32 desc_count;
    u32 desc_bytes;              // how much of a descriptor a take READs
    const struct word_ops *words;
    const struct rng *rng;
    u32 inbox_next[NODES_MAX];   // next entry of ours in node n's inbox
    struct dq_counters counters;
};

enum dq_kind { DQ_PUT, DQ_TAKE, DQ_MARK, DQ_WAKE, DQ_DIRECT };
enum dq_next { DQ_POST, DQ_DONE };

// One operation under way. `window` and `chain` are written by the card: the struct
// lies in registered memory and does not move until DONE.
struct dq_op {
    u64 window[DQ_SLOTS];
    u64 hungry;                  // READ of the hungry word lands here
    struct chain chain;
    enum dq_kind kind;
    u8 state;
    u8 shard_node;               // whose shard
    u8 pick;                     // slot being tried
    u8 ring;                     // node being rung
    u32 tries;
    u64 tried;                   // slots of this window that were tried
    u64 slot;                    // PUT, DIRECT: the entry; TAKE: what was taken
    void *desc;                  // TAKE: where the descriptor goes (remote home)
    bool no_wake;                // PUT: an idle CPU here will look by itself
    bool wake_self;              // out: the node rung is this one
    status_t status;             // out
};

void dqueue_init(struct dqueue *dq);   // fill the struct first; empties the shard
shared64_t *dqueue_owner(const struct dqueue *dq, u32 index);
// Runs a chain addressed to this node by the CPU; only where the words are coherent.
void dqueue_run_local(struct dqueue *dq, struct chain *c);

// Start one of the operations; then step until DONE. See dqueue.c for results.
void dqueue_put(struct dqueue *dq, struct dq_op *op, u8 shard_node, u64 slot);
void dqueue_take(struct dqueue *dq, struct dq_op *op, u8 shard_node, void *desc);
void dqueue_mark(struct dqueue *dq, struct dq_op *op, u8 shard_node);
void dqueue_wake(struct dqueue *dq, struct dq_op *op, u8 shard_node);
void dqueue_direct(struct dqueue *dq, struct dq_op *op, u8 node, u64 slot);
enum dq_next dqueue_step(struct dqueue *dq, struct dq_op *op);

// Entries in this node's own shard; and whether one of them is `slot` (stamp aside).
u32 dqueue_depth(const struct dqueue *dq);
bool dqueue_has(const struct dqueue *dq, u64 slot);
