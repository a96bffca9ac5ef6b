// links: proto/cluster/cluster_msg.c
// The codec of the members' messages: whole, cut short, and any bytes.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/cluster/cluster_msg.h"
#include "tests/unit/suite_run.h"

// A message of the type, with something in each part that is its own.
static struct cluster_msg message_of(enum cluster_msg_type type, u8 *payload, u32 payload_len) {
    struct cluster_msg m;
    memset(&m, 0, sizeof m);
    m.type = type;
    m.tag = 0x12345678;
    if (type == MSG_CALL || type == MSG_REPLY) {
        m.call.segment_count = 2;
        m.call.segment[1] = (struct msg_key){0x1122334455667788, 4096, 0xdeadbeef};
        m.call.payload = payload;
        m.call.payload_len = payload_len;
    } else if (type == MSG_KEYS) {
        m.keys.shared.address = 0xffff800000001000;
        m.keys.desc_count = 4096;
        m.keys.cpu.bits[1] = 0x1122334455667788;
        m.keys.cpu.layout = 9;
    } else if (type == MSG_ROSTER) {
        m.roster.count = NODES_MAX;
        m.roster.entry[63].id = 63;
        m.roster.entry[63].row.ipv4 = 0x0a070041;
    } else if (type == MSG_REFS) {
        m.refs.count = MSG_REFS_MAX;
        m.refs.entry[MSG_REFS_MAX - 1].generation = 0x1122334455667788;
    } else if (type == MSG_STATUS) {
        m.stat.count = STATUS_WORDS;
        m.stat.word[STATUS_WORDS - 1] = 0x1122334455667788;
    } else if (type == MSG_CLOCK) {
        m.clock = (struct clock_answer){1, 2, 3, ~0ull, 1ull << 63};
    } else if (type == MSG_SHARE) {
        m.share = (struct share_msg){SHARE_HAVE, SHARE_READ, E_IO, 7, {3, 4, ~0ull, 5}, 4096};
    } else if (type == MSG_FUTEX) {
        m.futex = (struct msg_futex){{1ull << 63 | 5, ~0ull}, 7, 0x80000001};
    } else if (type == MSG_HOLDER_ACK || type == MSG_REFUSE) {
        m.image = (struct image_id){3, 17, 0xabcdef};
        m.status = E_NOENT;
    }
    return m;
}

START_TEST(test_messages) {
    u8 bytes[CLUSTER_MSG_MAX], payload[40] = "an unmodified 9P message";
    for (u32 type = 1; type < MSG_TYPES; type++) {
        struct cluster_msg out, m = message_of((enum cluster_msg_type)type, payload,
                                               sizeof payload);
        u32 len = cluster_msg_encode(&m, bytes, sizeof bytes);
        ck_assert_uint_gt(len, 0);
        ck_assert_int_eq(cluster_msg_decode(&out, bytes, len), S_OK);
        ck_assert_uint_eq(out.tag, m.tag);
        if (type == MSG_CALL) {
            ck_assert_uint_eq(out.call.segment[1].rkey, 0xdeadbeef);
            ck_assert_mem_eq(out.call.payload, payload, sizeof payload);
        } else if (type == MSG_HOLDER_ACK) {
            ck_assert_int_eq(out.status, E_NOENT);
            ck_assert_uint_eq(out.image.epoch, 0xabcdef);
        } else if (type == MSG_REFS) {
            ck_assert_mem_eq(&out.refs, &m.refs, sizeof m.refs);
        } else if (type == MSG_ROSTER) {
            ck_assert_uint_eq(out.roster.count, NODES_MAX);
            ck_assert_mem_eq(&out.roster.entry[63], &m.roster.entry[63],
                             sizeof m.roster.entry[63]);
        } else if (type == MSG_STATUS) {
            ck_assert_uint_eq(out.stat.count, STATUS_WORDS);
            ck_assert_mem_eq(out.stat.word, m.stat.word, sizeof m.stat.word);
        } else if (type == MSG_CLOCK) {
            ck_assert_mem_eq(&out.clock, &m.clock, sizeof m.clock);
        } else if (type == MSG_SHARE) {
            ck_assert_int_eq(out.share.status, E_IO);
            ck_assert_mem_eq(&out.share.key, &m.share.key, sizeof m.share.key);
            ck_assert_uint_eq(out.share.frame, 4096);
        } else if (type == MSG_FUTEX) {
            ck_assert_mem_eq(&out.futex, &m.futex, sizeof m.futex);
        } else if (type == MSG_KEYS) {
            ck_assert_mem_eq(&out.keys, &m.keys, sizeof m.keys);
        }
        for (u32 cut = 0; cut < len; cut++) {   // no shorter one is taken
            ck_assert_int_eq(cluster_msg_decode(&out, bytes, cut), E_PROTO);
            ck_assert_uint_eq(cluster_msg_encode(&m, bytes, cut), 0);
            ck_assert_uint_eq(cluster_msg_encode(&m, bytes, sizeof bytes), len);
        }
        ck_assert_int_eq(cluster_msg_decode(&out, bytes, len + 1), E_PROTO);
    }
}
END_TEST

START_TEST(test_junk) {   // any bytes: an answer, no fault; the sanitizers watch
    struct cluster_msg m;
    srand(1);
    for (u32 i = 0; i < 20000; i++) {
        u32 len = (u32)rand() % 80;
        u8 *bytes = malloc(len + 1);
        for (u32 k = 0; k < len; k++) bytes[k] = (u8)rand();
        if (len > 4) {
            bytes[0] = (u8)(bytes[0] % (MSG_TYPES + 1));
            bytes[1] = CLUSTER_MSG_VERSION;
            bytes[2] = 0;
            bytes[3] = (u8)len;
        }
        if (cluster_msg_decode(&m, bytes, len) == S_OK && m.type == MSG_CALL)
            ck_assert(m.call.payload + m.call.payload_len <= bytes + len);
        free(bytes);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("cluster_msg");
    TCase *t = tcase_create("codec");
    tcase_add_test(t, test_messages);
    tcase_add_test(t, test_junk);
    suite_add_tcase(s, t);
    return suite_run(s);
}
