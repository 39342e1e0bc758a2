"""A shop to book in, made through the commands: one call, one transaction."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.commands import offer as commands_offer
from app.commands.account import create_user
from app.commands.actor import Actor
from app.commands.membership import add_member
from app.commands.organization import create_organization
from app.commands.provider import create_provider, set_provider_active
from app.commands.schedule import ScheduleRequest, publish_schedule
from app.commands.service import create_service, set_service_active
from app.commands.venue import create_venue, set_venue_active
from app.core.database import Tx
from app.core.ids import IdKind, encode_id
from app.demo_shops import DemoService
from app.domain.membership import Role
from app.domain.schedule import WeeklyHours, weekly_hours
from app.queries.tenancy import Tenancy, bind
from app.resolvers.context import Services

_NUMBERS = itertools.count(1)
TEST = Actor("system", channel="test")
ALWAYS = tuple(weekly_hours(day, [(0, 1440)]) for day in range(7))
OFFICE = tuple(weekly_hours(day, [(9 * 60, 17 * 60)], [(12 * 60, 13 * 60)]) for day in range(7))


@dataclass(slots=True)
class Person:
    user_id: UUID
    email: str
    token: str


@dataclass(slots=True)
class Shop:
    """Public ids as clients see them; `*_uuid` as the database does."""

    services: Services
    organization_uuid: UUID
    owner: Person
    venue_uuid: UUID
    provider_uuids: list[UUID]
    service_uuids: list[UUID]
    time_zone: str
    people: dict[str, Person] = field(default_factory=dict)

    @property
    def organization_id(self) -> str:
        return encode_id(IdKind.ORGANIZATION, self.organization_uuid)

    @property
    def venue_id(self) -> str:
        return encode_id(IdKind.VENUE, self.venue_uuid)

    @property
    def provider_ids(self) -> list[str]:
        return [encode_id(IdKind.PROVIDER, each) for each in self.provider_uuids]

    @property
    def provider_id(self) -> str:
        return self.provider_ids[0]

    @property
    def service_ids(self) -> list[str]:
        return [encode_id(IdKind.SERVICE, each) for each in self.service_uuids]

    @property
    def service_id(self) -> str:
        return self.service_ids[0]

    async def person(self, name: str, role: Role | None = None) -> Person:
        """An account, made when first asked for; a member where a role is given."""
        if name not in self.people:
            person = await make_person(self.services, name)
            self.people[name] = person
            if role is not None:
                async with self.services.database.transaction() as tx:
                    await bind(tx, organization_id=self.organization_uuid)
                    await add_member(tx, self.organization_uuid, TEST, Role.OWNER, person.email, role)
        return self.people[name]


_TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
"""Of the whole run: parameters are worked out when it begins, and midnight may come before they are used."""


def at(days: int, hour: int, minute: int = 0) -> datetime:
    """An instant some days from the day on which the tests began, in UTC."""
    return _TODAY + timedelta(days=days, hours=hour, minutes=minute)


def from_today(days: int, hour: int, minute: int = 0) -> datetime:
    """The same, from the day that it is now: for tests of what the server itself counts from its today."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(days=days, hours=hour, minutes=minute)


def iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


async def make_person(services: Services, name: str) -> Person:
    """Someone with an account, signed in."""
    async with services.database.transaction() as tx:
        return await _person(tx, services, name)


async def _person(tx: Tx, services: Services, name: str) -> Person:
    """The password hash is none: nobody signs in with it, the token is signed here."""
    email = f"{name}.{next(_NUMBERS)}@example.com"
    user = await create_user(tx, email, name, "no password")
    # Long enough for tests that move the clock, to a holiday of the next year say.
    token, _ = services.tokens.access_token(user.id, datetime.now(UTC) + timedelta(days=400))
    return Person(user.id, email, token)


async def make_shop(
    services: Services,
    *,
    providers: int = 1,
    time_zone: str = "UTC",
    weekly: tuple[WeeklyHours, ...] | None = ALWAYS,
    slot_interval: int = 15,
    linked: Person | None = None,
    service: dict[str, Any] | None = None,
    more_services: tuple[dict[str, Any], ...] = (),
    currency: str = "USD",
) -> Shop:
    """Services take 30 minutes and cost 10.00, without notice or buffers; `service` changes what a test needs."""
    async with services.database.transaction() as tx:
        owner = await _person(tx, services, "owner")
        slug = f"shop-{next(_NUMBERS)}"
        facts = {"name": "Shop", "slug": slug, "currency": currency, "locale": "en", "country": None}
        organization = await create_organization(tx, TEST, owner.user_id, facts)
        organization.bookings_per_hour_limit = None  # a test's Ana books as often as the test likes
        service_uuids = [await _service(tx, organization.id, extra) for extra in (service or {}, *more_services)]
        venue = await create_venue(
            tx,
            organization.id,
            TEST,
            {"name": "Venue", "time_zone": time_zone, "address": None, "latitude": None, "longitude": None},
        )
        provider_uuids = []
        for number in range(providers):
            details: dict[str, Any] = {"name": f"Provider {number}", "bio": None, "time_zone": None}
            if linked is not None and number == 0:
                details["user_email"] = linked.email
            made = await create_provider(tx, organization.id, TEST, venue.id, details, service_uuids)
            provider_uuids.append(made.id)
            if weekly is not None:
                await publish_schedule(
                    tx,
                    Tenancy(organization.id, "owner"),
                    ScheduleRequest(made.id, None, weekly, slot_interval),
                    actor=TEST,
                    now=datetime.now(UTC),
                )
    return Shop(services, organization.id, owner, venue.id, sorted(provider_uuids), service_uuids, time_zone)


async def _service(tx: Tx, organization_id: UUID, extra: dict[str, Any]) -> UUID:
    basis = DemoService("test", "Service", "Test", 1_000, 30, {"advance_notice_minutes": 0, **extra})
    return (await create_service(tx, organization_id, TEST, basis.values())).id


async def set_offer(shop: Shop, number: int, **values: Any) -> None:
    """The shop's provider of this number offers the first service with a price or a length of their own."""
    facts = {"price_minor": None, "duration_minutes": None, **values}
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        await commands_offer.set_offer(
            tx,
            shop.organization_uuid,
            TEST,
            provider_id=shop.provider_uuids[number],
            service_id=shop.service_uuids[0],
            values=facts,
        )


async def set_active(shop: Shop, noun: str, row_id: UUID, is_active: bool) -> None:
    """Switch a provider, service or venue on or off."""
    switch = {"provider": set_provider_active, "service": set_service_active, "venue": set_venue_active}[noun]
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        await switch(tx, shop.organization_uuid, TEST, row_id, is_active)
