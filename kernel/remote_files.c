// The asking half of file calls between nodes: what file_call does where an object is
// served elsewhere. Called by kernel/files/object.c through file_hooks, by netpoll as a
// poller, and by the cluster part. Lock: net_lock for all state here.
// tidy: long, because the journal and what may end a call in it are one machine.
//
// Nothing blocks: the first run of a call sends it, puts the process on a wait list and
// returns S_RESTART; the system call then runs again from its start, and the call finds
// its reply. A system call may make many remote calls, and repeats all of them each time
// it runs, so each process has a journal of the calls that its system call has made: a
// call found there with its reply gets that reply again and is not sent twice. The journal
// is dropped when the system call has ended. Callers clean up on S_RESTART as on any error.
//
// A signal, a kill or a wish to freeze flushes a request that is out and takes whichever
// comes first; p->reply_waits makes the call run once more before signals are delivered,
// so that a reply is never lost. CLUNK and REF are sent and not waited for.
// Spec: DESIGN idea 1 and 3 "Messages between nodes".
#include "base/string.h"
#include "kernel/files/holders.h"
#include "kernel/files/userfs.h"
#include "kernel/klog.h"
#include "kernel/net.h"
#include "kernel/netpoll.h"
#include "kernel/placement.h"
#include "kernel/remote_drive.h"
#include "kernel/remote_files_priv.h"
#include "kernel/signal.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "mm/kmem.h"

#define JOURNAL_MAX 256u                      // calls of one system call
#define SCAN_PERIOD_NS (10 * NS_PER_MS)       // signals and ended calls are looked for
#define POLL_AGE_NS (20 * NS_PER_MS)          // an answer to POLL is good that long

struct remote_call {
    struct list_node link;           // of a process's journal, or `orphans`
    struct p9_request *req;          // while it is out
    struct user_request *user;       // instead, where a server of this node is asked
    struct p9_call call;             // its results
    u64 key, serial;                 // what it asks; the system call it belongs to
    u64 round;                       // run of the system call that last took the reply
    u64 clunk_round;                 // run that last gave back what the call made
    u64 begun_ns, done_ns;           // when it was asked, and when the reply came
    u64 order;                       // of an orphan: when it became one
    bool done, one_sided;
    struct proc *p;                  // NULL: an orphan, nobody wants the reply
    u32 pid;
    struct wait_list wait;
    void *bounce;                    // data of a call with a kernel buffer
    u64 bounce_bytes;
    struct cluster_reply reply;      // where a large read is written; at NULL: none
    paddr_t page;                    // of P9_TPAGE: the frame to fill
};

static struct p9_client client;
static struct list_node *journals;   // [proc_count]
static struct list_node orphans = {&orphans, &orphans};
static struct list_node deferred = {&deferred, &deferred};   // orphans to submit later
static struct wait_list room_wait = WAIT_LIST_INIT(room_wait);
static u32 calls_live;               // in all journals
static u64 next_serial = 1, last_scan_ns;
static u64 orphan_last;              // `order` of the newest orphan
// For each process, while it is frozen: it leaves once orphans up to `upto` have ended.
static struct leaving { u64 freeze_tsc, upto; } *leavings;   // [proc_count]

static u32 ops_put(struct p9_call *c, u64 at, const void *from, u32 len_bytes) {
    return data_put(c, at, from, len_bytes);
}
static u32 ops_get(struct p9_call *c, u64 at, void *to, u32 len_bytes) {
    return data_get(c, at, to, len_bytes);
}
const struct p9_data_ops remote_data_ops = {ops_put, ops_get};

// --- the memory of a call ---

// Is it on a tree that a user-space server of this very node serves?
static bool is_user_here(const struct p9_call *c) {
    return c->object.node == node_id && object_is_user(c->object);
}

static void frames_hold(struct p9_call *c, bool hold) {
    for (u32 i = 0; i < c->data.seg_count; i++) {
        paddr_t frame = paddr(c->data.seg[i].pa.v & ~PAGE_MASK);
        if (hold) frame_ref(frame);
        else frame_unref(frame);
    }
}

