// Saves and loads x87, SSE and AVX state to the image in a process's descriptor, by
// XSAVE where the CPU has it, else FXSAVE. The kernel itself uses none of these
// registers, so they stay a process's until its CPU runs another. Called by the edge and
// signals, on the CPU that runs the process. Spec: SDM Vol. 1 13 (XSAVE), 10.5.
#include "kernel/x86/fpu.h"

#include "base/string.h"
#include "kernel/x86/cpu.h"

#define FXSAVE_FCW 0
#define FXSAVE_MXCSR 24
#define FXSAVE_ST 32
#define FXSAVE_XMM 160
#define FXSAVE_XMM_BYTES 256
#define FCW_FIRST 0x37f
#define XSAVE_HEADER 512
#define XSAVE_HEADER_BYTES 64
#define MXCSR_VALID 0xffffu
#define XSAVE_LEGACY 3u                      // x87 and SSE, all that FXSAVE keeps

// The state that a program starts with.
void fpu_reset(struct proc_desc *d) {
    memset(d->xsave, 0, sizeof d->xsave);
    u16 fcw = FCW_FIRST;
    u32 mxcsr = 0x1f80;
    memcpy(d->xsave + FXSAVE_FCW, &fcw, sizeof fcw);
    memcpy(d->xsave + FXSAVE_MXCSR, &mxcsr, sizeof mxcsr);
    d->xsave[XSAVE_HEADER] = XSAVE_LEGACY;       // x87 and SSE as given here
    d->xsave_bytes = cpu_features.xsave_bytes;
    d->xsave_features = (u32)cpu_features.xcr0;
}

// Without XSAVE the header still says what is there, for a node that has it.
void fpu_save_legacy(struct proc_desc *d) {
    __asm__ volatile("fxsave64 (%0)" : : "r"(d->xsave) : "memory");
    d->xsave[XSAVE_HEADER] = XSAVE_LEGACY;
}

void fpu_load_legacy(const struct proc_desc *d) {
    __asm__ volatile("fxrstor64 (%0)" : : "r"(d->xsave) : "memory");
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
    present &= d->xsave_features;
    if (d->xsave_bytes <= XSAVE_HEADER) present = XSAVE_LEGACY;    // an image of FXSAVE
    memset(d->xsave + XSAVE_HEADER, 0, XSAVE_HEADER_BYTES);
    memcpy(d->xsave + XSAVE_HEADER, &present, sizeof present);
}

// An image that came from another node, made loadable here. XSAVE leaves out what is in its
// first state; a CPU without XSAVE takes the legacy part as it is, so it is filled in.
void fpu_arrived(struct proc_desc *d) {
    u64 present;
    memcpy(&present, d->xsave + XSAVE_HEADER, sizeof present);
    present &= d->xsave_features;
    if (!cpu_features.xsave) {
        u16 fcw = FCW_FIRST;
        if (!(present & 1)) {
            memset(d->xsave, 0, FXSAVE_MXCSR);
            memset(d->xsave + FXSAVE_ST, 0, FXSAVE_XMM - FXSAVE_ST);
            memcpy(d->xsave + FXSAVE_FCW, &fcw, sizeof fcw);
        }
        if (!(present & 2)) memset(d->xsave + FXSAVE_XMM, 0, FXSAVE_XMM_BYTES);
        present = XSAVE_LEGACY;
    }
    memset(d->xsave + XSAVE_HEADER, 0, XSAVE_HEADER_BYTES);
    memcpy(d->xsave + XSAVE_HEADER, &present, sizeof present);
}
