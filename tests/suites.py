"""
suites -- runs the suites of tests/suites.tsv and adds up what they say.

A suite is a command whose last line is `N passed, N failed, N skipped`. One that says nothing of the
kind counts as one test, by its exit status; one that says that nothing ran has failed. The suite
`build` comes first: it builds the presets that the chosen suites name, and what could not be built
fails the suites that need it.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "build" / "check"
TABLE = ROOT / "tests" / "suites.tsv"
COUNTS = re.compile(r"(?:\w+: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?")
BESIDE_MAX = 2  # the cores of the smallest machine this is run on
FAILURE_LINES_MAX = 60
FAILURE_WIDTH_MAX = 300
SLOWEST_SHOWN = 3
IN_CI = os.environ.get("CI") == "true"


class Suite:
    def __init__(self, line):
        self.name, seconds, beside, presets, self.command = line.split("\t")
        self.declared = int(seconds)
        self.may_run_beside = beside == "yes"
        self.presets = [] if presets == "-" else presets.split(",")
        self.process = None
        self.passed = self.failed = self.skipped = 0
        self.seconds = 0

    def start(self, arguments=""):
        self.path = OUTPUT / f"{self.name}.log"
        self.started = time.monotonic()
        with open(self.path, "wb") as log:
            # a session of its own, so that what it leaves running can be stopped with it
            self.process = subprocess.Popen(
                f"exec {self.command} {arguments}", shell=True, cwd=ROOT, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def is_over(self):
        if self.process.poll() is not None:
            return True
        if time.monotonic() - self.started > 4 * self.declared + 60:
            self.stop()
            with open(self.path, "a") as log:
                log.write(f"\nstopped: {self.name} ran longer than four times its "
                          f"{self.declared} s and a minute\n")
            return True
        return False

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def read(self):
        """Takes the counts from the output; whoever ends badly has failed at least once."""
        self.stop()
        lines = self.path.read_text(errors="replace").strip().splitlines()
        counts = COUNTS.fullmatch(lines[-1].strip()) if lines else None
        if counts:
            self.passed, self.failed, self.skipped = (int(n or 0) for n in counts.groups())
            if self.passed + self.failed + self.skipped == 0:
                lines.append("it ran no test")
                self.failed = 1
        elif self.process.returncode == 0:
            self.passed = 1
        if self.process.returncode != 0 and self.failed == 0:
            lines.append(f"exit status {self.process.returncode}")
            self.failed = 1
        if IN_CI:
            self.failed, self.skipped = self.failed + self.skipped, 0
        self.seconds = time.monotonic() - self.started
        self.say(lines, self.seconds)

    def refuse(self, reason):
        self.failed = 1
        self.say([reason], 0)

    def say(self, lines, seconds):
        reasons = [line for line in lines if line.startswith("skipped:")]
        if self.failed:
            print(f"--- {self.name} ---")
            for line in lines[-FAILURE_LINES_MAX:]:
                print(f"    {line[:FAILURE_WIDTH_MAX]}")
        else:
            for line in reasons:
                print(f"    {self.name} {line}")
        print(f"{self.name:<14}{self.passed:>7}{self.failed:>8}{self.skipped:>9}"
              f"{seconds:>10.1f}{self.declared:>10}", flush=True)


def read_table(names):
    lines = [line for line in TABLE.read_text().splitlines() if line and line[0] != "#"]
    suites = [Suite(line) for line in lines]
    unknown = set(names) - {suite.name for suite in suites}
    if unknown:
        sys.exit(f"no such suite: {' '.join(sorted(unknown))}; "
                 f"there are: {' '.join(suite.name for suite in suites)}")
    return [suite for suite in suites if not names or suite.name in names]


def build_presets(suites, build):
    """Returns the presets that did not build."""
    wanted = list(dict.fromkeys(preset for suite in suites for preset in suite.presets))
    if not wanted:
        return set()
    build.start(" ".join(wanted))
    while not build.is_over():
        time.sleep(0.05)
    build.read()
    built = {preset for preset in wanted if (ROOT / "build" / preset / "built").exists()}
    return set(wanted) - built


def run(waiting, running):
    while waiting or running:
        for suite in [suite for suite in running if suite.is_over()]:
            running.remove(suite)
            suite.read()
        for suite in waiting[:]:
            beside = suite.may_run_beside and all(other.may_run_beside for other in running)
            if not running or (beside and len(running) < BESIDE_MAX):
                waiting.remove(suite)
                running.append(suite)
                suite.start()
        time.sleep(0.05)


def main():
    os.chdir(ROOT)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    suites = read_table(sys.argv[1:])
    build = next((suite for suite in suites if suite.name == "build"), None)
    named_build = build is not None
    build = build or next(suite for suite in read_table([]) if suite.name == "build")
    started = time.monotonic()
    print(f"{'suite':<14}{'passed':>7}{'failed':>8}{'skipped':>9}{'seconds':>10}{'declared':>10}",
          flush=True)

    unbuilt = build_presets(suites, build)
    waiting = [suite for suite in suites if suite is not build]
    running = []
    for suite in waiting[:]:
        if unbuilt & set(suite.presets):
            waiting.remove(suite)
            suite.refuse(f"not built: {' '.join(sorted(unbuilt & set(suite.presets)))}")
    try:
        run(waiting, running)
    finally:
        for suite in running:
            suite.stop()

    counted = suites if named_build else suites + [build]
    passed, failed, skipped = (sum(getattr(suite, count) for suite in counted)
                               for count in ("passed", "failed", "skipped"))
    slowest = sorted(counted, key=lambda suite: -suite.seconds)[:SLOWEST_SHOWN]
    print("slowest: " + ", ".join(f"{suite.name} {suite.seconds:.0f} s" for suite in slowest))
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    print(f"in {minutes} min {seconds} s; whole outputs are in build/check/")
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
