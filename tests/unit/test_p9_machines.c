// The client and the server machine of file calls, joined in memory: node 0 asks node 1.
// Messages queue in order in each direction, one-sided moves complete when the test says
// so, sends may find no room. Every request must end exactly once, with the right bytes.
// links: proto/p9/p9_codec.c proto/p9/envelope.c proto/p9/p9_client.c proto/p9/p9_server.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "proto/p9/p9_client.h"
#include "proto/p9/p9_server.h"
#include "tests/unit/p9_data.h"
#include "tests/unit/p9_random.h"
#include "tests/unit/suite_run.h"

#define QUEUE_MAX 64
#define REQUESTS 96
#define CREDITS 4
#define DATA_MAX 8192

struct message { u32 len; u8 bytes[ENVELOPE_MSG_MAX]; };
struct queue { struct message m[QUEUE_MAX]; u32 head, tail; };
struct pending_move { bool read; struct p9_move m; };

static struct {
    struct p9_client client;
    struct p9_server server;
    struct queue to_server, to_client;
    struct pending_move move[QUEUE_MAX];
    u32 move_count;
    struct p9_service service[CREDITS];
    struct p9_request req[REQUESTS];
    u8 data[REQUESTS][DATA_MAX];         // of each request, at the client
    u32 completed[REQUESTS];
    u8 buffer[CREDITS][P9_DATA_MAX];     // of each service
    u32 prepared, released, executed;
    u32 pipe_bytes;                      // what a read of object 2 finds; 0: it blocks
    u32 no_room_percent, in_service_max;
} w;

// A byte of file `index` at `offset`.
static u8 file_byte(u32 index, u64 offset) { return (u8)(index * 31 + offset * 7 + (offset >> 8)); }

static bool no_room(void) { return random_below(100) < w.no_room_percent; }

static status_t queue_put(struct queue *q, const void *bytes, u32 len) {
    if (no_room()) return E_AGAIN;
    ck_assert_uint_le(len, ENVELOPE_MSG_MAX);
    // Never more than the receives that the other side posted.
    ck_assert_uint_lt(q->tail - q->head, P9_RECEIVES(CREDITS) / 2);
    struct message *m = &q->m[q->tail++ % QUEUE_MAX];
    m->len = len;
    memcpy(m->bytes, bytes, len);
    return S_OK;
}

static status_t client_send(void *ctx, u32 node, const void *bytes, u32 len) {
    (void)ctx;
    ck_assert_uint_eq(node, 1);
    return queue_put(&w.to_server, bytes, len);
}
static void client_complete(void *ctx, struct p9_request *r) {
    (void)ctx;
    w.completed[r - w.req]++;
    ck_assert_uint_eq(w.completed[r - w.req], 1);
}
static const struct p9_client_ops client_ops = {client_send, client_complete, &data_ops};

static status_t server_send(void *ctx, u32 node, const void *bytes, u32 len) {
    (void)ctx;
    ck_assert_uint_eq(node, 0);
    return queue_put(&w.to_client, bytes, len);
}
static status_t move_put(bool read, const struct p9_move *m) {
    if (no_room()) return E_AGAIN;
    ck_assert_uint_lt(w.move_count, QUEUE_MAX);
    w.move[w.move_count++] = (struct pending_move){read, *m};
    return S_OK;
}
static status_t server_read(void *ctx, u32 node, const struct p9_move *m) {
    (void)ctx, (void)node;
    return move_put(true, m);
}
static status_t server_write(void *ctx, u32 node, const struct p9_move *m) {
    (void)ctx, (void)node;
    return move_put(false, m);
}
static status_t server_prepare(void *ctx, struct p9_service *v) {
    (void)ctx;
    w.prepared++;
    v->host = v;
    v->call.data.buffer = w.buffer[v - w.service];
    return S_OK;
}
static status_t server_execute(void *ctx, struct p9_service *v) {
    (void)ctx;
    struct p9_call *c = &v->call;
    u8 *buffer = c->data.buffer;
    u32 in_service = 0;
    for (u32 i = 0; i < CREDITS; i++) in_service += w.service[i].state != P9_SVC_FREE;
    w.in_service_max = MAX(w.in_service_max, in_service);
    if (c->object.index == 2 && c->type == P9_TREAD) {
        if (w.pipe_bytes == 0) return S_RESTART;
        c->count = MIN(c->count, w.pipe_bytes);
        w.pipe_bytes -= (u32)c->count;
    }
    w.executed++;
    if (c->object.index == 3) return E_NOENT;
    if (c->type == P9_TREAD)
        for (u64 i = 0; i < c->count; i++) buffer[i] = file_byte(c->object.index, c->offset + i);
    if (c->type == P9_TWRITE)
        for (u64 i = 0; i < c->count; i++)
            if (buffer[i] != file_byte(c->object.index, c->offset + i)) return E_IO;
    c->result = c->count;
    c->made = (struct object_id){5, c->object.index + 100, 9};
    return S_OK;
}
static void server_release(void *ctx, struct p9_service *v) {
    (void)ctx;
    if (v->host) w.released++;
    v->host = NULL;
}
static const struct p9_server_ops server_ops = {
    server_send, server_read, server_write, server_prepare, server_execute, server_release,
    &data_ops,
};

