// What a listing of /proc shows: its own files and the processes of all nodes, by number, each
// once. The list is made when /proc is opened, with the others' numbers from the opener
// (kernel/proc_path.c). Called through synth.c and file_call; lock: files_lock.
#include "base/string.h"
#include "kernel/files/procfs.h"
#include "kernel/klog.h"
#include "mm/kmem.h"

#define DOTS 2u                          // "." and ".."

struct proc_list {
    struct object object;
    struct object *root;             // a reference: of /proc itself
    u32 files;                       // entries of proc_kernel_files
    u32 count, size;                 // of pids
    u32 pids[];
};

// In place, by heap: bounded time whatever the order.
static void sift(u32 *v, u32 at, u32 count) {
    for (u32 child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && v[child] < v[child + 1]) child++;
        if (v[at] >= v[child]) return;
        const u32 x = v[at];
        v[at] = v[child];
        v[child] = x;
    }
}

// Sorts, and drops what stands there twice. Returns how many are left.
static u32 sort_unique(u32 *v, u32 count) {
    for (u32 i = count / 2; i-- > 0;) sift(v, i, count);
    for (u32 end = count; end-- > 1;) {
        const u32 x = v[0];
        v[0] = v[end];
        v[end] = x;
        sift(v, 0, end);
    }
    u32 left = 0;
    for (u32 i = 0; i < count; i++)
        if (left == 0 || v[left - 1] != v[i]) v[left++] = v[i];
    return left;
}

static u32 lines_of(struct p9_call *c) {
    u32 lines = 0;
    for (u64 i = 0; c->data.buffer && i < c->count; i++)
        lines += ((const char *)c->data.buffer)[i] == '\n';
    return lines;
}

// Each line is a number; anything else in it is left out.
static u32 parse(struct p9_call *c, u32 *pids, u32 size) {
    u32 count = 0, pid = 0;
    for (u64 i = 0; c->data.buffer && i < c->count && count < size; i++) {
        const char ch = ((const char *)c->data.buffer)[i];
        if (ch >= '0' && ch <= '9') pid = pid * 10 + (u32)(ch - '0');
        if (ch != '\n') continue;
        pids[count++] = pid;
        pid = 0;
    }
    return count;
}

static status_t list_read(const struct proc_list *l, struct p9_call *c) {
    for (u64 i = c->offset; i < DOTS + l->files + l->count; i++) {
        char number[16];
        const char *name = number;
        u32 mode = S_IFDIR;
        if (i < DOTS) {
            name = i ? ".." : ".";
        } else if (i < DOTS + l->files) {
            name = proc_kernel_files[i - DOTS].name;
            mode = proc_kernel_files[i - DOTS].mode;
        } else {
            ksnprintf(number, sizeof number, "%u", l->pids[i - DOTS - l->files]);
        }
        if (!data_dirent(c, i + 1, i + 1, mode, name)) return S_OK;
        c->value = i + 1;
    }
    return S_OK;
}

static status_t list_call(struct object *o, struct p9_call *c) {
    const struct proc_list *l = CONTAINER_OF(o, struct proc_list, object);
    switch (c->type) {
    case P9_TREADDIR: return list_read(l, c);
    case P9_TLOPEN: return proc_list_open(l->root, c);
    default: return l->root->ops->call(l->root, c);
    }
}

static void list_release(struct object *o) {
    struct proc_list *l = CONTAINER_OF(o, struct proc_list, object);
    object_put(l->root);
    kmem_free(l, sizeof *l + l->size * sizeof l->pids[0]);
}

static const struct object_ops list_ops = {"proc", list_call, list_release};

// Errors: E_NOMEM, E_NFILE.
status_t proc_list_open(struct object *root, struct p9_call *c) {
    const u32 away = lines_of(c), size = proc_count + away;
    struct proc_list *l = kmem_alloc(sizeof *l + size * sizeof l->pids[0]);
    if (!l) return E_NOMEM;
    status_t s = object_add(&l->object, &list_ops);
    if (s != S_OK) {
        kmem_free(l, sizeof *l + size * sizeof l->pids[0]);
        return s;
    }
    object_get(root);
    l->root = root;
    l->size = size;
    while (proc_kernel_files[l->files].name) l->files++;
    const u32 here = proc_list_here(l->pids, proc_count);
    l->count = sort_unique(l->pids, here + parse(c, l->pids + here, away));
    s = ofd_open(&l->object, c->flags, c);
    object_put(&l->object);
    return s;
}