// What the request held: the reply buffer, the frames, the message.
static void request_free(struct remote_call *r) {
    if (r->reply.at) cluster_reply_free(r->call.object.node, r->reply.slot);
    r->reply.at = NULL;
    frames_hold(&r->call, false);
    r->call.data.seg_count = 0;
    if (r->req) kmem_free(r->req, sizeof *r->req);
    r->req = NULL;
}

static void call_free(struct remote_call *r) {
    list_remove(&r->link);
    wait_wake_all(&r->wait);
    request_free(r);
    if (r->page.v) frame_unref(r->page);
    if (r->bounce) kmem_free(r->bounce, r->bounce_bytes);
    if (r->p) calls_live--;
    kmem_free(r, sizeof *r);
}

static bool moves_data(const struct p9_call *c) {
    return c->type == P9_TREAD || c->type == P9_TWRITE || c->type == P9_TREADDIR ||
           c->type == P9_TREADLINK || c->type == P9_TIOCTL;
}

// Large data to write must lie in user frames, for those are what the answering node may
// READ: a kernel buffer, or a frame of another use (a page of a file), is copied.
static status_t data_to_user_frames(struct remote_call *r, struct p9_call *from) {
    struct p9_data copy = {0};
    u64 left = from->count, at = 0;
    for (; left != 0; copy.seg_count++) {
        u32 len = (u32)MIN(left, PAGE_SIZE);
        paddr_t frame = frame_alloc_raw(FRAME_USER);
        if (frame.v) copy.seg[copy.seg_count].len = data_get(from, at, phys_to_virt(frame), len);
        if (!frame.v || copy.seg[copy.seg_count].len != len) {
            if (frame.v) frame_unref(frame);
            r->call.data = copy;
            frames_hold(&r->call, false);
            r->call.data = (struct p9_data){0};
            return frame.v ? E_INVAL : E_NOMEM;
        }
        copy.seg[copy.seg_count].pa = frame;
        left -= len, at += len;
    }
    r->call.data = copy;
    return S_OK;
}

static bool data_is_user_frames(const struct p9_data *d) {
    if (d->buffer) return false;
    for (u32 i = 0; i < d->seg_count; i++)
        if (frame_use_of(paddr(d->seg[i].pa.v & ~PAGE_MASK)) != FRAME_USER) return false;
    return true;
}

// Names the memory of data that is too large to travel inside messages: for a write its
// frames, for a read a buffer that this peer alone may WRITE. E_AGAIN: none is free.
static status_t call_name_data(struct remote_call *r) {
    struct p9_call *c = &r->call;
    struct p9_request *q = r->req;
    if (!moves_data(c) || c->count <= ENVELOPE_INLINE_MAX || c->type == P9_TIOCTL) return S_OK;
    if (c->type != P9_TWRITE) {
        status_t status = cluster_reply_alloc(c->object.node, &r->reply);
        if (status != S_OK) {
            r->reply.at = NULL;
            return status;
        }
        q->seg[0] = (struct p9_seg){r->reply.address, r->reply.key,
                                    (u32)MIN(c->count, CLUSTER_REPLY_BYTES)};
        q->seg_count = 1;
        return S_OK;
    }
    u32 key = cluster_frames_key(c->object.node);
    if (key == 0) return E_HOSTUNREACH;
    for (u32 i = 0; i < c->data.seg_count; i++)
        q->seg[i] = (struct p9_seg){c->data.seg[i].pa.v, key, c->data.seg[i].len};
    q->seg_count = c->data.seg_count;
    return S_OK;
}

// Takes the data over: a kernel buffer may be gone when the reply comes (it lies on a
// stack), so the call gets one of its own; frames are held.
static status_t call_take_data(struct remote_call *r, struct p9_call *c) {
    if (!moves_data(c)) {
        r->call.data = (struct p9_data){0};
    } else if (c->type == P9_TWRITE && c->count > ENVELOPE_INLINE_MAX && !is_user_here(c) &&
               !data_is_user_frames(&c->data)) {
        return data_to_user_frames(r, c);
    } else if (c->data.buffer) {
        r->bounce_bytes = MAX(c->count, 16u);
        r->bounce = kmem_alloc(r->bounce_bytes);
        r->call.data = (struct p9_data){.buffer = r->bounce};
        if (!r->bounce) return E_NOMEM;
        if (c->type == P9_TWRITE || c->type == P9_TIOCTL)
            memcpy(r->bounce, c->data.buffer, c->count);
    } else {
        frames_hold(&r->call, true);
    }
    return S_OK;
}

