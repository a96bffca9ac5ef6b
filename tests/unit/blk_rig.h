// What the tests of the drive drivers share: memory for DMA, a clock, the environment of a
// driver, and requests on frames of the host. The device's model is the test's own.
#pragma once

#include "drivers/blkdev.h"
#include "drivers/hw_env.h"

#define BLK_RIG_FRAMES 40u

struct result { u32 calls; status_t status; };

extern const struct hw_env blk_env;
extern struct blkdev *dev;                   // the drive, once it is open
extern u8 *frames[BLK_RIG_FRAMES];           // pages of the host
extern u64 clock_ns;                         // each look at it costs 0.1 ms
extern u32 irqs;                             // told to the driver's user
extern void (*irq_handler)(void *arg);       // what the driver attached, and its argument
extern void *irq_arg;

volatile void *blk_rig_map(paddr_t pa, u64 len);   // the test's: the device's registers

void blk_rig_setup(void);
void blk_rig_teardown(void);
void on_irq(void *ctx);
struct blk_request request(enum blk_op op, u64 block, u32 count, struct result *x);
status_t run(enum blk_op op, u64 block, u32 count);
