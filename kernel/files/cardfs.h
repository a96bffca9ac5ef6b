// The network cards as files of /nodes/N/dev.
#pragma once

void cardfs_init(void);              // boot, after the cards and the directory
