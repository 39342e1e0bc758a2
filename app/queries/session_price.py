"""What a place of a session costs now, for those who look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select

from app.core.database import Tx
from app.domain.instants import zone
from app.domain.money import MAXIMUM_MINOR
from app.domain.occupancy import places_occupancy_bps
from app.domain.price_book import PriceBook
from app.domain.start_prices import price_at
from app.domain.tariff import Tariff
from app.models import Activity, Organization, Venue
from app.queries.price_rule import get_price_book
from app.queries.rows import one_of
from app.queries.session import ActivityAtVenue, SeenSession


@dataclass(frozen=True, slots=True)
class SessionPrices:
    """Of an activity's sessions: its own price of a place, and what may change it."""

    place_minor: int
    currency: str
    time_zone: ZoneInfo
    tariff: Tariff | None

    def of(self, seen: SeenSession, now: datetime) -> int:
        """One place, with tax where it is added. More than can be charged is told as the most that can be said."""
        if self.tariff is None:
            return self.place_minor
        session = seen.session
        fullness = places_occupancy_bps(session.capacity, session.taken - seen.lapsed)
        price = price_at(
            self.tariff, self.place_minor, session.starts_at, self.time_zone, now=now, occupancy_bps=fullness
        )
        return MAXIMUM_MINOR if price is None else price


async def get_session_prices(tx: Tx, place: ActivityAtVenue) -> SessionPrices:
    """No statement without price rules and terms, or where they are known; else one."""
    organization = place.organization
    return _prices(place, await get_price_book(tx, organization.id, organization.price_version))


async def list_session_prices(tx: Tx, activity_ids: Sequence[UUID]) -> Mapping[UUID, SessionPrices]:
    """By activity, all of one organization. One statement, and that of the price book where it is not known."""
    rows = (
        await tx.execute(
            select(Activity, Venue, Organization)
            .join(Venue, Venue.id == Activity.venue_id)
            .join(Organization, Organization.id == Activity.organization_id)
            .where(one_of(Activity.id, activity_ids))
        )
    ).all()
    places = [ActivityAtVenue(*row) for row in rows]
    return {place.activity.id: await get_session_prices(tx, place) for place in places}


def _prices(place: ActivityAtVenue, book: PriceBook) -> SessionPrices:
    return SessionPrices(
        place.activity.price_minor,
        place.currency,
        zone(place.venue.time_zone),
        book.tariff_of(place.currency, place.activity.id),
    )
