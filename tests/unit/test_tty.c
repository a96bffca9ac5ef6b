// links: kernel/files/tty.c
// The line discipline: lines, echo, erase, signals, end of file, raw mode.
#include <check.h>
#include <string.h>

#include "kernel/files/tty.h"
#include "tests/unit/suite_run.h"

static struct tty t;
static char echoed[256];
static u32 echoed_len, signalled;

static void out(void *ctx, const u8 *bytes, u32 len) {
    (void)ctx;
    ck_assert_uint_lt(echoed_len + len, sizeof echoed);
    memcpy(echoed + echoed_len, bytes, len);
    echoed_len += len;
    echoed[echoed_len] = 0;
}
static void on_signal(void *ctx, u32 pgid, u32 sig) {
    (void)ctx;
    ck_assert_uint_eq(pgid, 77);
    signalled = sig;
}
static void setup(void) {
    tty_init(&t);
    t.out = out, t.signal = on_signal, t.pgid = 77;
    echoed_len = signalled = 0;
    echoed[0] = 0;
}
static void type(const char *s) {
    for (; *s; s++) (void)tty_input(&t, (u8)*s);
}
static const char *take(u32 max) {
    static char b[64];
    b[tty_read(&t, (u8 *)b, max)] = 0;
    return b;
}

START_TEST(test_line) {
    type("ab");
    ck_assert(!tty_readable(&t));
    type("c\rnext\r");
    ck_assert(tty_readable(&t));
    ck_assert_str_eq(take(60), "abc\n");
    ck_assert_str_eq(take(2), "ne");
    ck_assert(tty_readable(&t));
    ck_assert_str_eq(take(60), "xt\n");
    ck_assert(!tty_readable(&t));
    ck_assert_str_eq(echoed, "abc\r\nnext\r\n");
}
END_TEST

START_TEST(test_erase) {
    type("abX\177c\025de\r");
    ck_assert_str_eq(take(60), "de\n");
    type("\303\244\177z\r");
    ck_assert_str_eq(take(60), "z\n");
}
END_TEST

START_TEST(test_signals) {
    type("abc\003");
    ck_assert_uint_eq(signalled, 2);
    type("x\r");
    ck_assert_str_eq(take(60), "x\n");
    type("\032");
    ck_assert_uint_eq(signalled, 20);
}
END_TEST

START_TEST(test_eof) {
    type("\004");
    ck_assert(tty_readable(&t));
    ck_assert_str_eq(take(60), "");
    type("ab\004");
    ck_assert_str_eq(take(60), "ab");
    ck_assert(!tty_readable(&t));
}
END_TEST

START_TEST(test_raw) {
    t.termios.lflag = 0;
    t.termios.iflag = 0;
    type("a\003\r");
    ck_assert_uint_eq(signalled, 0);
    ck_assert_str_eq(take(60), "a\003\r");
    ck_assert_str_eq(echoed, "");
}
END_TEST

START_TEST(test_overflow) {
    t.termios.lflag &= ~010u;                    // no echo
    for (int i = 0; i < 10000; i++) (void)tty_input(&t, i % 100 == 99 ? '\n' : 1);
    ck_assert_uint_gt(t.dropped, 0);
    u8 b[128];
    for (u32 total = 0; tty_readable(&t); total++) {
        ck_assert_uint_lt(total, 200);
        ck_assert_uint_eq(tty_read(&t, b, sizeof b), 100);
    }
}
END_TEST

START_TEST(test_room) {
    t.termios.lflag &= ~010u;                    // no echo
    u8 b[128];
    u32 typed = 0, taken = 0, next = 0;
    for (; typed < 100000; typed++) {
        while (!tty_has_room(&t)) {
            ck_assert(tty_readable(&t));
            u32 n = tty_read(&t, b, sizeof b);
            for (u32 i = 0; i < n; i++, next++)
                ck_assert_uint_eq(b[i], next % 100 == 99 ? '\n' : 'a' + next % 7);
            taken += n;
        }
        (void)tty_input(&t, typed % 100 == 99 ? '\n' : (u8)('a' + typed % 7));
    }
    while (tty_readable(&t)) taken += tty_read(&t, b, sizeof b);
    ck_assert_uint_eq(taken, typed);
    ck_assert_uint_eq(t.dropped, 0);
}
END_TEST

START_TEST(test_modes) {
    struct tty_termios lines = t.termios, raw = lines;
    raw.lflag &= ~012u;                          // ICANON, ECHO
    type("one\rtw");
    tty_set_termios(&t, &raw);
    ck_assert(tty_readable(&t));
    ck_assert_str_eq(take(2), "on");
    type("o\rthree\r\004fo");
    tty_set_termios(&t, &lines);
    ck_assert_str_eq(take(60), "e\n");
    ck_assert_str_eq(take(60), "two\n");
    ck_assert_str_eq(take(60), "three\n");
    ck_assert_str_eq(take(60), "");              // end of file
    ck_assert(!tty_readable(&t));
    type("X\177ur\r");
    ck_assert_str_eq(take(60), "four\n");
    ck_assert(!tty_readable(&t));
    ck_assert_uint_eq(t.dropped, 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("tty");
    TCase *c = tcase_create("tty");
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, test_line);
    tcase_add_test(c, test_erase);
    tcase_add_test(c, test_signals);
    tcase_add_test(c, test_eof);
    tcase_add_test(c, test_raw);
    tcase_add_test(c, test_overflow);
    tcase_add_test(c, test_room);
    tcase_add_test(c, test_modes);
    suite_add_tcase(s, c);
    return suite_run(s);
}
