// Option selftest=NAME: bugs on purpose, and checks of what only a booted kernel has.
#pragma once

void selftest_run(const char *name); // last step of boot, before the edge; "" does nothing
