// The two pipes to a user-space server: messages out and in, their tags, the handshake, and
// the end. Called by userfs.c when there is something to send, by netpoll (userfs_pump)
// when a pipe changed. A server that breaks the protocol is cut off as one that died.
// Lock: files_lock; userfs_pump is called with net_lock and takes it.
// Spec: Plan 9 version(5), attach(5), clunk(5); 9P2000.L.
#include "base/string.h"
#include "kernel/files/pipe.h"
#include "kernel/files/userfs_priv.h"
#include "kernel/klog.h"
#include "kernel/trap.h"
#include "mm/kmem.h"

#define PROTOCOL "9P2000.L"
#define ROUND_MESSAGES_MAX 64u           // of one mount in one round of the pump

static u32 mounts_live;                  // atomic: how many have a channel
static bool pump_wanted, pumping;        // atomic; of this lock's holder

void userfs_wanted(void) {
    __atomic_store_n(&pump_wanted, true, __ATOMIC_RELEASE);
    edge_request(EDGE_NETPOLL);
}

// Something on some pipe changed. Any context; nothing where there is no mount.
void userfs_changed(void) {
    if (__atomic_load_n(&mounts_live, __ATOMIC_RELAXED) == 0) return;
    if (!__atomic_load_n(&pumping, __ATOMIC_RELAXED)) userfs_wanted();
}

// Moves bytes through a pipe: how many, 0 none now, -1 the other end is gone.
static i64 pipe_move(struct object *o, u8 type, u8 *bytes, u32 len) {
    struct p9_call c = {.type = type, .offset = P9_OFFSET_CURRENT, .count = len,
                        .data.buffer = bytes};
    const status_t status = object_call_alone(o, &c);
    if (status == S_RESTART || status == E_AGAIN) return 0;
    if (status != S_OK || c.result == 0) return -1;
    return (i64)c.result;
}

// --- out ---

u32 channel_tag_free(const struct user_mount *m) {
    u32 tag = 0;
    while (tag < MOUNT_TAGS && !user_tag_is_free(&m->tag[tag])) tag++;
    return tag;
}

// Packs c and its data for sending. False: it cannot be.
static bool message_pack(struct user_mount *m, const struct p9_call *c, u16 tag,
                         struct p9_call *data_of) {
    struct p9_buf b = {.bytes = m->tx, .size = MOUNT_BUFFER_BYTES};
    if (p9_request_pack(&b, c, tag) != S_OK) return false;
    const u32 payload = p9_request_payload(c);
    if (b.len + payload > m->msize) return false;
    if (payload && data_get(data_of, 0, b.bytes + b.len, payload) != payload) return false;
    m->tx_len = b.len + payload;
    m->tx_at = 0;
    return true;
}

// The server is told that nobody waits for r any more, unless it was. files_lock held.
void channel_flush(struct user_mount *m, const struct user_request *r) {
    for (u32 tag = 0; tag < MOUNT_TAGS && mount_alive(m); tag++) {
        struct user_tag *t = &m->tag[tag];
        if (t->request != r || t->ahead || t->flush_due || t->flushing) continue;
        t->flush_due = true;
        m->flushes_due++;
        userfs_wanted();
    }
}

// No tag is free: those of quick reads whose callers have left are flushed. True: there are some.
static bool quick_flush(struct user_mount *m) {
    for (u32 tag = 0; tag < MOUNT_TAGS; tag++) {
        struct user_tag *t = &m->tag[tag];
        if (!t->quick || t->flush_due || t->flushing || user_quick_wanted(t)) continue;
        t->flush_due = true;
        m->flushes_due++;
    }
    return m->flushes_due != 0;
}

