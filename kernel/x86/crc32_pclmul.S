/* Ethernet's CRC-32 (reflected) over whole 16-byte blocks by carry-less multiplication,
 * copying on the way; kernel/crc.c calls it. The kernel's own code never touches SSE: the
 * registers used here are saved and restored, so a process's stay as they are. Each 16
 * bytes of the source, aligned, are one load; both the copy and the sum are made of it.
 * Host tests include this file in their assembly, so it uses no preprocessor.
 * Spec: Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ"
 * (Intel, 2009); SDM Vol. 2B PCLMULQDQ. */

    .section .rodata
    .balign 16
crc_fold_4:                       /* x^(4*128+32), x^(4*128-32) mod P, reflected, << 1 */
    .quad 0x154442bd4, 0x1c6e41596
crc_fold_1:                       /* x^(128+32), x^(128-32) mod P */
    .quad 0x1751997d0, 0x0ccaa009e
crc_fold_64:                      /* x^64 mod P */
    .quad 0x163cd6124, 0
crc_barrett:                      /* P, and floor(x^64 / P), reflected */
    .quad 0x1db710641, 0x1f7011641
crc_mask_32:
    .quad 0xffffffff, 0

/* folded = folded.low * k.low + folded.high * k.high + the next block */
.macro CRC_FOLD folded, k, block
    movdqa \folded, %xmm6
    pclmulqdq $0x00, \k, \folded
    pclmulqdq $0x11, \k, %xmm6
    pxor \block, \folded
    pxor %xmm6, \folded
.endm

.macro CRC_LOAD offset, to, copy
    movdqa \offset(%rdx), \to
    .if \copy
    movdqu \to, \offset(%rsi)
    .endif
.endm

/* edi: register before; rsi: destination; rdx: source, aligned to 16; rcx: bytes, a
 * multiple of 16 and at least 16. eax: register after. */
.macro CRC_BODY copy
    sub $128, %rsp
    movdqu %xmm0, (%rsp)
    movdqu %xmm1, 16(%rsp)
    movdqu %xmm2, 32(%rsp)
    movdqu %xmm3, 48(%rsp)
    movdqu %xmm4, 64(%rsp)
    movdqu %xmm5, 80(%rsp)
    movdqu %xmm6, 96(%rsp)
    movdqu %xmm7, 112(%rsp)
    movd %edi, %xmm0
    CRC_LOAD 0, %xmm1, \copy
    cmp $64, %rcx
    jb 5f
    CRC_LOAD 16, %xmm2, \copy
    CRC_LOAD 32, %xmm3, \copy
    CRC_LOAD 48, %xmm4, \copy
    pxor %xmm0, %xmm1
    movdqa crc_fold_4(%rip), %xmm0
    jmp 2f
1:  CRC_LOAD 0, %xmm5, \copy
    CRC_FOLD %xmm1, %xmm0, %xmm5
    CRC_LOAD 16, %xmm5, \copy
    CRC_FOLD %xmm2, %xmm0, %xmm5
    CRC_LOAD 32, %xmm5, \copy
    CRC_FOLD %xmm3, %xmm0, %xmm5
    CRC_LOAD 48, %xmm5, \copy
    CRC_FOLD %xmm4, %xmm0, %xmm5
2:  sub $64, %rcx
    add $64, %rdx
    add $64, %rsi
    cmp $64, %rcx
    jae 1b
    movdqa crc_fold_1(%rip), %xmm0
    CRC_FOLD %xmm1, %xmm0, %xmm2
    CRC_FOLD %xmm1, %xmm0, %xmm3
    CRC_FOLD %xmm1, %xmm0, %xmm4
    jmp 4f
3:  CRC_LOAD 0, %xmm5, \copy
    CRC_FOLD %xmm1, %xmm0, %xmm5
    sub $16, %rcx
    add $16, %rdx
    add $16, %rsi
4:  test %rcx, %rcx
    jnz 3b
    jmp 6f
5:  pxor %xmm0, %xmm1             /* less than four blocks: one at a time */
    movdqa crc_fold_1(%rip), %xmm0
    sub $16, %rcx
    add $16, %rdx
    add $16, %rsi
    jmp 4b
6:
    movdqa crc_mask_32(%rip), %xmm7
    movdqa %xmm1, %xmm2           /* 128 bits to 96 */
    pclmulqdq $0x10, %xmm0, %xmm1
    psrldq $8, %xmm2
    pxor %xmm2, %xmm1
    movdqa %xmm1, %xmm2           /* to 64 */
    psrldq $4, %xmm1
    pand %xmm7, %xmm2
    pclmulqdq $0x00, crc_fold_64(%rip), %xmm2
    pxor %xmm2, %xmm1
    movdqa crc_barrett(%rip), %xmm0
    movdqa %xmm1, %xmm2           /* Barrett: to 32 */
    pand %xmm7, %xmm1
    pclmulqdq $0x10, %xmm0, %xmm1
    pand %xmm7, %xmm1
    pclmulqdq $0x00, %xmm0, %xmm1
    pxor %xmm2, %xmm1
    psrldq $4, %xmm1
    movd %xmm1, %eax
    movdqu (%rsp), %xmm0
    movdqu 16(%rsp), %xmm1
    movdqu 32(%rsp), %xmm2
    movdqu 48(%rsp), %xmm3
    movdqu 64(%rsp), %xmm4
    movdqu 80(%rsp), %xmm5
    movdqu 96(%rsp), %xmm6
    movdqu 112(%rsp), %xmm7
    add $128, %rsp
    ret
.endm

    .text
    .globl crc32_pclmul_copy, crc32_pclmul_update
    .balign 16
crc32_pclmul_copy:
    CRC_BODY 1
    .balign 16
crc32_pclmul_update:
    CRC_BODY 0

    .section .note.GNU-stack, "", @progbits
