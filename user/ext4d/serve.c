// What one 9P2000.L message means: fids, and which call of tree.c and data.c it is. What
// comes is judged here: sizes, fids that are not there, names, calls in the wrong state.
// Called by calls.c. Spec: 9P2000.L; Plan 9 intro(5).
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "user/ext4d/ext4d.h"

#define PROTOCOL "9P2000.L"
#define MSIZE_MIN 4096u
enum {                                   // Linux's O_ flags; Source: asm-generic/fcntl.h
    FLAG_ACCESS = 03, FLAG_TRUNCATE = 01000, FLAG_APPEND = 02000, FLAG_DIRECTORY = 0200000,
    FLAG_PATH = 010000000,
};
enum {
    SET_MODE = 1, SET_UID = 2, SET_GID = 4, SET_SIZE = 8, SET_ATIME = 16, SET_MTIME = 32,
    SET_CTIME = 64, SET_ATIME_TO = 128, SET_MTIME_TO = 256,
};

// --- fids ---

static struct fid **fid_slot(struct ext4d *s, u32 number) {
    struct fid **at = &s->fids[number % ARRAY_COUNT(s->fids)];
    while (*at && (*at)->number != number) at = &(*at)->next;
    return at;
}

static status_t fid_add(struct ext4d *s, u32 number, ext2_ino_t ino) {
    struct fid **at = fid_slot(s, number);
    if (number == 0 || number == P9_NOFID || *at) return E_INVAL;
    if (s->fid_count == EXT4D_FIDS_MAX) return E_NFILE;
    struct fid *f = calloc(1, sizeof *f);
    if (!f) return E_NOMEM;
    f->number = number;
    f->ino = ino;
    *at = f;
    s->fid_count++;
    return S_OK;
}

// Does any fid name this inode?
bool fid_refers(const struct ext4d *s, ext2_ino_t ino) {
    for (u32 i = 0; i < ARRAY_COUNT(s->fids); i++)
        for (const struct fid *f = s->fids[i]; f; f = f->next)
            if (f->ino == ino) return true;
    return false;
}

static status_t fid_drop(struct ext4d *s, u32 number) {
    struct fid **at = fid_slot(s, number), *f = *at;
    if (!f) return E_BADF;
    const ext2_ino_t ino = f->ino;
    *at = f->next;
    s->fid_count--;
    free(f);
    struct ext2_inode_large i;
    if (inode_read(s, ino, &i) == S_OK && i.i_links_count == 0 && !fid_refers(s, ino))
        (void)tree_forget(s, ino);
    return S_OK;
}

void serve_end(struct ext4d *s) {
    for (u32 i = 0; i < ARRAY_COUNT(s->fids); i++)
        while (s->fids[i]) (void)fid_drop(s, s->fids[i]->number);
    s->attached = false;
}

// --- calls ---

static status_t attr_of(struct ext4d *s, ext2_ino_t ino, struct p9_attr *a) {
    struct ext2_inode_large i;
    const status_t status = inode_read(s, ino, &i);
    if (status == S_OK) inode_attr(s, ino, &i, a);
    return status;
}

static status_t do_version(struct ext4d *s, struct p9_call *c) {
    serve_end(s);
    if (c->count < MSIZE_MIN) return E_INVAL;
    c->count = s->msize = (u32)MIN(c->count, EXT4D_MSIZE);
    c->name = strncmp(c->name, PROTOCOL, strlen(PROTOCOL)) ? "unknown" : PROTOCOL;
    return S_OK;
}

static status_t do_walk(struct ext4d *s, const struct fid *f, struct p9_call *c) {
    ext2_ino_t ino = f->ino;
    status_t status = S_OK;
    if (f->open && c->name) return E_INVAL;
    if (c->name && strcmp(c->name, ".")) status = tree_lookup(s, f->ino, c->name, &ino);
    if (status == S_OK) status = attr_of(s, ino, &c->attr);
    return status == S_OK ? fid_add(s, c->new_fid, ino) : status;
}

static status_t do_open(struct ext4d *s, struct fid *f, struct p9_call *c) {
    struct ext2_inode_large i;
    status_t status = inode_read(s, f->ino, &i);
    if (status != S_OK) return status;
    const bool dir = LINUX_S_ISDIR(i.i_mode), writes = (c->flags & FLAG_ACCESS) != 0;
    if (f->open) return E_INVAL;
    if (dir && writes) return E_ISDIR;
    if (!dir && (c->flags & FLAG_DIRECTORY)) return E_NOTDIR;
    if (s->read_only && (writes || (c->flags & FLAG_TRUNCATE))) return E_ROFS;
    if (LINUX_S_ISLNK(i.i_mode) && !(c->flags & FLAG_PATH)) return E_LOOP;
    if (LINUX_S_ISFIFO(i.i_mode) && !(c->flags & FLAG_PATH)) return E_OPNOTSUPP;   // not yet
    if (!dir && !LINUX_S_ISREG(i.i_mode) && !(c->flags & FLAG_PATH)) return E_NXIO;
    if ((c->flags & FLAG_TRUNCATE) && !dir && !(c->flags & FLAG_PATH)) {
        status = data_truncate(s, f->ino, &i, 0);
        if (status == S_OK) status = inode_write(s, f->ino, &i);
        if (status != S_OK) return status;
    }
    f->open = true;
    f->flags = c->flags;
    inode_attr(s, f->ino, &i, &c->attr);
    return S_OK;
}

