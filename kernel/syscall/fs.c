// System calls that take names: open, stat, directories, links, attributes. Each walks
// the name to an object (kernel/path.c) and makes one file call on it.
#include "base/string.h"
#include "kernel/files/pipe.h"
#include "kernel/files/socket.h"
#include "kernel/permission.h"
#include "kernel/syscall/syscall.h"
#include "mm/kmem.h"

#define AT_SYMLINK_NOFOLLOW 0x100u
#define AT_REMOVEDIR 0x200u
#define AT_SYMLINK_FOLLOW 0x400u
#define AT_EMPTY_PATH 0x1000u
#define AT_EACCESS 0x200u
#define RENAME_NOREPLACE 1u

enum open_step { OPEN_WALKS, OPEN_WAITS };       // wait.step; OPEN_WAITS: scratch[0] is the handle

// An end of a FIFO waits until somebody has the other one. It is a handle of p already, which goes
// where p goes and ends as p does, but nobody sees it before that.
static i64 open_wait(struct proc *p) {
    const i64 fd = (i64)proc_desc(p)->wait.scratch[0];
    struct handle *h = handle_any(p, fd);
    if (!h) return E_BADF;
    struct p9_call c = {.type = P9_TIOCTL, .object = h->object, .flags = PIPE_IOC_PARTNER};
    const status_t s = file_call(&c);
    if (s == S_RESTART) return s;
    h->flags &= ~HANDLE_OPENING;
    if (s == S_OK) return fd;
    handle_drop(p, fd);
    return s;
}

// What was opened becomes a handle. What calls to other nodes the open has made so far, is over:
// none is to be repeated from where p may have moved to.
static i64 open_install(struct proc *p, const struct opened *made, u32 flags) {
    const bool pipe = made->pipe && !(flags & O_PATH);
    const bool waits = pipe && !(flags & O_NONBLOCK) && (flags & O_ACCMODE) != O_RDWR;
    const i64 fd = handle_install(p, made->object,
                                  (flags & O_CLOEXEC ? HANDLE_CLOEXEC : 0) |
                                      (pipe ? HANDLE_PIPE : 0) | (waits ? HANDLE_OPENING : 0), 0);
    if (fd < 0) object_clunk(made->object);
    if (fd < 0 || !waits) return fd;
    struct proc_wait *w = &proc_desc(p)->wait;
    w->step = OPEN_WAITS;
    w->scratch[0] = (u64)fd;
    w->request_tag = 0;
    return open_wait(p);
}

static i64 do_open(struct proc *p, i32 dirfd, u64 name_uva, u32 flags, u32 mode) {
    if (proc_desc(p)->wait.step == OPEN_WAITS) return open_wait(p);
    char *name = kmem_alloc(P9_PATH_MAX);
    if (!name) return E_NOMEM;
    struct opened made;
    i64 r = user_read_string(p, name_uva, name, P9_PATH_MAX);
    if (r == S_OK) r = path_open(p, dirfd, name, flags, mode & 07777, &made);
    kmem_free(name, P9_PATH_MAX);
    return r == S_OK ? open_install(p, &made, flags) : r;
}

// A handler runs while p's open waits for the other end of a FIFO: it has opened nothing then.
void open_interrupted(struct proc *p) {
    struct proc_wait *w = &proc_desc(p)->wait;
    const bool opens = w->nr == 2 || w->nr == 257 || w->nr == 85;     // open openat creat
    if (opens && w->step == OPEN_WAITS) handle_drop(p, (i64)w->scratch[0]);
}

SYSCALL(open) { return do_open(p, AT_FDCWD, a[0], (u32)a[1], (u32)a[2]); }
SYSCALL(openat) { return do_open(p, (i32)a[0], a[1], (u32)a[2], (u32)a[3]); }
SYSCALL(creat) { return do_open(p, AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, (u32)a[1]); }

