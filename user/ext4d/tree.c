// Names and inodes: look up, create, link, remove, rename, list. What libext2fs has calls
// for is left to it; here is what POSIX wants around them: link counts, times, what may
// replace what, files that are removed while they are open. Called by serve.c.
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/bits.h"
#include "user/ext4d/ext4d.h"

#define EXPAND_MAX 2u                    // blocks that one new name may add to its directory
#define DEPTH_MAX 4096u                  // directories above one another

// --- inodes ---

status_t inode_read(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *to) {
    memset(to, 0, sizeof *to);
    if (ino == 0 || ino > s->fs->super->s_inodes_count) return E_IO;
    return status_of(s, ext2fs_read_inode_full(s->fs, ino, (struct ext2_inode *)to, sizeof *to));
}

status_t inode_write(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *from) {
    return status_of(s, ext2fs_write_inode_full(s->fs, ino, (struct ext2_inode *)from,
                                                sizeof *from));
}

static bool has_extra(const struct ext2_inode_large *i, size_t end) {
    return (size_t)i->i_extra_isize + 128 >= end;
}
#define HAS_EXTRA(i, field) \
    has_extra(i, offsetof(struct ext2_inode_large, field) + sizeof (i)->field)

// The second word of a time: two more bits of seconds, then nanoseconds.
static u32 extra_of(u64 s, u64 ns) {
    const i64 epoch = ((i64)s - (i32)(u32)s) >> 32;
    return (u32)(epoch & 3) | (u32)ns << 2;
}

void inode_time_set(struct ext2_inode_large *i, u32 which, u64 s, u64 ns) {
    const u32 extra = extra_of(s, ns);
    if (which & TIME_ACCESS) {
        i->i_atime = (u32)s;
        if (HAS_EXTRA(i, i_atime_extra)) i->i_atime_extra = extra;
    }
    if (which & TIME_MODIFY) {
        i->i_mtime = (u32)s;
        if (HAS_EXTRA(i, i_mtime_extra)) i->i_mtime_extra = extra;
    }
    if (which & TIME_CHANGE) {
        i->i_ctime = (u32)s;
        if (HAS_EXTRA(i, i_ctime_extra)) i->i_ctime_extra = extra;
    }
}

void inode_touch(struct ext2_inode_large *i, u32 times) {
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    inode_time_set(i, times, (u64)now.tv_sec, (u64)now.tv_nsec);
}

static u64 seconds_of(u32 low, u32 extra) {
    return (u64)((i64)(i32)low + ((i64)(extra & 3) << 32));
}

static u32 owner_of(u16 low, u16 high) { return (u32)low | (u32)high << 16; }

// What getattr tells.
void inode_attr(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i, struct p9_attr *a) {
    const bool device = LINUX_S_ISCHR(i->i_mode) || LINUX_S_ISBLK(i->i_mode);
    const u32 at = HAS_EXTRA(i, i_atime_extra) ? i->i_atime_extra : 0;
    const u32 mt = HAS_EXTRA(i, i_mtime_extra) ? i->i_mtime_extra : 0;
    const u32 ct = HAS_EXTRA(i, i_ctime_extra) ? i->i_ctime_extra : 0;
    *a = (struct p9_attr){
        .valid = 0x7ff, .qid_path = ino, .qid_version = i->i_mtime, .mode = i->i_mode,
        .qid_type = LINUX_S_ISDIR(i->i_mode) ? 0x80 : LINUX_S_ISLNK(i->i_mode) ? 0x02 : 0,
        .uid = owner_of(i->i_uid, i->osd2.linux2.l_i_uid_high),
        .gid = owner_of(i->i_gid, i->osd2.linux2.l_i_gid_high),
        .nlink = i->i_links_count, .blksize = s->fs->blocksize,
        .size = EXT2_I_SIZE(i),
        .blocks = ext2fs_get_stat_i_blocks(s->fs, (struct ext2_inode *)i),
        .atime_s = seconds_of(i->i_atime, at), .atime_ns = at >> 2,
        .mtime_s = seconds_of(i->i_mtime, mt), .mtime_ns = mt >> 2,
        .ctime_s = seconds_of(i->i_ctime, ct), .ctime_ns = ct >> 2};
    if (device) a->rdev = i->i_block[0] ? i->i_block[0] : i->i_block[1];
}

