"""Guest sessions: beginning one, coming back to it, ending it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.commands import guest_session as commands
from app.commands.booking import works_here
from app.commands.guest_session import GuestCheckout, SessionTerms
from app.commands.hold import HoldLimits
from app.commands.own_hold import Holder
from app.core.database import Tx
from app.domain.errors import NotFound, RateLimited
from app.domain.policy import ActorKind
from app.models import Booking, GuestSession, Hold
from app.queries.booking import SeenBooking, role_towards
from app.queries.guest_session import bookings_made, live_holds
from app.queries.rows import get_row
from app.queries.tenancy import Door, Tenancy
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate

START_WINDOW_S = 3_600


@dataclass(frozen=True, slots=True)
class SeenSession:
    """A session and what is in it. Each hold and booking with its secret."""

    session: GuestSession
    holds: Sequence[tuple[Hold, str]]
    bookings: Sequence[tuple[SeenBooking, str]]


def checkout_of(context: RequestContext, token: str | None) -> GuestCheckout | None:
    """The session that a request says it is made in. Raises NotFound for a token that is none of ours."""
    if token is None:
        return None
    policy = context.services.policy
    terms = SessionTerms(policy.guest_session_ttl, policy.guest_session_longest)
    return GuestCheckout(_named(context, token), terms)


def holder_of(context: RequestContext, tenancy: Tenancy, guest: GuestCheckout | None) -> Holder | None:
    """Whose own holds count for this request. None: nobody is known, or it is one who holds for others."""
    if guest is None and (context.user_id is None or works_here(tenancy)):
        return None
    policy = context.services.policy
    limits = HoldLimits(policy.hold_limit_per_user, policy.hold_limit_per_address)
    is_staff = tenancy.is_staff
    return Holder(
        guest, context.user_id, None if is_staff else context.limit_key, HoldLimits(0, 0) if is_staff else limits
    )


async def start_guest_session(
    context: RequestContext, organization_id: UUID, idempotency_key: str | None
) -> tuple[GuestSession, str]:
    """The session and its secret. Raises NotFound, RateLimited, IdempotencyConflict."""
    policy, services = context.services.policy, context.services
    if context.limit_key is not None:
        wait_s = await services.limiter.hit(
            f"guest_session:{context.limit_key}", limit=policy.guest_session_limit, window_s=START_WINDOW_S
        )
        if wait_s is not None:
            raise RateLimited("Too many guest sessions were begun from here. Try again later.", wait_s)

    async def command(tx: Tx, tenancy: Tenancy) -> GuestSession:
        terms = SessionTerms(policy.guest_session_ttl, policy.guest_session_longest)
        return await commands.start_guest_session(tx, tenancy.organization_id, terms, context.now())

    async def again(tx: Tx, _tenancy: Tenancy, facts: dict[str, str]) -> GuestSession:
        return await get_row(tx, GuestSession, UUID(facts["id"]))

    session = await mutate(
        context,
        "startGuestSession",
        at=(Door.ORGANIZATION, organization_id),
        request=None,
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda made: {"id": str(made.id)}, again=again),
    )
    return session, services.tokens.guest_session_token(session.id)


async def end_guest_session(context: RequestContext, token: str) -> GuestSession:
    """Raises NotFound, for one that is over too."""
    session_id = _named(context, token)

    async def command(tx: Tx, _tenancy: Tenancy) -> GuestSession:
        return await commands.end_guest_session(tx, session_id, context.now())

    async def again(tx: Tx, _tenancy: Tenancy, _facts: dict[str, str]) -> GuestSession:
        return await get_row(tx, GuestSession, session_id)

    return await mutate(
        context,
        "endGuestSession",
        at=(Door.GUEST_SESSION, session_id),
        request=token,
        idempotency_key=None,
        command=command,
        remembered=Remembered(facts=lambda _: {}, again=again),
    )


async def read_guest_session(context: RequestContext, token: str) -> SeenSession:
    """Four statements; it changes nothing. Raises NotFound, for one that is over too."""
    session_id, now, tokens = _named(context, token), context.now(), context.services.tokens
    async with context.read(Door.GUEST_SESSION, session_id) as (tx, tenancy):
        session = await get_row(tx, GuestSession, session_id)
        if not commands.is_live(session, now):
            raise NotFound
        holds = await live_holds(tx, session_id, now)
        bookings = await bookings_made(tx, session_id, context.user_id)
    return SeenSession(
        session,
        [(hold, tokens.hold_token(hold.id, hold.token_version)) for hold in holds],
        [(SeenBooking(one, _role(tenancy, one)), tokens.guest_token(one.id, one.access_version)) for one in bookings],
    )


def _role(tenancy: Tenancy, booking: Booking) -> ActorKind:
    return role_towards(tenancy, booking, None, user_id=None, has_link=True)


def _named(context: RequestContext, token: str) -> UUID:
    session_id = context.services.tokens.read_guest_session_token(token)
    if session_id is None:
        raise NotFound
    return session_id
