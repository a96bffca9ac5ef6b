// links: kernel/format.c
// ksnprintf against the host's snprintf, and its own %pI and %pM.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "kernel/klog.h"
#include "tests/unit/suite_run.h"

#define SAME(...)                                                            \
    do {                                                                     \
        char ours[128], theirs[128];                                         \
        int a = ksnprintf(ours, sizeof ours, __VA_ARGS__);                   \
        int b = snprintf(theirs, sizeof theirs, __VA_ARGS__);                \
        ck_assert_str_eq(ours, theirs);                                      \
        ck_assert_int_eq(a, b);                                              \
    } while (0)

START_TEST(as_the_host) {
    SAME("%d %i %u", -5, 7, 4000000000u);
    SAME("[%5d] [%-5d] [%05d] [%05d]", 42, 42, 42, -42);
    SAME("%lu %ld %llx %zu", ~0ul, -1l, 0x123456789abcdefull, (size_t)9);
    SAME("%x %X %08x %02x", 0xabcu, 0xabcu, 0xabcu, 7u);
    SAME("[%s] [%8s] [%-8s] [%.2s] [%.*s] [%*d]", "abc", "abc", "abc", "abc", 1, "abc", 6, 1);
    SAME("%c%c %% %o", 'a', 'b', 8u);
    SAME("%.3u %.0d", 5u, 3);
    SAME("%d %ld", -2147483647 - 1, -9223372036854775807l - 1);
}
END_TEST

START_TEST(cut_as_the_host) {
    for (u64 size = 0; size < 12; size++) {
        char ours[16], theirs[16];
        memset(ours, 'x', sizeof ours);
        memset(theirs, 'x', sizeof theirs);
        const int a = ksnprintf(ours, size, "%s %d", "hello", 1234);
        const int b = snprintf(theirs, size, "%s %d", "hello", 1234);
        ck_assert_int_eq(a, b);
        ck_assert_mem_eq(ours, theirs, sizeof ours);
    }
}
END_TEST

START_TEST(addresses) {
    char text[64];
    const u32 ipv4 = 0x0a070001;
    const u8 mac[6] = {0x52, 0x54, 0, 0x49, 0x53, 0x0f};
    ksnprintf(text, sizeof text, "%pI and %pM", (const void *)&ipv4, (const void *)mac);
    ck_assert_str_eq(text, "10.7.0.1 and 52:54:00:49:53:0f");
}
END_TEST

int main(void) {
    Suite *s = suite_create("format");
    TCase *t = tcase_create("format");
    tcase_add_test(t, as_the_host);
    tcase_add_test(t, cut_as_the_host);
    tcase_add_test(t, addresses);
    suite_add_tcase(s, t);
    return suite_run(s);
}
