// Numbers that entry.S shares with C: offsets in struct cpu and struct user_regs
// (kernel/x86/gdt.c asserts them), selectors (Linux's values), bits of RFLAGS.
#pragma once

#define CPU_STACK_TOP 8
#define CPU_USER_RSP 16
#define CPU_REGS 24
#define CPU_CURRENT 40
#define CPU_EDGE_WORK 48             // and locks_held behind it
#define SYSCALL_QUICK_COUNT 512      // numbers from here on are no quick calls
#define SYSCALL_NOT_QUICK_ASM (-1002)    // kernel/syscall/syscall.h

#define REGS_RBP 32
#define REGS_RBX 40
#define REGS_R11 48
#define REGS_R10 56
#define REGS_R9 64
#define REGS_R8 72
#define REGS_RAX 80
#define REGS_RCX 88
#define REGS_RDX 96
#define REGS_RSI 104
#define REGS_RDI 112
#define REGS_ORIG_RAX 120
#define REGS_RIP 128
#define REGS_CS 136
#define REGS_RFLAGS 144
#define REGS_RSP 152
#define REGS_SIZE 168

#define SEL_KERNEL_CODE 0x10
#define SEL_KERNEL_DATA 0x18
#define SEL_USER_CODE32 0x23
#define SEL_USER_DATA 0x2b
#define SEL_USER_CODE 0x33
#define SEL_CPU_WORD 0x3b            // user/vdso/vdso.c has it too
#define SEL_TSS 0x40

#define RFLAGS_CF 0x1
#define RFLAGS_TF 0x100
#define RFLAGS_IF 0x200
#define RFLAGS_DF 0x400
#define RFLAGS_IOPL 0x3000
#define RFLAGS_NT 0x4000
#define RFLAGS_RF 0x10000
#define RFLAGS_AC 0x40000
#define RFLAGS_USER 0x50dd5          // bits that a user may set (TF, AC, DF, RF and arithmetic)

#define MSR_GS_BASE_ASM 0xc0000101
