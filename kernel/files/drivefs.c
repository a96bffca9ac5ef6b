// This node's drives and partitions as block device files in /nodes/N/dev (nodedev.c). Called
// through file_call; lock: files_lock. What is read and written goes through
// kernel/drive_cache.c.
//
// A file opened with O_EXCL for writing claims its bytes of the drive, as a mount does; a
// second claim of any of them gets EBUSY.
#include "base/string.h"
#include "kernel/drives.h"
#include "kernel/files/nodedev.h"
#include "kernel/remote_drive.h"
#include "kernel/time.h"
#include "mm/kmem.h"

#define BLOCK_MAJOR 259u                         // Linux's number for such drives

struct drive_file {
    struct object object;
    const char *name;
    struct drive *d;
    u64 first_byte, bytes;
    u32 minor;
    bool claimed;
    u64 errors_seen[2];                          // by who claims it, [1], and all others
};

static struct drive_file *files[DRIVES_MAX * (GPT_PARTS_MAX + 1)];
static u32 file_count;

static void fill_attr(const struct drive_file *f, struct p9_attr *a) {
    *a = (struct p9_attr){.valid = P9_GETATTR_BASIC, .qid_path = f->minor + 2,
        .mode = S_IFBLK | 0660, .nlink = 1, .blksize = PAGE_SIZE,
        .rdev = BLOCK_MAJOR << 8 | f->minor, .size = f->bytes, .blocks = f->bytes >> 9};
}

// --- files ---

static bool claim_conflicts(const struct drive_file *f) {
    for (u32 i = 0; i < file_count; i++) {
        const struct drive_file *o = files[i];
        if (o->claimed && o->d == f->d && o->first_byte < f->first_byte + f->bytes &&
            f->first_byte < o->first_byte + o->bytes)
            return true;
    }
    return false;
}

static bool claims(u32 flags) { return (flags & O_EXCL) && (flags & O_ACCMODE); }

static status_t file_open(struct drive_file *f, struct p9_call *c) {
    if (c->flags & O_DIRECTORY) return E_NOTDIR;
    if ((c->flags & O_ACCMODE) && f->d->dev->read_only) return E_ROFS;
    if (claims(c->flags) && claim_conflicts(f)) return E_BUSY;
    const status_t status = ofd_open(&f->object, c->flags, c);
    if (status != S_OK || !claims(c->flags)) return status;
    f->claimed = true;
    f->errors_seen[1] = f->d->error_count;
    return S_OK;
}

// flags: of the open file description. Who claims the drive misses no error because somebody
// else has asked before.
static status_t file_sync(struct drive_file *f, struct p9_call *c) {
    return drive_sync(f->d, &c->value, &f->errors_seen[claims(c->flags)]);
}

// Where another node finds this file's pages by itself.
static status_t map_tell(const struct drive_file *f, struct p9_call *c) {
    const struct drive_index index = drive_index();
    const struct remote_drive_map map = {.index_pa = index.pa, .first_byte = f->first_byte,
        .bytes = f->bytes, .set_count = index.set_count, .drive = f->d->id};
    if (c->count < sizeof map) return E_INVAL;
    data_put(c, 0, &map, sizeof map);
    return S_OK;
}

static status_t file_ioctl(struct drive_file *f, struct p9_call *c) {
    const u64 sectors = f->bytes >> 9;
    const u32 block = 1u << f->d->dev->block_shift, read_only = f->d->dev->read_only;
    switch (c->flags) {                          // Source of numbers: Linux linux/fs.h
    case 0x80081272: data_put(c, 0, &f->bytes, 8); return S_OK;          // BLKGETSIZE64
    case 0x1260: data_put(c, 0, &sectors, 8); return S_OK;               // BLKGETSIZE
    case 0x1268: case 0x127b: data_put(c, 0, &block, 4); return S_OK;    // BLKSSZGET, BLKPBSZGET
    case 0x125e: data_put(c, 0, &read_only, 4); return S_OK;             // BLKROGET
    case DRIVE_IOC_MAP: return map_tell(f, c);
    case 0x1261: return drive_sync(f->d, &c->value, &f->errors_seen[0]); // BLKFLSBUF
    default: return E_NOTTY;
    }
}

static status_t file_move(const struct drive_file *f, struct p9_call *c) {
    if (c->offset >= f->bytes) return c->type == P9_TREAD || c->count == 0 ? S_OK : E_NOSPC;
    const u64 asked = c->count;
    c->count = MIN(c->count, f->bytes - c->offset);
    const u64 at = f->first_byte + c->offset;
    const status_t status = c->type == P9_TREAD ? drive_read(f->d, at, c)
                                                : drive_write(f->d, at, c);
    c->count = asked;
    return status;
}

static status_t file_call_drive(struct object *o, struct p9_call *c) {
    struct drive_file *f = CONTAINER_OF(o, struct drive_file, object);
    switch (c->type) {
    case P9_TLOPEN: return file_open(f, c);
    case P9_TREAD: case P9_TWRITE: return file_move(f, c);
    case P9_TFSYNC: return file_sync(f, c);
    case P9_TGETATTR: fill_attr(f, &c->attr); return S_OK;
    case P9_TIOCTL: return file_ioctl(f, c);
    case P9_TPOLL: c->result = c->flags & (POLLIN | POLLOUT); return S_OK;
    case P9_TCLUNK:                              // an open file description went
        if (claims(c->flags)) f->claimed = false;
        return S_OK;
    default: return nodedev_file_other(c);
    }
}

static void keep(struct object *o) { (void)o; }  // the table's own reference stays
static const struct object_ops file_ops = {"drive", file_call_drive, keep};

static void file_add(struct drive *d, const char *name, u64 first_byte, u64 bytes) {
    struct drive_file *f = kmem_alloc(sizeof *f);
    if (!f || object_add(&f->object, &file_ops) != S_OK) return;
    f->object.kind = ACCOUNT_DRIVE;
    f->name = name;
    f->d = d;
    f->first_byte = first_byte;
    f->bytes = bytes;
    f->minor = file_count;
    files[file_count++] = f;
    (void)nodedev_add(name, &f->object);         // room for all drives and their partitions
}

// The files of a drive and its partitions. Boot; files_lock held.
void drivefs_add(struct drive *d) {
    file_add(d, d->dev->name, 0, d->bytes);
    for (u32 i = 0; i < d->part_count; i++)
        file_add(d, d->part[i].name, d->part[i].first_byte, d->part[i].bytes);
}
