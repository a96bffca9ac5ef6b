// Finds the MADT and reads it. Called once at boot; pure but for the mapping function,
// so host tests link it too. Every length is checked against its table.
// Spec: ACPI 6.5: 5.2.5 (RSDP), 5.2.7 (RSDT), 5.2.8 (XSDT), 5.2.12 (MADT).
#include "kernel/acpi.h"

#include "base/string.h"

#define ACPI_TABLES_MAX 128
#define ACPI_TABLE_BYTES_MAX (1u << 20)

struct sdt { char signature[4]; u32 len_bytes; u8 rest[28]; } __attribute__((packed));
struct madt { struct sdt head; u32 lapic_pa, flags; u8 entries[]; } __attribute__((packed));
_Static_assert(sizeof(struct sdt) == 36, "ACPI 5.2.6");

enum madt_type {
    MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_ADDRESS = 5, MADT_X2APIC = 9,
};
#define LAPIC_ENABLED 1u
#define RSDP_V1_BYTES 20u
#define RSDP_V2_BYTES 36u

static u16 get16(const u8 *p) { return (u16)(p[0] | p[1] << 8); }
static u32 get32(const u8 *p) { return get16(p) | (u32)get16(p + 2) << 16; }
static u64 get64(const u8 *p) { return get32(p) | (u64)get32(p + 4) << 32; }

static bool sum_ok(const u8 *p, u32 len) {
    u8 sum = 0;
    for (u32 i = 0; i < len; i++) sum = (u8)(sum + p[i]);
    return sum == 0;
}

// The whole table at pa, checked, or NULL.
static const struct sdt *table_at(u64 pa, const void *(*map)(paddr_t, u64)) {
    const struct sdt *t = pa ? map(paddr(pa), sizeof *t) : NULL;
    if (!t || t->len_bytes < sizeof *t || t->len_bytes > ACPI_TABLE_BYTES_MAX) return NULL;
    t = map(paddr(pa), t->len_bytes);
    return t && sum_ok((const u8 *)t, t->len_bytes) ? t : NULL;
}

static const struct sdt *find_madt(const u8 *rsdp, u32 rsdp_bytes,
                                   const void *(*map)(paddr_t, u64)) {
    if (rsdp_bytes < RSDP_V1_BYTES || memcmp(rsdp, "RSD PTR ", 8) != 0 ||
        !sum_ok(rsdp, RSDP_V1_BYTES))
        return NULL;
    const bool extended = rsdp_bytes >= RSDP_V2_BYTES && rsdp[15] >= 2 && get64(rsdp + 24);
    const u32 width = extended ? 8 : 4;
    const struct sdt *root = table_at(extended ? get64(rsdp + 24) : get32(rsdp + 16), map);
    if (!root) return NULL;
    const u8 *entries = (const u8 *)root + sizeof *root;
    const u32 count = (root->len_bytes - (u32)sizeof *root) / width;
    for (u32 i = 0; i < count && i < ACPI_TABLES_MAX; i++) {
        const u8 *e = entries + i * width;
        const struct sdt *t = table_at(width == 8 ? get64(e) : get32(e), map);
        if (t && memcmp(t->signature, "APIC", 4) == 0) return t;
    }
    return NULL;
}

static void add_cpu(struct acpi_info *info, u32 apic_id, u32 flags) {
    if (!(flags & LAPIC_ENABLED)) return;
    if (info->cpu_count == ACPI_CPUS_MAX) info->cpus_dropped++;
    else info->cpu_apic_id[info->cpu_count++] = apic_id;
}

static void add_override(struct acpi_info *info, const u8 *e) {
    if (info->override_count == ACPI_OVERRIDES_MAX) return;
    const u16 flags = get16(e + 8);  // MPS INTI flags: polarity 1..0, trigger 3..2
    info->override[info->override_count++] = (struct acpi_override){
        e[3], get32(e + 4), (flags & 3) == 3, (flags >> 2 & 3) == 3};
}

static void take_entry(struct acpi_info *info, const u8 *e, u32 len) {
    switch (e[0]) {
    case MADT_LAPIC:
        if (len >= 8) add_cpu(info, e[3], get32(e + 4));
        break;
    case MADT_X2APIC:
        if (len >= 16) add_cpu(info, get32(e + 4), get32(e + 8));
        break;
    case MADT_IOAPIC:
        if (len >= 12 && info->ioapic_count < ACPI_IOAPICS_MAX)
            info->ioapic[info->ioapic_count++] =
                (struct acpi_ioapic){get32(e + 4), get32(e + 8)};
        break;
    case MADT_OVERRIDE:
        if (len >= 10) add_override(info, e);
        break;
    case MADT_LAPIC_ADDRESS:
        if (len >= 12) info->lapic_pa = get64(e + 4);
        break;
    default:
        break;
    }
}

// See acpi.h.
status_t acpi_parse(const u8 *rsdp, u32 rsdp_bytes,
                    const void *(*map)(paddr_t pa, u64 len_bytes), struct acpi_info *info) {
    *info = (struct acpi_info){0};
    const struct madt *m = (const void *)find_madt(rsdp, rsdp_bytes, map);
    if (!m || m->head.len_bytes < sizeof *m) return E_NODEV;
    info->lapic_pa = m->lapic_pa;
    const u8 *e = m->entries, *end = (const u8 *)m + m->head.len_bytes;
    while (end - e >= 2 && e[1] >= 2 && e[1] <= end - e) {
        take_entry(info, e, e[1]);
        e += e[1];
    }
    return S_OK;
}
