"""The launcher without machines: options, cluster.conf, initial files, run channel."""
import io
import math
import os
import socket
import struct
import subprocess
import tempfile
import threading
import unittest
from unittest import mock

import cpio_newc
import mkimage
from launcher import deb, fed_console, options, run_channel, watch
from launcher.cluster import Cluster, deb_cache, extra_files
from launcher.errors import LaunchError, NotYet, UsageError
from launcher.machine import Machine

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


class OptionsTest(unittest.TestCase):
    def test_run_command(self):
        mode, parsed = options.parse(["run", "--nodes", "3", "--append", "a=1", "--", "echo", "x"])
        self.assertEqual((mode, parsed.nodes, parsed.command), ("run", 3, "echo x"))

    def test_bad_values(self):
        for words in (["--nodes", "0"], ["--smp", "0"], ["--mem", "x"], ["--mem", "16M"],
                      ["--join", "80"], ["--timeout", "0"], ["--timeout", "nan"],
                      ["--add", "/no/such/file"],
                      ["--deb", "No_Package"]):
            with self.assertRaises(UsageError, msg=words):
                options.parse(["up", *words])

    def test_time_outs(self):
        nine = ["--timeout", "9"]
        for words, seconds in ((["up"], math.inf), (["up", *nine], 9), (["run", "--", "x"], 300),
                               (["run", *nine, "--", "x"], 9)):
            self.assertEqual(options.parse(words)[1].timeout, seconds)

    def test_mistakes_say_what_to_do(self):
        for words, wanted in (
                (["run", "--nodez", "2"], "--nodez: no such option; did you mean --nodes?"),
                (["run", "--zzz=3"], "--zzz: no such option; ./isthmus --help"),
                (["run", "--nodes", "2", "ls"], "what is ls? A command stands behind `--`"),
                (["run", "--nodes", "two", "--", "x"], "--nodes: invalid int value: 'two'; "),
                (["run", "--nic", "ne2000", "--", "x"], "--nic: invalid choice: 'ne2000'"),
                (["run"], "nothing to run: isthmus run [options] -- COMMAND"),
                (["up", "--", "x"], "up takes no command: isthmus run"),
                (["ran", "--", "x"], "ran: neither up nor run"), ([], "neither up nor run"),
                (["up", "--disk", "0:/"], "--disk 0:/: a directory, must be a file: /"),
                (["up", "--add", "/:/x"], "--add /:/x: a directory, must be a file: /")):
            with self.assertRaises(UsageError) as raised:
                options.parse(words)
            self.assertIn(wanted, str(raised.exception))

    def test_help_has_every_option(self):
        text = subprocess.run([os.path.join(ROOT, "isthmus"), "--help"], stdout=subprocess.PIPE,
                              check=True).stdout.decode()
        for name in ("--nodes", "--disk", "--chaos", "examples:"):
            self.assertIn(name, text)

    def test_not_yet_is_said(self):
        for words in (["--nic", "igb"], ["--nic", "virtio"], ["--disk", "0:x.img:ahci"]):
            with self.assertRaises(NotYet, msg=words):
                options.parse(["up", *words])

    def test_disks(self):
        disk = options.disk_parse("1:/a:b.img:virtio")
        self.assertEqual((disk.node, disk.path, disk.kind), (1, "/a:b.img", "virtio"))
        disk = options.disk_parse("0:/a:b.img")
        self.assertEqual((disk.node, disk.path, disk.kind), (0, "/a:b.img", "nvme"))
        disk = options.disk_parse("0:/a:b.img:virtio:log=/c:d")
        self.assertEqual((disk.path, disk.kind, disk.log), ("/a:b.img", "virtio", "/c:d"))
        for text in ("x.img", "x:y.img", "0:", "9:" + __file__, "0:/no/such/file",
                     "0:" + __file__ + ":log=", "0:blkdebug:a:b:log=/c"):
            with self.assertRaises(UsageError, msg=text):
                options.parse(["up", "--nodes", "2", "--disk", text])

    def test_exit_status_and_silence_on_stdout(self):
        result = subprocess.run([os.path.join(ROOT, "isthmus"), "run", "--nic", "igb", "--", "x"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual((result.returncode, result.stdout), (2, b""))
        self.assertIn(b"not yet: comes with the issue", result.stderr)


class DirectoriesTest(unittest.TestCase):
    def test_another_where_one_may_not_be_written(self):
        # Below a file, for user 0 may write in any directory.
        with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryDirectory() as directory:
            barred = os.path.join(file.name, "deb")
            self.assertEqual(deb_cache([barred, directory + "/deb"]), directory + "/deb")
            with self.assertRaises(UsageError) as raised:
                deb_cache([barred])
            self.assertIn("may not be written", str(raised.exception))
            with self.assertRaises(UsageError) as raised:
                Cluster(options.Options(nodes=1, logs=barred))
            self.assertIn("--logs " + barred, str(raised.exception))
            with mock.patch("launcher.cluster.BUILD", file.name):
                logs = Cluster._logs_make()
            self.assertFalse(logs.startswith(file.name))
            os.rmdir(logs)


class FedConsoleTest(unittest.TestCase):
    def test_all_is_passed_on_then_the_end(self):
        data = bytes(range(256)) * 2000          # more than a pipe holds
        ins, outs = os.pipe(), os.pipe()

        def sender():
            with open(ins[1], "wb", buffering=0) as file:
                run_channel.write_all(file.fileno(), data)

        def passer():
            fed_console.pass_on(ins[0], outs[1])
            os.close(outs[1])
            os.close(ins[0])

        threads = [threading.Thread(target=work) for work in (sender, passer)]
        for thread in threads:
            thread.start()
        with open(outs[0], "rb") as file:
            self.assertEqual(file.read(), data + b"\x04" * fed_console.END_OF_FILE_KEYS)
        for thread in threads:
            thread.join()

    def test_lines_are_seen_once_and_whole(self):
        with tempfile.NamedTemporaryFile() as file:
            lines = fed_console.LineSearch(file.name)
            for text, wanted in ((b"", None), (b"[    0.1] isthmus: node", None), (b" up\r", None),
                                 (b"\nmore", b"[    0.1] isthmus: node up"), (b"\n", None)):
                file.write(text)
                file.flush()
                found = lines.next(fed_console.NODE_UP)
                self.assertEqual(found and found.group(0), wanted)
            file.write(b"init: the console's shell ended with status 7\r\r\nstatus 8\n")
            file.flush()
            self.assertEqual(lines.next(fed_console.SHELL_ENDED).group(1), b"7")
            self.assertIsNone(lines.next(fed_console.SHELL_ENDED))


class ImageTest(unittest.TestCase):
    def test_cluster_conf(self):
        text = mkimage.cluster_conf(12)
        self.assertIn("node 0 52:54:00:49:53:01 10.7.0.1\n", text)
        self.assertIn("node 11 52:54:00:49:53:0c 10.7.0.12\n", text)
        self.assertRegex(text, r"(?m)^key [0-9a-f]{64}$")
        self.assertNotEqual(text, mkimage.cluster_conf(12))

    def test_options_cannot_break_the_menu(self):
        for bad in ("a'b", 'a"b', "a\nb", "$x", "a;b", "{"):
            with self.assertRaises(mkimage.ImageError):
                mkimage.run_cfg(bad)

    def test_cpio_is_read_by_cpio(self):
        archive = cpio_newc.Archive()
        archive.file("a/b/data", b"12345", 0o755)
        archive.symlink("link", "a/b/data")
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(["cpio", "-idm", "--quiet"], cwd=directory, input=archive.bytes(),
                           check=True)
            self.assertEqual(os.readlink(directory + "/link"), "a/b/data")
            with open(directory + "/link", "rb") as file:
                self.assertEqual(file.read(), b"12345")
            self.assertEqual(os.stat(directory + "/a/b/data").st_mode & 0o777, 0o755)

    def test_cpio_refuses_a_name_twice(self):
        archive = cpio_newc.Archive()
        archive.file("x", b"")
        with self.assertRaises(ValueError):
            archive.file("/x", b"")

    def test_add_files(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"hello")
            file.flush()
            data = extra_files([file.name + ":/root/x"])
        self.assertIn(b"root/x\0", data)
        self.assertIsNone(extra_files([]))


    def test_cpio_data_lies_at_pages(self):
        archive = cpio_newc.Archive()
        archive.file("small", b"1")
        archive.file("large", b"MARK" + bytes(9000), mtime=1000000000.5)
        archive.file("other", b"NEXT" + bytes(5000))
        data = archive.bytes()
        self.assertEqual([data.index(mark) % 4096 for mark in (b"MARK", b"NEXT")], [0, 0])
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(["cpio", "-idm", "--quiet"], cwd=directory, input=data, check=True)
            self.assertEqual(os.path.getsize(directory + "/large"), 9004)
            self.assertEqual(os.path.getmtime(directory + "/large"), 1000000000)

    def test_merged_usr(self):
        for name, wanted in (("/bin/x", "usr/bin/x"), ("usr/sbin/x", "usr/bin/x"),
                             ("lib64/x", "usr/lib64/x"), ("bin", "bin"), ("libx/y", "libx/y")):
            self.assertEqual(cpio_newc.usr_merged(name), wanted)


class DebTest(unittest.TestCase):
    PACKAGES = {
        "a": {"Depends": "b (>= 1.0) | b-old, c:any", "Pre-Depends": "dpkg (>= 1)"},
        "b": {"Depends": "a, virtual"}, "c": {}, "real": {"Depends": "c"},
        "libtinfo6": {}, "ncurses-base": {}}

    def closure(self, *names):
        return deb.closure(names, lambda asked: {name: self.PACKAGES[name] for name in asked
                                                 if name in self.PACKAGES},
                           lambda name: ["real"] if name == "virtual" else [])

    def test_closure(self):
        self.assertEqual(sorted(self.closure("a")), ["a", "b", "c", "real"])
        self.assertEqual(sorted(self.closure("c", "c")), ["c"])
        self.assertEqual(sorted(self.closure("libtinfo6")), ["libtinfo6", "ncurses-base"])

    def test_unknown_package(self):
        with self.assertRaisesRegex(UsageError, "--deb none: apt knows no such package"):
            self.closure("c", "none")

    def test_stanza(self):
        fields = deb.stanza_fields("Package: x\nVersion: 1:2\nDescription: y\n text: z\n")
        self.assertEqual(fields, {"Package": "x", "Version": "1:2", "Description": "y"})
        fields["Architecture"] = "amd64"
        self.assertEqual(deb.deb_path("/c", fields), "/c/x_1%3a2_amd64.deb")

    def test_files(self):
        with tempfile.TemporaryDirectory() as directory:
            for name in ("DEBIAN", "bin", "usr/share/doc/x"):
                os.makedirs(f"{directory}/x/{name}")
            control = "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n"
            for name, text in (("DEBIAN/control", control), ("bin/x", "program"),
                               ("usr/share/doc/x/copyright", "text")):
                with open(f"{directory}/x/{name}", "w", encoding="ascii") as file:
                    file.write(text)
            os.symlink("x", f"{directory}/x/bin/y")
            subprocess.run(["dpkg-deb", "-b", f"{directory}/x", f"{directory}/x.deb"], check=True,
                           stdout=subprocess.DEVNULL)
            archive = cpio_newc.Archive()
            deb.archive_add(archive, f"{directory}/x.deb")
        self.assertTrue(archive.has("usr/bin/x") and archive.has("bin/y"))
        self.assertFalse(archive.has("bin") or archive.has("usr/share/doc/x/copyright"))


class FrameTest(unittest.TestCase):
    def test_any_cut(self):
        stream = (struct.pack("<BI", 4, 4) + b"\2\0\0\0" + struct.pack("<BI", 1, 3) + b"a\0b"
                  + struct.pack("<BI", 2, 0) + struct.pack("<BI", 3, 4) + b"\7\0\0\0")
        for size in (1, 2, 3, 7, len(stream)):
            parser, frames = run_channel.FrameParser(), []
            for place in range(0, len(stream), size):
                frames += parser.feed(stream[place:place + size])
            self.assertEqual(frames, [(4, b"\2\0\0\0"), (1, b"a\0b"), (2, b""), (3, b"\7\0\0\0")])

    def test_firmware_before_the_first_frame(self):
        text = b"\x1b[2J\x1b[01;01H BdsDxe: starting \4\4\0 "
        frame = struct.pack("<BII", 4, 4, 1)
        for size in (1, 3, 1000):
            parser, frames = run_channel.FrameParser(firmware=True), []
            stream = text + frame + struct.pack("<BI", 1, 1) + b"x"
            for place in range(0, len(stream), size):
                frames += parser.feed(stream[place:place + size])
            self.assertEqual(frames, [(4, b"\1\0\0\0"), (1, b"x")])
        with self.assertRaises(LaunchError):
            parser.feed(text)

    def test_junk_is_an_error(self):
        for junk in (b"Hello", struct.pack("<BI", 1, 65537), struct.pack("<BI", 3, 5)):
            with self.assertRaises(LaunchError):
                run_channel.FrameParser().feed(junk)


class FakeCluster:
    """A cluster of two whose node 0 is a thread of the test."""

    options = options.Options(nodes=2)
    said = ""
    refused = []

    @property
    def machines(self):
        return [self]

    def options_refused(self):
        return self.refused

    def say(self, text):
        self.said += text

    def __init__(self, logs):
        self.logs = logs

    def health_check(self):
        pass

    def processes(self):
        return []


class RunChannelTest(unittest.TestCase):
    def test_whole_run(self):
        payload = bytes(range(256)) * 300
        with tempfile.TemporaryDirectory() as directory:
            channel = run_channel.RunChannel(directory + "/run", "printf 'ä'\n")
            asked = io.BytesIO()

            def node():
                end = socket.socket(socket.AF_UNIX)
                end.connect(directory + "/run")
                end.sendall(struct.pack("<BII", 4, 4, 1) + struct.pack("<BII", 4, 4, 2))
                header = end.recv(13, socket.MSG_WAITALL)
                asked.write(end.recv(int(header[4:12], 16), socket.MSG_WAITALL))
                for place in range(0, len(payload), 60000):
                    part = payload[place:place + 60000]
                    end.sendall(struct.pack("<BI", 1, len(part)) + part)
                end.sendall(struct.pack("<BI", 2, 3) + b"err" + struct.pack("<BII", 3, 4, 42))
                end.close()

            thread = threading.Thread(target=node)
            thread.start()
            with open(directory + "/out", "wb") as out, open(directory + "/err", "wb") as err:
                cluster = FakeCluster(directory)
                cluster.refused = ["unknown kernel option 'plaze=off'"]
                status = channel.serve(cluster, out.fileno(), err.fileno())
            thread.join()
            self.assertIn("unknown kernel option 'plaze=off'", cluster.said)
            channel.close()
            with open(directory + "/out", "rb") as out, open(directory + "/err", "rb") as err:
                self.assertEqual((status, out.read(), err.read()), (42, payload, b"err"))
            self.assertEqual(asked.getvalue(), "printf 'ä'\n".encode())


class WatchTest(unittest.TestCase):
    def test_what_ends_a_wait(self):
        with tempfile.TemporaryDirectory() as directory, watch.Watch(directory) as files:
            path = os.path.join(directory, "file")
            with open(path, "wb", buffering=0) as file:
                files.wait(seconds=0)            # takes that it was made
                file.write(b"x")
                self.assertEqual(files.wait(), [])
                self.assertTrue(files.changed)
            ends = os.pipe()
            os.write(ends[1], b"x")
            self.assertEqual(files.wait(fds=[ends[0]]), [ends[0]])
            for end in ends:
                os.close(end)
            process = subprocess.Popen(["true"])
            while process.poll() is None:
                files.wait([process])
            self.assertEqual(files.wait([process], seconds=0), [])
            self.assertFalse(files.changed)


class MachineTest(unittest.TestCase):
    def machine(self, directory, **words):
        return Machine(1, options.Options(**words), "image", directory, directory)

    def test_panic_is_seen_once_whole(self):
        with tempfile.TemporaryDirectory() as directory:
            machine = self.machine(directory)
            with open(machine.log_path, "wb") as log:
                log.write(b"boot\nno PANIC here\nPAN")
                log.flush()
                self.assertIsNone(machine.panic_line())
                log.write(b"IC: bad thing\r\n")
                log.flush()
                self.assertEqual(machine.panic_line(), "PANIC: bad thing")
                self.assertIsNone(machine.panic_line())

    def test_refused_options_are_found_on_the_console(self):
        with tempfile.TemporaryDirectory() as directory:
            machine = self.machine(directory)
            with open(machine.log_path, "wb") as log:
                log.write(b"[    0.001] unknown kernel option 'a=1'\r\n[    0.002] isthmus: up\r\n"
                          b"[    0.003] kernel option 'panic=x' is malformed: panic takes halt\r\n")
            self.assertEqual(machine.options_refused(), [
                "unknown kernel option 'a=1'",
                "kernel option 'panic=x' is malformed: panic takes halt"])

    def test_identity(self):
        words = " ".join(self.machine("/d", nic="e1000e").words())
        self.assertIn("e1000e,netdev=net,mac=52:54:00:49:53:02", words)
        self.assertNotIn("id=run", words)
