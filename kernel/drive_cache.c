// The cache of this node's drives, by pages of 4 KiB, in frames that members may READ
// through the registered index (proto/cluster/drive_index.h). Reads fill it, writes change
// it and are written out behind: after a second, when many pages wait, or for a sync.
// Called by kernel/files/drivefs.c and kernel/drives.c. Lock: files_lock for all of it.
//
// Nothing blocks: who needs a page that is not here waits on `cache_wait` and asks again.
// An entry's version is odd from before its key, frame or bytes change until after.
// Stamps number the writes; a sync waits until the drive's durable stamp reaches its own.
// Spec: docs/reference/drives.md.
#include "base/string.h"
#include "kernel/drives.h"
#include "kernel/files/object.h"
#include "kernel/klog.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "mm/kmem.h"
#include "proto/cluster/drive_index.h"

#define CACHE_SHARE 16u              // of the memory that is free at boot
#define CACHE_SETS_MIN 64u
#define CACHE_SETS_MAX 65536u
#define READ_AHEAD_PAGES 16u
#define WRITE_BEHIND_NS NS_PER_S
#define WRITES_OUT_MAX 8u            // requests of the writer, so that reads find room

enum cached_state { CACHED_EMPTY, CACHED_LOADING, CACHED_HERE, CACHED_FAILED };

struct cached {
    struct list_node link;           // drive->dirty or ->writing
    u8 state;
    bool writing, dirtied;           // dirtied: changed since its write began
    u64 used;                        // clock of the last use
    u64 stamp;                       // dirty since this write
    u64 write_stamp;                 // what is being written has changes since this one
    u32 index;
};

// A request and the entries whose frames it moves.
struct cache_io {
    struct blk_request r;
    struct drive *d;
    bool ahead;                      // nobody has asked for it yet
    u32 entry[BLK_FRAMES_MAX];
};

static struct drive_entry *entries;  // [set_count * DRIVE_WAYS], registered
static struct cached *cached;        // beside each
static u32 set_count;
static u64 clock_now, stamp_now;
static struct wait_list cache_wait = WAIT_LIST_INIT(cache_wait);
struct drive_counters drive_counters;

// Boot, where there is a drive: index and tables; frames come as they are needed.
status_t drive_cache_init(void) {
    const u64 want = frame_count_free() / CACHE_SHARE / DRIVE_WAYS;
    set_count = CACHE_SETS_MIN;
    while (set_count < CACHE_SETS_MAX && set_count * 2 <= want) set_count *= 2;
    const u64 count = (u64)set_count * DRIVE_WAYS;
    const paddr_t index = frame_alloc_contiguous(
        ALIGN_UP(count * sizeof *entries, PAGE_SIZE) / PAGE_SIZE, FRAME_CACHE);
    const paddr_t table = frame_alloc_contiguous(
        ALIGN_UP(count * sizeof *cached, PAGE_SIZE) / PAGE_SIZE, FRAME_KERNEL);
    if (!index.v || !table.v) {
        set_count = 0;
        return E_NOMEM;
    }
    entries = phys_to_virt(index);
    cached = phys_to_virt(table);
    for (u32 i = 0; i < count; i++) {
        entries[i].key = DRIVE_KEY_NONE;
        cached[i].index = i;
        list_init(&cached[i].link);
    }
    return S_OK;
}

void drive_cache_add(struct drive *d) {
    list_init(&d->dirty);
    list_init(&d->writing);
    list_init(&d->queue);
}

struct drive_index drive_index(void) {
    return (struct drive_index){entries ? virt_to_phys(entries).v : 0, set_count};
}

static void cache_wake(void) {
    wait_wake_all(&cache_wait);
    if (file_hooks.changed) file_hooks.changed();
}

static status_t cache_park(void) {
    file_wait_io(&cache_wait);
    return S_RESTART;
}

// --- entries ---

