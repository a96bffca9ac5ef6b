// The kernel's cryptographic random generator.
#pragma once

#include "base/rng.h"

// Seeds the generator from RDRAND/RDSEED where the CPU has it and from timing jitter.
void random_init(void);
void random_fill(void *to, size_t len_bytes);   // any context
extern const struct rng kernel_rng;             // the same as a table
