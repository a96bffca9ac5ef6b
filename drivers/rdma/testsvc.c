// The services for outside verbs clients behind rdma.test=1: rping's server side and a
// scratch region. Each connection has its own protection domain and region, so a key opens
// nothing on another. kernel/ creates it and polls it after each batch of frames; device's
// lock. A peer that vanished without DREQ is found by an empty WRITE now and then.
// Protocol of rping: the client SENDs {address, key, size} of its source; we READ it and
// SEND a go-ahead; it SENDs its sink; we WRITE the same bytes there and SEND again.
#include "drivers/rdma/testsvc.h"

#include "base/bits.h"
#include "base/string.h"
#include "base/units.h"
#include "drivers/rdma/rdma_cm.h"
#include "drivers/rdma/soft.h"

#define SVC_CONNS (TESTSVC_RPING_CONNS + TESTSVC_SCRATCH_CONNS)
#define SVC_CQE 1024u
#define SVC_BATCH 16u
#define SVC_PROBE_NS (5 * NS_PER_S)
#define RPING_RECVS 4u
#define MSG_BYTES 16u                // what rping sends, and our go-ahead

enum svc_kind { WR_RECV, WR_READ, WR_WRITE, WR_SEND, WR_PROBE };

struct rping_info { be64_t addr; be32_t rkey, size; } __attribute__((packed));

struct svc_conn {
    struct testsvc *svc;
    bool used, rping, gone, sink_next, established;
    u32 serial;
    struct rdma_cm_id *id;
    struct rdma_qp *qp;
    struct rdma_pd *pd;
    struct rdma_mr *mr;
    u8 *buf;                         // rping: data, then messages; scratch: the region
    u64 buf_bytes, probe_ns, opened;
    u32 data_len;
    bool probing;
};

struct testsvc {
    struct rdma_dev *dev;
    struct rdma_cq *cq;
    struct testsvc_counters counters;
    u64 opens;                       // gives each connection its age
    struct svc_conn conns[SVC_CONNS];
};

static u64 wr_id_of(const struct svc_conn *c, enum svc_kind kind, u32 slot) {
    u64 index = (u64)(c - c->svc->conns);
    return (u64)c->serial << 24 | index << 16 | slot << 8 | kind;
}

static u8 *message_at(struct svc_conn *c, u32 slot) {
    return c->buf + TESTSVC_RPING_BYTES + slot * MSG_BYTES;
}

static bool post(struct svc_conn *c, enum svc_kind kind, const void *at, u32 len,
                 const struct rping_info *to) {
    static const enum rdma_wr_opcode op[] = {
        [WR_READ] = RDMA_WR_RDMA_READ, [WR_WRITE] = RDMA_WR_RDMA_WRITE,
        [WR_SEND] = RDMA_WR_SEND, [WR_PROBE] = RDMA_WR_RDMA_WRITE};
    struct rdma_send_wr wr = {
        .wr_id = wr_id_of(c, kind, 0), .opcode = op[kind], .send_flags = RDMA_SEND_SIGNALED,
        .num_sge = len != 0, .sge = {{(u64)(uintptr_t)at, len, rdma_mr_lkey(c->mr)}}};
    if (to != NULL) {
        wr.remote_addr = be64_get(to->addr);
        wr.rkey = be32_get(to->rkey);
    }
    return rdma_post_send(c->qp, &wr) == S_OK;
}

static bool post_recv(struct svc_conn *c, u32 slot) {
    struct rdma_recv_wr wr = {
        .wr_id = wr_id_of(c, WR_RECV, slot), .num_sge = 1,
        .sge = {{(u64)(uintptr_t)message_at(c, slot), MSG_BYTES, rdma_mr_lkey(c->mr)}}};
    return rdma_post_recv(c->qp, &wr) == S_OK;
}

static void on_event(const struct rdma_cm_event *ev) {
    struct svc_conn *c = ev->context;
    if (ev->kind == CM_EV_ESTABLISHED) {
        c->svc->counters.connects++;
        c->established = true;
    } else c->gone = true;             // taken down in testsvc_poll
}

static void conn_close(struct svc_conn *c) {
    if (c->id != NULL) rdma_destroy_id(c->id);
    if (c->qp != NULL) rdma_destroy_qp(c->qp);
    if (c->mr != NULL) rdma_dereg_mr(c->mr);
    if (c->pd != NULL) rdma_dealloc_pd(c->pd);
    c->id = NULL;
    c->qp = NULL;
    c->mr = NULL;
    c->pd = NULL;
    c->used = false;
}

