// The table of objects that this node serves, and file_call: the one place that says
// whether a call is answered here or sent to another node. Called by kernel/file.c,
// exec, faults, and the cluster part for calls that came in. Lock: files_lock.
#include "base/string.h"
#include "kernel/files/locks.h"
#include "kernel/jobs.h"
#include "kernel/placement.h"
#include "kernel/random.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "mm/kmem.h"

#define OBJECTS_MAX (OBJECT_PAGES * OBJECTS_PER_PAGE)

struct spinlock files_lock = SPINLOCK_INIT(LOCK_RANK_FILES, "files");
struct file_hooks file_hooks;

struct object_table object_table;
static u32 slot_free = ~0u;
static u64 next_generation = OBJECT_GENERATION_ROOT + 1;
static struct object *roots[OBJECT_ROOTS];   // of /nodes/N/dev and /nodes/N/proc
// Who made the call that runs: a process here, or one of another node (NULL and its pid).
static struct proc *caller;
static u32 caller_pid;

// Starts generations where no earlier boot of this node had any, but for one chance in 2^30: who
// still has the name of an object of such a boot finds nothing.
void object_init(void) {
    next_generation = (u64)(rng_u32(&kernel_rng) >> 2) << 32 | (OBJECT_GENERATION_ROOT + 1);
}

// Puts an object into the table with one reference. E_NFILE, E_NOMEM. files_lock held.
status_t object_add(struct object *o, const struct object_ops *ops) {
    u32 index = slot_free;
    if (index != ~0u) {
        slot_free = (u32)(*object_slot(index) >> 1);
    } else {
        if (object_table.used == OBJECTS_MAX) return E_NFILE;
        u64 **page = &object_table.pages[object_table.used / OBJECTS_PER_PAGE];
        if (!*page) *page = kmem_alloc(OBJECTS_PER_PAGE * sizeof(u64));
        if (!*page) return E_NOMEM;
        index = object_table.used++;
    }
    *object_slot(index) = (u64)o;
    *o = (struct object){.ops = ops, .index = index, .refs = 1, .generation = next_generation++};
    return S_OK;
}

// The object of that name, or NULL. files_lock held.
struct object *object_find(struct object_id id) {
    if (id.generation == OBJECT_GENERATION_ROOT)
        return id.index < OBJECT_ROOTS ? roots[id.index] : NULL;
    if (object_is_user(id)) id.index = object_user_place(id);
    return object_find_at(id.index, id.generation);
}

void object_set_root(u32 index, struct object *o) { roots[index] = o; }

void object_get(struct object *o) { o->refs++; }

// Drops a reference; at the last one the server frees the object. files_lock held.
void object_put(struct object *o) {
    ASSERT(o->refs > 0);
    if (--o->refs) return;
    *object_slot(o->index) = ((u64)slot_free << 1) | 1;
    slot_free = o->index;
    o->generation = 0;
    o->ops->release(o);
}

struct object_id object_id_of(const struct object *o) {
    return (struct object_id){node_id, o->index, o->generation};
}

static status_t call_here(struct p9_call *c, struct proc *from);

// References on a root are not counted, so nothing is sent or done for them.
static bool uncounted(const struct p9_call *c) {
    return c->object.generation == OBJECT_GENERATION_ROOT &&
           (c->type == P9_TCLUNK || c->type == P9_TREF);
}

// The answer of the object's server, of this node or another. S_BACKGROUND: with what
// job_background wants in c->result.
static status_t answer_of(struct p9_call *c, struct proc *p) {
    if (c->object.node != node_id || (object_is_user(c->object) && !lock_is_call(c)))
        return file_hooks.remote_call ? file_hooks.remote_call(c) : E_HOSTUNREACH;
    const u32 continued = p ? p->continued : 0;
    const status_t s = call_here(c, p);
    if (s == S_BACKGROUND) c->result = continued;
    return s;
}

// Performs a call where its object is served. S_RESTART: the caller is on a wait list
// (or the request is out) and calls again with the same arguments when it wakes.
// Context: a system call or fault of the current process; no lock of rank files held.
status_t file_call(struct p9_call *c) {
    c->result = 0;
    if (uncounted(c)) return c->status = S_OK;
    struct proc *p = proc_current();
    c->status = answer_of(c, p);
    if (c->status == S_BACKGROUND && p) c->status = job_background(c);
    return c->status;
}

u32 file_caller_pid(void) { return caller_pid; }

