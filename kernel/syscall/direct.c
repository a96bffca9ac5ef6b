// Calls that may end in a direct switch (kernel/direct.h): pread64 of a user's file server, and
// reply_recv, by which such a server answers. entry.S tries the direct_ functions first, with p
// alone: where one cannot do all of the call at once (another node, a queue before it, a page that
// is not here, more than a page, something due at the edge), it changes nothing and returns
// SYSCALL_NOT_QUICK, and the call goes the whole way. Lock: files_lock, proc_lock inside.
// Spec: 9P2000.L; docs/reference/servers.md (reply_recv).
#include "base/string.h"
#include "kernel/direct.h"
#include "kernel/files/pipe.h"
#include "kernel/files/user_quick.h"
#include "kernel/syscall/io.h"
#include "kernel/syscall/syscall.h"
#include "kernel/x86/spinlock_quick.h"

#define OFFER_MIN 256u               // of a page, for a read of more than is left of it

// The name of what the open handle fd leads to on this node; generation 0: it does not.
static inline struct object_id object_here(const struct proc_desc *d, u64 fd) {
    const u64 frame = fd < HANDLES_PER_FRAME ? d->aux[PROC_AUX_HANDLES] : 0;
    if (frame == 0) return (struct object_id){0};        // further ones go the whole way
    const struct handle *h = (const struct handle *)phys_to_virt(paddr(frame)) + fd;
    return h->object.node == node_id ? h->object : (struct object_id){0};
}

static inline bool within_page(u64 uva, u64 len) {
    return len - 1 < PAGE_SIZE && len <= PAGE_SIZE - (uva & PAGE_MASK);
}

// Who waits to read so many bytes of an empty pipe, with an offer. proc_lock held.
static inline struct proc *reader_of(const struct pipe *pipe, u32 len) {
    if (pipe_used(pipe) != 0 || list_empty(&pipe->readers.head)) return NULL;
    struct proc *reader = LIST_ENTRY(pipe->readers.head.next, struct thread, wait)->p;
    return wait_offers(reader) && reader->offer.len >= len ? reader : NULL;
}

// Sends the read and goes on as the server. False: nothing has changed. Both locks held.
static inline bool read_send(struct proc *p, const struct user_file *f, struct user_mount *m,
                             const struct user_io *io) {
    struct proc *server = reader_of(m->to_pipe, sizeof(struct read_request));
    const u32 tag = user_tag_is_free(&m->tag[0]) ? 0 : channel_tag_free(m);
    if (!server || tag == MOUNT_TAGS || !direct_may_leave(p, proc_desc(p))) return false;
    struct user_tag *t = &m->tag[tag];           // a free one: all zero but for these
    *(struct read_request *)server->offer.at = user_quick_request(f, tag, io);
    t->quick = p;
    t->serial = user_quick_serial++;
    t->quick_len = io->len;
    p->offer = (struct wait_offer){io->at, io->len, t->serial};
    direct_switch(p, server, sizeof(struct read_request));
    return true;
}

// Looks up what pread64's arguments name. False: the whole way.
static bool read_find(struct proc *p, const struct proc_desc *d) {
    struct direct_memo *memo = &p->direct;
    const struct object_id id = object_here(d, d->regs.rdi);
    memo->valid &= ~(u32)DIRECT_READ;
    if (!object_is_user(id)) return false;
    memo->fd = d->regs.rdi;
    memo->uva = d->regs.rsi;
    memo->at = user_page_private(p, memo->uva, PTE_W);
    spin_lock(&files_lock);
    memo->file = user_file_at(id);
    spin_unlock(&files_lock);
    if (!memo->at || !memo->file) return false;
    memo->valid |= DIRECT_READ;
    return true;
}

DIRECT(pread64) {
    const struct proc_desc *d = proc_desc(p);
    const struct user_regs *r = &d->regs;
    const struct direct_memo *memo = &p->direct;
    UNUSED(a);
    const bool known = (memo->valid & DIRECT_READ) && memo->fd == r->rdi && memo->uva == r->rsi;
    if (!known && !read_find(p, d)) return SYSCALL_NOT_QUICK;
    if (!within_page(r->rsi, r->rdx) || (i64)r->r10 < 0) return SYSCALL_NOT_QUICK;
    const struct user_file *f = memo->file;
    const struct user_io io = {.at = memo->at, .len = (u32)r->rdx, .offset = r->r10};
    spin_lock_files_proc(&files_lock, &proc_lock);
    struct user_mount *m = user_mounts[f->mount];
    const bool done = m && user_quick_may_read(m, f) && read_send(p, f, m, &io);
    spin_unlock_files_proc(&files_lock, &proc_lock);
    if (!done) return SYSCALL_NOT_QUICK;
    direct_return();
}