// --- the journal ---

static u64 hash_bytes(u64 h, const void *from, u64 len_bytes) {   // FNV-1a
    const u8 *p = from;
    for (u64 i = 0; i < len_bytes; i++) h = (h ^ p[i]) * 0x100000001b3ull;
    return h;
}

// Two calls of one system call with the same key are the same call: what it asks, and how
// far the system call had come when it asked.
static u64 call_key(const struct p9_call *c, u64 done_bytes) {
    const u64 words[] = {c->type, c->object.node, c->object.index, c->object.generation,
                         c->object2.node, c->object2.index, c->object2.generation, c->flags,
                         c->mode, c->offset, c->count, c->value, done_bytes};
    u64 h = hash_bytes(0xcbf29ce484222325ull, words, sizeof words);
    if (c->name) h = hash_bytes(h, c->name, strlen(c->name) + 1);
    if (c->name2) h = hash_bytes(h, c->name2, strlen(c->name2) + 1);
    if (c->type == P9_TSETATTR) {
        const u64 attr[] = {c->attr.valid, c->attr.mode, c->attr.uid, c->attr.gid, c->attr.size,
                            c->attr.atime_s, c->attr.atime_ns, c->attr.mtime_s, c->attr.mtime_ns};
        h = hash_bytes(h, attr, sizeof attr);
    }
    return h;
}

static void orphan_submit(struct remote_call *r);

// Puts r behind the others; it keeps its place in time where it was one before.
static void orphan_add(struct list_node *list, struct remote_call *r) {
    if (r->order == 0) r->order = ++orphan_last;
    list_push_back(list, &r->link);
}

// Nobody takes the reply any more: what the request made is clunked when it ends.
static void call_abandon(struct remote_call *r) {
    if (r->done) {
        const bool kept = r->round != 0 && r->clunk_round != r->round;
        if (!kept && r->call.status == S_OK && r->call.made.generation != 0) {
            r->call.type = P9_TCLUNK;
            r->call.object = r->call.made;
            r->call.made.generation = 0;
            r->done = false;
            request_free(r);
            list_remove(&r->link);
            if (r->p) calls_live--;
            r->p = NULL;
            orphan_submit(r);
            return;
        }
        call_free(r);
        return;
    }
    if (r->user) {
        userfs_abandon(r->user);
        r->user = NULL;
        call_free(r);
        return;
    }
    list_remove(&r->link);
    orphan_add(&orphans, r);
    if (r->p) calls_live--;
    r->p = NULL;
    if (r->req) p9_client_flush(&client, r->req);   // may end and free r
}

static void journal_drop(struct list_node *journal) {
    while (!list_empty(journal))
        call_abandon(LIST_ENTRY(journal->next, struct remote_call, link));
}

// Does this call belong to what its process does now? Its system call has the serial in
// its wait record until it ends. A fault has no record: its calls last until the next one.
static bool call_is_current(const struct remote_call *r) {
    const struct proc_desc *d = proc_desc(r->p);
    if (d->pid != r->pid || r->p->state == PROC_FREE || r->p->state == PROC_ZOMBIE) return false;
    return r->serial == 0 ? d->wait.nr < 0 : d->wait.nr >= 0 && d->wait.request_tag == r->serial;
}

// The journal of what p does now; an older one is dropped.
static struct list_node *journal_of(struct proc *p) {
    struct list_node *journal = &journals[p->index];
    struct proc_desc *d = proc_desc(p);
    if (!list_empty(journal) &&
        !call_is_current(LIST_ENTRY(journal->next, struct remote_call, link)))
        journal_drop(journal);
    if (d->wait.nr >= 0 && d->wait.request_tag == 0) d->wait.request_tag = next_serial++;
    return journal;
}

static u64 round_of(const struct proc *p) { return proc_desc(p)->account.syscalls + 1; }

