// The RC responder machine: PSN, opcode sequence, lengths, resources, duplicates, one
// small step after another. Called by drivers/rdma/soft_rx.c under the device's lock.
// It decides and remembers; keys and memory are the caller's.
// Spec: IBTA Vol. 1 9.7.4, 9.7.5, 9.9.3.
#include "proto/roce/rc_resp.h"

#include "base/string.h"

enum resp_step { STEP_PSN, STEP_DUPLICATE, STEP_SEQUENCE, STEP_LENGTH, STEP_ENABLED,
                 STEP_RESOURCES, STEP_FILL, STEP_DONE };

struct resp_ctx {
    struct rc_resp *r;
    const struct roce_pkt *pkt;
    bool recv_posted;
    u32 reads_pending;
    struct rc_resp_act *act;
};

static enum resp_step end(struct resp_ctx *c, enum rc_resp_verdict verdict) {
    c->act->verdict = verdict;
    return STEP_DONE;
}

static enum resp_step nak(struct resp_ctx *c, u8 syndrome) {
    c->act->syndrome = syndrome;
    return end(c, RESP_NAK);
}

static enum resp_step step_psn(struct resp_ctx *c) {
    i32 diff = psn_diff(c->pkt->psn, c->r->epsn);
    if (diff == 0) return STEP_SEQUENCE;
    if (diff < 0) return STEP_DUPLICATE;
    if (c->r->nak_sent) return end(c, RESP_DROP);
    c->r->nak_sent = true;         // once until the gap closes (9.7.5.2.8)
    c->act->psn = c->r->epsn;
    return nak(c, AETH_NAK_SEQ);
}

static struct rc_resp_saved *saved_find(struct rc_resp *r, u32 psn) {
    for (u32 i = 0; i < r->attr.max_dest_rd_atomic; i++) {       // at most 16
        struct rc_resp_saved *s = &r->saved[i];
        if (s->used && psn_diff(psn, s->first_psn) >= 0 && psn_diff(psn, s->last_psn) <= 0)
            return s;
    }
    return NULL;
}

// A READ again, perhaps from its middle: only what the original allowed.
static enum resp_step duplicate_read(struct resp_ctx *c, const struct rc_resp_saved *s) {
    const struct roce_pkt *p = c->pkt;
    u64 skipped = (u64)(u32)psn_diff(p->psn, s->first_psn) << c->r->attr.mtu_shift;
    if (s->atomic || p->rkey != s->rkey || p->dma_len > s->len) return end(c, RESP_DROP);
    if (p->va - s->va != skipped || skipped > s->len - p->dma_len) return end(c, RESP_DROP);
    c->act->va = p->va;
    c->act->rkey = p->rkey;
    c->act->len = c->act->check_len = p->dma_len;
    c->act->check_key = p->dma_len != 0;
    c->act->original_psn = s->first_psn;
    return end(c, RESP_DUP_READ);
}

// The newest executed, but never one that only its own response may acknowledge: Linux's rxe
// completes an atomic by a plain ACK of its PSN, without the result (9.7.5.1.2: READs and
// atomics are not coalesced).
static u32 duplicate_ack_psn(const struct rc_resp *r, u32 psn) {
    if (psn_diff(psn, r->own_answer_psn) <= 0) return psn;
    return psn_add(r->epsn, PSN_MASK);
}

static enum resp_step step_duplicate(struct resp_ctx *c) {
    if (!(c->pkt->flags & (OPF_READ | OPF_ATOMIC))) {
        c->act->psn = duplicate_ack_psn(c->r, c->pkt->psn);
        return end(c, RESP_DUP_ACK);
    }
    const struct rc_resp_saved *s = saved_find(c->r, c->pkt->psn);
    if (s == NULL) return end(c, RESP_DROP);
    if (c->pkt->flags & OPF_READ) return duplicate_read(c, s);
    if (!s->atomic || s->va != c->pkt->va || s->rkey != c->pkt->rkey) return end(c, RESP_DROP);
    c->act->orig = s->orig;                                      // never executed twice
    return end(c, RESP_DUP_ATOMIC);
}

static enum resp_step step_sequence(struct resp_ctx *c) {
    u32 flags = c->pkt->flags, kind = flags & (OPF_SEND | OPF_WRITE);
    if (c->r->message == 0)
        return flags & OPF_FIRST ? STEP_LENGTH : nak(c, AETH_NAK_INV_REQ);
    if ((flags & OPF_FIRST) || kind != c->r->message) return nak(c, AETH_NAK_INV_REQ);
    return STEP_LENGTH;
}

static bool length_ok(const struct rc_resp *r, const struct roce_pkt *p) {
    u32 mtu = 1u << r->attr.mtu_shift, n = p->payload_len;
    u32 place = p->flags & (OPF_FIRST | OPF_LAST);
    if (p->flags & OPF_READ) return p->dma_len <= RC_READ_MAX;
    if (p->flags & OPF_ATOMIC) return (p->va & 7) == 0;
    if (n > mtu || (!(p->flags & OPF_LAST) && n != mtu)) return false;
    if (place == OPF_LAST && n == 0) return false;
    if (!(p->flags & OPF_WRITE)) return true;
    u32 left = p->flags & OPF_FIRST ? p->dma_len : r->left;
    if (left > 1u << 31) return false;
    return p->flags & OPF_LAST ? n == left : n < left;
}

