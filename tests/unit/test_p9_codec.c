// 9P2000.L messages and envelopes as bytes: every message there and back, cut at every
// byte, with hostile lengths, and beside bytes written by hand from the protocol's text.
// links: proto/p9/p9_codec.c proto/p9/envelope.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/p9/envelope.h"
#include "tests/unit/p9_random.h"
#include "tests/unit/suite_run.h"

static u8 out[8192], again[8192];

static struct p9_buf buf_of(u8 *bytes, u32 size) {
    return (struct p9_buf){.bytes = bytes, .size = size};
}

// A copy in memory of exactly len bytes, so that the sanitizer sees a byte too far.
static u8 *exact(const u8 *from, u32 len) {
    u8 *p = malloc(len ? len : 1);
    memcpy(p, from, len);
    return p;
}

static void check_objects_and_names(const struct p9_call *a, const struct p9_call *b) {
    if (b->name) ck_assert_str_eq(a->name, b->name);
    if (b->name2) ck_assert_str_eq(a->name2, b->name2);
}

START_TEST(requests_there_and_back) {
    for (u32 round = 0; round < 40; round++) {
        for (u32 t = 0; t < P9_TYPE_COUNT; t++) {
            struct p9_call c, d = {0};
            struct p9_parsed parsed;
            random_call(&c, p9_types[t]);
            u16 tag = (u16)random_u32();
            struct p9_buf b = buf_of(out, sizeof out);
            ck_assert_int_eq(p9_request_pack(&b, &c, tag), S_OK);
            u8 *copy = exact(out, b.len);
            ck_assert_int_eq(p9_request_unpack(copy, b.len, &d, &parsed), S_OK);
            ck_assert_uint_eq(parsed.tag, tag);
            ck_assert_uint_eq(d.type, c.type);
            ck_assert_uint_eq(parsed.payload_len, p9_request_payload(&c));
            ck_assert_ptr_null(parsed.payload);        // left out
            check_objects_and_names(&c, &d);
            struct p9_buf b2 = buf_of(again, sizeof again);
            ck_assert_int_eq(p9_request_pack(&b2, &d, tag), S_OK);
            ck_assert_uint_eq(b2.len, b.len);
            ck_assert_mem_eq(again, out, b.len);
            free(copy);
        }
    }
}
END_TEST

START_TEST(replies_there_and_back) {
    for (u32 round = 0; round < 40; round++) {
        for (u32 t = 0; t < P9_TYPE_COUNT; t++) {
            struct p9_call c, d = {.type = p9_types[t], .name = "x", .status = E_BUSY};
            struct p9_parsed parsed;
            random_call(&c, p9_types[t]);
            struct p9_buf b = buf_of(out, sizeof out);
            ck_assert_int_eq(p9_reply_pack(&b, &c, 7), S_OK);
            u8 *copy = exact(out, b.len);
            ck_assert_int_eq(p9_reply_unpack(copy, b.len, &d, &parsed), S_OK);
            ck_assert_int_eq(d.status, S_OK);
            ck_assert_uint_eq(parsed.payload_len, p9_reply_payload(&c));
            struct p9_buf b2 = buf_of(again, sizeof again);
            ck_assert_int_eq(p9_reply_pack(&b2, &d, 7), S_OK);
            ck_assert_uint_eq(b2.len, b.len);
            ck_assert_mem_eq(again, out, b.len);
            free(copy);
        }
    }
}
END_TEST

START_TEST(fields_arrive) {
    struct p9_call c, d = {0};
    struct p9_parsed parsed;
    random_call(&c, P9_TRENAMEAT);
    struct p9_buf b = buf_of(out, sizeof out);
    ck_assert_int_eq(p9_request_pack(&b, &c, 1), S_OK);
    ck_assert_int_eq(p9_request_unpack(out, b.len, &d, &parsed), S_OK);
    ck_assert_uint_eq(d.object.index, c.object.index);
    ck_assert_uint_eq(d.object2.index, c.object2.index);
    random_call(&c, P9_TGETATTR);
    b = buf_of(out, sizeof out);
    ck_assert_int_eq(p9_reply_pack(&b, &c, 1), S_OK);
    d = (struct p9_call){.type = P9_TGETATTR};
    ck_assert_int_eq(p9_reply_unpack(out, b.len, &d, &parsed), S_OK);
    ck_assert_uint_eq(d.attr.qid_path, c.attr.qid_path);
    ck_assert_uint_eq(d.attr.size, c.attr.size);
    ck_assert_uint_eq(d.attr.ctime_ns, c.attr.ctime_ns);
    ck_assert_uint_eq(d.attr.mode, c.attr.mode);
}
END_TEST

