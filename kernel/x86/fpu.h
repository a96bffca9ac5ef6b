// The vector registers of a process and their image in its descriptor.
#pragma once

#include "kernel/proc_desc.h"

#define FXSAVE_BYTES 512u            // of an image without XSAVE

void fpu_reset(struct proc_desc *d);                 // a fresh program's state
void fpu_save(struct proc_desc *d);                  // registers to descriptor
void fpu_load(struct proc_desc *d);                  // descriptor to registers
void fpu_sanitize(struct proc_desc *d);              // after bytes came from a user
void fpu_arrived(struct proc_desc *d);               // after it came from another node
