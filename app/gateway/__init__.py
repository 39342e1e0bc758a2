"""Payment processors, as one Protocol: what all adapters do alike, and what each says it does not offer.

Amounts are integers of the currency's ISO minor unit. What an answer says of a payment is a `SeenIntent` and is joined
to what is known by `app.domain.payment.merge`. No call belongs into a transaction. Each call that changes something
carries an idempotency key that was stored before: after GatewayUnknown it is asked again with it, or looked up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from app.gateway.errors import (
    BadSignature,
    Declined,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    RefusalKind,
)
from app.gateway.orders import (
    AccountOrder,
    Capture,
    ConfirmOrder,
    CustomerOrder,
    PaymentOrder,
    RefundOrder,
    ReversalOrder,
    SetupOrder,
    TransferOrder,
)
from app.gateway.snapshots import (
    AccountSnapshot,
    Balance,
    Decline,
    Delivery,
    DisputeSnapshot,
    ObjectKind,
    OnboardingLink,
    PaymentSnapshot,
    ProcessorEvent,
    RefundSnapshot,
    ReversalSnapshot,
    SetupPhase,
    SetupSnapshot,
    TransferSnapshot,
)

__all__ = [
    "AccountOrder",
    "AccountSnapshot",
    "BadSignature",
    "Balance",
    "Capability",
    "Capture",
    "ConfirmOrder",
    "CustomerOrder",
    "Decline",
    "Declined",
    "Delivery",
    "DisputeSnapshot",
    "GatewayError",
    "GatewayRefused",
    "GatewayUnavailable",
    "GatewayUnknown",
    "ObjectKind",
    "OnboardingLink",
    "PaymentGateway",
    "PaymentOrder",
    "PaymentSnapshot",
    "ProcessorEvent",
    "RefundOrder",
    "RefundSnapshot",
    "RefusalKind",
    "ReversalOrder",
    "ReversalSnapshot",
    "SetupOrder",
    "SetupPhase",
    "SetupSnapshot",
    "TransferOrder",
    "TransferSnapshot",
]


class Capability(StrEnum):
    """Ask before calling: a method that belongs to what is not offered raises GatewayRefused (NOT_OFFERED)."""

    GUESTS_PAGE = "guests_page"
    """A payment without a method is paid by the guest's own page, which is handed `client_secret`."""
    HOSTED_PAGE = "hosted_page"
    """A payment without a method is paid on the processor's page, at `redirect_url`."""
    HOSTED_MANUAL_CAPTURE = "hosted_manual_capture"
    """A payment without a method may be authorized first and captured later; with one it always may."""
    SAVED_METHODS = "saved_methods"
    """Customers, `start_setup`, and charges while the guest is away."""
    LABELLED_REFUNDS = "labelled_refunds"
    """`look_up_refund` finds a refund by our own id; elsewhere only the same key tells whether it was made."""
    TRANSFERS = "transfers"
    """The money waits on the platform's balance and is sent on to connected accounts."""
    ACCOUNTS = "accounts"
    """Connected accounts are made and onboarded by link."""
    SPLIT_FEE = "split_fee"
    """The money goes to the organization's own account at once, less `PaymentOrder.platform_fee_minor`."""
    BALANCE = "balance"


class PaymentGateway(Protocol):
    """Any call may raise GatewayUnknown, GatewayUnavailable and GatewayRefused; what else is said at each."""

    @property
    def processor(self) -> str:
        """`stripe`, `mercadopago`."""

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    @property
    def is_live(self) -> bool:
        """Real money?"""

    def takes_currency(self, currency: str) -> bool: ...

    async def close(self) -> None: ...

    # payments

    async def create_payment(self, order: PaymentOrder) -> PaymentSnapshot:
        """Open it; with a method, also attempt it. Raises Declined."""

    async def confirm_payment(self, order: ConfirmOrder) -> PaymentSnapshot:
        """Attempt it (again). Raises Declined."""

    async def find_payment(self, processor_id: str) -> PaymentSnapshot | None: ...

    async def payment_of(self, kind: ObjectKind, object_id: str) -> PaymentSnapshot | None:
        """The payment that an event's object belongs to; None: it belongs to none, or is gone."""

    async def look_up_payment(self, payment_id: UUID, since: datetime) -> PaymentSnapshot | None:
        """By our own id, for when no answer came: opened at `since` or later. The one that went furthest.

        None soon after a lost answer proves nothing: it may still be on its way.
        """

    async def capture(self, processor_id: str, amount_minor: int, currency: str, key: str) -> PaymentSnapshot:
        """Take what was authorized, or a part of it, once; the rest is released. `key`: for idempotency."""

    async def cancel(self, processor_id: str, key: str) -> PaymentSnapshot:
        """Nothing can be paid with it any more; an authorization is released. STATE if it is paid already."""

    # refunds and disputes

    async def refund(self, order: RefundOrder) -> RefundSnapshot: ...

    async def look_up_refund(self, processor_id: str, refund_id: UUID) -> RefundSnapshot | None:
        """LABELLED_REFUNDS."""

    # SAVED_METHODS

    async def create_customer(self, order: CustomerOrder) -> str:
        """The customer's id at the processor."""

    async def start_setup(self, order: SetupOrder) -> SetupSnapshot: ...

    async def find_setup(self, processor_id: str) -> SetupSnapshot | None: ...

    # TRANSFERS

    async def transfer(self, order: TransferOrder) -> TransferSnapshot: ...

    async def reverse_transfer(self, order: ReversalOrder) -> ReversalSnapshot: ...

    async def find_transfer(self, processor_id: str) -> TransferSnapshot | None: ...

    async def look_up_transfers(self, transfer_group: str) -> tuple[TransferSnapshot, ...]:
        """All of a group, oldest first; their `transfer_id` tells which is which."""

    # ACCOUNTS

    async def create_account(self, order: AccountOrder) -> AccountSnapshot: ...

    async def onboarding_link(self, account_id: str, *, return_url: str, refresh_url: str) -> OnboardingLink: ...

    async def find_account(self, account_id: str) -> AccountSnapshot | None: ...

    # reconciliation: what was made at `since` or later and before `until` (None: so far), newest first

    def list_payments(self, since: datetime, until: datetime | None = None) -> AsyncIterator[PaymentSnapshot]: ...

    def list_refunds(self, since: datetime, until: datetime | None = None) -> AsyncIterator[RefundSnapshot]: ...

    def list_disputes(self, since: datetime, until: datetime | None = None) -> AsyncIterator[DisputeSnapshot]: ...

    def list_transfers(self, since: datetime, until: datetime | None = None) -> AsyncIterator[TransferSnapshot]:
        """TRANSFERS."""

    async def balance(self) -> tuple[Balance, ...]:
        """BALANCE. By currency."""

    # webhooks

    def read_event(self, delivery: Delivery) -> ProcessorEvent:
        """Raises BadSignature. Asks nobody."""
