// links: kernel/files/cpio.c
// The cpio parser: a good archive, every truncation, junk in every field.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/files/ramfs.h"
#include "tests/unit/suite_run.h"

static u8 archive[1024];
static u64 len;

static void add(const char *name, const char *data) {
    u64 size = strlen(data);
    len += (u64)snprintf((char *)archive + len, sizeof archive - len,
                         "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1u, 0100644u,
                         0u, 0u, 1u, 5u, (unsigned)size, 0u, 0u, 0u, 0u, (unsigned)strlen(name) + 1,
                         0u);
    memcpy(archive + len, name, strlen(name) + 1);
    len += strlen(name) + 1;
    while (len % 4) archive[len++] = 0;
    memcpy(archive + len, data, size);
    len += size;
    while (len % 4) archive[len++] = 0;
}
static void setup(void) {
    memset(archive, 0, sizeof archive);
    len = 0;
    add("one", "hello");
    add("dir/two", "");
    add("TRAILER!!!", "");
}

START_TEST(test_good) {
    u64 at = 0;
    struct cpio_file f;
    ck_assert_int_eq(cpio_next(archive, len, &at, &f), S_OK);
    ck_assert_str_eq(f.name, "one");
    ck_assert_uint_eq(f.size, 5);
    ck_assert_uint_eq(f.mtime_s, 5);
    ck_assert(!memcmp(f.data, "hello", 5));
    ck_assert_int_eq(cpio_next(archive, len, &at, &f), S_OK);
    ck_assert_str_eq(f.name, "dir/two");
    ck_assert_int_eq(cpio_next(archive, len, &at, &f), E_NOENT);
}
END_TEST

START_TEST(test_truncated) {
    for (u64 n = 0; n < len; n++) {
        u8 *copy = malloc(n ? n : 1);
        memcpy(copy, archive, n);
        u64 at = 0;
        struct cpio_file f;
        status_t s;
        while ((s = cpio_next(copy, n, &at, &f)) == S_OK) ck_assert(f.data + f.size <= copy + n);
        ck_assert(s == E_INVAL || s == E_NOENT);
        free(copy);
    }
}
END_TEST

START_TEST(test_junk) {
    static const u8 values[] = {0, 'f', 'F', '0', 0xff};
    for (u64 i = 0; i < len; i++) {
        for (u32 v = 0; v < sizeof values; v++) {
            u8 *copy = malloc(len);
            memcpy(copy, archive, len);
            copy[i] = values[v];
            u64 at = 0;
            struct cpio_file f;
            while (cpio_next(copy, len, &at, &f) == S_OK) ck_assert(f.data + f.size <= copy + len);
            free(copy);
        }
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("cpio");
    TCase *c = tcase_create("cpio");
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, test_good);
    tcase_add_test(c, test_truncated);
    tcase_add_test(c, test_junk);
    suite_add_tcase(s, c);
    return suite_run(s);
}
