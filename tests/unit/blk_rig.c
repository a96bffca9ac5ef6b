// See blk_rig.h. Locks: none; each test is a process of its own.
#include "tests/unit/blk_rig.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct blkdev *dev;
u8 *frames[BLK_RIG_FRAMES];
u64 clock_ns;
u32 irqs;
void (*irq_handler)(void *arg);
void *irq_arg;
static void *allocs[512];
static u32 alloc_count;

static void *dma_alloc(u64 len, paddr_t *pa) {
    void *p = aligned_alloc(4096, (len + 4095) / 4096 * 4096);
    memset(p, 0, (len + 4095) / 4096 * 4096);
    allocs[alloc_count++] = p;
    *pa = paddr((u64)p);
    return p;
}
static u64 now_ns(void) { return clock_ns += 100000; }
static void delay_us(u32 us) { clock_ns += us * 1000ull; }
static status_t irq_attach(u32 bdf, void (*handler)(void *arg), void *arg) {
    (void)bdf;
    irq_handler = handler;
    irq_arg = arg;
    return S_OK;
}
static void say(const char *format, ...) { (void)format; }
static status_t no_msix(u32 bdf, void (*handler)(void *arg), void *arg) {
    (void)bdf, (void)handler, (void)arg;
    return E_NODEV;
}
const struct hw_env blk_env = {dma_alloc, blk_rig_map, now_ns, delay_us, irq_attach, no_msix, say};

void on_irq(void *ctx) { (void)ctx; irqs++; }

void blk_rig_setup(void) {
    clock_ns = 0;
    for (u32 i = 0; i < BLK_RIG_FRAMES; i++) frames[i] = aligned_alloc(4096, 4096);
}

void blk_rig_teardown(void) {
    for (u32 i = 0; i < BLK_RIG_FRAMES; i++) free(frames[i]);
    while (alloc_count) free(allocs[--alloc_count]);
}

static void done(struct blk_request *r, status_t status) {
    struct result *x = r->ctx;
    x->calls++;
    x->status = status;
}
struct blk_request request(enum blk_op op, u64 block, u32 count, struct result *x) {
    struct blk_request r = {.op = op, .block = block, .block_count = count, .done = done,
                            .ctx = x};
    *x = (struct result){0};
    for (u64 at = 0; op != BLK_FLUSH && at < (u64)count << dev->block_shift; at += 4096)
        r.frame[r.frame_count] = paddr((u64)frames[r.frame_count]), r.frame_count++;
    return r;
}
status_t run(enum blk_op op, u64 block, u32 count) {
    struct result x;
    struct blk_request r = request(op, block, count, &x);
    status_t s = dev->ops->submit(dev, &r);
    if (s != S_OK) return s;
    dev->ops->kick(dev);
    dev->ops->poll(dev, clock_ns);
    ck_assert_uint_eq(x.calls, 1);
    return x.status;
}
