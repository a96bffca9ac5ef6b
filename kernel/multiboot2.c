// Reads the loader's tags into boot_info. Called once, on the boot tables, before
// any memory is allocated. Spec: Multiboot2 Specification 2.0, 3.6.
#include "kernel/boot_info.h"

#include "base/bits.h"
#include "base/string.h"
#include "mm/frame.h"

struct boot_info boot_info;

enum mb2_tag {
    MB2_END = 0, MB2_CMDLINE = 1, MB2_MODULE = 3, MB2_MMAP = 6, MB2_FRAMEBUFFER = 8,
    MB2_RSDP_OLD = 14, MB2_RSDP_NEW = 15,
};
#define MB2_TAGS_MAX 4096u           // limit of the walk

struct mb2_header { u32 type, size_bytes; };
struct mb2_mmap { struct mb2_header h; u32 entry_size, entry_version; };
struct mb2_mmap_entry { u64 base, len; u32 type, zero; };
struct mb2_module { struct mb2_header h; u32 start, end; char text[]; };
struct mb2_framebuffer {
    struct mb2_header h;
    u32 addr_low, addr_high, pitch, width, height;
    u8 bpp, type;
    u16 reserved;
    u8 color[6];                     // RGB: red position, size, green.., blue..
};

static void cut_copy(char *to, size_t size, const char *from, size_t max) {
    size_t n = 0;
    while (n + 1 < size && n < max && from[n]) {
        to[n] = from[n];
        n++;
    }
    to[n] = 0;
}

static void take_mmap(const struct mb2_mmap *m) {
    if (m->entry_size < sizeof(struct mb2_mmap_entry)) return;
    for (u32 at = sizeof *m; at + m->entry_size <= m->h.size_bytes; at += m->entry_size) {
        const struct mb2_mmap_entry *e = (const void *)((const u8 *)m + at);
        if (boot_info.range_count == BOOT_RANGES_MAX) {
            boot_info.ranges_dropped++;
            continue;
        }
        boot_info.range[boot_info.range_count++] =
            (struct boot_range){e->base, e->len, e->type};
    }
}

static void take_module(const struct mb2_module *m) {
    if (boot_info.module_count == BOOT_MODULES_MAX) {
        boot_info.modules_dropped++;
        return;
    }
    struct boot_module *b = &boot_info.module[boot_info.module_count++];
    size_t max = m->h.size_bytes - sizeof *m, len = 0;
    while (len < max && m->text[len] && m->text[len] != ' ') len++;
    cut_copy(b->name, sizeof b->name, m->text, len);
    b->pa = m->start;
    b->len_bytes = m->end - m->start;
}

static void take_framebuffer(const struct mb2_framebuffer *f) {
    struct boot_framebuffer *fb = &boot_info.fb;
    fb->pa = f->addr_low | ((u64)f->addr_high << 32);
    fb->pitch_bytes = f->pitch;
    fb->width = f->width;
    fb->height = f->height;
    fb->bits_per_pixel = f->bpp;
    fb->kind = f->type == 2 ? BOOT_FB_TEXT : f->type == 1 ? BOOT_FB_RGB : BOOT_FB_NONE;
    fb->red_shift = f->color[0];
    fb->green_shift = f->color[2];
    fb->blue_shift = f->color[4];
}

static void take_rsdp(const struct mb2_header *h) {
    u32 len = h->size_bytes - (u32)sizeof *h;
    if (len > sizeof boot_info.rsdp) len = sizeof boot_info.rsdp;
    if (len <= boot_info.rsdp_bytes) return;     // the newer one has been seen
    memcpy(boot_info.rsdp, h + 1, len);
    boot_info.rsdp_bytes = len;
}

static void take_tag(const struct mb2_header *h) {
    const u32 payload = h->size_bytes - (u32)sizeof *h;
    switch (h->type) {
    case MB2_CMDLINE:
        cut_copy(boot_info.cmdline, sizeof boot_info.cmdline, (const char *)(h + 1), payload);
        boot_info.cmdline_cut = payload > sizeof boot_info.cmdline;
        break;
    case MB2_MODULE:
        if (h->size_bytes >= sizeof(struct mb2_module)) take_module((const void *)h);
        break;
    case MB2_MMAP:
        if (h->size_bytes >= sizeof(struct mb2_mmap)) take_mmap((const void *)h);
        break;
    case MB2_FRAMEBUFFER:
        if (h->size_bytes >= offsetof(struct mb2_framebuffer, color))
            take_framebuffer((const void *)h);
        break;
    case MB2_RSDP_OLD:
    case MB2_RSDP_NEW:
        take_rsdp(h);
        break;
    default:
        break;
    }
}

// Copies what we use of the loader's tags.
//   mbi_pa: physical address of the information structure, below 4 GiB
// E_INVAL where there is no memory map. Boot only. Spec: Multiboot2 3.6.
status_t boot_info_parse(u64 mbi_pa) {
    const u8 *mbi = phys_to_virt(paddr(mbi_pa));
    const u32 total = *(const u32 *)(const void *)mbi;
    u32 at = 8;
    for (u32 i = 0; i < MB2_TAGS_MAX && at + sizeof(struct mb2_header) <= total; i++) {
        const struct mb2_header *h = (const void *)(mbi + at);
        if (h->type == MB2_END || h->size_bytes < sizeof *h || at + h->size_bytes > total) break;
        take_tag(h);
        at += ALIGN_UP(h->size_bytes, 8u);
    }
    return boot_info.range_count ? S_OK : E_INVAL;
}
