#!/usr/bin/env python3
"""Fetches the QEMU of Debian's backports beside the installed one: qemu_backport.py BUILD_DIR

Debian 12's QEMU 7.2 emulates no x2APIC without KVM; QEMU 9 and later do. The package is
downloaded by apt into BUILD/cache, with lists of its own so that nothing of the machine's apt
changes, and unpacked in BUILD/qemu-backport. Prints the path of its qemu-system-x86_64, which
uses the installed one's libraries and firmware.
"""
import glob
import os
import subprocess
import sys

SOURCE = """Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
PACKAGE = "qemu-system-x86"


def package_fetch(cache):
    """Path of the .deb in the cache; downloads it if it is not there."""
    pattern = os.path.join(cache, PACKAGE + "_*bpo12*.deb")
    if not glob.glob(pattern):
        state = os.path.join(cache, "backports")
        for part in ("lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(state, part), exist_ok=True)
        sources = os.path.join(state, "backports.sources")
        with open(sources, "w", encoding="ascii") as file:
            file.write(SOURCE)
        apt = ["apt-get", "-qq", "-o", f"Dir::Etc::sourcelist={sources}",
               "-o", "Dir::Etc::sourceparts=/dev/null", "-o", f"Dir::State::lists={state}/lists",
               "-o", f"Dir::Cache={state}/cache"]
        if os.geteuid() == 0:
            apt += ["-o", "APT::Sandbox::User=root"]
        print(f"downloading {PACKAGE} of bookworm-backports (10 MB)", file=sys.stderr, flush=True)
        subprocess.run([*apt, "update"], check=True, stdout=sys.stderr)
        subprocess.run([*apt, "download", PACKAGE], cwd=cache, check=True, stdout=sys.stderr)
    return sorted(glob.glob(pattern))[-1]


def fetch(build):
    """Path of its qemu-system-x86_64."""
    cache, out = os.path.join(build, "cache"), os.path.join(build, "qemu-backport")
    os.makedirs(cache, exist_ok=True)
    binary = os.path.join(out, "usr/bin/qemu-system-x86_64")
    if not os.path.exists(binary):
        subprocess.run(["dpkg", "-x", package_fetch(cache), out], check=True)
    return binary


if __name__ == "__main__":
    print(fetch(os.path.abspath(sys.argv[1])))
