// A machine without a line in cluster.conf: it claims an address, asks the listed nodes one
// by one for an id until one gives it or join.wait is over, and only then becomes a node.
// Boot, one CPU; the network is polled by hand. The members' side: kernel/cluster_roster.c.
// Rules: docs/reference/join.md.
#include "kernel/ask.h"

#include "base/string.h"
#include "drivers/rdma/rdma_cm.h"
#include "drivers/rdma/soft.h"
#include "kernel/cluster_priv.h"
#include "kernel/hmac.h"
#include "kernel/klog.h"
#include "kernel/net.h"
#include "kernel/net_priv.h"
#include "kernel/netpoll.h"
#include "kernel/options.h"
#include "kernel/random.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/msr.h"
#include "proto/cluster/ask.h"
#include "proto/cluster/claim.h"

#define ANSWER_WAIT_NS (1000ull * 1000 * 1000)   // of one node; the CM repeats the REQ twice
#define ROUND_WAIT_NS (200ull * 1000 * 1000)     // between two rounds over all nodes

static struct {                      // net_lock
    struct net_card *card;
    struct claim claim;
    struct rdma_pd *pd;
    struct rdma_cq *cq;
    struct ask ask;
    bool ended;                      // this REQ was answered, or never will be
    struct ask_answer answer;        // result 0: no answer of a member
    struct member_peer told;         // for the rate of log lines alone
} me;

// --- the address -------------------------------------------------------------------------

static void claim_frame(struct net_card *card, const u8 *frame, u32 len_bytes) {
    if (card == me.card) claim_rx(&me.claim, frame, len_bytes);
}

static void frame_send(const u8 *frame, u32 len_bytes) {
    struct netdev *dev = me.card->dev;
    u8 *head = dev->ops->tx_buf(dev);
    if (head == NULL) return;        // the next probe may have more luck
    memcpy(head, frame, len_bytes);
    const struct net_tx tx = {.head = head, .head_len = len_bytes};
    dev->ops->tx_send(dev, &tx);
}

// Addresses of nodes that are known, as claim_init wants them; and any of them.
static u64 hosts_taken(u32 *network) {
    u64 taken = 0;
    for (u32 i = NODES_MAX; i-- > 0;) {
        const struct roster_row *row = &cluster_conf.node[i];
        const u32 host = row->ipv4 & 0xff;
        if (!roster_taken(row)) continue;
        *network = row->ipv4;
        if (host >= CLAIM_HOST_FIRST && host <= CLAIM_HOST_LAST)
            taken |= BIT(host - CLAIM_HOST_FIRST);
    }
    return taken;
}

static void network_wait(bool (*done)(u64 now_ns), u64 until_ns) {
    for (;;) {                       // ends: at until_ns at the latest
        netpoll();
        netpoll_lock();
        const u64 now_ns = time_now_ns();
        const bool end = done(now_ns) || now_ns >= until_ns;
        netpoll_unlock();
        if (end) return;
        cpu_relax();
    }
}

static bool claimed(u64 now_ns) {
    u8 frame[CLAIM_FRAME_BYTES];
    if (claim_tick(&me.claim, now_ns, frame)) frame_send(frame, sizeof frame);
    return me.claim.state != CLAIM_PROBING;
}

// True: me.claim.ipv4 is ours, and the card has its RDMA device there.
static bool address_take(u64 until_ns) {
    net_claim_rx = claim_frame;
    network_wait(claimed, until_ns);
    netpoll_lock();
    net_claim_rx = NULL;
    const bool ok = me.claim.state == CLAIM_DONE &&
                    net_rdma_create(me.card, me.claim.ipv4) == S_OK;
    netpoll_unlock();
    me.ask.ipv4 = me.claim.ipv4;
    if (!ok) return false;
    me.pd = rdma_alloc_pd(me.card->rdma);
    me.cq = rdma_create_cq(me.card->rdma, 16, NULL, NULL);
    return me.pd != NULL && me.cq != NULL;
}

// --- the id ------------------------------------------------------------------------------

// Any stranger can send a REJ; only one with the right MAC is an answer.
static void on_event(const struct rdma_cm_event *ev) {
    const struct ask_key key = {cluster_conf.key, hmac_sha256};
    u32 ip = ev->peer_ip;
    me.ended = true;
    if (ev->kind != CM_EV_REJECTED) return;
    struct ask_answer r;
    const status_t status = ask_answer_unpack(&key, &me.ask, ev->private_data, ev->private_len,
                                              &r);
    if (status == S_OK) me.answer = r;
    const u32 why = ev->private_len > 0 ? ev->private_data[0] : 0;
    const bool key_differs = status == E_KEYREJECTED || why == MEMBER_WRONG_KEY;
    if (status != S_OK && key_differs &&
        member_may_log(&me.told, MEMBER_WRONG_KEY, time_now_ns()))
        klog("ask: %pI refuses this node: wrong key", &ip);
}

