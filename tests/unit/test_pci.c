// PCI enumeration, BARs and capabilities, against a small model of config space.
// links: drivers/pci/pci.c
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "drivers/pci/pci.h"
#include "tests/unit/suite_run.h"

struct model_fn { u32 bdf; u32 reg[64]; u32 bar_mask[6]; };
static struct model_fn fns[4];
static u32 fn_count;

static struct model_fn *model_find(u32 bdf) {
    for (u32 i = 0; i < fn_count; i++)
        if (fns[i].bdf == bdf) return &fns[i];
    return NULL;
}
static u32 model_read(u32 bdf, u32 offset) {
    struct model_fn *f = model_find(bdf);
    ck_assert_uint_eq(offset & 3, 0);
    return f ? f->reg[offset / 4] : ~0u;
}
static void model_write(u32 bdf, u32 offset, u32 value) {
    struct model_fn *f = model_find(bdf);
    ck_assert_ptr_nonnull(f);
    if (offset >= 0x10 && offset < 0x28) {
        u32 bar = (offset - 0x10) / 4, fixed = f->bar_mask[bar] & 0xf;
        ck_assert_uint_eq(f->reg[1] & 3, 0);    // decoding is off while BARs change
        if (f->bar_mask[bar] != ~0u)              // ~0: upper half of a 64-bit BAR
            value = f->bar_mask[bar] ? (value & f->bar_mask[bar] & ~0xfu) | fixed : 0;
    }
    if (offset == 4) value = (f->reg[1] & 0xffff0000u) | (value & 0xffff);
    f->reg[offset / 4] = value;
}
static const struct pci_cfg cfg = {model_read, model_write};

static void setup(void) {
    fn_count = 3;
    memset(fns, 0, sizeof fns);
    fns[0] = (struct model_fn){.bdf = PCI_BDF(0, 0, 0),
                               .reg = {[0] = 0x12378086, [2] = 0x06000002}};
    fns[1] = (struct model_fn){.bdf = PCI_BDF(0, 3, 0),    // a bridge to bus 2
                               .reg = {[0] = 0x000c1b36, [3] = 0x00010000, [6] = 0x00020200}};
    fns[2] = (struct model_fn){.bdf = PCI_BDF(2, 0, 0), .bar_mask = {0xfffe0000, 0, 0xffffffe1,
                                   0, 0xff000004, 0xffffffff},
                               .reg = {[0] = 0x10d38086, [1] = 0x00100003, [2] = 0x02000000,
                                   [4] = 0xfeb80000, [6] = 0xc001, [8] = 0xc0000004, [9] = 1,
                                   [13] = 0xc8, [15] = 0x010b, [0xc8 / 4] = 0xd001,
                                   [0xd0 / 4] = 0x00800005}};
}

struct seen { u32 count; struct pci_dev last; };
static bool note(void *ctx, const struct pci_dev *dev) {
    struct seen *s = ctx;
    s->count++;
    s->last = *dev;
    return false;
}

START_TEST(scan_goes_behind_bridges) {
    struct seen s = {0};
    pci_scan(&cfg, note, &s);
    ck_assert_uint_eq(s.count, 2);
    ck_assert_uint_eq(s.last.bdf, PCI_BDF(2, 0, 0));
    ck_assert_uint_eq(s.last.vendor, 0x8086);
    ck_assert_uint_eq(s.last.device, 0x10d3);
    ck_assert_uint_eq(s.last.class_code, 2);
    ck_assert_uint_eq(s.last.irq_line, 11);
    ck_assert_uint_eq(s.last.irq_pin, 1);
}
END_TEST

START_TEST(scan_ends_on_a_bridge_loop) {
    fns[1].reg[6] = 0x00000000;                 // secondary 0: not numbered
    struct seen s = {0};
    pci_scan(&cfg, note, &s);
    ck_assert_uint_eq(s.count, 1);
    fns[3] = (struct model_fn){.bdf = PCI_BDF(2, 1, 0),    // a bridge back to bus 2
                               .reg = {[0] = 0x000c1b36, [3] = 0x00010000, [6] = 0x00020200}};
    fns[1].reg[6] = 0x00020200;
    fn_count = 4;
    s.count = 0;
    pci_scan(&cfg, note, &s);
    ck_assert_uint_eq(s.count, 2);
}
END_TEST

