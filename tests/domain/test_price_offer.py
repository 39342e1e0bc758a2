"""How a price by quote stands: by its answer, its time, and what it was last used for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.booking import BookingStatus, HoldStatus
from app.domain.price_offer import UNUSED, OfferStatus, OfferUse, offer_fault, offer_status

S = OfferStatus
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
HELD = OfferUse(HoldStatus.ACTIVE, LATER)


@pytest.mark.parametrize(
    ("kept", "valid_until", "use", "status"),
    [
        (S.OPEN, LATER, UNUSED, S.OPEN),
        (S.OPEN, NOW, UNUSED, S.EXPIRED),
        (S.ACCEPTED, LATER, UNUSED, S.ACCEPTED),
        (S.ACCEPTED, NOW, UNUSED, S.EXPIRED),
        (S.DECLINED, NOW, UNUSED, S.DECLINED),
        (S.WITHDRAWN, NOW, UNUSED, S.WITHDRAWN),
        (S.ACCEPTED, LATER, HELD, S.HELD),
        (S.ACCEPTED, NOW, HELD, S.HELD),
        (S.ACCEPTED, LATER, OfferUse(HoldStatus.ACTIVE, NOW), S.ACCEPTED),
        (S.ACCEPTED, LATER, OfferUse(HoldStatus.RELEASED, LATER), S.ACCEPTED),
        (S.ACCEPTED, LATER, OfferUse(HoldStatus.EXPIRED, LATER), S.ACCEPTED),
        (S.ACCEPTED, LATER, OfferUse(HoldStatus.CONSUMED, LATER, BookingStatus.PENDING), S.BOOKED),
        (S.ACCEPTED, NOW, OfferUse(HoldStatus.CONSUMED, LATER, BookingStatus.CONFIRMED), S.BOOKED),
        (S.ACCEPTED, LATER, OfferUse(HoldStatus.CONSUMED, LATER, BookingStatus.CANCELLED), S.BOOKED),
        (S.ACCEPTED, LATER, OfferUse(HoldStatus.CONSUMED, LATER, BookingStatus.EXPIRED), S.ACCEPTED),
    ],
)
def test_how_it_stands(kept: OfferStatus, valid_until: datetime, use: OfferUse, status: OfferStatus) -> None:
    assert offer_status(kept, valid_until, use, NOW) is status


def test_only_an_accepted_one_can_be_held() -> None:
    assert [status for status in OfferStatus if offer_fault(status) is None] == [S.ACCEPTED]
