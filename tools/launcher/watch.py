"""Waiting for what happens, instead of looking again and again: a change of a file in a
directory (inotify), the end of a process (pidfd), a descriptor that can be read."""
import ctypes
import os
import select

IN_MODIFY, IN_MOVED_TO, IN_CREATE = 0x2, 0x80, 0x100
EVENT_BYTES = 65536
LIBC = ctypes.CDLL(None, use_errno=True)
# Should an event be missed, a waiter looks all the same.
LOOK_SECONDS_MAX = 2.0


class Watch:
    """The files of a directory. Make it before the first look, so that no change is missed:

        with Watch(directory) as watch:
            while not there(): watch.wait(processes)
    """

    def __init__(self, directory):
        self.changed = False         # whether the last wait saw a file change
        self._fd = LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0 or LIBC.inotify_add_watch(
                self._fd, os.fsencode(directory), IN_MODIFY | IN_MOVED_TO | IN_CREATE) < 0:
            number = ctypes.get_errno()
            self.close()
            raise OSError(number, os.strerror(number), directory)

    def close(self):
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def wait(self, processes=(), fds=(), seconds=LOOK_SECONDS_MAX):
        """Until a file changes, one of the processes (Popen) ends, or one of fds can be read;
        returns those of fds that can. At most `seconds`, a hang detector's period."""
        ends = []
        try:
            for process in processes:
                if process.returncode is None:
                    ends.append(os.pidfd_open(process.pid))
            ready = select.select([self._fd, *ends, *fds], [], [],
                                  min(max(seconds, 0), LOOK_SECONDS_MAX))[0]
        except ProcessLookupError:
            ready = []               # another thread has just waited for it
        finally:
            for end in ends:
                os.close(end)
        self.changed = self._fd in ready
        if self.changed:
            os.read(self._fd, EVENT_BYTES)
        return [fd for fd in fds if fd in ready]
