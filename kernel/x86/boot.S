// From GRUB (multiboot2, 32-bit protected mode, paging off) to kernel_main in the
// higher half; and from a start-up IPI (real mode) to ap_main. The tables here map the
// first 4 GiB at 0 and at DIRECT_MAP_BASE, and the first 1 GiB at KERNEL_VMA, all
// writable; mm/kmap.c replaces them, and they stay for starting other CPUs.
// Spec: Multiboot2 3.1 (header), 3.3 (machine state); SDM Vol. 3A 9.8.5 (IA-32e mode).
#define KERNEL_VMA 0xffffffff80000000
#define PHYS(x) ((x) - KERNEL_VMA)
#define MULTIBOOT2_MAGIC 0xe85250d6
#define MULTIBOOT2_LOADED 0x36d76289

    .section .multiboot, "a"
    .balign 8
header:
    .long MULTIBOOT2_MAGIC, 0, header_end - header
    .long -(MULTIBOOT2_MAGIC + 0 + (header_end - header))
    .balign 8
    .word 6, 0                    // modules aligned to pages
    .long 8
    .balign 8
    .word 5, 1                    // a framebuffer of any size, optional
    .long 20, 0, 0, 32
    .balign 8
    .word 0, 0
    .long 8
header_end:

    .section .boot, "ax"
    .code32
    .globl _start
_start:
    cli
    cld
    mov $PHYS(boot_stack_top), %esp
    cmp $MULTIBOOT2_LOADED, %eax
    jne boot_fail
    mov %ebx, %ebp                // multiboot information
    mov $0x80000000, %eax
    cpuid
    cmp $0x80000001, %eax
    jb boot_fail
    mov $0x80000001, %eax
    cpuid
    test $(1 << 29), %edx         // long mode
    jz boot_fail

    mov $PHYS(boot_pd), %edi      // 4 x 512 pages of 2 MiB: present, writable, PS
    mov $0x83, %eax
    mov $2048, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    mov $PHYS(boot_pdpt), %edi
    mov $(PHYS(boot_pd) + 3), %eax
    mov $4, %ecx
2:  mov %eax, (%edi)
    add $0x1000, %eax
    add $8, %edi
    loop 2b
    movl $(PHYS(boot_pd) + 3), PHYS(boot_pdpt_high) + 510 * 8
    movl $(PHYS(boot_pdpt) + 3), PHYS(boot_pml4)
    movl $(PHYS(boot_pdpt) + 3), PHYS(boot_pml4) + 256 * 8
    movl $(PHYS(boot_pdpt_high) + 3), PHYS(boot_pml4) + 511 * 8

    mov %cr4, %eax
    or $0x20, %eax                // PAE
    mov %eax, %cr4
    mov $PHYS(boot_pml4), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx         // EFER.LME
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80010001, %eax          // PG, WP, PE
    mov %eax, %cr0
    lgdt boot_gdt_pointer
    ljmp $8, $boot_long

// No 64-bit CPU or not loaded by multiboot2: say so on COM1 and stop.
boot_fail:
    mov $boot_fail_text, %esi
    mov $0x3f8, %dx
3:  lodsb
    test %al, %al
    jz 4f
    out %al, %dx
    jmp 3b
4:  hlt
    jmp 4b
boot_fail_text:
    .asciz "PANIC: isthmus needs a 64-bit CPU and a multiboot2 loader\r\n"

    .balign 8
boot_gdt:
    .quad 0, 0x00209a0000000000, 0x0000920000000000
boot_gdt_pointer:
    .word 23
    .long boot_gdt, 0

    .code64
boot_long:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    movabs $boot_high, %rax
    jmp *%rax

    .text
boot_high:
    lea boot_stack_top(%rip), %rsp
    mov %ebp, %edi
    xor %ebp, %ebp
    push $0
    call kernel_main
5:  hlt
    jmp 5b

// Copied below 1 MiB by kernel/x86/smp.c, which fills in the two addresses; real mode,
// CS = page. Goes straight from real to long mode.
    .section .rodata
    .code16
    .globl ap_trampoline, ap_trampoline_end, ap_trampoline_gdt, ap_trampoline_jump
    .balign 8
ap_trampoline:
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $PHYS(boot_pml4), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    lgdtl ap_trampoline_gdt - ap_trampoline
    mov %cr0, %eax
    and $0x9fffffff, %eax         // caches on
    or $0x80010001, %eax
    mov %eax, %cr0
    ljmpl *(ap_trampoline_jump - ap_trampoline)
    .balign 8
ap_trampoline_gdt:
    .word 23
    .long 0                       // linear address of the table behind
    .balign 8
ap_trampoline_jump:
    .long 0                       // linear address of the code behind
    .word 8
    .balign 8
    .globl ap_trampoline_table, ap_trampoline_long
ap_trampoline_table:
    .quad 0, 0x00209a0000000000, 0x0000920000000000
    .code64
ap_trampoline_long:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    movabs $ap_high, %rax
    jmp *%rax
ap_trampoline_end:

    .text
ap_high:
    mov ap_start_stack(%rip), %rsp
    mov ap_start_index(%rip), %edi
    xor %ebp, %ebp
    push $0
    call ap_main
6:  hlt
    jmp 6b

    .bss
    .balign 4096
    .globl boot_pml4
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pdpt_high: .skip 4096
boot_pd: .skip 4 * 4096
    .skip 16384
boot_stack_top:

    .section .note.GNU-stack, "", @progbits
