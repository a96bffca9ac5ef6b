// An open file description, for ofd.c and the short ways of pipes. Lock: files_lock.
#pragma once

#include "kernel/files/object.h"

struct ofd {
    struct object object;
    struct object *file;             // a reference
    u32 flags;                       // O_ACCMODE, O_EXCL, O_APPEND, O_NONBLOCK, O_DIRECTORY, O_PATH
    u64 offset;
    u64 since;                       // of a pipe: how often its other end had been opened, or 0
};

extern const struct object_ops ofd_ops;

// What the open description o is over. NULL: it is none, or its access mode is not_mode, or it
// was opened by O_PATH. files_lock held.
static inline struct object *ofd_file(const struct object *o, u32 not_mode) {
    if (o->ops != &ofd_ops) return NULL;
    const struct ofd *f = CONTAINER_OF(o, struct ofd, object);
    return (f->flags & O_PATH) || (f->flags & O_ACCMODE) == not_mode ? NULL : f->file;
}

// Whether an open description waits. files_lock held.
static inline bool ofd_blocks(const struct object *o) {
    return !(CONTAINER_OF(o, struct ofd, object)->flags & O_NONBLOCK);
}
