// The writable root in memory: directories, files, symbolic links, and their names. What is in
// files is ramfs_data.c's, how the image's files come in ramfs_load.c's. Called through file_call;
// lock: files_lock.
#include "kernel/files/ramfs_priv.h"

#include "base/string.h"
#include "kernel/files/pipe.h"
#include "kernel/files/ramfs.h"
#include "kernel/files/socket.h"
#include "kernel/share_map.h"
#include "mm/kmem.h"

#define S_ISUID 04000u
#define S_ISGID 02000u
#define S_IXGRP 010u

static const struct object_ops ramfs_ops;
static u64 next_ino = 2;
static struct ramfs_node *ramfs_root;

static struct ramfs_node *node_new(u32 mode) {
    struct ramfs_node *n = kmem_alloc(sizeof *n);
    if (!n) return NULL;
    if (object_add(&n->object, &ramfs_ops) != S_OK) {
        kmem_free(n, sizeof *n);
        return NULL;
    }
    n->mode = mode;
    n->nlink = 1;
    n->ino = next_ino++;
    n->atime_ns = n->mtime_ns = n->ctime_ns = time_wall_ns();
    list_init(&n->entries);
    n->next_cookie = 3;
    return n;
}

// Who made it by c (NULL: the kernel), in a directory that may hand its group on.
static void node_own(struct ramfs_node *n, const struct ramfs_node *dir, const struct p9_call *c) {
    n->uid = c ? c->uid : 0;
    n->gid = dir->mode & S_ISGID ? dir->gid : c ? c->gid : 0;
    if ((dir->mode & S_ISGID) && ramfs_is_type(n, S_IFDIR)) n->mode |= S_ISGID;
}

// A change of what is in a file by another than user 0 costs its set-id bits.
void ramfs_ids_drop(struct ramfs_node *n, const struct p9_call *c) {
    const u32 ids = S_ISUID | (n->mode & S_IXGRP ? S_ISGID : 0);
    if (c->uid && ramfs_is_type(n, S_IFREG)) n->mode &= ~ids;
}

static void ramfs_release(struct object *o) {
    struct ramfs_node *n = ramfs_node_of(o);
    share_map_gone(o);
    ramfs_pages_drop(n, 0);
    if (n->target) kmem_free(n->target, strlen(n->target) + 1);
    kmem_free(n, sizeof *n);
}

static void do_getattr(struct ramfs_node *n, struct p9_attr *a) {
    *a = (struct p9_attr){.valid = P9_GETATTR_BASIC, .qid_path = n->ino, .mode = n->mode,
        .uid = n->uid, .gid = n->gid, .nlink = n->nlink, .blksize = PAGE_SIZE,
        .qid_type = ramfs_is_type(n, S_IFDIR) ? 0x80 : ramfs_is_type(n, S_IFLNK) ? 0x02 : 0,
        .size = ramfs_is_type(n, S_IFLNK) ? strlen(n->target) : n->size, .blocks = n->pages * 8,
        .atime_s = n->atime_ns / NS_PER_S, .atime_ns = n->atime_ns % NS_PER_S,
        .mtime_s = n->mtime_ns / NS_PER_S, .mtime_ns = n->mtime_ns % NS_PER_S,
        .ctime_s = n->ctime_ns / NS_PER_S, .ctime_ns = n->ctime_ns % NS_PER_S};
}

static status_t do_setattr(struct ramfs_node *n, struct p9_call *c) {
    u64 valid = c->attr.valid, now = time_wall_ns();
    if (valid & P9_SETATTR_SIZE) {
        status_t s = ramfs_set_size(n, c->attr.size);
        if (s != S_OK) return s;
        ramfs_ids_drop(n, c);
    }
    if (valid & P9_SETATTR_MODE) n->mode = (n->mode & S_IFMT) | (c->attr.mode & 07777);
    if (valid & P9_SETATTR_UID) n->uid = c->attr.uid;
    if (valid & P9_SETATTR_GID) n->gid = c->attr.gid;
    if (valid & P9_SETATTR_ATIME) {
        n->atime_ns = valid & P9_SETATTR_ATIME_SET
                          ? c->attr.atime_s * NS_PER_S + c->attr.atime_ns : now;
    }
    if (valid & P9_SETATTR_MTIME) {
        n->mtime_ns = valid & P9_SETATTR_MTIME_SET
                          ? c->attr.mtime_s * NS_PER_S + c->attr.mtime_ns : now;
    }
    n->ctime_ns = now;
    return S_OK;
}

