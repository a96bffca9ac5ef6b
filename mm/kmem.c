// The kernel's heap: power-of-two size classes from 16 bytes to 128 KiB, each with a
// list of free objects. Classes up to half a frame are cut from single frames, larger
// ones are runs of frames; neither goes back to the frames. Lock: heap_lock, inside.
#include "mm/kmem.h"

#include "base/assert.h"
#include "base/bits.h"
#include "base/string.h"
#include "kernel/x86/spinlock.h"
#include "mm/frame.h"

#define KMEM_MIN_SHIFT 4             // 16 bytes
#define KMEM_MAX_SHIFT 17            // 128 KiB
#define RESERVE_FRAMES 16u           // of each class below a frame
#define RESERVE_BYTES 262144u        // of each larger one
#define RESERVE_SIZE_MAX 8192u
#define KMEM_CLASSES (KMEM_MAX_SHIFT - KMEM_MIN_SHIFT + 1)

struct free_object { struct free_object *next; };

static struct spinlock heap_lock = SPINLOCK_INIT(LOCK_RANK_HEAP, "heap");
// Under heap_lock.
static struct free_object *free_list[KMEM_CLASSES];
static u64 bytes_used, frames_taken;

static u32 class_of(u64 len_bytes) {
    u32 c = 0;
    while ((1ull << (c + KMEM_MIN_SHIFT)) < len_bytes) c++;
    return c;
}

// Cuts one frame into objects of class c and keeps them. Takes the lock inside, since
// the frame lock is an outer one.
static bool refill(u32 c) {
    const paddr_t pa = frame_alloc_raw(FRAME_KERNEL);
    if (!pa.v) return false;
    __atomic_add_fetch(&frames_taken, 1, __ATOMIC_RELAXED);
    u8 *base = phys_to_virt(pa);
    const u64 size = 1ull << (c + KMEM_MIN_SHIFT);
    spin_lock(&heap_lock);
    for (u64 at = 0; at < PAGE_SIZE; at += size) {
        struct free_object *o = (void *)(base + at);
        o->next = free_list[c];
        free_list[c] = o;
    }
    spin_unlock(&heap_lock);
    return true;
}

static void *take(u32 c) {
    spin_lock(&heap_lock);
    struct free_object *o = free_list[c];
    if (o) free_list[c] = o->next;
    spin_unlock(&heap_lock);
    return o;
}

// Memory of at least len_bytes, zeroed, aligned to 16 bytes (to a frame from 4 KiB up).
//   len_bytes: 1 .. 128 KiB
// NULL where there is none or len_bytes is out of range. Any context.
void *kmem_alloc(u64 len_bytes) {
    if (len_bytes == 0 || len_bytes > 1ull << KMEM_MAX_SHIFT) return NULL;
    const u32 c = class_of(len_bytes);
    const u64 size = 1ull << (c + KMEM_MIN_SHIFT);
    void *p = take(c);
    if (!p && size < PAGE_SIZE) {
        if (!refill(c)) return NULL;
        p = take(c);
    } else if (!p) {
        const paddr_t pa = frame_alloc_contiguous(size >> PAGE_SHIFT, FRAME_KERNEL);
        p = pa.v ? phys_to_virt(pa) : NULL;
        if (p) __atomic_add_fetch(&frames_taken, size >> PAGE_SHIFT, __ATOMIC_RELAXED);
    }
    if (!p) return NULL;
    memset(p, 0, size);
    __atomic_add_fetch(&bytes_used, size, __ATOMIC_RELAXED);
    return p;
}

// Gives memory back. len_bytes: what it was allocated with. NULL does nothing.
void kmem_free(void *p, u64 len_bytes) {
    if (!p) return;
    ASSERT(len_bytes && len_bytes <= 1ull << KMEM_MAX_SHIFT && ((u64)p & 15) == 0);
    const u32 c = class_of(len_bytes);
    struct free_object *o = p;
    spin_lock(&heap_lock);
    o->next = free_list[c];
    free_list[c] = o;
    spin_unlock(&heap_lock);
    __atomic_sub_fetch(&bytes_used, 1ull << (c + KMEM_MIN_SHIFT), __ATOMIC_RELAXED);
}

// Bytes in use, rounded up to size classes.
u64 kmem_bytes_used(void) { return __atomic_load_n(&bytes_used, __ATOMIC_RELAXED); }

// Frames that the heap has taken. None goes back: what is free of them is kept for later.
u64 kmem_frames(void) { return __atomic_load_n(&frames_taken, __ATOMIC_RELAXED); }

// Takes what a busy node needs of each class at once, so that the count of free frames moves
// with processes and their pages, not with the calls that happened to be out together.
// Boot, after the frames.
void kmem_reserve(void) {
    for (u32 c = 0; c < KMEM_CLASSES && 1ull << (c + KMEM_MIN_SHIFT) <= RESERVE_SIZE_MAX; c++) {
        const u64 size = 1ull << (c + KMEM_MIN_SHIFT);
        const u64 count = size < PAGE_SIZE ? RESERVE_FRAMES * PAGE_SIZE / size
                          : RESERVE_BYTES / size;
        struct free_object *held = NULL;
        for (u64 i = 0; i < count; i++) {
            struct free_object *o = kmem_alloc(size);
            if (!o) break;
            o->next = held;
            held = o;
        }
        while (held) {
            struct free_object *o = held;
            held = o->next;
            kmem_free(o, size);
        }
    }
}
