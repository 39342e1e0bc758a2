"""Processes that outlive a function call: who a pid is, which ones we started, how they end, and the folder's lock.

A pid alone says nothing: the system gives it to the next process. A record therefore holds the instant at which the
process began and its program too, and a process is only ever touched when all three agree.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

_HAS_PROC = Path("/proc/self/stat").exists()

StopSteps = tuple[tuple[int, float], ...]
"""(signal, seconds to wait before the next step). After the last step nothing more is tried."""

GENTLY: StopSteps = ((signal.SIGTERM, 2.8), (signal.SIGKILL, 0.5))


def identity(pid: int) -> str | None:
    """What tells this process from a later one with the same pid; None when it is gone (a zombie is gone).

    Where there is /proc: ticks since boot, since a creation time would move when the clock is set.
    """
    if _HAS_PROC:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in {"Z", "X"} else f"{boot}:{fields[19]}"
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.6f}"
    except psutil.Error:
        return None


def executable(pid: int) -> str:
    """Path of the program that a pid runs; empty when it may not be read."""
    try:
        return psutil.Process(pid).exe().removesuffix(" (deleted)")
    except (psutil.Error, OSError):
        return ""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process that we started, as kept on disk."""

    name: str
    pid: int
    identity: str
    executable: str
    stop: StopSteps = GENTLY

    @classmethod
    def of(cls, name: str, pid: int, stop: StopSteps) -> ProcessRecord | None:
        """None when the process is gone already."""
        who = identity(pid)
        return None if who is None else cls(name, pid, who, executable(pid), stop)

    def is_alive(self) -> bool:
        """True only for the very process that was recorded."""
        if identity(self.pid) != self.identity:
            return False
        program = executable(self.pid)
        return not program or not self.executable or program == self.executable


@dataclass(slots=True)
class RunState:
    """What the run in a data folder left behind for the next one, and for commands beside it."""

    processes: list[ProcessRecord] = field(default_factory=list)
    database_url: str | None = None
    """Of the embedded server, once it answers; never one that the operator gave, which may hold a password."""
    redis_url: str | None = None
    socket_dir: str | None = None
    """A folder outside the data folder, to be removed; None when the sockets are inside."""


class Ledger:
    """The run state in `processes.json`. Written whole and renamed, so that a reader never sees half of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.state = RunState()

    def load(self) -> RunState:
        """The state on disk. A missing or damaged file (power loss) reads as empty: its processes ended with it."""
        try:
            raw = json.loads(self._path.read_text())
            records = [
                ProcessRecord(
                    name=str(r["name"]),
                    pid=int(r["pid"]),
                    identity=str(r["identity"]),
                    executable=str(r["executable"]),
                    stop=tuple((int(number), float(seconds)) for number, seconds in r["stop"]),
                )
                for r in raw["processes"]
            ]
            return RunState(records, raw["database_url"], raw["redis_url"], raw["socket_dir"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return RunState()

    def add(self, record: ProcessRecord) -> None:
        self.remove(record.pid)
        self.state.processes.append(record)
        self.save()

    def remove(self, pid: int) -> None:
        self.state.processes = [r for r in self.state.processes if r.pid != pid]
        self.save()

    def save(self) -> None:
        draft = self._path.with_suffix(".new")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(self.state), file, indent=1)
        if os.geteuid() == 0:
            # Root may run once in a folder of someone who must be able to run in it again.
            folder = self._path.parent.stat()
            os.chown(draft, folder.st_uid, folder.st_gid)
        draft.replace(self._path)


@dataclass(frozen=True, slots=True)
class Ending:
    """A process to be ended: how to signal it, how to know that it is gone, and the steps."""

    is_gone: Callable[[], bool]
    send: Callable[[int], None]
    steps: StopSteps


def end_all(endings: Sequence[Ending]) -> None:
    """End processes side by side, each by its own steps. Returns when all are gone or have no step left."""
    pending = {index: (ending, iter(ending.steps), 0.0) for index, ending in enumerate(endings)}
    while pending:
        for index, (ending, steps, deadline) in list(pending.items()):
            if ending.is_gone():
                del pending[index]
            elif time.monotonic() >= deadline:
                step = next(steps, None)
                if step is None:
                    del pending[index]
                    continue
                ending.send(step[0])
                pending[index] = (ending, steps, time.monotonic() + step[1])
        time.sleep(0.01 if pending else 0)


def end_orphan(record: ProcessRecord) -> None:
    """End a process of an earlier run. Does nothing when the pid belongs to another process by now."""

    def send(number: int) -> None:
        if record.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, number)

    end_all([Ending(is_gone=lambda: not record.is_alive(), send=send, steps=record.stop)])


class FolderInUse(Exception):
    """Another process holds the folder. `pid` is None when it did not say."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        who = f" (process {pid})" if pid else ""
        super().__init__(
            f"Turnero already runs in {folder}{who}. Stop it first, or use another folder: "
            "turnero up --data-dir FOLDER --port PORT (make up DATA_DIR=FOLDER PORT=PORT)."
        )
        self.folder = folder
        self.pid = pid


class FolderLock:
    """One run per data folder. The kernel frees the lock when its holder dies, however it dies: it never goes stale."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "turnero.lock"
        self._fd: int | None = None

    def __enter__(self) -> FolderLock:
        # The file stays: removing it would let two runs lock two files of one name.
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 20).decode(errors="replace").strip()
            os.close(fd)
            raise FolderInUse(self._folder, int(holder) if holder.isdigit() else None) from None
        except BaseException:
            os.close(fd)
            raise
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
