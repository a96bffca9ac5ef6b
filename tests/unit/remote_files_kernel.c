// The kernel around remote files for test_remote_files.c: processes, frames, memory and
// waiting, as far as they show there. A lock that is taken twice ends the test.
#include "tests/unit/remote_files_kernel.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/files/holders.h"
#include "kernel/files/locks.h"
#include "kernel/files/userfs.h"
#include "kernel/jobs.h"
#include "kernel/klog.h"
#include "kernel/net.h"
#include "kernel/netpoll.h"
#include "kernel/placement.h"
#include "kernel/remote_files_priv.h"
#include "kernel/signal.h"
#include "kernel/thread.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "mm/kmem.h"

struct spinlock proc_lock, net_lock, files_lock;
struct proc *procs;
struct proc_desc *proc_descs;
u32 proc_count = 3, node_id;
struct wait_list poll_wait = WAIT_LIST_INIT(poll_wait);
struct file_hooks file_hooks;
void placement_price(enum price which, u64 ns) { (void)which; (void)ns; }
void placement_price_of_drive(u64 ns, u64 bytes) { (void)ns; (void)bytes; }
void placement_used_there(struct proc *p, const struct p9_call *c, bool one_sided, u64 wait_ns) {
    (void)p; (void)c; (void)one_sided; (void)wait_ns;
}
struct proc *current;
u64 now_ns = 1000;
u32 heap_live, frames_live;
void (*poller)(void *, u64);
bool signal_now;

void spin_lock(struct spinlock *l) { ck_assert_uint_eq(l->taken++, 0); }
void spin_unlock(struct spinlock *l) { l->taken--; }
void netpoll_lock(void) { spin_lock(&net_lock); }
void netpoll_unlock(void) { spin_unlock(&net_lock); }
void edge_request(u32 edge_bits) { (void)edge_bits; }
void net_add_poller(void (*f)(void *, u64), u64 (*deadline)(void *), void *ctx) {
    (void)deadline, (void)ctx;
    poller = f;
}
void klog(const char *format, ...) { (void)format; }
u64 time_now_ns(void) { return now_ns; }
struct proc *proc_current(void) { return current; }
bool signal_is_deliverable(const struct proc *p) { return p == procs && signal_now; }
bool signal_is_deliverable_to(const struct thread *t) { return signal_is_deliverable(t->p); }
u32 cluster_bulk_doubts(u32 node) { return node * 0; }
u32 cluster_bulk_packet(u32 node) { return PAGE_SIZE + node * 0; }
// One thread each.
struct thread *thread_find(struct proc *p, u32 tid) {
    return tid == proc_desc(p)->tid ? p->thread : NULL;
}
bool thread_in_call(const struct thread *t, u64 *request_tag) {
    const struct proc_desc *d = proc_desc(t->p);
    *request_tag = d->wait.request_tag;
    return d->wait.nr >= 0;
}
struct p9_job job_of(const struct proc *p, u32 node) {
    return (struct p9_job){proc_desc(p)->pgid, proc_desc(p)->sid, node ? P9_JOB_DEAF_TTIN : 0};
}
void signal_raise(struct proc *p, u32 sig, struct signal_info info) {
    (void)p, (void)sig, (void)info;
    ck_abort_msg("no pipe broke");
}
void *kmem_alloc(u64 len_bytes) { return heap_live++, calloc(1, len_bytes); }
void kmem_free(void *p, u64 len_bytes) {
    (void)len_bytes;
    heap_live--;
    free(p);
}
void wait_list_init(struct wait_list *w) { list_init(&w->head); }
void wait_on(struct wait_list *w, struct proc *p) {
    spin_lock(&proc_lock);
    list_remove(&p->thread->wait);
    list_push_back(&w->head, &p->thread->wait);
    p->state = PROC_WAITING;
    spin_unlock(&proc_lock);
}
void wait_on_uninterruptible(struct wait_list *w, struct proc *p) {
    wait_on(w, p);
    p->thread->wait_uninterruptible = true;
}
void wait_wake_all(struct wait_list *w) {
    for (struct list_node *n; (n = list_pop_front(&w->head)) != NULL;) {
        struct thread *t = LIST_ENTRY(n, struct thread, wait);
        struct proc *p = t->p;
        t->wait_uninterruptible = false;
        if (p->state == PROC_WAITING) p->state = PROC_RUNNING;
    }
}
// A frame is a page of the host, its address less the direct map's base.
u32 frame_refs_of[64];
static enum frame_use frame_uses[64];
u8 *frames;
u32 frame_index(paddr_t pa) {
    return (u32)((u64)((u8 *)phys_to_virt(pa) - frames) / PAGE_SIZE);
}
paddr_t frame_alloc(enum frame_use use) {
    u32 i = 0;
    while (frame_refs_of[i]) i++;
    frame_uses[i] = use;
    frame_refs_of[i] = 1;
    frames_live++;
    memset(frames + i * PAGE_SIZE, 0, PAGE_SIZE);
    return virt_to_phys(frames + i * PAGE_SIZE);
}
paddr_t frame_alloc_raw(enum frame_use use) { return frame_alloc(use); }
enum frame_use frame_use_of(paddr_t pa) { return frame_uses[frame_index(pa)]; }
void frame_ref(paddr_t pa) { frame_refs_of[frame_index(pa)]++; }
void frame_unref(paddr_t pa) {
    if (--frame_refs_of[frame_index(pa)] == 0) frames_live--;
}
static u32 data_move(struct p9_call *c, u64 at, u8 *mine, u64 len, bool put) {
    for (u64 k = 0; k < len; k++) {
        u64 left = at + k;
        u8 *p = c->data.buffer ? (u8 *)c->data.buffer + left : NULL;
        for (u32 i = 0; !p && i < c->data.seg_count; i++) {
            if (left < c->data.seg[i].len) p = (u8 *)phys_to_virt(c->data.seg[i].pa) + left;
            else left -= c->data.seg[i].len;
        }
        if (!p) return (u32)k;
        if (put) *p = mine[k];
        else mine[k] = *p;
    }
    return (u32)len;
}
u32 data_put(struct p9_call *c, u64 at, const void *from, u64 len_bytes) {
    return data_move(c, at, (u8 *)(uintptr_t)from, len_bytes, true);
}
u32 data_get(struct p9_call *c, u64 at, void *to, u64 len_bytes) {
    return data_move(c, at, to, len_bytes, false);
}

// No user-space server has a tree here.
struct user_request *userfs_request(const struct p9_call *c) { return (void)c, NULL; }
status_t userfs_submit(struct user_request *r) { return (void)r, E_BADF; }
void userfs_abandon(struct user_request *r) { (void)r; }
void userfs_flush(struct user_request *r) { (void)r; }
void userfs_free(struct user_request *r) { (void)r; }
status_t userfs_count(const struct p9_call *c) { return (void)c, E_BADF; }
void userfs_changed(void) {}
void userfs_pump(void) {}

void holders_called(u32 node, const struct p9_call *c) { (void)node, (void)c; }
void holders_clunk(u32 node, const struct p9_call *c) { (void)node, (void)c; }
void holders_peer_down(u32 node) { (void)node; }
void locks_peer_down(u32 node) { (void)node; }
void locks_wait_ended(u32 pid) { (void)pid; }
void holders_init(void) {}
