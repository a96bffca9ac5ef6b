// The process's side of files: handles, paths, the mounts. The calls themselves go
// through file_call (kernel/files/object.h).
#pragma once

#include "kernel/files/object.h"
#include "kernel/proc.h"
#include "kernel/uaccess.h"

#define AT_FDCWD (-100)

enum path_flags {
    PATH_FOLLOW = 1,                 // a symbolic link at the end is followed
    PATH_PARENT = 2,                 // stop before the last name
    PATH_MAY_LACK = 4,               // the last name may not exist: `missing`
    PATH_EMPTY_OK = 8,               // "" names dirfd itself (AT_EMPTY_PATH)
};
// What a link of /proc/PID/fd says, before PID:FD: it leads to the object itself (path_walk).
#define PATH_HANDLE_LINK "handle:"

struct path {
    struct object_id object;         // a reference; with PATH_PARENT or missing the directory
    struct p9_attr attr;             // of `object`, unless it is where the walk began
    bool attr_known, missing, want_dir;
    char last[P9_NAME_MAX + 1];      // with PATH_PARENT or missing
    char text[PROC_PATH_MAX];        // absolute, as far as known
    const char *ahead;               // private: the names behind the one that is walked
    char rest[P9_PATH_MAX];          // private
    char link[P9_PATH_MAX];          // private
};

void files_start(void);
// Fills *out (large: from kmem). S_OK: the caller clunks out->object.
status_t path_walk(struct proc *p, int dirfd, const char *name, u32 flags, struct path *out);
// The same with the name in user memory. NULL and *error where it fails.
struct path *path_user(struct proc *p, int dirfd, u64 name_uva, u32 flags, status_t *error);
void path_put(struct path *path);    // clunks and frees
status_t path_attr(struct path *w);
status_t path_give(const struct proc *p, struct object_id made);
// What path_open opened.
struct opened {
    struct object_id object;
    bool pipe;                       // a FIFO, or by /proc/PID/fd an end of a pipe
};
status_t path_open(struct proc *p, int dirfd, const char *name, u32 flags, u32 mode,
                   struct opened *out);
status_t path_mount_find(const char *name, struct object_id *root);
// The directory above dir, with a reference; *mount: dir's name where it is mounted there.
status_t path_up(struct proc *p, struct object_id dir, struct object_id *parent,
                 const char **mount);
status_t dir_name(struct proc *p, struct object_id dir, char *text);   // kernel/dir_name.c
void object_clunk(struct object_id id);
status_t object_ref(struct object_id id);

// Handles. handle_get: E_BADF through NULL.
struct handle *handle_get(const struct proc *p, i64 fd);
struct handle *handle_any(const struct proc *p, i64 fd);
i64 handle_install(struct proc *p, struct object_id object, u32 flags, u32 lowest);
status_t handle_close(struct proc *p, i64 fd);
void handle_drop(struct proc *p, i64 fd);
status_t handle_put_at(struct proc *p, u32 fd, struct object_id object, u32 flags);
status_t handles_fork(struct proc *child, const struct proc *parent);
void handles_close_all(struct proc *p);
void handles_close_exec(struct proc *p);

void dirs_init(struct proc *p);
void dirs_put(struct proc *p);
struct proc_paths *paths_of(const struct proc *p);
struct object_id tty_console_id(void);
struct object_id tty_device_id(void);        // /dev/tty
void tty_share(void);                // boot: /nodes/N/dev/console
