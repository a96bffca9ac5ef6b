// The memory map of one process: create, fork, map, unmap, protect, move. The map is
// struct vma[] over up to eight auxiliary frames, sorted by start. Called by exec, the
// system calls of memory, and fork; on the CPU that runs the process. No lock.
#include "base/assert.h"
#include "base/string.h"
#include "mm/aspace.h"

struct aspace_hooks aspace_hooks;
paddr_t aspace_kernel_root;

// Entry i of the map; its frame must exist.
struct vma *vma_at(const struct proc_desc *d, u32 i) {
    ASSERT(i < VMAS_MAX);
    u64 frame = d->aux[PROC_AUX_MAP + i / VMAS_PER_FRAME];
    ASSERT(frame != 0);
    return (struct vma *)phys_to_virt(paddr(frame)) + i % VMAS_PER_FRAME;
}

// Index of the first entry that ends above va; vma_count where there is none.
static u32 vma_index_above(const struct proc_desc *d, u64 va) {
    u32 low = 0, high = d->vma_count;
    while (low < high) {
        u32 mid = (low + high) / 2;
        if (vma_at(d, mid)->end <= va) low = mid + 1;
        else high = mid;
    }
    return low;
}

// The entry that contains va, or NULL.
struct vma *vma_find(const struct proc_desc *d, u64 va) {
    u32 i = vma_index_above(d, va);
    if (i == d->vma_count) return NULL;
    struct vma *v = vma_at(d, i);
    return v->start <= va ? v : NULL;
}

static void file_ref(const struct vma *v) {
    if (v->file.generation && aspace_hooks.file_ref) aspace_hooks.file_ref(v->file);
}
static void file_unref(const struct vma *v) {
    if (v->file.generation && aspace_hooks.file_unref) aspace_hooks.file_unref(v->file);
}

static status_t room_for_one(struct proc_desc *d) {
    if (d->vma_count >= VMAS_MAX) return E_NOMEM;
    u64 *aux = &d->aux[PROC_AUX_MAP + d->vma_count / VMAS_PER_FRAME];
    if (*aux) return S_OK;
    paddr_t frame = frame_alloc(FRAME_DESC);
    if (frame.v == 0) return E_NOMEM;
    *aux = frame.v;
    return S_OK;
}

// Opens a gap at index i. The caller has called room_for_one.
static struct vma *vma_gap(struct proc_desc *d, u32 i) {
    d->vma_count++;
    for (u32 j = d->vma_count - 1; j > i; j--) *vma_at(d, j) = *vma_at(d, j - 1);
    return vma_at(d, i);
}

static void vma_drop(struct proc_desc *d, u32 i) {
    for (u32 j = i; j + 1 < d->vma_count; j++) *vma_at(d, j) = *vma_at(d, j + 1);
    d->vma_count--;
}

static bool mergeable(const struct vma *a, const struct vma *b) {
    return a->end == b->start && a->prot == b->prot && a->flags == b->flags &&
           a->file.generation == 0 && b->file.generation == 0;
}

// Adds a range that overlaps no other; takes a reference of its own on the file.
// E_NOMEM: the map is full.
status_t vma_insert(struct proc_desc *d, const struct vma *v) {
    ASSERT(v->start < v->end && v->end <= USER_END);
    u32 i = vma_index_above(d, v->start);
    if (i > 0 && mergeable(vma_at(d, i - 1), v)) {
        vma_at(d, i - 1)->end = v->end;
        return S_OK;
    }
    status_t s = room_for_one(d);
    if (s != S_OK) return s;
    *vma_gap(d, i) = *v;
    file_ref(v);
    return S_OK;
}

// Cuts the entry that strictly contains `at` into two.
static status_t vma_split(struct proc_desc *d, u64 at) {
    u32 i = vma_index_above(d, at);
    if (i == d->vma_count || vma_at(d, i)->start >= at) return S_OK;
    status_t s = room_for_one(d);
    if (s != S_OK) return s;
    struct vma old = *vma_at(d, i);
    struct vma *low = vma_gap(d, i);
    struct vma *high = vma_at(d, i + 1);
    u64 left = at - old.start;
    low->end = at;
    low->file_bytes = MIN(old.file_bytes, left);
    high->start = at;
    high->file_offset = old.file_offset + left;
    high->file_bytes = old.file_bytes > left ? old.file_bytes - left : 0;
    file_ref(high);
    return S_OK;
}

