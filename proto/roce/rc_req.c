// The RC requester machine: PSNs to packets, responses to completions, go-back-N, the
// retransmission timer and the RNR wait. Called by drivers/rdma/soft_tx.c and soft_rx.c
// under the device's lock; no memory, no device, no clock of its own.
// Spec: IBTA Vol. 1 9.7.3-9.7.7.
#include "proto/roce/rc_req.h"

#define NS_PER_TIMEOUT_UNIT 4096u
#define DEADLINE_NONE (~0ull)

static struct rc_wqe *wqe_at(struct rc_req *q, u32 free_index) {
    return &q->wqes[free_index & (q->ring.size - 1)];
}

static u32 wqe_psns(const struct rc_wqe *w) {
    return (u32)psn_diff(w->last_psn, w->first_psn) + 1;
}

static bool anything_out(const struct rc_req *q) { return psn_diff(q->send_psn, q->una) > 0; }

static void timer_arm(struct rc_req *q, u64 now_ns) {
    q->timer_on = q->attr.timeout != 0;
    q->timer_ns = now_ns + (((u64)NS_PER_TIMEOUT_UNIT << q->attr.timeout) << q->backoff);
}

// Milliseconds table of the 5-bit RNR timer field. Spec: IBTA table 9.7.5.2.8.
static const u32 rnr_wait_us[32] = {
    655360, 10, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1280, 1920, 2560, 3840,
    5120, 7680, 10240, 15360, 20480, 30720, 40960, 61440, 81920, 122880, 163840, 245760, 327680,
    491520};

// The wait in ns that RNR timer code `code` (0-31) asks for.
static u64 rc_rnr_wait_ns(u8 code) { return (u64)rnr_wait_us[code & 31] * 1000; }

// Sets up an empty queue over `count` (a power of two) entries at wqes.
void rc_req_init(struct rc_req *q, struct rc_wqe *wqes, u32 count,
                 struct rc_req_counters *counters) {
    *q = (struct rc_req){.wqes = wqes, .counters = counters};
    ring_init(&q->ring, count);
}

// Starts at attr->sq_psn (RTR to RTS). The queue is empty then.
void rc_req_start(struct rc_req *q, const struct rc_req_attr *attr) {
    q->attr = *attr;
    q->cur = q->first_index = q->ring.head;
    q->send_psn = q->una = q->next_psn = q->max_psn = attr->sq_psn & PSN_MASK;
    q->reads_out = q->read_psns = q->backoff = 0;
    q->retry_left = attr->retry_cnt;
    q->rnr_left = attr->rnr_retry;
    q->gap_asked = q->drain = q->timer_on = false;
    q->rnr_until_ns = 0;
}

struct rc_wqe *rc_req_slot(struct rc_req *q, u32 *index) {
    if (ring_full(&q->ring)) return NULL;
    *index = ring_tail_index(&q->ring);
    return &q->wqes[*index];
}

// Posts the entry that rc_req_slot gave, filled: gives it its PSNs.
void rc_req_post(struct rc_req *q) {
    struct rc_wqe *w = wqe_at(q, q->ring.tail);
    u32 count = w->op >= RC_OP_CAS ? 1 : psn_count(w->len, q->attr.mtu_shift);
    w->done = false;
    w->first_psn = q->next_psn;
    w->last_psn = psn_add(q->next_psn, count - 1);
    q->next_psn = psn_add(q->next_psn, count);
    ring_produce(&q->ring);
}

static const u8 only_opcode[] = {RC_SEND_ONLY, RC_SEND_ONLY_IMM, RC_WRITE_ONLY,
                                 RC_WRITE_ONLY_IMM, RC_READ_REQUEST, RC_CMP_SWAP, RC_FETCH_ADD};
static const u8 last_opcode[] = {RC_SEND_LAST, RC_SEND_LAST_IMM, RC_WRITE_LAST,
                                 RC_WRITE_LAST_IMM};

static u8 tx_opcode(const struct rc_wqe *w, bool first, bool last) {
    bool write = w->op == RC_OP_WRITE || w->op == RC_OP_WRITE_IMM;
    if (rc_op_reads(w->op) || (first && last)) return only_opcode[w->op];
    if (last) return last_opcode[w->op];
    if (first) return write ? RC_WRITE_FIRST : RC_SEND_FIRST;
    return write ? RC_WRITE_MIDDLE : RC_SEND_MIDDLE;
}

