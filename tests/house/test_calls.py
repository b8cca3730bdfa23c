"""
All that is random, timed or does I/O goes through core/, and bytes from strangers are read by the
cursor alone. What a room calls is read from the undefined symbols of its library, so no spelling
hides it; what the compiler would inline is searched for in the source.
"""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from each import ROOT, tracked

ROOMS_ABOVE_CORE = ("log", "net", "shard")

# Nowhere at all: the environment and hidden state decide nothing, and what these would give a
# simulated run, its seed could not repeat.
NEVER = set("""
    getenv secure_getenv setenv rand srand random srandom rand_r drand48 lrand48
    strtok gets sprintf vsprintf strcpy strcat
    localtime gmtime asctime ctime
""".split())

# All that the rooms above core/ may call but our own: nothing here waits, asks the kernel or a clock,
# or remembers.
PLAIN = set("""
    malloc calloc realloc free aligned_alloc
    memchr memcmp memcpy memmem memmove memset
    strcasecmp strchr strcmp strcspn strdup strerror strlen strncasecmp strncmp strnlen strpbrk strrchr
    strspn strstr
    strtod strtol strtoll strtoul strtoull bsearch
    snprintf vsnprintf qsort
    __assert_fail __errno_location _GLOBAL_OFFSET_TABLE_
""".split())

# Byte order by hand. Inlined by the compiler, hence searched for as words.
WIRE_READS = re.compile(
    r"\b(ntohl|ntohs|htonl|htons|be(16|32|64)toh|htobe(16|32|64)|__builtin_bswap(16|32|64)"
    r"|bswap_(16|32|64))\b"
    r"|\]\s*\)*\s*<<\s*(8|16|24|32|40|48|56)\b"  # bytes put together
    r"|\*\s*\((const )?u?int(16|32|64)_t \*\)")  # bytes taken for a number
WIRE_READERS = ("core/cursor", "core/big_endian.h",
                "core/uring_net.c",  # the kernel's socket addresses have ports in network order
                "core/lz.c")  # snappy and lz4 have theirs the other way round
# core/big_endian.h is for places whose bounds were checked, such as a batch's header. A request's bytes
# are nobody's to measure by hand.
UNCHECKED_LOADS = re.compile(r"\bbig_endian_load(16|32|64)\b")


def symbols(library, *options):
    listing = subprocess.run(["nm", "--format=just-symbols", *options, library], text=True,
                             check=True, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL).stdout
    return {line for line in listing.split() if not line.endswith(":")}


def library(room):
    return ROOT / "build" / "debug" / f"lib{room}.a"


def calls(room):
    return symbols(library(room), "--undefined-only")


def foreign(called):
    """What is not defined in any room."""
    return called.difference(*(symbols(library(room), "--defined-only")
                               for room in ("core", *ROOMS_ABOVE_CORE)))


class Calls(unittest.TestCase):
    def test_rooms_above_core_do_nothing_themselves(self):
        for room in ROOMS_ABOVE_CORE:
            with self.subTest(room):
                self.assertEqual(sorted(foreign(calls(room)) - PLAIN), [])

    def test_core_does_not_call_what_has_hidden_state(self):
        self.assertEqual(sorted(calls("core") & NEVER), [])

    def test_only_the_cursor_turns_bytes_into_numbers(self):
        for path in tracked("core/*.[ch]", "log/*.[ch]", "net/*.[ch]", "shard/*.[ch]"):
            if path.startswith(WIRE_READERS):
                continue
            with self.subTest(path):
                found = [f"{number}: {line.strip()}" for number, line
                         in enumerate((ROOT / path).read_text().splitlines(), 1)
                         if WIRE_READS.search(line)]
                self.assertEqual(found, [])

    def test_requests_are_read_by_the_cursor_alone(self):
        found = [path for path in tracked("net/*.[ch]", "shard/*.[ch]")
                 if UNCHECKED_LOADS.search((ROOT / path).read_text())]
        self.assertEqual(found, [])

    def test_what_is_called_is_seen(self):
        source = """
            #include <stdio.h>
            #include <sys/mman.h>
            #include <time.h>
            void *f(FILE *file)
            {
                rewind(file);
                return time(0) ? mmap(0, 1, 0, 0, 0, 0) : 0;
            }
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "planted.o"
            subprocess.run(["gcc", "-x", "c", "-c", "-O1", "-", "-o", path], text=True,
                           input=source, check=True)
            self.assertEqual(foreign(symbols(path, "--undefined-only")) - PLAIN,
                             {"time", "mmap", "rewind"})

    def test_a_number_read_by_hand_is_seen(self):
        for line in ("x = ntohl(y);", "x = p[0] << 24 | p[1] << 16;", "x = (uint32_t)p[0] << 8;",
                     "x = ((uint64_t)p[i]) << 56;", "x = *(const uint32_t *)at;",
                     "x = __builtin_bswap64(y);"):
            self.assertTrue(WIRE_READS.search(line), line)
        self.assertFalse(WIRE_READS.search("x = 1 << 16; y = *(struct op *)at;"))