static struct remote_call *journal_find(struct list_node *journal, const struct proc *p,
                                        u64 key) {
    LIST_FOR_EACH(it, journal) {
        struct remote_call *r = LIST_ENTRY(it, struct remote_call, link);
        if (r->key == key && (!r->done || r->round != round_of(p))) return r;
    }
    return NULL;
}

// --- sending and ending ---

static status_t client_send(void *ctx, u32 node, const void *bytes, u32 len_bytes) {
    (void)ctx;
    return cluster_bulk_send(node, bytes, len_bytes);
}

static void call_done(struct remote_call *r) {
    r->done = true;
    r->done_ns = time_now_ns();
    request_free(r);
    wait_wake_all(&room_wait);
}

// Its process takes the results.
static void call_tell(struct remote_call *r) {
    if (r->serial != 0 && call_is_current(r)) r->p->reply_waits = true;
    wait_wake_all(&r->wait);
}

// The results of a call to a server of this node.
static void user_take(struct remote_call *r) {
    const struct p9_data data = r->call.data;
    r->call = r->user->call;
    r->call.data = data;
    userfs_free(r->user);
    r->user = NULL;
    call_done(r);
}

static void user_done(struct user_request *u) {
    struct remote_call *r = u->host;
    user_take(r);
    call_tell(r);
}

static status_t user_submit(struct remote_call *r) {
    struct user_request *u = userfs_request(&r->call);
    if (!u) return E_NOMEM;
    u->host = r;
    u->done = user_done;
    const status_t status = userfs_submit(u);
    if (status != S_OK) {
        userfs_free(u);
        return status;
    }
    r->user = u;
    if (u->finished) user_take(r);
    return S_OK;
}

// The request of a call has ended: its results are in the request.
static void client_complete(void *ctx, struct p9_request *req) {
    (void)ctx;
    struct remote_call *r = req->host;
    struct p9_data data = r->call.data;
    r->call = req->call;
    r->call.data = data;
    u64 written = r->call.status == S_OK ? p9_reply_payload(&r->call) : 0;
    if (r->reply.at && written > ENVELOPE_INLINE_MAX)
        data_put(&r->call, 0, r->reply.at, written);
    call_done(r);
    // These never wait for anything but the server, so they are what a message costs.
    if ((r->call.type == P9_TWALK || r->call.type == P9_TGETATTR) && r->call.status == S_OK)
        placement_price(PRICE_MESSAGE, r->done_ns - r->begun_ns);
    if (!r->p) call_abandon(r);                   // an orphan: clunk what it made, or free
    else call_tell(r);
}

static const struct p9_client_ops client_ops = {client_send, client_complete, &remote_data_ops};

static struct remote_call *call_new(struct proc *p, const struct p9_call *c) {
    struct remote_call *r = kmem_alloc(sizeof *r);
    if (!r) return NULL;
    r->call = *c;
    r->call.made = (struct object_id){0};
    if (p) {                                      // who asks
        const struct proc_desc *d = proc_desc(p);
        r->call.pid = d->pid, r->call.uid = d->uid;
        r->call.gid = d->gid, r->call.umask = d->umask;
    }
    r->begun_ns = time_now_ns();
    list_init(&r->link);
    wait_list_init(&r->wait);
    return r;
}

static status_t call_submit(struct remote_call *r) {
    if (is_user_here(&r->call)) return user_submit(r);
    r->req = kmem_alloc(sizeof *r->req);
    if (!r->req) return E_NOMEM;
    r->req->host = r;
    status_t status = call_name_data(r);
    if (status != S_OK) return status;
    r->req->call = r->call;
    return p9_client_submit(&client, r->req);
}

// Sends r, which nobody waits for: now, or when a tag is free.
static void orphan_submit(struct remote_call *r) {
    if (is_user_here(&r->call)) {                 // its references are counted here
        (void)userfs_count(&r->call);
        call_free(r);
        return;
    }
    orphan_add(&orphans, r);
    status_t status = call_submit(r);
    if (status == S_OK) return;
    request_free(r);
    list_remove(&r->link);
    if (status == E_NOBUFS || status == E_NOMEM) orphan_add(&deferred, r);
    else call_free(r);                            // the peer is gone, and its objects with it
}