struct stat64 {
    u64 dev, ino, nlink;
    u32 mode, uid, gid, pad;
    u64 rdev;
    i64 size, blksize, blocks;
    u64 atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns;
    i64 unused[3];
};
_Static_assert(sizeof(struct stat64) == 144, "Linux's layout");

// A file system's number: its node's, and on that its mount's.
static u32 dev_of(struct object_id id) {
    const u32 mount = (id.index & OBJECT_USER_MOUNT) >> OBJECT_USER_MOUNT_SHIFT;
    return (object_is_user(id) ? (mount + 1) << 8 : 0) | (id.node + 1);
}

static i64 stat_out(struct proc *p, u64 uva, const struct p9_attr *t, u32 dev) {
    struct stat64 s = {.dev = dev, .ino = t->qid_path, .nlink = t->nlink, .mode = t->mode,
        .uid = t->uid, .gid = t->gid, .rdev = t->rdev, .size = (i64)t->size,
        .blksize = (i64)MAX(t->blksize, 512ull), .blocks = (i64)t->blocks, .atime = t->atime_s,
        .atime_ns = t->atime_ns, .mtime = t->mtime_s, .mtime_ns = t->mtime_ns,
        .ctime = t->ctime_s, .ctime_ns = t->ctime_ns};
    return user_write(p, uva, &s, sizeof s);
}

static status_t attr_of(struct proc *p, i32 dirfd, u64 name_uva, u32 flags, struct p9_attr *out,
                        u32 *dev) {
    status_t s;
    *out = (struct p9_attr){0};
    *dev = 0;
    struct path *w = path_user(p, dirfd, name_uva,
                               (flags & AT_SYMLINK_NOFOLLOW ? 0 : PATH_FOLLOW) |
                                   (flags & AT_EMPTY_PATH ? PATH_EMPTY_OK : 0), &s);
    if (!w) return s;
    *out = w->attr;
    *dev = dev_of(w->object);
    path_put(w);
    return S_OK;
}

static i64 do_stat(struct proc *p, i32 dirfd, u64 name_uva, u64 out_uva, u32 flags) {
    struct p9_attr attr;
    u32 dev;
    status_t s = attr_of(p, dirfd, name_uva, flags, &attr, &dev);
    return s == S_OK ? stat_out(p, out_uva, &attr, dev) : s;
}
SYSCALL(stat) { return do_stat(p, AT_FDCWD, a[0], a[1], 0); }
SYSCALL(lstat) { return do_stat(p, AT_FDCWD, a[0], a[1], AT_SYMLINK_NOFOLLOW); }
SYSCALL(newfstatat) { return do_stat(p, (i32)a[0], a[1], a[2], (u32)a[3]); }
SYSCALL(fstat) {
    const struct handle *h = handle_get(p, (i32)a[0]);
    if (!h) return E_BADF;
    struct p9_call c = {.type = P9_TGETATTR, .object = h->object};
    status_t s = file_call(&c);
    return s == S_OK ? stat_out(p, a[1], &c.attr, dev_of(h->object)) : s;
}

struct statx_time { i64 sec; u32 nsec; i32 pad; };
struct statx {
    u32 mask, blksize;
    u64 attributes;
    u32 nlink, uid, gid;
    u16 mode, pad;
    u64 ino, size, blocks, attributes_mask;
    struct statx_time atime, btime, ctime, mtime;
    u32 rdev_major, rdev_minor, dev_major, dev_minor;
    u64 spare[14];
};
_Static_assert(sizeof(struct statx) == 256, "Linux's layout");

