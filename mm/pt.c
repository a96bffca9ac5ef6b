// Page tables of one process: find, make, clear, copy for fork. Tables are FRAME_TABLE
// frames, pages FRAME_USER frames, so that members of the cluster may read both.
// Called by mm/aspace.c and mm/fault.c on the CPU that runs the process, or while it
// does not run; no lock of its own. Spec: SDM Vol. 3A 4.5.
#include "base/string.h"
#include "kernel/x86/cpu.h"
#include "mm/aspace.h"

#define USER_ROOT_ENTRIES 256u       // the lower half of the root table

static u32 index_at(u64 va, u32 level) {
    return (u32)(va >> (PAGE_SHIFT + 9 * (level - 1))) & (PTE_COUNT - 1);
}

static pte_t *table_of(pte_t e) { return phys_to_virt(pte_frame(e)); }

// The bit of an entry whose page may not be executed; none where the CPU lacks NX, since
// the bit is reserved there and a walk over it faults. Spec: SDM Vol. 3A 4.6.2, 4.7.
pte_t pt_no_exec(void) { return cpu_features.nx ? PTE_NX : 0; }

// Forgets one page's translation on this CPU.
void pt_flush_page(u64 va) { __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory"); }

// Forgets all user translations on this CPU. Spec: SDM Vol. 3A 4.10.4.1.
void pt_flush_all(void) {
    u64 root;
    __asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(root) : : "memory");
}

// The first address from va on, below end, whose last-level table is here; end where there
// is none. Skips what is absent at each level, so a map of many TiB costs no walk.
u64 pt_next_here(const struct proc_desc *d, u64 va, u64 end) {
    while (va < end) {
        const pte_t *table = phys_to_virt(d->root_table);
        u32 level = PTE_LEVELS;
        for (; level > 1; level--) {
            pte_t e = table[index_at(va, level)];
            if (!(e & PTE_P)) break;
            table = table_of(e);
        }
        if (level == 1) return va;
        va = (va | ((PAGE_SIZE << (9 * (level - 1))) - 1)) + 1;
    }
    return end;
}

static enum fault_result table_fetch(struct proc_desc *d, u64 va, u32 level, pte_t *e) {
    const bool away = npte_kind(*e) == NPTE_REMOTE_TABLE || npte_kind(*e) == NPTE_LOST;
    if (!away || !aspace_hooks.remote_fetch) return FAULT_BUS;
    struct fault_remote r = {va & ~PAGE_MASK, npte_node(*e), pte_frame(*e), level - 1, e};
    return aspace_hooks.remote_fetch(d, &r);
}

// The last-level entry for va, with tables made on the way; a table of a lender is
// asked for through the hook. Results: DONE, NOMEM, WAIT, LOST (its node is gone).
enum fault_result pt_entry_make(struct proc_desc *d, u64 va, pte_t **out) {
    pte_t *table = phys_to_virt(d->root_table);
    for (u32 level = PTE_LEVELS; level > 1; level--) {
        pte_t *e = &table[index_at(va, level)];
        if (*e == 0) {
            paddr_t frame = frame_alloc(FRAME_TABLE);
            if (frame.v == 0) return FAULT_NOMEM;
            *e = frame.v | PTE_P | PTE_W | PTE_U;
        } else if (!(*e & PTE_P)) {
            enum fault_result r = table_fetch(d, va, level, e);
            if (r != FAULT_DONE) return r;
            if (!(*e & PTE_P)) return FAULT_WAIT;
        }
        table = table_of(*e);
    }
    *out = &table[index_at(va, 1)];
    return FAULT_DONE;
}

