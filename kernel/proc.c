// The process table: making, forking, ending and reaping processes. A process is its
// descriptor and auxiliary frames (kernel/proc_desc.h); struct proc is its shadow here.
// Called by system calls, exec and the cluster part. Lock: proc_lock.
#include "kernel/proc.h"

#include "base/string.h"
#include "kernel/borrow.h"
#include "kernel/exec.h"
#include "kernel/file.h"
#include "kernel/futex.h"
#include "kernel/groups.h"
#include "kernel/files/object.h"
#include "kernel/klog.h"
#include "kernel/net.h"
#include "kernel/netpoll.h"
#include "kernel/options.h"
#include "kernel/placement.h"
#include "kernel/proc_index.h"
#include "kernel/remote_fork.h"
#include "kernel/session.h"
#include "kernel/signal.h"
#include "kernel/storm.h"
#include "kernel/thread.h"
#include "kernel/trap.h"
#include "kernel/uaccess.h"
#include "kernel/vfork.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/fpu.h"
#include "kernel/x86/msr.h"
#include "mm/kmap.h"
#include "mm/kmem.h"
#include "proto/cluster/where.h"
#include "sched/runq.h"

#define PROC_COUNT_DEFAULT 2048u
#define PID_NODE_SHIFT 16                // pid = node << 16 | number, numbers 1..65535
#define PID_NUMBER_MAX 0xffffu
#define PROC_PAGE_SHADOWS 128u           // shadows in one kmem object
#define EXIT_WAITS_MAX 4096u             // of one exit for pages of other nodes

struct spinlock proc_lock = SPINLOCK_INIT(LOCK_RANK_PROC, "proc");
struct proc *procs;
struct proc_desc *proc_descs;
u32 proc_count, proc_end;
u32 node_id;
struct proc_hooks proc_hooks;
static u32 free_from;                    // no place below is free
static u32 next_number = 1;
static u64 pid_round;                    // how often the numbers began anew

static void shadow_init(struct proc *p, u32 index) {
    p->index = index;
    thread_init_first(p);
    wait_list_init(&p->child_wait);
    wait_list_init(&p->vfork_wait);
    list_init(&p->cl.move);
    list_init(&p->cl.attention);
    wait_list_init(&p->cl.page_wait);
    wait_list_init(&p->cl.whole_wait);
}

// Makes the tables. Context: boot, after frames, heap, options and cards.
void proc_init(void) {
    proc_count = options.desc_count ? options.desc_count : PROC_COUNT_DEFAULT;
    paddr_t table = frame_alloc_contiguous(proc_count, FRAME_DESC);
    u64 shadow_frames = (proc_count * sizeof(struct proc) + PAGE_MASK) / PAGE_SIZE;
    paddr_t shadows = frame_alloc_contiguous(shadow_frames, FRAME_KERNEL);
    if (!table.v || !shadows.v)
        panic("%lu MiB of memory are too little for %u processes: add some, or set proc.max=16",
              (u64)(frame_count_total() * PAGE_SIZE / MIB), proc_count);
    aspace_kernel_root = kmap_root();
    if (net_own()) node_id = net_own()->node;
    proc_descs = phys_to_virt(table);
    procs = phys_to_virt(shadows);
    for (u32 i = 0; i < proc_count; i++) shadow_init(&procs[i], i);
    runq_init();
    object_init();
    files_start();
    process_hooks.exception = proc_exception;
    process_hooks.syscall = proc_syscall;
    process_hooks.edge = proc_edge;
}

struct proc *proc_current(void) { return cpu_this()->current; }

