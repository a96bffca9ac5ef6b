// Packets out: answers of the responder, requests of the requester, and control frames.
// Payload is read from memory once: copied into the card's buffer while the CRC is
// computed, or gathered by the card where the page cannot change. Called by soft.c under
// the device's lock; never recurses, stops where the card's ring is full and goes on from
// there next time.
// Spec: IBTA Vol. 1 9.7; docs/ARCHITECTURE.md, "Joining".
#include "drivers/rdma/soft_priv.h"

#include "base/string.h"

// Walks a message's memory: a remote key's range, or a work request's list.
struct source {
    struct soft_qp *qp;
    const struct soft_mr *mr;        // READ response: the MR, from va on
    u64 va;
    const struct rdma_sge *sge;      // request: the list, from `offset` on
    u32 num_sge, offset;
};

// The next contiguous piece, at most len bytes; false: not allowed.
static bool source_next(struct source *s, u32 len, struct soft_span *span) {
    struct soft_dev *dev = soft_of(s->qp->base.dev);
    if (s->mr != NULL) {
        if (!soft_mr_span(s->mr, s->va, len, RDMA_ACCESS_REMOTE_READ, span)) return false;
        s->va += span->len;
        return true;
    }
    while (s->num_sge != 0 && s->offset >= s->sge->length) {
        s->offset -= s->sge->length;
        s->sge++;
        s->num_sge--;
    }
    if (s->num_sge == 0) return false;
    u64 at = s->sge->addr + s->offset, room = s->sge->length - s->offset;
    u64 want = MIN((u64)len, room);
    const struct soft_mr *mr = soft_mr_check(dev, s->qp->pd, s->sge->lkey, at, want, 0);
    if (mr == NULL || !soft_mr_span(mr, at, want, 0, span)) return false;
    s->offset += (u32)span->len;
    return true;
}

static void gather_sent(void *ctx, u64 cookie) {
    (void)cookie;
    ((struct soft_dev *)ctx)->gather_done++;
}

enum send_result { SEND_OK, SEND_FULL, SEND_FAULT };

// Builds and queues one packet; b->payload_len bytes come from `src` (NULL where 0).
static enum send_result send_packet(struct soft_qp *qp, struct roce_build *b,
                                    struct source *src) {
    struct soft_dev *dev = soft_of(qp->base.dev);
    const struct crc_ops *crc = dev->config.crc;
    struct netdev *net = dev->netdev;
    u8 *frame = net->ops->tx_buf(net);
    if (frame == NULL) return SEND_FULL;
    b->dest_qp = qp->attr.dest_qp_num;
    u32 at = roce_build_headers(frame, &qp->flow, b);
    u32 reg = roce_headers_crc(crc, frame, at);
    struct net_tx tx = {.head = frame};
    for (u32 left = b->payload_len; left != 0;) {
        struct soft_span span;
        if (!source_next(src, left, &span)) {
            net->ops->tx_cancel(net, frame);
            return SEND_FAULT;
        }
        if (span.stable && span.len == b->payload_len && span.len >= SOFT_GATHER_MIN) {
            reg = crc->update(reg, span.at, span.len);
            tx.gather_pa = span.pa;
            tx.gather_len = (u32)span.len;
        } else {
            reg = crc->copy(reg, frame + at, span.at, span.len);
            at += (u32)span.len;
        }
        left -= (u32)span.len;
    }
    u32 tail = roce_build_trailer(crc, frame + at, reg, b->payload_len);
    tx.head_len = at + (tx.gather_len == 0 ? tail : 0);
    tx.tail_len = tx.gather_len == 0 ? 0 : tail;
    if (tx.gather_len != 0) {
        tx.sent = gather_sent;
        tx.sent_ctx = dev;
    }
    if (net->ops->tx_send(net, &tx) != S_OK) {
        dev->counters.send_err++;     // lost like on the wire; the timer repeats it
        return SEND_OK;
    }
    dev->gather_issued += tx.gather_len != 0;
    dev->counters.sent_pkts++;
    return SEND_OK;
}

static u8 read_opcode(const struct soft_resp *r, bool last) {
    if (r->started) return last ? RC_READ_RESP_LAST : RC_READ_RESP_MIDDLE;
    return last ? RC_READ_RESP_ONLY : RC_READ_RESP_FIRST;
}

