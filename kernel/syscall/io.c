// System calls on open handles: read and write in all forms, seek, dup, fcntl, ioctl,
// pipes, directories, sendfile. Each finds its handle, pins the caller's pages, and makes
// file calls; data moves between the pinned frames and the server.
#include "base/string.h"
#include "kernel/files/pipe.h"
#include "kernel/files/terminal.h"
#include "kernel/files/userfs.h"
#include "kernel/jobs.h"
#include "kernel/selftest.h"
#include "kernel/syscall/io.h"
#include "kernel/syscall/syscall.h"
#include "mm/kmem.h"

#define IO_CALL_MAX 0x7ffff000ull      // Linux's MAX_RW_COUNT
#define IO_STRETCH_MAX (1 * MIB)
#define PIPE_OFFER_MIN 256u            // less is not worth a short read
struct iovec { u64 base, len; };

// Appends the next pieces of the vectors from byte `at` on to the call's data.
static status_t gather(struct proc *p, const struct iovec *v, u32 count, u64 at, enum io_dir dir,
                       struct p9_call *c) {
    enum fault_access access = dir == IO_READ ? ACCESS_WRITE : ACCESS_READ;
    for (u32 i = 0; i < count; i++) {
        if (at >= v[i].len) {
            at -= v[i].len;
            continue;
        }
        for (u64 off = at; off < v[i].len;) {
            if (c->data.seg_count == P9_SEG_MAX || c->count == P9_DATA_MAX) return S_OK;
            u64 va = v[i].base + off;
            u64 n = MIN(v[i].len - off, PAGE_SIZE - (va & PAGE_MASK));
            n = MIN(n, P9_DATA_MAX - c->count);
            u8 *page;
            status_t s = va < USER_END && v[i].base + v[i].len >= v[i].base
                             ? user_page(p, va, access, &page) : E_FAULT;
            if (s != S_OK) return c->count && s != S_RESTART ? S_OK : s;
            c->data.seg[c->data.seg_count].pa = virt_to_phys(page);
            c->data.seg[c->data.seg_count++].len = (u32)n;
            c->count += n;
            off += n;
        }
        at = 0;
    }
    return S_OK;
}

// Files whose reads are whole: regular ones, and devices that are no stream.
static bool reads_whole(struct object_id id) {
    struct p9_call c = {.type = P9_TGETATTR, .object = id};
    u32 type = file_call(&c) == S_OK ? c.attr.mode & S_IFMT : 0;
    return type == S_IFREG || type == S_IFBLK || (type == S_IFCHR && c.attr.blksize > 1);
}

struct io {
    i64 fd;
    const struct iovec *v;
    u32 count;
    u64 offset;                      // P9_OFFSET_CURRENT: the description's
    enum io_dir dir;
};

// Moves what the vectors ask for. It goes on over restarts where it stopped
// (wait.done_bytes); a read returns what came first unless the file is a regular one. After
// IO_STRETCH_MAX bytes it passes the edge, so a huge call keeps neither the CPU nor the net.
static i64 io_move(struct proc *p, const struct io *io) {
    const struct handle *h = handle_get(p, io->fd);
    if (!h) return E_BADF;
    struct proc_desc *d = proc_desc(p);
    u64 total = 0, done = d->wait.done_bytes, stretch = done + IO_STRETCH_MAX;
    for (u32 i = 0; i < io->count; i++) {
        if ((i64)io->v[i].len < 0 || (i64)(total += io->v[i].len) < 0) return E_INVAL;
    }
    total = MIN(total, IO_CALL_MAX);
    status_t s = S_OK;
    do {
        struct p9_call c = {.type = io->dir == IO_READ ? P9_TREAD : P9_TWRITE, .object = h->object,
                            .offset = io->offset, .pid = d->pid};
        if (io->offset != P9_OFFSET_CURRENT) c.offset += done;
        s = gather(p, io->v, io->count, done, io->dir, &c);
        d->wait.done_bytes = done;       // how far it had come when it asked: names the call
        if (s == S_OK) s = file_call(&c);
        if (s != S_OK) break;
        done += c.result;
        if (c.result == 0 || (io->dir == IO_READ && c.result < c.count)) break;
        if (done < total && io->dir == IO_READ && !reads_whole(h->object)) break;
        if (done >= stretch && done < total) {
            d->wait.done_bytes = done;
            return S_RESTART;
        }
    } while (done < total);
    if (s == S_RESTART) return S_RESTART;
    return s != S_OK && done == 0 ? (i64)s : (i64)done;
}

