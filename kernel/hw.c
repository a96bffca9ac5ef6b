// kernel_hw_env: what each driver is given. Called by drivers at their start; no lock of
// its own.
#include "kernel/hw.h"

#include <stdarg.h>

#include "base/bits.h"
#include "kernel/irq.h"
#include "kernel/klog.h"
#include "kernel/time.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "mm/kmap.h"

#define LOG_LINE_MAX 256

// Contiguous zeroed frames that are never freed; any card here reaches all of memory.
static void *dma_alloc(u64 len_bytes, paddr_t *pa) {
    *pa = frame_alloc_contiguous(ALIGN_UP(len_bytes, PAGE_SIZE) >> PAGE_SHIFT, FRAME_DMA);
    return pa->v ? phys_to_virt(*pa) : NULL;
}

// The handler masks its card; netpoll runs at the edge after it.
static status_t attach(u32 pci_bdf, void (*handler)(void *arg), void *arg) {
    return irq_attach_pci(pci_bdf, handler, arg, EDGE_NETPOLL);
}

static status_t attach_msix(u32 pci_bdf, void (*handler)(void *arg), void *arg) {
    return irq_attach_msix(pci_bdf, handler, arg, EDGE_NETPOLL);
}

static void log_line(const char *format, ...) {
    char line[LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    kvsnprintf(line, sizeof line, format, args);
    va_end(args);
    klog("%s", line);
}

const struct hw_env kernel_hw_env = {
    .dma_alloc = dma_alloc,
    .mmio_map = mmio_map,
    .now_ns = time_now_ns,
    .delay_us = time_delay_us,
    .irq_attach = attach,
    .irq_attach_msix = attach_msix,
    .log = log_line,
};
