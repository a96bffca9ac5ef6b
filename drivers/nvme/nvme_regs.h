// The NVMe register file and queue entries, as far as the driver uses them.
// Spec: NVMe 1.4 3.1 (registers), 4.2 (submission entry), 4.6 (completion entry),
// 5 (admin commands), 6 (NVM commands).
#pragma once

#include "base/bits.h"

enum nvme_reg {                      // 3.1
    NVME_CAP_LOW = 0x00, NVME_CAP_HIGH = 0x04, NVME_VS = 0x08, NVME_INTMS = 0x0c,
    NVME_INTMC = 0x10, NVME_CC = 0x14, NVME_CSTS = 0x1c, NVME_AQA = 0x24,
    NVME_ASQ = 0x28, NVME_ACQ = 0x30, NVME_DOORBELLS = 0x1000,
};
// 3.1.1 CAP, by halves.
#define NVME_CAP_MQES GENMASK(15, 0)             // low: entries of a queue, less one
#define NVME_CAP_TO GENMASK(31, 24)              // low: units of 500 ms
#define NVME_CAP_DSTRD GENMASK(3, 0)             // high: 35:32
#define NVME_CAP_CSS_NVM BIT(5)                  // high: 37
#define NVME_CAP_MPSMIN GENMASK(19, 16)          // high: 51:48, 4 KiB << n
// 3.1.5 CC.
#define NVME_CC_EN BIT(0)
#define NVME_CC_IOSQES GENMASK(19, 16)
#define NVME_CC_IOCQES GENMASK(23, 20)
// 3.1.6 CSTS.
#define NVME_CSTS_RDY BIT(0)
#define NVME_CSTS_CFS BIT(1)

struct nvme_sqe {                    // 4.2, figure 104
    u8 opcode, flags;
    u16 cid;
    u32 nsid;
    u64 unused, metadata, prp1, prp2;
    u32 cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct nvme_sqe) == 64, "NVMe 1.4 4.2");

struct nvme_cqe {                    // 4.6
    u32 result, unused;
    u16 sq_head, sq_id, cid, status;
};
_Static_assert(sizeof(struct nvme_cqe) == 16, "NVMe 1.4 4.6");
#define NVME_STATUS_PHASE BIT(0)
#define NVME_STATUS_CODE GENMASK(11, 1)          // 4.6.1: type and code
#define NVME_CODE_READ_ONLY 0x182u               // type 1, 82h: write to read-only range

enum nvme_admin_opcode {             // 5
    NVME_ADMIN_CREATE_SQ = 0x01, NVME_ADMIN_CREATE_CQ = 0x05, NVME_ADMIN_IDENTIFY = 0x06,
    NVME_ADMIN_ABORT = 0x08, NVME_ADMIN_SET_FEATURES = 0x09,
};
enum nvme_io_opcode { NVME_FLUSH = 0x00, NVME_WRITE = 0x01, NVME_READ = 0x02 };   // 6
enum nvme_cns { NVME_CNS_NAMESPACE = 0, NVME_CNS_CONTROLLER = 1, NVME_CNS_ACTIVE = 2 };  // 5.15
#define NVME_FEATURE_QUEUES 0x07u    // 5.21.1.7

// Identify controller, 5.15.2.2 figure 247: byte offsets.
#define NVME_IDC_MODEL 24u
#define NVME_IDC_MODEL_BYTES 40u
#define NVME_IDC_MDTS 77u
#define NVME_IDC_VWC 525u
// Identify namespace, 5.15.2.1 figure 245.
#define NVME_IDN_NSZE 0u
#define NVME_IDN_FLBAS 26u
#define NVME_IDN_NSATTR 99u          // bit 0: write protected
#define NVME_IDN_LBAF 128u           // 16 formats of 4 bytes: MS 15:0, LBADS 23:16
