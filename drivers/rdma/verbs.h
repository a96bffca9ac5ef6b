// Verbs: the names and meanings of libibverbs behind `rdma_`, over a provider.
// Provider one is soft RoCE (soft.c); a hardware provider fills the same
// struct rdma_ops and changes nothing above.
//
// Locks and context: every call is made under the device's lock, which the caller
// owns (kernel: the net lock; host programs: none), with interrupts off, and none
// blocks. Work is asynchronous: post, then poll the CQ.
// Spec: IBTA Vol. 1 ch. 9-11; libibverbs man pages for names.
#pragma once

#include "base/rng.h"
#include "base/shared64.h"
#include "base/status.h"
#include "base/types.h"

struct rdma_dev;
struct rdma_pd;
struct rdma_mr;
struct rdma_cq;
struct rdma_qp;

enum rdma_access {
    RDMA_ACCESS_LOCAL_WRITE = 1,
    RDMA_ACCESS_REMOTE_WRITE = 2,
    RDMA_ACCESS_REMOTE_READ = 4,
    RDMA_ACCESS_REMOTE_ATOMIC = 8,
};

enum rdma_mtu { RDMA_MTU_256 = 1, RDMA_MTU_512, RDMA_MTU_1024, RDMA_MTU_2048, RDMA_MTU_4096 };

enum rdma_qp_state {
    RDMA_QPS_RESET, RDMA_QPS_INIT, RDMA_QPS_RTR, RDMA_QPS_RTS, RDMA_QPS_SQD, RDMA_QPS_SQE,
    RDMA_QPS_ERR,
};

enum rdma_wr_opcode {  // values of enum ibv_wr_opcode
    RDMA_WR_RDMA_WRITE, RDMA_WR_RDMA_WRITE_WITH_IMM, RDMA_WR_SEND, RDMA_WR_SEND_WITH_IMM,
    RDMA_WR_RDMA_READ, RDMA_WR_ATOMIC_CMP_AND_SWP, RDMA_WR_ATOMIC_FETCH_AND_ADD,
};

enum rdma_send_flags {
    RDMA_SEND_FENCE = 1, RDMA_SEND_SIGNALED = 2, RDMA_SEND_SOLICITED = 4,
};

enum rdma_wc_status {  // values of enum ibv_wc_status
    RDMA_WC_SUCCESS, RDMA_WC_LOC_LEN_ERR, RDMA_WC_LOC_QP_OP_ERR, RDMA_WC_LOC_EEC_OP_ERR,
    RDMA_WC_LOC_PROT_ERR, RDMA_WC_WR_FLUSH_ERR, RDMA_WC_MW_BIND_ERR, RDMA_WC_BAD_RESP_ERR,
    RDMA_WC_LOC_ACCESS_ERR, RDMA_WC_REM_INV_REQ_ERR, RDMA_WC_REM_ACCESS_ERR,
    RDMA_WC_REM_OP_ERR, RDMA_WC_RETRY_EXC_ERR, RDMA_WC_RNR_RETRY_EXC_ERR,
};

enum rdma_wc_opcode {  // values of enum ibv_wc_opcode
    RDMA_WC_SEND, RDMA_WC_RDMA_WRITE, RDMA_WC_RDMA_READ, RDMA_WC_COMP_SWAP,
    RDMA_WC_FETCH_ADD, RDMA_WC_RECV = 128, RDMA_WC_RECV_RDMA_WITH_IMM = 129,
};
enum rdma_wc_flags { RDMA_WC_WITH_IMM = 2 };

// An IPv4 address as a GID (::ffff:a.b.c.d); host byte order in `ipv4`.
struct rdma_gid { u8 raw[16]; };

#define RDMA_SGE_MAX 4

struct rdma_sge {
    u64 addr;      // kernel virtual address, or frame address for a frames MR
    u32 length;    // bytes
    u32 lkey;
};

struct rdma_send_wr {
    u64 wr_id;
    const struct rdma_send_wr *next;   // a chain is posted whole or not at all
    struct rdma_sge sge[RDMA_SGE_MAX];
    u32 num_sge;
    enum rdma_wr_opcode opcode;
    u32 send_flags;
    u32 imm_data;                      // host byte order here; big-endian on the wire
    u64 remote_addr;                   // READ, WRITE, atomics
    u32 rkey;
    u64 compare_add, swap;             // atomics
};

struct rdma_recv_wr {
    u64 wr_id;
    struct rdma_sge sge[RDMA_SGE_MAX];
    u32 num_sge;
};

struct rdma_wc {
    u64 wr_id;
    enum rdma_wc_status status;
    enum rdma_wc_opcode opcode;        // valid only on success
    u32 byte_len;
    u32 imm_data;
    u32 qp_num;
    u32 src_qp;
    u32 wc_flags;
    struct rdma_qp *qp;
};