struct ramfs_entry *ramfs_entry_find(struct ramfs_node *dir, const char *name) {
    LIST_FOR_EACH(it, &dir->entries) {
        struct ramfs_entry *e = LIST_ENTRY(it, struct ramfs_entry, link);
        if (strcmp(e->name, name) == 0) return e;
    }
    return NULL;
}

static status_t entry_add(struct ramfs_node *dir, const char *name, struct ramfs_node *n) {
    size_t len = strlen(name);
    if (len > P9_NAME_MAX) return E_NAMETOOLONG;
    if (len == 0 || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..")) return E_INVAL;
    struct ramfs_entry *e = kmem_alloc(sizeof *e + len + 1);
    if (!e) return E_NOSPC;
    list_init(&e->link);
    e->node = n;
    e->cookie = dir->next_cookie++;
    memcpy(e->name, name, len + 1);
    list_push_back(&dir->entries, &e->link);
    dir->mtime_ns = dir->ctime_ns = time_wall_ns();
    if (ramfs_is_type(n, S_IFDIR)) {
        n->parent = dir;
        dir->nlink++;
    }
    return S_OK;
}

void ramfs_entry_remove(struct ramfs_node *dir, struct ramfs_entry *e) {
    if (ramfs_is_type(e->node, S_IFDIR)) dir->nlink--;
    dir->mtime_ns = dir->ctime_ns = time_wall_ns();
    list_remove(&e->link);
    kmem_free(e, sizeof *e + strlen(e->name) + 1);
}

void ramfs_node_unlink(struct ramfs_node *n) {
    if (ramfs_is_type(n, S_IFDIR)) n->nlink = 1;
    n->ctime_ns = time_wall_ns();
    if (--n->nlink == 0) object_put(&n->object);
}

// Makes an entry in a directory that has none of that name.
// c: whose it is; NULL: user 0's.
status_t ramfs_make(struct ramfs_node *dir, const char *name, u32 mode, const struct p9_call *c,
                    struct ramfs_node **out) {
    if (!ramfs_is_type(dir, S_IFDIR)) return E_NOTDIR;
    if (dir->nlink == 0) return E_NOENT;
    if (ramfs_entry_find(dir, name)) return E_EXIST;
    struct ramfs_node *n = node_new(mode);
    if (!n) return E_NOSPC;
    if (ramfs_is_type(n, S_IFDIR)) n->nlink = 2;
    node_own(n, dir, c);
    status_t s = entry_add(dir, name, n);
    if (s != S_OK) {
        n->nlink = 0;
        object_put(&n->object);
        return s;
    }
    *out = n;
    return S_OK;
}

static status_t do_walk(struct ramfs_node *dir, struct p9_call *c) {
    if (!ramfs_is_type(dir, S_IFDIR)) return E_NOTDIR;
    struct ramfs_node *n;
    if (!strcmp(c->name, ".")) n = dir;
    else if (!strcmp(c->name, "..")) n = dir->parent ? dir->parent : dir;
    else {
        struct ramfs_entry *e = ramfs_entry_find(dir, c->name);
        if (!e) return E_NOENT;
        n = e->node;
    }
    object_get(&n->object);
    c->made = object_id_of(&n->object);
    do_getattr(n, &c->attr);
    return S_OK;
}

static void fifo_used(struct object *o, bool wrote) {
    struct ramfs_node *n = ramfs_node_of(o);
    if (wrote) n->mtime_ns = n->ctime_ns = time_wall_ns();
    else n->atime_ns = time_wall_ns();
}

static status_t do_open(struct ramfs_node *n, struct p9_call *c) {
    if (ramfs_is_type(n, S_IFLNK) && !(c->flags & O_PATH)) return E_LOOP;
    if (ramfs_is_type(n, S_IFDIR) && (c->flags & O_ACCMODE)) return E_ISDIR;
    if ((c->flags & O_DIRECTORY) && !ramfs_is_type(n, S_IFDIR)) return E_NOTDIR;
    if (ramfs_is_type(n, S_IFSOCK) && !(c->flags & O_PATH)) return E_NXIO;
    if (ramfs_is_type(n, S_IFIFO) && !(c->flags & O_PATH))
        return fifo_open(&(struct pipe_home){&n->object, &n->pipe, fifo_used}, c);
    if ((c->flags & O_TRUNC) && ramfs_is_type(n, S_IFREG) && !(c->flags & O_PATH)) {
        status_t s = ramfs_set_size(n, 0);
        if (s != S_OK) return s;
        ramfs_ids_drop(n, c);
    }
    return ofd_open(&n->object, c->flags, c);
}

static status_t do_create(struct ramfs_node *dir, struct p9_call *c) {
    struct ramfs_node *n;
    status_t s = ramfs_make(dir, c->name, S_IFREG | (c->mode & 07777), c, &n);
    return s == S_OK ? ofd_open(&n->object, c->flags, c) : s;
}

// A file that is none to be read: FIFOs and sockets are names for what the kernel has. Devices have
// theirs in /nodes.
static status_t do_mknod(struct ramfs_node *dir, struct p9_call *c) {
    struct ramfs_node *made;
    const u32 type = c->mode & S_IFMT;
    if (type == S_IFREG || type == S_IFIFO || type == S_IFSOCK)
        return ramfs_make(dir, c->name, type | (c->mode & 07777), c, &made);
    if (!ramfs_is_type(dir, S_IFDIR)) return E_NOTDIR;
    return ramfs_entry_find(dir, c->name) ? E_EXIST : E_PERM;
}

static status_t do_readdir(struct ramfs_node *dir, struct p9_call *c) {
    if (!ramfs_is_type(dir, S_IFDIR)) return E_NOTDIR;
    u64 at = c->offset;
    const struct ramfs_node *up = dir->parent ? dir->parent : dir;
    if (at < 1 && data_dirent(c, dir->ino, 1, S_IFDIR, ".")) c->value = at = 1;
    if (at == 1 && data_dirent(c, up->ino, 2, S_IFDIR, "..")) c->value = at = 2;
    if (at < 2) return S_OK;
    LIST_FOR_EACH(it, &dir->entries) {
        struct ramfs_entry *e = LIST_ENTRY(it, struct ramfs_entry, link);
        if (e->cookie < at) continue;
        if (!data_dirent(c, e->node->ino, e->cookie + 1, e->node->mode, e->name)) break;
        c->value = e->cookie + 1;
    }
    return S_OK;
}

static status_t do_unlink(struct ramfs_node *dir, struct p9_call *c) {
    if (!ramfs_is_type(dir, S_IFDIR)) return E_NOTDIR;
    struct ramfs_entry *e = ramfs_entry_find(dir, c->name);
    if (!e) return E_NOENT;
    struct ramfs_node *n = e->node;
    bool want_dir = (c->flags & 0x200) != 0;     // AT_REMOVEDIR
    if (want_dir && !ramfs_is_type(n, S_IFDIR)) return E_NOTDIR;
    if (!want_dir && ramfs_is_type(n, S_IFDIR)) return E_ISDIR;
    if (want_dir && !list_empty(&n->entries)) return E_NOTEMPTY;
    ramfs_entry_remove(dir, e);
    ramfs_node_unlink(n);
    return S_OK;
}

static struct ramfs_node *node_by_id(struct object_id id) {
    struct object *o = id.node == node_id ? object_find(id) : NULL;
    return o && o->ops == &ramfs_ops ? ramfs_node_of(o) : NULL;
}

static status_t do_rename(struct ramfs_node *from, struct p9_call *c) {
    struct ramfs_node *to = node_by_id(c->object2);
    if (!to) return E_XDEV;
    if (!ramfs_is_type(from, S_IFDIR) || !ramfs_is_type(to, S_IFDIR)) return E_NOTDIR;
    struct ramfs_entry *e = ramfs_entry_find(from, c->name), *old = ramfs_entry_find(to, c->name2);
    if (!e) return E_NOENT;
    struct ramfs_node *n = e->node;
    if (old && old->node == n) return S_OK;
    if (old && (c->flags & 1)) return E_EXIST;   // RENAME_NOREPLACE
    for (struct ramfs_node *up = to; ramfs_is_type(n, S_IFDIR); up = up->parent) {
        if (up == n) return E_INVAL;             // into its own subtree
        if (!up->parent || up->parent == up) break;
    }
    if (old) {
        if (ramfs_is_type(old->node, S_IFDIR) && !ramfs_is_type(n, S_IFDIR)) return E_ISDIR;
        if (!ramfs_is_type(old->node, S_IFDIR) && ramfs_is_type(n, S_IFDIR)) return E_NOTDIR;
        if (!list_empty(&old->node->entries)) return E_NOTEMPTY;
    }
    status_t s = entry_add(to, c->name2, n);     // a second name for a moment, under the lock
    if (s != S_OK) return s;
    if (old) {
        struct ramfs_node *gone = old->node;
        ramfs_entry_remove(to, old);
        ramfs_node_unlink(gone);
    }
    ramfs_entry_remove(from, e);
    return S_OK;
}

static status_t do_link(struct ramfs_node *dir, struct p9_call *c) {
    struct ramfs_node *n = node_by_id(c->object2);
    if (!n) return E_XDEV;
    if (!ramfs_is_type(dir, S_IFDIR)) return E_NOTDIR;
    if (ramfs_is_type(n, S_IFDIR)) return E_PERM;
    if (n->nlink == 0) return E_NOENT;
    if (ramfs_entry_find(dir, c->name)) return E_EXIST;
    status_t s = entry_add(dir, c->name, n);
    if (s == S_OK) n->nlink++;
    return s;
}

static status_t do_symlink(struct ramfs_node *dir, struct p9_call *c) {
    u64 len = strlen(c->name2);
    if (len == 0 || len >= P9_PATH_MAX) return len ? E_NAMETOOLONG : E_NOENT;
    char *target = kmem_alloc(len + 1);
    if (!target) return E_NOSPC;
    memcpy(target, c->name2, len + 1);
    struct ramfs_node *n;
    status_t s = ramfs_make(dir, c->name, S_IFLNK | 0777, c, &n);
    if (s == S_OK) n->target = target;
    else kmem_free(target, len + 1);
    return s;
}

static status_t do_readlink(struct ramfs_node *n, struct p9_call *c) {
    if (!ramfs_is_type(n, S_IFLNK)) return E_INVAL;
    u64 len = MIN(strlen(n->target), c->count);
    c->result = data_put(c, 0, n->target, len);
    return S_OK;
}

static status_t do_statfs(struct p9_call *c) {
    u64 left = frame_count_free();
    c->statfs = (struct p9_statfs){.type = 0x01021994, .bsize = PAGE_SIZE, .bfree = left,
                                   .blocks = frame_count_total(), .bavail = left};
    return S_OK;
}

static status_t ramfs_call(struct object *o, struct p9_call *c) {
    struct ramfs_node *n = ramfs_node_of(o), *made;
    switch (c->type) {
    case P9_TWALK: return do_walk(n, c);
    case P9_TLOPEN: return do_open(n, c);
    case P9_TLCREATE: return do_create(n, c);
    case P9_TREAD: return ramfs_read(n, c);
    case P9_TWRITE: return ramfs_write(n, c);
    case P9_TREADDIR: return do_readdir(n, c);
    case P9_TGETATTR: do_getattr(n, &c->attr); return S_OK;
    case P9_TSETATTR: return do_setattr(n, c);
    case P9_TMKDIR: return ramfs_make(n, c->name, S_IFDIR | (c->mode & 07777), c, &made);
    case P9_TMKNOD: return do_mknod(n, c);
    case P9_TUNLINKAT: return do_unlink(n, c);
    case P9_TRENAMEAT: return do_rename(n, c);
    case P9_TLINK: return do_link(n, c);
    case P9_TSYMLINK: return do_symlink(n, c);
    case P9_TREADLINK: return do_readlink(n, c);
    case P9_TSTATFS: return do_statfs(c);
    case P9_TPAGE: return ramfs_page(n, c);
    case P9_TFSYNC: case P9_TCLUNK: return S_OK;
    case P9_TPOLL: c->result = c->flags & (POLLIN | POLLOUT); return S_OK;
    case P9_TIOCTL: return E_NOTTY;
    default: return E_OPNOTSUPP;
    }
}

static const struct object_ops ramfs_ops = {"ramfs", ramfs_call, ramfs_release};

// Makes the empty root. Context: boot, files_lock not held.
struct object *ramfs_init(void) {
    spin_lock(&files_lock);
    ramfs_root = node_new(S_IFDIR | 0755);
    ASSERT(ramfs_root);
    ramfs_root->nlink = 2;
    ramfs_root->parent = ramfs_root;
    spin_unlock(&files_lock);
    return &ramfs_root->object;
}

// A file without a name, gone with its last reference (shared anonymous memory, memfd).
// files_lock held. NULL: no memory.
struct object *ramfs_anonymous(void) {
    const struct proc *p = proc_current();
    struct ramfs_node *n = node_new(S_IFREG | 0600);
    if (n) n->nlink = 0;
    if (n && p) n->uid = proc_desc(p)->euid, n->gid = proc_desc(p)->egid;
    return n ? &n->object : NULL;
}
