// System calls on sockets: socketpair, and what works on its two ends. There is no other way to
// get a socket: no family has addresses here yet.
// Spec: POSIX.1 socketpair(), send(), recv(), shutdown(), getsockopt(); unix(7), socket(7).
#include "base/string.h"
#include "kernel/files/pipe.h"
#include "kernel/files/socket.h"
#include "kernel/syscall/io.h"
#include "kernel/syscall/syscall.h"

enum { AF_UNIX = 1, SOCK_STREAM = 1, SOCK_TYPE_MASK = 15, SOL_SOCKET = 1, MSG_OOB = 1 };
enum { SO_TYPE = 3, SO_ERROR = 4, SO_SNDBUF = 7, SO_RCVBUF = 8, SO_ACCEPTCONN = 30,
       SO_PROTOCOL = 38, SO_DOMAIN = 39 };

struct user_msghdr {
    u64 name_uva;
    u32 name_len, pad;
    u64 iov_uva, iov_count, control_uva, control_len;
    u32 flags, pad2;
};

static status_t socket_get(struct proc *p, u64 fd, struct handle **out) {
    *out = handle_get(p, (i32)fd);
    if (!*out) return E_BADF;
    return (*out)->flags & HANDLE_SOCKET ? S_OK : E_NOTSOCK;
}

SYSCALL(socket) {
    UNUSED(p), UNUSED(a);
    return E_AFNOSUPPORT;
}

SYSCALL(socketpair) {
    const u32 flags = (u32)a[1] & ~(u32)SOCK_TYPE_MASK;
    if (flags & ~(u32)(O_CLOEXEC | O_NONBLOCK)) return E_INVAL;
    if ((u32)a[0] != AF_UNIX) return E_AFNOSUPPORT;
    if ((u32)a[2] != 0 && (u32)a[2] != AF_UNIX) return E_PROTONOSUPPORT;
    if (((u32)a[1] & SOCK_TYPE_MASK) != SOCK_STREAM) return E_SOCKTNOSUPPORT;
    status_t s = user_pin(p, a[3], 2 * sizeof(i32), ACCESS_WRITE);
    if (s != S_OK) return s;
    struct object *end[2];
    struct p9_call c[2] = {{0}, {0}};
    spin_lock(&files_lock);
    s = socket_pair_make(end);
    if (s == S_OK) {
        for (u32 i = 0; i < 2 && s == S_OK; i++)
            s = ofd_open(end[i], O_RDWR | (flags & O_NONBLOCK), &c[i]);
        object_put(end[0]);
        object_put(end[1]);
    }
    spin_unlock(&files_lock);
    const struct object_id made[2] = {c[0].made, c[1].made};
    if (s == S_OK)
        return io_pair_install(p, a[3], made,
                               HANDLE_SOCKET | (flags & O_CLOEXEC ? HANDLE_CLOEXEC : 0));
    object_clunk(made[0]);
    object_clunk(made[1]);
    return s;
}

// What all that send and receive check. Returns the offset for them, or an error.
static i64 transfer_begin(struct proc *p, u64 fd, u64 flags, u64 *offset) {
    struct handle *h;
    const status_t s = socket_get(p, fd, &h);
    if (s != S_OK) return s;
    if (flags & MSG_OOB) return E_OPNOTSUPP;
    *offset = socket_offset((u32)flags & (MSG_PEEK | MSG_DONTWAIT | MSG_NOSIGNAL));
    return S_OK;
}

SYSCALL(sendto) {
    u64 offset;
    const i64 s = transfer_begin(p, a[0], a[3], &offset);
    if (s != S_OK) return s;
    if (a[4] && a[5]) return E_ISCONN;
    return io_one(p, a, offset, IO_WRITE);
}

// The peer has no name: its length is 0.
SYSCALL(recvfrom) {
    u64 offset;
    const u32 none = 0;
    i64 s = transfer_begin(p, a[0], a[3], &offset);
    if (s == S_OK && a[4]) s = user_pin(p, a[5], sizeof none, ACCESS_WRITE);
    if (s != S_OK) return s;
    const i64 n = io_one(p, a, offset, IO_READ);
    if (n >= 0 && a[4]) s = user_write(p, a[5], &none, sizeof none);
    return s == S_OK ? n : s;
}

