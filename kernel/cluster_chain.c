// One-sided operations on a peer: chains of the queue and the hand-overs, reads of lent
// pages, and the READ that shows that the peer lives. Under net_lock. A chain comes back
// exactly once: when its last operation completed, or when the pair is gone.
#include "base/string.h"
#include "kernel/cluster_priv.h"
#include "kernel/net.h"
#include "kernel/placement.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"

// Address and key of a place at the peer. The peer's own figures; where they are wrong it
// answers with a NAK and the pair breaks, here nothing does.
static void locate(const struct peer *p, const struct chain_wr *w, struct rdma_send_wr *wr) {
    const struct peer_keys *k = &p->keys;
    switch (w->region) {
    case REGION_SHARD:
        wr->remote_addr = k->shared.address + k->shard + w->offset;
        wr->rkey = k->shared.rkey;
        return;
    case REGION_OWNER:
        wr->remote_addr = k->shared.address + k->owner_base + w->offset * k->owner_stride;
        wr->rkey = k->shared.rkey;
        return;
    case REGION_DESC:
        wr->remote_addr = k->frames.address + k->desc_base + w->offset * k->desc_stride;
        wr->rkey = k->frames.rkey;
        return;
    case REGION_FRAME:
        wr->remote_addr = k->frames.address + w->offset;
        wr->rkey = k->frames.rkey;
        return;
    case REGION_INBOX:
        wr->remote_addr = k->inbox.address + k->inbox_at + w->offset;
        wr->rkey = k->inbox.rkey;
        return;
    }
    ASSERT(false);
}

static void translate(const struct peer *p, struct chain_wr *w, struct rdma_send_wr *wr) {
    static const enum rdma_wr_opcode opcodes[] = {
        [CHAIN_READ] = RDMA_WR_RDMA_READ, [CHAIN_CAS] = RDMA_WR_ATOMIC_CMP_AND_SWP,
        [CHAIN_ADD] = RDMA_WR_ATOMIC_FETCH_AND_ADD,
        [CHAIN_WRITE_IMM] = RDMA_WR_RDMA_WRITE_WITH_IMM};
    const bool atomic = w->op == CHAIN_CAS || w->op == CHAIN_ADD;
    *wr = (struct rdma_send_wr){.opcode = opcodes[w->op], .imm_data = w->imm};
    locate(p, w, wr);
    wr->compare_add = w->op == CHAIN_CAS ? w->compare : w->operand;
    wr->swap = w->operand;
    wr->num_sge = w->len_bytes != 0 ? 1 : 0;
    wr->sge[0] = (struct rdma_sge){.addr = (u64)(atomic ? (void *)&w->result : w->buf),
                                   .length = w->len_bytes, .lkey = rdma_mr_lkey(p->local)};
}

// Posts the chain at `index` of p->chains whole, or leaves it. E_NOMEM: no room now.
static status_t post_now(struct peer *p, u32 index) {
    struct chain *c = p->chains[index];
    struct rdma_send_wr wr[CHAIN_MAX];
    for (u32 i = 0; i < c->count; i++) {
        translate(p, &c->wr[i], &wr[i]);
        wr[i].wr_id = wr_id(WR_CHAIN, index);
        wr[i].next = i + 1 < c->count ? &wr[i + 1] : NULL;
    }
    wr[c->count - 1].send_flags = RDMA_SEND_SIGNALED;
    return rdma_post_send(p->qp[QP_CONTROL], wr);
}

// Posts the chains that waited for room, in their order. net_lock held, as below.
void chain_flush(struct peer *p) {
    while (!ring_empty(&p->chains_ring)) {
        const u32 index = p->chains_wait[ring_peek_index(&p->chains_ring, 0)];
        const status_t status = post_now(p, index);
        if (status == E_NOMEM) return;
        ring_consume(&p->chains_ring);
        if (status == S_OK) continue;
        peer_fail(p, "a chain cannot be posted", status);
        return;
    }
}

struct cluster_mark cluster_mark_now(void) {
    const struct net_card *card = net_own();
    struct cluster_mark m = {.chains = cluster.counters.chains};
    if (card) m.bytes = card->dev->counters.tx_bytes + card->dev->counters.rx_bytes;
    return m;
}

struct cluster_mark cluster_mark_offer(void) { return cluster.offer; }

// Takes a chain for a peer that is up; never fails at once.
void chain_post(struct peer *p, struct chain *c) {
    ASSERT(c->count > 0 && c->count <= CHAIN_MAX);
    u32 index = 0;
    while (index < LINK_CHAINS && p->chains[index] != NULL) index++;
    ASSERT(index < LINK_CHAINS);     // node.c has fewer under way in all
    p->chains[index] = c;
    p->chains_wait[ring_tail_index(&p->chains_ring)] = index;
    ring_produce(&p->chains_ring);
    if (!p->failing) chain_flush(p);
}

static void give_back(struct peer *p, u32 index, status_t status) {
    struct chain *c = p->chains[index];
    if (c == NULL) return;
    p->chains[index] = NULL;
    c->status = status;
    if (!load_posted(c)) cluster_node_posted(cluster.node, c);
}

