// Interrupts of devices: I/O APIC lines and MSI, all delivered to CPU 0.
#pragma once

#include "base/status.h"
#include "base/types.h"
#include "kernel/acpi.h"

void irq_init(const struct acpi_info *acpi);         // boot: maps and masks the I/O APICs
// An ISA line (4 = COM1). edge_bits is marked after the handler has run.
status_t irq_attach_isa(u8 isa_irq, void (*handler)(void *arg), void *arg, u32 edge_bits);
// Entry 0 of a PCI function's MSI-X table; the others are masked. E_NODEV: no MSI-X.
status_t irq_attach_msix(u32 bdf, void (*handler)(void *arg), void *arg, u32 edge_bits);
// A PCI function: MSI where it has it, else its INTx line, shared where others use it.
status_t irq_attach_pci(u32 bdf, void (*handler)(void *arg), void *arg, u32 edge_bits);
