// The common part of a file server: fids, messages, waiting calls, the loop. What comes is judged
// here: sizes, fids that are not there, calls in the wrong state. Spec: 9P2000.L; Plan 9 intro(5).
#include "user/lib/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bits.h"
#include "user/lib/reply_recv.h"

#define PROTOCOL "9P2000.L"
#define MSIZE_MIN 4096u
#define QID_DIR 0x80u

// --- fids ---

static struct server_fid **fid_slot(struct server *s, u32 number) {
    struct server_fid **at = &s->fids[number % SERVER_BUCKETS];
    while (*at && (*at)->number != number) at = &(*at)->next;
    return at;
}

static status_t fid_add(struct server *s, u32 number, u64 node) {
    struct server_fid **at = fid_slot(s, number);
    if (number == 0 || number == P9_NOFID || *at) return E_INVAL;
    if (s->fid_count == SERVER_FIDS_MAX) return E_NFILE;
    struct server_fid *f = calloc(1, sizeof *f);
    if (!f) return E_NOMEM;
    f->number = number;
    f->node = node;
    *at = f;
    s->fid_count++;
    if (s->ops->named) s->ops->named(s, node, 1);
    return S_OK;
}

static status_t fid_drop(struct server *s, u32 number) {
    struct server_fid **at = fid_slot(s, number), *f = *at;
    if (!f) return E_BADF;
    *at = f->next;
    s->fid_count--;
    if (s->ops->named) s->ops->named(s, f->node, -1);
    free(f);
    return S_OK;
}

static void forget_all(struct server *s) {
    memset(s->waits, 0, sizeof s->waits);
    for (u32 i = 0; i < SERVER_BUCKETS; i++)
        while (s->fids[i]) (void)fid_drop(s, s->fids[i]->number);
}

// --- calls ---

static status_t do_version(struct server *s, struct p9_call *c) {
    forget_all(s);
    if (c->count < MSIZE_MIN) return E_INVAL;
    c->count = s->msize = (u32)MIN(c->count, SERVER_MSIZE);
    c->name = strcmp(c->name, PROTOCOL) ? "unknown" : PROTOCOL;
    return S_OK;
}

static status_t do_attach(struct server *s, struct p9_call *c) {
    u64 node;
    status_t status = s->ops->attach(s, &node);
    if (status == S_OK) status = s->ops->attr(s, node, &c->attr);
    return status == S_OK ? fid_add(s, c->new_fid, node) : status;
}

static status_t do_walk(struct server *s, const struct server_fid *f, struct p9_call *c) {
    u64 node = f->node;
    status_t status = S_OK;
    if (f->open && c->name) return E_INVAL;
    if (c->name && strcmp(c->name, ".")) status = s->ops->walk(s, f->node, c->name, &node);
    if (status == S_OK) status = s->ops->attr(s, node, &c->attr);
    return status == S_OK ? fid_add(s, c->new_fid, node) : status;
}

static status_t do_open(struct server *s, struct server_fid *f, struct p9_call *c, u8 *data) {
    if (f->open) return E_INVAL;
    status_t status = c->type == P9_TLOPEN ? s->ops->attr(s, f->node, &c->attr) : S_OK;
    const bool dir = c->type == P9_TLOPEN && (c->attr.qid_type & QID_DIR);
    if (status == S_OK && dir && (c->flags & O_ACCMODE) != O_RDONLY) return E_ISDIR;
    if (status == S_OK && c->type == P9_TLOPEN && !dir && (c->flags & O_DIRECTORY))
        return E_NOTDIR;
    const u64 before = f->node;
    if (status == S_OK) status = s->ops->call(s, f, c, data);
    if (status == S_OK) status = s->ops->attr(s, f->node, &c->attr);
    if (status != S_OK) return status;
    if (f->node != before && s->ops->named) {
        s->ops->named(s, f->node, 1);
        s->ops->named(s, before, -1);
    }
    f->open = true;
    f->flags = c->flags;
    return S_OK;
}

static status_t may_move(const struct server_fid *f, const struct p9_call *c) {
    const u32 mode = f->flags & O_ACCMODE;
    if (!f->open) return E_BADF;
    if (c->type == P9_TWRITE) return mode == O_RDONLY ? E_BADF : S_OK;
    return mode == O_WRONLY ? E_BADF : S_OK;
}

