// Packets in: which QP, whether they may, and what they do to memory. Called by the owner
// through soft_rx under the device's lock; sends nothing, only queues what soft_tx sends.
// Spec: IBTA Vol. 1 9.6 (validation order), 9.7.5, 9.7.7.
#include "drivers/rdma/soft_priv.h"

#include "base/string.h"

// Copies into a scatter list from byte `offset` on; false: too short or not allowed.
static bool sge_write(struct soft_qp *qp, const struct rdma_sge *sge, u32 num_sge, u32 offset,
                    const u8 *from, u32 len) {
    for (; num_sge != 0 && len != 0; sge++, num_sge--) {
        if (offset >= sge->length) {
            offset -= sge->length;
            continue;
        }
        u32 part = MIN(len, sge->length - offset);
        u64 at = sge->addr + offset;
        const struct soft_mr *mr = soft_mr_check(soft_of(qp->base.dev), qp->pd, sge->lkey, at,
                                                 part, RDMA_ACCESS_LOCAL_WRITE);
        if (mr == NULL || !soft_mr_write(mr, at, from, part, RDMA_ACCESS_LOCAL_WRITE))
            return false;
        from += part;
        len -= part;
        offset = 0;
    }
    return len == 0;
}

static struct soft_resp *answer(struct soft_qp *qp) {
    struct soft_resp *r = &qp->rsp[ring_tail_index(&qp->rsq)];
    ring_produce(&qp->rsq);
    soft_qp_want_tx(qp);
    return r;
}

// Queues an ACK or NAK; an ACK still waiting at the end of the queue takes it in.
static void answer_ack(struct soft_qp *qp, u8 syndrome, u32 psn) {
    if (!ring_empty(&qp->rsq)) {
        struct soft_resp *last = &qp->rsp[(qp->rsq.tail - 1) & (SOFT_RESP_QUEUE - 1)];
        if (last->kind == SOFT_RESP_ACK && last->syndrome == AETH_ACK &&
            psn_diff(psn, last->psn) >= 0) {
            last->syndrome = syndrome;
            last->psn = psn;
            last->msn = qp->resp.msn;
            return;
        }
    }
    struct soft_resp *r = answer(qp);
    *r = (struct soft_resp){.kind = SOFT_RESP_ACK, .syndrome = syndrome, .psn = psn,
                            .msn = qp->resp.msn};
}

// Refuses a request for good: NAK, then ERR.
static void refuse(struct soft_qp *qp, u8 syndrome, u32 psn, enum rdma_wc_status why) {
    if (syndrome == AETH_NAK_ACCESS) soft_of(qp->base.dev)->counters.bad_key++;
    answer_ack(qp, syndrome, psn);
    soft_qp_fail(qp, ~0u, why);
}

// `fresh` answers count against max_dest_rd_atomic until they are sent.
static void answer_read(struct soft_qp *qp, const struct rc_resp_act *act, u32 original_psn,
                        bool fresh) {
    struct soft_resp *r = answer(qp);
    *r = (struct soft_resp){.kind = SOFT_RESP_READ, .psn = act->psn, .msn = qp->resp.msn,
                            .rkey = act->rkey, .len = act->len, .original_psn = original_psn,
                            .va = act->va, .counted = fresh};
    qp->reads_pending += fresh;
}

// A READ asked for again. Where its answer still waits or streams, that stream goes back;
// so a peer that asks often gets one stream, not many.
static void again_read(struct soft_qp *qp, const struct rc_resp_act *act) {
    for (u32 i = 0, n = ring_count(&qp->rsq); i < n; i++) {     // at most SOFT_RESP_QUEUE
        struct soft_resp *r = &qp->rsp[ring_peek_index(&qp->rsq, i)];
        if (r->kind != SOFT_RESP_READ || r->original_psn != act->original_psn) continue;
        r->psn = act->psn;
        r->va = act->va;
        r->len = act->len;
        r->offset = 0;
        r->started = false;
        return;
    }
    answer_read(qp, act, act->original_psn, false);
}

static void answer_atomic(struct soft_qp *qp, const struct rc_resp_act *act, bool fresh) {
    struct soft_resp *r = answer(qp);
    *r = (struct soft_resp){.kind = SOFT_RESP_ATOMIC, .psn = act->psn, .msn = qp->resp.msn,
                            .orig = act->orig, .counted = fresh};
    qp->reads_pending += fresh;
}

static struct soft_mr *key_check(struct soft_qp *qp, const struct rc_resp_act *act,
                                 u32 access) {
    return soft_mr_check(soft_of(qp->base.dev), qp->pd, act->rkey, act->va, act->check_len,
                         access);
}

