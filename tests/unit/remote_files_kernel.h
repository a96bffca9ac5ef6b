// The kernel that test_remote_files.c runs in: what the tests set and look at.
#pragma once

#include "kernel/proc.h"
#include "mm/frame.h"

extern struct proc *current;          // who makes the next call
extern u64 now_ns;
extern u32 heap_live, frames_live;    // allocated and not freed
extern void (*poller)(void *ctx, u64 now_ns);
extern bool signal_now;               // process 0 has a signal to deliver
extern u8 *frames;                    // 64 pages of the host
extern u32 frame_refs_of[64];

u32 frame_index(paddr_t pa);
