// The model card: registers with side effects, rings in the driver's own memory.
// Spec: 8254x 3.2, 3.3, 13; written from the manual, not from the driver.
#include "tests/unit/e1000_model.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/e1000/e1000_regs.h"
#include "kernel/x86/mmio.h"

struct model model;
static void *allocs[1024];
static u32 alloc_count;

#define REG(r) model.reg[(r) / 4]

static void irq_update(void) {
    if ((model.icr & model.ims) != 0 && model.irq_handler != NULL) {
        model.irqs++;
        model.irq_handler(model.irq_arg);
        if ((model.icr & model.ims) != 0) abort();     // the handler must mask
    }
}
static void raise_cause(u32 cause) {
    model.icr |= cause;
    irq_update();
}

u32 mmio_get32(volatile void *base, u32 offset) {
    if (base != model.reg) abort();
    switch (offset) {
    case E1000_ICR: {
        u32 v = model.icr;
        model.icr = 0;
        return v;
    }
    case E1000_STATUS: return model.link ? (u32)E1000_STATUS_LU : 0;
    case E1000_EECD: return (u32)E1000_EECD_AUTO_RD;
    case E1000_IMS: return model.ims;
    default:
        if (offset >= 0x4000 && offset < 0x4100) {      // statistics: read clears
            u32 v = REG(offset);
            REG(offset) = 0;
            return v;
        }
        return REG(offset);
    }
}

void model_tx_run(void) {
    struct e1000_tx_desc *ring = (void *)(REG(E1000_TDBAL) | (u64)REG(E1000_TDBAH) << 32);
    u32 count = REG(E1000_TDLEN) / 16;
    u32 len = 0;
    u8 *out = model.sent[model.sent_count % MODEL_SENT_MAX];
    while (REG(E1000_TDH) != REG(E1000_TDT)) {
        struct e1000_tx_desc *d = &ring[REG(E1000_TDH)];
        for (u32 i = 0; i < d->length; i++, len++)
            if (len < 256) out[len] = ((const u8 *)d->buffer_pa)[i];   // asan checks these
        if (d->command & E1000_TXD_EOP) {
            if (!(d->command & E1000_TXD_IFCS)) abort();
            model.sent_len[model.sent_count++ % MODEL_SENT_MAX] = len;
            out = model.sent[model.sent_count % MODEL_SENT_MAX];
            len = 0;
        }
        if (d->command & E1000_TXD_RS) d->status |= E1000_TXD_DD;
        REG(E1000_TDH) = (REG(E1000_TDH) + 1) % count;
    }
    if (len != 0) abort();                              // a frame without an end
    raise_cause((u32)E1000_INT_TXDW);
}

void mmio_set32(volatile void *base, u32 offset, u32 value) {
    if (base != model.reg) abort();
    switch (offset) {
    case E1000_IMS: model.ims |= value; irq_update(); return;
    case E1000_IMC: model.ims &= ~value; return;
    case E1000_CTRL:
        if (value & E1000_CTRL_RST && !model.reset_hangs) value &= (u32)~E1000_CTRL_RST;
        REG(offset) = value;
        return;
    case E1000_TDT:
        REG(offset) = value;
        model.doorbells++;
        if (REG(E1000_TCTL) & E1000_TCTL_EN && !model.tx_stalled) model_tx_run();
        return;
    case E1000_RDT: model.rdt_writes++; break;
    default: break;
    }
    REG(offset) = value;
}

static u32 rx_buffer_bytes(void) {
    u32 size = 2048u >> FIELD_GET(E1000_RCTL_BSIZE, REG(E1000_RCTL));
    return REG(E1000_RCTL) & E1000_RCTL_BSEX ? size * 16 : size;
}

bool model_rx(const u8 *frame, u32 len_bytes, u8 errors) {
    if (!(REG(E1000_RCTL) & E1000_RCTL_EN)) return false;
    struct e1000_rx_desc *ring = (void *)(REG(E1000_RDBAL) | (u64)REG(E1000_RDBAH) << 32);
    u32 count = REG(E1000_RDLEN) / 16, size = rx_buffer_bytes(), done = 0;
    do {
        if (REG(E1000_RDH) == REG(E1000_RDT)) {
            REG(E1000_MPC)++;
            raise_cause((u32)E1000_INT_RXO);
            return false;
        }
        struct e1000_rx_desc *d = &ring[REG(E1000_RDH)];
        u32 part = MIN(len_bytes - done, size);
        memcpy((void *)d->buffer_pa, frame + done, part);
        done += part;
        d->length = (u16)part;
        d->errors = errors;
        d->status = E1000_RXD_DD | (done == len_bytes ? E1000_RXD_EOP : 0);
        REG(E1000_RDH) = (REG(E1000_RDH) + 1) % count;
    } while (done < len_bytes);
    raise_cause((u32)E1000_INT_RXT0);
    return true;
}

void model_set_link(bool up) {
    model.link = up;
    raise_cause((u32)E1000_INT_LSC);
}

static void *env_dma_alloc(u64 len_bytes, paddr_t *pa) {
    if (model.dma_left == 0) return NULL;
    model.dma_left--;
    void *p = aligned_alloc(4096, ALIGN_UP(len_bytes, 4096ull));
    if (p == NULL || alloc_count == ARRAY_COUNT(allocs)) abort();
    memset(p, 0, len_bytes);
    allocs[alloc_count++] = p;
    *pa = paddr((u64)p);
    return p;
}
static volatile void *env_mmio_map(paddr_t pa, u64 len_bytes) {
    return pa.v == 0xfebc0000 && len_bytes <= sizeof model.reg ? model.reg : NULL;
}
static u64 env_now(void) { return model.now_ns += 1000; }
static void env_delay(u32 us) { model.now_ns += us * 1000ull; }
static status_t env_irq(u32 bdf, void (*handler)(void *arg), void *arg) {
    if (bdf != PCI_BDF(0, 3, 0)) abort();
    model.irq_handler = handler;
    model.irq_arg = arg;
    return S_OK;
}
__attribute__((format(printf, 1, 2))) static void env_log(const char *format, ...) {
    (void)format;
    model.log_lines++;
}
const struct hw_env model_env = {env_dma_alloc, env_mmio_map, env_now, env_delay, env_irq,
                                 NULL, env_log};

static u32 bar0, command;
static u32 cfg_read(u32 bdf, u32 offset) {
    (void)bdf;
    return offset == 0x10 ? bar0 : offset == 4 ? command : 0;
}
static void cfg_write(u32 bdf, u32 offset, u32 value) {
    (void)bdf;
    if (offset == 0x10) bar0 = value & 0xfffe0000;
    if (offset == 4) command = value;
}
const struct pci_cfg model_cfg = {cfg_read, cfg_write};

void model_free(void) {
    while (alloc_count > 0) free(allocs[--alloc_count]);
}

void model_reset(void) {
    model_free();
    memset(&model, 0, sizeof model);
    model.link = true;
    model.dma_left = 1000;
    bar0 = 0xfebc0000;
    command = 0;
    REG(E1000_RAL0) = 0x49005452;                       // 52:54:00:49:53:01
    REG(E1000_RAH0) = 0x0153;
}

struct pci_dev model_pci(u16 device_id) {
    return (struct pci_dev){.bdf = PCI_BDF(0, 3, 0), .vendor = 0x8086, .device = device_id};
}
