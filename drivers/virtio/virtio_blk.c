// virtio-blk drives: start, requests, and what happens to those that are late. The device
// has no abort: after BLK_REQUEST_NS it is reset, everything fails and the drive is dead.
// Called by kernel/drives.c at boot, then through blkdev_ops under the owner's lock.
// Spec: VIRTIO 1.1 5.2 (block device), 3.1.1, 3.2 (operation), 2.6.7 (interrupts).
#include "base/string.h"
#include "drivers/virtio/virtio_priv.h"

#define DRIVES_MAX 8u
#define SLOTS_MAX 32u
#define DESCS_EXTRA 2u               // header and status beside the data

enum state { RUNS, STOPPING, DEAD };

struct blk_slot {
    struct blk_request *request;     // NULL: free
    u64 deadline_ns;
};

struct virtio_blk {
    struct blkdev dev;
    struct virtio v;
    struct blk_config config;
    enum state state;
    u64 stop_until_ns;
    bool notify_due;
    u32 slots, slot_descs;           // slot i has descriptors [i * slot_descs, ...)
    struct blk_slot slot[SLOTS_MAX];
    struct virtio_blk_header *header;   // one for each slot
    volatile u8 *status;             // behind them, in the same page
    paddr_t header_pa, status_pa;
};

static struct virtio_blk drives_table[DRIVES_MAX];
static u32 drive_count;

static struct virtio_blk *blk_of(const struct blkdev *dev) { return dev->priv; }

static bool supports(const struct pci_dev *dev) {
    return dev->vendor == VIRTIO_VENDOR &&
           (dev->device == VIRTIO_DEVICE_BLK || dev->device == VIRTIO_DEVICE_BLK_OLD);
}

static void desc_set(struct virtio_blk *b, u32 index, u64 pa, u32 len, u32 flags) {
    b->v.desc[index] = (struct virtq_desc){.pa = pa, .len = len, .flags = (u16)flags,
                                           .next = (u16)(index + 1)};
}

// 5.2.6: header, data, status; the device writes data of a read and the status.
static void chain_fill(struct virtio_blk *b, u32 slot, const struct blk_request *r) {
    static const u32 types[] = {VIRTIO_BLK_IN, VIRTIO_BLK_OUT, VIRTIO_BLK_FLUSH};
    u32 at = slot * b->slot_descs;
    b->header[slot] = (struct virtio_blk_header){.type = types[r->op]};
    if (r->op != BLK_FLUSH)
        b->header[slot].sector = r->block << (b->dev.block_shift - VIRTIO_BLK_SECTOR_SHIFT);
    b->status[slot] = 0xff;
    desc_set(b, at++, b->header_pa.v + slot * sizeof *b->header, sizeof *b->header,
             VIRTQ_DESC_NEXT);
    u64 left = r->op == BLK_FLUSH ? 0 : (u64)r->block_count << b->dev.block_shift;
    for (u32 i = 0; left != 0; i++) {
        const u32 len = (u32)MIN(left, PAGE_SIZE);
        desc_set(b, at++, r->frame[i].v, len,
                 VIRTQ_DESC_NEXT | (r->op == BLK_READ ? VIRTQ_DESC_WRITE : 0));
        left -= len;
    }
    desc_set(b, at, b->status_pa.v + slot, 1, VIRTQ_DESC_WRITE);
}

static status_t submit(struct blkdev *dev, struct blk_request *r) {
    struct virtio_blk *b = blk_of(dev);
    if (b->state != RUNS) return E_IO;
    const status_t status = r->op != BLK_FLUSH ? blk_check(dev, r)
                            : dev->write_cache ? S_OK : E_INVAL;
    if (status != S_OK) return status;
    u32 slot = 0;
    while (slot < b->slots && b->slot[slot].request != NULL) slot++;
    if (slot == b->slots) return E_AGAIN;
    b->slot[slot] = (struct blk_slot){.request = r,
                                      .deadline_ns = b->config.env->now_ns() + BLK_REQUEST_NS};
    chain_fill(b, slot, r);
    dma_order_writes();
    virtio_offer(&b->v, (u16)(slot * b->slot_descs));
    b->notify_due = true;
    blk_begun(dev);
    return S_OK;
}

