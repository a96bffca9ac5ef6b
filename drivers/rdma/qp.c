// Queue pairs of soft RoCE: life, state machine, posting, completing, flushing. Slots keep
// their queue memory for the next QP. Device's lock.
// Spec: IBTA Vol. 1 10.3.1 (states), 11.4 (posting), 10.8 (completion).
#include "drivers/rdma/soft_priv.h"

#include "base/string.h"

static u32 round_up_pow2(u32 n) {
    u32 size = 1;
    while (size < n) size <<= 1;
    return size;
}

static bool queues_ready(struct soft_dev *dev, struct soft_qp *qp, u32 sq, u32 rq) {
    if (qp->sq_size < sq) {
        struct soft_swr *swr = soft_alloc(dev, sq * sizeof *swr);
        struct rc_wqe *wqes = soft_alloc(dev, sq * sizeof *wqes);
        if (swr == NULL || wqes == NULL) {
            if (swr != NULL) soft_free(dev, swr, sq * sizeof *swr);
            if (wqes != NULL) soft_free(dev, wqes, sq * sizeof *wqes);
            return false;
        }
        if (qp->swr != NULL) soft_free(dev, qp->swr, qp->sq_size * sizeof *swr);
        if (qp->wqes != NULL) soft_free(dev, qp->wqes, qp->sq_size * sizeof *wqes);
        qp->swr = swr;
        qp->wqes = wqes;
        qp->sq_size = sq;
    }
    if (qp->rq_size < rq) {
        struct soft_rwr *rwr = soft_alloc(dev, rq * sizeof *rwr);
        if (rwr == NULL) return false;
        if (qp->rwr != NULL) soft_free(dev, qp->rwr, qp->rq_size * sizeof *rwr);
        qp->rwr = rwr;
        qp->rq_size = rq;
    }
    return true;
}

static u32 draw_qpn(struct soft_dev *dev) {
    for (u32 i = 0; i < SOFT_ID_TRIES; i++) {
        u32 qpn = rng_u32(&dev->config.rng) & PSN_MASK;
        if (qpn > QPN_GSI && qpn != QPN_MULTICAST && id_find(&dev->qp_by_num, qpn) == NULL)
            return qpn;
    }
    return 0;
}

struct rdma_qp *soft_create_qp(struct rdma_pd *pd, const struct rdma_qp_init_attr *attr) {
    struct soft_dev *dev = soft_of(pd->dev);
    if (attr->max_send_wr > SOFT_WR_MAX || attr->max_recv_wr > SOFT_WR_MAX) return NULL;
    u32 sq = round_up_pow2(attr->max_send_wr), rq = round_up_pow2(attr->max_recv_wr);
    u32 qpn = draw_qpn(dev);
    struct list_node *node = qpn == 0 ? NULL : list_pop_front(&dev->qp_free);
    if (node == NULL) return NULL;
    struct soft_qp *qp = LIST_ENTRY(node, struct soft_qp, link);
    if (!queues_ready(dev, qp, sq, rq)) {
        list_push_front(&dev->qp_free, &qp->link);
        return NULL;
    }
    qp->base = (struct rdma_qp){pd->dev, qpn, attr->context};
    qp->live = true;
    qp->generation++;
    qp->pd = (struct soft_pd *)pd;
    qp->send_cq = (struct soft_cq *)attr->send_cq;
    qp->recv_cq = (struct soft_cq *)attr->recv_cq;
    qp->pd->users++;
    qp->send_cq->users++;
    qp->recv_cq->users++;
    qp->sq_sig_all = attr->sq_sig_all;
    qp->first_data = NULL;
    qp->attr = (struct rdma_qp_attr){.qp_state = RDMA_QPS_RESET};
    rc_req_init(&qp->req, qp->wqes, sq, &dev->req_counters);
    ring_init(&qp->rq, rq);
    ring_init(&qp->rsq, SOFT_RESP_QUEUE);
    qp->reads_pending = 0;
    qp->mac_ok = qp->mac_wait = qp->data_seen = false;
    id_insert(&dev->qp_by_num, &qp->num, qpn);
    return &qp->base;
}

static void stop(struct soft_qp *qp) {
    list_remove(&qp->tx_link);
    list_remove(&qp->timer_link);
    qp->mac_wait = false;
    qp->rsq.head = qp->rsq.tail;
    qp->reads_pending = 0;
}

