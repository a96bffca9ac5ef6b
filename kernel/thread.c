// The threads of a process. Its descriptor holds the context of the one that runs; the context
// of each other lies in the page of its slot, in the process's own address space but for the
// kernel alone (THREAD_PAGES_VA), so it moves, drains and ends as all pages do. What is asked of
// a thread while it is away from the descriptor (its tid, mask, wait) stands in the table of
// struct thread_entry in auxiliary frames. Threads take turns at the edge, on the CPU that runs
// their process: two of them never run at once, so the memory of a process, its handles and
// its page tables have one user at a time.
// Locks: shadows and entries under proc_lock; contexts belong to the CPU that runs the process.
#include "kernel/thread.h"

#include "base/string.h"
#include "kernel/futex.h"
#include "kernel/time.h"
#include "kernel/uaccess.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/fpu.h"
#include "kernel/x86/msr.h"
#include "mm/kmem.h"

#define ENTRY_FLAGS (PROC_FLAG_RESTORE_MASK | PROC_FLAG_PAGE_WAIT)

static struct wait_list held = WAIT_LIST_INIT(held);     // see thread_hold

struct thread_context {
    struct user_regs regs;
    u64 fs_base, gs_base;
    struct proc_wait wait;
    u64 signal_saved_mask, sigaltstack_sp, sigaltstack_size;
    u32 sigaltstack_flags, unused;
    u64 clear_child_tid, robust_list;
    u8 xsave[PROC_XSAVE_MAX] __attribute__((aligned(64)));
};
_Static_assert(sizeof(struct thread_context) <= PAGE_SIZE, "one page");

// --- shadows and entries ---------------------------------------------------------------------

static void shadow_begin(struct thread *t, struct proc *p, u32 tid, u32 slot) {
    memset(t, 0, sizeof *t);
    t->p = p, t->tid = tid, t->slot = slot;
    t->timer.p = p, t->timer.thread = t;
    list_init(&t->wait);
    list_init(&t->timer.link);
    list_init(&t->link);
}

void thread_init_first(struct proc *p) {
    shadow_begin(&p->first, p, proc_desc(p)->tid, 0);
    list_init(&p->threads);
    list_push_back(&p->threads, &p->first.link);
    p->thread = &p->first;
    p->awake = 1;
    p->alarm.p = p;
    list_init(&p->alarm.link);
}

// The entry of a slot; NULL where its frame is not there.
struct thread_entry *thread_entry(const struct proc_desc *d, u32 slot) {
    const u64 frame = d->aux[PROC_AUX_THREADS + slot / THREADS_PER_FRAME];
    if (frame == 0) return NULL;
    return (struct thread_entry *)phys_to_virt(paddr(frame)) + slot % THREADS_PER_FRAME;
}

// The thread of p with that number; NULL: it has none. proc_lock held.
struct thread *thread_find(struct proc *p, u32 tid) {
    LIST_FOR_EACH(it, &p->threads) {
        struct thread *t = LIST_ENTRY(it, struct thread, link);
        if (t->tid == tid) return t;
    }
    return NULL;
}

// The thread of any process that lives here. proc_lock held.
struct thread *thread_find_any(u32 tid) {
    for (u32 i = 0; i < proc_end; i++) {
        const enum proc_state s = procs[i].state;
        if (s == PROC_FREE || s == PROC_AWAY || s == PROC_NEW || s == PROC_ZOMBIE) continue;
        struct thread *t = thread_find(&procs[i], tid);
        if (t) return t;
    }
    return NULL;
}

// Whether a thread of p but its first has this number. proc_lock held.
bool thread_tid_used(const struct proc *p, u32 tid) {
    return proc_desc(p)->thread_count > 1 && thread_find((struct proc *)(uintptr_t)p, tid) != NULL;
}

static bool runs(const struct thread *t) { return t->p->thread == t; }

// The signals that t blocks, bit n - 1 for signal n. proc_lock held.
u64 thread_mask(const struct thread *t) {
    const struct proc_desc *d = proc_desc(t->p);
    return runs(t) ? d->signal_mask : thread_entry(d, t->slot)->signal_mask;
}

