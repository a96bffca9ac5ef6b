"""Reads the results that a group of tests prints: TAP lines, or Check's summaries.

Used by tests/run. Only whole lines count, so a program's other output does no harm.
"""
import re
from dataclasses import dataclass, field

TAP_LINE = re.compile(r"^(not )?ok\b(?:\s+\d+)?(?:\s*-)?\s*(.*)$")
TAP_PLAN = re.compile(r"^1\.\.(\d+)\b")
SKIP = re.compile(r"#\s*skip\b(.*)$", re.IGNORECASE)
CHECK_SUMMARY = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)$")
CHECK_FAILURE = re.compile(r"^\S+:\d+:[FE]:.*$")


@dataclass
class Results:
    """What one group came to."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list = field(default_factory=list)
    skips: list = field(default_factory=list)
    planned: int = None

    def line(self, text):
        """Takes one line of output."""
        text = text.rstrip("\r\n")
        summary = CHECK_SUMMARY.match(text)
        if summary:
            checks, failed, errors = map(int, summary.groups())
            self.passed += checks - failed - errors
            self.failed += failed + errors
        elif CHECK_FAILURE.match(text):
            self.failures.append(text)
        elif TAP_PLAN.match(text):
            self.planned = (self.planned or 0) + int(TAP_PLAN.match(text).group(1))
        elif TAP_LINE.match(text):
            self._tap(*TAP_LINE.match(text).groups())

    def _tap(self, bad, name):
        skip = SKIP.search(name)
        if bad:
            self.failed += 1
            self.failures.append(name)
        elif skip:
            self.skipped += 1
            self.skips.append(name)
        else:
            self.passed += 1

    def close(self, status, timed_out=False):
        """Takes how the command ended, after its last line: what did not say that it
        failed, but did not end well either, is one failure."""
        count = self.passed + self.failed + self.skipped
        trouble = None
        if timed_out:
            trouble = "did not end in its time: hung"
        elif status != 0 and not self.failed:
            trouble = f"exit status {status} without a failed result"
        elif count == 0:
            trouble = "printed no result"
        elif self.planned is not None and self.planned > count:
            trouble = f"planned {self.planned} results, gave {count}"
        if trouble:
            self.failed += 1
            self.failures.append(trouble)
        return self
