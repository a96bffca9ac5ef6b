// The mounts that this node serves, and their directory: object_mounts_id(node), which
// kernel/path.c joins over all nodes into /mnt. A mount is a name in it; walking to the
// name gives the server's root. Its open form is a list made when it is opened, with the
// names of the other nodes that the opener gives (P9_TLOPEN with data).
// Called through file_call and by mount(2), umount(2). Lock: files_lock.
#include "base/string.h"
#include "kernel/files/userfs_priv.h"
#include "kernel/klog.h"
#include "mm/kmem.h"

#define LIST_BYTES (16 * KIB)            // of the names that one listing shows

struct user_mount *user_mounts[MOUNTS_MAX];

static struct object directory;
static struct wait_list ended_wait = WAIT_LIST_INIT(ended_wait);
static u64 next_serial = 1;

struct mount_list {
    struct object object;
    u64 len;
    u8 bytes[LIST_BYTES];            // entries of Rreaddir
};

// The mount with that number; NULL: there is none. files_lock held.
struct user_mount *mount_of(u32 number) {
    return number < MOUNTS_MAX ? user_mounts[number] : NULL;
}

// Whether its server may still answer.
bool mount_alive(const struct user_mount *m) {
    return m->state >= MOUNT_VERSION && m->state <= MOUNT_READY;
}

// --- begin and end ---

static void mount_free(struct user_mount *m) {
    user_mounts[m->number] = NULL;
    if (m->tx) kmem_free(m->tx, MOUNT_BUFFER_BYTES);
    if (m->rx) kmem_free(m->rx, MOUNT_BUFFER_BYTES);
    kmem_free(m, sizeof *m);
}

// The channel of m has ended: who waits for that goes on.
void mount_ended(struct user_mount *m) {
    (void)m;
    file_wake(&ended_wait);
}

// Frees a mount whose server is gone, that is unmounted, and of which nothing is open.
void mount_reap(u32 number) {
    struct user_mount *m = user_mounts[number];
    if (m->state != MOUNT_DEAD || !m->detached) return;
    if (m->root && !m->root_given) {
        m->root_given = true;
        object_put(&m->root->object);
    }
    if (m->root == NULL && list_empty(&m->all)) mount_free(m);
}

static struct user_mount *find_by_name(const char *name) {
    for (u32 i = 0; i < MOUNTS_MAX; i++) {
        struct user_mount *m = user_mounts[i];
        if (m && !m->detached && m->state != MOUNT_CLOSING && !strcmp(m->name, name)) return m;
    }
    return NULL;
}

static struct object *pipe_find(struct object_id id) {
    struct object *o = id.node == node_id && !object_is_user(id) ? object_find(id) : NULL;
    struct p9_call c = {.type = P9_TGETATTR};
    if (!o || object_call_alone(o, &c) != S_OK) return NULL;
    return (c.attr.mode & S_IFMT) == S_IFIFO ? o : NULL;
}

static struct user_mount *mount_new(u32 number, const struct mount_args *args) {
    struct user_mount *m = kmem_alloc(sizeof *m);
    if (!m) return NULL;
    user_mounts[number] = m;
    m->number = number;
    m->msize = MOUNT_MSIZE;
    m->serial = next_serial++;
    ksnprintf(m->name, sizeof m->name, "%s", args->name);
    ksnprintf(m->source, sizeof m->source, "%s", args->source);
    list_init(&m->queue);
    list_init(&m->clunks);
    list_init(&m->all);
    wait_list_init(&m->quick_wait);
    m->tx = kmem_alloc(MOUNT_BUFFER_BYTES);
    m->rx = kmem_alloc(MOUNT_BUFFER_BYTES);
    m->root = m->tx && m->rx ? user_file_new(m) : NULL;
    if (!m->root) {
        mount_free(m);
        return NULL;
    }
    m->root->root = true;
    m->files--;
    return m;
}

