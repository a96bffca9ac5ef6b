// The NVMe driver against a model of a controller: identify, reads and writes of every
// length, many in flight, flush, errors, aborts, a controller that hangs, hostile completions.
// links: drivers/nvme/nvme.c drivers/nvme/nvme_io.c drivers/pci/pci.c
// links: tests/unit/blk_rig.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/nvme/nvme_regs.h"
#include "drivers/blkdev.h"
#include "kernel/x86/mmio.h"
#include "tests/unit/blk_rig.h"
#include "tests/unit/suite_run.h"

#define BLOCKS 1000u

static struct model {
    u32 reg[0x2000 / 4];
    struct nvme_sqe *sq[2];
    struct nvme_cqe *cq[2];
    u32 sq_size[2], sq_head[2], cq_tail[2];
    bool stalled, abort_works, ready_stuck, no_admin;
    u16 fail_code;                       // of reads and writes
    struct nvme_sqe held[64];
    u32 held_count, aborts, flushes, bells;
    u32 block_shift, metadata, mdts;
    bool read_only, master;
    u64 block_count;
    u8 disk[BLOCKS * 4096];
} m;

static void complete(u32 q, u16 cid, u16 code) {
    struct nvme_cqe *e = &m.cq[q][m.cq_tail[q] % m.sq_size[q]];
    const u16 phase = (m.cq_tail[q]++ / m.sq_size[q]) % 2 == 0;
    *e = (struct nvme_cqe){.cid = cid, .status = (u16)(code << 1 | phase)};
}

static void move(const struct nvme_sqe *e) {
    const u64 at = (e->cdw10 | (u64)e->cdw11 << 32) << m.block_shift;
    const u64 len = (u64)(e->cdw12 + 1) << m.block_shift;
    ck_assert_uint_le(at + len, m.block_count << m.block_shift);
    for (u64 done = 0; done < len; done += 4096) {
        u64 pa = e->prp1;
        if (done == 4096 && len <= 8192) pa = e->prp2;
        else if (done) pa = ((const u64 *)e->prp2)[done / 4096 - 1];
        const u64 n = len - done < 4096 ? len - done : 4096;
        if (e->opcode == NVME_READ) memcpy((void *)pa, m.disk + at + done, n);
        else memcpy(m.disk + at + done, (void *)pa, n);
    }
}

static void io_run(const struct nvme_sqe *e) {
    ck_assert_uint_eq(e->nsid, 1);
    if (e->opcode == NVME_FLUSH) m.flushes++;
    else if (!m.fail_code) move(e);
    complete(1, e->cid, m.fail_code);
}

static void identify(const struct nvme_sqe *e) {
    u8 *to = (u8 *)e->prp1;
    if (e->cdw10 == NVME_CNS_CONTROLLER) {
        memset(to + NVME_IDC_MODEL, ' ', 40);
        memcpy(to + NVME_IDC_MODEL, "model", 5);
        to[NVME_IDC_VWC] = 1;
        to[NVME_IDC_MDTS] = (u8)m.mdts;
    } else if (e->cdw10 == NVME_CNS_ACTIVE) {
        to[0] = 1;
    } else {
        memcpy(to, &m.block_count, 8);
        to[NVME_IDN_FLBAS] = 2;
        const u32 format = m.metadata | m.block_shift << 16;
        memcpy(to + NVME_IDN_LBAF + 8, &format, 4);
        to[NVME_IDN_NSATTR] = m.read_only;
    }
}

static void admin_run(const struct nvme_sqe *e) {
    if (m.no_admin) return;
    if (e->opcode == NVME_ADMIN_IDENTIFY) identify(e);
    if (e->opcode == NVME_ADMIN_CREATE_CQ) m.cq[1] = (void *)e->prp1;
    if (e->opcode == NVME_ADMIN_CREATE_SQ) {
        m.sq[1] = (void *)e->prp1;
        m.sq_size[1] = (e->cdw10 >> 16) + 1;
    }
    if (e->opcode == NVME_ADMIN_ABORT) {
        m.aborts++;
        ck_assert_uint_eq(e->cdw10 & 0xffff, 1);
        for (u32 i = 0; m.abort_works && i < m.held_count; i++) {
            if (m.held[i].cid != e->cdw10 >> 16) continue;
            complete(1, m.held[i].cid, 7);
            m.held[i] = m.held[--m.held_count];
            break;
        }
    }
    complete(0, e->cid, 0);
}

