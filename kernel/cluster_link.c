// One peer's queue pairs, keys and messages. Three pairs: control (messages and chains),
// paging (page READs), bulk (file data); the control pair comes from the CM, the caller
// offers the other two over it. Under net_lock; called by the poll and the join.
// Three keys a peer, new for every incarnation (docs/ARCHITECTURE.md, "Joining"): frames to READ,
// shared words to READ and change by atomics, its inbox and reply buffers to WRITE.
#include "base/string.h"
#include "kernel/clock.h"
#include "kernel/cluster_priv.h"
#include "kernel/klog.h"
#include "kernel/may_run.h"
#include "kernel/placement.h"
#include "kernel/options.h"
#include "kernel/random.h"
#include "kernel/x86/words.h"
#include "mm/frame.h"
#include "mm/kmap.h"

#define DIRECT_MAP_BYTES (MMIO_BASE - DIRECT_MAP_BASE)
#define POLL_BATCH 16u
#define POLL_ROUNDS 16u
#define WORDS_AT 0ull                // iova of struct cluster_words in the shared region
#define OWNERS_AT PAGE_SIZE          // and of the descriptors, whose first word is the owner
#define PSN_BITS 0xffffffu
#define BENCH_TIMEOUT 20u             // 4.3 s: a starved peer is no reason to repeat
#define PAIR_RETRIES 7u
#define PAIR_RNR_TIMER 12u
#define PAIR_RD_ATOMIC 16u

// Frames that a member may read, by physical address.
static void *frames_page(void *ctx, u64 iova, u32 access, bool *stable, paddr_t *pa) {
    (void)ctx; (void)access; (void)pa;
    *stable = false;
    switch (frame_use_of(paddr(iova))) {
    case FRAME_USER:
    case FRAME_TABLE:
    case FRAME_DESC:
    case FRAME_SHARED:
    case FRAME_CACHE: return phys_to_virt(paddr(iova));
    case FRAME_FREE:
    case FRAME_KERNEL:
    case FRAME_DMA:
    case FRAME_FILE: break;
    }
    return NULL;
}

static u64 bench_at(void) { return OWNERS_AT + (u64)cluster.desc_count * PAGE_SIZE; }
static u64 shared_bytes(void) { return bench_at() + BENCH_BYTES; }

// Words that a member may change by atomics: our words' frame, then the descriptors; then
// the benchmarks' memory of that member.
static void *shared_page(void *ctx, u64 iova, u32 access, bool *stable, paddr_t *pa) {
    (void)access; (void)pa;
    struct peer *p = ctx;
    *stable = false;
    if (iova < OWNERS_AT) return (u8 *)cluster.words + iova;
    if (iova < bench_at()) return cluster.descs + (iova - OWNERS_AT);
    return p->memory->bench + (iova - bench_at());
}

// What the peer may do through a queue pair of this purpose (RDMA_ACCESS_*).
u32 link_access(enum qp_purpose purpose) {
    switch (purpose) {
    case QP_CONTROL: return RDMA_ACCESS_REMOTE_READ | RDMA_ACCESS_REMOTE_WRITE |
                            RDMA_ACCESS_REMOTE_ATOMIC;
    case QP_BULK: return RDMA_ACCESS_REMOTE_READ | RDMA_ACCESS_REMOTE_WRITE;
    case QP_BENCH: return RDMA_ACCESS_REMOTE_READ | RDMA_ACCESS_REMOTE_WRITE |
                          RDMA_ACCESS_REMOTE_ATOMIC;
    case QP_PAGING:
    case QP_PURPOSES: break;
    }
    return RDMA_ACCESS_REMOTE_READ;
}

// What a peer needs before its first connection, made once. E_NOMEM, E_NOBUFS.
status_t link_prepare(struct peer *p) {
    if (p->memory == NULL) {
        const u64 frames = (sizeof *p->memory + PAGE_MASK) >> PAGE_SHIFT;
        const paddr_t pa = frame_alloc_contiguous(frames, FRAME_KERNEL);
        if (pa.v == 0) return E_NOMEM;
        __atomic_store_n(&p->memory, phys_to_virt(pa), __ATOMIC_RELEASE);
    }
    if (p->pd == NULL) p->pd = rdma_alloc_pd(cluster.rdma);
    if (p->cq == NULL) p->cq = rdma_create_cq(cluster.rdma, LINK_CQE, NULL, NULL);
    if (p->pd == NULL || p->cq == NULL) return E_NOBUFS;
    cluster.live |= BIT(p->node);
    return S_OK;
}