// Readers beyond the wire order their loads by the packets' order; these are the stores.
static void version_odd(struct cached *e) {
    struct drive_entry *x = &entries[e->index];
    if (!(x->version & 1)) __atomic_store_n(&x->version, x->version + 1, __ATOMIC_SEQ_CST);
}
static void version_even(struct cached *e) {
    struct drive_entry *x = &entries[e->index];
    if (x->version & 1) __atomic_store_n(&x->version, x->version + 1, __ATOMIC_SEQ_CST);
}

static struct cached *entry_find(const struct drive *d, u64 page) {
    const u32 first = drive_set(d->id, page, set_count) * DRIVE_WAYS;
    for (u32 i = first; i < first + DRIVE_WAYS; i++)
        if (entries[i].key == drive_key(d->id, page)) return &cached[i];
    return NULL;
}

static struct drive *entry_drive(const struct cached *e) {
    return &drives[entries[e->index].key >> 56];
}

static void entry_drop(struct cached *e) {
    version_odd(e);
    entries[e->index].key = DRIVE_KEY_NONE;
    version_even(e);
    e->state = CACHED_EMPTY;
}

static bool entry_idle(const struct cached *e) {
    return e->state != CACHED_LOADING && !e->writing && !list_linked(&e->link);
}

// An entry for that page, with a frame and an odd version. NULL: S_RESTART in *status, all
// are busy (what is dirty is then being written); E_NOMEM.
static struct cached *entry_claim(struct drive *d, u64 page, status_t *status) {
    const u32 first = drive_set(d->id, page, set_count) * DRIVE_WAYS;
    struct cached *best = NULL;
    for (u32 i = first; i < first + DRIVE_WAYS; i++) {
        struct cached *e = &cached[i];
        if (!entry_idle(e)) continue;
        if (best && best->state == CACHED_EMPTY) break;
        if (!best || e->state == CACHED_EMPTY || e->used < best->used) best = e;
    }
    if (!best) {
        for (u32 i = first; i < first + DRIVE_WAYS; i++)
            if (list_linked(&cached[i].link)) entry_drive(&cached[i])->write_at_ns = 0;
        drives_poll_soon();
        *status = S_RESTART;
        return NULL;
    }
    struct drive_entry *x = &entries[best->index];
    if (!x->frame) x->frame = frame_alloc(FRAME_CACHE).v;
    if (!x->frame) {
        *status = E_NOMEM;
        return NULL;
    }
    version_odd(best);
    x->key = drive_key(d->id, page);
    best->used = ++clock_now;
    best->state = CACHED_LOADING;
    return best;
}

static void *entry_bytes(const struct cached *e) {
    return phys_to_virt(paddr(entries[e->index].frame));
}

static u64 page_bytes(const struct drive *d, u64 page) {
    return MIN(PAGE_SIZE, d->bytes - page * PAGE_SIZE);
}

// --- requests ---

static void io_submit(struct cache_io *io) {
    const status_t status = io->d->dev->ops->submit(io->d->dev, &io->r);
    if (status == S_OK) return;
    if (status == E_AGAIN) list_push_back(&io->d->queue, &io->r.link);
    else io->r.done(&io->r, status);
}

static struct cache_io *io_new(struct drive *d, enum blk_op op,
                               void (*done)(struct blk_request *r, status_t status)) {
    struct cache_io *io = kmem_alloc(sizeof *io);
    if (!io) return NULL;
    io->d = d;
    io->r.op = op;
    io->r.done = done;
    list_init(&io->r.link);
    return io;
}

// Adds the page of an entry behind those that the request has.
static void io_add(struct cache_io *io, const struct cached *e) {
    const u32 shift = io->d->dev->block_shift;
    const u64 page = entries[e->index].key & GENMASK(55, 0);
    if (io->r.frame_count == 0) io->r.block = page << (PAGE_SHIFT - shift);
    io->entry[io->r.frame_count] = e->index;
    io->r.frame[io->r.frame_count++] = paddr(entries[e->index].frame);
    io->r.block_count += (u32)(page_bytes(io->d, page) >> shift);
}

