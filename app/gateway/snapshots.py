"""What a processor shows: of its objects as they are when it is asked, and of webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.payment import DisputePhase, IntentPhase, RefundPhase, SeenDispute, SeenIntent, SeenRefund


@dataclass(frozen=True, slots=True)
class Decline:
    """Why an attempt failed. `message` is for the guest; `is_retryable`: another attempt, or card, may succeed."""

    code: str
    message: str
    is_retryable: bool = True


@dataclass(frozen=True, slots=True)
class PaymentSnapshot:
    """A payment as the processor shows it now.

    `payment_id`, `booking_id`, `organization_id`: ours, from its metadata; None if it is none of ours.
    `charge_id`: the first charge that succeeded and of which something is left, or else the first. `charges`: where a
    payment may have several, all that succeeded, oldest first, each with the ids of its refunds.
    `decline`: of the last attempt, where that failed.
    `capture_before`: until when what is authorized can be taken, where the processor says so.
    """

    intent: SeenIntent
    currency: str
    created_at: datetime
    is_live: bool
    payment_id: UUID | None = None
    booking_id: UUID | None = None
    organization_id: UUID | None = None
    capturable_minor: int = 0
    charge_id: str | None = None
    transfer_group: str | None = None
    customer_id: str | None = None
    method_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    redirect_url: str | None = None
    decline: Decline | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    capture_before: datetime | None = None
    charges: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def processor_id(self) -> str:
        return self.intent.id

    @property
    def phase(self) -> IntentPhase:
        return self.intent.phase

    @property
    def refunded_minor(self) -> int:
        """What refunds gave back, or are about to."""
        return sum(one.amount_minor for one in self.intent.refunds if one.phase is not RefundPhase.FAILED)

    @property
    def disputed_minor(self) -> int:
        """What banks took back and the shop has not won again."""
        return sum(one.amount_minor for one in self.intent.disputes if one.phase is not DisputePhase.WON)


@dataclass(frozen=True, slots=True)
class RefundSnapshot:
    """`processor_id`: of the payment. `refund_id`: ours, None if it was made elsewhere (or is not labelled)."""

    refund: SeenRefund
    processor_id: str
    currency: str
    created_at: datetime
    refund_id: UUID | None = None
    charge_id: str | None = None
    failure_reason: str | None = None


@dataclass(frozen=True, slots=True)
class DisputeSnapshot:
    """`processor_id`: of the payment. `answer_by`: when evidence is due."""

    dispute: SeenDispute
    processor_id: str
    currency: str
    created_at: datetime
    charge_id: str | None = None
    reason: str | None = None
    answer_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReversalSnapshot:
    """`processor_id`: of the reversal; `reversal_id`: ours, None if it was made elsewhere."""

    processor_id: str
    transfer_processor_id: str
    amount_minor: int
    currency: str
    reversal_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class TransferSnapshot:
    """`transfer_id`: our payout; None if it was made elsewhere."""

    processor_id: str
    account_id: str
    amount_minor: int
    reversed_minor: int
    currency: str
    created_at: datetime
    transfer_id: UUID | None = None
    transfer_group: str | None = None
    charge_id: str | None = None
    reversals: tuple[ReversalSnapshot, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """`can_receive`: transfers reach it. `requirements`: what the processor still asks of its owner."""

    account_id: str
    charges_enabled: bool
    payouts_enabled: bool
    details_submitted: bool
    can_receive: bool
    provider_id: UUID | None = None
    requirements: tuple[str, ...] = ()
    disabled_reason: str | None = None


@dataclass(frozen=True, slots=True)
class OnboardingLink:
    """For the account's owner alone; used once."""

    url: str
    expires_at: datetime


class SetupPhase(StrEnum):
    """FAILED waits for another attempt."""

    CREATED = "created"
    NEEDS_ACTION = "needs_action"
    FAILED = "failed"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class SetupSnapshot:
    """`method_id`: what was saved, once it succeeded."""

    processor_id: str
    phase: SetupPhase
    customer_id: str | None = None
    method_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    redirect_url: str | None = None
    decline: Decline | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """The platform's money at the processor."""

    currency: str
    available_minor: int
    pending_minor: int


class ObjectKind(StrEnum):
    """What an event is about. OTHER is stored and needs no work."""

    PAYMENT = "payment"
    CHARGE = "charge"
    REFUND = "refund"
    DISPUTE = "dispute"
    TRANSFER = "transfer"
    ACCOUNT = "account"
    SETUP = "setup"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook as it came: the untouched body, header names in lower case, the address's query without `?`."""

    body: bytes
    headers: Mapping[str, str]
    query: str = ""


@dataclass(frozen=True, slots=True)
class ProcessorEvent:
    """A webhook whose signature holds. Its object is fetched anew: nothing else of the body is believed.

    `account`: the connected (or selling) account that it happened in; None: the platform's.
    """

    event_id: str
    type: str
    object_kind: ObjectKind
    object_id: str
    account: str | None
    is_live: bool
    created_at: datetime
