// Starts an NVMe controller: reset, admin queue, identify, one I/O queue pair, a drive for
// each namespace. Called by kernel/drives.c at boot on one CPU, then through nvme_ops
// (nvme_io.c). Every wait has a deadline; what is wrong is said and the drive left alone.
// Spec: NVMe 1.4 7.6.1 (initialisation), 3.1, 5.3, 5.4, 5.15, 5.21.1.7.
#include "drivers/nvme/nvme_priv.h"

#include "base/string.h"

#define NVME_CLASS 0x01u             // mass storage, non-volatile memory, NVM Express
#define NVME_SUBCLASS 0x08u
#define NVME_PROG_IF 0x02u
#define NVME_BAR_BYTES 0x2000u

static struct nvme controllers[NVME_CONTROLLERS_MAX];
static u32 controller_count;

static bool supports(const struct pci_dev *dev) {
    return dev->class_code == NVME_CLASS && dev->subclass == NVME_SUBCLASS &&
           dev->prog_if == NVME_PROG_IF;
}

static struct mmio_deadline ready_deadline(struct nvme *n) {
    const struct hw_env *env = n->config->env;
    return (struct mmio_deadline){env->now_ns, env->now_ns() + n->ready_ns};
}

static status_t queue_make(struct nvme *n, struct nvme_queue *q, u32 id, paddr_t *sq_pa,
                           paddr_t *cq_pa) {
    const u32 stride = 4u << FIELD_GET(NVME_CAP_DSTRD, nvme_get(n, NVME_CAP_HIGH));
    q->sq = n->config->env->dma_alloc(NVME_QUEUE_ENTRIES * sizeof *q->sq, sq_pa);
    q->cq = n->config->env->dma_alloc(NVME_QUEUE_ENTRIES * sizeof *q->cq, cq_pa);
    if (q->sq == NULL || q->cq == NULL) return E_NOMEM;
    ring_init(&q->out, n->queue_entries);
    ring_init(&q->in, n->queue_entries);
    q->sq_bell = NVME_DOORBELLS + 2 * id * stride;         // 3.1.24
    q->cq_bell = NVME_DOORBELLS + (2 * id + 1) * stride;
    return S_OK;
}

// 7.6.1: reset, then the admin queue, then enable with 64- and 16-byte entries.
static status_t controller_enable(struct nvme *n) {
    const u32 low = nvme_get(n, NVME_CAP_LOW), high = nvme_get(n, NVME_CAP_HIGH);
    if (!(high & NVME_CAP_CSS_NVM) || FIELD_GET(NVME_CAP_MPSMIN, high) != 0) return E_OPNOTSUPP;
    n->ready_ns = (FIELD_GET(NVME_CAP_TO, low) + 1) * 500 * NS_PER_MS;
    n->queue_entries = (u32)MIN(FIELD_GET(NVME_CAP_MQES, low) + 1, (u64)NVME_QUEUE_ENTRIES);
    if (n->queue_entries < NVME_QUEUE_ENTRIES) return E_OPNOTSUPP;   // all have more
    nvme_set(n, NVME_CC, 0);
    status_t status = mmio_wait_clear32(n->base, NVME_CSTS, (u32)NVME_CSTS_RDY,
                                        ready_deadline(n));
    if (status != S_OK) return status;
    nvme_set(n, NVME_INTMS, ~0u);
    paddr_t sq_pa, cq_pa;
    status = queue_make(n, &n->admin, 0, &sq_pa, &cq_pa);
    if (status != S_OK) return status;
    nvme_set(n, NVME_AQA, (n->queue_entries - 1) << 16 | (n->queue_entries - 1));
    nvme_set(n, NVME_ASQ, sq_pa.v);
    nvme_set(n, NVME_ASQ + 4, sq_pa.v >> 32);
    nvme_set(n, NVME_ACQ, cq_pa.v);
    nvme_set(n, NVME_ACQ + 4, cq_pa.v >> 32);
    nvme_set(n, NVME_CC, FIELD_PREP(NVME_CC_IOSQES, 6) | FIELD_PREP(NVME_CC_IOCQES, 4) |
                         NVME_CC_EN);
    status = mmio_wait_set32(n->base, NVME_CSTS, (u32)NVME_CSTS_RDY, ready_deadline(n));
    return nvme_get(n, NVME_CSTS) & NVME_CSTS_CFS ? E_IO : status;
}

