"""The launcher's options: parsed, checked, and what is not there yet refused by name."""
import argparse
import difflib
import math
import os
import re
import shutil
from dataclasses import dataclass, field

from .errors import STATUS_TIMEOUT, NotYet, UsageError

MODES = ("up", "run")
NODES_MAX = 32
SMP_MAX = 64
MEM_MIB_MIN = 32     # below, GRUB itself may not end
TIMEOUT_SECONDS_DEFAULT = 300.0


@dataclass
class Options:
    """What a cluster is made of. Tests build one directly; ./isthmus from its words."""

    nodes: int = 2
    unlisted: int = 0    # the last ones, without a line in cluster.conf: they ask for an id
    smp: int = 1
    mem: str = "256M"
    nic: str = "e1000"
    firmware: str = "bios"
    machine: str = "pc"
    accel: str = "auto"
    cpu: str = "max"     # QEMU's -cpu of all nodes but those in cpus
    cpus: dict = field(default_factory=dict)   # node: its -cpu
    rtcs: dict = field(default_factory=dict)   # node: its -rtc base=
    add: list = field(default_factory=list)
    deb: list = field(default_factory=list)    # names of Debian packages
    append: list = field(default_factory=list)
    timeout: float = TIMEOUT_SECONDS_DEFAULT
    logs: str = ""
    gdb: bool = False
    pcap: str = ""
    join: list = field(default_factory=list)
    chaos: str = ""
    verbose: bool = False
    icount: str = ""
    guests: int = 0  # tests: unix ports for other machines, see Cluster.guest_links
    cut: list = field(default_factory=list)  # tests: nodes that relay.cut_toggle() cuts off
    loop: bool = False   # two cards of node 0 on one hub, nodes 0 and 1 of cluster.conf
    plugin: str = ""     # a TCG plugin with its arguments; {node} is the node's number
    disk: list = field(default_factory=list)
    card: list = field(default_factory=list)   # of Card: more network cards
    command: str = None  # None: interactive, or driven by a test


def kvm_usable():
    """True if KVM is worth using: the CPU says so and the device opens. The device
    alone proves nothing: on some hosts it opens and then a kernel crawls and hangs."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = re.search(r"^flags\s*:(.*)$", file.read(), re.MULTILINE)
    except OSError:
        return False
    words = flags.group(1).split() if flags else []
    return ("vmx" in words or "svm" in words) and os.access("/dev/kvm", os.R_OK | os.W_OK)


def nic_refuse(nic):
    """Names the issue that brings a card we cannot drive yet."""
    if nic in ("igb", "virtio"):
        raise NotYet(f"--nic {nic}: not yet: comes with the issue that names it")


DISK_KINDS = ("nvme", "ahci", "virtio")


@dataclass
class Disk:
    """A drive of one node: a raw image file, or QEMU's own words after `file=`. log: a file
    that gets every write and flush in order, in the format of Linux's dm-log-writes."""

    node: int
    path: str
    kind: str = "nvme"
    log: str = ""


DISK_FORM = "NODE:FILE[:nvme|ahci|virtio][:log=FILE]"


def disk_parse(text):
    """Reads DISK_FORM. A FILE may have colons of its own."""
    node, _, rest = text.partition(":")
    rest, logged, log = rest.partition(":log=")
    path, colon, kind = rest.rpartition(":")
    if not colon or kind not in DISK_KINDS:
        path, kind = rest, "nvme"
    if not node.isdigit() or not path or bool(logged) != bool(log):
        raise UsageError(f"--disk {text}: must be {DISK_FORM}")
    if kind == "ahci":
        raise NotYet(f"--disk {text}: ahci drives: not yet: comes with the issue that names it")
    return Disk(int(node), path, kind, log)


CARDS_MAX = 3                        # of one node, beside its first


@dataclass
class Card:
    """One more network card of a node, on the same Ethernet, in no line of cluster.conf."""

    node: int
    model: str = "e1000"


def card_parse(text):
    """Reads NODE[:e1000|e1000e]."""
    node, colon, model = text.partition(":")
    if not node.isdigit() or (colon and model not in ("e1000", "e1000e")):
        raise UsageError(f"--card {text}: must be NODE[:e1000|e1000e]")
    return Card(int(node), model or "e1000")


def cards_check(options):
    for card in options.card:
        if card.node >= options.nodes:
            raise UsageError(f"--card {card.node}: there is no node {card.node}")
        if sum(other.node == card.node for other in options.card) > CARDS_MAX:
            raise UsageError(f"--card {card.node}: more than {CARDS_MAX} for one node")


def per_node(name, texts):
    """Reads [NODE:]VALUE options: (of one node each as a dict, of all others or None)."""
    mine, rest = {}, None
    for text in texts:
        node, colon, value = text.partition(":")
        if not colon or not node.isdigit():
            rest = text
        elif value:
            mine[int(node)] = value
        else:
            raise UsageError(f"--{name} {text}: must be NODE:VALUE")
    return mine, rest


