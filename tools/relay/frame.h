// One Ethernet frame on its way through the relay. Everything here is owned by the
// single thread of relay.c; there are no locks.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_BYTES_MAX 69632u // QEMU's NET_BUFSIZE: no guest frame is longer

struct frame {
    struct frame *next;
    uint64_t due_ns;  // not delivered before this time (chaos delay, reorder)
    uint32_t flow;    // index of the chaos flow, or FLOW_NONE
    uint32_t behind;  // reorder: frames of the flow that must pass before
    int port_in;      // port that it came from
    uint32_t length;  // bytes in data
    uint8_t data[];
};

#define FLOW_NONE UINT32_MAX
