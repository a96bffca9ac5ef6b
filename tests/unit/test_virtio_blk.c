// The virtio-blk driver against a model of a modern PCI device: negotiation, reads and writes
// of every length, many in flight, flush, errors, a device that hangs, hostile rings.
// links: drivers/virtio/virtio_blk.c drivers/virtio/virtio_pci.c drivers/pci/pci.c
// links: tests/unit/blk_rig.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/blkdev.h"
#include "drivers/virtio/virtio_regs.h"
#include "kernel/x86/mmio.h"
#include "tests/unit/blk_rig.h"
#include "tests/unit/suite_run.h"

#define SECTORS 1003u
enum { AT_COMMON = 0x0, AT_ISR = 0x1000, AT_DEVICE = 0x2000, AT_NOTIFY = 0x3000 };

static struct model {
    u8 reg[0x4000];
    u64 offered, accepted;
    u32 feature_select, driver_select;
    bool stalled, reset_stuck, refuse_features, master, fail;
    u16 queue_size, avail_seen;
    u32 flushes, notifies;
    u8 disk[SECTORS * 512];
} m;

static u64 get64(u32 at) {
    u64 v;
    memcpy(&v, m.reg + at, 8);
    return v;
}
static void put(u32 at, u64 v, u32 bytes) { memcpy(m.reg + at, &v, bytes); }

static u8 serve(const struct virtio_blk_header *h, const struct virtq_desc *d, u64 *moved) {
    u64 at = h->sector * 512;
    if (m.fail) return VIRTIO_BLK_IOERR;
    if (h->type == VIRTIO_BLK_FLUSH) m.flushes++;
    if (h->type != VIRTIO_BLK_FLUSH && !(d->flags & VIRTQ_DESC_NEXT)) abort();
    const struct virtq_desc *table = (void *)get64(VIRTIO_QUEUE_DESC);
    for (; d->flags & VIRTQ_DESC_NEXT; d = &table[d->next]) {
        if (at + d->len > sizeof m.disk) abort();
        if (!!(d->flags & VIRTQ_DESC_WRITE) != (h->type == VIRTIO_BLK_IN)) abort();
        if (h->type == VIRTIO_BLK_IN) memcpy((void *)d->pa, m.disk + at, d->len);
        else memcpy(m.disk + at, (void *)d->pa, d->len);
        at += d->len;
        *moved += d->len;
    }
    return VIRTIO_BLK_OK;
}

static void give_back(u32 head, u64 moved) {
    struct virtq_used *used = (void *)get64(VIRTIO_QUEUE_DEVICE);
    used->ring[used->index % m.queue_size] = (struct virtq_used_entry){head, (u32)moved};
    used->index++;
}

static void queue_run(void) {
    const struct virtq_desc *table = (void *)get64(VIRTIO_QUEUE_DESC);
    const struct virtq_avail *avail = (void *)get64(VIRTIO_QUEUE_DRIVER);
    while (m.avail_seen != avail->index) {
        const u16 head = avail->ring[m.avail_seen++ % m.queue_size];
        if (head >= m.queue_size || table[head].len != sizeof(struct virtio_blk_header)) abort();
        const struct virtq_desc *d = &table[table[head].next], *last = d;
        while (last->flags & VIRTQ_DESC_NEXT) last = &table[last->next];
        if (last->len != 1 || !(last->flags & VIRTQ_DESC_WRITE)) abort();
        u64 moved = 0;
        *(u8 *)last->pa = serve((void *)table[head].pa, d, &moved);
        give_back(head, moved);
    }
}

