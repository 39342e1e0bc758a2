"""Recurring bookings as a customer asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from app.core.ids import IdKind, decode_id
from app.domain.instants import local_date, resolve_local
from tests.fixtures_api import GraphQLClient
from tests.journey import ANA, Answer
from tests.shop import Shop, iso

DATE = """
  index startsAt endsAt isFree reason message providerId sessionId price { amountMinor }
  alternatives { startsAt providerIds sessionId price { amountMinor } }
"""
BOOKINGS = """
  bookings { id number confirmationCode status startsAt endsAt seriesPosition price { amountMinor } version
    provider { id } session { id } items { startsAt } transitions { to } }
"""
SERIES = f"""
  id version rule exceptDates startsAt timeZone partySize counts {{ status count }} customer {{ name email }}
  service {{ id }} activity {{ id }} provider {{ id }} {BOOKINGS}
"""
REFUSED = f"""
  ... on Error {{ code message }} ... on InvalidInput {{ violations {{ path message }} }} ... on NotAllowed {{ rule }}
  ... on SeriesConflict {{ dates {{ {DATE} }} }}
"""
PLAN = f"""
query ($input: PlanRecurringBookingInput!) {{
  planRecurringBooking(input: $input) {{ timeZone rule freeCount total {{ amountMinor }} dates {{ {DATE} }} }}
}}
"""
CREATE = f"""
mutation ($input: CreateRecurringBookingInput!) {{
  createRecurringBooking(input: $input) {{
    __typename ... on CreateRecurringBookingPayload {{ accessToken series {{ {SERIES} }} }}
    ... on PriceChanged {{ total {{ amountMinor }} }} {REFUSED}
  }}
}}
"""
READ = f"query ($id: ID, $token: String) {{ bookingSeries(id: $id, accessToken: $token) {{ {SERIES} }} }}"


def local(shop: Shop, days: int, hour: int, minute: int = 0) -> datetime:
    """An instant some days from today, by the shop's wall clock."""
    tz = ZoneInfo(shop.time_zone)
    today = local_date(shop.services.clock.now(), tz)
    return resolve_local(today + timedelta(days=days), hour * 60 + minute, tz)


def weekly(count: int, **extra: Any) -> Answer:
    return {"recurrence": {"pattern": {"frequency": "WEEKLY", "count": count}, **extra}}


@dataclass(frozen=True, slots=True)
class Regular:
    """Somebody who comes again and again. Each method gives what the API answers; `made` insists on success."""

    client: GraphQLClient
    shop: Shop

    def wanted(self, start: datetime, **extra: Any) -> Answer:
        facts = {"serviceId": self.shop.service_id, "startsAt": iso(start), **extra}
        return {name: value for name, value in facts.items() if value is not None}

    async def plan(self, start: datetime, **extra: Any) -> Answer:
        answer: Answer = await self.client(PLAN, {"input": self.wanted(start, **extra)})
        return answer

    async def refused_plan(self, start: datetime, **extra: Any) -> str:
        """The message."""
        answer = await self.client.raw(PLAN, {"input": self.wanted(start, **extra)})
        message: str = answer["errors"][0]["message"]
        return message

    async def create(self, start: datetime, total: int, **extra: Any) -> Answer:
        facts = {"customer": ANA, "paymentMethod": "PAY_ON_ARRIVAL", "expectedTotalMinor": total, **extra}
        answer: Answer = await self.client(CREATE, {"input": self.wanted(start, **facts)})
        return answer

    async def made(self, start: datetime, total: int, **extra: Any) -> Answer:
        answer = await self.create(start, total, **extra)
        assert answer["__typename"] == "CreateRecurringBookingPayload", answer
        return answer

    async def read(self, series_id: str | None, token: str | None = None) -> Answer:
        answer: Answer = await self.client.raw(READ, {"id": series_id, "token": token})
        return answer


def walls(shop: Shop, rows: list[Answer]) -> set[str]:
    """The wall-clock times of starts."""
    tz = ZoneInfo(shop.time_zone)
    return {datetime.fromisoformat(row["startsAt"]).astimezone(tz).strftime("%H:%M") for row in rows}


def days(shop: Shop, rows: list[Answer]) -> list[date]:
    tz = ZoneInfo(shop.time_zone)
    return [datetime.fromisoformat(row["startsAt"]).astimezone(tz).date() for row in rows]


async def count_rows(shop: Shop) -> dict[str, int]:
    """How many rows every table of the database has."""
    async with shop.services.database.engine.connect() as connection:
        await connection.execute(text("SET ROLE turnero_system"))
        names = (
            await connection.execute(
                text(
                    "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace"
                    " AND c.relkind = 'r' AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1"
                )
            )
        ).scalars()
        return {name: (await connection.execute(text(f"SELECT count(*) FROM {name}"))).scalar_one() for name in names}


def uuid_of_series(answer: Answer) -> Any:
    return decode_id(IdKind.SERIES, answer["series"]["id"])


CANCEL = f"""
mutation ($input: CancelRecurringBookingInput!) {{
  cancelRecurringBooking(input: $input) {{
    __typename ... on CancelRecurringBookingPayload {{
      series {{ {SERIES} }} cancelled {{ seriesPosition status }} skipped {{ position rule }} }}
    ... on SeriesNotAllowed {{ refused {{ position startsAt rule message }} }}
    ... on StaleVersion {{ currentVersion }}
    ... on Error {{ code message }} ... on InvalidInput {{ violations {{ path message }} }} ... on NotAllowed {{ rule }}
  }}
}}
"""
MOVE = f"""
mutation ($input: RescheduleRecurringBookingInput!) {{
  rescheduleRecurringBooking(input: $input) {{
    __typename ... on RescheduleRecurringBookingPayload {{ isDryRun series {{ {SERIES} }} dates {{ {DATE} }} }}
    ... on SeriesNotAllowed {{ refused {{ position startsAt rule message }} }}
    ... on StaleVersion {{ currentVersion }} {REFUSED}
  }}
}}
"""


async def cancel(client: GraphQLClient, made: Answer, scope: str, **extra: Any) -> Answer:
    """By the series' link, unless somebody is signed in."""
    answer: Answer = await client(CANCEL, {"input": _target(client, made, scope, {"reason": "Ill", **extra})})
    return answer


async def move(client: GraphQLClient, made: Answer, scope: str, **extra: Any) -> Answer:
    answer: Answer = await client(MOVE, {"input": _target(client, made, scope, extra)})
    return answer


def _target(client: GraphQLClient, made: Answer, scope: str, extra: Answer) -> Answer:
    link = {} if client.token is not None else {"accessToken": made["accessToken"]}
    return {"seriesId": made["series"]["id"], "scope": scope, **link, **extra}
