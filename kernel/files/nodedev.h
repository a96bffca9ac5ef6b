// /nodes/N/dev: what this node has, by name. Drives, cards and the console add theirs at boot.
#pragma once

#include "kernel/files/object.h"

#define NODEDEV_MAX 320u             // 16 drives of 17 files each, cards, the console

void nodedev_init(void);             // boot, before the first process
// Puts an object that is never released under this name, which is kept. Boot; files_lock held.
// E_NOSPC: no room.
status_t nodedev_add(const char *name, struct object *o);
// What the files of devices answer alike: c is a call that its own server does not know.
status_t nodedev_file_other(struct p9_call *c);