u32 mmio_get32(volatile void *base, u32 offset) {
    const u32 at = (u32)((volatile u8 *)base - m.reg) + offset;
    if (at == VIRTIO_DEVICE_FEATURE) return (u32)(m.offered >> (32 * (m.feature_select & 1)));
    return (u32)get64(at);
}
void mmio_set32(volatile void *base, u32 offset, u32 value) {
    const u32 at = (u32)((volatile u8 *)base - m.reg) + offset;
    put(at, value, 4);
    if (at == VIRTIO_DEVICE_FEATURE_SELECT) m.feature_select = value;
    if (at == VIRTIO_DRIVER_FEATURE_SELECT) m.driver_select = value;
    if (at == VIRTIO_DRIVER_FEATURE) m.accepted |= (u64)value << (32 * m.driver_select);
}
u16 mmio_get16(volatile void *base, u32 offset) {
    return (u16)get64((u32)((volatile u8 *)base - m.reg) + offset);
}
void mmio_set16(volatile void *base, u32 offset, u16 value) {
    const u32 at = (u32)((volatile u8 *)base - m.reg) + offset;
    put(at, value, 2);
    if (at == VIRTIO_QUEUE_SIZE) m.queue_size = value;
    if (at < AT_NOTIFY) return;
    m.notifies++;
    if (!(m.reg[VIRTIO_STATUS] & VIRTIO_DRIVER_OK)) abort();
    if (!m.stalled) queue_run();
}
u8 mmio_get8(volatile void *base, u32 offset) {
    const u32 at = (u32)((volatile u8 *)base - m.reg) + offset;
    const u8 v = m.reg[at];
    if (at == AT_ISR) m.reg[at] = 0;
    return v;
}
void mmio_set8(volatile void *base, u32 offset, u8 value) {
    const u32 at = (u32)((volatile u8 *)base - m.reg) + offset;
    if (at == VIRTIO_STATUS && value == 0 && m.reset_stuck) return;
    if (at == VIRTIO_STATUS && m.refuse_features) value &= (u8)~VIRTIO_FEATURES_OK;
    m.reg[at] = value;
}

volatile void *blk_rig_map(paddr_t pa, u64 len) { (void)len; return m.reg + (pa.v & 0xffff); }
static u32 cfg_space[64], bar;
static u32 cfg_read(u32 bdf, u32 at) {
    (void)bdf;
    if (at == 0x20) return bar == ~0u ? 0xffffc000u : 0xfe000000u;
    return cfg_space[at / 4];
}
static void cfg_write(u32 bdf, u32 at, u32 value) {
    (void)bdf;
    if (at == 0x20) bar = value;
    if (at == 4) m.master = value & 4, cfg_space[1] = (value & 0xffff) | 0x100000;
}
static const struct pci_cfg cfg = {cfg_read, cfg_write};
static void capability(u32 at, u32 next, u32 type, u32 offset, u32 len) {
    cfg_space[at / 4] = PCI_CAP_VENDOR | next << 8 | 20 << 16 | type << 24;
    cfg_space[at / 4 + 1] = 4;                   // BAR 4
    cfg_space[at / 4 + 2] = offset;
    cfg_space[at / 4 + 3] = len;
    cfg_space[at / 4 + 4] = 4;                   // the notify multiplier
}
static bool open_drive(void) {
    const struct pci_dev pci = {.vendor = 0x1af4, .device = 0x1042};
    const struct blk_config config = {.env = &blk_env, .cfg = &cfg, .on_irq = on_irq};
    ck_assert(virtio_blk_driver.supports(&pci));
    return virtio_blk_driver.open(&pci, &config, &dev, 1) == 1;
}
static void reset(void) {
    memset(&m, 0, sizeof m);
    memset(cfg_space, 0, sizeof cfg_space);
    cfg_space[1] = 0x100000;
    cfg_space[0x34 / 4] = 0x40;
    capability(0x40, 0x60, VIRTIO_CAP_COMMON, AT_COMMON, 0x38);
    capability(0x60, 0x80, VIRTIO_CAP_ISR, AT_ISR, 1);
    capability(0x80, 0xa0, VIRTIO_CAP_DEVICE, AT_DEVICE, 0x40);
    capability(0xa0, 0, VIRTIO_CAP_NOTIFY, AT_NOTIFY, 0x100);
    m.offered = VIRTIO_F_VERSION_1 | VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_SEG_MAX |
                VIRTIO_BLK_F_BLK_SIZE | 1ull << 28 | 1ull << 29 | 1ull << 34;
    put(VIRTIO_QUEUE_SIZE, 256, 2);
    put(VIRTIO_QUEUE_NOTIFY_OFF, 3, 2);
    put(AT_DEVICE + VIRTIO_BLK_CAPACITY, SECTORS, 8);
    put(AT_DEVICE + VIRTIO_BLK_SEG_MAX, 254, 4);
    put(AT_DEVICE + VIRTIO_BLK_BLK_SIZE, 512, 4);
    for (u32 i = 0; i < sizeof m.disk; i++) m.disk[i] = (u8)(i * 11 + i / 512);
}
static void setup(void) {
    reset();
    blk_rig_setup();
    ck_assert(open_drive());
}
START_TEST(negotiates_only_what_it_knows) {
    ck_assert_uint_eq(m.accepted, VIRTIO_F_VERSION_1 | VIRTIO_BLK_F_FLUSH |
                      VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE);
    ck_assert_uint_eq(m.reg[VIRTIO_STATUS], 15);
    ck_assert_uint_eq(dev->block_count, SECTORS);
    ck_assert_int_eq(strncmp(dev->name, "vd", 2), 0);
    ck_assert(dev->write_cache && !dev->read_only && m.master);
}
END_TEST

