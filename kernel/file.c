// The process's side of files: its handles, root and working directory, and the walk of a
// path over file servers and mounts. Called by system calls, exec, fork and exit of the
// process that runs. No lock of its own: handles belong to the CPU that runs the process.
#include "kernel/file.h"

#include "base/string.h"
#include "kernel/files/nodesfs.h"
#include "kernel/files/pty.h"
#include "kernel/files/userfs.h"
#include "kernel/klog.h"
#include "kernel/options.h"
#include "kernel/permission.h"
#include "kernel/proc_path.h"
#include "kernel/share_map.h"
#include "mm/kmem.h"

#define PATH_LINKS_MAX 40u
#define MOUNT_HINTS 64u                  // by hash of the name; a power of two
#define MOUNT_NAMES_BYTES 8192u          // of all nodes' mounts in one listing
#define OPEN_TRIES_MAX 8u                // walks of one open that finds a name made meanwhile

static struct { const char *name; struct object_id root; } mounts[4];
static struct object_id root_id;
static u8 mount_hint[MOUNT_HINTS];       // the node that served such a name last

static void load_module(struct object *root, const char *name) {
    u64 len;
    const u8 *bytes = boot_module(name, &len);
    if (!bytes) return;
    status_t s = ramfs_load_cpio(root, bytes, len);
    if (s != S_OK) klog("%s: malformed or too large (%d); files up to there are kept", name, s);
}

static enum fault_result hook_file_page(struct object_id file, u64 offset,
                                        enum file_page_kind kind, struct file_page *out) {
    static const u32 flags[] = {[FILE_PAGE_PRIVATE] = 0, [FILE_PAGE_READ] = P9_PAGE_SHARED,
                                [FILE_PAGE_WRITE] = P9_PAGE_SHARED | P9_PAGE_WRITE};
    if (kind != FILE_PAGE_PRIVATE && file.node != node_id)
        return share_map_page(file, offset, kind == FILE_PAGE_WRITE, out);
    struct p9_call c = {.type = P9_TPAGE, .object = file, .offset = offset, .flags = flags[kind]};
    status_t s = file_call(&c);
    *out = (struct file_page){paddr(c.result), c.value != 0};
    if (s == S_OK) return FAULT_DONE;
    return s == S_RESTART ? FAULT_WAIT : s == E_NOMEM ? FAULT_NOMEM : FAULT_BUS;
}
static void hook_ref(struct object_id id) { (void)object_ref(id); }

static void make_dir(struct object *root, const char *name, u32 mode) {
    struct p9_call c = {
        .type = P9_TMKDIR, .object = object_id_of(root), .name = name, .mode = mode};
    (void)file_call(&c);
}

// Starts the file servers, unpacks the image's files, mounts. Context: proc_init.
void files_start(void) {
    aspace_hooks.file_ref = hook_ref;
    aspace_hooks.file_unref = object_clunk;
    aspace_hooks.file_page = hook_file_page;
    struct object *root = ramfs_init();
    root_id = object_id_of(root);
    load_module(root, "initrd");
    load_module(root, "extra");
    static const char *const dirs[] = {"dev", "proc", "nodes", "mnt"};
    for (u32 i = 0; i < ARRAY_COUNT(dirs); i++) make_dir(root, dirs[i], 0755);
    make_dir(root, "tmp", 01777);
    make_dir(root, "root", 0700);
    mounts[0].name = "dev";
    mounts[0].root = object_id_of(devfs_init());
    mounts[1].name = "proc";
    mounts[1].root = object_id_of(procfs_init());
    mounts[2].name = "nodes";
    mounts[2].root = object_id_of(nodesfs_init());
    mounts[3].name = "mnt";                      // root: see mount_root
    mountfs_init();
}

static void clunk(struct object_id id, u32 pid) {
    if (id.generation == 0) return;
    struct p9_call c = {.type = P9_TCLUNK, .object = id, .pid = pid};
    (void)file_call(&c);
}

// Drops a reference that this node holds on an object of any node.
void object_clunk(struct object_id id) { clunk(id, 0); }

// The same for a handle of p: its POSIX locks on the file go with it.
static void handle_clunk(const struct proc *p, struct object_id id) {
    clunk(id, proc_desc(p)->pid);
}

status_t object_ref(struct object_id id) {
    if (id.generation == 0) return S_OK;
    struct p9_call c = {.type = P9_TREF, .object = id};
    return file_call(&c);
}

