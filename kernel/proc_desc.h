// The process descriptor: all that makes a process, in frames that another node
// understands by reading them (docs/ARCHITECTURE.md). It holds no pointer: other things are
// named by id. One table of these lies in registered memory on each node, so
// (node, index) is an address. What needs pointers is `struct proc` (kernel/proc.h).
//
// Locks: `owner` is changed by compare-and-swap alone. All else belongs to the CPU
// that runs the process, or, while it does not run, to the holder of the proc lock;
// once QUEUED or ADOPTING nobody here writes it.
#pragma once

#include "base/object_id.h"
#include "base/shared64.h"
#include "base/types.h"
#include "base/units.h"
#include "proto/cluster/cpu_caps.h"

#define PROC_DESC_SIZE 4096u
#define PROC_DESC_VERSION 11u
#define PROC_XSAVE_MAX 2752u         // x87, SSE, AVX, AVX-512 and PKRU, standard format
#define PROC_LENDERS_MAX 15
#define PROC_NAME_MAX 16             // with the final 0, as Linux's comm

// Auxiliary frames, by fixed place. Unused ones have frame address 0.
enum proc_aux {
    PROC_AUX_SIGNAL = 0,             // struct proc_signals
    PROC_AUX_PATHS = 1,              // struct proc_paths
    PROC_AUX_HANDLES = 2,            // 2..5: struct handle[]
    PROC_AUX_MAP = 6,                // 6..13: struct vma[]
    PROC_AUX_PLACE = 14,             // struct proc_place (kernel/placement.h)
    PROC_AUX_THREADS = 15,           // 15..16: struct thread_entry[], once it has had threads
    PROC_AUX_TIMERS = 17,            // struct proc_timers, once it has had one (kernel/timers.h)
    PROC_AUX_COUNT = 18,
};
#define PROC_HANDLE_FRAMES 4
#define PROC_MAP_FRAMES 8
#define PROC_THREAD_FRAMES 2

// Registers at the edge of user mode. The entry code (kernel/x86/entry.S) knows these
// offsets; the last five words are what `iretq` pops.
struct user_regs {
    u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    u64 orig_rax;                    // system call number, or ~0 outside a call
    u64 rip, cs, rflags, rsp, ss;
};

#define SYSCALL_BYTES 2u             // a call that is to run again stands before its instruction

// One file descriptor of the process.
struct handle {
    struct object_id object;         // an open file description; its node serves it
    u32 flags;                       // HANDLE_CLOEXEC and the others below
    u32 unused[3];
};
#define HANDLE_CLOEXEC 1u
#define HANDLE_PIPE 2u               // an end of a pipe: for the account
#define HANDLE_WALL 4u               // a timerfd by the wall clock
#define HANDLE_SOCKET 8u             // made by socketpair
#define HANDLE_OPENING 16u           // a call that opens it waits: nobody else sees it yet
#define HANDLE_KIND (HANDLE_PIPE | HANDLE_WALL | HANDLE_SOCKET)    // what dup keeps
#define PROC_FLAG_RESTORE_MASK 1u    // signal_saved_mask comes back at the next handler
#define PROC_FLAG_VFORK 2u           // its parent waits until it execs or exits
#define PROC_FLAG_TSC 8u             // moved: its RDTSC traps, and goes on from its first node's
#define PROC_FLAG_PAGE_WAIT 16u      // its call waits for a page of its own, nothing else
#define PROC_FLAG_STORM 32u            // a test moves it on and on (kernel/storm.h)
#define PROC_FLAG_SHARES 64u         // it has, or had, a shared mapping
#define PROC_FLAG_TWIN 128u          // no process: a copy of one's pages (kernel/precopy.h)
#define PROC_FLAG_FORKED 256u        // it has executed no program since its fork
#define PROC_FLAG_STOPPED 512u       // it was frozen when it was stopped, and is so where it goes
#define PROC_FLAG_FRESH 4u           // its program has executed no instruction: `cpu` is unset
#define HANDLES_PER_FRAME (PAGE_SIZE / sizeof(struct handle))
#define HANDLES_MAX (PROC_HANDLE_FRAMES * HANDLES_PER_FRAME)

