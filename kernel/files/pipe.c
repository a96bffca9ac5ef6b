// Pipes: two objects over one buffer of frames, or three: an end that reads and writes is one of
// its own. A write of up to PIPE_BUF bytes is whole or waits; reads take what is there. Called
// through file_call; lock: files_lock.
//
// A pipe with a name (FIFO) is made when its file is opened and goes with its last open
// description. Opening one end never waits here: it counts from then on, and who opened it waits
// for the other end afterwards (PIPE_IOC_PARTNER), so that nobody misses it.
// Spec: POSIX.1 read(), write() on pipes, open() of a FIFO; fifo(7).
#include "base/string.h"
#include "kernel/files/events.h"
#include "kernel/files/pipe.h"
#include "kernel/placement.h"
#include "kernel/signal.h"
#include "kernel/x86/spinlock_quick.h"
#include "mm/frame.h"
#include "mm/kmem.h"

static u64 next_pipe_ino = 1;

static u64 space(const struct pipe *p) { return PIPE_BYTES - pipe_used(p); }

// Those who wait on w, and pollers where somebody has looked at this pipe: who is woken looks
// at all it waits for again.
static void wake(struct pipe *p, struct wait_list *w) {
    file_wake_polled(w, p->polled);
    p->polled = false;
}

// The times of the file that it is.
static void used(struct pipe *p, bool wrote) {
    if (p->home.file) p->home.used(p->home.file, wrote);
}

static status_t pipe_read(struct pipe *p, struct p9_call *c) {
    if (pipe_used(p) == 0) {
        if (p->write.opens == 0 || c->count == 0) return S_OK;
        if (c->flags & O_NONBLOCK) return E_AGAIN;
        file_wait(&p->readers);
        return S_RESTART;
    }
    u64 len = MIN(c->count, pipe_used(p));
    while (c->result < len) {
        u64 at = p->head % PIPE_BYTES, n = MIN(len - c->result, PIPE_BYTES - at);
        data_put(c, c->result, p->buffer + at, n);
        p->head += n;
        c->result += n;
    }
    if (len) used(p, false);
    wake(p, &p->writers);
    return S_OK;
}

// The answer to who writes where nobody can read any more, and his signal. files_lock held.
status_t pipe_broken(void) {
    struct proc *me = proc_current();
    if (me) signal_raise(me, SIGPIPE, (struct signal_info){.code = SI_KERNEL});
    return E_PIPE;
}

static status_t pipe_write(struct pipe *p, struct p9_call *c) {
    if (p->read.opens == 0) return pipe_broken();
    if (c->count == 0) return S_OK;
    bool fits = space(p) >= c->count || (c->count > PIPE_BUF_BYTES && space(p) > 0);
    if (!fits) {
        if (c->flags & O_NONBLOCK) return E_AGAIN;
        file_wait(&p->writers);
        return S_RESTART;
    }
    u64 len = MIN(c->count, space(p));
    while (c->result < len) {
        u64 at = p->tail % PIPE_BYTES, n = MIN(len - c->result, PIPE_BYTES - at);
        data_get(c, c->result, p->buffer + at, n);
        p->tail += n;
        c->result += n;
    }
    used(p, true);
    wake(p, &p->readers);
    return S_OK;
}

// --- what needs no message: read and write by a process of this node in one page of its own ---

// Puts bytes straight where the first who waits for some wants them. How many it took.
static u32 give_to_reader(struct pipe *p, const u8 *at, u32 len) {
    u32 n = 0;
    spin_lock_quick(&proc_lock);
    if (!list_empty(&p->readers.head)) {
        struct proc *reader = LIST_ENTRY(p->readers.head.next, struct thread, wait)->p;
        if (wait_offers(reader)) {
            n = MIN(len, reader->offer.len);
            memcpy(reader->offer.at, at, n);
            placement_used_pipe(reader, n);
            wait_complete(reader, n);
        }
    }
    spin_unlock_quick(&proc_lock);
    return n;
}

static void ring_move(struct pipe *p, u8 *at, u32 len, bool write) {
    const u64 place = (write ? p->tail : p->head) % PIPE_BYTES;
    const u64 first = MIN(len, PIPE_BYTES - place);
    if (write) {
        memcpy(p->buffer + place, at, first);
        memcpy(p->buffer, at + first, len - first);
        p->tail += len;
    } else {
        memcpy(at, p->buffer + place, first);
        memcpy(at + first, p->buffer, len - first);
        p->head += len;
    }
}

