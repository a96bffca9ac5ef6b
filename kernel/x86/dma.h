// Barriers between the CPU and devices that read and write memory, each named for the
// situation it is for. On x86-64 with write-back memory and uncached registers the CPU
// keeps all of these orders by itself, so each is a barrier for the compiler alone.
// Spec: SDM Vol. 3A 9.2.2 (stores are not reordered with stores, loads not with loads;
// a store to UC memory comes after earlier stores), 12.10 (DMA is cache-coherent).
#pragma once

// Descriptors and buffers are filled; next comes the doorbell or the word that gives
// them to the device.
static inline void dma_to_device(void) { __asm__ volatile("" ::: "memory"); }
// The device's "done" word has been read; next come reads of what it wrote before it.
static inline void dma_from_device(void) { __asm__ volatile("" ::: "memory"); }
// Two writes that the device must see in this order, neither of which is a doorbell.
static inline void dma_order_writes(void) { __asm__ volatile("" ::: "memory"); }
// We have told the device something in memory, and read next what it told us: a load may
// pass an earlier store, so this one is an instruction. SDM Vol. 3A 9.2.3.4.
static inline void dma_tell_then_look(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
