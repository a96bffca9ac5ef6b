"""Debian packages for the image: `--deb PACKAGE` puts a package, with all it depends on, into
the initial files as Debian's dpkg would unpack them.

What is needed is found by apt-cache, fetched by apt-get download into BUILD/deb (once), and
taken from the .deb as it is. Maintainer scripts are not run, so packages that only they need are
left out (NOT_NEEDED), and so is what nothing but people reads (LEFT_OUT).
"""
import fcntl
import io
import json
import os
import re
import shutil
import subprocess
import tarfile

import cpio_newc

from .errors import UsageError

# What maintainer scripts alone need, and base-files, in whose place the image has its own.
NOT_NEEDED = {"awk", "base-files", "debconf", "debconf-2.0", "debianutils", "dpkg",
              "init-system-helpers", "install-info", "lsb-base", "ucf"}
# Essential packages whose files others use without naming them: terminfo.
IMPLIED = {"libtinfo6": "ncurses-base"}
LEFT_OUT = ("usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/",
            "usr/share/lintian/", "usr/share/bug/", "usr/share/doc-base/")
LINKS = {"", "usr/sbin", *cpio_newc.MERGED}      # directories there, in the image links
APT_LISTS = "/var/lib/apt/lists"
ROUNDS_MAX = 100                     # of following dependencies


def _run(words, **options):
    if not shutil.which(words[0]):
        raise UsageError(f"--deb: there is no {words[0]} here: it needs Debian's apt and dpkg")
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          **options)


def stanza_fields(text):
    """One package's fields of apt-cache show as a dict; continuation lines are dropped."""
    fields = {}
    for line in text.splitlines():
        name, colon, value = line.partition(": ")
        if colon and not line.startswith(" "):
            fields[name] = value
    return fields


def depends_parse(text):
    """The alternatives of each dependency: [["a", "b"], ["c"]]. Versions are apt's to keep:
    all packages come from one release."""
    groups = []
    for group in filter(None, (part.strip() for part in text.split(","))):
        names = [re.split(r"[ (:\[]", one.strip(), maxsplit=1)[0] for one in group.split("|")]
        groups.append([name for name in names if name])
    return groups


def apt_show(names):
    """What apt knows of these packages, newest version each: name to fields."""
    done = _run(["apt-cache", "show", "--no-all-versions", *names],
                env={**os.environ, "LC_ALL": "C"}, text=True)
    known = {}
    for stanza in done.stdout.split("\n\n"):
        fields = stanza_fields(stanza)
        if "Package" in fields:
            known.setdefault(fields["Package"], fields)
    return known


def apt_providers(name):
    """Packages that provide the virtual package `name`."""
    done = _run(["apt-cache", "showpkg", name], env={**os.environ, "LC_ALL": "C"}, text=True)
    after = done.stdout.partition("Reverse Provides:")[2]
    return sorted({line.split()[0] for line in after.splitlines() if line.strip()})


def closure(packages, show=apt_show, providers=apt_providers):
    """All that `packages` depend on and themselves: name to fields. Raises UsageError."""
    found, wanted = {}, [[name] for name in packages]
    for _ in range(ROUNDS_MAX):
        wanted = [group for group in wanted if not any(name in found for name in group)]
        if not wanted:
            return found
        known = show(sorted({name for group in wanted for name in group}))
        following = []
        for group in wanted:
            name = next((one for one in group if one in known), None)
            if name is None:
                real = [one for virtual in group for one in providers(virtual)]
                if not real:
                    raise UsageError(f"--deb {group[0]}: apt knows no such package (for new "
                                     "lists: apt-get update)")
                following.append(real[:1])
                continue
            if name in found:
                continue
            found[name] = known[name]
            if name in IMPLIED:
                following.append([IMPLIED[name]])
            for key in ("Pre-Depends", "Depends"):
                following += [names for names in depends_parse(known[name].get(key, ""))
                              if not NOT_NEEDED.intersection(names)]
        wanted = following
    raise UsageError(f"--deb {packages[0]}: its dependencies do not come to an end")


def deb_path(cache, fields):
    """Where the package's .deb lies once it has been fetched."""
    version = fields["Version"].replace(":", "%3a")
    return os.path.join(cache, f"{fields['Package']}_{version}_{fields['Architecture']}.deb")


def lists_stamp():
    """Changes whenever apt's lists do."""
    try:
        return max(entry.stat().st_mtime_ns for entry in os.scandir(APT_LISTS))
    except (OSError, ValueError):
        return 0


def download(found, cache):
    """Downloads what of `found` (name to fields) is not in `cache` yet."""
    missing = [f"{name}={fields['Version']}" for name, fields in sorted(found.items())
               if not os.path.exists(deb_path(cache, fields))]
    if not missing:
        return
    words = ["apt-get", "-qq", "download", *missing]
    if os.geteuid() == 0:
        words[1:1] = ["-o", "APT::Sandbox::User=root"]
    done = _run(words, cwd=cache, text=True)
    if done.returncode != 0:
        raise UsageError(f"--deb: apt-get download failed:\n{done.stderr.strip()}")


def fetch(packages, cache):
    """Paths of the .deb files of `packages` and what they depend on, downloaded where they are
    not in `cache` yet; apt is asked once for each state of its lists and of the names
    above. Raises UsageError."""
    os.makedirs(cache, exist_ok=True)
    known_path, key = os.path.join(cache, "closures.json"), " ".join(sorted(packages))
    with open(os.path.join(cache, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)         # two launchers at a time share the cache
        known = {}
        if os.path.exists(known_path):
            with open(known_path, encoding="utf-8") as file:
                known = json.load(file)
        state = [lists_stamp(), *sorted(NOT_NEEDED), *sorted(IMPLIED)]
        if known.get("state") != state:
            known = {"state": state}
        if key not in known:
            found = closure(packages)
            download(found, cache)
            known[key] = sorted(os.path.basename(deb_path(cache, one)) for one in found.values())
            with open(known_path, "w", encoding="utf-8") as file:
                json.dump(known, file)
    return [os.path.join(cache, name) for name in known[key]]


def archive_add(archive, path):
    """Adds a .deb's files to a cpio archive; what is there already stays."""
    done = _run(["dpkg-deb", "--fsys-tarfile", path])
    if done.returncode != 0:
        raise UsageError(f"--deb: {path}: {done.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        for entry in tar:
            name = entry.name.removeprefix("./").strip("/")
            if archive.has(name) or f"{name}/".startswith(LEFT_OUT) or name in LINKS:
                continue
            if entry.isdir():
                archive.directory(name, entry.mode & 0o7777)
            elif entry.issym():
                archive.symlink(name, entry.linkname)
            elif entry.isfile() or entry.islnk():
                archive.file(name, tar.extractfile(entry).read(), entry.mode & 0o7777,
                             entry.mtime)
