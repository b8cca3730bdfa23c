"""
docs/architecture.md is the map: what it names in backticks stands in the tree, in code and not only
in a comment or a test. So does what the other pages name.
"""

import re
import unittest

from each import ROOT, tracked

MAP = "docs/architecture.md"
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
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


def words_of_code(paths):
    words = set()
    for path in paths:
        words |= set(re.findall(r"\w+", COMMENT.sub("", (ROOT / path).read_text())))
    return words


class Map(unittest.TestCase):
    def test_names_what_is_there(self):
        generated = (ROOT / "build" / "debug" / "generated").rglob("*.h")
        self.check(MAP, [*tracked("core/*", "log/*", "net/*", "shard/*", "main.c"), *generated])

    def test_other_pages_name_what_is_there(self):
        code = tracked("*.c", "*.h", "*.def", "*.py", "*.schema", "*CMakeLists.txt", "CMakePresets.json")
        for page in ("README.md", "docs/formats.md", "docs/simulator.md"):
            with self.subTest(page):
                self.check(page, code)

    def check(self, page, code):
        words = words_of_code(code)
        missing = [name for name, is_path in names((ROOT / page).read_text())
                   if not stands(name, is_path, words)]
        self.assertEqual(missing, [])

    def test_a_name_from_nowhere_is_found(self):
        text = "see `log/nowhere.c`, `nowhere_append()` and `struct nowhere`, not `a + b`"
        found = list(names(text))
        self.assertEqual(len(found), 3)
        self.assertFalse(any(stands(name, is_path, {"log_append"}) for name, is_path in found))
