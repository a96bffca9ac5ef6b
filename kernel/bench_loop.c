// A pair of queue pairs between two cards of one machine, joined by hand: requester on
// one, responder on the other. For counting instructions of both sides in one virtual
// machine (docs/reference/bench.md). net_lock held.
#include "base/bits.h"
#include "base/string.h"
#include "drivers/rdma/soft.h"
#include "kernel/bench.h"
#include "kernel/net.h"
#include "kernel/random.h"
#include "mm/frame.h"

#define PSN_BITS 0xffffffu
#define RD_ATOMIC 16u
#define ACCESS_ALL (RDMA_ACCESS_LOCAL_WRITE | RDMA_ACCESS_REMOTE_WRITE | \
                    RDMA_ACCESS_REMOTE_READ | RDMA_ACCESS_REMOTE_ATOMIC)

struct loop_end {
    struct net_card *card;
    struct rdma_pd *pd;
    struct rdma_cq *cq;
    struct rdma_qp *qp;
    struct rdma_mr *mr;
    u8 *memory;                      // kept for the next time
    u32 psn;
};
static struct loop_end ends[2];

static status_t end_open(struct loop_end *e, struct net_card *card) {
    e->card = card;
    if (e->memory == NULL) {
        const paddr_t pa = frame_alloc_contiguous(BENCH_BYTES / PAGE_SIZE, FRAME_KERNEL);
        if (pa.v == 0) return E_NOMEM;
        e->memory = phys_to_virt(pa);
    }
    e->pd = rdma_alloc_pd(card->rdma);
    e->cq = rdma_create_cq(card->rdma, 4 * BENCH_DEPTH_MAX, NULL, NULL);
    if (e->pd == NULL || e->cq == NULL) return E_NOBUFS;
    const struct rdma_qp_init_attr attr = {.send_cq = e->cq, .recv_cq = e->cq,
                                           .max_send_wr = 2 * BENCH_DEPTH_MAX, .max_recv_wr = 1};
    e->qp = rdma_create_qp(e->pd, &attr);
    e->mr = rdma_reg_mr(e->pd, e->memory, BENCH_BYTES, ACCESS_ALL);
    e->psn = rng_u32(&kernel_rng) & PSN_BITS;
    return e->qp == NULL || e->mr == NULL ? E_NOBUFS : S_OK;
}

static status_t end_connect(struct loop_end *e, const struct loop_end *other, enum rdma_mtu mtu) {
    struct rdma_qp_attr attr = {.qp_state = RDMA_QPS_INIT, .qp_access_flags = ACCESS_ALL};
    status_t s = rdma_modify_qp(e->qp, &attr, RDMA_QP_STATE | RDMA_QP_ACCESS_FLAGS);
    if (s != S_OK) return s;
    attr = (struct rdma_qp_attr){
        .qp_state = RDMA_QPS_RTR, .dest_ipv4 = soft_ipv4(other->card->rdma), .path_mtu = mtu,
        .dest_qp_num = rdma_qp_num(other->qp), .rq_psn = other->psn,
        .max_dest_rd_atomic = RD_ATOMIC, .min_rnr_timer = 12};
    memcpy(attr.dest_mac, other->card->dev->mac, sizeof attr.dest_mac);
    s = rdma_modify_qp(e->qp, &attr, RDMA_QP_STATE | RDMA_QP_AV | RDMA_QP_PATH_MTU |
                       RDMA_QP_DEST_QPN | RDMA_QP_RQ_PSN | RDMA_QP_MAX_DEST_RD_ATOMIC |
                       RDMA_QP_MIN_RNR_TIMER);
    if (s != S_OK) return s;
    attr = (struct rdma_qp_attr){.qp_state = RDMA_QPS_RTS, .sq_psn = e->psn, .timeout = 20,
                                 .retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = RD_ATOMIC};
    return rdma_modify_qp(e->qp, &attr, RDMA_QP_STATE | RDMA_QP_SQ_PSN | RDMA_QP_TIMEOUT |
                          RDMA_QP_RETRY_CNT | RDMA_QP_RNR_RETRY | RDMA_QP_MAX_QP_RD_ATOMIC);
}

static void end_close(struct loop_end *e) {
    if (e->qp != NULL) rdma_destroy_qp(e->qp);
    if (e->mr != NULL) rdma_dereg_mr(e->mr);
    if (e->cq != NULL) rdma_destroy_cq(e->cq);
    if (e->pd != NULL) rdma_dealloc_pd(e->pd);
    *e = (struct loop_end){.memory = e->memory};
}

// Joins `from` (the requester) to `to`. E_INVAL: no such path MTU; E_NOMEM, E_NOBUFS.
status_t bench_loop_open(struct bench_link *l, struct net_card *from, struct net_card *to,
                         u32 mtu) {
    enum rdma_mtu path = MIN(soft_mtu(from->rdma), soft_mtu(to->rdma));
    while (mtu != 0 && path > RDMA_MTU_256 && (128u << path) > mtu) path--;
    if (mtu != 0 && (128u << path) != mtu) return E_INVAL;
    status_t s = end_open(&ends[0], from);
    if (s == S_OK) s = end_open(&ends[1], to);
    if (s == S_OK) s = end_connect(&ends[0], &ends[1], path);
    if (s == S_OK) s = end_connect(&ends[1], &ends[0], path);
    if (s != S_OK) {
        bench_loop_close(l);
        return s;
    }
    const u64 addr = (u64)ends[1].memory;
    const u32 key = rdma_mr_rkey(ends[1].mr);
    *l = (struct bench_link){.qp = ends[0].qp, .cq = ends[0].cq, .mtu = 128u << path,
                             .lkey = rdma_mr_lkey(ends[0].mr), .local = ends[0].memory,
                             .read_addr = addr, .write_addr = addr,
                             .read_key = key, .write_key = key};
    return S_OK;
}

void bench_loop_close(struct bench_link *l) {
    end_close(&ends[0]);
    end_close(&ends[1]);
    *l = (struct bench_link){0};
}
