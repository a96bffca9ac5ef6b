// Protection domains of soft RoCE: slots with a count of users. Device's lock.
#include "drivers/rdma/soft_priv.h"

struct rdma_pd *soft_alloc_pd(struct rdma_dev *rdma) {
    struct soft_dev *dev = soft_of(rdma);
    for (u32 i = 0; i < SOFT_PD_MAX; i++) {
        struct soft_pd *pd = &dev->pds[i];
        if (pd->live) continue;
        *pd = (struct soft_pd){.base.dev = rdma, .live = true};
        return &pd->base;
    }
    return NULL;
}

status_t soft_dealloc_pd(struct rdma_pd *base) {
    struct soft_pd *pd = (struct soft_pd *)base;
    if (pd->users != 0) return E_BUSY;
    pd->live = false;
    return S_OK;
}