// The process's paths, in its descriptor's auxiliary frame.
struct proc_paths *paths_of(const struct proc *p) {
    return phys_to_virt(paddr(proc_desc(p)->aux[PROC_AUX_PATHS]));
}

// --- handles ---

static struct handle *slot(const struct proc *p, u32 fd) {
    u64 frame = proc_desc(p)->aux[PROC_AUX_HANDLES + fd / HANDLES_PER_FRAME];
    return frame ? (struct handle *)phys_to_virt(paddr(frame)) + fd % HANDLES_PER_FRAME : NULL;
}

// The open handle fd, or NULL (E_BADF).
struct handle *handle_get(const struct proc *p, i64 fd) {
    if (fd < 0 || fd >= (i64)HANDLES_MAX) return NULL;
    struct handle *h = slot(p, (u32)fd);
    return h && h->object.generation ? h : NULL;
}

static status_t slot_make(struct proc *p, u32 fd) {
    u64 *frame = &proc_desc(p)->aux[PROC_AUX_HANDLES + fd / HANDLES_PER_FRAME];
    if (!*frame) *frame = frame_alloc(FRAME_DESC).v;
    return *frame ? S_OK : E_NOMEM;
}

// Gives the object the lowest free handle from `lowest` on; takes over the reference
// where it succeeds. E_MFILE, E_NOMEM.
i64 handle_install(struct proc *p, struct object_id object, u32 flags, u32 lowest) {
    u64 limit = MIN(proc_desc(p)->rlimit_nofile, (u64)HANDLES_MAX);
    for (u32 fd = lowest; fd < limit; fd++) {
        struct handle *h = slot(p, fd);
        if (h && h->object.generation) continue;
        status_t s = handle_put_at(p, fd, object, flags);
        return s == S_OK ? (i64)fd : s;
    }
    return E_MFILE;
}

// Puts the object at fd, closing what was there; takes over the reference.
status_t handle_put_at(struct proc *p, u32 fd, struct object_id object, u32 flags) {
    status_t s = slot_make(p, fd);
    if (s != S_OK) return s;
    struct handle *h = slot(p, fd);
    struct object_id old = h->object;
    *h = (struct handle){.object = object, .flags = flags};
    struct proc_desc *d = proc_desc(p);
    if (fd >= d->handle_max) d->handle_max = fd + 1;
    handle_clunk(p, old);
    return S_OK;
}

status_t handle_close(struct proc *p, i64 fd) {
    struct handle *h = handle_get(p, fd);
    if (!h) return E_BADF;
    struct object_id old = h->object;
    *h = (struct handle){0};
    handle_clunk(p, old);
    return S_OK;
}

// Gives the child a reference on everything the parent has open, and its directories.
status_t handles_fork(struct proc *child, const struct proc *parent) {
    const struct proc_desc *f = proc_desc(parent);
    struct proc_desc *c = proc_desc(child);
    c->handle_max = 0;
    for (u32 fd = 0; fd < f->handle_max; fd++) {
        const struct handle *h = handle_get(parent, fd);
        if (!h) continue;
        status_t s = slot_make(child, fd);
        if (s == S_OK) s = object_ref(h->object);
        if (s != S_OK) return s;
        *slot(child, fd) = *h;
        c->handle_max = fd + 1;
    }
    const struct object_id from[3] = {f->root, f->cwd, f->exe};
    struct object_id *to[3] = {&c->root, &c->cwd, &c->exe};
    for (u32 i = 0; i < 3; i++) {
        status_t s = object_ref(from[i]);
        if (s != S_OK) return s;
        *to[i] = from[i];
    }
    return S_OK;
}

void handles_close_all(struct proc *p) {
    for (u32 fd = 0; fd < proc_desc(p)->handle_max; fd++) (void)handle_close(p, fd);
    proc_desc(p)->handle_max = 0;
}

void handles_close_exec(struct proc *p) {
    for (u32 fd = 0; fd < proc_desc(p)->handle_max; fd++) {
        const struct handle *h = handle_get(p, fd);
        if (h && (h->flags & HANDLE_CLOEXEC)) (void)handle_close(p, fd);
    }
}

// Process 1: this node's root, working directory /.
void dirs_init(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    d->root = d->cwd = root_id;
    (void)object_ref(root_id);
    (void)object_ref(root_id);
    memcpy(paths_of(p)->cwd, "/", 2);
}