static void peers_up(void) {
    p9_client_peer_up(&w.client, 1, CREDITS);
    p9_server_peer_up(&w.server, 0);
    for (u32 i = 0; i < CREDITS; i++) p9_server_add_service(&w.server, 0, &w.service[i]);
}
static void peers_down(void) {
    w.to_server.head = w.to_server.tail;
    w.to_client.head = w.to_client.tail;
    w.move_count = 0;
    p9_server_peer_down(&w.server, 0);
    p9_client_peer_down(&w.client, 1);
}

static void setup(void) {
    memset(&w, 0, sizeof w);
    random_state = 88172645463325252ull;
    p9_client_init(&w.client, &client_ops, &w);
    p9_server_init(&w.server, &server_ops, &w);
    peers_up();
}

// A READ or WRITE of `count` bytes of file `index` by request i.
static status_t submit(u32 i, u8 type, u32 index, u32 count) {
    struct p9_request *r = &w.req[i];
    memset(r, 0, sizeof *r);
    w.completed[i] = 0;
    r->call = (struct p9_call){.type = type, .object = {1, index, 1}, .offset = i * 1000,
                               .count = count, .data.buffer = w.data[i]};
    for (u32 k = 0; k < count; k++)
        w.data[i][k] = type == P9_TWRITE ? file_byte(index, i * 1000 + k) : 0xee;
    if (count > ENVELOPE_INLINE_MAX) {
        u32 first = type == P9_TWRITE ? count / 3 : count;
        r->seg[0] = (struct p9_seg){(u64)w.data[i], 11, first};
        r->seg[1] = (struct p9_seg){(u64)w.data[i] + first, 12, count - first};
        r->seg_count = type == P9_TWRITE ? 2 : 1;
    }
    return p9_client_submit(&w.client, r);
}

static bool deliver_server(void) {
    if (w.to_server.head == w.to_server.tail) return false;
    struct message m = w.to_server.m[w.to_server.head++ % QUEUE_MAX];
    p9_server_receive(&w.server, 0, m.bytes, m.len);
    return true;
}
static bool deliver_client(void) {
    if (w.to_client.head == w.to_client.tail) return false;
    struct message m = w.to_client.m[w.to_client.head++ % QUEUE_MAX];
    p9_client_receive(&w.client, 1, m.bytes, m.len);
    return true;
}
static bool complete_move(status_t status) {
    if (w.move_count == 0) return false;
    u32 i = random_below(w.move_count);
    struct pending_move p = w.move[i];
    w.move[i] = w.move[--w.move_count];
    u8 *local = (u8 *)p.m.service->call.data.buffer + p.m.at;
    if (p.read) memcpy(local, (void *)p.m.remote_address, p.m.len_bytes);
    else memcpy((void *)p.m.remote_address, local, p.m.len_bytes);
    p9_server_moved(&w.server, p.m.cookie, status);
    return true;
}
static bool step(u32 which) {
    switch (which) {
    case 0: return deliver_server();
    case 1: return deliver_client();
    case 2: return complete_move(S_OK);
    case 3: p9_client_pump(&w.client, 1); return false;
    default: p9_server_pump(&w.server, 0); return false;
    }
}
// Until nothing moves any more; a send without room is tried again.
static void settle(void) {
    for (u32 idle = 0, total = 0; idle < 5 + w.no_room_percent; total++) {
        ck_assert_uint_lt(total, 1000000);
        bool moved = false;
        for (u32 i = 0; i < 5; i++) moved |= step(i);
        idle = moved ? 0 : idle + 1;
    }
}

