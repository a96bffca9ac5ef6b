// The join: calling the other nodes of cluster.conf, answering their calls, proving on both
// sides that the other has the cluster's key. Nothing is registered for a peer and its pair
// answers nothing before the proof. Called by cluster.c's tick and, inside soft_rx and
// soft_tick, by the CM; under net_lock. docs/reference/join.md.
#include "base/string.h"
#include "kernel/cluster_priv.h"
#include "kernel/hmac.h"
#include "kernel/klog.h"
#include "kernel/options.h"
#include "kernel/random.h"
#include "kernel/x86/cpu.h"
#include "proto/cluster/ask.h"

#define PSN_BITS 0xffffffu
#define RD_ATOMIC 16u
#define CM_RETRIES 7u
#define RNR_TIMER 12u                // 0.64 ms

static struct member_peer strangers;   // for the rate of log lines alone

static void on_event(const struct rdma_cm_event *ev);

static struct member_proof proof_of(const struct peer *p) {
    return (struct member_proof){cluster_conf.key, hmac_sha256, p->active ? &p->us : &p->them,
                                 p->active ? &p->them : &p->us};
}

static struct rdma_conn_param param_of(const struct peer *p, const void *data, u32 len) {
    return (struct rdma_conn_param){
        .private_data = data, .private_len = len, .responder_resources = RD_ATOMIC,
        .initiator_depth = RD_ATOMIC, .retry_count = CM_RETRIES, .rnr_retry = 7,
        .ack_timeout = pulse_timeout_code(options.dead_floor_s * NS_PER_S),
        .min_rnr_timer = RNR_TIMER,
        .access_flags = link_access(QP_CONTROL), .cm_flags = CM_LISTEN_DREQ_IS_HINT,
        .start_psn = p->us.start_psn, .path_mtu = p->mtu};
}

// Our side of a new connection: a fresh nonce, pair and first PSN.
static status_t us_begin(struct peer *p) {
    status_t status = link_prepare(p);
    if (status != S_OK) return status;
    p->qp[QP_CONTROL] = link_create_qp(p, QP_CONTROL);
    if (p->qp[QP_CONTROL] == NULL) return E_NOBUFS;
    p->us = (struct member_side){.id = cluster.self, .incarnation = cluster.incarnation,
                                 .ipv4 = cluster.ipv4, .fenced = p->fenced};
    cluster_sides(&p->us);
    random_fill(p->us.nonce, sizeof p->us.nonce);
    p->us.qpn = rdma_qp_num(p->qp[QP_CONTROL]);
    do p->us.start_psn = rng_u32(&kernel_rng) & PSN_BITS;
    while (p->us.start_psn == 0);    // ends: 1 in 2^24 draws is zero
    return S_OK;
}

static void call(struct peer *p) {
    u8 req[MEMBER_REQ_BYTES];
    const u32 ip = cluster_conf.node[p->node].ipv4;
    p->active = true;
    if (us_begin(p) == S_OK) {
        member_req_pack(&p->us, req);
        const struct rdma_conn_param param = param_of(p, req, sizeof req);
        p->id = rdma_connect(p->qp[QP_CONTROL], ip, LINK_PORT, &param, on_event, p,
                             time_now_ns());
    }
    if (p->id == NULL) peer_close(p);
}

// Calls whoever is due: every node of cluster.conf that is not up, with growing waits.
void join_tick(u64 now_ns) {
    if (cluster_in_rebirth()) return;
    for (u32 i = 0; i < NODES_MAX; i++) {
        struct peer *p = &cluster.peers[i];
        if (i == cluster.self || !roster_taken(&cluster_conf.node[i])) continue;
        if (member_call_due(&p->member, now_ns)) call(p);
    }
}

// When the next one is due; ~0: none, or the CM knows.
u64 join_next_ns(void) {
    u64 at = ~0ull;
    if (cluster_in_rebirth()) return at;
    for (u32 i = 0; i < NODES_MAX; i++)
        if (i != cluster.self && roster_taken(&cluster_conf.node[i]))
            at = MIN(at, member_next_ns(&cluster.peers[i].member));
    return at;
}

