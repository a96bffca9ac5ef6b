// Serves a tree described by struct synth_entry: directories, files made when read,
// links. Called through file_call; lock: files_lock.
#include "kernel/files/synth.h"

#include <stdarg.h>

#include "base/string.h"
#include "kernel/klog.h"
#include "mm/kmem.h"

#define SYNTH_TEXT_BYTES (32 * KIB)
#define SYNTH_WRITE_MAX 256u

struct synth_node {
    struct object object;
    const struct synth_entry *entry;
    u64 arg;
    struct synth_node *parent;       // a reference; NULL: the root
    const struct synth_node *owner;  // the one, it or above it, that says whose it is; or NULL
    struct text cache;               // the content, from the first read at offset 0 on
};

static const struct object_ops synth_ops_table;

// Appends formatted text; what does not fit is cut and noted.
void text_add(struct text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = kvsnprintf(t->bytes + t->len, t->size - t->len, format, args);
    va_end(args);
    if (n < 0) return;
    if ((u32)n >= t->size - t->len) {
        t->full = true;
        n = (int)(t->size - t->len) - 1;
    }
    t->len += (u32)n;
}

// Appends bytes; what does not fit is left out, and t->full says so.
void text_add_bytes(struct text *t, const void *bytes, u32 len) {
    u32 n = MIN(len, t->size - t->len - 1);
    memcpy(t->bytes + t->len, bytes, n);
    t->len += n;
    t->full |= n < len;
}

static struct synth_node *node_of(struct object *o) {
    return CONTAINER_OF(o, struct synth_node, object);
}

static status_t node_new(const struct synth_entry *e, u64 arg, struct synth_node *parent,
                         struct synth_node **out) {
    struct synth_node *n = kmem_alloc(sizeof *n);
    if (!n) return E_NOMEM;
    status_t s = object_add(&n->object, &synth_ops_table);
    if (s != S_OK) {
        kmem_free(n, sizeof *n);
        return s;
    }
    n->entry = e;
    n->arg = arg;
    n->parent = parent;
    if (parent) object_get(&parent->object);
    n->owner = e->own ? n : parent ? parent->owner : NULL;
    *out = n;
    return S_OK;
}

static void synth_release(struct object *o) {
    struct synth_node *n = node_of(o);
    if (n->parent) object_put(&n->parent->object);
    if (n->cache.bytes) kmem_free(n->cache.bytes, n->cache.size);
    kmem_free(n, sizeof *n);
}

static bool is_dir(const struct synth_entry *e) { return (e->mode & S_IFMT) == S_IFDIR; }
static bool alive(const struct synth_node *n) {
    return !n->entry->alive || n->entry->alive(n->arg);
}

static u64 inode_number(const struct synth_entry *e, u64 arg) {
    return ((u64)e >> 3 & 0xffffff) | (arg + 1) << 24;
}

static void fill_attr(const struct synth_node *n, struct p9_attr *a) {
    const struct synth_entry *e = n->entry;
    const u64 arg = n->arg;
    *a = (struct p9_attr){.valid = P9_GETATTR_BASIC, .qid_path = inode_number(e, arg),
        .mode = e->mode, .nlink = is_dir(e) ? 2 : 1, .blksize = PAGE_SIZE,
        .qid_type = is_dir(e) ? 0x80 : (e->mode & S_IFMT) == S_IFLNK ? 0x02 : 0};
    if (n->owner) n->owner->entry->own(n->owner->arg, a);
}

static status_t do_walk(struct synth_node *n, struct p9_call *c) {
    if (!is_dir(n->entry)) return E_NOTDIR;
    if (!alive(n)) return E_NOENT;
    struct synth_node *to = NULL;
    if (!strcmp(c->name, ".")) to = n;
    if (!strcmp(c->name, "..")) to = n->parent ? n->parent : n;
    if (to) {
        object_get(&to->object);
    } else {
        const struct synth_entry *e = n->entry->children;
        u64 arg = n->arg;
        while (e && e->name && strcmp(e->name, c->name)) e++;
        if (!e || !e->name) {
            if (!n->entry->dynamic) return E_NOENT;
            status_t s = n->entry->dynamic->find(n->arg, c->name, &e, &arg);
            if (s != S_OK) return s;
        }
        if (e->mount) {
            const struct synth_node root = {.entry = e, .arg = arg};
            c->made = e->mount(arg);
            fill_attr(&root, &c->attr);
            return S_OK;
        }
        status_t s = node_new(e, arg, n, &to);
        if (s != S_OK) return s;
    }
    c->made = object_id_of(&to->object);
    fill_attr(to, &c->attr);
    return S_OK;
}

static status_t do_readdir(struct synth_node *n, struct p9_call *c) {
    if (!is_dir(n->entry)) return E_NOTDIR;
    if (!alive(n)) return E_NOENT;
    u64 at = 0;
    u64 ino = inode_number(n->entry, n->arg);
    char name[P9_NAME_MAX + 1];
    u32 mode;
    for (u32 i = 0;; i++, at++) {
        const char *entry_name = name;
        const struct synth_entry *e = n->entry->children;
        for (u32 j = 2; e && e->name && j < i; j++) e++;
        u64 entry_ino = ino;
        if (i < 2) {
            entry_name = i ? ".." : ".";
            mode = S_IFDIR;
        } else if (e && e->name) {
            entry_name = e->name;
            mode = e->mode;
            entry_ino = inode_number(e, n->arg);
        } else {
            u32 statics = 0;
            for (e = n->entry->children; e && e->name; e++) statics++;
            if (!n->entry->dynamic || !n->entry->dynamic->list) break;
            if (!n->entry->dynamic->list(n->arg, i - 2 - statics, name, &mode)) break;
            entry_ino = ino * 31 + i;
        }
        if (at < c->offset) continue;
        if (!data_dirent(c, entry_ino, at + 1, mode, entry_name)) break;
        c->value = at + 1;
    }
    return S_OK;
}