static status_t dir_read(struct ext4d *s, ext2_ino_t dir, struct ext2_inode_large *i) {
    const status_t status = inode_read(s, dir, i);
    return status != S_OK ? status : LINUX_S_ISDIR(i->i_mode) ? S_OK : E_NOTDIR;
}

// Changes a directory's link count and its times.
static status_t dir_changed(struct ext4d *s, ext2_ino_t dir, int links) {
    struct ext2_inode_large i;
    status_t status = inode_read(s, dir, &i);
    if (status != S_OK) return status;
    if (i.i_links_count > 1) i.i_links_count = (u16)(i.i_links_count + links);   // 1: not counted
    inode_touch(&i, TIME_MODIFY | TIME_CHANGE);
    return inode_write(s, dir, &i);
}

// --- names ---

static bool is_dots(const char *name) { return !strcmp(name, ".") || !strcmp(name, ".."); }

// E_NOENT, E_NOTDIR, E_IO.
status_t tree_lookup(struct ext4d *s, ext2_ino_t dir, const char *name, ext2_ino_t *ino) {
    struct ext2_inode_large i;
    const status_t status = dir_read(s, dir, &i);
    if (status != S_OK) return status;
    if (dir == EXT2_ROOT_INO && !strcmp(name, "..")) {
        *ino = dir;
        return S_OK;
    }
    const errcode_t code = ext2fs_lookup(s->fs, dir, name, (int)strlen(name), NULL, ino);
    if (code) return status_of(s, code);
    return *ino == 0 || *ino > s->fs->super->s_inodes_count ? E_IO : S_OK;
}

// May a new name be made there? Its directory must not be one that was removed.
static status_t name_free(struct ext4d *s, ext2_ino_t dir, const char *name) {
    ext2_ino_t there;
    struct ext2_inode_large i;
    if (s->read_only) return E_ROFS;
    if (*name == 0 || strchr(name, '/')) return E_INVAL;
    if (strlen(name) > EXT2_NAME_LEN) return E_NAMETOOLONG;
    if (is_dots(name)) return E_EXIST;
    status_t status = dir_read(s, dir, &i);
    if (status == S_OK && i.i_links_count == 0) return E_NOENT;
    if (status == S_OK) status = tree_lookup(s, dir, name, &there);
    return status == S_OK ? E_EXIST : status == E_NOENT ? S_OK : status;
}

static int type_of(u32 mode) {
    if (LINUX_S_ISDIR(mode)) return EXT2_FT_DIR;
    if (LINUX_S_ISLNK(mode)) return EXT2_FT_SYMLINK;
    if (LINUX_S_ISCHR(mode)) return EXT2_FT_CHRDEV;
    if (LINUX_S_ISBLK(mode)) return EXT2_FT_BLKDEV;
    if (LINUX_S_ISFIFO(mode)) return EXT2_FT_FIFO;
    return LINUX_S_ISSOCK(mode) ? EXT2_FT_SOCK : EXT2_FT_REG_FILE;
}

// Enters a name, with one more block for the directory where it is full.
static status_t name_add(struct ext4d *s, ext2_ino_t dir, const char *name, ext2_ino_t ino,
                         u32 mode) {
    errcode_t code = EXT2_ET_DIR_NO_SPACE;
    for (u32 i = 0; i <= EXPAND_MAX && code == EXT2_ET_DIR_NO_SPACE; i++) {
        if (i > 0) code = ext2fs_expand_dir(s->fs, dir);
        if (i == 0 || !code) code = ext2fs_link(s->fs, dir, name, ino, type_of(mode));
    }
    return status_of(s, code);
}