// A queue pair to the peer for this purpose, in RESET. NULL: no memory.
struct rdma_qp *link_create_qp(struct peer *p, enum qp_purpose purpose) {
    static const u32 sends[QP_PURPOSES] = {LINK_SQ, 2 * CLUSTER_FRAME_READS_MAX,
                                           LINK_BULK_MSGS + CLUSTER_BULK_MOVES_MAX,
                                           2 * BENCH_DEPTH_MAX};
    static const u32 recvs[QP_PURPOSES] = {LINK_RECVS, 0, LINK_BULK_MSGS, 0};
    const struct rdma_qp_init_attr attr = {
        .send_cq = p->cq, .recv_cq = p->cq, .max_send_wr = sends[purpose],
        .max_recv_wr = recvs[purpose], .context = p};
    return rdma_create_qp(p->pd, &attr);
}

static void recv_post(struct peer *p, enum wr_kind kind, u32 index) {
    const bool bulk = kind == WR_BULK_RECV;
    struct rdma_recv_wr wr = {.wr_id = wr_id(kind, index), .num_sge = 1};
    wr.sge[0] = (struct rdma_sge){
        .addr = (u64)(bulk ? p->memory->bulk_recv[index] : p->memory->recv[index]),
        .length = bulk ? CLUSTER_BULK_MSG_MAX : CLUSTER_MSG_MAX,
        .lkey = rdma_mr_lkey(p->local)};
    const status_t status = rdma_post_recv(p->qp[bulk ? QP_BULK : QP_CONTROL], &wr);
    if (status != S_OK) peer_fail(p, "a receive cannot be posted", status);
}

static void keys_send(struct peer *p) {
    struct cluster_msg m = {.type = MSG_KEYS};
    m.keys.frames = (struct msg_key){0, DIRECT_MAP_BYTES, rdma_mr_rkey(p->frames)};
    m.keys.shared = (struct msg_key){0, shared_bytes(), rdma_mr_rkey(p->shared)};
    m.keys.inbox = (struct msg_key){0, LINK_WRITABLE, rdma_mr_rkey(p->inbox)};
    m.keys.desc_base = virt_to_phys(cluster.descs).v;
    m.keys.desc_stride = PAGE_SIZE;
    m.keys.owner_base = OWNERS_AT;
    m.keys.owner_stride = PAGE_SIZE;
    m.keys.desc_count = cluster.desc_count;
    m.keys.shard = WORDS_AT + offsetof(struct cluster_words, shard);
    m.keys.heartbeat = WORDS_AT + offsetof(struct cluster_words, heartbeat);
    m.keys.inbox_at = 0;
    m.keys.reply_at = sizeof p->memory->inbox;
    m.keys.cpu = *may_run_own();
    link_send(p, &m);
}

// The peer has proved itself and the control pair is in RTS here: its keys, our receives.
// The answering side speaks first, since the caller's pair is ready before RTU arrives.
// E_NOBUFS: no region left.
status_t link_open(struct peer *p) {
    static const struct rdma_mr_pages frames = {frames_page, NULL};
    const struct rdma_mr_pages shared = {shared_page, p};
    p->local = rdma_reg_mr(p->pd, (void *)DIRECT_MAP_BASE, DIRECT_MAP_BYTES,
                           RDMA_ACCESS_LOCAL_WRITE);
    p->frames = rdma_reg_mr_pages(p->pd, 0, DIRECT_MAP_BYTES, RDMA_ACCESS_REMOTE_READ, &frames);
    p->shared = rdma_reg_mr_pages(p->pd, 0, shared_bytes(), RDMA_ACCESS_LOCAL_WRITE |
                                  RDMA_ACCESS_REMOTE_READ | RDMA_ACCESS_REMOTE_ATOMIC, &shared);
    p->inbox = rdma_reg_mr_iova(p->pd, p->memory->inbox, LINK_WRITABLE, 0,
                                RDMA_ACCESS_LOCAL_WRITE | RDMA_ACCESS_REMOTE_WRITE);
    if (!p->local || !p->frames || !p->shared || !p->inbox) return E_NOBUFS;
    memset(p->memory->inbox, 0, sizeof p->memory->inbox);
    ring_init(&p->msgs, LINK_MSGS);
    ring_init(&p->bulk_msgs, LINK_BULK_MSGS);
    ring_init(&p->chains_ring, LINK_CHAINS);
    p->msgs_sent = 0;
    backlog_init(p);
    p->keys_here = p->bulk_full = p->roster_here = false;
    p->bulk_early_count = 0;
    p->moves_used = 0;
    p->replies_used = 0;
    p->qp_ready[QP_CONTROL] = true;
    for (u32 i = 0; i < LINK_RECVS; i++) recv_post(p, WR_RECV, i);
    if (!p->active) keys_send(p);
    return S_OK;
}

