// Routes device interrupts to vectors of CPU 0: MSI-X, MSI, or I/O APIC lines by MADT's overrides.
// PCI lines are level and may be shared; each handler masks its own device. Set up at boot
// and driver start on CPU 0; no lock. Spec: 82093AA data sheet; SDM Vol. 3A 11.11 (MSI).
#include "kernel/irq.h"

#include "drivers/pci/pci.h"
#include "kernel/klog.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/mmio.h"
#include "mm/kmap.h"

enum ioapic_reg {
    IOAPIC_SELECT = 0, IOAPIC_WINDOW = 0x10, IOAPIC_VERSION = 1, IOAPIC_TABLE = 0x10,
};
#define RTE_ACTIVE_LOW (1u << 13)
#define RTE_LEVEL (1u << 15)
#define RTE_MASKED (1u << 16)
#define IOAPIC_BYTES 32u
#define MSI_ADDRESS 0xfee00000u
#define MSI_APIC_ID_MAX 255u         // 8 bits of destination; more needs remapping
#define GSI_MAX 256u
#define SHARERS_MAX 4u
#define ISA_IRQS 16u
#define PCI_INTERRUPT 0x3cu          // line, pin

struct ioapic { volatile void *mmio; u32 gsi_base, count; };
struct line {                        // an I/O APIC input in use
    u32 vector;                      // 0: none yet
    u32 sharers;
    struct { void (*handler)(void *arg); void *arg; } sharer[SHARERS_MAX];
};

static struct ioapic ioapics[ACPI_IOAPICS_MAX];
static u32 ioapic_count;
static struct acpi_override overrides[ACPI_OVERRIDES_MAX];
static u32 override_count;
static struct line lines[GSI_MAX];

static u32 ioapic_get(const struct ioapic *a, u32 reg) {
    mmio_set32(a->mmio, IOAPIC_SELECT, reg);
    return mmio_get32(a->mmio, IOAPIC_WINDOW);
}

static void ioapic_set(const struct ioapic *a, u32 reg, u32 value) {
    mmio_set32(a->mmio, IOAPIC_SELECT, reg);
    mmio_set32(a->mmio, IOAPIC_WINDOW, value);
}

// Maps the I/O APICs and masks all their lines. Boot.
void irq_init(const struct acpi_info *acpi) {
    for (u32 i = 0; i < acpi->ioapic_count; i++) {
        struct ioapic *a = &ioapics[ioapic_count];
        a->mmio = mmio_map(paddr(acpi->ioapic[i].pa), IOAPIC_BYTES);
        if (!a->mmio) continue;
        a->gsi_base = acpi->ioapic[i].gsi_base;
        a->count = (ioapic_get(a, IOAPIC_VERSION) >> 16 & 0xff) + 1;
        for (u32 n = 0; n < a->count; n++) ioapic_set(a, IOAPIC_TABLE + 2 * n, RTE_MASKED);
        ioapic_count++;
    }
    override_count = acpi->override_count;
    for (u32 i = 0; i < override_count; i++) overrides[i] = acpi->override[i];
}

static void line_interrupt(void *arg) {
    const struct line *l = arg;
    for (u32 i = 0; i < l->sharers; i++) l->sharer[i].handler(l->sharer[i].arg);
}

static const struct ioapic *ioapic_of(u32 gsi) {
    for (u32 i = 0; i < ioapic_count; i++)
        if (gsi >= ioapics[i].gsi_base && gsi - ioapics[i].gsi_base < ioapics[i].count)
            return &ioapics[i];
    return NULL;
}

// Adds a handler to a line and opens it.
static status_t attach_line(u32 gsi, u32 rte_flags, void (*handler)(void *), void *arg,
                            u32 edge_bits) {
    const struct ioapic *a = ioapic_of(gsi);
    if (!a || gsi >= GSI_MAX) return E_NODEV;
    struct line *l = &lines[gsi];
    if (l->sharers == SHARERS_MAX) return E_NOBUFS;
    if (!l->vector) {
        const status_t status = irq_vector_alloc(line_interrupt, l, edge_bits, &l->vector);
        if (status) return status;
    }
    l->sharer[l->sharers].handler = handler;
    l->sharer[l->sharers].arg = arg;
    l->sharers++;
    const u32 n = gsi - a->gsi_base;
    ioapic_set(a, IOAPIC_TABLE + 2 * n + 1, cpus[0].apic_id << 24);
    ioapic_set(a, IOAPIC_TABLE + 2 * n, rte_flags | l->vector);
    return S_OK;
}