static status_t do_call(struct server *s, struct p9_call *c, u8 *payload) {
    if (c->type == P9_TVERSION) return do_version(s, c);
    if (c->type == P9_TATTACH) return do_attach(s, c);
    struct server_fid *f = *fid_slot(s, c->object.index);
    if (!f) return E_BADF;
    status_t status = S_OK;
    switch (c->type) {
    case P9_TWALK: return do_walk(s, f, c);
    case P9_TCLUNK: return fid_drop(s, c->object.index);
    case P9_TGETATTR: return s->ops->attr(s, f->node, &c->attr);
    case P9_TLOPEN: case P9_TLCREATE: return do_open(s, f, c, payload);
    case P9_TREAD: case P9_TREADDIR: case P9_TWRITE: status = may_move(f, c); break;
    default: break;
    }
    return status == S_OK ? s->ops->call(s, f, c, payload) : status;
}

// --- messages ---

// Sends what is answered. What cannot be sent ends the loop.
static void answers_send(struct server *s) {
    for (u32 done = 0; done < s->out_len && !s->bad;) {
        const ssize_t n = write(s->out_fd, s->out + done, s->out_len - done);
        if (n < 0 && errno == EINTR) continue;
        s->bad = n <= 0;
        if (n > 0) done += (u32)n;
    }
    s->out_len = 0;
}

static void answer(struct server *s, struct p9_call *c, u16 tag) {
    if (s->out_len > SERVER_BUFFER_BYTES) answers_send(s);
    u8 *out = s->out + s->out_len;
    struct p9_buf b = {.bytes = out, .size = SERVER_BUFFER_BYTES};
    if (p9_reply_pack(&b, c, tag) != S_OK || b.len + p9_reply_payload(c) > s->msize) {
        c->status = E_IO;
        b = (struct p9_buf){.bytes = out, .size = SERVER_BUFFER_BYTES};
        (void)p9_reply_pack(&b, c, tag);
    }
    const u32 payload = p9_reply_payload(c);
    memcpy(out + b.len, s->data, payload);
    s->out_len += b.len + payload;
}

// Keeps a call that waits. Calls with names or bytes of their own do not: those are gone then.
static status_t wait_add(struct server *s, const struct p9_call *c, u16 tag) {
    if (c->type != P9_TREAD && c->type != P9_TREADDIR && c->type != P9_TLOPEN) return E_AGAIN;
    for (u32 i = 0; i < SERVER_WAITS_MAX; i++) {
        if (s->waits[i].used) continue;
        s->waits[i] = (struct server_wait){.used = true, .tag = tag, .call = *c};
        return S_OK;
    }
    return E_AGAIN;
}

// A flush: nobody waits for that call any more, and it gets no answer.
static void wait_drop(struct server *s, u16 tag) {
    for (u32 i = 0; i < SERVER_WAITS_MAX; i++)
        if (s->waits[i].used && s->waits[i].tag == tag) s->waits[i].used = false;
}

// Asks those that wait again. A call that changes something has it done once more.
static void waits_retry(struct server *s) {
    for (u32 round = 0; s->changed && round < SERVER_WAITS_MAX; round++) {
        s->changed = false;
        for (u32 i = 0; i < SERVER_WAITS_MAX; i++) {
            struct server_wait *w = &s->waits[i];
            if (!w->used) continue;
            struct p9_call c = w->call;
            c.status = do_call(s, &c, s->data);
            if (c.status == S_RESTART) continue;
            w->used = false;
            answer(s, &c, w->tag);
        }
    }
}

// What a call that waits looks at may have changed: they are asked again after this one.
void server_changed(struct server *s) { s->changed = true; }

// Takes one whole message; answers go to s->out, those of calls that waited too.
//   message  len_bytes of it, P9_HEAD_BYTES at least; its strings are terminated in place
void server_message(struct server *s, u8 *message, u32 len_bytes) {
    struct p9_call c = {0};
    struct p9_parsed parsed = {.tag = P9_NOTAG};
    if (s->msize == 0) s->msize = SERVER_MSIZE;
    c.status = p9_request_unpack(message, len_bytes, &c, &parsed);
    if (c.status == S_OK && c.type == P9_TWRITE && c.count && !parsed.payload) c.status = E_PROTO;
    if (c.type == P9_TREAD || c.type == P9_TREADDIR)
        c.count = MIN(c.count, MIN(P9_DATA_MAX, s->msize - 64u));
    if (c.status == S_OK && c.type == P9_TFLUSH) {
        wait_drop(s, (u16)c.value);
    } else if (c.status == S_OK) {
        c.status = do_call(s, &c, c.type == P9_TWRITE ? parsed.payload : s->data);
    }
    if (c.status == S_RESTART) c.status = wait_add(s, &c, parsed.tag) == S_OK ? S_RESTART : E_AGAIN;
    if (c.status != S_RESTART) answer(s, &c, parsed.tag);
    waits_retry(s);
}