static struct rdma_wc wc_of(struct soft_qp *qp, u64 wr_id, enum rdma_wc_status status) {
    return (struct rdma_wc){.wr_id = wr_id, .status = status, .qp_num = qp->base.qp_num,
                            .qp = &qp->base};
}

static void flush(struct soft_qp *qp, u32 failed_index, enum rdma_wc_status why) {
    u32 index;
    while (rc_req_pop_any(&qp->req, &index)) {
        struct rdma_wc wc = wc_of(qp, qp->swr[index].wr_id,
                                  index == failed_index ? why : RDMA_WC_WR_FLUSH_ERR);
        soft_cq_push(qp->send_cq, &wc);     // errors complete whether signaled or not
    }
    while (!ring_empty(&qp->rq)) {
        struct rdma_wc wc = wc_of(qp, qp->rwr[ring_peek_index(&qp->rq, 0)].wr_id,
                                  RDMA_WC_WR_FLUSH_ERR);
        ring_consume(&qp->rq);
        soft_cq_push(qp->recv_cq, &wc);
    }
}

void soft_destroy_qp(struct rdma_qp *base) {
    struct soft_qp *qp = (struct soft_qp *)base;
    struct soft_dev *dev = soft_of(base->dev);
    stop(qp);
    flush(qp, ~0u, RDMA_WC_WR_FLUSH_ERR);
    id_remove(&dev->qp_by_num, &qp->num);
    qp->live = false;
    qp->attr.qp_state = RDMA_QPS_RESET;
    qp->pd->users--;
    qp->send_cq->users--;
    qp->recv_cq->users--;
    list_push_front(&dev->qp_free, &qp->link);
}

// Completes finished WQEs, then flushes the rest: exactly one completion each. Answers
// already queued (the NAK that says why) still go out.
static void to_err(struct soft_qp *qp, u32 index, enum rdma_wc_status status) {
    soft_qp_reap(qp);
    qp->attr.qp_state = RDMA_QPS_ERR;
    qp->req.timer_on = false;
    qp->req.rnr_until_ns = 0;
    list_remove(&qp->timer_link);
    flush(qp, index, status);
}

// The QP fails by itself. The owner's callback may destroy it: touch qp no more.
void soft_qp_fail(struct soft_qp *qp, u32 index, enum rdma_wc_status status) {
    struct soft_dev *dev = soft_of(qp->base.dev);
    if (qp->attr.qp_state == RDMA_QPS_ERR || qp->attr.qp_state == RDMA_QPS_RESET) return;
    to_err(qp, index, status);
    dev->counters.qp_err++;
    if (dev->config.qp_error != NULL)
        dev->config.qp_error(dev->config.qp_error_ctx, &qp->base, status);
}

// One receive is done (its place in the ring is the head).
void soft_qp_recv_done(struct soft_qp *qp, const struct rdma_wc *wc) {
    ring_consume(&qp->rq);
    soft_cq_push(qp->recv_cq, wc);
}

void soft_qp_reap(struct soft_qp *qp) {
    static const u8 wc_opcode[] = {RDMA_WC_SEND, RDMA_WC_SEND, RDMA_WC_RDMA_WRITE,
        RDMA_WC_RDMA_WRITE, RDMA_WC_RDMA_READ, RDMA_WC_COMP_SWAP, RDMA_WC_FETCH_ADD};
    u32 index;
    while (rc_req_pop(&qp->req, &index)) {
        const struct soft_swr *s = &qp->swr[index];
        if (!s->signaled) continue;
        struct rdma_wc wc = wc_of(qp, s->wr_id, RDMA_WC_SUCCESS);
        wc.opcode = wc_opcode[qp->wqes[index].op];
        wc.byte_len = qp->wqes[index].len;
        soft_cq_push(qp->send_cq, &wc);
    }
}

static const u32 rtr_needs = RDMA_QP_AV | RDMA_QP_PATH_MTU | RDMA_QP_DEST_QPN | RDMA_QP_RQ_PSN |
                             RDMA_QP_MAX_DEST_RD_ATOMIC | RDMA_QP_MIN_RNR_TIMER;
