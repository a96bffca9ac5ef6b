// The simulator: a whole cluster in one host process, deterministic from a seed. Two
// transports carry the same machines (proto/cluster/, sched/dqueue.c) and processes:
//
//   model  fabric.c  ordered queue pairs made up here; also atomics that are not the CPU's
//   roce   roce.c    the kernel's cluster code, the CM, soft RoCE, over the Ethernet of
//                    net.c, which loses, doubles, reorders and corrupts frames
//
// model.c stands for the kernel's processes, check.c has the promises, event.c the time
// and main.c the seeds. docs/reference/simulator.md says what is modelled and what is not.
#pragma once

#include "base/units.h"
#include "proto/cluster/node.h"

#define SIM_NODES 8
#define SIM_PLACES 48
#define SIM_FRAMES 4096             // of one node, also the size of its memory over RoCE
#define SIM_PAGES 6                 // pages of a model process
#define SIM_PIDS 48
#define SIM_EVENTS 16384
#define SIM_QPS 2                   // model: control, paging
#define SIM_MODEL_FRAME 64u         // bytes of a frame; over RoCE a page
#define SIM_STUCK_NS (60ull * NS_PER_S)

struct sim_lender {
    struct image_id image;
    u8 taker;                       // its owner word is RUNNING(taker) as long as it is kept
    u32 incarnation;                // of that node
};

struct sim_desc {                   // what a peer READs
    shared64_t owner;
    u32 pid, lender_count;
    u64 counter;                    // steps that the process has made
    u64 root;                       // address of the frame with its page entries
    struct sim_lender lender[ADOPT_LENDERS_MAX + 1];
};

enum place_state {
    PLACE_FREE, PLACE_RESERVED, PLACE_RUNNING, PLACE_GIVING, PLACE_IMAGE, PLACE_ENDING,
};

struct place {                      // the kernel's struct proc, so to say
    enum place_state state;
    u32 pid;
    u32 life;                       // tells a late completion that the place was reused
    u32 steps_left;
    u64 queued_word, queued_ns;     // as last seen, and since when
    bool fetching;
    bool doomed;                    // frozen when its node had to join as new
    struct chain chain;             // model: page fetch, then the CAS to FREE
    u64 fetch_addr;                 // frame that the page goes to
    u64 fetched_word, expected_word;
    u32 fetch_page;
    u8 fetch_node;
};

struct sim_node {
    bool alive, booted, idle;
    u64 running, held;              // bit p: process p runs here; has a place here
    bool honest;                    // has the cluster's key and a line in the others' conf
    u64 last_packet_ns;             // of a dead node
    u64 born_ns, incarnation;       // of the last boot
    u64 life_ns;                    // when it booted or began to be another incarnation
    u64 down;                       // model: bit n: we have fenced node n
    u64 up_ns[SIM_NODES];           // 0: that node is not up here; else since when, plus 1
    u64 reaped[SIM_NODES];          // bit p: p ran at that node, as it is now, when we fenced it
    struct cluster_node *cn;
    u8 *memory;                     // address 0 of its frames
    u8 *descs;                      // SIM_PLACES of them
    u32 desc_stride, desc_bytes;
    shared64_t *words;              // shard first
    u32 word_count;
    u32 frame_owner[SIM_FRAMES];    // 0 free, else place index + 1
    struct place place[SIM_PLACES];
    // What the provider knows each shared word to be: a plain store shows as a difference.
    bool shadowed;
    u64 shadow_words[128], shadow_owner[SIM_PLACES];
    // The model transport's own memory.
    struct cluster_node model_cn;
    struct dq_shard shard;
    struct sim_desc desc[SIM_PLACES];
    u64 model_memory[SIM_FRAMES * SIM_MODEL_FRAME / 8];
    struct dq_inbox inbox[SIM_NODES];
};

enum sim_route { ROUTE_RANDOM, ROUTE_BACK_AND_FORTH, ROUTE_ROUND };

struct sim_proc {                   // what an all-knowing observer knows
    bool spawned, exited, explained;
    enum sim_route route;
    u64 lost_at;                    // bit n: node n, as it is now, has reported it lost
    u64 counter;
    u32 moves;
    u32 version[SIM_PAGES];         // how often each page was written
};

enum event_kind {
    EV_WR, EV_DONE, EV_MSG, EV_DETECT,                  // model transport
    EV_FRAME, EV_SENT, EV_POLL, EV_BOOT,                // roce
    EV_BURST, EV_DRIVE, EV_BLOCK,                       // roce, remote blocks
    EV_STEP, EV_TICK, EV_KILL, EV_SPAWN, EV_END,        // both
    EV_NONE,
};

struct event {
    u64 at_ns, seq;
    enum event_kind kind;
    u8 node, from, qp;
    u32 a, b;                       // by kind
    struct chain *chain;
    u8 *frame;                      // FRAME: from malloc
    u32 len_bytes;
    u8 bytes[64];                   // MSG
};

struct sim_chaos { u32 loss, dup, reorder, corrupt; };   // of 10,000 frames

// One disturbance of a seed: links that carry nothing, or a node that stands still, whose
// links they then are.
struct sim_cut {
    bool any, always;                // always: each seed is to have one
    u64 from_ns, until_ns;
    u64 links[SIM_NODES];            // bit n: of node n
    u64 stopped;                     // bit n
};