static void deferred_submit(void) {
    struct list_node again;
    list_init(&again);
    while (!list_empty(&deferred)) list_push_back(&again, list_pop_front(&deferred));
    while (!list_empty(&again))
        orphan_submit(LIST_ENTRY(list_pop_front(&again), struct remote_call, link));
}

// --- file_call's hook ---

static void results_give(struct remote_call *r, struct proc *p, struct p9_call *c) {
    struct p9_call out = r->call;
    out.type = c->type;
    out.name = c->name;
    out.name2 = c->name2;
    out.data = c->data;
    if (r->bounce && c->data.buffer && out.status == S_OK && c->type != P9_TWRITE) {
        u64 len = c->type == P9_TIOCTL ? out.count : out.result;
        memcpy(c->data.buffer, r->bounce, MIN(len, r->bounce_bytes));
    }
    *c = out;
    remote_drive_note(c);
    r->round = round_of(p);
    if (r->page.v) {                              // a page is given once, with its reference
        if (c->status == S_OK && c->result == 0) c->status = E_NXIO;   // beyond the end
        c->result = r->page.v;
        if (c->status == S_OK) r->page = paddr(0);
    }
}

// Gives them; where they are given once only, r goes.
static status_t results_take(struct remote_call *r, struct proc *p, struct p9_call *c) {
    const bool first = r->round == 0;
    results_give(r, p, c);
    if (first && !is_user_here(c))
        placement_used_there(p, c, r->one_sided, r->done_ns - r->begun_ns);
    if (first && c->type == P9_TWRITE && c->status == E_PIPE)
        signal_raise(p, SIGPIPE, (struct signal_info){.code = SI_KERNEL});
    if (c->type == P9_TPAGE || r->serial == 0) call_free(r);
    return c->status;
}

// Sets p aside until r ends. A signal does not wake it: the scan flushes r instead.
static status_t call_wait(struct wait_list *w, struct proc *p, bool uninterruptible) {
    if (uninterruptible) wait_on_uninterruptible(w, p);
    else wait_on(w, p);
    return S_RESTART;
}

// --- drives, one-sided ---

// The READs of r ended: its bytes are here, or the message is sent after all.
static void drive_done(void *ctx, status_t status, const void *at) {
    struct remote_call *r = ctx;
    if (status == S_OK) {
        data_put(&r->call, 0, at, r->call.count);
        r->call.result = r->call.count;
    }
    cluster_reply_free(r->call.object.node, r->reply.slot);
    r->reply.at = NULL;
    r->one_sided = status == S_OK;
    if (status == S_OK) placement_price_of_drive(time_now_ns() - r->begun_ns, r->call.count);
    if (status == E_AGAIN && r->p && call_submit(r) == S_OK) return;
    // E_INTR: nobody is told; the process asks anew.
    r->call.status = status == E_AGAIN ? E_INTR : status == S_OK ? S_OK : E_IO;
    call_done(r);
    if (!r->p) call_free(r);
    else call_tell(r);
}

// Tries the owner's cache. False: send the message.
static bool drive_begin(struct remote_call *r) {
    struct remote_drive_map map;
    const struct p9_call *c = &r->call;
    if (object_is_user(c->object) || !remote_drive_wanted(c) ||
        remote_drive_find(c->object, &map) != REMOTE_DRIVE_MAPPED ||
        cluster_reply_alloc(c->object.node, &r->reply) != S_OK) {
        r->reply.at = NULL;
        return false;
    }
    const struct remote_drive_read x = {
        .node = c->object.node, .map = &map, .offset = c->offset, .count = c->count,
        .reply = &r->reply, .done = drive_done, .ctx = r};
    if (remote_drive_start(&x) == S_OK) return true;
    cluster_reply_free(c->object.node, r->reply.slot);
    r->reply.at = NULL;
    return false;
}

