// Bytes of files: read, write, truncate, symbolic links' targets. Reads go in runs of blocks
// that lie side by side on the drive; writes go into drive.c's cache. Called by serve.c.
#include <string.h>

#include "base/bits.h"
#include "user/ext4d/ext4d.h"

// Where a file's block lies; *physical 0: nowhere, it reads as zeros.
static status_t block_at(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i, u64 block,
                         blk64_t *physical) {
    int flags = 0;
    *physical = 0;
    const errcode_t code = ext2fs_bmap2(s->fs, ino, (struct ext2_inode *)i, NULL, 0, block, &flags,
                                        physical);
    if (code) return status_of(s, code);
    if (*physical >= ext2fs_blocks_count(s->fs->super)) return E_IO;
    if (flags & BMAP_RET_UNINIT) *physical = 0;
    return S_OK;
}

// Whole blocks [first, first + count) of the file.
static status_t read_blocks(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i, u64 first,
                            u32 count, u8 *to) {
    const u64 size = s->fs->blocksize;
    for (u32 done = 0; done < count;) {
        blk64_t start, next;
        status_t status = block_at(s, ino, i, first + done, &start);
        u32 run = 1;
        while (status == S_OK && done + run < count) {
            status = block_at(s, ino, i, first + done + run, &next);
            if (status != S_OK || next != (start ? start + run : 0)) break;
            run++;
        }
        if (status != S_OK) return status;
        if (start) status = status_of(s, drive_data_read(s->fs, start, run, to + done * size));
        else memset(to + done * size, 0, run * size);
        if (status != S_OK) return status;
        done += run;
    }
    return S_OK;
}

static status_t file_inode(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i) {
    const status_t status = inode_read(s, ino, i);
    if (status != S_OK) return status;
    if (LINUX_S_ISDIR(i->i_mode)) return E_ISDIR;
    return LINUX_S_ISREG(i->i_mode) ? S_OK : E_INVAL;
}

// c->count bytes at c->offset, fewer at the end; c->result of them in `to`.
status_t data_read(struct ext4d *s, ext2_ino_t ino, struct p9_call *c, u8 *to) {
    struct ext2_inode_large i;
    status_t status = file_inode(s, ino, &i);
    const u64 size = s->fs->blocksize, end = EXT2_I_SIZE(&i);
    c->result = 0;
    if (status != S_OK || c->offset >= end) return status;
    const u64 len = MIN(MIN(c->count, end - c->offset), P9_DATA_MAX);
    const u64 first = c->offset / size, skip = c->offset % size;
    const u32 count = (u32)((skip + len + size - 1) / size);
    u8 *blocks = malloc(count * size);
    if (!blocks) return E_NOMEM;
    status = read_blocks(s, ino, &i, first, count, blocks);
    if (status == S_OK) {
        memcpy(to, blocks + skip, len);
        c->result = len;
    }
    free(blocks);
    return status;
}

// Where block number `block` is to be written; *fresh: what is there is not the file's.
static status_t block_for_write(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i,
                                u64 block, blk64_t *physical, bool *fresh) {
    struct ext2_inode *small = (struct ext2_inode *)i;
    int flags = 0;
    *physical = 0;
    errcode_t code = ext2fs_bmap2(s->fs, ino, small, NULL, 0, block, &flags, physical);
    *fresh = *physical == 0 || (flags & BMAP_RET_UNINIT);
    if (!code && *physical == 0)
        code = ext2fs_bmap2(s->fs, ino, small, NULL, BMAP_ALLOC, block, NULL, physical);
    else if (!code && *fresh)
        code = ext2fs_bmap2(s->fs, ino, small, NULL, BMAP_SET, block, NULL, physical);
    if (code) return status_of(s, code);
    return *physical == 0 || *physical >= ext2fs_blocks_count(s->fs->super) ? E_IO : S_OK;
}

// Bytes of one block of the file.
static status_t write_piece(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i, u64 at,
                            u32 len, const u8 *from) {
    const u32 size = s->fs->blocksize;
    u8 *bytes = calloc(1, size);
    blk64_t physical;
    bool fresh;
    if (!bytes) return E_NOMEM;
    status_t status = block_for_write(s, ino, i, at / size, &physical, &fresh);
    if (status == S_OK && !fresh && len < size)
        status = status_of(s, drive_data_read(s->fs, physical, 1, bytes));
    if (status == S_OK) {
        memcpy(bytes + at % size, from, len);
        status = status_of(s, io_channel_write_blk64(s->fs->io, physical, 1, bytes));
    }
    free(bytes);
    return status;
}

static u64 size_most(const struct ext4d *s, const struct ext2_inode_large *i) {
    const u64 size = s->fs->blocksize, blocks = size / 4;
    if (i->i_flags & EXT4_EXTENTS_FL) return size * 0xffffffffull;
    return MIN((12 + blocks + blocks * blocks + blocks * blocks * blocks) * size,
               size * 0xffffffffull / 2);
}

// Between the file's old end and where it goes on: the rest of the last block is zeros.
static status_t tail_clear(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i, u64 end) {
    const u64 size = s->fs->blocksize;
    blk64_t physical;
    if (end % size == 0) return S_OK;
    status_t status = block_at(s, ino, i, end / size, &physical);
    if (status != S_OK || physical == 0) return status;
    u8 *bytes = malloc(size);
    if (!bytes) return E_NOMEM;
    status = status_of(s, drive_data_read(s->fs, physical, 1, bytes));
    if (status == S_OK) {
        memset(bytes + end % size, 0, size - end % size);
        status = status_of(s, io_channel_write_blk64(s->fs->io, physical, 1, bytes));
    }
    free(bytes);
    return status;
}

