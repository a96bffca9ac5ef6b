#!/usr/bin/env python3
"""Runs the unittest files of this directory (test_*.py) and prints the results as TAP."""
import os
import sys
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class TapResult(unittest.TestResult):
    """Prints one TAP line a test."""

    count = 0

    def _line(self, good, test, note=""):
        self.count += 1
        print(f"{'ok' if good else 'not ok'} {self.count} - {test.id()}{note}", flush=True)

    def _bad(self, test, error):
        self._line(False, test)
        for line in self._exc_info_to_string(error, test).splitlines():
            print(f"# {line}")

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line(True, test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._bad(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self._bad(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line(True, test, f" # SKIP {reason}")


def main():
    sys.path[:0] = [HERE, os.path.join(ROOT, "tools"), os.path.join(ROOT, "tests")]
    suite = unittest.defaultTestLoader.discover(HERE, pattern="test_*.py")
    result = TapResult()
    suite.run(result)
    print(f"1..{result.count}")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