static u32 quick_write(struct pipe *p, const struct pipe_io *io) {
    if (p->read.opens == 0 || space(p) < io->len) return 0;
    if (p->sink && pipe_used(p) == 0 && p->sink(p->sink_ctx, io->at, io->len)) return io->len;
    const u32 given = pipe_used(p) == 0 ? give_to_reader(p, io->at, io->len) : 0;
    if (given == io->len) return given;
    ring_move(p, io->at + given, io->len - given, true);
    wake(p, &p->readers);
    return io->len;
}

static u32 quick_read(struct pipe *p, const struct pipe_io *io) {
    const u32 len = (u32)MIN(pipe_used(p), (u64)io->len);
    if (len == 0) return 0;
    ring_move(p, io->at, len, false);
    wake(p, &p->writers);
    return len;
}

// An empty pipe: p waits and offers its page, where nothing else is to be said. A page of a
// shared mapping may be another node's when the bytes come.
static bool quick_wait(struct pipe *pipe, struct proc *p, const struct pipe_io *io) {
    if (pipe->write.opens == 0 || pipe_used(pipe) != 0) return false;
    if (frame_use_of(paddr(virt_to_phys(io->at).v & ~PAGE_MASK)) != FRAME_USER) return false;
    spin_lock_quick(&proc_lock);
    wait_on_locked(&pipe->readers, p, false);
    p->offer = (struct wait_offer){io->at, io->len, 0};
    spin_unlock_quick(&proc_lock);
    return true;
}

// Reads or writes an open pipe of this node for the current process.
//   io  its open description, and 1 to PAGE_SIZE bytes in one page, which is pinned; wait_only:
//       nothing is moved, p waits where the pipe is empty
// How many bytes were moved; S_RESTART: p waits, and the call may be ended for it
// (wait_complete); 0: it is none, or this takes the whole way. Takes files_lock.
i64 pipe_quick(struct proc *p, const struct pipe_io *io) {
    i64 result = 0;
    spin_lock_quick(&files_lock);
    struct object *o = object_find(io->id), *file = NULL;
    if (o && o->kind == ACCOUNT_PIPE) file = ofd_file(o, io->write ? 0 : O_WRONLY);
    if (file) {
        struct pipe_end *e = CONTAINER_OF(file, struct pipe_end, object);
        if (e->writes == io->write)
            result = io->write ? quick_write(e->pipe, io)
                               : io->wait_only ? 0 : quick_read(e->pipe, io);
        if (result) placement_used_pipe(p, (u64)result), used(e->pipe, io->write);
        else if (!io->write && !e->writes && ofd_blocks(o) && quick_wait(e->pipe, p, io))
            result = S_RESTART;
    }
    spin_unlock_quick(&files_lock);
    return result;
}

// Puts bytes straight where the reader of a pipe waits for as many. False: there is none, or
// other bytes lie before them; nothing has changed then. files_lock held.
//   ofd  an open description of a pipe's end to write to
bool pipe_give(struct object *ofd, const u8 *bytes, u32 len) {
    struct pipe *p = pipe_of(ofd, 0);
    if (!p || pipe_used(p) != 0 || list_empty(&p->readers.head)) return false;
    const struct proc *reader = LIST_ENTRY(p->readers.head.next, struct thread, wait)->p;
    return reader->offer.len >= len && give_to_reader(p, bytes, len) == len;
}

// From here on `sink` is asked first for what a process here writes to the pipe of which ofd is
// the end to read from, while the pipe is empty. NULL: no more. files_lock held.
void pipe_sink(struct object *ofd, pipe_sink_fn sink, void *ctx) {
    struct pipe *p = pipe_of(ofd, O_WRONLY);
    if (!p) return;
    p->sink = sink;
    p->sink_ctx = ctx;
}