static void check_read(u32 i, u32 index, u32 count) {
    ck_assert_uint_eq(w.completed[i], 1);
    ck_assert_int_eq(w.req[i].call.status, S_OK);
    ck_assert_uint_eq(w.req[i].call.result, count);
    u32 right = 0;
    while (right < count && w.data[i][right] == file_byte(index, i * 1000 + right)) right++;
    ck_assert_uint_eq(right, count);
}
static void check_idle(void) {
    for (u32 i = 0; i < CREDITS; i++) ck_assert_int_eq(w.service[i].state, P9_SVC_FREE);
    ck_assert_uint_eq(w.prepared, w.released);
    if (w.client.peer[1].up) ck_assert_uint_eq(w.client.peer[1].credits, CREDITS);
    for (u32 i = 0; i < P9_TAGS_MAX; i++) ck_assert_ptr_null(w.client.peer[1].by_tag[i]);
    ck_assert(list_empty(&w.client.peer[1].queue));
}

START_TEST(reads_and_writes_of_all_sizes) {
    const u32 sizes[] = {0, 1, 1023, 1024, 1025, 4096, 8192};
    for (u32 s = 0; s < ARRAY_COUNT(sizes); s++) {
        ck_assert_int_eq(submit(0, P9_TREAD, 1, sizes[s]), S_OK);
        ck_assert_int_eq(submit(1, P9_TWRITE, 1, sizes[s]), S_OK);
        settle();
        check_read(0, 1, sizes[s]);
        ck_assert_int_eq(w.req[1].call.status, S_OK);
        ck_assert_uint_eq(w.req[1].call.result, sizes[s]);
    }
    ck_assert_uint_eq(w.server.stats.moves, 3 + 6);   // only what is larger than inline
    check_idle();
}
END_TEST

START_TEST(errors_and_made_objects_come_back) {
    ck_assert_int_eq(submit(0, P9_TREAD, 3, 4096), S_OK);
    w.req[1].call = (struct p9_call){.type = P9_TWALK, .object = {1, 7, 1}, .name = "etc"};
    ck_assert_int_eq(p9_client_submit(&w.client, &w.req[1]), S_OK);
    settle();
    ck_assert_int_eq(w.req[0].call.status, E_NOENT);
    ck_assert_int_eq(w.req[1].call.status, S_OK);
    ck_assert_uint_eq(w.req[1].call.made.node, 5);
    ck_assert_uint_eq(w.req[1].call.made.index, 107);
    struct p9_request *r = &w.req[2];
    r->call = (struct p9_call){.type = P9_TCLUNK, .object = {9, 7, 1}};
    ck_assert_int_eq(p9_client_submit(&w.client, r), E_HOSTUNREACH);
    ck_assert_int_eq(submit(2, 99, 1, 0), E_NOSYS);
    check_idle();
}
END_TEST

START_TEST(credits_bound_what_is_out) {
    for (u32 i = 0; i < P9_TAGS_MAX; i++) ck_assert_int_eq(submit(i, P9_TREAD, 1, 2000), S_OK);
    ck_assert_int_eq(submit(P9_TAGS_MAX, P9_TREAD, 1, 2000), E_NOBUFS);
    ck_assert_uint_eq(w.to_server.tail - w.to_server.head, CREDITS);
    settle();
    for (u32 i = 0; i < P9_TAGS_MAX; i++) check_read(i, 1, 2000);
    ck_assert_uint_le(w.in_service_max, CREDITS);
    check_idle();
}
END_TEST

