// Asking objects whether they are ready: what poll, select and epoll share.
#pragma once

#include "kernel/syscall/syscall.h"

struct poll_answer { u32 ready, change; };   // POLL bits; see POLL_CHANGE_SHIFT
// How far a call has gone into sets of epoll: through how many in each other, to how many members.
struct poll_walk { u32 depth, looks; };

// kernel/syscall/poll.c. S_RESTART: its node has been asked; E_BADF: it is gone; E_LOOP: more
// members of sets than one call looks at.
status_t poll_object(struct proc *p, struct object_id object, u32 events, struct poll_walk *walk,
                     struct poll_answer *out);
// Waits until look(ctx, &count) counts something ready, or an error; S_RESTART: nodes were asked.
i64 poll_until(struct proc *p, status_t (*look)(void *ctx, u32 *count), void *ctx, u64 timeout_ns);
status_t poll_mask(struct proc *p, u64 uva, u64 size_bytes);
// kernel/syscall/epoll.c. Of a set: POLLIN where one of its members is ready.
status_t epoll_ready(struct proc *p, struct object_id set, struct poll_walk *walk,
                     struct poll_answer *out);
