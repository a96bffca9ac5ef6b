// /proc of the whole cluster. Each node serves the processes that it has
// (kernel/files/procfs.c); a walk to one elsewhere goes on at that node, and the listing
// takes the others' numbers from /nodes/N/proc/pids. Called by kernel/path.c, in a system call
// of the process that walks; no lock.
#include "kernel/proc_path.h"

#include "base/owner.h"
#include "kernel/file.h"
#include "kernel/files/nodesfs.h"
#include "kernel/klog.h"
#include "kernel/x86/cpu.h"
#include "mm/kmem.h"

#define FOLLOW_MAX 8u                    // moves of a process during one walk
#define ARRIVAL_LOOK_NS (1 * NS_PER_MS)  // how often one that comes here is looked for
#define PIDS_BYTES (64 * KIB)            // of all other nodes in one listing, as text
#define PIDS_OF_NODE (32 * KIB)

bool proc_path_is_away(const struct p9_call *c) { return c->attr.mode == PROC_DIR_AWAY; }

static status_t node_of(const char *name, u32 *node) {
    u32 pid = 0;
    for (const char *at = name; *at >= '0' && *at <= '9'; at++) pid = pid * 10 + (u32)(*at - '0');
    u8 where = 0;
    spin_lock(&proc_lock);
    const bool known = proc_hooks.where && proc_hooks.where(pid, &where);
    spin_unlock(&proc_lock);
    *node = where;
    return known ? S_OK : E_NOENT;
}

// c: a walk from /proc that has come to a process elsewhere; it is walked again at the node
// that has it, and once more where the process has moved on meanwhile. E_NOENT: it has ended,
// its node cannot be reached, or it moved FOLLOW_MAX times; S_RESTART.
status_t proc_path_follow(struct p9_call *c) {
    const char *name = c->name;
    for (u32 i = 0; i < FOLLOW_MAX; i++) {
        u32 node;
        object_clunk(c->made);
        status_t s = node_of(name, &node);
        if (s != S_OK) return s;
        *c = (struct p9_call){.type = P9_TWALK, .object = object_root_id(node, OBJECT_ROOT_PROC),
                              .name = name};
        s = file_call(c);
        if (s != S_OK) return s == E_HOSTUNREACH ? E_NOENT : s;
        if (!proc_path_is_away(c)) return S_OK;
        if (node == node_id) {                   // it comes here: a bounded time
            object_clunk(c->made);
            wait_until(proc_current(), time_now_ns() + ARRIVAL_LOOK_NS);
            return S_RESTART;
        }
    }
    object_clunk(c->made);
    return E_NOENT;
}

// Whether a process that this node does not have is on another one, and whose (its effective user)
// it is: asked there, since what is known here may be old. E_SRCH: it has ended, or there never
// was one; S_RESTART. Context: a system call of the current process.
status_t proc_path_owner(u32 pid, u32 *uid) {
    char name[12];
    ksnprintf(name, sizeof name, "%u", pid);
    struct p9_call c = {.type = P9_TWALK, .name = name};
    const status_t s = proc_path_follow(&c);
    *uid = c.attr.uid;
    if (s == S_OK) object_clunk(c.made);
    return s == E_NOENT ? E_SRCH : s;
}

// The numbers of the processes that node n has, one a line, behind *len bytes of text.
// S_RESTART; any other error leaves that node out.
static status_t pids_of(u32 n, char *text, u64 *len) {
    struct p9_call w = {.type = P9_TWALK, .object = object_root_id(n, OBJECT_ROOT_PROC),
                        .name = "pids"};
    status_t s = file_call(&w);
    if (s != S_OK) return s;
    struct p9_call r = {.type = P9_TREAD, .object = w.made,
                        .count = MIN(PIDS_BYTES - *len, PIDS_OF_NODE),
                        .data.buffer = text + *len};
    s = file_call(&r);
    object_clunk(w.made);
    const u64 before = *len;
    if (s == S_OK) *len += r.result;
    while (*len > before && text[*len - 1] != '\n') --*len;     // cut: whole lines alone
    return s;
}

// c: P9_TLOPEN of /proc of this node. Errors as of that; E_NOMEM, S_RESTART.
status_t proc_path_open(struct p9_call *c) {
    char *text = kmem_alloc(PIDS_BYTES);
    status_t s = text ? S_OK : E_NOMEM;
    for (u32 n = 0; n < NODES_MAX && s == S_OK; n++) {
        if (n == node_id || !(nodes_provider.member && nodes_provider.member(n))) continue;
        if (pids_of(n, text, &c->count) == S_RESTART) s = S_RESTART;
    }
    c->data.buffer = text;
    if (s == S_OK) s = file_call(c);
    if (text) kmem_free(text, PIDS_BYTES);
    return s;
}
