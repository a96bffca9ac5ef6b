// The short way of a read at an offset of an open file of a user-space server on this node: the
// request goes straight where the server's read wants it, the answer from the server's write
// straight into the caller's page, and neither call runs again. Whatever is not simple (another
// node, a queue before it, a server that does not wait, more than a page) takes the whole way.
// Called by sys_pread64, by pipe.c for the pipe that answers come by, and by user_channel.c;
// kernel/syscall/direct.c goes the same way, and takes the CPU along. Lock: files_lock, proc_lock
// inside.
#include "base/string.h"
#include "kernel/files/user_quick.h"
#include "mm/frame.h"

u64 user_quick_serial = 1;

static bool request_send(struct user_mount *m, const struct user_file *f, u32 tag,
                         const struct user_io *io) {
    const struct read_request r = user_quick_request(f, tag, io);
    return pipe_give(m->to, (const u8 *)&r, sizeof r);
}

// Reads for the current process, which waits then: S_RESTART. 0: this takes the whole way.
//   io  an object of a server of this node; 1 to PAGE_SIZE bytes in one page, which is pinned.
//       One of a shared mapping may be another node's when the bytes come: not so.
i64 userfs_quick_read(struct proc *p, const struct user_io *io) {
    i64 result = 0;
    spin_lock(&files_lock);
    struct user_file *f = user_file_find(io->id);
    struct user_mount *m = f ? mount_of(f->mount) : NULL;
    const bool own = frame_use_of(paddr(virt_to_phys(io->at).v & ~PAGE_MASK)) == FRAME_USER;
    if (m && own && proc_desc(p)->thread_count == 1 && user_quick_may_read(m, f)) {
        const u32 tag = channel_tag_free(m);
        if (tag != MOUNT_TAGS && request_send(m, f, tag, io)) {
            m->tag[tag] = (struct user_tag){.quick = p, .serial = user_quick_serial++,
                                            .quick_len = io->len};
            spin_lock(&proc_lock);
            wait_on_locked(&m->quick_wait, p, false);
            p->offer = (struct wait_offer){io->at, io->len, m->tag[tag].serial};
            spin_unlock(&proc_lock);
            result = S_RESTART;
        }
    }
    spin_unlock(&files_lock);
    return result;
}

bool user_quick_wanted(const struct user_tag *t) {
    spin_lock(&proc_lock);
    const bool wanted = user_quick_waits(t);
    spin_unlock(&proc_lock);
    return wanted;
}

// The end of a quick read, if its caller still waits: one that has not left its CPU yet asks
// again.
//   result  bytes at `from`, at most as many as were asked for; or an errno
void user_quick_end(const struct user_tag *t, i64 result, const u8 *from) {
    struct proc *p = t->quick;
    spin_lock(&proc_lock);
    if (!user_quick_waits(t)) {
        spin_unlock(&proc_lock);
        return;
    }
    if (wait_offers(p)) {
        if (result > 0) memcpy(p->offer.at, from, (u64)result);
        wait_complete(p, result);
    } else {
        wait_wake_thread(p->thread);
    }
    spin_unlock(&proc_lock);
}

// A server writes into its pipe, of which everything before was taken. True: these bytes are one
// whole answer to a quick read, which has ended. False: they go the whole way. files_lock held.
bool user_quick_reply(void *mount, const u8 *bytes, u32 len) {
    struct user_tag *at = user_quick_answered(mount, bytes, len);
    if (!at) return false;
    const struct user_tag t = *at;
    *at = (struct user_tag){0};
    const struct read_reply *r = (const struct read_reply *)bytes;
    user_quick_end(&t, r->count, r->data);
    return true;
}