static void refuse(struct rdma_cm_id *id, enum member_reason why) {
    const u8 data = (u8)why;
    rdma_reject(id, CM_REJ_CONSUMER, &data, 1);
}

static void refuse_stranger(const struct rdma_cm_event *ev, const char *what) {
    u32 ip = ev->peer_ip;
    cluster.counters.refused++;
    if (member_may_log(&strangers, MEMBER_STRANGER, time_now_ns()))
        klog("cluster: a call from %pI is refused: %s", &ip, what);
    refuse(ev->id, MEMBER_STRANGER);
    rdma_destroy_id(ev->id);
}

static void refuse_key(struct peer *p) {
    cluster.counters.refused++;
    if (member_may_log(&p->member, MEMBER_WRONG_KEY, time_now_ns()))
        klog("cluster: node %u is refused: it does not have this cluster's key", p->node);
    refuse(p->id, MEMBER_WRONG_KEY);
    peer_close(p);
}

static void answer(struct peer *p, const struct rdma_cm_event *ev,
                   const struct member_side *them) {
    u8 rep[MEMBER_REP_BYTES];
    p->active = false;
    p->them = *them;
    if (us_begin(p) != S_OK) {
        refuse(ev->id, MEMBER_BUSY);
        rdma_destroy_id(ev->id);
        peer_close(p);
        return;
    }
    const struct member_proof proof = proof_of(p);
    member_rep_pack(&proof, rep);
    const struct rdma_conn_param param = param_of(p, rep, sizeof rep);
    p->id = ev->id;
    p->member.state = MEMBER_ANSWERING;
    if (rdma_accept(p->id, p->qp[QP_CONTROL], &param, on_event, p, time_now_ns()) != S_OK)
        peer_close(p);
}

static void on_request(const struct rdma_cm_event *ev) {
    struct member_side them = {.ipv4 = ev->peer_ip, .qpn = ev->msg->qpn,
                               .start_psn = ev->msg->start_psn};
    if (ask_is(ev->private_data, ev->private_len)) {
        roster_request(ev);
        return;
    }
    if (member_req_unpack(ev->private_data, ev->private_len, &them) != S_OK) {
        refuse_stranger(ev, "not a member's words");
        return;
    }
    if (them.id == cluster.self || !roster_taken(&cluster_conf.node[them.id]) ||
        cluster_conf.node[them.id].ipv4 != ev->peer_ip) {
        refuse_stranger(ev, "not in cluster.conf");
        return;
    }
    struct peer *p = &cluster.peers[them.id];
    if (cluster_in_rebirth()) {
        refuse(ev->id, MEMBER_BUSY);
        rdma_destroy_id(ev->id);
        return;
    }
    switch (member_request(&p->member, cluster.self, them.id)) {
    case MEMBER_ACCEPT_DROP_OWN:
        peer_close(p);
        // fall through
    case MEMBER_ACCEPT: answer(p, ev, &them); return;
    case MEMBER_REJECT_CROSSED: refuse(ev->id, MEMBER_CROSSED); break;
    case MEMBER_REJECT_PROBE:
        refuse(ev->id, MEMBER_BUSY);
        if (p->member.state == MEMBER_UP) probe_post(p);
        break;
    }
    rdma_destroy_id(ev->id);
}

static void proved(struct peer *p) {
    p->member.state = MEMBER_KEYS;
    p->proved_ns = time_now_ns();
    tick_look();
    const status_t status = link_open(p);
    if (status != S_OK) peer_fail(p, "no room for its keys", status);
}

// Both sides are proved. One of them has fenced the other as it is: what ran beyond counts as
// dead on either side. True: no join; the smaller side has to be a new incarnation first. The
// caller tells the answering side by RTU, so that it can prove which it is. A view that has not
// stood for a while says nothing about the sides: they meet again.
static bool healed(struct peer *p) {
    u8 rtu[MEMBER_RTU_BYTES];
    const struct member_proof proof = proof_of(p);
    if (!member_healed(&p->us, &p->them)) return false;
    if (!cluster_sides_hold(&p->us, time_now_ns())) {
        if (!p->active) refuse(p->id, MEMBER_BUSY);
        peer_close(p);
        return true;
    }
    const bool smaller = member_is_smaller(&p->us, &p->them);
    if (member_may_log(&p->member, MEMBER_HEALED, time_now_ns()))
        klog("cluster: a cut from node %u is over: %u members here, %u there; the %s side joins "
             "as new", p->node, p->us.members, p->them.members, smaller ? "own" : "other");
    member_rtu_pack(&proof, rtu);
    if (p->active) rdma_establish(p->id, rtu, sizeof rtu, time_now_ns());
    else refuse(p->id, MEMBER_HEALED);
    if (smaller) cluster_rebirth(p->node);
    peer_close(p);
    return true;
}

