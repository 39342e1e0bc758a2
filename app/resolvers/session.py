"""Sessions: reading them."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from app.domain.sessions import SessionStatus
from app.queries.session import SeenSession, get_session
from app.queries.session_search import FoundSessions, find_all_sessions, find_sessions
from app.queries.tenancy import Door
from app.resolvers.catalogue import role_of
from app.resolvers.context import RequestContext


async def read_session(context: RequestContext, session_id: UUID) -> SeenSession:
    """Whatever its state. Raises NotFound."""
    async with context.read(Door.SESSION, session_id) as (tx, tenancy):
        seen = await get_session(tx, session_id, for_staff=tenancy.is_staff)
    context.loaders.prime_tenancy(tenancy)
    return seen


async def bookable_sessions(
    context: RequestContext, activity_id: UUID, from_date: date, to_date: date, party_size: int
) -> list[SeenSession]:
    """Those that can be booked now, by start. Three statements. Raises BadInput, NotFound."""
    async with context.read(Door.ACTIVITY, activity_id) as (tx, tenancy):
        found = await find_sessions(tx, activity_id, from_date, to_date, party_size=party_size, now=context.now())
    context.loaders.prime_tenancy(tenancy)
    return _primed(context, found)


async def all_sessions(
    context: RequestContext,
    activity_id: UUID,
    from_date: date,
    to_date: date,
    statuses: tuple[SessionStatus, ...] | None,
) -> list[SeenSession]:
    """All there are, for staff. Three statements. Raises BadInput, Unauthenticated; NotFound for anybody else."""
    context.require_viewer()
    async with context.read(Door.ACTIVITY, activity_id) as (tx, tenancy):
        role_of(tenancy)
        found = await find_all_sessions(tx, activity_id, from_date, to_date, statuses)
    context.loaders.prime_tenancy(tenancy)
    return _primed(context, found)


def _primed(context: RequestContext, found: FoundSessions) -> list[SeenSession]:
    context.spend_slots(len(found.sessions))
    context.loaders.prime(found.place.activity, found.place.venue, found.place.organization)
    activity = found.place.activity
    context.loaders.session_prices_by_activity_id.prime((activity.organization_id, activity.id), found.prices)
    return found.sessions


async def price_of_place(context: RequestContext, seen: SeenSession) -> tuple[int, str]:
    """Of one place now, in minor units, and the currency."""
    key = (seen.session.organization_id, seen.session.activity_id)
    prices = await context.loaders.session_prices_by_activity_id.load(key)
    return prices.of(seen, context.now()), prices.currency


async def places_taken(context: RequestContext, seen: SeenSession) -> int | None:
    """Held and booked places, for staff only."""
    session = seen.session
    tenancy = await context.loaders.tenancy_by_organization_id.load(session.organization_id)
    return session.taken - seen.lapsed if tenancy.is_staff else None


async def is_private(context: RequestContext, seen: SeenSession) -> bool | None:
    """Does a private group have it to itself? For staff only."""
    session = seen.session
    tenancy = await context.loaders.tenancy_by_organization_id.load(session.organization_id)
    if not tenancy.is_staff:
        return None
    return await context.loaders.is_private_session.load((session.organization_id, session.id))


async def cancelled_reason(context: RequestContext, seen: SeenSession) -> str | None:
    """For staff, for those who lead the session, and for customers who have or had a booking in it."""
    session = seen.session
    if session.cancelled_reason is None:
        return None
    tenancy = await context.loaders.tenancy_by_organization_id.load(session.organization_id)
    may_know = tenancy.is_staff or await context.loaders.is_in_session.load((session.organization_id, session.id))
    return session.cancelled_reason if may_know else None