// One packet of a READ's answer. A key or page that went away: NAK at this PSN.
static enum send_result send_read(struct soft_qp *qp, struct soft_resp *r, bool *done) {
    u32 len = MIN(r->len - r->offset, qp->mtu);
    struct source src = {.qp = qp, .va = r->va + r->offset};
    *done = r->offset + len == r->len;
    struct roce_build b = {.opcode = read_opcode(r, *done), .psn = r->psn,
                           .syndrome = AETH_ACK, .msn = r->msn, .payload_len = len};
    if (len != 0) {
        src.mr = soft_mr_check(soft_of(qp->base.dev), qp->pd, r->rkey, src.va, len,
                               RDMA_ACCESS_REMOTE_READ);
        if (src.mr == NULL) return SEND_FAULT;
    }
    enum send_result result = send_packet(qp, &b, &src);
    if (result != SEND_OK) return result;
    r->started = true;
    r->offset += len;
    r->psn = psn_add(r->psn, 1);
    return SEND_OK;
}

static void refuse_read(struct soft_qp *qp, struct soft_resp *r) {
    soft_of(qp->base.dev)->counters.bad_key++;
    struct soft_resp nak = {.kind = SOFT_RESP_ACK, .syndrome = AETH_NAK_ACCESS, .psn = r->psn,
                            .msn = r->msn};
    qp->rsq.tail = qp->rsq.head;      // nothing behind it is answered
    qp->reads_pending = 0;
    qp->rsp[ring_tail_index(&qp->rsq)] = nak;
    ring_produce(&qp->rsq);
}

static enum send_result send_answer(struct soft_qp *qp, struct soft_resp *r, bool *done) {
    struct roce_build b = {.psn = r->psn, .msn = r->msn, .syndrome = r->syndrome,
                           .opcode = RC_ACK};
    if (r->kind == SOFT_RESP_READ) return send_read(qp, r, done);
    *done = true;
    if (r->kind == SOFT_RESP_ATOMIC) {
        b.opcode = RC_ATOMIC_ACK;
        b.syndrome = AETH_ACK;
        b.atomic_orig = r->orig;
    }
    return send_packet(qp, &b, NULL);
}

static enum soft_tx_result send_answers(struct soft_qp *qp, u32 *budget) {
    while (!ring_empty(&qp->rsq)) {
        struct soft_resp *r = &qp->rsp[ring_peek_index(&qp->rsq, 0)];
        bool done = false;
        if (*budget == 0) return TX_MORE;
        enum send_result result = send_answer(qp, r, &done);
        if (result == SEND_FULL) return TX_FULL;
        if (result == SEND_FAULT && !r->counted) {
            // Asked again for what was answered before and is gone since: silently nothing.
            soft_of(qp->base.dev)->counters.bad_key++;
            ring_consume(&qp->rsq);
            continue;
        }
        if (result == SEND_FAULT) {
            refuse_read(qp, r);
            soft_qp_want_tx(qp);
            soft_qp_fail(qp, ~0u, RDMA_WC_LOC_ACCESS_ERR);
            return TX_IDLE;
        }
        --*budget;
        if (!done) continue;
        if (r->counted) qp->reads_pending--;
        ring_consume(&qp->rsq);
    }
    return TX_IDLE;
}

static enum send_result send_request(struct soft_qp *qp, const struct rc_tx *tx) {
    const struct rc_wqe *w = &qp->wqes[tx->wqe];
    const struct soft_swr *s = &qp->swr[tx->wqe];
    struct source src = {.qp = qp, .sge = s->sge, .num_sge = s->num_sge, .offset = tx->offset};
    struct roce_build b = {
        .opcode = tx->opcode, .psn = tx->psn, .ack_req = tx->ack_req,
        .solicited = w->solicited && (roce_opcodes[tx->opcode].flags & OPF_LAST),
        .va = tx->va, .rkey = w->rkey, .dma_len = tx->dma_len, .imm = w->imm,
        .payload_len = tx->len};
    if (w->op == RC_OP_CAS) {
        b.swap_add = w->swap;
        b.compare = w->compare_add;
    } else if (w->op == RC_OP_FAA) {
        b.swap_add = w->compare_add;
    }
    return send_packet(qp, &b, &src);
}

