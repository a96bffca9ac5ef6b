// Job control on the caller's node: what a terminal is told of it, and what becomes of the answer
// that it is in the background.
// links: kernel/jobs.c
#include <check.h>
#include <string.h>

#include "kernel/family.h"
#include "kernel/files/terminal.h"
#include "kernel/jobs.h"
#include "kernel/signal.h"
#include "tests/unit/suite_run.h"

struct spinlock proc_lock;
struct proc_desc *proc_descs;
static struct proc_desc desc;
static struct proc self;
static u64 ignored;                  // signals
static bool kept;                    // its group has somebody
static bool asking;                  // other nodes are asked
static u32 raised, raised_in;
static status_t answer;              // of the file call
static struct { u32 pgid, sid; status_t status; } groups[2];     // a group; a process

void spin_lock(struct spinlock *l) { ck_assert_uint_eq(l->taken++, 0); }
void spin_unlock(struct spinlock *l) { l->taken--; }
struct proc *proc_current(void) { return &self; }
bool signal_is_deaf(const struct proc *p, u32 sig) {
    return (void)p, (ignored & SIGNAL_BIT(sig)) != 0;
}
u32 signal_raise_group_locked(u32 pgid, u32 sig, struct signal_info info) {
    ck_assert_uint_eq(proc_lock.taken, 1);
    ck_assert_int_eq(info.code, SI_KERNEL);
    raised = sig, raised_in = pgid;
    return 1;
}
status_t family_kept(const struct proc *p, bool *is) {
    (void)p;
    *is = kept;
    return asking ? S_RESTART : S_OK;
}
status_t family_group(u32 pgid, u32 *sid) {
    *sid = pgid == groups[0].pgid ? groups[0].sid : 0;
    return groups[0].status != S_OK ? groups[0].status : *sid ? S_OK : E_SRCH;
}
status_t family_get(u32 pid, u32 *pgid, u32 *sid) {
    *pgid = 0, *sid = pid == groups[1].pgid ? groups[1].sid : 0;
    return groups[1].status != S_OK ? groups[1].status : *sid ? S_OK : E_SRCH;
}
status_t file_call(struct p9_call *c) {
    const struct object_id id = {3, 4, 5};
    ck_assert_uint_eq(c->flags, TIOCSCTTY);
    if (answer == S_OK) memcpy(c->data.buffer, &id, sizeof id);
    return answer;
}

static void setup(void) {
    memset((u8 *)&desc, 0, sizeof desc);
    memset(&self, 0, sizeof self);
    memset(groups, 0, sizeof groups);
    proc_descs = &desc;
    desc.pid = 7, desc.pgid = 6, desc.sid = 5;
    desc.tty = (struct object_id){2, 9, 9};
    desc.wait.request_tag = 77;
    ignored = 0, kept = true, asking = false, raised = raised_in = 0;
    self.continued = 4;
}

START_TEST(what_a_terminal_is_told) {
    const struct p9_job job = job_of(&self, 2);
    ck_assert_uint_eq(job.pgid, 6);
    ck_assert_uint_eq(job.sid, 5);
    ck_assert_uint_eq(job.bits, P9_JOB_TERMINAL | P9_JOB_NEAR);
    ignored = SIGNAL_BIT(SIGTTIN);
    ck_assert_uint_eq(job_of(&self, 2).bits, P9_JOB_TERMINAL | P9_JOB_NEAR | P9_JOB_DEAF_TTIN);
    ignored = SIGNAL_BIT(SIGTTOU);
    ck_assert_uint_eq(job_of(&self, 2).bits, P9_JOB_TERMINAL | P9_JOB_NEAR | P9_JOB_DEAF_TTOU);
    ck_assert_uint_eq(job_of(&self, 3).bits, P9_JOB_TERMINAL);       // its own is elsewhere
    desc.tty.generation = 0;
    ck_assert_uint_eq(job_of(&self, 2).bits, 0);
}
END_TEST