// True where nothing is mapped in [start, end).
bool aspace_range_free(const struct proc_desc *d, u64 start, u64 end) {
    u32 i = vma_index_above(d, start);
    return i == d->vma_count || vma_at(d, i)->start >= end;
}

// A free range of len bytes for mmap, from the top down; 0 where there is none.
u64 aspace_find_free(const struct proc_desc *d, u64 len_bytes) {
    u64 top = USER_MMAP_TOP;
    for (u32 i = d->vma_count; i > 0; i--) {
        const struct vma *v = vma_at(d, i - 1);
        if (v->start >= top) continue;
        if (v->end <= top && top - v->end >= len_bytes) return top - len_bytes;
        top = v->start;
    }
    return top >= len_bytes + USER_MIN ? top - len_bytes : 0;
}

// Makes sure that no table on the way of the range's ends is remote.
static status_t tables_here(struct proc_desc *d, u64 start, u64 end) {
    if (d->pages_remote == 0 && d->lender_count == 0) return S_OK;
    for (u64 va = start; va < end; va += PAGE_SIZE * PTE_COUNT) {
        pte_t *e;
        enum fault_result r = pt_entry_make(d, va, &e);
        if (r == FAULT_WAIT) return S_RESTART;
        if (r == FAULT_NOMEM) return E_NOMEM;
    }
    return S_OK;
}

// Removes [start, end), page-aligned. E_NOMEM: no room to split an entry.
status_t aspace_unmap(struct proc_desc *d, u64 start, u64 end) {
    status_t s = tables_here(d, start, end);
    if (s == S_OK) s = vma_split(d, start);
    if (s == S_OK) s = vma_split(d, end);
    if (s != S_OK) return s;
    u32 i = vma_index_above(d, start);
    while (i < d->vma_count && vma_at(d, i)->start < end) {
        struct vma v = *vma_at(d, i);
        pt_clear_range(d, v.start, v.end);
        file_unref(&v);
        vma_drop(d, i);
    }
    return S_OK;
}

static pte_t entry_protect(pte_t e, u32 prot) {
    if (!(e & PTE_P)) {
        if (prot & PROT_EXEC_BIT) e &= ~PTE_NX;
        return e;                    // the fault looks at the map
    }
    bool writable = (prot & PROT_WRITE_BIT) != 0;
    e &= ~(PTE_U | PTE_NX);
    if (prot) e |= PTE_U;
    if (!(prot & PROT_EXEC_BIT)) e |= pt_no_exec();
    if (!writable && (e & PTE_W)) e = (e & ~PTE_W) | ((e & PTE_SHARED) ? 0 : PTE_COW);
    if (writable && !(e & PTE_SHARED)) e = (e & PTE_W) ? e : e | PTE_COW;
    return e;
}

// Changes what [start, end) allows. E_NOMEM: part of it is not mapped (nothing is
// changed), or there is no room to split.
status_t aspace_protect(struct proc_desc *d, u64 start, u64 end, u32 prot) {
    status_t s = tables_here(d, start, end);
    if (s != S_OK) return s;
    for (u64 at = start; at < end;) {
        struct vma *v = vma_find(d, at);
        if (!v) return E_NOMEM;
        if ((v->flags & VMA_READ_ONLY) && (prot & PROT_WRITE_BIT)) return E_ACCES;
        at = v->end;
    }
    s = vma_split(d, start);
    if (s == S_OK) s = vma_split(d, end);
    if (s != S_OK) return s;
    for (u32 i = vma_index_above(d, start); i < d->vma_count; i++) {
        struct vma *v = vma_at(d, i);
        if (v->start >= end) break;
        v->prot = prot;
        for (u64 va = v->start; (va = pt_next_here(d, va, v->end)) < v->end; va += PAGE_SIZE) {
            pte_t *e = pt_entry(d, va);
            if (*e) *e = entry_protect(*e, prot);
        }
    }
    pt_flush_all();
    return S_OK;
}

