// Process groups: who may set one; who could continue a stopped job, and what happens when that
// one ends.
// links: kernel/groups.c
#include <check.h>
#include <string.h>

#include "kernel/groups.h"
#include "kernel/signal.h"
#include "kernel/whereabouts.h"
#include "kernel/x86/cpu.h"
#include "tests/unit/suite_run.h"

#define COUNT 8u

struct proc *procs;
struct proc_desc *proc_descs;
struct spinlock proc_lock;
u32 proc_end;
static struct proc table[COUNT];
static struct proc_desc descs[COUNT];
static u32 hups, conts;              // a bit for each process

void spin_lock(struct spinlock *l) { l->taken++; }
void spin_unlock(struct spinlock *l) { l->taken--; }
struct proc *proc_find(u32 pid) {
    for (u32 i = 0; i < proc_end; i++) {
        const enum proc_state s = table[i].state;
        if (s != PROC_FREE && s != PROC_AWAY && descs[i].pid == pid) return &table[i];
    }
    return NULL;
}
u32 signal_raise_group_locked(u32 pgid, u32 sig, struct signal_info info) {
    (void)info;
    for (u32 i = 0; i < proc_end; i++) {
        if (descs[i].pgid != pgid || table[i].state == PROC_AWAY) continue;
        if (sig == SIGHUP) hups |= 1u << i;
        if (sig == SIGCONT) conts |= 1u << i;
    }
    return 0;
}
// One child elsewhere, in the group `away_pgid`; 0: none.
static u32 away_pgid, away_ppid;
bool child_away_next(u32 pgid, struct away_member *m) {
    m->ppid = away_ppid, m->sid = 2;
    return m->next++ == 0 && pgid == away_pgid && away_pgid;
}

static struct proc *add(u32 pid, u32 ppid, u32 pgid, u32 sid) {
    struct proc *p = &table[proc_end];
    p->index = proc_end;
    p->state = PROC_RUNNING;
    proc_desc(p)->pid = pid, proc_desc(p)->ppid = ppid;
    proc_desc(p)->pgid = pgid, proc_desc(p)->sid = sid;
    proc_end++;
    return p;
}

// Init 1, a shell 2 that leads session 2, its job 3 with a child 4, and a job 5.
static struct proc *shell, *job, *child, *second;
static void setup(void) {
    memset(table, 0, sizeof table);
    memset((u8 *)descs, 0, sizeof descs);
    procs = table, proc_descs = descs;
    proc_end = hups = conts = away_pgid = 0;
    (void)add(1, 0, 1, 1);
    shell = add(2, 1, 2, 2);
    job = add(3, 2, 3, 2);
    child = add(4, 3, 3, 2);
    second = add(5, 2, 5, 2);
}

START_TEST(who_has_a_shell_is_not_orphaned) {
    ck_assert(!group_is_orphaned(3));
    ck_assert(!group_is_orphaned(5));
    ck_assert(group_is_orphaned(2));             // init is of another session
}
END_TEST

START_TEST(the_end_of_a_shell_tells_its_stopped_jobs) {
    child->state = PROC_STOPPED;
    groups_parent_ends_locked(shell);
    ck_assert_uint_eq(hups, 1u << job->index | 1u << child->index);
    ck_assert_uint_eq(conts, hups);              // and not the second job, which runs
}
END_TEST

START_TEST(the_end_of_a_jobs_leader_tells_the_rest) {
    child->state = PROC_STOPPED;
    groups_parent_ends_locked(job);              // its child has nobody of another group then
    ck_assert_uint_eq(hups, 1u << job->index | 1u << child->index);
    hups = 0;
    child->state = PROC_RUNNING;
    groups_parent_ends_locked(job);
    ck_assert_uint_eq(hups, 0);
}
END_TEST

START_TEST(another_parent_keeps_the_group) {
    struct proc *sister = add(6, 2, 3, 2);       // of the job too, a child of the shell
    child->state = PROC_STOPPED;
    groups_parent_ends_locked(job);
    ck_assert_uint_eq(hups, 0);
    sister->state = PROC_ZOMBIE;
    groups_parent_ends_locked(job);
    ck_assert_uint_ne(hups, 0);
}
END_TEST

START_TEST(a_parent_elsewhere_counts) {
    proc_desc(job)->ppid = 0x10007;
    ck_assert(!group_is_orphaned(3));
    second->state = PROC_AWAY;                   // a frozen image is nobody
    proc_desc(second)->pgid = 9;
    ck_assert(group_is_orphaned(9));
}
END_TEST

START_TEST(an_init_elsewhere_does_not_count) {
    proc_desc(job)->ppid = 0x10001;              // it has a session of its own
    ck_assert(group_is_orphaned(3));
    proc_desc(job)->sid = 0x10001;               // and continues what is in that
    ck_assert(!group_is_orphaned(3));
}
END_TEST

