#!/usr/bin/env python3
"""A Linux guest with rdma_rxe on the Ethernet of a cluster.

As a library:   with LinuxPeer(7001) as peer: peer.run("rping -c -a 10.7.0.1 ...")
By hand:        ./isthmus up --join 7001; tools/linux_peer.py 7001 -- 'COMMAND'
Build it first: make linux-peer. Addresses 10.7.0.100 and up are for such guests.
"""
import argparse
import base64
import os
import secrets
import select
import socket
import subprocess
import sys
import tempfile
import time

import cpio_newc

from launcher.cluster import BUILD
from launcher.errors import LaunchError, RunTimeout
from launcher.machine import die_with_parent

COMMAND_BYTES_MAX = 2800  # a line of a Linux terminal ends at 4096 bytes, base64 included
BOOT_SECONDS = 180
READ_BYTES = 65536


def netdev_words(link):
    """QEMU's -netdev for a link: a UDP join port, or a pair of Cluster.guest_links."""
    if isinstance(link, int):
        return ("dgram,id=net,local.type=inet,local.host=127.0.0.1,"
                f"local.port={link + 1},remote.type=inet,remote.host=127.0.0.1,"
                f"remote.port={link}")
    relay, guest = link
    return f"dgram,id=net,local.type=unix,local.path={guest},remote.type=unix,remote.path={relay}"


def initrd_with(files, directory):
    """The peer's initramfs with more programs: pairs of (file here, path there)."""
    image = os.path.join(BUILD, "linux-peer/initramfs.cpio")
    if not files:
        return image
    archive = cpio_newc.Archive(plain=True)
    for path, target in files:
        with open(path, "rb") as file:
            archive.file(target, file.read(), 0o755)
    with open(image, "rb") as file, open(directory + "/initrd", "wb") as made:
        made.write(file.read())
        made.write(b"\0" * (-made.tell() % 512) + archive.bytes())
    return directory + "/initrd"


class LinuxPeer:
    """One guest, plugged into the relay at `link` (netdev_words); None: without a card. icount:
    QEMU's -icount; files: as initrd_with's. Use it as a context manager."""

    def __init__(self, link, address="10.7.0.100", mtu=1500, smp=1, logs=None, cpu="max",
                 icount=None, files=()):
        self.address = address
        self.directory = tempfile.mkdtemp(prefix="isthmus-peer-")
        self.console_path = os.path.join(logs or self.directory, f"peer-{address}.log")
        last = int(address.rpartition(".")[2])
        image = os.path.join(BUILD, "linux-peer")
        self.words = [
            "qemu-system-x86_64", "-name", f"peer-{address}", "-nodefaults", "-display", "none",
            "-no-reboot", "-machine", "pc", "-accel", "tcg", "-cpu", cpu, "-smp", str(smp),
            "-m", "512M", "-kernel", image + "/vmlinux",
            "-initrd", initrd_with(files, self.directory),
            # no_timer_check: on a busy host the guest's test of its timer's interrupts fails.
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check "
            f"peer.ip={address} peer.mtu={mtu}",
            "-chardev", f"file,id=console,path={self.console_path}", "-serial", "chardev:console",
            "-chardev", f"socket,id=run,path={self.directory}/run", "-serial", "chardev:run"]
        if icount:
            self.words += ["-icount", icount, "-rtc", "base=2026-01-01,clock=vm"]
        if link is not None:
            self.words += ["-netdev", netdev_words(link), "-device",
                           f"e1000,netdev=net,mac=52:54:00:49:53:{last:02x},romfile="]
        self.process = None
        self.connection = None
        self._data = b""

    def start(self):
        """Starts QEMU; ready() waits until Linux is up."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.directory + "/run")
        listener.listen(1)
        self.process = subprocess.Popen(
            self.words, preexec_fn=die_with_parent, stdin=subprocess.DEVNULL,
            start_new_session=True, stderr=subprocess.PIPE)
        while not select.select([listener], [], [], 0.1)[0]:
            if self.process.poll() is not None:
                raise LaunchError("the Linux peer's QEMU ended: "
                                  + self.process.stderr.read().decode(errors="replace"))
        self.connection = listener.accept()[0]
        listener.close()
        return self

    def stop(self):
        """Ends the guest; safe to call more than once."""
        if self.process and self.process.returncode is None:
            self.process.kill()
            self.process.communicate()
        if self.connection:
            self.connection.close()

    def __enter__(self):
        self.start()
        try:
            self.ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def console(self):
        with open(self.console_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def _until(self, mark, seconds, health=None, echo=None):
        """Reads until `mark` and the end of its line: (what came before, rest of line)."""
        deadline, shown = time.monotonic() + seconds, 0
        while True:
            place = self._data.find(mark)
            end = self._data.find(b"\n", place + len(mark)) if place >= 0 else -1
            if echo:
                limit = max(shown, place if place >= 0 else len(self._data) - len(mark))
                echo(self._data[shown:limit])
                shown = limit
            if end >= 0:
                before, rest = self._data[:place], self._data[place + len(mark):end]
                self._data = self._data[end + 1:]
                return before, rest
            if health:
                health()
            if time.monotonic() > deadline:
                raise RunTimeout(f"the Linux peer gave no answer in {seconds:g} s; so far:\n"
                                 + self._data.decode(errors="replace")[-2000:]
                                 + "\nits console:\n" + self.console()[-3000:])
            if select.select([self.connection], [], [], 0.2)[0]:
                data = self.connection.recv(READ_BYTES)
                if not data:
                    raise LaunchError("the Linux peer died; its console:\n"
                                      + self.console()[-3000:])
                self._data += data

    def ready(self, health=None):
        """Waits until Linux has its interfaces up."""
        self._until(b"@@READY", BOOT_SECONDS, health)

    def run(self, command, seconds=600, health=None, echo=None):
        """Runs a shell command in the guest: (exit status, its output as bytes). `seconds`
        is a hang detector. `health` is called often and may raise (a cluster's
        health_check); `echo` gets the output as it comes."""
        text = command.encode()
        if len(text) > COMMAND_BYTES_MAX:
            raise ValueError("the command is too long for the peer's line")
        mark = secrets.token_hex(8).encode()
        self.connection.sendall(mark + b" " + base64.b64encode(text) + b"\n")
        output, status = self._until(b"\n@@END " + mark + b" ", seconds, health, echo)
        return int(status), output


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int, help="the relay's --join port")
    parser.add_argument("command", nargs="+", help="shell commands, run one after another")
    parser.add_argument("--address", default="10.7.0.100")
    parser.add_argument("--mtu", type=int, default=1500)
    args = parser.parse_args()

    def echo(data):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    try:
        with LinuxPeer(args.port, args.address, args.mtu) as peer:
            for command in args.command:
                status = peer.run(command, 3600, echo=echo)[0]
                if status:
                    return status
    except LaunchError as error:
        sys.exit(f"linux_peer: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
