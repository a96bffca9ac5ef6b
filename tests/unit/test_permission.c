// Permissions of files (kernel/permission.c): every mode for every kind of user against POSIX's
// own words, sticky directories, and what a change of attributes asks and costs.
// links: kernel/permission.c
#include <check.h>

#include "kernel/files/object.h"
#include "kernel/permission.h"
#include "tests/unit/suite_run.h"

struct proc *procs;
struct proc_desc *proc_descs;

#define ANN 1000u
#define BOB 1001u
#define STAFF 500u

static const u32 staff[] = {3, STAFF};
static const struct cred root = {0, 0, 0, NULL}, ann = {ANN, ANN, 0, NULL},
                         member = {BOB, BOB, 2, staff}, other = {7, 7, 0, NULL};

static struct p9_attr file_of(u32 mode, u32 uid, u32 gid) {
    return (struct p9_attr){.mode = mode, .uid = uid, .gid = gid};
}

START_TEST(test_one_class_of_bits_decides) {
    for (u32 bits = 0; bits < 01000; bits++) {
        const struct p9_attr f = file_of(S_IFREG | bits, ANN, STAFF);
        for (u32 wanted = 0; wanted < 8; wanted++) {
            const bool owner = !(wanted & ~(bits >> 6)), group = !(wanted & ~(bits >> 3 & 7)),
                       all = !(wanted & ~(bits & 7));
            ck_assert_int_eq(permission_file(&ann, &f, wanted), owner ? S_OK : E_ACCES);
            ck_assert_int_eq(permission_file(&member, &f, wanted), group ? S_OK : E_ACCES);
            ck_assert_int_eq(permission_file(&other, &f, wanted), all ? S_OK : E_ACCES);
            const bool executes = (wanted & MAY_EXEC) && !(bits & 0111);
            ck_assert_int_eq(permission_file(&root, &f, wanted), executes ? E_ACCES : S_OK);
        }
    }
}
END_TEST

START_TEST(test_user_0_searches_every_directory) {
    const struct p9_attr d = file_of(S_IFDIR, ANN, STAFF);
    ck_assert_int_eq(permission_file(&root, &d, 7), S_OK);
    ck_assert_int_eq(permission_file(&ann, &d, MAY_EXEC), E_ACCES);
}
END_TEST

START_TEST(test_sticky_directories) {
    const struct p9_attr shared = file_of(S_IFDIR | 01777, 0, 0),
                         anns = file_of(S_IFDIR | 01777, ANN, ANN),
                         open = file_of(S_IFDIR | 0777, 0, 0),
                         closed = file_of(S_IFDIR | 01755, 0, 0),
                         bobs = file_of(S_IFREG | 0666, BOB, BOB);
    ck_assert_int_eq(permission_remove(&ann, &shared, &bobs), E_PERM);
    ck_assert_int_eq(permission_remove(&member, &shared, &bobs), S_OK);
    ck_assert_int_eq(permission_remove(&ann, &anns, &bobs), S_OK);
    ck_assert_int_eq(permission_remove(&other, &anns, &bobs), E_PERM);
    ck_assert_int_eq(permission_remove(&other, &open, &bobs), S_OK);
    ck_assert_int_eq(permission_remove(&member, &closed, &bobs), E_ACCES);
    ck_assert_int_eq(permission_remove(&root, &shared, &bobs), S_OK);
}
END_TEST

START_TEST(test_a_change_of_owner_costs_the_set_id_bits) {
    const struct p9_attr f = file_of(S_IFREG | 06755, ANN, ANN);
    struct p9_attr set = {.valid = P9_SETATTR_UID, .uid = BOB};
    ck_assert_int_eq(permission_set(&root, &f, &set), S_OK);
    ck_assert_uint_eq(set.mode, 0755);
    ck_assert_uint_eq(set.valid, P9_SETATTR_UID | P9_SETATTR_MODE);
    set = (struct p9_attr){.valid = P9_SETATTR_UID, .uid = BOB};
    ck_assert_int_eq(permission_set(&ann, &f, &set), E_PERM);
    const struct p9_attr locked = file_of(S_IFREG | 02644, ANN, ANN);    // not executable: kept
    set = (struct p9_attr){.valid = P9_SETATTR_GID, .gid = BOB};
    ck_assert_int_eq(permission_set(&root, &locked, &set), S_OK);
    ck_assert_uint_eq(set.valid, P9_SETATTR_GID);
}
END_TEST

START_TEST(test_groups_one_is_in) {
    const struct p9_attr f = file_of(S_IFREG | 0644, BOB, BOB);
    struct p9_attr set = {.valid = P9_SETATTR_GID, .gid = STAFF};
    ck_assert_int_eq(permission_set(&member, &f, &set), S_OK);
    set = (struct p9_attr){.valid = P9_SETATTR_GID, .gid = 9};
    ck_assert_int_eq(permission_set(&member, &f, &set), E_PERM);
    const struct p9_attr theirs = file_of(S_IFREG | 0644, BOB, 9);
    set = (struct p9_attr){.valid = P9_SETATTR_MODE, .mode = 02755};
    ck_assert_int_eq(permission_set(&member, &theirs, &set), S_OK);
    ck_assert_uint_eq(set.mode, 0755);
}
END_TEST

START_TEST(test_times) {
    const struct p9_attr f = file_of(S_IFREG | 0646, ANN, ANN);
    const u64 both = P9_SETATTR_ATIME | P9_SETATTR_MTIME;
    struct p9_attr now = {.valid = both}, one = {.valid = P9_SETATTR_ATIME},
                   then = {.valid = both | P9_SETATTR_ATIME_SET | P9_SETATTR_MTIME_SET};
    ck_assert_int_eq(permission_set(&other, &f, &now), S_OK);      // it may write to it
    ck_assert_int_eq(permission_set(&other, &f, &one), E_PERM);
    ck_assert_int_eq(permission_set(&other, &f, &then), E_PERM);
    ck_assert_int_eq(permission_set(&ann, &f, &then), S_OK);
    const struct p9_attr closed = file_of(S_IFREG | 0644, ANN, ANN);
    ck_assert_int_eq(permission_set(&other, &closed, &now), E_ACCES);
}
END_TEST

START_TEST(test_what_an_open_asks_for) {
    ck_assert_uint_eq(permission_of_open(0), MAY_READ);
    ck_assert_uint_eq(permission_of_open(O_WRONLY), MAY_WRITE);
    ck_assert_uint_eq(permission_of_open(O_RDWR), MAY_READ | MAY_WRITE);
    ck_assert_uint_eq(permission_of_open(O_TRUNC), MAY_READ | MAY_WRITE);
    ck_assert_uint_eq(permission_of_open(O_PATH | O_RDWR), 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("permission");
    TCase *t = tcase_create("permission");
    tcase_add_test(t, test_one_class_of_bits_decides);
    tcase_add_test(t, test_user_0_searches_every_directory);
    tcase_add_test(t, test_sticky_directories);
    tcase_add_test(t, test_a_change_of_owner_costs_the_set_id_bits);
    tcase_add_test(t, test_groups_one_is_in);
    tcase_add_test(t, test_times);
    tcase_add_test(t, test_what_an_open_asks_for);
    suite_add_tcase(s, t);
    return suite_run(s);
}
