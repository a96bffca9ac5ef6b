#!/usr/bin/env python3
"""What real machines have and the other tests' guests have not: q35 with 8 CPUs and memory
above 4 GiB, NUMA tables, an IOMMU, MSI and MSI-X beside INTx, no serial port (screen and
keyboard alone), a USB stick, BIOS and UEFI. TAP. Waits for what is seen, never for a time;
LIMIT_S is a hang detector."""
import hashlib
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from boot import IMAGE, OVMF, ROOT, Boot, Tap
import screen
sys.path.insert(0, os.path.join(ROOT, "tools"))
import qemu_backport  # noqa: E402  (the path is set above)

LIMIT_S = 240
FONT = os.path.join(ROOT, "build/gen/font.c")
MAC = "52:54:00:49:53:01"            # node 0 of boot.py's cluster.conf
KEYS = {" ": "spc", "\n": "ret", "$": "shift-4", "(": "shift-9", ")": "shift-0", "*": "shift-8",
        "+": "shift-equal", "/": "slash", ".": "dot", "|": "shift-backslash", "-": "minus",
        ">": "shift-dot", "=": "equal", "\b": "backspace", ";": "semicolon", "'": "apostrophe",
        '"': "shift-apostrophe", "_": "shift-minus",
        "?": "shift-slash", "\x03": "ctrl-c"}


def key_of(character):
    """QEMU's name of the key (with its modifier) that types a character."""
    if character.isupper():
        return "shift-" + character.lower()
    return KEYS.get(character, character)


class Monitor:
    """QEMU's machine protocol: QEMU connects to `listener`."""

    def __init__(self, listener, process):
        end = os.pidfd_open(process.pid)
        ready = select.select([listener, end], [], [], LIMIT_S)[0]
        os.close(end)
        if listener not in ready:
            raise RuntimeError("QEMU ended at once" if ready else "QEMU does not connect")
        self.socket = listener.accept()[0]
        self.file = self.socket.makefile("rw", encoding="utf-8")
        self.file.readline()
        self.run("qmp_capabilities")

    def run(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                raise RuntimeError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]

    def human(self, line):
        return self.run("human-monitor-command", **{"command-line": line})


