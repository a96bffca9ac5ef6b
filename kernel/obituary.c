// The last exit records that name a node. See obituary.h. Lock: obituary_lock, a leaf.
#include "kernel/obituary.h"

#include "base/bits.h"
#include "base/string.h"
#include "kernel/klog.h"
#include "kernel/proc_desc.h"
#include "kernel/x86/spinlock.h"

#define RECORDS_MAX 256u             // the oldest are forgotten

struct record { u32 pid, node; char name[PROC_NAME_MAX]; const char *why; };
static struct record records[RECORDS_MAX];
static u32 count;                    // ever made
static struct spinlock obituary_lock = SPINLOCK_INIT(LOCK_RANK_STATUS, "obituary");

void obituary_add(u32 pid, const char *name, u32 node, const char *why) {
    bool known = false;              // then a second cause is none
    spin_lock(&obituary_lock);
    for (u32 i = count - MIN(count, RECORDS_MAX); i != count; i++)
        known |= records[i % RECORDS_MAX].pid == pid && records[i % RECORDS_MAX].node == node;
    if (known) {
        spin_unlock(&obituary_lock);
        return;
    }
    struct record *r = &records[count++ % RECORDS_MAX];
    *r = (struct record){.pid = pid, .node = node, .why = why};
    memcpy(r->name, name, MIN(strlen(name), sizeof r->name - 1));
    spin_unlock(&obituary_lock);
    klog("lost: process %u (%s) with node %u: %s", pid, *name ? name : "?", node, why);
}

u64 obituary_text(u32 node, char *to, u64 size_bytes) {
    u64 at = 0;
    spin_lock(&obituary_lock);
    for (u32 i = count - MIN(count, RECORDS_MAX); i != count && at + 1 < size_bytes; i++) {
        const struct record *r = &records[i % RECORDS_MAX];
        if (r->node != node) continue;
        const int n = ksnprintf(to + at, size_bytes - at, "lost: %u %s: %s\n", r->pid,
                                *r->name ? r->name : "?", r->why);
        at = MIN(at + (u64)n, size_bytes - 1);
    }
    spin_unlock(&obituary_lock);
    return at;
}
