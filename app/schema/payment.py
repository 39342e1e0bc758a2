"""Payments, refunds and the ledger as clients see them."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry

from app import models
from app.core.ids import IdKind
from app.domain.booking import PaymentStatus
from app.domain.policy import ActorKind
from app.queries.ledger import BookedJournal
from app.resolvers import checkout as resolvers
from app.resolvers.checkout import PaymentShown
from app.schema.ids import public_id
from app.schema.info import Ctx
from app.schema.node import Money

_STATUS = {
    "created": PaymentStatus.UNPAID,
    "open": PaymentStatus.UNPAID,
    "failed": PaymentStatus.FAILED,
    "authorized": PaymentStatus.AUTHORIZED,
    "processing": PaymentStatus.PROCESSING,
    "succeeded": PaymentStatus.PAID,
    "cancelled": PaymentStatus.FAILED,
}


@strawberry.enum(description="BALANCE: the rest of the price. SETUP: nothing is paid, a card is kept for fees.")
class PaymentKind(Enum):
    BOOKING = "booking"
    BALANCE = "balance"
    SETUP = "setup"


@strawberry.type(description="What the customer pays with online now, or paid with last.")
class PaymentSession:
    id: strawberry.ID
    kind: PaymentKind
    status: PaymentStatus
    processor: str
    amount: Money
    expires_at: datetime | None = strawberry.field(description="Until when it can be paid.")
    decline_code: str | None = strawberry.field(description="Why the last attempt failed.")
    decline_message: str | None = strawberry.field(description="The same, for the guest.")
    shown: strawberry.Private[PaymentShown]

    @strawberry.field(
        description="For the processor's form in the guest's browser; for the customer alone, while it can be paid. "
        "None while the processor does not answer: ask again."
    )
    async def client_secret(self, info: Ctx) -> str | None:
        snapshot = await resolvers.snapshot_of(info.context, self.shown)
        return None if snapshot is None else snapshot.client_secret

    @strawberry.field(description="The processor's page, where it has one; for the customer alone.")
    async def redirect_url(self, info: Ctx) -> str | None:
        snapshot = await resolvers.snapshot_of(info.context, self.shown)
        return None if snapshot is None else snapshot.redirect_url

    @strawberry.field(description="The processor's public key, for its form in the browser.")
    def publishable_key(self, info: Ctx) -> str | None:
        return info.context.services.checkout.publishable_keys.get(self.processor)

    @classmethod
    def from_shown(cls, shown: PaymentShown) -> PaymentSession:
        record = shown.payment
        return cls(
            id=public_id(IdKind.PAYMENT, record.id),
            kind=PaymentKind(record.kind),
            status=_STATUS[record.status],
            processor=record.processor,
            amount=Money.of(record.amount_minor, record.currency),
            expires_at=record.expires_at,
            decline_code=record.decline_code,
            decline_message=record.decline_message,
            shown=shown,
        )


@strawberry.type(description="Money on its way back to the customer.")
class Refund:
    id: strawberry.ID
    amount: Money
    status: str = strawberry.field(
        description="created, pending, succeeded or failed. Cash that is created waits for somebody to hand it back."
    )
    cause: str = strawberry.field(
        description="policy, staff, late_payment, fee, correction (of cash), or outside (made at the processor)."
    )
    reason: str | None
    created_at: datetime
    settled_at: datetime | None

    @classmethod
    def from_model(cls, record: models.Refund) -> Refund:
        return cls(
            id=public_id(IdKind.REFUND, record.id),
            amount=Money.of(record.amount_minor, record.currency),
            status=record.status,
            cause=record.cause,
            reason=record.reason,
            created_at=record.created_at,
            settled_at=record.settled_at,
        )


@strawberry.type(description="What arrived in (+) or left (-) an account.")
class LedgerEntry:
    account: str
    amount: Money
    payee_id: strawberry.ID | None = strawberry.field(description="Of what is owed to, or was paid to, a provider.")


@strawberry.type(description="One event in the books of a booking; its entries add up to zero.")
class LedgerJournal:
    kind: str
    at: datetime
    entries: list[LedgerEntry]

    @classmethod
    def from_booked(cls, booked: BookedJournal) -> LedgerJournal:
        return cls(
            kind=booked.kind,
            at=booked.at,
            entries=[
                LedgerEntry(
                    account=one.account,
                    amount=Money.of(one.amount_minor, booked.currency),
                    payee_id=None if one.payee_id is None else public_id(IdKind.PROVIDER, one.payee_id),
                )
                for one in booked.entries
            ],
        )


SEES_LEDGER = frozenset({ActorKind.STAFF, ActorKind.ADMIN, ActorKind.OWNER})