// One call for what lies in one page. *rest: a write that went in part goes on.
static i64 io_page(struct proc *p, const u64 *a, u64 offset, enum io_dir dir, bool *rest) {
    const struct handle *h = handle_get(p, (i32)a[0]);
    u8 *page;
    if (!h) return E_BADF;
    status_t s = user_page(p, a[1], dir == IO_READ ? ACCESS_WRITE : ACCESS_READ, &page);
    if (s != S_OK) return s;
    if ((h->flags & HANDLE_PIPE) && h->object.node == node_id) {
        const i64 n = pipe_quick(p, &(struct pipe_io){h->object, page, (u32)a[2],
                                                      .write = dir == IO_WRITE});
        if (n != 0) return n;
    }
    if (dir == IO_READ && offset != P9_OFFSET_CURRENT && h->object.node == node_id &&
        object_is_user(h->object)) {
        const i64 n = userfs_quick_read(p, &(struct user_io){h->object, page, (u32)a[2], offset});
        if (n != 0) return n;
    }
    struct p9_call c;
    memset(&c, 0, P9_CALL_HEAD_BYTES);
    c.type = dir == IO_READ ? P9_TREAD : P9_TWRITE;
    c.object = h->object;
    c.offset = offset;
    c.pid = proc_desc(p)->pid;
    c.count = a[2];
    c.data.seg_count = 1;
    c.data.seg[0].pa = virt_to_phys(page);
    c.data.seg[0].len = (u32)a[2];
    s = file_call(&c);
    if (s != S_OK) return s;
    *rest = dir == IO_WRITE && c.result < a[2] && c.result != 0;
    return (i64)c.result;
}

// A read of more than a page of a pipe of this node: where the pipe is empty, p waits and offers
// what is left of the first page, for a read of a pipe may be short. 0: it does not wait so.
static i64 io_pipe_wait(struct proc *p, const u64 *a) {
    const struct handle *h = handle_get(p, (i32)a[0]);
    const u32 left = (u32)(PAGE_SIZE - (a[1] & PAGE_MASK));
    u8 *page;
    if (!h || !(h->flags & HANDLE_PIPE) || h->object.node != node_id || left < PIPE_OFFER_MIN)
        return 0;
    if (user_page(p, a[1], ACCESS_WRITE, &page) != S_OK) return 0;
    return pipe_quick(p, &(struct pipe_io){h->object, page, left, .wait_only = true});
}

i64 io_one(struct proc *p, const u64 *a, u64 offset, enum io_dir dir) {
    const struct iovec v = {a[1], a[2]};
    u64 *done = &proc_desc(p)->wait.done_bytes;
    if (a[2] != 0 && a[2] <= PAGE_SIZE - (a[1] & PAGE_MASK) && *done == 0) {
        bool rest = false;
        const i64 r = io_page(p, a, offset, dir, &rest);
        if (!rest) return r;
        *done = (u64)r;
    } else if (dir == IO_READ && a[2] > PAGE_SIZE / 2 && io_pipe_wait(p, a) == S_RESTART) {
        return S_RESTART;
    }
    return io_move(p, &(struct io){(i32)a[0], &v, 1, offset, dir});
}
SYSCALL(read) { return io_one(p, a, P9_OFFSET_CURRENT, IO_READ); }
SYSCALL(write) { return io_one(p, a, P9_OFFSET_CURRENT, IO_WRITE); }
SYSCALL(pread64) { return (i64)a[3] < 0 ? E_INVAL : io_one(p, a, a[3], IO_READ); }
SYSCALL(pwrite64) { return (i64)a[3] < 0 ? E_INVAL : io_one(p, a, a[3], IO_WRITE); }