SYSCALL(statx) {
    struct p9_attr t;
    u32 dev;
    status_t s = attr_of(p, (i32)a[0], a[1], (u32)a[2], &t, &dev);
    if (s != S_OK) return s;
    struct statx x = {.mask = 0x7ff,
                      .blksize = (u32)MAX(t.blksize, 512ull),
                      .nlink = (u32)t.nlink,
                      .uid = t.uid,
                      .gid = t.gid,
                      .mode = (u16)t.mode,
                      .ino = t.qid_path,
                      .size = t.size,
                      .blocks = t.blocks,
                      .atime = {(i64)t.atime_s, (u32)t.atime_ns, 0},
                      .ctime = {(i64)t.ctime_s, (u32)t.ctime_ns, 0},
                      .mtime = {(i64)t.mtime_s, (u32)t.mtime_ns, 0},
                      .rdev_major = (u32)t.rdev >> 8,
                      .rdev_minor = (u32)t.rdev & 0xff,
                      .dev_major = dev >> 8,
                      .dev_minor = dev & 0xff};
    return user_write(p, a[4], &x, sizeof x);
}

static i64 do_access(struct proc *p, i32 dirfd, u64 name_uva, u32 mode, u32 flags) {
    struct p9_attr t;
    u32 dev;
    if (mode & ~7u) return E_INVAL;
    if (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) return E_INVAL;
    status_t s = attr_of(p, dirfd, name_uva, flags & ~AT_EACCESS, &t, &dev);
    if (s != S_OK) return s;
    const struct cred who = flags & AT_EACCESS ? cred_effective(p) : cred_real(p);
    return permission_file(&who, &t, mode);
}
SYSCALL(access) { return do_access(p, AT_FDCWD, a[0], (u32)a[1], 0); }
SYSCALL(faccessat) { return do_access(p, (i32)a[0], a[1], (u32)a[2], 0); }
SYSCALL(faccessat2) { return do_access(p, (i32)a[0], a[1], (u32)a[2], (u32)a[3]); }

static i64 do_readlink(struct proc *p, i32 dirfd, u64 name_uva, u64 uva, u64 len) {
    status_t s;
    if ((i64)len <= 0) return E_INVAL;
    len = MIN(len, (u64)P9_PATH_MAX);
    struct path *w = path_user(p, dirfd, name_uva, PATH_EMPTY_OK, &s);
    if (!w) return s;
    struct p9_call c = {.type = P9_TREADLINK, .object = w->object, .count = len,
                        .data.buffer = w->link};
    s = file_call(&c);
    if (s == S_OK) s = user_write(p, uva, w->link, c.result);
    path_put(w);
    return s == S_OK ? (i64)c.result : s;
}
SYSCALL(readlink) { return do_readlink(p, AT_FDCWD, a[0], a[1], a[2]); }
SYSCALL(readlinkat) { return do_readlink(p, (i32)a[0], a[1], a[2], a[3]); }

// What the directory of the walk has by this name: S_OK, E_NOENT, S_RESTART.
static status_t name_look(const struct path *w, const char *name, struct p9_attr *attr) {
    struct p9_call c = {.type = P9_TWALK, .object = w->object, .name = name};
    const status_t s = file_call(&c);
    *attr = c.attr;
    if (s == S_OK) object_clunk(c.made);
    return s;
}

// Whether p may make the last name of the walk. E_ACCES; E_EXIST where it is there, as that is
// said first.
static status_t may_make(const struct cred *who, struct path *w) {
    struct p9_attr there;
    status_t s = path_attr(w);
    if (s != S_OK || permission_file(who, &w->attr, MAY_WRITE | MAY_EXEC) == S_OK) return s;
    s = name_look(w, w->last, &there);
    if (s == S_RESTART) return s;
    return s == S_OK ? E_EXIST : E_ACCES;
}

// Whether p may take the last name of the walk away; *file: what has it. E_NOENT, E_ACCES, E_PERM.
static status_t may_remove(const struct cred *who, struct path *w, struct p9_attr *file) {
    status_t s = path_attr(w);
    if (s == S_OK) s = name_look(w, w->last, file);
    return s == S_OK ? permission_remove(who, &w->attr, file) : s;
}

