// The answering side of file calls between nodes: which requests of which peer are in
// service, and in what step. Called by kernel/remote_files.c under the net lock, by tests
// and the simulator. Pure: messages and completions in; sends, READs, WRITEs and
// executions out; memory is the host's, as many services a peer as it has credits.
//
//   request -> [FETCH: READ what is to be written] -> execute -> [PARKED -> execute]
//           -> [STORE: WRITE what was read] -> REPLY -> free
//
// Payload of more than ENVELOPE_INLINE_MAX bytes moves one-sided and has arrived before
// the reply is sent. A flush of a request that has had no effect yet (FETCH, PARKED)
// drops it: Rflush alone. Later than that, and for a call that execute has handed to a
// server which may already have done it, the reply goes out first, then the Rflush.
// Spec: docs/ARCHITECTURE.md, the walk of a system call; Plan 9 flush(5).
#include "proto/p9/p9_server.h"

#include "base/assert.h"
#include "base/bits.h"
#include "base/string.h"

#define COOKIE_NODE GENMASK(63, 58)
#define COOKIE_INDEX GENMASK(57, 52)
#define COOKIE_USE GENMASK(50, 0)       // bit 51 is the host's, for moves of its own
#define MOVES_OUT_MAX 8u             // one-sided operations of one request at a time

_Static_assert(FIELD_MAX(COOKIE_NODE) >= NODES_MAX - 1, "every node fits");
_Static_assert(FIELD_MAX(COOKIE_INDEX) >= P9_SERVICES_MAX - 1, "every service fits");

// `ops` and `ctx` must outlive the machine.
void p9_server_init(struct p9_server *s, const struct p9_server_ops *ops, void *ctx) {
    memset(s, 0, sizeof *s);
    s->ops = ops;
    s->ctx = ctx;
}

// The pairs to `node` are ready; the host adds a service for each credit it gave.
void p9_server_peer_up(struct p9_server *s, u32 node) {
    ASSERT(!s->peer[node].up);
    s->peer[node] = (struct p9_server_peer){.up = true};
}

// One more place for a request of `node`; v is the machine's until peer_down.
void p9_server_add_service(struct p9_server *s, u32 node, struct p9_service *v) {
    struct p9_server_peer *p = &s->peer[node];
    ASSERT(p->up && p->service_count < P9_SERVICES_MAX);
    v->state = P9_SVC_FREE;
    v->node = node;
    v->index = p->service_count;
    p->service[p->service_count++] = v;
}

static void service_free(struct p9_server *s, struct p9_service *v) {
    v->state = P9_SVC_FREE;
    s->ops->release(s->ctx, v);
}

// The pairs to `node` are destroyed: no READ or WRITE of a service runs any more, and a
// completion that still comes is ignored. All its services are released and the host's.
void p9_server_peer_down(struct p9_server *s, u32 node) {
    struct p9_server_peer *p = &s->peer[node];
    p->up = false;
    for (u32 i = 0; i < p->service_count; i++)
        if (p->service[i]->state != P9_SVC_FREE) service_free(s, p->service[i]);
    p->service_count = 0;
    p->loose_count = 0;
}

static bool loose_send(struct p9_server *s, u32 node, u32 i) {
    struct p9_server_peer *p = &s->peer[node];
    u8 bytes[64];
    struct p9_buf b = {.bytes = bytes, .size = sizeof bytes};
    struct envelope e = {.kind = ENVELOPE_REPLY, .tag = p->loose[i].tag,
                         .serial = p->loose[i].serial};
    struct p9_call call = {.type = P9_TFLUSH,
                           .status = p->loose[i].flush ? S_OK : p->loose[i].status};
    status_t status = envelope_pack(&b, &e, &call);
    ASSERT(status == S_OK);
    envelope_end(&b);
    return s->ops->send(s->ctx, node, bytes, b.len) == S_OK;
}

// Sends or keeps a reply that has no service. Each one answers a message that used a
// receive of ours, so a peer that keeps to its credits never overruns the table.
static void loose_reply(struct p9_server *s, u32 node, u16 tag, u64 serial, status_t status) {
    struct p9_server_peer *p = &s->peer[node];
    if (p->loose_count == P9_SERVICES_MAX) {
        s->stats.overrun++;
        return;
    }
    u32 i = p->loose_count++;
    p->loose[i].tag = tag;
    p->loose[i].serial = serial;
    p->loose[i].status = status;
    p->loose[i].flush = status == S_OK;
    if (i == 0 && loose_send(s, node, 0)) p->loose_count = 0;
}