START_TEST(its_group_has_the_signal) {
    struct p9_call c = {.type = P9_TREAD, .result = 4};
    ck_assert_int_eq(job_background(&c), S_RESTART);
    ck_assert_uint_eq(raised, SIGTTIN);
    ck_assert_uint_eq(raised_in, 6);
    ck_assert_uint_eq(desc.wait.request_tag, 0);
    c.type = P9_TWRITE;
    ck_assert_int_eq(job_background(&c), S_RESTART);
    ck_assert_uint_eq(raised, SIGTTOU);
}
END_TEST

// The shell has continued it after the terminal was asked: fg.
START_TEST(an_old_answer_stops_nobody) {
    struct p9_call c = {.type = P9_TREAD, .result = 3};
    ck_assert_int_eq(job_background(&c), S_RESTART);
    ck_assert_uint_eq(raised, 0);
    ck_assert_uint_eq(desc.wait.request_tag, 0);         // but it asks again
}
END_TEST

START_TEST(other_nodes_are_asked_first) {
    struct p9_call c = {.type = P9_TREAD, .result = 4};
    asking = true;
    ck_assert_int_eq(job_background(&c), S_RESTART);
    ck_assert_uint_eq(raised, 0);
    ck_assert_uint_eq(desc.wait.request_tag, 77);        // and the answer is kept meanwhile
}
END_TEST

START_TEST(an_orphaned_group_has_an_error) {
    struct p9_call c = {.type = P9_TWRITE, .result = 4};
    kept = false;
    ck_assert_int_eq(job_background(&c), E_IO);
    c.type = P9_TIOCTL, c.flags = TIOCSPGRP;
    ck_assert_int_eq(job_background(&c), E_NOTTY);
    ck_assert_uint_eq(raised, 0);
}
END_TEST

START_TEST(a_leader_takes_a_terminal) {
    desc.tty.generation = 0, desc.tty_group = 8;
    answer = E_PERM;
    ck_assert_int_eq(job_take_terminal(&self, (struct object_id){3, 1, 1}, 0), E_PERM);
    ck_assert_uint_eq(desc.tty.generation, 0);
    answer = S_OK;
    ck_assert_int_eq(job_take_terminal(&self, (struct object_id){3, 1, 1}, 0), S_OK);
    ck_assert_uint_eq(desc.tty.index, 4);
    ck_assert_uint_eq(desc.tty_group, 0);
}
END_TEST

static u32 session_of(u32 pgid, status_t want) {
    struct terminal_group g = {pgid, 99};
    u8 data[sizeof g];
    u32 len = 4;
    memcpy(data, &g, sizeof g);
    ck_assert_int_eq(job_group_find(data, &len), want);
    memcpy(&g, data, sizeof g);
    ck_assert(want != S_OK || (len == sizeof g && g.pgid == pgid));
    return g.sid;
}

START_TEST(whose_session_a_group_is_of) {
    groups[0].pgid = 11, groups[0].sid = 5;
    groups[1].pgid = 12, groups[1].sid = 6;
    ck_assert_uint_eq(session_of(11, S_OK), 5);
    ck_assert_uint_eq(session_of(12, S_OK), 6);          // a process that leads no group
    ck_assert_uint_eq(session_of(13, S_OK), TERMINAL_NO_PROCESS);
    ck_assert_uint_eq(session_of(0, S_OK), 0);
    ck_assert_uint_eq(session_of((u32)-2, S_OK), 0);
    groups[1].status = S_RESTART;
    (void)session_of(13, S_RESTART);
    groups[0].status = S_RESTART;
    (void)session_of(11, S_RESTART);
}
END_TEST

int main(void) {
    Suite *s = suite_create("jobs");
    TCase *c = tcase_create("jobs");
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, what_a_terminal_is_told);
    tcase_add_test(c, its_group_has_the_signal);
    tcase_add_test(c, an_old_answer_stops_nobody);
    tcase_add_test(c, other_nodes_are_asked_first);
    tcase_add_test(c, an_orphaned_group_has_an_error);
    tcase_add_test(c, a_leader_takes_a_terminal);
    tcase_add_test(c, whose_session_a_group_is_of);
    suite_add_tcase(s, c);
    return suite_run(s);
}
