"""An Odradek process under test: started on a port and directory of its own, stopped or killed."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
API_VERSIONS = bytes.fromhex("0000000a 0012 0000 00000001 ffff")  # version 0, whole


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def preset():
    return os.environ.get("ODRADEK_PRESET", "release")


def binary(name="odradek", of=None):
    return ROOT / "build" / (of or preset()) / name


class Node:
    """directory: kept by the caller; else a temporary one, removed by close()."""

    def __init__(self, cores=1, directory=None, settings=(), port=None):
        self.cores = cores
        self.port = port or free_port()
        self.own = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="odradek-", dir=scratch()))
        self.settings = list(settings)
        self.process = None
        self.report = self.directory.with_name(self.directory.name + ".report")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self, seconds=60, wait=True):
        command = [str(binary()), "serve", "--cores", str(self.cores)]
        for setting in [
            f"listeners=PLAINTEXT://{self.address}",
            f"log.dirs={self.directory}",
            *self.settings,
        ]:
            command += ["-s", setting]
        with open(self.report, "ab") as report:
            self.process = subprocess.Popen(command, stderr=report, stdout=report)
        if wait:
            self.wait(seconds)
        return self

    def answers(self):
        """Not only accepts: the ring of a killed process holds on to its socket for a moment."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as client:
                client.settimeout(5)
                client.sendall(API_VERSIONS)
                return len(client.recv(4)) > 0
        except OSError:
            return False

    def wait(self, seconds=60):
        end = time.monotonic() + seconds
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the broker does not answer:\n{self.said()}")
            time.sleep(0.005)

    def said(self):
        return self.report.read_text(errors="replace")[-6000:] if self.report.exists() else ""

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=120):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        assert code == 0, f"stopped with {code}:\n{self.said()}"

    def rss_bytes(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        if self.own:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.report.unlink(missing_ok=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


def scratch():
    """On the tree's own disk: /tmp may be memory."""
    folder = ROOT / "build" / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
