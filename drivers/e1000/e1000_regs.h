// The register file of the Intel gigabit family, and its legacy descriptors.
// Spec: 8254x = "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's
// Manual" (317453), chapter 13 (registers), 3.2.3 and 3.3.3 (legacy descriptors);
// 82574 = "82574 GbE Controller Family Datasheet", chapter 10, 7.1.4 and 7.2.10.1.
#pragma once

#include "base/bits.h"
#include "base/types.h"

enum e1000_reg {                     // 8254x table 13-2; 82574 table 10-2
    E1000_CTRL = 0x0000,             // 13.4.1
    E1000_STATUS = 0x0008,           // 13.4.2
    E1000_EECD = 0x0010,             // 13.4.3
    E1000_CTRL_EXT = 0x0018,         // 13.4.6
    E1000_FCAL = 0x0028, E1000_FCAH = 0x002c, E1000_FCT = 0x0030,   // 13.4.8 flow control
    E1000_ICR = 0x00c0,              // 13.4.17 read clears
    E1000_ITR = 0x00c4,              // 13.4.18
    E1000_IMS = 0x00d0,              // 13.4.20 writing 1 sets
    E1000_IMC = 0x00d8,              // 13.4.21 writing 1 clears
    E1000_RCTL = 0x0100,             // 13.4.22
    E1000_FCTTV = 0x0170,            // 13.4.26
    E1000_TCTL = 0x0400,             // 13.4.33
    E1000_TIPG = 0x0410,             // 13.4.34
    E1000_RDBAL = 0x2800, E1000_RDBAH = 0x2804, E1000_RDLEN = 0x2808,  // 13.4.25, 26, 27
    E1000_RDH = 0x2810, E1000_RDT = 0x2818,    // 13.4.28, 13.4.29
    E1000_RDTR = 0x2820,             // 13.4.30
    E1000_RXDCTL = 0x2828,           // 13.4.31
    E1000_RADV = 0x282c,             // 13.4.32
    E1000_TDBAL = 0x3800, E1000_TDBAH = 0x3804, E1000_TDLEN = 0x3808,  // 13.4.35..37
    E1000_TDH = 0x3810, E1000_TDT = 0x3818,    // 13.4.38, 13.4.39
    E1000_TXDCTL = 0x3828,           // 13.4.41
    E1000_RFCTL = 0x5008,            // 82574 10.2.5.3: extended descriptors
    E1000_MTA = 0x5200,              // 13.5.1, 128 words
    E1000_RAL0 = 0x5400, E1000_RAH0 = 0x5404,  // 13.5.2, 16 pairs
    // Statistics, cleared by reading (13.7).
    E1000_CRCERRS = 0x4000, E1000_ALGNERRC = 0x4004, E1000_RXERRC = 0x400c,
    E1000_MPC = 0x4010, E1000_SCC = 0x4014, E1000_ECOL = 0x4018, E1000_LATECOL = 0x4020,
    E1000_RLEC = 0x4040, E1000_RNBC = 0x40a0, E1000_RUC = 0x40a4, E1000_RFC = 0x40a8,
    E1000_ROC = 0x40ac, E1000_RJC = 0x40b0,
};
#define E1000_MMIO_BYTES 0x20000u
#define E1000_MTA_COUNT 128u
#define E1000_RA_COUNT 16u           // 82574: 15 and one for management

