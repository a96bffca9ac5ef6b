#!/usr/bin/env python3
"""Programs of Debian's packages, dynamically linked, unchanged, put into the image by `--deb`:
what they print on a node must equal what the same files print on this machine, run from the
unpacked packages by their own loader. Prints TAP. docs/reference/programs.md is the table of
what this checks, and is checked against it. STEPS=TEXT by hand: commands that contain it.
"""
import os
import re
import shutil
import subprocess
import sys

from rig import BUILD, HERE, LIMIT, LONG, ONLY, ROOT, Tap, input_file

from launcher import deb  # noqa: E402  (rig makes it importable)
from launcher.cluster import DEB_CACHES, deb_cache  # noqa: E402

PACKAGES = ("libc-bin", "bash", "coreutils", "lua5.4", "sqlite3", "xz-utils", "zstd", "openssl",
            "python3-minimal")
# At full size alone.
FURTHER = ("bc", "diffutils", "gawk", "git", "jq", "mawk", "perl", "rsync")
NAME = os.path.splitext(os.path.basename(sys.argv[0]))[0]    # of the test: storm.py uses this too
TREE = os.path.join(BUILD, f"{NAME}-tree")   # the packages, unpacked
LIBRARIES = ":".join(f"{TREE}{part}/x86_64-linux-gnu" for part in ("/lib", "/usr/lib"))
LOADER = f"{TREE}/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
WORK = os.path.join(BUILD, f"{NAME}-work")   # the host's working directory
SCRIPTS = os.path.join(HERE, "debian")     # PACKAGE.commands and the files they use
TABLE = os.path.join(ROOT, "docs", "reference", "programs.md")
SEPARATOR = "---isthmus-command-"
ROWS = 100000
PREPARE = "mkdir part; split -b 4000 in part/\n"     # for coreutils' commands
BUSYBOX = "/bin/busybox"                     # Debian's busybox-static, the one of the image
APPLETS_MIN = 60
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC0", "TERM": "vt100", "HOME": "/",
               "OPENSSL_CONF": "/dev/null"}
# In `make test` the commands of each package at these places; all with ISTHMUS_LONG=1.
SHORT = {"busybox": slice(None), "coreutils": slice(0, None, 4), "bash": slice(1),
         "lua5.4": slice(1), "sqlite3": slice(1), "xz-utils": slice(1), "zstd": slice(1, 2),
         "openssl": slice(2, 4), "python3-minimal": slice(1, 2)}


def commands_read(package):
    """The commands of a package: one a line, a line's last backslash goes on in the next."""
    with open(os.path.join(SCRIPTS, package + ".commands"), encoding="utf-8") as file:
        text = re.sub(r"\\\n *", "", file.read())
    return text.splitlines()


COMMANDS = {package: commands_read(package) for package in (*SHORT, *FURTHER)}


