// What the loader told us, copied out of its memory before anything is allocated:
// command line, memory map, modules, ACPI's root pointer, framebuffer.
#pragma once

#include "base/status.h"
#include "base/types.h"

#define BOOT_RANGES_MAX 256
#define BOOT_MODULES_MAX 8
#define BOOT_CMDLINE_MAX 2048

enum boot_range_type {               // Multiboot2 3.6.8
    BOOT_RANGE_RAM = 1, BOOT_RANGE_RESERVED = 2, BOOT_RANGE_ACPI = 3, BOOT_RANGE_NVS = 4,
    BOOT_RANGE_BAD = 5,
};
struct boot_range { u64 base, len_bytes; u32 type; };
struct boot_module { char name[64]; u64 pa, len_bytes; };
struct boot_framebuffer {
    u64 pa;
    u32 pitch_bytes, width, height;
    u8 bits_per_pixel;
    enum { BOOT_FB_NONE, BOOT_FB_RGB, BOOT_FB_TEXT } kind;
    u8 red_shift, green_shift, blue_shift;
};

struct boot_info {
    char cmdline[BOOT_CMDLINE_MAX];
    bool cmdline_cut;
    struct boot_range range[BOOT_RANGES_MAX];
    u32 range_count, ranges_dropped;
    struct boot_module module[BOOT_MODULES_MAX];
    u32 module_count, modules_dropped;
    u8 rsdp[36];
    u32 rsdp_bytes;                  // 0: none
    struct boot_framebuffer fb;
};
extern struct boot_info boot_info;

// Fills boot_info from the loader's structure at this physical address (below 4 GiB).
status_t boot_info_parse(u64 mbi_pa);
