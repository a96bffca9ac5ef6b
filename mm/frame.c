// Physical frames: one struct frame_meta for each frame of RAM, and a list of the
// free ones through it (last freed, first used). kernel/, mm/ and drivers (through
// hw_env) take from here. Lock: frame_lock, taken inside every call.
#include "mm/frame.h"

#include "base/assert.h"
#include "base/bits.h"
#include "base/string.h"
#include "kernel/x86/spinlock.h"

#define FRAME_POISON 0xa5
#define FRAME_NONE 0u                // frame 0 is never RAM of ours
#define FRAME_INDEX_MAX 0xffffffffull

struct frame_meta {
    u32 refs;                        // 0: free, or no RAM
    u32 next, prev;                  // free list, by frame number
    u8 use;                          // enum frame_use
    u8 ram;                          // this frame is ours to give
};

static struct spinlock frame_lock = SPINLOCK_INIT(LOCK_RANK_FRAME, "frame");
// Under frame_lock.
static struct frame_meta *metas;
static u64 meta_count;
static u32 free_first;
static u64 free_count, total_count;

static void free_push(u32 n) {
    struct frame_meta *m = &metas[n];
    m->refs = 0;
    m->use = FRAME_FREE;
    m->prev = FRAME_NONE;
    m->next = free_first;
    if (free_first) metas[free_first].prev = n;
    free_first = n;
    free_count++;
}

static void free_unlink(u32 n) {
    struct frame_meta *m = &metas[n];
    if (m->prev) metas[m->prev].next = m->next;
    else free_first = m->next;
    if (m->next) metas[m->next].prev = m->prev;
    free_count--;
}

static bool overlaps(u64 base, u64 len, const struct frame_range *r, u32 count, u64 *end) {
    for (u32 i = 0; i < count; i++) {
        if (base < r[i].base + r[i].len_bytes && r[i].base < base + len) {
            *end = r[i].base + r[i].len_bytes;
            return true;
        }
    }
    return false;
}

// Finds len bytes of RAM below 4 GiB (the boot tables reach no further) for the metas.
static u64 place_metas(u64 len, const struct frame_range *ram, u32 ram_count,
                       const struct frame_range *reserved, u32 reserved_count) {
    for (u32 i = 0; i < ram_count; i++) {
        u64 at = ALIGN_UP(MAX(ram[i].base, PAGE_SIZE), PAGE_SIZE), end = 0;
        const u64 stop = MIN(ram[i].base + ram[i].len_bytes, 4 * GIB);
        while (at + len <= stop) {
            if (!overlaps(at, len, reserved, reserved_count, &end)) return at;
            at = ALIGN_UP(end, PAGE_SIZE);
        }
    }
    return 0;
}

// Takes over the machine's RAM. Boot only, one CPU, before any other call here.
//   ram: ram_count ranges of bytes that are usable; reserved: what of them is in use
//   (low memory, kernel, modules). Frames above 4 GiB are handed out last, since the
//   boot page tables do not reach them.
void frame_init(const struct frame_range *ram, u32 ram_count,
                const struct frame_range *reserved, u32 reserved_count) {
    u64 top = 0;
    for (u32 i = 0; i < ram_count; i++) top = MAX(top, ram[i].base + ram[i].len_bytes);
    meta_count = MIN(top >> PAGE_SHIFT, FRAME_INDEX_MAX);
    const u64 meta_bytes = ALIGN_UP(meta_count * sizeof(struct frame_meta), PAGE_SIZE);
    const u64 meta_pa = place_metas(meta_bytes, ram, ram_count, reserved, reserved_count);
    if (!meta_pa) panic("no room below 4 GiB for %lu bytes of frame table", meta_bytes);
    metas = phys_to_virt(paddr(meta_pa));
    memset(metas, 0, meta_bytes);
    free_first = FRAME_NONE;
    free_count = total_count = 0;

    for (u32 i = 0; i < ram_count; i++) {
        const u64 end = (ram[i].base + ram[i].len_bytes) >> PAGE_SHIFT;
        for (u64 n = ALIGN_UP(ram[i].base, PAGE_SIZE) >> PAGE_SHIFT; n < end; n++)
            if (n && n < meta_count) metas[n].ram = 1;
    }
    for (u32 i = 0; i < reserved_count; i++) {
        const u64 end = ALIGN_UP(reserved[i].base + reserved[i].len_bytes, PAGE_SIZE);
        for (u64 n = reserved[i].base >> PAGE_SHIFT; n < MIN(end >> PAGE_SHIFT, meta_count); n++)
            metas[n].ram = 0;
    }
    for (u64 n = 0; n < meta_bytes >> PAGE_SHIFT; n++) metas[(meta_pa >> PAGE_SHIFT) + n].ram = 0;
    for (u64 n = meta_count; n-- > 1;) {         // lowest frame is given first
        if (!metas[n].ram) continue;
        free_push((u32)n);
        total_count++;
    }
}

static struct frame_meta *meta_of(paddr_t pa) {
    const u64 n = pa.v >> PAGE_SHIFT;
    return n < meta_count && metas[n].ram ? &metas[n] : NULL;
}

