"""Guest sessions for tests, through the public API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.fixtures_api import GraphQLClient
from tests.journey import Answer, Visitor
from tests.shop import Shop

_ERRORS = "... on Error { code message }"
START = f"""
mutation ($input: StartGuestSessionInput!) {{ startGuestSession(input: $input) {{
  __typename ... on StartGuestSessionPayload {{ token expiresAt }} {_ERRORS}
}} }}
"""
END = f"""
mutation ($input: EndGuestSessionInput!) {{ endGuestSession(input: $input) {{
  __typename ... on EndGuestSessionPayload {{ endedAt }} {_ERRORS}
}} }}
"""
READ = """
query ($token: String!) { guestSession(token: $token) {
  expiresAt
  details { name email phone locale }
  holds { holdToken hold { id status startsAt partySize price { amountMinor } } }
  bookings { accessToken booking { id number status } }
} }
"""


@dataclass(frozen=True, slots=True)
class GuestVisit:
    """A guest with a session: what they hold and book is in it."""

    visitor: Visitor
    token: str
    expires_at: str

    async def hold(self, start: Any, **extra: Any) -> Answer:
        return await self.visitor.hold(start, guestSessionToken=self.token, **extra)

    async def held(self, start: Any, **extra: Any) -> Any:
        return await self.visitor.held(start, guestSessionToken=self.token, **extra)

    async def read(self) -> Answer | None:
        return await read(self.visitor.client, self.token)

    async def end(self) -> Answer:
        answer: Answer = await self.visitor.client(END, {"input": {"guestSessionToken": self.token}})
        return answer


async def start(client: GraphQLClient, shop: Shop, **extra: Any) -> GuestVisit:
    wanted = {"organizationId": shop.organization_id, **extra}
    answer = await client(START, {"input": wanted})
    assert answer["__typename"] == "StartGuestSessionPayload", answer
    return GuestVisit(Visitor(client, shop), answer["token"], answer["expiresAt"])


async def read(client: GraphQLClient, token: str) -> Answer | None:
    """None: there is none, or it is over."""
    answer = await client.raw(READ, {"token": token})
    if "errors" in answer:
        assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND", answer
        return None
    found: Answer = answer["data"]["guestSession"]
    return found