static void owner_set(struct ext2_inode_large *i, const struct tree_new *n) {
    i->i_uid = (u16)n->uid;
    i->osd2.linux2.l_i_uid_high = (u16)(n->uid >> 16);
    i->i_gid = (u16)n->gid;
    i->osd2.linux2.l_i_gid_high = (u16)(n->gid >> 16);
}

// The owner, mode and times of what libext2fs has made by this name.
static status_t new_finish(struct ext4d *s, ext2_ino_t dir, const struct tree_new *n,
                           ext2_ino_t *ino) {
    struct ext2_inode_large i;
    status_t status = tree_lookup(s, dir, n->name, ino);
    if (status == S_OK) status = inode_read(s, *ino, &i);
    if (status != S_OK) return status;
    if (!LINUX_S_ISLNK(i.i_mode)) i.i_mode = (u16)((i.i_mode & LINUX_S_IFMT) | (n->mode & 07777));
    owner_set(&i, n);
    inode_touch(&i, TIME_ACCESS | TIME_MODIFY | TIME_CHANGE);
    status = inode_write(s, *ino, &i);
    return status == S_OK ? dir_changed(s, dir, 0) : status;
}

static status_t inode_new(struct ext4d *s, ext2_ino_t dir, const struct tree_new *n,
                          ext2_ino_t *ino) {
    struct ext2_inode_large i = {.i_mode = (u16)(LINUX_S_IFREG | (n->mode & 07777)),
                                 .i_links_count = 1, .i_extra_isize = sizeof i - 128};
    errcode_t code = ext2fs_new_inode(s->fs, dir, i.i_mode, NULL, ino);
    if (code) return status_of(s, code);
    owner_set(&i, n);
    inode_touch(&i, TIME_ACCESS | TIME_MODIFY | TIME_CHANGE);
    i.i_crtime = i.i_mtime;
    i.i_crtime_extra = i.i_mtime_extra;
    if (ext2fs_has_feature_extents(s->fs->super)) {
        ext2_extent_handle_t handle;         // writes the header of an empty tree
        code = ext2fs_write_new_inode(s->fs, *ino, (struct ext2_inode *)&i);
        if (!code) code = ext2fs_extent_open2(s->fs, *ino, (struct ext2_inode *)&i, &handle);
        if (!code) ext2fs_extent_free(handle);
    }
    if (!code) code = ext2fs_write_new_inode(s->fs, *ino, (struct ext2_inode *)&i);
    if (!code && EXT2_INODE_SIZE(s->fs->super) > 128) return inode_write(s, *ino, &i);
    return status_of(s, code);
}

// A regular file. E_EXIST, E_NOSPC, E_ROFS, ...
status_t tree_create(struct ext4d *s, ext2_ino_t dir, const struct tree_new *n, ext2_ino_t *ino) {
    status_t status = name_free(s, dir, n->name);
    if (status == S_OK) status = inode_new(s, dir, n, ino);
    if (status != S_OK) return status;
    ext2fs_inode_alloc_stats2(s->fs, *ino, 1, 0);
    status = name_add(s, dir, n->name, *ino, LINUX_S_IFREG);
    if (status == S_OK) return dir_changed(s, dir, 0);
    ext2fs_inode_alloc_stats2(s->fs, *ino, -1, 0);
    return status;
}

status_t tree_mkdir(struct ext4d *s, ext2_ino_t dir, const struct tree_new *n, ext2_ino_t *ino) {
    const status_t status = name_free(s, dir, n->name);
    if (status != S_OK) return status;
    errcode_t code = ext2fs_mkdir(s->fs, dir, 0, n->name);
    if (code == EXT2_ET_DIR_NO_SPACE) {
        code = ext2fs_expand_dir(s->fs, dir);
        if (!code) code = ext2fs_mkdir(s->fs, dir, 0, n->name);
    }
    return code ? status_of(s, code) : new_finish(s, dir, n, ino);
}