static struct rdma_wc recv_wc(struct soft_qp *qp, enum rdma_wc_status status) {
    return (struct rdma_wc){
        .wr_id = qp->rwr[ring_peek_index(&qp->rq, 0)].wr_id, .status = status,
        .qp_num = qp->base.qp_num, .src_qp = qp->attr.dest_qp_num, .qp = &qp->base};
}

static void recv_complete(struct soft_qp *qp, const struct roce_pkt *pkt, u32 byte_len) {
    struct rdma_wc wc = recv_wc(qp, RDMA_WC_SUCCESS);
    wc.opcode = pkt->flags & OPF_WRITE ? RDMA_WC_RECV_RDMA_WITH_IMM : RDMA_WC_RECV;
    wc.byte_len = byte_len;
    if (pkt->flags & OPF_IMM) {
        wc.wc_flags = RDMA_WC_WITH_IMM;
        wc.imm_data = pkt->imm;
    }
    soft_qp_recv_done(qp, &wc);
}

static void do_send(struct soft_qp *qp, const struct roce_pkt *pkt, struct rc_resp_act *act) {
    const struct soft_rwr *r = &qp->rwr[ring_peek_index(&qp->rq, 0)];
    u64 room = 0;
    for (u32 i = 0; i < r->num_sge; i++) room += r->sge[i].length;
    if ((u64)act->offset + pkt->payload_len > room) {
        struct rdma_wc wc = recv_wc(qp, RDMA_WC_LOC_LEN_ERR);
        soft_qp_recv_done(qp, &wc);
        refuse(qp, AETH_NAK_INV_REQ, pkt->psn, RDMA_WC_LOC_LEN_ERR);
        return;
    }
    if (!sge_write(qp, r->sge, r->num_sge, act->offset, pkt->payload, pkt->payload_len)) {
        struct rdma_wc wc = recv_wc(qp, RDMA_WC_LOC_PROT_ERR);
        soft_qp_recv_done(qp, &wc);
        refuse(qp, AETH_NAK_OP, pkt->psn, RDMA_WC_LOC_PROT_ERR);
        return;
    }
    rc_resp_commit(&qp->resp, pkt, act);
    if (act->last) recv_complete(qp, pkt, qp->resp.offset);
    if (pkt->ack_req) answer_ack(qp, AETH_ACK, pkt->psn);
}

static void do_write(struct soft_qp *qp, const struct roce_pkt *pkt, struct rc_resp_act *act) {
    if (act->check_key) {
        const struct soft_mr *mr = key_check(qp, act, RDMA_ACCESS_REMOTE_WRITE);
        if (mr == NULL || !soft_mr_write(mr, act->va, pkt->payload, pkt->payload_len,
                                         RDMA_ACCESS_REMOTE_WRITE)) {
            refuse(qp, AETH_NAK_ACCESS, pkt->psn, RDMA_WC_LOC_ACCESS_ERR);
            return;
        }
    }
    rc_resp_commit(&qp->resp, pkt, act);
    if (act->imm) recv_complete(qp, pkt, qp->resp.offset);
    if (pkt->ack_req) answer_ack(qp, AETH_ACK, pkt->psn);
}

static void do_read(struct soft_qp *qp, const struct roce_pkt *pkt, struct rc_resp_act *act) {
    if (act->check_key && key_check(qp, act, RDMA_ACCESS_REMOTE_READ) == NULL) {
        refuse(qp, AETH_NAK_ACCESS, pkt->psn, RDMA_WC_LOC_ACCESS_ERR);
        return;
    }
    rc_resp_commit(&qp->resp, pkt, act);
    answer_read(qp, act, act->psn, true);
}

static void do_atomic(struct soft_qp *qp, const struct roce_pkt *pkt, struct rc_resp_act *act) {
    const struct word_ops *ops = qp->base.dev->word_ops;
    const struct soft_mr *mr = key_check(qp, act, RDMA_ACCESS_REMOTE_ATOMIC);
    struct soft_span span;
    if (mr == NULL || !soft_mr_span(mr, act->va, 8, RDMA_ACCESS_REMOTE_ATOMIC, &span)) {
        refuse(qp, AETH_NAK_ACCESS, pkt->psn, RDMA_WC_LOC_ACCESS_ERR);
        return;
    }
    if (span.len != 8 || ((uintptr_t)span.at & 7) != 0) {
        refuse(qp, AETH_NAK_INV_REQ, pkt->psn, RDMA_WC_LOC_ACCESS_ERR);
        return;
    }
    shared64_t *word = (void *)span.at;
    act->orig = pkt->opcode == RC_CMP_SWAP ? word_cas(ops, word, pkt->compare, pkt->swap_add)
                                           : word_add(ops, word, pkt->swap_add);
    rc_resp_commit(&qp->resp, pkt, act);
    answer_atomic(qp, act, true);
}

