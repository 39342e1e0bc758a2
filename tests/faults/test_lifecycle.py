"""Very many random lives of bookings, in slices with a database and a seed each, and many people at once for longer.

make faults                                    5,000 examples in slices of 250, longer ones than in the ordinary run
TURNERO_SEED=812040 TURNERO_EXAMPLES=250 …     one slice again
TURNERO_SEED=812040 TURNERO_EXAMPLES=3000 …    go on with that slice: so many are left
"""

from __future__ import annotations

import os
import random
import sys
import time

import pytest

from tests.conftest import Databases
from tests.e2e.lifecycle_crowd import run_crowd
from tests.e2e.lifecycle_machine import run_lives

pytestmark = pytest.mark.faults

EXAMPLES = 5_000
SLICE = 250
STEPS = 16
CROWDS = 6
CROWD_S = 20.0


def test_many_lives(databases: Databases, redis_url: str) -> None:
    """Each slice is printed with its seed before it begins."""
    seed = int(os.environ.get("TURNERO_SEED", random.SystemRandom().randrange(10**6)))
    left = int(os.environ.get("TURNERO_EXAMPLES", EXAMPLES))
    began, done = time.monotonic(), 0
    while left > 0:
        count = min(SLICE, left)
        sys.stdout.write(f"TURNERO_SEED={seed} TURNERO_EXAMPLES={left} goes on from here\n")
        sys.stdout.flush()
        url = databases.create()
        outcome = run_lives(count, seed, url, redis_url, steps=STEPS)
        databases.drop(url)
        done, left, seed = done + count, left - count, seed + 1
        left_s = (time.monotonic() - began) / done * left
        sys.stdout.write(f"{outcome.report}\nabout {left_s / 60:.0f} minutes left\n")
    sys.stdout.flush()


@pytest.mark.parametrize("number", range(CROWDS))
async def test_crowds(number: int, databases: Databases, redis_url: str) -> None:
    seed = int(os.environ.get("TURNERO_SEED", random.SystemRandom().randrange(10**6))) + number
    url = databases.create()
    outcome = await run_crowd(seed, CROWD_S, url, redis_url)
    databases.drop(url)
    sys.stdout.write(f"{outcome.report}\n")
    assert not outcome.faults, "\n".join(outcome.faults[:20])
