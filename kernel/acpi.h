// The static ACPI tables that boot needs: MADT (CPUs, I/O APICs, ISA overrides).
#pragma once

#include "base/status.h"
#include "base/types.h"

#define ACPI_CPUS_MAX 64
#define ACPI_IOAPICS_MAX 8
#define ACPI_OVERRIDES_MAX 16

struct acpi_ioapic { u64 pa; u32 gsi_base; };
struct acpi_override { u8 isa_irq; u32 gsi; bool active_low, level; };
struct acpi_info {
    u32 cpu_apic_id[ACPI_CPUS_MAX];
    u32 cpu_count, cpus_dropped;
    struct acpi_ioapic ioapic[ACPI_IOAPICS_MAX];
    u32 ioapic_count;
    struct acpi_override override[ACPI_OVERRIDES_MAX];
    u32 override_count;
    u64 lapic_pa;                    // 0: not said
};

// Reads the tables from the root pointer that the loader copied.
//   map: memory at a physical address, or NULL
// E_NODEV: no root pointer, no MADT, or a table with a wrong checksum; *info is empty.
status_t acpi_parse(const u8 *rsdp, u32 rsdp_bytes,
                    const void *(*map)(paddr_t pa, u64 len_bytes), struct acpi_info *info);
