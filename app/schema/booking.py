"""Bookings as clients see them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import strawberry

from app import models
from app.core.ids import IdKind
from app.domain.booking import BookingStatus, PaymentMethod, PaymentStatus
from app.domain.participant import ParticipantStatus
from app.queries.booking import SeenBooking, due_of
from app.resolvers import booking as resolvers
from app.resolvers import checkout
from app.resolvers.calendar_links import links_of
from app.resolvers.series import series_of_booking
from app.schema.booking_history import BookingPast
from app.schema.booking_life import BookingLife
from app.schema.customer import Customer
from app.schema.fee import BookingFee
from app.schema.ids import public_id, read_optional_id
from app.schema.info import Ctx
from app.schema.node import Money, Node
from app.schema.participant import Participant
from app.schema.payment import SEES_LEDGER, LedgerJournal, PaymentSession, Refund
from app.schema.price_lines import PriceLine, price_lines, tax_of
from app.schema.provider import Provider
from app.schema.scalars import TimeZone
from app.schema.series import BookingSeries
from app.schema.served import Address, Recipient
from app.schema.service import Service
from app.schema.session import ActivitySession


@strawberry.type(description="One service of the visit.")
class BookingItem:
    starts_at: datetime
    ends_at: datetime
    price: Money
    record: strawberry.Private[models.BookingItem]

    @strawberry.field
    async def service(self, info: Ctx) -> Service:
        key = (self.record.organization_id, self.record.service_id)
        return Service.from_model(await info.context.loaders.service_by_id.load(key))

    @strawberry.field
    async def provider(self, info: Ctx) -> Provider:
        key = (self.record.organization_id, self.record.provider_id)
        return Provider.from_model(await info.context.loaders.provider_by_id.load(key))

    @classmethod
    def from_model(cls, record: models.BookingItem, currency: str) -> BookingItem:
        return cls(
            starts_at=record.starts_at,
            ends_at=record.ends_at,
            price=Money.of(record.price_minor, currency),
            record=record,
        )


@strawberry.type(description="What it would give back and cost if the one who asks cancelled it now.")
class CancellationTerms:
    refund: Money
    fee: Money
    free_until: datetime | None


@strawberry.type(description="One step of a booking's life: from what, to what, who, when, why, and how.")
class BookingTransition:
    from_: BookingStatus | None = strawberry.field(name="from")
    to: BookingStatus
    reason: str | None
    actor: str
    channel: str
    at: datetime

    @classmethod
    def from_model(cls, record: models.BookingTransition) -> BookingTransition:
        return cls(
            from_=None if record.from_status is None else BookingStatus(record.from_status),
            to=BookingStatus(record.to_status),
            reason=record.reason,
            actor=record.actor,
            channel=record.channel,
            at=record.at,
        )


@strawberry.type(
    description="Pages that open the customer's calendar with the booking filled in. None of them holds a secret, "
    "except `ics`, which opens the .ics file and nothing else."
)
class AddToCalendar:
    google: str
    outlook: str
    office365: str
    yahoo: str
    ics: str


@strawberry.type(description="A customer's commitment.")
class Booking(Node, BookingPast, BookingLife):
    number: str
    confirmation_code: str = strawberry.field(
        description="Empty for a provider who only has a part in it: a later service of the visit, or its session."
    )
    status: BookingStatus
    version: int
    starts_at: datetime
    ends_at: datetime
    time_zone: TimeZone
    party_size: int = strawberry.field(description="How many come; those with a name are `participants`.")
    is_private: bool = strawberry.field(description="It has the whole session, for a private group.")
    price: Money
    payment_status: PaymentStatus
    payment_method: PaymentMethod
    expires_at: datetime | None = strawberry.field(description="While unpaid or unanswered.")
    notes: str | None
    created_at: datetime
    seen: strawberry.Private[SeenBooking]

    @strawberry.field
    async def provider(self, info: Ctx) -> Provider | None:
        if self.seen.booking.provider_id is None:
            return None
        return Provider.from_model(await info.context.loaders.provider_by_id.load(self._key("provider_id")))

    @strawberry.field
    async def service(self, info: Ctx) -> Service | None:
        if self.seen.booking.service_id is None:
            return None
        return Service.from_model(await info.context.loaders.service_by_id.load(self._key("service_id")))

    @strawberry.field(description="Where places of a session are booked; it has no service and no provider then.")
    async def session(self, info: Ctx) -> ActivitySession | None:
        if self.seen.booking.session_id is None:
            return None
        seen = await info.context.loaders.session_by_id.load(self._key("session_id"))
        return ActivitySession.from_seen(seen, of_booking=True)

    @strawberry.field
    async def customer(self, info: Ctx) -> Customer:
        return Customer.from_model(await info.context.loaders.customer_by_id.load(self._key("customer_id")))

    @strawberry.field
    async def items(self, info: Ctx) -> list[BookingItem]:
        items = await info.context.loaders.items_by_booking_id.load(self._key("id"))
        return [BookingItem.from_model(item, self.seen.booking.currency) for item in items]

    @strawberry.field(
        description="Those of the party who have a name, in the order they got it. `includeRemoved`: those who "
        "were removed, too."
    )
    async def participants(self, info: Ctx, include_removed: bool = False) -> list[Participant]:
        people = await info.context.loaders.participants_by_booking_id.load(self._key("id"))
        return [
            Participant.from_model(one) for one in people if include_removed or one.status != ParticipantStatus.REMOVED
        ]

    @strawberry.field(description="Why it costs so much. Nothing that changes later touches it.")
    def price_lines(self) -> list[PriceLine]:
        return price_lines(self.seen.booking.quote)

    @strawberry.field(description="Part of the price, included or added.")
    def tax(self) -> Money:
        return tax_of(self.seen.booking.quote, self.seen.booking.currency)

    @strawberry.field(description="What was paid and did not go back.")
    def amount_paid(self) -> Money:
        booking = self.seen.booking
        return Money.of(booking.paid_minor - booking.refunded_minor, booking.currency)

    @strawberry.field(description="What is still to be paid of the price; nothing once it is over.")
    def amount_due(self) -> Money:
        return Money.of(due_of(self.seen.booking), self.seen.booking.currency)

    @strawberry.field(description="What its customer owes, or owed, for cancelling late or not coming; oldest first.")
    async def fees(self, info: Ctx) -> list[BookingFee]:
        found = await info.context.loaders.fees_by_booking_id.load(self._key("id"))
        return [BookingFee.from_model(one) for one in found]

    @strawberry.field(description="What it is paid with online: the newest attempt.")
    async def payment(self, info: Ctx) -> PaymentSession | None:
        shown = await checkout.payment_of(info.context, self.seen)
        return None if shown is None else PaymentSession.from_shown(shown)

    @strawberry.field(description="What went back to the customer, or is about to, oldest first.")
    async def refunds(self, info: Ctx) -> list[Refund]:
        if self.seen.booking.paid_minor == 0:
            return []
        return [
            Refund.from_model(one) for one in await info.context.loaders.refunds_by_booking_id.load(self._key("id"))
        ]

    @strawberry.field(description="Where each cent of it is, for the staff: every event, oldest first.")
    async def ledger(self, info: Ctx) -> list[LedgerJournal] | None:
        if self.seen.viewer not in SEES_LEDGER:
            return None
        booked = await info.context.loaders.ledger_by_booking_id.load(self._key("id"))
        return [LedgerJournal.from_booked(one) for one in booked]

    @strawberry.field(description="Every step, oldest first.")
    async def transitions(self, info: Ctx) -> list[BookingTransition]:
        steps = await info.context.loaders.transitions_by_booking_id.load(self._key("id"))
        return [BookingTransition.from_model(step) for step in steps]

    @strawberry.field(
        description="`atCustomersRequest`: as for cancelBooking. Staff who cancel on their own account give all back."
    )
    async def cancellation_terms(self, info: Ctx, at_customers_request: bool = False) -> CancellationTerms:
        terms = await resolvers.terms_of(info.context, self.seen, at_customers_request=at_customers_request)
        currency = self.seen.booking.currency
        return CancellationTerms(
            refund=Money.of(terms.refund_minor, currency),
            fee=Money.of(terms.fee_minor, currency),
            free_until=terms.free_until,
        )

    @strawberry.field(description="For the one who asks, now.")
    def allowed_transitions(self, info: Ctx) -> list[BookingStatus]:
        return list(resolvers.transitions_allowed(info.context, self.seen))

    @strawberry.field(description="The recurring booking that it is a date of, if any.")
    async def series(self, info: Ctx) -> BookingSeries | None:
        seen = await series_of_booking(info.context, self.seen)
        return None if seen is None else BookingSeries.from_seen(seen)

    @strawberry.field(description="Its place in its series, from 1.")
    def series_position(self) -> int | None:
        return self.seen.booking.series_index

    @strawberry.field(description="An .ics file of this booking.")
    def calendar_url(self, info: Ctx) -> str:
        return resolvers.calendar_url(info.context, self.seen.booking)

    @strawberry.field(description="Whoever is served, if not the customer.")
    def recipient(self) -> Recipient | None:
        kept = self.seen.booking.recipient
        return None if kept is None else Recipient.from_json(kept)

    @strawberry.field(description="Where to go, for a service that comes to the customer. As it was given.")
    def address(self) -> Address | None:
        kept = self.seen.booking.address
        return None if kept is None else Address.from_json(kept)

    @strawberry.field(description="None once it does not take place. The .ics file then takes it out of a calendar.")
    async def add_to_calendar(self, info: Ctx) -> AddToCalendar | None:
        links = await links_of(info.context, self.seen.booking)
        if links is None:
            return None
        return AddToCalendar(
            google=links.google,
            outlook=links.outlook,
            office365=links.office365,
            yahoo=links.yahoo,
            ics=resolvers.calendar_url(info.context, self.seen.booking),
        )

    def _key(self, column: str) -> tuple[UUID, UUID]:
        return (self.seen.booking.organization_id, getattr(self.seen.booking, column))

    @classmethod
    def from_seen(cls, seen: SeenBooking) -> Booking:
        record = seen.booking
        return cls(
            id=public_id(IdKind.BOOKING, record.id),
            number=record.number,
            confirmation_code="" if seen.is_onlooker else record.confirmation_code,
            status=BookingStatus(record.status),
            version=record.version,
            starts_at=record.starts_at,
            ends_at=record.ends_at,
            time_zone=TimeZone(record.time_zone),
            party_size=record.party_size,
            is_private=record.is_private,
            price=Money.of(record.price_minor, record.currency),
            payment_status=PaymentStatus(record.payment_status),
            payment_method=PaymentMethod(record.payment_method),
            expires_at=record.expires_at,
            notes=record.notes,
            created_at=record.created_at,
            seen=seen,
        )


@strawberry.type
class BookingQuery:
    @strawberry.field(description="One booking, for those who may see it: its people, or whoever has its secret link.")
    async def booking(
        self, info: Ctx, id: strawberry.ID | None = None, access_token: str | None = None
    ) -> Booking | None:
        booking_id = read_optional_id(IdKind.BOOKING, id, "id")
        return Booking.from_seen(await resolvers.read_booking(info.context, booking_id, access_token))
