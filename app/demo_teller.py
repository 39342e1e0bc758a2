"""How the demo asks and tells."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from rich.console import Console

SHOP = "barberia-palermo"
TIME_ZONE = "America/Argentina/Buenos_Aires"

HOLD = """mutation ($input: HoldSlotInput!) {
  holdSlot(input: $input) {
    __typename ... on Error { code message }
    ... on HoldSlotPayload { holdToken hold { id startsAt expiresAt price { amount currency } } }
    ... on SlotUnavailable { alternatives { startsAt } }
  }
}"""
CANCEL = """mutation ($input: CancelBookingInput!) {
  cancelBooking(input: $input) { __typename ... on Error { code message } ... on Booking { status version } }
}"""


class DemoFailed(Exception):
    """The journey ended early; the text says why and what to do."""


@dataclass(slots=True)
class Teller:
    """Sends operations and tells what came back and how long it took. `token`: of whoever is signed in."""

    console: Console
    http: httpx.AsyncClient
    graphql_url: str
    token: str | None = None

    async def ask(self, query: str, variables: Mapping[str, Any]) -> tuple[Any, float]:
        """The one root field of the answer, and milliseconds. Raises DemoFailed, also for an error that is typed."""
        result, took = await self.answer(query, variables)
        self.refuse_error(result)
        return result, took

    async def answer(self, query: str, variables: Mapping[str, Any]) -> tuple[Any, float]:
        """The same, with typed errors given back."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        asked = {"query": query, "variables": variables}
        begun = time.perf_counter()
        response = await self.http.post(self.graphql_url, json=asked, headers=headers)
        took = (time.perf_counter() - begun) * 1000
        answer = response.json()
        if answer.get("errors"):
            raise DemoFailed(answer["errors"][0]["message"])
        return next(iter(answer["data"].values())), took

    def refuse_error(self, result: Any) -> None:
        """Raises DemoFailed for a typed error."""
        if isinstance(result, dict) and "message" in result and "code" in result:
            raise DemoFailed(f"{result['code']}: {result['message']}")

    def step(self, what: str, took: float | None = None) -> None:
        timing = "" if took is None else f"  [dim]{took:.0f} ms[/]"
        self.console.print(f"[green]✓[/] {what}{timing}")

    def note(self, what: str) -> None:
        self.console.print(f"  [cyan]⇠ live[/] {what}")


def local(instant: str) -> str:
    """As the shop's clock shows it."""
    moment = datetime.fromisoformat(instant).astimezone(ZoneInfo(TIME_ZONE))
    return moment.strftime("%a %d %b %H:%M")