// What c makes in the directory. A set-group-id directory gives what is made in it its group,
// and directories the bit too. Whose it is, is told afterwards by Tsetattr: 9P has no word for it.
static struct tree_new new_of(struct ext4d *s, ext2_ino_t dir, const struct p9_call *c) {
    struct tree_new n = {.name = c->name, .mode = c->mode, .gid = c->gid};
    struct ext2_inode_large i;
    if (inode_read(s, dir, &i) == S_OK && (i.i_mode & LINUX_S_ISGID)) {
        n.gid = (u32)i.i_gid | (u32)i.osd2.linux2.l_i_gid_high << 16;
        if (c->type == P9_TMKDIR) n.mode |= LINUX_S_ISGID;
    }
    return n;
}

static status_t do_create(struct ext4d *s, struct fid *f, struct p9_call *c) {
    const struct tree_new n = new_of(s, f->ino, c);
    ext2_ino_t ino;
    if (f->open) return E_INVAL;
    status_t status = tree_create(s, f->ino, &n, &ino);
    if (status == S_OK) status = attr_of(s, ino, &c->attr);
    if (status != S_OK) return status;
    f->ino = ino;
    f->open = true;
    f->flags = c->flags;
    return S_OK;
}

static status_t do_write(struct ext4d *s, const struct fid *f, struct p9_call *c, const u8 *from) {
    if (!f->open || (f->flags & FLAG_PATH) || !(f->flags & FLAG_ACCESS)) return E_BADF;
    if (f->flags & FLAG_APPEND) {
        const status_t status = attr_of(s, f->ino, &c->attr);
        if (status != S_OK) return status;
        c->offset = c->attr.size;
    }
    return c->count ? data_write(s, f->ino, c, from) : S_OK;
}

static void times_set(struct ext2_inode_large *i, const struct p9_attr *a) {
    if (a->valid & SET_ATIME) inode_touch(i, TIME_ACCESS);
    if (a->valid & SET_MTIME) inode_touch(i, TIME_MODIFY);
    if (a->valid & SET_ATIME_TO) inode_time_set(i, TIME_ACCESS, a->atime_s, a->atime_ns);
    if (a->valid & SET_MTIME_TO) inode_time_set(i, TIME_MODIFY, a->mtime_s, a->mtime_ns);
    inode_touch(i, TIME_CHANGE);
}

static status_t do_setattr(struct ext4d *s, const struct fid *f, const struct p9_attr *a) {
    struct ext2_inode_large i;
    if (s->read_only) return E_ROFS;
    status_t status = inode_read(s, f->ino, &i);
    if (status == S_OK && (a->valid & SET_SIZE)) status = data_truncate(s, f->ino, &i, a->size);
    if (status != S_OK) return status;
    if (a->valid & SET_MODE) i.i_mode = (u16)((i.i_mode & LINUX_S_IFMT) | (a->mode & 07777));
    if (a->valid & SET_UID) {
        i.i_uid = (u16)a->uid;
        i.osd2.linux2.l_i_uid_high = (u16)(a->uid >> 16);
    }
    if (a->valid & SET_GID) {
        i.i_gid = (u16)a->gid;
        i.osd2.linux2.l_i_gid_high = (u16)(a->gid >> 16);
    }
    times_set(&i, a);
    return inode_write(s, f->ino, &i);
}

static status_t do_statfs(const struct ext4d *s, struct p9_statfs *to) {
    struct ext2_super_block *super = s->fs->super;
    const u64 left = ext2fs_free_blocks_count(super), kept = ext2fs_r_blocks_count(super);
    *to = (struct p9_statfs){.type = 0xef53, .bsize = s->fs->blocksize,
                             .blocks = ext2fs_blocks_count(super), .bfree = left,
                             .bavail = left > kept ? left - kept : 0,
                             .files = super->s_inodes_count, .ffree = super->s_free_inodes_count,
                             .namelen = EXT2_NAME_LEN};
    return S_OK;
}

static status_t do_make(struct ext4d *s, const struct fid *f, struct p9_call *c) {
    const struct tree_new n = new_of(s, f->ino, c);
    ext2_ino_t ino;
    const status_t status = c->type == P9_TMKDIR ? tree_mkdir(s, f->ino, &n, &ino)
                                                 : tree_symlink(s, f->ino, &n, c->name2, &ino);
    return status == S_OK ? attr_of(s, ino, &c->attr) : status;
}

// Calls that name a second fid.
static status_t do_two(struct ext4d *s, const struct fid *f, const struct p9_call *c) {
    const struct fid *g = *fid_slot(s, c->object2.index);
    if (!g) return E_BADF;
    if (c->type == P9_TLINK) return tree_link(s, f->ino, c->name, g->ino);
    const struct tree_name from = {f->ino, c->name}, to = {g->ino, c->name2};
    return tree_rename(s, &from, &to);
}