// The last operation of a chain has completed.
void chain_done(struct peer *p, u32 index) {
    if (index < LINK_CHAINS) give_back(p, index, S_OK);
}

// The pairs are gone: what a CAS did is unknown, and each machine knows what that means.
void chain_fail_all(struct peer *p) {
    ring_init(&p->chains_ring, LINK_CHAINS);
    for (u32 i = 0; i < LINK_CHAINS; i++) give_back(p, i, E_HOSTUNREACH);
}

// Reads the peer's heartbeat: one that is gone breaks the pair by this at the latest.
void probe_post(struct peer *p) {
    if (p->pulse.out || p->failing) return;
    struct rdma_send_wr wr = {
        .wr_id = wr_id(WR_PROBE, 0), .num_sge = 1, .opcode = RDMA_WR_RDMA_READ,
        .send_flags = RDMA_SEND_SIGNALED, .rkey = p->keys.shared.rkey,
        .remote_addr = p->keys.shared.address + p->keys.heartbeat};
    wr.sge[0] = (struct rdma_sge){(u64)&p->memory->words[WORD_PROBE], 8, rdma_mr_lkey(p->local)};
    if (rdma_post_send(p->qp[QP_CONTROL], &wr) != S_OK) return;      // full: it is asked again
    pulse_asked(&p->pulse, peer_bound_ns(p), cluster.now_ns);
    cluster.counters.probes++;
}

// The peer's word that shows it alive has been read.
void probe_done(struct peer *p) {
    pulse_answered(&p->pulse, p->memory->words[WORD_PROBE], cluster.now_ns);
}

// --- pages -------------------------------------------------------------------------------

static status_t page_post(struct peer *p, u32 index) {
    const struct cluster_frame_read *r = &p->page[index].r;
    const u32 lkey = rdma_mr_lkey(p->local);
    struct rdma_send_wr word = {
        .wr_id = wr_id(WR_PAGE, index), .num_sge = 1, .opcode = RDMA_WR_RDMA_READ,
        .send_flags = RDMA_SEND_SIGNALED, .rkey = p->keys.shared.rkey,
        .remote_addr = p->keys.shared.address + p->keys.owner_base +
                       (u64)r->desc_index * p->keys.owner_stride};
    word.sge[0] = (struct rdma_sge){(u64)&p->memory->words[WORD_PAGE + index], 8, lkey};
    struct rdma_send_wr page = {
        .wr_id = wr_id(WR_PAGE, index), .num_sge = 1, .opcode = RDMA_WR_RDMA_READ,
        .rkey = p->keys.frames.rkey, .remote_addr = p->keys.frames.address + r->remote.v,
        .next = &word};
    page.sge[0] = (struct rdma_sge){(u64)phys_to_virt(r->local), PAGE_SIZE, lkey};
    return rdma_post_send(p->qp[QP_PAGING], &page);
}

status_t cluster_read_frame(const struct cluster_frame_read *r) {
    struct peer *p = peer_up(r->node);
    if (p == NULL) return E_HOSTUNREACH;
    u32 index = 0;
    while (index < CLUSTER_FRAME_READS_MAX && p->page[index].used) index++;
    if (index == CLUSTER_FRAME_READS_MAX) return E_AGAIN;
    p->page[index].r = *r;
    const status_t status = page_post(p, index);
    if (status == E_NOMEM) return E_AGAIN;
    if (status != S_OK) {
        peer_fail(p, "a page read cannot be posted", status);
        return E_HOSTUNREACH;
    }
    p->page[index].used = true;
    p->page[index].posted_ns = time_now_ns();
    p->page[index].share = ++p->pages_out;
    cluster.counters.page_reads++;
    return S_OK;
}

static void page_end(struct peer *p, u32 index, status_t status) {
    if (!p->page[index].used) return;
    const struct cluster_frame_read r = p->page[index].r;
    p->page[index].used = false;
    p->pages_out--;
    r.done(r.ctx, status);
}

// A page READ and the READ of the owner word behind it have completed. The page counts only where
// the word is still the expected one; else its reader gets E_IO.
void page_done(struct peer *p, u32 index) {
    if (index >= CLUSTER_FRAME_READS_MAX) return;
    const bool same = p->memory->words[WORD_PAGE + index] == p->page[index].r.expected ||
                      p->page[index].r.any_owner;
    if (!same) cluster.counters.page_stale++;
    // Those that wait for each other share the time.
    const u64 took_ns = time_now_ns() - p->page[index].posted_ns;
    if (p->page[index].used) placement_price(PRICE_PAGE, took_ns / p->page[index].share);
    page_end(p, index, same ? S_OK : E_IO);
}

// The peer is gone: every page READ that is out ends with E_HOSTUNREACH.
void page_fail_all(struct peer *p) {
    for (u32 i = 0; i < CLUSTER_FRAME_READS_MAX; i++) page_end(p, i, E_HOSTUNREACH);
}