static void dereg(struct rdma_mr **mr) {
    if (*mr != NULL) rdma_dereg_mr(*mr);
    *mr = NULL;
}

// Pairs, keys and the CM's id are gone when it returns; completions are thrown away, as
// chain_fail_all and its like answer for all that was out.
void link_close(struct peer *p) {
    struct rdma_wc wc[POLL_BATCH];
    for (u32 i = 0; i < QP_PURPOSES; i++) {
        p->qp_ready[i] = false;
        if (p->qp[i] == NULL) continue;
        if (i == QP_CONTROL && p->id != NULL) rdma_destroy_id(p->id);
        if (i == QP_CONTROL) p->id = NULL;
        rdma_destroy_qp(p->qp[i]);
        p->qp[i] = NULL;
    }
    if (p->id != NULL) rdma_destroy_id(p->id);
    p->id = NULL;
    dereg(&p->frames);
    dereg(&p->shared);
    dereg(&p->inbox);
    dereg(&p->local);
    backlog_init(p);
    while (p->cq != NULL && rdma_poll_cq(p->cq, POLL_BATCH, wc) != 0) {}   // at most LINK_CQE
}

// --- the bulk pair's messages ---------------------------------------------------------------

// The peer counts us as up once it has answered our last pair; that answer may be lost and come
// after what it sent on the bulk pair since, which waits for it here.
static void bulk_arrived(struct peer *p, u32 index, u32 len_bytes) {
    if (p->member.state == MEMBER_KEYS && p->bulk_early_count < LINK_BULK_MSGS) {
        p->bulk_early[p->bulk_early_count].index = index;
        p->bulk_early[p->bulk_early_count++].len_bytes = len_bytes;
        return;
    }
    bulk_received(p, index, len_bytes);
    if (!p->failing) recv_post(p, WR_BULK_RECV, index);
}

void link_bulk_early(struct peer *p) {
    const u32 count = p->bulk_early_count;
    p->bulk_early_count = 0;
    for (u32 i = 0; i < count && !p->failing; i++)
        bulk_arrived(p, p->bulk_early[i].index, p->bulk_early[i].len_bytes);
}

// --- messages ----------------------------------------------------------------------------

static void msg_post(struct peer *p, u32 index) {
    struct rdma_send_wr wr = {.wr_id = wr_id(WR_MSG, index), .num_sge = 1,
                              .opcode = RDMA_WR_SEND, .send_flags = RDMA_SEND_SIGNALED};
    wr.sge[0] = (struct rdma_sge){(u64)p->memory->msg[index], p->msg_len[index],
                                  rdma_mr_lkey(p->local)};
    const status_t status = rdma_post_send(p->qp[QP_CONTROL], &wr);
    if (status == S_OK) p->msgs_sent++;
    else if (status != E_NOMEM) peer_fail(p, "a message cannot be posted", status);
}

void link_flush(struct peer *p) {
    if (p->member.state < MEMBER_KEYS) return;
    for (u32 before = ~0u; p->msgs_sent < ring_count(&p->msgs) && p->msgs_sent != before;) {
        before = p->msgs_sent;
        msg_post(p, ring_peek_index(&p->msgs, p->msgs_sent));
    }
    chain_flush(p);
}

