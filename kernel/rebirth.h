// Processes end when this node joins as new. net_lock held, proc_lock not.
#pragma once

#include "base/types.h"

// Kills every process here but init; how many. `node` is one of those that count them as dead.
u32 rebirth_reap(u32 node);
// They have ended: what they held of other nodes is not given back in the next life's name.
bool rebirth_over(void);
