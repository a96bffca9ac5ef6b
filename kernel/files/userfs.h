// Trees that a user-space server serves by 9P2000.L over two pipes: mount(2) with type 9p
// and trans=fd. The kernel is the 9P client. Three files: mountfs.c the mounts and /mnt,
// user_channel.c the pipes, messages and tags, userfs.c the file calls and their steps.
//
// A file call on such an object never ends at once: who asks (a process's journal in
// remote_files.c, a service of another node in remote_serve.c) submits a user_request and
// is told when it is done. Locks: net_lock held by all callers but mountfs's; files_lock
// taken inside for everything.
#pragma once

#include "kernel/files/object.h"

struct user_file;

enum user_step { USER_CLONE, USER_OPEN_READ, USER_SIZE, USER_MAIN, USER_ATTR };

// One file call on its way.
struct user_request {
    struct p9_call call;             // in: the call; once finished: its results
    void (*done)(struct user_request *r);    // called once, later; not from userfs_submit
    void *host;
    bool finished;
    // Private. Lock: files_lock.
    struct list_node link;           // of a mount's queue, a file's waiting list, `finished`
    struct user_file *file, *file2;  // references
    struct user_file *made;          // what it makes
    enum user_step step;
    bool abandoned, in_flight;       // in_flight: a message of it is out
    bool at_position;                // it moves the file's own offset
    u32 ahead;                       // tag + 1 of a getattr that was sent with the walk
    bool ahead_good;                 // its answer has come and is in call.attr
    u32 mount;
    u64 offset;                      // of read, write, readdir once it is known
    char name[P9_NAME_MAX + 1];
    char *name2;                     // P9_PATH_MAX bytes, or NULL
};

struct user_request *userfs_request(const struct p9_call *c);
status_t userfs_submit(struct user_request *r);
void userfs_flush(struct user_request *r);
void userfs_abandon(struct user_request *r);
void userfs_free(struct user_request *r);
status_t userfs_count(const struct p9_call *c);   // REF and CLUNK, which end at once

// kernel/files/user_quick.c
struct user_io { struct object_id id; u8 *at; u32 len; u64 offset; };
i64 userfs_quick_read(struct proc *p, const struct user_io *io);

// Boot.
void mountfs_init(void);
// mount(2): a tree by the name /mnt/NAME; to, from: open pipes of this node.
struct mount_args { const char *name, *source; struct object_id to, from; };
status_t mountfs_mount(const struct mount_args *args);
#define MOUNTFS_UMOUNT 0x40000000u   // flags of P9_TUNLINKAT on a mounts directory
#define MOUNTFS_FORCE 0x20000000u
// Text of /proc/mounts for this node's mounts: entry i; false: no more. files_lock held.
bool mountfs_entry(u32 i, const char **source, const char **name);

// The pump: moves messages and ends requests. `changed`: something on a pipe changed.
void userfs_changed(void);
void userfs_pump(void);