// A number that no process, group, session or thread here has. 0: none. proc_lock held.
u32 proc_pid_new(void) {
    for (u32 tries = 0; tries < PID_NUMBER_MAX; tries++) {
        u32 number = next_number++;
        if (next_number > PID_NUMBER_MAX) {
            next_number = 2;
            pid_round++;
        }
        u32 pid = node_id << PID_NODE_SHIFT | number;
        if (pid_round == 0) return pid;          // none has been given twice yet
        bool taken = false;
        for (u32 i = 0; i < proc_end && !taken; i++) {
            const struct proc_desc *d = &proc_descs[i];
            taken =
                procs[i].state != PROC_FREE && (d->pid == pid || d->pgid == pid || d->sid == pid ||
                                                thread_tid_used(&procs[i], pid));
        }
        if (!taken) return pid;
    }
    return 0;
}

static void aux_free(struct proc_desc *d) {
    for (u32 i = 0; i < PROC_AUX_COUNT; i++) {
        if (d->aux[i]) frame_unref(paddr(d->aux[i]));
        d->aux[i] = 0;
    }
}

static bool aux_alloc(struct proc_desc *d) {
    static const u32 needed[] = {PROC_AUX_SIGNAL, PROC_AUX_PATHS, PROC_AUX_HANDLES,
                                 PROC_AUX_PLACE};
    for (u32 i = 0; i < ARRAY_COUNT(needed); i++) {
        d->aux[needed[i]] = frame_alloc(FRAME_DESC).v;
        if (!d->aux[needed[i]]) {
            aux_free(d);
            return false;
        }
    }
    return true;
}

// As proc_alloc; proc_lock held.
static struct proc *alloc_locked(void) {
    struct proc *p = NULL;
    for (u32 i = free_from; i < proc_count && !p; i++) {
        if (procs[i].state == PROC_FREE && !procs[i].on_cpu) p = &procs[i];
        else if (procs[i].state != PROC_FREE && i == free_from) free_from++;
    }
    u32 pid = p ? proc_pid_new() : 0;
    if (!pid) return NULL;
    struct proc_desc *d = proc_desc(p);
    memset((u8 *)d + sizeof d->owner, 0, sizeof *d - sizeof d->owner);
    u32 index = p->index;
    proc_end = MAX(proc_end, index + 1);
    memset(p, 0, sizeof *p);
    shadow_init(p, index);
    if (!aux_alloc(d)) return NULL;
    d->version = PROC_DESC_VERSION;
    d->pid = d->tid = p->first.tid = pid;
    proc_index_set(p, pid);
    d->thread_count = 1;
    d->stay = pid_round << STAY_ROUND_SHIFT;
    d->wait.nr = -1;
    d->start_ns = time_now_ns();
    d->rlimit_nofile = HANDLES_MAX;
    d->rlimit_stack = USER_STACK_MAX;
    d->umask = 022;
    d->node_wanted = ~0u;
    p->cpu = cpu_this()->index;
    p->state = PROC_NEW;
    proc_set_owner(p, PROC_NEW);
    placement_new(p);
    return p;
}

// A new descriptor in state NEW with its auxiliary frames and a pid, else zeroed but for
// its owner word. NULL: the table or memory is full. Takes proc_lock.
struct proc *proc_alloc(void) {
    spin_lock(&proc_lock);
    struct proc *p = alloc_locked();
    spin_unlock(&proc_lock);
    return p;
}

// Gives a descriptor back; its address space is gone already. proc_lock held.
void proc_free(struct proc *p) {
    ASSERT(!p->on_cpu && proc_desc(p)->root_table.v == 0);
    if (p->cl.in_cluster) {                  // first its lenders are released
        p->cl.free_wanted = true;
        p->state = PROC_AWAY;
        return;
    }
    aux_free(proc_desc(p));
    thread_end_all_locked(p);
    list_remove(&p->cl.move);
    proc_index_set(p, 0);
    proc_desc(p)->pid = 0;
    p->state = PROC_FREE;
    free_from = MIN(free_from, p->index);
    while (proc_end != 0 && procs[proc_end - 1].state == PROC_FREE) proc_end--;
    proc_set_owner(p, PROC_FREE);
}

// The one place that tells the owner word what the scheduler decided.
void proc_set_owner(struct proc *p, u32 state) {
    if (proc_hooks.owner_changed) proc_hooks.owner_changed(p, state);
}

