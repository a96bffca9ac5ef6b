// /proc in Linux's formats, so that busybox ps, top, free and uptime work, plus
// /proc/PID/node: the processes that this node has. kernel/proc_path.c joins those of all
// nodes, and walks on to the node that has one. proc_kernel.c has what is no process's.
// Called through synth.c; lock: files_lock, and proc_lock inside for the table.
#include "base/owner.h"
#include "base/string.h"
#include "kernel/clock.h"
#include "kernel/family.h"
#include "kernel/file.h"
#include "kernel/files/procfs.h"
#include "kernel/files/pty.h"
#include "kernel/files/ramfs.h"
#include "kernel/klog.h"
#include "kernel/placement_show.h"
#include "kernel/proc_path.h"
#include "kernel/thread.h"
#include "kernel/vdso.h"
#include "kernel/whereabouts.h"
#include "kernel/x86/cpu.h"

static char state_letter(const struct proc *p) {
    switch (p->state) {
    case PROC_WAITING: return 'S';
    case PROC_STOPPED: return 'T';
    case PROC_ZOMBIE: return 'Z';
    default: return 'R';
    }
}

// A process that this node has, also while it is on its way to another: then its frozen image
// is what there is. proc_lock held.
struct proc *proc_here(u64 pid) {
    struct proc *p = proc_find((u32)pid);
    for (u32 i = 0; i < proc_end && !p; i++)
        if (proc_descs[i].pid == pid && procs[i].state == PROC_AWAY && procs[i].cl.frozen)
            p = &procs[i];
    return p;
}

// The map belongs to the CPU that runs the process: another's that is on a CPU is not read. (Not
// by proc_current(): a call of another node has none.)
static bool map_readable(const struct proc *p) {
    return !p->on_cpu || p->cpu == cpu_this()->index;
}

// A copy of what is shown, taken under proc_lock. False: it is gone.
#define PRIORITY_0 20                    // what Linux shows for nice 0
struct snapshot {
    char state, name[PROC_NAME_MAX];
    u32 pid, ppid, pgid, sid, uid[4], gid[4], tty, cpu, handles, threads;
    u64 cpu_ns, children_ns, start_ns, resident, virtual_bytes, faults;
    u64 pending, mask, ignored, caught, direct;
    i32 nice;
};

static u64 map_bytes(const struct proc *p) {
    if (p->state == PROC_ZOMBIE || p->state == PROC_NEW) return 0;
    const struct proc_desc *d = proc_desc(p);
    u64 sum = 0;
    for (u32 i = 0; i < d->vma_count; i++) sum += vma_at(d, i)->end - vma_at(d, i)->start;
    return sum;
}

static bool snapshot(u64 pid, struct snapshot *s) {
    spin_lock(&proc_lock);
    struct proc *p = proc_here(pid);
    if (p) {
        const struct proc_desc *d = proc_desc(p);
        *s = (struct snapshot){.state = state_letter(p), .pid = d->pid, .ppid = d->ppid,
            .pgid = d->pgid, .sid = d->sid, .cpu = p->cpu,
            .uid = {d->uid, d->euid, d->suid, d->euid}, .gid = {d->gid, d->egid, d->sgid, d->egid},
            .nice = d->nice,
            .tty = pty_device(d->tty), .handles = d->handle_max,
            .threads = MAX(d->thread_count, 1u),
            .cpu_ns = d->account.cpu_ns, .children_ns = d->account.children_ns,
            .start_ns = clock_of_local(d->start_ns), .resident = d->pages_resident,
            .virtual_bytes = map_readable(p) ? map_bytes(p) : d->pages_resident * PAGE_SIZE,
            .direct = p->direct.switches,
            .faults = d->account.faults, .pending = d->signal_pending, .mask = d->signal_mask};
        if (p->on_cpu) s->cpu_ns += time_now_ns() - p->run_start_ns;
        memcpy(s->name, d->name, sizeof s->name);
        const struct proc_signals *sig = d->aux[PROC_AUX_SIGNAL]
            ? phys_to_virt(paddr(d->aux[PROC_AUX_SIGNAL])) : NULL;
        for (u32 i = 0; sig && i < SIGNAL_COUNT; i++) {
            if (sig->action[i].handler == 1) s->ignored |= BIT(i);
            else if (sig->action[i].handler) s->caught |= BIT(i);
        }
    }
    spin_unlock(&proc_lock);
    return p != NULL;
}

