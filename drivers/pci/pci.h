// PCI configuration space: finding functions, their BARs and capabilities.
// The accessor is passed in, so all but pci_ports.c builds for the host.
// Spec: PCI Local Bus 3.0 ch. 6 (configuration space), 6.8 (MSI, MSI-X); PCI-PCI Bridge 1.2.
#pragma once

#include "base/status.h"
#include "base/types.h"

#define PCI_BDF(bus, dev, fn) ((u32)((bus) << 8 | (dev) << 3 | (fn)))
#define PCI_BAR_COUNT 6

// 32-bit accesses at an offset that is a multiple of 4; absent functions read ~0.
struct pci_cfg {
    u32 (*read)(u32 bdf, u32 offset);
    void (*write)(u32 bdf, u32 offset, u32 value);
};
extern const struct pci_cfg pci_cfg_ports;   // mechanism #1, ports 0xcf8 and 0xcfc

struct pci_bar {
    paddr_t pa;          // 0: not there, or I/O ports
    u64 len_bytes;
    u32 port;            // I/O BARs: first port
};

struct pci_dev {
    u32 bdf;
    u16 vendor, device;
    u8 class_code, subclass, prog_if, revision;
    u8 irq_line, irq_pin;            // line: what the firmware routed; pin: 1 = INTA
};

// Calls `each` for every function that is there; stops where it returns true.
void pci_scan(const struct pci_cfg *cfg, bool (*each)(void *ctx, const struct pci_dev *dev),
              void *ctx);
// Size and address of BAR `index`. E_NODEV: not implemented.
status_t pci_bar_read(const struct pci_cfg *cfg, u32 bdf, u32 index, struct pci_bar *bar);
// Lets the device answer memory accesses and master the bus.
void pci_enable(const struct pci_cfg *cfg, u32 bdf);
// The device may no longer read or write memory.
void pci_master_off(const struct pci_cfg *cfg, u32 bdf);
// Offset of capability `id` (PCI_CAP_*), 0: none.
u32 pci_cap_find(const struct pci_cfg *cfg, u32 bdf, u8 id);
// The next one with that id after the one at `after`; 0 begins.
u32 pci_cap_next(const struct pci_cfg *cfg, u32 bdf, u8 id, u32 after);
// Sends one message for all causes of the function, and turns INTx off. E_NODEV: no MSI.
status_t pci_msi_enable(const struct pci_cfg *cfg, u32 bdf, u64 address, u16 data);

struct pci_msix { u32 cap, entries; paddr_t table; };
// Where the table of the function's MSI-X lies. E_NODEV: none that can be used.
status_t pci_msix_find(const struct pci_cfg *cfg, u32 bdf, struct pci_msix *msix);
// Messages on, INTx off. The table has been filled; its other entries are masked.
void pci_msix_enable(const struct pci_cfg *cfg, u32 bdf, const struct pci_msix *msix);
enum pci_msix_entry {                // 6.8.2.6: one is four words
    PCI_MSIX_ADDRESS = 0, PCI_MSIX_ADDRESS_HIGH = 4, PCI_MSIX_DATA = 8, PCI_MSIX_CONTROL = 12,
    PCI_MSIX_ENTRY_BYTES = 16,
};
#define PCI_MSIX_MASKED 1u

#define PCI_CAP_MSI 0x05
#define PCI_CAP_VENDOR 0x09
#define PCI_CAP_EXPRESS 0x10
#define PCI_CAP_MSIX 0x11
