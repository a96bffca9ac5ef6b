// How a process goes onto a CPU and leaves it, for the edge (kernel/edge.c) and the direct switch
// (kernel/direct.h): inline, since that is most of what a switch costs.
#pragma once

#include "kernel/clock.h"
#include "kernel/placement.h"
#include "kernel/proc.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/fpu.h"
#include "kernel/x86/msr.h"

// Flags of a descriptor that mean work at the edge.
#define EDGE_FLAGS (PROC_FLAG_RESTORE_MASK | PROC_FLAG_PAGE_WAIT | PROC_FLAG_STORM | \
                    PROC_FLAG_FRESH)

// Whether the edge has nothing to do for p but let it go on, where it runs and its time slice is
// not over. proc_lock held, or by p's own CPU.
static inline bool edge_nothing_due(const struct proc *p, const struct proc_desc *d) {
    const u32 due = (u32)p->kill_pending | p->freeze_wanted | p->cl.arrived | p->cl.fresh |
                    p->cl.unmap | p->placing.due | p->cpu_timers | (d->flags & EDGE_FLAGS);
    return (due | d->signal_pending | d->thread_pending) == 0 && d->thread_count == 1;
}

// All that makes p, which runs here, is in its descriptor afterwards, and its accounts have the
// time that it ran. The scheduler's own is not charged (fair_charge).
static inline void edge_save(struct proc *p, struct proc_desc *d, u64 now_ns) {
    const u64 ran_ns = now_ns - p->run_start_ns;
    fpu_save(d);
    d->fs_base = rdmsr(MSR_FS_BASE);
    d->gs_base = rdmsr(MSR_KERNEL_GS_BASE);
    d->account.cpu_ns += ran_ns;
    d->thread_cpu_ns += now_ns - p->thread_start_ns;
    p->thread_start_ns = now_ns;
    struct proc_place *place = phys_to_virt(paddr(d->aux[PROC_AUX_PLACE]));
    account_cpu(&place->account, (u8)node_id, ran_ns);
}

// p runs on this CPU from now on; its time slice is set. proc_lock held.
static inline void edge_claim(struct cpu *c, struct proc *p, u64 now_ns) {
    p->state = PROC_RUNNING;
    p->on_cpu = true;
    p->cpu = c->index;
    p->run_start_ns = p->thread_start_ns = now_ns;
    c->current = p;
}

// Loads the registers of the current process and its address space.
//   gs_base  the user's, as the CPU has it now: mostly the same for all
static inline void edge_load(struct cpu *c, struct proc_desc *d, u64 gs_base) {
    const u64 trap_stack = (u64)(&d->regs + 1);
    cr3_write(d->root_table.v);
    wrmsr(MSR_FS_BASE, d->fs_base);
    if (d->gs_base != gs_base) wrmsr(MSR_KERNEL_GS_BASE, d->gs_base);
    fpu_load(d);
    clock_load(c, d);
    c->regs = &d->regs;
    __builtin_memcpy(c->trap_stack, &trap_stack, sizeof trap_stack);
}
