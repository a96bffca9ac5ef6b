// Decides what a page fault means and mends it where that needs no waiting. Called for
// traps from user mode and before every copy to or from user memory, on the CPU that
// runs the process. Zero pages on demand, copy on write, pages of files, stack growth;
// pages of other nodes through aspace_hooks.remote_fetch.
#include "base/string.h"
#include "mm/aspace.h"

#define FRAMES_KEPT 64u                  // of all frames, the 64th part

static pte_t entry_make(const struct vma *v, paddr_t frame, bool writable, pte_t soft) {
    pte_t e = frame.v | PTE_P | PTE_U | PTE_A | soft;
    if (writable) e |= PTE_W | PTE_D;
    if (!(v->prot & PROT_EXEC_BIT)) e |= pt_no_exec();
    return e;
}

// The vma for va; a stack below it grows down to it.
static struct vma *vma_for_fault(struct proc_desc *d, u64 va) {
    struct vma *v = vma_find(d, va);
    if (v || va < USER_STACK_TOP - USER_STACK_MAX || va >= USER_STACK_TOP) return v;
    v = vma_find(d, USER_STACK_TOP - 1);
    if (!v || !(v->flags & VMA_STACK) || v->start <= va) return NULL;
    u64 start = va & ~PAGE_MASK;
    if (!aspace_range_free(d, start, v->start)) return NULL;
    v->start = start;
    d->stack_low = start;
    return v;
}

// The last frames are kept for leaders of sessions and what they start, so that a shell can end
// those that took all others; the very last for the leaders alone.
static bool may_take_frame(const struct proc_desc *d) {
    const u64 free = frame_count_free(), kept = frame_count_total() / FRAMES_KEPT;
    if (d->pid == d->sid) return true;
    return free > (d->ppid == d->sid ? kept / 2 : kept);
}

// A write to a page that is not writable: the last holder takes it, others copy.
static enum fault_result fault_cow(const struct proc_desc *d, const struct vma *v, u64 va,
                                   pte_t *e) {
    paddr_t old = pte_frame(*e);
    if (frame_refs(old) == 1 && frame_use_of(old) == FRAME_USER) {
        *e = entry_make(v, old, true, 0);
    } else {
        paddr_t copy = may_take_frame(d) ? frame_alloc_raw(FRAME_USER) : paddr(0);
        if (copy.v == 0) return FAULT_NOMEM;
        memcpy(phys_to_virt(copy), phys_to_virt(old), PAGE_SIZE);
        *e = entry_make(v, copy, true, 0);
        frame_unref(old);
    }
    pt_flush_page(va);
    return FAULT_DONE;
}

// First touch of a page that a file backs. Whole pages are mapped from the file's own
// frame; the page on which the file part ends is copied and its rest is zero.
static enum fault_result fill_file(struct proc_desc *d, const struct vma *v, u64 va, bool write,
                                   pte_t *e) {
    u64 at = va - v->start;
    bool shared = (v->flags & VMA_SHARED) != 0;
    struct file_page page = {0};
    enum fault_result r = aspace_hooks.file_page(
        v->file, v->file_offset + at,
        !shared ? FILE_PAGE_PRIVATE : write ? FILE_PAGE_WRITE : FILE_PAGE_READ, &page);
    if (r != FAULT_DONE) return r;
    u64 valid = v->file_bytes - at;
    if (valid >= PAGE_SIZE || shared) {
        bool writable = page.writable && (v->prot & PROT_WRITE_BIT);
        *e = shared ? entry_make(v, page.frame, writable, PTE_SHARED)
                    : entry_make(v, page.frame, false, PTE_COW);
    } else {
        paddr_t copy = may_take_frame(d) ? frame_alloc(FRAME_USER) : paddr(0);
        if (copy.v) memcpy(phys_to_virt(copy), phys_to_virt(page.frame), valid);
        frame_unref(page.frame);
        if (copy.v == 0) return FAULT_NOMEM;
        *e = entry_make(v, copy, (v->prot & PROT_WRITE_BIT) != 0, 0);
    }
    d->pages_resident++;
    return FAULT_DONE;
}