static bool may_send(const struct rc_req *q, const struct rc_wqe *w) {
    bool starts = q->send_psn == w->first_psn;
    i32 out = psn_diff(q->send_psn, q->una);
    if (starts && q->drain) return false;
    if (starts && w->fence && q->reads_out != 0) return false;
    if (out - (i32)q->read_psns >= (i32)RC_WINDOW_PSN) return false;
    if (!rc_op_reads(w->op)) return true;
    if (q->reads_out >= q->attr.max_rd_atomic) return false;
    return out == 0 || (u32)out + wqe_psns(w) <= RC_PSN_SPAN_MAX;
}

// Says in *tx which packet is due now; false: nothing (empty, window, fence, RNR wait).
// Nothing changes until rc_req_sent.
bool rc_req_next(struct rc_req *q, u64 now_ns, struct rc_tx *tx) {
    if (q->cur == q->ring.tail) return false;
    if (q->rnr_until_ns != 0 && now_ns < q->rnr_until_ns) return false;
    const struct rc_wqe *w = wqe_at(q, q->cur);
    if (!may_send(q, w)) return false;
    u32 skip = (u32)psn_diff(q->send_psn, w->first_psn);
    u32 offset = skip << q->attr.mtu_shift;
    u32 mtu = 1u << q->attr.mtu_shift;
    u32 left = w->len - offset;
    bool last = rc_op_reads(w->op) || q->send_psn == w->last_psn;
    tx->wqe = q->cur & (q->ring.size - 1);
    tx->opcode = tx_opcode(w, skip == 0, last);
    tx->psn = q->send_psn;
    tx->offset = offset;
    tx->len = rc_op_reads(w->op) ? 0 : (left < mtu ? left : mtu);
    tx->va = w->va + offset;
    tx->dma_len = w->op == RC_OP_READ ? left : w->len;
    tx->ack_req = last || (q->send_psn & (RC_ACK_EVERY - 1)) == 0;
    return true;
}

// The packet of rc_req_next is on its way.
void rc_req_sent(struct rc_req *q, const struct rc_tx *tx, u64 now_ns) {
    const struct rc_wqe *w = wqe_at(q, q->cur);
    q->rnr_until_ns = 0;
    if (rc_op_reads(w->op)) {
        q->reads_out++;
        q->read_psns += wqe_psns(w);
        q->send_psn = psn_add(w->last_psn, 1);
    } else {
        q->send_psn = psn_add(tx->psn, 1);
    }
    if (psn_diff(q->send_psn, w->last_psn) > 0) q->cur++;
    if (psn_diff(q->send_psn, q->max_psn) > 0) q->max_psn = q->send_psn;
    if (!q->timer_on) timer_arm(q, now_ns);
}

// Sends again from the oldest unanswered PSN on.
static void go_back(struct rc_req *q, u64 now_ns) {
    q->cur = q->ring.head;
    while (q->cur != q->ring.tail && wqe_at(q, q->cur)->done) q->cur++;
    q->send_psn = q->una;
    q->reads_out = q->read_psns = 0;
    timer_arm(q, now_ns);
}

static void complete(struct rc_req *q, u32 index) {
    struct rc_wqe *w = wqe_at(q, index);
    w->done = true;
    if (rc_op_reads(w->op) && (i32)(q->cur - index) > 0) {
        q->reads_out--;
        q->read_psns -= wqe_psns(w);
    }
}

