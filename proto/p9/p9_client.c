// The asking side of file calls between nodes: which requests are out to which peer, the
// credits that bound them, flush, and the death of a peer. Called by
// kernel/remote_files.c under the net lock, by tests and the simulator. Pure: messages
// in, sends and completions out; memory is the host's, and bounded by P9_TAGS_MAX a peer.
//
// A credit is a request that the peer has room for: it is used by a send and comes back
// with the reply. A flush uses none, for the peer keeps room for one flush of each. A
// request that is flushed ends at the Rflush: its reply, where that came first, stands;
// else it is E_INTR and had no effect. A request whose peer died ends with E_IO and is
// never repeated.
// Spec: docs/ARCHITECTURE.md, the walk of a system call; Plan 9 flush(5).
#include "proto/p9/p9_client.h"

#include "base/string.h"

// `ops` and `ctx` must outlive the machine.
void p9_client_init(struct p9_client *c, const struct p9_client_ops *ops, void *ctx) {
    memset(c, 0, sizeof *c);
    c->ops = ops;
    c->ctx = ctx;
    for (u32 i = 0; i < NODES_MAX; i++) list_init(&c->peer[i].queue);
}

// The control pair to `node` is ready and the peer has posted P9_RECEIVES(credits)
// receives for us, as we have for it.
void p9_client_peer_up(struct p9_client *c, u32 node, u32 credits) {
    struct p9_client_peer *p = &c->peer[node];
    ASSERT(!p->up && credits != 0 && credits <= P9_TAGS_MAX);
    p->up = true;
    p->credits = credits;
}

static void request_end(struct p9_client *c, struct p9_request *r) {
    list_remove(&r->link);
    c->peer[r->node].by_tag[r->tag] = NULL;
    r->state = P9_REQ_IDLE;
    c->ops->complete(c->ctx, r);
}

// The pairs to `node` are destroyed: nothing of it can touch our memory any more. Each
// request to it ends with E_IO, except one whose reply was here already.
void p9_client_peer_down(struct p9_client *c, u32 node) {
    struct p9_client_peer *p = &c->peer[node];
    p->up = false;
    for (u32 tag = 0; tag < P9_TAGS_MAX; tag++) {
        struct p9_request *r = p->by_tag[tag];
        if (r == NULL) continue;
        if (!r->replied) {
            r->call.status = E_IO;
            c->stats.lost++;
        }
        request_end(c, r);
    }
}

// True: sent. False: no room or credit; it stays queued.
static bool request_send(struct p9_client *c, struct p9_request *r) {
    struct p9_client_peer *p = &c->peer[r->node];
    if (p->credits == 0) return false;
    if (c->ops->send(c->ctx, r->node, r->msg, r->msg_len) != S_OK) return false;
    p->credits--;
    c->stats.sent++;
    list_remove(&r->link);
    r->state = P9_REQ_SENT;
    return true;
}

static bool flush_send(struct p9_client *c, struct p9_request *r) {
    u8 bytes[160];
    struct p9_buf b = {.bytes = bytes, .size = sizeof bytes};
    struct p9_call call = {.type = P9_TFLUSH, .object = {.node = r->node}, .value = r->tag};
    struct envelope e = {.kind = ENVELOPE_REQUEST, .tag = (u16)(r->tag | P9_TAG_FLUSH),
                         .serial = r->serial};
    status_t status = envelope_pack(&b, &e, &call);
    ASSERT(status == S_OK);
    envelope_end(&b);
    if (c->ops->send(c->ctx, r->node, bytes, b.len) != S_OK) return false;
    c->stats.flushes++;
    list_remove(&r->link);
    r->state = P9_REQ_FLUSHING;
    return true;
}

// Sends what waits for a credit or for room, flushes at once, requests oldest first. The
// host calls it when sends have completed; the machine itself when a credit came back.
void p9_client_pump(struct p9_client *c, u32 node) {
    struct p9_client_peer *p = &c->peer[node];
    if (!p->up) return;
    LIST_FOR_EACH_SAFE(it, &p->queue) {
        struct p9_request *r = LIST_ENTRY(it, struct p9_request, link);
        if (r->state == P9_REQ_FLUSH_QUEUED) {
            if (!flush_send(c, r)) return;
        } else if (p->credits != 0 && !request_send(c, r)) {
            return;
        }
    }
}

