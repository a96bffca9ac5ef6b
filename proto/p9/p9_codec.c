// 9P2000.L as bytes: one table says which fields each message has, one function puts a
// field, one gets it, so packing and unpacking cannot drift apart. Pure; called by
// envelope.c, the machines, tests and fuzzers. Holds no state, takes no lock.
//
// File data ("payload") is always a message's tail and is not copied here: a message
// may travel with it inline, or without it when it moves one-sided; its size[4] counts
// it in both cases, so message and payload together are the unmodified 9P message.
// Spec: 9P2000.L (diod protocol.md, Linux fs/9p); Plan 9 intro(5): little-endian,
// strings with a 16-bit length and no final zero.
#include "proto/p9/p9_codec.h"

#include "base/assert.h"
#include "base/bits.h"
#include "base/string.h"

// One letter a field. Payload: 'p' u32 count = result, 'P' u16 count = result,
// 'd' u32 count = count.
struct p9_format { u8 type; const char *request, *reply; };
static const struct p9_format formats[] = {
    {P9_TSTATFS, "f", "X"},
    {P9_TLOPEN, "fg", "qi"},
    {P9_TLCREATE, "fsgmG", "qi"},
    {P9_TSYMLINK, "fstG", "q"},
    {P9_TMKNOD, "fsmjG", "q"},
    {P9_TRENAME, "fFs", ""},
    {P9_TREADLINK, "f", "P"},
    {P9_TGETATTR, "fk", "A"},
    {P9_TSETATTR, "fS", ""},
    {P9_TREADDIR, "foc", "p"},
    {P9_TFSYNC, "fg", ""},
    {P9_TLOCK, "fLs", "b"},
    {P9_TGETLOCK, "fls", "ls"},
    {P9_TLINK, "fFs", ""},
    {P9_TMKDIR, "fsmG", "q"},
    {P9_TRENAMEAT, "fsFt", ""},
    {P9_TUNLINKAT, "fsg", ""},
    {P9_TVERSION, "cs", "cs"},
    {P9_TATTACH, "nastU", "q"},
    {P9_TFLUSH, "O", ""},
    {P9_TWALK, "fnw", "Q"},
    {P9_TREAD, "foc", "p"},
    {P9_TWRITE, "fod", "r"},
    {P9_TCLUNK, "f", ""},
    {P9_TSEEK, "fog", "oR"},
    {P9_TIOCTL, "fgvd", "Rd"},
    {P9_TPOLL, "fg", "gR"},
    {P9_TREF, "f", ""},
    {P9_TGETFL, "f", "gR"},
    {P9_TSETFL, "fg", ""},
};

static const struct p9_format *format_find(u8 type) {
    for (u32 i = 0; i < ARRAY_COUNT(formats); i++)
        if (formats[i].type == type) return &formats[i];
    return NULL;
}

// Is this the T-message of a call we have?

// Appends the low len_bytes bytes of `value`, little-endian; sets bad where it is full.
void p9_put(struct p9_buf *b, u64 value, u32 len_bytes) {
    if (b->bad || b->size - b->len < len_bytes) {
        b->bad = true;
        return;
    }
    for (u32 i = 0; i < len_bytes; i++) b->bytes[b->len++] = (u8)(value >> (8 * i));
}

// Takes a little-endian number of len_bytes bytes; 0 and bad where the bytes end.
u64 p9_get(struct p9_buf *b, u32 len_bytes) {
    if (b->bad || b->size - b->len < len_bytes) {
        b->bad = true;
        return 0;
    }
    u64 value = 0;
    for (u32 i = 0; i < len_bytes; i++) value |= (u64)b->bytes[b->len++] << (8 * i);
    return value;
}

static void put_string(struct p9_buf *b, const char *s) {
    u64 len = s ? strlen(s) : 0;
    if (len >= P9_PATH_MAX) b->bad = true;
    p9_put(b, len, 2);
    if (b->bad || b->size - b->len < len) {
        b->bad = true;
        return;
    }
    if (len != 0) memcpy(b->bytes + b->len, s, len);
    b->len += (u32)len;
}

