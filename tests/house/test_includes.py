"""
Includes point left, never right:   core  <--  log, net  <--  shard  <--  main.c

The rooms on the right may know those on the left; log and net do not know each other.
"""

import re
import unittest

from each import ROOT, tracked

MAY_KNOW = {
    "core": {"core"},
    "log": {"core", "log"},
    "net": {"core", "net"},
    "shard": {"core", "log", "net", "shard"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)
OURS_IN_ANGLES = re.compile(
    r"^\s*#\s*include\s*(<(?:\.\./|core/|log/|net/|shard/|tests/|bench/|tools/)[^>]*>|[A-Z_])",
    re.MULTILINE)


def wrong_includes(path, text):
    room = path.split("/")[0]
    includes = INCLUDE.findall(text)
    for include in OURS_IN_ANGLES.findall(text):
        yield f"{path}: {include} hides what it names"
    for include in includes:
        if "/" not in include:
            yield f'{path}: "{include}" does not name its room'
        elif include.split("/")[0] not in MAY_KNOW[room]:
            yield f'{path}: "{include}" points right'
    own = path[:-2] + ".h"
    if path.endswith(".c") and (ROOT / own).exists() and (not includes or includes[0] != own):
        yield f'{path}: its first include is not its own header "{own}"'


def of_rooms(*patterns):
    return tracked(*(f"{room}/{pattern}" for room in MAY_KNOW for pattern in patterns))


class Includes(unittest.TestCase):
    def test_point_left(self):
        for path in of_rooms("*.c", "*.h", "*.def"):
            with self.subTest(path):
                self.assertEqual(list(wrong_includes(path, (ROOT / path).read_text())), [])

    def test_guards_are_named_after_their_file(self):
        for path in of_rooms("*.h"):
            guard = re.sub(r"[/.]", "_", path).upper()
            with self.subTest(path):
                found = re.findall(r"^#(?:ifndef|define) (\w+_H)$", (ROOT / path).read_text(),
                                   re.MULTILINE)
                self.assertEqual(found[:2], [guard, guard])

    def test_a_wrong_include_is_found(self):
        self.assertTrue(list(wrong_includes("log/x.c", '#include "net/frame.h"\n')))
        self.assertTrue(list(wrong_includes("core/x.c", '#include "log/batch.h"\n')))
        self.assertTrue(list(wrong_includes("net/x.c", '#include "cursor.h"\n')))
        self.assertTrue(list(wrong_includes("log/x.c", "#include <net/frame.h>\n")))
        self.assertTrue(list(wrong_includes("log/x.c", "#include FRAME_H\n")))
        self.assertTrue(list(wrong_includes("log/log.c", '#include "core/op.h"\n')))
        self.assertTrue(list(wrong_includes("net/x.c", '#include "tests/core/reactor_fixture.h"\n')))
        self.assertFalse(list(wrong_includes("core/x.c", "#include <sys/socket.h>\n")))
        self.assertFalse(list(wrong_includes("shard/x.c", '#include "log/batch.h"\n')))
