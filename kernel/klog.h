// Messages of the kernel: to the serial console, the screen, and a ring for dmesg.
#pragma once

#include <stdarg.h>

#include "base/types.h"

// Formats: %d %i %u %x %p %s %c %% with l, ll, z, widths, 0 and -; plus %pI (u32 IPv4,
// host order, by pointer) and %pM (6-byte MAC by pointer).
void klog(const char *format, ...) __attribute__((format(printf, 1, 2)));
int ksnprintf(char *to, u64 size_bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int kvsnprintf(char *to, u64 size_bytes, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
// The log's bytes from *from on, for dmesg; advances *from. Returns how many.
u64 klog_read(u64 *from, char *to, u64 size_bytes);
void klog_console_write(const char *text, u64 len_bytes);  // a process's text
void klog_raw(const char *text);     // panic only: takes no lock
