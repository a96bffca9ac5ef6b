// links: drivers/console/keymap.c
// Scan codes into bytes: characters, modifiers, locks, keys with sequences, odd codes.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/console/keymap.h"
#include "tests/unit/suite_run.h"
#include "tests/unit/suite_run.h"

static struct keymap k;
static char got[256];

static void setup(void) { memset(&k, 0, sizeof k); }

// Feeds codes (hex text) and returns the bytes as text, control characters as ^X.
static const char *type(const char *codes) {
    char *out = got;
    for (char *end; *codes; codes = end) {
        u8 bytes[KEY_BYTES_MAX];
        const u32 n = keymap_take(&k, (u8)strtoul(codes, &end, 16), bytes);
        ck_assert_uint_le(n, KEY_BYTES_MAX);
        for (u32 i = 0; i < n; i++) {
            if (bytes[i] < 32) *out++ = '^', *out++ = (char)(bytes[i] + '@');
            else *out++ = (char)bytes[i];
        }
    }
    *out = 0;
    return got;
}

START_TEST(characters) {
    ck_assert_str_eq(type("23 a3 12 92 26 26 18"), "hello");
    ck_assert_str_eq(type("02 0b 0c 0d 1a 1b 27 28 29 2b 33 34 35 39"), "10-=[];'`\\,./ ");
    ck_assert_str_eq(type("1c 0f 01 0e"), "^M^I^[\177");
}
END_TEST

START_TEST(modifiers) {
    ck_assert_str_eq(type("2a 23 03 aa 23 03"), "H@h2");
    ck_assert_str_eq(type("36 1e 02 b6 1e"), "A!a");
    ck_assert_str_eq(type("3a ba 1e 02 2a 1e aa 3a ba 1e"), "A1aa");
    ck_assert_str_eq(type("1d 2e 9d 2e e0 1d 20 e0 9d 20"), "^Cc^Dd");
    ck_assert_str_eq(type("1d 1a 2b 9d"), "^[^\\");
    ck_assert_str_eq(type("38 21 b8 21"), "^[ff");
}
END_TEST

START_TEST(keys_with_sequences) {
    ck_assert_str_eq(type("e0 48 e0 c8 e0 50 e0 4d e0 4b"), "^[[A^[[B^[[C^[[D");
    ck_assert_str_eq(type("e0 47 e0 4f e0 49 e0 51 e0 52 e0 53"),
                     "^[[H^[[F^[[5~^[[6~^[[2~^[[3~");
    ck_assert_str_eq(type("e0 2a e0 48 e0 c8 e0 aa 1e"), "^[[Aa");      // fake shifts
    ck_assert_str_eq(type("48 4a 4e 45 c5 48 4c 53 45 c5 4b"), "^[[A-+85.^[[D");
    ck_assert_str_eq(type("e0 1c e0 35"), "^M/");
    ck_assert_str_eq(type("3b 44 57 58"), "^[OP^[[21~^[[23~^[[24~");
}
END_TEST

START_TEST(what_means_nothing) {
    ck_assert_str_eq(type("e1 1d 45 e1 9d c5 1e"), "a");                // pause
    ck_assert_str_eq(type("54 59 7f 00 e0 5b e0 37 46"), "");
    for (u32 i = 0; i < 100000; i++) {                                   // never too many
        u8 bytes[KEY_BYTES_MAX];
        ck_assert_uint_le(keymap_take(&k, (u8)rand(), bytes), KEY_BYTES_MAX);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("keymap");
    TCase *t = tcase_create("keymap");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, characters);
    tcase_add_test(t, modifiers);
    tcase_add_test(t, keys_with_sequences);
    tcase_add_test(t, what_means_nothing);
    suite_add_tcase(s, t);
    return suite_run(s);
}