static bool conn_open(struct svc_conn *c, u32 access) {
    c->serial++;
    c->used = true;
    c->gone = c->sink_next = c->probing = c->established = false;
    c->opened = ++c->svc->opens;
    c->probe_ns = soft_now_ns(c->svc->dev) + SVC_PROBE_NS;
    memset(c->buf, 0, c->buf_bytes);
    c->pd = rdma_alloc_pd(c->svc->dev);
    if (c->pd != NULL) c->mr = rdma_reg_mr(c->pd, c->buf, c->buf_bytes, access);
    if (c->mr != NULL)
        c->qp = rdma_create_qp(c->pd, &(struct rdma_qp_init_attr){
            .send_cq = c->svc->cq, .recv_cq = c->svc->cq, .max_send_wr = 8,
            .max_recv_wr = RPING_RECVS, .context = c});
    return c->qp != NULL;
}

// A free place. Where there is none, the oldest whose caller has said no more than REQ
// gives way: else a few REQs that nobody follows up close the service for CM_TRIES_MAX
// repetitions of REP.
static struct svc_conn *conn_find(struct testsvc *svc, bool rping) {
    struct svc_conn *oldest = NULL;
    for (u32 i = 0; i < SVC_CONNS; i++) {
        struct svc_conn *c = &svc->conns[i];
        if (c->rping != rping) continue;
        if (!c->used) return c;
        if (!c->established && (oldest == NULL || c->opened < oldest->opened)) oldest = c;
    }
    if (oldest == NULL) return NULL;
    svc->counters.half_open_dropped++;
    rdma_reject(oldest->id, CM_REJ_NO_RESOURCES, NULL, 0);
    conn_close(oldest);
    return oldest;
}

static status_t answer(struct svc_conn *c, struct rdma_conn_param *param) {
    status_t status = rdma_accept(c->id, c->qp, param, on_event, c, soft_now_ns(c->svc->dev));
    for (u32 i = 0; status == S_OK && c->rping && i < RPING_RECVS; i++)
        if (!post_recv(c, i)) status = E_NOMEM;
    return status;
}

static void on_request(const struct rdma_cm_event *ev, bool rping) {
    struct testsvc *svc = ev->context;
    struct svc_conn *c = conn_find(svc, rping);
    u32 remote = RDMA_ACCESS_REMOTE_READ | RDMA_ACCESS_REMOTE_WRITE | RDMA_ACCESS_REMOTE_ATOMIC;
    u32 access = RDMA_ACCESS_LOCAL_WRITE | (rping ? 0 : remote);
    struct rdma_conn_param param = {
        .responder_resources = 16, .initiator_depth = 16, .retry_count = 7, .rnr_retry = 7,
        .min_rnr_timer = 12, .access_flags = access};
    if (c == NULL || !conn_open(c, access)) {
        svc->counters.refused++;
        if (c != NULL) conn_close(c);
        rdma_reject(ev->id, CM_REJ_NO_RESOURCES, NULL, 0);
        rdma_destroy_id(ev->id);
        return;
    }
    struct rping_info info = {be64((u64)(uintptr_t)c->buf), be32(rdma_mr_rkey(c->mr)),
                              be32(TESTSVC_SCRATCH_BYTES)};
    if (!rping) {
        param.private_data = &info;
        param.private_len = sizeof info;
    }
    c->id = ev->id;
    if (answer(c, &param) == S_OK) return;
    svc->counters.errors++;
    rdma_reject(ev->id, CM_REJ_NO_RESOURCES, NULL, 0);
    conn_close(c);
}

static void on_rping_request(const struct rdma_cm_event *ev) {
    if (ev->kind == CM_EV_REQUEST) on_request(ev, true);
}
static void on_scratch_request(const struct rdma_cm_event *ev) {
    if (ev->kind == CM_EV_REQUEST) on_request(ev, false);
}

