#!/usr/bin/env python3
"""ext4 file systems made by the host's mkfs.ext4 on drives of two nodes, served by ext4d:
read from both nodes, changed from both as the same commands change a copy on the host, then
compared by the host's e2fsck and debugfs. Copies between drives, a killed server, a full
drive, corrupted images, a server that moves. Prints TAP."""
import hashlib
import os
import random
import shutil
import subprocess

os.environ.setdefault("ISTHMUS_LIMIT", "1100")   # a hang detector, seconds; many small files
import rig  # noqa: E402

DIR = os.path.join(rig.BUILD, "ext4")
SOURCES = ("/usr/share/perl5", "/usr/share/perl", "/usr/include/linux", "/usr/include/asm-generic")
MORE = ("/usr/include/x86_64-linux-gnu", "/usr/lib/python3", "/usr/share/zoneinfo")
FILES_MIN = 2000
# What node 0 and node 1 do in the tree, one after the other; on the host the same.
CHANGES = (
    ("0", "mkdir -p new/deep/er && cp perl5/Debconf/*/* new/deep/ 2>/dev/null; "
          "for i in 1 2 3 4 5 6 7 8 9; do echo line $i of many >> new/lines; done; true"),
    ("1", "mv perl5 moved && mv moved/Debconf new/ && mv linux/a*.h new/deep/er/ && "
          "mv new/lines new/deep/er/other-lines"),
    ("0", "rm -r linux/can linux/byteorder && rm linux/b*.h && rmdir asm-generic 2>/dev/null; "
          "true"),
    ("1", "for f in linux/n*.h; do truncate -s 100 $f; done; truncate -s 70000 linux/if.h && "
          "truncate -s 5000 linux/if.h && truncate -s 100000 linux/if.h"),
    ("0", "ln linux/if.h hard && ln -s ../linux/if.h new/soft && chmod 640 hard && "
          "ln -s /a/long/target/" + "x" * 90 + " new/longlink && "
          "touch -d '2020-01-02 03:04:05' hard"),
    ("1", "n=new/deep/a-rather-long-name-of-number; i=0; while [ $i -lt 300 ]; do "
          "echo file $i > $n-$i; i=$((i+1)); done; i=0; while [ $i -lt 300 ]; do rm $n-$i; "
          "i=$((i+3)); done"),
    ("0", "dd if=/dev/zero bs=1000 count=700 2>/dev/null | tr '\\0' q > new/q && "
          "dd if=new/q of=new/sparse bs=1000 seek=3000 count=2 2>/dev/null && "
          "dd if=new/sparse of=new/q bs=999 seek=11 count=5 conv=notrunc 2>/dev/null"),
    ("1", "mv new/q new/deep/er/other-lines; cat hard >> new/sparse; mv new/deep/er new/er; "
          "mv -T new/er moved/er"),
)


def host(words, **how):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **how)


def image_make(name, size_mib, tree=None, options=()):
    path = os.path.join(DIR, name + ".img")
    if os.path.exists(path):
        os.remove(path)
    words = ["mkfs.ext4", "-q", *options, *(["-d", tree] if tree else []), path, f"{size_mib}M"]
    done = host(words)
    assert done.returncode == 0, done.stdout.decode()
    return path


def tree_make():
    tree = os.path.join(DIR, "tree")
    shutil.rmtree(DIR, ignore_errors=True)
    os.makedirs(tree)
    for source in SOURCES + MORE:
        if source in MORE and len(names_of(tree)) >= FILES_MIN:
            break
        if os.path.isdir(source):
            shutil.copytree(source, os.path.join(tree, os.path.basename(source)), symlinks=True)
    return tree


def names_of(tree):
    """All regular files, sorted as busybox sorts: by byte."""
    found = []
    for at, _, files in os.walk(tree):
        for name in files:
            path = os.path.join(at, name)
            if not os.path.islink(path):
                found.append("." + path[len(tree):])
    return sorted(found, key=os.fsencode)


