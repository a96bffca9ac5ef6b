// Unpacking the image's files into the root: whole pages stay where the loader put them. Called at
// boot; lock: files_lock.
#include "kernel/files/ramfs_priv.h"

#include "base/string.h"
#include "kernel/files/ramfs.h"
#include "mm/kmem.h"

static struct ramfs_node *dir_for(struct ramfs_node *dir, char **path) {
    for (;;) {
        char *slash = strchr(*path, '/');
        if (!slash) return dir;
        *slash = 0;
        if (slash != *path && strcmp(*path, ".")) {
            struct ramfs_entry *e = ramfs_entry_find(dir, *path);
            struct ramfs_node *n = e ? e->node : NULL;
            if (!n && ramfs_make(dir, *path, S_IFDIR | 0755, NULL, &n) != S_OK) return NULL;
            if (!ramfs_is_type(n, S_IFDIR)) return NULL;
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
        u64 *slot = ramfs_page_slot(n, at / PAGE_SIZE, true);
        if (!slot || !frame_adopt(virt_to_phys(f->data + at), FRAME_USER)) break;
        *slot = virt_to_phys(f->data + at).v;
        n->pages++;
    }
    n->size = at;
    return at;
}

static status_t load_content(struct ramfs_node *n, const struct cpio_file *f) {
    if (ramfs_is_type(n, S_IFLNK)) {
        n->target = kmem_alloc(f->size + 1);
        if (!n->target) return E_NOSPC;
        memcpy(n->target, f->data, f->size);
        return S_OK;
    }
    const u64 taken = load_in_place(n, f), left = f->size - taken;
    struct p9_call c = {.type = P9_TWRITE, .offset = taken, .count = left,
                        .data.buffer = (void *)(uintptr_t)(f->data + taken)};
    status_t s = left ? ramfs_write(n, &c) : S_OK;
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
    struct ramfs_entry *e = ramfs_entry_find(dir, name);
    if (e && (f->mode & S_IFMT) == S_IFDIR && ramfs_is_type(e->node, S_IFDIR)) return S_OK;
    if (e) {                                     // a later archive replaces
        n = e->node;
        if (ramfs_is_type(n, S_IFDIR)) return E_ISDIR;
        ramfs_entry_remove(dir, e);
        ramfs_node_unlink(n);
    }
    u32 type = f->mode & S_IFMT;
    if (type != S_IFREG && type != S_IFDIR && type != S_IFLNK) return S_OK;   // /dev is ours
    status_t s = ramfs_make(dir, name, f->mode, NULL, &n);
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
        s = load_one(ramfs_node_of(root), &f);
    }
    spin_unlock(&files_lock);
    frame_reclaim(virt_to_phys(cpio), len_bytes);
    return s == E_NOENT ? S_OK : s;
}
