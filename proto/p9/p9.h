// File calls as 9P2000.L: one struct of the same meaning inside a kernel and, packed by
// proto/p9/p9_codec.c, on the wire. An object (a file, a directory, an open file
// description, a pipe's end) is named by (node, index, generation); index is the fid,
// chosen by the node that serves it. Private types, above the standard ones, are what
// Linux programs ask of open descriptions and 9P2000.L has no word for.
// Spec: 9P2000.L (diod's protocol notes), Plan 9 intro(5) for T/R pairs and fids.
#pragma once

#include "base/object_id.h"
#include "base/status.h"
#include "base/types.h"

enum p9_type {  // values of the T-message; the reply's is one more
    P9_TSTATFS = 8, P9_TLOPEN = 12, P9_TLCREATE = 14, P9_TSYMLINK = 16, P9_TMKNOD = 18,
    P9_TRENAME = 20, P9_TREADLINK = 22, P9_TGETATTR = 24, P9_TSETATTR = 26, P9_TREADDIR = 40,
    P9_TFSYNC = 50, P9_TLOCK = 52, P9_TGETLOCK = 54, P9_TLINK = 70, P9_TMKDIR = 72,
    P9_TRENAMEAT = 74, P9_TUNLINKAT = 76, P9_TVERSION = 100, P9_TATTACH = 104, P9_TFLUSH = 108,
    P9_TWALK = 110, P9_TREAD = 116, P9_TWRITE = 118, P9_TCLUNK = 120,
    // Private.
    P9_TSEEK = 200,      // offset, flags = whence; out: result = the new offset
    P9_TIOCTL = 202,     // flags = request, value = argument; `data`: count bytes in; out:
                         // count bytes, result = what ioctl returns
    P9_TPOLL = 204,      // flags = wanted POLL bits; out: result = ready bits
    P9_TREF = 206,       // one more handle names this open description (fork, dup)
    P9_TGETFL = 208,     // out: result, the O_ status flags of an open description
    P9_TSETFL = 210,     // flags: new O_APPEND | O_NONBLOCK
};
#define P9_RLERROR 7
#define P9_NOTAG 0xffff
#define P9_NOFID 0xffffffffu
#define P9_OFFSET_CURRENT (~0ull)    // read, write: at the description's own offset

#define P9_WALK_MAX 16
#define P9_NAME_MAX 255
#define P9_PATH_MAX 4096
#define P9_DATA_MAX (64u << 10)      // bytes that one call moves
#define P9_SEG_MAX 17                // pages that 64 KiB at any offset touch

// A file's attributes, as Rgetattr has them.
struct p9_attr {
    u64 valid;                       // P9_GETATTR_*, P9_SETATTR_* of the protocol
    u8 qid_type; u32 qid_version; u64 qid_path;
    u32 mode, uid, gid;
    u64 nlink, rdev, size, blksize, blocks;
    u64 atime_s, atime_ns, mtime_s, mtime_ns, ctime_s, ctime_ns;
};

// The answer to statfs, as Rstatfs has it.
struct p9_statfs {
    u32 type, bsize;
    u64 blocks, bfree, bavail, files, ffree, fsid;
    u32 namelen;
};

// A record lock; its client's name is `name` of the call.
struct p9_lock {
    u8 type;                         // P9_LOCK_TYPE_*: 0 read, 1 write, 2 unlock
    u32 flags;
    u64 start, length;
    u32 proc_id;
};

// Data of read, write, readdir, readlink, ioctl: pieces of page frames, pinned for as
// long as the call lasts; or one kernel buffer where `buffer` is set.
struct p9_data {
    void *buffer;
    u32 seg_count;
    struct { paddr_t pa; u32 len; } seg[P9_SEG_MAX];
};

// What a terminal asks of who uses it: its group and session, and bits.
struct p9_job { u32 pgid, sid, bits; };
#define P9_JOB_DEAF_TTIN 1u          // it ignores or blocks SIGTTIN
#define P9_JOB_DEAF_TTOU 2u
#define P9_JOB_TERMINAL 4u           // it has a controlling terminal
#define P9_JOB_NEAR 8u               // which is on the object's node

struct p9_call {
    u8 type;                         // enum p9_type, the T-message
    status_t status;                 // out
    struct object_id object;            // fid
    struct object_id object2;           // newdirfid of renameat, rename; link: the file
    struct object_id made;              // out: of walk, lopen, lcreate
    u32 new_fid;                     // walk, attach: the new fid; 0: the server chooses it
    u32 pid, uid, gid, umask;        // who asks
    struct p9_job job;
    const char *name;                // one name (walk: NULL clones); 0-terminated
    const char *name2;               // renameat: the new name; symlink: the target
    u32 flags, mode;
    u64 offset, count, value;
    u64 result;                      // out: bytes moved, new offset, ready bits, lock's status
    struct p9_data data;
    union {
        struct p9_attr attr;         // in: setattr; out: getattr, walk. getattr: valid = wanted
        struct p9_statfs statfs;     // out: statfs
        struct p9_lock lock;         // in: lock, getlock; out: getlock
    };
};
// What of a call must be 0 where it is not set: all before the pieces of its data.
#define P9_CALL_HEAD_BYTES offsetof(struct p9_call, data.seg)

// Copies between a kernel buffer and the call's data, from `at` bytes into it. Returns
// the bytes copied (less than len where the data ends).
struct p9_data_ops {
    u32 (*to_data)(struct p9_call *c, u64 at, const void *from, u32 len_bytes);
    u32 (*from_data)(struct p9_call *c, u64 at, void *to, u32 len_bytes);
};
