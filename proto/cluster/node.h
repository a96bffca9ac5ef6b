// One member's part in queue and hand-over as a pure object: it owns the operations on
// the queue, the images it keeps and the processes it took, and asks its host for the
// rest through struct cluster_host. kernel/cluster.c and tests/sim implement that table
// and drive the very same code. Locks: the host's one lock around every call; the table's
// functions are called under it and must not call back into the object, except that
// `post` may finish a chain later only, by cluster_node_posted.
#pragma once

#include "base/ring.h"
#include "base/rng.h"
#include "proto/cluster/adopt.h"
#include "proto/cluster/cluster_msg.h"
#include "sched/dqueue.h"

#define NODE_PUTS_MAX 8             // queue operations of offers under way at once
#define NODE_INS_MAX 64             // processes here that lenders hold something of
#define NODE_OUTS_MAX 256           // images, and processes in the queue
#define NODE_SWEEP_NS 100000000ull  // how often QUEUED places are looked at
#define NODE_OFFERS_MAX 50          // directed offers without an answer: E_TIMEDOUT

struct cluster_host {
    // Posts the chain; when all of it is done, or the pair is dead, the host fills
    // results and status and calls cluster_node_posted. Never fails at once: a full
    // queue waits at the host.
    void (*post)(void *ctx, struct chain *c);
    void (*send)(void *ctx, u8 node, const struct cluster_msg *m);
    // How many more queue entries this node may take now; a place made by prepare counts
    // as taken from then on.
    u32 (*room)(void *ctx);
    // A descriptor was read: make a place here and fill *plan. desc stays valid only
    // during the call. Errors: E_NOMEM, E_OPNOTSUPP, E_PROTO, E_HOSTUNREACH (a lender is
    // down): the giver is told.
    status_t (*prepare)(void *ctx, u64 slot, void *desc, struct adopt_plan *plan);
    void (*drop)(void *ctx, u32 index, status_t reason);      // undo prepare
    void (*start)(void *ctx, u32 index);                      // adopted: run it
    void (*run)(void *ctx, u32 index);                        // taken here at home: run it
    void (*thaw)(void *ctx, u32 index, status_t reason);      // the move failed: run it
    void (*given)(void *ctx, u32 index, u8 node);             // it runs there now
    void (*image_free)(void *ctx, u32 index);                 // the word is FREE already
    void (*lost)(void *ctx, u32 index, u8 node);              // it died with node
    void (*kill)(void *ctx, u32 index);                       // a lender died: end it
    void (*no_lenders)(void *ctx, u32 index);                 // it names no other node now
    void (*idle)(void *ctx);                                  // nothing to take: may halt
    void (*log)(void *ctx, const char *what, u64 a, u64 b);
    void *ctx;
};

struct node_counters {
    u64 offers, offers_repeated, adopted, dropped, refused, thawed, given, released, lost,
        bad_msg, stray_msg, no_in, no_out;
};

enum seek_state { SEEK_NONE, SEEK_TAKE, SEEK_MARK };

struct node_seek {
    enum seek_state state;
    bool again;                     // something happened meanwhile: from the start
    u64 rung;                       // shards that a ring came for and nobody has seen to
    bool found;                     // a mark saw entries
    u8 shard;
    u64 left;                       // shards still to visit in this state
    struct dq_op op;
};

struct node_put {
    bool used;
    u32 out;                        // index into outs, or ~0: pass a ring on
    struct dq_op op;
};

struct node_out {
    bool used, offer_wanted, offering;
    u32 offers;
    struct adopt_out m;
};

struct node_in {
    bool used;
    struct adopt_in m;
};

// Messages about an image that this node sends to itself: they wait for the end of the
// entry point, so that no machine is entered while it is being stepped.
#define NODE_SELF_MSGS 1024u         // NODE_INS_MAX machines with up to 16 lenders each

struct node_self_msg {
    enum cluster_msg_type type;
    struct image_id image;
    status_t status;
};

struct cluster_node {
    u8 self;
    u64 incarnation;
    u64 sweep_at_ns;
    struct cluster_host host;
    struct dqueue dq;
    struct node_seek seek;
    bool work_wanted, settling;
    struct ring self_ring;
    struct node_self_msg self_msgs[NODE_SELF_MSGS];
    u64 wake_wanted;                // bit s: pass a ring on for the shard of node s
    struct node_put puts[NODE_PUTS_MAX];
    struct node_in ins[NODE_INS_MAX];
    struct node_out outs[NODE_OUTS_MAX];
    u32 outs_used;
    struct node_counters counters;
    u8 desc[4096] __attribute__((aligned(64)));           // of the seek's take
    u8 in_desc[NODE_INS_MAX][4096] __attribute__((aligned(64)));
};

struct cluster_node_config {
    u8 self;
    u64 incarnation;
    struct dq_shard *shard;
    void *owner_base;               // word of place i: + i * owner_stride
    u32 owner_stride, desc_count, desc_bytes;
    const struct word_ops *words;
    const struct rng *rng;
    struct cluster_host host;
};

void cluster_node_init(struct cluster_node *n, const struct cluster_node_config *config);
// Keys are here both ways / all chains to it came back and its pairs and keys are gone.
void cluster_node_peer_up(struct cluster_node *n, u8 node);
void cluster_node_peer_down(struct cluster_node *n, u8 node);

// Gives the process at `index` (word BUILDING(self) or RUNNING(self), at the edge) to
// `target`, or to whoever takes it (NODE_ANY). Ends by run, thaw or given.
status_t cluster_node_give(struct cluster_node *n, u32 index, u8 target, u32 size_class);
void cluster_node_cancel(struct cluster_node *n, u32 index, status_t reason);
// True: it may be frozen to move (all lenders know us).
bool cluster_node_settled(const struct cluster_node *n, u32 index);
// No entry of the process at `index` names a frame of `lender` any more.
void cluster_node_drained(struct cluster_node *n, u32 index, u8 lender);
// The process at `index` has ended here: lenders are released.
void cluster_node_exited(struct cluster_node *n, u32 index);
// Lenders that still hold something of the process at `index`; how many.
u32 cluster_node_lenders(const struct cluster_node *n, u32 index,
                         struct image_id to[ADOPT_LENDERS_MAX + 1]);

void cluster_node_posted(struct cluster_node *n, struct chain *c);
void cluster_node_rx_msg(struct cluster_node *n, u8 from, const struct cluster_msg *m);
// A WRITE_WITH_IMM came from `from`, whose inbox here is `inbox`.
void cluster_node_rx_imm(struct cluster_node *n, u8 from, u32 imm, const struct dq_inbox *inbox);
void cluster_node_work(struct cluster_node *n);    // there is room: look for work
void cluster_node_tick(struct cluster_node *n, u64 now_ns);
u64 cluster_node_next_ns(const struct cluster_node *n);    // when that has work; ~0: none
