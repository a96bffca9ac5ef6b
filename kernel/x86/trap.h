// The CPU's tables and the ways in and out: what entry.S and gdt.c offer to
// kernel/trap.c, and what they call there.
#pragma once

#include "base/status.h"
#include "base/types.h"
#include "kernel/proc_desc.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/entry_asm.h"

#define KERNEL_STACK_BYTES 16384u
#define IST_STACK_BYTES 8192u
#define USER_END 0x00007ffffffff000ull   // first byte above user memory

enum trap_vector {
    TRAP_DEBUG = 1, TRAP_NMI = 2, TRAP_BREAKPOINT = 3, TRAP_INVALID_OPCODE = 6,
    TRAP_DOUBLE_FAULT = 8, TRAP_PROTECTION = 13, TRAP_PAGE_FAULT = 14,
    TRAP_MACHINE_CHECK = 18,
    TRAP_EXCEPTIONS = 32,            // below: the CPU's
    TRAP_PIC = 0x20,                 // 16 spurious ones of the old controller
    TRAP_DEVICE_FIRST = 0x30, TRAP_DEVICE_LAST = 0xdf,
    TRAP_TIMER = 0xf0, TRAP_KICK = 0xf1, TRAP_SPURIOUS = 0xff,
};
// Error code of a page fault.
#define PF_PRESENT 1u
#define PF_WRITE 2u
#define PF_USER 4u
#define PF_FETCH 16u

// Called by entry.S; defined in kernel/trap.c.
void trap_user(struct user_regs *r, u32 vector, u64 error, u64 cr2);
void trap_kernel(struct user_regs *r, u32 vector, u64 error, u64 cr2);
void trap_exceptional(struct user_regs *r, u32 vector, u64 error);
void syscall_user(struct user_regs *r);
_Noreturn void edge_exit(void);

// Leaves for user mode. r has been checked: rip is canonical, cs, ss, rflags are sane.
_Noreturn void return_to_user(struct user_regs *r);
// E_FAULT where a page is not there. The user's range has been checked.
status_t copy_from_user_raw(void *to, const void *from_user, u64 len_bytes);
status_t copy_to_user_raw(void *to_user, const void *from, u64 len_bytes);

void cpu_tables_prepare(u32 index);  // its stack, before it starts
// Sets up GDT, TSS, IDT, GS and SYSCALL of the calling CPU, cpus[index].
void cpu_tables_init(u32 index);
// Where the next trap from user mode on this CPU saves; the end must be 16-byte aligned.
void cpu_set_user_regs(struct user_regs *regs);
// NX, WP, SMEP, SMAP, UMIP, XSAVE on this CPU; fills cpu_features on the first.
void cpu_features_init(void);
extern u8 user_access_smap;          // 1: copies must open user memory (entry.S)
bool cpu_is_guard_page(u64 va);       // below a kernel stack
const char *trap_name(u32 vector);