static i64 message(struct proc *p, const u64 *a, enum io_dir dir) {
    struct user_msghdr m;
    u64 offset;
    i64 s = transfer_begin(p, a[0], a[2], &offset);
    if (s == S_OK) s = user_read(p, a[1], &m, sizeof m);
    if (s == S_OK && dir == IO_READ) s = user_pin(p, a[1], sizeof m, ACCESS_WRITE);
    if (s != S_OK) return s;
    if (m.iov_count > IOV_MAX) return E_MSGSIZE;
    if (dir == IO_WRITE && m.name_uva && m.name_len) return E_ISCONN;
    if (dir == IO_WRITE && m.control_len) return E_OPNOTSUPP;    // no handles are passed
    const u64 v[3] = {a[0], m.iov_uva, m.iov_count};
    const i64 n = io_vector(p, v, offset, dir);
    if (n < 0 || dir == IO_WRITE) return n;
    m.name_len = m.flags = 0;
    m.control_len = 0;
    s = user_write(p, a[1], &m, sizeof m);
    return s == S_OK ? n : s;
}
SYSCALL(sendmsg) { return message(p, a, IO_WRITE); }
SYSCALL(recvmsg) { return message(p, a, IO_READ); }

SYSCALL(shutdown) {
    struct handle *h;
    const status_t s = socket_get(p, a[0], &h);
    if (s != S_OK) return s;
    struct p9_call c = {.type = P9_TIOCTL, .object = h->object, .flags = SOCKET_IOC_SHUTDOWN,
                        .value = (u32)a[1]};
    return file_call(&c);
}

// A name is its family alone.
static i64 name_tell(struct proc *p, const u64 *a) {
    struct handle *h;
    const u16 family = AF_UNIX;
    u32 len;
    status_t s = socket_get(p, a[0], &h);
    if (s == S_OK) s = user_read(p, a[2], &len, sizeof len);
    if (s == S_OK && (i32)len < 0) s = E_INVAL;
    if (s == S_OK) s = user_pin(p, a[2], sizeof len, ACCESS_WRITE);
    if (s == S_OK && len) s = user_write(p, a[1], &family, MIN(len, (u32)sizeof family));
    len = sizeof family;
    return s == S_OK ? user_write(p, a[2], &len, sizeof len) : s;
}
SYSCALL(getsockname) { return name_tell(p, a); }
SYSCALL(getpeername) { return name_tell(p, a); }

static status_t option_value(u64 option, u32 *value) {
    switch (option) {
    case SO_TYPE: *value = SOCK_STREAM; return S_OK;
    case SO_DOMAIN: *value = AF_UNIX; return S_OK;
    case SO_SNDBUF: case SO_RCVBUF: *value = PIPE_BYTES; return S_OK;
    case SO_ERROR: case SO_ACCEPTCONN: case SO_PROTOCOL: *value = 0; return S_OK;
    default: return E_NOPROTOOPT;
    }
}

SYSCALL(getsockopt) {
    struct handle *h;
    u32 len, value;
    status_t s = socket_get(p, a[0], &h);
    if (s == S_OK && (u32)a[1] != SOL_SOCKET) s = E_OPNOTSUPP;
    if (s == S_OK) s = user_read(p, a[4], &len, sizeof len);
    if (s == S_OK && (i32)len < 0) s = E_INVAL;
    if (s == S_OK) s = option_value((u32)a[2], &value);
    if (s == S_OK) s = user_pin(p, a[4], sizeof len, ACCESS_WRITE);
    if (s != S_OK) return s;
    len = MIN(len, (u32)sizeof value);
    s = len ? user_write(p, a[3], &value, len) : S_OK;
    return s == S_OK ? user_write(p, a[4], &len, sizeof len) : s;
}

// The sizes of the buffers are as they are; that is no error.
SYSCALL(setsockopt) {
    struct handle *h;
    const status_t s = socket_get(p, a[0], &h);
    if (s != S_OK) return s;
    if ((u32)a[1] != SOL_SOCKET) return E_OPNOTSUPP;
    return (u32)a[2] == SO_SNDBUF || (u32)a[2] == SO_RCVBUF ? S_OK : E_NOPROTOOPT;
}
