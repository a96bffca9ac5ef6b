// The memory and string functions that a freestanding compiler may call, and the
// few more that the kernel uses. The kernel's come from kernel/string.c, the
// host's from libc; both have ISO C's meaning.
#pragma once

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t len_bytes);
void *memmove(void *to, const void *from, size_t len_bytes);
void *memset(void *to, int byte, size_t len_bytes);
int memcmp(const void *a, const void *b, size_t len_bytes);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max_bytes);
char *strchr(const char *s, int c);
