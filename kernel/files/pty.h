// Pseudo-terminals: /dev/ptmx and /dev/pts.
#pragma once

#include "kernel/files/object.h"

#define PTYS_MAX 64u                 // of a node; number N is node N / PTYS_MAX's

void pty_init(void);                 // boot; files_lock held
status_t pty_open(u32 flags, struct p9_call *c);         // of /dev/ptmx; files_lock held
u32 pty_node(const char *name);      // whose it is, by its name in /dev/pts; ~0: no number
u32 pty_device(struct object_id id); // of a controlling terminal; files_lock held
