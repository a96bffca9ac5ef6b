// The edge: what runs on every way out of the kernel and in the idle loop, before
// interrupts are on again. Interrupt handlers only set bits of cpu->edge_work.
#pragma once

#include "kernel/x86/trap.h"

// Runs `run` at the edge of a CPU whose edge_work has this bit (enum edge_bits). Boot.
void edge_hook_set(u32 edge_bit, void (*run)(void));
// Marks work for this CPU. Any context.
void edge_request(u32 edge_bits);
// The process side's part (kernel/proc.h): traps and calls of processes, who runs next.
struct process_hooks {
    void (*exception)(u32 vector, u64 error_code, u64 fault_va);
    void (*syscall)(void);
    // Picks what this CPU runs next, delivers signals. True: return to user mode with
    // cpu->regs; false: nothing to run, halt.
    bool (*edge)(void);
};
extern struct process_hooks process_hooks;
// Interrupt vectors of devices. E_NOBUFS: all taken.
status_t irq_vector_alloc(void (*handler)(void *arg), void *arg, u32 edge_bits, u32 *vector);
