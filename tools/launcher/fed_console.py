"""Node 0's console fed by the launcher's standard input where that is no terminal: `isthmus up
< FILE`. The node's serial port loses what comes while the node sets it up, so nothing is sent
before the node is up; from then on the kernel takes what its reader has room for."""
import os
import re
import threading

from .run_channel import write_all
from .watch import Watch

NODE_UP = re.compile(rb"^\[ *[0-9.]+\] isthmus: node up", re.MULTILINE)
SHELL_ENDED = re.compile(rb"^init: the console's shell ended with status (\d+)\r*$", re.MULTILINE)
# What says "no more" to who reads the console: more than one, for a command may take it for itself,
# and a shell with stopped jobs asks twice.
END_OF_FILE_KEY = b"\x04"
END_OF_FILE_KEYS = 8
PIECE_BYTES = 65536


def pass_on(source, target):
    """Copies descriptor `source` to its end, then the end-of-file keys; a thread's work."""
    try:
        while piece := os.read(source, PIECE_BYTES):
            write_all(target, piece)
    except OSError:
        pass                         # a terminal or a peer that is gone is an end too
    try:
        write_all(target, END_OF_FILE_KEY * END_OF_FILE_KEYS)
    except OSError:
        pass                         # QEMU has ended: serve() says so


class LineSearch:
    """Looks for lines in a file that grows; each part is read once."""

    def __init__(self, path):
        self._path = path
        self._at = 0                 # where the first line begins that was not whole

    def next(self, expression):
        """The first match of `expression` in the whole lines not looked at yet, or None."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._at)
                text = file.read()
        except FileNotFoundError:
            return None
        whole = text[:text.rfind(b"\n") + 1]
        found = expression.search(whole)
        self._at += found.end() if found else len(whole)
        return found


def serve(cluster, source=0):
    """Feeds node 0's console from `source` until a shell there ends; returns the shell's exit
    status. The cluster's health is looked at all the while."""
    machine = cluster.machines[0]
    lines = LineSearch(machine.log_path)
    with Watch(cluster.logs) as watch:

        def wait_for(expression):
            while not (found := lines.next(expression)):
                cluster.health_check()
                watch.wait(cluster.processes())
            return found

        wait_for(NODE_UP)
        threading.Thread(target=pass_on, args=(source, machine.process.stdin.fileno()),
                         daemon=True).start()
        return int(wait_for(SHELL_ENDED).group(1))
