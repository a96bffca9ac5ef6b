// ARP for soft RoCE: answers for our address, resolves peers with bounded tries, and
// keeps members' fixed MACs out of its reach. Waiting for one peer holds up no other: MADs
// wait in the control list, QPs are marked and passed over. Device's lock.
// Spec: RFC 826.
#include "drivers/rdma/soft_priv.h"

#include "base/string.h"
#include "proto/roce/roce_wire.h"

// When the first of those that are asked for is due; kept, since each poll wants to know.
static void deadline_update(struct soft_dev *dev) {
    u64 next = DEADLINE_NONE;
    for (u32 i = 0; i < ARRAY_COUNT(dev->neigh); i++)
        if (dev->neigh[i].state == NEIGH_ASKING) next = MIN(next, dev->neigh[i].deadline_ns);
    dev->neigh_deadline_ns = next;
}

static struct soft_neigh *lookup(struct soft_dev *dev, u32 ipv4) {
    for (u32 i = 0; i < ARRAY_COUNT(dev->neigh); i++)
        if (dev->neigh[i].state != NEIGH_FREE && dev->neigh[i].ipv4 == ipv4)
            return &dev->neigh[i];
    return NULL;
}

// A free entry, or the one longest unused that is not fixed.
static struct soft_neigh *make(struct soft_dev *dev, u32 ipv4) {
    struct soft_neigh *best = NULL;
    for (u32 i = 0; i < ARRAY_COUNT(dev->neigh); i++) {
        struct soft_neigh *n = &dev->neigh[i];
        if (n->state == NEIGH_FREE) {
            best = n;
            break;
        }
        if (n->state != NEIGH_FIXED && (best == NULL || n->used < best->used)) best = n;
    }
    if (best != NULL) *best = (struct soft_neigh){.ipv4 = ipv4, .used = ++dev->neigh_clock};
    return best;
}

struct soft_ctl *soft_ctl_get(struct soft_dev *dev) {
    struct list_node *node = list_pop_front(&dev->ctl_free);
    if (node == NULL) return NULL;
    list_push_back(&dev->ctl_list, node);
    if (dev->config.kick != NULL) dev->config.kick(dev->config.kick_ctx);
    return LIST_ENTRY(node, struct soft_ctl, link);
}

static bool send_arp(struct soft_dev *dev, u16 op, u32 target_ip, const u8 *target_mac) {
    static const u8 broadcast[6] = {255, 255, 255, 255, 255, 255};
    static const u8 unknown[6] = {0};
    struct soft_ctl *ctl = soft_ctl_get(dev);
    if (ctl == NULL) return false;
    struct eth_hdr *eth = (void *)ctl->bytes;
    struct arp_pkt *arp = (void *)(ctl->bytes + ETH_LEN);
    ctl->dst_ip = 0;
    ctl->len = ETH_LEN + sizeof *arp;
    memcpy(eth->dst, target_mac == NULL ? broadcast : target_mac, 6);
    memcpy(eth->src, dev->netdev->mac, 6);
    eth->type = be16(ETH_TYPE_ARP);
    *arp = (struct arp_pkt){.htype = be16(1), .ptype = be16(ETH_TYPE_IPV4), .hlen = 6,
                            .plen = 4, .op = be16(op), .sender_ip = be32(dev->config.ipv4),
                            .target_ip = be32(target_ip)};
    memcpy(arp->sender_mac, dev->netdev->mac, 6);
    memcpy(arp->target_mac, target_mac == NULL ? unknown : target_mac, 6);
    if (op == ARP_OP_REQUEST) dev->counters.arp_requests++;
    else dev->counters.arp_replies++;
    return true;
}

static void resolved(struct soft_dev *dev, u32 ipv4) {
    for (u32 i = 0; i < SOFT_QP_MAX; i++) {
        struct soft_qp *qp = &dev->qps[i];
        if (qp->live && qp->mac_wait && qp->flow.dst_ip == ipv4)
            soft_qp_resolve(dev, qp, dev->now_ns);
    }
}

void soft_arp_rx(struct soft_dev *dev, const u8 *frame, u32 len_bytes) {
    const struct arp_pkt *arp = (const void *)(frame + ETH_LEN);
    if (len_bytes < ETH_LEN + sizeof *arp || be16_get(arp->htype) != 1 ||
        be16_get(arp->ptype) != ETH_TYPE_IPV4 || arp->hlen != 6 || arp->plen != 4) {
        dev->counters.arp_ignored++;
        return;
    }
    u32 sender = be32_get(arp->sender_ip);
    bool for_us = be32_get(arp->target_ip) == dev->config.ipv4;
    bool usable = sender != 0 && sender != dev->config.ipv4 && !(arp->sender_mac[0] & 1);
    struct soft_neigh *n = usable ? lookup(dev, sender) : NULL;
    if (usable && for_us && n == NULL) n = make(dev, sender);     // it will talk to us
    if (n != NULL && n->state == NEIGH_FIXED) {
        if (memcmp(n->mac, arp->sender_mac, 6) != 0) dev->counters.arp_ignored++;
    } else if (n != NULL) {
        n->state = NEIGH_OK;
        memcpy(n->mac, arp->sender_mac, 6);
        deadline_update(dev);
        resolved(dev, sender);
    }
    if (for_us && be16_get(arp->op) == ARP_OP_REQUEST)
        send_arp(dev, ARP_OP_REPLY, sender, arp->sender_mac);
}

