// Asking objects whether they are ready: what poll, select and epoll share.
#pragma once

#include "kernel/syscall/syscall.h"

struct poll_answer { u32 ready, change; };   // POLL bits; see POLL_CHANGE_SHIFT

// kernel/syscall/poll.c. S_RESTART: its node has been asked; E_BADF: it is gone.
status_t poll_object(struct proc *p, struct object_id object, u32 events, u32 depth,
                     struct poll_answer *out);
status_t poll_mask(struct proc *p, u64 uva, u64 size_bytes);
// kernel/syscall/epoll.c. Of a set: POLLIN where one of its members is ready.
status_t epoll_ready(struct proc *p, struct object_id set, u32 depth, struct poll_answer *out);
