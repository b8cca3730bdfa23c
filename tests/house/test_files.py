"""What every file of the tree keeps to: its length, and nothing left lying about."""

import re
import unittest

from each import ROOT, tracked

LINES_MAX = 1000  # past that a file holds two nouns
SOURCE = ("*.c", "*.h", "*.def", "*.py", "*.java", "*.sh", "*.schema")
# ELF, ar, zip and jar, gzip, a Java class
MADE = (b"\x7fELF", b"!<arch>", b"PK\x03\x04", b"\x1f\x8b", b"\xca\xfe\xba\xbe")
LEFT_OVER = re.compile(r"\b(TODO|FIXME|XXX)\b")
SILENCED = re.compile(r"NOLINT(?!END)(NEXTLINE|BEGIN)?(\([\w\-.,]+\))?(?P<reason>.*)")
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|root|home)/\w|/tmp/kafka-libs")
SKIPPED_TEST = re.compile(r"\bcr_skip|@(Disabled|Ignore)\b")

# This file has to spell what it looks for.
OWN = "tests/house/test_files.py"


def lines_of(*patterns):
    for path in tracked(*patterns):
        if path != OWN:
            text = (ROOT / path).read_text(errors="replace")
            for number, line in enumerate(text.splitlines(), 1):
                yield f"{path}:{number}", line


def is_silenced_without_reason(line):
    silenced = SILENCED.search(line)
    return silenced and len(re.sub(r"[^\w]", "", silenced.group("reason"))) < 10


def has_header(path):
    """Of its name, or of the noun that it is a part of: uring_net.c is explained in uring.h."""
    stem = path[:-2]
    return path.endswith(".c") and any((ROOT / f"{noun}.h").exists()
                                       for noun in (stem, stem.rsplit("_", 1)[0]))


class Files(unittest.TestCase):
    def test_are_short_enough(self):
        for path in tracked(*SOURCE):
            with self.subTest(path):
                lines = len((ROOT / path).read_text().splitlines())
                self.assertLessEqual(lines, LINES_MAX)

    def test_were_written_by_people(self):
        """What a compiler or an archiver makes is made again; none of it is kept here."""
        found = [path for path in tracked("*") if (ROOT / path).read_bytes().startswith(MADE)]
        self.assertEqual(found, [])

    def test_leave_nothing_for_later(self):
        found = [place for place, line in lines_of(*SOURCE, "*.md", "CMakeLists.txt")
                 if LEFT_OVER.search(line) or SKIPPED_TEST.search(line)]
        self.assertEqual(found, [])

    def test_silence_a_check_only_with_a_reason(self):
        found = [place for place, line in lines_of("*.c", "*.h") if is_silenced_without_reason(line)]
        self.assertEqual(found, [])
        self.assertTrue(is_silenced_without_reason("x(); // NOLINT"))
        self.assertTrue(is_silenced_without_reason("// NOLINTNEXTLINE(misc-no-recursion)"))
        self.assertFalse(is_silenced_without_reason(
            "// NOLINTNEXTLINE(misc-no-recursion): bounded by the schema's depth"))

    def test_name_no_path_of_a_machine(self):
        found = [f"{place}: {line.strip()}" for place, line in lines_of("*")
                 if MACHINE_PATH.search(line)]
        self.assertEqual(found, [])

    def test_open_with_their_idea(self):
        """In the header; a .c file without one, or one that is a part of it, does so itself."""
        found = [path for path in tracked("*.[ch]", "*.def")
                 if not path.startswith("tests/") and not has_header(path)
                 and not (ROOT / path).read_text().startswith("/*")]
        self.assertEqual(found, [])

    def test_keep_structs_untypedeffed(self):
        found = [place for place, line in lines_of("*.c", "*.h")
                 if re.match(r"\s*typedef\s+(struct|union|enum)\b", line)]
        self.assertEqual(found, [])
