// The dispatch table, made from abi/syscall.tbl.
#pragma once

#include "kernel/syscall/syscall.h"

#define SYSCALL_COUNT 463u
struct syscall_entry {
    const char *name;
    syscall_fn fn;                   // NULL: absent
};
extern const struct syscall_entry syscall_table[SYSCALL_COUNT];
