"""Starts child processes, keeps them running, and ends them in order. What to run is data (`ChildSpec`)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO

import structlog

from app.adapters.process import GENTLY, Ending, Ledger, ProcessRecord, StopSteps, end_all

SUPERVISOR_FD = "TURNERO_SUPERVISOR_FD"
MOST_FAILURES = 10
"""A child that fails so often in a row is given up."""
STABLE_AFTER_S = 1.0
"""A child that lived for so long did start: its next end counts as the first failure of a new row."""
BACKOFF_S = 0.1
"""Pause before the first restart; it doubles with each failure in a row, up to 5 s."""
_TICK_S = 0.05
_LOG_LIMIT_BYTES = 10_000_000

_log = structlog.get_logger("turnero.supervisor")


class ChildFailed(Exception):
    """A child ended before it was ready, or was given up. The text is for a person."""


class StopRequested(Exception):
    """Someone asked for the end while a child was starting."""


@dataclass(frozen=True, slots=True)
class SystemUser:
    """Whom a child runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A program to run. `stage`: a higher one ends earlier; those of one stage end side by side."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    stage: int = 0
    stop: StopSteps = GENTLY
    user: SystemUser | None = None
    log: Path | None = None
    """File that takes its output; None: ours."""
    pass_fds: tuple[int, ...] = ()
    follows_supervisor: bool = False
    """It ends by itself when we die (see `follow_supervisor`)."""
    prepare: Callable[[], None] | None = None
    """Runs before each start."""
    is_ready: Callable[[int], bool] | None = None
    """Given its pid; None: ready as soon as it runs."""
    ready_timeout_s: float = 120.0


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    failures: int = 0