static bool answered(u64 now_ns) { (void)now_ns; return me.ended; }
static bool never(u64 now_ns) { (void)now_ns; return false; }

// One REQ to that node, and what came of it in me.answer.
static void ask_node(u32 ip) {
    const struct ask_key key = {cluster_conf.key, hmac_sha256};
    const struct rdma_qp_init_attr attr = {.send_cq = me.cq, .recv_cq = me.cq, .max_send_wr = 1,
                                           .max_recv_wr = 1};
    u8 req[ASK_REQ_BYTES];
    me.ended = false;
    me.answer = (struct ask_answer){0};
    random_fill(me.ask.nonce, sizeof me.ask.nonce);
    ask_req_pack(&key, &me.ask, req);
    const struct rdma_conn_param param = {.private_data = req, .private_len = sizeof req,
                                          .retry_count = 7, .rnr_retry = 7};
    netpoll_lock();
    struct rdma_qp *qp = rdma_create_qp(me.pd, &attr);
    struct rdma_cm_id *id = qp == NULL ? NULL : rdma_connect(qp, ip, LINK_PORT, &param, on_event,
                                                             NULL, time_now_ns());
    netpoll_unlock();
    const u64 until_ns = time_now_ns() + ANSWER_WAIT_NS;
    if (id != NULL) network_wait(answered, until_ns);
    netpoll_lock();
    if (id != NULL) rdma_destroy_id(id);
    if (qp != NULL) rdma_destroy_qp(qp);
    netpoll_unlock();
}

static const char *result_name(u32 result) {
    static const char *const names[] = {
        "no listed node answers", "", "the members are not sure yet who gives ids",
        "the members are not sure yet who is up", "its address is another node's",
        "no id is free", "the members' cluster.conf lists this MAC, the own one does not"};
    return result < ARRAY_COUNT(names) ? names[result] : "?";
}

// Asks all listed nodes in turn, the lowest id first, until one gives an id: each but the
// lowest that is up says "not mine". The last reason why not is in *last.
static bool id_take(u64 until_ns, u32 *last) {
    while (time_now_ns() < until_ns) {
        for (u32 i = 0; i < NODES_MAX && time_now_ns() < until_ns; i++) {
            if (!cluster_conf.node[i].listed) continue;
            ask_node(cluster_conf.node[i].ipv4);
            if (me.answer.result == ASK_GIVEN) return true;
            if (me.answer.result != 0) *last = me.answer.result;
            if (me.answer.result >= ASK_ADDRESS_TAKEN) return false;
        }
        network_wait(never, MIN(until_ns, time_now_ns() + ROUND_WAIT_NS));
    }
    return false;
}

static void node_become(void) {
    struct roster_row *row = &cluster_conf.node[me.answer.id];
    *row = (struct roster_row){.assigned = true, .by = me.answer.by, .ipv4 = me.ask.ipv4};
    memcpy(row->mac, me.ask.mac, 6);
    me.card->node = me.answer.id;
    klog("ask: node %u gave this node the id %u", me.answer.by, me.answer.id);
    net_rdma_announce(me.card);
}

// Claims and asks; where the address turns out to be a node's, with the next one.
static bool ask(u64 until_ns, u32 *last) {
    for (u32 tries = 0; tries < CLAIM_HOSTS; tries++) {
        *last = 0;
        if (!address_take(until_ns)) {
            klog("ask: no IPv4 address is free for this node");
            return false;
        }
        u32 ip = me.ask.ipv4;
        klog("ask: this node's address is %pI; it asks for an id", &ip);
        if (id_take(until_ns, last)) return true;
        me.card->rdma = NULL;        // its memory stays: this is rare, and at boot alone
        if (*last != ASK_ADDRESS_TAKEN) return false;
        claim_next(&me.claim);
    }
    return false;
}

void ask_init(void) {
    if (!cluster_conf.valid || net_own() != NULL || net_card_count == 0) return;
    me.card = &net_cards[0];
    memcpy(me.ask.mac, me.card->dev->mac, 6);
    klog("%s: MAC %pM is not in cluster.conf: asks to join for %u s", me.card->dev->name,
         me.ask.mac, options.join_wait_s);
    u32 network = 0, last = 0;
    const u64 taken = hosts_taken(&network);
    claim_init(&me.claim, me.ask.mac, network, taken, options.ip);
    if (ask(time_now_ns() + options.join_wait_s * 1000000000ull, &last)) node_become();
    else
        klog("ask: no id within %u s: %s; this node works alone until it is booted again",
             options.join_wait_s, result_name(last));
    if (net_own() != NULL && me.card->node == NET_NO_NODE) me.card->rdma = NULL;
}