// One admin command, waited for: boot only. E_TIMEDOUT, E_IO.
static status_t admin(struct nvme *n, const struct nvme_sqe *e) {
    const struct hw_env *env = n->config->env;
    const u64 until_ns = env->now_ns() + NVME_ADMIN_NS;
    struct nvme_cqe done;
    nvme_push(n, &n->admin, e);
    nvme_bell(n, &n->admin);
    for (;;) {
        const bool late = env->now_ns() >= until_ns;
        if (nvme_pop(n, &n->admin, &done)) break;
        if (late) return E_TIMEDOUT;
    }
    return FIELD_GET(NVME_STATUS_CODE, done.status) == 0 ? S_OK : E_IO;
}

static status_t identify(struct nvme *n, enum nvme_cns cns, u32 nsid) {
    memset(n->identify, 0, PAGE_SIZE);
    const struct nvme_sqe e = {.opcode = NVME_ADMIN_IDENTIFY, .nsid = nsid,
                               .prp1 = n->identify_pa.v, .cdw10 = cns};
    return admin(n, &e);
}

// 5.21.1.7, 5.3, 5.4: one pair, number 1, with interrupts.
static status_t io_queues_make(struct nvme *n) {
    const struct nvme_sqe count = {.opcode = NVME_ADMIN_SET_FEATURES,
                                   .cdw10 = NVME_FEATURE_QUEUES, .cdw11 = 0};
    status_t status = admin(n, &count);
    paddr_t sq_pa, cq_pa;
    if (status == S_OK) status = queue_make(n, &n->io, 1, &sq_pa, &cq_pa);
    if (status != S_OK) return status;
    const u32 size_id = (n->queue_entries - 1) << 16 | 1;
    const struct nvme_sqe cq = {.opcode = NVME_ADMIN_CREATE_CQ, .prp1 = cq_pa.v,
                                .cdw10 = size_id, .cdw11 = 3};   // contiguous, interrupts
    status = admin(n, &cq);
    if (status != S_OK) return status;
    const struct nvme_sqe sq = {.opcode = NVME_ADMIN_CREATE_SQ, .prp1 = sq_pa.v,
                                .cdw10 = size_id, .cdw11 = 1 << 16 | 1};   // CQ 1, contiguous
    return admin(n, &sq);
}

static u32 get32(const u8 *p) { return p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24; }

// 5.15.2.1: size and format. E_OPNOTSUPP: metadata, or blocks of a size we do not take.
static status_t namespace_read(struct nvme *n, struct blkdev *d, u32 nsid) {
    status_t status = identify(n, NVME_CNS_NAMESPACE, nsid);
    if (status != S_OK) return status;
    const u8 *id = n->identify;
    const u32 format = get32(id + NVME_IDN_LBAF + 4 * (id[NVME_IDN_FLBAS] & 15));
    d->block_count = get32(id + NVME_IDN_NSZE) | (u64)get32(id + NVME_IDN_NSZE + 4) << 32;
    d->block_shift = format >> 16 & 0xff;
    d->read_only = id[NVME_IDN_NSATTR] & 1;
    if (d->block_count == 0) return E_NODEV;
    if ((format & 0xffff) != 0 || d->block_shift < BLK_SHIFT_MIN ||
        d->block_shift > BLK_SHIFT_MAX || d->block_count > ~0ull >> (d->block_shift + 1))
        return E_OPNOTSUPP;
    return S_OK;
}

static void name_set(struct blkdev *d, u32 controller, u32 nsid) {
    memcpy(d->name, "nvme0n1", 8);
    d->name[4] = (char)('0' + controller);
    d->name[6] = (char)('0' + nsid);
}

