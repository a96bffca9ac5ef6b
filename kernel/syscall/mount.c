// mount and umount2: trees of user-space servers by 9P over pipes, as /mnt/NAME. What
// Linux calls type 9p with trans=fd; other types are the mount command's work.
// Spec: mount(2), umount2(2), Linux Documentation/filesystems/9p.rst (trans=fd).
#include "base/owner.h"
#include "base/string.h"
#include "kernel/files/nodesfs.h"
#include "kernel/files/userfs.h"
#include "kernel/syscall/syscall.h"
#include "kernel/x86/cpu.h"
#include "mm/kmem.h"

#define MOUNT_TEXT_MAX 256u
#define MS_REFUSED (32u | 4096u | 8192u)     // MS_REMOUNT, MS_BIND, MS_MOVE
#define UMOUNT_BUSY_NS (500 * NS_PER_MS)
#define UMOUNT_TRY_NS (10 * NS_PER_MS)
#define MNT_FORCE 1u
#define MNT_DETACH 2u

struct mount_text {
    char source[MOUNT_TEXT_MAX], type[MOUNT_TEXT_MAX], data[MOUNT_TEXT_MAX];
};

// The number behind "key=" in a list of words, or -1.
static i64 option_number(const char *text, const char *key) {
    const u64 len = strlen(key);
    for (const char *at = text; *at; at++) {
        if ((at == text || at[-1] == ',') && !strncmp(at, key, len) && at[len] == '=') {
            i64 value = -1;
            for (at += len + 1; *at >= '0' && *at <= '9' && value < (i64)HANDLES_MAX; at++)
                value = (value < 0 ? 0 : value) * 10 + (*at - '0');
            return *at == 0 || *at == ',' ? value : -1;
        }
    }
    return -1;
}

static bool has_word(const char *text, const char *word) {
    const u64 len = strlen(word);
    for (const char *at = text; *at; at++)
        if ((at == text || at[-1] == ',') && !strncmp(at, word, len) &&
            (at[len] == 0 || at[len] == ','))
            return true;
    return false;
}

static i64 mount_tree(struct proc *p, const char *name, const struct mount_text *t) {
    struct object_id there;
    const status_t s = path_mount_find(name, &there);
    if (s == S_RESTART) return s;
    if (s == S_OK) object_clunk(there);
    if (s == S_OK) return E_BUSY;
    const struct handle *from = handle_get(p, option_number(t->data, "rfdno"));
    const struct handle *to = handle_get(p, option_number(t->data, "wfdno"));
    if (!from || !to) return E_BADF;
    return mountfs_mount(&(struct mount_args){.name = name, .source = t->source,
                                              .to = to->object, .from = from->object});
}

// The last name of a path whose directory is /mnt. E_OPNOTSUPP: another directory.
static struct path *mnt_path(struct proc *p, u64 uva, status_t *s) {
    struct path *w = path_user(p, AT_FDCWD, uva, PATH_PARENT, s);
    if (!w || object_is_mounts(w->object)) return w;
    path_put(w);
    *s = E_OPNOTSUPP;
    return NULL;
}

SYSCALL(mount) {
    if (proc_desc(p)->euid) return E_PERM;
    if (a[3] & MS_REFUSED) return E_OPNOTSUPP;
    struct mount_text *t = kmem_alloc(sizeof *t);
    if (!t) return E_NOMEM;
    i64 r = a[0] ? user_read_string(p, a[0], t->source, sizeof t->source) : S_OK;
    if (r == S_OK) r = user_read_string(p, a[2], t->type, sizeof t->type);
    if (r == S_OK && a[4]) r = user_read_string(p, a[4], t->data, sizeof t->data);
    if (r == S_OK && strcmp(t->type, "9p")) r = E_NODEV;
    if (r == S_OK && !has_word(t->data, "trans=fd")) r = E_OPNOTSUPP;
    if (r == S_OK) {
        status_t s;
        struct path *w = mnt_path(p, a[1], &s);
        r = w ? mount_tree(p, w->last, t) : s;
        if (w) path_put(w);
    }
    kmem_free(t, sizeof *t);
    return r;
}

static bool is_member(u32 n) {
    return n == node_id || (nodes_provider.member && nodes_provider.member(n));
}

// Asks node n to unmount `name`; *ticket is its own, kept over restarts.
static status_t umount_ask(u32 n, const char *name, u64 flags, u64 *ticket) {
    struct p9_call c = {.type = P9_TUNLINKAT, .object = object_mounts_id(n), .name = name,
                        .value = *ticket,
                        .flags = MOUNTFS_UMOUNT |
                                 (flags & (MNT_FORCE | MNT_DETACH) ? MOUNTFS_FORCE : 0)};
    const status_t s = file_call(&c);
    *ticket = c.value;
    return s;
}

// Every node is asked until one has the name, this one first; it answers once the server has
// ended. A file that a process or a node has just closed may still be open there, so a busy
// tree is tried again for a while. Over restarts: scratch[0] the ticket of this node,
// scratch[1] the number of the try.
SYSCALL(umount2) {
    status_t s;
    if (proc_desc(p)->euid) return E_PERM;
    struct path *w = mnt_path(p, a[0], &s);
    if (!w) return s == E_OPNOTSUPP ? E_INVAL : s;
    u64 *scratch = proc_desc(p)->wait.scratch;
    s = umount_ask(node_id, w->last, a[1], &scratch[0]);
    for (u32 n = 0; n < NODES_MAX && s == E_NOENT; n++) {
        if (n == node_id || !is_member(n)) continue;
        u64 try = scratch[1];                    // makes it another call than the last one
        s = umount_ask(n, w->last, a[1], &try);
        if (s == E_HOSTUNREACH) s = E_NOENT;
    }
    path_put(w);
    const u64 deadline_ns = s == E_BUSY ? call_deadline(p, UMOUNT_BUSY_NS) : 0;
    if (deadline_ns > time_now_ns()) {           // read last: a deadline that is over lies at "now"
        scratch[1]++;
        wait_until(p, time_now_ns() + UMOUNT_TRY_NS);
        return S_RESTART;
    }
    return s == E_NOENT ? E_INVAL : s;
}
