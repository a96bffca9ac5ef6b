// The six verbs for device registers: get, set, set flags, clear flags, wait until set,
// wait until clear; 32-bit, little-endian, at a byte offset from a base that
// hw_env.mmio_map returned (uncached, so the CPU neither reorders nor merges).
// In a hosted build the two primitives are functions that the test's model of the
// device provides (tests/unit/fakes/); the rest is the same.
// Lock: the device owner's. Spec: SDM Vol. 3A 12.3 (UC memory is strongly ordered).
#pragma once

#include "base/status.h"
#include "base/types.h"

#if __STDC_HOSTED__
u32 mmio_get32(volatile void *base, u32 offset);
void mmio_set32(volatile void *base, u32 offset, u32 value);
u16 mmio_get16(volatile void *base, u32 offset);
void mmio_set16(volatile void *base, u32 offset, u16 value);
u8 mmio_get8(volatile void *base, u32 offset);
void mmio_set8(volatile void *base, u32 offset, u8 value);
#else
static inline u32 mmio_get32(volatile void *base, u32 offset) {
    return *(volatile u32 *)((volatile u8 *)base + offset);
}
static inline void mmio_set32(volatile void *base, u32 offset, u32 value) {
    *(volatile u32 *)((volatile u8 *)base + offset) = value;
}
// Narrow registers, for devices whose manual asks for each field's own width (virtio).
static inline u16 mmio_get16(volatile void *base, u32 offset) {
    return *(volatile u16 *)((volatile u8 *)base + offset);
}
static inline void mmio_set16(volatile void *base, u32 offset, u16 value) {
    *(volatile u16 *)((volatile u8 *)base + offset) = value;
}
static inline u8 mmio_get8(volatile void *base, u32 offset) {
    return *((volatile u8 *)base + offset);
}
static inline void mmio_set8(volatile void *base, u32 offset, u8 value) {
    *((volatile u8 *)base + offset) = value;
}
#endif

static inline void mmio_set_flags32(volatile void *base, u32 offset, u32 flags) {
    mmio_set32(base, offset, mmio_get32(base, offset) | flags);
}
static inline void mmio_clear_flags32(volatile void *base, u32 offset, u32 flags) {
    mmio_set32(base, offset, mmio_get32(base, offset) & ~flags);
}

// The clock and the time by which a wait gives up, both in nanoseconds.
struct mmio_deadline {
    u64 (*now_ns)(void);
    u64 until_ns;
};

// Both return E_TIMEDOUT where the bits did not change in time. The register is read
// once more after the deadline, so a CPU that was away loses nothing.
static inline status_t mmio_wait_set32(volatile void *base, u32 offset, u32 flags,
                                       struct mmio_deadline deadline) {
    for (;;) {
        bool late = deadline.now_ns() >= deadline.until_ns;
        if ((mmio_get32(base, offset) & flags) == flags) return S_OK;
        if (late) return E_TIMEDOUT;
    }
}
static inline status_t mmio_wait_clear32(volatile void *base, u32 offset, u32 flags,
                                         struct mmio_deadline deadline) {
    for (;;) {
        bool late = deadline.now_ns() >= deadline.until_ns;
        if ((mmio_get32(base, offset) & flags) == 0) return S_OK;
        if (late) return E_TIMEDOUT;
    }
}
