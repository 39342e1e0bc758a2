"""A booking's past: each change of it, and the booking as it was."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from app.core.ids import IdKind
from app.domain.booking import BookingStatus, PaymentMethod, PaymentStatus
from app.domain.booking_history import PEOPLE, FieldChange, changes_of, shown_name, shown_value
from app.domain.participant import ParticipantStatus
from app.queries.booking import SeenBooking
from app.queries.pagination import page_request
from app.resolvers.booking_history import BookingHistory, ShownEntry, read_booking_at
from app.schema.connection import Connection, connection
from app.schema.ids import public_id
from app.schema.info import Ctx
from app.schema.node import Money
from app.schema.participant import ParticipantSnapshot
from app.schema.provider import Provider
from app.schema.scalars import JSON, TimeZone
from app.schema.served import Address, Recipient
from app.schema.service import Service
from app.schema.session import ActivitySession

_KINDS = {
    "provider_id": IdKind.PROVIDER,
    "service_id": IdKind.SERVICE,
    "session_id": IdKind.SESSION,
    "customer_id": IdKind.CUSTOMER,
}


def _public_id(column: str, value: UUID) -> str:
    return str(public_id(_KINDS[column], value))


@strawberry.type(description="Who changed a booking.")
class HistoryActor:
    kind: str = strawberry.field(description="`guest`, `customer`, `provider`, `staff`, `admin`, `owner` or `system`.")
    name: str | None = strawberry.field(description="Of their account; hidden from customers.")


@strawberry.type(description="One field of a booking, before and after.")
class BookingFieldChange:
    field: str
    before: JSON | None
    after: JSON | None

    @classmethod
    def from_change(cls, change: FieldChange) -> BookingFieldChange:
        return cls(
            field=shown_name(change.field),
            before=_json(shown_value(change.field, change.before, _public_id)),
            after=_json(shown_value(change.field, change.after, _public_id)),
        )


def _json(value: Any) -> JSON | None:
    return None if value is None else JSON(value)


@strawberry.type(description="One change of a booking: what, when, by whom, through what, and why.")
class BookingHistoryEntry:
    action: str = strawberry.field(description="In the past tense: `booking.rescheduled`.")
    at: datetime
    version: int | None = strawberry.field(description="Of the booking from then on; none: it stayed.")
    actor: HistoryActor
    channel: str = strawberry.field(description="`api`, `job`, `webhook` …")
    reason: str | None
    changes: list[BookingFieldChange] = strawberry.field(
        description="By the field's name. Customers see what concerns them; the staff see everything."
    )
    address: str | None = strawberry.field(description="From which network address. For staff.")
    user_agent: str | None = strawberry.field(description="For staff.")
    request_id: str | None = strawberry.field(description="As in the answer's header and in the log. For staff.")

    @classmethod
    def from_shown(cls, shown: ShownEntry) -> BookingHistoryEntry:
        entry, for_staff = shown.entry, shown.for_staff
        changes = changes_of(entry.before, entry.after, for_staff=for_staff)
        return cls(
            action=entry.action,
            at=entry.at,
            version=(entry.after or {}).get("version"),
            actor=HistoryActor(kind=entry.actor, name=shown.name),
            channel=entry.channel,
            reason=entry.reason,
            changes=[BookingFieldChange.from_change(one) for one in changes],
            address=entry.address if for_staff else None,
            user_agent=entry.user_agent if for_staff else None,
            request_id=entry.request_id if for_staff else None,
        )


@strawberry.type(description="One service of the visit, as it was.")
class BookingItemSnapshot:
    starts_at: datetime
    ends_at: datetime
    price: Money
    organization_id: strawberry.Private[UUID]
    state: strawberry.Private[dict[str, Any]]

    @strawberry.field
    async def service(self, info: Ctx) -> Service:
        key = (self.organization_id, self.state["service_id"])
        return Service.from_model(await info.context.loaders.service_by_id.load(key))

    @strawberry.field
    async def provider(self, info: Ctx) -> Provider:
        key = (self.organization_id, self.state["provider_id"])
        return Provider.from_model(await info.context.loaders.provider_by_id.load(key))


@strawberry.type(
    description="A booking as it was at an instant. What it names (a provider, a service) is as it is now."
)
class BookingSnapshot:
    at: datetime
    status: BookingStatus
    version: int
    starts_at: datetime
    ends_at: datetime
    time_zone: TimeZone
    party_size: int
    price: Money
    payment_status: PaymentStatus
    payment_method: PaymentMethod
    amount_paid: Money = strawberry.field(description="What was paid and did not go back.")
    expires_at: datetime | None = strawberry.field(description="While unpaid or unanswered.")
    notes: str | None
    recipient: Recipient | None = strawberry.field(description="Whoever is served, if not the customer. Never changes.")
    address: Address | None = strawberry.field(description="Of a service at the customer's. Never changes.")
    participants: list[ParticipantSnapshot] = strawberry.field(
        description="Those who had a name then, in the order they got it; without those who had been removed."
    )
    items: list[BookingItemSnapshot]
    organization_id: strawberry.Private[UUID]
    state: strawberry.Private[dict[str, Any]]

    @strawberry.field
    async def provider(self, info: Ctx) -> Provider | None:
        if self.state["provider_id"] is None:
            return None
        key = (self.organization_id, self.state["provider_id"])
        return Provider.from_model(await info.context.loaders.provider_by_id.load(key))

    @strawberry.field
    async def service(self, info: Ctx) -> Service | None:
        if self.state["service_id"] is None:
            return None
        key = (self.organization_id, self.state["service_id"])
        return Service.from_model(await info.context.loaders.service_by_id.load(key))

    @strawberry.field
    async def session(self, info: Ctx) -> ActivitySession | None:
        if self.state["session_id"] is None:
            return None
        key = (self.organization_id, self.state["session_id"])
        return ActivitySession.from_seen(await info.context.loaders.session_by_id.load(key), of_booking=True)

    @classmethod
    def of(cls, state: dict[str, Any], at: datetime, organization_id: UUID) -> BookingSnapshot:
        currency = state["currency"]
        return cls(
            at=at,
            status=BookingStatus(state["status"]),
            version=state["version"],
            starts_at=state["starts_at"],
            ends_at=state["ends_at"],
            time_zone=TimeZone(state["time_zone"]),
            party_size=state["party_size"],
            price=Money.of(state["price_minor"], currency),
            payment_status=PaymentStatus(state["payment_status"]),
            payment_method=PaymentMethod(state["payment_method"]),
            amount_paid=Money.of(state["paid_minor"] - state["refunded_minor"], currency),
            expires_at=state["expires_at"],
            notes=state["notes"],
            recipient=None if state["recipient"] is None else Recipient.from_json(state["recipient"]),
            address=None if state["address"] is None else Address.from_json(state["address"]),
            participants=[
                ParticipantSnapshot.from_state(one)
                for one in state[PEOPLE]
                if one["status"] != ParticipantStatus.REMOVED
            ],
            items=[
                BookingItemSnapshot(
                    starts_at=item["starts_at"],
                    ends_at=item["ends_at"],
                    price=Money.of(item["price_minor"], currency),
                    organization_id=organization_id,
                    state=item,
                )
                for item in state["items"]
            ],
            organization_id=organization_id,
            state=state,
        )


@strawberry.type
class BookingPast:
    """The fields of a booking that tell of its past."""

    seen: strawberry.Private[SeenBooking]

    @strawberry.field(description="Every change of it, oldest first: who, when, why, and what was before and after.")
    async def history(
        self,
        info: Ctx,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[BookingHistoryEntry]:
        found = BookingHistory(info.context, self.seen)
        page = await found.page(page_request(first, after, last, before))
        return connection(page, BookingHistoryEntry.from_shown, found.count)

    @strawberry.field(description="The booking as it was at this instant: since it was made, and not in the future.")
    async def as_of(self, info: Ctx, at: datetime) -> BookingSnapshot:
        state = await read_booking_at(info.context, self.seen, at)
        return BookingSnapshot.of(state, at, self.seen.booking.organization_id)