static status_t pipe_poll(struct pipe_end *e, struct p9_call *c) {
    struct pipe *p = e->pipe;
    u32 ready = 0;
    const u64 change = (e->writes ? p->head + (p->read.opens == 0) : 0) +
                       (e->reads ? p->tail + (p->write.opens == 0) : 0);
    p->polled = true;
    if (e->writes) {
        if (space(p) >= PIPE_BUF_BYTES) ready |= POLLOUT;
        if (p->read.opens == 0) ready |= POLLERR;
    }
    if (e->reads) {                              // no hang-up before anybody wrote: fifo(7)
        if (pipe_used(p)) ready |= POLLIN;
        if (p->write.opens == 0 && p->write.came != c->value) ready |= POLLHUP;
    }
    c->result = (ready & (c->flags | POLLERR | POLLHUP)) | POLL_CHANGE(change);
    return S_OK;
}

static const struct object_ops pipe_ops;

// One more reference on an end. E_NOMEM, E_NFILE.
static status_t end_get(struct pipe_end *e) {
    if (e->object.refs == 0) {
        const status_t s = object_add(&e->object, &pipe_ops);
        if (s == S_OK) e->object.kind = ACCOUNT_PIPE;
        return s;
    }
    object_get(&e->object);
    return S_OK;
}

// An open description more (by 1) or less (-1) of the end.
static void opens_count(struct pipe_end *e, i32 by) {
    struct pipe *p = e->pipe;
    if (e->reads) p->read.opens += (u32)by;
    if (e->writes) p->write.opens += (u32)by;
}

// Opens the pipe once more, as c->flags say. One without a name (by /proc/PID/fd) waits for nobody,
// as on Linux. E_NXIO: nobody would read, and it is not to wait.
static status_t pipe_open(struct pipe *p, struct p9_call *c) {
    const u32 mode = c->flags & O_ACCMODE;
    if (mode == O_ACCMODE && !(c->flags & O_PATH)) return E_INVAL;
    struct pipe_end *e = mode == O_RDWR ? &p->both : mode == O_WRONLY ? &p->write : &p->read;
    const struct pipe_end *other = e->reads ? &p->write : &p->read;
    const bool alone = p->home.file && other->opens == 0 && !(c->flags & O_PATH);
    if (alone && !e->reads && (c->flags & O_NONBLOCK)) return E_NXIO;
    status_t s = end_get(e);
    if (s != S_OK) return s;
    s = ofd_open(&e->object, c->flags, c);
    if (s == S_OK && !(c->flags & O_PATH)) {
        struct ofd *f = CONTAINER_OF(object_find(c->made), struct ofd, object);
        opens_count(e, 1);
        if (e->reads) p->read.came++;
        if (e->writes) p->write.came++;
        if (alone && other->opens == 0) f->since = other->came;
        file_wake(&p->openers);
    }
    object_put(&e->object);
    return s;
}

static status_t pipe_wait_partner(struct pipe_end *e, const struct p9_call *c) {
    const struct pipe_end *other = e->reads ? &e->pipe->write : &e->pipe->read;
    if (other->came != c->value) return S_OK;
    file_wait(&e->pipe->openers);
    return S_RESTART;
}

static status_t pipe_closed(struct pipe_end *e, const struct p9_call *c) {
    struct pipe *p = e->pipe;
    if (c->flags & O_PATH) return S_OK;
    ASSERT((!e->reads || p->read.opens > 0) && (!e->writes || p->write.opens > 0));
    opens_count(e, -1);
    if (e->writes && p->write.opens == 0) wake(p, &p->readers);
    if (e->reads && p->read.opens == 0) wake(p, &p->writers);
    return S_OK;
}

// What is asked of the file, where the pipe has one.
static status_t home_call(struct pipe *p, struct p9_call *c) {
    return p->home.file->ops->call(p->home.file, c);
}