// Everything before `psn` is answered; completes SENDs and WRITEs up to there. Stops at
// a READ or atomic that still waits for its data: returns false (responses were lost).
static bool advance(struct rc_req *q, u32 psn, u64 now_ns) {
    bool whole = true;
    u32 index = q->ring.head;
    u32 old = q->una;
    for (; index != q->ring.tail; index++) {       // bounded by the queue
        struct rc_wqe *w = wqe_at(q, index);
        if (w->done) continue;
        if (psn_diff(psn, w->first_psn) <= 0) break;
        if (rc_op_reads(w->op)) {
            whole = false;
            if (psn_diff(w->first_psn, q->una) > 0) q->una = w->first_psn;
            break;
        }
        if (psn_diff(psn, w->last_psn) <= 0) break;
        complete(q, index);
    }
    if (whole && psn_diff(psn, q->una) > 0) q->una = psn;
    if (q->una == old) return whole;
    q->retry_left = q->attr.retry_cnt;
    q->rnr_left = q->attr.rnr_retry;
    q->backoff = 0;
    q->gap_asked = false;
    // An answer to what was about to be sent again: go on behind it.
    if (psn_diff(q->una, q->send_psn) > 0) {
        while (q->cur != q->ring.tail && psn_diff(q->una, wqe_at(q, q->cur)->last_psn) > 0)
            q->cur++;
        q->send_psn = q->una;
    }
    if (anything_out(q)) timer_arm(q, now_ns);
    else q->timer_on = false;
    return whole;
}

static void ask_gap(struct rc_req *q, u64 now_ns) {
    if (q->gap_asked) return;
    q->counters->read_gap_asked++;
    go_back(q, now_ns);
    q->gap_asked = true;
}

static struct rc_req_result failed(struct rc_req *q, enum rc_req_error error) {
    u32 index = q->ring.head;
    while (index != q->ring.tail && wqe_at(q, index)->done) index++;
    return (struct rc_req_result){RC_REQ_FAILED, error, index & (q->ring.size - 1), 0};
}

// A refusal names its request by PSN; what is older and unanswered never will be.
static struct rc_req_result refused(struct rc_req *q, u32 psn, enum rc_req_error error) {
    u32 index = q->ring.head;
    while (index != q->cur && psn_diff(psn, wqe_at(q, index)->last_psn) > 0) index++;
    return index == q->cur && index == q->ring.tail ? failed(q, error) :
        (struct rc_req_result){RC_REQ_FAILED, error, index & (q->ring.size - 1), 0};
}

static struct rc_req_result on_ack(struct rc_req *q, const struct roce_pkt *pkt, u64 now_ns) {
    static const enum rc_req_error nak_error[] = {RC_ERR_NONE, RC_ERR_REM_INV_REQ,
                                                  RC_ERR_REM_ACCESS, RC_ERR_REM_OP};
    struct rc_req_result ok = {RC_REQ_OK, RC_ERR_NONE, 0, 0};
    u8 type = pkt->syndrome & AETH_TYPE_MASK, code = pkt->syndrome & 31;
    if (type == AETH_TYPE_ACK) {
        if (!advance(q, psn_add(pkt->psn, 1), now_ns)) ask_gap(q, now_ns);
        return ok;
    }
    if (type != AETH_TYPE_RNR && type != AETH_TYPE_NAK) return ok;     // reserved
    bool whole = advance(q, pkt->psn, now_ns);
    if (type == AETH_TYPE_NAK && code == 0) {
        q->counters->rcvd_seq_err++;
        go_back(q, now_ns);
        return ok;
    }
    if (type == AETH_TYPE_NAK)
        return refused(q, pkt->psn, code <= 3 ? nak_error[code] : RC_ERR_BAD_RESP);
    if (!whole) {
        ask_gap(q, now_ns);      // data before the request that waits is missing: first that
        return ok;
    }
    q->counters->rcvd_rnr_err++;
    if (q->rnr_left == 0) return failed(q, RC_ERR_RNR_EXC);
    if (q->attr.rnr_retry != RC_RNR_INFINITE) q->rnr_left--;
    go_back(q, now_ns);
    q->rnr_until_ns = now_ns + rc_rnr_wait_ns(code);
    q->timer_on = false;         // only the RNR timer counts while we wait
    return ok;
}

// Whether a READ was run, or run once more, after a request behind it: the MSN says how many had
// been run by then. Of an answer of several packets only the first and the last one say so.
static bool is_overtaken(const struct rc_req *q, u32 index, const struct roce_pkt *pkt) {
    const u32 own = (index - q->first_index + 1) & PSN_MASK;
    return (pkt->flags & OPF_AETH) && psn_diff(pkt->msn, own) > 0;
}