static void reply_try(struct p9_server *s, struct p9_service *v) {
    if (s->ops->send(s->ctx, v->node, v->msg, v->msg_len) != S_OK) return;
    s->stats.replies++;
    bool flushed = v->flushed;
    u16 flush_tag = v->flush_tag;
    u64 serial = v->serial;
    u32 node = v->node;
    service_free(s, v);
    if (flushed) loose_reply(s, node, flush_tag, serial, S_OK);
}

// Builds the reply in v->msg; the request's bytes there are done with.
static status_t reply_build(struct p9_server *s, struct p9_service *v) {
    struct p9_buf b = {.bytes = v->msg, .size = sizeof v->msg};
    struct envelope e = {.kind = ENVELOPE_REPLY, .tag = v->tag, .serial = v->serial};
    u32 payload_len = p9_reply_payload(&v->call);
    status_t status = envelope_pack(&b, &e, &v->call);
    if (status != S_OK) return status;
    if (payload_len != 0 && payload_len <= ENVELOPE_INLINE_MAX) {
        if (b.size - b.len < payload_len) return E_MSGSIZE;
        u32 done = s->ops->data->from_data(&v->call, 0, b.bytes + b.len, payload_len);
        if (done != payload_len) return E_IO;
        b.len += payload_len;
    }
    envelope_end(&b);
    v->msg_len = b.len;
    return S_OK;
}

static void service_reply(struct p9_server *s, struct p9_service *v) {
    v->state = P9_SVC_REPLY;
    if (v->call.name != NULL) v->call.name = "";   // it pointed into v->msg
    v->call.name2 = NULL;
    if (reply_build(s, v) != S_OK) {
        v->call.status = E_IO;
        status_t status = reply_build(s, v);
        ASSERT(status == S_OK);
    }
    reply_try(s, v);
}

static void moves_start(struct p9_service *v, enum p9_service_state state, u32 len_bytes) {
    v->state = state;
    v->seg_next = v->moves_out = v->move_at = 0;
    v->move_len = len_bytes;
    v->move_status = S_OK;
}

// Posts the READs or WRITEs that are left, as far as there is room.
static void moves_post(struct p9_server *s, struct p9_service *v) {
    while (v->move_at < v->move_len && v->move_status == S_OK && !v->dead &&
           v->moves_out < MOVES_OUT_MAX) {
        const struct p9_seg *seg = &v->env.seg[v->seg_next];
        struct p9_move m = {
            .service = v,
            .cookie = FIELD_PREP(COOKIE_NODE, v->node) | FIELD_PREP(COOKIE_INDEX, v->index) |
                      FIELD_PREP(COOKIE_USE, v->use),
            .at = v->move_at,
            .len_bytes = MIN(seg->len_bytes, v->move_len - v->move_at),
            .remote_address = seg->address, .remote_key = seg->key,
        };
        if (m.len_bytes != 0) {
            status_t status = v->state == P9_SVC_FETCH
                                  ? s->ops->rdma_read(s->ctx, v->node, &m)
                                  : s->ops->rdma_write(s->ctx, v->node, &m);
            if (status == E_AGAIN) return;
            if (status != S_OK) {
                v->move_status = E_IO;
                return;
            }
            s->stats.moves++;
            v->moves_out++;
        }
        v->seg_next++;
        v->move_at += m.len_bytes;
    }
}

static void service_execute(struct p9_server *s, struct p9_service *v);

// Goes on when all moves of this step are done: the state says where to.
static void moves_go_on(struct p9_server *s, struct p9_service *v) {
    moves_post(s, v);
    if (v->moves_out != 0) return;
    if (v->move_status == S_OK && v->move_at < v->move_len && !v->dead) return;
    if (v->dead) {
        u16 flush_tag = v->flush_tag;
        u64 serial = v->serial;
        u32 node = v->node;
        service_free(s, v);
        loose_reply(s, node, flush_tag, serial, S_OK);
        return;
    }
    if (v->move_status != S_OK) v->call.status = E_IO;
    if (v->move_status == S_OK && v->state == P9_SVC_FETCH) service_execute(s, v);
    else service_reply(s, v);
}

