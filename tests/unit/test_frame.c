// Frames and the heap over RAM that the test maps: counts, runs, references, reuse. The
// two sources are included, so that the direct map lies where the test wants it.
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define DIRECT_MAP_BASE 0x300000000000ull
#include "mm/frame.c"
#include "mm/kmem.c"
#include "tests/unit/suite_run.h"

// One thread: the locks have nothing to do here but be paired.
static u32 locks_taken;
void spin_lock(struct spinlock *l) { (void)l; locks_taken++; }
void spin_unlock(struct spinlock *l) { (void)l; locks_taken--; }

#define RAM_BYTES (16 * MIB)
#define HOLE_BASE (4 * MIB)
#define HOLE_BYTES (1 * MIB)

static u64 frames_start;

static void setup(void) {
    void *at = mmap((void *)DIRECT_MAP_BASE, RAM_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    ck_assert_ptr_eq(at, (void *)DIRECT_MAP_BASE);
    memset(at, 0x77, RAM_BYTES);
    const struct frame_range ram[] = {{0, HOLE_BASE}, {HOLE_BASE + HOLE_BYTES,
                                                       RAM_BYTES - HOLE_BASE - HOLE_BYTES}};
    const struct frame_range reserved[] = {{0, MIB}, {2 * MIB, 100}};
    frame_init(ram, 2, reserved, 2);
    frames_start = frame_count_free();
}

static void teardown(void) {
    ck_assert_uint_eq(locks_taken, 0);
    munmap((void *)DIRECT_MAP_BASE, RAM_BYTES);
    memset(free_list, 0, sizeof free_list);
    bytes_used = 0;
}

static bool all_zero(paddr_t pa, u64 len) {
    const u8 *p = phys_to_virt(pa);
    for (u64 i = 0; i < len; i++)
        if (p[i]) return false;
    return true;
}

START_TEST(every_frame_once_and_none_that_is_reserved) {
    static bool seen[RAM_BYTES / PAGE_SIZE];
    u64 count = 0;
    for (paddr_t pa; (pa = frame_alloc(FRAME_USER)).v;) {
        ck_assert(pa.v % PAGE_SIZE == 0 && pa.v >= MIB && pa.v < RAM_BYTES);
        ck_assert(pa.v < HOLE_BASE || pa.v >= HOLE_BASE + HOLE_BYTES);
        ck_assert_uint_ne(pa.v, 2 * MIB);
        ck_assert(!seen[pa.v / PAGE_SIZE]);
        seen[pa.v / PAGE_SIZE] = true;
        ck_assert(all_zero(pa, PAGE_SIZE));
        ck_assert_uint_eq(frame_refs(pa), 1);
        ck_assert_int_eq(frame_use_of(pa), FRAME_USER);
        count++;
    }
    ck_assert_uint_eq(count, frames_start);
    ck_assert_uint_eq(count, frame_count_total());
    ck_assert_uint_eq(frame_count_free(), 0);
    // 14 MiB and the frame table's own 16 bytes a frame are not ours, nor the reserved one.
    ck_assert_uint_eq(count, (14 * MIB >> PAGE_SHIFT) - 1 - RAM_BYTES / PAGE_SIZE * 16 / PAGE_SIZE);
    for (u64 n = 0; n < RAM_BYTES / PAGE_SIZE; n++)
        if (seen[n]) frame_unref(paddr(n * PAGE_SIZE));
    ck_assert_uint_eq(frame_count_free(), frames_start);
}
END_TEST

START_TEST(references) {
    const paddr_t pa = frame_alloc(FRAME_TABLE);
    frame_ref(pa);
    ck_assert_uint_eq(frame_refs(pa), 2);
    frame_unref(pa);
    ck_assert_uint_eq(frame_count_free(), frames_start - 1);
    frame_set_use(pa, FRAME_DESC);
    ck_assert_int_eq(frame_use_of(pa), FRAME_DESC);
    frame_unref(pa);
    ck_assert_uint_eq(frame_refs(pa), 0);
    ck_assert_int_eq(frame_use_of(pa), FRAME_FREE);
    ck_assert_int_eq(frame_use_of(paddr(HOLE_BASE)), FRAME_FREE);
    ck_assert_int_eq(frame_use_of(paddr(1ull << 45)), FRAME_FREE);
    ck_assert_uint_eq(frame_count_free(), frames_start);
}
END_TEST

START_TEST(unref_of_a_free_frame_is_a_bug) { frame_unref(paddr(8 * MIB)); }
END_TEST

START_TEST(runs_of_frames) {
    const paddr_t pa = frame_alloc_contiguous(1024, FRAME_DMA);
    ck_assert_uint_ne(pa.v, 0);
    ck_assert(pa.v + 1024 * PAGE_SIZE <= HOLE_BASE || pa.v >= HOLE_BASE + HOLE_BYTES);
    ck_assert(all_zero(pa, 1024 * PAGE_SIZE));
    for (u64 i = 0; i < 1024; i++) ck_assert_uint_eq(frame_refs(paddr(pa.v + i * PAGE_SIZE)), 1);
    ck_assert_uint_eq(frame_count_free(), frames_start - 1024);
    ck_assert_uint_eq(frame_alloc_contiguous(frames_start, FRAME_DMA).v, 0);
    ck_assert_uint_eq(frame_alloc_contiguous(0, FRAME_DMA).v, 0);
    ck_assert_uint_eq(frame_count_free(), frames_start - 1024);
}
END_TEST

START_TEST(heap_sizes_and_reuse) {
    for (u64 len = 1; len <= 128 * KIB; len = len * 3 / 2 + 1) {
        u8 *p = kmem_alloc(len);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((u64)p % 16, 0);
        for (u64 i = 0; i < len; i++) ck_assert_uint_eq(p[i], 0);
        memset(p, 0xee, len);
        kmem_free(p, len);
        ck_assert_ptr_eq(kmem_alloc(len), p);
        for (u64 i = 0; i < len; i++) ck_assert_uint_eq(p[i], 0);
        kmem_free(p, len);
    }
    ck_assert_uint_eq(kmem_bytes_used(), 0);
    ck_assert_ptr_null(kmem_alloc(0));
    ck_assert_ptr_null(kmem_alloc(128 * KIB + 1));
    kmem_free(NULL, 8);
}
END_TEST

START_TEST(heap_objects_do_not_overlap_and_run_out) {
    enum { COUNT = 40000 };
    u64 **p = calloc(COUNT, sizeof *p);
    u32 n = 0;
    while (n < COUNT && (p[n] = kmem_alloc(1000)) != NULL) {
        p[n][0] = p[n][124] = n;
        n++;
    }
    ck_assert_uint_lt(n, COUNT);                 // 14 MiB hold fewer
    ck_assert_uint_eq(n, frames_start * 4);
    for (u32 i = 0; i < n; i++) ck_assert(p[i][0] == i && p[i][124] == i);
    for (u32 i = 0; i < n; i++) kmem_free(p[i], 1000);
    ck_assert_uint_eq(kmem_bytes_used(), 0);
    ck_assert_ptr_nonnull(kmem_alloc(1024));
    free(p);
}
END_TEST

int main(void) {
    Suite *s = suite_create("frame");
    TCase *t = tcase_create("frame");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, every_frame_once_and_none_that_is_reserved);
    tcase_add_test(t, references);
    tcase_add_test_raise_signal(t, unref_of_a_free_frame_is_a_bug, 6);
    tcase_add_test(t, runs_of_frames);
    tcase_add_test(t, heap_sizes_and_reuse);
    tcase_add_test(t, heap_objects_do_not_overlap_and_run_out);
    suite_add_tcase(s, t);
    return suite_run(s);
}
