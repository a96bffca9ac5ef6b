// Groups and sessions over nodes: whose group a process of another node is in, and who may set
// that. Contracts stand above the definitions in kernel/family.c.
#pragma once

#include "kernel/files/object.h"

// Requests of our own on /proc of a node, by P9_TIOCTL; `value`: the process or the group meant.
enum family_op {
    FAMILY_SET = 0x69460001,         // its group, asked for by itself or its parent
    FAMILY_GET = 0x69460002,         // which group and session it is in
    FAMILY_GROUP = 0x69460003,       // of which session a group is, 0: unknown there
    FAMILY_CHILD = 0x69460004,       // its child, who asks, is in that group and session now
    FAMILY_KEPT = 0x69460005,        // whether a process there could continue a group that stops
};
// The answer may be another one soon: a process that moves cannot be asked.
static inline bool family_asks_again(const struct p9_call *c) {
    return c->type == P9_TIOCTL && c->status == E_AGAIN && c->flags >= FAMILY_SET &&
           c->flags <= FAMILY_KEPT;
}

status_t family_answer(struct p9_call *c);
status_t family_set_group(struct proc *p, u32 pid, u32 pgid);
status_t family_new_session(struct proc *p);
status_t family_get(u32 pid, u32 *pgid, u32 *sid);
status_t family_group(u32 pgid, u32 *sid);
status_t family_kept(const struct proc *p, bool *kept);
