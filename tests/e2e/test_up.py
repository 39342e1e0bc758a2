"""`turnero up` as a person runs it: real processes, real signals."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from app.adapters.process import Ledger, ProcessRecord

READY = "Ctrl-C stops everything."


@dataclass(slots=True)
class Up:
    """A running `turnero up`, without demo data."""

    data_dir: Path
    port: int
    process: subprocess.Popen[str]
    output: str = ""

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        while READY not in self.output:
            line = self.process.stdout.readline()
            assert line, f"ended before it was ready:\n{self.output}"
            self.output += line

    def records(self) -> dict[str, ProcessRecord]:
        return {r.name: r for r in Ledger(self.data_dir / "processes.json").load().processes}

    def has_replaced(self, name: str, before: ProcessRecord) -> bool:
        return self.records().get(name, before) != before

    def status(self, method: str = "GET", path: str = "/health/ready") -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path)
            return connection.getresponse().status
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """An answer that takes long is none yet; a closed port raises."""
        with suppress(TimeoutError):
            return self.status() == 200
        return False

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)


def run_up(data_dir: Path, port: int) -> Up:
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith("TURNERO_") and k not in {"DATABASE_URL", "REDIS_URL"}
    }
    options = ("--data-dir", str(data_dir), "--port", str(port), "--no-seed")
    process = subprocess.Popen(
        (sys.executable, "-P", "-m", "app", "up", *options),
        env=kept,
        cwd=data_dir,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Up(data_dir, port, process)


@contextmanager
def running_up() -> Iterator[Up]:
    """One in a folder of its own, ready."""
    folder = Path(tempfile.mkdtemp(prefix="turnero-test-"))
    running = run_up(folder, free_port())
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def lasting() -> Iterator[Up]:
    """For tests that leave it at work."""
    with running_up() as running:
        yield running


@pytest.fixture
def up() -> Iterator[Up]:
    """For a test that ends it."""
    with running_up() as running:
        yield running


def test_it_serves(lasting: Up) -> None:
    assert lasting.status() == 200
    assert f"http://127.0.0.1:{lasting.port}/graphql" in lasting.output
    for processor, answer in (("stripe", 400), ("mercadopago", 400), ("cash", 404)):  # there, and not signed
        assert lasting.status("POST", f"/webhooks/{processor}") == answer
    records = lasting.records()
    assert set(records) == {"postgres", "valkey", "sandbox", "api", "worker"}
    assert all(r.is_alive() for r in records.values())


def test_a_second_up_in_the_folder_is_refused(lasting: Up) -> None:
    second = run_up(lasting.data_dir, free_port())
    output, _ = second.process.communicate(timeout=60)
    assert second.process.returncode == 1
    assert f"already runs in {lasting.data_dir.resolve()} (process {lasting.process.pid})" in output
    assert lasting.status() == 200


def test_killed_children_come_back_and_the_port_stays_open(lasting: Up) -> None:
    for name in ("api", "worker", "sandbox", "valkey", "postgres"):
        before = lasting.records()[name]
        os.kill(before.pid, signal.SIGKILL)
        eventually(partial(lasting.has_replaced, name, before))
        eventually(lasting.is_ready)
    # One of those that was not killed may have ended with its database, and be on its way back.
    eventually(lambda: all(r.is_alive() for r in lasting.records().values()))


def test_what_a_killed_supervisor_leaves_is_taken_up_by_the_next_which_ctrl_c_ends(up: Up) -> None:
    left = up.records()
    up.process.kill()
    up.process.wait()
    eventually(lambda: not left["api"].is_alive() and not left["worker"].is_alive())
    assert left["postgres"].is_alive()

    again = run_up(up.data_dir, up.port)
    try:
        again.wait_until_ready()
        assert again.status() == 200
        assert not any(r.is_alive() for r in left.values())
        _end_by_ctrl_c(again)
    finally:
        again.end()


def _end_by_ctrl_c(up: Up) -> None:
    """Everything is gone in two or three seconds, or a few more where the machine has other things to do."""
    records = up.records()
    assert set(records) == {"postgres", "valkey", "sandbox", "api", "worker"}
    # A terminal's Ctrl-C goes to its foreground group: the children must not be in it.
    group = os.getpgid(up.process.pid)
    assert all(os.getpgid(r.pid) != group for r in records.values())
    began = time.monotonic()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30) == 0
    assert time.monotonic() - began < 15
    assert not any(r.is_alive() for r in records.values())
    assert up.records() == {}


def eventually(check: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.1)


def free_port() -> int:
    """Below the ports that the system hands out by itself: one of those may be taken again before it is used."""
    while True:
        port = random.randrange(20_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
