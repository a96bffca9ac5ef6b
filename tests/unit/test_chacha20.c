// ChaCha20 against the vectors of RFC 8439.
// links: kernel/chacha20.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/chacha20.h"

START_TEST(rfc8439_2_3_2) {
    u32 key[8];
    u8 raw[32], out[64];
    for (u32 i = 0; i < 32; i++) raw[i] = (u8)i;
    memcpy(key, raw, 32);
    const u32 nonce[3] = {0x09000000, 0x4a000000, 0};
    static const u8 want[64] = {
        0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3, 0x20, 0x71,
        0xc4, 0xc7, 0xd1, 0xf4, 0xc7, 0x33, 0xc0, 0x68, 0x03, 0x04, 0x22, 0xaa, 0x9a, 0xc3, 0xd4,
        0x6c, 0x4e, 0xd2, 0x82, 0x64, 0x46, 0x07, 0x9f, 0xaa, 0x09, 0x14, 0xc2, 0xd7, 0x05, 0xd9,
        0x8b, 0x02, 0xa2, 0xb5, 0x12, 0x9c, 0xd1, 0xde, 0x16, 0x4e, 0xb9, 0xcb, 0xd0, 0x83, 0xe8,
        0xa2, 0x50, 0x3c, 0x4e};
    chacha20_block(key, 1, nonce, out);
    ck_assert_mem_eq(out, want, 64);
}
END_TEST

START_TEST(rfc8439_a_1_zero_key) {
    const u32 key[8] = {0}, nonce[3] = {0};
    u8 out[64];
    static const u8 want[8] = {0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90};
    chacha20_block(key, 0, nonce, out);
    ck_assert_mem_eq(out, want, 8);
}
END_TEST

int main(void) {
    Suite *s = suite_create("chacha20");
    TCase *t = tcase_create("vectors");
    tcase_add_test(t, rfc8439_2_3_2);
    tcase_add_test(t, rfc8439_a_1_zero_key);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
