// The process's side of files: its handles, root and working directory, and the start of the file
// servers of this node. Called by system calls, exec, fork and exit of the process that runs; the
// walk of a path is kernel/path.c. No lock of its own: handles belong to the CPU that runs the
// process.
#include "kernel/file.h"

#include "base/string.h"
#include "kernel/klog.h"
#include "kernel/options.h"
#include "kernel/path_priv.h"
#include "kernel/share_map.h"

static struct object_id root_id;

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
    path_mounts_start();
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

// The handle fd, also one that is being opened (HANDLE_OPENING), or NULL.
struct handle *handle_any(const struct proc *p, i64 fd) {
    if (fd < 0 || fd >= (i64)HANDLES_MAX) return NULL;
    struct handle *h = slot(p, (u32)fd);
    return h && h->object.generation ? h : NULL;
}

// The open handle fd, or NULL (E_BADF).
struct handle *handle_get(const struct proc *p, i64 fd) {
    struct handle *h = handle_any(p, fd);
    return h && !(h->flags & HANDLE_OPENING) ? h : NULL;
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

// Puts the object at fd, closing what was there; takes over the reference. E_NOMEM; E_BUSY: fd is
// being opened.
status_t handle_put_at(struct proc *p, u32 fd, struct object_id object, u32 flags) {
    status_t s = slot_make(p, fd);
    if (s != S_OK) return s;
    struct handle *h = slot(p, fd);
    if (h->object.generation && (h->flags & HANDLE_OPENING)) return E_BUSY;
    struct object_id old = h->object;
    *h = (struct handle){.object = object, .flags = flags};
    struct proc_desc *d = proc_desc(p);
    if (fd >= d->handle_max) d->handle_max = fd + 1;
    handle_clunk(p, old);
    return S_OK;
}

// Closes the handle fd if it is there, be it open or being opened.
void handle_drop(struct proc *p, i64 fd) {
    struct handle *h = handle_any(p, fd);
    if (!h) return;
    struct object_id old = h->object;
    *h = (struct handle){0};
    handle_clunk(p, old);
}

status_t handle_close(struct proc *p, i64 fd) {
    if (!handle_get(p, fd)) return E_BADF;
    handle_drop(p, fd);
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
    for (u32 fd = 0; fd < proc_desc(p)->handle_max; fd++) handle_drop(p, fd);
    proc_desc(p)->handle_max = 0;
}

void handles_close_exec(struct proc *p) {
    for (u32 fd = 0; fd < proc_desc(p)->handle_max; fd++) {
        const struct handle *h = handle_any(p, fd);
        if (h && (h->flags & (HANDLE_CLOEXEC | HANDLE_OPENING))) handle_drop(p, fd);
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
