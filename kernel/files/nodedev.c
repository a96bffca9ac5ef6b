// The directory /nodes/N/dev. It is this node's root object, so other nodes walk to it by
// name without asking. What lies in it is served by others (drivefs.c, cardfs.c, devfs.c);
// their attributes are asked of them. Called through file_call; lock: files_lock.
#include "kernel/files/nodedev.h"

#include "base/string.h"
#include "kernel/drives.h"

static struct object directory;
static struct { const char *name; struct object *object; } entries[NODEDEV_MAX];
static u32 entry_count;

static const struct p9_attr dir_attr = {.valid = P9_GETATTR_BASIC, .qid_path = 1, .nlink = 2,
    .mode = S_IFDIR | 0755, .blksize = PAGE_SIZE, .qid_type = 0x80};

static struct p9_attr attr_of(struct object *o) {
    struct p9_call c = {.type = P9_TGETATTR};
    (void)o->ops->call(o, &c);
    return c.attr;
}

static status_t walk(struct p9_call *c) {
    if (!strcmp(c->name, ".") || !strcmp(c->name, "..")) {
        c->made = object_root_id(node_id, OBJECT_ROOT_DEV);
        c->attr = dir_attr;
        return S_OK;
    }
    for (u32 i = 0; i < entry_count; i++) {
        if (strcmp(entries[i].name, c->name)) continue;
        object_get(entries[i].object);
        c->made = object_id_of(entries[i].object);
        c->attr = attr_of(entries[i].object);
        return S_OK;
    }
    return E_NOENT;
}

static status_t list(struct p9_call *c) {
    for (u64 i = c->offset; i < entry_count + 2; i++) {
        const struct p9_attr a = i < 2 ? dir_attr : attr_of(entries[i - 2].object);
        const char *name = i == 0 ? "." : i == 1 ? ".." : entries[i - 2].name;
        if (!data_dirent(c, a.qid_path, i + 1, a.mode, name)) break;
        c->value = i + 1;
    }
    return S_OK;
}

static status_t call(struct object *o, struct p9_call *c) {
    switch (c->type) {
    case P9_TWALK: return walk(c);
    case P9_TREADDIR: return list(c);
    case P9_TREAD: return E_ISDIR;
    case P9_TLOPEN:
        return c->flags & O_ACCMODE ? E_ISDIR : ofd_open(o, c->flags, c);
    case P9_TGETATTR: c->attr = dir_attr; return S_OK;
    case P9_TSETATTR: return E_PERM;
    case P9_TCLUNK: return S_OK;
    case P9_TFSYNC: return drives_sync_all(&c->value);
    case P9_TPOLL: c->result = c->flags & (POLLIN | POLLOUT); return S_OK;
    case P9_TSTATFS:
        c->statfs = (struct p9_statfs){.type = 0x9fa0, .bsize = PAGE_SIZE};
        return S_OK;
    case P9_TIOCTL: return E_NOTTY;
    case P9_TREADLINK: return E_INVAL;
    case P9_TPAGE: return E_NODEV;
    default: return E_PERM;
    }
}

static void keep(struct object *o) { (void)o; }  // the table's own reference stays
static const struct object_ops ops = {"nodedev", call, keep};

void nodedev_init(void) {
    spin_lock(&files_lock);
    const status_t status = object_add(&directory, &ops);
    ASSERT(status == S_OK);
    object_set_root(OBJECT_ROOT_DEV, &directory);
    spin_unlock(&files_lock);
}

// See nodedev.h.
status_t nodedev_add(const char *name, struct object *o) {
    if (entry_count == NODEDEV_MAX) return E_NOSPC;
    entries[entry_count].name = name;
    entries[entry_count++].object = o;
    return S_OK;
}

// See nodedev.h. A file's size may be set, as `>` does, and stays what it is.
status_t nodedev_file_other(struct p9_call *c) {
    switch (c->type) {
    case P9_TSTATFS:
        c->statfs = (struct p9_statfs){.type = 0x1373, .bsize = PAGE_SIZE};
        return S_OK;
    case P9_TSETATTR: return c->attr.valid & ~(u64)P9_SETATTR_SIZE ? E_PERM : S_OK;
    case P9_TWALK: case P9_TREADDIR: return E_NOTDIR;
    case P9_TREADLINK: return E_INVAL;
    case P9_TPAGE: return E_NODEV;
    default: return E_PERM;
    }
}