START_TEST(cut_at_every_byte) {
    for (u32 t = 0; t < P9_TYPE_COUNT; t++) {
        struct p9_call c;
        random_call(&c, p9_types[t]);
        if (c.type == P9_TWRITE || c.type == P9_TIOCTL) c.count = 100;
        c.result = 100;
        for (int reply = 0; reply < 2; reply++) {
            struct p9_buf b = buf_of(out, sizeof out);
            ck_assert_int_eq(reply ? p9_reply_pack(&b, &c, 3) : p9_request_pack(&b, &c, 3), S_OK);
            u32 head = b.len;
            u32 whole = head + (reply ? p9_reply_payload(&c) : p9_request_payload(&c));
            memset(out + head, 0x5a, 200);
            for (u32 len = 0; len <= whole + 1; len++) {
                struct p9_call d = {.type = c.type, .name = "x"};
                struct p9_parsed parsed;
                u8 *copy = exact(out, len);
                status_t s = reply ? p9_reply_unpack(copy, len, &d, &parsed)
                                   : p9_request_unpack(copy, len, &d, &parsed);
                ck_assert_msg((s == S_OK) == (len == head || len == whole),
                              "type %u reply %d len %u of %u/%u: %d", c.type, reply, len, head,
                              whole, s);
                if (s == S_OK && len != head) ck_assert_ptr_nonnull(parsed.payload);
                free(copy);
            }
        }
    }
}
END_TEST

START_TEST(hostile_lengths) {
    struct p9_call d = {0};
    struct p9_parsed parsed;
    // A string that claims 65,535 bytes.
    const u8 mkdir[] = {30, 0, 0, 0, 72, 1, 0, 4, 0, 0, 0, 0xff, 0xff, 'a', 0, 0, 0, 0, 0, 0, 0,
                        0, 0, 0, 0, 0, 0, 0, 0, 0};
    u8 *p = exact(mkdir, sizeof mkdir);
    ck_assert_int_eq(p9_request_unpack(p, sizeof mkdir, &d, &parsed), E_PROTO);
    free(p);
    // A name with a zero inside.
    const u8 zero[] = {24, 0, 0, 0, 72, 1, 0, 4, 0, 0, 0, 3, 0, 'a', 0, 'b', 1, 0, 0, 0, 0, 0, 0,
                       0};
    p = exact(zero, sizeof zero);
    ck_assert_int_eq(p9_request_unpack(p, sizeof zero, &d, &parsed), E_PROTO);
    free(p);
    // size[4] that lies, both ways.
    u8 clunk[] = {11, 0, 0, 0, 120, 1, 0, 4, 0, 0, 0};
    ck_assert_int_eq(p9_request_unpack(clunk, 11, &d, &parsed), S_OK);
    clunk[0] = 12;
    ck_assert_int_eq(p9_request_unpack(clunk, 11, &d, &parsed), E_PROTO);
    clunk[3] = 0xff;
    ck_assert_int_eq(p9_request_unpack(clunk, 11, &d, &parsed), E_PROTO);
    // More data than a call moves; a read of more; two names in a walk; a foreign type.
    u8 write[] = {23, 0, 1, 0, 118, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0};
    ck_assert_int_eq(p9_request_unpack(write, sizeof write, &d, &parsed), E_PROTO);
    u8 read[] = {23, 0, 0, 0, 116, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0};
    ck_assert_int_eq(p9_request_unpack(read, sizeof read, &d, &parsed), E_PROTO);
    u8 walk[] = {23, 0, 0, 0, 110, 1, 0, 4, 0, 0, 0, 5, 0, 0, 0, 2, 0, 1, 0, 'a', 1, 0, 'b'};
    ck_assert_int_eq(p9_request_unpack(walk, sizeof walk, &d, &parsed), E_PROTO);
    u8 foreign[] = {7, 0, 0, 0, 99, 1, 0};
    ck_assert_int_eq(p9_request_unpack(foreign, 7, &d, &parsed), E_NOSYS);
    // Errors that would be no errno, or our own S_RESTART, become E_IO.
    const u32 codes[] = {0, 512, 4096, 0xffffffff};
    for (u32 i = 0; i < 4; i++) {
        u8 error[11] = {11, 0, 0, 0, 7, 1, 0};
        memcpy(error + 7, &codes[i], 4);
        d = (struct p9_call){.type = P9_TCLUNK};
        ck_assert_int_eq(p9_reply_unpack(error, 11, &d, &parsed), S_OK);
        ck_assert_int_eq(d.status, E_IO);
    }
    // The reply to something else.
    u8 rclunk[] = {7, 0, 0, 0, 121, 1, 0};
    d = (struct p9_call){.type = P9_TREF};
    ck_assert_int_eq(p9_reply_unpack(rclunk, 7, &d, &parsed), E_PROTO);
}
END_TEST