static status_t may_change(struct proc *p, struct path *w, const struct p9_call *c) {
    const struct cred who = cred_effective(p);
    struct p9_attr file;
    if (who.uid == 0) return S_OK;
    return c->type == P9_TUNLINKAT ? may_remove(&who, w, &file) : may_make(&who, w);
}

// What c has made in the directory of the walk is p's, where the server cannot know that.
static status_t give_made(struct proc *p, const struct path *w, const struct p9_call *c) {
    struct p9_call look = {.type = P9_TWALK, .object = w->object, .name = w->last};
    if (proc_desc(p)->euid == 0 || !object_is_user(w->object)) return S_OK;
    if (c->type != P9_TMKDIR && c->type != P9_TSYMLINK && c->type != P9_TMKNOD) return S_OK;
    status_t s = file_call(&look);
    if (s != S_OK) return s == S_RESTART ? s : S_OK;
    s = path_give(p, look.made);
    object_clunk(look.made);
    return s;
}

// The last name of the walk ends in `/`, and is to become none of a directory: what Linux says.
static status_t slash_error(const struct path *w, const struct p9_call *c) {
    struct p9_attr there;
    if (c->type == P9_TUNLINKAT) return E_NOTDIR;
    const status_t s = name_look(w, w->last, &there);
    return s == S_OK ? E_EXIST : s;
}

// A call on the directory that holds the last name.
static i64 on_parent(struct proc *p, i32 dirfd, u64 name_uva, struct p9_call *c, bool dir_ok) {
    status_t s;
    struct path *w = path_user(p, dirfd, name_uva, PATH_PARENT, &s);
    if (!w) return s == E_INVAL ? E_EXIST : s;   // "/" itself
    c->object = w->object;
    c->name = w->last;
    bool dots = !strcmp(w->last, ".") || !strcmp(w->last, "..");
    if (dots) s = c->type == P9_TUNLINKAT ? E_INVAL : E_EXIST;
    else if (w->want_dir && !dir_ok) s = slash_error(w, c);
    else s = may_change(p, w, c);
    if (s == S_OK) s = file_call(c);
    if (s == S_OK) s = give_made(p, w, c);
    path_put(w);
    return s;
}
static i64 do_mkdir(struct proc *p, i32 dirfd, u64 name_uva, u64 mode) {
    struct p9_call c = {.type = P9_TMKDIR, .mode = (u32)mode & 07777 & ~proc_desc(p)->umask};
    return on_parent(p, dirfd, name_uva, &c, true);
}
SYSCALL(mkdir) { return do_mkdir(p, AT_FDCWD, a[0], a[1]); }
SYSCALL(mkdirat) { return do_mkdir(p, (i32)a[0], a[1], a[2]); }

// What a server has no files of, it refuses: device files are nobody's here.
static i64 do_mknod(struct proc *p, i32 dirfd, u64 name_uva, u64 mode, u64 device) {
    u32 type = (u32)mode & S_IFMT;
    if (type == 0) type = S_IFREG;
    if (type == S_IFDIR) return E_PERM;
    if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK && type != S_IFCHR &&
        type != S_IFBLK)
        return E_INVAL;
    struct p9_call c = {.type = P9_TMKNOD, .value = (u32)device,
                        .mode = type | ((u32)mode & 07777 & ~proc_desc(p)->umask)};
    return on_parent(p, dirfd, name_uva, &c, false);
}
SYSCALL(mknod) { return do_mknod(p, AT_FDCWD, a[0], a[1], a[2]); }
SYSCALL(mknodat) { return do_mknod(p, (i32)a[0], a[1], a[2], a[3]); }

