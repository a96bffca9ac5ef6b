// Completion queues of soft RoCE: a ring of rdma_wc. A CQ that overflows loses the newest
// completion and counts it; sizing it for its queues is the owner's duty. Device's lock.
#include "drivers/rdma/soft_priv.h"

static u32 round_up_pow2(u32 n) {
    u32 size = 1;
    while (size < n) size <<= 1;
    return size;
}

struct rdma_cq *soft_create_cq(struct rdma_dev *rdma, u32 cqe, void (*notify)(void *ctx),
                               void *ctx) {
    struct soft_dev *dev = soft_of(rdma);
    struct soft_cq *cq = NULL;
    if (cqe > SOFT_CQE_MAX) return NULL;
    for (u32 i = 0; i < SOFT_CQ_MAX && cq == NULL; i++)
        if (!dev->cqs[i].live) cq = &dev->cqs[i];
    if (cq == NULL) return NULL;
    u32 size = round_up_pow2(cqe);
    if (cq->capacity < size) {
        struct rdma_wc *wc = soft_alloc(dev, size * sizeof *wc);
        if (wc == NULL) return NULL;
        if (cq->wc != NULL) soft_free(dev, cq->wc, cq->capacity * sizeof *wc);
        cq->wc = wc;
        cq->capacity = size;
    }
    cq->base.dev = rdma;
    cq->live = true;
    cq->users = 0;
    ring_init(&cq->ring, size);
    cq->notify = notify;
    cq->notify_ctx = ctx;
    return &cq->base;
}

status_t soft_destroy_cq(struct rdma_cq *base) {
    struct soft_cq *cq = (struct soft_cq *)base;
    if (cq->users != 0) return E_BUSY;
    cq->live = false;
    return S_OK;
}

u32 soft_poll_cq(struct rdma_cq *base, u32 max_wc, struct rdma_wc *wc) {
    struct soft_cq *cq = (struct soft_cq *)base;
    u32 count = 0;
    while (count < max_wc && !ring_empty(&cq->ring)) {
        wc[count++] = cq->wc[ring_peek_index(&cq->ring, 0)];
        ring_consume(&cq->ring);
    }
    return count;
}

void soft_cq_push(struct soft_cq *cq, const struct rdma_wc *wc) {
    if (ring_full(&cq->ring)) {
        soft_of(cq->base.dev)->counters.cq_overflow++;
        return;
    }
    bool was_empty = ring_empty(&cq->ring);
    cq->wc[ring_tail_index(&cq->ring)] = *wc;
    ring_produce(&cq->ring);
    soft_of(cq->base.dev)->completions++;
    if (was_empty && cq->notify != NULL) cq->notify(cq->notify_ctx);
}