// Routes an ISA line, by the MADT's override where there is one.
//   edge_bits: work to mark after the handler; see irq_vector_alloc
// E_NODEV: no I/O APIC has the line. E_NOBUFS: no vector, or too many sharers.
status_t irq_attach_isa(u8 isa_irq, void (*handler)(void *arg), void *arg, u32 edge_bits) {
    u32 gsi = isa_irq, flags = 0;
    for (u32 i = 0; i < override_count; i++) {
        if (overrides[i].isa_irq != isa_irq) continue;
        gsi = overrides[i].gsi;
        flags = (overrides[i].active_low ? RTE_ACTIVE_LOW : 0) |
                (overrides[i].level ? RTE_LEVEL : 0);
    }
    return attach_line(gsi, flags, handler, arg, edge_bits);
}

static u64 msi_address(void) { return MSI_ADDRESS | (u64)cpus[0].apic_id << 12; }

static void say(u32 bdf, const char *how, u32 vector) {
    klog("irq: %02x:%02x.%u: %s, vector %u", bdf >> 8, bdf >> 3 & 31, bdf & 7, how, vector);
}

static status_t attach_msi(u32 bdf, void (*handler)(void *), void *arg, u32 edge_bits) {
    if (!pci_cap_find(&pci_cfg_ports, bdf, PCI_CAP_MSI) || cpus[0].apic_id > MSI_APIC_ID_MAX)
        return E_NODEV;
    u32 vector;
    status_t status = irq_vector_alloc(handler, arg, edge_bits, &vector);
    if (status) return status;
    status = pci_msi_enable(&pci_cfg_ports, bdf, msi_address(), (u16)vector);
    if (status == S_OK) say(bdf, "MSI", vector);
    return status;
}

// See irq.h. Fills the table by the CPU's own accesses, then turns it on.
// Spec: PCI 3.0 6.8.2; SDM Vol. 3A 11.11.
status_t irq_attach_msix(u32 bdf, void (*handler)(void *arg), void *arg, u32 edge_bits) {
    struct pci_msix msix;
    u32 vector;
    if (cpus[0].apic_id > MSI_APIC_ID_MAX) return E_NODEV;
    status_t status = pci_msix_find(&pci_cfg_ports, bdf, &msix);
    if (status) return status;
    volatile void *table = mmio_map(msix.table, (u64)msix.entries * PCI_MSIX_ENTRY_BYTES);
    if (!table) return E_NOMEM;
    status = irq_vector_alloc(handler, arg, edge_bits, &vector);
    if (status) return status;
    pci_enable(&pci_cfg_ports, bdf);
    for (u32 i = 1; i < msix.entries; i++)
        mmio_set32(table, i * PCI_MSIX_ENTRY_BYTES + PCI_MSIX_CONTROL, PCI_MSIX_MASKED);
    mmio_set32(table, PCI_MSIX_ADDRESS, (u32)msi_address());
    mmio_set32(table, PCI_MSIX_ADDRESS_HIGH, 0);
    mmio_set32(table, PCI_MSIX_DATA, vector);
    mmio_set32(table, PCI_MSIX_CONTROL, 0);
    pci_msix_enable(&pci_cfg_ports, bdf, &msix);
    say(bdf, "MSI-X", vector);
    return S_OK;
}

// Routes a PCI function's interrupt. The line register holds an ISA line as the firmware
// routed it; it is looked up in the overrides, and is level, active low where none says
// otherwise.
// E_NODEV: neither MSI nor a routed line. E_NOBUFS: no vector left.
status_t irq_attach_pci(u32 bdf, void (*handler)(void *arg), void *arg, u32 edge_bits) {
    if (attach_msi(bdf, handler, arg, edge_bits) == S_OK) return S_OK;
    const u32 word = pci_cfg_ports.read(bdf, PCI_INTERRUPT);
    const u32 line = word & 0xff;
    if ((word >> 8 & 0xff) == 0 || line == 0 || line == 0xff) return E_NODEV;
    for (u32 i = 0; i < override_count; i++) {
        if (overrides[i].isa_irq != line) continue;
        const u32 flags = (overrides[i].active_low ? RTE_ACTIVE_LOW : 0) | RTE_LEVEL;
        return attach_line(overrides[i].gsi, flags, handler, arg, edge_bits);
    }
    return attach_line(line, RTE_ACTIVE_LOW | RTE_LEVEL, handler, arg, edge_bits);
}
