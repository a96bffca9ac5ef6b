// What the cluster_*.c share: one struct peer for each other node. All of it under net_lock.
//
//   cluster.c         boot, the poll, who is up, death of a peer
//   cluster_join.c    REQ, REP, RTU: calling and answering
//   cluster_roster.c  nodes without a line in cluster.conf: their ids
//   cluster_link.c    queue pairs, keys, completions, messages
//   cluster_chain.c   chains of the queue and the hand-overs; page reads; keep-alive
//   cluster_bulk.c    the traffic of remote files
//   cluster_bench.c   memory and addresses of the benchmarks
//   cluster_load.c    the words of placement: capacity and CPUs of each member
//   cluster_status.c  the figures of /nodes/N/status
//   cluster_nodes.c   what kernel/files/nodesfs.c shows
#pragma once

#include "base/ring.h"
#include "drivers/rdma/rdma_cm.h"
#include "kernel/cluster.h"
#include "proto/cluster/member.h"
#include "proto/cluster/pulse.h"

#define LINK_PORT 9564u              // RDMA CM's TCP port space; members alone talk to it
#define LINK_SQ 256u                 // send queue of the control pair
#define LINK_RECVS 128u
#define LINK_MSGS 128u               // messages to one peer that wait or are out
#define LINK_CHAINS 128u             // more than node.c ever has under way
#define LINK_BULK_MSGS 64u           // CLUSTER_BULK_CREDITS requests, replies, flushes
#define LINK_CQE 1024u               // all that one peer's queues can complete at once
#define LINK_KEYS_NS (10ull * 1000 * 1000 * 1000)   // from proof to up, at most
#define CLUSTER_TICK_NS (100ull * 1000 * 1000)

_Static_assert(LINK_CHAINS > NODE_PUTS_MAX + NODE_INS_MAX + 1 + LOAD_OPS_MAX,
               "node.c's chains and placement's fit");
_Static_assert(LINK_CQE >= LINK_SQ + LINK_RECVS + 2 * CLUSTER_FRAME_READS_MAX +
               2 * LINK_BULK_MSGS + CLUSTER_BULK_MOVES_MAX + BENCH_DEPTH_MAX,
               "no completion is lost");

// A wr_id: kind << 32 | index.
enum wr_kind { WR_CHAIN = 1, WR_MSG, WR_RECV, WR_PROBE, WR_PAGE, WR_BULK_MSG, WR_BULK_RECV,
               WR_MOVE, WR_BENCH };
static inline u64 wr_id(enum wr_kind kind, u32 index) { return (u64)kind << 32 | index; }

// Registered memory of one peer: contiguous frames, kept for its next incarnation.
struct link_memory {
    u64 words[512];                  // keep-alive; owner words behind page reads
    u8 inbox[4096];                  // struct dq_inbox; with reply: what the peer may WRITE
    u8 reply[CLUSTER_REPLY_SLOTS][CLUSTER_REPLY_BYTES];
    u8 bench[BENCH_BYTES];           // page-aligned; the end of what the peer may WRITE
    u8 bench_local[BENCH_BYTES];
    u8 recv[LINK_RECVS][CLUSTER_MSG_MAX];
    u8 msg[LINK_MSGS][CLUSTER_MSG_MAX];
    u8 bulk_recv[LINK_BULK_MSGS][CLUSTER_BULK_MSG_MAX];
    u8 bulk_msg[LINK_BULK_MSGS][CLUSTER_BULK_MSG_MAX];
};
#define WORD_PROBE 0u
#define WORD_PAGE 8u                 // one for each page read

struct peer_keys {                   // of its KEYS message
    struct msg_key frames, shared, inbox;
    u64 desc_base, owner_base, shard, heartbeat, inbox_at;
    u32 desc_stride, owner_stride, desc_count;
};

struct peer {
    u8 node;
    struct member_peer member;
    struct member_side us, them;
    bool active;                     // we called
    struct rdma_cm_id *id;
    enum rdma_mtu mtu;               // to propose; 0: the card's
    // Made once:
    struct rdma_pd *pd;
    struct rdma_cq *cq;
    struct link_memory *memory;
    // Of this connection:
    struct rdma_qp *qp[QP_PURPOSES];
    bool qp_ready[QP_PURPOSES];
    struct rdma_mr *local, *frames, *shared, *inbox;
    struct peer_keys keys;
    bool keys_here;
    bool failing;                    // closed at the end of this round of the poll
    char why[64];
    u64 proved_ns, last_seen_ns;     // that it has the key; its last sign of life
    struct pulse pulse;
    u64 fenced;                      // its incarnation that this node has fenced; 0: none
    bool roster_here;                // it has told what nodes it knows
    u64 down_since_ns;               // or since this node's boot
    struct ring msgs;                // memory->msg; sent ones first
    u32 msgs_sent, msg_len[LINK_MSGS];
    struct list_node backlog;        // messages that wait for a place there
    u32 backlog_count;
    struct chain *chains[LINK_CHAINS];      // by wr_id; waiting or out
    u32 chains_wait[LINK_CHAINS];
    struct ring chains_ring;         // over chains_wait: not posted yet
    struct page_read {
        bool used;
        u32 share;                   // how many were out with it
        u64 posted_ns;
        struct cluster_frame_read r;
    } page[CLUSTER_FRAME_READS_MAX];
    u32 pages_out;
    struct ring bulk_msgs;
    bool bulk_full;                  // somebody was told E_AGAIN
    u32 bulk_early_count;            // messages of a peer that is up there and not yet here
    struct { u32 index, len_bytes; } bulk_early[LINK_BULK_MSGS];
    u64 moves_used, move_cookie[CLUSTER_BULK_MOVES_MAX];
    u32 replies_used;
};