// Would the call change the file system?
static bool is_change(const struct p9_call *c) {
    switch (c->type) {
    case P9_TLOPEN: return (c->flags & FLAG_TRUNCATE) != 0;
    case P9_TLCREATE: case P9_TWRITE: case P9_TSETATTR: case P9_TMKDIR: case P9_TSYMLINK:
    case P9_TUNLINKAT: case P9_TLINK: case P9_TRENAMEAT: return true;
    default: return false;
    }
}

// May it be asked again after an EXT4D_LACKS? It changes nothing before it has read all it needs.
bool serve_may_restart(const struct p9_call *c) {
    switch (c->type) {
    case P9_TLOPEN: return !is_change(c);
    case P9_TWALK: return !c->name || strlen(c->name) <= EXT2_NAME_LEN;
    case P9_TGETATTR: case P9_TREAD: case P9_TREADDIR: case P9_TREADLINK: return true;
    default: return false;
    }
}

static status_t do_call(struct ext4d *s, struct p9_call *c, const u8 *payload) {
    if (c->type == P9_TVERSION) return do_version(s, c);
    if (c->type == P9_TATTACH) {
        const status_t status = fid_add(s, c->new_fid, EXT2_ROOT_INO);
        s->attached |= status == S_OK;
        return status == S_OK ? attr_of(s, EXT2_ROOT_INO, &c->attr) : status;
    }
    if (c->type == P9_TFLUSH) return S_OK;       // calls.c has seen to it
    if (s->refused && is_change(c) && fs_commit(s) != 0) return E_ROFS;
    struct fid *f = *fid_slot(s, c->object.index);
    if (!f) return serve_may_restart(c) && calls_make_fid(c->object.index) ? S_RESTART : E_BADF;
    switch (c->type) {
    case P9_TWALK: return do_walk(s, f, c);
    case P9_TGETATTR: return attr_of(s, f->ino, &c->attr);
    case P9_TSETATTR: return do_setattr(s, f, &c->attr);
    case P9_TLOPEN: return do_open(s, f, c);
    case P9_TLCREATE: return do_create(s, f, c);
    case P9_TREAD:
        if (!f->open || (f->flags & FLAG_PATH)) return E_BADF;
        return data_read(s, f->ino, c, s->data);
    case P9_TREADDIR: return f->open ? tree_readdir(s, f->ino, c, s->data) : E_BADF;
    case P9_TWRITE: return do_write(s, f, c, payload);
    case P9_TREADLINK: return data_readlink(s, f->ino, c, s->data);
    case P9_TMKDIR: case P9_TSYMLINK: return do_make(s, f, c);
    case P9_TUNLINKAT: return tree_unlink(s, f->ino, c->name, (c->flags & 0x200) != 0);
    case P9_TLINK: case P9_TRENAMEAT: return do_two(s, f, c);
    case P9_TSTATFS: return do_statfs(s, &c->statfs);
    case P9_TFSYNC: return s->read_only ? S_OK : status_of(s, fs_commit(s));
    case P9_TCLUNK: return fid_drop(s, c->object.index);
    default: return E_OPNOTSUPP;
    }
}

// Limits what a reply may carry to what was agreed on.
static void count_limit(const struct ext4d *s, struct p9_call *c) {
    const u64 most = MIN(P9_DATA_MAX, s->msize - 64u);
    if (c->type == P9_TREAD || c->type == P9_TREADDIR) c->count = MIN(c->count, most);
}

// Reads a message: c->status says what is wrong with it. c and p point into it then.
void serve_unpack(struct ext4d *s, u8 *message, u32 len, struct p9_call *c, struct p9_parsed *p) {
    *c = (struct p9_call){0};
    *p = (struct p9_parsed){.tag = P9_NOTAG};
    if (s->msize == 0) s->msize = EXT4D_MSIZE;
    c->status = p9_request_unpack(message, len, c, p);
    if (c->status == S_OK && c->type == P9_TWRITE && c->count && !p->payload) c->status = E_PROTO;
    count_limit(s, c);
}

// Answers the call in *c, and what it reads in s->data; payload: the bytes of a write. c->status
// S_RESTART, only where serve_may_restart: it lacks something yet, and has changed nothing.
void serve_run(struct ext4d *s, struct p9_call *c, const u8 *payload) {
    c->status = do_call(s, c, payload);
}

// The reply as bytes, EXT4D_BUFFER_BYTES at most. How many.
u32 serve_pack(struct ext4d *s, struct p9_call *c, u16 tag, u8 *out) {
    struct p9_buf b = {.bytes = out, .size = EXT4D_BUFFER_BYTES};
    if (p9_reply_pack(&b, c, tag) != S_OK || b.len + p9_reply_payload(c) > s->msize) {
        c->status = E_IO;
        b.len = 0;
        b.bad = false;
        (void)p9_reply_pack(&b, c, tag);
    }
    const u32 payload = p9_reply_payload(c);
    memcpy(out + b.len, s->data, payload);
    return b.len + payload;
}