// We called, REP is here and the pair is up on our side.
static void on_response(struct peer *p, const struct rdma_cm_event *ev) {
    u8 rtu[MEMBER_RTU_BYTES];
    p->them = (struct member_side){.ipv4 = ev->peer_ip, .qpn = ev->msg->qpn,
                                   .start_psn = ev->msg->start_psn};
    status_t status = member_rep_unpack(ev->private_data, ev->private_len, &p->them);
    if (status == S_OK && p->them.id != p->node) status = E_PROTO;
    const struct member_proof proof = proof_of(p);
    if (status == S_OK) status = member_rep_check(&proof, ev->private_data, ev->private_len);
    if (status != S_OK) {
        refuse_key(p);
        return;
    }
    if (healed(p)) return;
    member_rtu_pack(&proof, rtu);
    if (rdma_establish(p->id, rtu, sizeof rtu, time_now_ns()) != S_OK) peer_close(p);
    else proved(p);
}

// We answered, and RTU is here; the pair answers nothing yet.
static void on_established(struct peer *p, const struct rdma_cm_event *ev) {
    const struct member_proof proof = proof_of(p);
    if (ev->msg == NULL ||
        member_rtu_check(&proof, ev->private_data, ev->private_len) != S_OK) {
        refuse_key(p);
        return;
    }
    if (healed(p)) return;
    if (rdma_establish(p->id, NULL, 0, time_now_ns()) != S_OK) peer_close(p);
    else proved(p);
}

// A REJ proves nothing: for a pair that works it is a hint to look whether the peer lives.
static void on_rejected(struct peer *p, const struct rdma_cm_event *ev) {
    const u32 why = ev->private_len > 0 ? ev->private_data[0] : 0;
    if (p->member.state >= MEMBER_KEYS) {
        if (p->member.state == MEMBER_UP) probe_post(p);
        return;
    }
    if (ev->reason == CM_REJ_INVALID_MTU && p->mtu != RDMA_MTU_256)
        p->mtu = p->mtu == 0 ? RDMA_MTU_1024 : RDMA_MTU_256;
    const bool told = ev->reason == CM_REJ_CONSUMER &&
                      (why == MEMBER_WRONG_KEY || why == MEMBER_STRANGER);
    if (told && member_may_log(&p->member, (enum member_reason)why, time_now_ns()))
        klog("cluster: node %u refuses this node: %s", p->node,
             member_reason_name((enum member_reason)why));
    peer_close(p);
}

static void on_event(const struct rdma_cm_event *ev) {
    if (ev->kind == CM_EV_REQUEST) {
        on_request(ev);
        return;
    }
    struct peer *p = ev->context;
    if (p == NULL || ev->id != p->id) return;
    switch (ev->kind) {
    case CM_EV_RESPONSE: on_response(p, ev); break;
    case CM_EV_ESTABLISHED: on_established(p, ev); break;
    case CM_EV_REJECTED: on_rejected(p, ev); break;
    case CM_EV_UNREACHABLE: if (p->member.state < MEMBER_KEYS) peer_close(p); break;
    case CM_EV_DISCONNECTED: if (p->member.state == MEMBER_UP) probe_post(p); break;
    case CM_EV_REQUEST: break;
    }
}

// Listens for the others. E_ADDRINUSE, E_NOBUFS.
status_t join_init(void) {
    member_peer_init(&strangers, 0);
    const status_t status = rdma_listen(cluster.rdma, LINK_PORT, CM_LISTEN_NO_IMPLIED_RTU |
                                        CM_LISTEN_DREQ_IS_HINT, on_event, NULL);
    if (status != S_OK) klog("cluster: cannot listen (%d); this node works alone", status);
    return status;
}
