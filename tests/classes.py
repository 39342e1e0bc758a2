"""A shop's activity with sessions, made through the commands, and what its visitors send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from app.commands.activity import Taken, create_activity
from app.commands.schedule import ScheduleRequest, publish_schedule
from app.core.ids import IdKind, encode_id
from app.domain.schedule import WeeklyHours, weekly_hours
from app.models import Activity
from app.queries.schedule import OwnerKind
from app.queries.tenancy import Tenancy, bind
from tests.fixtures_api import GraphQLClient
from tests.journey import Held, Made, Visitor, rows_of
from tests.schema import operations as op
from tests.shop import TEST, Shop, make_shop

MORNINGS = tuple(weekly_hours(day, [(9 * 60, 12 * 60)]) for day in range(7))
"""Sessions of an hour at 9:00, 10:00 and 11:00 of every day."""

AFTER_NOON = tuple(weekly_hours(day, [(14 * 60, 16 * 60)]) for day in range(7))
"""At 14:00 and 15:00."""

SESSION = "id startsAt endsAt capacityTotal capacityRemaining status isLegacy version cancelledReason placesTaken"

SESSIONS = f"""
query ($activity: ID!, $from: Date!, $to: Date!, $party: Int! = 1) {{
  sessions(activityId: $activity, from: $from, to: $to, partySize: $party) {{
    {SESSION} activity {{ id name price {{ amountMinor }} venue {{ id }} }} }}
}}
"""
ALL_SESSIONS = f"""
query ($activity: ID!, $from: Date!, $to: Date!, $statuses: [SessionStatus!]) {{
  allSessions(activityId: $activity, from: $from, to: $to, statuses: $statuses) {{ {SESSION} }}
}}
"""
ONE = f"query ($id: ID!) {{ session(id: $id) {{ {SESSION} }} }}"
_EXCEPT = """
mutation ($input: CreateScheduleExceptionInput!) { createScheduleException(input: $input) { __typename } }
"""
_CHANGED = """
    __typename ... on Error { code message } ... on InvalidInput { violations { path message } }
    ... on NotAllowed { rule } ... on StaleVersion { currentVersion }