static void bell(u32 q, u32 tail) {
    m.bells += q;
    while (m.sq_head[q] != tail) {
        const struct nvme_sqe *e = &m.sq[q][m.sq_head[q]];
        m.sq_head[q] = (m.sq_head[q] + 1) % m.sq_size[q];
        if (q == 0) admin_run(e);
        else if (m.stalled) m.held[m.held_count++] = *e;
        else io_run(e);
    }
}

u32 mmio_get32(volatile void *base, u32 offset) {
    ck_assert_ptr_eq((void *)base, m.reg);
    return m.reg[offset / 4];
}

static void control(u32 value) {
    const bool enable = value & NVME_CC_EN;
    if (enable) {
        m.sq[0] = (void *)(m.reg[NVME_ASQ / 4] | (u64)m.reg[NVME_ASQ / 4 + 1] << 32);
        m.cq[0] = (void *)(m.reg[NVME_ACQ / 4] | (u64)m.reg[NVME_ACQ / 4 + 1] << 32);
        m.sq_size[0] = (m.reg[NVME_AQA / 4] & 0xfff) + 1;
    }
    if (!m.ready_stuck) m.reg[NVME_CSTS / 4] = enable;
}

void mmio_set32(volatile void *base, u32 offset, u32 value) {
    ck_assert_ptr_eq((void *)base, m.reg);
    m.reg[offset / 4] = value;
    if (offset == NVME_CC) control(value);
    if (offset == NVME_DOORBELLS || offset == NVME_DOORBELLS + 8)
        bell((offset - NVME_DOORBELLS) / 8, value);
}

volatile void *blk_rig_map(paddr_t pa, u64 len) { (void)pa; (void)len; return m.reg; }
static u32 bar, command;
static u32 cfg_read(u32 bdf, u32 at) {
    (void)bdf;
    return at == 0x10 ? (bar == ~0u ? 0xffffc000u : 0xfe000000u) : at == 4 ? command : 0;
}
static void cfg_write(u32 bdf, u32 at, u32 value) {
    (void)bdf;
    if (at == 0x10) bar = value;
    if (at == 4) command = value, m.master = value & 4;
}
static const struct pci_cfg cfg = {cfg_read, cfg_write};
static bool open_drive(void) {
    const struct pci_dev pci = {.class_code = 1, .subclass = 8, .prog_if = 2};
    const struct blk_config config = {.env = &blk_env, .cfg = &cfg, .on_irq = on_irq};
    ck_assert(nvme_driver.supports(&pci));
    return nvme_driver.open(&pci, &config, &dev, 1) == 1;
}
static void reset(void) {
    memset(&m, 0, sizeof m);
    m.reg[0] = 2047 | 20u << 24;
    m.reg[1] = 1u << 5;
    m.block_shift = 9;
    m.block_count = BLOCKS;
    for (u32 i = 0; i < sizeof m.disk; i++) m.disk[i] = (u8)(i * 7 + i / 512);
}
static void setup(void) {
    reset();
    blk_rig_setup();
    ck_assert(open_drive());
}
START_TEST(opens_and_says_what_it_is) {
    ck_assert_uint_eq(dev->block_count, BLOCKS);
    ck_assert_uint_eq(dev->block_shift, 9);
    ck_assert_str_eq(dev->model, "model");
    ck_assert_int_eq(strncmp(dev->name, "nvme", 4), 0);
    ck_assert(dev->write_cache && !dev->read_only && m.master);
}
END_TEST

