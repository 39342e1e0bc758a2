"""Our own books: what each booking says of its money, compared with its payments, its refunds and its ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from app.checkout.reconcile import Reconciled
from app.checkout.scope import Checkout
from app.commands.reconciliation import Counts, RunOrder, Subject, begin_run, finish_run, keep_run, note_differences
from app.core.outages import describe
from app.domain.reconcile_books import BooksOfBooking, booking_differences
from app.domain.reconciliation import booking_subject
from app.queries.books import list_bookings_after, list_books, list_moved
from app.queries.reconciliation import open_subjects

log = structlog.get_logger(__name__)

BOOKS = "books"
PAGE = 500
MOVED, PAID = timedelta(days=2), timedelta(days=14)
"""Bookings whose money moved, or was asked for, since then are checked every time."""
PREFIX = "booking:"


async def check_books(checkout: Checkout, *, is_whole: bool = False, organization_id: UUID | None = None) -> Reconciled:
    """Bookings whose money moved lately and those with open differences; all of them if it is the whole."""
    now = checkout.clock.now()
    async with checkout.within(None) as tx:
        start = now if is_whole else now - PAID
        order = RunOrder(BOOKS, start, now, is_regular=organization_id is None, organization_id=organization_id)
        run_id = await begin_run(tx, order)
        known_open = {} if run_id is None else await open_subjects(tx, BOOKS, organization_id)
    if run_id is None:
        return Reconciled(BOOKS, Counts(), is_busy=True)
    check = _Check(checkout, run_id, organization_id, set(known_open))
    try:
        await (check.everything() if is_whole else check.lately(now))
    except BaseException as error:
        await asyncio.shield(_finish(checkout, run_id, check.counts, describe(error)))
        raise
    await _finish(checkout, run_id, check.counts, None)
    log.info("books.checked", compared=check.counts.compared, found=check.counts.found)
    return Reconciled(BOOKS, check.counts)


async def _finish(checkout: Checkout, run_id: UUID, counts: Counts, error: str | None) -> None:
    async with checkout.within(None) as tx:
        await finish_run(tx, run_id, counts, error)


@dataclass(slots=True)
class _Check:
    checkout: Checkout
    run_id: UUID
    organization_id: UUID | None
    known_open: set[str]
    counts: Counts = field(default_factory=Counts)

    async def everything(self) -> None:
        after = UUID(int=0)
        while True:
            async with self.checkout.within(None) as tx:
                page = await list_bookings_after(tx, self.organization_id, after, PAGE)
            await self._compare(page)
            if len(page) < PAGE:
                return
            after = page[-1]

    async def lately(self, now: datetime) -> None:
        async with self.checkout.within(None) as tx:
            moved = await list_moved(tx, self.organization_id, moved=now - MOVED, paid=now - PAID)
        chosen = sorted({*moved, *(UUID(subject.removeprefix(PREFIX)) for subject in self.known_open)})
        for begin in range(0, len(chosen), PAGE):
            await self._compare(chosen[begin : begin + PAGE])

    async def _compare(self, booking_ids: Sequence[UUID]) -> None:
        """Raises RunLost."""
        async with self.checkout.within(None) as tx:
            page = await list_books(tx, booking_ids)
        self.counts.compared += len(page)
        for organization_id, books in page:
            if booking_differences(books) or booking_subject(books.booking_id) in self.known_open:
                self.counts.found += await self._note(organization_id, books)
        async with self.checkout.within(None) as tx:
            await keep_run(tx, self.run_id, self.counts)

    async def _note(self, organization_id: UUID, books: BooksOfBooking) -> int:
        """In a transaction of its own; how many nobody has accepted."""
        subject = Subject(BOOKS, booking_subject(books.booking_id), organization_id, books.booking_id)
        async with self.checkout.within(None) as tx:
            left = await note_differences(tx, subject, booking_differences(books))
        for one in left:
            organization = str(organization_id)
            log.error("books.difference", kind=one.kind.value, subject=subject.name, organization=organization)
        return len(left)