// The same of a[2] vectors at a[1].
i64 io_vector(struct proc *p, const u64 *a, u64 offset, enum io_dir dir) {
    u64 count = a[2];
    if (count > IOV_MAX) return E_INVAL;
    if (count == 0) return handle_get(p, (i32)a[0]) ? 0 : E_BADF;
    struct iovec *v = kmem_alloc(count * sizeof *v);
    if (!v) return E_NOMEM;
    i64 r = user_read(p, a[1], v, count * sizeof *v);
    if (r == S_OK) r = io_move(p, &(struct io){(i32)a[0], v, (u32)count, offset, dir});
    kmem_free(v, count * sizeof *v);
    return r;
}
SYSCALL(readv) { return io_vector(p, a, P9_OFFSET_CURRENT, IO_READ); }
SYSCALL(writev) { return io_vector(p, a, P9_OFFSET_CURRENT, IO_WRITE); }
SYSCALL(preadv) { return io_vector(p, a, a[3], IO_READ); }
SYSCALL(pwritev) { return io_vector(p, a, a[3], IO_WRITE); }

SYSCALL(lseek) {
    const struct handle *h = handle_get(p, (i32)a[0]);
    if (!h) return E_BADF;
    struct p9_call c = {.type = P9_TSEEK, .object = h->object, .offset = a[1], .flags = (u32)a[2]};
    status_t s = file_call(&c);
    return s == S_OK ? (i64)c.result : s;
}

SYSCALL(close) { return handle_close(p, (i32)a[0]); }

SYSCALL(close_range) {
    if (a[0] > a[1] || (a[2] & ~4ull)) return E_INVAL;
    for (u64 fd = a[0]; fd <= a[1] && fd < HANDLES_MAX; fd++) {
        struct handle *h = handle_get(p, (i64)fd);
        if (h && (a[2] & 4)) h->flags |= HANDLE_CLOEXEC;
        else if (h) (void)handle_close(p, (i64)fd);
    }
    return 0;
}

static i64 dup_from(struct proc *p, i32 fd, u32 lowest, u32 flags) {
    const struct handle *h = handle_get(p, fd);
    if (!h) return E_BADF;
    struct object_id id = h->object;
    status_t s = object_ref(id);
    if (s != S_OK) return s;
    i64 made = handle_install(p, id, flags | (h->flags & HANDLE_KIND), lowest);
    if (made < 0) object_clunk(id);
    return made;
}
SYSCALL(dup) { return dup_from(p, (i32)a[0], 0, 0); }

static i64 dup_to(struct proc *p, i32 from, u64 to, u32 flags) {
    const struct handle *h = handle_get(p, from);
    if (!h || to >= proc_desc(p)->rlimit_nofile || to >= HANDLES_MAX) return E_BADF;
    struct object_id id = h->object;
    status_t s = object_ref(id);
    flags |= h->flags & HANDLE_KIND;
    if (s == S_OK && (s = handle_put_at(p, (u32)to, id, flags)) != S_OK) object_clunk(id);
    return s == S_OK ? (i64)to : s;
}
SYSCALL(dup2) {
    if ((u32)a[0] == (u32)a[1]) return handle_get(p, (i32)a[0]) ? (i64)a[1] : E_BADF;
    return dup_to(p, (i32)a[0], (u32)a[1], 0);
}
SYSCALL(dup3) {
    if ((u32)a[0] == (u32)a[1] || (a[2] & ~(u64)O_CLOEXEC)) return E_INVAL;
    return dup_to(p, (i32)a[0], (u32)a[1], a[2] & O_CLOEXEC ? HANDLE_CLOEXEC : 0);
}

enum { F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_SETOWN, F_GETOWN,
       F_OFD_GETLK = 36, F_OFD_SETLK, F_OFD_SETLKW, F_DUPFD_CLOEXEC = 1030, F_GETPIPE_SZ = 1032 };

