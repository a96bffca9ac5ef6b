// Messages to a peer that its ring of LINK_MSGS has no place for: a process with hundreds of
// children moves, and all are named at once. They go out in their order when others have been
// acknowledged. Called by cluster_link.c. Lock: net_lock.
#include "base/string.h"
#include "kernel/cluster_priv.h"
#include "mm/kmem.h"

#define BACKLOG_MAX 4096u            // messages to one peer; more: it takes none

struct waiting {
    struct list_node link;
    u32 len_bytes;
    u8 bytes[];                      // as encoded
};

// Puts m behind those that wait. E_NOBUFS: there are BACKLOG_MAX, or no memory.
status_t backlog_add(struct peer *p, const struct cluster_msg *m) {
    u8 bytes[CLUSTER_MSG_MAX];
    if (p->backlog_count == BACKLOG_MAX) return E_NOBUFS;
    const u32 len_bytes = cluster_msg_encode(m, bytes, sizeof bytes);
    ASSERT(len_bytes != 0);
    struct waiting *w = kmem_alloc(sizeof *w + len_bytes);
    if (!w) return E_NOBUFS;
    list_init(&w->link);
    w->len_bytes = len_bytes;
    memcpy(w->bytes, bytes, len_bytes);
    list_push_back(&p->backlog, &w->link);
    p->backlog_count++;
    return S_OK;
}

// Takes the oldest into `to` (CLUSTER_MSG_MAX bytes); its length, 0: none waits.
u32 backlog_take(struct peer *p, void *to) {
    if (p->backlog_count == 0) return 0;
    struct waiting *w = LIST_ENTRY(list_pop_front(&p->backlog), struct waiting, link);
    const u32 len_bytes = w->len_bytes;
    memcpy(to, w->bytes, len_bytes);
    kmem_free(w, sizeof *w + len_bytes);
    p->backlog_count--;
    return len_bytes;
}

// A link begins or ends: what waited for the last one is thrown away.
void backlog_init(struct peer *p) {
    u8 bytes[CLUSTER_MSG_MAX];
    while (backlog_take(p, bytes) != 0) {}
    list_init(&p->backlog);
}
