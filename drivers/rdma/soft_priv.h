// Soft RoCE's own objects, shared by the soft_*.c, pd.c, mr.c, cq.c and qp.c of this folder.
// Everything is guarded by the device's lock (the caller's).
#pragma once

#include "base/list.h"
#include "base/ring.h"
#include "base/units.h"
#include "drivers/rdma/provider.h"
#include "drivers/rdma/rdma_cm.h"
#include "drivers/rdma/soft.h"
#include "proto/roce/cm.h"
#include "proto/roce/rc_req.h"
#include "proto/roce/rc_resp.h"

#define SOFT_HASH_BITS 9u            // 512 buckets for 256 QPs or MRs
#define SOFT_RESP_QUEUE 64u          // answers of one QP waiting to be sent
#define SOFT_CTL_MAX 64u             // MADs and ARP frames waiting to be sent
#define SOFT_NEIGH_MAX 64u
#define SOFT_ARP_TRIES 5u
#define SOFT_ARP_WAIT_NS (200 * NS_PER_MS)
#define SOFT_ARP_HOLD_NS (1 * NS_PER_S)   // after failing: no new request so long
#define SOFT_GATHER_MIN 512u         // bytes below which a copy is cheaper
#define SOFT_HDR_ROOM 80u            // IP to ICRC around the payload
#define SOFT_ID_TRIES 64u            // draws of a random id that is not in use
#define DEADLINE_NONE (~0ull)

// Random ids to objects, chained, O(1) expected: ids are random, so the hash can be cheap.
struct id_node { u32 id; struct id_node *next; };
struct id_table { struct id_node *bucket[1u << SOFT_HASH_BITS]; };

struct soft_pd {
    struct rdma_pd base;
    bool live;
    u32 users;                       // MRs and QPs
};

struct soft_mr {
    struct rdma_mr base;
    struct id_node key;
    struct list_node link;           // free list
    struct soft_pd *pd;
    u64 iova, length;
    u8 *addr;                        // NULL: pages
    u32 access;
    struct rdma_mr_pages pages;
};

struct soft_cq {
    struct rdma_cq base;
    bool live;
    u32 users, capacity;
    struct ring ring;
    struct rdma_wc *wc;
    void (*notify)(void *ctx);
    void *notify_ctx;
};

struct soft_swr {                    // beside the rc_wqe of the same index
    u64 wr_id;
    struct rdma_sge sge[RDMA_SGE_MAX];
    u8 num_sge, opcode;
    bool signaled;
};

struct soft_rwr {
    u64 wr_id;
    u32 num_sge;
    struct rdma_sge sge[RDMA_SGE_MAX];
};

enum soft_resp_kind { SOFT_RESP_ACK, SOFT_RESP_READ, SOFT_RESP_ATOMIC };
struct soft_resp {                   // one answer to send; a READ may take many packets
    enum soft_resp_kind kind;
    u8 syndrome;
    bool started;                    // READ: a packet of this stream has been sent
    bool counted;                    // in reads_pending
    u32 psn, msn, rkey, len, offset, original_psn;
    u64 va, orig;
};

struct soft_qp {
    struct rdma_qp base;
    struct id_node num;
    struct list_node link, tx_link, timer_link;   // free; has something to send; timer armed
    bool live, sq_sig_all, mac_ok, mac_wait, data_seen;
    u32 generation;                  // counts lives of this slot
    struct soft_pd *pd;
    struct soft_cq *send_cq, *recv_cq;
    struct rdma_qp_attr attr;
    struct roce_flow flow;
    u32 mtu;
    u32 sq_size, rq_size;            // entries allocated
    struct rc_req req;
    struct soft_swr *swr;
    struct rc_wqe *wqes;
    struct ring rq;
    struct soft_rwr *rwr;
    struct rc_resp resp;
    struct ring rsq;
    u32 reads_pending;               // READ and atomic answers in rsq, fresh ones
    void (*first_data)(void *ctx, struct rdma_qp *qp, u64 now_ns);   // CM: implied RTU
    void *first_data_ctx;
    struct soft_resp rsp[SOFT_RESP_QUEUE];
};

enum soft_neigh_state { NEIGH_FREE, NEIGH_FIXED, NEIGH_OK, NEIGH_ASKING, NEIGH_FAILED };
struct soft_neigh {
    enum soft_neigh_state state;
    u32 ipv4, tries;
    u64 deadline_ns, used;
    u8 mac[6];
};

struct soft_ctl {                    // a MAD to dst_ip, or a whole ARP frame (dst_ip 0)
    struct list_node link;
    u32 dst_ip, len;
    u8 bytes[MAD_LEN];
};

struct soft_listener { rdma_cm_handler handler; void *context; };

struct rdma_cm_id {                  // rdma_cm.c's
    bool used, active;
    struct soft_dev *dev;
    struct cm_conn *conn;            // NULL once the machine has no more to say
    struct rdma_qp *qp;
    rdma_cm_handler handler;
    void *context;
    struct rdma_conn_param param;
    u32 peer_ip, local_psn, remote_qpn, remote_psn, remote_resources;
    enum rdma_mtu path_mtu;
};

