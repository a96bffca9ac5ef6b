// A file server in a program: the part that every such server has. It mounts a tree as
// /mnt/NAME of all nodes, takes 9P2000.L messages of bounded size, keeps fids, and asks the
// program through a table what each call means. docs/reference/servers.md has a walk through it.
// One thread; calls wait where the program says so, so several are in service at a time.
#pragma once

#include "proto/p9/p9_codec.h"

#define SERVER_FIDS_MAX 4096u
#define SERVER_WAITS_MAX 64u             // calls that wait at a time; the kernel sends no more
#define SERVER_MSIZE (P9_DATA_MAX + 64u)
#define SERVER_BUFFER_BYTES (SERVER_MSIZE + 2 * P9_PATH_MAX)
#define SERVER_BUCKETS 256u

struct server_fid {
    struct server_fid *next;             // of its bucket
    u32 number;
    u64 node;                            // the program's name for the file
    bool open;
    u32 flags;                           // of an open one: Linux's O_ flags
};

struct server;
// What the program answers. Results: S_OK, a negated errno, and where a call may wait
// S_RESTART: it is asked again, with the same arguments, after server_changed.
struct server_ops {
    status_t (*attach)(struct server *s, u64 *node);             // the root
    status_t (*walk)(struct server *s, u64 from, const char *name, u64 *node);
    status_t (*attr)(struct server *s, u64 node, struct p9_attr *a);
    // Every other call on a fid. data: the bytes of a write; where those of a read, readdir
    // (server_dirent) or readlink go, c->count at most, c->result says how many. A create
    // changes f->node. May wait: open, read, readdir, getattr is never asked this way.
    status_t (*call)(struct server *s, struct server_fid *f, struct p9_call *c, u8 *data);
    void (*named)(struct server *s, u64 node, int change);       // NULL: fids of a node: +1, -1
};

struct server_wait {                     // a call that waits
    bool used;
    u16 tag;
    u32 fid;
    struct p9_call call;
};

struct server {
    const struct server_ops *ops;        // the program's, set before all else
    void *ctx;
    // Private.
    u32 msize, fid_count;
    bool changed, bad;
    bool two_calls;                      // the kernel has no reply_recv
    struct server_fid *fids[SERVER_BUCKETS];
    struct server_wait waits[SERVER_WAITS_MAX];
    int in_fd, out_fd;
    u32 in_at, in_len, out_len;
    u8 data[P9_DATA_MAX];
    // A message that lies within one page goes the direct way.
    u8 in[2 * SERVER_BUFFER_BYTES] __attribute__((aligned(4096)));
    u8 out[2 * SERVER_BUFFER_BYTES] __attribute__((aligned(4096)));
};

int server_mount(struct server *s, const char *source, const char *target);
int server_run(struct server *s);
void server_message(struct server *s, u8 *message, u32 len_bytes);
void server_changed(struct server *s);
bool server_dirent(struct p9_call *c, u8 *data, const struct p9_attr *a, const char *name);