START_TEST(moves_every_length) {
    for (u32 count = 1; count <= 128; count++) {
        ck_assert_int_eq(run(BLK_READ, count, count), S_OK);
        for (u32 i = 0; i < count; i++)
            ck_assert_mem_eq(frames[i / 8] + i % 8 * 512, m.disk + (count + i) * 512, 512);
        for (u32 i = 0; i < BLK_RIG_FRAMES; i++) memset(frames[i], (int)(i + count), 4096);
        ck_assert_int_eq(run(BLK_WRITE, BLOCKS - count, count), S_OK);
        for (u32 i = 0; i < count; i++)
            ck_assert_mem_eq(frames[i / 8], m.disk + (BLOCKS - count + i) * 512, 512);
    }
    ck_assert_uint_eq(dev->counters.blocks_read, 128 * 129 / 2);
    ck_assert_uint_eq(dev->in_flight, 0);
}
END_TEST

START_TEST(refuses_what_makes_no_sense) {
    ck_assert_int_eq(run(BLK_READ, BLOCKS, 1), E_INVAL);
    ck_assert_int_eq(run(BLK_READ, ~0ull, 1), E_INVAL);
    ck_assert_int_eq(run(BLK_READ, BLOCKS - 1, 2), E_INVAL);
    ck_assert_int_eq(run(BLK_READ, 0, 0), E_INVAL);
    struct result x;
    struct blk_request r = request(BLK_READ, 0, 9, &x);
    r.frame_count = 1;                           // 9 blocks need two pages
    ck_assert_int_eq(dev->ops->submit(dev, &r), E_INVAL);
    ck_assert_uint_eq(m.bells, 0);
}
END_TEST

START_TEST(many_in_flight_and_around_the_rings) {
    static struct result x[64];
    static struct blk_request r[64];
    for (u32 round = 0; round < 200; round++) {
        m.stalled = true;
        u32 out = 0;
        for (;; out++) {
            r[out] = request(BLK_READ, out, 1, &x[out]);
            if (dev->ops->submit(dev, &r[out]) != S_OK) break;
        }
        ck_assert_uint_eq(out, 32);
        dev->ops->kick(dev);
        for (u32 i = 0; i < m.held_count; i++) io_run(&m.held[m.held_count - 1 - i]);
        m.held_count = 0;
        dev->ops->poll(dev, clock_ns);
        for (u32 i = 0; i < out; i++) ck_assert(x[i].calls == 1 && x[i].status == S_OK);
    }
    ck_assert_uint_eq(m.bells, 200);             // one doorbell a batch
    ck_assert_uint_eq(dev->counters.in_flight_max, 32);
}
END_TEST

START_TEST(flush_and_errors) {
    ck_assert_int_eq(run(BLK_FLUSH, 0, 0), S_OK);
    ck_assert_uint_eq(m.flushes, 1);
    m.fail_code = 0x281;                         // unrecovered read error
    ck_assert_int_eq(run(BLK_READ, 0, 1), E_IO);
    m.fail_code = 0x182;
    ck_assert_int_eq(run(BLK_WRITE, 0, 1), E_ROFS);
    m.fail_code = 0;
    ck_assert_int_eq(run(BLK_READ, 0, 1), S_OK);
    ck_assert_uint_eq(dev->counters.errors, 2);
}
END_TEST

START_TEST(a_late_command_is_aborted) {
    struct result x;
    struct blk_request r = request(BLK_READ, 0, 1, &x);
    m.stalled = m.abort_works = true;
    ck_assert_int_eq(dev->ops->submit(dev, &r), S_OK);
    dev->ops->kick(dev);
    dev->ops->poll(dev, dev->ops->deadline_ns(dev) - 1);
    ck_assert_uint_eq(m.aborts, 0);
    dev->ops->poll(dev, dev->ops->deadline_ns(dev));
    ck_assert_uint_eq(m.aborts, 1);
    dev->ops->poll(dev, clock_ns);
    ck_assert(x.calls == 1 && x.status == E_TIMEDOUT);
    m.stalled = false;
    ck_assert_int_eq(run(BLK_READ, 0, 1), S_OK);  // and it goes on
}
END_TEST

