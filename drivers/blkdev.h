// What a drive offers to whoever caches it: a name, a size, several requests in flight,
// flush, and counters. Drivers (drivers/nvme, drivers/virtio) fill it in.
// Lock: the owner's, one for all calls here (kernel/drives.c: files_lock); the interrupt
// handler only masks its device and calls config.on_irq.
#pragma once

#include "base/list.h"
#include "base/status.h"
#include "base/types.h"
#include "base/units.h"
#include "drivers/hw_env.h"
#include "drivers/pci/pci.h"

#define BLK_FRAMES_MAX 16u           // pages of one request
#define BLK_SHIFT_MIN 9u
#define BLK_SHIFT_MAX 12u            // blocks of 512 to 4096 bytes
#define BLK_REQUEST_NS (30ull * NS_PER_S)   // then it is aborted
#define BLK_ABORT_NS (5ull * NS_PER_S)      // then the drive is stopped for good

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH };

// Owned by its maker; from submit until done by the driver.
struct blk_request {
    struct list_node link;           // the owner's
    enum blk_op op;
    u64 block;                       // first, in blocks of the drive
    u32 block_count;                 // not 0 but for a flush
    u32 frame_count;
    paddr_t frame[BLK_FRAMES_MAX];   // pages; all are used whole but the last
    // S_OK; E_IO; E_ROFS; E_TIMEDOUT. Called from poll, never from submit.
    void (*done)(struct blk_request *r, status_t status);
    void *ctx;
};

struct blk_counters {
    u64 requests, blocks_read, blocks_written, flushes, errors, timeouts, interrupts,
        spurious, in_flight_max;
};

struct blkdev;
struct blkdev_ops {
    // E_AGAIN: as many as it takes are in flight; E_IO: the drive is dead; E_INVAL: beyond
    // the end, or more than frames_max pages. On an error `done` is not called.
    status_t (*submit)(struct blkdev *dev, struct blk_request *r);
    void (*kick)(struct blkdev *dev);            // one doorbell for all that was submitted
    // Takes completions and calls `done`; looks after what is too late.
    void (*poll)(struct blkdev *dev, u64 now_ns);
    bool (*irq_enable)(struct blkdev *dev);      // true: completions are here already
    u64 (*deadline_ns)(const struct blkdev *dev);   // when poll must run; ~0: nothing is out
};

struct blkdev {
    const struct blkdev_ops *ops;
    char name[16];                   // "nvme0n1", "vda"
    char model[41];
    u64 block_count;
    u32 block_shift;                 // log2 of the bytes of a block
    u32 frames_max;                  // of one request
    bool read_only;
    bool write_cache;                // what was written needs a flush to last
    bool dead;
    u32 in_flight;
    struct blk_counters counters;
    void *priv;
};

// What every driver checks of a request that moves data. E_INVAL: beyond the end, or frames that
// are too few, too many or more than dev's; E_ROFS.
static inline status_t blk_check(const struct blkdev *dev, const struct blk_request *r) {
    if (r->block_count == 0 || r->block_count > dev->block_count ||
        r->block > dev->block_count - r->block_count)
        return E_INVAL;
    if (r->frame_count == 0 || r->frame_count > dev->frames_max) return E_INVAL;
    const u64 bytes = (u64)r->block_count << dev->block_shift;
    if (bytes > r->frame_count * PAGE_SIZE || bytes <= (r->frame_count - 1) * PAGE_SIZE)
        return E_INVAL;
    return r->op == BLK_WRITE && dev->read_only ? E_ROFS : S_OK;
}

// What every driver counts of a request that it has taken, and of one that ends.
static inline void blk_begun(struct blkdev *dev) {
    dev->counters.requests++;
    if (++dev->in_flight > dev->counters.in_flight_max)
        dev->counters.in_flight_max = dev->in_flight;
}

static inline void blk_ended(struct blkdev *dev, struct blk_request *r, status_t status) {
    struct blk_counters *c = &dev->counters;
    dev->in_flight--;
    if (status != S_OK) c->errors++;
    else if (r->op == BLK_READ) c->blocks_read += r->block_count;
    else if (r->op == BLK_WRITE) c->blocks_written += r->block_count;
    else c->flushes++;
    r->done(r, status);
}

struct blk_config {
    const struct hw_env *env;        // all three outlive the drive
    const struct pci_cfg *cfg;
    void (*on_irq)(void *ctx);       // interrupt context; the device is masked
    void *on_irq_ctx;
};

// A driver in kernel/drives.c's table.
struct blk_driver {
    bool (*supports)(const struct pci_dev *dev);
    // Opens up to `max` drives behind one PCI function; says in the log what it cannot use.
    u32 (*open)(const struct pci_dev *dev, const struct blk_config *config,
                struct blkdev **drives, u32 max);
};
extern const struct blk_driver nvme_driver, virtio_blk_driver;