// The one way onto a CPU: a reference in a run queue. A process still on its CPU (it
// was woken before it left) is not queued; the edge sees its state. proc_lock held.
void proc_become_ready(struct proc *p) {
    p->state = PROC_READY;
    if (!p->on_cpu) runq_put(p);
}

// --- fork ---

static void fork_copy_desc(struct proc *child, const struct proc *parent) {
    struct proc_desc *c = proc_desc(child);
    const struct proc_desc *f = proc_desc(parent);
    c->pgid = f->pgid, c->sid = f->sid, c->ppid = f->pid;
    c->uid = f->uid, c->euid = f->euid, c->suid = f->suid, c->umask = f->umask;
    c->gid = f->gid, c->egid = f->egid, c->sgid = f->sgid;
    memcpy(c->name, f->name, sizeof c->name);
    c->tty = f->tty;
    c->handle_max = f->handle_max;
    c->mmap_hint = f->mmap_hint;
    c->signal_mask = f->signal_mask;
    c->sigaltstack_sp = f->sigaltstack_sp;
    c->sigaltstack_size = f->sigaltstack_size;
    c->sigaltstack_flags = f->sigaltstack_flags;
    c->nice = f->nice, c->sched_policy = f->sched_policy;
    c->rlimit_nproc = f->rlimit_nproc;
    c->rlimit_nofile = f->rlimit_nofile, c->rlimit_stack = f->rlimit_stack;
    c->cpu = f->cpu;
    c->node_wanted = f->node_wanted;
    c->fs_base = f->fs_base, c->gs_base = f->gs_base;
    c->flags |= (f->flags & (PROC_FLAG_TSC | PROC_FLAG_SHARES)) | PROC_FLAG_FORKED;
    c->tsc_at = f->tsc_at, c->tsc_clock_ns = f->tsc_clock_ns, c->tsc_hz = f->tsc_hz;
    c->clock_offset_ns = f->clock_offset_ns, c->wall_offset_ns = f->wall_offset_ns;
    c->clock_call = f->clock_call;
    c->regs = f->regs;
    c->regs.rax = 0;
    c->regs.orig_rax = ~0ull;
    c->xsave_bytes = f->xsave_bytes, c->xsave_features = f->xsave_features;
    memcpy(c->xsave, f->xsave, sizeof c->xsave);
    memcpy(phys_to_virt(paddr(c->aux[PROC_AUX_SIGNAL])),
           phys_to_virt(paddr(f->aux[PROC_AUX_SIGNAL])), PAGE_SIZE);
    ((struct proc_signals *)phys_to_virt(paddr(c->aux[PROC_AUX_SIGNAL])))->queued_count = 0;
    memcpy(phys_to_virt(paddr(c->aux[PROC_AUX_PATHS])),
           phys_to_virt(paddr(f->aux[PROC_AUX_PATHS])), PAGE_SIZE);
}

// The child's place, counted as its user's in the same hold of the lock as the limit is looked
// at: forks on several CPUs do not pass it together. NULL: its user, or the table, has no room.
static struct proc *fork_alloc(const struct proc *parent) {
    spin_lock(&proc_lock);
    struct proc *child = proc_may_fork_locked(parent) ? alloc_locked() : NULL;
    if (child) proc_desc(child)->uid = proc_desc(parent)->uid;
    spin_unlock(&proc_lock);
    return child;
}

static void fork_undo(struct proc *child) {
    borrow_cancel(child);
    handles_close_all(child);
    dirs_put(child);
    aspace_destroy(proc_desc(child));
    spin_lock(&proc_lock);
    proc_free(child);
    spin_unlock(&proc_lock);
}

enum clone_flags {
    CLONE_VM = 0x100, CLONE_VFORK = 0x4000, CLONE_THREAD = 0x10000, CLONE_SETTLS = 0x80000,
    CLONE_PARENT_SETTID = 0x100000, CLONE_CHILD_CLEARTID = 0x200000,
    CLONE_CHILD_SETTID = 0x1000000,
};