SYSCALL(fcntl) {
    struct handle *h = handle_get(p, (i32)a[0]);
    if (!h) return E_BADF;
    struct p9_call c = {.type = P9_TGETFL, .object = h->object};
    status_t s;
    switch (a[1]) {
    case F_DUPFD: case F_DUPFD_CLOEXEC:
        if (a[2] >= HANDLES_MAX) return E_INVAL;
        return dup_from(p, (i32)a[0], (u32)a[2], a[1] == F_DUPFD ? 0 : HANDLE_CLOEXEC);
    case F_GETFD: return h->flags & HANDLE_CLOEXEC;
    case F_SETFD:
        h->flags = (h->flags & ~HANDLE_CLOEXEC) | (a[2] & 1 ? HANDLE_CLOEXEC : 0);
        return 0;
    case F_GETFL:
        s = file_call(&c);
        return s == S_OK ? (i64)c.flags | 0100000 : s;   // O_LARGEFILE
    case F_SETFL:
        c.type = P9_TSETFL;
        c.flags = (u32)a[2];
        return file_call(&c);
    case F_GETLK: case F_SETLK: case F_SETLKW:
    case F_OFD_GETLK: case F_OFD_SETLK: case F_OFD_SETLKW:
        return lock_record(p, h->object, (u32)a[1], a[2]);
    case F_GETPIPE_SZ: return 65536;
    default: return E_INVAL;
    }
}

// Bytes that a request carries in and out.
static void ioctl_size(u32 request, u32 *in, u32 *out) {
    *in = *out = 0;
    switch (request) {
    case 0x5401: *out = 36; break;                        // TCGETS
    case 0x5402: case 0x5403: case 0x5404: *in = 36; break;
    case 0x540f: case 0x5429: case 0x541b: case 0x5411: *out = 4; break;
    case 0x80045430: case 0x80045439: *out = 4; break;    // TIOCGPTN, TIOCGPTLCK
    case 0x5410: case 0x40045431: *in = 4; break;         // TIOCSPGRP, TIOCSPTLCK
    case 0x5413: *out = 8; break;
    case 0x5414: *in = 8; break;
    case 0x1260: case 0x80081272: *out = 8; break;        // BLKGETSIZE, BLKGETSIZE64
    case 0x1268: case 0x127b: case 0x125e: *out = 4; break;   // BLKSSZGET, BLKPBSZGET, BLKROGET
    default: break;
    }
}

#define FIONBIO 0x5421u

// FIONBIO: the description waits no more, or again, by the int at uva.
static status_t blocking_set(struct proc *p, const struct handle *h, u64 uva) {
    i32 on;
    status_t s = user_read(p, uva, &on, sizeof on);
    struct p9_call c = {.type = P9_TGETFL, .object = h->object};
    if (s == S_OK) s = file_call(&c);
    if (s != S_OK) return s;
    c.type = P9_TSETFL;
    c.flags = (c.flags & ~(u32)O_NONBLOCK) | (on ? O_NONBLOCK : 0);
    return file_call(&c);
}

SYSCALL(ioctl) {
    struct handle *h = handle_get(p, (i32)a[0]);
    if (!h) return E_BADF;
    u8 data[64] = {0};
    u32 in, out;
    u32 request = (u32)a[1];
    if (request == 0x5451 || request == 0x5450) { // FIOCLEX, FIONCLEX
        h->flags = (h->flags & ~HANDLE_CLOEXEC) | (request == 0x5451 ? HANDLE_CLOEXEC : 0);
        return 0;
    }
    if (request == FIONBIO) return blocking_set(p, h, a[2]);
    if (request == PIPE_IOC_PARTNER) return E_NOTTY;         // open's own
    if (request == TIOCSCTTY) return job_take_terminal(p, h->object, a[2]);
    ioctl_size(request, &in, &out);
    status_t s = in ? user_read(p, a[2], data, in) : S_OK;
    if (s == S_OK && out) s = user_pin(p, a[2], out, ACCESS_WRITE);
    if (s == S_OK && request == TIOCSPGRP) s = job_group_find(data, &in);
    if (s != S_OK) return s;
    struct p9_call c = {.type = P9_TIOCTL, .object = h->object, .flags = request, .value = a[2],
                        .count = MAX(in, out), .data.buffer = data};
    s = file_call(&c);
    if (s == S_OK && request == TIOCNOTTY) proc_desc(p)->tty = (struct object_id){0};
    return s == S_OK && out ? user_write(p, a[2], data, out) : s;
}

struct dirent64 { u64 ino; i64 next; u16 reclen; u8 type; char name[]; };

