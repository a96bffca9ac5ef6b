// help: what is special here. What a command of busybox does, `COMMAND --help` says.
#include <stdio.h>

int main(void) {
    fputs("This is one machine made of several nodes. Commands run where you are unless said\n"
          "otherwise, and see the same processes, drives and files from every node.\n"
          "\n"
          "  nodes               the nodes, what is free on each\n"
          "  ps, top             all processes, with the node that has each\n"
          "  where PID...        which node has a process\n"
          "  why PID             why it is there\n"
          "  on NODE COMMAND     runs a command on that node\n"
          "  spawn COMMAND       runs a command wherever there is room\n"
          "  migrate PID NODE    moves a running process; `migrate PID auto` leaves it to\n"
          "                      the system again\n"
          "  mount -t ext4 /nodes/N/dev/DRIVE /mnt/NAME, umount /mnt/NAME\n"
          "\n"
          "  /nodes/N/dev        drives, network cards and the console of node N\n"
          "  /nodes/N/status     what this node knows of node N\n"
          "  /nodes/N/proc       the processes that node N has\n"
          "  /proc/PID/node      reading says where it is, writing moves it; `fork N` in\n"
          "                      /proc/self/node: the next child begins on node N\n"
          "\n"
          "Everything else is Linux's: busybox's commands (busybox --list), pipes and files\n"
          "across nodes, Ctrl-C and kill for processes anywhere. `busybox ps` is the plain one.\n",
          stdout);
    return 0;
}