// A member elsewhere whose parent is here keeps the group, for as long as that one lives.
START_TEST(a_member_elsewhere_counts) {
    away_pgid = 3, away_ppid = 2;
    child->state = PROC_STOPPED;
    groups_parent_ends_locked(job);
    ck_assert_uint_eq(hups, 0);
    away_ppid = 4;                               // of the group itself
    groups_parent_ends_locked(job);
    ck_assert_uint_eq(hups, 1u << job->index | 1u << child->index);
}
END_TEST

static bool kept(u32 pgid) {
    bool is = false;
    ck_assert_int_eq(group_kept_locked(pgid, 2, &is), S_OK);
    return is;
}

// What this node is asked by others: by its own parents alone.
START_TEST(who_keeps_a_group_here) {
    ck_assert(kept(3) && kept(5) && !kept(2) && !kept(77));
    proc_desc(job)->ppid = 0x10007;
    ck_assert(!kept(3));                         // its parent's node says so
    away_pgid = 9, away_ppid = 2;
    ck_assert(kept(9));
    away_ppid = 0x10007;
    ck_assert(!kept(9));
    shell->state = PROC_ZOMBIE;
    ck_assert(!kept(5));
}
END_TEST

// A parent that moves counts at both ends; one that came may have children that are not known yet.
START_TEST(who_keeps_a_group_on_its_way) {
    bool is = false;
    shell->state = PROC_AWAY;
    ck_assert(!kept(3));
    shell->cl.frozen = true;
    ck_assert(kept(3));
    shell->state = PROC_RUNNING, shell->cl.frozen = false, shell->cl.children_coming = true;
    ck_assert(kept(3));
    ck_assert_int_eq(group_kept_locked(77, 2, &is), E_AGAIN);
    ck_assert_int_eq(group_kept_locked(77, 1, &is), S_OK);
    ck_assert(!is);
}
END_TEST

START_TEST(the_end_of_a_parent_elsewhere) {
    proc_desc(job)->ppid = 0x10007;
    groups_parent_ended_locked(job, 0x10001, 2);
    ck_assert_uint_eq(hups, 0);                  // none has stopped
    child->state = PROC_STOPPED;
    proc_desc(job)->ppid = 0x10007;
    groups_parent_ended_locked(job, 0x10001, 8);
    ck_assert_uint_eq(hups, 0);                  // it was of another session, and kept nothing
    ck_assert_uint_eq(proc_desc(job)->ppid, 0x10001);
    groups_parent_ended_locked(job, 0x10001, 2);
    ck_assert_uint_eq(hups, 1u << job->index | 1u << child->index);
    ck_assert_uint_eq(conts, hups);
}
END_TEST

static status_t wish(u32 asker, const struct proc *of, u32 pgid, u32 group_sid) {
    const struct group_wish w = {asker, 2, pgid, group_sid};
    return group_may_set(proc_desc((struct proc *)of), &w);
}

START_TEST(who_may_set_a_group) {
    proc_desc(job)->flags = PROC_FLAG_FORKED;
    ck_assert_int_eq(wish(2, job, 3, 2), S_OK);          // a shell its job's
    ck_assert_int_eq(wish(2, job, 5, 2), S_OK);
    ck_assert_int_eq(wish(3, job, 5, 2), S_OK);          // the job its own
    ck_assert_int_eq(wish(2, child, 3, 2), E_SRCH);      // not a grandchild's
    ck_assert_int_eq(wish(2, second, 5, 2), E_ACCES);    // nor once it has another program
    ck_assert_int_eq(wish(5, second, 5, 2), S_OK);       // which may do it itself
    ck_assert_int_eq(wish(2, job, 9, 0), E_PERM);        // nobody's group
    ck_assert_int_eq(wish(2, job, 1, 1), E_PERM);        // one of another session
    ck_assert_int_eq(wish(2, shell, 2, 2), E_PERM);      // who leads a session stays
    proc_desc(job)->sid = 3;
    ck_assert_int_eq(wish(2, job, 3, 3), E_PERM);        // a child in another session
}
END_TEST

int main(void) {
    Suite *s = suite_create("groups");
    TCase *c = tcase_create("groups");
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, who_has_a_shell_is_not_orphaned);
    tcase_add_test(c, the_end_of_a_shell_tells_its_stopped_jobs);
    tcase_add_test(c, the_end_of_a_jobs_leader_tells_the_rest);
    tcase_add_test(c, another_parent_keeps_the_group);
    tcase_add_test(c, a_parent_elsewhere_counts);
    tcase_add_test(c, an_init_elsewhere_does_not_count);
    tcase_add_test(c, a_member_elsewhere_counts);
    tcase_add_test(c, who_keeps_a_group_here);
    tcase_add_test(c, who_keeps_a_group_on_its_way);
    tcase_add_test(c, the_end_of_a_parent_elsewhere);
    tcase_add_test(c, who_may_set_a_group);
    suite_add_tcase(s, c);
    return suite_run(s);
}