// Appends an entry to the answer of readdir; false: it is full.
//   a  qid_path, qid_type and mode of the entry; c->value: where readdir goes on after it
bool server_dirent(struct p9_call *c, u8 *data, const struct p9_attr *a, const char *name) {
    const u64 len = strlen(name);
    if (len > P9_NAME_MAX || c->result + 24 + len > c->count) return false;
    struct p9_buf b = {.bytes = data + c->result, .size = 24};
    p9_put(&b, a->qid_type, 1);
    p9_put(&b, 0, 4);
    p9_put(&b, a->qid_path, 8);
    p9_put(&b, c->value, 8);
    p9_put(&b, a->mode >> 12, 1);
    p9_put(&b, len, 2);
    memcpy(data + c->result + 24, name, len);
    c->result += 24 + len;
    return true;
}

// --- the loop ---

// The whole message that is next in what came; *size 0: none yet. False: it cannot be one.
static bool message_here(struct server *s, u32 *size) {
    *size = 0;
    if (s->in_len - s->in_at < 4) return true;
    struct p9_buf b = {.bytes = s->in + s->in_at, .size = 4};
    const u32 bytes = (u32)p9_get(&b, 4);
    if (bytes < P9_HEAD_BYTES || bytes > SERVER_BUFFER_BYTES) return false;
    if (s->in_len - s->in_at >= bytes) *size = bytes;
    return true;
}

// Sends what is answered and takes what comes next: in one call where there is one and the answers
// are no more than it takes. Bytes, 0 the end, or a negated errno.
static long answers_send_and_read(struct server *s) {
    u8 *const at = s->in + s->in_len;
    const size_t room = sizeof s->in - s->in_len;
    if (!s->two_calls && s->out_len <= REPLY_RECV_MAX) {
        size_t left = s->out_len;
        const long n = reply_recv(s->in_fd, at, room, s->out_fd, s->out, &left);
        s->out_len = (u32)left;
        if (n != -ENOSYS) return n;
        s->two_calls = true;                     // another kernel than ours
    }
    answers_send(s);
    if (s->bad) return -EIO;
    const ssize_t n = read(s->in_fd, at, room);
    return n < 0 ? -errno : n;
}

static bool input_read(struct server *s) {
    memmove(s->in, s->in + s->in_at, s->in_len - s->in_at);
    s->in_len -= s->in_at;
    s->in_at = 0;
    for (;;) {
        const long n = answers_send_and_read(s);
        if (n == -EINTR) continue;
        if (n > 0) s->in_len += (u32)n;
        return n > 0;
    }
}

// Makes the channel and mounts the tree. 0, or an errno: EBUSY a server that lives has the name.
int server_mount(struct server *s, const char *source, const char *target) {
    int to[2], from[2];
    char options[64];
    if (pipe2(to, O_CLOEXEC) != 0) return errno;
    if (pipe2(from, O_CLOEXEC) != 0) {
        close(to[0]);
        close(to[1]);
        return errno;
    }
    snprintf(options, sizeof options, "trans=fd,rfdno=%d,wfdno=%d", from[0], to[1]);
    const int failed = mount(source, target, "9p", 0, options) ? errno : 0;
    close(from[0]);
    close(to[1]);
    s->in_fd = to[0];
    s->out_fd = from[1];
    if (failed) {
        close(to[0]);
        close(from[1]);
    }
    return failed;
}

// Serves until the tree is unmounted: 0. 1: the kernel broke the protocol, or is gone.
int server_run(struct server *s) {
    for (u32 size; !s->bad && message_here(s, &size);) {
        if (size == 0) {
            if (input_read(s)) continue;
            forget_all(s);
            return s->in_len ? 1 : 0;
        }
        server_message(s, s->in + s->in_at, size);
        s->in_at += size;
    }
    return 1;
}