static status_t fill_cache(struct synth_node *n) {
    if (!n->cache.bytes) {
        n->cache.bytes = kmem_alloc(SYNTH_TEXT_BYTES);
        if (!n->cache.bytes) return E_NOMEM;
        n->cache.size = SYNTH_TEXT_BYTES;
    }
    const u32 len = n->cache.len;
    n->cache.len = 0;
    n->cache.full = false;
    const status_t s = n->entry->show(n->arg, &n->cache);
    if (s != S_OK) n->cache.len = len;           // it is as it was
    return s;
}

static status_t do_read(struct synth_node *n, struct p9_call *c) {
    if (is_dir(n->entry)) return E_ISDIR;
    if (!n->entry->show) return E_ACCES;
    // Of what has gone meanwhile it says what it said when it was opened.
    const bool lives = alive(n);
    if (!lives && !n->cache.bytes) return E_SRCH;
    if (lives && (c->offset == 0 || !n->cache.bytes)) {
        status_t s = fill_cache(n);
        if (s != S_OK) return s;
    }
    if (c->offset >= n->cache.len) return S_OK;
    u64 len = MIN(c->count, n->cache.len - c->offset);
    c->result = data_put(c, 0, n->cache.bytes + c->offset, len);
    return S_OK;
}

static status_t do_write(struct synth_node *n, struct p9_call *c) {
    char text[SYNTH_WRITE_MAX + 1];
    if (!n->entry->write) return E_ACCES;
    if (c->count > SYNTH_WRITE_MAX) return E_INVAL;
    data_get(c, 0, text, c->count);
    text[c->count] = 0;
    status_t s = n->entry->write(n->arg, text, (u32)c->count);
    if (s == S_OK) c->result = c->count;
    return s;
}

// As Linux's ptrace access: of files of a process that tell what it does.
static status_t may_see(const struct synth_node *n, const struct p9_call *c) {
    struct p9_attr a;
    fill_attr(n, &a);
    return !n->entry->owner_only || c->uid == 0 || c->uid == a.uid ? S_OK : E_ACCES;
}

static status_t do_readlink(struct synth_node *n, struct p9_call *c) {
    if ((n->entry->mode & S_IFMT) != S_IFLNK) return E_INVAL;
    if (may_see(n, c) != S_OK) return E_ACCES;
    char bytes[PROC_PATH_MAX];
    struct text t = {.bytes = bytes, .size = sizeof bytes};
    status_t s = n->entry->show(n->arg, &t);
    if (s == S_OK) c->result = data_put(c, 0, bytes, MIN((u64)t.len, c->count));
    return s;
}

static status_t do_open(struct synth_node *n, struct p9_call *c) {
    if (is_dir(n->entry) && (c->flags & O_ACCMODE)) return E_ISDIR;
    if (!is_dir(n->entry) && (c->flags & O_DIRECTORY)) return E_NOTDIR;
    if (!is_dir(n->entry) && (c->flags & O_ACCMODE) && !n->entry->write) return E_ACCES;
    if (!alive(n)) return E_SRCH;
    if (!(c->flags & O_PATH) && may_see(n, c) != S_OK) return E_ACCES;
    if (n->entry->alive && n->entry->show && (c->flags & O_ACCMODE) != O_WRONLY) {
        const status_t s = fill_cache(n);
        if (s != S_OK) return s;
    }
    if (n->entry->open) return n->entry->open(&n->object, c);
    return ofd_open(&n->object, c->flags, c);
}

static status_t synth_call(struct object *o, struct p9_call *c) {
    struct synth_node *n = node_of(o);
    switch (c->type) {
    case P9_TWALK: return do_walk(n, c);
    case P9_TLOPEN: return do_open(n, c);
    case P9_TREAD: return do_read(n, c);
    case P9_TWRITE: return do_write(n, c);
    case P9_TREADDIR: return do_readdir(n, c);
    case P9_TREADLINK: return do_readlink(n, c);
    case P9_TGETATTR: fill_attr(n, &c->attr); return S_OK;
    case P9_TSETATTR: return c->attr.valid & ~(u64)P9_SETATTR_SIZE ? E_PERM : S_OK;
    case P9_TSTATFS:
        c->statfs = (struct p9_statfs){.type = 0x9fa0, .bsize = PAGE_SIZE};
        return S_OK;
    case P9_TPOLL: c->result = c->flags & (POLLIN | POLLOUT); return S_OK;
    case P9_TFSYNC: case P9_TCLUNK: return S_OK;
    case P9_TIOCTL: return n->entry->ioctl ? n->entry->ioctl(c) : E_NOTTY;
    case P9_TLCREATE: case P9_TMKDIR: case P9_TUNLINKAT: case P9_TRENAMEAT: case P9_TLINK:
    case P9_TSYMLINK: return E_PERM;
    case P9_TPAGE: return E_NODEV;
    default: return E_OPNOTSUPP;
    }
}

static const struct object_ops synth_ops_table = {"synth", synth_call, synth_release};

// Makes the root object of a tree. Context: boot.
struct object *synth_root(const struct synth_entry *root) {
    struct synth_node *n;
    spin_lock(&files_lock);
    status_t s = node_new(root, 0, NULL, &n);
    spin_unlock(&files_lock);
    ASSERT(s == S_OK);
    return &n->object;
}
