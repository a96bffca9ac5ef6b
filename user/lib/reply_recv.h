// Isthmus's call number 400 for servers: the answer to one request and the wait for the next, in
// one. Where a process of this node waits for the answer, the CPU goes straight to that one.
// docs/reference/servers.md.
#pragma once

#include <stddef.h>

#define SYS_REPLY_RECV 400
#define REPLY_RECV_MAX 4096u             // bytes of an answer

// Writes *out_len bytes to out_fd, a pipe, whole or not at all, then reads from in_fd as read does.
// *out_len is 0 afterwards where they were written. Bytes read, 0 the end, or a negated errno:
// ENOSYS on other kernels.
static inline long reply_recv(int in_fd, void *in, size_t in_size, int out_fd, const void *out,
                              size_t *out_len) {
    register long r10 __asm__("r10") = out_fd;
    register const void *r8 __asm__("r8") = out;
    register size_t r9 __asm__("r9") = *out_len;
    long n = SYS_REPLY_RECV;
    __asm__ volatile("syscall" : "+a"(n), "+r"(r9)
                     : "D"((long)in_fd), "S"(in), "d"(in_size), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    *out_len = r9;
    return n;
}