START_TEST(a_read_that_would_block_is_parked) {
    ck_assert_int_eq(submit(0, P9_TREAD, 2, 4096), S_OK);
    settle();
    p9_server_wake_all(&w.server);                    // for nothing
    settle();
    ck_assert_uint_eq(w.completed[0], 0);
    w.pipe_bytes = 1500;
    p9_server_wake_all(&w.server);
    settle();
    check_read(0, 2, 1500);
    check_idle();
}
END_TEST

START_TEST(a_parked_read_is_flushed) {
    for (u32 i = 0; i < 3; i++) ck_assert_int_eq(submit(i, P9_TREAD, 2, 10), S_OK);
    settle();
    p9_client_flush(&w.client, &w.req[1]);
    p9_client_flush(&w.client, &w.req[1]);
    settle();
    ck_assert_uint_eq(w.completed[1], 1);
    ck_assert_int_eq(w.req[1].call.status, E_INTR);
    ck_assert_uint_eq(w.completed[0] + w.completed[2], 0);
    w.pipe_bytes = 20;
    p9_server_wake_all(&w.server);
    settle();
    check_read(0, 2, 10);
    check_read(2, 2, 10);
    ck_assert_uint_eq(w.pipe_bytes, 0);               // the flushed one took nothing
    check_idle();
}
END_TEST

// Its bytes have left the pipe: a flush must not lose them.
START_TEST(a_flush_after_the_effect_gets_the_reply) {
    w.pipe_bytes = 3000;
    ck_assert_int_eq(submit(0, P9_TREAD, 2, 3000), S_OK);
    ck_assert(deliver_server());
    ck_assert_uint_eq(w.move_count, 1);
    p9_client_flush(&w.client, &w.req[0]);
    ck_assert(deliver_server());
    settle();
    check_read(0, 2, 3000);
    check_idle();
}
END_TEST

START_TEST(a_queued_request_is_flushed_at_once) {
    for (u32 i = 0; i < CREDITS + 1; i++) ck_assert_int_eq(submit(i, P9_TREAD, 1, 10), S_OK);
    p9_client_flush(&w.client, &w.req[CREDITS]);
    ck_assert_uint_eq(w.completed[CREDITS], 1);
    ck_assert_int_eq(w.req[CREDITS].call.status, E_INTR);
    settle();
    ck_assert_uint_eq(w.executed, CREDITS);
    check_idle();
}
END_TEST

// Reads that block have all credits; the write behind them goes all the same.
START_TEST(blocked_requests_make_room) {
    for (u32 i = 0; i < CREDITS; i++) ck_assert_int_eq(submit(i, P9_TREAD, 2, 10), S_OK);
    settle();
    for (u32 i = 0; i < 2 * P9_STALL_LOOKS; i++) p9_client_relieve(&w.client, 1);
    settle();
    for (u32 i = 0; i < CREDITS; i++) ck_assert_uint_eq(w.completed[i], 0);   // nobody waits
    ck_assert_int_eq(submit(CREDITS, P9_TWRITE, 1, 100), S_OK);
    for (u32 i = 0; i < P9_STALL_LOOKS; i++) {
        settle();
        ck_assert_uint_eq(w.completed[CREDITS], 0);
        p9_client_relieve(&w.client, 1);
    }
    settle();
    ck_assert_uint_eq(w.completed[CREDITS], 1);
    ck_assert_int_eq(w.req[CREDITS].call.status, S_OK);
    ck_assert_uint_eq(w.completed[0], 1);             // the one that was out longest
    ck_assert_int_eq(w.req[0].call.status, E_INTR);
    for (u32 i = 1; i < CREDITS; i++) ck_assert_uint_eq(w.completed[i], 0);
    w.pipe_bytes = 10 * (CREDITS - 1);
    p9_server_wake_all(&w.server);
    settle();
    for (u32 i = 1; i < CREDITS; i++) check_read(i, 2, 10);
    check_idle();
}
END_TEST

