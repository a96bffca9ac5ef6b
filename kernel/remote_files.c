// The asking half of file calls between nodes: what file_call does where an object is
// served elsewhere. Called by kernel/files/object.c through file_hooks, by netpoll as a
// poller, and by the cluster part. remote_call.c has the memory and the sending of one call,
// remote_orphans.c those that nobody waits for. Lock: net_lock for all state here.
//
// Nothing blocks: the first run of a call sends it, puts the process on a wait list and
// returns S_RESTART; the system call then runs again from its start, and the call finds
// its reply. A system call may make many remote calls, and repeats all of them each time
// it runs, so each process has a journal of the calls that its threads' system calls have made: a
// call found there with its reply gets that reply again and is not sent twice. The journal
// is dropped when the system call has ended. Callers clean up on S_RESTART as on any error.
//
// A signal, a kill or a wish to freeze flushes a request that is out and takes whichever
// comes first; p->reply_waits makes the call run once more before signals are delivered,
// so that a reply is never lost. CLUNK and REF are sent and not waited for.
// Spec: docs/ARCHITECTURE.md, ideas and the walk of a system call.
#include "base/string.h"
#include "kernel/family.h"
#include "kernel/files/events.h"
#include "kernel/files/holders.h"
#include "kernel/files/locks.h"
#include "kernel/files/socket.h"
#include "kernel/files/userfs.h"
#include "kernel/klog.h"
#include "kernel/net.h"
#include "kernel/netpoll.h"
#include "kernel/placement.h"
#include "kernel/remote_drive.h"
#include "kernel/remote_files_priv.h"
#include "kernel/signal.h"
#include "kernel/thread.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "mm/kmem.h"

#define JOURNAL_MAX 256u                      // calls of one system call
#define SCAN_PERIOD_NS (10 * NS_PER_MS)       // signals and ended calls are looked for
#define POLL_AGE_NS (20 * NS_PER_MS)          // an answer to POLL is good that long

static struct list_node *journals;   // [proc_count]
static struct wait_list room_wait = WAIT_LIST_INIT(room_wait);
static u64 next_serial = 1, last_scan_ns;
static u64 peers_up;                 // bit per node; net_lock

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

// Nobody takes the reply any more: what the request made is clunked when it ends.
static void call_abandon(struct remote_call *r) {
    if (r->done) {
        const bool kept = r->round != 0 && r->clunk_round != r->round;
        if (!kept && r->call.status == S_OK && r->call.made.generation != 0) {
            r->call.type = P9_TCLUNK;
            r->call.object = r->call.made;
            r->call.made.generation = 0;
            r->done = false;
            remote_call_release(r);
            remote_orphan_submit(r);
            return;
        }
        remote_call_free(r);
        return;
    }
    if (r->user) {
        userfs_abandon(r->user);
        r->user = NULL;
        remote_call_free(r);
        return;
    }
    remote_orphan_adopt(r);                       // may end and free it
}


// Does this call belong to what its process does now? Its system call has the serial in
// its wait record until it ends. A fault has no record: its calls last until the next one.
static bool call_is_current(const struct remote_call *r) {
    const struct proc *p = r->p;
    if (proc_desc(p)->pid != r->pid || p->state == PROC_FREE || p->state == PROC_ZOMBIE)
        return false;
    const struct thread *t = thread_find(r->p, r->tid);
    if (!t) return false;
    u64 tag;
    const bool in_call = thread_in_call(t, &tag);
    return r->serial == 0 ? !in_call : in_call && tag == r->serial;
}

// What belongs to a system call that has ended is dropped.
static void journal_clean(struct list_node *journal) {
    LIST_FOR_EACH_SAFE(it, journal) {
        struct remote_call *r = LIST_ENTRY(it, struct remote_call, link);
        if (!call_is_current(r)) call_abandon(r);
    }
}

// p's running thread asks anew: its part of the journal goes.
static void journal_drop_own(struct list_node *journal, const struct proc *p) {
    LIST_FOR_EACH_SAFE(it, journal) {
        struct remote_call *r = LIST_ENTRY(it, struct remote_call, link);
        if (r->tid == proc_desc(p)->tid) call_abandon(r);
    }
}

