"""The test runner itself: what it counts, and that nothing bad passes for good."""
import os
import subprocess
import tempfile
import unittest

from results import Results

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def results_of(text, status=0, timed_out=False):
    results = Results()
    for line in text.splitlines(keepends=True):
        results.line(line)
    results.close(status, timed_out)
    return results.passed, results.failed, results.skipped


class ResultsTest(unittest.TestCase):
    def test_tap(self):
        text = "1..3\nok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP no card\nlook: ok 4\n"
        self.assertEqual(results_of(text, 1), (1, 1, 1))

    def test_check(self):
        text = "93%: Checks: 15, Failures: 1, Errors: 0\nx.c:7:F:core:name:0: bad\n"
        self.assertEqual(results_of(text, 1), (14, 1, 0))

    def test_nothing_printed_fails(self):
        self.assertEqual(results_of("hello\n"), (0, 1, 0))

    def test_bad_exit_fails(self):
        self.assertEqual(results_of("ok 1 - a\n", 3), (1, 1, 0))

    def test_bad_exit_counted_once(self):
        self.assertEqual(results_of("not ok 1 - a\n", 1), (0, 1, 0))

    def test_hang_fails(self):
        self.assertEqual(results_of("ok 1 - a\n", 0, True), (1, 1, 0))

    def test_short_of_plan_fails(self):
        self.assertEqual(results_of("1..2\nok 1 - a\n"), (1, 1, 0))


class RunnerTest(unittest.TestCase):
    def run_groups(self, groups, *words):
        with tempfile.TemporaryDirectory() as directory:
            for name, text in groups.items():
                with open(os.path.join(directory, name), "w", encoding="ascii") as file:
                    file.write(text)
            result = subprocess.run(
                [os.path.join(ROOT, "tests", "run"), "--groups", directory, *words],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                env=dict(os.environ, BUILD=directory))
        return result.returncode, result.stdout

    def test_closing_line(self):
        status, text = self.run_groups({"a": "run: echo ok 1 - x; echo ok 2 - y \\# SKIP z\n",
                                        "b": "run: echo not ok 1 - w\nwhen: test\n"})
        self.assertEqual(text.splitlines()[-1], "1 passed, 1 failed, 1 skipped")
        self.assertEqual(status, 1)

    def test_when(self):
        groups = {"a": "run: echo ok 1\nwhen: test\n",
                  "b": "run: echo ok 1; echo ok 2\nwhen: long\n"}
        self.assertEqual(self.run_groups(groups)[1].splitlines()[-1],
                         "1 passed, 0 failed, 0 skipped")
        status, text = self.run_groups(groups, "--long")
        self.assertEqual((status, text.splitlines()[-1]), (0, "2 passed, 0 failed, 0 skipped"))

    def test_hung_group_ends(self):
        status, text = self.run_groups({"a": "run: echo ok 1; sleep 1000\ntimeout: 0.3\n"})
        self.assertEqual((status, text.splitlines()[-1]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_malformed_group_is_refused(self):
        status, text = self.run_groups({"a": "ruin: true\n"})
        self.assertEqual(status, 1)
        self.assertIn("not a line of a group", text)