// c->count bytes of `from` to c->offset; c->result of them were written.
status_t data_write(struct ext4d *s, ext2_ino_t ino, struct p9_call *c, const u8 *from) {
    struct ext2_inode_large i;
    if (s->read_only) return E_ROFS;
    status_t status = file_inode(s, ino, &i);
    if (status != S_OK) return status;
    const u64 end = EXT2_I_SIZE(&i), size = s->fs->blocksize;
    c->result = 0;
    if (c->offset > size_most(s, &i) || c->count > size_most(s, &i) - c->offset) return E_FBIG;
    if (c->offset > end) status = tail_clear(s, ino, &i, end);
    while (status == S_OK && c->result < c->count) {
        const u64 at = c->offset + c->result;
        const u32 len = (u32)MIN(c->count - c->result, size - at % size);
        status = write_piece(s, ino, &i, at, len, from + c->result);
        if (status == S_OK) c->result += len;
    }
    if (c->result == 0) return status;
    if (c->offset + c->result > end)
        (void)ext2fs_inode_size_set(s->fs, (struct ext2_inode *)&i,
                                    (ext2_off64_t)(c->offset + c->result));
    inode_touch(&i, TIME_MODIFY | TIME_CHANGE);
    return inode_write(s, ino, &i);
}

// Unmaps the block at the very end of the file system where it is the inode's, at or behind
// `first`: libext2fs 1.47's punch takes an extent that ends there for a corrupt one.
static errcode_t unmap_last(struct ext4d *s, ext2_ino_t ino, struct ext2_inode *i, u64 first) {
    const blk64_t last = ext2fs_blocks_count(s->fs->super) - 1;
    ext2_extent_handle_t handle;
    struct ext2fs_extent e;
    if (!(i->i_flags & EXT4_EXTENTS_FL) || !ext2fs_test_block_bitmap2(s->fs->block_map, last))
        return 0;
    errcode_t code = ext2fs_extent_open2(s->fs, ino, i, &handle);
    if (code) return code;
    for (int op = EXT2_EXTENT_ROOT; !(code = ext2fs_extent_get(handle, op, &e));
         op = EXT2_EXTENT_NEXT_LEAF) {
        if (!(e.e_flags & EXT2_EXTENT_FLAGS_LEAF) || e.e_len == 0 || e.e_pblk + e.e_len != last + 1)
            continue;
        const blk64_t block = e.e_lblk + e.e_len - 1;
        if (block < first) break;
        code = ext2fs_extent_set_bmap(handle, block, 0, 0);
        if (!code) ext2fs_block_alloc_stats2(s->fs, last, -1);
        if (!code) code = ext2fs_iblk_sub_blocks(s->fs, i, 1);
        break;
    }
    ext2fs_extent_free(handle);
    return code == EXT2_ET_EXTENT_NO_NEXT || code == EXT2_ET_NO_CURRENT_NODE ? 0 : code;
}

// Frees the file's blocks from number `first` on; the caller writes *i.
errcode_t data_punch(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i, u64 first) {
    struct ext2_inode *small = (struct ext2_inode *)i;
    if (!ext2fs_inode_has_valid_blocks2(s->fs, small)) return 0;
    errcode_t code = unmap_last(s, ino, small, first);
    if (!code) code = ext2fs_write_inode_full(s->fs, ino, small, sizeof *i);
    return code ? code : ext2fs_punch(s->fs, ino, small, NULL, first, ~0ull);
}

// Has its extent tree blocks of its own?
static bool has_tree(const struct ext2_inode_large *i) {
    return (i->i_block[1] >> 16) != 0;           // eh_depth of the root
}

// Sets the size in *i and on the drive; the caller writes *i.
status_t data_truncate(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i, u64 size) {
    const u64 block = s->fs->blocksize, old = EXT2_I_SIZE(i);
    if (!LINUX_S_ISREG(i->i_mode)) return LINUX_S_ISDIR(i->i_mode) ? E_ISDIR : E_INVAL;
    if (size > size_most(s, i)) return E_FBIG;
    status_t status = size < old ? tail_clear(s, ino, i, size) : tail_clear(s, ino, i, old);
    if (status != S_OK) return status;
    errcode_t code = 0;
    if (size < old) {
        const bool tree = (i->i_flags & EXT4_EXTENTS_FL) && has_tree(i);
        code = data_punch(s, ino, i, (size + block - 1) / block);
        // Never a smaller size over extents beyond it: see drive.c.
        if (!code && tree && size) code = fs_commit(s);
    }
    if (!code) code = ext2fs_inode_size_set(s->fs, (struct ext2_inode *)i, (ext2_off64_t)size);
    inode_touch(i, TIME_MODIFY | TIME_CHANGE);
    return status_of(s, code);
}

status_t data_readlink(struct ext4d *s, ext2_ino_t ino, struct p9_call *c, u8 *to) {
    struct ext2_inode_large i;
    status_t status = inode_read(s, ino, &i);
    if (status != S_OK) return status;
    if (!LINUX_S_ISLNK(i.i_mode)) return E_INVAL;
    const u64 len = EXT2_I_SIZE(&i);
    if (len == 0 || len >= P9_PATH_MAX || len > s->fs->blocksize) return E_IO;
    c->result = len;
    if (ext2fs_is_fast_symlink((struct ext2_inode *)&i)) {
        if (len > sizeof i.i_block) return E_IO;
        memcpy(to, i.i_block, len);
        return S_OK;
    }
    u8 *bytes = malloc(s->fs->blocksize);
    if (!bytes) return E_NOMEM;
    status = read_blocks(s, ino, &i, 0, 1, bytes);
    memcpy(to, bytes, len);
    free(bytes);
    return status;
}
