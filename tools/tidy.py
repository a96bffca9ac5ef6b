#!/usr/bin/env python3
"""Style as a test: widths, banned calls, includes that point up, marks of unfinished work.

Reads the tracked and the new files of the tree and tools/deps.txt. Prints TAP, one line a
rule; a broken rule lists each place as FILE:LINE: what is wrong and what to do.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
WIDTH_MAX = 100
FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 70

# A call that is banned, where it may stand all the same, and what to use instead.
BANNED = [
    (r"\b(strcpy|strcat|sprintf|gets|alloca)\(", (), "use a bounded copy or ksnprintf"),
    (r'asm[^;]*""[^;]*"memory"', ("kernel/x86/dma.h",), "use a named barrier of kernel/x86/dma.h"),
    (r"\b(malloc|calloc|realloc|printf)\(", ("tests/", "tools/", "user/", "bench/"),
     "no libc in the kernel or in proto/"),
    (r"\b(TODO|FIXME|XXX)\b", (), "finish it, or say it in docs/STATUS.md"),
    (r"#\s*if(def|ndef)?\s+.*\bHOST\b", (), "one source for both builds: pass it in"),
]
PRIVATE = re.compile(r"/work/|farm-studio|farm-bench|\.library")


def files(*suffixes):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT,
                         capture_output=True, text=True, check=True).stdout.split("\n")
    return [name for name in out if name.endswith(suffixes) and (ROOT / name).is_file()]


def lines_of(name):
    return (ROOT / name).read_text(encoding="utf-8").split("\n")


def check_width():
    for name in files(".c", ".h", ".S", ".py"):
        for number, line in enumerate(lines_of(name), 1):
            if len(line) > WIDTH_MAX:
                yield f"{name}:{number}: {len(line)} columns, at most {WIDTH_MAX}"
            if "\t" in line and not name.endswith(".S"):
                yield f"{name}:{number}: a tab; use four spaces"
            if line != line.rstrip():
                yield f"{name}:{number}: trailing blanks"


def check_banned():
    for name in files(".c", ".h"):
        for number, line in enumerate(lines_of(name), 1):
            code = line.split("//")[0] if "TODO" not in line else line
            for pattern, allowed, instead in BANNED:
                if re.search(pattern, code) and not name.startswith(allowed or ("\0",)):
                    yield f"{name}:{number}: {line.strip()[:60]}: {instead}"


def check_private():
    for name in files(".c", ".h", ".S", ".py", ".md", ".mk", ".sh", "isthmus", "Makefile"):
        if name == "tools/tidy.py":
            continue
        for number, line in enumerate(lines_of(name), 1):
            if PRIVATE.search(line):
                yield f"{name}:{number}: a path or tool of one machine"


def dependencies():
    table = {}
    for line in lines_of("tools/deps.txt"):
        line = line.split("#")[0].strip()
        if line:
            folder, _, allowed = line.partition(":")
            table[folder.strip()] = allowed.split()
    return table


def under(path, prefix):
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")


def check_includes():
    table = dependencies()
    unused = {(folder, allowed) for folder in table for allowed in table[folder]
              if allowed not in ("base", folder)}
    for name in files(".c", ".h"):
        folder = max((f for f in table if under(name, f)), key=len, default=None)
        if folder is None:
            yield f"{name}: its folder is not in tools/deps.txt"
            continue
        own = str(pathlib.PurePosixPath(name).parent)
        for number, line in enumerate(lines_of(name), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found:
                continue
            target = found.group(1)
            if "/" not in target:
                target = f"{own}/{target}"
            unused -= {(folder, a) for a in table[folder] if under(target, a)}
            if not any(under(target, a) for a in table[folder] + [own]):
                yield f"{name}:{number}: may not include {target} (tools/deps.txt, {folder})"
    for folder, allowed in sorted(unused):
        yield f"tools/deps.txt: {folder}: nothing there includes {allowed}; take it out"


def check_headers():
    for name in files(".h"):
        if not any(line.strip() == "#pragma once" for line in lines_of(name)):
            yield f"{name}: no #pragma once"
    for name in files(".c"):
        if not lines_of(name)[0].startswith("//"):
            yield f"{name}:1: open the file with what it owns, who calls it, which lock"


def functions(name):
    """(name line, length) of each function body: from the name to the closing brace."""
    start = None
    for number, line in enumerate(lines_of(name), 1):
        if start is None and re.match(r"[A-Za-z_].*\(", line) and not line.rstrip().endswith(";"):
            start = number
        elif line.startswith("}") and start is not None:
            yield start, number - start + 1
            start = None
        elif line.rstrip().endswith(";") and start is not None and not line.startswith(" "):
            start = None


def check_sizes():
    for name in files(".c", ".h", ".S", ".py"):
        lines = lines_of(name)
        if len(lines) > FILE_LINES_MAX and not any("tidy: long" in line for line in lines[:15]):
            yield f"{name}: {len(lines)} lines; split it or say why (`tidy: long, because ...`)"
    for name in files(".c"):
        lines = lines_of(name)
        for start, length in functions(name):
            around = lines[max(0, start - 25):start]
            if length > FUNCTION_LINES_MAX and not any("tidy: long" in line for line in around):
                yield f"{name}:{start}: {length} lines in one function; split it or say why"


NAMED_PATH = re.compile(r"(?<![\w/.-])((?:kernel|proto|mm|sched|drivers|user|tests|tools|base|abi|"
                        r"bench|docs|grub)/[\w./-]*\w\.(?:c|h|S|py|md|sh|mk|txt|tbl))\b")
NAMED_FUNCTION = re.compile(r"`(?:[\w/]+/)?(\w+\.[cS]):\s+(\w+)`")


def check_named():
    """What a comment or a page names is there: files, and in pages `file.c: function`."""
    here = files("")
    for name in files(".c", ".h", ".S", ".py", ".mk", ".md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for found in NAMED_PATH.finditer(text):
            path = found.group(1)
            if path not in here and not re.search(r"NAME|/x\.c$", path):
                number = text.count("\n", 0, found.start()) + 1
                yield f"{name}:{number}: there is no {path}"
        for found in NAMED_FUNCTION.finditer(text) if name.endswith(".md") else ():
            owners = [path for path in here if path.split("/")[-1] == found.group(1)]
            if not any(re.search(rf"\b{found.group(2)}\b", "\n".join(lines_of(path)))
                       for path in owners):
                number = text.count("\n", 0, found.start()) + 1
                yield f"{name}:{number}: no {found.group(2)} in {found.group(1)}"


def check_options():
    """Each kernel option stands in its page, and the page has no other."""
    source = "\n".join(lines_of("kernel/options.c"))
    there = set(re.findall(r'^    \{"([a-z.0-9]+)",', source, re.M))
    text = "\n".join(lines_of("docs/reference/options.md"))
    page = set(re.findall(r"^\| `([a-z.0-9]+)` \|", text, re.M))
    for name in sorted(there ^ page):
        yield f"docs/reference/options.md: {name}: " + (
            "is missing" if name in there else "is no option of kernel/options.c")


RULES = [("lines are narrow and clean", check_width), ("no banned call", check_banned),
         ("nothing names one machine", check_private), ("includes point down", check_includes),
         ("headers and file heads", check_headers), ("files and functions are short", check_sizes),
         ("what comments and pages name is there", check_named),
         ("every kernel option is in its page", check_options)]


def main():
    failed = 0
    for number, (title, rule) in enumerate(RULES, 1):
        found = list(rule())
        print(f"{'not ok' if found else 'ok'} {number} - {title}")
        for place in found:
            print(f"#   {place}")
        failed += bool(found)
    print(f"1..{len(RULES)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