START_TEST(a_controller_that_hangs_is_stopped) {
    struct result x[2];
    struct blk_request r[2] = {request(BLK_READ, 0, 1, &x[0]), request(BLK_WRITE, 1, 1, &x[1])};
    m.stalled = true;
    for (u32 i = 0; i < 2; i++) ck_assert_int_eq(dev->ops->submit(dev, &r[i]), S_OK);
    dev->ops->kick(dev);
    m.ready_stuck = true;
    u64 at = dev->ops->deadline_ns(dev) + NS_PER_S;
    dev->ops->poll(dev, at);
    dev->ops->poll(dev, at += BLK_ABORT_NS);
    ck_assert_uint_eq(m.reg[NVME_CC / 4] & NVME_CC_EN, 0);
    ck_assert_uint_eq(x[0].calls + x[1].calls, 0);   // it may still write to their memory
    ck_assert_int_eq(run(BLK_READ, 0, 1), E_IO);
    dev->ops->poll(dev, at + 60 * NS_PER_S);
    ck_assert(!m.master && dev->dead);
    for (u32 i = 0; i < 2; i++) ck_assert(x[i].calls == 1 && x[i].status == E_TIMEDOUT);
    ck_assert_uint_eq(dev->ops->deadline_ns(dev), ~0ull);
}
END_TEST

START_TEST(hostile_completions_are_counted) {
    complete(1, 5, 0);
    complete(1, 0xffff, 0);
    dev->ops->poll(dev, clock_ns);
    ck_assert_uint_eq(dev->counters.spurious, 2);
    ck_assert_int_eq(run(BLK_READ, 0, 1), S_OK);
}
END_TEST

START_TEST(interrupts_mask_and_look_again) {
    struct result x;
    struct blk_request r = request(BLK_READ, 0, 1, &x);
    ck_assert(!dev->ops->irq_enable(dev));
    ck_assert_int_eq(dev->ops->submit(dev, &r), S_OK);
    dev->ops->kick(dev);
    irq_handler(irq_arg);
    ck_assert_uint_eq(m.reg[NVME_INTMS / 4], 1);
    ck_assert(dev->ops->irq_enable(dev));        // it is here: poll, do not sleep
    dev->ops->poll(dev, clock_ns);
    ck_assert(!dev->ops->irq_enable(dev));
    ck_assert_uint_eq(x.calls, 1);
}
END_TEST

START_TEST(what_cannot_be_used_is_refused) {
    reset();
    m.ready_stuck = true;
    ck_assert(!open_drive());
    reset();
    m.no_admin = true;
    ck_assert(!open_drive());
    reset();
    m.metadata = 8;
    ck_assert(!open_drive());
    reset();
    m.block_shift = 13;
    ck_assert(!open_drive());
    reset();
    m.block_count = 0;
    ck_assert(!open_drive());
    reset();
    m.block_count = ~0ull;
    ck_assert(!open_drive());
    reset();
    m.reg[0] = 7 | 20u << 24;                    // queues of 8 entries
    ck_assert(!open_drive());
    reset();
    m.block_shift = 12;
    m.mdts = 1;
    m.read_only = true;
    ck_assert(open_drive());
    ck_assert_uint_eq(dev->frames_max, 2);
    ck_assert_int_eq(run(BLK_WRITE, 0, 1), E_ROFS);
    ck_assert_int_eq(run(BLK_READ, 0, 3), E_INVAL);
    ck_assert_int_eq(run(BLK_READ, 0, 2), S_OK);
}
END_TEST

int main(void) {
    Suite *s = suite_create("nvme");
    TCase *c = tcase_create("nvme");
    tcase_set_timeout(c, 120);                   // a hang detector
    tcase_add_checked_fixture(c, setup, blk_rig_teardown);
    tcase_add_test(c, opens_and_says_what_it_is);
    tcase_add_test(c, moves_every_length);
    tcase_add_test(c, refuses_what_makes_no_sense);
    tcase_add_test(c, many_in_flight_and_around_the_rings);
    tcase_add_test(c, flush_and_errors);
    tcase_add_test(c, a_late_command_is_aborted);
    tcase_add_test(c, a_controller_that_hangs_is_stopped);
    tcase_add_test(c, hostile_completions_are_counted);
    tcase_add_test(c, interrupts_mask_and_look_again);
    tcase_add_test(c, what_cannot_be_used_is_refused);
    suite_add_tcase(s, c);
    return suite_run(s);
}
