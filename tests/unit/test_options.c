// links: kernel/options.c kernel/format.c
// Kernel options and cluster.conf: what is accepted, what is reported, and how.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/klog.h"
#include "kernel/options.h"
#include "tests/unit/suite_run.h"

static char said[4096];
static u32 said_count;

static void report(void *ctx, const char *text) {
    (void)ctx;
    const size_t at = strlen(said);
    ksnprintf(said + at, sizeof said - at, "%s\n", text);
    said_count++;
}

static u32 parse(const char *words, struct options *o) {
    said[0] = 0;
    said_count = 0;
    options_defaults(o);
    return options_parse(words, o, report, NULL);
}

static u32 conf(const char *text, struct cluster_conf *c) {
    said[0] = 0;
    said_count = 0;
    return cluster_conf_parse((const u8 *)text, strlen(text), c, report, NULL);
}

#define KEY "key 000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\n"

START_TEST(options_good) {
    struct options o;
    ck_assert_uint_eq(parse("  rdma.test=1\tpanic=exit run=com2 proc.max=64 net.mtu=4200 "
                           "ip=10.7.0.70 join.wait=5 dead.after=50 dead.floor=2 ", &o), 0);
    ck_assert(o.rdma_test);
    ck_assert_uint_eq(o.panic_action, PANIC_EXIT);
    ck_assert_str_eq(o.run, "com2");
    ck_assert_uint_eq(o.desc_count, 64);
    ck_assert_uint_eq(o.mtu, 4200);
    ck_assert_uint_eq(o.ip, 0x0a070046);
    ck_assert_uint_eq(o.join_wait_s, 5);
    ck_assert_uint_eq(o.dead_after, 50);
    ck_assert_uint_eq(o.dead_floor_s, 2);
    ck_assert_uint_eq(parse("", &o), 0);
    ck_assert(!o.rdma_test && o.mtu == 0 && o.run[0] == 0);
}
END_TEST

START_TEST(options_bad_are_named_and_change_nothing) {
    static const char *const bad[] = {
        "rdma.test=2", "rdma.test=", "rdma.test", "panic=no", "run=com3", "proc.max=15",
        "proc.max=65537", "proc.max=4294967312", "proc.max=-1", "proc.max=0x20", "net.mtu=100",
        "net.mtu=9001", "ip=10.7.0", "ip=1", "join.wait=3601", "join.wait=",
        "dead.after=0", "hold.at=x", "dead.floor=61", "selftest=what", "frobnicate=1", "=1", "=",
        "rdma.test=1=1", "RDMA.TEST=1",
    };
    for (u32 i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct options o, fresh;
        memset(&o, 0, sizeof o);
        memset(&fresh, 0, sizeof fresh);
        options_defaults(&fresh);
        ck_assert_msg(parse(bad[i], &o) == 1, "%s", bad[i]);
        ck_assert_msg(strstr(said, bad[i]) != NULL, "%s: %s", bad[i], said);
        ck_assert_mem_eq(&o, &fresh, sizeof o);
    }
    struct options o;
    ck_assert_uint_eq(parse("nope=1 net.mtu=1500 nope", &o), 2);
    ck_assert_uint_eq(o.mtu, 1500);
}
END_TEST

START_TEST(conf_good) {
    struct cluster_conf c;
    const char *text = "# a cluster\r\n\nnode 0 52:54:00:49:53:01 10.7.0.1 # first\n"
                       "\tnode 15 52:54:00:49:53:fF 255.0.0.1\n" KEY;
    ck_assert_msg(conf(text, &c) == 0, "%s", said);
    ck_assert(c.valid && c.key_set);
    ck_assert(c.node[0].listed && c.node[15].listed && !c.node[1].listed);
    ck_assert_uint_eq(c.node[0].ipv4, 0x0a070001);
    ck_assert_uint_eq(c.node[15].ipv4, 0xff000001);
    ck_assert_uint_eq(c.node[15].mac[5], 0xff);
    for (u32 i = 0; i < CLUSTER_KEY_BYTES; i++) ck_assert_uint_eq(c.key[i], i);
}
END_TEST

