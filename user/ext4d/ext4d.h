// The ext4 file server: what its files share. One process serves one drive: main.c starts
// it, calls.c carries messages and what waits, serve.c answers them, tree.c changes names, data.c
// moves bytes, drive.c is the drive as libext2fs sees it. One lock, that of calls.c, is held by
// whoever does anything with the file system; threads read the drive without it (fetch.c).
#pragma once

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/p9/p9_codec.h"

#define EXT4D_FIDS_MAX 65536u
#define EXT4D_MSIZE (P9_DATA_MAX + 64u)  // what we agree to
#define EXT4D_BUFFER_BYTES (EXT4D_MSIZE + 2 * P9_PATH_MAX)
#define EXT4D_LACKS ((errcode_t)EINPROGRESS)   // a call is to be asked again: fetch.c
#define EXT4D_DIRTY_MAX 1024u            // blocks that wait for the drive between two calls

struct fid {
    struct fid *next;                // of its bucket
    u32 number;
    ext2_ino_t ino;
    bool open;
    u32 flags;                       // of an open one
};

struct ext4d {
    ext2_filsys fs;
    bool read_only, attached;
    bool refused;                    // a commit has failed: no changes until one works
    u32 msize;
    u32 fid_count;
    struct fid *fids[1024];
    u8 data[P9_DATA_MAX];            // payload of the reply
};

// calls.c
void calls_serve(struct ext4d *s, int from, int to, bool in_turn);
bool calls_make_fid(u32 fid);
void answers_send(void);             // before anything that takes time

// Linux errnos, negated, as base/status.h has them; 0: done.
status_t status_of(struct ext4d *s, errcode_t code);

// serve.c
bool serve_may_restart(const struct p9_call *c);
void serve_unpack(struct ext4d *s, u8 *message, u32 len, struct p9_call *c, struct p9_parsed *p);
void serve_run(struct ext4d *s, struct p9_call *c, const u8 *payload);
u32 serve_pack(struct ext4d *s, struct p9_call *c, u16 tag, u8 *out);
void serve_end(struct ext4d *s);     // gives up all fids
bool fid_refers(const struct ext4d *s, ext2_ino_t ino);

// tree.c
status_t inode_read(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *to);
status_t inode_write(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *from);
enum inode_times { TIME_ACCESS = 1, TIME_MODIFY = 2, TIME_CHANGE = 4 };
void inode_touch(struct ext2_inode_large *i, u32 times);
void inode_time_set(struct ext2_inode_large *i, u32 which, u64 s, u64 ns);
void inode_attr(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i, struct p9_attr *a);
status_t tree_lookup(struct ext4d *s, ext2_ino_t dir, const char *name, ext2_ino_t *ino);
struct tree_new { const char *name; u32 mode, uid, gid; };
status_t tree_create(struct ext4d *s, ext2_ino_t dir, const struct tree_new *n, ext2_ino_t *ino);
status_t tree_mkdir(struct ext4d *s, ext2_ino_t dir, const struct tree_new *n, ext2_ino_t *ino);
status_t tree_symlink(struct ext4d *s, ext2_ino_t dir, const struct tree_new *n,
                      const char *target, ext2_ino_t *ino);
status_t tree_link(struct ext4d *s, ext2_ino_t dir, const char *name, ext2_ino_t ino);
status_t tree_unlink(struct ext4d *s, ext2_ino_t dir, const char *name, bool want_dir);
struct tree_name { ext2_ino_t dir; const char *name; };
status_t tree_rename(struct ext4d *s, const struct tree_name *from, const struct tree_name *to);
status_t tree_forget(struct ext4d *s, ext2_ino_t ino);   // no fid names it any more
status_t tree_readdir(struct ext4d *s, ext2_ino_t dir, struct p9_call *c, u8 *to);

// data.c
status_t data_read(struct ext4d *s, ext2_ino_t ino, struct p9_call *c, u8 *to);
status_t data_write(struct ext4d *s, ext2_ino_t ino, struct p9_call *c, const u8 *from);
status_t data_truncate(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i, u64 size);
errcode_t data_punch(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i, u64 first);
status_t data_readlink(struct ext4d *s, ext2_ino_t ino, struct p9_call *c, u8 *to);

// drive.c
extern io_manager drive_manager;
errcode_t drive_start(ext2_filsys fs);               // what a commit writes when
errcode_t drive_data_read(ext2_filsys fs, u64 block, u32 count, void *to);
errcode_t drive_commit(ext2_filsys fs);              // all that is changed is on the drive
u32 drive_dirty(ext2_filsys fs);
errcode_t fs_commit(struct ext4d *s);                // the same, libext2fs's own caches first

// fetch.c
struct fetch;
struct fetch_list { struct fetch *lacks, *held; };   // of a call: to be read; have been read
void fetch_begin(ext2_filsys fs, struct fetch_list *call);
void fetch_end(ext2_filsys fs);
void fetch_read(ext2_filsys fs, struct fetch *f);
void fetch_done(ext2_filsys fs, struct fetch_list *call);
void fetch_drop(ext2_filsys fs, struct fetch_list *call);
