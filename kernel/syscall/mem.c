// System calls on the memory map: mmap, munmap, mprotect, brk, mremap, madvise.
#include "kernel/syscall/syscall.h"

enum { MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_TYPE = 15, MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20,
       MAP_FIXED_NOREPLACE = 0x100000 };
#define MREMAP_MAYMOVE 1u
#define MREMAP_FIXED 2u

static bool page_range(u64 start, u64 len) {
    return !(start & PAGE_MASK) && len && len <= USER_END && start <= USER_END - len;
}

static status_t choose_place(struct proc *p, const u64 *a, u64 len, u64 *start) {
    struct proc_desc *d = proc_desc(p);
    u64 hint = a[0], flags = a[3];
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (!page_range(hint, len) || hint < USER_MIN) return hint & PAGE_MASK ? E_INVAL : E_PERM;
        *start = hint;
        if (aspace_range_free(d, hint, hint + len)) return S_OK;
        if (flags & MAP_FIXED_NOREPLACE) return E_EXIST;
        return aspace_unmap(d, hint, hint + len);
    }
    hint &= ~PAGE_MASK;
    bool use = hint >= USER_MIN && page_range(hint, len) && hint + len <= USER_MMAP_TOP &&
               aspace_range_free(d, hint, hint + len);
    *start = use ? hint : aspace_find_free(d, len);
    return *start ? S_OK : E_NOMEM;
}

// Whether a device has memory to share at this offset (/dev/bench).
static bool device_maps(struct object_id device, u64 offset, const struct vma *v) {
    struct p9_call c = {.type = P9_TPAGE, .object = device, .offset = offset, .flags = 1};
    if (!(v->flags & VMA_SHARED) || file_call(&c) != S_OK) return false;
    frame_unref(paddr(c.result));
    return true;
}

// A shared mapping names the file itself, so that all who map it mean the same pages, however
// they opened it. *made: v->file is a reference to be given back.
static status_t share_file(struct object_id open, struct vma *v, bool *made) {
    struct p9_call flags = {.type = P9_TGETFL, .object = open};
    struct p9_call clone = {.type = P9_TWALK, .object = open};
    status_t s = file_call(&flags);
    if (s != S_OK) return s;
    const u32 mode = flags.flags & O_ACCMODE;
    if (mode == O_WRONLY || ((v->prot & PROT_WRITE_BIT) && mode != O_RDWR)) return E_ACCES;
    if (mode != O_RDWR) v->flags |= VMA_READ_ONLY;
    if (object_is_user(open)) {                  // the kernel keeps no pages of such a file
        if (v->prot & PROT_WRITE_BIT) return E_NODEV;
        v->flags = (v->flags & ~(u32)VMA_SHARED) | VMA_READ_ONLY;
        return S_OK;
    }
    s = file_call(&clone);
    if (s != S_OK) return s;
    v->file = clone.made;
    *made = true;
    return S_OK;
}

// What backs the mapping: a file by handle, a nameless file for shared memory, nothing.
static status_t choose_file(struct proc *p, const u64 *a, u64 len, struct vma *v, bool *temporary) {
    *temporary = false;
    if (!(a[3] & MAP_ANONYMOUS)) {
        const struct handle *h = handle_get(p, (i32)a[4]);
        if (!h) return E_BADF;
        struct p9_call c = {.type = P9_TGETATTR, .object = h->object};
        status_t s = file_call(&c);
        if (s != S_OK) return s;
        const bool regular = (c.attr.mode & S_IFMT) == S_IFREG;
        if (!regular && !device_maps(h->object, a[5], v)) return E_NODEV;
        v->file = h->object;
        v->file_offset = a[5];
        if (!regular) v->flags |= VMA_DEVICE;
        else if (v->flags & VMA_SHARED) s = share_file(h->object, v, temporary);
        if (s != S_OK) return s;
    } else if (v->flags & VMA_SHARED) {
        spin_lock(&files_lock);
        struct object *o = ramfs_anonymous();
        if (o) v->file = object_id_of(o);
        spin_unlock(&files_lock);
        if (!o) return E_NOMEM;
        *temporary = true;
        struct p9_call c = {.type = P9_TSETATTR, .object = v->file,
                            .attr = {.valid = P9_SETATTR_SIZE, .size = len}};
        return file_call(&c);
    }
    v->file_bytes = v->file.generation ? len : 0;
    return S_OK;
}

enum { MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_NAME_MAX = 250 };

// A file without a name. There are no seals: fcntl refuses them.
SYSCALL(memfd_create) {
    char name[MFD_NAME_MAX];
    if (a[1] & ~(u64)(MFD_CLOEXEC | MFD_ALLOW_SEALING)) return E_INVAL;
    status_t s = user_read_string(p, a[0], name, sizeof name);
    if (s != S_OK) return s == E_NAMETOOLONG ? E_INVAL : s;
    struct p9_call c = {0};
    spin_lock(&files_lock);
    struct object *o = ramfs_anonymous();
    s = o ? ofd_open(o, O_RDWR, &c) : E_NOMEM;
    if (o) object_put(o);
    spin_unlock(&files_lock);
    if (s != S_OK) return s;
    const i64 fd = handle_install(p, c.made, a[1] & MFD_CLOEXEC ? HANDLE_CLOEXEC : 0, 0);
    if (fd < 0) object_clunk(c.made);
    return fd;
}

