// Finds PCI functions and reads what drivers need of their configuration space.
// Called at boot by kernel/net.c and by whoever routes interrupts; one CPU, no lock.
// All loops end: 256 buses once each, 48 capabilities, 6 BARs.
// Spec: PCI Local Bus 3.0 6.1 (header), 6.2.5 (BARs), 6.7 (list), 6.8.1 (MSI), 6.8.2 (MSI-X).
#include "drivers/pci/pci.h"

#include "base/bits.h"

enum pci_reg {
    PCI_ID = 0x00,
    PCI_COMMAND = 0x04,              // status in the upper half
    PCI_CLASS = 0x08,
    PCI_HEADER = 0x0c,               // header type in byte 2
    PCI_BAR0 = 0x10,
    PCI_BUSES = 0x18,                // bridges: primary, secondary, subordinate
    PCI_CAP_PTR = 0x34,
    PCI_INTERRUPT = 0x3c,
};
#define PCI_COMMAND_IO BIT(0)
#define PCI_COMMAND_MEMORY BIT(1)
#define PCI_COMMAND_MASTER BIT(2)
#define PCI_COMMAND_INTX_OFF BIT(10)
#define PCI_STATUS_CAP_LIST BIT(16 + 4)
#define PCI_STATUS_BITS GENMASK(31, 16)      // write 1 clears: written as 0
#define PCI_HEADER_TYPE GENMASK(22, 16)
#define PCI_HEADER_MULTI BIT(23)
#define PCI_BAR_IS_IO BIT(0)
#define PCI_BAR_TYPE GENMASK(2, 1)
#define PCI_BAR_TYPE_64 2u
#define PCI_CAPS_MAX 48                      // 192 bytes of 4 at the least
#define PCI_MSI_ENABLE BIT(16)
#define PCI_MSI_MULTIPLE GENMASK(22, 20)
#define PCI_MSI_64 BIT(23)
#define PCI_MSIX_SIZE GENMASK(26, 16)        // entries less one
#define PCI_MSIX_FUNCTION_MASK BIT(30)
#define PCI_MSIX_ENABLE BIT(31)
#define PCI_MSIX_TABLE_BAR GENMASK(2, 0)

struct scan {
    const struct pci_cfg *cfg;
    bool (*each)(void *ctx, const struct pci_dev *dev);
    void *ctx;
    u32 bus_seen[8], bus_todo[8];            // a bit a bus
};

static bool bit_test(const u32 *map, u32 n) { return (map[n / 32] >> (n % 32)) & 1; }
static void bit_set(u32 *map, u32 n) { map[n / 32] |= 1u << (n % 32); }

// One function. Returns true where `each` has seen enough.
static bool scan_function(struct scan *s, u32 bdf, u32 id) {
    u32 class = s->cfg->read(bdf, PCI_CLASS);
    u32 header = (u32)FIELD_GET(PCI_HEADER_TYPE, s->cfg->read(bdf, PCI_HEADER));
    if (header == 1) {
        u32 secondary = (s->cfg->read(bdf, PCI_BUSES) >> 8) & 0xff;
        if (secondary != 0) bit_set(s->bus_todo, secondary);
        return false;
    }
    if (header != 0) return false;
    u32 irq = s->cfg->read(bdf, PCI_INTERRUPT);
    struct pci_dev dev = {
        .bdf = bdf, .vendor = (u16)id, .device = (u16)(id >> 16),
        .class_code = (u8)(class >> 24), .subclass = (u8)(class >> 16),
        .prog_if = (u8)(class >> 8), .revision = (u8)class,
        .irq_line = (u8)irq, .irq_pin = (u8)(irq >> 8),
    };
    return s->each(s->ctx, &dev);
}

static bool scan_bus(struct scan *s, u32 bus) {
    for (u32 dev = 0; dev < 32; dev++) {
        for (u32 fn = 0; fn < 8; fn++) {
            u32 bdf = PCI_BDF(bus, dev, fn);
            u32 id = s->cfg->read(bdf, PCI_ID);
            if ((id & 0xffff) == 0xffff) {
                if (fn == 0) break;
                continue;
            }
            if (scan_function(s, bdf, id)) return true;
            if (fn == 0 && !(s->cfg->read(bdf, PCI_HEADER) & PCI_HEADER_MULTI)) break;
        }
    }
    return false;
}

