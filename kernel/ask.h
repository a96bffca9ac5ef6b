// At boot: a node whose cards have no line in cluster.conf asks the members for an id.
#pragma once

// Between net_init and proc_init, on one CPU: process ids need the node's id. Returns with
// a card of net_own(), or the node works alone; it has said which. At most join.wait seconds.
void ask_init(void);