// Gives back its root, its working directory and the file of its program: it ends.
void dirs_put(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    object_clunk(d->root);
    object_clunk(d->cwd);
    object_clunk(d->exe);
    d->root = d->cwd = d->exe = (struct object_id){0};
}

// --- paths ---

static void text_push(char *text, const char *name) {
    u64 len = strlen(text), n = strlen(name);
    if (len + 1 + n + 1 > PROC_PATH_MAX) return;
    if (len != 1) text[len++] = '/';
    memcpy(text + len, name, n + 1);
}

static void text_pop(char *text) {
    u64 len = strlen(text);
    while (len > 1 && text[len - 1] != '/') len--;
    if (len > 1) len--;
    text[len] = 0;
}

static void move_to(struct path *w, struct object_id to) {
    object_clunk(w->object);
    w->object = to;
}

static status_t go_root(struct proc *p, struct path *w) {
    status_t s = object_ref(proc_desc(p)->root);
    if (s != S_OK) return s;
    move_to(w, proc_desc(p)->root);
    memcpy(w->text, "/", 2);
    w->attr_known = false;
    return S_OK;
}

// /mnt is joined here, on whatever node this is.
static struct object_id mount_root(u32 i) {
    return i == 3 ? object_mounts_id(node_id) : mounts[i].root;
}

static struct object_id step_mount(struct proc *p, struct path *w, const char *name) {
    struct object_id none = {0};
    bool at_root = object_id_equal(w->object, proc_desc(p)->root);
    for (u32 i = 0; i < ARRAY_COUNT(mounts); i++) {
        if (at_root && !strcmp(name, mounts[i].name)) return mount_root(i);
        if (!strcmp(name, "..") && object_id_equal(w->object, mount_root(i)))
            return proc_desc(p)->root;
    }
    if (!strcmp(name, "..") && object_is_user_root(w->object)) return mount_root(3);
    if (!strcmp(name, "..") && object_is_mounts(w->object)) return proc_desc(p)->root;
    if (at_root && !strcmp(name, "..")) return proc_desc(p)->root;
    return none;
}

static bool is_pts(struct object_id o) {
    return o.generation == OBJECT_GENERATION_ROOT && o.index == OBJECT_ROOT_PTS;
}

// `..` of a node's /nodes/N/dev leads to this node's /nodes/N, that of /dev/pts to /dev.
static struct p9_call walk_call(const struct path *w, const char *name, char number[4]) {
    struct p9_call c = {.type = P9_TWALK, .object = w->object, .name = name};
    if (is_pts(w->object) && !strcmp(name, "..")) {
        c.object = mounts[0].root;
        c.name = ".";
        return c;
    }
    if (w->object.generation == OBJECT_GENERATION_ROOT && !object_is_mounts(w->object) &&
        !strcmp(name, "..")) {
        ksnprintf(number, 4, "%u", w->object.node);
        c.object = mounts[2].root;
        c.name = number;
    }
    return c;
}

// The root of the mount /mnt/NAME, with a reference, wherever it is served: this node and
// the one that had it last are asked first. E_NOENT; E_IO its server is gone.
status_t path_mount_find(const char *name, struct object_id *root) {
    u32 hash = 0;
    for (const char *at = name; *at; at++) hash = hash * 31 + (u8)*at;
    u8 *hint = &mount_hint[hash % MOUNT_HINTS];
    status_t found = E_NOENT;
    for (u32 i = 0; i < NODES_MAX + 2; i++) {
        const u32 n = i == 0 ? node_id : i == 1 ? *hint : i - 2;
        if (i > 0 && (n == node_id || (i > 1 && n == *hint))) continue;
        if (n != node_id && !(nodes_provider.member && nodes_provider.member(n))) continue;
        struct p9_call c = {.type = P9_TWALK, .object = object_mounts_id(n), .name = name};
        const status_t s = file_call(&c);
        *root = c.made;
        if (s == S_OK) *hint = (u8)n;
        if (s == S_OK || s == S_RESTART) return s;
        root->node = n;
        if (s == E_IO) found = s;                // but one elsewhere may live
    }
    return found;
}

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

