"""A raw Kafka client, for tests that need to see or to break every byte.

It speaks the newest version of each API before the flexible ones, whose encodings have a proof of
their own (tests/codec): int16 strings, int32 arrays.
"""

import socket
import struct

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS = 0, 1, 2, 3, 18
CREATE_TOPICS, DELETE_TOPICS, INIT_PRODUCER_ID = 19, 20, 22


def _table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def string(text):
    if text is None:
        return struct.pack(">h", -1)
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack(">h", len(data)) + data


def blob(data):
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


def varint(value):
    value = value << 1 ^ value >> 63
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def record(offset, value, key=None, timestamp=0, headers=()):
    body = b"\0" + varint(timestamp) + varint(offset)
    for part in (key, value):
        body += varint(-1) if part is None else varint(len(part)) + part
    body += varint(len(headers))
    for name, content in headers:
        body += varint(len(name)) + name + varint(len(content)) + content
    return varint(len(body)) + body


def batch(values, pid=-1, epoch=-1, sequence=-1, timestamp=1_700_000_000_000, attributes=0,
          base_offset=0, records=None, count=None, delta=None, crc=None, magic=2, length=None,
          max_timestamp=None):
    """One RecordBatch. `records`: its body, when it is not made from `values`."""
    count = len(values) if count is None else count
    delta = len(values) - 1 if delta is None else delta
    if records is None:
        records = b"".join(record(i, value) for i, value in enumerate(values))
    body = struct.pack(">hiqqqhii", attributes, delta, timestamp,
                       timestamp if max_timestamp is None else max_timestamp, pid, epoch,
                       sequence, count) + records
    crc = crc32c(body) if crc is None else crc
    length = len(body) + 9 if length is None else length
    return struct.pack(">qiibI", base_offset, length, -1, magic, crc) + body


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0] if len(values) == 1 else values

    def string(self):
        size = self.take("h")
        return None if size < 0 else self.bytes(size).decode(errors="replace")

    def blob(self):
        size = self.take("i")
        return None if size < 0 else self.bytes(size)

    def bytes(self, size):
        self.at += size
        return self.data[self.at - size:self.at]

    def array(self, item):
        return [item() for _ in range(self.take("i"))]


class Closed(Exception):
    """The broker closed the connection."""


