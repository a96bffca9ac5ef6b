// Accessors of the CPU's own registers: MSRs, CPUID, control registers, TSC, IF.
// Spec: SDM Vol. 2 (instructions), Vol. 4 (MSR numbers).
#pragma once

#include "base/types.h"

enum msr {
    MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC_BASE = 0x800,
    MSR_PAT = 0x277,
    MSR_EFER = 0xc0000080, MSR_STAR = 0xc0000081, MSR_LSTAR = 0xc0000082,
    MSR_CSTAR = 0xc0000083, MSR_SFMASK = 0xc0000084,
    MSR_FS_BASE = 0xc0000100, MSR_GS_BASE = 0xc0000101, MSR_KERNEL_GS_BASE = 0xc0000102,
};
#define EFER_SCE 1u
#define EFER_NXE (1u << 11)

static inline u64 rdmsr(u32 msr) {
    u32 low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return ((u64)high << 32) | low;
}
static inline void wrmsr(u32 msr, u64 value) {
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

struct cpuid_regs { u32 eax, ebx, ecx, edx; };
static inline struct cpuid_regs cpuid(u32 leaf, u32 subleaf) {
    struct cpuid_regs r;
    __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

static inline u64 tsc_read(void) {
    u32 low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return ((u64)high << 32) | low;
}

static inline u64 cr0_read(void) { u64 v; __asm__ volatile("mov %%cr0, %0" : "=r"(v)); return v; }
static inline u64 cr2_read(void) { u64 v; __asm__ volatile("mov %%cr2, %0" : "=r"(v)); return v; }
static inline u64 cr3_read(void) { u64 v; __asm__ volatile("mov %%cr3, %0" : "=r"(v)); return v; }
static inline u64 cr4_read(void) { u64 v; __asm__ volatile("mov %%cr4, %0" : "=r"(v)); return v; }
static inline void cr0_write(u64 v) { __asm__ volatile("mov %0, %%cr0" : : "r"(v) : "memory"); }
static inline void cr3_write(u64 v) { __asm__ volatile("mov %0, %%cr3" : : "r"(v) : "memory"); }
static inline void cr4_write(u64 v) { __asm__ volatile("mov %0, %%cr4" : : "r"(v) : "memory"); }
static inline void xcr0_write(u64 v) {
    __asm__ volatile("xsetbv" : : "c"(0), "a"((u32)v), "d"((u32)(v >> 32)));
}
static inline void tlb_invalidate_page(u64 va) {
    __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}
// a * b / c with a 128-bit product; the result must fit 64 bits.
static inline u64 mul_div64(u64 a, u64 b, u64 c) {
    u64 low, high;
    __asm__("mulq %3" : "=a"(low), "=d"(high) : "a"(a), "r"(b));
    __asm__("divq %2" : "+a"(low), "+d"(high) : "r"(c));
    return low;
}
static inline void cpu_relax(void) { __asm__ volatile("pause" : : : "memory"); }
static inline _Noreturn void cpu_halt_forever(void) {
    for (;;) __asm__ volatile("cli; hlt" : : : "memory");
}