static void clear_table(struct proc_desc *d, pte_t *table, u32 level, u64 start, u64 end) {
    u64 span = PAGE_SIZE << (9 * (level - 1));
    for (u64 va = start; va < end; va = (va & ~(span - 1)) + span) {
        pte_t *e = &table[index_at(va, level)];
        if (level > 1) {
            u64 stop = (va & ~(span - 1)) + span;
            if (*e & PTE_P) clear_table(d, table_of(*e), level - 1, va, MIN(stop, end));
            else if ((va & (span - 1)) == 0 && stop <= end) *e = 0;
            continue;
        }
        if (*e & PTE_P) {
            frame_unref(pte_frame(*e));
            if (d->pages_resident) d->pages_resident--;
        } else if (npte_kind(*e) == NPTE_REMOTE_PAGE && d->pages_remote) {
            d->pages_remote--;
        }
        *e = 0;
    }
}

// Drops the pages of [start, end), page-aligned. Tables stay. A range inside a table
// that is still remote must have been fetched first (mm/aspace.c does).
void pt_clear_range(struct proc_desc *d, u64 start, u64 end) {
    clear_table(d, phys_to_virt(d->root_table), PTE_LEVELS, start, end);
    if (end - start <= 16 * PAGE_SIZE) {
        for (u64 va = start; va < end; va += PAGE_SIZE) pt_flush_page(va);
    } else {
        pt_flush_all();
    }
}

// The first entry from i on that is not 0, or count: eight at a look, for most are.
static u32 next_used(const pte_t *table, u32 i, u32 count) {
    while (i < count) {
        const pte_t *t = &table[i];
        if (i % 8 == 0 && !(t[0] | t[1] | t[2] | t[3] | t[4] | t[5] | t[6] | t[7])) i += 8;
        else if (*t) break;
        else i++;
    }
    return i;
}

// Gives back what a table names; its entries stay as they are, for it goes as well.
static void free_table(const pte_t *table, u32 level) {
    for (u32 i = 0; (i = next_used(table, i, PTE_COUNT)) < PTE_COUNT; i++) {
        const pte_t e = table[i];
        if (!(e & PTE_P)) continue;
        if (level > 1) free_table(table_of(e), level - 1);
        frame_unref(pte_frame(e));
    }
}

// Drops every page and table of the user half; the root frame stays.
void pt_free_user(struct proc_desc *d) {
    pte_t *root = phys_to_virt(d->root_table);
    for (u32 i = 0; (i = next_used(root, i, USER_ROOT_ENTRIES)) < USER_ROOT_ENTRIES; i++) {
        const pte_t e = root[i];
        root[i] = 0;
        if (!(e & PTE_P)) continue;
        free_table(table_of(e), PTE_LEVELS - 1);
        frame_unref(pte_frame(e));
    }
    d->pages_resident = 0;
    d->pages_remote = 0;
    pt_flush_all();
}

static status_t copy_table(pte_t *to, pte_t *from, u32 level, u32 count) {
    for (u32 i = 0; (i = next_used(from, i, count)) < count; i++) {
        pte_t e = from[i];
        if (!(e & PTE_P)) {
            to[i] = e;               // on another node: each reads its own
        } else if (level > 1) {
            paddr_t frame = frame_alloc(FRAME_TABLE);
            if (frame.v == 0) return E_NOMEM;
            to[i] = frame.v | (e & ~PTE_FRAME_MASK);
            status_t s = copy_table(phys_to_virt(frame), table_of(e), level - 1, PTE_COUNT);
            if (s != S_OK) return s;
        } else {
            if (!(e & PTE_SHARED) && (e & PTE_W)) {
                e = (e & ~PTE_W) | PTE_COW;
                from[i] = e;
            }
            frame_ref(pte_frame(e));
            to[i] = e;
        }
    }
    return S_OK;
}

// Gives the child the parent's pages, copy on write in both. E_NOMEM: the caller
// destroys the child. Those on another node are named by both, and each reads its own.
status_t pt_copy_cow(struct proc_desc *child, struct proc_desc *parent) {
    status_t s = copy_table(phys_to_virt(child->root_table), phys_to_virt(parent->root_table),
                            PTE_LEVELS, USER_ROOT_ENTRIES);
    child->pages_resident = parent->pages_resident;
    child->pages_remote = parent->pages_remote;
    pt_flush_all();
    return s;
}