static status_t mount_add(const struct mount_args *args) {
    struct object *to = pipe_find(args->to), *from = pipe_find(args->from);
    struct user_mount *old = find_by_name(args->name);
    if (!to || !from) return E_INVAL;
    if (old && mount_alive(old)) return E_BUSY;
    u32 number = 0;
    while (number < MOUNTS_MAX && user_mounts[number]) number++;
    if (number == MOUNTS_MAX) return E_NFILE;
    struct user_mount *m = mount_new(number, args);
    if (!m) return E_NOMEM;
    if (old) old->detached = true;               // its server is gone; this one takes the name
    object_get(to);
    object_get(from);
    m->to = to;
    m->from = from;
    m->state = MOUNT_VERSION;
    channel_begin(m);
    userfs_wanted();
    return S_OK;
}

// Shows a tree as /mnt/NAME on all nodes: its server speaks 9P2000.L on two open pipes,
// which this kernel holds from here on. The server need not have answered yet.
// Errors: E_INVAL no pipes of this node, or no possible name; E_BUSY the name is taken by a
// server that lives; E_NFILE too many mounts; E_NOMEM. Takes files_lock.
status_t mountfs_mount(const struct mount_args *args) {
    const u64 len = strlen(args->name);
    if (len == 0 || len >= MOUNT_NAME_MAX || !strcmp(args->name, ".") || !strcmp(args->name, ".."))
        return E_INVAL;
    spin_lock(&files_lock);
    const status_t status = mount_add(args);
    spin_unlock(&files_lock);
    return status;
}

static bool serial_lives(u64 serial) {
    for (u32 i = 0; i < MOUNTS_MAX; i++)
        if (user_mounts[i] && user_mounts[i]->serial == serial)
            return user_mounts[i]->state == MOUNT_CLOSING;
    return false;
}

// c->value keeps the mount's serial over restarts: the first run tells the server to end,
// later ones look whether it has.
static status_t do_umount(struct p9_call *c) {
    if (c->value == 0) {
        struct user_mount *m = find_by_name(c->name);
        if (!m) return E_NOENT;
        const bool busy = m->files || (m->root && m->root->object.refs > 1);
        if (busy && mount_alive(m) && !(c->flags & MOUNTFS_FORCE)) return E_BUSY;
        c->value = m->serial;
        if (m->state == MOUNT_DEAD) {
            m->detached = true;
            userfs_wanted();
        } else {
            channel_close(m);
        }
    }
    if (!serial_lives(c->value)) return S_OK;
    file_wait(&ended_wait);
    return S_RESTART;
}

// --- the directory ---

static void fill_attr(struct p9_attr *a) {
    *a = (struct p9_attr){.valid = P9_GETATTR_BASIC, .qid_path = 2, .mode = S_IFDIR | 0755,
                          .nlink = 2, .blksize = PAGE_SIZE, .qid_type = 0x80};
}

static status_t do_walk(struct p9_call *c) {
    if (!c->name || !strcmp(c->name, ".")) {
        c->made = object_mounts_id(node_id);
        fill_attr(&c->attr);
        return S_OK;
    }
    const struct user_mount *m = find_by_name(c->name);
    if (!m) return E_NOENT;
    if (!mount_alive(m)) return E_IO;
    object_get(&m->root->object);
    c->made = user_file_id(m->root);
    fill_attr(&c->attr);                         // the walker asks the server itself
    return S_OK;
}

static status_t do_readdir(struct p9_call *c) {
    for (u64 i = c->offset; i < MOUNTS_MAX; i++) {
        const struct user_mount *m = user_mounts[i];
        if (!m || m->detached || m->state == MOUNT_CLOSING) continue;
        if (!data_dirent(c, m->serial, i + 1, S_IFDIR, m->name)) break;
        c->value = i + 1;
    }
    return S_OK;
}

// --- its open form ---

static u32 entry_bytes(const u8 *e, u64 left) {
    if (left < 24) return 0;
    const u32 name_len = (u32)e[22] | (u32)e[23] << 8;
    return name_len == 0 || name_len > P9_NAME_MAX || left - 24 < name_len ? 0 : 24 + name_len;
}

// Entry i of the list, or its end: NULL.
static const u8 *list_entry(const struct mount_list *l, u64 i, u32 *len) {
    for (u64 at = 0;; at += *len, i--) {
        *len = entry_bytes(l->bytes + at, l->len - at);
        if (*len == 0) return NULL;
        if (i == 0) return l->bytes + at;
    }
}