static enum fault_result fill(struct proc_desc *d, const struct vma *v, u64 va, bool write,
                              pte_t *e) {
    if (v->file.generation && va - v->start < v->file_bytes)
        return fill_file(d, v, va, write, e);
    paddr_t frame = may_take_frame(d) ? frame_alloc(FRAME_USER) : paddr(0);
    if (frame.v == 0) return FAULT_NOMEM;
    *e = entry_make(v, frame, (v->prot & PROT_WRITE_BIT) != 0, 0);
    d->pages_resident++;
    return FAULT_DONE;
}

// What of a page or table lies on another node is asked for. FAULT_DONE: *e is here.
static enum fault_result bring(struct proc_desc *d, u64 va, pte_t *e) {
    if (!aspace_hooks.remote_fetch) return FAULT_BUS;
    struct fault_remote want = {va, npte_node(*e), pte_frame(*e), 0, e};
    const enum fault_result r = aspace_hooks.remote_fetch(d, &want);
    return r == FAULT_DONE && !(*e & PTE_P) ? FAULT_WAIT : r;
}

static bool entry_allows(pte_t e, enum fault_access access) {
    if (!(e & PTE_U)) return false;
    if (access == ACCESS_WRITE) return (e & PTE_W) != 0;
    return access != ACCESS_EXEC || !(e & PTE_NX);
}

// Makes the access possible or says why not.
//   va      any user address; addresses of the kernel's half are SEGV
//   access  what was tried
// On FAULT_WAIT the process is on a wait list and the access is tried again later.
enum fault_result fault_handle(struct proc_desc *d, u64 va, enum fault_access access) {
    if (va >= USER_END) return FAULT_SEGV;
    struct vma *v = vma_for_fault(d, va);
    if (!v || !(v->prot & (u32)access)) return FAULT_SEGV;
    va &= ~PAGE_MASK;
    pte_t *e;
    enum fault_result r = pt_entry_make(d, va, &e);
    if (r != FAULT_DONE) return r;
    if (!(*e & PTE_P)) {
        switch (npte_kind(*e)) {
        case NPTE_REMOTE_PAGE: case NPTE_LOST:
            r = bring(d, va, e);
            if (r != FAULT_DONE) return r;
            break;
        case NPTE_NONE:
            r = fill(d, v, va, access == ACCESS_WRITE, e);
            if (r != FAULT_DONE) return r;
            break;
        default:
            return FAULT_BUS;
        }
    }
    if (access == ACCESS_WRITE && !(*e & PTE_W) && (*e & PTE_SHARED)) {
        frame_unref(pte_frame(*e));              // a copy to read: ask for the one to write
        *e = 0;
        pt_flush_page(va);
        if (d->pages_resident) d->pages_resident--;
        r = fill(d, v, va, true, e);
        if (r != FAULT_DONE) return r;
    }
    if (access == ACCESS_WRITE && !(*e & PTE_W)) return fault_cow(d, v, va, e);
    if (!entry_allows(*e, access)) {             // the map allows it: the entry is behind
        *e |= PTE_U;
        if (v->prot & PROT_EXEC_BIT) *e &= ~PTE_NX;
    }
    pt_flush_page(va);
    return FAULT_DONE;
}

// A page that the kernel alone uses, in an address space: it moves with it, and no map entry
// tells user mode of it. Made, zeroed, where there is none; a frame that an image or a child
// has too is copied first.
//   va   page-aligned; out: the kernel's address of the page, to read and write
// DONE, NOMEM, WAIT (as fault_handle), BUS (it lay on a node that is gone).
enum fault_result fault_hidden_page(struct proc_desc *d, u64 va, void **out) {
    pte_t *e;
    enum fault_result r = pt_entry_make(d, va, &e);
    if (r == FAULT_DONE && *e != 0 && !(*e & PTE_P)) r = bring(d, va, e);
    if (r != FAULT_DONE) return r;
    if (*e == 0) {
        const paddr_t frame = frame_alloc(FRAME_USER);
        if (frame.v == 0) return FAULT_NOMEM;
        *e = frame.v | PTE_P | pt_no_exec();
        d->pages_resident++;
    }
    const paddr_t old = pte_frame(*e);
    if (frame_refs(old) != 1) {
        const paddr_t copy = frame_alloc_raw(FRAME_USER);
        if (copy.v == 0) return FAULT_NOMEM;
        memcpy(phys_to_virt(copy), phys_to_virt(old), PAGE_SIZE);
        *e = copy.v | PTE_P | pt_no_exec();
        frame_unref(old);
    }
    *out = phys_to_virt(pte_frame(*e));
    return FAULT_DONE;
}
