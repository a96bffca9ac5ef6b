// The two joined devices of rc_pair.h. Also linked by the fuzzer of received frames.
#include "rc_pair.h"

#include <stdlib.h>

#include "base/bits.h"
#include "base/string.h"
#include "base/units.h"
#include "proto/roce/packet.h"

static u64 next_random(u64 *state) {
    u64 z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

u64 pair_random(struct pair *p) { return next_random(&p->rng_state); }

static void fill(void *ctx, void *to, size_t len) {
    for (u8 *b = to; len-- != 0;) *b++ = (u8)next_random(ctx);
}

static u8 *net_tx_buf(struct netdev *net) {
    struct pair_side *s = net->priv;
    return s->ring_size != 0 && s->ring_room == 0 ? NULL : s->txbuf;
}
static void net_tx_cancel(struct netdev *net, u8 *head) { (void)net; (void)head; }

static void enqueue(struct pair *p, u32 dir, const u8 *bytes, u32 len) {
    if (p->tail - p->head >= PAIR_QUEUE) return;
    struct pair_frame *f = &p->queue[p->tail % PAIR_QUEUE];
    memcpy(f->bytes, bytes, len);
    f->len = len;
    p->queue_dir[p->tail++ % PAIR_QUEUE] = dir;
}

static status_t net_tx_send(struct netdev *net, const struct net_tx *tx) {
    struct pair_side *s = net->priv;
    u8 frame[PAIR_FRAME];
    u32 len = tx->head_len + tx->gather_len + tx->tail_len;
    if (s->ring_size != 0) s->ring_room--;
    memcpy(frame, tx->head, tx->head_len);
    if (tx->gather_len != 0)
        memcpy(frame + tx->head_len, (const void *)(uintptr_t)tx->gather_pa.v, tx->gather_len);
    memcpy(frame + tx->head_len + tx->gather_len, tx->head + tx->head_len, tx->tail_len);
    if (tx->sent != NULL) tx->sent(tx->sent_ctx, tx->sent_cookie);
    s->pair->sent[s->index]++;
    u32 times = s->pair->filter == NULL ? 1 : s->pair->filter(s->pair, s->index, frame, &len);
    while (times-- != 0) enqueue(s->pair, s->index, frame, len);
    return S_OK;
}
static void net_nothing(struct netdev *net) { (void)net; }

static const struct netdev_ops net_ops = {
    .tx_buf = net_tx_buf, .tx_cancel = net_tx_cancel, .tx_send = net_tx_send,
    .tx_kick = net_nothing, .tx_reap = net_nothing};

static u64 op_read(void *ctx, const shared64_t *w) {
    (void)ctx;
    return __atomic_load_n(&w->private_value, __ATOMIC_SEQ_CST);
}
static u64 op_cas(void *ctx, shared64_t *w, u64 expected, u64 desired) {
    (void)ctx;
    __atomic_compare_exchange_n(&w->private_value, &expected, desired, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
    return expected;
}
static u64 op_add(void *ctx, shared64_t *w, u64 addend) {
    (void)ctx;
    return __atomic_fetch_add(&w->private_value, addend, __ATOMIC_SEQ_CST);
}
static const struct word_ops word_ops = {true, op_read, op_cas, op_add, NULL};

static void *host_alloc(void *ctx, u64 len) { (void)ctx; return calloc(1, len); }
static void host_free(void *ctx, void *ptr, u64 len) { (void)ctx; (void)len; free(ptr); }

struct rdma_qp *pair_make_qp(struct pair *p, u32 i) {
    struct pair_side *s = &p->side[i];
    return rdma_create_qp(s->pd, &(struct rdma_qp_init_attr){
        .send_cq = s->cq, .recv_cq = s->cq, .max_send_wr = 128, .max_recv_wr = 128,
        .sq_sig_all = true});
}

struct pair *pair_new(void) {
    struct pair *p = calloc(1, sizeof *p);
    p->queue = calloc(PAIR_QUEUE, sizeof *p->queue);
    p->queue_dir = calloc(PAIR_QUEUE, sizeof *p->queue_dir);
    p->now_ns = NS_PER_S;
    p->rng_state = 42;
    for (u32 i = 0; i < 2; i++) {
        struct pair_side *s = &p->side[i];
        s->index = i;
        s->pair = p;
        s->net = (struct netdev){.ops = &net_ops, .mac = {0x52, 0x54, 0, 0x49, 0x53, (u8)(i + 1)},
                                 .mtu = 4200, .mtu_max = 4200, .priv = s};
        s->dev = soft_create(&(struct soft_config){
            .netdev = &s->net, .ipv4 = PAIR_IP(i), .prefix_len = 24,
            .rng = {fill, &p->rng_state}, .crc = &crc_ops_table, .word_ops = &word_ops,
            .alloc = host_alloc, .free = host_free});
        s->pd = rdma_alloc_pd(s->dev);
        s->cq = rdma_create_cq(s->dev, 2048, NULL, NULL);
        s->qp = pair_make_qp(p, i);
        s->buf = aligned_alloc(4096, PAIR_BUF);
        memset(s->buf, 0, PAIR_BUF);
        s->mr = rdma_reg_mr(s->pd, s->buf, PAIR_BUF, 15);
    }
    return p;
}

// The device's own memory is not given back by design (it lives as long as the node), so a
// test program leaks it on purpose: leaks are looked for per object by counts instead.
void pair_free(struct pair *p) {
    free(p->side[0].buf);
    free(p->side[1].buf);
    free(p->queue);
    free(p->queue_dir);
    free(p);
}

struct rdma_qp_attr pair_default_attr(enum rdma_mtu mtu, u32 psn) {
    return (struct rdma_qp_attr){
        .qp_access_flags = 15, .path_mtu = mtu, .timeout = 14, .retry_cnt = 7, .rnr_retry = 7,
        .min_rnr_timer = 1, .max_rd_atomic = 16, .max_dest_rd_atomic = 16, .rq_psn = psn,
        .sq_psn = psn};
}

void pair_connect_attr(struct pair *p, const struct rdma_qp_attr *attr) {
    for (u32 i = 0; i < 2; i++) {
        struct rdma_qp_attr a = *attr;
        a.dest_ipv4 = PAIR_IP(1 - i);
        memcpy(a.dest_mac, p->side[1 - i].net.mac, 6);
        a.dest_qp_num = rdma_qp_num(p->side[1 - i].qp);
        for (a.qp_state = RDMA_QPS_INIT; a.qp_state <= RDMA_QPS_RTS; a.qp_state++) {
            u32 mask = RDMA_QP_STATE | RDMA_QP_ACCESS_FLAGS;
            if (a.qp_state == RDMA_QPS_RTR)
                mask |= RDMA_QP_AV | RDMA_QP_PATH_MTU | RDMA_QP_DEST_QPN | RDMA_QP_RQ_PSN |
                        RDMA_QP_MAX_DEST_RD_ATOMIC | RDMA_QP_MIN_RNR_TIMER;
            if (a.qp_state == RDMA_QPS_RTS)
                mask |= RDMA_QP_TIMEOUT | RDMA_QP_RETRY_CNT | RDMA_QP_RNR_RETRY |
                        RDMA_QP_SQ_PSN | RDMA_QP_MAX_QP_RD_ATOMIC;
            if (rdma_modify_qp(p->side[i].qp, &a, mask) != S_OK) abort();
        }
    }
    p->mtu = attr->path_mtu;
}

void pair_connect(struct pair *p, enum rdma_mtu mtu, u32 psn) {
    struct rdma_qp_attr a = pair_default_attr(mtu, psn);
    pair_connect_attr(p, &a);
}

static void tx_both(struct pair *p) {
    for (u32 i = 0; i < 2; i++) {
        p->side[i].ring_room = p->side[i].ring_size;
        soft_tx(p->side[i].dev, p->now_ns);
    }
}

void pair_flush(struct pair *p) {
    for (u32 guard = 0; guard < 4000000; guard++) {
        if (p->head == p->tail) {
            tx_both(p);
            if (p->head == p->tail) return;
        }
        u32 at = p->head % PAIR_QUEUE;
        if (p->reorder && p->tail - p->head > 1 && pair_random(p) % 20 == 0) {
            u32 other = (p->head + 1) % PAIR_QUEUE;
            struct pair_frame f = p->queue[at];
            u32 dir = p->queue_dir[at];
            p->queue[at] = p->queue[other];
            p->queue_dir[at] = p->queue_dir[other];
            p->queue[other] = f;
            p->queue_dir[other] = dir;
        }
        struct pair_frame *f = &p->queue[at];
        u32 to = 1 - p->queue_dir[at];
        // An exact-size copy, so that the address sanitizer sees a byte too far.
        u8 *copy = malloc(f->len);
        memcpy(copy, f->bytes, f->len);
        p->head++;
        soft_rx(p->side[to].dev, copy, f->len, p->now_ns);
        free(copy);
        if (p->head % 4 == 0) tx_both(p);
    }
    abort();
}

bool pair_step(struct pair *p) {
    pair_flush(p);
    u64 a = soft_next_deadline(p->side[0].dev), b = soft_next_deadline(p->side[1].dev);
    u64 next = MIN(a, b);
    if (next == ~0ull) return false;
    if (next > p->now_ns) p->now_ns = next;
    soft_tick(p->side[0].dev, p->now_ns);
    soft_tick(p->side[1].dev, p->now_ns);
    pair_flush(p);
    return true;
}

static void poll(struct pair_side *s) {
    s->wc_count += rdma_poll_cq(s->cq, PAIR_WC - s->wc_count, s->wc + s->wc_count);
}

bool pair_wait(struct pair *p, u32 side, u32 count) {
    for (u32 guard = 0; guard < 20000; guard++) {
        pair_flush(p);
        poll(&p->side[0]);
        poll(&p->side[1]);
        if (p->side[side].wc_count >= count) return true;
        if (!pair_step(p)) return false;
    }
    return false;
}

void pair_drain(struct pair *p) {
    poll(&p->side[0]);
    poll(&p->side[1]);
    p->side[0].wc_count = p->side[1].wc_count = 0;
}

struct rdma_send_wr pair_wr(struct pair *p, u32 i, enum rdma_wr_opcode op, u32 local_off,
                            u32 remote_off, u32 len) {
    struct pair_side *s = &p->side[i], *o = &p->side[1 - i];
    return (struct rdma_send_wr){
        .wr_id = local_off, .num_sge = 1, .opcode = op, .send_flags = RDMA_SEND_SIGNALED,
        .sge = {{(u64)(uintptr_t)(s->buf + local_off), len, rdma_mr_lkey(s->mr)}},
        .remote_addr = (u64)(uintptr_t)(o->buf + remote_off), .rkey = rdma_mr_rkey(o->mr)};
}

void pair_recv(struct pair *p, u32 i, u32 off, u32 len, u64 wr_id) {
    struct pair_side *s = &p->side[i];
    struct rdma_recv_wr wr = {.wr_id = wr_id, .num_sge = 1,
        .sge = {{(u64)(uintptr_t)(s->buf + off), len, rdma_mr_lkey(s->mr)}}};
    if (rdma_post_recv(s->qp, &wr) != S_OK) abort();
}

void pair_fill(struct pair *p, u32 i, u64 seed) { pair_fill_len(p, i, seed, 640 << 10); }

void pair_fill_len(struct pair *p, u32 i, u64 seed, u32 len) {
    for (u32 at = 0; at < len; at += 8) {
        u64 v = next_random(&seed);
        memcpy(p->side[i].buf + at, &v, 8);
    }
}

u32 pair_forge(struct pair *p, u32 from, u8 *frame, u8 opcode, u32 qpn, u32 psn,
               const void *ext, u32 ext_len, const void *payload, u32 len) {
    struct roce_flow flow = {.src_ip = PAIR_IP(from), .dst_ip = PAIR_IP(1 - from),
                             .src_port = ROCE_SPORT_BASE};
    struct roce_build b = {.opcode = opcode, .dest_qp = qpn, .psn = psn, .payload_len = len};
    memcpy(flow.dst_mac, p->side[1 - from].net.mac, 6);
    memcpy(flow.src_mac, p->side[from].net.mac, 6);
    u32 at = roce_build_headers(frame, &flow, &b);
    if (ext_len != 0) memcpy(frame + ROCE_BTH_AT + BTH_LEN, ext, ext_len);
    u32 reg = roce_headers_crc(&crc_ops_table, frame, at);
    if (len != 0) reg = crc32_copy(reg, frame + at, payload, len);
    at += len;
    return at + roce_build_trailer(&crc_ops_table, frame + at, reg, len);
}
