// This node's heartbeat word, which its members READ.
#pragma once

void beat_init(void);                // boot
// Once a tick of the cluster (net_lock): the CPU whose turn it is is called to its edge, and
// advances the word there. One that never comes back to its edge stops the word.
void beat_tick(void);
