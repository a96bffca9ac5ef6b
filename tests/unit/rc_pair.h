// Two soft RoCE devices joined in memory, with virtual time: a test posts work on either
// side, a filter may drop, double or edit any frame on the way, and pair_wait moves frames
// and the clock until completions are there.
#pragma once

#include "drivers/rdma/rdma_cm.h"
#include "drivers/rdma/soft.h"
#include "drivers/rdma/verbs.h"

#define PAIR_QUEUE 8192u
#define PAIR_FRAME 4400u
#define PAIR_BUF (10u << 20)
#define PAIR_WC 4096u
#define PAIR_IP(side) (0x0a070001u + (u32)(side))

struct pair_frame { u32 len; u8 bytes[PAIR_FRAME]; };

struct pair;
// How many times the frame goes on (0: lost); may edit it. dir: the sender's side.
typedef u32 (*pair_filter)(struct pair *p, u32 dir, u8 *frame, u32 *len);

struct pair_side {
    struct netdev net;
    struct pair *pair;
    u32 index;
    struct rdma_dev *dev;
    struct rdma_pd *pd;
    struct rdma_cq *cq;
    struct rdma_qp *qp;
    struct rdma_mr *mr;
    u8 *buf;                       // PAIR_BUF bytes, registered with all rights
    struct rdma_wc wc[PAIR_WC];
    u32 wc_count;
    u8 txbuf[PAIR_FRAME];
    u32 ring_room;                 // frames that the card takes before it is "full"
    u32 ring_size;                 // 0: never full
};

struct pair {
    struct pair_side side[2];
    struct pair_frame *queue;      // frames under way, oldest first, both directions
    u32 *queue_dir;
    u32 head, tail;
    u64 now_ns, rng_state, sent[2];
    pair_filter filter;
    bool reorder;                  // swap neighbours now and then
    void *user;
    enum rdma_mtu mtu;
};

struct pair *pair_new(void);
void pair_free(struct pair *p);
// Both QPs to RTS against each other. psn: first PSN of both directions.
void pair_connect(struct pair *p, enum rdma_mtu mtu, u32 psn);
void pair_connect_attr(struct pair *p, const struct rdma_qp_attr *attr);
struct rdma_qp_attr pair_default_attr(enum rdma_mtu mtu, u32 psn);
struct rdma_qp *pair_make_qp(struct pair *p, u32 side);
// Moves everything that can move without the clock.
void pair_flush(struct pair *p);
// One step: flush, then the clock to the next deadline. False: nothing left to happen.
bool pair_step(struct pair *p);
// Runs until `side` has `count` completions in wc[] (polled from its CQ). False: it stalled.
bool pair_wait(struct pair *p, u32 side, u32 count);
void pair_drain(struct pair *p);
u64 pair_random(struct pair *p);
// One work request against the other side's buffer.
struct rdma_send_wr pair_wr(struct pair *p, u32 side, enum rdma_wr_opcode op, u32 local_off,
                            u32 remote_off, u32 len);
void pair_recv(struct pair *p, u32 side, u32 off, u32 len, u64 wr_id);
// Random bytes in the first 640 KiB, or in the first len bytes.
void pair_fill(struct pair *p, u32 side, u64 seed);
void pair_fill_len(struct pair *p, u32 side, u64 seed, u32 len);
// A frame as from side `from` to the other's QP `qpn`, ICRC right; returns its length.
u32 pair_forge(struct pair *p, u32 from, u8 *frame, u8 opcode, u32 qpn, u32 psn,
               const void *ext, u32 ext_len, const void *payload, u32 len);
