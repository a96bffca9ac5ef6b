// What the kernel gives to drivers (drivers/hw_env.h): DMA memory from contiguous
// frames, uncached mappings, the TSC's clock, interrupts by MSI or the I/O APIC.
#pragma once

#include "drivers/hw_env.h"

extern const struct hw_env kernel_hw_env;