// The Tflush that is next, into m->tx. False: there is none.
static bool flush_next(struct user_mount *m) {
    for (u32 tag = 0; tag < MOUNT_TAGS && m->flushes_due; tag++) {
        struct user_tag *t = &m->tag[tag];
        if (!t->flush_due) continue;
        const struct p9_call c = {.type = P9_TFLUSH, .value = tag};
        t->flush_due = false;
        t->flushing = true;
        m->flushes_due--;
        return message_pack(m, &c, (u16)(tag | MOUNT_TAG_FLUSH), NULL);
    }
    return false;
}

// A tag whose message was answered, or never will be, is free, once its flush is answered.
static void tag_done(struct user_mount *m, u32 tag) {
    if (m->tag[tag].flush_due) m->flushes_due--;
    m->tag[tag] = (struct user_tag){.flushing = m->tag[tag].flushing};
}

// Behind a walk in m->tx goes the getattr of what it will find: that saves a round. Where the
// server answers it with an error, it is asked once more after the walk.
static void attr_ahead(struct user_mount *m, struct user_request *r) {
    const u32 tag = channel_tag_free(m);
    const struct p9_call c = {.type = P9_TGETATTR, .object.index = r->made->fid,
                              .attr.valid = P9_GETATTR_BASIC};
    struct p9_buf b = {.bytes = m->tx + m->tx_len, .size = MOUNT_BUFFER_BYTES - m->tx_len};
    if (tag == MOUNT_TAGS || p9_request_pack(&b, &c, (u16)tag) != S_OK) return;
    m->tx_len += b.len;
    m->tag[tag] = (struct user_tag){.request = r, .ahead = true};
    r->ahead = tag + 1;
}

static bool hello_next(struct user_mount *m) {
    struct p9_call c = {.type = P9_TVERSION, .count = MOUNT_MSIZE, .name = PROTOCOL};
    if (m->hello_out) return false;
    if (m->state == MOUNT_ATTACH)
        c = (struct p9_call){.type = P9_TATTACH, .new_fid = m->root->fid, .name = "root",
                             .name2 = ""};
    m->hello_out = message_pack(m, &c, m->state == MOUNT_VERSION ? P9_NOTAG : 0, NULL);
    return m->hello_out;
}

// The next message into m->tx. False: there is none.
static bool message_next(struct user_mount *m) {
    if (m->state == MOUNT_VERSION || m->state == MOUNT_ATTACH) return hello_next(m);
    if (flush_next(m)) return true;
    const u32 tag = channel_tag_free(m);
    if (tag == MOUNT_TAGS && quick_flush(m)) return flush_next(m);
    if (m->state != MOUNT_READY || tag == MOUNT_TAGS) return false;
    if (!list_empty(&m->clunks)) {
        struct user_file *f = LIST_ENTRY(list_pop_front(&m->clunks), struct user_file, link);
        const struct p9_call c = {.type = P9_TCLUNK, .object.index = f->fid};
        m->tag[tag].clunk = f;
        return message_pack(m, &c, (u16)tag, NULL);
    }
    while (!list_empty(&m->queue)) {
        struct user_request *r = LIST_ENTRY(list_pop_front(&m->queue), struct user_request, link);
        const struct p9_call c = user_step_call(r);
        if (message_pack(m, &c, (u16)tag, &r->call)) {
            m->tag[tag].request = r;
            r->in_flight = true;
            if (r->step == USER_MAIN && r->call.type == P9_TWALK) attr_ahead(m, r);
            return true;
        }
        user_request_end(r, E_NAMETOOLONG);      // all else fits
    }
    return false;
}

// False: the server is gone.
static bool send_all(struct user_mount *m) {
    for (;;) {
        while (m->tx_at < m->tx_len) {
            const i64 n = pipe_move(m->to, P9_TWRITE, m->tx + m->tx_at, m->tx_len - m->tx_at);
            if (n <= 0) return n == 0;
            m->tx_at += (u32)n;
        }
        if (!message_next(m)) return true;
    }
}

// --- in ---

