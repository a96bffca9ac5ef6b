// Requests of NVMe drives: from submit through the I/O queue pair to done, and what
// happens to those that are late: abort, then the controller is stopped and everything
// fails; nothing ever hangs. Called through blkdev_ops under the owner's lock.
// Spec: NVMe 1.4 4.1 (queues), 4.3 (PRP), 4.6 (completions, phase), 5.1 (abort),
// 6.8, 6.9, 6.15 (flush, read, write), 7.6.2 (shutting a controller off).
#include "drivers/nvme/nvme_priv.h"

static struct nvme *nvme_of(const struct blkdev *dev) { return dev->priv; }

// Puts an entry at the tail; the bell is rung later. The queue is never full: fewer
// commands than entries are ever out.
void nvme_push(struct nvme *n, struct nvme_queue *q, const struct nvme_sqe *e) {
    (void)n;
    q->sq[ring_tail_index(&q->out)] = *e;
    ring_produce(&q->out);
}

// One doorbell for all entries that were written to the queue.
void nvme_bell(struct nvme *n, struct nvme_queue *q) {
    dma_to_device();
    nvme_set(n, q->sq_bell, ring_tail_index(&q->out));
}

// 4.6: an entry is new while its phase bit is the one of this pass, 1 in the first.
bool nvme_pop(struct nvme *n, struct nvme_queue *q, struct nvme_cqe *out) {
    volatile struct nvme_cqe *e = &q->cq[ring_tail_index(&q->in)];
    const u16 phase = (q->in.tail & q->in.size) == 0;
    const u16 status = e->status;
    if ((status & NVME_STATUS_PHASE) != phase) return false;
    dma_from_device();
    *out = (struct nvme_cqe){.result = e->result, .cid = e->cid, .status = status};
    ring_produce(&q->in);
    ring_consume(&q->in);
    if (!ring_empty(&q->out)) ring_consume(&q->out);
    nvme_set(n, q->cq_bell, ring_tail_index(&q->in));
    return true;
}

static u32 nsid_of(const struct nvme *n, const struct blkdev *dev) {
    return n->nsid[dev - n->drive];
}

// 4.3: the first page in PRP1; the second in PRP2, or there a list of all further ones.
static void prps_fill(struct nvme *n, u32 slot, const struct blk_request *r,
                      struct nvme_sqe *e) {
    e->prp1 = r->frame[0].v;
    if (r->frame_count == 2) e->prp2 = r->frame[1].v;
    if (r->frame_count <= 2) return;
    for (u32 i = 1; i < r->frame_count; i++) n->prp_list[slot][i - 1] = r->frame[i].v;
    e->prp2 = n->prp_list_pa[slot].v;
}

static status_t submit(struct blkdev *dev, struct blk_request *r) {
    struct nvme *n = nvme_of(dev);
    if (n->state != NVME_RUNS) return E_IO;
    status_t status = r->op == BLK_FLUSH ? S_OK : blk_check(dev, r);
    if (status != S_OK) return status;
    u32 slot = 0;
    while (slot < NVME_SLOTS && n->slot[slot].request != NULL) slot++;
    if (slot == NVME_SLOTS) return E_AGAIN;
    static const u8 opcodes[] = {NVME_READ, NVME_WRITE, NVME_FLUSH};
    struct nvme_sqe e = {.opcode = opcodes[r->op], .cid = (u16)slot, .nsid = nsid_of(n, dev)};
    if (r->op != BLK_FLUSH) {
        prps_fill(n, slot, r, &e);
        e.cdw10 = (u32)r->block;
        e.cdw11 = (u32)(r->block >> 32);
        e.cdw12 = r->block_count - 1;             // 6.9: zeroes-based
    }
    n->slot[slot] = (struct nvme_slot){.request = r, .dev = dev,
                                       .deadline_ns = n->config->env->now_ns() + BLK_REQUEST_NS};
    nvme_push(n, &n->io, &e);
    n->bell_due = true;
    blk_begun(dev);
    return S_OK;
}

static void kick(struct blkdev *dev) {
    struct nvme *n = nvme_of(dev);
    if (n->bell_due && n->state == NVME_RUNS) nvme_bell(n, &n->io);
    n->bell_due = false;
}

static void slot_end(struct nvme *n, u32 index, status_t status) {
    struct nvme_slot *s = &n->slot[index];
    struct blk_request *r = s->request;
    s->request = NULL;
    blk_ended(s->dev, r, status);
}

