"""graphql-ws, graphql-sse, Apollo, urql and the audit of GraphQL over HTTP, on node, against the real server."""

from __future__ import annotations

import re
from pathlib import Path

from tests.clients.conftest import World
from tests.npm import install, run

FOLDER = Path(__file__).resolve().parent / "real"
TESTS = 7


async def test_the_clients_that_people_use(world: World) -> None:
    await install(FOLDER)
    command = ["node", "--test", "--test-force-exit", "--test-timeout=60000", "clients.test.mjs"]
    printed = await run(command, FOLDER, world.environment, timeout_s=90)
    assert re.search(rf"^. pass {TESTS}$", printed, re.M), printed
    assert re.search(r"^. fail 0$", printed, re.M), printed
    assert re.search(r"^. skipped 0$", printed, re.M), printed