static bool unicast(const struct soft_dev *dev, u32 ipv4) {
    u32 host = dev->config.prefix_len >= 31 ? 0 : ~0u >> dev->config.prefix_len;
    if (ipv4 == 0 || ipv4 >> 28 >= 14) return false;
    bool local = ((ipv4 ^ dev->config.ipv4) & ~host) == 0;
    return !(host != 0 && local && ((ipv4 & host) == host || (ipv4 & host) == 0));
}

const u8 *soft_neigh_find(struct soft_dev *dev, u32 ipv4, u64 now_ns) {
    struct soft_neigh *n = lookup(dev, ipv4);
    if (n == NULL) {
        n = unicast(dev, ipv4) ? make(dev, ipv4) : NULL;
        if (n == NULL) return NULL;
    }
    n->used = ++dev->neigh_clock;
    if (n->state == NEIGH_OK || n->state == NEIGH_FIXED) return n->mac;
    if (n->state == NEIGH_ASKING || (n->state == NEIGH_FAILED && now_ns < n->deadline_ns))
        return NULL;
    n->state = NEIGH_ASKING;
    n->tries = 1;
    n->deadline_ns = now_ns + SOFT_ARP_WAIT_NS;
    deadline_update(dev);
    send_arp(dev, ARP_OP_REQUEST, ipv4, NULL);
    return NULL;
}

bool soft_neigh_failed(const struct soft_dev *dev, u32 ipv4) {
    const struct soft_neigh *n = lookup((struct soft_dev *)(uintptr_t)dev, ipv4);
    return n == NULL || n->state == NEIGH_FAILED;
}

// The peer answers no ARP: what waits for it fails now, and nothing else.
static void give_up(struct soft_dev *dev, struct soft_neigh *n, u64 now_ns) {
    u32 ipv4 = n->ipv4;
    n->state = NEIGH_FAILED;
    n->deadline_ns = now_ns + SOFT_ARP_HOLD_NS;
    dev->counters.arp_failed++;
    LIST_FOR_EACH_SAFE(it, &dev->ctl_list) {
        struct soft_ctl *ctl = LIST_ENTRY(it, struct soft_ctl, link);
        if (ctl->dst_ip != ipv4) continue;
        list_remove(it);
        list_push_back(&dev->ctl_free, it);
    }
    for (u32 i = 0; i < SOFT_QP_MAX; i++) {
        struct soft_qp *qp = &dev->qps[i];
        if (!qp->live || !qp->mac_wait || qp->flow.dst_ip != ipv4) continue;
        qp->mac_wait = false;
        dev->counters.retry_exceeded_err++;
        soft_qp_fail(qp, ring_empty(&qp->req.ring) ? ~0u : ring_peek_index(&qp->req.ring, 0),
                     RDMA_WC_RETRY_EXC_ERR);
    }
}

void soft_neigh_tick(struct soft_dev *dev, u64 now_ns) {
    if (now_ns < dev->neigh_deadline_ns) return;
    for (u32 i = 0; i < ARRAY_COUNT(dev->neigh); i++) {
        struct soft_neigh *n = &dev->neigh[i];
        if (n->state != NEIGH_ASKING || now_ns < n->deadline_ns) continue;
        if (n->tries >= SOFT_ARP_TRIES) {
            give_up(dev, n, now_ns);
            continue;
        }
        n->tries++;
        n->deadline_ns = now_ns + SOFT_ARP_WAIT_NS;
        send_arp(dev, ARP_OP_REQUEST, n->ipv4, NULL);
    }
    deadline_update(dev);
}

u64 soft_neigh_deadline(const struct soft_dev *dev) { return dev->neigh_deadline_ns; }

status_t soft_neigh_fix(struct soft_dev *dev, u32 ipv4, const u8 mac[6]) {
    u32 fixed = 0;
    struct soft_neigh *n = lookup(dev, ipv4);
    for (u32 i = 0; i < ARRAY_COUNT(dev->neigh); i++)
        fixed += dev->neigh[i].state == NEIGH_FIXED;
    if (n == NULL || n->state != NEIGH_FIXED) {
        if (fixed >= SOFT_MEMBER_MAX) return E_NOSPC;
        if (n == NULL) n = make(dev, ipv4);
    }
    ASSERT(n != NULL);
    n->state = NEIGH_FIXED;
    memcpy(n->mac, mac, 6);
    deadline_update(dev);
    return S_OK;
}

// Gives the QP its peer's MAC, or marks it as waiting for one.
void soft_qp_resolve(struct soft_dev *dev, struct soft_qp *qp, u64 now_ns) {
    static const u8 none[6] = {0};
    const u8 *mac = qp->attr.dest_mac;
    if (memcmp(mac, none, 6) == 0) mac = soft_neigh_find(dev, qp->flow.dst_ip, now_ns);
    qp->mac_ok = mac != NULL;
    qp->mac_wait = mac == NULL && !soft_neigh_failed(dev, qp->flow.dst_ip);
    if (mac == NULL) return;
    memcpy(qp->flow.dst_mac, mac, 6);
    soft_qp_want_tx(qp);
}