static status_t call_begin(struct proc *p, struct list_node *journal, struct p9_call *c,
                           u64 key) {
    u32 length = 0;
    LIST_FOR_EACH(it, journal) length++;
    if (length >= JOURNAL_MAX) return E_NOMEM;
    struct remote_call *r = call_new(p, c);
    if (!r) return E_NOMEM;
    status_t status = S_OK;
    if (c->type == P9_TPAGE) {
        r->page = frame_alloc(FRAME_USER);
        r->call.type = P9_TREAD;
        r->call.flags = 0;
        r->call.count = PAGE_SIZE;
        r->call.data = (struct p9_data){.seg_count = 1, .seg = {{r->page, (u32)PAGE_SIZE}}};
        if (!r->page.v) r->call.data.seg_count = 0, status = E_NOMEM;
        else frames_hold(&r->call, true);
    } else {
        status = call_take_data(r, c);
    }
    r->key = key;
    r->p = p;
    r->pid = proc_desc(p)->pid;
    r->serial = proc_desc(p)->wait.nr >= 0 ? proc_desc(p)->wait.request_tag : 0;
    calls_live++;
    list_push_back(journal, &r->link);
    if (status == S_OK && !drive_begin(r)) status = call_submit(r);
    if (status == S_OK && r->done) return results_take(r, p, c);   // answered at once
    if (status == S_OK) return call_wait(&r->wait, p, true);
    call_free(r);
    // No tag or no reply buffer: both come back when another call ends.
    bool full = status == E_NOBUFS || status == E_AGAIN;
    return full ? call_wait(&room_wait, p, false) : status;
}

// A CLUNK of what this system call made itself: the run may end in S_RESTART, and the next
// one finds the object in the journal and may keep it. So it is only noted here; the last
// run decides, when the journal is dropped.
static bool clunk_noted(struct proc *p, struct list_node *journal, const struct p9_call *c) {
    if (c->type != P9_TCLUNK) return false;
    LIST_FOR_EACH(it, journal) {
        struct remote_call *r = LIST_ENTRY(it, struct remote_call, link);
        if (!r->done || r->call.type == P9_TCLUNK || r->round != round_of(p) ||
            r->clunk_round == r->round || !object_id_equal(r->call.made, c->object))
            continue;
        r->clunk_round = r->round;
        return true;
    }
    return false;
}

// A CLUNK or REF: sent and not waited for, but written down so that a system call that
// runs again does not send it again.
static status_t call_async(struct proc *p, struct list_node *journal, struct p9_call *c,
                           u64 key) {
    struct remote_call *r = call_new(p, c);
    if (!r) return E_NOMEM;
    r->call.data = (struct p9_data){0};
    orphan_submit(r);
    if (!p || proc_desc(p)->wait.nr < 0) return S_OK;
    struct remote_call *note = call_new(p, c);
    if (!note) return S_OK;
    note->call.data = (struct p9_data){0};
    note->key = key;
    note->p = p;
    note->pid = proc_desc(p)->pid;
    note->serial = proc_desc(p)->wait.request_tag;
    note->done = true;
    note->round = round_of(p);
    calls_live++;
    list_push_back(journal, &note->link);
    return S_OK;
}

// Only writes whose progress the wait record has (wait.done_bytes): nothing is asked twice
// without the journal.
static bool journal_is_written_down(const struct list_node *journal) {
    LIST_FOR_EACH(it, (struct list_node *)journal) {
        const struct remote_call *r = LIST_ENTRY(it, struct remote_call, link);
        if (!r->done || r->call.type != P9_TWRITE || r->round == 0) return false;
    }
    return true;
}

static status_t call_locked(struct proc *p, struct p9_call *c) {
    bool async = c->type == P9_TCLUNK || c->type == P9_TREF;
    if (!p) return async ? call_async(NULL, NULL, c, 0) : E_HOSTUNREACH;
    struct list_node *journal = journal_of(p);
    if (clunk_noted(p, journal, c)) return S_OK;
    if (async && is_user_here(c)) return userfs_count(c);   // each run's own, as all objects here
    u64 key = call_key(c, proc_desc(p)->wait.nr >= 0 ? proc_desc(p)->wait.done_bytes : 0);
    struct remote_call *r = journal_find(journal, p, key);
    if (r && c->type == P9_TPOLL && r->round != 0 && time_now_ns() - r->done_ns > POLL_AGE_NS) {
        call_free(r);                             // it may have changed since
        r = NULL;
    }
    if (!r) return async ? call_async(p, journal, c, key) : call_begin(p, journal, c, key);
    if (!r->done) return call_wait(&r->wait, p, true);
    if (async) {
        r->round = round_of(p);
        return S_OK;
    }
    if (r->call.status == E_INTR && signal_is_deliverable(p)) {
        call_free(r);                             // flushed for a signal: deliver that now
        return call_wait(&room_wait, p, false);
    }
    if (r->call.status == E_INTR) {               // flushed, but nobody is to be told
        call_free(r);
        if (p->freeze_wanted && journal_is_written_down(journal)) {
            journal_drop(journal);
            proc_desc(p)->wait.request_tag = 0;   // it may leave, and asks again from there
            return S_RESTART;
        }
        return call_begin(p, journal, c, key);
    }
    return results_take(r, p, c);
}

