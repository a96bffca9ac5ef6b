// The one doubly linked list: intrusive, circular, with a head of its own.
// A node that is on no list points at itself. Locks: the owner's.
#pragma once

#include "base/assert.h"
#include "base/bits.h"

struct list_node {
    struct list_node *next, *prev;
};

static inline void list_init(struct list_node *n) { n->next = n->prev = n; }
static inline bool list_empty(const struct list_node *head) { return head->next == head; }
static inline bool list_linked(const struct list_node *n) { return n->next != n; }

static inline void list_insert_before(struct list_node *at, struct list_node *n) {
    ASSERT(n->next == n);
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}

static inline void list_push_back(struct list_node *head, struct list_node *n) {
    list_insert_before(head, n);
}

static inline void list_push_front(struct list_node *head, struct list_node *n) {
    list_insert_before(head->next, n);
}

// Unlinks n; does nothing to a node that is on no list.
static inline void list_remove(struct list_node *n) {
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

// Takes the first node off the list; NULL when it is empty.
static inline struct list_node *list_pop_front(struct list_node *head) {
    struct list_node *n = head->next;
    if (n == head) return NULL;
    list_remove(n);
    return n;
}

#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)
#define LIST_FOR_EACH(it, head) \
    for (struct list_node *it = (head)->next; it != (head); it = it->next)
// The body may remove `it`.
#define LIST_FOR_EACH_SAFE(it, head)                                         \
    for (struct list_node *it = (head)->next, *it##_next = it->next;         \
         it != (head); it = it##_next, it##_next = it->next)