"""


def change(operation: str) -> str:
    """`closeSession` → its document."""
    name = operation[0].upper() + operation[1:]
    shown = f"... on {name}Payload {{ session {{ {SESSION} }} }}"
    return f"mutation ($input: {name}Input!) {{ {operation}(input: $input) {{ {shown} {_CHANGED} }} }}"


@dataclass(frozen=True, slots=True)
class Class:
    """An activity of a shop. Each method insists on success unless it gives the member of the union."""

    shop: Shop
    activity_uuid: UUID
    client: GraphQLClient

    @property
    def activity_id(self) -> str:
        return encode_id(IdKind.ACTIVITY, self.activity_uuid)

    @property
    def guest(self) -> Visitor:
        return Visitor(self.client, self.shop)

    @property
    def owner(self) -> GraphQLClient:
        return self.client.signed_in(self.shop.owner.token)

    async def sessions(self, first: date, last: date | None = None, party: int = 1) -> list[dict[str, Any]]:
        variables = {"activity": self.activity_id, "from": f"{first}", "to": f"{last or first}", "party": party}
        found: list[dict[str, Any]] = await self.client(SESSIONS, variables)
        return found

    async def everything(self, first: date, last: date | None = None, **more: Any) -> list[dict[str, Any]]:
        variables = {"activity": self.activity_id, "from": f"{first}", "to": f"{last or first}", **more}
        found: list[dict[str, Any]] = await self.owner(ALL_SESSIONS, variables)
        return found

    async def at(self, start: datetime) -> dict[str, Any]:
        """The session that begins then, as the owner sees it."""
        rows = await rows_of(
            self.shop,
            "SELECT id FROM activity_session WHERE activity_id = :activity AND starts_at = :start",
            activity=self.activity_uuid,
            start=start,
        )
        return await self.read(encode_id(IdKind.SESSION, rows[0]["id"]))

    async def read(self, session_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.owner(ONE, {"id": session_id})
        return found

    async def hold(self, session_id: str, places: int = 1, **extra: Any) -> dict[str, Any]:
        """The member of the union."""
        client = extra.pop("client", self.client)
        wanted = {"sessionId": session_id, "partySize": places, **extra}
        answer: dict[str, Any] = await client(op.HOLD, {"input": wanted})
        return answer

    async def held(self, session_id: str, places: int = 1, **extra: Any) -> Held:
        answer = await self.hold(session_id, places, **extra)
        assert answer["__typename"] == "HoldSlotPayload", answer
        return Held(answer["hold"]["id"], answer["holdToken"], answer["hold"])

    async def booked(self, session_id: str, places: int = 1, **extra: Any) -> Made:
        answer = await self.guest.book(await self.held(session_id, places), **extra)
        assert answer["__typename"] == "CreateBookingPayload", answer
        return Made(answer["booking"]["id"], answer["accessToken"], answer["booking"])

    async def staff(self, operation: str, session_id: str, **extra: Any) -> dict[str, Any]:
        """The member of the union, asked for by the owner."""
        answer: dict[str, Any] = await self.owner(change(operation), {"input": {"sessionId": session_id, **extra}})
        return answer

    async def depart(self, day: date, *opened: tuple[str, str], owner_id: str | None = None) -> None:
        """Special hours on one day, or closed, by the owner: of the activity, or of what has this id."""
        wanted = {
            "ownerId": owner_id or self.activity_id,
            "kind": "SPECIAL_HOURS" if opened else "CLOSED",
            "from": f"{day}",
            "to": f"{day}",
            "open": [{"start": start, "end": end} for start, end in opened],
        }
        answer = await self.owner(_EXCEPT, {"input": wanted})
        assert answer == {"__typename": "CreateScheduleExceptionPayload"}

    async def publish(self, weekly: Sequence[WeeklyHours], **extra: Any) -> None:
        await publish(self.shop, self.activity_uuid, weekly, **extra)


async def publish(
    shop: Shop, activity_id: UUID, weekly: Sequence[WeeklyHours], *, interval: int = 60, now: datetime | None = None
) -> None:
    clock = shop.services.clock
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid, clock_offset=clock.offset)
        request = ScheduleRequest(activity_id, None, tuple(weekly), interval, OwnerKind.ACTIVITY)
        await publish_schedule(
            tx, Tenancy(shop.organization_uuid, "owner"), request, actor=TEST, now=now or clock.now()
        )


async def make_activity(shop: Shop, taken: Taken | None = None, **values: Any) -> Activity:
    """Ten places at 15.00, an hour, without notice; no schedule yet."""
    facts = {
        "name": "Yoga",
        "description": None,
        "category": None,
        "price_minor": 1_500,
        "capacity": 10,
        "duration_minutes": 60,
        "advance_notice_minutes": 0,
        "maximum_advance_days": 365,
        "session_horizon_days": 7,
        "cancellation_notice_minutes": 1_440,
        "max_party_size": None,
        "tags": [],
        **values,
    }
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        return await create_activity(tx, shop.organization_uuid, TEST, shop.venue_uuid, facts, taken or Taken())


async def make_class(
    client: GraphQLClient,
    services: Any,
    *,
    shop: Shop | None = None,
    weekly: Sequence[WeeklyHours] | None = MORNINGS,
    led_by_first: bool = False,
    **values: Any,
) -> Class:
    """A shop with an activity whose sessions of the next week are there."""
    shop = shop or await make_shop(services)
    taken = Taken(tuple(shop.provider_uuids[:1])) if led_by_first else Taken()
    activity = await make_activity(shop, taken, **values)
    if weekly is not None:
        await publish(shop, activity.id, weekly)
    return Class(shop, activity.id, client)


async def faults(shop: Shop) -> list[dict[str, Any]]:
    """Sessions whose counter is not what their live claims add up to. There are none."""
    return await rows_of(shop, WRONG_COUNTS)


WRONG_COUNTS = """
    SELECT s.id, s.taken, s.capacity, s.grandfathered, claimed.places FROM activity_session s
    CROSS JOIN LATERAL (SELECT COALESCE(sum(c.places), 0) AS places FROM place_claim c
                        WHERE c.session_id = s.id AND c.status IN ('held', 'booked')) AS claimed
    WHERE s.taken <> claimed.places OR s.taken > greatest(s.capacity, s.grandfathered)
"""
