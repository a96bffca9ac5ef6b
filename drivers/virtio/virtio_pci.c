// The modern PCI transport of virtio: regions, reset, features, one split queue.
// Called by virtio_blk.c under the owner's lock, or at boot. What the device says is
// checked: capabilities against their BARs, the used ring against what was offered.
// Spec: VIRTIO 1.1 3.1.1 (initialisation), 4.1.4, 2.6.13 (offering), 2.6.14 (taking).
#include "drivers/virtio/virtio_priv.h"

static u8 cfg8(const struct virtio *v, u32 offset) {
    return (u8)(v->cfg->read(v->bdf, offset & ~3u) >> (8 * (offset & 3)));
}

static status_t region_map(struct virtio *v, u32 cap, struct virtio_region *out, u32 need) {
    struct pci_bar bar;
    const u64 offset = v->cfg->read(v->bdf, cap + VIRTIO_CAP_OFFSET);
    const u64 len = v->cfg->read(v->bdf, cap + VIRTIO_CAP_LENGTH);
    status_t status = pci_bar_read(v->cfg, v->bdf, cfg8(v, cap + VIRTIO_CAP_BAR), &bar);
    if (status != S_OK) return status;
    if (bar.pa.v == 0 || len < need || offset + len > bar.len_bytes) return E_NODEV;
    out->base = v->env->mmio_map(paddr(bar.pa.v + offset), len);
    out->len_bytes = (u32)len;
    return out->base ? S_OK : E_NOMEM;
}

// 4.1.4: the first capability of each type that can be used is the one to use.
status_t virtio_open(struct virtio *v, const struct pci_dev *dev) {
    static const u32 need[] = {[VIRTIO_CAP_COMMON] = VIRTIO_COMMON_BYTES,
                               [VIRTIO_CAP_NOTIFY] = 2, [VIRTIO_CAP_ISR] = 1,
                               [VIRTIO_CAP_DEVICE] = 1};
    struct virtio_region *regions[] = {NULL, &v->common, &v->notify, &v->isr, &v->device};
    v->bdf = dev->bdf;
    u32 cap = pci_cap_next(v->cfg, v->bdf, PCI_CAP_VENDOR, 0);
    for (u32 i = 0; i < 16 && cap != 0; i++) {
        const u32 type = cfg8(v, cap + 3);
        if (type >= VIRTIO_CAP_COMMON && type <= VIRTIO_CAP_DEVICE && !regions[type]->base) {
            (void)region_map(v, cap, regions[type], need[type]);
            if (type == VIRTIO_CAP_NOTIFY)
                v->notify_multiplier = v->cfg->read(v->bdf, cap + VIRTIO_CAP_MULTIPLIER);
        }
        cap = pci_cap_next(v->cfg, v->bdf, PCI_CAP_VENDOR, cap);
    }
    for (u32 i = VIRTIO_CAP_COMMON; i <= VIRTIO_CAP_DEVICE; i++)
        if (!regions[i]->base) return E_NODEV;
    pci_enable(v->cfg, v->bdf);
    return S_OK;
}

void virtio_status_add(struct virtio *v, u8 bits) {
    mmio_set8(v->common.base, VIRTIO_STATUS,
              (u8)(mmio_get8(v->common.base, VIRTIO_STATUS) | bits));
}

void virtio_reset_begin(struct virtio *v) { mmio_set8(v->common.base, VIRTIO_STATUS, 0); }

bool virtio_is_reset(struct virtio *v) {
    return mmio_get8(v->common.base, VIRTIO_STATUS) == 0;
}

static u64 features_offered(struct virtio *v) {
    u64 offered = 0;
    for (u32 half = 0; half < 2; half++) {
        mmio_set32(v->common.base, VIRTIO_DEVICE_FEATURE_SELECT, half);
        offered |= (u64)mmio_get32(v->common.base, VIRTIO_DEVICE_FEATURE) << (32 * half);
    }
    return offered;
}

// 3.1.1, steps 1 to 6.
status_t virtio_negotiate(struct virtio *v, u64 wanted) {
    const u64 until_ns = v->env->now_ns() + VIRTIO_RESET_NS;
    virtio_reset_begin(v);
    while (!virtio_is_reset(v))
        if (v->env->now_ns() >= until_ns) return E_TIMEDOUT;
    virtio_status_add(v, VIRTIO_ACKNOWLEDGE);
    virtio_status_add(v, VIRTIO_DRIVER);
    v->features = features_offered(v) & (wanted | VIRTIO_F_VERSION_1);
    if (!(v->features & VIRTIO_F_VERSION_1)) return E_OPNOTSUPP;
    for (u32 half = 0; half < 2; half++) {
        mmio_set32(v->common.base, VIRTIO_DRIVER_FEATURE_SELECT, half);
        mmio_set32(v->common.base, VIRTIO_DRIVER_FEATURE, (u32)(v->features >> (32 * half)));
    }
    virtio_status_add(v, VIRTIO_FEATURES_OK);
    const u8 status = mmio_get8(v->common.base, VIRTIO_STATUS);
    return status & VIRTIO_FEATURES_OK ? S_OK : E_OPNOTSUPP;
}

