// The Intel gigabit cards 8254x (QEMU: e1000) and 82574L (QEMU: e1000e).
// Start reading at e1000.c: e1000_open; e1000_regs.h has the registers.
#pragma once

#include "drivers/hw_env.h"
#include "drivers/netdev.h"
#include "drivers/pci/pci.h"

#define E1000_CARDS_MAX 4
#define E1000_MTU_MIN 1500u
#define E1000_MTU_MAX 9000u          // the 82574's own limit is a frame of 9018 bytes

struct e1000_config {
    const struct hw_env *env;
    const struct pci_cfg *cfg;
    u32 mtu;                         // bytes; 0: as large as the card allows
    // Runs in interrupt context after the card's interrupts have been masked.
    void (*on_irq)(void *ctx);
    void *on_irq_ctx;
};

bool e1000_supports(const struct pci_dev *dev);
// Resets the card and starts it. NULL: said why in the log.
struct netdev *e1000_open(const struct pci_dev *dev, const struct e1000_config *config);
// Stops receive, transmit and interrupts (panic, shutdown). Any context.
void e1000_stop(struct netdev *dev);
