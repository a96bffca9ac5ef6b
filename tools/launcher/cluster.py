"""A cluster in QEMU: the per-run image, the relay, one machine a node, and their end.

    with Cluster(Options(nodes=2, append=["rdma.test=1"])) as cluster:
        cluster.console_wait(0, rb"some line", seconds=60)
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import cpio_newc
import mkimage

from . import deb
from .errors import LaunchError, RunTimeout, UsageError
from .machine import Machine, die_with_parent
from .watch import Watch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
RELAY = os.path.join(BUILD, "relay")
BASE_IMAGE = os.path.join(BUILD, "isthmus.iso")
# Where packages are kept: in the tree, or where that may not be written with the user's own.
DEB_CACHES = [os.path.join(BUILD, "deb"), os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "isthmus", "deb")]
RELAY_STOP_SECONDS = 10


def writable(path):
    """Whether files can be made in the directory `path`, which is made where it is not there."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError:
        return False
    return os.access(path, os.W_OK | os.X_OK)


def deb_cache(candidates):
    """The first directory of `candidates` that may be written. Raises UsageError."""
    for path in candidates:
        if writable(path):
            return path
    raise UsageError(f"--deb: packages can be kept in none of {', '.join(candidates)}: they may "
                     "not be written (XDG_CACHE_HOME sets another place)")


def extra_files(adds, debs=()):
    """The cpio archive (bytes) of the --add and --deb options, or None if there are none."""
    if not adds and not debs:
        return None
    archive = cpio_newc.Archive()
    for text in adds:
        path, _, target = text.partition(":")
        runs = os.access(path, os.X_OK)
        if not target:
            target = ("/bin/" if runs else "/") + os.path.basename(path)
        with open(path, "rb") as file:
            archive.file(target, file.read(), 0o755 if runs else 0o644,
                         os.fstat(file.fileno()).st_mtime)
    for path in deb.fetch(debs, deb_cache(DEB_CACHES)) if debs else ():
        deb.archive_add(archive, path)
    return archive.bytes()


