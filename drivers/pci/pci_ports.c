// Configuration access by mechanism #1: the address into port 0xcf8, the data through
// port 0xcfc. Two steps, so one CPU at a time: boot and interrupt set-up only.
// Spec: PCI Local Bus 3.0 section 3.2.2.3.2.
#include "drivers/pci/pci.h"
#include "kernel/x86/port.h"

#define PCI_PORT_ADDRESS 0xcf8
#define PCI_PORT_DATA 0xcfc

static u32 cfg_address(u32 bdf, u32 offset) {
    return 0x80000000u | (bdf & 0xffff) << 8 | (offset & 0xfc);
}

static u32 cfg_ports_read(u32 bdf, u32 offset) {
    port_out32(PCI_PORT_ADDRESS, cfg_address(bdf, offset));
    return port_in32(PCI_PORT_DATA);
}

static void cfg_ports_write(u32 bdf, u32 offset, u32 value) {
    port_out32(PCI_PORT_ADDRESS, cfg_address(bdf, offset));
    port_out32(PCI_PORT_DATA, value);
}

const struct pci_cfg pci_cfg_ports = {.read = cfg_ports_read, .write = cfg_ports_write};