// Asks once what an object is that is read at an offset.
static status_t drive_learn(struct proc *p, const struct p9_call *c) {
    struct remote_drive_map map = {0};
    if (!p || object_is_user(c->object) || !remote_drive_wanted(c) ||
        remote_drive_find(c->object, &map) != REMOTE_DRIVE_UNKNOWN)
        return S_OK;
    struct p9_call ask = {.type = P9_TIOCTL, .object = c->object, .flags = DRIVE_IOC_MAP,
                          .count = sizeof map, .data.buffer = &map};
    const status_t status = call_locked(p, &ask);
    if (status == S_RESTART) return status;
    remote_drive_learn(c->object, status == S_OK ? &map : NULL);
    return S_OK;
}

// A call on an object of another node. Errors: those of the server; E_HOSTUNREACH no such
// member; E_IO it died; E_NOMEM. S_RESTART: the request is out and the process waits.
// Context: as file_call. Takes net_lock.
static status_t remote_call(struct p9_call *c) {
    if (c->type == P9_TPAGE && (c->flags & 1)) return E_NODEV;   // no shared memory across nodes
    if (c->type == P9_TRENAMEAT && c->flags != 0) return E_INVAL;   // 9P has no place for them
    if (c->type == P9_TLINK && !object_same_server(c->object, c->object2)) return E_XDEV;
    netpoll_lock();
    status_t status = drive_learn(proc_current(), c);
    if (status == S_OK) status = call_locked(proc_current(), c);
    netpoll_unlock();
    return status;
}

// --- the cluster part's side ---

static bool flush_wanted(struct proc *p) {
    spin_lock(&proc_lock);
    bool wanted = p->kill_pending || p->freeze_wanted || signal_is_deliverable(p);
    spin_unlock(&proc_lock);
    return wanted;
}

static bool killed(const struct proc *p) {
    return p->kill_pending || (proc_desc(p)->signal_pending & SIGNAL_BIT(SIGKILL));
}

// A killed process does not wait for a server of this node, which may hang.
static void user_cancel(struct remote_call *r) {
    userfs_abandon(r->user);
    r->user = NULL;
    r->call.status = E_INTR;
    call_done(r);
    call_tell(r);
}

// Flushes what signals and freezes wait for, and drops journals of calls that ended.
static void scan(void) {
    bool polls = false;
    for (u32 i = 0; i < proc_count && calls_live != 0; i++) {
        struct list_node *journal = &journals[i];
        if (list_empty(journal)) continue;
        struct remote_call *first = LIST_ENTRY(journal->next, struct remote_call, link);
        if (!call_is_current(first) && (first->serial != 0 || procs[i].state == PROC_FREE ||
                                        procs[i].state == PROC_ZOMBIE)) {
            journal_drop(journal);
            continue;
        }
        bool flush = flush_wanted(&procs[i]);
        LIST_FOR_EACH_SAFE(it, journal) {
            struct remote_call *r = LIST_ENTRY(it, struct remote_call, link);
            if (!r->done && flush && r->req) p9_client_flush(&client, r->req);
            if (!r->done && r->user && killed(&procs[i])) user_cancel(r);
            polls |= r->done && r->call.type == P9_TPOLL;
        }
    }
    // A poll of another node's object is asked again, for no event comes from there.
    if (polls) wait_wake_all(&poll_wait);
}

static u64 peers_up;                 // bit per node; net_lock