// The journal of what p's threads do now; what is older is dropped.
static struct list_node *journal_of(struct proc *p) {
    struct list_node *journal = &journals[p->index];
    struct proc_desc *d = proc_desc(p);
    journal_clean(journal);
    if (d->wait.nr >= 0 && d->wait.request_tag == 0) d->wait.request_tag = next_serial++;
    return journal;
}

static u64 round_of(const struct proc *p) { return proc_desc(p)->account.syscalls + 1; }

static struct remote_call *journal_find(struct list_node *journal, const struct proc *p,
                                        u64 key) {
    LIST_FOR_EACH(it, journal) {
        struct remote_call *r = LIST_ENTRY(it, struct remote_call, link);
        if (r->key == key && r->tid == proc_desc(p)->tid &&
            (!r->done || r->round != round_of(p))) return r;
    }
    return NULL;
}

// --- sending and ending ---

static status_t client_send(void *ctx, u32 node, const void *bytes, u32 len_bytes) {
    (void)ctx;
    return cluster_bulk_send(node, bytes, len_bytes);
}

// A call's reply has come, or there will be none: its process runs again and finds it. net_lock.
void remote_call_done(struct remote_call *r) {
    r->done = true;
    r->done_ns = time_now_ns();
    remote_call_release(r);
    wait_wake_all(&room_wait);
}

// Its process takes the results.
void remote_call_tell(struct remote_call *r) {
    if (r->serial != 0 && call_is_current(r)) thread_find(r->p, r->tid)->reply_waits = true;
    wait_wake_all(&r->wait);
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
    remote_call_done(r);
    // These never wait for anything but the server, so they are what a message costs.
    if ((r->call.type == P9_TWALK || r->call.type == P9_TGETATTR) && r->call.status == S_OK)
        placement_price(PRICE_MESSAGE, r->done_ns - r->begun_ns);
    if (!r->p) call_abandon(r);                   // an orphan: clunk what it made, or free
    else remote_call_tell(r);
}

static const struct p9_client_ops client_ops = {client_send, client_complete, &remote_data_ops};

// --- file_call's hook ---

static void results_give(struct remote_call *r, struct proc *p, struct p9_call *c) {
    struct p9_call out = r->call;
    out.type = c->type;
    out.name = c->name;
    out.name2 = c->name2;
    out.data = c->data;
    if (r->bounce && out.status == S_OK && c->type != P9_TWRITE) {
        u64 len = c->type == P9_TIOCTL ? out.count : out.result;
        (void)data_put(c, 0, r->bounce, MIN(len, r->bounce_bytes));
    }
    *c = out;
    if (c->status == S_BACKGROUND) c->result = r->continued;
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
    if (first && !remote_call_is_user_here(c))
        placement_used_there(p, c, r->one_sided, r->done_ns - r->begun_ns);
    if (first && c->type == P9_TWRITE && c->status == E_PIPE &&
        !(socket_flags(c->offset) & MSG_NOSIGNAL))
        signal_raise(p, SIGPIPE, (struct signal_info){.code = SI_KERNEL});
    if (c->type == P9_TPAGE || r->serial == 0) remote_call_free(r);
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
    if (status == E_AGAIN && r->p && remote_call_submit(r) == S_OK) return;
    // E_INTR: nobody is told; the process asks anew.
    r->call.status = status == E_AGAIN ? E_INTR : status == S_OK ? S_OK : E_IO;
    remote_call_done(r);
    if (!r->p) remote_call_free(r);
    else remote_call_tell(r);
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
    LIST_FOR_EACH(it, journal)
        length += LIST_ENTRY(it, struct remote_call, link)->tid == proc_desc(p)->tid;
    if (length >= JOURNAL_MAX) return E_NOMEM;
    struct remote_call *r = remote_call_new(p, c);
    if (!r) return E_NOMEM;
    status_t status = remote_call_take_data(r, c);
    r->key = key;
    r->p = p;
    r->pid = proc_desc(p)->pid;
    r->tid = proc_desc(p)->tid;
    r->serial = proc_desc(p)->wait.nr >= 0 ? proc_desc(p)->wait.request_tag : 0;
    remote_calls_live++;
    list_push_back(journal, &r->link);
    if (status == S_OK && !drive_begin(r)) status = remote_call_submit(r);
    if (status == S_OK && r->done) return results_take(r, p, c);   // answered at once
    if (status == S_OK) return call_wait(&r->wait, p, true);
    remote_call_free(r);
    // No tag or no reply buffer: both come back when another call ends.
    bool full = status == E_NOBUFS || status == E_AGAIN;
    return full ? call_wait(&room_wait, p, false) : status;
}