class Client:
    def __init__(self, address, client_id="tests", timeout=20):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client_id = client_id
        self.correlation = 0

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- frames ---------------------------------------------------------------

    def send_bytes(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def frame(self, key, version, body):
        self.correlation += 1
        header = struct.pack(">hhi", key, version, self.correlation) + string(self.client_id)
        return struct.pack(">i", len(header) + len(body)) + header + body

    def send(self, key, version, body):
        self.send_bytes(self.frame(key, version, body))
        return self.correlation

    def _read(self, size):
        data = bytearray()
        while len(data) < size:
            try:
                piece = self.socket.recv(min(size - len(data), 1 << 20))
            except ConnectionResetError as error:
                raise Closed from error
            if not piece:
                raise Closed
            data += piece
        return bytes(data)

    def receive(self):
        size = struct.unpack(">i", self._read(4))[0]
        reader = Reader(self._read(size))
        return reader.take("i"), reader

    def ask(self, key, version, body):
        sent = self.send(key, version, body)
        correlation, reader = self.receive()
        assert correlation == sent, f"answer {correlation} to request {sent}"
        return reader

    def is_closed(self, seconds=20):
        """Nothing but the end comes."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    # -- requests -------------------------------------------------------------

    def api_versions(self):
        reader = self.ask(API_VERSIONS, 2, b"")
        error = reader.take("h")
        return error, {key: (low, high) for key, low, high in
                       reader.array(lambda: reader.take("hhh"))}

    def create_topic(self, name, partitions=1, configs=(), replicas=1, timeout_ms=10000,
                     assignments=()):
        body = array([string(name) + struct.pack(">ih", partitions, replicas)
                      + array([struct.pack(">i", index) + array([struct.pack(">i", n) for n in who])
                               for index, who in assignments])
                      + array([string(k) + string(v) for k, v in configs])])
        reader = self.ask(CREATE_TOPICS, 4, body + struct.pack(">ib", timeout_ms, 0))
        reader.take("i")
        rows = reader.array(lambda: (reader.string(), reader.take("h"), reader.string()))
        return rows[0][1]

    def delete_topic(self, name):
        reader = self.ask(DELETE_TOPICS, 3, array([string(name)]) + struct.pack(">i", 10000))
        reader.take("i")
        return reader.array(lambda: (reader.string(), reader.take("h")))[0][1]

    def metadata(self, topics=None, auto_create=False):
        body = struct.pack(">i", -1) if topics is None else array([string(t) for t in topics])
        reader = self.ask(METADATA, 8, body + struct.pack(">bbb", auto_create, 0, 0))
        reader.take("i")
        brokers = reader.array(lambda: (reader.take("i"), reader.string(), reader.take("i"),
                                        reader.string()))
        reader.string(), reader.take("i")

        def partition():
            row = reader.take("hiii")
            for _ in range(3):
                reader.array(lambda: reader.take("i"))
            return row

        def topic():
            row = (reader.take("h"), reader.string(), reader.take("b"), reader.array(partition))
            reader.take("i")
            return row

        return brokers, reader.array(topic)

    def init_producer_id(self):
        reader = self.ask(INIT_PRODUCER_ID, 1, string(None) + struct.pack(">i", 60000))
        _, error, pid, epoch = reader.take("ihqh")
        assert error == 0, f"InitProducerId: {error}"
        return pid, epoch

    @staticmethod
    def produce_body(parts, acks=-1, timeout_ms=30000, transactional_id=None):
        """parts: [(topic, partition, records)]"""
        topics = [string(t) + array([struct.pack(">i", p) + blob(r)]) for t, p, r in parts]
        return string(transactional_id) + struct.pack(">hi", acks, timeout_ms) + array(topics)

    @staticmethod
    def produce_reply(reader, version=8):
        """[(topic, partition, error, base offset)], of version 5 or later"""
        rows = []

        def partition(topic):
            index, error, base, _, _ = reader.take("ihqqq")
            if version >= 8:
                reader.array(lambda: (reader.take("i"), reader.string()))
                reader.string()
            rows.append((topic, index, error, base))

        def topic():
            name = reader.string()
            reader.array(lambda: partition(name))

        reader.array(topic)
        return rows

    def produce(self, topic, partition, records, acks=-1, version=8):
        body = self.produce_body([(topic, partition, records)], acks)
        if acks == 0:
            self.send(PRODUCE, version, body)
            return None
        return self.produce_reply(self.ask(PRODUCE, version, body), version)[0][2:]

    def fetch_body(self, parts, max_wait_ms=500, min_bytes=1, max_bytes=50 << 20, session=(0, -1),
                   forgotten=(), isolation=0, replica=-1, epoch=-1):
        """parts: [(topic, partition, offset, partition max bytes)]"""
        topics = [string(t) + array([struct.pack(">iiqqi", p, epoch, offset, -1, size)])
                  for t, p, offset, size in parts]
        return (struct.pack(">iiiibii", replica, max_wait_ms, min_bytes, max_bytes, isolation,
                            *session)
                + array(topics)
                + array([string(t) + array([struct.pack(">i", p)]) for t, p in forgotten])
                + string(""))

    @staticmethod
    def fetch_reply(reader):
        """error, session id, {(topic, partition): (error, high watermark, log start, records)}"""
        _, error, session = reader.take("ihi")
        parts = {}

        def partition(topic):
            index, code, high, _, start = reader.take("ihqqq")
            reader.array(lambda: reader.take("qq"))
            reader.take("i")
            parts[topic, index] = (code, high, start, reader.blob() or b"")

        def topic():
            name = reader.string()
            reader.array(lambda: partition(name))

        reader.array(topic)
        return error, session, parts

    def fetch(self, topic, partition, offset, size=1 << 20, **options):
        body = self.fetch_body([(topic, partition, offset, size)], **options)
        error, _, parts = self.fetch_reply(self.ask(FETCH, 11, body))
        assert error == 0, f"Fetch: {error}"
        return parts[topic, partition]

    def list_offset(self, topic, partition, timestamp):
        body = struct.pack(">ib", -1, 0) + array(
            [string(topic) + array([struct.pack(">iiq", partition, -1, timestamp)])])
        reader = self.ask(LIST_OFFSETS, 5, body)
        reader.take("i")
        rows = reader.array(lambda: (reader.string(),
                                     reader.array(lambda: reader.take("ihqqi"))))
        return rows[0][1][0][1:4]

    def drain(self, topic, partition, end=None):
        """All records of uncompressed batches from the log's start: [(offset, value)]"""
        found, offset = [], self.list_offset(topic, partition, -2)[2]
        end = self.list_offset(topic, partition, -1)[2] if end is None else end
        while offset < end:
            error, _, _, data = self.fetch(topic, partition, offset, 8 << 20)
            assert error == 0 and data, f"{topic}-{partition} at {offset}: error {error}"
            before = offset
            for base, values in batches(data):
                found += [(base + i, value) for i, value in enumerate(values)
                          if base + i >= offset]
                offset = max(offset, base + len(values))
            assert offset > before, f"{topic}-{partition}: nothing new at {offset}"
        return found


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value >> 1 ^ -(value & 1), at


def batches(data):
    """[(base offset, [value])] of the whole, uncompressed batches at the start of data."""
    out, at = [], 0
    while at + 61 <= len(data):
        base, length = struct.unpack_from(">qi", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        crc = struct.unpack_from(">I", data, at + 17)[0]
        assert crc == crc32c(data[at + 21:end]), f"CRC of the batch at offset {base}"
        count, place, values = struct.unpack_from(">i", data, at + 57)[0], at + 61, []
        for _ in range(count):
            size, place = read_varint(data, place)
            stop, place = place + size, place + 1
            _, place = read_varint(data, place)
            _, place = read_varint(data, place)
            key, place = read_varint(data, place)
            place += max(key, 0)
            size, place = read_varint(data, place)
            values.append(None if size < 0 else bytes(data[place:place + size]))
            place = stop
        out.append((base, values))
        at = end
    return out