static i64 do_unlink(struct proc *p, i32 dirfd, u64 name_uva, u32 flags) {
    struct p9_call c = {.type = P9_TUNLINKAT, .flags = flags & AT_REMOVEDIR};
    i64 r = on_parent(p, dirfd, name_uva, &c, (flags & AT_REMOVEDIR) != 0);
    return r == E_EXIST ? E_BUSY : r;
}
SYSCALL(unlink) { return do_unlink(p, AT_FDCWD, a[0], 0); }
SYSCALL(rmdir) { return do_unlink(p, AT_FDCWD, a[0], AT_REMOVEDIR); }
SYSCALL(unlinkat) { return do_unlink(p, (i32)a[0], a[1], (u32)a[2]); }

static i64 do_symlink(struct proc *p, u64 target_uva, i32 dirfd, u64 name_uva) {
    char *target = kmem_alloc(P9_PATH_MAX);
    if (!target) return E_NOMEM;
    i64 r = user_read_string(p, target_uva, target, P9_PATH_MAX);
    struct p9_call c = {.type = P9_TSYMLINK, .name2 = target};
    if (r == S_OK) r = on_parent(p, dirfd, name_uva, &c, false);
    kmem_free(target, P9_PATH_MAX);
    return r;
}
SYSCALL(symlink) { return do_symlink(p, a[0], AT_FDCWD, a[1]); }
SYSCALL(symlinkat) { return do_symlink(p, a[0], (i32)a[1], a[2]); }

// As Linux with fs.protected_hardlinks, Debian's setting: a second name is for the owner of a
// file, or for who could write to it anyway and gains nothing by its set-id bits.
static status_t may_link(const struct proc *p, const struct p9_attr *file) {
    const struct cred who = cred_effective(p);
    if (who.uid == 0 || who.uid == file->uid) return S_OK;
    const u32 ids = 04000u | (file->mode & 010 ? 02000u : 0);
    if ((file->mode & S_IFMT) != S_IFREG || (file->mode & ids)) return E_PERM;
    return permission_file(&who, file, MAY_READ | MAY_WRITE) == S_OK ? S_OK : E_PERM;
}

static i64 do_link(struct proc *p, i32 from_fd, u64 from_uva, i32 dirfd, u64 name_uva, u32 flags) {
    status_t s;
    struct path *from = path_user(p, from_fd, from_uva,
                                  (flags & AT_SYMLINK_FOLLOW ? PATH_FOLLOW : 0) |
                                      (flags & AT_EMPTY_PATH ? PATH_EMPTY_OK : 0),
                                  &s);
    if (!from) return s;
    struct p9_call c = {.type = P9_TLINK, .object2 = from->object};   // its server: or E_XDEV
    i64 r = may_link(p, &from->attr);
    if (r == S_OK) r = on_parent(p, dirfd, name_uva, &c, false);
    path_put(from);
    return r;
}
SYSCALL(link) { return do_link(p, AT_FDCWD, a[0], AT_FDCWD, a[1], 0); }
SYSCALL(linkat) { return do_link(p, (i32)a[0], a[1], (i32)a[2], a[3], (u32)a[4]); }

// A directory that goes to another one is written to as well: its `..` changes.
static status_t may_rename(struct proc *p, struct path *from, struct path *to, u32 flags) {
    const struct cred who = cred_effective(p);
    struct p9_attr file, old;
    if (who.uid == 0) return S_OK;
    status_t s = path_attr(from), t = path_attr(to);
    if (s == S_OK) s = t;
    if (s == S_OK) s = name_look(from, from->last, &file);
    if (s != S_OK) return s;
    t = name_look(to, to->last, &old);
    if (t == S_RESTART) return t;
    if (t == S_OK && (flags & RENAME_NOREPLACE)) return E_EXIST;
    s = permission_remove(&who, &from->attr, &file);
    if (s == S_OK) s = t == S_OK ? permission_remove(&who, &to->attr, &old)
                                 : permission_file(&who, &to->attr, MAY_WRITE | MAY_EXEC);
    if (s == S_OK && (file.mode & S_IFMT) == S_IFDIR && from->attr.qid_path != to->attr.qid_path)
        s = permission_file(&who, &file, MAY_WRITE);
    return s;
}

