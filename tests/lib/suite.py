"""Counting tests: `with suite.test("name"):`, and at the end the line that tools/check reads."""

import os
import sys
import time
import traceback
from contextlib import contextmanager


class Skip(Exception):
    pass


class Suite:
    def __init__(self, only=None):
        self.passed = self.failed = self.skipped = 0
        self.only = only if only is not None else sys.argv[1:]

    def wants(self, name):
        return not self.only or any(part in name for part in self.only)

    @contextmanager
    def test(self, name):
        began = time.monotonic()
        try:
            yield
        except Skip as skip:
            if os.environ.get("CI") == "true":
                self.failed += 1
            else:
                self.skipped += 1
            print(f"skip {name}: {skip}", flush=True)
        except Exception:  # noqa: BLE001 -- any of them fails the test, and the next one runs
            self.failed += 1
            print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
        else:
            self.passed += 1
            print(f"ok   {name} ({time.monotonic() - began:.1f} s)", flush=True)

    def run(self, name, function, *arguments):
        if self.wants(name):
            with self.test(name):
                function(*arguments)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        sys.exit(1 if self.failed else 0)
