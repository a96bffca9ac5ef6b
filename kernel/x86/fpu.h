// The vector registers of a process and their image in its descriptor.
#pragma once

#include "kernel/proc_desc.h"

void fpu_reset(struct proc_desc *d);                 // a fresh program's state
void fpu_save(struct proc_desc *d);                  // registers to descriptor
void fpu_load(struct proc_desc *d);                  // descriptor to registers
void fpu_sanitize(struct proc_desc *d);              // after bytes came from a user
