// Opening what a path leads to: permission, creation, and the two directories that no one server
// has whole, /mnt and /proc. Called by system calls and exec, for the process that runs. No lock
// of its own.
#include "kernel/path_priv.h"

#include "kernel/files/nodesfs.h"
#include "kernel/jobs.h"
#include "kernel/permission.h"
#include "kernel/proc_path.h"
#include "mm/kmem.h"

#define MOUNT_NAMES_BYTES 8192u          // of all nodes' mounts in one listing
#define OPEN_TRIES_MAX 8u                // walks of one open that finds a name made meanwhile

// The names in /mnt of the other nodes, as entries of Rreaddir.
static status_t mount_names(u8 *to, u64 size, u64 *len) {
    for (u32 n = 0; n < NODES_MAX; n++) {
        if (n == node_id || !(nodes_provider.member && nodes_provider.member(n))) continue;
        struct p9_call c = {.type = P9_TREADDIR, .object = object_mounts_id(n),
                            .count = MIN(size - *len, 1024u), .data.buffer = to + *len};
        const status_t s = file_call(&c);
        if (s == S_RESTART) return s;
        if (s == S_OK) *len += c.result;
    }
    return S_OK;
}

static status_t open_mounts(struct p9_call *c) {
    u8 *names = kmem_alloc(MOUNT_NAMES_BYTES);
    if (!names) return E_NOMEM;
    c->object = object_mounts_id(node_id);
    status_t s = mount_names(names, MOUNT_NAMES_BYTES, &c->count);
    c->data.buffer = names;
    if (s == S_OK) s = file_call(c);
    kmem_free(names, MOUNT_NAMES_BYTES);
    return s;
}

// /dev/tty: the caller's controlling terminal, wherever that is.
static status_t to_own_terminal(struct proc *p, struct path *w) {
    const struct object_id own = proc_desc(p)->tty;
    if (!own.generation) return E_NXIO;
    const status_t s = object_ref(own);
    if (s == S_OK) path_move_to(w, own);
    return s == E_BADF ? E_NXIO : s;             // it has ended
}

// A session's leader without a terminal that opens a free one has it. One of this node has seen to
// that (terminal_opened); one of another node is asked.
static status_t take_opened(struct proc *p, const struct path *w, u32 flags,
                            struct object_id made) {
    const struct proc_desc *d = proc_desc(p);
    const bool wants = d->sid == d->pid && !d->tty.generation && !(flags & (O_NOCTTY | O_PATH));
    if (!wants || made.node == node_id || (w->attr.mode & S_IFMT) != S_IFCHR) return S_OK;
    const status_t s = job_take_terminal(p, made, 0);
    return s == S_RESTART ? s : S_OK;            // it is none, or not free
}

static status_t open_object(struct proc *p, struct path *w, u32 flags, struct object_id *made) {
    if (object_id_equal(w->object, tty_device_id())) {
        const status_t found = to_own_terminal(p, w);
        if (found != S_OK) return found;
    }
    struct p9_call c = {.type = P9_TLOPEN, .object = w->object, .flags = flags,
                        .pid = proc_desc(p)->pid};
    status_t s = object_is_mounts(w->object) ? open_mounts(&c)
               : path_is_proc(w) ? proc_path_open(&c) : file_call(&c);
    if (s == S_OK) s = take_opened(p, w, flags, c.made);
    if (s == S_RESTART && c.made.generation) object_clunk(c.made);
    *made = c.made;
    return s;
}

// Whether p may open what the walk has come to. E_ACCES; E_PERM: O_NOATIME is its owner's.
static status_t may_open(const struct proc *p, const struct path *w, u32 flags) {
    const u32 type = w->attr.mode & S_IFMT, wanted = permission_of_open(flags);
    const struct cred who = cred_effective(p);
    if (type == S_IFLNK || (type == S_IFDIR && (wanted & MAY_WRITE))) return S_OK;   // its errors
    const status_t s = permission_file(&who, &w->attr, wanted);
    if (s != S_OK || !wanted || !(flags & O_NOATIME)) return s;
    return who.uid == 0 || who.uid == w->attr.uid ? S_OK : E_PERM;
}

// A server of a user program has no word for whose a new file is: it is told. made: the file.
status_t path_give(const struct proc *p, struct object_id made) {
    const u32 uid = proc_desc(p)->euid;
    if (uid == 0 || !object_is_user(made)) return S_OK;
    struct p9_call c = {.type = P9_TSETATTR, .object = made,
                        .attr = {.valid = P9_SETATTR_UID, .uid = uid}};
    return file_call(&c) == S_RESTART ? S_RESTART : S_OK;
}

static status_t open_walked(struct proc *p, struct path *w, u32 flags, u32 mode,
                            struct object_id *made) {
    const bool user = proc_desc(p)->euid != 0;
    status_t s = S_OK;
    if (!w->missing) {
        if ((flags & O_CREAT) && (flags & O_EXCL)) return E_EXIST;
        if ((flags & O_CREAT) && (w->attr.mode & S_IFMT) == S_IFDIR) return E_ISDIR;
        if (user) s = may_open(p, w, flags);
        return s == S_OK ? open_object(p, w, flags, made) : s;
    }
    if (w->want_dir) return E_ISDIR;
    if (user) {
        const struct cred who = cred_effective(p);
        s = path_attr(w);
        if (s == S_OK) s = permission_file(&who, &w->attr, MAY_WRITE | MAY_EXEC);
        if (s != S_OK) return s;
    }
    struct p9_call c = {.type = P9_TLCREATE, .object = w->object, .name = w->last, .flags = flags,
                        .mode = mode & ~proc_desc(p)->umask, .pid = proc_desc(p)->pid};
    s = file_call(&c);
    if (s == S_OK) s = path_give(p, c.made);
    if (s == S_RESTART && c.made.generation) object_clunk(c.made);
    *made = c.made;
    return s;
}

// Opens a name, making the file where O_CREAT says so; out->object names the open description.
// Walk and create are two calls: a name that somebody made between them is walked again, and
// so is a file of a process that moved between walk and open.
status_t path_open(struct proc *p, int dirfd, const char *name, u32 flags, u32 mode,
                   struct opened *out) {
    struct path *w = kmem_alloc(sizeof *w);
    if (!w) return E_NOMEM;
    const bool excl = (flags & O_CREAT) && (flags & O_EXCL);
    u32 walk = ((flags & O_NOFOLLOW) || excl ? 0 : PATH_FOLLOW) |
               (flags & O_CREAT ? PATH_MAY_LACK : 0);
    status_t s = E_EXIST;
    for (u32 i = 0; i < OPEN_TRIES_MAX && (s == E_EXIST || s == E_SRCH); i++) {
        s = path_walk(p, dirfd, name, walk, w);
        if (s != S_OK) break;
        s = open_walked(p, w, flags, mode, &out->object);
        out->pipe = !w->missing && (w->attr.mode & S_IFMT) == S_IFIFO;
        object_clunk(w->object);
        if (excl || (!w->missing && s != E_SRCH)) break;
    }
    kmem_free(w, sizeof *w);
    return s;
}
