"""The runner of suites must not take silence, a skip in CI or a hang for success."""

import contextlib
import io
import tempfile
import time
import unittest
from pathlib import Path

import suites


class Suites(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(setattr, suites, "OUTPUT", suites.OUTPUT)
        self.addCleanup(setattr, suites, "IN_CI", suites.IN_CI)
        suites.OUTPUT = Path(folder.name)
        suites.IN_CI = False

    def counts(self, script):
        suite = suites.Suite(f"planted\t1\tyes\t-\tbash -c '{script}'")
        suite.start()
        while not suite.is_over():
            time.sleep(0.01)
        with contextlib.redirect_stdout(io.StringIO()):
            suite.read()
        return suite.passed, suite.failed, suite.skipped

    def test_counts_are_read_from_the_last_line(self):
        self.assertEqual(self.counts('echo 9 passed, 9 failed; echo "7 passed, 0 failed, 2 skipped"'),
                         (7, 0, 2))

    def test_a_bad_end_is_a_failure_whatever_was_counted(self):
        self.assertEqual(self.counts('echo "7 passed, 0 failed, 0 skipped"; exit 3'), (7, 1, 0))
        self.assertEqual(self.counts("exit 3"), (0, 1, 0))

    def test_no_test_run_is_a_failure(self):
        self.assertEqual(self.counts('echo "0 passed, 0 failed, 0 skipped"'), (0, 1, 0))

    def test_a_skip_is_a_failure_in_ci_only(self):
        self.assertEqual(self.counts('echo "7 passed, 0 failed, 2 skipped"'), (7, 0, 2))
        suites.IN_CI = True
        self.assertEqual(self.counts('echo "7 passed, 0 failed, 2 skipped"'), (7, 2, 0))

    def test_what_hangs_is_stopped_with_its_children(self):
        suite = suites.Suite("planted\t1\tyes\t-\tbash -c 'sleep 1000 & sleep 1000'")
        suite.start()
        suite.started -= 1000
        self.assertTrue(suite.is_over())
        with contextlib.redirect_stdout(io.StringIO()):
            suite.read()
        self.assertEqual((suite.passed, suite.failed), (0, 1))