// Walks bus 0 and every bus behind a bridge that the firmware numbered.
// each: runs once a function with header type 0; returning true ends the walk.
// Locks: none; boot. Spec: PCI 3.0 6.1, PCI-PCI Bridge 1.2 3.2.5.
void pci_scan(const struct pci_cfg *cfg, bool (*each)(void *ctx, const struct pci_dev *dev),
              void *ctx) {
    struct scan s = {.cfg = cfg, .each = each, .ctx = ctx, .bus_todo = {1}};
    bool more = true;
    while (more) {                           // each round marks at least one bus seen
        more = false;
        for (u32 bus = 0; bus < 256; bus++) {
            if (!bit_test(s.bus_todo, bus) || bit_test(s.bus_seen, bus)) continue;
            bit_set(s.bus_seen, bus);
            more = true;
            if (scan_bus(&s, bus)) return;
        }
    }
}

// Reads where BAR `index` (0..5) lies and how long it is, with decoding off meanwhile.
// Returns E_INVAL for a bad index, E_NODEV where the BAR is not implemented.
// Spec: PCI 3.0 6.2.5.1.
status_t pci_bar_read(const struct pci_cfg *cfg, u32 bdf, u32 index, struct pci_bar *bar) {
    *bar = (struct pci_bar){0};
    if (index >= PCI_BAR_COUNT) return E_INVAL;
    u32 offset = PCI_BAR0 + 4 * index;
    u32 command = cfg->read(bdf, PCI_COMMAND) & (u32)~PCI_STATUS_BITS;
    cfg->write(bdf, PCI_COMMAND, command & (u32)~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
    u32 low = cfg->read(bdf, offset);
    cfg->write(bdf, offset, ~0u);
    u32 size_low = cfg->read(bdf, offset);
    cfg->write(bdf, offset, low);
    u32 high = 0, size_high = ~0u;
    bool is_io = low & PCI_BAR_IS_IO;
    bool is_64 = !is_io && FIELD_GET(PCI_BAR_TYPE, low) == PCI_BAR_TYPE_64 &&
                 index + 1 < PCI_BAR_COUNT;
    if (is_64) {
        high = cfg->read(bdf, offset + 4);
        cfg->write(bdf, offset + 4, ~0u);
        size_high = cfg->read(bdf, offset + 4);
        cfg->write(bdf, offset + 4, high);
    }
    cfg->write(bdf, PCI_COMMAND, command);
    if (size_low == 0 || size_low == ~0u) return E_NODEV;
    if (is_io) {
        bar->port = low & 0xfffc;
        bar->len_bytes = (~(size_low & 0xfffcu) + 1) & 0xffff;
        return S_OK;
    }
    bar->pa = paddr((u64)high << 32 | (low & ~0xfu));
    bar->len_bytes = ~((u64)size_high << 32 | (size_low & ~0xfu)) + 1;
    return S_OK;
}

// Turns on memory decoding and bus mastering. Spec: PCI 3.0 6.2.2.
void pci_enable(const struct pci_cfg *cfg, u32 bdf) {
    u32 command = cfg->read(bdf, PCI_COMMAND) & (u32)~PCI_STATUS_BITS;
    cfg->write(bdf, PCI_COMMAND, command | (u32)(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER));
}

// Turns bus mastering off: the last word to a device that does not stop. PCI 3.0 6.2.2.
void pci_master_off(const struct pci_cfg *cfg, u32 bdf) {
    u32 command = cfg->read(bdf, PCI_COMMAND) & (u32)~PCI_STATUS_BITS;
    cfg->write(bdf, PCI_COMMAND, command & (u32)~PCI_COMMAND_MASTER);
}

// Offset of the first capability with this id, or 0. A list that loops ends after
// PCI_CAPS_MAX steps. Spec: PCI 3.0 6.7.
u32 pci_cap_find(const struct pci_cfg *cfg, u32 bdf, u8 id) {
    return pci_cap_next(cfg, bdf, id, 0);
}

// The first capability with this id behind the one at offset `after`, or from the list's
// begin where that is 0. Returns its offset, or 0. Spec: PCI 3.0 6.7.
u32 pci_cap_next(const struct pci_cfg *cfg, u32 bdf, u8 id, u32 after) {
    if (!(cfg->read(bdf, PCI_COMMAND) & PCI_STATUS_CAP_LIST)) return 0;
    u32 at = after ? cfg->read(bdf, after) >> 8 & 0xfc : cfg->read(bdf, PCI_CAP_PTR) & 0xfc;
    for (u32 i = 0; i < PCI_CAPS_MAX && at >= 0x40; i++) {
        u32 word = cfg->read(bdf, at);
        if ((word & 0xff) == id) return at;
        at = (word >> 8) & 0xfc;
    }
    return 0;
}

// address, data: of the interrupt message (SDM Vol. 3A 11.11). One vector for all
// causes. Returns E_NODEV where the function has no MSI, or where the address needs
// 64 bits that it has not. Spec: PCI 3.0 6.8.1.
status_t pci_msi_enable(const struct pci_cfg *cfg, u32 bdf, u64 address, u16 data) {
    u32 at = pci_cap_find(cfg, bdf, PCI_CAP_MSI);
    if (at == 0) return E_NODEV;
    u32 control = cfg->read(bdf, at);
    bool is_64 = control & PCI_MSI_64;
    if (!is_64 && address >> 32) return E_NODEV;
    cfg->write(bdf, at + 4, (u32)address);
    if (is_64) cfg->write(bdf, at + 8, (u32)(address >> 32));
    u32 data_at = at + (is_64 ? 12 : 8);
    cfg->write(bdf, data_at, (cfg->read(bdf, data_at) & 0xffff0000u) | data);
    cfg->write(bdf, at, (control & (u32)~PCI_MSI_MULTIPLE) | (u32)PCI_MSI_ENABLE);
    u32 command = cfg->read(bdf, PCI_COMMAND) & (u32)~PCI_STATUS_BITS;
    cfg->write(bdf, PCI_COMMAND, command | (u32)PCI_COMMAND_INTX_OFF);
    return S_OK;
}

// Reads the capability and checks that the whole table lies in its BAR. Decoding goes off
// meanwhile (pci_bar_read), so this comes before the device is at work. PCI 3.0 6.8.2.4.
status_t pci_msix_find(const struct pci_cfg *cfg, u32 bdf, struct pci_msix *msix) {
    *msix = (struct pci_msix){.cap = pci_cap_find(cfg, bdf, PCI_CAP_MSIX)};
    if (msix->cap == 0) return E_NODEV;
    msix->entries = (u32)FIELD_GET(PCI_MSIX_SIZE, cfg->read(bdf, msix->cap)) + 1;
    const u32 word = cfg->read(bdf, msix->cap + 4);
    const u32 offset = word & (u32)~PCI_MSIX_TABLE_BAR;
    struct pci_bar bar;
    const status_t status = pci_bar_read(cfg, bdf, (u32)FIELD_GET(PCI_MSIX_TABLE_BAR, word), &bar);
    if (status != S_OK || bar.pa.v == 0 ||
        (u64)offset + msix->entries * PCI_MSIX_ENTRY_BYTES > bar.len_bytes)
        return E_NODEV;
    msix->table = paddr(bar.pa.v + offset);
    return S_OK;
}

// Spec: PCI 3.0 6.8.2.3.
void pci_msix_enable(const struct pci_cfg *cfg, u32 bdf, const struct pci_msix *msix) {
    const u32 control = cfg->read(bdf, msix->cap);
    cfg->write(bdf, msix->cap, (control & (u32)~PCI_MSIX_FUNCTION_MASK) | (u32)PCI_MSIX_ENABLE);
    const u32 command = cfg->read(bdf, PCI_COMMAND) & (u32)~PCI_STATUS_BITS;
    cfg->write(bdf, PCI_COMMAND, command | (u32)PCI_COMMAND_INTX_OFF);
}