def sums_of(tree):
    """What `find . -type f | sort | xargs sha256sum | sha256sum` prints."""
    total = hashlib.sha256()
    for name in names_of(tree):
        with open(os.path.join(tree, name), "rb") as file:
            total.update(f"{hashlib.sha256(file.read()).hexdigest()}  {name}\n".encode())
    return total.hexdigest() + "  -\n"


def stats_of(tree):
    total = hashlib.sha256()
    for name in names_of(tree):
        s = os.stat(os.path.join(tree, name))
        total.update(f"{name} {s.st_mode & 0o7777:o} {s.st_size} {s.st_nlink} {int(s.st_mtime)}\n"
                     .encode())
    return total.hexdigest() + "  -\n"


# server NAME: the process that serves /mnt/NAME.
SERVER = r"""
server() {
    for p in $(pidof ext4d); do
        tr '\0' ' ' < /proc/$p/cmdline | grep -q "/mnt/$1 " && echo $p
    done
}
"""
# Reads names and sums, hands them on, and moves process P whenever so many have come.
MOVER = SERVER + r"""
mover() {
    awk -v p=$(server b) '
        function go(to) { n += system("migrate " p " " to) == 0 }
        { print; fflush() }
        NR % 400 == 200 { go(1) }
        NR % 400 == 260 { go(0) }
        END { print n > "/tmp/moves" }'
}
"""
SUMS_MOVED = "find . -type f | sort | xargs sha256sum | mover | sha256sum"
SUMS = "find . -type f | sort | xargs sha256sum | sha256sum"
STATS = "find . -type f | sort | xargs stat -c '%n %a %s %h %Y' | sha256sum"


def shape_of(tree):
    """Everything below a directory that must come out the same: names, kinds, bytes."""
    shape = {}
    for at, dirs, files in os.walk(tree):
        for name in dirs + files:
            path = os.path.join(at, name)
            key = path[len(tree) + 1:]
            if key.split("/")[0] == "lost+found":
                continue
            mode = os.lstat(path).st_mode & 0o7777
            if os.path.islink(path):
                shape[key] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                shape[key] = ("dir", mode)
            else:
                with open(path, "rb") as file:
                    shape[key] = ("file", mode, hashlib.sha256(file.read()).hexdigest())
    return shape


def check_image(tap, name, path, tree=None):
    done = host(["e2fsck", "-fn", path])
    tap.result(done.returncode == 0, f"host: e2fsck -fn finds {name} clean", done.stdout.decode())
    if tree is None:
        return
    out = os.path.join(DIR, "dump-" + name)
    os.makedirs(out)
    host(["debugfs", "-R", f"rdump / {out}", path])
    want, got = shape_of(tree), shape_of(out)
    wrong = sorted(k for k in set(want) | set(got) if want.get(k) != got.get(k))
    tap.result(not wrong, f"host: debugfs finds in {name} what the host's own copy has",
               "\n".join(f"{k}: want {want.get(k)}, got {got.get(k)}" for k in wrong[:10]))


def steps_read(run, tree, stats):
    run.step("mount", "mount -t ext4 /nodes/1/dev/nvme0n1 /mnt/b && ls /mnt", "b\n")
    run.step("a recursive checksum from node 0 equals the host's", "cd /mnt/b && " + SUMS,
             sums_of(tree))
    run.step("modes, sizes, links and times as well", "cd /mnt/b && " + STATS, stats)
    run.step("from node 1, where the drive is", f"on 1 sh -c 'cd /mnt/b/perl5 && {SUMS}'",
             sums_of(os.path.join(tree, "perl5")))
    run.step("the server on node 0 reads node 1's drive one-sided", ONE_SIDED,
             is_one_sided(os.path.join(tree, "perl5")))
    run.step("a second claim of the drive is refused",
             "ext4d /nodes/1/dev/nvme0n1 /mnt/c 2>&1 | grep -c 'in use'; "
             "on 1 ext4d /nodes/1/dev/nvme0n1 /mnt/c 2>&1 | grep -c 'in use'", "1\n1\n")