// Of clock_call: why time is to be asked by system call. proc_lock, or p's CPU.
#define CLOCK_CALL_OFFSET 1u         // it has an offset of its own
#define CLOCK_CALL_MOVED 2u          // PROC_FLAG_TSC

// Linux's; the real-time ones are not there.
enum sched_policy { SCHED_OTHER = 0, SCHED_BATCH = 3, SCHED_IDLE = 5 };

// When the pages follow a process that moves: after it runs there (post-copy), all of them while
// it is frozen (stop and copy), or most before it is frozen (pre-copy).
enum move_how { MOVE_POST, MOVE_STOP, MOVE_PRE, MOVE_HOWS };

// One range of the memory map: [start, end), page-aligned, sorted by start.
struct vma {
    u64 start, end;                  // bytes, user virtual
    u32 prot;                        // PROT_READ 1, PROT_WRITE 2, PROT_EXEC 4
    u32 flags;                       // enum vma_flags
    struct object_id file;           // backing file; generation 0: anonymous
    u64 file_offset;                 // bytes, of `start`
    u64 file_bytes;                  // bytes from `start` that the file backs; zero beyond
};
enum vma_flags { VMA_SHARED = 1, VMA_STACK = 2, VMA_HEAP = 4,
                 VMA_DEVICE = 8,     // a device's memory: it keeps the process on its node
                 VMA_READ_ONLY = 16 };   // a shared file that is not open for writing
#define VMAS_PER_FRAME (PAGE_SIZE / sizeof(struct vma))
#define VMAS_MAX (PROC_MAP_FRAMES * VMAS_PER_FRAME)

// Linux's struct kernel_sigaction for x86-64.
struct sigaction_entry {
    u64 handler, flags, restorer, mask;
};
#define SIGNAL_COUNT 64
#define SIGNALS_QUEUED_MAX 15        // of real-time signals, behind the first of each
struct signal_queued { i32 code, pid, uid; u32 signal; u64 value; };
struct proc_signals {
    struct sigaction_entry action[SIGNAL_COUNT];   // [signal - 1]
    struct { i32 code, pid, uid, status; u64 value; } info[SIGNAL_COUNT];
    u64 queued_count;
    struct signal_queued queued[SIGNALS_QUEUED_MAX];   // in the order that they came
};

#define PROC_PATH_MAX 1024
#define PROC_GROUPS_MAX 31
struct proc_paths {
    char cwd[PROC_PATH_MAX];         // absolute, for getcwd
    char exe[PROC_PATH_MAX];         // absolute, for /proc/PID/exe
    char args[1920];                 // /proc/PID/cmdline: words, each with its 0
    u32 group_count, group[PROC_GROUPS_MAX];     // supplementary groups
};

// What a waiting call needs to go on where it stopped. Valid while `nr` is the number
// of the call being restarted; cleared when that call ends.
struct proc_wait {
    i32 nr;                          // system call number; -1: no call waits
    u32 step;                        // the call's own
    u64 deadline_ns;                 // time_now_ns of the node it is on; 0: none
    u64 done_bytes;                  // progress
    u64 request_tag;                 // a message that is out; 0: none
    u64 end_ns;                      // by the clock that the process sees; 0: none
    u64 scratch[7];                  // the call's own
};

