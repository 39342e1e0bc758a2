"""A dozen people, staff and customers, do at random all that can be done, at once, for some seconds."""

from __future__ import annotations

import os
import sys

from tests.conftest import Databases
from tests.e2e.lifecycle_crowd import run_crowd

SEED = 3
SECONDS = 4.0


async def test_a_crowd(databases: Databases, redis_url: str) -> None:
    seed = int(os.environ.get("TURNERO_SEED", SEED))
    outcome = await run_crowd(seed, SECONDS, databases.create(), redis_url)
    sys.stdout.write(f"{outcome.report}\n")
    assert not outcome.faults, "\n".join([outcome.report, *outcome.faults[:20]])
    assert outcome.seen["book_time"] + outcome.seen["book_places"] > 0
