"""
The checkers of the suites with clients object to what is wrong. Those of tests/codec and
tests/kafkadir need Java and show it there; tests/planted shows it for tests/sim.
"""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import socket
import struct
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from each import ROOT

sys.path.insert(0, str(ROOT / "tests" / "lib"))
import suite  # noqa: E402
import wire  # noqa: E402


def program(name):
    """tests/NAME/run as a module; nothing of it runs."""
    path = str(ROOT / "tests" / name / "run")
    loader = importlib.machinery.SourceFileLoader(f"{name}_run", path)
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    return module


class Crash(unittest.TestCase):
    """What tests/crash finds in a partition at the end."""

    def setUp(self):
        self.run = program("crash")
        self.values = [f"value {i}".encode() for i in range(6)]

    def producer(self, idempotent, acknowledged):
        producer = self.run.Producer(None, "t", 0, idempotent, 1)
        producer.epoch = 0 if idempotent else -1
        producer.sent = list(self.values)
        producer.acknowledged = {self.values[i]: i for i in acknowledged}
        return producer

    def objects(self, producer, values, offsets=None):
        found = list(zip(offsets or range(len(values)), values))
        with self.assertRaises(AssertionError, msg=str(found)):
            self.run.judge(producer, found)

    def test_takes_what_is_right(self):
        for idempotent in (False, True):
            found = list(enumerate(self.values))
            self.run.judge(self.producer(idempotent, range(6)), found)
        self.run.judge(self.producer(False, (0, 1)), list(enumerate(self.values[:4])))

    def test_objects_to_an_acknowledged_record_that_is_lost(self):
        for idempotent in (False, True):
            for i in range(6):
                self.objects(self.producer(idempotent, range(6)),
                             self.values[:i] + self.values[i + 1:])

    def test_objects_to_a_record_that_is_there_twice(self):
        for idempotent in (False, True):
            self.objects(self.producer(idempotent, ()), self.values + self.values[-1:])
            self.objects(self.producer(idempotent, ()), self.values[:1] + self.values)

    def test_objects_to_another_order(self):
        for idempotent in (False, True):
            swapped = [self.values[i] for i in (0, 2, 1, 3, 4, 5)]
            self.objects(self.producer(idempotent, ()), swapped)

    def test_objects_to_another_offset_and_to_a_gap(self):
        producer = self.producer(False, ())
        producer.acknowledged[self.values[2]] = 3
        self.objects(producer, self.values)
        self.objects(self.producer(False, ()), self.values, (0, 1, 2, 4, 5, 6))

    def test_objects_to_what_nobody_sent(self):
        with self.assertRaises(Exception):
            self.run.judge(self.producer(False, ()), [(0, b"something else")])

    def test_objects_to_an_idempotent_record_that_is_missing_unacknowledged(self):
        self.objects(self.producer(True, ()), self.values[:3] + self.values[4:])


class Wire(unittest.TestCase):
    def test_a_changed_byte_of_a_batch_is_seen(self):
        data = wire.batch([b"one", b"two"])
        self.assertEqual(wire.batches(data), [(0, [b"one", b"two"])])
        for at in range(21, len(data)):
            with self.assertRaises(AssertionError):
                wire.batches(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])


class Interop(unittest.TestCase):
    def test_objects_to_what_came_back_otherwise(self):
        run = program("interop")
        with tempfile.TemporaryDirectory() as folder:
            path, back = Path(folder) / "sent", Path(folder) / "back"
            text = b"one\ntwo\nthree\n"
            path.write_bytes(text)
            back.write_bytes(text)
            run.is_back(path, back)
            for other in (text[:-1], text[:-6], text + b"x", b"One" + text[3:], b"",
                          b"two\none\nthree\n"):
                back.write_bytes(other)
                with self.assertRaises(AssertionError, msg=str(other)):
                    run.is_back(path, back)

    def test_objects_to_a_client_that_fails(self):
        run = program("interop")
        with self.assertRaises(AssertionError):
            run.run(["false"])


class Peer(threading.Thread):
    """Takes one connection and answers each frame with the same bytes; None: never, b"": closes."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.start()

    def run(self):
        with self.listener, contextlib.suppress(ConnectionError):
            with self.listener.accept()[0] as connection:
                while head := connection.recv(1 << 16):
                    if self.answer == b"":
                        return
                    if self.answer is not None:
                        connection.sendall(struct.pack(">i", len(self.answer) + 4) + head[8:12]
                                           + self.answer)


class BadInput(unittest.TestCase):
    def setUp(self):
        self.run = program("badinput")

    def bench(self, answer):
        bench = self.run.Bench.__new__(self.run.Bench)
        bench.node = Peer(answer)
        return bench

    def produced(self, error, offset):
        row = wire.string("bad") + struct.pack(">iihqqq", 1, 0, error, offset, -1, 0)
        return struct.pack(">i", 1) + row + struct.pack(">ih", 0, -1) + struct.pack(">i", 0)

    def test_sees_whether_a_connection_is_closed(self):
        self.bench(b"").closes(b"\0\0\0\5hello")
        with self.assertRaises(AssertionError):
            self.bench(None).closes(b"\0\0\0\5hello", seconds=0.05)
        with self.assertRaises(AssertionError):
            self.bench(b"an answer").closes(b"\0\0\0\5hello.......")

    def test_sees_another_error(self):
        records = wire.batch([b"x"])
        self.bench(self.produced(87, -1)).refuses(records, 87)
        with self.assertRaises(AssertionError):
            self.bench(self.produced(2, -1)).refuses(records, 87)
        with self.assertRaises(AssertionError):
            self.bench(self.produced(0, 7)).refuses(records, 87)

    def test_runs_every_row_that_is_written(self):
        listed = {row.__name__ for row in self.run.ROWS}
        written = {name for name in vars(self.run) if name[0] == "p" and name[1].isdigit()}
        self.assertEqual(written - listed, set())


class Counting(unittest.TestCase):
    """tests/lib/suite.py, which counts for most of them."""

    def end(self, function, ci="false"):
        def one():
            tests = suite.Suite([])
            tests.run("planted", function)
            tests.end()

        said, before = io.StringIO(), os.environ.get("CI")
        os.environ["CI"] = ci
        try:
            with contextlib.redirect_stdout(said), self.assertRaises(SystemExit) as ended:
                one()
        finally:
            os.environ.pop("CI")
            if before is not None:
                os.environ["CI"] = before
        return said.getvalue().splitlines()[-1], ended.exception.code

    def test_a_test_that_raises_has_failed(self):
        def fails():
            raise KeyError("not even an assertion")

        self.assertEqual(self.end(fails), ("0 passed, 1 failed, 0 skipped", 1))
        self.assertEqual(self.end(lambda: None), ("1 passed, 0 failed, 0 skipped", 0))

    def test_a_skip_has_failed_in_ci(self):
        def skips():
            raise suite.Skip("no Java here")

        self.assertEqual(self.end(skips), ("0 passed, 0 failed, 1 skipped", 0))
        self.assertEqual(self.end(skips, ci="true"), ("0 passed, 1 failed, 0 skipped", 1))