@dataclass(slots=True)
class Supervisor:
    """Use as a context manager: leaving the block ends every child."""

    ledger: Ledger
    _children: list[_Child] = field(default_factory=list)
    _stop_requested: bool = False
    _lifeline: tuple[int, int] | None = None

    def __enter__(self) -> Supervisor:
        # Children hold the read end; the write end is ours alone (not inheritable), so they read EOF once we are gone.
        self._lifeline = os.pipe()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for fd in self._lifeline or ():
            os.close(fd)
        self._lifeline = None

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP ask for the end while the block runs."""

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            self._stop_requested = True

        # A shell starts background jobs with SIGINT ignored; who sends it to us all the same means us. SIGHUP stays
        # ignored under nohup.
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = {number: signal.getsignal(number) for number in numbers}
        for number in before:
            signal.signal(number, on_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def stop_requested(self) -> bool:
        return self._stop_requested

    def request_stop(self) -> None:
        self._stop_requested = True

    def check_stop(self) -> None:
        """Raises StopRequested when someone asked for the end."""
        if self._stop_requested:
            raise StopRequested

    def pid_of(self, name: str) -> int | None:
        """Pid of a running child."""
        return next((c.process.pid for c in self._children if c.spec.name == name and c.process), None)

    def start(self, spec: ChildSpec) -> None:
        """Start a child and wait until it is ready. Raises ChildFailed (it ended or took too long), StopRequested."""
        child = _Child(spec)
        self._children.append(child)
        process = self._spawn(child)
        deadline = time.monotonic() + spec.ready_timeout_s
        while spec.is_ready is not None and not spec.is_ready(process.pid):
            self.check_stop()
            if process.poll() is not None:
                raise ChildFailed(f"{spec.name} ended with {_outcome(process.returncode)}.{_tail(spec.log)}")
            if time.monotonic() > deadline:
                raise ChildFailed(f"{spec.name} was not ready in {spec.ready_timeout_s:.0f} s.{_tail(spec.log)}")
            time.sleep(_TICK_S)
        # Its program may have replaced itself while it started.
        self._record(spec, process.pid)

    def run_once(self, spec: ChildSpec) -> str:
        """Run a program to its end; its standard output. Raises ChildFailed with its error output, or StopRequested."""
        child = _Child(spec)
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            process = self._spawn(child, output, errors)
            try:
                while process.poll() is None:
                    self.check_stop()
                    time.sleep(_TICK_S)
            finally:
                end_all([_ending(child, process)])
                self.ledger.remove(process.pid)
            if process.returncode != 0:
                said = (_text(errors) or _text(output)).strip()
                raise ChildFailed(f"{spec.name} ended with {_outcome(process.returncode)}:\n{said}")
            return _text(output)

    def tick(self) -> None:
        """Notice children that ended; start them again when their time comes. Raises ChildFailed for one given up."""
        now = time.monotonic()
        for child in self._children:
            if child.process is None:
                if now >= child.restart_at:
                    self._restart(child)
            elif child.process.poll() is not None:
                self._on_end(child, child.process, now)

    def check_all_run(self) -> None:
        """Raises ChildFailed when a child has ended: while starting up, that is no time to try again."""
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                raise ChildFailed(
                    f"{child.spec.name} ended with {_outcome(child.process.returncode)} while it started."
                    f"{_tail(child.spec.log)}"
                )

    def watch(self) -> None:
        """Keep the children running until someone asks for the end. Raises ChildFailed for one given up."""
        while not self._stop_requested:
            self.tick()
            time.sleep(_TICK_S)

    def stop(self) -> None:
        """End all children, the highest stage first."""
        for stage in sorted({c.spec.stage for c in self._children}, reverse=True):
            running = [(c, c.process) for c in self._children if c.spec.stage == stage and c.process]
            end_all([_ending(child, process) for child, process in running])
            for child, process in running:
                if process.poll() is not None:
                    self.ledger.remove(process.pid)
                child.process = None
        self._children.clear()

    def _restart(self, child: _Child) -> None:
        try:
            if child.spec.prepare is not None:
                child.spec.prepare()
            process = self._spawn(child)
        except (OSError, ChildFailed) as error:
            self._count_failure(child, f"did not start: {error}", time.monotonic())
        else:
            _log.info("child restarted", child=child.spec.name, pid=process.pid)

    def _on_end(self, child: _Child, process: subprocess.Popen[bytes], now: float) -> None:
        self.ledger.remove(process.pid)
        child.process = None
        if now - child.started_at >= STABLE_AFTER_S:
            child.failures = 0
        self._count_failure(child, f"ended with {_outcome(process.returncode)}", now)

    def _count_failure(self, child: _Child, what: str, now: float) -> None:
        child.failures += 1
        if child.failures >= MOST_FAILURES:
            raise ChildFailed(
                f"{child.spec.name} {what}, {child.failures} times in a row. Giving up.{_tail(child.spec.log)}"
            )
        pause = min(5.0, BACKOFF_S * 2 ** (child.failures - 1))
        child.restart_at = now + pause
        _log.warning("child failed", child=child.spec.name, what=what, failures=child.failures, restart_in_s=pause)

    def _spawn(
        self, child: _Child, output: IO[bytes] | None = None, errors: IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        spec = child.spec
        env, pass_fds = dict(spec.env), spec.pass_fds
        if spec.follows_supervisor and self._lifeline is not None:
            env[SUPERVISOR_FD] = str(self._lifeline[0])
            pass_fds = (*pass_fds, self._lifeline[0])
        with contextlib.ExitStack() as files:
            log = files.enter_context(_open_log(spec.log)) if spec.log else None
            process = subprocess.Popen(
                spec.command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output or log,
                stderr=errors or log,
                pass_fds=pass_fds,
                # Ctrl-C reaches the whole foreground group: out of it, they end when and in the order we say.
                start_new_session=True,
                cwd="/" if spec.user else None,
                umask=0o077 if spec.log else -1,
                user=spec.user.uid if spec.user else None,
                group=spec.user.gid if spec.user else None,
                extra_groups=[] if spec.user else None,
            )
        child.process = process
        child.started_at = time.monotonic()
        self._record(spec, process.pid)
        return process

    def _record(self, spec: ChildSpec, pid: int) -> None:
        record = ProcessRecord.of(spec.name, pid, spec.stop)
        if record is not None:
            self.ledger.add(record)


def follow_supervisor(within_s: float = 3) -> None:
    """In a child: end this process (SIGTERM, after `within_s` at once) when the supervisor that started it is gone."""
    number = os.environ.pop(SUPERVISOR_FD, None)
    if number is None:
        return
    fd = int(number)
    os.set_inheritable(fd, False)

    def wait_for_end() -> None:
        os.read(fd, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(within_s)
        os._exit(1)

    threading.Thread(target=wait_for_end, name="supervisor", daemon=True).start()


def _ending(child: _Child, process: subprocess.Popen[bytes]) -> Ending:
    return Ending(is_gone=lambda: process.poll() is not None, send=process.send_signal, steps=child.spec.stop)


def _outcome(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _open_log(path: Path) -> IO[bytes]:
    """The log, to be appended to. One that has grown too long becomes `.1`."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(path.suffix + ".1"))
    return open(path, "ab")


def _tail(path: Path | None, lines: int = 12) -> str:
    """The last lines of a log, to show beside an error."""
    if path is None:
        return ""
    with contextlib.suppress(OSError):
        text = path.read_bytes()[-8_000:].decode(errors="replace")
        last = "\n".join(text.splitlines()[-lines:])
        return f"\nThe end of {path}:\n{last}" if last else f" Its log is {path}."
    return ""


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
