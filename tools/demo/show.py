"""Follows the lines of node.sh, prints them for people, and checks each against what the host
says. A handler a kind of line: "@moved-hash X" is on_moved_hash(X)."""
import re
import sys
import time

INDENT = "    "


class Show:
    """expected: what the host computed, by name. `kill`, `power`, `said`: what the demo does to
    the machines (a node's number), and the console lines of one node that match."""

    def __init__(self, expected, kill, power, said):
        self.expected = expected
        self.kill, self.power, self.said = kill, power, said
        self.began_s = time.monotonic()
        self.steps, self.passed, self.failures = 0, 0, []
        self.moves, self.ran, self.loads, self.lost, self.ops = {}, {}, [], {}, {}
        self.bold = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")

    def say(self, text):
        print(INDENT + text, flush=True)

    def check(self, what, good):
        self.say(f"{'✓' if good else '✗ FAILED:'} {what}")
        if good:
            self.passed += 1
        else:
            self.failures.append(f"step {self.steps}: {what}")

    def same(self, what, got, name):
        self.check(f"{what}, {got[:16]}", got == self.expected[name])

    def line(self, line):
        word, *rest = line.split(" ")
        handler = getattr(self, "on_" + word[1:].replace("-", "_"), None)
        if not word.startswith("@") or not handler:
            print(line if line.startswith(INDENT) else INDENT + line, flush=True)
            return
        try:
            handler(*rest)
        except (TypeError, ValueError):           # a figure is missing
            self.check(f"what node 0 says of it: {line!r}", False)

    def on_step(self, *words):
        self.steps += 1
        print(f"\n{self.bold[0]}{self.steps}. {' '.join(words)}{self.bold[1]}", flush=True)

    def seconds(self):
        return round(time.monotonic() - self.began_s)

    def on_failed(self, *words):
        self.check(" ".join(words), False)

    def on_members(self, node, count):
        self.check(f"node {node} sees {count} members, itself one of them", count == "4")

    def on_latency(self, name, size, count, least, typical, lost, wrong):
        self.check(f"{name:5} {size:>5} bytes: typically {typical} us, at least {least} us; "
                   f"of {count} none lost, none wrong", (lost, wrong) == ("0", "0"))

    # --- the shared queue

    def on_ran(self, job, node):
        self.ran[job] = node
        if len(self.ran) == 8:
            self.say("they ran on nodes " + " ".join(self.ran.values()))
            self.check("eight jobs ran, on several nodes", len(set(self.ran.values())) > 1)

    # --- files of another node's drive

    def on_files(self, count):
        self.check(f"{count} files, as many as on the host", count == str(self.expected["files"]))

    def on_one_sided(self, hits, misses):
        self.say(f"{hits} reads of the drive were one-sided, out of node 1's cache; {misses} asked "
                 "node 1 by a message")
        self.check("node 1's CPU had no part in most of them", int(hits) > int(misses))

    def on_tree(self, digest):
        self.same("the checksum over all of them is the host's", digest, "tree")

    def on_written(self, text):
        self.check("what node 2 writes there, node 3 reads", text == self.expected["written"])

    # --- placement

    def on_why(self, *words):
        self.check("the system moved it to node 2, where its data is",
                   " ".join(words).startswith("move to node 2"))

    def on_drive_sum(self, how, digest, ops):
        self.ops[how] = int(ops)
        self.same(f"{how}: SHA-1 of {self.expected['drive-mib']} MiB as on the host", digest,
                  "drive")
        if how == "held":
            self.check(f"{self.ops['moved']} remote operations where the system moved it, {ops} "
                       "where it was held on node 0", self.ops["moved"] < int(ops) / 2)

    def on_load(self, *counts):
        self.loads.append([int(count) for count in counts])
        self.say("programs that compute, on nodes 0 to 3:  " + "  ".join(counts))

    def on_spread_hashes(self, *hashes):
        self.check("the eight hashes are the host's", list(hashes) == self.expected["spread"])

    def on_spread_moves(self, moves, still):
        self.check(f"all four nodes took part, after {moves} moves by the system",
                   all(map(any, zip(*self.loads))) and int(moves) > 0)
        self.check("now that they have ended, nothing moves any more", still == "5")

    # --- moves by hand

    def on_moved(self, name, pid, source, target, freeze_us):
        self.moves[name] = self.moves.get(name, 0) + 1
        self.say(f"{name} ({pid}) moved from node {source} to node {target}, "
                 f"frozen for {int(freeze_us) / 1000:.1f} ms")

    def on_ended(self, name, status, on_fault, drained):
        moves = self.moves.get(name, 0)
        self.say(f"{on_fault} pages came on fault, {drained} in the background")
        self.check(f"{name} ended with status {status} after {moves} moves",
                   status == "0" and moves >= 3)

    def on_sum(self, digest):
        self.same("SHA-256 as on the host", digest, "sum")

    def on_gzip(self, digest):
        self.check("the compressed file is the host's, byte for byte",
                   digest == self.expected["gzip"])

    def on_hash(self, value):
        self.same("without moves it is the same", value, "hash")

    def on_moved_hash(self, value):
        self.same("with ten moves the hash is the host's", value, "hash")

    def on_hops(self, count):
        self.check(f"{count} moves by its own request", count == "10")

    def on_images(self, given, freed):
        self.check(f"{given} frozen images were kept, {freed} given back", given == freed)

    # --- a death

    def on_kill(self, node):
        self.say(f"node {node}'s QEMU is killed now")
        self.kill(int(node))

    def on_members_left(self, node, count):
        found = self.said(int(node), r"cluster: node 3 is down.*")
        self.check(f"node {node}: \"{found or 'nothing'}\", {count} are left",
                   found and count == "3")

    def on_lost_status(self, status):
        self.check(f"lost: who waited for sleep hears that it was killed ({status})",
                   status == "137")

    def on_pipe_ended(self, lines):
        self.check(f"lost: the shell; its pipe's reader has {lines} lines, then the end",
                   int(lines) > 0)

    def on_kept(self, status, digest):
        self.same("not lost: sha256sum, which had left in time; its sum is the host's",
                  digest if status == "0" else "ended " + status, "kept")

    def on_lost(self, pid, *words):
        self.lost[pid.rstrip(":")] = " ".join(words)
        self.say(f"/nodes/3/status: lost: {pid} {' '.join(words)}")

    def on_lost_only(self, sleeper, beater, kept):
        self.check("the records name both, and not the one that had left",
                   sleeper in self.lost and beater in self.lost and kept not in self.lost)

    def on_refused(self, what, status):
        names = {"start": "starting a program there", "open": "opening a file of it"}
        self.check(f"{names[what]} is refused, at once and by name", status not in ("", "0"))

    def on_saved(self, text):
        self.check("not lost: a file made safe by fsync before", text == self.expected["saved"])

    def on_again(self, digest):
        self.same("not lost: node 1's drive; 50 files read again, as on the host", digest,
                  "first")

    def on_power(self, node):
        self.power(int(node))

    def on_back(self, node, moves_out):
        self.check("node 3 runs programs again, and knows of no moves before its death",
                   (node, moves_out) == ("3", "0"))

    def on_umount(self, status):
        self.check("unmounted, by node 1", status == "0")


def console_line(text, pattern):
    """The line's part that matches, or None."""
    found = re.search(pattern, text)
    return found.group(0).strip() if found else None
