// The codec of the cluster's messages. One walk serves both directions: struct walk
// either writes or reads, so that the two cannot differ. Callers: node.c, the file
// calls of the kernel, the fuzzer. Any bytes may come in.
#include "proto/cluster/cluster_msg.h"

#include "base/string.h"

struct walk {
    u8 *to;              // writing
    const u8 *from;      // reading
    u32 at, end;
    bool bad;
};

static u64 walk_int(struct walk *w, u64 value, u32 bytes) {
    if (w->bad || w->end - w->at < bytes) {
        w->bad = true;
        return 0;
    }
    u64 got = 0;
    for (u32 i = 0; i < bytes; i++) {
        u32 shift = 8 * (bytes - 1 - i);
        if (w->to != NULL)
            w->to[w->at + i] = (u8)(value >> shift);
        else
            got |= (u64)w->from[w->at + i] << shift;
    }
    w->at += bytes;
    return w->to != NULL ? value : got;
}

static void walk_u8(struct walk *w, u8 *v) { *v = (u8)walk_int(w, *v, 1); }
static void walk_u32(struct walk *w, u32 *v) { *v = (u32)walk_int(w, *v, 4); }
static void walk_u64(struct walk *w, u64 *v) { *v = walk_int(w, *v, 8); }
static void walk_status(struct walk *w, status_t *v) { *v = (status_t)walk_int(w, (u32)*v, 4); }

static void walk_key(struct walk *w, struct msg_key *k) {
    walk_u64(w, &k->address);
    walk_u64(w, &k->length);
    walk_u32(w, &k->rkey);
}

static void walk_image(struct walk *w, struct image_id *i) {
    walk_u8(w, &i->node);
    walk_u32(w, &i->index);
    walk_u32(w, &i->epoch);
}

static void walk_keys(struct walk *w, struct cluster_msg *m) {
    walk_key(w, &m->keys.frames);
    walk_key(w, &m->keys.shared);
    walk_key(w, &m->keys.inbox);
    walk_u64(w, &m->keys.desc_base);
    walk_u64(w, &m->keys.owner_base);
    walk_u64(w, &m->keys.shard);
    walk_u64(w, &m->keys.heartbeat);
    walk_u64(w, &m->keys.inbox_at);
    walk_u64(w, &m->keys.reply_at);
    walk_u32(w, &m->keys.desc_stride);
    walk_u32(w, &m->keys.owner_stride);
    walk_u32(w, &m->keys.desc_count);
    for (u32 i = 0; i < CPU_CAPS_WORDS; i++) walk_u64(w, &m->keys.cpu.bits[i]);
    walk_u64(w, &m->keys.cpu.xcr0);
    walk_u64(w, &m->keys.cpu.layout);
}

static void walk_call(struct walk *w, struct cluster_msg *m) {
    walk_u32(w, &m->call.segment_count);
    if (m->call.segment_count > CALL_SEGMENTS_MAX) w->bad = true;
    for (u32 i = 0; !w->bad && i < m->call.segment_count; i++) walk_key(w, &m->call.segment[i]);
    walk_u32(w, &m->call.payload_len);
    if (w->bad || m->call.payload_len > w->end - w->at) {
        w->bad = true;
        return;
    }
    if (w->to != NULL)
        memcpy(w->to + w->at, m->call.payload, m->call.payload_len);
    else
        m->call.payload = w->from + w->at;
    w->at += m->call.payload_len;
}

static void walk_stat(struct walk *w, struct cluster_msg *m) {
    walk_u32(w, &m->stat.count);
    if (m->stat.count > STATUS_WORDS) w->bad = true;
    for (u32 i = 0; !w->bad && i < m->stat.count; i++) walk_u64(w, &m->stat.word[i]);
}

static void walk_roster(struct walk *w, struct cluster_msg *m) {
    walk_u32(w, &m->roster.count);
    if (m->roster.count > NODES_MAX) w->bad = true;
    for (u32 i = 0; !w->bad && i < m->roster.count; i++) {
        struct msg_roster_row *e = &m->roster.entry[i];
        walk_u8(w, &e->id);
        walk_u8(w, &e->row.by);
        for (u32 k = 0; k < 6; k++) walk_u8(w, &e->row.mac[k]);
        walk_u32(w, &e->row.ipv4);
        if (e->id >= NODES_MAX) w->bad = true;
    }
}

static void walk_clock(struct walk *w, struct clock_answer *a) {
    walk_u64(w, &a->asked_ns);
    walk_u64(w, &a->id);
    walk_u64(w, &a->cluster_ns);
    walk_u64(w, &a->wall_ns);
    walk_u64(w, &a->error_ns);
}

static void walk_share(struct walk *w, struct share_msg *m) {
    walk_u8(w, &m->op);
    walk_u8(w, &m->right);
    walk_status(w, &m->status);
    walk_u32(w, &m->serial);
    walk_u32(w, &m->key.home);
    walk_u32(w, &m->key.index);
    walk_u64(w, &m->key.generation);
    walk_u64(w, &m->key.page);
    walk_u64(w, &m->frame);
}

