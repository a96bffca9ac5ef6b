// Copies between the kernel and the memory of the current process. Pages are faulted in
// first, so what is not here comes back as S_RESTART before anything took effect.
#pragma once

#include "kernel/proc.h"
#include "mm/aspace.h"
#include "proto/p9/p9.h"

// 0, E_FAULT, S_RESTART; also E_NOMEM where a page could not be made.
status_t user_page(struct proc *p, u64 uva, enum fault_access access, u8 **out);
// The byte at uva, where its page is here, private, and its entry has `need` (PTE_ bits); else
// NULL, and user_page may do more. Valid to the end of the page, and while p waits in its call.
static inline u8 *user_page_private(const struct proc *p, u64 uva, pte_t need) {
    pte_t *e = uva < USER_END ? pt_entry(proc_desc(p), uva) : NULL;
    need |= PTE_P | PTE_U;
    if (!e || (*e & (need | PTE_SHARED)) != need) return NULL;
    if (need & PTE_W) *e |= PTE_D;
    return (u8 *)phys_to_virt(pte_frame(*e)) + (uva & PAGE_MASK);
}
status_t user_pin(struct proc *p, u64 uva, u64 len_bytes, enum fault_access access);
status_t user_read(struct proc *p, u64 uva, void *to, u64 len_bytes);
status_t user_write(struct proc *p, u64 uva, const void *from, u64 len_bytes);
// At most size_bytes with the final 0, else E_NAMETOOLONG.
status_t user_read_string(struct proc *p, u64 uva, char *to, u64 size_bytes);
