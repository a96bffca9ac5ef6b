#!/usr/bin/env python3
"""User programs on a node: busybox commands whose output must equal that of the host's
busybox, and tests/system/prog/calls.c built by musl, glibc and as a static PIE. Prints TAP.
"""
import os
import subprocess
import sys

from rig import Tap

BUILD = "build/system"
TIMEOUT_S = 900                      # a hang detector
INPUT_BYTES = 2 << 20

# Each runs by sh -c on both sides with /tmp/in the same file.
COMMANDS = [
    "echo hi | wc", "echo a b c | tr ' ' '\\n' | sort -r", "seq 1 5000 | sha256sum",
    "cat /tmp/in | sha256sum", "sha256sum < /tmp/in", "gzip -c /tmp/in | gunzip | sha256sum",
    "gzip -1 < /tmp/in | sha256sum", "head -c 100000 /tmp/in | wc -c", "wc /tmp/in",
    "grep -c 7 /tmp/in", "sed -n '5,9p' /tmp/in | cut -c1-20", "sort /tmp/in | head -3 | md5sum",
    "tail -n 3 /tmp/in | cut -c1-30",
    "mkdir -p /tmp/d/e && ls /tmp/d && rm -r /tmp/d && ls -d /tmp/d",
    "cp /tmp/in /tmp/in2 && cmp /tmp/in /tmp/in2 && rm /tmp/in2; echo $?",
    "echo x > /tmp/r; echo y >> /tmp/r; cat < /tmp/r; mv /tmp/r /tmp/q; cat /tmp/q; rm /tmp/q",
    "ln -s in /tmp/link; readlink /tmp/link; head -c 10 /tmp/link | wc -c; rm /tmp/link",
    "for i in 1 2 3; do (exit $i) & done; wait; echo done", "sleep 0 & wait $!; echo $?",
    "sleep 60 & kill $!; wait $!; echo $?", "true && echo t || echo f; false && echo t || echo f",
    "printf '%05d %x\\n' 42 255", "test -d /tmp && echo dir; test -e /tmp/none || echo none",
    "find /tmp -name in", "date -u -d @0", "env -i A=1 env",
    "dd if=/tmp/in bs=64k 2>/dev/null | md5sum",
    "dd if=/dev/zero bs=1M count=3 2>/dev/null | sha256sum", "yes | head -n 3", "expr 6 '*' 7",
    "cd /tmp; pwd; cd /; pwd", "nosuchcommand 2>/dev/null; echo $?", "set -- a b; echo $# $2",
    "echo $(echo nested $(echo deep))", "cat /nonexistent 2>/dev/null; echo $?",
    "sh -c 'exit 9'; echo $?",
    "seq 1 100 | while read a; do echo $a; done | tail -n 1",
    "sh -c 'trap \"echo trapped\" USR1; kill -USR1 $$; echo after'",
    "ls /tmp | grep '^in$'", "touch /tmp/t; test -f /tmp/t && rm /tmp/t && echo gone", "id -u",
    "basename /a/b.c .c",
]
SEPARATOR = "---isthmus-test-"


def build_programs():
    os.makedirs(BUILD, exist_ok=True)
    kinds = {"musl": ["musl-gcc", "-static"], "glibc": ["gcc", "-static"],
             "static-pie": ["gcc", "-static-pie", "-fPIE"]}
    for kind, command in kinds.items():
        subprocess.run(command + ["-std=gnu11", "-O1", "-D_GNU_SOURCE", "-o",
                                  f"{BUILD}/calls-{kind}", "tests/system/prog/calls.c"], check=True)
    return list(kinds)


