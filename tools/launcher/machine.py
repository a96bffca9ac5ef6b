"""One node's QEMU: its command line, its life, its console log."""
import ctypes
import os
import re
import shutil
import signal
import subprocess

import mkimage

from .options import kvm_usable

UEFI_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
UEFI_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"
GDB_PORT_FIRST = 1234
PR_SET_PDEATHSIG = 1
CONSOLE_TAIL_LINES = 25
PANIC_LINE = re.compile(rb"^PANIC.*$", re.MULTILINE)


def die_with_parent():
    """Runs in a new child: it gets SIGKILL when the launcher dies, however it dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    """A node's QEMU process. `sockets` is a short directory for unix sockets."""

    def __init__(self, node, options, image, sockets, logs):
        self.node = node
        self.options = options
        self.image = image
        self.sockets = sockets
        self.log_path = os.path.join(logs, f"node{node}.log")
        self.qemu_log_path = os.path.join(logs, f"node{node}.qemu.log")
        self.process = None
        self.interactive = False     # its console is the launcher's standard input and output,
        self.fed = False             # the input a pipe, process.stdin: no terminal, no keys of QEMU
        self.typed = False           # its console takes what is written to console_path()
        self._log_seen = 0
        self._partial = b""

    def relay_paths(self):
        """(where the relay binds, where QEMU binds)"""
        return f"{self.sockets}/node{self.node}", f"{self.sockets}/guest{self.node}"

    def cards(self):
        """The node's further cards: (model, where the relay binds, where QEMU binds)."""
        mine = [card for card in self.options.card if card.node == self.node]
        return [(card.model, f"{self.sockets}/node{self.node}card{n}",
                 f"{self.sockets}/guest{self.node}card{n}")
                for n, card in enumerate(mine, 1)]

    def console_path(self):
        return f"{self.sockets}/console{self.node}"

    def run_channel_path(self):
        return f"{self.sockets}/run"

    def _firmware(self):
        if self.options.firmware == "bios":
            return []
        variables = f"{self.sockets}/vars{self.node}.fd"
        shutil.copy(UEFI_VARS, variables)
        return ["-drive", f"if=pflash,format=raw,readonly=on,file={UEFI_CODE}",
                "-drive", f"if=pflash,format=raw,file={variables}"]

    def _console(self):
        if self.interactive:
            keys = "" if self.fed else "mux=on,"
            return ["-chardev", f"stdio,id=console,{keys}signal=off,logfile={self.log_path}"]
        if self.typed:
            return ["-chardev", f"socket,id=console,path={self.console_path()},server=on,"
                    f"wait=off,logfile={self.log_path}"]
        return ["-chardev", f"file,id=console,path={self.log_path}"]

    def _cards(self):
        words = []
        for n, (model, relay, guest) in enumerate(self.cards(), 1):
            words += ["-netdev", f"dgram,id=net{n},local.type=unix,local.path={guest},"
                      f"remote.type=unix,remote.path={relay}", "-device",
                      f"{model},netdev=net{n},mac={mkimage.card_mac(self.node, n)},romfile="]
        return words

    def _disks(self):
        words = []
        mine = [disk for disk in self.options.disk if disk.node == self.node]
        for index, disk in enumerate(mine):
            device = {"nvme": f"nvme,serial=node{self.node}disk{index}",
                      "virtio": "virtio-blk-pci"}[disk.kind]
            words += ["-drive", f"if=none,id=disk{index},{self._disk_file(disk)}",
                      "-device", f"{device},drive=disk{index}"]
        return words

    @staticmethod
    def _disk_file(disk):
        path = disk.path.replace(",", ",,")
        if not disk.log:
            return f"format=raw,file={path}"
        with open(disk.log, "wb"):
            pass
        log = disk.log.replace(",", ",,")
        return ("driver=blklogwrites,log-super-update-interval=1,"
                f"file.driver=raw,file.file.driver=file,file.file.filename={path},"
                f"log.driver=raw,log.file.driver=file,log.file.filename={log}")

    def words(self):
        """The QEMU command line."""
        options = self.options
        kvm = options.accel == "kvm" or (options.accel == "auto" and kvm_usable())
        relay, guest = self.relay_paths()
        words = ["qemu-system-x86_64", "-name", f"node{self.node}", "-nodefaults",
                 "-display", "none", "-no-reboot", "-vga", "std", "-machine", options.machine,
                 "-accel", "kvm" if kvm else "tcg",
                 "-cpu", options.cpus.get(self.node, options.cpu),
                 "-smp", str(options.smp), "-m", options.mem,
                 "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
                 "-qmp", f"unix:{self.sockets}/qmp{self.node},server=on,wait=off"]
        words += self._firmware() + self._console() + ["-serial", "chardev:console"]
        if options.command is not None and self.node == 0:
            words += ["-chardev", f"socket,id=run,path={self.run_channel_path()}",
                      "-serial", "chardev:run"]
        if options.icount:
            words += ["-icount", options.icount, "-rtc", "base=2026-01-01,clock=vm"]
        if self.node in options.rtcs:
            words += ["-rtc", f"base={options.rtcs[self.node]}"]
        if options.plugin:
            words += ["-plugin", options.plugin.format(node=self.node)]
        if options.gdb:
            words += ["-gdb", f"tcp:127.0.0.1:{GDB_PORT_FIRST + self.node}", "-S"]
        words += ["-drive", f"if=none,id=cd,format=raw,readonly=on,media=cdrom,file={self.image}",
                  "-device", "ide-cd,drive=cd,bus=ide.0"]
        if options.loop:
            return words + self._loop_cards()
        words += ["-netdev", f"dgram,id=net,local.type=unix,local.path={guest},"
                  f"remote.type=unix,remote.path={relay}",
                  "-device", f"{options.nic},netdev=net,mac={mkimage.node_mac(self.node)},romfile="]
        return words + self._cards() + self._disks()

    def _loop_cards(self):
        """Slots two apart, so that the cards do not share an interrupt line."""
        words = []
        for card in range(2):
            words += ["-netdev", f"hubport,hubid=0,id=hub{card}", "-device",
                      f"{self.options.nic},netdev=hub{card},mac={mkimage.node_mac(card)},"
                      f"addr={3 + 2 * card},romfile="]
        return words

    def start(self):
        """Starts QEMU, once more after a stop() or a death as well: a new incarnation."""
        for guest in [self.relay_paths()[1]] + [guest for _, _, guest in self.cards()]:
            if os.path.exists(guest):
                os.unlink(guest)
        with open(self.qemu_log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.words(), preexec_fn=die_with_parent, stdout=None if self.interactive else log,
                stdin=subprocess.PIPE if self.fed else None if self.interactive
                else subprocess.DEVNULL,
                stderr=None if self.interactive else log,
                start_new_session=not self.interactive)

    def kill(self):
        """Ends QEMU at once, as a power cut would."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def dead(self):
        """QEMU's exit status if it has ended, else None."""
        return self.process.poll() if self.process else None

    def console(self):
        """All that the node's console has shown."""
        try:
            with open(self.log_path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def options_refused(self):
        """What the node said of kernel options that it does not know, as lines of text."""
        lines = re.findall(rb"^\[ *[0-9.]+\] ((?:unknown )?kernel option '[^\r\n]*)",
                           self.console(), re.MULTILINE)
        return [line.decode(errors="replace") for line in lines]

    def panic_line(self):
        """The node's PANIC line as text if a new one appeared on its console, else None.
        Reads only what was added since the last call."""
        try:
            with open(self.log_path, "rb") as file:
                file.seek(self._log_seen)
                new = file.read()
        except FileNotFoundError:
            return None
        self._log_seen += len(new)
        text = self._partial + new
        whole, _, self._partial = text.rpartition(b"\n")
        found = PANIC_LINE.search(whole.replace(b"\r", b"\n"))
        return found.group(0).decode(errors="replace") if found else None

    def console_tail(self):
        """The console's last lines, and QEMU's own complaints, as text for a report."""
        lines = self.console().decode(errors="replace").splitlines()[-CONSOLE_TAIL_LINES:]
        try:
            with open(self.qemu_log_path, encoding="utf-8", errors="replace") as file:
                lines += ["qemu: " + line for line in file.read().splitlines()[-5:]]
        except FileNotFoundError:
            pass
        return "\n".join(f"    {line}" for line in lines)
