// What each CPU has for itself, and what the CPUs can do. GS points at struct cpu in
// the kernel; entry.S knows the first offsets.
#pragma once

#include "base/types.h"

#define CPU_MAX 16

struct proc;
struct user_regs;

// What ends the rest of a CPU. CPU_WAKE_NONE: nothing yet, or an NMI.
enum cpu_wake { CPU_WAKE_NONE, CPU_WAKE_TIMER, CPU_WAKE_KICK, CPU_WAKE_CARD, CPU_WAKE_DEVICE,
                CPU_WAKES };

struct cpu {
    struct cpu *self;                // 0
    u64 kernel_stack_top;            // 8
    u64 user_rsp_scratch;            // 16: syscall entry parks rsp here
    struct user_regs *regs;          // 24: where a trap from user mode saves (descriptor)
    u32 index;                       // 0 .. cpu_count - 1
    u32 apic_id;
    struct proc *current;            // whose registers `regs` are; NULL when idle
    u32 edge_work;                   // enum edge_bits, set by interrupts and IPIs
    u32 locks_held;                  // bit per rank
    bool idle;                       // atomic: it halts, or is about to; no interrupt has come
    u64 idle_ns, hlt_tsc;            // halted time
    u64 interrupts, timer_interrupts;
    u64 timers_vain;                 // interrupts of its timer at which nothing was due
    u64 halts, halts_by[CPU_WAKES];  // how often it woke from its rest, and by what first
    u8 wake;                         // enum cpu_wake: of the rest that it is in, or was in last
    u64 direct_switches;             // kernel/direct.h
    void *trap_stack;                // where the TSS says where a trap from user mode saves
    u64 irq_tsc;                     // at the entry of the last one
    u32 clock_word;                  // how the process it ran last reads time (kernel/clock.h)
    bool tsd;                        // RDTSC traps in user mode: of that process, too
    u64 xcr0;                        // as loaded: that of the process it ran last
};

enum edge_bits {
    EDGE_NETPOLL = 1, EDGE_TIMER = 2, EDGE_RESCHED = 4, EDGE_STOP = 8, EDGE_CONSOLE = 16,
    EDGE_DRIVES = 32, EDGE_BEAT = 64,
};

extern struct cpu cpus[CPU_MAX];
extern u32 cpu_count;

static inline struct cpu *cpu_this(void) {
    struct cpu *c;
    __asm__ volatile("mov %%gs:0, %0" : "=r"(c));
    return c;
}

// Sets the bit on that CPU and interrupts it where it is another one or idle.
void cpu_kick(u32 cpu_index, u32 edge_bits);

struct cpu_features {
    bool nx, smep, smap, xsave, xsaveopt, pclmulqdq, fsgsbase, invariant_tsc, x2apic;
    bool erms, rdrand, pge, tsc_deadline, umip, mce;
    u64 xcr0;                        // features that XSAVE saves here
    u32 xsave_bytes;
};
extern struct cpu_features cpu_features;
void cpu_tsd_set(bool trap);         // RDTSC of user mode traps on this CPU
void cpu_limit_set(u32 limit);       // what LSL of SEL_CPU_WORD gives in user mode on this CPU

u64 time_now_ns(void);               // since boot of this node, monotonic, from the TSC