static status_t list_read(const struct mount_list *l, struct p9_call *c) {
    u32 len;
    for (u64 i = c->offset;; i++) {
        const u8 *e = i < 2 ? NULL : list_entry(l, i - 2, &len);
        if (i >= 2 && !e) return S_OK;
        char name[P9_NAME_MAX + 1] = "..";
        if (i == 0) name[1] = 0;
        if (e) {
            memcpy(name, e + 24, len - 24);
            name[len - 24] = 0;
        }
        u64 ino = 2;
        if (e) memcpy(&ino, e + 5, 8);
        if (!data_dirent(c, ino, i + 1, S_IFDIR, name)) return S_OK;
        c->value = i + 1;
    }
}

static status_t list_call(struct object *o, struct p9_call *c) {
    const struct mount_list *l = CONTAINER_OF(o, struct mount_list, object);
    switch (c->type) {
    case P9_TWALK: return do_walk(c);
    case P9_TREADDIR: return list_read(l, c);
    case P9_TREAD: return E_ISDIR;
    case P9_TGETATTR: fill_attr(&c->attr); return S_OK;
    case P9_TCLUNK: case P9_TFSYNC: return S_OK;
    case P9_TPOLL: c->result = c->flags & (POLLIN | POLLOUT); return S_OK;
    default: return E_PERM;
    }
}

static void list_release(struct object *o) {
    kmem_free(CONTAINER_OF(o, struct mount_list, object), sizeof(struct mount_list));
}

static const struct object_ops list_ops = {"mounts", list_call, list_release};

static status_t do_open(struct p9_call *c) {
    if (c->flags & O_ACCMODE) return E_ISDIR;
    struct mount_list *l = kmem_alloc(sizeof *l);
    if (!l) return E_NOMEM;
    struct p9_call mine = {.type = P9_TREADDIR, .count = LIST_BYTES, .data.buffer = l->bytes};
    (void)do_readdir(&mine);
    const u64 more = c->data.buffer ? MIN(c->count, LIST_BYTES - mine.result) : 0;
    if (more) data_get(c, 0, l->bytes + mine.result, more);
    const u64 len = mine.result + more;
    status_t status = object_add(&l->object, &list_ops);
    if (status != S_OK) {
        kmem_free(l, sizeof *l);
        return status;
    }
    l->len = len;
    status = ofd_open(&l->object, c->flags, c);
    object_put(&l->object);
    return status;
}

static status_t dir_call(struct object *o, struct p9_call *c) {
    (void)o;
    switch (c->type) {
    case P9_TWALK: return do_walk(c);
    case P9_TREADDIR: return do_readdir(c);
    case P9_TLOPEN: return do_open(c);
    case P9_TUNLINKAT: return c->flags & MOUNTFS_UMOUNT ? do_umount(c) : E_BUSY;
    case P9_TGETATTR: fill_attr(&c->attr); return S_OK;
    case P9_TCLUNK: case P9_TFSYNC: return S_OK;
    case P9_TPOLL: c->result = c->flags & (POLLIN | POLLOUT); return S_OK;
    case P9_TSTATFS:
        c->statfs = (struct p9_statfs){.type = 0x9fa0, .bsize = PAGE_SIZE};
        return S_OK;
    case P9_TREAD: return E_ISDIR;
    case P9_TIOCTL: return E_NOTTY;
    case P9_TREADLINK: return E_INVAL;
    case P9_TPAGE: return E_NODEV;
    default: return E_PERM;                      // names come by mount(2) alone
    }
}

static void keep(struct object *o) { (void)o; }  // the table's own reference stays
static const struct object_ops dir_ops = {"mounts", dir_call, keep};

bool mountfs_entry(u32 i, const char **source, const char **name) {
    for (u32 number = 0; number < MOUNTS_MAX; number++) {
        const struct user_mount *m = user_mounts[number];
        if (!m || m->detached || m->state == MOUNT_CLOSING || i--) continue;
        *source = m->source;
        *name = m->name;
        return true;
    }
    return false;
}

// Boot, before the first process.
void mountfs_init(void) {
    spin_lock(&files_lock);
    const status_t status = object_add(&directory, &dir_ops);
    ASSERT(status == S_OK);
    object_set_root(OBJECT_ROOT_MOUNTS, &directory);
    spin_unlock(&files_lock);
}