static void kick(struct blkdev *dev) {
    struct virtio_blk *b = blk_of(dev);
    if (b->notify_due && b->state == RUNS) virtio_notify(&b->v);
    b->notify_due = false;
}

static void slot_end(struct virtio_blk *b, u32 index, status_t status) {
    struct blk_request *r = b->slot[index].request;
    b->slot[index].request = NULL;
    blk_ended(&b->dev, r, status);
}

static void stop_begin(struct virtio_blk *b, const char *why, u64 now_ns) {
    b->config.env->log("%s: %s; the drive is stopped", b->dev.name, why);
    b->state = STOPPING;
    b->stop_until_ns = now_ns + VIRTIO_RESET_NS;
    virtio_reset_begin(&b->v);
}

// 2.1: a device that was reset touches no memory any more.
static void stop_step(struct virtio_blk *b, u64 now_ns) {
    if (!virtio_is_reset(&b->v) && now_ns < b->stop_until_ns) return;
    pci_master_off(b->config.cfg, b->v.bdf);
    b->state = DEAD;
    b->dev.dead = true;
    for (u32 i = 0; i < b->slots; i++)
        if (b->slot[i].request != NULL) slot_end(b, i, E_TIMEDOUT);
}

static void completions_take(struct virtio_blk *b, u64 now_ns) {
    u32 head;
    status_t status = S_OK;
    for (u32 i = 0; i < b->slots && virtio_take(&b->v, &head, &status); i++) {
        const u32 slot = head / b->slot_descs;
        if (head % b->slot_descs != 0 || slot >= b->slots || !b->slot[slot].request) {
            b->dev.counters.spurious++;
            status = E_PROTO;
            break;
        }
        slot_end(b, slot, b->status[slot] == VIRTIO_BLK_OK ? S_OK : E_IO);
    }
    if (status != S_OK) stop_begin(b, "the device's ring makes no sense", now_ns);
}

static void poll(struct blkdev *dev, u64 now_ns) {
    struct virtio_blk *b = blk_of(dev);
    if (b->state == STOPPING) stop_step(b, now_ns);
    if (b->state != RUNS) return;
    completions_take(b, now_ns);
    for (u32 i = 0; i < b->slots && b->state == RUNS; i++) {
        if (b->slot[i].request == NULL || now_ns < b->slot[i].deadline_ns) continue;
        dev->counters.timeouts++;
        stop_begin(b, "a request does not end", now_ns);
    }
}

// 2.6.7.1: asks for interrupts, then looks once more.
static bool irq_enable(struct blkdev *dev) {
    struct virtio_blk *b = blk_of(dev);
    if (b->state != RUNS) return false;
    *(volatile u16 *)&b->v.avail->flags = 0;
    dma_tell_then_look();
    return b->v.used->index != (u16)b->v.used_ring.head;
}

static u64 deadline_ns(const struct blkdev *dev) {
    const struct virtio_blk *b = blk_of(dev);
    if (b->state == STOPPING) return 0;
    u64 first = ~0ull;
    for (u32 i = 0; i < b->slots && b->state == RUNS; i++)
        if (b->slot[i].request != NULL) first = MIN(first, b->slot[i].deadline_ns);
    return first;
}

static const struct blkdev_ops virtio_blk_ops = {.submit = submit, .kick = kick, .poll = poll,
    .irq_enable = irq_enable, .deadline_ns = deadline_ns};

// Reading the ISR takes the line back (4.1.4.5).
static void on_irq(void *arg) {
    struct virtio_blk *b = arg;
    if (!b->v.msix && mmio_get8(b->v.isr.base, 0) == 0) return;   // the line is shared
    *(volatile u16 *)&b->v.avail->flags = VIRTQ_NO_INTERRUPT;
    b->dev.counters.interrupts++;
    b->config.on_irq(b->config.on_irq_ctx);
}

