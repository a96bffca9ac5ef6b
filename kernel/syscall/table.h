// The dispatch table, made from abi/syscall.tbl.
#pragma once

#include "kernel/syscall/syscall.h"
#include "kernel/x86/entry_asm.h"

#define SYSCALL_COUNT 463u
struct syscall_entry {
    const char *name;
    syscall_fn fn;                   // NULL: absent
};
extern const struct syscall_entry syscall_table[SYSCALL_COUNT];
// Those that entry.S calls at once, with p alone: they take no argument and no lock, never
// wait and change nothing, or are direct_ ones (kernel/syscall/direct.c). NULL: another call.
extern const syscall_fn syscall_quick[SYSCALL_QUICK_COUNT];
