// A file call that came from another node: it runs on this node's servers as a local one
// does, but no process here asks, so none must be found by proc_current and made to wait.
// Called by kernel/remote_serve.c. Lock: net_lock held; files_lock is taken inside.
#include "kernel/files/object.h"
#include "kernel/remote_files_priv.h"
#include "kernel/x86/cpu.h"

// As file_call; S_RESTART: it would block, file_hooks.changed says when to try again.
// Context: netpoll, interrupts off, so nobody sees this CPU without its process.
status_t file_call_foreign(struct p9_call *c) {
    struct cpu *cpu = cpu_this();
    struct proc *current = cpu->current;
    cpu->current = NULL;
    status_t status = file_call(c);
    cpu->current = current;
    return status;
}