// Fields of ibv_qp_attr that modify takes; `mask` says which are given.
enum rdma_qp_attr_mask {  // values of enum ibv_qp_attr_mask
    RDMA_QP_STATE = 1 << 0, RDMA_QP_ACCESS_FLAGS = 1 << 3, RDMA_QP_AV = 1 << 7,
    RDMA_QP_PATH_MTU = 1 << 8, RDMA_QP_TIMEOUT = 1 << 9, RDMA_QP_RETRY_CNT = 1 << 10,
    RDMA_QP_RNR_RETRY = 1 << 11, RDMA_QP_RQ_PSN = 1 << 12, RDMA_QP_MAX_QP_RD_ATOMIC = 1 << 13,
    RDMA_QP_MIN_RNR_TIMER = 1 << 15, RDMA_QP_SQ_PSN = 1 << 16,
    RDMA_QP_MAX_DEST_RD_ATOMIC = 1 << 17, RDMA_QP_DEST_QPN = 1 << 20,
};

struct rdma_qp_attr {
    enum rdma_qp_state qp_state;
    u32 qp_access_flags;
    u32 dest_ipv4;          // host byte order; the address vector of RoCEv2 over IPv4
    u8 dest_mac[6];
    enum rdma_mtu path_mtu;
    u8 timeout, retry_cnt, rnr_retry, min_rnr_timer;
    u8 max_rd_atomic, max_dest_rd_atomic;
    u32 rq_psn, sq_psn;
    u32 dest_qp_num;
};

struct rdma_qp_init_attr {
    struct rdma_cq *send_cq, *recv_cq;
    u32 max_send_wr, max_recv_wr;
    bool sq_sig_all;
    void *context;
};

// Memory behind an MR, one page at a time. `page` returns the kernel address of the
// page that holds iova (its bytes up to the page's end may be touched), or NULL where
// this access is not allowed there: then the peer gets a remote access error. With
// *stable set true the page cannot change while the packet is in flight, and *pa is
// valid: transmit may gather from it without a copy.
struct rdma_mr_pages {
    void *(*page)(void *ctx, u64 iova, u32 access, bool *stable, paddr_t *pa);
    void *ctx;
};

struct rdma_pd *rdma_alloc_pd(struct rdma_dev *dev);
status_t rdma_dealloc_pd(struct rdma_pd *pd);

// Registers length bytes at addr (kernel virtual); remote address = addr unless iova
// is given by rdma_reg_mr_iova. Keys come from the device's rng. NULL: no room.
struct rdma_mr *rdma_reg_mr(struct rdma_pd *pd, void *addr, u64 length, u32 access);
struct rdma_mr *rdma_reg_mr_iova(struct rdma_pd *pd, void *addr, u64 length, u64 iova,
                                 u32 access);
// Registers the iova range [iova, iova+length) whose pages `pages` finds.
struct rdma_mr *rdma_reg_mr_pages(struct rdma_pd *pd, u64 iova, u64 length, u32 access,
                                  const struct rdma_mr_pages *pages);
// After it returns no packet touches the memory.
void rdma_dereg_mr(struct rdma_mr *mr);
u32 rdma_mr_lkey(const struct rdma_mr *mr);
u32 rdma_mr_rkey(const struct rdma_mr *mr);

// `notify` (may be NULL) runs when the CQ goes from empty to not empty.
struct rdma_cq *rdma_create_cq(struct rdma_dev *dev, u32 cqe, void (*notify)(void *ctx),
                               void *ctx);
status_t rdma_destroy_cq(struct rdma_cq *cq);
u32 rdma_poll_cq(struct rdma_cq *cq, u32 max_wc, struct rdma_wc *wc);

struct rdma_qp *rdma_create_qp(struct rdma_pd *pd, const struct rdma_qp_init_attr *attr);
status_t rdma_modify_qp(struct rdma_qp *qp, const struct rdma_qp_attr *attr, u32 mask);
void rdma_query_qp(const struct rdma_qp *qp, struct rdma_qp_attr *attr);
// Flushes, then forgets the QP: no packet of it acts after this returns.
void rdma_destroy_qp(struct rdma_qp *qp);
// How often an answer to a READ of this QP was made after a later request had run: the READ was
// sent again, or the network doubled it. Where that did not grow from before the post of two
// READs to their completion, the first one's bytes are not newer than the second's, if the first
// one's answer is one packet; of a longer one only RDMA_SEND_FENCE on the second makes sure.
u32 rdma_qp_doubts(const struct rdma_qp *qp);
u32 rdma_qp_num(const struct rdma_qp *qp);

// All of the chain or nothing: E_INVAL (state, sge count, key), E_NOMEM (queue full).
status_t rdma_post_send(struct rdma_qp *qp, const struct rdma_send_wr *wr);
status_t rdma_post_recv(struct rdma_qp *qp, const struct rdma_recv_wr *wr);

// How local code touches shared words that peers reach through this device.
const struct word_ops *rdma_word_ops(struct rdma_dev *dev);
