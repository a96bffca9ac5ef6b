// Linked around ext4d for the test of power cuts (-Wl,--wrap): what it writes to its drive,
// its flushes and its answers, in order, into the file DRIVE_LOG. Records: W offset[8] len[4]
// bytes; F: the flush has returned; A: an answer was given.
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ssize_t __real_pwrite(int fd, const void *from, size_t len, off_t at);
ssize_t __real_write(int fd, const void *from, size_t len);
int __real_fsync(int fd);
ssize_t __wrap_pwrite(int fd, const void *from, size_t len, off_t at);
ssize_t __wrap_write(int fd, const void *from, size_t len);
int __wrap_fsync(int fd);

static void put(const void *from, size_t len) {
    static int log_fd = -1;
    if (log_fd < 0) log_fd = open(getenv("DRIVE_LOG"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (log_fd < 0 || __real_write(log_fd, from, len) != (ssize_t)len) abort();
}

ssize_t __wrap_pwrite(int fd, const void *from, size_t len, off_t at) {
    const ssize_t n = __real_pwrite(fd, from, len, at);
    const uint64_t offset = (uint64_t)at;
    const uint32_t count = n > 0 ? (uint32_t)n : 0;
    put("W", 1);
    put(&offset, 8);
    put(&count, 4);
    put(from, count);
    return n;
}

int __wrap_fsync(int fd) {
    const int result = __real_fsync(fd);
    if (result == 0) put("F", 1);
    return result;
}

// One write has one answer or more, each of which begins with its size.
ssize_t __wrap_write(int fd, const void *from, size_t len) {
    const ssize_t n = __real_write(fd, from, len);
    const uint8_t *bytes = from;
    for (size_t at = 0; n == (ssize_t)len && at + 4 <= len;) {
        uint32_t size;
        memcpy(&size, bytes + at, 4);
        if (size == 0) abort();
        put("A", 1);
        at += size;
    }
    return n;
}
