// Holding a node at a step of a migration, once a boot, for a test that kills it there. All of
// the node stands still, as its one CPU does, for less than it takes to be fenced.
#include "kernel/steps.h"

#include "base/string.h"
#include "kernel/klog.h"
#include "kernel/options.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/msr.h"

#define HOLD_NS (1500ull * 1000 * 1000)      // less than the shortest fencing by default

void step_hold(enum step step, const char *name) {
    static bool held;
    const bool others = name && options.hold_name[0] != 0 && strcmp(options.hold_name, name) != 0;
    if (held || others) return;
    held = true;
    klog("hold: at step %s", step_name(step));
    const u64 until_ns = time_now_ns() + HOLD_NS;
    while (time_now_ns() < until_ns) cpu_relax();
    klog("hold: goes on");
}