// Makes the string 0-terminated where it lies: its bytes move over the length's last.
static const char *get_string(struct p9_buf *b) {
    u32 len = (u32)p9_get(b, 2);
    if (b->bad || len >= P9_PATH_MAX || b->size - b->len < len) {
        b->bad = true;
        return "";
    }
    u8 *to = b->bytes + b->len - 1;
    memmove(to, to + 1, len);
    to[len] = 0;
    b->len += len;
    if (strlen((const char *)to) != len) b->bad = true;   // a zero inside
    return (const char *)to;
}

static void put_qid(struct p9_buf *b, const struct p9_attr *a) {
    p9_put(b, a->qid_type, 1);
    p9_put(b, a->qid_version, 4);
    p9_put(b, a->qid_path, 8);
}

static void get_qid(struct p9_buf *b, struct p9_attr *a) {
    a->qid_type = (u8)p9_get(b, 1);
    a->qid_version = (u32)p9_get(b, 4);
    a->qid_path = p9_get(b, 8);
}

// Rgetattr's body. Birth time, generation and data version are sent as 0 and skipped.
void p9_put_attr(struct p9_buf *b, const struct p9_attr *a) {
    p9_put(b, a->valid, 8);
    put_qid(b, a);
    p9_put(b, a->mode, 4);
    p9_put(b, a->uid, 4);
    p9_put(b, a->gid, 4);
    const u64 words[] = {a->nlink, a->rdev, a->size, a->blksize, a->blocks, a->atime_s,
                         a->atime_ns, a->mtime_s, a->mtime_ns, a->ctime_s, a->ctime_ns,
                         0, 0, 0, 0};
    for (u32 i = 0; i < ARRAY_COUNT(words); i++) p9_put(b, words[i], 8);
}

// The same, from bytes.
void p9_get_attr(struct p9_buf *b, struct p9_attr *a) {
    a->valid = p9_get(b, 8);
    get_qid(b, a);
    a->mode = (u32)p9_get(b, 4);
    a->uid = (u32)p9_get(b, 4);
    a->gid = (u32)p9_get(b, 4);
    u64 *words[] = {&a->nlink, &a->rdev, &a->size, &a->blksize, &a->blocks, &a->atime_s,
                    &a->atime_ns, &a->mtime_s, &a->mtime_ns, &a->ctime_s, &a->ctime_ns};
    for (u32 i = 0; i < ARRAY_COUNT(words); i++) *words[i] = p9_get(b, 8);
    for (u32 i = 0; i < 4; i++) (void)p9_get(b, 8);
}

// Tsetattr's body after the fid.
static void put_setattr(struct p9_buf *b, const struct p9_attr *a) {
    p9_put(b, a->valid, 4);
    p9_put(b, a->mode, 4);
    p9_put(b, a->uid, 4);
    p9_put(b, a->gid, 4);
    p9_put(b, a->size, 8);
    p9_put(b, a->atime_s, 8);
    p9_put(b, a->atime_ns, 8);
    p9_put(b, a->mtime_s, 8);
    p9_put(b, a->mtime_ns, 8);
}

static void get_setattr(struct p9_buf *b, struct p9_attr *a) {
    a->valid = p9_get(b, 4);
    a->mode = (u32)p9_get(b, 4);
    a->uid = (u32)p9_get(b, 4);
    a->gid = (u32)p9_get(b, 4);
    a->size = p9_get(b, 8);
    a->atime_s = p9_get(b, 8);
    a->atime_ns = p9_get(b, 8);
    a->mtime_s = p9_get(b, 8);
    a->mtime_ns = p9_get(b, 8);
}

static void put_statfs(struct p9_buf *b, const struct p9_statfs *s) {
    p9_put(b, s->type, 4);
    p9_put(b, s->bsize, 4);
    const u64 words[] = {s->blocks, s->bfree, s->bavail, s->files, s->ffree, s->fsid};
    for (u32 i = 0; i < ARRAY_COUNT(words); i++) p9_put(b, words[i], 8);
    p9_put(b, s->namelen, 4);
}

static void get_statfs(struct p9_buf *b, struct p9_statfs *s) {
    s->type = (u32)p9_get(b, 4);
    s->bsize = (u32)p9_get(b, 4);
    u64 *words[] = {&s->blocks, &s->bfree, &s->bavail, &s->files, &s->ffree, &s->fsid};
    for (u32 i = 0; i < ARRAY_COUNT(words); i++) *words[i] = p9_get(b, 8);
    s->namelen = (u32)p9_get(b, 4);
}

