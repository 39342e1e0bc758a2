"""Who gives services."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, cast

import strawberry

from app import models
from app.core.ids import IdKind
from app.queries.pagination import page_request
from app.queries.payout import PayoutFilter
from app.queries.provider_rows import FoundProvider
from app.resolvers import payout as payouts
from app.resolvers import provider as resolvers
from app.resolvers.calendar_source import list_calendar_sources
from app.resolvers.exception import exceptions_of, time_off_of_provider
from app.resolvers.provider_feed import calendar_feed_url
from app.resolvers.statement import statement_link
from app.schema.connection import Connection, connection
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import public_id, read_id, read_ids
from app.schema.info import Ctx, given
from app.schema.node import Node
from app.schema.scalars import TimeZone
from app.schema.served import ServiceArea, ServiceAreaInput, read_service_area

if TYPE_CHECKING:  # those know this file
    from app.schema.calendar_source import CalendarSource
    from app.schema.exception import ScheduleException, TimeOff
    from app.schema.offer import Offer
    from app.schema.payout import Payout, PayoutAccount, ProviderBalance, Statement
    from app.schema.schedule import ScheduleVersion
    from app.schema.service import Service
    from app.schema.venue import Venue


@strawberry.type(description="A person (or a team) who gives services.")
class Provider(Node):
    name: str
    bio: str | None
    rating: float | None
    is_active: bool
    works_on_holidays: bool = strawberry.field(description="Public holidays of the venue do not close this provider.")
    daily_booking_limit: int | None = strawberry.field(
        description="Most holds and bookings that start on one local day. None: no limit."
    )
    weekly_booking_limit: int | None = strawberry.field(description="The same for a week, from Monday.")
    languages: list[str] = strawberry.field(description="Tags (BCP 47) of those the provider speaks: es-AR, en.")
    shows_presence: bool = strawberry.field(description="May be told to be online while their account is signed in.")
    record: strawberry.Private[models.Provider]

    @strawberry.field(description="Where the provider comes to, for services at the customer's. None: anywhere.")
    def service_area(self) -> ServiceArea | None:
        kept = self.record.service_area
        return None if kept is None else ServiceArea.from_json(kept)

    @strawberry.field(description="The provider's own, else the venue's.")
    async def time_zone(self, info: Ctx) -> TimeZone:
        return TimeZone(await resolvers.time_zone_of(info.context, self.record))

    @strawberry.field
    async def venue(self, info: Ctx) -> Annotated[Venue, strawberry.lazy("app.schema.venue")]:
        from app.schema.venue import Venue  # noqa: PLC0415

        key = (self.record.organization_id, self.record.venue_id)
        return Venue.from_model(await info.context.loaders.venue_by_id.load(key))

    @strawberry.field(description="The active ones that the provider offers, by name.")
    async def services(self, info: Ctx) -> list[Annotated[Service, strawberry.lazy("app.schema.service")]]:
        from app.schema.service import Service  # noqa: PLC0415

        key = (self.record.organization_id, self.record.id)
        found = await info.context.loaders.services_by_provider_id.load(key)
        return [Service.from_model(service) for service in found]

    @strawberry.field(description="The same services, with the provider's own prices and durations.")
    async def offers(self, info: Ctx) -> list[Annotated[Offer, strawberry.lazy("app.schema.offer")]]:
        from app.schema.offer import Offer  # noqa: PLC0415

        key = (self.record.organization_id, self.record.id)
        found = await info.context.loaders.offers_by_provider_id.load(key)
        return [Offer.from_model(offer) for offer in found]

    @strawberry.field(description="Weekly hours: in force, planned and past, newest first, at most 200.")
    async def schedules(self, info: Ctx) -> list[Annotated[ScheduleVersion, strawberry.lazy("app.schema.schedule")]]:
        from app.schema.schedule import ScheduleVersion  # noqa: PLC0415

        key = (self.record.organization_id, self.record.id)
        found = await info.context.loaders.schedules_by_owner_id.load(key)
        return [ScheduleVersion.from_model(version) for version in found]

    @strawberry.field(description="Closed days and special hours of their own that are not over, by date, at most 200.")
    async def exceptions(
        self, info: Ctx
    ) -> list[Annotated[ScheduleException, strawberry.lazy("app.schema.exception")]]:
        from app.schema.exception import ScheduleException  # noqa: PLC0415

        found = await exceptions_of(info.context, self.record.organization_id, self.record.id)
        return [ScheduleException.from_seen(seen) for seen in found]

    @strawberry.field(description="That is not over, by start, at most 200. For staff, and for the provider.")
    async def time_off(self, info: Ctx) -> list[Annotated[TimeOff, strawberry.lazy("app.schema.exception")]]:
        from app.schema.exception import TimeOff  # noqa: PLC0415

        found = await time_off_of_provider(info.context, self.record.organization_id, self.record.id)
        return [TimeOff.from_domain(time_off) for time_off in found]

    @strawberry.field(
        description="Secret address of the provider's bookings as an iCalendar feed. For the provider's own account, "
        "admins and owners; null for others."
    )
    async def calendar_feed_url(self, info: Ctx) -> str | None:
        return await calendar_feed_url(info.context, self.record)

    @strawberry.field(
        description="Calendars elsewhere whose busy times block the provider. For the provider's own account, admins "
        "and owners; empty for others."
    )
    async def calendar_sources(
        self, info: Ctx
    ) -> list[Annotated[CalendarSource, strawberry.lazy("app.schema.calendar_source")]]:
        from app.schema.calendar_source import CalendarSource  # noqa: PLC0415

        found = await list_calendar_sources(info.context, self.record)
        return [CalendarSource.from_model(source) for source in found]

    @strawberry.field(description="Where the provider is paid out to. For staff, and for the provider.")
    async def payout_account(self, info: Ctx) -> Annotated[PayoutAccount, strawberry.lazy("app.schema.payout")] | None:
        from app.schema.payout import PayoutAccount  # noqa: PLC0415

        if not await payouts.sees_money(info.context, self.record.organization_id, self.record.id):
            return None
        key = (self.record.organization_id, self.record.id)
        found = await info.context.loaders.payout_account_by_provider_id.load(key)
        return None if found is None else PayoutAccount.from_model(found)

    @strawberry.field(description="What the provider is owed, by currency. For staff, and for the provider.")
    async def balance(self, info: Ctx) -> list[Annotated[ProviderBalance, strawberry.lazy("app.schema.payout")]]:
        from app.schema.payout import ProviderBalance  # noqa: PLC0415

        if not await payouts.sees_money(info.context, self.record.organization_id, self.record.id):
            return []
        key = (self.record.organization_id, self.record.id)
        found = await info.context.loaders.balances_by_provider_id.load(key)
        return [ProviderBalance.from_balance(balance) for balance in found]

    @strawberry.field(description="Newest first. For staff, and for the provider; empty for others.")
    async def payouts(
        self,
        info: Ctx,
        *,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Annotated[Payout, strawberry.lazy("app.schema.payout")]]:
        from app.schema.payout import Payout  # noqa: PLC0415

        wanted = PayoutFilter(provider_id=self.record.id)
        found = payouts.PayoutList(info.context, self.record.organization_id, wanted)
        page = await found.page(page_request(first, after, last, before))
        return connection(page, Payout.from_model, found.count)

    @strawberry.field(
        description="All that changed what the provider is owed on these local days (at most a year, both included), "
        "as CSV at an address of its own. For staff, and for the provider; null for others."
    )
    async def statement(
        self, info: Ctx, from_: Annotated[date, strawberry.argument(name="from")], to: date
    ) -> Annotated[Statement, strawberry.lazy("app.schema.payout")] | None:
        from app.schema.payout import Statement  # noqa: PLC0415

        link = await statement_link(info.context, self.record, from_, to)
        return None if link is None else Statement.from_link(link)

    @classmethod
    def from_model(cls, record: models.Provider) -> Provider:
        return cls._of(record, public_id(IdKind.PROVIDER, record.id))

    @classmethod
    def from_found(cls, found: FoundProvider) -> Provider:
        """One of many on a page of a search."""
        return cls._of(cast(models.Provider, found), strawberry.ID(found.public_id))

    @classmethod
    def _of(cls, record: models.Provider, id: strawberry.ID) -> Provider:
        return cls(
            id=id,
            name=record.name,
            bio=record.bio,
            rating=record.rating,
            is_active=record.is_active,
            works_on_holidays=record.works_on_holidays,
            daily_booking_limit=record.daily_booking_limit,
            weekly_booking_limit=record.weekly_booking_limit,
            languages=record.languages,
            shows_presence=record.shows_presence,
            record=record,
        )


@strawberry.input
class CreateProviderInput:
    venue_id: strawberry.ID
    name: str
    bio: str | None = None
    time_zone: TimeZone | None = strawberry.field(default=None, description="None: the venue's.")
    service_ids: list[strawberry.ID] = strawberry.field(default_factory=list)
    user_email: str | None = strawberry.field(default=None, description="Of the account that acts as this provider.")
    works_on_holidays: bool = strawberry.field(
        default=False, description="Work on public holidays of the venue's country and region, as on other days."
    )
    daily_booking_limit: int | None = strawberry.field(default=None, description="1 to 1000 a day; null: no limit.")
    weekly_booking_limit: int | None = strawberry.field(default=None, description="1 to 1000 a week; null: no limit.")
    shows_presence: bool = strawberry.field(
        default=True, description="Tell whether their account is online, to whoever asks for presence."
    )
    languages: list[str] = strawberry.field(default_factory=list, description="Tags (BCP 47), at most 20: es-AR, en.")
    service_area: ServiceAreaInput | None = strawberry.field(
        default=None, description="Where to come to, for services at the customer's. Null: anywhere."
    )
    idempotency_key: str | None = None


@strawberry.input(description="What is left out stays as it is.")
class UpdateProviderInput:
    provider_id: strawberry.ID
    name: str | None = strawberry.UNSET
    bio: str | None = strawberry.UNSET
    time_zone: TimeZone | None = strawberry.field(default=strawberry.UNSET, description="Null: the venue's.")
    user_email: str | None = strawberry.field(
        default=strawberry.UNSET, description="Of the account that acts as this provider; null: of none."
    )
    works_on_holidays: bool | None = strawberry.field(
        default=strawberry.UNSET,
        description="Work on public holidays of the venue's country and region, as on other days.",
    )
    daily_booking_limit: int | None = strawberry.field(
        default=strawberry.UNSET, description="1 to 1000 a day; null: no limit."
    )
    weekly_booking_limit: int | None = strawberry.field(
        default=strawberry.UNSET, description="1 to 1000 a week; null: no limit."
    )
    shows_presence: bool | None = strawberry.field(
        default=strawberry.UNSET, description="Tell whether their account is online, to whoever asks for presence."
    )
    languages: list[str] | None = strawberry.field(
        default=strawberry.UNSET, description="Tags (BCP 47), at most 20: es-AR, en."
    )
    service_area: ServiceAreaInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="Where to come to, for services at the customer's. Null: anywhere. Bookings stand.",
    )
    idempotency_key: str | None = None


@strawberry.input
class DeactivateProviderInput:
    provider_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.input
class ReactivateProviderInput:
    provider_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.type
class CreateProviderPayload:
    provider: Provider


@strawberry.type
class UpdateProviderPayload:
    provider: Provider


@strawberry.type
class DeactivateProviderPayload:
    provider: Provider


@strawberry.type
class ReactivateProviderPayload:
    provider: Provider


CreateProviderResult = Annotated[
    CreateProviderPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("CreateProviderResult"),
]
UpdateProviderResult = Annotated[
    UpdateProviderPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("UpdateProviderResult"),
]
DeactivateProviderResult = Annotated[
    DeactivateProviderPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("DeactivateProviderResult"),
]
ReactivateProviderResult = Annotated[
    ReactivateProviderPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("ReactivateProviderResult"),
]


@strawberry.type
class ProviderQuery:
    @strawberry.field
    async def provider(self, info: Ctx, id: strawberry.ID) -> Provider | None:
        provider_id = read_id(IdKind.PROVIDER, id, "id")
        return Provider.from_model(await resolvers.read_provider(info.context, provider_id))


@strawberry.type
class ProviderMutation:
    @strawberry.mutation
    async def create_provider(self, info: Ctx, input: CreateProviderInput) -> CreateProviderResult:
        venue_id = read_id(IdKind.VENUE, input.venue_id, "input.venueId")
        service_ids = read_ids(IdKind.SERVICE, input.service_ids, "input.serviceIds")
        values = read_service_area(given(input, without={"venue_id", "service_ids"}))
        made = await resolvers.create_provider(info.context, venue_id, values, service_ids, input.idempotency_key)
        return CreateProviderPayload(provider=Provider.from_model(made))

    @strawberry.mutation
    async def update_provider(self, info: Ctx, input: UpdateProviderInput) -> UpdateProviderResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        values = read_service_area(given(input, without={"provider_id"}))
        changed = await resolvers.update_provider(info.context, provider_id, values, input.idempotency_key)
        return UpdateProviderPayload(provider=Provider.from_model(changed))

    @strawberry.mutation(description="Closes the provider to new bookings. Bookings stand.")
    async def deactivate_provider(self, info: Ctx, input: DeactivateProviderInput) -> DeactivateProviderResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        changed = await resolvers.set_provider_active(info.context, provider_id, False, input.idempotency_key)
        return DeactivateProviderPayload(provider=Provider.from_model(changed))

    @strawberry.mutation
    async def reactivate_provider(self, info: Ctx, input: ReactivateProviderInput) -> ReactivateProviderResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        changed = await resolvers.set_provider_active(info.context, provider_id, True, input.idempotency_key)
        return ReactivateProviderPayload(provider=Provider.from_model(changed))
