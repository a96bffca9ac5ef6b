// Made by tools/gen_syscall.py from abi/syscall.tbl; do not edit.
#include "kernel/syscall/table.h"

SYSCALL(read);
SYSCALL(write);
SYSCALL(open);
SYSCALL(close);
SYSCALL(stat);
SYSCALL(fstat);
SYSCALL(lstat);
SYSCALL(poll);
SYSCALL(lseek);
SYSCALL(mmap);
SYSCALL(mprotect);
SYSCALL(munmap);
SYSCALL(brk);
SYSCALL(rt_sigaction);
SYSCALL(rt_sigprocmask);
SYSCALL(rt_sigreturn);
SYSCALL(ioctl);
SYSCALL(pread64);
SYSCALL(pwrite64);
SYSCALL(readv);
SYSCALL(writev);
SYSCALL(access);
SYSCALL(pipe);
SYSCALL(select);
SYSCALL(sched_yield);
SYSCALL(mremap);
SYSCALL(msync);
SYSCALL(mincore);
SYSCALL(madvise);
SYSCALL(dup);
SYSCALL(dup2);
SYSCALL(pause);
SYSCALL(nanosleep);
SYSCALL(getitimer);
SYSCALL(alarm);
SYSCALL(setitimer);
SYSCALL(getpid);
SYSCALL(sendfile);
SYSCALL(socket);
SYSCALL(sendto);
SYSCALL(recvfrom);
SYSCALL(sendmsg);
SYSCALL(recvmsg);
SYSCALL(shutdown);
SYSCALL(getsockname);
SYSCALL(getpeername);
SYSCALL(socketpair);
SYSCALL(setsockopt);
SYSCALL(getsockopt);
SYSCALL(clone);
SYSCALL(fork);
SYSCALL(vfork);
SYSCALL(execve);
SYSCALL(exit);
SYSCALL(wait4);
SYSCALL(kill);
SYSCALL(uname);
SYSCALL(fcntl);
SYSCALL(flock);
SYSCALL(fsync);
SYSCALL(fdatasync);
SYSCALL(truncate);
SYSCALL(ftruncate);
SYSCALL(getcwd);
SYSCALL(chdir);
SYSCALL(fchdir);
SYSCALL(rename);
SYSCALL(mkdir);
SYSCALL(rmdir);
SYSCALL(creat);
SYSCALL(link);
SYSCALL(unlink);
SYSCALL(symlink);
SYSCALL(readlink);
SYSCALL(chmod);
SYSCALL(fchmod);
SYSCALL(chown);
SYSCALL(fchown);
SYSCALL(lchown);
SYSCALL(umask);
SYSCALL(gettimeofday);
SYSCALL(getrlimit);
SYSCALL(getrusage);
SYSCALL(sysinfo);
SYSCALL(times);
SYSCALL(getuid);
SYSCALL(getgid);
SYSCALL(setuid);
SYSCALL(setgid);
SYSCALL(geteuid);
SYSCALL(getegid);
SYSCALL(setpgid);
SYSCALL(getppid);
SYSCALL(getpgrp);
SYSCALL(setsid);
SYSCALL(setreuid);
SYSCALL(setregid);
SYSCALL(getgroups);
SYSCALL(setgroups);
SYSCALL(setresuid);
SYSCALL(getresuid);
SYSCALL(setresgid);
SYSCALL(getresgid);
SYSCALL(getpgid);
SYSCALL(getsid);
SYSCALL(capget);
SYSCALL(capset);
SYSCALL(rt_sigpending);
SYSCALL(rt_sigtimedwait);
SYSCALL(rt_sigqueueinfo);
SYSCALL(rt_sigsuspend);
SYSCALL(sigaltstack);
SYSCALL(mknod);
SYSCALL(statfs);
SYSCALL(fstatfs);
SYSCALL(getpriority);
SYSCALL(setpriority);
SYSCALL(sched_setparam);
SYSCALL(sched_getparam);
SYSCALL(sched_setscheduler);
SYSCALL(sched_getscheduler);
SYSCALL(sched_get_priority_max);
SYSCALL(sched_get_priority_min);
SYSCALL(sched_rr_get_interval);
SYSCALL(mlock);
SYSCALL(munlock);
SYSCALL(prctl);
SYSCALL(arch_prctl);
SYSCALL(setrlimit);
SYSCALL(sync);
SYSCALL(mount);
SYSCALL(umount2);
SYSCALL(gettid);
SYSCALL(setxattr);
SYSCALL(lsetxattr);
SYSCALL(fsetxattr);
SYSCALL(getxattr);
SYSCALL(lgetxattr);
SYSCALL(fgetxattr);
SYSCALL(listxattr);
SYSCALL(llistxattr);
SYSCALL(flistxattr);
SYSCALL(removexattr);
SYSCALL(lremovexattr);
SYSCALL(fremovexattr);
SYSCALL(tkill);
SYSCALL(time);
SYSCALL(futex);
SYSCALL(sched_setaffinity);
SYSCALL(sched_getaffinity);
SYSCALL(epoll_create);
SYSCALL(getdents64);
SYSCALL(set_tid_address);
SYSCALL(fadvise64);
SYSCALL(timer_create);
SYSCALL(timer_settime);
SYSCALL(timer_gettime);
SYSCALL(timer_getoverrun);
SYSCALL(timer_delete);
SYSCALL(clock_gettime);
SYSCALL(clock_getres);
SYSCALL(clock_nanosleep);
SYSCALL(exit_group);
SYSCALL(epoll_wait);
SYSCALL(epoll_ctl);
SYSCALL(tgkill);
SYSCALL(waitid);
SYSCALL(openat);
SYSCALL(mkdirat);
SYSCALL(mknodat);
SYSCALL(fchownat);
SYSCALL(newfstatat);
SYSCALL(unlinkat);
SYSCALL(renameat);
SYSCALL(linkat);
SYSCALL(symlinkat);
SYSCALL(readlinkat);
SYSCALL(fchmodat);
SYSCALL(faccessat);
SYSCALL(pselect6);
SYSCALL(ppoll);
SYSCALL(set_robust_list);
SYSCALL(get_robust_list);
SYSCALL(utimensat);
SYSCALL(epoll_pwait);
SYSCALL(timerfd_create);
SYSCALL(eventfd);
SYSCALL(fallocate);
SYSCALL(timerfd_settime);
SYSCALL(timerfd_gettime);
SYSCALL(eventfd2);
SYSCALL(epoll_create1);
SYSCALL(dup3);
SYSCALL(pipe2);
SYSCALL(preadv);
SYSCALL(pwritev);
SYSCALL(prlimit64);
SYSCALL(getcpu);
SYSCALL(sched_setattr);
SYSCALL(sched_getattr);
SYSCALL(renameat2);
SYSCALL(getrandom);
SYSCALL(memfd_create);
SYSCALL(execveat);
SYSCALL(membarrier);
SYSCALL(statx);
SYSCALL(reply_recv);
SYSCALL(clone3);
SYSCALL(close_range);
SYSCALL(faccessat2);
SYSCALL(epoll_pwait2);
DIRECT(pread64);
DIRECT(reply_recv);