class Relay:
    """The Ethernet between the guests: build/relay as a process."""

    def __init__(self, unix_ports, join, logs, pcap="", chaos="", cut=()):
        self.stats_path = os.path.join(logs, "relay.json")
        self.words = [RELAY, "--stats", self.stats_path]
        for local, remote in unix_ports:
            self.words += ["--unix", local, remote]
        for port in join:
            self.words += ["--udp", str(port)]
        if pcap:
            self.words += ["--pcap", pcap]
        if chaos:
            self.words += ["--chaos", chaos]
        if cut:
            self.words += ["--cut", str(sum(1 << port for port in cut))]
        self.process = None

    def start(self):
        if not os.path.exists(RELAY):
            raise UsageError(f"{RELAY} is missing: run make iso")
        if os.path.exists(self.stats_path):
            os.unlink(self.stats_path)
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, preexec_fn=die_with_parent,
                                        start_new_session=True)
        if self.process.stdout.readline() != b"ready\n":
            raise UsageError(self.process.stderr.read().decode(errors="replace").strip())

    def cut_toggle(self):
        """Cuts the ports of `cut` off from the others, or joins them again."""
        self.process.send_signal(signal.SIGUSR2)

    def _stats_inode(self):
        """Another one after each writing; None before the first."""
        return os.stat(self.stats_path).st_ino if os.path.exists(self.stats_path) else None

    def stats(self):
        """The counters as a dict; the relay goes on."""
        if self.process.poll() is None:
            before = self._stats_inode()
            with Watch(os.path.dirname(self.stats_path)) as watch:
                self.process.send_signal(signal.SIGUSR1)
                deadline = time.monotonic() + RELAY_STOP_SECONDS
                while self._stats_inode() == before:
                    if time.monotonic() > deadline:
                        raise LaunchError("the relay does not write its figures")
                    watch.wait([self.process])
        with open(self.stats_path, encoding="ascii") as file:
            return json.load(file)

    def stop(self):
        if not self.process:
            return
        self.process.terminate()
        try:
            self.process.wait(RELAY_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Cluster:
    """Owns everything one run starts. Use it as a context manager."""

    def __init__(self, options, interactive=False, fed=False):
        self.options = options
        self.deadline = None         # of the run: set when its machines start
        self.logs = os.path.abspath(options.logs) if options.logs else self._logs_make()
        if not writable(self.logs):
            raise UsageError(f"--logs {self.logs}: no directory that may be written")
        self.sockets = tempfile.mkdtemp(prefix="isthmus-")
        self.machines = [Machine(n, options, f"{self.sockets}/image.iso", self.sockets, self.logs)
                         for n in range(options.nodes)]
        self.machines[0].interactive = interactive
        self.machines[0].fed = fed
        self.may_die = set()         # nodes whose end is no fault: who runs the cluster kills them
        # (where the relay binds, where the guest's end binds): a unix port loses nothing
        self.guest_links = [(f"{self.sockets}/join{i}", f"{self.sockets}/plug{i}")
                            for i in range(options.guests)]
        further = [(relay, guest) for machine in self.machines
                   for _, relay, guest in machine.cards()]
        self.relay = Relay([machine.relay_paths() for machine in self.machines]
                           + further + self.guest_links, options.join, self.logs, options.pcap,
                           options.chaos, options.cut)

    @staticmethod
    def _logs_make():
        """A directory for this run's logs, in the tree where that may be written."""
        root = os.path.join(BUILD, "run-logs")
        if writable(root):
            return tempfile.mkdtemp(prefix="run-", dir=root)
        return tempfile.mkdtemp(prefix="isthmus-logs-")

    def say(self, text):
        """Progress, on standard error, for people only."""
        if self.options.verbose or sys.stderr.isatty():
            print(f"isthmus: {text}", file=sys.stderr, flush=True)

    def kernel_options(self):
        words = list(self.options.append)
        if self.options.command is not None:
            words.append("run=com2")
        return " ".join(words)

    def start(self):
        """Makes the image, starts the relay and all machines."""
        if not os.path.exists(BASE_IMAGE):
            raise UsageError(f"{BASE_IMAGE} is missing: run make iso")
        self.say("making the boot image")
        try:
            mkimage.run_make(f"{self.sockets}/image.iso", BASE_IMAGE,
                             mkimage.cluster_conf(2 if self.options.loop
                                                  else self.options.nodes,
                                                  unlisted=self.options.unlisted),
                             self.kernel_options(),
                             extra_files(self.options.add, self.options.deb))
        except (mkimage.ImageError, ValueError) as error:
            raise UsageError(str(error)) from error
        self.deadline = time.monotonic() + self.options.timeout
        self.relay.start()
        for name in os.listdir(self.logs):
            if re.fullmatch(r"node\d+\.(qemu\.)?log", name):
                os.unlink(os.path.join(self.logs, name))
        self.say(f"starting {self.options.nodes} node(s), logs in {self.logs}")
        for machine in self.machines:
            machine.start()
        if self.options.gdb:
            print("isthmus: the nodes wait for gdb: target remote :1234 (node N: 1234+N)",
                  file=sys.stderr)

    def stop(self):
        """Ends everything that was started; safe to call at any time, more than once."""
        for machine in self.machines:
            machine.kill()
        self.relay.stop()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def health_check(self):
        """Raises LaunchError if a node panicked or its QEMU ended, RunTimeout if the
        time is over. To be called often while anything is waited for."""
        for machine in self.machines:
            if machine.node in self.may_die:
                continue
            panic = machine.panic_line()
            if panic:
                raise LaunchError(f"node {machine.node} panicked: {panic}\n"
                                  f"{machine.console_tail()}\n(logs in {self.logs})")
            if machine.dead() is not None:
                raise LaunchError(f"node {machine.node}: its QEMU ended with status "
                                  f"{machine.dead()}\n{machine.console_tail()}\n"
                                  f"(logs in {self.logs})")
        if self.relay.process.poll() is not None:
            raise LaunchError(f"the relay ended with status {self.relay.process.returncode}: "
                              f"{self.relay.process.stderr.read().decode(errors='replace')}")
        if time.monotonic() > self.deadline:
            raise RunTimeout(f"no end after {self.options.timeout:g} seconds\n"
                             + self.tails() + f"\n(logs in {self.logs})")

    def processes(self):
        """Those whose end is a failure, as health_check() says: QEMU's and the relay."""
        return [machine.process for machine in self.machines
                if machine.node not in self.may_die] + [self.relay.process]

    def tails(self):
        """The last console lines of all nodes."""
        return "\n".join(f"  node {machine.node}, last lines:\n{machine.console_tail()}"
                         for machine in self.machines)

    def console_wait(self, node, pattern, seconds=None):
        """Waits until the node's console shows `pattern` (bytes, a regular expression, by
        line) and returns the match. Raises if a node dies or the time is over."""
        expression = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + seconds if seconds else self.deadline
        with Watch(self.logs) as watch:
            while True:
                found = expression.search(self.machines[node].console())
                if found:
                    return found
                self.health_check()
                if time.monotonic() > deadline:
                    raise RunTimeout(f"node {node} did not show {pattern!r} in time\n"
                                     + self.tails())
                watch.wait(self.processes(), seconds=deadline - time.monotonic())
