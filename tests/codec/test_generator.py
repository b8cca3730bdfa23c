"""What a schema may not say is refused, with the line that says it."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GENERATOR = ROOT / "tools" / "codec_generator.py"
HEAD = "message Thing  versions 0-5  flexible 3+\n"


def generate(schema):
    """(what it complains of, the header it made)"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "thing.schema"
        path.write_text(schema)
        done = subprocess.run([sys.executable, GENERATOR, path, Path(folder) / "thing"],
                              text=True, capture_output=True)
        made = Path(folder) / "thing.h"
        return done.stderr.strip(), made.read_text() if made.exists() else ""


class Generator(unittest.TestCase):
    def refuses(self, schema, line, why):
        complaint, made = generate(schema)
        self.assertIn(why, complaint)
        self.assertIn(f"thing.schema:{line}:" if line else "thing.schema", complaint)
        self.assertEqual(made, "")

    def test_refuses_words_it_does_not_know(self):
        self.refuses("massage Thing versions 0\n", 1, "massage")
        self.refuses(HEAD + "    name  string  optional\n", 2, "optional")

    def test_refuses_a_type_misspelled(self):
        self.refuses(HEAD + "    name  sting\n", 0, "thing_sting")

    def test_refuses_a_field_or_a_tag_twice(self):
        self.refuses(HEAD + "    name  string\n    name  int32\n", 0, "twice")
        self.refuses(HEAD + "    a  int8  3+  tag 0\n    b  int8  3+  tag 0\n", 0, "twice")

    def test_refuses_a_tag_in_an_inflexible_version(self):
        self.refuses(HEAD + "    name  string  2+  tag 0\n", 0, "inflexible")

    def test_refuses_a_struct_named_like_a_parameter(self):
        self.refuses(HEAD + "    at  cursor\n        topic  string\n", 0, "parameter 'cursor'")

    def test_refuses_a_struct_that_is_null_in_some_versions_only(self):
        self.refuses(HEAD + "    at  place  null 2+\n        topic  string\n", 0, "null in all")

    def test_refuses_arrays_that_a_walk_cannot_pause_in(self):
        self.refuses(HEAD + "    at  place\n        topics  [string]\n", 0, "no array's item")
        self.refuses(HEAD + "    to  [place]  3+  tag 0\n        topics  [string]\n", 0,
                     "within a tagged array")
        self.refuses(HEAD + "    to  [place]\n        ids  [int8]  3+  tag 0\n", 0, "many of")
        lines = "".join(f"{' ' * 4 * (n + 1)}a{n}  [s{n}]\n" for n in range(4))
        self.refuses(HEAD + lines + " " * 20 + "ids  [int8]\n", 0, "more than 4 levels")

    def test_carries_versions_null_and_comments_into_the_header(self):
        complaint, made = generate(HEAD + "    name  string  1+  null 3+  # of the thing\n")
        self.assertEqual(complaint, "")
        self.assertIn("struct view name; /* 1+ or null 3+: of the thing */", made)


if __name__ == "__main__":
    unittest.main()
