"""A small application served by several processes: python -m tests.e2e.small_workers FD PROCESSES FOLDER.

It answers with its process's number. A process begins only once there is no file `wait` in the folder, and fails to
where there is one named `fail`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

from app.serving import serve


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await live(Path(os.environ["SMALL_WORKERS"]), receive, send)
        return
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def live(folder: Path, receive: Any, send: Any) -> None:
    await receive()
    while (folder / "wait").exists():  # noqa: ASYNC110 (a file of another process)
        await asyncio.sleep(0.02)
    failed = (folder / "fail").exists()
    await send({"type": "lifespan.startup.failed" if failed else "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def main(fd: int, processes: int, folder: str) -> int:
    os.environ["SMALL_WORKERS"] = folder
    config = uvicorn.Config(
        "tests.e2e.small_workers:app",
        workers=processes,
        lifespan="on",
        log_config=None,
        http="httptools",
        timeout_graceful_shutdown=2,
        timeout_worker_healthcheck=60,
    )
    return 0 if serve(config, socket.socket(fileno=fd)) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