// 5.15.2.3: the active namespaces, as many as we take.
static status_t namespaces_open(struct nvme *n) {
    status_t status = identify(n, NVME_CNS_CONTROLLER, 0);
    if (status != S_OK) return status;
    struct blkdev made = {.ops = &nvme_ops, .priv = n, .frames_max = BLK_FRAMES_MAX};
    const u8 *id = n->identify;
    memcpy(made.model, id + NVME_IDC_MODEL, NVME_IDC_MODEL_BYTES);
    for (u32 i = NVME_IDC_MODEL_BYTES; i > 0 && made.model[i - 1] == ' '; i--)
        made.model[i - 1] = 0;
    made.write_cache = id[NVME_IDC_VWC] & 1;
    if (id[NVME_IDC_MDTS] != 0 && id[NVME_IDC_MDTS] < 4)
        made.frames_max = 1u << id[NVME_IDC_MDTS];
    status = identify(n, NVME_CNS_ACTIVE, 0);
    if (status != S_OK) return status;
    u32 ids[NVME_NAMESPACES_MAX];
    for (u32 i = 0; i < NVME_NAMESPACES_MAX; i++) ids[i] = get32((u8 *)n->identify + 4 * i);
    for (u32 i = 0; i < NVME_NAMESPACES_MAX && ids[i] != 0; i++) {
        struct blkdev *d = &n->drive[n->drive_count];
        *d = made;
        name_set(d, n->index, ids[i] < 10 ? ids[i] : 0);
        status = ids[i] < 10 ? namespace_read(n, d, ids[i]) : E_OPNOTSUPP;
        if (status == S_OK) n->nsid[n->drive_count++] = ids[i];
        else n->config->env->log("nvme%u: namespace %u not usable (%d)", n->index, ids[i], status);
    }
    return n->drive_count ? S_OK : E_NODEV;
}

static void on_irq(void *arg) {
    struct nvme *n = arg;
    if (!n->msix) nvme_set(n, NVME_INTMS, 1);
    n->drive[0].counters.interrupts++;
    n->config->on_irq(n->config->on_irq_ctx);
}

// 7.6.1: before the I/O queues are made. Where there is no MSI-X the line stays masked
// until irq_enable.
static status_t irq_start(struct nvme *n) {
    n->msix = n->config->env->irq_attach_msix(n->bdf, on_irq, n) == S_OK;
    return n->msix ? S_OK : n->config->env->irq_attach(n->bdf, on_irq, n);
}

static status_t memory_make(struct nvme *n) {
    n->identify = n->config->env->dma_alloc(PAGE_SIZE, &n->identify_pa);
    if (n->identify == NULL) return E_NOMEM;
    for (u32 i = 0; i < NVME_SLOTS; i++) {
        n->prp_list[i] = n->config->env->dma_alloc(PAGE_SIZE, &n->prp_list_pa[i]);
        if (n->prp_list[i] == NULL) return E_NOMEM;
    }
    return S_OK;
}

static status_t controller_start(struct nvme *n) {
    struct pci_bar bar;
    status_t status = pci_bar_read(n->config->cfg, n->bdf, 0, &bar);
    if (status == S_OK && (bar.pa.v == 0 || bar.len_bytes < NVME_BAR_BYTES)) status = E_NODEV;
    if (status != S_OK) return status;
    pci_enable(n->config->cfg, n->bdf);
    n->base = n->config->env->mmio_map(bar.pa, NVME_BAR_BYTES);
    if (n->base == NULL) return E_NOMEM;
    status = memory_make(n);
    if (status == S_OK) status = controller_enable(n);
    if (status == S_OK) status = irq_start(n);
    if (status == S_OK) status = io_queues_make(n);
    if (status == S_OK) status = namespaces_open(n);
    if (status != S_OK) nvme_set(n, NVME_CC, 0);
    return status;
}

static u32 open(const struct pci_dev *dev, const struct blk_config *config,
                struct blkdev **drives, u32 max) {
    if (controller_count == NVME_CONTROLLERS_MAX) {
        config->env->log("nvme: more than %u controllers", NVME_CONTROLLERS_MAX);
        return 0;
    }
    struct nvme *n = &controllers[controller_count];
    *n = (struct nvme){.config_copy = *config, .bdf = dev->bdf, .index = controller_count};
    n->config = &n->config_copy;
    const status_t status = controller_start(n);
    if (status != S_OK) {
        pci_master_off(config->cfg, dev->bdf);
        config->env->log("nvme%u: not usable (%d)", n->index, status);
        return 0;
    }
    controller_count++;
    const u32 count = MIN(n->drive_count, max);
    for (u32 i = 0; i < count; i++) drives[i] = &n->drive[i];
    return count;
}

const struct blk_driver nvme_driver = {.supports = supports, .open = open};
