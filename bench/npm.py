"""Peers that come from npm, each with its own node: installed on demand into `bench/peers/<peer>/node_modules`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

PEERS = Path(__file__).parent / "peers"


class PeerMissing(RuntimeError):
    """A benchmark without its peer says nothing, so it does not pass as one."""


def installed(peer: str) -> Path:
    """The peer's folder, with everything of its lock file in it. Raises PeerMissing."""
    folder = PEERS / peer
    lock, done = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise PeerMissing(f"{peer} is measured against, and needs npm (Node.js 20 or later) to be installed.")
    outcome = subprocess.run((npm, "ci", "--no-progress"), cwd=folder, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        raise PeerMissing(f"npm could not install {peer}:\n{outcome.stdout[-2_000:]}{outcome.stderr[-2_000:]}")
    done.touch()
    return folder


def node(folder: Path) -> Path:
    """The node that the peer brings with it. Raises PeerMissing."""
    program = folder / "node_modules" / ".bin" / "node"
    if not program.exists():
        raise PeerMissing(f"{folder.name} was installed without its node: its install script may be barred.")
    return program
