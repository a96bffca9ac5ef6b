// What virtio_pci.c (transport), and virtio_blk.c (start, requests) share.
// Lock: the owner's (blkdev.h); the interrupt handler reads the ISR and sets the flag of
// the available ring.
#pragma once

#include "base/ring.h"
#include "drivers/blkdev.h"
#include "drivers/virtio/virtio_regs.h"
#include "kernel/x86/dma.h"
#include "kernel/x86/mmio.h"

#define VIRTIO_QUEUE_MAX 256u        // descriptors
#define VIRTIO_RESET_NS (1ull * NS_PER_S)

struct virtio_region { volatile void *base; u32 len_bytes; };

// A device of the modern transport with one split queue.
struct virtio {
    const struct hw_env *env;
    const struct pci_cfg *cfg;
    u32 bdf;
    struct virtio_region common, notify, isr, device;
    u32 notify_multiplier, notify_offset;
    bool msix;                       // then the ISR is not read
    u64 features;                    // negotiated
    u32 queue_size;
    struct virtq_desc *desc;
    struct virtq_avail *avail;
    volatile struct virtq_used *used;
    struct ring avail_ring;          // we produce; heads that came back consume
    struct ring used_ring;           // entries that we took
};

// Finds and maps the regions. E_NODEV: no modern interface; E_NOMEM.
status_t virtio_open(struct virtio *v, const struct pci_dev *dev);
// Reset, and negotiation: what of `wanted` is offered, VERSION_1 with it or E_OPNOTSUPP.
status_t virtio_negotiate(struct virtio *v, u64 wanted);
// Queue 0, with as many descriptors as the device has and we take. E_NOMEM, E_NODEV.
status_t virtio_queue_make(struct virtio *v);
// Its interrupt: MSI-X where there is one. After the queue is made. E_NOBUFS: no vector.
status_t virtio_irq_attach(struct virtio *v, void (*handler)(void *arg), void *arg);
void virtio_status_add(struct virtio *v, u8 bits);
// Asks for a reset; done when virtio_is_reset.
void virtio_reset_begin(struct virtio *v);
bool virtio_is_reset(struct virtio *v);
void virtio_offer(struct virtio *v, u16 head);
void virtio_notify(struct virtio *v);
// The next head that came back; false: none. E_PROTO in *status: the ring makes no sense.
bool virtio_take(struct virtio *v, u32 *head, status_t *status);
