"""Guests who hold, book, move and cancel, and ask again with the same key until they have an answer.

What was acknowledged is written down; at the end the database must say the same.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.plain_http import Connection, open_connection
from tests.schema import operations as op
from tests.shop import Shop, iso

GUESTS = 40
PATIENCE_S = 120.0
TIMEOUT_S = 20.0
HOT_STARTS = 8
"""So many starts are wanted by every fifth guest, so that they meet."""


class NeverAnswered(Exception):
    """A request had no answer for two minutes."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A booking as its guest was last told."""

    id: str
    number: str
    code: str
    provider_id: str
    starts_at: str
    status: str
    version: int

    @classmethod
    def of(cls, booking: dict[str, Any]) -> Acknowledged:
        return cls(
            id=booking["id"],
            number=booking["number"],
            code=booking["confirmationCode"],
            provider_id=booking["provider"]["id"],
            starts_at=booking["startsAt"],
            status=booking["status"],
            version=booking["version"],
        )


@dataclass(slots=True)
class Traffic:
    """All guests together.

    `in_flight`: requests, by number, that were written to a socket and have no answer yet.
    `unanswered`: requests that ended without one.
    `newest_answered_at`: when the newest request that has an answer was sent.
    """

    port: int
    shop: Shop
    starts: list[datetime]
    seed: int
    guests: int = GUESTS
    in_flight: set[int] = field(default_factory=set)
    unanswered: set[int] = field(default_factory=set)
    requests: int = 0
    repeats: int = 0
    answered: int = 0
    newest_answered_at: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    bookings: dict[str, Acknowledged] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    oddities: list[str] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _is_over: bool = False

    async def run(self) -> None:
        """Until `stop`: each guest ends what they began."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self.guests):
                tasks.create_task(self._guest(Line(self.port), random.Random(f"{self.seed}/{number}")))

    def stop(self) -> None:
        self._is_over = True

    async def _guest(self, line: Line, chance: random.Random) -> None:
        while not self._is_over:
            await self._visit(line, chance)
        line.drop()

    async def _visit(self, line: Line, chance: random.Random) -> None:
        asked: dict[str, Any] = {"serviceId": self.shop.service_id, "startsAt": iso(self._start(chance))}
        if chance.random() < 0.5:
            asked["providerId"] = chance.choice(self.shop.provider_ids)
        held = await self._ask(line, chance, op.HOLD, asked)
        if held["__typename"] != "HoldSlotPayload":
            self._expect(held, "SlotUnavailable")
            return
        hold_id, token = held["hold"]["id"], held["holdToken"]
        if chance.random() < 0.1:
            # It takes no key: releasing twice is the same as once.
            answer = await self._send(line, chance, op.RELEASE, {"id": hold_id, "token": token})
            self._expect(answer, "Hold")
            self.released.add(hold_id)
            return
        customer = {"name": "Ana", "email": "ana@example.com"}
        details = {"holdId": hold_id, "holdToken": token, "paymentMethod": "PAY_ON_ARRIVAL", "customer": customer}
        booked = await self._ask(line, chance, op.BOOK, details)
        if not self._expect(booked, "CreateBookingPayload"):
            return
        self._write_down(booked["booking"])
        link = {"bookingId": booked["booking"]["id"], "accessToken": booked["accessToken"]}
        if chance.random() < 0.5:
            target = iso(self._start(chance))
            moved = await self._ask(line, chance, op.MOVE, {**link, "startsAt": target})
            if moved["__typename"] == "Booking":
                self._write_down(moved)
            elif moved["__typename"] != "InvalidInput":  # where it already is
                self._expect(moved, "SlotUnavailable")
        if chance.random() < 0.7:
            gone = await self._ask(line, chance, op.CANCEL, {**link, "reason": "changed my mind"})
            if self._expect(gone, "Booking"):
                self._write_down(gone)

    def _start(self, chance: random.Random) -> datetime:
        return chance.choice(self.starts[:HOT_STARTS] if chance.random() < 0.2 else self.starts)

    def _write_down(self, booking: dict[str, Any]) -> None:
        self.bookings[booking["id"]] = Acknowledged.of(booking)

    def _expect(self, answer: dict[str, Any], kind: str) -> bool:
        if answer["__typename"] != kind:
            self.oddities.append(f"{kind} expected: {answer}")
        return bool(answer["__typename"] == kind)

    async def _ask(self, line: Line, chance: random.Random, query: str, asked: dict[str, Any]) -> dict[str, Any]:
        """With an idempotency key, the same for every repeat."""
        key = str(UUID(int=chance.getrandbits(128), version=4))
        return await self._send(line, chance, query, {"input": {**asked, "idempotencyKey": key}})

    async def _send(self, line: Line, chance: random.Random, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The member of the union, however often one must ask."""
        deadline = time.monotonic() + PATIENCE_S
        pause_s = 0.02
        while time.monotonic() < deadline:
            answer = await self._once(line, query, variables)
            if answer is not None:
                self.outcomes[answer["__typename"]] += 1
                return answer
            self.repeats += 1
            await asyncio.sleep(pause_s * chance.uniform(0.5, 1.5))
            pause_s = min(0.5, pause_s * 2)
        raise NeverAnswered(query.split("{", 2)[1].strip())

    async def _once(self, line: Line, query: str, variables: dict[str, Any]) -> dict[str, Any] | None:
        """None: no answer, or one that says try again."""
        self.requests += 1
        number, sent_at = next(self._numbers), time.monotonic()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                connection = await line.connection()
                self.in_flight.add(number)
                answer = json.loads(await connection.exchange(connection.request(query, variables)))
        except (OSError, EOFError, RuntimeError) as error:
            line.drop()
            self.failures[type(error).__name__] += 1
            self.unanswered.add(number)
            return None
        finally:
            self.in_flight.discard(number)
        if answer.get("errors"):
            code = answer["errors"][0]["extensions"]["code"]
            self.failures[code] += 1
            self.unanswered.add(number)
            if code != "UNAVAILABLE":
                self.oddities.append(f"{code}: {answer['errors'][0]}")
            return None
        self.answered += 1
        self.newest_answered_at = max(self.newest_answered_at, sent_at)
        result: dict[str, Any] = next(iter(answer["data"].values()))
        return result


@dataclass(slots=True)
class Line:
    """A guest's own connection, opened anew after it broke."""

    port: int
    _connection: Connection | None = None

    async def connection(self) -> Connection:
        """Raises OSError when nobody listens."""
        if self._connection is not None and self._connection.is_ending:
            self.drop()
        if self._connection is None:
            self._connection = await open_connection(self.port)
        return self._connection

    def drop(self) -> None:
        if self._connection is not None:
            self._connection.writer.transport.abort()
            self._connection = None


def starts_of(first: datetime, days: int) -> list[datetime]:
    """Every half hour of so many days."""
    return [first + timedelta(minutes=30 * number) for number in range(days * 48)]
