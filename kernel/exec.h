// Starting a program in a process: ELF executables and #! scripts.
#pragma once

#include "kernel/proc.h"

struct exec_args {
    char *bytes;                     // words of arguments, then of environment, each with its 0
    u32 len, size;
    u32 argc, envc;
};
#define EXEC_ARGS_BYTES (64 * KIB)   // one kmem object

status_t exec_args_alloc(struct exec_args *a);
void exec_args_free(struct exec_args *a);
// Replaces the program of p. S_OK: its registers are the new program's.
status_t exec_program(struct proc *p, int dirfd, const char *path, struct exec_args *args);
status_t exec_first(struct proc *p, const char *path);      // process 1