START_TEST(what_cannot_be_packed) {
    static char long_name[P9_PATH_MAX + 2];
    memset(long_name, 'x', sizeof long_name - 1);
    struct p9_call c = {.type = P9_TUNLINKAT, .name = long_name};
    struct p9_buf b = buf_of(out, sizeof out);
    ck_assert_int_eq(p9_request_pack(&b, &c, 1), E_MSGSIZE);
    c.name = "short";
    for (u32 size = 0; size < 22; size++) {
        b = buf_of(out, size);
        ck_assert_int_eq(p9_request_pack(&b, &c, 1), E_MSGSIZE);
    }
    b = buf_of(out, 22);
    ck_assert_int_eq(p9_request_pack(&b, &c, 1), S_OK);
    c = (struct p9_call){.type = P9_TWRITE, .count = P9_DATA_MAX + 1};
    b = buf_of(out, sizeof out);
    ck_assert_int_eq(p9_request_pack(&b, &c, 1), E_INVAL);
    c = (struct p9_call){.type = 212};
    ck_assert_int_eq(p9_request_pack(&b, &c, 1), E_NOSYS);
}
END_TEST

static void check_request(const struct p9_call *c, u16 tag, const u8 *bytes, u32 len) {
    struct p9_buf b = buf_of(out, sizeof out);
    ck_assert_int_eq(p9_request_pack(&b, c, tag), S_OK);
    ck_assert_uint_eq(b.len, len);
    ck_assert_mem_eq(out, bytes, len);
}

