// Sessions over nodes: what of a terminal's session becomes known on all nodes. Contracts stand
// above the definitions in kernel/session.c.
#pragma once

#include "kernel/proc.h"

// What a session that loses its terminal is told, on all nodes.
struct session_loss {
    u32 sid;
    bool hang_up;                    // its leader is to know, and with its end the group pgid
    u32 pgid;
    struct object_id tty;            // which terminal it had
};

void session_lost(const struct session_loss *loss);
void session_ended(struct proc *leader);
bool session_is_led(u32 sid);