static status_t status_of(const struct nvme_slot *s, u16 status) {
    const u32 code = (u32)FIELD_GET(NVME_STATUS_CODE, status);
    if (code == 0) return S_OK;
    if (s->aborting) return E_TIMEDOUT;
    return code == NVME_CODE_READ_ONLY ? E_ROFS : E_IO;
}

static void completions_take(struct nvme *n) {
    struct nvme_cqe e;
    for (u32 i = 0; i < n->queue_entries && nvme_pop(n, &n->io, &e); i++) {
        if (e.cid >= NVME_SLOTS || n->slot[e.cid].request == NULL) {
            n->drive[0].counters.spurious++;
            continue;
        }
        slot_end(n, e.cid, status_of(&n->slot[e.cid], e.status));
    }
    // Answers to aborts say nothing that the aborted command does not say itself.
    for (u32 i = 0; i < n->queue_entries && nvme_pop(n, &n->admin, &e); i++) continue;
}

// 3.1.5: EN from 1 to 0 resets the controller; it owns no memory once RDY is 0.
static void stop_begin(struct nvme *n, const char *why, u64 now_ns) {
    n->config->env->log("%s: %s; the controller is stopped", n->drive[0].name, why);
    n->state = NVME_STOPPING;
    n->stop_until_ns = now_ns + n->ready_ns;
    nvme_set(n, NVME_CC, nvme_get(n, NVME_CC) & (u32)~NVME_CC_EN);
}

static void stop_step(struct nvme *n, u64 now_ns) {
    const u32 csts = nvme_get(n, NVME_CSTS);
    if (csts != ~0u && (csts & NVME_CSTS_RDY) && now_ns < n->stop_until_ns) return;
    pci_master_off(n->config->cfg, n->bdf);      // whatever it thinks, it reaches no memory
    n->state = NVME_DEAD;
    for (u32 i = 0; i < n->drive_count; i++) n->drive[i].dead = true;
    for (u32 i = 0; i < NVME_SLOTS; i++)
        if (n->slot[i].request != NULL) slot_end(n, i, E_TIMEDOUT);
}

// 5.1: asks the controller to give the command up. Its own completion is what counts.
static void slot_late(struct nvme *n, u32 index, u64 now_ns) {
    struct nvme_slot *s = &n->slot[index];
    if (s->aborting || ring_space(&n->admin.out) <= 1) {
        stop_begin(n, "a command that was aborted does not end", now_ns);
        return;
    }
    s->dev->counters.timeouts++;
    s->aborting = true;
    s->deadline_ns = now_ns + BLK_ABORT_NS;
    const struct nvme_sqe e = {.opcode = NVME_ADMIN_ABORT, .cid = (u16)index,
                               .cdw10 = 1 | index << 16};   // of submission queue 1
    nvme_push(n, &n->admin, &e);
    nvme_bell(n, &n->admin);
}

static void poll(struct blkdev *dev, u64 now_ns) {
    struct nvme *n = nvme_of(dev);
    if (n->state == NVME_DEAD) return;
    if (n->state == NVME_STOPPING) {
        stop_step(n, now_ns);
        return;
    }
    completions_take(n);
    for (u32 i = 0; i < NVME_SLOTS && n->state == NVME_RUNS; i++)
        if (n->slot[i].request != NULL && now_ns >= n->slot[i].deadline_ns)
            slot_late(n, i, now_ns);
}

// Unmasks; true where a completion is there already, which polling takes.
static bool irq_enable(struct blkdev *dev) {
    struct nvme *n = nvme_of(dev);
    if (n->state != NVME_RUNS) return false;
    if (!n->msix) nvme_set(n, NVME_INTMC, 1);
    volatile struct nvme_cqe *e = &n->io.cq[ring_tail_index(&n->io.in)];
    const u16 phase = (n->io.in.tail & n->io.in.size) == 0;
    return (e->status & NVME_STATUS_PHASE) == phase;
}

static u64 deadline_ns(const struct blkdev *dev) {
    const struct nvme *n = nvme_of(dev);
    if (n->state == NVME_STOPPING) return 0;     // look again soon
    u64 first = ~0ull;
    for (u32 i = 0; i < NVME_SLOTS && n->state == NVME_RUNS; i++)
        if (n->slot[i].request != NULL) first = MIN(first, n->slot[i].deadline_ns);
    return first;
}

const struct blkdev_ops nvme_ops = {.submit = submit, .kick = kick, .poll = poll,
                                    .irq_enable = irq_enable, .deadline_ns = deadline_ns};