status_t tree_symlink(struct ext4d *s, ext2_ino_t dir, const struct tree_new *n,
                      const char *target, ext2_ino_t *ino) {
    const status_t status = name_free(s, dir, n->name);
    if (status != S_OK) return status;
    if (*target == 0) return E_NOENT;
    if (strlen(target) >= s->fs->blocksize) return E_NAMETOOLONG;
    errcode_t code = ext2fs_symlink(s->fs, dir, 0, n->name, target);
    if (code == EXT2_ET_DIR_NO_SPACE) {
        code = ext2fs_expand_dir(s->fs, dir);
        if (!code) code = ext2fs_symlink(s->fs, dir, 0, n->name, target);
    }
    return code ? status_of(s, code) : new_finish(s, dir, n, ino);
}

status_t tree_link(struct ext4d *s, ext2_ino_t dir, const char *name, ext2_ino_t ino) {
    struct ext2_inode_large i;
    status_t status = name_free(s, dir, name);
    if (status == S_OK) status = inode_read(s, ino, &i);
    if (status != S_OK) return status;
    if (LINUX_S_ISDIR(i.i_mode)) return E_PERM;
    if (i.i_links_count == 0) return E_NOENT;
    if (i.i_links_count >= EXT2_LINK_MAX) return E_MLINK;
    status = name_add(s, dir, name, ino, i.i_mode);
    if (status != S_OK) return status;
    i.i_links_count++;
    inode_touch(&i, TIME_CHANGE);
    status = inode_write(s, ino, &i);
    return status == S_OK ? dir_changed(s, dir, 0) : status;
}

// --- removing ---

// Frees an inode without names: its blocks, attributes, place.
static status_t inode_free(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i) {
    const bool dir = LINUX_S_ISDIR(i->i_mode);
    errcode_t code = ext2fs_free_ext_attr(s->fs, ino, i);
    if (!code) code = data_punch(s, ino, i, 0);
    if (code) return status_of(s, code);
    i->i_links_count = 0;
    i->i_dtime = (u32)time(NULL);
    const status_t status = inode_write(s, ino, i);
    if (status == S_OK) ext2fs_inode_alloc_stats2(s->fs, ino, -1, dir);
    return status;
}

// One name less; the last one frees the inode unless a fid still refers to it.
static status_t inode_drop(struct ext4d *s, ext2_ino_t ino, struct ext2_inode_large *i) {
    if (LINUX_S_ISDIR(i->i_mode)) i->i_links_count = 0;
    else if (i->i_links_count) i->i_links_count--;
    inode_touch(i, TIME_CHANGE);
    if (i->i_links_count || fid_refers(s, ino)) return inode_write(s, ino, i);
    return inode_free(s, ino, i);
}

// The last fid of ino is gone: one without names is freed.
status_t tree_forget(struct ext4d *s, ext2_ino_t ino) {
    struct ext2_inode_large i;
    const status_t status = inode_read(s, ino, &i);
    if (status != S_OK || i.i_links_count || i.i_dtime || s->read_only) return status;
    return inode_free(s, ino, &i);
}

static int entry_seen(ext2_ino_t dir, int entry, struct ext2_dir_entry *d, int offset,
                      int block_size, char *buffer, void *found) {
    (void)dir, (void)d, (void)offset, (void)block_size, (void)buffer;
    if (entry != DIRENT_OTHER_FILE) return 0;
    *(bool *)found = true;
    return DIRENT_ABORT;
}

static status_t dir_empty(struct ext4d *s, ext2_ino_t dir) {
    bool found = false;
    const errcode_t code = ext2fs_dir_iterate2(s->fs, dir, 0, NULL, entry_seen, &found);
    return code ? status_of(s, code) : found ? E_NOTEMPTY : S_OK;
}

// Takes what a name names away: of a directory that is empty, or of anything else.
static status_t name_remove(struct ext4d *s, ext2_ino_t dir, const char *name, ext2_ino_t ino,
                            struct ext2_inode_large *i) {
    const errcode_t code = ext2fs_unlink(s->fs, dir, name, ino, 0);
    if (code) return status_of(s, code);
    const status_t status = dir_changed(s, dir, LINUX_S_ISDIR(i->i_mode) ? -1 : 0);
    return status == S_OK ? inode_drop(s, ino, i) : status;
}

