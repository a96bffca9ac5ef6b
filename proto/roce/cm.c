// The CM machine: one function per message kind, one per call, one tick. Every answer is
// idempotent: what was said is kept in conn->mad and said again. Called by the soft
// provider (MADs, tick) and rdma_cm.c (calls) under the device's lock. Events are the last
// thing that a step does, so a callback may call anything here.
// Spec: IBTA Vol. 1 12.9 (states), 12.10; Annex A11.
#include "proto/roce/cm.h"

#include "base/string.h"

#define DEADLINE_NONE (~0ull)
#define CM_TIMEOUT_CODE 20          // 4.096 us * 2^20, what Linux says as well
#define MRA_TIMEOUT_CODE 22
#define CM_MRA_MAX_CODE 24          // a peer may make us wait a minute, not an hour
#define SRC_PORT 18515              // in the IP CM header; nobody listens there

// An instance with no listener and no connection.
//   local_ip  of this node
//   rng  makes ids and starting PSNs; copied, as ops is
void cm_init(struct cm *cm, u32 local_ip, u64 ca_guid, const struct rng *rng,
             const struct cm_ops *ops) {
    memset(cm, 0, sizeof *cm);
    cm->ops = *ops;
    cm->rng = *rng;
    cm->local_ip = local_ip;
    cm->ca_guid = ca_guid;
    list_init(&cm->free);
    list_init(&cm->live);
    list_init(&cm->timewait);
    for (u32 i = 0; i < CM_CONN_MAX; i++) {
        list_init(&cm->conns[i].link);
        list_push_back(&cm->free, &cm->conns[i].link);
    }
}

// NULL: table full, or somebody listens there already.
struct cm_listener *cm_listen(struct cm *cm, u64 service_id, u32 flags, void *context) {
    struct cm_listener *found = NULL;
    for (u32 i = 0; i < CM_LISTEN_MAX; i++) {
        struct cm_listener *l = &cm->listeners[i];
        if (l->used && l->service_id == service_id) return NULL;
        if (!l->used && found == NULL) found = l;
    }
    if (found != NULL) *found = (struct cm_listener){service_id, flags, context, true};
    return found;
}

static void send_mad(struct cm *cm, u32 peer_ip, const u8 *mad) {
    cm->ops.send(cm->ops.ctx, peer_ip, mad);
}

static void resend_reset(struct cm_conn *c, u64 now_ns) {
    c->tries = 1;
    c->resend_ns = CM_RESEND_MIN_NS;
    c->deadline_ns = now_ns + c->resend_ns;
}

static void event(struct cm *cm, enum cm_event_kind kind, struct cm_conn *c,
                  const struct cm_msg *msg) {
    struct cm_event ev = {.kind = kind, .conn = c, .msg = msg, .peer_ip = c->peer_ip};
    cm->ops.event(cm->ops.ctx, &ev);
}

static struct cm_conn *conn_find(struct cm *cm, u32 local_comm_id, u32 peer_ip) {
    struct list_node *heads[] = {&cm->live, &cm->timewait};
    for (u32 h = 0; h < 2; h++) {
        LIST_FOR_EACH(it, heads[h]) {
            struct cm_conn *c = LIST_ENTRY(it, struct cm_conn, link);
            if (c->local_comm_id == local_comm_id && c->peer_ip == peer_ip) return c;
        }
    }
    return NULL;
}

// The passive connection that this peer's id belongs to.
static struct cm_conn *conn_find_passive(struct cm *cm, u32 remote_comm_id, u32 peer_ip) {
    struct list_node *heads[] = {&cm->live, &cm->timewait};
    for (u32 h = 0; h < 2; h++) {
        LIST_FOR_EACH(it, heads[h]) {
            struct cm_conn *c = LIST_ENTRY(it, struct cm_conn, link);
            if (!c->active && c->remote_comm_id == remote_comm_id && c->peer_ip == peer_ip)
                return c;
        }
    }
    return NULL;
}

// A connection from the free list; else the oldest in TIMEWAIT gives its place.
static struct cm_conn *conn_alloc(struct cm *cm, u32 peer_ip) {
    struct list_node *node = list_pop_front(&cm->free);
    if (node == NULL) {
        node = list_pop_front(&cm->timewait);
        if (node == NULL) {
            cm->counters.no_room++;
            return NULL;
        }
    }
    struct cm_conn *c = LIST_ENTRY(node, struct cm_conn, link);
    memset(c, 0, sizeof *c);
    list_init(&c->link);
    list_push_back(&cm->live, &c->link);
    c->peer_ip = peer_ip;
    c->deadline_ns = DEADLINE_NONE;
    c->local_comm_id = rng_u32(&cm->rng) | 1;        // 0 means "none"
    return c;
}