START_TEST(moves_every_length) {
    for (u32 count = 1; count <= 128; count++) {
        ck_assert_int_eq(run(BLK_READ, count, count), S_OK);
        for (u32 i = 0; i < count; i++)
            ck_assert_mem_eq(frames[i / 8] + i % 8 * 512, m.disk + (count + i) * 512, 512);
        for (u32 i = 0; i < BLK_RIG_FRAMES; i++) memset(frames[i], (int)(i + count), 4096);
        ck_assert_int_eq(run(BLK_WRITE, SECTORS - count, count), S_OK);
        for (u32 i = 0; i < count; i++)
            ck_assert_mem_eq(frames[i / 8], m.disk + (SECTORS - count + i) * 512, 512);
    }
    ck_assert_uint_eq(dev->in_flight, 0);
    ck_assert_int_eq(run(BLK_READ, SECTORS, 1), E_INVAL);
    ck_assert_int_eq(run(BLK_READ, ~0ull, 2), E_INVAL);
    ck_assert_int_eq(run(BLK_READ, 0, 0), E_INVAL);
}
END_TEST

START_TEST(many_in_flight_and_around_the_rings) {
    static struct result x[64];
    static struct blk_request r[64];
    u32 out = 0;
    for (u32 round = 0; round < 4800; round++) {  // the ring's 16-bit indices wrap
        m.stalled = true;
        for (out = 0;; out++) {
            r[out] = request(BLK_READ, out, 1, &x[out]);
            if (dev->ops->submit(dev, &r[out]) != S_OK) break;
        }
        dev->ops->kick(dev);
        queue_run();
        dev->ops->poll(dev, clock_ns);
        for (u32 i = 0; i < out; i++)
            if (x[i].calls != 1 || x[i].status != S_OK) abort();
    }
    ck_assert_uint_eq(out, 256 / 18);
    ck_assert_uint_gt(out * 4800, 65536);
    ck_assert_uint_eq(m.notifies, 4800);
}
END_TEST

START_TEST(flush_and_errors) {
    ck_assert_int_eq(run(BLK_FLUSH, 0, 0), S_OK);
    ck_assert_uint_eq(m.flushes, 1);
    m.fail = true;
    ck_assert_int_eq(run(BLK_READ, 0, 1), E_IO);
    ck_assert_int_eq(run(BLK_FLUSH, 0, 0), E_IO);
    m.fail = false;
    ck_assert_int_eq(run(BLK_READ, 0, 1), S_OK);
    ck_assert_uint_eq(dev->counters.errors, 2);
}
END_TEST

START_TEST(a_device_that_hangs_is_stopped) {
    struct result x[2];
    struct blk_request r[2] = {request(BLK_READ, 0, 1, &x[0]), request(BLK_WRITE, 1, 1, &x[1])};
    m.stalled = m.reset_stuck = true;
    for (u32 i = 0; i < 2; i++) ck_assert_int_eq(dev->ops->submit(dev, &r[i]), S_OK);
    dev->ops->kick(dev);
    const u64 at = dev->ops->deadline_ns(dev) + NS_PER_S;
    dev->ops->poll(dev, at);
    ck_assert_uint_eq(x[0].calls + x[1].calls, 0);   // it may still write to their memory
    ck_assert_int_eq(run(BLK_READ, 0, 1), E_IO);
    dev->ops->poll(dev, at + 10 * NS_PER_S);
    ck_assert(!m.master && dev->dead);
    for (u32 i = 0; i < 2; i++) ck_assert(x[i].calls == 1 && x[i].status == E_TIMEDOUT);
    ck_assert_uint_eq(dev->ops->deadline_ns(dev), ~0ull);
}
END_TEST