static void do_nak(struct soft_qp *qp, const struct rc_resp_act *act) {
    if (act->syndrome == AETH_NAK_SEQ) {
        soft_of(qp->base.dev)->counters.out_of_seq_request++;
        answer_ack(qp, act->syndrome, act->psn);
        return;
    }
    refuse(qp, act->syndrome, act->psn, RDMA_WC_REM_INV_REQ_ERR);
}

static void do_duplicate(struct soft_qp *qp, const struct roce_pkt *pkt,
                         const struct rc_resp_act *act) {
    struct soft_counters *c = &soft_of(qp->base.dev)->counters;
    c->duplicate_request++;
    if (act->verdict == RESP_DUP_ACK) answer_ack(qp, AETH_ACK, act->psn);
    if (act->verdict == RESP_DUP_ATOMIC) {
        c->dup_atomic_replayed++;
        answer_atomic(qp, act, false);
    }
    if (act->verdict == RESP_DROP && (pkt->flags & OPF_ATOMIC)) c->dup_atomic_too_old++;
    if (act->verdict != RESP_DUP_READ) return;
    // A key withdrawn since: silently nothing, as for any duplicate that may not run.
    if (act->check_key && key_check(qp, act, RDMA_ACCESS_REMOTE_READ) == NULL) c->bad_key++;
    else again_read(qp, act);
}

static void request_rx(struct soft_qp *qp, const struct roce_pkt *pkt) {
    struct soft_counters *c = &soft_of(qp->base.dev)->counters;
    struct rc_resp_act act;
    if (ring_full(&qp->rsq)) {
        c->resp_queue_full++;      // as if lost on the wire: it will be sent again
        return;
    }
    rc_resp_check(&qp->resp, pkt, !ring_empty(&qp->rq), qp->reads_pending, &act);
    switch (act.verdict) {
    case RESP_SEND: do_send(qp, pkt, &act); break;
    case RESP_WRITE: do_write(qp, pkt, &act); break;
    case RESP_READ: do_read(qp, pkt, &act); break;
    case RESP_ATOMIC: do_atomic(qp, pkt, &act); break;
    case RESP_NAK: do_nak(qp, &act); break;
    case RESP_RNR:
        c->send_rnr_err++;
        answer_ack(qp, (u8)(AETH_TYPE_RNR | qp->attr.min_rnr_timer), pkt->psn);
        break;
    case RESP_DROP:
        if (psn_diff(pkt->psn, qp->resp.epsn) < 0) do_duplicate(qp, pkt, &act);
        else c->out_of_seq_request++;
        break;
    default: do_duplicate(qp, pkt, &act); break;
    }
}

static enum rdma_wc_status wc_status_of(enum rc_req_error error) {
    static const u8 status[] = {
        [RC_ERR_NONE] = RDMA_WC_SUCCESS, [RC_ERR_BAD_RESP] = RDMA_WC_BAD_RESP_ERR,
        [RC_ERR_REM_INV_REQ] = RDMA_WC_REM_INV_REQ_ERR,
        [RC_ERR_REM_ACCESS] = RDMA_WC_REM_ACCESS_ERR, [RC_ERR_REM_OP] = RDMA_WC_REM_OP_ERR,
        [RC_ERR_RETRY_EXC] = RDMA_WC_RETRY_EXC_ERR,
        [RC_ERR_RNR_EXC] = RDMA_WC_RNR_RETRY_EXC_ERR};
    return (enum rdma_wc_status)status[error];
}

static void response_rx(struct soft_qp *qp, const struct roce_pkt *pkt, u64 now_ns) {
    struct rc_req_result r = rc_req_response(&qp->req, pkt, now_ns);
    const struct soft_swr *s = &qp->swr[r.wqe];
    bool placed = true;
    if (r.verdict == RC_REQ_IGNORE) return;
    if (r.verdict == RC_REQ_FAILED) {
        if (r.error == RC_ERR_RNR_EXC) soft_of(qp->base.dev)->counters.retry_rnr_exceeded_err++;
        soft_qp_fail(qp, r.wqe, wc_status_of(r.error));
        return;
    }
    if (r.verdict == RC_REQ_PLACE)
        placed = sge_write(qp, s->sge, s->num_sge, r.offset, pkt->payload,
                                pkt->payload_len);
    if (r.verdict == RC_REQ_ATOMIC)
        placed = sge_write(qp, s->sge, s->num_sge, 0, (const u8 *)&pkt->atomic_orig, 8);
    if (!placed) {
        qp->wqes[r.wqe].done = false;
        soft_qp_fail(qp, r.wqe, RDMA_WC_LOC_PROT_ERR);
        return;
    }
    soft_qp_reap(qp);
    soft_qp_timer(qp);
    if (!ring_empty(&qp->req.ring)) soft_qp_want_tx(qp);
}

