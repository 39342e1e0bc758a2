"""PostgreSQL and Valkey in a data folder: started, stopped, killed, found again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from app.adapters.embedded import DataFolder, embedded_servers, running_urls
from app.adapters.embedded_postgres import EmbeddedPostgres
from app.adapters.process import FolderInUse, Ledger, ProcessRecord, end_orphan, identity
from app.adapters.supervisor import ChildFailed, StopRequested, Supervisor


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="turnero-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def in_killed_run(data_dir: Path, then: str) -> Ledger:
    """Start both servers in another process, run `then`, and kill that process; its servers go on."""
    script = f"""
import os, sys, signal
from pathlib import Path
from app.adapters.embedded import embedded_servers
with embedded_servers(Path(sys.argv[1])) as (postgres, valkey):
    {then}
    os.kill(os.getpid(), signal.SIGKILL)
"""
    result = subprocess.run((sys.executable, "-c", script, str(data_dir)), check=False, capture_output=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
    return Ledger(data_dir / "processes.json")


def ping(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        return bool(client.ping())


def test_they_start_keep_their_data_and_stop(data_dir: Path) -> None:
    with embedded_servers(data_dir, durable=False) as (postgres, valkey):
        assert postgres.query("SELECT current_setting('server_version_num')::int >= 180000", "turnero") == ["t"]
        postgres.query("CREATE TABLE kept AS SELECT 7 AS n", "turnero")
        assert ping(valkey.url())
        records = Ledger(data_dir / "processes.json").load().processes
        assert [r.name for r in records] == ["postgres", "valkey"]
        assert all(r.is_alive() for r in records)
        # Nothing listens on TCP, and nobody but the servers' user reaches the sockets.
        assert postgres.query("SHOW listen_addresses") == [""]
        assert postgres.socket_dir.stat().st_mode & 0o077 == 0
    assert not any(r.is_alive() for r in records)
    assert Ledger(data_dir / "processes.json").load().processes == []

    with embedded_servers(data_dir, durable=False) as (postgres, _valkey):
        assert postgres.query("SELECT n FROM kept", "turnero") == ["7"]


def test_up_never_turns_fsync_off(data_dir: Path) -> None:
    command = " ".join(EmbeddedPostgres(data_dir, data_dir, data_dir / "log").spec().command)
    assert "fsync" not in command
    assert "full_page_writes" not in command


def test_a_second_run_in_the_folder_is_refused(data_dir: Path) -> None:
    with DataFolder(data_dir), pytest.raises(FolderInUse, match=f"process {os.getpid()}"), DataFolder(data_dir):
        pass


def test_two_folders_run_side_by_side() -> None:
    one, two = (Path(tempfile.mkdtemp(prefix="turnero-test-")) for _ in range(2))
    try:
        with (
            embedded_servers(one, durable=False) as (postgres_one, valkey_one),
            embedded_servers(two, durable=False) as (postgres_two, valkey_two),
        ):
            postgres_one.query("CREATE TABLE only_here ()", "turnero")
            assert postgres_two.query("SELECT to_regclass('only_here') IS NULL", "turnero") == ["t"]
            assert ping(valkey_one.url())
            assert ping(valkey_two.url())
            assert valkey_one.url() != valkey_two.url()
    finally:
        for folder in (one, two):
            shutil.rmtree(folder, ignore_errors=True)


def test_a_killed_run_is_cleaned_up_by_the_next(data_dir: Path) -> None:
    ledger = in_killed_run(data_dir, 'postgres.query("CREATE TABLE kept ()", "turnero")')
    orphans = ledger.load().processes
    assert [r.name for r in orphans] == ["postgres", "valkey"]
    assert all(r.is_alive() for r in orphans)
    assert running_urls(data_dir).processes == orphans

    with embedded_servers(data_dir) as (postgres, valkey):
        assert not any(r.is_alive() for r in orphans)
        assert postgres.query("SELECT to_regclass('kept') IS NOT NULL", "turnero") == ["t"]
        assert ping(valkey.url())


def test_a_killed_server_is_started_again(data_dir: Path) -> None:
    with embedded_servers(data_dir) as (postgres, _valkey):
        postgres.query("CREATE TABLE kept AS SELECT 7 AS n", "turnero")
        (record, _) = Ledger(data_dir / "processes.json").load().processes
        os.kill(record.pid, signal.SIGKILL)
    assert (data_dir / "postgres" / "postmaster.pid").exists()

    with embedded_servers(data_dir) as (postgres, _valkey):
        assert postgres.query("SELECT n FROM kept", "turnero") == ["7"]


def test_a_stale_pid_file_whose_pid_is_another_program_by_now(data_dir: Path) -> None:
    with embedded_servers(data_dir, durable=False):
        pid_file = data_dir / "postgres" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    # PostgreSQL itself believes any process of its own user; this one is left alone all the same.
    owner = (data_dir / "postgres").stat()
    stranger = subprocess.Popen(("sleep", "60"), user=owner.st_uid if os.geteuid() == 0 else None)
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
        os.chown(pid_file, owner.st_uid, owner.st_gid)
        with embedded_servers(data_dir, durable=False) as (postgres, _valkey):
            assert postgres.query("SELECT 1") == ["1"]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_that_someone_else_started_in_the_folder_is_left_alone(data_dir: Path) -> None:
    ledger = in_killed_run(data_dir, "pass")
    postgres, valkey = ledger.load().processes
    # Without the records nothing shows that these are ours.
    (data_dir / "processes.json").unlink()
    try:
        with (
            pytest.raises(ChildFailed, match=f"did not start \\(process {postgres.pid}\\)"),
            embedded_servers(data_dir),
        ):
            pass
        assert postgres.is_alive()
    finally:
        for record in (valkey, postgres):
            end_orphan(record)


def test_a_long_path_gets_short_sockets(data_dir: Path) -> None:
    long = data_dir / ("x" * 90) / "a, b"
    with embedded_servers(long, durable=False) as (postgres, valkey):
        assert long not in postgres.socket_dir.parents
        assert postgres.socket_dir.stat().st_mode & 0o077 == 0
        assert postgres.query("SELECT 1", "turnero") == ["1"]
        assert ping(valkey.url())
    assert not postgres.socket_dir.exists()


def test_an_interrupted_initdb_leaves_nothing_half_made(data_dir: Path) -> None:
    with DataFolder(data_dir) as folder, Supervisor(folder.ledger) as supervisor:
        supervisor.request_stop()
        with pytest.raises(StopRequested):
            folder.postgres().start(supervisor)
    assert not list(data_dir.glob("postgres*"))

    # What a kill in the middle leaves behind.
    (data_dir / "postgres.new-0123").mkdir()
    (data_dir / "postgres.new-0123" / "PG_VERSION").write_text("18\n")
    with embedded_servers(data_dir, durable=False) as (postgres, _valkey):
        assert postgres.query("SELECT 1", "turnero") == ["1"]
    assert not list(data_dir.glob("postgres.new-*"))


def test_a_folder_of_another_major_version_is_refused(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(ChildFailed, match="made by PostgreSQL 17"), embedded_servers(data_dir):
        pass


def test_the_servers_do_not_run_as_root(data_dir: Path) -> None:
    with embedded_servers(data_dir, durable=False):
        for record in Ledger(data_dir / "processes.json").load().processes:
            assert os.stat(f"/proc/{record.pid}").st_uid != 0 if Path("/proc").exists() else True


def test_stopping_with_clients_connected_is_quick(data_dir: Path) -> None:
    with embedded_servers(data_dir, durable=False) as (postgres, valkey):
        client = redis.Redis.from_url(valkey.url())
        client.ping()
        psql = subprocess.Popen(
            (
                str(postgres.spec().command[0]).replace("bin/postgres", "bin/psql"),
                postgres.url(),
                "-c",
                "SELECT pg_sleep(60)",
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
        while postgres.query(waiting) != ["1"]:
            time.sleep(0.05)
        began = time.monotonic()
    assert time.monotonic() - began < 30
    assert psql.wait(30) != 0
    client.close()


def test_identity_tells_processes_apart() -> None:
    mine = identity(os.getpid())
    assert mine is not None
    assert mine == identity(os.getpid())
    assert mine != identity(os.getppid())
    record = ProcessRecord.of("me", os.getpid(), ())
    assert record is not None
    assert record.is_alive()