class Host:
    """The unpacked packages on this machine, each program run by their own loader."""

    def __init__(self, packages=PACKAGES):
        self.bin = os.path.join(BUILD, f"{NAME}-bin")
        for path in (TREE, self.bin, WORK):
            shutil.rmtree(path, ignore_errors=True)
            os.makedirs(path)
        for path in deb.fetch(packages, deb_cache(DEB_CACHES)):
            subprocess.run(["dpkg-deb", "-x", path, TREE], check=True)
        for directory in ("/usr/bin", "/bin"):
            for name in os.listdir(TREE + directory):
                path = os.path.realpath(f"{TREE}{directory}/{name}")
                if os.access(path, os.X_OK) and self.is_elf(path):
                    self.add(name, f"{LOADER} --library-path {LIBRARIES} --argv0 {name} {path}")

        self.add("busybox", BUSYBOX)

    def add(self, name, words):
        """A command for run()."""
        with open(f"{self.bin}/{name}", "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\nexec {words} \"$@\"\n")
        os.chmod(f"{self.bin}/{name}", 0o755)

    @staticmethod
    def is_elf(path):
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"

    def run(self, text, directory):
        """What bash of the packages prints for a script, errors too."""
        done = subprocess.run([f"{self.bin}/bash", "-c", text], cwd=directory, check=False,
                              env={**ENVIRONMENT, "PATH": self.bin, "PYTHONHOME": TREE + "/usr"},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        return done.stdout.decode(errors="replace")


def inputs_make():
    """The files that the commands use, by name."""
    files = {name: os.path.join(SCRIPTS, name) for name in os.listdir(SCRIPTS)
             if name != "table.sql" and not name.endswith(".commands")}
    files["in"] = input_file(400000)
    files["small"] = input_file(2000)
    files["libc"] = f"{TREE}/lib/x86_64-linux-gnu/libc.so.6"
    with open(os.path.join(SCRIPTS, "table.sql"), encoding="ascii") as file:
        text = file.read().replace("@ROWS@", str(ROWS))
    files["table.sql"] = os.path.join(BUILD, f"{NAME}-table.sql")
    with open(files["table.sql"], "w", encoding="ascii") as file:
        file.write(text)
    return files


def keys_make(host):
    """Keys for openssl's commands, as inputs_make has the others."""
    keys = os.path.join(BUILD, "debian-keys")
    os.makedirs(keys, exist_ok=True)
    host.run("[ -f ed.pub ] || { openssl genpkey -algorithm rsa -out rsa.pem; "
             "openssl pkey -in rsa.pem -pubout -out rsa.pub; openssl genpkey -algorithm ed25519 "
             "-out ed.pem; openssl pkey -in ed.pem -pubout -out ed.pub; }", keys)
    return {name: os.path.join(keys, name)
            for name in ("rsa.pem", "rsa.pub", "ed.pem", "ed.pub")}


def script(commands):
    """One script of all commands: each one's output between separators, with its status."""
    return "".join(f"echo '{SEPARATOR}{i}'\n({command}\n) 2>&1; echo \"status $?\"\n"
                   for i, command in enumerate(commands))


def outputs(text):
    """The output of each command."""
    found = {}
    for part in text.split(SEPARATOR)[1:]:
        number, _, rest = part.partition("\n")
        found[int(number)] = rest
    return found


def node_words(files, command, *options, packages=PACKAGES):
    """The words of ./isthmus that run a bash script in /w with those files."""
    words = [os.path.join(ROOT, "isthmus"), "run", "--timeout", LIMIT, *options]
    for name, path in sorted(files.items()):
        words += ["--add", f"{path}:/w/{name}"]
    for package in packages:
        words += ["--deb", package]
    text = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    return [*words, "--add", f"{command}:/w.sh", "--", f"cd /w && {text} /bin/bash /w.sh"]


def selection():
    """The commands of this run: (package, command)."""
    pairs = [(package, command) for package, commands in COMMANDS.items()
             for command in (commands if LONG else commands[SHORT.get(package, slice(0))])]
    return [pair for pair in pairs if not ONLY or any(text in pair[1] for text in ONLY)]


def table_check(tap):
    """Each package of the page that says "runs" is one of the tests, and the other way round."""
    with open(TABLE, encoding="utf-8") as file:
        runs = set(re.findall(r"^\| ([a-z0-9.+-]+) \| runs \|", file.read(), re.MULTILINE))
    tap.equal(sorted(runs & set(COMMANDS)), sorted(COMMANDS), "docs/reference/programs.md lists "
              "the packages of this test as running")


def applets_check(tap):
    """The commands of busybox name enough applets, each of them one that it has."""
    known = subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, check=True, text=True)
    named = set(re.findall(r"busybox (\[|[a-z][a-z0-9]*)", "\n".join(COMMANDS["busybox"])))
    good = named & set(known.stdout.split())
    tap.result(named == good and len(good) >= APPLETS_MIN, f"busybox: {len(good)} applets",
               f"unknown: {sorted(named - good)}")


def main():
    tap = Tap()
    table_check(tap)
    applets_check(tap)
    packages = PACKAGES + FURTHER if LONG else PACKAGES
    host = Host(packages)
    files = inputs_make() | keys_make(host)
    commands = selection()
    for name, path in files.items():
        shutil.copy(path, f"{WORK}/{name}")
    text = PREPARE + script([command for _, command in commands])
    path = os.path.join(BUILD, "debian.sh")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    wanted = outputs(host.run(text, WORK))
    words = node_words(files, path, "--nodes", "1", "--mem", "512M" if LONG else "256M",
                       "--logs", os.path.join(BUILD, "logs-debian"), packages=packages)
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    tap.result(done.returncode == 0, "the commands ran to their end",
               done.stderr.decode(errors="replace"))
    got = outputs(done.stdout.decode(errors="replace"))
    for i, (package, command) in enumerate(commands):
        tap.equal(got.get(i), wanted.get(i, "no output on the host"), f"{package}: {command[:90]}")
    tap.end()


if __name__ == "__main__":
    sys.exit(main())
