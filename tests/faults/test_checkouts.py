"""Very many random checkouts, in slices with a database and a seed each, so that a fault is found near its cause.

make faults                                             100,000 in slices of 2,000
TURNERO_SEED=812040 TURNERO_CHECKOUTS=40000 …           go on with that slice: so many are left
TURNERO_SEED=812040 TURNERO_CHECKOUTS=2000 …            one slice again
TURNERO_SLICE=150 TURNERO_CHECKOUTS=1500 …              ten small ones, each with its own weather and currency
"""

from __future__ import annotations

import os
import random
import sys
import time

import pytest

from tests.conftest import Databases
from tests.e2e.checkouts import Outcome, run_checkouts

pytestmark = pytest.mark.faults

COUNT = 100_000
SLICE = 2_000
MOST_FAULTY = 5
"""After so many slices with faults there is enough to look into."""


async def test_many_checkouts(databases: Databases, redis_url: str) -> None:
    """Each slice is printed with its seed, what was seen in it, and how much is left."""
    seed = int(os.environ.get("TURNERO_SEED", random.SystemRandom().randrange(10**6)))
    count = int(os.environ.get("TURNERO_CHECKOUTS", COUNT))
    size = int(os.environ.get("TURNERO_SLICE", SLICE))
    began, done, faulty = time.monotonic(), 0, list[Outcome]()
    while done < count and len(faulty) < MOST_FAULTY:
        url = databases.create()
        outcome = await run_checkouts(min(size, count - done), seed, url, redis_url)
        databases.drop(url)
        done, seed = done + outcome.count, seed + 1
        if outcome.faults:
            faulty.append(outcome)
        left_s = (time.monotonic() - began) / done * (count - done)
        told = "\n".join([outcome.report, *(f"  {fault}" for fault in outcome.faults[:20])])
        progress = f"{done:,} of {count:,} done, about {left_s / 60:.0f} minutes left"
        sys.stdout.write(
            f"{told}\n{progress}: TURNERO_SEED={seed} TURNERO_CHECKOUTS={count - done} goes on from here\n"
        )
        sys.stdout.flush()
    assert not faulty, "\n".join(f"{one.report}: {one.faults[0]}" for one in faulty)