// A script of one big write, one big read and one parked read; flush or death after k steps.
static u32 script(u32 steps, bool flush, bool die) {
    setup();
    ck_assert_int_eq(submit(0, P9_TWRITE, 1, 3000), S_OK);
    ck_assert_int_eq(submit(1, P9_TREAD, 1, 3000), S_OK);
    ck_assert_int_eq(submit(2, P9_TREAD, 2, 3000), S_OK);
    u32 done = 0, idle = 0;
    for (u32 i = 0; done < steps && idle < 10; i++) {
        bool moved = step(i % 5);
        done += moved;
        idle = moved ? 0 : idle + 1;
        if (i == 12) {
            w.pipe_bytes = 2000;
            p9_server_wake_all(&w.server);
        }
    }
    for (u32 i = 0; flush && i < 3; i++) p9_client_flush(&w.client, &w.req[i]);
    if (die) {
        peers_down();
        ck_assert_int_eq(submit(5, P9_TREAD, 1, 1), E_HOSTUNREACH);
    }
    settle();
    w.pipe_bytes = 2000;
    p9_server_wake_all(&w.server);
    settle();
    for (u32 i = 0; i < 3; i++) {
        status_t s = w.req[i].call.status;
        ck_assert_uint_eq(w.completed[i], 1);
        ck_assert(s == S_OK || (die && s == E_IO) || (flush && s == E_INTR));
        if (s == S_OK && i != 0) check_read(i, i, i == 1 ? 3000 : 2000);
    }
    check_idle();
    return done;
}

START_TEST(flush_and_death_at_each_step) {
    u32 all = script(~0u, false, false);
    ck_assert_uint_gt(all, 8);
    for (u32 k = 0; k <= all; k++) {
        script(k, true, false);
        script(k, false, true);
        script(k, true, true);
    }
}
END_TEST

START_TEST(a_move_that_fails_is_an_error) {
    ck_assert_int_eq(submit(0, P9_TWRITE, 1, 3000), S_OK);
    ck_assert_int_eq(submit(1, P9_TREAD, 1, 3000), S_OK);
    while (deliver_server()) {}
    while (complete_move(E_IO)) {}
    settle();
    ck_assert_int_eq(w.req[0].call.status, E_IO);
    ck_assert_int_eq(w.req[1].call.status, E_IO);
    ck_assert_uint_eq(w.executed, 1);                 // the write was not
    check_idle();
}
END_TEST

START_TEST(completions_of_an_earlier_use_are_ignored) {
    ck_assert_int_eq(submit(0, P9_TREAD, 1, 3000), S_OK);
    ck_assert(deliver_server());
    ck_assert_uint_eq(w.move_count, 1);
    u64 old = w.move[0].m.cookie;
    settle();
    ck_assert_int_eq(submit(0, P9_TREAD, 1, 3000), S_OK);
    ck_assert(deliver_server());
    p9_server_moved(&w.server, old, S_OK);
    p9_server_moved(&w.server, ~0ull, S_OK);
    ck_assert_uint_eq(w.to_client.tail, w.to_client.head);   // no reply before its data
    settle();
    check_read(0, 1, 3000);
    check_idle();
}
END_TEST

// A peer that does not keep to the protocol.
START_TEST(hostile_messages) {
    u8 junk[ENVELOPE_MSG_MAX];
    for (u32 i = 0; i < 300; i++) {
        u32 len = random_below(200);
        for (u32 k = 0; k < len; k++) junk[k] = (u8)random_u32();
        if (i & 1 && len >= 4) junk[0] = (u8)len, junk[1] = junk[2] = junk[3] = 0, junk[6] = 1;
        p9_server_receive(&w.server, 0, junk, len);
        if (i & 1 && len >= 7) junk[6] = 2;
        p9_client_receive(&w.client, 1, junk, len);
        while (deliver_client()) {}
    }
    // The same reply twice; more requests than places.
    ck_assert_int_eq(submit(0, P9_TREAD, 1, 10), S_OK);
    struct message first = w.to_server.m[w.to_server.head % QUEUE_MAX];
    ck_assert(deliver_server());
    struct message reply = w.to_client.m[w.to_client.head % QUEUE_MAX];
    ck_assert(deliver_client());
    struct message copy = reply;
    u64 stale = w.client.stats.stale;
    p9_client_receive(&w.client, 1, copy.bytes, copy.len);
    ck_assert_uint_eq(w.client.stats.stale, stale + 1);
    ck_assert_int_eq(submit(1, P9_TREAD, 1, 10), S_OK);
    copy = reply;
    p9_client_receive(&w.client, 1, copy.bytes, copy.len);   // an old serial on a used tag
    ck_assert_uint_eq(w.completed[1], 0);
    settle();
    check_read(1, 1, 10);
    struct p9_call park = {.type = P9_TREAD, .object = {1, 2, 1}, .count = 10};
    for (u32 i = 0; i < CREDITS + 3; i++) {
        struct envelope e = {.kind = ENVELOPE_REQUEST, .tag = 40, .serial = 1000 + i};
        struct p9_buf b = {.bytes = first.bytes, .size = sizeof first.bytes};
        ck_assert_int_eq(envelope_pack(&b, &e, &park), S_OK);
        envelope_end(&b);
        p9_server_receive(&w.server, 0, first.bytes, b.len);
    }
    ck_assert_uint_eq(w.server.stats.overrun, 3);
    peers_down();
    check_idle();
}
END_TEST