// Signals for that thread alone.
u64 thread_pending(const struct thread *t) {
    const struct proc_desc *d = proc_desc(t->p);
    return runs(t) ? d->thread_pending : thread_entry(d, t->slot)->signal_pending;
}

// More of them. proc_lock held.
void thread_pending_add(struct thread *t, u64 signals) {
    struct proc_desc *d = proc_desc(t->p);
    if (runs(t)) d->thread_pending |= signals;
    else thread_entry(d, t->slot)->signal_pending |= signals;
}

// The futex that t waits for was woken: its call, run again here or on another node, ends with 0.
// proc_lock held.
void thread_futex_woken(struct thread *t) {
    struct proc_desc *d = proc_desc(t->p);
    if (runs(t)) d->futex_woken = 1;
    else thread_entry(d, t->slot)->flags |= THREAD_FUTEX_WOKEN;
}

// Whether a call of t waits to run again, and the tag of its remote calls.
bool thread_in_call(const struct thread *t, u64 *request_tag) {
    const struct proc_desc *d = proc_desc(t->p);
    if (runs(t)) {
        *request_tag = d->wait.request_tag;
        return d->wait.nr >= 0;
    }
    const struct thread_entry *e = thread_entry(d, t->slot);
    *request_tag = e->request_tag;
    return (e->flags & THREAD_IN_CALL) != 0;
}

// A thread's call has a request out, or an answer to take: the process does not leave yet.
bool thread_call_out(const struct proc *p) {
    LIST_FOR_EACH(it, &p->threads) {
        u64 tag;
        if (thread_in_call(LIST_ENTRY(it, struct thread, link), &tag) && tag != 0) return true;
    }
    return false;
}

// --- contexts --------------------------------------------------------------------------------

// The page of a slot. S_RESTART: it comes from another node, and p's running thread waits.
static status_t context_page(struct proc *p, u32 slot, struct thread_context **out) {
    void *page;
    switch (fault_hidden_page(proc_desc(p), THREAD_PAGES_VA + slot * PAGE_SIZE, &page)) {
    case FAULT_DONE: *out = page; return S_OK;
    case FAULT_WAIT: return S_RESTART;
    case FAULT_NOMEM: return E_NOMEM;
    default: return E_IO;                        // it lay on a node that is gone
    }
}

// The descriptor's context, whose vector state is in its image, into its own page.
static void context_store(struct proc *p, struct thread_context *c) {
    const struct proc_desc *d = proc_desc(p);
    struct thread_entry *e = thread_entry(d, d->thread_slot);
    c->regs = d->regs;
    c->fs_base = d->fs_base, c->gs_base = d->gs_base;
    c->wait = d->wait;
    c->signal_saved_mask = d->signal_saved_mask;
    c->sigaltstack_sp = d->sigaltstack_sp, c->sigaltstack_size = d->sigaltstack_size;
    c->sigaltstack_flags = d->sigaltstack_flags;
    c->clear_child_tid = d->clear_child_tid, c->robust_list = d->robust_list;
    memcpy(c->xsave, d->xsave, MIN(d->xsave_bytes, PROC_XSAVE_MAX));
    e->flags = (d->flags & ENTRY_FLAGS) | (d->wait.nr >= 0 ? THREAD_IN_CALL : 0) |
               (d->futex_woken ? THREAD_FUTEX_WOKEN : 0);
    e->signal_mask = d->signal_mask, e->signal_pending = d->thread_pending;
    e->deadline_ns = d->wait.deadline_ns, e->request_tag = d->wait.request_tag;
    e->cpu_ns = d->thread_cpu_ns;
    memcpy(e->name, d->name, sizeof e->name);
}

