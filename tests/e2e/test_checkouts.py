"""Both sides' books agree to the cent, and every guest who paid has a booking or a refund. See `checkouts.py`.

A run is repeated with the seed that it printed: TURNERO_SEED=7 TURNERO_CHECKOUTS=60. (Who is killed when is chance.)
"""

from __future__ import annotations

import os
import random
import sys

import httpx
import stripe

from tests.conftest import Databases
from tests.e2e.checkouts import Checkouts
from tests.paying import paying_api
from tests.shop import make_shop

COUNT = 30


async def test_random_checkouts(
    databases: Databases, redis_url: str, http: httpx.AsyncClient, processor_http: stripe.HTTPXClient
) -> None:
    count = int(os.environ.get("TURNERO_CHECKOUTS", COUNT))
    await prove(count, databases.create(), redis_url, http, processor_http)


async def prove(
    count: int, database_url: str, redis_url: str, http: httpx.AsyncClient, processor_http: stripe.HTTPXClient
) -> None:
    """Run so many, in a database of their own; fails with what is wrong."""
    seed = int(os.environ.get("TURNERO_SEED", random.SystemRandom().randrange(10**6)))
    async with paying_api(database_url, redis_url, http, processor_http) as paying:
        shop = await make_shop(paying.api.api.services, providers=2)
        run = Checkouts(paying, shop, seed, days=max(2, count // 150))
        await run.run(count)
        faults = await run.faults()
        report = f"TURNERO_SEED={seed} TURNERO_CHECKOUTS={count} {dict(sorted(run.seen.items()))}"
        sys.stdout.write(f"{report}\n")
        assert not faults, "\n".join([report, *faults[:20]])
        assert run.seen["booking confirmed"] > count // 5
