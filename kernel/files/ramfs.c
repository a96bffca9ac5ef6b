// The writable root in memory: directories, files, symbolic links, named pipes not yet.
// A file's pages are FRAME_USER frames: mapping one puts the very frame into a user's
// page table, and members of the cluster may read what a process maps. A write to a
// page that somebody maps privately goes to a fresh frame, so mapped pages never change
// under their mapper (a frozen image can be read while the file is written).
// Called through file_call; lock: files_lock.
#include "base/string.h"
#include "kernel/files/object.h"
#include "kernel/files/ramfs.h"
#include "kernel/share_map.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "mm/kmem.h"

#define RAMFS_TOP_ENTRIES 512u
#define S_ISUID 04000u
#define S_ISGID 02000u
#define S_IXGRP 010u
#define RAMFS_SIZE_MAX (RAMFS_TOP_ENTRIES * 512ull * PAGE_SIZE)   // 1 GiB a file

struct ramfs_node {
    struct object object;            // holds one reference of its own while nlink > 0
    u32 mode, uid, gid, nlink;
    bool shared;                     // some mapping is MAP_SHARED: writes stay in place
    u64 ino, size, pages;
    u64 atime_ns, mtime_ns, ctime_ns;
    u64 **top;                       // file: tables of frame addresses, made on demand
    char *target;                    // symbolic link
    struct list_node entries;        // directory: struct ramfs_entry
    struct ramfs_node *parent;       // directory; the root's is itself
    u64 next_cookie;
};

struct ramfs_entry {
    struct list_node link;
    struct ramfs_node *node;
    u64 cookie;                      // place in readdir, never reused
    char name[];
};

static const struct object_ops ramfs_ops;
static u64 next_ino = 2;
static struct ramfs_node *ramfs_root;

static struct ramfs_node *node_of(struct object *o) {
    return CONTAINER_OF(o, struct ramfs_node, object);
}
static bool is_type(const struct ramfs_node *n, u32 type) { return (n->mode & S_IFMT) == type; }

static u64 wall_ns(void) { return time_wall_ns(); }

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
    n->atime_ns = n->mtime_ns = n->ctime_ns = wall_ns();
    list_init(&n->entries);
    n->next_cookie = 3;
    return n;
}

// Who made it by c (NULL: the kernel), in a directory that may hand its group on.
static void node_own(struct ramfs_node *n, const struct ramfs_node *dir, const struct p9_call *c) {
    n->uid = c ? c->uid : 0;
    n->gid = dir->mode & S_ISGID ? dir->gid : c ? c->gid : 0;
    if ((dir->mode & S_ISGID) && is_type(n, S_IFDIR)) n->mode |= S_ISGID;
}

// A change of what is in a file by another than user 0 costs its set-id bits.
static void ids_drop(struct ramfs_node *n, const struct p9_call *c) {
    const u32 ids = S_ISUID | (n->mode & S_IXGRP ? S_ISGID : 0);
    if (c->uid && is_type(n, S_IFREG)) n->mode &= ~ids;
}

static u64 *page_slot(struct ramfs_node *n, u64 page, bool make) {
    u64 i = page / 512;
    if (i >= RAMFS_TOP_ENTRIES) return NULL;
    if (!n->top) {
        if (!make) return NULL;
        n->top = kmem_alloc(RAMFS_TOP_ENTRIES * sizeof(u64 *));
        if (!n->top) return NULL;
    }
    if (!n->top[i]) {
        if (!make) return NULL;
        n->top[i] = kmem_alloc(512 * sizeof(u64));
        if (!n->top[i]) return NULL;
    }
    return &n->top[i][page % 512];
}

static void pages_drop(struct ramfs_node *n, u64 from_page) {
    if (!n->top) return;
    for (u64 i = from_page / 512; i < RAMFS_TOP_ENTRIES; i++) {
        if (!n->top[i]) continue;
        u64 first = i == from_page / 512 ? from_page % 512 : 0;
        for (u64 j = first; j < 512; j++) {
            if (!n->top[i][j]) continue;
            frame_unref(paddr(n->top[i][j]));
            n->top[i][j] = 0;
            n->pages--;
        }
        if (first == 0) {
            kmem_free(n->top[i], 512 * sizeof(u64));
            n->top[i] = NULL;
        }
    }
    if (from_page == 0) {
        kmem_free(n->top, RAMFS_TOP_ENTRIES * sizeof(u64 *));
        n->top = NULL;
    }
}