static void context_load(struct proc *p, struct thread *t, const struct thread_context *c) {
    struct proc_desc *d = proc_desc(p);
    const struct thread_entry *e = thread_entry(d, t->slot);
    d->regs = c->regs;
    d->fs_base = c->fs_base, d->gs_base = c->gs_base;
    d->wait = c->wait;
    d->wait.deadline_ns = e->deadline_ns;        // it may have moved since
    d->signal_saved_mask = c->signal_saved_mask;
    d->sigaltstack_sp = c->sigaltstack_sp, d->sigaltstack_size = c->sigaltstack_size;
    d->sigaltstack_flags = c->sigaltstack_flags;
    d->clear_child_tid = c->clear_child_tid, d->robust_list = c->robust_list;
    memcpy(d->xsave, c->xsave, MIN(d->xsave_bytes, PROC_XSAVE_MAX));
    d->flags = (d->flags & ~ENTRY_FLAGS) | (e->flags & ENTRY_FLAGS);
    d->futex_woken = (e->flags & THREAD_FUTEX_WOKEN) != 0;
    d->signal_mask = e->signal_mask, d->thread_pending = e->signal_pending;
    d->thread_cpu_ns = e->cpu_ns;
    memcpy(d->name, e->name, sizeof d->name);
    d->tid = t->tid, d->thread_slot = t->slot;
    p->thread = t;
}

// Takes the registers of the CPU that runs p into its descriptor, or back out of it.
static void cpu_save(struct proc_desc *d) {
    fpu_save(d);
    d->fs_base = rdmsr(MSR_FS_BASE);
    d->gs_base = rdmsr(MSR_KERNEL_GS_BASE);
}
static void cpu_load(struct proc_desc *d) {
    fpu_sanitize(d);
    fpu_load(d);
    wrmsr(MSR_FS_BASE, d->fs_base);
    wrmsr(MSR_KERNEL_GS_BASE, d->gs_base);
}

// CPU time since it went on its CPU goes to the running thread.
static void thread_account(struct proc *p, u64 now_ns) {
    proc_desc(p)->thread_cpu_ns += now_ns - p->thread_start_ns;
    p->thread_start_ns = now_ns;
}

// Of the running thread of a process that is on this CPU.
u64 thread_cpu_ns(const struct proc *p, u64 now_ns) {
    return proc_desc(p)->thread_cpu_ns + now_ns - p->thread_start_ns;
}

// --- turns -----------------------------------------------------------------------------------

// The thread whose turn comes after the running one's; that one goes to the end. NULL: no other
// is awake; *goes_on says whether the running one is, and if not the process waits.
static struct thread *next_awake(struct proc *p, bool *goes_on) {
    struct thread *found = NULL;
    spin_lock(&proc_lock);
    list_remove(&p->thread->link);
    list_push_back(&p->threads, &p->thread->link);
    LIST_FOR_EACH(it, &p->threads) {
        struct thread *t = LIST_ENTRY(it, struct thread, link);
        if (t->waiting || t == p->thread) continue;
        found = t;
        break;
    }
    *goes_on = !p->thread->waiting;
    if (!found && !*goes_on && p->state == PROC_RUNNING) p->state = PROC_WAITING;
    spin_unlock(&proc_lock);
    return found;
}

// The page of t's context; where it lies on another node, t itself waits for it.
static status_t context_for(struct proc *p, struct thread *t, struct thread_context **out) {
    struct thread *const running = p->thread;
    t->woken = false;                            // it will run its call again in any case
    p->thread = t;
    const status_t s = context_page(p, t->slot, out);
    p->thread = running;
    return s;
}

static void turn_to(struct proc *p, struct thread *t, struct thread_context *mine,
                    const struct thread_context *theirs) {
    struct proc_desc *d = proc_desc(p);
    thread_account(p, time_now_ns());
    cpu_save(d);
    spin_lock(&proc_lock);
    context_store(p, mine);
    context_load(p, t, theirs);
    t->woken = false;
    spin_unlock(&proc_lock);
    cpu_load(d);
}

// Lets another thread of the current process run, if one can. False: none, and the running one
// waits; then so does the process. Context: the edge, no lock held.
bool thread_turn(struct proc *p) {
    struct thread_context *mine, *theirs;
    status_t s = S_RESTART;
    bool goes_on;
    for (u32 tries = 0; tries < THREADS_MAX && s == S_RESTART; tries++) {
        struct thread *t = next_awake(p, &goes_on);
        if (!t) return goes_on;
        s = context_for(p, t, &theirs);
        if (s == S_RESTART) continue;            // t waits for it now: who is next?
        if (s == S_OK) s = context_page(p, p->thread->slot, &mine);
        if (s == S_RESTART) break;               // the running one waits for its own
        if (s == S_OK) turn_to(p, t, mine, theirs);
    }
    spin_lock(&proc_lock);
    if (s != S_OK && s != S_RESTART) p->kill_pending = true;   // no memory, or it is lost
    goes_on = s != S_RESTART || !p->thread->waiting;
    if (!goes_on && p->state == PROC_RUNNING) p->state = PROC_WAITING;
    spin_unlock(&proc_lock);
    return goes_on;
}

