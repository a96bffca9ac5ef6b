// Any bytes as kernel options, as cluster.conf, and as ACPI tables. The first byte picks
// which. What is refused must say so, and nothing outside the given bytes is read.
// links: kernel/options.c kernel/format.c kernel/acpi.c
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "kernel/acpi.h"
#include "kernel/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static u32 said;
static void report(void *ctx, const char *text) {
    (void)ctx;
    ASSERT(strlen(text) > 10);
    said++;
}

static void try_options(const u8 *data, size_t size) {
    char *words = malloc(size + 1);
    memcpy(words, data, size);
    words[size] = 0;
    struct options o;
    options_defaults(&o);
    ASSERT(options_parse(words, &o, report, NULL) == said);
    ASSERT(o.desc_count >= PROC_COUNT_MIN && o.desc_count <= PROC_COUNT_MAX);
    free(words);
}

static void try_conf(const u8 *data, size_t size) {
    static struct cluster_conf conf;
    const u32 errors = cluster_conf_parse(data, size, &conf, report, NULL);
    ASSERT(errors == said && conf.valid == (errors == 0));
}

// Memory is the input, at physical address 0; a mapping is a copy of the very size.
static const u8 *memory;
static size_t memory_bytes;
static void *copies[64];
static u32 copy_count;

static const void *map(paddr_t pa, u64 len_bytes) {
    if (copy_count == 64 || len_bytes > memory_bytes || pa.v > memory_bytes - len_bytes)
        return NULL;
    void *p = malloc(len_bytes);
    memcpy(p, memory + pa.v, len_bytes);
    return copies[copy_count++] = p;
}

static u8 fix_sum(u8 *p, size_t len, size_t at) {
    u8 sum = 0;
    p[at] = 0;
    for (size_t i = 0; i < len; i++) sum = (u8)(sum + p[i]);
    return p[at] = (u8)(0 - sum);
}

// Root pointer, root table at 64, MADT at 128: their frame is set right, so that the
// fuzzer's bytes get behind the checksums.
static void try_acpi(const u8 *data, size_t size) {
    if (size < 256) return;
    u8 *m = malloc(size);
    memcpy(m, data, size);
    memcpy(m, "RSD PTR ", 8);
    m[15] = 0;
    const u32 root = 64, madt = 128, root_len = 40, madt_len = (u32)size - 128;
    memcpy(m + 16, &root, 4);
    fix_sum(m, 20, 8);
    memcpy(m + 64 + 4, &root_len, 4);
    memcpy(m + 64 + 36, &madt, 4);
    fix_sum(m + 64, root_len, 9);
    memcpy(m + 128, "APIC", 4);
    memcpy(m + 128 + 4, &madt_len, 4);
    fix_sum(m + 128, madt_len, 9);
    memory = m;
    memory_bytes = size;
    copy_count = 0;
    static struct acpi_info info;
    ASSERT(acpi_parse(m, 20, map, &info) == S_OK);
    ASSERT(info.cpu_count <= ACPI_CPUS_MAX && info.ioapic_count <= ACPI_IOAPICS_MAX);
    for (u32 i = 0; i < copy_count; i++) free(copies[i]);
    free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    said = 0;
    if (data[0] % 3 == 0) try_options(data + 1, size - 1);
    if (data[0] % 3 == 1) try_conf(data + 1, size - 1);
    if (data[0] % 3 == 2) try_acpi(data + 1, size - 1);
    return 0;
}