SYSCALL(mmap) {
    u64 len = ALIGN_UP(a[1], PAGE_SIZE), type = a[3] & MAP_TYPE;
    if (a[1] == 0 || len < a[1] || (a[5] & PAGE_MASK)) return E_INVAL;
    if (len > USER_END) return E_NOMEM;
    if (type != MAP_SHARED && type != MAP_PRIVATE && type != 3) return E_INVAL;
    struct vma v = {.prot = (u32)a[2] & 7, .flags = type == MAP_PRIVATE ? 0 : VMA_SHARED};
    bool temporary;
    status_t s = choose_file(p, a, len, &v, &temporary);
    if (s == S_OK && temporary) v.file_bytes = len;
    if (s == S_OK) s = choose_place(p, a, len, &v.start);
    v.end = v.start + len;
    if (s == S_OK) s = vma_insert(proc_desc(p), &v);
    if (s == S_OK && (v.flags & VMA_SHARED)) proc_desc(p)->flags |= PROC_FLAG_SHARES;
    if (temporary) object_clunk(v.file);
    return s == S_OK ? (i64)v.start : s;
}

SYSCALL(munmap) {
    u64 len = ALIGN_UP(a[1], PAGE_SIZE);
    if (!page_range(a[0], len)) return E_INVAL;
    return aspace_unmap(proc_desc(p), a[0], a[0] + len);
}

SYSCALL(mprotect) {
    u64 len = ALIGN_UP(a[1], PAGE_SIZE);
    if (len == 0 && !(a[0] & PAGE_MASK)) return 0;
    if (!page_range(a[0], len)) return a[0] & PAGE_MASK ? E_INVAL : E_NOMEM;
    return aspace_protect(proc_desc(p), a[0], a[0] + len, (u32)a[2] & 7);
}

SYSCALL(brk) {
    struct proc_desc *d = proc_desc(p);
    u64 want = a[0], old = ALIGN_UP(d->brk_end, PAGE_SIZE), made = ALIGN_UP(want, PAGE_SIZE);
    if (want < d->brk_start || want > USER_MMAP_TOP) return (i64)d->brk_end;
    if (made < old && aspace_unmap(d, made, old) != S_OK) return (i64)d->brk_end;
    if (made > old) {
        struct vma v = {.start = old, .end = made, .prot = 3, .flags = VMA_HEAP};
        if (!aspace_range_free(d, old, made) || vma_insert(d, &v) != S_OK) return (i64)d->brk_end;
    }
    d->brk_end = want;
    return (i64)want;
}

static i64 remap_move(struct proc *p, const struct vma *old, u64 from, u64 old_len, u64 new_len) {
    struct proc_desc *d = proc_desc(p);
    struct vma v = *old;
    v.start = aspace_find_free(d, new_len);
    if (!v.start) return E_NOMEM;
    v.end = v.start + new_len;
    u64 skip = from - old->start;
    v.file_offset += skip;
    v.file_bytes = old->file.generation ? (old->file_bytes > skip ? old->file_bytes - skip : 0) : 0;
    status_t s = vma_insert(d, &v);
    if (s == S_OK) s = aspace_move(d, from, v.start, old_len);
    if (s == S_OK) s = aspace_unmap(d, from, from + old_len);
    return s == S_OK ? (i64)v.start : s;
}

SYSCALL(mremap) {
    struct proc_desc *d = proc_desc(p);
    u64 from = a[0], old_len = ALIGN_UP(a[1], PAGE_SIZE), new_len = ALIGN_UP(a[2], PAGE_SIZE);
    if (!page_range(from, old_len) || !new_len || new_len > USER_END) return E_INVAL;
    if (a[3] & ~(u64)MREMAP_MAYMOVE) return E_INVAL;
    const struct vma *v = vma_find(d, from);
    if (!v || from + old_len > v->end) return E_FAULT;
    if (new_len <= old_len) {
        status_t s = new_len < old_len ? aspace_unmap(d, from + new_len, from + old_len) : S_OK;
        return s == S_OK ? (i64)from : s;
    }
    struct vma grown = *v;
    if (from + old_len == v->end && !v->file.generation && from + new_len <= USER_MMAP_TOP &&
        aspace_range_free(d, v->end, from + new_len)) {
        grown.start = v->end;
        grown.end = from + new_len;
        status_t s = vma_insert(d, &grown);
        return s == S_OK ? (i64)from : s;
    }
    return a[3] & MREMAP_MAYMOVE ? remap_move(p, &grown, from, old_len, new_len) : E_NOMEM;
}

#define MADV_DONTNEED 4u
SYSCALL(madvise) {
    u64 len = ALIGN_UP(a[1], PAGE_SIZE);
    if (len == 0) return 0;
    if (!page_range(a[0], len)) return E_INVAL;
    if (a[2] != MADV_DONTNEED) return 0;
    for (u64 va = a[0]; va < a[0] + len;) {
        const struct vma *v = vma_find(proc_desc(p), va);
        if (!v) return E_NOMEM;
        u64 end = MIN(v->end, a[0] + len);
        pt_clear_range(proc_desc(p), va, end);
        va = end;
    }
    return 0;
}
SYSCALL(msync) { UNUSED(p); UNUSED(a); return 0; }
#define MINCORE_PAGES_MAX 262144u    // 1 GiB a call: it does not wait in between
SYSCALL(mincore) {
    u64 pages = ALIGN_UP(a[1], PAGE_SIZE) / PAGE_SIZE;
    u8 one = 1;
    if (a[0] & PAGE_MASK) return E_INVAL;
    if (pages > MINCORE_PAGES_MAX) return E_NOMEM;
    for (u64 i = 0; i < pages; i++) {
        if (!vma_find(proc_desc(p), a[0] + i * PAGE_SIZE)) return E_NOMEM;
        status_t s = user_write(p, a[2] + i, &one, 1);
        if (s != S_OK) return s;
    }
    return 0;
}
SYSCALL(mlock) { UNUSED(p); UNUSED(a); return 0; }
SYSCALL(munlock) { UNUSED(p); UNUSED(a); return 0; }
