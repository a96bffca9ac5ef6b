// Objects that processes wait for and that are nothing but that: eventfd, timerfd, epoll. Each
// is an object of the node that made it and is used from any node through its handle.
#pragma once

#include "kernel/files/object.h"

// What P9_TPOLL gives in `result`: POLL bits, and above them:
#define POLL_BITS 0xffffull
#define POLL_MEMBERS 0x10000ull      // an epoll set: it is ready where a member is (epoll_ready)
#define POLL_CHANGE_SHIFT 32         // grows with each change, for edge-triggered waits; of a set:
                                     // in how many that lie in each other it has been
#define POLL_CHANGE(count) ((u64)(u32)(count) << POLL_CHANGE_SHIFT)

// Requests of our own, by P9_TIOCTL with `data`; above the numbers that Linux gives out.
enum {
    TIMERFD_IOC_SET = 0x69540001,    // in: struct timerfd_setting; out: the one before
    TIMERFD_IOC_GET = 0x69540002,    // out: struct timerfd_setting
    EPOLL_IOC_ADD = 0x69450001,      // in: struct epoll_member. E_EXIST, E_NOSPC, E_NOMEM
    EPOLL_IOC_MODIFY = 0x69450002,   // in: struct epoll_member. E_NOENT
    EPOLL_IOC_DELETE = 0x69450003,   // in: struct epoll_member. E_NOENT
    EPOLL_IOC_LIST = 0x69450004,     // value: the first; out: members; result: how many are left
    EPOLL_IOC_CLAIM = 0x69450005,    // in: struct epoll_claim[]; result: bit i, i may be reported
    EPOLL_IOC_NEST = 0x69450006,     // value: the set lies in so many in each other
};

struct timerfd_setting { u64 value_ns, interval_ns; };   // value: from now, 0: not armed

// A member of an epoll set: an open description and the handle by which it was added.
struct epoll_member {
    struct object_id object;
    i32 fd;
    u32 events;                      // EPOLL*; 0 but for the flags: not asked (one shot)
    u64 data;
    u32 change;                      // as last reported, where `reported`
    u32 reported;
};
#define EPOLL_BATCH 16u              // members in one request
struct epoll_claim { struct object_id object; i32 fd; u32 change; };
_Static_assert(EPOLL_BATCH * sizeof(struct epoll_member) <= 1024, "travels inside a message");
enum { EPOLLEXCLUSIVE = 1 << 28, EPOLLONESHOT = 1 << 30 };
#define EPOLLET 0x80000000u
#define EPOLL_FLAGS 0xf8000000u      // not events

// All four: files_lock held; one reference, for ofd_open. E_NOMEM, E_NFILE.
status_t eventfd_make(u64 count, bool semaphore, struct object **out);
status_t timerfd_make(struct object **out);
status_t epoll_make(struct object **out);
