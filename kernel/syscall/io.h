// What the calls on open handles share (kernel/syscall/io.c, pipe.c).
#pragma once

#include "kernel/proc.h"

#define IOV_MAX 1024u
enum io_dir { IO_READ, IO_WRITE };

// One read or write: a[0] the handle, a[1] the user's address, a[2] bytes. Linux's result, or
// S_RESTART.
i64 io_one(struct proc *p, const u64 *a, u64 offset, enum io_dir dir);
i64 io_vector(struct proc *p, const u64 *a, u64 offset, enum io_dir dir);   // a[2] vectors
// Two open descriptions as two handles, whose numbers go to uva, which is pinned.
i64 io_pair_install(struct proc *p, u64 uva, const struct object_id made[2], u32 handle_flags);
