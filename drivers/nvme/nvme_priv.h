// What nvme.c (start) and nvme_io.c (requests) share: one controller's state.
// Lock: the owner's (blkdev.h); the interrupt handler touches `base`, a counter and the
// owner's callback.
#pragma once

#include "base/ring.h"
#include "drivers/blkdev.h"
#include "drivers/nvme/nvme_regs.h"
#include "kernel/x86/dma.h"
#include "kernel/x86/mmio.h"

#define NVME_CONTROLLERS_MAX 8u
#define NVME_NAMESPACES_MAX 4u       // of one controller
#define NVME_QUEUE_ENTRIES 64u       // one page of submission entries
#define NVME_SLOTS 32u               // commands in flight, so that no queue ever fills
#define NVME_ADMIN_NS (5ull * NS_PER_S)
_Static_assert(NVME_SLOTS < NVME_QUEUE_ENTRIES, "a queue is never full");

struct nvme_queue {
    struct nvme_sqe *sq;
    struct nvme_cqe *cq;
    struct ring out;                 // submission entries: we produce, completions consume
    struct ring in;                  // completion entries taken; the phase is in its count
    u32 sq_bell, cq_bell;            // offsets of the doorbells
};

struct nvme_slot {
    struct blk_request *request;     // NULL: free
    struct blkdev *dev;
    u64 deadline_ns;
    bool aborting;
};

enum nvme_state { NVME_RUNS, NVME_STOPPING, NVME_DEAD };

struct nvme {
    const struct blk_config *config;
    struct blk_config config_copy;
    u32 bdf, index;
    volatile void *base;
    u64 ready_ns;                    // CAP.TO: the longest that RDY takes to change
    u32 queue_entries;
    enum nvme_state state;
    u64 stop_until_ns;
    struct nvme_queue admin, io;
    bool bell_due;
    bool msix;                       // INTMS and INTMC must not be touched then (3.1.3)
    struct nvme_slot slot[NVME_SLOTS];
    u64 *prp_list[NVME_SLOTS];
    paddr_t prp_list_pa[NVME_SLOTS];
    void *identify;                  // one page
    paddr_t identify_pa;
    u32 drive_count;
    u32 nsid[NVME_NAMESPACES_MAX];
    struct blkdev drive[NVME_NAMESPACES_MAX];
};

static inline u32 nvme_get(struct nvme *n, u32 reg) { return mmio_get32(n->base, reg); }
static inline void nvme_set(struct nvme *n, u32 reg, u64 v) { mmio_set32(n->base, reg, (u32)v); }

extern const struct blkdev_ops nvme_ops;
void nvme_push(struct nvme *n, struct nvme_queue *q, const struct nvme_sqe *e);
void nvme_bell(struct nvme *n, struct nvme_queue *q);
// The next completion of q, copied; false: none.
bool nvme_pop(struct nvme *n, struct nvme_queue *q, struct nvme_cqe *out);
