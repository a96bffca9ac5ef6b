// Serves /nodes from nodes_provider; without one it shows this node alone.
// Called through synth.c; lock: files_lock.
#include "kernel/files/nodesfs.h"

#include "kernel/klog.h"
#include "kernel/options.h"
#include "kernel/x86/cpu.h"
#include "mm/frame.h"
#include "sched/runq.h"

struct nodes_provider nodes_provider;

static bool is_member(u32 node) {
    return nodes_provider.member ? nodes_provider.member(node) : node == node_id;
}

static status_t show_status(u64 node, struct text *t) {
    if (nodes_provider.status) return nodes_provider.status((u32)node, t);
    u32 processes = 0;
    for (u32 i = 0; i < proc_end; i++) processes += procs[i].state != PROC_FREE;
    text_add(t, "state: self\ncpus: %u\nprocesses: %u\nfree: %lu\nmem: %lu\n",
             cpu_count, processes, frame_count_free(), frame_count_total());
    return S_OK;
}

static status_t write_control(u64 node, const char *text, u32 len) {
    (void)len;
    return nodes_provider.control ? nodes_provider.control((u32)node, text) : E_OPNOTSUPP;
}

static struct object_id dev_root(u64 node) { return object_root_id((u32)node, OBJECT_ROOT_DEV); }
static struct object_id proc_root(u64 node) { return object_root_id((u32)node, OBJECT_ROOT_PROC); }

static const struct synth_entry node_entries[] = {
    {.name = "dev", .mode = S_IFDIR | 0755, .mount = dev_root},
    {.name = "proc", .mode = S_IFDIR | 0555, .mount = proc_root},
    {.name = "status", .mode = S_IFREG | 0444, .show = show_status},
    {.name = "control", .mode = S_IFREG | 0200, .write = write_control},
    {.name = NULL},
};

static status_t find_extra(u64 node, const char *name, const struct synth_entry **e, u64 *arg) {
    const struct synth_entry *x = nodes_provider.extra;
    while (x && x->name && __builtin_strcmp(x->name, name)) x++;
    if (!x || !x->name) return E_NOENT;
    *e = x;
    *arg = node;
    return S_OK;
}
static bool list_extra(u64 node, u32 i, char *name, u32 *mode) {
    (void)node;
    const struct synth_entry *x = nodes_provider.extra;
    for (; x && x->name && i; x++) i--;
    if (!x || !x->name) return false;
    ksnprintf(name, P9_NAME_MAX, "%s", x->name);
    *mode = x->mode;
    return true;
}
static const struct synth_ops extra_ops = {list_extra, find_extra};

static const struct synth_entry node_dir = {.name = "", .mode = S_IFDIR | 0555,
                                            .children = node_entries, .dynamic = &extra_ops};

static status_t show_members(u64 seen, struct text *t) {
    if (nodes_provider.members) return nodes_provider.members((u32)seen, t);
    text_add(t, "1\n");
    return S_OK;
}

static const struct synth_entry members_file = {.name = "members-not-", .mode = S_IFREG | 0444,
                                                .show = show_members};
static const struct synth_entry root_files[] = {
    {.name = "members", .mode = S_IFREG | 0444, .show = show_members},
    {.name = NULL},
};

static bool list_nodes(u64 arg, u32 i, char *name, u32 *mode) {
    (void)arg;
    for (u32 n = 0; n < NODES_MAX; n++) {
        if (!is_member(n) || i--) continue;
        ksnprintf(name, P9_NAME_MAX, "%u", n);
        *mode = S_IFDIR;
        return true;
    }
    return false;
}

static status_t find_node(u64 arg, const char *name, const struct synth_entry **e, u64 *out) {
    (void)arg;
    u32 n = 0, digits = 0;
    const u64 prefix = __builtin_strlen(members_file.name);
    const bool members = __builtin_strncmp(name, members_file.name, prefix) == 0;
    if (members) name += prefix;
    for (; name[digits] >= '0' && name[digits] <= '9' && digits < 3; digits++)
        n = n * 10 + (u32)(name[digits] - '0');
    if (!digits || name[digits] || (!members && (n >= NODES_MAX || !is_member(n))))
        return E_NOENT;
    *e = members ? &members_file : &node_dir;
    *out = n;
    return S_OK;
}
static const struct synth_ops nodes_ops = {list_nodes, find_node};
static const struct synth_entry root_entry = {.name = "nodes", .mode = S_IFDIR | 0555,
                                              .children = root_files, .dynamic = &nodes_ops};

struct object *nodesfs_init(void) { return synth_root(&root_entry); }
