// What /proc/PID shows of placement.
#pragma once

#include "kernel/files/synth.h"

status_t placement_show_affinity(u64 pid, struct text *t);   // files_lock held
status_t placement_show_why(u64 pid, struct text *t);