// The text of a link of /proc/PID/fd, where PID is p: its handle. E_NOENT: it is none.
static status_t handle_link(const struct proc *p, const char *link, struct object_id *object) {
    const u64 prefix = sizeof PATH_HANDLE_LINK - 1;
    u64 number[2] = {0, 0};
    u32 i = 0;
    if (strncmp(link, PATH_HANDLE_LINK, prefix) != 0) return E_NOENT;
    for (const char *at = link + prefix; *at; at++) {
        if (*at == ':' && i == 0) i++;
        else if (*at >= '0' && *at <= '9') number[i] = number[i] * 10 + (u64)(*at - '0');
        else return E_NOENT;
    }
    const struct handle *h = handle_get(p, (i64)number[1]);
    if (i != 1 || number[0] != proc_desc(p)->pid || !h) return E_NOENT;
    *object = h->object;
    return object_ref(h->object);
}

// Follows the symbolic link `made` (a reference, taken over): its text is in w->link, or
// *is_link is false and w is at what it leads to.
static status_t step_link(struct proc *p, struct path *w, struct object_id made, bool *is_link) {
    struct p9_call r = {.type = P9_TREADLINK, .object = made, .count = P9_PATH_MAX - 1,
                        .data.buffer = w->link};
    struct object_id object;
    status_t s = file_call(&r);
    object_clunk(made);
    w->link[s == S_OK ? r.result : 0] = 0;
    *is_link = true;
    if (s != S_OK) return s;
    s = handle_link(p, w->link, &object);
    if (s == E_NOENT) return S_OK;
    if (s != S_OK) return s;
    *is_link = false;
    move_to(w, object);
    w->attr_known = false;
    return S_OK;
}

static bool is_proc(const struct path *w) { return object_id_equal(w->object, mounts[1].root); }

// Is that the last name behind the one that is walked? /proc/PID/node is written to here.
static bool next_is(const struct path *w, const char *name) { return !strcmp(w->ahead, name); }

// The attributes of what the walk has come to; the server is asked where they are not known.
status_t path_attr(struct path *w) {
    if (w->attr_known) return S_OK;
    struct p9_call c = {.type = P9_TGETATTR, .object = w->object};
    const status_t s = file_call(&c);
    w->attr = c.attr;
    w->attr_known = s == S_OK;
    return s;
}

// Whether p may look up a name in the directory that the walk has come to. E_ACCES.
static status_t may_search(struct proc *p, struct path *w) {
    if (proc_desc(p)->euid == 0) return S_OK;
    const struct cred who = cred_effective(p);
    const status_t s = path_attr(w);
    if (s != S_OK || (w->attr.mode & S_IFMT) != S_IFDIR) return s;
    return permission_file(&who, &w->attr, MAY_EXEC);
}

// c: a walk from /proc to a process elsewhere, of which only `node` is wanted, here. Whose it
// is, is known there; user 0 need not ask.
static status_t away_owner(const struct proc *p, struct p9_call *c) {
    struct p9_call there = *c;
    status_t s = proc_desc(p)->euid ? object_ref(c->made) : E_NOENT;
    if (s == S_OK) s = proc_path_follow(&there);
    if (s == E_NOENT) return S_OK;
    if (s != S_OK) return s;
    c->attr.uid = there.attr.uid, c->attr.gid = there.attr.gid;
    object_clunk(there.made);
    return S_OK;
}

// Follows such a walk to where the process is, or stays here for its file `node`.
static status_t step_away(const struct proc *p, const struct path *w, struct p9_call *c) {
    if (!next_is(w, "node")) return proc_path_follow(c);
    const status_t s = away_owner(p, c);
    if (s != S_OK) object_clunk(c->made);
    return s;
}

// c: a walk from /dev/pts that found nothing here: its number says which node has it.
static status_t pts_elsewhere(struct p9_call *c) {
    const u32 node = pty_node(c->name);
    if (node == node_id || node >= NODES_MAX) return E_NOENT;
    if (!(nodes_provider.member && nodes_provider.member(node))) return E_NOENT;
    *c = (struct p9_call){.type = P9_TWALK, .object = object_root_id(node, OBJECT_ROOT_PTS),
                          .name = c->name};
    const status_t s = file_call(c);
    return s == E_HOSTUNREACH ? E_NOENT : s;
}