// One request failed that had several pages: each gets one of its own, so that a bad block
// takes nothing with it but its page. False: no memory, or it had only one.
static bool io_split(struct cache_io *io) {
    struct cache_io *one[BLK_FRAMES_MAX];
    const u32 count = io->r.frame_count;
    if (count < 2 || io->d->dev->dead) return false;
    for (u32 i = 0; i < count; i++) {
        one[i] = io_new(io->d, io->r.op, io->r.done);
        if (one[i]) {
            one[i]->ahead = io->ahead;
            continue;
        }
        while (i-- > 0) kmem_free(one[i], sizeof *one[i]);
        return false;
    }
    for (u32 i = 0; i < count; i++) {
        io_add(one[i], &cached[io->entry[i]]);
        io_submit(one[i]);
    }
    io->d->dev->ops->kick(io->d->dev);
    return true;
}

static void read_done(struct blk_request *r, status_t status) {
    struct cache_io *io = CONTAINER_OF(r, struct cache_io, r);
    if (status == S_OK || !io_split(io)) {
        for (u32 i = 0; i < r->frame_count; i++) {
            struct cached *e = &cached[io->entry[i]];
            e->state = status == S_OK ? CACHED_HERE : CACHED_FAILED;
            if (status == S_OK) version_even(e);  // a failed one stays odd until it is dropped
            else if (io->ahead) entry_drop(e);    // who asks for it tries again
        }
    }
    kmem_free(io, sizeof *io);
    cache_wake();
}

static void dirty_insert(struct drive *d, struct cached *e) {
    struct list_node *at = d->dirty.prev;
    while (at != &d->dirty && LIST_ENTRY(at, struct cached, link)->stamp > e->stamp)
        at = at->prev;
    list_insert_before(at->next, &e->link);
    d->dirty_count++;
}

static void error_note(struct drive *d, status_t status) {
    d->write_error = status;
    d->error_count++;
}

static void write_done(struct blk_request *r, status_t status) {
    struct cache_io *io = CONTAINER_OF(r, struct cache_io, r);
    struct drive *d = io->d;
    if (status == S_OK || !io_split(io)) {
        for (u32 i = 0; i < r->frame_count; i++) {
            struct cached *e = &cached[io->entry[i]];
            list_remove(&e->link);
            e->writing = false;
            if (e->dirtied) dirty_insert(d, e);
            else if (status != S_OK) entry_drop(e);   // reads show what the drive has
        }
        if (status != S_OK) error_note(d, status == E_ROFS ? E_ROFS : E_IO);
    }
    kmem_free(io, sizeof *io);
    cache_wake();
}

static void flush_done(struct blk_request *r, status_t status) {
    struct cache_io *io = CONTAINER_OF(r, struct cache_io, r);
    struct drive *d = io->d;
    if (status != S_OK) error_note(d, E_IO);
    d->durable_stamp = MAX(d->durable_stamp, d->flush_stamp);
    d->flush_stamp = 0;
    kmem_free(io, sizeof *io);
    cache_wake();
}

// --- writing behind ---

// One request of neighbouring dirty pages that begins with the oldest. False: none.
static bool write_one(struct drive *d) {
    if (list_empty(&d->dirty)) return false;
    struct cache_io *io = io_new(d, BLK_WRITE, write_done);
    if (!io) return false;                        // the next poll tries again
    struct cached *e = LIST_ENTRY(d->dirty.next, struct cached, link);
    u64 page = entries[e->index].key & GENMASK(55, 0);
    // Back to the first neighbour that goes into the same request.
    for (u32 i = 0; i + 1 < d->dev->frames_max && page > 0; i++, page--) {
        const struct cached *before = entry_find(d, page - 1);
        if (!before || before->writing || !list_linked(&before->link)) break;
    }
    while (io->r.frame_count < d->dev->frames_max) {
        e = entry_find(d, page++);
        if (!e || e->writing || !list_linked(&e->link)) break;
        list_remove(&e->link);
        d->dirty_count--;
        list_push_back(&d->writing, &e->link);
        e->writing = true;
        e->dirtied = false;
        e->write_stamp = e->stamp;
        io_add(io, e);
    }
    io_submit(io);
    return true;
}