// The current process is to move, once no thread of it has a call out: the running one waits for
// that, where it has none itself. Else one of those that call on and on would always be out.
// Context: the edge, no lock held.
void thread_hold(struct proc *p) {
    u64 tag;
    spin_lock(&proc_lock);
    const bool out = thread_in_call(p->thread, &tag) && tag != 0;
    if (p->freeze_wanted && !out && thread_call_out(p) && !signal_is_deliverable(p))
        wait_on_locked(&held, p, false);
    spin_unlock(&proc_lock);
}

// A move that was wanted has come to an end. proc_lock held.
void thread_held_go_on_locked(void) { wait_wake_all_locked(&held); }

// Each thread runs its call again: what the process waited for is another node's now, or it
// was not given. proc_lock held.
void thread_all_awake_locked(struct proc *p) {
    LIST_FOR_EACH(it, &p->threads) wait_end_locked(LIST_ENTRY(it, struct thread, link));
    list_remove(&p->alarm.link);
}

// --- beginning and end -----------------------------------------------------------------------

enum {
    CLONE_VM = 0x100, CLONE_SIGHAND = 0x800, CLONE_THREAD = 0x10000, CLONE_SETTLS = 0x80000,
    CLONE_PARENT_SETTID = 0x100000, CLONE_CHILD_CLEARTID = 0x200000,
    CLONE_CHILD_SETTID = 0x1000000,
};

// A free slot, its entry's frame made. THREADS_MAX: none.
static u32 slot_find(struct proc_desc *d) {
    for (u32 slot = 0; slot < THREADS_MAX; slot++) {
        u64 *frame = &d->aux[PROC_AUX_THREADS + slot / THREADS_PER_FRAME];
        if (*frame == 0) *frame = frame_alloc(FRAME_DESC).v;
        if (*frame == 0) return THREADS_MAX;
        if (thread_entry(d, slot)->tid == 0 && slot != d->thread_slot) return slot;
    }
    return THREADS_MAX;
}

static status_t clone_check(struct proc *p, const struct fork_args *args) {
    const u64 needed = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
    if ((args->flags & needed) != needed || !args->stack) return E_INVAL;
    if ((args->flags & CLONE_SETTLS) && args->tls >= USER_END) return E_PERM;
    status_t s = S_OK;
    if (args->flags & CLONE_PARENT_SETTID) s = user_pin(p, args->parent_tid, 4, ACCESS_WRITE);
    if (s == S_OK && (args->flags & CLONE_CHILD_SETTID))
        s = user_pin(p, args->child_tid, 4, ACCESS_WRITE);
    return s;
}

// The caller's context, as the new thread begins with it.
static void clone_context(struct proc *p, const struct fork_args *args, struct thread_context *c,
                          struct thread_entry *e) {
    const struct proc_desc *d = proc_desc(p);
    memset(c, 0, sizeof *c);
    c->regs = d->regs;
    c->regs.rax = 0;
    c->regs.orig_rax = ~0ull;
    c->regs.rsp = args->stack;
    c->fs_base = args->flags & CLONE_SETTLS ? args->tls : rdmsr(MSR_FS_BASE);
    c->gs_base = rdmsr(MSR_KERNEL_GS_BASE);
    c->wait.nr = -1;
    c->sigaltstack_flags = 2;                    // SS_DISABLE
    if (args->flags & CLONE_CHILD_CLEARTID) c->clear_child_tid = args->child_tid;
    memcpy(c->xsave, d->xsave, sizeof c->xsave);
    *e = (struct thread_entry){.signal_mask = d->signal_mask};
    memcpy(e->name, d->name, sizeof e->name);
}

