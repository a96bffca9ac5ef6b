// What the two short ways of a read of a user-space server share: user_quick.c, where the server is
// woken, and kernel/syscall/direct.c, where it goes on at once. Lock: files_lock.
#pragma once

#include "kernel/files/userfs_priv.h"

// On the wire; x86-64 is little-endian, as 9P is.
struct read_request { u32 size; u8 type; u16 tag; u32 fid; u64 offset; u32 count; }
    __attribute__((packed));
struct read_reply { u32 size; u8 type; u16 tag; u32 count; u8 data[]; } __attribute__((packed));
_Static_assert(sizeof(struct read_request) == 23 && sizeof(struct read_reply) == 11, "intro(5)");

extern u64 user_quick_serial;            // the next one's

static inline struct read_request user_quick_request(const struct user_file *f, u32 tag,
                                                     const struct user_io *io) {
    return (struct read_request){sizeof(struct read_request), P9_TREAD, (u16)tag, f->fid,
                                 io->offset, io->len};
}

// Whether a read of f may be sent now, before all that is not.
static inline bool user_quick_may_read(const struct user_mount *m, const struct user_file *f) {
    return m->state == MOUNT_READY && f->reads && m->tx_at == m->tx_len && list_empty(&m->queue) &&
           list_empty(&m->clunks) && m->flushes_due == 0;
}

// Whether the caller of a quick read still waits for it. proc_lock held.
static inline bool user_quick_waits(const struct user_tag *t) {
    return t->quick->offer.at && t->quick->offer.serial == t->serial;
}

// The tag that these bytes answer, if they are one whole answer to a quick read; else NULL.
static inline struct user_tag *user_quick_answered(struct user_mount *m, const u8 *bytes, u32 len) {
    const struct read_reply *r = (const struct read_reply *)bytes;
    if (m->rx_len || len < sizeof *r || r->type != P9_TREAD + 1 || r->size != len) return NULL;
    if (r->tag >= MOUNT_TAGS || r->count != len - sizeof *r) return NULL;
    struct user_tag *t = &m->tag[r->tag];
    return t->quick && !t->flushing && !t->flush_due && r->count <= t->quick_len ? t : NULL;
}
