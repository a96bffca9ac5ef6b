// HMAC-SHA-256 of the kernel's wrapper against values of Python's hmac
// module (OpenSSL).
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/hmac.h"
#include "tests/unit/suite_run.h"

static void check_hex(const u8 mac[32], const char *hex) {
    char got[65];
    for (int i = 0; i < 32; i++) snprintf(got + 2 * i, 3, "%02x", mac[i]);
    ck_assert_str_eq(got, hex);
}

START_TEST(empty_text) {
    u8 key[32], mac[32];
    memset(key, 0, sizeof key);
    hmac_sha256(key, "", 0, mac);
    check_hex(mac, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}
END_TEST

START_TEST(longer_than_a_block) {
    u8 key[32], mac[32], text[200];
    for (int i = 0; i < 32; i++) key[i] = (u8)i;
    memset(text, 'a', sizeof text);
    hmac_sha256(key, text, sizeof text, mac);
    check_hex(mac, "70034faebea699a3b6a78ec372b97a83906134874545455329c0dea5eccde6ee");
}
END_TEST

int main(void) {
    Suite *s = suite_create("hmac");
    TCase *t = tcase_create("sha256");
    tcase_add_test(t, empty_text);
    tcase_add_test(t, longer_than_a_block);
    suite_add_tcase(s, t);
    return suite_run(s);
}
