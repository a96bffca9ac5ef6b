// The absolute path of a directory that is known by its object alone, for fchdir: up to the
// root by "..", looking at each step for the name that the parent has for the child. Called by
// system calls of the process that runs; calls to other nodes make it restart. No lock.
#include "base/string.h"
#include "kernel/file.h"
#include "mm/kmem.h"

#define DIR_DEPTH_MAX 64u
#define DIR_READS_MAX 4096u          // pieces of one directory
#define DIR_READ_BYTES 4096u
static const char unreachable[] = "(unreachable)";       // as Linux's getcwd says

// Puts "/name" before the text, which ends at text + PROC_PATH_MAX. E_NAMETOOLONG.
static status_t prepend(char *text, u64 *at, const char *name, u64 len) {
    if (len + 1 > *at) return E_NAMETOOLONG;
    *at -= len + 1;
    text[*at] = '/';
    memcpy(text + *at + 1, name, len);
    return S_OK;
}

// Looks for the entry of inode `ino` in what one read gave; puts its name before the text.
static status_t entry_prepend(const u8 *raw, u64 len, u64 ino, char *text, u64 *at) {
    for (u64 e = 0; e + 24 <= len;) {
        const u64 name_len = (u64)raw[e + 22] | (u64)raw[e + 23] << 8;
        const char *name = (const char *)raw + e + 24;
        u64 found;
        memcpy(&found, raw + e + 5, 8);
        const bool dots = name[0] == '.' && (name_len == 1 || (name_len == 2 && name[1] == '.'));
        if (found == ino && !dots) return prepend(text, at, name, name_len);
        e += 24 + name_len;
    }
    return E_NOENT;
}

static status_t name_search(struct object_id opened, u64 ino, u8 *raw, char *text, u64 *at) {
    for (u32 i = 0; i < DIR_READS_MAX; i++) {
        struct p9_call c = {.type = P9_TREADDIR, .object = opened, .count = DIR_READ_BYTES,
                            .offset = P9_OFFSET_CURRENT, .data.buffer = raw};
        status_t s = file_call(&c);
        if (s != S_OK) return s;
        if (c.result == 0) return E_NOENT;
        s = entry_prepend(raw, c.result, ino, text, at);
        if (s != E_NOENT) return s;
    }
    return E_NOENT;
}

// The name of child in parent, put before the text. E_NOENT: it has none.
static status_t name_prepend(struct object_id child, struct object_id parent, char *text,
                             u64 *at) {
    struct p9_call attr = {.type = P9_TGETATTR, .object = child};
    status_t s = file_call(&attr);
    if (s != S_OK) return s;
    struct p9_call open = {.type = P9_TLOPEN, .object = parent, .flags = O_DIRECTORY};
    s = file_call(&open);
    if (s != S_OK) return s;
    u8 *raw = kmem_alloc(DIR_READ_BYTES);
    s = raw ? name_search(open.made, attr.attr.qid_path, raw, text, at) : E_NOMEM;
    if (raw) kmem_free(raw, DIR_READ_BYTES);
    object_clunk(open.made);
    return s;
}

static status_t climb(struct proc *p, struct object_id *dir, char *text, u64 *at) {
    for (u32 depth = 0; depth < DIR_DEPTH_MAX; depth++) {
        if (object_id_equal(*dir, proc_desc(p)->root)) return S_OK;
        struct object_id parent;
        const char *mount;
        status_t s = path_up(p, *dir, &parent, &mount);
        if (s != S_OK) return s;
        s = mount ? prepend(text, at, mount, strlen(mount)) : name_prepend(*dir, parent, text, at);
        object_clunk(*dir);
        *dir = parent;
        if (s != S_OK) return s;
    }
    return E_LOOP;
}

// The path of the directory `dir` from p's root.
//   text  PROC_PATH_MAX bytes, out
// What has no name any more is "(unreachable)". E_NOMEM, S_RESTART.
status_t dir_name(struct proc *p, struct object_id dir, char *text) {
    char *built = kmem_alloc(PROC_PATH_MAX);
    if (!built) return E_NOMEM;
    u64 at = PROC_PATH_MAX - 1;
    built[at] = 0;
    status_t s = object_ref(dir);
    if (s == S_OK) {
        s = climb(p, &dir, built, &at);
        object_clunk(dir);
    }
    if (s == S_OK && !built[at]) memcpy(text, "/", 2);
    else if (s == S_OK) memcpy(text, built + at, PROC_PATH_MAX - at);
    kmem_free(built, PROC_PATH_MAX);
    if (s == S_OK || s == S_RESTART || s == E_NOMEM) return s;
    memcpy(text, unreachable, sizeof unreachable);
    return S_OK;
}