static status_t request_pack(struct p9_client *c, struct p9_request *r) {
    struct p9_buf b = {.bytes = r->msg, .size = sizeof r->msg};
    struct envelope e = {.kind = ENVELOPE_REQUEST, .tag = r->tag, .serial = r->serial};
    u32 payload_len = p9_request_payload(&r->call);
    bool is_inline = payload_len <= ENVELOPE_INLINE_MAX;
    if (payload_len == 0 || !is_inline) {
        e.seg_count = r->seg_count;
        memcpy(e.seg, r->seg, r->seg_count * sizeof r->seg[0]);
    }
    if (!is_inline && p9_segs_bytes(r->seg, r->seg_count) != payload_len) return E_INVAL;
    status_t status = envelope_pack(&b, &e, &r->call);
    if (status != S_OK) return status;
    if (is_inline && payload_len != 0) {
        if (b.size - b.len < payload_len) return E_MSGSIZE;
        if (c->ops->data->from_data(&r->call, 0, b.bytes + b.len, payload_len) != payload_len)
            return E_INVAL;
        b.len += payload_len;
    }
    envelope_end(&b);
    r->msg_len = b.len;
    return S_OK;
}

// Takes request r, whose call, seg and seg_count the host has set, to the node that serves
// call.object. With more than ENVELOPE_INLINE_MAX bytes to write, seg must hold exactly
// them (remote READ); to read that much, seg says where the bytes may be written. From
// S_OK on, r is the machine's until complete. The call's names are not used after it returns.
// Errors (r stays the host's): E_HOSTUNREACH no such peer; E_NOBUFS P9_TAGS_MAX requests are
// out: wait for one to end; E_MSGSIZE, E_INVAL, E_NOSYS as envelope_pack.
status_t p9_client_submit(struct p9_client *c, struct p9_request *r) {
    u32 node = r->call.object.node;
    if (node >= NODES_MAX || !c->peer[node].up) return E_HOSTUNREACH;
    if (r->seg_count > P9_SEG_MAX) return E_INVAL;
    struct p9_client_peer *p = &c->peer[node];
    u32 tag = 0;
    while (tag < P9_TAGS_MAX && p->by_tag[tag] != NULL) tag++;
    if (tag == P9_TAGS_MAX) return E_NOBUFS;
    r->node = node;
    r->tag = (u16)tag;
    r->serial = ++c->serial;
    r->replied = false;
    status_t status = request_pack(c, r);
    if (status != S_OK) return status;
    if (r->call.name != NULL) r->call.name = "";    // Rwalk's check asks for NULL or not
    r->call.name2 = NULL;
    p->by_tag[tag] = r;
    r->state = P9_REQ_QUEUED;
    list_init(&r->link);
    bool first = list_empty(&p->queue);
    list_push_back(&p->queue, &r->link);
    if (first) (void)request_send(c, r);
    return S_OK;
}

// Ends r soon: at once with E_INTR where it was not sent yet (complete runs before this
// returns), else after the peer has answered the flush. Twice is the same as once.
void p9_client_flush(struct p9_client *c, struct p9_request *r) {
    if (r->state == P9_REQ_QUEUED) {
        r->call.status = E_INTR;
        request_end(c, r);
    } else if (r->state == P9_REQ_SENT) {
        r->state = P9_REQ_FLUSH_QUEUED;
        list_push_front(&c->peer[r->node].queue, &r->link);
        (void)flush_send(c, r);
    }
}

static struct p9_request *oldest_sent(const struct p9_client_peer *p) {
    struct p9_request *oldest = NULL;
    for (u32 tag = 0; tag < P9_TAGS_MAX; tag++) {
        struct p9_request *r = p->by_tag[tag];
        if (r && r->state == P9_REQ_SENT && (!oldest || r->serial < oldest->serial)) oldest = r;
    }
    return oldest;
}