// READ response or atomic ACK: exactly the data that is due next, or a gap, or a fault.
static struct rc_req_result on_data(struct rc_req *q, const struct roce_pkt *pkt, u64 now_ns) {
    struct rc_req_result result = {RC_REQ_OK, RC_ERR_NONE, 0, 0};
    bool whole = advance(q, pkt->psn, now_ns);
    u32 index = q->ring.head;
    while (index != q->ring.tail && wqe_at(q, index)->done) index++;
    struct rc_wqe *w = wqe_at(q, index);
    bool inside = index != q->ring.tail && psn_diff(pkt->psn, w->first_psn) >= 0 &&
                  psn_diff(pkt->psn, w->last_psn) <= 0;
    bool read = pkt->flags & OPF_READ_RESP;
    if (!whole && !(inside && pkt->psn == q->una)) {
        ask_gap(q, now_ns);
        return result;
    }
    if (pkt->psn != q->una || !inside) return (struct rc_req_result){0};
    if (read ? w->op != RC_OP_READ : w->op < RC_OP_CAS) return failed(q, RC_ERR_BAD_RESP);
    u32 offset = read ? (u32)psn_diff(pkt->psn, w->first_psn) << q->attr.mtu_shift : 0;
    bool last = pkt->psn == w->last_psn;
    if (read) {
        u32 left = w->len - offset, mtu = 1u << q->attr.mtu_shift;
        if (pkt->payload_len != (left < mtu ? left : mtu) || last != !!(pkt->flags & OPF_LAST))
            return failed(q, RC_ERR_BAD_RESP);
        q->doubts += is_overtaken(q, index, pkt);
    }
    if (last) complete(q, index);
    advance(q, psn_add(pkt->psn, 1), now_ns);
    if (!last) {
        // Part of a READ: advance() stops before it, so move una by hand.
        q->una = psn_add(pkt->psn, 1);
        q->retry_left = q->attr.retry_cnt;
        q->backoff = 0;
        q->gap_asked = false;
        if (psn_diff(q->una, q->send_psn) > 0) q->send_psn = q->una;
        timer_arm(q, now_ns);
    }
    result.verdict = read ? RC_REQ_PLACE : RC_REQ_ATOMIC;
    result.wqe = index & (q->ring.size - 1);
    result.offset = offset;
    return result;
}

// What a response packet (ICRC checked, for this QP) means. A PSN outside what is
// outstanding is a ghost and changes nothing.
struct rc_req_result rc_req_response(struct rc_req *q, const struct roce_pkt *pkt,
                                     u64 now_ns) {
    if (psn_diff(pkt->psn, q->una) < 0 || psn_diff(pkt->psn, q->max_psn) >= 0) {
        q->counters->ghost_response++;
        return (struct rc_req_result){0};
    }
    return pkt->flags & OPF_ACK ? on_ack(q, pkt, now_ns) : on_data(q, pkt, now_ns);
}

// Ends an RNR wait that is over. Retransmission timer: goes back to the oldest unanswered
// PSN, or fails its WQE after retry_cnt (7 is seven) tries without progress.
struct rc_req_result rc_req_tick(struct rc_req *q, u64 now_ns) {
    struct rc_req_result ok = {RC_REQ_OK, RC_ERR_NONE, 0, 0};
    if (q->rnr_until_ns != 0 && now_ns >= q->rnr_until_ns) q->rnr_until_ns = 0;
    if (!q->timer_on || now_ns < q->timer_ns) return ok;
    q->counters->completer_retry_err++;
    if (q->retry_left == 0) return failed(q, RC_ERR_RETRY_EXC);
    q->retry_left--;
    if (q->backoff < RC_BACKOFF_MAX) q->backoff++;
    q->gap_asked = false;
    go_back(q, now_ns);
    return ok;
}

// When rc_req_tick or, after an RNR wait, rc_req_next has something to do.
u64 rc_req_deadline(const struct rc_req *q) {
    if (q->rnr_until_ns != 0) return q->rnr_until_ns;
    return q->timer_on ? q->timer_ns : DEADLINE_NONE;
}

bool rc_req_pop(struct rc_req *q, u32 *index) {
    if (ring_empty(&q->ring) || !wqe_at(q, q->ring.head)->done) return false;
    return rc_req_pop_any(q, index);
}

bool rc_req_pop_any(struct rc_req *q, u32 *index) {
    if (ring_empty(&q->ring)) return false;
    *index = ring_peek_index(&q->ring, 0);
    if (q->cur == q->ring.head) q->cur++;
    ring_consume(&q->ring);
    return true;
}
