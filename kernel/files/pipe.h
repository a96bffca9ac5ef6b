// A pipe, for pipe.c, the file servers that have named ones, and the short ways that look into one
// (user_quick.c). Lock: files_lock.
#pragma once

#include "kernel/files/ofd.h"

#define PIPE_BYTES (64 * KIB)
#define PIPE_BUF_BYTES 4096u             // a write of at most so many bytes is whole or waits

// The file whose pipe it is, where it has a name.
struct pipe_home {
    struct object *file;             // a reference; NULL: it has none
    struct pipe **pipe;              // there: NULL while nobody has it open
    void (*used)(struct object *file, bool wrote);       // bytes came or went: its times
};

struct pipe {
    struct pipe_end {
        struct object object;        // refs 0: nobody has opened this end
        struct pipe *pipe;
        bool reads, writes;
        u32 opens;                   // of `both`: 0, it counts in the others
        u64 came;                    // how often it was opened
    } read, write, both;
    struct pipe_home home;
    u8 *buffer;
    u64 head, tail;                  // free-running
    u64 ino;
    u32 uid, gid;                    // who made it
    bool polled;                     // somebody asked since pollers were woken last
    pipe_sink_fn sink;               // takes what is written to an empty pipe, or does not
    void *sink_ctx;
    struct wait_list readers, writers, openers;
};

// By P9_TIOCTL: waits until somebody has had the other end since this one was opened; `value`,
// which the open description sets, is that end's `came` of then.
#define PIPE_IOC_PARTNER 0x69530002

status_t pipe_broken(void);
status_t fifo_open(const struct pipe_home *home, struct p9_call *c);

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