struct cluster_counters {
    u64 joins, refused, downs, stood_still, rebirths, page_reads, page_stale, probes, msgs_out,
        msgs_in, msgs_bad, chains, bulk_out, bulk_in, moves, ticks;
};

// This node's words that members reach by READ and atomics: one frame.
struct cluster_words {
    struct dq_shard shard;
    shared64_t capacity;             // sched/place.h has its layout
    u64 cpus;                        // read together with it
    shared64_t heartbeat;
};

struct cluster {
    u8 self;
    u64 incarnation;
    struct rdma_dev *rdma;           // NULL: alone
    u32 ipv4;
    u8 *descs;
    u32 desc_count;
    struct cluster_words *words;
    struct cluster_node *node;
    struct cluster_host host;
    struct peer peers[NODES_MAX];
    u64 live;                        // bit n: peers[n] has a CQ
    u64 up;                          // bit n: node n is up, itself included; read atomically
    u64 view;                        // counts who came and went
    u64 fenced_at_ns;                // when the last one went
    u32 reborn_for;                  // node + 1 whose side of a cut is the larger; 0: none
    bool reaping;                    // for it: processes were told to end
    u32 reaped;                      // how many
    u64 known;                       // bit n: in cluster.conf, or has been a member
    u64 ticked_ns, tick_at_ns;       // the last tick; when the next one is due
    bool tick_looks, tick_rests;     // that is to be found anew; nothing is due in this period
    u64 now_ns;                      // of this poll, or of the last one
    bool more;                       // completions were left to the next round
    struct ring orphans;             // chains to nodes that are down: fail at the next poll
    struct chain *orphan[2 * LINK_CHAINS];
    u32 work_wanted;                 // atomic
    bool looked;                     // atomic: all shards, since there was no room
    bool rested;                     // the last search ended with marks in all shards
    u32 (*room)(void *ctx);          // the process side's
    struct cluster_counters counters;
    struct cluster_mark offer;
    struct cluster_bulk_ops bulk;
    void (*process)(u8 from, const struct cluster_msg *m);
    void (*refs)(u8 from, const struct cluster_msg *m);
    void (*share)(u32 from, const struct share_msg *m);
    void (*futex)(const struct cluster_msg *m);
};
extern struct cluster cluster;

struct peer *peer_up(u32 node);      // NULL: not up
// Ends the connection at the end of this round. Safe anywhere under net_lock.
void peer_fail(struct peer *p, const char *why, i32 code);
void peer_close(struct peer *p);
void peer_joined(struct peer *p);
// After this round all peers are closed and this node is a new incarnation; `node` is of
// the larger side of a cut that is over.
void cluster_rebirth(u32 node);
bool cluster_in_rebirth(void);       // until its processes have ended
void cluster_sides(struct member_side *us);  // fills members and lowest
// They are still true, and nobody was fenced for as long as it takes to notice.
bool cluster_sides_hold(const struct member_side *us, u64 now_ns);
u64 peer_bound_ns(const struct peer *p);     // how long its silence may last

status_t join_init(void);
void join_tick(u64 now_ns);
u64 join_next_ns(void);
// What the tick looks after has changed: when it is due is found anew after this poll.
void tick_look(void);

// The nodes without a line: docs/reference/join.md.
void roster_request(const struct rdma_cm_event *ev);   // answers, and destroys ev->id
void roster_send(struct peer *p);
void roster_take(struct peer *p, const struct cluster_msg *m);

status_t link_prepare(struct peer *p);       // what is made once
struct rdma_qp *link_create_qp(struct peer *p, enum qp_purpose purpose);
u32 link_access(enum qp_purpose purpose);
status_t link_open(struct peer *p);          // proved: keys, receives
void link_bulk_early(struct peer *p);        // it is up: what it sent before
void link_close(struct peer *p);             // pairs and keys are gone after it
void link_poll(struct peer *p);
status_t link_send(struct peer *p, const struct cluster_msg *m);
status_t backlog_add(struct peer *p, const struct cluster_msg *m);
u32 backlog_take(struct peer *p, void *to);
void backlog_init(struct peer *p);
void link_flush(struct peer *p);             // posts what waits for room

void chain_post(struct peer *p, struct chain *c);
void chain_flush(struct peer *p);
void chain_done(struct peer *p, u32 index);
void chain_fail_all(struct peer *p);
void probe_post(struct peer *p);
void probe_done(struct peer *p);
void page_done(struct peer *p, u32 index);
void page_fail_all(struct peer *p);

// True: the chain was one of placement's, and is done with.
bool load_posted(struct chain *c);
// --- cluster_self.c
const struct word_ops *cluster_word_ops(void);
void self_init(void);
void self_post(struct chain *c);
void self_poll(void);
bool self_waits(void);

// Length of the memory that a peer may WRITE: inbox, reply buffers, bench.
#define LINK_WRITABLE (offsetof(struct link_memory, bench_local) - \
                       offsetof(struct link_memory, inbox))

void bulk_msg_done(struct peer *p);
void bulk_received(struct peer *p, u32 index, u32 len_bytes);
void bulk_move_done(struct peer *p, u32 index);
void bulk_fail_all(struct peer *p);

void status_init(void);
void status_poll(u64 now_ns);
void status_answer(struct peer *p);
void status_take(struct peer *p, const struct cluster_msg *m);
void status_peer_down(struct peer *p);

void nodes_init(void);