// unlink, or with want_dir rmdir.
status_t tree_unlink(struct ext4d *s, ext2_ino_t dir, const char *name, bool want_dir) {
    ext2_ino_t ino;
    struct ext2_inode_large i;
    if (s->read_only) return E_ROFS;
    if (is_dots(name)) return want_dir && name[1] ? E_NOTEMPTY : E_INVAL;
    status_t status = tree_lookup(s, dir, name, &ino);
    if (status == S_OK) status = inode_read(s, ino, &i);
    if (status != S_OK) return status;
    const bool is_dir = LINUX_S_ISDIR(i.i_mode);
    if (want_dir != is_dir) return is_dir ? E_ISDIR : E_NOTDIR;
    if (is_dir && ino == EXT2_ROOT_INO) return E_BUSY;
    if (is_dir) status = dir_empty(s, ino);
    return status == S_OK ? name_remove(s, dir, name, ino, &i) : status;
}

// --- rename ---

// Is `dir` at or below `top`?
static status_t is_below(struct ext4d *s, ext2_ino_t dir, ext2_ino_t top, bool *below) {
    *below = false;
    for (u32 i = 0; i < DEPTH_MAX; i++) {
        if (dir == top) *below = true;
        if (dir == top || dir == EXT2_ROOT_INO) return S_OK;
        const status_t status = tree_lookup(s, dir, "..", &dir);
        if (status != S_OK) return status;
    }
    return E_IO;                             // a circle
}

static int dotdot_set(ext2_ino_t dir, int entry, struct ext2_dir_entry *d, int offset,
                      int block_size, char *buffer, void *parent) {
    (void)dir, (void)offset, (void)block_size, (void)buffer;
    if (entry != DIRENT_DOT_DOT_FILE) return 0;
    d->inode = *(ext2_ino_t *)parent;
    return DIRENT_CHANGED | DIRENT_ABORT;
}

// May `from` take the place of what is there? Removes that.
static status_t replace(struct ext4d *s, const struct tree_name *to, ext2_ino_t there,
                        bool from_is_dir) {
    struct ext2_inode_large i;
    status_t status = inode_read(s, there, &i);
    if (status != S_OK) return status;
    const bool is_dir = LINUX_S_ISDIR(i.i_mode);
    if (is_dir != from_is_dir) return is_dir ? E_ISDIR : E_NOTDIR;
    if (is_dir) status = dir_empty(s, there);
    return status == S_OK ? name_remove(s, to->dir, to->name, there, &i) : status;
}

static status_t move_name(struct ext4d *s, const struct tree_name *from,
                          const struct tree_name *to, ext2_ino_t ino) {
    struct ext2_inode_large i;
    status_t status = inode_read(s, ino, &i);
    if (status == S_OK) status = name_add(s, to->dir, to->name, ino, i.i_mode);
    if (status != S_OK) return status;
    errcode_t code = ext2fs_unlink(s->fs, from->dir, from->name, ino, 0);
    const bool is_dir = LINUX_S_ISDIR(i.i_mode), other = from->dir != to->dir;
    if (!code && is_dir && other) {
        ext2_ino_t parent = to->dir;
        code = ext2fs_dir_iterate2(s->fs, ino, DIRENT_FLAG_INCLUDE_EMPTY, NULL, dotdot_set,
                                   &parent);
    }
    if (code) return status_of(s, code);
    status = dir_changed(s, from->dir, is_dir && other ? -1 : 0);
    if (status == S_OK) status = dir_changed(s, to->dir, is_dir && other ? 1 : 0);
    if (status == S_OK) status = inode_read(s, ino, &i);
    inode_touch(&i, TIME_CHANGE);
    return status == S_OK ? inode_write(s, ino, &i) : status;
}