static status_t show_stat(u64 pid, struct text *t) {
    struct snapshot s;
    if (!snapshot(pid, &s)) return E_SRCH;
    text_add(
        t,
        "%u (%s) %c %u %u %u %u -1 4194304 %lu 0 0 0 %lu 0 %lu 0 %d %d %u 0 %lu %lu %lu "
        "18446744073709551615 0 0 0 0 0 %lu %lu %lu %lu 0 0 0 17 %u 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
        s.pid, s.name, s.state, s.ppid, s.pgid, s.sid, s.tty, s.faults, s.cpu_ns / NS_PER_TICK,
        s.children_ns / NS_PER_TICK, PRIORITY_0 + s.nice, s.nice, s.threads,
        s.start_ns / NS_PER_TICK, s.virtual_bytes, s.resident,
        s.pending & 0x7fffffff, s.mask & 0x7fffffff, s.ignored & 0x7fffffff, s.caught & 0x7fffffff,
        s.cpu);
    return S_OK;
}

static status_t show_statm(u64 pid, struct text *t) {
    struct snapshot s;
    if (!snapshot(pid, &s)) return E_SRCH;
    text_add(t, "%lu %lu 0 0 0 %lu 0\n", s.virtual_bytes >> PAGE_SHIFT, s.resident, s.resident);
    return S_OK;
}

static const char *state_name(char letter) {
    return letter == 'S' ? "sleeping" : letter == 'T' ? "stopped" : letter == 'Z' ? "zombie"
                                                                                  : "running";
}

static status_t show_status(u64 pid, struct text *t) {
    struct snapshot s;
    if (!snapshot(pid, &s)) return E_SRCH;
    text_add(t, "Name:\t%s\nState:\t%c (%s)\nTgid:\t%u\nPid:\t%u\nPPid:\t%u\n"
             "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t%u\n"
             "VmSize:\t%8lu kB\nVmRSS:\t%8lu kB\nThreads:\t%u\n"
             "SigPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n"
             "DirectSwitches:\t%lu\n",
             s.name, s.state, state_name(s.state), s.pid, s.pid, s.ppid,
             s.uid[0], s.uid[1], s.uid[2], s.uid[3], s.gid[0], s.gid[1], s.gid[2], s.gid[3],
             s.handles, s.virtual_bytes / 1024, s.resident * 4, s.threads, s.pending, s.mask,
             s.ignored, s.caught, s.direct);
    return S_OK;
}

