// The answering half of file calls between nodes: gives proto/p9/p9_server.c its memory,
// runs the calls on this node's servers through the same file_call as local callers, and
// moves data by READ and WRITE. Called by remote_files.c. Lock: net_lock; files_lock is
// taken inside while a call runs. Spec: docs/ARCHITECTURE.md, the walk of a system call.
#include "kernel/files/holders.h"
#include "kernel/files/locks.h"
#include "kernel/files/userfs.h"
#include "kernel/klog.h"
#include "kernel/trap.h"
#include "kernel/remote_files_priv.h"
#include "kernel/x86/cpu.h"
#include "mm/kmem.h"

// One request's memory for file data.
struct serve_data {
    void *bytes;
    u64 len_bytes;
    struct user_request *user;       // the call, while a user-space server has it
    u64 flush_ns;                    // when that was asked to leave it; 0: not
    bool cancelled;                  // it did not: the caller is told
};

static struct p9_server server;
static struct p9_service *services[NODES_MAX][CLUSTER_BULK_CREDITS];
static struct serve_data datas[NODES_MAX][CLUSTER_BULK_CREDITS];
static u32 users_out;                // how many have `user`
// Atomic. `parked` is set before a call runs, so a change that the call missed is seen.
static bool something_changed, parked;

static status_t serve_send(void *ctx, u32 node, const void *bytes, u32 len_bytes) {
    (void)ctx;
    return cluster_bulk_send(node, bytes, len_bytes);
}

static status_t serve_move(u32 node, const struct p9_move *m, bool write) {
    struct cluster_move move = {
        .node = node, .write = write, .len_bytes = m->len_bytes, .cookie = m->cookie,
        .local = (u8 *)datas[node][m->service->index].bytes + m->at,
        .remote_address = m->remote_address, .remote_key = m->remote_key,
    };
    return cluster_bulk_move(&move);
}

static status_t serve_read(void *ctx, u32 node, const struct p9_move *m) {
    (void)ctx;
    return serve_move(node, m, false);
}

static status_t serve_write(void *ctx, u32 node, const struct p9_move *m) {
    (void)ctx;
    return serve_move(node, m, true);
}

static void serve_release(void *ctx, struct p9_service *v) {
    (void)ctx;
    struct serve_data *d = &datas[v->node][v->index];
    if (v->call.type == P9_TLOCK) locks_wait_ended(v->call.lock.proc_id);
    if (d->user) userfs_abandon(d->user);        // it does not use the bytes any more
    if (d->user) users_out--;
    if (d->bytes) kmem_free(d->bytes, d->len_bytes);
    *d = (struct serve_data){0};
}

// Memory for call.count bytes. E_NOMEM.
static status_t serve_prepare(void *ctx, struct p9_service *v) {
    (void)ctx;
    struct serve_data *d = &datas[v->node][v->index];
    d->len_bytes = MAX(v->call.count, ENVELOPE_INLINE_MAX);
    d->bytes = kmem_alloc(d->len_bytes);
    if (!d->bytes) return E_NOMEM;
    v->call.data = (struct p9_data){.buffer = d->bytes};
    return S_OK;
}

static void user_done(struct user_request *u) { p9_server_wake(&server, u->host); }

// A call on a tree of a user-space server: handed over once, then its results are taken.
static status_t serve_user(struct p9_service *v) {
    struct serve_data *d = &datas[v->node][v->index];
    if (v->call.type == P9_TCLUNK || v->call.type == P9_TREF) return userfs_count(&v->call);
    if (d->cancelled) return E_INTR;
    if (!d->user) {
        struct user_request *u = userfs_request(&v->call);
        if (!u) return E_NOMEM;
        u->host = v;
        u->done = user_done;
        const status_t status = userfs_submit(u);
        if (status != S_OK) {
            userfs_free(u);
            return status;
        }
        d->user = u;
        users_out++;
    }
    struct user_request *u = d->user;
    v->let_finish = true;
    if (!u->finished || list_linked(&u->link)) return S_RESTART;   // user_done wakes it
    const struct p9_call asked = v->call;
    v->call = u->call;
    v->call.name = asked.name;
    v->call.name2 = asked.name2;
    d->user = NULL;
    users_out--;
    userfs_free(u);
    return v->call.status;
}

