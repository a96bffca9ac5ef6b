// What /proc says of this node as a whole: memory, clocks, CPUs, mounts, /proc/sys. Each node
// answers for itself; /nodes/N/proc has the others'. Used by procfs.c; lock: files_lock.
#include "base/owner.h"
#include "kernel/clock.h"
#include "kernel/file.h"
#include "kernel/files/procfs.h"
#include "kernel/files/userfs.h"
#include "kernel/klog.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "mm/kmem.h"
#include "sched/runq.h"

#define SECONDS(ns) ((u64)((ns) / NS_PER_S))

static status_t show_meminfo(u64 arg, struct text *t) {
    (void)arg;
    u64 total = frame_count_total() * 4, free = frame_count_free() * 4;
    text_add(
        t,
        "MemTotal:     %10lu kB\nMemFree:      %10lu kB\nMemAvailable: %10lu kB\n"
        "Buffers:               0 kB\nCached:                0 kB\nSwapCached:            0 kB\n"
        "Active:                0 kB\nInactive:              0 kB\nSwapTotal:             0 kB\n"
        "SwapFree:              0 kB\nShmem:                 0 kB\nSlab:                  0 kB\n"
        "SReclaimable:          0 kB\n",
        total, free, free);
    return S_OK;
}

static status_t show_uptime(u64 arg, struct text *t) {
    (void)arg;
    spin_lock(&proc_lock);
    const struct proc *p = proc_find(file_caller_pid());
    const u64 now = clock_seen(p ? proc_desc(p) : NULL).clock_ns;
    spin_unlock(&proc_lock);
    u64 idle = 0;
    for (u32 i = 0; i < cpu_count; i++) idle += cpus[i].idle_ns;
    text_add(t, "%lu.%02lu %lu.%02lu\n", SECONDS(now), now / NS_PER_TICK % 100, SECONDS(idle),
             idle / NS_PER_TICK % 100);
    return S_OK;
}

static void cpu_line(struct text *t, const char *name, u64 total_ns, u64 idle_ns) {
    u64 idle = idle_ns / NS_PER_TICK, busy = total_ns / NS_PER_TICK;
    busy = busy > idle ? busy - idle : 0;
    text_add(t, "%s %lu 0 0 %lu 0 0 0 0 0 0\n", name, busy, idle);
}

static status_t show_kernel_stat(u64 arg, struct text *t) {
    (void)arg;
    u64 now = time_now_ns(), idle = 0, interrupts = 0;
    u32 running = runq_running_count();
    for (u32 i = 0; i < cpu_count; i++) {
        idle += cpus[i].idle_ns;
        interrupts += cpus[i].interrupts;
        running += runq_length(i);
    }
    cpu_line(t, "cpu ", now * cpu_count, idle);
    for (u32 i = 0; i < cpu_count; i++) {
        char name[16];
        ksnprintf(name, sizeof name, "cpu%u", i);
        cpu_line(t, name, now, cpus[i].idle_ns);
    }
    text_add(t, "intr %lu\nctxt 0\nbtime %lu\nprocesses %u\nprocs_running %u\nprocs_blocked 0\n",
             interrupts, SECONDS(time_wall_ns() - clock_now_ns()), proc_count, running);
    return S_OK;
}

static status_t show_loadavg(u64 arg, struct text *t) {
    (void)arg;
    u32 running = runq_running_count(), all = 0;
    for (u32 i = 0; i < cpu_count; i++) running += runq_length(i);
    for (u32 i = 0; i < proc_end; i++) all += procs[i].state != PROC_FREE;
    text_add(t, "%u.00 %u.00 %u.00 %u/%u %u\n", running, running, running, running, all, 1);
    return S_OK;
}

static status_t show_version(u64 arg, struct text *t) {
    (void)arg;
    text_add(t, "Isthmus version 6.1.0-isthmus (x86_64)\n");
    return S_OK;
}
static status_t show_mounts(u64 arg, struct text *t) {
    (void)arg;
    text_add(t, "rootfs / ramfs rw 0 0\ndev /dev devfs rw 0 0\nproc /proc proc rw 0 0\n"
             "nodes /nodes nodes rw 0 0\n");
    const char *source, *name;                   // those that this node serves
    for (u32 i = 0; mountfs_entry(i, &source, &name); i++)
        text_add(t, "%s /mnt/%s 9p rw 0 0\n", source, name);
    return S_OK;
}
static status_t show_filesystems(u64 arg, struct text *t) {
    (void)arg;
    // ext4 through mount.ext4: a mount without a type tries those of drives.
    text_add(t, "nodev\tramfs\nnodev\tproc\nnodev\t9p\n\text4\n");
    return S_OK;
}
static status_t show_cpuinfo(u64 arg, struct text *t) {
    (void)arg;
    for (u32 i = 0; i < cpu_count; i++) {
        text_add(t,
                 "processor\t: %u\nvendor_id\t: x86-64\nmodel name\t: x86-64\napicid\t\t: %u\n\n",
                 i, cpus[i].apic_id);
    }
    return S_OK;
}
static status_t show_self(u64 arg, struct text *t) {
    (void)arg;
    if (file_caller_pid() == 0) return E_NOENT;
    text_add(t, "%u", file_caller_pid());
    return S_OK;
}

