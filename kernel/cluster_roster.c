// Nodes that have no line in cluster.conf, at the members: the lowest listed one that is up
// gives ids; all tell each other. The asking side is kernel/ask.c. Called by the CM's events
// and the links, under net_lock. Rules: docs/reference/join.md.
#include "base/string.h"
#include "drivers/rdma/soft.h"
#include "kernel/cluster_priv.h"
#include "kernel/hmac.h"
#include "kernel/klog.h"
#include "kernel/net.h"
#include "kernel/options.h"
#include "kernel/x86/cpu.h"
#include "proto/cluster/ask.h"

static struct member_peer askers;    // for the rate of log lines alone

// Whether this node can know all ids in use: each listed node is up and has told what it
// knows, or has been silent for a while.
static bool settled(u64 now_ns) {
    for (u32 i = 0; i < NODES_MAX; i++) {
        const struct peer *p = &cluster.peers[i];
        if (i == cluster.self || !cluster_conf.node[i].listed) continue;
        if (peer_up(i) ? !p->roster_here : now_ns - p->down_since_ns < ROSTER_SETTLE_NS)
            return false;
    }
    return true;
}

// A row is new or has changed: the card's MAC for the address, and calls from now on.
static void row_changed(u32 id) {
    const struct roster_row *row = &cluster_conf.node[id];
    struct peer *p = &cluster.peers[id];
    u32 ip = row->ipv4;
    if (id == cluster.self) {
        if (memcmp(row->mac, net_own()->dev->mac, 6) != 0)
            panic("node %u is %pM for the others, not this machine: boot it again", id, row->mac);
        return;
    }
    klog("cluster: %pM at %pI has no line in cluster.conf: it is node %u", row->mac, &ip, id);
    if (soft_set_member(cluster.rdma, row->ipv4, row->mac) != S_OK)
        klog("cluster: node %u: no room to fix its MAC", id);
    __atomic_or_fetch(&cluster.known, BIT(id), __ATOMIC_RELEASE);
    if (p->member.state != MEMBER_DOWN) peer_fail(p, "its id is another machine's", 0);
    else member_peer_init(&p->member, time_now_ns());
    tick_look();
}

static void roster_fill(struct cluster_msg *m) {
    m->type = MSG_ROSTER;
    for (u32 i = 0; i < NODES_MAX; i++)
        if (cluster_conf.node[i].assigned)
            m->roster.entry[m->roster.count++] =
                (struct msg_roster_row){(u8)i, cluster_conf.node[i]};
}

// All the rows that this node knows: to a member that has just joined.
void roster_send(struct peer *p) {
    struct cluster_msg m = {0};
    roster_fill(&m);
    link_send(p, &m);
}

static void tell_all(void) {
    struct cluster_msg m = {0};
    roster_fill(&m);
    for (u32 i = 0; i < NODES_MAX; i++)
        if (peer_up(i)) link_send(&cluster.peers[i], &m);
}

// What a member knows. Where two gave one id before they met, the lower giver's word holds.
void roster_take(struct peer *p, const struct cluster_msg *m) {
    p->roster_here = true;
    for (u32 i = 0; i < m->roster.count; i++) {
        const struct msg_roster_row *e = &m->roster.entry[i];
        const status_t status = roster_learn(cluster_conf.node, e->id, &e->row);
        if (status == S_OK) row_changed(e->id);
        if (status == E_EXIST)
            klog("cluster: node %u says that %pM is node %u; here it is not", p->node,
                 e->row.mac, e->id);
    }
}

static struct ask_answer decide(const struct ask *a) {
    const u64 now_ns = time_now_ns();
    const u32 by = roster_assigner(cluster_conf.node, cluster.up);
    struct ask_answer r = {.result = ASK_NOT_MINE, .by = (u8)by};
    if (by != cluster.self) return r;
    r.result = ASK_LATER;
    if (!settled(now_ns)) return r;
    const struct roster_row *rows = cluster_conf.node;
    const u32 was = roster_find(rows, a->mac);
    const u32 address = was < NODES_MAX ? rows[was].ipv4 : 0;
    switch (roster_assign(cluster_conf.node, cluster.self, a->mac, a->ipv4, &r.id)) {
    case S_OK: r.result = ASK_GIVEN; break;
    case E_EXIST: r.result = ASK_LISTED; break;
    case E_ADDRINUSE: r.result = ASK_ADDRESS_TAKEN; break;
    default: r.result = ASK_FULL; break;
    }
    if (r.result != ASK_GIVEN || address == a->ipv4) return r;
    row_changed(r.id);
    tell_all();
    return r;
}

// A REQ that asks for an id. No connection comes of it: the answer is a REJ's private data.
void roster_request(const struct rdma_cm_event *ev) {
    const struct ask_key key = {cluster_conf.key, hmac_sha256};
    struct ask a = {.ipv4 = ev->peer_ip};
    u32 ip = ev->peer_ip;
    u8 data[ASK_ANSWER_BYTES] = {MEMBER_WRONG_KEY};
    u32 len = 1;
    if (ask_req_unpack(&key, ev->private_data, ev->private_len, &a) == S_OK) {
        const struct ask_answer r = decide(&a);
        ask_answer_pack(&key, &a, &r, data);
        len = sizeof data;
    } else {
        cluster.counters.refused++;
        if (member_may_log(&askers, MEMBER_WRONG_KEY, time_now_ns()))
            klog("cluster: %pI asks for an id and is refused: it does not have the key", &ip);
    }
    rdma_reject(ev->id, CM_REJ_CONSUMER, data, len);
    rdma_destroy_id(ev->id);
}
