// What a provider of verbs fills in; verbs.c checks and dispatches, nothing else calls.
#pragma once

#include "drivers/rdma/verbs.h"

struct rdma_ops {
    struct rdma_pd *(*alloc_pd)(struct rdma_dev *dev);
    status_t (*dealloc_pd)(struct rdma_pd *pd);
    // pages NULL: kernel virtual memory at addr.
    struct rdma_mr *(*reg_mr)(struct rdma_pd *pd, void *addr, u64 length, u64 iova, u32 access,
                              const struct rdma_mr_pages *pages);
    void (*dereg_mr)(struct rdma_mr *mr);
    struct rdma_cq *(*create_cq)(struct rdma_dev *dev, u32 cqe, void (*notify)(void *ctx),
                                 void *ctx);
    status_t (*destroy_cq)(struct rdma_cq *cq);
    u32 (*poll_cq)(struct rdma_cq *cq, u32 max_wc, struct rdma_wc *wc);
    struct rdma_qp *(*create_qp)(struct rdma_pd *pd, const struct rdma_qp_init_attr *attr);
    status_t (*modify_qp)(struct rdma_qp *qp, const struct rdma_qp_attr *attr, u32 mask);
    void (*query_qp)(const struct rdma_qp *qp, struct rdma_qp_attr *attr);
    u32 (*qp_doubts)(const struct rdma_qp *qp);
    void (*destroy_qp)(struct rdma_qp *qp);
    status_t (*post_send)(struct rdma_qp *qp, const struct rdma_send_wr *wr);
    status_t (*post_recv)(struct rdma_qp *qp, const struct rdma_recv_wr *wr);
};

// The public part of each object comes first in the provider's own.
struct rdma_dev { const struct rdma_ops *ops; const struct word_ops *word_ops; };
struct rdma_pd { struct rdma_dev *dev; };
struct rdma_mr { struct rdma_dev *dev; u32 lkey, rkey; };
struct rdma_cq { struct rdma_dev *dev; };
struct rdma_qp { struct rdma_dev *dev; u32 qp_num; void *context; };