static i64 do_rename(struct proc *p, i32 from_fd, u64 from_uva, const u64 *to, u32 flags) {
    status_t s;
    if (flags & ~RENAME_NOREPLACE) return E_INVAL;
    struct path *from = path_user(p, from_fd, from_uva, PATH_PARENT, &s);
    if (!from) return s;
    struct path *target = path_user(p, (i32)to[0], to[1], PATH_PARENT, &s);
    if (target) {
        struct p9_call c = {.type = P9_TRENAMEAT, .object = from->object, .object2 = target->object,
                            .name = from->last, .name2 = target->last, .flags = flags};
        s = object_same_server(from->object, target->object) ? S_OK : E_XDEV;
        if (s == S_OK) s = may_rename(p, from, target, flags);
        if (s == S_OK) s = file_call(&c);
        path_put(target);
    }
    path_put(from);
    return s;
}
SYSCALL(rename) {
    const u64 to[2] = {(u64)AT_FDCWD, a[1]};
    return do_rename(p, AT_FDCWD, a[0], to, 0);
}
SYSCALL(renameat) { return do_rename(p, (i32)a[0], a[1], a + 2, 0); }
SYSCALL(renameat2) { return do_rename(p, (i32)a[0], a[1], a + 2, (u32)a[4]); }

static i64 set_by_name(struct proc *p, i32 dirfd, u64 name_uva, u32 walk, const struct p9_attr *t) {
    status_t s;
    const struct cred who = cred_effective(p);
    struct path *w = path_user(p, dirfd, name_uva, walk, &s);
    if (!w) return s;
    struct p9_call c = {.type = P9_TSETATTR, .object = w->object, .attr = *t};
    if ((t->valid & P9_SETATTR_SIZE) && (w->attr.mode & S_IFMT) != S_IFDIR)
        s = permission_file(&who, &w->attr, MAY_WRITE);
    if (s == S_OK) s = permission_set(&who, &w->attr, &c.attr);
    if (s == S_OK) s = file_call(&c);
    path_put(w);
    return s;
}
// By handle a new size is the right of who has it open for writing, which its server looks at.
static i64 set_by_fd(struct proc *p, i32 fd, const struct p9_attr *t) {
    const struct cred who = cred_effective(p);
    const struct handle *h = handle_get(p, fd);
    if (!h) return E_BADF;
    struct p9_call c = {.type = P9_TSETATTR, .object = h->object, .attr = *t};
    struct p9_call get = {.type = P9_TGETATTR, .object = h->object};
    status_t s = t->valid & ~(u64)P9_SETATTR_SIZE ? file_call(&get) : S_OK;
    if (s == S_OK) s = permission_set(&who, &get.attr, &c.attr);
    return s == S_OK ? file_call(&c) : s;
}
static struct p9_attr mode_attr(u64 mode) {
    return (struct p9_attr){.valid = P9_SETATTR_MODE, .mode = (u32)mode & 07777};
}
static struct p9_attr owner_attr(u64 uid, u64 gid) {
    return (struct p9_attr){.valid = ((u32)uid + 1 ? P9_SETATTR_UID : 0) |
                                     ((u32)gid + 1 ? P9_SETATTR_GID : 0),
                            .uid = (u32)uid, .gid = (u32)gid};
}
SYSCALL(chmod) {
    struct p9_attr t = mode_attr(a[1]);
    return set_by_name(p, AT_FDCWD, a[0], PATH_FOLLOW, &t);
}
SYSCALL(fchmodat) {
    struct p9_attr t = mode_attr(a[2]);
    return set_by_name(p, (i32)a[0], a[1], PATH_FOLLOW, &t);
}
SYSCALL(fchmod) { struct p9_attr t = mode_attr(a[1]); return set_by_fd(p, (i32)a[0], &t); }
SYSCALL(chown) {
    struct p9_attr t = owner_attr(a[1], a[2]);
    return set_by_name(p, AT_FDCWD, a[0], PATH_FOLLOW, &t);
}
SYSCALL(lchown) {
    struct p9_attr t = owner_attr(a[1], a[2]);
    return set_by_name(p, AT_FDCWD, a[0], 0, &t);
}
SYSCALL(fchown) { struct p9_attr t = owner_attr(a[1], a[2]); return set_by_fd(p, (i32)a[0], &t); }
SYSCALL(fchownat) {
    struct p9_attr t = owner_attr(a[2], a[3]);
    u32 walk =
        (a[4] & AT_SYMLINK_NOFOLLOW ? 0 : PATH_FOLLOW) | (a[4] & AT_EMPTY_PATH ? PATH_EMPTY_OK : 0);
    return set_by_name(p, (i32)a[0], a[1], walk, &t);
}
SYSCALL(truncate) {
    struct p9_attr t = {.valid = P9_SETATTR_SIZE, .size = a[1]};
    return (i64)a[1] < 0 ? E_INVAL : set_by_name(p, AT_FDCWD, a[0], PATH_FOLLOW, &t);
}
SYSCALL(ftruncate) {
    struct p9_attr t = {.valid = P9_SETATTR_SIZE, .size = a[1]};
    return (i64)a[1] < 0 ? E_INVAL : set_by_fd(p, (i32)a[0], &t);
}