static void poll(void *ctx, u64 now_ns) {
    (void)ctx;
    userfs_pump();
    remote_serve_wake();
    for (u64 left = peers_up; left != 0; left &= left - 1) {
        const u32 node = (u32)__builtin_ctzll(left);
        p9_client_pump(&client, node);
        remote_serve_pump(node);
    }
    if (!list_empty(&deferred)) deferred_submit();
    if (calls_live != 0 && now_ns - last_scan_ns >= SCAN_PERIOD_NS) {
        last_scan_ns = now_ns;
        scan();
    }
}

static u64 poll_deadline_ns(void *ctx) {
    (void)ctx;
    return calls_live != 0 || !list_empty(&deferred) ? last_scan_ns + SCAN_PERIOD_NS : ~0ull;
}

// The pairs to `node` are ready.
static void peer_up(void *ctx, u32 node) {
    (void)ctx;
    peers_up |= BIT(node);
    p9_client_peer_up(&client, node, CLUSTER_BULK_CREDITS);
    remote_serve_peer(node, true);
}

// The pairs to `node` are destroyed: every call to it ends with E_IO, every call of it is
// dropped.
static void peer_down(void *ctx, u32 node) {
    (void)ctx;
    peers_up &= ~BIT(node);
    remote_serve_peer(node, false);
    p9_client_peer_down(&client, node);
    remote_drive_peer_down(node);
    holders_peer_down(node);
}

static void receive(void *ctx, u32 node, u8 *bytes, u32 len_bytes) {
    (void)ctx;
    if (len_bytes > 6 && bytes[6] == ENVELOPE_REPLY)
        p9_client_receive(&client, node, bytes, len_bytes);
    else
        remote_serve_receive(node, bytes, len_bytes);
}

static void moved(void *ctx, u64 cookie, status_t status) {
    (void)ctx;
    if (!remote_drive_moved(cookie, status)) remote_serve_moved(cookie, status);
}

static void room(void *ctx, u32 node) {
    (void)ctx;
    p9_client_pump(&client, node);
    remote_serve_pump(node);
}

static const struct cluster_bulk_ops bulk_ops = {
    .peer_up = peer_up, .peer_down = peer_down, .receive = receive, .moved = moved, .room = room,
};

// Boot: no peer yet. From here on file_call reaches other nodes.
void remote_files_init(void) {
    journals = kmem_alloc(proc_count * sizeof *journals);
    leavings = kmem_alloc(proc_count * sizeof *leavings);
    ASSERT(journals && leavings);
    for (u32 i = 0; i < proc_count; i++) list_init(&journals[i]);
    p9_client_init(&client, &client_ops, NULL);
    remote_serve_init();
    holders_init();
    file_hooks.remote_call = remote_call;
    cluster_set_bulk(&bulk_ops);
    net_add_poller(poll, poll_deadline_ns, NULL);
}

static bool orphans_ended(const struct list_node *list, u64 upto) {
    LIST_FOR_EACH(it, (struct list_node *)list)
        if (LIST_ENTRY(it, struct remote_call, link)->order <= upto) return false;
    return true;
}

// True: p has no call out and no reply to take, and no CLUNK or REF that it may have sent
// before it was frozen is on its way: p may leave. Those of others that came later do not
// hold it up, or a busy node would never let it go. False: what is out is flushed; ask
// again at its next edge.
bool remote_files_settled(struct proc *p) {
    if (!journals) return true;
    struct list_node *journal = &journals[p->index];
    if (!list_empty(journal) &&
        !call_is_current(LIST_ENTRY(journal->next, struct remote_call, link)))
        journal_drop(journal);
    LIST_FOR_EACH_SAFE(it, journal) {
        struct remote_call *r = LIST_ENTRY(it, struct remote_call, link);
        if (!r->done && r->req) p9_client_flush(&client, r->req);
        if (r->done && r->serial == 0) call_free(r);   // a fault's: it faults again there
    }
    struct leaving *l = &leavings[p->index];
    if (!list_empty(journal)) {
        l->freeze_tsc = 0;
        return false;
    }
    if (l->freeze_tsc != p->cl.freeze_tsc)
        *l = (struct leaving){p->cl.freeze_tsc, orphan_last};
    return orphans_ended(&orphans, l->upto) && orphans_ended(&deferred, l->upto);
}
