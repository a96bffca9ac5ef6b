// The envelope of a 9P message between nodes: the length, what 9P has no word for (the
// generations of objects, who asks, the object that a walk or open made), and the list
// of (address, key, length) through which the answering kernel moves file data by READ
// and WRITE. Behind it stand the unmodified 9P bytes, less the payload where that moves
// one-sided. Pure; called by p9_client.c and p9_server.c. Little-endian as 9P is:
//
//   length[4] tag[2] kind[1] count[1] serial[8]
//   request (count = segs): object{node[4] index[4] generation[8]} object2{..} pid[4] uid[4] gid[4]
//            umask[4] pgid[4] sid[4] job[4] count * {address[8] key[4] length[4]}
//   reply: made{node[4] index[4] generation[8]}, with count=1 the body of Rgetattr; count=2: the
//          caller is in the background of its terminal, and the 9P message says EIO
//   then the 9P message up to length.
// Spec: docs/ARCHITECTURE.md, the walk of a system call.
#include "proto/p9/envelope.h"

enum { REPLY_PLAIN, REPLY_ATTR, REPLY_BACKGROUND };      // count of a reply

// Bytes that a list of pieces holds.
u64 p9_segs_bytes(const struct p9_seg *seg, u32 count) {
    u64 sum = 0;
    for (u32 i = 0; i < count; i++) sum += seg[i].len_bytes;
    return sum;
}

static void put_object(struct p9_buf *b, const struct object_id *o) {
    p9_put(b, o->node, 4);
    p9_put(b, o->index, 4);
    p9_put(b, o->generation, 8);
}

static void get_object(struct p9_buf *b, struct object_id *o) {
    o->node = (u32)p9_get(b, 4);
    o->index = (u32)p9_get(b, 4);
    o->generation = p9_get(b, 8);
}

// A walk answers with all attributes of what it found, which Rwalk has no room for, so
// that the walker need not ask again.
static bool has_attr(const struct p9_call *c) {
    return c->type == P9_TWALK && c->status == S_OK;
}

static u32 reply_count(const struct p9_call *c) {
    return has_attr(c) ? REPLY_ATTR : c->status == S_BACKGROUND ? REPLY_BACKGROUND : REPLY_PLAIN;
}

// Builds envelope and 9P message of c in the empty buffer b, without inline payload: the
// caller appends that to b, then calls envelope_end.
// Errors: as p9_request_pack; E_INVAL too many pieces.
status_t envelope_pack(struct p9_buf *b, const struct envelope *e, const struct p9_call *c) {
    bool request = e->kind == ENVELOPE_REQUEST;
    if (e->seg_count > P9_SEG_MAX) return E_INVAL;
    p9_put(b, 0, 4);
    p9_put(b, e->tag, 2);
    p9_put(b, e->kind, 1);
    p9_put(b, request ? e->seg_count : reply_count(c), 1);
    p9_put(b, e->serial, 8);
    if (!request) {
        put_object(b, &c->made);
        if (has_attr(c)) p9_put_attr(b, &c->attr);
        return b->bad ? E_MSGSIZE : p9_reply_pack(b, c, e->tag);
    }
    put_object(b, &c->object);
    put_object(b, &c->object2);
    p9_put(b, c->pid, 4);
    p9_put(b, c->uid, 4);
    p9_put(b, c->gid, 4);
    p9_put(b, c->umask, 4);
    p9_put(b, c->job.pgid, 4);
    p9_put(b, c->job.sid, 4);
    p9_put(b, c->job.bits, 4);
    for (u32 i = 0; i < e->seg_count; i++) {
        p9_put(b, e->seg[i].address, 8);
        p9_put(b, e->seg[i].key, 4);
        p9_put(b, e->seg[i].len_bytes, 4);
    }
    return b->bad ? E_MSGSIZE : p9_request_pack(b, c, e->tag);
}

// Writes the length, once inline payload is in place.
void envelope_end(struct p9_buf *b) {
    struct p9_buf head = {.bytes = b->bytes, .size = 4};
    p9_put(&head, b->len, 4);
}

// Reads the envelope of the b->size bytes in b into e and c, and leaves b at the 9P
// message. Of c it sets the objects and who asks (request), or made and attr (reply); for a
// reply c is the call that was sent, or NULL to read kind and serial alone.
// Errors: E_PROTO malformed.
status_t envelope_open(struct p9_buf *b, struct envelope *e, struct p9_call *c) {
    u32 length = (u32)p9_get(b, 4);
    e->tag = (u16)p9_get(b, 2);
    e->kind = (u8)p9_get(b, 1);
    u32 count = (u32)p9_get(b, 1);
    e->serial = p9_get(b, 8);
    e->seg_count = 0;
    e->background = false;
    if (b->bad || length != b->size) return E_PROTO;
    if (e->kind != ENVELOPE_REQUEST && e->kind != ENVELOPE_REPLY) return E_PROTO;
    if (count > (e->kind == ENVELOPE_REQUEST ? P9_SEG_MAX : REPLY_BACKGROUND)) return E_PROTO;
    if (c == NULL) return S_OK;
    if (e->kind == ENVELOPE_REPLY) {
        get_object(b, &c->made);
        const bool used = c->type == P9_TREAD || c->type == P9_TWRITE || c->type == P9_TIOCTL;
        e->background = count == REPLY_BACKGROUND;
        if (count == REPLY_ATTR && c->type != P9_TWALK) return E_PROTO;
        if (e->background && !used) return E_PROTO;
        if (count == REPLY_ATTR) p9_get_attr(b, &c->attr);
        return b->bad ? E_PROTO : S_OK;
    }
    e->seg_count = count;
    get_object(b, &c->object);
    get_object(b, &c->object2);
    c->pid = (u32)p9_get(b, 4);
    c->uid = (u32)p9_get(b, 4);
    c->gid = (u32)p9_get(b, 4);
    c->umask = (u32)p9_get(b, 4);
    c->job.pgid = (u32)p9_get(b, 4);
    c->job.sid = (u32)p9_get(b, 4);
    c->job.bits = (u32)p9_get(b, 4);
    for (u32 i = 0; i < e->seg_count; i++) {
        e->seg[i].address = p9_get(b, 8);
        e->seg[i].key = (u32)p9_get(b, 4);
        e->seg[i].len_bytes = (u32)p9_get(b, 4);
    }
    if (b->bad || p9_segs_bytes(e->seg, e->seg_count) > P9_DATA_MAX) return E_PROTO;
    return S_OK;
}
