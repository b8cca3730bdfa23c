"""
The rooms hold no writable globals, statics or thread-locals, so that a whole cluster can run in one
simulated thread. Read from the symbol tables of what was built; the exceptions, each with its reason,
are in globals.tsv, and an exception that nothing needs any more is an error too.
"""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from each import ROOT

ROOMS = ("core", "log", "net", "shard")
EXCEPTIONS = ROOT / "tests" / "house" / "globals.tsv"
# objdump -t:  value, seven flag characters, section, tab, size, name
SYMBOL = re.compile(r"^[0-9a-f]+ (.{7}) (\S+)\t[0-9a-f]+ (?:\.hidden )?(\S+)$")
WRITABLE = re.compile(r"\.(bss|data|tbss|tdata|ldata|lbss)(\..*)?$|\*COM\*$")
RELOCATED_CONSTANT = re.compile(r"\.data\.rel\.ro(\..*)?$")  # read-only once the program is loaded


def writable_symbols(library):
    listing = subprocess.run(["objdump", "-t", library], text=True, check=True,
                             stdout=subprocess.PIPE).stdout
    for line in listing.splitlines():
        symbol = SYMBOL.match(line)
        if not symbol:
            continue
        flags, section, name = symbol.groups()
        named = not ("d" in flags or "f" in flags)  # not the symbol of a section or a file itself
        if named and WRITABLE.match(section) and not RELOCATED_CONSTANT.match(section):
            yield re.sub(r"\.\d+$", "", name)  # a static of a function is numbered


def exceptions():
    lines = [line for line in EXCEPTIONS.read_text().splitlines() if line and line[0] != "#"]
    return {tuple(line.split("\t")[:2]): line.split("\t")[2] for line in lines}


class Globals(unittest.TestCase):
    def test_none_is_writable(self):
        found = set()
        for room in ROOMS:
            found |= {(room, name)
                      for name in writable_symbols(ROOT / "build" / "debug" / f"lib{room}.a")}
        excepted = exceptions()
        self.assertEqual(sorted(found - excepted.keys()), [], "writable, and not in globals.tsv")
        self.assertEqual(sorted(excepted.keys() - found), [], "in globals.tsv, but nowhere else")

    def test_each_exception_has_a_reason(self):
        for symbol, reason in exceptions().items():
            self.assertGreater(len(reason), 20, symbol)

    def test_a_writable_global_is_found(self):
        source = """
            int common, set = 1;
            static _Thread_local int local, local_set = 2;
            const char *const table[] = {"a", "b"};
            static const int constant = 3;
            int f(void) { static int kept; return ++kept + ++local + ++local_set + constant; }
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "planted.o"
            subprocess.run(["gcc", "-x", "c", "-c", "-Og", "-fPIE", "-", "-o", path], text=True,
                           input=source, check=True)
            self.assertEqual(sorted(writable_symbols(path)),
                             ["common", "kept", "local", "local_set", "set"])
