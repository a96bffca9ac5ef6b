// Permissions of files. Pure: ids and attributes in, a status out. Called by kernel/path.c for
// each name that is walked, and by the system calls on names (kernel/syscall/fs.c) and exec. User
// 0 may do all but execute what nobody may.
// Spec: POSIX.1 4.5 (file access permissions), Linux path_resolution(7), chown(2), chmod(2).
#include "kernel/permission.h"

#include "base/bits.h"
#include "kernel/files/object.h"
#include "mm/frame.h"

#define S_ISUID 04000u
#define S_ISGID 02000u
#define S_ISVTX 01000u
#define S_IXGRP 010u

static const struct proc_paths *ids_of(const struct proc *p) {
    return phys_to_virt(paddr(proc_desc(p)->aux[PROC_AUX_PATHS]));
}

static struct cred cred_of(const struct proc *p, u32 uid, u32 gid) {
    const struct proc_paths *ids = ids_of(p);
    return (struct cred){uid, gid, MIN(ids->group_count, (u32)PROC_GROUPS_MAX), ids->group};
}
struct cred cred_effective(const struct proc *p) {
    return cred_of(p, proc_desc(p)->euid, proc_desc(p)->egid);
}
struct cred cred_real(const struct proc *p) {
    return cred_of(p, proc_desc(p)->uid, proc_desc(p)->gid);
}

bool cred_in_group(const struct cred *who, u32 gid) {
    if (who->gid == gid) return true;
    for (u32 i = 0; i < who->group_count; i++)
        if (who->group[i] == gid) return true;
    return false;
}

// Whether `who` may use a file or directory in the ways of `wanted` (MAY_*; of a directory
// MAY_EXEC is to search it). E_ACCES.
status_t permission_file(const struct cred *who, const struct p9_attr *file, u32 wanted) {
    const bool dir = (file->mode & S_IFMT) == S_IFDIR;
    u32 has = file->mode & 7;
    if (who->uid == 0) has = dir || (file->mode & 0111) ? 7 : 6;
    else if (who->uid == file->uid) has = file->mode >> 6 & 7;
    else if (cred_in_group(who, file->gid)) has = file->mode >> 3 & 7;
    return wanted & ~has ? E_ACCES : S_OK;
}

// Whether `who` may take the name of `file` out of `dir`. E_ACCES; E_PERM: the directory is
// sticky, and neither it nor the file is theirs.
status_t permission_remove(const struct cred *who, const struct p9_attr *dir,
                           const struct p9_attr *file) {
    const status_t s = permission_file(who, dir, MAY_WRITE | MAY_EXEC);
    if (s != S_OK || !(dir->mode & S_ISVTX) || who->uid == 0) return s;
    return who->uid == file->uid || who->uid == dir->uid ? S_OK : E_PERM;
}

static bool sets_own_times(const struct p9_attr *set) {
    return (set->valid & (P9_SETATTR_ATIME_SET | P9_SETATTR_MTIME_SET)) != 0 ||
           !(set->valid & P9_SETATTR_ATIME) != !(set->valid & P9_SETATTR_MTIME);
}

// Whether `who` may make the change *set (Tsetattr's) to `file`; bits of the mode that the change
// costs are taken from it. A new size is not judged here. E_PERM; E_ACCES: times set to now of a
// file that is not theirs to write.
status_t permission_set(const struct cred *who, const struct p9_attr *file, struct p9_attr *set) {
    const bool owner = who->uid == 0 || who->uid == file->uid;
    const u64 times = P9_SETATTR_ATIME | P9_SETATTR_MTIME;
    if ((set->valid & P9_SETATTR_MODE) && !owner) return E_PERM;
    if ((set->valid & P9_SETATTR_UID) && who->uid && (!owner || set->uid != file->uid))
        return E_PERM;
    if ((set->valid & P9_SETATTR_GID) && who->uid &&
        (!owner || (set->gid != file->gid && !cred_in_group(who, set->gid)))) return E_PERM;
    if ((set->valid & times) && !owner) {
        if (sets_own_times(set)) return E_PERM;
        if (permission_file(who, file, MAY_WRITE) != S_OK) return E_ACCES;
    }
    if ((set->valid & P9_SETATTR_MODE) && who->uid && !cred_in_group(who, file->gid))
        set->mode &= ~S_ISGID;
    const u32 ids = S_ISUID | (file->mode & S_IXGRP ? S_ISGID : 0);
    const bool chown = (set->valid & (P9_SETATTR_UID | P9_SETATTR_GID)) != 0;
    if (chown && (file->mode & S_IFMT) == S_IFREG && (file->mode & ids)) {
        set->valid |= P9_SETATTR_MODE;
        set->mode = file->mode & 07777 & ~ids;
    }
    return S_OK;
}

// Whether a process of the (effective or real) user uid may send a signal to that one.
bool permission_signal(u32 uid, const struct proc_desc *to) {
    return uid == 0 || uid == to->uid || uid == to->suid;
}

// What an open with these O_ flags asks for.
u32 permission_of_open(u32 flags) {
    static const u32 of_mode[] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, MAY_READ | MAY_WRITE};
    if (flags & O_PATH) return 0;
    return of_mode[flags & O_ACCMODE] | (flags & O_TRUNC ? MAY_WRITE : 0);
}