static void msg_put(struct peer *p, u32 len_bytes) {
    p->msg_len[ring_tail_index(&p->msgs)] = len_bytes;
    ring_produce(&p->msgs);
    cluster.counters.msgs_out++;
}

// S_OK: it will go out in order. E_NOBUFS: the peer takes none, and is declared down.
status_t link_send(struct peer *p, const struct cluster_msg *m) {
    if (p->backlog_count != 0 || ring_full(&p->msgs)) {
        const status_t status = backlog_add(p, m);
        if (status != S_OK) peer_fail(p, "it takes no messages", 0);
        return status;
    }
    const u32 len = cluster_msg_encode(m, p->memory->msg[ring_tail_index(&p->msgs)],
                                       CLUSTER_MSG_MAX);
    ASSERT(len != 0);
    msg_put(p, len);
    link_flush(p);
    return S_OK;
}

// The oldest message was acknowledged: there is a place for one that waits.
static void msg_done(struct peer *p) {
    ring_consume(&p->msgs);
    p->msgs_sent--;
    const u32 len = backlog_take(p, p->memory->msg[ring_tail_index(&p->msgs)]);
    if (len == 0) return;
    msg_put(p, len);
    link_flush(p);
}

status_t cluster_send(u32 node, const struct cluster_msg *m) {
    struct peer *p = peer_up(node);
    return p == NULL ? E_HOSTUNREACH : link_send(p, m);
}

bool cluster_has_room(u32 node) {
    const struct peer *p = peer_up(node);
    return p != NULL && p->backlog_count == 0;
}

void cluster_on_process(void (*rx)(u8 from, const struct cluster_msg *m)) {
    cluster.process = rx;
}

void cluster_on_share(void (*rx)(u32 from, const struct share_msg *m)) { cluster.share = rx; }
void cluster_on_futex(void (*rx)(const struct cluster_msg *m)) { cluster.futex = rx; }
void cluster_on_refs(void (*rx)(u8 from, const struct cluster_msg *m)) { cluster.refs = rx; }

u32 cluster_frames_key(u32 node) {
    const struct peer *p = peer_up(node);
    return p == NULL ? 0 : rdma_mr_rkey(p->frames);
}

// --- further pairs -----------------------------------------------------------------------

static bool all_ready(const struct peer *p) {
    for (u32 i = 0; i < QP_PURPOSES; i++)
        if (!p->qp_ready[i]) return false;
    return p->keys_here;
}

static void pair_message(struct peer *p, enum cluster_msg_type type, u8 purpose, u32 psn) {
    struct cluster_msg m = {.type = type};
    m.qp.purpose = purpose;
    m.qp.qpn = rdma_qp_num(p->qp[purpose]);
    m.qp.start_psn = psn;
    link_send(p, &m);
}

// Path and address are those of the control pair.
static status_t pair_connect(struct peer *p, u8 purpose, u32 own_psn, const struct cluster_msg *m) {
    struct rdma_qp *qp = p->qp[purpose];
    struct rdma_qp_attr control, attr = {.qp_state = RDMA_QPS_INIT,
                                         .qp_access_flags = link_access(purpose)};
    rdma_query_qp(p->qp[QP_CONTROL], &control);
    status_t status = rdma_modify_qp(qp, &attr, RDMA_QP_STATE | RDMA_QP_ACCESS_FLAGS);
    if (status != S_OK) return status;
    attr = (struct rdma_qp_attr){
        .qp_state = RDMA_QPS_RTR, .dest_ipv4 = control.dest_ipv4, .path_mtu = control.path_mtu,
        .dest_qp_num = m->qp.qpn, .rq_psn = m->qp.start_psn,
        .max_dest_rd_atomic = PAIR_RD_ATOMIC, .min_rnr_timer = PAIR_RNR_TIMER};
    memcpy(attr.dest_mac, control.dest_mac, sizeof attr.dest_mac);
    status = rdma_modify_qp(qp, &attr, RDMA_QP_STATE | RDMA_QP_AV | RDMA_QP_PATH_MTU |
                            RDMA_QP_DEST_QPN | RDMA_QP_RQ_PSN | RDMA_QP_MAX_DEST_RD_ATOMIC |
                            RDMA_QP_MIN_RNR_TIMER);
    if (status != S_OK) return status;
    attr = (struct rdma_qp_attr){
        .qp_state = RDMA_QPS_RTS, .sq_psn = own_psn,
        .timeout = purpose == QP_BENCH ? BENCH_TIMEOUT
                                       : pulse_timeout_code(options.dead_floor_s * NS_PER_S),
        .retry_cnt = PAIR_RETRIES, .rnr_retry = 7, .max_rd_atomic = PAIR_RD_ATOMIC};
    status = rdma_modify_qp(qp, &attr, RDMA_QP_STATE | RDMA_QP_SQ_PSN | RDMA_QP_TIMEOUT |
                            RDMA_QP_RETRY_CNT | RDMA_QP_RNR_RETRY | RDMA_QP_MAX_QP_RD_ATOMIC);
    if (status != S_OK) return status;
    p->qp_ready[purpose] = true;
    for (u32 i = 0; purpose == QP_BULK && i < LINK_BULK_MSGS; i++) recv_post(p, WR_BULK_RECV, i);
    return S_OK;
}

