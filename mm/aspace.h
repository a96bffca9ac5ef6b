// One process's memory: the map (struct vma[] in auxiliary frames) and the page tables
// under desc->root_table. Nothing here waits: what is not here is asked for through
// the hooks, and FAULT_WAIT says that the process is on a wait list.
#pragma once

#include "base/status.h"
#include "kernel/proc_desc.h"
#include "mm/frame.h"
#include "mm/pte.h"

#define USER_END 0x00007ffffffff000ull      // first address that is not the user's
#define USER_MIN 0x10000ull                 // mappings lie at or above this
#define USER_STACK_TOP 0x00007fffffff0000ull
#define USER_MMAP_TOP 0x00007fff00000000ull
#define USER_STACK_MAX (8 * MIB)

enum { PROT_READ_BIT = 1, PROT_WRITE_BIT = 2, PROT_EXEC_BIT = 4 };
enum fault_access { ACCESS_READ = 1, ACCESS_WRITE = 2, ACCESS_EXEC = 4 };  // = the PROT bit

enum fault_result {
    FAULT_DONE,                     // the access may be tried again
    FAULT_SEGV,                     // no mapping, or it does not allow this
    FAULT_BUS,                      // beyond the file's end, or shared and on a node that is gone
    FAULT_LOST,                     // on a node that is gone: so is the process
    FAULT_NOMEM,                    // no frame left
    FAULT_WAIT,                     // asked for; the process is on a wait list
};

// A page or table that lies on another node.
struct fault_remote {
    u64 va;                         // page-aligned, user
    u32 node;
    paddr_t frame;                  // there
    u32 level;                      // of the table it is: 0 a page, 1..3 a table
    pte_t *entry;                   // names it; to be replaced
};

// What a page of a file is wanted for. Shared ones have one writable copy in the cluster.
enum file_page_kind { FILE_PAGE_PRIVATE, FILE_PAGE_READ, FILE_PAGE_WRITE };
struct file_page { paddr_t frame; bool writable; };   // writable: to a shared mapping, now

struct aspace_hooks {
    void (*file_ref)(struct object_id file);
    void (*file_unref)(struct object_id file);
    // The page at `offset`; *out with a reference for the caller.
    enum fault_result (*file_page)(struct object_id file, u64 offset, enum file_page_kind kind,
                                   struct file_page *out);
    // NULL: remote pages are lost.
    enum fault_result (*remote_fetch)(struct proc_desc *d, const struct fault_remote *r);
};
extern struct aspace_hooks aspace_hooks;
extern paddr_t aspace_kernel_root;  // whose upper half every process shares

status_t aspace_create(struct proc_desc *d);
void aspace_destroy(struct proc_desc *d);
void aspace_destroy_moved(struct proc_desc *d);
void aspace_swap(struct proc_desc *a, struct proc_desc *b);
status_t aspace_fork(struct proc_desc *child, struct proc_desc *parent);

struct vma *vma_at(const struct proc_desc *d, u32 i);
struct vma *vma_find(const struct proc_desc *d, u64 va);
status_t vma_insert(struct proc_desc *d, const struct vma *v);
u64 aspace_find_free(const struct proc_desc *d, u64 len_bytes);
bool aspace_range_free(const struct proc_desc *d, u64 start, u64 end);
status_t aspace_unmap(struct proc_desc *d, u64 start, u64 end);
status_t aspace_protect(struct proc_desc *d, u64 start, u64 end, u32 prot);
status_t aspace_move(struct proc_desc *d, u64 from, u64 to, u64 len_bytes);

enum fault_result fault_handle(struct proc_desc *d, u64 va, enum fault_access access);
enum fault_result fault_hidden_page(struct proc_desc *d, u64 va, void **out);

// mm/pt.c
static inline pte_t *pt_slot(u64 table_pa, u64 va, u32 shift) {
    return (pte_t *)phys_to_virt(paddr(table_pa)) + ((va >> shift) & (PTE_COUNT - 1));
}

// The last-level entry for va; NULL where a table on the way is not here.
static inline pte_t *pt_entry(const struct proc_desc *d, u64 va) {
    pte_t e = *pt_slot(d->root_table.v, va, PAGE_SHIFT + 27);
    if (!(e & PTE_P)) return NULL;
    e = *pt_slot(e & PTE_FRAME_MASK, va, PAGE_SHIFT + 18);
    if (!(e & PTE_P)) return NULL;
    e = *pt_slot(e & PTE_FRAME_MASK, va, PAGE_SHIFT + 9);
    return e & PTE_P ? pt_slot(e & PTE_FRAME_MASK, va, PAGE_SHIFT) : NULL;
}
u64 pt_next_here(const struct proc_desc *d, u64 va, u64 end);
enum fault_result pt_entry_make(struct proc_desc *d, u64 va, pte_t **out);
void pt_clear_range(struct proc_desc *d, u64 start, u64 end);
void pt_free_user(struct proc_desc *d);
status_t pt_copy_cow(struct proc_desc *child, struct proc_desc *parent);
void pt_flush_page(u64 va);
void pt_flush_all(void);
pte_t pt_no_exec(void);