def clocks_check(options):
    for name, of in (("cpu", options.cpus), ("rtc", options.rtcs)):
        for node in of:
            if node >= options.nodes:
                raise UsageError(f"--{name} {node}:{of[node]}: there is no node {node}")
    for value in options.rtcs.values():
        if not re.fullmatch(r"utc|localtime|\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?", value):
            raise UsageError(f"--rtc {value}: must be utc, localtime or YYYY-MM-DD[THH:MM:SS]")


def file_check(option, path):
    """Raises UsageError if there is no file to read at `path`."""
    if os.path.isdir(path):
        raise UsageError(f"{option}: a directory, must be a file: {path}")
    if not os.path.isfile(path):
        raise UsageError(f"{option}: no such file: {path}")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{option}: may not be read: {path}")


def disks_check(options):
    for disk in options.disk:
        if disk.node >= options.nodes:
            raise UsageError(f"--disk {disk.node}:{disk.path}: there is no node {disk.node}")
        if not disk.path.startswith("blkdebug:"):
            file_check(f"--disk {disk.node}:{disk.path}", disk.path)
        elif disk.log:
            raise UsageError(f"--disk {disk.node}:{disk.path}: a log is of an image file")


def check(options):
    """Raises UsageError for values out of range. Called before anything is started."""
    if not 1 <= options.nodes <= NODES_MAX:
        raise UsageError(f"--nodes {options.nodes}: must be from 1 to {NODES_MAX}")
    if not 0 <= options.unlisted < options.nodes:
        raise UsageError(f"--unlisted {options.unlisted}: must be less than --nodes")
    if not 1 <= options.smp <= SMP_MAX:
        raise UsageError(f"--smp {options.smp}: must be from 1 to {SMP_MAX}")
    if not re.fullmatch(r"[1-9][0-9]*[MG]?", options.mem):
        raise UsageError(f"--mem {options.mem}: must be a size like 256M or 1G")
    if int(options.mem.strip("MG")) * (1024 if options.mem.endswith("G") else 1) < MEM_MIB_MIN:
        raise UsageError(f"--mem {options.mem}: must be at least {MEM_MIB_MIN}M")
    if not options.timeout > 0:
        raise UsageError(f"--timeout {options.timeout}: must be more than 0 seconds")
    for port in options.join:
        if not 1024 <= port <= 65534:
            raise UsageError(f"--join {port}: must be from 1024 to 65534")
    for text in options.add:
        file_check(f"--add {text}", text.partition(":")[0])
    for package in options.deb:
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", package):
            raise UsageError(f"--deb {package}: no name of a Debian package")
    disks_check(options)
    cards_check(options)
    clocks_check(options)
    nic_refuse(options.nic)
    if options.accel == "kvm" and not kvm_usable():
        raise UsageError("--accel kvm: this machine has no usable KVM (no vmx or svm in "
                         "/proc/cpuinfo, or /dev/kvm cannot be opened)")
    if not shutil.which("qemu-system-x86_64"):
        raise UsageError("qemu-system-x86_64 is not installed: run tools/install.sh")


USAGE_RUN = "isthmus run [options] -- COMMAND"
SEE_HELP = "./isthmus --help lists the options"
EXAMPLES = """examples:
  ./isthmus up                           two nodes and a shell on node 0's console
  ./isthmus up --nodes 3 < FILE          three; FILE is typed there, then its end of file
  ./isthmus run --nodes 3 -- nodes       three nodes; what node 0 knows of all
  ./isthmus run -- 'on 1 uname -a'       a command on node 1
  ./isthmus run --disk 1:b.img -- 'mount -t ext4 /nodes/1/dev/nvme0n1 /mnt/b; ls /mnt/b'
"""


class Parser(argparse.ArgumentParser):
    """One whose mistakes are said as all others are: what is wrong, and what to do."""

    def error(self, message):
        raise UsageError(f"{message.removeprefix('argument ')}; {SEE_HELP}")


