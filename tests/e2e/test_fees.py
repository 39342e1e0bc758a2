"""Deposits, cash, fees and approvals end right, whoever is killed and whatever answer is lost. See `fees.py`.

A run is repeated with the seed that it printed: TURNERO_SEED=7 TURNERO_FEES=60. (Who is killed when is chance.)
"""

from __future__ import annotations

import os
import random
import sys

import httpx
import stripe

from tests.conftest import Databases
from tests.e2e.fees import Fees
from tests.fees import set_terms
from tests.journey import Visitor
from tests.paying import paying_api
from tests.shop import make_shop

COUNT = 12
TERMS = {
    "no_show_fee_bps": 6_000,
    "late_fee_bps": 4_000,
    "no_show_refund_bps": 2_000,
    "card_required_for_arrival": True,
}


async def test_random_fees(
    databases: Databases, redis_url: str, http: httpx.AsyncClient, processor_http: stripe.HTTPXClient
) -> None:
    count = int(os.environ.get("TURNERO_FEES", COUNT))
    seed = int(os.environ.get("TURNERO_SEED", random.SystemRandom().randrange(10**6)))
    async with paying_api(databases.create(), redis_url, http, processor_http) as paying:
        approved = ({"requires_approval": True},)
        shop = await make_shop(paying.api.api.services, providers=2, more_services=approved)
        await set_terms(Visitor(paying.client, shop), **TERMS)
        run = Fees(paying, shop, seed, days=max(2, count // 100))
        await run.run(count)
        faults = await run.faults()
        report = f"TURNERO_SEED={seed} TURNERO_FEES={count} {dict(sorted(run.seen.items()))}"
        sys.stdout.write(f"{report}\n")
        assert not faults, "\n".join([report, *faults[:20]])
        assert run.seen["cash"] + run.seen["balance"] > 0