// A thread of the process; its place in the table is its slot. The one whose registers are
// in the descriptor has its mask, pending signals and wait there, and only its tid here. The
// others' registers lie in the page of their slot (kernel/thread.c).
struct thread_entry {
    u32 tid;                         // 0: unused
    u32 flags;                       // THREAD_*, PROC_FLAG_RESTORE_MASK, PROC_FLAG_PAGE_WAIT
    u64 signal_mask, signal_pending;
    u64 deadline_ns;                 // of the call that waits; 0: none
    u64 request_tag;                 // of the call that waits; 0: none
    u64 cpu_ns;
    char name[PROC_NAME_MAX];
};
#define THREAD_IN_CALL 0x10000u      // a call waits and will run again
#define THREAD_FUTEX_WOKEN 0x20000u  // that is a futex call, which ends with 0
#define THREADS_PER_FRAME (PAGE_SIZE / sizeof(struct thread_entry))
#define THREADS_MAX (PROC_THREAD_FRAMES * THREADS_PER_FRAME)
_Static_assert(sizeof(struct thread_entry) == 64, "a power of two");

// A timer that raises a signal, or tells its time only (timer_create). Its clock is CLOCK_MONOTONIC
// as the process sees it, or CPU time of the process or of a thread: the same on all nodes.
struct proc_timer {
    u32 id;                          // as timer_create gives it
    u32 flags;                       // PROC_TIMER_*; 0: the place is free
    u32 clock;                       // enum timer_clock
    u32 clock_tid;                   // TIMER_CLOCK_THREAD: whose
    u32 signal, tid;                 // which it raises, for that thread; tid 0: for any
    u64 value;                       // si_value
    u64 deadline_ns;                 // of its clock; 0: not set
    u64 interval_ns;                 // 0: once
    u32 overrun;                     // expirations not told, as of the last signal taken
    u32 unused;
};
enum timer_clock { TIMER_CLOCK_REAL, TIMER_CLOCK_PROCESS, TIMER_CLOCK_THREAD };
#define PROC_TIMER_USED 1u
#define PROC_TIMER_QUEUED 2u         // the next of its signal that is taken is its own
#define PROC_TIMER_BEHIND 4u         // it comes when the ones before it are taken
#define PROC_TIMER_SILENT 8u         // raises no signal
#define PROC_TIMER_WALL 16u          // absolute times are of the wall clock
#define PROC_TIMERS_MAX 62u
struct interval_timer { u64 at_ns, interval_ns; };   // of CPU time; at_ns 0: not set
struct proc_timers {
    struct interval_timer cpu[2];    // ITIMER_VIRTUAL, ITIMER_PROF
    u32 next_id, unused;
    struct proc_timer timer[PROC_TIMERS_MAX];
};

// A node that still holds pages of this process in a frozen image.
struct proc_lender {
    u32 node;
    u32 index;                       // of the descriptor there
    u32 epoch;                       // of its owner word once it had given
    u32 taker;                       // the node in that word: who took it from there
    u32 incarnation;                 // of that node, as cluster_incarnation gives it
};

struct proc_account {
    u64 cpu_ns, children_ns, faults, remote_faults, drained_pages, moves, syscalls;
};

struct proc_desc {
    shared64_t owner;                // sched/dqueue.h has the layout
    u32 version;                     // PROC_DESC_VERSION
    u32 size_class;                  // log2 of resident pages, a hint for takers
    u32 pid, ppid, pgid, sid;        // unique in the cluster
    u64 stay;                        // grows with each node it runs on (proto/cluster/where.h)
    u32 uid, gid;                    // real
    u32 umask;
    u32 flags;                       // enum proc_flags
    char name[PROC_NAME_MAX];
    struct object_id root, cwd;      // directories; inherited, kept when it moves
    struct object_id exe;
    struct object_id tty;            // controlling terminal

    paddr_t root_table;              // PML4 frame on the node that owns the process
    u64 aux[PROC_AUX_COUNT];         // physical addresses on that node; 0: none
    u32 vma_count;
    u32 handle_max;                  // handles above this are unused
    u64 brk_start, brk_end;
    u64 mmap_hint;
    u64 stack_low;
    u64 pages_resident;              // frames this node holds for it
    u64 pages_remote;                // entries that name a lender, where known

