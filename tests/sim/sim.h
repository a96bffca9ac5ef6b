// The simulator: a whole cluster in one host process, deterministic from a seed. Every
// node runs the real proto/cluster/node.c, adopt.c, cluster_msg.c and sched/dqueue.c;
// fabric.c stands for verbs (ordered queue pairs, delays, deaths, fencing), model.c for
// the kernel and its processes, main.c for the seeds and the promises checked.
#pragma once

#include "base/units.h"
#include "proto/cluster/node.h"

#define SIM_NODES 4
#define SIM_PLACES 48
#define SIM_FRAMES 768
#define SIM_PAGES 6                 // pages of a model process
#define SIM_PIDS 48
#define SIM_EVENTS 8192
#define SIM_QPS 2                   // control, paging
#define SIM_STUCK_NS (60ull * NS_PER_S)

struct sim_frame { u64 word[8]; };  // a root (page entries) or a page

struct sim_desc {                   // what a peer READs
    u32 pid, lender_count;
    u64 counter;                    // steps that the process has made
    u64 root_frame;
    struct image_id lender[ADOPT_LENDERS_MAX];
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
    struct chain chain;             // page fetch, then the CAS to FREE
    struct sim_frame fetched;
    u64 fetched_word;
    u32 fetch_page;
};

struct sim_node {
    bool alive, idle;
    u64 last_packet_ns;             // of a dead node
    u64 down;                       // bit n: we have fenced node n
    struct cluster_node cn;
    struct dq_shard shard;
    shared64_t owner[SIM_PLACES];
    struct sim_desc desc[SIM_PLACES];
    struct sim_frame frame[SIM_FRAMES];
    u32 frame_owner[SIM_FRAMES];    // 0 free, else place index + 1
    struct dq_inbox inbox[SIM_NODES];
    struct place place[SIM_PLACES];
    // What the provider knows each shared word to be: a plain store shows as a difference.
    u64 shadow_shard[sizeof(struct dq_shard) / 8], shadow_owner[SIM_PLACES];
};

struct sim_proc {                   // what an all-knowing observer knows
    bool spawned, exited, explained;
    u64 counter;
    u32 moves;
};

enum event_kind { EV_WR, EV_DONE, EV_MSG, EV_IMM, EV_STEP, EV_TICK, EV_KILL, EV_DETECT, EV_SPAWN };

struct event {
    u64 at_ns, seq;
    enum event_kind kind;
    u8 node, from, qp;
    u32 a, b;                       // by kind
    struct chain *chain;
    u8 bytes[64];
    u32 len_bytes;
    bool imm_entry;
};

struct sim {
    u64 seed, rng_state, now_ns, seq, events_run;
    u32 nodes, event_count, pids, kills_left;
    bool coherent, verbose;
    u32 room_max;
    struct sim_node node[SIM_NODES];
    struct sim_proc proc[SIM_PIDS];
    u64 qp_last_ns[SIM_NODES][SIM_NODES][SIM_QPS];
    struct event event[SIM_EVENTS];  // a heap by (at_ns, seq)
    u64 migrations, adoptions, lost, kills;
};

extern struct sim sim;

u64 sim_random(u64 below);
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sim_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

// fabric.c
void event_push(struct event *ev, u64 at_ns);
bool event_pop(struct event *ev);
void fabric_post(u8 from, u8 qp, struct chain *c);
void fabric_send(u8 from, u8 to, const struct cluster_msg *m);
void fabric_event(const struct event *ev);
void fabric_fence(u8 self, u8 peer);      // destroys all pairs between them, as self sees it
const struct word_ops *fabric_words(void);
void fabric_check_words(void);

// model.c
void model_init_node(u8 node);
void model_event(const struct event *ev);
void model_posted(u8 node, struct chain *c);
void model_imm(u8 node, u8 from, u32 imm);
void model_kill(u8 node);
void model_check(void);
bool model_settled(void);
void model_check_end(void);
void model_dump(u32 pid);
