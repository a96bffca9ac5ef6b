// Shared mappings over the cluster: pages of files that processes of several nodes map, kept
// coherent by proto/cluster/share.c; here is what that asks of a kernel.
#pragma once

#include "kernel/files/object.h"
#include "kernel/proc.h"
#include "mm/aspace.h"

void share_map_init(void);                       // boot, before cluster_init
// For the server of a file of this node; files_lock held. S_OK: its page is this node's now;
// S_RESTART: the caller waits; E_IO: the page was lost with a node.
status_t share_map_may(const struct object *file, u64 page, bool write);
// May processes here write to it now? files_lock held.
bool share_map_writable(const struct object *file, u64 page);
// The same for all pages from from_page on, that are to be cut off.
status_t share_map_cut(const struct object *file, u64 from_page);
void share_map_gone(const struct object *file);  // its last reference is; files_lock held
// The current process faulted on a shared page of another node's file. No lock held.
enum fault_result share_map_page(struct object_id file, u64 offset, bool write,
                                 struct file_page *out);
// At the edge of p's CPU, where p->cl.unmap. No lock held.
void share_map_edge(struct proc *p);
bool share_map_used(void);                       // some file here is shared with another node
void share_map_poll(u64 now_ns);                 // net_lock held
u64 share_map_deadline_ns(u64 now_ns);
void share_map_peer_down(u32 node);              // net_lock held
