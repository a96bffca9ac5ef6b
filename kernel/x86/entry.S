// All ways into and out of the kernel. A trap or SYSCALL from user mode saves the
// registers straight into the current process's descriptor (struct user_regs: TSS.rsp0
// is its end) and goes on on this CPU's stack; nothing returns by that stack: the way
// out is edge_exit (kernel/trap.c), which calls return_to_user. A trap from the kernel
// (idle loop, faults of copies, bugs) returns as usual.
// Spec: SDM Vol. 3A 6.14 (64-bit interrupts), 5.8.8 (SYSCALL, SYSRET).
#include "kernel/x86/entry_asm.h"

.macro SAVE_REST                  // after rdi, in the order of struct user_regs
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
.endm

.macro RESTORE_ALL                // up to orig_rax
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rax
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
.endm

    .text
// One stub a vector, 16 bytes apart. The error code (the CPU's or 0) lies where orig_rax
// is kept, rdi in its own place, the vector in edi.
    .globl trap_stubs
    .balign 16
trap_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
    push $0
    .endif
    push %rdi
    mov $vector, %edi
    .if vector == 2 || vector == 8 || vector == 18
    jmp trap_ist
    .else
    jmp trap_common
    .endif
    .set vector, vector + 1
    .endr

trap_common:
    SAVE_REST
    cld
    testb $3, REGS_CS(%rsp)
    jz trap_from_kernel
    swapgs
    mov %edi, %esi                // vector
    mov %rsp, %rdi                // registers
    mov REGS_ORIG_RAX(%rdi), %rdx // error code
    movq $-1, REGS_ORIG_RAX(%rdi)
    mov %cr2, %rcx
    mov %gs:CPU_STACK_TOP, %rsp
    xor %ebp, %ebp
    call trap_user
    call edge_exit

trap_from_kernel:
    mov %edi, %esi
    mov %rsp, %rdi
    mov REGS_ORIG_RAX(%rdi), %rdx
    mov %cr2, %rcx
    mov %rsp, %rbx
    and $-16, %rsp
    call trap_kernel
    mov %rbx, %rsp
    RESTORE_ALL
    add $8, %rsp
    iretq

// NMI, double fault, machine check: on their own stacks, at any instruction, so GS may
// be either's. A user's GS base is never in the kernel half.
trap_ist:
    SAVE_REST
    cld
    mov %edi, %r13d
    xor %r12d, %r12d
    mov $MSR_GS_BASE_ASM, %ecx
    rdmsr
    test %edx, %edx
    js 1f
    swapgs
    mov $1, %r12d
1:  mov %rsp, %rdi
    mov %r13d, %esi
    mov REGS_ORIG_RAX(%rdi), %rdx
    mov %rsp, %rbx
    and $-16, %rsp
    call trap_exceptional
    mov %rbx, %rsp
    test %r12d, %r12d
    jz 2f
    swapgs
2:  RESTORE_ALL
    add $8, %rsp
    iretq

// A quick call (abi/syscall.tbl) takes no argument and no lock, never waits and changes
// nothing: it returns from here, unless the edge has work. SYSRET would fault in the kernel
// on an address that is not the user's, and gives RF and a trap by TF other than at the edge.
// A direct one does not return where it has done the call; else it has changed nothing.
    .globl syscall_entry
    .balign 16
syscall_entry:
    swapgs
    mov %rsp, %gs:CPU_USER_RSP
    mov %gs:CPU_REGS, %rsp
    add $REGS_SIZE, %rsp
    push $SEL_USER_DATA
    push %gs:CPU_USER_RSP
    push %r11
    push $SEL_USER_CODE
    push %rcx
    push %rax                     // orig_rax
    push %rdi
    SAVE_REST                     // MSR_SFMASK has cleared DF
    mov %rsp, %rbx
    mov %gs:CPU_STACK_TOP, %rsp
    xor %ebp, %ebp
    cmp $SYSCALL_QUICK_COUNT, %rax
    jae syscall_whole
    mov syscall_quick(, %rax, 8), %rax
    test %rax, %rax
    jz syscall_whole
    mov %gs:CPU_CURRENT, %rdi
    call *%rax
    cmp $SYSCALL_NOT_QUICK_ASM, %rax
    je syscall_whole
    cmpq $0, %gs:CPU_EDGE_WORK    // and locks_held
    jne 1f
    mov REGS_RIP(%rbx), %rcx
    bt $47, %rcx
    jc 1f
    mov REGS_RFLAGS(%rbx), %r11
    test $(RFLAGS_TF | RFLAGS_RF), %r11d
    jnz 1f
    mov REGS_R8(%rbx), %r8
    mov REGS_R9(%rbx), %r9
    mov REGS_R10(%rbx), %r10
    mov REGS_RDX(%rbx), %rdx
    mov REGS_RSI(%rbx), %rsi
    mov REGS_RDI(%rbx), %rdi
    mov REGS_RBP(%rbx), %rbp
    mov REGS_RSP(%rbx), %rsp
    mov REGS_RBX(%rbx), %rbx
    swapgs
    sysretq
1:  mov %rax, REGS_RAX(%rbx)
    call edge_exit
syscall_whole:
    mov %rbx, %rdi
    call syscall_user
    call edge_exit

// _Noreturn void return_to_user(struct user_regs *r). Interrupts off; rip, cs, ss and
// rflags have been checked by the caller (kernel/trap.c). SYSRET only where it restores
// the very state: rcx = rip, r11 = rflags.
    .globl return_to_user
    .balign 16
return_to_user:
    mov %rdi, %rsp
    mov REGS_RIP(%rsp), %rax
    cmp REGS_RCX(%rsp), %rax
    jne 1f
    mov REGS_RFLAGS(%rsp), %rcx
    cmp REGS_R11(%rsp), %rcx
    jne 1f
    test $(RFLAGS_TF | RFLAGS_RF), %ecx
    jnz 1f
    RESTORE_ALL
    mov 32(%rsp), %rsp            // orig_rax, rip, cs, rflags, rsp
    swapgs
    sysretq
1:  RESTORE_ALL
    add $8, %rsp
    swapgs
    iretq

// status_t copy_from_user_raw(void *to, const void *from_user, u64 len)
// status_t copy_to_user_raw(void *to_user, const void *from, u64 len)
// E_FAULT where a page is not there; the bytes before it are copied. The caller has
// checked that the user's range lies below USER_END.
    .globl copy_from_user_raw, copy_to_user_raw
    .balign 16
copy_from_user_raw:
copy_to_user_raw:
    mov %rdx, %rcx
    cmpb $0, user_access_smap(%rip)
    jne 2f
1:  rep movsb
    xor %eax, %eax
    ret
2:  stac
3:  rep movsb
    clac
    xor %eax, %eax
    ret
copy_fixup_smap:
    clac
copy_fixup:
    mov $-14, %eax
    ret
    .section .ex_table, "a"
    .quad 1b, copy_fixup
    .quad 3b, copy_fixup_smap

    .section .note.GNU-stack, "", @progbits