// The answer to version or attach. False: the server does not speak it.
static bool hello_done(struct user_mount *m, u32 size) {
    const bool version = m->state == MOUNT_VERSION;
    struct p9_call c = {.type = version ? P9_TVERSION : P9_TATTACH};
    struct p9_parsed parsed;
    if (p9_reply_unpack(m->rx, size, &c, &parsed) != S_OK || c.status != S_OK) return false;
    m->hello_out = false;
    if (!version) {
        m->root->established = true;
        m->root->dir = true;
        m->state = MOUNT_READY;
        return parsed.tag == 0 && (c.attr.qid_type & 0x80);
    }
    if (parsed.tag != P9_NOTAG || strcmp(c.name, PROTOCOL) || c.count < MOUNT_MSIZE_MIN ||
        c.count > MOUNT_MSIZE)
        return false;
    m->msize = (u32)c.count;
    m->state = MOUNT_ATTACH;
    return true;
}

// The answer to a getattr that was sent with r's walk, or, r NULL, to one that came too late.
static void ahead_done(struct user_request *r, const struct p9_call *reply) {
    if (!r) return;
    r->ahead = 0;
    r->ahead_good = reply->status == S_OK;
    if (r->ahead_good) r->call.attr = reply->attr;
    if (r->step == USER_ATTR) user_ahead_done(r);
}

// The answer to a Tflush, even an error of a server that knows none: what it was for will not be
// answered any more.
static bool flush_done(struct user_mount *m, u32 size, u32 tag) {
    struct p9_call c = {.type = P9_TFLUSH};
    struct p9_parsed parsed;
    if (tag >= MOUNT_TAGS || !m->tag[tag].flushing) return false;
    if (p9_reply_unpack(m->rx, size, &c, &parsed) != S_OK) return false;
    struct user_request *r = m->tag[tag].request;
    m->tag[tag] = (struct user_tag){0};
    if (!r) return true;
    r->in_flight = false;
    user_request_end(r, E_INTR);
    return true;
}

// One whole message of `size` bytes lies in m->rx. False: it answers nothing we asked.
static bool message_done(struct user_mount *m, u32 size) {
    if (m->state == MOUNT_VERSION || m->state == MOUNT_ATTACH) return hello_done(m, size);
    const u32 tag = (u32)m->rx[5] | (u32)m->rx[6] << 8;
    if (tag & MOUNT_TAG_FLUSH) return flush_done(m, size, tag & ~MOUNT_TAG_FLUSH);
    if (tag >= MOUNT_TAGS) return false;
    struct p9_parsed parsed;
    const struct user_tag t = m->tag[tag];
    struct user_request *r = t.request;
    struct p9_call c = {.type = t.clunk ? P9_TCLUNK : t.quick ? P9_TREAD : P9_TGETATTR};
    if (r && !t.ahead) c = user_step_call(r);
    if (!t.clunk && !r && !t.dropped && !t.quick) return false;
    if (p9_reply_unpack(m->rx, size, &c, &parsed) != S_OK) return false;
    if (c.status == S_OK && parsed.payload_len && !parsed.payload) return false;
    if (t.quick && c.status == S_OK && parsed.payload_len > t.quick_len) return false;
    tag_done(m, tag);
    if (t.quick) {
        user_quick_end(&t, c.status == S_OK ? (i64)parsed.payload_len : c.status, parsed.payload);
        return true;
    }
    if (t.clunk) {
        user_file_free(t.clunk);
        return true;
    }
    if (t.ahead || t.dropped) {
        ahead_done(r, &c);
        return true;
    }
    r->in_flight = false;
    user_step_done(r, &c, &parsed);
    return true;
}

// Takes what came. False: the server is gone, *why says how.
static bool receive_all(struct user_mount *m, const char **why) {
    for (u32 done = 0; done < ROUND_MESSAGES_MAX;) {
        u32 size = P9_HEAD_BYTES;
        if (m->rx_len >= P9_HEAD_BYTES) {
            memcpy(&size, m->rx, 4);
            *why = "it sent a message of no possible size";
            if (size < P9_HEAD_BYTES || size > m->msize) return false;
            if (m->rx_len == size) {
                *why = "it broke the protocol";
                m->rx_len = 0;
                done++;
                if (!message_done(m, size)) return false;
                continue;
            }
        }
        *why = "it ended";
        const i64 n = pipe_move(m->from, P9_TREAD, m->rx + m->rx_len, size - m->rx_len);
        if (n <= 0) return n == 0;
        m->rx_len += (u32)n;
    }
    userfs_wanted();
    return true;
}

