// Finds this node's drives at boot, reads their partition tables, and runs them from then
// on: an interrupt handler masks its drive and sets EDGE_DRIVES; the edge takes completions
// and starts what is due. Lock: files_lock.
#include "kernel/drives.h"

#include "base/string.h"
#include "kernel/cluster.h"
#include "kernel/files/object.h"
#include "kernel/hw.h"
#include "kernel/irq.h"
#include "kernel/klog.h"
#include "kernel/remote_drive.h"
#include "kernel/time.h"
#include "kernel/trap.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"

#define BOOT_READ_NS (40ull * NS_PER_S)          // more than a driver's own limits
#define STOP_LOOK_NS (10 * NS_PER_MS)
#define RETRY_NS (20 * NS_PER_MS)
#define ROUNDS_MAX 16u

struct drive drives[DRIVES_MAX];
u32 drive_count;
static struct timer timer;
static struct hw_env drive_env;
static const struct blk_driver *const drivers[] = {&nvme_driver, &virtio_blk_driver};

void drives_poll_soon(void) { edge_request(EDGE_DRIVES); }

static void on_irq(void *ctx) {
    (void)ctx;
    drives_poll_soon();
}

static status_t attach(u32 pci_bdf, void (*handler)(void *arg), void *arg) {
    return irq_attach_pci(pci_bdf, handler, arg, 0);
}

static status_t attach_msix(u32 pci_bdf, void (*handler)(void *arg), void *arg) {
    return irq_attach_msix(pci_bdf, handler, arg, 0);
}

static void timer_fired(void *unused) {
    (void)unused;
    drives_poll_soon();
}

static void timer_set(void) {
    u64 next = ~0ull;
    const u64 now = time_now_ns();
    for (u32 i = 0; i < drive_count; i++) {
        const struct drive *d = &drives[i];
        const u64 late = d->dev->ops->deadline_ns(d->dev);
        next = MIN(next, late == 0 ? now + STOP_LOOK_NS : late);
        if (!list_empty(&d->dirty)) next = MIN(next, MAX(d->write_at_ns, now + RETRY_NS));
        if (!list_empty(&d->queue) || d->sync_stamp) next = MIN(next, now + RETRY_NS);
    }
    if (next == ~0ull) return;
    const bool armed = __atomic_load_n(&timer.cpu_plus_one, __ATOMIC_ACQUIRE) != 0;
    if (!armed || next < timer.deadline_ns) timer_arm(&timer, next, timer_fired, NULL);
}

void drives_sync_later(void) { timer_set(); }

// At the edge: completions, what is due, and interrupts on again.
static void drives_edge(void) {
    spin_lock(&files_lock);
    bool more = true;
    for (u32 round = 0; round < ROUNDS_MAX && more; round++) {
        more = false;
        const u64 now = time_now_ns();
        for (u32 i = 0; i < drive_count; i++) {
            struct blkdev *dev = drives[i].dev;
            dev->ops->poll(dev, now);
            drive_pump(&drives[i], now);
        }
        for (u32 i = 0; i < drive_count; i++)
            more |= drives[i].dev->ops->irq_enable(drives[i].dev);
    }
    timer_set();
    spin_unlock(&files_lock);
    if (more) drives_poll_soon();
}

// See drives.h. Drive by drive.
status_t drives_sync_all(u64 *ticket) {
    for (u32 i = 0; i < drive_count; i++) {
        u64 errors_seen = drives[i].error_count;
        const status_t status = drive_sync(&drives[i], ticket, &errors_seen);
        if (status != S_OK) return status;
    }
    return S_OK;
}

// --- boot ---

static bool drive_found(void *ctx, const struct pci_dev *pci) {
    (void)ctx;
    const struct blk_config config = {.env = &drive_env, .cfg = &pci_cfg_ports,
                                      .on_irq = on_irq};
    for (u32 k = 0; k < ARRAY_COUNT(drivers); k++) {
        if (!drivers[k]->supports(pci)) continue;
        struct blkdev *dev[DRIVES_MAX];
        const u32 count = drivers[k]->open(pci, &config, dev, DRIVES_MAX - drive_count);
        for (u32 i = 0; i < count; i++, drive_count++) {
            struct drive *d = &drives[drive_count];
            *d = (struct drive){.dev = dev[i], .id = drive_count,
                                .bytes = dev[i]->block_count << dev[i]->block_shift};
            drive_cache_add(d);
        }
    }
    return drive_count == DRIVES_MAX;
}

struct boot_read { bool ended; status_t status; };

static void boot_read_done(struct blk_request *r, status_t status) {
    struct boot_read *b = r->ctx;
    b->ended = true;
    b->status = status;
}

// Reads blocks into contiguous frames, polling: at boot nobody else runs.
static status_t boot_read(struct blkdev *dev, u64 block, u32 block_count, paddr_t to) {
    // Static: a request that ends after its deadline must not find a dead stack.
    static struct boot_read state;
    static struct blk_request r;
    state = (struct boot_read){0};
    r = (struct blk_request){.op = BLK_READ, .block = block, .block_count = block_count,
                             .done = boot_read_done, .ctx = &state};
    const u64 bytes = (u64)block_count << dev->block_shift;
    for (u64 at = 0; at < bytes; at += PAGE_SIZE) r.frame[r.frame_count++] = paddr(to.v + at);
    const status_t status = dev->ops->submit(dev, &r);
    if (status != S_OK) return status;
    dev->ops->kick(dev);
    const u64 until = time_now_ns() + BOOT_READ_NS;
    while (!state.ended && time_now_ns() < until) dev->ops->poll(dev, time_now_ns());
    ASSERT(state.ended);                          // the driver's own limits are shorter
    return state.status;
}

