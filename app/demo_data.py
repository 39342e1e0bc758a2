"""The demo's data, made through the commands themselves with the clock moved: past bookings were booked in the past."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from app.commands.account import create_user
from app.commands.activity import Taken, create_activity
from app.commands.actor import Actor
from app.commands.booking import BookingRequest, create_booking
from app.commands.booking_change import apply_transition
from app.commands.booking_insert import CustomerDetails
from app.commands.hold import HoldLimits, HoldRequest, hold_slot
from app.commands.organization import create_organization
from app.commands.provider import create_provider
from app.commands.schedule import ScheduleRequest, publish_schedule
from app.commands.service import create_service
from app.commands.session_booking import create_session_booking
from app.commands.session_hold import PlacesRequest, hold_places
from app.commands.venue import create_venue
from app.core.database import Database, Tx
from app.core.passwords import Passwords
from app.core.settings import Settings
from app.core.tokens import TokenSigner
from app.demo_shops import HOURS, PASSWORD, SHOPS, DemoProvider, DemoShop, DemoVenue
from app.domain.booking import BookingStatus, PaymentMethod
from app.domain.errors import NotFound, SlotUnavailable
from app.domain.instants import local_date, zone
from app.domain.schedule import weekly_hours
from app.domain.search import AvailabilitySearch
from app.models import Activity, Booking, Provider, Service, Venue
from app.queries.account import find_login
from app.queries.availability_read import find_free_times
from app.queries.facts_cache import FactsReader
from app.queries.schedule import OwnerKind
from app.queries.session import list_sessions
from app.queries.tenancy import Door, Tenancy, bind, enter

DAYS = 14
"""How far the bookings reach, back and ahead."""
SESSIONS_BOOKED = 18
"""Of an activity, so many coming sessions are looked at."""
SEED = Actor("system", channel="demo")


@dataclass(slots=True)
class Seeder:
    """Writes one shop at a time. `now` is the real one; each step says how far back its own clock stands."""

    database: Database
    tokens: TokenSigner
    passwords: Passwords
    now: datetime
    chance: random.Random = field(default_factory=random.Random)

    @asynccontextmanager
    async def within(
        self, organization_id: UUID | None, offset: timedelta = timedelta(0)
    ) -> AsyncIterator[tuple[Tx, Tenancy]]:
        """A transaction as the shop's owner, with the clock moved."""
        async with self.database.transaction() as tx:
            await bind(tx, organization_id=organization_id, clock_offset=offset)
            yield tx, Tenancy(organization_id or UUID(int=0), "owner")

    async def account(self, email: str, name: str) -> UUID:
        async with self.database.transaction() as tx:
            known = await find_login(tx, email)
        if known is not None:
            return known.id
        password_hash = await self.passwords.hash(PASSWORD)
        async with self.database.transaction() as tx:
            return (await create_user(tx, email, name, password_hash)).id

    async def shop(self, shop: DemoShop) -> None:
        """The shop with its catalogue, then the bookings of each day that has none; what is there is left alone.

        So a run that was interrupted is finished by the next, and a later one brings the demo up to its day.
        """
        organization_id = await self._find(shop.slug)
        if organization_id is None:
            organization_id = await self._catalogue(shop)
        await self._activities(shop, organization_id)
        await self._bookings(shop, organization_id)

    async def _find(self, slug: str) -> UUID | None:
        async with self.database.transaction() as tx:
            try:
                return (await enter(tx, Door.SLUG, slug, user_id=None)).organization_id
            except NotFound:
                return None

    async def _catalogue(self, shop: DemoShop) -> UUID:
        owner_id = await self.account(shop.owner_email, shop.owner_name)
        providers = [provider for venue in shop.venues for provider in venue.providers]
        for provider in providers:
            if provider.email is not None:
                await self.account(provider.email, provider.name)
        start = -timedelta(days=DAYS + 7)
        async with self.within(None, start) as (tx, _):
            facts = {
                "name": shop.name,
                "slug": shop.slug,
                "currency": shop.currency,
                "locale": shop.locale,
                "country": shop.country,
            }
            organization = await create_organization(tx, SEED, owner_id, facts, start)
            services = {}
            for service in shop.services:
                made = await create_service(tx, organization.id, SEED, service.values())
                services[service.key] = made.id
            for venue in shop.venues:
                await self._venue(tx, organization.id, shop.country, venue, services)
        return organization.id

    async def _venue(
        self, tx: Tx, organization_id: UUID, country: str, venue: DemoVenue, services: dict[str, UUID]
    ) -> None:
        facts = {
            "name": venue.name,
            "time_zone": venue.time_zone,
            "address": venue.address,
            "latitude": venue.latitude,
            "longitude": venue.longitude,
            "country": country,
        }
        made = await create_venue(tx, organization_id, SEED, facts)
        for provider in venue.providers:
            await self._provider(tx, organization_id, made.id, provider, services)

    async def _provider(
        self, tx: Tx, organization_id: UUID, venue_id: UUID, provider: DemoProvider, services: dict[str, UUID]
    ) -> None:
        facts = {"name": provider.name, "bio": provider.bio, "time_zone": None}
        if provider.email is not None:
            facts["user_email"] = provider.email
        offered = [services[key] for key in provider.services]
        made = await create_provider(tx, organization_id, SEED, venue_id, facts, offered)
        weekly = tuple(weekly_hours(day, opened, breaks) for day, (opened, breaks) in HOURS[provider.hours].items())
        request = ScheduleRequest(made.id, None, weekly, 15)
        published_at = self.now - timedelta(days=DAYS + 7)
        tenancy = Tenancy(organization_id, "owner")
        await publish_schedule(tx, tenancy, request, actor=SEED, now=published_at)

    async def _activities(self, shop: DemoShop, organization_id: UUID) -> None:
        """Those that are missing, with their schedule, their sessions and the first guests of the coming ones."""
        async with self.within(organization_id) as (tx, tenancy):
            venues = {row.name: row.id for row in await tx.execute(select(Venue.name, Venue.id))}
            providers = {row.name: row.id for row in await tx.execute(select(Provider.name, Provider.id))}
            there = set((await tx.execute(select(Activity.name))).scalars())
            for venue in shop.venues:
                for wanted in venue.activities:
                    if wanted.name in there or venue.name not in venues:
                        continue
                    led_by = Taken(tuple(providers[name] for name in wanted.led_by if name in providers))
                    made = await create_activity(tx, organization_id, SEED, venues[venue.name], wanted.values(), led_by)
                    hours = HOURS[wanted.hours].items()
                    weekly = tuple(weekly_hours(day, opened, breaks) for day, (opened, breaks) in hours)
                    request = ScheduleRequest(made.id, None, weekly, wanted.interval, OwnerKind.ACTIVITY)
                    await publish_schedule(tx, tenancy, request, actor=SEED, now=self.now)
                    await self._places(tx, tenancy, shop, made.id)

    async def _places(self, tx: Tx, tenancy: Tenancy, shop: DemoShop, activity_id: UUID) -> None:
        """Every third of the next sessions has a party already."""
        soon = await list_sessions(tx, activity_id, self.now, self.now + timedelta(days=DAYS), limit=SESSIONS_BOOKED)
        for number, seen in enumerate(soon[::3]):
            guest = shop.guests[number % len(shop.guests)]
            hold = await hold_places(
                tx,
                tenancy,
                PlacesRequest(seen.session.id, 2 + number % 3),
                now=self.now,
                ttl=timedelta(minutes=10),
                limits=HoldLimits(0, 0),
                user_id=None,
                address=None,
            )
            await create_session_booking(
                tx,
                self.tokens,
                BookingRequest(hold.id, self.tokens.hold_token(hold.id, 1), PaymentMethod.PAY_ON_ARRIVAL, notes=None),
                CustomerDetails(guest[0], guest[1], None, shop.locale),
                tenancy=tenancy,
                actor=SEED,
                now=self.now,
            )

    async def _bookings(self, shop: DemoShop, organization_id: UUID) -> None:
        """A few bookings on each day, back and ahead, of services and guests drawn by lot."""
        async with self.within(organization_id) as (tx, _):
            service_ids = list((await tx.execute(select(Service.id).order_by(Service.id))).scalars())
            starts = (await tx.execute(select(Booking.starts_at).where(Booking.session_id.is_(None)))).scalars()
            tz = zone(shop.venues[0].time_zone)
            booked = {local_date(starts_at, tz) for starts_at in starts}
        today = local_date(self.now, tz)
        for day in range(-DAYS, DAYS + 1):
            date = today + timedelta(days=day)
            if date in booked:
                continue
            # The same lots for a date in each run.
            self.chance = random.Random(f"{shop.slug} {date}")  # noqa: S311 (which slots, not a secret)
            for _ in range(self.chance.randint(1, 3)):
                guest = self.chance.choice(shop.guests)
                await self._booking(shop, organization_id, self.chance.choice(service_ids), day, guest)

    async def _booking(
        self, shop: DemoShop, organization_id: UUID, service_id: UUID, day: int, guest: tuple[str, str]
    ) -> None:
        """Found, held and booked three days before the day (or now, when that is still ahead)."""
        tz = zone(shop.venues[0].time_zone)
        booked_at = min(self.now, self.now + timedelta(days=day - 3))
        offset = booked_at - self.now
        wanted = local_date(self.now, tz) + timedelta(days=day)
        search = AvailabilitySearch(service_id, None, wanted, wanted, tz, None, 1)
        reader = FactsReader(self.database)
        found = await find_free_times(reader, search, booked_at, user_id=None, spend=lambda _count: None)
        free = found.times.slots(wanted)
        if not free:
            return
        slot = self.chance.choice(free)
        async with self.within(organization_id, offset) as (tx, tenancy):
            try:
                hold = await hold_slot(
                    tx,
                    tenancy,
                    HoldRequest(service_id, self.chance.choice(slot.provider_ids), slot.starts_at, None, 1),
                    now=booked_at,
                    ttl=timedelta(minutes=10),
                    limits=HoldLimits(0, 0),
                    user_id=None,
                    address=None,
                )
            except SlotUnavailable:
                return
            booked = await create_booking(
                tx,
                self.tokens,
                BookingRequest(hold.id, self.tokens.hold_token(hold.id, 1), PaymentMethod.PAY_ON_ARRIVAL, notes=None),
                CustomerDetails(guest[0], guest[1], None, shop.locale),
                tenancy=tenancy,
                actor=SEED,
                now=booked_at,
            )
        await self._live_out(organization_id, booked.booking)

    async def _live_out(self, organization_id: UUID, booking: Booking) -> None:
        """What became of it: most of the past ones were served, some were cancelled or missed."""
        lot = self.chance.random()
        is_past = booking.ends_at < self.now
        if lot < 0.12:
            at = min(self.now, booking.cancellable_until)
            await self._step(organization_id, booking, BookingStatus.CANCELLED, at, "The guest could not come")
        elif is_past and booking.status == BookingStatus.AWAITING_PROVIDER:
            await self._step(organization_id, booking, BookingStatus.CANCELLED, booking.starts_at, "Nobody was free")
        elif is_past and lot < 0.2:
            await self._step(organization_id, booking, BookingStatus.NO_SHOW, booking.ends_at, None)
        elif is_past:
            for to, at in (
                (BookingStatus.CHECKED_IN, booking.starts_at),
                (BookingStatus.IN_PROGRESS, booking.starts_at),
                (BookingStatus.COMPLETED, booking.ends_at),
            ):
                await self._step(organization_id, booking, to, at, None)

    async def _step(
        self, organization_id: UUID, booking: Booking, to: BookingStatus, at: datetime, reason: str | None
    ) -> None:
        async with self.within(organization_id, at - self.now) as (tx, _):
            current = await tx.get_one(Booking, booking.id, with_for_update={"key_share": True})
            await apply_transition(tx, current, to, reason, SEED)


async def seed(settings: Settings) -> list[str]:
    """Make what is missing of the demo. Returns what to tell the person who started it. Repeating it does no harm."""
    assert settings.database_url is not None
    assert settings.secret_key is not None
    database = Database(settings.database_url, pool_size=2, application_name="turnero-seed")
    seeder = Seeder(
        database,
        TokenSigner(settings.secret_key.get_secret_value(), timedelta(seconds=settings.access_token_ttl_s)),
        Passwords(),
        datetime.now(UTC).replace(microsecond=0),
    )
    try:
        for shop in SHOPS:
            await seeder.shop(shop)
    finally:
        await database.dispose()
    return list(_sign_ins())


def _sign_ins() -> Iterable[str]:
    yield f"Demo sign-ins (password {PASSWORD}):"
    for shop in SHOPS:
        yield f"  {shop.name} ({shop.slug}): owner {shop.owner_email}"
        for venue in shop.venues:
            for provider in venue.providers:
                if provider.email is not None:
                    yield f"    provider {provider.name}: {provider.email}"
