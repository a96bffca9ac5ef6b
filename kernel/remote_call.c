// One file call to another node, or to a user-space server of this one: the memory that it
// holds while it is out, how it is sent, how it is freed. Called by remote_files.c, which
// decides what a call means to its process, and remote_orphans.c. Lock: net_lock.
// Spec: docs/ARCHITECTURE.md, the walk of a system call.
#include "base/string.h"
#include "kernel/files/userfs.h"
#include "kernel/jobs.h"
#include "kernel/remote_files_priv.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "mm/kmem.h"

struct p9_client remote_client;
u32 remote_calls_live;
// Nodes whose reply buffers somebody has asked for in vain since one was given back; and how many
// looks have found it so.
static u64 replies_wanted;
static u8 replies_looks[NODES_MAX];

static u32 ops_put(struct p9_call *c, u64 at, const void *from, u32 len_bytes) {
    return data_put(c, at, from, len_bytes);
}
static u32 ops_get(struct p9_call *c, u64 at, void *to, u32 len_bytes) {
    return data_get(c, at, to, len_bytes);
}
const struct p9_data_ops remote_data_ops = {ops_put, ops_get};

// Is it on a tree that a user-space server of this very node serves?
bool remote_call_is_user_here(const struct p9_call *c) {
    return c->object.node == node_id && object_is_user(c->object);
}

static void frames_hold(struct p9_call *c, bool hold) {
    for (u32 i = 0; i < c->data.seg_count; i++) {
        paddr_t frame = paddr(c->data.seg[i].pa.v & ~PAGE_MASK);
        if (hold) frame_ref(frame);
        else frame_unref(frame);
    }
}

// Gives back what the request held: the reply buffer, the frames, the message.
void remote_call_release(struct remote_call *r) {
    if (r->reply.at) {
        cluster_reply_free(r->call.object.node, r->reply.slot);
        replies_wanted &= ~BIT(r->call.object.node);
    }
    r->reply.at = NULL;
    frames_hold(&r->call, false);
    r->call.data.seg_count = 0;
    if (r->req) kmem_free(r->req, sizeof *r->req);
    r->req = NULL;
}

// Frees r, which no list's owner uses any more and whose request is not out.
void remote_call_free(struct remote_call *r) {
    list_remove(&r->link);
    wait_wake_all(&r->wait);
    remote_call_release(r);
    if (r->page.v) frame_unref(r->page);
    if (r->bounce) kmem_free(r->bounce, r->bounce_bytes);
    if (r->p) remote_calls_live--;
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
            if (status == E_AGAIN) replies_wanted |= BIT(c->object.node);
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

// Calls that wait for long, reads of pipes or of servers that do not answer, may have all buffers
// of a node, and others, on which they may even depend, wait for one. So as with credits
// (p9_client_relieve): where that goes on for P9_STALL_LOOKS looks, one of them is to be flushed.
// One look; a bit for each node of which one is.
u64 remote_call_replies_stalled(void) {
    u64 stalled = 0;
    for (u32 node = 0; node < NODES_MAX; node++) {
        const bool wanted = (replies_wanted & BIT(node)) != 0;
        replies_looks[node] = wanted ? (u8)(replies_looks[node] + 1) : 0;
        if (replies_looks[node] < P9_STALL_LOOKS) continue;
        replies_looks[node] = 0;
        stalled |= BIT(node);
    }
    return stalled;
}

// A page of a file is read into a frame of its own, which the fault gets.
static status_t take_page(struct remote_call *r) {
    r->call.data = (struct p9_data){0};
    r->page = frame_alloc(FRAME_USER);
    if (!r->page.v) return E_NOMEM;
    r->call.type = P9_TREAD;
    r->call.flags = 0;
    r->call.count = PAGE_SIZE;
    r->call.data = (struct p9_data){.seg_count = 1, .seg = {{r->page, (u32)PAGE_SIZE}}};
    frames_hold(&r->call, true);
    return S_OK;
}

// Takes the data over: a kernel buffer may be gone when the reply comes (it lies on a
// stack), so the call gets one of its own; frames are held.
status_t remote_call_take_data(struct remote_call *r, struct p9_call *c) {
    if (c->type == P9_TPAGE) {
        return take_page(r);
    } else if (!moves_data(c)) {
        r->call.data = (struct p9_data){0};
    } else if (c->type == P9_TWRITE && c->count > ENVELOPE_INLINE_MAX &&
               !remote_call_is_user_here(c) && !data_is_user_frames(&c->data)) {
        return data_to_user_frames(r, c);
    } else if (c->data.buffer || !data_is_user_frames(&c->data)) {
        // Pages of a shared mapping may be another node's when the reply comes: it waits in a
        // buffer of its own for the process, which takes it into the pages that are here then.
        r->bounce_bytes = MAX(c->count, 16u);
        r->bounce = kmem_alloc(r->bounce_bytes);
        r->call.data = (struct p9_data){.buffer = r->bounce};
        if (!r->bounce) return E_NOMEM;
        if (c->type == P9_TWRITE || c->type == P9_TIOCTL)
            (void)data_get(c, 0, r->bounce, c->count);
    } else {
        frames_hold(&r->call, true);
    }
    return S_OK;
}

// --- one call ---

// A call with c's arguments, by p (NULL: by the kernel). NULL: no memory.
struct remote_call *remote_call_new(struct proc *p, const struct p9_call *c) {
    struct remote_call *r = kmem_alloc(sizeof *r);
    if (!r) return NULL;
    r->call = *c;
    r->call.made = (struct object_id){0};
    if (p) {                                      // who asks
        const struct proc_desc *d = proc_desc(p);
        if (c->type != P9_TCLUNK) r->call.pid = d->pid;    // see handle_clunk
        r->call.uid = d->euid;
        r->call.gid = d->egid;
        r->call.umask = d->umask;
        r->call.job = job_of(p, c->object.node);
        r->continued = p->continued;
    }
    r->begun_ns = time_now_ns();
    list_init(&r->link);
    wait_list_init(&r->wait);
    return r;
}

// The results of a call to a server of this node.
static void user_take(struct remote_call *r) {
    const struct p9_data data = r->call.data;
    r->call = r->user->call;
    r->call.data = data;
    userfs_free(r->user);
    r->user = NULL;
    remote_call_done(r);
}

static void user_done(struct user_request *u) {
    struct remote_call *r = u->host;
    user_take(r);
    remote_call_tell(r);
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

// Sends r's request. E_NOBUFS: no tag; E_AGAIN: no reply buffer: when another call ends there
// is one; E_HOSTUNREACH, E_NOMEM. r stays the caller's then.
status_t remote_call_submit(struct remote_call *r) {
    if (remote_call_is_user_here(&r->call)) return user_submit(r);
    r->req = kmem_alloc(sizeof *r->req);
    if (!r->req) return E_NOMEM;
    r->req->host = r;
    status_t status = call_name_data(r);
    if (status != S_OK) return status;
    r->req->call = r->call;
    return p9_client_submit(&remote_client, r->req);
}
