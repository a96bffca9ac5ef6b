// The drive as libext2fs sees it: an I/O manager over one file, with a cache of blocks (cache.c)
// that is written back at a commit and nowhere else. A commit writes in phases with a flush of the
// drive after each that has anything to write (enum phase). So whenever the power is cut, an
// inode on the drive names only blocks whose content is there, as far as it was committed; and
// a block of an extent tree that was there before is changed after the inode: e2fsck takes
// extents beyond an inode's size for damage, and what a full block gave to a new one is to be
// found in that one first.
// Called by libext2fs and data.c.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "user/ext4d/drive_priv.h"

#define RUN_BYTES (256u << 10)           // written by one call, at most

enum phase {
    PHASE_NEW,                           // data, directories, new blocks of extent trees
    PHASE_INODES,                        // inode tables, bitmaps, descriptors, superblock
    PHASE_TREE,                          // changed blocks of extent trees: the upper ones,
    PHASE_LEAVES,                        // and then the lowest
    PHASES,
};
#define EXTENT_MAGIC 0xf30au             // of a block of an extent tree; Source: ext4 layout

// --- the file ---

static errcode_t file_write(struct drive *d, u64 at, u64 len, const void *from) {
    const u8 *bytes = from;
    answers_send();
    while (len) {
        const ssize_t n = pwrite(d->fd, bytes, len, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0) return EXT2_ET_SHORT_WRITE;
        bytes += n, at += (u64)n, len -= (u64)n;
    }
    return 0;
}

static errcode_t read_blocks(io_channel c, u64 block, u32 count, u8 *to, bool keep) {
    struct drive *d = drive_of(c);
    const u64 size = (u64)c->block_size;
    for (u32 i = 0; i < count;) {
        const struct block *b = block_find(d, block + i);
        if (b) {
            memcpy(to + i * size, b->bytes, size);
            i++;
            continue;
        }
        const struct fetch *f = fetch_find(d, block + i);
        if (f) {
            if (f->code) return f->code;
            memcpy(to + i * size, f->bytes + (block + i - f->first) * size, size);
            i++;
            continue;
        }
        u32 run = 1;
        while (i + run < count && !block_is_cached(d, block + i + run)) run++;
        if (d->call) return fetch_want(c, block + i, run, keep);
        answers_send();
        const errcode_t code = bytes_read(d->fd, (block + i) * size, run * size, to + i * size);
        if (code) return code;
        for (u32 k = 0; keep && k < run; k++)
            if (!block_add(c, block + i + k, to + (i + k) * size)) return ENOMEM;
        i += run;
    }
    return 0;
}

static errcode_t write_block(io_channel c, u64 block, const u8 *from) {
    struct drive *d = drive_of(c);
    struct block *b = block_find(d, block);
    if (b && !memcmp(b->bytes, from, (size_t)c->block_size)) return 0;
    if (b) memcpy(b->bytes, from, (size_t)c->block_size);
    else b = block_add(c, block, from);
    if (!b) return ENOMEM;
    block_make_dirty(d, b);
    fetches_spoil(d, block);
    return 0;
}

// --- commit ---

static bool is_last(const struct drive *d, u64 block) {
    return block < d->last_blocks && (d->last[block / 8] >> (block % 8) & 1);
}

static bool was_used(const struct drive *d, u64 block) {
    if (!d->used || block < d->first_block || block >= d->last_blocks) return false;
    const u64 bit = block - d->first_block;
    return d->used[bit / 8] >> (bit % 8) & 1;
}

static enum phase phase_of(const struct drive *d, const struct block *b) {
    if (is_last(d, b->number)) return PHASE_INODES;
    const u32 magic = (u32)b->bytes[0] | (u32)b->bytes[1] << 8;
    if (magic != EXTENT_MAGIC || !was_used(d, b->number)) return PHASE_NEW;
    return b->bytes[6] || b->bytes[7] ? PHASE_TREE : PHASE_LEAVES;   // eh_depth
}