// Tlock has flags, Tgetlock and Rgetlock have not.
static void put_lock(struct p9_buf *b, const struct p9_lock *l, bool with_flags) {
    p9_put(b, l->type, 1);
    if (with_flags) p9_put(b, l->flags, 4);
    p9_put(b, l->start, 8);
    p9_put(b, l->length, 8);
    p9_put(b, l->proc_id, 4);
}

static void get_lock(struct p9_buf *b, struct p9_lock *l, bool with_flags) {
    l->type = (u8)p9_get(b, 1);
    l->flags = with_flags ? (u32)p9_get(b, 4) : 0;
    l->start = p9_get(b, 8);
    l->length = p9_get(b, 8);
    l->proc_id = (u32)p9_get(b, 4);
}

// Device numbers as Linux's new_encode_dev packs them into a mode-independent u64.
static u32 rdev_major(u64 v) { return (u32)((v >> 8) & 0xfff); }
static u32 rdev_minor(u64 v) { return (u32)((v & 0xff) | ((v >> 12) & 0xfff00)); }
static u64 rdev_make(u32 major, u32 minor) {
    return (u64)(minor & 0xff) | ((u64)(major & 0xfff) << 8) | ((u64)(minor & 0xfff00) << 12);
}

static void put_field(struct p9_buf *b, char field, const struct p9_call *c) {
    switch (field) {
    case 'f': p9_put(b, c->object.index, 4); break;
    case 'F': p9_put(b, c->object2.index, 4); break;
    case 'n': p9_put(b, c->new_fid ? c->new_fid : P9_NOFID, 4); break;
    case 'a': p9_put(b, P9_NOFID, 4); break;        // no authentication fid
    case 's': put_string(b, c->name); break;
    case 't': put_string(b, c->name2); break;
    case 'w':
        p9_put(b, c->name != NULL, 2);
        if (c->name != NULL) put_string(b, c->name);
        break;
    case 'g': p9_put(b, c->flags, 4); break;
    case 'm': p9_put(b, c->mode, 4); break;
    case 'G': p9_put(b, c->gid, 4); break;
    case 'U': p9_put(b, c->uid, 4); break;
    case 'o': p9_put(b, c->offset, 8); break;
    case 'v': p9_put(b, c->value, 8); break;
    case 'O': p9_put(b, c->value, 2); break;
    case 'j':
        p9_put(b, rdev_major(c->value), 4);
        p9_put(b, rdev_minor(c->value), 4);
        break;
    case 'q': put_qid(b, &c->attr); break;
    case 'Q':                                       // a clone walked no name
        p9_put(b, c->name != NULL, 2);
        if (c->name != NULL) put_qid(b, &c->attr);
        break;
    case 'i': p9_put(b, P9_DATA_MAX, 4); break;
    case 'b': p9_put(b, c->result, 1); break;
    case 'r':
    case 'p': p9_put(b, c->result, 4); break;
    case 'P': p9_put(b, c->result, 2); break;
    case 'R': p9_put(b, c->result, 8); break;
    case 'c':
    case 'd': p9_put(b, c->count, 4); break;
    case 'k': p9_put(b, c->attr.valid, 8); break;
    case 'A': p9_put_attr(b, &c->attr); break;
    case 'S': put_setattr(b, &c->attr); break;
    case 'X': put_statfs(b, &c->statfs); break;
    case 'L': put_lock(b, &c->lock, true); break;
    case 'l': put_lock(b, &c->lock, false); break;
    default: panic("p9: field %c has no meaning", field);
    }
}

static void get_walk(struct p9_buf *b, struct p9_call *c) {
    u32 names = (u32)p9_get(b, 2);
    if (names > 1) b->bad = true;      // we walk one name at a time
    c->name = names == 1 ? get_string(b) : NULL;
}

static void get_walked(struct p9_buf *b, struct p9_call *c) {
    u32 qids = (u32)p9_get(b, 2);
    if (qids != (c->name != NULL ? 1u : 0u)) b->bad = true;
    if (qids == 1) get_qid(b, &c->attr);
}