// Whether remote_serve_flush is wanted again.
bool remote_serve_waits(void) { return users_out != 0; }

// Asks servers to leave the calls that other nodes have flushed, and ends those that a server
// keeps longer than USER_FLUSH_NS.
void remote_serve_flush(u64 now_ns) {
    for (u32 n = 0; n < NODES_MAX && users_out != 0; n++) {
        for (u32 i = 0; i < CLUSTER_BULK_CREDITS && services[n][i]; i++) {
            struct serve_data *d = &datas[n][i];
            if (!d->user || !services[n][i]->flushed) continue;
            if (!d->flush_ns) {
                d->flush_ns = now_ns;
                userfs_flush(d->user);
            } else if (now_ns - d->flush_ns >= USER_FLUSH_NS) {
                userfs_abandon(d->user);
                d->user = NULL;
                users_out--;
                d->cancelled = true;
                p9_server_wake(&server, services[n][i]);
            }
        }
    }
}

static status_t serve_execute(void *ctx, struct p9_service *v) {
    (void)ctx;
    if (v->call.object.node != node_id) return E_BADF;
    __atomic_store_n(&parked, true, __ATOMIC_SEQ_CST);
    if (v->call.type == P9_TCLUNK) holders_clunk(v->node, &v->call);
    const bool user = object_is_user(v->call.object) && !lock_is_call(&v->call);
    const status_t status = user ? serve_user(v) : file_call_foreign(&v->call);
    if (status == S_OK) holders_called(v->node, &v->call);
    return status;
}

static const struct p9_server_ops serve_ops = {
    serve_send, serve_read, serve_write, serve_prepare, serve_execute, serve_release,
    &remote_data_ops,
};

// Something that a parked call may wait for has changed. Any context and lock; costs
// nothing where no call from another node came since the last retry.
static void serve_changed(void) {
    userfs_changed();
    if (!__atomic_load_n(&parked, __ATOMIC_SEQ_CST)) return;
    __atomic_store_n(&something_changed, true, __ATOMIC_RELEASE);
    edge_request(EDGE_NETPOLL);
}

// Boot, before any peer.
void remote_serve_init(void) {
    p9_server_init(&server, &serve_ops, NULL);
    file_hooks.changed = serve_changed;
}

// A peer's pairs came up or were destroyed. With too little memory it gets fewer places,
// and E_NOBUFS where it uses more.
void remote_serve_peer(u32 node, bool up) {
    if (!up) p9_server_peer_down(&server, node);
    else p9_server_peer_up(&server, node);
    for (u32 i = 0; i < CLUSTER_BULK_CREDITS; i++) {
        struct p9_service **v = &services[node][i];
        if (!up && *v) {
            kmem_free(*v, sizeof **v);
            *v = NULL;
        } else if (up) {
            *v = kmem_alloc(sizeof **v);
            if (!*v) {
                klog("files: no memory to serve node %u with %u calls at a time\n", node,
                     CLUSTER_BULK_CREDITS);
                return;
            }
            p9_server_add_service(&server, node, *v);
        }
    }
}

// A message for this node's server half has come from a member. net_lock held.
void remote_serve_receive(u32 node, const u8 *bytes, u32 len_bytes) {
    p9_server_receive(&server, node, bytes, len_bytes);
}

// A READ or WRITE that a service asked for has ended.
void remote_serve_moved(u64 cookie, status_t status) { p9_server_moved(&server, cookie, status); }

// Retries sends and moves to `node` that found no room.
void remote_serve_pump(u32 node) { p9_server_pump(&server, node); }

// Retries parked calls, once for each time something changed.
void remote_serve_wake(void) {
    if (!__atomic_exchange_n(&something_changed, false, __ATOMIC_ACQUIRE)) return;
    __atomic_store_n(&parked, false, __ATOMIC_SEQ_CST);   // those that park again set it
    p9_server_wake_all(&server);
}
