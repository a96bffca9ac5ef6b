// The public calls of verbs.h: what is the same for every provider, then dispatch.
// Called under the device's lock.
#include "drivers/rdma/verbs.h"

#include "drivers/rdma/provider.h"

// A protection domain, as ibv_alloc_pd. NULL: none is left.
struct rdma_pd *rdma_alloc_pd(struct rdma_dev *dev) { return dev->ops->alloc_pd(dev); }

// E_BUSY while an MR or QP belongs to it.
status_t rdma_dealloc_pd(struct rdma_pd *pd) { return pd->dev->ops->dealloc_pd(pd); }

// A range must not wrap, and remote write or atomic needs local write (IBTA 11.2.8.1).
static bool range_ok(u64 start, u64 length, u32 access) {
    if (length == 0 || start + length - 1 < start) return false;
    if (access & (RDMA_ACCESS_REMOTE_WRITE | RDMA_ACCESS_REMOTE_ATOMIC))
        return access & RDMA_ACCESS_LOCAL_WRITE;
    return true;
}

struct rdma_mr *rdma_reg_mr(struct rdma_pd *pd, void *addr, u64 length, u32 access) {
    return rdma_reg_mr_iova(pd, addr, length, (u64)(uintptr_t)addr, access);
}

struct rdma_mr *rdma_reg_mr_iova(struct rdma_pd *pd, void *addr, u64 length, u64 iova,
                                 u32 access) {
    if (!range_ok((u64)(uintptr_t)addr, length, access) || !range_ok(iova, length, access))
        return NULL;
    return pd->dev->ops->reg_mr(pd, addr, length, iova, access, NULL);
}

struct rdma_mr *rdma_reg_mr_pages(struct rdma_pd *pd, u64 iova, u64 length, u32 access,
                                  const struct rdma_mr_pages *pages) {
    if (!range_ok(iova, length, access)) return NULL;
    return pd->dev->ops->reg_mr(pd, NULL, length, iova, access, pages);
}

void rdma_dereg_mr(struct rdma_mr *mr) { mr->dev->ops->dereg_mr(mr); }
u32 rdma_mr_lkey(const struct rdma_mr *mr) { return mr->lkey; }
u32 rdma_mr_rkey(const struct rdma_mr *mr) { return mr->rkey; }

struct rdma_cq *rdma_create_cq(struct rdma_dev *dev, u32 cqe, void (*notify)(void *ctx),
                               void *ctx) {
    return cqe == 0 ? NULL : dev->ops->create_cq(dev, cqe, notify, ctx);
}

// E_BUSY while a QP uses it.
status_t rdma_destroy_cq(struct rdma_cq *cq) { return cq->dev->ops->destroy_cq(cq); }

u32 rdma_poll_cq(struct rdma_cq *cq, u32 max_wc, struct rdma_wc *wc) {
    return cq->dev->ops->poll_cq(cq, max_wc, wc);
}

// A queue pair in RESET, as ibv_create_qp. NULL: a queue is missing or too long, or none is left.
struct rdma_qp *rdma_create_qp(struct rdma_pd *pd, const struct rdma_qp_init_attr *attr) {
    if (attr->send_cq == NULL || attr->recv_cq == NULL || attr->max_send_wr == 0) return NULL;
    return pd->dev->ops->create_qp(pd, attr);
}

// The next state and what it needs, as ibv_modify_qp.
//   mask  which fields of attr are meant
// E_INVAL: no such transition, or a field is missing or out of range; the queue pair is unchanged.
status_t rdma_modify_qp(struct rdma_qp *qp, const struct rdma_qp_attr *attr, u32 mask) {
    return qp->dev->ops->modify_qp(qp, attr, mask);
}

// Its state and attributes, as ibv_query_qp.
void rdma_query_qp(const struct rdma_qp *qp, struct rdma_qp_attr *attr) {
    qp->dev->ops->query_qp(qp, attr);
}

u32 rdma_qp_doubts(const struct rdma_qp *qp) { return qp->dev->ops->qp_doubts(qp); }
void rdma_destroy_qp(struct rdma_qp *qp) { qp->dev->ops->destroy_qp(qp); }
u32 rdma_qp_num(const struct rdma_qp *qp) { return qp->qp_num; }

status_t rdma_post_send(struct rdma_qp *qp, const struct rdma_send_wr *wr) {
    return qp->dev->ops->post_send(qp, wr);
}

status_t rdma_post_recv(struct rdma_qp *qp, const struct rdma_recv_wr *wr) {
    if (wr->num_sge > RDMA_SGE_MAX) return E_INVAL;
    return qp->dev->ops->post_recv(qp, wr);
}

const struct word_ops *rdma_word_ops(struct rdma_dev *dev) { return dev->word_ops; }
