"""A process that serves for long does not stand still to look through what never changes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import uvicorn

from app import serving

_CHILD = """
import gc, json, sys, time
from app.core.pauses import keep_pauses_short

def full_collection_s():
    times = []
    for _ in range(5):
        began = time.perf_counter()
        gc.collect()
        times.append(time.perf_counter() - began)
    return min(times)

lasting = [{"number": number, "in": [number]} for number in range(100_000)]
before_s = full_collection_s()
keep_pauses_short()
after_s = full_collection_s()

class Node:
    ends = 0
    def __del__(self):
        Node.ends += 1

for _ in range(10):
    node = Node()
    node.itself = node
del node
gc.collect()
json.dump({"before": before_s, "after": after_s, "ends": Node.ends, "turn": sys.getswitchinterval()}, sys.stdout)
"""


def test_what_was_loaded_is_not_looked_through_again() -> None:
    """But garbage that comes later is still found, and a thread that computes gives way at once."""
    ran = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(ran.stdout)
    assert found["after"] < found["before"] / 5
    assert found["ends"] == 10
    assert found["turn"] <= 0.001


async def test_the_server_sees_to_it_once_everything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        order.append("loaded")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    monkeypatch.setattr(serving, "keep_pauses_short", lambda: order.append("kept short"))
    config = uvicorn.Config(app, port=0, lifespan="on", log_config=None, timeout_graceful_shutdown=1)
    config.load()
    server = serving.DrainingServer(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    await server.shutdown()
    assert order == ["loaded", "kept short"]
