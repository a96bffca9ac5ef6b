// What a driver is given instead of the kernel: memory that the device can reach,
// an interrupt, a clock. So a driver includes no kernel header and can move into a
// server unchanged.
#pragma once

#include "base/status.h"
#include "base/types.h"

struct hw_env {
    // Physically contiguous, page-aligned, zeroed, never freed; NULL where there is
    // none. *pa is what the device sees.
    void *(*dma_alloc)(u64 len_bytes, paddr_t *pa);
    // Maps device registers uncached.
    volatile void *(*mmio_map)(paddr_t pa, u64 len_bytes);
    u64 (*now_ns)(void);
    void (*delay_us)(u32 us);
    // Runs `handler(arg)` in interrupt context for this PCI device (MSI where it has
    // it, else INTx). Returns E_NODEV where no line can be routed.
    status_t (*irq_attach)(u32 pci_bdf, void (*handler)(void *arg), void *arg);
    // Entry 0 of its MSI-X table, the only one in use: no line to share, nothing to mask or
    // acknowledge. Before the device is at work. E_NODEV: it has none (then irq_attach).
    status_t (*irq_attach_msix)(u32 pci_bdf, void (*handler)(void *arg), void *arg);
    void (*log)(const char *format, ...) __attribute__((format(printf, 1, 2)));
};
