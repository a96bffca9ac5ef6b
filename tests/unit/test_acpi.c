// links: kernel/acpi.c
// A forged set of tables, old and new root pointer: what is taken, and that a wrong
// checksum, a wrong length or a missing table is E_NODEV.
#include <check.h>
#include <string.h>

#include "base/status.h"
#include "kernel/acpi.h"
#include "tests/unit/suite_run.h"

static u8 memory[4096];
#define ROOT_PA 256u
#define OTHER_PA 512u
#define MADT_PA 1024u

static const void *map(paddr_t pa, u64 len_bytes) {
    return len_bytes <= sizeof memory && pa.v <= sizeof memory - len_bytes ? memory + pa.v : NULL;
}

static void put32(u8 *at, u32 v) { memcpy(at, &v, 4); }

static void sum(u8 *p, u32 len, u32 at) {
    u8 total = 0;
    p[at] = 0;
    for (u32 i = 0; i < len; i++) total = (u8)(total + p[i]);
    p[at] = (u8)(0 - total);
}

static void table(u32 pa, const char *signature, u32 len) {
    memcpy(memory + pa, signature, 4);
    put32(memory + pa + 4, len);
    sum(memory + pa, len, 9);
}

static const u8 entries[] = {
    0, 8, 0, 0, 1, 0, 0, 0,                          // CPU, APIC id 0
    0, 8, 1, 7, 1, 0, 0, 0,                          // CPU, APIC id 7
    0, 8, 2, 9, 0, 0, 0, 0,                          // CPU, not enabled
    9, 16, 0, 0, 0x2c, 1, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0,  // x2APIC id 300
    1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 24, 0, 0, 0,      // I/O APIC at 0xfec00000 from GSI 24
    2, 10, 0, 0, 2, 0, 0, 0, 0, 0,                   // IRQ 0 is GSI 2
    2, 10, 0, 9, 9, 0, 0, 0, 15, 0,                  // IRQ 9: low, level
    99, 4, 0, 0,                                     // unknown, skipped
    5, 12, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,             // LAPIC at 4 GiB
};

static void build(u8 rsdp[36], bool extended) {
    memset(memory, 0, sizeof memory);
    memset(rsdp, 0, 36);
    put32(memory + MADT_PA + 36, 0xfee00000);
    memcpy(memory + MADT_PA + 44, entries, sizeof entries);
    table(MADT_PA, "APIC", 44 + sizeof entries);
    table(OTHER_PA, "FACP", 36);
    const u32 width = extended ? 8 : 4;
    put32(memory + ROOT_PA + 36, OTHER_PA);
    put32(memory + ROOT_PA + 36 + width, MADT_PA);
    table(ROOT_PA, extended ? "XSDT" : "RSDT", 36 + 2 * width);
    memcpy(rsdp, "RSD PTR ", 8);
    rsdp[15] = extended ? 2 : 0;
    put32(rsdp + 16, extended ? 0 : ROOT_PA);
    put32(rsdp + 20, 36);
    put32(rsdp + 24, extended ? ROOT_PA : 0);
    sum(rsdp, 20, 8);
}

START_TEST(both_roots) {
    for (u32 extended = 0; extended < 2; extended++) {
        u8 rsdp[36];
        struct acpi_info info;
        build(rsdp, extended);
        ck_assert_int_eq(acpi_parse(rsdp, extended ? 36 : 20, map, &info), S_OK);
        ck_assert_uint_eq(info.cpu_count, 3);
        ck_assert_uint_eq(info.cpu_apic_id[0], 0);
        ck_assert_uint_eq(info.cpu_apic_id[1], 7);
        ck_assert_uint_eq(info.cpu_apic_id[2], 300);
        ck_assert_uint_eq(info.ioapic_count, 1);
        ck_assert_uint_eq(info.ioapic[0].pa, 0xfec00000);
        ck_assert_uint_eq(info.ioapic[0].gsi_base, 24);
        ck_assert_uint_eq(info.override_count, 2);
        ck_assert(info.override[0].isa_irq == 0 && info.override[0].gsi == 2);
        ck_assert(!info.override[0].active_low && !info.override[0].level);
        ck_assert(info.override[1].active_low && info.override[1].level);
        ck_assert_uint_eq(info.lapic_pa, 1ull << 32);
    }
}
END_TEST

START_TEST(bad_tables) {
    u8 rsdp[36];
    struct acpi_info info;
    build(rsdp, false);
    ck_assert_int_eq(acpi_parse(rsdp, 0, map, &info), E_NODEV);
    ck_assert_int_eq(acpi_parse(rsdp, 19, map, &info), E_NODEV);
    rsdp[9] ^= 1;
    ck_assert_int_eq(acpi_parse(rsdp, 20, map, &info), E_NODEV);
    build(rsdp, false);
    memory[MADT_PA + 50] ^= 1;
    ck_assert_int_eq(acpi_parse(rsdp, 20, map, &info), E_NODEV);
    ck_assert_uint_eq(info.cpu_count, 0);
    build(rsdp, false);
    put32(memory + MADT_PA + 4, 0xffffffff);
    ck_assert_int_eq(acpi_parse(rsdp, 20, map, &info), E_NODEV);
    build(rsdp, false);
    memory[MADT_PA + 44 + 1] = 0;                    // an entry of no length ends the walk
    sum(memory + MADT_PA, 44 + sizeof entries, 9);
    ck_assert_int_eq(acpi_parse(rsdp, 20, map, &info), S_OK);
    ck_assert_uint_eq(info.cpu_count, 0);
}
END_TEST

int main(void) {
    Suite *s = suite_create("acpi");
    TCase *t = tcase_create("acpi");
    tcase_add_test(t, both_roots);
    tcase_add_test(t, bad_tables);
    suite_add_tcase(s, t);
    return suite_run(s);
}
