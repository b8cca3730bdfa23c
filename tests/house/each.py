"""
each -- one check for each of many things, two at a time, ending in a suite's last line.

`check(thing)` returns what is wrong as text, or nothing. What is wrong is printed in the things'
order, whichever check ended first.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WORKERS = 2


def each(things, check, workers=WORKERS):
    failed = 0
    with ThreadPoolExecutor(workers) as pool:
        for thing, wrong in zip(things, pool.map(check, things)):
            if wrong:
                failed += 1
                print(f"failed: {thing}\n{wrong.rstrip()}", flush=True)
    print(f"{len(things) - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


def command(*words):
    """What a failed command printed, or nothing."""
    done = subprocess.run(words, cwd=ROOT, text=True, errors="replace", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return (done.stdout or f"exit status {done.returncode}") if done.returncode else ""


def tracked(*patterns):
    """The tree's own files: what git knows, new files included."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT, text=True, check=True, stdout=subprocess.PIPE).stdout.splitlines()
    return sorted({path for path in listed if (ROOT / path).is_file()})
