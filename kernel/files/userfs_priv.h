// What userfs.c, user_channel.c and mountfs.c share. Lock: files_lock.
#pragma once

#include "kernel/files/userfs.h"
#include "proto/p9/p9_codec.h"

#define MOUNTS_MAX 64u
#define MOUNT_NAME_MAX 64u
#define MOUNT_SOURCE_MAX 256u
#define MOUNT_TAGS 64u
#define MOUNT_TAG_FLUSH 0x8000u      // tag of the Tflush of tag T: T | this
#define MOUNT_HEAD_MAX 64u           // what a message has before its payload, at most
#define MOUNT_MSIZE (P9_DATA_MAX + MOUNT_HEAD_MAX)
#define MOUNT_MSIZE_MIN 4096u
#define MOUNT_BUFFER_BYTES (MOUNT_MSIZE + 2 * P9_PATH_MAX)
_Static_assert(MOUNTS_MAX - 1 == OBJECT_USER_MOUNT >> OBJECT_USER_MOUNT_SHIFT, "every number fits");

enum mount_state {
    MOUNT_FREE = 0,
    MOUNT_VERSION, MOUNT_ATTACH,     // what it waits for
    MOUNT_READY,
    MOUNT_CLOSING,                   // no name any more; the server was told to end
    MOUNT_DEAD,                      // the server is gone: EIO until it is unmounted
};

// One file, directory or open file of a server, named by its fid.
struct user_file {
    struct object object;
    u32 mount, fid;
    bool established;                // the server knows the fid
    bool root, open, dir;
    bool reads;                      // an open one, not a directory, open for reading
    u32 flags;                       // of an open one: O_ flags
    u64 offset, qid_path;            // of an open one
    struct user_file *reader;        // an open one for reads of this one
    struct user_file *walked;        // of an open directory: the one it was opened as, for walks
    struct user_request *busy;       // who holds the offset
    struct list_node waiting;        // for it
    struct list_node link, all;      // of the mount's clunks; of all its files
};

struct user_tag {                    // of what is out: at most one of the four
    struct user_request *request;
    struct user_file *clunk;
    struct proc *quick;              // a quick read: who waits, if still in the wait `serial`
    u64 serial;
    u32 quick_len;
    bool dropped;                    // nobody waits for the reply any more
    bool ahead;                      // it is the request's getattr, sent with its walk
    bool flush_due, flushing;        // its Tflush is to be sent; is out: the tag stays taken
};

static inline bool user_tag_is_free(const struct user_tag *t) {
    return ((u64)t->request | (u64)t->clunk | (u64)t->quick) == 0 && !t->dropped && !t->flushing;
}

struct user_mount {
    enum mount_state state;
    u32 number, msize, next_fid;
    bool fids_wrapped, hello_out;
    bool detached;                   // no name any more; goes with its last file
    u64 serial;                      // of this mount, never used again
    char name[MOUNT_NAME_MAX], source[MOUNT_SOURCE_MAX];
    struct object *to, *from;        // open pipes, references
    struct pipe *to_pipe;            // that of `to`, while there is one
    u32 files;                       // that live, but for the root
    struct user_file *root;
    bool root_given;                 // our own reference on it
    struct user_tag tag[MOUNT_TAGS];
    struct list_node queue;          // requests whose next message is to be sent
    struct list_node clunks;         // files whose Tclunk is to be sent
    struct list_node all;            // every user_file, until its Rclunk
    u8 *tx, *rx;                     // MOUNT_BUFFER_BYTES each
    u32 tx_at, tx_len, rx_len;
    u32 flushes_due;                 // tags with flush_due
    struct wait_list quick_wait;     // callers of quick reads
};

extern const struct object_ops user_ops;
extern struct user_mount *user_mounts[MOUNTS_MAX];

static inline struct user_file *user_file_of(struct object *o) {
    return CONTAINER_OF(o, struct user_file, object);
}

// The file of that name, which is one of a server of this node; NULL: there is none (any more).
static inline struct user_file *user_file_at(struct object_id id) {
    const u32 mount = (id.index & OBJECT_USER_MOUNT) >> OBJECT_USER_MOUNT_SHIFT;
    struct object *o = object_find_at(object_user_place(id), id.generation);
    if (!o || o->ops != &user_ops) return NULL;
    struct user_file *f = user_file_of(o);
    return f->mount == mount ? f : NULL;
}

extern struct list_node user_finished;   // requests whose `done` is to be called

struct user_mount *mount_of(u32 number);
void mount_ended(struct user_mount *m);      // its channel ended
void mount_reap(u32 number);                 // frees it where nothing names it any more
bool mount_alive(const struct user_mount *m);
// user_channel.c
void channel_begin(struct user_mount *m);
void channel_run(struct user_mount *m);
void channel_flush(struct user_mount *m, const struct user_request *r);
void channel_close(struct user_mount *m);
void channel_end(struct user_mount *m, const char *why);
u32 channel_tag_free(const struct user_mount *m);
void userfs_wanted(void);                // a pump, soon
// user_quick.c
bool user_quick_reply(void *mount, const u8 *bytes, u32 len);
void user_quick_end(const struct user_tag *t, i64 result, const u8 *from);
bool user_quick_wanted(const struct user_tag *t);
// userfs.c
struct user_file *user_file_new(struct user_mount *m);
struct user_file *user_file_find(struct object_id id);
void user_file_free(struct user_file *f);
struct object_id user_file_id(const struct user_file *f);
struct p9_call user_step_call(const struct user_request *r);
void user_step_done(struct user_request *r, struct p9_call *reply, const struct p9_parsed *parsed);
void user_ahead_done(struct user_request *r);
void user_request_end(struct user_request *r, status_t status);