    u64 signal_pending, signal_mask; // bit n - 1 for signal n
    u64 signal_saved_mask;           // of sigsuspend, ppoll, pselect
    u64 sigaltstack_sp, sigaltstack_size;
    u32 sigaltstack_flags;
    i32 exit_code;                   // wait status as wait4 gives it
    u64 clear_child_tid, robust_list;
    u32 tid;                         // of the thread whose context this is
    u32 thread_slot;                 // its slot
    u32 thread_count;                // threads that live
    i32 leader_code;                 // wait status of the first thread, once that has ended
    u64 thread_pending;              // signals for that thread alone
    u64 thread_cpu_ns;               // its CPU time, up to when it went on its CPU
    u64 rlimit_nofile, rlimit_stack;

    u64 start_ns;                    // by the clock of the node it is on, as all *_ns here
    u64 frozen_ns;                   // when it was frozen to move
    u64 frozen_clock_ns, frozen_wall_ns;     // and by the cluster's clocks as known there
    u64 frozen_clock_id;             // which clock that was
    u64 clock_offset_ns;             // what is added to the cluster's clock for this process
    u64 wall_offset_ns;              // and to the wall clock
    u64 alarm_ns, alarm_interval_ns; // ITIMER_REAL, absolute; 0: none
    struct cpu_caps cpu;             // what its program may have chosen by (kernel/may_run.h)
    struct proc_wait wait;
    struct proc_account account;

    u32 lender_count;
    u32 node_wanted;                 // pinned by `echo N > /proc/PID/node`; ~0: placed by rule
    struct proc_lender lender[PROC_LENDERS_MAX];

    // What kernel/placement.c tells the next node when the process is given.
    u8 place_unit;                   // 1 + the node whose unit of capacity it has; 0: none
    u8 place_auto;                   // the rule moves it
    u8 place_ticks;                  // at which of the last eight ticks it could run
    u8 futex_woken;                  // its thread's futex call ends with 0; proc_lock
    u32 exec_node;                   // 1 + the node its next exec goes to; 0: none
    u32 fork_node;                   // 1 + the node its next child begins on; 0: here
    u32 clock_call;                  // CLOCK_CALL_*; 0: it may compute time by the node's page
    u32 tty_group;                   // a leader's: what was in the foreground of a line that went
    u64 twin, twin_base;             // pre-copy: its own name, and that of what went before it
    u64 tsc_at, tsc_clock_ns, tsc_hz;        // RDTSC goes on from here (PROC_FLAG_TSC)
    u64 fs_base, gs_base;
    struct user_regs regs;
    u32 xsave_bytes;                 // valid bytes of xsave; layout of the CPU's XSAVE
    u32 xsave_features;              // its XCR0, as at its exec: it sees no more by XGETBV
    u32 rlimit_nproc;                // 1 + the limit; 0: none
    i8 nice;                         // -20..19
    u8 sched_policy;                 // enum sched_policy
    u8 move_how;                     // enum move_how, of the move that it is in or came by
    u32 euid, egid, suid, sgid;      // effective, saved
    u8 xsave[PROC_XSAVE_MAX] __attribute__((aligned(64)));
} __attribute__((aligned(PROC_DESC_SIZE)));
_Static_assert(sizeof(struct proc_desc) == PROC_DESC_SIZE, "one frame: the table's stride");
_Static_assert(offsetof(struct proc_desc, owner) == 0, "the owner word is the address");
_Static_assert((offsetof(struct proc_desc, regs) + sizeof(struct user_regs)) % 16 == 0,
               "the CPU aligns the stack it pushes a trap frame on");
_Static_assert(sizeof(struct proc_signals) <= PAGE_SIZE, "one frame");
_Static_assert(sizeof(struct proc_paths) <= PAGE_SIZE, "one frame");
_Static_assert(sizeof(struct proc_timers) <= PAGE_SIZE, "one frame");
