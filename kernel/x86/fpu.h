// The vector registers of a process and their image in its descriptor.
#pragma once

#include "kernel/proc_desc.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/msr.h"

#define FXSAVE_BYTES 512u            // of an image without XSAVE

void fpu_reset(struct proc_desc *d);                 // a fresh program's state
void fpu_save_legacy(struct proc_desc *d);           // on a CPU without XSAVE, as the next
void fpu_load_legacy(const struct proc_desc *d);
void fpu_sanitize(struct proc_desc *d);              // after bytes came from a user
void fpu_arrived(struct proc_desc *d);               // after it came from another node

// Registers to descriptor: what the process's XCR0 has, which is the CPU's while it is on it.
static inline void fpu_save(struct proc_desc *d) {
    if (!cpu_features.xsave) fpu_save_legacy(d);
    else __asm__ volatile("xsave64 (%0)" : : "r"(d->xsave), "a"(~0u), "d"(~0u) : "memory");
}

// Descriptor to registers. A process that started where there was less keeps that XCR0 here: an
// instruction of state that it could not take back there is undefined for it, and XGETBV says so.
static inline void fpu_load(const struct proc_desc *d) {
    struct cpu *c = cpu_this();
    if (!cpu_features.xsave) {
        fpu_load_legacy(d);
        return;
    }
    if (c->xcr0 != d->xsave_features) {
        xcr0_write(d->xsave_features);
        c->xcr0 = d->xsave_features;
    }
    __asm__ volatile("xrstor64 (%0)" : : "r"(d->xsave), "a"(~0u), "d"(~0u) : "memory");
}
