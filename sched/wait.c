// Wait lists and deadlines: how a thread that cannot go on is set aside and found
// again. Nothing blocks: a system call puts its thread on a list, returns S_RESTART
// and runs again when woken. Called by system calls, file servers and the timer.
// Lock: proc_lock (LOCK_RANK_PROC).
#include "kernel/proc.h"
#include "kernel/x86/cpu.h"

struct wait_list poll_wait = WAIT_LIST_INIT(poll_wait);
static struct list_node deadlines = {&deadlines, &deadlines};   // sorted by at_ns
// Not later than the first deadline; read without the lock, made exact when it is due.
static u64 deadline_hint = ~0ull;

// An empty list.
void wait_list_init(struct wait_list *w) { list_init(&w->head); }

// The thread of p that runs waits, unless it was woken since it said so first. The process
// does, once all of its threads do.
static void start_waiting(struct proc *p) {
    struct thread *t = p->thread;
    if (t->woken) return;
    p->offer.at = NULL;
    if (!t->waiting) p->awake--;
    t->waiting = true;
    if (p->awake == 0 && p->state == PROC_RUNNING) p->state = PROC_WAITING;
}

// As wait_on, with proc_lock held.
//   uninterruptible  signals do not wake it; its waker or a deadline does
void wait_on_locked(struct wait_list *w, struct proc *p, bool uninterruptible) {
    struct thread *t = p->thread;
    list_remove(&t->wait);
    list_push_back(&w->head, &t->wait);
    start_waiting(p);
    t->wait_uninterruptible = uninterruptible;
    t->wait_killable = false;
}

// Ends the call that p waits in, for which wait_offers(p), and wakes it. proc_lock held.
void wait_complete(struct proc *p, i64 result) {
    wait_call_end(p, proc_desc(p), result);
    wait_wake_thread(p->thread);
}

// Sets p's running thread aside on w; at most one list at a time. The caller returns
// S_RESTART and checks its condition again when it runs. The condition must be checked under
// the lock that its waker holds, so no wake-up is lost.
void wait_on(struct wait_list *w, struct proc *p) {
    spin_lock(&proc_lock);
    wait_on_locked(w, p, false);
    spin_unlock(&proc_lock);
}

// As wait_on, for a wake-up that is sure to come: signals leave p alone until then.
void wait_on_uninterruptible(struct wait_list *w, struct proc *p) {
    spin_lock(&proc_lock);
    wait_on_locked(w, p, true);
    spin_unlock(&proc_lock);
}

// Puts a deadline at its place in the list; at_ns 0: there is none. proc_lock held.
static void deadline_set(struct deadline *dl, u64 at_ns) {
    list_remove(&dl->link);
    if (at_ns == 0) return;
    dl->at_ns = at_ns;
    struct list_node *it = deadlines.next;
    while (it != &deadlines && LIST_ENTRY(it, struct deadline, link)->at_ns <= at_ns) it = it->next;
    list_insert_before(it, &dl->link);
    if (at_ns < deadline_hint) __atomic_store_n(&deadline_hint, at_ns, __ATOMIC_SEQ_CST);
}

void wait_alarm_changed_locked(struct proc *p) {
    deadline_set(&p->alarm, proc_timers_next_ns(p));
}

// p's timers have changed, or have come with it. Takes proc_lock.
void wait_alarm_changed(struct proc *p) {
    spin_lock(&proc_lock);
    wait_alarm_changed_locked(p);
    spin_unlock(&proc_lock);
}

// Sets p's running thread aside until deadline_ns (time_now_ns; kept in the descriptor),
// beside wait_on or alone. 0: no deadline, until a signal.
void wait_until(struct proc *p, u64 deadline_ns) {
    spin_lock(&proc_lock);
    proc_desc(p)->wait.deadline_ns = deadline_ns;
    deadline_set(&p->thread->timer, deadline_ns);
    start_waiting(p);
    spin_unlock(&proc_lock);
}

// Wakes a thread that waits: its process may run. proc_lock held.
void wait_wake_thread(struct thread *t) {
    const bool waited = t->waiting;
    wait_end_locked(t);
    t->woken = waited;
    if (waited && t->p->state == PROC_WAITING) proc_become_ready(t->p);
}

// Wakes everybody on w. proc_lock held.
void wait_wake_all_locked(struct wait_list *w) {
    while (!list_empty(&w->head)) {
        struct thread *t = LIST_ENTRY(w->head.next, struct thread, wait);
        list_remove(&t->wait);
        wait_wake_thread(t);
    }
}

// Wakes everybody on w.
void wait_wake_all(struct wait_list *w) {
    spin_lock(&proc_lock);
    wait_wake_all_locked(w);
    spin_unlock(&proc_lock);
}

// When the earliest deadline is due (time_now_ns), or earlier; ~0 where there is none.
u64 proc_next_deadline_ns(void) { return __atomic_load_n(&deadline_hint, __ATOMIC_SEQ_CST); }

static void timers_due(struct proc *p, u64 now_ns) {
    proc_timers_due(p, now_ns);
    wait_alarm_changed_locked(p);
}

// Wakes those whose deadline is past, raises the signals of timers that are due. Takes proc_lock.
void wait_run_deadlines(u64 now_ns) {
    if (now_ns < proc_next_deadline_ns()) return;
    spin_lock(&proc_lock);
    while (!list_empty(&deadlines)) {
        struct deadline *dl = LIST_ENTRY(deadlines.next, struct deadline, link);
        if (dl->at_ns > now_ns) break;
        list_remove(&dl->link);
        if (dl->thread) wait_wake_thread(dl->thread);
        else timers_due(dl->p, now_ns);
    }
    const struct list_node *at = deadlines.next;
    u64 first = at == &deadlines ? ~0ull : LIST_ENTRY(at, struct deadline, link)->at_ns;
    __atomic_store_n(&deadline_hint, first, __ATOMIC_RELEASE);
    spin_unlock(&proc_lock);
}
