"""Reading and locking holds of places."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import case, select

from app.core.database import Tx
from app.domain.customer_limit import CustomerLimits
from app.domain.errors import NotFound
from app.models import Activity, ActivitySession, Hold, Organization, PaymentSettings, PlaceClaim, Venue
from app.queries.payment_terms import PaymentTerms, terms_of_settings


@dataclass(frozen=True, slots=True)
class LockedPlaces:
    """A hold whose place claim, the one lock of such a hold, belongs to this transaction.

    The claim's columns were read under the lock and decide; the rest may have been read just before a wait for it.
    """

    hold: Hold
    session: ActivitySession
    activity: Activity
    time_zone: str
    claim_status: str
    """A claim that is still held for a booking, which is not paid yet, is booked: the hold is used up."""
    claim_expires_at: datetime | None
    customer_limits: CustomerLimits
    payment_terms: PaymentTerms

    def is_live(self, now: datetime) -> bool:
        return self.claim_status == "held" and self.claim_expires_at is not None and self.claim_expires_at > now


async def lock_places(tx: Tx, hold_id: UUID) -> LockedPlaces:
    """One statement. Raises NotFound, for a hold of time too."""
    row = (
        await tx.execute(
            select(
                Hold,
                ActivitySession,
                Activity,
                Venue.time_zone,
                case((PlaceClaim.booking_id.is_(None), PlaceClaim.status), else_="booked").label("status"),
                PlaceClaim.expires_at,
                Organization.customer_daily_limit,
                Organization.customer_weekly_limit,
                Organization.bookings_per_hour_limit,
                PaymentSettings,
                PlaceClaim.booking_id,
            )
            .join(PlaceClaim, PlaceClaim.hold_id == Hold.id)
            .join(ActivitySession, ActivitySession.id == Hold.session_id)
            .join(Activity, Activity.id == ActivitySession.activity_id)
            .join(Venue, Venue.id == Activity.venue_id)
            .join(Organization, Organization.id == Hold.organization_id)
            .outerjoin(PaymentSettings, PaymentSettings.organization_id == Hold.organization_id)
            .where(Hold.id == hold_id)
            .with_for_update(key_share=True, of=PlaceClaim)
        )
    ).first()
    if row is None:
        raise NotFound
    hold, session, activity, time_zone, status, expires_at, *limits, payment_settings, booking_id = row
    if booking_id is not None:
        status = "booked"  # or still held for a booking that waits for its payment: used up all the same
    tx.expunge(hold)
    if hold.waitlist_entry_id is not None and expires_at is not None:
        expires_at = min(expires_at, hold.expires_at)  # the claim of an offer runs on until its own job ends it
    terms = terms_of_settings(payment_settings)
    return LockedPlaces(hold, session, activity, time_zone, status, expires_at, CustomerLimits(*limits), terms)


async def get_place_hold(tx: Tx, hold_id: UUID) -> tuple[Hold, UUID]:
    """The hold and its activity. One statement. Raises NotFound, for a hold of time too."""
    row = (
        await tx.execute(
            select(Hold, ActivitySession.activity_id)
            .join(ActivitySession, ActivitySession.id == Hold.session_id)
            .where(Hold.id == hold_id)
        )
    ).first()
    if row is None:
        raise NotFound
    return row[0], row[1]
