"""A price that staff name for one customer, where a service has none of its own: open, answered, used once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.booking import BookingStatus, HoldStatus


class OfferStatus(StrEnum):
    """As it is kept: OPEN, ACCEPTED, DECLINED, WITHDRAWN (by staff). As it is shown, too: HELD and BOOKED are accepted
    ones in use, EXPIRED is one whose time was over before it was used."""

    OPEN = "open"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    HELD = "held"
    BOOKED = "booked"
    EXPIRED = "expired"


ANSWERED = frozenset({OfferStatus.ACCEPTED, OfferStatus.HELD, OfferStatus.BOOKED})
"""What an accepted one may be shown as: accepting it again changes nothing."""


@dataclass(frozen=True, slots=True)
class OfferUse:
    """What an offer was last used for, and how that stands."""

    hold_status: HoldStatus | None = None
    hold_expires_at: datetime | None = None
    booking_status: BookingStatus | None = None

    def is_held(self, now: datetime) -> bool:
        """By a hold that may still become a booking."""
        return self.hold_status is HoldStatus.ACTIVE and self.hold_expires_at is not None and self.hold_expires_at > now

    @property
    def is_booked(self) -> bool:
        """By a booking; one that expired unpaid gives it back, any other keeps it."""
        return self.booking_status is not None and self.booking_status is not BookingStatus.EXPIRED


UNUSED = OfferUse()


def offer_status(kept: OfferStatus, valid_until: datetime, use: OfferUse, now: datetime) -> OfferStatus:
    """How it stands now: what is in use stays so when its own time is over."""
    if kept is OfferStatus.ACCEPTED and use.is_booked:
        return OfferStatus.BOOKED
    if kept is OfferStatus.ACCEPTED and use.is_held(now):
        return OfferStatus.HELD
    if kept in {OfferStatus.OPEN, OfferStatus.ACCEPTED} and now >= valid_until:
        return OfferStatus.EXPIRED
    return kept


@dataclass(frozen=True, slots=True)
class AcceptedOffer:
    """An accepted offer that nobody else can use before this transaction ends. None: any provider, any length."""

    offer_id: UUID
    service_id: UUID
    provider_id: UUID | None
    duration_minutes: int | None
    amount_minor: int
    currency: str


_REFUSALS = {
    OfferStatus.OPEN: "is of a price that was not accepted yet: acceptPriceQuote comes first",
    OfferStatus.DECLINED: "is of a price that was declined",
    OfferStatus.WITHDRAWN: "is of a price that was taken back",
    OfferStatus.EXPIRED: "is of a price that is not valid any more",
    OfferStatus.HELD: "is of a price that another hold has at this moment",
    OfferStatus.BOOKED: "is of a price that was booked already",
}


def offer_fault(status: OfferStatus) -> str | None:
    """Why a hold cannot have it; None: it can."""
    return _REFUSALS.get(status)