struct testsvc *testsvc_create(struct rdma_dev *dev, void *(*alloc)(void *ctx, u64 len_bytes),
                               void *alloc_ctx) {
    struct testsvc *svc = alloc(alloc_ctx, sizeof *svc);
    if (svc == NULL) return NULL;
    svc->dev = dev;
    svc->cq = rdma_create_cq(dev, SVC_CQE, NULL, NULL);
    if (svc->cq == NULL) return NULL;
    for (u32 i = 0; i < SVC_CONNS; i++) {
        struct svc_conn *c = &svc->conns[i];
        c->svc = svc;
        c->rping = i < TESTSVC_RPING_CONNS;
        c->buf_bytes = c->rping ? TESTSVC_RPING_BYTES + PAGE_SIZE : TESTSVC_SCRATCH_BYTES;
        c->buf = alloc(alloc_ctx, c->buf_bytes);
        if (c->buf == NULL) return NULL;
    }
    if (rdma_listen(dev, TESTSVC_RPING_PORT, 0, on_rping_request, svc) != S_OK ||
        rdma_listen(dev, TESTSVC_SCRATCH_PORT, 0, on_scratch_request, svc) != S_OK) return NULL;
    return svc;
}

// rping's client told us where its source (then its sink) is.
static bool on_message(struct svc_conn *c, u32 slot, u32 byte_len) {
    struct rping_info info;
    if (byte_len != sizeof info) return false;
    memcpy(&info, message_at(c, slot), sizeof info);
    u32 size = be32_get(info.size);
    if (!post_recv(c, slot)) return false;
    if (size > TESTSVC_RPING_BYTES) return false;
    bool sink = c->sink_next;
    c->sink_next = !sink;
    if (!sink) {
        c->data_len = size;
        return post(c, WR_READ, c->buf, size, &info);
    }
    return post(c, WR_WRITE, c->buf, MIN(size, c->data_len), &info);
}

static bool on_success(struct svc_conn *c, const struct rdma_wc *wc) {
    enum svc_kind kind = wc->wr_id & 255;
    c->probe_ns = soft_now_ns(c->svc->dev) + SVC_PROBE_NS;
    if (kind == WR_RECV) return on_message(c, wc->wr_id >> 8 & 255, wc->byte_len);
    if (kind == WR_PROBE) c->probing = false;
    if (kind == WR_WRITE) c->svc->counters.rping_rounds++;
    if (kind == WR_READ || kind == WR_WRITE)
        return post(c, WR_SEND, message_at(c, RPING_RECVS), MSG_BYTES, NULL);
    return true;
}

static void on_completion(struct testsvc *svc, const struct rdma_wc *wc) {
    u32 index = (u32)(wc->wr_id >> 16 & 255);
    if (index >= SVC_CONNS) return;
    struct svc_conn *c = &svc->conns[index];
    if (!c->used || c->serial != wc->wr_id >> 24) return;      // of an earlier connection
    if (wc->status == RDMA_WC_SUCCESS && on_success(c, wc)) return;
    if (wc->status != RDMA_WC_WR_FLUSH_ERR) svc->counters.errors++;
    c->gone = true;
}

static void probe(struct svc_conn *c, u64 now_ns) {
    c->probe_ns = now_ns + SVC_PROBE_NS;
    struct rdma_qp_attr attr;
    rdma_query_qp(c->qp, &attr);
    if (c->probing || attr.qp_state < RDMA_QPS_RTS) return;
    c->probing = true;
    if (!post(c, WR_PROBE, NULL, 0, NULL)) c->gone = true;
}

void testsvc_poll(struct testsvc *svc, u64 now_ns) {
    struct rdma_wc wc[SVC_BATCH];
    for (u32 turn = 0; turn < SVC_CQE; turn++) {
        u32 count = rdma_poll_cq(svc->cq, SVC_BATCH, wc);
        for (u32 i = 0; i < count; i++) on_completion(svc, &wc[i]);
        if (count < SVC_BATCH) break;
    }
    for (u32 i = 0; i < SVC_CONNS; i++) {
        struct svc_conn *c = &svc->conns[i];
        if (c->used && !c->gone && now_ns >= c->probe_ns) probe(c, now_ns);
        if (!c->used || !c->gone) continue;
        svc->counters.disconnects++;
        rdma_disconnect(c->id, now_ns);      // no effect where the peer said DREQ first
        conn_close(c);
    }
}

u64 testsvc_next_ns(const struct testsvc *svc) {
    u64 at = ~0ull;
    for (u32 i = 0; i < SVC_CONNS; i++)
        if (svc->conns[i].used) at = MIN(at, svc->conns[i].gone ? 0 : svc->conns[i].probe_ns);
    return at;
}

const struct testsvc_counters *testsvc_counters(const struct testsvc *svc) {
    return &svc->counters;
}
