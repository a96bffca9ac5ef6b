// This node as a member of the cluster: joins over the RDMA CM, shares queue words,
// descriptors and frames with the other members, carries chains, messages, page reads and
// the traffic of remote files. Driven by netpoll. Everything here is called with net_lock
// held (netpoll_lock) and every callback runs with it, unless said otherwise.
#pragma once

#include "base/owner.h"
#include "base/status.h"
#include "base/types.h"
#include "kernel/bench.h"
#include "proto/cluster/node.h"

#define CLUSTER_FRAME_READS_MAX 32u   // page reads out to one peer at a time
#define CLUSTER_BULK_CREDITS 16u      // file requests out to one peer at a time
#define CLUSTER_BULK_MSG_MAX 4096u    // bytes of one message of remote files
#define CLUSTER_BULK_MOVES_MAX 48u    // READs and WRITEs of file data out to one peer
#define CLUSTER_REPLY_SLOTS 8u        // buffers that a peer may WRITE answers into
#define CLUSTER_REPLY_BYTES (64u << 10)

// --- boot --------------------------------------------------------------------------------
// After net_init: makes this node a member and starts to look for the others. `descs` is
// the table of desc_count frames (FRAME_DESC, contiguous). No lock. Without a card of
// cluster.conf or a key the node works alone: the queue still serves its own processes.
void cluster_init(void *descs, u32 desc_count);
// The process side's functions (kernel/migrate_host.c); post, send and ctx are filled in here.
// Before cluster_init. Without it nothing is taken.
void cluster_set_host(const struct cluster_host *host);
struct cluster_node *cluster_node(void);   // the queue and the hand-overs

// --- members -----------------------------------------------------------------------------
u32 cluster_self(void);              // this node's id; any context
bool cluster_is_up(u32 node);        // itself, or a member with all queue pairs; any context
u64 cluster_up_mask(void);           // bit n: cluster_is_up(n); any context
// Which boot of that node is a member: a number drawn by each boot. 0: it is not up.
u32 cluster_incarnation(u32 node);   // net_lock
// The same of its last life that this node has fenced. 0: none.
u32 cluster_fenced(u32 node);        // net_lock
u32 cluster_member_count(void);      // with itself; any context
// Somebody came or went: called after the machines were told. Up to four watchers, boot.
void cluster_watch(void (*changed)(void *ctx, u32 node, bool up), void *ctx);

// --- work --------------------------------------------------------------------------------
// A CPU is idle: asks netpoll to look for work where there is room for more and this node
// is not marked everywhere already. Called by the edge. Any context, any lock; so the
// host's `room` is called without net_lock too.
void cluster_work_wanted(void);

// --- page reads (kernel/remote_page.c) ---------------------------------------------------
// READs a lender's frame, then on the same queue pair the owner word of the descriptor it
// belongs to. done: S_OK; E_IO where that word is not `expected` (throw the page away);
// E_HOSTUNREACH: the node is gone.
struct cluster_frame_read {
    u32 node;
    paddr_t remote, local;           // frames; local: pinned until done
    u32 desc_index;                  // at that node
    u64 expected;                    // its owner word
    bool any_owner;                  // that word says nothing about the frame: a shared page
    void (*done)(void *ctx, status_t status);
    void *ctx;
};
// S_OK: done will be called, once, later. E_AGAIN: CLUSTER_FRAME_READS_MAX are out;
// E_HOSTUNREACH.
status_t cluster_read_frame(const struct cluster_frame_read *r);

// --- the words of placement (kernel/cluster_load.c) ----------------------------------------
#define LOAD_OPS_MAX 32u             // READs and adds out, of all peers
struct cluster_load { u64 capacity, cpus; };   // sched/place.h has the layout of the first
// Reads a member's words, or adds to its capacity word. done: S_OK with what was found (for
// an add in ->capacity alone), or E_HOSTUNREACH; called once, later. E_AGAIN: too many are
// out; E_HOSTUNREACH.
typedef void (*cluster_load_done)(void *ctx, status_t status, const struct cluster_load *found);
status_t cluster_load_read(u32 node, cluster_load_done done, void *ctx);
status_t cluster_capacity_add(u32 node, u64 addend, cluster_load_done done, void *ctx);
// This node's own: any context.
u64 cluster_capacity_own(void);
void cluster_capacity_add_own(u64 addend);
void cluster_load_init(void);        // boot, after cluster_init

// --- messages between nodes --------------------------------------------------------------
// Sends on the control pair. E_HOSTUNREACH. A peer that takes none of 128 is declared down.
status_t cluster_send(u32 node, const struct cluster_msg *m);
// True: a message to that member goes out at once, or is the first that waits. net_lock held.
bool cluster_has_room(u32 node);
// Who takes the messages about one process (MSG_LOCATION, MSG_MOVE .. MSG_CHILD). Boot.
void cluster_on_process(void (*rx)(u8 from, const struct cluster_msg *m));