static status_t pipe_call(struct object *o, struct p9_call *c) {
    struct pipe_end *e = CONTAINER_OF(o, struct pipe_end, object);
    struct pipe *p = e->pipe;
    switch (c->type) {
    case P9_TREAD: return e->reads ? pipe_read(p, c) : E_BADF;
    case P9_TWRITE: return e->writes ? pipe_write(p, c) : E_BADF;
    case P9_TPOLL: return pipe_poll(e, c);
    case P9_TGETATTR:
        if (p->home.file) return home_call(p, c);
        c->attr = (struct p9_attr){.valid = P9_GETATTR_BASIC, .qid_path = p->ino, .nlink = 1,
                                   .mode = S_IFIFO | 0600, .blksize = PAGE_SIZE,
                                   .uid = p->uid, .gid = p->gid};
        return S_OK;
    case P9_TSETATTR:
        if (c->attr.valid & P9_SETATTR_SIZE) return E_INVAL;
        return p->home.file ? home_call(p, c) : S_OK;
    case P9_TSTATFS: return p->home.file ? home_call(p, c) : E_OPNOTSUPP;
    case P9_TLOPEN:                              // by /proc/self/fd
        return c->flags & O_DIRECTORY ? E_NOTDIR : pipe_open(p, c);
    case P9_TIOCTL: {
        u32 n = (u32)pipe_used(p);
        if (c->flags == PIPE_IOC_PARTNER) return pipe_wait_partner(e, c);
        if (c->flags != 0x541b) return E_NOTTY;  // FIONREAD
        data_put(c, 0, &n, sizeof n);
        return S_OK;
    }
    case P9_TCLUNK: return pipe_closed(e, c);    // an open end was closed
    case P9_TWALK: case P9_TREADDIR: return E_NOTDIR;
    case P9_TFSYNC: return E_INVAL;
    case P9_TPAGE: return E_NODEV;
    default: return E_OPNOTSUPP;
    }
}

static void pipe_release(struct object *o) {
    struct pipe_end *e = CONTAINER_OF(o, struct pipe_end, object);
    struct pipe *p = e->pipe;
    if (p->read.object.refs || p->write.object.refs || p->both.object.refs) return;
    const struct pipe_home home = p->home;
    kmem_free(p->buffer, PIPE_BYTES);
    kmem_free(p, sizeof *p);
    if (!home.file) return;
    *home.pipe = NULL;
    object_put(home.file);
}

static const struct object_ops pipe_ops = {"pipe", pipe_call, pipe_release};

// A pipe without open ends. NULL: no memory.
static struct pipe *pipe_new(void) {
    struct pipe *p = kmem_alloc(sizeof *p);
    u8 *buffer = p ? kmem_alloc(PIPE_BYTES) : NULL;
    if (!buffer) {
        if (p) kmem_free(p, sizeof *p);
        return NULL;
    }
    p->buffer = buffer;
    p->read.pipe = p->write.pipe = p->both.pipe = p;
    p->read.reads = p->both.reads = true;
    p->write.writes = p->both.writes = true;
    wait_list_init(&p->readers);
    wait_list_init(&p->writers);
    wait_list_init(&p->openers);
    return p;
}

// Opens the pipe of a file that is one. E_NXIO as pipe_open. files_lock held.
status_t fifo_open(const struct pipe_home *home, struct p9_call *c) {
    const bool makes = *home->pipe == NULL;
    struct pipe *p = makes ? pipe_new() : *home->pipe;
    if (!p) return E_NOMEM;
    if (makes) {                                 // it goes with its last end: one for now
        const status_t s = end_get(&p->read);
        if (s != S_OK) {
            kmem_free(p->buffer, PIPE_BYTES);
            kmem_free(p, sizeof *p);
            return s;
        }
        p->home = *home;
        object_get(home->file);
        *home->pipe = p;
    }
    const status_t s = pipe_open(p, c);
    if (makes) object_put(&p->read.object);
    return s;
}

// Makes a pipe: two objects with one reference each, for ofd_open. files_lock held.
status_t pipe_make(struct object **read_end, struct object **write_end) {
    struct pipe *p = pipe_new();
    if (!p) return E_NOMEM;
    status_t s = end_get(&p->read);
    if (s != S_OK) {
        kmem_free(p->buffer, PIPE_BYTES);
        kmem_free(p, sizeof *p);
        return s;
    }
    if ((s = end_get(&p->write)) != S_OK) {
        object_put(&p->read.object);
        return s;
    }
    p->read.opens = p->write.opens = 1;
    p->read.came = p->write.came = 1;
    p->ino = next_pipe_ino++;
    const struct proc *maker = proc_current();
    if (maker) p->uid = proc_desc(maker)->euid, p->gid = proc_desc(maker)->egid;
    *read_end = &p->read.object;
    *write_end = &p->write.object;
    return S_OK;
}
