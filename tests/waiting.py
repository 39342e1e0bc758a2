"""People who wait: what they send, in few words."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient
from tests.journey import Answer, Held, Visitor, rows_of
from tests.shop import Shop, iso, make_shop

ENTRY = """
  id status position priority partySize endReason version customerName customerEmail
  windows { from to } session { id } activity { id }
  offer { holdId holdToken expiresAt hold { status partySize startsAt price { amountMinor } } }
"""
_FAULTS = """
    __typename ... on Error { code message } ... on InvalidInput { violations { path message } }
    ... on NotAllowed { rule }
"""
JOIN = f"""
mutation ($input: JoinWaitlistInput!) {{
  joinWaitlist(input: $input) {{ ... on JoinWaitlistPayload {{ accessToken entry {{ {ENTRY} }} }} {_FAULTS}
    ... on SlotUnavailable {{ reason }} }} }}
"""
LEAVE = f"""
mutation ($input: LeaveWaitlistInput!) {{
  leaveWaitlist(input: $input) {{ ... on LeaveWaitlistPayload {{ entry {{ {ENTRY} }} }} {_FAULTS} }} }}
"""
DECLINE = f"""
mutation ($input: DeclineWaitlistOfferInput!) {{
  declineWaitlistOffer(input: $input) {{ ... on DeclineWaitlistOfferPayload {{ entry {{ {ENTRY} }} }} {_FAULTS} }} }}
"""
PRIORITY = f"""
mutation ($input: SetWaitlistPriorityInput!) {{
  setWaitlistPriority(input: $input) {{ ... on SetWaitlistPriorityPayload {{ entry {{ {ENTRY} }} }} {_FAULTS} }} }}
"""
READ = f"query ($id: ID, $token: String) {{ waitlistEntry(id: $id, accessToken: $token) {{ {ENTRY} }} }}"

TOO_MANY_OFFERS = """
    SELECT count(*) FROM waitlist_entry e
    WHERE (e.status = 'offered') <> EXISTS (
        SELECT FROM hold h WHERE h.id = e.hold_id AND h.waitlist_entry_id = e.id AND h.status = 'active')
"""
"""Entries whose state and hold do not agree. There are none."""


async def watched_shop(services: Services) -> AsyncIterator[Shop]:
    """To be made a fixture. In the end offers and holds agree."""
    made = await make_shop(services)
    yield made
    assert await rows_of(made, TOO_MANY_OFFERS) == [{"count": 0}]


_NUMBERS = itertools.count(1)


@dataclass(slots=True)
class Waiting:
    """Somebody in line, by their secret."""

    client: GraphQLClient
    id: str
    token: str
    answer: Answer

    async def read(self) -> Answer:
        found: Answer = await self.client(READ, {"token": self.token})
        return found

    async def status(self) -> str:
        return str((await self.read())["status"])

    async def offer(self) -> Held | None:
        """The hold that is offered, as its holder has it."""
        offer = (await self.read())["offer"]
        return None if offer is None else Held(offer["holdId"], offer["holdToken"], offer["hold"])

    async def offered(self) -> Held:
        offer = await self.offer()
        assert offer is not None
        return offer

    async def decline(self, held: Held, **extra: Any) -> Answer:
        wanted = {"accessToken": self.token, "holdId": held.id, **extra}
        answer: Answer = await self.client(DECLINE, {"input": wanted})
        return answer

    async def leave(self) -> Answer:
        answer: Answer = await self.client(LEAVE, {"input": {"accessToken": self.token}})
        return answer

    async def accept(self, shop: Shop, held: Held) -> Answer:
        return await Visitor(self.client, shop).book(held)


async def join(client: GraphQLClient, **wanted: Any) -> Answer:
    """The member of the union. Each who joins is somebody else, unless a customer is given."""
    name = f"Waiting {next(_NUMBERS)}"
    customer = {"name": name, "email": f"{name.replace(' ', '.').lower()}@example.com"}
    answer: Answer = await client(JOIN, {"input": {"customer": customer, **wanted}})
    return answer


async def waiting(client: GraphQLClient, **wanted: Any) -> Waiting:
    answer = await join(client, **wanted)
    assert answer["__typename"] == "JoinWaitlistPayload", answer
    return Waiting(client, answer["entry"]["id"], answer["accessToken"], answer["entry"])


def window(first: datetime, last: datetime) -> dict[str, str]:
    return {"from": iso(first), "to": iso(last)}