status_t tree_rename(struct ext4d *s, const struct tree_name *from, const struct tree_name *to) {
    ext2_ino_t ino, there;
    struct ext2_inode_large i;
    if (s->read_only) return E_ROFS;
    if (is_dots(from->name) || is_dots(to->name)) return E_BUSY;
    status_t status = tree_lookup(s, from->dir, from->name, &ino);
    if (status == S_OK) status = inode_read(s, ino, &i);
    if (status != S_OK) return status;
    const bool is_dir = LINUX_S_ISDIR(i.i_mode);
    bool below = false;
    if (is_dir) status = is_below(s, to->dir, ino, &below);
    if (status != S_OK || below) return below ? E_INVAL : status;
    status = name_free(s, to->dir, to->name);
    if (status == E_EXIST) {
        status = tree_lookup(s, to->dir, to->name, &there);
        if (status == S_OK && there == ino) return S_OK;
        if (status == S_OK) status = replace(s, to, there, is_dir);
    }
    return status == S_OK ? move_name(s, from, to, ino) : status;
}

// --- listing ---

// One entry of Rreaddir at to + c->result. False: no room.
static bool entry_put(struct p9_call *c, u8 *to, const struct ext2_dir_entry *d, u64 next) {
    static const u8 types[8] = {0, 8, 4, 2, 6, 1, 12, 10};
    const u32 name_len = (u32)ext2fs_dirent_name_len(d);
    const u32 type = (u32)ext2fs_dirent_file_type(d);
    if (c->result + 24 + name_len > c->count) return false;
    struct p9_buf b = {.bytes = to + c->result, .size = 24};
    p9_put(&b, type == EXT2_FT_DIR ? 0x80 : 0, 1);
    p9_put(&b, 0, 4);
    p9_put(&b, d->inode, 8);
    p9_put(&b, next, 8);
    p9_put(&b, type < 8 ? types[type] : 0, 1);
    p9_put(&b, name_len, 2);
    memcpy(to + c->result + 24, d->name, name_len);
    c->result += 24 + name_len;
    return true;
}

// Entries of one block from byte `from` of it on. *full: no room for more.
static status_t block_list(struct ext4d *s, struct p9_call *c, u8 *to, const u8 *block, u64 base,
                           u64 from, bool *full) {
    const u32 size = s->fs->blocksize;
    for (u32 at = 0; at + 8 <= size;) {
        struct ext2_dir_entry *d = (void *)(uintptr_t)(block + at);
        u32 len;
        if (ext2fs_get_rec_len(s->fs, d, &len)) return E_IO;
        if (len < 8 || len > size - at || len % 4) return E_IO;
        const u32 name_len = (u32)ext2fs_dirent_name_len(d);
        if (d->inode && at >= from) {
            if (name_len + 8 > len || name_len == 0 || memchr(d->name, 0, name_len)) return E_IO;
            *full = !entry_put(c, to, d, base + at + len);
            if (*full) return S_OK;
        }
        at += len;
    }
    return S_OK;
}

// Offsets are byte positions in the directory, so removals between two calls do no harm.
status_t tree_readdir(struct ext4d *s, ext2_ino_t dir, struct p9_call *c, u8 *to) {
    struct ext2_inode_large i;
    status_t status = dir_read(s, dir, &i);
    const u64 size = s->fs->blocksize, end = EXT2_I_SIZE(&i);
    u8 *block = status == S_OK ? malloc(size) : NULL;
    c->result = 0;
    if (!block) return status == S_OK ? E_NOMEM : status;
    bool full = false;
    for (u64 at = c->offset; status == S_OK && at < end && !full; at = (at / size + 1) * size) {
        blk64_t physical = 0;
        errcode_t code = ext2fs_bmap2(s->fs, dir, (struct ext2_inode *)&i, NULL, 0, at / size, NULL,
                                      &physical);
        if (!code && physical) code = ext2fs_read_dir_block4(s->fs, physical, block, 0, dir);
        status = status_of(s, code);
        if (status == S_OK && physical)
            status = block_list(s, c, to, block, at / size * size, at % size, &full);
    }
    free(block);
    return c->result ? S_OK : full ? E_INVAL : status;
}
