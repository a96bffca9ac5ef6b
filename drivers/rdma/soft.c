// Soft RoCE, provider one of verbs: the device, its timers and its transmit loop. The
// owner (kernel/netpoll.c, the simulator, tests) calls soft_rx, soft_tick and soft_tx under
// the device's lock. Receive is in soft_rx.c, packets out in soft_tx.c, ARP in
// soft_neigh.c, verbs in pd.c mr.c cq.c qp.c.
// Spec: IBTA Vol. 1 ch. 9; Annex A17.
#include "drivers/rdma/soft_priv.h"

#include "base/string.h"

static u32 id_bucket(u32 id) { return (id * 0x9e3779b1u) >> (32 - SOFT_HASH_BITS); }

struct id_node *id_find(const struct id_table *t, u32 id) {
    struct id_node *n = t->bucket[id_bucket(id)];
    while (n != NULL && n->id != id) n = n->next;
    return n;
}

void id_insert(struct id_table *t, struct id_node *node, u32 id) {
    struct id_node **bucket = &t->bucket[id_bucket(id)];
    *node = (struct id_node){id, *bucket};
    *bucket = node;
}

void id_remove(struct id_table *t, struct id_node *node) {
    struct id_node **at = &t->bucket[id_bucket(node->id)];
    while (*at != node) {
        ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
}

void *soft_alloc(struct soft_dev *dev, u64 len_bytes) {
    return dev->config.alloc(dev->config.alloc_ctx, len_bytes);
}

void soft_free(struct soft_dev *dev, void *ptr, u64 len_bytes) {
    if (dev->config.free != NULL) dev->config.free(dev->config.alloc_ctx, ptr, len_bytes);
}

static const struct rdma_ops soft_ops = {
    .alloc_pd = soft_alloc_pd, .dealloc_pd = soft_dealloc_pd, .reg_mr = soft_reg_mr,
    .dereg_mr = soft_dereg_mr, .create_cq = soft_create_cq, .destroy_cq = soft_destroy_cq,
    .poll_cq = soft_poll_cq, .create_qp = soft_create_qp, .modify_qp = soft_modify_qp,
    .query_qp = soft_query_qp, .qp_doubts = soft_qp_doubts, .destroy_qp = soft_destroy_qp,
    .post_send = soft_post_send, .post_recv = soft_post_recv,
};

// What the CM machine sends waits among the control frames; a full queue drops it, and the
// CM repeats.
static void cm_send(void *ctx, u32 dst_ip, const u8 mad[MAD_LEN]) {
    struct soft_dev *dev = ctx;
    struct soft_ctl *ctl = NULL;
    LIST_FOR_EACH(it, &dev->ctl_list) {      // at most SOFT_CTL_MAX
        struct soft_ctl *c = LIST_ENTRY(it, struct soft_ctl, link);
        // The same message again (transaction and attribute): the newer replaces it.
        if (c->dst_ip == dst_ip && memcmp(c->bytes + 8, mad + 8, 10) == 0) ctl = c;
    }
    if (ctl == NULL) ctl = soft_ctl_get(dev);
    if (ctl == NULL) return;
    ctl->dst_ip = dst_ip;
    ctl->len = MAD_LEN;
    memcpy(ctl->bytes, mad, MAD_LEN);
}

static void init_lists(struct soft_dev *dev) {
    list_init(&dev->tx_list);
    list_init(&dev->timer_list);
    list_init(&dev->ctl_list);
    list_init(&dev->ctl_free);
    list_init(&dev->qp_free);
    list_init(&dev->mr_free);
    for (u32 i = 0; i < SOFT_CTL_MAX; i++) {
        list_init(&dev->ctl[i].link);
        list_push_back(&dev->ctl_free, &dev->ctl[i].link);
    }
    for (u32 i = 0; i < SOFT_QP_MAX; i++) {
        list_init(&dev->qps[i].link);
        list_init(&dev->qps[i].tx_link);
        list_init(&dev->qps[i].timer_link);
        list_push_back(&dev->qp_free, &dev->qps[i].link);
    }
    for (u32 i = 0; i < SOFT_MR_MAX; i++) {
        list_init(&dev->mrs[i].link);
        list_push_back(&dev->mr_free, &dev->mrs[i].link);
    }
}

// Makes a device over config->netdev; the config is copied. NULL: no memory.
struct rdma_dev *soft_create(const struct soft_config *config) {
    struct soft_dev *dev = config->alloc(config->alloc_ctx, sizeof *dev);
    if (dev == NULL) return NULL;
    dev->base = (struct rdma_dev){&soft_ops, config->word_ops};
    dev->config = *config;
    dev->config.members = NULL;
    dev->netdev = config->netdev;
    init_lists(dev);
    dev->neigh_deadline_ns = DEADLINE_NONE;
    for (u32 i = 0; i < config->member_count; i++)
        soft_neigh_fix(dev, config->members[i].ipv4, config->members[i].mac);
    u64 guid = 0;
    for (u32 i = 0; i < 6; i++) guid = guid << 8 | dev->netdev->mac[i];
    guid = (guid & 0xffffff) | 0xfffe000000ull | (guid >> 24) << 40;    // EUI-64
    struct cm_ops ops = {cm_send, rdma_cm_on_event, dev};
    cm_init(&dev->cm, config->ipv4, guid ^ 1ull << 57, &config->rng, &ops);
    dev->gsi_psn = rng_u32(&config->rng) & PSN_MASK;
    return &dev->base;
}

void soft_qp_want_tx(struct soft_qp *qp) {
    if (!list_empty(&qp->tx_link)) return;
    struct soft_dev *dev = soft_of(qp->base.dev);
    list_push_back(&dev->tx_list, &qp->tx_link);
    if (dev->config.kick != NULL) dev->config.kick(dev->config.kick_ctx);
}

// Puts the QP on the list of armed timers or takes it off.
void soft_qp_timer(struct soft_qp *qp) {
    bool armed = qp->live && rc_req_deadline(&qp->req) != DEADLINE_NONE;
    if (!armed) list_remove(&qp->timer_link);
    else if (list_empty(&qp->timer_link))
        list_push_back(&soft_of(qp->base.dev)->timer_list, &qp->timer_link);
}

bool soft_tx(struct rdma_dev *rdma, u64 now_ns) {
    struct soft_dev *dev = soft_of(rdma);
    u64 sent = dev->counters.sent_pkts + dev->counters.arp_replies + dev->counters.arp_requests;
    dev->now_ns = now_ns;
    if (list_empty(&dev->tx_list) && list_empty(&dev->ctl_list) &&
        dev->gather_issued == dev->gather_done) {
        dev->tx_full = false;
        return false;
    }
    dev->netdev->ops->tx_reap(dev->netdev);
    dev->tx_full = !list_empty(&dev->ctl_list) && !soft_ctl_tx(dev, now_ns);
    while (!dev->tx_full && !list_empty(&dev->tx_list)) {
        struct soft_qp *qp = LIST_ENTRY(list_pop_front(&dev->tx_list), struct soft_qp, tx_link);
        u32 generation = qp->generation;
        enum soft_tx_result result = soft_qp_tx(dev, qp, now_ns);
        if (!qp->live || qp->generation != generation) continue;   // its owner ended it
        dev->tx_full = result == TX_FULL;
        if (result == TX_MORE && list_empty(&qp->tx_link))
            list_push_back(&dev->tx_list, &qp->tx_link);
        if (result == TX_FULL && list_empty(&qp->tx_link))
            list_push_front(&dev->tx_list, &qp->tx_link);
        soft_qp_timer(qp);
    }
    if (dev->tx_full) dev->counters.tx_ring_full++;
    if (sent != dev->counters.sent_pkts + dev->counters.arp_replies + dev->counters.arp_requests)
        dev->netdev->ops->tx_kick(dev->netdev);
    return dev->tx_full;
}

u64 soft_completions(const struct rdma_dev *rdma) {
    return ((const struct soft_dev *)rdma)->completions;
}

static void qp_tick(struct soft_qp *qp, u64 now_ns) {
    struct soft_dev *dev = soft_of(qp->base.dev);
    struct rc_req_result r = rc_req_tick(&qp->req, now_ns);
    if (r.verdict == RC_REQ_FAILED) {
        dev->counters.retry_exceeded_err++;
        soft_qp_fail(qp, r.wqe, RDMA_WC_RETRY_EXC_ERR);
        return;
    }
    soft_qp_timer(qp);
    soft_qp_want_tx(qp);
}

void soft_tick(struct rdma_dev *rdma, u64 now_ns) {
    struct soft_dev *dev = soft_of(rdma);
    dev->now_ns = now_ns;
    // Callbacks may destroy any QP, so take due ones off the list first, one at a time;
    // each is either handled (deadline moves on) or gone: at most one turn each.
    for (u32 turn = 0; turn < SOFT_QP_MAX; turn++) {
        struct soft_qp *due = NULL;
        LIST_FOR_EACH(it, &dev->timer_list) {
            struct soft_qp *qp = LIST_ENTRY(it, struct soft_qp, timer_link);
            if (rc_req_deadline(&qp->req) > now_ns) continue;
            due = qp;
            break;
        }
        if (due == NULL) break;
        qp_tick(due, now_ns);
    }
    soft_neigh_tick(dev, now_ns);
    cm_tick(&dev->cm, now_ns);
}

u64 soft_next_deadline(const struct rdma_dev *rdma) {
    const struct soft_dev *dev = (const struct soft_dev *)rdma;
    u64 next = MIN(cm_next_deadline(&dev->cm), soft_neigh_deadline(dev));
    LIST_FOR_EACH(it, &dev->timer_list) {
        u64 at = rc_req_deadline(&LIST_ENTRY(it, struct soft_qp, timer_link)->req);
        next = MIN(next, at);
    }
    return next;
}

u64 soft_now_ns(const struct rdma_dev *rdma) { return ((const struct soft_dev *)rdma)->now_ns; }

// The device's counters; the requesters' share is added here.
const struct soft_counters *soft_counters(const struct rdma_dev *rdma) {
    struct soft_dev *dev = soft_of((struct rdma_dev *)(uintptr_t)rdma);
    dev->counters.rcvd_rnr_err = dev->req_counters.rcvd_rnr_err;
    dev->counters.rcvd_seq_err = dev->req_counters.rcvd_seq_err;
    dev->counters.completer_retry_err = dev->req_counters.completer_retry_err;
    dev->counters.ghost_response = dev->req_counters.ghost_response;
    dev->counters.read_gap_asked = dev->req_counters.read_gap_asked;
    return &dev->counters;
}

struct cm *soft_cm(struct rdma_dev *dev) { return &soft_of(dev)->cm; }
u32 soft_ipv4(const struct rdma_dev *dev) { return ((const struct soft_dev *)dev)->config.ipv4; }

enum rdma_mtu soft_mtu(const struct rdma_dev *dev) {
    u32 mtu = ((const struct soft_dev *)dev)->netdev->mtu;
    for (u32 m = RDMA_MTU_4096; m > RDMA_MTU_256; m--)
        if ((128u << m) + SOFT_HDR_ROOM <= mtu) return (enum rdma_mtu)m;
    return RDMA_MTU_256;
}

status_t soft_set_member(struct rdma_dev *rdma, u32 ipv4, const u8 mac[6]) {
    struct soft_dev *dev = soft_of(rdma);
    status_t status = soft_neigh_fix(dev, ipv4, mac);
    for (u32 i = 0; i < SOFT_QP_MAX && status == S_OK; i++) {
        struct soft_qp *qp = &dev->qps[i];
        if (qp->live && qp->attr.qp_state >= RDMA_QPS_RTR && qp->flow.dst_ip == ipv4)
            soft_qp_resolve(dev, qp, dev->now_ns);
    }
    return status;
}

u64 soft_gather_issued(const struct rdma_dev *dev) {
    return ((const struct soft_dev *)dev)->gather_issued;
}
u64 soft_gather_done(const struct rdma_dev *dev) {
    return ((const struct soft_dev *)dev)->gather_done;
}