static void walk_refs(struct walk *w, struct cluster_msg *m) {
    walk_u8(w, &m->refs.from);
    walk_u32(w, &m->refs.incarnation);
    walk_u32(w, &m->refs.count);
    if (m->refs.count > MSG_REFS_MAX || m->refs.from >= NODES_MAX) w->bad = true;
    for (u32 i = 0; !w->bad && i < m->refs.count; i++) {
        walk_u32(w, &m->refs.entry[i].index);
        walk_u64(w, &m->refs.entry[i].generation);
    }
}

static void walk_process(struct walk *w, struct msg_process *p) {
    walk_u32(w, &p->pid);
    walk_u32(w, &p->ppid);
    walk_u32(w, &p->pgid);
    walk_u32(w, &p->sid);
    walk_u32(w, &p->node);
    walk_u32(w, &p->hops);
    walk_u32(w, &p->asker);
    walk_u32(w, &p->signal);
    walk_u32(w, &p->how);
    walk_u32(w, &p->ended);
    walk_status(w, &p->wait_status);
    walk_u64(w, &p->cpu_ns);
    walk_u64(w, &p->stay);
    walk_u32(w, &p->incarnation);
}

static void walk_futex(struct walk *w, struct msg_futex *f) {
    walk_u64(w, &f->key[0]);
    walk_u64(w, &f->key[1]);
    walk_u32(w, &f->count);
    walk_u32(w, &f->bits);
}

static void walk_body(struct walk *w, struct cluster_msg *m) {
    switch (m->type) {
    case MSG_KEYS: walk_keys(w, m); return;
    case MSG_QP_OFFER:
    case MSG_QP_ANSWER:
        walk_u8(w, &m->qp.purpose);
        walk_u32(w, &m->qp.qpn);
        walk_u32(w, &m->qp.start_psn);
        return;
    case MSG_RELEASE:
    case MSG_RELEASE_ACK:
    case MSG_ADOPTED: walk_image(w, &m->image); return;
    case MSG_HOLDER:
    case MSG_HOLDER_ACK:
    case MSG_REFUSE:
        walk_image(w, &m->image);
        walk_status(w, &m->status);
        return;
    case MSG_MOVED:
    case MSG_WHERE_TOLD:
        walk_status(w, &m->status);
        walk_process(w, &m->process);
        return;
    case MSG_LOCATION:
    case MSG_MOVE:
    case MSG_SIGNAL:
    case MSG_EXIT:
    case MSG_EXIT_ACK:
    case MSG_STOP:
    case MSG_TWIN:
    case MSG_PARENT:
    case MSG_WHERE:
    case MSG_SESSION:
    case MSG_CHILD: walk_process(w, &m->process); return;
    case MSG_STATUS_ASK: return;
    case MSG_PROFILE:
    case MSG_STATUS:
        walk_status(w, &m->status);
        walk_stat(w, m);
        return;
    case MSG_ROSTER: walk_roster(w, m); return;
    case MSG_REFS: walk_refs(w, m); return;
    case MSG_SHARE: walk_share(w, &m->share); return;
    case MSG_FUTEX: walk_futex(w, &m->futex); return;
    case MSG_CLOCK_ASK:
    case MSG_CLOCK: walk_clock(w, &m->clock); return;
    case MSG_CALL: walk_call(w, m); return;
    case MSG_REPLY:
        walk_status(w, &m->status);
        walk_call(w, m);
        return;
    case MSG_TYPES: break;
    }
    w->bad = true;
}

// Writes the message to `to`. Bytes written; 0: longer than max_bytes or CLUSTER_MSG_MAX,
// or a count out of range.
u32 cluster_msg_encode(const struct cluster_msg *m, u8 *to, u32 max_bytes) {
    struct cluster_msg copy = *m;
    struct walk w = {.to = to, .end = max_bytes < CLUSTER_MSG_MAX ? max_bytes : CLUSTER_MSG_MAX};
    walk_int(&w, (u64)m->type, 1);
    walk_int(&w, CLUSTER_MSG_VERSION, 1);
    walk_int(&w, 0, 2);
    walk_int(&w, m->tag, 4);
    walk_body(&w, &copy);
    if (w.bad) return 0;
    struct walk head = {.to = to, .at = 2, .end = CLUSTER_MSG_HEAD};
    walk_int(&head, w.at, 2);
    return w.at;
}

// Reads a message of exactly len_bytes. S_OK, or E_PROTO where any field does not fit;
// call.payload then points into `from`.
status_t cluster_msg_decode(struct cluster_msg *m, const u8 *from, u32 len_bytes) {
    memset(m, 0, sizeof *m);
    if (len_bytes < CLUSTER_MSG_HEAD || len_bytes > CLUSTER_MSG_MAX) return E_PROTO;
    struct walk w = {.from = from, .end = len_bytes};
    u64 type = walk_int(&w, 0, 1);
    u64 version = walk_int(&w, 0, 1);
    u64 length = walk_int(&w, 0, 2);
    m->tag = (u32)walk_int(&w, 0, 4);
    if (version != CLUSTER_MSG_VERSION || length != len_bytes) return E_PROTO;
    if (type == 0 || type >= MSG_TYPES) return E_PROTO;
    m->type = (enum cluster_msg_type)type;
    walk_body(&w, m);
    return w.bad || w.at != w.end ? E_PROTO : S_OK;
}
