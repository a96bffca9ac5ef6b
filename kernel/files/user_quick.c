// The short way of a read at an offset of an open file of a user-space server on this node: the
// request goes straight where the server's read wants it, the answer from the server's write
// straight into the caller's page, and neither call runs again. Whatever is not simple (another
// node, a queue before it, a server that does not wait, more than a page) takes the whole way.
// Called by sys_pread64, by pipe.c for the pipe that answers come by, and by user_channel.c.
// Lock: files_lock, proc_lock inside.
#include "base/string.h"
#include "kernel/files/userfs_priv.h"

#define READ_REQUEST_BYTES 23u           // size[4] Tread tag[2] fid[4] offset[8] count[4]
#define READ_REPLY_HEAD 11u              // size[4] Rread tag[2] count[4]

static u64 next_serial = 1;              // files_lock

static bool may_read_now(const struct user_mount *m, const struct user_file *f) {
    const bool reads = f->open && !f->dir && !(f->flags & O_PATH) &&
                       (f->flags & O_ACCMODE) != O_WRONLY;
    const bool idle = m->tx_at == m->tx_len && list_empty(&m->queue) && list_empty(&m->clunks) &&
                      m->flushes_due == 0;
    return m->state == MOUNT_READY && reads && idle;
}

static bool request_send(struct user_mount *m, const struct user_file *f, u32 tag,
                         const struct user_io *io) {
    u8 bytes[READ_REQUEST_BYTES];
    const u32 size = READ_REQUEST_BYTES;
    memcpy(bytes, &size, 4);
    bytes[4] = P9_TREAD;
    bytes[5] = (u8)tag;
    bytes[6] = 0;
    memcpy(bytes + 7, &f->fid, 4);
    memcpy(bytes + 11, &io->offset, 8);
    memcpy(bytes + 19, &io->len, 4);
    return pipe_give(m->to, bytes, sizeof bytes);
}

// Reads for the current process, which waits then: S_RESTART. 0: this takes the whole way.
//   io  an object of a server of this node; 1 to PAGE_SIZE bytes in one page, which is pinned
i64 userfs_quick_read(struct proc *p, const struct user_io *io) {
    i64 result = 0;
    spin_lock(&files_lock);
    struct user_file *f = user_file_find(io->id);
    struct user_mount *m = f ? mount_of(f->mount) : NULL;
    if (m && proc_desc(p)->thread_count == 1 && may_read_now(m, f)) {
        const u32 tag = channel_tag_free(m);
        if (tag != MOUNT_TAGS && request_send(m, f, tag, io)) {
            m->tag[tag] = (struct user_tag){.quick = p, .serial = next_serial++,
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

// Whether the caller of a quick read still waits for it. proc_lock held.
static bool waits_for(const struct user_tag *t) {
    return t->quick->offer.at && t->quick->offer.serial == t->serial;
}

bool user_quick_wanted(const struct user_tag *t) {
    spin_lock(&proc_lock);
    const bool wanted = waits_for(t);
    spin_unlock(&proc_lock);
    return wanted;
}

// The end of a quick read, if its caller still waits: one that has not left its CPU yet asks
// again.
//   result  bytes at `from`, at most as many as were asked for; or an errno
void user_quick_end(const struct user_tag *t, i64 result, const u8 *from) {
    struct proc *p = t->quick;
    spin_lock(&proc_lock);
    if (!waits_for(t)) {
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
    struct user_mount *m = mount;
    if (m->rx_len || len < READ_REPLY_HEAD || bytes[4] != P9_TREAD + 1) return false;
    u32 size, count;
    memcpy(&size, bytes, 4);
    memcpy(&count, bytes + 7, 4);
    const u32 tag = (u32)bytes[5] | (u32)bytes[6] << 8;
    if (size != len || tag >= MOUNT_TAGS || count != len - READ_REPLY_HEAD) return false;
    const struct user_tag t = m->tag[tag];
    if (!t.quick || t.flushing || t.flush_due || count > t.quick_len) return false;
    m->tag[tag] = (struct user_tag){0};
    user_quick_end(&t, count, bytes + READ_REPLY_HEAD);
    return true;
}
