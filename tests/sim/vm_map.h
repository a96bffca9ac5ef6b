// Included ahead of every file of a node's copy (-include): its "physical" memory lies
// where the simulator put it. See tests/sim/vm.h.
#pragma once

extern unsigned long vm_map_base;
#define DIRECT_MAP_BASE vm_map_base