static void conn_free(struct cm *cm, struct cm_conn *c) {
    list_remove(&c->link);
    c->state = CM_FREE;
    list_push_back(&cm->free, &c->link);
}

static void to_timewait(struct cm *cm, struct cm_conn *c, u64 now_ns) {
    list_remove(&c->link);
    c->state = CM_TIMEWAIT;
    c->deadline_ns = now_ns + CM_TIMEWAIT_NS;
    list_push_back(&cm->timewait, &c->link);
}

static status_t set_private(struct cm_msg *m, const void *data, u32 len) {
    if (len > CM_PRIVATE_MAX) return E_MSGSIZE;
    m->private_len = len;
    if (len != 0) memcpy(m->private_data, data, len);
    return S_OK;
}

static struct cm_msg reply(const struct cm_conn *c, enum cm_attr attr) {
    struct cm_msg m;
    memset(&m, 0, sizeof m);
    m.attr = attr;
    m.tid = c->tid;
    m.local_comm_id = c->local_comm_id;
    m.remote_comm_id = c->remote_comm_id;
    return m;
}

static status_t take_params(struct cm_msg *m, const struct cm_params *p) {
    m->qpn = p->qpn;
    m->start_psn = p->start_psn;
    m->responder_resources = p->responder_resources;
    m->initiator_depth = p->initiator_depth;
    m->retry_count = p->retry_count & 7;
    m->rnr_retry = p->rnr_retry & 7;
    m->ack_timeout = p->ack_timeout & 31;
    m->path_mtu = p->path_mtu & 15;
    return set_private(m, p->private_data, p->private_len);
}

struct cm_conn *cm_connect(struct cm *cm, u32 peer_ip, u64 service_id,
                           const struct cm_params *params, u64 now_ns) {
    struct cm_conn *c = conn_alloc(cm, peer_ip);
    if (c == NULL) return NULL;
    c->active = true;
    c->service_id = service_id;
    c->tid = rng_u64(&cm->rng);
    c->local_qpn = params->qpn;
    struct cm_msg m = reply(c, CM_REQ);
    m.service_id = service_id;
    m.ca_guid = cm->ca_guid;
    m.src_ip = cm->local_ip;
    m.dst_ip = peer_ip;
    m.src_port = SRC_PORT;
    m.cm_timeout = CM_TIMEOUT_CODE;
    m.max_cm_retries = CM_TRIES_MAX;
    if (take_params(&m, params) != S_OK || cm_mad_encode(c->mad, &m) != S_OK) {
        conn_free(cm, c);
        return NULL;
    }
    c->state = CM_REQ_SENT;
    resend_reset(c, now_ns);
    send_mad(cm, peer_ip, c->mad);
    return c;
}

// Passive side: answers a REQUEST by REP. E_INVAL: not waiting for an answer.
status_t cm_accept(struct cm *cm, struct cm_conn *c, const struct cm_params *params,
                   u64 now_ns) {
    if (c->state != CM_REQ_RCVD) return E_INVAL;
    struct cm_msg m = reply(c, CM_REP);
    m.ca_guid = cm->ca_guid;
    status_t status = take_params(&m, params);
    if (status == S_OK) status = cm_mad_encode(c->mad, &m);
    if (status != S_OK) return status;
    c->local_qpn = params->qpn;
    c->state = CM_REP_SENT;
    resend_reset(c, now_ns);
    send_mad(cm, c->peer_ip, c->mad);
    return S_OK;
}

// Active side: answers a RESPONSE by RTU; the connection is established for us.
status_t cm_send_rtu(struct cm *cm, struct cm_conn *c, const void *private_data,
                     u32 private_len, u64 now_ns) {
    (void)now_ns;
    if (c->state != CM_REP_RCVD) return E_INVAL;
    struct cm_msg m = reply(c, CM_RTU);
    status_t status = set_private(&m, private_data, private_len);
    if (status == S_OK) status = cm_mad_encode(c->mad, &m);
    if (status != S_OK) return status;
    c->state = CM_ESTABLISHED;
    c->deadline_ns = DEADLINE_NONE;
    send_mad(cm, c->peer_ip, c->mad);
    return S_OK;
}