// Requests that block (a read of an empty pipe) hold their credits; a request that would end
// them may wait for one behind them. The host looks at times: where the same one is first in
// the queue without a credit P9_STALL_LOOKS times, the request that is out longest is flushed.
// It ends with E_INTR, without effect, unless its reply is on its way, and its caller asks anew.
void p9_client_relieve(struct p9_client *c, u32 node) {
    struct p9_client_peer *p = &c->peer[node];
    const struct p9_request *first =
        list_empty(&p->queue) ? NULL : LIST_ENTRY(p->queue.next, struct p9_request, link);
    if (!p->up || p->credits != 0 || !first || first->state != P9_REQ_QUEUED) {
        p->stall_looks = 0;
        return;
    }
    if (p->stall_serial != first->serial) p->stall_looks = 0;
    p->stall_serial = first->serial;
    if (++p->stall_looks < P9_STALL_LOOKS) return;
    p->stall_looks = 0;
    struct p9_request *out = oldest_sent(p);
    if (!out) return;
    c->stats.relieved++;
    p9_client_flush(c, out);
}

// The results into r->call, inline data into its frames.
static status_t reply_take(struct p9_client *c, struct p9_request *r, struct p9_buf *b) {
    struct envelope e;
    struct p9_parsed parsed;
    u64 wanted = r->call.count;
    status_t status = envelope_open(b, &e, &r->call);
    if (status != S_OK) return status;
    status = p9_reply_unpack(b->bytes + b->len, b->size - b->len, &r->call, &parsed);
    if (status != S_OK) return status;
    if (parsed.tag != r->tag || parsed.payload_len > wanted) return E_PROTO;
    if (e.background && r->call.status != E_IO) return E_PROTO;
    if (e.background) r->call.status = S_BACKGROUND;
    if (parsed.payload_len == 0) return S_OK;
    if (parsed.payload == NULL)        // the peer has written it already
        return parsed.payload_len <= p9_segs_bytes(r->seg, r->seg_count) ? S_OK : E_PROTO;
    u32 done = c->ops->data->to_data(&r->call, 0, parsed.payload, parsed.payload_len);
    return done == parsed.payload_len ? S_OK : E_PROTO;
}

static void reply_receive(struct p9_client *c, struct p9_request *r, struct p9_buf *b) {
    c->stats.replies++;
    c->peer[r->node].credits++;
    if (reply_take(c, r, b) != S_OK) {
        c->stats.malformed++;
        r->call.status = E_IO;
    }
    r->call.name = r->call.name2 = NULL;   // they pointed into the message
    r->replied = true;
    // One whose flush is out waits for the Rflush: its tag is not free before.
    if (r->state != P9_REQ_FLUSHING) request_end(c, r);
}

static void rflush_receive(struct p9_client *c, struct p9_request *r) {
    if (!r->replied) {
        r->call.status = E_INTR;
        c->peer[r->node].credits++;        // no reply will bring it back
    }
    request_end(c, r);
}

// A message of kind REPLY came from `node`, in a posted receive that the host posts again
// before the next send. `bytes` is changed and not kept. A reply that answers nothing we
// wait for is counted and dropped; one that answers a request wrongly ends it with E_IO.
void p9_client_receive(struct p9_client *c, u32 node, u8 *bytes, u32 len_bytes) {
    struct envelope e;
    struct p9_buf b = {.bytes = bytes, .size = len_bytes};
    if (node >= NODES_MAX || !c->peer[node].up) return;
    if (envelope_open(&b, &e, NULL) != S_OK || e.kind != ENVELOPE_REPLY) {
        c->stats.malformed++;
        return;
    }
    u32 tag = e.tag & ~(u32)P9_TAG_FLUSH;
    struct p9_request *r = tag < P9_TAGS_MAX ? c->peer[node].by_tag[tag] : NULL;
    bool flush = (e.tag & P9_TAG_FLUSH) != 0;
    bool out = r != NULL && r->serial == e.serial &&
               (flush ? r->state == P9_REQ_FLUSHING
                      : r->state != P9_REQ_QUEUED && !r->replied);
    if (!out) {
        c->stats.stale++;
    } else if (flush) {
        rflush_receive(c, r);
    } else {
        b.len = 0;
        reply_receive(c, r, &b);
    }
    p9_client_pump(c, node);
}
