"""docs/architecture.md is the map: what it names in backticks stands in the tree."""

import re
import unittest

from each import ROOT, tracked

MAP = "docs/architecture.md"
BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[\w.\-]+(/[\w.\-*]*)+|[\w\-]+\.(c|h|def|md|tsv|py|schema|txt)")
NAME = re.compile(r"([A-Za-z_]\w*)(\(\))?")
STRUCT = re.compile(r"struct ([a-z_]\w*)")


def names(text):
    """(what is quoted, whether it is a path) for what claims to be in the tree."""
    for quoted in QUOTED.findall(BLOCK.sub("", text)):
        struct = STRUCT.fullmatch(quoted)
        if struct:
            yield struct.group(1), False
        elif PATH.fullmatch(quoted):
            yield quoted, True
        elif NAME.fullmatch(quoted) and ("_" in quoted or quoted.endswith("()")):
            yield quoted.removesuffix("()"), False


def stands(name, is_path, words):
    if not is_path:
        return name in words
    if "*" in name:
        return any(ROOT.glob(name))
    if (ROOT / name).exists():
        return True
    return "/" not in name and any(ROOT.glob(f"*/{name}"))  # a bare file name: of some room


class Map(unittest.TestCase):
    def test_names_what_is_there(self):
        if not (ROOT / MAP).exists():
            self.skipTest("no map yet")
        words = set()
        for path in tracked("*.c", "*.h", "*.def", "*.py", "*.schema", "CMakeLists.txt"):
            words |= set(re.findall(r"\w+", (ROOT / path).read_text()))
        missing = [name for name, is_path in names((ROOT / MAP).read_text())
                   if not stands(name, is_path, words)]
        self.assertEqual(missing, [])

    def test_a_name_from_nowhere_is_found(self):
        text = "see `log/nowhere.c`, `nowhere_append()` and `struct nowhere`, not `a + b`"
        found = list(names(text))
        self.assertEqual(len(found), 3)
        self.assertFalse(any(stands(name, is_path, {"log_append"}) for name, is_path in found))
