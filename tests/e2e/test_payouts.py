"""Payouts while answers get lost, workers are killed and bookings are refunded: at the end the processor has sent what
the books say, each payout once.

A run is repeated with the seed that it printed: TURNERO_SEED=7 TURNERO_PAYOUT_ROUNDS=200. (Who is killed is chance.)
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.checkout.payout import plan_all_reversals, plan_payouts
from app.commands.actor import SYSTEM
from app.commands.payout_send import retry_payout
from app.core.outages import describe
from app.domain.errors import DomainError
from app.gateway import GatewayError
from tests.paying import Paying
from tests.payouts import PRICE, SHARE, Earner, make_earner
from tests.shop import at

BOOKINGS = 5
"""Before it begins; more come while it goes on."""
SEED = 3
ROUNDS = 30
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "lost_answer", "match": "POST /v1/transfers*", "probability": 0.3},
    {"kind": "lost_to_error", "match": "POST /v1/transfers*", "probability": 0.15, "status": 500},
    {"kind": "error", "match": "POST /v1/transfers*", "probability": 0.15, "status": 503},
    {"kind": "reset", "match": "GET /v1/transfers*", "probability": 0.1},
)


@dataclass(slots=True)
class Chaos:
    """One run with one provider. `left`: what is not refunded yet of each booking that was given."""

    earner: Earner
    seed: int
    left: dict[UUID, int] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    @property
    def paying(self) -> Paying:
        return self.earner.paying

    async def run(self, rounds: int) -> None:
        made = await self.earner.given(*(at(2 + number, 10) for number in range(BOOKINGS)))
        self.left = dict.fromkeys(made, PRICE)
        self.earner.wait(timedelta(days=7 - BOOKINGS + 1))
        await self.paying.sandbox.paid(currency="usd", amount=1_000_000)  # what is sent has to be there
        for number, fault in enumerate(FAULTS):
            await self.paying.sandbox.control("faults", **fault, seed=self.seed * 10 + number)
        for _ in range(rounds):
            if self.chance.random() < 0.3:
                await self._earn()
            await asyncio.gather(*(self._one() for _ in range(3)))
            self.earner.wait(timedelta(hours=self.chance.choice((1, 3, 20))))
        await self.paying.sandbox.http.delete("/_sandbox/faults")
        for _ in range(12):
            await self._peace()

    async def _one(self) -> None:
        what = self.chance.choice(
            (self._plan, self._plan, self._work, self._work, self._work, self._refund, self._tell)
        )
        self.seen[what.__name__.strip("_")] += 1
        try:
            await self._mortal(what)
        except (GatewayError, DomainError) as error:
            self.seen[describe(error)[:60]] += 1

    async def _mortal(self, what: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Some are killed in the middle: whatever they asked may have been done, and nobody hears of it."""
        task = asyncio.ensure_future(what())
        if self.chance.random() < 0.25 and what != self._tell:
            await asyncio.wait([task], timeout=self.chance.random() * 0.05)
            task.cancel()
            self.seen["killed"] += 1
        with suppress(asyncio.CancelledError):
            await task

    async def _plan(self) -> None:
        await plan_all_reversals(self.earner.checkout)
        await plan_payouts(self.earner.checkout)

    async def _earn(self) -> None:
        [made] = await self.earner.given(self.earner.now() - timedelta(minutes=31))
        self.left[made] = PRICE

    async def _work(self) -> None:
        await self.paying.work("execute_payout", "execute_payout_reversal", at_most=3)

    async def _refund(self) -> None:
        booking, part = self.chance.choice(list(self.left)), self.chance.choice((100, 250, PRICE))
        if part <= self.left[booking]:
            self.left[booking] -= part
            # What a request writes is written whole or not at all; here it is written.
            await asyncio.shield(self.earner.returned(booking, part))

    async def _tell(self) -> None:
        told = self.paying.arrived()
        self.chance.shuffle(told)
        for delivery in told:
            await self.paying.deliver(delivery)
        await self.paying.work("process_payment_event", at_most=5)

    async def _peace(self) -> None:
        await self.paying.rows("UPDATE job SET lease_until = NULL WHERE done_at IS NULL RETURNING 1")
        for row in await self.earner.payouts():
            if row["status"] == "needs_attention":
                self.seen["tried again by hand"] += 1
                async with self.earner.checkout.within(row["organization_id"]) as tx:
                    await retry_payout(tx, row["id"], SYSTEM, self.earner.now())
        await self._plan()
        self.earner.wait(timedelta(days=1))
        await self.paying.work()
        await self.paying.pass_on()

    async def faults(self) -> list[str]:
        """What is wrong, for a person."""
        faults = []
        payouts = await self.earner.payouts()
        ours = {str(row["id"]): row for row in payouts}
        listed = await self.paying.sandbox.v1.transfers.list_async({"limit": 100})
        theirs = [one for one in listed.data if one.transfer_group in ours]
        for group, count in Counter(one.transfer_group for one in theirs).items():
            if count != 1:
                faults.append(f"payout {group} was sent {count} times")
        sent = {group for group, row in ours.items() if row["status"] == "sent"}
        if {one.transfer_group for one in theirs} != sent:
            faults.append(f"sent here {sent}, there {[one.transfer_group for one in theirs]}")
        faults += [f"{row['id']} is {row['status']}" for row in payouts if row["status"] not in {"sent", "cancelled"}]
        balances = await self.earner.balances()
        received, owed = await self.earner.received(), await self.earner.owed()
        if balances.get("paid_out", 0) != received:
            faults.append(f"paid out {balances.get('paid_out', 0)} here, {received} there")
        if received + owed != self.earned(balances):
            faults.append(f"{received} received and {owed} owed of {self.earned(balances)}")
        if owed:
            faults.append(f"{owed} is still owed")
        if balances.get("processor_clearing"):
            faults.append(f"{balances['processor_clearing']} never arrived")
        self.seen["payouts sent"], self.seen["received"] = len(sent), received
        return faults

    def earned(self, balances: dict[str, int]) -> int:
        """What is left for the provider of what was not refunded."""
        return len(self.left) * PRICE - balances.get("refunds", 0) - balances.get("platform_fee", 0)


async def test_random_payouts(paying: Paying) -> None:
    seed = int(os.environ.get("TURNERO_SEED", SEED))
    rounds = int(os.environ.get("TURNERO_PAYOUT_ROUNDS", ROUNDS))
    run = Chaos(await make_earner(paying), seed)
    await run.run(rounds)
    faults = await run.faults()
    report = f"TURNERO_SEED={seed} TURNERO_PAYOUT_ROUNDS={rounds} {dict(sorted(run.seen.items()))}"
    sys.stdout.write(f"{report}\n")
    assert not faults, "\n".join([report, *faults])
    assert run.seen["received"] <= len(run.left) * SHARE