struct soft_dev {
    struct rdma_dev base;
    struct soft_config config;
    struct netdev *netdev;
    struct soft_counters counters;
    struct rc_req_counters req_counters;
    struct id_table qp_by_num, mr_by_key;
    struct list_node tx_list, timer_list, ctl_list, ctl_free, qp_free, mr_free;
    u64 completions;                 // pushed, all queues
    u64 now_ns, gather_issued, gather_done, neigh_clock, neigh_deadline_ns;
    u32 gsi_psn;
    bool tx_full;                    // the last soft_tx stopped at a full ring
    struct soft_neigh neigh[SOFT_NEIGH_MAX + SOFT_MEMBER_MAX];
    struct soft_ctl ctl[SOFT_CTL_MAX];
    struct soft_pd pds[SOFT_PD_MAX];
    struct soft_cq cqs[SOFT_CQ_MAX];
    struct soft_mr mrs[SOFT_MR_MAX];
    struct soft_qp qps[SOFT_QP_MAX];
    struct soft_listener listeners[CM_LISTEN_MAX];
    struct rdma_cm_id ids[CM_CONN_MAX];
    struct cm cm;
};

static inline struct soft_dev *soft_of(struct rdma_dev *dev) { return (struct soft_dev *)dev; }

// id_table (soft.c)
struct id_node *id_find(const struct id_table *t, u32 id);
void id_insert(struct id_table *t, struct id_node *node, u32 id);
void id_remove(struct id_table *t, struct id_node *node);

// pd.c, mr.c, cq.c, qp.c
struct rdma_pd *soft_alloc_pd(struct rdma_dev *dev);
status_t soft_dealloc_pd(struct rdma_pd *pd);
struct rdma_mr *soft_reg_mr(struct rdma_pd *pd, void *addr, u64 length, u64 iova, u32 access,
                            const struct rdma_mr_pages *pages);
void soft_dereg_mr(struct rdma_mr *mr);
// The MR that allows this access to [va, va + len), or NULL. access 0: local read.
struct soft_mr *soft_mr_check(struct soft_dev *dev, const struct soft_pd *pd, u32 key, u64 va,
                              u64 len, u32 access);
struct soft_span { u8 *at; u64 len; paddr_t pa; bool stable; };
// The contiguous memory from va on, at most len bytes of it. False: the page is refused.
bool soft_mr_span(const struct soft_mr *mr, u64 va, u64 len, u32 access, struct soft_span *span);
// Copies into an MR; false where a page is refused (then nothing of this packet is written).
bool soft_mr_write(const struct soft_mr *mr, u64 va, const u8 *from, u32 len, u32 access);
struct rdma_cq *soft_create_cq(struct rdma_dev *dev, u32 cqe, void (*notify)(void *), void *ctx);
status_t soft_destroy_cq(struct rdma_cq *cq);
u32 soft_poll_cq(struct rdma_cq *cq, u32 max_wc, struct rdma_wc *wc);
void soft_cq_push(struct soft_cq *cq, const struct rdma_wc *wc);
struct rdma_qp *soft_create_qp(struct rdma_pd *pd, const struct rdma_qp_init_attr *attr);
status_t soft_modify_qp(struct rdma_qp *qp, const struct rdma_qp_attr *attr, u32 mask);
void soft_query_qp(const struct rdma_qp *qp, struct rdma_qp_attr *attr);
u32 soft_qp_doubts(const struct rdma_qp *qp);
void soft_destroy_qp(struct rdma_qp *qp);
status_t soft_post_send(struct rdma_qp *qp, const struct rdma_send_wr *wr);
status_t soft_post_recv(struct rdma_qp *qp, const struct rdma_recv_wr *wr);
// Completes what the requester machine has done.
void soft_qp_reap(struct soft_qp *qp);
// To ERR: WQE `index` of the send queue (or none: ~0) fails with `status`, all else is flushed.
void soft_qp_fail(struct soft_qp *qp, u32 index, enum rdma_wc_status status);
void soft_qp_recv_done(struct soft_qp *qp, const struct rdma_wc *wc);

// rdma_cm.c
void rdma_cm_on_event(void *ctx, const struct cm_event *ev);

// soft.c
void *soft_alloc(struct soft_dev *dev, u64 len_bytes);
void soft_free(struct soft_dev *dev, void *ptr, u64 len_bytes);
void soft_qp_want_tx(struct soft_qp *qp);
void soft_qp_timer(struct soft_qp *qp);

// soft_rx.c, soft_tx.c
enum soft_tx_result { TX_IDLE, TX_MORE, TX_FULL };
enum soft_tx_result soft_qp_tx(struct soft_dev *dev, struct soft_qp *qp, u64 now_ns);
bool soft_ctl_tx(struct soft_dev *dev, u64 now_ns);     // false: ring full

// soft_neigh.c
void soft_arp_rx(struct soft_dev *dev, const u8 *frame, u32 len_bytes);
// The MAC of ipv4, or NULL: asked for, or failing.
const u8 *soft_neigh_find(struct soft_dev *dev, u32 ipv4, u64 now_ns);
bool soft_neigh_failed(const struct soft_dev *dev, u32 ipv4);
void soft_neigh_tick(struct soft_dev *dev, u64 now_ns);
u64 soft_neigh_deadline(const struct soft_dev *dev);
status_t soft_neigh_fix(struct soft_dev *dev, u32 ipv4, const u8 mac[6]);
struct soft_ctl *soft_ctl_get(struct soft_dev *dev);
void soft_qp_resolve(struct soft_dev *dev, struct soft_qp *qp, u64 now_ns);