static enum resp_step step_length(struct resp_ctx *c) {
    return length_ok(c->r, c->pkt) ? STEP_ENABLED : nak(c, AETH_NAK_INV_REQ);
}

static enum resp_step step_enabled(struct resp_ctx *c) {
    const struct rc_resp_attr *a = &c->r->attr;
    u32 flags = c->pkt->flags;
    if (((flags & OPF_WRITE) && !a->allow_write) || ((flags & OPF_READ) && !a->allow_read) ||
        ((flags & OPF_ATOMIC) && !a->allow_atomic))
        return nak(c, AETH_NAK_INV_REQ);
    return STEP_RESOURCES;
}

static enum resp_step step_resources(struct resp_ctx *c) {
    u32 flags = c->pkt->flags;
    if ((flags & (OPF_READ | OPF_ATOMIC)) && c->reads_pending >= c->r->attr.max_dest_rd_atomic)
        return nak(c, AETH_NAK_INV_REQ);
    c->act->needs_recv = ((flags & OPF_SEND) && (flags & OPF_FIRST)) ||
                         ((flags & OPF_WRITE) && (flags & OPF_IMM));
    if (c->act->needs_recv && !c->recv_posted) {
        c->r->nak_sent = true;     // what follows is not out of sequence, only too early
        return end(c, RESP_RNR);
    }
    return STEP_FILL;
}

static enum resp_step step_fill(struct resp_ctx *c) {
    const struct roce_pkt *p = c->pkt;
    struct rc_resp_act *a = c->act;
    bool first = p->flags & OPF_FIRST;
    a->first = first;
    a->last = p->flags & OPF_LAST;
    a->imm = p->flags & OPF_IMM;
    a->offset = first ? 0 : c->r->offset;
    if (p->flags & OPF_SEND) return end(c, RESP_SEND);
    a->va = first ? p->va : c->r->va;
    a->rkey = first ? p->rkey : c->r->rkey;
    a->len = (p->flags & OPF_WRITE) ? p->payload_len : p->dma_len;
    a->check_len = first ? p->dma_len : p->payload_len;
    a->check_key = a->check_len != 0;           // zero length: no key check (9.7.4.1.3)
    if (p->flags & OPF_WRITE) return end(c, RESP_WRITE);
    return end(c, p->flags & OPF_READ ? RESP_READ : RESP_ATOMIC);
}

static enum resp_step (*const resp_steps[STEP_DONE])(struct resp_ctx *) = {
    step_psn, step_duplicate, step_sequence, step_length, step_enabled, step_resources,
    step_fill};

// Readies the machine at attr->rq_psn (INIT to RTR).
void rc_resp_start(struct rc_resp *r, const struct rc_resp_attr *attr) {
    memset(r, 0, sizeof *r);
    r->attr = *attr;
    r->epsn = attr->rq_psn & PSN_MASK;
    r->own_answer_psn = psn_add(r->epsn, PSN_MASK);
    r->fresh = true;
}

// Says in *act what a request packet (ICRC checked, for this QP) asks for. recv_posted: a
// receive is there; reads_pending: READs and atomics accepted and not yet answered. Apart
// from "a NAK was sent" nothing changes until rc_resp_commit.
void rc_resp_check(struct rc_resp *r, const struct roce_pkt *pkt, bool recv_posted,
                   u32 reads_pending, struct rc_resp_act *act) {
    struct resp_ctx c = {r, pkt, recv_posted, reads_pending, act};
    *act = (struct rc_resp_act){.psn = pkt->psn};
    for (enum resp_step step = STEP_PSN; step != STEP_DONE;) step = resp_steps[step](&c);
}

static void save(struct rc_resp *r, const struct roce_pkt *pkt, const struct rc_resp_act *act,
                 u32 count) {
    if (r->attr.max_dest_rd_atomic == 0) return;
    r->own_answer_psn = psn_add(pkt->psn, count - 1);
    r->saved[r->saved_next] = (struct rc_resp_saved){
        .used = true, .atomic = act->verdict == RESP_ATOMIC, .first_psn = pkt->psn,
        .last_psn = r->own_answer_psn, .rkey = pkt->rkey, .len = pkt->dma_len,
        .va = pkt->va, .orig = act->orig};
    r->saved_next = (r->saved_next + 1) % r->attr.max_dest_rd_atomic;
}

// The request that rc_resp_check allowed has been executed (an atomic's old value in
// act->orig): the machine moves on. Call it for SEND, WRITE, READ and ATOMIC only.
void rc_resp_commit(struct rc_resp *r, const struct roce_pkt *pkt,
                    const struct rc_resp_act *act) {
    u32 count = 1;
    r->nak_sent = false;
    r->fresh = false;
    if (act->verdict == RESP_READ) count = psn_count(pkt->dma_len, r->attr.mtu_shift);
    if (act->verdict == RESP_READ || act->verdict == RESP_ATOMIC) save(r, pkt, act, count);
    if (act->verdict == RESP_WRITE) {
        r->left = (act->first ? pkt->dma_len : r->left) - pkt->payload_len;
        r->va = act->va + pkt->payload_len;
        r->rkey = act->rkey;
    }
    r->offset = act->offset + pkt->payload_len;
    r->message = act->last ? 0 : pkt->flags & (OPF_SEND | OPF_WRITE);
    r->epsn = psn_add(r->epsn, count);
    if (act->last) r->msn = psn_add(r->msn, 1);
}