// 5.2.4, 5.2.5: what the configuration says.
static status_t geometry_read(struct virtio_blk *b) {
    volatile void *c = b->v.device.base;
    if (b->v.device.len_bytes < VIRTIO_BLK_CONFIG_BYTES) return E_NODEV;
    const u64 sectors = mmio_get32(c, VIRTIO_BLK_CAPACITY) |
                        (u64)mmio_get32(c, VIRTIO_BLK_CAPACITY + 4) << 32;
    u32 bytes = 512;
    if (b->v.features & VIRTIO_BLK_F_BLK_SIZE) bytes = mmio_get32(c, VIRTIO_BLK_BLK_SIZE);
    if (bytes < 512 || bytes > 4096 || (bytes & (bytes - 1))) return E_OPNOTSUPP;
    b->dev.block_shift = (u32)__builtin_ctz(bytes);
    b->dev.block_count = sectors >> (b->dev.block_shift - VIRTIO_BLK_SECTOR_SHIFT);
    if (sectors == 0 || sectors > ~0ull >> 10) return E_NODEV;
    u32 frames = BLK_FRAMES_MAX;
    if (b->v.features & VIRTIO_BLK_F_SEG_MAX)
        frames = MIN(frames, mmio_get32(c, VIRTIO_BLK_SEG_MAX));
    b->dev.frames_max = MAX(frames, 1u);
    b->dev.read_only = (b->v.features & VIRTIO_BLK_F_RO) != 0;
    b->dev.write_cache = (b->v.features & VIRTIO_BLK_F_FLUSH) != 0;
    memcpy(b->dev.model, "virtio", 7);
    return S_OK;
}

static status_t slots_make(struct virtio_blk *b) {
    b->slot_descs = MIN(b->dev.frames_max + DESCS_EXTRA, b->v.queue_size);
    if (b->slot_descs <= DESCS_EXTRA) return E_NODEV;
    b->dev.frames_max = b->slot_descs - DESCS_EXTRA;
    b->slots = MIN(b->v.queue_size / b->slot_descs, SLOTS_MAX);
    b->header = b->config.env->dma_alloc(PAGE_SIZE, &b->header_pa);
    if (!b->header) return E_NOMEM;
    b->status = (u8 *)(b->header + SLOTS_MAX);
    b->status_pa = paddr(b->header_pa.v + SLOTS_MAX * sizeof *b->header);
    return S_OK;
}

static status_t drive_start(struct virtio_blk *b, const struct pci_dev *pci) {
    status_t status = virtio_open(&b->v, pci);
    if (status == S_OK)
        status = virtio_negotiate(&b->v, VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_RO |
                                         VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH);
    if (status == S_OK) status = geometry_read(b);
    if (status == S_OK) status = virtio_queue_make(&b->v);
    if (status == S_OK) status = slots_make(b);
    if (status == S_OK) status = virtio_irq_attach(&b->v, on_irq, b);
    if (status == S_OK) virtio_status_add(&b->v, VIRTIO_DRIVER_OK);
    else if (b->v.common.base) virtio_status_add(&b->v, VIRTIO_FAILED);
    return status;
}

static u32 open(const struct pci_dev *dev, const struct blk_config *config,
                struct blkdev **drives, u32 max) {
    if (drive_count == DRIVES_MAX || max == 0) {
        config->env->log("virtio-blk: more than %u drives", DRIVES_MAX);
        return 0;
    }
    struct virtio_blk *b = &drives_table[drive_count];
    *b = (struct virtio_blk){.config = *config, .v = {.env = config->env, .cfg = config->cfg}};
    b->dev = (struct blkdev){.ops = &virtio_blk_ops, .name = "vda", .priv = b};
    b->dev.name[2] = (char)('a' + drive_count);
    const status_t status = drive_start(b, dev);
    if (status != S_OK) {
        pci_master_off(config->cfg, dev->bdf);
        config->env->log("%s: virtio drive not usable (%d)", b->dev.name, status);
        return 0;
    }
    drive_count++;
    drives[0] = &b->dev;
    return 1;
}

const struct blk_driver virtio_blk_driver = {.supports = supports, .open = open};
