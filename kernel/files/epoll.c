// epoll's sets: which open descriptions are in one, and what was reported of them. Whether a
// member is ready is asked by the process that waits (kernel/syscall/epoll.c), since members
// may be on other nodes. Called through file_call; lock: files_lock.
// Spec: epoll(7).
#include "base/string.h"
#include "kernel/files/events.h"
#include "mm/kmem.h"

#define EPOLL_MEMBERS_MAX 1024u
#define EPOLL_MEMBERS_FIRST 16u

struct epoll {
    struct object object;
    struct epoll_member *members;    // [size]
    u32 count, size;
    u32 turn;                        // where a listing begins: all get their turn
    u32 depth;                       // of the sets it lies in, and never less: they do not say
                                     // when they are gone
};

static struct epoll_member *member_find(const struct epoll *e, struct object_id object, i32 fd) {
    for (u32 i = 0; i < e->count; i++) {
        struct epoll_member *m = &e->members[i];
        if (m->fd == fd && object_id_equal(m->object, object)) return m;
    }
    return NULL;
}

// Those who wait on this set ask again what is in it.
static void changed(void) {
    struct wait_list nobody = WAIT_LIST_INIT(nobody);
    file_wake(&nobody);
}

static status_t grow(struct epoll *e) {
    if (e->count < e->size) return S_OK;
    if (e->size == EPOLL_MEMBERS_MAX) return E_NOSPC;
    const u32 size = e->size ? e->size * 2 : EPOLL_MEMBERS_FIRST;
    struct epoll_member *m = kmem_alloc(size * sizeof *m);
    if (!m) return E_NOMEM;
    if (e->size) {
        memcpy(m, e->members, e->count * sizeof *m);
        kmem_free(e->members, e->size * sizeof *m);
    }
    e->members = m;
    e->size = size;
    return S_OK;
}

static status_t control(struct epoll *e, struct p9_call *c) {
    struct epoll_member m;
    if (c->count != sizeof m) return E_INVAL;
    data_get(c, 0, &m, sizeof m);
    struct epoll_member *old = member_find(e, m.object, m.fd);
    if (c->flags == EPOLL_IOC_ADD) {
        const status_t s = old ? E_EXIST : grow(e);
        if (s != S_OK) return s;
        old = &e->members[e->count++];
    } else if (!old) {
        return E_NOENT;
    }
    if (c->flags == EPOLL_IOC_DELETE) {
        *old = e->members[--e->count];
        return S_OK;
    }
    m.reported = 0;
    *old = m;
    changed();
    return S_OK;
}

static status_t list(struct epoll *e, struct p9_call *c) {
    const u64 room = c->count / sizeof *e->members;
    for (u64 i = 0; i < room && c->value + i < e->count; i++) {
        const u64 at = (e->turn + c->value + i) % e->count;
        data_put(c, i * sizeof *e->members, &e->members[at], sizeof *e->members);
    }
    c->result = c->value < e->count ? e->count - c->value : 0;
    return S_OK;
}

// What may be reported of a member: an edge once, a one-shot once until it is armed again.
static bool claim(struct epoll_member *m, u32 change) {
    if (!m || !(m->events & ~EPOLL_FLAGS)) return false;
    if ((m->events & EPOLLET) && m->reported && m->change == change) return false;
    m->reported = 1;
    m->change = change;
    if (m->events & EPOLLONESHOT) m->events &= EPOLL_FLAGS;
    return true;
}

static status_t claims(struct epoll *e, struct p9_call *c) {
    struct epoll_claim one;
    if (c->count % sizeof one || c->count / sizeof one > EPOLL_BATCH) return E_INVAL;
    c->result = 0;
    for (u64 i = 0; i < c->count / sizeof one; i++) {
        data_get(c, i * sizeof one, &one, sizeof one);
        if (!claim(member_find(e, one.object, one.fd), one.change)) continue;
        c->result |= BIT(i);
        e->turn++;
    }
    return S_OK;
}

static status_t epoll_ioctl(struct epoll *e, struct p9_call *c) {
    switch (c->flags) {
    case EPOLL_IOC_ADD: case EPOLL_IOC_MODIFY: case EPOLL_IOC_DELETE: return control(e, c);
    case EPOLL_IOC_LIST: return list(e, c);
    case EPOLL_IOC_CLAIM: return claims(e, c);
    case EPOLL_IOC_NEST: e->depth = (u32)MAX(e->depth, c->value); return S_OK;
    default: return E_NOTTY;
    }
}

static status_t epoll_call(struct object *o, struct p9_call *c) {
    struct epoll *e = CONTAINER_OF(o, struct epoll, object);
    switch (c->type) {
    case P9_TIOCTL: return epoll_ioctl(e, c);
    case P9_TPOLL: c->result = POLL_MEMBERS | POLL_CHANGE(e->depth); return S_OK;
    case P9_TREAD: case P9_TWRITE: case P9_TFSYNC: return E_INVAL;
    case P9_TGETATTR:
        c->attr = (struct p9_attr){.valid = P9_GETATTR_BASIC, .mode = 0600, .nlink = 1,
                                   .blksize = PAGE_SIZE};
        return S_OK;
    case P9_TSETATTR: case P9_TCLUNK: return S_OK;
    case P9_TPAGE: return E_NODEV;
    default: return E_OPNOTSUPP;
    }
}

static void epoll_release(struct object *o) {
    struct epoll *e = CONTAINER_OF(o, struct epoll, object);
    if (e->size) kmem_free(e->members, e->size * sizeof *e->members);
    kmem_free(e, sizeof *e);
}

static const struct object_ops epoll_ops = {"epoll", epoll_call, epoll_release};

// Makes an empty set. files_lock held.
status_t epoll_make(struct object **out) {
    struct epoll *e = kmem_alloc(sizeof *e);
    if (!e) return E_NOMEM;
    const status_t s = object_add(&e->object, &epoll_ops);
    if (s != S_OK) {
        kmem_free(e, sizeof *e);
        return s;
    }
    *out = &e->object;
    return S_OK;
}
