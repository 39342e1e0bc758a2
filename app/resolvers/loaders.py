"""Batch loaders, named by their key. They live as long as one operation (or one event of a subscription).

A key is (organization id, id). A batch is read organization by organization, each in a transaction bound to it: two
statements. What an id names always exists where a row points at it; a missing one raises NotFound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING
from uuid import UUID

from strawberry.dataloader import DataLoader

from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.price_book import PriceBook
from app.models import (
    Activity,
    Booking,
    BookingFee,
    BookingItem,
    BookingSeries,
    BookingTransition,
    CalendarSource,
    Customer,
    Offer,
    Organization,
    Payment,
    PayoutAccount,
    PayoutItem,
    Provider,
    Refund,
    Resource,
    ResourceNeed,
    ScheduleException,
    ScheduleVersion,
    Service,
    Venue,
)
from app.models.base import Identified
from app.queries.activity import list_activities_below_venues, list_providers_below_activities
from app.queries.booking import items_of_bookings, transitions_of_bookings
from app.queries.calendar_source import list_sources_below
from app.queries.exception import (
    TimeOff,
    list_exceptions_below,
    list_time_off_of_providers,
    list_time_off_of_resources,
)
from app.queries.fee import list_fees_below
from app.queries.ledger import BookedJournal, journals_of_bookings
from app.queries.payee import accounts_of
from app.queries.payment import Disputed, disputed_below, latest_payments, list_refunds_below
from app.queries.payout import ProviderBalance, balances_of, items_of_payouts
from app.queries.price_rule import read_price_books
from app.queries.provider import (
    list_offers_below_providers,
    list_providers_below_services,
    list_providers_below_venues,
)
from app.queries.provider_free import SoonestSlot
from app.queries.resource import list_needs_below, list_resources_below
from app.queries.schedule import list_versions_below
from app.queries.series import bookings_of_series
from app.queries.service import list_services_below
from app.queries.session import SeenSession, list_seen_sessions, list_sessions_with
from app.queries.session_price import SessionPrices, list_session_prices
from app.queries.tenancy import Door, Tenancy
from app.queries.venue import list_venues_below
from app.resolvers.bulk_loaders import BulkLoaders
from app.resolvers.first_slots import OfferKey, load_first_slots
from app.resolvers.group_loaders import GroupLoaders
from app.resolvers.history_loaders import HistoryLoaders
from app.resolvers.loader_base import BATCH_MAXIMUM, Key

if TYPE_CHECKING:
    from app.resolvers.checkout import PaymentShown


class Loaders(GroupLoaders, HistoryLoaders, BulkLoaders):
    """Each loader is made when it is first asked for."""

    # ── one, by id ──

    @cached_property
    def organization_by_id(self) -> DataLoader[Key, Organization]:
        return self._rows(Organization)

    @cached_property
    def venue_by_id(self) -> DataLoader[Key, Venue]:
        return self._rows(Venue)

    @cached_property
    def provider_by_id(self) -> DataLoader[Key, Provider]:
        return self._rows(Provider)

    @cached_property
    def service_by_id(self) -> DataLoader[Key, Service]:
        return self._rows(Service)

    @cached_property
    def resource_by_id(self) -> DataLoader[Key, Resource]:
        return self._rows(Resource)

    @cached_property
    def customer_by_id(self) -> DataLoader[Key, Customer]:
        return self._rows(Customer)

    @cached_property
    def activity_by_id(self) -> DataLoader[Key, Activity]:
        return self._rows(Activity)

    @cached_property
    def session_by_id(self) -> DataLoader[Key, SeenSession]:
        async def load(keys: list[Key]) -> list[SeenSession | BaseException]:
            found = await self._read(keys, list_seen_sessions)
            return [found.get(key) or NotFound() for key in keys]

        return DataLoader(load, max_batch_size=BATCH_MAXIMUM)

    @cached_property
    def session_prices_by_activity_id(self) -> DataLoader[Key, SessionPrices]:
        async def load(keys: list[Key]) -> list[SessionPrices | BaseException]:
            found = await self._read(keys, list_session_prices)
            return [found.get(key) or NotFound() for key in keys]

        return DataLoader(load, max_batch_size=BATCH_MAXIMUM)

    @cached_property
    def is_in_session(self) -> DataLoader[Key, bool]:
        """Does the viewer lead the session, or have (or had) a booking in it? Costs nothing for a guest."""

        async def fetch(tx: Tx, ids: Sequence[UUID]) -> Mapping[UUID, bool]:
            user_id = self._context.user_id
            return {} if user_id is None else await list_sessions_with(tx, ids, user_id)

        async def load(keys: list[Key]) -> list[bool]:
            found = {} if self._context.user_id is None else await self._read(keys, fetch)
            return [found.get(key, False) for key in keys]

        return DataLoader(load, max_batch_size=BATCH_MAXIMUM)

    # ── lists, at most 200 below each parent ──

    @cached_property
    def venues_by_organization_id(self) -> DataLoader[Key, list[Venue]]:
        """The active ones."""
        return self._lists(list_venues_below)

    @cached_property
    def providers_by_venue_id(self) -> DataLoader[Key, list[Provider]]:
        """The active ones, of an active venue."""
        return self._lists(list_providers_below_venues)

    @cached_property
    def resources_by_venue_id(self) -> DataLoader[Key, list[Resource]]:
        """The active ones."""
        return self._lists(list_resources_below)

    @cached_property
    def all_resources_by_venue_id(self) -> DataLoader[Key, list[Resource]]:
        """Those that are switched off too."""
        return self._lists(partial(list_resources_below, with_inactive=True))

    @cached_property
    def needs_by_owner_id(self) -> DataLoader[Key, list[ResourceNeed]]:
        """Of services and activities."""
        return self._lists(list_needs_below)

    @cached_property
    def activities_by_venue_id(self) -> DataLoader[Key, list[Activity]]:
        """The active ones, of an active venue."""
        return self._lists(list_activities_below_venues)

    @cached_property
    def providers_by_activity_id(self) -> DataLoader[Key, list[Provider]]:
        """The active ones who lead it."""
        return self._lists(list_providers_below_activities)

    @cached_property
    def providers_by_service_id(self) -> DataLoader[Key, list[Provider]]:
        """Those that can be booked for it: active, at an active venue, with an active offer."""
        return self._lists(list_providers_below_services)

    @cached_property
    def services_by_provider_id(self) -> DataLoader[Key, list[Service]]:
        """The active ones with an active offer."""
        return self._lists(list_services_below)

    @cached_property
    def offers_by_provider_id(self) -> DataLoader[Key, list[Offer]]:
        """The active ones of active services."""
        return self._lists(list_offers_below_providers)

    @cached_property
    def calendar_sources_by_provider_id(self) -> DataLoader[Key, list[CalendarSource]]:
        """The connected ones, in the order they came."""
        return self._lists(list_sources_below)

    @cached_property
    def schedules_by_owner_id(self) -> DataLoader[Key, list[ScheduleVersion]]:
        """Of providers and activities: in force, planned and past, newest first."""
        return self._lists(list_versions_below)

    @cached_property
    def exceptions_by_owner_id(self) -> DataLoader[Key, list[ScheduleException]]:
        """Of providers, venues and activities: those that are not over, by date."""
        return self._lists(list_exceptions_below)

    @cached_property
    def time_off_by_provider_id(self) -> DataLoader[Key, list[TimeOff]]:
        """What is not over, by start."""
        return self._lists(list_time_off_of_providers)

    @cached_property
    def time_off_by_resource_id(self) -> DataLoader[Key, list[TimeOff]]:
        """What is not over of its units, by start."""
        return self._lists(list_time_off_of_resources)

    @cached_property
    def items_by_booking_id(self) -> DataLoader[Key, list[BookingItem]]:
        return self._lists(_items_below)

    @cached_property
    def transitions_by_booking_id(self) -> DataLoader[Key, list[BookingTransition]]:
        return self._lists(_transitions_below)

    @cached_property
    def payment_by_booking_id(self) -> DataLoader[Key, Payment | None]:
        """The newest attempt at the price."""

        async def load(keys: list[Key]) -> list[Payment | None]:
            found = await self._read(keys, latest_payments)
            return [found.get(key) for key in keys]

        return DataLoader(load, max_batch_size=BATCH_MAXIMUM)

    @cached_property
    def shown_payments(self) -> dict[UUID, PaymentShown]:
        """By booking: what was shown of its payment in this operation already."""
        return {}

    @cached_property
    def refunds_by_booking_id(self) -> DataLoader[Key, list[Refund]]:
        """Oldest first."""
        return self._lists(list_refunds_below)

    @cached_property
    def disputed_by_booking_id(self) -> DataLoader[Key, Disputed]:
        async def load(keys: list[Key]) -> list[Disputed]:
            found = await self._read(keys, disputed_below)
            return [found.get(key, Disputed()) for key in keys]

        return DataLoader(load, max_batch_size=BATCH_MAXIMUM)

    @cached_property
    def fees_by_booking_id(self) -> DataLoader[Key, list[BookingFee]]:
        """Oldest first."""
        return self._lists(list_fees_below)

    @cached_property
    def ledger_by_booking_id(self) -> DataLoader[Key, list[BookedJournal]]:
        """In the order in which it was written."""
        return self._lists(journals_of_bookings)

    # ── payouts ──

    @cached_property
    def booking_by_id(self) -> DataLoader[Key, Booking]:
        return self._rows(Booking)

    @cached_property
    def payout_account_by_provider_id(self) -> DataLoader[Key, PayoutAccount | None]:
        async def load(keys: list[Key]) -> list[PayoutAccount | None]:
            found = await self._read(keys, accounts_of)
            return [found.get(key) for key in keys]

        return DataLoader(load, max_batch_size=BATCH_MAXIMUM)

    @cached_property
    def balances_by_provider_id(self) -> DataLoader[Key, list[ProviderBalance]]:
        """By currency."""
        return self._lists(balances_of)

    @cached_property
    def items_by_payout_id(self) -> DataLoader[Key, list[PayoutItem]]:
        return self._lists(items_of_payouts)

    @cached_property
    def price_book_by_organization_id(self) -> DataLoader[Key, PriceBook]:
        """What its prices are computed with, as it is now."""

        async def load(keys: list[Key]) -> list[PriceBook]:
            found = await self._read(keys, read_price_books)
            return [found[key] for key in keys]

        return DataLoader(load, max_batch_size=BATCH_MAXIMUM)

    @cached_property
    def first_slot_by_offer(self) -> DataLoader[OfferKey, SoonestSlot | None]:
        return DataLoader(partial(load_first_slots, self._context))

    @cached_property
    def series_by_id(self) -> DataLoader[Key, BookingSeries]:
        return self._rows(BookingSeries)

    @cached_property
    def bookings_by_series_id(self) -> DataLoader[Key, list[Booking]]:
        return self._lists(bookings_of_series)

    # ── the viewer ──

    @cached_property
    def tenancy_by_organization_id(self) -> DataLoader[UUID, Tenancy]:
        """What the viewer is there. Costs nothing for a guest, or where the organization was entered already."""
        return DataLoader(self._load_tenancies)

    async def _load_tenancies(self, organization_ids: list[UUID]) -> list[Tenancy]:
        return await asyncio.gather(*map(self._tenancy, organization_ids))

    async def _tenancy(self, organization_id: UUID) -> Tenancy:
        if self._context.viewer is None:
            return Tenancy(organization_id)
        async with self._context.read(Door.ORGANIZATION, organization_id) as (_, tenancy):
            return tenancy

    # ── keeping up with what changes ──

    def forget(self) -> None:
        """After a change in the same operation: every loader starts anew."""
        context = self._context
        self.__dict__.clear()
        self._context = context

    def prime(self, *records: Identified) -> None:
        """Records that were just read or written, so that no field asks for them again."""
        for record in records:
            match record:
                case Organization():
                    self.organization_by_id.prime((record.id, record.id), record)
                case Venue():
                    self.venue_by_id.prime((record.organization_id, record.id), record)
                case Provider():
                    self.provider_by_id.prime((record.organization_id, record.id), record)
                case Service():
                    self.service_by_id.prime((record.organization_id, record.id), record)
                case Resource():
                    self.resource_by_id.prime((record.organization_id, record.id), record)
                case Activity():
                    self.activity_by_id.prime((record.organization_id, record.id), record)
                case Customer():
                    self.customer_by_id.prime((record.organization_id, record.id), record)

    def prime_tenancy(self, tenancy: Tenancy) -> None:
        if self._context.viewer is not None:  # a guest's costs nothing
            self.tenancy_by_organization_id.prime(tenancy.organization_id, tenancy)


async def _items_below(tx: Tx, booking_ids: Sequence[UUID]) -> Mapping[UUID, list[BookingItem]]:
    found: dict[UUID, list[BookingItem]] = {}
    for item in await items_of_bookings(tx, booking_ids):
        found.setdefault(item.booking_id, []).append(item)
    return found


async def _transitions_below(tx: Tx, booking_ids: Sequence[UUID]) -> Mapping[UUID, list[BookingTransition]]:
    found: dict[UUID, list[BookingTransition]] = {}
    for step in await transitions_of_bookings(tx, booking_ids):
        found.setdefault(step.booking_id, []).append(step)
    return found
