"""What a processor is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Capture(StrEnum):
    """MANUAL: authorized when paid, taken by `capture`."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class PaymentOrder:
    """A payment to be opened. The three ids, and `metadata`, are kept by the processor and come back in snapshots.

    `method_id`: what to pay with at once, as the processor's form in the browser named it (a payment method or a card
    token), or a saved one; None: the guest pays with `client_secret` or at `redirect_url`. `is_off_session`: the guest
    is away, so nobody can answer a bank's question. `save_method`: keep it for later fees (needs `customer_id`).
    `return_url`: where a page of the processor or of a bank leads back to. `expires_at`: where the processor can, its
    page takes no payment after this.
    """

    payment_id: UUID
    booking_id: UUID
    organization_id: UUID
    amount_minor: int
    currency: str
    idempotency_key: str
    capture: Capture = Capture.AUTOMATIC
    description: str = ""
    email: str | None = None
    transfer_group: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    return_url: str | None = None
    customer_id: str | None = None
    method_id: str | None = None
    is_off_session: bool = False
    save_method: bool = False
    expires_at: datetime | None = None
    platform_fee_minor: int = 0


@dataclass(frozen=True, slots=True)
class ConfirmOrder:
    """Another attempt at a payment that is not paid yet, with this method. `is_off_session`: see PaymentOrder."""

    processor_id: str
    method_id: str
    idempotency_key: str
    return_url: str | None = None
    is_off_session: bool = False


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """Money back to the guest. `charge_id`: which charge, where a payment has several; None: its first."""

    refund_id: UUID
    payment_id: UUID
    booking_id: UUID
    organization_id: UUID
    processor_id: str
    amount_minor: int
    currency: str
    idempotency_key: str
    charge_id: str | None = None


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """Money from the platform to a connected account. `transfer_id`: our payout.

    `charge_id`: the charge that it comes from (then it need not have reached the balance yet, and cannot exceed the
    charge); None: from the available balance.
    """

    transfer_id: UUID
    organization_id: UUID
    account_id: str
    amount_minor: int
    currency: str
    idempotency_key: str
    transfer_group: str | None = None
    charge_id: str | None = None
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReversalOrder:
    """Take a transfer back, whole or in part. `processor_id`: the transfer's."""

    reversal_id: UUID
    processor_id: str
    amount_minor: int
    currency: str
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class AccountOrder:
    """A connected account for a provider. `country`: ISO 3166, two letters."""

    provider_id: UUID
    organization_id: UUID
    country: str
    idempotency_key: str
    email: str | None = None


@dataclass(frozen=True, slots=True)
class CustomerOrder:
    """Somebody who pays again later. `reference`: our own id."""

    reference: str
    organization_id: UUID
    idempotency_key: str
    email: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SetupOrder:
    """Save a method of a customer without a payment, to be charged while they are away."""

    booking_id: UUID
    organization_id: UUID
    customer_id: str
    idempotency_key: str
    return_url: str | None = None
