// The traffic of remote files on the bulk pair: whole messages, and READs and WRITEs of
// data. Below proto/p9's machines (kernel/remote_files.c), which count the credits; above
// verbs. Under net_lock.
#include "base/string.h"
#include "kernel/cluster_priv.h"

_Static_assert(CLUSTER_BULK_MOVES_MAX <= 64 && CLUSTER_REPLY_SLOTS <= 32, "bits of a word");

void cluster_set_bulk(const struct cluster_bulk_ops *ops) { cluster.bulk = *ops; }

status_t cluster_bulk_send(u32 node, const void *bytes, u32 len_bytes) {
    struct peer *p = peer_up(node);
    if (p == NULL) return E_HOSTUNREACH;
    if (len_bytes > CLUSTER_BULK_MSG_MAX) return E_MSGSIZE;
    if (ring_full(&p->bulk_msgs)) {
        p->bulk_full = true;
        return E_AGAIN;
    }
    const u32 index = ring_tail_index(&p->bulk_msgs);
    memcpy(p->memory->bulk_msg[index], bytes, len_bytes);
    struct rdma_send_wr wr = {.wr_id = wr_id(WR_BULK_MSG, index), .num_sge = 1,
                              .opcode = RDMA_WR_SEND, .send_flags = RDMA_SEND_SIGNALED};
    wr.sge[0] = (struct rdma_sge){(u64)p->memory->bulk_msg[index], len_bytes,
                                  rdma_mr_lkey(p->local)};
    const status_t status = rdma_post_send(p->qp[QP_BULK], &wr);
    if (status == S_OK) {
        ring_produce(&p->bulk_msgs);
        cluster.counters.bulk_out++;
        return S_OK;
    }
    p->bulk_full = true;
    return status == E_NOMEM ? E_AGAIN : E_HOSTUNREACH;
}

static void room(struct peer *p) {
    if (!p->bulk_full) return;
    p->bulk_full = false;
    if (cluster.bulk.room) cluster.bulk.room(cluster.bulk.ctx, p->node);
}

// The oldest message has been taken by the peer: room for another. net_lock held, as below.
void bulk_msg_done(struct peer *p) {
    ring_consume(&p->bulk_msgs);     // RC completes in order
    room(p);
}

// A message of the peer lies in receive buffer `index`; handed up only once the peer is a member.
void bulk_received(struct peer *p, u32 index, u32 len_bytes) {
    cluster.counters.bulk_in++;
    if (index < LINK_BULK_MSGS && p->member.state == MEMBER_UP && cluster.bulk.receive)
        cluster.bulk.receive(cluster.bulk.ctx, p->node, p->memory->bulk_recv[index], len_bytes);
}

status_t cluster_bulk_move(const struct cluster_move *m) {
    struct peer *p = peer_up(m->node);
    if (p == NULL) return E_HOSTUNREACH;
    u32 index = 0;
    while (index < CLUSTER_BULK_MOVES_MAX && (p->moves_used & BIT(index))) index++;
    if (index == CLUSTER_BULK_MOVES_MAX) {
        p->bulk_full = true;
        return E_AGAIN;
    }
    struct rdma_send_wr wr = {
        .wr_id = wr_id(WR_MOVE, index), .num_sge = 1,
        .opcode = m->write ? RDMA_WR_RDMA_WRITE : RDMA_WR_RDMA_READ,
        .send_flags = RDMA_SEND_SIGNALED | (m->fence ? RDMA_SEND_FENCE : 0),
        .remote_addr = m->remote_address, .rkey = m->remote_key};
    wr.sge[0] = (struct rdma_sge){(u64)m->local, m->len_bytes, rdma_mr_lkey(p->local)};
    const status_t status = rdma_post_send(p->qp[QP_BULK], &wr);
    if (status == S_OK) {
        p->moves_used |= BIT(index);
        p->move_cookie[index] = m->cookie;
        cluster.counters.moves++;
        return S_OK;
    }
    p->bulk_full = true;
    return status == E_NOMEM ? E_AGAIN : E_HOSTUNREACH;
}

u32 cluster_bulk_doubts(u32 node) {
    const struct peer *p = peer_up(node);
    return p != NULL ? rdma_qp_doubts(p->qp[QP_BULK]) : 0;
}

u32 cluster_bulk_packet(u32 node) {
    const struct peer *p = peer_up(node);
    struct rdma_qp_attr attr;
    if (p == NULL) return 0;
    rdma_query_qp(p->qp[QP_BULK], &attr);
    return 128u << attr.path_mtu;
}

static void moved(struct peer *p, u32 index, status_t status) {
    if (!(p->moves_used & BIT(index))) return;
    p->moves_used &= ~BIT(index);
    if (cluster.bulk.moved) cluster.bulk.moved(cluster.bulk.ctx, p->move_cookie[index], status);
}

// A READ or WRITE of data has completed; its maker is told.
void bulk_move_done(struct peer *p, u32 index) {
    if (index >= CLUSTER_BULK_MOVES_MAX) return;
    moved(p, index, S_OK);
    room(p);
}

// The peer is gone: every READ and WRITE that is out ends with E_HOSTUNREACH.
void bulk_fail_all(struct peer *p) {
    for (u32 i = 0; i < CLUSTER_BULK_MOVES_MAX; i++) moved(p, i, E_HOSTUNREACH);
    p->replies_used = 0;
    p->bulk_full = false;
}

// The peer's key reaches all slots: it is trusted to write only where it was asked to.
status_t cluster_reply_alloc(u32 node, struct cluster_reply *r) {
    struct peer *p = peer_up(node);
    if (p == NULL) return E_HOSTUNREACH;
    for (u32 i = 0; i < CLUSTER_REPLY_SLOTS; i++) {
        if (p->replies_used & BIT(i)) continue;
        p->replies_used |= (u32)BIT(i);
        *r = (struct cluster_reply){
            .at = p->memory->reply[i], .slot = i, .key = rdma_mr_rkey(p->inbox),
            .address = sizeof p->memory->inbox + (u64)i * CLUSTER_REPLY_BYTES};
        return S_OK;
    }
    return E_AGAIN;
}

void cluster_reply_free(u32 node, u32 slot) {
    if (node >= NODES_MAX || slot >= CLUSTER_REPLY_SLOTS) return;
    cluster.peers[node].replies_used &= ~(u32)BIT(slot);
}

status_t cluster_peer_frames(u32 node, u64 *address, u32 *key) {
    const struct peer *p = peer_up(node);
    if (p == NULL) return E_HOSTUNREACH;
    *address = p->keys.frames.address;
    *key = p->keys.frames.rkey;
    return S_OK;
}
