"""The relay as a process: switch, counters, chaos by seed, capture, slow and gone guests."""
import json
import os
import random
import select
import socket
import struct
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
RELAY = os.path.join(ROOT, os.environ.get("BUILD", "build"), "relay")
MAC_A, MAC_B, MAC_C = (bytes([0x52, 0x54, 0, 0, 0, n]) for n in (1, 2, 3))
BROADCAST = b"\xff" * 6
WAIT_SECONDS = 20


def roce_frame(source, target, number, port=4791):
    """A UDP packet over IPv4 with a number in it, addressed by MAC."""
    payload = struct.pack(">I", number) + b"\x5a" * 60
    udp = struct.pack(">HHHH", 0xC000, port, 8 + len(payload), 0) + payload
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                         bytes([10, 7, 0, source[5]]), bytes([10, 7, 0, target[5]]))
    return target + source + b"\x08\x00" + header + udp


class Guest:
    """One end of a relay port, as QEMU would be."""

    def __init__(self, directory, name):
        self.local, self.relay = f"{directory}/g{name}", f"{directory}/r{name}"
        self.open()

    def open(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.local)

    def close(self):
        self.socket.close()
        os.unlink(self.local)

    def send(self, frame):
        self.socket.sendto(frame, self.relay)

    def receive(self):
        if not select.select([self.socket], [], [], WAIT_SECONDS)[0]:
            raise AssertionError("no frame came")
        return self.socket.recv(70000)


class RelayTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.guests = [Guest(self.directory.name, name) for name in "abc"]
        self.process = None

    def tearDown(self):
        if self.process:
            self.process.kill()
            self.process.communicate()
        for guest in self.guests:
            guest.socket.close()
        self.directory.cleanup()

    def start(self, *words):
        command = [RELAY, "--stats", self.directory.name + "/stats"]
        for guest in self.guests:
            command += ["--unix", guest.relay, guest.local]
        self.process = subprocess.Popen(command + list(words), stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.assertEqual(self.process.stdout.readline(), b"ready\n")

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=WAIT_SECONDS)
        self.assertEqual(self.process.returncode, 0)
        self.process = None
        with open(self.directory.name + "/stats", encoding="ascii") as file:
            return json.load(file)

    def flow(self, count, port=4791):
        """Sends `count` frames from a to b and an end mark that chaos leaves alone;
        returns the frames b got (in order, the mark taken off)."""
        a, b, _ = self.guests
        b.send(BROADCAST + MAC_B + b"\x08\x06" + b"hello" * 10)  # teaches the switch
        a.receive()
        got = []
        for number in range(count):
            a.send(roce_frame(MAC_A, MAC_B, number, port))
            while select.select([b.socket], [], [], 0)[0]:
                got.append(b.receive())
        a.send(MAC_B + MAC_A + b"\x08\x06" + b"end mark" * 6)
        while True:
            frame = b.receive()
            if b"end mark" not in frame:
                got.append(frame)
                continue
            # frames held back may come after the mark: collect until all are counted
            return got

    def test_flood_then_learn(self):
        self.start()
        a, b, c = self.guests
        a.send(MAC_B + MAC_A + b"\x08\x06" + b"1" * 50)   # b unknown: flooded
        self.assertEqual(b.receive(), c.receive())
        b.send(MAC_A + MAC_B + b"\x08\x06" + b"2" * 50)   # a known: to a alone
        self.assertEqual(a.receive()[14:], b"2" * 50)
        c.send(BROADCAST + MAC_C + b"\x08\x06" + b"3" * 50)
        self.assertEqual(a.receive(), b.receive())
        stats = self.stop()
        self.assertEqual([port["frames_out"] for port in stats["ports"]], [2, 2, 1])
        self.assertEqual(stats["dropped"], 0)

    def test_no_chaos_no_change(self):
        self.start()
        got = self.flow(2000)
        self.assertEqual(got, [roce_frame(MAC_A, MAC_B, n) for n in range(2000)])
        stats = self.stop()
        self.assertEqual((stats["dropped"], stats["lost"], stats["doubled"]), (0, 0, 0))
        self.assertEqual(stats["roce_frames"], 2000)

    def test_slow_guest_loses_nothing(self):
        self.start()
        a, b, _ = self.guests
        b.send(BROADCAST + MAC_B + b"\x08\x06" + b"hello" * 10)
        a.receive()
        for number in range(3000):                        # b reads nothing meanwhile
            a.send(roce_frame(MAC_A, MAC_B, number))
        got = [b.receive() for _ in range(3000)]
        self.assertEqual(got, [roce_frame(MAC_A, MAC_B, n) for n in range(3000)])
        self.assertEqual(self.stop()["dropped"], 0)

    def test_other_traffic_is_spared(self):
        self.start("--chaos", "loss=50,dup=50,reorder=50,corrupt=50,seed=3")
        got = self.flow(500, port=4790)
        self.assertEqual(got, [roce_frame(MAC_A, MAC_B, n, 4790) for n in range(500)])
        stats = self.stop()
        self.assertEqual(stats["lost"] + stats["doubled"] + stats["corrupted"], 0)

    def test_chaos_rates(self):
        self.start("--chaos", "loss=5,dup=2,reorder=5,corrupt=1,seed=7")
        self.flow(10000)
        stats = self.stop()
        self.assertEqual(stats["roce_frames"], 10000)
        for word, low, high in (("lost", 400, 600), ("doubled", 130, 270),
                                ("reordered", 370, 600), ("corrupted", 50, 150)):
            self.assertTrue(low <= stats[word] <= high, f"{word}: {stats[word]}")
        self.assertEqual(stats["dropped"], 0)

    def test_chaos_repeats_by_seed(self):
        runs = []
        for seed in (11, 11, 12):
            self.start("--chaos", f"loss=10,corrupt=10,seed={seed}")
            runs.append(self.flow(400))
            self.stop()
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])

    def test_loss_and_damage_are_what_the_counters_say(self):
        self.start("--chaos", "loss=10,corrupt=10,seed=5")
        got = self.flow(1000)
        stats = self.stop()
        self.assertEqual(len(got), 1000 - stats["lost"])
        originals = {roce_frame(MAC_A, MAC_B, n) for n in range(1000)}
        damaged = [frame for frame in got if frame not in originals]
        self.assertEqual(len(damaged), stats["corrupted"])
        for frame in damaged:
            self.assertEqual(frame[:14], roce_frame(MAC_A, MAC_B, 0)[:14])

    def test_capture_is_what_the_guests_sent(self):
        path = self.directory.name + "/c.pcap"
        self.start("--chaos", "loss=100,seed=1", "--pcap", path)
        self.flow(50)
        self.stop()
        with open(path, "rb") as file:
            data = file.read()
        self.assertEqual(struct.unpack_from("<I", data)[0], 0xA1B23C4D)
        place, frames = 24, []
        while place < len(data):
            length = struct.unpack_from("<IIII", data, place)[2]
            frames.append(data[place + 16:place + 16 + length])
            place += 16 + length
        sent = [frame for frame in frames if frame[12:14] == b"\x08\x00"]
        self.assertEqual(sent, [roce_frame(MAC_A, MAC_B, n) for n in range(50)])

    def test_restarted_guest_is_found_again(self):
        self.start()
        a, b, _ = self.guests
        b.send(BROADCAST + MAC_B + b"\x08\x06" + b"hello" * 10)
        a.receive()
        a.send(roce_frame(MAC_A, MAC_B, 1))
        b.receive()
        b.close()
        a.send(roce_frame(MAC_A, MAC_B, 2))                # nobody there
        a.send(BROADCAST + MAC_A + b"\x08\x06" + b"sync" * 12)
        self.guests[2].receive()
        while b"sync" not in self.guests[2].receive():
            pass
        b.open()
        a.send(roce_frame(MAC_A, MAC_B, 3))
        self.assertEqual(b.receive(), roce_frame(MAC_A, MAC_B, 3))
        stats = self.stop()
        self.assertEqual(stats["ports"][1]["unplugged"], 2)
        self.assertEqual(stats["dropped"], 0)

    def test_join_port(self):
        guest = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for port in random.Random(os.getpid()).sample(range(20000, 30000), 50):
            try:
                guest.bind(("127.0.0.1", port + 1))
                break
            except OSError:
                continue
        self.start("--udp", str(port))
        a = self.guests[0]
        guest.sendto(BROADCAST + MAC_C + b"\x08\x06" + b"joined" * 9, ("127.0.0.1", port))
        self.assertIn(b"joined", a.receive())
        for number in range(1500):                         # more than its buffer holds
            a.send(roce_frame(MAC_A, MAC_C, number))
        guest.settimeout(WAIT_SECONDS)
        got = [guest.recv(70000) for _ in range(1500)]
        guest.close()
        self.assertEqual(got, [roce_frame(MAC_A, MAC_C, n) for n in range(1500)])
        self.assertEqual(self.stop()["dropped"], 0)

    def test_bad_options_are_refused(self):
        for words in (["--chaos", "loss=101"], ["--chaos", "los=1"], ["--chaos", "loss=x"],
                      ["--udp", "0"], ["--what", "x"], ["--unix", "x"]):
            result = subprocess.run([RELAY, *words], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, check=False, timeout=WAIT_SECONDS)
            self.assertIn(result.returncode, (1, 2), words)
            self.assertTrue(result.stderr, words)