static status_t show_limits(u64 pid, struct text *t) {
    u64 files = 0, stack = 0;
    spin_lock(&proc_lock);
    const struct proc *p = proc_here(pid);
    if (p) files = proc_desc(p)->rlimit_nofile, stack = proc_desc(p)->rlimit_stack;
    spin_unlock(&proc_lock);
    if (!p) return E_SRCH;
    static const char *const line = "%-25s %-20lu %-20lu %-10s\n";
    text_add(t, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    text_add(t, line, "Max stack size", stack, stack, "bytes");
    text_add(t, line, "Max open files", files, (u64)HANDLES_MAX, "files");
    return S_OK;
}

// What it waits for inside the kernel is told to nobody, as Linux does for other users'.
static status_t show_wchan(u64 pid, struct text *t) {
    (void)pid;
    text_add(t, "0");
    return S_OK;
}

static status_t show_comm(u64 pid, struct text *t) {
    struct snapshot s;
    if (!snapshot(pid, &s)) return E_SRCH;
    text_add(t, "%s\n", s.name);
    return S_OK;
}

static status_t show_cmdline(u64 pid, struct text *t) {
    spin_lock(&proc_lock);
    struct proc *p = proc_here(pid);
    if (p && p->state != PROC_ZOMBIE) {
        const char *args = paths_of(p)->args;
        u32 len = sizeof paths_of(p)->args;
        while (len && !args[len - 1]) len--;
        text_add_bytes(t, args, len ? len + 1 : 0);
    }
    spin_unlock(&proc_lock);
    return p ? S_OK : E_SRCH;
}

static status_t show_path(u64 pid, struct text *t, u64 at) {
    spin_lock(&proc_lock);
    struct proc *p = proc_here(pid);
    if (p && p->state != PROC_ZOMBIE) text_add(t, "%s", (const char *)paths_of(p) + at);
    spin_unlock(&proc_lock);
    return p ? S_OK : E_SRCH;
}
static status_t show_exe(u64 pid, struct text *t) {
    return show_path(pid, t, offsetof(struct proc_paths, exe));
}
static status_t show_cwd(u64 pid, struct text *t) {
    return show_path(pid, t, offsetof(struct proc_paths, cwd));
}
static status_t show_root(u64 pid, struct text *t) {
    (void)pid;
    text_add(t, "/");
    return S_OK;
}

// `program`: its file, the first that is mapped; exe: that file's path. Of other files there is
// none to show.
static void maps_line(const struct vma *v, const struct object_id *program, const char *exe,
                      struct text *t) {
    const bool is_program = v->file.generation && memcmp(&v->file, program, sizeof *program) == 0;
    const char *name = v->flags & VMA_STACK ? "[stack]"
                       : v->flags & VMA_HEAP ? "[heap]"
                       : is_program ? exe : "";
    text_add(t, "%08lx-%08lx %c%c%c%c %08lx 00:00 %lu%s%s\n", v->start, v->end,
             v->prot & 1 ? 'r' : '-', v->prot & 2 ? 'w' : '-', v->prot & 4 ? 'x' : '-',
             v->flags & VMA_SHARED ? 's' : 'p', v->file_offset, v->file.generation & 0xffff,
             *name ? " " : "", name);
}

static status_t show_maps(u64 pid, struct text *t) {
    spin_lock(&proc_lock);
    struct proc *p = proc_here(pid);
    bool readable = p && p->state != PROC_ZOMBIE && map_readable(p);
    struct object_id program = {0};
    for (u32 i = 0; readable && i < proc_desc(p)->vma_count; i++) {
        const struct vma *v = vma_at(proc_desc(p), i);
        if (!program.generation) program = v->file;
        maps_line(v, &program, paths_of(p)->exe, t);
    }
    const u64 page = VVAR_BASE, code = VDSO_BASE, end = VDSO_END;
    if (readable)
        text_add(t, "%lx-%lx r--p 00000000 00:00 0 [vvar]\n%lx-%lx r-xp 00000000 00:00 0 [vdso]\n",
                 page, code, code, end);
    spin_unlock(&proc_lock);
    return p ? S_OK : E_SRCH;
}

static bool known_anywhere(u64 pid, u8 *node) {
    *node = (u8)node_id;
    spin_lock(&proc_lock);
    bool known = proc_hooks.where ? proc_hooks.where((u32)pid, node) : proc_find((u32)pid) != NULL;
    spin_unlock(&proc_lock);
    return known;
}

// A process of another node: what is known of it here is where it is.
static bool pid_known(u64 pid) {
    u8 node;
    return known_anywhere(pid, &node);
}

static status_t show_node(u64 pid, struct text *t) {
    u8 node;
    if (!known_anywhere(pid, &node)) return E_SRCH;
    text_add(t, "%u\n", node);
    return S_OK;
}

static status_t write_node(u64 pid, const char *text, u32 len) {
    (void)len;
    if (!proc_hooks.node_write) return E_OPNOTSUPP;
    return proc_hooks.node_write(file_caller_pid(), (u32)pid, text);
}

static bool pid_alive(u64 pid) {
    spin_lock(&proc_lock);
    bool is = proc_here(pid) != NULL;
    spin_unlock(&proc_lock);
    return is;
}

// --- /proc/PID/fd: links that open the very object again ---

static bool list_fd(u64 pid, u32 i, char *name, u32 *mode) {
    spin_lock(&proc_lock);
    struct proc *p = proc_here(pid);
    bool found = false;
    for (u32 fd = 0; p && !found && fd < proc_desc(p)->handle_max; fd++) {
        if (!handle_get(p, fd) || i--) continue;
        ksnprintf(name, P9_NAME_MAX, "%u", fd);
        found = true;
    }
    spin_unlock(&proc_lock);
    *mode = S_IFLNK;
    return found;
}

static bool parse_number(const char *text, u64 *out) {
    u64 v = 0;
    if (!*text) return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || v > 0xffffffff) return false;
        v = v * 10 + (u64)(*text - '0');
    }
    *out = v;
    return true;
}