// Looks up what reply_recv's arguments name. False: the whole way.
static bool reply_find(struct proc *p, const struct proc_desc *d) {
    const struct user_regs *r = &d->regs;
    struct direct_memo *memo = &p->direct;
    const struct object_id in = object_here(d, r->rdi), out = object_here(d, r->r10);
    const u64 left = PAGE_SIZE - (r->rsi & PAGE_MASK);
    memo->valid &= ~(u32)DIRECT_REPLY;
    if (r->rdx == 0 || (r->rdx > left && left < OFFER_MIN)) return false;
    memo->in_fd = r->rdi, memo->in_uva = r->rsi, memo->in_size = r->rdx;
    memo->out_fd = r->r10, memo->out_uva = r->r8;
    memo->in_len = (u32)MIN(r->rdx, left);
    memo->in_at = user_page_private(p, r->rsi, PTE_W);
    memo->out_at = user_page_private(p, r->r8, 0);
    spin_lock(&files_lock);
    memo->in_ofd = object_find_at(in.index, in.generation);
    memo->in = memo->in_ofd ? pipe_of_end(memo->in_ofd, false) : NULL;
    const struct object *out_ofd = object_find_at(out.index, out.generation);
    memo->out = out_ofd ? pipe_of_end(out_ofd, true) : NULL;
    spin_unlock(&files_lock);
    if (!memo->in_at || !memo->out_at || !memo->in || !memo->out) return false;
    memo->valid |= DIRECT_REPLY;
    return true;
}

static inline bool reply_is_known(const struct direct_memo *m, const struct user_regs *r) {
    return (m->valid & DIRECT_REPLY) && m->in_fd == r->rdi && m->in_uva == r->rsi &&
           m->in_size == r->rdx && m->out_fd == r->r10 && m->out_uva == r->r8;
}

// Whether nothing lies in either pipe, both have both ends, and the one waits.
static inline bool pipes_are_idle(const struct direct_memo *m) {
    return pipe_used(m->in) == 0 && pipe_used(m->out) == 0 && m->in->write.opens != 0 &&
           m->out->read.opens != 0 && ofd_blocks(m->in_ofd);
}

// p waits to read from memo's pipe, and goes on as `to`, whose call ends with `result`.
static inline __attribute__((always_inline)) void wait_and_switch(
    struct proc *p, struct proc_desc *d, struct proc *to, u32 result) {
    const struct direct_memo *memo = &p->direct;
    struct proc_place *place = phys_to_virt(paddr(d->aux[PROC_AUX_PLACE]));
    list_push_back(&memo->in->readers.head, &p->thread->wait);
    p->offer = (struct wait_offer){memo->in_at, memo->in_len, 0};
    if (account_message(&place->account, (u8)node_id, ACCOUNT_PIPE, d->regs.r9))
        p->placing.due = true;
    d->regs.r9 = 0;                              // nothing is left to write
    direct_switch(p, to, result);
}

// Ends the quick read that t is of with this answer and goes on as the reader. False: nothing has
// changed. Both locks held.
static inline bool reply_send(struct proc *p, struct proc_desc *d, struct user_tag *t,
                              const struct read_reply *reply) {
    struct proc *caller = t->quick;
    if (!user_quick_waits(t) || !wait_offers(caller) || !direct_may_leave(p, d)) return false;
    memcpy(caller->offer.at, reply->data, reply->count);
    t->quick = NULL;
    wait_and_switch(p, d, caller, reply->count);
    return true;
}

// The same for a pipe of two programs: to who waits to read at least so much.
static __attribute__((noinline)) bool pipe_send(struct proc *p, struct proc_desc *d) {
    const u32 len = (u32)d->regs.r9;
    struct proc *reader = reader_of(p->direct.out, len);
    if (!reader || !direct_may_leave(p, d)) return false;
    memcpy(reader->offer.at, p->direct.out_at, len);
    placement_used_pipe(reader, len);
    wait_and_switch(p, d, reader, len);
    return true;
}

// reply_recv(in_fd, in, in_size, out_fd, out, out_len): writes out_len bytes, as many as a pipe
// takes at once, then reads as read(in_fd, in, in_size) does. Once they are written r9, out_len, is
// 0: so the call may run again, and who is interrupted while it waits knows.
DIRECT(reply_recv) {
    struct proc_desc *d = proc_desc(p);
    const struct user_regs *r = &d->regs;
    const struct direct_memo *memo = &p->direct;
    UNUSED(a);
    if (!reply_is_known(memo, r) && !reply_find(p, d)) return SYSCALL_NOT_QUICK;
    if (!within_page(r->r8, r->r9)) return SYSCALL_NOT_QUICK;
    bool done = false;
    spin_lock_files_proc(&files_lock, &proc_lock);
    if (!pipes_are_idle(memo)) {
        done = false;
    } else if (memo->out->sink == user_quick_reply) {
        const struct read_reply *reply = (const struct read_reply *)memo->out_at;
        struct user_tag *t = user_quick_answered(memo->out->sink_ctx, memo->out_at, (u32)r->r9);
        done = t && reply_send(p, d, t, reply);
    } else if (!memo->out->sink) {
        done = pipe_send(p, d);
    }
    spin_unlock_files_proc(&files_lock, &proc_lock);
    if (!done) return SYSCALL_NOT_QUICK;
    direct_return();
}

SYSCALL(reply_recv) {
    struct proc_desc *d = proc_desc(p);
    const struct handle *h = handle_get(p, (i32)a[3]);
    if (a[5] != 0) {
        const u64 out[3] = {a[3], a[4], a[5]};
        if (!h) return E_BADF;
        if (!(h->flags & HANDLE_PIPE) || a[5] > PIPE_BUF_BYTES) return E_INVAL;
        const i64 n = io_one(p, out, P9_OFFSET_CURRENT, IO_WRITE);
        if (n < 0) return n;
        d->regs.r9 = 0;
        d->wait.done_bytes = 0;
    }
    return io_one(p, a, P9_OFFSET_CURRENT, IO_READ);
}
