"""The runner of suites must not take silence, a skip in CI or a hang for success."""

import contextlib
import io
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

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

    def test_a_crash_is_a_failure(self):
        self.assertEqual(self.counts('echo "7 passed, 0 failed, 0 skipped"; kill -SEGV $$'),
                         (7, 1, 0))
        self.assertEqual(self.counts("kill -KILL $$"), (0, 1, 0))

    def test_no_test_run_is_a_failure(self):
        self.assertEqual(self.counts('echo "0 passed, 0 failed, 0 skipped"'), (0, 1, 0))

    def test_a_skip_is_a_failure_in_ci_only(self):
        self.assertEqual(self.counts('echo "7 passed, 0 failed, 2 skipped"'), (7, 0, 2))
        suites.IN_CI = True
        self.assertEqual(self.counts('echo "7 passed, 0 failed, 2 skipped"'), (7, 2, 0))

    def run_all(self, *rows):
        """The last line and the exit status of a run of these suites."""
        table = suites.OUTPUT / "suites.tsv"
        table.write_text("\n".join(("build\t1\tno\t-\techo 1 passed, 0 failed, 0 skipped", *rows)))
        said = io.StringIO()
        with contextlib.redirect_stdout(said), self.assertRaises(SystemExit) as ended, \
                mock.patch.object(suites, "TABLE", table), mock.patch("sys.argv", ["suites"]):
            suites.main()
        return said.getvalue().splitlines()[-1], ended.exception.code

    def test_one_failure_fails_the_whole(self):
        good = "good\t1\tyes\t-\techo 3 passed, 0 failed, 0 skipped"
        self.assertEqual(self.run_all(good), ("3 passed, 0 failed, 0 skipped", 0))
        self.assertEqual(self.run_all(good, "bad\t1\tyes\t-\tfalse"),
                         ("3 passed, 1 failed, 0 skipped", 1))

    def test_what_is_not_built_has_failed(self):
        row = "unbuilt\t1\tyes\tnowhere\techo 3 passed, 0 failed, 0 skipped"
        self.assertEqual(self.run_all(row), ("1 passed, 1 failed, 0 skipped", 1))

    def test_each_row_names_what_is_there(self):
        presets = (suites.ROOT / "CMakePresets.json").read_text()
        for suite in suites.read_table([]):
            self.assertTrue((suites.ROOT / suite.command.split()[0]).is_file(), suite.command)
            for preset in suite.presets:
                self.assertIn(f'{{"name": "{preset}", "inherits": "base"', presets)

    def test_what_hangs_is_stopped_with_its_children(self):
        suite = suites.Suite("planted\t1\tyes\t-\tbash -c 'sleep 1000 & sleep 1000'")
        suite.start()
        suite.started -= 1000
        self.assertTrue(suite.is_over())
        with contextlib.redirect_stdout(io.StringIO()):
            suite.read()
        self.assertEqual((suite.passed, suite.failed), (0, 1))
