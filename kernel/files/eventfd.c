// eventfd: a counter that is written to and read from, and waited for. Called through
// file_call; lock: files_lock.
// Spec: eventfd(2).
#include "kernel/files/events.h"
#include "mm/kmem.h"

#define EVENTFD_MAX (~0ull - 1)

struct eventfd {
    struct object object;
    u64 count;
    bool semaphore;                  // a read takes one
    u32 changes;                     // reads and writes
    struct wait_list readers, writers;
};

static status_t eventfd_read(struct eventfd *e, struct p9_call *c) {
    if (c->count < sizeof e->count) return E_INVAL;
    if (e->count == 0) {
        if (c->flags & O_NONBLOCK) return E_AGAIN;
        file_wait(&e->readers);
        return S_RESTART;
    }
    const u64 value = e->semaphore ? 1 : e->count;
    e->count -= value;
    e->changes++;
    c->result = data_put(c, 0, &value, sizeof value);
    file_wake(&e->writers);
    return S_OK;
}

static status_t eventfd_write(struct eventfd *e, struct p9_call *c) {
    u64 value = 0;
    if (c->count < sizeof value) return E_INVAL;
    data_get(c, 0, &value, sizeof value);
    if (value == ~0ull) return E_INVAL;
    if (value > EVENTFD_MAX - e->count) {
        if (c->flags & O_NONBLOCK) return E_AGAIN;
        file_wait(&e->writers);
        return S_RESTART;
    }
    e->count += value;
    e->changes++;
    c->result = sizeof value;
    file_wake(&e->readers);
    return S_OK;
}

static status_t eventfd_call(struct object *o, struct p9_call *c) {
    struct eventfd *e = CONTAINER_OF(o, struct eventfd, object);
    u32 ready = 0;
    switch (c->type) {
    case P9_TREAD: return eventfd_read(e, c);
    case P9_TWRITE: return eventfd_write(e, c);
    case P9_TPOLL:
        if (e->count > 0) ready |= POLLIN;
        if (e->count < EVENTFD_MAX) ready |= POLLOUT;
        c->result = (ready & c->flags) | POLL_CHANGE(e->changes);
        return S_OK;
    case P9_TGETATTR:
        c->attr = (struct p9_attr){.valid = P9_GETATTR_BASIC, .mode = 0600, .nlink = 1,
                                   .blksize = PAGE_SIZE};
        return S_OK;
    case P9_TSETATTR: case P9_TCLUNK: return S_OK;
    case P9_TIOCTL: return E_NOTTY;
    case P9_TFSYNC: return E_INVAL;
    case P9_TPAGE: return E_NODEV;
    default: return E_OPNOTSUPP;
    }
}

static void eventfd_release(struct object *o) {
    struct eventfd *e = CONTAINER_OF(o, struct eventfd, object);
    kmem_free(e, sizeof *e);
}

static const struct object_ops eventfd_ops = {"eventfd", eventfd_call, eventfd_release};

// Makes a counter. files_lock held.
//   semaphore  a read takes one instead of all
status_t eventfd_make(u64 count, bool semaphore, struct object **out) {
    struct eventfd *e = kmem_alloc(sizeof *e);
    if (!e) return E_NOMEM;
    const status_t s = object_add(&e->object, &eventfd_ops);
    if (s != S_OK) {
        kmem_free(e, sizeof *e);
        return s;
    }
    e->count = count;
    e->semaphore = semaphore;
    wait_list_init(&e->readers);
    wait_list_init(&e->writers);
    *out = &e->object;
    return S_OK;
}