static void send_rej(struct cm *cm, u32 peer_ip, struct cm_msg *m, u16 reason, u8 rejected) {
    u8 mad[MAD_LEN];
    m->attr = CM_REJ;
    m->reason = reason;
    m->msg_rejected = rejected;
    if (cm_mad_encode(mad, m) == S_OK) send_mad(cm, peer_ip, mad);
}

// Refuses a REQUEST or a RESPONSE, or takes a REP back; the connection is gone.
status_t cm_reject(struct cm *cm, struct cm_conn *c, u16 reason, const void *private_data,
                   u32 private_len) {
    if (c->state != CM_REQ_RCVD && c->state != CM_REP_RCVD && c->state != CM_REP_SENT)
        return E_INVAL;
    if (private_len > CM_REJ_PRIVATE) return E_MSGSIZE;
    struct cm_msg m = reply(c, CM_REJ);
    set_private(&m, private_data, private_len);
    u8 rejected = c->state == CM_REQ_RCVD ? 0 : c->state == CM_REP_RCVD ? 1 : 2;
    send_rej(cm, c->peer_ip, &m, reason, rejected);
    cm->counters.rejected++;
    conn_free(cm, c);
    return S_OK;
}

status_t cm_disconnect(struct cm *cm, struct cm_conn *c, u64 now_ns) {
    if (c->state != CM_ESTABLISHED && c->state != CM_REP_SENT && c->state != CM_REP_RCVD)
        return E_INVAL;
    c->tid = rng_u64(&cm->rng);
    struct cm_msg m = reply(c, CM_DREQ);
    m.qpn = c->remote_qpn;
    status_t status = cm_mad_encode(c->mad, &m);
    if (status != S_OK) return status;
    c->state = CM_DREQ_SENT;
    resend_reset(c, now_ns);
    send_mad(cm, c->peer_ip, c->mad);
    return S_OK;
}

static void establish(struct cm *cm, struct cm_conn *c, const struct cm_msg *msg) {
    c->state = CM_ESTABLISHED;
    c->deadline_ns = DEADLINE_NONE;
    event(cm, CM_EV_ESTABLISHED, c, msg);
}

void cm_data_arrived(struct cm *cm, struct cm_conn *c, u64 now_ns) {
    (void)now_ns;
    if (c->state != CM_REP_SENT || (c->flags & CM_LISTEN_NO_IMPLIED_RTU)) return;
    establish(cm, c, NULL);
}

void cm_forget(struct cm *cm, struct cm_conn *c) {
    c->context = NULL;
    // A DREQ goes on being repeated until it is answered, whoever forgot about it.
    if (c->state != CM_FREE && c->state != CM_TIMEWAIT && c->state != CM_DREQ_SENT)
        conn_free(cm, c);
}

static void refuse(struct cm *cm, u32 peer_ip, const struct cm_msg *req, u16 reason,
                   u8 rejected) {
    struct cm_msg m;
    memset(&m, 0, sizeof m);
    m.tid = req->tid;
    m.remote_comm_id = req->local_comm_id;
    cm->counters.rejected++;
    send_rej(cm, peer_ip, &m, reason, rejected);
}

static void send_mra(struct cm *cm, struct cm_conn *c) {
    u8 mad[MAD_LEN];
    struct cm_msg m = reply(c, CM_MRA);
    m.mra_timeout = MRA_TIMEOUT_CODE;
    if (cm_mad_encode(mad, &m) == S_OK) send_mad(cm, c->peer_ip, mad);
}

static void duplicate_req(struct cm *cm, struct cm_conn *c) {
    cm->counters.rx_duplicate++;
    if (c->state == CM_REP_SENT) send_mad(cm, c->peer_ip, c->mad);
    if (c->state == CM_REQ_RCVD) send_mra(cm, c);     // the owner is still deciding
}