// A payload's count, of len_bytes bytes.
static u64 get_count(struct p9_buf *b, u32 len_bytes, u32 *payload_len) {
    u64 count = p9_get(b, len_bytes);
    if (count > P9_DATA_MAX) b->bad = true;
    *payload_len = b->bad ? 0 : (u32)count;
    return *payload_len;
}

static void get_field(struct p9_buf *b, char field, struct p9_call *c, u32 *payload_len) {
    switch (field) {
    case 'f': c->object.index = (u32)p9_get(b, 4); break;
    case 'F': c->object2.index = (u32)p9_get(b, 4); break;
    case 'n':
        c->new_fid = (u32)p9_get(b, 4);
        if (c->new_fid == P9_NOFID) c->new_fid = 0;
        break;
    case 'a':
    case 'i': (void)p9_get(b, 4); break;
    case 's': c->name = get_string(b); break;
    case 't': c->name2 = get_string(b); break;
    case 'w': get_walk(b, c); break;
    case 'g': c->flags = (u32)p9_get(b, 4); break;
    case 'm': c->mode = (u32)p9_get(b, 4); break;
    case 'G': c->gid = (u32)p9_get(b, 4); break;
    case 'U': c->uid = (u32)p9_get(b, 4); break;
    case 'o': c->offset = p9_get(b, 8); break;
    case 'v': c->value = p9_get(b, 8); break;
    case 'O': c->value = p9_get(b, 2); break;
    case 'j': {
        u32 major = (u32)p9_get(b, 4), minor = (u32)p9_get(b, 4);
        c->value = rdev_make(major, minor);
        break;
    }
    case 'q': get_qid(b, &c->attr); break;
    case 'Q': get_walked(b, c); break;
    case 'b': c->result = p9_get(b, 1); break;
    case 'r': c->result = p9_get(b, 4); break;
    case 'R': c->result = p9_get(b, 8); break;
    case 'c': c->count = p9_get(b, 4); break;
    case 'k': c->attr.valid = p9_get(b, 8); break;
    case 'p': c->result = get_count(b, 4, payload_len); break;
    case 'P': c->result = get_count(b, 2, payload_len); break;
    case 'd': c->count = get_count(b, 4, payload_len); break;
    case 'A': p9_get_attr(b, &c->attr); break;
    case 'S': get_setattr(b, &c->attr); break;
    case 'X': get_statfs(b, &c->statfs); break;
    case 'L': get_lock(b, &c->lock, true); break;
    case 'l': get_lock(b, &c->lock, false); break;
    default: panic("p9: field %c has no meaning", field);
    }
}

// File data that the request carries to the server, in bytes.
u32 p9_request_payload(const struct p9_call *c) {
    return c->type == P9_TWRITE || c->type == P9_TIOCTL ? (u32)c->count : 0;
}

// File data that the reply carries back, in bytes.
u32 p9_reply_payload(const struct p9_call *c) {
    if (c->status != S_OK) return 0;
    switch (c->type) {
    case P9_TREAD:
    case P9_TREADDIR:
    case P9_TREADLINK: return (u32)c->result;
    case P9_TIOCTL: return (u32)c->count;
    default: return 0;
    }
}

static status_t pack(struct p9_buf *b, const struct p9_call *c, u8 type, u16 tag,
                     const char *fields, u32 payload_len) {
    u32 start = b->len;
    p9_put(b, 0, 4);
    p9_put(b, type, 1);
    p9_put(b, tag, 2);
    for (; *fields != 0; fields++) put_field(b, *fields, c);
    if (b->bad) return E_MSGSIZE;
    u32 size = b->len - start + payload_len;
    struct p9_buf head = {.bytes = b->bytes + start, .size = 4};
    p9_put(&head, size, 4);
    return S_OK;
}

// Appends the T-message of c to b, without its payload (p9_request_payload bytes, which
// the caller appends or moves one-sided).
// Errors: E_NOSYS no such message; E_INVAL more than P9_DATA_MAX bytes; E_MSGSIZE it does
// not fit, or a name is too long. Spec: 9P2000.L.
status_t p9_request_pack(struct p9_buf *b, const struct p9_call *c, u16 tag) {
    const struct p9_format *f = format_find(c->type);
    if (f == NULL) return E_NOSYS;
    if (c->type != P9_TVERSION && c->count > P9_DATA_MAX) return E_INVAL;
    return pack(b, c, c->type, tag, f->request, p9_request_payload(c));
}