static int by_number(const void *a, const void *b) {
    const struct block *x = *(struct block *const *)a, *y = *(struct block *const *)b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static errcode_t write_runs(io_channel c, struct block **list, u32 count) {
    struct drive *d = drive_of(c);
    const u64 size = (u64)c->block_size;
    for (u32 i = 0; i < count;) {
        u32 run = 0;
        while (i + run < count && list[i + run]->number == list[i]->number + run &&
               (run + 1) * size <= RUN_BYTES) {
            memcpy(d->run + run * size, list[i + run]->bytes, size);
            run++;
        }
        const errcode_t code = file_write(d, list[i]->number * size, run * size, d->run);
        if (code) return code;
        i += run;
    }
    return count && fsync(d->fd) != 0 ? (errcode_t)errno : 0;
}

static errcode_t write_phase(io_channel c, enum phase phase) {
    struct drive *d = drive_of(c);
    struct block **list = malloc((d->dirty + 1) * sizeof *list);
    u32 count = 0;
    if (!list) return ENOMEM;
    for (u32 i = 0; i < BUCKETS; i++)
        for (struct block *b = d->buckets[i]; b; b = b->next)
            if (b->dirty && phase_of(d, b) == phase) list[count++] = b;
    qsort(list, count, sizeof *list, by_number);
    const errcode_t code = write_runs(c, list, count);
    for (u32 i = 0; !code && i < count; i++) block_make_clean(d, list[i]);
    free(list);
    cache_trim(d);
    return code;
}

static errcode_t commit(io_channel c) {
    errcode_t code = 0;
    for (u32 phase = 0; phase < PHASES && !code; phase++) code = write_phase(c, (enum phase)phase);
    return code;
}

// Which blocks are in use on the drive now.
static errcode_t used_note(ext2_filsys fs) {
    struct drive *d = drive_of(fs->io);
    if (!fs->block_map || !d->used) return 0;
    return ext2fs_get_block_bitmap_range2(fs->block_map, d->first_block,
                                          d->last_blocks - d->first_block, d->used);
}

errcode_t drive_commit(ext2_filsys fs) {
    const errcode_t code = commit(fs->io);
    return code ? code : used_note(fs);
}

u32 drive_dirty(ext2_filsys fs) { return drive_of(fs->io)->dirty; }

static void last_set(struct drive *d, u64 block, u64 count) {
    for (; count && block < d->last_blocks; count--, block++)
        d->last[block / 8] |= (u8)(1u << (block % 8));
}

// Once the file system and its bitmaps are read: which blocks a commit writes when.
errcode_t drive_start(ext2_filsys fs) {
    struct drive *d = drive_of(fs->io);
    d->last_blocks = ext2fs_blocks_count(fs->super);
    d->last = calloc(1, d->last_blocks / 8 + 1);
    d->first_block = fs->super->s_first_data_block;
    d->used = calloc(1, d->last_blocks / 8 + 1);
    if (!d->last || !d->used) return ENOMEM;
    for (dgrp_t g = 0; g < fs->group_desc_count; g++) {
        blk64_t super, old_desc, new_desc;
        blk_t used;
        ext2fs_super_and_bgd_loc2(fs, g, &super, &old_desc, &new_desc, &used);
        if (super || g == 0) last_set(d, super, 1);
        if (old_desc) last_set(d, old_desc, fs->desc_blocks);
        if (new_desc) last_set(d, new_desc, 1);
        last_set(d, ext2fs_block_bitmap_loc(fs, g), 1);
        last_set(d, ext2fs_inode_bitmap_loc(fs, g), 1);
        last_set(d, ext2fs_inode_table_loc(fs, g), fs->inode_blocks_per_group);
    }
    return used_note(fs);
}

// Blocks of file data: what the cache has of them, the rest from the drive and not kept.
errcode_t drive_data_read(ext2_filsys fs, u64 block, u32 count, void *to) {
    return read_blocks(fs->io, block, count, to, false);
}

// --- the I/O manager ---

static errcode_t drive_close(io_channel c) {
    if (--c->refcount > 0) return 0;
    struct drive *d = drive_of(c);
    const errcode_t code = d->dirty ? commit(c) : 0;
    cache_drop(d);
    close(d->fd);
    free(d->last);
    free(d->used);
    free(d->run);
    free(d);
    free(c->name);
    free(c);
    return code;
}

static errcode_t drive_open(const char *name, int flags, io_channel *out) {
    const int access = flags & IO_FLAG_RW ? O_RDWR : O_RDONLY;
    const int fd = open(name, access | (flags & IO_FLAG_EXCLUSIVE ? O_EXCL : 0) | O_CLOEXEC);
    if (fd < 0) return errno;
    io_channel c = calloc(1, sizeof *c);
    struct drive *d = calloc(1, sizeof *d);
    char *text = strdup(name);
    u8 *run = malloc(RUN_BYTES);
    if (!c || !d || !text || !run) {
        free(c), free(d), free(text), free(run);
        close(fd);
        return ENOMEM;
    }
    d->fd = fd;
    d->run = run;
    c->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    c->manager = drive_manager;
    c->name = text;
    c->block_size = 1024;
    c->refcount = 1;
    c->private_data = d;
    *out = c;
    return 0;
}

static errcode_t drive_set_blksize(io_channel c, int size) {
    if (size == c->block_size) return 0;
    const errcode_t code = drive_of(c)->dirty ? commit(c) : 0;
    if (code) return code;
    cache_drop(drive_of(c));
    c->block_size = size;
    return 0;
}

// A negative count is one of bytes.
static errcode_t drive_read64(io_channel c, unsigned long long block, int count, void *to) {
    if (count >= 0) return read_blocks(c, block, (u32)count, to, true);
    const u64 size = (u64)c->block_size, len = (u64)-(i64)count;
    const u32 blocks = (u32)((len + size - 1) / size);
    u8 *bytes = malloc(blocks * size);
    if (!bytes) return ENOMEM;
    const errcode_t code = read_blocks(c, block, blocks, bytes, true);
    if (!code) memcpy(to, bytes, len);
    free(bytes);
    return code;
}

static errcode_t write_bytes(io_channel c, u64 at, u64 len, const u8 *from) {
    const u64 size = (u64)c->block_size;
    u8 *bytes = malloc(size);
    if (!bytes) return ENOMEM;
    errcode_t code = 0;
    while (len && !code) {
        const u64 in = at % size, n = MIN(len, size - in);
        code = n == size ? 0 : read_blocks(c, at / size, 1, bytes, true);
        memcpy(bytes + in, from, n);
        if (!code) code = write_block(c, at / size, bytes);
        at += n, from += n, len -= n;
    }
    free(bytes);
    return code;
}

static errcode_t drive_write64(io_channel c, unsigned long long block, int count,
                               const void *from) {
    const u64 size = (u64)c->block_size;
    if (count < 0) return write_bytes(c, block * size, (u64)-(i64)count, from);
    errcode_t code = 0;
    for (u64 i = 0; i < (u64)count && !code; i++)
        code = write_block(c, block + i, (const u8 *)from + i * size);
    return code;
}

static errcode_t drive_read(io_channel c, unsigned long block, int count, void *to) {
    return drive_read64(c, block, count, to);
}

static errcode_t drive_write(io_channel c, unsigned long block, int count, const void *from) {
    return drive_write64(c, block, count, from);
}

static errcode_t drive_write_byte(io_channel c, unsigned long at, int count, const void *from) {
    return count < 0 ? EINVAL : write_bytes(c, at, (u64)count, from);
}

// libext2fs flushes in the middle of things; the commit decides when.
static errcode_t drive_flush(io_channel c) {
    (void)c;
    return 0;
}

static struct struct_io_manager manager = {
    .magic = EXT2_ET_MAGIC_IO_MANAGER,
    .name = "ext4d's drive",
    .open = drive_open,
    .close = drive_close,
    .set_blksize = drive_set_blksize,
    .read_blk = drive_read,
    .write_blk = drive_write,
    .flush = drive_flush,
    .write_byte = drive_write_byte,
    .read_blk64 = drive_read64,
    .write_blk64 = drive_write64,
};
io_manager drive_manager = &manager;
