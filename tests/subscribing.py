"""A series that its customer pays at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.journey import Answer, Made
from tests.paying import GOOD, SESSION, Payer, Paying
from tests.recurring import CREATE, Regular, weekly
from tests.shop import at, iso

PAY = CREATE.replace("accessToken series", f"accessToken payment {{ {SESSION} }} series")


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A series of three dates at 10.00 each, that its customer wants to pay now."""

    payer: Payer
    paying: Paying
    made: Answer

    @property
    def dates(self) -> list[Made]:
        """With the link of the series."""
        return [Made(one["id"], self.made["accessToken"], self.made) for one in self.made["series"]["bookings"]]

    async def statuses(self) -> list[str]:
        regular = Regular(self.payer.client, self.payer.shop)
        answer = await regular.read(self.made["series"]["id"], self.made["accessToken"])
        return [one["status"] for one in answer["data"]["bookingSeries"]["bookings"]]

    async def pay_first(self, card: str = GOOD) -> None:
        """And come back."""
        await self.paying.pay(self.dates[0], card)
        await self.payer.refresh(self.dates[0])

    async def charged(self) -> list[int]:
        """What the processor took for each date."""
        taken = [await self.paying.intents(one) for one in self.dates]
        return [sum(one.amount_received for one in intents) for intents in taken]


async def subscribe(payer: Payer, paying: Paying, **extra: Any) -> Subscriber:
    facts = {"savesMethod": True, **weekly(3), **extra}
    answer = await ask(payer, facts)
    assert answer["__typename"] == "CreateRecurringBookingPayload", answer
    return Subscriber(payer, paying, answer)


async def ask(payer: Payer, facts: Answer) -> Answer:
    customer = {"name": "Ana", "email": "ana@example.com"}
    wanted = {"serviceId": payer.shop.service_id, "startsAt": iso(at(2, 10)), "customer": customer}
    given = {**wanted, "paymentMethod": "PAY_NOW", "expectedTotalMinor": 3_000, **facts}
    answer: Answer = await payer.client(PAY, {"input": {name: one for name, one in given.items() if one is not None}})
    return answer
