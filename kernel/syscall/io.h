// What the calls on open handles share (kernel/syscall/io.c).
#pragma once

#include "kernel/proc.h"

enum io_dir { IO_READ, IO_WRITE };

// One read or write: a[0] the handle, a[1] the user's address, a[2] bytes. Linux's result, or
// S_RESTART.
i64 io_one(struct proc *p, const u64 *a, u64 offset, enum io_dir dir);
