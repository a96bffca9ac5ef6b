// The memory of the current process seen from the kernel: by its page tables and the
// direct map, never through user addresses. Called by system calls, exec and signals.
// No lock: threads of one process never run at once, and this CPU runs it. Frames of a
// running process are not taken away, so a page that was faulted in stays until the call ends.
#include "kernel/uaccess.h"

#include "base/string.h"

static status_t status_of(enum fault_result r) {
    switch (r) {
    case FAULT_DONE: return S_OK;
    case FAULT_WAIT: return S_RESTART;
    case FAULT_NOMEM: return E_NOMEM;
    default: return E_FAULT;
    }
}

static bool entry_ready(pte_t e, enum fault_access access) {
    pte_t need = PTE_P | PTE_U | (access == ACCESS_WRITE ? PTE_W : 0);
    return (e & need) == need;
}

// The kernel's address of the byte at uva; valid to the end of its page.
status_t user_page(struct proc *p, u64 uva, enum fault_access access, u8 **out) {
    struct proc_desc *d = proc_desc(p);
    if (uva >= USER_END) return E_FAULT;
    for (int tries = 0; tries < 3; tries++) {
        pte_t *e = pt_entry(d, uva);
        if (e && entry_ready(*e, access)) {
            if (access == ACCESS_WRITE) *e |= PTE_D;
            *out = (u8 *)phys_to_virt(pte_frame(*e)) + (uva & PAGE_MASK);
            return S_OK;
        }
        status_t s = status_of(fault_handle(d, uva, access));
        if (s == S_RESTART) d->flags |= PROC_FLAG_PAGE_WAIT;
        if (s != S_OK) return s;
    }
    return E_FAULT;
}

static bool range_ok(u64 uva, u64 len) { return uva < USER_END && len <= USER_END - uva; }

// Faults in every page of the range, so that copies to it succeed.
status_t user_pin(struct proc *p, u64 uva, u64 len_bytes, enum fault_access access) {
    if (len_bytes == 0) return S_OK;
    if (!range_ok(uva, len_bytes)) return E_FAULT;
    u8 *at;
    for (u64 va = uva & ~PAGE_MASK; va < uva + len_bytes; va += PAGE_SIZE) {
        status_t s = user_page(p, MAX(va, uva), access, &at);
        if (s != S_OK) return s;
    }
    return S_OK;
}

static status_t copy(struct proc *p, u64 uva, u8 *mine, u64 len, bool write) {
    if (len && !range_ok(uva, len)) return E_FAULT;
    enum fault_access access = write ? ACCESS_WRITE : ACCESS_READ;
    status_t s = user_pin(p, uva, len, access);
    while (s == S_OK && len) {
        u8 *page;
        s = user_page(p, uva, access, &page);
        if (s != S_OK) break;
        u64 n = MIN(len, PAGE_SIZE - (uva & PAGE_MASK));
        if (write) memcpy(page, mine, n);
        else memcpy(mine, page, n);
        uva += n, mine += n, len -= n;
    }
    return s;
}

status_t user_read(struct proc *p, u64 uva, void *to, u64 len_bytes) {
    return copy(p, uva, to, len_bytes, false);
}

// All of the range is faulted in before the first byte is written.
status_t user_write(struct proc *p, u64 uva, const void *from, u64 len_bytes) {
    return copy(p, uva, (u8 *)(uintptr_t)from, len_bytes, true);
}

status_t user_read_string(struct proc *p, u64 uva, char *to, u64 size_bytes) {
    for (u64 done = 0; done < size_bytes;) {
        u8 *page;
        status_t s = user_page(p, uva + done, ACCESS_READ, &page);
        if (s != S_OK) return s;
        u64 n = MIN(size_bytes - done, PAGE_SIZE - ((uva + done) & PAGE_MASK));
        for (u64 i = 0; i < n; i++) {
            to[done + i] = (char)page[i];
            if (!page[i]) return S_OK;
        }
        done += n;
    }
    return E_NAMETOOLONG;
}

