// Which references on this node's objects are other nodes': so that those of a node that dies
// are given back. References on objects of other nodes are counted there.
#pragma once

#include "kernel/files/object.h"

struct cluster_msg;

// A call of that node has ended with S_OK. files_lock not held.
void holders_called(u32 node, const struct p9_call *c);
// A CLUNK of that node is about to run. files_lock not held.
void holders_clunk(u32 node, const struct p9_call *c);
// p runs at `node` now, and ran here. net_lock held.
void holders_given(const struct proc *p, u32 node);
// p has come from `giver`; other nodes that serve what it has open are told. net_lock held.
void holders_taken(const struct proc *p, u32 giver);
// The node is fenced: what its processes held of this node's objects is dropped. net_lock.
void holders_peer_down(u32 node);
void holders_init(void);             // boot