static status_t fork_build(struct proc *child, struct proc *parent) {
    fork_copy_desc(child, parent);
    status_t s = handles_fork(child, parent);
    if (s == S_OK) s = aspace_create(proc_desc(child));
    if (s == S_OK) s = aspace_fork(proc_desc(child), proc_desc(parent));
    if (s == S_OK) thread_fork(proc_desc(child));
    return s;
}

// The child is complete: onto a CPU, or off to the node that its parent has chosen.
static void fork_start(struct proc *child, struct proc *parent) {
    const bool borrows = child->cl.borrows != 0;
    if (borrows) netpoll_lock();
    spin_lock(&proc_lock);
    proc_set_owner(child, PROC_READY);       // it may be moved before it ever ran
    child->kill_pending = parent->kill_pending;
    if (borrows) borrow_start(child);
    if (!vfork_holds(child, parent)) proc_become_ready(child);
    remote_fork_go(child, parent);
    spin_unlock(&proc_lock);
    if (borrows) netpoll_unlock();
}

// What the call writes to user memory must be here, for the child has the same pages.
static status_t fork_pin(struct proc *parent, const struct fork_args *args) {
    status_t s = S_OK;
    if (args->flags & CLONE_PARENT_SETTID)
        s = user_pin(parent, args->parent_tid, 4, ACCESS_WRITE);
    if (s == S_OK && (args->flags & CLONE_CHILD_SETTID) && parent->cl.draining) {
        s = user_pin(parent, args->child_tid, 4, ACCESS_WRITE);
        if (s == E_FAULT) s = S_OK;          // as where nothing is away: not written
    }
    return s;
}

// Makes a child of the current process: a copy of it, made ready.
//   clone_flags  as clone(2)'s; CLONE_VM without CLONE_VFORK is refused (threads: thread.c)
//   child_stack  its stack pointer, 0: the parent's
// E_INVAL, E_AGAIN (no room for it), E_NOMEM, S_RESTART, E_HOSTUNREACH (kernel/remote_fork.c).
status_t proc_fork(struct proc *parent, const struct fork_args *args, u32 *pid_out) {
    u64 flags = args->flags;
    if ((flags & CLONE_THREAD) || ((flags & CLONE_VM) && !(flags & CLONE_VFORK))) return E_INVAL;
    status_t s = fork_pin(parent, args);
    if (s == S_OK) s = remote_fork_check(parent);
    if (s != S_OK) return s;
    if (borrow_must_wait(parent)) return S_RESTART;
    struct proc *child = fork_alloc(parent);
    if (!child) return E_AGAIN;
    fpu_save(proc_desc(parent));
    borrow_reserve(child, parent);
    s = fork_build(child, parent);
    struct proc_desc *c = proc_desc(child);
    if (s == S_OK && (flags & CLONE_CHILD_SETTID))
        (void)user_write(child, args->child_tid, &c->pid, sizeof c->pid);
    if (s != S_OK) {
        fork_undo(child);
        return s;
    }
    if (args->stack) c->regs.rsp = args->stack;
    if (flags & CLONE_SETTLS) c->fs_base = args->tls;
    if (flags & CLONE_CHILD_CLEARTID) c->clear_child_tid = args->child_tid;
    c->tid = c->pid;
    if (flags & CLONE_VFORK) c->flags |= PROC_FLAG_VFORK;
    if (flags & CLONE_PARENT_SETTID)
        (void)user_write(parent, args->parent_tid, &c->pid, sizeof c->pid);
    *pid_out = c->pid;
    storm_fork(child, parent);
    fork_start(child, parent);
    return S_OK;
}

// --- the end ---

