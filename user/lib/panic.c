// ASSERT and panic in our programs (base/assert.h): say why and abort.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

void panic(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}