static const u32 rts_needs = RDMA_QP_TIMEOUT | RDMA_QP_RETRY_CNT | RDMA_QP_RNR_RETRY |
                             RDMA_QP_SQ_PSN | RDMA_QP_MAX_QP_RD_ATOMIC;
static const u32 always_allowed = RDMA_QP_STATE | RDMA_QP_ACCESS_FLAGS | RDMA_QP_MIN_RNR_TIMER;

static bool values_ok(const struct soft_dev *dev, const struct rdma_qp_attr *a, u32 mask) {
    if ((mask & RDMA_QP_PATH_MTU) && (a->path_mtu < RDMA_MTU_256 ||
        a->path_mtu > soft_mtu(&dev->base))) return false;
    if ((mask & RDMA_QP_DEST_QPN) && (a->dest_qp_num > PSN_MASK)) return false;
    if ((mask & RDMA_QP_MAX_DEST_RD_ATOMIC) && a->max_dest_rd_atomic > SOFT_RD_ATOMIC_MAX)
        return false;
    if ((mask & RDMA_QP_MAX_QP_RD_ATOMIC) && a->max_rd_atomic > SOFT_RD_ATOMIC_MAX) return false;
    if ((mask & RDMA_QP_TIMEOUT) && a->timeout > 31) return false;
    if ((mask & RDMA_QP_RETRY_CNT) && a->retry_cnt > 7) return false;
    if ((mask & RDMA_QP_RNR_RETRY) && a->rnr_retry > 7) return false;
    return !((mask & RDMA_QP_MIN_RNR_TIMER) && a->min_rnr_timer > 31);
}

static bool transition_ok(enum rdma_qp_state from, enum rdma_qp_state to, u32 mask) {
    if (to == RDMA_QPS_RESET || to == RDMA_QPS_ERR) return true;
    if (to == RDMA_QPS_INIT) return from == RDMA_QPS_RESET || from == RDMA_QPS_INIT;
    if (to == RDMA_QPS_RTR) return from == RDMA_QPS_INIT && (mask & rtr_needs) == rtr_needs;
    if (to == RDMA_QPS_RTS && from == RDMA_QPS_RTR) return (mask & rts_needs) == rts_needs;
    if (to == RDMA_QPS_RTS || to == RDMA_QPS_SQD)
        return (from == RDMA_QPS_RTS || from == RDMA_QPS_SQD) && !(mask & ~always_allowed);
    return false;
}

static void take_attr(struct rdma_qp_attr *to, const struct rdma_qp_attr *a, u32 mask) {
    if (mask & RDMA_QP_ACCESS_FLAGS) to->qp_access_flags = a->qp_access_flags;
    if (mask & RDMA_QP_AV) {
        to->dest_ipv4 = a->dest_ipv4;
        memcpy(to->dest_mac, a->dest_mac, sizeof to->dest_mac);
    }
    if (mask & RDMA_QP_PATH_MTU) to->path_mtu = a->path_mtu;
    if (mask & RDMA_QP_TIMEOUT) to->timeout = a->timeout;
    if (mask & RDMA_QP_RETRY_CNT) to->retry_cnt = a->retry_cnt;
    if (mask & RDMA_QP_RNR_RETRY) to->rnr_retry = a->rnr_retry;
    if (mask & RDMA_QP_RQ_PSN) to->rq_psn = a->rq_psn & PSN_MASK;
    if (mask & RDMA_QP_SQ_PSN) to->sq_psn = a->sq_psn & PSN_MASK;
    if (mask & RDMA_QP_MAX_QP_RD_ATOMIC) to->max_rd_atomic = a->max_rd_atomic;
    if (mask & RDMA_QP_MAX_DEST_RD_ATOMIC) to->max_dest_rd_atomic = a->max_dest_rd_atomic;
    if (mask & RDMA_QP_MIN_RNR_TIMER) to->min_rnr_timer = a->min_rnr_timer;
    if (mask & RDMA_QP_DEST_QPN) to->dest_qp_num = a->dest_qp_num;
}

static void take_access(struct soft_qp *qp) {
    u32 flags = qp->attr.qp_access_flags;
    qp->resp.attr.allow_write = flags & RDMA_ACCESS_REMOTE_WRITE;
    qp->resp.attr.allow_read = flags & RDMA_ACCESS_REMOTE_READ;
    qp->resp.attr.allow_atomic = flags & RDMA_ACCESS_REMOTE_ATOMIC;
}

