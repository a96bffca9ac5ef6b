// The cluster's side of /nodes: which nodes there are, the text of each node's status, and
// how many members there are, to read at once or to wait for a change. kernel/files/nodesfs.c
// serves it and calls in with files_lock held; wakes come from the poll, which takes
// files_lock, so that none is lost between a look and a wait.
#include "kernel/cluster_priv.h"
#include "kernel/files/nodesfs.h"
#include "kernel/klog.h"
#include "mm/kmem.h"

#define STATUS_TEXT_BYTES (32 * KIB)  // exit records stand before the figures
#define FIGURE_LINE_BYTES 48u        // "name: 18446744073709551615\n"
_Static_assert(STATUS_TEXT_BYTES >= 2 * STATUS_WORDS * FIGURE_LINE_BYTES, "and leave them room");

static struct wait_list status_wait = WAIT_LIST_INIT(status_wait);
static struct wait_list members_wait = WAIT_LIST_INIT(members_wait);

static void wake(struct wait_list *w) {
    spin_lock(&files_lock);
    file_wake(w);
    spin_unlock(&files_lock);
}

static void on_status(void *ctx) {
    (void)ctx;
    wake(&status_wait);
}

static void on_members(void *ctx, u32 node, bool up) {
    (void)ctx; (void)node; (void)up;
    wake(&members_wait);
}

// Waits until the node has answered; one that is down has nothing to say but that.
static status_t show_status(u32 node, struct text *out) {
    const status_t status = cluster_status_refresh(node);
    if (status == S_RESTART) file_wait(&status_wait);
    if (status != S_OK) return status;
    char *bytes = kmem_alloc(STATUS_TEXT_BYTES);
    if (bytes == NULL) return E_NOMEM;
    text_add_bytes(out, bytes, (u32)cluster_status_text(node, bytes, STATUS_TEXT_BYTES));
    kmem_free(bytes, STATUS_TEXT_BYTES);
    return S_OK;
}

// How many members there are, once that is not `seen`.
static status_t show_members(u32 seen, struct text *out) {
    const u32 count = cluster_member_count();
    if (count == seen) {
        file_wait(&members_wait);
        return S_RESTART;
    }
    text_add(out, "%u\n", count);
    return S_OK;
}

static u64 get_processes(const void *ctx) {
    (void)ctx;
    u64 count = 0;
    for (u32 i = 0; i < proc_end; i++)
        count += procs[i].state != PROC_FREE && procs[i].state != PROC_AWAY;
    return count;
}

// After the table of figures was made, before the first process.
void nodes_init(void) {
    cluster_status_add("processes", get_processes, NULL);
    cluster_on_status(on_status, NULL);
    cluster_watch(on_members, NULL);
    nodes_provider.member = cluster_node_known;
    nodes_provider.status = show_status;
    nodes_provider.members = show_members;
}
