// Pairs of connected sockets: socket.c is their server, kernel/syscall/socket.c its front.
#pragma once

#include "kernel/files/object.h"

enum { S_IFSOCK = 0140000 };
enum { MSG_PEEK = 2, MSG_DONTWAIT = 0x40, MSG_NOSIGNAL = 0x4000 };

// send and recv are P9_TWRITE and P9_TREAD at an offset of their own, which says their flags; its
// low bits count what an earlier round of the same call has moved.
#define SOCKET_FLAGS_SHIFT 40
static inline u64 socket_offset(u32 flags) {
    return 1ull << 62 | (u64)(flags & 0xffff) << SOCKET_FLAGS_SHIFT;
}
static inline u32 socket_flags(u64 offset) {
    return offset >> 62 == 1 ? (u32)(offset >> SOCKET_FLAGS_SHIFT) & 0xffff : 0;
}

// By P9_TIOCTL: `value` is shutdown's how.
#define SOCKET_IOC_SHUTDOWN 0x69530001

// files_lock held; one reference each, for ofd_open. E_NOMEM, E_NFILE.
status_t socket_pair_make(struct object *out[2]);