// CTRL, 8254x table 13-3
#define E1000_CTRL_GIO_MASTER_OFF BIT(2)       // 82574 only
#define E1000_CTRL_LRST BIT(3)
#define E1000_CTRL_ASDE BIT(5)
#define E1000_CTRL_SLU BIT(6)
#define E1000_CTRL_ILOS BIT(7)
#define E1000_CTRL_RST BIT(26)
#define E1000_CTRL_RFCE BIT(27)
#define E1000_CTRL_TFCE BIT(28)
#define E1000_CTRL_VME BIT(30)
#define E1000_CTRL_PHY_RST BIT(31)
// STATUS, table 13-5
#define E1000_STATUS_LU BIT(1)
#define E1000_STATUS_GIO_MASTER BIT(19)        // 82574: requests still out
// EECD, 82574 10.2.2.3
#define E1000_EECD_AUTO_RD BIT(9)
// ICR, IMS, IMC, table 13-63
#define E1000_INT_TXDW BIT(0)
#define E1000_INT_LSC BIT(2)
#define E1000_INT_RXDMT0 BIT(4)
#define E1000_INT_RXO BIT(6)
#define E1000_INT_RXT0 BIT(7)
// RCTL, table 13-67
#define E1000_RCTL_EN BIT(1)
#define E1000_RCTL_UPE BIT(3)
#define E1000_RCTL_LPE BIT(5)
#define E1000_RCTL_BAM BIT(15)
#define E1000_RCTL_BSIZE GENMASK(17, 16)
#define E1000_RCTL_BSEX BIT(25)
#define E1000_RCTL_SECRC BIT(26)
// TCTL, table 13-76; collision values of 13.4.33
#define E1000_TCTL_EN BIT(1)
#define E1000_TCTL_PSP BIT(3)
#define E1000_TCTL_CT FIELD_PREP(GENMASK(11, 4), 0x0f)
#define E1000_TCTL_COLD FIELD_PREP(GENMASK(21, 12), 0x40)
// TIPG for copper: IPGT 10 (82574: 8), IPGR1 8 (82574: 2), IPGR2 6 (82574: 10)
#define E1000_TIPG_82540 (10u | 8u << 10 | 6u << 20)
#define E1000_TIPG_82574 (8u | 2u << 10 | 10u << 20)
// TXDCTL, 13.4.41 and 82574 10.2.6.7: descriptor granularity, write back at once
#define E1000_TXDCTL_WTHRESH_1 FIELD_PREP(GENMASK(21, 16), 1)
#define E1000_TXDCTL_82574_SET BIT(22)
#define E1000_TXDCTL_GRAN BIT(24)
#define E1000_RXDCTL_GRAN BIT(24)
// RAH
#define E1000_RAH_AV BIT(31)

// Receive descriptor, 8254x 3.2.3, 82574 7.1.4.
struct e1000_rx_desc {
    u64 buffer_pa;
    u16 length;
    u16 checksum;
    u8 status;
    u8 errors;
    u16 special;
};
#define E1000_RXD_DD 0x01
#define E1000_RXD_EOP 0x02
#define E1000_RXD_ERR_CE 0x01        // CRC or alignment
#define E1000_RXD_ERR_SE 0x02
#define E1000_RXD_ERR_SEQ 0x04
#define E1000_RXD_ERR_RXE 0x80
#define E1000_RXD_ERR_FRAME \
    (E1000_RXD_ERR_CE | E1000_RXD_ERR_SE | E1000_RXD_ERR_SEQ | E1000_RXD_ERR_RXE)

// Transmit descriptor, 8254x 3.3.3, 82574 7.2.10.1.
struct e1000_tx_desc {
    u64 buffer_pa;
    u16 length;
    u8 cso;
    u8 command;
    u8 status;
    u8 css;
    u16 special;
};
#define E1000_TXD_EOP 0x01
#define E1000_TXD_IFCS 0x02
#define E1000_TXD_RS 0x08
#define E1000_TXD_DD 0x01
#define E1000_TXD_LENGTH_MAX 16288u  // 8254x 3.3.3

_Static_assert(sizeof(struct e1000_rx_desc) == 16, "8254x 3.2.3");
_Static_assert(sizeof(struct e1000_tx_desc) == 16, "8254x 3.3.3");
_Static_assert(offsetof(struct e1000_rx_desc, status) == 12, "8254x table 3-1");
_Static_assert(offsetof(struct e1000_tx_desc, command) == 11, "8254x table 3-8");