class Screen:
    """A guest that has a screen and a keyboard and nothing else."""

    def __init__(self, folder, extra, image=None, uefi=False):
        self.folder, self.text, self.lines = folder, "", []
        self.font = screen.font_read(FONT)
        boot = Boot(folder, extra=extra, uefi=uefi, smp=2) if image is None else None
        words = boot.words if boot else image
        if boot:
            at = words.index("-serial")
            words = words[:at] + words[at + 2:]
        path = os.path.join(folder, "monitor")
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            self.process = subprocess.Popen(
                words + ["-serial", "none", "-qmp", f"unix:{path}", "-vnc", f"unix:{path}-vnc"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
            self.monitor = Monitor(listener, self.process)
        self.changes = screen.Changes(path + "-vnc")

    def look(self):
        path = os.path.join(self.folder, "screen.ppm")
        self.monitor.run("screendump", filename=path)
        with open(path, "rb") as file:
            try:
                self.lines = screen.text(file.read(), self.font)
            except ValueError:
                self.lines = []      # before the mode is set
        self.text = "\n".join(self.lines).rstrip("\n")
        return self.text

    def wait(self, pattern):
        """True once a line of the screen matches."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            self.changes.ask()
            if re.search(pattern, self.look(), re.M):
                return True
            self.changes.wait(self.process, deadline - time.monotonic())
        return False

    def press(self, text):
        """Types; all that is typed here changes the screen."""
        for character in text:
            self.changes.ask()
            self.monitor.human(f"sendkey {key_of(character)} 1")
            # The next key only once the last one was released, and was taken: QEMU's keyboard
            # holds 16 bytes, and a guest that waits for its host's CPU loses what comes behind.
            self.monitor.run("query-status")
            self.changes.wait(self.process, LIMIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.changes.close()


def boots(tap, folder, name, wanted, **options):
    """One guest that boots; every pattern of `wanted` is on its console."""
    boot = Boot(folder, machine="q35", **options)
    boot.run("CPUs, ")
    missing = [p for p in wanted if not re.search(p, boot.text, re.M)]
    if "PANIC" in boot.text:
        missing.append("a boot without PANIC")
    tap.result(not missing, name if not missing else f"{name} (missing: {missing})", boot)


def numa(smp, nodes=2):
    words = ["-m", "6G"]
    each = smp // nodes
    for n in range(nodes):
        words += ["-object", f"memory-backend-ram,id=m{n},size=3G", "-numa",
                  f"node,nodeid={n},cpus={n * each}-{n * each + each - 1},memdev=m{n}"]
    return words + ["-numa", "dist,src=0,dst=1,val=20"]


def drives(folder):
    words = []
    for n, device in enumerate(("nvme,serial=a", "virtio-blk-pci", "virtio-blk-pci,vectors=0")):
        path = os.path.join(folder, f"drive{n}")
        with open(path, "wb") as file:
            file.truncate(4 << 20)
        words += ["-drive", f"if=none,id=d{n},format=raw,file={path}",
                  "-device", f"{device},drive=d{n}"]
    return words


def cards(*models):
    words = []
    for n, model in enumerate(models):
        words += ["-netdev", f"hubport,hubid=0,id=hub{n}", "-device",
                  f"{model},netdev=hub{n},mac={MAC[:-2]}{n + 1:02x},romfile="]
    return words


def machines(tap, folder):
    big = r"^\[.*memory: 6[01]\d\d MiB of RAM"
    up8 = r"node up: 8 CPUs"
    for uefi in (False, True):
        name = "UEFI" if uefi else "BIOS"
        if uefi and not os.path.exists(OVMF):
            tap.result(True, "q35 with 8 CPUs and 6 GiB, UEFI", skip="no OVMF here")
            continue
        boots(tap, folder, f"{name}: 8 CPUs, 6 GiB", [big, up8], smp=8, uefi=uefi,
              extra=("-cpu", "max", "-m", "6G"))
        boots(tap, folder, f"{name}: 8 CPUs, 6 GiB in two NUMA nodes (SRAT, SLIT)", [big, up8],
              smp=8, uefi=uefi, extra=["-cpu", "max"] + numa(8))
        boots(tap, folder, f"{name}: intel-iommu with interrupt remapping offered, all cards",
              [r"node up: 2 CPUs", r"eth0: .*82574", r"^.*nvme0n1: ", r"^.*vdb: "], smp=2,
              uefi=uefi, extra=["-cpu", "max", "-machine", "kernel-irqchip=split", "-device",
                                "intel-iommu,intremap=on"] + drives(folder) + cards("e1000e"))


def high_memory(tap, folder):
    """q35 has 2 GiB below 4 GiB, and frames are given lowest first: with 2,400 MiB full, what
    the drives then read for their writes lies above 4 GiB."""
    boot = Boot(folder, machine="q35", smp=8,
                extra=["-cpu", "max", "-m", "6G"] + drives(folder) + cards("e1000e"))
    command = ("for n in 1 2 3; do dd if=/dev/zero of=/tmp/fill$n bs=1M count=800; done; "
               "dd if=/dev/urandom of=/tmp/r bs=64k count=64; "
               "for d in nvme0n1 vda; do dd if=/tmp/r of=/nodes/0/dev/$d bs=64k "
               "conv=notrunc,fsync; done; md5sum /tmp/r; grep ^free: /nodes/0/status; "
               "echo high $((6 * 7))\n")
    ok = boot.run("high 42\n", prompt=" # ", typed=command)
    free = re.search(r"^free: (\d+)", boot.text, re.M)
    tap.result(ok and free and int(free.group(1)) < (4 << 30) // 4096,
               "8 CPUs, 6 GiB: all that lies below 4 GiB is in use", boot)
    said = re.search(r"^([0-9a-f]{32})  /tmp/r", boot.text, re.M)
    for n, name in enumerate(("NVMe", "virtio")):
        with open(os.path.join(folder, f"drive{n}"), "rb") as file:
            digest = hashlib.md5(file.read()).hexdigest()
        tap.result(said and digest == said.group(1),
                   f"{name} writes 4 MiB from frames above 4 GiB, as this host reads it", boot)


def interrupts(tap, folder):
    boot = Boot(folder, machine="q35", smp=2,
                extra=["-cpu", "max"] + drives(folder) + cards("e1000e", "e1000"))
    command = ("dd if=/dev/zero of=/nodes/0/dev/nvme0n1 bs=64k count=16 conv=notrunc,fsync && "
               "dd if=/dev/zero of=/nodes/0/dev/vda bs=64k count=16 conv=notrunc,fsync && "
               "dd if=/dev/zero of=/nodes/0/dev/vdb bs=64k count=16 conv=notrunc,fsync && "
               "echo wrote $((6 * 7))\n")
    ok = boot.run("wrote 42\n", prompt=" # ", typed=command)
    tap.result(ok, "drives with MSI-X and a drive with INTx alone write and flush", boot)
    modes = [mode for mode, _ in re.findall(r"irq: [0-9a-f:.]+: (MSI-X|MSI), vector (\d+)",
                                            boot.text)]
    tap.result(sorted(modes) == ["MSI", "MSI-X", "MSI-X"],
               f"MSI: 82574L; MSI-X: NVMe and virtio; INTx: 82540EM and virtio ({modes})", boot)


def x2apic(tap, folder):
    """QEMU's TCG has it from version 9 on: Debian's backport, if the installed one is older."""
    version = subprocess.run(["qemu-system-x86_64", "--version"], stdout=subprocess.PIPE,
                             check=True, text=True).stdout
    old = int(re.search(r"version (\d+)", version).group(1)) < 9
    qemu = qemu_backport.fetch(os.path.join(ROOT, "build")) if old else "qemu-system-x86_64"
    far = ["-smp", "1,maxcpus=258,sockets=2,cores=129", "-machine", "kernel-irqchip=split",
           "-device", "intel-iommu,intremap=on,eim=on",
           "-device", "max-x86_64-cpu,socket-id=1,core-id=0,thread-id=0"]
    for name, options, smp, extra, seen in (
            ("8 CPUs, timers and IPIs by MSRs, switched on by apic=x2apic",
             "apic=x2apic selftest=kicks", 8, [], "selftest: kicks ok"),
            ("left on by the firmware, for a CPU has the APIC id 256", "", 1, far,
             "node up: 2 CPUs")):
        boot = Boot(folder, machine="q35", smp=smp, options=options, qemu=qemu,
                    extra=["-cpu", "max,+x2apic"] + extra)
        ok = boot.run(seen)
        tap.result(ok and "apic: x2APIC" in boot.text, "x2APIC: " + name, boot)


def typed(tap, guest, what):
    tap.result(guest.wait(r"^\[.*isthmus: booting") and "isthmus: node up" in guest.look() or
               guest.wait("isthmus: node up"), f"{what}: the boot is on the screen", guest)
    tap.result(guest.wait(r"~ # ?$"), f"{what}: the prompt is on the screen", guest)
    guest.press("echo Key $((6*7)) 'A_b|C'\n")
    tap.result(guest.wait(r"^Key 42 A_b\|C$"), f"{what}: typed keys reach the shell", guest)


def screens(tap, folder):
    for uefi in (False, True):
        if uefi and not os.path.exists(OVMF):
            tap.result(True, "screen alone, UEFI", skip="no OVMF here")
            continue
        what = f"no COM1, {'UEFI' if uefi else 'BIOS'}"
        with Screen(folder, ("-cpu", "max"), uefi=uefi) as guest:
            typed(tap, guest, what)
            guest.press("echo wrong\b\b\b\b\bright; sleep 1000\n")
            ok = guest.wait(r"^right$")
            guest.press("\x03")
            guest.press("echo after $?\n")
            tap.result(ok and guest.wait(r"^after 130$"),
                       f"{what}: backspace erases, control-C interrupts", guest)
            guest.press("clear\n")
            tap.result(guest.wait(r"\Anode\d+ ~ # ?$"), f"{what}: clear clears", guest)
            tap.result("\ufffd" not in guest.text, f"{what}: every cell is a glyph", guest)


def stick_words(image, uefi):
    """A machine with one USB stick, a card of node 0, and no other drive."""
    return ["qemu-system-x86_64", "-accel", "tcg", "-M", "q35", "-cpu", "max", "-smp", "2", "-m",
            "512", "-display", "none", "-no-reboot", "-nodefaults", "-vga", "std", "-drive",
            f"if=none,id=u,file={image},format=raw", "-device", "qemu-xhci", "-device",
            "usb-storage,drive=u,bootindex=0"] + cards("e1000e") + (["-bios", OVMF] if uefi else [])


def sticks(tap, folder):
    """The image itself, as `make iso` leaves it, and one with a cluster.conf of its own."""
    conf, made = os.path.join(folder, "conf"), os.path.join(ROOT, "build/stick.iso")
    with open(conf, "w", encoding="ascii") as file:
        file.write(f"node 7 {MAC} 10.9.0.8\nkey {'5a' * 32}\n")
    subprocess.run(["make", "--no-print-directory", "stick", f"CONF={conf}",
                    "OPTIONS=net.mtu=1500 panic=halt"], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    for uefi in (False, True):
        firmware = "UEFI" if uefi else "BIOS"
        if uefi and not os.path.exists(OVMF):
            tap.result(True, f"USB stick, {firmware}", skip="no OVMF here")
            continue
        for image, what, seen in ((IMAGE, f"USB stick, {firmware}", "eth0: node 0, 10.7.0.1"),
                                  (made, f"make stick, {firmware}", "eth0: node 7, 10.9.0.8")):
            stick = os.path.join(folder, "stick.img")
            shutil.copy(image, stick)
            with Screen(folder, (), image=stick_words(stick, uefi)) as guest:
                typed(tap, guest, what)
                mtu = "MTU 1500" if image == made else "MTU 9000"
                tap.result(seen in guest.text and mtu in guest.text,
                           f"{what}: its cluster.conf and options hold", guest)


def main():
    tap = Tap()
    only = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        for part in (machines, high_memory, interrupts, x2apic, screens, sticks):
            if not only or part.__name__ in only:
                part(tap, folder)
    print(f"1..{tap.count}")


if __name__ == "__main__":
    main()
