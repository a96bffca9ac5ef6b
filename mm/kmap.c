// Builds and owns the kernel's page tables. Boot calls kmap_init; drivers map registers
// through mmio_map (hw_env) at their start. W^X: text RX, rodata R, data RW+NX, also in
// the direct map; guard pages below the stacks are unmapped. Lock: kmap_lock for the
// MMIO area. Spec: SDM Vol. 3A 4.5, 11.12 (PAT).
#include "mm/kmap.h"

#include "base/assert.h"
#include "base/bits.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/msr.h"
#include "kernel/x86/spinlock.h"
#include "kernel/x86/trap.h"
#include "mm/aspace.h"

#define HUGE_SIZE (2 * MIB)
#define PAT_WC_SLOT PTE_PWT          // slot 1: reprogrammed from WT to WC
#define PAT_VALUE 0x0007040600070106ull

extern const u8 kernel_text_start[], kernel_text_end[], kernel_rodata_start[], kernel_rodata_end[],
    kernel_end[];

static struct spinlock kmap_lock = SPINLOCK_INIT(LOCK_RANK_TIMER, "kmap");
static pte_t *root;
static u64 mmio_next = MMIO_BASE;    // under kmap_lock

static u64 global(void) { return cpu_features.pge ? PTE_G : 0; }

static u64 user(u64 va) { return va >= KMAP_SHOWN_BASE && va < KMAP_SHOWN_END ? PTE_U : 0; }

// The entry for va at `level` (1: 4 KiB, 2: 2 MiB), making tables above it. NULL: no frame.
static pte_t *entry_make(u64 va, u32 level) {
    pte_t *table = root;
    for (u32 l = PTE_LEVELS; l > level; l--) {
        pte_t *e = &table[va >> (PAGE_SHIFT + 9 * (l - 1)) & (PTE_COUNT - 1)];
        if (!(*e & PTE_P)) {
            const paddr_t pa = frame_alloc(FRAME_KERNEL);
            if (!pa.v) return NULL;
            *e = pa.v | PTE_P | PTE_W | user(va);
        }
        table = phys_to_virt(pte_frame(*e));
    }
    return &table[va >> (PAGE_SHIFT + 9 * (level - 1)) & (PTE_COUNT - 1)];
}

static void map_page(u64 va, u64 pa, u64 flags) {
    pte_t *e = entry_make(va, 1);
    if (!e) panic("no memory for the kernel's page tables");
    *e = pa | PTE_P | global() | user(va) | flags;
}

static u64 image_pa(const u8 *symbol) { return (u64)symbol - KERNEL_VMA; }

static bool is_read_only(u64 pa) {
    return pa >= image_pa(kernel_text_start) && pa < image_pa(kernel_rodata_end);
}

static void map_image(void) {
    for (u64 pa = image_pa(kernel_text_start); pa < image_pa(kernel_end); pa += PAGE_SIZE) {
        const u64 va = pa + KERNEL_VMA;
        if (cpu_is_guard_page(va)) continue;
        map_page(va, pa, pa < image_pa(kernel_text_end) ? 0
                         : is_read_only(pa)             ? pt_no_exec()
                                                        : pt_no_exec() | PTE_W);
    }
}

static void map_direct(u64 base, u64 end) {
    for (u64 pa = ALIGN_DOWN(base, HUGE_SIZE); pa < end; pa += HUGE_SIZE) {
        const u64 va = DIRECT_MAP_BASE + pa;
        if (pa < image_pa(kernel_rodata_end) && pa + HUGE_SIZE > image_pa(kernel_text_start)) {
            for (u64 at = pa; at < pa + HUGE_SIZE; at += PAGE_SIZE)
                map_page(DIRECT_MAP_BASE + at, at, pt_no_exec() | (is_read_only(at) ? 0 : PTE_W));
            continue;
        }
        pte_t *e = entry_make(va, 2);
        if (!e) panic("no memory for the direct map");
        *e = pa | PTE_P | PTE_W | PTE_PS | global() | pt_no_exec();
    }
}

// Builds the kernel's tables and leaves the boot ones. Boot only, CPU 0.
//   ram: ram_count ranges to map directly (RAM and what firmware keeps in RAM)
void kmap_init(const struct frame_range *ram, u32 ram_count) {
    const paddr_t pa = frame_alloc(FRAME_KERNEL);
    if (!pa.v) panic("no memory for the kernel's page tables");
    root = phys_to_virt(pa);
    map_image();
    for (u32 i = 0; i < ram_count; i++) map_direct(ram[i].base, ram[i].base + ram[i].len_bytes);
    // The root's upper half is complete from here on: address spaces copy it.
    if (!entry_make(MMIO_BASE, 3)) panic("no memory for the device map");
    if (!entry_make(KMAP_SHOWN_BASE, 3)) panic("no memory for the kernel's page tables");
    kmap_use();
}

// Switches the calling CPU to the kernel's tables; address 0 is unmapped from here on.
void kmap_use(void) {
    wrmsr(MSR_PAT, PAT_VALUE);
    const u64 pa = virt_to_phys(root).v;
    cr3_write(pa);
}

void kmap_show(u64 va, const void *page, bool execute) {
    map_page(va, image_pa(page), execute ? 0 : pt_no_exec());
}

// Physical address of the kernel's PML4, whose entries 256..511 all address spaces share.
paddr_t kmap_root(void) { return virt_to_phys(root); }

static volatile void *map_device(paddr_t pa, u64 len_bytes, u64 flags) {
    const u64 offset = pa.v & PAGE_MASK;
    const u64 len = ALIGN_UP(len_bytes + offset, PAGE_SIZE);
    spin_lock(&kmap_lock);
    const u64 va = mmio_next;
    bool whole = true;
    for (u64 at = 0; at < len && whole; at += PAGE_SIZE) {
        pte_t *e = entry_make(va + at, 1);
        whole = e != NULL;
        if (e) *e = (pa.v - offset + at) | PTE_P | PTE_W | pt_no_exec() | global() | flags;
    }
    mmio_next += len + PAGE_SIZE;    // an unmapped page between devices
    spin_unlock(&kmap_lock);
    return whole ? (volatile u8 *)va + offset : NULL;
}

// Maps device registers, uncached. Takes kmap_lock, frame_lock.
//   pa, len_bytes: any alignment
volatile void *mmio_map(paddr_t pa, u64 len_bytes) {
    return map_device(pa, len_bytes, PTE_PCD | PTE_PWT);
}

// Maps a framebuffer, write-combining.
volatile void *mmio_map_wc(paddr_t pa, u64 len_bytes) {
    return map_device(pa, len_bytes, PAT_WC_SLOT);
}

static bool is_mapped(u64 va) {
    const pte_t *table = root;
    for (u32 l = PTE_LEVELS; l > 1; l--) {
        const pte_t e = table[va >> (PAGE_SHIFT + 9 * (l - 1)) & (PTE_COUNT - 1)];
        if (!(e & PTE_P)) return false;
        if (e & PTE_PS) return true;
        table = phys_to_virt(pte_frame(e));
    }
    return table[va >> PAGE_SHIFT & (PTE_COUNT - 1)] & PTE_P;
}

// Memory that firmware filled, for reading. NULL where it cannot be mapped.
const void *kmap_memory(paddr_t pa, u64 len_bytes) {
    const u64 va = DIRECT_MAP_BASE + pa.v;
    if (is_mapped(va) && is_mapped(va + len_bytes - 1)) return phys_to_virt(pa);
    return (const void *)(u64)map_device(pa, len_bytes, 0);
}
