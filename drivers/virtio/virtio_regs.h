// The modern PCI transport of virtio, the split ring and virtio-blk's layouts.
// Spec: VIRTIO 1.1 4.1.4 (PCI capabilities), 4.1.4.3 (common configuration), 2.1 (status),
// 2.6 (split virtqueue), 5.2 (block device), 6 (reserved features).
#pragma once

#include "base/bits.h"
#include "base/types.h"

#define VIRTIO_VENDOR 0x1af4u        // 4.1.2
#define VIRTIO_DEVICE_BLK 0x1042u
#define VIRTIO_DEVICE_BLK_OLD 0x1001u   // transitional: has the modern interface as well

enum virtio_cap_type { VIRTIO_CAP_COMMON = 1, VIRTIO_CAP_NOTIFY, VIRTIO_CAP_ISR,
                       VIRTIO_CAP_DEVICE };   // 4.1.4: cfg_type, byte 3; bar: byte 4
#define VIRTIO_CAP_BAR 4u
#define VIRTIO_CAP_OFFSET 8u
#define VIRTIO_CAP_LENGTH 12u
#define VIRTIO_CAP_MULTIPLIER 16u    // 4.1.4.4

enum virtio_common {                 // 4.1.4.3; the width of each is its own
    VIRTIO_DEVICE_FEATURE_SELECT = 0x00, VIRTIO_DEVICE_FEATURE = 0x04,     // 32
    VIRTIO_DRIVER_FEATURE_SELECT = 0x08, VIRTIO_DRIVER_FEATURE = 0x0c,     // 32
    VIRTIO_MSIX_CONFIG = 0x10, VIRTIO_NUM_QUEUES = 0x12,                   // 16
    VIRTIO_STATUS = 0x14,                                                  // 8
    VIRTIO_QUEUE_SELECT = 0x16, VIRTIO_QUEUE_SIZE = 0x18,                  // 16
    VIRTIO_QUEUE_MSIX_VECTOR = 0x1a,                                       // 16
    VIRTIO_QUEUE_ENABLE = 0x1c, VIRTIO_QUEUE_NOTIFY_OFF = 0x1e,            // 16
    VIRTIO_QUEUE_DESC = 0x20, VIRTIO_QUEUE_DRIVER = 0x28, VIRTIO_QUEUE_DEVICE = 0x30,   // 64
    VIRTIO_COMMON_BYTES = 0x38,
};
enum virtio_status { VIRTIO_ACKNOWLEDGE = 1, VIRTIO_DRIVER = 2, VIRTIO_DRIVER_OK = 4,
                     VIRTIO_FEATURES_OK = 8, VIRTIO_NEEDS_RESET = 64, VIRTIO_FAILED = 128 };
#define VIRTIO_NO_VECTOR 0xffffu     // 4.1.5.1.2
#define VIRTIO_F_VERSION_1 BIT(32)

// 2.6.5 descriptors, 2.6.6 available ring, 2.6.8 used ring.
struct virtq_desc { u64 pa; u32 len; u16 flags, next; };
_Static_assert(sizeof(struct virtq_desc) == 16, "VIRTIO 1.1 2.6.5");
#define VIRTQ_DESC_NEXT 1u
#define VIRTQ_DESC_WRITE 2u          // the device writes it
#define VIRTQ_NO_INTERRUPT 1u
struct virtq_avail { u16 flags, index; u16 ring[]; };
struct virtq_used_entry { u32 id, len; };
struct virtq_used { u16 flags, index; struct virtq_used_entry ring[]; };

// 5.2.3 features, 5.2.4 configuration.
#define VIRTIO_BLK_F_SEG_MAX BIT(2)
#define VIRTIO_BLK_F_RO BIT(5)
#define VIRTIO_BLK_F_BLK_SIZE BIT(6)
#define VIRTIO_BLK_F_FLUSH BIT(9)
enum virtio_blk_config { VIRTIO_BLK_CAPACITY = 0, VIRTIO_BLK_SEG_MAX = 12,
                         VIRTIO_BLK_BLK_SIZE = 20, VIRTIO_BLK_CONFIG_BYTES = 24 };
#define VIRTIO_BLK_SECTOR_SHIFT 9u   // capacity and requests count 512 bytes always

// 5.2.6: a request is this, the data, and one byte of status.
struct virtio_blk_header { u32 type, unused; u64 sector; };
_Static_assert(sizeof(struct virtio_blk_header) == 16, "VIRTIO 1.1 5.2.6");
enum virtio_blk_type { VIRTIO_BLK_IN = 0, VIRTIO_BLK_OUT = 1, VIRTIO_BLK_FLUSH = 4 };
enum virtio_blk_status { VIRTIO_BLK_OK = 0, VIRTIO_BLK_IOERR = 1, VIRTIO_BLK_UNSUPP = 2 };
