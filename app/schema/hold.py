"""Holds: a slot kept for one holder."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from app import models
from app.commands.hold import HoldRequest
from app.commands.session_hold import PlacesRequest
from app.core.ids import IdKind
from app.domain.booking import HoldStatus
from app.domain.errors import FieldErrors
from app.domain.search import check_items
from app.queries.hold import shown_status
from app.resolvers import hold as resolvers
from app.resolvers.fee import fee_terms_of
from app.resolvers.hold import HoldByToken
from app.resolvers.session_hold import hold_places
from app.schema.availability import VisitItemInput, read_items
from app.schema.errors import (
    HoldExpired,
    IdempotencyConflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    RateLimited,
    SlotUnavailable,
)
from app.schema.ids import public_id, read_id, read_optional_id
from app.schema.info import Ctx
from app.schema.node import Money, Node
from app.schema.price_lines import PriceLine, price_lines, tax_of
from app.schema.provider import Provider
from app.schema.session import ActivitySession


@strawberry.type(description="The most that this could cost beyond its price being kept; agreed to with `acceptsFees`.")
class FeeTerms:
    late_cancellation: Money = strawberry.field(description="For cancelling after the notice.")
    no_show: Money = strawberry.field(description="For not coming.")
    is_card_required_on_arrival: bool = strawberry.field(
        description="Booking with PAY_ON_ARRIVAL needs a card that these could be charged to."
    )


@strawberry.type(description="A slot kept for its holder until `expiresAt`.")
class Hold(Node):
    starts_at: datetime
    ends_at: datetime
    expires_at: datetime
    party_size: int
    is_private: bool = strawberry.field(description="It keeps the whole session, for a private group.")
    price: Money
    record: strawberry.Private[models.Hold]

    @strawberry.field
    def status(self, info: Ctx) -> HoldStatus:
        return shown_status(self.record, info.context.now())

    @strawberry.field
    async def provider(self, info: Ctx) -> Provider | None:
        if self.record.provider_id is None:
            return None
        key = (self.record.organization_id, self.record.provider_id)
        return Provider.from_model(await info.context.loaders.provider_by_id.load(key))

    @strawberry.field
    async def session(self, info: Ctx) -> ActivitySession | None:
        if self.record.session_id is None:
            return None
        key = (self.record.organization_id, self.record.session_id)
        return ActivitySession.from_seen(await info.context.loaders.session_by_id.load(key))

    @strawberry.field(description="Why it costs so much; a booking that is made of it costs the same, or less.")
    def price_lines(self) -> list[PriceLine]:
        return price_lines(self.record.quote)

    @strawberry.field(description="Part of the price, included or added.")
    def tax(self) -> Money:
        return tax_of(self.record.quote, self.record.currency)

    @strawberry.field(description="Of the price, to be paid when it is booked with PAY_NOW: all of it, or a deposit.")
    def due_now(self) -> Money:
        quote = self.record.quote
        minor = self.record.price_minor if quote is None else quote["dueNowMinor"]
        return Money.of(minor, self.record.currency)

    @strawberry.field(description="What cancelling late or not coming would cost, by today's terms.")
    async def fees(self, info: Ctx) -> FeeTerms:
        late, no_show, is_required = await fee_terms_of(info.context, self.record)
        currency = self.record.currency
        return FeeTerms(
            late_cancellation=Money.of(late, currency),
            no_show=Money.of(no_show, currency),
            is_card_required_on_arrival=is_required,
        )

    @classmethod
    def from_model(cls, record: models.Hold) -> Hold:
        return cls(
            id=public_id(IdKind.HOLD, record.id),
            starts_at=record.starts_at,
            ends_at=record.ends_at,
            expires_at=record.expires_at,
            party_size=record.party_size,
            is_private=bool(record.is_private),
            price=Money.of(record.price_minor, record.currency),
            record=record,
        )


@strawberry.input(
    description="An appointment: a service and a start, with or without a provider. A visit: items and a start."
    " Or places: a session."
)
class HoldSlotInput:
    service_id: strawberry.ID | None = None
    items: list[VisitItemInput] | None = strawberry.field(
        default=None, description="Several services in one visit, in this order, without a pause; at most 5."
    )
    provider_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="None: the free one who is least booked that day. Of a visit, each item names its own.",
    )
    session_id: strawberry.ID | None = strawberry.field(
        default=None, description="Places of a session, `partySize` of them; then nothing else is named."
    )
    starts_at: datetime | None = None
    duration_minutes: int | None = None
    party_size: int = 1
    is_private: bool = strawberry.field(
        default=False,
        description="Of a session nobody has places of yet: the whole of it, for a private group of `partySize`.",
    )
    price_quote_token: str | None = strawberry.field(
        default=None, description="Of an accepted price quote, for a service whose price is CUSTOM: `accessToken`."
    )
    guest_session_token: str | None = strawberry.field(
        default=None,
        description="Of startGuestSession: the own hold of this very slot is given again, and own holds that are in "
        "the way of another one make room for it.",
    )
    idempotency_key: str | None = None

    def to_places(self, session_id: strawberry.ID) -> PlacesRequest:
        """Raises InvalidInput, BadInput."""
        errors = FieldErrors()
        for path, value in (
            ("serviceId", self.service_id),
            ("items", self.items),
            ("providerId", self.provider_id),
            ("startsAt", self.starts_at),
            ("durationMinutes", self.duration_minutes),
        ):
            if value is not None:
                errors.add(f"input.{path}", "follows from sessionId; leave it out")
        self._refuse_price_quote(errors)
        errors.raise_any()
        return PlacesRequest(read_id(IdKind.SESSION, session_id, "input.sessionId"), self.party_size, self.is_private)

    def to_request(self) -> HoldRequest:
        """Raises InvalidInput, BadInput."""
        errors = FieldErrors()
        items = read_items(self.items or None)
        check_items(items, errors)
        if self.items == []:
            errors.add("input.items", "must name at least one service; leave it out for a single serviceId")
        elif items:
            for path, value in (
                ("serviceId", self.service_id),
                ("providerId", self.provider_id),
                ("durationMinutes", self.duration_minutes),
            ):
                if value is not None:
                    errors.add(f"input.{path}", "follows from items; leave it out")
            self._refuse_price_quote(errors)
        elif self.service_id is None:
            errors.add("input.serviceId", "is needed, or items, or a sessionId")
        if self.starts_at is None:
            errors.add("input.startsAt", "is needed")
        if self.is_private:
            errors.add("input.isPrivate", "is for a session; an appointment is nobody else's anyway")
        errors.raise_any()
        assert self.starts_at is not None
        return HoldRequest(
            service_id=items[0].service_id
            if items
            else read_id(IdKind.SERVICE, self.service_id or "", "input.serviceId"),
            provider_id=read_optional_id(IdKind.PROVIDER, self.provider_id, "input.providerId"),
            starts_at=self.starts_at,
            duration_minutes=self.duration_minutes,
            party_size=self.party_size,
            items=items,
            price_quote_token=self.price_quote_token,
        )

    def _refuse_price_quote(self, errors: FieldErrors) -> None:
        if self.price_quote_token is not None:
            errors.add("input.priceQuoteToken", "is for a single service")


@strawberry.type
class HoldSlotPayload:
    hold: Hold
    hold_token: str = strawberry.field(description="The holder's secret: keep it to book, extend or release.")


HoldSlotResult = Annotated[
    HoldSlotPayload | SlotUnavailable | InvalidInput | NotFound | RateLimited | IdempotencyConflict,
    strawberry.union("HoldSlotResult"),
]
ReleaseHoldResult = Annotated[Hold | NotFound | HoldExpired | NotAllowed, strawberry.union("ReleaseHoldResult")]


@strawberry.type
class HoldMutation:
    @strawberry.mutation(description="Keep a slot for the time of a checkout.")
    async def hold_slot(self, info: Ctx, input: HoldSlotInput) -> HoldSlotResult:
        if input.session_id is not None:
            places = input.to_places(input.session_id)
            hold, token = await hold_places(info.context, places, input.idempotency_key, input.guest_session_token)
        else:
            hold, token = await resolvers.hold_slot(
                info.context, input.to_request(), input.idempotency_key, input.guest_session_token
            )
        return HoldSlotPayload(hold=Hold.from_model(hold), hold_token=token)

    @strawberry.mutation(description="Keep it for another full term; once.")
    async def extend_hold(self, info: Ctx, hold_id: strawberry.ID, hold_token: str) -> ReleaseHoldResult:
        named = HoldByToken(read_id(IdKind.HOLD, hold_id, "holdId"), hold_token)
        return Hold.from_model(await resolvers.extend_hold(info.context, named))

    @strawberry.mutation(description="Give the slot back.")
    async def release_hold(self, info: Ctx, hold_id: strawberry.ID, hold_token: str) -> ReleaseHoldResult:
        named = HoldByToken(read_id(IdKind.HOLD, hold_id, "holdId"), hold_token)
        return Hold.from_model(await resolvers.release_hold(info.context, named))