// Moves the pages of one range to another that has a mapping already (mremap).
status_t aspace_move(struct proc_desc *d, u64 from, u64 to, u64 len_bytes) {
    u64 end = from + len_bytes;
    for (u64 va = from; (va = pt_next_here(d, va, end)) < end; va += PAGE_SIZE) {
        pte_t *old = pt_entry(d, va), *made;
        if (*old == 0) continue;
        enum fault_result r = pt_entry_make(d, va - from + to, &made);
        if (r != FAULT_DONE) return E_NOMEM;
        *made = *old;
        *old = 0;
    }
    pt_flush_all();
    return S_OK;
}

// Gives the descriptor an empty address space that shares the kernel's half.
status_t aspace_create(struct proc_desc *d) {
    paddr_t root = frame_alloc(FRAME_TABLE);
    if (root.v == 0) return E_NOMEM;
    const pte_t *kernel = phys_to_virt(aspace_kernel_root);
    memcpy((pte_t *)phys_to_virt(root) + PTE_COUNT / 2, kernel + PTE_COUNT / 2, PAGE_SIZE / 2);
    d->root_table = root;
    d->vma_count = 0;
    d->pages_resident = d->pages_remote = 0;
    return S_OK;
}

// Unmaps everything (exec, exit); root table and map frames stay.
static void aspace_clear(struct proc_desc *d) {
    for (u32 i = 0; i < d->vma_count; i++) file_unref(vma_at(d, i));
    d->vma_count = 0;
    pt_free_user(d);
}

// Gives back all frames of the address space. No CPU may have its root loaded.
void aspace_destroy(struct proc_desc *d) {
    if (d->root_table.v == 0) return;
    aspace_clear(d);
    frame_unref(d->root_table);
    d->root_table = paddr(0);
    for (u32 i = 0; i < PROC_MAP_FRAMES; i++) {
        if (d->aux[PROC_AUX_MAP + i]) frame_unref(paddr(d->aux[PROC_AUX_MAP + i]));
        d->aux[PROC_AUX_MAP + i] = 0;
    }
}

// The same for a process that lives elsewhere now: its references on files went with it.
void aspace_destroy_moved(struct proc_desc *d) {
    d->vma_count = 0;
    aspace_destroy(d);
}

static void swap(u64 *a, u64 *b) {
    const u64 was = *a;
    *a = *b;
    *b = was;
}

// Exchanges the address spaces of two descriptors: root, map, and what is counted of them.
void aspace_swap(struct proc_desc *a, struct proc_desc *b) {
    const u32 count = a->vma_count;
    swap(&a->root_table.v, &b->root_table.v);
    for (u32 i = PROC_AUX_MAP; i < PROC_AUX_MAP + PROC_MAP_FRAMES; i++)
        swap(&a->aux[i], &b->aux[i]);
    a->vma_count = b->vma_count;
    b->vma_count = count;
    swap(&a->pages_resident, &b->pages_resident);
    swap(&a->pages_remote, &b->pages_remote);
    swap(&a->brk_start, &b->brk_start);
    swap(&a->brk_end, &b->brk_end);
    swap(&a->stack_low, &b->stack_low);
}

// Copies map and pages (copy on write) into a child made by aspace_create. On failure
// the caller destroys the child.
status_t aspace_fork(struct proc_desc *child, struct proc_desc *parent) {
    for (u32 i = 0; i < parent->vma_count; i++) {
        status_t s = room_for_one(child);
        if (s != S_OK) return s;
        *vma_gap(child, i) = *vma_at(parent, i);
        file_ref(vma_at(child, i));
    }
    child->brk_start = parent->brk_start;
    child->brk_end = parent->brk_end;
    child->stack_low = parent->stack_low;
    return pt_copy_cow(child, parent);
}
