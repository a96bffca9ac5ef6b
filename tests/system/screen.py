"""The screen of a guest as text: QEMU's screendump (PPM) cut into cells, each compared with
the kernel's own font table; and when it changes, by QEMU's VNC server. Tests import it."""
import os
import re
import select
import socket
import struct

WIDTH, HEIGHT, FIRST = 8, 16, 0x20


def font_read(path):
    """Glyph (16 row bytes) -> character, from the C table that the kernel links."""
    with open(path, encoding="ascii") as file:
        rows = re.findall(r"^\s*\{((?:0x[0-9a-f]{2}(?:, )?){16})\},$", file.read(), re.M)
    return {bytes(int(word, 16) for word in row.split(",")): chr(FIRST + number)
            for number, row in enumerate(rows)}


def ppm_read(data):
    """(width, height, RGB bytes) of a binary PPM."""
    match = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", data)
    if not match:
        raise ValueError("not a whole PPM")
    width, height = int(match.group(1)), int(match.group(2))
    pixels = data[match.end():]
    if len(pixels) != width * height * 3:
        raise ValueError("not a whole PPM")
    return width, height, pixels


def cell(pixels, width, x, y):
    """The row bytes of the cell at column x, row y: a pixel that is not black is 1."""
    rows = []
    for line in range(HEIGHT):
        at = ((y * HEIGHT + line) * width + x * WIDTH) * 3
        row = pixels[at:at + WIDTH * 3]
        rows.append(sum(128 >> i for i in range(WIDTH) if any(row[3 * i:3 * i + 3])))
    return bytes(rows)


def text(data, font):
    """The lines of the screen, blanks at their ends cut. A cell that is no glyph is U+FFFD;
    the cursor's cell is inverted."""
    width, height, pixels = ppm_read(data)
    cursor = {bytes(row ^ 255 for row in glyph): c for glyph, c in font.items()}
    seen, lines = {}, []
    for y in range(height // HEIGHT):
        line = ""
        for x in range(width // WIDTH):
            rows = cell(pixels, width, x, y)
            if rows not in seen:
                seen[rows] = font.get(rows) or cursor.get(rows) or "\ufffd"
            line += seen[rows]
        lines.append(line.rstrip())
    return lines


class Changes:
    """The guest's screen as a client of QEMU's VNC server (RFB 3.8, raw pixels, RFC 6143) sees
    it: that it changes, not what it shows. Usable once QEMU listens on the unix socket."""

    RAW, DESKTOP_SIZE = 0, -223

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._file = self._socket.makefile("rb")
        self._read(12)                                   # the server's version
        self._socket.sendall(b"RFB 003.008\n")
        self._read(self._read(1)[0])                     # kinds of security
        self._socket.sendall(b"\1")                      # none
        if self._read(4) != b"\0\0\0\0":
            raise OSError("VNC refuses")
        self._socket.sendall(b"\1")                      # others may look too
        self._size = struct.unpack(">HH", self._read(4))
        self._pixel_bytes = self._read(16)[0] // 8
        self._read(struct.unpack(">I", self._read(4))[0])
        self._socket.sendall(struct.pack(">BxHii", 2, 2, self.RAW, self.DESKTOP_SIZE))
        self._asked = False

    def close(self):
        self._file.close()
        self._socket.close()

    def _read(self, count):
        data = self._file.read(count)
        if len(data) != count:
            raise EOFError("VNC ended")
        return data

    def _update(self):
        for _ in range(struct.unpack(">xH", self._read(3))[0]):
            _, _, width, height, kind = struct.unpack(">HHHHi", self._read(12))
            if kind == self.RAW:
                self._read(width * height * self._pixel_bytes)
            elif kind == self.DESKTOP_SIZE:
                self._size = width, height

    def ask(self):
        """Asks for the next change from now on. Before a look, so that none is missed."""
        if not self._asked:
            self._socket.sendall(struct.pack(">BBHHHH", 3, 1, 0, 0, *self._size))
        self._asked = True

    def wait(self, process, seconds):
        """Until the screen has changed since ask(), or the process ends, or the time is over."""
        end = os.pidfd_open(process.pid)
        try:
            if self._socket not in select.select([self._socket, end], [], [], seconds)[0]:
                return
        finally:
            os.close(end)
        try:
            while True:
                kind = self._read(1)[0]
                if kind == 0:
                    self._update()
                    self._asked = False
                    return
                if kind == 3:                            # text cut; 2 is a bell
                    self._read(struct.unpack(">3xI", self._read(7))[0])
        except EOFError:
            process.wait()