// Appends the R-message that answers c, or Rlerror where c->status is not S_OK, without its
// payload. Errors: as p9_request_pack.
status_t p9_reply_pack(struct p9_buf *b, const struct p9_call *c, u16 tag) {
    const struct p9_format *f = format_find(c->type);
    if (c->status != S_OK || f == NULL) {
        status_t status = c->status == S_OK ? E_NOSYS
                        : c->status == S_BACKGROUND ? E_IO : c->status;
        p9_put(b, P9_HEAD_BYTES + 4, 4);
        p9_put(b, P9_RLERROR, 1);
        p9_put(b, tag, 2);
        p9_put(b, (u32)-status, 4);
        return b->bad ? E_MSGSIZE : S_OK;
    }
    u32 payload_len = p9_reply_payload(c);
    if (payload_len > P9_DATA_MAX) return E_INVAL;
    if (c->type == P9_TREADLINK && payload_len > 0xffff) return E_INVAL;
    return pack(b, c, (u8)(c->type + 1), tag, f->reply, payload_len);
}

// The three words every message starts with. `len` bytes are there.
static status_t head_get(struct p9_buf *b, u32 *size, struct p9_parsed *out) {
    *size = (u32)p9_get(b, 4);
    out->type = (u8)p9_get(b, 1);
    out->tag = (u16)p9_get(b, 2);
    out->payload = NULL;
    out->payload_len = 0;
    return b->bad ? E_PROTO : S_OK;
}

// Fields, then the check that size[4], the payload's count and the bytes that came agree:
// they end at the payload's start (left out) or at its end (inline), nowhere else.
static status_t body_get(struct p9_buf *b, const char *fields, u32 size, struct p9_call *c,
                         struct p9_parsed *out) {
    for (; *fields != 0; fields++) get_field(b, *fields, c, &out->payload_len);
    if (b->bad || size != b->len + out->payload_len) return E_PROTO;
    if (b->size == size) {
        if (out->payload_len != 0) out->payload = b->bytes + b->len;
        return S_OK;
    }
    return b->size == b->len ? S_OK : E_PROTO;
}

// Reads a T-message of `len` bytes into c, which then points into `bytes` for its names
// (the strings are moved a byte down to make room for their zero: the buffer belongs to
// the call afterwards). Changes only the fields that this message has. c->object's node
// and generation are not in a 9P message: the envelope has them.
// Errors: E_NOSYS a type we do not have (out->tag is good); E_PROTO malformed.
status_t p9_request_unpack(u8 *bytes, u32 len, struct p9_call *c, struct p9_parsed *out) {
    struct p9_buf b = {.bytes = bytes, .size = len};
    u32 size;
    if (head_get(&b, &size, out) != S_OK) return E_PROTO;
    const struct p9_format *f = format_find(out->type);
    if (f == NULL) return E_NOSYS;
    c->type = out->type;
    status_t status = body_get(&b, f->request, size, c, out);
    if (status == S_OK && c->type != P9_TVERSION && c->count > P9_DATA_MAX) return E_PROTO;
    return status;
}

// Reads the reply to c (c->type says which T it answers): fills its out fields and
// c->status, S_OK or what Rlerror says. Names in c then point into `bytes`.
// Errors: E_PROTO malformed, or not the answer to c; c->status is untouched then.
status_t p9_reply_unpack(u8 *bytes, u32 len, struct p9_call *c, struct p9_parsed *out) {
    struct p9_buf b = {.bytes = bytes, .size = len};
    u32 size;
    if (head_get(&b, &size, out) != S_OK) return E_PROTO;
    if (out->type == P9_RLERROR) {
        u32 ecode = (u32)p9_get(&b, 4);
        if (b.bad || size != b.len || b.size != b.len) return E_PROTO;
        // Only a Linux errno may reach a user; S_RESTART is ours alone.
        c->status = ecode >= 1 && ecode < 512 ? -(status_t)ecode : E_IO;
        return S_OK;
    }
    const struct p9_format *f = format_find(c->type);
    if (f == NULL || out->type != (u8)(c->type + 1)) return E_PROTO;
    status_t status = body_get(&b, f->reply, size, c, out);
    if (status == S_OK) c->status = S_OK;
    return status;
}