def write_input():
    """Text of pseudo-random numbers, the same every time."""
    value, lines, size = 12345, [], 0
    while size < INPUT_BYTES:
        value = (value * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        lines.append(f"{value:020d} {value % 977} line\n")
        size += len(lines[-1])
    with open(f"{BUILD}/in", "w") as file:
        file.write("".join(lines))


def script(commands):
    return "".join(f"echo {SEPARATOR}{i}\n( {c}\n)\n" for i, c in enumerate(commands))


def split(output):
    parts = output.split(SEPARATOR)[1:]
    return {int(p.split("\n", 1)[0]): p.split("\n", 1)[1] if "\n" in p else "" for p in parts}


def node_run(smp, command, files):
    adds = [word for file, path in files for word in ("--add", f"{file}:{path}")]
    done = subprocess.run(["./isthmus", "run", "--nodes", "1", "--smp", str(smp), "--timeout",
                           str(TIMEOUT_S), *adds, "--logs", f"{BUILD}/logs", "--", command],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
                          errors="replace")
    return done.returncode, done.stdout, done.stderr


def host_outputs(commands):
    """The same commands by the host's busybox, in a directory that stands for /tmp."""
    top = os.path.abspath(f"{BUILD}/host-tmp")
    subprocess.run(["rm", "-rf", top], check=True)
    os.makedirs(top)
    subprocess.run(["cp", f"{BUILD}/in", top], check=True)
    text = script(commands)
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c",
                           f"mount --bind {top} /tmp && exec busybox sh -c \"$SCRIPT\""],
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SCRIPT": text,
                               "HOME": "/root"},
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if done.returncode == 0:
        return done.stdout.decode(errors="replace")
    # No mount name space here: use the path itself, and put its name back in the output.
    text = text.replace("/tmp", top)
    done = subprocess.run(["busybox", "sh", "-c", text], stdout=subprocess.PIPE, cwd=top,
                          stderr=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", "HOME": "/root"})
    return done.stdout.decode(errors="replace").replace(top, "/tmp")


def test_commands(tap, smp, commands):
    code, out, err = node_run(smp, script(commands), [(f"{BUILD}/in", "/tmp/in")])
    tap.result(code == 0, f"smp {smp}: the script ran to its end", f"exit {code}\n{err}")
    got, want = split(out), split(host_outputs(commands))
    for i, command in enumerate(commands):
        good = i in got and got[i] == want.get(i)
        tap.result(good, f"smp {smp}: {command}", f"want {want.get(i)!r}\ngot {got.get(i)!r}")


def test_calls(tap, smp, kinds):
    files = [(f"{BUILD}/calls-{kind}", f"/bin/calls-{kind}") for kind in kinds]
    command = "; ".join(f"echo {SEPARATOR}{i}; calls-{kind}; echo status $?"
                        for i, kind in enumerate(kinds))
    code, out, err = node_run(smp, command, files)
    parts = split(out)
    for i, kind in enumerate(kinds):
        text = parts.get(i, "")
        tap.result("status 0" in text, f"smp {smp}: {kind}: the program ended well", text + err)
        for line in text.splitlines():
            if line.startswith(("ok ", "FAIL ")):
                tap.result(line.startswith("ok "), f"smp {smp}: {kind}: {line.split(' ', 1)[1]}")


def test_frames(tap, smp):
    """Three hundred processes leave no frame behind."""
    loop = "i=0; while [ $i -lt 100 ]; do echo $i | cat | wc -c > /tmp/n; i=$((i+1)); done"
    free = "grep MemFree /proc/meminfo | tr -dc 0-9; echo"
    code, out, err = node_run(smp, f"{loop}; {free}; {loop}; {loop}; {free}", [])
    numbers = [int(word) for word in out.split()]
    good = code == 0 and len(numbers) == 2 and numbers[1] >= numbers[0] - 64
    tap.result(good, f"smp {smp}: 600 processes leave no frame behind", f"{out}\n{err}")


def main():
    subprocess.run(["make", "iso"], check=True, stdout=subprocess.DEVNULL)
    tap = Tap()
    kinds = build_programs()
    write_input()
    test_commands(tap, 1, COMMANDS)
    test_calls(tap, 1, kinds)
    test_commands(tap, 2, COMMANDS[:3] + COMMANDS[17:21])
    test_calls(tap, 2, kinds[:1])
    test_frames(tap, 1)
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