static void on_req(struct cm *cm, u32 src_ip, const struct cm_msg *m, u64 now_ns) {
    struct cm_conn *c = conn_find_passive(cm, m->local_comm_id, src_ip);
    if (c != NULL && (c->state != CM_TIMEWAIT || c->tid == m->tid)) {
        duplicate_req(cm, c);
        return;
    }
    struct cm_listener *l = NULL;
    for (u32 i = 0; i < CM_LISTEN_MAX; i++)
        if (cm->listeners[i].used && cm->listeners[i].service_id == m->service_id)
            l = &cm->listeners[i];
    if (l == NULL || m->transport != 0 || (c = conn_alloc(cm, src_ip)) == NULL) {
        refuse(cm, src_ip, m, l == NULL ? CM_REJ_INVALID_SERVICE_ID :
               m->transport != 0 ? CM_REJ_INVALID_TRANSPORT : CM_REJ_NO_RESOURCES, 0);
        return;
    }
    c->state = CM_REQ_RCVD;
    c->flags = l->flags;
    c->service_id = m->service_id;
    c->tid = m->tid;
    c->remote_comm_id = m->local_comm_id;
    c->remote_qpn = m->qpn;
    c->deadline_ns = now_ns + CM_PENDING_MAX_NS;
    struct cm_event ev = {CM_EV_REQUEST, c, l, m, src_ip};
    cm->ops.event(cm->ops.ctx, &ev);
}

static void on_rep(struct cm *cm, struct cm_conn *c, u32 src_ip, const struct cm_msg *m,
                   u64 now_ns) {
    if (c == NULL || !c->active) {
        cm->counters.rx_stray++;
        refuse(cm, src_ip, m, CM_REJ_INVALID_COMM_ID, 1);
        return;
    }
    if (c->state != CM_REQ_SENT) {
        cm->counters.rx_duplicate++;
        // Only the REP that we know: its RTU was lost.
        if (c->state == CM_ESTABLISHED && c->remote_comm_id == m->local_comm_id)
            send_mad(cm, c->peer_ip, c->mad);
        return;
    }
    c->state = CM_REP_RCVD;
    c->remote_comm_id = m->local_comm_id;
    c->remote_qpn = m->qpn;
    c->deadline_ns = now_ns + CM_PENDING_MAX_NS;
    event(cm, CM_EV_RESPONSE, c, m);
}

static bool is_hint(const struct cm_conn *c) {
    return c->state == CM_ESTABLISHED && (c->flags & CM_LISTEN_DREQ_IS_HINT);
}

static void on_rej(struct cm *cm, struct cm_conn *c, u32 src_ip, const struct cm_msg *m,
                   u64 now_ns) {
    (void)now_ns;
    if (c == NULL && m->remote_comm_id == 0) c = conn_find_passive(cm, m->local_comm_id, src_ip);
    if (c == NULL || c->state == CM_TIMEWAIT || c->state == CM_DREQ_SENT) {
        cm->counters.rx_stray++;
        return;
    }
    if (is_hint(c)) {
        event(cm, CM_EV_REJECTED, c, m);
        return;
    }
    conn_free(cm, c);
    event(cm, CM_EV_REJECTED, c, m);
}

static void on_mra(struct cm *cm, struct cm_conn *c, const struct cm_msg *m, u64 now_ns) {
    if (c == NULL || (c->state != CM_REQ_SENT && c->state != CM_REP_SENT)) {
        cm->counters.rx_stray++;
        return;
    }
    u32 code = m->mra_timeout > CM_MRA_MAX_CODE ? CM_MRA_MAX_CODE : m->mra_timeout;
    c->deadline_ns = now_ns + (4096ull << code);
}

static void on_dreq(struct cm *cm, struct cm_conn *c, u32 src_ip, const struct cm_msg *m,
                    u64 now_ns) {
    u8 mad[MAD_LEN];
    struct cm_msg drep;
    memset(&drep, 0, sizeof drep);
    drep.attr = CM_DREP;
    drep.tid = m->tid;
    drep.local_comm_id = m->remote_comm_id;
    drep.remote_comm_id = m->local_comm_id;
    bool known = c != NULL && c->state >= CM_REP_SENT && c->remote_comm_id == m->local_comm_id;
    if (known && c->state != CM_TIMEWAIT && m->qpn != c->local_qpn) {
        cm->counters.rx_bad++;
        return;
    }
    if (known && is_hint(c)) {
        event(cm, CM_EV_DISCONNECTED, c, m);
        return;
    }
    if (!known || c->state == CM_TIMEWAIT) cm->counters.rx_duplicate++;
    if (cm_mad_encode(mad, &drep) == S_OK) send_mad(cm, src_ip, mad);
    if (!known || c->state == CM_TIMEWAIT) return;
    to_timewait(cm, c, now_ns);
    event(cm, CM_EV_DISCONNECTED, c, m);
}

