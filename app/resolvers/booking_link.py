"""Secret links: renewing one, finding a booking's by its code, and claiming a booking with it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from app.commands import booking_link as commands
from app.commands.booking_change import Requester
from app.commands.booking_link import RenewedLink, RenewLinkRequest
from app.core.contact import normalize_email
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.booking import CODE_LENGTH
from app.domain.booking_lookup import can_be_found, is_same_email, read_code
from app.domain.errors import NotFound, RateLimited
from app.domain.policy import ActorKind
from app.models import Booking, Customer
from app.queries.booking import SeenBooking, get_booking
from app.queries.booking_link import find_by_code
from app.queries.series import get_series
from app.queries.tenancy import Door, Tenancy
from app.resolvers.booking import with_another_code
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate

LOOKUP_WINDOW_S = 15 * 60
_NO_CODE = "0" * CODE_LENGTH
"""Has signs that no code has: it is looked for like any other."""


async def renew_link(
    context: RequestContext, request: RenewLinkRequest, link_token: str | None, idempotency_key: str | None
) -> tuple[SeenBooking, str, str | None]:
    """The booking, its new secret link, and that of its series if that is another one, too.

    Raises what the command raises, and IdempotencyConflict.
    """
    tokens = context.services.tokens

    async def command(tx: Tx, tenancy: Tenancy) -> RenewedLink:
        return await commands.renew_link(tx, tokens, request, _requester(context, tenancy, link_token))

    async def again(tx: Tx, _tenancy: Tenancy, facts: dict[str, Any]) -> RenewedLink:
        # The repeat comes with the link that it made void: that it is the same request, key and contents, must do.
        booking, _ = await get_booking(tx, request.booking_id)
        if booking.access_version != facts["accessVersion"]:
            raise NotFound  # the link that it made is void by now, too
        seen = SeenBooking(booking, ActorKind(facts["viewer"]))
        if facts["seriesVersion"] is None or booking.series_id is None:
            return RenewedLink(seen)
        series, _ = await get_series(tx, booking.series_id)
        return RenewedLink(seen, series if series.access_version == facts["seriesVersion"] else None)

    async def attempt() -> RenewedLink:
        return await mutate(
            context,
            "renewBookingLink",
            at=(Door.BOOKING, request.booking_id),
            request=(request, link_token),
            idempotency_key=idempotency_key,
            command=command,
            remembered=Remembered(facts=_facts, again=again),
        )

    renewed = await with_another_code(attempt)
    booking, series = renewed.seen.booking, renewed.series
    series_token = None if series is None else tokens.series_token(series.id, series.access_version)
    return renewed.seen, tokens.guest_token(booking.id, booking.access_version), series_token


def _facts(renewed: RenewedLink) -> dict[str, Any]:
    return {
        "viewer": renewed.seen.viewer.value,
        "accessVersion": renewed.seen.booking.access_version,
        "seriesVersion": None if renewed.series is None else renewed.series.access_version,
    }


async def claim_booking(context: RequestContext, link_token: str, idempotency_key: str | None) -> SeenBooking:
    """With the link of a series: all its dates, of which this is the first.

    Raises Unauthenticated, NotFound, NotAllowed, IdempotencyConflict.
    """
    context.require_viewer()
    named = TokenSigner.named_by(link_token)
    if named is None:
        raise NotFound
    try:
        return await _claim(context, Door.BOOKING, named, link_token, idempotency_key)
    except NotFound:  # what a link names may be a series as well
        return await _claim(context, Door.SERIES, named, link_token, idempotency_key)


async def _claim(
    context: RequestContext, door: Door, named: UUID, link_token: str, idempotency_key: str | None
) -> SeenBooking:
    claim = commands.claim_booking if door is Door.BOOKING else commands.claim_series

    async def command(tx: Tx, tenancy: Tenancy) -> SeenBooking:
        return await claim(tx, context.services.tokens, named, _requester(context, tenancy, link_token))

    return await mutate(
        context,
        "claimBooking",
        at=(door, named),
        request=link_token,
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda _: {}, again=lambda tx, tenancy, _: command(tx, tenancy)),
    )


async def find_booking(
    context: RequestContext, organization_id: UUID, typed_code: str, typed_email: str
) -> tuple[SeenBooking, str]:
    """A guest's booking by what was told them, and its secret link.

    A wrong code, a wrong e-mail, a booking long past and one of an account look the same and cost the same: one read.
    Raises NotFound, RateLimited.
    """
    code, email = read_code(typed_code) or _NO_CODE, _email(typed_email)
    async with _limited_lookups(context, organization_id):
        async with context.read(Door.ORGANIZATION, organization_id) as (tx, _):
            found = await find_by_code(tx, organization_id, code)
        booking = _matching(found, email, context)
    seen = SeenBooking(booking, ActorKind.CUSTOMER)
    return seen, context.services.tokens.guest_token(booking.id, booking.access_version)


def _matching(found: tuple[Booking, Customer] | None, email: str, context: RequestContext) -> Booking:
    """Raises NotFound."""
    booking, customer = found or (None, None)
    is_theirs = is_same_email(None if customer is None else customer.email, email)
    if booking is None or not is_theirs or not can_be_found(booking.ends_at, context.now()):
        raise NotFound
    return booking


def _email(typed: str) -> str:
    """As bookings keep it. What cannot be an address is nobody's, and is treated like any unknown one."""
    try:
        return normalize_email(typed)
    except ValueError:
        return hashlib.sha256(typed.encode("utf-8", "replace")).hexdigest()


@asynccontextmanager
async def _limited_lookups(context: RequestContext, organization_id: UUID) -> AsyncIterator[None]:
    """Around a lookup: those that find nothing count, of an address and of an organization. Raises RateLimited.

    Counted before anything is read: guesses made all at once are as many as those made in a row.
    """
    policy, limiter = context.services.policy, context.services.limiter
    limits = {f"find_booking:{organization_id}": policy.booking_lookup_limit}
    if context.limit_key is not None:  # first: who is beyond it must not use up what the organization's guests have
        own = {f"find_booking_from:{context.limit_key}": policy.booking_lookup_limit_per_address}
        limits = {**own, **limits}
    counted: list[str] = []
    is_guess = False
    try:
        for key, limit in limits.items():
            if limit == 0:
                continue
            counted.append(key)
            wait_s = await limiter.hit(key, limit=limit, window_s=LOOKUP_WINDOW_S)
            if wait_s is not None:
                raise RateLimited("Too many bookings looked for that are none. Try again later.", wait_s)
        yield
    except NotFound:
        is_guess = True
        raise
    finally:
        if not is_guess:
            for key in counted:
                await limiter.give_back(key, window_s=LOOKUP_WINDOW_S)


def _requester(context: RequestContext, tenancy: Tenancy, link_token: str | None) -> Requester:
    return Requester(tenancy, context.user_id, link_token, context.actor("unknown"))