// One name from w->object on; w->link holds the text of a symbolic link where it is one
// that is to be followed.
static status_t step(struct proc *p, struct path *w, const char *name, bool follow, bool *is_link) {
    struct object_id mount = step_mount(p, w, name);
    *is_link = false;
    if (mount.generation) {
        status_t s = object_ref(mount);
        if (s != S_OK) return s;
        move_to(w, mount);
        w->attr_known = false;
    } else if (object_is_mounts(w->object) && strcmp(name, ".")) {
        struct object_id root;
        status_t s = path_mount_find(name, &root);
        if (s != S_OK) return s;
        move_to(w, root);
        w->attr_known = false;
    } else {
        char number[4];
        struct p9_call c = walk_call(w, name, number);
        status_t s = file_call(&c);
        if (s == S_OK && is_proc(w) && proc_path_is_away(&c)) s = step_away(p, w, &c);
        if (s == E_NOENT && is_pts(w->object)) s = pts_elsewhere(&c);
        if (s != S_OK) return s;
        if (w->attr_known && w->attr.mode == PROC_DIR_AWAY)
            c.attr.uid = w->attr.uid, c.attr.gid = w->attr.gid;
        if (follow && (c.attr.mode & S_IFMT) == S_IFLNK) {
            s = step_link(p, w, c.made, is_link);
            if (s != S_OK || *is_link) return s;
        } else {
            move_to(w, c.made);
            w->attr = c.attr;
            w->attr_known = true;
        }
    }
    if (!strcmp(name, "..")) text_pop(w->text);
    else if (strcmp(name, ".")) text_push(w->text, name);
    return S_OK;
}

static status_t prepend_link(struct proc *p, struct path *w, u64 rest_at) {
    u64 link_len = strlen(w->link), rest_len = strlen(w->rest + rest_at);
    if (link_len == 0) return E_NOENT;
    if (link_len + 1 + rest_len + 1 > sizeof w->rest) return E_NAMETOOLONG;
    memmove(w->rest + link_len + 1, w->rest + rest_at, rest_len + 1);
    memcpy(w->rest, w->link, link_len);
    w->rest[link_len] = '/';
    if (rest_len == 0) w->rest[link_len] = 0;
    return w->rest[0] == '/' ? go_root(p, w) : S_OK;
}

static status_t walk_rest(struct proc *p, struct path *w, u32 flags) {
    u64 at = 0;
    u32 links = 0;
    for (;;) {
        while (w->rest[at] == '/') at++;
        if (!w->rest[at]) return flags & PATH_PARENT ? E_INVAL : S_OK;
        u64 end = at;
        while (w->rest[end] && w->rest[end] != '/') end++;
        if (end - at > P9_NAME_MAX) return E_NAMETOOLONG;
        memcpy(w->last, w->rest + at, end - at);
        w->last[end - at] = 0;
        u64 next = end;
        while (w->rest[next] == '/') next++;
        bool last = !w->rest[next];
        w->ahead = w->rest + next;
        if (last) w->want_dir = w->rest[end] == '/';
        status_t s = may_search(p, w);
        if (s != S_OK || (last && (flags & PATH_PARENT))) return s;
        bool is_link, follow = !last || (flags & PATH_FOLLOW) || w->want_dir;
        s = step(p, w, w->last, follow, &is_link);
        if (s == E_NOENT && last && (flags & PATH_MAY_LACK)) {
            w->missing = true;
            return S_OK;
        }
        if (s != S_OK) return s;
        at = next;
        if (is_link) {
            if (++links > PATH_LINKS_MAX) return E_LOOP;
            if (!last && w->rest[end] == '/') next = end + 1;
            s = prepend_link(p, w, last && w->want_dir ? end : next);
            if (s != S_OK) return s;
            at = 0;
        }
    }
}

static status_t walk_start(struct proc *p, int dirfd, struct path *w) {
    struct object_id from = proc_desc(p)->cwd;
    if (w->rest[0] == '/') {
        from = proc_desc(p)->root;
        memcpy(w->text, "/", 2);
    } else if (dirfd == AT_FDCWD) {
        memcpy(w->text, paths_of(p)->cwd, PROC_PATH_MAX);
    } else {
        const struct handle *h = handle_get(p, dirfd);
        if (!h) return E_BADF;
        from = h->object;
        memcpy(w->text, "/", 2);
    }
    if (w->rest[0] && w->rest[0] != '/' && dirfd != AT_FDCWD) {
        // The directory itself, not its open description: the root is known by its object.
        struct p9_call c = {.type = P9_TWALK, .object = from, .name = "."};
        const status_t walked = file_call(&c);
        w->object = c.made;
        return walked;
    }
    status_t s = object_ref(from);
    if (s == S_OK) w->object = from;
    return s;
}

