// Saves and loads x87, SSE and AVX state to the image in a process's descriptor, by
// XSAVE where the CPU has it, else FXSAVE. The kernel itself uses none of these
// registers, so they stay a process's until its CPU runs another. Called by the edge and
// signals, on the CPU that runs the process. Spec: SDM Vol. 1 13 (XSAVE), 10.5.
#include "kernel/x86/fpu.h"

#include "base/string.h"
#include "kernel/x86/cpu.h"

#define FXSAVE_FCW 0
#define FXSAVE_MXCSR 24
#define FXSAVE_MXCSR_MASK 28
#define XSAVE_HEADER 512
#define XSAVE_HEADER_BYTES 64
#define MXCSR_VALID 0xffffu

// The state that a program starts with.
void fpu_reset(struct proc_desc *d) {
    memset(d->xsave, 0, sizeof d->xsave);
    u16 fcw = 0x37f;
    u32 mxcsr = 0x1f80;
    memcpy(d->xsave + FXSAVE_FCW, &fcw, sizeof fcw);
    memcpy(d->xsave + FXSAVE_MXCSR, &mxcsr, sizeof mxcsr);
    if (cpu_features.xsave) d->xsave[XSAVE_HEADER] = 3;   // x87 and SSE as given here
    d->xsave_bytes = cpu_features.xsave_bytes;
    d->xsave_features = (u32)cpu_features.xcr0;
}

void fpu_save(struct proc_desc *d) {
    u32 low = (u32)cpu_features.xcr0, high = (u32)(cpu_features.xcr0 >> 32);
    if (cpu_features.xsave) {
        __asm__ volatile("xsave64 (%0)" : : "r"(d->xsave), "a"(low), "d"(high) : "memory");
    } else {
        __asm__ volatile("fxsave64 (%0)" : : "r"(d->xsave) : "memory");
    }
    d->xsave_bytes = cpu_features.xsave_bytes;
    d->xsave_features = low;
}

void fpu_load(struct proc_desc *d) {
    u32 low = (u32)cpu_features.xcr0, high = (u32)(cpu_features.xcr0 >> 32);
    if (cpu_features.xsave) {
        __asm__ volatile("xrstor64 (%0)" : : "r"(d->xsave), "a"(low), "d"(high) : "memory");
    } else {
        __asm__ volatile("fxrstor64 (%0)" : : "r"(d->xsave) : "memory");
    }
}

// Makes an image that a user (or a peer) gave loadable without a fault: reserved bits
// of MXCSR and of the XSAVE header are cleared. Spec: SDM Vol. 1 13.8.1 (checks).
void fpu_sanitize(struct proc_desc *d) {
    u32 mxcsr;
    memcpy(&mxcsr, d->xsave + FXSAVE_MXCSR, sizeof mxcsr);
    mxcsr &= MXCSR_VALID & ~0x40u;               // no DAZ where a CPU may lack it
    memcpy(d->xsave + FXSAVE_MXCSR, &mxcsr, sizeof mxcsr);
    u64 present;
    memcpy(&present, d->xsave + XSAVE_HEADER, sizeof present);
    present &= cpu_features.xcr0;
    memset(d->xsave + XSAVE_HEADER, 0, XSAVE_HEADER_BYTES);
    memcpy(d->xsave + XSAVE_HEADER, &present, sizeof present);
}