// One partition table: the header at block `at`, then its entries. E_NOENT: there is none.
static status_t table_read(struct drive *d, u64 at, paddr_t buffer, u64 buffer_bytes,
                           struct gpt_part *parts, u32 *count) {
    struct blkdev *dev = d->dev;
    struct gpt_header h;
    status_t status = boot_read(dev, at, 1, buffer);
    if (status == S_OK)
        status = gpt_header_parse(phys_to_virt(buffer), 1u << dev->block_shift, at,
                                  dev->block_count, &h);
    if (status != S_OK) return status;
    const u64 bytes = ALIGN_UP((u64)h.entry_count * h.entry_bytes, 1ull << dev->block_shift);
    if (bytes > buffer_bytes) return E_OPNOTSUPP;
    const u64 chunk = (u64)dev->frames_max * PAGE_SIZE;
    for (u64 done = 0; done < bytes && status == S_OK; done += chunk) {
        const u64 len = MIN(chunk, bytes - done);
        status = boot_read(dev, h.entries_block + (done >> dev->block_shift),
                           (u32)(len >> dev->block_shift), paddr(buffer.v + done));
    }
    return status == S_OK ? gpt_entries_parse(&h, phys_to_virt(buffer), parts, count) : status;
}

static void part_add(struct drive *d, const struct gpt_part *p) {
    struct drive_part *to = &d->part[d->part_count++];
    const u64 len = strlen(d->dev->name);
    const char *between = d->dev->name[len - 1] >= '0' && d->dev->name[len - 1] <= '9' ? "p" : "";
    ksnprintf(to->name, sizeof to->name, "%s%s%u", d->dev->name, between, p->number);
    to->number = p->number;
    to->first_byte = p->first << d->dev->block_shift;
    to->bytes = p->count << d->dev->block_shift;
}

// The table at block 1, or, where that is damaged, the one at the last block.
static void partitions_read(struct drive *d, paddr_t buffer, u64 buffer_bytes) {
    struct gpt_part parts[GPT_PARTS_MAX];
    u32 count = 0;
    if (d->dev->block_count < 8) return;
    status_t status = table_read(d, 1, buffer, buffer_bytes, parts, &count);
    if (status == E_NOENT || status == E_INVAL) {
        const status_t second = table_read(d, d->dev->block_count - 1, buffer, buffer_bytes,
                                           parts, &count);
        if (second == S_OK) klog("%s: the first partition table is bad; the second is used",
                                 d->dev->name);
        if (second != E_NOENT) status = second;
    }
    if (status != S_OK && status != E_NOENT)
        klog("%s: the partition table is not used (%d)", d->dev->name, status);
    for (u32 i = 0; status == S_OK && i < count; i++) part_add(d, &parts[i]);
}

#define SUM(name)                                                        \
    static u64 sum_##name(const void *ctx) {                             \
        (void)ctx;                                                       \
        u64 sum = 0;                                                     \
        for (u32 i = 0; i < drive_count; i++) sum += drives[i].dev->counters.name; \
        return sum;                                                      \
    }
SUM(requests) SUM(blocks_read) SUM(blocks_written) SUM(flushes) SUM(errors) SUM(timeouts)

static u64 get_drives(const void *ctx) { (void)ctx; return drive_count; }

static void figures_add(void) {
    cluster_status_add("drives", get_drives, NULL);
    cluster_status_add("drive_requests", sum_requests, NULL);
    cluster_status_add("drive_blocks_read", sum_blocks_read, NULL);
    cluster_status_add("drive_blocks_written", sum_blocks_written, NULL);
    cluster_status_add("drive_flushes", sum_flushes, NULL);
    cluster_status_add("drive_errors", sum_errors, NULL);
    cluster_status_add("drive_timeouts", sum_timeouts, NULL);
    cluster_status_add_u64("drive_cache_hits", &drive_counters.hits);
    cluster_status_add_u64("drive_cache_misses", &drive_counters.misses);
}

// Order: drivers, cache, partition tables, files, interrupts. Without a drive nothing of it
// takes memory. Boot, one CPU, interrupts off.
void drives_init(void) {
    figures_add();
    remote_drive_init();
    drive_env = kernel_hw_env;
    drive_env.irq_attach = attach;
    drive_env.irq_attach_msix = attach_msix;
    pci_scan(&pci_cfg_ports, drive_found, NULL);
    if (drive_count == 0) return;
    const u64 buffer_bytes = BLK_FRAMES_MAX * PAGE_SIZE;
    const paddr_t buffer = frame_alloc_contiguous(BLK_FRAMES_MAX, FRAME_DMA);
    if (!buffer.v || drive_cache_init() != S_OK) {
        klog("drives: no memory for the cache; none is used");
        drive_count = 0;
        return;
    }
    spin_lock(&files_lock);
    for (u32 i = 0; i < drive_count; i++) {
        struct drive *d = &drives[i];
        partitions_read(d, buffer, buffer_bytes);
        klog("%s: %s, %lu blocks of %u bytes%s%s, %u partitions", d->dev->name, d->dev->model,
             d->dev->block_count, 1u << d->dev->block_shift,
             d->dev->write_cache ? ", write cache" : "", d->dev->read_only ? ", read only" : "",
             d->part_count);
        drivefs_add(d);
    }
    spin_unlock(&files_lock);
    edge_hook_set(EDGE_DRIVES, drives_edge);
    drives_edge();
}
