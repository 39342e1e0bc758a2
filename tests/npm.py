"""Programs from npm that tests and benchmarks need: installed on demand, by their lock file, into their own folder."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile

NODE_MAJOR = 20
"""The oldest that will do. Without one on the machine, `make test` puts one into the virtual environment."""


INSTALLED = "node_modules/.package-lock.json"


class NodeMissing(RuntimeError):
    """What cannot be run has not passed."""


@cache
def search_path() -> str:
    """Where programs are looked for: the virtual environment's own node goes first."""
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))


def program(name: str) -> str:
    """The path of node or npm. Raises NodeMissing."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise NodeMissing(f"{name} is needed (Node.js {NODE_MAJOR} or later): `make test` installs it.")
    return found


async def run(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None, timeout_s: float = 120
) -> str:
    """What it printed, while the caller's event loop goes on. `arguments` begin with node or npm.

    Raises NodeMissing; AssertionError, with the end of what was printed, when it fails or takes too long.
    """
    with TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            program(arguments[0]),
            *arguments[1:],
            cwd=folder,
            env={**os.environ, "PATH": search_path(), **(environment or {})},
            stdout=output,
            stderr=output,
            start_new_session=True,  # npm begins others, which are ended with it
        )
        try:
            async with asyncio.timeout(timeout_s):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        output.seek(0)
        printed = output.read().decode(errors="replace")
    assert process.returncode == 0, (
        f"{' '.join(arguments)} in {folder.name} ({process.returncode}):\n{printed[-12_000:]}"
    )
    return printed


async def install(folder: Path) -> None:
    """Everything of the folder's lock file, unless it is there already. Several processes may ask at once."""
    async with _alone(folder):
        if _is_older(folder, INSTALLED, ("package-lock.json",)):
            await run(["npm", "ci", "--no-progress", "--no-audit", "--no-fund"], folder, timeout_s=300)
            await asyncio.to_thread((folder / INSTALLED).touch)


async def build(folder: Path, made: str, *sources: str) -> None:
    """`npm run build` where `made` is older than one of the sources (patterns below the folder)."""
    async with _alone(folder):
        if _is_older(folder, made, sources):
            await run(["npm", "run", "build"], folder)
            await asyncio.to_thread((folder / made).touch)


@asynccontextmanager
async def _alone(folder: Path) -> AsyncIterator[None]:
    """One process at a time in this folder."""
    lock = os.open(folder / "package.json", os.O_RDONLY)
    try:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _is_older(folder: Path, made: str, sources: Sequence[str]) -> bool:
    """Is it not there, or older than a file that one of the patterns matches?"""
    target = folder / made
    changed_at = max(path.stat().st_mtime for pattern in sources for path in folder.glob(pattern))
    return not target.exists() or target.stat().st_mtime < changed_at