static void to_rtr(struct soft_qp *qp) {
    struct soft_dev *dev = soft_of(qp->base.dev);
    const struct rdma_qp_attr *a = &qp->attr;
    u32 shift = 7 + (u32)a->path_mtu;
    qp->mtu = 1u << shift;
    rc_resp_start(&qp->resp, &(struct rc_resp_attr){
        .rq_psn = a->rq_psn, .mtu_shift = shift, .max_dest_rd_atomic = a->max_dest_rd_atomic});
    qp->flow = (struct roce_flow){
        .src_ip = dev->config.ipv4, .dst_ip = a->dest_ipv4,
        .src_port = (u16)(ROCE_SPORT_BASE | (qp->base.qp_num & 0x3fff))};
    memcpy(qp->flow.src_mac, dev->netdev->mac, 6);
    soft_qp_resolve(dev, qp, dev->now_ns);
}

static void to_rts(struct soft_qp *qp) {
    const struct rdma_qp_attr *a = &qp->attr;
    rc_req_start(&qp->req, &(struct rc_req_attr){
        .sq_psn = a->sq_psn, .mtu_shift = 7 + (u32)a->path_mtu, .timeout = a->timeout,
        .retry_cnt = a->retry_cnt, .rnr_retry = a->rnr_retry,
        .max_rd_atomic = a->max_rd_atomic});
}

static void to_reset(struct soft_qp *qp) {
    stop(qp);
    rc_req_init(&qp->req, qp->wqes, qp->req.ring.size, qp->req.counters);
    ring_init(&qp->rq, qp->rq.size);
    qp->mac_ok = qp->data_seen = false;
}

// The states of 10.3.1; E_INVAL where the step, its attributes or a value is not allowed,
// and then nothing has changed.
status_t soft_modify_qp(struct rdma_qp *base, const struct rdma_qp_attr *attr, u32 mask) {
    struct soft_qp *qp = (struct soft_qp *)base;
    enum rdma_qp_state from = qp->attr.qp_state;
    enum rdma_qp_state to = mask & RDMA_QP_STATE ? attr->qp_state : from;
    if (to == from && from >= RDMA_QPS_RTR && (mask & ~always_allowed)) return E_INVAL;
    if (!values_ok(soft_of(base->dev), attr, mask)) return E_INVAL;
    if (to != from && !transition_ok(from, to, mask)) return E_INVAL;
    if (to == RDMA_QPS_ERR) {
        to_err(qp, ~0u, RDMA_WC_WR_FLUSH_ERR);
        stop(qp);
        return S_OK;
    }
    take_attr(&qp->attr, attr, mask);
    qp->attr.qp_state = to;
    if (to == RDMA_QPS_RESET) to_reset(qp);
    if (to == RDMA_QPS_RTR && from != to) to_rtr(qp);
    if (to == RDMA_QPS_RTS && from == RDMA_QPS_RTR) to_rts(qp);
    if (to >= RDMA_QPS_RTR) take_access(qp);
    qp->req.drain = to == RDMA_QPS_SQD;
    if (to == RDMA_QPS_RTS) soft_qp_want_tx(qp);
    return S_OK;
}

void soft_query_qp(const struct rdma_qp *base, struct rdma_qp_attr *attr) {
    const struct soft_qp *qp = (const struct soft_qp *)base;
    *attr = qp->attr;
    attr->sq_psn = qp->req.next_psn;
    attr->rq_psn = qp->resp.epsn;
}

u32 soft_qp_doubts(const struct rdma_qp *qp) { return ((const struct soft_qp *)qp)->req.doubts; }

static const u8 op_of[] = {
    [RDMA_WR_RDMA_WRITE] = RC_OP_WRITE, [RDMA_WR_RDMA_WRITE_WITH_IMM] = RC_OP_WRITE_IMM,
    [RDMA_WR_SEND] = RC_OP_SEND, [RDMA_WR_SEND_WITH_IMM] = RC_OP_SEND_IMM,
    [RDMA_WR_RDMA_READ] = RC_OP_READ, [RDMA_WR_ATOMIC_CMP_AND_SWP] = RC_OP_CAS,
    [RDMA_WR_ATOMIC_FETCH_AND_ADD] = RC_OP_FAA};