// The first PSN of each pair, drawn by its own side: kept in `us` of the offer.
static u32 pair_psn[NODES_MAX][QP_PURPOSES];

static status_t pair_make(struct peer *p, u8 purpose) {
    p->qp[purpose] = link_create_qp(p, (enum qp_purpose)purpose);
    if (p->qp[purpose] == NULL) return E_NOBUFS;
    pair_psn[p->node][purpose] = rng_u32(&kernel_rng) & PSN_BITS;
    return S_OK;
}

static void pairs_offer(struct peer *p) {
    for (u8 i = QP_CONTROL + 1; i < QP_PURPOSES; i++) {
        const status_t status = pair_make(p, i);
        if (status != S_OK) {
            peer_fail(p, "no queue pair left", status);
            return;
        }
        pair_message(p, MSG_QP_OFFER, i, pair_psn[p->node][i]);
    }
}

static bool pair_wanted(const struct peer *p, const struct cluster_msg *m, bool offer) {
    const u8 purpose = m->qp.purpose;
    return p->member.state == MEMBER_KEYS && purpose > QP_CONTROL && purpose < QP_PURPOSES &&
           p->active != offer && (p->qp[purpose] == NULL) == offer && !p->qp_ready[purpose];
}

static void rx_pair(struct peer *p, const struct cluster_msg *m) {
    const bool offer = m->type == MSG_QP_OFFER;
    const u8 purpose = m->qp.purpose;
    if (!pair_wanted(p, m, offer)) {
        cluster.counters.msgs_bad++;
        return;
    }
    status_t status = offer ? pair_make(p, purpose) : S_OK;
    if (status == S_OK) status = pair_connect(p, purpose, pair_psn[p->node][purpose], m);
    if (status != S_OK) {
        peer_fail(p, "a queue pair cannot be connected", status);
        return;
    }
    if (offer) pair_message(p, MSG_QP_ANSWER, purpose, pair_psn[p->node][purpose]);
    if (all_ready(p)) peer_joined(p);
}

static void rx_keys(struct peer *p, const struct cluster_msg *m) {
    if (p->keys_here) {
        cluster.counters.msgs_bad++;
        return;
    }
    p->keys = (struct peer_keys){m->keys.frames, m->keys.shared, m->keys.inbox,
                                 m->keys.desc_base, m->keys.owner_base, m->keys.shard,
                                 m->keys.heartbeat, m->keys.inbox_at, m->keys.desc_stride,
                                 m->keys.owner_stride, m->keys.desc_count};
    may_run_peer(p->node, &m->keys.cpu);
    p->keys_here = true;
    if (!p->active) return;          // the caller goes on: its keys, then the pairs
    keys_send(p);
    pairs_offer(p);
}

