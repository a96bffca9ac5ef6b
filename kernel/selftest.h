// Option selftest=NAME: bugs on purpose, and checks of what only a booted kernel has.
#pragma once

void selftest_sync(void);            // by each sync() call of a process
void selftest_run(const char *name); // last step of boot, before the edge; "" does nothing
