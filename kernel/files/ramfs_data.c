// The pages of files in memory: reading, writing, mapping, cutting. A file's pages are FRAME_USER
// frames: mapping one puts the very frame into a user's page table, and members of the cluster may
// read what a process maps. A write to a page that somebody maps privately goes to a fresh frame,
// so mapped pages never change under their mapper (a frozen image can be read while the file is
// written). Called by ramfs.c; lock: files_lock.
#include "kernel/files/ramfs_priv.h"

#include "base/string.h"
#include "kernel/files/ramfs.h"
#include "kernel/share_map.h"
#include "mm/kmem.h"

u64 *ramfs_page_slot(struct ramfs_node *n, u64 page, bool make) {
    u64 i = page / 512;
    if (i >= RAMFS_TOP_ENTRIES) return NULL;
    if (!n->top) {
        if (!make) return NULL;
        n->top = kmem_alloc(RAMFS_TOP_ENTRIES * sizeof(u64 *));
        if (!n->top) return NULL;
    }
    if (!n->top[i]) {
        if (!make) return NULL;
        n->top[i] = kmem_alloc(512 * sizeof(u64));
        if (!n->top[i]) return NULL;
    }
    return &n->top[i][page % 512];
}

void ramfs_pages_drop(struct ramfs_node *n, u64 from_page) {
    if (!n->top) return;
    for (u64 i = from_page / 512; i < RAMFS_TOP_ENTRIES; i++) {
        if (!n->top[i]) continue;
        u64 first = i == from_page / 512 ? from_page % 512 : 0;
        for (u64 j = first; j < 512; j++) {
            if (!n->top[i][j]) continue;
            frame_unref(paddr(n->top[i][j]));
            n->top[i][j] = 0;
            n->pages--;
        }
        if (first == 0) {
            kmem_free(n->top[i], 512 * sizeof(u64));
            n->top[i] = NULL;
        }
    }
    if (from_page == 0) {
        kmem_free(n->top, RAMFS_TOP_ENTRIES * sizeof(u64 *));
        n->top = NULL;
    }
}

// The frame of a page that is about to be written: made, or moved away from a mapper.
static u8 *page_for_write(struct ramfs_node *n, u64 page) {
    u64 *slot = ramfs_page_slot(n, page, true);
    if (!slot) return NULL;
    if (*slot && (n->shared || frame_refs(paddr(*slot)) == 1)) return phys_to_virt(paddr(*slot));
    paddr_t frame = frame_alloc(FRAME_USER);
    if (frame.v == 0) return NULL;
    if (*slot) {
        memcpy(phys_to_virt(frame), phys_to_virt(paddr(*slot)), PAGE_SIZE);
        frame_unref(paddr(*slot));
    } else {
        n->pages++;
    }
    *slot = frame.v;
    return phys_to_virt(frame);
}

// All pages of the range are this node's, to read or to write, for as long as the lock is held.
static status_t range_is_here(const struct ramfs_node *n, u64 offset, u64 count, bool write) {
    if (!n->shared || count == 0) return S_OK;
    for (u64 page = offset / PAGE_SIZE; page <= (offset + count - 1) / PAGE_SIZE; page++) {
        const status_t s = share_map_may(&n->object, page, write);
        if (s != S_OK) return s;
    }
    return S_OK;
}

status_t ramfs_write(struct ramfs_node *n, struct p9_call *c) {
    if (ramfs_is_type(n, S_IFDIR)) return E_ISDIR;
    if (c->offset > RAMFS_SIZE_MAX || c->count > RAMFS_SIZE_MAX - c->offset) return E_FBIG;
    const status_t s = range_is_here(n, c->offset, c->count, true);
    if (s != S_OK) return s;
    while (c->result < c->count) {
        u64 at = c->offset + c->result, in_page = at & PAGE_MASK;
        u64 len = MIN(PAGE_SIZE - in_page, c->count - c->result);
        u8 *page = page_for_write(n, at / PAGE_SIZE);
        if (!page) return c->result ? S_OK : E_NOSPC;
        data_get(c, c->result, page + in_page, len);
        c->result += len;
        if (at + len > n->size) n->size = at + len;
    }
    if (c->count) n->mtime_ns = n->ctime_ns = time_wall_ns();
    if (c->count) ramfs_ids_drop(n, c);
    return S_OK;
}

status_t ramfs_read(struct ramfs_node *n, struct p9_call *c) {
    if (ramfs_is_type(n, S_IFDIR)) return E_ISDIR;
    if (c->offset >= n->size) return S_OK;
    u64 count = MIN(c->count, n->size - c->offset);
    const status_t s = range_is_here(n, c->offset, count, false);
    if (s != S_OK) return s;
    while (c->result < count) {
        u64 at = c->offset + c->result, in_page = at & PAGE_MASK;
        u64 len = MIN(PAGE_SIZE - in_page, count - c->result);
        u64 *slot = ramfs_page_slot(n, at / PAGE_SIZE, false);
        if (slot && *slot) {
            data_put(c, c->result, (u8 *)phys_to_virt(paddr(*slot)) + in_page, len);
        } else {
            data_zero(c, c->result, len);
        }
        c->result += len;
    }
    n->atime_ns = time_wall_ns();
    return S_OK;
}

status_t ramfs_page(struct ramfs_node *n, struct p9_call *c) {
    if (!ramfs_is_type(n, S_IFREG)) return E_NODEV;
    if (c->offset >= ALIGN_UP(n->size, PAGE_SIZE)) return E_NXIO;
    u64 *slot = ramfs_page_slot(n, c->offset / PAGE_SIZE, true);
    if (!slot) return E_NOMEM;
    if (!*slot) {
        if (!page_for_write(n, c->offset / PAGE_SIZE)) return E_NOMEM;
    }
    const u64 page = c->offset / PAGE_SIZE;
    const status_t s = share_map_may(&n->object, page, (c->flags & P9_PAGE_WRITE) != 0);
    if (s != S_OK) return s;
    if (c->flags & P9_PAGE_SHARED) {
        n->shared = true;
        frame_set_use(paddr(*slot), FRAME_SHARED);
        c->value = share_map_writable(&n->object, page);
    }
    frame_ref(paddr(*slot));
    c->result = *slot;
    return S_OK;
}

status_t ramfs_set_size(struct ramfs_node *n, u64 size) {
    if (ramfs_is_type(n, S_IFDIR)) return E_ISDIR;
    if (!ramfs_is_type(n, S_IFREG)) return E_INVAL;
    if (size > RAMFS_SIZE_MAX) return E_FBIG;
    if (size < n->size) {
        const status_t s = n->shared ? share_map_cut(&n->object, size / PAGE_SIZE) : S_OK;
        if (s != S_OK) return s;
        ramfs_pages_drop(n, (size + PAGE_MASK) / PAGE_SIZE);
        u64 *slot = ramfs_page_slot(n, size / PAGE_SIZE, false);
        if ((size & PAGE_MASK) && slot && *slot) {
            u8 *page = page_for_write(n, size / PAGE_SIZE);
            if (!page) return E_NOMEM;
            memset(page + (size & PAGE_MASK), 0, PAGE_SIZE - (size & PAGE_MASK));
        }
    }
    n->size = size;
    n->mtime_ns = n->ctime_ns = time_wall_ns();
    return S_OK;
}