def is_one_sided(folder):
    """Read again, what the drive's node has in its cache costs a READ or more for each file that
    is not empty, and no messages: figures of ONE_SIDED before and after."""
    files = sum(os.path.getsize(os.path.join(path, name)) != 0
                for path, _, names in os.walk(folder) for name in names
                if not os.path.islink(os.path.join(path, name)))

    def check(output, status):
        before, after = ([int(word) for word in line.split()] for line in output.splitlines())
        hits, messages = after[0] - before[0], after[1] - before[1]
        return status == 0 and hits >= files > 0 and messages * 10 <= hits
    return check


ONE_SIDED = r"""
figures() {
    for name in drive_remote_hits bulk_out; do
        grep "^$name:" /nodes/0/status | tr -dc '0-9\n'
    done | tr '\n' ' '
    echo
}
cd /mnt/b/perl5 && find . -type f | xargs cat > /dev/null && figures
find . -type f | xargs cat > /dev/null && figures
"""


def steps_change(run, tree):
    for i, (node, command) in enumerate(CHANGES):
        quoted = command.replace("'", "'\\''")
        on = "on 1 " if node == "1" else ""
        run.step(f"change {i} from node {node}", f"{on}sh -c 'cd /mnt/b && {{ {quoted}\n}}'", "")
        done = host(["busybox", "sh", "-c", f"cd {tree} && {{ {command}\n}}"])
        assert done.returncode == 0, (command, done.stdout)
    run.step("what node 1 has changed, node 0 sees at once: all of it, while the server moves to "
             "its drive's node and back again and again",
             MOVER + f"cd /mnt/b && {SUMS_MOVED}", sums_of(tree))
    run.step("it has moved each time", "cat /tmp/moves",
             lambda out, status: status == 0 and int(out) >= 6)


def steps_copy(run, tree):
    run.step("another file system on node 0's drive, mounted by node 1",
             "on 1 mount -t ext4 /nodes/0/dev/nvme0n1 /mnt/a && ls /mnt | sort | tr '\\n' ' '",
             "a b ")
    sums = "find moved new -type f | sort | xargs sha256sum | sha256sum"
    run.step("a copy from node 1's drive to node 0's",
             f"cp -r /mnt/b/moved /mnt/b/new /mnt/a/ && cd /mnt/a && {sums} > /tmp/a && "
             f"cd /mnt/b && {sums} | cmp - /tmp/a", "")
    run.step("a move between them is a copy", "mv /mnt/a/new/soft /mnt/b/soft2 && "
             "readlink /mnt/b/soft2 && rm /mnt/b/soft2", "../linux/if.h\n")
    run.step("a program runs from it",
             "cp /bin/busybox /mnt/a/ && /mnt/a/busybox echo here; on 1 /mnt/a/busybox echo there; "
             "rm /mnt/a/busybox", "here\nthere\n")


def steps_server(run):
    sums = SUMS.replace("find .", "find asm-generic")
    run.step("what is read from the drive's node is the same",
             SERVER + f"p=$(server b); cd /mnt/b; {sums} > /tmp/m0; migrate $p 1; "
             f"{sums} | cmp - /tmp/m0; cat /proc/$p/node; migrate $p 0", "1\n")
    run.step("a killed server: EIO on both nodes, and for what was open",
             SERVER + "echo precious | dd of=/mnt/b/p conv=fsync 2>/dev/null; exec 5< /mnt/b/p; "
             "kill -9 $(server b); cat <&5 2>&1 | "
             "grep -c 'I/O error\\|Input/output'; on 1 ls /mnt/b 2>&1 | "
             "grep -c 'I/O error\\|Input/output'",
             "1\n1\n")
    run.step("it is mounted again, without -t, checked first",
             "mount /nodes/1/dev/nvme0n1 /mnt/b 2>&1 | grep -c 'checking it'; "
             "cat /mnt/b/p; rm /mnt/b/p", "1\nprecious\n")