// Makes a thread of the current process.
//   args  as clone(2)'s; CLONE_VM, CLONE_SIGHAND and CLONE_THREAD are among the flags
// E_INVAL, E_AGAIN (THREADS_MAX live), E_NOMEM, E_FAULT, S_RESTART: nothing has changed then.
status_t thread_clone(struct proc *p, const struct fork_args *args, u32 *tid_out) {
    struct proc_desc *d = proc_desc(p);
    struct thread_context *c;
    status_t s = clone_check(p, args);
    if (s != S_OK) return s;
    const u32 slot = slot_find(d);
    if (slot == THREADS_MAX) return E_AGAIN;
    s = context_page(p, slot, &c);
    if (s != S_OK) return s;
    struct thread *t = kmem_alloc(sizeof *t);
    if (!t) return E_NOMEM;
    fpu_save(d);
    spin_lock(&proc_lock);
    const u32 tid = proc_pid_new();
    if (tid) {
        struct thread_entry *e = thread_entry(d, slot);
        clone_context(p, args, c, e);
        e->tid = tid;
        thread_entry(d, d->thread_slot)->tid = d->tid;
        shadow_begin(t, p, tid, slot);
        list_push_back(&p->threads, &t->link);
        d->thread_count++;
        p->awake++;
    }
    spin_unlock(&proc_lock);
    if (!tid) {
        kmem_free(t, sizeof *t);
        return E_AGAIN;
    }
    if (args->flags & CLONE_PARENT_SETTID) (void)user_write(p, args->parent_tid, &tid, 4);
    if (args->flags & CLONE_CHILD_SETTID) (void)user_write(p, args->child_tid, &tid, 4);
    *tid_out = tid;
    return S_OK;
}

static void shadow_free_locked(struct thread *t) {
    wait_end_locked(t);
    list_remove(&t->link);
    t->p->awake--;
    if (t != &t->p->first) kmem_free(t, sizeof *t);
}

// Ends the running thread of the current process, one of several. After S_OK another's
// context is in the descriptor. Anything else: nothing has changed, the call runs again
// (S_RESTART), or the process cannot go on.
status_t thread_exit(struct proc *p, i32 wait_status) {
    struct proc_desc *d = proc_desc(p);
    struct thread_context *c = NULL;
    struct thread *const me = p->thread;
    status_t s = futex_robust_exit(p, d->robust_list, d->tid);
    if (s == S_OK) d->robust_list = 0;           // what is done is not done again
    if (s == S_OK && d->clear_child_tid) {
        const u32 zero = 0;
        s = user_write(p, d->clear_child_tid, &zero, sizeof zero);
        if (s == S_OK) futex_wake_at(p, d->clear_child_tid, 1);
    }
    if (s == S_RESTART) return s;                // a bad address of the user's is the user's
    d->clear_child_tid = 0;                      // who joined it may use the word anew
    bool goes_on;
    struct thread *next = next_awake(p, &goes_on);
    if (!next) next = LIST_ENTRY(p->threads.next, struct thread, link);
    s = context_page(p, next->slot, &c);
    if (s != S_OK) return s;
    thread_account(p, time_now_ns());
    spin_lock(&proc_lock);
    if (me->tid == d->pid) d->leader_code = wait_status;
    *thread_entry(d, me->slot) = (struct thread_entry){0};
    context_load(p, next, c);
    shadow_free_locked(me);
    d->thread_count--;
    if (p->awake == 0 && p->state == PROC_RUNNING) p->state = PROC_WAITING;
    spin_unlock(&proc_lock);
    cpu_load(d);
    return S_OK;
}

// Of all threads the running one stays, as the first. proc_lock held.
static void end_others_locked(struct proc *p) {
    LIST_FOR_EACH_SAFE(it, &p->threads) {
        struct thread *t = LIST_ENTRY(it, struct thread, link);
        if (t != p->thread) shadow_free_locked(t);
    }
    struct thread *me = p->thread;
    wait_end_locked(me);
    if (me != &p->first) {
        list_remove(&me->link);
        kmem_free(me, sizeof *me);
        thread_init_first(p);
    }
}

static void entries_free(struct proc_desc *d) {
    for (u32 i = 0; i < PROC_THREAD_FRAMES; i++) {
        u64 *frame = &d->aux[PROC_AUX_THREADS + i];
        if (*frame) frame_unref(paddr(*frame));
        *frame = 0;
    }
}