static void storm(u64 seed) {
    setup();
    random_state = seed * 0x9e3779b97f4a7c15ull + 1;
    w.no_room_percent = random_below(40);
    bool out[REQUESTS] = {0};
    u32 counts[REQUESTS], index[REQUESTS];
    u8 types[REQUESTS];
    for (u32 i = 0; i < 3000; i++) {
        u32 r = random_below(REQUESTS), what = random_below(100);
        if (what < 20 && !out[r]) {
            types[r] = random_below(2) ? P9_TREAD : P9_TWRITE;
            index[r] = 1 + random_below(3);
            counts[r] = random_below(random_below(2) ? 100 : DATA_MAX);
            status_t s = submit(r, types[r], index[r], counts[r]);
            ck_assert(s == S_OK || s == E_NOBUFS);
            out[r] = s == S_OK;
        } else if (what < 26 && out[r]) {
            p9_client_flush(&w.client, &w.req[r]);
        } else if (what < 30) {
            w.pipe_bytes += random_below(3000);
            p9_server_wake_all(&w.server);
        } else if (what == 30 && random_below(20) == 0) {
            peers_down();
            peers_up();
        } else {
            step(what % 5);
        }
        for (r = 0; r < REQUESTS; r++) {
            if (!out[r] || !w.completed[r]) continue;
            out[r] = false;
            status_t s = w.req[r].call.status;
            ck_assert(s == S_OK || s == E_IO || s == E_INTR || (s == E_NOENT && index[r] == 3));
            if (s == S_OK && types[r] == P9_TREAD && index[r] == 1) check_read(r, 1, counts[r]);
            if (s == S_OK && types[r] == P9_TWRITE)
                ck_assert_uint_eq(w.req[r].call.result, counts[r]);
        }
    }
    w.no_room_percent = 0;
    for (u32 i = 0; i < REQUESTS; i++) {
        settle();
        w.pipe_bytes = 1u << 30;
        p9_server_wake_all(&w.server);
    }
    settle();
    for (u32 r = 0; r < REQUESTS; r++) ck_assert(!out[r] || w.completed[r] == 1);
    check_idle();
}

START_TEST(storms) { storm((u64)_i + 1); }
END_TEST

int main(void) {
    Suite *s = suite_create("p9_machines");
    TCase *t = tcase_create("p9_machines");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_set_timeout(t, 120);                        // a hang detector
    tcase_add_test(t, reads_and_writes_of_all_sizes);
    tcase_add_test(t, errors_and_made_objects_come_back);
    tcase_add_test(t, credits_bound_what_is_out);
    tcase_add_test(t, a_read_that_would_block_is_parked);
    tcase_add_test(t, a_parked_read_is_flushed);
    tcase_add_test(t, a_flush_after_the_effect_gets_the_reply);
    tcase_add_test(t, a_queued_request_is_flushed_at_once);
    tcase_add_test(t, blocked_requests_make_room);
    tcase_add_test(t, flush_and_death_at_each_step);
    tcase_add_test(t, a_move_that_fails_is_an_error);
    tcase_add_test(t, completions_of_an_earlier_use_are_ignored);
    tcase_add_test(t, hostile_messages);
    tcase_add_loop_test(t, storms, 0, 20);
    suite_add_tcase(s, t);
    return suite_run(s);
}