static u64 dirents_convert(const u8 *from, u64 len, u8 *to) {
    u64 done = 0;
    for (u64 at = 0; at + 24 <= len;) {
        u64 name_len = (u64)from[at + 22] | (u64)from[at + 23] << 8;
        u64 reclen = ALIGN_UP(19 + name_len + 1, 8ull);
        struct dirent64 e = {.reclen = (u16)reclen, .type = from[at + 21]};
        memcpy(&e.ino, from + at + 5, 8);
        memcpy(&e.next, from + at + 13, 8);
        memset(to + done, 0, reclen);
        memcpy(to + done, &e, 19);
        memcpy(to + done + 19, from + at + 24, name_len);
        done += reclen;
        at += 24 + name_len;
    }
    return done;
}

SYSCALL(getdents64) {
    const struct handle *h = handle_get(p, (i32)a[0]);
    if (!h) return E_BADF;
    u64 len = MIN(a[2], 32 * KIB);
    status_t s = user_pin(p, a[1], len, ACCESS_WRITE);
    if (s != S_OK) return s;
    u8 *raw = kmem_alloc(32 * KIB), *made = kmem_alloc(64 * KIB);
    struct p9_call c = {.type = P9_TREADDIR, .object = h->object, .offset = P9_OFFSET_CURRENT,
                        .count = len * 25 / 28, .data.buffer = raw};
    s = raw && made ? file_call(&c) : E_NOMEM;
    u64 n = s == S_OK ? dirents_convert(raw, c.result, made) : 0;
    if (s == S_OK) s = user_write(p, a[1], made, n);
    if (raw) kmem_free(raw, 32 * KIB);
    if (made) kmem_free(made, 64 * KIB);
    return s == S_OK ? (i64)n : s;
}

// Copies through one kernel buffer, one chunk a call; a caller loops.
SYSCALL(sendfile) {
    const struct handle *to = handle_get(p, (i32)a[0]), *from = handle_get(p, (i32)a[1]);
    if (!to || !from) return E_BADF;
    u64 offset = P9_OFFSET_CURRENT;
    status_t s = a[2] ? user_read(p, a[2], &offset, 8) : S_OK;
    if (s == S_OK && a[2]) s = user_pin(p, a[2], 8, ACCESS_WRITE);
    if (s != S_OK) return s;
    // The pipe or terminal behind `to` may take less: read at a known offset, advance after.
    struct p9_call seek = {.type = P9_TSEEK, .object = from->object, .flags = 1};
    if (!a[2]) {
        s = file_call(&seek);
        if (s != S_OK) return E_INVAL;
        offset = seek.result;
    }
    u8 *buffer = kmem_alloc(P9_DATA_MAX);
    if (!buffer) return E_NOMEM;
    struct p9_call r = {.type = P9_TREAD, .object = from->object, .offset = offset,
                        .count = MIN(a[3], (u64)P9_DATA_MAX), .data.buffer = buffer};
    s = file_call(&r);
    struct p9_call w = {.type = P9_TWRITE, .object = to->object, .offset = P9_OFFSET_CURRENT,
                        .count = r.result, .data.buffer = buffer};
    if (s == S_OK && r.result) s = file_call(&w);
    kmem_free(buffer, P9_DATA_MAX);
    if (s != S_OK) return s;
    offset += w.result;
    if (a[2]) s = user_write(p, a[2], &offset, 8);
    seek.flags = 0;
    seek.offset = offset;
    if (!a[2]) s = file_call(&seek);
    return s == S_OK ? (i64)w.result : s;
}

SYSCALL(fsync) {
    const struct handle *h = handle_get(p, (i32)a[0]);
    u64 *ticket = &proc_desc(p)->wait.scratch[0];         // the server's, kept over restarts
    struct p9_call c = {.type = P9_TFSYNC, .value = *ticket};
    if (!h) return E_BADF;
    c.object = h->object;
    status_t s = file_call(&c);
    *ticket = c.value;
    return s;
}
SYSCALL(fdatasync) { return sys_fsync(p, a); }
// All drives of this node; those of others belong to who writes them.
SYSCALL(sync) {
    UNUSED(a);
    selftest_sync();
    u64 *ticket = &proc_desc(p)->wait.scratch[0];
    struct p9_call c = {.type = P9_TFSYNC, .object = object_root_id(node_id, OBJECT_ROOT_DEV),
                        .value = *ticket};
    status_t s = file_call(&c);
    *ticket = c.value;
    return s == S_RESTART ? s : 0;
}
SYSCALL(fadvise64) { return handle_get(p, (i32)a[0]) ? 0 : E_BADF; }