static status_t show_fd(u64 arg, struct text *t) {
    text_add(t, PATH_HANDLE_LINK "%lu:%lu", arg >> 16, arg & 0xffff);
    return S_OK;
}
static const struct synth_entry fd_entry = {.name = "", .mode = S_IFLNK | 0700, .show = show_fd};

static status_t find_fd(u64 pid, const char *name, const struct synth_entry **entry, u64 *arg) {
    u64 fd;
    if (!parse_number(name, &fd)) return E_NOENT;
    spin_lock(&proc_lock);
    struct proc *p = proc_here(pid);
    bool ok = p && handle_get(p, (i64)fd);
    spin_unlock(&proc_lock);
    *entry = &fd_entry;
    *arg = pid << 16 | fd;
    return ok ? S_OK : E_NOENT;
}

static const struct synth_ops fd_ops = {list_fd, find_fd};

// --- /proc/PID/task: the threads ---

// The thread with the smallest number above `tid`; 0: there is none. proc_lock held.
static u32 thread_after(struct proc *p, u32 tid) {
    u32 next = 0;
    LIST_FOR_EACH(it, &p->threads) {
        const u32 found = LIST_ENTRY(it, struct thread, link)->tid;
        if (found > tid && (next == 0 || found < next)) next = found;
    }
    return next;
}

// Of one on its way the image has no list of threads: it shows the first alone.
static bool list_thread(u64 pid, u32 i, char *name, u32 *mode) {
    u32 tid = 0;
    spin_lock(&proc_lock);
    struct proc *p = proc_here(pid);
    if (p && (p->state == PROC_AWAY || p->state == PROC_ZOMBIE)) {
        tid = i == 0 ? (u32)pid : 0;
    } else if (p) {
        tid = thread_after(p, 0);
        for (; i && tid; i--) tid = thread_after(p, tid);
    }
    spin_unlock(&proc_lock);
    ksnprintf(name, P9_NAME_MAX, "%u", tid);
    *mode = S_IFDIR;
    return tid != 0;
}

static const struct synth_entry thread_dir;
static status_t find_thread(u64 pid, const char *name, const struct synth_entry **entry,
                            u64 *arg) {
    u64 tid;
    if (!parse_number(name, &tid)) return E_NOENT;
    spin_lock(&proc_lock);
    struct proc *p = proc_here(pid);
    const bool known = p && (tid == pid || (p->state != PROC_AWAY && thread_find(p, (u32)tid)));
    spin_unlock(&proc_lock);
    if (!known) return E_NOENT;
    *entry = &thread_dir;
    *arg = pid;
    return S_OK;
}
static const struct synth_ops thread_ops = {list_thread, find_thread};

static void own(u64 pid, struct p9_attr *a) {
    spin_lock(&proc_lock);
    const struct proc *p = proc_here(pid);
    if (p) a->uid = proc_desc(p)->euid, a->gid = proc_desc(p)->egid;
    spin_unlock(&proc_lock);
}

#define PRIVATE .alive = pid_alive, .owner_only = true

// The first is the process's own alone: a thread has what follows.
static const struct synth_entry pid_entries[] = {
    {.name = "task", .mode = S_IFDIR | 0555, .dynamic = &thread_ops, .alive = pid_alive},
    {.name = "stat", .mode = S_IFREG | 0444, .show = show_stat, .alive = pid_alive},
    {.name = "statm", .mode = S_IFREG | 0444, .show = show_statm, .alive = pid_alive},
    {.name = "status", .mode = S_IFREG | 0444, .show = show_status, .alive = pid_alive},
    {.name = "comm", .mode = S_IFREG | 0444, .show = show_comm, .alive = pid_alive},
    {.name = "limits", .mode = S_IFREG | 0444, .show = show_limits, .alive = pid_alive},
    {.name = "wchan", .mode = S_IFREG | 0444, .show = show_wchan, .alive = pid_alive},
    {.name = "cmdline", .mode = S_IFREG | 0444, .show = show_cmdline, .alive = pid_alive},
    {.name = "maps", .mode = S_IFREG | 0444, .show = show_maps, PRIVATE},
    {.name = "exe", .mode = S_IFLNK | 0777, .show = show_exe, PRIVATE},
    {.name = "cwd", .mode = S_IFLNK | 0777, .show = show_cwd, PRIVATE},
    {.name = "root", .mode = S_IFLNK | 0777, .show = show_root, PRIVATE},
    {.name = "fd", .mode = S_IFDIR | 0500, .dynamic = &fd_ops, PRIVATE},
    {.name = "node", .mode = S_IFREG | 0644, .show = show_node, .write = write_node,
     .alive = pid_known},
    {.name = "affinity", .mode = S_IFREG | 0444, .show = placement_show_affinity,
     .alive = pid_alive},
    {.name = "why", .mode = S_IFREG | 0444, .show = placement_show_why, .alive = pid_alive},
    {.name = NULL},
};