static void service_execute(struct p9_server *s, struct p9_service *v) {
    v->state = P9_SVC_PARKED;        // so that a wake from within finds it
    status_t status = s->ops->execute(s->ctx, v);
    if (status == S_RESTART) {
        s->stats.parked++;
        return;
    }
    v->call.status = status;
    u32 payload_len = p9_reply_payload(&v->call);
    if (payload_len > v->room) {
        v->call.status = E_IO;       // a bug of the server that executed it
    } else if (payload_len > ENVELOPE_INLINE_MAX) {
        moves_start(v, P9_SVC_STORE, payload_len);
        moves_go_on(s, v);
        return;
    }
    service_reply(s, v);
}

// Bytes this call may move back, whichever way: a reply larger than inline needs pieces.
static bool call_reads(const struct p9_call *c) {
    return c->type == P9_TREAD || c->type == P9_TREADDIR || c->type == P9_TREADLINK;
}

// Memory for the payload, and the inline payload into it. Sets *fetch where it must be
// READ from the peer first.
static status_t data_prepare(struct p9_server *s, struct p9_service *v,
                             const struct p9_parsed *parsed, bool *fetch) {
    struct p9_call *c = &v->call;
    u64 room = p9_segs_bytes(v->env.seg, v->env.seg_count);
    v->room = ENVELOPE_INLINE_MAX;
    if (c->type == P9_TREADLINK) c->count = MAX(room, ENVELOPE_INLINE_MAX);
    if (call_reads(c)) v->room = c->count = MIN(c->count, MAX(room, ENVELOPE_INLINE_MAX));
    if (!call_reads(c) && c->type != P9_TWRITE && c->type != P9_TIOCTL) return S_OK;
    if (c->type == P9_TIOCTL && c->count > ENVELOPE_INLINE_MAX) return E_INVAL;
    status_t status = s->ops->prepare(s->ctx, v);
    if (status != S_OK || parsed->payload_len == 0) return status;
    if (parsed->payload == NULL) {
        if (c->type != P9_TWRITE || room != parsed->payload_len) return E_PROTO;
        *fetch = true;
        return S_OK;
    }
    u32 done = s->ops->data->to_data(c, 0, parsed->payload, parsed->payload_len);
    return done == parsed->payload_len ? S_OK : E_IO;
}

static void service_start(struct p9_server *s, struct p9_service *v,
                          const struct p9_parsed *parsed) {
    bool fetch = false;
    status_t status = data_prepare(s, v, parsed, &fetch);
    if (status != S_OK) {
        v->call.status = status;
        service_reply(s, v);
    } else if (fetch) {
        moves_start(v, P9_SVC_FETCH, parsed->payload_len);
        moves_go_on(s, v);
    } else {
        service_execute(s, v);
    }
}

// The request with this tag and serial is not wanted any more.
static void flush_receive(struct p9_server *s, u32 node, const struct envelope *e) {
    struct p9_server_peer *p = &s->peer[node];
    s->stats.flushes++;
    for (u32 i = 0; i < p->service_count; i++) {
        struct p9_service *v = p->service[i];
        if (v->state == P9_SVC_FREE || v->serial != e->serial || v->flushed) continue;
        v->flushed = true;
        v->flush_tag = e->tag;
        if (v->state != P9_SVC_PARKED && v->state != P9_SVC_FETCH) return;
        if (v->let_finish) return;
        s->stats.cancelled++;
        v->dead = true;
        if (v->state == P9_SVC_PARKED) moves_start(v, P9_SVC_PARKED, 0);
        moves_go_on(s, v);           // now, or when its READs have ended
        return;
    }
    loose_reply(s, node, e->tag, e->serial, S_OK);
}

static struct p9_service *service_take(struct p9_server *s, u32 node) {
    struct p9_server_peer *p = &s->peer[node];
    for (u32 i = 0; i < p->service_count; i++) {
        struct p9_service *v = p->service[i];
        if (v->state != P9_SVC_FREE) continue;
        v->use = ++s->use & COOKIE_USE;
        v->flushed = v->dead = v->let_finish = false;
        memset(&v->call, 0, sizeof v->call);
        return v;
    }
    return NULL;
}