static bool sges_ok(struct soft_qp *qp, const struct rdma_sge *sge, u32 count, u32 access,
                    u64 *total) {
    *total = 0;
    if (count > RDMA_SGE_MAX) return false;
    for (u32 i = 0; i < count; i++) {
        *total += sge[i].length;
        if (sge[i].length != 0 && soft_mr_check(soft_of(qp->base.dev), qp->pd, sge[i].lkey,
                                                sge[i].addr, sge[i].length, access) == NULL)
            return false;
    }
    return true;
}

static bool send_wr_ok(struct soft_qp *qp, const struct rdma_send_wr *wr) {
    u64 total;
    if ((u32)wr->opcode >= ARRAY_COUNT(op_of)) return false;
    enum rc_op op = op_of[wr->opcode];
    u32 access = rc_op_reads(op) ? RDMA_ACCESS_LOCAL_WRITE : 0;
    if (!sges_ok(qp, wr->sge, wr->num_sge, access, &total) || total > SOFT_MSG_MAX) return false;
    if (rc_op_reads(op) && qp->attr.max_rd_atomic == 0) return false;
    return op < RC_OP_CAS || total == 8;
}

static void post_one(struct soft_qp *qp, const struct rdma_send_wr *wr) {
    u32 index = 0, len = 0;
    struct rc_wqe *w = rc_req_slot(&qp->req, &index);
    struct soft_swr *s = &qp->swr[index];
    s->wr_id = wr->wr_id;
    s->num_sge = (u8)wr->num_sge;
    s->signaled = qp->sq_sig_all || (wr->send_flags & RDMA_SEND_SIGNALED);
    for (u32 i = 0; i < wr->num_sge; i++) {
        s->sge[i] = wr->sge[i];
        len += wr->sge[i].length;
    }
    w->op = op_of[wr->opcode];
    w->fence = wr->send_flags & RDMA_SEND_FENCE;
    w->solicited = wr->send_flags & RDMA_SEND_SOLICITED;
    w->len = len;
    w->va = wr->remote_addr;
    w->rkey = wr->rkey;
    w->imm = wr->imm_data;
    w->compare_add = wr->compare_add;
    w->swap = wr->swap;
    rc_req_post(&qp->req);
}

// Checks the whole chain, then posts it. In ERR the work completes at once as flushed.
status_t soft_post_send(struct rdma_qp *base, const struct rdma_send_wr *wr) {
    struct soft_qp *qp = (struct soft_qp *)base;
    enum rdma_qp_state state = qp->attr.qp_state;
    u32 count = 0, space = ring_space(&qp->req.ring);
    if (state != RDMA_QPS_RTS && state != RDMA_QPS_SQD && state != RDMA_QPS_ERR) return E_INVAL;
    for (const struct rdma_send_wr *w = wr; w != NULL; w = w->next) {
        if (++count > space) return E_NOMEM;
        if (!send_wr_ok(qp, w)) return E_INVAL;
    }
    for (; wr != NULL; wr = wr->next) post_one(qp, wr);
    if (state == RDMA_QPS_ERR) flush(qp, ~0u, RDMA_WC_WR_FLUSH_ERR);
    else soft_qp_want_tx(qp);
    return S_OK;
}

status_t soft_post_recv(struct rdma_qp *base, const struct rdma_recv_wr *wr) {
    struct soft_qp *qp = (struct soft_qp *)base;
    u64 total;
    if (qp->attr.qp_state == RDMA_QPS_RESET) return E_INVAL;
    if (ring_full(&qp->rq)) return E_NOMEM;
    if (!sges_ok(qp, wr->sge, wr->num_sge, RDMA_ACCESS_LOCAL_WRITE, &total)) return E_INVAL;
    struct soft_rwr *r = &qp->rwr[ring_tail_index(&qp->rq)];
    r->wr_id = wr->wr_id;
    r->num_sge = wr->num_sge;
    for (u32 i = 0; i < wr->num_sge; i++) r->sge[i] = wr->sge[i];
    ring_produce(&qp->rq);
    if (qp->attr.qp_state == RDMA_QPS_ERR) flush(qp, ~0u, RDMA_WC_WR_FLUSH_ERR);
    return S_OK;
}