static void set64(struct virtio *v, u32 offset, paddr_t pa) {
    mmio_set32(v->common.base, offset, (u32)pa.v);
    mmio_set32(v->common.base, offset + 4, (u32)(pa.v >> 32));
}

// 4.1.5.1.3. One page each for the rings is enough for VIRTIO_QUEUE_MAX.
status_t virtio_queue_make(struct virtio *v) {
    mmio_set16(v->common.base, VIRTIO_QUEUE_SELECT, 0);
    u32 size = mmio_get16(v->common.base, VIRTIO_QUEUE_SIZE);
    if (size == 0 || (size & (size - 1)) != 0) return E_NODEV;   // 2.6: a power of two
    size = MIN(size, VIRTIO_QUEUE_MAX);
    paddr_t desc, avail, used;
    v->desc = v->env->dma_alloc(size * sizeof *v->desc, &desc);
    v->avail = v->env->dma_alloc(sizeof *v->avail + (u64)size * 2 + 2, &avail);
    v->used = v->env->dma_alloc(sizeof *v->used + size * sizeof(struct virtq_used_entry) + 2,
                                &used);
    if (!v->desc || !v->avail || !v->used) return E_NOMEM;
    const u32 notify_at = mmio_get16(v->common.base, VIRTIO_QUEUE_NOTIFY_OFF);
    const u64 offset = (u64)notify_at * v->notify_multiplier;
    if (offset + 2 > v->notify.len_bytes) return E_NODEV;
    v->notify_offset = (u32)offset;
    v->queue_size = size;
    ring_init(&v->avail_ring, size);
    ring_init(&v->used_ring, size);
    mmio_set16(v->common.base, VIRTIO_QUEUE_SIZE, (u16)size);
    set64(v, VIRTIO_QUEUE_DESC, desc);
    set64(v, VIRTIO_QUEUE_DRIVER, avail);
    set64(v, VIRTIO_QUEUE_DEVICE, used);
    mmio_set16(v->common.base, VIRTIO_QUEUE_ENABLE, 1);
    return S_OK;
}

// 4.1.5.1.2: one vector for the queue, none for changes of the configuration, read back, as
// the device may have run out of them.
status_t virtio_irq_attach(struct virtio *v, void (*handler)(void *arg), void *arg) {
    if (v->env->irq_attach_msix(v->bdf, handler, arg) != S_OK)
        return v->env->irq_attach(v->bdf, handler, arg);
    v->msix = true;
    mmio_set16(v->common.base, VIRTIO_MSIX_CONFIG, VIRTIO_NO_VECTOR);
    mmio_set16(v->common.base, VIRTIO_QUEUE_SELECT, 0);
    mmio_set16(v->common.base, VIRTIO_QUEUE_MSIX_VECTOR, 0);
    return mmio_get16(v->common.base, VIRTIO_QUEUE_MSIX_VECTOR) == 0 ? S_OK : E_NOBUFS;
}

// Puts a chain of descriptors into the available ring; virtio_notify shows it. 2.6.13.
void virtio_offer(struct virtio *v, u16 head) {
    v->avail->ring[ring_tail_index(&v->avail_ring)] = head;
    ring_produce(&v->avail_ring);
    dma_order_writes();
    v->avail->index = (u16)v->avail_ring.tail;
}

void virtio_notify(struct virtio *v) {
    dma_to_device();
    mmio_set16(v->notify.base, v->notify_offset, 0);
}

// 2.6.14. More used entries than chains are out is nonsense.
bool virtio_take(struct virtio *v, u32 *head, status_t *status) {
    *status = S_OK;
    const u16 fresh = (u16)(v->used->index - (u16)v->used_ring.head);
    if (fresh == 0) return false;
    dma_from_device();
    if (fresh > ring_count(&v->avail_ring)) {
        *status = E_PROTO;
        return false;
    }
    *head = v->used->ring[ring_tail_index(&v->used_ring)].id;
    ring_produce(&v->used_ring);
    ring_consume(&v->used_ring);
    ring_consume(&v->avail_ring);
    return true;
}