// exec: the caller goes on alone, with the process's number. Its address space is new.
void thread_end_others(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    spin_lock(&proc_lock);
    struct list_node alarm = {&alarm, &alarm};
    const bool armed = list_linked(&p->alarm.link);
    if (armed) list_remove(&p->alarm.link);
    d->tid = d->pid;
    end_others_locked(p);
    p->first.tid = d->pid;
    p->first.slot = 0;
    d->thread_slot = 0;
    d->thread_count = 1;
    d->leader_code = 0;
    spin_unlock(&proc_lock);
    if (armed) wait_alarm_changed(p);
    entries_free(d);
}

// The current process ends, or its program: the robust locks that its threads hold, which others
// may share, are marked. S_RESTART: a thread's context, its list or a lock lies on another node,
// and the running thread waits for it; what is done is not done again.
status_t thread_robust_exit(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    status_t s = futex_robust_exit(p, d->robust_list, d->tid);
    if (s == S_OK) d->robust_list = 0;
    for (u32 slot = 0; slot < THREADS_MAX && d->thread_count > 1 && s != S_RESTART; slot++) {
        const struct thread_entry *e = thread_entry(d, slot);
        struct thread_context *c;
        if (!e || e->tid == 0 || slot == d->thread_slot) continue;
        s = context_page(p, slot, &c);
        if (s == S_OK) s = futex_robust_exit(p, c->robust_list, e->tid);
        if (s == S_OK) c->robust_list = 0;
    }
    return s == S_RESTART ? s : S_OK;            // what is lost or nonsense keeps nobody alive
}

// The process ends: nothing waits any more. proc_lock held.
void thread_end_all_locked(struct proc *p) {
    list_remove(&p->alarm.link);
    end_others_locked(p);
}

// A child of fork has one thread: the caller's copy. Pages of the others' contexts came with
// the address space.
void thread_fork(struct proc_desc *child) {
    pt_clear_range(child, THREAD_PAGES_VA, THREAD_PAGES_END);
}

// --- moves -----------------------------------------------------------------------------------

// Shadows for a process that comes with so many threads, before it is ours. E_NOMEM: none.
status_t thread_reserve(struct proc *p, u32 count) {
    if (count == 0 || count > THREADS_MAX) return E_PROTO;
    for (u32 i = 1; i < count; i++) {
        struct thread *t = kmem_alloc(sizeof *t);
        if (!t) return E_NOMEM;
        shadow_begin(t, p, 0, 0);
        spin_lock(&proc_lock);
        list_push_back(&p->threads, &t->link);
        p->awake++;
        spin_unlock(&proc_lock);
    }
    return S_OK;
}

// The table of its threads is here: the reserved shadows are theirs. The running one's is
// `first`. A table with fewer than the descriptor says leaves some without a thread: they go.
void thread_arrived(struct proc *p) {
    struct proc_desc *d = proc_desc(p);
    spin_lock(&proc_lock);
    p->first.tid = d->tid;
    p->first.slot = d->thread_slot;
    u32 slot = 0;
    LIST_FOR_EACH_SAFE(it, &p->threads) {
        struct thread *t = LIST_ENTRY(it, struct thread, link);
        if (t == &p->first) continue;
        for (; slot < THREADS_MAX; slot++) {
            const struct thread_entry *e = thread_entry(d, slot);
            if (e && e->tid != 0 && slot != d->thread_slot) break;
        }
        if (slot == THREADS_MAX) {
            shadow_free_locked(t);
            d->thread_count--;
            continue;
        }
        t->slot = slot;
        t->tid = thread_entry(d, slot++)->tid;
    }
    spin_unlock(&proc_lock);
}

// Deadlines of the threads that wait, in another node's time now.
void thread_deadlines_shift(struct proc_desc *d, u64 delta_ns) {
    for (u32 slot = 0; slot < THREADS_MAX; slot++) {
        struct thread_entry *e = thread_entry(d, slot);
        if (e && e->tid != 0 && e->deadline_ns != 0) e->deadline_ns += delta_ns;
    }
}
