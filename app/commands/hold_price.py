"""What a hold costs, locked with every reason for it. The parties that hold see the price that reads show.

Without rules and terms of its own an organization's price takes no statement; with them one more, until this process
knows them; another one where a rule asks how full it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.commands.claim import claims_around
from app.core.database import Tx
from app.domain.busy import Busy
from app.domain.claims import Part
from app.domain.instants import zone
from app.domain.occupancy import occupancy_bps, places_occupancy_bps
from app.domain.price_book import PriceBook
from app.domain.price_offer import AcceptedOffer
from app.domain.price_quote import FeeRates, Quote
from app.domain.slot_price import appointment, locked_price, places
from app.queries.availability import ServicePlan
from app.queries.price_rule import get_price_book
from app.queries.session import BookableSession, get_lapsed_places


@dataclass(frozen=True, slots=True)
class HeldPart:
    """A service of the hold, at its time, with what it was when it was held."""

    part: Part
    service: ServicePlan

    def as_item(self, price_minor: int) -> dict[str, Any]:
        """As kept in `hold.items`."""
        return {
            "serviceId": str(self.service.service_id),
            "providerId": str(self.part.plan.provider_id),
            "startsAt": self.part.starts_at.isoformat(),
            "endsAt": self.part.ends_at.isoformat(),
            "bufferBefore": self.part.plan.buffer_before,
            "bufferAfter": self.part.plan.buffer_after,
            "priceMinor": price_minor,
            "requiresApproval": self.service.requires_approval,
            "cancellationNoticeMinutes": self.service.cancellation_notice_minutes,
        }


async def price_of_parts(
    tx: Tx,
    held: Sequence[HeldPart],
    *,
    now: datetime,
    fees: FeeRates,
    is_member: bool,
    offer: AcceptedOffer | None = None,
) -> Quote:
    """Of one service, or of the services of a visit. `offer`: the accepted price of the only one.

    Raises InvalidInput for more than can be represented.
    """
    claims: Mapping[UUID, Sequence[Busy]] | None = None
    subjects = [one for part in held for one in (part.service.service_id, part.part.plan.provider_id)]
    if offer is None and held[0].service.book.asks_occupancy_of(subjects):
        claims = await claims_around(tx, [[one.part.plan] for one in held], held[0].part.starts_at)
    return quote_of_parts(held, claims, now=now, fees=fees, is_member=is_member, offer=offer)


def quote_of_parts(
    held: Sequence[HeldPart],
    claims: Mapping[UUID, Sequence[Busy]] | None,
    *,
    now: datetime,
    fees: FeeRates,
    is_member: bool,
    offer: AcceptedOffer | None = None,
) -> Quote:
    """The same where all is read. `claims`: what is taken on these days; none: no rule asks. Raises InvalidInput."""
    first = held[0].service
    book = first.book
    items = [
        appointment(
            book,
            one.service.service_id,
            one.part.plan,
            one.part.starts_at,
            label=one.service.name,
            offer=offer,
            occupancy_bps=_fullness(one.part, claims, now),
            is_payee=one.part.plan.provider_id in one.service.payees,
        )
        for one in held
    ]
    return locked_price(items, book, first.currency, now, book.fee_bps(fees, is_member=is_member))


def _fullness(part: Part, claims: Mapping[UUID, Sequence[Busy]] | None, now: datetime) -> int | None:
    if claims is None:
        return None
    return occupancy_bps(part.plan, part.starts_at, claims.get(part.plan.provider_id, ()), now)


async def price_of_places(
    tx: Tx, found: BookableSession, party_size: int, *, now: datetime, fees: FeeRates, is_member: bool
) -> Quote:
    """Of so many places of a session, by the venue's clock. Raises InvalidInput as the other."""
    wanted = Wanted(party_size, found.activity.price_minor)
    return await _price(tx, found, wanted, now=now, fees=fees, is_member=is_member)


async def price_of_session(tx: Tx, found: BookableSession, *, now: datetime, fees: FeeRates, is_member: bool) -> Quote:
    """Of a whole session for a private group: the activity's price for that, or that of all places."""
    activity = found.activity
    wanted = Wanted(max(1, found.session.capacity), activity.price_minor)
    if activity.private_price_minor is not None:
        wanted = Wanted(1, activity.private_price_minor)
    return await _price(tx, found, wanted, now=now, fees=fees, is_member=is_member)


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many times this price, in minor units."""

    quantity: int
    each_minor: int


async def _price(
    tx: Tx, found: BookableSession, wanted: Wanted, *, now: datetime, fees: FeeRates, is_member: bool
) -> Quote:
    session, activity, organization = found.session, found.activity, found.place.organization
    book = await get_price_book(tx, organization.id, organization.price_version)
    lapsed = await get_lapsed_places(tx, session.id) if book.asks_occupancy_of([activity.id]) else 0
    return quote_of_places(found, book, wanted, lapsed, now=now, fees=fees, is_member=is_member)


def quote_of_places(
    found: BookableSession,
    book: PriceBook,
    wanted: Wanted,
    lapsed: int,
    *,
    now: datetime,
    fees: FeeRates,
    is_member: bool,
) -> Quote:
    """The same where all is read. `lapsed`: places of holds that ran out. Raises InvalidInput."""
    session, activity, organization = found.session, found.activity, found.place.organization
    fullness = None
    if book.asks_occupancy_of([activity.id]):
        fullness = places_occupancy_bps(session.capacity, session.taken - lapsed)
    item = places(
        book,
        activity.id,
        wanted.each_minor,
        session.starts_at,
        zone(found.place.venue.time_zone),
        quantity=wanted.quantity,
        label=activity.name,
        occupancy_bps=fullness,
    )
    return locked_price([item], book, organization.currency, now, book.fee_bps(fees, is_member=is_member))