static void reparent_children(struct proc *p) {
    u32 init_pid = node_id << PID_NODE_SHIFT | 1;
    struct proc *init = proc_find(init_pid);
    for (u32 i = 0; i < proc_end; i++) {
        if (procs[i].state == PROC_FREE || proc_descs[i].ppid != proc_desc(p)->pid) continue;
        proc_descs[i].ppid = init_pid;
        procs[i].cl.orphaned = procs[i].state == PROC_AWAY;
        if (procs[i].state == PROC_ZOMBIE && init && init != p)
            wait_wake_all_locked(&init->child_wait);
    }
}

static bool parent_ignores_child(const struct proc *parent) {
    const struct proc_signals *s = phys_to_virt(paddr(proc_desc(parent)->aux[PROC_AUX_SIGNAL]));
    const struct sigaction_entry *a = &s->action[SIGCHLD - 1];
    return a->handler == SIG_IGN || (a->flags & SA_NOCLDWAIT);
}

static void tell_parent_of_end(struct proc *p, i32 wait_status) {
    struct proc_desc *d = proc_desc(p);
    struct proc *parent = proc_find(d->ppid);
    bool zombie = parent && parent->state != PROC_ZOMBIE && !parent_ignores_child(parent);
    if (parent && parent->state != PROC_ZOMBIE) {
        i32 sig = wait_status & 0x7f;
        struct signal_info info = {.code = sig ? CLD_KILLED : CLD_EXITED, .pid = (i32)d->pid,
                                   .status = sig ? sig : (wait_status >> 8) & 0xff};
        signal_raise_locked(parent, SIGCHLD, info);
    }
    if (zombie) {
        p->state = PROC_ZOMBIE;
    } else {
        if (!parent && proc_hooks.exited_remote) proc_hooks.exited_remote(p, wait_status);
        proc_free(p);
    }
    if (parent) wait_wake_all_locked(&parent->child_wait);
}

// Ends the current process: gives back all it holds, tells its parent, leaves the CPU.
//   wait_status  as wait4 reports it
// Context: the edge or a system call of p on the CPU that runs it; no lock held.
void proc_exit(struct proc *p, i32 wait_status) {
    struct proc_desc *d = proc_desc(p);
    struct cpu *c = cpu_this();
    ASSERT(c->current == p);
    if (d->pid == (node_id << PID_NODE_SHIFT | 1)) {
        panic("init ended, wait status %#x", (u32)wait_status);
    }
    (void)thread_robust_exit(p);
    if (d->clear_child_tid) {
        u32 zero = 0;
        (void)user_write(p, d->clear_child_tid, &zero, sizeof zero);
        futex_wake_at(p, d->clear_child_tid, 1);
    }
    storm_ended(p);
    if (d->sid == d->pid) session_ended(p);
    handles_close_all(p);
    dirs_put(p);
    cr3_write(aspace_kernel_root.v);
    vfork_give_back(p, d);
    aspace_destroy(d);
    d->exit_code = wait_status;
    d->alarm_ns = 0;
    d->account.cpu_ns += time_now_ns() - p->run_start_ns;
    account_cpu(&place_of(p)->account, (u8)node_id, time_now_ns() - p->run_start_ns);
    spin_lock(&proc_lock);
    thread_end_all_locked(p);
    vfork_done_locked(p);
    groups_parent_ends_locked(p);
    reparent_children(p);
    c->current = NULL;
    p->on_cpu = false;
    proc_set_owner(p, PROC_ZOMBIE);
    if (proc_hooks.exiting) proc_hooks.exiting(p);
    tell_parent_of_end(p, wait_status);
    spin_unlock(&proc_lock);
}

// The same, once the robust locks of its threads are marked. S_RESTART: a page of theirs is on its
// way from another node, and the running thread waits for it; then this is to be asked again.
status_t proc_try_exit(struct proc *p, i32 wait_status) {
    const bool waits = !p->kill_pending && p->exit_waits < EXIT_WAITS_MAX;
    if (waits && thread_robust_exit(p) == S_RESTART) {
        p->exit_waits++;
        return S_RESTART;
    }
    proc_exit(p, wait_status);
    return S_OK;
}