// Written by hand from the protocol's text: size[4] type[1] tag[2] and the fields.
START_TEST(golden_bytes) {
    const struct p9_call version = {.type = P9_TVERSION, .count = 8192, .name = "9P2000.L"};
    const u8 tversion[] = {0x15, 0, 0, 0, 100, 0xff, 0xff, 0, 0x20, 0, 0, 8, 0,
                           '9', 'P', '2', '0', '0', '0', '.', 'L'};
    check_request(&version, P9_NOTAG, tversion, sizeof tversion);
    const struct p9_call walk = {.type = P9_TWALK, .object = {.index = 0x01020304}, .name = "usr"};
    const u8 twalk[] = {0x16, 0, 0, 0, 110, 0x34, 0x12, 4, 3, 2, 1, 0xff, 0xff, 0xff, 0xff, 1, 0,
                        3, 0, 'u', 's', 'r'};
    check_request(&walk, 0x1234, twalk, sizeof twalk);
    const struct p9_call read = {.type = P9_TREAD, .object = {.index = 9}, .count = 4096,
                                 .offset = 0x1122334455667788};
    const u8 tread[] = {0x17, 0, 0, 0, 116, 5, 0, 9, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33,
                        0x22, 0x11, 0, 0x10, 0, 0};
    check_request(&read, 5, tread, sizeof tread);
    const struct p9_call create = {.type = P9_TLCREATE, .object = {.index = 1}, .name = "f",
                                   .flags = 0x8241, .mode = 0644, .gid = 100};
    const u8 tlcreate[] = {0x1a, 0, 0, 0, 14, 1, 0, 1, 0, 0, 0, 1, 0, 'f', 0x41, 0x82, 0, 0,
                           0xa4, 1, 0, 0, 100, 0, 0, 0};
    check_request(&create, 1, tlcreate, sizeof tlcreate);
    const struct p9_call mknod = {.type = P9_TMKNOD, .object = {.index = 1}, .name = "n",
                                  .mode = 020666, .value = 0x103};
    const u8 tmknod[] = {0x1e, 0, 0, 0, 18, 1, 0, 1, 0, 0, 0, 1, 0, 'n', 0xb6, 0x21, 0, 0,
                         1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0};
    check_request(&mknod, 1, tmknod, sizeof tmknod);
    // Tlink is dfid fid name.
    const struct p9_call link = {.type = P9_TLINK, .object = {.index = 2},
                                 .object2 = {.index = 7}, .name = "l"};
    const u8 tlink[] = {0x12, 0, 0, 0, 70, 1, 0, 2, 0, 0, 0, 7, 0, 0, 0, 1, 0, 'l'};
    check_request(&link, 1, tlink, sizeof tlink);
    // Rlerror: ecode is a positive Linux errno.
    const struct p9_call failed = {.type = P9_TWALK, .status = E_NOENT};
    const u8 rlerror[] = {0x0b, 0, 0, 0, 7, 0x34, 0x12, 2, 0, 0, 0};
    struct p9_buf b = buf_of(out, sizeof out);
    ck_assert_int_eq(p9_reply_pack(&b, &failed, 0x1234), S_OK);
    ck_assert_uint_eq(b.len, sizeof rlerror);
    ck_assert_mem_eq(out, rlerror, sizeof rlerror);
    // Rread counts its data in size[4] and count[4], here left out.
    const struct p9_call got = {.type = P9_TREAD, .result = 0x300};
    const u8 rread[] = {0x0b, 3, 0, 0, 117, 5, 0, 0, 3, 0, 0};
    b = buf_of(out, sizeof out);
    ck_assert_int_eq(p9_reply_pack(&b, &got, 5), S_OK);
    ck_assert_uint_eq(b.len, sizeof rread);
    ck_assert_mem_eq(out, rread, sizeof rread);
    // Rlopen: qid[13] iounit[4].
    const struct p9_call opened = {.type = P9_TLOPEN, .attr = {.qid_type = 0x80, .qid_version = 1,
                                                               .qid_path = 0x0807060504030201}};
    const u8 rlopen[] = {0x18, 0, 0, 0, 13, 5, 0, 0x80, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
                         0, 0, 1, 0};
    b = buf_of(out, sizeof out);
    ck_assert_int_eq(p9_reply_pack(&b, &opened, 5), S_OK);
    ck_assert_mem_eq(out, rlopen, sizeof rlopen);
    // Rgetattr is 160 bytes.
    const struct p9_call attr = {.type = P9_TGETATTR};
    b = buf_of(out, sizeof out);
    ck_assert_int_eq(p9_reply_pack(&b, &attr, 5), S_OK);
    ck_assert_uint_eq(b.len, 160);
}
END_TEST

START_TEST(envelopes) {
    for (u32 t = 0; t < P9_TYPE_COUNT; t++) {
        struct p9_call c, d = {0};
        random_call(&c, p9_types[t]);
        struct envelope e = {.kind = ENVELOPE_REQUEST, .tag = 77, .serial = random_u64(),
                             .seg_count = random_below(P9_SEG_MAX + 1)}, f;
        for (u32 i = 0; i < e.seg_count; i++)
            e.seg[i] = (struct p9_seg){random_u64(), random_u32(), random_below(3000)};
        struct p9_buf b = buf_of(out, sizeof out);
        ck_assert_int_eq(envelope_pack(&b, &e, &c), S_OK);
        envelope_end(&b);
        struct p9_buf r = buf_of(out, b.len);
        ck_assert_int_eq(envelope_open(&r, &f, &d), S_OK);
        ck_assert_uint_eq(f.tag, 77);
        ck_assert_uint_eq(f.serial, e.serial);
        ck_assert_uint_eq(f.seg_count, e.seg_count);
        for (u32 i = 0; i < e.seg_count; i++) {
            ck_assert_uint_eq(f.seg[i].address, e.seg[i].address);
            ck_assert_uint_eq(f.seg[i].key, e.seg[i].key);
            ck_assert_uint_eq(f.seg[i].len_bytes, e.seg[i].len_bytes);
        }
        ck_assert_mem_eq(&d.object, &c.object, sizeof c.object);
        ck_assert_mem_eq(&d.object2, &c.object2, sizeof c.object2);
        ck_assert_uint_eq(d.pid, c.pid);
        ck_assert_uint_eq(d.umask, c.umask);
        ck_assert_uint_eq(d.job.pgid, c.job.pgid);
        ck_assert_uint_eq(d.job.sid, c.job.sid);
        ck_assert_uint_eq(d.job.bits, c.job.bits);
        struct p9_parsed parsed;
        ck_assert_int_eq(p9_request_unpack(out + r.len, r.size - r.len, &d, &parsed), S_OK);
        for (u32 len = 0; len < b.len; len++) {       // cut: the length does not agree
            u8 *copy = exact(out, len);
            struct p9_buf cut = buf_of(copy, len);
            ck_assert_int_eq(envelope_open(&cut, &f, &d), E_PROTO);
            free(copy);
        }
    }
}
END_TEST