def parser_make():
    """The options of `up` and `run`."""
    parser = Parser(prog="isthmus", description="Boots a cluster of Isthmus nodes in QEMU.\n"
                    "up: node 0's console is here; with standard input that is no terminal, until\n"
                    "the end of that, with the shell's exit status.\n"
                    "run: runs COMMAND on node 0, unattended; with the command's exit status.",
                    usage="isthmus up [options]\n       isthmus run [options] -- COMMAND",
                    formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXAMPLES)
    add = parser.add_argument
    add("--nodes", type=int, default=2, metavar="N", help="how many nodes (default 2)")
    add("--unlisted", type=int, default=0, metavar="N",
        help="the last N nodes have no line in cluster.conf and ask for an id (default 0)")
    add("--smp", type=int, default=1, metavar="K", help="CPUs of each node (default 1)")
    add("--mem", default="256M", metavar="SIZE", help="memory of each node (default 256M)")
    add("--nic", default="e1000", choices=["e1000", "e1000e", "igb", "virtio"])
    add("--firmware", default="bios", choices=["bios", "uefi"])
    add("--machine", default="pc", choices=["pc", "q35"], help="QEMU's machine (default pc)")
    add("--accel", default="auto", choices=["auto", "tcg", "kvm"])
    add("--cpu", action="append", default=[], metavar="[NODE:]MODEL",
        help="QEMU's -cpu of that node, or of all others (default max)")
    add("--rtc", action="append", default=[], metavar="NODE:YYYY-MM-DD[THH:MM:SS]",
        help="what the clock chip of that node says at its start (default: the host's time)")
    add("--disk", action="append", default=[], metavar=DISK_FORM,
        help="a drive of that node: a raw image; log: all its writes and flushes in order, as "
        "Linux's dm-log-writes has them (FILE is made anew)")
    add("--card", action="append", default=[], metavar="NODE[:e1000|e1000e]",
        help="one more network card of that node, on the same Ethernet")
    add("--add", action="append", default=[], metavar="FILE[:/path]",
        help="put a file into the initial files (default /bin/NAME if executable, else /NAME)")
    add("--deb", action="append", default=[], metavar="PACKAGE",
        help="put a Debian package and all it depends on into the initial files (fetched by apt; "
        "documentation left out, maintainer scripts not run)")
    add("--append", action="append", default=[], metavar="OPTIONS", help="kernel options")
    add("--timeout", type=float, metavar="SECONDS",
        help=f"end the cluster after so long, with exit status {STATUS_TIMEOUT} "
        f"(default: run {TIMEOUT_SECONDS_DEFAULT:g}, up never)")
    add("--logs", default="", metavar="DIR", help="where nodeN.log and the relay's figures go")
    add("--gdb", action="store_true", help="wait for gdb: node N on port 1234+N")
    add("--pcap", default="", metavar="FILE", help="capture all Ethernet frames")
    add("--join", action="append", type=int, default=[], metavar="PORT",
        help="one more Ethernet port: UDP 127.0.0.1:PORT in, PORT+1 out")
    add("--chaos", default="", metavar="loss=1,dup=1,reorder=1,corrupt=1,delay=2,seed=7",
        help="what goes wrong with RoCEv2 frames (per cent; delay in ms)")
    add("--verbose", action="store_true", help="say what is being done, on standard error")
    return parser


def unknown_refuse(word, parser):
    """Raises UsageError for a word that no option took: a name misspelt, no `--`."""
    name = word.partition("=")[0]
    if not name.startswith("-"):
        raise UsageError(f"what is {name}? A command stands behind `--`: {USAGE_RUN}")
    known = [option for action in parser._actions for option in action.option_strings]
    like = difflib.get_close_matches(name, known, 1)
    raise UsageError(f"{name}: no such option; " +
                     (f"did you mean {like[0]}?" if like else SEE_HELP))


def parse(words):
    """Reads the command line: (mode, Options). Raises UsageError."""
    command = None
    if "--" in words:
        place = words.index("--")
        words, command = words[:place], words[place + 1:]
    mode = words.pop(0) if words and words[0] in MODES else None
    parser = parser_make()
    parsed, unknown = parser.parse_known_args(words)      # ends here with --help
    if mode is None:
        raise UsageError(f"{words[0] + ': neither' if words else 'neither'} up nor run: "
                         f"isthmus up [options], or {USAGE_RUN}; {SEE_HELP}")
    if unknown:
        unknown_refuse(unknown[0], parser)
    args = vars(parsed)
    if mode == "run" and not command:
        raise UsageError(f"run: nothing to run: {USAGE_RUN}")
    if mode == "up" and command is not None:
        raise UsageError(f"up takes no command: {USAGE_RUN}")
    args["disk"] = [disk_parse(text) for text in args["disk"]]
    args["cpus"], cpu = per_node("cpu", args.pop("cpu"))
    args["cpu"] = cpu or "max"
    args["rtcs"], rtc = per_node("rtc", args.pop("rtc"))
    if rtc:
        raise UsageError(f"--rtc {rtc}: must be NODE:YYYY-MM-DD[THH:MM:SS]")
    args["card"] = [card_parse(text) for text in args["card"]]
    if args["timeout"] is None:
        args["timeout"] = TIMEOUT_SECONDS_DEFAULT if mode == "run" else math.inf
    options = Options(**args)
    options.command = " ".join(command) if mode == "run" else None
    check(options)
    return mode, options