// Is a change of this stamp or an earlier one not on its way back from the drive yet?
static bool unwritten(const struct drive *d, u64 stamp) {
    if (!list_empty(&d->dirty) &&
        LIST_ENTRY(d->dirty.next, struct cached, link)->stamp <= stamp)
        return true;
    LIST_FOR_EACH(it, &d->writing)
        if (LIST_ENTRY(it, struct cached, link)->write_stamp <= stamp) return true;
    return false;
}

static void flush_start(struct drive *d) {
    if (!d->dev->write_cache) {
        d->durable_stamp = MAX(d->durable_stamp, d->sync_stamp);
        d->sync_stamp = 0;
        cache_wake();
        return;
    }
    struct cache_io *io = io_new(d, BLK_FLUSH, flush_done);
    if (!io) return;
    d->flush_stamp = d->sync_stamp;
    d->sync_stamp = 0;
    io_submit(io);
}

// Hands queued requests to the driver, writes what is due, flushes for those who sync.
void drive_pump(struct drive *d, u64 now_ns) {
    for (u32 i = 0; i < DRIVES_MAX * BLK_FRAMES_MAX && !list_empty(&d->queue); i++) {
        struct blk_request *r = LIST_ENTRY(list_pop_front(&d->queue), struct blk_request, link);
        const status_t status = d->dev->ops->submit(d->dev, r);
        if (status == E_AGAIN) list_push_front(&d->queue, &r->link);
        else if (status != S_OK) r->done(r, status);
        if (status == E_AGAIN) break;
    }
    const bool due = d->sync_stamp || now_ns >= d->write_at_ns ||
                     d->dirty_count > (u64)set_count * DRIVE_WAYS / 4;
    while (due && d->dev->in_flight < WRITES_OUT_MAX && list_empty(&d->queue))
        if (!write_one(d)) break;
    if (d->sync_stamp && !d->flush_stamp && !unwritten(d, d->sync_stamp)) flush_start(d);
    d->dev->ops->kick(d->dev);
}

// --- reading ---

// Asks for the pages [page, end) that are not here, neighbours in one request. Returns how
// many are under way. *status: E_IO where one failed, which forgets it; E_NOMEM; S_RESTART:
// a set is full.
static u32 load(struct drive *d, u64 page, u64 end, bool ahead, status_t *status) {
    struct cache_io *io = NULL;
    u32 waits = 0;
    for (; page < end && *status == S_OK; page++) {
        struct cached *e = entry_find(d, page);
        if (e && e->state == CACHED_FAILED) {
            entry_drop(e);
            *status = E_IO;
            break;
        }
        waits += e && e->state == CACHED_LOADING;
        if (io && (e || io->r.frame_count == d->dev->frames_max)) {
            io_submit(io);
            io = NULL;
        }
        if (e) continue;
        if (!io) io = io_new(d, BLK_READ, read_done);
        if (!io) *status = E_NOMEM;
        e = io ? entry_claim(d, page, status) : NULL;
        if (!e) break;
        io->ahead = ahead;
        io_add(io, e);
        drive_counters.misses++;
        waits++;
    }
    if (io && io->r.frame_count) io_submit(io);
    else if (io) kmem_free(io, sizeof *io);
    d->dev->ops->kick(d->dev);
    return waits;
}

// Reads whole pages into the cache and copies when all are here.
status_t drive_read(struct drive *d, u64 at, struct p9_call *c) {
    if (c->count == 0) return S_OK;
    const u64 first = at >> PAGE_SHIFT, end = (at + c->count - 1) / PAGE_SIZE + 1;
    status_t status = S_OK;
    const u64 missed = drive_counters.misses;
    const u32 waits = load(d, first, end, false, &status);
    if (drive_counters.misses != missed && status == S_OK && first > 0 &&
        entry_find(d, first - 1)) {
        status_t ahead = S_OK;                    // in order: the next ones as well
        const u64 pages = (d->bytes + PAGE_MASK) >> PAGE_SHIFT;
        (void)load(d, end, MIN(end + READ_AHEAD_PAGES, pages), true, &ahead);
    }
    if (status == S_RESTART || (status == S_OK && waits)) {
        drive_pump(d, time_now_ns());
        return cache_park();
    }
    if (status != S_OK) return status;
    for (u64 done = 0; done < c->count;) {
        const u64 page = (at + done) >> PAGE_SHIFT, off = (at + done) & PAGE_MASK;
        struct cached *e = entry_find(d, page);
        ASSERT(e && e->state == CACHED_HERE);
        const u64 len = MIN(PAGE_SIZE - off, c->count - done);
        e->used = ++clock_now;
        data_put(c, done, (u8 *)entry_bytes(e) + off, len);
        done += len;
        drive_counters.hits++;
    }
    c->result = c->count;
    return S_OK;
}

