"""The host's end of the run channel (docs/reference/run-protocol.md): waits for the
members, sends the command, passes its output on, returns its exit status."""
import os
import socket
import struct

from .errors import LaunchError
from .watch import Watch

STDOUT, STDERR, EXIT, READY, ERROR = 1, 2, 3, 4, 5
FRAME_BYTES_MAX = 65536


FIRST_FRAME = struct.pack("<BI", READY, 4)


class FrameParser:
    """Cuts the byte stream of the channel into (type, payload). firmware: what comes before the
    first READY frame is not the node's: UEFI takes every serial port for a console."""

    def __init__(self, firmware=False):
        self._data = bytearray()
        self._firmware = firmware

    def feed(self, data):
        """Takes bytes, returns the list of frames that they complete."""
        self._data += data
        frames = []
        if self._firmware:
            at = self._data.find(FIRST_FRAME)
            self._firmware = at < 0
            if self._firmware:       # the frame may have begun
                del self._data[:1 - len(FIRST_FRAME)]
                return frames
            del self._data[:at]
        while len(self._data) >= 5:
            kind, length = struct.unpack_from("<BI", self._data)
            if not STDOUT <= kind <= ERROR or length > FRAME_BYTES_MAX or (
                    kind in (EXIT, READY) and length not in (0, 4)):
                raise LaunchError(f"node 0 sent no frame on the run channel: "
                                  f"{bytes(self._data[:40])!r}")
            if len(self._data) < 5 + length:
                break
            frames.append((kind, bytes(self._data[5:5 + length])))
            del self._data[:5 + length]
        return frames


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


class RunChannel:
    """Listens where node 0's COM2 connects to. Make it before the machine starts."""

    def __init__(self, path, command):
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(1)
        self._command = command.encode(errors="surrogateescape")
        self._connection = None
        self._parser = None
        self._sent = False

    def close(self):
        for end in (self._connection, self._listener):
            if end:
                end.close()

    def _send_command(self):
        self._connection.settimeout(None)
        self._connection.sendall(b"RUN %08x\n" % len(self._command) + self._command)
        self._sent = True

    def _frame(self, cluster, kind, payload, outputs):
        """Acts on one frame; returns the exit status on EXIT, else None."""
        if kind in outputs:
            write_all(outputs[kind], payload)
        elif kind == READY and payload and not self._sent:
            members = struct.unpack("<I", payload)[0]
            cluster.say(f"{members} of {cluster.options.nodes} node(s) have joined")
            if members >= cluster.options.nodes:
                for line in cluster.machines[0].options_refused():
                    cluster.say(f"{line} (docs/reference/options.md)")
                self._send_command()
        elif kind == EXIT and payload:
            return struct.unpack("<I", payload)[0] & 255
        elif kind == ERROR:
            raise LaunchError(f"node 0: {payload.decode(errors='replace')}")
        return None

    def serve(self, cluster, stdout=1, stderr=2):
        """Runs the command to its end and returns its exit status. The cluster's health
        is looked at all the while. stdout, stderr: file descriptors."""
        outputs = {STDOUT: stdout, STDERR: stderr}
        self._parser = FrameParser(cluster.options.firmware == "uefi")
        with Watch(cluster.logs) as watch:
            while True:
                cluster.health_check()
                end = self._connection or self._listener
                if not watch.wait(cluster.processes(), [end]):
                    continue
                if not self._connection:
                    self._connection = self._listener.accept()[0]
                    continue
                data = self._connection.recv(FRAME_BYTES_MAX)
                if not data:
                    cluster.machines[0].process.wait()
                for kind, payload in self._parser.feed(data):
                    status = self._frame(cluster, kind, payload, outputs)
                    if status is not None:
                        return status
