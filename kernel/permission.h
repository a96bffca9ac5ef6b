// Who may do what with a file, as Linux decides it: owner, group, others, sticky directories.
// Judged where the name is walked, by the attributes that each walk answers with, before the
// server is asked; each function's contract stands above its definition in kernel/permission.c.
#pragma once

#include "kernel/proc.h"
#include "proto/p9/p9.h"

enum { MAY_EXEC = 1, MAY_WRITE = 2, MAY_READ = 4 };      // as in the bits of a mode

// Who asks: of files by the effective ids, of access(2) by the real ones.
struct cred {
    u32 uid, gid, group_count;
    const u32 *group;                // supplementary groups
};

struct cred cred_effective(const struct proc *p);
struct cred cred_real(const struct proc *p);
bool cred_in_group(const struct cred *who, u32 gid);

status_t permission_file(const struct cred *who, const struct p9_attr *file, u32 wanted);
status_t permission_remove(const struct cred *who, const struct p9_attr *dir,
                           const struct p9_attr *file);
status_t permission_set(const struct cred *who, const struct p9_attr *file, struct p9_attr *set);
bool permission_signal(u32 uid, const struct proc_desc *to);
u32 permission_of_open(u32 flags);