static bool child_matches(const struct proc_desc *me, const struct proc_desc *c, i64 which) {
    if (c->ppid != me->pid) return false;
    if (which > 0) return c->pid == (u32)which;
    if (which == 0) return c->pgid == me->pgid;
    return which == -1 || c->pgid == (u32)-which;
}

// What a child has to report, if anything; takes the report. proc_lock held.
static bool child_report(struct proc *c, u32 wait_options, struct child_end *out) {
    struct proc_desc *d = proc_desc(c);
    if (c->state == PROC_ZOMBIE) {
        if (!(wait_options & WAIT_EXITED)) return false;
        out->status = d->exit_code;
    } else if ((wait_options & WAIT_UNTRACED) && c->stop_report) {
        out->status = WAIT_STATUS_STOPPED(d->exit_code);
        if (!(wait_options & WAIT_NOWAIT)) c->stop_report = false;
    } else if ((wait_options & WAIT_CONTINUED) && c->cont_report) {
        out->status = WAIT_STATUS_CONTINUED;
        if (!(wait_options & WAIT_NOWAIT)) c->cont_report = false;
    } else {
        return false;
    }
    out->pid = d->pid;
    out->cpu_ns = d->account.cpu_ns;
    if (c->state == PROC_ZOMBIE && !(wait_options & WAIT_NOWAIT)) {
        proc_desc(proc_find(d->ppid))->account.children_ns += out->cpu_ns;
        proc_free(c);
    }
    return true;
}

// One report of a child of p (wait4's `which` and options); out->pid is 0 where there is
// none yet and WAIT_NOHANG was given. E_CHILD: no such child. S_RESTART: none yet.
status_t proc_wait_child(struct proc *p, i64 which, u32 wait_options, struct child_end *out) {
    *out = (struct child_end){0};
    bool any = false, found = false;
    spin_lock(&proc_lock);
    for (u32 i = 0; i < proc_end && !found; i++) {
        const bool moving = procs[i].state == PROC_AWAY && procs[i].cl.frozen;
        if (procs[i].state == PROC_FREE || (procs[i].state == PROC_AWAY && !moving)) continue;
        if (!child_matches(proc_desc(p), &proc_descs[i], which)) continue;
        any |= procs[i].state != PROC_ZOMBIE || (wait_options & WAIT_EXITED);
        if (moving) continue;
        found = child_report(&procs[i], wait_options, out);
    }
    if (!found && proc_hooks.child_wait_away) {
        status_t away = proc_hooks.child_wait_away(proc_desc(p), which, wait_options, out);
        any = any || away != E_CHILD;
        found = away == S_OK;
    }
    any = any || p->cl.children_coming;
    bool waits = any && !found && !(wait_options & WAIT_NOHANG);
    if (waits) {
        wait_on_locked(&p->child_wait, p, false);
    }
    spin_unlock(&proc_lock);
    if (!any) return E_CHILD;
    return waits ? S_RESTART : S_OK;
}

// Makes process 1 from /init, or /bin/sh, on the console.
void proc_start_init(void) {
    static const char *const programs[] = {"/init", "/bin/init", "/bin/sh"};
    struct proc *p = proc_alloc();
    ASSERT(p && (proc_desc(p)->pid & PID_NUMBER_MAX) == 1);
    struct proc_desc *d = proc_desc(p);
    d->pgid = d->sid = d->pid;
    dirs_init(p);
    status_t s = E_NOENT;
    for (u32 i = 0; i < ARRAY_COUNT(programs) && s == E_NOENT; i++) {
        s = exec_first(p, programs[i]);
        if (s == S_OK) klog("init: %s is process %u", programs[i], d->pid);
    }
    if (s != S_OK) {
        klog("init: no program to start (%d); the node serves its peers alone", s);
        return;
    }
    spin_lock(&proc_lock);
    proc_become_ready(p);
    spin_unlock(&proc_lock);
}