START_TEST(bars) {
    struct pci_bar bar;
    ck_assert_int_eq(pci_bar_read(&cfg, PCI_BDF(2, 0, 0), 0, &bar), S_OK);
    ck_assert_uint_eq(bar.pa.v, 0xfeb80000);
    ck_assert_uint_eq(bar.len_bytes, 0x20000);
    ck_assert_uint_eq(fns[2].reg[4], 0xfeb80000);          // put back
    ck_assert_uint_eq(fns[2].reg[1] & 0xffff, 3);
    ck_assert_int_eq(pci_bar_read(&cfg, PCI_BDF(2, 0, 0), 2, &bar), S_OK);
    ck_assert_uint_eq(bar.port, 0xc000);
    ck_assert_uint_eq(bar.len_bytes, 0x20);
    ck_assert_int_eq(pci_bar_read(&cfg, PCI_BDF(2, 0, 0), 4, &bar), S_OK);
    ck_assert_uint_eq(bar.pa.v, 0x1c0000000ull);
    ck_assert_uint_eq(bar.len_bytes, 0x1000000);
    ck_assert_int_eq(pci_bar_read(&cfg, PCI_BDF(2, 0, 0), 1, &bar), E_NODEV);
    ck_assert_int_eq(pci_bar_read(&cfg, PCI_BDF(2, 0, 0), 6, &bar), E_INVAL);
}
END_TEST

START_TEST(msi) {
    u32 bdf = PCI_BDF(2, 0, 0);
    ck_assert_uint_eq(pci_cap_find(&cfg, bdf, PCI_CAP_MSI), 0xd0);
    ck_assert_uint_eq(pci_cap_find(&cfg, bdf, PCI_CAP_MSIX), 0);
    ck_assert_int_eq(pci_msi_enable(&cfg, bdf, 0xfee01000, 0x41), S_OK);
    ck_assert_uint_eq(fns[2].reg[0xd4 / 4], 0xfee01000);
    ck_assert_uint_eq(fns[2].reg[0xd8 / 4], 0);
    ck_assert_uint_eq(fns[2].reg[0xdc / 4] & 0xffff, 0x41);
    ck_assert_uint_ne(fns[2].reg[0xd0 / 4] & (1 << 16), 0);
    ck_assert_uint_ne(fns[2].reg[1] & (1 << 10), 0);
    ck_assert_int_eq(pci_msi_enable(&cfg, PCI_BDF(0, 0, 0), 0xfee01000, 0x41), E_NODEV);
    fns[2].reg[0xd0 / 4] = 0xd005 & ~0x5u;                 // a list that bites its tail
    ck_assert_uint_eq(pci_cap_find(&cfg, bdf, PCI_CAP_MSI), 0);
}
END_TEST

START_TEST(msix) {
    const u32 bdf = PCI_BDF(2, 0, 0);
    struct pci_msix m;
    ck_assert_int_eq(pci_msix_find(&cfg, bdf, &m), E_NODEV);
    fns[2].reg[0xd0 / 4] |= 0xe000;
    fns[2].reg[0xe0 / 4] = 0xc0040011;                     // enabled and masked by someone; 5
    fns[2].reg[0xe4 / 4] = 0x1fb0 | 4;                     // in BAR 4
    ck_assert_int_eq(pci_msix_find(&cfg, bdf, &m), S_OK);
    ck_assert_uint_eq(m.cap, 0xe0);
    ck_assert_uint_eq(m.entries, 5);
    ck_assert_uint_eq(m.table.v, 0x1c0001fb0ull);
    pci_msix_enable(&cfg, bdf, &m);
    ck_assert_uint_eq(fns[2].reg[0xe0 / 4], 0x80040011);
    ck_assert_uint_ne(fns[2].reg[1] & (1 << 10), 0);
    fns[2].reg[0xe4 / 4] = 0x1ffb0;                        // the sixth is beyond BAR 0's end
    fns[2].reg[0xe0 / 4] = 0x00050011;
    ck_assert_int_eq(pci_msix_find(&cfg, bdf, &m), E_NODEV);
    fns[2].reg[0xe4 / 4] = 2;                              // an I/O BAR
    ck_assert_int_eq(pci_msix_find(&cfg, bdf, &m), E_NODEV);
    fns[2].reg[0xe4 / 4] = 7;                              // there is no BAR 7
    ck_assert_int_eq(pci_msix_find(&cfg, bdf, &m), E_NODEV);
}
END_TEST

int main(void) {
    Suite *s = suite_create("pci");
    TCase *t = tcase_create("pci");
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, scan_goes_behind_bridges);
    tcase_add_test(t, scan_ends_on_a_bridge_loop);
    tcase_add_test(t, bars);
    tcase_add_test(t, msi);
    tcase_add_test(t, msix);
    suite_add_tcase(s, t);
    return suite_run(s);
}
