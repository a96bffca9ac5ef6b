// The CRC that RoCE packets are made with on this CPU.
#pragma once

#include "proto/roce/icrc.h"

// PCLMULQDQ where the CPU has it, else the tables. After cpu_features_init.
const struct crc_ops *kernel_crc_ops(void);
extern const struct crc_ops crc_ops_pclmul;