static void rx_member(struct peer *p, const struct cluster_msg *m) {
    switch (m->type) {
    case MSG_HOLDER:
    case MSG_HOLDER_ACK:
    case MSG_RELEASE:
    case MSG_RELEASE_ACK:
    case MSG_REFUSE:
    case MSG_ADOPTED: cluster_node_rx_msg(cluster.node, p->node, m); return;
    case MSG_STATUS_ASK: status_answer(p); return;
    case MSG_STATUS: status_take(p, m); return;
    case MSG_PROFILE: placement_exec_told(m); return;
    case MSG_ROSTER: roster_take(p, m); return;
    case MSG_REFS:
        if (cluster.refs) cluster.refs(p->node, m);
        return;
    case MSG_SHARE:
        if (cluster.share) cluster.share(p->node, &m->share);
        return;
    case MSG_FUTEX:
        if (cluster.futex) cluster.futex(m);
        return;
    case MSG_TWIN:
    case MSG_LOCATION:
    case MSG_MOVE:
    case MSG_MOVED:
    case MSG_SIGNAL:
    case MSG_EXIT:
    case MSG_EXIT_ACK:
    case MSG_STOP:
    case MSG_PARENT:
    case MSG_SESSION:
    case MSG_CHILD:
    case MSG_WHERE:
    case MSG_WHERE_TOLD:
        if (cluster.process) cluster.process(p->node, m);
        return;
    case MSG_CLOCK_ASK:
    case MSG_CLOCK: cluster_clock_message(p->node, m, cluster_up_mask()); return;
    default: cluster.counters.msgs_bad++; return;
    }
}

static void rx_message(struct peer *p, const u8 *bytes, u32 len_bytes) {
    struct cluster_msg m;
    cluster.counters.msgs_in++;
    if (cluster_msg_decode(&m, bytes, len_bytes) != S_OK) cluster.counters.msgs_bad++;
    else if (m.type == MSG_KEYS) rx_keys(p, &m);
    else if (m.type == MSG_QP_OFFER || m.type == MSG_QP_ANSWER) rx_pair(p, &m);
    else if (p->member.state == MEMBER_UP) rx_member(p, &m);
    else cluster.counters.msgs_bad++;
}

// --- completions -------------------------------------------------------------------------

static void control_received(struct peer *p, const struct rdma_wc *wc, u32 index) {
    if (wc->opcode == RDMA_WC_RECV) {
        rx_message(p, p->memory->recv[index], wc->byte_len);
    } else if (p->member.state == MEMBER_UP) {
        cluster.offer = cluster_mark_now();
        cluster_node_rx_imm(cluster.node, p->node, wc->imm_data,
                            (const struct dq_inbox *)(const void *)p->memory->inbox);
    } else {
        cluster.counters.msgs_bad++;
    }
    if (!p->failing) recv_post(p, WR_RECV, index);
}

static void complete(struct peer *p, const struct rdma_wc *wc) {
    const u32 index = (u32)wc->wr_id;
    if (wc->status != RDMA_WC_SUCCESS) {
        peer_fail(p, wc->status == RDMA_WC_RETRY_EXC_ERR ? "it does not answer"
                  : "a queue pair broke", (i32)wc->status);
        return;
    }
    p->last_seen_ns = cluster.now_ns;
    switch ((enum wr_kind)(wc->wr_id >> 32)) {
    case WR_CHAIN: chain_done(p, index); break;
    case WR_MSG: msg_done(p); break;
    case WR_RECV: control_received(p, wc, index); break;
    case WR_PROBE: probe_done(p); break;
    case WR_PAGE: page_done(p, index); break;
    case WR_BULK_MSG: bulk_msg_done(p); break;
    case WR_BULK_RECV:
        bulk_arrived(p, index, wc->byte_len);
        break;
    case WR_MOVE: bulk_move_done(p, index); break;
    case WR_BENCH: bench_done(index, S_OK); break;
    }
}

// Handles what has completed on the peer's queue pairs, at most POLL_ROUNDS batches; with more the
// poll comes again. net_lock held.
void link_poll(struct peer *p) {
    struct rdma_wc wc[POLL_BATCH];
    for (u32 round = 0; round < POLL_ROUNDS && !p->failing; round++) {
        const u32 count = rdma_poll_cq(p->cq, POLL_BATCH, wc);
        for (u32 i = 0; i < count && !p->failing; i++) complete(p, &wc[i]);
        if (count < POLL_BATCH) return;
    }
    cluster.more = true;             // the poll runs again at once
}
