// Objects of this node's file servers, and the one look-up that says where a server is.
// A server embeds struct object in what it serves and answers struct p9_call.
// Lock: files_lock (LOCK_RANK_FILES), one for all of the kernel's own servers.
#pragma once

#include "kernel/proc.h"
#include "kernel/x86/spinlock.h"
#include "proto/p9/p9.h"
#include "sched/account.h"

// Private call, never on the wire: the frame that holds the page at `offset`, with a
// reference, in `result`; for a shared mapping `value` says whether it may be written to now.
#define P9_TPAGE 212
#define P9_PAGE_SHARED 1u            // flags
#define P9_PAGE_WRITE 2u             // shared, and to be written to

// O_ flags as Linux x86-64 has them. Source: asm-generic/fcntl.h (numbers).
enum {
    O_WRONLY = 01, O_RDWR = 02, O_ACCMODE = 03, O_CREAT = 0100, O_EXCL = 0200, O_NOCTTY = 0400,
    O_TRUNC = 01000, O_APPEND = 02000, O_NONBLOCK = 04000, O_DIRECTORY = 0200000,
    O_NOFOLLOW = 0400000, O_NOATIME = 01000000, O_CLOEXEC = 02000000, O_PATH = 010000000,
};
enum {
    S_IFMT = 0170000, S_IFIFO = 0010000, S_IFCHR = 0020000, S_IFDIR = 0040000,
    S_IFREG = 0100000, S_IFLNK = 0120000, S_IFBLK = 0060000,
};
enum { POLLIN = 1, POLLPRI = 2, POLLOUT = 4, POLLERR = 8, POLLHUP = 16, POLLNVAL = 32 };
#define P9_GETATTR_BASIC 0x7ffull
enum {
    P9_SETATTR_MODE = 1, P9_SETATTR_UID = 2, P9_SETATTR_GID = 4, P9_SETATTR_SIZE = 8,
    P9_SETATTR_ATIME = 16, P9_SETATTR_MTIME = 32, P9_SETATTR_CTIME = 64,
    P9_SETATTR_ATIME_SET = 128, P9_SETATTR_MTIME_SET = 256,
};

struct object;
struct object_ops {
    const char *name;
    status_t (*call)(struct object *o, struct p9_call *c);   // files_lock held
    void (*release)(struct object *o);                       // the last reference is gone
};
struct object {
    const struct object_ops *ops;
    u32 index, refs;
    u64 generation;                  // 0: not in the table
    enum account_kind kind;          // what its uses are for the account
};

extern struct spinlock files_lock;

// Slot of an object: a pointer, or, in a free one, (next free index << 1) | 1. files_lock.
#define OBJECT_PAGES 64u
#define OBJECTS_PER_PAGE 512u
extern struct object_table { u64 *pages[OBJECT_PAGES]; u32 used; } object_table;
static inline u64 *object_slot(u32 index) {
    return &object_table.pages[index / OBJECTS_PER_PAGE][index % OBJECTS_PER_PAGE];
}
// The object in that place, if it is of that generation; else NULL. files_lock held.
static inline struct object *object_find_at(u32 index, u64 generation) {
    if (generation == 0 || index >= object_table.used) return NULL;
    const u64 v = *object_slot(index);
    struct object *o = (struct object *)v;
    return !(v & 1) && o->generation == generation ? o : NULL;
}

// All five: files_lock held.
status_t object_add(struct object *o, const struct object_ops *ops);   // one reference
struct object *object_find(struct object_id id);
void object_get(struct object *o);
void object_put(struct object *o);
struct object_id object_id_of(const struct object *o);

void object_set_root(u32 index, struct object *o);      // OBJECT_ROOT_...; boot
status_t object_call_alone(struct object *o, struct p9_call *c);

void object_init(void);
status_t file_call(struct p9_call *c);       // the one look-up; takes files_lock
u32 file_caller_pid(void);                   // who made the call that runs; files_lock held
void file_wait(struct wait_list *w);         // for servers: the caller waits here
void file_wait_io(struct wait_list *w);      // the same for a drive: signals wait as well
void file_wake(struct wait_list *w);         // and is woken, pollers as well
void file_wake_polled(struct wait_list *w, bool polled);   // the same where it knows of them

struct file_hooks {
    status_t (*remote_call)(struct p9_call *c);   // NULL: E_HOSTUNREACH
    void (*changed)(void);           // something pollable changed: retry parked requests
};
extern struct file_hooks file_hooks;

// Open file descriptions (kernel/files/ofd.c).
status_t ofd_open(struct object *file, u32 flags, struct p9_call *c);
void ofd_closed(struct object *o, u32 pid);


// Data of a call.
u32 data_put(struct p9_call *c, u64 at, const void *from, u64 len_bytes);
u32 data_get(struct p9_call *c, u64 at, void *to, u64 len_bytes);
void data_zero(struct p9_call *c, u64 at, u64 len_bytes);
// One entry of a 9P directory reply at c->result; false: no room for it.
bool data_dirent(struct p9_call *c, u64 qid_path, u64 next_offset, u32 mode, const char *name);

// The servers.
struct object *ramfs_init(void);             // the root directory
status_t ramfs_load_cpio(struct object *root, const u8 *cpio, u64 len_bytes);
struct object *ramfs_anonymous(void);        // an unlinked file, for shared memory
struct object *devfs_init(void);
struct object *procfs_init(void);
struct object *nodesfs_init(void);
status_t pipe_make(struct object **read_end, struct object **write_end);   // two open ends
struct pipe_io { struct object_id id; u8 *at; u32 len; bool write, wait_only; };
i64 pipe_quick(struct proc *p, const struct pipe_io *io);
typedef bool (*pipe_sink_fn)(void *ctx, const u8 *bytes, u32 len);
bool pipe_give(struct object *ofd, const u8 *bytes, u32 len);
void pipe_sink(struct object *ofd, pipe_sink_fn sink, void *ctx);
