// The walk of a path over file servers and mounts, step by step: `..`, symbolic links, the links of
// /proc/PID/fd, names of other nodes. Called by system calls and exec, for the process that runs.
// No lock of its own.
#include "kernel/path_priv.h"

#include "base/string.h"
#include "kernel/files/nodesfs.h"
#include "kernel/files/pty.h"
#include "kernel/files/userfs.h"
#include "kernel/klog.h"
#include "kernel/permission.h"
#include "kernel/proc_path.h"
#include "mm/kmem.h"

#define PATH_LINKS_MAX 40u
#define MOUNT_HINTS 64u                  // by hash of the name; a power of two

static struct { const char *name; struct object_id root; } mounts[4];
static u8 mount_hint[MOUNT_HINTS];       // the node that served such a name last

// Starts the servers that are mounted in every root. Context: files_start.
void path_mounts_start(void) {
    mounts[0].name = "dev";
    mounts[0].root = object_id_of(devfs_init());
    mounts[1].name = "proc";
    mounts[1].root = object_id_of(procfs_init());
    mounts[2].name = "nodes";
    mounts[2].root = object_id_of(nodesfs_init());
    mounts[3].name = "mnt";                      // root: see mount_root
    mountfs_init();
}

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

// The walk goes to `to`, a reference that it takes over.
void path_move_to(struct path *w, struct object_id to) {
    object_clunk(w->object);
    w->object = to;
}

static status_t go_root(struct proc *p, struct path *w) {
    status_t s = object_ref(proc_desc(p)->root);
    if (s != S_OK) return s;
    path_move_to(w, proc_desc(p)->root);
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
    path_move_to(w, object);
    w->attr_known = false;
    return S_OK;
}

// Whether the walk is at /proc itself.
bool path_is_proc(const struct path *w) { return object_id_equal(w->object, mounts[1].root); }

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
        path_move_to(w, mount);
        w->attr_known = false;
    } else if (object_is_mounts(w->object) && strcmp(name, ".")) {
        struct object_id root;
        status_t s = path_mount_find(name, &root);
        if (s != S_OK) return s;
        path_move_to(w, root);
        w->attr_known = false;
    } else {
        char number[4];
        struct p9_call c = walk_call(w, name, number);
        status_t s = file_call(&c);
        if (s == S_OK && path_is_proc(w) && proc_path_is_away(&c)) s = step_away(p, w, &c);
        if (s == E_NOENT && is_pts(w->object)) s = pts_elsewhere(&c);
        if (s != S_OK) return s;
        if (w->attr_known && w->attr.mode == PROC_DIR_AWAY)
            c.attr.uid = w->attr.uid, c.attr.gid = w->attr.gid;
        if (follow && (c.attr.mode & S_IFMT) == S_IFLNK) {
            s = step_link(p, w, c.made, is_link);
            if (s != S_OK || *is_link) return s;
        } else {
            path_move_to(w, c.made);
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
