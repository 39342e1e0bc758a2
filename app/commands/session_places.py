"""Places for a booking that gave them back."""

from __future__ import annotations

from sqlalchemy import text

from app.commands.expiry import expire_bookings
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import SessionSearch, SlotUnavailable
from app.domain.slots import UnavailableReason
from app.models import ActivitySession, Booking
from app.queries.rows import get_row

_CLAIM_WHOLE_AGAIN = text(
    "SELECT * FROM claim_whole_session(:claim, :organization, :session, :places, NULL, 'booked', NULL, :booking, NULL,"
    " 'BOOKED', :correction)"
)
_CLAIM_AGAIN = text(
    "SELECT * FROM claim_places(:claim, :organization, :session, :places, 'booked', NULL, :booking, NULL, 'BOOKED',"
    " :correction)"
)


async def take_places_again(tx: Tx, booking: Booking, *, is_correction: bool = True) -> None:
    """What brings a booking back: so many places must be left, or all of them. Two statements.

    `is_correction`: whatever became of the session since.

    Raises SlotUnavailable.
    """
    assert booking.session_id is not None
    session = await get_row(tx, ActivitySession, booking.session_id)
    row = (
        await tx.execute(
            _CLAIM_WHOLE_AGAIN if booking.is_private else _CLAIM_AGAIN,
            {
                "claim": new_id(),
                "organization": booking.organization_id,
                "session": session.id,
                "places": booking.party_size,
                "booking": booking.id,
                "correction": is_correction,
            },
        )
    ).one()
    if not row.claimed or (row.lapsed_bookings and await expire_bookings(tx, list(row.lapsed_bookings))):
        search = SessionSearch(
            booking.organization_id, session.activity_id, booking.starts_at, booking.party_size, for_staff=True
        )
        raise SlotUnavailable(UnavailableReason.CAPACITY, "Others have these places by now.", search)