static enum soft_tx_result send_requests(struct soft_qp *qp, u32 *budget, u64 now_ns) {
    struct rc_tx tx;
    enum rdma_qp_state state = qp->attr.qp_state;
    if (state != RDMA_QPS_RTS && state != RDMA_QPS_SQD) return TX_IDLE;
    while (rc_req_next(&qp->req, now_ns, &tx)) {
        if (*budget == 0) return TX_MORE;
        enum send_result result = send_request(qp, &tx);
        if (result == SEND_FULL) return TX_FULL;
        if (result == SEND_FAULT) {
            soft_qp_fail(qp, tx.wqe, RDMA_WC_LOC_PROT_ERR);
            return TX_IDLE;
        }
        rc_req_sent(&qp->req, &tx, now_ns);
        --*budget;
    }
    return TX_IDLE;
}

// Sends what this QP has due, at most SOFT_TX_BURST packets; answers first.
enum soft_tx_result soft_qp_tx(struct soft_dev *dev, struct soft_qp *qp, u64 now_ns) {
    u32 budget = SOFT_TX_BURST;
    if (!qp->mac_ok) {
        soft_qp_resolve(dev, qp, now_ns);
        list_remove(&qp->tx_link);
        if (!qp->mac_ok) {
            dev->counters.no_mac++;
            // Waiting: soft_qp_resolve calls again when the MAC is known. Else the peer
            // has just failed to answer, or is no host: the oldest request fails now.
            if (!qp->mac_wait && !ring_empty(&qp->req.ring))
                soft_qp_fail(qp, ring_peek_index(&qp->req.ring, 0), RDMA_WC_RETRY_EXC_ERR);
            return TX_IDLE;
        }
    }
    enum soft_tx_result result = send_answers(qp, &budget);
    if (result != TX_IDLE || !qp->live) return result;
    return send_requests(qp, &budget, now_ns);
}

// A MAD as UD SEND from QP1 to QP1.
static bool send_mad(struct soft_dev *dev, const struct soft_ctl *ctl, const u8 *mac) {
    const struct crc_ops *crc = dev->config.crc;
    struct netdev *net = dev->netdev;
    struct roce_flow flow = {.src_ip = dev->config.ipv4, .dst_ip = ctl->dst_ip,
                             .src_port = ROCE_SPORT_BASE | QPN_GSI};
    struct roce_build b = {.opcode = UD_SEND_ONLY, .dest_qp = QPN_GSI, .psn = dev->gsi_psn,
                           .qkey = QKEY_GSI, .src_qp = QPN_GSI, .payload_len = MAD_LEN};
    u8 *frame = net->ops->tx_buf(net);
    if (frame == NULL) return false;
    memcpy(flow.src_mac, net->mac, 6);
    memcpy(flow.dst_mac, mac, 6);
    u32 at = roce_build_headers(frame, &flow, &b);
    u32 reg = roce_headers_crc(crc, frame, at);
    reg = crc->copy(reg, frame + at, ctl->bytes, MAD_LEN);
    at += MAD_LEN;
    at += roce_build_trailer(crc, frame + at, reg, MAD_LEN);
    dev->gsi_psn = psn_add(dev->gsi_psn, 1);
    if (net->ops->tx_send(net, &(struct net_tx){.head = frame, .head_len = at}) != S_OK)
        dev->counters.send_err++;
    dev->counters.sent_pkts++;
    return true;
}

static bool send_raw(struct soft_dev *dev, const struct soft_ctl *ctl) {
    struct netdev *net = dev->netdev;
    u8 *frame = net->ops->tx_buf(net);
    if (frame == NULL) return false;
    memcpy(frame, ctl->bytes, ctl->len);
    if (net->ops->tx_send(net, &(struct net_tx){.head = frame, .head_len = ctl->len}) != S_OK)
        dev->counters.send_err++;
    dev->counters.sent_pkts++;
    return true;
}

// Sends the control frames whose peer is known; the others keep waiting in place.
bool soft_ctl_tx(struct soft_dev *dev, u64 now_ns) {
    LIST_FOR_EACH_SAFE(it, &dev->ctl_list) {
        struct soft_ctl *ctl = LIST_ENTRY(it, struct soft_ctl, link);
        bool drop = false;
        if (ctl->dst_ip == 0) {
            if (!send_raw(dev, ctl)) return false;
        } else {
            const u8 *mac = soft_neigh_find(dev, ctl->dst_ip, now_ns);
            drop = mac == NULL && soft_neigh_failed(dev, ctl->dst_ip);
            if (mac == NULL && !drop) continue;
            if (mac != NULL && !send_mad(dev, ctl, mac)) return false;
        }
        list_remove(it);
        list_push_back(&dev->ctl_free, it);
    }
    return true;
}
