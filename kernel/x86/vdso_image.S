// The vDSO's file (user/vdso), a page of its own: user mode sees it (kernel/vdso.c).
    .section .rodata
    .globl vdso_image
    .balign 4096
vdso_image:
    .incbin "vdso.so"
    .org vdso_image + 4096

    .section .note.GNU-stack, "", @progbits