// --- both ---

// Sends and receives as far as the pipes let it. files_lock held.
void channel_run(struct user_mount *m) {
    const char *why = "it ended";
    if (m->state == MOUNT_FREE || m->state == MOUNT_DEAD) return;
    const bool nested = pumping;
    __atomic_store_n(&pumping, true, __ATOMIC_RELAXED);   // our own changes need no pump
    bool good = receive_all(m, &why);
    if (good && m->state != MOUNT_CLOSING) good = send_all(m);
    __atomic_store_n(&pumping, nested, __ATOMIC_RELAXED);
    if (!good) channel_end(m, why);
}

void channel_begin(struct user_mount *m) {
    pipe_sink(m->from, user_quick_reply, m);
    m->to_pipe = pipe_of(m->to, 0);
    __atomic_add_fetch(&mounts_live, 1, __ATOMIC_RELAXED);
    channel_run(m);
}

// Tells the server to end: it reads the end of its requests. What is not answered gets EIO.
void channel_close(struct user_mount *m) {
    m->state = MOUNT_CLOSING;
    if (m->to) object_put(m->to);
    m->to = NULL;
    userfs_wanted();
}

// The server is gone: everything that is out or waits gets EIO, now and later.
void channel_end(struct user_mount *m, const char *why) {
    const bool closing = m->state == MOUNT_CLOSING;
    if (!closing) klog("mount: the server of /mnt/%s is gone: %s", m->name, why);
    m->state = MOUNT_DEAD;
    m->detached |= closing;
    pipe_sink(m->from, NULL, NULL);
    if (m->to) object_put(m->to);
    if (m->from) object_put(m->from);
    m->to = m->from = NULL;
    __atomic_sub_fetch(&mounts_live, 1, __ATOMIC_RELAXED);
    for (u32 tag = 0; tag < MOUNT_TAGS; tag++) {
        struct user_tag t = m->tag[tag];
        m->tag[tag] = (struct user_tag){0};
        if (t.ahead) t.request->ahead = 0;
        if (t.ahead && t.request->in_flight) continue;   // it ends by its other tag
        if (t.request) user_request_end(t.request, E_IO);
        if (t.quick) user_quick_end(&t, E_IO, NULL);
        if (t.clunk) user_file_free(t.clunk);
    }
    while (!list_empty(&m->queue))
        user_request_end(LIST_ENTRY(m->queue.next, struct user_request, link), E_IO);
    while (!list_empty(&m->clunks))
        user_file_free(LIST_ENTRY(list_pop_front(&m->clunks), struct user_file, link));
    mount_ended(m);
}

// One round of all mounts, and the ends of requests. Context: netpoll, net_lock held.
void userfs_pump(void) {
    if (!__atomic_load_n(&pump_wanted, __ATOMIC_RELAXED)) return;
    __atomic_store_n(&pump_wanted, false, __ATOMIC_SEQ_CST);
    struct list_node ended;
    list_init(&ended);
    spin_lock(&files_lock);
    for (u32 i = 0; i < MOUNTS_MAX; i++) {
        if (user_mounts[i]) channel_run(user_mounts[i]);
        if (user_mounts[i]) mount_reap(i);
    }
    while (!list_empty(&user_finished)) list_push_back(&ended, list_pop_front(&user_finished));
    spin_unlock(&files_lock);
    while (!list_empty(&ended)) {
        struct user_request *r = LIST_ENTRY(list_pop_front(&ended), struct user_request, link);
        r->done(r);
    }
}