def steps_full(run):
    run.step("a full drive: ENOSPC", "mount -t ext4 /nodes/0/dev/vda /mnt/full && "
             "dd if=/dev/zero of=/mnt/full/x bs=65536 2>&1 | grep -c 'No space left'; "
             "echo more 2>/dev/null > /mnt/full/y; mkdir /mnt/full/d 2>&1 | grep -c 'No space'; "
             "df /mnt/full | tail -n 1 | awk '{print $4}'", "1\n1\n0\n")
    run.step("its server moves to another node for the first time, and reads one-sided there",
             SERVER + "hits() { grep ^drive_remote_hits: /nodes/1/status | tr -dc '0-9\\n'; }\n"
             "was=$(hits); p=$(server full); migrate $p 1; wc -c < /mnt/full/x; "
             "echo $(($(hits) - was)); migrate $p 0",
             lambda out, status: status == 0 and int(out.split()[1]) * 50000
             >= int(out.split()[0]) // 2 > 1 << 20)
    run.step("and room again", "rm /mnt/full/x && echo fits > /mnt/full/z && cat /mnt/full/z && "
             "umount /mnt/full", "fits\n")


def steps_corrupt(run):
    run.step("no file system at all is refused with a reason",
             "ext4d /nodes/1/dev/vda /mnt/c 2>&1 | grep -c 'no ext4'; ls /mnt | grep -c '^c'",
             lambda out, status: out == "1\n0\n")
    run.step("a broken one: an error or files, and nothing else is harmed",
             "ext4d -r /nodes/1/dev/vdb /mnt/c 2>&1 | head -n 3; "
             "find /mnt/c -type f 2>/dev/null | xargs cat 2>&1 >/dev/null | tail -n 1; "
             "umount -f /mnt/c 2>/dev/null; ls /mnt/b > /dev/null && echo well; "
             "grep -c . /nodes/members",
             lambda out, status: out.endswith("well\n1\n"))


def main():
    tap = rig.Tap()
    tree = tree_make()
    tap.result(len(names_of(tree)) >= FILES_MIN, f"at least {FILES_MIN} files of this machine",
               str(len(names_of(tree))))
    stats = stats_of(tree)
    images = {"b": image_make("b", 192, tree), "a": image_make("a", 96, None, ("-b", "1024")),
              "full": image_make("full", 6, None, ("-b", "1024")),
              "broken": image_make("broken", 32, os.path.join(tree, "perl5"))}
    with open(os.path.join(DIR, "none.img"), "wb") as file:
        file.write(random.Random(1).randbytes(1 << 20))
    with open(images["broken"], "r+b") as file:
        rng = random.Random(2)
        for _ in range(20000):
            file.seek(4096 + rng.randrange(12 << 20))
            file.write(bytes([rng.randrange(256)]))
    disks = []
    for where in (f"0:{images['a']}:nvme", f"0:{images['full']}:virtio", f"1:{images['b']}:nvme",
                  f"1:{DIR}/none.img:virtio", f"1:{images['broken']}:virtio"):
        disks += ["--disk", where]
    run = rig.Run(tap, "ext4", extra=disks)
    steps_read(run, tree, stats)
    steps_change(run, tree)
    steps_copy(run, tree)
    steps_server(run)
    steps_full(run)
    steps_corrupt(run)
    run.step("all are unmounted, from the other node", "on 1 umount /mnt/b && umount /mnt/a && "
             "ls /mnt; pidof ext4d", lambda out, status: out == "")
    text = run.go()
    tap.result("PANIC" not in text, "no panic", text[-2000:])
    check_image(tap, "b", images["b"], tree)
    copy = os.path.join(DIR, "copy")
    for name in ("moved", "new"):
        shutil.copytree(os.path.join(tree, name), os.path.join(copy, name), symlinks=True)
    os.remove(os.path.join(copy, "new", "soft"))
    check_image(tap, "a", images["a"], copy)
    check_image(tap, "full", images["full"])
    tap.end()


if __name__ == "__main__":
    main()