static void ramfs_release(struct object *o) {
    struct ramfs_node *n = node_of(o);
    share_map_gone(o);
    pages_drop(n, 0);
    if (n->target) kmem_free(n->target, strlen(n->target) + 1);
    kmem_free(n, sizeof *n);
}

// The frame of a page that is about to be written: made, or moved away from a mapper.
static u8 *page_for_write(struct ramfs_node *n, u64 page) {
    u64 *slot = page_slot(n, page, true);
    if (!slot) return NULL;
    if (*slot && (n->shared || frame_refs(paddr(*slot)) == 1)) return phys_to_virt(paddr(*slot));
    paddr_t frame = frame_alloc(FRAME_USER);
    if (frame.v == 0) return NULL;
    if (*slot) {
        memcpy(phys_to_virt(frame), phys_to_virt(paddr(*slot)), PAGE_SIZE);
        frame_unref(paddr(*slot));
    } else {
        n->pages++;
    }
    *slot = frame.v;
    return phys_to_virt(frame);
}

// All pages of the range are this node's, to read or to write, for as long as the lock is held.
static status_t range_is_here(const struct ramfs_node *n, u64 offset, u64 count, bool write) {
    if (!n->shared || count == 0) return S_OK;
    for (u64 page = offset / PAGE_SIZE; page <= (offset + count - 1) / PAGE_SIZE; page++) {
        const status_t s = share_map_may(&n->object, page, write);
        if (s != S_OK) return s;
    }
    return S_OK;
}

static status_t do_write(struct ramfs_node *n, struct p9_call *c) {
    if (is_type(n, S_IFDIR)) return E_ISDIR;
    if (c->offset > RAMFS_SIZE_MAX || c->count > RAMFS_SIZE_MAX - c->offset) return E_FBIG;
    const status_t s = range_is_here(n, c->offset, c->count, true);
    if (s != S_OK) return s;
    while (c->result < c->count) {
        u64 at = c->offset + c->result, in_page = at & PAGE_MASK;
        u64 len = MIN(PAGE_SIZE - in_page, c->count - c->result);
        u8 *page = page_for_write(n, at / PAGE_SIZE);
        if (!page) return c->result ? S_OK : E_NOSPC;
        data_get(c, c->result, page + in_page, len);
        c->result += len;
        if (at + len > n->size) n->size = at + len;
    }
    if (c->count) n->mtime_ns = n->ctime_ns = wall_ns();
    if (c->count) ids_drop(n, c);
    return S_OK;
}

static status_t do_read(struct ramfs_node *n, struct p9_call *c) {
    if (is_type(n, S_IFDIR)) return E_ISDIR;
    if (c->offset >= n->size) return S_OK;
    u64 count = MIN(c->count, n->size - c->offset);
    const status_t s = range_is_here(n, c->offset, count, false);
    if (s != S_OK) return s;
    while (c->result < count) {
        u64 at = c->offset + c->result, in_page = at & PAGE_MASK;
        u64 len = MIN(PAGE_SIZE - in_page, count - c->result);
        u64 *slot = page_slot(n, at / PAGE_SIZE, false);
        if (slot && *slot) {
            data_put(c, c->result, (u8 *)phys_to_virt(paddr(*slot)) + in_page, len);
        } else {
            data_zero(c, c->result, len);
        }
        c->result += len;
    }
    n->atime_ns = wall_ns();
    return S_OK;
}

static status_t do_page(struct ramfs_node *n, struct p9_call *c) {
    if (!is_type(n, S_IFREG)) return E_NODEV;
    if (c->offset >= ALIGN_UP(n->size, PAGE_SIZE)) return E_NXIO;
    u64 *slot = page_slot(n, c->offset / PAGE_SIZE, true);
    if (!slot) return E_NOMEM;
    if (!*slot) {
        if (!page_for_write(n, c->offset / PAGE_SIZE)) return E_NOMEM;
    }
    const u64 page = c->offset / PAGE_SIZE;
    const status_t s = share_map_may(&n->object, page, (c->flags & P9_PAGE_WRITE) != 0);
    if (s != S_OK) return s;
    if (c->flags & P9_PAGE_SHARED) {
        n->shared = true;
        frame_set_use(paddr(*slot), FRAME_SHARED);
        c->value = share_map_writable(&n->object, page);
    }
    frame_ref(paddr(*slot));
    c->result = *slot;
    return S_OK;
}

