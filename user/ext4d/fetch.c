// Blocks that a call lacks. libext2fs is not made for threads, so a call that would wait for the
// drive does not: its first read of what is not in memory ends with EXT4D_LACKS, and so does the
// call, which must have changed nothing by then. A thread of calls.c reads the blocks without the
// lock; then the call is asked anew, and finds them: those of the file system itself in the cache,
// those of a file's data with the call, as long as it lasts. Blocks that somebody writes in the
// meantime are stale, and lacking again.
// Called by drive.c and calls.c under the lock of calls.c, but for fetch_read.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "user/ext4d/drive_priv.h"

// Reads all of it, or an error of the drive.
errcode_t bytes_read(int fd, u64 at, u64 len, void *to) {
    u8 *bytes = to;
    while (len) {
        const ssize_t n = pread(fd, bytes, MIN(len, READ_BYTES), (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0) return EXT2_ET_SHORT_READ;
        bytes += n, at += (u64)n, len -= (u64)n;
    }
    return 0;
}

static bool has_block(const struct fetch *f, u64 block) {
    return block >= f->first && block - f->first < f->count;
}

// What the call that runs has of this block, or how its read failed. NULL: nothing.
const struct fetch *fetch_find(const struct drive *d, u64 block) {
    const struct fetch *f = d->call ? d->call->held : NULL;
    while (f && (f->stale || !has_block(f, block))) f = f->held;
    return f;
}

// Notes what the call that runs lacks: EXT4D_LACKS. Only the first counts, for what it reads
// next may depend on it. ENOMEM.
errcode_t fetch_want(io_channel c, u64 first, u32 count, bool keep) {
    struct drive *d = drive_of(c);
    if (d->call->lacks) return EXT4D_LACKS;
    struct fetch *f = malloc(sizeof *f + count * (size_t)c->block_size);
    if (!f) return ENOMEM;
    *f = (struct fetch){.next = d->fetches, .first = first, .count = count, .keep = keep};
    d->fetches = f;
    d->call->lacks = f;
    return EXT4D_LACKS;
}

// A block is written: whoever fetches it has the old one.
void fetches_spoil(struct drive *d, u64 block) {
    for (struct fetch *f = d->fetches; f; f = f->next) f->stale |= has_block(f, block);
}

static void fetch_free(struct drive *d, struct fetch *f) {
    struct fetch **at = &d->fetches;
    while (*at != f) at = &(*at)->next;
    *at = f->next;
    free(f);
}

// From here to fetch_end the call that runs may be asked again: reads do not wait for the drive.
void fetch_begin(ext2_filsys fs, struct fetch_list *call) { drive_of(fs->io)->call = call; }
void fetch_end(ext2_filsys fs) { drive_of(fs->io)->call = NULL; }

// Reads what a call lacks. Without the lock: nobody else looks at it meanwhile but to mark it.
void fetch_read(ext2_filsys fs, struct fetch *f) {
    const u64 size = (u64)fs->io->block_size;
    f->code = bytes_read(drive_of(fs->io)->fd, f->first * size, f->count * size, f->bytes);
}

// What the call lacked has come.
void fetch_done(ext2_filsys fs, struct fetch_list *call) {
    struct drive *d = drive_of(fs->io);
    struct fetch *f = call->lacks;
    call->lacks = NULL;
    if (!f->keep || f->code) {
        f->held = call->held;
        call->held = f;
        return;
    }
    for (u32 i = 0; i < f->count && !f->stale; i++)
        if (!block_is_cached(d, f->first + i))
            (void)block_add(fs->io, f->first + i, f->bytes + i * (size_t)fs->io->block_size);
    fetch_free(d, f);
}

// The call has ended, or is not to be asked again.
void fetch_drop(ext2_filsys fs, struct fetch_list *call) {
    struct drive *d = drive_of(fs->io);
    if (call->lacks) fetch_free(d, call->lacks);
    for (struct fetch *f = call->held, *next; f; f = next) {
        next = f->held;
        fetch_free(d, f);
    }
    *call = (struct fetch_list){0};
}