// No server reserves room ahead. The answer is the one for which libc writes zeros instead.
SYSCALL(fallocate) {
    if ((i64)a[2] < 0 || (i64)a[3] <= 0) return E_INVAL;
    return handle_get(p, (i32)a[0]) ? E_OPNOTSUPP : E_BADF;
}

#define UTIME_NOW 0x3fffffff
#define UTIME_OMIT 0x3ffffffe
SYSCALL(utimensat) {
    i64 t[4] = {0, UTIME_NOW, 0, UTIME_NOW};
    if (a[2]) {
        status_t s = user_read(p, a[2], t, sizeof t);
        if (s != S_OK) return s;
    }
    struct p9_attr set = {.atime_s = (u64)t[0], .atime_ns = (u64)t[1], .mtime_s = (u64)t[2],
                          .mtime_ns = (u64)t[3]};
    if (t[1] != UTIME_OMIT)
        set.valid |= P9_SETATTR_ATIME | (t[1] == UTIME_NOW ? 0 : P9_SETATTR_ATIME_SET);
    if (t[3] != UTIME_OMIT)
        set.valid |= P9_SETATTR_MTIME | (t[3] == UTIME_NOW ? 0 : P9_SETATTR_MTIME_SET);
    if (!a[1]) return set_by_fd(p, (i32)a[0], &set);
    return set_by_name(p, (i32)a[0], a[1], a[3] & AT_SYMLINK_NOFOLLOW ? 0 : PATH_FOLLOW, &set);
}

static i64 chdir_to(struct proc *p, struct path *w) {
    struct proc_desc *d = proc_desc(p);
    const struct cred who = cred_effective(p);
    if ((w->attr.mode & S_IFMT) != S_IFDIR) return E_NOTDIR;
    status_t s = permission_file(&who, &w->attr, MAY_EXEC);
    if (s == S_OK) s = object_ref(w->object);
    if (s != S_OK) return s;
    object_clunk(d->cwd);
    d->cwd = w->object;
    memcpy(paths_of(p)->cwd, w->text, PROC_PATH_MAX);
    return 0;
}
SYSCALL(chdir) {
    status_t s;
    struct path *w = path_user(p, AT_FDCWD, a[0], PATH_FOLLOW, &s);
    if (!w) return s;
    i64 r = chdir_to(p, w);
    path_put(w);
    return r;
}
SYSCALL(fchdir) {
    const struct handle *h = handle_get(p, (i32)a[0]);
    if (!h) return E_BADF;
    struct p9_call c = {.type = P9_TWALK, .object = h->object, .name = "."};
    status_t s = file_call(&c);
    if (s != S_OK) return s;
    struct path *w = kmem_alloc(sizeof *w);
    s = w ? dir_name(p, c.made, w->text) : E_NOMEM;
    i64 r = s;
    if (s == S_OK) {
        w->object = c.made;
        w->attr = c.attr;
        r = chdir_to(p, w);
    }
    if (w) kmem_free(w, sizeof *w);
    object_clunk(c.made);
    return r;
}
SYSCALL(getcwd) {
    const char *cwd = paths_of(p)->cwd;
    u64 len = strlen(cwd) + 1;
    if (len > a[1]) return E_RANGE;
    status_t s = user_write(p, a[0], cwd, len);
    return s == S_OK ? (i64)len : s;
}
SYSCALL(umask) {
    u32 old = proc_desc(p)->umask;
    proc_desc(p)->umask = (u32)a[0] & 0777;
    return old;
}

