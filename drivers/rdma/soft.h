// Provider one of verbs: soft RoCEv2 over any Ethernet driver. The owner (kernel:
// netpoll; simulator; tests) feeds it frames and time, and lets it send:
//
//     rx_batch -> soft_rx(frame)*, then soft_tx(dev, now)    one doorbell a batch
//     rdma_post_send*, then soft_tx(dev, now)                posting alone sends nothing
//     soft_tick(dev, now) at or after soft_next_deadline(dev)
//     tx buffers freed: soft_tx(dev, now) goes on where the ring was full
//
// Locks: none inside; every call is made under the device's lock.
#pragma once

#include "base/rng.h"
#include "base/shared64.h"
#include "drivers/netdev.h"
#include "drivers/rdma/verbs.h"
#include "proto/roce/icrc.h"

#define SOFT_QP_MAX 256u
#define SOFT_MR_MAX 256u
#define SOFT_CQ_MAX 64u
#define SOFT_PD_MAX 128u
#define SOFT_WR_MAX 256u            // entries of one send or receive queue
#define SOFT_CQE_MAX 4096u
#define SOFT_MEMBER_MAX 64u
#define SOFT_RD_ATOMIC_MAX 16u      // READs and atomics outstanding, either direction
#define SOFT_MSG_MAX (1u << 30)     // bytes of one message
#define SOFT_WINDOW_PSN 128u        // packets of SENDs and WRITEs in flight on one QP
#define SOFT_TX_BURST 16u           // packets of one QP before the next one's turn

struct cm;

struct soft_member { u32 ipv4; u8 mac[6]; };   // ipv4 in host byte order

struct soft_config {
    struct netdev *netdev;
    u32 ipv4;                        // host byte order
    u8 prefix_len;
    const struct soft_member *members;   // copied; ARP never overrides these
    u32 member_count;
    struct rng rng;
    const struct crc_ops *crc;       // &crc_ops_table where nothing faster is there
    const struct word_ops *word_ops;
    // Zeroed, 64-byte aligned memory for the device's tables and queues; bounded by the
    // SOFT_*_MAX above. free may be NULL (memory is then kept for the next use).
    void *(*alloc)(void *ctx, u64 len_bytes);
    void (*free)(void *ctx, void *ptr, u64 len_bytes);
    void *alloc_ctx;
    void (*kick)(void *ctx);         // may be NULL: post_send made work for soft_tx
    void *kick_ctx;
    // May be NULL: the QP went to ERR by itself (NAK, retries, bad request).
    void (*qp_error)(void *ctx, struct rdma_qp *qp, enum rdma_wc_status why);
    void *qp_error_ctx;
};

// Names of rxe's hw_counters where it has one, then ours.
struct soft_counters {
    u64 sent_pkts, rcvd_pkts, duplicate_request, out_of_seq_request, rcvd_rnr_err,
        send_rnr_err, rcvd_seq_err, retry_exceeded_err, retry_rnr_exceeded_err,
        completer_retry_err, send_err;
    u64 bad_icrc, bad_len, bad_opcode, bad_tver, bad_key, bad_pkey, bad_src, bad_ip, bad_qkey,
        bad_qpn, bad_state, bad_transport, not_roce, dup_atomic_replayed, dup_atomic_too_old,
        qp_err, cnp, ghost_response, read_gap_asked, tx_ring_full, resp_queue_full,
        cq_overflow, arp_requests, arp_replies, arp_failed, arp_ignored, no_mac;
};

struct rdma_dev *soft_create(const struct soft_config *config);
// One received Ethernet frame (without FCS). Sends nothing: call soft_tx after a batch.
void soft_rx(struct rdma_dev *dev, const u8 *frame, u32 len_bytes, u64 now_ns);
// Sends what is due until done or the card's ring is full; one doorbell. True: more waits.
bool soft_tx(struct rdma_dev *dev, u64 now_ns);
// Timers that are due: retransmission, RNR, ARP, CM. Call soft_tx after it.
void soft_tick(struct rdma_dev *dev, u64 now_ns);
// When soft_tick has something to do; ~0: nothing armed.
u64 soft_next_deadline(const struct rdma_dev *dev);
u64 soft_now_ns(const struct rdma_dev *dev);     // of the last call of soft_rx, _tick or _tx
// Completions of all its queues so far: while that stands still, nobody above has work.
u64 soft_completions(const struct rdma_dev *dev);
const struct soft_counters *soft_counters(const struct rdma_dev *dev);
struct cm *soft_cm(struct rdma_dev *dev);
u32 soft_ipv4(const struct rdma_dev *dev);
// Largest path MTU that this card's frames carry.
enum rdma_mtu soft_mtu(const struct rdma_dev *dev);
// Adds or replaces a member's fixed MAC. E_NOSPC: table full.
status_t soft_set_member(struct rdma_dev *dev, u32 ipv4, const u8 mac[6]);
// Transmits that gather from stable frames, as two free-running counts: a frame that
// was stable when `issued` read n may be reused once `done` has reached n.
u64 soft_gather_issued(const struct rdma_dev *dev);
u64 soft_gather_done(const struct rdma_dev *dev);
