// links: kernel/crc.c proto/roce/icrc.c
// The CRC by PCLMULQDQ against the tables: every alignment and many lengths, the copy
// exact, nothing written outside, and no SSE register changed.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/crc.h"
#include "kernel/x86/cpu.h"
#include "tests/unit/suite_run.h"

__asm__(".include \"kernel/x86/crc32_pclmul.S\"\n.text\n");

struct cpu_features cpu_features = {.pclmulqdq = true};

#define ROOM 9300u

static void one(const u8 *from, u8 *to, u32 skew_from, u32 skew_to, u32 len) {
    memset(to, 0xcc, ROOM + 64);
    const u32 seed = 0xdebb20e3u * (len + 1);
    const u32 want = crc_ops_table.update(seed, from + skew_from, len);
    ck_assert_uint_eq(crc_ops_pclmul.update(seed, from + skew_from, len), want);
    ck_assert_uint_eq(crc_ops_pclmul.copy(seed, to + skew_to, from + skew_from, len), want);
    ck_assert_mem_eq(to + skew_to, from + skew_from, len);
    for (u32 i = 0; i < 16; i++) ck_assert_uint_eq(to[skew_to + len + i], 0xcc);
    for (u32 i = 0; i < skew_to; i++) ck_assert_uint_eq(to[i], 0xcc);
}

START_TEST(as_the_tables) {
    if (!__builtin_cpu_supports("pclmul")) return;
    u8 *from = malloc(ROOM + 64), *to = malloc(ROOM + 64);
    srand(7);
    for (u32 i = 0; i < ROOM + 64; i++) from[i] = (u8)rand();
    for (u32 skew = 0; skew < 16; skew++)
        for (u32 len = 0; len < 400; len++) one(from, to, skew, (skew * 7 + len) % 16, len);
    for (u32 i = 0; i < 500; i++)
        one(from, to, (u32)rand() % 16, (u32)rand() % 16, (u32)rand() % (ROOM - 16));
    free(from);
    free(to);
}
END_TEST

START_TEST(sse_registers_stay) {
    if (!__builtin_cpu_supports("pclmul")) return;
    static u8 from[256] __attribute__((aligned(16))), to[256];
    u8 before[128], after[128];
    for (u32 i = 0; i < sizeof before; i++) before[i] = (u8)(i * 5 + 1);
    register u64 crc __asm__("rdi") = 1;
    register void *d __asm__("rsi") = to;
    register const void *s __asm__("rdx") = from;
    register u64 len __asm__("rcx") = sizeof from;
    __asm__ volatile(
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7\n\tmovdqu 16*\\n(%[b]), %%xmm\\n\n\t.endr\n\t"
        "call crc32_pclmul_copy\n\t"
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7\n\tmovdqu %%xmm\\n, 16*\\n(%[a])\n\t.endr"
        : "+r"(crc), "+r"(d), "+r"(s), "+r"(len)
        : [b] "r"(before), [a] "r"(after)
        : "rax", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
    ck_assert_mem_eq(before, after, sizeof before);
}
END_TEST

int main(void) {
    Suite *s = suite_create("crc_pclmul");
    TCase *t = tcase_create("crc_pclmul");
    tcase_add_test(t, as_the_tables);
    tcase_add_test(t, sse_registers_stay);
    suite_add_tcase(s, t);
    return suite_run(s);
}
