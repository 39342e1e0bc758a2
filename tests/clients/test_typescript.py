"""The TypeScript client, on node, against the real server: clients/typescript/test."""

from __future__ import annotations

import re
from pathlib import Path

from tests.clients.conftest import World
from tests.npm import build, install, run

FOLDER = Path(__file__).resolve().parents[2] / "clients" / "typescript"


async def built() -> None:
    """Its types are made from the schema of today, so that an operation which no longer fits does not compile."""
    await install(FOLDER)
    await build(FOLDER, "dist/src/index.js", "src/**/*", "test/*", "*.mjs", "*.json", "../../schema.graphql")


async def test_the_typescript_client(world: World) -> None:
    await built()
    printed = await run(["npm", "test"], FOLDER, world.environment, timeout_s=90)
    assert re.search(r"^. pass [1-9]", printed, re.M), printed
    assert re.search(r"^. fail 0$", printed, re.M), printed
    assert re.search(r"^. skipped 0$", printed, re.M), printed