// A CLUNK of what this system call made itself, or of a reference that it took: the run may
// end in S_RESTART, and the next one finds that in the journal and may keep it. So it is
// only noted here; the last run decides, when the journal is dropped.
static bool clunk_noted(struct proc *p, struct list_node *journal, const struct p9_call *c) {
    if (c->type != P9_TCLUNK) return false;
    LIST_FOR_EACH(it, journal) {
        struct remote_call *r = LIST_ENTRY(it, struct remote_call, link);
        if (!r->done || r->tid != proc_desc(p)->tid || r->call.type == P9_TCLUNK ||
            r->round != round_of(p) ||
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
    struct remote_call *r = remote_call_new(p, c);
    if (!r) return E_NOMEM;
    r->call.data = (struct p9_data){0};
    remote_orphan_submit(r);
    if (!p || proc_desc(p)->wait.nr < 0) return S_OK;
    struct remote_call *note = remote_call_new(p, c);
    if (!note) return S_OK;
    note->call.data = (struct p9_data){0};
    note->key = key;
    note->p = p;
    note->pid = proc_desc(p)->pid;
    note->tid = proc_desc(p)->tid;
    note->serial = proc_desc(p)->wait.request_tag;
    note->done = true;
    if (c->type == P9_TREF) note->call.made = c->object;   // see clunk_noted
    note->round = round_of(p);
    remote_calls_live++;
    list_push_back(journal, &note->link);
    return S_OK;
}

// It only asked what changes nothing. What a walk found is given back by who walked.
static bool call_is_question(const struct p9_call *c) {
    if (c->type == P9_TWALK) return remote_call_is_user_here(c);
    return c->type == P9_TGETATTR || (c->type == P9_TSEEK && c->flags == 1 && c->offset == 0);
}

// Only questions, and writes whose progress the wait record has (wait.done_bytes): nothing is
// done twice without the journal of thread `tid`. `but`, which is in it, does not count.
static bool journal_is_written_down(const struct list_node *journal, u32 tid,
                                    const struct remote_call *but) {
    LIST_FOR_EACH(it, (struct list_node *)journal) {
        const struct remote_call *r = LIST_ENTRY(it, struct remote_call, link);
        if (r->tid != tid || r == but) continue;
        if (r->done && call_is_question(&r->call)) continue;
        if (!r->done || r->call.type != P9_TWRITE || r->round == 0) return false;
    }
    return true;
}

// What a process waits for by asking again: its answer grows old.
static bool asks_state(const struct p9_call *c) {
    return c->type == P9_TPOLL || (c->type == P9_TIOCTL && c->flags == EPOLL_IOC_LIST);
}

static status_t call_locked(struct proc *p, struct p9_call *c) {
    bool async = c->type == P9_TCLUNK || c->type == P9_TREF;
    if (!p) return async ? call_async(NULL, NULL, c, 0) : E_HOSTUNREACH;
    struct list_node *journal = &journals[p->index];
    if (clunk_noted(p, journal, c)) return S_OK;
    if (async && remote_call_is_user_here(c))
        return userfs_count(c);                   // each run's own, as all objects here
    journal = journal_of(p);
    u64 key = call_key(c, proc_desc(p)->wait.nr >= 0 ? proc_desc(p)->wait.done_bytes : 0);
    struct remote_call *r = journal_find(journal, p, key);
    if (r && r->round != 0 && (family_asks_again(&r->call) ||
                               (asks_state(c) && time_now_ns() - r->done_ns > POLL_AGE_NS))) {
        remote_call_free(r);                             // it may have changed since
        r = NULL;
    }
    if (!r) return async ? call_async(p, journal, c, key) : call_begin(p, journal, c, key);
    if (!r->done) return call_wait(&r->wait, p, true);
    if (async) {
        r->round = round_of(p);
        return S_OK;
    }
    if (r->call.status == E_INTR && signal_is_deliverable(p)) {
        remote_call_free(r);                             // flushed for a signal: deliver that now
        return call_wait(&room_wait, p, false);
    }
    if (r->call.status == E_INTR) {               // flushed, but nobody is to be told
        remote_call_free(r);
        if (p->freeze_wanted && journal_is_written_down(journal, proc_desc(p)->tid, NULL)) {
            journal_drop_own(journal, p);
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

static bool flush_wanted(const struct remote_call *r) {
    struct proc *p = r->p;
    spin_lock(&proc_lock);
    const struct thread *t = thread_find(p, r->tid);
    bool wanted = p->kill_pending || p->freeze_wanted || (t && signal_is_deliverable_to(t));
    spin_unlock(&proc_lock);
    return wanted;
}

static bool killed(const struct proc *p) {
    return p->kill_pending || (proc_desc(p)->signal_pending & SIGNAL_BIT(SIGKILL));
}

static void user_cancel(struct remote_call *r) {
    userfs_abandon(r->user);
    r->user = NULL;
    r->call.status = E_INTR;
    remote_call_done(r);
    remote_call_tell(r);
}

// Asked twice, it is as if it was asked once, and it is all that its system call has done: its
// process may leave without the answer, and asks again from where it goes.
static bool may_be_left(const struct remote_call *r) {
    switch (r->call.type) {
    case P9_TREAD: case P9_TREADDIR: case P9_TREADLINK: case P9_TGETATTR: case P9_TSTATFS:
    case P9_TWALK: case P9_TSEEK: break;
    case P9_TLOPEN: if (r->call.flags & O_TRUNC) return false; break;
    default: return false;
    }
    return r->p->freeze_wanted && journal_is_written_down(&journals[r->p->index], r->tid, r);
}

// A server of this node is asked to leave a call that a signal or a freeze waits for. It may
// hang: a killed process does not wait for it, one with another signal USER_FLUSH_NS, nor one
// that is to move, unless what it asked for may have been done.
static void user_flush(struct remote_call *r) {
    const u64 now_ns = time_now_ns();
    spin_lock(&proc_lock);
    const struct thread *t = thread_find(r->p, r->tid);
    const bool signal = t && signal_is_deliverable_to(t);
    spin_unlock(&proc_lock);
    const bool late = r->flush_ns && now_ns - r->flush_ns >= USER_FLUSH_NS;
    if (killed(r->p) || (late && (signal || may_be_left(r)))) {
        user_cancel(r);
    } else if (!r->flush_ns) {
        r->flush_ns = now_ns;
        userfs_flush(r->user);
    }
}

// Flushes what signals and freezes wait for, and one call that is out longest where others wait
// for its reply buffer; drops journals of calls that ended.
static void scan(void) {
    struct remote_call *oldest[NODES_MAX] = {NULL};
    const u64 stalled = remote_call_replies_stalled();
    bool polls = false;
    for (u32 i = 0; i < proc_count && remote_calls_live != 0; i++) {
        struct list_node *journal = &journals[i];
        const bool gone = procs[i].state == PROC_FREE || procs[i].state == PROC_ZOMBIE;
        LIST_FOR_EACH_SAFE(it, journal) {
            struct remote_call *r = LIST_ENTRY(it, struct remote_call, link);
            if ((gone || r->serial != 0) && !call_is_current(r)) {
                call_abandon(r);
                continue;
            }
            const bool flush = !r->done && (r->req || r->user) && flush_wanted(r);
            if (flush && r->req) p9_client_flush(&remote_client, r->req);
            if (flush && r->user) user_flush(r);
            polls |= r->done && asks_state(&r->call);
            if (!r->req || !r->reply.at || r->done || !(stalled & BIT(r->call.object.node)))
                continue;
            struct remote_call **first = &oldest[r->call.object.node];
            if (!*first || r->begun_ns < (*first)->begun_ns) *first = r;
        }
    }
    for (u32 node = 0; node < NODES_MAX; node++)
        if (oldest[node]) p9_client_flush(&remote_client, oldest[node]->req);
    for (u64 left = peers_up; left != 0; left &= left - 1)
        p9_client_relieve(&remote_client, (u32)__builtin_ctzll(left));
    // A poll of another node's object is asked again, for no event comes from there.
    if (polls) wait_wake_all(&poll_wait);
}

static void poll(void *ctx, u64 now_ns) {
    (void)ctx;
    userfs_pump();
    remote_serve_wake();
    for (u64 left = peers_up; left != 0; left &= left - 1) {
        const u32 node = (u32)__builtin_ctzll(left);
        p9_client_pump(&remote_client, node);
        remote_serve_pump(node);
    }
    if (remote_orphans_deferred()) remote_orphans_retry();
    if (now_ns - last_scan_ns >= SCAN_PERIOD_NS && (remote_calls_live || remote_serve_waits())) {
        last_scan_ns = now_ns;
        scan();
        remote_serve_flush(now_ns);
    }
}

static u64 poll_deadline_ns(void *ctx) {
    (void)ctx;
    const bool wanted = remote_calls_live != 0 || remote_serve_waits() ||
                        remote_orphans_deferred();
    return wanted ? last_scan_ns + SCAN_PERIOD_NS : ~0ull;
}

// The pairs to `node` are ready.
static void peer_up(void *ctx, u32 node) {
    (void)ctx;
    peers_up |= BIT(node);
    p9_client_peer_up(&remote_client, node, CLUSTER_BULK_CREDITS);
    remote_serve_peer(node, true);
}

// The pairs to `node` are destroyed: every call to it ends with E_IO, every call of it is
// dropped.
static void peer_down(void *ctx, u32 node) {
    (void)ctx;
    peers_up &= ~BIT(node);
    remote_serve_peer(node, false);
    p9_client_peer_down(&remote_client, node);
    remote_drive_peer_down(node);
    locks_peer_down(node);
    holders_peer_down(node);
}

static void receive(void *ctx, u32 node, u8 *bytes, u32 len_bytes) {
    (void)ctx;
    if (len_bytes > 6 && bytes[6] == ENVELOPE_REPLY)
        p9_client_receive(&remote_client, node, bytes, len_bytes);
    else
        remote_serve_receive(node, bytes, len_bytes);
}

static void moved(void *ctx, u64 cookie, status_t status) {
    (void)ctx;
    if (!remote_drive_moved(cookie, status)) remote_serve_moved(cookie, status);
}

static void room(void *ctx, u32 node) {
    (void)ctx;
    p9_client_pump(&remote_client, node);
    remote_serve_pump(node);
}

static const struct cluster_bulk_ops bulk_ops = {
    .peer_up = peer_up, .peer_down = peer_down, .receive = receive, .moved = moved, .room = room,
};

// Boot: no peer yet. From here on file_call reaches other nodes.
void remote_files_init(void) {
    journals = kmem_alloc(proc_count * sizeof *journals);
    ASSERT(journals);
    remote_orphans_init();
    for (u32 i = 0; i < proc_count; i++) list_init(&journals[i]);
    p9_client_init(&remote_client, &client_ops, NULL);
    remote_serve_init();
    holders_init();
    file_hooks.remote_call = remote_call;
    cluster_set_bulk(&bulk_ops);
    net_add_poller(poll, poll_deadline_ns, NULL);
}

// True: p has no call out and no reply to take, and no CLUNK or REF that it may have sent
// before it was frozen is on its way: p may leave. Those of others that came later do not
// hold it up, or a busy node would never let it go. False: what is out is flushed; ask
// again at its next edge.
bool remote_files_settled(struct proc *p) {
    if (!journals) return true;
    struct list_node *journal = &journals[p->index];
    journal_clean(journal);
    LIST_FOR_EACH_SAFE(it, journal) {
        struct remote_call *r = LIST_ENTRY(it, struct remote_call, link);
        if (!r->done && r->req) p9_client_flush(&remote_client, r->req);
        if (r->done && r->serial == 0) remote_call_free(r);   // a fault's: it faults again there
    }
    if (list_empty(journal)) return remote_orphans_of_ended(p);
    remote_orphans_of_not_yet(p);
    return false;
}