// Who takes MSG_SHARE. Boot.
void cluster_on_share(void (*rx)(u32 from, const struct share_msg *m));

// Who takes MSG_FUTEX. Boot.
void cluster_on_futex(void (*rx)(const struct cluster_msg *m));

// Who takes MSG_REFS. Boot.
void cluster_on_refs(void (*rx)(u8 from, const struct cluster_msg *m));

// --- remote files (kernel/remote_files.c), on the bulk pair ------------------------------
struct cluster_bulk_ops {
    void (*peer_up)(void *ctx, u32 node);      // CLUSTER_BULK_CREDITS each way
    void (*peer_down)(void *ctx, u32 node);    // after the last receive, moved
    void (*receive)(void *ctx, u32 node, u8 *bytes, u32 len_bytes);   // bytes: until it returns
    void (*moved)(void *ctx, u64 cookie, status_t status);
    void (*room)(void *ctx, u32 node);         // after E_AGAIN: there is room again
    void (*poll)(void *ctx, u64 now_ns);       // in each round of netpoll; may be NULL
    void *ctx;
};
void cluster_set_bulk(const struct cluster_bulk_ops *ops);   // boot
// Copies and sends one message. E_AGAIN: no room, `room` follows; E_HOSTUNREACH; E_MSGSIZE.
status_t cluster_bulk_send(u32 node, const void *bytes, u32 len_bytes);
// One READ or WRITE between local memory (direct map) and registered memory of the peer.
struct cluster_move {
    u32 node;
    bool write, fence;               // fence: begins once all earlier READs are here
    void *local;
    u32 len_bytes;
    u64 remote_address;
    u32 remote_key;
    u64 cookie;
};
status_t cluster_bulk_move(const struct cluster_move *m);     // as cluster_bulk_send
u32 cluster_bulk_doubts(u32 node);   // rdma_qp_doubts of the pair that moves go over
u32 cluster_bulk_packet(u32 node);   // bytes of its path MTU; 0: not up
// What `node` may READ of ours by physical address: user frames. Its key; 0: not up.
u32 cluster_frames_key(u32 node);
// What we may READ of `node` by physical address: where it begins and its key. E_HOSTUNREACH.
status_t cluster_peer_frames(u32 node, u64 *address, u32 *key);
// A buffer of CLUSTER_REPLY_BYTES that `node` alone may WRITE, for the data of a read.
struct cluster_reply { void *at; u64 address; u32 key, slot; };
status_t cluster_reply_alloc(u32 node, struct cluster_reply *r);  // E_AGAIN, E_HOSTUNREACH
void cluster_reply_free(u32 node, u32 slot);

// What had been done when the last entry of a peer's came into our inbox: chains posted, bytes
// sent and received, that entry's frame included. Any context.
struct cluster_mark { u64 chains, bytes; };
struct cluster_mark cluster_mark_offer(void);
struct cluster_mark cluster_mark_now(void);

// --- benchmarks (kernel/bench.c), on the bench pair -----------------------------------------
// How to reach a member's BENCH_BYTES; E_HOSTUNREACH. Completions come by bench_done.
status_t cluster_bench_link(u32 node, struct bench_link *l);
u64 cluster_bench_wr_id(u32 index);
// The memory here that `node` alone may READ, WRITE and change; NULL: it never joined.
// Any context: it stays for ever.
u8 *cluster_bench_memory(u32 node);

// --- what people read --------------------------------------------------------------------
// True: `node` is in cluster.conf or has been a member, so /nodes has it. Any context.
bool cluster_node_known(u32 node);
// The text of /nodes/N/status, "key: value" lines, as of the last answer; returns its
// length, at most size_bytes - 1. Any lock of rank files or lower may be held, not net's.
u64 cluster_status_text(u32 node, char *to, u64 size_bytes);
// S_OK: that text is fresh. S_RESTART: it has been asked for; `changed` of the watcher
// below runs when it is here. E_NOENT: no such node. Same context.
status_t cluster_status_refresh(u32 node);
void cluster_on_status(void (*changed)(void *ctx), void *ctx);   // boot
// One more line of that text, in the same order on all nodes: boot, after cluster_init.
// `get` runs with net_lock held and must take no lock.
void cluster_status_add(const char *name, u64 (*get)(const void *ctx), const void *ctx);
void cluster_status_add_signed(const char *name, u64 (*get)(const void *ctx), const void *ctx);
void cluster_status_add_u64(const char *name, const u64 *figure);
