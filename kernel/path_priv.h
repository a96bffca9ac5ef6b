// What kernel/file.c, kernel/path.c and kernel/path_open.c share.
#pragma once

#include "kernel/file.h"

void path_mounts_start(void);        // boot: /dev, /proc, /nodes, /mnt
void path_move_to(struct path *w, struct object_id to);   // takes over the reference
bool path_is_proc(const struct path *w);                  // it is at /proc itself
