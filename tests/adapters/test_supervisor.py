"""The supervisor, with small fake children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.adapters import supervisor as module
from app.adapters.process import FolderInUse, FolderLock, Ledger, ProcessRecord, end_orphan, identity
from app.adapters.supervisor import ChildFailed, ChildSpec, StopRequested, Supervisor

ENV = dict(os.environ)


def child(name: str, script: str) -> ChildSpec:
    return ChildSpec(name=name, command=("/bin/sh", "-c", script), env=ENV)


def never(_pid: int) -> bool:
    return False


def eventually(check: Callable[[], object], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "processes.json")


@pytest.fixture
def supervisor(ledger: Ledger) -> Iterator[Supervisor]:
    with Supervisor(ledger) as running:
        yield running


def test_start_waits_until_ready_and_stop_ends_it(supervisor: Supervisor, ledger: Ledger, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    one = child("one", f"sleep 0.2; : > {flag}; while :; do sleep 0.1; done")
    supervisor.start(replace(one, is_ready=lambda _pid: flag.exists()))
    assert flag.exists()
    (record,) = ledger.load().processes
    assert record.name == "one"
    assert record.is_alive()

    supervisor.stop()
    assert not record.is_alive()
    assert ledger.load().processes == []


def test_a_child_that_ends_before_it_is_ready_is_reported_with_its_log(supervisor: Supervisor, tmp_path: Path) -> None:
    spec = replace(child("one", "echo the reason; exit 3"), is_ready=never, log=tmp_path / "one.log")
    with pytest.raises(ChildFailed, match=r"(?s)one ended with exit code 3.*the reason"):
        supervisor.start(spec)


def test_a_child_that_takes_too_long_is_reported(supervisor: Supervisor) -> None:
    with pytest.raises(ChildFailed, match="not ready in 0 s"):
        supervisor.start(replace(child("one", "exec sleep 60"), is_ready=never, ready_timeout_s=0.1))


def test_a_stop_during_a_start_is_heard(supervisor: Supervisor) -> None:
    supervisor.request_stop()
    with pytest.raises(StopRequested):
        supervisor.start(replace(child("one", "exec sleep 60"), is_ready=never))


def test_a_killed_child_is_started_again(supervisor: Supervisor) -> None:
    prepared: list[int] = []
    supervisor.start(replace(child("one", "exec sleep 60"), prepare=lambda: prepared.append(1)))
    first = supervisor.pid_of("one")
    assert first is not None
    os.kill(first, signal.SIGKILL)

    def restarted() -> bool:
        supervisor.tick()
        return supervisor.pid_of("one") not in {None, first}

    eventually(restarted)
    assert prepared == [1]


def test_ten_failures_in_a_row_are_enough(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", 0.001)
    count = tmp_path / "count"
    supervisor.start(child("one", f"echo x >> {count}; exit 1"))
    with pytest.raises(ChildFailed, match="10 times in a row"):
        supervisor.watch()
    assert count.read_text().count("x") == 10


def test_a_child_that_lived_begins_a_new_row(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", 0.001)
    monkeypatch.setattr(module, "STABLE_AFTER_S", 0.0)
    starts: list[int] = []
    supervisor.start(replace(child("one", "exit 1"), prepare=lambda: starts.append(1)))

    def many() -> bool:
        supervisor.tick()
        return len(starts) > 15

    eventually(many)


def test_stages_end_in_order_and_a_deaf_child_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    order = tmp_path / "order"
    said = tmp_path / "said"

    def trapping(name: str, stage: int) -> ChildSpec:
        script = f"trap 'echo {name} >> {order}; exit 0' TERM; echo up >> {said}; while :; do sleep 0.02; done"
        return replace(child(name, script), stage=stage)

    deaf = replace(
        child("deaf", f"trap '' TERM; echo up >> {said}; while :; do sleep 0.02; done"),
        stage=2,
        stop=((signal.SIGTERM, 0.3), (signal.SIGKILL, 1.0)),
    )
    for spec in (trapping("database", 0), trapping("cache", 1), trapping("api", 2), deaf):
        supervisor.start(spec)
    eventually(lambda: said.exists() and said.read_text().count("up") == 4)

    began = time.monotonic()
    supervisor.stop()
    assert 0.3 <= time.monotonic() - began < 30
    assert order.read_text().split() == ["api", "cache", "database"]


def test_run_once_gives_the_output_or_the_errors(supervisor: Supervisor, ledger: Ledger) -> None:
    assert supervisor.run_once(child("chore", "echo done")) == "done\n"
    with pytest.raises(ChildFailed, match="no good"):
        supervisor.run_once(child("chore", "echo no good >&2; exit 1"))
    assert ledger.load().processes == []


def test_children_end_by_themselves_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    """A child of `up` reads EOF from the pipe that the supervisor held."""
    following = "from app.adapters.supervisor import follow_supervisor as f; import time; f(); print(1); time.sleep(60)"
    script = f"""
import os, sys, pathlib
from app.adapters.process import Ledger
from app.adapters.supervisor import ChildSpec, Supervisor
with Supervisor(Ledger(pathlib.Path(sys.argv[1]))) as s:
    s.start(ChildSpec("one", (sys.executable, "-u", "-c", {following!r}), dict(os.environ), follows_supervisor=True))
    s.watch()
"""
    path = tmp_path / "processes.json"
    running = subprocess.Popen((sys.executable, "-c", script, str(path)), stdout=subprocess.PIPE)
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == b"1\n"
    finally:
        running.kill()
        running.wait()
        if running.stdout is not None:
            running.stdout.close()
    (record,) = Ledger(path).load().processes
    eventually(lambda: not record.is_alive())


def test_a_signal_asks_for_the_end(supervisor: Supervisor) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests run under nohup, and so by it
    try:
        with supervisor.signals():
            os.kill(os.getpid(), signal.SIGHUP)
            eventually(lambda: supervisor.stop_requested)
            supervisor.watch()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_record_never_matches_a_later_process_with_its_pid() -> None:
    """Nothing is signalled that we did not start, even when the pid is the same."""
    stranger = subprocess.Popen(("sleep", "60"))
    try:
        true = ProcessRecord.of("one", stranger.pid, ())
        assert true is not None
        assert true.is_alive()
        older = ProcessRecord("one", stranger.pid, "another-start", true.executable)
        other = ProcessRecord("one", stranger.pid, true.identity, "/usr/bin/another-program")
        for record in (older, other):
            assert not record.is_alive()
            end_orphan(record)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    assert identity(stranger.pid) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"processes": [{"name": 1}]}', json.dumps({"processes": None})])
def test_a_damaged_ledger_reads_as_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "processes.json"
    path.write_text(text)
    assert Ledger(path).load().processes == []


def test_the_lock_names_its_holder_and_frees_itself(tmp_path: Path) -> None:
    with (
        FolderLock(tmp_path),
        pytest.raises(FolderInUse, match=f"process {os.getpid()}") as refused,
        FolderLock(tmp_path),
    ):
        pass
    assert refused.value.pid == os.getpid()
    with FolderLock(tmp_path):
        pass
