// System calls on user and group ids: a real, an effective and a saved one each, supplementary
// groups, and capabilities as far as user 0 has all of them and nobody else any. The threads of a
// process share them (kernel/thread.c), so the C library's setuid, which asks for it in every
// thread, changes nothing the second time.
// Spec: Linux credentials(7), setresuid(2), setgroups(2), capget(2).
#include "kernel/syscall/syscall.h"

#define ID_KEEP 0xffffffffu                  // -1: as it is
#define CAPABILITY_VERSION_3 0x20080522u
#define CAPABILITIES 0x1ffffffffffull        // the 41 that Linux 6.1 knows

SYSCALL(getuid) { UNUSED(a); return proc_desc(p)->uid; }
SYSCALL(geteuid) { UNUSED(a); return proc_desc(p)->euid; }
SYSCALL(getgid) { UNUSED(a); return proc_desc(p)->gid; }
SYSCALL(getegid) { UNUSED(a); return proc_desc(p)->egid; }

struct ids { u32 real, effective, saved; };

static struct ids uids_of(const struct proc_desc *d) {
    return (struct ids){d->uid, d->euid, d->suid};
}
static struct ids gids_of(const struct proc_desc *d) {
    return (struct ids){d->gid, d->egid, d->sgid};
}
static void uids_set(struct proc_desc *d, struct ids to) {
    d->uid = to.real, d->euid = to.effective, d->suid = to.saved;
}
static void gids_set(struct proc_desc *d, struct ids to) {
    d->gid = to.real, d->egid = to.effective, d->sgid = to.saved;
}

static bool has(const struct ids *ids, u32 id) {
    return id == ID_KEEP || id == ids->real || id == ids->effective || id == ids->saved;
}

// setuid, setgid: user 0 sets all three. E_INVAL, E_PERM.
static status_t set_one(bool root, struct ids *ids, u32 id) {
    if (id == ID_KEEP) return E_INVAL;
    if (root) *ids = (struct ids){id, id, id};
    else if (id == ids->real || id == ids->saved) ids->effective = id;
    else return E_PERM;
    return S_OK;
}

static status_t set_three(bool root, struct ids *ids, const u64 *a) {
    const u32 real = (u32)a[0], effective = (u32)a[1], saved = (u32)a[2];
    if (!root && !(has(ids, real) && has(ids, effective) && has(ids, saved))) return E_PERM;
    if (real != ID_KEEP) ids->real = real;
    if (effective != ID_KEEP) ids->effective = effective;
    if (saved != ID_KEEP) ids->saved = saved;
    return S_OK;
}

// setreuid, setregid: the saved id follows where the real one is set, or the effective one to
// another than the real one was.
static status_t set_two(bool root, struct ids *ids, u32 real, u32 effective) {
    const struct ids old = *ids;
    if (!root && real != ID_KEEP && real != old.real && real != old.effective) return E_PERM;
    if (!root && !has(&old, effective)) return E_PERM;
    if (real != ID_KEEP) ids->real = real;
    if (effective != ID_KEEP) ids->effective = effective;
    if (real != ID_KEEP || (effective != ID_KEEP && effective != old.real))
        ids->saved = ids->effective;
    return S_OK;
}

static bool is_root(const struct proc_desc *d) { return d->euid == 0; }

SYSCALL(setuid) {
    struct proc_desc *d = proc_desc(p);
    struct ids ids = uids_of(d);
    const status_t s = set_one(is_root(d), &ids, (u32)a[0]);
    if (s == S_OK) uids_set(d, ids);
    return s;
}
SYSCALL(setgid) {
    struct proc_desc *d = proc_desc(p);
    struct ids ids = gids_of(d);
    const status_t s = set_one(is_root(d), &ids, (u32)a[0]);
    if (s == S_OK) gids_set(d, ids);
    return s;
}
SYSCALL(setreuid) {
    struct proc_desc *d = proc_desc(p);
    struct ids ids = uids_of(d);
    const status_t s = set_two(is_root(d), &ids, (u32)a[0], (u32)a[1]);
    if (s == S_OK) uids_set(d, ids);
    return s;
}
SYSCALL(setregid) {
    struct proc_desc *d = proc_desc(p);
    struct ids ids = gids_of(d);
    const status_t s = set_two(is_root(d), &ids, (u32)a[0], (u32)a[1]);
    if (s == S_OK) gids_set(d, ids);
    return s;
}
SYSCALL(setresuid) {
    struct proc_desc *d = proc_desc(p);
    struct ids ids = uids_of(d);
    const status_t s = set_three(is_root(d), &ids, a);
    if (s == S_OK) uids_set(d, ids);
    return s;
}
SYSCALL(setresgid) {
    struct proc_desc *d = proc_desc(p);
    struct ids ids = gids_of(d);
    const status_t s = set_three(is_root(d), &ids, a);
    if (s == S_OK) gids_set(d, ids);
    return s;
}

