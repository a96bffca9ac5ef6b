// links: kernel/frame_guard.c proto/cluster/roster.c
// Which frames a program may see and send: by ports, addresses and tags, and at any length.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/frame_guard.h"
#include "tests/unit/suite_run.h"

static struct roster_row rows[NODES_MAX];
static const u8 mac0[6] = {2, 0, 0, 0, 0, 1}, mac1[6] = {2, 0, 0, 0, 0, 2},
                stranger[6] = {2, 0, 0, 0, 0, 9};
#define IP(host) (0x0a070000u + (host))
static u8 frame[128];
static struct frame_guard roce, other;

static void setup(void) {
    memset(rows, 0, sizeof rows);
    rows[0] = (struct roster_row){.listed = true, .ipv4 = IP(1)};
    rows[5] = (struct roster_row){.assigned = true, .ipv4 = IP(2)};
    memcpy(rows[0].mac, mac0, 6);
    memcpy(rows[5].mac, mac1, 6);
    roce = (struct frame_guard){rows, mac0, true};       // node 0's card
    other = (struct frame_guard){rows, stranger, false};
}

static void begin(const u8 *source, u32 type) {
    memset(frame, 0, sizeof frame);
    memcpy(frame + 6, source, 6);
    frame[12] = (u8)(type >> 8);
    frame[13] = (u8)type;
}

static void put32(u8 *p, u32 v) {
    for (u32 i = 0; i < 4; i++) p[i] = (u8)(v >> (24 - 8 * i));
}

// IPv4 and UDP at `at`, with `words` of IP header.
static void udp(u32 at, u32 words, u32 from, u32 to, u32 port_from, u32 port_to) {
    frame[at] = (u8)(0x40 | words);
    frame[at + 9] = 17;
    put32(frame + at + 12, from);
    put32(frame + at + 16, to);
    put32(frame + at + 4 * words, port_from << 16 | port_to);
}

START_TEST(roce_by_port) {
    begin(mac0, 0x0800);
    udp(14, 5, IP(1), IP(9), 50000, 4791);
    ck_assert(frame_is_clusters(&roce, frame, 80) && frame_forges(&roce, frame, 80));
    udp(14, 15, IP(1), IP(9), 4791, 7);                  // options before the ports
    ck_assert(frame_is_clusters(&roce, frame, 80));
    udp(14, 15, IP(1), IP(9), 4790, 4792);
    ck_assert(!frame_is_clusters(&roce, frame, 80) && !frame_forges(&roce, frame, 80));
    udp(14, 5, IP(1), IP(9), 50000, 4791);
    frame[14 + 6] = 0x20, frame[14 + 7] = 1;             // a later fragment has no ports
    ck_assert(!frame_is_clusters(&roce, frame, 80));
    frame[14 + 7] = 0;                                   // the first has
    ck_assert(frame_is_clusters(&roce, frame, 80));
    frame[14 + 9] = 6;                                   // TCP
    ck_assert(!frame_is_clusters(&roce, frame, 80));
}
END_TEST

START_TEST(tags_and_other_types) {
    begin(mac0, 0x8100);
    frame[16] = 8;
    udp(18, 5, IP(7), IP(9), 1, 4791);
    ck_assert(frame_is_tagged(frame, 80) && frame_is_clusters(&roce, frame, 80));
    ck_assert(!frame_is_clusters(&other, frame, 80));    // of nobody's
    udp(18, 5, IP(7), IP(2), 1, 4791);
    ck_assert(frame_is_clusters(&other, frame, 80));
    begin(mac0, 0x88a8);
    frame[16] = 0x81, frame[20] = 8;
    udp(22, 5, IP(1), IP(9), 4791, 1);
    ck_assert(frame_is_clusters(&roce, frame, 80));
    begin(mac0, 0x86dd);
    frame[14 + 6] = 17;
    put32(frame + 14 + 40, 4791);
    ck_assert(frame_is_clusters(&roce, frame, 80) && !frame_is_clusters(&other, frame, 80));
    begin(mac0, 0x8915);
    ck_assert(frame_is_clusters(&roce, frame, 60) && !frame_is_clusters(&other, frame, 60));
    begin(mac0, 0x88b5);
    ck_assert(frame_is_clusters(&roce, frame, 60) && !frame_is_clusters(&other, frame, 60));
}
END_TEST

START_TEST(forged_sources) {
    begin(mac1, 0x1234);
    ck_assert(frame_forges(&roce, frame, 60) && frame_forges(&other, frame, 60));
    ck_assert(!frame_is_clusters(&roce, frame, 60));     // a reader may see it
    begin(mac0, 0x1234);
    ck_assert(!frame_forges(&roce, frame, 60) && frame_forges(&other, frame, 60));
    begin(stranger, 0x1234);
    ck_assert(!frame_forges(&roce, frame, 60));
    begin(mac0, 0x0806);
    memcpy(frame + 22, mac0, 6);
    put32(frame + 28, IP(1));
    ck_assert(!frame_forges(&roce, frame, 60));
    put32(frame + 28, IP(2));
    ck_assert(frame_forges(&roce, frame, 60));
    put32(frame + 28, IP(9));
    memcpy(frame + 22, mac1, 6);
    ck_assert(frame_forges(&roce, frame, 60));
    begin(stranger, 0x0800);
    udp(14, 5, IP(1), IP(9), 1, 2);
    ck_assert(!frame_forges(&roce, frame, 60) && frame_forges(&other, frame, 60));
}
END_TEST

// Every length of frames that look right in their first bytes; the sanitizer watches.
START_TEST(any_length) {
    static const u32 types[] = {0x0800, 0x0806, 0x8100, 0x88a8, 0x86dd, 0x8915, 0};
    srand(1);
    for (u32 round = 0; round < 20000; round++) {
        const u32 len = (u32)rand() % 90;
        u8 *bytes = malloc(len + !len);
        for (u32 i = 0; i < len; i++) bytes[i] = (u8)(rand() % 8 ? rand() : 17);
        for (u32 at = 12; at + 2 <= len && at < 24; at += 4) {
            const u32 type = types[(u32)rand() % 7];
            bytes[at] = (u8)(type >> 8);
            bytes[at + 1] = (u8)type;
            if (rand() % 2) break;
        }
        (void)frame_is_tagged(bytes, len);
        ck_assert(!frame_is_clusters(&roce, bytes, len) || frame_forges(&roce, bytes, len));
        ck_assert(!frame_is_clusters(&other, bytes, len) || frame_forges(&other, bytes, len));
        free(bytes);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("frame_guard");
    TCase *t = tcase_create("frame_guard");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, roce_by_port);
    tcase_add_test(t, tags_and_other_types);
    tcase_add_test(t, forged_sources);
    tcase_add_test(t, any_length);
    suite_add_tcase(s, t);
    return suite_run(s);
}
