"""What providers are owed and paid, for staff and the provider."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from app import models
from app.core.ids import IdKind
from app.domain.payout import PayoutAccountStatus, PayoutStatus, account_status
from app.queries import payout as queries
from app.queries.pagination import page_request
from app.resolvers import payout as resolvers
from app.resolvers.payout import PayoutList
from app.resolvers.statement import StatementLink
from app.schema.connection import Connection, connection
from app.schema.ids import public_id, read_id, read_optional_id
from app.schema.info import Ctx, read_wanted
from app.schema.node import Money, Node

if TYPE_CHECKING:  # those know this file
    from app.schema.booking import Booking
    from app.schema.provider import Provider

strawberry.enum(
    PayoutStatus,
    description="SCHEDULED: set aside, not asked for yet. SENDING: being sent, or tried again. NEEDS_ATTENTION: a "
    "person decides (retryPayout, cancelPayout). CANCELLED: owed again.",
)
strawberry.enum(
    PayoutAccountStatus,
    description="ONBOARDING: its owner has to tell the processor more. RESTRICTED: it should receive money and cannot, "
    "so payouts wait. REJECTED: the processor will not have it.",
)


@strawberry.type(description="Where a provider is paid out to. From its first day as ACTIVE on, bookings are shared.")
class PayoutAccount:
    status: PayoutAccountStatus
    processor: str
    country: str
    is_payee: bool = strawberry.field(description="Is the provider's part of new bookings the provider's own?")
    requirements: list[str] = strawberry.field(description="What the processor still asks of its owner, by its names.")
    disabled_reason: str | None
    held_at: datetime | None = strawberry.field(description="Since when payouts are stopped by the staff.")
    hold_reason: str | None

    @classmethod
    def from_model(cls, record: models.PayoutAccount) -> PayoutAccount:
        return cls(
            status=account_status(
                details_submitted=record.details_submitted,
                can_receive=record.can_receive,
                payouts_enabled=record.payouts_enabled,
                disabled_reason=record.disabled_reason,
            ),
            processor=record.processor,
            country=record.country,
            is_payee=record.is_payee,
            requirements=record.requirements,
            disabled_reason=record.disabled_reason,
            held_at=record.held_at,
            hold_reason=record.hold_reason,
        )


@strawberry.type(description="What a provider is owed in one currency.")
class ProviderBalance:
    currency: str
    available: Money = strawberry.field(description="Due: it comes with the next payout.")
    pending: Money = strawberry.field(description="Earned, and not due yet.")
    frozen: Money = strawberry.field(description="Of bookings that are disputed.")
    negative: Money = strawberry.field(description="Owed by the provider since refunds; the next payout settles it.")
    in_transit: Money = strawberry.field(description="Set aside in a payout that is not over.")
    next_due_at: datetime | None = strawberry.field(description="When the first of what is pending is due.")

    @classmethod
    def from_balance(cls, balance: queries.ProviderBalance) -> ProviderBalance:
        currency = balance.currency
        return cls(
            currency=currency,
            available=Money.of(balance.available_minor, currency),
            pending=Money.of(balance.pending_minor, currency),
            frozen=Money.of(balance.frozen_minor, currency),
            negative=Money.of(balance.negative_minor, currency),
            in_transit=Money.of(balance.sending_minor, currency),
            next_due_at=balance.next_due_at,
        )


@strawberry.type(description="A provider's statement of some days as CSV. Its address is a secret, for a few minutes.")
class Statement:
    url: str
    expires_at: datetime

    @classmethod
    def from_link(cls, link: StatementLink) -> Statement:
        return cls(url=link.url, expires_at=link.expires_at)


@strawberry.type(description="What of a payout is for one booking; negative: a debt that it settles.")
class PayoutItem:
    amount: Money
    reversed: Money = strawberry.field(description="Taken back since, or asked to be.")
    record: strawberry.Private[models.PayoutItem]

    @strawberry.field
    async def booking(self, info: Ctx) -> Annotated[Booking, strawberry.lazy("app.schema.booking")]:
        from app.schema.booking import Booking  # noqa: PLC0415

        return Booking.from_seen(await resolvers.booking_of(info.context, self.record))


@strawberry.type(description="Money sent to a provider, for several bookings.")
class Payout(Node):
    number: int = strawberry.field(description="Counts those of a provider and currency.")
    status: PayoutStatus
    amount: Money
    processor: str
    transfer_id: str | None = strawberry.field(description="The processor's name of it, once it is sent.")
    period_start: datetime = strawberry.field(description="When the first of what it pays was earned.")
    period_end: datetime
    attempts: int
    next_attempt_at: datetime | None
    failure_code: str | None = strawberry.field(description="Why it was not sent, by the processor's name.")
    failure: str | None = strawberry.field(description="The same, for a person.")
    created_at: datetime
    sent_at: datetime | None
    record: strawberry.Private[models.Payout]

    @strawberry.field
    async def provider(self, info: Ctx) -> Annotated[Provider, strawberry.lazy("app.schema.provider")]:
        from app.schema.provider import Provider  # noqa: PLC0415

        key = (self.record.organization_id, self.record.provider_id)
        return Provider.from_model(await info.context.loaders.provider_by_id.load(key))

    @strawberry.field(description="At most 1000.")
    async def items(self, info: Ctx) -> list[PayoutItem]:
        currency = self.record.currency
        found = await info.context.loaders.items_by_payout_id.load((self.record.organization_id, self.record.id))
        return [
            PayoutItem(
                amount=Money.of(item.amount_minor, currency),
                reversed=Money.of(item.reversed_minor, currency),
                record=item,
            )
            for item in found
        ]

    @strawberry.field(description="What it is made of, in a sentence.")
    async def explanation(self, info: Ctx) -> str:
        return await resolvers.explain(info.context, self.record)

    @classmethod
    def from_model(cls, record: models.Payout) -> Payout:
        return cls(
            id=public_id(IdKind.PAYOUT, record.id),
            number=record.number,
            status=PayoutStatus(record.status),
            amount=Money.of(record.amount_minor, record.currency),
            processor=record.processor,
            transfer_id=record.processor_id,
            period_start=record.period_start,
            period_end=record.period_end,
            attempts=record.attempts,
            next_attempt_at=record.next_attempt_at,
            failure_code=record.failure_code,
            failure=record.failure,
            created_at=record.created_at,
            sent_at=record.sent_at,
            record=record,
        )


@strawberry.input
class PayoutFilter:
    provider_id: strawberry.ID | None = None
    statuses: list[PayoutStatus] | None = None
    currency: str | None = None

    def wanted(self) -> queries.PayoutFilter:
        """Raises BadInput."""
        return queries.PayoutFilter(
            provider_id=read_optional_id(IdKind.PROVIDER, self.provider_id, "filter.providerId"),
            statuses=None if self.statuses is None else tuple(self.statuses),
            currency=read_wanted(self.currency, "filter.currency"),
        )


@strawberry.type
class PayoutQuery:
    @strawberry.field(description="Newest first: all of an organization for staff, a provider's own.")
    async def payouts(
        self,
        info: Ctx,
        *,
        organization_id: strawberry.ID,
        filter: PayoutFilter | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Payout]:
        wanted = queries.PayoutFilter() if filter is None else filter.wanted()
        organization = read_id(IdKind.ORGANIZATION, organization_id, "organizationId")
        info.context.require_viewer()
        found = PayoutList(info.context, organization, wanted)
        page = await found.page(page_request(first, after, last, before))
        return connection(page, Payout.from_model, found.count)
