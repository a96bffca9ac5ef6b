// File calls between nodes: the kernel's hands of proto/p9, over the bulk pairs of
// kernel/cluster.h. remote_files.c asks, remote_serve.c answers. Lock: net_lock.
#pragma once

#include "kernel/proc.h"

void remote_files_init(void);                    // boot, after proc_init, before cluster_init
// At the edge of a process that is to leave this node; net_lock held.
bool remote_files_settled(struct proc *p);
