// What proto/cluster/node.c (taking, events), node_give.c and node_seek.c share. They step each
// other, so each begins and ends in node_settle alone.
#pragma once

#include "proto/cluster/node.h"

// node.c
void node_post(struct cluster_node *n, struct chain *c);
bool node_run_or_post(struct cluster_node *n, struct chain *c);
u64 node_word_now(struct cluster_node *n, u32 index);
struct node_in *node_in_find(struct cluster_node *n, u32 index);
struct node_out *node_out_find(struct cluster_node *n, u32 index);
void node_send_image(struct cluster_node *n, u8 to, enum cluster_msg_type type,
                     const struct image_id *image, status_t status);
void node_in_pump(struct cluster_node *n, struct node_in *in);
bool node_in_begin(struct cluster_node *n, u64 slot, const void *desc);
bool node_have_room(struct cluster_node *n);
void node_settle(struct cluster_node *n);

// node_give.c
void node_out_pump(struct cluster_node *n, struct node_out *out);
void node_out_look(struct cluster_node *n, struct node_out *out);
void node_put_pump(struct cluster_node *n, struct node_put *put);
bool node_puts_pump(struct cluster_node *n);

// node_seek.c
void node_seek_op_done(struct cluster_node *n);
void node_seek_pump(struct cluster_node *n);