// What the other nodes list /proc by (kernel/proc_path.c).
static status_t show_pids(u64 arg, struct text *t) {
    (void)arg;
    const u32 size = proc_count;
    u32 *pids = kmem_alloc(size * sizeof *pids);
    if (!pids) return E_NOMEM;
    const u32 count = proc_list_here(pids, size);
    for (u32 i = 0; i < count; i++) text_add(t, "%u\n", pids[i]);
    kmem_free(pids, size * sizeof *pids);
    return S_OK;
}

static status_t show_swaps(u64 arg, struct text *t) {
    (void)arg;
    text_add(t, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    return S_OK;
}

// --- /proc/sys/kernel ---

static status_t show_ostype(u64 arg, struct text *t) {
    (void)arg;
    text_add(t, "Isthmus\n");
    return S_OK;
}
static status_t show_osrelease(u64 arg, struct text *t) {
    (void)arg;
    text_add(t, "6.1.0-isthmus\n");
    return S_OK;
}
static status_t show_hostname(u64 arg, struct text *t) {
    (void)arg;
    text_add(t, "node%u\n", node_id);
    return S_OK;
}
// The largest process id and one: a node's number stands above 16 bits of its own.
static status_t show_pid_max(u64 arg, struct text *t) {
    (void)arg;
    text_add(t, "%u\n", NODES_MAX << 16);
    return S_OK;
}
static status_t show_groups_max(u64 arg, struct text *t) {
    (void)arg;
    text_add(t, "%u\n", PROC_GROUPS_MAX);
    return S_OK;
}
static status_t show_overcommit(u64 arg, struct text *t) {
    (void)arg;
    text_add(t, "1\n");
    return S_OK;
}

static const struct synth_entry sys_kernel[] = {
    {.name = "ostype", .mode = S_IFREG | 0444, .show = show_ostype},
    {.name = "osrelease", .mode = S_IFREG | 0444, .show = show_osrelease},
    {.name = "hostname", .mode = S_IFREG | 0444, .show = show_hostname},
    {.name = "pid_max", .mode = S_IFREG | 0444, .show = show_pid_max},
    {.name = "ngroups_max", .mode = S_IFREG | 0444, .show = show_groups_max},
    {.name = NULL},
};
static const struct synth_entry sys_vm[] = {
    {.name = "overcommit_memory", .mode = S_IFREG | 0444, .show = show_overcommit},
    {.name = NULL},
};
static const struct synth_entry sys_dirs[] = {
    {.name = "kernel", .mode = S_IFDIR | 0555, .children = sys_kernel},
    {.name = "vm", .mode = S_IFDIR | 0555, .children = sys_vm},
    {.name = NULL},
};

const struct synth_entry proc_kernel_files[] = {
    {.name = "meminfo", .mode = S_IFREG | 0444, .show = show_meminfo},
    {.name = "uptime", .mode = S_IFREG | 0444, .show = show_uptime},
    {.name = "stat", .mode = S_IFREG | 0444, .show = show_kernel_stat},
    {.name = "loadavg", .mode = S_IFREG | 0444, .show = show_loadavg},
    {.name = "version", .mode = S_IFREG | 0444, .show = show_version},
    {.name = "cpuinfo", .mode = S_IFREG | 0444, .show = show_cpuinfo},
    {.name = "filesystems", .mode = S_IFREG | 0444, .show = show_filesystems},
    {.name = "mounts", .mode = S_IFREG | 0444, .show = show_mounts},
    {.name = "swaps", .mode = S_IFREG | 0444, .show = show_swaps},
    {.name = "sys", .mode = S_IFDIR | 0555, .children = sys_dirs},
    {.name = "pids", .mode = S_IFREG | 0444, .show = show_pids},
    {.name = "self", .mode = S_IFLNK | 0777, .show = show_self},
    {.name = NULL},
};