static void hostile(u32 head, u32 times) {
    reset();
    ck_assert(open_drive());
    struct result x;
    struct blk_request r = request(BLK_READ, 0, 1, &x);
    m.stalled = true;
    ck_assert_int_eq(dev->ops->submit(dev, &r), S_OK);
    dev->ops->kick(dev);
    while (times--) give_back(head, 0);
    dev->ops->poll(dev, clock_ns);
    dev->ops->poll(dev, clock_ns + 2 * NS_PER_S);
    ck_assert(dev->dead && x.calls == 1);
}

START_TEST(hostile_rings_stop_the_device) {
    hostile(17, 1);                              // no head
    hostile(18, 1);                              // a head that is free
    hostile(0xfffffff0u, 1);
    hostile(0, 300);                             // more than are out
}
END_TEST

START_TEST(interrupts_mask_and_look_again) {
    struct result x;
    struct blk_request r = request(BLK_READ, 0, 1, &x);
    const struct virtq_avail *avail = (void *)get64(VIRTIO_QUEUE_DRIVER);
    irqs = 0;
    irq_handler(irq_arg);                        // somebody else's, on a shared line
    ck_assert_uint_eq(irqs, 0);
    ck_assert_int_eq(dev->ops->submit(dev, &r), S_OK);
    dev->ops->kick(dev);
    m.reg[AT_ISR] = 1;
    irq_handler(irq_arg);
    ck_assert(irqs == 1 && avail->flags == VIRTQ_NO_INTERRUPT);
    ck_assert(dev->ops->irq_enable(dev));        // it is here: poll, do not sleep
    dev->ops->poll(dev, clock_ns);
    ck_assert(!dev->ops->irq_enable(dev) && avail->flags == 0);
    ck_assert_uint_eq(x.calls, 1);
}
END_TEST

START_TEST(what_cannot_be_used_is_refused) {
    for (u32 i = 0; i < 10; i++) {
        reset();
        if (i == 0) m.offered &= ~VIRTIO_F_VERSION_1;
        if (i == 1) m.refuse_features = true;
        if (i == 2) capability(0xa0, 0x40, 0, 0, 0);            // no notify; the list loops
        if (i == 3) capability(0x80, 0xa0, VIRTIO_CAP_DEVICE, 0x3ff0, 0x40);   // beyond the BAR
        if (i == 4) put(VIRTIO_QUEUE_SIZE, 0, 2);
        if (i == 5) put(VIRTIO_QUEUE_SIZE, 100, 2);             // no power of two
        if (i == 6) put(AT_DEVICE + VIRTIO_BLK_BLK_SIZE, 513, 4);
        if (i == 7) put(AT_DEVICE + VIRTIO_BLK_CAPACITY, 0, 8);
        if (i == 8) put(VIRTIO_QUEUE_NOTIFY_OFF, 0xffff, 2);
        if (i == 9) m.reg[VIRTIO_STATUS] = 64, m.reset_stuck = true;
        ck_assert_msg(!open_drive(), "case %u", i);
    }
    reset();
    m.offered |= VIRTIO_BLK_F_RO;
    m.offered &= ~VIRTIO_BLK_F_FLUSH;
    put(AT_DEVICE + VIRTIO_BLK_SEG_MAX, 1, 4);
    ck_assert(open_drive());
    ck_assert(dev->read_only && !dev->write_cache && dev->frames_max == 1);
    ck_assert_int_eq(run(BLK_WRITE, 0, 1), E_ROFS);
    ck_assert_int_eq(run(BLK_FLUSH, 0, 0), E_INVAL);
    ck_assert_int_eq(run(BLK_READ, 0, 8), S_OK);
}
END_TEST

int main(void) {
    Suite *s = suite_create("virtio_blk");
    TCase *c = tcase_create("virtio_blk");
    tcase_set_timeout(c, 120);                   // a hang detector
    tcase_add_checked_fixture(c, setup, blk_rig_teardown);
    tcase_add_test(c, negotiates_only_what_it_knows);
    tcase_add_test(c, moves_every_length);
    tcase_add_test(c, many_in_flight_and_around_the_rings);
    tcase_add_test(c, flush_and_errors);
    tcase_add_test(c, a_device_that_hangs_is_stopped);
    tcase_add_test(c, hostile_rings_stop_the_device);
    tcase_add_test(c, interrupts_mask_and_look_again);
    tcase_add_test(c, what_cannot_be_used_is_refused);
    suite_add_tcase(s, c);
    return suite_run(s);
}