// A message of kind REQUEST came from `node`; `bytes` are copied. Answers a malformed one
// with an error where its envelope can be read, and drops it where not.
void p9_server_receive(struct p9_server *s, u32 node, const u8 *bytes, u32 len_bytes) {
    if (node >= NODES_MAX || !s->peer[node].up) return;
    u8 head[16];
    struct envelope e;
    struct p9_buf peek = {.bytes = head, .size = len_bytes};
    bool fits = len_bytes >= sizeof head && len_bytes <= ENVELOPE_MSG_MAX;
    if (fits) memcpy(head, bytes, sizeof head);
    if (!fits || envelope_open(&peek, &e, NULL) != S_OK || e.kind != ENVELOPE_REQUEST) {
        s->stats.malformed++;
        return;
    }
    s->stats.requests++;
    if (e.tag & 0x8000) {
        flush_receive(s, node, &e);
        return;
    }
    struct p9_service *v = service_take(s, node);
    if (v == NULL) {
        s->stats.overrun++;
        loose_reply(s, node, e.tag, e.serial, E_NOBUFS);
        return;
    }
    memcpy(v->msg, bytes, len_bytes);
    struct p9_buf b = {.bytes = v->msg, .size = len_bytes};
    struct p9_parsed parsed = {.tag = e.tag};
    status_t status = envelope_open(&b, &v->env, &v->call);
    if (status == S_OK)
        status = p9_request_unpack(v->msg + b.len, b.size - b.len, &v->call, &parsed);
    if (status == S_OK && parsed.tag != e.tag) status = E_PROTO;
    if (status == S_OK && v->call.type == P9_TFLUSH) status = E_PROTO;
    if (status != S_OK) {
        s->stats.malformed++;
        loose_reply(s, node, e.tag, e.serial, status);   // v was never left FREE
        return;
    }
    v->serial = e.serial;
    v->tag = e.tag;
    service_start(s, v, &parsed);
}

// One READ or WRITE has ended. A cookie of a service that is gone is ignored.
void p9_server_moved(struct p9_server *s, u64 cookie, status_t status) {
    struct p9_server_peer *p = &s->peer[FIELD_GET(COOKIE_NODE, cookie)];
    u64 index = FIELD_GET(COOKIE_INDEX, cookie);
    if (!p->up || index >= p->service_count) return;
    struct p9_service *v = p->service[index];
    if (v->use != FIELD_GET(COOKIE_USE, cookie) || v->moves_out == 0) return;
    if (v->state != P9_SVC_FETCH && v->state != P9_SVC_STORE) return;
    v->moves_out--;
    if (status != S_OK) v->move_status = E_IO;
    moves_go_on(s, v);
}

// What a parked service waits for may be there: tries it again.
void p9_server_wake(struct p9_server *s, struct p9_service *v) {
    if (v->state != P9_SVC_PARKED) return;
    s->stats.retried++;
    service_execute(s, v);
}

// Tries every parked service once.
void p9_server_wake_all(struct p9_server *s) {
    for (u32 node = 0; node < NODES_MAX; node++) {
        struct p9_server_peer *p = &s->peer[node];
        for (u32 i = 0; p->up && i < p->service_count; i++)
            p9_server_wake(s, p->service[i]);
    }
}

// Sends and posts what there was no room for. The host calls it when sends, READs or
// WRITEs to `node` have completed.
void p9_server_pump(struct p9_server *s, u32 node) {
    struct p9_server_peer *p = &s->peer[node];
    for (u32 i = 0; p->up && i < p->service_count; i++) {
        struct p9_service *v = p->service[i];
        if (v->state == P9_SVC_REPLY) reply_try(s, v);
        else if (v->state == P9_SVC_FETCH || v->state == P9_SVC_STORE) moves_go_on(s, v);
    }
    u32 sent = 0;
    while (sent < p->loose_count && loose_send(s, node, sent)) sent++;
    p->loose_count -= sent;
    memmove(p->loose, p->loose + sent, p->loose_count * sizeof p->loose[0]);
}
