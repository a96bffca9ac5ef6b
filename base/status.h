// One list of results for the whole kernel: 0, or a negated Linux errno, so that
// the edge of the system call needs no table. Data comes back by out-pointer.
// Source: Linux include/uapi/asm-generic/errno-base.h and errno.h (numbers only).
#pragma once

#include "base/types.h"

typedef i32 status_t;

enum {
    S_OK = 0,
    E_PERM = -1, E_NOENT = -2, E_SRCH = -3, E_INTR = -4, E_IO = -5, E_NXIO = -6,
    E_2BIG = -7, E_NOEXEC = -8, E_BADF = -9, E_CHILD = -10, E_AGAIN = -11,
    E_NOMEM = -12, E_ACCES = -13, E_FAULT = -14, E_BUSY = -16, E_EXIST = -17,
    E_XDEV = -18, E_NODEV = -19, E_NOTDIR = -20, E_ISDIR = -21, E_INVAL = -22,
    E_NFILE = -23, E_MFILE = -24, E_NOTTY = -25, E_TXTBSY = -26, E_FBIG = -27,
    E_NOSPC = -28, E_SPIPE = -29, E_ROFS = -30, E_MLINK = -31, E_PIPE = -32,
    E_DOM = -33, E_RANGE = -34, E_DEADLK = -35, E_NAMETOOLONG = -36, E_NOLCK = -37,
    E_NOSYS = -38,
    E_NOTEMPTY = -39, E_LOOP = -40, E_PROTO = -71, E_OVERFLOW = -75,
    E_NOTSOCK = -88, E_MSGSIZE = -90, E_NOPROTOOPT = -92, E_PROTONOSUPPORT = -93,
    E_SOCKTNOSUPPORT = -94, E_OPNOTSUPP = -95, E_AFNOSUPPORT = -97, E_ADDRINUSE = -98,
    E_NETDOWN = -100, E_CONNRESET = -104, E_NOBUFS = -105, E_ISCONN = -106, E_TIMEDOUT = -110,
    E_CONNREFUSED = -111, E_HOSTUNREACH = -113, E_ALREADY = -114,
    E_CANCELED = -125, E_KEYREJECTED = -129,

    // Never seen by a user: the call has taken no effect, the process has been
    // put on a wait list (or its page was asked for), and the call runs again
    // from its first instruction when it wakes. See docs/ARCHITECTURE.md.
    S_RESTART = -512,
    // Never seen by a user either: the caller's group is in the background of its terminal, which
    // does not let it. kernel/jobs.c makes a signal, an error or another try of it.
    S_BACKGROUND = -513,
};
