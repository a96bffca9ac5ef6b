// The kernel's log: each line goes to the consoles and into a ring that /dev/kmsg shows.
// Called from anywhere, interrupt handlers too. Lock: log_lock (rank console, innermost).
#include "kernel/klog.h"

#include "base/string.h"
#include "base/units.h"
#include "drivers/console/console.h"
#include "kernel/x86/cpu.h"
#include "kernel/x86/spinlock.h"

#define LINE_MAX 512
#define RING_BYTES (64 * KIB)

static struct spinlock log_lock = SPINLOCK_INIT(LOCK_RANK_CONSOLE, "console");
// Under log_lock.
static char ring_text[RING_BYTES];
static u64 ring_end;                 // bytes ever written

static void emit(const char *text, u64 len) {
    for (u64 i = 0; i < len; i++) ring_text[ring_end++ % RING_BYTES] = text[i];
    console_write(text, len);
}

// One line, with the time in front; a missing newline is added.
void klog(const char *format, ...) {
    char line[LINE_MAX];
    const u64 us = time_now_ns() / NS_PER_US;
    int n = ksnprintf(line, sizeof line, "[%5lu.%06lu] ", us / 1000000, us % 1000000);
    va_list args;
    va_start(args, format);
    n += kvsnprintf(line + n, sizeof line - (u64)n, format, args);
    va_end(args);
    if (n > (int)sizeof line - 2) n = (int)sizeof line - 2;
    if (line[n - 1] != '\n') line[n++] = '\n';
    spin_lock(&log_lock);
    emit(line, (u64)n);
    spin_unlock(&log_lock);
}

// For panic: no time, no lock, as other CPUs are stopped and may hold it.
void klog_raw(const char *text) { emit(text, strlen(text)); }

// Text of a process to the console, whole, not mixed with lines of the log.
void klog_console_write(const char *text, u64 len_bytes) {
    spin_lock(&log_lock);
    console_write(text, len_bytes);
    spin_unlock(&log_lock);
}

// Copies the log from byte `from` on (older bytes that are gone are skipped).
//   from: in bytes since boot; advanced past what was copied
// Returns the bytes copied.
u64 klog_read(u64 *from, char *to, u64 size_bytes) {
    spin_lock(&log_lock);
    if (ring_end > RING_BYTES && *from < ring_end - RING_BYTES) *from = ring_end - RING_BYTES;
    u64 n = 0;
    while (n < size_bytes && *from < ring_end) to[n++] = ring_text[(*from)++ % RING_BYTES];
    spin_unlock(&log_lock);
    return n;
}