// --- writing ---

static void dirty_mark(struct drive *d, struct cached *e) {
    d->written_stamp = stamp_now;
    if (e->writing) {
        if (!e->dirtied) e->stamp = stamp_now;
        e->dirtied = true;
        return;
    }
    if (list_linked(&e->link)) return;
    if (list_empty(&d->dirty)) d->write_at_ns = time_now_ns() + WRITE_BEHIND_NS;
    e->stamp = stamp_now;
    dirty_insert(d, e);
}

// The entry of a page that is to be changed in [off, off + len): here, or claimed where all
// of it will be new. NULL: *status says whether to wait (S_RESTART) or that it failed.
static struct cached *write_entry(struct drive *d, u64 page, u64 off, u64 len,
                                  status_t *status) {
    struct cached *e = entry_find(d, page);
    if (e && e->state == CACHED_HERE) return e;
    const bool whole = off == 0 && len == page_bytes(d, page);
    if (e && e->state == CACHED_FAILED && whole) entry_drop(e);
    if (whole && (!e || e->state == CACHED_EMPTY)) {
        e = entry_claim(d, page, status);
        if (e && len < PAGE_SIZE) memset(entry_bytes(e), 0, PAGE_SIZE);
        if (e) return e;
    } else {
        (void)load(d, page, page + 1, false, status);
    }
    if (*status == S_OK) *status = S_RESTART;
    return NULL;
}

// Changes the cached pages in order; stops, with what it has done, at one that is not here.
status_t drive_write(struct drive *d, u64 at, struct p9_call *c) {
    if (d->dev->read_only) return E_ROFS;
    if (d->dev->dead) return E_IO;
    status_t status = S_OK;
    u64 done = 0;
    stamp_now++;
    while (done < c->count) {
        const u64 page = (at + done) >> PAGE_SHIFT, off = (at + done) & PAGE_MASK;
        const u64 len = MIN(PAGE_SIZE - off, c->count - done);
        struct cached *e = write_entry(d, page, off, len, &status);
        if (!e) break;
        version_odd(e);
        data_get(c, done, (u8 *)entry_bytes(e) + off, len);
        version_even(e);
        e->state = CACHED_HERE;
        e->used = ++clock_now;
        dirty_mark(d, e);
        done += len;
    }
    drive_pump(d, time_now_ns());
    if (status == S_RESTART && done == 0) return cache_park();
    if (status != S_OK && done == 0) return status;
    c->result = done;
    drives_sync_later();
    return S_OK;
}

// Waits until every write before this call is on the drive and has been flushed. Errors of
// writing behind since *errors_seen are told, once to each asker with a count of its own.
status_t drive_sync(struct drive *d, u64 *ticket, u64 *errors_seen) {
    if (*ticket == 0) *ticket = stamp_now + 1;
    const u64 stamp = MIN(*ticket - 1, d->written_stamp);
    if (d->durable_stamp < stamp && !d->dev->dead) {
        d->sync_stamp = MAX(d->sync_stamp, stamp);
        drive_pump(d, time_now_ns());
        if (d->durable_stamp < stamp && !d->dev->dead) return cache_park();
    }
    status_t status = *errors_seen != d->error_count ? d->write_error : S_OK;
    if (d->durable_stamp < stamp) status = E_IO;
    *errors_seen = d->error_count;
    return status;
}