static status_t call_here(struct p9_call *c, struct proc *from) {
    spin_lock(&files_lock);
    caller = from;
    caller_pid = from ? proc_desc(from)->pid : c->pid;
    if (from) c->uid = proc_desc(from)->euid, c->gid = proc_desc(from)->egid;
    struct object *o = object_find(c->object);
    if (!o) {
        c->status = E_BADF;
    } else if (c->type == P9_TCLUNK) {
        if (c->pid) ofd_closed(o, c->pid);
        object_put(o);
        c->status = S_OK;
    } else if (c->type == P9_TREF) {
        object_get(o);
        c->status = S_OK;
    } else {
        c->status = o->ops->call(o, c);
        if (from && c->status != S_RESTART) placement_used_here(from, c, o->kind);
    }
    spin_unlock(&files_lock);
    return c->status;
}

// A call by the kernel itself, for nobody: it never waits, and S_RESTART says only that
// nothing can be done now. files_lock held.
status_t object_call_alone(struct object *o, struct p9_call *c) {
    struct cpu *cpu = cpu_this();
    struct proc *current = cpu->current;
    cpu->current = NULL;                         // a broken pipe is no signal to who runs here
    caller = NULL;
    caller_pid = 0;
    c->result = 0;
    const status_t status = o->ops->call(o, c);
    cpu->current = current;
    return status;
}

// The caller of the file call that runs waits on w; its server returns S_RESTART. For a
// call that came from another node there is no process here: that one is repeated by
// file_hooks.changed.
void file_wait(struct wait_list *w) {
    if (caller) wait_on(w, caller);
}

// As file_wait, for what ends in bounded time whatever happens: a signal, also one that
// kills, waits for that, so that a read of a drive is never cut short.
void file_wait_io(struct wait_list *w) {
    if (!caller) return;
    spin_lock(&proc_lock);
    caller->thread->wait_uninterruptible = true;
    spin_unlock(&proc_lock);
    wait_on(w, caller);
}

// Wakes those on w, everybody who polls where `polled`, and parked requests of other nodes.
// files_lock held, as when they went on the list, so looking at an empty one loses nobody.
void file_wake_polled(struct wait_list *w, bool polled) {
    if (!list_empty(&w->head)) wait_wake_all(w);
    if (polled && !list_empty(&poll_wait.head)) wait_wake_all(&poll_wait);
    if (file_hooks.changed) file_hooks.changed();
}

void file_wake(struct wait_list *w) { file_wake_polled(w, true); }

enum data_move { DATA_PUT, DATA_GET, DATA_ZERO };

static void move(enum data_move how, void *data, void *mine, u64 len) {
    if (how == DATA_PUT) memcpy(data, mine, len);
    else if (how == DATA_GET) memcpy(mine, data, len);
    else memset(data, 0, len);
}

static u32 data_move(struct p9_call *c, u64 at, void *mine, u64 len, enum data_move how) {
    if (c->data.buffer) {
        move(how, (u8 *)c->data.buffer + at, mine, len);
        return (u32)len;
    }
    u64 done = 0;
    for (u32 i = 0; i < c->data.seg_count && done < len; i++) {
        u64 seg_len = c->data.seg[i].len;
        if (at >= seg_len) {
            at -= seg_len;
            continue;
        }
        u64 n = MIN(seg_len - at, len - done);
        move(how, (u8 *)phys_to_virt(c->data.seg[i].pa) + at, mine ? (u8 *)mine + done : NULL, n);
        done += n;
        at = 0;
    }
    return (u32)done;
}

// Copies into the call's data, from `at` bytes into it. Returns the bytes copied.
u32 data_put(struct p9_call *c, u64 at, const void *from, u64 len_bytes) {
    return data_move(c, at, (void *)(uintptr_t)from, len_bytes, DATA_PUT);
}
// Copies out of the call's data.
u32 data_get(struct p9_call *c, u64 at, void *to, u64 len_bytes) {
    return data_move(c, at, to, len_bytes, DATA_GET);
}
void data_zero(struct p9_call *c, u64 at, u64 len_bytes) {
    data_move(c, at, NULL, len_bytes, DATA_ZERO);
}

// Appends one entry {qid[13] offset[8] type[1] name[s]} at c->result. Spec: 9P2000.L.
bool data_dirent(struct p9_call *c, u64 qid_path, u64 next_offset, u32 mode, const char *name) {
    u8 e[24 + P9_NAME_MAX];
    size_t name_len = strlen(name);
    ASSERT(name_len <= P9_NAME_MAX);
    u64 len = 24 + name_len;
    if (c->result + len > c->count) return false;
    e[0] = (mode & S_IFMT) == S_IFDIR ? 0x80 : 0;
    memset(e + 1, 0, 4);
    memcpy(e + 5, &qid_path, 8);
    memcpy(e + 13, &next_offset, 8);
    e[21] = (u8)(mode >> 12);
    e[22] = (u8)name_len;
    e[23] = (u8)(name_len >> 8);
    memcpy(e + 24, name, name_len);
    data_put(c, c->result, e, len);
    c->result += len;
    return true;
}