static status_t set_size(struct ramfs_node *n, u64 size) {
    if (is_type(n, S_IFDIR)) return E_ISDIR;
    if (!is_type(n, S_IFREG)) return E_INVAL;
    if (size > RAMFS_SIZE_MAX) return E_FBIG;
    if (size < n->size) {
        const status_t s = n->shared ? share_map_cut(&n->object, size / PAGE_SIZE) : S_OK;
        if (s != S_OK) return s;
        pages_drop(n, (size + PAGE_MASK) / PAGE_SIZE);
        u64 *slot = page_slot(n, size / PAGE_SIZE, false);
        if ((size & PAGE_MASK) && slot && *slot) {
            u8 *page = page_for_write(n, size / PAGE_SIZE);
            if (!page) return E_NOMEM;
            memset(page + (size & PAGE_MASK), 0, PAGE_SIZE - (size & PAGE_MASK));
        }
    }
    n->size = size;
    n->mtime_ns = n->ctime_ns = wall_ns();
    return S_OK;
}

static void do_getattr(struct ramfs_node *n, struct p9_attr *a) {
    *a = (struct p9_attr){.valid = P9_GETATTR_BASIC, .qid_path = n->ino, .mode = n->mode,
        .uid = n->uid, .gid = n->gid, .nlink = n->nlink, .blksize = PAGE_SIZE,
        .qid_type = is_type(n, S_IFDIR) ? 0x80 : is_type(n, S_IFLNK) ? 0x02 : 0,
        .size = is_type(n, S_IFLNK) ? strlen(n->target) : n->size, .blocks = n->pages * 8,
        .atime_s = n->atime_ns / NS_PER_S, .atime_ns = n->atime_ns % NS_PER_S,
        .mtime_s = n->mtime_ns / NS_PER_S, .mtime_ns = n->mtime_ns % NS_PER_S,
        .ctime_s = n->ctime_ns / NS_PER_S, .ctime_ns = n->ctime_ns % NS_PER_S};
}