// Walks a name to an object, or to the directory that holds its last name.
//   dirfd  where a relative name begins; AT_FDCWD: the working directory
//   flags  enum path_flags
// Errors as path_resolution(7); S_RESTART where a server is on another node.
status_t path_walk(struct proc *p, int dirfd, const char *name, u32 flags, struct path *out) {
    u64 len = strlen(name);
    memset(out, 0, offsetof(struct path, rest));
    if (len >= sizeof out->rest) return E_NAMETOOLONG;
    if (len == 0 && !(flags & PATH_EMPTY_OK)) return E_NOENT;
    memcpy(out->rest, name, len + 1);
    status_t s = walk_start(p, dirfd, out);
    if (s == S_OK && len) s = walk_rest(p, out, flags);
    if (s == S_OK && !(flags & PATH_PARENT) && !out->missing) s = path_attr(out);
    if (s == S_OK && out->want_dir && !out->missing && !(flags & PATH_PARENT) &&
        (out->attr.mode & S_IFMT) != S_IFDIR) {
        s = E_NOTDIR;
    }
    if (s != S_OK) {
        object_clunk(out->object);
        out->object.generation = 0;
    }
    return s;
}

status_t path_up(struct proc *p, struct object_id dir, struct object_id *parent,
                 const char **mount) {
    *mount = NULL;
    for (u32 i = 0; i < ARRAY_COUNT(mounts); i++)
        if (object_id_equal(dir, mount_root(i))) *mount = mounts[i].name;
    struct path *w = kmem_alloc(sizeof *w);
    status_t s = w ? object_ref(dir) : E_NOMEM;
    if (s == S_OK) {
        bool is_link;
        w->object = dir;
        s = step(p, w, "..", false, &is_link);
        if (s == S_OK) *parent = w->object;
        else object_clunk(w->object);
    }
    if (w) kmem_free(w, sizeof *w);
    return s;
}

// path_walk of a name in the caller's memory.
struct path *path_user(struct proc *p, int dirfd, u64 name_uva, u32 flags, status_t *error) {
    struct path *w = kmem_alloc(sizeof *w);
    char *name = kmem_alloc(P9_PATH_MAX);
    *error = w && name ? user_read_string(p, name_uva, name, P9_PATH_MAX) : E_NOMEM;
    if (*error == S_OK) *error = path_walk(p, dirfd, name, flags, w);
    if (name) kmem_free(name, P9_PATH_MAX);
    if (*error == S_OK) return w;
    if (w) kmem_free(w, sizeof *w);
    return NULL;
}

void path_put(struct path *path) {
    object_clunk(path->object);
    kmem_free(path, sizeof *path);
}

// /dev/tty: the caller's controlling terminal, wherever that is.
static status_t to_own_terminal(struct proc *p, struct path *w) {
    const struct object_id own = proc_desc(p)->tty;
    if (!own.generation) return E_NXIO;
    const status_t s = object_ref(own);
    if (s == S_OK) move_to(w, own);
    return s == E_BADF ? E_NXIO : s;             // it has ended
}

static status_t open_object(struct proc *p, struct path *w, u32 flags, struct object_id *made) {
    if (object_id_equal(w->object, tty_device_id())) {
        const status_t found = to_own_terminal(p, w);
        if (found != S_OK) return found;
    }
    struct p9_call c = {.type = P9_TLOPEN, .object = w->object, .flags = flags,
                        .pid = proc_desc(p)->pid};
    status_t s = object_is_mounts(w->object) ? open_mounts(&c)
               : is_proc(w) ? proc_path_open(&c) : file_call(&c);
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

// Opens a name, making the file where O_CREAT says so; *made names the open description.
// Walk and create are two calls: a name that somebody made between them is walked again, and
// so is a file of a process that moved between walk and open.
status_t path_open(struct proc *p, int dirfd, const char *name, u32 flags, u32 mode,
                   struct object_id *made) {
    struct path *w = kmem_alloc(sizeof *w);
    if (!w) return E_NOMEM;
    const bool excl = (flags & O_CREAT) && (flags & O_EXCL);
    u32 walk = ((flags & O_NOFOLLOW) || excl ? 0 : PATH_FOLLOW) |
               (flags & O_CREAT ? PATH_MAY_LACK : 0);
    status_t s = E_EXIST;
    for (u32 i = 0; i < OPEN_TRIES_MAX && (s == E_EXIST || s == E_SRCH); i++) {
        s = path_walk(p, dirfd, name, walk, w);
        if (s != S_OK) break;
        s = open_walked(p, w, flags, mode, made);
        object_clunk(w->object);
        if (excl || (!w->missing && s != E_SRCH)) break;
    }
    kmem_free(w, sizeof *w);
    return s;
}