static i64 ids_out(struct proc *p, const u64 *a, struct ids ids) {
    status_t s = user_write(p, a[0], &ids.real, 4);
    if (s == S_OK) s = user_write(p, a[1], &ids.effective, 4);
    return s == S_OK ? user_write(p, a[2], &ids.saved, 4) : s;
}
SYSCALL(getresuid) { return ids_out(p, a, uids_of(proc_desc(p))); }
SYSCALL(getresgid) { return ids_out(p, a, gids_of(proc_desc(p))); }

SYSCALL(getgroups) {
    const struct proc_paths *ids = paths_of(p);
    const i32 size = (i32)a[0];
    if (size < 0) return E_INVAL;
    if (size == 0) return ids->group_count;
    if ((u32)size < ids->group_count) return E_INVAL;
    const status_t s = user_write(p, a[1], ids->group, ids->group_count * sizeof(u32));
    return s == S_OK ? (i64)ids->group_count : s;
}
SYSCALL(setgroups) {
    struct proc_paths *ids = paths_of(p);
    u32 group[PROC_GROUPS_MAX];
    const u32 count = (u32)a[0];
    if (!is_root(proc_desc(p))) return E_PERM;
    if (count > PROC_GROUPS_MAX) return E_INVAL;
    const status_t s = user_read(p, a[1], group, count * sizeof(u32));
    if (s != S_OK) return s;
    for (u32 i = 0; i < count; i++) ids->group[i] = group[i];
    ids->group_count = count;
    return 0;
}

struct cap_head { u32 version; i32 pid; };
struct cap_data { u32 effective, permitted, inheritable; };

static void caps_of(const struct proc_desc *d, struct cap_data caps[2]) {
    const u64 effective = d->euid ? 0 : CAPABILITIES;
    const u64 permitted = d->uid && d->euid && d->suid ? 0 : CAPABILITIES;
    for (u32 i = 0; i < 2; i++)
        caps[i] = (struct cap_data){(u32)(effective >> 32 * i), (u32)(permitted >> 32 * i), 0};
}

// The header; *known: its version is the one we have, else ours is told instead.
static status_t cap_head_read(struct proc *p, u64 uva, struct cap_head *head, bool *known) {
    const u32 ours = CAPABILITY_VERSION_3;
    const status_t s = user_read(p, uva, head, sizeof *head);
    *known = s == S_OK && head->version == ours;
    return s == S_OK && !*known ? user_write(p, uva, &ours, sizeof ours) : s;
}

SYSCALL(capget) {
    struct cap_head head;
    struct cap_data caps[2];
    bool known;
    const status_t s = cap_head_read(p, a[0], &head, &known);
    if (s != S_OK) return s;
    if (!known) return a[1] ? E_INVAL : 0;
    if (head.pid < 0) return E_INVAL;
    spin_lock(&proc_lock);
    const struct proc *t = head.pid ? proc_find((u32)head.pid) : p;
    if (t) caps_of(proc_desc(t), caps);
    spin_unlock(&proc_lock);
    if (!t) return E_SRCH;
    return a[1] ? user_write(p, a[1], caps, sizeof caps) : 0;
}

// Nothing can be given up one by one: what is asked for must be what there is.
SYSCALL(capset) {
    struct cap_head head;
    struct cap_data want[2], caps[2];
    bool known;
    status_t s = cap_head_read(p, a[0], &head, &known);
    if (s != S_OK) return s;
    if (!known) return E_INVAL;
    if (head.pid && (u32)head.pid != proc_desc(p)->pid) return E_PERM;
    s = user_read(p, a[1], want, sizeof want);
    if (s != S_OK) return s;
    caps_of(proc_desc(p), caps);
    for (u32 i = 0; i < 2; i++)
        if (want[i].effective != caps[i].effective || want[i].permitted != caps[i].permitted)
            return E_PERM;
    return 0;
}
