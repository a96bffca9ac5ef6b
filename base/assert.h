// ASSERT finds our own bugs and stays on in every build. Bad input from a user,
// the wire or a device is a status and a counter, never an ASSERT.
#pragma once

// Stops this node (kernel) or this process (host builds) with the given text.
// Whoever links provides it: kernel/panic.c, tests/unit/fakes/, tests/sim/.
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define ASSERT(cond)                                                                 \
    do {                                                                             \
        if (__builtin_expect(!(cond), 0))                                            \
            panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #cond);         \
    } while (0)
