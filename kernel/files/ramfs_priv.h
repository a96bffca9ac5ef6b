// What kernel/files/ramfs.c (names), ramfs_data.c (pages of files) and ramfs_load.c (the image's
// files) share. Lock: files_lock.
#pragma once

#include "kernel/files/object.h"
#include "mm/frame.h"

#define RAMFS_TOP_ENTRIES 512u
#define RAMFS_SIZE_MAX (RAMFS_TOP_ENTRIES * 512ull * PAGE_SIZE)   // 1 GiB a file

struct ramfs_node {
    struct object object;            // holds one reference of its own while nlink > 0
    u32 mode, uid, gid, nlink;
    bool shared;                     // some mapping is MAP_SHARED: writes stay in place
    u64 ino, size, pages;
    u64 atime_ns, mtime_ns, ctime_ns;
    u64 **top;                       // file: tables of frame addresses, made on demand
    char *target;                    // symbolic link
    struct pipe *pipe;               // FIFO: while somebody has it open
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

static inline struct ramfs_node *ramfs_node_of(struct object *o) {
    return CONTAINER_OF(o, struct ramfs_node, object);
}
static inline bool ramfs_is_type(const struct ramfs_node *n, u32 type) {
    return (n->mode & S_IFMT) == type;
}

// ramfs.c
void ramfs_ids_drop(struct ramfs_node *n, const struct p9_call *c);
struct ramfs_entry *ramfs_entry_find(struct ramfs_node *dir, const char *name);
void ramfs_entry_remove(struct ramfs_node *dir, struct ramfs_entry *e);
void ramfs_node_unlink(struct ramfs_node *n);
status_t ramfs_make(struct ramfs_node *dir, const char *name, u32 mode, const struct p9_call *c,
                    struct ramfs_node **out);

// ramfs_data.c
u64 *ramfs_page_slot(struct ramfs_node *n, u64 page, bool make);
void ramfs_pages_drop(struct ramfs_node *n, u64 from_page);
status_t ramfs_write(struct ramfs_node *n, struct p9_call *c);
status_t ramfs_read(struct ramfs_node *n, struct p9_call *c);
status_t ramfs_page(struct ramfs_node *n, struct p9_call *c);
status_t ramfs_set_size(struct ramfs_node *n, u64 size);
