// Stopping this node for a bug of ours (base/assert.h has panic itself).
#pragma once

#include "base/types.h"

struct user_regs;

// Called first by a panic, once, with no lock: the cluster writes DEAD into its
// heartbeat word and stops the card.
extern void (*panic_hook)(const char *cause);
// A panic whose registers are those of a trap, not of the caller.
_Noreturn void panic_trap(const struct user_regs *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool panic_running(void);
_Noreturn void panic_stop_self(void);  // by the other CPUs' NMI handler
