"""`turnero reconcile` and `turnero check-money`: what the worker does regularly, now; what is open is told in words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.checkout.reconcile import Reconciled, reconcile
from app.checkout.reconcile_books import BOOKS, check_books
from app.checkout.scope import Checkout
from app.core.database import SYSTEM_ROLE, Database
from app.core.ids import IdKind, WrongId, decode_id, encode_id
from app.core.outages import describe
from app.core.settings import Settings
from app.domain.reconciliation import SUGGESTIONS, DifferenceKind
from app.models import ReconciliationDifference
from app.ports import ShiftedClock
from app.processors import make_checkout
from app.queries.reconciliation import list_all_open

MOST_SHOWN = 1_000
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Told:
    """What to print, and whether all was compared (and, for the books, nothing is wrong)."""

    lines: Sequence[str]
    is_good: bool


async def run_reconcile(settings: Settings, *, since: datetime | None, organization_id: UUID | None) -> Told:
    """Every processor with a key. A difference that waits for a person is no failure of the command."""

    async def work(checkout: Checkout) -> Told:
        if not checkout.gateways:
            return Told(["No processor has a key here: there is nothing to compare with."], True)
        lines, is_good = [], True
        for processor in checkout.gateways:
            try:
                done = await reconcile(checkout, processor, since=since, organization_id=organization_id)
            except Exception as error:
                lines.append(f"{processor}: failed: {describe(error)}")
                is_good = False
                continue
            lines.append(_said(done))
            is_good &= not done.is_busy
        return Told([*lines, *await _open(checkout, organization_id, of_books=False)], is_good)

    return await _with_checkout(settings, work)


async def run_check(settings: Settings, *, organization_id: UUID | None) -> Told:
    """All bookings there are."""

    async def work(checkout: Checkout) -> Told:
        done = await check_books(checkout, is_whole=True, organization_id=organization_id)
        open_ones = await _open(checkout, organization_id, of_books=True)
        return Told([_said(done), *open_ones], not done.is_busy and done.counts.found == 0)

    return await _with_checkout(settings, work)


async def _with_checkout(settings: Settings, work: Callable[[Checkout], Awaitable[Told]]) -> Told:
    assert settings.database_url is not None
    database = Database(
        settings.database_url,
        role=SYSTEM_ROLE,
        pool_size=2,
        statement_timeout_ms=settings.database_statement_timeout_ms,
        transaction_timeout_ms=settings.database_transaction_timeout_ms,
        application_name="turnero-money",
    )
    checkout = make_checkout(settings, database, ShiftedClock())
    try:
        return await work(checkout)
    finally:
        for gateway in checkout.gateways.values():
            await gateway.close()
        await database.dispose()


def _said(done: Reconciled) -> str:
    if done.is_busy:
        return f"{done.processor}: another run is at work; try again in a moment."
    counts = done.counts
    return f"{done.processor}: {counts.compared} compared, {counts.found} different, {counts.healed} of them healed."


async def _open(checkout: Checkout, organization_id: UUID | None, *, of_books: bool) -> list[str]:
    async with checkout.within(None) as tx:
        rows = await list_all_open(tx, MOST_SHOWN)
    chosen = [one for one in rows if (one.processor == BOOKS) is of_books]
    if organization_id is not None:
        chosen = [one for one in chosen if one.organization_id == organization_id]
    return [line for row in chosen for line in _described(row)]


def _described(row: ReconciliationDifference) -> list[str]:
    owner = "no organization" if row.organization_id is None else encode_id(IdKind.ORGANIZATION, row.organization_id)
    there = f", there {row.their_id}" if row.their_id else ""
    lines = [
        f"- {row.kind} {row.subject}{there} ({owner}, seen {row.times_seen} times since {row.first_seen_at:%F %R})",
        f"    ours {row.ours}, theirs {row.theirs}",
    ]
    known = row.kind in set(DifferenceKind)
    return [*lines, f"    {SUGGESTIONS[DifferenceKind(row.kind)]}"] if known else lines


def read_since(text: str, now: datetime | None = None) -> datetime:
    """`90m`, `24h`, `7d`, or an instant with its offset. Raises ValueError."""
    now = now or datetime.now(UTC)
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.isascii() and number.isdigit() and len(number) < 6:
        return now - timedelta(**{_UNITS[unit]: int(number)})
    found = datetime.fromisoformat(text)
    if found.tzinfo is None or not datetime(2000, 1, 1, tzinfo=UTC) <= found <= now:
        raise ValueError("an instant in the past, with an offset")
    return found


def read_organization(text: str) -> UUID:
    """`org_…`, or a bare UUID. Raises ValueError."""
    try:
        return decode_id(IdKind.ORGANIZATION, text)
    except WrongId:
        return UUID(text)