struct statfs64 {
    i64 type, bsize;
    u64 blocks, bfree, bavail, files, ffree;
    i32 fsid[2];
    i64 namelen, frsize, flags, spare[4];
};
_Static_assert(sizeof(struct statfs64) == 120, "Linux's layout");
static i64 statfs_of(struct proc *p, struct object_id id, u64 uva) {
    struct p9_call c = {.type = P9_TSTATFS, .object = id};
    status_t s = file_call(&c);
    if (s != S_OK) return s;
    const struct p9_statfs *from = &c.statfs;
    struct statfs64 f = {.type = (i64)from->type, .bsize = (i64)from->bsize,
                         .blocks = from->blocks, .bfree = from->bfree, .bavail = from->bavail,
                         .files = from->files, .ffree = from->ffree,
                         .namelen = P9_NAME_MAX, .frsize = (i64)from->bsize};
    return user_write(p, uva, &f, sizeof f);
}
SYSCALL(statfs) {
    status_t s;
    struct path *w = path_user(p, AT_FDCWD, a[0], PATH_FOLLOW, &s);
    if (!w) return s;
    i64 r = statfs_of(p, w->object, a[1]);
    path_put(w);
    return r;
}
SYSCALL(fstatfs) {
    const struct handle *h = handle_get(p, (i32)a[0]);
    return h ? statfs_of(p, h->object, a[1]) : E_BADF;
}

// --- extended attributes: no file server here keeps any ---

static i64 no_xattr(struct proc *p, u64 name_uva, u32 follow) {
    status_t s;
    struct path *w = path_user(p, AT_FDCWD, name_uva, follow, &s);
    if (!w) return s;
    path_put(w);
    return E_OPNOTSUPP;
}
static i64 no_fxattr(struct proc *p, u64 fd) {
    return handle_get(p, (i32)fd) ? E_OPNOTSUPP : E_BADF;
}
SYSCALL(setxattr) { return no_xattr(p, a[0], PATH_FOLLOW); }
SYSCALL(lsetxattr) { return no_xattr(p, a[0], 0); }
SYSCALL(fsetxattr) { return no_fxattr(p, a[0]); }
SYSCALL(getxattr) { return no_xattr(p, a[0], PATH_FOLLOW); }
SYSCALL(lgetxattr) { return no_xattr(p, a[0], 0); }
SYSCALL(fgetxattr) { return no_fxattr(p, a[0]); }
SYSCALL(listxattr) { return no_xattr(p, a[0], PATH_FOLLOW); }
SYSCALL(llistxattr) { return no_xattr(p, a[0], 0); }
SYSCALL(flistxattr) { return no_fxattr(p, a[0]); }
SYSCALL(removexattr) { return no_xattr(p, a[0], PATH_FOLLOW); }
SYSCALL(lremovexattr) { return no_xattr(p, a[0], 0); }
SYSCALL(fremovexattr) { return no_fxattr(p, a[0]); }