static const struct synth_entry thread_dir = {.name = "", .mode = S_IFDIR | 0555, .own = own,
                                              .children = pid_entries + 1, .alive = pid_alive};

// What its own node shows of a process elsewhere is reached by a link there; who asks for that of
// one that comes here waits until it has.
static status_t link_there(u64 pid, const char *name, struct text *t) {
    u8 node;
    spin_lock(&proc_lock);
    const bool comes = where_comes((u32)pid);
    spin_unlock(&proc_lock);
    if (comes) return where_wait();
    if (!known_anywhere(pid, &node)) return E_SRCH;
    text_add(t, "/nodes/%u/proc/%lu/%s", node, pid, name);
    return S_OK;
}
static status_t link_affinity(u64 pid, struct text *t) { return link_there(pid, "affinity", t); }
static status_t link_why(u64 pid, struct text *t) { return link_there(pid, "why", t); }

static const struct synth_entry away_entries[] = {
    {.name = "node", .mode = S_IFREG | 0644, .show = show_node, .write = write_node,
     .alive = pid_known},
    {.name = "affinity", .mode = S_IFLNK | 0777, .show = link_affinity, .alive = pid_known},
    {.name = "why", .mode = S_IFLNK | 0777, .show = link_why, .alive = pid_known},
    {.name = NULL},
};
static const struct synth_entry away_dir = {.name = "", .mode = PROC_DIR_AWAY,
                                            .children = away_entries, .alive = pid_known};
// It may move between the walk to its directory and the walk to a file of it.
static const struct synth_entry pid_dir = {.name = "", .mode = S_IFDIR | 0555, .own = own,
                                           .children = pid_entries, .alive = pid_known};

// --- /proc itself ---

// As many as `size`. Also those that come, and those that went a short while ago or left an image:
// who asks all nodes in turn misses none that moves meanwhile. files_lock held.
u32 proc_list_here(u32 *pids, u32 size) {
    u32 count = 0;
    spin_lock(&proc_lock);
    for (u32 i = 0; i < proc_end && count < size; i++) {
        const enum proc_state state = procs[i].state;
        if (state == PROC_FREE || (state == PROC_NEW && !procs[i].cl.in_cluster)) continue;
        if (proc_descs[i].pid == 0) continue;        // kernel/precopy.h
        pids[count++] = proc_descs[i].pid;
    }
    count += where_left_lately(pids + count, size - count);
    spin_unlock(&proc_lock);
    return count;
}

static status_t find_pid(u64 arg, const char *name, const struct synth_entry **entry, u64 *out) {
    (void)arg;
    u64 pid;
    if (!parse_number(name, &pid) || !pid_known(pid)) return E_NOENT;
    *entry = pid_alive(pid) ? &pid_dir : &away_dir;
    *out = pid;
    return S_OK;
}
static const struct synth_ops pid_ops = {NULL, find_pid};

static const struct synth_entry root_entry = {
    .name = "proc", .mode = S_IFDIR | 0555, .children = proc_kernel_files, .dynamic = &pid_ops,
    .open = proc_list_open, .ioctl = family_answer};

// Other nodes know it as /nodes/N/proc.
struct object *procfs_init(void) {
    struct object *root = synth_root(&root_entry);
    object_set_root(OBJECT_ROOT_PROC, root);
    return root;
}
