"""
All that is random, timed or does I/O goes through core/, and bytes from strangers are read by the
cursor alone. What a room calls is read from the undefined symbols of its library, so no spelling
hides it; what the compiler would inline is searched for in the source.
"""

import re
import subprocess
import unittest

from each import ROOT, tracked

ROOMS_ABOVE_CORE = ("log", "net", "shard")

# Nowhere at all: the environment and hidden state decide nothing, and what these would give a
# simulated run, its seed could not repeat.
NEVER = set("""
    getenv secure_getenv setenv rand srand random srandom rand_r drand48 lrand48
    strtok gets sprintf vsprintf strcpy strcat
    localtime gmtime asctime ctime
""".split())

# Only in core/, behind reactor.h, files.h and their like.
ONLY_IN_CORE = NEVER | set("""
    time clock clock_gettime gettimeofday nanosleep clock_nanosleep usleep sleep
    getrandom getentropy arc4random arc4random_buf arc4random_uniform
    read write pread pwrite readv writev preadv pwritev open open64 openat openat64 creat creat64
    close dup dup2 pipe pipe2 fsync fdatasync syncfs sync ftruncate ftruncate64 fallocate
    fallocate64 posix_fallocate posix_fallocate64 rename renameat renameat2 unlink unlinkat mkdir
    mkdirat rmdir link linkat symlink stat fstat lstat fstatat stat64 fstat64 lstat64 fstatat64
    statx opendir readdir readdir64 closedir sendfile sendfile64 splice copy_file_range
    socket bind listen accept accept4 connect send sendto sendmsg sendmmsg recv recvfrom recvmsg
    recvmmsg shutdown setsockopt getsockopt getsockname getpeername getaddrinfo
    poll ppoll select pselect epoll_create1 epoll_ctl epoll_wait eventfd
    fopen fopen64 freopen fclose fread fwrite fputs fputc puts putchar printf fprintf vprintf
    vfprintf dprintf perror syslog fflush stdout stderr stdin
    __printf_chk __fprintf_chk __read_chk __pread_chk __pread64_chk
    pthread_create pthread_mutex_lock pthread_cond_wait pthread_key_create sem_wait
    fork vfork execve execvp system popen signal sigaction kill raise syscall ioctl
    exit _exit
""".split())

# Byte order by hand. Inlined by the compiler, hence searched for as words.
WIRE_READS = re.compile(
    r"\b(ntohl|ntohs|htonl|htons|be(16|32|64)toh|htobe(16|32|64)|__builtin_bswap(16|32|64)"
    r"|bswap_(16|32|64))\b")
WIRE_READERS = ("core/cursor", "core/big_endian.h",
                "core/uring_net.c")  # the kernel's socket addresses have ports in network order
# core/big_endian.h is for places whose bounds were checked, such as a batch's header. A request's bytes
# are nobody's to measure by hand.
UNCHECKED_LOADS = re.compile(r"\bbig_endian_load(16|32|64)\b")


def calls(room):
    listing = subprocess.run(["nm", "--undefined-only", "--format=just-symbols",
                              ROOT / "build" / "debug" / f"lib{room}.a"],
                             text=True, check=True, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL).stdout
    return {line for line in listing.split() if not line.endswith(":")}


class Calls(unittest.TestCase):
    def test_rooms_above_core_do_nothing_themselves(self):
        for room in ROOMS_ABOVE_CORE:
            with self.subTest(room):
                self.assertEqual(sorted(calls(room) & ONLY_IN_CORE), [])

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
        self.assertTrue(calls("core"), "core calls nothing? then these tests look at the wrong place")
