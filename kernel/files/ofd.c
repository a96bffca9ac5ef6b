// Open file descriptions: an offset and status flags over a file object. Shared by
// every handle that dup or fork made. Called through file_call; lock: files_lock.
#include "kernel/files/locks.h"
#include "kernel/files/ofd.h"
#include "kernel/files/pipe.h"
#include "kernel/files/socket.h"
#include "kernel/remote_drive.h"
#include "mm/kmem.h"

static status_t ofd_io(struct ofd *f, struct p9_call *c) {
    bool write = c->type == P9_TWRITE;
    u32 mode = f->flags & O_ACCMODE;
    if ((f->flags & O_PATH) || mode == (write ? 0u : (u32)O_WRONLY)) return E_BADF;
    bool own = c->offset == P9_OFFSET_CURRENT;
    if (own) c->offset = f->offset;
    if (write && (f->flags & O_APPEND)) {
        struct p9_call a = {.type = P9_TGETATTR};
        status_t s = f->file->ops->call(f->file, &a);
        if (s != S_OK) return s;
        c->offset = a.attr.size;
    }
    c->flags = f->flags;
    status_t s = f->file->ops->call(f->file, c);
    if (s == S_OK && own) {
        f->offset = c->type == P9_TREADDIR ? (c->result ? c->value : c->offset)
                                           : c->offset + c->result;
    }
    if (own) c->offset = P9_OFFSET_CURRENT;
    return s;
}

static status_t ofd_seek(struct ofd *f, struct p9_call *c) {
    struct p9_call a = {.type = P9_TGETATTR};
    status_t s = f->file->ops->call(f->file, &a);
    if (s != S_OK) return s;
    u32 type = a.attr.mode & S_IFMT;
    if (type == S_IFIFO || type == S_IFSOCK || (type == S_IFCHR && a.attr.blksize == 1))
        return E_SPIPE;
    u64 base = 0;
    if (c->flags == 1) base = f->offset;
    else if (c->flags == 2) base = a.attr.size;
    else if (c->flags == 3 || c->flags == 4) {   // SEEK_DATA, SEEK_HOLE: no holes
        if (c->offset >= a.attr.size) return E_NXIO;
        base = c->flags == 4 ? a.attr.size - c->offset : 0;
    } else if (c->flags != 0) return E_INVAL;
    u64 at = base + c->offset;
    if ((i64)at < 0) return E_INVAL;
    f->offset = at;
    c->result = at;
    return S_OK;
}

static struct lock_place lock_place_of(const struct ofd *f) {
    return (struct lock_place){0, f->file->generation, (u64)f, f->flags & O_ACCMODE};
}

// A handle on o was closed by pid. files_lock held.
void ofd_closed(struct object *o, u32 pid) {
    if (o->ops != &ofd_ops) return;
    const struct lock_place at = lock_place_of(CONTAINER_OF(o, struct ofd, object));
    locks_closed(&at, pid);
}

static status_t ofd_lock(struct ofd *f, struct p9_call *c) {
    const struct lock_place at = lock_place_of(f);
    return f->flags & O_PATH ? E_BADF : locks_call(&at, c);
}

static status_t ofd_call(struct object *o, struct p9_call *c) {
    struct ofd *f = CONTAINER_OF(o, struct ofd, object);
    switch (c->type) {
    case P9_TLOCK: case P9_TGETLOCK: return ofd_lock(f, c);
    case P9_TREAD: case P9_TWRITE: return ofd_io(f, c);
    case P9_TREADDIR: return ofd_io(f, c);
    case P9_TSEEK: return ofd_seek(f, c);
    case P9_TGETFL:
        c->flags = f->flags & ~(u32)O_EXCL;
        return S_OK;
    case P9_TSETFL:
        f->flags = (f->flags & ~(u32)(O_APPEND | O_NONBLOCK)) |
                   (c->flags & (O_APPEND | O_NONBLOCK));
        return S_OK;
    case P9_TWALK:                               // a clone: the file itself
        if (c->name) break;
        object_get(f->file);
        c->made = object_id_of(f->file);
        return S_OK;
    case P9_TFSYNC: c->flags = f->flags; break;
    case P9_TIOCTL:                              // what it tells replaces reads
        if (c->flags == DRIVE_IOC_MAP && (f->flags & O_ACCMODE) == O_WRONLY) return E_BADF;
        if (c->flags == PIPE_IOC_PARTNER) c->value = f->since;
        break;
    case P9_TPOLL: c->value = f->since; break;
    case P9_TSETATTR:
        if ((c->attr.valid & P9_SETATTR_SIZE) && (f->flags & O_ACCMODE) == 0) return E_INVAL;
        break;
    default: break;
    }
    return f->file->ops->call(f->file, c);
}

static void ofd_release(struct object *o) {
    struct ofd *f = CONTAINER_OF(o, struct ofd, object);
    struct p9_call c = {.type = P9_TCLUNK, .flags = f->flags};
    locks_description_gone((u64)f);
    (void)f->file->ops->call(f->file, &c);       // pipes count their ends
    object_put(f->file);
    kmem_free(f, sizeof *f);
}

const struct object_ops ofd_ops = {"ofd", ofd_call, ofd_release};

// Makes an open file description over `file` (takes a reference of its own) and names
// it in c->made. files_lock held. E_NOMEM, E_NFILE.
status_t ofd_open(struct object *file, u32 flags, struct p9_call *c) {
    struct ofd *f = kmem_alloc(sizeof *f);
    if (!f) return E_NOMEM;
    status_t s = object_add(&f->object, &ofd_ops);
    if (s != S_OK) {
        kmem_free(f, sizeof *f);
        return s;
    }
    object_get(file);
    f->file = file;
    f->object.kind = file->kind;
    f->flags = flags & (O_ACCMODE | O_EXCL | O_APPEND | O_NONBLOCK | O_DIRECTORY | O_PATH);
    c->made = object_id_of(&f->object);
    return S_OK;
}
