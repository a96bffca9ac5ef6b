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
static u32 line_room;
static u32 room(void *ctx) {
    (void)ctx;
    return line_room;
}
static void setup(void) {
    tty_init(&t);
    t.out = out, t.signal = on_signal, t.pgid = 77;
    t.termios.iflag |= TTY_IUTF8;
    line_room = ~0u;
    t.room = room;
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

START_TEST(test_flow) {
    u8 b[8] = "xyz";
    type("a\023b\r");                           // stopped: what is typed is taken, its echo held
    ck_assert_str_eq(echoed, "a");
    ck_assert(!tty_writable(&t));
    ck_assert_uint_eq(tty_write(&t, b, 3), 0);
    type("\021");
    ck_assert_str_eq(echoed, "ab\r\n");
    ck_assert_uint_eq(tty_write(&t, b, 3), 3);
    ck_assert_str_eq(take(60), "ab\n");
    type("\023\003");                            // a signal lets it go on
    ck_assert(tty_writable(&t));
    ck_assert_uint_eq(signalled, 2);
    t.termios.iflag |= 04000u;                   // IXANY
    type("\023x");
    ck_assert(tty_writable(&t));
    type("\023");
    struct tty_termios off = t.termios;
    off.iflag &= ~02000u;
    tty_set_termios(&t, &off);
    ck_assert(tty_writable(&t));
    type("\023");
    ck_assert(tty_writable(&t));
}
END_TEST

START_TEST(test_line_full) {
    const u8 lines[] = "ab\ncd\nef\n";
    line_room = 13;                              // each byte may become several
    ck_assert_uint_eq(tty_write(&t, lines, 9), 5);
    ck_assert_str_eq(echoed, "ab\r\ncd");
    line_room = 7;
    ck_assert(!tty_writable(&t));
    line_room = 8;
    ck_assert(tty_writable(&t));
}
END_TEST

START_TEST(test_editing) {
    type("one two  \027\r");
    ck_assert_str_eq(take(60), "one \n");
    type("a\026\003\026\026b\177\177\177\177c\r");     // next ones stand for themselves
    ck_assert_uint_eq(signalled, 0);
    ck_assert_str_eq(take(60), "c\n");
    echoed_len = 0;
    type("ab\022\r");
    ck_assert_str_eq(echoed, "ab^R\r\nab\r\n");
    (void)take(60);
    t.termios.lflag &= ~0100000u;                // IEXTEN
    type("a\027\026\022\r");
    ck_assert_str_eq(take(60), "a\027\026\022\n");
}
END_TEST

START_TEST(test_echo_kinds) {
    type("\001x\177\177");                       // ^A: two columns
    ck_assert_str_eq(echoed, "^Ax\b \b\b \b\b \b");
    echoed_len = 0;
    type("a\tb\177\177");
    ck_assert_str_eq(echoed, "a\tb\b \b\b\b\b\b\b\b\b");
    type("\025");
    echoed_len = 0;
    t.termios.lflag &= ~04000u;                  // ECHOKE
    type("abc\025");
    ck_assert_str_eq(echoed, "abc^U\r\n");
    echoed_len = 0;
    t.termios.lflag &= ~020u;                    // ECHOE
    type("ab\177");
    ck_assert_str_eq(echoed, "ab^?");
    echoed_len = 0;
    t.termios.lflag &= ~010u;                    // ECHO, but ECHONL
    t.termios.lflag |= 0100u;
    type("x\r");
    ck_assert_str_eq(echoed, "\r\n");
}
END_TEST

START_TEST(test_output) {
    const u8 text[] = "a\tb\r\nc";
    t.termios.oflag = 1 | 010 | 020;             // OPOST OCRNL ONOCR
    ck_assert_uint_eq(tty_write(&t, text, 6), 6);
    ck_assert_str_eq(echoed, "a\tb\n\nc");
    echoed_len = t.column = 0;
    t.termios.oflag = 1 | 014000 | 2;            // XTABS OLCUC
    ck_assert_uint_eq(tty_write(&t, text, 3), 3);
    ck_assert_str_eq(echoed, "A       B");
    echoed_len = 0;
    t.termios.oflag = 4;                         // ONLCR has no effect without OPOST
    ck_assert_uint_eq(tty_write(&t, text, 6), 6);
    ck_assert_str_eq(echoed, "a\tb\r\nc");
}
END_TEST

START_TEST(test_least_and_time) {
    u64 left = 0;
    t.termios.lflag &= ~012u;
    t.termios.cc[6] = 3;                         // VMIN
    type("ab");
    ck_assert(!tty_readable(&t));
    ck_assert_int_eq(tty_read_look(&t, 10, 0, &left), TTY_READ_WAIT);
    ck_assert_int_eq(tty_read_look(&t, 2, 0, &left), TTY_READ_NOW);
    t.termios.cc[5] = 2;                         // VTIME: between bytes
    ck_assert(tty_readable(&t));
    ck_assert_int_eq(tty_read_look(&t, 10, 50000000, &left), TTY_READ_TIMED);
    ck_assert_uint_eq(left, 150000000);
    ck_assert_int_eq(tty_read_look(&t, 10, 200000000, &left), TTY_READ_NOW);
    ck_assert_str_eq(take(10), "ab");
    ck_assert_int_eq(tty_read_look(&t, 10, 900000000, &left), TTY_READ_WAIT);
    t.termios.cc[6] = 0;                         // for the first
    ck_assert_int_eq(tty_read_look(&t, 10, 0, &left), TTY_READ_TIMED);
    ck_assert_int_eq(tty_read_look(&t, 10, 200000000, &left), TTY_READ_NOW);
    ck_assert(!tty_readable(&t));
    t.termios.cc[5] = 0;
    ck_assert_int_eq(tty_read_look(&t, 10, 0, &left), TTY_READ_NOW);
    ck_assert_str_eq(take(10), "");
}
END_TEST

START_TEST(test_throttle) {
    t.termios.iflag |= 010000u;                  // IXOFF
    t.termios.lflag = 0;
    for (u32 i = 0; i < TTY_QUEUE_MAX - 64; i++) (void)tty_input(&t, 'x');
    ck_assert_str_eq(echoed, "\023");
    u8 b[128];
    for (u32 i = 0; t.head != t.tail && i < TTY_QUEUE_MAX; i++) (void)tty_read(&t, b, sizeof b);
    ck_assert_str_eq(echoed, "\023\021");
}
END_TEST

START_TEST(test_eof_behind_a_full_read) {
    type("ab\004cd\r");
    ck_assert_str_eq(take(2), "ab");
    ck_assert_str_eq(take(60), "cd\n");
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
    tcase_add_test(c, test_flow);
    tcase_add_test(c, test_line_full);
    tcase_add_test(c, test_editing);
    tcase_add_test(c, test_echo_kinds);
    tcase_add_test(c, test_output);
    tcase_add_test(c, test_least_and_time);
    tcase_add_test(c, test_throttle);
    tcase_add_test(c, test_eof_behind_a_full_read);
    suite_add_tcase(s, c);
    return suite_run(s);
}