// Takes a MAD that came on QP1 from src_ip (host byte order).
void cm_rx(struct cm *cm, u32 src_ip, const u8 *mad, u32 len_bytes, u64 now_ns) {
    struct cm_msg m;
    cm->counters.rx_mads++;
    if (cm_mad_decode(mad, len_bytes, &m) != S_OK) {
        cm->counters.rx_bad++;
        return;
    }
    struct cm_conn *c = m.attr == CM_REQ || m.remote_comm_id == 0
                            ? NULL : conn_find(cm, m.remote_comm_id, src_ip);
    switch (m.attr) {
    case CM_REQ: on_req(cm, src_ip, &m, now_ns); break;
    case CM_REP: on_rep(cm, c, src_ip, &m, now_ns); break;
    case CM_REJ: on_rej(cm, c, src_ip, &m, now_ns); break;
    case CM_MRA: on_mra(cm, c, &m, now_ns); break;
    case CM_DREQ: on_dreq(cm, c, src_ip, &m, now_ns); break;
    case CM_RTU:
        if (c != NULL && c->state == CM_REP_SENT && c->remote_comm_id == m.local_comm_id)
            establish(cm, c, &m);
        else cm->counters.rx_duplicate++;
        break;
    case CM_DREP:
        if (c == NULL || c->state != CM_DREQ_SENT) break;
        to_timewait(cm, c, now_ns);
        event(cm, CM_EV_DISCONNECTED, c, &m);
        break;
    }
}

// A wait of this connection is over: say it again, or give up.
static void conn_due(struct cm *cm, struct cm_conn *c, u64 now_ns) {
    enum cm_state state = c->state;
    if (state == CM_REQ_RCVD || state == CM_REP_RCVD) {
        struct cm_msg m = reply(c, CM_REJ);        // its owner never answered
        send_rej(cm, c->peer_ip, &m, CM_REJ_TIMEOUT, state == CM_REP_RCVD);
        conn_free(cm, c);
        event(cm, CM_EV_UNREACHABLE, c, NULL);
        return;
    }
    if (c->tries < CM_TRIES_MAX) {
        c->tries++;
        cm->counters.resent++;
        c->resend_ns = c->resend_ns * 2 > CM_RESEND_MAX_NS ? CM_RESEND_MAX_NS : c->resend_ns * 2;
        c->deadline_ns = now_ns + c->resend_ns;
        send_mad(cm, c->peer_ip, c->mad);
        return;
    }
    cm->counters.timeouts++;
    if (state == CM_DREQ_SENT) {
        to_timewait(cm, c, now_ns);
        event(cm, CM_EV_DISCONNECTED, c, NULL);
        return;
    }
    struct cm_msg m = reply(c, CM_REJ);
    send_rej(cm, c->peer_ip, &m, CM_REJ_TIMEOUT, 2);
    conn_free(cm, c);
    event(cm, CM_EV_UNREACHABLE, c, NULL);
}

void cm_tick(struct cm *cm, u64 now_ns) {
    // An event may free any connection, so look from the start again after each.
    for (u32 turn = 0; turn < CM_CONN_MAX; turn++) {
        struct cm_conn *due = NULL;
        LIST_FOR_EACH(it, &cm->live) {
            struct cm_conn *c = LIST_ENTRY(it, struct cm_conn, link);
            if (c->deadline_ns > now_ns) continue;
            due = c;
            break;
        }
        if (due == NULL) break;
        conn_due(cm, due, now_ns);
    }
    while (!list_empty(&cm->timewait)) {
        struct cm_conn *c = LIST_ENTRY(cm->timewait.next, struct cm_conn, link);
        if (c->deadline_ns > now_ns) break;
        conn_free(cm, c);
    }
}

u64 cm_next_deadline(const struct cm *cm) {
    u64 next = DEADLINE_NONE;
    LIST_FOR_EACH(it, &cm->live) {
        u64 at = LIST_ENTRY(it, struct cm_conn, link)->deadline_ns;
        if (at < next) next = at;
    }
    if (!list_empty(&cm->timewait)) {
        u64 at = LIST_ENTRY(cm->timewait.next, struct cm_conn, link)->deadline_ns;
        if (at < next) next = at;
    }
    return next;
}
