// Processes that end when this node joins as new.
#pragma once

#include "base/types.h"

// Kills each process here that another node bore or has the parent of; how many. `node` is
// the one whose side counts them as dead. net_lock held, proc_lock not.
u32 rebirth_reap(u32 node);
