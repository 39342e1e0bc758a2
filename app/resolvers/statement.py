"""Statements of providers: an address that opens one for a while, and what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from app.core.database import Tx
from app.core.tokens import StatementClaims
from app.domain.errors import BadInput, NotFound
from app.domain.instants import day_bounds, zone
from app.domain.statement import (
    HEADER,
    check_period,
    closing_row,
    csv_row,
    line_row,
    opening_row,
)
from app.models import Provider, Venue
from app.queries.rows import get_row
from app.queries.statement import opening_balances, statement_page
from app.queries.tenancy import Door, enter
from app.resolvers.context import RequestContext, Services
from app.resolvers.payout import sees_money

LINK_LIFE = timedelta(minutes=10)
CHUNK = 32_768
"""Characters of one piece of the file."""


@dataclass(frozen=True, slots=True)
class StatementLink:
    """`url`: a secret, until `expires_at`."""

    url: str
    expires_at: datetime


async def statement_link(context: RequestContext, provider: Provider, first: date, last: date) -> StatementLink | None:
    """For staff and the provider; None for anybody else. Raises BadInput."""
    try:
        check_period(first, last)
    except ValueError as wrong:
        raise BadInput.at("to", str(wrong)) from None
    if not await sees_money(context, provider.organization_id, provider.id):
        return None
    services = context.services
    expires_at = (context.now() + LINK_LIFE).replace(microsecond=0)
    token = services.tokens.statement_token(StatementClaims(provider.id, first, last, expires_at))
    return StatementLink(f"{services.policy.public_url}/statements/{token}.csv", expires_at)


async def write_statement(services: Services, token: str) -> AsyncIterator[bytes] | None:
    """The file in pieces. None for a token that is none of ours, or no longer."""
    claims = services.tokens.read_statement_token(token, services.clock.now())
    if claims is None:
        return None
    try:
        async with _reading(services, claims) as tx:
            provider = await get_row(tx, Provider, claims.provider_id)
            venue = await get_row(tx, Venue, provider.venue_id)
    except NotFound:
        return None
    return _pieces(_rows(services, claims, zone(provider.time_zone or venue.time_zone)))


async def _pieces(rows: AsyncIterator[str]) -> AsyncIterator[bytes]:
    piece: list[str] = []
    length = 0
    async for row in rows:
        piece.append(row)
        length += len(row)
        if length >= CHUNK:
            yield "".join(piece).encode()
            piece, length = [], 0
    yield "".join(piece).encode()


async def _rows(services: Services, claims: StatementClaims, tz: ZoneInfo) -> AsyncIterator[str]:
    """Local days, both included. The closing balance is what the lines come to, so that it always adds up."""
    first, last = day_bounds(claims.first, tz)[0], day_bounds(claims.last, tz)[1]
    yield csv_row(HEADER)
    async with _reading(services, claims) as tx:
        openings = await opening_balances(tx, claims.provider_id, first, last)
    for currency, opening in openings:
        yield opening_row(opening, currency, claims.first)
        balance, after = opening, None
        while True:
            # Each page in a transaction of its own: who reads slowly holds up nobody.
            async with _reading(services, claims) as tx:
                lines, after = await statement_page(tx, claims.provider_id, currency, first, last, after)
            for line in lines:
                balance += line.amount_minor
                yield line_row(line, balance, currency, tz)
            if after is None:
                break
        yield closing_row(balance, currency, claims.last)


@asynccontextmanager
async def _reading(services: Services, claims: StatementClaims) -> AsyncIterator[Tx]:
    """Raises NotFound."""
    async with services.database.snapshot() as tx:
        await enter(tx, Door.PROVIDER, claims.provider_id, user_id=None, clock_offset=services.clock.offset)
        yield tx