START_TEST(conf_bad_names_the_line) {
    static const struct { const char *text, *where; } bad[] = {
        {"node 0 52:54:00:49:53:01\n" KEY, "cluster.conf:1: "},
        {"\nnode 64 52:54:00:49:53:01 10.7.0.1\n" KEY, "cluster.conf:2: "},
        {"node 0 52:54:00:49:53 10.7.0.1\n" KEY, "cluster.conf:1: "},
        {"node 0 52:54:00:49:53:0g 10.7.0.1\n" KEY, "cluster.conf:1: "},
        {"node 0 53:54:00:49:53:01 10.7.0.1\n" KEY, "cluster.conf:1: the MAC is a group"},
        {"node 0 52:54:00:49:53:01 10.7.0.256\n" KEY, "cluster.conf:1: the IPv4"},
        {"node 0 52:54:00:49:53:01 10.7.0\n" KEY, "cluster.conf:1: the IPv4"},
        {"node 0 52:54:00:49:53:01 10.7.0.1.2\n" KEY, "cluster.conf:1: the IPv4"},
        {"node 0 52:54:00:49:53:01 10.7.0.1 x\n" KEY, "cluster.conf:1: "},
        {"node 0 52:54:00:49:53:01 10.7.0.1\nnode 0 52:54:00:49:53:02 10.7.0.2\n" KEY,
         "cluster.conf:2: this node id is listed twice"},
        {"node 0 52:54:00:49:53:01 10.7.0.1\nnode 1 52:54:00:49:53:01 10.7.0.2\n" KEY,
         "cluster.conf:2: this MAC is listed twice"},
        {"node 0 52:54:00:49:53:01 10.7.0.1\nnode 1 52:54:00:49:53:02 10.7.0.1\n" KEY,
         "cluster.conf:2: this IPv4"},
        {"node 0 52:54:00:49:53:01 10.7.0.1\nkey 00\n", "cluster.conf:2: a key line"},
        {"node 0 52:54:00:49:53:01 10.7.0.1\n" KEY KEY, "cluster.conf:3: a second key"},
        {"node 0 52:54:00:49:53:01 10.7.0.1\n", "cluster.conf:1: the file ends without a key"},
        {KEY, "cluster.conf:1: the file ends without a node"},
        {"", "cluster.conf:0: the file ends"},
        {"nodes 0\n" KEY, "cluster.conf:1: a line starts with"},
    };
    for (u32 i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cluster_conf c;
        ck_assert_msg(conf(bad[i].text, &c) >= 1, "%s", bad[i].text);
        ck_assert_msg(strstr(said, bad[i].where) == said, "%s: %s", bad[i].text, said);
        ck_assert(!c.valid);
    }
}
END_TEST

START_TEST(conf_bytes_of_any_kind) {
    static const char alphabet[] = "nodekey 0123456789abcdef:.#\n\r\t\0\xff";
    srand(1);
    for (u32 round = 0; round < 20000; round++) {
        u8 text[200];
        const u32 len = (u32)rand() % sizeof text;
        for (u32 i = 0; i < len; i++) text[i] = (u8)alphabet[(u32)rand() % sizeof alphabet];
        u8 *exact = malloc(len + 1);             // the sanitizer sees a read behind the end
        memcpy(exact, text, len);
        exact = realloc(exact, len ? len : 1);
        struct cluster_conf c;
        said[0] = 0;
        said_count = 0;
        const u32 errors = cluster_conf_parse(exact, len, &c, report, NULL);
        ck_assert_uint_eq(errors, said_count);
        ck_assert(c.valid == (errors == 0));
        free(exact);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("options");
    TCase *t = tcase_create("options");
    tcase_add_test(t, options_good);
    tcase_add_test(t, options_bad_are_named_and_change_nothing);
    tcase_add_test(t, conf_good);
    tcase_add_test(t, conf_bad_names_the_line);
    tcase_add_test(t, conf_bytes_of_any_kind);
    suite_add_tcase(s, t);
    return suite_run(s);
}