const struct syscall_entry syscall_table[SYSCALL_COUNT] = {
    [0] = {"read", sys_read},
    [1] = {"write", sys_write},
    [2] = {"open", sys_open},
    [3] = {"close", sys_close},
    [4] = {"stat", sys_stat},
    [5] = {"fstat", sys_fstat},
    [6] = {"lstat", sys_lstat},
    [7] = {"poll", sys_poll},
    [8] = {"lseek", sys_lseek},
    [9] = {"mmap", sys_mmap},
    [10] = {"mprotect", sys_mprotect},
    [11] = {"munmap", sys_munmap},
    [12] = {"brk", sys_brk},
    [13] = {"rt_sigaction", sys_rt_sigaction},
    [14] = {"rt_sigprocmask", sys_rt_sigprocmask},
    [15] = {"rt_sigreturn", sys_rt_sigreturn},
    [16] = {"ioctl", sys_ioctl},
    [17] = {"pread64", sys_pread64},
    [18] = {"pwrite64", sys_pwrite64},
    [19] = {"readv", sys_readv},
    [20] = {"writev", sys_writev},
    [21] = {"access", sys_access},
    [22] = {"pipe", sys_pipe},
    [23] = {"select", sys_select},
    [24] = {"sched_yield", sys_sched_yield},
    [25] = {"mremap", sys_mremap},
    [26] = {"msync", sys_msync},
    [27] = {"mincore", sys_mincore},
    [28] = {"madvise", sys_madvise},
    [29] = {"shmget", NULL},
    [30] = {"shmat", NULL},
    [31] = {"shmctl", NULL},
    [32] = {"dup", sys_dup},
    [33] = {"dup2", sys_dup2},
    [34] = {"pause", sys_pause},
    [35] = {"nanosleep", sys_nanosleep},
    [36] = {"getitimer", sys_getitimer},
    [37] = {"alarm", sys_alarm},
    [38] = {"setitimer", sys_setitimer},
    [39] = {"getpid", sys_getpid},
    [40] = {"sendfile", sys_sendfile},
    [41] = {"socket", sys_socket},
    [42] = {"connect", NULL},
    [43] = {"accept", NULL},
    [44] = {"sendto", sys_sendto},
    [45] = {"recvfrom", sys_recvfrom},
    [46] = {"sendmsg", sys_sendmsg},
    [47] = {"recvmsg", sys_recvmsg},
    [48] = {"shutdown", sys_shutdown},
    [49] = {"bind", NULL},
    [50] = {"listen", NULL},
    [51] = {"getsockname", sys_getsockname},
    [52] = {"getpeername", sys_getpeername},
    [53] = {"socketpair", sys_socketpair},
    [54] = {"setsockopt", sys_setsockopt},
    [55] = {"getsockopt", sys_getsockopt},
    [56] = {"clone", sys_clone},
    [57] = {"fork", sys_fork},
    [58] = {"vfork", sys_vfork},
    [59] = {"execve", sys_execve},
    [60] = {"exit", sys_exit},
    [61] = {"wait4", sys_wait4},
    [62] = {"kill", sys_kill},
    [63] = {"uname", sys_uname},
    [64] = {"semget", NULL},
    [65] = {"semop", NULL},
    [66] = {"semctl", NULL},
    [67] = {"shmdt", NULL},
    [68] = {"msgget", NULL},
    [69] = {"msgsnd", NULL},
    [70] = {"msgrcv", NULL},
    [71] = {"msgctl", NULL},
    [72] = {"fcntl", sys_fcntl},
    [73] = {"flock", sys_flock},
    [74] = {"fsync", sys_fsync},
    [75] = {"fdatasync", sys_fdatasync},
    [76] = {"truncate", sys_truncate},
    [77] = {"ftruncate", sys_ftruncate},
    [78] = {"getdents", NULL},
    [79] = {"getcwd", sys_getcwd},
    [80] = {"chdir", sys_chdir},
    [81] = {"fchdir", sys_fchdir},
    [82] = {"rename", sys_rename},
    [83] = {"mkdir", sys_mkdir},
    [84] = {"rmdir", sys_rmdir},
    [85] = {"creat", sys_creat},
    [86] = {"link", sys_link},
    [87] = {"unlink", sys_unlink},
    [88] = {"symlink", sys_symlink},
    [89] = {"readlink", sys_readlink},
    [90] = {"chmod", sys_chmod},
    [91] = {"fchmod", sys_fchmod},
    [92] = {"chown", sys_chown},
    [93] = {"fchown", sys_fchown},
    [94] = {"lchown", sys_lchown},
    [95] = {"umask", sys_umask},
    [96] = {"gettimeofday", sys_gettimeofday},
    [97] = {"getrlimit", sys_getrlimit},
    [98] = {"getrusage", sys_getrusage},
    [99] = {"sysinfo", sys_sysinfo},
    [100] = {"times", sys_times},
    [101] = {"ptrace", NULL},
    [102] = {"getuid", sys_getuid},
    [103] = {"syslog", NULL},
    [104] = {"getgid", sys_getgid},
    [105] = {"setuid", sys_setuid},
    [106] = {"setgid", sys_setgid},
    [107] = {"geteuid", sys_geteuid},
    [108] = {"getegid", sys_getegid},
    [109] = {"setpgid", sys_setpgid},
    [110] = {"getppid", sys_getppid},
    [111] = {"getpgrp", sys_getpgrp},
    [112] = {"setsid", sys_setsid},
    [113] = {"setreuid", sys_setreuid},
    [114] = {"setregid", sys_setregid},
    [115] = {"getgroups", sys_getgroups},
    [116] = {"setgroups", sys_setgroups},
    [117] = {"setresuid", sys_setresuid},
    [118] = {"getresuid", sys_getresuid},
    [119] = {"setresgid", sys_setresgid},
    [120] = {"getresgid", sys_getresgid},
    [121] = {"getpgid", sys_getpgid},
    [122] = {"setfsuid", NULL},
    [123] = {"setfsgid", NULL},
    [124] = {"getsid", sys_getsid},
    [125] = {"capget", sys_capget},
    [126] = {"capset", sys_capset},
    [127] = {"rt_sigpending", sys_rt_sigpending},
    [128] = {"rt_sigtimedwait", sys_rt_sigtimedwait},
    [129] = {"rt_sigqueueinfo", sys_rt_sigqueueinfo},
    [130] = {"rt_sigsuspend", sys_rt_sigsuspend},
    [131] = {"sigaltstack", sys_sigaltstack},
    [132] = {"utime", NULL},
    [133] = {"mknod", sys_mknod},
    [134] = {"uselib", NULL},
    [135] = {"personality", NULL},
    [136] = {"ustat", NULL},
    [137] = {"statfs", sys_statfs},
    [138] = {"fstatfs", sys_fstatfs},
    [139] = {"sysfs", NULL},
    [140] = {"getpriority", sys_getpriority},
    [141] = {"setpriority", sys_setpriority},
    [142] = {"sched_setparam", sys_sched_setparam},
    [143] = {"sched_getparam", sys_sched_getparam},
    [144] = {"sched_setscheduler", sys_sched_setscheduler},
    [145] = {"sched_getscheduler", sys_sched_getscheduler},
    [146] = {"sched_get_priority_max", sys_sched_get_priority_max},
    [147] = {"sched_get_priority_min", sys_sched_get_priority_min},
    [148] = {"sched_rr_get_interval", sys_sched_rr_get_interval},
    [149] = {"mlock", sys_mlock},
    [150] = {"munlock", sys_munlock},
    [151] = {"mlockall", NULL},
    [152] = {"munlockall", NULL},
    [153] = {"vhangup", NULL},
    [154] = {"modify_ldt", NULL},
    [155] = {"pivot_root", NULL},
    [156] = {"_sysctl", NULL},
    [157] = {"prctl", sys_prctl},
    [158] = {"arch_prctl", sys_arch_prctl},
    [159] = {"adjtimex", NULL},
    [160] = {"setrlimit", sys_setrlimit},
    [161] = {"chroot", NULL},
    [162] = {"sync", sys_sync},
    [163] = {"acct", NULL},
    [164] = {"settimeofday", NULL},
    [165] = {"mount", sys_mount},
    [166] = {"umount2", sys_umount2},
    [167] = {"swapon", NULL},
    [168] = {"swapoff", NULL},
    [169] = {"reboot", NULL},
    [170] = {"sethostname", NULL},
    [171] = {"setdomainname", NULL},
    [172] = {"iopl", NULL},
    [173] = {"ioperm", NULL},
    [174] = {"create_module", NULL},
    [175] = {"init_module", NULL},
    [176] = {"delete_module", NULL},
    [177] = {"get_kernel_syms", NULL},
    [178] = {"query_module", NULL},
    [179] = {"quotactl", NULL},
    [180] = {"nfsservctl", NULL},
    [181] = {"getpmsg", NULL},
    [182] = {"putpmsg", NULL},
    [183] = {"afs_syscall", NULL},
    [184] = {"tuxcall", NULL},
    [185] = {"security", NULL},
    [186] = {"gettid", sys_gettid},
    [187] = {"readahead", NULL},
    [188] = {"setxattr", sys_setxattr},
    [189] = {"lsetxattr", sys_lsetxattr},
    [190] = {"fsetxattr", sys_fsetxattr},
    [191] = {"getxattr", sys_getxattr},
    [192] = {"lgetxattr", sys_lgetxattr},
    [193] = {"fgetxattr", sys_fgetxattr},
    [194] = {"listxattr", sys_listxattr},
    [195] = {"llistxattr", sys_llistxattr},
    [196] = {"flistxattr", sys_flistxattr},
    [197] = {"removexattr", sys_removexattr},
    [198] = {"lremovexattr", sys_lremovexattr},
    [199] = {"fremovexattr", sys_fremovexattr},
    [200] = {"tkill", sys_tkill},
    [201] = {"time", sys_time},
    [202] = {"futex", sys_futex},
    [203] = {"sched_setaffinity", sys_sched_setaffinity},
    [204] = {"sched_getaffinity", sys_sched_getaffinity},
    [205] = {"set_thread_area", NULL},
    [206] = {"io_setup", NULL},
    [207] = {"io_destroy", NULL},
    [208] = {"io_getevents", NULL},
    [209] = {"io_submit", NULL},
    [210] = {"io_cancel", NULL},
    [211] = {"get_thread_area", NULL},
    [212] = {"lookup_dcookie", NULL},
    [213] = {"epoll_create", sys_epoll_create},
    [214] = {"epoll_ctl_old", NULL},
    [215] = {"epoll_wait_old", NULL},
    [216] = {"remap_file_pages", NULL},
    [217] = {"getdents64", sys_getdents64},
    [218] = {"set_tid_address", sys_set_tid_address},
    [219] = {"restart_syscall", NULL},
    [220] = {"semtimedop", NULL},
    [221] = {"fadvise64", sys_fadvise64},
    [222] = {"timer_create", sys_timer_create},
    [223] = {"timer_settime", sys_timer_settime},
    [224] = {"timer_gettime", sys_timer_gettime},
    [225] = {"timer_getoverrun", sys_timer_getoverrun},
    [226] = {"timer_delete", sys_timer_delete},
    [227] = {"clock_settime", NULL},
    [228] = {"clock_gettime", sys_clock_gettime},
    [229] = {"clock_getres", sys_clock_getres},
    [230] = {"clock_nanosleep", sys_clock_nanosleep},
    [231] = {"exit_group", sys_exit_group},
    [232] = {"epoll_wait", sys_epoll_wait},
    [233] = {"epoll_ctl", sys_epoll_ctl},
    [234] = {"tgkill", sys_tgkill},
    [235] = {"utimes", NULL},
    [236] = {"vserver", NULL},
    [237] = {"mbind", NULL},
    [238] = {"set_mempolicy", NULL},
    [239] = {"get_mempolicy", NULL},
    [240] = {"mq_open", NULL},
    [241] = {"mq_unlink", NULL},
    [242] = {"mq_timedsend", NULL},
    [243] = {"mq_timedreceive", NULL},
    [244] = {"mq_notify", NULL},
    [245] = {"mq_getsetattr", NULL},
    [246] = {"kexec_load", NULL},
    [247] = {"waitid", sys_waitid},
    [248] = {"add_key", NULL},
    [249] = {"request_key", NULL},
    [250] = {"keyctl", NULL},
    [251] = {"ioprio_set", NULL},
    [252] = {"ioprio_get", NULL},
    [253] = {"inotify_init", NULL},
    [254] = {"inotify_add_watch", NULL},
    [255] = {"inotify_rm_watch", NULL},
    [256] = {"migrate_pages", NULL},
    [257] = {"openat", sys_openat},
    [258] = {"mkdirat", sys_mkdirat},
    [259] = {"mknodat", sys_mknodat},
    [260] = {"fchownat", sys_fchownat},
    [261] = {"futimesat", NULL},
    [262] = {"newfstatat", sys_newfstatat},
    [263] = {"unlinkat", sys_unlinkat},
    [264] = {"renameat", sys_renameat},
    [265] = {"linkat", sys_linkat},
    [266] = {"symlinkat", sys_symlinkat},
    [267] = {"readlinkat", sys_readlinkat},
    [268] = {"fchmodat", sys_fchmodat},
    [269] = {"faccessat", sys_faccessat},
    [270] = {"pselect6", sys_pselect6},
    [271] = {"ppoll", sys_ppoll},
    [272] = {"unshare", NULL},
    [273] = {"set_robust_list", sys_set_robust_list},
    [274] = {"get_robust_list", sys_get_robust_list},
    [275] = {"splice", NULL},
    [276] = {"tee", NULL},
    [277] = {"sync_file_range", NULL},
    [278] = {"vmsplice", NULL},
    [279] = {"move_pages", NULL},
    [280] = {"utimensat", sys_utimensat},
    [281] = {"epoll_pwait", sys_epoll_pwait},
    [282] = {"signalfd", NULL},
    [283] = {"timerfd_create", sys_timerfd_create},
    [284] = {"eventfd", sys_eventfd},
    [285] = {"fallocate", sys_fallocate},
    [286] = {"timerfd_settime", sys_timerfd_settime},
    [287] = {"timerfd_gettime", sys_timerfd_gettime},
    [288] = {"accept4", NULL},
    [289] = {"signalfd4", NULL},
    [290] = {"eventfd2", sys_eventfd2},
    [291] = {"epoll_create1", sys_epoll_create1},
    [292] = {"dup3", sys_dup3},
    [293] = {"pipe2", sys_pipe2},
    [294] = {"inotify_init1", NULL},
    [295] = {"preadv", sys_preadv},
    [296] = {"pwritev", sys_pwritev},
    [297] = {"rt_tgsigqueueinfo", NULL},
    [298] = {"perf_event_open", NULL},
    [299] = {"recvmmsg", NULL},
    [300] = {"fanotify_init", NULL},
    [301] = {"fanotify_mark", NULL},
    [302] = {"prlimit64", sys_prlimit64},
    [303] = {"name_to_handle_at", NULL},
    [304] = {"open_by_handle_at", NULL},
    [305] = {"clock_adjtime", NULL},
    [306] = {"syncfs", NULL},
    [307] = {"sendmmsg", NULL},
    [308] = {"setns", NULL},
    [309] = {"getcpu", sys_getcpu},
    [310] = {"process_vm_readv", NULL},
    [311] = {"process_vm_writev", NULL},
    [312] = {"kcmp", NULL},
    [313] = {"finit_module", NULL},
    [314] = {"sched_setattr", sys_sched_setattr},
    [315] = {"sched_getattr", sys_sched_getattr},
    [316] = {"renameat2", sys_renameat2},
    [317] = {"seccomp", NULL},
    [318] = {"getrandom", sys_getrandom},
    [319] = {"memfd_create", sys_memfd_create},
    [320] = {"kexec_file_load", NULL},
    [321] = {"bpf", NULL},
    [322] = {"execveat", sys_execveat},
    [323] = {"userfaultfd", NULL},
    [324] = {"membarrier", sys_membarrier},
    [325] = {"mlock2", NULL},
    [326] = {"copy_file_range", NULL},
    [327] = {"preadv2", NULL},
    [328] = {"pwritev2", NULL},
    [329] = {"pkey_mprotect", NULL},
    [330] = {"pkey_alloc", NULL},
    [331] = {"pkey_free", NULL},
    [332] = {"statx", sys_statx},
    [333] = {"io_pgetevents", NULL},
    [334] = {"rseq", NULL},
    [400] = {"reply_recv", sys_reply_recv},
    [424] = {"pidfd_send_signal", NULL},
    [425] = {"io_uring_setup", NULL},
    [426] = {"io_uring_enter", NULL},
    [427] = {"io_uring_register", NULL},
    [428] = {"open_tree", NULL},
    [429] = {"move_mount", NULL},
    [430] = {"fsopen", NULL},
    [431] = {"fsconfig", NULL},
    [432] = {"fsmount", NULL},
    [433] = {"fspick", NULL},
    [434] = {"pidfd_open", NULL},
    [435] = {"clone3", sys_clone3},
    [436] = {"close_range", sys_close_range},
    [437] = {"openat2", NULL},
    [438] = {"pidfd_getfd", NULL},
    [439] = {"faccessat2", sys_faccessat2},
    [440] = {"process_madvise", NULL},
    [441] = {"epoll_pwait2", sys_epoll_pwait2},
    [442] = {"mount_setattr", NULL},
    [443] = {"quotactl_fd", NULL},
    [444] = {"landlock_create_ruleset", NULL},
    [445] = {"landlock_add_rule", NULL},
    [446] = {"landlock_restrict_self", NULL},
    [447] = {"memfd_secret", NULL},
    [448] = {"process_mrelease", NULL},
    [449] = {"futex_waitv", NULL},
    [450] = {"set_mempolicy_home_node", NULL},
    [451] = {"cachestat", NULL},
    [452] = {"fchmodat2", NULL},
    [453] = {"map_shadow_stack", NULL},
    [454] = {"futex_wake", NULL},
    [455] = {"futex_wait", NULL},
    [456] = {"futex_requeue", NULL},
    [457] = {"statmount", NULL},
    [458] = {"listmount", NULL},
    [459] = {"lsm_get_self_attr", NULL},
    [460] = {"lsm_set_self_attr", NULL},
    [461] = {"lsm_list_modules", NULL},
    [462] = {"mseal", NULL},
};

const syscall_fn syscall_quick[SYSCALL_QUICK_COUNT] = {
    [17] = direct_pread64,
    [39] = sys_getpid,
    [102] = sys_getuid,
    [104] = sys_getgid,
    [107] = sys_geteuid,
    [108] = sys_getegid,
    [110] = sys_getppid,
    [111] = sys_getpgrp,
    [186] = sys_gettid,
    [400] = direct_reply_recv,
};
