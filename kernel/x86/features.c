// What this CPU can do, and turning it on: NX, WP, SMEP, SMAP, UMIP, SSE, XSAVE. Called
// once a CPU. Spec: SDM Vol. 2A CPUID; Vol. 3A 2.5 (control registers), 13 (XSAVE).
#include "base/assert.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/fpu.h"
#include "kernel/x86/msr.h"
#include "kernel/x86/trap.h"

struct cpu_features cpu_features;
u8 user_access_smap;

enum cr4_bit {
    CR4_TSD = 1 << 2, CR4_MCE = 1 << 6, CR4_PGE = 1 << 7, CR4_OSFXSR = 1 << 9,
    CR4_OSXMMEXCPT = 1 << 10, CR4_UMIP = 1 << 11,
    CR4_OSXSAVE = 1 << 18, CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21,
};
#define CR0_MP 2u
#define CR0_EM 4u
#define CR0_TS 8u
#define CR0_NE 32u
#define CR0_WP (1u << 16)
#define XCR0_WANTED 0x2e7ull         // x87, SSE, AVX, AVX-512 (3), PKRU

static struct cpu_features read_features(void) {
    struct cpu_features f = {0};
    const struct cpuid_regs one = cpuid(1, 0), ext = cpuid(0x80000001, 0);
    const u32 max = cpuid(0, 0).eax;
    f.nx = ext.edx >> 20 & 1;
    f.xsave = one.ecx >> 26 & 1;
    f.pclmulqdq = one.ecx >> 1 & 1;
    f.x2apic = one.ecx >> 21 & 1;
    f.rdrand = one.ecx >> 30 & 1;
    f.mce = one.edx >> 7 & 1;
    f.pge = one.edx >> 13 & 1;
    f.tsc_deadline = one.ecx >> 24 & 1;
    if (max >= 7) {
        const struct cpuid_regs seven = cpuid(7, 0);
        f.smep = seven.ebx >> 7 & 1;
        f.smap = seven.ebx >> 20 & 1;
        f.fsgsbase = seven.ebx & 1;
        f.erms = seven.ebx >> 9 & 1;
        f.umip = seven.ecx >> 2 & 1;
    }
    if (cpuid(0x80000000, 0).eax >= 0x80000007)
        f.invariant_tsc = cpuid(0x80000007, 0).edx >> 8 & 1;
    if (f.xsave && max >= 0xd) f.xsaveopt = cpuid(0xd, 1).eax & 1;
    return f;
}

static void fpu_enable(struct cpu_features *f) {
    cr0_write((cr0_read() | CR0_MP | CR0_NE) & ~(u64)(CR0_EM | CR0_TS));
    cr4_write(cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT | (f->xsave ? CR4_OSXSAVE : 0));
    f->xcr0 = 3;
    f->xsave_bytes = FXSAVE_BYTES;
    if (!f->xsave) return;
    const struct cpuid_regs can = cpuid(0xd, 0);
    f->xcr0 = (can.eax | (u64)can.edx << 32) & XCR0_WANTED;
    xcr0_write(f->xcr0);
    f->xsave_bytes = cpuid(0xd, 0).ebx;
    if (f->xsave_bytes > PROC_XSAVE_MAX) {       // larger than a descriptor has room for
        f->xcr0 &= 7;
        xcr0_write(f->xcr0);
        f->xsave_bytes = cpuid(0xd, 0).ebx;
    }
}

// Turns on what this CPU has. The first CPU's features are the node's; a later CPU that
// lacks one is a panic, since processes run on all.
void cpu_features_init(void) {
    struct cpu_features f = read_features();
    if (f.nx) wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    cr0_write(cr0_read() | CR0_WP);
    cr4_write(cr4_read() | (f.mce ? CR4_MCE : 0) | (f.pge ? CR4_PGE : 0) | (f.smep ? CR4_SMEP : 0) |
              (f.smap ? CR4_SMAP : 0) | (f.umip ? CR4_UMIP : 0));
    fpu_enable(&f);
    cpu_this()->xcr0 = f.xcr0;
    if (cpu_this()->index == 0) {
        cpu_features = f;
        user_access_smap = f.smap;
    } else if (f.xcr0 != cpu_features.xcr0 || f.smap != cpu_features.smap ||
               f.nx != cpu_features.nx) {
        panic("CPU %u differs from CPU 0 in NX, SMAP or XSAVE features", cpu_this()->index);
    }
}

void cpu_tsd_set(bool trap) {
    struct cpu *c = cpu_this();
    if (c->tsd == trap) return;
    c->tsd = trap;
    cr4_write((cr4_read() & ~(u64)CR4_TSD) | (trap ? CR4_TSD : 0));
}
