"""A person on their way through the shop: what they send, in few words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from app.core.ids import IdKind, decode_id
from app.domain.membership import Role
from app.queries.tenancy import bind
from tests.facts_guard import let_pass
from tests.fixtures_api import GraphQLClient
from tests.schema import operations as op
from tests.shop import Shop, iso

Answer = dict[str, Any]
ANA = {"name": "Ana", "email": "ana@example.com"}


@dataclass(frozen=True, slots=True)
class Held:
    """A hold and its holder's secret."""

    id: str
    token: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Made:
    """A booking and its guest's secret link."""

    id: str
    token: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Visitor:
    """Each method gives the member of the union; those in the past tense insist on success."""

    client: GraphQLClient
    shop: Shop

    async def hold(self, start: datetime | None, *, headers: dict[str, str] | None = None, **extra: Any) -> Answer:
        wanted = {"serviceId": self.shop.service_id, "startsAt": None if start is None else iso(start), **extra}
        answer: Answer = await self.client(op.HOLD, {"input": wanted}, **(headers or {}))
        return answer

    async def held(self, start: datetime, **extra: Any) -> Held:
        answer = await self.hold(start, **extra)
        assert answer["__typename"] == "HoldSlotPayload", answer
        return Held(answer["hold"]["id"], answer["holdToken"], answer["hold"])

    async def release(self, hold: Held, token: str | None = None) -> Answer:
        answer: Answer = await self.client(op.RELEASE, {"id": hold.id, "token": token or hold.token})
        return answer

    async def extend(self, hold: Held, token: str | None = None) -> Answer:
        answer: Answer = await self.client(op.EXTEND, {"id": hold.id, "token": token or hold.token})
        return answer

    async def book(self, hold: Held, *, headers: dict[str, str] | None = None, **extra: Any) -> Answer:
        answer: Answer = await self.client(op.BOOK, {"input": booking_input(hold, **extra)}, **(headers or {}))
        return answer

    async def booked(self, start: datetime, *, hold: dict[str, Any] | None = None, **extra: Any) -> Made:
        answer = await self.book(await self.held(start, **(hold or {})), **extra)
        assert answer["__typename"] == "CreateBookingPayload", answer
        return Made(answer["booking"]["id"], answer["accessToken"], answer["booking"])

    async def move(self, made: Made, start: datetime | None = None, **extra: Any) -> Answer:
        wanted = {"bookingId": made.id, **({} if start is None else {"startsAt": iso(start)}), **extra}
        answer: Answer = await self.client(op.MOVE, {"input": wanted})
        return answer

    async def cancel(self, made: Made, **extra: Any) -> Answer:
        answer: Answer = await self.client(op.CANCEL, {"input": {"bookingId": made.id, "reason": "Ill", **extra}})
        return answer

    async def step(self, made: Made, to: str, **extra: Any) -> Answer:
        answer: Answer = await self.client(op.STEP, {"input": {"bookingId": made.id, "to": to, **extra}})
        return answer

    async def stepped(self, made: Made, *path: str) -> Answer:
        """The booking after these steps."""
        answer: Answer = {}
        for to in path:
            answer = await self.step(made, to)
            assert answer["__typename"] == "Booking", answer
        return answer

    async def read(self, made: Made, token: str | None = None) -> Answer:
        answer: Answer = await self.client(op.READ, {"id": made.id, "token": token})
        return answer

    async def search(self, first: date, last: date | None = None, **extra: Any) -> Answer:
        answer: Answer = await self.client(op.AVAILABILITY, self.search_variables(first, last, **extra))
        return answer

    def search_variables(self, first: date, last: date | None = None, **extra: Any) -> dict[str, Any]:
        wanted = {"serviceId": self.shop.service_id, "from": first.isoformat(), "to": (last or first).isoformat()}
        return {"input": {**wanted, "timeZone": self.shop.time_zone, **extra}}

    async def starts(self, day: date, **extra: Any) -> list[datetime]:
        """Free starts of one day."""
        found = await self.search(day, **extra)
        return [instant(start) for start in found["days"][0]["starts"]]

    async def publish(self, weekly: list[dict[str, Any]], **extra: Any) -> Answer:
        wanted = {"ownerId": self.shop.provider_id, "weekly": weekly, **extra}
        answer: Answer = await self.client(op.PUBLISH, {"input": wanted})
        return answer


async def colleague(client: GraphQLClient, shop: Shop, role: Role) -> Visitor:
    """A member of the shop, signed in."""
    return Visitor(client.signed_in((await shop.person(role.value, role)).token), shop)


async def account(client: GraphQLClient, shop: Shop, name: str) -> Visitor:
    """Somebody with an account and no part in the shop."""
    return Visitor(client.signed_in((await shop.person(name)).token), shop)


def booking_input(hold: Held, **extra: Any) -> dict[str, Any]:
    """What the guest Ana sends to book what she holds; None leaves a field out."""
    facts = {"holdId": hold.id, "holdToken": hold.token, "paymentMethod": "PAY_ON_ARRIVAL", "customer": ANA, **extra}
    return {name: value for name, value in facts.items() if value is not None}


def instant(value: str) -> datetime:
    return datetime.fromisoformat(value)


def hours(*opened: tuple[str, str], breaks: tuple[tuple[str, str], ...] = ()) -> list[dict[str, Any]]:
    """The same hours on all seven days, as publishSchedule takes them."""
    days = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
    times = [{"start": start, "end": end} for start, end in opened]
    pauses = [{"start": start, "end": end} for start, end in breaks]
    return [{"weekday": day, "open": times, "breaks": pauses} for day in days]


def next_change(zone_name: str, *, forward: bool) -> date:
    """The next local date on which clocks go forward, or back: so far ahead that the day before it is still to come."""
    tz = ZoneInfo(zone_name)
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    for days in range(4, 400):
        before = (noon + timedelta(days=days - 1)).astimezone(tz).utcoffset()
        after = (noon + timedelta(days=days)).astimezone(tz).utcoffset()
        assert before is not None
        assert after is not None
        if before != after and (after > before) is forward:
            return (noon + timedelta(days=days)).astimezone(tz).date()
    raise AssertionError(f"{zone_name} has no such change")


async def rows_of(shop: Shop, query: str, **parameters: Any) -> list[dict[str, Any]]:
    """What the database has, as the API's role sees it inside the shop's organization."""
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid, clock_offset=shop.services.clock.offset)
        found = [dict(row._mapping) for row in await tx.execute(text(query), parameters)]
        if not query.lstrip().startswith("SELECT"):
            await let_pass(tx)
        return found


async def live_time(shop: Shop) -> list[tuple[datetime, datetime, str]]:
    """Start, end and state of everything that takes a provider's time, in order."""
    rows = await rows_of(
        shop,
        "SELECT starts_at, ends_at, status FROM allocation WHERE subject_id = ANY(:subjects)"
        " AND status IN ('held', 'booked') ORDER BY starts_at, subject_id",
        subjects=shop.provider_uuids,
    )
    return [(row["starts_at"], row["ends_at"], row["status"]) for row in rows]


async def audit_of(shop: Shop, made: Made) -> list[dict[str, Any]]:
    """Audit entries of a booking, oldest first."""
    booking_id = decode_id(IdKind.BOOKING, made.id)
    return await rows_of(shop, "SELECT * FROM audit_entry WHERE subject_id = :id ORDER BY id", id=booking_id)