START_TEST(envelope_of_a_walk_has_attributes) {
    struct p9_call c, d = {.type = P9_TWALK, .name = "x"};
    random_call(&c, P9_TWALK);
    struct envelope e = {.kind = ENVELOPE_REPLY, .tag = 1, .serial = 5}, f;
    struct p9_buf b = buf_of(out, sizeof out);
    ck_assert_int_eq(envelope_pack(&b, &e, &c), S_OK);
    envelope_end(&b);
    b = buf_of(out, b.len);
    ck_assert_int_eq(envelope_open(&b, &f, &d), S_OK);
    ck_assert_uint_eq(d.attr.mode, c.attr.mode);
    ck_assert_uint_eq(d.attr.size, c.attr.size);
    ck_assert_mem_eq(&d.made, &c.made, sizeof c.made);
    out[7] = 2;                                       // a count that a reply cannot have
    b.len = 0;
    ck_assert_int_eq(envelope_open(&b, &f, &d), E_PROTO);
    out[7] = 3;
    b.len = 0;
    ck_assert_int_eq(envelope_open(&b, &f, &d), E_PROTO);
    out[7] = 1, out[6] = 3;                           // a kind that there is not
    b = buf_of(out, b.size);
    ck_assert_int_eq(envelope_open(&b, &f, &d), E_PROTO);
}
END_TEST

// Of uses of a terminal alone; the 9P message in it is what any 9P client understands.
START_TEST(envelope_of_the_background) {
    for (u32 t = 0; t < P9_TYPE_COUNT; t++) {
        const u8 type = p9_types[t];
        const bool used = type == P9_TREAD || type == P9_TWRITE || type == P9_TIOCTL;
        const struct p9_call c = {.type = type, .status = S_BACKGROUND};
        struct p9_call d = {.type = type};
        struct p9_parsed parsed;
        struct envelope e = {.kind = ENVELOPE_REPLY, .tag = 1, .serial = 5}, f;
        struct p9_buf b = buf_of(out, sizeof out);
        ck_assert_int_eq(envelope_pack(&b, &e, &c), S_OK);
        envelope_end(&b);
        b = buf_of(out, b.len);
        ck_assert_int_eq(envelope_open(&b, &f, &d), used ? S_OK : E_PROTO);
        if (!used) continue;
        ck_assert(f.background);
        ck_assert_int_eq(p9_reply_unpack(out + b.len, b.size - b.len, &d, &parsed), S_OK);
        ck_assert_int_eq(d.status, E_IO);
    }
}
END_TEST

int main(void) {
    Suite *s = suite_create("p9_codec");
    TCase *t = tcase_create("p9_codec");
    tcase_add_test(t, requests_there_and_back);
    tcase_add_test(t, replies_there_and_back);
    tcase_add_test(t, fields_arrive);
    tcase_add_test(t, cut_at_every_byte);
    tcase_add_test(t, hostile_lengths);
    tcase_add_test(t, what_cannot_be_packed);
    tcase_add_test(t, golden_bytes);
    tcase_add_test(t, envelopes);
    tcase_add_test(t, envelope_of_a_walk_has_attributes);
    tcase_add_test(t, envelope_of_the_background);
    suite_add_tcase(s, t);
    return suite_run(s);
}