static void gsi_rx(struct soft_dev *dev, const struct roce_pkt *pkt, u64 now_ns) {
    struct soft_counters *c = &dev->counters;
    if (!(pkt->flags & OPF_UD)) c->bad_transport++;
    else if (pkt->dst_ip != dev->config.ipv4) c->bad_src++;
    else if ((pkt->pkey & 0x7fff) != (PKEY_DEFAULT & 0x7fff)) c->bad_pkey++;
    else if (pkt->qkey != QKEY_GSI) c->bad_qkey++;
    else if (pkt->payload_len != MAD_LEN) c->bad_len++;
    else if (!roce_icrc_ok(dev->config.crc, pkt)) c->bad_icrc++;
    else cm_rx(&dev->cm, pkt->src_ip, pkt->payload, pkt->payload_len, now_ns);
}

static bool state_takes(enum rdma_qp_state state, u32 flags) {
    if (state == RDMA_QPS_RTS || state == RDMA_QPS_SQD) return true;
    return state == RDMA_QPS_RTR && !(flags & OPF_RESPONSE);
}

// The checks of 9.6 that need the QP, in its order; the counter to raise, NULL: good.
static u64 *rc_refused(struct soft_dev *dev, const struct soft_qp *qp,
                       const struct roce_pkt *pkt) {
    struct soft_counters *c = &dev->counters;
    if (qp == NULL) return &c->bad_qpn;
    if (pkt->flags & OPF_UD) return &c->bad_transport;
    if (!state_takes(qp->attr.qp_state, pkt->flags)) return &c->bad_state;
    if (pkt->src_ip != qp->flow.dst_ip || pkt->dst_ip != dev->config.ipv4) return &c->bad_src;
    if ((pkt->pkey & 0x7fff) != (PKEY_DEFAULT & 0x7fff)) return &c->bad_pkey;
    return roce_icrc_ok(dev->config.crc, pkt) ? NULL : &c->bad_icrc;
}

static void roce_rx(struct soft_dev *dev, const struct roce_pkt *pkt, u64 now_ns) {
    dev->counters.rcvd_pkts++;
    if (pkt->dest_qp == QPN_GSI) {
        gsi_rx(dev, pkt, now_ns);
        return;
    }
    struct id_node *node = id_find(&dev->qp_by_num, pkt->dest_qp);
    struct soft_qp *qp = node == NULL ? NULL : CONTAINER_OF(node, struct soft_qp, num);
    u64 *refused = rc_refused(dev, qp, pkt);
    if (refused != NULL) {
        ++*refused;
        return;
    }
    if (pkt->flags & OPF_CNP) {
        dev->counters.cnp++;       // accepted, and nothing slows down yet
    } else if (pkt->flags & OPF_RESPONSE) {
        response_rx(qp, pkt, now_ns);
    } else {
        bool first = !qp->data_seen;
        u32 generation = qp->generation;
        qp->data_seen = true;
        request_rx(qp, pkt);
        if (first && qp->live && qp->generation == generation && qp->first_data != NULL)
            qp->first_data(qp->first_data_ctx, &qp->base, now_ns);
    }
}

// Takes one Ethernet frame of len_bytes without FCS. Whatever is wrong with it costs a
// counter and nothing else. Callbacks (CQ notify, CM events, qp_error) may run inside.
void soft_rx(struct rdma_dev *rdma, const u8 *frame, u32 len_bytes, u64 now_ns) {
    struct soft_dev *dev = soft_of(rdma);
    struct soft_counters *c = &dev->counters;
    struct roce_pkt pkt;
    dev->now_ns = now_ns;
    switch (roce_parse(frame, len_bytes, &pkt)) {
    case PARSE_OK: roce_rx(dev, &pkt, now_ns); break;
    case PARSE_BAD_IP: c->bad_ip++; break;
    case PARSE_BAD_LEN: c->bad_len++; break;
    case PARSE_BAD_TVER: c->bad_tver++; break;
    case PARSE_BAD_OPCODE: c->bad_opcode++; break;
    default:
        if (len_bytes >= ETH_LEN && be16_get(((const struct eth_hdr *)frame)->type) ==
            ETH_TYPE_ARP) soft_arp_rx(dev, frame, len_bytes);
        else c->not_roce++;
    }
}
