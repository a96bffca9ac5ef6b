// Pairs of connected stream sockets: each end reads from one pipe and writes to another. Both
// are objects of the node that made them, and used from any node. Called through file_call;
// lock: files_lock.
// Spec: POSIX.1 socketpair(), send(), recv(), shutdown(); unix(7).
#include "kernel/files/events.h"
#include "kernel/files/pipe.h"
#include "kernel/files/socket.h"
#include "mm/frame.h"
#include "mm/kmem.h"

enum { POLLRDHUP = 0x2000 };
enum shut_how { SHUT_IN, SHUT_OUT, SHUT_BOTH };

struct socket {
    struct object object;
    struct pipe_end *in, *out;       // a reference on each
    bool in_shut, out_shut;          // by shutdown: closed already
};

static bool at_end(const struct socket *s) { return s->in_shut || s->in->pipe->write.opens == 0; }
static bool broken(const struct socket *s) { return s->out_shut || s->out->pipe->read.opens == 0; }

static status_t socket_read(struct socket *s, struct p9_call *c) {
    struct pipe *p = s->in->pipe;
    const u32 flags = socket_flags(c->offset);
    const u64 head = p->head;
    if (s->in_shut && pipe_used(p) == 0) return S_OK;
    if (flags & MSG_DONTWAIT) c->flags |= O_NONBLOCK;
    const status_t status = s->in->object.ops->call(&s->in->object, c);
    if (flags & MSG_PEEK) p->head = head;
    return status;
}

static status_t socket_write(struct socket *s, struct p9_call *c) {
    const u32 flags = socket_flags(c->offset);
    if (broken(s)) return flags & MSG_NOSIGNAL ? E_PIPE : pipe_broken();
    if (flags & MSG_DONTWAIT) c->flags |= O_NONBLOCK;
    return s->out->object.ops->call(&s->out->object, c);
}

static void close_end(struct pipe_end *e, bool *shut) {
    struct p9_call c = {.type = P9_TCLUNK};
    if (*shut) return;
    *shut = true;
    (void)e->object.ops->call(&e->object, &c);
    file_wake(e->writes ? &e->pipe->writers : &e->pipe->readers);   // those of this end as well
}

static status_t socket_shut(struct socket *s, u64 how) {
    if (how > SHUT_BOTH) return E_INVAL;
    if (how != SHUT_OUT) close_end(s->in, &s->in_shut);
    if (how != SHUT_IN) close_end(s->out, &s->out_shut);
    return S_OK;
}

static status_t socket_poll(struct socket *s, struct p9_call *c) {
    struct pipe *in = s->in->pipe, *out = s->out->pipe;
    const bool end = at_end(s), no_reader = broken(s);
    u32 ready = 0;
    in->polled = out->polled = true;
    if (end || pipe_used(in)) ready |= POLLIN;
    if (end) ready |= POLLRDHUP;
    if (no_reader || PIPE_BYTES - pipe_used(out) >= PIPE_BUF_BYTES) ready |= POLLOUT;
    if (end && no_reader) ready |= POLLHUP;
    c->result = (ready & (c->flags | POLLHUP)) |
                POLL_CHANGE(in->tail + out->head + end + no_reader);
    return S_OK;
}

static status_t socket_call(struct object *o, struct p9_call *c) {
    struct socket *s = CONTAINER_OF(o, struct socket, object);
    switch (c->type) {
    case P9_TREAD: return socket_read(s, c);
    case P9_TWRITE: return socket_write(s, c);
    case P9_TPOLL: return socket_poll(s, c);
    case P9_TGETATTR: {
        const status_t status = s->in->object.ops->call(&s->in->object, c);
        c->attr.mode = S_IFSOCK | 0777;
        return status;
    }
    case P9_TSETATTR: return S_OK;
    case P9_TLOPEN: return E_NXIO;
    case P9_TIOCTL:
        if (c->flags == SOCKET_IOC_SHUTDOWN) return socket_shut(s, c->value);
        return s->in->object.ops->call(&s->in->object, c);
    case P9_TCLUNK: return socket_shut(s, SHUT_BOTH);
    case P9_TFSYNC: return E_INVAL;
    case P9_TPAGE: return E_NODEV;
    default: return E_OPNOTSUPP;
    }
}

static void socket_release(struct object *o) {
    struct socket *s = CONTAINER_OF(o, struct socket, object);
    object_put(&s->in->object);
    object_put(&s->out->object);
    kmem_free(s, sizeof *s);
}

static const struct object_ops socket_ops = {"socket", socket_call, socket_release};

// One end over those two ends of pipes, whose references it takes, also where it fails.
static status_t socket_make(struct object *in, struct object *out, struct object **made) {
    struct socket *s = kmem_alloc(sizeof *s);
    const status_t status = s ? object_add(&s->object, &socket_ops) : E_NOMEM;
    if (status != S_OK) {
        if (s) kmem_free(s, sizeof *s);
        object_put(in);
        object_put(out);
        return status;
    }
    s->in = CONTAINER_OF(in, struct pipe_end, object);
    s->out = CONTAINER_OF(out, struct pipe_end, object);
    *made = &s->object;
    return S_OK;
}

// Makes a pair: what is written to one is read from the other. files_lock held.
status_t socket_pair_make(struct object *out[2]) {
    struct object *read_end[2], *write_end[2];
    status_t s = pipe_make(&read_end[0], &write_end[0]);
    if (s != S_OK) return s;
    if ((s = pipe_make(&read_end[1], &write_end[1])) != S_OK) {
        object_put(read_end[0]);
        object_put(write_end[0]);
        return s;
    }
    s = socket_make(read_end[0], write_end[1], &out[0]);
    const status_t other = socket_make(read_end[1], write_end[0], &out[1]);
    if (s == S_OK && other != S_OK) object_put(out[0]);
    if (s != S_OK && other == S_OK) object_put(out[1]);
    return s != S_OK ? s : other;
}