struct sim_stats {
    u64 events, migrations, adoptions, lost, kills, boots, fetches, bare, refused, cuts, reborn;
    u64 frames, frames_lost, frames_doubled, frames_late, frames_corrupt, bad_icrc, replays;
    u64 stale_frames, overtaken;
    u64 drive_seeds, drive_calls, drive_one_sided, drive_lost;
};

struct sim {
    u64 seed, rng_state, now_ns, seq, events_run;
    u32 nodes, event_count, pids, kills_left, kill_steps;
    bool roce, coherent, words_card, verbose, frames, slow_cards, drives;
    bool overtakes, small_packets;   // roce: the network as net.c says; a page is four packets
    u32 bursts_left;
    u32 room_max, frame_bytes;
    u64 stuck_ns, wake_lost_ns;
    struct sim_chaos chaos;
    struct sim_cut cut;
    struct sim_node node[SIM_NODES];
    struct sim_proc proc[SIM_PIDS];
    u64 qp_last_ns[SIM_NODES][SIM_NODES][SIM_QPS];
    struct event event[SIM_EVENTS];  // a heap by (at_ns, seq)
    struct sim_stats stats;
};

extern struct sim sim;

_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sim_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

// event.c
u64 sim_random(u64 below);
bool sim_chance(u32 of_10000);
void event_push(struct event *ev, u64 at_ns);
bool event_pop(struct event *ev);
void event_hurry_poll(u8 node, u64 at_ns);
void events_drop(void);

// words.c: shared words and what may touch them
const struct word_ops *words_ops(void);
u64 words_value(const shared64_t *w);
u64 words_amo(struct sim_node *n, shared64_t *w, bool cas, u64 compare, u64 operand);
void words_shadow(struct sim_node *n);         // boot: from now on only atomics change them
void words_check(const struct sim_node *n, bool all);
static inline struct sim_desc *desc_of(const struct sim_node *n, u32 index) {
    return (struct sim_desc *)(void *)(n->descs + (u64)index * n->desc_stride);
}

// fabric.c: the model transport
void fabric_boot(u8 node, const struct cluster_host *host);
void fabric_post(u8 from, u8 qp, struct chain *c);
void fabric_send(u8 from, u8 to, const struct cluster_msg *m);
void fabric_event(const struct event *ev);
void fabric_kill(u8 node);

// roce.c and net.c: real soft RoCE
void roce_begin(void);                         // a new seed
void roce_boot(u8 node, const struct cluster_host *host);
void roce_poll_soon(u8 node);
void roce_event(const struct event *ev);
void roce_kill(u8 node);
bool roce_settled(void);                       // all that should be members are
void roce_check_end(void);
status_t roce_fetch(struct sim_node *n, u32 index, u64 from);
u64 roce_frame_alloc(u8 node);
void roce_frame_free(u8 node, u64 addr);
u32 roce_incarnation(u8 node, u8 peer);        // as node knows it; 0: not up
void net_begin(void);
struct netdev *net_card(u8 node);              // fresh, with its MAC
void net_mac(u8 node, u8 mac[6]);
u32 net_receive(u8 node, u32 max_frames, void (*rx)(const u8 *frame, u32 len_bytes));
void net_event(const struct event *ev);
void net_page_changed(u8 owner, u64 address);  // a drive's block was read into that frame
void net_fenced(u8 node, u8 peer);             // its late requests come now, and do nothing
u64 roce_bad_qpn(u8 node);
void net_drop(u8 node);                        // what it has received or not sent yet

// drive.c: remote blocks
struct vm_drive_ops;
const struct vm_drive_ops *roce_drive(u8 node);
void drive_begin(void);                        // a new seed
void drive_event(const struct event *ev);
void drive_kill(u8 node);
void drive_joined(u8 node, u8 peer);            // node counts peer as up from now on
void drive_crowd(u8 owner, u64 address);       // a READ of that frame will be answered again
bool drive_settled(void);                      // every call has ended

// cuts.c: links that carry nothing, nodes that stand still
void cuts_begin(void);                         // a new seed
bool cut_between(u8 a, u8 b);
u64 cut_stopped_until(u8 node);
bool cut_may_part(void);
void cuts_explain(void);

// model.c: processes
void model_boot(u8 node);
void model_event(const struct event *ev);
void model_reborn(u8 node);                    // ends all that runs there
void model_fenced(u8 node, u8 peer);           // node counts what runs at peer as dead
void model_posted(u8 node, struct chain *c);
void model_fetched(struct sim_node *n, u32 index, status_t status);
void model_imm(u8 node, u8 from, u32 imm);
u32 model_room(const struct sim_node *n);

// check.c: promises
void page_fill(struct sim_node *n, u64 addr, u32 pid, u32 page);
void page_check(struct sim_node *n, u64 addr, u32 pid, u32 page);
void check_running(u8 node);
void check_wake_ups(struct sim_node *n);
bool check_settled(void);
bool check_rested(void);                       // no machine holds anything any more
void check_end(void);
void check_dump(u32 pid);
void sim_explain(u8 node);                     // a death explains what is lost with it
u8 *frame_at(const struct sim_node *n, u64 addr);

// main.c
void sim_kill(u8 node);
void sim_step_done(u8 node);                   // one step of some hand-over: may kill