static paddr_t pop(enum frame_use use) {
    spin_lock(&frame_lock);
    const u32 n = free_first;
    if (n) {
        free_unlink(n);
        metas[n].refs = 1;
        metas[n].use = (u8)use;
    }
    spin_unlock(&frame_lock);
    return paddr((u64)n << PAGE_SHIFT);
}

// A zeroed frame with one reference.
//   use: what for; decides whether peers may read it (frame.h)
// Physical address, or 0 where none is left. Any context; takes frame_lock.
paddr_t frame_alloc(enum frame_use use) {
    const paddr_t pa = pop(use);
    if (pa.v) memset(phys_to_virt(pa), 0, PAGE_SIZE);
    return pa;
}

// As frame_alloc, with whatever bytes were there: the caller fills the whole frame.
paddr_t frame_alloc_raw(enum frame_use use) { return pop(use); }

// count_frames frames in a row, zeroed, one reference each. Physical address of the
// first, or 0 where there is no such run. Looks through all frames: boot and driver
// start only.
paddr_t frame_alloc_contiguous(u64 count_frames, enum frame_use use) {
    if (count_frames == 0) return paddr(0);
    if (count_frames == 1) return frame_alloc(use);
    u64 run = 0, first = 0;
    spin_lock(&frame_lock);
    for (u64 n = 1; n < meta_count && run < count_frames; n++)
        run = metas[n].ram && metas[n].refs == 0 ? run + 1 : 0, first = n + 1 - run;
    if (run == count_frames) {
        for (u64 n = first; n < first + count_frames; n++) {
            free_unlink((u32)n);
            metas[n].refs = 1;
            metas[n].use = (u8)use;
        }
    }
    spin_unlock(&frame_lock);
    if (run != count_frames) return paddr(0);
    const paddr_t pa = paddr(first << PAGE_SHIFT);
    memset(phys_to_virt(pa), 0, count_frames << PAGE_SHIFT);
    return pa;
}

// One more reference to a frame in use.
void frame_ref(paddr_t pa) {
    spin_lock(&frame_lock);
    struct frame_meta *m = meta_of(pa);
    ASSERT(m && m->refs);
    m->refs++;
    spin_unlock(&frame_lock);
}

// Drops a reference; the last one frees the frame.
void frame_unref(paddr_t pa) {
    spin_lock(&frame_lock);
    struct frame_meta *m = meta_of(pa);
    ASSERT(m && m->refs);
    if (--m->refs == 0) {
#ifdef ISTHMUS_DEBUG
        memset(phys_to_virt(paddr(pa.v & ~PAGE_MASK)), FRAME_POISON, PAGE_SIZE);
#endif
        free_push((u32)(pa.v >> PAGE_SHIFT));
    }
    spin_unlock(&frame_lock);
}

// References to the frame; 0 where it is free or no RAM. A snapshot.
u32 frame_refs(paddr_t pa) {
    const struct frame_meta *m = meta_of(pa);
    return m ? __atomic_load_n(&m->refs, __ATOMIC_RELAXED) : 0;
}

// What the frame is used for; FRAME_FREE for addresses that are no RAM of ours.
enum frame_use frame_use_of(paddr_t pa) {
    const struct frame_meta *m = meta_of(pa);
    return m ? (enum frame_use)__atomic_load_n(&m->use, __ATOMIC_RELAXED) : FRAME_FREE;
}

// Changes what a frame in use is used for.
void frame_set_use(paddr_t pa, enum frame_use use) {
    spin_lock(&frame_lock);
    struct frame_meta *m = meta_of(pa);
    ASSERT(m && m->refs);
    m->use = (u8)use;
    spin_unlock(&frame_lock);
}

// Takes over one frame that frame_init left alone, with what is in it: one reference, as if
// allocated. False where it is no such frame. Boot only.
bool frame_adopt(paddr_t pa, enum frame_use use) {
    const u64 n = pa.v >> PAGE_SHIFT;
    bool taken = false;
    spin_lock(&frame_lock);
    if (n && n < meta_count && !metas[n].ram) {
        metas[n] = (struct frame_meta){.refs = 1, .use = (u8)use, .ram = 1};
        total_count++;
        taken = true;
    }
    spin_unlock(&frame_lock);
    return taken;
}

// What nobody has adopted of the whole frames of [start, start + len_bytes), which frame_init
// left alone, is free from now on. Boot only.
void frame_reclaim(paddr_t start, u64 len_bytes) {
    const u64 end = MIN((start.v + len_bytes) >> PAGE_SHIFT, meta_count);
    spin_lock(&frame_lock);
    for (u64 n = ALIGN_UP(start.v, PAGE_SIZE) >> PAGE_SHIFT; n < end; n++) {
        if (!n || metas[n].ram) continue;
        metas[n].ram = 1;
        free_push((u32)n);
        total_count++;
    }
    spin_unlock(&frame_lock);
}

u64 frame_count_free(void) { return __atomic_load_n(&free_count, __ATOMIC_RELAXED); }
u64 frame_count_total(void) { return total_count; }