static status_t do_setattr(struct ramfs_node *n, struct p9_call *c) {
    u64 valid = c->attr.valid, now = wall_ns();
    if (valid & P9_SETATTR_SIZE) {
        status_t s = set_size(n, c->attr.size);
        if (s != S_OK) return s;
        ids_drop(n, c);
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

static struct ramfs_entry *entry_find(struct ramfs_node *dir, const char *name) {
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
    dir->mtime_ns = dir->ctime_ns = wall_ns();
    if (is_type(n, S_IFDIR)) {
        n->parent = dir;
        dir->nlink++;
    }
    return S_OK;
}

static void entry_remove(struct ramfs_node *dir, struct ramfs_entry *e) {
    if (is_type(e->node, S_IFDIR)) dir->nlink--;
    dir->mtime_ns = dir->ctime_ns = wall_ns();
    list_remove(&e->link);
    kmem_free(e, sizeof *e + strlen(e->name) + 1);
}

static void node_unlink(struct ramfs_node *n) {
    if (is_type(n, S_IFDIR)) n->nlink = 1;
    n->ctime_ns = wall_ns();
    if (--n->nlink == 0) object_put(&n->object);
}

// Makes an entry in a directory that has none of that name.
// c: whose it is; NULL: user 0's.
static status_t make(struct ramfs_node *dir, const char *name, u32 mode, const struct p9_call *c,
                     struct ramfs_node **out) {
    if (!is_type(dir, S_IFDIR)) return E_NOTDIR;
    if (dir->nlink == 0) return E_NOENT;
    if (entry_find(dir, name)) return E_EXIST;
    struct ramfs_node *n = node_new(mode);
    if (!n) return E_NOSPC;
    if (is_type(n, S_IFDIR)) n->nlink = 2;
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
    if (!is_type(dir, S_IFDIR)) return E_NOTDIR;
    struct ramfs_node *n;
    if (!strcmp(c->name, ".")) n = dir;
    else if (!strcmp(c->name, "..")) n = dir->parent ? dir->parent : dir;
    else {
        struct ramfs_entry *e = entry_find(dir, c->name);
        if (!e) return E_NOENT;
        n = e->node;
    }
    object_get(&n->object);
    c->made = object_id_of(&n->object);
    do_getattr(n, &c->attr);
    return S_OK;
}

static status_t do_open(struct ramfs_node *n, struct p9_call *c) {
    if (is_type(n, S_IFLNK) && !(c->flags & O_PATH)) return E_LOOP;
    if (is_type(n, S_IFDIR) && (c->flags & O_ACCMODE)) return E_ISDIR;
    if ((c->flags & O_DIRECTORY) && !is_type(n, S_IFDIR)) return E_NOTDIR;
    if ((c->flags & O_TRUNC) && is_type(n, S_IFREG) && !(c->flags & O_PATH)) {
        status_t s = set_size(n, 0);
        if (s != S_OK) return s;
        ids_drop(n, c);
    }
    return ofd_open(&n->object, c->flags, c);
}

static status_t do_create(struct ramfs_node *dir, struct p9_call *c) {
    struct ramfs_node *n;
    status_t s = make(dir, c->name, S_IFREG | (c->mode & 07777), c, &n);
    return s == S_OK ? ofd_open(&n->object, c->flags, c) : s;
}

static status_t do_readdir(struct ramfs_node *dir, struct p9_call *c) {
    if (!is_type(dir, S_IFDIR)) return E_NOTDIR;
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
    if (!is_type(dir, S_IFDIR)) return E_NOTDIR;
    struct ramfs_entry *e = entry_find(dir, c->name);
    if (!e) return E_NOENT;
    struct ramfs_node *n = e->node;
    bool want_dir = (c->flags & 0x200) != 0;     // AT_REMOVEDIR
    if (want_dir && !is_type(n, S_IFDIR)) return E_NOTDIR;
    if (!want_dir && is_type(n, S_IFDIR)) return E_ISDIR;
    if (want_dir && !list_empty(&n->entries)) return E_NOTEMPTY;
    entry_remove(dir, e);
    node_unlink(n);
    return S_OK;
}

static struct ramfs_node *node_by_id(struct object_id id) {
    struct object *o = id.node == node_id ? object_find(id) : NULL;
    return o && o->ops == &ramfs_ops ? node_of(o) : NULL;
}

static status_t do_rename(struct ramfs_node *from, struct p9_call *c) {
    struct ramfs_node *to = node_by_id(c->object2);
    if (!to) return E_XDEV;
    if (!is_type(from, S_IFDIR) || !is_type(to, S_IFDIR)) return E_NOTDIR;
    struct ramfs_entry *e = entry_find(from, c->name), *old = entry_find(to, c->name2);
    if (!e) return E_NOENT;
    struct ramfs_node *n = e->node;
    if (old && old->node == n) return S_OK;
    if (old && (c->flags & 1)) return E_EXIST;   // RENAME_NOREPLACE
    for (struct ramfs_node *up = to; is_type(n, S_IFDIR); up = up->parent) {
        if (up == n) return E_INVAL;             // into its own subtree
        if (!up->parent || up->parent == up) break;
    }
    if (old) {
        if (is_type(old->node, S_IFDIR) && !is_type(n, S_IFDIR)) return E_ISDIR;
        if (!is_type(old->node, S_IFDIR) && is_type(n, S_IFDIR)) return E_NOTDIR;
        if (!list_empty(&old->node->entries)) return E_NOTEMPTY;
    }
    status_t s = entry_add(to, c->name2, n);     // a second name for a moment, under the lock
    if (s != S_OK) return s;
    if (old) {
        struct ramfs_node *gone = old->node;
        entry_remove(to, old);
        node_unlink(gone);
    }
    entry_remove(from, e);
    return S_OK;
}

static status_t do_link(struct ramfs_node *dir, struct p9_call *c) {
    struct ramfs_node *n = node_by_id(c->object2);
    if (!n) return E_XDEV;
    if (!is_type(dir, S_IFDIR)) return E_NOTDIR;
    if (is_type(n, S_IFDIR)) return E_PERM;
    if (n->nlink == 0) return E_NOENT;
    if (entry_find(dir, c->name)) return E_EXIST;
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
    status_t s = make(dir, c->name, S_IFLNK | 0777, c, &n);
    if (s == S_OK) n->target = target;
    else kmem_free(target, len + 1);
    return s;
}

static status_t do_readlink(struct ramfs_node *n, struct p9_call *c) {
    if (!is_type(n, S_IFLNK)) return E_INVAL;
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
    struct ramfs_node *n = node_of(o), *made;
    switch (c->type) {
    case P9_TWALK: return do_walk(n, c);
    case P9_TLOPEN: return do_open(n, c);
    case P9_TLCREATE: return do_create(n, c);
    case P9_TREAD: return do_read(n, c);
    case P9_TWRITE: return do_write(n, c);
    case P9_TREADDIR: return do_readdir(n, c);
    case P9_TGETATTR: do_getattr(n, &c->attr); return S_OK;
    case P9_TSETATTR: return do_setattr(n, c);
    case P9_TMKDIR: return make(n, c->name, S_IFDIR | (c->mode & 07777), c, &made);
    case P9_TUNLINKAT: return do_unlink(n, c);
    case P9_TRENAMEAT: return do_rename(n, c);
    case P9_TLINK: return do_link(n, c);
    case P9_TSYMLINK: return do_symlink(n, c);
    case P9_TREADLINK: return do_readlink(n, c);
    case P9_TSTATFS: return do_statfs(c);
    case P9_TPAGE: return do_page(n, c);
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

// --- the image's files ---

static struct ramfs_node *dir_for(struct ramfs_node *dir, char **path) {
    for (;;) {
        char *slash = strchr(*path, '/');
        if (!slash) return dir;
        *slash = 0;
        if (slash != *path && strcmp(*path, ".")) {
            struct ramfs_entry *e = entry_find(dir, *path);
            struct ramfs_node *n = e ? e->node : NULL;
            if (!n && make(dir, *path, S_IFDIR | 0755, NULL, &n) != S_OK) return NULL;
            if (!is_type(n, S_IFDIR)) return NULL;
            dir = n;
        }
        *path = slash + 1;
    }
}

// Takes the whole pages of a file from where the loader put them. Returns the bytes taken.
static u64 load_in_place(struct ramfs_node *n, const struct cpio_file *f) {
    u64 at = 0;
    if ((u64)f->data & PAGE_MASK) return 0;
    for (; f->size - at >= PAGE_SIZE && at < RAMFS_SIZE_MAX; at += PAGE_SIZE) {
        u64 *slot = page_slot(n, at / PAGE_SIZE, true);
        if (!slot || !frame_adopt(virt_to_phys(f->data + at), FRAME_USER)) break;
        *slot = virt_to_phys(f->data + at).v;
        n->pages++;
    }
    n->size = at;
    return at;
}

static status_t load_content(struct ramfs_node *n, const struct cpio_file *f) {
    if (is_type(n, S_IFLNK)) {
        n->target = kmem_alloc(f->size + 1);
        if (!n->target) return E_NOSPC;
        memcpy(n->target, f->data, f->size);
        return S_OK;
    }
    const u64 taken = load_in_place(n, f), left = f->size - taken;
    struct p9_call c = {.type = P9_TWRITE, .offset = taken, .count = left,
                        .data.buffer = (void *)(uintptr_t)(f->data + taken)};
    status_t s = left ? do_write(n, &c) : S_OK;
    n->mtime_ns = f->mtime_s * NS_PER_S;
    return s == S_OK && c.result < left ? E_NOSPC : s;
}

static status_t load_one(struct ramfs_node *root, const struct cpio_file *f) {
    char path[P9_PATH_MAX], *name = path;
    if (f->name_len >= sizeof path) return E_NAMETOOLONG;
    memcpy(path, f->name, f->name_len);
    path[f->name_len] = 0;
    while (name[0] && path[strlen(path) - 1] == '/') path[strlen(path) - 1] = 0;
    struct ramfs_node *dir = dir_for(root, &name), *n;
    if (!dir) return E_NOTDIR;
    if (!*name || !strcmp(name, ".")) return S_OK;
    struct ramfs_entry *e = entry_find(dir, name);
    if (e && (f->mode & S_IFMT) == S_IFDIR && is_type(e->node, S_IFDIR)) return S_OK;
    if (e) {                                     // a later archive replaces
        n = e->node;
        if (is_type(n, S_IFDIR)) return E_ISDIR;
        entry_remove(dir, e);
        node_unlink(n);
    }
    u32 type = f->mode & S_IFMT;
    if (type != S_IFREG && type != S_IFDIR && type != S_IFLNK) return S_OK;   // /dev is ours
    status_t s = make(dir, name, f->mode, NULL, &n);
    return s == S_OK && type != S_IFDIR ? load_content(n, f) : s;
}

// Unpacks a cpio newc archive under root; hard links become copies where the archive
// repeats the data. The archive is a module of the loader's: pages of files stay where they lie
// in it, the rest of its memory is free afterwards. E_INVAL: malformed; files before the damage
// are kept.
status_t ramfs_load_cpio(struct object *root, const u8 *cpio, u64 len_bytes) {
    u64 at = 0;
    spin_lock(&files_lock);
    status_t s = S_OK;
    struct cpio_file f;
    while (s == S_OK && (s = cpio_next(cpio, len_bytes, &at, &f)) == S_OK) {
        s = load_one(node_of(root), &f);
    }
    spin_unlock(&files_lock);
    frame_reclaim(virt_to_phys(cpio), len_bytes);
    return s == E_NOENT ? S_OK : s;
}
