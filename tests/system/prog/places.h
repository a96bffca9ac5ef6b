// The two nodes between which a test program moves, where its arguments name them.
#pragma once

#include <string.h>

#include "node.h"

static const char *places[2];        // NULL: it stays

// Goes to places[there]; a timer or signal that interrupts the order is no refusal.
static inline void go(int there) {
    int error = 0;
    do error = places[0] ? node_go(atoi(places[there])) : 0;
    while (error == EINTR);
    if (error == 0) return;
    printf("did not move to %s: %s\n", places[there], strerror(error));
    exit(1);
}
