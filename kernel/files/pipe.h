// A pipe, for pipe.c and the short ways that look into one (user_quick.c). Lock: files_lock.
#pragma once

#include "kernel/files/ofd.h"

#define PIPE_BYTES (64 * KIB)
#define PIPE_BUF_BYTES 4096u             // a write of at most so many bytes is whole or waits

struct pipe {
    struct pipe_end {
        struct object object;
        struct pipe *pipe;
        bool writes;
        u32 opens;
    } read, write;
    u8 *buffer;
    u64 head, tail;                  // free-running
    u64 ino;
    u32 uid, gid;                    // who made it
    bool polled;                     // somebody asked since pollers were woken last
    pipe_sink_fn sink;               // takes what is written to an empty pipe, or does not
    void *sink_ctx;
    struct wait_list readers, writers;
};

status_t pipe_broken(void);

static inline u64 pipe_used(const struct pipe *p) { return p->tail - p->head; }

// The pipe of which ofd is an open end; NULL: it is none of that, or has the access mode not_mode.
// files_lock held.
static inline struct pipe *pipe_of(const struct object *ofd, u32 not_mode) {
    struct object *file = ofd->kind == ACCOUNT_PIPE ? ofd_file(ofd, not_mode) : NULL;
    return file ? CONTAINER_OF(file, struct pipe_end, object)->pipe : NULL;
}

// The same, of its end to write to (`writes`) or of the other.
static inline struct pipe *pipe_of_end(const struct object *ofd, bool writes) {
    const u32 not_mode = writes ? 0 : O_WRONLY;
    struct object *file = ofd->kind == ACCOUNT_PIPE ? ofd_file(ofd, not_mode) : NULL;
    const struct pipe_end *e = file ? CONTAINER_OF(file, struct pipe_end, object) : NULL;
    return e && e->writes == writes ? e->pipe : NULL;
}
